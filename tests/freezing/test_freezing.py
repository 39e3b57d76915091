"""Freezing is honoured at the next step, by compiled models too, and loses nothing else."""

import copy
import re

import numpy as np
import pytest
from environment import INFO, KERAS, THOROUGH

from keras_buildfix import freeze, freeze_up_to, frozen, named_weights, trainable_summary, unfreeze
from keras_buildfix.freezing.optimizer_state import innermost, slots_of
from keras_buildfix.testing.ways import mirrored_strategy

layers = KERAS.layers
K2 = INFO.generation == 2
TRAINS = INFO.backend != "numpy"
trains = pytest.mark.skipif(not TRAINS, reason="the numpy backend can't train")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4)).astype("float32")
Y = RNG.normal(size=(8, 2)).astype("float32")


def host(tensor):
    """A tensor or variable as an array."""
    return np.array(tensor.numpy() if K2 else KERAS.ops.convert_to_numpy(tensor))


def a_model(**kwargs):
    """Two dense layers, a batch normalization between them."""
    model = KERAS.Sequential(
        [
            KERAS.Input((4,)),
            layers.Dense(3, name="a"),
            layers.BatchNormalization(name="bn", momentum=0.5),
            layers.Dense(2, name="b"),
        ],
        **kwargs,
    )
    values = np.random.default_rng(1)
    for name, variable in named_weights(model).items():
        if name.split("/")[0] != "bn":
            variable.assign(values.normal(size=tuple(variable.shape)).astype("float32"))
    return model


def namespace():
    """Keras's own; ``keras.optimizers`` of 2.12 has the legacy ones."""
    if not K2:
        return KERAS
    import tensorflow as tf

    return tf.keras


def an_optimizer(name="Adam", **config):
    if K2:
        config.setdefault("jit_compile", False)
    home = namespace().optimizers
    kind = getattr(home, name, None) or getattr(getattr(home, "experimental", None), name)
    return kind(**{"learning_rate": 0.05, **config})


def compiled(model, optimizer=None, eagerly=False, **kwargs):
    # XLA takes longer to compile these than they take to run.
    jit = {"jit_compile": False} if INFO.backend == "tensorflow" else {}
    model.compile(optimizer or an_optimizer(), "mse", run_eagerly=eagerly, **jit, **kwargs)
    return model


def steps(model, count=2, **kwargs):
    model.fit(X, Y, batch_size=len(X), epochs=count, verbose=0, shuffle=False, **kwargs)


def values(model):
    return {name: host(v) for name, v in named_weights(model).items()}


def changed(before, after):
    return {name for name in before if not np.array_equal(before[name], after[name])}


A, B, BN = {"a/kernel", "a/bias"}, {"b/kernel", "b/bias"}, {"bn/gamma", "bn/beta"}
STATISTICS = {"bn/moving_mean", "bn/moving_variance"}
ALL = A | B | BN | STATISTICS


class Then(KERAS.callbacks.Callback):
    """Does something after the first batch of a fit, and notes the weights then."""

    def __init__(self, do):
        super().__init__()
        self.do, self.seen = do, None

    def on_train_batch_end(self, batch, logs=None):
        if self.seen is None:
            self.do(self.model)
            self.seen = values(self.model)


# --- At the next step -----------------------------------------------------------------------------


WAYS = ("before the first fit", "after a fit", "after train_on_batch", "from a callback")


@trains
@pytest.mark.parametrize(
    ("way", "eagerly"),
    [(way, eagerly) for way in WAYS for eagerly in (False, True) if THOROUGH or not eagerly or way == "after a fit"],
)
def test_a_compiled_model_honours_freezing_and_unfreezing_at_the_next_step(way, eagerly):
    model = compiled(a_model(), eagerly=eagerly)

    def step(do):
        """Does it, takes two steps, and returns the weights that those changed."""
        if way == "from a callback":
            then = Then(do)
            model.fit(X, Y, batch_size=4, verbose=0, epochs=2, shuffle=False, callbacks=[then])
            return changed(then.seen, values(model))
        if way == "after train_on_batch":
            model.train_on_batch(X, Y)
        elif way == "after a fit":
            steps(model)
        do(model)
        before = values(model)
        steps(model)
        return changed(before, values(model))

    assert step(lambda model: freeze(model, "a")) == ALL - A
    assert step(lambda model: unfreeze(model, "a")) == ALL
    assert step(lambda model: freeze(model, "*", exclude="b")) == B
    assert step(lambda model: unfreeze(model)) == ALL


@trains
def test_freezing_by_hand_is_taken_up_too():
    model = compiled(a_model())
    steps(model)
    model.get_layer("a").trainable = False
    freeze(model, "a")
    before = values(model)
    steps(model)
    assert changed(before, values(model)) == ALL - A


@trains
@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning")
def test_all_of_a_model_can_be_frozen_and_come_back():
    model = compiled(a_model())
    steps(model)
    freeze(model)
    before = values(model)
    steps(model)
    assert changed(before, values(model)) == set()
    unfreeze(model)
    steps(model)
    assert changed(before, values(model)) == ALL


