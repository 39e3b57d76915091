"""Runs the code on pages and in docstrings, with Sybil. What a page may say to it stands here.

- A ``python`` block runs, in the page's order and in one namespace; ``import keras`` gives the environment's Keras.
- A comment after a ``print(...)`` is what this call prints: one line has to contain it. One that begins with "such as"
  is not compared.
- Each line of a ``text`` block directly after a ``python`` block is printed by that block.
- In both, ``...`` stands for anything, and ``keras 3.15.1 on jax`` (any version and backend) for the Keras that runs.
- A ``pycon`` block is a doctest in the same namespace. ``<!-- invisible-code-block: python`` starts Python that no
  reader sees, up to ``-->``.
- ``<!-- needs training -->`` or ``<!-- needs TensorFlow -->`` on a line of its own: the page (in by_error_message.md,
  the entry) is skipped where the backend lacks it. ``<!-- on Keras 3.6-3.9 -->`` above a ``pycon`` block: it runs
  there only.

The entries of docs/by_error_message.md are pairs of examples (`error_messages.py`). The examples of a docstring are one
test, with the module's names, called after what they document.
"""

import ast
import contextlib
import doctest
import importlib
import io
import itertools
import re
import shutil
import sys
import tempfile
import tokenize
import types
import warnings
from pathlib import Path

import error_messages
import pytest
from sybil import Document, Region, Sybil
from sybil.document import PythonDocument
from sybil.parsers.markdown import CodeBlockParser
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer
from sybil.sybil import SybilCollection

ROOT = Path(__file__).resolve().parents[1]
#: Modules whose docstrings run only where a library is.
LIBRARIES = {"keras_buildfix.inspection.plotting": "matplotlib"}
#: Pages that take more than half a second go in turns. All others run on every environment.
SLOW_PAGES = ("docs/check_layer.md", "docs/exporting.md", "docs/inspection.md")

_MARK = re.compile(r"^<!-- *(needs|on Keras|skip)\b(.*?)-->\n(?=(```pycon)?)", re.MULTILINE)
_KERAS = re.compile(r"\b(?:tf_)?keras \d+\.\d+\.\d+\S* on (?:tensorflow|jax|torch|numpy)\b")
#: What is patched while a document's examples run.
_patch = pytest.MonkeyPatch()


class Page(Document):
    """A page with a module as its namespace, so that pickle finds the classes that it defines."""

    def __init__(self, text, path):
        super().__init__(text, path)
        self.module = new_module(path)
        self.namespace = vars(self.module)
        self.needs = None
        for mark in _MARK.finditer(text):
            word, value, above_pycon = mark[1], mark[2].strip(), mark[3]
            if word == "needs" and value in error_messages.BACKENDS_WITH:
                self.needs = value
            elif not (word == "on Keras" and above_pycon and error_messages.is_range(value)):
                raise ValueError(f"{path}, {self.line_column(mark.start())}: unknown mark {mark[0].strip()}")
        for block in FencedCodeBlockLexer(".*")(self):
            language = block.lexemes["language"]
            if language.lower().startswith("py") and language not in ("python", "pycon"):
                raise ValueError(f"{path}, {self.line_column(block.start)}: is {language!r} to run or not?")


class Site(Sybil):
    """Sybil with names for its tests, and with the environment's Keras and a folder for what they write."""

    def __init__(self, parsers, path, patterns, document_type, excludes=()):
        super().__init__(
            parsers,
            path=str(path),
            patterns=patterns,
            excludes=excludes,
            document_types={Path(patterns[0]).suffix: document_type},
            setup=_enter,
            teardown=_leave,
        )

    def identify(self, example):
        """The name that the parser gave, else the line."""
        return example.region.lexemes.get("name") or f"line {example.line}"


def _environment():
    """The module with this environment's Keras; not imported before code runs, because it imports Keras."""
    return importlib.import_module("environment")


