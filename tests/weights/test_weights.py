"""Setting, getting and moving weights: all or nothing, by name or order, the same on every Keras."""

import copy
import pickle
import sys

import numpy as np
import pytest
import weight_zoo
from environment import INFO, KERAS
from weight_zoo import value_for

import keras_buildfix
from keras_buildfix import get_weights, named_weights, set_weights, transfer_weights
from keras_buildfix._arrays import empty_aligned
from keras_buildfix.testing.ways import mirrored_strategy
from keras_buildfix.weight_files.entry import Entry
from keras_buildfix.weights.assigning import Assignment, assign_all

L = KERAS.layers
TRAINS = INFO.backend not in ("numpy", "openvino")


def dense(units=2, size=3, **kwargs):
    layer = L.Dense(units, **kwargs)
    layer.build((None, size))
    return layer


def stack(*names, size=3):
    return KERAS.Sequential([KERAS.Input((size,)), *(L.Dense(size, name=name) for name in names)])


def values(layer):
    return {name: value.tolist() for name, value in get_weights(layer).items()}


def random_values(layer, seed=0):
    random = np.random.default_rng(seed)
    return {
        name: (random.uniform(0.5, 1.5, w.shape) if "variance" in name else random.normal(size=w.shape)).astype(
            "float32"
        )
        for name, w in named_weights(layer).items()
    }


# --- set and get ---------------------------------------------------------------------------


def test_what_is_set_is_what_is_got():
    layer = dense()
    given = random_values(layer)
    report = set_weights(layer, given)
    assert report.assigned == ("kernel", "bias")
    assert report.complete
    got = get_weights(layer)
    assert list(got) == ["kernel", "bias"]
    np.testing.assert_array_equal(got["kernel"], given["kernel"])
    np.testing.assert_array_equal(got["bias"], given["bias"])


def test_arrays_are_copies_both_ways():
    layer = dense()
    given = random_values(layer)
    kept = {name: value.copy() for name, value in given.items()}
    set_weights(layer, given)
    got = get_weights(layer)
    for array in (*given.values(), *got.values()):
        array[...] = 99.0
    for name, value in get_weights(layer).items():
        np.testing.assert_array_equal(value, kept[name])


def test_a_sequence_is_in_the_order_of_construction_whatever_is_frozen():
    class Pair(L.Layer):
        def build(self, input_shape):
            self.own = self.add_weight(shape=(2,), initializer="zeros", trainable=False, name="own")
            self.a, self.b = L.Dense(2, use_bias=False), L.Dense(2, use_bias=False)
            self.a.build((None, 2))
            self.b.build((None, 2))
            self.built = True

        def call(self, inputs):
            return self.b(self.a(inputs)) + self.own

    layer = Pair()
    layer.build((None, 2))
    given = list(random_values(layer).values())
    set_weights(layer, given)
    before = values(layer)
    taken = layer.get_weights()
    layer.a.trainable = False
    set_weights(layer, taken)
    assert values(layer) == before


def test_plain_keras_2_permutes_what_we_do_not():
    """Shows the bug on the Kerases that have it: frozen layers change the order of ``get_weights``."""
    if INFO.generation == 3:
        pytest.skip("a bug of Keras 2")

    class Pair(L.Layer):
        def __init__(self):
            super().__init__()
            self.a, self.b = L.Dense(2, use_bias=False), L.Dense(2, use_bias=False)

        def build(self, input_shape):
            self.a.build(input_shape)
            self.b.build(input_shape)
            self.built = True

    layer = Pair()
    layer.build((None, 2))
    before = values(layer)
    taken = layer.get_weights()
    layer.a.trainable = False
    layer.set_weights(taken)
    assert values(layer) != before


@pytest.mark.parametrize("spell", ["canonical", "own"])
def test_a_mapping_goes_by_canonical_or_by_the_layers_own_names(spell):
    model = KERAS.Sequential([KERAS.Input((3,)), L.Dense(3), L.Dense(3, name="given")])
    given = random_values(model)
    if spell == "own":
        own = [str(getattr(w, "path", w.name)) for w in model.weights]
        given = dict(zip(own, given.values()))
    set_weights(model, given)
    for got, value in zip(get_weights(model).values(), given.values()):
        np.testing.assert_array_equal(got, value)


def test_a_name_that_could_mean_two_weights_is_an_error():
    model = stack("dense_1", "dense_2")  # given names that look made up: canonically dense and dense_1
    before = values(model)
    with pytest.raises(ValueError, match=r"dense_1/kernel  \(could be: dense_1/kernel, dense/kernel\)"):
        set_weights(model, {"dense_1/kernel": np.ones((3, 3))}, strict=False)
    assert values(model) == before
    set_weights(model, {"dense_1/kernel": np.ones((3, 3)), "dense_2/kernel": np.zeros((3, 3))}, strict=False)
    assert np.all(get_weights(model)["dense/kernel"] == 1)


