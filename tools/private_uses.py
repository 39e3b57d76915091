"""Finds in the package's source where it touches a private name of Keras; `tests/_keras/test_names.py` judges that.

A name is private if it begins with one underscore, or if a row of `keras_buildfix/_keras/names.py` lists it. It is
touched by ``thing._name``, and by a string: ``getattr(thing, "_name")``, ``vars(thing)["_name"]``, or a constant that
a row lists. What the package defines itself is its own: the names in its classes and modules are read from the source.
So a new private name of Keras is not noticed while the package has a function or attribute of the same name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

#: Private names of Python itself, which this tool ignores.
PYTHONS = frozenset({"_asdict", "_fields", "_getframe", "_current_frames", "_initializing", "_SubParsersAction"})
#: All attributes that this package sets on objects of Keras or of users begin with this.
_MARK = "_keras_buildfix_"
_ASKING = frozenset({"getattr", "hasattr", "setattr", "delattr"})
_TAKING = frozenset({"get", "pop", "setdefault"})


class Use(NamedTuple):
    r"""One place where a private name is touched.

    Attributes:
        name: The name; for an f-string a regular expression, with ``\w+`` for what is filled in.
        file: The file, from the package's folder on.
        line: The line in it.
        user: The function, method or constant that touches it, after the name of its file.
        sure: Whether it can only be this name of Keras. For an f-string or a plain word that is unknown.
    """

    name: str
    file: str
    line: int
    user: str
    sure: bool = True

    def is_of(self, name: str) -> bool:
        """Whether this use may touch a name."""
        return re.fullmatch(self.name, name) is not None


def is_telling(name: str) -> bool:
    """Whether a name can only be Keras's: a plain word such as ``config`` may be anybody's."""
    return not re.fullmatch("[a-z]+", name)


def uses(package: Path, listed: Collection[str]) -> list[Use]:
    """All uses of private names in the files of a package: of the `listed` names, and of any others."""
    trees = {file: ast.parse(file.read_text("utf-8")) for file in sorted(package.rglob("*.py"))}
    own = _Own(trees)
    found: list[Use] = []
    for file, tree in trees.items():
        reader = _Reader(file.relative_to(package), own, frozenset(listed))
        reader.visit(tree)
        found += reader.found
    return found


class _Own:
    """What the package defines itself."""

    def __init__(self, trees: dict[Path, ast.Module]) -> None:
        self.modules = {file.stem for file in trees} | {file.parent.name for file in trees}
        self.of_class: dict[str, set[str]] = {}
        self.bases: dict[str, list[str]] = {}
        self.names: set[str] = set()
        for tree in trees.values():
            self._collect(tree, [self.names])

    def _collect(self, scope: ast.AST, into: list[set[str]]) -> None:
        """Notes the names that a module or class defines, with the attributes that its methods set on ``self``."""
        for node in ast.iter_child_nodes(scope):
            name, inside = "", into
            if isinstance(node, ast.ClassDef):
                name = node.name
                inside = [*into, self.of_class.setdefault(name, set())]
                self.bases[name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
            elif isinstance(node, ast.FunctionDef):
                name = node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name = node.id
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
                name = node.attr
            if name:
                for names in into:
                    names.add(name)
            if not isinstance(node, ast.expr) or isinstance(node, (ast.Tuple, ast.List)):  # targets, not values
                self._collect(node, inside)

    def defines(self, cls: str, name: str) -> bool:
        """Whether a class of the package, or a base of it, defines a name."""
        return name in self.of_class.get(cls, ()) or any(self.defines(base, name) for base in self.bases.get(cls, ()))


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


class _Reader(ast.NodeVisitor):
    """Collects the uses in one file."""

    def __init__(self, file: Path, own: _Own, listed: frozenset[str]) -> None:
        self.file, self.own, self.listed = file, own, listed
        self.found: list[Use] = []
        self._scope: list[ast.ClassDef | ast.FunctionDef] = []
        self._constant = ""
        self._judged: set[int] = set()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._inside(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._inside(node)

    def _inside(self, node: ast.ClassDef | ast.FunctionDef) -> None:
        self._scope.append(node)
        self.generic_visit(node)
        self._scope.pop()

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring touches nothing
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        (target, *_), value = node.targets, node.value
        if not self._scope and isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for each, part in zip(target.elts, value.elts):
                self._constant = ast.unparse(each)
                self.visit(part)
        else:
            self._assigned(target, node)
        self._constant = ""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._assigned(node.target, node)

    def _assigned(self, target: ast.expr, node: ast.Assign | ast.AnnAssign) -> None:
        self._constant = ast.unparse(target)
        if not self._scope and node.value is not None:  # a constant of names, which functions ask for
            for part in ast.walk(node.value):
                self._asked(part)
        self.generic_visit(node)
        self._constant = ""

    def visit_For(self, node: ast.For) -> None:
        self._looped(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._looped(node)

    def _looped(self, node: ast.For | ast.comprehension) -> None:
        for part in getattr(node.iter, "elts", ()):
            self._asked(part)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        of_module = isinstance(node.value, ast.Name) and node.value.id in self.own.modules
        if not of_module:
            self._note(node.attr, node, of_self=_is_self(node.value))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function, args = node.func, node.args
        if isinstance(function, ast.Name) and function.id in _ASKING and len(args) > 1:
            self._asked(args[1], of_self=_is_self(args[0]))
        elif isinstance(function, ast.Attribute) and function.attr in _TAKING and args:
            self._asked(args[0], of_self="self.__dict__" in ast.unparse(function))
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._asked(node.slice, of_self=_is_self(getattr(node.value, "value", None)))
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if isinstance(node.ops[0], (ast.In, ast.NotIn)):
            self._asked(node.left)
        self.generic_visit(node)

    def _asked(self, node: ast.AST, of_self: bool = False) -> None:
        """Notes a string that names an attribute to look up. `visit_Constant` notes listed names in any string."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in self._judged:
            self._judged.add(id(node))
            self._note(node.value, node, of_self)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and id(node) not in self._judged:
            name = node.value if node.value in self.listed else node.value.partition(".")[0]
            if name in self.listed:
                self._note(name, node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        parts = [re.escape(part.value) if isinstance(part, ast.Constant) else r"\w+" for part in node.values]
        if parts[0].startswith("_"):
            self.found.append(Use("".join(parts), self.file.as_posix(), node.lineno, self._user(), sure=False))
        elif parts[0] == r"\w+" and len(parts) > 1 and parts[1].startswith(r"\."):  # f"{package}.src.saving"
            self._note("".join(parts[1:])[2:].replace("\\", ""), node)
        self.generic_visit(node)

    def _note(self, name: str, node: ast.AST, of_self: bool = False) -> None:
        is_private = re.fullmatch(r"_[a-zA-Z]\w*[a-zA-Z0-9]", name) and not name.startswith(_MARK)
        if name in PYTHONS or not (name in self.listed or is_private):
            return
        classes = [scope.name for scope in self._scope if isinstance(scope, ast.ClassDef)]
        of_layer = name in self.listed and any("Mixin" in cls for cls in classes)  # a mixin's `self` is a layer
        if of_self and not of_layer and any(self.own.defines(cls, name) for cls in classes):
            return
        if name in self.own.names and name not in self.listed:
            return
        line = getattr(node, "lineno", 0)
        self.found.append(Use(name, self.file.as_posix(), line, self._user(), sure=is_telling(name)))

    def _user(self) -> str:
        """``file.function``, ``file.Class.method`` or ``file.CONSTANT``; outside `_keras/` the folders come first."""
        names = [scope.name for scope in self._scope[:2]]
        if self._scope and isinstance(self._scope[0], ast.FunctionDef):
            del names[1:]
        folders = [part for part in self.file.parts[:-1] if part != "_keras"]
        return ".".join([*folders, self.file.stem, *(names or [self._constant] * bool(self._constant))])
