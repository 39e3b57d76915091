"""Runs the tests, on a machine that has only Python (3.10 or newer) and pip.

    python run_tests.py            the quick slice: five environments
    python run_tests.py all        lint, types and every environment of the matrix: what CI runs
    python run_tests.py full       the same, each environment with every combination: before a release
    python run_tests.py NAME ...   these environments; --list shows their names

Arguments after -- go to pytest: python run_tests.py keras3.6-jax -- tests/building/test_build.py -k mixin

With ``all``, combinations that several environments share are spread over these (tests/bands.py). With
``full`` each environment runs them all, and then reads the weight files that all environments wrote;
Keras's own tests run with our layers, too.
tox and uv are installed into .tox/.runner. Exit code: 0 if all passed, 1 if something failed, 2 if the
request can't be run here, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))
import planning  # noqa: E402
import reporting  # noqa: E402
from planning import any_of, spoken, together  # noqa: E402

RUNNER = ROOT / ".tox" / ".runner"
REPORTS = ROOT / ".tox" / "reports"
FILES = ROOT / ".tox" / "weight_files"
TOOLS = ["tox>=4.29", "tox-uv>=1.20"]
#: Reads what all environments wrote, after all of them have ended.
SECOND_PASS = "tests/weights/test_weight_files.py::test_it_is_read_whoever_wrote_it"
#: The environments that use the source in this folder, not the wheel.
ON_SOURCE = ("lint", "types", "docs")
#: With ``full``, Keras's own tests run in these environments too; each with the one whose Keras has the tests.
OWN_TESTS = {"keras3.9-jax": "keras3.12-jax", "keraslatest-jax": "keraslatest-jax"}
#: Seconds between two lines of progress. A run of all environments into a log prints fewer lines.
TOLD_EVERY = 20
TOLD_EVERY_IN_CI = 60
#: Seconds that a process gets to stop before it is killed.
PATIENCE = 5


def main(argv: list[str]) -> int:
    """Runs the environments, prints their results, and returns the exit code."""
    words, posargs = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parser = _parser()
    options, unknown = parser.parse_known_args(words)
    if unknown:
        parser.error(f"unknown: {' '.join(unknown)}. Arguments of pytest come after --, as in ... -- -k mixin")
    if options.list:
        print(planning.listing())
        return 0
    for number in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, number):
            signal.signal(getattr(signal, number), _stop)
    try:
        return _run(options.names, posargs)
    except (ValueError, ChildProcessError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print("\nStopped: all processes of this run have ended. Run it again to start from the beginning.", flush=True)
        return 128 + int((stopped.args or (signal.SIGINT,))[0])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "run_tests.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="an environment, or `all`, or `full`")
    parser.add_argument("--list", action="store_true", help="show the names of all environments")
    return parser


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt(number)


def _run(words: list[str], posargs: list[str]) -> int:
    names, full = planning.chosen(words), "full" in words
    if full or "all" in words:
        os.environ["KERAS_BUILDFIX_FULL" if full else "KERAS_BUILDFIX_READ"] = "1" if full else "nightly"
    here = planning.interpreters(planning.search_path())
    plan = {name: planning.python_for(name, here) for name in names}
    _say_plan(plan, here, full)
    tox = [str(installed_tox()), "-m", "tox", "run", "-c", str(ROOT / "tox.ini"), "--colored", "no"]
    _fetch_pythons(plan)
    left_out = [name for name, python in plan.items() if python is None]
    if left_out and (len(left_out) == len(plan) or not {*words} <= {*planning.ALL}):
        raise ValueError("Nothing was run: leave these out, or install a Python that they need.")
    for folder in (REPORTS, FILES):
        shutil.rmtree(folder, ignore_errors=True)
    wheel = _built_wheel()
    ready = {name: python for name, python in plan.items() if python is not None}
    quiet = {*words} & {*planning.ALL} and not sys.stdout.isatty()
    run = Run(tox, ready, REPORTS, planning.seconds(ready, full), TOLD_EVERY_IN_CI if quiet else TOLD_EVERY)
    failed = run.all(wheel, posargs)
    if full:
        os.environ["KERAS_BUILDFIX_READ"] = "all"
        print("\nEach environment reads what all of them wrote:")
        matrix = {name: python for name, python in ready.items() if name in planning.labels()["matrix"]}
        second = Run(tox, matrix, REPORTS / "second", dict.fromkeys(matrix, 60.0), TOLD_EVERY_IN_CI)
        failed |= second.all(None, [SECOND_PASS]) | _keras_own_tests(ready)
    if left_out:
        print(f"{len(left_out)} left out because their Python is missing: {', '.join(left_out)}")
    return failed


def _keras_own_tests(ready: Iterable[str]) -> int:
    """Runs Keras's own tests with our layers; 1 if any test fails only because of this package."""
    failed, folder = 0, ROOT / ".tox"
    for name, tests_from in OWN_TESTS.items():
        if {name, tests_from} <= {*ready}:
            print(f"\nKeras's own tests with our layers, on {name}, about two hours:", flush=True)
            tool = [sys.executable, str(ROOT / "tools" / "keras_own_tests.py"), "--quick"]
            where = ["--env", str(folder / name), "--tests-from", str(folder / tests_from)]
            failed |= int(subprocess.run([*tool, *where]).returncode != 0)
    return failed


