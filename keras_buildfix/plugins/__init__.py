"""Plugins for other tools; each does nothing unless you ask for it."""
