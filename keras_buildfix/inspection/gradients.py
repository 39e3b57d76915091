"""``check_gradients``: which weights get no gradient, a zero, huge or vanishing one, and why."""

from __future__ import annotations

import contextlib
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from keras_buildfix._arrays import Array, kind_of_dtype
from keras_buildfix._keras.classes import describe_layer, keras_of, layer_instance
from keras_buildfix._keras.gradients import BACKENDS, differentiate, loss_scale
from keras_buildfix._keras.info import keras_info
from keras_buildfix._keras.running import run_eagerly
from keras_buildfix._keras.tensors import as_array, as_tensors, set_by_users
from keras_buildfix._keras.training import variables_of
from keras_buildfix._keras.variables import assign_value, dtype_of, read_value, shape_of, stored
from keras_buildfix._tables import Table
from keras_buildfix._words import many
from keras_buildfix.inspection.recording import record_calls, tensors_in, unchanged
from keras_buildfix.layer_tree.after_build import layers_to_build
from keras_buildfix.layer_tree.tree import LayerNode, weight_tree

Verdict = Literal["ok", "zero", "none", "nan", "exploding", "vanishing", "not trained"]


@dataclass(frozen=True)
class WeightGradient:
    """The gradient of a weight.

    Attributes:
        name: The weight's canonical name, as in ``named_weights``; the layer and attribute of a raw variable.
        shape: Its shape.
        dtype: Its dtype.
        norm: The Euclidean norm of its gradient; None if it has none.
        weight_norm: The Euclidean norm of the weight.
        verdict: ``"ok"``; ``"zero"``: all of the gradient is 0; ``"none"``: no gradient reaches the weight;
            ``"nan"``: it has NaN; ``"exploding"`` and ``"vanishing"``: far from the others, or infinite;
            ``"not trained"``: the weight is frozen, of a dtype that can't be trained, or not known to Keras.
        reason: Why, as far as that can be found; empty for ``"ok"``.
        raw: Whether it is a variable of the backend that a layer holds and Keras does not know.
        harmless: Whether it is a bias or the like whose layer is trained well: what follows takes it away, as a
            normalization does with a bias before it.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    norm: float | None
    weight_norm: float
    verdict: Verdict
    reason: str = ""
    raw: bool = False
    harmless: bool = False


@dataclass(frozen=True)
class GradientReport(Table):
    """What ``check_gradients`` found. Prints as a table.

    Attributes:
        model: The model's name.
        loss: The loss, as ``fit`` would compute it for this batch.
        weights: A line for each weight that was made to be trained, in the order of the model, then raw variables.
        loss_scale: What the loss was multiplied with, as ``LossScaleOptimizer`` does; the norms are divided by it.
        factor: How far from the median a gradient may be.
        of: ``"gradients"``; ``"updates"`` if ``ModelWatch`` had no batch, and compared weights before and after.
    """

    model: str
    loss: float
    weights: tuple[WeightGradient, ...]
    loss_scale: float = 1.0
    factor: float = 1000.0
    of: Literal["gradients", "updates"] = "gradients"

    @property
    def findings(self) -> tuple[WeightGradient, ...]:
        """The weights with a bad gradient that is not harmless, and raw variables. Frozen weights are none."""
        bad = [each for each in self.weights if each.raw or each.verdict not in ("ok", "not trained")]
        return tuple(each for each in bad if not each.harmless)

    @property
    def ok(self) -> bool:
        """Whether there are no findings and the loss is a finite number."""
        return not self.findings and math.isfinite(self.loss)

    def _rows(self) -> Sequence[WeightGradient]:
        return self.weights

    def _table(self) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        what = " gradient" if self.of == "gradients" else " change"
        headers = ("weight", "shape", what, " weight's norm", "verdict", "why")
        return headers, [
            (
                each.name,
                "x".join(map(str, each.shape)) or "-",
                "-" if each.norm is None else f"{each.norm:.3g}",
                f"{each.weight_norm:.3g}",
                each.verdict,
                each.reason,
            )
            for each in self.weights
        ]

    def _notes(self) -> Sequence[str]:
        notes = [f"loss {self.loss:.6g}; {many(len(self.findings), 'finding')} in {many(len(self.weights), 'weight')}"]
        if self.loss_scale != 1:
            notes.append(f"computed with the loss scale {self.loss_scale:g}, as in mixed precision")
        return notes


def check_gradients(
    model: Any, x: Any, y: Any = None, loss: Any = None, *, sample_weight: Any = None, factor: float = 1000.0
) -> GradientReport:
    """Finds the weights that get no gradient, a zero, NaN, huge or vanishing one on a batch, and says why if it can.

    It runs the model as a step of ``fit`` would, with ``training=True``, but line by line, also what is compiled.
    Nothing is trained: weights, statistics, random numbers, the optimizer and compiled functions stay as they were.

    A gradient is ``exploding`` if its root mean square is more than `factor` times the median of those of all weights
    whose gradient is finite and not 0, and ``vanishing`` if it is less than the median divided by `factor`. With fewer
    than three such weights there is no rest to compare with.

    Args:
        model: A model or layer that has been built, on TensorFlow, JAX or torch.
        x: A batch of inputs, as the model is called with: an array or tensor, or a list, tuple or dict of them.
        y: The targets, in the structure that the loss expects.
        loss: A loss of Keras, its name (``"mse"``), a function ``(y_true, y_pred)``, or a list or dict of these for
            a model with several outputs. By default the loss with which the model was compiled. Regularization
            and ``add_loss`` count in both cases.
        sample_weight: Weights of the samples, as in ``fit``.
        factor: How far from the median a gradient may be.

    Returns:
        A report with a line for each weight that was made to be trained, frozen ones too, and for each raw variable
        that a layer holds but Keras does not train.

    Raises:
        TypeError: If `model` is not a Keras layer.
        ValueError: If the model is not built, if there is no loss, or if `factor` is not above 1.
        RuntimeError: On a backend without gradients (numpy, openvino).

    Examples:
        >>> import keras
        >>> import numpy as np
        >>> from keras_buildfix import check_gradients, freeze, keras_info
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1, name="head")])
        >>> frozen = freeze(model, "dense")
        >>> if keras_info(model).backend in ("tensorflow", "jax", "torch"):
        ...     report = check_gradients(model, np.ones((4, 3)), np.zeros((4, 1)), "mse")
        ...     found = {each.name: each.verdict for each in report.weights}
        ...     assert found["dense/kernel"] == "not trained"

    Source: Keras has no such check. A gradient of None makes ``fit`` warn on TensorFlow, and is not seen on JAX, where
    it is an array of zeros (measured on 3.2 to nightly).
    """
    backend = _backend(layer_instance(model, "check_gradients"), loss)
    if not factor > 1:
        raise ValueError(f"check_gradients() got factor={factor!r}; it must be above 1.")
    check = _Check(model, backend, x, y, loss, sample_weight)
    tree, trained = check.tree, {id(variable) for variable in variables_of(model, trained=True)}
    rows = list(_rows(tree, trained))
    wanted = [(at, variable) for at, (variable, row) in enumerate(rows) if row.verdict == "ok"]
    value, gradients, scale = check.gradients([variable for _, variable in wanted])
    if not math.isfinite(value):
        because = f"the loss is {value}: check_finite(model, x) finds the first layer that is not finite"
    else:
        because = ""
    found = [row for _, row in rows]
    for (at, variable), gradient in zip(wanted, gradients):
        found[at] = _judged(found[at], variable, gradient, check.is_half, because)
    found = against_the_rest(found, factor)
    found = _harmless(check, _underflowing(check, found, wanted, scale), rows)
    reasons = _reasons_for_none(check, [rows[at][0] for at, row in enumerate(found) if row.verdict == "none"])
    found = [replace(row, reason=reasons.get(id(rows[at][0]), row.reason)) for at, row in enumerate(found)]
    return GradientReport(str(model.name), value, (*found, *_raw_variables(tree)), scale, factor)


def _backend(model: Any, loss: Any) -> str:
    """The backend of a model for which the gradients of this loss can be computed; else an error."""
    info = keras_info(model)
    if info.backend not in BACKENDS:
        raise RuntimeError(
            f"check_gradients() needs gradients, which the backend {info.backend} of {info} does not have. Run it on "
            "tensorflow, jax or torch: set KERAS_BACKEND before Keras is imported."
        )
    if not getattr(model, "built", True) or (not model.weights and layers_to_build(weight_tree(model))):
        raise ValueError(
            f"check_gradients() got {describe_layer(model)}, which is not built: it has no weights yet. Call it once "
            "on a batch, `model(x)`, or give its input a shape."
        )
    if loss is None and (not hasattr(model, "compute_loss") or getattr(model, "optimizer", None) is None):
        raise ValueError(
            f"check_gradients() got no loss, and {describe_layer(model)} is not compiled with one. Give "
            'loss="mse", a loss of Keras or a function (y_true, y_pred), or compile the model.'
        )
    return info.backend


class _Check:
    """A model, a batch and a loss: computes gradients, and the loss again with other weights."""

    def __init__(self, model: Any, backend: str, x: Any, y: Any, loss: Any, sample_weight: Any) -> None:
        self.model, self.backend, self.tree = model, backend, weight_tree(model)
        self.x, self.y, self.sample_weight = (as_tensors(model, each) for each in (x, y, sample_weight))
        self.waiting = layers_to_build(self.tree)
        self.loss = model if loss is None else _compiled_with(model, loss)
        self.is_half = any(
            getattr(node.layer, "compute_dtype", "") in ("float16", "_float16") for node in self.tree.nodes()
        )

    def outputs_and_loss(self, *, training: bool) -> tuple[Any, Any]:
        """Runs the model, and computes the loss as ``fit`` does."""
        outputs = self.model(self.x, training=training)
        for layer in self.waiting:
            if layer.built:  # the block around this takes it back
                raise ValueError(
                    f"check_gradients: {describe_layer(layer)} in {describe_layer(self.model)} is not built: it has no "
                    "weights yet. Call the model once on a batch, `model(x)`."
                )
        total = self.loss.compute_loss(x=self.x, y=self.y, y_pred=outputs, sample_weight=self.sample_weight)
        if self.loss is not self.model:
            ops = getattr(keras_of(type(self.model)), "ops", None)
            add: Any = ops.sum if ops is not None else sys.modules["tensorflow"].reduce_sum
            for extra in self.model.losses:
                total = total + add(extra)
        return outputs, total

    def gradients(self, variables: list[Any], scale: float | None = None) -> tuple[float, list[Any], float]:
        """The loss, the gradients as arrays, and the loss scale; a scale at which float16 overflows is lowered."""
        wanted = loss_scale(self.model) if scale is None else scale
        while True:
            with self.as_it_was(), run_eagerly():
                loss, found = differentiate(
                    self.model, self.backend, lambda: self.outputs_and_loss(training=True)[1], variables, wanted
                )
                value = float(as_array(loss))
                arrays = [None if each is None else as_array(each).astype("float64") / wanted for each in found]
            fits = all(each is None or bool(abs(each).max(initial=0.0) < math.inf) for each in arrays)
            if fits or wanted <= 1 or not self.is_half or not math.isfinite(value):
                return value, arrays, wanted
            wanted = max(wanted / 16, 1.0)

    def as_it_was(self) -> Any:
        """A block after which the model, its metrics and random numbers are as before."""
        return _same_metrics(self.model)


@contextlib.contextmanager
def _same_metrics(model: Any) -> Iterator[None]:
    """A block after which a model is unchanged; metrics that Keras made for the loss in it are at zero."""
    before = {id(metric) for metric in getattr(model, "metrics", ())}
    try:
        with unchanged(model):
            yield
    finally:
        for metric in getattr(model, "metrics", ()):
            if id(metric) not in before:
                metric.reset_state()


def _compiled_with(model: Any, loss: Any) -> Any:
    """An empty model, compiled with a loss: Keras's own rules say what a list or dict of losses means."""
    keras = keras_of(type(model))
    helper = type("Losses", (keras.Model,), {})()
    names = getattr(model, "output_names", None)
    if names:
        helper.output_names = list(names)
    helper.compile(loss=loss)
    return helper


