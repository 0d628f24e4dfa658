"""A recording of somebody's own, and the rates predicted for it, whatever file they are in.

Everything between the readers, the network and the writers is one of these two. Arrays are `(frame,
neuron)`, as everywhere in the package.
"""

from dataclasses import dataclass, field

import numpy as np

from ..competition.checks import check_rate
from ..errors import DataError, UsageError

UNITS = ("dF/F", "F", "competition")
"""What the values of a recording are: relative change of fluorescence as a fraction, fluorescence
in the microscope's own unit, or traces in the competition's form (see `preprocess`)."""

ORIENTATIONS = ("time-neuron", "neuron-time")
"""What the rows and columns of an array are."""

RATE_MISMATCH = 0.01
"""A stated frame rate may differ by this share from the one of the time stamps."""


@dataclass(frozen=True)
class Recording:
    """Fluorescence traces of neurons recorded together.

    Use `as_recording` to make one from arrays.

    Parameters
    ----------
    fluorescence : float array `(frame, neuron)`
        NaN where missing.
    times : float64 array `(frame,)`
        Time stamps in s, strictly increasing.
    frame_rate : float
        Typical number of frames per second, in Hz.
    names : tuple of str
        One per neuron: the ROI numbers or names of the file, in its order.
    unit : one of `UNITS`, or None where nobody said
    source : str
        Where it comes from, for messages and for the description of the result.
    notes : tuple of str
        What the reader did or saw that a user should know (neuropil subtracted, ROIs left out).
    block_starts : tuple of int
        Frames with which a separate recording block begins; the first is 0.
    """

    fluorescence: np.ndarray
    times: np.ndarray
    frame_rate: float
    names: tuple
    unit: str | None = None
    source: str = "array"
    notes: tuple = ()
    block_starts: tuple = (0,)


@dataclass(frozen=True)
class Prediction:
    """Spike rates predicted for a recording.

    Attributes
    ----------
    rates : float32 array `(frame, neuron)`
        At the recording's own time stamps and in its order of neurons; NaN where there was nothing
        to predict from. In spikes per second if calibrated, else without a unit between 0 and 1.
    recording : Recording
    description : dict
        What the rates are: `unit`, `weights`, `dataset`, `preprocessing`, `calibration`, `software`
        and more; text or numbers, as every written file carries it.
    spike_times : tuple of float64 arrays, or None
        Discrete spikes of each neuron in s, where asked for.
    trust : trust.Trust, or None
        How far to believe the rates, per neuron and as warnings.
    """

    rates: np.ndarray
    recording: Recording
    description: dict = field(default_factory=dict)
    spike_times: tuple | None = None
    trust: object = None

    @property
    def times(self):
        """Time stamps in s, `(frame,)`: the recording's."""
        return self.recording.times

    @property
    def names(self):
        """Names of the neurons: the recording's."""
        return self.recording.names


def as_recording(
    traces,
    frame_rate=None,
    times=None,
    orientation=None,
    names=None,
    unit=None,
    source="array",
    notes=(),
    block_starts=(0,),
    usual_orientation="time-neuron",
):
    """Make a `Recording` from arrays, checking that they can be one.

    Parameters
    ----------
    traces : array_like `(frame, neuron)`, `(neuron, frame)` or `(frame,)`
        NaN where missing.
    frame_rate : float, optional
        In Hz. Needed where there are no `times`.
    times : array_like `(frame,)`, optional
        Time stamps in s; by default regular ones from 0.
    orientation : "time-neuron" or "neuron-time", optional
        What rows and columns are. If not stated it is `usual_orientation`, and an array with more
        neurons than frames is refused.
    names, unit, source, notes, block_starts
        As in `Recording`; names are by default 0, 1, ...

    Raises
    ------
    DataError
        If the arrays do not fit each other, are empty, hold no real numbers or infinite ones, if
        the times do not increase, or if the array seems to be transposed.
    UsageError
        If the frame rate is missing, impossible, or another one than the time stamps'.
    """
    stated = orientation is not None
    orientation = orientation or usual_orientation
    if orientation not in ORIENTATIONS:
        raise UsageError(f"orientation {orientation!r}? choose from {', '.join(ORIENTATIONS)}")
    if unit is not None and unit not in UNITS:
        raise UsageError(f"there is no unit {unit!r}; choose from {', '.join(UNITS)}")
    fluorescence = _as_table(traces, orientation, source)
    frames, neurons = fluorescence.shape
    if neurons > frames and not stated:
        other = ORIENTATIONS[1 - ORIENTATIONS.index(orientation)]
        raise DataError(
            f"{source} read as {orientation} would have {neurons} neurons of {frames} frames each; "
            f"state the orientation, {other} or {orientation}"
        )
    times, frame_rate = _check_times(times, frame_rate, frames, source)
    names = tuple(map(str, range(neurons) if names is None else names))
    if len(names) != neurons or len(set(names)) != neurons:
        raise DataError(f"{source} has {neurons} neurons; give each of them its own name")
    starts = tuple(int(start) for start in block_starts)
    if not starts or starts[0] != 0 or starts[-1] >= frames or np.any(np.diff(starts) <= 0):
        raise DataError(f"recording blocks cannot start at the frames {starts} of {frames}")
    _check_finite(fluorescence, names, source)
    return Recording(
        fluorescence, times, frame_rate, names, unit, str(source), tuple(notes), starts
    )


def _as_table(traces, orientation, source):
    values = np.asarray(traces)
    if values.dtype.kind not in "fiu":
        raise DataError(f"{source} holds {values.dtype} values; give an array of real numbers")
    if values.ndim == 1:
        values = values[:, None]
    elif orientation == "neuron-time":
        values = values.T
    if values.ndim != 2 or not values.size:
        raise DataError(f"{source} has shape {np.shape(traces)}; give frames x neurons")
    return values if values.dtype.kind == "f" else values.astype(np.float32)


def _check_times(times, frame_rate, frames, source):
    if frame_rate is not None:
        frame_rate = check_rate(frame_rate)
    if times is None:
        if frame_rate is None:
            raise UsageError(f"{source} does not tell its frame rate; state it in Hz")
        return np.arange(frames) / frame_rate, frame_rate
    times = np.asarray(times, np.float64).ravel()
    if times.shape != (frames,):
        raise DataError(f"{source} has {frames} frames but {times.size} time stamps; give as many")
    intervals = np.diff(times)
    bad = np.flatnonzero(~(intervals > 0))
    if bad.size or not np.isfinite(times).all():
        where = int(bad[0]) + 1 if bad.size else 0
        raise DataError(
            f"{source}: the time stamp of frame {where} (counted from 0) is not later than the one "
            "before; give increasing times in s"
        )
    if frames == 1:
        if frame_rate is None:
            raise UsageError(f"{source} is one frame long; state its frame rate in Hz")
        return times, frame_rate
    found = float(f"{1 / np.median(intervals):.9g}")  # beyond it is round-off of the time stamps
    if frame_rate is not None and abs(found - frame_rate) > RATE_MISMATCH * frame_rate:
        raise UsageError(
            f"{source}: the time stamps are {found:g} frames per second, not {frame_rate:g}; leave "
            "the frame rate out, or correct the time stamps (they are in s)"
        )
    return times, found


def _check_finite(fluorescence, names, source):
    infinite = np.isinf(fluorescence)
    if infinite.any():
        frame, neuron = np.argwhere(infinite)[0]
        raise DataError(
            f"{source}: neuron {names[neuron]} is infinite in frame {frame} (counted from 0); mark "
            "missing values by NaN"
        )
