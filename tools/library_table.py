"""Writes docs/library_table.md: how many tests two published libraries pass, plain and with `PortableLayerMixin`.

    python tools/library_table.py                            run the environments below, write the page
    python tools/library_table.py --envs keras3.9-tensorflow print what one environment gives, write nothing
    python tools/library_table.py --tox /path/to/.tox        take the environments from another folder
    python tools/library_table.py --here                     test with the Keras of this Python, print JSON

The libraries are not changed. Each layer class is tested unchanged, and as a subclass with the mixin as its first
base and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "library_table.md"
ENVIRONMENTS = (
    *("keras2.15-tensorflow", "keras3.0-tensorflow", "keras3.3-tensorflow", "keras3.6-tensorflow"),
    *("keras3.9-tensorflow", "keras3.11-tensorflow", "keras3.13-tensorflow", "keraslatest-tensorflow"),
)
IMAGE, ROW = (4, 8, 8, 4), (4, 8)


@dataclass(frozen=True)
class Library:
    """A published library, and how to make its layers: name -> (arguments, shape of the data)."""

    requirement: str
    about: str
    module: str
    layers: dict[str, tuple[tuple[Any, ...], tuple[int, ...]]]
    #: Modules of the library that themselves make a layer of this name.
    makes: dict[str, str] = field(default_factory=dict)
    #: What a user does to a trained layer before saving it.
    finish: Callable[[Any, Any], Any] = lambda layer, x: None


LIBRARIES = (
    Library(
        "deel-lip==1.5.0",
        "16 layers with a bounded Lipschitz constant, written for Keras 2. What fails with the mixin is their own\n"
        "code: it calls `read_value()` of a weight that Keras made, sets an item of a shape, or gives a built-in's\n"
        "constructor what only that of Keras 2 takes.",
        "deel.lip.layers",
        {
            "ScaledAveragePooling2D": ((), IMAGE),
            "ScaledL2NormPooling2D": ((), IMAGE),
            "ScaledGlobalAveragePooling2D": ((), IMAGE),
            "ScaledGlobalL2NormPooling2D": ((), IMAGE),
            "InvertibleDownSampling": (((2, 2),), IMAGE),
            "InvertibleUpSampling": (((2, 2),), IMAGE),
            "MaxMin": ((), ROW),
            "GroupSort": ((2,), ROW),
            "GroupSort2": ((), ROW),
            "FullSort": ((), ROW),
            "Householder": ((), ROW),
            "SpectralDense": ((3,), ROW),
            "FrobeniusDense": ((3,), ROW),
            "SpectralConv2D": ((3, (3, 3)), IMAGE),
            "FrobeniusConv2D": ((3, (3, 3)), IMAGE),
            "SpectralConv2DTranspose": ((3, (3, 3)), IMAGE),
        },
    ),
    Library(
        "tfkan==0.1.1",
        "4 Kolmogorov-Arnold layers. Each keeps its grid in a `tf.Variable`, which is moved to the data before the\n"
        "layer is saved. Plain Keras 3 leaves it out of files and clones without a word.",
        "tfkan.layers",
        {
            "DenseKAN": ((3,), ROW),
            "Conv1DKAN": ((3, 3), (4, 8, 2)),
            "Conv2DKAN": ((3, 3), IMAGE),
            "Conv3DKAN": ((3, 2), (2, 4, 4, 4, 2)),
        },
        {"DenseKAN": "tfkan.layers.convolution"},
        lambda layer, x: layer.update_grid_from_samples(__import__("tensorflow").constant(x)),
    ),
)


# --- The tests of one layer ----------------------------------------------------------------------


class Case:
    """A layer of a library, with or without the mixin, in a model that is trained once for all tests."""

    def __init__(self, keras: Any, library: Library, name: str, cls: type) -> None:
        import numpy as np

        self.keras, self.library, self.name, self.cls = keras, library, name, cls
        self.arguments, shape = library.layers[name]
        self.data = np.random.RandomState(0).rand(*shape).astype("float32")

    def model(self) -> Any:
        """A new model with the layer."""
        inputs = self.keras.Input(self.data.shape[1:])
        return self.keras.Model(inputs, self.cls(*self.arguments, name="layer")(inputs))

    @functools.cached_property
    def trained(self) -> tuple[Any, Any]:
        """A model after training, and the weights that it was trained from."""
        import numpy as np

        model = self.model()
        before = [weight.numpy() for weight in model.trainable_weights]
        model.compile("sgd", "mse", run_eagerly=True)  # twice as fast for so few steps
        target = np.random.RandomState(1).rand(*np.shape(model(self.data)))
        for _ in range(2):
            model.train_on_batch(self.data, target)
        return model, before

    @functools.cached_property
    def finished(self) -> Any:
        """The trained model, ready to be saved."""
        model, _ = self.trained
        self.library.finish(model.get_layer("layer"), self.data)
        return model


def trains(case: Case) -> None:
    """Every trainable weight changes, and stays finite."""
    import numpy as np

    model, before = case.trained
    after = [weight.numpy() for weight in model.trainable_weights]
    assert all(np.isfinite(new).all() for new in after), "a weight is not finite"
    assert all((new != old).any() for old, new in zip(before, after)), "a weight is the same"


def goes_through_a_file_of_weights(case: Case) -> None:
    """A new model that loads the file gives the same outputs."""
    with tempfile.TemporaryDirectory() as folder:
        case.finished.save_weights(f"{folder}/model.weights.h5")
        other = case.model()
        other.load_weights(f"{folder}/model.weights.h5")
    assert_equal(case, other)


def goes_through_a_file_of_the_model(case: Case) -> None:
    """The model loaded from the file gives the same outputs."""
    with tempfile.TemporaryDirectory() as folder:
        case.finished.save(f"{folder}/model.keras")
        other = case.keras.models.load_model(f"{folder}/model.keras")
    assert_equal(case, other)


def is_cloned(case: Case) -> None:
    """A clone with the same weights gives the same outputs."""
    other = case.keras.models.clone_model(case.finished)
    other.set_weights(case.finished.get_weights())
    assert_equal(case, other)


def assert_equal(case: Case, other: Any) -> None:
    """Fails unless another model gives the same outputs as the trained one."""
    import numpy as np

    expected, found = (model(case.data, training=False).numpy() for model in (case.finished, other))
    assert np.allclose(expected, found, atol=1e-5), "no error, but other outputs"


TESTS = (trains, goes_through_a_file_of_weights, goes_through_a_file_of_the_model, is_cloned)


def results_here() -> dict[str, dict[str, dict[str, str]]]:
    """Library -> "plain" or "mixin" -> test of a layer -> "" if it passes, else the error."""
    warnings.simplefilter("ignore")
    import tensorflow as tf

    found: dict[str, dict[str, dict[str, str]]] = {}
    for library in LIBRARIES:
        for way in ("plain", "mixin"):
            with classes_of(library, way) as classes:
                cases = [Case(tf.keras, library, name, cls) for name, cls in classes.items()]
                results = {f"{case.name} {test.__name__}": outcome(test, case) for case in cases for test in TESTS}
            found.setdefault(library.requirement, {})[way] = results
    return found


@contextlib.contextmanager
def classes_of(library: Library, way: str) -> Iterator[dict[str, type]]:
    """The library's classes by name, plain or with the mixin; inside the block the library itself uses them too."""
    import tensorflow as tf

    from keras_buildfix import PortableLayerMixin

    module = importlib.import_module(library.module)
    classes = {name: getattr(module, name) for name in library.layers}
    if way == "plain":  # both libraries have registered these classes already
        yield classes
        return
    mixed = {name: type(name, (PortableLayerMixin, cls), {}) for name, cls in classes.items()}
    for name, home in library.makes.items():
        setattr(importlib.import_module(home), name, mixed[name])
    registered = tf.keras.utils.get_custom_objects()
    before = dict(registered)
    registered.update(mixed)
    try:
        yield mixed
    finally:
        registered.clear()
        registered.update(before)
        for name, home in library.makes.items():
            setattr(importlib.import_module(home), name, classes[name])