def _rows(tree: LayerNode, trained: set[int]) -> Iterator[tuple[Any, WeightGradient]]:
    """Each weight that was made to be trained, with its line; the verdict is ``"ok"`` if its gradient is wanted."""
    names, above = tree.names(), tree.above()
    owners: dict[int, LayerNode] = {}
    for node in tree.nodes():
        for _, variable in node.trainable:
            owners.setdefault(id(variable), node)
    for variable in tree.weights().values():
        if id(variable) not in owners:
            continue
        node = owners[id(variable)]
        verdict: Verdict = "ok"
        reason = ""
        if kind_of_dtype(dtype_of(variable)) not in ("float", "complex"):
            verdict, reason = "not trained", f"its dtype {dtype_of(variable)} has no gradient"
        elif id(variable) not in trained:
            chain = [each for each in (node, *above[id(node)]) if not getattr(each.layer, "trainable", True)]
            verdict = "not trained"
            layer = chain[-1] if chain else None
            name = "/".join(layer.path) or str(layer.layer.name) if layer is not None else ""
            reason = f"frozen: the layer {name!r} has trainable=False" if chain else "the weight itself is frozen"
        norm = norm_of(read_value(variable))
        yield (
            variable,
            WeightGradient(names[id(variable)], shape_of(variable), dtype_of(variable), None, norm, verdict, reason),
        )


