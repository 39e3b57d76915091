"""Cases for `ops`: signal."""

from ops_cases import c, f32

CASES = {}
