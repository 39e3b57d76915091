"""Each form of model in examples/ works, or says why it can't here; the values are asserted in the forms."""

import re
import runpy
import sys

import forms_table
import pytest
from environment import INFO, KERAS

FORMS = [f"{name}.{form}" for name in forms_table.FILES for form in forms_table.forms_of(name)]
#: What forms need that an environment may not have.
NEEDS = ("needs TensorFlow", "needs pydot and graphviz")
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # from Keras: about input_shape= and .h5 files
    # Keras 2.12 to 2.15 on Python 3.10 and 3.11, after `set_random_seed`.
    pytest.mark.filterwarnings("ignore:non-integer arguments to randrange:DeprecationWarning"),
    # TensorFlow's AutoGraph on Python 3.13; as an error it makes AutoGraph leave the code as it is.
    pytest.mark.filterwarnings("ignore:.*unexpected keyword argument '___pyct_anno':DeprecationWarning"),
]
MODULES = {}


@pytest.fixture(autouse=True)
def no_seed_is_left():
    """Keras 2's `set_random_seed` leaves a generator for all initializers: later tests would warn on Python 3.11."""
    yield
    if INFO.generation == 2:
        backend = sys.modules.get(f"{INFO.package}.src.backend") or sys.modules[f"{INFO.package}.backend"]
        vars(backend._SEED_GENERATOR).pop("generator", None)


@pytest.fixture
def module(request):
    """Imports an example with this environment's Keras as `keras`, once."""

    def load(name):
        if name not in MODULES:
            MODULES[name] = forms_table.example(name, KERAS)
        return MODULES[name]

    with forms_table.imports_for(KERAS):
        yield load


@pytest.mark.parametrize("name", FORMS)
def test_the_form_works(name, module):
    file, form = name.split(".")
    example = module(file)
    function = getattr(example, form)
    if INFO.backend == "numpy" and function in example.TRAIN:
        with pytest.raises((NotImplementedError, RuntimeError), match=r"(?i)numpy"):
            function()
        return
    said = function()
    if said is not None:
        assert said in NEEDS
        assert INFO.backend != "tensorflow" or "TensorFlow" not in said


def test_an_example_is_a_program(capsys):
    with forms_table.imports_for(KERAS):
        runpy.run_path(str(forms_table.EXAMPLES / "looking_inside.py"), run_name="__main__")
    printed = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
    assert printed.pop("drawing") in ("works", "needs pydot and graphviz")
    assert printed == {"summary": "works", "outputs of layers": "works"}


@pytest.mark.at_length
def test_every_example_is_in_the_table():
    files = {path.stem for path in forms_table.EXAMPLES.glob("*.py")}
    assert files - {"running", "skipped_build"} == {*forms_table.FILES}


@pytest.mark.at_length
def test_the_page_has_the_forms():
    text = forms_table.TARGET.read_text("utf-8")
    rows = re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE)
    assert [row for row in rows if row != "form"] == [form.split(".")[1].replace("_", " ") for form in FORMS]
