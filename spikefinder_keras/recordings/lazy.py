"""Tables that stay in their file, and how much of one is read at a time.

What is larger than the memory is read a few rows at a time: a chunk.
"""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import Array, Numbers, Table
from ..errors import UsageError
from ..files.regular import read_small
from .missing import NONE_MISSING, MissingCounts

CHUNK = 128 << 20
"""A recording is read, predicted and written in chunks of at most so many bytes: more gain nothing,
and would be lost with an interrupted run."""

SHARE = 8  # a chunk is at most such a part of the budget: two of it, its rates, and the work
LEAST = 64 << 20  # the least budget, in bytes
USUAL_MEMORY = 8 << 30  # bytes of a machine that does not say how much it has (Windows)
READ_ON = 4
"""Reading rows that lie between the wanted ones, up to so many times as many, is faster than to
jump from one to the next."""

_SIZE = re.compile(r"(\d+\.?\d*|\.\d+)\s*([kmgt]?)(i?b)?", re.IGNORECASE)
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Rows:
    """Rows of a table in memory, and what the reader of them found to be no data."""

    values: Array
    missing: MissingCounts = NONE_MISSING


Loader: TypeAlias = Callable[[int, Numbers], Rows]
"""Reads the rows with some increasing numbers along an axis (0 or 1): `(number, other axis)`."""


class LazyTable:
    """A table of numbers in a file; `axis` is along which axis of what is loaded the rows lie.

    It has what a reader asks of an array: `shape`, `dtype`, `ndim`, `size`, `T`. Values are read by
    `rows`; indexed as an array, it reads the columns that are asked for.
    """

    ndim = 2

    def __init__(
        self, shape: Sequence[int], dtype: DTypeLike, *, load: Loader, axis: int = 0
    ) -> None:
        rows, columns = shape
        self.shape, self.dtype = (int(rows), int(columns)), np.dtype(dtype)
        self._load, self._axis = load, axis

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def T(self) -> "LazyTable":
        return LazyTable(self.shape[::-1], self.dtype, load=self._load, axis=1 - self._axis)

    def load(self, numbers: Sequence[int] | Numbers) -> Rows:
        """Read the rows of these increasing numbers."""
        return self._load(self._axis, np.asarray(numbers, np.int64))

    def rows(self, numbers: Sequence[int] | Numbers) -> Array:
        """The values of the rows of these increasing numbers."""
        return self.load(numbers).values

    def keep(self, numbers: Numbers) -> "LazyTable":
        """The table of these rows alone, still in its file."""
        kept = np.asarray(numbers, np.int64)

        def load(axis: int, wanted: Numbers) -> Rows:
            if axis == 0:
                return self.load(kept[wanted])
            found = self.T.load(wanted)
            return Rows(found.values[:, kept], found.missing)

        return LazyTable((kept.size, self.shape[1]), self.dtype, load=load)

    def __getitem__(self, key: Any) -> Array:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        numbers = np.arange(self.shape[1])[columns]
        found = self.T.rows(np.atleast_1d(numbers)).T[rows]
        return found if np.ndim(numbers) else found[..., 0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(self.rows(np.arange(self.shape[0])), dtype)


AnyTable: TypeAlias = Table | LazyTable  # in memory or in its file


def elementwise(
    function: Callable[..., Array], *tables: AnyTable, dtype: DTypeLike | None = None
) -> AnyTable:
    """`function(*tables)`, of each value by itself: at once, or when rows are read where a table is
    in its file. All arrays are of one shape; `dtype` is the result's, by default the first
    table's."""
    return by_rows(lambda *rows: Rows(function(*rows)), *tables, dtype=dtype)


def by_rows(
    function: Callable[..., Rows], *tables: AnyTable, dtype: DTypeLike | None = None
) -> AnyTable:
    """As `elementwise`, of a function of whole rows that may find some of them to be no data."""
    if not any(isinstance(table, LazyTable) for table in tables):
        return function(*tables).values

    def load(axis: int, numbers: Numbers) -> Rows:
        loaded = [_load(table.T if axis else table, numbers) for table in tables]
        found = function(*(rows.values for rows in loaded))
        return Rows(found.values, sum((rows.missing for rows in loaded), found.missing))

    return LazyTable(tables[0].shape, dtype or tables[0].dtype, load=load)


def _load(table: AnyTable, numbers: Numbers) -> Rows:
    return table.load(numbers) if isinstance(table, LazyTable) else Rows(table[numbers])


def pick(array: Any, axis: int, numbers: Numbers) -> Array:
    """Rows `(number, other axis)` with increasing numbers, of anything that is indexed as an array
    of two axes: a mapped one, of HDF5 or of Zarr."""
    first, last = int(numbers[0]), int(numbers[-1]) + 1
    where: slice | list[int] = numbers.tolist()
    chosen: slice | Numbers = slice(None)
    if last - first <= READ_ON * numbers.size:
        where, chosen = slice(first, last), numbers - first
    array = getattr(array, "oindex", array)  # Zarr's, which takes lists of numbers
    found = np.asarray(array[where] if axis == 0 else array[:, where])
    return found[chosen] if axis == 0 else found[:, chosen].T


# How much memory a prediction may take


def parse_memory(text: str | None) -> int | None:
    """Bytes of a size such as `2GiB`, `500 MB` or `3g`; None for None. `UsageError` if it is no
    size, or too little to work in."""
    if text is None:
        return None
    match = _SIZE.fullmatch(str(text).strip())
    if match is None:
        raise UsageError(f"--memory {text}? give a size such as 2GiB or 500MB")
    # 2GB are powers of 1,000, 2GiB and 2G of 1,024, as `dd` has it.
    decimal = (match[3] or "").lower() == "b"
    unit = "kmgt".find(match[2].lower()) + 1 if match[2] else 0
    size = int(float(match[1]) * (1_000 if decimal else 1_024) ** unit)
    if size < LEAST:
        raise UsageError(f"--memory {text} is too little; give at least {LEAST >> 20}MiB")
    return size


def budget(memory: int | None = None) -> int:
    """Bytes that a prediction may take: as stated, else a quarter of the machine's."""
    return machine_memory() // 4 if memory is None else memory


def machine_memory() -> int:
    """Bytes of memory of this machine, or of the container that we are in."""
    found = []
    with suppress(AttributeError, ValueError, OSError):  # Windows does not say
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    # In a container the machine's memory is not what there is.
    for path in _LIMITS:
        with suppress(OSError, ValueError):
            found.append(int(read_small(path)))
    return min(found, default=USUAL_MEMORY)


def chunk_size(memory: int | None = None) -> int:
    """Bytes of a chunk within a budget in bytes."""
    return min(CHUNK, budget(memory) // SHARE)
