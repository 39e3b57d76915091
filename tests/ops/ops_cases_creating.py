"""Cases for `ops`: creating."""

from ops_cases import c, f32

CASES = {}