def new_module(path):
    """An empty module for the code of a page."""
    return types.ModuleType(f"page_{Path(path).stem}")


def execute(source, line, path, module):
    """Runs a block that begins after `line` of a page in a module, compares what it prints, and returns that."""
    tree = _Prints(source).visit(ast.parse(source))
    ast.increment_lineno(ast.fix_missing_locations(tree), line)
    _patch.setitem(sys.modules, module.__name__, module)
    vars(module)[_Prints.NAME] = _prints
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(tree, path, "exec"), vars(module))
    finally:
        sys.stdout.write(printed.getvalue())  # pytest shows it if the block failed
    return printed.getvalue()


class _Prints(ast.NodeTransformer):
    """Puts each `print(...)  # text` into a `with` that compares what it prints."""

    NAME = "__prints__"

    def __init__(self, source):
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        self.comments = {
            token.start[0]: token.string.lstrip("#").strip() for token in tokens if token.type == tokenize.COMMENT
        }

    def visit_Expr(self, node):
        text = self.comments.get(node.end_lineno)
        is_print = isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "print"
        if not is_print or not text or text.startswith("such as"):
            return node
        call = ast.parse(f"{self.NAME}({text!r})", mode="eval").body
        for part in ast.walk(call):  # a failure points to the line of the page
            ast.copy_location(part, node)
        return ast.copy_location(ast.With(items=[ast.withitem(context_expr=call)], body=[node]), node)


@contextlib.contextmanager
def _prints(text):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        yield
    sys.stdout.write(printed.getvalue())
    check_printed(text, printed.getvalue())


def check_printed(line, printed):
    """Raises an AssertionError unless a line that was printed contains a line of a page."""
    if _KERAS.search(line):
        line = _KERAS.sub(str(_environment().INFO), line)
    pattern = ".*".join(re.escape(part.strip()) for part in line.split("..."))
    assert re.search(pattern, printed), f"the page says that it prints\n{line}\nbut it prints\n{printed}"


def _skip_if_missing(needs):
    if needs and _environment().INFO.backend not in error_messages.BACKENDS_WITH[needs]:
        pytest.skip(f"the page needs {needs}")


def _runs_python(example):
    page = example.document
    _skip_if_missing(page.needs)
    printed = execute(example.parsed, example.line + example.parsed.line_offset, page.path, page.module)
    shown = re.compile(r"\n*```text\n(.*?)^ *```$", re.DOTALL | re.MULTILINE).match(page.text, example.end)
    for line in shown[1].splitlines() if shown else ():
        check_printed(line, printed)


def _runs_pycon(example):
    page = example.document
    _skip_if_missing(page.needs)
    above = re.search(r"^<!-- on Keras (.*) -->\n\Z", page.text[: example.start], re.MULTILINE)
    if above and not error_messages.covers(above[1], _environment().INFO):
        pytest.skip(f"shown for Keras {above[1]}")
    return run_doctest(str(example.parsed), page.namespace, page.path, example.line)


def run_doctest(text, namespace, name, line):
    """Runs the examples in a text, in this namespace, and returns what is wrong with them."""
    wrong = []
    test = doctest.DocTestParser().get_doctest(text, namespace, name, name, line)
    test.globs = namespace  # not a copy of it
    doctest.DocTestRunner(verbose=False).run(test, out=wrong.append, clear_globs=False)
    return "".join(wrong)


def entries(document):
    """Parses docs/by_error_message.md: two examples for each entry."""
    for entry in error_messages.entries(document.text):
        slug = error_messages.anchor(entry.title)[:60]
        for (start, end), run, what in zip(entry.blocks, (_fails_as_shown, _fix_works), ("fails", "fix")):
            yield Region(start, end, entry, run, {"name": f"{slug}-{what}"})


