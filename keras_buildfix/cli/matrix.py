"""The command ``matrix``: prints which requirements belong to a Keras, a backend and a Python, for several tools."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from keras_buildfix.cli.commands import Parser, add_command
from keras_buildfix.cli.screen import print_json, print_table
from keras_buildfix.matrix import Environment, constraints, environments


def add_matrix(parser: Parser, commands: Any) -> None:
    """Adds the command ``matrix`` to the parser of the program."""
    matrix = add_command(
        parser,
        commands,
        "matrix",
        "which requirements belong to a Keras, a backend and a Python",
        "Prints the environments in which each Keras trains, saves and loads, as measured: as a table, as a tox.ini "
        "for the plugin, as a workflow for GitHub or GitLab, as a noxfile, as JSON, or as lines of requirements.\n"
        "--keras takes bounds (>=3.5), names (2.15,3.9,latest,nightly,tfkeras2.19), or both, with commas between them.",
        examples=['matrix --keras ">=3.5,2.15" --backend tensorflow,jax', "matrix --keras 3.9,latest --format github"],
        codes="0 done; 2 something that was asked for is not in the matrix",
        run=_matrix,
    )
    matrix.add_argument("--keras", default="", metavar="VERSIONS", help="bounds or names; without it, all")
    matrix.add_argument("--backend", default="", metavar="NAMES", help="with commas between them; without it, all")
    matrix.add_argument("--python", default="", metavar="VERSIONS", help="with commas between them (default: 3.11)")
    matrix.add_argument("--format", choices=tuple(_FORMATS), default="table", help="what to print (%(default)s)")


def _matrix(args: argparse.Namespace) -> int:
    _FORMATS[args.format](environments(args.keras, _words(args.backend), _words(args.python)))
    return 0


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _print_table(found: Sequence[Environment]) -> None:
    rows = [
        (each.keras, each.backend, each.python, ", ".join(_here(each.requirements) + _over(each)), _spoken(each))
        for each in found
    ]
    print_table(("Keras", "backend", "Python", "requirements on Linux, x86-64", "variables"), rows)


def _here(requirements: Sequence[str]) -> list[str]:
    """The requirements without markers, those for x86-64 Linux."""
    return [each.partition(";")[0] for each in requirements if "!=" not in each.partition(";")[2]]


def _over(each: Environment) -> list[str]:
    return [f"then over it {name}" for name in each.last]


def _spoken(each: Environment) -> str:
    return " ".join(f"{name}={value}" for name, value in each.variables.items())


def _print_json(found: Sequence[Environment]) -> None:
    print_json([{**each._asdict(), "constraints": constraints(each.keras)} for each in found])


def _print_requirements(found: Sequence[Environment]) -> None:
    for each in found:
        print(f"# {each.name}: {_spoken(each)}")
        print("\n".join(each.requirements))
        print(f"# together with what else you install, and `-c` a file with {', '.join(constraints(each.keras))}")
        for name in each.last:
            print(f"# and after these: pip install --force-reinstall --no-deps --pre {name}")
        print()


def _print_tox(found: Sequence[Environment]) -> None:
    print("[tox]\nrequires = keras-buildfix[tox]\nenv_list =")
    print("\n".join(f"    {each.name}" for each in found))
    print("\n[testenv]\ndeps = pytest\ncommands = pytest {posargs}")


def _print_github(found: Sequence[Environment]) -> None:
    print(_GITHUB_HEAD)
    for each in found:
        print(f"          - name: {each.name}")
        print(f'            python: "{each.python}"')
        print(f"            requirements: {_yaml(_shell(_here(each.requirements)))}")
        print(f"            bounds: {_yaml(_shell(constraints(each.keras)))}")
        print(f"            over: {_yaml(_shell(each.last))}")
        print(f"            backend: {each.backend}")
        print(f'            legacy: "{each.variables.get("TF_USE_LEGACY_KERAS", "")}"')
    print(_GITHUB_TAIL, end="")


def _print_gitlab(found: Sequence[Environment]) -> None:
    print(_GITLAB_HEAD)
    for each in found:
        variables = {
            **each.variables,
            "REQUIREMENTS": _shell(_here(each.requirements)),
            "BOUNDS": _shell(constraints(each.keras)),
            "OVER": _shell(each.last),
        }
        print(f'{each.name}:\n  extends: .keras\n  image: "python:{each.python}"\n  variables:')
        print("\n".join(f"    {name}: {_yaml(value)}" for name, value in variables.items()) + "\n")


def _print_nox(found: Sequence[Environment]) -> None:
    print(_NOX_HEAD)
    for each in found:
        values = (each.name, each.python, each.requirements, constraints(each.keras), each.last, each.variables)
        print(f"    {values!r},")
    print(_NOX_TAIL, end="")


def _shell(requirements: Sequence[str]) -> str:
    """Requirements as words of a shell."""
    return " ".join(f'"{each}"' for each in requirements)


def _yaml(text: str) -> str:
    """A text as a YAML string in single quotes."""
    return "'{}'".format(text.replace("'", "''"))


_GITHUB_HEAD = """\
# From `keras-buildfix matrix --format github`. Save it as .github/workflows/keras.yml.
name: keras
on: [push, pull_request]
permissions:
  contents: read
