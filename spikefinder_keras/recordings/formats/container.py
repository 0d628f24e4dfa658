"""Containers: named arrays in a file, whatever its format; listed first, then read, in the sandbox.

A container knows nothing of what its arrays mean; the layouts do. `ArrayInfo` is all that the
sandbox says of an array before it is read: its shape and type, the attributes that say what its
numbers mean, and where the trials begin from which it is put together.
"""

import base64
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np

from ...arrays import Array, Numbers
from ...errors import DataError
from ...files.atomic import State, state_of
from ...files.npy import NpyFile
from ...files.sandbox import Job, parse
from ..recording import AnyTable, LazyTable, Rows, elementwise

LEVELS = 2
"""Groups or structs around an array that is offered as fluorescence; what lies deeper belongs to
somebody's program."""
MOST_PIECES = 10_000
"""A cell array of more cells is no list of trials."""
_NUMBERS = re.compile(r"[<>|=][fiub]\d+")
"""Types of real numbers and truth values, as numpy writes them."""

Scalar: TypeAlias = str | int | float | bool | None
"""An attribute that is one number or text; None stands for any other."""


@dataclass(frozen=True)
class ArrayInfo:
    """What is known of an array in a file before it is read.

    `dtype` is as numpy writes it. `dimensions`, their names, and `unit`, of time stamps, are known
    where the file tells them. `starts` are where along time the pieces begin of which it is put
    together, one for each trial; it is `assembled` then, or if it is one cell of a cell array.
    `text` is its value, if it is a single text.
    """

    shape: tuple[int, ...]
    dtype: str
    dimensions: tuple[str, ...] | None = None
    unit: str | None = None
    attributes: dict[str, Scalar] = field(default_factory=dict)
    starts: tuple[int, ...] = (0,)
    assembled: bool = False
    text: str | None = None

    @property
    def is_numeric(self) -> bool:
        """Whether it holds real numbers or truth values."""
        return bool(_NUMBERS.fullmatch(self.dtype))

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class GroupInfo:
    """A group of arrays, of which only the attributes are known."""

    attributes: dict[str, Scalar]


Info: TypeAlias = ArrayInfo | GroupInfo


def type_name(dtype: np.dtype[Any]) -> str:
    return dtype.str if dtype.kind in "fiub" else str(dtype)


def as_json(objects: Mapping[str, Info]) -> dict[str, dict[str, Any]]:
    """Objects for the way out of the sandbox; `_from_json` turns one back into the same."""
    return {name: asdict(info) for name, info in objects.items()}


def _from_json(values: dict[str, Any]) -> Info:
    if "shape" not in values:
        return GroupInfo(**values)
    values["shape"] = tuple(map(int, values["shape"]))
    values["starts"] = tuple(map(int, values["starts"]))
    if values["dimensions"] is not None:
        values["dimensions"] = tuple(map(str, values["dimensions"]))
    return ArrayInfo(**values)


