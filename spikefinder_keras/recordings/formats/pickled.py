"""Pickled dicts in `.npy` files, as suite2p's settings and Cascade's traces, without running code.

Such a file is a program that may name any function and call it. Here nothing that it names is
looked up or imported: each name becomes a stand-in of this module. Those of numpy's arrays and
numbers keep what they are given, so that arrays of plain numbers can be built from it afterwards;
every other one is inert. It all runs in the sandbox, as a pickle can also ask for all memory.
"""

import io
import math
import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...arrays import Array
from ...files.npy import read_header
from ...files.sandbox import Unreadable, parse, sandboxed
from .container import LEVELS, ArrayInfo, Jobs, as_json

LARGEST_FILE = 1 << 30
"""Larger files, in bytes, are refused: `ops.npy` holds a few images."""
MOST_NUMBERS = 100_000_000
"""A list of settings with more numbers is none."""
_NUMBERS = re.compile(r"[?bBhHiIlLqQefd]|[iufb][1248]")
"""Type codes of real numbers and truth values, as numpy pickles them."""


class _Inert:
    """What an unknown class or function of a pickle becomes: takes everything, does nothing."""

    def __new__(cls, *_arguments: Any, **_options: Any) -> "_Inert":
        return super().__new__(cls)

    def __call__(self, *_arguments: Any, **_options: Any) -> "_Inert":
        return self

    def _ignore(self, *_arguments: Any, **_options: Any) -> None:
        pass

    __init__ = __setstate__ = __setitem__ = append = extend = add = update = _ignore


class _DType(_Inert):
    """Of `numpy.dtype(code, align, copy)`; its state says the byte order."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.order = state[1]

    def plain(self) -> np.dtype[Any] | None:
        """The dtype, if it is one of numbers, else None."""
        known = isinstance(self.code, str) and _NUMBERS.fullmatch(self.code)
        return np.dtype(self.code).newbyteorder(self.order) if known else None


class _Array(_Inert):
    """Of `numpy.ndarray`: its shape, dtype and values as the pickle states them."""

    shape: Any = (0,)
    dtype: Any = None
    fortran: Any = False
    values: Any = ()

    def __setstate__(self, state: Any) -> None:
        _version, self.shape, self.dtype, self.fortran, self.values = state

    def plain(self) -> Any:
        """The array if it is one of numbers; its only value if it is a single object; else None."""
        dtype = self.dtype.plain() if isinstance(self.dtype, _DType) else None
        if dtype is None:
            single = self.shape == () and isinstance(self.values, list) and len(self.values) == 1
            return _plain(self.values[0]) if single else None
        return _numbers(self.values, dtype, self.shape, "F" if self.fortran else "C")


def _numbers(values: Any, dtype: np.dtype[Any], shape: Any, order: Any = "C") -> Array:
    values = values.encode("latin1") if isinstance(values, str) else values  # as of Python 2
    if dtype.itemsize * math.prod(shape) != len(values):
        raise Unreadable(f"an array {shape} in it has {len(values)} bytes")
    return np.frombuffer(values, dtype).reshape(shape, order=order)


def _scalar(dtype: Any, values: Any = b"") -> Any:
    plain = dtype.plain() if isinstance(dtype, _DType) else None
    return _Inert() if plain is None else _numbers(values, plain, ())[()]


def _frombuffer(values: Any, dtype: Any, shape: Any, order: Any = "C") -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", bytes(values)))
    return array


_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): _Array,
    # Old protocols store bytes as text to encode, none as `bytes` called without any.
    ("_codecs", "encode"): lambda text, *_: text.encode("latin1"),
    ("builtins", "bytes"): lambda *_: b"",
    ("__builtin__", "bytes"): lambda *_: b"",
    ("collections", "OrderedDict"): dict,
}
for _core in ("numpy.core", "numpy._core"):  # numpy 2 has renamed it
    _STAND_INS |= {
        (f"{_core}.multiarray", "_reconstruct"): lambda *_: _Array(),
        (f"{_core}.multiarray", "scalar"): _scalar,
        (f"{_core}.numeric", "_frombuffer"): _frombuffer,
    }


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A stand-in by the exact pair of names; the default would import and look up."""
        return _STAND_INS.get((module, name), _Inert)


def _plain(value: Any) -> Any:
    return value.plain() if isinstance(value, _Array) else value


@sandboxed
def _load(path: Path | str) -> Any:
    if Path(path).stat().st_size > LARGEST_FILE:
        raise Unreadable(f"it is larger than {LARGEST_FILE >> 30} GiB")
    with Path(path).open("rb") as file:
        # Without objects numpy has written no pickle.
        if not read_header(file)[2].hasobject:
            raise Unreadable("it is an array and no dict")
        return _Unpickler(io.BytesIO(file.read()), encoding="latin1").load()


