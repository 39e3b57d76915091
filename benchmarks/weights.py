"""Measures what it costs to move, load and list weights: ratios against plain Keras, in one run, with peak memory.

    python benchmarks/weights.py [--size-mb 1000] [--only transfer load show small]     (on the Keras of that Python)

Each case runs in its own process, Keras and this package in turns. Times are medians without the first round. Memory
is the highest increase during a round (VmHWM, on Linux only).
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import keras_buildfix as kb

TENSORS = 16
FORMATS = (".safetensors", ".npz", ".h5", ".weights.h5", ".keras")
SMALL = (250, 500, 1000, 2000)
LIST = """
import time; start = time.perf_counter(); from keras_buildfix import read_weights
with read_weights({path!r}) as weights: found = list(zip(weights.shapes.items(), weights.dtypes.values()))
print(time.perf_counter() - start)
"""
Result = dict[str, float]


def keras_here() -> Any:
    """Imports Keras: only the processes that measure it need it."""
    return __import__(kb.keras_info().package)


def memory(name: str) -> float:
    """Megabytes that this process uses (VmRSS) or used at most (VmHWM); nan if the system does not tell."""
    status = Path("/proc/self/status").read_text() if os.path.exists("/proc/self/status") else f"{name} nan"
    return next(float(line.split()[1]) for line in status.splitlines() if line.startswith(name)) * 1024 / 1e6


def in_turns(works: dict[str, Callable[[], Any]], wait_for: Any = None, rounds: int = 5) -> Result:
    """Median seconds of each without the first round, and the most megabytes in any round."""
    times, took = (dict[str, list[float]]((name, []) for name in works) for _ in range(2))
    jax = sys.modules.get("jax") if kb.keras_info().backend == "jax" else None
    for turn in range(rounds + 1):
        for name in list(works) if turn % 2 else list(works)[::-1]:
            gc.collect()
            if os.path.exists("/proc/self/clear_refs"):
                Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
            before, start = memory("VmRSS"), time.perf_counter()
            result = works[name]()
            if jax is not None:  # JAX returns before its work is done
                weights = getattr(result, "weights", getattr(wait_for, "weights", []))
                jax.block_until_ready([weight.value for weight in weights])
            times[name].append(time.perf_counter() - start)
            took[name].append(memory("VmHWM") - before)
            result = weights = None
    found = {name: statistics.median(seconds[1:]) for name, seconds in times.items()}
    return found | {f"{name} MB": max(each) for name, each in took.items()}


def big_model(size_mb: float) -> Any:
    """A model of few big weights of the same size, initialized with ones so that their memory is really used."""
    keras = keras_here()
    width = round(math.sqrt(size_mb * 1e6 / TENSORS / 4))
    layers = [keras.layers.Dense(width, use_bias=False, kernel_initializer="ones") for _ in range(TENSORS - 1)]
    embedding = keras.layers.Embedding(width, width, embeddings_initializer="ones")
    return keras.Sequential([keras.Input((4,), dtype="int32"), embedding, *layers])


def small_model(kind: str, layers: int) -> Any:
    """A model of many small layers, side by side: a long chain would exceed Python's recursion limit in Keras."""
    keras = keras_here()
    blocks = [keras.layers.Dense(2, kernel_initializer="ones") for _ in range(layers)]

    class Subclassed(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.blocks = blocks

        def call(self, x: Any) -> Any:
            return [block(x) for block in self.blocks]

    if kind == "functional":
        x = keras.Input((2,))
        return keras.Model(x, [block(x) for block in blocks])
    model = Subclassed()
    model(np.zeros((1, 2), "float32"))
    return model


def case_write(size_mb: float, folder: str) -> Result:
    model = big_model(size_mb)
    model.set_weights([np.random.default_rng(0).random(weight.shape, "float32") for weight in model.weights])
    for ending in FORMATS:
        kb.save_weights(model, os.path.join(folder, f"big{ending}"))
    return {}


def case_limits(size_mb: float, folder: str) -> Result:
    count = round(size_mb * 1e6 / TENSORS / 4)
    here, there = ([np.full(count, value, "float32") for _ in range(TENSORS)] for value in (1, 2))

    def read() -> None:
        with open(os.path.join(folder, "big.safetensors"), "rb", buffering=0) as file:
            while file.readinto(there[0]):
                pass

    old = {"written": lambda: [np.copyto(to, each) for each, to in zip(here, there)]}
    return in_turns({**old, "fresh": lambda: [each.copy() for each in here], "read": read})


def case_transfer(size_mb: float, folder: str) -> Result:
    source, target = big_model(size_mb), big_model(size_mb)
    ours = {"ours": lambda: kb.transfer_weights(source, target)}
    return in_turns({"keras": lambda: target.set_weights(source.get_weights()), **ours}, target)


def case_load(size_mb: float, folder: str, ending: str) -> Result:
    model, path = big_model(size_mb), os.path.join(folder, f"big{ending}")
    works: dict[str, Callable[[], Any]] = {"ours": lambda: kb.load_weights(model, path)}
    if ending == ".npz":
        works["keras"] = lambda: model.set_weights(list(np.load(path).values()))
    elif ending != ".safetensors":
        works["keras"] = lambda: model.load_weights(path)
    return in_turns(works, model)


def case_load_model(size_mb: float, folder: str) -> Result:
    """Both sides also build the model, as ``load_model`` does; the memory of the model itself does not count."""
    keras, path, config = keras_here(), os.path.join(folder, "big.keras"), big_model(size_mb).get_config()

    def ours() -> Any:
        model = keras.Sequential.from_config(config)
        kb.load_weights(model, path)
        return model

    found = in_turns({"keras": lambda: keras.models.load_model(path), "ours": ours})
    return found | {name: found[name] - size_mb for name in ("keras MB", "ours MB")}


def case_small(size_mb: float, folder: str, kind: str, layers: str) -> Result:
    source, target = (small_model(kind, int(layers)) for _ in range(2))
    named, filed = (os.path.join(folder, f"small{ending}") for ending in (".safetensors", ".weights.h5"))
    kb.save_weights(source, named)
    kb.save_weights(source, filed)
    values, by_name = source.get_weights(), kb.get_weights(source)
    works: dict[str, Callable[[], Any]] = {
        "Keras: get_weights": source.get_weights,
        "named_weights": lambda: kb.named_weights(source),
        "get_weights": lambda: kb.get_weights(source),
        "Keras: set_weights": lambda: target.set_weights(values),
        "set_weights, by name": lambda: kb.set_weights(target, by_name),
        "set_weights, a list": lambda: kb.set_weights(target, values),
        "Keras: set_weights(get_weights)": lambda: target.set_weights(source.get_weights()),
        "transfer_weights": lambda: kb.transfer_weights(source, target),
        "Keras: load_weights .weights.h5": lambda: target.load_weights(filed),
        "load_weights .weights.h5": lambda: kb.load_weights(target, filed),
        "load_weights .safetensors": lambda: kb.load_weights(target, named),
    }
    return {name: seconds for name, seconds in in_turns(works, rounds=2).items() if not name.endswith("MB")}


def process(case: str, size_mb: float, folder: str, *more: str) -> Result:
    command = [sys.executable, os.path.abspath(__file__), "--size-mb", str(size_mb), "--case", case, folder, *more]
    return dict(json.loads(subprocess.check_output(command, text=True).splitlines()[-1]))


def wall(code: str, folder: str, times: int = 7) -> tuple[float, float]:
    """Median milliseconds of a whole new process, and those that it printed; all bytecode is cached before."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": os.path.join(folder, "bytecode")}
    seconds, printed = [], []
    for _ in range(times + 1):
        start = time.perf_counter()
        out = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
        seconds.append(time.perf_counter() - start)
        printed.append(float(out or "nan"))
    return statistics.median(seconds[1:]) * 1e3, statistics.median(printed[1:]) * 1e3


def row(what: str, *cells: object) -> None:
    print(f"{what:44}" + "".join(f"{cell!s:>12}" for cell in cells), flush=True)


def compared(what: str, found: Result, limit: float, aim: str) -> None:
    ours, theirs = found["ours"], found.get("keras", math.nan)
    cells = [f"{theirs * 1e3:.0f}", f"{ours * 1e3:.0f}", f"{ours / theirs:.3f}", f"{ours / limit:.2f}"]
    cells += [f"{found.get(f'{side} MB', math.nan):.0f}" for side in ("keras", "ours")]
    row(what, *(cell.replace("nan", "-") for cell in cells), f"   {aim}")


def main(size_mb: float, only: Sequence[str], folder: str) -> None:
    print(f"{kb.keras_info()}; Python {sys.version.split()[0]}; {TENSORS} tensors of {size_mb / TENSORS:.1f} MB\n")
    if set(only) - {"small"}:
        process("write", size_mb, folder)
        os.sync()
        limits = process("limits", size_mb, folder)
        for name, what in (("written", "copy into old memory"), ("fresh", "copy into new"), ("read", "read a file")):
            row(f"limit: {what} (ms)", f"{limits[name] * 1e3:.0f}")
        row("\nwhat", " Keras", "ours", "ratio", "to limit", "Keras +MB", "ours +MB", "   aim")
    if "transfer" in only:
        found, aim = process("transfer", size_mb, folder), "ratio <= 0.1, or at the limit"
        compared("transfer_weights / set(get) (ms)", found, limits["written"], aim)
    if "load" in only:
        limit, aim = limits["read"], f"ratio <= 1, +MB <= {size_mb / TENSORS:.0f}"
        for end in FORMATS:
            compared(f"load_weights {end} (ms)", process("load", size_mb, folder, end), limit, aim)
        compared("build and load / load_model .keras (ms)", process("load_model", size_mb, folder), limit, aim)
    if "show" in only:
        row("\nnames, shapes and dtypes of a file (ms)", " inside", "process", "   aim: tens of ms")
        for code in ("pass", "import numpy", "import h5py"):
            row(f"python -c {code!r}", "-", f"{wall(code, folder)[0]:.0f}")
        for end in FORMATS:
            whole, inside = wall(LIST.format(path=os.path.join(folder, f"big{end}")), folder)
            row(f"read_weights {end}", f"{inside:.1f}", f"{whole:.0f}")
    for kind in ("functional", "subclassed") if "small" in only else ():
        row(f"\n{kind}, us per layer, of layers:", f" {SMALL[0]}", *SMALL[1:], "growth", "   aim: about 1")
        results = [process("small", size_mb, folder, kind, str(layers)) for layers in SMALL]
        for name in results[0]:
            each = [result[name] / layers * 1e6 for result, layers in zip(results, SMALL)]
            row(name, *(f"{us:.1f}" for us in each), f"{each[-1] / each[0]:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--size-mb", type=float, default=1000)
    parser.add_argument("--only", nargs="+", default=("transfer", "load", "show", "small"))
    parser.add_argument("--case", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(globals()[f"case_{args.case[0]}"](args.size_mb, *args.case[1:])))
    else:
        with tempfile.TemporaryDirectory(prefix="keras_buildfix-bench-") as folder:
            if shutil.disk_usage(folder).free < (needed := args.size_mb * 1e6 * (len(FORMATS) + 1)):
                sys.exit(f"{folder}: the files take {needed / 1e9:.1f} GB; less is free.")
            main(args.size_mb, args.only, folder)
