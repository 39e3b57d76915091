"""Records the files of weights that environments of the matrix write into the tests' data.

    python tools/record_weight_files.py                 all environments
    python tools/record_weight_files.py newest-jax ...  these; what is there of others stays

Do so when an environment or a model of tests/weight_zoo.py is new, or when a test says that what an
environment writes is not what was recorded of it, which only those do that are not pinned.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import bands
import recorded_files
from run_tests import FILES, installed_tox, path_with_pyenv

WRITES = "tests/test_weight_files.py::test_it_is_written_in_every_format"


def main(names: list[str]) -> int:
    """Runs the environments and packs what they wrote; nothing is packed if one failed."""
    names = names or list(bands.matrix())
    command = [str(installed_tox()), "-m", "tox", "run-parallel", "-p", "2", "--parallel-no-spinner"]
    environment = {**os.environ, "PATH": path_with_pyenv(), "KERAS_BUILDFIX_RECORD": "1"}
    done = subprocess.run([*command, "-e", ",".join(names), "--", WRITES], cwd=ROOT, env=environment)
    missing = [name for name in names if not (FILES / name).is_dir()]
    if done.returncode or missing:
        print(f"Nothing was packed. Wrote no files: {', '.join(missing) or 'none'}", file=sys.stderr)
        return 1
    writers, contents, size = recorded_files.pack([FILES / name for name in names])
    print(f"{recorded_files.ARCHIVE}: {writers} environments, {contents} different contents, {size:,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