@pytest.mark.parametrize("twice", [("kernel", "kernel:0"), ("kernel", "twice/kernel")])
def test_a_weight_that_is_named_twice_is_an_error(twice):
    layer = dense(name="twice", use_bias=False)
    before = values(layer)
    with pytest.raises(ValueError, match=r"the same weight as kernel|could be: kernel\)|1 unexpected"):
        set_weights(layer, {name: np.ones((3, 2)) for name in twice})
    assert values(layer) == before


def test_one_error_lists_all_that_is_wrong_and_nothing_changes():
    model = stack("one", "two")
    before = values(model)
    given = random_values(model)
    given["one/kernel"] = np.ones((3, 4), "float32")
    given["two/bias"] = np.ones((3,), "int32")
    given["two/kernl"] = given.pop("two/kernel")
    with pytest.raises(ValueError, match="nothing was changed") as caught:
        set_weights(model, given)
    message = str(caught.value)
    assert INFO.version in message
    assert model.name in message
    assert "one/kernel: its shape is (3, 3), the value's (3, 4)" in message
    assert "two/bias: its dtype is float32, the value's int32; casting='unsafe' casts it" in message
    assert "missing     two/kernel  (nearest: two/kernl" in message
    assert "unexpected  two/kernl" in message
    assert values(model) == before


def test_skip_mismatch_alone_is_strict_about_names():
    model = stack("one", "two")
    given, kept = random_values(model), values(model)["one/kernel"]
    given["one/kernel"] = np.ones((3, 4), "float32")
    report = set_weights(model, given, skip_mismatch=True)
    assert [each.name for each in report.skipped] == ["one/kernel"]
    assert values(model) == {name: given[name].tolist() for name in given} | {"one/kernel": kept}
    for wrong in ({**given, "other": np.ones(3)}, {name: given[name] for name in ("one/kernel", "one/bias")}):
        before = values(model)
        with pytest.raises(ValueError, match=r"1 unexpected|2 missing"):
            set_weights(model, wrong, skip_mismatch=True)
        assert values(model) == before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: keras_buildfix.load_weights(m, "w.h5", by_name=True),
            "load_weights takes no by_name=: it always follows",
        ),
        (lambda m: keras_buildfix.load_weights(m, filepath="w.h5"), "load_weights takes no filepath=: .* path"),
        (lambda m: keras_buildfix.save_weights(m, "w.h5", save_format="tf"), "takes no save_format=: the ending"),
        (lambda m: keras_buildfix.save_weights(m, "w.h5", max_shard_size=1), "takes no max_shard_size=: weights are"),
        (lambda m: keras_buildfix.load_weights(m, m), r"got Dense. transfer_weights\(source, target\) takes"),
        (lambda m: keras_buildfix.load_weights(m, [1.0]), r"got list. set_weights\(layer, weights\) takes"),
        (lambda m: keras_buildfix.save_weights("w.h5", m), "save_weights expects a Keras layer"),
        (lambda m: keras_buildfix.save_weights(m, None), "save_weights takes the path of a file; got NoneType"),
        (lambda m: transfer_weights("w.h5", m), r"load_weights\(mine, 'w.h5'\) loads a file"),
        (lambda m: transfer_weights({}, m), r"got a dict. set_weights\(layer, weights\) takes"),
    ],
)
def test_what_goes_another_way_is_answered_by_name(call, message):
    with pytest.raises(TypeError, match=message):
        call(dense(name="mine"))


def test_what_is_wrong_can_be_left_out():
    model = stack("one", "two")
    given = random_values(model)
    given["one/kernel"] = np.ones((3, 4), "float32")
    del given["two/bias"]
    given["three/bias"] = np.ones((3,), "float32")
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        set_weights(model, given, strict=False)
    report = set_weights(model, given, strict=False, skip_mismatch=True)
    assert report.assigned == ("one/bias", "two/kernel")
    assert report.missing == ("two/bias",)
    assert report.unexpected == ("three/bias",)
    assert [each.name for each in report.skipped] == ["one/kernel"]
    assert "2 assigned, 1 missing, 1 unexpected, 1 skipped" in str(report)
    np.testing.assert_array_equal(get_weights(model)["two/kernel"], given["two/kernel"])


