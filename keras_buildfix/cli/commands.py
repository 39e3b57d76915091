"""The parser of the command line: help with examples and exit codes, hints after a wrong word, completion in shells.

All commands of ``keras-buildfix`` are added with ``add_command``.
"""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

SHELLS = ("bash", "zsh")


class Parser(argparse.ArgumentParser):
    """A parser that suggests the nearest command or option for a wrong one, and prints its help without a command.

    Attributes:
        commands: The parsers of its commands, by name.
        options: Its options, each with its possible values; empty if it takes any value.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.commands: dict[str, Parser] = {}
        self.options: dict[str, tuple[str, ...]] = {}
        super().__init__(*args, **kwargs)

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        """Adds an argument, and remembers its options: completion and suggestions need them."""
        self.options.update({name: tuple(kwargs.get("choices") or ()) for name in args if name.startswith("-")})
        return super().add_argument(*args, **kwargs)

    def add_commands(self) -> argparse._SubParsersAction[Parser]:
        """Prepares the parser for commands; without a command it prints its help."""
        self.set_defaults(command=self._print_help)
        return self.add_subparsers(metavar="COMMAND", title="commands")

    def _print_help(self, _: argparse.Namespace) -> int:
        self.print_help()
        return 0

    def error(self, message: str) -> NoReturn:
        """Prints what is wrong in one line, with the nearest correct word, and exits with 2."""
        choice = re.search(r"invalid choice: '?([^' ]+)'?", message)
        unknown = re.match(r"unrecognized arguments: (-\S+)", message)
        if choice and "COMMAND" in message:
            near = _nearest(choice[1], self.commands)
            known = ", ".join(self.commands)
            message = f"there is no command {choice[1]!r}{near}. Commands: {known}"
        elif unknown:
            having = [f"`{parser.prog}`" for parser in self.walk() if unknown[1] in parser.options]
            near = _nearest(unknown[1], [name for parser in self.walk() for name in parser.options])
            near = f" ({', '.join(having)} has it)" if having else near
            message = f"there is no option {unknown[1]!r} here{near}. `{self.prog} COMMAND --help` lists the options"
        elif "required" in message:
            message = f"{message}; `{self.prog} --help` shows an example"
        self.exit(2, f"{self.prog}: {message}.\n")

    def walk(self) -> Iterator[Parser]:
        """Yields this parser and the parsers of all commands below it."""
        yield self
        for parser in self.commands.values():
            yield from parser.walk()


def add_command(
    parent: Parser,
    room: argparse._SubParsersAction[Parser],
    name: str,
    about: str,
    description: str,
    *,
    examples: Sequence[str],
    codes: str,
    run: Callable[[argparse.Namespace], int] | None = None,
) -> Parser:
    """Adds a command to `parent`, with a short and a full description, examples, and the meaning of its exit codes."""
    width = min(shutil.get_terminal_size().columns, 100) - 2
    shown = [f"example{'s' * (len(examples) > 1)}:", *(f"  keras-buildfix {example}" for example in examples)]
    parser: Parser = room.add_parser(
        name,
        help=about,
        description="\n".join(textwrap.fill(paragraph, width) for paragraph in description.split("\n")),
        epilog="\n".join([*shown, "", textwrap.fill(f"exit codes: {codes}", width)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if run is not None:
        parser.set_defaults(command=run)
    parent.commands[name] = parser
    return parser


def add_json(parser: Parser) -> None:
    """Adds the option ``--json`` to a command that has data to print."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def _nearest(word: str, known: Sequence[str] | dict[str, Parser]) -> str:
    import difflib

    near = difflib.get_close_matches(word, list(dict.fromkeys(known)), n=1)
    return f" (nearest: {near[0]})" if near else ""


class PrintCompletion(argparse.Action):
    """Prints the completion script for a shell, and exits."""

    def __call__(self, parser: argparse.ArgumentParser, *args: Any) -> NoReturn:
        """Prints it; the second argument is the name of the shell."""
        assert isinstance(parser, Parser)
        print(completion(parser, args[1]), end="")
        parser.exit()


def completion(parser: Parser, shell: str) -> str:
    """A script with which a shell completes commands, options and their values, and otherwise file names."""
    commands: list[str] = []
    words: list[str] = []

    def add(place: str, each: Parser) -> None:
        for option, choices in each.options.items():
            if choices:
                words.append(f'        "{place}|{option}|"*) words="{" ".join(choices)}" ;;')
        words.append(f'        "{place}|"*"|-"*) words="{" ".join(each.options)}" ;;')
        words.append(f'        "{place}|"*) words="{" ".join(each.commands)}" ;;')
        for name, inner in each.commands.items():
            commands.append(f"{place}/{name}")
            add(f"{place}/{name}", inner)

    add("", parser)
    body = _SCRIPT.replace("@commands", " | ".join(commands)).replace("@words", "\n".join(words))
    body = body.replace("@program", parser.prog)
    return ("autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else "") + body


_SCRIPT = """\
_keras_buildfix() {
    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" place="" words="" word
    for word in "${COMP_WORDS[@]:1:$((COMP_CWORD-1))}"; do
        case "$place/$word" in
            @commands) place="$place/$word" ;;
        esac
    done
    case "$place|$previous|$current" in
@words
    esac
    COMPREPLY=()
    for word in $(echo "$words"); do
        case "$word" in "$current"*) COMPREPLY+=("$word") ;; esac
    done
}
complete -o default -F _keras_buildfix @program
"""
