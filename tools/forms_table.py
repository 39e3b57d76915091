"""Writes docs/forms.md: which form of model in examples/ works on which Keras, plain and with this package.

    python tools/forms_table.py --tox /path/to/.tox          run each environment there, write the page
    python tools/forms_table.py --envs keras3.9-jax          print what some environments give, write nothing
    python tools/forms_table.py --here plain                 run the forms with the Keras of this Python, print JSON

Plain, the same program runs with what `Plain` has in place of the functions of this package.
"""

# ruff: noqa: D102 - each method of `Plain` is named like what it stands for

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import json
import os
import re
import sys
import time
import traceback
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import environments
import pages

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
TARGET = ROOT / "docs" / "forms.md"
#: The files of examples/ with forms, in the order of the page.
FILES = (
    *("sequential", "functional", "custom_layers", "subclassed_models", "ensembles", "fine_tuning", "gan", "sharing"),
    *("saving", "exporting", "mixed_precision", "tf_function", "debugging", "looking_inside"),
)
ENVIRONMENTS = (
    *("keras2.12-tensorflow", "keras2.15-tensorflow", "tfkeras2.16-tensorflow", "tfkeras2.21-tensorflow"),
    *("keras3.0-tensorflow", "keras3.1-tensorflow", "keras3.2-jax", "keras3.2-torch", "keras3.6-tensorflow"),
    *("keras3.9-tensorflow", "keras3.9-jax", "keras3.9-torch", "keras3.12-jax", "keras3.12-torch"),
    *("keraslatest-tensorflow", "keraslatest-jax", "keraslatest-torch", "keraslatest-numpy"),
    *("kerasnightly-tensorflow", "kerasnightly-jax", "kerasnightly-torch"),
)


# --- The forms -----------------------------------------------------------------------------------


def forms_of(name: str) -> list[str]:
    """The names in the FORMS of an example, without importing it."""
    for node in ast.parse((EXAMPLES / f"{name}.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "FORMS":
            names = [each for each in ast.walk(node.value) if isinstance(each, ast.Name)]
            return [each.id for each in sorted(names, key=lambda each: (each.lineno, each.col_offset))]
    raise SystemExit(f"examples/{name}.py has no FORMS")


def uses_no_help(form: str) -> bool:
    """Whether a form uses nothing of the package, or only what looks: then it is the same plain."""
    name, _, wanted = form.partition(".")
    tree = ast.parse((EXAMPLES / f"{name}.py").read_text("utf-8"))
    parts = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "keras_buildfix"]
    helpers = {each.name for node in nodes for each in node.names} - {*LOOKS}
    used, todo = set(), [wanted]
    while todo:
        node = parts.pop(todo.pop(), None)
        names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} if node else set()
        used |= names
        todo += names & {*parts}
    return not used & helpers


@contextlib.contextmanager
def imports_for(keras: Any, package: Any = None) -> Iterator[None]:
    """Inside the block `import keras` gives this Keras, and `import keras_buildfix` this package."""
    before = {name: sys.modules.get(name) for name in ("keras", "keras_buildfix")}
    sys.modules["keras"] = keras
    if package is not None:
        sys.modules["keras_buildfix"] = package
    sys.path.insert(0, str(EXAMPLES))
    try:
        yield
    finally:
        sys.path.remove(str(EXAMPLES))
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def example(name: str, keras: Any, package: Any = None) -> Any:
    """An example as a new module; use it inside `imports_for`."""
    with imports_for(keras, package):
        spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return module


# --- Plain: what one writes without the package ---------------------------------------------------


#: Functions of the package that only look: plain forms use them, too.
LOOKS = ("get_weights", "named_weights", "keras_info", "compute_dtype", "variable_dtype")


