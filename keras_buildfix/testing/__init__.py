"""Checks that layer authors run on their own classes, in each way in which a layer gets built."""
