"""Plugins for other tools; each does nothing unless it is asked for by name."""