def test_a_failure_while_assigning_gives_the_old_values_back(monkeypatch):
    model = stack("one", "two")
    before = values(model)
    variable = type(next(iter(named_weights(model).values())))
    assign, calls = variable.assign, []

    def failing(self, value, *args, **kwargs):
        calls.append(self)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return assign(self, value, *args, **kwargs)

    monkeypatch.setattr(variable, "assign", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        set_weights(model, random_values(model))
    monkeypatch.undo()
    assert len(calls) > 2
    assert values(model) == before


def test_a_value_that_cannot_be_read_gives_the_old_values_back():
    model = stack("one", "two")
    before = values(model)

    def fail():
        raise OSError("the disk is gone")

    changes = [
        Assignment(name, variable, Entry(name, tuple(variable.shape), "float32", fail if at == 2 else lambda v=new: v))
        for at, (name, variable, new) in enumerate(
            (name, variable, random_values(model)[name]) for name, variable in named_weights(model).items()
        )
    ]
    with pytest.raises(OSError, match="the disk is gone"):
        assign_all(changes)
    assert values(model) == before


@pytest.mark.skipif(INFO.generation == 3, reason="on Keras 3 all sizes of a weight are fixed")
def test_a_size_that_is_not_fixed_may_change():
    class Table(L.Layer):
        def build(self, input_shape):
            self.table = tf.Variable(np.zeros((2, 3), "float32"), shape=tf.TensorShape([None, 3]), name="table")

    tf = sys.modules["tensorflow"]
    source, target = Table(), Table()
    source.build((1,))
    target.build((1,))
    set_weights(source, [np.ones((5, 3), "float32")])
    transfer_weights(source, target)
    assert get_weights(target)["table"].tolist() == np.ones((5, 3)).tolist()
    with pytest.raises(ValueError, match=r"its shape is \(None, 3\), the value's \(5, 4\)"):
        set_weights(target, [np.ones((5, 4), "float32")])


def add_one(variable):
    ones = np.ones(variable.shape, "float32")
    if hasattr(variable, "assign_add"):
        variable.assign_add(ones)  # in place, where the backend can
    else:  # 3.0 and 3.1
        variable.assign(variable + ones)


@pytest.mark.parametrize("size", [4, 600], ids=["small", "large"])
def test_a_weight_shares_no_memory_with_the_array_or_weight_that_gave_its_value(size):
    target, source = L.Dense(size, use_bias=False, name="target"), L.Dense(size, use_bias=False, name="source")
    for layer in (target, source):
        layer.build((None, size))
    given = empty_aligned((size, size), np.dtype("float32"))  # backends may take such memory over
    given[...] = 1.0
    set_weights(target, [given])
    given += 1.0
    assert set(get_weights(target)["kernel"].flat) == {1.0}
    add_one(target.kernel)
    add_one(target.kernel)
    assert set(given.flat) == {2.0}
    assert set(get_weights(target)["kernel"].flat) == {3.0}

    transfer_weights(target, source)
    add_one(source.kernel)
    read = get_weights(target)["kernel"]
    target.kernel.assign(np.zeros((size, size), "float32"))
    assert set(read.flat) == {3.0}
    assert set(get_weights(source)["kernel"].flat) == {4.0}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([np.ones((3, 2))], ValueError, "2 weights, the sequence has 1 values"),
        ([np.ones((3, 2))] * 3, ValueError, "2 weights, the sequence has 3 values"),
        ([np.ones((2, 3)), np.ones(2)], ValueError, r"its shape is \(3, 2\), the value's \(2, 3\)"),
        ([np.ones((3, 2)), np.ones(2, bool)], ValueError, "the value's bool"),
        ([np.ones((3, 2)), np.ones(2, "complex64")], ValueError, "the value's complex64"),
        ([np.ones((3, 2)), np.array(["a", "b"])], ValueError, "which is not numeric"),
        ([np.ones((3, 2)), np.array([object(), None])], ValueError, "which is not numeric"),
        ({"kernel": np.ones((3, 2))}, ValueError, "missing     bias"),
        ({}, ValueError, "2 missing"),
        (3, TypeError, "expects a mapping of names to arrays, or a sequence of arrays"),
        (None, TypeError, "expects a mapping"),
        ("no/file.h5", TypeError, r"set_weights expects .*; load_weights\(layer, 'no/file.h5'\) loads a file"),
        (L.Dense(2, name="other"), TypeError, r"transfer_weights\(source, target\) takes the weights of 'other'"),
    ],
    ids=str,
)
def test_bad_input_is_one_clear_error_and_changes_nothing(given, error, message):
    layer = dense(name="bad")
    before = values(layer)
    with pytest.raises(error, match=message):
        set_weights(layer, given)
    assert values(layer) == before


def test_bad_options_are_one_clear_error():
    with pytest.raises(TypeError, match="skip_mismatch is True or False, not 'warn'"):
        set_weights(dense(), {}, skip_mismatch="warn")
    with pytest.raises(ValueError, match="casting is 'same_kind' or 'unsafe', not 'all'"):
        set_weights(dense(), {}, casting="all")
    for function in (set_weights, transfer_weights, keras_buildfix.load_weights, keras_buildfix.save_weights):
        with pytest.raises(TypeError, match=f"{function.__name__} expects a Keras layer"):
            function(*(({}, "model") if function is transfer_weights else ("model", {})))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
