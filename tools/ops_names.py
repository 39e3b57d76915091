"""Writes the names of ``ops`` and ``random``: the table ``ops/_names.py``, and stubs for type checkers and editors.

    pip download does not unpack, so: for each first release of Keras 3,
    uv pip install --no-deps --target RELEASES/3.9.0 keras==3.9.0
    python tools/ops_names.py RELEASES       with the newest Keras on numpy

The names and signatures are those of the Keras that runs this. Since when a name is there is read from the releases.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import keras

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "keras_buildfix"
SIGNATURES = ROOT / "tests" / "data" / "ops" / "signatures.json"
SUBMODULES = ("nn", "numpy", "image", "linalg")


def main() -> None:
    """Writes all files."""
    releases = Path(sys.argv[1])
    homes = {"": keras.ops, **{s: getattr(keras.ops, s) for s in SUBMODULES}}
    ops = {n: getattr(home, n) for home in homes.values() for n in public(home) if n not in SUBMODULES}
    ops = dict(sorted(ops.items()))
    spaces = {name: tuple(s for s, home in homes.items() if hasattr(home, name)) for name in ops}
    top = {name: function for name, function in ops.items() if "" in spaces[name]}
    random = {name: getattr(keras.random, name) for name in public(keras.random)}
    lines = [
        f'"""The names of ``ops`` and ``random``, from Keras {keras.__version__}. Written by tools/ops_names.py."""',
        "",
        "from __future__ import annotations",
        "",
        "#: The modules in `ops`.",
        f"SUBMODULES = {list(SUBMODULES)!r}".replace("[", "(").replace("]", ")").replace("'", '"'),
        "",
        '#: Name -> the first release of Keras that has it, and the modules that have it: "" is `ops` itself.',
        "OPS: dict[str, tuple[str, tuple[str, ...]]] = {",
        *(row(name, (first(releases, spaces[name], name), spaces[name])) for name in ops),
        "}",
        "",
        "#: Name -> the same for `random`.",
        "RANDOM: dict[str, tuple[str, tuple[str, ...]]] = {",
        *(row(name, (first(releases, ("random",), name), ("",))) for name in random),
        "}",
        "",
    ]
    (PACKAGE / "ops" / "_names.py").write_text("\n".join(lines), "utf-8")
    head = f"# Written by tools/ops_names.py from Keras {keras.__version__}: what type checkers and editors know.\n"
    imported = "from typing import Any\n\n"
    modules = "".join(f"from keras_buildfix.ops import {s} as {s}\n" for s in SUBMODULES)
    body = "\n".join(stub(name, function) for name, function in top.items())
    (PACKAGE / "ops" / "__init__.pyi").write_text(f"{head}{imported}{modules}\n{body}\n", "utf-8")
    body = "\n".join(stub(name, function) for name, function in random.items())
    (PACKAGE / "random.pyi").write_text(f"{head}{imported}{body}\n", "utf-8")
    named = {**ops, **{f"random.{name}": function for name, function in random.items()}}
    rows = [f"{json.dumps(name)}: {json.dumps(parameters(function))}" for name, function in named.items()]
    SIGNATURES.write_text("{\n" + ",\n".join(rows) + "\n}\n", "utf-8")
    for space in SUBMODULES:
        inside = [name for name in ops if space in spaces[name]]
        names = "".join(f"from keras_buildfix.ops import {n} as {n}\n" for n in inside if n in top)
        body = "\n".join(stub(name, ops[name]) for name in inside if name not in top)
        (PACKAGE / "ops" / f"{space}.pyi").write_text(
            head + ("from typing import Any\n\n" if body else "") + names + (f"{body}\n" if body else ""), "utf-8"
        )


def public(module: Any) -> list[str]:
    """The public names of a module."""
    return sorted(name for name in dir(module) if not name.startswith("_"))


def row(name: str, value: tuple[str, tuple[str, ...]]) -> str:
    """A line of the table."""
    since, spaces = value
    inner = ", ".join(f'"{each}"' for each in spaces) + ("," if len(spaces) == 1 else "")
    return f'    "{name}": ("{since}", ({inner})),'


def first(releases: Path, spaces: tuple[str, ...], name: str) -> str:
    """The first release that has a name."""
    for folder in sorted(releases.iterdir(), key=lambda path: [int(part) for part in path.name.split(".")]):
        if any(name in names_of(folder, space) for space in spaces):
            return folder.name.rpartition(".")[0]
    raise LookupError(f"{name} is in none of the releases in {releases}")


def names_of(folder: Path, space: str) -> set[str]:
    """The names that an unpacked release imports into ``keras.ops`` or ``keras.random``."""
    space = space if space == "random" else f"ops/{space}"
    homes = [folder / "keras" / "api" / space, folder / "keras" / space]
    file = next((home / "__init__.py" for home in homes if (home / "__init__.py").exists()), None)
    if file is None:  # an early release without this module
        return set()
    tree = ast.parse(file.read_text("utf-8"))
    return {a.asname or a.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for a in node.names}


def stub(name: str, function: Any) -> str:
    """The line of a function in a stub."""
    if isinstance(function, type):
        return (
            f"class {name}:\n    state: Any\n    def __init__(self{arguments(function, ', ')}) -> None: ...\n"
            "    def next(self, ordered: Any = ...) -> Any: ...\n    def get_config(self) -> dict[str, Any]: ..."
        )
    return f"def {name}({arguments(function)}) -> Any: ..."


def parameters(function: Any) -> list[list[str | None]]:
    """The parameters of a function: name, kind and default."""
    found = inspect.signature(function).parameters.values()
    return [[p.name, p.kind.name, None if p.default is p.empty else repr(p.default)] for p in found]


def arguments(function: Any, before: str = "") -> str:
    """The parameters of a function, each of any type."""
    shown = []
    for parameter in inspect.signature(function).parameters.values():
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else " = ..."
        shown.append(f"{stars}{parameter.name}: Any{default}")
    return before + ", ".join(shown) if shown else ""


if __name__ == "__main__":
    main()
