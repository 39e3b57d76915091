"""Weights that a built-in layer's own saving leaves out: ``ExtraWeightsMixin`` saves and loads them."""
