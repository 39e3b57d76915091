"""``ModelWatch``: a callback that stops ``fit`` when a weight or the loss is not finite, or a gradient is bad."""

from __future__ import annotations

import fnmatch
import functools
import importlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from keras_buildfix._arrays import Array
from keras_buildfix._keras.classes import keras_of, layer_base, loaded_layer_bases
from keras_buildfix._keras.info import keras_info
from keras_buildfix._keras.tensors import all_finite, as_array, device_copy, is_finite, not_finite, size_of_change
from keras_buildfix._keras.training import take_state_back, variables_of
from keras_buildfix._keras.variables import dtype_of, shape_of, view_value
from keras_buildfix._words import nearest_names, short
from keras_buildfix.inspection.finite import FiniteReport, NotFinite, check_finite
from keras_buildfix.inspection.gradients import (
    GradientReport,
    WeightGradient,
    against_the_rest,
    check_gradients,
    norm_of,
    without_need,
)
from keras_buildfix.layer_tree.tree import weight_tree

_CHECKS = ("finite", "gradients")


class ModelWatch:
    """A callback for ``fit`` that stops it when weights or the loss are not finite, or when gradients are bad.

    It works in ``fit`` of every Keras and backend, and is a ``Callback`` of the model's own Keras. It looks at the
    model every so many batches and at the end of each epoch; it runs no step of ``fit`` again and makes none be
    traced again. On a finding it warns once, keeps the report and sets ``stop_training``, as Keras's
    ``EarlyStopping`` and ``TerminateOnNaN`` do: ``fit`` returns its history, and other callbacks end in order.

    ``"finite"`` asks each weight on its device whether it is finite, and the loss. With `data` it then runs
    ``check_finite`` to name the first layer.

    ``"gradients"`` runs ``check_gradients`` on `data`. Without `data` it compares weights with a copy from the last
    look: a weight that is to be trained and has not changed while others have gets no gradient, and one whose change
    is far above the others' is exploding. The report then says ``of="updates"``. The copy takes as much memory as the
    weights.

    Args:
        check: ``"finite"``, ``"gradients"``, or both.
        every: Look at the model every so many batches.
        data: A batch ``(x, y)`` or ``(x, y, sample_weight)`` for ``check_finite`` and ``check_gradients``.
        on_finding: ``"stop"`` to set ``stop_training`` and warn; ``"raise"`` to raise a RuntimeError from ``fit``,
            with the report as its attribute ``report``.
        ignore: Names or globs of weights whose gradients may be as they are, such as ``"pooler/*"``.
        factor: How far from the median a gradient may be, as in ``check_gradients``.

    Attributes:
        report: The ``FiniteReport`` or ``GradientReport`` with the finding; None if there is none.
        message: The finding in words; empty if there is none.

    Raises:
        ValueError: For the name of a check that does not exist, `every` below 1, `data` that is not such a tuple.

    Examples:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import ModelWatch, keras_info
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> watch = ModelWatch(every=2)
        >>> if keras_info(model).backend in ("tensorflow", "jax", "torch"):
        ...     model.compile("sgd", "mse")
        ...     history = model.fit(np.ones((8, 3)), np.ones((8, 1)), batch_size=2, verbose=0, callbacks=[watch])
        >>> watch.report is None
        True

    Source: ``TerminateOnNaN`` looks at the loss only, and says which batch, not which layer.
    """

    def __new__(cls, *_: Any, **__: Any) -> Any:
        """Makes an instance of a class that is also a callback of the Keras in use, as ``isinstance`` should say."""
        loaded = next((keras_of(base) for base in loaded_layer_bases()), None)
        return object.__new__(_as_callback(cls, loaded or importlib.import_module(keras_info().package)))

    def __reduce__(self) -> Any:
        """A copy has the settings and the finding, not the model; KerasTuner copies callbacks for each trial."""
        kept = {
            key: value for key, value in vars(self).items() if key not in ("_watched", "_copies", "_model", "model")
        }
        return _made_again, (_written(type(self)), kept)

    def __init__(
        self,
        check: str | Sequence[str] = _CHECKS,
        every: int = 100,
        data: Any = None,
        *,
        on_finding: str = "stop",
        ignore: str | Iterable[str] = (),
        factor: float = 1000.0,
    ) -> None:
        super().__init__()
        self.check = _checks(check)
        if isinstance(every, bool) or not hasattr(every, "__index__") or every < 1:
            raise ValueError(f"ModelWatch: every={short(every)}; it is a number of batches, 1 or more.")
        if data is not None and not (isinstance(data, (tuple, list)) and len(data) in (2, 3)):
            raise ValueError(f"ModelWatch: data is a batch (x, y) or (x, y, sample_weight); got {short(data)}.")
        if on_finding not in ("stop", "raise"):
            raise ValueError(f"ModelWatch: on_finding={short(on_finding)}; it is 'stop' or 'raise'.")
        if not factor > 1:
            raise ValueError(f"ModelWatch: factor={short(factor)}; it must be above 1.")
        self.every, self.on_finding, self.factor = int(every), on_finding, factor
        self.data: Any = data
        self.ignore = (ignore,) if isinstance(ignore, str) else tuple(ignore)
        self.report: FiniteReport | GradientReport | None = None
        self.message = ""
        self._watched: Any = None
        self._forget()

    def _forget(self) -> None:
        self.report, self.message = None, ""
        self._batches = self._looked = 0  # how many there were, and how many at the last look
        self._epoch, self._last, self._begun, self._more = 0, -1, -1, 0
        self._copies: dict[int, tuple[Any, Any]] = {}

    def set_model(self, model: Any) -> None:
        """Keras calls it with the model that ``fit`` trains."""
        inner = model if layer_base(type(model)) is not None else getattr(model, "module", model)  # torch's DDP
        self._watched = inner
        keras = keras_of(type(inner))
        if not isinstance(self, keras.callbacks.Callback):  # another Keras than we thought
            self.__class__ = _as_callback(_written(type(self)), keras)
            keras.callbacks.Callback.__init__(self)
        keras.callbacks.Callback.set_model(self, model)

    def on_train_begin(self, logs: Any = None) -> None:
        """Begins anew, and notes the weights as they are."""
        self._forget()
        if "gradients" in self.check and self.data is None:
            self._note()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Notes the epoch; batches are counted from 0 in each."""
        self._epoch, self._last = epoch, -1

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Notes the batch."""
        self._begun = int(batch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Looks at the model if it is time.

        One call may be for several batches (``steps_per_execution``): Keras then gives the last of them, but 3.0 to
        3.9 the first.
        """
        if not self._batches:
            together = getattr(self._watched, "steps_per_execution", 1) or 1
            self._more = int(together) - 1 if int(batch) == self._begun else 0
        last = int(batch) + self._more
        self._batches += max(last - self._last, 1)
        self._last = last
        if self._batches - self._looked >= self.every:
            self._look(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Looks at the model if there were batches since the last look."""
        if self._batches > self._looked:
            self._look(logs)

    def _look(self, logs: Any) -> None:
        if self.report is not None:
            return
        since, self._looked = self._batches - self._looked, self._batches
        take_state_back(self._watched)
        loss = (logs or {}).get("loss")
        value = None if loss is None else as_array(loss)
        report: Any = self._not_finite(value) if "finite" in self.check else None
        if report is None and "gradients" in self.check:
            report = self._gradients() if self.data is not None else self._updates(value, since)
        if report is not None:
            self._tell(report)

    def _tell(self, report: FiniteReport | GradientReport) -> None:
        """Keeps the finding, and stops ``fit`` or raises."""
        self.report = report
        self.message = (
            f"ModelWatch: after batch {self._batches} (epoch {self._epoch + 1}), {_in_words(report)}. fit of "
            f"{self._watched.name!r} was stopped; the attribute `report` of the callback has everything."
        )
        self._watched.stop_training = True
        if self.on_finding == "raise":
            error = RuntimeError(self.message)
            error.report = report  # type: ignore[attr-defined]
            raise error
        warnings.warn(self.message, stacklevel=2)

    def _not_finite(self, loss: Array | None) -> FiniteReport | None:
        """What is not finite in the weights and the loss; with data, in the layers' outputs too."""
        tree = weight_tree(self._watched)
        weights = tree.weights()
        lost = loss is not None and not is_finite(loss)
        if not lost and all_finite(list(weights.values())):
            return None
        if self.data is not None:
            report = check_finite(self._watched, self.data[0])
            if not report.ok:
                return report
        found = []
        owners = {id(variable): node for node in tree.nodes() for _, variable in node.own}
        for name, variable in weights.items():
            if not is_finite(variable):
                node, array = owners[id(variable)], view_value(variable)
                layer, cls = "/".join(node.path) or str(self._watched.name), type(node.layer).__name__
                nan, inf, first = not_finite(array)
                shape = tuple(array.shape)
                found.append(
                    NotFinite("weight", layer, cls, name, shape, dtype_of(variable), nan, inf, array.size, first)
                )
        if lost:
            assert loss is not None
            nan, inf, first = not_finite(loss)
            model, cls = str(self._watched.name), type(self._watched).__name__
            found.append(NotFinite("loss", model, cls, "loss", loss.shape, str(loss.dtype), nan, inf, loss.size, first))
        return FiniteReport(str(self._watched.name), tuple(found), len(weights) + 1)

    def _gradients(self) -> GradientReport | None:
        """The report of ``check_gradients`` on the data, if there are findings that are not to be ignored."""
        x, y, *weight = self.data
        given = {"sample_weight": weight[0]} if weight else {}
        report = check_gradients(self._watched, x, y, factor=self.factor, **given)
        return report if any(not self._ignores(each.name) for each in report.findings) else None

    def _updates(self, loss: Array | None, since: int) -> GradientReport | None:
        """What the changes of the weights since the last look show."""
        names, rows, noted = weight_tree(self._watched).names(), [], self._copies
        still = f"has not changed in {since} batch{'es' * (since != 1)}, while others have: no gradient reaches it"
        for variable in variables_of(self._watched, trained=True):
            if id(variable) in noted and id(variable) in names:
                norm = size_of_change(variable, noted[id(variable)][1])
                name, shape, dtype = names[id(variable)], shape_of(variable), dtype_of(variable)
                rows.append(WeightGradient(name, shape, dtype, norm, 0.0, "ok" if norm else "zero"))
        self._note()
        if not any(row.norm for row in rows):
            return None  # nothing is trained: the learning rate is 0, or gradients are summed up first
        rows = without_need(against_the_rest(rows, self.factor))
        rows = [
            replace(row, verdict="none", reason=still) if row.verdict == "zero" and not row.harmless else row
            for row in rows
            if not self._ignores(row.name)
        ]
        if not any(row.verdict in ("none", "exploding") for row in rows):
            return None
        values = weight_tree(self._watched).weights()
        rows = [replace(row, weight_norm=norm_of(view_value(values[row.name]))) for row in rows]
        value = float("nan") if loss is None else float(loss)
        return GradientReport(str(self._watched.name), value, tuple(rows), factor=self.factor, of="updates")

    def _note(self) -> None:
        """Copies the weights that are trained."""
        trained = variables_of(self._watched, trained=True)
        self._copies = {id(variable): (variable, device_copy(variable)) for variable in trained}

    def _ignores(self, name: str) -> bool:
        return any(name == each or fnmatch.fnmatchcase(name, each) for each in self.ignore)


#: An attribute of a class that we made of one that somebody wrote, and of a Keras's ``Callback``.
_MADE_OF = "_made_of"


@functools.cache
def _joined(cls: Any, base: type) -> Any:
    return type(cls.__name__, (cls, base), {"__module__": cls.__module__, "__doc__": cls.__doc__, _MADE_OF: cls})


def _written(cls: type) -> Any:
    """The class that somebody wrote, ours or a subclass of it, of which this one was made."""
    return vars(cls).get(_MADE_OF, cls)


def _made_again(cls: Any, attributes: dict[str, Any]) -> Any:
    copied = cls()
    vars(copied).update(attributes)
    return copied


def _as_callback(cls: type, keras: Any) -> Any:
    """The class as a subclass of a Keras's ``Callback``, which answers what that Keras asks its callbacks."""
    base = keras.callbacks.Callback
    return cls if issubclass(cls, base) else _joined(cls, base)


def _checks(check: Any) -> tuple[str, ...]:
    """The checks by their names; an error names the ones that there are."""
    names = (check,) if isinstance(check, str) else tuple(check)
    for name in names:
        if name not in _CHECKS:
            near = nearest_names([str(name)], _CHECKS).get(str(name), ())
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"ModelWatch: there is no check {short(name)}; there are 'finite' and 'gradients'.{hint}")
    if not names:
        raise ValueError("ModelWatch: check is empty; there are 'finite' and 'gradients'.")
    return names


def _in_words(report: FiniteReport | GradientReport) -> str:
    """The finding of a report in one sentence."""
    if isinstance(report, FiniteReport):
        weights = [each for each in report.findings if each.kind == "weight"]
        hint = ""
        if len(weights) > 1 and len(weights) == report.checked - 1:
            hint = ". All weights are like that: a batch or a step too large spoiled them at once; every=1 finds it"
        return f"{report.first}{hint}"
    found = report.findings
    first = found[0]
    rest = f"; {len(found) - 1} more" if len(found) > 1 else ""
    if report.of == "updates" and first.verdict == "none":
        return f"the weight {first.name!r} {first.reason}{rest}"
    if first.verdict == "none":
        return f"no gradient reaches the weight {first.name!r} ({first.reason}){rest}"
    what = "change" if report.of == "updates" else "gradient"
    return f"the {what} of the weight {first.name!r} is {first.verdict} ({first.reason}){rest}"
