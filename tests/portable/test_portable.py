"""A body written for one Keras runs on this one: add_weight, raw variables, shapes."""

import copy
import json
import pickle
import sys
import warnings

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import (
    PortableLayerMixin,
    freeze,
    get_input_shape,
    get_output_shape,
    get_weights,
    load_weights,
    lost_weights,
    named_weights,
    raw_weight,
    read_weights,
    reset_built,
    save_weights,
    set_weights,
    unfreeze,
)
from keras_buildfix.portable.plain_shapes import Shape, plain_shapes

pytestmark = [pytest.mark.skipif(KERAS is None, reason="no Keras here")]
if INFO is not None and INFO.backend == "numpy":  # it traces with whatever numbers the memory holds
    pytestmark.append(pytest.mark.filterwarnings("ignore::RuntimeWarning"))
KERAS_2 = INFO is not None and INFO.generation == 2
BACKEND = INFO.backend if INFO is not None else ""
TRAINS = BACKEND != "numpy"
needs_training = pytest.mark.skipif(not TRAINS, reason="the numpy backend does not train")
needs_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.Variable on the TensorFlow backend")
Layer = KERAS.layers.Layer if KERAS is not None else object


def numpy(tensor):
    return np.asarray(tensor.detach().float().cpu() if hasattr(tensor, "detach") else tensor).astype("float64")


def raw(value, name=None, trainable=True):
    """The backend's own variable; on JAX and numpy, which have none, a mark."""
    value = np.asarray(value)
    if BACKEND == "tensorflow":
        return sys.modules["tensorflow"].Variable(value, name=name, trainable=trainable)
    if BACKEND == "torch" and value.dtype.kind == "f":
        torch = sys.modules["torch"]
        return torch.nn.Parameter(torch.tensor(value), requires_grad=trainable)
    return raw_weight(value, name=name, trainable=trainable)


SPELLINGS = {"weight": raw_weight, "raw": raw}
spelled = pytest.mark.parametrize("make", SPELLINGS.values(), ids=SPELLINGS)


def portable(base=Layer, **members):
    return type("Portable", (PortableLayerMixin, base), members)


def register(cls):
    KERAS.utils.get_custom_objects()[cls.__name__] = cls
    return cls


def ones(*shape):
    return np.ones(shape, "float32")


def names_of(variables):
    return [variable.name.partition(":")[0].rpartition("/")[2] for variable in variables]


def can_be_pickled(model):
    """Not on 2.12 nor on the first Keras 3."""
    try:
        return bool(pickle.dumps(model))
    except Exception:
        assert INFO.version < "3.5"
        return False


def value_of(variable):
    return numpy(KERAS.ops.convert_to_tensor(variable) if not KERAS_2 else variable)


# --- add_weight ---------------------------------------------------------------------------------

CALLS = {
    "name and shape": (("w", (3,)), {}),
    "name, shape, dtype, initializer": (("w", (3,), "float32", "ones"), {}),
    "name, shape, dtype, initializer, regularizer, trainable": (("w", (3,), None, "ones", None, False), {}),
    "None as the name": ((None, (3,), "float32", "ones"), {}),
    "shape": (((3,),), {"name": "w"}),
    "shape and initializer": (((3,), "ones"), {"name": "w"}),
    "shape, initializer, dtype, trainable": (([3], "ones", "float32", False), {"name": "w"}),
    "shape ... autocast, regularizer (3.2)": (((3,), "ones", None, True, True, "l2"), {"name": "w"}),
    "shape ... regularizer, constraint, name (3.0)": (((3,), "ones", None, True, "l2", None, "w"), {}),
    "shape ... constraint, name (add_variable of 3.2)": (((3,), "ones", None, True, True, "l2", None, "w"), {}),
    "shape ... constraint, aggregation (3.2)": (((3,), "ones", None, True, True, "l2", None, "none"), {"name": "w"}),
    "keywords": ((), {"name": "w", "shape": (3,), "initializer": "ones"}),
    "an int": ((3,), {"name": "w"}),
    "defaults of Keras 2": (("w", (3,)), {"use_resource": True, "collections": None, "getter": None, "layout": None}),
    "more defaults": (("w", (3,)), {"caching_device": None, "partitioner": None, "synchronization": None}),
    "defaults of Keras 3": (((3,),), {"name": "w", "autocast": True, "aggregation": "none"}),
    "overwrite_with_gradient": (((3,),), {"name": "w", "overwrite_with_gradient": False, "aggregation": None}),
}


@pytest.mark.parametrize("method", ["add_weight", "add_variable"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_add_weight_takes_every_order_and_the_defaults_of_every_keras(call, method):
    args, kwargs = call
    layer = portable()()
    made = getattr(layer, method)(*args, **kwargs)
    assert tuple(made.shape) == (3,)
    assert "float32" in str(made.dtype)
    if "w" in (*args, kwargs.get("name")):
        assert names_of([made]) == ["w"]
    if "ones" in (*args, kwargs.get("initializer")):
        assert value_of(made).tolist() == [1, 1, 1]
    frozen = False in args
    assert [w is made for w in (layer.non_trainable_weights if frozen else layer.trainable_weights)] == [True]
    if "l2" in args:
        assert float(sum(numpy(loss) for loss in layer.losses)) == pytest.approx(0.03)


def test_add_variable_goes_through_an_add_weight_of_ones_own():
    def add_weight(self, name, shape, **kwargs):
        return super(cls, self).add_weight(f"own_{name}", shape, **kwargs)

    cls = portable(add_weight=add_weight)
    layer = cls()
    layer.add_variable("w", (3,), initializer="ones")
    assert names_of(layer.weights) == ["own_w"]


def test_add_weight_without_a_shape_is_a_scalar():
    layer = portable()()
    assert tuple(layer.add_weight("w").shape) == ()
    assert tuple(layer.add_weight(name="v", shape=None, initializer="zeros").shape) == ()
    assert len(layer.weights) == 2


INITIALIZERS = {
    "a string": lambda: "ones",
    "an object": lambda: KERAS.initializers.Ones(),
    "a class": lambda: KERAS.initializers.Ones,
    "a function of shape and dtype": lambda: lambda shape, dtype: np.ones(shape, dtype),
    "one with a default dtype": lambda: lambda shape, dtype=None: np.ones(shape, dtype),
    "one without a dtype": lambda: lambda shape: np.ones(shape),
    "an array": lambda: np.ones(3),
    "a constant": lambda: KERAS.initializers.Constant(1),
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "int32"])
@pytest.mark.parametrize("initializer", INITIALIZERS.values(), ids=INITIALIZERS)
def test_add_weight_takes_initializers_of_every_kind(initializer, dtype):
    layer = portable()()
    made = layer.add_weight("w", (3,), dtype, initializer(), trainable=dtype != "int32")
    assert dtype in str(made.dtype)
    assert value_of(made).tolist() == [1, 1, 1]


def test_add_weight_takes_the_shape_of_an_array_and_refuses_another():
    layer = portable()()
    assert tuple(layer.add_weight(name="w", initializer=ones(2, 3)).shape) == (2, 3)
    with pytest.raises(ValueError, match=r"'v' of the layer .*shape \(3,\).*array of the shape \(2,\)"):
        layer.add_weight("v", (3,), initializer=ones(2))


def test_add_weight_takes_dtypes_of_every_library():
    dtypes = [np.float16, np.dtype("float16"), "float16"]
    if "tensorflow" in sys.modules:
        dtypes.append(sys.modules["tensorflow"].float16)
    if "torch" in sys.modules:
        dtypes.append(sys.modules["torch"].float16)
    layer = portable()()
    for dtype in dtypes:
        assert "float16" in str(layer.add_weight("w", (2,), dtype).dtype)
    assert "float32" in str(layer.add_weight("w", (2,), float).dtype)
    assert "bool" in str(layer.add_weight("w", (2,), bool, "zeros", trainable=False).dtype)


def test_plain_functions_regularize_and_constrain():
    layer = portable()()
    layer.w = layer.add_weight(
        "w", (3,), initializer="ones", regularizer=lambda w: 2.0 * w[0], constraint=lambda w: w * 0.5
    )
    assert float(numpy(layer.losses[0])) == 2.0
    assert numpy(layer.w.constraint(layer.w)).tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("keyword", ["autocast", "experimental_autocast"])
@pytest.mark.parametrize("on", [True, False, None])
def test_autocast_by_either_name_decides_in_which_dtype_a_weight_is_read(keyword, on):
    def build(self, shape):
        self.w = self.add_weight("w", (3,), initializer="ones", **{keyword: on})
        self.made = True

    seen = []

    def call(self, x):
        # Read as a weight is read: in an operation.
        seen.append(str((self.w + 0).dtype))
        return x

    layer = portable(build=build, call=call)(dtype="mixed_bfloat16")
    layer(ones(1, 3))
    assert ("float32" in seen[-1] and "bfloat16" not in seen[-1]) if on is False else "bfloat16" in seen[-1]
    assert "float32" in str(layer.w.dtype)


def test_add_weight_refuses_what_it_would_have_to_guess():
    layer = portable()(name="mine")
    with pytest.raises(TypeError, match=r"weight 'w' of the layer 'mine'.* `shape` twice"):
        layer.add_weight("w", (3,), shape=(4,))
    with pytest.raises(TypeError, match="`name` twice"):
        layer.add_weight("w", (3,), name="v")
    with pytest.raises(TypeError, match="autocast=True and experimental_autocast=False"):
        layer.add_weight("w", (3,), autocast=True, experimental_autocast=False)
    with pytest.raises(TypeError, match=r"'initialiser' for the weight 'w' of the layer 'mine'.*no Keras knows"):
        layer.add_weight("w", (3,), initialiser="ones")
    with pytest.raises(TypeError, match="at most 10 positional"):
        layer.add_weight(*("w", (3,), *[None] * 9))
    with pytest.raises(ValueError, match=r"weight 'w' of the layer 'mine' .*partitioner=3.*can't honour"):
        layer.add_weight("w", (3,), partitioner=3)
    assert layer.weights == []


@pytest.mark.skipif(KERAS_2, reason="Keras 2 honours these")
@pytest.mark.parametrize(
    ("keyword", "value"),
    [("use_resource", False), ("collections", ["a"]), ("caching_device", "cpu"), ("getter", print), ("layout", 1)],
)
def test_what_only_keras_2_honours_is_refused_by_name(keyword, value):
    with pytest.raises(ValueError, match=f"'w' of the layer .*{keyword}=.*{INFO.version}.*leave `{keyword}` out"):
        portable()().add_weight("w", (3,), **{keyword: value})


def test_a_slash_in_a_name_is_taken_or_refused_by_name():
    layer = portable()()
    if KERAS_2:
        assert "a/b" in layer.add_weight("a/b", (3,)).name
    else:
        with pytest.raises(ValueError, match=r"'a/b' of the layer .* Call it 'a_b'"):
            layer.add_weight("a/b", (3,))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="an enum of TensorFlow's")
