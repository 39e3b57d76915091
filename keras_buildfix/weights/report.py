"""The reports that ``set_weights``, ``load_weights`` and ``save_weights`` return, and the text of their errors."""

from __future__ import annotations

from dataclasses import dataclass, field

from keras_buildfix._words import in_bytes, many, some_of


@dataclass(frozen=True)
class SkippedWeight:
    """A weight that was found but does not fit.

    Attributes:
        name: The weight's canonical name.
        reason: Why it does not fit, with both shapes or both dtypes.
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class WeightReport:
    """What happened to each weight. It prints as a table. Its truth value is always True: ask ``complete``.

    Attributes:
        complete: Whether nothing is missing, unexpected or skipped. Values that still wait may be so later.
        assigned: Names of the weights that have their new value.
        waiting: Names (or ``"weight 0"``, ... if only positions are known) of weights that get their value when
            the layer is built.
        missing: Names of the target's weights for which the source has no value.
        unexpected: Names in the source for which the target has no weight.
        skipped: Weights whose values do not fit, each with the reason.
        not_finite: Name -> how many of its new values are NaN or infinite, if the values were read on
            the host. Such values are accepted.
        by_order: With ``strict=False``: the name of a weight whose layer has another given name in the source, so
            that only the order of layers led to its value -> the name of the value there.
        nearest: A missing or unexpected name (as renamed) -> the names on the other side that look most like it.
        renamed: A name in the source -> the name that ``rename`` made of it.

    Examples:
        >>> import keras
        >>> from keras_buildfix import set_weights
        >>> layer = keras.layers.Dense(1, use_bias=False)
        >>> report = set_weights(layer, {"kernel": [[1.0], [2.0]]})
        >>> print(report)
        1 assigned
        >>> report.assigned
        ('kernel',)
    """

    assigned: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    skipped: tuple[SkippedWeight, ...] = ()
    not_finite: dict[str, int] = field(default_factory=dict)
    nearest: dict[str, tuple[str, ...]] = field(default_factory=dict)
    by_order: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, unexpected or skipped."""
        return not (self.missing or self.unexpected or self.skipped)

    def __str__(self) -> str:
        kinds = ("assigned", "waiting", "missing", "unexpected", "skipped")
        counts = ", ".join(f"{len(getattr(self, kind))} {kind}" for kind in kinds if getattr(self, kind))
        return "\n".join([counts or "no weights", *self.lines()])

    def lines(self) -> list[str]:
        """One line for each weight that did not simply get its value."""
        lines = some_of(f"  missing     {name}{self._like(name)}" for name in self.missing)
        lines += some_of(f"  unexpected  {self._renamed(name)}" for name in self.unexpected)
        lines += some_of(f"  skipped     {each}" for each in self.skipped)
        lines += some_of(f"  waiting     {name}" for name in self.waiting)
        lines += some_of(f"  by order    {name}  (from {there})" for name, there in self.by_order.items())
        return lines + some_of(f"  not finite  {name}: {count} values" for name, count in self.not_finite.items())

    def refused(self) -> str:
        """The report as the text of an error: it says "would fit" for "assigned", because nothing was assigned."""
        counts = str(self).partition("\n")[0].replace("assigned", "would fit").replace("skipped", "would not")
        lines = [line.replace("  skipped     ", "  would not   ", 1) for line in self.lines()]
        return "\n".join([counts, *lines])

    def _renamed(self, name: str) -> str:
        new = self.renamed.get(name, name)
        return (name if new == name else f"{name} renamed to {new}") + self._like(new)

    def _like(self, name: str) -> str:
        nearest = self.nearest.get(name)
        return f"  (nearest: {', '.join(nearest)})" if nearest else ""


@dataclass(frozen=True, repr=False)
class SaveReport:
    """What ``save_weights`` wrote. It prints as one line.

    Attributes:
        path: The file.
        format: ``"safetensors"``, ``"npz"``, ``"h5"`` (legacy), ``"weights.h5"`` or ``"keras"``.
        weights: The names of the weights in it, as ``named_weights`` gives them.
        size: The size of the file in bytes.
    """

    path: str
    format: str
    weights: tuple[str, ...]
    size: int

    def __str__(self) -> str:
        return f"{many(len(self.weights), 'weight')} to {self.path}, {in_bytes(self.size)}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"
