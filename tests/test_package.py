"""The house rules: nothing at import, arrows one way, private names in one room, short functions."""

import ast
import contextlib
import importlib
import inspect
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import bands
import pytest
import zoo
from environment import KERAS

import keras_buildfix

PACKAGE = Path(keras_buildfix.__file__).parent
#: What `from keras_buildfix import` gives to everybody.
PUBLIC = "the public names"
#: The parts that use nothing of the package.
SMALL = {"_arrays", "_blocks", "_keywords", "_running_call", "_structures", "_tables", "_words"}
#: The public names that are modules.
PUBLIC_MODULES = {"ops", "random"}
#: Which part of the package, a folder or a file, may use which others.
MAY_USE = {
    **{part: set() for part in SMALL},
    "_keras": SMALL,
    "weight_files": SMALL,
    "layer_tree": {"_keras", *SMALL},
    "building": {"_keras", *SMALL},
    "precision": {"_keras", *SMALL},
    "testing": {PUBLIC, "_keras", *SMALL},
    "extra_weights": {"_keras", "layer_tree"},
    "freezing": {"_keras", "layer_tree", *SMALL},
    "ops": {PUBLIC, "_keras", *SMALL},
    "random": {"ops"},
    "portable": {"_keras", "building", "precision", "extra_weights", "layer_tree", *SMALL},
    "weights": {"_keras", "layer_tree", "weight_files", "extra_weights", "portable", *SMALL},
    "inspection": {PUBLIC, "_keras", "layer_tree", *SMALL},
    "exporting": {PUBLIC, "_keras", *SMALL},
    "matrix": set(),
    "plugins": {PUBLIC, "_keras", "building", "matrix"},
    "cli": {PUBLIC, "_keras", "building", "matrix"},
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
        home = value.__name__ if name in PUBLIC_MODULES else value.__module__
        assert home.startswith("keras_buildfix")
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
        if name in PUBLIC_MODULES:
            continue
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
    """The part that a module is in; `keras_buildfix.testing` itself gives public names, too."""
    return PUBLIC if module in ("", "testing") else module.partition(".")[0]


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
    for part in {*used} - {PUBLIC, "_keras", "cli", "matrix", *SMALL}:
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
    """Importing the folder would hide the name, unless it is the folder's own."""
    assert {part_of(module) for module in files()} & {*keras_buildfix.__all__} <= PUBLIC_MODULES


def lines_of_code(function, lines):
    """How many lines of a function are code: without its signature, docstring, comments and blank lines."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    code = [line.strip() for line in lines[body[0].lineno - 1 : function.end_lineno]] if body else []
    return sum(bool(line) and not line.startswith("#") for line in code)


@pytest.mark.at_length  # reads the source: the same on every environment, but for Python
def test_no_function_is_longer_than_50_lines():
    counted = []
    for file in PACKAGE.rglob("*.py"):
        source = file.read_text("utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                counted.append((lines_of_code(node, source.splitlines()), f"{node.name} in {file.name}"))
    assert len(counted) > 900
    assert [each for each in counted if each[0] > 50] == []


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


@pytest.mark.at_length
def test_the_picture_of_the_house_has_its_parts_and_each_uses_those_below():
    picture = (bands.ROOT / "docs" / "assets" / "house.svg").read_text("utf-8")
    rows = {part: int(y) for y, part in re.findall(r'class="part"[^>]* y="(\d+)"[^>]*>(\w+)<', picture)}
    assert set(rows) == set(MAY_USE) - SMALL - {"__main__"}
    for part, row in rows.items():
        for used in MAY_USE[part] - SMALL:
            assert used == PUBLIC or rows[used] > row, f"{part} uses {used}"
