"""The call of a portable layer that runs now, in this thread: the package of its Keras, and its compute dtype."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

#: The package of Keras, the compute dtype, and how weights are read: a function, and the dtype that it gave.
Running = tuple["str | None", "str | None", "Callable[[], str | None] | None", "str | None"]
#: No such call runs.
NOTHING: Running = (None, None, None, None)


class RunningCall(threading.local):
    """What ``keras_buildfix.ops`` needs to know of the innermost call that follows the rule of ``cast_inputs``."""

    now: Running = NOTHING

    @property
    def package(self) -> str | None:
        """The Keras of its layer, ``"keras"`` or ``"tf_keras"``; None outside of such a call."""
        return self.now[0]

    def compute_dtype(self) -> str | None:
        """The dtype in which it computes; None outside of such a call, and where its layer casts nothing.

        It is also None in a layer of Keras that the call calls, if that one computes in another dtype.
        """
        _, dtype, reading, expected = self.now
        return dtype if reading is None or reading() == expected else None


RUNNING = RunningCall()


def run_as(now: Running, run: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """The result of a function, which runs as a part of this call."""
    before = RUNNING.now
    RUNNING.now = now
    try:
        return run(*args, **kwargs)
    finally:
        RUNNING.now = before
