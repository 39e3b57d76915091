"""The entries of docs/by_error_message.md: what fails, on which Kerases, what one sees, and the fix."""

import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "by_error_message.md"
BACKENDS = {"TensorFlow": "tensorflow", "JAX": "jax", "torch": "torch", "numpy": "numpy"}
#: What stands in a table in place of a message.
SILENT = "nothing; the `assert` below fails"
#: What an entry may need, and the backends that have it.
NEEDS = {"": set(BACKENDS.values()), "training": {"tensorflow", "jax", "torch"}, "TensorFlow": {"tensorflow"}}


@dataclass(frozen=True)
class Entry:
    """One entry of the page."""

    title: str
    needs: str
    rows: tuple[tuple[str, str, str], ...]  # the Kerases, the backends, what one sees
    plain: str
    fixed: str

    def runs(self, info):
        """Whether the backend can run it at all."""
        return info.backend in NEEDS[self.needs]

    def seen(self, info):
        """A pattern for what the page says that one sees on this Keras; None if it says that the example runs."""
        found = [seen for kerases, backends, seen in self.rows if _covers(kerases, info) and _on(backends, info)]
        assert len(found) <= 1, f"{self.title}: several rows for {info}"
        if not found:
            return None
        if found[0] == SILENT:
            return r"^AssertionError: $"
        (message,) = re.findall("^(?:``(.*)``|`([^`]*)`)$", found[0])
        return "^" + r".*".join(re.escape(part.strip()) for part in "".join(message).split("..."))


def entries():
    """All entries, in the page's order."""
    found = []
    for section in re.split(r"^### ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        rows = tuple(re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", text, re.MULTILINE))[1:]
        plain, fixed = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        needs = re.findall(r"^<!-- needs (.*) -->$", text, re.MULTILINE)
        found.append(Entry(title, *(needs or [""]), rows, plain, fixed))
    return found


def run(code, keras):
    """Runs a block with this Keras as a module of its own, in the current folder; gives the error that it ends in."""
    module = types.ModuleType(PAGE.stem)
    before = {name: sys.modules.get(name) for name in ("keras", PAGE.stem)}
    sys.modules.update({"keras": keras, PAGE.stem: module})
    try:
        exec(compile(code, PAGE.name, "exec"), vars(module))
    except Exception as error:
        return error
    finally:
        for name, was in before.items():
            sys.modules.pop(name) if was is None else sys.modules.update({name: was})
    return None


def text_of(error):
    """An error as the page shows it: its type and its message, on one line, without colours."""
    message = re.sub(r"\x1b\[\d+m", "", str(error))
    return f"{type(error).__name__}: {' '.join(message.split())}"


def anchor(title):
    """What a link to a heading has after its `#`."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _covers(kerases, info):
    return any(_is_in(part.strip(), info) for part in kerases.split(","))


def _is_in(part, info):
    here = tuple(int(number) for number in info.version.split(".")[:2])
    if part == "every":
        return True
    if part == "tf_keras":
        return info.package == "tf_keras"
    if part in ("Keras 2", "Keras 3"):
        return info.generation == int(part[-1])
    first, last = re.fullmatch(r"(\d+\.\d+)(?:-(\d+\.\d+)| (and later))?", part).group(1, 2)
    first, last = (tuple(map(int, each.split("."))) if each else None for each in (first, last or first))
    if part.endswith("later"):
        last = (99, 0)
    return info.package != "tf_keras" and first <= here <= last


def _on(backends, info):
    return backends == "all" or info.backend in [BACKENDS[each] for each in backends.split(", ")]
