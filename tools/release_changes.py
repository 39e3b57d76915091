"""Writes docs/releases.md: what changed from one Keras release to the next for people who subclass its layers.

python tools/release_changes.py --tox /path/to/.tox     run the probes in each environment, write record and page
python tools/release_changes.py --envs keras3.9-jax     only in some environments, the rest stays as recorded
python tools/release_changes.py --recorded              run nothing: write the page from the record
python tools/release_changes.py --here                  run the probes with the Keras of this Python, print JSON
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import environments
import pages
from environments import label

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "releases.md"
RECORD = ROOT / "tests" / "data" / "releases.json"
KERAS_2 = ("2.12", "2.13", "2.14", "2.15")
KERAS_3 = (*("3.0", "3.1", "3.2", "3.3", "3.5", "3.6", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"), "latest")
#: Each release is compared with the one before it, on TensorFlow.
CHAIN = tuple(f"keras{each}-tensorflow" for each in (*KERAS_2, *KERAS_3))
#: The nightly is compared on JAX: `kerasnightly-tensorflow` may hold the release, as TensorFlow requires Keras.
NIGHTLY = ("keraslatest-jax", "kerasnightly-jax")
LEGACY = ("tfkeras2.16-tensorflow", "tfkeras2.21-tensorflow")
#: Environments with other backends; each is compared with the same release on TensorFlow.
OTHERS = (
    *(f"keras{each}-{backend}" for each in ("3.2", "3.6", "3.9", "3.12") for backend in ("jax", "torch")),
    *("keraslatest-jax", "keraslatest-torch", "keraslatest-numpy", *NIGHTLY[1:]),
)
ENVIRONMENTS = (*CHAIN, *LEGACY, *OTHERS)


def run_here() -> None:
    """Runs the probes with the Keras of this Python, and prints what they say as a line of JSON."""
    name = "tf_keras" if "tfkeras" in os.environ.get("KERAS_BUILDFIX_ENV", "") else "keras"
    keras = importlib.import_module(name)
    said = importlib.import_module("release_probes").outcomes(keras)
    version = getattr(keras, "__version__", None) or keras.version()
    print(json.dumps({"version": version, "said": said}))


def results(environment: str, tox: Path) -> dict[str, Any]:
    """The version of Keras in an environment, and what the probes say there."""
    done = environments.run(environment, tox, str(Path(__file__).resolve()), "--here")
    if done.returncode:
        raise SystemExit(f"{environment}: {done.stderr.decode()[-2000:]}")
    return json.loads(done.stdout.decode().splitlines()[-1])


# --- The page ------------------------------------------------------------------------------------

#: What matters most in a release, for the list at the top; the tests check the probes that prove it.
SUMMARIES = {
    "3.0": ("add_weight_name_first", "shape_type", "raw_variable", "saved_model", "cast_second"),
    "3.2": ("extra_Dense",),
    "3.3": ("extra_Conv2D",),
    "3.6": ("build_MaxPooling2D",),
    "3.5": ("seed_dtype", "config_dtype", "cast_ints"),
    "3.10": ("state_in_init", "build_MaxPooling2D"),
    "3.12": ("build_Reshape",),
}


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """The names of the probes that say something else."""
    return [name for name in probes() if "-" not in (before[name], now[name]) and before[name] != now[name]]


def probes() -> dict[str, Any]:
    """All probes."""
    return importlib.import_module("release_probes").PROBES


def table(before: dict[str, str], now: dict[str, str], titles: tuple[str, str, str]) -> list[str]:
    """The table of what differs, or a sentence that nothing does."""
    names = changes(before, now)
    if not names:
        return ["No probe says anything else.", ""]
    rows = []
    for name in names:
        older = "for older releases: " if now[name] in FINE else ""
        rows.append((probes()[name].words, before[name], now[name], f"{older}{probes()[name].fix}"))
    return [*pages.table(("what", *titles), rows), ""]


def page(found: dict[str, Any]) -> str:
    """The text of the page."""
    said = {name: found[name]["said"] for name in ENVIRONMENTS if name in found}
    chain = [name for name in CHAIN if name in said]
    pairs = [*zip(chain, chain[1:]), NIGHTLY]
    lines = [*INTRO.format(first=label(chain[0]), count=len(probes())).splitlines(), ""]
    lines += [summary(said[before], said[now], now) for before, now in pairs] + [""]
    for before, now in pairs:
        lines += [f"## {title(now)}", "", *note(found[now], now, before)]
        lines += table(said[before], said[now], (label(before), label(now), "what to do"))
    last = [name for name in chain if name.startswith("keras2.")][-1]
    lines += ["## tf_keras", "", f"Compared with Keras {label(last)}. `tf_keras` is Keras 2 for later TensorFlows.", ""]
    for name in (each for each in LEGACY if each in said):
        lines += [f"### {label(name)}", "", *table(said[last], said[name], (label(last), label(name), "what to do"))]
    lines += ["## Other backends", "", "Compared with TensorFlow on the same release.", "", *others(said)]
    lines += [
        "## All probes",
        "",
        "On TensorFlow. In brackets: the releases on which it says this.",
        "",
        *bands(said, chain),
    ]
    return "\n".join(lines).rstrip() + "\n"


#: Outcomes with which nothing is left to do.
FINE = ("works", "runs", "once", "there", "1 of 1 weights", "2 of 2 weights")
INTRO = """\
# Keras 3, release by release