class Plain(types.ModuleType):
    """Takes the place of the package. Each function does what one writes with Keras alone.

    What only looks is the package's own.
    """

    def __init__(self, keras: Any) -> None:
        super().__init__("keras_buildfix")
        self._keras, real = keras, importlib.import_module("keras_buildfix")
        for name in LOOKS:
            setattr(self, name, getattr(real, name))

    PortableLayerMixin = TFFunctionMixin = type("NoMixin", (), {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> Any:
            raise NotInKerasError("Keras has no such function")

        return missing

    def deferred_build(self, cls: Any) -> Any:
        return cls

    mixed_precision_safe = deferred_build

    def raw_weight(self, value: Any, name: str) -> Any:
        backend = self.keras_info(self._keras).backend
        if backend == "tensorflow":
            return sys.modules["tensorflow"].Variable(value, name=name)
        if backend == "torch":
            torch = sys.modules["torch"]
            return torch.nn.Parameter(torch.tensor(value))
        return self._keras.Variable(value, name=name)

    def set_weights(self, model: Any, values: Any) -> Any:
        model.set_weights(list(values.values()))
        return types.SimpleNamespace(waiting=list(values))

    def transfer_weights(self, model: Any, other: Any, rename: Any) -> None:
        other.set_weights(model.get_weights())

    def share_weights(self, one: Any, other: Any) -> None:
        one.build((None, 4))
        other.build((None, 4))
        other.kernel, other.bias = one.kernel, one.bias

    def save_weights(self, model: Any, path: str, exclude: Any = None) -> None:
        if exclude:
            raise NotInKerasError("Keras writes the weights of a whole model only")
        model.save_weights(path)

    def load_weights(self, model: Any, path: str) -> Any:
        model.load_weights(path)
        return types.SimpleNamespace(assigned=model.weights)

    def freeze(self, model: Any, layer: Any) -> None:
        (model.get_layer(layer) if isinstance(layer, str) else layer).trainable = False

    def unfreeze(self, model: Any, select: str) -> None:
        base, _, start = select.rstrip("*").partition("/")
        model.get_layer(base).trainable = True
        for layer in model.get_layer(base).layers:
            layer.trainable = layer.name.startswith(start)
        model.compile(model.optimizer, model.loss)  # or no Keras would heed the flags

    @contextlib.contextmanager
    def frozen(self, model: Any, cls: Any = None) -> Iterator[None]:
        layers = [layer for layer in model.layers if isinstance(layer, cls)] if cls else [model]
        for layer in layers:
            layer.trainable = False
        yield
        for layer in layers:
            layer.trainable = True

    @contextlib.contextmanager
    def dtype_policy_scope(self, name: str) -> Iterator[None]:
        policies = self._keras.mixed_precision
        before = getattr(policies, "dtype_policy", None) or policies.global_policy
        former = before()
        policies.set_global_policy(name)
        yield
        policies.set_global_policy(former)

    def intermediate_outputs(self, model: Any, names: list[str], x: Any) -> Any:
        outputs = [model.get_layer(name).output for name in names]
        return dict(zip(names, self._keras.Model(model.inputs, outputs)(x)))

    def export_saved_model(self, model: Any, path: str, **_: Any) -> None:
        model.export(path) if hasattr(model, "export") else model.save(path)

    def export_tflite(self, model: Any, path: str, **_: Any) -> None:
        tf = sys.modules["tensorflow"]
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        Path(path).write_bytes(converter.convert())


class NotInKerasError(Exception):
    """Plain Keras has nothing for this form."""


# --- One environment -----------------------------------------------------------------------------


def run_here(way: str, skip: list[str]) -> None:
    """Runs all forms with the Keras of this Python, and prints a line of JSON for each: name, seconds, outcome."""
    warnings.simplefilter("ignore")
    keras = importlib.import_module("tf_keras" if "tfkeras" in os.environ.get("KERAS_BUILDFIX_ENV", "") else "keras")
    importlib.import_module("keras_buildfix")
    with imports_for(keras):
        for name in FILES:
            module = None
            for form in forms_of(name):
                if f"{name}.{form}" in skip:
                    continue
                print(json.dumps([f"{name}.{form}"]), flush=True)
                begun = time.monotonic()
                try:
                    module = module or example(name, keras, Plain(keras) if way == "plain" else None)
                    said = getattr(module, form)() or "yes"
                except Exception as error:
                    said = f"no: {described(error)}"
                    if "numpy" in str(error).lower() and getattr(module, form) in module.TRAIN:
                        said = "needs a backend that trains"
                print(json.dumps([f"{name}.{form}", time.monotonic() - begun, said]), flush=True)


def described(error: Exception) -> str:
    """An error in a line."""
    if isinstance(error, NotInKerasError):
        return str(error)
    lines = [line.strip() for line in re.sub(r"\x1b\[\d+m", "", str(error)).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Exception encountered", "Arguments received", "•"))]
    if isinstance(error, AssertionError):
        frames = traceback.extract_tb(error.__traceback__)
        lines = [each.line for each in frames if Path(each.filename).parent == EXAMPLES]
        return f"no error, but wrong: {lines[-1]}"
    text = said[0] if said else ""
    text = re.sub(r"/tmp/\S*/|0x[0-9a-f]+", "", text)
    return f"{type(error).__name__}: {text}"[:160]


def results(environment: str, tox: Path, way: str, found: dict[str, str]) -> dict[str, str]:
    """Adds to `found`: form -> "yes", "no: ..." or why it can't run there. A form that ends the process is a "no"."""
    while {f"{name}.{form}" for name in FILES for form in forms_of(name)} - {*found}:
        done = environments.run(environment, tox, str(Path(__file__).resolve()), "--here", way, "--skip", *found)
        lines = [line for line in done.stdout.decode().splitlines() if line.startswith('["')]
        begun = ""
        for line in map(json.loads, lines):
            begun = line[0] if len(line) == 1 else ""
            found.update({line[0]: line[2]} if len(line) == 3 else {})
        if begun:
            found[begun] = "no: the process dies"
        elif done.returncode:
            raise SystemExit(f"{environment}: {done.stderr.decode()[-2000:]}")
    return found


# --- The page ------------------------------------------------------------------------------------


def main() -> None:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", help="environments of the matrix; the page is not written")
    parser.add_argument("--tox", type=Path, default=ROOT / ".tox", help="the folder with the environments")
    parser.add_argument("--record", type=Path, help="a file in which results are kept, to go on after an interruption")
    parser.add_argument("--recorded", action="store_true", help="run nothing: write the page from the record")
    parser.add_argument("--here", choices=("plain", "package"), help="run with the Keras of this Python, print JSON")
    parser.add_argument("--skip", nargs="*", default=[], help="forms to leave out, with --here")
    args = parser.parse_args()
    if args.here:
        run_here(args.here, args.skip)
        return
    found: dict[str, dict[str, dict[str, str]]] = {}
    if args.record and args.record.exists():
        found = json.loads(args.record.read_text("utf-8"))
    wanted = args.envs or [name for name in ENVIRONMENTS if not args.recorded or "plain" in found.get(name, {})]
    for environment in [] if args.recorded else wanted:
        for way in ("package", "plain"):
            ways = found.setdefault(environment, {})
            known = ways.get(way, {})
            if way == "plain":
                known = {**known, **{form: said for form, said in ways["package"].items() if uses_no_help(form)}}
            ways[way] = results(environment, args.tox, way, known)
            count = sum(said == "yes" for said in found[environment][way].values())
            print(f"{environment}, {way}: {count} of {len(found[environment][way])}", file=sys.stderr, flush=True)
            if args.record:
                args.record.write_text(json.dumps(found), "utf-8")
    text = page({name: found[name] for name in wanted})
    if args.envs:
        print(text)
    else:
        TARGET.write_text(text, "utf-8")
        print(f"{TARGET}: {len(wanted)} environments")


def page(found: dict[str, dict[str, dict[str, str]]]) -> str:
    """The text of the page."""
    groups: dict[str, list[str]] = {}
    for environment in found:
        groups.setdefault(environments.label(environment), []).append(environment)
    lines = [
        "# Forms of models",
        "",
        "Written by `tools/forms_table.py`, which runs each function of `examples/` twice on each Keras below: as it",
        "is, and plain. Plain means the program with what one writes without this package: no mixins, no decorators,",
        "`trainable` flags and `compile` for `freeze`, Keras's own `save_weights`, a raw variable for `raw_weight`.",
        "",
        "`yes`: works plain and with the package. `package`: only with the package; the reasons are below.",
        "`-`: can't be there, as it needs TensorFlow, or training, which Keras can't do on numpy; or, for a drawing,",
        "pydot and graphviz, which these environments lack.",
        "`no`: works neither way. A cell with two entries names the backends.",
        "",
        f"It ran on {', '.join(f'{environments.label(each)} {each.rpartition(chr(45))[2]}' for each in found)}.",
        "`newest` and `nightly` are the Kerases of `keraslatest-` and `kerasnightly-` in",
        "[the environments](environments.md). To repeat: `python tools/forms_table.py --tox .tox`.",
        "",
    ]
    names = [f"{name}.{form}" for name in FILES for form in forms_of(name)]
    for name in FILES:
        rows = [
            [form.replace("_", " ")]
            + [cell(f"{name}.{form}", {each: found[each] for each in group}) for group in groups.values()]
            for form in forms_of(name)
        ]
        lines += [f"## `examples/{name}.py`", "", *pages.table(["form", *groups], rows)]
        failed = [text for form in forms_of(name) for text in failures(f"{name}.{form}", found)]
        lines += ["", *([*failed, ""] if failed else [])]
    assert names
    return "\n".join(lines).rstrip() + "\n"


def cell(form: str, found: dict[str, dict[str, dict[str, str]]]) -> str:
    """How a form does on the backends of a Keras."""
    by_word: dict[str, list[str]] = {}
    for environment, ways in found.items():
        by_word.setdefault(word(ways["plain"].get(form, "no"), ways["package"].get(form, "no")), []).append(
            environment.rpartition("-")[2]
        )
    if len(by_word) == 1:
        return next(iter(by_word))
    return "; ".join(f"{word} ({', '.join(backends)})" for word, backends in by_word.items())


def word(plain: str, package: str) -> str:
    """The word for a pair of outcomes."""
    if package.startswith("no"):
        return "no" if plain.startswith("no") else "plain only"
    if package != "yes":
        return "-"
    return "yes" if plain == "yes" else "package"


def failures(form: str, found: dict[str, dict[str, dict[str, str]]]) -> Iterator[str]:
    """A line for each error of a form, with where it was."""
    words = {name: word(ways["plain"].get(form, "no"), ways["package"].get(form, "no")) for name, ways in found.items()}
    possible = [name for name, found_word in words.items() if found_word != "-"]
    for way, title in (("plain", "plain"), ("package", "with the package")):
        where: dict[str, list[str]] = {}
        for name in possible:
            said = found[name][way].get(form, "no: it was not run")
            if said.startswith("no: "):
                where.setdefault(short(said[4:]), []).append(f"{environments.label(name)} {name.rpartition('-')[2]}")
        for said, places in where.items():
            at = "everywhere" if len(places) == len(possible) else ", ".join(places)
            yield f"- {form.rpartition('.')[2].replace('_', ' ')}, {title}, {at}: ``{said}``"


def short(error: str) -> str:
    """The first sentence of an error, without what differs by chance."""
    text = re.sub(r"(sequential|conv\w+)_\d+\b(?=')", r"\1", error).split(". ")[0].split(", shape=")[0]
    return text if len(text) < 115 else text[:110].rsplit(" ", 1)[0] + " ..."


if __name__ == "__main__":
    main()
