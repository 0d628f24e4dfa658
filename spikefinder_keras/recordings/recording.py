"""A recording of somebody's own, what predicts it, its rates, and how far to trust them.

Everything between the readers, the networks and the writers is one of these, whatever file it is
in. Inside, arrays are `(frame, neuron)`, as everywhere in the package.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..arrays import Array, ArrayLike, Numbers, Rates, Table, Times
from ..errors import DataError, UsageError
from ..network.engine import Engine
from ..text import clean_name, counted, one_line
from .inputs import as_input, as_names, as_times, check_times, seconds
from .lazy import AnyTable, LazyTable, elementwise
from .missing import NONE_MISSING, MissingCounts, mark_missing
from .options import ORIENTATIONS, UNITS
from .segments import Segment, find_segments, only_segment


@dataclass(frozen=True)
class Recording:
    """Fluorescence traces of neurons recorded together.

    Use `as_recording` to make one from arrays.

    Attributes
    ----------
    fluorescence : (frame, neuron)
        NaN where missing. What stays in its file is marked as missing when it is read (`part`).
    times : (frame,)
        Time stamps in s, strictly increasing.
    frame_rate
        Typical number of frames per second, in Hz.
    names
        One per neuron: the ROI numbers or names of the file, in its order.
    unit
        One of `options.UNITS`, or None where nobody said.
    source
        Where it comes from, for messages and for the description of the result.
    notes
        What the reader did or saw that a user should know (neuropil subtracted, ROIs left out).
    segment_starts
        Frames with which a segment begins for certain; the first is 0.
    orientation
        One of `options.ORIENTATIONS`, of what was given; the rates of a prediction have it too.
    about
        What the file says of `indicator` and `species`, where it does.
    missing
        What was found to be no data when this part of a file was read.
    """

    fluorescence: AnyTable
    times: Times
    frame_rate: float
    names: tuple[str, ...]
    unit: str | None = None
    source: str = "array"
    notes: tuple[str, ...] = ()
    segment_starts: tuple[int, ...] = (0,)
    orientation: str = "time-neuron"
    about: dict[str, str] = field(default_factory=dict)
    missing: MissingCounts = NONE_MISSING

    def __repr__(self) -> str:
        frames, neurons = self.fluorescence.shape
        return (
            f"<Recording of {counted(neurons, 'neuron')}, {counted(frames, 'frame')} at "
            f"{self.frame_rate:g} Hz, {self.unit or 'unit not stated'}, from {self.source}>"
        )

    @property
    def traces(self) -> Table:
        """The fluorescence in memory, all of it."""
        return np.asarray(self.fluorescence)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The stretches between pauses; one in the competition's form, as in 2017. Raises what
        `find_segments` and `only_segment` of `segments` do."""
        if self.unit == "competition":
            return only_segment(len(self.times), self.frame_rate, source=self.source)
        return find_segments(
            self.times, self.frame_rate, starts=self.segment_starts, source=self.source
        )

    def part(self, neurons: Sequence[int] | Numbers) -> "Recording":
        """Some neurons alone, by increasing numbers, in memory, what is no data marked as
        missing."""
        names, missing = tuple(self.names[neuron] for neuron in neurons), self.missing
        traces: Table
        if isinstance(self.fluorescence, LazyTable):
            rows = self.fluorescence.T.load(neurons)
            traces, found = mark_missing(rows.values.T, self.frame_rate, in_place=True)
            missing = rows.missing + found
        elif isinstance(neurons, range):  # a view, without a copy
            traces = self.fluorescence[:, neurons.start : neurons.stop]
        else:
            traces = self.fluorescence[:, neurons]
        part = replace(self, fluorescence=traces, names=names, missing=missing)
        # Segments are the whole recording's; finding them once is enough.
        part.__dict__["segments"] = self.segments
        return part


@dataclass(frozen=True)
class Certainty:
    """What says how sure a network is of a neuron: a number from 0 to 1.

    `name` heads its column, `words` explain it; below `limit` the neuron is called `verdict`.
    """

    name: str
    words: str
    limit: float
    verdict: str


@dataclass(frozen=True)
class NeuronQuality:
    """How far to trust one neuron's prediction.

    `noise_level` is Cascade's, in % Hz^-1/2 (see `signals.measures.noise_level`): about 1 is very
    good, 3 to 4 decent, above 5 poor; NaN where dF/F is not known. `distance` is that of the
    network's input from what it was trained on: 0 like the median training trace, 1 like the most
    extreme one, in the `feature` farthest off. For `certainty` see `Certainty`; which of the two it
    is, `Quality` says. Of the missing frames so many were `bridged` by interpolation, and of so
    many the rates are `lost`: left empty.
    """

    name: str
    noise_level: float
    distance: float
    feature: str
    certainty: float
    bridged: int
    lost: int


