"""Which weights plain Keras leaves out of its files: told before anything is written, proved by what is in the file."""

import functools
import os
import re

import numpy as np
import pytest
import weight_zoo
from environment import INFO, KERAS

from keras_buildfix import (
    DeferredBuildMixin,
    ExtraWeightsMixin,
    get_weights,
    load_weights,
    lost_weights,
    named_weights,
    read_weights,
    save_weights,
    set_weights,
)
from keras_buildfix._keras.saving import keras_ending_is_legacy, saved_by_walk
from keras_buildfix.weights import losing

RELEASE = tuple(int(part) for part in INFO.version.split(".")[:2])
LAYERS = KERAS.layers
ON_2_12 = RELEASE == (2, 12)
#: From where on Keras comes to lists in lists.
DEEP = RELEASE >= (3, 15)
#: From where on a built-in saves its own weights by hand.
BY_HAND = {"Dense": (3, 2), "EinsumDense": (3, 2), "Embedding": (3, 2), "Conv1D": (3, 3)}


# --- Models --------------------------------------------------------------------------------------


def dense():
    return LAYERS.Dense(3)


class Chain(LAYERS.Layer):
    """Calls its layers one after the other; a subclass says how it holds them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.make()

    def build(self, input_shape):
        for layer in flat(self.held()):
            layer.build(tuple(input_shape))
        self.built = True

    def call(self, inputs):
        for layer in flat(self.held()):
            inputs = layer(inputs)
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


def flat(held):
    if isinstance(held, LAYERS.Layer):
        return [held]
    return [layer for each in (held.values() if hasattr(held, "values") else held) for layer in flat(each)]


def chain(make, **more):
    """A class that holds layers in `parts`, as `make` gives them."""

    def set_parts(self):
        self.parts = make()

    return type("Nest", (Chain,), {"make": set_parts, "held": lambda self: self.parts, **more})


class Hidden(Chain):
    """Layers in a list with the name of one of Keras's own."""

    def make(self):
        self._layers = [dense(), dense()]

    def held(self):
        return self._layers


class Found(chain(lambda: [[dense(), dense()]])):
    """One of two layers in a list in a list can be found through a property."""

    @property
    def first(self):
        return self.parts[0][0]


def around(layer, shape=(3,), dtype="float32"):
    inputs = KERAS.Input(shape, dtype=dtype)
    return KERAS.Model(inputs, LAYERS.Dense(2, name="head")(layer(inputs)))


def extra(name, *mixins, **methods):
    """A model with a subclass of a built-in that adds a weight."""
    arguments = {
        "Dense": {"units": 2},
        "EinsumDense": {"equation": "abc,cd->abd", "output_shape": (4, 2), "bias_axes": "d"},
        "Embedding": {"input_dim": 4, "output_dim": 2},
        "Conv1D": {"filters": 2, "kernel_size": 1},
    }[name]

    def build(self, input_shape=None):
        super(cls, self).build(input_shape)
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones", dtype="float32")
        self.built = True

    cls = type("Scaled", (*mixins, getattr(LAYERS, name)), {"build": build, **methods})
    whole = name == "Embedding"
    return around(cls(**arguments, name="scaled"), (4,) if whole else (4, 3), "int32" if whole else "float32")


def nested():
    """A functional model in another, which holds a layer that saving may not come to."""
    inner = around(chain(lambda: [[dense()], [dense()]])(name="nest"))
    inputs = KERAS.Input((3,))
    return KERAS.Model(inputs, LAYERS.Dense(2)(inner(inputs)))


