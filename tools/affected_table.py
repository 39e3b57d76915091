"""Writes docs/affected_layers.md: the built-in layers whose subclasses break, on each Keras.

    python tools/affected_table.py

The data is `keras_buildfix/_keras/facts.py`, which `tools/measure_facts.py` writes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import environments
import pages

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "affected_layers.md"
sys.path.insert(0, str(ROOT))

from keras_buildfix import affected_layers  # noqa: E402
from keras_buildfix._keras import facts  # noqa: E402

#: The word for each symptom on the page.
WORDS = {"skipped_build": "skipped", "locked_state": "locked", "built_twice": "twice"}
INTRODUCTION = """# Affected layers: which built-ins break their subclasses, on which Keras

The tables name each built-in layer whose subclasses break, and the releases on which they do.
`affected_layers("3.9")` gives the same lists to a program, and [deferred build](building.md) says what helps.

`tools/affected_table.py` wrote this page from `keras_buildfix/_keras/facts.py`. `tools/measure_facts.py` measured that
in each [environment of the matrix](environments.md), on each backend there: it made each layer in `keras.layers`,
and subclasses of it. Each run of the tests measures again and compares. Layers that need another layer, and some that
have a `build` of their own, were left out; the tool says which and why. A layer has a row for each of its names, so
`MaxPool2D` and `MaxPooling2D` are two.

- **skipped**: the `build()` of a subclass does not run, because a constructor marks the layer as built. A subclass with
  a `build` had `built == True` right after it was made.
- **locked**: a subclass without a `build` can't make weights or layers in its own `__init__`. `add_weight` there, after
  `super().__init__()`, raised "You cannot add new elements of state".
- **twice**: the `build()` of a subclass runs again at the first call after an explicit `layer.build(shape)`. The layer
  was not `built` after that, although `build` had called `super().build`.

Measured on Keras {versions}. {missing}
`affected_layers` takes a release between two of these for the older one, and a release after all of them for the
newest.

One layer that skips builds is not in the tables. With Keras 3, `tf.keras.layers` has a legacy `AlphaDropout` that is
not the one in `keras.layers`. Its subclasses skip their builds on every release of Keras 3 in the matrix, 3.10 and
later included.
`deferred_build` fixes them too (`tests/building/test_build.py`).
"""


def page() -> str:
    """The text of the page."""
    known = measured()
    lines = [INTRODUCTION.format(versions=environments.ranges(known, known), missing=_missing(known))]
    lines += ["## From first to last release", ""]
    head = ["what happens", "names at most", "first release", "last release"]
    lines += [*pages.table(head, [_span(symptom, known) for symptom in WORDS]), ""]
    for title, symptoms in (
        ("Skipped builds and locked state", ("skipped_build", "locked_state")),
        ("Built twice", ("built_twice",)),
    ):
        bands = _bands(symptoms, known)
        names = sorted({name for found in bands.values() for name in found})
        lines += [f"## {title}", "", _elsewhere(bands), ""]
        shown = {label: found for label, found in bands.items() if found}
        rows = [[f"`{name}`", *(found.get(name, "") for found in shown.values())] for name in names]
        lines += [*pages.table(["layer", *shown], rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def measured() -> list[str]:
    """The releases in the docstring of facts.py, in order: ``2.12``, ``tf_keras 2.16``, ``3.9``, ``nightly``."""
    found = re.findall(r"\b(\d+)\.(\d+)\.\d+(\.dev\d+)?", facts.__doc__ or "")
    return [
        # `tf.keras` ends with 2.15; what came after it is `tf_keras`.
        "nightly" if nightly else f"{'tf_keras ' if major == '2' and int(minor) > 15 else ''}{major}.{minor}"
        for major, minor, nightly in found
    ]


def _missing(known: list[str]) -> str:
    """A sentence about the releases of Keras 3 that a range passes over."""
    minors = [int(label[2:]) for label in known if label.startswith("3.")]
    missing = [f"3.{minor}" for minor in range(max(minors)) if minor not in minors]
    return f"Ranges pass over what the matrix lacks: {', '.join(missing)}." if missing else ""


def _names(symptom: str, label: str) -> tuple[str, ...]:
    version = "99.0" if label == "nightly" else label.rpartition(" ")[2]
    return affected_layers(version, symptom=symptom)  # type: ignore[arg-type]


def _bands(symptoms: tuple[str, ...], known: list[str]) -> dict[str, dict[str, str]]:
    """Releases that follow each other and do the same: their name -> layer -> what happens."""
    bands: list[tuple[list[str], dict[str, str]]] = []
    for label in known:
        here: dict[str, str] = {}
        for symptom in symptoms:
            for name in _names(symptom, label):
                here[name] = f"{here[name]}, {WORDS[symptom]}" if name in here else WORDS[symptom]
        if bands and bands[-1][1] == here:
            bands[-1][0].append(label)
        else:
            bands.append(([label], here))
    return {environments.ranges(labels, known): here for labels, here in bands}


def _elsewhere(bands: dict[str, dict[str, str]]) -> str:
    nothing = [label for label, found in bands.items() if not found]
    return f"None of this happens on Keras {', '.join(nothing)}."


def _span(symptom: str, known: list[str]) -> list[str]:
    """A row: the word, how many names, and the first and last release on which it happens."""
    where = [label for label in known if _names(symptom, label)]
    most = max(len(_names(symptom, label)) for label in where)
    return [f"{WORDS[symptom]}", str(most), where[0], where[-1]]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(f"{PAGE}: {len(measured())} releases")
