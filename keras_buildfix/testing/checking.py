"""``check_layer``: runs every check on a layer class, and says what is wrong, on which Keras, and what to change."""

from __future__ import annotations

import contextlib
import copy
import random
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

from keras_buildfix._arrays import DTYPES
from keras_buildfix._keras.classes import describe, keras_of, layer_base, package_of
from keras_buildfix._keras.tracking import nested_layers
from keras_buildfix._words import many, nearest_names, short
from keras_buildfix.testing.case import is_shape
from keras_buildfix.testing.checks import ALL
from keras_buildfix.testing.subject import Check, CheckError, NotHere, Subject, in_short

#: Names of checks: one, several, or several with a reason each.
Names = Union[str, Iterable[str], Mapping[str, str]]
_BY_NAME = {check.name: check for check in ALL}


@dataclass(frozen=True)
class CheckResult:
    """What came of one check.

    Attributes:
        check: The name of the check.
        status: ``passed``, ``failed``, ``blocked`` (it can't mean anything after another check failed),
            ``skipped`` (it can't run here, or you left it out), or ``xfailed`` (it failed as you expected).
        message: What is wrong, on which Keras, and what to change; or why it is skipped or blocked. Empty if it passed.
        layer: The layer class and its arguments, in words.
        keras: The Keras, its version and backend, in words.
        blocked_by: The check that failed before, if this one is blocked.
        error: The exception that the check ended with; None if it ended well.
    """

    check: str
    status: str
    message: str
    layer: str
    keras: str
    blocked_by: str = ""
    error: BaseException | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.check}: {self.status}" + (f": {self.message}" if self.message else "")


class LayerCheckError(AssertionError):
    """Checks of a layer failed; `results` has those of all checks that ran."""

    def __init__(self, message: str, results: Sequence[CheckResult] = ()) -> None:
        super().__init__(message)
        self.results = list(results)


class LayerCheck:
    """One check of one layer class. Call it: it returns if the check passed, and raises an error if it failed.

    Attributes:
        name: The name of the check.
        breaks: What breaks for users when it fails.
    """

    def __init__(self, session: Session, check: Check) -> None:
        self._session, self._check = session, check
        self.name, self.breaks = check.name, check.breaks

    def run(self) -> CheckResult:
        """Runs the check, after those that it needs, and returns what came of it; each runs once."""
        return self._session.result(self._check)

    def __call__(self) -> None:
        """Runs the check under pytest: a blocked or skipped one skips the test, an expected failure is an xfail.

        Raises:
            LayerCheckError: If the check failed.
        """
        result = self.run()
        if result.status == "failed":
            raise LayerCheckError(f"{result.layer} on {result.keras}: {result}", [result]) from result.error
        if result.status != "passed":
            import pytest

            (pytest.xfail if result.status == "xfailed" else pytest.skip)(result.message)

    def __repr__(self) -> str:
        return f"<check {self.name} of {self._session.label}>"