OPTIMIZERS = {
    "Adam": {"weight_decay": 0.1, "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3},
    "SGD": {"momentum": 0.9, "nesterov": True},
    "Nadam": {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
    "RMSprop": {"momentum": 0.5, "centered": True, "clipvalue": 0.1},
    "Adafactor": {},
    "Ftrl": {},
}


EVERY = ("Adam", "SGD", "RMSprop", "Adafactor", "Ftrl", "Lion", "Adadelta", "Adagrad", "Adamax", "Lamb")


@trains
@pytest.mark.parametrize("name", OPTIMIZERS if THOROUGH else ["Adam", "SGD"])
def test_what_stays_trainable_goes_on_as_in_an_uninterrupted_run(name):
    """Against a run of the same model that trains all, and has the frozen weights put back after each step."""
    ours, peer = (compiled(a_model(), an_optimizer(name, **OPTIMIZERS[name])) for _ in range(2))
    for model in (ours, peer):
        freeze(model, "bn")
        for _ in range(3):
            model.train_on_batch(X, Y)
    start = values(ours)
    freeze(ours, "a")
    for _ in range(10):
        ours.train_on_batch(X, Y)
        peer.train_on_batch(X, Y)
        for weight in A:
            named_weights(peer)[weight].assign(start[weight])
    after = values(ours)
    assert changed(start, after) == B
    for weight in B:
        np.testing.assert_allclose(after[weight], values(peer)[weight], rtol=2e-4, atol=1e-6)
    assert_same_slots(ours, peer, B)
    assert int(host(ours.optimizer.iterations)) == 13
    steps(ours)  # writes the moving average over the weights at its end
    assert changed(start, values(ours)) == B


def assert_same_values(ours, peer):
    mine = values(ours)
    for name, value in values(peer).items():
        np.testing.assert_allclose(mine[name], value, rtol=1e-5, atol=1e-6)


def assert_same_slots(ours, peer, names):
    mine, theirs = (slots_of(model.optimizer, model.weights) for model in (ours, peer))
    compared = 0
    for name in names:
        left, right = mine[id(named_weights(ours)[name])], theirs[id(named_weights(peer)[name])]
        assert set(left) == set(right)
        for slot in left:
            compared += 1
            np.testing.assert_allclose(host(left[slot].variable), host(right[slot].variable), rtol=2e-4, atol=1e-6)
    assert compared >= len(names)


def fresh_slots(model, optimizer):
    """The variables of an optimizer that is built for what the model trains, by shape and what they are called last."""
    optimizer.build(list(model.trainable_variables))
    return own_variables(optimizer)


def own_variables(optimizer):
    found = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    return [(tuple(variable.shape), str(variable.dtype)) for variable in found]


@trains
@pytest.mark.parametrize("name", ["Nadam", "Muon", *(EVERY if THOROUGH else ())])
def test_an_optimizer_files_its_variables_as_a_new_one_would(name, request):
    if name == "Muon" and INFO.backend == "tensorflow" and INFO.version.startswith(("3.10.", "3.11.", "3.12.")):
        reason = "Keras 3.10 to 3.12 ask TensorFlow's variables for a path: Muon does not train there"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True, raises=AttributeError))
    config = OPTIMIZERS.get(name, {"use_ema": True})
    try:
        optimizer = an_optimizer(name, **config)
    except (ValueError, AttributeError, TypeError):
        pytest.skip(f"this Keras has no {name}")
    model = compiled(a_model(), optimizer)
    model.train_on_batch(X, Y)
    for change in (
        lambda: freeze(model, "a"),
        lambda: freeze(model),
        lambda: unfreeze(model, "b"),
        lambda: unfreeze(model),
    ):
        change()
        if model.trainable_weights:  # Nadam can't be built for none
            assert own_variables(model.optimizer) == fresh_slots(model, an_optimizer(name, **config))
            model.train_on_batch(X, Y)  # not fit: on JAX a second fit with a moving average fails by itself


@trains
@pytest.mark.parametrize("way", ["one by one", "all and all"])
def test_a_weight_that_comes_back_goes_on_with_its_state(way):
    model, peer = compiled(a_model()), compiled(a_model())
    for each in (model, peer):
        steps(each, 3)
    if way == "one by one":
        freeze(model, "a")
        freeze(model, "b")
        unfreeze(model, "b")
        unfreeze(model, "a")
    else:
        freeze(model)
        unfreeze(model)
    assert_same_slots(model, peer, trained_names(peer))
    for each in (model, peer):
        steps(each, 2)
    assert_same_values(model, peer)


@trains
def test_a_weight_that_was_never_trained_starts_with_fresh_state():
    model = a_model()
    freeze(model, "a")
    compiled(model)
    steps(model, 3)
    unfreeze(model, "a")
    slots = slots_of(model.optimizer, model.weights)
    fresh, used = (slots[id(named_weights(model)[name])] for name in ("a/kernel", "b/kernel"))
    assert set(fresh) == set(used) == {"_momentums", "_velocities"}
    assert all(not host(slot.variable).any() for slot in fresh.values())
    assert all(host(slot.variable).any() for slot in used.values())


@trains
def test_a_copied_optimizer_has_no_state_of_frozen_weights():
    model = compiled(a_model())
    steps(model)
    freeze(model, "a")
    aside = vars(innermost(model.optimizer))["_keras_buildfix_aside"]
    assert set(aside.of) == {id(named_weights(model)[name]) for name in A}
    assert not copy.deepcopy(aside).of


