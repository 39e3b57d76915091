"""Five layers that are written once: the same values, gradients and weights after training, on every Keras.

The record is from the newest Keras on JAX: `python tests/ops/test_portable_layers.py` writes it.
"""

import json

import numpy as np
import ops_cases
import portable_layers
import pytest

from keras_buildfix import get_weights, keras_info, ops, set_weights

FILE = ops_cases.DATA / "portable_layers.json"
NAMES = ("MultiHeadAttention", "GatedConv", "MovingNorm", "ScannedCell", "Experts")


def numbers(seed, *shape):
    return np.random.RandomState(seed).uniform(-1, 1, shape).astype("float32")


def made(keras, name, policy="float32"):
    """A layer with the same weights everywhere, and its inputs."""
    cls, options, shape = portable_layers.layers_of(keras)[name]
    layer = cls(**options, dtype=policy, name="layer")
    x = numbers(0, 4, *shape)
    layer(x)
    values = {
        each: numbers(1 + number, *np.shape(value)) + ("spread" in each) * 2
        for number, (each, value) in enumerate(sorted(get_weights(layer).items()))
    }
    set_weights(layer, values)
    return layer, x


def value(tensor):
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")), "float64")


def gradients(keras, layer, x):
    """The gradients of a weighted sum of the outputs, by input and by the trainable weights, by name."""
    backend = keras_info(keras).backend
    weights = layer.trainable_weights
    target = ops.convert_to_tensor(numbers(9, *layer(x).shape))
    x = ops.convert_to_tensor(x)
    if backend == "jax":
        import jax

        def loss(values, x):
            found, _ = layer.stateless_call(values, [w.value for w in layer.non_trainable_variables], x)
            return ops.sum(found * target)

        by_weight, by_x = jax.grad(loss, (0, 1))([w.value for w in weights], x)
    elif backend == "torch":
        x = x.detach().requires_grad_()
        layer.zero_grad()
        ops.sum(layer(x) * target).backward()
        by_weight, by_x = [w.value.grad for w in weights], x.grad
    else:
        import tensorflow as tf

        values = [getattr(w, "value", w) if hasattr(keras, "ops") else w for w in weights]
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = ops.sum(layer(x) * target)
        *by_weight, by_x = tape.gradient(total, [*values, x])
    names = [name for name in get_weights(layer) if not name.startswith("moving")]
    return {"x": value(by_x), **dict(zip(names, map(value, by_weight)))}


def trained(keras, layer, x):
    """The weights after five steps of `fit`, by name."""
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    y = numbers(10, *layer(x).shape)
    model.fit(x, y, batch_size=4, epochs=5, shuffle=False, verbose=0)
    return {name: value.astype("float64") for name, value in get_weights(layer).items()}


def measured(keras, name):
    layer, x = made(keras, name)
    found = {"out": value(layer(x))}
    if keras_info(keras).backend != "numpy":
        found.update({f"gradient of {each}": array for each, array in gradients(keras, layer, x).items()})
        found.update({f"{each} after training": array for each, array in trained(keras, layer, x).items()})
    return found


def recorded(name):
    return {key: np.array(array) for key, array in json.loads(FILE.read_text("utf-8"))[name].items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_gives_the_same_values_gradients_and_trained_weights_everywhere(keras, name):
    expected, found = recorded(name), measured(keras, name)
    if keras_info(keras).backend == "numpy":  # it can't train
        expected = {"out": expected["out"]}
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_allclose(found[key], array, rtol=2e-4, atol=2e-5, err_msg=key)


@pytest.mark.in_turns
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_layer_runs_in_mixed_precision(keras, name, policy):
    layer, x = made(keras, name, policy)
    out = layer(x)
    assert ops_cases.dtype_name(out) == policy.partition("_")[2]
    np.testing.assert_allclose(value(out), recorded(name)["out"], rtol=0.06, atol=0.06)
    if keras_info(keras).backend != "numpy":
        before = get_weights(layer)
        after = trained(keras, layer, x)
        assert all(np.isfinite(array).all() for array in after.values())
        assert any((after[each] != before[each]).any() for each in after)


@pytest.mark.in_turns
@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_a_layer_is_saved_and_loaded(keras, name, tmp_path):
    layer, x = made(keras, name)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.models.load_model(path, custom_objects={type(layer).__name__: type(layer)})
    np.testing.assert_allclose(value(loaded(ops.convert_to_tensor(x))), recorded(name)["out"], rtol=2e-4, atol=2e-5)


def test_attention_does_not_look_at_masked_words(keras):
    layer, x = made(keras, "MultiHeadAttention")
    mask = np.array([[True] * 3 + [False] * 2] * 4)
    other = x.copy()
    other[:, 3:] = 5.0
    first, second = (value(layer(each, mask=mask))[:, :3] for each in (x, other))
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
    assert not np.allclose(value(layer(x))[:, :3], first)


if __name__ == "__main__":
    import keras

    rows = {name: {key: np.round(array, 7).tolist() for key, array in measured(keras, name).items()} for name in NAMES}
    FILE.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in rows.items()) + "\n}\n", "utf-8")