@dataclass(frozen=True)
class Quality:
    """How far to trust a prediction: each neuron's numbers, what their `certainty` is, and lines on
    what may be wrong with the recording as a whole."""

    neurons: tuple[NeuronQuality, ...]
    warnings: tuple[str, ...]
    certainty: Certainty


NO_QUALITY = Quality((), (), Certainty("certainty", "certainty", 0.0, "uncertain"))
"""The quality of a prediction of which nothing is known."""


@dataclass(frozen=True)
class Prediction:
    """Spike rates predicted for a recording.

    Attributes
    ----------
    table : float32 (frame, neuron)
        Rates at the recording's own time stamps and in its order of neurons; NaN where there was
        nothing to predict from. In spikes per second of `universal`, without a unit between 0 and 1
        of the networks of 2017. May stay in its file.
    recording
    description
        What the rates are: `unit`, `weights`, `indicator` or `dataset`, `preprocessing`,
        `software` and more; text or numbers, as every written file carries it.
    spike_times
        Discrete spikes of each neuron in s, where asked for.
    quality
        How far to trust the rates, per neuron and as warnings.
    """

    table: AnyTable
    recording: Recording
    description: dict[str, Any] = field(default_factory=dict)
    spike_times: tuple[Times, ...] | None = None
    quality: Quality = NO_QUALITY

    def __repr__(self) -> str:
        frames, neurons = self.table.shape
        unit = self.description.get("unit", "unit not stated")
        weights = self.description.get("weights", "weights not stated")
        of = f"{counted(neurons, 'neuron')}, {counted(frames, 'frame')}"
        return f"<Prediction for {of}, {unit}, weights {weights}>"

    @property
    def rates(self) -> Rates | LazyTable:
        """The rates in the orientation of what was given, as its `(frame, neuron)` or turned."""
        return self.table.T if self.recording.orientation == "neuron-time" else self.table

    @property
    def times(self) -> Times:
        """Time stamps in s, `(frame,)`: the recording's."""
        return self.recording.times

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the neurons: the recording's."""
        return self.recording.names


@dataclass(frozen=True)
class Predicted:
    """What was predicted of some neurons: rates float32 `(frame, neuron)`, each one's spike times
    in s where asked for, and its quality."""

    rates: Rates
    spike_times: list[Times] | None
    quality: list[NeuronQuality]


class Predictor(Protocol):
    """A network with all that is known of a recording's indicator: its weights' name, for
    descriptions, and path (None where a loaded network was given), and what its neurons' certainty
    is."""

    name: str
    path: Path | None
    engine: Engine
    certainty: Certainty

    def predict(self, recording: Recording) -> Predicted:
        """Predict the neurons of a recording in memory, each by itself."""

    def describe(self, recording: Recording) -> dict[str, Any]:
        """What the rates are, as every written file says it: text and numbers."""


def described_alike(recording: Recording) -> dict[str, Any]:
    """What every predictor says of a recording."""
    return {
        "time": "mean over each frame's interval, centred on its time stamp in s",
        "frame_rate": recording.frame_rate,
        "source": recording.source,
        "notes": "; ".join(recording.notes),
    }


