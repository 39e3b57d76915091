"""Deferred build: a subclass's ``build`` runs, once, before first use; which builds are skipped, and who skips them."""
