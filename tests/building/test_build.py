"""What a fixed class does beyond being built: issue 2, points 3 to 6, and bad input."""

import abc
import contextlib
import functools
import inspect

import numpy as np
import pytest
import zoo
from environment import INFO, KERAS

from keras_buildfix import DeferredBuildMixin, deferred_build, installed
from keras_buildfix._keras.marking import marking_builtins, marks_unconditionally
from keras_buildfix.building.deferred import is_fixed

layers = KERAS.layers
x4 = np.ones((2, 4), "float32")

#: One built-in of each kind: skipped at some time, locked from 3.10 on, never marked.
BASES = [("Softmax", ()), ("ReLU", ()), ("Dropout", (0.5,)), ("Reshape", ((2, 2),)), ("Flatten", ())]


class Counting:
    """Stands for a foreign mixin that brings `build`, as in HGQ2 and decomon."""

    def build(self, input_shape):
        self.builds = getattr(self, "builds", 0) + 1
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        super().build(input_shape)

    def call(self, x):
        return super().call(x) * self.scale


@pytest.fixture(params=BASES, ids=lambda base: base[0])
def base(request):
    name, arguments = request.param
    return getattr(layers, name), arguments


@pytest.fixture(params=zoo.ENTRIES)
def entry(request):
    """How classes are fixed in a test: the decorator to use, with `install()` on where that is it."""

    def fix(cls):
        if request.param == "decorator":
            return deferred_build(cls)
        if request.param == "mixin":
            # As the user would write it: the mixin listed first.
            return type(cls.__name__, (DeferredBuildMixin, cls), {"__module__": __name__})
        return cls

    with zoo.active(request.param):
        yield fix


def weights(layer):
    return sorted((w.name.split(":")[0].split("/")[-1], tuple(w.shape)) for w in layer.weights)


# --- 3: subclasses, mixins, metaclasses, several inputs ----------------------------------------


def test_build_may_come_from_a_foreign_mixin(base, entry):
    cls, arguments = base
    layer = entry(type("Mixed", (Counting, cls), {}))(*arguments)
    layer(x4)
    assert (layer.builds, len(layer.weights)) == (1, 1)


def test_a_subclass_of_a_fixed_class_is_fixed(base, entry):
    cls, arguments = base
    parent = entry(type("Parent", (cls,), {}))

    class Child(parent):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.extra = self.add_weight(name="extra", shape=(), initializer="ones")

        def build(self, input_shape):
            self.builds = getattr(self, "builds", 0) + 1
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
            super().build(input_shape)

        def call(self, x):
            return super().call(x) * self.scale * self.extra

    layer = Child(*arguments)
    assert not layer.built
    layer(x4)
    assert layer.builds == 1
    assert weights(layer) == [("extra", ()), ("scale", ())]


def test_a_foreign_metaclass_with_its_own_call_stays_in_charge(base, entry):
    cls, arguments = base
    made = []

    class Meta(type(cls)):
        def __call__(self, *args, **kwargs):
            layer = super().__call__(*args, **kwargs)
            made.append(layer)
            return layer

    layer = entry(Meta("WithMeta", (Counting, cls), {}))(*arguments)
    layer(x4)
    assert made == [layer]
    assert layer.builds == 1


def test_an_abstract_base_class_is_fixed(entry):
    class Abstract(abc.ABC, layers.Softmax):
        @abc.abstractmethod
        def build(self, input_shape): ...

    layer = entry(type("Concrete", (Counting, Abstract), {}))()
    layer(x4)
    assert layer.builds == 1


def test_bases_initialized_by_name_are_fixed(base, entry):
    cls, arguments = base

    class OldStyle(Counting, cls):
        def __init__(self, *args):
            cls.__init__(self, *args)

    layer = entry(OldStyle)(*arguments)
    layer(x4)
    assert layer.builds == 1


