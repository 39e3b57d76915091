"""Records what the functions of the newest Keras return, for the cases in tests/ops/: writes tests/data/ops/*.json.

    python tools/record_ops.py numpy GROUP...        results, and dtypes and shapes for symbolic inputs
    python tools/record_ops.py tensorflow GROUP...   adds the dtype where TensorFlow has another one (64 bits)
    python tools/record_ops.py jax GROUP...          adds gradients

Each with the newest Keras on that backend, in this order; without a group, for all. A case for which the numpy backend
has no function takes its results from JAX.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "ops")]


def main() -> None:
    """Records the groups."""
    backend, *groups = sys.argv[1:]
    os.environ["KERAS_BACKEND"] = backend
    import keras
    import ops_cases

    from keras_buildfix import ops

    for group in groups or ops_cases.GROUPS:
        if group == "random":  # draws depend on the backend, and ours are those of TensorFlow
            if backend != "tensorflow":
                continue
            backend = "only tensorflow"
        file = ops_cases.DATA / f"{group}.json"
        old = json.loads(file.read_text("utf-8")) if file.exists() else {}
        new: dict[str, Any] = {}
        for name, cases in ops_cases.cases_of(group).items():
            function = ops_cases.function_of(name)
            for number, case in enumerate(cases):
                key = f"{name}#{number}"
                with ops_cases.quiet():
                    new[key] = found = recorded(case, backend, keras, ops, function, old.get(key, {}), key)
                correct(name, found)
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in new.items()]
        ops_cases.DATA.mkdir(exist_ok=True)
        file.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
        print(group, len(new), "cases", file.stat().st_size, "bytes")


def recorded(case: Any, backend: str, keras: Any, ops: Any, function: Any, old: dict[str, Any], key: str) -> Any:
    """What is known of a case, with what this backend adds."""
    import ops_cases

    if backend == "only tensorflow":
        found = recorded(case, "numpy", keras, ops, function, {}, key)
        gradient = None if "gradient" in case.without else ops_cases.gradient(case, "tensorflow", ops, function)
        return found if gradient is None else {**found, "gradient": gradient}
    if backend == "numpy":
        new: dict[str, Any] = {}
        try:
            new["out"] = ops_cases.eager(case, ops, function)
        except Exception as error:  # the numpy backend lacks it
            new["numpy"] = type(error).__name__
            print(f"  {key} on numpy: {type(error).__name__}: {str(error)[:150]}")
        if "symbolic" not in case.without:
            try:
                new["symbolic"] = ops_cases.symbolic(case, keras, ops, function)
            except Exception as error:
                print(f"  {key} symbolic: {type(error).__name__}: {str(error)[:150]}")
        return new
    if backend == "jax":
        if "out" not in old:
            old["out"] = ops_cases.eager(case, ops, function)
        elif '"float64"' in json.dumps(old["out"]):
            _without_wide_floats(old, ops_cases.eager(case, ops, function))
        old.pop("gradient", None)
        if "gradient" not in case.without:
            try:
                found = ops_cases.gradient(case, backend, ops, function)
            except Exception as error:
                print(f"  {key} gradient: {type(error).__name__}: {str(error)[:150]}")
            else:
                if found is not None:
                    old["gradient"] = found
        return old
    for way in ("out", "symbolic"):
        if way == "symbolic" and (not old.get("symbolic") or "symbolic" in case.without):
            continue
        try:
            if way == "out":
                found = ops_cases.eager(case, ops, function)
            else:
                found = ops_cases.symbolic(case, keras, ops, function)
        except Exception as error:
            print(f"  {key} {way}: {type(error).__name__}: {str(error)[:150]}")
            continue
        for want, got in zip(ops_cases.flat(old.get(way)), ops_cases.flat(found)):
            want.pop("tensorflow", None)
            if "dtype" in want and "dtype" in got and want["dtype"] != got["dtype"]:
                want["tensorflow"] = got["dtype"]
        wrong = ops_cases.differences(old.get(way), found, "tensorflow")
        if wrong:
            print(f"  {key} {way} differs on TensorFlow: {wrong}")
    return old


def _without_wide_floats(old: dict[str, Any], found: Any) -> None:
    """Takes the dtype of JAX where it is that of the symbolic result, and only NumPy makes float64 of it."""
    import ops_cases

    every = (ops_cases.flat(each) for each in (old["out"], found, old.get("symbolic")))
    for want, got, symbolic in zip(*every):
        if want["dtype"] == "float64" != got["dtype"] == symbolic["dtype"]:
            want.update(dtype=got["dtype"], numpy="float64")
            if want.get("tensorflow") == got["dtype"]:
                del want["tensorflow"]


def correct(name: str, record: dict[str, Any]) -> None:
    """Notes where one backend of the newest Keras has a dtype of its own that no other backend can or should follow.

    torch has no uint32. The numpy backend returns Python's bool for ``allclose``, and int64 for what it counts.
    ``prod(dtype=)`` forgets the dtype on TensorFlow. All on 3.15.1.
    """
    import ops_cases

    if name == "allclose" and "python" in record.get("out", {}):
        record["out"] = {"dtype": "bool", "shape": [], "values": [record["out"]["python"] == "True"]}
    for leaf in [leaf for way in ("out", "symbolic") for leaf in ops_cases.flat(record.get(way))]:
        if leaf.get("dtype") == "uint32":
            leaf["torch"] = "int32"
        if leaf.get("dtype") == "int64" and name == "unique":
            leaf.update(dict.fromkeys(("jax", "torch", "tensorflow"), "int32"))
        if name == "prod" and leaf.get("tensorflow", "int64") != "int64":
            del leaf["tensorflow"]
    if name == "histogram" and isinstance(record.get("out"), list):
        record["out"][0].update(jax="float32", torch="float32")


if __name__ == "__main__":
    main()
