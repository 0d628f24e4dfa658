"""Arrays in numpy's `.npy` files, read and written by ordinary calls.

They are not mapped into memory: where a file has become shorter, a drive has gone or a disk is
full, the system ends a program that touches such memory, while a call fails with an error.
"""

import math
import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import Array, Numbers
from ..errors import DataError
from .atomic import State, open_ordinary, state_of

_BLOCK = 64 << 20
"""Bytes that are read at a time where rows lie across the file: reading them one by one would touch
each block of the disk once for every neuron."""


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
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


class NpyFile:
    """An array in a file, of which nothing but its header has been read.

    Raises
    ------
    OSError, ValueError, SyntaxError
        If it is no such file, or ends before its last value. numpy parses the header as Python
        text, so others are possible.
    """

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
        """Read rows of a table, or columns as rows.

        Parameters
        ----------
        axis
            0 for rows, 1 for columns.
        numbers : (number,)
            Increasing.

        Returns
        -------
        (number, other axis)

        Raises
        ------
        DataError
            If it cannot be read, or is not what it was.
        """
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
