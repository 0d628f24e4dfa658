"""Traces too large to be handed over at once: a child says where they stand, others read pieces."""

import math
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...files.regular import state_of
from ...files.sandbox import parse
from ..lazy import CHUNK, LazyTable, Rows

ROLES = ("traces", "neuropil", "residuals")
"""What may be that large."""


def is_table(shape):
    """Whether an array of this shape can be read in pieces."""
    return len(shape) == 2 and min(shape) > 1


def is_large(shape, itemsize, piece=CHUNK):
    """Whether an array is read in pieces, of at most so many bytes."""
    return is_table(shape) and itemsize * math.prod(shape) > piece


def place(name, array):
    """Child: where an array stands in the file, instead of its values."""
    return {"stored": name, "shape": list(array.shape), "dtype": array.dtype.str}


def bring(path, values, job, library):
    """`values` of a child, with a `LazyTable` for each array that it has left in the file.

    Parameters
    ----------
    path : str or Path
    values : dict
    job : function
        For a child: called as `job(path, name, axis, numbers)`, yields `rows`, an array as
        `stored.pick` gives it.
    library : str
        That the job needs.
    """
    state = state_of(Path(path).stat()) if Path(path).is_file() else None
    for role in ROLES:
        value = values.get(role)
        if isinstance(value, dict):
            shape, dtype = tuple(map(int, value["shape"])), np.dtype(value["dtype"])
            load = partial(_load, path, state, job, library, str(value["stored"]), shape)
            values[role] = LazyTable(shape, dtype, load=load)
    return values


def _load(path, state, job, library, name, shape, axis, numbers):
    values = parse(job, path, name, axis, numbers.tolist(), libraries=[library])
    rows = values.get("rows")
    same = state is None or state_of(Path(path).stat()) == state
    if not same or getattr(rows, "shape", None) != (numbers.size, shape[1 - axis]):
        raise DataError(f"{path} has changed while it was read; start again")
    return Rows(np.array(rows))


def table_of(file, piece=CHUNK):
    """The array of an `npy_arrays.NpyFile`: in memory, or a `LazyTable` if it is larger.

    Raises
    ------
    DataError
    """
    return in_pieces(file) if is_large(file.shape, file.dtype.itemsize, piece) else file.read()


def in_pieces(file):
    """A `LazyTable` for the table in an `npy_arrays.NpyFile`."""
    return LazyTable(
        file.shape, file.dtype, load=lambda axis, numbers: Rows(file.rows(axis, numbers))
    )
