"""Cases for `ops`: linear_algebra."""

from ops_cases import c, f32

CASES = {}