@trains
def test_metrics_schedule_and_loss_go_on():
    schedule = namespace().optimizers.schedules.PiecewiseConstantDecay([2, 4], [0.1, 0.01, 0.001])
    model = compiled(a_model(), an_optimizer("SGD", learning_rate=schedule), metrics=["mae"])
    optimizer, loss = model.optimizer, model.loss
    steps(model, 3)
    before = {metric.name: float(host(metric.result())) for metric in model.metrics if metric.name == "loss"}
    freeze(model, "a")
    after = {metric.name: float(host(metric.result())) for metric in model.metrics if metric.name == "loss"}
    assert before == after != {}
    assert model.optimizer is optimizer
    assert model.loss is loss
    assert int(host(optimizer.iterations)) == 3
    start = values(model)["b/bias"]
    steps(model, 1)
    assert float(host(schedule(optimizer.iterations))) == pytest.approx(0.01)
    assert np.abs(values(model)["b/bias"] - start).max() < 0.1
    assert set(model.fit(X, Y, verbose=0).history) == {"loss", "mae"}


@trains
def test_the_norm_of_gradients_does_not_count_frozen_weights():
    """With a huge gradient in what is frozen, a global norm that counted it would leave the rest where it is."""
    ours = compiled(a_model(), an_optimizer("SGD", global_clipnorm=1.0))
    peer = compiled(a_model(), an_optimizer("SGD", global_clipnorm=1.0))
    steps(ours, 1)
    peer.set_weights(ours.get_weights())
    freeze(ours, exclude="b/bias" if not K2 else "b")
    for name in ("a", "bn", *(() if K2 else ("b",))):
        peer.get_layer(name).trainable = False
    if not K2:
        peer.get_layer("b").trainable = True
        peer.get_layer("b").kernel.trainable = False
    compiled(peer, an_optimizer("SGD", global_clipnorm=1.0))
    start = values(ours)
    steps(ours, 1)
    steps(peer, 1)
    assert changed(start, values(ours)) == ({"b/bias"} if not K2 else B)
    np.testing.assert_allclose(values(ours)["b/bias"], values(peer)["b/bias"], rtol=1e-5)


@trains
@pytest.mark.skipif(
    INFO.backend == "torch", reason="torch on a CPU has no float16 for all operations; Keras wants a GPU for it"
)
def test_the_loss_scale_is_kept():
    model = KERAS.Sequential(
        [KERAS.Input((4,)), layers.Dense(3, name="a", dtype="mixed_float16"), layers.Dense(2, name="b")]
    )
    scaled = (namespace().mixed_precision if K2 else KERAS.optimizers).LossScaleOptimizer
    if K2:
        optimizer = scaled(an_optimizer(), initial_scale=256.0)
    else:
        optimizer = scaled(an_optimizer(), initial_scale=256.0, dynamic_growth_steps=2)
    compiled(model, optimizer)
    steps(model, 5)

    def scale():
        held = optimizer.loss_scale if K2 else optimizer.dynamic_scale
        return float(host(held))

    before = scale()
    assert before == (256.0 if K2 else 1024.0)
    start = values(model)
    freeze(model, "a")
    assert scale() == before
    steps(model, 1)
    assert changed(start, values(model)) == {"b/kernel", "b/bias"}
    unfreeze(model)
    steps(model, 1)
    assert changed(start, values(model)) == set(start)
    assert scale() >= before
    assert len(slots_of(optimizer, model.weights)) == 4


@trains
def test_a_moving_average_starts_at_the_weight_when_that_comes_back():
    model = a_model()
    freeze(model, "a")
    compiled(model, an_optimizer("Adam", learning_rate=1e-4, use_ema=True))
    for _ in range(3):
        model.train_on_batch(X, Y)
    before = values(model)
    unfreeze(model, "a")
    model.train_on_batch(X, Y)
    model.optimizer.finalize_variable_values(model.trainable_variables)
    np.testing.assert_allclose(values(model)["a/kernel"], before["a/kernel"], atol=0.01)
    assert "a/kernel" in changed(before, values(model))


def keeping(container):
    """An optimizer that keeps one more variable for each weight, in a way of its own."""

    class Keeping(namespace().optimizers.SGD):
        def build(self, variables):
            was_built = getattr(self, "built", False) or getattr(self, "_built", False)
            super().build(variables)
            if not was_built:
                made = [(variable, self.add_variable_from_reference(variable, "kept")) for variable in variables]
                self.kept = container(self, made)

    return Keeping(0.01, **({"jit_compile": False} if K2 else {}))


@trains
@pytest.mark.parametrize(
    "container",
    [lambda _, made: [(held,) for _, held in made], lambda _, made: [[held for _, held in made] * 2]],
    ids=["tuples", "nested"],
)
def test_an_optimizer_whose_variables_are_unclear_is_refused(container):
    model = compiled(a_model(), keeping(container))
    steps(model, 1)
    with pytest.raises(
        ValueError,
        match=r"The optimizer Keeping keeps variables .* not clear to which weight they belong",
    ):
        freeze(model, "a")
    assert trained_names(model) == A | BN | B
    before = values(model)
    steps(model, 1)
    assert changed(before, values(model)) >= ALL - {"a/bias"}  # before a normalization it has next to no gradient


@trains
def test_variables_that_an_optimizer_keeps_by_its_own_key_follow():
    optimizer = keeping(lambda own, made: {own._var_key(variable): held for variable, held in made})
    model = compiled(a_model(), optimizer)
    steps(model, 1)
    held = optimizer.kept[optimizer._var_key(named_weights(model)["b/kernel"])]
    freeze(model, "a")
    assert len(optimizer.kept) == 4
    unfreeze(model)
    assert len(optimizer.kept) == 6
    assert optimizer.kept[optimizer._var_key(named_weights(model)["b/kernel"])] is held
    steps(model, 1)


