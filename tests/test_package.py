"""The house rules: nothing at import, arrows one way, private names in one room, examples that run."""

import ast
import contextlib
import doctest
import importlib
import inspect
import pkgutil
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zoo
from conftest import INFO, KERAS

import keras_buildfix
from keras_buildfix._keras.built import build_has_run
from keras_buildfix._keras.defaults import has_default_build, is_default
from keras_buildfix._keras.tracking import nested_layers, state_in_attributes

PACKAGE = Path(keras_buildfix.__file__).parent
MODULES = sorted(m.name for m in pkgutil.walk_packages([str(PACKAGE)], "keras_buildfix."))

#: What `from keras_buildfix import` gives to everybody.
PUBLIC = "the public names"
#: The parts that use nothing of the package.
SMALL = {"_arrays", "_blocks", "_keywords", "_words"}
#: Which part of the package, a folder or a file, may use which others.
MAY_USE = {
    **{part: set() for part in SMALL},
    "_keras": SMALL,
    "weight_files": SMALL,
    "layer_tree": {"_keras", *SMALL},
    "building": {"_keras", *SMALL},
    "precision": {"_keras", *SMALL},
    "testing": {"_keras"},
    "extra_weights": {"_keras", "layer_tree"},
    "freezing": {"_keras", "layer_tree", *SMALL},
    "portable": {"_keras", "building", "precision", "extra_weights", "layer_tree", *SMALL},
    "weights": {"_keras", "layer_tree", "weight_files", "extra_weights", "portable", *SMALL},
    "plugins": {PUBLIC},
    "cli": {PUBLIC, "_keras", "building"},
    "__main__": {"cli"},
}


def test_importing_the_package_imports_next_to_nothing():
    code = (
        "import sys; before = set(sys.modules); import keras_buildfix; dir(keras_buildfix);"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"__future__", "keras_buildfix"}


def test_every_public_name_is_there_and_nothing_else():
    for name in keras_buildfix.__all__:
        value = getattr(keras_buildfix, name)
        assert value.__module__.startswith("keras_buildfix")
        assert value.__doc__
    assert {name for name in dir(keras_buildfix) if not name.startswith("__")} == set(keras_buildfix.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = keras_buildfix.no_such_name
    assert (PACKAGE / "py.typed").exists()


def test_help_begins_with_a_table_of_all_public_names():
    rows = re.findall(r"^    (\w+) {2,}\S", keras_buildfix.__doc__, re.MULTILINE)
    assert sorted(rows) == keras_buildfix.__all__
    lines = pydoc.render_doc(keras_buildfix, renderer=pydoc.plaintext).splitlines()
    assert any("PortableLayerMixin" in line for line in lines[:12])


@pytest.mark.at_length  # reads the source: the same on every environment, but for Python
def test_help_shows_no_addresses():
    for name in keras_buildfix.__all__:
        value = getattr(keras_buildfix, name)
        with contextlib.suppress(ValueError):  # a class without a signature
            assert " at 0x" not in str(inspect.signature(value)), name
    assert "(cls: 'Any' = <not given>)" in pydoc.render_doc(keras_buildfix.deferred_build, renderer=pydoc.plaintext)


def imports_of(module):
    """What a module of the package imports from it, as (module, name)."""
    for node in ast.walk(ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text("utf-8"))):
        names = [alias.name for alias in getattr(node, "names", ())] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.partition(".")[0] for name in names} & {"keras", "tf_keras"}, f"{module} imports Keras"
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "keras_buildfix":
            yield from ((node.module.partition(".")[2], alias.name) for alias in node.names)


def files():
    """The modules of the package, without the `__init__` of the folders."""
    names = [".".join(file.relative_to(PACKAGE).with_suffix("").parts) for file in PACKAGE.rglob("*.py")]
    return [name for name in names if name.rpartition(".")[2] != "__init__"]


def part_of(module):
    return module.partition(".")[0] or PUBLIC


