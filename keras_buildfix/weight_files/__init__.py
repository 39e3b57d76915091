"""Reads and writes files of weights in each format, without Keras."""

#: What other parts of the package may use, by file.
SHARED = {
    "entry": ("Entries", "Entry", "is_structural"),
    "formats._replacing": ("replacing",),
    "formats": ("hdf5",),
    "reading": ("WeightFile", "file_path", "read_weights"),
    "renaming": ("Rename", "renamed"),
    "writing": ("format_for", "write_weights"),
}
