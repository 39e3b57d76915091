"""The commands ``keras-buildfix weights ...``. Each calls one public function, and none imports Keras."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any

import keras_buildfix
from keras_buildfix.cli.commands import Parser, add_command, add_json
from keras_buildfix.cli.screen import on_terminal, print_json, print_table, progress

_FILE = "a .safetensors, .npz, .h5, .weights.h5 or .keras"


def add_weights(parser: Parser, commands: Any) -> None:
    """Adds the command ``weights`` and its own commands to the program."""
    about = "look into weight files of any format and Keras version"
    weights = add_command(
        parser,
        commands,
        "weights",
        about,
        "Looks into weight files of any format and Keras version. It needs no Keras.",
        examples=["weights show model.weights.h5"],
        codes="those of its commands",
    )
    parts = weights.add_commands()
    _add_show_and_diff(weights, parts)
    convert = add_command(
        weights,
        parts,
        "convert",
        "write the weights of a file to another format",
        "Writes the weights of a file to another of any format that can hold their names.",
        examples=['weights convert old.h5 new.safetensors --rename "^conv_" "stem_" --dry-run'],
        codes="0 done, 2 a file can't be read or written, or a pattern matches no name",
        run=_convert,
    )
    convert.add_argument("file", help=_FILE)
    convert.add_argument("to", help="the new file; its ending says the format")
    convert.add_argument(
        "--rename",
        nargs=2,
        action="append",
        default=[],
        metavar=("PATTERN", "REPLACEMENT"),
        help="a regular expression to find in the names, and the text to put there; may be given several times, and "
        "is then applied in this order",
    )
    convert.add_argument("--dry-run", action="store_true", help="print what would be done, and write nothing")
    for part in weights.commands.values():
        add_json(part)


def _add_show_and_diff(weights: Parser, parts: Any) -> None:
    show = add_command(
        weights,
        parts,
        "show",
        "names, shapes and dtypes",
        "Prints the name, dtype and shape of each weight in a file; with --stats, range, mean and spread too.",
        examples=["weights show model.weights.h5", "weights show model.weights.h5 --stats"],
        codes="0 done, 2 the file can't be read",
        run=_show,
    )
    show.add_argument("file", help=_FILE)
    show.add_argument(
        "--stats",
        action="store_true",
        help="also print the smallest and largest value, mean, standard deviation, zeros, NaN and infinite values of "
        "each weight; this reads the whole file, weight by weight",
    )
    diff = add_command(
        weights,
        parts,
        "diff",
        "what differs; exit code 1 if anything does",
        "Compares the weights of two files by name and value. Where one has places (layers/dense/vars/0 in a "
        ".weights.h5 or .keras) and the other names, weights are paired by value, shape and place.",
        examples=["weights diff old.keras new.safetensors"],
        codes="0 all equal, 1 something differs, 2 the files can't be read or compared",
        run=_diff,
    )
    diff.add_argument("file", help=_FILE)
    diff.add_argument("other", help="another file")
    diff.add_argument(
        "--like",
        help="a third file that tells which place has which name: it holds the values of one file under the names of "
        "the other",
    )


def _show(args: argparse.Namespace) -> int:
    with keras_buildfix.read_weights(args.file) as weights:
        rows = [
            {"name": name, "shape": list(entry.shape), "dtype": entry.dtype, "bytes": entry.size}
            for name, entry in weights.entries.items()
        ]
        about = {"file": args.file, "format": weights.format, "layout": weights.layout, "writer": weights.writer}
    if args.stats:
        return _show_stats(args, about)
    if args.json:
        print_json({**about, "weights": rows})
        return 0
    print_table(("weight", "dtype and shape"), [(str(row["name"]), f"{row['dtype']}{row['shape']}") for row in rows])
    total = sum(entry.size for entry in weights.entries.values())
    writer = f", written by Keras {weights.writer}" if weights.writer else ""
    print(f"{len(rows)} weights, {total:,} bytes, {weights.format} ({weights.layout}{writer})")
    return 0


def _show_stats(args: argparse.Namespace, about: dict[str, str]) -> int:
    with progress("reading") as step:
        found = keras_buildfix.weight_stats(args.file, progress=step)
    if args.json:
        data = found.to_dict()
        for row in data["weights"]:
            del row["trainable"]  # a file does not say
        print_json({**about, "memory": data["memory"], "file_bytes": data["file"], "weights": data["weights"]})
    else:
        _print_result(found)
    return 0


def _print_result(found: object) -> None:
    """Prints a result that is a table: with rich on a terminal, else as text with its header."""
    if on_terminal(sys.stdout):
        with contextlib.suppress(ImportError):
            from rich.console import Console

            Console(file=sys.stdout, force_terminal=True).print(found)
            return
    print(found)


def _diff(args: argparse.Namespace) -> int:
    with progress("comparing") as step:
        found = keras_buildfix.diff_weights(args.file, args.other, like=args.like, progress=step)
    if args.json:
        print_json(vars(found))
    else:
        print(found)
    return 1 if found else 0


def _convert(args: argparse.Namespace) -> int:
    pairs = [(pattern, replacement) for pattern, replacement in args.rename]
    with keras_buildfix.read_weights(args.file) as source:
        old = list(source)
    with progress("writing") as step:
        new = keras_buildfix.convert_weights(args.file, args.to, rename=pairs, dry_run=args.dry_run, progress=step)
    renamed = {before: after for before, after in zip(old, new) if before != after}
    if args.json:
        print_json({"file": args.to, "weights": new, "renamed": renamed, "dry_run": args.dry_run})
        return 0
    for before, after in renamed.items():
        print(f"{before} -> {after}")
    print(f"{len(new)} weights {'would go ' if args.dry_run else ''}to {args.to}")
    return 0
