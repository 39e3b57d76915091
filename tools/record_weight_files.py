"""Records the weight files that the environments of the matrix write, as data for the tests.

    python tools/record_weight_files.py                 all environments
    python tools/record_weight_files.py keraslatest-jax ...  these; the files of the others stay
    python tools/record_weight_files.py --left          the files of the last test run, in .tox/weight_files

Run it for a new environment, for a new model in tests/weight_zoo.py, or when a test says that an environment
no longer writes what was recorded. Only environments that are not pinned can change like that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WRITES = "tests/weights/test_weight_files.py::test_it_is_written_in_every_format"


def main(wanted: list[str]) -> int:
    """Runs the environments and packs the files that they wrote; packs nothing if one failed."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import bands
    import recorded_files
    from planning import search_path

    from run_tests import FILES, installed_tox

    names, code = wanted or list(bands.matrix()), 0
    if wanted == ["--left"]:
        names = [name for name in bands.matrix() if (FILES / name).is_dir()]
    else:
        command = [str(installed_tox()), "-m", "tox", "run-parallel", "-p", "2", "--parallel-no-spinner"]
        environment = {**os.environ, "PATH": search_path(), "KERAS_BUILDFIX_FULL": "1"}  # each writes all models
        code = subprocess.run([*command, "-e", ",".join(names), "--", WRITES], cwd=ROOT, env=environment).returncode
    missing = [name for name in names if not (FILES / name).is_dir()]
    if code or missing or not names:
        print(f"Nothing was packed. These wrote no files: {', '.join(missing) or 'none'}", file=sys.stderr)
        return 1
    writers, contents, size = recorded_files.pack([FILES / name for name in names])
    print(f"{recorded_files.ARCHIVE}: {writers} environments, {contents} different contents, {size:,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
