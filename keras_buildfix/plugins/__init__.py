"""Plugins for other tools; each does nothing unless you name it."""
