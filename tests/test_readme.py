"""Everything that the README, the pages of docs/ and the examples show runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import INFO, KERAS

import keras_buildfix
from keras_buildfix import affected_layers
from keras_buildfix.cli.main import _parser

ROOT = Path(__file__).resolve().parents[1]
#: Pages whose Python is run, with lines that it prints. docs/by_error_message.md has tests of its own.
PAGES = {
    "README.md": ["4 assigned", "froze 1 layer, 4 of 4 weights"],
    "docs/building.md": [],
    "docs/check_layer.md": ["config_keeps_arguments: 1 argument of __init__ not in its config: 'factor'."],
    "docs/exporting.md": ["output           output_0  (None, 2)  float32"],
    "docs/freezing.md": ["froze 1 layer, "],
    "docs/inspection.md": ["norm", "gets (None, 6)"],
    "docs/matrix.md": [],
    "docs/mixed_precision.md": [],
    "docs/ops.md": [],
    "docs/portable_layers.md": [],
    "docs/upgrading.md": [],
    "docs/weights.md": ["4 waiting", "4 assigned", "2 assigned"],
}
#: Pages that take long: each environment runs some of them.
SLOW_PAGES = ("docs/check_layer.md", "docs/exporting.md")
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language, page="README.md"):
    text = (ROOT / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.in_turns if page in SLOW_PAGES else ()) for page in PAGES]
)
@pytest.mark.filterwarnings("ignore:(?s).*tf.lite.Interpreter is deprecated:UserWarning")  # TensorFlow 2.21
def test_python_blocks_run_in_order(page, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)  # they save files
    monkeypatch.setitem(sys.modules, "keras", KERAS)
    module = type(sys)("readme")
    monkeypatch.setitem(sys.modules, "readme", module)
    names = vars(module)  # so that classes can be found there, as pickle does
    assert blocks("python", page)
    if page == "docs/exporting.md" and INFO.backend != "tensorflow":
        with pytest.raises(ValueError, match=r"runs on .*only TensorFlow can write it"):
            exec(blocks("python", page)[0], names)
        return
    try:
        for block in blocks("python", page):
            exec(compile(block, page, "exec"), names)
    finally:
        keras_buildfix.uninstall()
    printed = capsys.readouterr().out
    for line in PAGES[page]:
        assert line in printed
    if page == "docs/building.md":
        assert ("Soft.build() never runs on" in printed) is ("Softmax" in affected_layers(INFO.version))


@pytest.mark.skipif("MaxPooling2D" not in affected_layers(INFO.version), reason="shown for Keras 3.6-3.9")
def test_the_failure_is_as_shown():
    names = {"keras": KERAS}
    exec(blocks("python")[0], names)
    (shown,) = blocks("pycon")
    for asked, answered in re.findall(r"^>>> (.*?)\s*(?:#.*)?\n(.*)$", shown, re.MULTILINE):
        assert repr(eval(asked, names)) == answered


def test_the_table_is_the_measured_one():
    section = README.partition("## Which layers, on which Keras")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| (\d\.\d+)[^|]*\| ([^|]*) \|", section, re.MULTILINE))
    assert set(rows) == {"2.12", "3.0", "3.3", "3.6", "3.10", "3.12"}
    for first, said in rows.items():
        names = affected_layers(first)
        count = {"-": 0, "Softmax": 1, "Reshape": 1}.get(said) if ":" not in said else int(re.search(r"\d+", said)[0])
        assert count == len(names), first


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_there(page):
    shell = "\n".join(blocks("sh", page))
    inline = re.findall(r"`keras-buildfix ([^`]*)`", (ROOT / page).read_text("utf-8"))
    for words in [*re.findall(r"^keras-buildfix (.*?)(?: +#.*)?$", shell, re.MULTILINE), *inline]:
        assert _parser().parse_args(shlex.split(words)).command
    for file in re.findall(r"python (\S+\.py)", shell):
        assert file == "script.py" or (ROOT / file).exists(), file


@pytest.mark.at_length
def test_links_lead_to_what_is_there():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    found = 0
    for page in pages:
        text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target, _, anchor in re.findall(r"\]\(([^)#]*)(#([^)]*))?\)", text):
            found += 1
            file = (page.parent / target).resolve() if target else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor:
                titles = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
                assert anchor in {as_anchor(title) for title in titles}, f"{page.name}: {target}#{anchor}"
    assert found > 20


def as_anchor(title):
    """The anchor of a title, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


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