def test_aggregations_by_enum_and_by_name_agree():
    tf = sys.modules["tensorflow"]
    layer = portable()()
    layer.add_weight(
        "a", (3,), aggregation=tf.VariableAggregation.NONE, synchronization=tf.VariableSynchronization.AUTO
    )
    knows = KERAS_2 or tuple(map(int, INFO.version.split(".")[:2])) >= (3, 2)
    for mean in ("mean", tf.VariableAggregation.MEAN):
        if knows:
            assert (
                str(getattr(layer.add_weight("b", (3,), aggregation=mean).aggregation, "name", "mean")).lower()
                == "mean"
            )
        else:
            with pytest.raises(ValueError, match=r"aggregation=.*can't honour"):
                layer.add_weight("b", (3,), aggregation=mean)


# --- raw variables ------------------------------------------------------------------------------


def with_structures(make, where):
    """A layer whose attributes hold one, two in a list, one in a dict in a tuple, one that is not trained."""

    def fill(self):
        self.one = make(ones(3), "first")
        self.items = [make(ones(3) * 2, "a"), make(ones(3) * 3, "b")]  # 2.12 can't save weights of one name
        self.deep = ({"key": [make(ones(3) * 4, "c")]}, 7)
        self.still = make(ones(3) * 5, "d", trainable=False)
        self.grown = []
        self.grown.append(make(ones(3) * 6, "e"))
        self.constant = ones(3)

    def init(self, **kwargs):
        super(cls, self).__init__(**kwargs)
        if where == "init":
            fill(self)

    def build(self, shape):
        if where == "build":
            fill(self)

    def call(self, x):
        items = [*self.items, *self.deep[0]["key"], self.still, *self.grown]
        x = x * self.one
        for item in items:
            x = x * item
        return x

    cls = register(portable(__init__=init, build=build, call=call))
    return cls


@spelled
@pytest.mark.parametrize("where", ["init", "build"])
def test_variables_in_attributes_are_tracked_trained_saved_and_loaded(make, where, tmp_path):
    cls = with_structures(make, where)
    model = KERAS.Sequential([KERAS.Input((3,)), cls(name="mine")])
    layer = model.layers[-1]
    assert sorted(value_of(w)[0] for w in layer.trainable_weights) == [1, 2, 3, 4, 6]
    assert [value_of(w)[0] for w in layer.non_trainable_weights] == [5]
    assert len(model.weights) == 6
    assert len(named_weights(model)) == 6
    assert np.allclose(numpy(model(ones(2, 3) / 720)), 1)
    if TRAINS:
        model.compile("sgd", "mse")
        before = get_weights(model)
        model.fit(ones(4, 3) / 720, np.zeros((4, 3)), epochs=1, verbose=0)
        after = get_weights(model)
        moved = {name for name in before if not np.array_equal(before[name], after[name])}
        assert len(moved) == 5
        assert value_of(layer.non_trainable_weights[0]).tolist() == [5, 5, 5]
        assert numpy(layer.one)[0] == value_of(layer.trainable_weights[0])[0] != 1
    values = {name: np.full_like(value, at + 0.5) for at, (name, value) in enumerate(get_weights(model).items())}
    set_weights(model, values)
    model.save_weights(str(tmp_path / "w.weights.h5"))
    other = KERAS.Sequential([KERAS.Input((3,)), cls(name="mine")])
    other.load_weights(str(tmp_path / "w.weights.h5"))
    others = [other]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras 2.12 on its own .keras format
        model.save(str(tmp_path / "m.keras"))
        others.append(KERAS.models.load_model(str(tmp_path / "m.keras"), compile=False))
    for loaded in others:
        assert all(np.array_equal(value, values[name]) for name, value in get_weights(loaded).items())
        assert np.allclose(numpy(loaded(ones(1, 3))), numpy(model(ones(1, 3))))


@spelled
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_variables_in_attributes_are_read_in_the_compute_dtype_and_trained_in_float32(make, policy):
    if BACKEND == "torch" and policy == "mixed_float16":
        pytest.skip("torch has no float16 for some operations on a CPU")
    seen = []

    def build(self, shape):
        self.one = make(ones(3), "one")
        self.items = [make(ones(3))]

    def call(self, x):
        y = x * self.one * self.items[0]
        seen.append(str(y.dtype))
        return y

    layer = portable(build=build, call=call)(dtype=policy)
    model = KERAS.Sequential([KERAS.Input((3,)), layer])
    model(ones(1, 3))
    assert policy[6:] in seen[-1]  # on torch, Keras traces a model without casting
    assert ["float32" in str(w.dtype) for w in layer.trainable_weights] == [True, True]
    if TRAINS:
        model.compile(KERAS.optimizers.SGD(0.5), "mse")
        model.fit(ones(4, 3), np.zeros((4, 3)), verbose=0)
        assert all(0 < value_of(w)[0] < 1 for w in layer.trainable_weights)


