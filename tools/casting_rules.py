"""Writes docs/casting_rules.md: which tensors a layer's `call` gets cast under a dtype policy, on each Keras.

    python tools/casting_rules.py --tox .tox                  measure in each environment there, write data and page
    python tools/casting_rules.py --tox .tox keras3.9-jax     measure again in these, write data and page
    python tools/casting_rules.py                             write the page from the data
    python tools/casting_rules.py --here                      measure the Keras of this Python, print JSON

The data is in tests/data/casting_rules.json. Each environment measures again and compares, in
tests/precision/test_casting_rules.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data" / "casting_rules.json"
PAGE = ROOT / "docs" / "casting_rules.md"
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import environments  # noqa: E402
import pages  # noqa: E402

POLICIES = ("mixed_float16", "mixed_bfloat16", "float64")
#: What a layer gets or makes -> the dtype that it has before. Each is measured in a call of its own.
CASES = {
    "the first argument": "float32",
    "a tensor in a dict in a list, as the first argument": "float32",
    "a NumPy array, as the first argument": "float32",
    "a second positional argument": "float32",
    "a keyword argument": "float32",
    "a tensor in a dict, as a keyword argument": "float32",
    "a NumPy array, as a keyword argument": "float32",
    "a tensor of integers, as the first argument": "int32",
    "a NumPy array of integers, as the first argument": "int32",
    "a tensor of integers, as a keyword argument": "int32",
    "a tensor of booleans, as the first argument": "bool",
    "a NumPy array of booleans, as the first argument": "bool",
    "a tensor of booleans, as `mask=`": "bool",
    "a weight of the layer, read in `call`": "float32",
    "a `tf.Variable` or torch parameter, read in `call`": "float32",
    "what `keras.ops.ones` makes in `call` (Keras 2: `tf.ones`)": "float32",
    "what our `ops.ones` makes in `call`": "float32",
    "the result, if `call` returns a float32 tensor": "float32",
}


# --- One environment -----------------------------------------------------------------------------


def here(keras: Any) -> dict[str, dict[str, list[str]]]:
    """What the Keras of this process does: plain and with the mixin, case -> the dtype seen under each policy.

    JAX has no float64 unless its user turns it on, so that policy is left out there: its place is empty.
    """
    from keras_buildfix import MixedPrecisionMixin, keras_info

    backend = keras_info(keras).backend
    classes = {"plain": probe(keras, backend), "mixin": probe(keras, backend, MixedPrecisionMixin)}
    return {
        way: {case: [_seen(cls, case, policy, backend) for policy in POLICIES] for case in CASES}
        for way, cls in classes.items()
    }


def _seen(cls: type, case: str, policy: str, backend: str) -> str:
    if (backend == "jax" and policy == "float64") or (backend in ("jax", "numpy") and "tf.Variable" in case):
        return ""
    return cls(dtype=policy).see(case)


def probe(keras: Any, backend: str, *bases: type) -> type:
    """A layer that tells the dtype of what its `call` sees."""
    from keras_buildfix import ops

    make = _makers(keras, backend)

    class Probe(*bases, keras.layers.Layer):  # type: ignore[misc]
        def build(self, *_: Any) -> None:
            self.w = self.add_weight(name="w", shape=(2,), initializer="ones")
            self.raw = make["variable"]()
            self.built = True

        def call(self, x: Any, other: Any = None, key: Any = None, mask: Any = None) -> Any:
            of_call = {
                "a weight": lambda: self.w + 0,
                "a `tf.V": lambda: self.raw + 0,
                "what `ke": make["ones"],
                "what our": lambda: ops.ones((2,)),
            }
            look = [look for start, look in of_call.items() if self.case.startswith(start)]
            given = [mask] if "mask" in self.case else [each for each in (other, key) if each is not None]
            self.seen = _dtype(_innermost(look[0]() if look else given[0] if given else x))
            return make["ones"]()

        def compute_output_shape(self, *_: Any) -> tuple[int, ...]:
            return (2,)

        def see(self, case: str) -> str:
            self.case, dtype = case, CASES[case]
            value = np.ones((2,), dtype) if "NumPy" in case else make["tensor"](dtype)
            if " in a dict" in case:
                value = {"a": value} if "keyword" in case else [{"a": value}]
            if case.endswith("first argument"):
                self(value)
                return self.seen
            x = make["tensor"]("float32")
            if case.startswith("the result"):
                return _dtype(self(x))
            if case.startswith("a second"):
                self(x, value)
            elif case.endswith("keyword argument"):
                self(x, key=value)
            else:
                self(x, mask=value) if "mask" in case else self(x)
            return self.seen

    return Probe


def _makers(keras: Any, backend: str) -> dict[str, Callable[..., Any]]:
    """Functions that make a tensor, ones as a user's `call` does, and a variable of the backend."""
    if backend == "tensorflow":
        import tensorflow as tf

        ones = tf.ones if not hasattr(keras, "ops") else keras.ops.ones
        return {
            "tensor": lambda dtype: tf.ones((2,), dtype),
            "ones": lambda: ones((2,)),
            "variable": lambda: tf.Variable([1.0, 1.0]),
        }
    variable: Callable[..., Any] = lambda: None  # noqa: E731
    if backend == "torch":
        import torch

        variable = lambda: torch.nn.Parameter(torch.ones(2))  # noqa: E731
    return {
        "tensor": lambda dtype: keras.ops.ones((2,), dtype),
        "ones": lambda: keras.ops.ones((2,)),
        "variable": variable,
    }


