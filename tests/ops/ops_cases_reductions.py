"""Cases for `ops`: reductions."""

from ops_cases import c, f32

CASES = {}
