"""Measures which built-in layers break their subclasses, on every environment of the matrix, and writes facts.py.

    python tools/measure_facts.py           run every environment, write keras_buildfix/_keras/facts.py
    python tools/measure_facts.py --here    measure the Keras of this Python, print JSON

The tests run the same measurement on each environment and compare it with facts.py.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from keras_buildfix import keras_info

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / ".tox" / "facts"

#: Values for constructors, by the name of the argument.
ARGUMENTS: dict[str, Any] = {
    "activation": "relu",
    "axes": 1,
    "bin_boundaries": [0.0, 1.0],
    "crop_to_aspect_ratio": True,
    "cropping": 1,
    "dims": (2, 1),
    "equation": "ab,bc->ac",
    "factor": 0.1,
    "filters": 2,
    "function": abs,
    "head_dim": 2,
    "height": 4,
    "height_factor": 0.1,
    "input_dim": 3,
    "kernel_size": 2,
    "key_dim": 2,
    "maintain": True,
    "max_number": 4,
    "max_value": 1.0,
    "n": 2,
    "num_bins": 3,
    "num_heads": 2,
    "num_key_value_heads": 2,
    "num_query_heads": 2,
    "num_tokens": 4,
    "output_dim": 2,
    "output_shape": 3,
    "output_size": 2,
    "pool_size": 2,
    "rate": 0.5,
    "scale": 1.0,
    "stddev": 0.1,
    "target_shape": (3, 1),
    "units": 2,
    "value_range": (0, 255),
    "width": 4,
    "width_factor": 0.1,
}

#: Arguments that a layer needs although its signature does not say so, by the name of the layer.
OF_LAYER: dict[str, dict[str, Any]] = {
    "CategoryEncoding": {"num_tokens": 4},
    "Discretization": {"bin_boundaries": [0.0, 1.0]},
    "GroupNormalization": {"groups": 1},
    "RandomPosterization": {"factor": 4},
    "IntegerLookup": {"max_tokens": 4, "vocabulary": [1, 2]},
    "StringLookup": {"max_tokens": 4, "vocabulary": ["a", "b"]},
}

#: Input shapes: every layer accepts one of these.
SHAPES: list[Any] = [
    (None, 8, 8, 3),
    (None, 8, 3),
    (None, 3),
    (None, 4, 4, 4, 2),
    (None, 3, 4, 4, 4),
    [(None, 8, 3)] * 2,
    [(None, 3)] * 2,
    (None, 4, 8, 8, 3),
]

#: The meaning of each symptom, by the name of its table.
SYMPTOMS = {
    "skipped_build": "The ``build()`` of a subclass does not run: a constructor marks the layer built.",
    "locked_state": "A subclass without ``build()`` can't make state in its ``__init__``: it is locked by then.",
    "built_twice": "The ``build()`` of a subclass runs again at the first call after ``layer.build(shape)``.",
}

#: Layers that need no subclass with a `build` of its own, or that can't be made here, each with the reason.
LEFT_OUT = {
    "InputLayer": "a placeholder, never built",
    "Layer": "the base class",
    "Wrapper": "needs a layer; has its own build",
    "Bidirectional": "needs a layer; has its own build",
    "TimeDistributed": "needs a layer; has its own build",
    "SpectralNormalization": "needs a layer; has its own build",
    "RNN": "needs a cell; has its own build",
    "StackedRNNCells": "needs cells; has its own build",
    "AbstractRNNCell": "abstract",
    "ClassMethod": "Keras 2's own, for methods in Functional models",
    "InstanceMethod": "Keras 2's own, for methods in Functional models",
    "InstanceProperty": "Keras 2's own, for methods in Functional models",
    "SlicingOpLambda": "Keras 2's own, for TensorFlow ops in Functional models",
    "TFOpLambda": "Keras 2's own, for TensorFlow ops in Functional models",
    "DeviceWrapper": "needs a cell; has its own build",
    "DropoutWrapper": "needs a cell; has its own build",
    "ResidualWrapper": "needs a cell; has its own build",
    "STFTSpectrogram": "needs scipy; has weights and a build of its own",
    "TFSMLayer": "needs a SavedModel; really built in its __init__",
    "TorchModuleWrapper": "needs a torch module; really built in its __init__",
    "JaxLayer": "needs a JAX function; really built in its __init__",
    "FlaxLayer": "needs a flax module; really built in its __init__",
    "PreprocessingLayer": "abstract",
    "DenseFeatures": "needs feature columns",
    "HashedCrossing": "made of other layers",
    "Hashing": "made of other layers",
    "Pipeline": "needs layers",
    "RandomAugmentationPipeline": "needs layers",
    "RandAugment": "made of other layers",
}


def measure(keras: Any) -> dict[str, list[str]]:
    """The names in ``keras.layers`` with each symptom; ``unmade`` has those that could not be examined."""
    found: dict[str, list[str]] = {**{symptom: [] for symptom in SYMPTOMS}, "unmade": []}
    base = keras.layers.Layer
    for name in sorted(dir(keras.layers)):
        cls = getattr(keras.layers, name)
        if not (isinstance(cls, type) and issubclass(cls, base)) or cls.__name__ in LEFT_OUT:
            continue
        try:
            arguments = arguments_of(cls)
            cls(**arguments)
        except Exception as error:
            if "requires TensorFlow" in str(error):
                continue  # the TensorFlow environments measure it
            found["unmade"].append(f"{name} ({type(error).__name__}: {str(error)[:100]})")
            continue
        for symptom, shows in ((is_skipped, "skipped_build"), (is_locked, "locked_state"), (is_rebuilt, "built_twice")):
            if symptom(cls, arguments):
                found[shows].append(name)
    return found


def arguments_of(cls: type) -> dict[str, Any]:
    """The arguments with which to make a built-in layer."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return {**{name: ARGUMENTS[name] for name in needed}, **OF_LAYER.get(cls.__name__, {})}


