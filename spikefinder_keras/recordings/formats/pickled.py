"""Pickled dicts in `.npy` files, as suite2p's settings and Cascade's traces, without running code.

Such a file is a program that may name any function and call it. Here nothing that it names is
looked up or imported: each name becomes a stand-in of this module. Those of numpy's arrays and
numbers keep what they are given, so that arrays of plain numbers can be built from it afterwards;
every other one is inert. It all runs in a child process, as a pickle can also ask for all memory.
"""

import io
import math
import pickle
import re
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...files.child import Unreadable
from .arrays import FLUORESCENCE, choose

LARGEST_FILE = 1 << 30
"""Bytes; `ops.npy` holds a few images."""

_NUMBERS = re.compile(r"[?bBhHiIlLqQefd]|[iufb][1248]")
"""Type codes of real numbers and truth values, as numpy pickles them."""


class _Inert:
    """What an unknown class or function of a pickle becomes: takes everything, does nothing."""

    def __new__(cls, *_arguments, **_options):
        return super().__new__(cls)

    def __init__(self, *_arguments, **_options):
        pass

    def __call__(self, *_arguments, **_options):
        return self

    def __setstate__(self, _state):
        pass

    def __setitem__(self, _key, _value):
        pass

    def append(self, _value):
        pass

    extend = add = update = append


class _DType(_Inert):
    """Of `numpy.dtype(code, align, copy)`; its state says the byte order."""

    def __init__(self, code="", *_):
        self.code, self.order = code, "="

    def __setstate__(self, state):
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.order = state[1]

    def plain(self):
        """The dtype, if it is one of numbers, else None."""
        known = isinstance(self.code, str) and _NUMBERS.fullmatch(self.code)
        return np.dtype(self.code).newbyteorder(self.order) if known else None


class _Array(_Inert):
    """Of `numpy.ndarray`: its shape, dtype and values as the pickle states them."""

    shape, dtype, fortran, values = (0,), None, False, ()

    def __setstate__(self, state):
        _version, self.shape, self.dtype, self.fortran, self.values = state

    def plain(self):
        """The array if it is one of numbers; its only value if it is a single object; else None."""
        dtype = self.dtype.plain() if isinstance(self.dtype, _DType) else None
        if dtype is None:
            single = self.shape == () and isinstance(self.values, list) and len(self.values) == 1
            return _plain(self.values[0]) if single else None
        return _numbers(self.values, dtype, self.shape, "F" if self.fortran else "C")


def _numbers(values, dtype, shape, order="C"):
    values = values.encode("latin1") if isinstance(values, str) else values  # as of Python 2
    if dtype.itemsize * math.prod(shape) != len(values):
        raise Unreadable(f"an array {shape} in it has {len(values)} bytes")
    return np.frombuffer(values, dtype).reshape(shape, order=order)


def _reconstruct(*_):
    return _Array()


def _scalar(dtype, values=b""):
    plain = dtype.plain() if isinstance(dtype, _DType) else None
    return _Inert() if plain is None else _numbers(values, plain, ())[()]


def _frombuffer(values, dtype, shape, order="C"):
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", bytes(values)))
    return array


def _encode(text, *_):
    """Of `_codecs.encode`, by which Python 2 and old protocols store bytes."""
    return text.encode("latin1")


def _no_bytes(*_):
    """Of `bytes`, by which old protocols store an empty one."""
    return b""


_STAND_INS = {
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encode,
    ("builtins", "bytes"): _no_bytes,
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): dict,
}
for _core in ("numpy.core", "numpy._core"):  # numpy 2 has renamed it
    _STAND_INS |= {
        (f"{_core}.multiarray", "_reconstruct"): _reconstruct,
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _frombuffer,
    }


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        """A stand-in by the exact pair of names; the default would import and look up."""
        return _STAND_INS.get((module, name), _Inert)


def _plain(value):
    return value.plain() if isinstance(value, _Array) else value


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
    """Child: the dict in an `.npy` file that `numpy.save` made of one.

    Returns
    -------
    dict
        Numbers, text, containers and arrays of numbers as they were; other arrays are None, all
        other objects without content.

    Raises
    ------
    Unreadable
        If the file is too large, or holds anything but a dict.
    """
    if Path(path).stat().st_size > LARGEST_FILE:
        raise Unreadable(f"it is larger than {LARGEST_FILE >> 30} GiB")
    with Path(path).open("rb") as file:
        if not read_header(file)[2].hasobject:
            raise Unreadable("it is an array and no dict")
        loaded = _plain(_Unpickler(io.BytesIO(file.read()), encoding="latin1").load())
    if not isinstance(loaded, dict):
        raise Unreadable("it holds Python objects; save an array of numbers, neurons x frames")
    return {name: _plain(value) for name, value in loaded.items()}


def parse_frame_rate(path):
    """Child: the `fs` in Hz of suite2p's settings, if there is one."""
    rate = load(path).get("fs")
    if rate is not None:
        yield "rate", np.asarray(rate, np.float64)


def parse_arrays(path, variable):
    """Child: the arrays of a recording in a pickled dict."""
    arrays = {
        str(name): np.asarray(value)
        for name, value in load(path).items()
        if isinstance(value, np.ndarray | np.number | float | int)
        and np.asarray(value).dtype.kind in "fiu"
    }
    if variable is None and not any(name.lower() in FLUORESCENCE for name in arrays):
        raise DataError(f"{path} holds a dict without traces; give an array, neurons x frames")
    chosen = choose(path, {name: array.shape for name, array in arrays.items()}, variable)
    yield "chosen", chosen
    for role, name in chosen.items():
        yield role, arrays[name]
