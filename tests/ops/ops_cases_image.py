"""Cases for `ops`: image."""

from ops_cases import c, f32

CASES = {}
