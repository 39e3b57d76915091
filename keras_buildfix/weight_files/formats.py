"""Readers and writers of the file formats of weights, one module each. They read on demand and know no Keras."""

from __future__ import annotations