@trains
@pytest.mark.skipif(INFO.backend == "jax", reason="there an optimizer takes the weights of one model only")
def test_what_an_optimizer_trains_besides_goes_on():
    model, other = compiled(a_model()), layers.Dense(1)
    other.build((None, 2))
    model.optimizer.build([*model.trainable_variables, *other.trainable_variables])
    steps(model, 1)
    freeze(model, "a")
    steps(model, 1)
    unfreeze(model, "a")
    before = host(other.kernel)
    gradients = [KERAS.ops.ones(tuple(v.shape)) if not K2 else np.ones(tuple(v.shape)) for v in other.weights]
    if K2:
        import tensorflow as tf

        gradients = [tf.constant(gradient, "float32") for gradient in gradients]
    model.optimizer.apply_gradients(zip(gradients, other.trainable_variables))
    assert (host(other.kernel) < before).all()


@pytest.mark.skipif(not K2, reason="Keras 3 has no legacy optimizers that train")
def test_legacy_optimizers_follow():
    model, peer = (compiled(a_model(), namespace().optimizers.legacy.Adam(0.05)) for _ in range(2))
    for each in (model, peer):
        steps(each)
    freeze(model, "a")
    assert len(model.optimizer.get_weights()) == len(peer.optimizer.get_weights()) - 4
    unfreeze(model, "a")
    for mine, theirs in zip(model.optimizer.get_weights(), peer.optimizer.get_weights()):
        np.testing.assert_array_equal(mine, theirs)
    with frozen(model, "b"):
        steps(model, 1)
    freeze(model, "a")
    before = values(model)
    steps(model)
    assert changed(before, values(model)) == ALL - A
    unfreeze(model, "a")
    kernel = named_weights(model)["a/kernel"]
    steps(model)
    assert changed(before, values(model)) == ALL
    first = values(model)["a/kernel"]
    assert model.optimizer.get_slot(kernel, "m") is not None
    assert np.abs(first - before["a/kernel"]).max() <= 0.05 * 2 * 1.01 * 10


@pytest.mark.skipif(INFO.backend != "tensorflow", reason="strategies are TensorFlow's")
def test_a_model_under_a_strategy_follows():
    with mirrored_strategy().scope():
        model = compiled(a_model())
    steps(model)
    freeze(model, "a")
    before = values(model)
    steps(model)
    assert changed(before, values(model)) == ALL - A
    unfreeze(model)
    steps(model)
    assert changed(before, values(model)) == ALL


# --- What else holds it ---------------------------------------------------------------------------


@trains
def test_models_that_share_a_layer_all_follow():
    shared = layers.Dense(3, name="shared")
    models = [compiled(KERAS.Sequential([KERAS.Input((4,)), shared, layers.Dense(2)])) for _ in range(2)]
    for model in models:
        steps(model)
    freeze(models[0], "shared")
    for model in models:
        before = values(model)
        steps(model)
        assert changed(before, values(model)) == {"dense/kernel", "dense/bias"}
    unfreeze(shared)
    for model in models:
        before = values(model)
        steps(model)
        assert changed(before, values(model)) == set(before)


@trains
def test_freezing_a_model_that_is_nested_in_a_compiled_one():
    inner = KERAS.Sequential(
        [KERAS.Input((4,)), layers.Dense(3, name="first"), layers.Dense(3, name="second")], name="inner"
    )
    model = compiled(KERAS.Sequential([KERAS.Input((4,)), inner, layers.Dense(2, name="head")]))
    steps(model)
    freeze(inner)
    before = values(model)
    steps(model)
    assert changed(before, values(model)) == {"head/kernel", "head/bias"}
    unfreeze(model, "inner/second")
    before = values(model)
    steps(model)
    assert changed(before, values(model)) == {n for n in before if "first" not in n}
    assert [layer.trainable for layer in inner.layers] == [False, True]


@pytest.fixture
def hidden_objects():
    """All objects are where the garbage collector does not look, as in a server that forks."""
    import gc

    yield gc.freeze
    gc.unfreeze()


@trains
@pytest.mark.at_length  # where Python differs: 3.13 hides the local variables of a frame from the collector
@pytest.mark.parametrize("given", ["the model", "a layer"])
def test_models_are_found_after_gc_freeze(given, hidden_objects):
    model = compiled(a_model())
    steps(model)
    hidden_objects()
    freeze(model if given == "the model" else model.get_layer("a"), **({"select": "a"} if given == "the model" else {}))
    before = values(model)
    steps(model)
    assert changed(before, values(model)) == ALL - A
    unfreeze(model.get_layer("a"))
    before = values(model)
    steps(model)
    assert changed(before, values(model)) == ALL
    assert len(slots_of(model.optimizer, model.weights)) == 6


@trains
@pytest.mark.parametrize("collect", [False, True])
def test_models_that_are_made_after_a_search_are_found(collect):
    import gc

    shared = layers.Dense(3, name="shared")
    first = compiled(KERAS.Sequential([KERAS.Input((4,)), shared, layers.Dense(2)]))
    steps(first, 1)
    freeze(shared)
    second = compiled(KERAS.Sequential([KERAS.Input((4,)), shared, layers.Dense(2, name="head")]))
    steps(second, 1)
    if collect:
        gc.collect()
    unfreeze(shared)
    for model in (first, second):
        before = values(model)
        steps(model, 1)
        assert changed(before, values(model)) == set(before)


