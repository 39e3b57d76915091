"""Mixed precision: one casting rule on every Keras and backend."""

import collections
import contextlib
import copy
import functools
import importlib
import inspect
import pickle
import subprocess
import sys

import numpy as np
import precision_zoo
import pytest
import zoo
from environment import INFO, KERAS
from precision_zoo import TOLERANCE, Ops

from keras_buildfix import (
    DeferredBuildMixin,
    MixedPrecisionMixin,
    PortableLayerMixin,
    cast_inputs,
    compute_dtype,
    deferred_build,
    dtype_policy_scope,
    full_precision,
    get_dtype_policy,
    get_weights,
    mixed_precision_safe,
    safe_call,
    set_dtype_policy,
    variable_dtype,
)
from keras_buildfix._keras.autocasting import autocasts, casts_arrays_of_integers, reading_weights, weights_dtype
from keras_buildfix.precision.policies import policy_names

L = KERAS.layers
OPS = Ops(KERAS)
K2 = INFO.generation == 2
BACKEND = INFO.backend
TRAINS = BACKEND not in ("numpy", "openvino")
RELEASE = tuple(int(part) for part in INFO.version.split(".")[:2])
MIXED = "mixed_bfloat16"
pytestmark = pytest.mark.filterwarnings(
    *(  # Keras 3 on NumPy finds the shapes of a model by computing with arrays that were never filled
        ["ignore:(?s).*encountered in:RuntimeWarning"] if BACKEND == "numpy" else []
    )
)
needs_tf = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's graphs and tensors")
needs_training = pytest.mark.skipif(not TRAINS, reason="this backend only predicts")


def dtype_of(x):
    dtype = x.dtype
    return dtype if isinstance(dtype, str) else (getattr(dtype, "name", None) or str(dtype)).rpartition(".")[2]


def dtypes(structure):
    if isinstance(structure, dict):
        return {key: dtypes(value) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)):
        return [dtypes(value) for value in structure]
    return dtype_of(structure) if hasattr(structure, "dtype") else structure


def tensor(values, dtype="float32"):
    if not K2:
        return OPS.convert_to_tensor(np.asarray(values), dtype=dtype)
    import tensorflow as tf

    return tf.constant(np.asarray(values), dtype=dtype)


def ones(dtype="float32", shape=(2, 3)):
    return tensor(np.ones(shape, "float32"), dtype)


def numbers(x):
    x = OPS.cast(x, "float32")
    return x.numpy() if K2 else np.asarray(OPS.convert_to_numpy(x))


@pytest.fixture(autouse=True)
def the_policy_stays():
    before = get_dtype_policy()
    yield
    assert get_dtype_policy() == before


# --- policies ------------------------------------------------------------------------------


@pytest.fixture
def before():
    """The policy object that is set, to which the test returns."""
    KERAS.mixed_precision.set_global_policy("float32")
    yield KERAS.mixed_precision.global_policy()
    KERAS.mixed_precision.set_global_policy(None if K2 else "float32")


def test_a_policy_holds_for_a_block_and_the_object_from_before_comes_back(before):
    with dtype_policy_scope("mixed_float16") as name:
        assert name == get_dtype_policy() == "mixed_float16"
        outer = KERAS.mixed_precision.global_policy()
        assert (L.Dense(1).compute_dtype, L.Dense(1).variable_dtype) == ("float16", "float32")
        with contextlib.suppress(ZeroDivisionError), dtype_policy_scope("mixed_bfloat16"):
            assert get_dtype_policy() == "mixed_bfloat16"
            _ = 1 / 0
        assert KERAS.mixed_precision.global_policy() is outer
    assert KERAS.mixed_precision.global_policy() is before


@pytest.mark.skipif(not K2, reason="Keras 3 sets a policy when it is first asked for one")
def test_a_policy_that_follows_floatx_goes_on_following_it():
    with dtype_policy_scope("mixed_bfloat16"):
        pass
    KERAS.backend.set_floatx("float64")
    try:
        assert get_dtype_policy(keras=KERAS) == "float64"
    finally:
        KERAS.backend.set_floatx("float32")


def test_a_policy_is_set_by_name_or_object_and_for_any_module_of_a_keras(before):
    set_dtype_policy("float16")
    assert get_dtype_policy() == "float16" == L.Dense(1).compute_dtype
    made = KERAS.mixed_precision.Policy("mixed_bfloat16")
    set_dtype_policy(made, keras=KERAS)
    assert KERAS.mixed_precision.global_policy() is made
    assert get_dtype_policy(keras=KERAS) == "mixed_bfloat16"
    with dtype_policy_scope(before, keras=KERAS):
        assert KERAS.mixed_precision.global_policy() is before


@pytest.mark.skipif(not zoo.has_both(), reason="only the tf_keras environments have two Kerases")
def test_a_policy_holds_for_each_keras_that_is_loaded(before):
    both = [importlib.import_module(name) for name in ("keras", "tf_keras")]

    def policies():
        return [module.layers.Dense(1).compute_dtype for module in both]

    with dtype_policy_scope("mixed_float16"):
        assert policies() == ["float16", "float16"]
        assert get_dtype_policy() == "mixed_float16"
        with dtype_policy_scope("mixed_bfloat16", keras=both[0]):
            assert policies() == ["bfloat16", "float16"]
            with pytest.raises(
                RuntimeError, match=r"'mixed_float16' of tf_keras 2.*'mixed_bfloat16' of keras 3.*keras="
            ):
                get_dtype_policy()
            assert [get_dtype_policy(keras=module) for module in both] == ["mixed_bfloat16", "mixed_float16"]
    set_dtype_policy("mixed_bfloat16")
    assert policies() == ["bfloat16", "bfloat16"]
    own = both[1].mixed_precision.Policy("float32")
    set_dtype_policy(own)  # an object is of one Keras
    assert policies() == ["bfloat16", "float32"]
    with pytest.raises(ValueError, match=r"tf_keras 2.* has no floating dtype policy 'float8_from_float32'"):
        set_dtype_policy("float8_from_float32")
    assert policies() == ["bfloat16", "float32"]
    set_dtype_policy("float32")
    assert policies() == ["float32", "float32"]


