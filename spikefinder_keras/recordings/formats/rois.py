"""What programs say of their ROIs: which are cells, and how much neuropil to subtract.

suite2p, CaImAn and NWB say the same in different arrays; here each is done once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...arrays import Array, ArrayLike, Numbers
from ...errors import DataError, UsageError
from ..options import ReadOptions
from ..recording import AnyTable, LazyTable, Rows, by_rows, elementwise
from ..segments import MissingCounts, find_missing
from .facts import no_neuropil

LARGEST_SHARE = 2.0
"""More neuropil than this is subtracted by nobody; 70 is a share of 0.7 in percent."""


@dataclass(frozen=True)
class Kept:
    """The numbers of the ROIs that are cells, what says so, and what it calls them."""

    numbers: Numbers
    what: str = "iscell"
    kind: str = "ROIs"


@dataclass(frozen=True)
class Neuropil:
    """The fluorescence around ROIs, `(ROI, frame)`, and the share of it, 0 to 2, that the file says
    to subtract. `name` is for messages; it is empty where nobody expects any."""

    traces: AnyTable | None = None
    name: str = ""
    share: float | None = None


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


def corrected(
    path: Path | str,
    fluorescence: AnyTable,
    neuropil: Neuropil,
    kept: Kept | None,
    options: ReadOptions,
    *,
    frame_rate: float | None,
) -> tuple[AnyTable, Numbers, list[str]]:
    """The fluorescence `(ROI, frame)` of the ROIs to keep without neuropil, missing where it was
    before; their numbers; and notes. All are kept if asked for, or nothing is said of cells."""
    count, notes = len(fluorescence), []
    rois = np.arange(count)
    if kept is not None and not options.all_rois:
        rois = kept.numbers
        if not rois.size:
            raise DataError(
                f"{path}: {kept.what} accepts none of the {count} {kept.kind}; classify them, or "
                "ask for all ROIs (--all-rois)"
            )
        if rois.size != count:
            calls = f"which {kept.what} calls no cell"
            reason = calls if kept.kind == "ROIs" else f"not in {kept.what}"
            notes.append(
                f"{count - rois.size} of {count} {kept.kind} left out, {reason} "
                "(--all-rois keeps them)"
            )
    around, share = neuropil.traces, options.neuropil_share(neuropil.share)
    if not (isinstance(share, int | float) and 0 <= share <= LARGEST_SHARE):
        raise UsageError(
            f"a neuropil factor of {share}? give a number from 0 to 2, usually 0.7 (--neuropil)"
        )
    if around is None:
        if neuropil.name:
            notes.append(f"neuropil not subtracted: there is no {neuropil.name}")
        else:
            notes += no_neuropil(options)
        return _only(fluorescence, rois), rois, notes
    if around.shape != fluorescence.shape:
        raise DataError(
            f"{path}: F is {fluorescence.shape}, but {neuropil.name} is {around.shape}; give two "
            "of the same run"
        )
    notes.append(f"neuropil subtracted: F - {share:g} {neuropil.name}")
    known = options.frame_rate or frame_rate or 1.0
    traces, found = _without_neuropil(fluorescence, around, rois, share=share, frame_rate=known)
    return traces, rois, notes + [f"F: {line}" for line in found.notes(rois.size, "ROI")]


def _without_neuropil(
    fluorescence: AnyTable, around: AnyTable, rois: Numbers, *, share: float, frame_rate: float
) -> tuple[AnyTable, MissingCounts]:
    """Some ROIs without a share of what is around them, and what was missing of those in memory."""
    # Counts of a camera are whole numbers, of which a difference would overflow.
    dtype = np.result_type(fluorescence.dtype, around.dtype, np.float32)

    def subtract(rows: Array, neuropil_rows: Array, numbers: Sequence[int] | Numbers) -> Rows:
        missing = MissingCounts()
        traces = np.empty((len(numbers), rows.shape[1]), dtype)
        for row, roi in enumerate(numbers):  # one by one, as both may be larger than the memory
            np.multiply(neuropil_rows[roi], -dtype.type(share), out=traces[row])
            before = np.asarray(rows[roi], dtype)
            traces[row] += before
            # An ROI without light under live neuropil would else look like a trace.
            gone, found = find_missing(before, frame_rate)
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
        return _only(table, rois), MissingCounts()
    found = subtract(fluorescence, around, rois)
    return found.values, found.missing


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
