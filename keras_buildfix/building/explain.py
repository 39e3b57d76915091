"""``explain_layer``: tells whether ``build`` of one layer class runs, on the installed Keras and on other versions."""

from __future__ import annotations

from dataclasses import dataclass

from keras_buildfix._keras.built import LOCK
from keras_buildfix._keras.classes import (
    belongs_to_keras,
    build_owner,
    layer_base,
    layer_class,
    public_name,
    users_bases,
    written_bases,
)
from keras_buildfix._keras.function_code import MARKS_BUILT, function_code, stores_built
from keras_buildfix._keras.info import keras_info
from keras_buildfix.building.affected import affected_layers, release_spans
from keras_buildfix.building.deferred import is_fixed, repairs, was_deferred
from keras_buildfix.building.importing import import_class
from keras_buildfix.building.skipped import (
    consequence,
    is_fixed_elsewhere,
    shown_file,
    skipping_builtin,
    skipping_elsewhere,
)

#: Each attribute that ``deferred_build`` may add to a class, and what it does.
_WHY = {
    "built": "ignores the mark that the built-in sets in its __init__, so that Keras still calls build()",
    LOCK: "lets the class make weights and layers in its __init__, after the built-in's __init__",
    "build": "marks the layer as built once build() has run, so that it does not run twice",
}

_RUNS, _SKIPPED = "build() runs once", "build() never runs"
_FIXED = f"{_RUNS}, thanks to keras-buildfix"


@dataclass(frozen=True)
class LayerExplanation:
    """Whether the ``build`` of a layer class runs, on each Keras version. Prints as some lines of text.

    Attributes:
        cls: The class, as ``module.qualname``.
        keras: The installed Keras, such as ``"keras 3.9.2 on jax"``.
        bases: The bases of the class up to Keras's ``Layer``: built-ins by their public names.
        build_from: The user's class that ``build`` comes from; empty if it is Keras's own.
        file: The file with this ``build``; empty if it has none.
        line: The line in that file; 0 if it has none.
        marked_by: The built-in that marks the layer as built, so that ``build`` is skipped here; empty if none does.
        deferred: Whether ``build`` runs here because of ``deferred_build``, the mixin or ``install()``.
        on_each: Pairs of the releases, in words, and what happens there to the class as it is.
        at_stake: What goes wrong where ``build`` is skipped, or would be without ``deferred_build``, in a sentence;
            empty if it is skipped nowhere.
        adds: The attributes that ``deferred_build`` or the mixin adds to the class here, each with what it does.
    """

    cls: str
    keras: str
    bases: tuple[str, ...]
    build_from: str
    file: str
    line: int
    marked_by: str
    deferred: bool
    on_each: tuple[tuple[str, str], ...]
    at_stake: str
    adds: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{title}: {text}" for title, text in self.parts()]
        lines += [f"  Keras {releases}: {what}" for releases, what in self.on_each]
        return "\n".join([self.cls, *lines])

    def parts(self) -> list[tuple[str, str]]:
        """Titles and texts, in the order in which they are printed; ``on_each`` is printed after them."""
        build = f"{self.build_from} ({shown_file(self.file)}:{self.line})" if self.build_from else "Keras's own"
        found = [("bases", ", ".join(self.bases)), ("build() is from", build)]
        if self.deferred:
            found.append((f"on {self.keras}", _FIXED))
        elif self.marked_by:
            found.append((f"on {self.keras}", f"{_SKIPPED}: {self.marked_by} marks the layer as built"))
        else:
            runs = f"{_RUNS}; nothing marks the layer as built before"
            found.append((f"on {self.keras}", runs if self.build_from else "it has no build() that could be skipped"))
        if self.at_stake:
            here = bool(self.marked_by) and not self.deferred
            skipped = here or any(what.startswith(_SKIPPED) for _, what in self.on_each)
            found.append(("where it is skipped" if skipped else "without the fix", self.at_stake))
        adds = "; ".join(f"`{name}`, which {why}" for name, why in self.adds.items())
        found.append(("@deferred_build adds", adds or "nothing on this Keras"))
        return found


