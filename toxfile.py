"""What tox loads next to tox.ini: the plugin of this checkout, so that it is never an older one that is installed."""

from keras_buildfix.plugins.tox import (
    tox_add_core_config,
    tox_add_env_config,
    tox_before_run_commands,
    tox_on_install,
)

__all__ = ["tox_add_core_config", "tox_add_env_config", "tox_before_run_commands", "tox_on_install"]