# --- Batch normalization --------------------------------------------------------------------------


@trains
def test_a_frozen_batch_normalization_runs_in_inference_mode_and_stands_still():
    model = compiled(a_model())
    steps(model)
    freeze(model, KERAS.layers.BatchNormalization)
    before = values(model)
    expected = host(model(X, training=False))
    np.testing.assert_allclose(host(model(X, training=True)), expected, rtol=1e-5)
    steps(model)
    assert changed(before, values(model)) == A | B


@trains
def test_all_but_the_statistics_of_a_batch_normalization_can_be_frozen():
    model = compiled(a_model())
    steps(model)
    freeze(model, batchnorm="train", exclude="b")
    before = values(model)
    steps(model)
    assert changed(before, values(model)) == B | STATISTICS
    assert list(values(model)) == list(values(a_model()))
    freeze(model, "bn")
    before = values(model)
    steps(model)
    assert changed(before, values(model)) == B
    unfreeze(model, batchnorm="frozen")
    before = values(model)
    steps(model)
    assert changed(before, values(model)) == A | B
    unfreeze(model, "bn")
    before = values(model)
    steps(model)
    assert changed(before, values(model)) == ALL


# --- For a block ----------------------------------------------------------------------------------


@trains
def test_a_block_restores_flags_and_the_optimizers_state_after_an_error_too():
    model = compiled(a_model())
    freeze(model, "bn")
    steps(model, 3)

    def state():
        flags = [layer.trainable for layer in model.layers]
        of = slots_of(model.optimizer, model.weights)
        slots = {
            (name, slot): host(held.variable)
            for name, weight in named_weights(model).items()
            for slot, held in of.get(id(weight), {}).items()
        }
        return flags, slots

    @frozen(model, "a")
    def step_and_fail():
        assert [layer.trainable for layer in model.layers] == [False, False, True]
        with frozen(model, "b"):
            assert not model.trainable_weights
        assert len(model.trainable_weights) == 2
        before = values(model)
        steps(model, 1)
        assert changed(before, values(model)) == B
        raise KeyError("on purpose")

    flags, slots = state()
    with pytest.raises(KeyError, match="on purpose"):
        step_and_fail()
    flags_after, slots_after = state()
    assert flags_after == flags == [True, False, True]
    assert set(slots) == set(slots_after)
    same = {key for key in slots if np.array_equal(slots[key], slots_after[key])}
    assert same == {key for key in slots if key[0] in A}
    before = values(model)
    steps(model, 1)
    assert changed(before, values(model)) == A | B


def test_a_block_restores_flags_that_were_set_by_hand():
    inner = KERAS.Sequential([KERAS.Input((4,)), layers.Dense(3), layers.Dense(3)])
    model = KERAS.Sequential([KERAS.Input((4,)), inner, layers.Dense(2)])
    inner.layers[0].trainable = False
    flags = [layer.trainable for layer in (model, inner, *inner.layers, *model.layers)]
    with frozen(model):
        assert not model.trainable_weights
    assert flags == [layer.trainable for layer in (model, inner, *inner.layers, *model.layers)]
    assert len(model.trainable_weights) == 4


def test_what_is_built_in_a_block_is_trained_after_it():
    model = KERAS.Sequential([layers.Dense(3), layers.BatchNormalization(), layers.Dense(2)])
    with frozen(model):
        model.build((None, 4))
        assert len(model.weights) == 8
        assert not model.trainable_weights
    assert len(model.trainable_weights) == 6
    later = KERAS.Sequential([layers.Dense(3)])
    with frozen(later):
        pass
    later.build((None, 4))
    assert len(later.trainable_weights) == 2


# --- Not built yet --------------------------------------------------------------------------------


class Block(KERAS.layers.Layer):
    """Makes its layers when it is built."""

    def build(self, input_shape):
        self.dense = layers.Dense(3, name="dense")
        self.bn = layers.BatchNormalization(name="bn")
        self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")
        self.dense.build(input_shape)
        self.bn.build((*tuple(input_shape)[:-1], 3))
        super().build(input_shape)

    def call(self, x, training=None):
        return self.bn(self.dense(x), training=training) * self.scale


def outer(block):
    return KERAS.Sequential([block, layers.Dense(2, name="head")])


@trains
@pytest.mark.parametrize("way", ["the block", "its name", "a layer in it", "a class"])
def test_what_is_frozen_before_it_is_built_stays_frozen(way):
    block = Block(name="block")
    model = outer(block)
    freeze(model, {"the block": block, "its name": "block", "a layer in it": "block/*", "a class": Block}[way])
    compiled(model)
    model.build((None, 4))
    before = values(model)
    assert len(before) == 9
    steps(model)
    left = {"head/kernel", "head/bias"}
    assert changed(before, values(model)) == left
    assert block.bn.trainable is False
    unfreeze(model)
    steps(model)
    assert changed(before, values(model)) == set(before)


class Lazy(KERAS.Model):
    """Its layers are built by its first call."""

    def __init__(self):
        super().__init__()
        self.p, self.q = layers.Dense(3, name="p"), layers.Dense(2, name="q")

    def call(self, x):
        return self.q(self.p(x))


@trains
def test_what_fit_builds_while_it_is_frozen_can_be_trained_later():
    model = Lazy()
    freeze(model, "p")
    compiled(model)
    steps(model, 1)
    before = values(model)
    steps(model, 1)
    assert changed(before, values(model)) == {"q/kernel", "q/bias"}
    unfreeze(model, "p")
    steps(model, 1)
    assert changed(before, values(model)) == set(before)