def test_names_are_those_given_or_those_of_the_attributes():
    layer = portable()()
    layer.scale = raw_weight(ones(2))
    layer.parts = [raw_weight(ones(2)), raw_weight(ones(2), name="given")]
    layer.table = {"a": raw_weight(ones(2))}
    assert names_of(layer.weights) == ["scale", "parts_0", "given", "table_a"]
    assert list(named_weights(layer)) == ["scale", "parts_0", "given", "table_a"]


@needs_tensorflow
def test_a_tf_variable_keeps_its_storage_and_name():
    tf = sys.modules["tensorflow"]
    mine, nameless = tf.Variable(ones(3), name="mine"), tf.Variable(ones(3))
    layer = portable(call=lambda self, x: x * self.v)()
    layer.v = mine
    layer.other = nameless
    assert names_of(layer.weights) == (["mine", "Variable"] if KERAS_2 else ["mine", "other"])
    layer.weights[0].assign(ones(3) * 2)
    assert mine.numpy().tolist() == [2, 2, 2]
    mine.assign(ones(3) * 3)
    assert numpy(layer.v).tolist() == [3, 3, 3]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(ones(1, 3)))
    first, second = tape.gradient(loss, [mine, layer.trainable_weights[0]]), None
    assert first[0].numpy().tolist() == [1, 1, 1]
    assert second is None
    assert KERAS_2 or layer.v.value is mine
    layer.v.assign_add(ones(3))
    assert mine.numpy().tolist() == [4, 4, 4]


@needs_tensorflow
def test_a_constraint_of_a_tf_variable_holds():
    tf = sys.modules["tensorflow"]
    layer = portable(call=lambda self, x: x * self.v)()
    layer.v = tf.Variable(ones(3), constraint=lambda v: tf.clip_by_value(v, 0.75, 2.0))
    model = KERAS.Sequential([KERAS.Input((3,)), layer])
    model.compile(KERAS.optimizers.SGD(10.0), "mse")
    model.fit(ones(4, 3), np.zeros((4, 3)), verbose=0)
    assert value_of(layer.weights[0]).tolist() == [0.75, 0.75, 0.75]


@spelled
def test_one_variable_of_two_layers_is_one_weight(make):
    shared = make(ones(3))
    first, second = (portable(call=lambda self, x: x * self.v)() for _ in range(2))
    first.v, second.v = shared, shared
    model = KERAS.Sequential([KERAS.Input((3,)), first, second])
    assert len(model.weights) == 1
    assert first.weights[0] is second.weights[0]
    if TRAINS:
        model.compile("sgd", "mse")
        model.fit(ones(4, 3), np.zeros((4, 3)), verbose=0)
        assert value_of(first.weights[0])[0] < 1


@spelled
def test_setting_an_attribute_anew_before_the_build_replaces_the_weight(make):
    layer = portable()()
    layer.v = make(ones(3))
    layer.v = make(ones(3) * 2)
    assert [value_of(w)[0] for w in layer.weights] == [2]
    layer.v = None
    assert layer.weights == []
    layer.items = [make(ones(3))]
    layer.items = [make(ones(3) * 3)]
    # Keras 2 keeps what was in a list.
    assert [value_of(w)[0] for w in layer.weights] == ([1, 3] if KERAS_2 else [3])


@pytest.mark.skipif(KERAS_2, reason="Keras 2 takes weights at any time")
@spelled
def test_a_variable_set_after_the_build_is_one_clear_error(make):
    layer = portable(build=lambda self, shape: setattr(self, "items", [make(ones(3))]))(name="mine")
    layer.build((None, 3))
    with pytest.raises(
        ValueError, match=r"attribute 'late' of the layer 'mine'.*after the layer was built.*reset_built"
    ):
        layer.late = make(ones(3))
    with pytest.raises(ValueError, match=r"a list or dict of the layer 'mine'.*after the layer was built"):
        layer.items.append(make(ones(3)))
    assert len(layer.weights) == 1


def test_a_build_that_runs_again_replaces_what_it_made():
    layer = portable(build=lambda self, shape: setattr(self, "v", raw(ones(shape[-1]))))()
    layer.build((None, 3))
    reset_built(layer)
    layer.build((None, 4))
    assert [tuple(w.shape) for w in layer.weights] == [(4,)]


def test_an_int_is_not_trained_and_arrays_are_constants():
    layer = portable()()
    layer.table = raw_weight(np.arange(3, dtype="int32"), trainable=False)
    layer.array = ones(3)
    if BACKEND == "torch":
        layer.tensor = sys.modules["torch"].ones(3)
    assert layer.trainable_weights == []
    assert [value_of(w).tolist() for w in layer.non_trainable_weights] == [[0, 1, 2]]


@pytest.mark.parametrize("value", [1.5, [1.0, 2.0], np.ones((2, 2)), np.float16(2.0)])
def test_weight_takes_numbers_and_arrays_in_the_layers_dtype(value):
    layer = portable()()
    layer.v = raw_weight(value)
    assert "float32" in str(layer.v.dtype)
    assert value_of(layer.weights[0]).tolist() == np.asarray(value, "float64").tolist()
    layer.half = raw_weight(value, dtype="float16")
    assert "float16" in str(layer.half.dtype)


def test_weight_refuses_what_is_no_array():
    for wrong in ("text", object(), KERAS.Input((3,))):
        with pytest.raises(TypeError, match="weight\\(\\) expects an array of numbers"):
            raw_weight(wrong)


#: Name -> (what can't be trained as it is, the dtype in which it is kept).
NOT_FLOATS = {
    "ints": ([1, 2, 3], "int32"),
    "a shape": ((3, 4), "int32"),
    "an int": (7, "int32"),
    "bools": ([True, False], "bool"),
    "an array of ints": (np.arange(3, dtype="uint8"), "uint8"),
    "an array of bools": (np.array([[True]]), "bool"),
    "complex numbers": ([1j], "complex128"),
}


@pytest.mark.parametrize(("value", "dtype"), NOT_FLOATS.values(), ids=NOT_FLOATS)
def test_weight_refuses_what_it_could_only_leave_untrained(value, dtype):
    with pytest.raises(TypeError, match=rf"weight\(\) got .* dtype {dtype} .*trainable=False .*{dtype}") as caught:
        raw_weight(value)
    assert ("If (3, 4) is a shape, use add_weight(shape=(3, 4))." in str(caught.value)) is isinstance(value, tuple)
    assert ("give dtype='float32' for a weight that is trained" in str(caught.value)) is ("complex" not in dtype)
    with pytest.raises(TypeError, match=r"for the weight 'table', whose dtype"):
        raw_weight(value, "table", trainable=True)
    with pytest.raises(TypeError, match=r"trainable=True and dtype='int32', which can't be trained"):
        raw_weight(value, trainable=True, dtype="int32")


@pytest.mark.parametrize(("value", "dtype"), list(NOT_FLOATS.values())[:-1], ids=list(NOT_FLOATS)[:-1])
def test_the_ways_out_that_weight_names_work(value, dtype):
    layer = portable()()
    layer.trained, layer.kept = raw_weight(value, dtype="float32"), raw_weight(value, trainable=False)
    layer.of_dtype = raw_weight(value, dtype="int16")
    assert [w is layer.trained for w in layer.trainable_weights] == [True]
    assert "float32" in str(layer.trained.dtype)
    assert dtype in str(layer.kept.dtype)
    assert "int16" in str(layer.of_dtype.dtype)
    for each in layer.weights:
        assert value_of(each).tolist() == np.asarray(value, "float64").tolist()


