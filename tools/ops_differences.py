"""Records what each function of ``ops`` is on each Keras: tests/data/ops/differences.json and docs/ops_table.md.

    python tools/ops_differences.py --tox .tox            in every environment of the matrix that is there
    python tools/ops_differences.py --tox .tox keras3.9-jax

It runs the cases in tests/ops/. Where a function of Keras's own differs from the newest one, it notes what differs: a
dtype, the shape, the values, an error. It writes the page if all environments of its columns have run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import environments

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "tests" / "data" / "ops" / "differences.json"
PAGE = ROOT / "docs" / "ops_table.md"
#: The environments that have a column, and its head.
COLUMNS = {
    "keras2.12-tensorflow": "2.12",
    "keras2.15-tensorflow": "2.15",
    "tfkeras2.21-tensorflow": "tf_keras 2.21",
    "keras3.0-tensorflow": "3.0 TF",
    "keras3.2-jax": "3.2 JAX",
    "keras3.2-torch": "3.2 torch",
    "keras3.6-tensorflow": "3.6 TF",
    "keras3.9-jax": "3.9 JAX",
    "keras3.9-torch": "3.9 torch",
    "keras3.12-jax": "3.12 JAX",
    "keras3.12-torch": "3.12 torch",
    "keraslatest-tensorflow": "TF",
    "keraslatest-jax": "JAX",
    "keraslatest-torch": "torch",
    "keraslatest-numpy": "numpy",
}
INTRODUCTION = """# Each function of `ops` and `random` on each Keras

Written by `tools/ops_differences.py`, which runs each function on each Keras of this table, with the arguments in
`tests/ops/`. The last four columns are Keras {version}. "since" is the first release of Keras that has the function.

- **K**: it is Keras's own, and gives what that of the newest Keras gives on numpy, in all cases.
- **k**: it is Keras's own, and differs in some case: in a dtype, a shape, a value, or by an error.
  `tests/data/ops/differences.json` has the cases.
- **+**: it is ours, and gives the same in all cases, also by gradients and when compiled.
- **-**: it is not there: calling it is an error that says why.

`custom_gradient`, `vectorize`, `eig` and `SeedGenerator` have no recorded results: `tests/ops/test_special.py` and
`tests/ops/test_seed_generator.py` test them.
"""
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]


def main() -> None:
    """Runs the environments, and writes what differs after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tox", type=Path, required=True, help="the folder with the environments")
    parser.add_argument(
        "--record", type=Path, help="a folder that keeps what was measured: run again, it goes on there"
    )
    parser.add_argument("environments", nargs="*")
    options = parser.parse_args()
    import bands

    wanted = options.environments or [
        name
        for name in bands.matrix()
        if not name.startswith("kerasnightly") and (bands.release(name) >= (3, 0) or name in COLUMNS)
    ]
    columns: dict[str, dict[str, str]] = {}
    newest = ""
    for name in wanted:
        if not (options.tox / name).exists():
            print(f"{name}: not there")
            continue
        kept = options.record / f"{name}.json" if options.record else None
        if kept is not None and kept.exists():
            version, rows = json.loads(kept.read_text("utf-8"))
        else:
            version, rows = measured(name, options.tox)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps([version, rows]), "utf-8")
        found = {key: kinds for row in rows if row["is"] == "native" for key, kinds in row["kinds"].items()}
        if bands.release(name) >= (3, 0):
            write(f"{version}-{bands.backend_of(name)}", found)
        wrong = [key for row in rows if row["is"] == "ours" for key in row["kinds"]]
        print(f"{name}: {version}, {len(found)} differences of Keras's own, ours: {wrong or 'none'}", flush=True)
        columns[name] = {row["name"]: cell(row) for row in rows}
        newest = version if name == [*COLUMNS][-1] else newest
    if columns.keys() >= COLUMNS.keys():
        PAGE.write_text(page(columns, newest), "utf-8")


def cell(row: dict[str, Any]) -> str:
    """What a function is on a Keras, in a letter."""
    if row["is"] == "native":
        return "k" if row["kinds"] else "K"
    return {"ours": "+", "missing": "-"}[row["is"]]


def page(columns: dict[str, dict[str, str]], version: str) -> str:
    """The text of the page."""
    from keras_buildfix.ops._names import OPS, RANDOM

    lines = [INTRODUCTION.format(version=version)]
    for title, table, before in (("ops", OPS, ""), ("random", RANDOM, "random.")):
        lines += [f"## {title}", "", "| name | since | " + " | ".join(COLUMNS.values()) + " |"]
        lines.append("|---|---|" + ":-:|" * len(COLUMNS))
        for name, (since, spaces) in table.items():
            shown = before + (name if "" in spaces else f"{spaces[0]}.{name}")
            cells = " | ".join(columns[each].get(shown) or unrecorded(each, since) for each in COLUMNS)
            lines.append(f"| `{shown}` | {since} | {cells} |")
        lines.append("")
    return "\n".join(lines)


def unrecorded(environment: str, since: str) -> str:
    """The cell of a function without recorded cases."""
    import bands

    return "K" if bands.release(environment) >= tuple(map(int, since.split("."))) else "+"


def measured(name: str, tox: Path) -> tuple[str, list[dict[str, Any]]]:
    """The version of Keras in an environment, and what each function is there."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report")
        test = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/ops/test_ops.py"]
        done = environments.run(name, tox, *test, KERAS_BUILDFIX_OPS_REPORT=str(report))
        if done.returncode != 0:
            raise SystemExit(f"{name}:\n{done.stdout.decode()[-3000:]}{done.stderr.decode()[-1000:]}")
        rows = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
        ask = "from keras_buildfix import keras_info; print(keras_info().version)"
        version = environments.run(name, tox, "-c", ask)
        version.check_returncode()
        return version.stdout.decode().strip(), rows


def write(name: str, found: dict[str, list[str]]) -> None:
    """Puts what was found on a Keras and backend, such as ``3.9.2-jax``, in place of what was known of it."""
    record: dict[str, Any] = json.loads(TARGET.read_text("utf-8"))
    record["measured"] = sorted({*record["measured"], name})
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
    measured = json.dumps(record["measured"])
    TARGET.write_text(f'{{"measured": {measured},\n"kinds": {{\n' + ",\n".join(lines) + "\n}}\n", "utf-8")


if __name__ == "__main__":
    main()
