"""The search of the site, typed and clicked in a real browser: error messages lead to their entry, names to theirs."""

from urllib.parse import urlsplit

import pytest
from website.built_site import public_names

#: Messages as Keras gave them, with names of the reader's own, and the entry.
PASTED = {
    "AttributeError: Exception encountered when calling MyPool.call().\n\n'MyPool' object has no attribute 'gamma_w'\n"
    "\nArguments received by MyPool.call():\n  • inputs=torch.Tensor(shape=torch.Size([1, 4, 4, 3]), dtype=float32)": (
        "object-has-no-attribute-scale-a-weight-that-build-makes"
    ),
    "ValueError: A total of 1 objects could not be loaded. Example error message for object <Tower name=tower_left, "
    "built=True>:\n\nLayer 'tower_left' expected 7 variables, but received 6 variables during loading. Expected: "
    "['kernel', 'bias', 'temperature']\n\nList of objects that could not be loaded:\n[<Tower name=tower_left>]": (
        "layer-expected-3-variables-but-received-2-variables-during-loading"
    ),
    "TypeError: MyDense.add_weight() got an unexpected keyword argument 'partitioner'": (
        "add_weight-got-an-unexpected-keyword-argument"
    ),
}
#: How far below the upper edge of the screen an element is.
TOP = "(anchor) => document.getElementById(anchor).getBoundingClientRect().top"


@pytest.fixture(scope="module")
def page(browser, address):
    """The home page with its search open."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(10_000)
    _open_search(page, address)
    yield page
    page.close()


def _open_search(page, address):
    page.goto(address + "index.html")
    for _ in range(20):  # the key does nothing until the search has read its index
        page.keyboard.press("Control+k")
        page.wait_for_timeout(250)
        if page.get_by_role("combobox").is_visible():
            return
    raise AssertionError("Control+k opens no search")


def _results(page, question):
    """Where the first three results for a question lead: the page and the anchor of each."""
    box, options = page.get_by_role("combobox"), page.get_by_role("option")
    box.fill("")
    options.first.wait_for(state="detached")
    box.fill(question)
    options.first.wait_for()
    return [_place(url) for url in options.evaluate_all("links => links.slice(0, 3).map((link) => link.href)")]


def _place(url):
    """The page and the anchor of an address."""
    parts = urlsplit(url)
    return f"{parts.path.lstrip('/')}#{parts.fragment}"


def _entry(anchor):
    return f"by_error_message.html#{anchor}"


def test_there_are_entries_with_messages(entries):
    assert len(entries) > 25
    assert sum(len(entry["messages"]) for entry in entries.values()) > 30


def test_each_message_first_finds_an_entry_that_shows_it(page, entries):
    shown = {_entry(anchor): entry["messages"] for anchor, entry in entries.items()}
    first = {
        message: _results(page, message)[0]
        for message in {message for all_of_one in shown.values() for message in all_of_one}
    }
    # A message that is the beginning of a longer one may find that.
    assert not [message for message, place in first.items() if message not in "\n".join(shown.get(place, []))]


def test_each_entry_is_found_by_its_title(page, entries):
    for anchor, entry in entries.items():
        titled = [_entry(other) for other in entries if entries[other]["title"].startswith(entry["title"])]
        results = _results(page, entry["title"])
        assert {*results[: len(titled)]} == {*titled}, anchor


def test_messages_with_names_of_the_reader_find_their_entry(page):
    assert {message: _results(page, message)[0] for message in PASTED} == {
        message: _entry(anchor) for message, anchor in PASTED.items()
    }


def test_a_public_name_finds_its_place_in_the_reference(page):
    names = public_names()
    short = [name for name in names if len(name.rpartition(".")[2]) < 10]  # words that other pages use, too
    for name in {*short, *names[::5]}:
        assert name in [place.partition("#")[2] for place in _results(page, name.rpartition(".")[2])], name


def test_a_click_on_a_result_shows_the_entry(page, address, entries):
    for anchor in [*entries][::16]:
        _open_search(page, address)
        place = _results(page, entries[anchor]["title"]).index(_entry(anchor))
        page.get_by_role("option").nth(place).click()
        page.wait_for_url(f"{address}{_entry(anchor)}")
        assert 0 <= page.evaluate(TOP, anchor) < 450, anchor
