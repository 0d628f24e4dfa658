"""Arrays in numpy's `.npy` files, read and written by ordinary calls, and in `.npz`, zips of them.

They are not mapped into memory: where a file has become shorter, a drive has gone or a disk is
full, the system ends a program that touches such memory, while a call fails with an error.
"""

import math
import os
import zipfile
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import Array, Numbers
from ..errors import DataError
from .atomic import State, open_ordinary, state_of
from .sandbox import Unreadable, check_size, parse, sandboxed

NPY = b"\x93NUMPY"
"""How a `.npy` file begins."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy writes. Of bz2 and lzma, zipfile unpacks a whole block at once, which can be gigabytes
from kilobytes."""

_BLOCK = 64 << 20
"""Bytes that are read at a time where rows lie across the file: reading them one by one would touch
each block of the disk once for every neuron."""


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and dtype of an open `.npy` file, which stands behind them then;
    `ValueError` if there is no such header."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"version {version} of the format")


class NpyFile:
    """An array in a file, of which nothing but its header has been read. `OSError`, `ValueError` or
    whatever else numpy, which parses the header as Python text, makes of it, is raised if it is no
    such file, or ends before its last value."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with open_ordinary(path) as file:
            self.shape, self._fortran, self.dtype = read_header(file)
            self._start = file.tell()
            state = state_of(os.fstat(file.fileno()))
        self._state: State | None = state
        size = state[0] - self._start
        # The header is Python text, in which a length can be True, 3.0 or -1.
        if any(type(length) is not int or length < 0 for length in self.shape):
            raise ValueError(f"shape {self.shape}")
        if not self.dtype.hasobject and size < self.nbytes:
            raise ValueError(f"{size} bytes for an array of {self.nbytes}")

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)

    @classmethod
    def make(
        cls, path: Path | str, shape: tuple[int, ...], dtype: DTypeLike = np.float32
    ) -> "NpyFile":
        """A new file of zeros; that it changes is no fault."""
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        with Path(path).open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + np.dtype(dtype).itemsize * math.prod(shape))
        made = cls(path)
        made._state = None  # some network drives set the time of a change long after it
        return made

    def write(self, first: int, rows: Array) -> None:
        """Write rows from the number `first` on into a file that `make` has made."""
        with self.path.open("r+b") as file:
            file.seek(self._start + self.dtype.itemsize * first * math.prod(self.shape[1:]))
            file.write(np.ascontiguousarray(rows, self.dtype).data)

    def read(self) -> Array:
        """The whole array, in memory; `DataError` if it is too large or not what it was."""
        try:
            array = np.empty(self.shape[::-1] if self._fortran else self.shape, self.dtype)
        except MemoryError:
            raise DataError(f"{self.path} needs {self.nbytes} bytes of memory; split it") from None
        self._read([(0, array)])
        return array.T if self._fortran else array

    def rows(self, axis: int, numbers: Numbers) -> Array:
        """The rows of a table (axis 0) or its columns (1) with increasing numbers, as
        `(number, other axis)`; `DataError` if it cannot be read, or is not what it was."""
        along = int(self._fortran)
        count, length = self.shape[along], self.shape[1 - along]
        size = self.dtype.itemsize * length
        if axis == along:
            found = np.empty((numbers.size, length), self.dtype)
            # Neighbours are read at once.
            ends = [0, *np.flatnonzero(np.diff(numbers) != 1) + 1, numbers.size]
            runs = pairwise(map(int, ends))
            self._read((size * int(numbers[a]), found[a:b]) for a, b in runs if a < b)
            return found
        found = np.empty((numbers.size, count), self.dtype)
        block = np.empty((max(1, _BLOCK // max(1, size)), length), self.dtype)
        for first in range(0, count, len(block)):
            part = block[: count - first]
            self._read([(size * first, part)])
            found[:, first : first + len(part)] = part[:, numbers].T
        return found

    def _read(self, parts: Iterable[tuple[int, Array]]) -> None:
        """Fill arrays with what stands so many bytes behind the header: pairs of both."""
        try:
            with open_ordinary(self.path) as file:
                same = True
                for offset, array in parts:
                    file.seek(self._start + offset)
                    if array.nbytes:
                        read = file.readinto(array.reshape(-1).view(np.uint8).data)
                        same = same and read == array.nbytes
                same = same and self._state in (None, state_of(os.fstat(file.fileno())))
        except OSError as error:
            raise DataError(f"{self.path} cannot be read ({error.strerror})") from error
        # A file that another program replaces meanwhile would give a table of two halves.
        if not same:
            raise DataError(f"{self.path} has changed while it was read; start again")


# Zips of arrays: never more bytes of them than they state and ask for


def read_npz(path: Path | str) -> dict[str, Array]:
    """All arrays of numbers in an `.npz` file, parsed in a child process; `DataError` if it is
    damaged, packed by another method than numpy's, or an array in it claims to be larger than its
    stored bytes can make."""
    return parse(_parse, path)


@sandboxed
def _parse(path: str) -> Iterator[tuple[str, Array]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member_header(archive, member) is not None:
                    yield member.filename.removesuffix(".npy"), read_member(archive, member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise Unreadable(f"it is no usable .npz file ({error})") from None


def member_header(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """Shape and dtype of an array of real numbers in an open `.npz` file; None for what is none.

    What `read_member` unpacks afterwards is bounded by the sizes that are checked here.
    """
    if member.compress_type not in METHODS:
        raise Unreadable(
            f"{member.filename} is compressed by a method that numpy does not write; save it again "
            "with numpy.savez_compressed"
        )
    with archive.open(member) as file:
        if file.read(len(NPY)) != NPY:
            return None
        file.seek(0)
        shape, _, dtype = read_header(file)
        header = file.tell()
    if dtype.kind not in "fiub":
        return None
    check_size(member.filename, shape, dtype.itemsize, member.compress_size)
    if header + dtype.itemsize * math.prod(shape) != member.file_size:
        raise Unreadable(f"{member.filename} is shorter or longer than its shape {shape}")
    return shape, dtype


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """The array of a member whose size `member_header` has checked."""
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
