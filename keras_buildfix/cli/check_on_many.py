"""``check --keras``: makes an environment for each Keras with uv, and checks the class in all of them, side by side."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import keras_buildfix
from keras_buildfix import matrix
from keras_buildfix.cli.screen import complain, print_json, print_table, progress

#: How many environments run at once: each needs about 2 GB of memory.
AT_ONCE = max(1, min(4, os.cpu_count() or 1))


class Outcome(NamedTuple):
    """What came of one environment: what `check --json` printed there, or what went wrong."""

    environment: matrix.Environment
    found: dict[str, Any]
    problem: str


class More(NamedTuple):
    """What else to install in each environment: with what it requires, and without."""

    packages: tuple[str, ...]
    alone: tuple[str, ...]


def check_on_many(keras: str, backends: str, more: More, arguments: Sequence[str], as_json: bool) -> int:
    """Runs the command ``check`` with `arguments` on several Keras versions; prints a table, and returns the exit code.

    Args:
        keras: The Keras versions, as for `matrix.environments`; ``newest`` is ``latest``.
        backends: The backends with commas; without them, TensorFlow for Keras 2 and the configured one for Keras 3.
        more: What else to install in each environment.
        arguments: The arguments of ``check`` without those of this function.
        as_json: Whether to print JSON.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise FileNotFoundError("--keras makes environments with uv, which is not here: `pip install uv`.")
    chosen = _chosen(keras.replace("newest", "latest"), [word.strip() for word in backends.split(",") if word.strip()])
    outcomes: dict[str, Outcome] = {}
    at_work = progress(f"checking on {len(chosen)} environments")
    with tempfile.TemporaryDirectory() as ours, ThreadPoolExecutor(AT_ONCE) as pool, at_work as step:
        _copy_of_this_package(ours)
        running = [pool.submit(_outcome, uv, each, more, arguments, ours) for each in chosen]
        for done, each in enumerate(as_completed(running), 1):
            outcome = each.result()
            outcomes[outcome.environment.name] = outcome
            step(done, len(chosen))
            complain(f"{outcome.environment.name}: {outcome.problem or _counts(outcome.found)}")
    return _tell([outcomes[each.name] for each in chosen], as_json)


def _chosen(keras: str, backends: list[str]) -> list[matrix.Environment]:
    """The environments to check on; each Keras that was named is among them, or this raises an error."""
    if backends:
        return list(matrix.environments(keras, backends))
    from keras_buildfix._keras.info import configured_backend

    usual = configured_backend()[0]
    able = [name for name in matrix.BACKENDS if name == usual] or ["tensorflow"]
    every = matrix.environments(keras)
    found = [each for each in every if each.backend == able[0]]
    left = {each.keras for each in every} - {each.keras for each in found}
    found += [each for each in every if each.keras in left and each.backend == "tensorflow"]
    order = [each.name for each in every]
    return sorted(found, key=lambda each: order.index(each.name))


def _outcome(uv: str, environment: matrix.Environment, more: More, arguments: Sequence[str], ours: str) -> Outcome:
    try:
        python = _ready(uv, environment, more)
        done = subprocess.run(
            [str(python), "-m", "keras_buildfix", "check", *arguments, "--json"],
            capture_output=True,
            text=True,
            env={**_environment(environment, ours), "KERAS_HOME": str(python.parent.parent / "keras")},
        )
        found = json.loads(done.stdout) if done.stdout.lstrip().startswith("{") else None
        if found is None:
            return Outcome(environment, {}, _last_line(done.stderr, f"it ended with exit code {done.returncode}"))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Outcome(environment, {}, str(error))
    if not matrix.is_the_one(environment.keras, found["version"]):
        return Outcome(environment, {}, f"{found['keras']} was installed there: a requirement moved it")
    return Outcome(environment, found, "")


def _copy_of_this_package(folder: str) -> None:
    """Copies it into `folder`: where it is installed, its own folder also holds another Keras, numpy and so on."""
    package = Path(keras_buildfix.__file__).parent
    shutil.copytree(package, Path(folder, package.name), ignore=shutil.ignore_patterns("__pycache__"))


