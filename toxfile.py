"""What tox loads next to tox.ini: the plugin of this checkout, so that it is never an older one that is installed."""

import sys
from pathlib import Path

from tox.plugin import impl

from keras_buildfix.plugins.tox import (
    tox_add_core_config,
    tox_add_env_config,
    tox_before_run_commands,
    tox_on_install,
)

sys.path.append(str(Path(__file__).parent / "tools"))
import planning

__all__ = [
    "tox_add_core_config",
    "tox_add_env_config",
    "tox_before_run_commands",
    "tox_extend_envs",
    "tox_on_install",
]


@impl
def tox_extend_envs() -> list[str]:
    """The environments of our labels: `-e` takes only names that are in env_list, in a condition, or here."""
    return [name for label in ("matrix", "downstream") for name in planning.labels()[label]]
