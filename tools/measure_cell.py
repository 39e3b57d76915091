"""Measures cells of the matrix again: install with uv, import, one fit step, save, load, predict the same.

    python tools/measure_cell.py keras3.9-jax ...            installs each into a folder of its own, and removes it
    python tools/measure_cell.py --in ENV keras3.9-jax       measures in an environment that is there
    python tools/measure_cell.py --propose 3.16              the row for a new release, from what its cells give

It prints the lines for `MEASURED` in keras_buildfix/matrix.py. Exit code: 1 if a cell fails.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from keras_buildfix import matrix  # noqa: E402

#: Runs in the environment. The numpy backend can't train.
PROGRAM = """
import os, sys, tempfile, warnings
warnings.simplefilter("ignore")
import numpy as np
if sys.argv[1] == "tf": import tensorflow as tf; keras = tf.keras
elif sys.argv[1] == "tf_keras": import tf_keras as keras
else: import keras
model = keras.Sequential([keras.layers.InputLayer((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])
x = np.ones((8, 4), "float32")
if os.environ["KERAS_BACKEND"] != "numpy":
    before = model.get_weights()[0].copy()
    model.compile("sgd", "mse")
    model.fit(x, np.ones((8, 1), "float32"), verbose=0)
    assert not np.allclose(before, model.get_weights()[0])
file = os.path.join(tempfile.mkdtemp(), "m.keras")
model.save(file)
assert np.allclose(keras.models.load_model(file).predict(x, verbose=0), model.predict(x, verbose=0))
names = ["numpy", {"numpy": "jax"}.get(os.environ["KERAS_BACKEND"], os.environ["KERAS_BACKEND"])]
version = getattr(keras, "__version__", None) or __import__("keras").__version__
print("MEASURED", f"{sys.version_info[0]}.{sys.version_info[1]}",
      version, *(f"{name} {__import__(name).__version__}" for name in names[::-1]), sep="|")
"""


def measure(name: str, folder: str | None) -> str:
    """What a cell gives: the line for `MEASURED`.

    Raises:
        RuntimeError: If it can't be installed, or does not train, save and load.
    """
    factors = matrix.parse(name)
    if factors is None:
        raise ValueError(f"{name!r} names no Keras: write a name such as keras3.9-jax.")
    python = factors.python or matrix.USUAL_PYTHON
    cell = matrix.environment(factors.keras, factors.backend, python)
    made = None if folder else tempfile.mkdtemp(prefix="cell-", dir=ROOT.parent)
    where = Path(folder or made or "")
    program = str(where / ("Scripts" if os.name == "nt" else "bin") / "python")
    links = os.environ.get("UV_FIND_LINKS", os.environ.get("PIP_FIND_LINKS", ""))
    env = {
        **os.environ,
        **cell.variables,
        "UV_FIND_LINKS": links,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_HOME": str(where / "k"),
    }
    env["CUDA_VISIBLE_DEVICES"] = "-1"
    try:
        if made:
            _run(["uv", "venv", "-q", "--allow-existing", "-p", python, str(where)], env)
            install = ["uv", "pip", "install", "-q", "-p", program]
            _run([*install, *cell.requirements], env)
            if cell.last:
                _run([*install, "--reinstall", "--no-deps", "--prerelease=allow", *cell.last], env)
        which = "tf" if factors.keras.startswith("keras2") else "tf_keras" if "tf" in factors.keras else "keras"
        said = _run([program, "-c", PROGRAM, which], env)
    finally:
        if made:
            shutil.rmtree(made, ignore_errors=True)
    line = next(line for line in said.splitlines() if line.startswith("MEASURED|"))
    _, on, version, *others = line.split("|")
    if not matrix.is_the_one(factors.keras, version):
        raise RuntimeError(f"{name} has Keras {version}")
    day = datetime.date.today().isoformat()
    return f'    "{factors.keras}-{factors.backend}": "{day}, Python {on}: Keras {version}, {", ".join(others)}",'


def _run(command: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip()[-800:])
    return done.stdout


def propose(version: str) -> str:
    """The row for a new release: that of the newest one, with the new number."""
    newest = next(row for row in reversed(matrix.ROWS) if row.name[5:6].isdigit())
    return repr(newest._replace(name=f"keras{version}", requirement=f"keras~={version}.0"))


def main() -> int:
    """Measures the cells in the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="CELL")
    parser.add_argument("--in", dest="folder", help="an environment that is there already")
    parser.add_argument("--propose", metavar="VERSION", help="a release that has no row, such as 3.16")
    args = parser.parse_args()
    names, failed = list(args.names), 0
    if args.propose:
        print(f"    {propose(args.propose)},")
        row = eval(propose(args.propose), {"Row": matrix.Row})
        matrix.ROWS = (*matrix.ROWS, row)  # for this process: its cells can be measured now
        names += [f"{row.name}-{backend}" for backend in matrix.BACKENDS]
    for name in names:
        try:
            print(measure(name, args.folder), flush=True)
        except (RuntimeError, ValueError) as error:
            failed = 1
            print(f"{name} FAILS: {error}", flush=True)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