def test_weight_refuses_a_dtype_that_changes_the_value():
    for wrong, dtype in ((1.5, "uint8"), ([1, 300], "uint8"), ([-1], "uint8"), (2, "bool"), ([1j], "float32")):
        with pytest.raises(ValueError, match=rf"weight\(\) got .* for the weight 'n', which {dtype} can't hold"):
            raw_weight(wrong, name="n", dtype=dtype)
    assert raw_weight([1.0, 2.0], dtype="uint8").trainable is False


@pytest.mark.skipif(BACKEND in ("tensorflow", "torch"), reason="JAX and numpy have no variable of their own")
def test_a_variable_of_another_backend_is_refused():
    torch = pytest.importorskip("torch")
    layer = portable()()
    with pytest.raises(TypeError, match=r"attribute 'v' of the layer .*torch.nn.Parameter.*Use `weight"):
        layer.v = torch.nn.Parameter(torch.ones(3))


@spelled
def test_a_nested_layer_built_while_the_outer_one_is_traced_has_its_variables(make):
    inner = portable(
        build=lambda self, shape: setattr(self, "v", make(ones(shape[-1]) * 2)), call=lambda self, x: x * self.v
    )

    def init(self):
        super(outer, self).__init__()
        self.inner = inner()

    outer = portable(__init__=init, call=lambda self, x: self.inner(x) + 1)
    model = KERAS.Sequential([KERAS.Input((3,)), outer()])
    assert numpy(model(ones(1, 3))).tolist() == [[3, 3, 3]]
    if TRAINS:
        model.compile("sgd", "mse")
        model.fit(ones(4, 3), np.zeros((4, 3)), verbose=0)
        assert value_of(model.weights[0])[0] < 2
    assert len(model.weights) == 1


# --- raw variables: one weight each, in their own dtype ------------------------------------------


def in_a_list(self, make):
    self.items.append(make(ones(3)))
    return self.items[0]


def in_a_dict(self, make):
    self.table["a"] = make(ones(3))
    return self.table["a"]


def in_a_list_under_two_names(self, make):
    self.items.append(make(ones(3)))
    self.alias = self.items
    return self.alias[0]


def in_a_list_and_an_attribute(self, make):
    made = make(ones(3))
    self.items.append(made)
    self.one = made
    return made


def in_an_attribute_and_a_list(self, make):
    made = make(ones(3))
    self.one = made
    self.items.append(made)
    return made


PLACES = [in_a_list, in_a_dict, in_a_list_under_two_names, in_a_list_and_an_attribute, in_an_attribute_and_a_list]


@spelled
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("place", PLACES)
def test_what_build_puts_into_a_list_is_one_weight_and_trained_once(place, policy, make):
    def init(self, **kwargs):
        super(cls, self).__init__(**kwargs)
        self.items, self.table = [], {}

    def build(self, shape):
        place(self, make)

    def call(self, x):
        return x * (self.items[0] if self.items else self.table["a"])

    cls = portable(__init__=init, build=build, call=call)
    model = KERAS.Sequential([KERAS.Input((3,)), cls(dtype=policy)])
    layer = model.layers[-1]
    assert layer.count_params() == 3
    assert len(layer.trainable_weights) == 1
    if getattr(layer, "alias", None) is not None:
        assert layer.alias[0] is layer.items[0]
    if TRAINS:
        model.compile(KERAS.optimizers.SGD(0.1), "mse")
        model.fit(ones(4, 3), np.zeros((4, 3)), batch_size=4, verbose=0)
        assert value_of(layer.weights[0]) == pytest.approx(1 - 0.1 * 2 / 3, abs=1e-3)


@pytest.mark.parametrize("held", [True, False])
def test_a_weight_of_another_layer_stays_one_weight(held):
    dense = KERAS.layers.Dense(1, use_bias=False, dtype="float32")
    dense.build((None, 3))

    def build(self, shape):
        self.tied = dense.kernel
        if held:
            self.dense = dense

    def call(self, x):
        return KERAS.backend.cast(x, "float32") @ self.tied if KERAS_2 else KERAS.ops.matmul(x, self.tied)

    layer = portable(build=build, call=call)(dtype="mixed_bfloat16")
    layer.build((None, 3))
    model = KERAS.Sequential([KERAS.Input((3,)), KERAS.layers.Reshape((3,)), dense, KERAS.layers.Dense(3), layer])
    assert layer.tied is dense.kernel
    assert [w is dense.kernel for w in layer.trainable_weights] == [True]
    assert len(model.trainable_weights) == 3


def counters():
    made = {"add_weight": lambda self: self.add_weight("n", (), initializer="zeros", trainable=False)}
    return {
        **made,
        "weight": lambda self: raw_weight(0.0, trainable=False),
        "raw": lambda self: raw(np.float32(0), None, False),
    }


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("make", counters().values(), ids=counters())
def test_a_counter_counts_in_its_own_dtype(make, policy):
    def build(self, shape):
        self.n, self.down = make(self), make(self)
        self.n.assign(np.float32(256 if shape[-1] == 3 else 0))
        self.down.assign(np.float32(-256))

    def call(self, x):
        self.n.assign_add(1.0)
        self.down.assign_sub(1.0)
        return x * self.n

    layer = portable(build=build, call=call)(dtype=policy)
    for _ in range(3):
        y = layer(ones(1, 3))
    assert policy[6:] in str(y.dtype)
    assert value_of(layer.n) == 259
    assert value_of(layer.down) == -259
    copied = pickle.loads(pickle.dumps(layer.n)) if can_be_pickled(layer.n) and not KERAS_2 else None
    if copied is not None:
        copied.assign_add(2.0)
        assert (value_of(copied), value_of(layer.n)) == (261, 259)
        assert type(copied) is type(layer.n)


@needs_tensorflow
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_tf_variable_keeps_its_own_methods(policy):
    tf = sys.modules["tensorflow"]
    seen = {}

    def build(self, shape):
        self.v = tf.Variable(ones(3, 2), name="v")

    def call(self, x):
        v = self.v
        seen["read"] = v.read_value()
        seen["rows"] = [row for row in v] if tf.executing_eagerly() else []  # noqa: C416
        v.scatter_nd_update([[0]], [[5.0, 5.0]])
        v.scatter_update(tf.IndexedSlices([[6.0, 6.0]], [1]))
        v.scatter_add(tf.IndexedSlices([[1.0, 1.0]], [1]))
        v.assign_add(ones(3, 2), read_value=False)
        v.assign_sub(ones(3, 2), read_value=False)
        return x * v.sparse_read([0])

    layer = portable(build=build, call=call)(dtype=policy)
    y = layer(ones(1, 2))
    assert policy[6:] in y.dtype.name
    assert policy[6:] in seen["read"].dtype.name
    assert len(seen["rows"]) == 3
    assert layer.v.numpy().tolist() == [[5, 5], [7, 7], [1, 1]]
    layer.v.assign(ones(3, 2), read_value=False)
    assert layer.v.read_value().numpy().tolist() == ones(3, 2).tolist()
    assert layer.v.get_shape().as_list() == [3, 2]
    assert layer.v.ref() == layer.v.ref()
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(layer.v if KERAS_2 else layer.v.value)
        loss = tf.reduce_sum(layer.v * 2.0)
    assert tape.gradient(loss, layer.v).numpy().tolist() == (ones(3, 2) * 2).tolist()
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = layer.v.no_such_name


@needs_tensorflow
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_variable_of_unknown_sizes_is_left_alone_or_refused(policy):
    tf = sys.modules["tensorflow"]
    shapes = {"queue": [None, 3], "any": tf.TensorShape(None)}

    def build(self, shape):
        for name, sizes in shapes.items():
            setattr(self, name, tf.Variable(ones(1, 3), shape=sizes, trainable=False))

    def call(self, x):
        self.queue.assign(tf.ones((2, 3)))
        return x * tf.cast(tf.reduce_sum(self.queue), x.dtype)

    layer = portable(build=build, call=call)(name="mine", dtype=policy)
    assert numpy(layer(ones(1, 3))).tolist() == [[6, 6, 6]]
    assert layer.trainable_weights == []
    if not KERAS_2:
        with pytest.raises(ValueError, match=r"'late' of the layer 'new'.*\(None, 3\).*trainable=False"):
            portable()(name="new").late = tf.Variable(ones(1, 3), shape=[None, 3])