def outcome(test: Callable[[Case], None], case: Case) -> str:
    """Runs one test and returns its error, or an empty text."""
    try:
        test(case)
    except Exception as error:
        lines = [line.strip() for line in re.sub(r"\x1b\[\d+m", "", str(error)).splitlines() if line.strip()]
        said = [line for line in lines if not line.startswith(("Exception encountered", "Arguments received", "•"))]
        return f"{type(error).__name__}: {said[0] if said else ''}"[:200]
    return ""


# --- All environments, and the page --------------------------------------------------------------


def main() -> None:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", help="environments of the matrix; the page is not written")
    parser.add_argument("--tox", type=Path, default=ROOT / ".tox", help="the folder with the environments")
    parser.add_argument("--here", action="store_true", help="test with the Keras of this Python, print JSON")
    args = parser.parse_args()
    if args.here:
        print(json.dumps(results_here()))
        return
    libraries = args.tox / "library_table"
    results = {name: run(name, args.tox, libraries) for name in args.envs or ENVIRONMENTS}
    text = page(results)
    if args.envs:
        print(text)
    else:
        TARGET.write_text(text, "utf-8")
        print(f"{TARGET}: {len(results)} environments")


def run(environment: str, tox: Path, libraries: Path) -> dict[str, dict[str, dict[str, str]]]:
    """The results of `--here` in an environment; first it installs the libraries into a folder of their own."""
    python = tox / environment / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{python} does not exist: make it with `tox run -e {environment} --notest`")
    if not libraries.exists():
        wanted = [library.requirement for library in LIBRARIES]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(libraries), *wanted]
        subprocess.run(pip, check=True)
    setting = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONHASHSEED": "0"}
    setting |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{libraries}", "CUDA_VISIBLE_DEVICES": "-1"}
    setting |= {"TF_USE_LEGACY_KERAS": "1"} if "tf_keras" in environment else {}
    command = [str(python), str(Path(__file__).resolve()), "--here"]
    done = subprocess.run(command, env={**os.environ, **setting}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{environment}: the tests could not run, see above.")
    found: dict[str, dict[str, dict[str, str]]] = json.loads(done.stdout.splitlines()[-1])
    for library, ways in found.items():
        print(environment, library, *(f"{way} {passed(ways[way])}" for way in ways), file=sys.stderr)
    return found


def passed(results: dict[str, str]) -> str:
    """How many of all tests pass."""
    return f"{sum(not error for error in results.values())} of {len(results)}"


def page(results: dict[str, dict[str, dict[str, dict[str, str]]]]) -> str:
    """The text of the page."""
    names = [library.requirement.replace("==", " ") for library in LIBRARIES]
    numbers = [
        f"{len(library.layers) * len(TESTS)} for the {len(library.layers)} of {name}"
        for library, name in zip(LIBRARIES, names)
    ]
    lines = [
        "# Real libraries, before and after",
        "",
        "Written by `tools/library_table.py`: how many tests pass, plain and with one mixin. The libraries are as",
        "published. With the mixin means `class DenseKAN(PortableLayerMixin, tfkan.layers.DenseKAN): pass` for each of",
        "their layers, and no other edit. All are written for TensorFlow. Each layer has the",
        f"same {len(TESTS)} tests, listed below the table, so {', '.join(numbers)}.",
        "`newest` is the Keras of `keraslatest-tensorflow` in [the environments](environments.md). To repeat: `python",
        "tools/library_table.py`, in a clone with the environments of tox.",
        "",
        "<!-- --8<-- [start:table] -->",  # the home page shows it, too
        f"| Keras | {' | '.join(f'{name}, plain | {name}, with the mixin' for name in names)} |",
        f"|---{'|---|---' * len(names)}|",
    ]
    for environment, libraries in results.items():
        cells = [passed(libraries[library.requirement][way]) for library in LIBRARIES for way in ("plain", "mixin")]
        lines.append(f"| {label(environment)} | {' | '.join(cells)} |")
    lines += ["<!-- --8<-- [end:table] -->", "", "The tests of a layer, in a functional model:", ""]
    lines += [f"- {test.__name__.replace('_', ' ')}: {lower(test.__doc__)}" for test in TESTS]
    for library, name in zip(LIBRARIES, names):
        lines += ["", f"## {name}", "", library.about]
        for way, title in (("plain", "Plain"), ("mixin", "With the mixin")):
            ways = {label(environment): found[library.requirement][way] for environment, found in results.items()}
            failed = list(failures(ways))
            lines += ["", *([f"{title}, these fail:", "", *failed] if failed else [f"{title}, nothing fails."])]
    return "\n".join(lines) + "\n"


def lower(text: str | None) -> str:
    """A docstring that begins with a small letter."""
    assert text
    return text[0].lower() + text[1:]


def failures(results: dict[str, dict[str, str]]) -> Iterator[str]:
    """A line for each error, with its Keras versions and layers."""
    versions: dict[tuple[str, str], list[str]] = {}  # by layer and error
    for keras, tests in results.items():
        for layer, error in {(test.split(" ")[0], error): None for test, error in tests.items() if error}:
            versions.setdefault((layer, error), []).append(keras)
    layers: dict[tuple[str, str], list[str]] = {}  # by error and versions
    for (layer, error), where in versions.items():
        layers.setdefault((error, ", ".join(where)), []).append(layer)
    for (error, where), names in layers.items():
        yield f"- {where}: ``{error}`` ({', '.join(names)})"


def label(environment: str) -> str:
    """The name of an environment's Keras version on the page."""
    return environment.rpartition("-")[0].removeprefix("keras").replace("latest", "newest")


if __name__ == "__main__":
    main()