def check_layer(
    cls: Callable[..., Any],
    init_kwargs: Mapping[str, Any] | None = None,
    input_shape: Any = None,
    *,
    input_dtype: str = "float32",
    within: tuple[float, float] = (-1.0, 1.0),
    call_kwargs: Mapping[str, Any] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    only: Names | None = None,
    skip: Names | None = None,
    expected_failures: Mapping[str, str] | None = None,
    on_fail: str | None = "raise",
) -> list[CheckResult]:
    """Checks that a layer class works in every way in which Keras and its users use layers.

    Every check makes new layers. One cause gives one failure: a check that can't mean anything after
    another one failed is ``blocked`` by it. What this Keras can't do with its own ``Dense`` is ``skipped``.

    Args:
        cls: A layer or model class, or a function that returns a new layer at each call.
        init_kwargs: The arguments to make a layer with. Where one is a layer, pass a function as `cls`.
        input_shape: The shape of one input without the batch, such as ``(8, 8, 3)``. A list or dict of shapes for
            several inputs; those in a dict go to the parameters of ``call`` with their names, if there are such.
        input_dtype: The dtype of the inputs, such as ``"int32"`` for an ``Embedding``.
        within: The smallest and largest value of the inputs; for integers they are 0 and 1 if you do not say.
        call_kwargs: Further arguments of each call.
        custom_objects: The classes and functions by name that loading needs, besides the class itself.
        only: The names of the checks to run; all of them if you name none.
        skip: The names of checks to leave out, or a dict of names and reasons.
        expected_failures: Names of checks that fail, each with the reason. One that passes after all is a failure.
        on_fail: ``"raise"`` an error that lists all failures, ``"warn"``, or None to only return the results.

    Returns:
        What came of each check, in order.

    Raises:
        LayerCheckError: If checks failed, and `on_fail` is ``"raise"``.
        TypeError: If `cls` is no layer class or makes none, or can't be made from the arguments.
        ValueError: If a check has no such name, no check is left, or none of those that you named can run here.

    Examples:
        >>> import keras
        >>> from keras_buildfix.testing import check_layer
        >>> results = check_layer(keras.layers.Dense, {"units": 3}, (4,), only=["construction", "call", "config"])
        >>> [result.status for result in results]
        ['passed', 'passed', 'passed']

    Source: scikit-learn's ``check_estimator`` has this form; each check says what it is for in its docstring.
    """
    if on_fail not in ("raise", "warn", None):
        raise ValueError(f'on_fail is "raise", "warn" or None; got {on_fail!r}.')
    details = {"input_dtype": input_dtype, "within": within, "call_kwargs": call_kwargs}
    choice = {"custom_objects": custom_objects, "only": only, "skip": skip, "expected_failures": expected_failures}
    results = [
        check.run()
        for check in layer_checks(cls, init_kwargs, input_shape, **details, **choice)  # type: ignore[arg-type]
    ]
    if all(result.status == "skipped" for result in results):
        raise ValueError(
            f"None of the checks ran for {results[0].layer} on {results[0].keras}: "
            + "; ".join(dict.fromkeys(f"{result.check}: {result.message}" for result in results))
        )
    failed = [result for result in results if result.status == "failed"]
    if failed and on_fail:
        text = _report(results, failed)
        if on_fail == "raise":
            raise LayerCheckError(text, results) from failed[0].error
        warnings.warn(text, stacklevel=2)
    return results


