"""The tests, on a machine with only Python and pip.

    python run_tests.py            the quick slice: five environments
    python run_tests.py all        lint, types and every environment of the matrix: what CI runs
    python run_tests.py full       the same, each environment with every combination: before a release
    python run_tests.py NAME ...   these environments of tox.ini

With ``all``, what is the same on several environments is spread over them (tests/bands.py). With ``full``
it is not, and each environment of the matrix then reads the files of weights that all of them wrote.
tox and uv are put into .tox/.runner. Prints a line for each environment with its share of the time and
what each test file took, and fails if an environment failed, ran no test, or left no report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent
RUNNER = ROOT / ".tox" / ".runner"
REPORTS = ROOT / ".tox" / "reports"
FILES = ROOT / ".tox" / "weight_files"
#: Reads what all environments wrote, once they have.
SECOND_PASS = "tests/test_weight_files.py::test_it_is_read_whoever_wrote_it"
#: So many test files are shown, those that take longest.
SHOWN = 12
#: Environments that run tools, not tests.
NO_TESTS = ("lint",)


def main(wanted: list[str]) -> int:
    """Runs the environments and prints what came of them; the exit code."""
    tox = [str(installed_tox()), "-m", "tox", "-c", str(ROOT / "tox.ini")]
    full = wanted == ["full"]

    def labelled(*label: str) -> list[str]:
        return subprocess.check_output([*tox, "list", "--no-desc", *label], text=True, cwd=ROOT).split()

    names = wanted or labelled("-d")
    if full or wanted == ["all"]:
        names = labelled("-m", "lint", "matrix", "downstream")
        os.environ["KERAS_BUILDFIX_FULL" if full else "KERAS_BUILDFIX_READ"] = "1" if full else "nightly"
    for folder in (REPORTS, FILES):
        shutil.rmtree(folder, ignore_errors=True)
    failed = summary(names, run(tox, names, REPORTS), REPORTS)
    if full:
        os.environ["KERAS_BUILDFIX_READ"] = "all"
        print("\nEach environment reads what all of them wrote:")
        matrix, reports = labelled("-m", "matrix"), REPORTS / "second"
        failed |= summary(matrix, run(tox, matrix, reports, "--skip-pkg-install", "--", SECOND_PASS), reports)
    return failed


def run(tox: list[str], names: list[str], reports: Path, *more: str) -> int:
    """Runs environments, three at a time: on two cores, each waits for processes, files and packages a while."""
    command = [*tox, "run-parallel", "-p", "3", "--parallel-no-spinner", "-e", ",".join(names), *more]
    environment = {**os.environ, "PATH": path_with_pyenv(), "KERAS_BUILDFIX_REPORTS": str(reports)}
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


def installed_tox() -> Path:
    """The Python of an environment with tox and tox-uv in it, made on the first run."""
    python = RUNNER / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        venv.create(RUNNER, with_pip=True)
    subprocess.run([str(python), "-m", "pip", "install", "-qq", "tox>=4.29", "tox-uv>=1.20"], check=True)
    return python


def path_with_pyenv() -> str:
    """PATH, and behind it the interpreters that pyenv has: those that tox is to find for the spot checks."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    return os.pathsep.join([os.environ.get("PATH", ""), *map(str, sorted(versions.glob("*/bin")))])


def summary(names: list[str], code: int, reports: Path) -> int:
    """Prints a line for each environment and the totals; 1 if anything is not as it should be."""
    total = dict.fromkeys(("passed", "failed", "skipped", "xfailed"), 0)
    found = {name: counted(name, reports) for name in names if name not in NO_TESTS}
    whole = sum(seconds for _, seconds in found.values()) or 1.0
    print(f"\n{'environment':34}{'passed':>8}{'failed':>8}{'skipped':>9}{'xfailed':>9}{'seconds':>9}{'share':>8}")
    for name, (counts, seconds) in found.items():
        if counts is None:
            print(f"{name:34}  no interpreter for it here, skipped")
            continue
        print(
            f"{name:34}{counts['passed']:8}{counts['failed']:8}{counts['skipped']:9}{counts['xfailed']:9}"
            f"{seconds:9.0f}{seconds / whole:8.1%}"
        )
        if counts["passed"] == 0:
            print(f"{name}: ran no test")
            code = code or 1
        for key, value in counts.items():
            total[key] += value
    print(f"\n{'test file':34}{'seconds':>9}{'share':>8}")
    for file, seconds in by_file(found, reports).most_common(SHOWN):
        print(f"{file:34}{seconds:9.0f}{seconds / whole:8.1%}")
    print(f"\n{total['passed']} passed, {total['failed']} failed, {total['skipped'] + total['xfailed']} skipped")
    return 1 if code or total["failed"] or not total["passed"] else 0


def by_file(names: Iterable[str], reports: Path) -> Counter[str]:
    """Seconds that each test file took, all environments together; what is not theirs is imports and set-up."""
    seconds: Counter[str] = Counter()
    for report in (reports / f"{name}.xml" for name in names):
        if report.exists():
            for case in ElementTree.parse(report).iter("testcase"):
                seconds[case.get("classname", "").rpartition(".")[2]] += float(case.get("time", 0))
    return seconds


def counted(name: str, reports: Path) -> tuple[dict[str, int] | None, float]:
    """What an environment's report says; None if it was not run for want of its Python."""
    report = reports / f"{name}.xml"
    if not report.exists():
        ran = (ROOT / ".tox" / name / "pyvenv.cfg").exists()
        return (dict.fromkeys(("passed", "failed", "skipped", "xfailed"), 0) if ran else None), 0.0
    suite = next(ElementTree.parse(report).iter("testsuite"))
    skips = [case.find("skipped") for case in suite.iter("testcase")]
    xfailed = sum(skip is not None and skip.get("type") == "pytest.xfail" for skip in skips)
    skipped = sum(skip is not None for skip in skips) - xfailed
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    passed = int(suite.get("tests", 0)) - failed - skipped - xfailed
    return {"passed": passed, "failed": failed, "skipped": skipped, "xfailed": xfailed}, float(suite.get("time", 0))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
