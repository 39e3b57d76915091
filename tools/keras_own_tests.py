"""Runs Keras's own tests, on plain Keras and with this package: no test may fail only because of this package.

    python tools/keras_own_tests.py --env DIR_OF_VENV
    python tools/keras_own_tests.py --env .tox/keraslatest-jax --folder layers --quick
    python tools/keras_own_tests.py --env .tox/keras3.9-jax --tests-from .tox/keras3.12-jax --folder layers

The environment needs Keras 3 with its backend, and pytest. The tests come from the installed wheel, or, if that has
none, from the sdist of the same release, which pip fetches. For some releases (3.9.2) neither has tests:
`--tests-from` takes those of another environment. Tests of newer features then fail every way. The tests are copied to
a folder of their own, because classes in a module called `keras...` count as Keras's. Each folder of tests runs in
its own process, in these ways:

- `plain`: plain Keras;
- `bare`: every layer class of `keras.layers`, except `Layer` itself, is replaced by a subclass that adds nothing;
- `mixin`: like `bare`, but the subclasses list `PortableLayerMixin` first;
- `install`: plain Keras after `keras_buildfix.install()`.

A table shows how many tests passed and failed each way. A test fails only with us if it fails in `mixin` but neither
in `plain` nor in `bare`, or in `install` but not in `plain`. With `--quick`, plain and bare run only the tests that
failed with us, which takes less than half of the time. `--minutes 10` does that too, and runs each of our ways for
that long, in a random order that is the same each time; tests that did not start count as left out. Exit status: 0
if nothing fails only with us, 1 if anything does, 2 for a wrong call. It takes long (layers on JAX: 20 minutes a way
on one core), so run it by hand.

In the processes that run the tests, this file is the pytest plugin that replaces the classes and notes outcomes.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import types
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("layers", "saving", "models", "trainers", "optimizers")
WAYS = ("plain", "bare", "mixin", "install")
#: The ways with which each of ours is compared: a test that also fails in one of these is not our fault.
MEASURED_BY = {"mixin": ("plain", "bare"), "install": ("plain",)}
BAD = ("failed", "error", "lost")
#: The package into which the tests are copied.
PACKAGE = "keras_tests"
#: XLA optimizes less with these, so that the tests on JAX take half of the time.
XLA = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
WAY, OUTCOMES, MINUTES = "KERAS_OWN_TESTS_WAY", "KERAS_OWN_TESTS_OUTCOMES", "KERAS_OWN_TESTS_MINUTES"
START = time.monotonic()
#: The seconds that a test may take.
SECONDS = int(os.environ.get("KERAS_OWN_TESTS_SECONDS", "600"))


# --- In the processes that run the tests ----------------------------------------------------------


def replace_layers(keras: Any, *mixins: type) -> int:
    """Replaces every layer class in ``keras.layers`` by a subclass, for code that imports it from there."""
    from keras.src import api_export

    home = sys.modules["transparent"] = types.ModuleType("transparent")  # pickle looks classes up by module
    by_class: dict[type, type] = {}
    for name in sorted(vars(keras.layers)):
        cls = getattr(keras.layers, name)
        if not isinstance(cls, type) or not issubclass(cls, keras.layers.Layer) or cls is keras.layers.Layer:
            continue
        if cls not in by_class:
            by_class[cls] = type(cls.__name__, (*mixins, cls), {"__module__": home.__name__, "__doc__": cls.__doc__})
            setattr(home, cls.__name__, by_class[cls])
    names = {cls: api_export.REGISTERED_OBJS_TO_NAMES.get(cls) for cls in by_class}
    for cls, ours in by_class.items():
        if names[cls] is not None:  # saved files name a class by Keras's public name
            api_export.REGISTERED_OBJS_TO_NAMES[ours] = names[cls]
            api_export.REGISTERED_NAMES_TO_OBJS[names[cls]] = ours
    for module in (keras.layers, sys.modules["keras.src.layers"]):
        for name, value in list(vars(module).items()):
            if isinstance(value, type) and value in by_class:
                setattr(module, name, by_class[value])
    for cls, ours in by_class.items():  # `quantize` compares with the class in its own module
        setattr(sys.modules[cls.__module__], cls.__name__, ours)
    return len(by_class)


def take_for_users(name: str) -> None:
    """Renames a Keras module, so that the classes that its functions define count as a user's."""
    module = importlib.import_module(name)
    module.__name__ = name.rpartition(".")[2]
    sys.modules[module.__name__] = module