def explain_layer(target: object) -> LayerExplanation:
    """Explains one layer class: its bases, who marks it as built on which Keras version, what is at stake, what helps.

    Args:
        target: A layer class, a layer, or the place of the class: ``"package.module:Class"`` or
            ``"folder/module.py:Class"``.

    Returns:
        What was found. It judges the installed Keras by its code, and other versions by the measurements of the
        built-ins that the class subclasses.

    Raises:
        TypeError: If `target` is not a layer class, a layer or a name.
        ValueError: If the module has no layer class of that name.
        ModuleNotFoundError: If there is no such module.
        ImportError: If it can't be imported.

    Examples:
        >>> import keras
        >>> from keras_buildfix import explain_layer
        >>> class Scaled(keras.layers.MaxPooling2D):
        ...     def build(self, input_shape):
        ...         self.scale = self.add_weight(name="scale", shape=())
        >>> dict(explain_layer(Scaled).on_each)["3.6 to 3.9"]
        'build() never runs: MaxPooling2D marks the layer as built'

    Source: ``tools/measure_facts.py`` measured the built-ins, and the tests compare it with the behaviour.
    """
    if isinstance(target, str):
        cls = import_class(target)
    else:
        asked = target if isinstance(target, type) or layer_base(type(target)) is None else type(target)
        cls = layer_class(asked, "explain_layer")
    owner, marker = build_owner(cls), skipping_builtin(cls)
    code = function_code(vars(owner)["build"]) if owner is not None else None
    on_each = tuple(release_spans(lambda first: _on(cls, first)))
    return LayerExplanation(
        cls=_name(cls),
        keras=str(keras_info(cls)),
        bases=tuple(_bases(cls)),
        build_from=_name(owner) if owner is not None else "",
        file=code.co_filename if code else "",
        line=code.co_firstlineno if code else 0,
        marked_by=_shown(marker) if marker is not None else "",
        deferred=marker is not None and is_fixed(cls),
        on_each=on_each,
        at_stake=consequence(cls) if _is_skipped_somewhere(cls, marker) else "",
        adds={name: _WHY.get(name, "") for name in _added(cls)},
    )


def _is_skipped_somewhere(cls: type, marker: type | None) -> bool:
    """Whether ``build`` is skipped here or on a measured Keras version, where nothing fixes it."""
    return marker is not None or any(found for _, found in release_spans(lambda first: skipping_elsewhere(cls, first)))


def _on(cls: type, version: str) -> str:
    """What happens to a class on a measured Keras version."""
    if belongs_to_keras(cls):
        return _to_subclasses(cls, version)
    marker = skipping_elsewhere(cls, version)
    if marker is not None:
        return _FIXED if is_fixed_elsewhere(cls, marker) else f"{_SKIPPED}: {_shown(marker)} marks the layer as built"
    written = [public_name(base) for base in written_bases(cls)]
    own = build_owner(cls) is not None
    locked = () if own else affected_layers(version, symptom="locked_state")
    if by := next((name for name in written if name in locked), None):
        if _is_deferred(cls):
            return "has no build() of its own; its __init__ can make weights and layers, thanks to keras-buildfix"
        return f"has no build() of its own; {by} refuses weights and layers that its __init__ makes"
    if not all(written):
        return f"not known: it subclasses {_shown(written_bases(cls)[written.index(None)])}, a private class"
    if not own:
        return "has no build() of its own, and nothing is refused"
    return "build() runs again at the first call after layer.build(shape)" if _may_run_twice(cls, version) else _RUNS


def _is_deferred(cls: type) -> bool:
    """Whether a class or a base of it was decorated or has the mixin."""
    return any(map(was_deferred, users_bases(cls)))


def _to_subclasses(builtin: type, version: str) -> str:
    """What happens on a measured Keras version to classes that subclass a built-in."""
    name = public_name(builtin)
    if name is None:
        return "not known: it is a private class"
    if name in affected_layers(version):
        return "the build() of a subclass never runs: it marks the layer as built"
    if name in affected_layers(version, symptom="locked_state"):
        return "refuses weights and layers that the __init__ of a subclass makes, if that has no build()"
    return "nothing is skipped or refused in a subclass"


def _may_run_twice(cls: type, version: str) -> bool:
    """Whether Keras 2 may build a layer twice: there only ``Layer.build`` marks it as built."""
    if _is_deferred(cls):
        return False
    owner = build_owner(cls)
    code = function_code(vars(owner)["build"]) if owner is not None else None
    if not version.startswith("2.") or code is None or stores_built(code):
        return False
    twice = affected_layers(version, symptom="built_twice")
    passes_on = {"build", "super"} <= {*code.co_names}
    return not passes_on or any(public_name(base) in twice for base in written_bases(cls))


def _added(cls: type) -> list[str]:
    """The attributes that ``deferred_build`` adds, or has added, to a class and its bases here."""
    names = [*repairs(cls)]
    for base in filter(was_deferred, users_bases(cls)):
        ours = [name for name in _WHY if name in vars(base)]
        names += [name for name in ours if name != "build" or hasattr(vars(base)[name], MARKS_BUILT)]
    return list(dict.fromkeys(names))


def _bases(cls: type) -> list[str]:
    """The bases of a class up to ``Layer``, without Keras's private ones."""
    above = cls.__mro__[1:]
    end = layer_base(cls)
    until = above[: above.index(end) + 1] if end in above else above
    return [_shown(base) for base in until if not belongs_to_keras(base) or public_name(base)]


def _shown(cls: type) -> str:
    """The public name of a built-in; for other classes, the name with the module."""
    return (public_name(cls) if belongs_to_keras(cls) else None) or _name(cls)


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