def _run_alone(example):
    """Runs an example in a module and a folder of its own."""
    _skip_if_missing(example.parsed.needs)
    _patch.chdir(tempfile.mkdtemp(dir=example.namespace["__folder__"]))
    source = example.document.text[example.start : example.end]
    execute(source, example.line - 1, example.path, new_module(example.path))


def _fails_as_shown(example):
    """The example fails as the page says, and only where it says so."""
    error = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some Kerases warn before they fail
            _run_alone(example)
    except Exception as raised:
        error = raised
    seen = example.parsed.seen(_environment().INFO)
    if seen is None:
        if error is not None:
            raise error
    else:
        assert error is not None, f"this Keras does what {example.parsed.title!r} says that it does not"
        assert re.search(seen, error_messages.text_of(error)), error


def _fix_works(example):
    _run_alone(example)


def _runs_docstring(example):
    import keras_buildfix

    module, text = example.parsed
    if module in LIBRARIES:
        pytest.importorskip(LIBRARIES[module])
    home = Path(keras_buildfix.__file__).parent
    assert home in Path(sys.modules[module].__file__).parents, f"{module} comes from another package than {home}"
    name = example.region.lexemes["name"]
    return run_doctest(text, dict(example.namespace), name, example.line)


def docstrings(document):
    """Parses a module: the examples of each docstring, under the name that they document."""
    if ">>>" not in document.text:
        return
    parts = Path(document.path).relative_to(ROOT).with_suffix("").parts
    module = ".".join(part for part in parts if part != "__init__")
    starts = [0, *itertools.accumulate(len(line) + 1 for line in document.text.split("\n"))]
    for name, node in _documented(ast.parse(document.text), module):
        text, place = ast.get_docstring(node), node.body[0]
        if ">>>" in text:
            start, end = starts[place.lineno - 1], starts[place.end_lineno]
            yield Region(start, end, (module, text), _runs_docstring, {"name": name})


def _documented(node, name):
    """All that has a docstring: its dotted name, and its node."""
    has_name = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    if isinstance(node, (ast.Module, *has_name)) and ast.get_docstring(node):
        yield name, node
    for child in [*getattr(node, "body", ()), *getattr(node, "orelse", ())]:
        yield from _documented(child, f"{name}.{child.name}" if isinstance(child, has_name) else name)


def _enter(namespace):
    namespace["__folder__"] = tempfile.mkdtemp()  # examples write files
    _patch.chdir(namespace["__folder__"])
    _patch.setitem(sys.modules, "keras", _environment().KERAS)


def _leave(namespace):
    import keras_buildfix

    keras_buildfix.uninstall()
    _patch.undo()
    shutil.rmtree(namespace["__folder__"], ignore_errors=True)


PAGES = Site(
    [CodeBlockParser("python", _runs_python), CodeBlockParser("pycon", _runs_pycon)],
    ROOT,
    ["README.md", "docs/*.md", "docs/*/*.md"],
    Page,
    excludes=["docs/by_error_message.md"],
)
ENTRIES = Site([entries], ROOT, ["docs/by_error_message.md"], Page)
DOCSTRINGS = Site([docstrings], ROOT / "keras_buildfix", ["*.py"], PythonDocument)
pytest_collect_file = SybilCollection((PAGES, ENTRIES, DOCSTRINGS)).pytest()


def pytest_collect_directory(path, parent):
    """Collects the folders of the package as plain ones: as packages, pytest would import them from this checkout."""
    return pytest.Dir.from_parent(parent, path=path) if ROOT / "keras_buildfix" in (path, *path.parents) else None


def turn_of(item):
    """What a test goes in turns by, with all others of its namespace; None if it runs on every environment."""
    if not hasattr(item, "example"):
        return None
    if item.path.name == "by_error_message.md":
        # Only those that train, or compile a function, take long.
        return item.name.rpartition("-")[0] if item.example.parsed.needs else None
    name = item.path.relative_to(ROOT).as_posix()
    return name if item.path.suffix == ".py" or name in SLOW_PAGES else None
