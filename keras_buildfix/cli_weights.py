"""The commands ``keras-buildfix weights ...``: each is one public function, and none imports a Keras."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

import keras_buildfix

#: Files smaller than this are done before a bar could be read.
_LONG = 50 << 20


def add_weights(commands: Any) -> None:
    """Adds the commands to those of the program."""
    weights = commands.add_parser("weights", help="look into files of weights, of any format and Keras")
    parts = weights.add_subparsers(required=True, metavar="COMMAND")

    show = parts.add_parser("show", help="names, shapes and dtypes")
    show.add_argument("file")
    show.set_defaults(command=_show)

    diff = parts.add_parser("diff", help="what differs; exit code 1 if anything does")
    diff.add_argument("file")
    diff.add_argument("other")
    diff.set_defaults(command=_diff)

    convert = parts.add_parser("convert", help="write the weights of a file to another format")
    convert.add_argument("file")
    convert.add_argument("to", help="the new file; its ending says the format")
    convert.add_argument(
        "--rename",
        nargs=2,
        action="append",
        metavar=("PATTERN", "REPLACEMENT"),
        help="a regular expression in the names, and what to put there; may be given several times",
    )
    convert.set_defaults(command=_convert)
    for part in (show, diff, convert):
        part.add_argument("--json", action="store_true", help="print JSON")


def _show(args: argparse.Namespace) -> int:
    with keras_buildfix.read_weights(args.file) as weights:
        rows = [
            {"name": name, "shape": list(entry.shape), "dtype": entry.dtype, "bytes": entry.size}
            for name, entry in weights.entries.items()
        ]
        about = {"file": args.file, "format": weights.format, "layout": weights.layout, "writer": weights.writer}
    if args.json:
        print(json.dumps({**about, "weights": rows}, indent=1))
        return 0
    width = max((len(str(row["name"])) for row in rows), default=0)
    for row in rows:
        print(f"{row['name']:{width}}  {row['dtype']}{row['shape']}")
    total = sum(entry.size for entry in weights.entries.values())
    writer = f", written by Keras {weights.writer}" if weights.writer else ""
    print(f"{len(rows)} weights, {total:,} bytes, {weights.format} ({weights.layout}{writer})")
    return 0


def _diff(args: argparse.Namespace) -> int:
    found = keras_buildfix.diff_weights(args.file, args.other, progress=_bar("comparing"))
    if args.json:
        print(json.dumps(vars(found), indent=1))
    else:
        print(found)
    return 1 if found else 0


def _convert(args: argparse.Namespace) -> int:
    pairs = [(pattern, replacement) for pattern, replacement in args.rename or ()]
    names = keras_buildfix.convert_weights(args.file, args.to, rename=pairs, progress=_bar("writing"))
    print(json.dumps({"file": args.to, "weights": names}) if args.json else f"{len(names)} weights to {args.to}")
    return 0


def _bar(doing: str) -> Callable[[int, int], None]:
    """A bar on the terminal for what takes long; nothing where nobody looks."""

    def show(done: int, total: int) -> None:
        if total >= _LONG and sys.stderr.isatty():
            filled = 40 * done // total
            end = "\n" if done >= total else ""
            print(f"\r{doing} [{'#' * filled}{'.' * (40 - filled)}] {done / total:4.0%}", end=end, file=sys.stderr)

    return show
