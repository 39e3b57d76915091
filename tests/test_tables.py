"""Results as tables: as text, of rich, as HTML, as dicts, and as a DataFrame where pandas is."""

import importlib.util
import json
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from keras_buildfix._tables import Table, plain_data


@dataclass(frozen=True)
class Row:
    name: str
    shape: tuple
    count: int
    share: object = None


@dataclass(frozen=True)
class Result(Table):
    rows: tuple
    kinds: frozenset = frozenset()
    note: str = ""

    def _rows(self):
        return self.rows

    def _table(self):
        return ("name", "shape", " count"), [(row.name, str(row.shape), f"{row.count:,}") for row in self.rows]

    def _notes(self):
        return (self.note,) if self.note else ()


RESULT = Result(
    (Row("<b>dense</b>", (2, None), 1200, np.float32(0.5)), Row("[red]x[/red]", (), 7)),
    frozenset({"b", "a"}),
    "2 rows & a note",
)


def test_text_has_numbers_at_the_right_and_notes_below():
    assert str(RESULT).splitlines() == [
        "name          shape      count",
        "------------------------------",
        "<b>dense</b>  (2, None)  1,200",
        "[red]x[/red]  ()             7",
        "2 rows & a note",
    ]
    assert str(Result((), note="nothing was found")) == "nothing was found"
    assert str(Result(())) == ""


def test_dict_is_ready_for_json():
    found = RESULT.to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["rows"][0] == {"name": "<b>dense</b>", "shape": [2, None], "count": 1200, "share": 0.5}
    assert (found["kinds"], found["note"]) == (["a", "b"], "2 rows & a note")
    assert plain_data({1: np.int64(2), "x": np.arange(2)}) == {"1": 2, "x": "[0 1]"}


def test_html_escapes_what_a_file_may_have_named():
    html = RESULT._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;dense&lt;/b&gt;" in html
    assert html.count("<tr>") == 3
    assert '<td style="text-align: right">1,200</td>' in html
    assert html.endswith("<p>2 rows &amp; a note</p>")
    assert Result((), note="none")._repr_html_() == "<p>none</p>"


def test_rich_prints_names_in_brackets_as_they_are():
    rich = pytest.importorskip("rich.console")
    console = rich.Console(width=60, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(RESULT)
    lines = [line.split() for line in captured.get().splitlines()]
    assert lines[0] == ["name", "shape", "count"]
    assert ["[red]x[/red]", "()", "7"] in lines
    assert "2 rows & a note" in captured.get()
    with console.capture() as captured:
        console.print(Result((), note="none"))
    assert captured.get().strip() == "none"


@pytest.mark.skipif(not importlib.util.find_spec("pandas"), reason="pandas is not installed here (tox.ini says where)")
def test_a_data_frame_has_a_line_a_row():
    frame = RESULT.to_dataframe()
    assert list(frame.columns) == ["name", "shape", "count", "share"]
    assert frame["count"].tolist() == [1200, 7]
    assert frame["shape"].tolist() == [[2, None], []]
    assert frame["share"][0] == 0.5
    assert frame["share"].isna().tolist() == [False, True]
    assert len(Result(()).to_dataframe()) == 0


def test_without_pandas_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"to_dataframe\(\) needs pandas, .* pip install pandas\. to_dict\(\)"
    ):
        RESULT.to_dataframe()