def test_a_built_in_before_the_users_mixin_is_fixed(entry):
    # HGQ2 writes `class QUnaryFunctionLUT(Activation, QLayerBase)`.
    class After(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.early = self.add_weight(name="early", shape=(), initializer="ones")

        def build(self, input_shape):
            self.late = self.add_weight(name="late", shape=(), initializer="ones")
            super().build(input_shape)

    class Before(layers.ReLU, After):
        def call(self, x):
            return super().call(x) * self.early * self.late

    if INFO.generation == 2 and Before.__mro__.index(After) > 1:
        pytest.skip("Keras 2's ReLU.__init__ passes on nothing to a class behind it")
    layer = deferred_build(Before)()
    layer(x4)
    assert weights(layer) == [("early", ()), ("late", ())]


@pytest.mark.parametrize("form", ["list", "dict"])
def test_several_inputs_in_one_argument_build_once(form, entry):
    class Sum(layers.Softmax):
        def build(self, input_shape):
            self.builds = getattr(self, "builds", 0) + 1
            shapes = list(input_shape.values()) if isinstance(input_shape, dict) else input_shape
            self.scales = [self.add_weight(name=f"s{i}", shape=(s[-1],)) for i, s in enumerate(shapes)]

        def call(self, inputs):
            values = list(inputs.values()) if isinstance(inputs, dict) else inputs
            return sum(super(Sum, self).call(v) * s for v, s in zip(values, self.scales))

    layer = entry(Sum)()
    inputs = {"a": x4, "b": x4} if form == "dict" else [x4, x4]
    layer(inputs)
    layer(inputs)
    assert layer.builds == 1
    assert weights(layer) == [("s0", (4,)), ("s1", (4,))]


@pytest.mark.skipif(INFO.generation == 2, reason="Keras 2 hands `build` one argument only")
def test_named_shape_arguments_build_once(entry):
    class Pair(layers.Softmax):
        def build(self, x_shape, y_shape):
            self.builds = getattr(self, "builds", 0) + 1
            self.first = self.add_weight(name="first", shape=(x_shape[-1],), initializer="ones")
            self.second = self.add_weight(name="second", shape=(y_shape[-1],), initializer="ones")

        def call(self, x, y):
            return super().call(x * self.first) + super().call(y[:, :4] * self.second[:4])

    layer = entry(Pair)()
    layer(x4, np.ones((2, 6), "float32"))
    assert layer.builds == 1
    assert weights(layer) == [("first", (4,)), ("second", (6,))]


@pytest.mark.skipif(INFO.generation == 3, reason="Keras 3 builds merging layers once")
def test_a_merging_layer_of_keras_2_builds_once_after_an_explicit_build(entry):
    class Scaled(layers.Add):
        def build(self, input_shape):
            self.builds = getattr(self, "builds", 0) + 1
            super().build(input_shape)

    layer = entry(Scaled)()
    layer.build([(None, 4), (None, 4)])
    layer([x4, x4])
    assert layer.builds == 1


def test_a_class_defined_while_installed_stays_fixed_afterwards(base):
    cls, arguments = base
    with installed():
        decorated = deferred_build(type("Decorated", (Counting, cls), {}))
        mixed = type("Mixed", (DeferredBuildMixin, Counting, cls), {})
    for fixed in (decorated, mixed):
        layer = fixed(*arguments)
        layer(x4)
        assert layer.builds == 1


def through_wraps(set_attribute):
    @functools.wraps(set_attribute)
    def wrapper(self, name, value):
        return set_attribute(self, name, value)

    return wrapper


@pytest.mark.parametrize("form", ["plain", "wrapped", "helper", "lambda"])
def test_a_setattr_of_the_users_does_not_hide_who_marks(form, base, entry):
    cls, arguments = base

    class Own(Counting, cls):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)

        def _set(self, name, value):
            super().__setattr__(name, value)

    if form == "wrapped":
        Own.__setattr__ = through_wraps(Own.__setattr__)
    elif form == "helper":
        Own.__setattr__ = lambda self, name, value: self._set(name, value)
    elif form == "lambda":
        Own.__setattr__ = lambda self, name, value: super(Own, self).__setattr__(name, value)
    layer = entry(Own)(*arguments)
    layer(x4)
    assert layer.builds == 1


