"""What programs know of their ROIs: which are cells, how much neuropil to subtract.

suite2p, CaImAn and NWB tell the same in different arrays; here each is done once.
"""

import numpy as np

from ...errors import DataError, UsageError
from ..lazy import LazyTable, Rows, by_rows, elementwise
from ..missing import MissingCounts, find_missing


def accepted(path, cells, count, what="iscell"):
    """Numbers of the ROIs that are cells.

    Parameters
    ----------
    path : str or Path
        Named in errors.
    cells : array
        One number for each ROI, 1 for a cell; or as suite2p's `iscell` with its probability beside
        it, `(count, 2)`. A single row, as MATLAB has it, is as good.
    count : int
        Of ROIs.
    what : str
        Name of the array, for messages.

    Returns
    -------
    int array
    """
    cells = np.asarray(cells)
    if cells.ndim == 2 and cells.shape[0] == 1 and count != 1:
        cells = cells.T
    if cells.ndim not in (1, 2) or len(cells) != count or not cells.size:
        raise DataError(f"{path}: F has {count} ROIs, but {what} is {cells.shape}; redo one")
    return np.flatnonzero(cells.reshape(count, -1)[:, 0] == 1)


def numbered(path, numbers, count, what="idx_components"):
    """`numbers` as those of the components to keep, from 0, or `DataError`."""
    numbers = np.atleast_1d(np.asarray(numbers)).ravel()
    if numbers.size and (
        numbers.dtype.kind not in "iuf"
        or (numbers != numbers.round()).any()
        or numbers.min() < 0
        or numbers.max() >= count
    ):
        raise DataError(f"{path}: {what} does not number the {count} components of the traces")
    return numbers.astype(np.int64)


def checked_cells(path, kept, count, what, kind="ROIs", all_rois=False):
    """The numbers of those to keep, all if asked for, and notes; refuses to keep none.

    Parameters
    ----------
    kept : int array or None
        None where nothing is said of cells.
    """
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
    reason = (
        f"{missing} of {count} {kind} left out, which {what} calls no cell"
        if kind == "ROIs"
        else f"{missing} of {count} {kind} left out, not in {what}"
    )
    return kept, [f"{reason} (--all-rois keeps them)"]


def corrected(path, fluorescence, neuropil, factor, kept, frame_rate=None, name="Fneu"):
    """The kept ROIs' fluorescence without neuropil; missing where there was none before.

    Parameters
    ----------
    path : str or Path
        Named in errors.
    fluorescence : float array `(ROI, frame)`
    neuropil : float array `(ROI, frame)` or None
    factor : float
        Share of the neuropil to subtract, 0 to 2.
    kept : int array
        Numbers of the ROIs to keep.
    frame_rate : float, optional
        In Hz.
    name : str
        Of the neuropil, for messages.

    Returns
    -------
    traces : float array `(kept ROI, frame)`
    notes : list of str
    """
    check_factor(factor)
    if neuropil is None:
        notes = [f"neuropil not subtracted: there is no {name}"] if name else []
        every = kept.size == len(fluorescence)
        if every:
            return fluorescence, notes
        stored = isinstance(fluorescence, LazyTable)
        return fluorescence.keep(kept) if stored else fluorescence[kept], notes
    if neuropil.shape != fluorescence.shape:
        raise DataError(
            f"{path}: F is {fluorescence.shape}, but {name} is {neuropil.shape}; give two of the "
            "same run"
        )
    dtype = np.result_type(fluorescence.dtype, neuropil.dtype, np.float32)
    notes = [f"neuropil subtracted: F - {factor:g} {name}"]
    if isinstance(fluorescence, LazyTable) or isinstance(neuropil, LazyTable):

        def subtract(own, around):
            return _subtract(own, around, range(len(own)), factor, dtype, frame_rate)

        return by_rows(subtract, fluorescence, neuropil, dtype=dtype).keep(kept), notes
    found = _subtract(fluorescence, neuropil, kept, factor, dtype, frame_rate)
    return found.values, notes + found.missing.notes(kept.size, "ROIs' F")


def _subtract(fluorescence, neuropil, kept, factor, dtype, frame_rate):
    missing = MissingCounts()
    traces = np.empty((len(kept), fluorescence.shape[1]), dtype)
    for row, roi in enumerate(kept):  # one by one, as both arrays may be larger than the memory
        np.multiply(neuropil[roi], -dtype.type(factor), out=traces[row])
        own = np.asarray(fluorescence[roi], dtype)
        traces[row] += own
        gone, found = find_missing(own, frame_rate or 1.0)
        missing += found
        if gone is not None:
            traces[row, gone] = np.nan
    return Rows(traces, missing)


def scaled(traces, gain):
    """`traces` times a factor, plus an offset; `gain` is both."""
    factor, offset = gain
    if (factor, offset) == (1, 0):
        return traces
    dtype = np.result_type(traces.dtype, np.float32)
    return elementwise(
        lambda rows: rows * dtype.type(factor) + dtype.type(offset), traces, dtype=dtype
    )


def check_factor(factor):
    """Raise `UsageError` unless `factor` can be a share of neuropil."""
    if not (isinstance(factor, int | float) and 0 <= factor <= 2):
        raise UsageError(
            f"a neuropil factor of {factor}? give a number from 0 to 2, usually 0.7 (--neuropil)"
        )
