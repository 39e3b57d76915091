"""Makes ``build`` of a built-in's subclass run, once, before first use; finds builds that Keras skips, and says why."""

#: What other parts of the package may use, by file.
SHARED = {
    "deferred": ("DeferredBuildMixin",),
    "importing": ("import_class", "import_object"),
    "skipped": ("ModuleSearch", "search_modules"),
    "watching": ("watched_builds",),
}
