"""The command ``keras-buildfix``. Each of its commands calls one public function and imports it only then."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import keras_buildfix
from keras_buildfix.cli.check import add_check
from keras_buildfix.cli.commands import SHELLS, Parser, PrintCompletion, add_command, add_json
from keras_buildfix.cli.inspect import add_inspect
from keras_buildfix.cli.matrix import add_matrix
from keras_buildfix.cli.screen import complain, counted, print_json, print_table, progress
from keras_buildfix.cli.vendor import add_vendor
from keras_buildfix.cli.weights import add_weights

if TYPE_CHECKING:
    from keras_buildfix._keras.info import KerasInfo
    from keras_buildfix.building.skipped import ModuleSearch

#: The exit code after writing into a closed pipe (128 + SIGPIPE), and after Ctrl-C, as a shell reports them.
_CLOSED_PIPE, _INTERRUPTED = 141, 130

_WHERE = "package.module:Class, or the path of a .py file, a colon and the class"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    args = _parser().parse_args(argv)
    try:
        code = int(args.command(args))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `keras-buildfix ... | head`
        with contextlib.suppress(OSError, ValueError):  # drop the rest of the buffer: Python would report an error
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    except KeyboardInterrupt:
        complain("interrupted")
        return _INTERRUPTED
    except (ValueError, TypeError, ImportError, OSError) as error:
        missing = getattr(error, "name", None) == "numpy" and "pip install" not in str(error)
        complain("the values in weight files need numpy: `pip install numpy`." if missing else error)
        return 2


# --- run ---------------------------------------------------------------------------------------


def _run(args: argparse.Namespace) -> int:
    """Runs a script or module as ``__main__``, with ``install()`` on; its errors look as they do under plain Python."""
    import runpy

    program = args.module or args.script
    if not program:
        raise ValueError(
            "name a program: `keras-buildfix run SCRIPT [ARG ...]` or `keras-buildfix run -m MODULE [ARG ...]`."
        )
    name = program[0]
    if not args.module and not os.path.exists(name):
        raise ValueError(f"there is no script {name!r} in {os.getcwd()}.")
    sys.argv = program
    keras_buildfix.install()
    try:
        if args.module:
            sys.path.insert(0, os.getcwd())  # as `python -m` does
            _check_program(name)
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, os.path.dirname(os.path.abspath(name)))  # as `python script.py` does
            runpy.run_path(name, run_name="__main__")
    except (SystemExit, _NoProgramError):
        raise
    except BaseException as error:
        error = error.with_traceback(_without_ours(error.__traceback__))
        sys.excepthook(type(error), error, error.__traceback__)
        _hint_at_backend(error)
        return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0


class _NoProgramError(ValueError):
    """There is no such module, or it can't be run."""


def _check_program(name: str) -> None:
    """Raises an error unless there is a module of this name, or a package with a ``__main__``."""
    try:
        spec = importlib.util.find_spec(name)
        package = spec is not None and spec.submodule_search_locations is not None
        if package and importlib.util.find_spec(f"{name}.__main__") is None:
            raise _NoProgramError(f"{name!r} is a package without a __main__.py, so it can't be run.")
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # a parent package imports something else that is missing
        spec = None
    if spec is None:
        raise _NoProgramError(f"there is no module {name!r}, neither in {os.getcwd()} nor installed.")


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """A traceback that begins at the program's first line."""
    while trace is not None and (
        trace.tb_frame.f_code.co_filename == __file__ or trace.tb_frame.f_globals.get("__name__") == "runpy"
    ):
        trace = trace.tb_next
    return trace


def _hint_at_backend(error: BaseException) -> None:
    """Says which backend to set if a program failed because the configured one is not installed."""
    from keras_buildfix._keras.info import configured_backend, installed_backends

    backend, others = configured_backend()[0], installed_backends()
    if isinstance(error, ModuleNotFoundError) and error.name == backend and others:
        complain(f"Keras is set to {backend}, which is not installed; {others[0]} is: set KERAS_BACKEND={others[0]}")


# --- Which Keras -------------------------------------------------------------------------------


