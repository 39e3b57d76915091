"""What moving, loading and listing weights costs: ratios against plain Keras, in one run, with peak memory.

    python benchmarks/weights.py [--size-mb 1000] [--only transfer load show small]     (on the Keras of that Python)

Each case runs in a process of its own, Keras and ours in turns. Times: medians after a first round that is not
counted. Memory: the most in any round above what the process had before it (VmHWM, on Linux only).
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
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import keras_buildfix
from keras_buildfix import keras_info, load_weights, named_weights, save_weights, set_weights, transfer_weights

TENSORS = 16
FORMATS = (".safetensors", ".npz", ".h5", ".weights.h5", ".keras")
SMALL = (250, 500, 1000, 2000)
LIST = """
import time; start = time.perf_counter(); from keras_buildfix import read_weights
with read_weights({path!r}) as weights: found = list(zip(weights.shapes.items(), weights.dtypes.values()))
print(len(found), time.perf_counter() - start)
"""
Result = dict[str, float]


def keras_here() -> Any:
    """Keras itself; only in the processes that measure it."""
    return __import__(keras_info().package)


def settle(*models: Any) -> None:
    """JAX returns before it has done the work."""
    if keras_info().backend == "jax":
        import jax

        jax.block_until_ready([weight.value for model in models for weight in model.weights])


def memory(name: str) -> float:
    """Megabytes that this process has (VmRSS) or had at most (VmHWM); nan where the system does not say."""
    if not os.path.exists("/proc/self/status"):
        return math.nan
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) * 1024 / 1e6


def forget_peak() -> None:
    if os.path.exists("/proc/self/clear_refs"):
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")


def in_turns(works: dict[str, Callable[[], Any]], rounds: int = 5) -> Result:
    """Median seconds of each, those of the first round beside, and the most megabytes that each took in any."""
    times: dict[str, list[float]] = {name: [] for name in works}
    took: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name in list(works) if turn % 2 else list(works)[::-1]:
            gc.collect()
            before = memory("VmRSS")
            forget_peak()
            start = time.perf_counter()
            result = works[name]()
            times[name].append(time.perf_counter() - start)
            took[name].append(memory("VmHWM") - before)
            del result
    found = {name: statistics.median(seconds[1:]) for name, seconds in times.items()}
    return found | {f"{name} MB": max(each) for name, each in took.items()}


def big_model(size_mb: float) -> Any:
    """A model of few big weights, all of one size, with values in memory that was written to."""
    keras = keras_here()
    width = round(math.sqrt(size_mb * 1e6 / TENSORS / 4))
    layers = [keras.layers.Dense(width, use_bias=False, kernel_initializer="ones") for _ in range(TENSORS - 1)]
    embedding = keras.layers.Embedding(width, width, embeddings_initializer="ones")
    return keras.Sequential([keras.Input((4,), dtype="int32"), embedding, *layers])


def case_copy(size_mb: float, folder: str) -> Result:
    count = round(size_mb * 1e6 / TENSORS / 4)
    here, there = ([np.full(count, value, "float32") for _ in range(TENSORS)] for value in (1, 2))

    def read() -> None:
        with open(os.path.join(folder, "big.safetensors"), "rb", buffering=0) as file:
            while file.readinto(into):
                pass

    into = np.ones(16 << 20, "uint8")
    return in_turns(
        {
            "written": lambda: [np.copyto(to, what) for what, to in zip(here, there)],
            "fresh": lambda: [what.copy() for what in here],
            "read": read,
        }
    )


def case_transfer(size_mb: float, folder: str) -> Result:
    source, target = big_model(size_mb), big_model(size_mb)

    def keras() -> None:
        target.set_weights(source.get_weights())
        settle(target)

    def ours() -> None:
        transfer_weights(source, target)
        settle(target)

    return in_turns({"keras": keras, "ours": ours})


def case_write(size_mb: float, folder: str) -> Result:
    model, random = big_model(size_mb), np.random.default_rng(0)
    model.set_weights([random.random(weight.shape, "float32") for weight in model.weights])
    for ending in FORMATS:
        save_weights(model, os.path.join(folder, f"big{ending}"))
    return {}


def case_load(size_mb: float, folder: str, ending: str) -> Result:
    model, path = big_model(size_mb), os.path.join(folder, f"big{ending}")

    def keras() -> None:
        if ending == ".npz":
            with np.load(path) as arrays:
                model.set_weights([arrays[name] for name in arrays])
        else:
            model.load_weights(path)
        settle(model)

    def ours() -> None:
        load_weights(model, path)
        settle(model)

    return in_turns({"ours": ours} if ending == ".safetensors" else {"keras": keras, "ours": ours})


def case_load_model(size_mb: float, folder: str) -> Result:
    """``load_model`` builds the model too, so ours does here; the model itself is not counted as memory."""
    keras, path = keras_here(), os.path.join(folder, "big.keras")
    small = big_model(0.01)
    config = big_model(size_mb).get_config()

    def theirs() -> Any:
        model = keras.models.load_model(path)
        settle(model)
        return model

    def ours() -> Any:
        model = type(small).from_config(config)
        load_weights(model, path)
        settle(model)
        return model

    found = in_turns({"keras": theirs, "ours": ours})
    return {name: value - size_mb if name.endswith("MB") else value for name, value in found.items()}


def small_models(kind: str, layers: int) -> tuple[Any, Any]:
    keras = keras_here()

    class Subclassed(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.blocks = [keras.layers.Dense(2, kernel_initializer="ones") for _ in range(layers)]

        def call(self, x: Any) -> Any:
            for block in self.blocks:
                x = block(x)
            return x

    def model() -> Any:
        if kind == "sequential":
            dense = [keras.layers.Dense(2, kernel_initializer="ones") for _ in range(layers)]
            return keras.Sequential([keras.Input((2,)), *dense])
        made = Subclassed()
        made(np.zeros((1, 2), "float32"))
        return made

    return model(), model()


def case_small(size_mb: float, folder: str, kind: str, layers: str) -> Result:
    source, target = small_models(kind, int(layers))
    named, filed = (os.path.join(folder, f"small{ending}") for ending in (".safetensors", ".weights.h5"))
    save_weights(source, named)
    save_weights(source, filed)
    values, by_name = source.get_weights(), keras_buildfix.get_weights(source)
    works: dict[str, Callable[[], Any]] = {
        "Keras: get_weights": source.get_weights,
        "named_weights": lambda: named_weights(source),
        "get_weights": lambda: keras_buildfix.get_weights(source),
        "Keras: set_weights": lambda: target.set_weights(values),
        "set_weights, by name": lambda: set_weights(target, by_name),
        "set_weights, a list": lambda: set_weights(target, values),
        "Keras: set_weights(get_weights)": lambda: target.set_weights(source.get_weights()),
        "transfer_weights": lambda: transfer_weights(source, target),
        "Keras: load_weights .weights.h5": lambda: target.load_weights(filed),
        "load_weights .weights.h5": lambda: load_weights(target, filed),
        "load_weights .safetensors": lambda: load_weights(target, named),
    }
    settled = {name: lambda work=work: (work(), settle(target)) for name, work in works.items()}  # type: ignore[misc]
    return {name: seconds for name, seconds in in_turns(settled, 3).items() if not name.endswith("MB")}


def process(case: str, size_mb: float, folder: str, *more: str) -> Result:
    """A case, measured in a new process."""
    command = [sys.executable, os.path.abspath(__file__), "--size-mb", str(size_mb), "--case", case, folder, *more]
    found: Result = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
    return found


def row(what: str, *cells: object) -> None:
    print(f"{what:44}" + "".join(f"{cell!s:>12}" for cell in cells), flush=True)


def compared(what: str, found: Result, limit: float, aim: str) -> None:
    ours, theirs = found["ours"], found.get("keras", math.nan)
    cells = [f"{theirs * 1e3:.0f}", f"{ours * 1e3:.0f}", f"{ours / theirs:.3f}", f"{ours / limit:.2f}"]
    memories = [f"{found.get(f'{side} MB', math.nan):.0f}" for side in ("keras", "ours")]
    row(what, *(cell.replace("nan", "-") for cell in (*cells, *memories)), f"   {aim}")


def wall(code: str, times: int = 7) -> tuple[float, list[str]]:
    """Median seconds of a whole new process, and what each printed."""
    seconds, printed = [], []
    for _ in range(times):
        start = time.perf_counter()
        printed.append(subprocess.check_output([sys.executable, "-c", code], text=True))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), printed


def main(size_mb: float, only: Sequence[str], folder: str) -> None:
    print(
        f"{keras_info()}; Python {sys.version.split()[0]}; {TENSORS} tensors of {size_mb / TENSORS:.1f} MB; medians\n"
    )
    process("write", size_mb, folder)
    os.sync()
    limits = process("copy", size_mb, folder)
    for name, what in (("written", "into memory written before"), ("fresh", "into new memory")):
        row(f"limit: numpy copies {what} (ms)", "-", f"{limits[name] * 1e3:.0f}")
    row("limit: the file is read through (ms)", "-", f"{limits['read'] * 1e3:.0f}")
    row("\nwhat", " Keras", "ours", "ratio", "to limit", "Keras +MB", "ours +MB", "   aim")
    if "transfer" in only:
        aim = "ratio <= 0.1, or at the limit"
        compared("transfer_weights / set(get) (ms)", process("transfer", size_mb, folder), limits["written"], aim)
    if "load" in only:
        limit, aim = limits["read"], f"ratio <= 1, +MB <= {size_mb / TENSORS:.0f}"
        for ending in FORMATS:
            compared(f"load_weights {ending} (ms)", process("load", size_mb, folder, ending), limit, aim)
        compared("build and load / load_model .keras (ms)", process("load_model", size_mb, folder), limit, aim)
    if "show" in only:
        row("\nnames, shapes and dtypes of a file", " import", "and open", "process", "   aim: tens of ms")
        for module in ("pass", "import numpy", "import h5py"):
            row(f"(python -c {module!r})", "-", "-", f"{wall(module)[0] * 1e3:.0f}")
        empty = [float(out) for out in wall(LIST.split("\n")[1] + "; print(time.perf_counter() - start)")[1]]
        for ending in FORMATS:
            seconds, printed = wall(LIST.format(path=os.path.join(folder, f"big{ending}")))
            inside = statistics.median(float(out.split()[1]) for out in printed)
            row(f"read_weights {ending} (ms)", *(f"{x * 1e3:.0f}" for x in (statistics.median(empty), inside, seconds)))
    for kind in ("sequential", "subclassed") if "small" in only else ():
        row(f"\n{kind}, us per layer, of layers:", f" {SMALL[0]}", *SMALL[1:], "growth", "   aim: about 1")
        found = [process("small", size_mb, folder, kind, str(layers)) for layers in SMALL]
        for name in found[0]:
            each = [result[name] / layers * 1e6 for result, layers in zip(found, SMALL)]
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
        needed, folder = args.size_mb * 1e6 * (len(FORMATS) + 1), tempfile.mkdtemp(prefix="keras_buildfix-bench-")
        try:
            if shutil.disk_usage(folder).free < needed:
                sys.exit(f"{folder}: the files take {needed / 1e9:.1f} GB; less is free.")
            main(args.size_mb, args.only, folder)
        finally:
            shutil.rmtree(folder)