def _innermost(value: Any) -> Any:
    """The tensor in a list or dict."""
    while isinstance(value, (list, tuple, dict)):
        value = next(iter(value.values())) if isinstance(value, dict) else value[0]
    return value


def _dtype(value: Any) -> str:
    dtype = value.dtype
    return getattr(dtype, "name", None) or str(dtype).rpartition(".")[2]


# --- The record ----------------------------------------------------------------------------------


def measured() -> dict[str, dict[str, Any]]:
    """The data: environment -> the version of its Keras, and what it does."""
    record: dict[str, Any] = json.loads(DATA.read_text("utf-8")) if DATA.exists() else {"versions": {}, "alike": []}
    return {
        name: {"version": record["versions"][name], "plain": group["plain"], "mixin": group["mixin"]}
        for group in record["alike"]
        for name in group["on"]
    }


def write(found: dict[str, dict[str, Any]]) -> None:
    """Writes the data: environments that do the same are one entry."""
    alike: list[dict[str, Any]] = []
    for name in environments.in_order(found):
        ways = {way: found[name][way] for way in ("plain", "mixin")}
        group = next((each for each in alike if {**each, "on": None} == {"on": None, **ways}), None)
        if group is None:
            alike.append({"on": [], **ways})
        (group or alike[-1])["on"].append(name)
    versions = {name: found[name]["version"] for name in environments.in_order(found)}
    groups = [
        f' {{"on": {json.dumps(group["on"])},\n'
        + ",\n".join(f'  "{way}": {{\n{_rows(group[way])}\n  }}' for way in ("plain", "mixin"))
        + "\n }"
        for group in alike
    ]
    DATA.write_text(f'{{"versions": {json.dumps(versions)},\n"alike": [\n' + ",\n".join(groups) + "\n]}\n", "utf-8")


def _rows(cases: dict[str, list[str]]) -> str:
    return ",\n".join(f"   {json.dumps(case)}: {json.dumps(dtypes)}" for case, dtypes in cases.items())


# --- The page ------------------------------------------------------------------------------------

INTRODUCTION = """# Casting rules: which tensors `call` gets in the compute dtype

Under a dtype policy such as `mixed_float16`, Keras casts a part of what a layer gets. These tables say which part, on
each Keras, without this package and with [`MixedPrecisionMixin`](mixed_precision.md).

`tools/casting_rules.py` wrote this page. It ran one small layer in {count} environments under the policies
{policies}: each case in a call of its own, with float32 data unless the row says
otherwise. `tests/data/casting_rules.json` has each dtype that it saw, and [each environment](environments.md) measures
again in its tests. On JAX it left out float64, which JAX does not have unless its user turns it on. Releases between
two measured ones are assumed to be like these.

- **cast**: it has the compute dtype of the policy.
- **kept**: it keeps its dtype. A float32 tensor then clashes with float16 ones, or makes the result float32.
"""


