"""Pickled dicts in `.npy` files, as suite2p's settings and Cascade's traces, without running code.

Such a file is a program that may call anything. The unpickler here knows numpy's arrays and the
containers of Python alone, and runs in a child process, as numpy's own pickles can crash.
"""

import io
import pickle
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..hdf5_arrays import Unreadable
from .arrays import FLUORESCENCE, choose

LARGEST_FILE = 1 << 30
"""Bytes; `ops.npy` holds a few images."""

_NUMPY = ("_reconstruct", "scalar", "ndarray", "dtype", "_frombuffer")
_BUILTINS = ("set", "frozenset", "slice", "range", "complex", "bytearray")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        root, *_ = module.split(".")
        if root == "numpy" and name in _NUMPY:
            # numpy 2 has renamed numpy.core, and its files are read by either.
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        if root == "numpy" and module == "numpy.dtypes":
            return super().find_class(module, name)
        if module in ("builtins", "__builtin__") and name in _BUILTINS:
            return super().find_class("builtins", name)
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if (module, name) == ("_codecs", "encode"):  # bytes, as Python 2 pickles them
            return _encode
        if module in ("pathlib", "pathlib._local") and name.endswith("Path"):
            return _path
        raise Unreadable(f"it holds {module}.{name}, which is code and not data")


def _encode(text, encoding="latin1"):
    return text.encode("latin1")


def _path(*parts):
    return "/".join(map(str, parts))


def read_header(file):
    """Shape, Fortran order and dtype of an open `.npy` file, which stands behind them then.

    Raises
    ------
    ValueError
        If there is no such header.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"version {version} of the format")


def load(path):
    """Child: the dict in an `.npy` file that `numpy.save` made of one."""
    if Path(path).stat().st_size > LARGEST_FILE:
        raise Unreadable(f"it is larger than {LARGEST_FILE >> 30} GiB")
    with Path(path).open("rb") as file:
        if not read_header(file)[2].hasobject:
            raise Unreadable("it is an array and no dict")
        loaded = _Unpickler(io.BytesIO(file.read())).load()
    if isinstance(loaded, np.ndarray) and loaded.shape == ():
        loaded = loaded.item()
    if not isinstance(loaded, dict):
        raise Unreadable("it holds Python objects; save an array of numbers, neurons x frames")
    return loaded


def parse_frame_rate(path):
    """Child: the `fs` in Hz of suite2p's settings, if there is one."""
    rate = load(path).get("fs")
    if rate is not None:
        yield "rate", np.asarray(rate, np.float64)


def parse_arrays(path, variable):
    """Child: the arrays of a recording in a pickled dict."""
    contents = load(path)
    arrays = {
        str(name): np.asarray(value)
        for name, value in contents.items()
        if isinstance(value, np.ndarray | np.number | float | int)
        and np.asarray(value).dtype.kind in "fiu"
    }
    if variable is None and not any(name.lower() in FLUORESCENCE for name in arrays):
        raise DataError(f"{path} holds a dict without traces; give an array, neurons x frames")
    chosen = choose(path, {name: array.shape for name, array in arrays.items()}, variable)
    yield "chosen", chosen
    for role, name in chosen.items():
        yield role, arrays[name]
