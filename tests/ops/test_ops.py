"""The functions of `ops` and `random`: their values, dtypes and shapes on this Keras, against the newest one's."""

import bands
import ops_cases
import pytest
from conftest import ENVIRONMENT

from keras_buildfix import ops

#: Where ours differ and must: `name#number way` -> reason. Strict.
OURS_DIFFER = {
    key: reason
    for group in ops_cases.GROUPS
    for key, reason in getattr(__import__(f"ops_cases_{group}"), "OURS_DIFFER", {}).items()
}
ALL = ops_cases.all_cases()


def ways_of(name, keras):
    """The ways to run a function here. One that is Keras's own is only called, eagerly and with symbolic tensors."""
    if ops_cases.is_native(keras, name):
        return ("eager", "symbolic")
    backend = ops_cases.backend_of(keras)
    ways = ["eager", "symbolic", "functional"]
    ways += ["gradient"] if backend != "numpy" else []
    ways += ["graph", "jit"] if backend == "tensorflow" else ["graph"] if backend == "jax" else []
    return ways


def problems(way, case, keras, function, recorded):
    """What is wrong when a case is run in a way."""
    backend = ops_cases.backend_of(keras)
    expected = recorded.get({"symbolic": "symbolic", "gradient": "gradient"}.get(way, "out"))
    if expected is None or (way == "functional" and not recorded.get("symbolic")):
        return []
    run = {
        "eager": lambda: ops_cases.eager(case, ops, function),
        "symbolic": lambda: ops_cases.symbolic(case, keras, ops, function),
        "functional": lambda: ops_cases.functional(case, keras, ops, function),
        "gradient": lambda: ops_cases.gradient(case, backend, ops, function),
        "graph": lambda: ops_cases.graph(case, backend, ops, function),
        "jit": lambda: ops_cases.graph(case, backend, ops, function, jit=True),
    }[way]
    try:
        found = run()
    except Exception as error:
        return [f"{type(error).__name__}: {str(error)[:300]}"]
    if way == "functional":
        expected = [leaf for leaf in ops_cases.flat(expected) if "dtype" in leaf]
    return ops_cases.differences(expected, found, backend)


@pytest.mark.parametrize("name", ALL)
def test_a_function_gives_what_the_newest_keras_gives(name, keras):
    group, cases = ALL[name]
    function = ops_cases.function_of(name)
    wrong = []
    for number, case in enumerate(cases):
        recorded = ops_cases.results_of(group)[f"{name}#{number}"]
        for way in ways_of(name, keras):
            if way in case.without:
                continue
            with ops_cases.quiet():
                found = problems(way, case, keras, function, recorded)
            key = f"{name}#{number} {way}"
            if bool(found) != (key in OURS_DIFFER) and not ops_cases.is_native(keras, name):
                wrong.append(f"{key}: {found or 'the same now, but listed in OURS_DIFFER'}")
            # TODO main session: differences of Keras's own functions
    assert not wrong, "\n".join(wrong)