@needs_tensorflow
def test_complex_variables_are_weights_or_left_alone():
    tf = sys.modules["tensorflow"]
    layer = portable(call=lambda self, x: x * tf.math.real(self.z))()
    layer.z = tf.Variable(2j + 3, dtype="complex64", trainable=False)
    assert numpy(layer(ones(1, 3))).tolist() == [[3, 3, 3]]
    assert layer.trainable_weights == []


# --- variables in a tf.Module --------------------------------------------------------------------


def module(**held):
    """A ``tf.Module`` that holds these."""

    class Mod(sys.modules["tensorflow"].Module):
        def __init__(self):
            super().__init__()
            for name, value in held.items():
                setattr(self, name, value)

    return Mod()


def threes(value, name=None, trainable=True):
    return raw(ones(3) * value, name, trainable)


def append(self):
    self.parts = []
    self.parts.append(module(v=threes(2)))
    self.parts[0].late = [threes(3, "late")]


#: How a layer comes to hold two variables of modules, 2 and 3, and where it has them then.
HOLDERS = {
    "an attribute": (
        lambda self: setattr(self, "a", module(v=threes(2), inner=[threes(3)])),
        lambda self: (self.a.v, self.a.inner[0]),
    ),
    "modules in modules": (
        lambda self: setattr(self, "a", module(inner=module(v=threes(2), deeper=module(v=threes(3, "named"))))),
        lambda self: (self.a.inner.v, self.a.inner.deeper.v),
    ),
    "lists, dicts and tuples": (
        lambda self: setattr(self, "a", [module(v=threes(2)), {"k": (module(table={"q": threes(3)}),)}]),
        lambda self: (self.a[0].v, self.a[1]["k"][0].table["q"]),
    ),
    "a list that grows": (append, lambda self: (self.parts[0].v, self.parts[0].late[0])),
}


def holder(hold, variables, where="init"):
    """A layer that multiplies by them, and by a variable of a module that is not trained."""

    def fill(self):
        hold(self)
        self.still = module(v=threes(5, "still", trainable=False))

    def init(self, **kwargs):
        super(cls, self).__init__(**kwargs)
        if where == "init":
            fill(self)

    def build(self, shape):
        if where == "build":
            fill(self)

    def call(self, x):
        first, second = variables(self)
        return x * first * second * self.still.v

    cls = register(portable(__init__=init, build=build, call=call))
    return cls


def holding(cls, **kwargs):
    return KERAS.Sequential([KERAS.Input((3,)), cls(name="mine", **kwargs)])


@needs_tensorflow
@pytest.mark.parametrize("where", ["init", "build"])
@pytest.mark.parametrize(("hold", "variables"), HOLDERS.values(), ids=HOLDERS)
def test_variables_in_a_module_are_tracked_trained_frozen_saved_and_loaded(hold, variables, where, tmp_path):
    cls = holder(hold, variables, where)
    model = holding(cls)
    layer = model.layers[-1]
    assert sorted(value_of(w)[0] for w in layer.trainable_weights) == [2, 3]
    assert [value_of(w)[0] for w in layer.non_trainable_weights] == [5]
    assert len(named_weights(model)) == len(model.weights) == 3
    assert numpy(model(ones(2, 3) / 30)) == pytest.approx(1)
    model.compile(KERAS.optimizers.SGD(0.1), "mse")
    model.fit(ones(4, 3) / 30, np.zeros((4, 3)), batch_size=4, verbose=0)
    # The gradient by 2 is 2 * y * y / 2 / 3: each is trained, and once.
    trained = [value_of(each)[0] for each in variables(layer)]
    assert trained == pytest.approx([2 - 0.1 / 3, 3 - 0.1 * 2 / 9], abs=1e-5)
    assert value_of(layer.still.v).tolist() == [5, 5, 5]
    set_weights(model, {name: np.full(3, at + 0.5) for at, name in enumerate(get_weights(model))})
    assert {value_of(each)[0] for each in (*variables(layer), layer.still.v)} == {0.5, 1.5, 2.5}
    save_weights(model, tmp_path / "w.npz")
    other = holding(cls)
    load_weights(other, tmp_path / "w.npz")
    if not KERAS_2:  # which leaves modules out of its files, and `lost_weights` says so
        assert lost_weights(model) == {}
        model.save_weights(str(tmp_path / "w.weights.h5"))
        plain = holding(cls)
        plain.load_weights(str(tmp_path / "w.weights.h5"))
        model.save(str(tmp_path / "m.keras"))
        loaded = KERAS.models.load_model(str(tmp_path / "m.keras"), compile=False)
        for each in (plain, loaded):
            assert numpy(each(ones(1, 3))).tolist() == numpy(model(ones(1, 3))).tolist()
        below = KERAS.Sequential([KERAS.Input((3,)), cls(name="mine"), KERAS.layers.Dense(1, name="head")])
        freeze(below, "mine")
        assert len(below.trainable_weights) == 2
        before = get_weights(below)
        below.compile(KERAS.optimizers.SGD(0.1), "mse")
        below.fit(ones(4, 3), np.zeros((4, 1)), verbose=0)
        changed = [name for name, value in get_weights(below).items() if not np.array_equal(value, before[name])]
        assert changed == ["head/kernel", "head/bias"]
        unfreeze(below, "mine")
        assert len(below.trainable_weights) == 4
    for name, value in get_weights(other).items():
        np.testing.assert_array_equal(value, get_weights(model)[name])


@needs_tensorflow
def test_a_module_of_two_layers_and_under_two_names_has_each_variable_once():
    shared = module(v=threes(2), w=threes(3))

    def init(self):
        super(cls, self).__init__()
        self.a, self.b, self.own = shared, [shared], shared.v

    cls = portable(__init__=init, call=lambda self, x: x * self.a.v * self.b[0].w)
    first, second = cls(), cls()
    model = KERAS.Sequential([KERAS.Input((3,)), first, second])
    assert [len(layer.weights) for layer in (first, second, model)] == [2, 2, 2]
    assert numpy(model(ones(1, 3))).tolist() == [[36, 36, 36]]
    model.compile(KERAS.optimizers.SGD(0.0001), "mse")
    model.fit(ones(4, 3), np.zeros((4, 3)), batch_size=4, verbose=0)
    # y = (v * w) ** 2, and the gradient by v is 2 * y * 2 * y / v / 3
    assert value_of(shared.v) == pytest.approx(2 - 0.0001 * 4 * 36 * 36 / 2 / 3, abs=1e-4)


@needs_tensorflow
@pytest.mark.skipif(KERAS_2, reason="Keras 2 keeps what a module in a list had")
def test_a_module_that_is_replaced_takes_its_variables_with_it():
    layer = portable(build=lambda self, shape: setattr(self, "a", module(v=raw(ones(shape[-1])))))()
    layer.b = module(v=threes(2))
    layer.b = module(v=threes(3))
    assert [value_of(w)[0] for w in layer.weights] == [3]
    layer.b = None
    assert layer.weights == []
    layer.b = [module(v=threes(4))]
    layer.b = ()
    assert layer.weights == []
    layer.build((None, 3))
    reset_built(layer)
    layer.build((None, 4))
    assert [tuple(w.shape) for w in layer.weights] == [(4,)]
    with pytest.raises(ValueError, match=r"attribute 'late_v' of the layer .*after the layer was built.*reset_built"):
        layer.late = module(v=threes(2))
    assert not hasattr(layer, "late")
    assert len(layer.weights) == 1


