"""Published layers that read their own weights, unmodified: plain Keras's files of them, read as plain Keras does.

keras-hub 0.20: the embeddings of its language models file the weight that they add. keras-matmulless 0.1: a kernel
is filed in an encoding, and the layer keeps more than weights.
"""

import importlib.util

import keras
import numpy as np
import pytest

from keras_buildfix import get_weights, load_weights, named_weights

TOKENS = {
    "token_ids": np.array([[1, 2, 3, 4], [4, 3, 2, 1]]),
    "segment_ids": np.array([[0, 0, 1, 1], [0, 1, 1, 1]]),
    "padding_mask": np.ones((2, 4), "int32"),
}
SIZES = {"vocabulary_size": 11, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 12}


def hub(name):
    import keras_hub

    return getattr(keras_hub.models, name)(**SIZES, max_sequence_length=6)


def untied():
    """The embedding alone, with a second matrix for the way back."""
    import keras_hub

    tokens = keras.Input((4,), dtype="int32")
    embedding = keras_hub.layers.ReversibleEmbedding(11, 8, tie_weights=False, name="embedding")
    return keras.Model(tokens, embedding(embedding(tokens), reverse=True))


def matmulless():
    import keras_mml

    inputs = keras.Input((4,))
    outputs = keras_mml.layers.DenseMML(5, name="encoded")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(outputs))


MODELS = {
    "keras_hub": {
        "Bert": (lambda: hub("BertBackbone"), TOKENS),
        "GPT-2": (lambda: hub("GPT2Backbone"), {k: v for k, v in TOKENS.items() if k != "segment_ids"}),
        "ReversibleEmbedding": (untied, TOKENS["token_ids"]),
    },
    "keras_mml": {"DenseMML": (matmulless, np.random.default_rng(0).normal(size=(2, 4)).astype("float32"))},
}
CASES = [
    pytest.param(make, inputs, id=name)
    for library, models in MODELS.items()
    if importlib.util.find_spec(library)
    for name, (make, inputs) in models.items()
]


def outputs(model, inputs):
    found = model.predict(inputs, verbose=0)
    return list(found.values()) if isinstance(found, dict) else [found]


@pytest.mark.parametrize(("make", "inputs"), CASES)
@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_a_file_of_plain_keras_is_read_as_plain_keras_reads_it(make, inputs, ending, tmp_path):
    source, path = make(), str(tmp_path / f"model{ending}")
    random = np.random.default_rng(1)
    for weight in source.weights:
        weight.assign(random.normal(size=weight.shape))
    source.save(path) if ending == ".keras" else source.save_weights(path)
    plain, ours = make(), make()
    plain.load_weights(path)
    report = load_weights(ours, path)
    assert report.complete
    assert len(report.assigned) == len(named_weights(ours))
    for name, value in get_weights(plain).items():
        np.testing.assert_array_equal(get_weights(ours)[name], value, err_msg=name)
    for one, other, there in zip(outputs(plain, inputs), outputs(ours, inputs), outputs(source, inputs)):
        np.testing.assert_allclose(other, one, atol=1e-6)
        np.testing.assert_allclose(other, there, atol=1e-4)