def as_recording(  # noqa: PLR0913 - a keyword for each thing that an array cannot say of itself
    traces: ArrayLike | LazyTable,
    frame_rate: float | None = None,
    times: ArrayLike | None = None,
    *,
    orientation: str | None = None,
    names: Sequence[str] | None = None,
    unit: str | None = None,
    source: str = "array",
    notes: Sequence[str] = (),
    segment_starts: Sequence[int] = (0,),
    usual_orientation: str = "neuron-time",
    in_place: bool = False,
) -> Recording:
    """Make a `Recording` from arrays, checking that they can be one.

    Parameters
    ----------
    traces : (neuron, frame), (frame, neuron) or (frame,)
        NaN where missing. Arrays and lists have neurons as rows unless something says otherwise;
        pandas' DataFrame, pynapple's TsdFrame and xarray's DataArray bring their orientation, names
        and time stamps.
    frame_rate
        In Hz. Needed where there are no `times`.
    times : (frame,)
        Time stamps in s, or dates or time differences; by default regular ones from 0. They also
        show which axis is time.
    orientation
        "time-neuron" or "neuron-time": what rows and columns are. If nothing shows it, it is
        `usual_orientation`, and an array with more neurons than frames is refused.
    names, unit, source, notes, segment_starts
        As in `Recording`; names are by default 0, 1, ...
    in_place
        The array may be changed.

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
    if unit not in (None, *UNITS):
        raise UsageError(f"there is no unit {unit!r}; choose from {', '.join(UNITS)}")
    given = as_input(traces, source)
    stamps = given.times if times is None else seconds(times)
    # What is stated goes before what a type says, and that before what its shape allows.
    certain = orientation or given.orientation
    if certain is None and stamps is not None:
        certain = orientation_by(np.shape(given.values), stamps.size)
    orientation = certain or given.usual or usual_orientation
    fluorescence = _as_frames(given.values, orientation, source)
    frames, neurons = fluorescence.shape
    # No recording has fewer frames than neurons, unless it is very large or transposed.
    if neurons > frames and certain is None:
        other = ORIENTATIONS[1 - ORIENTATIONS.index(orientation)]
        raise DataError(
            f"{source} read as {orientation} would have {neurons} neurons of {frames} frames each; "
            f"state the orientation (--orientation), {other} or {orientation}"
        )
    of_frames, of_neurons = given.labels if orientation == "time-neuron" else given.labels[::-1]
    if stamps is None:
        stamps = as_times(of_frames)
    stamps, frame_rate, time_notes = check_times(stamps, frame_rate, frames=frames, source=source)
    all_notes = [one_line(note) for note in (*notes, *given.notes, *time_notes)]
    if unit == "competition":  # as in 2017: nothing is taken for missing but what is
        fluorescence = np.asarray(fluorescence)
    elif not isinstance(fluorescence, LazyTable):
        fluorescence, missing = mark_missing(fluorescence, frame_rate, in_place=in_place)
        all_notes += missing.notes(neurons)
    recording = Recording(
        fluorescence,
        stamps,
        frame_rate,
        names=_names(of_neurons if names is None else names, neurons, source),
        unit=unit,
        source=str(source),
        notes=tuple(all_notes),
        segment_starts=_starts(segment_starts, frames),
        # A single trace has no other way round.
        orientation="time-neuron" if np.ndim(given.values) == 1 else orientation,
    )
    if unit == "competition":
        _check_finite(recording)
    return recording


def orientation_by(shape: Sequence[int], frames: int) -> str | None:
    """The one that makes `frames` frames of a table, if that decides it."""
    if len(shape) == 2 and (shape[0] == frames) != (shape[1] == frames):
        return "time-neuron" if shape[0] == frames else "neuron-time"
    return None


def _as_frames(values: Array | LazyTable, orientation: str, source: str) -> AnyTable:
    if values.dtype.kind not in "fiu":
        raise DataError(f"{source} holds {values.dtype} values; give an array of real numbers")
    shape = values.shape
    if not isinstance(values, LazyTable) and values.ndim == 1:
        values = values[:, None]
    elif orientation == "neuron-time":
        values = values.T
    if values.ndim != 2 or not values.size:
        raise DataError(f"{source} has shape {shape}; give neurons x frames")
    if values.dtype.kind == "f":
        return values
    return elementwise(lambda rows: rows.astype(np.float32), values, dtype=np.float32)


def _names(labels: Any, neurons: int, source: str) -> tuple[str, ...]:
    """Names of the neurons: of their labels, else 0, 1, ..."""
    labels = range(neurons) if labels is None else labels
    names = tuple(clean_name(name) for name in as_names(labels))
    if len(names) != neurons or len(set(names)) != neurons:
        raise DataError(
            f"{source} has {neurons} neurons and {len(set(names))} different names; give each "
            "neuron its own name"
        )
    return names


def _starts(starts: Sequence[int], frames: int) -> tuple[int, ...]:
    found = tuple(int(start) for start in starts)
    if not found or found[0] != 0 or found[-1] >= frames or np.any(np.diff(found) <= 0):
        raise DataError(f"segments cannot start at the frames {found} of {frames}")
    return found


def _check_finite(recording: Recording) -> None:
    """Refuse infinite values in the competition's form, which are no missing ones there."""
    infinite = np.isinf(recording.fluorescence)
    if infinite.any():
        frame, neuron = np.argwhere(infinite)[0]
        raise DataError(
            f"{recording.source}: neuron {recording.names[neuron]} is infinite in frame {frame} "
            "(counted from 0); mark missing values by NaN"
        )
