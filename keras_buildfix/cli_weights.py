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
    about = "look into files of weights, of any format and Keras"
    weights = commands.add_parser("weights", help=about, description=f"{about.capitalize()}. No Keras is needed.")
    parts = weights.add_subparsers(required=True, metavar="COMMAND")

    show = _part(
        parts,
        "show",
        "names, shapes and dtypes",
        "Prints the name, dtype and shape of each weight in a file.",
        "keras-buildfix weights show model.weights.h5",
        "exit codes: 0 done, 2 the file can't be read",
    )
    show.add_argument("file", help="a .safetensors, .npz, .h5, .weights.h5 or .keras")
    show.set_defaults(command=_show)

    diff = _part(
        parts,
        "diff",
        "what differs; exit code 1 if anything does",
        "Compares the weights of two files by name and value. Where one has places (layers/dense/vars/0 in a "
        ".weights.h5 or .keras) and the other names, weights are paired by value, shape and place.",
        "keras-buildfix weights diff old.keras new.safetensors",
        "exit codes: 0 all equal, 1 something differs, 2 the files can't be read or compared",
    )
    diff.add_argument("file", help="a .safetensors, .npz, .h5, .weights.h5 or .keras")
    diff.add_argument("other", help="another")
    diff.add_argument(
        "--like",
        help="a third file that tells which place has which name: it holds the values of one of the two under names "
        "like the other's",
    )
    diff.set_defaults(command=_diff)

    convert = _part(
        parts,
        "convert",
        "write the weights of a file to another format",
        "Writes the weights of a file to another of any format that can hold their names.",
        'keras-buildfix weights convert old.h5 new.safetensors --rename "^conv_" "stem_" --dry-run',
        "exit codes: 0 done, 2 a file can't be read or written, or a pattern matches no name",
    )
    convert.add_argument("file", help="a .safetensors, .npz, .h5, .weights.h5 or .keras")
    convert.add_argument("to", help="the new file; its ending says the format")
    convert.add_argument(
        "--rename",
        nargs=2,
        action="append",
        default=[],
        metavar=("PATTERN", "REPLACEMENT"),
        help="a regular expression in the names, and what to put there; may be given several times, one is applied "
        "after the other",
    )
    convert.add_argument("--dry-run", action="store_true", help="print what would be done, and write nothing")
    convert.set_defaults(command=_convert)
    for part in (show, diff, convert):
        part.add_argument("--json", action="store_true", help="print JSON")


def _part(parts: Any, name: str, about: str, description: str, example: str, codes: str) -> argparse.ArgumentParser:
    part: argparse.ArgumentParser = parts.add_parser(
        name,
        help=about,
        description=description,
        epilog=f"example: {example}\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return part


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
    found = keras_buildfix.diff_weights(args.file, args.other, like=args.like, progress=_bar("comparing"))
    if args.json:
        print(json.dumps(vars(found), indent=1))
    else:
        print(found)
    return 1 if found else 0


def _convert(args: argparse.Namespace) -> int:
    pairs = [(pattern, replacement) for pattern, replacement in args.rename]
    with keras_buildfix.read_weights(args.file) as source:
        old = list(source)
    new = keras_buildfix.convert_weights(
        args.file, args.to, rename=pairs, dry_run=args.dry_run, progress=_bar("writing")
    )
    renamed = {before: after for before, after in zip(old, new) if before != after}
    if args.json:
        print(json.dumps({"file": args.to, "weights": new, "renamed": renamed, "dry_run": args.dry_run}, indent=1))
        return 0
    for before, after in renamed.items():
        print(f"{before} -> {after}")
    print(f"{len(new)} weights {'would go ' if args.dry_run else ''}to {args.to}")
    return 0


def _bar(doing: str) -> Callable[[int, int], None]:
    """A bar on the terminal for what takes long; nothing where nobody looks."""

    def show(done: int, total: int) -> None:
        if total >= _LONG and sys.stderr.isatty():
            filled = 40 * done // total
            end = "\n" if done >= total else ""
            print(f"\r{doing} [{'#' * filled}{'.' * (40 - filled)}] {done / total:4.0%}", end=end, file=sys.stderr)

    return show
