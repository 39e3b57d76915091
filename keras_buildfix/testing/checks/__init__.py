"""The checks of ``check_layer``, one function each: its docstring says what breaks for users when it fails."""

from __future__ import annotations

from keras_buildfix.testing.checks import (
    building,
    compiled,
    configs,
    copies,
    files,
    precision,
    shapes,
    training,
    weights,
)
from keras_buildfix.testing.subject import Check

#: All checks, in their order: each comes after those that it needs.
ALL: tuple[Check, ...] = (
    building.construction,
    building.call,
    building.inference,
    building.batch_size,
    building.build_runs_once,
    building.tracking,
    copies.instances_share_nothing,
    building.explicit_build,
    shapes.compute_output_shape,
    building.sequential,
    building.functional,
    building.subclassed_model,
    shapes.compute_output_spec,
    configs.config,
    configs.config_keeps_arguments,
    configs.clone_model,
    files.extra_weights,
    files.weights_h5_file,
    files.keras_file,
    files.own_files,
    weights.get_and_set_weights,
    weights.set_weights_before_build,
    training.weights_train,
    training.gradients_reach,
    training.freeze,
    precision.mixed_float16,
    precision.mixed_bfloat16,
    training.training_argument,
    training.mask,
    compiled.jit,
    compiled.tf_function,
    compiled.saved_model,
    copies.deepcopy,
    copies.pickling,
    copies.reuse,
    copies.several_devices,
    copies.threads,
    copies.determinism,
)
