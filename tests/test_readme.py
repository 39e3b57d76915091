"""Everything that the README and the examples show runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import INFO, KERAS

import keras_buildfix
from keras_buildfix import affected_layers, cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_python_blocks_run_in_order(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)  # they save files
    monkeypatch.setitem(sys.modules, "keras", KERAS)
    names = {"__name__": "readme"}
    monkeypatch.setitem(sys.modules, "readme", type(sys)("readme"))
    assert len(blocks("python")) >= 7
    try:
        for block in blocks("python"):
            exec(compile(block, "README.md", "exec"), names)
    finally:
        keras_buildfix.uninstall()
    printed = capsys.readouterr().out
    for line in ("4 waiting\n", "4 assigned\n", "(2, 1)\n"):
        assert line in printed
    assert ("Soft.build() never runs on" in printed) is ("Softmax" in affected_layers(INFO.version))


@pytest.mark.skipif("MaxPooling2D" not in affected_layers(INFO.version), reason="shown for Keras 3.6-3.9")
def test_the_failure_is_as_shown():
    names = {"keras": KERAS}
    exec(blocks("python")[0], names)
    (shown,) = blocks("pycon")
    for asked, answered in re.findall(r"^>>> (.*?)\s*(?:#.*)?\n(.*)$", shown, re.MULTILINE):
        assert repr(eval(asked, names)) == answered


def test_the_table_is_the_measured_one():
    rows = dict(re.findall(r"^\| (\d\.\d+)[^|]*\| ([^|]*) \|", README, re.MULTILINE))
    assert set(rows) == {"2.12", "3.0", "3.3", "3.6", "3.10", "3.12"}
    for first, said in rows.items():
        names = affected_layers(first)
        count = {"-": 0, "Softmax": 1, "Reshape": 1}.get(said) if ":" not in said else int(re.search(r"\d+", said)[0])
        assert count == len(names), first


def test_commands_in_the_readme_are_there():
    shell = "\n".join(blocks("sh"))
    for words in re.findall(r"^keras-buildfix (.*?)(?: +#.*)?$", shell, re.MULTILINE):
        assert cli._parser().parse_args(shlex.split(words)).command
    for file in re.findall(r"python (\S+\.py)", shell):
        assert file == "script.py" or (ROOT / file).exists(), file


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
