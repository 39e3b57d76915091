"""`check_layer` on the corpus: nothing fires on right layers, and each wrong one fails at one check, the right one.

With `run_tests.py full` each environment takes all of it; otherwise each layer runs on one.
"""

import re
import zlib

import bands
import corpus_right
import corpus_wrong
import pytest
from environment import ENVIRONMENT, INFO

from keras_buildfix.testing import check_layer

#: Wrong layers make backends warn; what counts here is what the checks find.
pytestmark = pytest.mark.filterwarnings("ignore")

#: What Keras itself does wrong: layers, checks, backends, first and last release, why.
UPSTREAM = [
    ("EinsumDense", "compute_output_shape", ".*", (2, 12), (3, 14), "it says the batch of its first call"),
    ("(Additive)?Attention", "compute_output_shape", ".*", (3, 7), (3, 14), "it expects three shapes"),
    ("Dot", "config_keeps_arguments", ".*", (3, 0), (3, 1), "its build loses one of two shapes"),
    ("bidirectional", "config_keeps_arguments", ".*", (3, 0), (3, 2), "its backward layer is lost"),
    ("ReLU", "config", ".*", (2, 12), (2, 12), "its config holds numpy scalars"),
    ("GroupNormalization", "mask", ".*", (2, 14), (2, 99), "it can't broadcast the mask of the steps"),
    ("Softmax", "mask", ".*", (2, 12), (9, 9), "its mask has the shape of its input, not that of the steps"),
]


#: What Keras 3 does wrong by chance. Normalization's constants are garbage or cut off if a model's call builds it.
CHANCE = {"Normalization": ["subclassed_model"]}

#: The numpy backend can't train, and has no bfloat16.
NOT_ON_NUMPY = ("weights_train", "gradients_reach", "freeze", "training_argument", "mixed_bfloat16")


def known_bugs(entry):
    """The checks at which a layer of Keras fails here, each with the reason."""
    release = tuple(map(int, INFO.version.split(".")[:2]))
    return {
        check: f"Keras {first} to {last}: {reason}"
        for names, check, backends, first, last, reason in UPSTREAM
        if re.fullmatch(names, str(entry)) and re.fullmatch(backends, INFO.backend) and first <= release <= last
    }


def shows_here(entry, info):
    """Whether a layer exists on a Keras, and shows its fault there."""
    return entry.where(info) and not (entry.check in NOT_ON_NUMPY and info.backend == "numpy")


def runs_here(entry):
    """Whether this environment takes a layer of the corpus."""
    if not shows_here(entry, INFO):
        return False
    if not bands.goes_in_turns(ENVIRONMENT):
        return True
    able = [name for name in bands.matrix() if shows_here(entry, bands.info_of(name))]
    return able[zlib.crc32(name_of(entry).encode()) % len(able)] == ENVIRONMENT


def name_of(entry):
    return f"{entry}-{'-'.join(map(str, entry.kwargs.values()))}".replace(" ", "")


def results_of(entry, **more):
    return check_layer(
        entry.cls,
        entry.kwargs,
        entry.shape,
        input_dtype=entry.dtype,
        call_kwargs=entry.call_kwargs,
        on_fail=None,
        **more,
    )


@pytest.mark.parametrize("entry", [*filter(runs_here, corpus_right.RIGHT)], ids=name_of)
def test_nothing_fires_on_a_right_layer(entry):
    chance = CHANCE.get(str(entry), ()) if INFO.generation == 3 else ()
    results = results_of(entry, expected_failures=known_bugs(entry), skip=chance)
    failed = [str(result) for result in results if result.status == "failed"]
    assert not failed


@pytest.mark.parametrize("entry", [*filter(runs_here, corpus_wrong.WRONG)], ids=name_of)
def test_a_wrong_layer_fails_at_one_check(entry):
    results = results_of(entry)
    failed = {result.check: result for result in results if result.status == "failed"}
    assert len(failed) == 1, [str(result) for result in results if result.status != "passed"]
    assert {*failed} <= {entry.check, *entry.also}
