"""Writes ``docs/reference/``: the public names by task, from the help of the package, and the command line.

``python tools/reference_pages.py`` writes all pages. It needs no Keras. The text of an entry is not here: mkdocstrings
reads it from the docstring when the site is built.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "reference"
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT))

from evidence import tested_on  # noqa: E402

import keras_buildfix  # noqa: E402
import keras_buildfix.testing  # noqa: E402
from keras_buildfix.cli.commands import Parser  # noqa: E402
from keras_buildfix.cli.main import _parser  # noqa: E402

WRITTEN = "Written by `tools/reference_pages.py` from the docstrings; run it after a change of names or tests.\n"


@dataclass(frozen=True)
class Page:
    """A page of a group of names.

    Attributes:
        file: Its file in ``docs/reference``.
        about: Its first sentences, in Markdown.
    """

    file: str
    about: str


#: Title in the help of the package -> its page.
PAGES = {
    "Write portable layers": Page(
        "portable.md",
        "The classes and functions with which one source of a layer runs on every Keras and backend. [Portable "
        "layers](../portable_layers.md) shows how to use them.",
    ),
    "Make build() run": Page(
        "building.md",
        "What makes a skipped `build()` run, and what finds the layers that need it. [Deferred build](../building.md) "
        "shows how to use it.",
    ),
    "Weights and files": Page(
        "weights.md",
        "The functions that name, set, copy, save and load weights, and what they return. [Weights](../weights.md) and "
        "[files of weights](../weight_files.md) show how to use them.",
    ),
    "Train a part": Page(
        "freezing.md",
        "The functions that freeze layers and weights, in compiled models too. [Freezing](../freezing.md) shows how to "
        "use them.",
    ),
    "Mixed precision": Page(
        "precision.md",
        "The functions that make a layer compute in the right dtype. [Mixed precision](../mixed_precision.md) shows "
        "how to use them.",
    ),
    "Look inside a model": Page(
        "inspection.md",
        "The functions that show what a model does, and find what is wrong in it. [Seeing inside a "
        "model](../inspection.md) shows how to use them.",
    ),
    "Hand a model on": Page(
        "exporting.md",
        "The functions that write a model for programs without Keras. [Exporting](../exporting.md) shows how to use "
        "them.",
    ),
    "Which Keras": Page("keras.md", "The functions that tell which Keras an object belongs to."),
}

TESTING = Page(
    "testing.md",
    "The functions that check a layer class in every way in which a layer gets used, and the plugins for pytest and "
    "tox. [Checking a layer](../check_layer.md) shows how to use them and lists the checks.",
)
TESTING_TITLE = "Checks for tests"

#: Modules in place of functions or classes, and the pages that list what is in them.
MODULES = {
    "ops": "[ops and random](../ops.md) shows how to use it, and [ops on each Keras](../ops_table.md) lists its "
    "functions with what each of them is on each Keras. Their arguments are those of `keras.ops`.",
    "random": "[ops on each Keras](../ops_table.md) lists its functions with what each of them is on each Keras. Their "
    "arguments are those of `keras.random`.",
}


def main() -> None:
    """Writes the pages."""
    for file, text in pages().items():
        (TARGET / file).write_text(text, "utf-8")
    print(f"{TARGET}: {len(pages())} pages")


def pages() -> dict[str, str]:
    """File in ``docs/reference`` -> its text."""
    written = {page.file: _group(title, page.about, _ordered(groups()[title])) for title, page in PAGES.items()}
    written[TESTING.file] = _testing()
    written["cli.md"] = _command_line()
    written["index.md"] = _index()
    return written


def groups() -> dict[str, dict[str, str]]:
    """Title of a group in the help of the package -> its names, each with its line."""
    found: dict[str, dict[str, str]] = {}
    for line in (keras_buildfix.__doc__ or "").splitlines():
        title = re.fullmatch(r"(\S.*):", line)
        row = re.fullmatch(r" {4}(\w+) {2,}(\S.*)", line)
        if title:
            names = found[title[1].replace("``", "")] = {}
        elif row:
            names[row[1]] = row[2].replace("``", "`")
    return found


# --- The order on a page -----------------------------------------------------------------------


def _ordered(names: Mapping[str, str]) -> list[str]:
    """The names of a group; a class follows the first function that returns it, or the class that holds it."""
    in_order: list[str] = []

    def add(name: str) -> None:
        if name in in_order:
            return
        in_order.append(name)
        for other in names:
            if other[0].isupper() and other in _leads_to(name):
                add(other)

    for name in names:
        if not (name[0].isupper() and any(name in _leads_to(other) for other in names if other != name)):
            add(name)
    return in_order + [name for name in names if name not in in_order]


def _leads_to(name: str) -> set[str]:
    """The words in what a function returns or a class holds."""
    node = _definition(name)
    if isinstance(node, ast.FunctionDef):
        return set(re.findall(r"\w+", ast.unparse(node.returns) if node.returns else ""))
    held = [each.annotation for each in getattr(node, "body", ()) if isinstance(each, ast.AnnAssign)]
    return set(re.findall(r"\w+", " ".join(map(ast.unparse, held))))


def _definition(name: str) -> ast.stmt | None:
    """The source of a public name; None for a module."""
    if name in MODULES:
        return None
    path = ROOT / "keras_buildfix" / f"{keras_buildfix._HOME[name].replace('.', '/')}.py"
    found = [each for each in ast.parse(path.read_text("utf-8")).body if getattr(each, "name", "") == name]
    return found[-1]  # before it there are its overloads


# --- Pages of names ----------------------------------------------------------------------------


def _group(title: str, about: str, names: Sequence[str]) -> str:
    shown = re.sub(r"(\w+\(\))", r"`\1`", title)
    return "\n".join([f"# {shown}", "", about, "", WRITTEN, *map(_entry, names)])


def _entry(name: str, module: str = "keras_buildfix") -> str:
    """The directive for a name, and a line with what it was tested on."""
    lines = [f"::: {module}.{name}"]
    if name in MODULES:
        lines += ["    options:", "      members: false", "", MODULES[name]]
    where = tested_on(name)
    return "\n".join([*lines, "", *([f"`{name}` is [tested](../environments.md) on {where}.", ""] if where else [])])


def _testing() -> str:
    names = ["check_layer", "parametrize_with_checks", "layer_checks"]
    names += sorted(set(keras_buildfix.testing.__all__) - set(names))
    text = _group(TESTING_TITLE, TESTING.about, ())
    entries = [_entry(name, "keras_buildfix.testing") for name in names]
    return "\n".join([text, *entries, *_pytest_plugin(), *_tox_plugin()])


def _pytest_plugin() -> Iterator[str]:
    yield "## pytest plugin\n"
    tree = ast.parse((ROOT / "keras_buildfix" / "plugins" / "pytest.py").read_text("utf-8"))
    fixtures = [
        each
        for each in tree.body
        if isinstance(each, ast.FunctionDef) and "pytest.fixture" in map(ast.unparse, each.decorator_list)
    ]
    yield "pytest finds it by itself. [pytest](../pytest_plugin.md) shows how to use it.\n"
    for each in ast.walk(tree):
        if isinstance(each, ast.Call) and getattr(each.func, "attr", "") == "addoption":
            told = {word.arg: word.value for word in each.keywords}
            yield f"- Option `{ast.literal_eval(each.args[0])}`: {_markdown(ast.literal_eval(told['help']))}"
    for each in tree.body:
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "_MARKER":
            form, _, about = ast.literal_eval(each.value).partition(": ")
            example = re.search(r"@pytest\S+ backend=\"\w+\"\)", about)
            yield f"- Marker `{form}`: {about.partition(',')[0]}, such as `{example[0] if example else form}`."
    for each in fixtures:
        yield f"- Fixture `{each.name}`: {(ast.get_docstring(each) or '').splitlines()[0].replace('``', '`')}"
    yield ""


def _tox_plugin() -> Iterator[str]:
    yield "## tox plugin\n"
    tree = ast.parse((ROOT / "keras_buildfix" / "plugins" / "tox.py").read_text("utf-8"))
    yield (ast.get_docstring(tree) or "").replace("``", "`") + "\n"
    for each in ast.walk(tree):
        if isinstance(each, ast.Call) and getattr(each.func, "attr", "") == "add_config":
            told = {word.arg: word.value for word in each.keywords}
            yield f"- Setting `keras_pins`: {ast.literal_eval(told['desc'])}."
    yield "\n[tox and CI](../matrix.md) shows how to use it.\n"


# --- All names ---------------------------------------------------------------------------------


def _index() -> str:
    listed = {title: (PAGES[title].file, _lines(title)) for title in PAGES}
    testing = {name: _first_sentence(name) for name in sorted(keras_buildfix.testing.__all__)}
    listed[TESTING_TITLE] = (TESTING.file, testing)
    usual = _usual()
    lines = [
        "# All names, by task",
        "",
        "Every public name in a line, with a link to its entry. `keras_buildfix` has all of them but the checks, which "
        "are in `keras_buildfix.testing`; the [commands](cli.md) have a page of their own.",
        "",
        WRITTEN,
        f"The tests of a name ran on {usual}. Where its row says *on some*, they ran on a part of these, and its entry "
        "says which. [Environments and evidence](../environments.md) says how we count.",
    ]
    for title, (file, names) in listed.items():
        module = "keras_buildfix" + (".testing" if title == TESTING_TITLE else "")
        shown = re.sub(r"(\w+\(\))", r"`\1`", title)
        lines += ["", f"## [{shown}]({file})", "", "| name | what it does | tests |", "|---|---|---|"]
        for name, about in names.items():
            where, _, count = tested_on(name).rpartition("; ")
            told = count.partition(" ")[0] + ("" if where in ("", usual) else ", on some")
            lines.append(f"| [{name}]({file}#{module}.{name}) | {about} | {told} |")
    return "\n".join([*lines, ""])


def _lines(title: str) -> dict[str, str]:
    names = groups()[title]
    return {name: names[name] for name in names}


def _usual() -> str:
    """Where most names were tested."""
    where = [tested_on(name).rpartition("; ")[0] for name in keras_buildfix.__all__]
    return max(where, key=where.count)


def _first_sentence(name: str) -> str:
    """The first line of the docstring of a name in ``keras_buildfix.testing``."""
    text = getattr(keras_buildfix.testing, name).__doc__.splitlines()[0]
    return text.replace("``", "`").rstrip(".")


# --- The command line --------------------------------------------------------------------------


def _command_line() -> str:
    parser = _parser()
    lines = [
        "# Command line",
        "",
        "Each command of `keras-buildfix`, with its arguments, examples and exit codes, as its `--help` says.",
        "",
        "Written by `tools/reference_pages.py` from the parser of the commands.",
        "",
        "| command | what it does |",
        "|---|---|",
    ]
    every = [(name, each, about) for name, each, about in _commands(parser, "") if each._actions]
    lines += [f"| [`{name}`](#{_anchor(name)}) | {_markdown(about)} |" for name, _, about in every]
    for name, each, _ in every:
        lines += ["", *_command(name, each)]
    lines += ["", "## Options without a command", "", *_arguments(parser), ""]
    return "\n".join(lines)


def _commands(parser: Parser, path: str) -> Iterator[tuple[str, Parser, str]]:
    """Each command with its whole name, its parser and its line in the list of commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                name = f"{path} {choice.dest}".strip()
                yield name, parser.commands[choice.dest], choice.help or ""
                yield from _commands(parser.commands[choice.dest], name)


