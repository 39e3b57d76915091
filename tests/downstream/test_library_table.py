"""deel-lip 1.5.0 and tfkan 0.1.1, unmodified, give what the row of docs/library_table.md for the Keras at hand has."""

import os
import re

import library_table


def test_the_row_of_this_keras_is_what_the_libraries_give():
    results = library_table.results_here()
    keras = library_table.label(os.environ["KERAS_BUILDFIX_ENV"].removeprefix("downstream-own-"))
    page = library_table.TARGET.read_text("utf-8")
    (row,) = re.findall(rf"^\| {re.escape(keras)} \| (\d.*) \|$", page, re.MULTILINE)
    ways = [results[library.requirement] for library in library_table.LIBRARIES]
    assert row.split(" | ") == [library_table.passed(each[way]) for each in ways for way in ("plain", "mixin")]
