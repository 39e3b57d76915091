"""Each entry of docs/by_error_message.md fails as it says, where it says, and its fix works everywhere."""

import re
import warnings

import error_messages
import pytest
from conftest import INFO, KERAS

ENTRIES = error_messages.entries()
PAGE = error_messages.PAGE.read_text("utf-8")
#: Those that train, or compile a function, take half a second and more.
PARAMS = [
    pytest.param(entry, id=slug, marks=[pytest.mark.in_turns] if entry.needs else [])
    for entry in ENTRIES
    for slug in [error_messages.anchor(entry.title)[:60]]
    if entry.runs(INFO)
]


@pytest.mark.parametrize("entry", PARAMS)
def test_the_example_fails_as_shown_and_only_where_it_is_said(entry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some Kerases warn before they fail
        error = error_messages.run(entry.plain, KERAS)
    seen = entry.seen(INFO)
    if seen is None:
        assert error is None, error
    else:
        assert error is not None, f"this Keras does what {entry.title!r} says that it does not"
        assert re.search(seen, error_messages.text_of(error)), error


@pytest.mark.parametrize("entry", PARAMS)
def test_the_fix_works(entry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = error_messages.run(entry.fixed, KERAS)
    if error is not None:
        raise error


@pytest.mark.at_length
def test_the_page_is_whole():
    titles = [entry.title for entry in ENTRIES]
    assert len({*titles}) == len(titles) > 25
    links = re.findall(r"\]\(#([^)]*)\)", PAGE)
    anchors = {error_messages.anchor(title) for title in titles}
    assert {*links} == anchors, "the list at the top links each entry, and no link leads nowhere"
    for entry in ENTRIES:
        assert entry.rows, entry.title
        assert len(re.findall("keras_buildfix", entry.plain)) == 0, "the first example is plain Keras"
