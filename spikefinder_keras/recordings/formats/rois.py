"""What programs say of their ROIs: which are cells, and how much neuropil to subtract.

suite2p, CaImAn and NWB say the same in different arrays; here each is done once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...arrays import Array, ArrayLike, Numbers
from ...errors import DataError, UsageError
from ..recording import AnyTable, LazyTable, Rows, by_rows, elementwise
from ..segments import MissingCounts, find_missing

LARGEST_SHARE = 2.0
"""More neuropil than this is subtracted by nobody; 70 is a share of 0.7 in percent."""


def accepted(path: Path | str, cells: ArrayLike, *, count: int, what: str = "iscell") -> Numbers:
    """Numbers of the ROIs that are cells.

    `cells` has one number for each ROI, 1 for a cell; or as suite2p's `iscell` its probability
    beside it, `(count, 2)`. A single row, as MATLAB has it, is as good.
    """
    cells = np.asarray(cells)
    # MATLAB has no vectors.
    if cells.ndim == 2 and cells.shape[0] == 1 and count != 1:
        cells = cells.T
    if cells.ndim not in (1, 2) or len(cells) != count or not cells.size:
        raise DataError(f"{path}: F has {count} ROIs, but {what} is {cells.shape}; redo one")
    return np.flatnonzero(cells.reshape(count, -1)[:, 0] == 1)


def numbered(path: Path | str, numbers: ArrayLike, *, count: int, what: str) -> Numbers:
    """`numbers` as those of the components to keep, from 0, or `DataError`."""
    numbers = np.ravel(numbers)
    # Counted from 1, as in MATLAB, the last one is out of range.
    if numbers.size and (
        numbers.dtype.kind not in "iuf"
        or (numbers != numbers.round()).any()
        or numbers.min() < 0
        or numbers.max() >= count
    ):
        raise DataError(f"{path}: {what} does not number the {count} components of the traces")
    return numbers.astype(np.int64)


def checked_cells(
    path: Path | str,
    kept: Numbers | None,
    *,
    count: int,
    what: str,
    kind: str = "ROIs",
    all_rois: bool = False,
) -> tuple[Numbers, list[str]]:
    """The numbers of those to keep, all if asked for or nothing is said of cells, and notes."""
    if kept is None or all_rois:
        return np.arange(count), []
    if not kept.size:
        raise DataError(
            f"{path}: {what} accepts none of the {count} {kind}; classify them, or ask for all "
            f"ROIs (--all-rois)"
        )
    if kept.size == count:
        return kept, []
    missing = count - kept.size
    reason = f"which {what} calls no cell" if kind == "ROIs" else f"not in {what}"
    return kept, [f"{missing} of {count} {kind} left out, {reason} (--all-rois keeps them)"]


@dataclass(frozen=True)
class Neuropil:
    """The fluorescence around ROIs, `(ROI, frame)`, of which a share, 0 to 2, is subtracted. `name`
    is for messages; it is empty where nobody expects any."""

    traces: AnyTable | None
    share: float
    name: str = "Fneu"


def corrected(
    path: Path | str,
    fluorescence: AnyTable,
    neuropil: Neuropil,
    *,
    kept: Numbers,
    frame_rate: float | None = None,
) -> tuple[AnyTable, list[str]]:
    """The kept ROIs' fluorescence `(ROI, frame)` without neuropil, and notes. It is missing where
    there was no fluorescence before."""
    around, share = neuropil.traces, neuropil.share
    if not (isinstance(share, int | float) and 0 <= share <= LARGEST_SHARE):
        raise UsageError(
            f"a neuropil factor of {share}? give a number from 0 to 2, usually 0.7 (--neuropil)"
        )
    if around is None:
        notes = [f"neuropil not subtracted: there is no {neuropil.name}"] if neuropil.name else []
        return _only(fluorescence, kept), notes
    if around.shape != fluorescence.shape:
        raise DataError(
            f"{path}: F is {fluorescence.shape}, but {neuropil.name} is {around.shape}; give two "
            "of the same run"
        )
    # Counts of a camera are whole numbers, of which a difference would overflow.
    dtype = np.result_type(fluorescence.dtype, around.dtype, np.float32)
    notes = [f"neuropil subtracted: F - {share:g} {neuropil.name}"]

    def subtract(rows: Array, neuropil_rows: Array, numbers: Sequence[int] | Numbers) -> Rows:
        missing = MissingCounts()
        traces = np.empty((len(numbers), rows.shape[1]), dtype)
        for row, roi in enumerate(numbers):  # one by one, as both may be larger than the memory
            np.multiply(neuropil_rows[roi], -dtype.type(share), out=traces[row])
            before = np.asarray(rows[roi], dtype)
            traces[row] += before
            # An ROI without light under live neuropil would else look like a trace.
            gone, found = find_missing(before, frame_rate or 1.0)
            missing += found
            if gone is not None:
                traces[row, gone] = np.nan
        return Rows(traces, missing)

    if isinstance(fluorescence, LazyTable) or isinstance(around, LazyTable):
        table = by_rows(
            lambda rows, others: subtract(rows, others, range(len(rows))),
            fluorescence,
            around,
            dtype=dtype,
        )
        return _only(table, kept), notes
    found = subtract(fluorescence, around, kept)
    return found.values, notes + found.missing.notes(kept.size, "ROIs' F")


def _only(table: AnyTable, kept: Numbers) -> AnyTable:
    if kept.size == len(table):
        return table
    return table.keep(kept) if isinstance(table, LazyTable) else table[kept]


def scaled(traces: AnyTable, gain: tuple[float, float]) -> AnyTable:
    """`traces` times a factor, plus an offset; `gain` is both."""
    factor, offset = gain
    if (factor, offset) == (1, 0):
        return traces
    dtype = np.result_type(traces.dtype, np.float32)
    return elementwise(
        lambda rows: rows * dtype.type(factor) + dtype.type(offset), traces, dtype=dtype
    )
