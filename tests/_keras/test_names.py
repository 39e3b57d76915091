"""Private names of Keras stand in one room, each with a row that says where it is: here that is held on each Keras."""

import functools
import sys

import numpy as np
import private_names
import private_uses
import pytest
from environment import INFO, KERAS

from keras_buildfix._keras import names
from keras_buildfix._keras.built import build_has_run, is_locked
from keras_buildfix._keras.defaults import has_default_build, is_default
from keras_buildfix._keras.tracking import direct_sublayers, nested_layers, state_in_attributes

L = KERAS.layers
RELEASE = tuple(int(part) for part in INFO.version.split(".")[:2])
PACKAGE = private_names.ROOT / "keras_buildfix"
LISTED = {row.name for row in names.NAMES}


@functools.cache
def a_layer():
    layer = L.Dense(1)
    layer.build((None, 2))
    return layer


@functools.cache
def an_optimizer():
    optimizer = type(KERAS.optimizers.get("adam"))(use_ema=True)  # 2.12: not a legacy one
    optimizer.build(a_layer().trainable_variables)
    return optimizer


def a_model():
    model = KERAS.Sequential([KERAS.Input((2,)), L.Dense(1)])
    model.compile("adam", "mse")
    if hasattr(model, "_record_training_state_sharding_spec"):
        model.optimizer.build(model.trainable_variables)
        model._record_training_state_sharding_spec()
    return model


def a_functional_model():
    inputs = KERAS.Input((2,))
    return KERAS.Model(inputs, L.Dense(1)(inputs))


def a_legacy_optimizer():
    if INFO.generation == 3:
        return None
    legacy = KERAS.optimizers.legacy
    return getattr(legacy, "Adam", None) or legacy.adam.Adam  # `import keras` on 2.12


def module_of_layer():
    base = next(base for base in reversed(L.Layer.__mro__) if base.__name__ == "Layer" and "keras" in base.__module__)
    return sys.modules[base.__module__]


def module_of_autocasting():
    module = module_of_layer()
    return module if hasattr(module, "get_autocast_scope") else module.backend


def tensorflows(get):
    return get(sys.modules["tensorflow"]) if INFO.backend == "tensorflow" else None


def noted_for_a_thread():
    L.Dense(1)  # Keras counts it
    state = sys.modules.get(f"{INFO.package}.src.backend.common.global_state")
    return getattr(state, "GLOBAL_STATE_TRACKER", None)


def a_wrapped_dict(tf):
    module = tf.Module()
    module.held = {"a": 1}
    return module.held


def eager_context(tf):
    tf.random.set_seed(0)
    return sys.modules["tensorflow.python.eager.context"].context()


#: How to find what the rows call the holder of a name; None where there is none.
HOLDERS = {
    names.LAYER: lambda: L.Layer,
    names.A_LAYER: a_layer,
    names.TRACKER: lambda: getattr(a_layer(), "_tracker", None),
    names.WEIGHT: lambda: a_layer().kernel,
    names.BUILD: lambda: L.Layer().build,
    names.MODEL: a_model,
    names.FUNCTIONAL: a_functional_model,
    names.OPTIMIZER: an_optimizer,
    names.UPDATE: lambda: getattr(type(an_optimizer()), "_update_step_xla", None),
    names.LEGACY: lambda: a_legacy_optimizer() and a_legacy_optimizer()(),
    names.MODULE: module_of_layer,
    names.AUTOCASTING: module_of_autocasting,
    names.AUTOCAST_2: lambda: getattr(module_of_layer(), "autocast_variable", None),
    names.POLICY: lambda: getattr(KERAS, "DTypePolicy", None),
    names.TENSOR: lambda: L.Masking()(KERAS.Input((2, 3))),
    names.TF_VARIABLE: lambda: tensorflows(lambda tf: tf.Variable(1.0)),
    names.AUTOGRAPH: lambda: tensorflows(lambda tf: tf.__internal__.autograph),
    names.TF_FUNCTION: lambda: tensorflows(lambda tf: tf.autograph.experimental.do_not_convert(lambda: None)),
    **{module: lambda module=module: sys.modules.get(f"{INFO.package}.{module}") for module in names.MODULES},
    names.BACKEND_2: lambda: sys.modules.get(f"{INFO.package}.src.backend") or sys.modules[f"{INFO.package}.backend"],
    names.NOTED: noted_for_a_thread,
    names.DICT_WRAPPER: lambda: tensorflows(a_wrapped_dict),
    names.BY_IDENTITY: lambda: tensorflows(
        lambda tf: sys.modules["tensorflow.python.util.object_identity"].ObjectIdentityDictionary()
    ),
    names.EAGER: lambda: tensorflows(eager_context),
    "Dense": lambda: L.Dense,
    "Conv1D": lambda: L.Conv1D,
}


