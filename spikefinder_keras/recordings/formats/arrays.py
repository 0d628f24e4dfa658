"""From a file's arrays to a recording: what all readers share once they know which is what."""

import numpy as np

from ...errors import DataError, UsageError
from ...signals.preprocess import check_rate
from ..inputs import RATE_MISMATCH, as_names, rate_of
from ..lazy import elementwise
from ..recording import as_recording, orientation_by
from .rois import accepted, checked_cells, corrected, numbered


def one_number(path, name, value):
    """The frame rate in Hz that an array of one number holds, or of the same for each trial.

    Raises
    ------
    DataError
        If it is no number, or trials differ.
    """
    value = np.asarray(value)
    if value.dtype.kind not in "fiu" or len(np.unique(value)) != 1:
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
    segment_starts=(0,),
):
    """`as_recording`, with what the file itself tells about frame rate and orientation.

    Parameters
    ----------
    path : str or Path
        Where the traces are from.
    traces : array
    options : ReadOptions
    times : array `(frame,)`, optional
        Time stamps in s. They tell the frame rate, and which axis of `traces` is time.
    file_rate : float, optional
        Frame rate of the file in Hz; where another one is stated, that one is used, with a note.
    orientation : str, optional
        Known from the file.
    unit : str, optional
        Of the file's values, if none is stated.
    usual_orientation, notes, names, segment_starts
        As in `as_recording`.
    """
    frame_rate = options.frame_rate
    notes = list(notes)
    if times is not None:
        times = np.ravel(times)
        known = frame_rate or file_rate
        if known and times.size not in np.shape(traces):
            notes.append(f"{times.size} time stamps do not fit the frames: not used")
            times = None
    if times is None and file_rate is not None:
        if frame_rate is None:
            frame_rate = file_rate
        stated = check_rate(frame_rate)
        if abs(stated - file_rate) > RATE_MISMATCH * stated:
            notes.append(
                f"the frame rate is {stated:g} Hz as stated, but {file_rate:g} Hz in the file"
            )
    return as_recording(
        traces,
        frame_rate,
        times,
        orientation=options.orientation or orientation,
        names=names,
        unit=options.unit or unit,
        source=str(path),
        notes=notes,
        segment_starts=segment_starts,
        usual_orientation=usual_orientation,
        in_place=True,
    )


def from_named(path, values, options):
    """The recording of a file of named arrays.

    Parameters
    ----------
    path : str or Path
    values : dict
        `choice`, a `choosing.Choice` as a dict, and the chosen arrays by their roles; also
        `segment_starts` where the traces came in pieces.
    options : ReadOptions
    """
    choice, roles = values["choice"], values["choice"]["roles"]
    name, unit, rate = roles["traces"], choice["unit"], values.get("rate")
    rate = None if rate is None else one_number(path, roles["rate"], rate)
    traces, times = _two_axes(values["traces"]), values.get("times")
    counter = [f"{values['counter']} counts the frames: not used"] if "counter" in values else []
    refuse_counter(path, name, traces, unit)
    orientation = options.orientation or choice["orientation"]
    if orientation is None and times is not None:
        orientation = orientation_by(traces.shape, times.size)
    if orientation is None and "cells" in values and traces.ndim == 2:
        orientation = _by_cells(values["cells"], traces.shape)
    shape = {
        "times": times,
        "file_rate": rate,
        "segment_starts": values.get("segment_starts", (0,)),
    }
    if not {"residuals", "neuropil", "cells", "components"} & values.keys():
        names = _ids(values.get("ids"), traces.shape, orientation)
        what = f"{unit or 'traces'} from {name}" + _also(choice["others"])
        if len(shape["segment_starts"]) > 1:
            what += f", {len(shape['segment_starts'])} trials, each a block of its own"
        return make_recording(
            path,
            traces,
            options,
            **shape,
            unit=unit,
            orientation=orientation,
            names=names,
            notes=[*([what] if name != "array" else ()), *counter],
        )
    tables = [traces, *(_two_axes(values.get(role)) for role in ("residuals", "neuropil"))]
    if traces.ndim != 2 or not traces.size:
        raise DataError(f"{path}: {name} has shape {traces.shape}; give ROIs x frames")
    if orientation == "time-neuron":
        tables = [None if table is None else table.T for table in tables]
    traces, residuals, neuropil = tables
    if residuals is not None:
        traces = elementwise(np.add, traces, residuals)
        name = f"{name} + {roles['residuals']}"
    of = roles.get("cells") or roles.get("components")
    kept, kind = None, "components" if "residuals" in roles or "components" in roles else "ROIs"
    if "cells" in values and not options.all_rois:
        kept = accepted(path, values["cells"], len(traces), of)
    elif "components" in values:
        kept = numbered(path, values["components"], len(traces), of)
    kept, notes = checked_cells(path, kept, len(traces), of, kind, options.all_rois)
    found = options.frame_rate or rate or (rate_of(np.ravel(times)) if times is not None else None)
    label = roles.get("neuropil", "Fneu" if "cells" in roles else "")
    corrected_traces, more = corrected(
        path, traces, neuropil, options.neuropil_share(), kept, found, label
    )
    first = f"{unit or 'traces'} from {name}, {kept.size} of {len(traces)} {kind}"
    return make_recording(
        path,
        corrected_traces if orientation != "time-neuron" else corrected_traces.T,
        options,
        **shape,
        unit=unit,
        orientation=orientation or ("neuron-time" if "cells" in values else None),
        names=[str(number) for number in kept],
        notes=[first + _also(choice["others"]), *counter, *notes, *more],
    )


def _also(others):
    return f" (there are also {', '.join(others)})" if others else ""


def _two_axes(array):
    """Axes of length 1 too many, as MATLAB and movies have them, left out."""
    if array is not None and array.ndim > 2:
        kept = [size for size in array.shape if size > 1]
        return array.reshape(kept) if len(kept) == 2 else array
    return array


def _by_cells(cells, shape):
    """Which axis has one ROI for each row of `iscell`, if that decides it."""
    if len(set(shape)) < 2:
        return None
    count = max(cells.shape) if 1 in cells.shape or cells.ndim == 1 else len(cells)
    return {shape[0]: "neuron-time", shape[1]: "time-neuron"}.get(count)


def _ids(ids, shape, orientation):
    """Names from an array of numbers, if it has one for each neuron."""
    if ids is None or len(shape) != 2:
        return None
    count = shape[1] if orientation == "time-neuron" else shape[0]
    ids = np.ravel(ids)
    return as_names(ids) if ids.size == count == len(np.unique(ids)) else None


def refuse_counter(path, name, traces, unit):
    """Raise `DataError` if a single trace, of no name of fluorescence, only counts up."""
    if unit is None and traces.size == max(traces.shape, default=0) > 2:
        steps = np.diff(np.ravel(traces))
        if steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-6):
            raise DataError(
                f"{path}: {name} counts up in equal steps, as a counter or time stamps do; name "
                "the fluorescence (--variable)"
            )


def only_one_array(path, variable):
    """Raise `UsageError` if a `variable` is named where there is nothing to choose from."""
    if variable is not None:
        raise UsageError(
            f"{path} holds one recording only; leave out the variable {variable} (--variable)"
        )


def only_orientation(path, orientation, usual):
    """Raise `UsageError` if another orientation is stated than a file is known to have."""
    if orientation not in (None, usual):
        raise UsageError(
            f"{path} is {usual} for certain; leave the orientation out (--orientation)"
        )
