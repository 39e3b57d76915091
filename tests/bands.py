"""The environments of tox.ini's matrix, and the bands of Keras releases in which layers are built alike.

Slow tests are divided among the environments of a band: each runs a part, and together they run all of it.
With ``KERAS_BUILDFIX_FULL=1`` (``run_tests.py full``) and outside the matrix each environment runs all of it.
"""

import configparser
import functools
import os
import re
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FULL = os.environ.get("KERAS_BUILDFIX_FULL") == "1"

NEWEST = (99, 0)
#: First and last release of each band. A band starts where `keras_buildfix/_keras/facts.py` has a row in
#: `SKIPPED_BUILD` or `LOCKED_STATE`.
BANDS = (
    ((2, 12), (2, 99)),  # Keras 2 and tf_keras: no build is skipped, some run twice
    ((3, 0), (3, 2)),  # the dropouts, Discretization and Softmax are skipped
    ((3, 3), (3, 5)),  # Softmax is skipped
    ((3, 6), (3, 9)),  # most built-ins without weights are skipped
    ((3, 10), (3, 11)),  # none is skipped, constructors lock state
    ((3, 12), NEWEST),  # Reshape is skipped, constructors lock state
)


#: First and last release of each span. The tests in the files of `IN_TURNS` are divided among the environments of a
#: span. Spans are wider than bands, because these tests depend less on the release.
SPANS = (((2, 12), (2, 99)), ((3, 0), (3, 5)), ((3, 6), (3, 11)), ((3, 12), NEWEST))
#: Test files of which each environment runs only a part, its turns. All their tests run on Keras 2, on each backend of
#: Keras 3, and on the three environments with the nightly, because that changes every day.
IN_TURNS = (
    "test_blocks",
    "test_build",
    "test_calls",
    "test_check",
    "test_check_layer",
    "test_cli",
    "test_cli_weights",
    "test_copies",
    "test_corpus",
    "test_examples",
    "test_extra_weights",
    "test_finite",
    "test_freezing",
    "test_freezing_in_turns",
    "test_gradients",
    "test_hostile_files",
    "test_inspect",
    "test_installing",
    "test_lost_weights",
    "test_marks",
    "test_names_in_files",
    "test_outputs",
    "test_own_function",
    "test_portable",
    "test_portable_shapes",
    "test_precision",
    "test_pytest_plugin",
    "test_recording",
    "test_recurrent",
    "test_reuse",
    "test_saved_model",
    "test_saving",
    "test_seed_generator",
    "test_selecting_weights",
    "test_sharing",
    "test_signatures",
    "test_state",
    "test_statistics",
    "test_tflite",
    "test_trained_models",
    "test_upgrading",
    "test_vendored",
    "test_watch",
    "test_weight_diff",
    "test_weight_names",
    "test_weights",
    "test_who_marks",
)


#: Into how many turns the tests are divided. If a span has fewer environments, each takes several turns.
PARTS = 7


@functools.cache
def matrix():
    """The names of all environments in tox.ini's label `matrix`, in its order."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", "utf-8")
    (line,) = re.findall(r"^matrix = (.*)", tox["tox"]["labels"].replace("\\\n", " "), re.MULTILINE)
    return tuple(name.strip() for name in line.split(","))


@functools.cache
def release(environment):
    """The Keras release in an environment's name; NEWEST for those that are not pinned."""
    found = re.search(r"keras(\d+)\.(\d+)", environment)
    return (int(found[1]), int(found[2])) if found else NEWEST


@functools.cache
def info_of(environment):
    """What `keras_info` returns in an environment, as far as its name tells."""
    from keras_buildfix import KerasInfo  # imported here, because callers that need only names may lack the package

    major, minor = release(environment)
    package = "tf_keras" if "tfkeras" in environment else "keras"
    return KerasInfo(package, f"{major}.{minor}.0", min(major, 3), environment.rpartition("-")[2])


def band_of(environment, bands=BANDS):
    """The first release of an environment's band; it stands for the band."""
    for first, last in bands:
        if first <= release(environment) <= last:
            return first
    raise ValueError(f"{environment} is in no band: add its release to BANDS and SPANS")


def backend_of(environment):
    """The backend in an environment's name."""
    return info_of(environment).backend


@functools.cache
def _turns(able, number, bands):
    """Environment -> its turns. The environments of a band together take all turns, and so do those of a backend."""
    taken = {environment: [] for environment in able}

    def band(environment):
        return band_of(environment, bands)

    def times(turn, of, key):
        return sum(turn in taken[other] for other in able if key(other) == key(of))

    for environment in able:
        mates = sum(band(other) == band(environment) for other in able)
        rarest = sorted(
            range(number), key=lambda turn: (times(turn, environment, band), times(turn, environment, backend_of), turn)
        )
        taken[environment] += rarest[: -(-number // mates)]
    for environment in reversed(able):
        taken[environment] += [turn for turn in range(number) if not times(turn, environment, backend_of)]
    return taken


def turns(environment, number, can=lambda other: True, bands=BANDS):
    """Which of `number` turns an environment takes, among those that `can` take them.

    In a band of two environments each takes half of the turns, in one of many each takes one. An environment that is
    the only one with its backend takes all.
    """
    return _turns(tuple(filter(can, matrix())), number, bands)[environment]


def goes_in_turns(environment):
    """Whether an environment runs only a part of the slow tests."""
    return not FULL and environment in matrix()


def runs(environment, test):
    """Whether an environment runs a test of `IN_TURNS`: a hash of the test's name gives the turn that it is in.

    The environments of a span together take all turns. Tests take longest on TensorFlow, so its environments with
    Keras 3 divide a turn that several of them have: each runs about half of it.
    """
    if not goes_in_turns(environment):
        return True
    number = zlib.crc32(test.encode())
    turn, half = number % PARTS, number // PARTS % 2
    nightlies = [other for other in matrix() if other.startswith("kerasnightly")]
    if environment in nightlies and nightlies[turn % len(nightlies)] == environment:
        return True
    if turn not in turns(environment, PARTS, bands=SPANS):
        return False
    sharing = _sharing(turn)
    return environment not in sharing or sharing.index(environment) % 2 == half


@functools.cache
def _sharing(turn):
    """The environments with TensorFlow and Keras 3 that have this turn; empty if there is only one."""
    able = [other for other in matrix() if backend_of(other) == "tensorflow" and release(other) >= (3, 0)]
    found = [other for other in able if turn in turns(other, PARTS, bands=SPANS)]
    return found if len(found) > 1 else []


def share(environment, cases):
    """The cases that an environment takes. The environments of a span together take all, as do those of a backend."""
    if not goes_in_turns(environment):
        return list(cases)
    taken = turns(environment, len(cases), bands=SPANS)
    return [case for at, case in enumerate(cases) if at in taken]


def reads_nightly(environment):
    """Whether an environment is the one of its band that reads what the nightly wrote in the same run."""
    return environment == next(other for other in matrix() if band_of(other) == band_of(environment))
