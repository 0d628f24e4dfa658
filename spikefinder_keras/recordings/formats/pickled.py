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
from ...files.npy import read_header
from ...files.sandbox import Unreadable
from .array_names import UNITS, plain
from .chosen import parse_chosen
from .named_arrays import Found, listed

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


def parse_settings(folder, paths):
    """Child: what suite2p's settings say that a recording needs, from the first file that says it.

    `fs` in Hz, and `fs of` which file; `share` of the neuropil; `badframes`, a truth value for each
    frame; `folders`, the number of frames in each; `failed`, files that cannot be read and why.
    """
    found, failed = {}, []
    for path in paths:
        try:
            settings = load(path)
        except Unreadable as error:
            failed.append([path, str(error)])
            continue
        except (Exception, RecursionError) as error:  # whatever a damaged pickle makes of it
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
            failed.append([path, f"it is damaged, or of a kind not known here ({reason})"])
            continue
        if "fs" in settings and "fs of" not in found:
            found["fs of"] = path
        for role, keys in _SETTINGS.items():
            for key in keys:
                value = _numbers_of(settings, key)
                if value is not None:
                    found.setdefault(role, value)
    yield "failed", failed
    yield from found.items()


_SETTINGS = {
    "fs": (("fs",),),
    "share": (("extraction", "neuropil_coefficient"), ("neucoeff",)),
    "badframes": (("badframes",),),
    "folders": (("frames_per_folder",), ("nframes_per_folder",)),
}


def _numbers_of(settings, keys):
    """The numbers under nested keys, as an array; None if there are none."""
    value = settings
    for key in keys:
        value = _plain(value.get(key)) if isinstance(value, dict) else None
    if isinstance(value, list | tuple | int | float | np.ndarray | np.generic):
        try:
            array = np.asarray(value, np.float64)
        except (TypeError, ValueError, OverflowError):
            return None
        return array if array.size <= _MOST_NUMBERS else None
    return None


_MOST_NUMBERS = 100_000_000


def parse_arrays(path, variable):
    """Child: the arrays of a recording in a pickled dict, or in dicts in it."""
    arrays = dict(_arrays("", load(path), 0))
    shapes = {name: Found(array.shape) for name, array in arrays.items()}
    if variable is None and not any(plain(name) in UNITS for name in arrays):
        raise DataError(
            f"{path} holds a dict without traces (it has {listed(shapes) or 'no arrays'}); give an "
            "array, neurons x frames, or name one (--variable)"
        )
    yield from parse_chosen(path, shapes, variable, arrays.__getitem__)


def _arrays(prefix, contents, depth):
    for name, value in contents.items():
        value = _plain(value)
        if isinstance(value, dict) and depth < 2:
            yield from _arrays(f"{prefix}{name}.", value, depth + 1)
        elif isinstance(value, np.ndarray | np.number | float | int) and (
            np.asarray(value).dtype.kind in "fiub"
        ):
            yield f"{prefix}{name}", np.asarray(value)
