"""Functions of `ops` whose results can't be recorded: they return functions, or are free in their signs and order."""

import numpy as np
import ops_cases
import pytest
from environment import INFO, KERAS

from keras_buildfix import ops

A = ops_cases.f32(3, 3).numpy()
SYMMETRIC = A + A.T


def value(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


@pytest.mark.filterwarnings("ignore:`custom_gradient` for the numpy backend:UserWarning")  # it has no gradients
def test_custom_gradient_gives_the_gradient_that_is_written():
    @ops.custom_gradient
    def doubled(x):
        def grad(*args, upstream=None):
            return 10.0 * (args[0] if upstream is None else upstream)

        return 2.0 * x, grad

    x = ops.convert_to_tensor([1.0, 2.0])
    np.testing.assert_allclose(value(doubled(x)), [2.0, 4.0])
    if INFO.backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            total = ops.sum(doubled(x))
        np.testing.assert_allclose(value(tape.gradient(total, x)), [10.0, 10.0])


def test_vectorize_calls_a_function_of_numbers_for_each_element():
    def larger(x, y):
        return ops.where(x > y, x, y)

    arguments = ops.convert_to_tensor(A), ops.convert_to_tensor(A[0])
    if INFO.backend == "tensorflow" and ops_cases.is_native(KERAS, "vectorize"):  # Keras 3.6 to nightly
        with pytest.raises(ValueError, match="Not supported"):
            ops.vectorize(larger)(*arguments)
        return
    np.testing.assert_allclose(value(ops.vectorize(larger)(*arguments)), np.maximum(A, A[0]), rtol=1e-5)


def test_eig_gives_values_and_vectors_of_a_matrix():
    values, vectors = map(value, ops.eig(ops.convert_to_tensor(A)))
    np.testing.assert_allclose(A @ vectors, vectors * values[None], atol=1e-4)


def test_eigh_qr_and_svd_can_be_put_together_again():
    values, vectors = map(value, ops.eigh(ops.convert_to_tensor(SYMMETRIC)))
    np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, SYMMETRIC, atol=1e-4)
    q, r = map(value, ops.qr(ops.convert_to_tensor(A)))
    np.testing.assert_allclose(q @ r, A, atol=1e-4)
    u, s, vh = map(value, ops.svd(ops.convert_to_tensor(A)))
    np.testing.assert_allclose(u @ np.diag(s) @ vh, A, atol=1e-4)