def test_rules_hold_in_their_order_for_what_is_built_later():
    block = Block(name="block")
    model = outer(block)
    freeze(model)
    unfreeze(model, "block/dense")
    unfreeze(model, "head")
    model.build((None, 4))
    assert trained_names(model) == {"block/dense/kernel", "block/dense/bias", "head/kernel", "head/bias"}


def test_a_flag_set_by_hand_after_a_rule_counts():
    block = Block(name="block")
    model = outer(block)
    freeze(model, "block")
    block.trainable = True
    model.build((None, 4))
    assert len(model.trainable_weights) == 7


def test_a_name_that_nothing_gets_is_an_error_when_all_is_built():
    block = Block(name="block")
    freeze(block, "dnse")
    with pytest.raises(
        ValueError, match=r"freeze: no layer or weight is called 'dnse' \(nearest: .*dense.* in 'block', now"
    ):
        block.build((None, 4))
    assert block(X).shape == (8, 3)


NOTHING = {
    "a name": lambda: "haed",
    "a list": lambda: ["block", "haed"],
    "a glob": lambda: "haed/*",
    "a regex": lambda: re.compile("^haed$"),
    "a class": lambda: layers.LSTM,
    "a function": lambda: lambda layer: layer.name == "haed",
}


@pytest.mark.parametrize("change", [freeze, unfreeze])
@pytest.mark.parametrize("place", ["select", "exclude"])
@pytest.mark.parametrize("what", NOTHING)
def test_what_nothing_answers_to_is_an_error_once_all_is_built(what, place, change):
    model = outer(Block(name="block"))
    change(model, **{place: NOTHING[what]()})
    said = f"{change.__name__}: {'exclude: ' if place == 'exclude' else ''}no layer .*now that it is built"
    if what == "a function":
        said = said.replace("no layer", ".* is true of no layer")
    with pytest.raises(ValueError, match=said):
        model(X)
    unfreeze(model)
    assert model(X).shape == (8, 2)
    assert len(model.trainable_weights) == 7


def test_what_different_layers_answer_to_once_they_are_built_is_no_error():
    model = KERAS.Sequential([Block(name="first"), Block(name="second"), layers.Dense(2, name="head")])
    freeze(model, ["first/scale", "second/dense/*"], exclude=["second/dense/bias", "head/kernel"])
    model.build((None, 4))
    frozen_ones = {"first/scale", "second/dense/kernel"} if not K2 else None
    if frozen_ones:
        assert (
            set(named_weights(model))
            - trained_names(model)
            - {f"{n}/bn/{w}" for n in ("first", "second") for w in ("moving_mean", "moving_variance")}
            == frozen_ones
        )


def test_a_class_means_its_layers_also_if_they_were_named_before():
    model = a_model()
    freeze(model, ["a", "b", layers.Dense])
    assert trained_names(model) == BN


# --- What is meant --------------------------------------------------------------------------------


def trained_names(model):
    trained = {id(variable) for variable in model.trainable_weights}
    return {name for name, variable in named_weights(model).items() if id(variable) in trained}


@pytest.mark.parametrize(
    "select",
    [
        "a",
        "a/*",
        re.compile("^a"),
        lambda layer: layer.name == "a",
        ["a/kernel", "a/bias"],
        ("a", "a"),
        lambda model: model.get_layer("a"),
        lambda model: [model.get_layer("a")],
    ],
    ids=["name", "glob", "regex", "function", "weights", "sequence", "layer", "layers"],
)
def test_ways_to_say_which(select, request):
    model = a_model()
    if request.node.callspec.id.startswith("layer"):
        select = select(model)
    freeze(model, select)
    assert trained_names(model) == BN | B
    assert model.get_layer("a").trainable is False
    unfreeze(model, select)
    assert trained_names(model) == A | BN | B
    freeze(model, exclude=select)
    assert trained_names(model) == A


def test_a_class_means_its_layers_and_not_the_model_itself():
    model = a_model()
    freeze(model, layers.Dense)
    assert trained_names(model) == BN
    unfreeze(model, layers.Layer)
    assert trained_names(model) == A | BN | B
    freeze(model.get_layer("a"), layers.Dense)
    assert trained_names(model) == BN | B


def test_single_weights():
    model = a_model()
    bias = model.get_layer("a").bias
    for select in ("a/bias", bias, re.compile("^a/b")):
        freeze(model, select)
        assert trained_names(model) == (A | BN | B) - {"a/bias"}
        assert model.get_layer("a").trainable is True
        unfreeze(model, select)
        assert trained_names(model) == A | BN | B
    assert list(named_weights(model)) == list(named_weights(a_model()))
    if K2:
        with pytest.raises(
            ValueError, match=r"Keras 2 can't freeze kernel of the layer 'a' alone.*Freeze the whole layer"
        ):
            freeze(model, "*kernel")
        assert trained_names(model) == A | BN | B
    else:
        freeze(model, "*kernel")
        assert trained_names(model) == BN | {"a/bias", "b/bias"}
        freeze(model)
        unfreeze(model, "a/bias")
        assert trained_names(model) == {"a/bias"}


@trains
def test_a_frozen_weight_of_a_trained_layer_does_not_change():
    model = compiled(a_model(), an_optimizer("Adam", weight_decay=0.1))
    steps(model)
    freeze(model, "b/bias")
    before = values(model)
    assert list(before) == list(values(a_model()))
    steps(model)
    assert changed(before, values(model)) == ALL - {"b/bias"}