def _info(args: argparse.Namespace) -> int:
    from keras_buildfix._keras.info import configured_backend, installed_backends, missing_backend

    info = keras_buildfix.keras_info()
    wrong, backends = missing_backend(info), installed_backends()
    broken = keras_buildfix.affected_layers(info.version)
    chosen_by = configured_backend()[1] if info.generation == 3 else "Keras 2, which has only this one"
    if args.json:
        found = {**_as_dict(info), "chosen_by": chosen_by, "installed_backends": backends, "problem": wrong}
        found["python"] = sys.executable
        found["skipped_build"] = broken
        print_json(found)
        return 0
    print(f"{info}, {wrong}" if wrong else info)
    rows = [
        ("backend chosen by", chosen_by),
        ("installed backends", ", ".join(backends) or "none"),
        ("Python", sys.executable),
        ("subclasses whose build() is skipped", ", ".join(broken) or "none"),
    ]
    print_table(("", ""), rows)
    return 0


def _ready() -> KerasInfo:
    """The Keras that will be imported. If its backend is not installed, this sets another one that is."""
    from keras_buildfix._keras.info import installed_backends, keras_info, missing_backend

    info = keras_info()
    wrong, others = missing_backend(info), installed_backends()
    if not wrong:
        return info
    if info.generation == 2 or not others:
        raise ModuleNotFoundError(f"{info}, {wrong}.")
    os.environ["KERAS_BACKEND"] = others[0]
    complain(f"{info}, {wrong} (done for this command)")
    return keras_info()


# --- Which builds are skipped ------------------------------------------------------------------


def _skipped(args: argparse.Namespace) -> int:
    """Exit code 1 if anything was found, like a linter; 2 if something could not be examined."""
    info = _ready()
    sys.path.insert(0, os.getcwd())
    keras = "all" if args.all else args.keras
    searches, wrong = [], []
    for name in args.package:
        try:
            search = _search(name, keras)
        except (ImportError, TypeError) as error:
            wrong.append(str(error))
            continue
        searches.append(search)
        wrong += _problems(search, args.allow_unimportable)
        if not args.json:
            for finding in search.findings:
                print(finding)
    for problem in wrong:
        complain(problem)
    found = [finding for search in searches for finding in search.findings]
    classes, modules = sum(each.classes for each in searches), sum(each.modules for each in searches)
    looked_at = f"{counted(classes, 'layer class')} of {counted(modules, 'module')}"
    if args.json:
        about = {"keras": keras or str(info), "classes": classes, "modules": modules, "problems": wrong}
        print_json({**about, "findings": [_as_dict(finding) for finding in found]})
    where = {None: f"on {info} (--all: on every Keras)", "all": f"on every measured Keras version, and on {info}"}
    judged = where.get(keras, f"on Keras {keras}, judged by measurements of it")
    told = "incomplete: " if wrong else ""
    print(f"{told}{counted(len(found), 'skipped build')} in {looked_at}, {judged}", file=sys.stderr)
    return 2 if wrong else int(bool(found))


def _search(name: str, keras: str | None) -> ModuleSearch:
    from keras_buildfix.building.skipped import search_modules

    # stdout is for findings: what modules print during their import goes to stderr.
    with contextlib.redirect_stdout(sys.stderr), progress(f"importing {name}") as step:
        return search_modules(name, keras, step)


def _problems(search: ModuleSearch, allow_unimportable: bool) -> list[str]:
    found = [search.not_judged] if search.not_judged else []
    if search.unimportable and not allow_unimportable:
        found.append(f"{search.left_out} (--allow-unimportable accepts that)")
    return found if search.classes else [*found, search.nothing]


def _explain(args: argparse.Namespace) -> int:
    _ready()
    sys.path.insert(0, os.getcwd())
    with contextlib.redirect_stdout(sys.stderr):
        found = keras_buildfix.explain_layer(args.target)
    if args.json:
        print_json(_as_dict(found))
        return 0
    print(found.cls)
    print_table(("", ""), found.parts())
    print()
    print_table(("Keras", "what happens"), found.on_each)
    print("\nThis is about build() only: lost_weights(model) finds weights that are missing in Keras's files.")
    return 0


def _affected(args: argparse.Namespace) -> int:
    names = keras_buildfix.affected_layers(args.version, symptom=args.symptom)
    if args.json:
        version = args.version or keras_buildfix.keras_info().version
        print_json({"keras": version, "symptom": args.symptom, "layers": names})
        return 0
    for name in names:
        print(name)
    return 0


def _as_dict(found: Any) -> dict[str, Any]:
    import dataclasses  # imported here, as most commands do not need it: `--version` takes only 50 ms

    return dataclasses.asdict(found)


# --- The parser --------------------------------------------------------------------------------


