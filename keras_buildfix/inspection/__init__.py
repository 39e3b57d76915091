"""Looks inside a model: what its layers hold, how they are called and shared, where values or gradients go wrong."""

#: What other parts of the package may use, by file.
SHARED: dict[str, tuple[str, ...]] = {}
