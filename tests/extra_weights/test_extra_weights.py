"""Extra weights of subclasses of built-ins that save by hand: saved, loaded, copied; and which plain Keras loses."""

import copy
import inspect
import warnings

import numpy as np
import pytest
from environment import INFO, KERAS

from keras_buildfix import (
    DeferredBuildMixin,
    ExtraWeightsMixin,
    PortableLayerMixin,
    frozen,
    get_weights,
    installed,
    load_weights,
    lost_weights,
    named_weights,
    read_weights,
    reset_built,
    save_weights,
    skipped_builds,
)
from keras_buildfix._keras.saving import without_count_check

RELEASE = tuple(int(part) for part in INFO.version.split(".")[:2])
LAYERS = KERAS.layers
CASES = {
    "Dense": (LAYERS.Dense, {"units": 2}, (3,)),
    "EinsumDense": (LAYERS.EinsumDense, {"equation": "ab,bc->ac", "output_shape": 2, "bias_axes": "c"}, (3,)),
    "Embedding": (LAYERS.Embedding, {"input_dim": 4, "output_dim": 2}, (3,)),
    "Conv1D": (LAYERS.Conv1D, {"filters": 2, "kernel_size": 1}, (4, 3)),
    "Conv1DTranspose": (LAYERS.Conv1DTranspose, {"filters": 2, "kernel_size": 1}, (4, 3)),
    "BatchNormalization": (LAYERS.BatchNormalization, {}, (3,)),
    "Discretization": (LAYERS.Discretization, {"bin_boundaries": [0.0, 1.0], "dtype": "float32"}, (3,)),
    "Normalization": (LAYERS.Normalization, {"axis": None, "mean": 1.0, "variance": 2.0}, (3,)),
}
if INFO.backend == "tensorflow":
    CASES["IntegerLookup"] = (LAYERS.IntegerLookup, {"vocabulary": [3, 4, 5]}, (3,))
#: Whose weights 3.2 or 3.3 began to write by hand.
BY_HAND = {"Dense": (3, 2), "EinsumDense": (3, 2), "Embedding": (3, 2), "Conv1D": (3, 3), "IntegerLookup": (2, 12)}
WHOLE = {"Embedding": "int32", "IntegerLookup": "int64"}
NOT_ON_2_12 = pytest.mark.skipif(RELEASE == (2, 12), reason="2.12 has no public methods that save a layer's weights")


def sub(name, mixin=True, first=False, trainable=True, **methods):
    """A subclass of a built-in with two extra weights, made before or after the built-in's own."""
    base = CASES[name][0]

    def build(self, input_shape=None):
        if first:
            add(self)
        if name == "IntegerLookup":
            KERAS.layers.Layer.build(self, input_shape)
        else:
            super(cls, self).build(input_shape)
        if not first:
            add(self)
        self.built = True

    def add(self):
        options = {"initializer": "ones", "dtype": "float32"}
        self.stretch = self.add_weight(name="stretch", shape=(3, 2), trainable=trainable, **options)
        self.shift = self.add_weight(name="shift", shape=(), **options)

    bases = (ExtraWeightsMixin, base) if mixin else (base,)
    cls = type("Sub", bases, {"build": build, "__module__": __name__, **methods})
    return cls


def model_of(cls, name, filled=0.0):
    _, config, shape = CASES[name]
    inputs = KERAS.Input(shape, dtype=WHOLE.get(name, "float32"))
    model = KERAS.Sequential([inputs, cls(name="sub", **config)])
    return fill(model, filled)


def fill(model, start):
    """Gives every weight values of its own, counted on from `start`."""
    values = []
    for array in model.get_weights():
        values.append((np.arange(array.size) + start).reshape(array.shape).astype(array.dtype))
        start += array.size
    model.set_weights(values)
    return model


def assert_equal_weights(first, second):
    first, second = get_weights(first), get_weights(second)
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value, err_msg=name)


def extras(model):
    return sorted(name for name in get_weights(model) if name in ("sub/stretch", "sub/shift"))


def filed(path):
    with read_weights(path) as file:
        return {name.rpartition("/")[2]: np.array(value) for name, value in file.items()}


