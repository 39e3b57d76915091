"""Runs a model once so that nothing is left of it: eagerly, and with every source of random numbers as it was."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any

from keras_buildfix._keras.seeds import same_seeds


@contextlib.contextmanager
def run_eagerly() -> Iterator[None]:
    """A block in which what users have compiled runs line by line: ``tf.function``, ``jax.jit``, ``torch.compile``.

    It changes no compiled function: TensorFlow and JAX keep what they have traced, and use it after the block.
    """
    with contextlib.ExitStack() as blocks:
        config: Any = getattr(sys.modules.get("tensorflow"), "config", None)
        if hasattr(config, "run_functions_eagerly"):
            blocks.callback(config.run_functions_eagerly, config.functions_run_eagerly())
            config.run_functions_eagerly(True)
        disable_jit = getattr(sys.modules.get("jax"), "disable_jit", None)
        if disable_jit is not None:
            blocks.enter_context(disable_jit())
        compiler: Any = getattr(sys.modules.get("torch"), "compiler", None)
        if hasattr(compiler, "set_stance"):
            blocks.enter_context(compiler.set_stance("force_eager"))
        yield


def compiled_again() -> Any:
    """A block inside of ``run_eagerly`` in which JAX compiles its own functions, which is three times as fast.

    No user's code may run in it.
    """
    disable_jit = getattr(sys.modules.get("jax"), "disable_jit", None)
    return disable_jit(False) if disable_jit is not None else contextlib.nullcontext()


@contextlib.contextmanager
def same_random_state(package: str) -> Iterator[None]:
    """A block after which Python, numpy, TensorFlow, torch and Keras draw the numbers that they would have drawn."""
    with contextlib.ExitStack() as blocks:
        blocks.callback(random.setstate, random.getstate())
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            blocks.callback(numpy.random.set_state, numpy.random.get_state())
        torch: Any = sys.modules.get("torch")
        if hasattr(torch, "get_rng_state"):
            blocks.enter_context(torch.random.fork_rng())
        blocks.enter_context(_same_in_tensorflow())
        blocks.enter_context(same_seeds(package))
        yield


@contextlib.contextmanager
def same_names(package: str) -> Iterator[None]:
    """A block after which Keras makes up the names that it would have made up before it, such as ``dense_7``.

    ``object_name_uids`` in ``keras.src.backend.common.global_state``: 3.0.0 to nightly.
    ``PER_GRAPH_OBJECT_NAME_UIDS`` of ``backend``: 2.12 to tf_keras 2.21.
    """
    state: Any = sys.modules.get(f"{package}.src.backend.common.global_state")
    if hasattr(state, "get_global_attribute"):
        counts = state.get_global_attribute("object_name_uids")
        before = dict(counts or {})
        try:
            yield
        finally:
            now = state.get_global_attribute("object_name_uids")
            if now is not None:
                now.clear()
                now.update(before)
        return
    backend = sys.modules.get(f"{package}.src.backend") or sys.modules.get(f"{package}.backend")
    graphs = getattr(backend, "PER_GRAPH_OBJECT_NAME_UIDS", {})
    noted = [(graph, dict(counts)) for graph, counts in graphs.items()]
    try:
        yield
    finally:
        for counts in graphs.values():
            counts.clear()
        for graph, known in noted:
            graphs[graph].update(known)


@contextlib.contextmanager
def _same_in_tensorflow() -> Iterator[None]:
    """A block after which TensorFlow draws the same numbers as before it.

    ``_rng``, of TensorFlow's eager context: TensorFlow 2.12 to 2.21. It makes the seeds of single operations, and is
    there after ``tf.random.set_seed``. An operation counts its draws in its kernel, so we forget the kernels if
    something was drawn: ``clear_kernel_cache``, which ``set_seed`` calls too.
    """
    module = sys.modules.get("tensorflow.python.eager.context")
    context: Any = module.context() if module is not None else None
    generator = getattr(context, "_rng", None)
    if generator is None:
        yield
        return
    before = generator.getstate()
    try:
        yield
    finally:
        if generator.getstate() != before:
            generator.setstate(before)
            context.clear_kernel_cache()
