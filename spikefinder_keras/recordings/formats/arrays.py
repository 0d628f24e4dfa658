"""Recordings in files of several named arrays: which one is what.

`.npz`, `.mat` and Zarr only differ in how an array is read, so they share the names by which one
knows fluorescence, time stamps and frame rate, and what must not be predicted from.
"""

import math
from dataclasses import dataclass

import numpy as np

from ...competition.checks import check_rate
from ...errors import DataError, UsageError
from ..recording import RATE_MISMATCH, as_recording

FLUORESCENCE = {
    "df_traces": "dF/F",  # Cascade
    "f_dff": "dF/F",
    "dff": "dF/F",
    "df_f": "dF/F",
    "dfof": "dF/F",
    "deltaf": "dF/F",
    "f": "F",  # suite2p
    "fluorescence": "F",
    "traces": None,
    "calcium": None,
}
"""Names of fluorescence arrays, in lower case, and the unit of each; an earlier one goes first."""

DECONVOLVED = ("spike_prob", "spike_rates", "spikes", "spks", "s", "deconvolved", "events", "rates")
DENOISED = ("c", "denoised", "c_dec")
TIMES = ("times", "t", "time", "timestamps", "time_stamps")
FRAME_RATES = ("frame_rate", "framerate", "fs", "fr", "sampling_rate")
OTHERS = ("fneu", "iscell", "names", "spike_times", "spike_neurons")
"""Never taken for fluorescence."""


@dataclass(frozen=True)
class Options:
    """What a user may state of a recording; the arguments of `read_recording` but the path."""

    frame_rate: float | None = None
    orientation: str | None = None
    unit: str | None = None
    variable: str | None = None
    neuropil: float = 0.7
    all_rois: bool = False


def choose(path, shapes, variable=None):
    """Say which array of a file is fluorescence, time stamps, frame rate.

    Parameters
    ----------
    path : str or Path
        Named in errors.
    shapes : dict of str to tuple
        Of the arrays of real numbers, by name.
    variable : str, optional
        Name of the fluorescence array.

    Returns
    -------
    dict of str to str
        Names in the file, under `traces` and where there are such also `times`, `rate`, `neuropil`
        and `cells`.

    Raises
    ------
    DataError
        If there is no fluorescence, or none but deconvolved or denoised.
    UsageError
        If it is not plain which, or there is no `variable`.
    """
    lower = {name.lower(): name for name in reversed(shapes)}
    chosen = {"traces": _fluorescence(path, shapes, lower, variable)}
    for role, names in (("times", TIMES), ("rate", FRAME_RATES)):
        found = [lower[name] for name in names if name in lower and lower[name] != variable]
        if found:
            chosen[role] = found[0]
    if chosen["traces"] == "F":  # as suite2p writes Fall.mat
        chosen |= {r: n for r, n in (("neuropil", "Fneu"), ("cells", "iscell")) if n in shapes}
    return chosen


def _fluorescence(path, shapes, lower, variable):
    listed = ", ".join(f"{name} {'x'.join(map(str, shapes[name]))}" for name in list(shapes)[:12])
    if variable is not None:
        if variable not in shapes:
            raise UsageError(f"{path} has no array {variable}; choose from {listed or 'none'}")
        refuse_processed(path, variable)
        return variable
    known = [lower[name] for name in FLUORESCENCE if name in lower]
    if known:
        return known[0]
    helpers = (*TIMES, *FRAME_RATES, *OTHERS)
    possible = [
        name for name, shape in shapes.items()
        if math.prod(shape) > 1 and name.lower() not in helpers
    ]  # fmt: skip
    if not possible:
        raise DataError(f"{path} holds no array of traces; save neurons x frames in it")
    raw = [name for name in possible if name.lower() not in (*DECONVOLVED, *DENOISED)]
    if not raw:
        refuse_processed(path, possible[0])
    if len(raw) > 1:
        raise UsageError(f"{path} holds several arrays; name the fluorescence of {listed}")
    return raw[0]


def refuse_processed(path, name):
    """Raise `DataError` if `name` says that its array is deconvolved or denoised already."""
    for names, what in ((DECONVOLVED, "deconvolved"), (DENOISED, "denoised")):
        if name.lower() in names:
            raise DataError(
                f"{path}: {name} is {what} already; give the fluorescence or dF/F it was made from"
            )


def unit_of(name):
    """Unit of an array by its name, or None."""
    return FLUORESCENCE.get(name.lower())


def one_number(path, name, value):
    """The frame rate in Hz that an array of one number holds, or `DataError`."""
    value = np.asarray(value)
    if value.size != 1 or value.dtype.kind not in "fiu":
        raise DataError(f"{path}: {name} is not one number; give the frame rate in Hz there")
    try:
        return check_rate(value.reshape(-1)[0].item())
    except UsageError as error:
        raise DataError(f"{path}, {name}: {error}") from None