@dataclass(frozen=True)
class Jobs:
    """What runs in the sandbox for a format, and the libraries that it needs.

    `listing(path, ...)` yields `objects`, see `as_json`, and what else its format has to say.
    `arrays(path, labels, large)` checks the arrays in `labels`, by name what messages call it, and
    yields those that are not in `large`. `rows(path, name, axis, numbers)` yields `rows`, see
    `recording.pick`; it is None where arrays can only be read as a whole.
    """

    listing: Job
    arrays: Job
    rows: Job | None = None
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Container:
    """The arrays and groups in a file, in its order, and how they are read.

    Tables of more bytes than `chunk` stay in the file. `state` is the file's when it was listed,
    None for a folder; `separator` stands between the parts of a name. `reverses`: the axes of what
    is stored are in the other order; `always_tables`: a vector is kept as a table of one row or
    column, as MATLAB does.
    """

    path: Path
    objects: dict[str, Info]
    jobs: Jobs
    chunk: int
    state: State | None
    separator: str = "."
    reverses: bool = False
    always_tables: bool = False

    @cached_property
    def arrays(self) -> dict[str, ArrayInfo]:
        return {name: o for name, o in self.objects.items() if isinstance(o, ArrayInfo)}

    @cached_property
    def groups(self) -> dict[str, GroupInfo]:
        """The groups alone; that of the file itself, where it has one, has no name."""
        return {name: o for name, o in self.objects.items() if isinstance(o, GroupInfo)}

    @property
    def shallow(self) -> dict[str, Info]:
        """What is not too deep inside to be offered as fluorescence."""
        return self.objects

    def read(self, labels: Mapping[str, str]) -> dict[str, AnyTable]:
        """Read arrays, all in one run of the sandbox; large tables stay in the file.

        `labels` are their names, and what messages call each. It raises `DataError` if the file has
        changed since it was listed, or an array is damaged, holds other things than real numbers or
        claims more than the file can hold.
        """
        # All are checked now, also those that are read later.
        large = [name for name in labels if self._stays(self.arrays[name])]
        found = self._parse(self.jobs.arrays, dict(labels), large) if labels else {}
        for name in labels:
            info = self.arrays[name]
            shape = info.shape[::-1] if self.reverses else info.shape
            if name in large:
                found[name] = LazyTable(shape, info.dtype, load=partial(self.rows, name))
            elif getattr(found.get(name), "shape", None) != shape:
                raise self._changed()
            if self.reverses:
                found[name] = found[name].T
            found[name] = decoded(found[name], info.attributes, is_netcdf=self._is_netcdf)
        self._check_unchanged()
        return found

    @property
    def _is_netcdf(self) -> bool:
        return "" in self.groups and "_NCProperties" in self.groups[""].attributes

    def rows(self, name: str, axis: int, numbers: Numbers) -> Rows:
        """Rows of a table as it is stored, see `recording.Loader`."""
        assert self.jobs.rows is not None
        values = self._parse(self.jobs.rows, name, axis, numbers.tolist())
        shape = self.arrays[name].shape
        length = shape[axis if self.reverses else 1 - axis]
        self._check_unchanged()
        if getattr(values.get("rows"), "shape", None) != (numbers.size, length):
            raise self._changed()
        # A copy, as the answer of the sandbox is a file that stays open while it is in use.
        return Rows(np.array(values["rows"]))

    def _parse(self, job: Job, *arguments: Any) -> dict[str, Any]:
        return parse(job, self.path, *arguments, libraries=self.jobs.libraries)

    def _stays(self, info: ArrayInfo) -> bool:
        if self.jobs.rows is None or info.assembled or not info.is_numeric:
            return False
        size = info.size * np.dtype(info.dtype).itemsize
        return is_table(info.shape) and size > self.chunk

    def _check_unchanged(self) -> None:
        if self.state is not None and state_of(self.path.stat()) != self.state:
            raise self._changed()

    def unreadable(self, reason: str) -> DataError:
        return DataError(f"{self.path} cannot be read: {reason}")

    def _changed(self) -> DataError:
        return DataError(f"{self.path} has changed while it was read; start again")


Kind = TypeVar("Kind", bound=Container)


def open_container(
    kind: type[Kind], path: Path, jobs: Jobs, chunk: int, *arguments: Any, **options: Any
) -> Kind:
    """List what a file holds. It raises `DataError` if the file is damaged, or was made to
    attack."""
    # Of a folder nothing tells quickly whether a file in it has changed.
    state = state_of(path.stat()) if path.is_file() else None
    values = parse(jobs.listing, path, *arguments, libraries=jobs.libraries)
    try:
        objects = {name: _from_json(info) for name, info in values.pop("objects").items()}
        return kind(path, objects, jobs, chunk, state, **options, **values)
    except (KeyError, TypeError, ValueError, AttributeError):  # the sandbox may have been taken
        raise DataError(f"{path} cannot be read: its parser failed") from None


def plain(name: str) -> str:
    """The last part of a name, in lower case without marks: `dff` of `data.dF_F` and `dF_F{2}`."""
    # Octave calls what a variable holds its value.
    last = re.split(r"[./]", re.sub(r"\{\d+\}$|[./]value$", "", name))[-1]
    return re.sub(r"[^a-z0-9]", "", last.lower())


def is_table(shape: Sequence[int]) -> bool:
    """Whether an array of this shape can be read by rows."""
    return len(shape) == 2 and min(shape) > 1


# What the attributes of netCDF's conventions say of stored numbers

NETCDF_FILL = 9.969209968386869e36
"""What netCDF's library writes where floats are missing and nobody names another number."""


def decoded(table: AnyTable, attributes: Mapping[str, Scalar], *, is_netcdf: bool) -> AnyTable:
    """The numbers that stored ones stand for: NaN for `_FillValue` and `missing_value`, all others
    times `scale_factor`, plus `add_offset`."""
    fills = [_fill_value(attributes.get(name)) for name in ("_FillValue", "missing_value")]
    fills += [NETCDF_FILL] if is_netcdf and table.dtype.kind == "f" else []
    fills = [fill for fill in fills if fill is not None and np.isfinite(fill)]
    factor, offset = (
        float(number) if isinstance(number, int | float) else default
        for number, default in (
            (attributes.get("scale_factor"), 1.0), (attributes.get("add_offset"), 0.0)
        )
    )  # fmt: skip
    scales = (factor, offset) != (1.0, 0.0)
    if not (fills or scales) or table.dtype.kind not in "fiu":
        return table
    # Single precision holds 24 bits: all of a camera's, not all of a time stamp's.
    small = table.dtype.kind != "f" and table.dtype.itemsize <= 2
    dtype = np.result_type(table.dtype if table.dtype.kind == "f" or small else np.float64, "f4")
    dtype = np.result_type(dtype, np.float64) if scales else dtype

    def decode(rows: Array) -> Array:
        values = rows.astype(dtype)
        for fill in fills:
            values[rows == rows.dtype.type(fill)] = np.nan
        return values * factor + offset if scales else values

    if not scales and isinstance(table, np.ndarray):
        lost = [(table == table.dtype.type(fill)).any() for fill in fills]
        if not any(lost):
            return table
    return elementwise(decode, table, dtype=dtype)