def norm_of(array: Array) -> float:
    """The Euclidean norm, in float64."""
    import numpy as np

    with np.errstate(all="ignore"):
        return float(np.linalg.norm(np.abs(array.astype("complex128" if array.dtype.kind == "c" else "float64"))))


def _judged(row: WeightGradient, variable: Any, gradient: Any, is_half: bool, because: str) -> WeightGradient:
    """The line of a weight with what its gradient alone shows."""
    import numpy as np

    if gradient is None:
        return replace(row, verdict="none", reason=_not_watched(variable))
    norm, nan, inf = norm_of(gradient), int(np.isnan(gradient).sum()), int(np.isinf(gradient).sum())
    if not nan and not inf:
        zero = "all of it is 0, as behind a relu that is off for all of x, or where 0 comes in"
        return replace(row, norm=norm, verdict="ok" if norm else "zero", reason="" if norm else zero)
    counted = f"{nan + inf} of {many(gradient.size, 'value')} {'is' if nan + inf == 1 else 'are'} not finite"
    if not because:
        because = "float16 holds no more than 65504" if is_half else "the derivative is not, as of sqrt at 0"
        because = f"the loss is finite, but {because}"
    return replace(row, norm=norm, verdict="nan" if nan else "exploding", reason=f"{counted}; {because}")


