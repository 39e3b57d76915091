"""Measures what the tox plugin costs: `tox list` with and without it, in turns.

python benchmarks/tox_list.py     on a Python that has tox and keras-buildfix
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measuring import Result, compared, show  # beside this file

INI = """
[tox]
env_list = py311-keras{2.15,3.5,3.6,3.9,3.12,latest,nightly}-{tensorflow,jax,torch}
[testenv]
package = skip
deps = pytest
commands = pytest
"""
ROUNDS = 9


def seconds(folder: str, without: bool) -> tuple[float, float]:
    """Seconds on the clock and of the processor for one `tox list`."""
    off = {"TOX_DISABLED_EXTERNAL_PLUGINS": "keras-buildfix"} if without else {}
    before, begun = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "tox", "list"]
    subprocess.run(command, cwd=folder, env={**os.environ, **off}, check=True, capture_output=True)
    after = os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return time.perf_counter() - begun, spent


def measure(quick: bool = False) -> Iterator[Result]:
    """Without the plugin and with it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tox.ini").write_text(INI)
        seconds(folder, False)  # the first one compiles
        pairs = [(seconds(folder, True), seconds(folder, False)) for _ in range(1 if quick else ROUNDS)]
    for at, what in enumerate(("on the clock", "of the processor")):
        plain, ours = ([pair[which][at] for pair in pairs] for which in (0, 1))
        yield compared(f"`tox list`, seconds {what}", "no plugin", plain, ours, "s")


if __name__ == "__main__":
    show(measure())
