"""The corpora are what they promise: large enough, and their classes can be found by name."""

import inspect

import corpus_right
import corpus_wrong
import pytest
from environment import INFO, KERAS

ENTRIES = [*corpus_wrong.WRONG, *corpus_right.RIGHT]


def here(entries):
    return [entry for entry in entries if entry.where(INFO)]


def test_each_corpus_has_at_least_60_layers_here_and_40_of_kerass_own():
    own = {entry.cls for entry in here(corpus_right.KERAS_OWN)}
    assert len({entry.cls for entry in here(corpus_wrong.WRONG)}) >= 60
    assert len(own) >= 40
    assert len(own | {entry.cls for entry in here(corpus_right.CUSTOM)}) >= 60
    assert len({entry.cls for entry in here(corpus_right.CUSTOM)}) >= 20


def test_only_a_wrong_layer_names_a_check_a_reason_and_a_source():
    assert all(entry.check and entry.why and entry.source for entry in corpus_wrong.WRONG)
    assert not any(entry.check or entry.also or entry.why for entry in corpus_right.RIGHT)
    assert not any(entry.check in entry.also for entry in corpus_wrong.WRONG)


def test_no_layer_stands_in_a_corpus_twice_with_the_same_arguments():
    for entries in (here(corpus_wrong.WRONG), here(corpus_right.RIGHT)):
        seen = [(entry.cls, repr(entry.kwargs), repr(entry.shape)) for entry in entries]
        assert len(seen) == len({*seen})


@pytest.mark.parametrize("module", [corpus_wrong, corpus_right], ids=["wrong", "right"])
def test_each_class_is_used_and_can_be_found_by_its_name(module):
    entries = module.WRONG if module is corpus_wrong else module.RIGHT
    used = {entry.cls for entry in entries}
    for cls in used - {each for each in vars(KERAS.layers).values() if inspect.isclass(each)}:
        assert vars(module)[cls.__name__] is cls
        assert cls.__module__ == module.__name__
    made = {type(entry.cls(**entry.kwargs)) for entry in here(entries) if not isinstance(entry.cls, type)}
    bases = {base for cls in used | made if isinstance(cls, type) for base in cls.__mro__}
    own = {value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__}
    idle = {cls.__name__ for cls in own - bases if issubclass(cls, KERAS.layers.Layer)}
    assert not idle