def _say_plan(plan: dict[str, str | None], here: list[str], full: bool) -> None:
    """Prints what will run and about how long it takes."""
    ready = [name for name, python in plan.items() if python]
    each = planning.seconds(ready, full)
    new = [name for name in ready if not (ROOT / ".tox" / name / "pyvenv.cfg").exists()]
    print(f"Pythons here: {', '.join(here) or 'none that fits'}.")
    if ready:
        print(f"To run: {len(ready)} of {len(plan)}, {planning.AT_ONCE} at a time, in {spoken(together(each))}.")
    if new:
        size = f"{len(new)} are" if len(plan) > 1 else "It is"
        print(f"{size} installed first, about 1 GB each, into .tox: a slow network takes longer.")
    for name, python in plan.items():
        own = planning.pythons_of(name)
        if python is None:
            print(f"  {name:30} needs Python {any_of(own)}, not here: uv will try to fetch {own[0]}")
        elif len(plan) < 10 or python != own[0]:
            print(f"  {name:30} on Python {python}, {spoken(each[name])}")
    sys.stdout.flush()


def installed_tox() -> Path:
    """The Python of an environment with tox and uv. It is made on the first run, and again if that was interrupted."""
    python, ready = _bin("python"), RUNNER / "ready"
    if ready.exists() and ready.read_text() == str(TOOLS):
        return python
    if sys.version_info < (3, 10):
        raise ChildProcessError("tox needs Python 3.10 or newer: run this with another Python.")
    print("Installing tox and uv into .tox/.runner, in about a minute", flush=True)
    making = [sys.executable, "-m", "venv", "--clear", str(RUNNER)]
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *TOOLS]
    for command in (making, pip):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            said = textwrap.shorten(done.stdout, 400) if command is making else _last_line(done.stderr)
            raise ChildProcessError(f"tox could not be installed: {said.rstrip('.')}. Is there a network?")
    ready.write_text(str(TOOLS))
    return python


def _bin(program: str) -> Path:
    return RUNNER / ("Scripts" if os.name == "nt" else "bin") / program


def _fetch_pythons(plan: dict[str, str | None]) -> None:
    """Lets uv fetch missing Pythons into .tox; prints a line if it can't."""
    os.environ["UV_PYTHON_INSTALL_DIR"] = str(planning.FETCHED)
    wanted = dict.fromkeys(planning.pythons_of(name)[0] for name, python in plan.items() if python is None)
    for version in wanted:
        print(f"Fetching Python {version}", flush=True)
        command = [str(_bin("uv")), "python", "install", "--no-bin", version]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            done = subprocess.CompletedProcess(command, 1, "", "no answer for five minutes")
        if done.returncode:
            print(f"uv could not fetch Python {version}: {_last_line(done.stderr)}")
            break  # the others come from the same server
        for name, python in plan.items():
            if python is None:
                plan[name] = planning.python_for(name, [version])
    for name in (name for name, python in plan.items() if python is None):
        print(f"  {name:30} left out: it needs Python {any_of(planning.pythons_of(name))}", flush=True)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return next(
        (line for line in reversed(lines) if "ERROR" in line), lines[-1] if lines else "no reason given"
    ).strip()


def _built_wheel() -> Path:
    # uv makes the sdist, and the wheel from that, as pip would for somebody without the wheel.
    command = [str(_bin("uv")), "build", "--python", sys.executable, "--out-dir", str(REPORTS), str(ROOT)]
    links = os.environ.get("UV_FIND_LINKS", os.environ.get("PIP_FIND_LINKS"))
    done = subprocess.run([*command, *(["--find-links", links] if links else [])], capture_output=True, text=True)
    if done.returncode:
        raise ChildProcessError(f"The package could not be built: {_last_line(done.stderr)}. Is there a network?")
    return next(REPORTS.glob("*.whl"))