def test_a_metaclass_with_unhashable_classes_is_fixed():
    class Unhashable(type(layers.Softmax)):
        def __eq__(cls, other):
            return cls is other

        __hash__ = None

    cls = deferred_build(Unhashable("Odd", (Counting, layers.Softmax), {}))
    with installed():
        layer = cls()
    layer.build((None, 4))
    assert layer.builds == 1


@pytest.mark.skipif(INFO.generation == 3, reason="Keras 3 wraps every build")
def test_a_build_of_keras_2_keeps_its_signature_and_is_marked_whatever_it_calls(base):
    cls, arguments = base

    class Own(cls):
        def build(self, input_shape=None, units=2):
            self.builds = getattr(self, "builds", 0) + 1
            self.units = units
            self.inner = layers.Dense(units)
            self.inner.build((None, 4))

    signature = inspect.signature(Own.build), inspect.getfullargspec(Own.build)
    fixed = deferred_build(Own)
    assert (inspect.signature(fixed.build), inspect.getfullargspec(fixed.build)) == signature
    for build in (lambda y: y.build(), lambda y: y.build((None, 4), units=5), lambda y: y.build(input_shape=(None, 4))):
        layer = fixed(*arguments)
        build(layer)
        layer(x4)
        assert (layer.builds, layer.built) == (1, True)


@pytest.mark.skipif(INFO.generation == 2 or INFO.backend != "tensorflow", reason="legacy layers of tf.keras on Keras 3")
def test_legacy_layers_that_only_tf_keras_has_are_fixed(entry):
    import tensorflow as tf

    # keras.src.legacy.layers.AlphaDropout, which marks itself on every Keras 3, 3.10 and 3.11 included.
    layer = entry(type("Legacy", (Counting, tf.keras.layers.AlphaDropout), {}))(0.5)
    layer(x4)
    assert layer.builds == 1


# --- 4: what the user did on purpose -----------------------------------------------------------


def test_a_layer_that_builds_itself_in_init_is_not_built_again(base, entry):
    cls, arguments = base

    class BuildsItself(Counting, cls):
        def __init__(self, *args):
            super().__init__(*args)
            self.build((None, 4))

    layer = entry(BuildsItself)(*arguments)
    assert layer.built
    layer(x4)
    assert (layer.builds, len(layer.weights)) == (1, 1)


def test_a_layer_that_marks_itself_built_is_not_built(base, entry):
    cls, arguments = base

    class MarksItself(cls):
        def __init__(self, *args):
            super().__init__(*args)
            self.built = True

        def build(self, input_shape):
            raise AssertionError("the user said that there is nothing to build")

        def call(self, x):
            return x

    layer = entry(MarksItself)(*arguments)
    assert layer.built
    layer(x4)


def test_a_mark_set_through_setattr_or_a_helper_of_the_users_stays(base, entry):
    cls, arguments = base

    class Marks(cls):
        def __init__(self, *args):
            super().__init__(*args)
            self.say()

        def __setattr__(self, name, value):
            super().__setattr__(name, value)

        def say(self):
            setattr(self, "built", True)  # noqa: B010

        def build(self, input_shape):
            raise AssertionError("the user said that there is nothing to build")

    assert entry(Marks)(*arguments).built


def test_state_made_in_init_stays_and_trains(base, entry):
    cls, arguments = base

    class InInit(cls):
        def __init__(self, *args):
            super().__init__(*args)
            self.own = self.add_weight(name="own", shape=(), initializer="ones")
            self.inner = layers.Dense(3)

        def call(self, x):
            return self.inner(layers.Flatten()(super().call(x)) * self.own)

    layer = entry(InInit)(*arguments)
    model = KERAS.Sequential([layers.InputLayer((4,)), layer])
    model(x4)
    assert weights(layer) == [("bias", (3,)), ("kernel", (4, 3)), ("own", ())]
    assert len(model.trainable_weights) == 3


