"""Mixed precision: one casting rule for ``call``, parts in float32, and policies."""

#: What other parts of the package may use, by file.
SHARED = {
    "calls": ("MixedPrecisionMixin",),
    "wrapping": ("home_of",),
}
