"""Writes models for programs that have no Keras: a SavedModel for TensorFlow, a file for TensorFlow Lite."""

#: What other parts of the package may use, by file.
SHARED: dict[str, tuple[str, ...]] = {}