def make_recording(
    path,
    traces,
    options,
    *,
    times=None,
    file_rate=None,
    usual_orientation="neuron-time",
    orientation=None,
    unit=None,
    notes=(),
    names=None,
):
    """`as_recording`, with what the file itself tells about frame rate and orientation.

    Parameters
    ----------
    path : str or Path
        Where the traces are from.
    traces : array
    options : Options
    times : array `(frame,)`, optional
        Time stamps in s. They tell the frame rate, and which axis of `traces` is time.
    file_rate : float, optional
        Frame rate of the file in Hz; where another one is stated, that one is used, with a note.
    orientation : str, optional
        Known from the file.
    unit : str, optional
        Of the file's values, if none is stated.
    usual_orientation, notes, names
        As in `as_recording`.
    """
    frame_rate = options.frame_rate
    orientation = options.orientation or orientation
    notes = list(notes)
    if times is not None:
        times = np.ravel(times)
        orientation = orientation or _orientation(np.shape(traces), times.size)
    elif file_rate is not None and frame_rate is None:
        frame_rate = file_rate
    elif file_rate is not None:
        stated = check_rate(frame_rate)
        if abs(stated - file_rate) > RATE_MISMATCH * stated:
            notes.append(
                f"the frame rate is {stated:g} Hz as stated, but {file_rate:g} Hz in the file"
            )
    return as_recording(
        traces,
        frame_rate,
        times,
        orientation,
        names,
        options.unit or unit,
        str(path),
        notes,
        usual_orientation=usual_orientation,
    )


def from_named(path, chosen, values, options):
    """The recording of a file of named arrays.

    Parameters
    ----------
    path : str or Path
    chosen : dict of str to str
        From `choose`.
    values : dict of str to array
        The chosen arrays, by the same keys.
    options : Options
    """
    rate = values.get("rate")
    shape = {
        "times": values.get("times"),
        "file_rate": None if rate is None else one_number(path, chosen["rate"], rate),
        "unit": unit_of(chosen["traces"]),
    }
    if not {"neuropil", "cells"} & values.keys():
        return make_recording(path, values["traces"], options, **shape)
    only_orientation(path, options.orientation, "neuron-time")
    traces, rois, notes = corrected(
        path,
        values["traces"],
        values.get("neuropil"),
        options.neuropil,
        None if options.all_rois else values.get("cells"),
    )
    return make_recording(
        path, traces, options, **shape, orientation="neuron-time", names=rois, notes=notes
    )


def _orientation(shape, frames):
    """The one that makes `frames` frames of a table, if that decides it."""
    if len(shape) == 2 and (shape[0] == frames) != (shape[1] == frames):
        return "time-neuron" if shape[0] == frames else "neuron-time"
    return None


def only_one_array(path, variable):
    """Raise `UsageError` if a `variable` is named where there is nothing to choose from."""
    if variable is not None:
        raise UsageError(f"{path} holds one recording only; leave out the variable {variable}")


def only_orientation(path, orientation, usual):
    """Raise `UsageError` if another orientation is stated than a file is known to have."""
    if orientation not in (None, usual):
        raise UsageError(f"{path} is {usual} for certain; leave the orientation out")


def corrected(path, fluorescence, neuropil, factor, cells=None):
    """Subtract the neuropil, and leave out ROIs that are no cells.

    Parameters
    ----------
    path : str or Path
        Named in errors.
    fluorescence : float array `(neuron, frame)`
    neuropil : float array `(neuron, frame)` or None
    factor : float
        Share of the neuropil to subtract, 0 to 2.
    cells : array `(neuron,)` or `(neuron, 2)`, optional
        suite2p's `iscell`: 1 first for the ROIs to keep. By default all are kept.

    Returns
    -------
    traces : float array `(kept neuron, frame)`
    rois : int array `(kept neuron,)`
        Their numbers.
    notes : list of str
    """
    if not (isinstance(factor, int | float) and 0 <= factor <= 2):
        raise UsageError(f"a neuropil factor of {factor}? give a number from 0 to 2, usually 0.7")
    if fluorescence.ndim != 2 or not fluorescence.size:
        raise DataError(f"{path}: F has shape {fluorescence.shape}; give ROIs x frames")
    count = len(fluorescence)
    kept, notes = np.arange(count), []
    if cells is not None:
        if cells.ndim not in (1, 2) or len(cells) != count or not cells.size:
            raise DataError(f"{path}: F has {count} ROIs, but iscell is {cells.shape}; redo one")
        kept = np.flatnonzero(cells.reshape(count, -1)[:, 0] == 1)
        if not kept.size:
            raise DataError(
                f"{path}: iscell calls none of the {count} ROIs a cell; classify them, or ask for "
                "all ROIs"
            )
        if kept.size < count:
            notes.append(
                f"{count - kept.size} of {count} ROIs left out, which iscell calls no cell"
            )
    if neuropil is None:
        notes.append("neuropil not subtracted: there is no Fneu")
        return (fluorescence if kept.size == count else fluorescence[kept]), kept, notes
    if neuropil.shape != fluorescence.shape:
        raise DataError(
            f"{path}: F is {fluorescence.shape}, but Fneu is {neuropil.shape}; give two of the "
            "same run"
        )
    dtype = np.result_type(fluorescence.dtype, neuropil.dtype, np.float32)
    traces = np.empty((kept.size, fluorescence.shape[1]), dtype)
    for row, roi in enumerate(kept):  # one by one, as both arrays may be larger than the memory
        np.multiply(neuropil[roi], -dtype.type(factor), out=traces[row])
        traces[row] += fluorescence[roi]
    notes.append(f"neuropil subtracted: F - {factor:g} Fneu")
    return traces, kept, notes
