"""The reference: each public name has one entry, in its group, and the pages are what the program writes. No Keras."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(ROOT))

import griffe_reference  # noqa: E402
import reference_pages  # noqa: E402

import keras_buildfix  # noqa: E402
import keras_buildfix.testing  # noqa: E402
from keras_buildfix.cli.main import _parser  # noqa: E402

FOLDER = ROOT / "docs" / "reference"
SITE = ROOT / ".tox" / "site" / "reference"
ENTRIES = {path.name: re.findall(r"^::: (\S+)$", path.read_text("utf-8"), re.M) for path in FOLDER.glob("*.md")}
PUBLIC = {f"keras_buildfix.{name}" for name in keras_buildfix.__all__}
CHECKS = {f"keras_buildfix.testing.{name}" for name in keras_buildfix.testing.__all__}


def test_the_pages_are_what_the_program_writes():
    written = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.md")}
    assert written == reference_pages.pages(), "run `python tools/reference_pages.py`"


def test_each_name_has_one_entry():
    assert sorted(name for names in ENTRIES.values() for name in names) == sorted(PUBLIC | CHECKS)


def test_each_name_stands_in_the_group_of_the_help():
    groups = reference_pages.groups()
    assert {f"keras_buildfix.{name}" for names in groups.values() for name in names} == PUBLIC
    for title, names in groups.items():
        page = reference_pages.PAGES[title].file
        assert sorted(ENTRIES[page]) == sorted(f"keras_buildfix.{name}" for name in names)
    assert set(ENTRIES["testing.md"]) == CHECKS


def test_a_class_follows_the_function_that_returns_it():
    order = [name.rpartition(".")[2] for name in ENTRIES["weights.md"]]
    first = order.index("set_weights")
    assert order[first : first + 3] == ["set_weights", "WeightReport", "SkippedWeight"]


@pytest.mark.parametrize("name", sorted(PUBLIC | CHECKS))
def test_an_entry_is_built_with_its_text_and_evidence(name):
    page = next(page for page, names in ENTRIES.items() if name in names)
    html = (SITE / page.replace(".md", ".html")).read_text("utf-8")
    entry = html.partition(f'id="{name}"')[2].partition("<h2")[0]
    short = name.rpartition(".")[2]
    assert re.match(rf'[^>]*>(?:<code[^>]*></code>|\s)*<span class="doc doc-object-name[^"]*">{short}</span>', entry)
    assert reference_pages.tested_on(short) in entry
    assert "&gt;&gt;&gt;" not in re.sub(r"<pre.*?</pre>", "", entry, flags=re.S)  # an example that is not code
    assert "``" not in entry


def test_every_command_and_option_of_the_parser_is_on_its_page():
    page = (FOLDER / "cli.md").read_text("utf-8")
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", page, re.M))
    commands = {parser.prog.partition(" ")[2]: parser for parser in _parser().walk()}
    assert set(sections) == {*commands, "Options without a command"} - {""}
    for name, parser in commands.items():
        for option in set(parser.options) - {"-h", "--help"}:
            assert f"`{option}" in sections[name or "Options without a command"]
        for example in re.findall(r"^  (keras-buildfix .*)$", parser.epilog or "", re.M):
            assert example in sections[name]


def test_names_in_docstrings_become_links_but_not_those_of_keras():
    text = "As ``freeze`` and ``install()``; plain ``set_weights``, ``x``.\n\nSource: ``get_weights``; see ``freeze``."
    assert griffe_reference.linked(text, "frozen") == (
        "As [`freeze`][keras_buildfix.freeze] and [`install()`][keras_buildfix.install]; plain ``set_weights``, "
        "``x``.\n\nSource: ``get_weights``; see [`freeze`][keras_buildfix.freeze]."
    )
    assert griffe_reference.linked("``freeze``", "freeze") == "``freeze``"


def test_no_line_of_a_docstring_is_a_heading_by_accident():
    for name in keras_buildfix.__all__:
        path = ROOT / "keras_buildfix" / keras_buildfix._HOME[name].replace(".", "/")
        source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
        for text in re.findall(r'"""(.*?)"""', source.read_text("utf-8"), re.S):
            assert not re.search(r"^\s*#\d", text, re.M), source