jobs:
  keras:
    name: ${{ matrix.name }}
    runs-on: ubuntu-latest
    timeout-minutes: 30
    strategy:
      fail-fast: false
      matrix:
        include:"""
_GITHUB_TAIL = """\
    env:
      KERAS_BACKEND: ${{ matrix.backend }}
      TF_USE_LEGACY_KERAS: ${{ matrix.legacy }}
      KERAS_HOME: ${{ github.workspace }}/.keras-home
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: ${{ matrix.python }}
          cache: pip
          cache-dependency-path: |
            pyproject.toml
            .github/workflows/keras.yml
      # The pins are given together with the package, so that its own requirements can't move Keras; the bounds, so that
      # it brings no TensorFlow that needs another Keras.
      - run: printf '%s\\n' ${{ matrix.bounds }} > keras-bounds.txt
      - run: python -m pip install -c keras-bounds.txt pytest . ${{ matrix.requirements }}
      - if: matrix.over
        run: python -m pip install --force-reinstall --no-deps --pre ${{ matrix.over }}
      - run: python -m pytest
"""
_GITLAB_HEAD = """\
# From `keras-buildfix matrix --format gitlab`.
.keras:
  variables:
    PIP_CACHE_DIR: "$CI_PROJECT_DIR/.cache/pip"
    KERAS_HOME: "$CI_PROJECT_DIR/.keras-home"
  cache:
    key: "$CI_JOB_NAME"
    paths: [.cache/pip]
  script:
    # The pins are given together with the package, so that its own requirements can't move Keras; the bounds, so that
    # it brings no TensorFlow that needs another Keras.
    - eval "printf '%s\\n' $BOUNDS" > keras-bounds.txt
    - eval "python -m pip install -c keras-bounds.txt pytest . $REQUIREMENTS"
    - if [ -n "$OVER" ]; then eval "python -m pip install --force-reinstall --no-deps --pre $OVER"; fi
    - python -m pytest
"""
_NOX_HEAD = """\
# From `keras-buildfix matrix --format nox`.
import pathlib

import nox

ENVIRONMENTS = ["""
_NOX_TAIL = """\
]


def _add(name, python, requirements, bounds, over, variables):
    @nox.session(name=name, python=python)
    def keras(session):
        session.env.update(variables, KERAS_HOME=session.create_tmp())
        # The pins are given together with the package, so that its own requirements can't move Keras; the bounds, so
        # that it brings no TensorFlow that needs another Keras.
        file = pathlib.Path(session.create_tmp(), "keras-bounds.txt")
        file.write_text("\\n".join(bounds))
        session.install("-c", str(file), "pytest", ".", *requirements)
        if over:
            session.install("--force-reinstall", "--no-deps", "--pre", *over)
        session.run("pytest", *session.posargs)


for environment in ENVIRONMENTS:
    _add(*environment)
"""
_FORMATS = {
    "table": _print_table,
    "tox": _print_tox,
    "github": _print_github,
    "gitlab": _print_gitlab,
    "nox": _print_nox,
    "json": _print_json,
    "requirements": _print_requirements,
}