@pytest.mark.parametrize("name", ["mixed_flaot16", "int32", "_infer", "string", ""])
def test_an_unknown_policy_is_an_error_that_lists_those_that_are_there(name):
    with pytest.raises(ValueError, match="has no floating dtype policy") as caught:
        set_dtype_policy(name)
    message = str(caught.value)
    assert repr(name) in message
    assert str(INFO) in message
    assert message.endswith(f"It has: {', '.join(policy_names())}.")
    assert ("Did you mean 'mixed_float16'?" in message) is (name == "mixed_flaot16")
    with pytest.raises(ValueError, match="has no floating dtype policy"), dtype_policy_scope(name):
        pass


def test_every_policy_that_is_listed_works_and_no_other(before):
    names = policy_names()
    assert {"float16", "float32", "bfloat16", "mixed_float16", "mixed_bfloat16"} <= set(names)
    # JAX makes float32 of it unless it is told otherwise, and so does the NumPy backend with weights.
    wide = BACKEND != "jax" and dtype_of(L.Dense(1, dtype="float64")(ones("float64"))) == "float64"
    assert ("float64" in names) is wide
    for name in names:
        with dtype_policy_scope(name):
            assert get_dtype_policy() == name
            assert L.Dense(1).dtype_policy.name == name
    for name in ("int8_from_mixed_bfloat16", "int4_from_float32", "float8_from_float32"):
        try:
            KERAS.mixed_precision.set_global_policy(name)
        except (ValueError, TypeError):
            assert name not in names
        else:
            assert name in names
        finally:
            KERAS.mixed_precision.set_global_policy(before)


def test_what_is_no_policy_or_no_keras_is_an_error():
    class Policy(type(KERAS.mixed_precision.global_policy())):
        pass

    for wrong in (None, 16, object()):
        with pytest.raises(TypeError, match="by its name or as a policy object; got"):
            set_dtype_policy(wrong)
    with dtype_policy_scope(Policy("float16")):  # of a user's own class
        assert get_dtype_policy(keras=KERAS) == "float16"
    Policy.__module__ = "tf_keras.src.mixed_precision" if INFO.package == "keras" else "keras.src.dtype_policies"
    with pytest.raises(TypeError, match="is of another Keras than"):
        set_dtype_policy(Policy("float16"), keras=KERAS)
    with pytest.raises(TypeError, match="expects a Keras module"):
        get_dtype_policy(keras=np)


