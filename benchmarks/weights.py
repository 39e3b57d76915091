"""Measures what it costs to move, load and list weights: ratios against plain Keras, in one run, with peak memory.

    python benchmarks/weights.py [--size-mb 1000]     (on the Keras of that Python)

Each case runs in its own process, Keras and this package in turns. Times are medians without the first round. Memory
is the highest increase during a round (VmHWM, on Linux only).
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Result, alone, compared, show  # beside this file

import keras_buildfix as kb

TENSORS = 16
FORMATS = (".safetensors", ".npz", ".h5", ".weights.h5", ".keras")
SMALL = (250, 1000)
LIST = """
import time; start = time.perf_counter(); from keras_buildfix import read_weights
with read_weights({path!r}) as weights: found = list(zip(weights.shapes.items(), weights.dtypes.values()))
print(time.perf_counter() - start)
"""
Found = dict[str, list[float]]


def keras_here() -> Any:
    """Imports Keras: only the processes that measure it need it."""
    return __import__(kb.keras_info().package)


def memory(name: str) -> float:
    """Megabytes that this process uses (VmRSS) or used at most (VmHWM); nan if the system does not tell."""
    status = Path("/proc/self/status").read_text() if os.path.exists("/proc/self/status") else f"{name} nan"
    return next(float(line.split()[1]) for line in status.splitlines() if line.startswith(name)) * 1024 / 1e6


def in_turns(works: dict[str, Callable[[], Any]], wait_for: Any = None, rounds: int = 5) -> Found:
    """Seconds of each in each round but the first, and the most megabytes in any round."""
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
    found = {name: seconds[1:] for name, seconds in times.items()}
    return found | {f"{name} MB": [max(each)] for name, each in took.items()}


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


def case_write(size_mb: float, folder: str) -> Found:
    model = big_model(size_mb)
    model.set_weights([np.random.default_rng(0).random(weight.shape, "float32") for weight in model.weights])
    for ending in FORMATS:
        kb.save_weights(model, os.path.join(folder, f"big{ending}"))
    return {}


def case_limits(size_mb: float, folder: str) -> Found:
    count = round(size_mb * 1e6 / TENSORS / 4)
    here, there = ([np.full(count, value, "float32") for _ in range(TENSORS)] for value in (1, 2))

    def read() -> None:
        with open(os.path.join(folder, "big.safetensors"), "rb", buffering=0) as file:
            while file.readinto(there[0]):
                pass

    old = {"written": lambda: [np.copyto(to, each) for each, to in zip(here, there)]}
    return in_turns({**old, "fresh": lambda: [each.copy() for each in here], "read": read})


def case_transfer(size_mb: float, folder: str) -> Found:
    source, target = big_model(size_mb), big_model(size_mb)
    ours = {"ours": lambda: kb.transfer_weights(source, target)}
    return in_turns({"keras": lambda: target.set_weights(source.get_weights()), **ours}, target)


def case_load(size_mb: float, folder: str, ending: str) -> Found:
    model, path = big_model(size_mb), os.path.join(folder, f"big{ending}")
    works: dict[str, Callable[[], Any]] = {"ours": lambda: kb.load_weights(model, path)}
    if ending == ".npz":
        works["keras"] = lambda: model.set_weights(list(np.load(path).values()))
    elif ending != ".safetensors":
        works["keras"] = lambda: model.load_weights(path)
    elif importlib.util.find_spec("safetensors"):
        from safetensors.numpy import load_file

        names = list(kb.get_weights(model))

        def theirs() -> None:
            values = load_file(path)
            model.set_weights([values[name] for name in names])

        works["keras"] = theirs
    return in_turns(works, model)


def case_load_model(size_mb: float, folder: str) -> Found:
    """Both sides also build the model, as ``load_model`` does; the memory of the model itself does not count."""
    keras, path, config = keras_here(), os.path.join(folder, "big.keras"), big_model(size_mb).get_config()

    def ours() -> Any:
        model = keras.Sequential.from_config(config)
        kb.load_weights(model, path)
        return model

    found = in_turns({"keras": lambda: keras.models.load_model(path), "ours": ours})
    return found | {name: [found[name][0] - size_mb] for name in ("keras MB", "ours MB")}


def case_small(size_mb: float, folder: str, kind: str, layers: str) -> Found:
    source, target = (small_model(kind, int(layers)) for _ in range(2))
    named, filed = (os.path.join(folder, f"small{ending}") for ending in (".safetensors", ".weights.h5"))
    kb.save_weights(source, named)
    kb.save_weights(source, filed)
    values, by_name = source.get_weights(), kb.get_weights(source)
    works: dict[str, Callable[[], Any]] = {
        "get": source.get_weights,
        "get_weights": lambda: kb.get_weights(source),
        "named_weights": lambda: kb.named_weights(source),
        "set": lambda: target.set_weights(values),
        "set_weights, by name": lambda: kb.set_weights(target, by_name),
        "set_weights, a list": lambda: kb.set_weights(target, values),
        "transfer": lambda: target.set_weights(source.get_weights()),
        "transfer_weights": lambda: kb.transfer_weights(source, target),
        "load": lambda: target.load_weights(filed),
        "load_weights .weights.h5": lambda: kb.load_weights(target, filed),
        "load_weights .safetensors": lambda: kb.load_weights(target, named),
    }
    return {name: seconds for name, seconds in in_turns(works, rounds=3).items() if not name.endswith("MB")}


def process(case: str, size_mb: float, folder: str, *more: str) -> Found:
    command = [sys.executable, os.path.abspath(__file__), "--size-mb", str(size_mb), "--case", case, folder, *more]
    return dict(json.loads(subprocess.check_output(command, text=True).splitlines()[-1]))


def listing(folder: str, times: int = 5) -> Iterator[Result]:
    """Names, shapes and dtypes of a file in a new process; all bytecode is cached before."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": os.path.join(folder, "bytecode")}
    for end in FORMATS:
        command = [sys.executable, "-c", LIST.format(path=os.path.join(folder, f"big{end}"))]
        printed = [float(subprocess.check_output(command, text=True, env=environment)) for _ in range(times + 1)]
        yield alone(f"`read_weights`, names and shapes of {end}", printed[1:], "ms", "tens of ms", "with its import")


