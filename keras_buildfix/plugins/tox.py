"""A plugin for tox: an environment called ``py311-keras3.9-jax`` gets what installs and chooses that Keras and backend.

tox finds it by its entry point. It changes only environments whose name has a Keras (``keras_buildfix.matrix.parse``).
What the author writes in the configuration wins over what the matrix says.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from tox.config.loader.memory import MemoryLoader
from tox.config.types import EnvList
from tox.plugin import impl
from tox.report import HandledError
from tox.tox_env.errors import Fail, Skip

from keras_buildfix import matrix

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from tox.config.sets import ConfigSet, EnvConfigSet
    from tox.session.state import State
    from tox.tox_env.api import ToxEnv

_PINS = "keras_pins"


class _Loader(MemoryLoader):
    """Answers some settings, given what the loaders below it answer: the author's own configuration.

    Args:
        below: The loaders of the configuration, of which this becomes the first.
        answers: For each setting, a function of the author's value (None if there is none) and of tox's factory.
    """

    def __init__(self, below: list[Any], answers: dict[str, Callable[[Any, Any], Any]]) -> None:
        super().__init__()
        self.below, self.answers = below, answers
        below.insert(0, self)

    def found_keys(self) -> set[str]:
        """The settings that this answers."""
        return set(self.answers)

    def load(self, key: str, of_type: Any, factory: Any, *args: Any, **kwargs: Any) -> Any:
        """The value of a setting; KeyError if it is not one of those that this answers, as of any loader."""
        if key not in self.answers:
            raise KeyError(key)
        value: Any = None
        appended: list[Any] = []
        for loader in self.below[self.below.index(self) + 1 :]:
            try:
                value = loader.load(key, of_type, factory, *args, **kwargs)
                break
            except KeyError as error:
                if hasattr(error, "apply"):  # `-x testenv.deps+=...`: to be added to what a loader further below says
                    appended.append(error)
        value = self.answers[key](value, factory)
        if value is None:
            raise KeyError(key)
        for addition in reversed(appended):
            value = addition.apply(value)
        return value


# --- Which environments there are --------------------------------------------------------------


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """Leaves environments that can't be out of ``env_list``."""
    # A checkout's toxfile.py and an installed keras-buildfix can both bring this plugin.
    if not any(type(loader).__name__ == _Loader.__name__ for loader in core_conf.loaders):
        _Loader(core_conf.loaders, {"env_list": _possible, "envlist": _possible})


def _possible(envs: EnvList | None, factory: Any) -> EnvList | None:
    if envs is None:
        return None
    reasons = {name: _why_not(name) for name in envs}
    left = [name for name, reason in reasons.items() if not reason]
    if reasons and not left:
        listed = "\n".join(f"  {name}: {reason}" for name, reason in reasons.items())
        raise HandledError(f"keras-buildfix: env_list has no environment that can be:\n{listed}")
    return EnvList(left)


def _why_not(name: str) -> str:
    """Why an environment can't be, as far as its name tells."""
    factors = _parsed(name, HandledError)
    return matrix.impossible(*factors) if factors else ""


def _parsed(name: str, kind: type[Exception]) -> matrix.Factors | None:
    try:
        return matrix.parse(name)
    except ValueError as error:
        raise kind(f"keras-buildfix: {error}") from None


def _asked_for(state: State) -> set[str]:
    """The environments that the command line names."""
    return set(getattr(state.conf.options, "env", None) or ())


# --- What they get -----------------------------------------------------------------------------