def test_a_mark_taken_back_by_hand_stays_taken_back(base, entry):
    cls, arguments = base

    class TodaysWorkaround(Counting, cls):
        def __init__(self, *args):
            super().__init__(*args)
            self.built = False

    layer = entry(TodaysWorkaround)(*arguments)
    layer(x4)
    assert layer.builds == 1


def test_a_built_property_of_the_users_is_left_alone():
    class Own(layers.Softmax):
        @property
        def built(self):
            return True

        @built.setter
        def built(self, value):
            pass

    prop = vars(Own)["built"]
    assert vars(deferred_build(Own))["built"] is prop


# --- 5: the class stays what it was ------------------------------------------------------------


def make_documented(base_class):
    class Documented(base_class):
        """Its own words."""

        def __init__(self, *args, factor=2.0, **kwargs):
            super().__init__(*args, **kwargs)
            self.factor = factor

        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    return Documented


def test_the_class_stays_what_it_was(base):
    cls, _ = base
    plain, fixed = make_documented(cls), make_documented(cls)
    assert deferred_build(fixed) is fixed
    for read in (
        lambda c: (c.__name__, c.__qualname__, c.__doc__, c.__module__),
        lambda c: [b.__name__ for b in c.__mro__],
        inspect.signature,
        lambda c: inspect.getfullargspec(c.__init__),
        lambda c: inspect.signature(c.build),
        lambda c: type(c),
    ):
        assert read(fixed) == read(plain)
    for name in ("__init__", "build", "__new__", "__call__", "call"):
        assert vars(fixed).get(name) is None or vars(fixed)[name].__module__ == __name__


@pytest.mark.skipif(INFO.generation == 2, reason="Keras 3 derives configs from the signature of __init__")
def test_the_config_that_keras_derives_stays(entry):
    class NoConfig(layers.Softmax):
        def __init__(self, units, depth=2, **kwargs):
            super().__init__(**kwargs)
            self.units = units

        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    class Bare(layers.Layer):
        def __init__(self, units, depth=2, **kwargs):
            super().__init__(**kwargs)

    derived = entry(Bare)(3, depth=2, name="named").get_config()
    assert {key: derived[key] for key in ("units", "depth", "name")} == {"units": 3, "depth": 2, "name": "named"}
    assert entry(NoConfig)(3).units == 3


def test_registration_for_files_stays():
    saving = KERAS.utils
    cls = saving.register_keras_serializable("stays")(make_documented(layers.Softmax))
    assert saving.get_registered_name(deferred_build(cls)) == "stays>Documented"
    assert isinstance(cls(), layers.Softmax)


# --- 6: a sound class is left alone ------------------------------------------------------------


def test_only_affected_classes_are_touched(base):
    cls, arguments = base
    plain, fixed = make_documented(cls), make_documented(cls)
    before = dict(vars(fixed))
    deferred_build(fixed)
    sound = not plain(*arguments).built
    reaches_layer_build = INFO.generation == 3
    if sound and reaches_layer_build:
        assert dict(vars(fixed)) == before
    elif not sound:
        assert set(vars(fixed)) - set(before) == {"built"}


def test_a_class_of_keras_2_that_passes_its_build_on_is_left_alone():
    class PassesOn(layers.ReLU):
        def build(self, input_shape):
            super().build(input_shape)

    before = dict(vars(PassesOn))
    deferred_build(PassesOn)
    skipped = any(marks_unconditionally(b) for b in marking_builtins(PassesOn))
    assert (dict(vars(PassesOn)) == before) is not skipped


