"""Reads from the tests' source which public names of the package each test uses.

A test uses a name if its function mentions it, or a function, fixture, class or value that the function mentions in the
same file or in a helper module of the tests, and so on; and what a public function that it uses returns, raises or
calls, such as `FreezeReport`.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, TESTS, EXAMPLES = ROOT / "keras_buildfix", ROOT / "tests", ROOT / "examples"


@functools.cache
def public_names() -> dict[str, str]:
    """Each public name of the package and of `keras_buildfix.testing`, with the module that has it."""
    (homes,) = (
        ast.literal_eval(node.value)
        for node in _tree(PACKAGE / "__init__.py").body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_HOME"
    )
    of_testing = {name: home for name, (home, _) in _imports(PACKAGE / "testing" / "__init__.py").items()}
    return {**{name: f"keras_buildfix.{home}" for name, home in homes.items()}, **of_testing}


def used_by_test(classname: str, name: str) -> frozenset[str]:
    """The public names that a test uses, by what a JUnit report calls it.

    The tests of pages and docstrings are Sybil's: ``docs.freezing.md`` and ``line 12``, or what a docstring documents.
    """
    parts, function = classname.split("."), name.partition("[")[0]
    if name.startswith("keras_buildfix."):  # the examples of a docstring
        homes = public_names().items()
        return _with_implied({public for public, home in homes if f"{name}.".startswith(f"{home}.{public}.")})
    if parts[-1] == "md":
        return _used_by_block(ROOT.joinpath(*parts[:-1]).with_suffix(".md"), name)
    while parts and not (file := ROOT.joinpath(*parts).with_suffix(".py")).exists():
        parts.pop()  # the class that a test is in
    if not parts:
        return frozenset()
    if function == "test_the_form_works":
        example, _, form = name.partition("[")[2].rstrip("]").partition(".")
        return used_by(EXAMPLES / f"{example}.py", form)
    return used_by(file, function)


def _used_by_block(page: Path, name: str) -> frozenset[str]:
    """The public names in a block of a page, by the name of its test, such as ``line 12``."""
    text = page.read_text("utf-8") if page.exists() else ""
    blocks = {text.count("\n", 0, each.start()) + 1: each[1] for each in _BLOCK.finditer(text)}
    trees = {line: ast.parse(block) for line, block in blocks.items()}
    imported = {name for tree in trees.values() for name, (module, _) in _imported(tree).items() if _is_ours(module)}
    tree = trees.get(int(name.removeprefix("line ")) if name.removeprefix("line ").isdigit() else 0, ast.Module([], []))
    mentioned = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
    return _with_implied(mentioned & imported & {*public_names()})


_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@functools.cache
def used_by(file: Path, name: str) -> frozenset[str]:
    """The public names that something at the top of a file uses."""
    found: set[str] = set()
    seen, todo = set(), [(file, name)]
    while todo:
        at = todo.pop()
        if at in seen or at[1] in ("KERAS", "INFO"):  # nearly every test has these; that is no test of `keras_info`
            continue
        seen.add(at)
        for node in _definitions(at[0]).get(at[1], ()):
            for used, where in _mentioned(node, at[0]):
                if where is None:
                    found.add(used)
                else:
                    todo.append((where, used))
    return _with_implied(found)


def tests_in(file: Path) -> list[str]:
    """The names of the tests in a file."""
    return [name for name in _definitions(file) if name.startswith("test_")]


def _mentioned(node: ast.AST, file: Path) -> Iterator[tuple[str, Path | None]]:
    """What a piece of code mentions: public names, with None, and names at the top of files of the tests."""
    imports, own = _imports(file), _definitions(file)
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
            module, name = imports.get(each.value.id, ("", None))
            yield from _of_module(f"{module}.{name}" if name else module, each.attr)
        used = each.id if isinstance(each, ast.Name) else each.arg if isinstance(each, ast.arg) else ""
        if used in imports:
            module, name = imports[used]
            yield from _of_module(module, name or "")
        elif used in own:
            yield used, file
        elif isinstance(each, ast.arg) and used in _definitions(TESTS / "conftest.py"):
            yield used, TESTS / "conftest.py"


def _of_module(module: str, name: str) -> Iterator[tuple[str, Path | None]]:
    """What an import of a name from a module is."""
    if _is_ours(module):
        part = module.split(".")[1:2]
        yield from ((each, None) for each in {name, *({"ops", "random"} & {*part})} if each in public_names())
    elif module in _helpers() and name:
        yield name, _helpers()[module]


def _with_implied(names: set[str]) -> frozenset[str]:
    """Public names, with those that they imply."""
    found, todo = set(), [*names]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += _implied(name)
    return frozenset(found)


@functools.cache
def _implied(name: str) -> frozenset[str]:
    """The public names that a public function returns, raises or calls, and those in the fields of a public class."""
    file = ROOT.joinpath(*public_names()[name].split(".")).with_suffix(".py")
    parts: list[ast.AST | None] = []
    if not file.exists():
        return frozenset()  # `ops` is a folder
    for node in _definitions(file).get(name, ()):
        inside = node.body if isinstance(node, ast.ClassDef) else ()
        parts += [each.annotation for each in inside if isinstance(each, ast.AnnAssign)]
        parts += [each.returns for each in inside if isinstance(each, ast.FunctionDef)]
        parts += [node] if isinstance(node, ast.FunctionDef) else []
    mentioned = {each.id for part in parts if part for each in ast.walk(part) if isinstance(each, ast.Name)}
    return frozenset(mentioned & {*public_names()} & {*_definitions(file), *_imports(file)})


@functools.cache
def _helpers() -> dict[str, Path]:
    """The modules in the tests that other tests import."""
    return {file.stem: file for file in TESTS.rglob("*.py") if not file.name.startswith("test_")}


@functools.cache
def _definitions(file: Path) -> dict[str, list[ast.stmt]]:
    """What is at the top of a file, and the methods of its classes of tests, by name."""
    found: dict[str, list[ast.stmt]] = {}
    body = [*_tree(file).body]
    body += [each for node in body if isinstance(node, ast.ClassDef) for each in node.body if node.name[:4] == "Test"]
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = []
        else:
            names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name) and _is_set(each)]
        for name in names:
            found.setdefault(name, []).append(node)
    return found


def _is_set(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


@functools.cache
def _imports(file: Path) -> dict[str, tuple[str, str | None]]:
    return _imported(_tree(file))


def _imported(tree: ast.Module) -> dict[str, tuple[str, str | None]]:
    """Name in a module -> the module that it is from, and its name there; None for a module itself."""
    found: dict[str, tuple[str, str | None]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.asname or each.name.partition(".")[0]: (each.name, None) for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {each.asname or each.name: (node.module or "", each.name) for each in node.names}
    return found


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "keras_buildfix"


@functools.cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))
