"""`keras-buildfix vendor`: writes the core as one file, and says when such a file is stale."""

import os
import re
import subprocess
import sys

import pytest
import vendor_core

import keras_buildfix
from keras_buildfix.cli.main import main

pytestmark = pytest.mark.at_length  # it is text: the same on every environment, but for Python


@pytest.fixture
def file(tmp_path):
    return tmp_path / "_buildfix.py"


def test_the_text_is_what_the_package_says_today():
    assert vendor_core.TARGET.read_text("utf-8") == vendor_core.joined(), "run `python tools/vendor_core.py`"


def test_it_writes_one_short_file_that_needs_only_python(file, capsys):
    assert main(["vendor", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: the core of keras-buildfix {keras_buildfix.__version__}\n"
    text = file.read_text("utf-8")
    assert len(text.splitlines()) <= 300
    assert max(map(len, text.splitlines())) <= 120
    for said in (f"keras-buildfix {keras_buildfix.__version__}", "Apache-2.0", "keras-buildfix vendor"):
        assert said in text.partition("import")[0]
    imported = {
        line.split()[1].partition(".")[0] for line in text.splitlines() if re.match(r" *(from|import) \w", line)
    }
    assert imported == {"__future__", "collections", "functools", "inspect", "sys", "types", "typing"}
    code = "import sys, _buildfix; assert not {'keras_buildfix', 'packaging', 'keras'} & {*sys.modules}"
    subprocess.run([sys.executable, "-S", "-E", "-c", code], check=True, cwd=file.parent)


def test_check_tells_whether_it_is_stale(file, capsys):
    main(["vendor", str(file)])
    assert main(["vendor", "--check", str(file)]) == 0
    fresh = file.read_text("utf-8")
    file.write_text(fresh.replace("return found", "return  found") + "# mine\n", "utf-8")
    assert main(["vendor", "--check", str(file)]) == 1
    file.write_text(fresh.replace(keras_buildfix.__version__, "0.0.7", 1), "utf-8")
    assert main(["vendor", "--check", str(file)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert "was edited. `keras-buildfix vendor" in said[0]
    assert f"of keras-buildfix 0.0.7, and this is {keras_buildfix.__version__}" in said[1]
    assert main(["vendor", str(file)]) == 0  # it replaces what it wrote, of any version
    assert file.read_text("utf-8") == fresh


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["vendor", "nowhere/a.py"], "there is no folder nowhere"),
        (["vendor", "."], "is a folder: name the file to write, for example _buildfix.py"),
        (["vendor", "mine.py"], "mine.py is not a file that `keras-buildfix vendor` wrote: --force replaces it"),
        (["vendor", "--check", "mine.py"], "mine.py is not a file that `keras-buildfix vendor` wrote"),
        (["vendor", "--check", "no.py"], "there is no file no.py: `keras-buildfix vendor no.py` writes it"),
    ],
)
def test_what_it_can_not_write_or_check_is_an_error_and_stays(given, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("mine = 1\n", "utf-8")
    assert main(given) == 2
    assert said in capsys.readouterr().err
    assert (tmp_path / "mine.py").read_text("utf-8") == "mine = 1\n"
    assert os.listdir(tmp_path) == ["mine.py"]


def test_force_replaces_a_file_of_somebody_else(file):
    file.write_text("mine = 1\n", "utf-8")
    assert main(["vendor", "--force", str(file)]) == 0
    assert main(["vendor", "--check", str(file)]) == 0
