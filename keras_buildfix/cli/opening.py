"""Opens a saved model of somebody else's: no code in the file runs, and no module is imported because it names one.

Keras's ``safe_mode`` refuses the code of lambdas in a ``.keras`` file only. Before Keras 3.9 it also imports
the modules that the config in the file names, in ``safe_mode`` too (measured on 2.12, 2.15, tf_keras 2.16, 3.0 and 3.2,
and read in the source of 3.6 to 3.8). So the config is read here
first, and what it names must be Keras's own or what the user has given.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

#: A larger config is not read. One of a model of 1,000 layers takes about 1 MB.
_LARGEST_CONFIG = 64 << 20

#: The packages that are Keras, and what of them a config may name: ``keras.layers``, ``keras.src.layers.core.dense``.
_KERAS = ("keras", "tf_keras")
_OF_FUNCTIONS = frozenset(("activations", "constraints", "initializers", "losses", "metrics", "ops", "regularizers"))
_PARTS = frozenset(
    (
        *_OF_FUNCTIONS,
        "dtype_policies",
        "engine",
        "layers",
        "mixed_precision",
        "models",
        "optimizers",
        "quantizers",
        "random",
    )
)

_OWN_CODE = "If you trust the file, load it in a .py file of yours and name that here: inspect mine.py:make_model"

#: Keras's classes that run code or read files which the config names -> what they would do.
_REFUSED = {
    "Lambda": "runs Python code that is in the file, or a function that it names. Write it as a layer class",
    "__lambda__": "is Python code that is in the file. Write it as a function with a name, and pass that with --custom",
    "TFSMLayer": "loads a graph from a path that the file names",
    "TorchModuleWrapper": "unpickles a torch module that is in the file, which can run any code",
    "JaxLayer": "runs a function that the file names",
    "FlaxLayer": "runs a module that the file names",
}

#: Layers that read their vocabulary from a path if it is a text.
_WITH_VOCABULARY = ("StringLookup", "IntegerLookup", "IndexLookup", "TextVectorization")

#: Keras 2 saves `x + y` in a functional model as a layer that calls a function of TensorFlow by name.
_TF_CALLS = (
    "TFOpLambda",
    "SlicingOpLambda",
    "ClassMethod",
    "InstanceMethod",
    "InstanceProperty",
    "TFClassMethodDispatcher",
)
_TF_PARTS = (
    "__operators__",
    "math",
    "nn",
    "linalg",
    "image",
    "signal",
    "random",
    "keras",
    "strings",
    "sparse",
    "bitwise",
)
_TF_NOT = ("py_function", "numpy_function", "py_func", "load_op_library", "load_library", "print", "function")


def open_model(path: str, custom: Mapping[str, Any], keras: ModuleType) -> Any:
    """Opens a ``.keras`` or ``.h5`` file as a model of `keras`; the model is not compiled.

    Raises:
        ValueError: If it is no such file, is broken, names what it must not, or if this Keras can't open it.
    """
    from keras_buildfix import keras_info, read_weights

    config = _config_in(path)
    _check_config(path, config, custom, keras)
    with read_weights(path):  # refuses a file that lies about its sizes, or leads to other files
        pass
    try:
        # The scope, because 3.0 does not hand `custom_objects` on to the layers in a .h5 file.
        with _no_import_of(_modules_in(config)), keras.utils.custom_object_scope(dict(custom)):
            return keras.models.load_model(path, custom_objects=dict(custom), compile=False, safe_mode=True)
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [""]
        raise ValueError(
            f"{path} can't be opened by {keras_info(keras)}: {type(error).__name__}: {lines[0][:300]} (If it needs "
            "your own classes or functions, name each: --custom package.module:Class.)"
        ) from error


def _config_in(path: str) -> Any:
    """The config of the model in a file, as JSON gives it."""
    if os.path.isdir(path):
        what = "a SavedModel" if os.path.exists(os.path.join(path, "saved_model.pb")) else "a folder"
        raise ValueError(
            f"{path} is {what}: only .keras and .h5 files are opened here. A SavedModel has graphs in place of layers. "
            f"{_OWN_CODE}."
        )
    with open(path, "rb") as file:
        start = file.read(8)
    if start[:4] == b"PK\x03\x04":
        text = _config_in_zip(path)
    elif start == b"\x89HDF\r\n\x1a\n":
        text = _config_in_hdf5(path)
    else:
        raise ValueError(
            f"{path} is no saved model: it is neither a zip, as .keras files are, nor HDF5, as .h5 files are."
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: its config is no JSON ({type(error).__name__}: {error}).") from None


def _config_in_zip(path: str) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename == "config.json"]
            if len(members) == 1 and members[0].file_size <= _LARGEST_CONFIG and not members[0].flag_bits & 1:
                with archive.open(members[0]) as member:
                    return member.read(_LARGEST_CONFIG)
    except Exception as error:  # zipfile raises many kinds of errors on broken input
        raise ValueError(f"{path} is cut off or damaged ({type(error).__name__}: {error}).") from None
    raise ValueError(f"{path} is no saved model: it has {len(members)} config.json that could be one; a model has one.")


def _config_in_hdf5(path: str) -> bytes:
    try:
        import h5py
    except ModuleNotFoundError:
        raise ModuleNotFoundError("reading a .h5 file needs h5py: pip install h5py.", name="h5py") from None
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
    except Exception as error:
        raise ValueError(f"{path} is cut off or damaged ({type(error).__name__}: {error}).") from None
    if text is None:
        raise ValueError(
            f"{path} has weights and no model: save the whole model with model.save(...), or look at the weights with "
            f"`keras-buildfix weights show {path}`."
        )
    return text.encode() if isinstance(text, str) else bytes(text)


def _dicts_in(config: Any) -> Iterator[dict[str, Any]]:
    """All dicts in a config, but for what is only needed to compile the model, which is not done."""
    if isinstance(config, dict):
        config = {key: value for key, value in config.items() if key != "compile_config"}
    waiting = [config]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def _modules_in(config: Any) -> set[str]:
    named = (each.get("module") for each in _dicts_in(config))
    return {name for name in named if isinstance(name, str)}


def _check_config(path: str, config: Any, custom: Mapping[str, Any], keras: ModuleType) -> None:
    """Raises a ValueError if a config names code that is neither Keras's nor the user's."""
    for each in _dicts_in(config):
        cls, inner = each.get("class_name"), each.get("config")
        if not isinstance(cls, str):
            if cls is not None and each.get("module") is not None:
                raise ValueError(f"{path}: the class {cls!r} in its config is no name.")
            continue
        name = re.split("[>.]", cls)[-1]
        what = inner.get("name") if isinstance(inner, dict) else None
        place = f"{path}: the layer {what!r} is a {cls}" if isinstance(what, str) else f"{path} has a {cls}"
        if name in _REFUSED:
            raise ValueError(f"{place}, which {_REFUSED[name]}. {_OWN_CODE}.")
        if name in _WITH_VOCABULARY and isinstance(inner, dict) and isinstance(inner.get("vocabulary"), str):
            raise ValueError(f"{place}, which reads {inner['vocabulary']!r} from this machine. {_OWN_CODE}.")
        if name in _TF_CALLS and not _is_harmless(inner):
            raise ValueError(
                f"{place}, which calls a function of TensorFlow that may do more than compute. {_OWN_CODE}."
            )
        if each.get("module") is not None:
            _check_module(path, each, custom, keras)


def _is_harmless(config: Any) -> bool:
    """Whether a call of TensorFlow in a Keras 2 config is of a function that only computes."""
    function = config.get("function", config.get("cls_ref", "")) if isinstance(config, dict) else None
    if not isinstance(function, str):
        return False
    first, dot, _ = function.partition(".")
    return first in _TF_PARTS if dot else first not in _TF_NOT


def _check_module(path: str, each: dict[str, Any], custom: Mapping[str, Any], keras: ModuleType) -> None:
    module, cls, registered = str(each["module"]), str(each["class_name"]), each.get("registered_name")
    function = cls == "function"
    name = str(each.get("config")) if function else cls
    if _is_known(name if function else registered, custom, keras):
        return  # Keras takes this one, and looks at no module
    package, _, rest = module.partition(".")
    if package in _KERAS:
        parts = {*rest.split(".")}
        fine = parts & _OF_FUNCTIONS if function else name.lstrip("_")[:1].isupper() and (not rest or parts & _PARTS)
        if fine:
            return
    elif function and module == "builtins" and not hasattr(importlib.import_module("builtins"), name):
        return  # a function of Keras by its name, or none: then Keras says so
    raise ValueError(
        f"{path} names {name!r} of the module {module!r}, which is not Keras's: it is not imported because a file says "
        f"so. If you trust that module, pass --custom {module}:{name}"
    )


def _is_known(name: object, custom: Mapping[str, Any], keras: ModuleType) -> bool:
    """Whether Keras finds an object by this name among those that the user gave or registered."""
    return isinstance(name, str) and (name in custom or name in keras.utils.get_custom_objects())


class _Refuses(importlib.abc.MetaPathFinder):
    """Stands before Python's finders, and lets none of these packages be imported."""

    def __init__(self, packages: set[str]) -> None:
        self.packages = packages

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"{fullname} is not imported because a file says so.", name=fullname)


@contextlib.contextmanager
def _no_import_of(modules: set[str]) -> Iterator[None]:
    """A block in which no package of these modules can be imported, except for those that are there already."""
    finder = _Refuses({name.partition(".")[0] for name in modules} - {*sys.modules})
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