@pytest.mark.at_length  # reads the source: the same on every environment, but for Python
def test_each_part_uses_only_what_it_may():
    assert {part_of(module) for module in files()} == set(MAY_USE), "give the new part a row in MAY_USE"
    used = {}
    for module in files():
        for imported, name in imports_of(module):
            part = part_of(imported)
            if part != part_of(module):
                assert part in MAY_USE[part_of(module)], f"{module} imports {imported}"
                used.setdefault(part, set()).add((imported.partition(".")[2], name))
    for part in {*used} - {PUBLIC, "_keras", "cli", *SMALL}:
        shared = importlib.import_module(f"keras_buildfix.{part}").SHARED
        assert used[part] == {(file, name) for file, names in shared.items() for name in names}, part


@pytest.mark.at_length  # reads the source: the same on every environment, but for Python
def test_no_part_imports_itself_in_a_circle():
    known = {*files()}
    left = {  # of `from package import module`, the module is meant
        module: {full if (full := f"{imported}.{name}") in known else imported for imported, name in imports_of(module)}
        for module in known
    }
    while left:
        free = {module for module, imported in left.items() if not imported & {*left}}
        assert free, f"a circle among {sorted(left)}"
        left = {module: imported for module, imported in left.items() if module not in free}


@pytest.mark.at_length  # reads the source: the same on every environment, but for Python
def test_no_folder_has_a_public_name():
    """Importing the folder would hide the name."""
    assert not {part_of(module) for module in files()} & {*keras_buildfix.__all__}


@pytest.mark.at_length  # reads the source: the same on every environment, but for Python
def test_private_names_of_keras_stand_in_one_room():
    private = {"_tracker", "_lock_state", "_post_build", "_flatten_layers", "_build_shapes_dict", "_build_at_init"}
    private |= {"_flatten_modules", "_trainable_variables", "_trainable_weights", "_initializer", "_is_default"}
    private |= {"_non_trainable_variables", "_non_trainable_weights", "_value", "_trainable_variables_indices"}
    private |= {"_index_dict", "_compiled_trainable_state", "_get_trainable_state", "_slots", "_var_key"}
    for file in PACKAGE.rglob("*.py"):
        if file.parent.name == "_keras":  # one file a subject: building, training
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            assert not (isinstance(node, ast.Attribute) and node.attr in private), f"{file.name} uses {node.attr}"


@pytest.mark.skipif(INFO.generation == 2, reason="private names of Keras 3")
def test_private_names_are_where_keras_room_says():
    layer = KERAS.layers.Dense(2)
    assert callable(layer._lock_state)
    assert callable(layer._post_build)
    assert layer._tracker.locked is False
    assert {"trainable_variables", "non_trainable_variables", "layers"} <= set(layer._tracker.config)
    assert layer._build_shapes_dict is None
    assert not build_has_run(layer)
    layer.build((None, 3))
    assert layer._tracker.locked is True
    assert build_has_run(layer)
    assert len(state_in_attributes(layer)) == 2
    release = tuple(int(part) for part in INFO.version.split(".")[:2])
    assert hasattr(KERAS.layers.Layer, "_build_at_init") is (release >= (3, 10))
    assert {"trainable_variables", "non_trainable_variables"} <= set(layer._tracker.stored_ids)
    assert layer._trainable_variables == layer.weights
    assert layer._non_trainable_variables == []
    assert layer.kernel._value is not None
    assert "_initializer" in vars(layer.kernel)
    assert has_default_build(KERAS.layers.Dropout(0.5)) or release in ((3, 0), (3, 1), (3, 2))
    assert not has_default_build(layer)
    plain = KERAS.layers.Layer()
    assert is_default(plain.build)
    assert is_default(plain.compute_output_shape)
    assert not is_default(layer.compute_output_shape)


