"""Finds which entry of a source belongs to which weight of a model."""
