"""Deferred build: a subclass's ``build`` runs, once, before first use; which builds are skipped, and who skips them."""

#: What other parts of the package may use, by file.
SHARED = {
    "deferred": ("DeferredBuildMixin",),
    "skipped": ("ModuleSearch", "search_modules"),
}
