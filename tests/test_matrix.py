"""The matrix as data: what belongs to a Keras, what can't be, and what it says of a wrong name. No Keras is used."""

import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from keras_buildfix import matrix

pytestmark = pytest.mark.at_length  # it is data: the same on every environment, but for Python

X86 = {"platform_system": "Linux", "platform_machine": "x86_64"}


def test_importing_it_imports_no_keras_and_no_tox():
    code = (
        "import sys, time; import keras_buildfix; before = {*sys.modules}; import keras_buildfix.matrix;"
        "print(*sorted({name.partition('.')[0] for name in {*sys.modules} - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {*done.stdout.split()} - {*sys.stdlib_module_names} if hasattr(sys, "stdlib_module_names") else set()
    assert ours <= {"keras_buildfix", "packaging"}


def test_each_cell_has_one_requirement_for_each_distribution_on_each_platform():
    for each in matrix.environments(pythons=matrix.PYTHONS):
        needed = [Requirement(text) for text in each.requirements]
        for platform in (X86, {"platform_system": "Darwin", "platform_machine": "arm64"}):
            names = [one.name for one in needed if one.marker is None or one.marker.evaluate(platform)]
            assert len(names) == len(set(names)) > 0
            assert ("tensorflow" in {name.replace("-cpu", "") for name in names}) == (each.backend == "tensorflow")
        assert each.variables["KERAS_BACKEND"] == each.backend
        assert matrix.parse(each.name) == (each.keras, each.backend, each.python)


def test_the_requirement_of_a_release_gives_that_release_and_no_other():
    for row in matrix.ROWS:
        version = row.name.partition("keras")[2]
        if not version[0].isdigit():
            continue
        bound = Requirement(row.requirement or f"tensorflow{row.tensorflow}").specifier
        inside, outside = f"{version}.99", f"{version.rpartition('.')[0]}.{int(version.rpartition('.')[2]) + 1}.0"
        assert inside in bound
        assert outside not in bound
        assert matrix.is_the_one(row.name, inside)
        assert not matrix.is_the_one(row.name, outside)
        assert not matrix.is_the_one(row.name, f"{inside}.dev1")


def test_what_is_latest_and_what_is_nightly():
    newest = max(Version(row.name[5:]) for row in matrix.ROWS if row.name[5:6].isdigit())
    assert Requirement(matrix.row("latest").requirement).specifier.contains(f"{newest}.9")
    assert matrix.is_the_one("latest", f"{newest}.1")
    assert matrix.is_the_one("latest", "4.0.0")
    assert not matrix.is_the_one("latest", "3.9.2")
    assert not matrix.is_the_one("latest", "3.16.0.dev2026110100")
    assert matrix.is_the_one("nightly", "3.16.0.dev2026110100")
    assert not matrix.is_the_one("nightly", "3.15.1")
    assert matrix.environment("nightly", "tensorflow").last == ("keras-nightly",)
    assert "keras-nightly" in matrix.environment("nightly", "jax").requirements


@pytest.mark.parametrize(
    ("keras", "backend", "needed"),
    [
        ("2.15", "tensorflow", ["tensorflow-cpu~=2.15.0"]),
        ("tfkeras2.16", "tensorflow", ["tf_keras~=2.16.0", "tensorflow~=2.16.1"]),
        ("3.0", "numpy", ["keras~=3.0.5", "jax>=0.4.30,<0.6.1", "torch==2.13.0", "packaging"]),
        ("3.9", "jax", ["keras~=3.9.2", "jax>=0.4.30,<0.6.1"]),
        ("3.10", "jax", ["keras~=3.10.0", "jax>=0.4.30"]),
        ("keras3.12", "torch", ["keras~=3.12.4", "torch==2.13.0"]),
    ],
)
def test_requirements(keras, backend, needed):
    found = [text for text in matrix.requirements(keras, backend) if "!=" not in text.partition(";")[2]]
    assert [text.partition(";")[0] for text in found] == needed


@pytest.mark.parametrize(
    ("keras", "backend", "pythons"),
    [
        ("2.15", "tensorflow", "3.9 3.10 3.11"),
        ("3.0", "tensorflow", "3.9 3.10 3.11 3.12"),
        ("3.6", "jax", "3.9 3.10 3.11 3.12 3.13"),
        ("3.9", "torch", "3.10 3.11 3.12 3.13"),
        ("3.10", "tensorflow", "3.9 3.10 3.11 3.12 3.13"),
        ("3.12", "tensorflow", "3.10 3.11 3.12 3.13"),
        ("latest", "jax", "3.11 3.12 3.13"),
        ("2.15", "jax", ""),
    ],
)
def test_the_pythons_of_a_cell(keras, backend, pythons):
    assert " ".join(matrix.pythons(keras, backend)) == pythons
    for python in matrix.PYTHONS:
        assert bool(matrix.impossible(keras, backend, python)) == (python not in pythons.split())


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("py311-keras3.9-jax", ("keras3.9", "jax", "3.11")),
        ("3.12-keras3.9-jax", ("keras3.9", "jax", "3.12")),
        ("keras2.15", ("keras2.15", "tensorflow", None)),
        ("keras2.15-numpy2", ("keras2.15", "tensorflow", None)),
        ("keras2.15-jax", ("keras2.15", "jax", None)),
        ("tf_keras2.16-tensorflow", ("tfkeras2.16", "tensorflow", None)),
        ("keraslatest-jax-cov", ("keraslatest", "jax", None)),
        ("downstream-own-keras3.9-tensorflow", ("keras3.9", "tensorflow", None)),
        ("py3-kerasnightly-torch", ("kerasnightly", "torch", None)),
        *((name, None) for name in ("lint", "docs", "kerastuner", "py311-torch", "3.11", "keras-hub", "bench", ".pkg")),
    ],
)
def test_the_parts_of_a_name(name, found):
    assert matrix.parse(name) == found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("keras3.99-jax", "has no Keras 'keras3.99'. The nearest: keras3.9, "),
        ("kerasnigthly-jax", "has no Keras 'kerasnigthly'. The nearest: kerasnightly, "),
        ("kerasnewest-jax", "The nearest: keraslatest, "),
        ("keras2.19-tensorflow", "The nearest: tfkeras2.19. It has keras2.12 to "),
        ("keras3.9.2-jax", "The nearest: keras3.9, "),
        ("keras3.6-mxnet", "must name a backend of Keras 3.6, and 'mxnet' is none: tensorflow, jax, torch, numpy."),
        ("keras3.6-tensroflow", "and 'tensroflow' is none"),
        ("keras2.15-theano", "must name a backend of Keras 2.15, and 'theano' is none: tensorflow."),
        ("py311-keras3.6", "must name a backend of Keras 3.6: tensorflow, "),
        ("keras3.6-jax-torch", "names 2 backends: jax and torch. Name one."),
        ("keras3.6-keras3.9-jax", "names 2 Keras versions: keras3.6 and keras3.9. Name one."),
        ("3.6-jax", "tox reads 3.6 as a Python: write keras3.6, or py36 for a Python."),
    ],
)
def test_a_name_that_can_not_be_meant(name, said):
    with pytest.raises(ValueError) as raised:
        matrix.parse(name)
    assert str(raised.value).startswith(repr(name))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ((">=3.9,<3.11", ["jax"]), "py311-keras3.9-jax py311-keras3.10-jax"),
        (("3.6, nightly", ["torch"]), "py311-keras3.6-torch py311-kerasnightly-torch"),
        ((">=3.15,2.15", ["tensorflow"], ["3.11", "3.9"]), "py311-keras2.15- py39-keras2.15- py311-keras3.15-"),
    ],
)
def test_environments_are_selected(asked, names):
    found = [
        each.name.replace("tensorflow", "") if "tensorflow" in asked[1] else each.name
        for each in matrix.environments(*asked)
    ]
    assert found == names.split()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("3.99",), "has no Keras '3.99'. The nearest: "),
        ((">3.99",), "has no Keras '>3.99'"),
        ((">=3.x",), "'>=3.x' is not a version specifier"),
        (("2.15", ["jax"]), "Nothing is left of keras2.15: Keras 2.15 runs on TensorFlow only."),
        (("2.15,3.9", ["jax"]), "Nothing is left of keras2.15"),
        (("3.9", ["jaxx"]), "has no backend 'jaxx'. The nearest: jax"),
        (("<3", ["tensorflow", "jax"]), "None of these Keras versions runs on backend jax."),
        (("3.9", ["jax"], ["3.8"]), "has no Python '3.8'. It has 3.9, "),
        (("3.13", ["jax"], ["3.11", "3.9"]), "None of these Keras versions runs on Python 3.9."),
    ],
)
def test_what_was_asked_for_and_is_not_there_is_an_error(asked, said):
    with pytest.raises(ValueError) as raised:
        matrix.environments(*asked)
    assert said in str(raised.value)


def test_what_was_measured_is_what_the_table_says():
    """`tools/measure_cell.py` prints the lines of `MEASURED`."""
    for cell, said in matrix.MEASURED.items():
        factors = matrix.parse(cell)
        python, version = re.search(r"Python ([\d.]+): Keras (\S+),", said).groups()
        assert not matrix.impossible(factors.keras, factors.backend, python), cell
        assert matrix.is_the_one(factors.keras, version), cell
        for needed in map(Requirement, matrix.requirements(factors.keras, factors.backend, python)):
            used = re.search(rf"\b{needed.name.replace('-cpu', '')} (\S+?)(\+cpu)?,", said)
            assert used is None or used[1] in needed.specifier, cell
    assert {f"{each.keras}-{each.backend}" for each in matrix.environments()} <= {*matrix.MEASURED}
