"""The functions of `ops` and `random`: their values, dtypes and shapes on this Keras, against the newest one's.

Functions that this package writes are run in every way, and differ nowhere but where `OURS_DIFFER` says so and why. A
function that is Keras's own is called, and with symbolic tensors: where it differs from the newest one is recorded in
tests/data/ops/differences.json, by tools/ops_differences.py. Both are strict.
"""

import json
import os
import zlib

import bands
import ops_cases
import pytest
from environment import ENVIRONMENT, INFO, KERAS

from keras_buildfix import ops

ALL = ops_cases.all_cases()
HERE = f"{INFO.version}-{INFO.backend}"
#: Run all functions, though all are Keras's own there. JAX compiles each case anew, which takes five minutes: it takes
#: its share, as the older ones do, and all of them in `run_tests.py full`.
NEWEST = ("keraslatest-tensorflow", "keraslatest-torch", "keraslatest-numpy")
#: What Keras's own functions do otherwise than the newest one on numpy: on which Keras, by case and way and kind.
RECORDED = json.loads((ops_cases.DATA / "differences.json").read_text("utf-8"))
#: Where tools/ops_differences.py wants to know what differs: nothing is judged then.
REPORT = os.environ.pop("KERAS_BUILDFIX_OPS_REPORT", "")


def runs_all():
    """Whether an environment runs every case every way."""
    return not bands.goes_in_turns(ENVIRONMENT) or ENVIRONMENT in NEWEST or bool(REPORT)


def runs_here(name):
    """Whether an environment runs the cases of a function: those of a band share them, most of the newest run all.

    On the nightly all functions are Keras's own, and change every day: test_finding.py tests that they are.
    """
    if ENVIRONMENT.startswith("kerasnightly"):
        return False
    if runs_all():
        return True
    return zlib.crc32(name.encode()) % bands.PARTS in bands.turns(ENVIRONMENT, bands.PARTS)


def ways_of(name, number, cases):
    """The ways to run a case of a function here.

    Where the environments share the functions, the cases of one take turns at the ways that compile or make a model; if
    it has fewer cases than there are such ways, each goes all of them.
    """
    if ops_cases.is_native(KERAS, name):
        return ("eager", "symbolic")
    ways = ["eager", "symbolic"] + (["gradient"] if INFO.backend != "numpy" else [])
    long = ["functional", *{"tensorflow": ("graph", "jit"), "jax": ("graph",)}.get(INFO.backend, ())]
    if runs_all() or len(cases) < len(long):
        return (*ways, *long)
    able = [way for way in long if way not in cases[number].without]
    return (*ways, *able[number % max(1, len(able)) :][:1])


def found_in(way, case, function):
    """What a case gives in a way, in the form of its record."""
    if way in ("symbolic", "functional"):
        return getattr(ops_cases, way)(case, KERAS, ops, function)
    if way == "eager":
        return ops_cases.eager(case, ops, function)
    if way == "gradient":
        return ops_cases.gradient(case, INFO.backend, ops, function)
    return ops_cases.graph(case, INFO.backend, ops, function, jit=way == "jit")


def problems(way, case, function, recorded):
    """What is wrong when a case is run in a way: kind -> words."""
    expected = recorded.get(way if way in ("symbolic", "gradient") else "out")
    if expected is None or (way == "functional" and not recorded.get("symbolic")):
        return {}
    if way == "functional":
        expected = [leaf for leaf in ops_cases.flat(expected) if "dtype" in leaf]
    try:
        with ops_cases.quiet():
            found = found_in(way, case, function)
    except Exception as error:
        return {type(error).__name__: str(error)[:300]}
    return ops_cases.differences(expected, found, INFO.backend)


@pytest.mark.parametrize("name", [name for name in ALL if runs_here(name)])
def test_a_function_gives_what_that_of_the_newest_keras_gives(name):
    group, cases = ALL[name]
    native = ops_cases.is_native(KERAS, name)
    if INFO.backend in ops_cases.of_group(group, "NOT_THERE").get(name, ()) and not native:
        report({"name": name, "is": "missing", "kinds": {}})
        with pytest.raises(NotImplementedError, match=rf"(?s){name.rpartition('.')[2]}.*{INFO.version}"):
            ops_cases.eager(cases[0], ops, ops_cases.function_of(name))
        return
    function = ops_cases.function_of(name)
    wrong, kinds = [], {}
    for number, case in enumerate(cases):
        recorded = ops_cases.results_of(group)[f"{name}#{number}"]
        for way in (way for way in ways_of(name, number, cases) if way not in case.without):
            key = f"{name}#{number} {way}"
            found = problems(way, case, function, recorded)
            kinds[key] = sorted(found)
            if native:
                known = [kind for kind, where in RECORDED["kinds"].get(key, {}).items() if HERE in where]
                is_wrong = HERE in RECORDED["measured"] and kinds[key] != sorted(known)
            else:
                is_wrong = bool(found) != (key in ops_cases.of_group(group, "OURS_DIFFER"))
            if is_wrong:
                wrong.append(f"{key}: {found or 'nothing differs, but a difference is recorded'}")
    report(
        {
            "name": name,
            "is": "native" if native else "ours",
            "kinds": {key: kind for key, kind in kinds.items() if kind},
        }
    )
    assert REPORT or not wrong, "\n".join(wrong)


def report(row):
    """Tells tools/ops_differences.py what a function is here."""
    if REPORT:
        with open(REPORT, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