@pytest.mark.parametrize("kind", [".weights.h5", ".keras"])
@pytest.mark.parametrize("first", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("name", CASES)
def test_extra_weights_come_back(name, first, kind, tmp_path):
    if RELEASE == (2, 12) and name == "IntegerLookup":
        pytest.skip("2.12 has no public methods that save a layer's weights")
    cls = sub(name, first=first, trainable=not first)
    model = model_of(cls, name, 1.0)
    path = str(tmp_path / f"file{kind}")
    if kind == ".keras":
        model.save(path)
        loaded = KERAS.models.load_model(path, custom_objects={"Sub": cls}, compile=False)
    else:
        model.save_weights(path)
        loaded = model_of(cls, name, 50.0)
        loaded.load_weights(path)
    assert_equal_weights(model, loaded)
    assert lost_weights(model) == {}


@pytest.mark.skipif((3, 0) <= RELEASE < (3, 3), reason="Keras can't copy any layer: plain Dense fails too")
@pytest.mark.parametrize("name", CASES)
def test_a_copy_has_the_extra_weights(name):
    if INFO.generation == 2 and name == "IntegerLookup":
        pytest.skip("Keras 2 copies attributes, and a table can't be copied")
    model = model_of(sub(name), name, 1.0)
    with KERAS.utils.custom_object_scope({"Sub": type(model.layers[-1])}):
        assert_equal_weights(model, copy.deepcopy(model))


@pytest.mark.parametrize("first", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("name", CASES)
def test_lost_weights_are_those_that_plain_keras_loses(name, first, tmp_path):
    cls = sub(name, mixin=False, first=first)
    model, loaded = model_of(cls, name, 1.0), model_of(cls, name, 50.0)
    before = get_weights(loaded)
    lost = sorted(lost_weights(model))
    path = str(tmp_path / "file.weights.h5")
    model.save_weights(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded.load_weights(path)
        except ValueError as error:
            assert "expected" in str(error) or "no value" in str(error)  # noqa: PT017
            assert lost == extras(model)
            return
    there, here = get_weights(model), get_weights(loaded)
    kept = sorted(key for key in here if np.array_equal(here[key], before[key]))
    assert lost == [key for key in kept if not np.array_equal(here[key], there[key])]
    assert set(lost) <= set(extras(model))


def test_lost_weights_are_named_where_it_was_measured():
    for name in CASES:
        lost = sorted(lost_weights(model_of(sub(name, mixin=False), name)))
        built = lost_weights(model_of(CASES[name][0], name))
        hand = BY_HAND.get(name, (9, 9)) <= RELEASE or (name == "Discretization" and RELEASE >= (3, 3))
        assert lost == (["sub/shift", "sub/stretch"] if hand else []), name
        assert built == {}, name


def test_weights_of_equal_values_and_shapes_are_told_apart():
    class Twice(LAYERS.Dense):
        def build(self, input_shape):
            self.first = self.add_weight(name="first", shape=(3, 2), initializer="zeros")
            super().build(input_shape)
            self.last = self.add_weight(name="last", shape=(3, 2), initializer="zeros")

    layer = Twice(2, kernel_initializer="zeros")
    layer.build((None, 3))
    assert list(lost_weights(layer)) == (["first", "last"] if RELEASE >= (3, 2) else [])


def test_a_weight_that_a_property_uses_is_not_taken_for_written(tmp_path):
    """What is written then is the product; the mixin writes the weights."""

    class Scaled(LAYERS.Dense):
        def build(self, input_shape):
            super().build(input_shape)
            self.gain = self.add_weight(name="gain", shape=(), initializer="ones")

        @property
        def kernel(self):
            return self._kernel * self.gain

        @kernel.setter
        def kernel(self, value):
            self._kernel = value

    layer = Scaled(2)
    layer.build((None, 3))
    assert ("gain" in lost_weights(layer)) is (RELEASE >= (3, 2))
    assert set(lost_weights(layer)) <= {"kernel", "gain"}
    fixed = type("Sub", (ExtraWeightsMixin, Scaled), {})
    models = [KERAS.Sequential([KERAS.Input((3,)), fixed(2, name="sub")]) for _ in range(2)]
    fill(models[0], 1.0).save_weights(path := str(tmp_path / "file.weights.h5"))
    fill(models[1], 50.0).load_weights(path)
    assert_equal_weights(*models)


def test_asking_changes_nothing():
    model = model_of(sub("Dense", mixin=False), "Dense", 1.0)
    layer = model.layers[-1]
    attributes, cls, values = dict(vars(layer)), type(layer), get_weights(model)
    subclasses = cls.__subclasses__()
    lost_weights(model)
    assert type(layer) is cls
    assert vars(layer).keys() == attributes.keys()
    assert all(vars(layer)[key] is value for key, value in attributes.items())
    assert cls.__subclasses__() == subclasses
    for key, value in get_weights(model).items():
        np.testing.assert_array_equal(value, values[key])


def recording(known, metaclass):
    """A base class and its metaclass, as in code that registers its classes: every way to hear of a class."""

    class Named:
        def __set_name__(self, owner, name):
            known.append(("named in", owner.__name__))

    class Registering(metaclass):
        def __new__(cls, name, bases, namespace, **kwargs):
            known.append(("new", name))
            return super().__new__(cls, name, bases, namespace, **kwargs)

        def __init__(self, name, bases, namespace, **kwargs):
            known.append(("init", name))
            super().__init__(name, bases, namespace, **kwargs)

        @classmethod
        def __prepare__(cls, name, bases, **kwargs):
            known.append(("prepare", name))
            return super().__prepare__(name, bases, **kwargs)

        def mro(self):
            known.append(("mro", self.__name__))
            return super().mro()

        def __call__(self, *args, **kwargs):
            known.append(("made", self.__name__))
            return super().__call__(*args, **kwargs)

    class Registered(metaclass=Registering):
        mark = Named()

        def __init_subclass__(cls, **kwargs):
            known.append(("subclass", cls.__name__))
            super().__init_subclass__(**kwargs)

    return Registered


@pytest.mark.parametrize("mixin", [DeferredBuildMixin, ExtraWeightsMixin, PortableLayerMixin])
@pytest.mark.parametrize("name", CASES)
def test_no_class_is_made_through_a_users_metaclass(name, mixin, tmp_path):
    known = []
    base = recording(known, type(CASES[name][0]))
    cls = type(base)("Sub", (mixin, base, *sub(name, mixin=False).__mro__[:2]), {})
    models = [model_of(cls, name, 1.0 + at) for at in range(2)]
    before, path = [each for each in known if each != ("made", "Sub")], str(tmp_path / "w.weights.h5")
    assert ("made", "Sub") in known
    assert {kind for kind, _ in before} == {"new", "init", "prepare", "mro", "subclass", "named in"}
    known.clear()
    lost = lost_weights(models[0])
    models[0].save_weights(path)
    load_weights(models[1], path, strict=not lost)
    if named_weights(models[0]) and not lost:  # 3.0 to 3.2 skip the build of Discretization
        models[1].load_weights(path)
        save_weights(models[1], tmp_path / "ours.weights.h5")
        with frozen(models[0]):
            lost_weights(models[0])
    with installed():
        skipped_builds(models[0])
    reset_built(models[0].layers[-1])
    assert known == []
    assert cls.__subclasses__() == []


def test_attributes_of_every_kind_are_there_for_code_that_saves():
    """What a class has is found, as in a subclass of it: slots, properties, class methods, special methods."""
    seen = {}

    class Above(LAYERS.Dense):
        __slots__ = ("slot",)
        number = 3

        @classmethod
        def of_class(cls):
            return cls.number

        @property
        def doubled(self):
            return self.number * 2

        def __len__(self):
            return 7

        def _note(self):
            return self.number

    class Saving(Above):
        number = 4

        def _note(self):
            return super()._note(), super().of_class(), super().doubled

        def __getattribute__(self, name):
            return 9 if name == "made_up" else super().__getattribute__(name)

        def note(self, store):
            seen.update(kinds=(isinstance(self, Above), self.__class__, type(self).number), parts=self._note())
            seen.update(slot=self.slot, length=len(self), made_up=self.made_up, of_class=self.of_class())
            self.temporary = 1
            seen["temporary"] = self.temporary

        save_own_variables = _save_own_variables = note

    layer = Saving(2)
    layer.slot = "here"
    layer.build((None, 3))
    assert list(lost_weights(layer)) == ["kernel", "bias"]
    assert seen == {
        "kinds": (True, Saving, 4),
        "parts": (4, 4, 8),
        "slot": "here",
        "length": 7,
        "made_up": 9,
        "of_class": 4,
        "temporary": 1,
    }
    assert not hasattr(layer, "temporary")


@pytest.mark.parametrize("name", CASES)
def test_the_file_is_that_of_plain_keras_where_that_has_all(name, tmp_path):
    """Without extra weights everywhere; with them where plain Keras writes them."""
    without, plain = type("Sub", (ExtraWeightsMixin, CASES[name][0]), {"__module__": __name__}), CASES[name][0]
    for at, (cls, other) in enumerate([(without, plain), (sub(name), sub(name, mixin=False))]):
        paths = [str(tmp_path / f"{at}{side}.weights.h5") for side in "ab"]
        for path, each in zip(paths, (cls, other)):
            model_of(each, name, 1.0).save_weights(path)
        if at == 0 or not lost_weights(model_of(other, name)) or name == "Discretization":
            first, second = filed(paths[0]), filed(paths[1])
            assert first.keys() == second.keys()
            for key in first:
                np.testing.assert_array_equal(first[key], second[key])


@pytest.mark.parametrize("first", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("name", ["Dense", "EinsumDense", "Embedding", "Conv1D"])
def test_plain_keras_reads_the_file_as_far_as_it_reads_such_weights(name, first, tmp_path):
    path = str(tmp_path / "file.weights.h5")
    model = model_of(sub(name, first=first), name, 1.0)
    model.save_weights(path)
    plain = model_of(sub(name, mixin=False, first=first), name, 50.0)
    lost, before = set(lost_weights(plain)), get_weights(plain)
    plain.load_weights(path)
    for key, value in get_weights(plain).items():
        np.testing.assert_array_equal(value, before[key] if key in lost else get_weights(model)[key])


def older(name, first):
    """The class as it was written on a Keras whose built-ins don't write by hand: every weight in its order."""
    base = KERAS.layers.Layer
    if RELEASE == (2, 12):
        return sub(name, mixin=False, first=first)
    return sub(name, mixin=False, first=first, save_own_variables=base.save_own_variables)


@pytest.mark.parametrize("first", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("name", ["Dense", "EinsumDense", "Embedding", "Conv1D", "Discretization"])
def test_a_file_of_a_keras_that_writes_all_is_read(name, first, tmp_path):
    path = str(tmp_path / "file.weights.h5")
    model = model_of(older(name, first), name, 1.0)
    model.save_weights(path)
    loaded = model_of(sub(name, first=first), name, 50.0)
    loaded.load_weights(path)
    assert_equal_weights(model, loaded)


@NOT_ON_2_12
@pytest.mark.parametrize("name", ["Dense", "Embedding", "Conv1D", "BatchNormalization"])
def test_a_file_with_names_is_read_on_every_keras(name):
    """As it is written where the built-in writes by hand, for extra weights that were made first."""
    model, loaded = (model_of(sub(name, first=True), name, start) for start in (1.0, 50.0))
    weights = {key.partition("/")[2]: value for key, value in get_weights(model).items()}
    layer = loaded.layers[-1]
    by_hand = bool(lost_weights(model_of(sub(name, mixin=False), name)))
    own = [key for key in weights if key not in ("stretch", "shift")]
    if name == "BatchNormalization" and INFO.generation == 2:
        own = ["gamma", "beta", "moving_mean", "moving_variance"]
    file = {str(at): weights[key] for at, key in enumerate(own)}
    file.update({key: weights[key] for key in ("stretch", "shift")})
    written = {}
    model.layers[-1].save_own_variables(written)
    assert (written.keys() == file.keys()) is by_hand
    layer.load_own_variables(file)
    assert_equal_weights(model, loaded)


@pytest.mark.parametrize("first", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("mixin", [True, False], ids=["with", "without"])
@pytest.mark.parametrize("name", CASES)
def test_keras_buildfix_reads_the_file_with_and_without_the_mixin(name, mixin, first, tmp_path):
    if RELEASE == (2, 12) and name == "IntegerLookup":
        pytest.skip("2.12 has no public methods that save a layer's weights")
    path = str(tmp_path / "file.weights.h5")
    model = model_of(sub(name, first=first), name, 1.0)
    model.save_weights(path)
    loaded = model_of(sub(name, mixin=mixin, first=first), name, 50.0)
    load_weights(loaded, path)
    assert_equal_weights(model, loaded)


@pytest.mark.parametrize("name", ["Dense", "Embedding", "Conv1D"])
def test_a_file_without_them_is_an_error_that_names_them(name, tmp_path):
    plain = model_of(sub(name, mixin=False), name, 1.0)
    if not lost_weights(plain):
        pytest.skip("plain Keras writes them here")
    path = str(tmp_path / "file.weights.h5")
    plain.save_weights(path)
    loaded = model_of(sub(name), name, 50.0)
    before = get_weights(loaded)
    with pytest.raises(ValueError, match=r"'sub' \(Sub\): the file has no value for 'stretch' \(3, 2\), 'shift' \(\)"):
        loaded.load_weights(path)
    loaded = model_of(sub(name), name, 50.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded.load_weights(path, skip_mismatch=True)
    for key, value in get_weights(loaded).items():
        np.testing.assert_array_equal(value, (before if key in extras(loaded) else get_weights(plain))[key])
    again = model_of(sub(name), name, 50.0)
    load_weights(again, path, strict=False)
    assert_equal_weights(again, loaded)


@NOT_ON_2_12
def test_values_that_do_not_fit_are_an_error_that_says_which():
    model = model_of(sub("Dense"), "Dense", 1.0)
    layer = model.layers[-1]
    if lost_weights(model_of(sub("Dense", mixin=False), "Dense")):
        file = {}
        layer.save_own_variables(file)
        wrong = {key: np.array(value) if key != "2" else np.zeros((5, 2)) for key, value in arrays(file).items()}
        with pytest.raises(ValueError, match=r"'stretch' has the shape \(3, 2\), but .* '2', has \(5, 2\)"):
            layer.load_own_variables(wrong)
        for lacking in ({"0": wrong["0"]}, {**wrong, "9": wrong["3"]}):
            with pytest.raises(ValueError, match=r"'sub' \(Sub\): its 4 weights \('kernel', 'bias', "):
                layer.load_own_variables(lacking)


def arrays(file):
    return {key: KERAS.ops.convert_to_numpy(value) for key, value in file.items()}


@NOT_ON_2_12
def test_a_class_that_files_its_extra_weights_itself_is_left_alone(tmp_path):
    def save_own_variables(self, store):
        super(cls, self).save_own_variables(store)
        store["mine"] = np.stack(
            [
                KERAS.backend.get_value(self.stretch)
                if INFO.generation == 2
                else KERAS.ops.convert_to_numpy(self.stretch)
            ]
        )

    def load_own_variables(self, store):
        self.stretch.assign(np.array(store["mine"])[0])
        taken = {key: store[key] for key in list(store.keys()) if key != "mine"}
        super(cls, self).load_own_variables(taken)

    cls = sub("Dense", save_own_variables=save_own_variables, load_own_variables=load_own_variables)
    model, loaded = model_of(cls, "Dense", 1.0), model_of(cls, "Dense", 50.0)
    path = str(tmp_path / "file.weights.h5")
    model.save_weights(path)
    hand = BY_HAND["Dense"] <= RELEASE
    assert sorted(filed(path)) == (["0", "1", "mine", "shift"] if hand else ["0", "1", "2", "3", "mine"])
    loaded.load_weights(path)
    assert_equal_weights(model, loaded)


def test_nested_models_keep_them(tmp_path):
    cls = sub("Dense")
    inner_in = KERAS.Input((3,))
    inner = KERAS.Model(inner_in, cls(2, name="sub")(inner_in), name="inner")
    outer_in = KERAS.Input((3,))
    model = fill(KERAS.Model(outer_in, cls(4, name="top")(inner(outer_in))), 1.0)
    path = str(tmp_path / "file.keras")
    model.save(path)
    assert_equal_weights(model, KERAS.models.load_model(path, custom_objects={"Sub": cls}, compile=False))


def quantize(layer):
    layer.quantize("int8", type_check=False)


def quantizable(name):
    """Whether a subclass of a built-in can be quantized at all."""
    method = getattr(CASES[name][0], "quantize", None)
    return method is not None and "type_check" in inspect.signature(method).parameters


@pytest.mark.parametrize("first", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("name", ["Dense", "EinsumDense", "Embedding"])
def test_quantized_layers_keep_them(name, first, tmp_path):
    if not quantizable(name):
        pytest.skip("nothing to quantize on this Keras")
    cls = sub(name, first=first)
    plain = model_of(CASES[name][0], name, 1.0)
    model = model_of(cls, name, 1.0)
    try:
        plain.layers[-1].quantize("int8")
    except Exception as error:
        pytest.skip(f"plain Keras can't: {type(error).__name__}")
    quantize(model.layers[-1])
    path = str(tmp_path / "file.weights.h5")
    model.save_weights(path)
    loaded = model_of(cls, name, 50.0)
    quantize(loaded.layers[-1])
    loaded.load_weights(path)
    assert_equal_weights(model, loaded)
    assert lost_weights(plain) == {}


def quantized(cls, name, policy):
    """A layer that is quantized from the start; None where this Keras knows no such thing."""
    try:
        layer = cls(name="sub", dtype=policy, **CASES[name][1])
        layer.build((None, *CASES[name][2]))
    except (TypeError, ValueError, NotImplementedError):
        return None
    return fill_layer(layer, 1)


def fill_layer(layer, start):
    """Gives every weight of a layer values of its own, none of them equal to one of another weight."""
    for at, variable in enumerate(layer.weights):
        size = int(np.prod(variable.shape))
        variable.assign((np.arange(size) % 3 + start + at * 3).reshape(variable.shape).astype(str(variable.dtype)))
    return layer


POLICIES = ["gptq/4/2_from_float32", "awq/4/2_from_float32", "int4/2_from_float32", "int8_from_float32"]


@pytest.mark.skipif(INFO.generation == 2, reason="Keras 2 quantizes nothing")
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("first", [None, False, True], ids=["none", "after", "before"])
@pytest.mark.parametrize("name", ["Dense", "EinsumDense"])
def test_what_the_load_of_a_quantized_built_in_asks_for_is_handed_to_it(name, first, policy, tmp_path):
    """On 3.15 the load of "gptq" and "awq" reads `kernel_zero`, which the save leaves out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 3.3 on its own policies
        cls = CASES[name][0]
        plain = quantized(cls, name, policy)
        if plain is None:
            assert RELEASE < (3, 15)
            pytest.skip("this Keras can't make such a layer")
        mixed = type("Sub", (ExtraWeightsMixin, cls), {}) if first is None else sub(name, first=first)
        layer, loaded = (quantized(mixed, name, policy) for _ in range(2))
    values = [np.array(KERAS.ops.convert_to_numpy(variable)) for variable in layer.weights]
    file = {}
    layer.save_own_variables(file)
    assert len(file) == len(values)
    fill_layer(loaded, 9).load_own_variables(arrays(file))
    for variable, value in zip(loaded.weights, values):
        np.testing.assert_array_equal(KERAS.ops.convert_to_numpy(variable), value, err_msg=variable.name)
    if first is None:  # as without the mixin: a file of another Keras, or one that is repaired
        fill_layer(plain, 9).load_own_variables(arrays(file))
        for variable, value in zip(plain.weights, values):
            np.testing.assert_array_equal(KERAS.ops.convert_to_numpy(variable), value, err_msg=variable.name)
    written = {}
    plain.save_own_variables(written)
    if first is None and len(written) == len(values):
        assert sorted(written) == sorted(file)
        for key, value in arrays(written).items():
            np.testing.assert_array_equal(arrays(file)[key], value)
    elif len(written) < len(plain.weights):  # what plain Keras left out is missed, and nothing goes elsewhere
        before = [np.array(KERAS.ops.convert_to_numpy(variable)) for variable in fill_layer(loaded, 9).weights]
        with pytest.raises(ValueError, match=r"expected \d variables|are saved under"):
            loaded.load_own_variables(arrays(written))
        for variable, value in zip(loaded.weights, before):
            np.testing.assert_array_equal(KERAS.ops.convert_to_numpy(variable), value)


@pytest.mark.parametrize("first", [False, True], ids=["after", "before"])
@pytest.mark.parametrize("name", ["Dense", "EinsumDense", "Embedding", "Conv1D"])
def test_layers_with_lora_keep_them(name, first, tmp_path):
    """Keras merges LoRA's weights into the kernel, and loads them as zeros."""
    if not hasattr(CASES[name][0], "enable_lora"):
        pytest.skip("no LoRA on this Keras")
    cls = sub(name, first=first)
    plain, model, loaded = (model_of(each, name, 1.0 + at) for at, each in enumerate((CASES[name][0], cls, cls)))
    files = [str(tmp_path / f"{at}.weights.h5") for at in range(2)]
    without_lora = get_weights(model)
    model.save_weights(files[1])  # to be read with LoRA
    for each in (plain, model, loaded):
        each.layers[-1].enable_lora(2)
    assert lost_weights(plain) == {}
    kernel = "embeddings" if name == "Embedding" else "kernel"
    with_lora = get_weights(fill(model, 5.0))
    with_lora[f"sub/{kernel}"] = KERAS.ops.convert_to_numpy(getattr(model.layers[-1], kernel))
    model.save_weights(files[0])
    for path, expected in zip(files, (with_lora, without_lora)):
        fill(loaded, 70.0)
        if first and expected is without_lora and RELEASE < (3, 2):
            with pytest.raises(ValueError, match=r"'sub'|shape"):
                loaded.load_weights(path)  # the file is in the order without LoRA, which can't be known now
            continue
        loaded.load_weights(path)
        for key, value in get_weights(loaded).items():
            if "lora" in key:
                assert not value.any()
            else:
                np.testing.assert_allclose(value, expected[key], rtol=1e-6, err_msg=key)


@pytest.mark.skipif(INFO.backend != "torch", reason="a module of torch")
def test_a_module_of_torch_saves_its_own_parameters(tmp_path):
    import torch

    class Wrapped(KERAS.layers.TorchModuleWrapper):
        def __init__(self, module, **kwargs):
            super().__init__(module, **kwargs)
            self.built = False

        def build(self, input_shape):
            self.gain = self.add_weight(name="gain", shape=(2,), initializer="ones")

    layers = []
    for cls in (KERAS.layers.TorchModuleWrapper, Wrapped, type("Fixed", (ExtraWeightsMixin, Wrapped), {}), None):
        layer = (cls or type(layers[-1]))(torch.nn.Linear(3, 2))
        layer.build((None, 3))
        layers.append(layer)
    assert lost_weights(layers[0]) == {}
    assert list(lost_weights(layers[1])) == ["gain"]
    fill(layers[2], 1.0)
    file = {}
    layers[2].save_own_variables(file)
    assert sorted(file) == ["bias", "gain", "weight"]
    layers[3].load_own_variables(arrays(file))
    assert_equal_weights(layers[2], layers[3])


@NOT_ON_2_12
def test_bad_input_is_a_clear_error():
    with pytest.raises(TypeError, match="ExtraWeightsMixin comes after the Keras class Dense in Wrong: list it first"):
        type("Wrong", (LAYERS.Dense, ExtraWeightsMixin), {})
    with pytest.raises(TypeError, match="lost_weights expects a Keras layer"):
        lost_weights(3)

    def save_own_variables(self, store):
        raise OSError("disk is full")

    model = model_of(sub("Dense", mixin=False, save_own_variables=save_own_variables), "Dense")
    with pytest.raises(ValueError, match=r"layer 'sub' \(Sub\) .* Sub raises OSError: disk is full"):
        lost_weights(model)


@pytest.mark.skipif(INFO.generation == 2, reason="private names of Keras 3")
def test_keras_counts_weights_again_after_a_block_that_does_not():
    layer = LAYERS.Dense(2)
    with without_count_check(layer):
        assert ("_check_load_own_variables" in vars(layer)) is (RELEASE >= (3, 2))
    assert "_check_load_own_variables" not in vars(layer)