def test_up_to_a_layer():
    inner = KERAS.Sequential([KERAS.Input((4,)), *(layers.Dense(4, name=f"i{n}") for n in range(3))], name="inner")
    model = KERAS.Sequential([KERAS.Input((4,)), layers.Dense(4, name="stem"), inner, layers.Dense(2, name="head")])
    freeze_up_to(model, "inner/i1")
    assert trained_names(model) == {"inner/i2/kernel", "inner/i2/bias", "head/kernel", "head/bias"}
    unfreeze(model)
    freeze_up_to(model, inner)
    assert trained_names(model) == {"head/kernel", "head/bias"}
    unfreeze(model)
    freeze_up_to(model, inner.layers[0])
    assert len(trained_names(model)) == 6
    with pytest.raises(ValueError, match=r"freeze_up_to: no layer or weight is called 'inner/i7' \(nearest: inner/i"):
        freeze_up_to(model, "inner/i7")
    with pytest.raises(ValueError, match="'inner/i1/kernel' is a weight, not a layer: pass 'inner/i1', which"):
        freeze_up_to(model, "inner/i1/kernel")
    with pytest.raises(ValueError, match="freeze_up_to: the layer 'stray' is not in"):
        freeze_up_to(model, layers.Dense(1, name="stray"))


@pytest.mark.skipif(K2, reason="TensorFlow takes no such names")
def test_a_name_with_signs_of_a_glob_means_itself_first():
    model = KERAS.Sequential([KERAS.Input((4,)), layers.Dense(3, name="a[0]"), layers.Dense(3, name="a0")])
    freeze(model, "a[0]")
    assert trained_names(model) == {"a0/kernel", "a0/bias"}