def _fill_value(value: Scalar) -> float | None:
    """A fill value as a number; xarray writes floats into Zarr as text of their bytes."""
    if isinstance(value, str):
        try:
            (value,) = struct.unpack("<d", base64.b64decode(value, validate=True))
        except (ValueError, struct.error):
            return None
    return None if value is None or isinstance(value, bool) else float(value)


# Recordings in pieces, one for each trial


class Cells:
    """Arrays that are put together from cells, or from a field of all structs of an array."""

    def __init__(self) -> None:
        self.objects: dict[str, Info] = {}
        self.values: dict[str, Any] = {}
        """Of what is put together: a list of pieces, one of them, or its values."""

    def add_cells(
        self,
        name: str,
        pieces: Sequence[Any],
        shapes: Sequence[tuple[int, ...]],
        table: tuple[int, ...] = (-1, 1),
    ) -> None:
        """List pieces that are all of numbers, and of which `shapes` are as MATLAB has them.

        Trials of a recording are one array, so is a number in each, in the shape of `table`; others
        go by their order.
        """
        if pieces and all(math.prod(shape) == 1 for shape in shapes):  # as `stat.iscell`
            numbers = np.array([float(np.ravel(piece[()])[0]) for piece in pieces]).reshape(table)
            self.keep(name, ArrayInfo(numbers.shape, numbers.dtype.str), numbers)
        elif joined := join(shapes):
            self.keep(name, replace(joined, dtype=pieces[0].dtype.str), list(pieces))
        else:
            for number, (shape, piece) in enumerate(zip(shapes, pieces, strict=True), 1):
                self.keep(f"{name}{{{number}}}", ArrayInfo(shape, piece.dtype.str), piece)

    def keep(self, name: str, info: ArrayInfo, value: Any) -> None:
        self.objects[name], self.values[name] = replace(info, assembled=True), value


def join(shapes: Sequence[Sequence[int]]) -> ArrayInfo | None:
    """Trials of these shapes as one recording, of a type to be stated; None if they are none.

    Vectors may be trials of one neuron or a neuron each; nobody can tell. Dimensions are known
    where trials are of different length.
    """
    if not shapes or any(len(shape) != 2 or min(shape) < 1 for shape in shapes):
        return None
    axis = _time_axis(shapes)
    lengths = [shape[axis] for shape in shapes]
    widths = {shape[1 - axis] for shape in shapes}
    if len(shapes) > 1 and (len(widths) != 1 or widths == {1}):
        return None
    shape, names = (sum(lengths), widths.pop()), ("frame", "neuron")
    if axis == 1:
        shape, names = shape[::-1], names[::-1]
    starts = tuple(sum(lengths[:k]) for k in range(len(lengths)))
    return ArrayInfo(shape, "", names if len(set(lengths)) > 1 else None, starts=starts)


def _time_axis(shapes: Sequence[Sequence[int]]) -> int:
    """The axis of trials along which time goes on: the one that differs, else the longer one."""
    # Trials differ in length, but all have the same neurons.
    for axis in (0, 1):
        if len({shape[axis] for shape in shapes}) > 1:
            return axis
    return 0 if shapes[0][0] > shapes[0][1] else 1


def assemble(value: Array | list[Array]) -> Array:
    """The array of what is listed as one: itself, or its pieces one after another."""
    if not isinstance(value, list):
        return value
    return np.concatenate(value, _time_axis([piece.shape for piece in value]))


# The simplest container, a single array, which needs no sandbox


def npy_table(file: NpyFile, chunk: int) -> AnyTable:
    """The array of an `.npy` file: in memory, or a `LazyTable` of more bytes than `chunk`."""
    return npy_rows(file) if is_table(file.shape) and file.nbytes > chunk else file.read()


def npy_rows(file: NpyFile) -> LazyTable:
    """The table in an `.npy` file, which stays there."""
    return LazyTable(
        file.shape, file.dtype, load=lambda axis, numbers: Rows(file.rows(axis, numbers))
    )
