"""What pages and examples show is there: commands, files, links, tables. Their Python runs by `site_code`."""

import configparser
import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import error_messages
import pytest
import site_code
from environment import INFO

from keras_buildfix import affected_layers
from keras_buildfix.cli.main import _parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language, page):
    """The blocks of a language on a page, with what they are indented by taken off."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(text) for _, text in found]


@pytest.mark.skipif(INFO.backend == "tensorflow", reason="about other backends")
def test_exporting_on_another_backend_is_an_error():
    document = site_code.PAGES.parse(ROOT / "docs" / "exporting.md")
    first = next(document.examples())
    document.needs = None
    site_code._enter(document.namespace)
    try:
        with pytest.raises(ValueError, match=r"runs on .*only TensorFlow can write it"):
            first.evaluate()
    finally:
        site_code._leave(document.namespace)


def test_the_table_is_the_measured_one():
    section = README.partition("## Which layers, on which Keras")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| (\d\.\d+)[^|]*\| ([^|]*) \|", section, re.MULTILINE))
    assert set(rows) == {"2.12", "3.0", "3.3", "3.6", "3.10", "3.12"}
    for first, said in rows.items():
        names = affected_layers(first)
        count = {"-": 0, "Softmax": 1, "Reshape": 1}.get(said) if ":" not in said else int(re.search(r"\d+", said)[0])
        assert count == len(names), first


@pytest.mark.at_length
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_are_there(page):
    shell = "\n".join(blocks("sh", page))
    commands = re.findall(r"^(?:python -m |uvx |uv run )?keras[-_]buildfix (.*?)(?: +#.*)?$", shell, re.MULTILINE)
    inline = re.findall(r"`keras-buildfix ([^`]*)`", page.read_text("utf-8"))
    for words in [*commands, *inline]:
        if words in inline and re.fullmatch(r"[a-z ]+", words):  # a command is called by its name
            words += " --help"
        with pytest.raises(SystemExit, match="0") if words.endswith(" --help") else contextlib.nullcontext():
            assert _parser().parse_args(shlex.split(words)).command
    for file in re.findall(r"python (\S+\.py)", shell):
        assert file == "script.py" or (ROOT / file).exists(), file


@pytest.mark.at_length
@pytest.mark.parametrize("language", ["toml", "ini", "yaml", "json"])
def test_data_on_pages_can_be_read(language):
    texts = [text for page in PAGES for text in blocks(language, page)]
    if not texts:
        pytest.skip(f"no page has {language}")
    read = {
        "toml": lambda text: pytest.importorskip("tomllib").loads(text),
        "ini": lambda text: configparser.ConfigParser(interpolation=None).read_string(text),
        "yaml": lambda text: pytest.importorskip("yaml").safe_load(text),
        "json": json.loads,
    }[language]
    for text in texts:
        read(text)


@pytest.mark.at_length
def test_links_lead_to_what_is_there():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    found = 0
    for page in pages:
        text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target, _, anchor in re.findall(r"\]\(([^)#]*)(#([^)]*))?\)", text):
            found += 1
            file = (page.parent / target).resolve() if target else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor:
                aims = file.read_text("utf-8")
                names = re.findall(r"^::: (\S+)$", aims, re.MULTILINE)  # of the reference
                titles = re.findall(r"^#+ (.*)$", aims, re.MULTILINE)
                anchors = {*names, *map(error_messages.anchor, titles)}
                assert anchor in anchors, f"{page.name}: {target}#{anchor}"
    assert found > 20


@pytest.mark.at_length
def test_the_page_of_error_messages_is_whole():
    text = (ROOT / "docs" / "by_error_message.md").read_text("utf-8")
    entries = error_messages.entries(text)
    titles = [entry.title for entry in entries]
    assert len({*titles}) == len(titles) == len(re.findall(r"^### ", text, re.MULTILINE)) > 25
    links = re.findall(r"\]\(#([^)]*)\)", text)
    anchors = {error_messages.anchor(title) for title in titles}
    assert {*links} == anchors, "the list at the top links each entry, and no link leads nowhere"
    for entry in entries:
        assert entry.rows, entry.title
        start, end = entry.blocks[0]
        assert "keras_buildfix" not in text[start:end], "the first example is plain Keras"


@pytest.mark.at_length
def test_the_readme_stays_a_front_page():
    assert len(README.splitlines()) < 170


@pytest.mark.in_turns  # a process that imports Keras
def test_the_example_shows_the_failure_and_the_repair():
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "skipped_build.py")],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ},
    )
    assert done.returncode == 0, done.stderr
    rows = dict(re.findall(r"^Scaled(\w+)\s+(\S+)\s+1$", done.stdout, re.MULTILINE))
    assert set(rows) == {"MaxPooling2D", "Softmax", "Reshape"}
    for name, plain in rows.items():
        assert (plain == "1") is (name not in affected_layers(INFO.version)), done.stdout
