"""Cases for `ops`: random."""

from ops_cases import c, f32

CASES = {}
