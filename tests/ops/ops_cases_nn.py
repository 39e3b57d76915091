"""Cases for `ops`: nn."""

from ops_cases import c, f32

CASES = {}
