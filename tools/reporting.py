"""Reports the results of a run of run_tests.py, from the files that the tests of each environment wrote."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

#: How many test files the summary shows: those that take longest.
SHOWN = 12
#: How many lines of a failed environment's log are shown at most.
LOG_LINES = 200
#: Environments that run tools, not tests.
NO_TESTS = ("lint", "bench")
KINDS = ("passed", "failed", "skipped", "xfailed")


def summary(codes: dict[str, int], took: dict[str, float], reports: Path) -> int:
    """Prints a line for each environment and the totals; returns 1 if anything is wrong."""
    total = dict.fromkeys(KINDS, 0)
    whole = sum(took.values()) or 1.0
    bad = []
    print(f"\n{'environment':34}{'passed':>8}{'failed':>8}{'skipped':>9}{'xfailed':>9}{'seconds':>9}{'share':>8}")
    for name, code in codes.items():
        counts = counted(name, reports)
        cells = "".join(f"{counts[kind] if counts else '-':>{width}}" for kind, width in zip(KINDS, (8, 8, 9, 9)))
        wrong = why_wrong(name, code, counts)
        print(f"{name:34}{cells}{took[name]:9.0f}{took[name] / whole:8.1%}{'  ' + wrong if wrong else ''}")
        bad += [name] * bool(wrong)
        for kind, count in (counts or {}).items():
            total[kind] += count
    files = by_file(codes, reports)
    if files:
        print(f"\n{'test file':34}{'seconds':>9}{'share':>8}")
    for file, spent in files.most_common(SHOWN):
        print(f"{file:34}{spent:9.0f}{spent / whole:8.1%}")
    print(f"\n{total['passed']} passed, {total['failed']} failed, {total['skipped'] + total['xfailed']} skipped")
    if bad:
        print(f"{len(bad)} of {len(codes)} environments failed: {', '.join(bad)}")
    (reports / "seconds.json").write_text(json.dumps({name: round(took[name]) for name in codes}, indent=2) + "\n")
    return 1 if bad else 0


def why_wrong(name: str, code: int, counts: dict[str, int] | None) -> str:
    """What is wrong with an environment that has ended, in a few words; empty if nothing is."""
    if name not in NO_TESTS and counts is None:
        return "left no report"
    if counts and not counts["passed"]:
        return "ran no test"
    return "FAILED" if code or (counts and counts["failed"]) else ""


def by_file(names: Iterable[str], reports: Path) -> Counter[str]:
    """The seconds of each test file, summed over all environments; imports and set-up do not count."""
    seconds: Counter[str] = Counter()
    for report in (reports / f"{name}.xml" for name in names):
        if report.exists():
            for case in ElementTree.parse(report).iter("testcase"):
                seconds[_file_of(case.get("classname", ""))] += float(case.get("time", 0))
    return seconds


def _file_of(classname: str) -> str:
    """The test file of a case; all pages count as one, and so do all docstrings."""
    if classname.endswith(".md"):
        return "pages"
    return "docstrings" if classname.startswith("keras_buildfix.") else classname.rpartition(".")[2]


def counted(name: str, reports: Path) -> dict[str, int] | None:
    """The counts in an environment's report; None if it has no report that can be read."""
    try:
        suite = next(ElementTree.parse(reports / f"{name}.xml").iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return None
    skips = [case.find("skipped") for case in suite.iter("testcase")]
    xfailed = sum(skip is not None and skip.get("type") == "pytest.xfail" for skip in skips)
    skipped = sum(skip is not None for skip in skips) - xfailed
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    passed = int(suite.get("tests", 0)) - failed - skipped - xfailed
    return {"passed": passed, "failed": failed, "skipped": skipped, "xfailed": xfailed}


def outcome(wrong: str, counts: dict[str, int] | None) -> str:
    """How an environment ended, in a line."""
    said = ", ".join(f"{value} {kind}" for kind, value in (counts or {}).items() if value)
    return ": ".join(filter(None, [wrong or ("OK" if not said else ""), said]))


def end_of(log: Path) -> str:
    """The part of a failed environment's log to show: the failures, or else the last lines."""
    lines = log.read_text("utf-8", "replace").splitlines()
    starts = [
        at for at, line in enumerate(lines) if line.startswith("=") and line.strip("= ") in ("FAILURES", "ERRORS")
    ]
    lines = lines[starts[0] :] if starts else lines[-30:]
    shown = [*lines[: LOG_LINES // 2], "[...]", *lines[-LOG_LINES // 2 :]] if len(lines) > LOG_LINES else lines
    return "\n".join(f"    {line}" for line in shown)


def progress(file: Path) -> tuple[int, int, int] | None:
    """How many tests are done, of how many, and how many failed, from tests/conftest.py; None before the first."""
    try:
        total, _, done = file.read_text("ascii").partition("\n")
    except OSError:
        return None
    return (done.count("."), int(total), done.count("F")) if total.isdigit() else None
