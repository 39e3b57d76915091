"""The call of a portable layer that runs now, in this thread: the package of its Keras, and its compute dtype."""

from __future__ import annotations

import threading


class RunningCall(threading.local):
    """What ``keras_buildfix.ops`` needs to know of the innermost call that follows the rule of ``cast_inputs``.

    Attributes:
        package: The Keras of its layer, ``"keras"`` or ``"tf_keras"``; None outside of such a call.
        dtype: The floating dtype in which it computes; None if its layer casts nothing, and outside of a call.
    """

    package: str | None = None
    dtype: str | None = None


RUNNING = RunningCall()