def is_skipped(cls: type, arguments: dict[str, Any]) -> bool:
    """Whether a subclass with a ``build`` counts as built right after construction."""

    class WithBuild(cls):  # type: ignore[misc, valid-type]
        def build(self, input_shape: Any) -> None:
            super().build(input_shape)

    return bool(WithBuild(**arguments).built)


def is_locked(cls: type, arguments: dict[str, Any]) -> bool:
    """Whether a subclass without a ``build`` can't make a weight in its ``__init__``."""

    class WithWeight(cls):  # type: ignore[misc, valid-type]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.extra = self.add_weight(name="extra", shape=(), initializer="ones", dtype="float32")

    try:
        WithWeight(**arguments)
    except ValueError as error:
        if "You cannot add new elements of state" not in str(error):
            raise
        return True
    return False


def is_rebuilt(cls: Any, arguments: dict[str, Any]) -> bool:
    """Whether a subclass whose ``build`` calls ``super().build`` is not built after ``layer.build(shape)``."""

    class WithBuild(cls):  # type: ignore[misc, valid-type]
        def build(self, input_shape: Any) -> None:
            super().build(input_shape)

    if keras_info(cls).generation == 3:
        return False  # Keras 3 wraps the `build` of every layer, and marks it as built
    for shape in SHAPES:
        layer = WithBuild(**arguments)
        try:
            layer.build(shape)
        except Exception:  # this layer takes another shape
            continue
        return not layer.built
    raise AssertionError(f"{cls.__name__} was built with none of {SHAPES}")


def main() -> None:
    """Runs every environment, then writes the table."""
    if sys.argv[1:] == ["--here"]:
        print(json.dumps(here(), indent=1))
        return
    if len(sys.argv) == 3 and sys.argv[1] == "--into":
        into = Path(sys.argv[2])
        into.parent.mkdir(parents=True, exist_ok=True)
        into.write_text(json.dumps(here()))
        return
    sys.path.insert(0, str(ROOT))
    from planning import search_path

    from run_tests import installed_tox

    command = f"python {Path(__file__).relative_to(ROOT)} --into {REPORTS}/{{env_name}}.json"
    tox = [installed_tox(), "-m", "tox", "run-parallel", "-p", "2", "-m", "matrix", "-x", f"testenv.commands={command}"]
    subprocess.run(list(map(str, tox)), cwd=ROOT, check=True, env={**os.environ, "PATH": search_path()})
    reports = [json.loads(file.read_text()) for file in sorted(REPORTS.glob("*.json"))]
    for report in reports:
        if report["unmade"]:
            print(f"not examined on {report['version']}: {', '.join(report['unmade'])}")
    (ROOT / "keras_buildfix" / "_keras" / "facts.py").write_text(facts_module(reports))


def here() -> dict[str, Any]:
    """The measurement of the Keras of this process, with its version."""
    info = keras_info()
    keras = __import__(info.package)
    return {"version": info.version, "backend": info.backend, **measure(keras)}


def facts_module(reports: list[dict[str, Any]]) -> str:
    """The text of facts.py: one row for each release with a change."""
    from packaging.version import Version

    by_release: dict[tuple[int, int], dict[str, set[str]]] = {}
    for report in reports:
        release = Version(report["version"]).release[:2]
        row = by_release.setdefault((release[0], release[1]), {symptom: set() for symptom in SYMPTOMS})
        for symptom, names in row.items():
            names.update(report[symptom])
    measured = sorted({report["version"] for report in reports}, key=Version)
    text = [
        '"""Measured tables of the built-in layers whose subclasses break. tools/measure_facts.py writes this file.\n',
        "Each row has the first release for which it holds, and the names in ``keras.layers``. Measured on",
        *_wrapped(measured),
        '"""\n',
        "from __future__ import annotations\n",
    ]
    for symptom, what in SYMPTOMS.items():
        text += [f"#: {what}", f"{symptom.upper()}: list[tuple[str, tuple[str, ...]]] = ["]
        before = None
        for release, row in sorted(by_release.items()):
            names = tuple(sorted(row[symptom]))
            if names != before:
                text.append(f'    ("{release[0]}.{release[1]}", {_literal(names)}),')
            before = names
        text.append("]\n")
    return "\n".join(text)


def _literal(names: tuple[str, ...]) -> str:
    if len(names) < 2:
        return repr(names).replace("'", '"')
    return "(\n" + "".join(f'        "{name}",\n' for name in names) + "    )"


def _wrapped(versions: list[str]) -> list[str]:
    import textwrap

    return textwrap.wrap(", ".join(versions) + ".", 100)


if __name__ == "__main__":
    main()