@pytest.mark.skipif(INFO.generation == 3, reason="private names of Keras 2")
def test_private_names_of_keras_2_are_where_keras_room_says():
    layer = KERAS.layers.Dense(2)
    assert not hasattr(layer, "_lock_state")
    assert not build_has_run(layer)
    layer.build((None, 3))
    assert build_has_run(layer)
    assert layer in nested_layers(KERAS.Sequential([layer]))
    assert layer._trainable_weights == layer.weights
    assert layer._non_trainable_weights == []
    assert list(KERAS.Sequential([layer])._flatten_modules(recursive=False, include_self=False)) == [layer]
    assert has_default_build(KERAS.layers.Dropout(0.5))
    assert not has_default_build(layer)


@pytest.mark.skipif(INFO.backend == "numpy", reason="the numpy backend can't train")
def test_private_names_of_training_are_where_the_room_says():
    model = KERAS.Sequential([KERAS.Input((2,)), KERAS.layers.Dense(1)])
    optimizer = KERAS.optimizers.get("adam")  # 2.12: not a legacy one
    model.compile(optimizer, "mse", **({"jit_compile": False} if INFO.backend == "tensorflow" else {}))
    model.train_on_batch(np.ones((1, 2)), np.ones((1, 1)))
    kernel, bias = model.weights
    if INFO.generation == 2:
        assert model._compiled_trainable_state == model._get_trainable_state()
        assert optimizer._built is True
        assert optimizer._index_dict == {optimizer._var_key(kernel): 0, optimizer._var_key(bias): 1}
        update = type(optimizer)._update_step_xla
        assert hasattr(update, "_descriptor_cache")
        assert model.train_tf_function is model.train_function
    else:
        assert not hasattr(model, "_get_trainable_state")
        assert optimizer.built is True
        assert optimizer._trainable_variables == [kernel, bias]
        places = optimizer._trainable_variables_indices
        assert places == {optimizer._var_key(kernel): 0, optimizer._var_key(bias): 1}
        accepts, own = optimizer._tracker.config["variables"]
        assert accepts(optimizer.iterations)
        assert list(own) == optimizer.variables
        assert optimizer._tracker.stored_ids["variables"] == {id(variable) for variable in own}
        assert hasattr(model, "jax_state_sync") is (INFO.backend == "jax")
        noted = INFO.backend == "jax" and zoo.in_range((3, 0), (3, 11))
        assert hasattr(model, "_record_training_state_sharding_spec") is noted
        assert ("_trainable_variable_shardings" in vars(model)) is noted
    assert list(optimizer._variables)[-4:] == [*sum(zip(optimizer._momentums, optimizer._velocities), ())]
    assert model.layers[-1]._trainable is True


def test_a_constructor_that_marks_in_a_new_way_is_noticed():
    """A regression that nobody knows of yet: found by reading the code, whatever it is called."""

    def direct(self):
        KERAS.layers.Layer.__init__(self)
        self.built = 1 == 1

    def by_setattr(self):
        KERAS.layers.Layer.__init__(self)
        setattr(self, "built", True)  # noqa: B010

    def through_helper(self):
        KERAS.layers.Layer.__init__(self)
        self._say_so()

    def say_so(self):
        self._and_so()

    def and_so(self):
        self.built = True

    for init in (direct, by_setattr, through_helper):
        methods = {"__init__": init, "_say_so": say_so, "_and_so": and_so}
        cls = zoo.made_by_keras("NewLayer", (KERAS.layers.Layer,), methods)
        own = type("Own", (cls,), {"build": lambda self, shape: None})
        assert own().built is True
        assert keras_buildfix.deferred_build(own)().built is False, init.__name__


@pytest.mark.in_turns
@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_run(module):
    if module in ("keras_buildfix.__main__", "keras_buildfix.plugins.pytest"):
        pytest.skip("acts when imported")
    # The examples say `keras`; here it is the Keras of the environment.
    sys_keras = sys.modules.get("keras")
    sys.modules["keras"] = KERAS
    try:
        failed, _ = doctest.testmod(importlib.import_module(module), raise_on_error=False)
    finally:
        if sys_keras is not None:
            sys.modules["keras"] = sys_keras
        else:
            del sys.modules["keras"]
    assert failed == 0
