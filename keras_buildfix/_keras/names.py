"""Every private name of Keras that this package touches, as data: where it is, in which releases, and who uses it.

A test checks each row on each environment: Keras has the name in these releases, and in no others. Another test reads
the package's source: every private name that it touches must have a row that lists all its users.
`docs/private_names.md` is made from this file. Some names have no underscore: Keras does not document them either.
"""

from __future__ import annotations

from typing import NamedTuple


class Name(NamedTuple):
    """A private name, in one row of releases.

    Attributes:
        name: The name.
        holder: The class, module or object that has it.
        first: The first release that has it, such as ``(3, 0)``; the oldest that is supported is 2.12.
        last: The last one; None if the nightly still has it. A name that only Keras 2 has ends at tf_keras 2.21.
        users: The functions that use it: ``file.function`` in ``_keras/``.
        only: The backends that have it; empty if all do.
        change: What Keras changed at `first` or after `last`, with the number of the change; empty if not known.
    """

    name: str
    holder: str
    first: tuple[int, int]
    last: tuple[int, int] | None
    users: tuple[str, ...]
    only: tuple[str, ...] = ()
    change: str = ""


def _row(name: str, holder: str, releases: str, users: str = "", *, only: str = "", change: str = "") -> Name:
    first, _, last = releases.partition("-")
    return Name(
        name, holder, _release(first), _release(last) if last else None, _users(users), tuple(only.split()), change
    )


