"""Writes docs/environments.md: which environments ran how many tests, and for each public name, where its tests passed.

    python tools/evidence.py --reports .tox/reports    read the reports of a whole run, write data and page
    python tools/evidence.py                           write the page from the data

The data is in tests/data/evidence.json; `tested_on` tells it for a name.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import environments
import pages
import public_uses
import reporting

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data" / "evidence.json"
PAGE = ROOT / "docs" / "environments.md"
sys.path.insert(0, str(ROOT / "tests"))

import bands  # noqa: E402

PICTURES = ("plot_affected_layers", "plot_calls", "plot_gradients", "plot_weights")
GRADIENTS = ("GradientReport", "ModelWatch", "WeightGradient", "check_gradients")
FILES = ("ExportReport", "ExportedTensor", "export_saved_model", "export_tflite")
#: Names that do their work in some environments only: a pattern of these, and why. Tests pass in others, too, where
#: they see an error.
ONLY = {
    PICTURES: (
        "^(keras2.15-tensorflow|keraslatest-torch|keraslatest-numpy)$",
        "only `keras2.15-tensorflow`, `keraslatest-torch` and `keraslatest-numpy` have matplotlib",
    ),
    GRADIENTS: ("-(tensorflow|jax|torch)$", "numpy has no gradients, and the error says so"),
    FILES: ("-tensorflow$", "only TensorFlow writes these files, and the error says so"),
    ("TFFunctionMixin",): ("-tensorflow$", "`tf.function` needs TensorFlow, and the error says so"),
}


def tested_on(name: str) -> str:
    """The Kerases and backends on which tests of a public name passed, in a line; empty if it is newer than the run.

    Raises:
        KeyError: If there is no such public name.
    """
    if name not in public_uses.public_names():
        raise KeyError(name)
    if name not in evidence()["names"]:
        return ""
    tests, kerases, backends = row(evidence(), name)
    return f"Keras {kerases}; {backends}; {tests:,} tests"


@functools.cache
def evidence() -> dict[str, Any]:
    """The data."""
    data: dict[str, Any] = json.loads(DATA.read_text("utf-8"))
    return data


# --- From reports to data ------------------------------------------------------------------------


def collected(reports: Path, commit: str) -> dict[str, Any]:
    """The data from the reports of a run: the environments, and for each public name how many tests passed on each."""
    ran = {file.stem: ElementTree.parse(file) for file in reports.glob("*.xml")}
    matrix = environments.in_order(name for name in bands.matrix() if name in ran)
    others = sorted(name for name in ran if name not in matrix)
    cases: dict[str, dict[str, set[str]]] = {name: {} for name in sorted(public_uses.public_names())}
    for environment in matrix:
        idle = {name for name in cases if not works_on(name, environment)}
        for case in ran[environment].iter("testcase"):
            if case.find("skipped") is not None or case.find("failure") is not None or case.find("error") is not None:
                continue
            where, test = case.get("classname", ""), case.get("name", "")
            for name in public_uses.used_by_test(where, test) - idle:
                cases[name].setdefault(environment, set()).add(f"{where}::{test}")
    suites = [next(tree.iter("testsuite")) for tree in ran.values()]
    return {
        "commit": commit,
        "date": min(suite.get("timestamp", "") for suite in suites)[:10],
        "matrix": {name: _of_environment(ran[name], name, reports) for name in matrix},
        "others": {name: _of_environment(ran[name], name, reports) for name in others},
        "names": {
            name: [len(set().union(*on.values())), *(len(on.get(each, ())) for each in matrix)]
            for name, on in cases.items()
        },
    }


def works_on(name: str, environment: str) -> bool:
    """Whether a public name does its work in an environment, and not only raises an error that says why it doesn't."""
    return all(re.search(where, environment) for names, (where, _) in ONLY.items() if name in names)


def _commit_of(folder: Path) -> str:
    """The commit of the checkout that a folder is in."""
    ask = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(ask, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def _of_environment(report: Any, name: str, reports: Path) -> dict[str, Any]:
    """The versions in an environment, and what came out."""
    versions = {each.get("name"): each.get("value") for each in report.iter("property")}
    return {**versions, **(reporting.counted(name, reports) or {})}


def text_of(data: dict[str, Any]) -> str:
    """The data as JSON, with a line for each environment and name."""
    blocks = {
        key: ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in data[key].items())
        for key in ("matrix", "others", "names")
    }
    head = f' "commit": {json.dumps(data["commit"])},\n "date": {json.dumps(data["date"])},\n'
    return f"{{\n{head}" + ",\n".join(f' "{key}": {{\n{rows}\n }}' for key, rows in blocks.items()) + "\n}\n"


# --- The page ------------------------------------------------------------------------------------