def pytest_configure(config: Any) -> None:
    """Replaces or fixes Keras's layers as this process's way of running needs, before any test is imported."""
    config.addinivalue_line("markers", "requires_trainable_backend: Keras's own")
    import keras

    take_for_users("keras.src.testing.test_case")
    way = os.environ[WAY]
    if way == "bare":
        replace_layers(keras)
    elif way == "mixin":
        import keras_buildfix

        replace_layers(keras, keras_buildfix.PortableLayerMixin)
    elif way == "install":
        import keras_buildfix

        keras_buildfix.install()


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Skips what Keras's own settings skip. Notes all tests as lost first, so that those that never run stay lost."""
    import keras
    import pytest

    if keras.config.backend() in ("numpy", "openvino"):
        for item in items:
            if "requires_trainable_backend" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="the backend does not train"))
    _note("lost", [item.nodeid for item in items])
    if os.environ.get(MINUTES):
        random.Random(0).shuffle(items)


def pytest_runtest_protocol(item: Any) -> bool | None:
    """Leaves tests out once the time is up. Stops a test that hangs, as some tests of newer releases do on 3.9."""
    minutes = float(os.environ.get(MINUTES) or "inf")
    if time.monotonic() - START < minutes * 60:
        if hasattr(signal, "SIGALRM"):  # not on Windows
            signal.signal(signal.SIGALRM, _too_long)
            signal.alarm(SECONDS)
        return None
    _note("left out", [item.nodeid])
    return True


def pytest_runtest_teardown(item: Any) -> None:
    """Ends the time limit of the test."""
    if hasattr(signal, "SIGALRM"):
        signal.alarm(0)


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"the test has not ended after {SECONDS} seconds")


def pytest_collectreport(report: Any) -> None:
    """Notes a file that can't be imported."""
    if report.failed:
        _note("error", [report.nodeid])


def pytest_runtest_logreport(report: Any) -> None:
    """Notes the outcome of a test at once: the process may die later."""
    if report.when == "call" or report.outcome != "passed":
        _note(report.outcome if report.when == "call" or report.skipped else "error", [report.nodeid])


def skip_if_backend(given_backend: str, reason: str) -> Any:
    """Keras's tests import this from its ``conftest``."""
    import keras
    import pytest

    return pytest.mark.skipif(keras.config.backend() == given_backend, reason=reason)


def _note(outcome: str, tests: list[str]) -> None:
    with open(os.environ[OUTCOMES], "a", encoding="utf-8") as file:
        file.writelines(f"{outcome}\t{test}\n" for test in tests)


# --- In the process that starts them ----------------------------------------------------------------