@pytest.mark.parametrize("target", ["float16", "float32", "float64", "bfloat16"])
def test_floats_of_any_width_go_into_each_other(dtype, target):
    if INFO.backend == "jax" and target == "float64":
        pytest.skip("JAX has no float64 unless it is told to")
    layer = dense(dtype=target)
    value = np.array([[1.5, -2.25], [0.0, 3.0], [0.125, 8.0]])  # exact in all of them
    value = value.astype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    set_weights(layer, {"kernel": value}, strict=False)
    got = get_weights(layer)["kernel"]
    assert got.dtype.name == target
    np.testing.assert_array_equal(got.astype("float64"), value.astype("float64"))


def test_what_would_overflow_is_an_error():
    layer = dense(dtype="float16")
    with pytest.raises(ValueError, match="1 of its float32 values are too large for float16"):
        set_weights(layer, {"kernel": np.array([[1e5, 1], [1, 1], [1, np.inf]], "float32")}, strict=False)


def test_whole_numbers_and_bools_go_into_floats_only_if_asked():
    layer = dense()
    given = {"kernel": np.arange(6).reshape(3, 2), "bias": np.array([True, False])}
    with pytest.raises(ValueError, match="casting='unsafe' casts it"):
        set_weights(layer, given)
    set_weights(layer, given, casting="unsafe")
    assert values(layer) == {"kernel": [[0, 1], [2, 3], [4, 5]], "bias": [1, 0]}


def test_whole_numbers_go_into_narrower_ones_if_they_fit():
    class Counter(L.Layer):
        def build(self, input_shape):
            self.count = self.add_weight(shape=(2,), dtype="int32", initializer="zeros", trainable=False, name="count")
            self.built = True

        def call(self, inputs):
            return inputs

    layer = Counter()
    layer.build((None, 1))
    set_weights(layer, {"count": np.array([-3, 2**31 - 1], "int64")})
    assert values(layer) == {"count": [-3, 2**31 - 1]}
    with pytest.raises(ValueError, match="1 of its int64 values are too large for int32"):
        set_weights(layer, {"count": np.array([0, 2**31], "int64")})
    assert values(layer) == {"count": [-3, 2**31 - 1]}


def test_layers_that_compute_from_their_weights_do_so():
    layer = L.Normalization()
    layer.build((None, 2))
    given = {"mean": [1.0, 2.0], "variance": [4.0, 9.0], "count": np.int64(3)}
    set_weights(layer, given)
    outputs = weight_zoo.as_numpy(KERAS, layer(np.array([[3.0, 5.0]], "float32")))
    np.testing.assert_allclose(outputs, [[1.0, 1.0]], rtol=1e-5)


@pytest.mark.skipif(not TRAINS or INFO.backend == "torch", reason="a distribution on two CPU devices: TensorFlow, JAX")
def test_weights_of_a_distributed_model_are_set_on_every_device():
    on_tensorflow = INFO.backend == "tensorflow"
    scope = mirrored_strategy().scope if on_tensorflow else KERAS.distribution.DataParallel().scope
    plain = stack("one", "two")
    with scope():
        model = stack("one", "two")
    given = random_values(model)
    set_weights(model, given)
    transfer_weights(model, plain)
    assert values(plain) == values(model) == {name: value.tolist() for name, value in given.items()}
    for weight in plain.weights:
        weight.assign(np.zeros(weight.shape, "float32"))
    transfer_weights(plain, model)
    assert values(plain) == values(model)
    if INFO.backend == "tensorflow":
        for weight in model.weights:
            kept = weight.value if INFO.generation == 3 else weight
            for one in mirrored_strategy().experimental_local_results(kept):
                assert not np.any(one.numpy())


def test_nan_is_accepted_and_counted():
    layer = dense()
    given = random_values(layer)
    given["kernel"][0, 0], given["kernel"][2, 1] = np.nan, np.inf
    report = set_weights(layer, given)
    assert report.not_finite == {"kernel": 2}
    assert "not finite  kernel: 2 values" in str(report)
    assert np.isnan(get_weights(layer)["kernel"][0, 0])


# --- before build --------------------------------------------------------------------------

INFERRED = {
    "Dense": (lambda: L.Dense(2), (2, 3)),
    "Embedding": (lambda: L.Embedding(5, 2), (2, 3)),
    "Conv1D": (lambda: L.Conv1D(2, 2), (1, 5, 3)),
    "Conv2D": (lambda: L.Conv2D(2, 2), (1, 5, 5, 3)),
    "Conv3D": (lambda: L.Conv3D(2, 2), (1, 5, 5, 5, 3)),
    "Conv1DTranspose": (lambda: L.Conv1DTranspose(2, 2), (1, 5, 3)),
    "Conv2DTranspose": (lambda: L.Conv2DTranspose(2, 2), (1, 5, 5, 3)),
    "Conv3DTranspose": (lambda: L.Conv3DTranspose(2, 2), (1, 5, 5, 5, 3)),
    "SimpleRNN": (lambda: L.SimpleRNN(2), (1, 3, 4)),
    "LSTM": (lambda: L.LSTM(2), (1, 3, 4)),
    "GRU": (lambda: L.GRU(2), (1, 3, 4)),
}