def layer_checks(
    cls: Callable[..., Any],
    init_kwargs: Mapping[str, Any] | None = None,
    input_shape: Any = None,
    *,
    input_dtype: str = "float32",
    within: tuple[float, float] = (-1.0, 1.0),
    call_kwargs: Mapping[str, Any] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    only: Names | None = None,
    skip: Names | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Iterator[LayerCheck]:
    """The checks of ``check_layer`` for a layer class, one by one. It makes no layer before the first one runs.

    Args:
        cls: See ``check_layer``, as for the others.
        init_kwargs: The arguments to make a layer with.
        input_shape: The shape of one input, or several.
        input_dtype: The dtype of the inputs.
        within: The smallest and largest value of the inputs.
        call_kwargs: Further arguments of each call.
        custom_objects: What loading needs.
        only: The names of the checks to run.
        skip: The names of checks to leave out.
        expected_failures: Names of checks that fail, each with the reason.

    Returns:
        The checks: each has a ``name``, what it ``breaks``, and ``run()``, which returns a ``CheckResult``.

    Raises:
        TypeError: If `cls` can't be a layer class.
        ValueError: If a check or dtype has no such name, or no check is left.

    Examples:
        >>> import keras
        >>> from keras_buildfix.testing import layer_checks
        >>> [check.name for check in layer_checks(keras.layers.Dense, {"units": 3}, (4,))][:2]
        ['construction', 'call']

    Source: see ``check_layer``.
    """
    _known([input_dtype], "input_dtype", DTYPES)
    session = Session(cls, dict(init_kwargs or {}), input_shape, expected_failures or {}, skip or ())
    session.details = {
        "dtype": input_dtype,
        "within": within,
        "call_kwargs": dict(call_kwargs or {}),
        "custom_objects": dict(custom_objects or {}),
    }
    wanted = _known(only, "only") if only is not None else [*_BY_NAME]
    left = [name for name in _BY_NAME if name in wanted and (only is None or name not in session.skip)]
    if not [name for name in left if name not in session.skip]:
        raise ValueError("No check is left to run: `only` and `skip` leave out all of them.")
    return iter([LayerCheck(session, _BY_NAME[name]) for name in left])


def parametrize_with_checks(layers: Iterable[Mapping[str, Any] | tuple[Any, ...]]) -> Any:
    """Makes a pytest test of each check of each layer class; the test gets the check as ``check`` and calls it.

    Args:
        layers: For each layer class the arguments of ``check_layer``: a tuple of the class, its arguments and the
            shape, or a dict by name, which can also have ``expected_failures`` and the others.

    Returns:
        The decorator of a test function with the parameter ``check``.

    Raises:
        ValueError: If there are no layers, or a check has no such name.

    Examples:
        >>> import keras
        >>> from keras_buildfix.testing import parametrize_with_checks
        >>> @parametrize_with_checks([(keras.layers.Dense, {"units": 3}, (4,))])
        ... def test_layers(check):
        ...     check()

    Source: scikit-learn's function of this name has this form.
    """
    import pytest

    params, seen = [], dict[str, int]()
    for layer in layers:
        given = dict(layer) if isinstance(layer, Mapping) else dict(zip(("cls", "init_kwargs", "input_shape"), layer))
        name = getattr(given.get("cls"), "__name__", "layer")
        seen[name] = seen.get(name, 0) + 1
        label = name if seen[name] == 1 else f"{name}{seen[name]}"
        params += [pytest.param(check, id=f"{label}-{check.name}") for check in layer_checks(**given)]
    if not params:
        raise ValueError("parametrize_with_checks got no layer, so the test would check nothing.")
    return pytest.mark.parametrize("check", params)


def _known(names: Names, argument: str, known: Iterable[str] | None = None) -> list[str]:
    """Names of checks, or of `known` dtypes, as a list; an error with the nearest ones if there is no such thing."""
    kind, known = ("check", _BY_NAME) if known is None else ("dtype", known)
    given = [names] if isinstance(names, str) else [*names]
    wrong = [name for name in given if name not in known]
    if wrong:
        near = [each for nearest in nearest_names(wrong, known).values() for each in nearest]
        hint = f" The nearest: {', '.join(near)}." if near else f" The {kind}s are: {', '.join(known)}."
        raise ValueError(f"{argument}: there is no {kind} {', '.join(map(repr, wrong))}.{hint}")
    return given


def _report(results: Sequence[CheckResult], failed: Sequence[CheckResult]) -> str:
    """The text of an error: each failure, and what is blocked by it."""
    ran = many(sum(result.status in ("passed", "failed", "xfailed") for result in results), "check")
    lines = [f"{failed[0].layer} fails {len(failed)} of {ran} on {failed[0].keras}:"]
    for result in failed:
        lines += ["", f"{result.check}: {result.message}"]
        blocked = [other.check for other in results if other.blocked_by == result.check]
        lines += [f"    This blocks {', '.join(blocked)}."] if blocked else []
    return "\n".join(lines)


class Session:
    """The checks of one layer class: each runs once, after those that it needs."""

    def __init__(
        self,
        cls: Callable[..., Any],
        init_kwargs: dict[str, Any],
        shape: Any,
        expected: Mapping[str, str],
        skip: Names,
    ) -> None:
        _check_arguments(cls, init_kwargs, shape)
        self.cls, self.init_kwargs, self.shape = cls, init_kwargs, shape
        _known(expected, "expected_failures")
        self.expected = dict(expected)
        self.skip = dict.fromkeys(_known(skip, "skip"), "you left it out")
        self.skip.update({name: str(reason) for name, reason in skip.items()} if isinstance(skip, Mapping) else {})
        self.details: dict[str, Any] = {}
        self.results: dict[str, CheckResult] = {}
        self.places: dict[tuple[str, int, str], str] = {}
        self._subject: Subject | None = None
        given = ", ".join(f"{name}={short(value)}" for name, value in init_kwargs.items())
        self.label = f"{getattr(cls, '__name__', type(cls).__name__)}({given})"

    def make(self, **more: Any) -> Any:
        """A new layer."""
        return self.cls(**{name: _fresh(value) for name, value in self.init_kwargs.items()}, **more)

    @property
    def subject(self) -> Subject:
        """What the checks get; the first time, this makes a layer."""
        if self._subject is None:
            try:
                layer = self.make()
            except Exception as error:
                raise TypeError(f"{self.label} can't be made: {in_short(error)}") from error
            if layer_base(type(layer)) is None:
                raise TypeError(f"{self.label} must return a Keras layer; it returned {describe(layer)}.")
            shape = tuple(self.shape) if is_shape(self.shape) else self.shape
            own: dict[str, Any] = {"cls": type(layer), "init_kwargs": self.init_kwargs, "label": self.label}
            self._subject = Subject(keras_of(type(layer)), self.make, shape, Path(), **own, **self.details)
        return self._subject

    def result(self, check: Check) -> CheckResult:
        """What comes of a check; those that it needs run before it."""
        if check.name not in self.results:
            self.results[check.name] = self._run(check)
        return self.results[check.name]

    def _run(self, check: Check) -> CheckResult:
        if check.name in self.skip:
            return self._as(check, "skipped", self.skip[check.name])
        for name in check.needs:
            if name in self.skip:
                continue
            before = self.result(_BY_NAME[name])
            root = before.blocked_by if before.status == "blocked" else name
            if before.status in ("failed", "xfailed", "blocked") and getattr(before.error, "blocks", True):
                return self._as(check, "blocked", f"`{root}` failed before", blocked_by=root)
        error = _error_of(check, self.subject)
        expected = self.expected.get(check.name)
        if isinstance(error, NotHere):
            return self._as(check, "skipped", str(error))
        if error is None and expected is None:
            return self._as(check, "passed", "")
        if error is None:
            return self._as(check, "failed", f"it passes, but it was expected to fail: {expected}. Remove it there.")
        place = _place(error)
        if place in self.places:  # the same error at the same line of the user's code
            root = self.places[place]
            return self._as(check, "blocked", f"`{root}` failed before, with the same error", blocked_by=root)
        if _fails_for_keras(check, self.subject):
            return self._as(check, "skipped", f"{self.subject.info} can't do this with its own Dense either")
        if place:
            self.places[place] = check.name
        message = expected if expected is not None else _explained(check, error)
        return self._as(check, "failed" if expected is None else "xfailed", message, error=error)

    def _as(self, check: Check, status: str, message: str, **more: Any) -> CheckResult:
        return CheckResult(check.name, status, message, self.label, str(self.subject.info), **more)


def _check_arguments(cls: Any, init_kwargs: dict[str, Any], shape: Any) -> None:
    if isinstance(cls, type):
        if layer_base(cls) is None:
            raise TypeError(f"check_layer expects a Keras layer class, or a function that makes a layer; got {cls!r}.")
    elif layer_base(type(cls)) is not None or not callable(cls):
        raise TypeError(
            f"check_layer expects a class or a function that makes a layer, as each check needs new ones; got "
            f"{describe(cls)}. Pass the class and its arguments, or `lambda: MyLayer(...)`."
        )
    for name, value in init_kwargs.items():
        if layer_base(type(value)) is not None:
            raise TypeError(
                f"The argument {name!r} is a layer, which all checks would share. Pass a function that makes both: "
                "check_layer(lambda: MyLayer(OtherLayer()), input_shape=...)."
            )
    shapes = list(shape.values()) if isinstance(shape, dict) else [shape] if is_shape(shape) else shape
    if not isinstance(shapes, (list, tuple)) or not shapes or not all(is_shape(each) for each in shapes):
        raise TypeError(
            "input_shape is the shape of one input without the batch, such as (8, 8, 3), or a list or dict of shapes; "
            f"got {short(shape)}."
        )


def _fresh(value: Any) -> Any:
    """A copy of a list, dict or set, so that no layer changes the arguments of the next one."""
    return copy.deepcopy(value) if isinstance(value, (list, dict, set)) else value


def _error_of(check: Check, subject: Subject) -> Exception | None:
    """Runs a check in a folder of its own; returns its error. Python's and numpy's random states stay as they were."""
    with tempfile.TemporaryDirectory(prefix="check_layer-") as folder, _same_random_states():
        try:
            check.run(subject.in_folder(folder))
        except Exception as error:
            return error
    return None


@contextlib.contextmanager
def _same_random_states() -> Iterator[None]:
    import numpy as np

    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _place(error: BaseException) -> tuple[str, int, str] | None:
    """The innermost line of a user's code in a traceback, and the error's class; None if there is no such line."""
    own = f"{Path(__file__).parent}"
    for frame, line in reversed([*traceback.walk_tb(error.__traceback__)]):
        file, module = frame.f_code.co_filename, frame.f_globals.get("__name__", "")
        outside = package_of(module) or module.partition(".")[0] in _NOT_USERS or file.startswith(own)
        if not outside and not isinstance(error, (CheckError, NotHere)):
            return file, line, type(error).__name__
    return None


#: Top-level modules whose code is not the user's.
_NOT_USERS = (
    *("tensorflow", "jax", "jaxlib", "torch", "numpy", "h5py", "optree", "tree", "keras_buildfix"),
    *("contextlib", "copy", "copyreg", "functools", "inspect", "json", "pickle", "threading", "concurrent"),
)

_CONTROLS: dict[tuple[str, type], bool] = {}


def _fails_for_keras(check: Check, subject: Subject) -> bool:
    """Whether a check fails for Keras's own ``Dense`` too, so that it says nothing about the user's layer.

    Where the user's layer has sub-layers, so has the other one: Keras 2.12 can't save some of these, for example.
    """
    try:
        nested = len(nested_layers(subject.make())) > 1
    except Exception:  # the check of the construction reports it
        nested = False
    control = _control(subject.keras, nested)
    key = check.name, subject.keras.layers.Dense if not nested else subject.keras.layers.Layer
    if key not in _CONTROLS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            error = _error_of(check, control)
        _CONTROLS[key] = error is not None and not isinstance(error, NotHere)
    return _CONTROLS[key]


def _control(keras: Any, nested: bool) -> Subject:
    """Keras's own ``Dense`` to check, or a right layer that holds two of them."""
    dense = keras.layers.Dense
    if not nested:
        return Subject(keras, lambda: dense(2), (4,), Path(), cls=dense, init_kwargs={"units": 2}, label="Dense")

    class Pair(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.both = [dense(4), dense(4)]

        def build(self, input_shape: Any) -> None:
            for each in self.both:
                each.build(input_shape)
            super().build(input_shape)

        def call(self, x: Any) -> Any:
            return self.both[1](self.both[0](x))

    return Subject(keras, Pair, (4,), Path(), cls=Pair, label="Pair")


def _explained(check: Check, error: Exception) -> str:
    """What a check found, what that breaks, and what to change."""
    if isinstance(error, CheckError):
        what, advice = error.what, error.advice or check.advice
    else:
        what, advice = f"it raises {in_short(error)}", check.advice
    return f"{what}.\n    {check.breaks}\n    {advice}"
