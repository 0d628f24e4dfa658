"""The containers that SciPy reads: MATLAB's `.mat` of version 5 (that of version 7.3 is HDF5) and
NetCDF 3; and Octave's text.

Structs are looked into two levels deep, and a cell array with a matrix for each trial is one array.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...arrays import Array
from ...files.sandbox import check_size, sandboxed
from .container import (
    LEVELS,
    MOST_PIECES,
    ArrayInfo,
    Cells,
    GroupInfo,
    Info,
    Jobs,
    Scalar,
    as_json,
    assemble,
    plain,
)

_WHOLE_NUMBERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_TYPES = {"double": "<f8", "single": "<f4", "logical": "|u1", "sparse": "<f8"}
_TYPES |= {name: np.dtype(name).str for name in _WHOLE_NUMBERS}
"""MATLAB's classes of numbers."""
VERSION_5 = (b"\x00\x01IM", b"\x01\x00MI")
"""The last bytes of the header of 128 bytes."""
_OBJECTS = ("table", "timetable")
"""MATLAB's classes that may hold traces, but nobody else can read."""
_STRUCTURES = ("struct", "cell")
"""MATLAB's classes that hold others."""
ALWAYS = ("ops",)
"""Structs that are always looked into: this has the frame rate in suite2p's Fall.mat."""


@sandboxed
def parse_objects(path: str, variable: str | None, enough: list[str]) -> Iterator[tuple[str, Any]]:
    """The arrays of numbers, those in structs and cells included.

    To look into structs they must be loaded, which takes long where they hold an image for each
    ROI. So it is left out, but for those in `ALWAYS`, where the arrays beside them suffice: one has
    a name in `enough`, plain as `container.plain` makes it, and `variable` is one of them if given.
    """
    listing = _list_variables(path)
    arrays: dict[str, Info] = {
        name: ArrayInfo(shape, _TYPES[kind])
        for name, (shape, kind) in listing.items()
        if kind in _TYPES
    }
    arrays |= {
        name: ArrayInfo((), "object", attributes={"MATLAB_class": kind})
        for name, (_, kind) in listing.items()
        if kind in _OBJECTS
    }
    structures = [name for name, (_, kind) in listing.items() if kind in _STRUCTURES]
    # As in Fall.mat of suite2p, whose struct stat has the pixels of each ROI.
    suffices = any(plain(name) in enough for name in arrays)
    if suffices and (variable is None or variable in arrays):
        structures = [name for name in structures if name in ALWAYS]
    yield "objects", as_json(arrays | _look_inside(path, structures).objects)


@sandboxed
def parse_arrays(
    path: str, labels: Mapping[str, str], large: Sequence[str]
) -> Iterator[tuple[str, Array]]:
    from scipy.io import loadmat

    stored = Path(path).stat().st_size
    listing = _list_variables(path)
    # A variable of its own is read alone, all others with the struct or cell array they are in.
    within = [name for name in labels if listing.get(name, (None, ""))[1] not in _TYPES]
    structures = [
        each
        for each in listing
        if any(f"{name}.".startswith((f"{each}.", f"{each}{{")) for name in within)
    ]
    inside = _look_inside(path, structures)
    for name in labels:
        if name in within:
            yield name, assemble(inside.values[name])
            continue
        # Before it is loaded: the header states the size, compressed bytes may be few.
        shape, kind = listing[name]
        check_size(name, shape, np.dtype(_TYPES[kind]).itemsize, stored)
        value = loadmat(path, variable_names=[name])[name]
        yield name, value.toarray() if kind == "sparse" else value


JOBS = Jobs(parse_objects, parse_arrays, libraries=("scipy.io",))


@sandboxed
def _list_variables(path: str) -> dict[str, tuple[tuple[int, ...], str]]:
    from scipy.io import whosmat

    try:
        listed = whosmat(path)
    except TypeError:  # what it says of an object, which has no shape
        listed = _list_one_by_one(path)
    return {
        name: (tuple(map(int, shape)), kind)
        for name, shape, kind in listed
        if not name.startswith("__")  # where MATLAB keeps what objects hold
    }


@sandboxed
def _list_one_by_one(path: str) -> list[tuple[str, tuple[int, ...], str]]:
    """As SciPy's `whosmat`, of a file with objects, which have their class."""
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import varmats_from_mat

    listed: list[tuple[str, tuple[int, ...], str]] = []
    with Path(path).open("rb") as file:
        for _, stream in varmats_from_mat(file):
            try:
                listed += whosmat(stream)
            except TypeError:
                stream.seek(0)
                found = loadmat(stream).items()
                name, value = next(each for each in found if isinstance(each[1], np.ndarray))
                record = np.ravel(value)[0]
                if "s0" in (value.dtype.names or ()):  # before SciPy 1.18
                    name, kind = record["s0"].decode(), record["s2"].decode()
                else:
                    kind = str(record["_Class"])
                listed.append((name, (), kind))
    return listed


@sandboxed
def _look_inside(path: str, structures: Sequence[str]) -> "_Inside":
    """What some structs and cell arrays hold."""
    from scipy.io import loadmat

    inside = _Inside(Path(path).stat().st_size)
    if structures:
        for name, value in loadmat(path, variable_names=list(structures)).items():
            if name in structures:
                inside.add(value, name, depth=0)
    return inside


