"""Shows that ``run_tests.py all`` finds the same bugs as ``full``: it seeds bugs, and both must find each of them.

    python tools/mutants.py                              all of them, with the environments in .tox
    python tools/mutants.py --envs /tmp/envs lock crc    those with one of these words in their names

Each mutant is one exact replacement in a copy of the package. Its tests run on one environment, first with every
combination (KERAS_BUILDFIX_FULL=1), then as in ``all``: the turns of the environments of its band, one after the
other. Each run stops at the first test that fails. If a mutant has `only`, its other tests are left out: they take
minutes and have nothing to do with the bug. It prints the table of CONTRIBUTING.md, and fails if ``all`` does not
find a mutant.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Mutant(NamedTuple):
    """A bug: its name, its file in the package, the text and its replacement; the environment and tests to run."""

    name: str
    file: str
    old: str
    new: str
    environment: str
    tests: str
    only: str = ""


MUTANTS = [
    Mutant(
        "no walk through a constructor's helpers",
        "_keras/marking.py",
        "helpers = frozenset(_called_code_that_marks(builtin, init.__code__, set()))",
        "helpers = frozenset()",
        "keraslatest-jax",
        "test_build test_ways",
    ),
    Mutant(
        "`_lock_state` stays Keras's",
        "building/deferred.py",
        "found.update(lock_for_others(cls))",
        "pass",
        "keraslatest-jax",
        "test_build test_ways",
    ),
    Mutant(
        "`install()` fixes nothing",
        "building/installing.py",
        'if marking_code(cls) is not None or "build" in vars(cls):',
        "if False:",
        "keras3.9-jax",
        "test_ways",
    ),
    Mutant(
        "the decorator fixes nothing",
        "building/deferred.py",
        "    _fix(cls)\n    return cls",
        "    return cls",
        "keras3.9-jax",
        "test_ways",
    ),
    Mutant(
        "the mixin fixes nothing",
        "building/deferred.py",
        " " * 12 + "_fix(cls)",
        " " * 12 + "pass",
        "keras3.9-jax",
        "test_ways",
    ),
    Mutant(
        "a built-in's mark is let through",
        "building/deferred.py",
        'is_set_by_keras_constructor(layer, "built", sys._getframe(1))',
        "False",
        "keras3.9-jax",
        "test_ways",
    ),
    Mutant(
        "every mark is ignored, a user's too: built twice",
        "building/deferred.py",
        'is_set_by_keras_constructor(layer, "built", sys._getframe(1))',
        "True",
        "keras3.9-jax",
        "test_ways",
    ),
    Mutant(
        "a user's hook that marks while a built-in's constructor runs is ignored",
        "_keras/frames.py",
        'package_of(frame.f_globals.get("__name__") or "") and is_run_for(layer, frame)',
        "is_run_for(layer, frame)",
        "keras3.9-jax",
        "test_who_marks",
    ),
    Mutant(
        "Keras 2 may build twice",
        "building/deferred.py",
        "if brings_build and leaves_unbuilt(cls):",
        "if False:",
        "keras2.15-tensorflow",
        "test_ways",
    ),
    Mutant(
        "arrays in .safetensors may overlap",
        "weight_files/formats/safetensors.py",
        "if begin != at:",
        "if False:",
        "keras3.9-jax",
        "test_hostile_files",
        "that_lie or a_broken_array",
    ),
    Mutant(
        "a checksum in .npz is not compared",
        "weight_files/formats/npz.py",
        "if found != info.CRC:",
        "if False:",
        "keraslatest-numpy",
        "test_hostile_files",
        "npz_that_is_odd or broken",
    ),
    Mutant(
        "members of .npz may lie outside",
        "weight_files/formats/npz.py",
        'if ".." in parts or name.startswith("/") or not',
        "if not",
        "keraslatest-numpy",
        "test_hostile_files",
        "npz_that_is_odd or a_broken_array",
    ),
    Mutant(
        "an array of .h5 may have no data",
        "weight_files/formats/hdf5.py",
        'raise BadFileError(f"{path!r:.120} has no data.")',
        "pass",
        "keraslatest-numpy",
        "test_hostile_files",
        "hdf5_that_leads",
    ),
    Mutant(
        "a file is written in place",
        "weight_files/formats/_replacing.py",
        "written = os.path.join(folder, name)",
        "written = target",
        "keraslatest-numpy",
        "test_saving",
    ),
    Mutant(
        "order comes before names",
        "weights/matching/finding.py",
        "return match_names(source.entries, root, canonical=source.canonical, only=only)",
        "return _by_position(source.entries, root, None)",
        "keras3.9-jax",
        "test_weights",
    ),
    Mutant(
        "made-up names count in the order of the model",
        "layer_tree/tree.py",
        "for at in sorted(places, key=lambda at: split[at][1] or 0):",
        "for at in places:",
        "keras3.9-jax",
        "test_weight_names test_weight_files test_weights",
    ),
    Mutant(
        "freezing sets the flag only",
        "freezing/freezing.py",
        "each.follow(changed)",
        "pass",
        "keras3.9-jax",
        "test_freezing",
    ),
    Mutant(
        "freezing leaves single weights alone",
        "freezing/flags.py",
        " " * 12 + "self._put_weights(node)",
        " " * 12 + "pass",
        "keras3.9-jax",
        "test_freezing",
    ),
    Mutant(
        "names in a file of places are not followed",
        "weights/matching/groups_in_files.py",
        "group.given_name = layer_name if kind_of(layer_name) != kind_of(place) else None",
        "group.given_name = None",
        "keras3.9-jax",
        "test_names_in_files",
    ),
    Mutant(
        "layers of a model in a model go unseen in a legacy file",
        "weights/matching/by_name.py",
        "if unpaired and not self.canonical:",
        "if False:",
        "keras3.9-jax",
        "test_names_in_files",
    ),
    Mutant(
        "strict takes what only order led to",
        "weights/placing.py",
        "    if options.strict:\n        drop_by_order(match)",
        "    pass",
        "keras3.9-jax",
        "test_names_in_files",
    ),
    Mutant(
        "metrics in a file are weights",
        "weights/matching/by_place.py",
        'elif not (_is_no_weight(inner) or hasattr(value, "variables")):',
        "else:",
        "keras2.15-tensorflow",
        "test_trained_models",
    ),
    Mutant(
        "a layer whose own code fails keeps what it set",
        "weights/own_loading.py",
        "for variable, value in self.values:",
        "for variable, value in ():",
        "keras3.9-jax",
        "test_own_loading",
    ),
    Mutant(
        "Keras may leave weights out of a file",
        "weights/saving.py",
        "check_nothing_lost(layer, path, form)",
        "pass",
        "keras3.9-jax",
        "test_lost_weights",
    ),
]


def mutated(mutant: Mutant, folder: Path) -> None:
    """Makes the bug in a copy of the package; it is an error if the file does not have its text exactly once."""
    file = folder / "keras_buildfix" / mutant.file
    text = file.read_text("utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.name}: {mutant.file} has {mutant.old!r} {text.count(mutant.old)} times, not once")
    file.write_text(text.replace(mutant.old, mutant.new), "utf-8")


def band_of(mutant: Mutant) -> list[str]:
    """The environments in the band of the mutant's environment; that one comes first."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import bands

    band = bands.band_of(mutant.environment, bands.SPANS)
    mates = [name for name in bands.matrix() if bands.band_of(name, bands.SPANS) == band]
    return [mutant.environment, *(name for name in mates if name != mutant.environment)]


