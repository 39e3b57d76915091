"""Checks that layer authors run on their own classes."""
