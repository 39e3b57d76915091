"""Weights that a built-in layer's own saving leaves out: ``ExtraWeightsMixin`` saves and loads them."""

#: What other parts of the package may use, by file.
SHARED = {
    "mixin": ("ExtraWeightsMixin",),
    "trial_saving": ("OwnSaving", "is_by_users_hand", "loads_by_hand", "own_saving", "saves_by_hand"),
}
