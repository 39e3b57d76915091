"""Plans a run of run_tests.py: which environments, with which Python, and about how long it takes.

It reads tox.ini and looks for interpreters. It installs nothing.
"""

from __future__ import annotations

import configparser
import difflib
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from keras_buildfix import matrix  # noqa: E402

#: The Python of environments whose names do not say which.
USUAL = matrix.USUAL_PYTHON
#: The Pythons of environments that have no Keras in their name. The published libraries need the usual one.
OTHERS = {"lint": matrix.PYTHONS, "types": matrix.PYTHONS[2:], "docs": matrix.PYTHONS[1:], "bench": matrix.PYTHONS[2:]}
#: How many environments run at once. Three keep two cores busy: each waits at times, for files or packages.
AT_ONCE = 3
#: The seconds of each environment in `run_tests.py all`, on 2 cores, three at once, already installed.
RECORDED = ROOT / "tools" / "seconds.json"
#: With every combination an environment takes this many times as long.
FULL = 4
#: Seconds to install an environment for the first time.
INSTALLING = 45
#: Where uv puts the Pythons that it fetches.
FETCHED = ROOT / ".tox" / ".pythons"
#: Words that stand for several environments.
ALL = ("all", "full")


@functools.cache
def _tox() -> configparser.ConfigParser:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", "utf-8")
    return tox


def quick() -> list[str]:
    """The environments that run if the user names none."""
    return re.findall(r"[^\s,]+", _tox()["tox"]["env_list"])


@functools.cache
def labels() -> dict[str, list[str]]:
    """The environments of each label in tox.ini."""
    text = _tox()["tox"]["labels"].replace("\\\n", " ")
    return {label: re.findall(r"[^\s,]+", names) for label, names in re.findall(r"^(\w+) = (.*)", text, re.MULTILINE)}


def known() -> list[str]:
    """The names of all environments."""
    return [*(name for names in labels().values() for name in names), "bench"]


def chosen(words: list[str]) -> list[str]:
    """The environments that these words name, each once; an error with the nearest names for a wrong one."""
    wrong = [word for word in words if word not in (*known(), *ALL)]
    if wrong:
        lines = []
        for word in wrong:
            if "/" in word or word.endswith(".py"):
                lines.append(f"No environment is called {word!r}. Arguments of pytest come after --: ... -- {word}")
                continue
            begin = [name for name in known() if name.startswith(word)]
            near = ", ".join((begin or difflib.get_close_matches(word, known(), 4, 0.5))[:5])
            lines.append(f"No environment is called {word!r}." + (f" The nearest: {near}." if near else ""))
        raise ValueError("\n".join([*lines, "", "The environments are:", listing()]))
    if not words:
        return quick()
    everything = [name for names in labels().values() for name in names]
    return list(dict.fromkeys(name for word in words for name in (everything if word in ALL else [word])))


def listing() -> str:
    """All environments by label, with a few words about each label."""
    texts = {
        "lint": "lint, types and the site",
        "matrix": "one Keras and backend each",
        "downstream": "published libraries",
    }
    lines = []
    for label, names in {**labels(), "bench": ["bench"]}.items():
        lines.append(f"  {texts.get(label, 'benchmarks')}:")
        line = ""
        for name in names:
            if len(line) + len(name) > 100:
                lines.append(f"    {line.rstrip()}")
                line = ""
            line += f"{name}  "
        lines.append(f"    {line.rstrip()}")
    return "\n".join(lines)


def pythons_of(name: str) -> list[str]:
    """The Pythons on which an environment can run, its own first."""
    factors = matrix.parse(name)
    if factors is not None and factors.python:
        return [factors.python]
    if name.startswith("downstream"):
        return [USUAL]
    able = OTHERS[name] if factors is None else matrix.pythons(factors.keras, factors.backend)
    usual = _minor(USUAL)
    return sorted(able, key=lambda version: (_minor(version) < usual, abs(_minor(version) - usual)))


def _minor(version: str) -> int:
    return int(version.split(".")[1])


def python_for(name: str, here: Collection[str]) -> str | None:
    """The Python in `here` on which an environment runs; None if it can use none of them."""
    return next((version for version in pythons_of(name) if version in here), None)


def any_of(versions: list[str]) -> str:
    """Versions of Python in words, such as "3.9, 3.10 or 3.11"."""
    *others, last = sorted(versions, key=_minor)
    return f"{', '.join(others)} or {last}" if others else last


def interpreters(path: str) -> list[str]:
    """The Pythons that are on a PATH and start, and this one, as "3.11"."""
    here = ".".join(map(str, sys.version_info[:2]))
    # Shims come last: each takes a second to find out that its Python is missing.
    folders = sorted(dict.fromkeys(path.split(os.pathsep)), key=lambda folder: Path(folder).name == "shims")
    return [
        version
        for version in matrix.PYTHONS
        if version == here or any(_starts(shutil.which(f"python{version}", path=folder)) for folder in folders)
    ]


def _starts(python: str | None) -> bool:
    """Whether an interpreter starts: pyenv may have a shim for one that is switched off."""
    if python is None:
        return False
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def search_path() -> str:
    """PATH, followed by the folders of this interpreter and of those that pyenv and uv installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    uv = (FETCHED, Path.home() / ".local" / "share" / "uv" / "python")
    found = [Path(sys.base_prefix, "bin"), *sorted(pyenv.glob("*/bin"))]
    found += [folder for fetched in uv for folder in sorted(fetched.glob("cpython-*/bin"))]
    return os.pathsep.join([os.environ.get("PATH", ""), *map(str, found)])


def seconds(names: Iterable[str], full: bool = False) -> dict[str, float]:
    """About how long each of these environments takes in one run, on the cores of this machine."""
    names = list(names)
    recorded: dict[str, int] = json.loads(RECORDED.read_text("utf-8"))
    usual = sorted(recorded.values())[len(recorded) // 2]
    # The records come from three environments on two cores. If each has a core of its own, it is faster by that factor.
    load = max(1.0, min(AT_ONCE, len(names)) / (os.cpu_count() or 1)) / (AT_ONCE / 2)
    return {
        name: recorded.get(name, usual) * load * (FULL if full else 1)
        + (0 if (ROOT / ".tox" / name / "pyvenv.cfg").exists() else INSTALLING)
        for name in names
    }


def together(each: dict[str, float]) -> float:
    """About how long these environments take in all, with several running at once."""
    return max(sum(each.values()) / min(AT_ONCE, len(each) or 1), *each.values(), 0.0)


def first_of(names: Collection[str]) -> dict[str, list[str]]:
    """For each environment, those of this run that must end before it starts: `depends` in tox.ini."""
    rules = {}
    for line in _tox()["testenv"]["depends"].strip().splitlines():
        factors, _, before = line.partition(":")
        choices = re.search(r"\{(.*)\}(.*)", factors)
        after = [f"{choice}{choices[2]}" for choice in choices[1].split(",")] if choices else [factors.strip()]
        for name in after:
            rules[name] = [other for other in re.findall(r"[^\s,]+", before) if other in names]
    return {name: rules.get(name, []) for name in names}


def spoken(span: float) -> str:
    """A number of seconds in words, as roughly as an estimate allows."""
    if span < 50:
        return "less than a minute"
    return f"about {round(span / 60)} min" if span < 5400 else f"about {span / 3600:.1f} hours"