INTRODUCTION = """# Environments and their evidence

This page shows what was tested where: each environment of `tox.ini` with its versions and the tests that passed there,
and [for each public name](#each-public-name) the Kerases and backends on which tests of it passed.

`tools/evidence.py` wrote it from the reports of a whole run of {date}, at commit `{commit}`. In {count} environments
**{passed:,} tests passed**, {failed} failed, {skipped:,} were skipped, and {xfailed:,} failed as expected. This repeats
it in a clone of this repository:

```sh
python run_tests.py all
python tools/evidence.py --reports .tox/reports
```

A skipped test is about what this environment does not have: another backend, a library such as matplotlib, or what only
other releases do. A test that fails as expected shows a bug of Keras itself; it would be an error if it passed. The
environments differ in their number of tests, because slow tests whose results are the same on several environments are
divided among these.

## The matrix

The name says which Keras and backend are meant. `latest` is the newest release. The Python is 3.11 unless the name says
another.
"""
NAMES = """## Each public name

A test counts for each name of this package that its code mentions, itself or through functions, fixtures and tables of
cases in the tests; and for what a public function that it mentions returns, raises or calls, such as `FreezeReport`.
The numbers count different tests; most of them ran in several environments.

The releases are those of the matrix above: a range such as 3.0-3.15 has all of them from the first to the last. A
release that is not in the matrix is assumed to be like its neighbours.

Some names count only where they do their work, though tests passed elsewhere, too:
"""
#: What the environments do that test no Keras.
OTHERS = {"docs": "`docs`: this site in a browser", "types": "`types`: mypy and pyright on what users see"}
COUNTS = ("passed", "skipped", "xfailed", "failed")


def page(data: dict[str, Any]) -> str:
    """The text of the page."""
    ran = {**data["matrix"], **data["others"]}
    totals = {kind: sum(each[kind] for each in ran.values()) for kind in COUNTS}
    lines = [INTRODUCTION.format(date=data["date"], commit=data["commit"], count=len(ran), **totals)]
    head = ["environment", "versions", "passed", "skipped", "failed as expected", "failed"]
    lines += [*pages.table(head, [_environment(*each) for each in data["matrix"].items()]), ""]
    newer = [
        f"`{name}`" for name in (*bands.matrix(), *public_uses.public_names()) if name not in {**ran, **data["names"]}
    ]
    lines += [f"Newer than this run: {', '.join(newer)}.", ""] if newer else []
    about = "; ".join(text for name, text in OTHERS.items() if name in data["others"])
    lines += ["## Other libraries, and types", "", f"`downstream-`: published libraries, not changed; {about}.", ""]
    lines += [*pages.table(head, [_environment(*each) for each in data["others"].items()]), ""]
    rows = [(f"`{name}`", *row(data, name)) for name in data["names"]]
    lines += [NAMES, *(f"- {', '.join(f'`{name}`' for name in names)}: {why}." for names, (_, why) in ONLY.items()), ""]
    lines += [*pages.table(["name", "tests", "Keras", "backends"], [(a, f"{b:,}", c, d) for a, b, c, d in rows])]
    return "\n".join(lines) + "\n"


def _environment(name: str, found: dict[str, Any]) -> list[str]:
    package = "tf_keras" if "tfkeras" in name else "Keras"
    backend = environments.BACKENDS.get(name.rpartition("-")[2], "")
    versions = [f"{package} {found['keras']}", f"{backend} {found['backend']}"] if "keras" in found else []
    versions += [f"Python {found['python']}"] if "python" in found else []
    return [f"`{name}`", ", ".join(versions), *(f"{found[kind]:,}" for kind in COUNTS)]


def row(data: dict[str, Any], name: str) -> tuple[int, str, str]:
    """For a public name: how many tests passed, on which releases of Keras, on which backends."""
    tests, *counts = data["names"][name]
    passed = [each for each, count in zip(data["matrix"], counts) if count]
    labels = {each: environments.label(each, versions["keras"]) for each, versions in data["matrix"].items()}
    found = {each.rpartition("-")[2] for each in passed}
    backends = [word for backend, word in environments.BACKENDS.items() if backend in found]
    kerases = environments.ranges({labels[each] for each in passed}, list(dict.fromkeys(labels.values())))
    return tests, kerases, ", ".join(backends)


def main() -> None:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=Path, help="the folder with the JUnit reports of a whole run")
    parser.add_argument("--commit", help="the commit that ran; without it, that of the checkout with the reports")
    options = parser.parse_args()
    if options.reports:
        commit = options.commit or _commit_of(options.reports)
        DATA.write_text(text_of(collected(options.reports.resolve(), commit)), "utf-8")
    PAGE.write_text(page(evidence()), "utf-8")
    print(f"{PAGE}: {len(evidence()['matrix'])} environments of the matrix, {len(evidence()['names'])} names")


if __name__ == "__main__":
    main()
