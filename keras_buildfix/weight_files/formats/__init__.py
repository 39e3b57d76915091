"""The formats of weight files, one file a format."""
