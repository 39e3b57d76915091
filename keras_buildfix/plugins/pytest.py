"""The pytest plugin. pytest finds it by itself, and it changes nothing unless an option, marker or fixture asks.

It gives:
    a line in the header           which Keras is installed, and its backend; no Keras is imported for it
    ``@pytest.mark.keras(...)``    skips a test on other versions of Keras, or on other backends
    ``keras_info``, ``check_layer``, ``dtype_policy``    fixtures
    ``--keras-buildfix-install``   runs all tests with ``install()`` on, from before any conftest
    ``--fail-on-skipped-builds``   fails a test that calls a layer whose ``build()`` Keras has skipped

This module imports only pytest: the rest is imported when something asks for it. PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any, TypeVar

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from keras_buildfix import KerasInfo, SkippedBuild

#: The name of the plugin, as in ``-p no:keras_buildfix``.
NAME = "keras_buildfix"
#: The marker's line in ``pytest --markers``.
_MARKER = (
    'keras(versions, backend=None): skips the test elsewhere, as in @pytest.mark.keras(">=3.6,<3.10", backend="jax") '
    'or backend=("jax", "torch"). From keras-buildfix.'
)

#: On a test with a wrong marker, in a worker of pytest-xdist: what is wrong.
_WRONG = pytest.StashKey[str]()

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the two options."""
    group = parser.getgroup("keras-buildfix", "keras-buildfix: the build() of Keras layers")
    if group.options:  # `pytest_plugin_registered` registers the plugin a second time
        return
    group.addoption(
        "--keras-buildfix-install",
        action="store_true",
        help="Fix Keras's built-in layers, with keras_buildfix.install(), before any conftest is loaded.",
    )
    group.addoption(
        "--fail-on-skipped-builds",
        action="store_true",
        help="Fail each test that calls a layer whose build() Keras has skipped.",
    )


def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    """Gives the plugin one name: after ``-p keras_buildfix.plugins.pytest`` the entry point would be a second."""
    if plugin is sys.modules[__name__] and manager.get_name(plugin) != NAME:
        manager.unregister(plugin)
        manager.register(plugin, NAME)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Starts what the options ask for, before a conftest can import Keras; in each worker of pytest-xdist too."""
    options = early_config.known_args_namespace
    if options.keras_buildfix_install:
        from keras_buildfix import installed

        _enter(installed(), early_config)
    if options.fail_on_skipped_builds:
        from keras_buildfix.building.watching import watched_builds

        found = _enter(watched_builds(), early_config)
        early_config.pluginmanager.register(_FailOnSkippedBuilds(found), f"{NAME}_skipped_builds")


def _enter(block: AbstractContextManager[T], config: pytest.Config) -> T:
    """Enters a block that lasts until the end of the run."""
    scope = ExitStack()
    value = scope.enter_context(block)
    config.add_cleanup(scope.close)
    return value


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line("markers", _MARKER)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """A line with the Keras that is installed and what the options do; none if there is neither."""
    parts = []
    try:
        parts.append(str(_find_keras()))
    except Exception:  # whatever is wrong with a Keras: a line in the header may not stop a run
        parts.append("")
    if config.getoption("keras_buildfix_install"):
        parts.append("built-in layers are fixed")
    if config.getoption("fail_on_skipped_builds"):
        parts.append("skipped builds fail")
    shown = ", ".join(filter(None, parts))
    return [f"keras-buildfix: {shown}"] if shown else []


def _find_keras() -> KerasInfo:
    from keras_buildfix import keras_info

    return keras_info()


@pytest.hookimpl(trylast=True)  # so that it sees what a conftest has marked
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips the tests whose marker asks for another Keras; stops the run if a marker is wrong."""
    for item in items:
        for mark in item.iter_markers("keras"):
            if mark.args or mark.kwargs or not _is_the_projects(config):
                try:
                    reason = _reason_to_skip(mark)
                except ValueError as error:
                    _refuse(item, f"{item.nodeid}: {error}")
                    break
                if reason:
                    item.add_marker(pytest.mark.skip(reason=reason))
                    break


def _refuse(item: pytest.Item, message: str) -> None:
    """Stops the run; a worker of pytest-xdist would crash without a word, so there the test fails instead."""
    if not hasattr(item.config, "workerinput"):
        raise pytest.UsageError(message)
    item.stash[_WRONG] = message


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fails a test with a wrong marker in a worker of pytest-xdist."""
    message = item.stash.get(_WRONG, "")
    if message:
        pytest.fail(message, pytrace=False)


def _is_the_projects(config: pytest.Config) -> bool:
    """Whether the project has a marker ``keras`` of its own, to select tests by: it has registered one."""
    lines = [line for line in config.getini("markers") if line != _MARKER]
    return any(line.partition(":")[0].partition("(")[0].strip() == "keras" for line in lines)


def _reason_to_skip(mark: pytest.Mark) -> str:
    """Why a test with this marker is skipped here; empty if it runs. A wrong marker is a ValueError."""
    from keras_buildfix.plugins.pytest_marker import read_marker

    try:
        wanted = read_marker(mark.args, mark.kwargs)
    except ValueError as error:
        arguments = [*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())]
        raise ValueError(f"@pytest.mark.keras({', '.join(arguments)}) is wrong: {error}.") from None
    try:
        info = _find_keras()
    except ModuleNotFoundError:
        return f"needs {wanted}; no Keras is installed"
    return "" if wanted.is_met_by(info) else f"needs {wanted}; this is {info}"


class _FailOnSkippedBuilds:
    """Fails the tests, and the modules while they are collected, in which a layer is called without its build."""

    def __init__(self, found: list[SkippedBuild]) -> None:
        self._found = found

    def _taken(self) -> str:
        """What was found since the last time, a line each."""
        text = "\n".join(map(str, self._found))
        self._found.clear()
        return text

    @pytest.hookimpl(tryfirst=True, hookwrapper=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
        """Fails a phase of a test that passed; adds a section to the report of one that failed by itself."""
        text = self._taken()
        fails = bool(text) and call.excinfo is None
        if fails:
            try:
                pytest.fail(text, pytrace=False)
            except pytest.fail.Exception:
                call.excinfo = pytest.ExceptionInfo.from_current()
        outcome = yield
        if text and not fails and outcome.excinfo is None:
            outcome.get_result().sections.append(("Skipped builds", text))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, Any, None]:
        """Fails the collection of a module that calls such a layer when it is imported."""
        outcome = yield
        text = self._taken()
        if text and outcome.excinfo is None:
            report = outcome.get_result()
            if report.outcome == "passed":
                report.outcome, report.longrepr = "failed", text
            else:
                report.sections.append(("Skipped builds", text))


@pytest.fixture
def keras_info() -> KerasInfo:
    """The Keras of this process, as from ``keras_buildfix.keras_info()``."""
    return _find_keras()


@pytest.fixture
def check_layer() -> Any:
    """The function ``keras_buildfix.testing.check_layer``."""
    return importlib.import_module("keras_buildfix.testing").check_layer


@pytest.fixture
def dtype_policy(request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:
    """A function that sets the dtype policy of new layers until the end of the test.

    ``dtype_policy("mixed_float16")`` in a test, or ``@pytest.mark.parametrize("dtype_policy", [...], indirect=True)``.
    """
    from keras_buildfix import dtype_policy_scope

    with ExitStack() as scopes:

        def set_policy(name: Any, *, keras: Any = None) -> str:
            return scopes.enter_context(dtype_policy_scope(name, keras=keras))

        if hasattr(request, "param"):
            set_policy(request.param)
        yield set_policy
