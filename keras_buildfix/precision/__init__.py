"""Mixed precision: one casting rule for ``call``, parts of it in float32, and dtype policies."""

#: What other parts of the package may use, by file.
SHARED = {
    "calls": ("MixedPrecisionMixin",),
    "wrapping": ("home_of",),
}
