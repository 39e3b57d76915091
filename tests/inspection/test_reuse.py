"""What a model calls at several places: an error, a warning, information or nothing, the same on every Keras."""

import numpy as np
import pytest
from environment import KERAS

from keras_buildfix import check_reuse, named_weights

layers = KERAS.layers
X = np.ones((2, 6), "float32")


class Twice(KERAS.Model):
    """Calls one layer before and after another one."""

    def __init__(self, shared, between, **kwargs):
        super().__init__(**kwargs)
        self.shared = shared
        self.between = between

    def call(self, x):
        x = self.shared(x)
        x = self.between(x)
        return self.shared(x)


class Scale(layers.Layer):
    """Weights whose size is the last size of the input."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer="ones")
        super().build(shape)

    def call(self, x):
        return x * self.scale


def found(report):
    return [(each.level, each.layer) for each in report.findings]


def lines(report):
    return [place.rpartition(":")[0] for place in report.findings[0].places]


NARROW_TO_WIDE = {
    "batch normalization": lambda: layers.BatchNormalization(name="shared"),
    "layer normalization": lambda: layers.LayerNormalization(name="shared"),
    "dense": lambda: layers.Dense(6, name="shared"),
    "prelu": lambda: layers.PReLU(name="shared"),
    "custom": lambda: Scale(name="shared"),
}


@pytest.mark.parametrize("make", NARROW_TO_WIDE.values(), ids=NARROW_TO_WIDE.keys())
@pytest.mark.parametrize("width", [16, 1])
def test_a_layer_at_two_widths_is_an_error_that_names_both_places_and_shapes(make, width):
    model = Twice(make(), layers.Dense(width))
    report = check_reuse(model, X)
    assert found(report) == [("error", "shared")]
    (error,) = report.errors
    assert error.shapes == (((None, 6),), ((None, width),))
    assert lines(report) == ["test_reuse.py", "test_reuse.py"]
    first, second = (int(place.rpartition(":")[2]) for place in error.places)
    assert second == first + 2
    assert f"(None, 6) at {error.places[0]}" in error.message
    assert f"(None, {width}) at {error.places[1]}" in error.message
    assert "independent_copies" in error.message
    assert not model.built
    assert not model.shared.built
    assert model.weights == []


def test_all_conflicts_are_found_in_one_run():
    class Net(KERAS.Model):
        def __init__(self):
            super().__init__()
            self.norm = layers.BatchNormalization(name="norm")
            self.scale = Scale(name="scale")
            self.wider = [layers.Dense(7), layers.Dense(8)]

        def call(self, x):
            for wider in self.wider:
                x = wider(self.scale(self.norm(x)))
            return self.norm(x)

    report = check_reuse(Net(), X)
    assert found(report) == [("error", "norm"), ("error", "norm"), ("error", "scale")]
    assert [each.shapes[1] for each in report.errors] == [((None, 7),), ((None, 8),), ((None, 7),)]


def test_normalization_at_two_places_of_equal_width_is_a_warning():
    report = check_reuse(Twice(layers.BatchNormalization(name="shared"), layers.Dense(6)), X)
    assert found(report) == [("warning", "shared")]
    assert not report.errors
    assert "moving_mean, moving_variance" in report.warnings[0].message
    assert len(report.warnings[0].places) == 2


@pytest.mark.parametrize("make", [lambda: layers.Dense(6, name="shared"), lambda: Scale(name="shared")])
def test_shared_weights_are_information(make):
    report = check_reuse(Twice(make(), layers.Activation("relu")), X)
    assert found(report) == [("info", "shared")]
    assert report.infos[0].shapes == (((None, 6),), ((None, 6),))


def test_a_convolution_over_two_image_sizes_is_information():
    model = Twice(layers.Conv2D(3, 3, padding="same", name="shared"), layers.MaxPooling2D())
    report = check_reuse(model, np.ones((1, 8, 8, 3), "float32"))
    assert found(report) == [("info", "shared")]
    assert report.infos[0].shapes == (((None, 8, 8, 3),), ((None, 4, 4, 3),))


@pytest.mark.parametrize(
    "make", [lambda: layers.MaxPooling1D(1), lambda: layers.Dropout(0.5), lambda: layers.Activation("relu")]
)
def test_layers_without_weights_may_be_shared_at_any_width(make):
    report = check_reuse(Twice(make(), layers.Dense(9)), np.ones((2, 4, 6), "float32"))
    assert report.findings == ()
    assert "no layer with weights is shared" in str(report)


def test_a_block_that_is_shared_is_reported_once_and_not_each_layer_in_it():
    class Block(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(6, name="dense")
            self.norm = layers.BatchNormalization(name="norm")

        def call(self, x):
            return self.norm(self.dense(x))

    report = check_reuse(Twice(Block(name="block"), layers.Activation("relu")), X)
    assert found(report) == [("warning", "block")]


def test_a_layer_in_a_loop_counts_its_times():
    class Loop(KERAS.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(6, name="dense")

        def call(self, x):
            for _ in range(3):
                x = self.dense(x)
            return x

    (info,) = check_reuse(Loop(), X).findings
    assert info.level == "info"
    assert len(info.places) == 1
    assert info.places[0].endswith("(3 times)")


def two_widths():
    x = inputs = KERAS.Input((6,))
    norm = layers.BatchNormalization(name="norm")
    x = layers.Dense(16, name="wide")(norm(x))
    return KERAS.Model(inputs, norm(x), name="net")


def test_a_functional_model_that_cannot_be_made_is_checked_by_the_function_that_makes_it():
    with pytest.raises(ValueError):
        two_widths()
    report = check_reuse(two_widths)
    assert found(report) == [("error", "norm")]
    assert report.errors[0].shapes == (((None, 6),), ((None, 16),))
    assert lines(report) == ["test_reuse.py", "test_reuse.py"]


def test_a_functional_model_names_the_neighbours_and_needs_no_inputs():
    x = inputs = KERAS.Input((6,))
    norm = layers.BatchNormalization(name="norm")
    x = layers.Dense(6, name="dense")(norm(x))
    model = KERAS.Model(inputs, norm(x), name="net")
    before = {name: np.array(weight) for name, weight in named_weights(model).items()}
    (warning,) = check_reuse(model).findings
    assert warning.level == "warning"
    assert warning.places == ("in 'net', at its inputs", "in 'net', after 'dense'")
    for name, weight in named_weights(model).items():
        np.testing.assert_array_equal(np.array(weight), before[name])


def test_a_layer_that_was_built_for_another_width_is_an_error():
    norm = layers.BatchNormalization(name="norm")
    norm.build((None, 4))
    model = Twice(layers.Activation("relu"), norm)
    report = check_reuse(model, X)
    assert ("error", "norm") in found(report)
    assert report.errors[0].shapes == (((None, 4),), ((None, 6),))
    assert "was built before, for (None, 4)," in report.errors[0].message


def test_a_layer_that_was_built_before_its_model_is_information():
    dense = layers.Dense(6, name="dense")
    dense(X)
    assert found(check_reuse(Twice(layers.Activation("relu"), dense), X)) == [("info", "dense")]


def test_a_layer_of_two_functional_models_is_information():
    dense = layers.Dense(6, name="dense")
    inputs = KERAS.Input((6,))
    first = KERAS.Model(inputs, layers.Activation("relu")(dense(inputs)))
    assert check_reuse(first).findings == ()
    other = KERAS.Input((6,))
    KERAS.Model(other, dense(other))
    assert found(check_reuse(first)) == [("info", "dense")]


def test_an_error_of_another_kind_is_raised():
    class Breaks(layers.Layer):
        def call(self, x):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError):
        check_reuse(Breaks(), X)


def test_wrong_arguments_are_one_clear_error():
    with pytest.raises(ValueError, match=r"check_reuse needs inputs: .*is not built"):
        check_reuse(Twice(layers.Dense(2), layers.Dense(2)))
    with pytest.raises(TypeError, match="check_reuse expects a Keras layer"):
        check_reuse({"dense": 1}, X)
    with pytest.raises(TypeError, match="function returned"):
        check_reuse(lambda: 3)


def test_what_calls_change_is_found_by_trial():
    class Keeps(layers.Layer):
        def __init__(self, changes, dtype, **kwargs):
            super().__init__(**kwargs)
            self.changes, self.of = changes, dtype

        def build(self, shape):
            self.kept = self.add_weight(name="kept", shape=(), dtype=self.of, trainable=False, initializer="ones")
            super().build(shape)

        def call(self, x):
            if self.changes:
                self.kept.assign(self.kept + 1)
            return x

        def get_config(self):
            return {**super().get_config(), "changes": self.changes, "dtype": self.of}

    def level(changes, dtype):
        return [each.level for each in check_reuse(Twice(Keeps(changes, dtype), layers.Dense(6)), X).findings]

    assert level(False, "float32") == ["info"]
    assert level(True, "int32") == ["warning"]


def test_a_table_that_is_cut_at_a_place_works_and_is_a_warning():
    class Positions(layers.Layer):
        def build(self, shape):
            self.table = self.add_weight(name="table", shape=tuple(shape)[1:], initializer="ones")
            super().build(shape)

        def call(self, x):
            return x + self.table[: x.shape[1]]

    class Both(KERAS.Model):
        def __init__(self):
            super().__init__()
            self.positions = Positions(name="positions")

        def call(self, x):
            return self.positions(x)[:, :2] + self.positions(x[:, :2])

    (found,) = check_reuse(Both(), np.ones((2, 8, 4), "float32")).findings
    assert found.level == "warning"
    assert "its call works" in found.message


def test_a_frozen_batch_normalization_keeps_its_statistics_so_that_sharing_it_is_information():
    class Twice(KERAS.Model):
        def __init__(self):
            super().__init__(name="twice")
            self.norm = layers.BatchNormalization(name="norm")

        def call(self, x):
            return self.norm(self.norm(x))

    model, x = Twice(), np.ones((2, 4), "float32")
    assert [each.level for each in check_reuse(model, x).findings] == ["warning"]
    model.norm.trainable = False
    assert [each.level for each in check_reuse(model, x).findings] == ["info"]


def test_a_layer_whose_config_leaves_out_an_argument_is_not_judged_by_a_copy_of_another_size():
    class Table(layers.Layer):
        def __init__(self, size=2, **kwargs):
            super().__init__(**kwargs)
            self.size = size

        def build(self, shape):
            self.table = self.add_weight(name="table", shape=(self.size,), initializer="ones")
            super().build(shape)

        def call(self, x):
            return x * self.table[0]

    assert [each.level for each in check_reuse(Twice(Table(5), layers.Dense(9)), X).findings] == ["info"]
