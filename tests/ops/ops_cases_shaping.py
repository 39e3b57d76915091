"""Cases for `ops`: shaping."""

from ops_cases import c, f32

CASES = {}
