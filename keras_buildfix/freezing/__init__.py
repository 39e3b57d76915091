"""Freezing layers and weights, in compiled models too: flags, traced steps and the state of optimizers."""
