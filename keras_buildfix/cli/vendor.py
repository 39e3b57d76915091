"""The command ``vendor``: writes the core of the package as one file, and says whether such a file is stale."""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import keras_buildfix
from keras_buildfix.cli.commands import Parser, add_command
from keras_buildfix.cli.screen import complain

#: The words in the first line by which this command recognizes a file that it wrote, in any version.
_OURS = re.compile(r"the core of keras-buildfix (\S+), copied\.")


def add_vendor(parser: Parser, commands: Any) -> None:
    """Adds the command ``vendor`` to the parser of the program."""
    vendor = add_command(
        parser,
        commands,
        "vendor",
        "write the core as one file to put into your package",
        "Writes one Python file with deferred_build, DeferredBuildMixin, mark_built and keras_of, for a package that "
        "can't depend on keras-buildfix. The file needs nothing but Python. It replaces only a file that this command "
        "wrote.\nWith --check it writes nothing, and says whether the file is stale: of another version, or edited.",
        examples=["vendor yourlib/_buildfix.py", "vendor --check yourlib/_buildfix.py"],
        codes="0 written, or up to date; 1 stale; 2 there is no such file or folder, or it is not one of ours",
        run=_vendor,
    )
    vendor.add_argument("path", metavar="PATH", help="the Python file to write")
    vendor.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the file is stale")
    vendor.add_argument("--force", action="store_true", help="replace a file that this command did not write")


def vendored() -> str:
    """The text of the file, as this version of the package writes it."""
    text = Path(__file__).with_name("vendored.txt").read_text("utf-8")
    return text.replace("{version}", keras_buildfix.__version__, 1)


def _vendor(args: argparse.Namespace) -> int:
    file = Path(args.path)
    if args.check:
        return _check(file)
    if file.is_dir():
        raise ValueError(f"{file} is a folder: name the file to write, for example {file / '_buildfix.py'}.")
    if not file.parent.is_dir():
        raise ValueError(f"there is no folder {file.parent} to write {file.name} into.")
    if file.exists() and _version_of(file) is None and not args.force:
        raise ValueError(f"{file} is not a file that `keras-buildfix vendor` wrote: --force replaces it.")
    _write(file, vendored())
    print(f"{file}: the core of keras-buildfix {keras_buildfix.__version__}")
    return 0


def _check(file: Path) -> int:
    if not file.is_file():
        raise ValueError(f"there is no file {file}: `keras-buildfix vendor {file}` writes it.")
    version, refresh = _version_of(file), f"`keras-buildfix vendor {file}` writes it again"
    if version is None:
        raise ValueError(f"{file} is not a file that `keras-buildfix vendor` wrote.")
    if version != keras_buildfix.__version__:
        complain(f"{file} is stale: of keras-buildfix {version}, and this is {keras_buildfix.__version__}. {refresh}.")
        return 1
    if file.read_text("utf-8") != vendored():
        complain(f"{file} is not what keras-buildfix {version} wrote: it was edited. {refresh}.")
        return 1
    print(f"{file} is up to date with keras-buildfix {version}")
    return 0


def _version_of(file: Path) -> str | None:
    """The version that wrote a file; None if it is not one of ours."""
    first = file.read_text("utf-8", errors="replace").partition("\n")[0]
    found = _OURS.search(first)
    return found[1] if found else None


def _write(file: Path, text: str) -> None:
    """Writes a file whole or not at all; a file that is replaced keeps its permissions."""
    target = Path(os.path.realpath(file))
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
