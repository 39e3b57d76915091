"""``PortableLayerMixin``: layers written once, with any Keras's signatures."""

#: What other parts of the package may use, by file.
SHARED = {
    "raw_variables": ("marks_left",),
}
