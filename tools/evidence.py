"""Writes docs/environments.md: which environments ran how many tests, and for each public name, where its tests passed.

    python tools/evidence.py --reports .tox/reports    read the reports of a whole run, write data and page
    python tools/evidence.py                           write the page from the data

The data is in tests/data/evidence.json; `tested_on` tells it for a name.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data" / "evidence.json"
PAGE = ROOT / "docs" / "environments.md"
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]

import bands  # noqa: E402
import environments  # noqa: E402
import pages  # noqa: E402
import public_uses  # noqa: E402
import reporting  # noqa: E402


def tested_on(name: str) -> str:
    """The Kerases and backends on which tests of a public name passed, in a line; empty if no test mentions it.

    Raises:
        KeyError: If there is no such public name.
    """
    tests, kerases, backends = row(evidence(), name)
    return f"Keras {kerases}; {backends}; {tests:,} tests" if tests else ""


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
    missing = sorted({*bands.matrix()} - {*matrix})
    if missing:
        print(f"no report of {', '.join(missing)}", file=sys.stderr)
    others = sorted(name for name in ran if name not in matrix)
    cases: dict[str, dict[str, set[str]]] = {name: {} for name in sorted(public_uses.public_names())}
    for environment in matrix:
        for case in ran[environment].iter("testcase"):
            if case.find("skipped") is not None or case.find("failure") is not None or case.find("error") is not None:
                continue
            where, test = case.get("classname", ""), case.get("name", "")
            for name in public_uses.used_by_test(where, test):
                cases[name].setdefault(environment, set()).add(f"{where}::{test}")
    suites = [next(tree.iter("testsuite")) for tree in ran.values()]
    return {
        "commit": commit,
        "date": min(suite.get("timestamp", "") for suite in suites)[:10],
        "environments": {name: _of_environment(ran[name], name, reports) for name in [*matrix, *others]},
        "names": {
            name: [len(set().union(*on.values())), *(len(on.get(each, ())) for each in matrix)]
            for name, on in cases.items()
        },
    }


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
        for key in ("environments", "names")
    }
    head = f' "commit": {json.dumps(data["commit"])},\n "date": {json.dumps(data["date"])},\n'
    return f"{{\n{head}" + ",\n".join(f' "{key}": {{\n{rows}\n }}' for key, rows in blocks.items()) + "\n}\n"


# --- The page ------------------------------------------------------------------------------------

INTRODUCTION = """# Environments and their evidence

This page shows what was tested where: each environment of `tox.ini` with its versions and the tests that passed there,
and [for each public name](#each-public-name) the Kerases and backends on which tests of it passed.

`tools/evidence.py` wrote it from the reports of a whole run: {date}, commit `{commit}`, {count} environments,
**{passed:,} tests passed**, {failed} failed, {skipped:,} were skipped, and {xfailed:,} failed as expected. To repeat it,
in a clone of this repository:

```sh
python run_tests.py all
python tools/evidence.py --reports .tox/reports
```

A skipped test needs what the environment lacks, such as TensorFlow, or training, which numpy cannot do; its report says
what. A test that fails as expected shows a bug of Keras itself, and would fail if that were fixed. Environments differ in
their number of tests, because slow tests that give the same result are divided among similar environments.

## The matrix

The name says which Keras and backend are meant; `latest` is the newest release, and `py39-` another Python than 3.11.
"""
NAMES = """## Each public name

A test counts for each name of this package that its code mentions, directly, or in a function, fixture or table of cases
that it uses; for a result, such as `FreezeReport`, the tests of the functions that return it count. The number is that of
different tests; most ran in several environments. Releases are those of the environments above: a range such as 3.0-3.15
means those of them in between, and a release that is not among them is assumed to be like its neighbours.
"""
COUNTS = ("passed", "skipped", "xfailed", "failed")


def page(data: dict[str, Any]) -> str:
    """The text of the page."""
    ran = data["environments"]
    totals = {kind: sum(each[kind] for each in ran.values()) for kind in COUNTS}
    lines = [INTRODUCTION.format(date=data["date"], commit=data["commit"], count=len(ran), **totals)]
    head = ["environment", "versions", "passed", "skipped", "failed as expected", "failed"]
    of_matrix = [name for name in ran if name in bands.matrix()]
    others = [name for name in ran if name not in bands.matrix()]
    lines += [*pages.table(head, [_environment(name, ran[name]) for name in of_matrix]), ""]
    lines += ["## Other libraries, and types", ""]
    lines += [
        "Published libraries, not changed, with this package; `types` runs mypy and pyright on what users see.",
        "",
    ]
    lines += [*pages.table(head, [_environment(name, ran[name]) for name in others]), ""]
    rows = [(f"`{name}`", *row(data, name)) for name in data["names"]]
    lines += [NAMES, *pages.table(["name", "tests", "Keras", "backends"], [(a, f"{b:,}", c, d) for a, b, c, d in rows])]
    return "\n".join(lines) + "\n"


def _environment(name: str, found: dict[str, Any]) -> list[str]:
    package = "tf_keras" if "tfkeras" in name else "Keras"
    backend = environments.BACKENDS.get(name.rpartition("-")[2], "")
    versions = [f"{package} {found['keras']}", f"{backend} {found['backend']}"] if "keras" in found else []
    return [f"`{name}`", ", ".join([*versions, f"Python {found['python']}"]), *(f"{found[kind]:,}" for kind in COUNTS)]


def row(data: dict[str, Any], name: str) -> tuple[int, str, str]:
    """For a public name: how many tests passed, on which releases of Keras, on which backends."""
    matrix = [each for each in data["environments"] if each in bands.matrix()]
    tests, *counts = data["names"][name]
    passed = [each for each, count in zip(matrix, counts) if count]
    known = list(dict.fromkeys(release(data, each) for each in matrix))
    found = {each.rpartition("-")[2] for each in passed}
    backends = [word for backend, word in environments.BACKENDS.items() if backend in found]
    return tests, environments.ranges({release(data, each) for each in passed}, known), ", ".join(backends)


def release(data: dict[str, Any], environment: str) -> str:
    """The release of Keras in an environment, such as ``3.15``, ``tf_keras 2.16`` or ``nightly``."""
    label = environments.label(environment)
    return ".".join(data["environments"][environment]["keras"].split(".")[:2]) if label == "newest" else label


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
    print(f"{PAGE}: {len(evidence()['environments'])} environments, {len(evidence()['names'])} names")


if __name__ == "__main__":
    main()
