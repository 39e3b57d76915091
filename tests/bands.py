"""The environments of tox.ini's matrix, and the bands of Keras releases in which layers are built alike.

What takes long for what it shows is spread over the environments of a band, so that a band as a whole
shows it all. With ``KERAS_BUILDFIX_FULL=1`` (``run_tests.py full``) and outside the matrix nothing is spread.
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
#: First and last release of each band: a row of `facts.SKIPPED_BUILD` and `facts.LOCKED_STATE` starts one.
BANDS = (
    ((2, 12), (2, 99)),  # Keras 2 and tf_keras: no build is skipped, some run twice
    ((3, 0), (3, 2)),  # the dropouts, Discretization and Softmax are skipped
    ((3, 3), (3, 5)),  # Softmax is skipped
    ((3, 6), (3, 9)),  # most built-ins without weights are skipped
    ((3, 10), (3, 11)),  # none is skipped, constructors lock state
    ((3, 12), NEWEST),  # Reshape is skipped, constructors lock state
)


#: First and last release of each span, over which the parts of the files of `IN_TURNS` go: wider than bands, since what
#: these test depends less on the release.
SPANS = (((2, 12), (2, 99)), ((3, 0), (3, 5)), ((3, 6), (3, 11)), ((3, 12), NEWEST))
#: Test files of which an environment takes a part in its turn: Keras 2 runs all that is in them, and so does each
#: backend of Keras 3, and so do the three with the nightly, which is another Keras every day.
IN_TURNS = (
    "test_blocks",
    "test_build",
    "test_cli",
    "test_cli_weights",
    "test_extra_weights",
    "test_freezing",
    "test_freezing_in_turns",
    "test_hostile_files",
    "test_installing",
    "test_lost_weights",
    "test_marks",
    "test_names_in_files",
    "test_own_function",
    "test_portable",
    "test_portable_shapes",
    "test_precision",
    "test_saving",
    "test_selecting_weights",
    "test_sharing",
    "test_signatures",
    "test_trained_models",
    "test_weight_diff",
    "test_weight_names",
    "test_weights",
)


#: How many turns there are; where a span has fewer environments, each takes several.
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
    """What `keras_info` says there, as far as the name tells it."""
    from keras_buildfix import KerasInfo  # what only needs names runs where the package is not installed

    major, minor = release(environment)
    package = "tf_keras" if "tf_keras" in environment else "keras"
    return KerasInfo(package, f"{major}.{minor}.0", min(major, 3), environment.rpartition("-")[2])


def band_of(environment, bands=BANDS):
    """The first release of its band."""
    for first, last in bands:
        if first <= release(environment) <= last:
            return first
    raise ValueError(f"{environment} is in no band: add its release to BANDS and SPANS")


def backend_of(environment):
    """The backend in its name."""
    return info_of(environment).backend


@functools.cache
def _turns(able, number, bands):
    """Which turns each of these environments takes: each band of releases takes all, and so does each backend."""
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

    In a band of two environments each takes half of the turns, in one of many each takes one. The only one with
    its backend takes all.
    """
    return _turns(tuple(filter(can, matrix())), number, bands)[environment]


def goes_in_turns(environment):
    """Whether an environment takes a part of what takes long."""
    return not FULL and environment in matrix()


def runs(environment, test):
    """Whether an environment runs a test of `IN_TURNS`: its name says in which of the turns it is.

    A span of releases takes all turns. On TensorFlow, where they take longest, those of Keras 3 that have the same
    turn take half of it each.
    """
    if not goes_in_turns(environment):
        return True
    number = zlib.crc32(test.encode())
    turn, half = number % PARTS, number // PARTS % 2
    nightlies = [other for other in matrix() if other.startswith("nightly")]
    if environment in nightlies and nightlies[turn % len(nightlies)] == environment:
        return True
    if turn not in turns(environment, PARTS, bands=SPANS):
        return False
    sharing = _sharing(turn)
    return environment not in sharing or sharing.index(environment) % 2 == half


@functools.cache
def _sharing(turn):
    """The environments with TensorFlow and Keras 3 that have this turn; none if it is one alone."""
    able = [other for other in matrix() if backend_of(other) == "tensorflow" and release(other) >= (3, 0)]
    found = [other for other in able if turn in turns(other, PARTS, bands=SPANS)]
    return found if len(found) > 1 else []


def share(environment, cases):
    """Some of these: a span takes all of them, and so does a backend."""
    if not goes_in_turns(environment):
        return list(cases)
    taken = turns(environment, len(cases), bands=SPANS)
    return [case for at, case in enumerate(cases) if at in taken]


def reads_nightly(environment):
    """Whether it is the one in its band of releases that reads what the nightly wrote in the same run."""
    return environment == next(other for other in matrix() if band_of(other) == band_of(environment))