@impl
def tox_add_env_config(env_conf: EnvConfigSet, state: State) -> None:
    """Adds the requirements and variables of the Keras in an environment's name."""
    try:
        factors = matrix.parse(env_conf.name)
    except ValueError as error:
        # tox makes an environment of every condition in tox.ini, such as `keras3.6: ...`: this one may never run.
        if env_conf.name in _asked_for(state):
            raise HandledError(f"keras-buildfix: {error}") from None
        return
    if factors is None or _PINS in env_conf:
        return
    env_conf.add_config(
        _PINS,
        of_type=list[str],
        default=[],
        desc="requirements that replace those of keras-buildfix for the same distribution",
    )
    if matrix.impossible(*factors):
        return  # tox_on_install skips it
    # The requirements are the same on each Python that can be; which one it is, tox_on_install finds out.
    found = matrix.environment(factors.keras, factors.backend, matrix.pythons(*factors[:2])[-1])
    answers: dict[str, Callable[[Any, Any], Any]] = {
        "deps": lambda deps, factory: _with_ours(deps, factory, found, env_conf),
        # The package's own requirements must not move Keras.
        "constrain_package_deps": lambda value, factory: True if value is None else value,
    }
    theirs = {"base_python", "basepython", "base_python_file", "default_base_python"}
    if factors.python is None and not any(theirs & {*loader.found_keys()} for loader in env_conf.loaders):
        answers["base_python"] = lambda value, factory: value or _base_pythons(*factors[:2])
    _Loader(env_conf.loaders, answers)
    _add_variables(_variables(found, env_conf), env_conf)


def _variables(found: matrix.Environment, env_conf: EnvConfigSet) -> dict[str, str]:
    # The developer's own ~/.keras/keras.json must not choose the backend.
    added = {**found.variables, "KERAS_HOME": str(Path(env_conf["env_tmp_dir"], "keras"))}
    links = os.environ.get("PIP_FIND_LINKS")
    if links and "UV_FIND_LINKS" not in os.environ:
        added["UV_FIND_LINKS"] = ",".join(links.split())  # uv does not read pip's settings
    return added


def _add_variables(ours: dict[str, str], env_conf: EnvConfigSet) -> None:
    """Adds the variables that the author does not set."""
    try:
        variables = env_conf["set_env"]
        theirs = set(variables)  # an old tox resolves `{[other]set_env}` only now, and would let ours win
    except (Fail, HandledError, ValueError):  # such as a file that is missing: it fails the environment when that runs
        return
    variables.update({name: value for name, value in ours.items() if name not in theirs}, override=False)


def _base_pythons(keras: str, backend: str) -> list[str] | None:
    """The Pythons that can be, the one that runs tox first; None if that is one of them: it is tox's own default."""
    able = matrix.pythons(keras, backend)
    here = "{}.{}".format(*sys.version_info)
    return None if here in able else [f"python{version}" for version in reversed(able)]


def _with_ours(deps: Any, factory: Any, found: matrix.Environment, env_conf: EnvConfigSet) -> Any:
    """The author's requirements and, of ours, those for distributions that the author does not name."""
    try:
        written = list(deps.unroll()[1]) if deps is not None else []
    except (ValueError, OSError):  # a file that can't be read: tox will say so
        written = deps.lines()
    theirs = set().union(*map(_family, written))
    ours = [each for each in _pinned(found.requirements, env_conf) if not _family(each) & theirs]
    return factory("\n".join([*(deps.lines() if deps is not None else ()), *ours]))


def _pinned(requirements: tuple[str, ...], env_conf: EnvConfigSet) -> list[str]:
    """The requirements, some replaced by those in ``keras_pins``; an error for a pin that replaces none."""
    left, pins = list(requirements), []
    for pin in env_conf[_PINS]:
        same = [each for each in requirements if _family(each) & _family(pin)]
        if not same:
            names = ", ".join(dict.fromkeys(min(_family(each), key=len) for each in requirements))
            raise Fail(
                f"keras-buildfix: {_PINS} has {pin!r}, but {env_conf.name} has no requirement that it replaces "
                f"(only {names}). Write it for the environments that it is meant for, or in deps."
            )
        left = [each for each in left if each not in same]
        pins.append(pin)
    return [*left, *pins]


def _family(requirement: str) -> frozenset[str]:
    """The distributions that a line of requirements stands for; none for a path, an address or an option."""
    read = _read(requirement)
    return matrix.family(read.name) if read else frozenset()