def test_files(root: Path, mutant: Mutant) -> list[Path]:
    """The files of a mutant's tests."""
    files = {file.stem: file for file in (root / "tests").rglob("test_*.py") if file.parent.name != "downstream"}
    return [files[name] for name in mutant.tests.split()]


def killer(mutant: Mutant, folder: Path, envs: Path, turn: str) -> str:
    """The first test that fails in an environment's turn, or with every combination if `turn` is empty; or ""."""
    name = turn or mutant.environment
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "KERAS_BACKEND": name.rpartition("-")[2],
        "TF_USE_LEGACY_KERAS": "1" if name.startswith("tf_keras") else "0",
        "KERAS_HOME": str(folder / ".keras"),
        "KERAS_BUILDFIX_ENV": name,
        "KERAS_BUILDFIX_FULL": "" if turn else "1",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONHASHSEED": "0",
    }
    files = [str(file.relative_to(ROOT)) for file in test_files(ROOT, mutant)]
    command = [str(envs / name / "bin" / "python"), "-m", "pytest", "-q", "-x", "--tb=no", *files]
    command += ["-k", mutant.only] if mutant.only else []
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode in (0, 5):  # no test failed, or no test has this turn
        return ""
    found = re.search(r"^(?:FAILED|ERROR) tests/(.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode not in (1, 2) or found is None:
        raise SystemExit(f"{mutant.name}: pytest did not run\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return found[1]


def main() -> int:
    """Prints the table; returns 1 if ``all`` misses a mutant."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only mutants with one of these words in their names")
    parser.add_argument("--envs", type=Path, default=ROOT / ".tox", help="where the environments are")
    options = parser.parse_args()
    wanted = [each for each in MUTANTS if not options.words or any(word in each.name for word in options.words)]
    failed = 0
    print("| mutant | on | killed by the full cross | killed by `all` |\n|---|---|---|---|", flush=True)
    for mutant in wanted:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made, "copy")
            shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", ".tox", ".venv", "__pycache__"))
            mutated(mutant, folder)
            full = killer(mutant, folder, options.envs, "")
            found = (killer(mutant, folder, options.envs, turn) for turn in band_of(mutant))
            new = next(filter(None, found), "")
        failed |= not new
        shown = [f"`{each}`" if each else "lives" for each in (full, new)]
        print(f"| {mutant.name} | {mutant.environment} | {' | '.join(shown)} |", flush=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