def _release(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


def _users(text: str) -> tuple[str, ...]:
    files = [part.split() for part in text.split(";") if part]  # "built: lock_state unlock_state; tracking: untrack"
    return tuple(f"{file.rstrip(':')}.{function}" for file, *functions in files for function in functions)


#: The things that have private names, in words; ``tests/_keras/test_names.py`` finds each of them on every Keras.
LAYER, A_LAYER, TRACKER, WEIGHT = "Layer", "a layer", "a layer's tracker", "a layer's weight"
MODEL, FUNCTIONAL = "a compiled model", "a functional model"
OPTIMIZER, UPDATE, LEGACY = "an optimizer", "an optimizer's _update_step_xla", "an optimizer of optimizers.legacy"
MODULE, AUTOCASTING, AUTOCAST_2 = "Layer's module", "the module of autocasting", "autocast_variable"
PACKAGE, SAVING, SAVING_2_12, STATELESS, GLOBAL_STATE = (
    "Keras's package",
    "src.saving.saving_lib",
    "saving.saving_lib",
    "src.backend.common.stateless_scope",
    "src.backend.common.global_state",
)
POLICY, TENSOR, BUILD, DROPOUT = "DTypePolicy", "a tensor with a mask", "Layer.build", "the bases of Dropout"
TF_VARIABLE, AUTOGRAPH, TF_FUNCTION = "a tf.Variable", "tf.__internal__.autograph", "a function kept from AutoGraph"
BACKEND_2, NOTED, DICT_WRAPPER, BY_IDENTITY, EAGER = (
    "Keras 2's module backend",
    "what Keras 3 notes for a thread",
    "TensorFlow's wrapper of a dict",
    "TensorFlow's dict by identity",
    "TensorFlow's eager context",
)

#: Modules that are holders, by their names in Keras's package.
MODULES = (SAVING, SAVING_2_12, STATELESS, GLOBAL_STATE)

#: Names that are also in weight files: Keras 2.12 to 2.14 gives a group this name. So code that reads files may use it.
IN_FILES = frozenset({"_layer_checkpoint_dependencies"})

SUBJECTS: dict[str, tuple[Name, ...]] = {
    "Layers: built and locked": (
        _row("_lock_state", LAYER, "3.0-", "built: LOCK"),
        _row(
            "_post_build",
            LAYER,
            "3.0-",
            "built: lock_state; tracking: untrack replace_weight; variables: share_storage",
        ),
        _row(
            "_build_at_init",
            LAYER,
            "3.10-",
            "function_code: _sees_to_built",
            change="PR #20880: constructors build and lock",
        ),
        _row("_is_default", BUILD, "2.12-", "defaults: has_default_build is_default as_default"),
        _row("_build_shapes_dict", A_LAYER, "3.0-", "built: forget_build build_has_run"),
        _row(
            "_tracker",
            A_LAYER,
            "3.0-",
            "built: _unlock_on_demand lock_state unlock_state is_locked unlocked; "
            "tracking: state_in_attributes untrack replace_weight TRACKER",
        ),
        _row(
            "locked",
            TRACKER,
            "3.0-",
            "built: _unlock_on_demand unlock_state is_locked unlocked; tracking: replace_weight _Watch.track",
        ),
        _row("config", TRACKER, "3.0-", "tracking: state_in_attributes; training: hand_over"),
        _row("stored_ids", TRACKER, "3.0-", "tracking: replace_weight; training: hand_over"),
        _row("add_to_store", TRACKER, "3.0-", "built: _unlock_on_demand lock_state; tracking: _Watch.track"),
        _row("track", TRACKER, "3.0-", "tracking: watch_when_locked _Watch.__init__"),
        _row("untrack", TRACKER, "3.0-", "tracking: untrack"),
        _row("BaseRandomLayer", DROPOUT, "2.12-2.21", "defaults: has_default_build"),
    ),
    "Layers: the weights and layers inside": (
        _row("_flatten_layers", LAYER, "2.12-", "tracking: nested_layers direct_sublayers"),
        _row("_flatten_modules", LAYER, "2.12-2.21", "tracking: direct_sublayers"),
        _row("_trainable", A_LAYER, "2.12-", "tracking: set_trainable_alone"),
        _row("_trainable_weights", A_LAYER, "2.12-2.21", "tracking: freeze_alone _LISTS_2 own_weights replace_weight"),
        _row(
            "_non_trainable_weights",
            A_LAYER,
            "2.12-2.21",
            "tracking: frozen_alone freeze_alone _LISTS_2 own_weights replace_weight",
        ),
        _row("_trainable_variables", A_LAYER, "3.0-", "tracking: own_weights replace_weight; training: _LISTS"),
        _row("_non_trainable_variables", A_LAYER, "3.0-", "tracking: own_weights replace_weight; training: _LISTS"),
        _row("_inbound_nodes", A_LAYER, "2.12-", "graphs: inbound_nodes; training: _LISTS"),
        _row("_outbound_nodes", A_LAYER, "2.12-", "training: _LISTS"),
        _row("_layers", A_LAYER, "3.0-", "tracking: LAYERS; training: _LISTS"),
        _row("_metrics", A_LAYER, "2.12-", "training: _LISTS"),
        _row("_seed_generators", A_LAYER, "3.0-", "training: _LISTS"),
        _row("_nodes", FUNCTIONAL, "3.0-", "training: _LISTS"),
        _row("_nodes_by_depth", FUNCTIONAL, "2.12-", "training: _LISTS"),
        _row("_operations", FUNCTIONAL, "3.0-", "training: _LISTS"),
        _row("_operations_by_depth", FUNCTIONAL, "3.0-", "training: _LISTS"),
        _row("_torch_params", A_LAYER, "3.6-", "variables: share_storage", only="torch"),
    ),
    "What TensorFlow and torch put on a layer": (
        _row("_self_", A_LAYER, "2.12-", "tracking: attributes", only="tensorflow"),
        _row("_self_setattr_tracking", A_LAYER, "2.12-", "tracking: tracking_attributes", only="tensorflow"),
        _row("_self_tracked_trackables", A_LAYER, "2.12-2.21", "training: _LISTS"),
        _row("_self_unconditional_checkpoint_dependencies", A_LAYER, "2.12-", "training: _LISTS", only="tensorflow"),
        _row("_modules", A_LAYER, "3.0-", "tracking: dicts_of", only="torch"),
    ),
    "Weights": (
        _row("_value", WEIGHT, "3.0-", "tracking: let_tape_watch; variables: share_storage stored"),
        _row("_initializer", WEIGHT, "3.0-", "variables: set_initial_value"),
        _row("_initialize", WEIGHT, "3.0-", "variables: share_storage"),
        _row("_maybe_autocast", WEIGHT, "3.0-", "autocasting: never_autocast autocast"),
        _row("_trainable", TF_VARIABLE, "2.12-", "tracking: let_tape_watch", only="tensorflow"),
        _row("_unique_id", TF_VARIABLE, "2.12-", "training: _legacy_key", only="tensorflow"),
    ),
    "Mixed precision": (
        _row("_autocast", A_LAYER, "2.12-2.21", "autocasting: autocasts"),
        _row("autocast_variable", MODULE, "2.12-2.21", "autocasting: converts_call weights_dtype reading_weights"),
        _row("_autocast_dtype", AUTOCAST_2, "2.12-2.21", "autocasting: weights_dtype"),
        _row("enable_auto_cast_variables", AUTOCAST_2, "2.12-2.21", "autocasting: reading_weights"),
        _row("AutocastScope", AUTOCASTING, "3.0-", "autocasting: reading_uncast reading_weights"),
        _row("get_autocast_scope", AUTOCASTING, "3.0-", "autocasting: weights_dtype"),
        _row("get_autocast_scope", MODULE, "3.16-", "autocasting: _autocasting"),
        _row(
            "_should_cast",
            POLICY,
            "3.4-",
            "autocasting: casts_arrays_of_integers",
            change="issue #19629: arrays of integers are not cast",
        ),
        _row("convert_input", POLICY, "3.0-", "autocasting: casts_arrays_of_integers"),
        _row("_keras_mask", TENSOR, "2.12-", "autocasting: with_mask"),
    ),
    "Graphs": (
        _row("autograph_info__", TF_FUNCTION, "2.12-", "graphs: not_for_autograph", only="tensorflow"),
        _row("control_status_ctx", AUTOGRAPH, "2.12-", "graphs: as_autograph_has_it", only="tensorflow"),
        _row("tf_convert", AUTOGRAPH, "2.12-", "graphs: as_autograph_has_it", only="tensorflow"),
        _row(STATELESS, PACKAGE, "3.0-", "graphs: runs_without_state"),
        _row("in_stateless_scope", STATELESS, "3.0-", "graphs: runs_without_state"),
        _row(GLOBAL_STATE, PACKAGE, "3.0-", "seeds: same_seeds; running: same_names"),
        _row("get_global_attribute", GLOBAL_STATE, "3.0-", "seeds: same_seeds; running: same_names"),
        _row("set_global_attribute", GLOBAL_STATE, "3.0-", "seeds: same_seeds"),
    ),
    "Names and random numbers": (
        _row("object_name_uids", NOTED, "3.0-", "running: same_names"),
        _row("PER_GRAPH_OBJECT_NAME_UIDS", BACKEND_2, "2.12-2.21", "running: same_names"),
        _row("_SEED_GENERATOR", BACKEND_2, "2.12-2.21", "running: same_random_state"),
        _row("_rng", EAGER, "2.12-", "running: _same_in_tensorflow", only="tensorflow"),
    ),
    "TensorFlow's containers": (
        _row(
            "_self_last_wrapped_dict_snapshot", DICT_WRAPPER, "2.12-", "object_state: _OF_WRAPPERS", only="tensorflow"
        ),
        _row("_self_external_modification", DICT_WRAPPER, "2.12-", "object_state: _OF_WRAPPERS", only="tensorflow"),
        _row("_self_non_string_key", DICT_WRAPPER, "2.12-", "object_state: _OF_WRAPPERS", only="tensorflow"),
        _row(
            "_self_unconditional_checkpoint_dependencies",
            DICT_WRAPPER,
            "2.12-",
            "object_state: _OF_WRAPPERS",
            only="tensorflow",
        ),
        _row(
            "_self_unconditional_dependency_names",
            DICT_WRAPPER,
            "2.12-",
            "object_state: _OF_WRAPPERS",
            only="tensorflow",
        ),
        _row("_storage", BY_IDENTITY, "2.12-", "object_state: HeldState._note", only="tensorflow"),
    ),
    "Saving": (
        _row("_save_own_variables", LAYER, "2.12-2.12", "saving: SAVING saving_methods"),
        _row("_load_own_variables", LAYER, "2.12-2.12", "saving: saving_methods"),
        _row("_check_load_own_variables", "Dense", "3.2-", "saving: without_count_check"),
        _row("_check_load_own_variables", "Conv1D", "3.3-", "saving: without_count_check"),
        _row("_check_load_own_variables", LAYER, "3.12-", "saving: without_count_check"),
        _row(SAVING_2_12, PACKAGE, "2.12-2.12", "saving: saved_by_walk keras_ending_is_legacy"),
        _row(SAVING, PACKAGE, "2.13-", "saving: saved_by_walk"),
        _row("_save_state", SAVING_2_12, "2.12-2.12", "saving: saved_by_walk"),
        _row("_save_state", SAVING, "2.13-", "saving: saved_by_walk"),
        _row("H5IOStore", SAVING_2_12, "2.12-2.12", "saving: saved_by_walk"),
        _row("H5IOStore", SAVING, "2.13-", "saving: saved_by_walk"),
        _row("saving_v3_enabled", SAVING_2_12, "2.12-2.12", "saving: keras_ending_is_legacy"),
        _row(
            "_layer_checkpoint_dependencies",
            FUNCTIONAL,
            "2.12-2.21",
            "weight_files.formats._model_config: _CONTAINERS; weights.comparing: _kinds; "
            "weights.matching.by_place: _LAYERS",
        ),
    ),
    "Training": (
        _row("_get_trainable_state", MODEL, "2.12-2.21", "training: respect_flags flags_are_compiled"),
        _row("_compiled_trainable_state", MODEL, "2.12-2.21", "training: respect_flags flags_are_compiled"),
        _row(
            "_compiled_trainable_state", MODEL, "3.15-", change="another use of the name, for a warning; not used here"
        ),
        _row("train_tf_function", MODEL, "2.12-2.21", "training: put_function"),
        _row("jax_state_sync", MODEL, "3.0-", "training: take_state_back", only="jax"),
        _row("_record_training_state_sharding_spec", MODEL, "3.0-3.11", "training: respect_flags", only="jax"),
        _row("_trainable_variable_shardings", MODEL, "3.0-3.11", "training: respect_flags", only="jax"),
        _row("_variable_shardings", MODEL, "3.0-3.11", "training: noted_for_flags", only="jax"),
    ),
    "Optimizers": (
        _row("_variables", OPTIMIZER, "2.12-", "training: _VARIABLES"),
        _row("_trainable_variables", OPTIMIZER, "3.0-", "training: _KNOWN"),
        _row("_trainable_variables_indices", OPTIMIZER, "3.0-", "training: _PLACES_3"),
        _row("_index_dict", OPTIMIZER, "2.12-2.21", "training: _PLACES_2"),
        _row("_model_variables_moving_average", OPTIMIZER, "2.12-", "training: AVERAGE"),
        _row("_built", OPTIMIZER, "2.12-2.21", "training: is_built _set_built"),
        _row("_var_key", OPTIMIZER, "2.12-", "training: known_variables _key"),
        _row("_tracker", OPTIMIZER, "3.0-", "training: hand_over _set"),
        _row("_update_step_xla", OPTIMIZER, "2.12-2.21", "training: hand_over"),
        _row("_descriptor_cache", UPDATE, "2.12-2.21", "training: hand_over"),
        _row("_slots", LEGACY, "2.12-2.21", "training: makes_slots_itself exchange_legacy_slots"),
        _row("_weights", LEGACY, "2.12-2.21", "training: exchange_legacy_slots"),
    ),
}

NAMES: tuple[Name, ...] = tuple(row for rows in SUBJECTS.values() for row in rows)
