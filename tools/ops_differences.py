"""Records where Keras's own functions in ``ops`` differ from the newest ones: tests/data/ops/differences.json.

    python tools/ops_differences.py --tox .tox            in every environment of the matrix that is there
    python tools/ops_differences.py --tox .tox keras3.9-jax

It runs the cases in tests/ops/ and notes the kinds of what differs: a dtype, the shape, the values, an error.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "tests" / "data" / "ops" / "differences.json"
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]


def main() -> None:
    """Runs the environments, and writes what differs after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tox", type=Path, required=True, help="the folder with the environments")
    parser.add_argument("environments", nargs="*")
    options = parser.parse_args()
    import bands

    wanted = options.environments or [
        name for name in bands.matrix() if bands.release(name) >= (3, 0) and not name.startswith("kerasnightly")
    ]
    for name in wanted:
        python = options.tox / name / "bin" / "python"
        if not python.exists():
            print(f"{name}: not there")
            continue
        version, found = measured(name, python)
        write(name, version, found)
        print(f"{name}: {version}, {len(found)} differences")


def measured(name: str, python: Path) -> tuple[str, dict[str, list[str]]]:
    """The version of Keras in an environment, and what differs there: case and way -> kinds."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report")
        settings = {
            "KERAS_BACKEND": name.rpartition("-")[2],
            "KERAS_BUILDFIX_ENV": name,
            "KERAS_BUILDFIX_OPS_REPORT": str(report),
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        test = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/ops/test_ops.py"]
        done = subprocess.run(test, env={**os.environ, **settings}, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{name}:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        rows = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
        ask = "from keras_buildfix import keras_info; print(keras_info().version)"
        version = subprocess.run(
            [str(python), "-c", ask], env={**os.environ, **settings}, capture_output=True, text=True
        )
        return version.stdout.strip(), {
            key: kind for row in rows if row["native"] for key, kind in row["kinds"].items()
        }


def write(name: str, version: str, found: dict[str, list[str]]) -> None:
    """Puts what was found in an environment in place of what was known of it."""
    record: dict[str, Any] = json.loads(TARGET.read_text("utf-8"))
    record["versions"][name] = version
    kinds = record["kinds"]
    for by_kind in kinds.values():
        for where in by_kind.values():
            if name in where:
                where.remove(name)
    for key, names in found.items():
        for kind in names:
            kinds.setdefault(key, {}).setdefault(kind, []).append(name)
    rows = {
        key: {kind: sorted(where) for kind, where in sorted(by_kind.items()) if where}
        for key, by_kind in sorted(kinds.items())
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(row)}" for key, row in rows.items() if row]
    versions = json.dumps(dict(sorted(record["versions"].items())))
    TARGET.write_text(f'{{"versions": {versions},\n"kinds": {{\n' + ",\n".join(lines) + "\n}}\n", "utf-8")


if __name__ == "__main__":
    main()