@pytest.mark.parametrize("by", ["mapping", "sequence"])
@pytest.mark.parametrize("name", sorted(INFERRED))
def test_these_are_built_for_their_weights(name, by):
    make, shape = INFERRED[name]
    known = make()
    known.build(shape)
    given = random_values(known)
    layer = make()
    report = set_weights(layer, given if by == "mapping" else list(given.values()))
    assert layer.built
    assert len(report.assigned) == len(given)
    for (_, got), value in zip(get_weights(layer).items(), given.values()):
        np.testing.assert_array_equal(got, value)
    inputs = np.ones(shape, "int32" if name == "Embedding" else "float32")
    known.set_weights([given[key] for key in named_weights(known)])
    assert np.allclose(weight_zoo.as_numpy(KERAS, layer(inputs)), weight_zoo.as_numpy(KERAS, known(inputs)), atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 3), (2, 4, 4, 3)])
@pytest.mark.parametrize("name", ["BatchNormalization", "LayerNormalization"])
def test_normalizations_take_the_axes_of_their_first_input(name, shape):
    known = getattr(L, name)()
    known(np.ones(shape, "float32"))
    given = random_values(known)
    known.set_weights([given[key] for key in named_weights(known)])
    layer = getattr(L, name)()
    assert len(set_weights(layer, given).waiting) == len(given)
    x = np.random.default_rng(3).normal(size=shape).astype("float32")
    assert np.allclose(weight_zoo.as_numpy(KERAS, layer(x)), weight_zoo.as_numpy(KERAS, known(x)), atol=1e-5)


register = (
    KERAS.utils if hasattr(KERAS.utils, "register_keras_serializable") else KERAS.saving
).register_keras_serializable


@register("test_weights")  # Keras 3.12 and later copies through its files
class Own(L.Layer):
    """What only its own ``build`` can tell."""

    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = L.Dense(units)

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")
        self.inner.build(input_shape)
        self.built = True

    def call(self, inputs):
        if hasattr(KERAS, "ops"):  # 3.2 on torch can't multiply a variable by a tensor
            return self.inner(KERAS.ops.multiply(inputs, self.scale))
        return self.inner(inputs * self.scale)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)


OWN = {"scale": [2.0, 3.0], "dense/kernel": [[1.0, 0.0], [0.0, 1.0]], "dense/bias": [5.0, 6.0]}


@pytest.mark.parametrize("by", ["mapping", "sequence"])
def test_others_are_built_if_the_shape_is_given(by):
    layer = Own()
    report = set_weights(layer, OWN if by == "mapping" else [*OWN.values()], input_shape=(None, 2))
    assert set(report.assigned) == set(OWN)
    assert values(layer) == OWN


@pytest.mark.parametrize("by", ["mapping", "sequence"])
@pytest.mark.parametrize("build", ["build", "call", "functional", "sequential", "predict", "subclassed"])
def test_values_wait_until_build_ends(by, build):
    layer = Own()
    report = set_weights(layer, OWN if by == "mapping" else [*OWN.values()])
    assert len(report.waiting) == 3
    assert not layer.built
    inputs = np.array([[1.0, 1.0], [2.0, 0.0]], "float32")
    expected = [[7.0, 9.0], [9.0, 6.0]]
    if build == "build":
        layer.build((None, 2))
        outputs = layer(inputs)
    elif build == "call":
        outputs = layer(inputs)
    elif build == "functional":
        entry = KERAS.Input((2,))
        outputs = KERAS.Model(entry, layer(entry))(inputs)
    elif build == "sequential":
        outputs = KERAS.Sequential([layer])(inputs)
    elif build == "predict":
        outputs = KERAS.Sequential([layer]).predict(inputs, verbose=0)
    else:

        class Model(KERAS.Model):
            def __init__(self):
                super().__init__()
                self.layer = layer

            def call(self, inputs):
                return self.layer(inputs)

        outputs = Model().predict(inputs, verbose=0)
    outputs = outputs if isinstance(outputs, np.ndarray) else weight_zoo.as_numpy(KERAS, outputs)
    np.testing.assert_allclose(outputs, expected)
    assert values(layer) == OWN
    assert "AfterBuild" not in repr(vars(layer).get("build"))


@pytest.mark.skipif(not TRAINS, reason="a backend that only predicts")
def test_values_that_waited_are_there_before_the_first_step_of_fit():
    model = KERAS.Sequential([Own()])
    set_weights(model, {f"own/{name}": value for name, value in OWN.items()})
    model.compile(KERAS.optimizers.SGD(0.0), "mse")
    model.fit(np.ones((4, 2), "float32"), np.ones((4, 2), "float32"), verbose=0)
    assert {name: value.tolist() for name, value in get_weights(model).items()} == {
        f"own/{n}": v for n, v in OWN.items()
    }


