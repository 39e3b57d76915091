"""What all benchmarks share: measuring in turns, a row of results, and how a row is printed."""

from __future__ import annotations

import argparse
import gc
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

WALL, CPU = time.perf_counter, time.process_time
FACTORS = {"s": 1.0, "ms": 1e3, "us": 1e6}


@dataclass(frozen=True)
class Result:
    """One row: what the peer and we take, and the ratio with its quartiles over the rounds."""

    what: str
    peer: str
    theirs: float | None
    ours: float
    unit: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 1
    aim: str = "-"
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """The row as it is printed and stands on the page."""
        unit = f" {self.unit}" if self.unit else ""
        theirs = "-" if self.theirs is None else f"{number(self.theirs)}{unit}"
        spread = "-" if self.low is None or self.high is None else f"{self.low:.2f} to {self.high:.2f}"
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}"
        what = f"{self.what} ({self.note})" if self.note else self.what
        return what, self.peer, theirs, f"{number(self.ours)}{unit}", ratio, spread, str(self.rounds), self.aim


HEAD = ("what", "peer", "peer's", "ours", "ratio", "spread", "rounds", "aim")


def number(value: float) -> str:
    """Three digits that count; whole numbers as they are."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if abs(value) >= 0.01 else f"{value:.4f}"


def in_turns(
    works: dict[str, Callable[[], Any]], rounds: int, each: int = 1, clock: Callable[[], float] = WALL
) -> dict[str, list[float]]:
    """Seconds of a call of each in each round. The order alternates: a slow moment of the machine affects all."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()  # traces, compiles, fills caches
    gc.collect()
    for turn in range(rounds):
        for name in list(works) if turn % 2 else list(works)[::-1]:
            start = clock()
            for _ in range(each):
                works[name]()
            times[name].append((clock() - start) / each)
    return times


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def compared(
    what: str, peer: str, theirs: list[float], ours: list[float], unit: str, aim: str = "-", note: str = ""
) -> Result:
    """A row of two lists of seconds: medians, and the quartiles of the ratio of each round."""
    low, ratio, high = quartiles([mine / other for mine, other in zip(ours, theirs) if other] or [math.nan])
    medians = (statistics.median(each) * FACTORS[unit] for each in (theirs, ours))
    return Result(what, peer, *medians, unit, ratio, low, high, len(ours), aim, note)  # type: ignore[misc]


def alone(what: str, ours: list[float], unit: str, aim: str = "-", note: str = "") -> Result:
    """A row of what has no peer."""
    return Result(what, "-", None, statistics.median(ours) * FACTORS[unit], unit, rounds=len(ours), aim=aim, note=note)


def versus(
    what: str,
    peer: str,
    works: tuple[Callable[[], Any], Callable[[], Any]],
    unit: str,
    rounds: int,
    each: int = 1,
    clock: Callable[[], float] = WALL,
    aim: str = "-",
) -> Result:
    """Measures the peer's work and ours in turns."""
    times = in_turns({"peer": works[0], "ours": works[1]}, rounds, each, clock)
    return compared(what, peer, times["peer"], times["ours"], unit, aim)


def same(what: str, peer: str, theirs: list[str], ours: list[str]) -> Result:
    """A row of two compiled graphs, given as names of their operations."""
    verdict = "equal" if theirs == ours else "DIFFERENT"
    return Result(what, peer, len(theirs), len(ours), "", aim="equal", note=f"operations: {verdict}")


def show(results: Iterable[Result]) -> list[Result]:
    """Prints each row as soon as it is measured; returns all."""
    form = "{:66} {:28} {:>10} {:>10} {:>6} {:>14} {:>6}  {}"
    print(form.format(*HEAD), flush=True)
    found = []
    for result in results:
        print(form.format(*result.cells()), flush=True)
        found.append(result)
    return found


def main(measure: Callable[[bool], Iterable[Result]]) -> None:
    """The command of a benchmark that runs alone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one round of each: shows that it runs, measures nothing")
    quick = parser.parse_args().quick
    from keras_buildfix import keras_info

    print(f"{keras_info()}; Python {sys.version.split()[0]}\n")
    show(measure(quick))


def as_data(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Rows for JSON."""
    return [asdict(result) for result in results]


def primitives(jaxpr: Any) -> list[str]:
    """The names of all operations of a jaxpr and of those inside."""
    found = []
    for equation in jaxpr.eqns:
        found.append(equation.primitive.name)
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found += primitives(inner)
    return found


def graph_ops(model: Any, backend: str, inputs: Any) -> list[str] | None:
    """The operations of the compiled graph of a model, sorted; None if the backend has no graph."""
    if backend == "jax":
        import jax

        state = [[v.value for v in group] for group in (model.trainable_variables, model.non_trainable_variables)]
        call = jax.make_jaxpr(lambda train, other, x: model.stateless_call(train, other, x)[0])
        return sorted(primitives(call(*state, inputs).jaxpr))
    if backend == "tensorflow":
        import tensorflow as tf

        traced = tf.function(lambda x: model(x)).get_concrete_function(tf.nest.map_structure(tf.constant, inputs))
        return sorted(operation.type for operation in traced.graph.get_operations())
    return None