class Run:
    """Runs environments, some at a time: each is one process of tox that writes a log."""

    def __init__(
        self, tox: list[str], pythons: dict[str, str], reports: Path, seconds: dict[str, float], every: float
    ) -> None:
        self.tox, self.pythons, self.reports, self.seconds, self.every = tox, pythons, reports, seconds, every
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.started: dict[str, float] = {}
        self.took: dict[str, float] = {}
        self.codes: dict[str, int] = {}
        self.again: set[str] = set()
        self.begun = time.monotonic()

    def all(self, wheel: Path | None, posargs: list[str]) -> int:
        """Runs them, the longest first, prints progress and a summary, and returns 1 if anything is wrong."""
        (self.reports / "logs").mkdir(parents=True, exist_ok=True)
        waiting = sorted(self.pythons, key=lambda name: -self.seconds[name])
        first = planning.first_of(waiting)
        # An environment that others wait for comes first.
        waiting.sort(key=lambda name: not any(name in before for before in first.values()))
        told = self.begun
        try:
            while waiting or self.running:
                for name in waiting[:]:
                    if len(self.running) < planning.AT_ONCE and {*first[name]} <= {*self.codes}:
                        waiting.remove(name)
                        self._start(name, wheel, posargs)
                time.sleep(0.2)
                for name in [name for name, process in self.running.items() if process.poll() is not None]:
                    if self._was_not_installed(name):
                        self._say_that_it_starts_again(name)
                        self._start(name, wheel, posargs)
                    else:
                        self._end(name)
                if time.monotonic() - told >= self.every and self.running:
                    told = time.monotonic()
                    self._tell()
        finally:
            self._kill()
        codes = {name: self.codes[name] for name in self.pythons}
        return reporting.summary(codes, self.took, self.reports)

    def _start(self, name: str, wheel: Path | None, posargs: list[str]) -> None:
        package = [] if name in ON_SOURCE else ["--installpkg", str(wheel)] if wheel else ["--skip-pkg-install"]
        command = [*self.tox, *package, "-e", name, *(["--", *posargs] if posargs else [])]
        environment = {
            **os.environ,
            "PATH": planning.search_path(),
            "KERAS_BUILDFIX_REPORTS": str(self.reports),
            "KERAS_BUILDFIX_PROGRESS": str(self._file(name, "progress")),
        }
        if self.pythons[name] not in (planning.USUAL, planning.pythons_of(name)[0]):
            environment["KERAS_BUILDFIX_PYTHON"] = self.pythons[name]
        made = (ROOT / ".tox" / name / "pyvenv.cfg").exists()
        self._say(f"{name} starts on Python {self.pythons[name]}{'' if made else ', is installed first'}")
        self.started[name] = time.monotonic()
        with self._file(name, "log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that one signal ends it with all its processes
            )

    def _file(self, name: str, kind: str) -> Path:
        return self.reports / "logs" / f"{name}.{kind}"

    def _was_not_installed(self, name: str) -> bool:
        """Whether an environment ended before it began to test, for the first time: a package index can fail once."""
        began = self._file(name, "progress").exists() or reporting.counted(name, self.reports)
        # In those on the source, ruff or mypy ends before the first test: once is enough.
        return (
            bool(self.running[name].poll()) and not began and name not in {*ON_SOURCE, *reporting.NO_TESTS, *self.again}
        )

    def _say_that_it_starts_again(self, name: str) -> None:
        self.again.add(name)
        self._say(f"{name} ended before its first test, and starts once more. Its log ended with:")
        print(reporting.end_of(self._file(name, "log")), flush=True)

    def _end(self, name: str) -> None:
        self.codes[name] = self.running.pop(name).returncode
        self.took[name] = time.monotonic() - self.started[name]
        counts = reporting.counted(name, self.reports)
        wrong = reporting.why_wrong(name, self.codes[name], counts)
        self._say(f"{name}: {reporting.outcome(wrong, counts)} in {self.took[name]:.0f} s")
        if wrong:
            log = self._file(name, "log")
            print(f"{reporting.end_of(log)}\n    All of it: {log}", flush=True)

    def _tell(self) -> None:
        """Prints the progress of each running environment, and the time left."""
        parts, done = [], sum(self.seconds[name] for name in self.codes)
        for name in self.running:
            at = reporting.progress(self._file(name, "progress"))
            failed = f" ({at[2]} failed)" if at and at[2] else ""
            parts.append(f"{name} {at[0]} of {at[1]} tests{failed}" if at else f"{name}: no test yet")
            done += self.seconds[name] * at[0] / (at[1] or 1) if at else 0
        elapsed, undone = time.monotonic() - self.begun, 1 - done / sum(self.seconds.values())
        # The plan counts less the more is done: the first tests of an environment say little about its speed.
        left = undone * (elapsed + undone * together(self.seconds))
        count = f"{len(self.codes)} of {len(self.pythons)} environments done, "
        self._say(f"{'; '.join(parts)}; {count if len(self.pythons) > 1 else ''}{spoken(left)} left")

    def _say(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.begun), 60)
        print(f"[{minutes:2}:{seconds:02}] {text}", flush=True)

    def _kill(self) -> None:
        """Ends what still runs, with all its processes: first with a signal that they can handle, then by force."""
        if not self.running:
            return
        for number in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C must not interrupt this
            signal.signal(number, signal.SIG_IGN)
        for process in self.running.values():
            _signal(process, "SIGINT")
        with contextlib.suppress(subprocess.TimeoutExpired):
            until = time.monotonic() + PATIENCE
            for process in self.running.values():
                process.wait(max(0.1, until - time.monotonic()))
        for process in self.running.values():
            _signal(process, "SIGKILL")
            process.wait()


def _signal(process: subprocess.Popen[bytes], name: str) -> None:
    """Sends a signal to a process and all that it started; on a system without process groups, kills it alone."""
    if not hasattr(os, "killpg"):
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, getattr(signal, name))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
