"""`keras-buildfix matrix`: the forms that it prints. No Keras is used."""

import json
from pathlib import Path

import pytest

from keras_buildfix.cli.main import main
from keras_buildfix.matrix import constraints, environments

pytestmark = pytest.mark.at_length  # it is text: the same on every environment, but for Python
FORMATS = ["table", "tox", "github", "gitlab", "nox", "json", "requirements"]


@pytest.fixture
def printed(capsys):
    def printed(*words):
        assert main(["matrix", *words]) == 0
        return capsys.readouterr().out

    return printed


@pytest.mark.parametrize("form", FORMATS)
def test_each_form_has_each_environment(printed, form):
    text = printed("--format", form)
    for each in environments():
        assert (each.keras if form == "table" else each.name) in text
        if form not in ("tox", "json"):  # in JSON quotes are escaped
            assert each.requirements[0].partition(";")[0] in text


def test_json_is_the_table(printed):
    found = json.loads(printed("--keras", ">=3.5,nightly", "--backend", "jax,tensorflow", "--format", "json"))
    wanted = environments(">=3.5,nightly", ["jax", "tensorflow"])
    assert [{key: each[key] for key in each if key != "constraints"} for each in found] == json.loads(
        json.dumps([each._asdict() for each in wanted])
    )
    assert [tuple(each["constraints"]) for each in found] == [constraints(each.keras) for each in wanted]
    assert {each["name"]: each["last"] for each in found}["py311-kerasnightly-tensorflow"] == ["keras-nightly"]


def test_a_noxfile_is_python(printed):
    compile(printed("--format", "nox"), "noxfile.py", "exec")


def test_a_package_that_requires_tensorflow_gets_the_one_of_its_keras(printed):
    words = ("--keras", "2.15", "--format")
    assert 'bounds: \'"tensorflow~=2.15.0" "tensorflow-cpu~=2.15.0" "keras~=2.15.0"\'' in printed(*words, "github")
    assert "pip install -c keras-bounds.txt pytest ." in printed(*words, "github")
    assert 'BOUNDS: \'"tensorflow~=2.15.0" "tensorflow-cpu~=2.15.0" "keras~=2.15.0"\'' in printed(*words, "gitlab")
    assert "('tensorflow~=2.15.0', 'tensorflow-cpu~=2.15.0', 'keras~=2.15.0')" in printed(*words, "nox")
    assert "a file with tensorflow~=2.15.0, tensorflow-cpu~=2.15.0, keras~=2.15.0" in printed(*words, "requirements")


def test_the_nightly_is_installed_over_what_tensorflow_brings(printed):
    words = ("--keras", "nightly", "--backend", "tensorflow", "--format")
    assert "over: '\"keras-nightly\"'" in printed(*words, "github")
    assert "OVER: '\"keras-nightly\"'" in printed(*words, "gitlab")
    assert "--force-reinstall --no-deps --pre keras-nightly" in printed(*words, "requirements")
    assert "then over it keras-nightly" in printed(*words, "table")


@pytest.mark.parametrize("words", [("--keras", "3.99"), ("--backend", "jaxx"), ("--python", "3.8")])
def test_what_is_not_there_is_one_line(capsys, words):
    assert main(["matrix", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("keras-buildfix: The matrix has no ")
    assert printed.err.count("\n") == 1


def test_the_workflow_on_the_page_is_what_the_command_prints(printed):
    page = (Path(__file__).parents[2] / "docs" / "matrix.md").read_text("utf-8")
    command, _, rest = page.partition("## The workflow to paste")[2].partition("keras-buildfix ")[2].partition("\n")
    assert rest.partition("```yaml\n")[2].partition("```\n")[0] == printed(*command.split()[1:])