WRONG = {
    "up to the model": (lambda m: freeze_up_to(m, ""), ValueError, "freeze_up_to: no layer or weight is called ''"),
    "a name of nothing": (
        lambda m: freeze(m, "c"),
        ValueError,
        "no layer or weight is called 'c' .*Nothing was changed",
    ),
    "a name nearly right": (lambda m: freeze(m, "a/kernl"), ValueError, r"\(nearest: a/kernel"),
    "a regex of nothing": (lambda m: freeze(m, re.compile("^z")), ValueError, r"the regular expression .\^z. matches"),
    "one of several": (lambda m: freeze(m, ["a", "z"]), ValueError, "called 'z'"),
    "a class of nothing": (lambda m: freeze(m, layers.LSTM), ValueError, "no layer is a LSTM"),
    "a function true of nothing": (lambda m: freeze(m, lambda layer: False), ValueError, "is true of no layer"),
    "a class to leave": (lambda m: freeze(m, exclude=layers.LSTM), ValueError, "exclude: no layer is a LSTM"),
    "a function to leave": (lambda m: unfreeze(m, exclude=lambda x: False), ValueError, "exclude: .*is true of no"),
    "one of several to leave": (lambda m: freeze(m, exclude=["a", "z"]), ValueError, "exclude: no layer .* called 'z'"),
    "a regex to leave": (lambda m: freeze(m, exclude=re.compile("^z")), ValueError, "exclude: no layer .*'.z'"),
    "what to leave": (lambda m: freeze(m, exclude="c"), ValueError, "exclude: no layer or weight is called 'c'"),
    "nothing that is trained": (
        lambda m: freeze(m, "bn/moving_mean"),
        ValueError,
        "has no weights that could be trained",
    ),
    "all left out": (lambda m: freeze(m, "a", exclude="a"), ValueError, "has no weights that could be trained"),
    "an empty list": (lambda m: freeze(m, []), ValueError, "selects nothing in"),
    "a layer of another model": (lambda m: freeze(m, layers.Dense(1, name="d")), ValueError, "the layer 'd' is not in"),
    "a weight of another model": (lambda m: freeze(m, a_model().weights[0]), ValueError, "the weight .* is not in"),
    "a number": (lambda m: freeze(m, 3), TypeError, "freeze selects by a name .*got 3"),
    "None": (lambda m: unfreeze(m, None), TypeError, "unfreeze selects by a name"),
    "a class that is no layer": (lambda m: freeze(m, dict), TypeError, "expects a Keras layer class"),
    "no model": (lambda m: freeze("model", "a"), TypeError, "freeze expects a Keras layer"),
    "a kind of batchnorm": (lambda m: freeze(m, batchnorm="off"), ValueError, "batchnorm is one of 'frozen', 'train'"),
    "in a block": (lambda m: frozen(m, "c").__enter__(), ValueError, "frozen: no layer or weight is called 'c'"),
    "a summary of no model": (lambda m: trainable_summary(3), TypeError, "trainable_summary expects a Keras layer"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_selections_are_one_clear_error_and_change_nothing(case):
    do, error, match = WRONG[case]
    model = a_model()
    with pytest.raises(error, match=match):
        do(model)
    assert trained_names(model) == A | BN | B


def test_what_has_no_weights_cannot_be_frozen():
    model = KERAS.Sequential([KERAS.Input((4,)), layers.Dense(3), layers.ReLU(name="relu")])
    with pytest.raises(ValueError, match="freeze: the selection has no weights that could be trained in"):
        freeze(model, "relu")


@trains
def test_an_optimizer_that_cannot_be_followed_leaves_all_as_it_was(monkeypatch):
    model = compiled(a_model())
    freeze(model, "a")
    steps(model)
    inner = innermost(model.optimizer)
    before = own_variables(inner)

    def fail(*args):
        raise RuntimeError("on purpose")

    monkeypatch.setattr(type(inner), "build", fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        unfreeze(model, "a")
    monkeypatch.undo()
    assert trained_names(model) == BN | B
    assert own_variables(inner) == before
    start = values(model)
    steps(model)
    assert changed(start, values(model)) == ALL - A
    unfreeze(model, "a")
    assert own_variables(inner) == fresh_slots(model, an_optimizer())


@pytest.mark.skipif(not K2, reason="a plain tf.Module is part of a layer on Keras 2 only")
def test_a_plain_module_is_frozen_with_the_layer_that_holds_it():
    import tensorflow as tf

    class Scale(tf.Module):
        def __init__(self):
            super().__init__(name="scale")
            self.scale, self.inner = tf.Variable(2.0), [tf.Variable(1.0)]

    class Holder(layers.Layer):
        def __init__(self):
            super().__init__(name="holder")
            self.dense, self.module = layers.Dense(2, name="dense"), Scale()

        def call(self, x):
            return self.dense(x) * self.module.scale * self.module.inner[0]

    model = compiled(KERAS.Sequential([KERAS.Input((4,)), Holder(), layers.Dense(2, name="head")]))
    holder, head = model.layers

    def stepped():
        before = [host(v) for v in model.weights]
        steps(model, 1)
        after = {id(v) for v, was in zip(model.weights, before) if not np.array_equal(was, host(v))}
        return {v.name for v in holder.weights if id(v) in after}, {v.name for v in head.weights if id(v) in after}

    both = {v.name for v in holder.weights}, {v.name for v in head.weights}
    assert len(holder.trainable_weights) == 4
    assert stepped() == both
    with frozen(model, "holder"):
        assert len(holder.trainable_weights) == 0
        assert stepped() == (set(), both[1])
        assert trainable_summary(model).total.frozen == 12
    assert stepped() == both
    freeze(model, "holder/dense")
    assert len(holder.trainable_weights) == 2
    with pytest.raises(ValueError, match="not a layer: it can only be frozen together with all that 'ho"):
        freeze(model, "holder/scale", exclude="head")
    unfreeze(model)
    freeze(model)
    assert not model.trainable_weights
    with pytest.raises(ValueError, match="is a plain Scale, not a layer: it can only be frozen together"):
        unfreeze(model, "holder/dense")
    unfreeze(model, "holder")
    assert stepped() == (both[0], set())


# --- The report -----------------------------------------------------------------------------------


def test_the_summary_counts_numbers_and_bytes():
    model = a_model()
    freeze(model, "a")
    summary = trainable_summary(model)
    assert [(each.name, each.trainable, each.frozen) for each in summary.layers] == [
        ("a", 0, 15),
        ("bn", 6, 6),
        ("b", 8, 0),
    ]
    assert (summary.total.trainable_bytes, summary.total.frozen_bytes) == (56, 84)
    assert "a " in str(summary)
    assert str(summary).splitlines()[-1].split() == ["total", "14", "56", "21", "84"]
    waiting = KERAS.Sequential([layers.Dense(2, name="later")])
    assert trainable_summary(waiting).not_built == ("later",)
    assert "not built yet: later" in str(trainable_summary(waiting))


def test_what_was_frozen_is_told():
    inputs = KERAS.Input((3,))
    hidden = layers.BatchNormalization(name="bn")(layers.Dense(3, name="stem")(inputs))
    model = KERAS.Model(inputs, layers.Dense(1, name="head")(hidden))
    report = freeze(model, exclude="head")
    assert str(report) == "froze 2 layers, 4 of 6 weights"
    assert repr(report) == f"<FreezeReport: {report}>"
    assert (report.layers, report.waiting) == (("stem", "bn"), ())
    assert report.weights == ("stem/kernel", "stem/bias", "bn/gamma", "bn/beta")
    assert str(freeze(model, "stem")) == "froze nothing: what is selected was frozen already"
    report = unfreeze(model, "stem")
    assert (str(report), report.weights) == ("unfroze 1 layer, 2 of 6 weights", ("stem/kernel", "stem/bias"))
    with frozen(model, "head") as report:
        assert str(report) == "froze 1 layer, 2 of 6 weights"
    assert str(freeze_up_to(model, "stem")) == "froze 1 layer, 2 of 6 weights"


@pytest.mark.skipif(K2, reason="a weight is frozen without its layer")
def test_a_layer_whose_weights_were_frozen_one_by_one_is_told_when_it_is_frozen():
    model = a_model()
    freeze(model, ["bn/gamma", "bn/beta"], batchnorm="train")
    report = freeze(model, "bn")
    assert report.layers == ("bn",)
    assert str(report) == "froze 1 layer, 0 of 6 weights"
    assert str(freeze(model, "bn")) == "froze nothing: what is selected was frozen already"


def test_what_waits_to_be_frozen_is_told():
    model = KERAS.Sequential([layers.Dense(3, name="stem"), layers.Dense(1, name="head")])
    report = freeze(model, "stem")
    assert str(report) == "froze nothing yet, waits for 2 layers to be built"
    assert report.waiting == ("stem", "head")
    model.layers[0].build((None, 3))
    assert str(freeze(model, "*")) == "froze 0 layers, 0 of 2 weights, waits for 1 layer to be built"