def _not_watched(variable: Any) -> str:
    """Why a backend itself computes no gradient for a weight that Keras trains; empty if it does."""
    raw = stored(variable)
    if getattr(raw, "trainable", True) is False:
        return (
            "its tf.Variable was made while the layer was frozen, so TensorFlow's tape does not watch it: "
            "call freeze and unfreeze of keras_buildfix"
        )
    if getattr(raw, "requires_grad", True) is False:
        return "its torch tensor has requires_grad=False"
    return ""


def against_the_rest(rows: list[WeightGradient], factor: float) -> list[WeightGradient]:
    """The lines, with those marked whose gradient's root mean square is far from the median."""
    sizes = {at: _root_mean_square(row) for at, row in enumerate(rows) if row.verdict == "ok" and row.norm}
    if len(sizes) < 3:
        return rows
    middle = statistics.median(sizes.values())
    rows = list(rows)
    for at, size in sizes.items():
        if size > middle * factor or size < middle / factor:
            verdict: Verdict = "exploding" if size > middle else "vanishing"
            times = f"{size / middle:.0e} times the median ({middle:.1e})"
            rows[at] = replace(rows[at], verdict=verdict, reason=f"its root mean square {size:.1e} is {times}")
    return rows


def _harmless(check: _Check, rows: list[WeightGradient], all_rows: list[Any]) -> list[WeightGradient]:
    """The lines, with those marked as harmless of which the loss of a step does not depend, whatever their values.

    Such is a bias before a normalization. We give new values to all that may be such, then to halves of them.
    """
    marked = without_need(rows)
    likely = [at for at, (row, old) in enumerate(zip(marked, rows)) if row.harmless and not old.harmless]
    if not likely:
        return rows
    with check.as_it_was(), run_eagerly():
        before = _training_loss(check, [])
        sure: set[int] = set()
        groups = [likely]
        while groups:
            group = groups.pop()
            if _close(check, before, _training_loss(check, [all_rows[at][0] for at in group])):
                sure.update(group)
            elif len(group) > 1:
                groups += [group[: len(group) // 2], group[len(group) // 2 :]]
    return [marked[at] if at in sure else row for at, row in enumerate(rows)]


def _training_loss(check: _Check, variables: list[Any]) -> list[float]:
    """The loss of a step with other values in these weights, three times."""
    import numpy as np

    random, found = np.random.default_rng(0), []
    for _ in range(3 if variables else 1):
        with unchanged(check.model):
            for variable in variables:
                value = random.normal(scale=3.0, size=shape_of(variable)).astype("float32")
                assign_value(variable, read_value(variable).astype("float32") + value)
            found.append(float(as_array(check.outputs_and_loss(training=True)[1])))
    return found


def _close(check: _Check, before: list[float], after: list[float]) -> bool:
    """Whether losses differ by no more than rounding does."""
    allowed = (0.05 if check.is_half else 1e-3) * abs(before[0]) + 1e-6
    return all(abs(each - before[0]) <= allowed for each in after)


def without_need(rows: list[WeightGradient]) -> list[WeightGradient]:
    """The lines, with those marked that may be harmless: of one axis, and the layer has others, all of them well."""
    layers: dict[str, list[WeightGradient]] = {}
    for row in rows:
        layers.setdefault(row.name.rpartition("/")[0], []).append(row)
    found = []
    reason = "what follows takes it away, as a normalization does with a bias: use_bias=False saves it"
    for row in rows:
        others = [each for each in layers[row.name.rpartition("/")[0]] if len(each.shape) > 1]
        well = bool(others) and all(each.verdict == "ok" for each in others)
        if well and row.verdict in ("zero", "vanishing") and len(row.shape) == 1:
            row = replace(row, harmless=True, reason=f"{row.reason}; {reason}" if row.reason else reason)
        found.append(row)
    return found


def _root_mean_square(row: WeightGradient) -> float:
    return (row.norm or 0.0) / math.sqrt(max(math.prod(axis or 1 for axis in row.shape), 1))


def _underflowing(check: _Check, rows: list[WeightGradient], wanted: list[Any], scale: float) -> list[WeightGradient]:
    """The lines, with a reason for each zero that is none when the loss is scaled: float16 is too coarse for it."""
    zeros = [(at, variable) for at, variable in wanted if rows[at].verdict == "zero"]
    if not zeros or not check.is_half or scale >= _ENOUGH:
        return rows
    _, gradients, used = check.gradients([variable for _, variable in zeros], _ENOUGH)
    rows = list(rows)
    for (at, _), gradient in zip(zeros, gradients):
        norm = 0.0 if gradient is None else norm_of(gradient)
        if norm:
            rows[at] = replace(
                rows[at],
                reason=f"too small for float16: with the loss scale {used:g} its norm is {norm:.1e}. Train with "
                "LossScaleOptimizer, or in bfloat16",
            )
    return rows


#: The loss scale with which Keras begins.
_ENOUGH = 2.0**15

#: For so many layers we look at how the loss depends on them; each costs a run of the model.
_TRIED = 20


def _reasons_for_none(check: _Check, variables: list[Any]) -> dict[int, str]:
    """Why no gradient reaches these weights, by their ``id``."""
    variables = [variable for variable in variables if not _not_watched(variable)]
    if not variables:
        return {}
    calls = record_calls(check.model, (check.x,), {}, wanted_by="check_gradients")
    called = {id(call.layer) for call in calls}
    of = {id(variable) for variable in variables}
    groups = [(node, here) for node in check.tree.nodes() if (here := [v for _, v in node.trainable if id(v) in of])]
    reasons: dict[int, str] = {}
    tried: list[tuple[LayerNode, list[Any]]] = []
    for node, here in groups:
        if id(node.layer) not in called:
            reasons.update({id(v): "not connected: the layer was not called for this x" for v in here})
        else:
            tried.append((node, here))
    with check.as_it_was(), run_eagerly():
        before = _seen(check)
        steady = not _different(before, _seen(check))  # else something random is between
        for at, (_, here) in enumerate(tried):
            reason = _NOTHING_FOUND
            if steady and at < _TRIED:
                reason = _how_it_is_used(check, here, before)
            reasons.update({id(v): reason for v in here})
    return reasons


_NOTHING_FOUND = "not connected: no path with a gradient leads from it to the loss"


#: The key of the loss among the outputs of a model.
_LOSS = ""


def _seen(check: _Check) -> dict[str, Array]:
    """The loss, and each output by its name, in inference, with the random numbers of now."""
    with unchanged(check.model):
        outputs, loss = check.outputs_and_loss(training=False)
        names = getattr(check.model, "output_names", None) or ()
        found = {_LOSS: as_array(loss)}
        if isinstance(outputs, dict):
            return {**found, **{str(key): as_array(each) for key, part in outputs.items() for each in tensors_in(part)}}
        tensors = tensors_in(outputs)
        labels = names if len(names) == len(tensors) else range(len(tensors))
        return {**found, **{str(label): as_array(each) for label, each in zip(labels, tensors)}}


def _different(first: dict[str, Array], second: dict[str, Array]) -> set[str]:
    """The keys whose arrays differ."""
    import numpy as np

    return {
        key
        for key in {*first, *second}
        if key not in first
        or key not in second
        or not np.array_equal(first[key], second[key], equal_nan=first[key].dtype.kind in "fc")
    }


def _how_it_is_used(check: _Check, variables: list[Any], before: dict[str, Array]) -> str:
    """What changes with other values in these weights: the loss, an output, or nothing."""
    import numpy as np

    random = np.random.default_rng(0)
    changed: set[str] = set()
    for _ in range(2):
        with unchanged(check.model):
            for variable in variables:
                assign_value(variable, random.normal(scale=3.0, size=shape_of(variable)).astype("float32"))
            after = _seen(check)
        changed |= _different(before, after)
        if _LOSS in changed:
            return (
                "not connected: the loss depends on it, but through an operation without gradient, such as argmax, a "
                "cast to whole numbers or stop_gradient"
            )
    if changed:
        names = ", ".join(map(repr, sorted(changed)))
        return f"not connected: only the output {names} depends on it, which the loss does not use"
    return "not connected: neither the loss nor an output depends on it for this x"


def _raw_variables(tree: LayerNode) -> Iterator[WeightGradient]:
    """A line for each variable of floats that a layer holds, and that is not a weight of the model."""
    known = {id(each) for node in tree.nodes() for _, v in node.own for each in (v, stored(v))}
    for node in tree.nodes():
        path = "".join(f"{name}/" for name in node.path)
        for name, variable in _held(node.layer):
            if id(variable) in known:
                continue
            known.add(id(variable))
            kind = _kind_of_raw(variable)
            yield WeightGradient(
                path + name,
                tuple(variable.shape),
                dtype_of(variable),
                None,
                norm_of(as_array(variable)),
                "not trained",
                f"{kind} that Keras does not track: neither trained nor saved. Use add_weight, or raw_weight with "
                "PortableLayerMixin",
                raw=True,
            )


def _held(layer: Any) -> Iterator[tuple[str, Any]]:
    """The trainable variables of floats in a layer's attributes, with the names of their places."""
    waiting = [(name.strip("_"), held) for name, held in set_by_users(layer).items()]
    seen: set[int] = set()
    while waiting:
        name, held = waiting.pop(0)
        if isinstance(held, (list, tuple, dict)):
            if id(held) not in seen:
                seen.add(id(held))
                inside = held.items() if isinstance(held, dict) else enumerate(held)
                waiting += [(f"{name}_{key}", each) for key, each in list(inside)]
        elif (
            _kind_of_raw(held)
            and kind_of_dtype(dtype_of(held)) == "float"
            and getattr(held, "requires_grad", getattr(held, "trainable", True))
        ):
            yield name, held


def _kind_of_raw(thing: Any) -> str:
    """What kind of variable a thing is, in words; empty if it is none."""
    tensorflow, torch = sys.modules.get("tensorflow"), sys.modules.get("torch")
    if isinstance(thing, getattr(tensorflow, "Variable", ())):
        return "a tf.Variable"
    if isinstance(thing, getattr(getattr(torch, "nn", None), "Parameter", ())):
        return "a torch.nn.Parameter"
    variable = getattr(sys.modules.get("keras"), "Variable", None)
    return "a keras.Variable" if isinstance(variable, type) and isinstance(thing, variable) else ""