@needs_tensorflow
@pytest.mark.skipif(KERAS_2, reason="Keras 2 counts the weights of such a layer as the module's")
def test_layers_and_keras_weights_in_a_module_are_tracked_and_saved(tmp_path):
    def init(self, **kwargs):
        super(cls, self).__init__(**kwargs)
        inner = KERAS.layers.Dense(3, kernel_initializer="ones", use_bias=False, name="inner")
        inner.build((None, 3))
        self.a = module(inner=inner, lone=KERAS.Variable(ones(3), name="lone"))

    cls = register(portable(__init__=init, call=lambda self, x: self.a.inner(x) * self.a.lone))
    models = [holding(cls) for _ in range(2)]
    assert list(named_weights(models[0])) == ["mine/lone", "mine/inner/kernel"]
    assert lost_weights(models[0]) == {}
    models[0].compile("sgd", "mse")
    models[0].fit(ones(4, 3), np.zeros((4, 3)), verbose=0)
    assert all(np.all(value < 1) for value in get_weights(models[0]).values())
    models[0].save_weights(str(tmp_path / "w.weights.h5"))
    models[1].load_weights(str(tmp_path / "w.weights.h5"))
    for name, value in get_weights(models[0]).items():
        np.testing.assert_array_equal(value, get_weights(models[1])[name])


@needs_tensorflow
def test_a_layer_with_a_module_can_be_copied():
    cls = holder(*HOLDERS["an attribute"])
    model = holding(cls)
    if not can_be_pickled(KERAS.Sequential([KERAS.Input((3,)), KERAS.layers.Dense(2)])):
        pytest.skip("this Keras can't copy a plain built model")
    set_weights(model, {name: np.full(3, at + 0.5) for at, name in enumerate(get_weights(model))})
    copied = copy.deepcopy(model)
    assert numpy(copied(ones(1, 3))).tolist() == ([[30] * 3] if KERAS_2 else numpy(model(ones(1, 3))).tolist())
    assert len(copied.weights) == 3
    copied.layers[-1].a.v.assign(ones(3) * 9)
    assert 9 not in value_of(model.layers[-1].a.v)


def late(start=2.0, callable_start=True, name=None):
    """A ``tf.Module`` that makes its variable when it is first called, as those of Sonnet do."""

    class Late(sys.modules["tensorflow"].Module):
        v = None

        def __call__(self, x):
            if self.v is None:
                value = np.full(int(x.shape[-1]), start, "float32")
                self.v = sys.modules["tensorflow"].Variable((lambda: value) if callable_start else value, name=name)
            return x * self.v

    return Late()


def lazy(**kwargs):
    def init(self, **kwargs):
        super(cls, self).__init__(**kwargs)
        self.parts = [late()]

    cls = register(portable(__init__=init, call=lambda self, x: self.parts[0](x)))
    return cls(name="mine", **kwargs)


def called(layer):
    layer(ones(1, 3))
    return layer


def by_hand(layer):
    layer.build((None, 3))
    layer.parts[0](ones(1, 3))
    return layer


def in_a_model(layer):
    return KERAS.Sequential([KERAS.Input((3,)), layer])


def in_a_fit(layer):
    class Around(KERAS.Model):
        def __init__(self):
            super().__init__()
            self.inner = layer

        def call(self, x):
            return self.inner(x)

    model = Around()
    model.compile(KERAS.optimizers.SGD(0.0), "mse")
    model.fit(ones(2, 3), ones(2, 3), verbose=0)
    return model


def in_a_function(layer):
    sys.modules["tensorflow"].function(lambda x: (layer(x), layer.trainable_weights)[0])(ones(1, 3))
    return layer


FIRST_CALLS = (called, by_hand, in_a_model, in_a_fit, in_a_function)


@needs_tensorflow
@pytest.mark.parametrize("first_call", FIRST_CALLS)
def test_a_variable_that_a_module_makes_in_its_first_call_is_tracked_trained_and_saved(first_call, tmp_path):
    layer = lazy()
    top = first_call(layer)
    if not KERAS_2 and first_call is not in_a_fit:  # nothing has asked for its weights so far
        model = top if first_call is in_a_model else in_a_model(layer)
        model.save_weights(str(tmp_path / "w.weights.h5"))
        with read_weights(tmp_path / "w.weights.h5") as file:
            assert [array.tolist() for array in file.values()] == [[2, 2, 2]]
    assert list(named_weights(top)) == ["parts_0_v" if top is layer else "mine/parts_0_v"]
    assert len(layer.trainable_weights) == len(layer.variables) == len(top.weights) == 1
    with pytest.raises(ValueError, match="shape"):
        set_weights(layer, {"parts_0_v": ones(4)})
    set_weights(layer, {"parts_0_v": ones(3) * 3})
    assert value_of(layer.parts[0].v).tolist() == [3, 3, 3]
    model = in_a_model(layer)
    model.compile(KERAS.optimizers.SGD(0.1), "mse")
    model.fit(ones(4, 3), np.zeros((4, 3)), batch_size=4, verbose=0)
    assert value_of(layer.parts[0].v) == pytest.approx(3 - 0.1 * 2, abs=1e-5)  # the gradient is 2 * y / 3
    freeze(layer)
    assert layer.trainable_weights == []


@needs_tensorflow
def test_a_variable_that_a_module_makes_anew_takes_the_place_of_the_former():
    layer = called(lazy())
    assert [value_of(w)[0] for w in layer.weights] == [2]
    layer.parts[0].v = threes(4)
    assert [value_of(w)[0] for w in layer.weights] == [4]
    layer.parts[0].also = threes(5, trainable=False)
    assert [value_of(w)[0] for w in layer.weights] == [4, 5]
    layer.parts[0].v = None
    assert list(named_weights(layer)) == ["parts_0_also"]


@needs_tensorflow
def test_a_module_that_is_put_into_a_list_of_a_built_layer_is_tracked_or_refused():
    layer = called(lazy())
    layer.parts.append(late(3.0))
    layer.parts[1](ones(1, 3))
    assert [value_of(w)[0] for w in layer.weights] == [2, 3]
    if not KERAS_2:
        refused = r"a list or dict of the layer 'mine' .*a tf.Module with variables .Mod. after the layer was built"
        with pytest.raises(ValueError, match=refused):
            layer.parts.append(module(v=threes(2)))


@needs_tensorflow
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_what_nobody_named_has_one_name_on_every_keras(policy):
    def init(self, **kwargs):
        super(cls, self).__init__(**kwargs)
        self.plain, self.named = threes(1), threes(2, "given")
        self.table = {"k": [threes(3)]}
        self.a = module(v=threes(4), named=threes(5, "scale"), inner=[module(w=threes(6, trainable=False))])
        inner = KERAS.layers.Dense(3, use_bias=False, name="inner")
        inner.build((None, 3))
        self.b = module(layer=inner)

    def call(self, x):
        return x

    cls = portable(__init__=init, call=call)
    model = KERAS.Sequential([KERAS.Input((3,)), cls(name="mine", dtype=policy)])
    own = ["plain", "given", "table_k_0", "a_v", "scale", "a_inner_0_w", "inner/kernel"]
    assert set(named_weights(model)) == {f"mine/{name}" for name in own}
    values = {name: np.full(w.shape, at + 0.5) for at, (name, w) in enumerate(named_weights(model).items())}
    set_weights(model, values)
    assert {name: value.flat[0] for name, value in get_weights(model).items()} == {
        n: v.flat[0] for n, v in values.items()
    }


# --- what can't be -------------------------------------------------------------------------------

