"""Mixed precision: one casting rule for ``call``, parts in float32, and policies."""