def is_there(name, holder):
    """Whether a name is in a holder; a row may also name the beginning or the end of names, a base or a module."""
    if holder == names.PACKAGE:
        return f"{INFO.package}.{name}" in sys.modules
    if holder == names.DROPOUT:
        return name in {base.__name__ for base in L.Dropout.__mro__}
    held = HOLDERS[holder]()
    if name == "_self_":
        return any(each.startswith(name) for each in vars(held))
    if name == "_variable_shardings":
        return any(each.endswith(name) for each in vars(held))
    return held is not None and hasattr(held, name)


def says_there(row):
    """Whether a row says that its name is there on this Keras."""
    in_time = row.first <= RELEASE and (row.last is None or row.last >= RELEASE)
    return in_time and (not row.only or INFO.backend in row.only)


def test_each_private_name_is_where_its_row_says_and_nowhere_else():
    rows = {}
    for row in names.NAMES:
        rows.setdefault((row.name, row.holder), []).append(says_there(row))
    wrong = {
        f"{name} of {holder}": "is there" if is_there(name, holder) else "is not there"
        for (name, holder), says in rows.items()
        if is_there(name, holder) is not any(says)
    }
    assert not wrong, f"on {INFO}: correct the releases in _keras/names.py, and what uses these"


def test_what_keras_keeps_for_a_layer_means_what_it_is_taken_for():
    layer, of_3 = L.Dense(2), INFO.generation == 3
    assert not build_has_run(layer)
    assert not is_locked(layer)
    layer.build((None, 3))
    assert build_has_run(layer)
    assert is_locked(layer) is of_3
    kind = "variables" if of_3 else "weights"
    assert getattr(layer, f"_trainable_{kind}") == layer.weights
    assert getattr(layer, f"_non_trainable_{kind}") == []
    assert len(state_in_attributes(layer)) == (2 if of_3 else 0)
    if of_3:
        assert {"trainable_variables", "non_trainable_variables", "layers"} <= set(layer._tracker.config)
        assert {"trainable_variables", "non_trainable_variables"} <= set(layer._tracker.stored_ids)
    model = KERAS.Sequential([layer])
    assert layer in nested_layers(model)
    assert direct_sublayers(model) == [layer]
    assert has_default_build(L.Dropout(0.5)) or (3, 0) <= RELEASE <= (3, 2)
    assert not has_default_build(layer)
    assert is_default(L.Layer().build)
    assert is_default(L.Layer().compute_output_shape) is of_3
    assert not is_default(layer.compute_output_shape)


@pytest.mark.skipif(INFO.backend == "numpy", reason="the numpy backend can't train")
def test_what_keras_keeps_while_it_trains_means_what_it_is_taken_for():
    model = KERAS.Sequential([KERAS.Input((2,)), L.Dense(1)])
    optimizer = KERAS.optimizers.get("adam")
    model.compile(optimizer, "mse", **({"jit_compile": False} if INFO.backend == "tensorflow" else {}))
    model.train_on_batch(np.ones((1, 2)), np.ones((1, 1)))
    places = {optimizer._var_key(variable): at for at, variable in enumerate(model.weights)}
    if INFO.generation == 2:
        assert model._compiled_trainable_state == model._get_trainable_state()
        assert optimizer._built is True
        assert optimizer._index_dict == places
        assert model.train_tf_function is model.train_function
    else:
        assert optimizer._trainable_variables == model.weights
        assert optimizer._trainable_variables_indices == places
        accepts, own = optimizer._tracker.config["variables"]
        assert accepts(optimizer.iterations)
        assert list(own) == optimizer.variables
        assert optimizer._tracker.stored_ids["variables"] == {id(variable) for variable in own}
    assert list(optimizer._variables)[-4:] == [*sum(zip(optimizer._momentums, optimizer._velocities), ())]
    assert model.layers[-1]._trainable is True


