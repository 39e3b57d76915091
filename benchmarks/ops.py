"""Measures what ``keras_buildfix.ops`` costs: ratios in one run, in seconds of the CPU.

    tox run -e bench          (or: python benchmarks/ops.py, on the Keras of that Python)

It compares with what people write today: ``keras.ops`` on Keras 3, TensorFlow's own functions on Keras 2.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from build import row  # beside this file

from keras_buildfix import keras_info, ops

keras: Any = __import__(keras_info().package)
INFO = keras_info(keras)


def ratio(peer: Callable[[], Any], ours: Callable[[], Any], rounds: int = 20, each: int = 20) -> tuple[float, float]:
    """Median seconds of the CPU that a call of each takes, in turns: what else the machine does counts in it little."""
    times: tuple[list[float], list[float]] = ([], [])
    peer(), ours()
    for turn in range(rounds):
        for which in (0, 1) if turn % 2 else (1, 0):
            start = time.process_time()
            for _ in range(each):
                (peer, ours)[which]()
            times[which].append((time.process_time() - start) / each)
    return statistics.median(times[0]), statistics.median(times[1])


def show(what: str, aim: str, peer: Callable[[], Any], ours: Callable[[], Any], each: int = 20) -> None:
    """Measures and prints."""
    one, other = ratio(peer, ours, each=each)
    row(f"{what} (us)", f"{one * 1e6:.1f}", f"{other * 1e6:.1f}", f"{other / one:.3f}", aim)


def our_body(x: Any, w: Any) -> Any:
    """What a layer might do, with ``ops``."""
    y = ops.softmax(ops.matmul(x, w))
    y = ops.add(y, x)
    y = ops.concatenate([y, x], axis=-1)
    return ops.sum(ops.reshape(y, (-1, 2, w.shape[0])), axis=1)


def body_of_keras(x: Any, w: Any) -> Any:
    """The same with ``keras.ops``."""
    y = keras.ops.softmax(keras.ops.matmul(x, w))
    y = keras.ops.add(y, x)
    y = keras.ops.concatenate([y, x], axis=-1)
    return keras.ops.sum(keras.ops.reshape(y, (-1, 2, w.shape[0])), axis=1)


def body_of_tensorflow(x: Any, w: Any) -> Any:
    """The same with TensorFlow."""
    import tensorflow as tf

    y = tf.nn.softmax(tf.matmul(x, w))
    y = tf.add(y, x)
    y = tf.concat([y, x], axis=-1)
    return tf.reduce_sum(tf.reshape(y, (-1, 2, w.shape[0])), axis=1)


def compiled(body: Callable[..., Any]) -> Callable[..., Any] | None:
    """The body, compiled; None if the backend compiles nothing."""
    if INFO.backend == "jax":
        import jax

        return jax.jit(body)  # type: ignore[no-any-return]
    if INFO.backend == "tensorflow":
        import tensorflow as tf

        return tf.function(body)  # type: ignore[no-any-return]
    return None


def bodies(peer: Callable[..., Any], aim: str) -> None:
    """The body on small and larger tensors."""
    for size, each in ((64, 20), (512, 2)):
        x, w = (ops.convert_to_tensor(np.full((size, size), 0.01, "float32")) for _ in range(2))
        np.testing.assert_allclose(ops.convert_to_numpy(peer(x, w)), ops.convert_to_numpy(our_body(x, w)), 1e-5)
        show(f"body, {size}x{size}, eager", aim, lambda: peer(x, w), lambda: our_body(x, w), each)  # noqa: B023
        calls = compiled(peer), compiled(our_body)
        if calls[0] is not None:
            show(f"body, {size}x{size}, compiled", aim, lambda: calls[0](x, w), lambda: calls[1](x, w), each)  # type: ignore[misc] # noqa: B023


def single(theirs: Any) -> None:
    """Functions one by one, on Keras 2."""
    x = ops.convert_to_tensor(np.full((64, 64), 0.01, "float32"))
    for name, peer, ours in (
        ("matmul", lambda: theirs.matmul(x, x), lambda: ops.matmul(x, x)),
        ("softmax", lambda: theirs.nn.softmax(x), lambda: ops.softmax(x)),
        ("add", lambda: theirs.add(x, x), lambda: ops.add(x, x)),
        ("add, a number", lambda: theirs.add(x, 1.0), lambda: ops.add(x, 1.0)),
        ("exp", lambda: theirs.exp(x), lambda: ops.exp(x)),
        ("sum", lambda: theirs.reduce_sum(x, -1), lambda: ops.sum(x, -1)),
        ("mean", lambda: theirs.reduce_mean(x, -1), lambda: ops.mean(x, -1)),
        ("reshape", lambda: theirs.reshape(x, (32, 128)), lambda: ops.reshape(x, (32, 128))),
        ("concatenate", lambda: theirs.concat([x, x], -1), lambda: ops.concatenate([x, x], -1)),
    ):
        show(f"{name}, 64x64, eager", "-", peer, ours)


def main() -> None:
    print(f"{INFO}; Python {sys.version.split()[0]}; medians, CPU\n")
    row("what", "theirs", "ours", "ratio", "aim")
    array = np.ones((64, 64), "float32")
    if INFO.generation == 3:
        assert ops.matmul is keras.ops.matmul
        x = keras.ops.convert_to_tensor(array)
        show("attribute and call: ndim", "1.00", lambda: keras.ops.ndim(x), lambda: ops.ndim(x), 200)
        bodies(body_of_keras, "1.00")
        show("ops.ones((64, 64))", "-", lambda: keras.ops.ones((64, 64)), lambda: ops.ones((64, 64)))
        convert = keras.ops.convert_to_tensor
        show("ops.convert_to_tensor(array)", "-", lambda: convert(array), lambda: ops.convert_to_tensor(array))
    else:
        import tensorflow as tf

        bodies(body_of_tensorflow, "<= 1.05")
        single(tf)
        show("ops.ones((64, 64))", "-", lambda: tf.ones((64, 64)), lambda: ops.ones((64, 64)))
        convert = tf.convert_to_tensor
        show("ops.convert_to_tensor(array)", "-", lambda: convert(array), lambda: ops.convert_to_tensor(array))


if __name__ == "__main__":
    main()