def ask(python: Path, code: str) -> str:
    """Runs a few lines of Python in the environment and returns what they print."""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def tests_of(keras: Path, version: str, folder: Path) -> Path:
    """The package folder with Keras's tests: the installed one, or that of its sdist, fetched into `folder`."""
    if any((keras / "src" / "layers").rglob("*_test.py")):
        return keras
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        pip = ["uv", "tool", "run", "pip"]
    options = ["--no-deps", "--no-binary", ":all:", "--quiet", "--dest", str(folder)]
    subprocess.run([*pip, "download", *options, f"keras=={version}"], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (found,) = (path.parent for path in folder.glob("*/keras/__init__.py"))
    if not any(found.rglob("*_test.py")):
        raise SystemExit(f"Neither the wheel nor the sdist of Keras {version} has its tests: use --tests-from.")
    return found


def lay_out(python: Path, tests_from: Path, work: Path) -> str:
    """Copies the tests into a package in `work`; returns a text with the versions of Keras and of the tests."""
    code = "import importlib.util as u; print(u.find_spec('keras').submodule_search_locations[0])"
    asked_version = "import importlib.metadata as m; print(m.version('keras'))"
    keras, version = Path(ask(tests_from, code)), ask(tests_from, asked_version)
    with tempfile.TemporaryDirectory() as fetched:
        source = tests_of(keras, version, Path(fetched)) / "src"
        for folder in FOLDERS:
            for test in (source / folder).rglob("*_test.py"):
                target = work / PACKAGE / test.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(test, target)
    for test in list((work / PACKAGE).rglob("*_test.py")):
        (test.parent / "__init__.py").touch()
    for folder in [work / PACKAGE, *(work / PACKAGE).iterdir()]:
        (folder / "__init__.py").touch()
    (work / "conftest.py").write_text("from keras_own_tests import skip_if_backend  # noqa: F401\n", "utf-8")
    (work / "pytest.ini").write_text("[pytest]\n", "utf-8")
    return f"Keras {ask(python, asked_version)}, tests of {version}"


def run(python: Path, backend: str, work: Path, way: str, tests: list[str], minutes: str = "") -> dict[str, str]:
    """Runs tests one way and returns the outcome of each: "lost" if the process died before it."""
    outcomes, log = work / "outcomes", work / f"{way}.log"
    outcomes.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (work, ROOT / "tools", ROOT))),
        "KERAS_BACKEND": backend,
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", XLA),
        "KERAS_HOME": str(work / "home"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        WAY: way,
        OUTCOMES: str(outcomes),
        MINUTES: minutes,
    }
    options = ["-p", "keras_own_tests", "-p", "no:cacheprovider", "--continue-on-collection-errors", "-q", "--tb=short"]
    command = [str(python), "-m", "pytest", *options, *tests]
    with log.open("a", encoding="utf-8") as file:
        subprocess.run(command, cwd=work, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
    found: dict[str, str] = {}
    for line in outcomes.read_text("utf-8").splitlines() if outcomes.exists() else ():
        outcome, _, test = line.partition("\t")
        if found.get(test) not in ("failed", "error"):  # a test may fail and then fail in its teardown: count it once
            found[test] = outcome
    if not found:
        raise SystemExit(f"{way}: no test was run.\n" + log.read_text("utf-8")[-3000:])
    return found


def only_with_us(found: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """For each of our ways, the tests that fail there and in none of the ways with which it is compared."""
    return {
        way: [
            test
            for test, outcome in found[way].items()
            if outcome in BAD and not any(found[other].get(test, "not run") in BAD for other in others)
        ]
        for way, others in MEASURED_BY.items()
        if way in found
    }


def bad(outcomes: dict[str, str]) -> list[str]:
    """The tests that failed."""
    return [test for test, outcome in outcomes.items() if outcome in BAD]


def measure(
    python: Path, backend: str, work: Path, folders: dict[str, list[str]], ours: list[str], quick: bool, minutes: str
) -> bool:
    """Runs our ways and those that they are compared with; returns whether no test fails only with us."""
    fine = True
    ways = [way for way in WAYS if way in ours or any(way in MEASURED_BY[our] for our in ours)]
    print(f"{'folder':<12}{'way':<10}{'passed':>8}{'failed':>8}{'skipped':>8}{'left out':>10}", flush=True)
    for folder, tests in folders.items():
        found: dict[str, dict[str, str]] = {}
        for way in reversed(ways) if quick else ways:  # ours first, then what failed with us
            chosen = tests
            if quick and way not in ours:
                failed = {test for our in ours if way in MEASURED_BY[our] for test in bad(found[our])}
                chosen = sorted(failed - {test for test in failed if test.partition("::")[0] in failed - {test}})
            limit = minutes if way in ours else ""
            found[way] = run(python, backend, work, way, chosen, limit) if chosen else {}
            count = Counter(found[way].values())
            wrong = len(bad(found[way]))
            print(
                f"{folder:<12}{way:<10}{count['passed']:>8}{wrong:>8}{count['skipped']:>8}{count['left out']:>10}",
                flush=True,
            )
        for way, names in only_with_us(found).items():
            fine = fine and not names
            for name in names:
                print(f"  only with {way}: {name} ({found[way][name]})", flush=True)
    return fine


def main(arguments: list[str] | None = None) -> int:
    """Parses the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--env", required=True, type=Path, help="folder of the virtual environment")
    parser.add_argument("--tests-from", type=Path, help="another environment, whose Keras has its tests")
    parser.add_argument("--backend", help="by default KERAS_BACKEND, or the end of the environment's name")
    parser.add_argument("--folder", action="append", choices=FOLDERS, help="only these (can be repeated)")
    parser.add_argument("--tests", action="append", default=[], help="only these files, by their path in the folder")
    parser.add_argument("--quick", action="store_true", help="plain and bare run only what failed with us")
    parser.add_argument("--minutes", type=float, help="each of our ways runs for this long and leaves the rest out")
    parser.add_argument("--keep", type=Path, help="keep the tests and the logs in this new folder")
    parser.add_argument("--way", action="append", choices=[*MEASURED_BY], help="only this of our ways")
    given = parser.parse_args(arguments)
    pythons = []
    for folder in (given.env, given.tests_from or given.env):
        pythons.append((folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")).absolute())
        if not pythons[-1].exists():
            parser.error(f"{folder} is no virtual environment: it has no {pythons[-1].name}.")
    python, tests_from = pythons
    ending = given.env.name.rpartition("-")[2]
    known = ending if ending in ("tensorflow", "jax", "torch", "numpy") else "tensorflow"
    backend = given.backend or os.environ.get("KERAS_BACKEND") or known
    with tempfile.TemporaryDirectory() as temporary:
        work = given.keep.absolute() if given.keep else Path(temporary)
        work.mkdir(parents=True, exist_ok=not given.keep)
        print(f"{lay_out(python, tests_from, work)}, on {backend}", flush=True)
        folders = {}
        for folder in given.folder or FOLDERS:
            home = work / PACKAGE / folder
            files = sorted(home.rglob("*_test.py"))
            if given.tests:
                files = [path for path in files if path.relative_to(home).as_posix() in given.tests]
            if files:
                folders[folder] = [path.relative_to(work).as_posix() for path in files]
        if not folders:
            parser.error("no such test file in these folders.")
        ours, minutes = given.way or [*MEASURED_BY], str(given.minutes or "")
        return 0 if measure(python, backend, work, folders, ours, given.quick or bool(minutes), minutes) else 1


if __name__ == "__main__":
    sys.exit(main())