class Subclassed(KERAS.Model):
    """Models and layers in lists in lists of a model; one of them is an attribute too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [[KERAS.Sequential([dense(), dense()]), dense()], [dense()]]
        self.last = self.blocks[0][1]

    def call(self, inputs):
        for layer in flat(list(self.blocks)):
            inputs = layer(inputs)
        return inputs


def subclassed():
    model = Subclassed()
    model(np.ones((1, 3), "float32"))
    return model


class Twice(chain(lambda: [[dense()]])):
    """Holds a weight of a layer that saving may not come to."""

    def build(self, input_shape):
        super().build(input_shape)
        self.kernel_again = self.parts[0][0].kernel


def values_of(variables):
    return [np.array(weight_zoo.as_numpy(KERAS, variable)) for variable in variables]


SAVE, LOAD = ("_save_own_variables", "_load_own_variables") if ON_2_12 else ("save_own_variables", "load_own_variables")


def by_hand(values):
    """Saves the layers in a list in a list itself."""

    def save(self, store):
        for at, value in enumerate(values([v for layer in flat(self.parts) for v in (layer.kernel, layer.bias)])):
            store[f"part_{at}"] = value

    return chain(lambda: [[dense()], [dense()]], **{SAVE: save, LOAD: lambda self, store: None})


def as_group(self, store):
    """Uses what only an HDF5 group has, as Keras 2 hands out."""
    store.create_dataset("kernel", data=self.kernel.numpy())
    store.attrs["kind"] = "scaled"


def kernel_only(self, store):
    store["kernel"] = values_of([self.kernel])[0]


def in_module(held_by_layer):
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self):
            super().__init__(name="module")
            self.scale = tf.Variable([1.0], name="scale")
            self.shifts = [tf.Variable([2.0], name="shift")]
            self.inner = LAYERS.Dense(3, name="inner")
            self.inner.build((None, 3))

    class Holder(LAYERS.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.held = Module()

        def call(self, inputs):
            return self.held.inner(inputs) * self.held.scale + self.held.shifts[0]

    if held_by_layer:
        return around(Holder(name="holder"))
    model = around(LAYERS.Dense(3))
    model.held = Module()
    return model


def called():
    """A model whose inner layers are built when it is called."""
    model = around(chain(lambda: [[dense()], [dense()]], build=lambda self, shape: None)(name="nest"))
    model(np.ones((1, 3), "float32"))
    return model


def nest(make):
    return lambda: around(chain(make)(name="nest"))


#: Name -> (how a model is made; how many weights are lost in .weights.h5)
KINDS = {
    "flat list": (nest(lambda: [dense(), dense()]), 0),
    "flat dict": (nest(lambda: {"a": dense(), "b": dense()}), 0),
    "lists": (nest(lambda: [[dense(), dense()], [dense()]]), 0 if DEEP else 6),
    "dict of lists": (nest(lambda: {"a": [dense(), dense()], "b": [dense()]}), 0 if DEEP else 6),
    "list of dicts": (nest(lambda: [{"q": dense(), "k": dense()}, {"q": dense()}]), 0 if DEEP else 6),
    "tuples": (nest(lambda: ((dense(), dense()), (dense(),))), 0 if DEEP else 6),
    "deep": (nest(lambda: [[[dense()], [dense()]], [{"x": [dense()]}]]), 0 if DEEP else 6),
    "mixed": (nest(lambda: [dense(), [dense()]]), 0 if DEEP else 2),
    "built when called": (called, 0 if DEEP else 4),
    "twelve": (nest(lambda: [[dense() for _ in range(12)]]), 0 if DEEP else 24),
    "a list called _layers": (lambda: around(Hidden(name="nest")), 4 if INFO.generation == 3 else 0),
    "found through a property": (lambda: around(Found(name="nest")), 0 if DEEP else 2),
    "nested": (nested, 0 if DEEP else 4),
    "subclassed": (subclassed, 0),  # a model's `layers` lists them
    "a weight of two layers": (lambda: around(Twice(name="nest")), 0 if DEEP else 1),
    "written by hand": (lambda: around(by_hand(lambda variables: variables)(name="nest")), 0),
    "values written by hand": (lambda: around(by_hand(values_of)(name="nest")), 0),
    "half of it written by hand": (lambda: around(by_hand(lambda v: values_of(v)[:3])(name="nest")), 0 if DEEP else 1),
    **{f"extra on {name}": (lambda name=name: extra(name), int(first <= RELEASE)) for name, first in BY_HAND.items()},
    "extra, with the mixin": (lambda: extra("Dense", ExtraWeightsMixin), 0),
    "extra, with the mixin not come to": (lambda: extra("Dense", ExtraWeightsMixin, **{SAVE: kernel_only}), 2),
    "extra, own method": (lambda: extra("Dense", **{SAVE: kernel_only}), 2),
}
if INFO.generation == 2:
    KINDS["a tf.Module in a layer"] = (lambda: in_module(True), 4)
    KINDS["a tf.Module in a model"] = (lambda: in_module(False), 4)
    KINDS["written into a group"] = (lambda: extra("Dense", **{SAVE: as_group}), 2)
WRITES_KERAS = [kind for kind in KINDS if not (ON_2_12 and kind == "subclassed")]


@functools.cache
def make(kind):
    """A model of which each weight has a value of its own. No test changes it."""
    model = KINDS[kind][0]()
    set_weights(model, {name: np.full(v.shape, at + 1.0) for at, (name, v) in enumerate(named_weights(model).items())})
    return model


def not_in(path, model):
    """The names of the weights whose values are not in a file."""
    with read_weights(path) as file:
        there = [file[name] for name in file]
    return {
        name
        for name, value in get_weights(model).items()
        if not any(each.shape == value.shape and np.array_equal(each, value) for each in there)
    }


def write(model, path):
    model.save(path) if path.endswith(".keras") else model.save_weights(path)


def names_are_double(model):
    """Whether the .keras of 2.12, a legacy HDF5 file, can't be written."""
    return ON_2_12 and any(len({v.name for v in layer.weights}) < len(layer.weights) for layer in model.layers)