def _read(requirement: str) -> Requirement | None:
    """A line of requirements as data; None for a path, an address or an option."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(requirement.partition(" #")[0].strip())
    except InvalidRequirement:
        return None


# --- What they run -----------------------------------------------------------------------------


@impl
def tox_on_install(tox_env: Any, arguments: Any, section: str, of_type: str) -> None:
    """Skips an environment that can't be, before anything is installed into it; bounds what its package brings."""
    factors = _parsed(tox_env.conf.name, Fail)
    if factors is None or _PINS not in tox_env.conf:
        return
    actual = "{}.{}".format(*tox_env.base_python.version_info)
    reason = matrix.impossible(factors.keras, factors.backend, actual)
    if reason:
        raise Skip(f"keras-buildfix: {reason}")
    if of_type == "package":
        _constrain(tox_env, factors.keras)


def _constrain(tox_env: Any, keras: str) -> None:
    """Adds the bounds on the other backends to the file of constraints that tox made from ``deps``, if it made one."""
    file = Path(tox_env.conf["env_dir"], "constraints.txt")
    if not file.is_file() or not tox_env.conf["constrain_package_deps"]:
        return
    written = file.read_text("utf-8").splitlines()
    theirs = set().union(*map(_family, written))
    ours = [each for each in matrix.constraints(keras) if not _family(each) & theirs]
    file.write_text("\n".join([*written, *ours, *_twins(written)]), "utf-8")


def _twins(written: list[str]) -> list[str]:
    """The bounds on tensorflow-cpu for tensorflow, and the other way round.

    A package that requires ``tensorflow`` beside a bounded ``tensorflow-cpu`` else brings the newest, and its Keras.
    """
    here = [each for each in map(_read, written) if each and (each.marker is None or each.marker.evaluate())]
    found = {each.name.lower().replace("_", "-"): each.specifier for each in here}
    pairs = (("tensorflow", "tensorflow-cpu"), ("tensorflow-cpu", "tensorflow"))
    return [f"{twin}{found[name]}" for name, twin in pairs if found.get(name) and twin not in found]


@impl
def tox_before_run_commands(tox_env: ToxEnv) -> None:
    """Fails an environment in which another Keras lies than its name says; installs the nightly over a release."""
    factors = _parsed(tox_env.conf.name, Fail)
    if factors is None or _PINS not in tox_env.conf:
        return
    package, version = _found(tox_env, factors.keras)
    if version and not matrix.is_the_one(factors.keras, version):
        last = matrix.environment(factors.keras, factors.backend, matrix.pythons(*factors[:2])[-1]).last
        if last:
            _install_over(tox_env, last)
            package, version = _found(tox_env, factors.keras)
    if not version:
        raise Fail(
            f"keras-buildfix: {tox_env.conf.name} has no {package} installed. Do its requirements replace the ones "
            f"of the matrix? `tox config -e {tox_env.conf.name} -k deps` shows them."
        )
    if not matrix.is_the_one(factors.keras, version):
        raise Fail(
            f"keras-buildfix: {tox_env.conf.name} has {package} {version} installed, and not the one in its name. "
            f"A requirement of your package or of deps moved it; `tox run -r -e {tox_env.conf.name}` installs it "
            f"from the beginning."
        )


def _found(tox_env: ToxEnv, keras: str) -> tuple[str, str]:
    """The package of a Keras, and its version in the files of an environment: metadata may be of another."""
    from keras_buildfix._keras.info import version_in

    package = "tf_keras" if keras.startswith("tf") else "keras"
    return package, version_in([str(Path(tox_env.conf["env_site_packages_dir"], package))]) or ""


def _install_over(tox_env: ToxEnv, requirements: tuple[str, ...]) -> None:
    """Installs over what is there, without dependencies, by the environment's own install command: pip or uv."""
    words = [word for word in tox_env.conf["install_command"].args if word not in ("{opts}", "{packages}", "--pre")]
    options = ["--force-reinstall", "--no-deps", "--pre"]
    from tox.execute.request import StdinSource

    command = [*words, *options, *requirements]
    tox_env.execute(command, stdin=StdinSource.OFF, run_id="install_keras").assert_success()