def big(size_mb: float, folder: str) -> Iterator[Result]:
    """Large files and transfers."""
    process("write", size_mb, folder)
    os.sync()
    limits = process("limits", size_mb, folder)
    for name, what in (("written", "copy into old memory"), ("fresh", "copy into new"), ("read", "read a file")):
        yield alone(f"limit of this machine: {what}", limits[name], "ms")
    by_hand = "`set_weights(get_weights())`"
    yield beside("`transfer_weights`", by_hand, process("transfer", size_mb, folder), "<= 0.1, or the limit")
    peers = {".safetensors": "safetensors.numpy", ".npz": "`np.load`, `set_weights`"}
    for end in FORMATS:
        found = process("load", size_mb, folder, end)
        yield beside(f"`load_weights` {end}", peers.get(end, "Keras `load_weights`"), found, "<= 1")
    found = process("load_model", size_mb, folder)
    yield beside("build, `load_weights` .keras", "Keras `load_model`", found, "<= 1")
    yield from listing(folder)


def beside(what: str, peer: str, found: Found, aim: str) -> Result:
    """A row with the memory of both as its note."""
    if "keras" not in found:
        return alone(what, found["ours"], "ms", aim, f"{found['ours MB'][0]:.0f} MB more memory")
    memory = f"{found['keras MB'][0]:.0f} and {found['ours MB'][0]:.0f} MB more memory"
    return compared(what, peer, found["keras"], found["ours"], "ms", aim, memory)


def small(kind: str, layers: int, folder: str) -> Iterator[Result]:
    """A model of many small layers."""
    found = process("small", 1, folder, kind, str(layers))
    for name in found:
        peers = {"get_weights": "get", "named_weights": "get", "transfer_weights": "transfer"}
        peer = peers.get(name, "set" if name.startswith("set_") else "load" if name.startswith("load_") else "")
        if peer:
            called = {"transfer": "`set_weights(get_weights())`", "load": "Keras .weights.h5"}
            shown = called.get(peer, f"Keras `{peer}_weights`")
            yield compared(f"{layers} small layers, {kind}: `{name}`", shown, found[peer], found[name], "ms")


def measure(quick: bool = False, size_mb: float = 200) -> Iterator[Result]:
    """Large tensors, then many small ones."""
    with tempfile.TemporaryDirectory(prefix="keras_buildfix-bench-") as folder:
        if shutil.disk_usage(folder).free < (needed := size_mb * 1e6 * (len(FORMATS) + 1)):
            sys.exit(f"{folder}: the files take {needed / 1e9:.1f} GB; less is free.")
        if quick:
            yield from small("functional", 10, folder)
            return
        yield from big(size_mb, folder)
        for kind in ("functional", "subclassed"):
            for layers in SMALL:
                yield from small(kind, layers, folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--size-mb", type=float, default=200)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--case", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(globals()[f"case_{args.case[0]}"](args.size_mb, *args.case[1:])))
    else:
        show(measure(args.quick, args.size_mb))