# --- Tests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_lost_weights_are_those_that_are_not_in_the_file(kind, tmp_path):
    model, path = make(kind), str(tmp_path / "w.weights.h5")
    before = get_weights(model)
    lost = list(lost_weights(model))
    assert os.listdir(tmp_path) == []
    write(model, path)
    assert set(lost) == not_in(path, model)
    assert KINDS[kind][1] == len(lost)
    assert lost == [name for name in named_weights(model) if name in lost]
    for name, value in get_weights(model).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
@pytest.mark.parametrize("kind", KINDS)
def test_save_weights_writes_all_weights_or_nothing(kind, ending, tmp_path):
    if ending == ".keras" and kind not in WRITES_KERAS:
        pytest.skip("2.12 writes no .keras of a subclassed model")
    model = make(kind)
    plain, ours = str(tmp_path / f"plain{ending}"), str(tmp_path / f"ours{ending}")
    if names_are_double(model) and ending == ".keras":
        with pytest.raises(ValueError, match="name already exists"):
            write(model, plain)
        with pytest.raises(ValueError, match=r"\.keras can't hold two weights of a layer with one name, as '.+:0' of "):
            save_weights(model, ours)
        assert os.listdir(tmp_path) == [f"plain{ending}"]
        return
    write(model, plain)
    lost = not_in(plain, model)
    if not lost:
        save_weights(model, ours)
        assert not_in(ours, model) == set()
        return
    with pytest.raises(ValueError) as caught:
        save_weights(model, ours)
    assert os.listdir(tmp_path) == [f"plain{ending}"]
    text = str(caught.value)
    assert f"{len(lost)} of {len(named_weights(model))} weights of {model.name!r} (keras" in text.replace("tf_k", "k")
    named = [line.partition(":")[0].strip() for line in text.splitlines() if line.startswith("  ") and ":" in line]
    assert set(named) <= lost
    assert len(named) == min(len(lost), 20)
    assert ("and 4 more" in text) is (len(lost) == 24)
    if ending == ".keras":
        return
    loaded = KINDS[kind][0]()
    for other in ("w.safetensors", "w.npz", "w.h5"):  # the way out
        save_weights(model, tmp_path / other)
        assert not_in(tmp_path / other, model) == set()
        set_weights(loaded, {name: np.zeros(v.shape) for name, v in named_weights(loaded).items()})
        load_weights(loaded, tmp_path / other)
        for name, value in get_weights(loaded).items():
            np.testing.assert_array_equal(value, get_weights(model)[name])


def test_what_is_written_but_not_read_back_is_lost(tmp_path):
    class Lookup(DeferredBuildMixin, LAYERS.Discretization):  # its build is skipped on 3.0 to 3.2
        def build(self, input_shape=None):
            super().build(input_shape)
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones", dtype="float32")
            self.built = True

        def call(self, inputs):
            return KERAS.ops.cast(super().call(inputs), "float32") if INFO.generation == 3 else self.scale * inputs

        def compute_output_shape(self, input_shape):
            return input_shape

    class Kept(ExtraWeightsMixin, Lookup):
        pass

    models = [around(cls(bin_boundaries=[0.0, 1.0], dtype="float32", name="lookup")) for cls in (Lookup, Kept)]
    if INFO.generation == 3:
        with pytest.raises(ValueError, match=r"lookup/scale: the built-in Discretization does not load what it saves"):
            save_weights(models[0], tmp_path / "w.weights.h5")
        assert list(lost_weights(models[0])) == ["lookup/scale"]
    save_weights(models[1], tmp_path / "w.weights.h5")
    assert lost_weights(models[1]) == {}
    assert len(get_weights(models[0])) == 3