def test_a_policy_without_a_keras_is_an_error_and_imports_none():
    code = (
        "import sys, keras_buildfix\n"
        "try: keras_buildfix.get_dtype_policy()\n"
        "except RuntimeError as error: print(error, not {'keras', 'tf_keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "No Keras is loaded" in done.stdout
    assert done.stdout.split()[-1] == "True"


def test_dtypes_of_a_layer_are_names():
    assert (compute_dtype(L.Dense(1, dtype="mixed_float16")), variable_dtype(L.Dense(1, dtype="mixed_float16"))) == (
        "float16",
        "float32",
    )
    assert (compute_dtype(L.Dense(1, dtype="float64")), variable_dtype(L.Dense(1, dtype="float64"))) == ("float64",) * 2
    for wrong in (L.Dense, None, "layer"):
        with pytest.raises(TypeError, match="expects a Keras layer"):
            compute_dtype(wrong)
        with pytest.raises(TypeError, match="expects a Keras layer"):
            variable_dtype(wrong)
        with pytest.raises(TypeError, match="expects a Keras layer"):
            cast_inputs(wrong, 1)
        with pytest.raises(TypeError, match="expects a Keras layer"):
            safe_call(wrong, 1)


# --- the casting rule ----------------------------------------------------------------------

Point = collections.namedtuple("Point", "x y")
FLOATS = ["float16", "bfloat16", "float32", *(["float64"] if BACKEND != "jax" else [])]


@pytest.mark.parametrize("to", FLOATS)
def test_floats_become_the_compute_dtype_and_those_that_have_it_are_the_same_object(to):
    layer = L.Dense(1, dtype=to)
    for dtype in FLOATS:
        given = ones(dtype)
        cast = cast_inputs(layer, given)
        assert dtype_of(cast) == to
        assert (cast is given) is (dtype == to)
        assert type(cast) is type(given)
        np.testing.assert_array_equal(numbers(cast), np.ones((2, 3)))


def test_what_is_nested_is_cast_and_keeps_its_type():
    layer = L.Dense(1, dtype=MIXED)
    ordered = collections.OrderedDict(b=ones(), a=1)
    counted = collections.defaultdict(list, k=ones())
    given = {"l": [ones(), (ones("float16"), None)], "p": Point(ones(), 2), "o": ordered, "d": counted}
    cast = cast_inputs(layer, given)
    assert dtypes(cast) == {
        "l": ["bfloat16", ["bfloat16", None]],
        "p": ["bfloat16", 2],
        "o": {"b": "bfloat16", "a": 1},
        "d": {"k": "bfloat16"},
    }
    assert list(cast["o"]) == ["b", "a"]
    assert cast["d"].default_factory is list
    assert [type(cast[key]) for key in "lpod"] == [list, Point, collections.OrderedDict, collections.defaultdict]
    assert dtypes(given["l"]) == ["float32", ["float16", None]]
    assert cast_inputs(layer, cast) is cast


class Dotted(dict):
    """Without an attribute it raises KeyError, of which `copy` knows nothing before Python 3.11."""

    __getattr__ = dict.__getitem__


class Same(dict):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.__dict__ = self


class Frozen(dict):
    def __setitem__(self, key, value):
        raise TypeError("frozen")


class Factory(collections.defaultdict):
    pass


def test_a_subclass_of_dict_keeps_its_type_and_what_belongs_to_it():
    layer = L.Dense(1, dtype=MIXED)
    noted = collections.OrderedDict.__new__(type("Noted", (collections.OrderedDict,), {}))
    noted.update(b=ones(), a=2)
    noted.note = "kept"
    factory = Factory(list, x=ones())
    for given in (Dotted(x=ones(), n=1), Same(x=ones(), n=1), Frozen(x=ones(), n=1), factory, noted):
        cast = cast_inputs(layer, given)
        assert type(cast) is type(given)
        first = next(iter(given))
        assert list(cast) == list(given)
        assert (dtype_of(cast[first]), dtype_of(given[first])) == ("bfloat16", "float32")
        assert cast_inputs(layer, cast) is cast
    assert cast_inputs(layer, noted).note == "kept"
    assert cast_inputs(layer, factory).default_factory is list
    for cls in (Dotted, Same):
        assert dtype_of(cast_inputs(layer, cls(x=ones())).x) == "bfloat16"
    layer.held = collections.OrderedDict(b=ones(), a=2)  # each Keras keeps a dict of its own there
    assert dtypes(dict(cast_inputs(layer, layer.held))) == {"b": "bfloat16", "a": 2}

    class Answers(MixedPrecisionMixin, L.Layer):
        def call(self, x):
            return Dotted(y=tensor(np.ones((2, 3)), "float32"), x=x)

    answer = Answers(dtype=MIXED)(ones())
    assert type(answer) is Dotted
    assert dtypes(dict(answer)) == {"y": "bfloat16", "x": "bfloat16"}


def test_what_is_not_floating_is_left_as_it_is():
    layer = L.Dense(1, dtype=MIXED)
    given = [tensor([1, 2], "int32"), tensor([True], "bool"), 1, 2.5, 1j, True, None, "text", b"bytes", object(), {1.5}]
    given += [np.arange(3), np.array([True]), np.array(["a"]), np.array([1j]), np.int8(3), slice(1.0), float, len]
    assert cast_inputs(layer, given) is given
    for one in given:
        assert cast_inputs(layer, one) is one


def test_layers_that_do_not_compute_in_floats_or_do_not_autocast_leave_all_alone():
    given = [ones(), np.ones(2)]
    assert cast_inputs(L.Dense(1, dtype="float16", autocast=False), given) is given
    assert cast_inputs(L.Activation("linear", dtype="int32"), given) is given


def test_numpy_floats_become_tensors():
    layer = L.Dense(1, dtype=MIXED)
    for array in (np.ones(2, "float16"), np.ones(2, "float32"), np.ones(2), np.float32(1), np.float64(1)):
        cast = cast_inputs(layer, array)
        assert type(cast) is type(ones())
        assert dtype_of(cast) == "bfloat16"
    same = cast_inputs(L.Dense(1), np.ones(2, "float32"))
    assert (type(same), dtype_of(same)) == (type(ones()), "float32")


def test_symbolic_tensors_are_cast_in_the_model():
    x = KERAS.Input((3,))
    layer = L.Dense(1, dtype="float16")
    cast = cast_inputs(layer, {"x": x})["x"]
    assert dtype_of(cast) == "float16"
    assert cast_inputs(layer, cast) is cast
    assert dtype_of(KERAS.Model(x, cast)(ones())) == "float16"


def test_variables_are_cast_to_tensors():
    layer = L.Dense(1)
    layer.build((None, 3))
    cast = cast_inputs(L.Dense(1, dtype=MIXED), layer.kernel)
    assert dtype_of(cast) == "bfloat16"
    np.testing.assert_allclose(numbers(cast), numbers(layer.kernel), rtol=1e-2)
    assert cast_inputs(layer, layer.kernel) is layer.kernel


@needs_tf
def test_ragged_sparse_and_variables_of_tensorflow_keep_their_kind():
    import tensorflow as tf

    layer = L.Dense(1, dtype="float16")
    ragged = tf.ragged.constant([[1.0, 2.0], [3.0]])
    sparse = tf.sparse.from_dense([[0.0, 2.0]])
    integers = tf.ragged.constant([[1, 2], [3]])
    cast = cast_inputs(layer, [ragged, sparse, integers, tf.Variable([1.0]), tf.constant("a")])
    assert isinstance(cast[0], tf.RaggedTensor)
    assert cast[0].to_list() == [[1, 2], [3]]
    assert isinstance(cast[1], tf.SparseTensor)
    assert tf.sparse.to_dense(cast[1]).numpy().tolist() == [[0, 2]]
    assert dtypes(cast) == ["float16", "float16", "int32", "float16", "string"]
    assert cast[2] is integers
    assert cast_inputs(layer, cast) is cast
    variable = tf.Variable([1.0], dtype="float16")
    assert cast_inputs(layer, variable) is variable


@pytest.mark.skipif(not K2, reason="Keras 3 has no symbolic ragged tensors")
def test_symbolic_ragged_and_sparse_tensors_keep_their_kind():
    layer = L.Dense(1, dtype="float16")
    for kind in ({"ragged": True}, {"sparse": True}):
        x = KERAS.Input((None,) if "ragged" in kind else (3,), **kind)
        cast = cast_inputs(layer, x)
        assert dtype_of(cast) == "float16"
        assert type(cast) is type(x)


@pytest.mark.skipif(BACKEND != "jax", reason="JAX")
def test_tracers_and_sparse_arrays_of_jax():
    import jax
    from jax.experimental import sparse

    layer, seen = L.Dense(1, dtype=MIXED), []

    def function(x, n):
        seen.extend([dtypes(cast_inputs(layer, [x, n])), cast_inputs(layer, n) is n])
        return cast_inputs(layer, x)

    assert dtype_of(jax.jit(function)(ones(), tensor([1], "int32"))) == "bfloat16"
    assert dtype_of(jax.vmap(lambda x: cast_inputs(layer, x))(ones())) == "bfloat16"
    assert seen == [["bfloat16", "int32"], True]
    matrix = sparse.BCOO.fromdense(np.array([[0, 2.0]], "float32"))
    cast = cast_inputs(layer, matrix)
    assert type(cast) is sparse.BCOO
    assert dtype_of(cast) == "bfloat16"
    assert dtype_of(cast.indices).startswith("int")
    assert cast.todense().tolist() == [[0, 2]]
    assert cast_inputs(layer, cast) is cast
    wide = L.Dense(1, dtype="float64")
    assert cast_inputs(wide, ones()).dtype == "float32"  # what JAX without 64 bits makes of it, without a warning


@pytest.mark.skipif(BACKEND != "torch", reason="torch")
def test_sparse_tensors_and_parameters_of_torch():
    import torch

    layer = L.Dense(1, dtype="float16")
    cast = cast_inputs(layer, torch.tensor([[0, 2.0]]).to_sparse())
    assert cast.is_sparse
    assert dtype_of(cast) == "float16"
    parameter = torch.nn.Parameter(torch.ones(2))
    cast = cast_inputs(layer, parameter)
    cast.sum().backward()
    assert parameter.grad.tolist() == [1, 1]


# --- what a layer's call gets and gives ----------------------------------------------------


class Look(L.Layer):
    """Hands its inputs back, and notes what it got."""

    def call(self, x, y=None, *, z=None, training=None):
        self.seen = dtypes({"x": x, "y": y, "z": z})
        return x


class MixinLook(MixedPrecisionMixin, Look):
    pass


class MethodLook(Look):
    call = mixed_precision_safe(Look.call)


@mixed_precision_safe
class ClassLook(Look):
    pass


LOOKS = [MixinLook, MethodLook, ClassLook]
INTEGERS = [MixinLook, ClassLook]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16", "float16", "float32"])
def test_all_floats_come_in_the_compute_dtype(look, name):
    layer = look(dtype=name)
    half = layer.compute_dtype
    layer(ones(), ones("float16"), z=ones())
    assert layer.seen == {"x": half, "y": half, "z": half}
    layer([ones()], {"a": [ones(), ones("float16")]}, z=(ones(), tensor([1], "int32")))
    assert layer.seen == {"x": [half], "y": {"a": [half, half]}, "z": [half, "int32"]}
    layer(np.ones((2, 3)), y=np.ones(2, "float32"), z=0.5)
    assert layer.seen == {"x": half, "y": half, "z": 0.5}


@pytest.mark.parametrize("look", INTEGERS)
def test_integers_and_bools_of_numpy_stay_that_too(look):
    layer = look(dtype=MIXED)
    layer(np.ones((2, 3), "int32"), np.array([True]), z={"a": np.ones(2, "int32")})
    assert layer.seen == {"x": "int32", "y": "bool", "z": {"a": "int32"}}
    layer(tensor([1], "int32"), y=tensor([True], "bool"))
    assert layer.seen == {"x": "int32", "y": "bool", "z": None}


def test_plain_keras_does_what_the_rule_fixes():
    """If one of these fails, Keras has changed: the rule still holds, by the tests above."""
    layer = Look(dtype=MIXED)
    layer(ones(), ones(), z=ones())
    assert layer.seen == ({"x": "bfloat16", "y": "float32", "z": "float32"} if K2 else dict.fromkeys("xyz", "bfloat16"))
    layer(np.ones((2, 3), "int32"))
    assert layer.seen["x"] == ("bfloat16" if (3, 0) <= RELEASE <= (3, 3) else "int32")
    assert casts_arrays_of_integers(KERAS.layers.Layer) is ((3, 0) <= RELEASE <= (3, 3))


@pytest.mark.parametrize("look", LOOKS)
def test_layers_that_do_not_autocast_are_left_alone(look):
    layer = look(dtype="mixed_float16", autocast=False)
    assert dtype_of(layer(ones(), ones("bfloat16"), z=ones())) == "float32"
    assert layer.seen == {"x": "float32", "y": "bfloat16", "z": "float32"}
    plain, ours = Look(dtype="int32"), look(dtype="int32")
    assert dtypes([ours(ones(), ones()), ours.seen]) == dtypes([plain(ones(), ones()), plain.seen])


def test_results_come_in_the_compute_dtype():
    class Plus(MixedPrecisionMixin, L.Layer):
        def call(self, x):
            return x + cast_inputs(self, OPS.ones((2, 3), dtype="float32"))

    class Wider(MixedPrecisionMixin, L.Layer):
        def call(self, x):
            return {"a": OPS.ones((2, 3), dtype="float32"), "b": [x, OPS.cast(x, "int32")], "c": Point(x, 1)}

    assert dtype_of(Plus(dtype="mixed_bfloat16")(ones())) == "bfloat16"
    given = Wider(dtype="mixed_bfloat16")(ones())
    assert dtypes(given) == {"a": "bfloat16", "b": ["bfloat16", "int32"], "c": ["bfloat16", 1]}
    assert type(given["c"]) is Point


def autocast_keyword():
    names = inspect.signature(L.Layer.add_weight).parameters
    return "autocast" if "autocast" in names else "experimental_autocast" if K2 else None


def test_weights_come_in_the_compute_dtype_and_those_without_autocasting_as_they_are():
    class Weights(MixedPrecisionMixin, L.Layer):
        def build(self, input_shape):
            self.plain = self.add_weight(name="plain", shape=(3,), initializer="ones")
            self.explicit = self.add_weight(name="explicit", shape=(3,), initializer="ones", dtype="float32")
            self.wide = None
            if autocast_keyword():
                keyword = {autocast_keyword(): False}
                self.wide = self.add_weight(name="wide", shape=(3,), initializer="ones", dtype="float32", **keyword)
            self.built = True

        def call(self, x):
            self.seen = [dtype_of(self.plain * 1), dtype_of(self.explicit + 0)]
            if self.wide is not None:
                self.seen.append(dtype_of(OPS.square(self.wide)))
            return x * self.plain

    layer = Weights(dtype=MIXED)
    layer(ones())
    wide = ["float32"] if autocast_keyword() else []
    assert layer.seen == ["bfloat16", "bfloat16", *wide]
    assert {dtype_of(weight) for weight in layer.weights} == {"float32"}
    layer.call(ones())  # by hand: Keras reads the weights in float32 then, and 3 multiplies without a word
    assert layer.seen == ["bfloat16", "bfloat16", *wide]
    assert dtype_of(layer.call(ones())) == "bfloat16"


def test_a_call_by_hand_in_a_layer_of_another_policy_reads_its_own_dtype():
    class Scale(MixedPrecisionMixin, L.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")
            self.built = True

        def call(self, x):
            self.seen = dtype_of(self.scale * 1)
            return x * self.scale

    inner = Scale(dtype="float32")
    inner.build((None, 3))

    class Outer(MixedPrecisionMixin, L.Layer):
        def call(self, x):
            return inner.call(x)

    assert dtype_of(Outer(dtype=MIXED)(ones())) == "bfloat16"
    assert inner.seen == "float32"


# --- the wrapped call looks like the original ----------------------------------------------


class Signed(MixedPrecisionMixin, L.Layer):
    def call(self, inputs, other=None, training=False, mask=None, *, scale=1.0):
        """The original."""
        self.seen = {"training": training, "mask": mask is not None, "scale": scale, "other": other is not None}
        return inputs * scale


def test_signature_source_and_name_are_those_of_the_original():
    expected = ["self", "inputs", "other", "training", "mask", "scale"]
    assert list(inspect.signature(Signed.call).parameters) == expected
    assert inspect.getfullargspec(Signed.call).args == expected[:-1]
    assert inspect.getfullargspec(Signed.call).kwonlyargs == ["scale"]
    assert inspect.getfullargspec(Signed().call).args[0] == "self"
    assert Signed.call.__doc__ == "The original."
    assert Signed.call.__qualname__ == "Signed.call"
    assert "self.seen" in inspect.getsource(Signed.call)


@pytest.mark.skipif(BACKEND == "numpy", reason="an array can't have an attribute, where Keras keeps masks")
def test_keras_still_finds_training_and_mask():
    layer = Signed(dtype=MIXED)
    layer.supports_masking = True
    x = L.Embedding(4, 3, mask_zero=True, dtype=MIXED)(tensor([[1, 0], [2, 3]], "int32"))
    layer(x, training=True, scale=2.0)
    assert layer.seen == {"training": True, "mask": True, "scale": 2.0, "other": False}
    layer(ones(), ones(), training=True)
    assert layer.seen == {"training": True, "mask": False, "scale": 1.0, "other": True}
    model = KERAS.Sequential([KERAS.Input((3,)), Signed(dtype=MIXED)])
    model(ones(), training=True)
    assert model.layers[-1].seen["training"] is True


@pytest.mark.skipif(BACKEND == "numpy", reason="an array can't have an attribute, where Keras keeps masks")
def test_masks_stay_on_what_is_cast():
    layer = MixinLook(dtype=MIXED)
    x = L.Embedding(4, 3, mask_zero=True, dtype="float32")(tensor([[1, 0], [2, 3]], "int32"))
    cast = cast_inputs(layer, x)
    assert dtype_of(cast) == "bfloat16"
    assert numbers(cast._keras_mask).tolist() == [[1, 0], [1, 1]]


def test_layers_are_copied_pickled_and_saved_as_ever(tmp_path):
    model = KERAS.Sequential([KERAS.Input((3,)), Kept(2.0, dtype=MIXED, name="kept")])
    expected = numbers(model(ones()))
    np.testing.assert_array_equal(expected, np.full((2, 3), 2))
    assert model.get_layer("kept").get_config()["by"] == 2.0
    path = tmp_path / "model.keras"
    model.save(path)
    again = KERAS.models.load_model(path)
    copies = [again, KERAS.models.clone_model(model)]
    if not (3, 0) <= RELEASE <= (3, 2):  # a copy of any built layer is locked there
        copies.append(copy.deepcopy(model))
    for other in copies:
        assert dtype_of(other(ones())) == "bfloat16"
        np.testing.assert_array_equal(numbers(other(ones())), expected)
    assert pickle.loads(pickle.dumps(Kept.call)) is Kept.call
    assert pickle.loads(pickle.dumps(half_sum)) is half_sum


@KERAS.utils.register_keras_serializable("precision")
class Kept(MixedPrecisionMixin, L.Layer):
    def __init__(self, by=1.0, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")
        self.built = True

    def call(self, x):
        return x * self.scale * self.by

    def get_config(self):
        return {**super().get_config(), "by": self.by}


@full_precision
def half_sum(x):
    return OPS.sum(x)


@needs_tf
@pytest.mark.parametrize("make", [lambda cls: type("Mixed", (MixedPrecisionMixin, cls), {}), mixed_precision_safe])
def test_autograph_converts_a_call_wherever_plain_keras_does(make):
    import tensorflow as tf

    class Plain(L.Layer):
        def call(self, x):
            if tf.reduce_sum(x) > 0:  # noqa: SIM108
                y = x * 2
            else:
                y = x * 3
            return y

    def outcome(layer):
        compiled = tf.function(lambda x: layer(x))
        try:
            return [compiled(tf.constant(values)).numpy().tolist() for values in ([-1.0], [1.0])]
        except tf.errors.OperatorNotAllowedInGraphError:
            return "not converted"

    plain = outcome(Plain())
    assert plain == ([[-3], [2]] if K2 else "not converted")
    assert outcome(make(type("Copy", (Plain,), {"call": Plain.call}))()) == plain

    def sign(x):
        if tf.reduce_sum(x) > 0:  # noqa: SIM108
            y = x * 2
        else:
            y = x * 3
        return y

    assert outcome(full_precision(sign)) == outcome(sign)


@needs_tf
def test_a_call_that_is_a_tf_function_follows_the_rule():
    import tensorflow as tf

    class Compiled(MixedPrecisionMixin, L.Layer):
        @tf.function
        def call(self, x, y):
            return x + y

    assert dtype_of(Compiled(dtype="mixed_float16")(ones(), ones())) == "float16"


# --- wrapping ------------------------------------------------------------------------------


def test_wrapping_twice_is_wrapping_once():
    assert mixed_precision_safe(Signed.call) is Signed.call
    before = Signed.call
    assert mixed_precision_safe(Signed) is Signed
    assert mixed_precision_safe()(Signed) is Signed
    assert Signed.call is before
    assert Look.call is vars(Look)["call"]
    assert not hasattr(Look.call, "__wrapped__")


def test_a_chain_of_calls_casts_once_and_a_class_in_between_is_not_left_out():
    class Base(L.Layer):
        def call(self, x, y):
            self.seen = [*getattr(self, "seen", []), dtypes([x, y])]
            return x + y

    class First(MixedPrecisionMixin, Base):
        pass

    class Between(Base):
        def call(self, x, y):
            self.seen = ["between"]
            return super().call(x, y)

    class Last(First, Between):
        def call(self, x, y):
            return super().call(x, y=OPS.cast(y, "float32"))

    layer = Last(dtype=MIXED)
    assert dtype_of(layer(ones(), ones())) == "bfloat16"
    assert layer.seen == ["between", ["bfloat16", "bfloat16"]]


def test_built_in_layers_follow_the_rule_too():
    class Attending(MixedPrecisionMixin, L.MultiHeadAttention):
        pass

    class Added(MixedPrecisionMixin, KERAS.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.attending = Attending(num_heads=1, key_dim=2)

        def call(self, x, y):
            return self.attending(x, y)

    with dtype_policy_scope(MIXED):
        model = Added()
    assert dtype_of(model(ones(shape=(2, 3, 4)), ones(shape=(2, 3, 4)))) == "bfloat16"

    class Functional(MixedPrecisionMixin, KERAS.Model):
        pass

    x = KERAS.Input((3,))
    assert dtype_of(Functional(x, L.Dense(2, dtype=MIXED)(x))(ones())) == "bfloat16"


def test_both_mixins_stand_in_either_order_before_the_keras_class():
    for mixins in ((MixedPrecisionMixin, DeferredBuildMixin), (DeferredBuildMixin, MixedPrecisionMixin)):

        class Pooled(*mixins, L.MaxPooling1D):
            def build(self, input_shape):
                self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
                super().build(input_shape)

            def call(self, x, y):
                return super().call(x) * self.scale + y

        layer = Pooled(1, dtype=MIXED)
        assert layer.built is False
        assert dtype_of(layer(ones(shape=(2, 3, 4)), ones(shape=(2, 3, 4)))) == "bfloat16"
        assert len(layer.weights) == 1
        assert deferred_build(mixed_precision_safe(Pooled)) is Pooled


def test_a_mixin_in_the_wrong_place_is_an_error_that_says_where_it_goes():
    with pytest.raises(
        TypeError, match=r"after the Keras class Dense in Wrong.*class Wrong\(MixedPrecisionMixin, Dense\)"
    ):

        class Wrong(L.Dense, MixedPrecisionMixin):
            pass


@pytest.mark.parametrize("wrong", [None, 3, "call", L.Dense(1), int, staticmethod(len)])
def test_what_can_not_be_wrapped_is_an_error(wrong):
    with pytest.raises(TypeError, match="mixed_precision_safe expects"):
        mixed_precision_safe(wrong)


@pytest.mark.parametrize("wrong", [None, 3, L.Dense(1), L.Dense, staticmethod(len)])
def test_what_can_not_be_in_full_precision_is_an_error(wrong):
    with pytest.raises(TypeError, match="full_precision expects"):
        full_precision(wrong)


@pytest.mark.parametrize(
    ("wrong", "way_out"),
    [
        (lambda: full_precision(L.Dense(1)), "Make the layer with dtype='float32'"),
        (lambda: full_precision(L.Dense), "Put @full_precision above a method of it, such as call"),
        (lambda: full_precision(staticmethod(len)), "Put @full_precision below @staticmethod"),
        (lambda: compute_dtype(L.Dense(1, dtype="mixed_float16").dtype_policy), "its attribute compute_dtype"),
        (lambda: compute_dtype(np.ones(2)), "its attribute dtype"),
        (lambda: cast_inputs(np.ones(2), L.Dense(1)), r"The layer comes first: cast_inputs\(layer, structure\)"),
        (lambda: get_dtype_policy(L.Dense(1)), "The policy of a layer is layer.dtype_policy"),
    ],
    ids=["layer", "class", "static", "policy", "array", "order", "policy of a layer"],
)
def test_an_error_about_dtypes_names_a_way_out_that_works(wrong, way_out):
    with pytest.raises(TypeError, match=way_out):
        wrong()
    layer = L.Dense(1, dtype="mixed_bfloat16")
    assert layer.dtype_policy.compute_dtype == compute_dtype(layer) == "bfloat16"
    assert compute_dtype(L.Dense(1, dtype="float32")) == "float32"


def items(x):
    yield x


async def later(x):
    return x


async def items_later(x):
    yield x


@pytest.mark.parametrize("wrong", [items, later, items_later, functools.partial(items, x=1)])
@pytest.mark.parametrize("decorate", [full_precision, mixed_precision_safe])
def test_a_function_whose_body_runs_later_is_refused(decorate, wrong):
    what = "an async function" if wrong in (later, items_later) else "a generator"
    with pytest.raises(TypeError, match=rf"{decorate.__name__} expects .* is {what}, whose body runs later"):
        decorate(wrong)


def test_a_call_that_is_a_generator_is_refused():
    with pytest.raises(TypeError, match=r"call is a generator, whose body runs later"):

        class Items(MixedPrecisionMixin, L.Layer):
            def call(self, x):
                yield x


def test_a_call_that_is_a_partialmethod_follows_the_rule():
    class Times(L.Layer):
        def _times(self, x, y=None, k=1.0):
            if OPS.sum(x) > 0:  # converted by AutoGraph on Keras 2
                y = x * k + y
            return y

        call = functools.partialmethod(_times, k=2.0)

    inputs = KERAS.Input((3,)), KERAS.Input((3,))
    for cls in (type("Mixed", (MixedPrecisionMixin, Times), {}), type("Portable", (PortableLayerMixin, Times), {})):
        y = cls(dtype=MIXED)(ones(), y=ones())
        assert dtype_of(y) == "bfloat16"
        np.testing.assert_array_equal(numbers(y), np.full((2, 3), 3.0))
        assert list(inspect.signature(cls(dtype=MIXED).call).parameters) == ["x", "y", "k"]
        if K2:
            model = KERAS.Model(inputs, cls(dtype=MIXED)(inputs[0], y=inputs[1]))
            np.testing.assert_array_equal(numbers(model([ones(), ones()])), np.full((2, 3), 3.0))

    class Own(PortableLayerMixin, L.Layer):
        def _times(self, x, k=1.0):
            return x * k

        call = functools.partialmethod(_times, k=2.0)

    np.testing.assert_array_equal(numbers(Own(dtype=MIXED)(ones())), np.full((2, 3), 2.0))
    symbolic = Own(dtype=MIXED)(inputs[0])
    assert (tuple(symbolic.shape), dtype_of(symbolic)) == ((None, 3), "bfloat16")


def test_a_class_that_comes_between_has_its_say_when_the_layer_is_called():
    calls = []

    class Between:
        def __call__(self, *args, **kwargs):
            calls.append("between")
            return super().__call__(*args, **kwargs)

    class First(MixedPrecisionMixin, L.Layer):
        def call(self, x):
            return x

    class Second(First, Between, L.Layer):
        pass

    class Own(First):
        def __call__(self, x):
            calls.append("own")
            return super().__call__(x)

    assert dtype_of(Second(dtype=MIXED)(ones())) == "bfloat16"
    assert calls == ["between"]
    assert "int" in dtype_of(Own(dtype=MIXED)(np.arange(3)))
    assert calls == ["between", "own"]


def test_a_call_of_what_is_no_layer_is_an_error():
    class Part(MixedPrecisionMixin):
        def call(self, x):
            return x

    with pytest.raises(TypeError, match="mixed_precision_safe expects a Keras layer"):
        Part().call(1)
    assert dtype_of(type("Whole", (Part, L.Layer), {})(dtype=MIXED)(ones())) == "bfloat16"


def test_a_static_call_is_an_error():
    with pytest.raises(TypeError, match="to be a method that takes self"):

        class Static(MixedPrecisionMixin, L.Layer):
            @staticmethod
            def call(x):
                return x


# --- full precision ------------------------------------------------------------------------


def test_a_bare_function_computes_in_float32_and_hands_back_the_first_half():
    seen = []

    @full_precision
    def function(*args, **kwargs):
        seen.append(dtypes([list(args), kwargs]))
        return args[0], {"n": tensor([1], "int32"), "s": ones("float32")}

    wide = "float64" if "float64" in FLOATS else "float32"
    back = function(ones("bfloat16"), [ones("float16")], ones(wide), 3, k=ones("float16"))
    assert seen == [[["float32", ["float32"], wide, 3], {"k": "float32"}]]
    assert dtypes(back) == ["bfloat16", {"n": "int32", "s": "bfloat16"}]
    given = ones(wide)
    assert function(given)[0] is given
    assert function(ones())[1]["s"].dtype == ones().dtype
    back = function(np.ones(2, "float16"))[0]
    assert (type(back), back.dtype.name) == (np.ndarray, "float16")


def test_full_precision_is_more_than_half():
    x = tensor(np.full(3000, 0.1, "float32"), "bfloat16")
    expected = numbers(x).sum()
    precise = float(numbers(full_precision(OPS.sum)(x)))
    assert abs(precise - expected) <= expected / 2**8


class Precise(MixedPrecisionMixin, L.Layer):
    """A method in full precision, with a weight and with a layer, in a `call` in half."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = Look(dtype=self.dtype_policy)
        self.seen = {}

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")
        self.built = True

    @full_precision
    def norm(self, x):
        weight = self.scale * 1.0
        self.inner(x)
        self.seen |= {"x": dtype_of(x), "weight": dtype_of(weight)}
        return x * weight

    def call(self, x):
        y = self.norm(x)
        self.seen |= {"y": dtype_of(y), "after": dtype_of(self.scale * 1)}
        return bare(y)


@full_precision
def bare(y):
    assert dtype_of(y) == "float32"
    return y + OPS.ones((2, 3), dtype="float32")


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16"])
def test_a_method_in_full_precision_reads_its_weights_in_float32(name):
    layer = Precise(dtype=name)
    half = layer.compute_dtype
    assert dtype_of(layer(ones())) == half
    assert layer.seen == {"x": "float32", "weight": "float32", "y": half, "after": half}
    assert layer.inner.seen["x"] == half
    x = KERAS.Input((3,), batch_size=2)
    assert dtype_of(KERAS.Model(x, Precise(dtype=name)(x))(ones())) == half


@pytest.mark.parametrize("name", ["bfloat16", "float32", "float64"])
def test_a_method_in_full_precision_of_a_layer_that_is_not_mixed(name):
    if name not in policy_names():
        pytest.skip(f"{BACKEND} has no {name}")

    class Method(MixedPrecisionMixin, L.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")
            self.built = True

        @full_precision
        def norm(self, x):
            self.seen = [dtype_of(x), dtype_of(self.scale * 1)]
            return x

        def call(self, x):
            return self.norm(x)

    layer = Method(dtype=name)
    assert dtype_of(layer(ones())) == name
    inside = "float32" if name == "bfloat16" else name
    assert layer.seen == [inside, "bfloat16" if K2 and name == "bfloat16" else inside]


def test_weights_that_a_bare_function_reads_come_in_float32():
    outer = []

    @full_precision
    def read(weight, function):
        outer.extend([dtype_of(weight * 1), dtype_of(function() * 1)])
        return ones()

    class Reading(MixedPrecisionMixin, L.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")
            self.built = True

        def call(self, x):
            return cast_inputs(self, read(self.scale, lambda: self.scale)) * x

    assert dtype_of(Reading(dtype=MIXED)(ones())) == "bfloat16"
    assert outer == ["float32", "float32"]


# --- calls between policies ----------------------------------------------------------------


@pytest.mark.parametrize(("inner", "given"), [("float32", "bfloat16"), (MIXED, "float32")])
def test_a_layer_of_another_policy_is_called_without_a_clash(inner, given):
    layer = MixinLook(dtype=inner)
    back = safe_call(layer, ones(given), {"k": ones(given)}, z=[np.ones(2, "float32")])
    half = layer.compute_dtype
    assert layer.seen == {"x": half, "y": {"k": half}, "z": [half]}
    assert dtype_of(back) == given
    plain = Look(dtype=inner)  # knows nothing of the rule
    safe_call(plain, ones(given), ones(given), z=ones(given))
    assert plain.seen == {"x": half, "y": half, "z": half}


def test_a_call_without_floats_gives_what_the_layer_gives():
    layer = L.Embedding(3, 2, dtype=MIXED)
    assert dtype_of(safe_call(layer, tensor([1], "int32"))) == "bfloat16"


def test_a_layer_of_another_policy_in_a_model_and_in_a_layer():
    class Outer(MixedPrecisionMixin, L.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.head = L.Dense(3, dtype="float32", kernel_initializer="ones")

        def build(self, input_shape):
            self.head.build(input_shape)
            self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")
            self.built = True

        def call(self, x):
            y = safe_call(self.head, x)
            assert dtype_of(y) == "bfloat16"
            return y * self.scale + x

    x = KERAS.Input((3,))
    inside = Outer(dtype=MIXED)
    half = L.Dense(3, dtype=MIXED, kernel_initializer="ones")(x)
    symbolic = safe_call(L.Dense(3, dtype="float32", kernel_initializer="ones"), half)
    assert dtype_of(symbolic) == "bfloat16"
    model = KERAS.Model(x, [inside(x), symbolic])
    values = model(ones())
    assert dtypes(values) == ["bfloat16", "bfloat16"]
    np.testing.assert_array_equal(numbers(values[0]), np.full((2, 3), 4))
    np.testing.assert_array_equal(numbers(values[1]), np.full((2, 3), 9))
    assert inside.head.compute_dtype == "float32"


# --- the graph -----------------------------------------------------------------------------


def cast_ops(layer, *inputs):
    """How many casts the compiled graph of a call has, its functions included."""
    import tensorflow as tf

    traced = tf.function(lambda *xs: layer(*xs)).get_concrete_function(*inputs)
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return [node.op for node in nodes].count("Cast")


@needs_tf
@pytest.mark.parametrize("name", ["float32", "mixed_float16"])
def test_the_graph_has_no_cast_that_correct_code_by_hand_has_not(name):
    import tensorflow as tf

    class Weighted(L.Layer):
        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")
            self.built = True

    class ByHand(Weighted):
        def call(self, x, y):
            y = y if y.dtype == self.compute_dtype else tf.cast(y, self.compute_dtype)
            z = x * self.scale + y
            return tf.cast(tf.nn.softmax(tf.cast(z, "float32")), self.compute_dtype)

    class Ours(MixedPrecisionMixin, Weighted):
        def call(self, x, y):
            return softmax(x * self.scale + y)

    class Twice(Ours):
        def call(self, x, y):
            return super().call(x, y)

    @full_precision
    def softmax(z):
        return tf.nn.softmax(z)

    half = L.Dense(1, dtype=name).compute_dtype
    for given in ("float32", half):
        x = tf.ones((2, 3), given)
        counts = []
        for cls in (ByHand, Ours, Twice):
            layer = cls(dtype=name)
            layer(x, x)
            counts.append(cast_ops(layer, x, x))
        assert counts[0] == {"float32": 0, "mixed_float16": 3 + 2 * (given == "float32")}[name]
        assert counts == counts[:1] * 3
    model = KERAS.Sequential([KERAS.Input((3,)), MixinLook(dtype=name), MixinLook(dtype=name), MixinLook(dtype=name)])
    assert cast_ops(model, tf.ones((2, 3))) == (0 if name == "float32" else 1)


@pytest.mark.skipif(BACKEND != "jax", reason="JAX")
def test_the_jaxpr_has_no_cast_that_correct_code_by_hand_has_not():
    import jax

    layer = MixinLook(dtype=MIXED)
    layer(ones())
    counts = [
        str(jax.make_jaxpr(lambda x: layer(x))(ones(dtype))).count("convert_element_type") for dtype in FLOATS[:3]
    ]
    assert counts == [1, 0, 1]


# --- the zoo -------------------------------------------------------------------------------

ZOO = precision_zoo.zoo(KERAS)


def stepped(name, precision):
    """What a model of the zoo gives before a step of SGD, its weights after it, and the optimizer."""
    make, inputs = ZOO[name]
    model = precision_zoo.model_in(KERAS, name, make, precision)
    inputs = [tensor(x, x.dtype.name) for x in inputs]
    compiled = BACKEND == "jax"  # quicker there than one operation after another
    before = numbers((model.predict_on_batch if compiled else model)(inputs if len(inputs) > 1 else inputs[0]))
    if not TRAINS:
        return before, {}, None, model
    model.compile(KERAS.optimizers.SGD(0.05), "mse", run_eagerly=precision == "mixed_bfloat16" and not compiled)
    target = np.linspace(-1, 1, 16, dtype="float32").reshape(8, 2)
    arrays = ZOO[name][1]
    model.train_on_batch(arrays if len(arrays) > 1 else arrays[0], target)
    return before, get_weights(model), model.optimizer, model


@pytest.fixture(scope="module")
def in_float32():
    made = {}

    def result(name):
        if name not in made:
            made[name] = stepped(name, "float32")[:2]
        return made[name]

    return result


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ZOO)
def test_each_layer_of_the_zoo_agrees_with_float32(name, precision, in_float32):
    expected, expected_weights = in_float32(name)
    found, weights, optimizer, model = stepped(name, precision)
    tolerance = TOLERANCE[precision] * max(1, np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    if INFO.backend != "jax":  # XLA may leave out pairs of casts, and then computes in float32 after all
        assert np.abs(found - expected).max() > 0  # it did compute in half
    assert {dtype_of(weight) for weight in model.trainable_weights} == {"float32"}
    start = get_weights(precision_zoo.model_in(KERAS, name, ZOO[name][0], precision))
    for key, value in weights.items():
        assert np.isfinite(value).all()
        assert np.abs(value - start[key]).max() > 0, key
        step = np.abs(expected_weights[key] - start[key]).max()
        np.testing.assert_allclose(
            value, expected_weights[key], rtol=0, atol=TOLERANCE[precision] * max(step, 0.05) * 4
        )
    if TRAINS and precision == "mixed_float16":
        assert "LossScaleOptimizer" in type(optimizer).__name__


@needs_training
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_a_model_of_such_layers_fits(precision):
    classes = precision_zoo.layer_classes(KERAS)
    with dtype_policy_scope(precision):
        x = KERAS.Input((3, 4))
        y = classes["Norm"]()(classes["Attention"]()(x, x))
        model = KERAS.Model(x, L.Dense(1, dtype="float32")(L.Flatten()(y)))
        model.compile("adam", "mse")
    start = get_weights(model)
    random = np.random.default_rng(0)
    data = random.normal(size=(32, 3, 4)).astype("float32")
    losses = model.fit(data, data.mean((1, 2))[:, None], epochs=8, batch_size=16, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    for name, value in get_weights(model).items():
        assert value.dtype == "float32"
        assert np.isfinite(value).all()
        assert np.abs(value - start[name]).max() > 0, name
    if precision == "mixed_float16":
        scale = model.optimizer.initial_scale
        assert scale == 32768.0
    else:
        assert type(model.optimizer).__name__ == "Adam"


# --- What Keras knows of casting ------------------------------------------------------------


def test_it_is_known_whether_a_layer_casts_and_in_which_dtype_weights_are_read():
    base = KERAS.layers.Layer
    assert weights_dtype(base)() is None
    with reading_weights(base, "float16"):
        assert weights_dtype(base)() == "float16"
    assert weights_dtype(base)() is None
    assert autocasts(L.Dense(1))
    assert not autocasts(L.Dense(1, autocast=False))
