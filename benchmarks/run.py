"""Runs all benchmarks on several Kerases and writes results.json and docs/benchmarks.md.

tox run -e bench                             all, each Keras in its own environment of tox
python benchmarks/run.py PYTHON [PYTHON ...] all, on the Keras of each of these Pythons
python benchmarks/run.py --page              the page again, from the results that are there
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import HEAD, Result, as_data, show  # beside this file

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results.json", HERE.parent / "docs" / "benchmarks.md"
TOX = ("bench-keraslatest-jax", "bench-keraslatest-tensorflow", "bench-keras2.15-tensorflow")
TOPICS = {
    "build": "Deferred build",
    "precision": "Mixed precision",
    "ops": "`ops`",
    "freezing": "Freezing",
    "weights": "Weights and files",
    "trace_calls": "`trace_calls` and `check_reuse`",
    "model_watch": "`ModelWatch`",
    "check_layer": "`check_layer`",
    "tox_list": "The tox plugin",
}
INTRO = """# Benchmarks

What the functions of this package cost, beside plain Keras, code by hand or another library that does the same job.
`benchmarks/run.py` wrote this page from `benchmarks/results.json`.

- `tox run -e bench` measures all again and writes the page. For one topic, run `python benchmarks/build.py`, for
  example. It measures the Keras of that Python.
- The peer and we are measured in turns, in one process; the order alternates. Times are medians over the rounds.
- The ratio is ours to the peer's, so below 1 we are faster. It is the median of the ratios of all rounds, and the
  spread goes from the lower to the upper quartile of them. If it is wide, the machine did other work.
- Times of calls, of steps, of `trace_calls` and of `ModelWatch` are seconds of the processor in all threads. Those of
  files, imports, freezing and `check_layer` are seconds on the clock. Of `tox list` there is a row of each.
- A layer is measured inside a model. "Operations" are those of the model's compiled graph.
- An aim is what we want. A row can miss it.
"""


def machine() -> dict[str, str]:
    """The machine that measures, without its name."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    git = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{pages / 2**30:.0f} GiB",
        "system": platform.platform(terse=True),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": subprocess.run(git, capture_output=True, text=True).stdout.strip(),
    }


def load() -> str:
    """How busy the machine is: the average over the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def here(only: list[str], to: Path) -> None:
    """Measures on the Keras of this Python; writes after each topic, so that a stopped run leaves what it has."""
    import numpy as np

    from keras_buildfix import keras_info

    info, before = keras_info(), load()
    versions, topics = {"python": platform.python_version(), "numpy": np.__version__}, {}
    for package in ("jax", "tensorflow", "tensorflow-cpu", "torch", "safetensors"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    for name in only:
        print(f"\n{TOPICS[name]}, {info}", flush=True)
        topics[name] = as_data(show(importlib.import_module(name).measure()))
        to.write_text(
            json.dumps({"keras": str(info), "versions": versions, "load": [before, load()], "topics": topics})
        )


def page(data: dict[str, Any]) -> str:
    """The page of these results."""
    lines = [INTRO, "## The machine", ""]
    lines += [f"- {name}: {value}" for name, value in data["machine"].items()]
    for run in data["runs"]:
        versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        busy = " and ".join(run["load"])
        lines.append(f"- {run['keras']}: {versions}; load of the machine before and after: {busy}")
    missing = [title for name, title in TOPICS.items() if not any(run["topics"].get(name) for run in data["runs"])]
    lines += ["", f"This run did not measure: {', '.join(missing)}."] if missing else []
    for name, title in TOPICS.items():
        runs = [run for run in data["runs"] if run["topics"].get(name)]
        lines += ["", f"## {title}"] if runs else []
        for run in runs:
            where = "Without Keras" if name == "tox_list" else run["keras"]
            lines += ["", f"### {title}: {where}", "", f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
            lines += [f"| {' | '.join(Result(**row).cells())} |" for row in run["topics"][name]]
    return "\n".join(lines) + "\n"


def collect(commands: list[list[str]]) -> list[dict[str, Any]]:
    """Runs each command, which writes its results into a file."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for at, command in enumerate(commands):
            path = Path(folder, f"{at}.json")
            subprocess.run([*command, "--to", str(path)], check=True)
            found.append(json.loads(path.read_text()))
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pythons", nargs="*", help="Pythons that have a Keras and this package")
    parser.add_argument("--tox", action="store_true", help="each Keras in its own environment of tox")
    parser.add_argument("--page", action="store_true", help="only the page, from the results that are there")
    parser.add_argument("--merge", nargs="+", default=[], help="the page of these files, which --to wrote here")
    parser.add_argument("--topics", nargs="+", default=[*TOPICS], choices=TOPICS)
    parser.add_argument("--to", help="measure on the Keras of this Python only, into this file")
    args = parser.parse_args()
    if args.to:
        here(args.topics, Path(args.to))
        return
    if not args.page:
        topics = [name for name in args.topics if name != "tox_list"]  # that has no Keras, and is measured here
        inner = [str(HERE / "run.py"), "--topics", *topics]
        commands = [[python, *inner] for python in args.pythons or ([] if args.tox else [sys.executable])]
        if args.tox:
            commands += [[sys.executable, "-m", "tox", "run", "-e", name, "--", *topics] for name in TOX]
        runs = [json.loads(Path(path).read_text()) for path in args.merge] or collect(commands)
        if args.tox and "tox_list" in args.topics:
            print(f"\n{TOPICS['tox_list']}", flush=True)
            runs[0]["topics"]["tox_list"] = as_data(show(importlib.import_module("tox_list").measure()))
        RESULTS.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1) + "\n")
    PAGE.write_text(page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