def test_a_lazy_model_gets_its_values_layer_by_layer():
    lazy, known = (KERAS.Sequential([L.Dense(2), L.Dense(3), L.Dense(1)]) for _ in range(2))
    known.build((None, 2))
    given = random_values(known)
    assert len(set_weights(lazy, given).waiting) == 6
    inputs = np.ones((1, 2), "float32")
    set_weights(known, given)
    outputs = [weight_zoo.as_numpy(KERAS, model(inputs)) for model in (lazy, known)]
    np.testing.assert_array_equal(*outputs)


def test_values_that_wait_in_vain_are_an_error_when_build_ends():
    layer = Own()
    set_weights(layer, {**OWN, "scale": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match=r"scale: its shape is \(2,\), the value's \(3,\)"):
        layer.build((None, 2))
    layer = Own()
    set_weights(layer, {**OWN, "scal": [1.0, 2.0]})
    with pytest.raises(ValueError, match="unexpected  scal"):
        layer.build((None, 2))


def test_what_was_set_last_counts():
    """And of what waits for a model and for a layer in it."""
    layer, twice = Own(), {name: (2 * np.asarray(value)).tolist() for name, value in OWN.items()}
    set_weights(layer, OWN)
    set_weights(layer, [*twice.values()])
    layer.build((None, 2))
    assert values(layer) == twice
    lazy = KERAS.Sequential([Own(name="inside")])
    set_weights(lazy, {f"inside/{name}": value for name, value in OWN.items()})
    set_weights(lazy.layers[-1], twice)
    lazy(np.ones((1, 2), "float32"))
    assert values(lazy.layers[-1]) == twice


def test_a_lazy_model_notices_wrong_and_missing_names_when_it_is_built():
    class Subclassed(KERAS.Model):
        def __init__(self):
            super().__init__()
            self.one, self.two = L.Dense(2, name="one"), L.Dense(2, name="two")

        def call(self, inputs):
            return self.two(self.one(inputs))

    inputs = np.ones((1, 2), "float32")
    kernel, bias = np.ones((2, 2), "float32"), np.ones(2, "float32")
    whole = {f"{name}/{part}": value for name in ("one", "two") for part, value in (("kernel", kernel), ("bias", bias))}
    for make in (Subclassed, lambda: KERAS.Sequential([L.Dense(2, name="one"), L.Dense(2, name="two")])):
        wrong = dict(whole)
        wrong["tow/kernel"] = wrong.pop("two/kernel")
        model = make()
        set_weights(model, wrong)
        with pytest.raises(ValueError, match=r"unexpected  tow/kernel  \(nearest: two/kernel"):
            model(inputs)
        with pytest.raises(ValueError, match=r"give these up with set_weights\(layer, {}, strict=False\)"):
            model(inputs)
        set_weights(model, {}, strict=False)
        model(inputs)
        model = make()
        set_weights(model, {name: value for name, value in whole.items() if name != "one/bias"})
        with pytest.raises(ValueError, match="missing     one/bias"):
            model(inputs)
        model = make()
        set_weights(model, whole)
        assert weight_zoo.as_numpy(KERAS, model(inputs)).tolist() == [[7.0, 7.0]]


def test_a_model_that_is_built_in_part_is_left_as_it_was_by_wrong_values():
    model = KERAS.Sequential([dense(size=2, name="built"), Own(name="lazy")])
    if all(layer.built for layer in model.layers):
        pytest.skip("this Keras builds the whole model for its first layer")
    before = values(model.layers[-2])
    given = {"built/kernel": np.ones((9, 9), "float32"), "built/bias": np.ones(2, "float32")}
    with pytest.raises(ValueError, match=r"(?s)nothing was changed.*built/kernel: its shape is \(2, 2\)"):
        set_weights(model, {**given, **{f"lazy/{name}": value for name, value in OWN.items()}})
    assert values(model.layers[-2]) == before
    model(np.ones((1, 2), "float32"))


def test_a_layer_that_was_built_for_wrong_values_is_not_built():
    layer = L.Dense(2)
    with pytest.raises(ValueError, match=r"missing     bias"):
        set_weights(layer, {"kernel": np.ones((5, 2), "float32")})
    assert not layer.built
    assert layer(np.ones((1, 3), "float32")).shape == (1, 2)
    assert [tuple(weight.shape) for weight in layer.weights] == [(3, 2), (2,)]


def test_lists_of_floats_are_not_rounded_on_the_way():
    if INFO.backend == "jax":
        pytest.skip("JAX has no float64 unless it is told to")
    layer = dense(dtype="float64")
    set_weights(layer, {"bias": [0.1, 0.2]}, strict=False)
    assert values(layer)["bias"] == [0.1, 0.2]
    with pytest.raises(ValueError, match="1 of its float64 values are too large for float32"):
        set_weights(dense(), {"bias": [1e300, 0.2]}, strict=False)


def test_the_order_is_kerass_own_where_a_layer_is_shared_at_two_depths():
    shared = L.Dense(4, name="shared")

    def nested(name):
        inputs = KERAS.Input((4,))
        return KERAS.Model(inputs, L.Dense(4)(shared(inputs)), name=name)

    one, other, inputs = nested("one"), nested("other"), KERAS.Input((4,))
    model = KERAS.Model(inputs, shared(other(one(inputs))))
    assert [id(w) for w in named_weights(model).values()] == [id(w) for w in model.weights]
    x = np.ones((1, 4), "float32")
    before = weight_zoo.as_numpy(KERAS, model(x))
    set_weights(model, model.get_weights())
    np.testing.assert_array_equal(weight_zoo.as_numpy(KERAS, model(x)), before)


def test_a_copy_of_a_layer_that_waits_builds_itself():
    layer = Own()
    plain = Own()
    try:
        copy.deepcopy(plain).build((None, 2))
    except Exception as error:
        assert INFO.version.startswith(("3.0.", "3.1.", "3.2."))
        pytest.skip(f"plain Keras can't copy layers here: {type(error).__name__}")
    if plain.built:
        pytest.skip("plain Keras's copy builds the original here")
    set_weights(layer, OWN)
    other = copy.deepcopy(layer)
    other.build((None, 2))
    assert not layer.built
    assert other.built
    layer.build((None, 2))
    assert get_weights(layer)["scale"].tolist() == OWN["scale"]


# --- transfer ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(weight_zoo.models(KERAS)))
def test_a_transfer_makes_the_outputs_equal(name):
    source, inputs = weight_zoo.make(KERAS, name)
    target = weight_zoo.models(KERAS)[name][0]()
    target(inputs)
    report = transfer_weights(source, target)
    assert report.complete
    assert report.assigned == tuple(named_weights(source))  # Keras 2 counts metrics among a model's weights
    for weight_name, value in get_weights(target).items():
        np.testing.assert_array_equal(value, value_for(weight_name, value.shape))
    outputs = [weight_zoo.outputs_of(KERAS, model, inputs) for model in (source, target)]
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize(
    "rename",
    [
        {"old/kernel": "new/kernel", "old/bias": "new/bias"},
        [(r"^old/", "new/")],
        [(r"^old/", "mid/"), (r"^mid/", "new/")],
        lambda name: name.replace("old", "new"),
    ],
    ids=["mapping", "pairs", "chain", "function"],
)
def test_names_can_be_changed_on_the_way(rename):
    source, target = stack("old", "same"), stack("new", "same")
    transfer_weights(source, target, rename=rename)
    assert list(values(source).values()) == list(values(target).values())


def test_a_name_that_was_changed_in_vain_is_shown_old_and_new():
    layer = dense()
    with pytest.raises(ValueError, match="1 missing, 1 unexpected") as caught:
        set_weights(layer, {"kernel": np.ones((3, 2)), "bias": np.ones(2)}, rename={"kernel": "kernal"})
    lines = [line.split() for line in str(caught.value).splitlines()]
    assert ["missing", "kernel", "(nearest:", "kernal)"] in lines
    assert ["unexpected", "kernel", "renamed", "to", "kernal", "(nearest:", "kernel)"] in lines


def test_two_weights_renamed_to_one_are_an_error():
    with pytest.raises(ValueError, match=r"rename makes 'x' of both 'one/kernel' and 'one/bias'"):
        transfer_weights(stack("one"), stack("one"), rename=lambda name: "x")


def test_layers_change_places_within_one_model():
    model = stack("one", "two")
    set_weights(model, random_values(model))
    before = values(model)
    swap = {"one": "two", "two": "one"}
    transfer_weights(model, model, rename=lambda name: f"{swap[name.split('/')[0]]}/{name.split('/')[1]}")
    after = values(model)
    assert after == {
        "one/kernel": before["two/kernel"],
        "one/bias": before["two/bias"],
        "two/kernel": before["one/kernel"],
        "two/bias": before["one/bias"],
    }


def test_a_transfer_casts_between_policies():
    source, target = dense(dtype="float32"), dense(dtype="float16")
    set_weights(source, {"kernel": [[1.5, 2.0], [0.5, 1.0], [4.0, 8.0]], "bias": [1.0, 2.0]})
    transfer_weights(source, target)
    assert values(target) == values(source)
    assert get_weights(target)["kernel"].dtype == np.float16


def test_a_transfer_waits_for_a_target_that_is_not_built():
    source, target = Own(), Own()
    set_weights(source, OWN, input_shape=(None, 2))
    assert len(transfer_weights(source, target).waiting) == 3
    set_weights(source, {name: np.zeros_like(value) for name, value in OWN.items()})  # it holds what it was given
    target.build((None, 2))
    assert values(target) == OWN


def test_a_source_without_weights_is_an_error():
    with pytest.raises(ValueError, match="'empty' has no weights; is it built"):
        transfer_weights(L.Dense(2, name="empty"), dense())


def test_a_transfer_on_one_backend_does_not_go_through_the_host(monkeypatch):
    source, target = stack("one", "two"), stack("one", "two")
    set_weights(source, random_values(source))
    with monkeypatch.context() as patch:
        ours = [module for name, module in sys.modules.items() if name.startswith("keras_buildfix")]
        for name in ("read_value", "view_value", "assign_value"):
            for module in [module for module in ours if hasattr(module, name)]:
                patch.setattr(module, name, lambda *_: pytest.fail("through the host"))
        transfer_weights(source, target)
    assert values(target) == values(source)


def train(model, steps=3):
    random = np.random.default_rng(1)
    x, y = random.normal(size=(8, 3)).astype("float32"), random.normal(size=(8, 3)).astype("float32")
    model.compile(KERAS.optimizers.Adam(0.1), "mse")
    model.fit(x, y, epochs=steps, batch_size=8, verbose=0)
    return model


@pytest.mark.skipif(not TRAINS, reason="a backend that only predicts")
@pytest.mark.parametrize("trained", ["source", "target"])
def test_both_models_are_independent_after_a_transfer(trained):
    """By value: training, deleting and writing to one never changes the other."""
    source, target = train(stack("one", "two")), train(stack("one", "two"))
    transfer_weights(source, target)
    kept = values(source)
    assert values(target) == kept
    one, other = (source, target) if trained == "source" else (target, source)
    one.fit(np.ones((8, 3), "float32"), np.zeros((8, 3), "float32"), epochs=3, verbose=0)
    assert values(other) == kept
    assert values(one) != kept
    for weight in one.weights:
        weight.assign(np.zeros(weight.shape, "float32"))
    del one, source, target
    assert values(other) == kept
    other.fit(np.ones((8, 3), "float32"), np.zeros((8, 3), "float32"), verbose=0)
    assert values(other) != kept


@pytest.mark.skipif(
    INFO.package != "tf_keras", reason="two Kerases in one process: TensorFlow brings Keras 3 to tf_keras"
)
def test_a_transfer_goes_across_kerases_in_one_process():
    import keras

    assert keras_buildfix.keras_info(keras).generation == 3
    source = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    target = KERAS.Sequential([KERAS.Input((3,)), L.Dense(3), L.BatchNormalization()])
    for one, other in ((source, target), (target, source)):
        set_weights(one, random_values(one, seed=len(one.name)))
        transfer_weights(one, other)
        assert values(one) == values(other)
        kept = values(one)
        for weight in other.weights:
            weight.assign(np.zeros(weight.shape, "float32"))
        assert values(one) == kept


def test_many_layers_are_matched_once_each(monkeypatch):
    """Linear: each layer is looked at a fixed number of times, counted and not timed."""
    from keras_buildfix._keras.tracking import direct_sublayers
    from keras_buildfix.layer_tree import tree as weight_names

    counts = []
    for number in (20, 40):
        seen = []
        whole = direct_sublayers
        monkeypatch.setattr(
            weight_names, "direct_sublayers", lambda layer, seen=seen, whole=whole: seen.append(1) or whole(layer)
        )

        class Many(L.Layer):
            def __init__(self, number):
                super().__init__()
                self.many = [L.Dense(1) for _ in range(number)]

            def build(self, input_shape):
                for layer in self.many:
                    layer.build(input_shape)
                self.built = True

        source, target, lazy = Many(number), Many(number), Many(number)
        source.build((None, 1))
        target.build((None, 1))
        transfer_weights(source, target)
        transfer_weights(source, lazy)
        lazy.build((None, 1))
        assert values(lazy) == values(source)
        monkeypatch.undo()
        counts.append(len(seen))
    assert counts[1] < 2.2 * counts[0]


def test_reports_are_data_that_can_be_kept():
    report = set_weights(dense(), {"kernel": np.ones((3, 2), "float32")}, strict=False)
    assert pickle.loads(pickle.dumps(report)) == report


def test_another_model_is_not_called_ambiguous():
    file = KERAS.Sequential([KERAS.Input((3,)), L.Dense(4), L.BatchNormalization(), L.Dense(2)])
    model = KERAS.Sequential([KERAS.Input((3,)), L.Dense(4)])
    before = values(model)
    with pytest.raises(
        ValueError, match=r"(?s)does not fit 'seq.*unexpected  batch_norm.*Check that they were saved"
    ) as caught:
        set_weights(model, get_weights(file))
    assert "several weights of" not in str(caught.value)
    assert values(model) == before


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        (3, "3 (an int)"),
        (None, "None"),
        (np.ones((30, 30)), "array([[1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1., 1... (a numpy.ndarray)"),
        ("x" * 70, f"'{'x' * 56}... (a str)"),
        (object, "the class object"),
    ],
    ids=["int", "none", "array", "text", "class"],
)
def test_what_is_given_wrongly_is_shown_on_one_line_and_cut_with_dots(wrong, shown):
    with pytest.raises(TypeError, match="get_weights expects a Keras layer") as caught:
        get_weights(wrong)
    assert f"got {shown}." in str(caught.value)
    assert "\n" not in str(caught.value)