@pytest.mark.parametrize("kind", ["lists", "a list called _layers", "extra on Dense"])
def test_the_other_way_out_of_the_message_works(kind, tmp_path):
    model, path = make(kind), str(tmp_path / "w.weights.h5")
    if not lost_weights(model):  # a Keras that needs no way out
        save_weights(model, path)
        assert not_in(path, model) == set()
        return
    with pytest.raises(ValueError) as caught:
        save_weights(model, path)
    if kind == "extra on Dense":
        assert "scaled/scale: the built-in Dense saves its own weights only, for Scaled 'scaled'" in str(caught.value)
        assert "List keras_buildfix.ExtraWeightsMixin first among the bases of Scaled." in str(caught.value)
        fixed = extra("Dense", ExtraWeightsMixin)
    else:
        found = re.findall(
            r"nest/dense_1/kernel: Keras does not reach the layer Dense 'dense_.*', which (.*) 'nest' holds as (.*)",
            str(caught.value),
        )
        assert found == [("Nest", "parts[0][1]") if kind == "lists" else ("Hidden", "_layers[1]")]
        assert "or put it into a list of layers only that is one." in str(caught.value)
        cls = chain(lambda: [[dense(), dense()], [dense()]]) if kind == "lists" else Hidden

        def make_and_keep(self):
            cls.make(self)
            self.kept = flat(self.held())

        fixed = around(type("Fixed", (cls,), {"make": make_and_keep})(name="nest"))
    save_weights(fixed, path)
    assert not_in(path, fixed) == set()
    assert lost_weights(fixed) == {}


@pytest.mark.skipif(INFO.generation == 3, reason="a tf.Module has weights on Keras 2 only")
@pytest.mark.parametrize("held_by_layer", [True, False])
def test_what_a_module_has_is_saved_as_attributes_of_the_layer(held_by_layer, tmp_path):
    model, path = in_module(held_by_layer), str(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match=r"does not save the tf\.Module Module, which .* holds as held\n") as caught:
        save_weights(model, path)
    holder = model.layers[1] if held_by_layer else model
    shown = f"{type(holder).__name__} {holder.name!r}"
    assert f"Make each variable and layer in a Module an attribute of {shown} too." in str(caught.value)
    holder.scale, holder.shift, holder.inner = holder.held.scale, holder.held.shifts[0], holder.held.inner
    save_weights(model, path)
    assert not_in(path, model) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_private_search_public_names_find_the_same(kind, tmp_path, monkeypatch):
    model = make(kind)
    expected = list(lost_weights(model))
    attributes = [dict(vars(layer)) for layer in model.layers]
    monkeypatch.setattr(losing, "saved_by_walk", lambda *_: None)
    assert list(lost_weights(model)) == expected
    assert [set(vars(layer)) for layer in model.layers] == [set(each) for each in attributes]
    with pytest.raises(ValueError, match=r"On (tf_)?keras .* give the model that it is in"):
        lost_weights(model.layers[-1])
    write(model, str(tmp_path / "w.weights.h5"))
    assert not_in(tmp_path / "w.weights.h5", model) == set(expected)


def test_keras_says_what_it_comes_to_without_writing():
    """Private names: Keras's own search for what it saves."""
    model, package = around(LAYERS.Dense(3)), INFO.package.partition(".")[0]
    package = "keras" if package == "tensorflow" else package
    calls = []
    vars(model.layers[1])[SAVE] = calls.append
    met = saved_by_walk(model, package)
    assert met is not None
    assert {id(layer) for layer in (model, *model.layers)} <= met
    assert calls == []
    assert keras_ending_is_legacy(model, package) is ON_2_12


def test_a_layer_that_cannot_be_asked_is_an_error_before_anything_is_written(tmp_path):
    def fail(self, store):
        raise OSError("disk is full")

    model = extra("Dense", **{SAVE: fail})
    with pytest.raises(ValueError, match=r"^save_weights can't tell .* 'scaled' \(Scaled\) .* OSError: disk is full"):
        save_weights(model, tmp_path / "w.weights.h5")
    assert os.listdir(tmp_path) == []


class Same(KERAS.Model):
    """Two layers of one name."""

    def __init__(self, names):
        super().__init__()
        self.held = [LAYERS.Dense(3, name=name) for name in names]

    def call(self, inputs):
        for layer in list(self.held):
            inputs = layer(inputs)
        return inputs


@pytest.mark.parametrize("names", [("x", "x", "x_1"), ("a", "top_level_model_weights")], ids=str)
def test_a_legacy_file_that_cannot_hold_all_is_not_written(names, tmp_path):
    model = Same(names)
    model(np.ones((1, 3), "float32"))
    with pytest.raises(ValueError, match=rf"has more than one '({'|'.join(names)})', and a legacy \.h5 holds one of"):
        save_weights(model, tmp_path / "w.h5")
    assert os.listdir(tmp_path) == []
    for other in ("w.safetensors", "w.npz", "w.weights.h5"):
        save_weights(model, tmp_path / other)
        assert not_in(tmp_path / other, model) == set()