def _environment(environment: matrix.Environment, ours: str) -> dict[str, str]:
    """The variables for a process in an environment: the package in `ours` and the current folder can be imported."""
    paths = [ours, *filter(None, [os.environ.get("PYTHONPATH")])]
    left = {name: value for name, value in os.environ.items() if name not in ("TF_USE_LEGACY_KERAS", "VIRTUAL_ENV")}
    return {"TF_CPP_MIN_LOG_LEVEL": "3", **left, **environment.variables, "PYTHONPATH": os.pathsep.join(paths)}


def _ready(uv: str, environment: matrix.Environment, more: More) -> Path:
    """The Python of an environment; it is made if it is not there, or was not finished."""
    constraints = matrix.constraints(environment.keras)
    installed = json.dumps([environment.requirements, environment.last, constraints, more])
    key = hashlib.sha256(installed.encode()).hexdigest()[:8]
    folder = _cache() / f"{environment.name}-{key}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _uv(uv, "venv", "--quiet", "--python", environment.python, str(folder))
        pip = ("pip", "install", "--quiet", "--python", str(python))
        bounds = folder / "constraints.txt"
        bounds.write_text("\n".join(constraints), "utf-8")
        _uv(uv, *pip, "--constraint", str(bounds), "packaging", "h5py", *environment.requirements, *more.packages)
        if more.alone:
            _uv(uv, *pip, "--no-deps", *more.alone)
        if environment.last:
            _uv(uv, *pip, "--reinstall", "--no-deps", "--prerelease=allow", *environment.last)
        (folder / "ready").touch()
    return python


def _cache() -> Path:
    """The folder of the environments, which stay for the next run."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "keras-buildfix" / "environments"


def _uv(uv: str, *arguments: str) -> None:
    links = os.environ.get("UV_FIND_LINKS", os.environ.get("PIP_FIND_LINKS", ""))
    environment = {**os.environ, **({"UV_FIND_LINKS": ",".join(links.split())} if links else {})}
    done = subprocess.run([uv, *arguments], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise ChildProcessError(f"it could not be installed: {_last_line(done.stderr, 'uv gave no reason')}")


def _last_line(text: str, otherwise: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else otherwise


def _counts(found: dict[str, Any]) -> str:
    statuses = [each["status"] for each in found["results"]]
    return ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))


def _tell(outcomes: Sequence[Outcome], as_json: bool) -> int:
    broken = [each for each in outcomes if each.problem]
    failed = [each for each in outcomes if "failed" in _statuses(each).values()]
    ran = [each for each in outcomes if {*_statuses(each).values()} - {"skipped"}]
    if as_json:
        each_of = {each.environment.name: {**each.found, "problem": each.problem} for each in outcomes}
        print_json({"environments": each_of})
    else:
        names = dict.fromkeys(name for each in outcomes for name in _statuses(each))
        shown = [name for name in names if any(_statuses(each).get(name, "passed") != "passed" for each in outcomes)]
        rows = [("all checks", *(each.problem or _counts(each.found) for each in outcomes))]
        rows += [(name, *(_statuses(each).get(name, "") for each in outcomes)) for name in shown]
        print_table(("", *(f"{each.environment.keras}-{each.environment.backend}" for each in outcomes)), rows)
        for text, where in _messages(failed):
            print(f"\n{', '.join(where)}\n{text}")
    return 2 if broken or not ran else int(bool(failed))


def _statuses(outcome: Outcome) -> dict[str, str]:
    return {each["check"]: each["status"] for each in outcome.found.get("results", ())}


def _messages(failed: Iterable[Outcome]) -> list[tuple[str, list[str]]]:
    """The messages of all failures, each with the environments that it comes from."""
    found: dict[str, list[str]] = {}
    for outcome in failed:
        for each in outcome.found["results"]:
            if each["status"] == "failed":
                found.setdefault(f"{each['check']}: {each['message']}", []).append(outcome.environment.name)
    return list(found.items())
