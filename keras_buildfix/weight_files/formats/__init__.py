"""The formats of weight files: one module for each format, and helpers for all of them."""
