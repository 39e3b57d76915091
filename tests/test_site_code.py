"""What `site_code` refuses: each wrong page here must fail. None of them uses Keras."""

import re

import pytest
import site_code

import keras_buildfix

pytestmark = pytest.mark.at_length


def run(tmp_path, text, site=site_code.PAGES):
    """Runs a page."""
    page = tmp_path / "page.md"
    page.write_text(text, "utf-8")
    document = site.parse(page)
    site.setup(document.namespace)
    try:
        for example in document.examples():
            example.evaluate()
    finally:
        site.teardown(document.namespace)


def python(*lines):
    return "\n".join(["# A page", "", "```python", *lines, "```", ""])


RIGHT = {
    "a comment": python("print('a')  # a"),
    "a part of a line": python("print('first\\nsecond')     # ...eco"),
    "such as": python("print('a')  # such as: b"),
    "over several lines": python("for x in 'aa':", "    print(", "        x", "    )  # a"),
    "not reached": python("if False:", "    print('a')  # b"),
    "no print": python("x = 1  # 2"),
    "text": python("print('one', 'two')") + "```text\none ... two\n```\n",
    "text after a blank line": python("print('one', 'two')") + "\n\n```text\none two\n```\n",
    "text about something else": python("print('one')") + "Or something else:\n\n```text\ntwo\n```\n",
    "one namespace": python("x = 1") + python("print(x)  # 1"),
    "doctest": python("x = 1") + "```pycon\n>>> x  # yes\n1\n>>> y = 2\n```\n" + python("print(y)  # 2"),
    "pickle finds classes": python("import pickle", "class A: pass", "assert pickle.loads(pickle.dumps(A)) is A"),
    "a comment for somebody else": "<!-- a comment -->\n",
    "another language": "```sh\nexit 1\n```\n",
}
WRONG = {
    "a comment": python("print('a')  # b"),
    "another order": python("print('ab')  # a ... b ... a"),
    "one of several": python("for x in 'ab':", "    print(x)  # a"),
    "in a block": python("if True:", "    print('a')  # b"),
    "printed before": python("print('b')", "print('a')  # b"),
    "a line of text": python("print('one', 'two')") + "```text\none two\nthree\n```\n",
    "text of another block": python("print('one')") + python("print('two')") + "```text\none\n```\n",
    "an error": python("raise AssertionError"),
    "doctest": python("x = 1") + "```pycon\n>>> x\n2\n```\n",
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_a_right_page_passes(tmp_path, text):
    run(tmp_path, text)


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_a_wrong_page_fails(tmp_path, text):
    with pytest.raises(AssertionError):
        run(tmp_path, text)


def entry(kerases, seen, plain, fixed="x = 1"):
    row = f"| Keras | Backend | You see |\n|---|---|---|\n| {kerases} | all | {seen} |\n\n"
    return "### A message\n\n" + row + python(plain)[8:] + python(fixed)[8:]


@pytest.mark.parametrize(
    "text",
    [
        entry("every", "`ValueError: no ... here`", "raise ValueError('no value here')"),
        entry("every", site_code.error_messages.SILENT, "assert False"),
        entry("2.0", "`ValueError: no`", "x = 1"),
    ],
)
def test_a_right_entry_passes(tmp_path, text):
    run(tmp_path, text, site_code.ENTRIES)


@pytest.mark.parametrize(
    "text",
    [
        entry("every", "`ValueError: no`", "x = 1"),
        entry("every", "`ValueError: no`", "raise ValueError('yes')"),
        entry("every", "`ValueError: no`", "raise TypeError('no')"),
        entry("2.0", "`AssertionError: no`", "raise AssertionError('no')"),
        entry("2.0", "`AssertionError: no`", "x = 1", "raise AssertionError('no')"),
    ],
)
def test_a_wrong_entry_fails(tmp_path, text):
    with pytest.raises(AssertionError):
        run(tmp_path, text, site_code.ENTRIES)


def test_a_failure_points_to_the_line_of_the_page(tmp_path):
    with pytest.raises(AssertionError) as failure:
        run(tmp_path, python("", "print('a')  # b"))
    assert ("page.md", 4) in [(entry.path.name, entry.lineno) for entry in failure.traceback]


@pytest.mark.parametrize(
    "mark",
    ["needs Tensorflow", "needs time", "needs", "on Keras", "on Keras 3.6 to 3.9", "on Keras 3.6-3.9", "skip: next"],
)
def test_an_unknown_mark_is_an_error(tmp_path, mark):
    with pytest.raises(ValueError, match=re.escape(mark)):
        run(tmp_path, f"<!-- {mark} -->\n\n" + python("x = 1"))


@pytest.mark.parametrize("language", ["Python", "py", "python3", "python title='x.py'"])
def test_a_block_that_only_looks_like_python_is_an_error(tmp_path, language):
    with pytest.raises(ValueError, match="to run or not"):
        run(tmp_path, python("x = 1").replace("```python", f"```{language}"))


def test_an_entry_without_its_fix_is_an_error(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("### A message\n\n" + python("x = 1"), "utf-8")
    with pytest.raises(ValueError, match="A message"):
        site_code.ENTRIES.parse(page)


def test_slow_pages_are_there():
    assert all((site_code.ROOT / page).exists() for page in site_code.SLOW_PAGES)


def test_every_block_on_every_page_is_found():
    pages = [site_code.ROOT / "README.md", *(site_code.ROOT / "docs").rglob("*.md")]
    for page in pages:
        (site,) = (each for each in (site_code.PAGES, site_code.ENTRIES) if each.should_parse(page))
        blocks = re.findall(
            r"^ *```(?:python|pycon)$|^<!-- invisible-code-block: python$", page.read_text("utf-8"), re.MULTILINE
        )
        assert len([*site.parse(page).examples()]) == len(blocks), page
    assert len(pages) > 30


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