MARK = "List keras_buildfix.PortableLayerMixin first among the bases of the layer's class, and use the attribute"
USES = {
    "array * mark": lambda x, mark: x * mark,
    "mark + array": lambda x, mark: mark + x,
    "numpy": lambda x, mark: np.multiply(ones(3), mark),
    "as an array": lambda x, mark: np.asarray(mark),
    "array @ mark": lambda x, mark: x @ mark,
    "-mark": lambda x, mark: -mark,
    "item": lambda x, mark: mark[0],
    "shape": lambda x, mark: mark.shape,
    "assign": lambda x, mark: mark.assign(1.0),
    "tensor": lambda x, mark: (sys.modules["tensorflow"] if KERAS_2 else KERAS.ops).convert_to_tensor(mark),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_mark_in_a_layer_without_the_mixin_says_so_where_it_is_used(use):
    class Plain(Layer):
        def __init__(self):
            super().__init__()
            self.w = raw_weight(ones(3), name="w")

        def call(self, x):
            return use(x, self.w)

    with pytest.raises((TypeError, AttributeError), match=MARK):
        Plain()(ones(2, 3))


def test_a_mark_in_a_layer_without_the_mixin_is_a_lost_weight(tmp_path):
    inner = KERAS.layers.Dense(3, name="inner")
    inner.w, inner.table = raw_weight(ones(3)), {"k": [raw_weight(ones(2), "given")]}
    model = KERAS.Sequential([KERAS.Input((3,)), inner], name="model")
    assert set(lost_weights(model)) == {"inner/w", "inner/table_k_0"}
    with pytest.raises(ValueError, match=f"inner/w of 'model' can't be saved; nothing was written.*{MARK}"):
        save_weights(model, tmp_path / "w.weights.h5")
    assert list(tmp_path.iterdir()) == []
    assert copy.deepcopy(inner.w).name is None


MISPLACED = {
    ("w", (3,), "ones"): "'w' of the layer 'mine' .* dtype='ones', by its place in add_weight.name, shape, dtype.*"
    "keyword, as in initializer='ones' or name='ones'",
    ("ones", "a", (3,)): "'ones' of the layer 'mine' .* shape='a', by its place in .*keyword, as in name='a'",
    ((3,), "float32"): "initializer='float32', by its place in .*keyword, as in dtype='float32' or name='float32'",
    ((3,), "w"): "initializer='w', by its place in .*keyword, as in name='w'",
    ((3,), "ones", "float32", "w"): "trainable='w', by its place in .*keyword, as in name='w'",
    ("w", (3,), None, "ones", True): "regularizer=True, by its place in .*keyword, as in trainable=True",
}


@pytest.mark.parametrize(("args", "message"), MISPLACED.items(), ids=map(str, MISPLACED))
def test_arguments_of_add_weight_in_another_order_are_an_error_that_says_what_to_type(args, message):
    layer = portable()(name="mine")
    with pytest.raises(TypeError, match=message) as caught:
        layer.add_weight(*args)
    assert str(INFO) in str(caught.value)
    assert layer.weights == []
    with pytest.raises(TypeError, match=r"'w' .* dtype='flaot32', which .* can't use as `dtype`\. Give another"):
        layer.add_weight("w", (3,), dtype="flaot32")


def test_a_class_of_keras_that_is_no_layer_may_be_listed_before_the_mixin():
    def build(self, shape):
        self.scale = self.add_weight("scale", shape[-1:], initializer="ones")

    members = {"build": build, "call": lambda self, x: x * self.scale}
    layer = type("Both", (KERAS.callbacks.Callback, PortableLayerMixin, Layer), members)
    watching = layer.__new__(layer)
    Layer.__init__(watching)
    assert numpy(watching(ones(1, 3))).tolist() == [[1, 1, 1]]
    with pytest.raises(TypeError, match="PortableLayerMixin comes after the Keras class Layer in Wrong"):
        type("Wrong", (Layer, PortableLayerMixin), {})


# --- every base ---------------------------------------------------------------------------------

BASES = {
    "Dense": (lambda: KERAS.layers.Dense, (2,), (4, 3)),
    "Conv2D": (lambda: KERAS.layers.Conv2D, (2, 2), (2, 4, 4, 1)),
    "MaxPooling2D": (lambda: KERAS.layers.MaxPooling2D, (2,), (2, 4, 4, 1)),
    "Reshape": (lambda: KERAS.layers.Reshape, ((3, 1),), (2, 3)),
    "Embedding": (lambda: KERAS.layers.Embedding, (5, 2), (2, 3)),
}


@pytest.mark.parametrize(("base", "args", "shape"), BASES.values(), ids=BASES)
def test_subclasses_of_built_ins_train_save_copy_and_load(base, args, shape, tmp_path):
    base = base()
    seen = []

    inputs = np.int64 if base.__name__ == "Embedding" else np.float32

    def build(self, input_shape):
        seen.append(input_shape)
        super(cls, self).build(input_shape)
        self.scale = raw_weight(ones(), name="scale")
        self.more = self.add_weight("more", (1,), initializer="ones")

    def call(self, inputs):
        return super(cls, self).call(inputs) * self.scale * self.more

    cls = register(portable(base, build=build, call=call))
    model = KERAS.Sequential([KERAS.Input(shape[1:]), cls(*args, name="mine")])
    assert seen == [(None, *shape[1:])]
    assert seen[0].as_list() == [None, *shape[1:]]
    x = np.linspace(0, 4, int(np.prod(shape))).reshape(shape).astype(inputs)
    if TRAINS:
        model.compile("sgd", "mse")
        y = numpy(model(x)) - 1
        model.fit(x, y, verbose=0)
    scale, more = model.layers[-1].scale, model.layers[-1].more
    assert not TRAINS or numpy(scale) != 1
    scale.assign(0.5)
    more.assign([3.0])
    expected = numpy(model(x))
    clone = KERAS.models.clone_model(model)
    clone.set_weights(model.get_weights())
    again = cls.from_config(model.layers[-1].get_config())
    again.build((None, *shape[1:]))
    assert [tuple(w.shape) for w in again.weights] == [tuple(w.shape) for w in model.layers[-1].weights]
    copies = [clone]
    if INFO.version.split(".")[:2] != ["2", "12"]:
        model.save(str(tmp_path / "m.keras"))
        copies.append(KERAS.models.load_model(str(tmp_path / "m.keras"), compile=False))
    for each in copies:
        assert np.allclose(numpy(each(x)), expected, atol=1e-6)


def test_a_recurrent_cell_and_an_attention_of_ones_own():
    class Cell(PortableLayerMixin, KERAS.layers.LSTMCell):
        def build(self, input_shape):
            super().build(input_shape)
            self.gain = raw_weight(ones())

        def call(self, inputs, states, training=None):
            output, states = super().call(inputs * self.gain, states)
            return output * self.gain, states

    class Attention(PortableLayerMixin, KERAS.layers.MultiHeadAttention):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.gain = raw_weight(ones())

        def call(self, query, value, key=None, **kwargs):
            return super().call(query, value, key) * self.gain

    a = KERAS.Input((3, 4))
    recurrent = KERAS.layers.RNN(Cell(2), return_sequences=True)
    attention = Attention(1, 2, name="attention")
    inner = recurrent(a)
    model = KERAS.Model(a, attention(inner, inner))
    assert len(model.weights) == 3 + 1 + 8 + 1
    if TRAINS:
        model.compile(KERAS.optimizers.SGD(1.0), "mse")
        model.fit(ones(2, 3, 4), ones(2, 3, 2), verbose=0)
        assert numpy(recurrent.cell.gain) != 1
        assert numpy(attention.gain) != 1


@spelled
def test_a_model_a_users_mixin_and_a_second_generation_work(make):
    class Mixin:
        def build(self, input_shape):
            self.from_mixin = make(ones(input_shape[-1]))
            self.shape_seen = input_shape

    class First(Mixin, PortableLayerMixin, KERAS.layers.Layer):
        def call(self, x):
            return x * self.from_mixin

    class Second(First):
        def build(self, input_shape):
            super().build(input_shape)
            self.own = self.add_weight("own", input_shape[1:].as_list(), initializer="ones")

        def call(self, x):
            return super().call(x) * self.own

    class Whole(PortableLayerMixin, KERAS.Model):
        def __init__(self):
            super().__init__()
            self.part = Second()
            self.out = make(ones(3))

        def call(self, x):
            return self.part(x) * self.out

    model = Whole()
    assert np.allclose(numpy(model(ones(2, 3))), 1)
    assert isinstance(model.part.shape_seen, tuple)
    assert tuple(model.part.shape_seen) == (2, 3)
    assert len(model.trainable_weights) == 3
    if TRAINS:
        model.compile("sgd", "mse")
        model.fit(ones(4, 3), np.zeros((4, 3)), verbose=0)
        assert all(value_of(w)[0] < 1 for w in model.trainable_weights)


def test_a_built_layer_can_be_copied():
    cls = register(
        portable(
            build=lambda self, shape: setattr(self, "v", raw_weight(ones(shape[-1]))), call=lambda self, x: x * self.v
        )
    )
    model = KERAS.Sequential([KERAS.Input((3,)), cls()])
    model.layers[-1].v.assign(ones(3) * 2)
    try:
        copy.deepcopy(KERAS.Sequential([KERAS.Input((3,)), KERAS.layers.Dense(2)]))
    except Exception:
        assert INFO.version < "3.3"
        pytest.skip("this Keras can't copy a plain built model")
    copied = copy.deepcopy(model)
    assert numpy(copied(ones(1, 3))).tolist() == [[2, 2, 2]]
    copied.layers[-1].v.assign(ones(3))
    assert numpy(model(ones(1, 3))).tolist() == [[2, 2, 2]]
    if can_be_pickled(KERAS.Sequential([KERAS.Input((3,)), KERAS.layers.Dense(2)])):
        assert numpy(pickle.loads(pickle.dumps(model))(ones(1, 3))).tolist() == [[2, 2, 2]]


def test_the_mixin_comes_first():
    with pytest.raises(TypeError, match=r"PortableLayerMixin comes after .*`class Wrong\(PortableLayerMixin, Dense\)`"):
        type("Wrong", (KERAS.layers.Dense, PortableLayerMixin), {})


# --- shapes -------------------------------------------------------------------------------------


def test_a_shape_is_a_tuple():
    shape = Shape((None, 3))
    assert shape == (None, 3)
    assert hash(shape) == hash((None, 3))
    assert json.dumps({"shape": shape}) == '{"shape": [null, 3]}'
    for same in (pickle.loads(pickle.dumps(shape)), copy.deepcopy(shape), copy.copy(shape)):
        assert same == shape
        assert same.as_list() == [None, 3]
    assert (shape[1:] + (4,)).as_list() == [3, 4]  # noqa: RUF005
    assert ([1] + shape).as_list() == [1, None, 3]  # noqa: RUF005
    assert ((1,) + shape).as_list() == [1, None, 3]  # noqa: RUF005
    assert (shape.rank, shape.ndims, shape.is_fully_defined(), shape[1:].is_fully_defined()) == (2, 2, False, True)
    assert repr(shape) == "(None, 3)"
    assert np.zeros(shape[1:]).shape == (3,)
    assert plain_shapes([[2, 3], (None,), {"a": np.array([4, 5])[0:1].tolist()}, None]) == [
        (2, 3),
        (None,),
        {"a": (4,)},
        None,
    ]
    assert plain_shapes(()) == ()


def test_build_and_compute_output_shape_get_tuples_in_the_structure_of_the_inputs(tmp_path):
    seen = {}

    def build(self, input_shape):
        seen["build"] = input_shape

    def compute_output_shape(self, input_shape):
        seen["output"] = input_shape
        return input_shape["a"] if isinstance(input_shape, dict) else input_shape[0]

    def call(self, inputs):
        return inputs["a"] * 2 if isinstance(inputs, dict) else inputs[0] * 2

    cls = register(portable(build=build, compute_output_shape=compute_output_shape, call=call))
    a, b = KERAS.Input((3,), name="a"), KERAS.Input((4, 5), name="b")
    for inputs, expected in (
        ([a, b], [(None, 3), (None, 4, 5)]),
        ({"a": a, "b": b}, {"a": (None, 3), "b": (None, 4, 5)}),
    ):
        layer = cls()
        output = layer(inputs)
        layer.compute_output_shape(expected)
        for shapes in (seen["build"], seen["output"]):
            assert type(shapes) is type(expected)
            assert shapes == expected
            for shape in shapes.values() if isinstance(shapes, dict) else shapes:
                assert isinstance(shape, tuple)
                assert shape.as_list()[0] is None
        assert get_input_shape(layer) == expected
        assert get_output_shape(layer) == (None, 3)
        model = KERAS.Model(inputs, output)
        assert get_input_shape(model) == expected
        if INFO.version.split(".")[:2] != ["2", "12"]:
            model.save(str(tmp_path / "m.keras"))
            loaded = KERAS.models.load_model(str(tmp_path / "m.keras"), compile=False)
            assert get_input_shape(loaded.layers[-1]) == expected


def test_a_build_inherited_from_a_mixin_stays_in_its_place():
    ran = []

    class Mix:
        def build(self, input_shape):
            ran.append(("Mix", input_shape.as_list()))
            super().build(input_shape)

    class Mix2(Mix):
        def build(self, input_shape):
            ran.append(("Mix2", input_shape.as_list()))
            super().build(input_shape)

    class First(PortableLayerMixin, Mix, Layer):
        def call(self, x):
            return x

    class Second(First, Mix2):
        pass

    Second()(ones(2, 3))
    assert ran == [("Mix2", [2, 3]), ("Mix", [2, 3])]


@pytest.mark.skipif(KERAS_2, reason="one argument on Keras 2")
def test_a_build_with_several_arguments_gets_each():
    def build(self, a_shape, b_shape):
        self.seen = [a_shape.as_list(), b_shape.as_list()]

    def call(self, a, b):
        return a

    layer = portable(build=build, call=call)()
    layer(ones(2, 3), ones(2, 4))
    assert list(map(list, layer.seen)) == [[2, 3], [2, 4]]
    assert get_input_shape(layer) == (2, 3)


def test_shapes_of_layers_and_models_are_tuples():
    a = KERAS.Input((3,))
    layer = KERAS.layers.Dense(4)
    out = layer(a)
    model = KERAS.Model(a, out)
    for each in (layer, model, KERAS.Sequential([KERAS.Input((3,)), KERAS.layers.Dense(4)])):
        assert (get_input_shape(each), get_output_shape(each)) == ((None, 3), (None, 4))
        assert get_input_shape(each).as_list() == [None, 3]
    assert get_input_shape(model.layers[0]) == get_output_shape(model.layers[0]) == (None, 3)
    layer(KERAS.Input((3,)))
    assert get_input_shape(layer) == (None, 3)
    eager = KERAS.layers.Dense(4)
    eager(ones(2, 3))
    assert get_input_shape(eager) in ((2, 3), (None, 3))
    assert get_output_shape(eager)[1:] == (4,)


def test_shapes_that_are_not_known_or_not_one_are_errors():
    with pytest.raises(ValueError, match=r"input shape of the layer 'new' .*never called or built"):
        get_input_shape(KERAS.layers.Dense(4, name="new"))
    with pytest.raises(ValueError, match=r"output shape of the layer 'new' .*compute_output_shape"):
        get_output_shape(KERAS.layers.Dense(4, name="new"))
    with pytest.raises(ValueError, match="never called or built"):
        get_input_shape(KERAS.Sequential([KERAS.layers.Dense(2)]))
    layer = KERAS.layers.Flatten(name="both")
    layer(KERAS.Input((3, 2)))
    layer(KERAS.Input((3, 4)))
    with pytest.raises(ValueError, match="multiple inbound nodes with different input shapes"):
        get_input_shape(layer)
    with pytest.raises(ValueError, match="multiple inbound nodes with different output shapes"):
        get_output_shape(layer)
    with pytest.raises(TypeError, match="input_shape expects a Keras layer"):
        get_input_shape("layer")
