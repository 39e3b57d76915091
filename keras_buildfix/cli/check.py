"""The command ``check``: runs ``check_layer`` on a class, without a test file."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras_buildfix
from keras_buildfix.cli.commands import Parser, add_command, add_json
from keras_buildfix.cli.screen import complain, counted, print_json, print_table, progress

if TYPE_CHECKING:
    from keras_buildfix.testing import CheckResult


_ON_MANY = ("--keras", "--backend", "--with", "--with-no-deps")


def add_check(parser: Parser, commands: Any, target: str) -> None:
    """Adds the command ``check`` to the parser of the program; `target` says how a class is named."""
    check = add_command(
        parser,
        commands,
        "check",
        "check a layer class: is it built, saved, trained, copied... as Keras expects",
        "Makes layers of a class and runs every check of keras_buildfix.testing.check_layer on them: calls, builds, "
        "models, shapes, configs, files, weights, training, mixed precision, graphs, copies. It imports the module of "
        "the class, and runs its code.\nSeveral --shape are the shapes of several inputs: in a list, or by name if all "
        'have the form name=8,8,3. Without sizes (--shape "") an input is one number.',
        examples=[
            "check mylayers.pool:ScaledPool --kwargs '{\"pool_size\": 2}' --shape 8,8,3",
            "check src/mylayers.py:Attend --shape query=4,6 --shape value=5,6 --skip pickling",
        ],
        codes="0 nothing failed, 1 a check failed, 2 the class could not be checked",
        run=_check,
    )
    check.add_argument("target", help=target)
    check.add_argument("--kwargs", metavar="JSON", default="{}", help="the arguments to make a layer with, as JSON")
    check.add_argument(
        "--shape", metavar="SIZES", action="append", required=True, help="the shape of an input without the batch"
    )
    check.add_argument("--dtype", default="float32", help="the dtype of the inputs (default: float32)")
    check.add_argument("--only", metavar="CHECK", nargs="+", help="run these checks only")
    check.add_argument("--skip", metavar="CHECK", nargs="+", help="leave these checks out")
    check.add_argument("--expect", metavar="CHECK", nargs="+", help="these checks must fail")
    check.add_argument(
        "--keras", metavar="VERSIONS", default="", help="check on these, in environments that uv makes: 2.15,3.9,newest"
    )
    check.add_argument("--backend", metavar="NAMES", default="", help="with --keras: the backends (tensorflow,jax)")
    check.add_argument(
        "--with", dest="more", metavar="REQUIREMENT", action="append", help="with --keras: install this too, such as ."
    )
    check.add_argument(
        "--with-no-deps",
        dest="alone",
        metavar="REQUIREMENT",
        action="append",
        help="with --keras: install this too, without what it requires: its own pins may exclude a Keras",
    )
    add_json(check)
    check.options.update(
        dict.fromkeys(("--kwargs", "--shape", "--dtype", "--only", "--skip", "--expect", *_ON_MANY), ())
    )


def _check(args: argparse.Namespace) -> int:
    _kwargs(args.kwargs), _shapes(args.shape)  # what is wrong with them is an error before anything is installed
    if args.keras:
        from keras_buildfix.cli.check_on_many import More, check_on_many

        more = More(tuple(args.more or ()), tuple(args.alone or ()))
        return check_on_many(args.keras, args.backend, more, _arguments(args), args.json)
    if args.backend or args.more or args.alone:
        raise ValueError("--backend and --with need --keras, which says where: for example --keras 2.15,3.9,newest.")
    return _check_here(args)


def _arguments(args: argparse.Namespace) -> list[str]:
    """The arguments without those that say on which Keras, for the command in an environment."""
    words = [args.target, "--kwargs", args.kwargs, "--dtype", args.dtype]
    words += [word for shape in args.shape for word in ("--shape", shape)]
    for name in ("only", "skip", "expect"):
        given = getattr(args, name)
        words += [f"--{name}", *given] if given is not None else []
    return words


def _check_here(args: argparse.Namespace) -> int:
    from keras_buildfix.building.importing import import_class
    from keras_buildfix.testing import layer_checks

    sys.path.insert(0, os.getcwd())
    with contextlib.redirect_stdout(sys.stderr):  # what modules and layers print is no result
        cls = import_class(args.target)
        checks = [
            *layer_checks(
                cls,
                _kwargs(args.kwargs),
                _shapes(args.shape),
                input_dtype=args.dtype,
                only=args.only,
                skip=args.skip,
                expected_failures=dict.fromkeys(args.expect or (), "--expect"),
            )
        ]
        results = []
        with progress(f"checking {cls.__name__}") as step:
            for at, check in enumerate(checks):
                step(at, len(checks))
                results.append(check.run())
    return _tell(results, args.json)


def _kwargs(text: str) -> dict[str, Any]:
    import json

    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"--kwargs is no JSON: {error}. For example --kwargs '{{\"units\": 3}}'.") from None
    if not isinstance(found, dict):
        raise ValueError(f"--kwargs is a JSON object, such as '{{\"units\": 3}}'; got {text}.")
    return found


def _shapes(texts: Sequence[str]) -> Any:
    """The shapes of the inputs: one, several in a list, or several by name."""
    named = [text.partition("=") for text in texts]
    by_name = [name for name, equals, _ in named if equals]
    if by_name and (len(by_name) < len(texts) or len({*by_name}) < len(by_name)):
        raise ValueError("name all inputs and each once, as in --shape query=4,6 --shape value=5,6, or none.")
    if by_name:
        return {name: _sizes(sizes) for name, _, sizes in named}
    shapes = [_sizes(text) for text in texts]
    return shapes[0] if len(shapes) == 1 else shapes


def _sizes(text: str) -> tuple[int | None, ...]:
    words = [word for word in re.split(r"[,x\s()]+", text) if word]
    if not all(word.isdigit() or word in ("None", "?") for word in words):
        raise ValueError(f"--shape {text!r}: a shape is sizes with commas, such as 8,8,3 (None for a free size).")
    return tuple(int(word) if word.isdigit() else None for word in words)


def _tell(results: Sequence[CheckResult], as_json: bool) -> int:
    count = {status: sum(result.status == status for result in results) for status in ("passed", "failed", "skipped")}
    code = 1 if count["failed"] else 0 if count["skipped"] < len(results) else 2
    if as_json:
        rows = [{"check": each.check, "status": each.status, "message": each.message} for each in results]
        version = keras_buildfix.keras_info().version
        print_json({"layer": results[0].layer, "keras": results[0].keras, "version": version, "results": rows})
    else:
        rows_of = [(each.check, each.status, " ".join(each.message.split())) for each in results]
        print_table(("check", "result", "what"), rows_of)
    said = ", ".join(f"{number} {status}" for status, number in count.items() if number)
    print(f"{results[0].layer}: {counted(len(results), 'check')}, {said}, on {results[0].keras}", file=sys.stderr)
    if code == 2:
        complain("no check ran: the table says why each was skipped.")
    return code
