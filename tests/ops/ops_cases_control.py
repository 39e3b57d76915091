"""Cases for `ops`: control."""

from ops_cases import c, f32

CASES = {}