def page(found: dict[str, dict[str, Any]]) -> str:
    """The text of the page."""
    policies = ", ".join(f"`{policy}`" for policy in POLICIES)
    lines = [INTRODUCTION.format(count=len(found), policies=policies)]
    for way, title in (("plain", "Plain Keras"), ("mixin", "With `MixedPrecisionMixin`")):
        bands = _bands(found, way)
        lines += [f"## {title}", ""]
        rows = [[case, *(_cell(case, band) for band in bands.values())] for case in CASES]
        lines += [*pages.table(["what `call` gets or makes", *bands], rows), ""]
    lines += ["## Measured on", ""]
    lines += [f"{', '.join(_versions(found))}.", ""]
    return "\n".join(lines)


def _versions(found: dict[str, dict[str, Any]]) -> list[str]:
    """Each version of Keras, with its backends."""
    backends: dict[str, list[str]] = {}
    for name in environments.in_order(found):
        package = "tf_keras" if "tfkeras" in name else "Keras"
        of_version = backends.setdefault(f"{package} {found[name]['version']}", [])
        backend = environments.BACKENDS[name.rpartition("-")[2]]
        of_version += [backend] * (backend not in of_version)
    return [f"{version} ({', '.join(names)})" for version, names in backends.items()]


def _bands(found: dict[str, dict[str, Any]], way: str) -> dict[str, dict[str, dict[str, list[str]]]]:
    """Releases that follow each other and do the same: their name -> backend -> case -> dtypes."""
    known = list(dict.fromkeys(environments.label(name) for name in environments.in_order(found)))
    bands: list[tuple[list[str], dict[str, Any]]] = []
    for label in known:
        here = {name.rpartition("-")[2]: found[name][way] for name in found if environments.label(name) == label}
        labels, before = bands[-1] if bands else ([], {})
        if not labels or any(before.get(backend, rows) != rows for backend, rows in here.items()):
            bands.append(([label], here))
        else:
            labels.append(label)
            before.update(here)
    return {environments.ranges(labels, known): rows for labels, rows in bands}


def _cell(case: str, band: dict[str, dict[str, list[str]]]) -> str:
    """What happens in a case: a word, or one for each backend."""
    words: dict[str, list[str]] = {}
    for backend, rows in band.items():
        said = _word(case, rows[case])
        if said:
            words.setdefault(said, []).append(environments.BACKENDS[backend])
    if len(words) == 1:
        return next(iter(words))
    return "; ".join(f"{said} ({', '.join(names)})" for said, names in words.items())


def _word(case: str, seen: list[str]) -> str:
    """Cast or not, if it is the same under all policies; else what is seen under each."""
    computes = ("float16", "bfloat16", "float64")
    words = {
        "cast" if dtype == compute else "kept" if dtype == CASES[case] else f"{dtype} under {policy}"
        for policy, compute, dtype in zip(POLICIES, computes, seen)
        if dtype
    }
    if len(words) < 2:
        return "".join(words)
    return ", ".join(f"{dtype} under `{policy}`" for policy, dtype in zip(POLICIES, seen) if dtype)


def main() -> None:
    """Parses the command line and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tox", type=Path, help="the folder with the environments")
    parser.add_argument("--here", action="store_true", help="measure the Keras of this Python, print JSON")
    parser.add_argument("environments", nargs="*")
    options = parser.parse_args()
    if options.here:
        from keras_buildfix import keras_info

        info = keras_info()
        print("\n" + json.dumps({"version": info.version, **here(__import__(info.package))}))
        return
    found = measured()
    if options.tox:
        import bands

        for name in options.environments or bands.matrix():
            done = environments.run(name, options.tox, str(Path(__file__).resolve()), "--here")
            if done.returncode:
                raise SystemExit(f"{name}: {done.stderr.decode()[-2000:]}")
            found[name] = json.loads(done.stdout.decode().splitlines()[-1])
            write(found)
            print(f"{name}: {found[name]['version']}", flush=True)
    PAGE.write_text(page(found), "utf-8")
    print(f"{PAGE}: {len(found)} environments")


if __name__ == "__main__":
    main()