def _parser() -> Parser:
    parser = Parser(prog="keras-buildfix", description="Custom Keras layers that build the same on every Keras.")
    parser.add_argument("--version", action="version", version=f"keras-buildfix {keras_buildfix.__version__}")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=SHELLS,
        help='print the completion for a shell: eval "$(keras-buildfix --print-completion bash)"',
    )
    commands = parser.add_commands()
    _add_info_and_run(parser, commands)
    _add_skipped(parser, commands)
    _add_explain_and_affected(parser, commands)
    add_check(parser, commands, _WHERE)
    add_inspect(parser, commands)
    add_weights(parser, commands)
    add_vendor(parser, commands)
    add_matrix(parser, commands)
    return parser


def _add_info_and_run(parser: Parser, commands: Any) -> None:
    info = add_command(
        parser,
        commands,
        "info",
        "which Keras this Python would import, and on which backend",
        "Prints which Keras this Python would import, on which backend, what chose it, whether it is installed, and "
        "what to set if it is not. It imports no Keras.",
        examples=["info", "info --json"],
        codes="0 done, 2 there is no Keras",
        run=_info,
    )
    add_json(info)
    run = add_command(
        parser,
        commands,
        "run",
        "run a program after install(), which fixes the built-ins",
        "Runs a script or module as Python does, after `keras_buildfix.install()`: the build() of every subclass runs.",
        examples=["run train.py --epochs 3", "run -m package.train --epochs 3"],
        codes="those of the program; 2 there is no such program",
        run=_run,
    )
    run.add_argument(
        "-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE ...", help="a module, as `python -m`"
    )
    run.add_argument("script", nargs=argparse.REMAINDER, metavar="SCRIPT ...", help="a script and its arguments")


def _add_skipped(parser: Parser, commands: Any) -> None:
    skipped = add_command(
        parser,
        commands,
        "skipped",
        "find the layers of a package whose build() never runs",
        "Finds the layer classes whose build() never runs, and says what to do. It imports the package with every "
        "module in it, so their top-level code runs; it makes and calls no layer.\nWith --keras and --all it judges "
        "other Keras versions by measurements of the built-ins that a class subclasses. If your code defines a class "
        "differently on another Keras version, it is still judged as it is defined here.",
        examples=["skipped mylayers", "skipped src/mylayers/pool.py --keras 3.9", "skipped mylayers --all --json"],
        codes="0 none is skipped, 1 some are, 2 something could not be examined",
        run=_skipped,
    )
    skipped.add_argument("package", nargs="+", help="a package or module, by its import name or its path")
    which = skipped.add_mutually_exclusive_group()
    which.add_argument("--keras", metavar="VERSION", help="judge for this version instead of the installed one")
    which.add_argument("--all", action="store_true", help="judge for every measured version")
    skipped.options.update({"--keras": (), "--all": ()})
    skipped.add_argument(
        "--allow-unimportable", action="store_true", help="succeed even if some modules can't be imported here"
    )
    add_json(skipped)


def _add_explain_and_affected(parser: Parser, commands: Any) -> None:
    explain = add_command(
        parser,
        commands,
        "explain",
        "explain one layer class: who marks it as built, on which Keras",
        "Prints the bases of a layer class, where its build() is from, who marks the layer as built on which Keras "
        "version, what is at stake, and what @deferred_build adds. It imports the module of the class.",
        examples=["explain mylayers.pool:ScaledPool", "explain src/mylayers/pool.py:ScaledPool --json"],
        codes="0 done, 2 there is no such class",
        run=_explain,
    )
    explain.add_argument("target", help=_WHERE)
    add_json(explain)
    affected = add_command(
        parser,
        commands,
        "affected",
        "the built-in layers whose subclasses break",
        "Prints the built-in layers whose subclasses break on a Keras version, as measured. skipped_build: "
        "the build() of a subclass never runs. locked_state: a subclass without build() can't make weights in its "
        "__init__. built_twice: build() runs again at the first call after layer.build(shape).",
        examples=["affected 3.9", "affected 3.12 --symptom locked_state --json"],
        codes="0 done, 2 the version was not measured",
        run=_affected,
    )
    affected.add_argument("version", nargs="?", help="a Keras version; without it, the installed one")
    symptoms = ("skipped_build", "locked_state", "built_twice")
    affected.add_argument("--symptom", choices=symptoms, default="skipped_build", help="what breaks (%(default)s)")
    add_json(affected)
