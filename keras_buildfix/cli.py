"""The command ``keras-buildfix``: thin, each command is one public function."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from collections.abc import Sequence

import keras_buildfix
from keras_buildfix.cli_weights import add_weights
from keras_buildfix.skipped import search_modules


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code."""
    args = _parser().parse_args(argv)
    try:
        return int(args.command(args))
    except (ValueError, TypeError, ModuleNotFoundError, OSError) as error:
        if args.command is _run and not isinstance(error, _UsageError):
            raise  # the program's own
        print(f"keras-buildfix: {error}", file=sys.stderr)
        return 2


class _UsageError(ValueError):
    """The command line asks for something that can't be done."""


def _run(args: argparse.Namespace) -> int:
    """Runs a script or module as ``__main__``, with ``install()`` on."""
    program = args.module or args.script
    if not program:
        raise _UsageError(
            "run what? `keras-buildfix run SCRIPT [ARG ...]` or `keras-buildfix run -m MODULE [ARG ...]`."
        )
    name = program[0]
    if not args.module and not os.path.exists(name):
        raise _UsageError(f"there is no script {name!r} in {os.getcwd()}.")
    sys.argv = program
    keras_buildfix.install()
    if args.module:
        sys.path.insert(0, os.getcwd())  # as `python -m` does
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, os.path.dirname(os.path.abspath(name)))  # as `python script.py` does
        runpy.run_path(name, run_name="__main__")
    return 0


def _info(args: argparse.Namespace) -> int:
    print(keras_buildfix.keras_info())
    return 0


def _skipped(args: argparse.Namespace) -> int:
    """Exit code 1 if anything was found, as a linter does; 2 if something could not be looked at."""
    sys.path.insert(0, os.getcwd())
    found = classes = modules = 0
    wrong = []
    for name in args.package:
        try:
            search = search_modules(name)
        except (ImportError, TypeError) as error:
            wrong.append(str(error))
            continue
        for finding in search.findings:
            print(finding)
        found, classes, modules = found + len(search.findings), classes + search.classes, modules + search.modules
        if search.unimportable:
            wrong += [] if args.allow_unimportable else [f"{search.left_out} (--allow-unimportable lets them be)"]
        if not search.classes:
            wrong.append(search.nothing)
    for problem in wrong:
        print(f"keras-buildfix: {problem}", file=sys.stderr)
    looked_at = f"{classes} layer class(es) of {modules} module(s)"
    print(f"{found} skipped build(s) in {looked_at} on {keras_buildfix.keras_info()}", file=sys.stderr)
    return 2 if wrong else int(found > 0)


def _affected(args: argparse.Namespace) -> int:
    for name in keras_buildfix.affected_layers(args.version):
        print(name)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keras-buildfix", description="Custom Keras layers that build the same on every Keras."
    )
    parser.add_argument("--version", action="version", version=f"keras-buildfix {keras_buildfix.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    info = commands.add_parser("info", help="which Keras this Python would import, and on which backend")
    info.set_defaults(command=_info)

    run = commands.add_parser("run", help="run a program with the built-ins mended (install())")
    run.add_argument(
        "-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE ...", help="a module, as `python -m`"
    )
    run.add_argument("script", nargs=argparse.REMAINDER, metavar="SCRIPT ...", help="a script and its arguments")
    run.set_defaults(command=_run)

    skipped = commands.add_parser("skipped", help="find the layers of a package whose build() is skipped here")
    skipped.add_argument("package", nargs="+", help="an installed package or module, by its import name")
    skipped.add_argument(
        "--allow-unimportable", action="store_true", help="succeed though modules can't be imported here"
    )
    skipped.set_defaults(command=_skipped)

    affected = commands.add_parser("affected", help="the built-in layers whose subclasses lose their build()")
    affected.add_argument("version", nargs="?", help="a version of Keras; without it, the one at hand")
    affected.set_defaults(command=_affected)
    add_weights(commands)
    return parser