@sandboxed
def load(path: Path | str) -> dict[Any, Any]:
    """The dict in an `.npy` file that `numpy.save` made of one; `Unreadable` if it is none.

    Numbers, text, containers and arrays of numbers are as they were; other arrays are None, all
    other objects without content.
    """
    loaded = _plain(_load(path))
    if not isinstance(loaded, dict):
        raise Unreadable("it holds Python objects; save an array of numbers, neurons x frames")
    return {name: _plain(value) for name, value in loaded.items()}


@sandboxed
def parse_objects(path: str) -> Iterator[tuple[str, Any]]:
    """The arrays of numbers in a dict, and in dicts in it."""
    arrays = _arrays("", load(path), 0)
    yield "objects", as_json({name: ArrayInfo(a.shape, a.dtype.str) for name, a in arrays})


@sandboxed
def parse_arrays(
    path: str, labels: Mapping[str, str], large: Sequence[str]
) -> Iterator[tuple[str, Array]]:
    arrays = dict(_arrays("", load(path), 0))
    yield from ((name, arrays[name]) for name in labels)


JOBS = Jobs(parse_objects, parse_arrays)


def _arrays(prefix: str, contents: dict[Any, Any], depth: int) -> Iterator[tuple[str, Array]]:
    for name, value in contents.items():
        value = _plain(value)
        if isinstance(value, dict) and depth < LEVELS:
            yield from _arrays(f"{prefix}{name}.", value, depth + 1)
        elif isinstance(value, np.ndarray | np.number | float | int):
            array = np.asarray(value)
            if array.dtype.kind in "fiub":
                yield f"{prefix}{name}", array


# What suite2p says of its ROIs


def read_pixels(path: Path) -> list[Array]:
    """The pixels of each ROI in `stat.npy`: x, y and weight, `(pixel, 3)`. `DataError` if the file
    is damaged."""
    found = parse(parse_pixels, path)
    return np.split(found["pixels"], found["ends"][:-1])


@sandboxed
def parse_pixels(path: str) -> Iterator[tuple[str, Array]]:
    rois = getattr(_load(path), "values", None)
    if not isinstance(rois, list) or not rois or not all(isinstance(roi, dict) for roi in rois):
        raise Unreadable("it holds no list of ROIs")
    each = [
        np.stack([np.ravel(_plain(roi[key])) for key in ("xpix", "ypix", "lam")], axis=1)
        for roi in rois
    ]
    yield "pixels", np.concatenate(each).astype(np.float64)
    yield "ends", np.cumsum([len(pixels) for pixels in each])


# Settings, which stand in several files


def read_numbers(
    paths: Sequence[Path], wanted: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Array], dict[str, Path], dict[Path, str]]:
    """Numbers in pickled dicts of one folder, each from the first file that has it.

    `wanted` are, by a name of yours, the keys under which numbers may stand, with dots where dicts
    are nested. Returned are what was found, where, and of files that cannot be read why.
    """
    if not paths:
        return {}, {}, {}
    values = parse(parse_numbers, paths[0].parent, list(map(str, paths)), dict(wanted))
    return (
        {name: values[name] for name in wanted if name in values},
        {name: Path(path) for name, path in values["sources"].items()},
        {Path(path): why for path, why in values["failed"].items()},
    )


@sandboxed
def parse_numbers(
    folder: str, paths: Sequence[str], wanted: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Any]]:
    found: dict[str, Array] = {}
    sources: dict[str, str] = {}
    failed: dict[str, str] = {}
    for path in paths:
        try:
            settings = load(path)
        except Unreadable as error:
            failed[path] = str(error)
            continue
        except (Exception, RecursionError) as error:  # whatever a damaged pickle makes of it
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
            failed[path] = f"it is damaged, or of a kind not known here ({reason})"
            continue
        for name, keys in wanted.items():
            # In the order of the keys: that of the newest version goes first.
            values = [_numbers_under(settings, key.split(".")) for key in keys]
            there = [each for each in values if each is not None]
            if there and name not in found:
                found[name], sources[name] = there[0], path
    yield "failed", failed
    yield "sources", sources
    yield from found.items()


def _numbers_under(settings: Any, keys: Sequence[str]) -> Array | None:
    """The numbers under nested keys, as an array; None if there are none."""
    value = settings
    for key in keys:
        value = _plain(value.get(key)) if isinstance(value, dict) else None
    if not isinstance(value, list | tuple | int | float | np.ndarray | np.generic):
        return None
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):  # ragged, text, or endless
        return None
    return array if array.size <= MOST_NUMBERS else None
