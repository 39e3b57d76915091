"""Which weights plain Keras leaves out of its files: told before anything is written, proved by what is in the file."""

import os
import warnings

import numpy as np
import pytest
import weight_zoo
from conftest import INFO, KERAS

from keras_buildfix import (
    ExtraWeightsMixin,
    get_weights,
    load_weights,
    lost_weights,
    named_weights,
    read_weights,
    save_weights,
    set_weights,
)
from keras_buildfix.losing import met_while_saving

RELEASE = tuple(int(part) for part in INFO.version.split(".")[:2])
LAYERS = KERAS.layers
ON_2_12 = RELEASE == (2, 12)
#: From where on Keras comes to lists in lists.
DEEP = RELEASE >= (3, 15) or INFO.version == "3.12.4"
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
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
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
    "a list called _layers": (lambda: around(Hidden(name="nest")), None),
    "found through a property": (lambda: around(Found(name="nest")), 0 if DEEP else 2),
    "nested": (nested, 0 if DEEP else 4),
    "subclassed": (subclassed, 0),  # a model's `layers` lists them
    "a weight of two layers": (lambda: around(Twice(name="nest")), 0 if DEEP else 1),
    "written by hand": (lambda: around(by_hand(lambda variables: variables)(name="nest")), 0),
    "values written by hand": (lambda: around(by_hand(values_of)(name="nest")), 0),
    "half of it written by hand": (lambda: around(by_hand(lambda v: values_of(v)[:3])(name="nest")), 0 if DEEP else 1),
    **{f"extra on {name}": (lambda name=name: extra(name), int(RELEASE >= first)) for name, first in BY_HAND.items()},
    "extra, with the mixin": (lambda: extra("Dense", ExtraWeightsMixin), 0),
    "extra, with the mixin not come to": (lambda: extra("Dense", ExtraWeightsMixin, **{SAVE: kernel_only}), 2),
    "extra, own method": (lambda: extra("Dense", **{SAVE: kernel_only}), 2),
}
if INFO.generation == 2:
    KINDS["a tf.Module in a layer"] = (lambda: in_module(True), 4)
    KINDS["a tf.Module in a model"] = (lambda: in_module(False), 4)
    KINDS["written into a group"] = (lambda: extra("Dense", **{SAVE: as_group}), 2)
WRITES_KERAS = [kind for kind in KINDS if not (ON_2_12 and kind == "subclassed")]


def make(kind):
    """A model of which each weight has a value of its own."""
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
    assert KINDS[kind][1] in (None, len(lost))
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
    for other in ("w.safetensors", "w.npz", "w.h5"):  # the way out
        save_weights(model, tmp_path / other)
        assert not_in(tmp_path / other, model) == set()
        loaded = KINDS[kind][0]()
        load_weights(loaded, tmp_path / other)
        for name, value in get_weights(loaded).items():
            np.testing.assert_array_equal(value, get_weights(model)[name])