def test_a_subclass_that_makes_no_state_is_as_without_us(base, entry):
    cls, arguments = base

    class OnlyInit(cls):
        def __init__(self, *args):
            super().__init__(*args)
            self.sizes = [1, 2, 3]

    plain, fixed = OnlyInit(*arguments), entry(OnlyInit)(*arguments)
    assert fixed.built is plain.built
    if plain.built:
        assert fixed.count_params() == plain.count_params()
        with (
            pytest.raises(ValueError, match="You cannot add new elements of state")
            if zoo.in_range((3, 10), (9, 9)) and cls is not layers.Reshape
            else contextlib.nullcontext()
        ):
            fixed.late = layers.Dense(1)


def test_keras_own_layers_stay_as_they_are_under_install():
    plain = {name: getattr(layers, name)(*arguments).built for name, arguments in BASES}
    with installed():
        assert {name: getattr(layers, name)(*arguments).built for name, arguments in BASES} == plain


def test_a_layer_lives_on_when_the_repair_is_taken_away():
    cls = type("Lives", (Counting, layers.Softmax), {})
    with installed():
        early = cls()
        built = cls()
        built(x4)
    assert (early.built, built.built) == (False, True)
    early(x4)
    built(x4)
    assert (early.builds, built.builds) == (1, 1)
    assert early.__dict__["built"] is True


@pytest.mark.skipif(
    INFO.generation == 2 or zoo.in_range((3, 6), (3, 9)),
    reason="Keras 2 takes state at any time, and so does 3.6-3.9 of a layer that was marked in a constructor",
)
def test_state_is_locked_again_once_a_layer_is_built(entry):
    class Late(layers.ReLU):
        def __init__(self):
            super().__init__()
            self.early = self.add_weight(name="early", shape=(), initializer="ones")

    layer = entry(Late)()
    layer(x4)
    with pytest.raises(ValueError, match="You cannot add new elements of state"):
        layer.late = layer.add_weight(name="late", shape=(), initializer="ones")


# --- Bad input ---------------------------------------------------------------------------------


def function():
    pass


class Plain:
    pass


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (function, "the function function"),
        (Plain, "the class .*Plain"),
        (layers.Dense(2), "an instance of the Keras layer class .*Dense; pass the class itself"),
        (3, "3 .*int"),
        (KERAS, "the module"),
    ],
    ids=["function", "plain class", "instance", "number", "module"],
)
def test_the_decorator_says_what_it_expected_and_what_came(given, said):
    with pytest.raises(TypeError, match=f"deferred_build expects a Keras layer class.*; got {said}"):
        deferred_build(given)


def test_a_class_of_keras_itself_is_left_alone():
    before = dict(vars(layers.Reshape))
    with pytest.raises(TypeError, match=r"Reshape is Keras's own class.*Subclass it; or call install\(\)"):
        deferred_build(layers.Reshape)
    assert dict(vars(layers.Reshape)) == before


def test_the_decorator_works_with_parentheses():
    @deferred_build()
    class Called(layers.Softmax):
        def build(self, input_shape):
            super().build(input_shape)

    assert not Called().built


def test_the_mixin_says_the_right_order():
    with pytest.raises(TypeError, match=r"DeferredBuildMixin.*Softmax.*class Wrong\(DeferredBuildMixin, Softmax\)"):
        type("Wrong", (layers.Softmax, DeferredBuildMixin), {})
    own = type("OwnMixin", (DeferredBuildMixin,), {})
    with pytest.raises(TypeError, match=r"class Wrong\(OwnMixin, Softmax\)"):
        type("Wrong", (layers.Softmax, own), {})
    assert is_fixed(type("Right", (own, layers.Softmax), {})) is marks_unconditionally(layers.Softmax)


# --- 7: threads --------------------------------------------------------------------------------


def test_layers_made_in_many_threads_are_built_once():
    cls = deferred_build(type("Threaded", (Counting, layers.Softmax), {}))
    found = []

    def work():
        for _ in range(20):
            layer = cls()
            layer.build((None, 4))
            found.append((layer.builds, len(layer.weights)))

    zoo.in_threads(work)
    assert found == [(1, 1)] * 160
