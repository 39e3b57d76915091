"""What `site_code` refuses: each wrong page here must fail, on any Keras and without one."""

import re

import pytest
import site_code

import keras_buildfix


def run(tmp_path, text):
    """Runs a page; gives what its examples return."""
    page = tmp_path / "page.md"
    page.write_text(text, "utf-8")
    document = site_code.PAGES.parse(page)
    try:
        return [example.evaluate() for example in document.examples()]
    finally:
        site_code._patch.undo()


def python(*lines):
    return "\n".join(["# A page", "", "```python", *lines, "```", ""])


RIGHT = [
    python("print('a')  # a"),
    python("print('first\\nsecond')     # ...eco"),
    python("print('a')  # such as: b"),
    python("for x in 'aa':", "    print(", "        x", "    )  # a"),
    python("if False:", "    print('a')  # b"),
    python("print('one', 'two')") + "```text\none ... two\n```\n",
    python("print('one', 'two')") + "\n\n```text\none two\n```\n",
    python("print('one')") + "It may print more:\n\n```text\ntwo\n```\n",
    python("x = 1") + python("print(x)  # 1"),
    python("x = 1") + "```pycon\n>>> x  # yes\n1\n```\n",
    "<!-- a comment for somebody else -->\n",
    "```sh\nexit 1\n```\n",
]
WRONG = [
    python("print('a')  # b"),
    python("print('ab')  # a ... b ... a"),
    python("for x in 'ab':", "    print(x)  # a"),
    python("if True:", "    print('a')  # b"),
    python("print('b')", "print('a')  # b"),
    python("print('one', 'two')") + "```text\none two\nthree\n```\n",
    python("print('one')", "") + python("print('two')") + "```text\none\n```\n",
    python("raise AssertionError"),
    python("x = 1") + "```pycon\n>>> x\n2\n```\n",
]


@pytest.mark.at_length
@pytest.mark.parametrize("text", RIGHT)
def test_a_right_page_passes(tmp_path, text):
    run(tmp_path, text)


@pytest.mark.at_length
@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_page_fails(tmp_path, text):
    with pytest.raises(AssertionError):
        run(tmp_path, text)


@pytest.mark.at_length
def test_a_failure_points_to_the_line_of_the_page(tmp_path):
    with pytest.raises(AssertionError) as failure:
        run(tmp_path, python("", "print('a')  # b"))
    assert ("page.md", 4) in [(entry.path.name, entry.lineno) for entry in failure.traceback]


@pytest.mark.at_length
@pytest.mark.parametrize(
    "mark",
    ["needs Tensorflow", "needs time", "needs", "on Keras", "on Keras 3.6 to 3.9", "on Keras 3.6-3.9", "skip: next"],
)
def test_an_unknown_mark_is_an_error(tmp_path, mark):
    with pytest.raises(ValueError, match=re.escape(mark)):
        run(tmp_path, f"<!-- {mark} -->\n\n" + python("x = 1"))


@pytest.mark.at_length
@pytest.mark.parametrize("language", ["Python", "py", "python3", "python title='x.py'"])
def test_a_block_that_only_looks_like_python_is_an_error(tmp_path, language):
    with pytest.raises(ValueError, match="to run or not"):
        run(tmp_path, python("x = 1").replace("```python", f"```{language}"))


@pytest.mark.at_length
def test_an_entry_without_its_fix_is_an_error(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("### A message\n\n" + python("x = 1"), "utf-8")
    with pytest.raises(ValueError, match="A message"):
        site_code.ENTRIES.parse(page)


@pytest.mark.at_length
def test_every_block_on_every_page_is_found():
    pages = [site_code.ROOT / "README.md", *(site_code.ROOT / "docs").rglob("*.md")]
    for page in pages:
        (site,) = (each for each in (site_code.PAGES, site_code.ENTRIES) if each.should_parse(page))
        blocks = re.findall(
            r"^ *```(?:python|pycon)$|^<!-- invisible-code-block: python$", page.read_text("utf-8"), re.MULTILINE
        )
        assert len([*site.parse(page).examples()]) == len(blocks), page
    assert len(pages) > 30


@pytest.mark.at_length
def test_examples_of_docstrings_are_called_after_what_they_document():
    found = {}
    for file in (site_code.ROOT / "keras_buildfix").rglob("*.py"):
        for example in site_code.DOCSTRINGS.parse(file).examples():
            name = site_code.DOCSTRINGS.identify(example)
            assert name not in found
            found[name] = example
    assert "keras_buildfix.freezing.freezing.freeze" in found
    assert "keras_buildfix.testing.checking.check_layer" in found
    public = {value.__module__ + "." + value.__qualname__ for value in _public()}
    assert len(public & {*found}) > 55


def _public():
    values = [getattr(keras_buildfix, name) for name in keras_buildfix.__all__]
    return [value for value in values if hasattr(value, "__qualname__")]