Here you see what changed for people who subclass Keras's layers, in each release since Keras {first}, and what to do.

`tools/release_changes.py` wrote this page. It runs {count} small probes (`tools/release_probes.py`) with plain Keras on
each release, without this package; nothing is taken from changelogs. What no probe does is not on this page, and a
release that is not here was not tried. `raises` names the error's class. The releases are compared on TensorFlow. On
Keras 2.12 to 2.15 a probe gets the package `keras`, which is not quite `tf.keras` on 2.12. The nightly
may change any day.

What changed, in a line each:
"""


def title(environment: str) -> str:
    """The title of a release's section."""
    words = {"newest": "The newest release", "nightly": "The nightly"}
    return words.get(label(environment), f"Keras {label(environment)}")


def note(result: dict[str, Any], environment: str, before: str) -> list[str]:
    """Which version was tried."""
    return [f"Tried: {result['version']}. Compared with {label(before)}{' on JAX' if before in NIGHTLY else ''}.", ""]


def summary(before: dict[str, str], now: dict[str, str], environment: str) -> str:
    """A line of the list at the top: up to three changes in words, those of `SUMMARIES` first."""
    names = changes(before, now)
    wanted = [name for name in SUMMARIES.get(label(environment), ()) if name in names]
    shown = (wanted + [name for name in names if name not in wanted])[: max(3, len(wanted))]
    text = "; ".join(f"{probes()[name].words}: {now[name]}" for name in shown) or "nothing that a probe sees"
    rest = f"; {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    anchor = title(environment).lower().replace(".", "").replace(",", "").replace(" ", "-")
    return f"- [{title(environment)}](#{anchor}): {text}{rest}"


def others(said: dict[str, dict[str, str]]) -> list[str]:
    """A table with a row for each probe and other outcome, with the environments that have it."""
    rows = []
    for name, each in probes().items():
        where: dict[tuple[str, str], list[str]] = {}
        for environment in (one for one in OTHERS if one in said):
            usual = said.get(environment.rpartition("-")[0] + "-tensorflow", {})
            if usual and name in changes(usual, said[environment]):
                key = (usual[name], said[environment][name])
                where.setdefault(key, []).append(f"{label(environment)} {environment.rpartition('-')[2]}")
        rows += [(each.words, *words, ", ".join(places)) for words, places in where.items()]
    return [*pages.table(("what", "TensorFlow", "other", "where"), rows), ""]


def bands(said: dict[str, dict[str, str]], chain: list[str]) -> list[str]:
    """A table with a row for each probe: what it says, and from which to which release."""
    rows = []
    for name, each in probes().items():
        runs: list[tuple[str, list[str]]] = []
        for environment in chain:
            word = said[environment][name]
            if not runs or runs[-1][0] != word:
                runs.append((word, []))
            runs[-1][1].append(label(environment))
        cells = [f"{word} ({who[0] if len(who) == 1 else f'{who[0]} to {who[-1]}'})" for word, who in runs]
        rows.append((each.words, ", ".join(cells)))
    return pages.table(("what", "outcomes"), rows)


def main() -> None:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", default=ENVIRONMENTS, help="environments of the matrix")
    parser.add_argument("--tox", type=Path, default=ROOT / ".tox", help="the folder with the environments")
    parser.add_argument("--record", type=Path, default=RECORD, help="the file with the results")
    parser.add_argument("--recorded", action="store_true", help="run nothing: write the page from the record")
    parser.add_argument("--here", action="store_true", help="run with the Keras of this Python, print JSON")
    args = parser.parse_args()
    if args.here:
        run_here()
        return
    found = json.loads(args.record.read_text("utf-8")) if args.record.exists() else {}
    for environment in [] if args.recorded else args.envs:
        found[environment] = results(environment, args.tox)
        print(environment, found[environment]["version"], file=sys.stderr, flush=True)
        args.record.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    TARGET.write_text(page(found), "utf-8")


if __name__ == "__main__":
    main()
