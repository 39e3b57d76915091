"""The entries of docs/by_error_message.md: what fails, on which Kerases, what one sees, and the fix."""

from __future__ import annotations

import re
from dataclasses import dataclass

BACKENDS = {"TensorFlow": "tensorflow", "JAX": "jax", "torch": "torch", "numpy": "numpy"}
#: What stands in a table in place of a message.
SILENT = "nothing; the `assert` below fails"
#: What a page or an entry may need, and the backends that have it.
BACKENDS_WITH = {"training": {"tensorflow", "jax", "torch"}, "TensorFlow": {"tensorflow"}}

_RANGE = re.compile(r"(\d+\.\d+)(?:-(\d+\.\d+)| (and later))?")
_WORDS = ("every", "tf_keras", "Keras 2", "Keras 3")
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """One entry of the page."""

    title: str
    needs: str | None
    rows: tuple[tuple[str, str, str], ...]  # the Kerases, the backends, what one sees
    blocks: tuple[tuple[int, int], ...]  # where the example that fails and the one with the fix are in the text

    def seen(self, info):
        """A pattern for what the page says that one sees on this Keras; None if it says that the example runs."""
        found = [seen for kerases, backends, seen in self.rows if covers(kerases, info) and _on(backends, info)]
        assert len(found) <= 1, f"{self.title}: several rows for {info}"
        if not found:
            return None
        if found[0] == SILENT:
            return r"^AssertionError: $"
        (message,) = re.findall("^(?:``(.*)``|`([^`]*)`)$", found[0])
        return "^" + r".*".join(re.escape(part.strip()) for part in "".join(message).split("..."))


def entries(page):
    """All entries of the page's text, in its order."""
    found = []
    for section in re.finditer(r"^### (.*)\n((?s:.*?))(?=^##|\Z)", page, re.MULTILINE):
        title, text = section.groups()
        rows = tuple(re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", text, re.MULTILINE))[1:]
        needs = re.search(r"^<!-- needs (.*) -->$", text, re.MULTILINE)
        places = tuple(block.span(1) for block in _BLOCK.finditer(page, section.start(), section.end()))
        if len(places) != 2:
            raise ValueError(f"{title}: an entry has two examples, one that fails and one that does not")
        found.append(Entry(title, needs and needs[1], rows, places))
    return found


def text_of(error):
    """An error as the page shows it: its type and its message, on one line, without colours."""
    message = re.sub(r"\x1b\[\d+m", "", str(error))
    return f"{type(error).__name__}: {' '.join(message.split())}"


def anchor(title):
    """What a link to a heading has after its `#`."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def covers(kerases, info):
    """Whether a Keras is among those that the page names, such as "3.0-3.2, 3.6 and later"."""
    return any(_is_in(part.strip(), info) for part in kerases.split(","))


def is_range(kerases):
    """Whether a text names Kerases as `covers` reads it."""
    return all(_RANGE.fullmatch(part.strip()) or part.strip() in _WORDS for part in kerases.split(","))


def _is_in(part, info):
    here = tuple(int(number) for number in info.version.split(".")[:2])
    if part == "every":
        return True
    if part == "tf_keras":
        return info.package == "tf_keras"
    if part in ("Keras 2", "Keras 3"):
        return info.generation == int(part[-1])
    first, last = _RANGE.fullmatch(part).group(1, 2)
    first, last = (tuple(map(int, each.split("."))) if each else None for each in (first, last or first))
    if part.endswith("later"):
        last = (99, 0)
    return info.package != "tf_keras" and first <= here <= last


def _on(backends, info):
    return backends == "all" or info.backend in [BACKENDS[each] for each in backends.split(", ")]
