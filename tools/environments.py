"""Runs programs in the environments of the matrix, for tools that measure on each Keras; names them on pages.

An environment is in a folder of its name in the folder of tox, `.tox`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: The backends in words, in the order of the pages.
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch", "numpy": "numpy"}


def run(environment: str, tox: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[bytes]:
    """Runs the Python of an environment, with this checkout as the package and the variables that tox.ini sets."""
    python = tox / environment / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{python} does not exist: make it with `tox run -e {environment} --notest`")
    settings = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **settings}
    # Without the first, TensorFlow aborts in some of the cases of `ops`.
    settings |= {"TF_ENABLE_ONEDNN_OPTS": "0", "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BUILDFIX_ENV": environment}
    settings |= {"CUDA_VISIBLE_DEVICES": "-1", "PYTHONHASHSEED": "0"}
    settings |= {"TF_USE_LEGACY_KERAS": "1"} if "tfkeras" in environment else {}
    if generation(environment) == 3:
        settings["KERAS_BACKEND"] = environment.rpartition("-")[2]
    return subprocess.run([str(python), *arguments], cwd=ROOT, env={**os.environ, **settings}, capture_output=True)


def generation(environment: str) -> int:
    """2 for tf.keras and tf_keras, else 3."""
    return 2 if "keras2" in environment else 3


def label(environment: str) -> str:
    """The name of an environment's Keras on a page, such as ``3.9``, ``tf_keras 2.16`` or ``newest``."""
    name = re.search(r"(tf)?keras([\d.]+|latest|nightly)", environment)
    assert name, environment
    return f"{'tf_keras ' if name[1] else ''}{name[2].replace('latest', 'newest')}"


def in_order(environments: Iterable[str]) -> list[str]:
    """Environments by the release of their Keras, tf_keras after Keras 2, the nightly last; then by backend."""
    return sorted(environments, key=_key)


def _key(environment: str) -> tuple[int, int, list[int], int, str]:
    name, kinds = label(environment), ("newest", "nightly")
    digits = [int(part) for part in name.rpartition(" ")[2].split(".")] if name not in kinds else []
    kind = kinds.index(name) + 1 if name in kinds else 0
    old = generation(environment) == 2
    backend = [*BACKENDS].index(environment.rpartition("-")[2])
    return (0 if old else 1), kind + (1 if name.startswith("tf") else 0), digits, backend, environment


def ranges(labels: Iterable[str], known: Sequence[str]) -> str:
    """Labels in words, such as ``2.12-2.15, 3.0 and 3.1``: a range where they follow each other in `known`."""
    wanted, runs = {*labels}, [[""]]
    for name in known:
        before = runs[-1][-1]
        if name not in wanted:
            runs.append([""])
        elif before and _kind(before) == _kind(name):
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(_range(run) for run in runs if run != [""])


def _kind(name: str) -> str:
    """What can be in one range."""
    return name if name in ("nightly", "newest") else f"{name[:1]}"


def _range(run: list[str]) -> str:
    last = run[-1].rpartition(" ")[2]
    return run[0] if len(run) == 1 else f"{run[0]} and {last}" if len(run) == 2 else f"{run[0]}-{last}"