class _Inside(Cells):
    """The arrays in structs and cell arrays, which are in memory."""

    def __init__(self, stored: int) -> None:
        super().__init__()
        self._stored = stored

    def add(self, value: Any, name: str, *, depth: int) -> None:
        if not isinstance(value, np.ndarray):  # objects and functions of MATLAB
            return
        if value.dtype.names and depth <= LEVELS:
            for key in value.dtype.names:
                self._add_pieces(value[key], f"{name}.{key}", depth=depth)
        elif value.dtype == object and value.size <= MOST_PIECES:
            self._add_pieces(value, name, depth=depth)
        elif value.dtype.kind in "fiub" and depth > 0:
            self.keep(name, ArrayInfo(value.shape, value.dtype.str), value)

    def _add_pieces(self, cells: Array, name: str, *, depth: int) -> None:
        """List the cells of a cell array, or what stands in a field of all structs of an array."""
        pieces = [piece for piece in np.ravel(cells) if isinstance(piece, np.ndarray)]
        # scipy wraps a lone struct or matrix in an array of one object.
        if len(pieces) == 1:
            self.add(pieces[0], name, depth=depth + 1)
        elif all(piece.dtype.kind in "fiub" for piece in pieces):
            is_table = sum(size > 1 for size in cells.shape) > 1 and len(pieces) == cells.size
            shapes = [piece.shape for piece in pieces]
            self.add_cells(name, pieces, shapes, cells.shape if is_table else (-1, 1))
        elif depth <= LEVELS and all(piece.dtype.names for piece in pieces):
            structs = [struct for piece in pieces for struct in piece.ravel()]
            for key in pieces[0].dtype.names:
                if all(key in piece.dtype.names for piece in pieces):
                    inner = np.empty(len(structs), object)
                    inner[:] = [struct[key] for struct in structs]
                    self._add_pieces(inner, f"{name}.{key}", depth=depth + 1)

    def keep(self, name: str, info: ArrayInfo, value: Any) -> None:
        if isinstance(value, np.ndarray):
            check_size(name, value.shape, value.dtype.itemsize, self._stored)
        super().keep(name, info, value)


# NetCDF 3

NETCDF = (b"CDF\x01", b"CDF\x02", b"CDF\x05")


@sandboxed
def parse_netcdf_objects(path: str) -> Iterator[tuple[str, Any]]:
    from scipy.io import netcdf_file

    objects: dict[str, Info] = {"": GroupInfo({"_NCProperties": "3"})}
    with netcdf_file(path, mmap=False) as file:
        for name, variable in file.variables.items():
            attributes = {key: _scalar(value) for key, value in variable._attributes.items()}
            unit = attributes.get("units")
            objects[name] = ArrayInfo(
                tuple(map(int, variable.shape)),
                np.dtype(variable.data.dtype).newbyteorder("=").str,
                tuple(variable.dimensions) or None,
                unit=unit if isinstance(unit, str) else None,
                attributes=attributes,
            )
    yield "objects", as_json(objects)


@sandboxed
def parse_netcdf_arrays(
    path: str, labels: Mapping[str, str], large: Sequence[str]
) -> Iterator[tuple[str, Array]]:
    from scipy.io import netcdf_file

    with netcdf_file(path, mmap=False) as file:
        for name in labels:
            yield name, np.array(file.variables[name].data)


def _scalar(value: Any) -> Scalar:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    number = np.ravel(value)
    return number[0].item() if number.size == 1 and number.dtype.kind in "fiu" else None


NETCDF_JOBS = Jobs(parse_netcdf_objects, parse_netcdf_arrays, libraries=("scipy.io",))

# Octave's text

OCTAVE = b"# Created by Octave"
_VARIABLE = re.compile(
    r"^# name: (\S+)\n# type: (?:scalar|matrix|(?:u?int\d+|float) (?:scalar|matrix))\n"
    r"(?:# rows: (\d+)\n# columns: (\d+)\n)?([^#]*)",
    re.MULTILINE,
)


@sandboxed
def parse_octave_objects(path: str) -> Iterator[tuple[str, Any]]:
    arrays = _octave(path)
    yield "objects", as_json({name: ArrayInfo(a.shape, a.dtype.str) for name, a in arrays.items()})


@sandboxed
def parse_octave_arrays(
    path: str, labels: Mapping[str, str], large: Sequence[str]
) -> Iterator[tuple[str, Array]]:
    arrays = _octave(path)
    yield from ((name, arrays[name]) for name in labels)


@sandboxed
def _octave(path: str) -> dict[str, Array]:
    """The scalars and matrices in a file of Octave's text."""
    text = Path(path).read_text(errors="replace").replace("\r\n", "\n")
    found = {}
    for name, rows, columns, body in _VARIABLE.findall(text):
        values = np.array(body.replace("NA", "nan").split(), np.float64)
        shape = (int(rows), int(columns)) if rows else (1, 1)
        found[name] = values.reshape(shape)
    return found


OCTAVE_JOBS = Jobs(parse_octave_objects, parse_octave_arrays)
