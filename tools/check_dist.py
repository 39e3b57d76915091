"""Builds the sdist and, from it, the wheel; checks their files and metadata, and that a package index would take them.

``python tools/check_dist.py`` is the check (`lint` runs it; it needs hatchling and twine).
``python tools/check_dist.py --unpack FOLDER`` puts a new sdist there, for an environment that tests from it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"keras_buildfix", "tests", "docs", "tools", "benchmarks", "examples"}
FILES = {
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "PKG-INFO", "pyproject.toml", "tox.ini", "toxfile.py"),
    *("run_tests.py", "zensical.toml"),
}
#: Files that a checkout may have or not.
OPTIONAL = {"conftest.py"}
#: hatchling packs it always: what it leaves out of the wheel stands there.
ALWAYS = {".gitignore"}
DIST_INFO = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def main(argv: list[str]) -> int:
    """Runs the check, or unpacks; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unpack", type=Path, metavar="FOLDER")
    folder = parser.parse_args(argv).unpack
    with tempfile.TemporaryDirectory() as made:
        if folder:
            unpack(built("sdist", ROOT, Path(made)), folder)
            return 0
        sdist = built("sdist", ROOT, Path(made))
        unpack(sdist, Path(made, "unpacked"))
        wheel = built("wheel", Path(made, "unpacked"), Path(made))  # as pip makes it from an sdist
        wrong = wrong_in(sdist, wheel)
        print("\n".join(wrong) or f"{sdist.name} and {wheel.name} have the files that belong")
        twine = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel)])
    return int(bool(wrong or twine.returncode))


def built(kind: str, source: Path, into: Path) -> Path:
    """The sdist or wheel of a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)]
    subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL)
    return next(into.glob("*.tar.gz" if kind == "sdist" else "*.whl"))


def unpack(sdist: Path, folder: Path) -> None:
    """Puts what is in the one folder of an sdist into `folder`, in place of what was there."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as made:
        with tarfile.open(sdist) as archive:
            archive.extractall(made)
        shutil.move(str(next(Path(made).iterdir())), str(folder))


def wrong_in(sdist: Path, wheel: Path) -> list[str]:
    """What is missing in the two, and what does not belong there; a line for each."""
    with tarfile.open(sdist) as archive:
        source = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    package = {name for name in source if name.startswith("keras_buildfix/")}
    info = "-".join(wheel.name.split("-")[:2]) + ".dist-info/"
    tops = {name.partition("/")[0] for name in source}
    junk = {name for name in source if "__pycache__" in name or name.rpartition("/")[2].startswith(".")}
    return [
        *(f"sdist lacks {name}" for name in sorted((FOLDERS | FILES) - tops)),
        *(f"sdist has {name}" for name in sorted((tops - FOLDERS - FILES - OPTIONAL - ALWAYS) | (junk - ALWAYS))),
        *(f"sdist lacks {name}" for name in sorted(on_disk() - package)),
        *(f"wheel lacks {name}" for name in sorted((package | {info + name for name in DIST_INFO}) - names)),
        *(f"wheel has {name}" for name in sorted(names - package - {info + name for name in DIST_INFO})),
    ]


def on_disk() -> set[str]:
    """The files of the package in this folder, without what Python and tools leave there."""
    files = (file.relative_to(ROOT) for file in (ROOT / "keras_buildfix").rglob("*") if file.is_file())
    return {file.as_posix() for file in files if "__pycache__" not in file.parts and not file.name.startswith(".")}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
