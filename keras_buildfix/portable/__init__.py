"""``PortableLayerMixin`` and its parts: a layer written for one Keras version runs on all of them."""

#: What other parts of the package may use, by file.
SHARED = {
    "raw_variables": ("marks_left",),
}