@functools.cache
def uses():
    return [use for use in private_uses.uses(PACKAGE, LISTED) if use.file != "_keras/names.py"]


@pytest.mark.at_length  # reads the source: the same on every environment, but for Python
def test_private_names_are_touched_in_one_room_only():
    outside = [
        f"{use.file}:{use.line}: {use.name}"
        for use in uses()
        if use.sure and not use.file.startswith("_keras/") and use.name not in names.IN_FILES
    ]
    assert not outside, "give each a function in _keras/, and a row in _keras/names.py"


@pytest.mark.at_length
def test_each_private_name_has_a_row_with_all_its_users():
    unlisted = [f"{use.file}:{use.line}: {use.name}" for use in uses() if use.sure and use.name not in LISTED]
    assert not unlisted, "give each a row in _keras/names.py"
    said = {(row.name, user) for row in names.NAMES for user in row.users}
    done = {(use.name, use.user) for use in uses() if use.sure}
    missing = done - said
    assert not missing, "add these users to the row of the name in _keras/names.py"
    idle = {(name, user) for name, user in said - done if not any(u.user == user and u.is_of(name) for u in uses())}
    assert not idle, "these do not use the name: take them out of its row in _keras/names.py"
    assert {name for name, _ in said} == LISTED, "nothing uses the others: delete their rows"


@pytest.mark.at_length
@pytest.mark.parametrize(
    "line",
    [
        "layer._new_name",
        "layer._new_name = 1",
        "del layer._new_name",
        "self._new_name",
        "super()._new_name()",
        "self._tracker = 1",
        "getattr(layer, '_new_name', None)",
        "hasattr(layer, '_new_name')",
        "setattr(layer, '_new_name', 1)",
        "vars(layer)['_new_name']",
        "vars(layer).pop('_new_name', None)",
        "layer.__dict__.get('_new_name')",
        "'_new_name' in vars(layer)",
        "[getattr(layer, name) for name in ('_new_name', 'other')]",
        "f(layer, '_tracker')",
        "saving_lib.H5IOStore",
    ],
)
def test_a_private_name_is_found_however_it_is_touched(tmp_path, line):
    text = f"class Mixin:\n    def method(self, layer):\n        self._own = self._own\n        {line}\n"
    (tmp_path / "file.py").write_text(text, "utf-8")
    (found,) = private_uses.uses(tmp_path, ["_tracker", "H5IOStore"])
    assert found.name in ("_new_name", "_tracker", "H5IOStore")
    assert found[1:] == ("file.py", 4, "file.Mixin.method", True)


@pytest.mark.at_length
def test_the_package_s_own_names_are_not_taken_for_keras_s(tmp_path):
    text = '''
from keras_buildfix import _room
CONSTANT = "_tracker_of_keras"
class Own:
    """Has _tracker in words only."""
    def __init__(self):
        self._tracker = getattr(self, "_tracker", None)
    def read(self, other, names):
        _room._helper(other._mine, sys._getframe(), "_mine" in names)
        return self._tracker, f"_default_{names}", names.endswith("_mask"), hasattr(names, "_fields")
    def _mine(self, thing):
        thing._keras_buildfix_note = thing._mine
'''
    (tmp_path / "_room.py").write_text(text, "utf-8")
    found = private_uses.uses(tmp_path, ["_tracker"])
    assert [(use.name, use.line) for use in found if use.sure] == [("_tracker_of_keras", 3)]


@pytest.mark.at_length
def test_the_page_of_private_names_is_made_from_the_rows():
    assert private_names.TARGET.read_text("utf-8") == private_names.page(), "run tools/private_names.py"
