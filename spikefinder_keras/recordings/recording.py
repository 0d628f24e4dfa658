"""A recording of somebody's own, and the rates predicted for it, whatever file they are in.

Everything between the readers, the network and the writers is one of these two. Inside, arrays are
`(frame, neuron)`, as everywhere in the package.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import DataError, UsageError
from ..text import clean_name, one_line
from .inputs import as_names, as_table, as_times, seconds
from .lazy import Stored, elementwise
from .missing import Missing, mark_missing
from .time_stamps import check_times

UNITS = ("dF/F", "F", "competition")
"""What the values of a recording are: relative change of fluorescence as a fraction, fluorescence
in the microscope's own unit, or traces in the competition's form (see `preprocess`)."""

ORIENTATIONS = ("time-neuron", "neuron-time")
"""What the rows and columns of an array are."""


@dataclass(frozen=True)
class Recording:
    """Fluorescence traces of neurons recorded together.

    Use `as_recording` to make one from arrays.

    Parameters
    ----------
    fluorescence : float array `(frame, neuron)`, or stored.Stored
        NaN where missing. What stays in its file is marked as missing when it is read (`part`).
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
    orientation : one of `ORIENTATIONS`
        Of what was given; the rates of a prediction have it too.
    about : dict of str to str
        What the file says of `indicator` and `species`, where it does.
    """

    fluorescence: np.ndarray
    times: np.ndarray
    frame_rate: float
    names: tuple
    unit: str | None = None
    source: str = "array"
    notes: tuple = ()
    block_starts: tuple = (0,)
    orientation: str = "time-neuron"
    about: dict = field(default_factory=dict)

    def __repr__(self):
        frames, neurons = self.fluorescence.shape
        return (
            f"<Recording of {neurons} neurons, {frames} frames at {self.frame_rate:g} Hz, "
            f"{self.unit or 'unit not stated'}, from {self.source}>"
        )

    def part(self, neurons):
        """Some neurons alone, in memory.

        Parameters
        ----------
        neurons : increasing sequence of int

        Returns
        -------
        Recording
        missing.Missing
            What of a file was found missing, now that it is read.
        """
        names, missing = tuple(self.names[neuron] for neuron in neurons), Missing()
        if isinstance(self.fluorescence, Stored):
            traces = self.fluorescence.T.rows(neurons, missing).T
            traces, _ = mark_missing(traces, self.frame_rate, own=True, missing=missing)
        else:
            whole = isinstance(neurons, range)  # a view
            traces = self.fluorescence[:, slice(neurons[0], neurons[-1] + 1) if whole else neurons]
        return replace(self, fluorescence=traces, names=names), missing


@dataclass(frozen=True)
class Prediction:
    """Spike rates predicted for a recording.

    Attributes
    ----------
    table : float32 array `(frame, neuron)`, or stored.Stored
        Rates at the recording's own time stamps and in its order of neurons; NaN where there was
        nothing to predict from. In spikes per second of `universal`, without a unit between 0 and 1
        of the networks of 2017.
    recording : Recording
    description : dict
        What the rates are: `unit`, `weights`, `indicator` or `dataset`, `preprocessing`,
        `software` and more; text or numbers, as every written file carries it.
    spike_times : tuple of float64 arrays, or None
        Discrete spikes of each neuron in s, where asked for.
    trust : trust.Trust, or None
        How far to believe the rates, per neuron and as warnings.
    """

    table: np.ndarray
    recording: Recording
    description: dict = field(default_factory=dict)
    spike_times: tuple | None = None
    trust: object = None

    def __repr__(self):
        frames, neurons = self.table.shape
        unit = self.description.get("unit", "unit not stated")
        weights = self.description.get("weights", "weights not stated")
        return f"<Prediction for {neurons} neurons, {frames} frames, {unit}, weights {weights}>"

    @property
    def rates(self):
        """The rates in the orientation of what was given, as its `(frame, neuron)` or turned."""
        return self.table.T if self.recording.orientation == "neuron-time" else self.table

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
    usual_orientation="neuron-time",
    own=False,
):
    """Make a `Recording` from arrays, checking that they can be one.

    Parameters
    ----------
    traces : array_like `(neuron, frame)`, `(frame, neuron)` or `(frame,)`
        NaN where missing. Arrays and lists have neurons as rows unless something says otherwise;
        pandas' DataFrame, pynapple's TsdFrame and xarray's DataArray bring their orientation, names
        and time stamps.
    frame_rate : float, optional
        In Hz. Needed where there are no `times`.
    times : array_like `(frame,)`, optional
        Time stamps in s, or dates or time differences; by default regular ones from 0. They also
        tell which axis is time.
    orientation : "time-neuron" or "neuron-time", optional
        What rows and columns are. If nothing tells, it is `usual_orientation`, and an array with
        more neurons than frames is refused.
    names, unit, source, notes, block_starts
        As in `Recording`; names are by default 0, 1, ...
    own : bool
        The array may be changed in place.

    Raises
    ------
    DataError
        If the arrays do not fit each other, are empty or hold no real numbers, if the times do not
        increase, or if the array seems to be transposed.
    UsageError
        If the frame rate is missing, impossible, or another one than the time stamps'.
    """
    if orientation not in (None, *ORIENTATIONS):
        raise UsageError(f"orientation {orientation!r}? choose from {', '.join(ORIENTATIONS)}")
    if unit is not None and unit not in UNITS:
        raise UsageError(f"there is no unit {unit!r}; choose from {', '.join(UNITS)}")
    given = as_table(traces, source)
    times = given.times if times is None else seconds(times)
    known = orientation or given.orientation
    if known is None and times is not None:
        known = orientation_by(np.shape(given.values), times.size)
    orientation = known or given.usual or usual_orientation
    fluorescence = _as_frames(given.values, orientation, source)
    frames, neurons = fluorescence.shape
    if neurons > frames and known is None:
        other = ORIENTATIONS[1 - ORIENTATIONS.index(orientation)]
        raise DataError(
            f"{source} read as {orientation} would have {neurons} neurons of {frames} frames each; "
            f"state the orientation (--orientation), {other} or {orientation}"
        )
    of_frames, of_neurons = given.labels if orientation == "time-neuron" else given.labels[::-1]
    if times is None:
        times = as_times(of_frames)
    times, frame_rate, time_notes = check_times(times, frame_rate, frames, source)
    names = of_neurons if names is None else names
    names = tuple(map(clean_name, as_names(range(neurons) if names is None else names)))
    if len(names) != neurons or len(set(names)) != neurons:
        raise DataError(
            f"{source} has {neurons} neurons and {len(set(names))} different names; give each "
            "neuron its own name"
        )
    starts = tuple(int(start) for start in block_starts)
    if not starts or starts[0] != 0 or starts[-1] >= frames or np.any(np.diff(starts) <= 0):
        raise DataError(f"recording blocks cannot start at the frames {starts} of {frames}")
    notes = [one_line(note) for note in (*notes, *given.notes, *time_notes)]
    if unit == "competition":  # as in 2017: nothing is taken for missing but what is
        fluorescence = np.asarray(fluorescence)
        _check_finite(fluorescence, names, source)
    elif not isinstance(fluorescence, Stored):
        fluorescence, missing = mark_missing(fluorescence, frame_rate, own)
        notes += missing.notes(neurons)
    orientation = "time-neuron" if np.ndim(given.values) == 1 else orientation
    return Recording(
        fluorescence, times, frame_rate, names, unit, str(source), tuple(notes), starts, orientation
    )


def orientation_by(shape, frames):
    """The one that makes `frames` frames of a table, if that decides it."""
    if len(shape) == 2 and (shape[0] == frames) != (shape[1] == frames):
        return "time-neuron" if shape[0] == frames else "neuron-time"
    return None


def _as_frames(values, orientation, source):
    if values.dtype.kind not in "fiu":
        raise DataError(f"{source} holds {values.dtype} values; give an array of real numbers")
    shape = values.shape
    if values.ndim == 1:
        values = values[:, None]
    elif orientation == "neuron-time":
        values = values.T
    if values.ndim != 2 or not values.size:
        raise DataError(f"{source} has shape {shape}; give neurons x frames")
    if values.dtype.kind == "f":
        return values
    return elementwise(lambda rows: rows.astype(np.float32), values, dtype=np.float32)


def _check_finite(fluorescence, names, source):
    infinite = np.isinf(fluorescence)
    if infinite.any():
        frame, neuron = np.argwhere(infinite)[0]
        raise DataError(
            f"{source}: neuron {names[neuron]} is infinite in frame {frame} (counted from 0); mark "
            "missing values by NaN"
        )
