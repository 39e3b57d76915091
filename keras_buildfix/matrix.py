"""The matrix: which requirements and variables belong to a Keras, a backend and a Python, so that it trains and saves.

The tables below are data; the functions read them. It needs no Keras and no tox, and nothing but ``packaging``.
``tools/measure_cell.py`` measures a cell again, and proposes the row of a new Keras release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

BACKENDS = ("tensorflow", "jax", "torch", "numpy")
#: The Pythons on which cells were measured, and the one that every cell runs on.
PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
USUAL_PYTHON = "3.11"


class Row(NamedTuple):
    """One Keras: its requirement, the bounds on each backend, and the Pythons that have wheels of it.

    Attributes:
        name: The factor in the name of an environment: ``keras3.9``, ``keras2.15``, ``tfkeras2.19``, ``keraslatest``.
        requirement: What installs this Keras; empty where TensorFlow brings it (2.12 to 2.15).
        tensorflow: The bounds on TensorFlow.
        jax: The bounds on jax; empty if this Keras has no such backend.
        first_python: The oldest Python that this Keras supports.
        tensorflow_pythons: The oldest and newest Python with wheels of that TensorFlow.
    """

    name: str
    requirement: str
    tensorflow: str
    jax: str
    first_python: str
    tensorflow_pythons: tuple[str, str]


#: jax 0.6.1 removed what `fit` of Keras <= 3.9 calls. Without a floor, Python 3.14 gets a jax that has no jaxlib.
_OLD_JAX, _JAX = ">=0.4.30,<0.6.1", ">=0.4.30"
#: With pip and `PIP_FIND_LINKS` this can be a build for CPUs; from an index on Linux it brings CUDA.
_TORCH = "torch==2.13.0"
#: The wheels of TensorFlow: 2.12-2.15, 2.16-2.19, 2.20, 2.21.
_TO_311, _TO_312, _TO_313, _FROM_310 = ("3.9", "3.11"), ("3.9", "3.12"), ("3.9", "3.13"), ("3.10", "3.13")

#: TensorFlow is the newest that asks for no newer Keras: 2.17 wants Keras 3.2, 2.18 and 2.19 3.5, 2.20 3.10, 2.21 3.12.
ROWS = (
    Row("keras2.12", "", "~=2.12.0", "", "3.9", _TO_311),
    Row("keras2.13", "", "~=2.13.0", "", "3.9", _TO_311),
    Row("keras2.14", "", "~=2.14.0", "", "3.9", _TO_311),
    Row("keras2.15", "", "~=2.15.0", "", "3.9", _TO_311),
    Row("tfkeras2.16", "tf_keras~=2.16.0", "~=2.16.1", "", "3.9", _TO_312),
    Row("tfkeras2.17", "tf_keras~=2.17.0", "~=2.17.0", "", "3.9", _TO_312),
    Row("tfkeras2.18", "tf_keras~=2.18.0", "~=2.18.0", "", "3.9", _TO_312),
    Row("tfkeras2.19", "tf_keras~=2.19.0", "~=2.19.0", "", "3.9", _TO_312),
    Row("tfkeras2.20", "tf_keras~=2.20.0", "~=2.20.0", "", "3.9", _TO_313),
    Row("tfkeras2.21", "tf_keras~=2.21.0", "~=2.21.0", "", "3.9", _FROM_310),
    Row("keras3.0", "keras~=3.0.5", "~=2.16.1", _OLD_JAX, "3.9", _TO_312),
    Row("keras3.1", "keras~=3.1.1", "~=2.16.1", _OLD_JAX, "3.9", _TO_312),
    Row("keras3.2", "keras~=3.2.1", "~=2.16.1", _OLD_JAX, "3.9", _TO_312),
    Row("keras3.3", "keras~=3.3.3", "~=2.16.1", _OLD_JAX, "3.9", _TO_312),
    Row("keras3.4", "keras~=3.4.1", "~=2.16.1", _OLD_JAX, "3.9", _TO_312),
    Row("keras3.5", "keras~=3.5.0", "~=2.19.0", _OLD_JAX, "3.9", _TO_312),
    Row("keras3.6", "keras~=3.6.0", "~=2.19.0", _OLD_JAX, "3.9", _TO_312),
    Row("keras3.7", "keras~=3.7.0", "~=2.19.0", _OLD_JAX, "3.9", _TO_312),
    Row("keras3.8", "keras~=3.8.0", "~=2.19.0", _OLD_JAX, "3.9", _TO_312),
    Row("keras3.9", "keras~=3.9.2", "~=2.19.0", _OLD_JAX, "3.9", _TO_312),
    Row("keras3.10", "keras~=3.10.0", "~=2.20.0", _JAX, "3.9", _TO_313),
    Row("keras3.11", "keras~=3.11.3", "~=2.20.0", _JAX, "3.10", _TO_313),
    Row("keras3.12", "keras~=3.12.4", ">=2.21.0", _JAX, "3.10", _FROM_310),
    Row("keras3.13", "keras~=3.13.2", ">=2.21.0", _JAX, "3.11", _FROM_310),
    Row("keras3.14", "keras~=3.14.1", ">=2.21.0", _JAX, "3.11", _FROM_310),
    Row("keras3.15", "keras~=3.15.1", ">=2.21.0", _JAX, "3.11", _FROM_310),
    Row("keraslatest", "keras>=3.15.1", ">=2.21.0", _JAX, "3.11", _FROM_310),
    Row("kerasnightly", "keras-nightly", ">=2.21.0", _JAX, "3.11", _FROM_310),
)
#: The oldest and newest Python with wheels of the other backends. The numpy backend imports jax.
_WHEELS = {"jax": ("3.9", "3.13"), "numpy": ("3.9", "3.13"), "torch": ("3.10", "3.13")}
#: These import packaging and do not require it (measured 2026-11-26: `import keras` fails; 3.4 requires it).
_WITHOUT_PACKAGING = frozenset({"keras3.0", "keras3.1", "keras3.2", "keras3.3"})
#: When cells were measured, and with which versions: installed, imported, trained for a step (numpy can't),
#: saved, loaded; those that tox.ini has run all our tests, too. `tools/measure_cell.py` prints such lines.
MEASURED = {
    "keras2.12-tensorflow": "2026-11-26, Python 3.11: Keras 2.12.0, tensorflow 2.12.1, numpy 1.24.3",
    "keras2.13-tensorflow": "2026-11-26, Python 3.11: Keras 2.13.1, tensorflow 2.13.1, numpy 1.24.3",
    "keras2.14-tensorflow": "2026-11-26, Python 3.11: Keras 2.14.0, tensorflow 2.14.1, numpy 1.26.4",
    "keras2.15-tensorflow": "2026-11-26, Python 3.11: Keras 2.15.0, tensorflow 2.15.1, numpy 1.26.4",
    "tfkeras2.16-tensorflow": "2026-11-26, Python 3.11: Keras 2.16.0, tensorflow 2.16.2, numpy 1.26.4",
    "tfkeras2.17-tensorflow": "2026-11-26, Python 3.11: Keras 2.17.0, tensorflow 2.17.1, numpy 1.26.4",
    "tfkeras2.18-tensorflow": "2026-11-26, Python 3.11: Keras 2.18.0, tensorflow 2.18.1, numpy 2.0.2",
    "tfkeras2.19-tensorflow": "2026-11-26, Python 3.11: Keras 2.19.0, tensorflow 2.19.1, numpy 2.1.3",
    "tfkeras2.20-tensorflow": "2026-11-26, Python 3.11: Keras 2.20.1, tensorflow 2.20.0, numpy 2.4.6",
    "tfkeras2.21-tensorflow": "2026-11-26, Python 3.11: Keras 2.21.0, tensorflow 2.21.0, numpy 2.4.6",
    "keras3.0-tensorflow": "2026-11-26, Python 3.11: Keras 3.0.5, tensorflow 2.16.2, numpy 1.26.4",
    "keras3.0-jax": "2026-11-26, Python 3.11: Keras 3.0.5, jax 0.6.0, numpy 2.4.6",
    "keras3.0-torch": "2026-11-26, Python 3.11: Keras 3.0.5, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.0-numpy": "2026-11-26, Python 3.11: Keras 3.0.5, jax 0.6.0, numpy 2.4.6",
    "keras3.1-tensorflow": "2026-11-26, Python 3.11: Keras 3.1.1, tensorflow 2.16.2, numpy 1.26.4",
    "keras3.1-jax": "2026-11-26, Python 3.11: Keras 3.1.1, jax 0.6.0, numpy 2.4.6",
    "keras3.1-torch": "2026-11-26, Python 3.11: Keras 3.1.1, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.1-numpy": "2026-11-26, Python 3.11: Keras 3.1.1, jax 0.6.0, numpy 2.4.6",
    "keras3.2-tensorflow": "2026-11-26, Python 3.11: Keras 3.2.1, tensorflow 2.16.2, numpy 1.26.4",
    "keras3.2-jax": "2026-11-26, Python 3.11: Keras 3.2.1, jax 0.6.0, numpy 2.4.6",
    "keras3.2-torch": "2026-11-26, Python 3.11: Keras 3.2.1, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.2-numpy": "2026-11-26, Python 3.11: Keras 3.2.1, jax 0.6.0, numpy 2.4.6",
    "keras3.3-tensorflow": "2026-11-26, Python 3.11: Keras 3.3.3, tensorflow 2.16.2, numpy 1.26.4",
    "keras3.3-jax": "2026-11-26, Python 3.11: Keras 3.3.3, jax 0.6.0, numpy 2.4.6",
    "keras3.3-torch": "2026-11-26, Python 3.11: Keras 3.3.3, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.3-numpy": "2026-11-26, Python 3.11: Keras 3.3.3, jax 0.6.0, numpy 2.4.6",
    "keras3.4-tensorflow": "2026-11-26, Python 3.11: Keras 3.4.1, tensorflow 2.16.2, numpy 1.26.4",
    "keras3.4-jax": "2026-11-26, Python 3.11: Keras 3.4.1, jax 0.6.0, numpy 2.4.6",
    "keras3.4-torch": "2026-11-26, Python 3.11: Keras 3.4.1, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.4-numpy": "2026-11-26, Python 3.11: Keras 3.4.1, jax 0.6.0, numpy 2.4.6",
    "keras3.5-tensorflow": "2026-11-26, Python 3.11: Keras 3.5.0, tensorflow 2.19.1, numpy 2.1.3",
    "keras3.5-jax": "2026-11-26, Python 3.11: Keras 3.5.0, jax 0.6.0, numpy 2.4.6",
    "keras3.5-torch": "2026-11-26, Python 3.11: Keras 3.5.0, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.5-numpy": "2026-11-26, Python 3.11: Keras 3.5.0, jax 0.6.0, numpy 2.4.6",
    "keras3.6-tensorflow": "2026-11-26, Python 3.11: Keras 3.6.0, tensorflow 2.19.1, numpy 2.1.3",
    "keras3.6-jax": "2026-11-26, Python 3.11: Keras 3.6.0, jax 0.6.0, numpy 2.4.6",
    "keras3.6-torch": "2026-11-26, Python 3.11: Keras 3.6.0, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.6-numpy": "2026-11-26, Python 3.11: Keras 3.6.0, jax 0.6.0, numpy 2.4.6",
    "keras3.7-tensorflow": "2026-11-26, Python 3.11: Keras 3.7.0, tensorflow 2.19.1, numpy 2.1.3",
    "keras3.7-jax": "2026-11-26, Python 3.11: Keras 3.7.0, jax 0.6.0, numpy 2.4.6",
    "keras3.7-torch": "2026-11-26, Python 3.11: Keras 3.7.0, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.7-numpy": "2026-11-26, Python 3.11: Keras 3.7.0, jax 0.6.0, numpy 2.4.6",
    "keras3.8-tensorflow": "2026-11-26, Python 3.11: Keras 3.8.0, tensorflow 2.19.1, numpy 2.1.3",
    "keras3.8-jax": "2026-11-26, Python 3.11: Keras 3.8.0, jax 0.6.0, numpy 2.4.6",
    "keras3.8-torch": "2026-11-26, Python 3.11: Keras 3.8.0, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.8-numpy": "2026-11-26, Python 3.11: Keras 3.8.0, jax 0.6.0, numpy 2.4.6",
    "keras3.9-tensorflow": "2026-11-26, Python 3.11: Keras 3.9.2, tensorflow 2.19.1, numpy 2.1.3",
    "keras3.9-jax": "2026-11-26, Python 3.11: Keras 3.9.2, jax 0.6.0, numpy 2.4.6",
    "keras3.9-torch": "2026-11-26, Python 3.11: Keras 3.9.2, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.9-numpy": "2026-11-26, Python 3.11: Keras 3.9.2, jax 0.6.0, numpy 2.4.6",
    "keras3.10-tensorflow": "2026-11-26, Python 3.11: Keras 3.10.0, tensorflow 2.20.0, numpy 2.4.6",
    "keras3.10-jax": "2026-11-26, Python 3.11: Keras 3.10.0, jax 0.10.2, numpy 2.4.6",
    "keras3.10-torch": "2026-11-26, Python 3.11: Keras 3.10.0, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.10-numpy": "2026-11-26, Python 3.11: Keras 3.10.0, jax 0.10.2, numpy 2.4.6",
    "keras3.11-tensorflow": "2026-11-26, Python 3.11: Keras 3.11.3, tensorflow 2.20.0, numpy 2.4.6",
    "keras3.11-jax": "2026-11-26, Python 3.11: Keras 3.11.3, jax 0.10.2, numpy 2.4.6",
    "keras3.11-torch": "2026-11-26, Python 3.11: Keras 3.11.3, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.11-numpy": "2026-11-26, Python 3.11: Keras 3.11.3, jax 0.10.2, numpy 2.4.6",
    "keras3.12-tensorflow": "2026-11-26, Python 3.11: Keras 3.12.4, tensorflow 2.21.0, numpy 2.4.6",
    "keras3.12-jax": "2026-11-26, Python 3.11: Keras 3.12.4, jax 0.10.2, numpy 2.4.6",
    "keras3.12-torch": "2026-11-26, Python 3.11: Keras 3.12.4, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.12-numpy": "2026-11-26, Python 3.11: Keras 3.12.4, jax 0.10.2, numpy 2.4.6",
    "keras3.13-tensorflow": "2026-11-26, Python 3.11: Keras 3.13.2, tensorflow 2.21.0, numpy 2.4.6",
    "keras3.13-jax": "2026-11-26, Python 3.11: Keras 3.13.2, jax 0.10.2, numpy 2.4.6",
    "keras3.13-torch": "2026-11-26, Python 3.11: Keras 3.13.2, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.13-numpy": "2026-11-26, Python 3.11: Keras 3.13.2, jax 0.10.2, numpy 2.4.6",
    "keras3.14-tensorflow": "2026-11-26, Python 3.11: Keras 3.14.1, tensorflow 2.21.0, numpy 2.4.6",
    "keras3.14-jax": "2026-11-26, Python 3.11: Keras 3.14.1, jax 0.10.2, numpy 2.4.6",
    "keras3.14-torch": "2026-11-26, Python 3.11: Keras 3.14.1, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.14-numpy": "2026-11-26, Python 3.11: Keras 3.14.1, jax 0.10.2, numpy 2.4.6",
    "keras3.15-tensorflow": "2026-11-26, Python 3.11: Keras 3.15.1, tensorflow 2.21.0, numpy 2.4.6",
    "keras3.15-jax": "2026-11-26, Python 3.11: Keras 3.15.1, jax 0.10.2, numpy 2.4.6",
    "keras3.15-torch": "2026-11-26, Python 3.11: Keras 3.15.1, torch 2.13.0+cpu, numpy 2.4.6",
    "keras3.15-numpy": "2026-11-26, Python 3.11: Keras 3.15.1, jax 0.10.2, numpy 2.4.6",
    "keraslatest-tensorflow": "2026-11-26, Python 3.11: Keras 3.15.1, tensorflow 2.21.0, numpy 2.4.6",
    "keraslatest-jax": "2026-11-26, Python 3.11: Keras 3.15.1, jax 0.10.2, numpy 2.4.6",
    "keraslatest-torch": "2026-11-26, Python 3.11: Keras 3.15.1, torch 2.13.0+cpu, numpy 2.4.6",
    "keraslatest-numpy": "2026-11-26, Python 3.11: Keras 3.15.1, jax 0.10.2, numpy 2.4.6",
    "kerasnightly-tensorflow": "2026-11-26, Python 3.11: Keras 3.16.0.dev2026102704, tensorflow 2.21.0, numpy 2.4.6",
    "kerasnightly-jax": "2026-11-26, Python 3.11: Keras 3.16.0.dev2026102704, jax 0.10.2, numpy 2.4.6",
    "kerasnightly-torch": "2026-11-26, Python 3.11: Keras 3.16.0.dev2026102704, torch 2.13.0+cpu, numpy 2.4.6",
    "kerasnightly-numpy": "2026-11-26, Python 3.11: Keras 3.16.0.dev2026102704, jax 0.10.2, numpy 2.4.6",
    "py310-keras3.12-tensorflow": "2026-11-26, Python 3.10: Keras 3.12.4, tensorflow 2.21.0, numpy 2.2.6",
    "py313-keraslatest-tensorflow": "2026-11-26, Python 3.13: Keras 3.15.1, tensorflow 2.21.0, numpy 2.5.5",
    "py39-keras2.12-tensorflow": "2026-11-26, Python 3.9: Keras 2.12.0, tensorflow 2.12.0, numpy 1.23.5",
    "py312-keras3.6-jax": "2026-11-26, Python 3.12: Keras 3.6.0, jax 0.6.0, numpy 2.5.5",
    "py39-keras3.10-jax": "2026-11-26, Python 3.9: Keras 3.10.0, jax 0.4.30, numpy 2.0.2",
}
#: Distributions of which one stands for another: if an author names one of them, they chose it.
SAME = (
    frozenset({"tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-macos", "tf-nightly", "tf-nightly-cpu"}),
    frozenset({"keras", "keras-nightly"}),
)


class Environment(NamedTuple):
    """An environment of the matrix.

    Attributes:
        name: Its name for tox, such as ``py311-keras3.9-jax``.
        keras: The factor of its Keras, such as ``keras3.9``.
        backend: ``"tensorflow"``, ``"jax"``, ``"torch"`` or ``"numpy"``.
        python: Its Python, such as ``"3.11"``.
        requirements: What to install, with markers where it depends on the platform.
        last: What to install after everything else, over what is there and without its dependencies: TensorFlow, and
            most packages for Keras, bring a keras that lies in the same folder as keras-nightly.
        variables: The environment variables that choose this Keras and backend.
    """

    name: str
    keras: str
    backend: str
    python: str
    requirements: tuple[str, ...]
    last: tuple[str, ...]
    variables: dict[str, str]


class Factors(NamedTuple):
    """What the name of an environment says: its Keras, its backend, and its Python if the name has one."""

    keras: str
    backend: str
    python: str | None


def row(keras: str) -> Row:
    """The row of a Keras.

    Args:
        keras: A version (``"3.9"``, ``"2.15"``), ``"latest"``, ``"nightly"``, or a factor (``"tfkeras2.19"``).

    Returns:
        Its row.

    Raises:
        ValueError: If the table has no such Keras, with the nearest ones.

    Examples:
        >>> from keras_buildfix.matrix import row
        >>> row("3.9").requirement
        'keras~=3.9.2'
    """
    text = keras.strip().lower().replace("tf_keras", "tfkeras")
    found = [each for each in ROWS if text in (each.name, each.name[len("keras") :])]
    if found:
        return found[0]
    known = [each.name for each in ROWS]
    version = text.partition("keras")[2] if "keras" in text else text
    near = [name for name in known if name.endswith(f"keras{version}")] or nearest(f"keras{version}", known)
    raise ValueError(f"The matrix has no Keras {keras!r}. The nearest: {', '.join(near)}. It has {_all()}.")


def impossible(keras: str, backend: str, python: str | None = None) -> str:
    """Why a Keras can't run on a backend and a Python; an empty text if it can.

    Args:
        keras: A Keras, as for `row`.
        backend: A backend.
        python: A Python such as ``"3.11"``; without one, any Python will do.

    Returns:
        The reason in a sentence without its full stop, or ``""``.

    Raises:
        ValueError: If the Keras or the backend is unknown.

    Examples:
        >>> from keras_buildfix.matrix import impossible
        >>> impossible("2.15", "jax")
        'Keras 2.15 runs on TensorFlow only'
    """
    if backend not in BACKENDS:
        near = nearest(backend, BACKENDS)
        raise ValueError(f"The matrix has no backend {backend!r}. The nearest: {', '.join(near)}.")
    found = row(keras)
    if backend != "tensorflow" and not found.jax:
        return f"{_title(found)} runs on TensorFlow only"
    able = pythons(keras, backend)
    if python is not None and python not in able:
        return f"{_title(found)} on {backend} has wheels for, and was measured on, Python {_any_of(able)}, not {python}"
    return ""


def pythons(keras: str, backend: str) -> tuple[str, ...]:
    """The Pythons on which a Keras runs on a backend.

    Args:
        keras: A Keras, as for `row`.
        backend: A backend.

    Returns:
        The Pythons, the oldest first; none if this Keras does not have that backend.

    Examples:
        >>> from keras_buildfix.matrix import pythons
        >>> pythons("2.15", "tensorflow")
        ('3.9', '3.10', '3.11')
    """
    found = row(keras)
    if backend != "tensorflow" and not found.jax:
        return ()
    first, last = _WHEELS.get(backend, found.tensorflow_pythons)
    low, high = max(PYTHONS.index(first), PYTHONS.index(found.first_python)), PYTHONS.index(last)
    return PYTHONS[low : high + 1]


def environment(keras: str, backend: str, python: str = USUAL_PYTHON) -> Environment:
    """The environment of a Keras on a backend and a Python.

    Args:
        keras: A Keras, as for `row`.
        backend: A backend.
        python: A Python such as ``"3.11"``.

    Returns:
        The environment: its name, requirements and variables.

    Raises:
        ValueError: If the Keras or backend is unknown, or can't run so.

    Examples:
        >>> from keras_buildfix.matrix import environment
        >>> environment("3.9", "jax").requirements
        ('keras~=3.9.2', 'jax>=0.4.30,<0.6.1')
    """
    reason = impossible(keras, backend, python)
    if reason:
        raise ValueError(f"{reason}.")
    found = row(keras)
    last = (found.requirement,) if found.name == "kerasnightly" else ()
    # TensorFlow brings a keras, and what the nightly requires.
    needed = ["" if last and backend == "tensorflow" else found.requirement, *_backend_requirements(found, backend)]
    if found.name in _WITHOUT_PACKAGING and backend != "tensorflow":  # which requires it
        needed.append("packaging")
    variables = {"KERAS_BACKEND": backend}
    if found.name.startswith("tfkeras"):
        variables["TF_USE_LEGACY_KERAS"] = "1"
    return Environment(
        f"py{python.replace('.', '')}-{found.name}-{backend}",
        found.name,
        backend,
        python,
        tuple(filter(None, needed)),
        last,
        variables,
    )


def requirements(keras: str, backend: str, python: str = USUAL_PYTHON) -> tuple[str, ...]:
    """What installs a Keras on a backend and a Python.

    Args:
        keras: A Keras, as for `row`.
        backend: A backend.
        python: A Python such as ``"3.11"``.

    Returns:
        The requirements. keras-nightly must be installed again after everything else: see `Environment.last`.

    Raises:
        ValueError: If the Keras or backend is unknown, or can't run so.

    Examples:
        >>> from keras_buildfix.matrix import requirements
        >>> requirements("3.12", "torch")
        ('keras~=3.12.4', 'torch==2.13.0')
    """
    found = environment(keras, backend, python)
    return tuple(dict.fromkeys((*found.requirements, *found.last)))


def constraints(keras: str) -> tuple[str, ...]:
    """The bounds of a Keras on all backends, for what else is installed beside it.

    A package that requires TensorFlow else brings another one than the table has: beside Keras 3.3 and jax uv takes
    2.17.1 and not 2.16 (measured 2026-11-26), and beside the tensorflow-cpu of Keras 2.15 the newest, with its Keras.

    Args:
        keras: A Keras, as for `row`.

    Returns:
        The bounds, as lines for a file of constraints.

    Raises:
        ValueError: If the table has no such Keras.

    Examples:
        >>> from keras_buildfix.matrix import constraints
        >>> constraints("3.9")
        ('tensorflow~=2.19.0', 'tensorflow-cpu~=2.19.0', 'jax>=0.4.30,<0.6.1')
    """
    found = row(keras)
    bounds = {"tensorflow": found.tensorflow, "tensorflow-cpu": found.tensorflow, "jax": found.jax}
    if not found.requirement:
        bounds["keras"] = found.tensorflow  # which brings it: a package that requires Keras 3 can't be installed
    return tuple(f"{name}{bound}" for name, bound in bounds.items() if bound)


def environments(keras: str = "", backends: Iterable[str] = (), pythons: Iterable[str] = ()) -> tuple[Environment, ...]:
    """The environments of some Keras versions, backends and Pythons, in the order of the table.

    Args:
        keras: A version specifier (``">=3.5"``), or names such as ``"2.15,3.9,latest,nightly"``, or both, with commas
            between them. Without it, all.
        backends: The backends; without them, all.
        pythons: The Pythons; without them, each environment has the one that all were measured on, 3.11.

    Returns:
        The environments that are possible.

    Raises:
        ValueError: If something that was asked for is unknown, or no possible environment has it.

    Examples:
        >>> from keras_buildfix.matrix import environments
        >>> [each.name for each in environments(">=3.9,<3.11", ["jax"])]
        ['py311-keras3.9-jax', 'py311-keras3.10-jax']
    """
    wanted, rows = _selected(keras)
    on, with_pythons = tuple(backends) or BACKENDS, tuple(pythons) or (USUAL_PYTHON,)
    for python in with_pythons:
        if python not in PYTHONS:
            raise ValueError(f"The matrix has no Python {python!r}. It has {', '.join(PYTHONS)}.")
    found = tuple(
        environment(each.name, backend, python)
        for each in rows
        for backend in on
        for python in with_pythons
        if not impossible(each.name, backend, python)
    )
    for name in wanted:
        if not any(each.keras == name for each in found):
            reasons = {impossible(name, backend, python) for backend in on for python in with_pythons}
            raise ValueError(f"Nothing is left of {name}: {'; '.join(sorted(reasons))}.")
    for kind, asked in (("backend", tuple(backends)), ("python", tuple(pythons))):
        for value in asked:
            if not any(getattr(each, kind) == value for each in found):
                raise ValueError(f"None of these Keras versions runs on {kind.replace('p', 'P', 1)} {value}.")
    return found


def parse(name: str) -> Factors | None:
    """What the name of a tox environment says of its Keras.

    Args:
        name: A name such as ``py311-keras3.9-jax-extra``. The parts that are no Python, Keras or backend are yours.

    Returns:
        The Keras, the backend (of Keras 2 always TensorFlow) and the Python; None if the name says no Keras.

    Raises:
        ValueError: If it names a Keras or a backend that the matrix does not have, two of them, a version that tox
            would read as a Python, or a Keras 3 without a backend.

    Examples:
        >>> from keras_buildfix.matrix import parse
        >>> parse("py312-keras3.6-jax")
        Factors(keras='keras3.6', backend='jax', python='3.12')
        >>> parse("lint")
    """
    parts = name.split("-")
    named = [part for part in parts if _is_keras(part)]
    on = [part for part in parts if part in BACKENDS]
    bare = [part for part in parts if re.fullmatch(r"[23]\.\d+", part)]
    if not named:
        meant = [part for part in bare if on and any(each.name == f"keras{part}" for each in ROWS)]
        if meant:
            advice = f"write keras{meant[0]}, or py{meant[0].replace('.', '')} for a Python"
            raise ValueError(f"{name!r}: tox reads {meant[0]} as a Python: {advice}.")
        return None
    for kind, several in (("Keras versions", named), ("backends", on)):
        if len(several) > 1:
            raise ValueError(f"{name!r} names {len(several)} {kind}: {' and '.join(several)}. Name one.")
    try:
        found = row(named[0])
    except ValueError as error:
        raise ValueError(f"{name!r}: {error}") from None
    others = [part for part in parts if part not in (*named, *on)]
    odd = [part for part in others if not on and not _PYTHON_PART.fullmatch(part) and (found.jax or _is_backend(part))]
    if odd or (found.jax and not on):
        said = f", and {odd[-1]!r} is none" if odd else ""
        raise ValueError(f"{name!r} must name a backend of {_title(found)}{said}: {', '.join(_backends_of(found))}.")
    found_pythons = [match for match in map(_PYTHON_PART.fullmatch, others) if match and match["minor"]]
    python = f"{found_pythons[0]['major']}.{found_pythons[0]['minor']}" if found_pythons else None
    return Factors(found.name, on[0] if on else "tensorflow", python)


def family(distribution: str) -> frozenset[str]:
    """The distributions that stand for the same thing as this one, such as ``tensorflow-cpu`` for ``tensorflow``.

    Args:
        distribution: A name, in any spelling.

    Returns:
        All of them, with normalized names.

    Examples:
        >>> from keras_buildfix.matrix import family
        >>> "tensorflow" in family("tensorflow_cpu")
        True
    """
    name = re.sub(r"[-_.]+", "-", distribution).lower()
    return next((group for group in SAME if name in group), frozenset({name}))


def is_the_one(keras: str, version: str) -> bool:
    """Whether a version of Keras is what a factor of an environment's name means.

    Args:
        keras: A Keras, as for `row`.
        version: The version that was found, such as ``"3.9.2"``.

    Returns:
        Whether it is.

    Examples:
        >>> from keras_buildfix.matrix import is_the_one
        >>> is_the_one("3.9", "3.15.1"), is_the_one("nightly", "3.16.0.dev2026102704")
        (False, True)
    """
    found = row(keras)
    if found.name == "kerasnightly":
        return ".dev" in version
    if found.name == "keraslatest":
        return ".dev" not in version and _release(version) >= max(map(_release_of, ROWS))
    return ".dev" not in version and _release(version) == _release_of(found)


def nearest(word: str, known: Sequence[str], cutoff: float = 0.0) -> list[str]:
    """The words of `known` that are most like a word, the nearest first."""
    import difflib  # imported here, as it is for errors only

    return difflib.get_close_matches(word, known, 3, cutoff)


_PYTHON_PART = re.compile(r"(?:py|cpython|pypy)?(?:(?P<major>[23])(?:\.?(?P<minor>\d+))?)?")
#: Backends that the matrix does not have. OpenVINO only predicts.
_OTHER_BACKENDS = ("mxnet", "theano", "cntk", "openvino", "mlx", "paddle")


def _is_keras(part: str) -> bool:
    """Whether a part of a name means a Keras, or is a wrong spelling of one: `kerasnigthly`, but not `kerastuner`."""
    match = re.match(r"(?:tf_?)?keras(.+)", part)
    if match is None:
        return False
    return bool(re.match(r"[\d.]", match[1]) or nearest(match[1], ("latest", "nightly", "newest"), 0.7))


def _is_backend(part: str) -> bool:
    """Whether a part of a name is another backend, or a wrong spelling of one: `jaxx`, but not `numpy2`."""
    known = re.match(f"(?:{'|'.join(BACKENDS)})[\\d.]", part)
    return part in _OTHER_BACKENDS or (not known and bool(nearest(part, BACKENDS, 0.75)))


def _backend_requirements(found: Row, backend: str) -> list[str]:
    if backend == "tensorflow":
        if found.name.startswith("tfkeras"):
            return [f"tensorflow{found.tensorflow}"]  # tf_keras asks for this one on every platform
        # The wheels without CUDA are for this platform only; elsewhere there is no CUDA in any wheel.
        here, elsewhere = _X86_LINUX, " or ".join(each.replace("==", "!=") for each in _X86_LINUX.split(" and "))
        return [f"tensorflow-cpu{found.tensorflow}; {here}", f"tensorflow{found.tensorflow}; {elsewhere}"]
    if backend == "torch":
        return [_TORCH]
    # The numpy backend of Keras 3.0 imports torch, too.
    return [f"jax{found.jax}", *([_TORCH] if backend == "numpy" and found.name == "keras3.0" else [])]


_X86_LINUX = 'platform_system == "Linux" and platform_machine == "x86_64"'


def _selected(keras: str) -> tuple[list[str], list[Row]]:
    """The names in a selection, and all rows that it means."""
    words = [word.strip() for word in keras.split(",") if word.strip()]
    bounds = [word for word in words if word[0] in "<>=!~"]
    names = [row(word).name for word in words if word not in bounds]
    if not words:
        return [], list(ROWS)
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # run_tests.py and the demo start without it

    try:
        specifier = SpecifierSet(",".join(bounds))
    except InvalidSpecifier:
        raise ValueError(f"{','.join(bounds)!r} is not a version specifier such as '>=3.5,<3.10'.") from None
    rows = [
        each
        for each in ROWS
        if each.name in names or (bounds and _release_of(each) != (0,) and specifier.contains(_newest_of(each)))
    ]
    if not rows:
        raise ValueError(f"The matrix has no Keras {keras!r}. It has {_all()}.")
    return names, rows


def _newest_of(each: Row) -> str:
    """A release of a row that stands for it in a comparison: `<=3.9` and `>=3.9` both mean 3.9."""
    return each.name.partition("keras")[2]


def _release_of(each: Row) -> tuple[int, ...]:
    version = each.name.partition("keras")[2]
    return _release(version) if version[0].isdigit() else (0,)


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _backends_of(found: Row) -> tuple[str, ...]:
    return BACKENDS if found.jax else ("tensorflow",)


def _title(found: Row) -> str:
    package, _, version = found.name.partition("keras")
    return f"tf_keras {version}" if package else f"Keras {version}" if version[0].isdigit() else f"Keras ({version})"


def _all() -> str:
    """The names of all rows, in short."""
    groups: dict[str, list[str]] = {}
    for each in ROWS:
        groups.setdefault(each.name.partition(".")[0], []).append(each.name)
    return ", ".join(" to ".join(dict.fromkeys((names[0], names[-1]))) for names in groups.values())


def _any_of(versions: Sequence[str]) -> str:
    return f"{', '.join(versions[:-1])} or {versions[-1]}" if len(versions) > 1 else versions[0]
