"""Tables that stay in their file: what is larger than the memory is read a few rows at a time."""

import numpy as np


class Stored:
    """A table of numbers in a file.

    It has what a reader asks of an array: `shape`, `dtype`, `ndim`, `size`, `T`. Values are read by
    `rows`; indexed as an array, it reads the columns that are asked for.

    Parameters
    ----------
    shape : tuple of int
        Two of them.
    dtype : dtype
    load : function
        Of an axis (0 or 1), of increasing numbers along it, an int array, and of a
        `missing.Missing` or None that counts what the reader itself takes for missing. Gives an
        array of its own with a row for each number, `(number, other axis)`.
    axis : int
        Along which axis of what is loaded the rows lie.
    """

    ndim = 2

    def __init__(self, shape, dtype, load, axis=0):
        self.shape, self.dtype = tuple(map(int, shape)), np.dtype(dtype)
        self._load, self._axis = load, axis

    def __len__(self):
        return self.shape[0]

    @property
    def size(self):
        return self.shape[0] * self.shape[1]

    @property
    def T(self):
        return Stored(self.shape[::-1], self.dtype, self._load, 1 - self._axis)

    def rows(self, numbers, missing=None):
        """The rows of these increasing numbers, in memory."""
        return self._load(self._axis, np.asarray(numbers, np.int64), missing)

    def keep(self, numbers):
        """The table of these rows alone, still stored."""
        numbers = np.asarray(numbers, np.int64)

        def load(axis, wanted, missing):
            if axis == 0:
                return self.rows(numbers[wanted], missing)
            return self.T.rows(wanted, missing)[:, numbers]

        return Stored((numbers.size, self.shape[1]), self.dtype, load)

    def __getitem__(self, key):
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        numbers = np.arange(self.shape[1])[columns]
        found = self.T.rows(np.atleast_1d(numbers)).T[rows]
        return found if np.ndim(numbers) else found[..., 0]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.rows(np.arange(self.shape[0])), dtype)


def elementwise(function, *tables, dtype=None):
    """`function(*tables)`, of each value by itself: at once, or when rows are read.

    Parameters
    ----------
    function : function
        Of arrays of one shape; gives an array of that shape.
    tables : arrays or Stored, all of one shape
    dtype : dtype, optional
        Of the result; by default that of the first table.

    Returns
    -------
    array, or Stored where one of the tables is
    """
    return by_rows(lambda missing, *rows: function(*rows), *tables, dtype=dtype)


def by_rows(function, *tables, dtype=None):
    """As `elementwise`, of whole rows: `function(missing, *tables)` with a `Missing` or None."""
    if not any(isinstance(table, Stored) for table in tables):
        return function(None, *tables)

    def load(axis, numbers, missing):
        turned = [table.T if axis else table for table in tables]
        return function(missing, *(_rows(table, numbers, missing) for table in turned))

    return Stored(tables[0].shape, dtype or tables[0].dtype, load)


def _rows(table, numbers, missing):
    return table.rows(numbers, missing) if isinstance(table, Stored) else table[numbers]


def pick(array, axis, numbers):
    """Rows of anything that is indexed as an array: a mapped one, of HDF5 or of Zarr.

    Parameters
    ----------
    array : array-like of two axes
    axis : int
    numbers : int array
        Increasing.

    Returns
    -------
    array `(number, other axis)`
    """
    first, last = int(numbers[0]), int(numbers[-1]) + 1
    if last - first <= 4 * numbers.size:  # reading on is faster than many jumps
        where, chosen = slice(first, last), numbers - first
    else:
        where, chosen = numbers.tolist(), slice(None)
    array = getattr(array, "oindex", array)
    found = np.asarray(array[where] if axis == 0 else array[:, where])
    return found[chosen] if axis == 0 else found[:, chosen].T