def _markdown(text: str) -> str:
    """Plain text of a help as Markdown: options, calls and names with underscores become code, but not in quotes."""
    parts = re.split(r"""(`[^`]*`|"[^"]*"|'[^' ]*')""", " ".join(text.split()))
    for place in range(0, len(parts), 2):
        plain = re.sub(r"(?<![\w`])((?:--\w[\w-]*|@?[\w.]*\w\(\)|@?\w*_[\w.]*\w))", r"`\1`", parts[place])
        parts[place] = re.sub(r"[<*\[\]]", r"\\\g<0>", plain)
    return "".join(parts)


def _command(name: str, parser: Parser) -> Iterator[str]:
    examples, codes = _epilog(parser)
    yield f"## {name}"
    yield ""
    yield _markdown(parser.description or "")
    if examples:
        yield from ("", "```sh", *examples, "```")
    arguments = [*_arguments(parser)]
    if arguments:
        yield from ("", *arguments)
    if codes:
        yield from ("", f"Exit codes: {_markdown(codes)}.")


def _epilog(parser: Parser) -> tuple[list[str], str]:
    """The examples in the help of a command, and the meaning of its exit codes."""
    examples, _, codes = (parser.epilog or "").partition("exit codes: ")
    return [line.strip() for line in examples.splitlines() if line.startswith("  ")], " ".join(codes.split())


def _arguments(parser: Parser) -> Iterator[str]:
    """A line for each argument and option."""
    for action in parser._actions:
        if isinstance(action, (argparse._SubParsersAction, argparse._HelpAction)):
            continue
        shown = ", ".join(f"`{name}{_value(action)}`" for name in action.option_strings or [""])
        needed = " (required)" if action.option_strings and action.required else ""
        about = (action.help or "") % {**vars(action), "prog": parser.prog}
        yield f"- {shown.replace('` ', '`')}{needed}: {_markdown(about)}"


def _value(action: argparse.Action) -> str:
    """The value of an argument or option, as its help shows it."""
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, tuple):
        return " " + " ".join(action.metavar)
    word = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest)
    if action.option_strings and not action.metavar and not action.choices:
        word = action.dest.upper()
    forms = {"?": f"[{word}]", "*": f"[{word} ...]", "+": f"{word} [{word} ...]"}
    return f" {forms.get(str(action.nargs), word)}"


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


if __name__ == "__main__":
    main()
