"""From arrays to a `Recording`: what Python's own objects say of traces (rows, columns, names and
time stamps of pandas' DataFrame, pynapple's TsdFrame, xarray's DataArray, masked arrays and lists),
and time stamps in s checked against the frame rate in Hz.

None of these libraries is imported: an object that is not there cannot be handed over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from ..arrays import Array, ArrayLike, Times
from ..errors import DataError, UsageError
from ..files.csv import SECONDS
from ..signals.preprocess import check_rate
from ..text import clean_name, one_line
from .options import ORIENTATIONS, UNITS
from .recording import AnyTable, LazyTable, Recording, elementwise
from .segments import mark_missing

TIMES = ("time", "times", "t", "timestamp", "timestamps")
TIME_DIMENSIONS = (*TIMES, "frame", "frames", "sample", "samples")
NEURON_DIMENSIONS = (
    "neuron", "neurons", "unit", "units", "unit_id", "cell", "cells", "cell_id", "roi", "rois",
    "roi_id", "component", "components", "column", "columns",
)  # fmt: skip
"""Names of dimensions, as xarray's programs give them (Minian has unit_id and frame), in lower
case."""

RATE_MISMATCH = 0.01
"""A stated frame rate may differ by this share from the one of the time stamps: people write 30 Hz
for a resonant scanner's 29.97 Hz."""

SLOWEST, FASTEST = 0.3, 1000.0
"""Outside these Hz time stamps or frame rate are hardly in s or Hz: of volumes, the slowest
published are at 0.5 Hz; 1 kHz is a line scan."""

ORDINARY = 1.5  # times the median an interval may last; in a longer one frames are missing
FINEST_ROUNDING = 6
"""Time stamps rounded to so many decimals or fewer (microseconds) are known to be rounded; finer
ones make no difference to a frame rate."""


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


# What objects say of themselves


@dataclass(frozen=True)
class Input:
    """Traces, and what the object that holds them says of them: the orientation where it is
    certain, the one that is usual for such an object, the labels of rows and columns, and certain
    time stamps in s, `(frame,)`."""

    values: Array | LazyTable
    orientation: str | None = None
    usual: str | None = None
    labels: tuple[Any, Any] = (None, None)
    times: Times | None = None
    notes: tuple[str, ...] = ()


def as_input(traces: Any, source: str) -> Input:
    """The `Input` of whatever holds traces; `DataError` if it is no rectangular table of
    numbers."""
    # A mask is more than numpy's array knows of itself, and is lost in every conversion.
    if isinstance(traces, np.ma.MaskedArray):
        values = traces.astype(np.result_type(traces.dtype, np.float32))
        count = np.ma.count_masked(traces)
        notes = (f"{count} masked values: taken as missing",) if count else ()
        return Input(np.ma.filled(values, np.nan), notes=notes)
    if isinstance(traces, np.ndarray | LazyTable):
        return Input(traces)
    if hasattr(traces, "dims") and hasattr(traces, "coords"):
        return _from_xarray(traces)
    if hasattr(traces, "t") and hasattr(traces, "values"):  # pynapple's
        labels = (None, getattr(traces, "columns", None))
        times = np.asarray(traces.t, np.float64)
        return Input(np.asarray(traces.values), "time-neuron", labels=labels, times=times)
    if hasattr(traces, "iloc"):
        return _from_pandas(traces, source)
    return Input(_from_list(traces, source))


def _from_xarray(traces: Any) -> Input:
    orientation, times, labels = orientation_of(traces.dims), None, []
    for name in traces.dims:
        there = name in traces.coords
        label = np.asarray(traces.coords[name].values) if there else None
        if there and str(name).lower() in TIMES:
            times = times_in(label, traces.coords[name].attrs.get("units"))
        labels.append(label)
    if len(labels) == 1:
        labels, orientation = [labels[0], None], "time-neuron"
    rows, columns, *_ = [*labels, None, None]
    return Input(np.asarray(traces.values), orientation, labels=(rows, columns), times=times)


def _from_pandas(traces: Any, source: str) -> Input:
    columns = getattr(traces, "columns", None)  # a Series has none
    try:
        values = traces.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        text = [] if columns is None else [
            str(name)
            for name, dtype in zip(columns, traces.dtypes, strict=True)
            if getattr(dtype, "kind", "O") not in "fiub"
        ]  # fmt: skip
        which = f" in the columns {', '.join(text[:5])}" if text else ""
        raise DataError(
            f"{source} is a table with values that are no numbers{which}; leave these out"
        ) from None
    index = traces.index
    named = str(index.name).lower() in TIMES and _kind(index) in "fiuMm"
    times = seconds(index) if named else as_times(index)
    certain = None if times is None else "time-neuron"
    if columns is None:
        certain = "time-neuron"
    elif certain is None and as_times(columns) is not None and _kind(columns) in "Mm":
        certain = "neuron-time"
    return Input(values, certain, "time-neuron", (index, columns), times)


def _from_list(traces: Any, source: str) -> Array:
    try:
        values = np.asarray(traces)
    except ValueError:
        values = None
    if values is not None and values.dtype == object and isinstance(traces, list | tuple):
        try:
            values = np.array(traces, np.float64)  # None becomes NaN
        except (TypeError, ValueError):
            values = None
    if values is None:
        raise DataError(
            f"{source} is no table: its rows are of different length, or hold no numbers; give "
            "every neuron as many frames, NaN where missing"
        )
    return values


def orientation_of(dimensions: Sequence[Any] | None) -> str | None:
    """What the names of two dimensions say about rows and columns; None where they say nothing."""
    if dimensions is None or len(dimensions) != 2:
        return None
    is_time, is_neuron = (
        [str(name).lower() in known for name in dimensions]
        for known in (TIME_DIMENSIONS, NEURON_DIMENSIONS)
    )
    # One name that is known decides: the other may be anything, such as "x".
    if (is_time[0] and not is_time[1]) or (is_neuron[1] and not is_neuron[0]):
        return "time-neuron"
    if (is_time[1] and not is_time[0]) or (is_neuron[0] and not is_neuron[1]):
        return "neuron-time"
    return None


def as_names(labels: Iterable[Any]) -> tuple[str, ...]:
    """Names as text; whole numbers without a decimal point."""
    names = []
    for label in labels:
        label = label.item() if isinstance(label, np.generic) else label
        if isinstance(label, bytes):
            label = label.decode(errors="replace")
        whole = isinstance(label, float) and label.is_integer()
        names.append(str(int(label)) if whole else str(label))
    return tuple(names)


# Time stamps


def _kind(labels: Any) -> str:
    return getattr(getattr(labels, "dtype", None), "kind", "O")


def as_times(labels: Any) -> Times | None:
    """Time stamps in s that the labels of an axis are, or None if they only count or name: dates
    and time differences always are time stamps, numbers if they increase in other steps than 1."""
    if labels is None or len(labels) < 2:
        return None
    kind = _kind(labels)
    if kind in "Mm":
        return seconds(labels)
    if kind not in "fiu":
        return None
    values = np.asarray(labels, np.float64)
    steps = np.diff(values)
    # Labels in steps of 1 count frames, whatever they are called.
    if not np.isfinite(values).all() or not (steps > 0).all() or (steps == 1).all():
        return None
    return values


def times_in(values: Any, unit: str | None = None) -> Times:
    """Time stamps in s of those in another unit, by its name; without a known one they are in s."""
    values = np.asarray(values)
    scale = SECONDS.get(str(unit).strip().lower(), 1.0) if values.dtype.kind in "fiu" else 1.0
    return seconds(values) * scale


def seconds(times: Any) -> Times:
    """Time stamps as float64 s: numbers as they are, dates and time differences in s since the
    first of them, or since 0."""
    values = times if hasattr(times, "tz") else np.ravel(times)  # pandas' dates know their zone
    if _kind(values) not in "OMm":
        return np.asarray(values, np.float64)
    import pandas as pd

    found = pd.Series(values)
    first = found.iloc[0] if len(found) else None
    if isinstance(first, timedelta):
        found = pd.to_timedelta(found)
    elif isinstance(first, date):
        found = pd.to_datetime(found, utc=True)
    if found.dtype.kind == "M":
        found = found - found.min()
    if found.dtype.kind == "m":
        return found.dt.total_seconds().to_numpy(np.float64)
    return found.to_numpy(np.float64)


def plausible_rate(frame_rate: float) -> float:
    """A stated frame rate in Hz, or `UsageError` if none is made so."""
    frame_rate = check_rate(frame_rate)
    if not SLOWEST <= frame_rate <= FASTEST:
        raise UsageError(
            f"a frame rate of {frame_rate:g} Hz? are these ms, or seconds for a frame? give frames "
            f"per second (--frame-rate), {SLOWEST:g} to {FASTEST:g} without time stamps"
        )
    return frame_rate


def check_times(
    times: Times | None, frame_rate: float | None, *, frames: int, source: str
) -> tuple[Times, float, list[str]]:
    """Time stamps in s, frame rate in Hz, and notes, of what is stated of `frames` frames; raises
    as `as_recording` does."""
    if times is None:
        if frame_rate is None:
            raise UsageError(
                f"{source} does not tell its frame rate; state it in Hz (--frame-rate)"
            )
        frame_rate = plausible_rate(frame_rate)
        return np.arange(frames) / frame_rate, frame_rate, []
    frame_rate = None if frame_rate is None else check_rate(frame_rate)
    if times.shape != (frames,):
        raise DataError(f"{source} has {frames} frames but {times.size} time stamps; give as many")
    times, notes = _fill_times(times, frame_rate, source)
    bad = np.flatnonzero(~(np.diff(times) > 0))
    if bad.size:
        raise DataError(
            f"{source}: the time stamp of frame {int(bad[0]) + 1} (counted from 0) is not later "
            "than the one before; give increasing times in s"
        )
    # One frame has no interval.
    if frames == 1:
        if frame_rate is None:
            raise UsageError(
                f"{source} is one frame long; state its frame rate in Hz (--frame-rate)"
            )
        return times, frame_rate, notes
    found = rate_of(times)
    if frame_rate is None and not SLOWEST <= found <= FASTEST:
        raise UsageError(
            f"{source}: the time stamps are {found:.3g} frames per second; are these ms? give them "
            f"in s, or state that frame rate (--frame-rate {found:.3g}) if it is true"
        )
    if frame_rate is not None and not _same_rate(times, found, frame_rate):
        raise UsageError(
            f"{source}: the time stamps are {found:.6g} frames per second, not {frame_rate:g}; "
            "leave the frame rate out (--frame-rate), or correct the time stamps (they are in s: "
            "are these ms?)"
        )
    return times, found, notes


def rate_of(times: Times) -> float:
    """Frames per second by increasing time stamps in s: the mean of their ordinary intervals, as a
    median would be that of rounded ones; intervals with frames missing are left out."""
    intervals = np.diff(times)
    even = np.linspace(times[0], times[-1], times.size)
    if np.abs(times - even).max() > _rounding(times):
        intervals = intervals[intervals <= ORDINARY * np.median(intervals)]
    return float(f"{1 / np.mean(intervals):.9g}")  # beyond it is round-off of the time stamps


def _same_rate(times: Times, found: float, stated: float) -> bool:
    """Whether a stated rate is the time stamps', or differs by what their rounding can explain."""
    if abs(found - stated) <= RATE_MISMATCH * stated:
        return True
    intervals = np.diff(times)
    count = np.count_nonzero(intervals <= ORDINARY * np.median(intervals))
    return bool(abs(1 / found - 1 / stated) * count <= _rounding(times))


def _rounding(times: Times) -> float:
    """The power of ten in s to which time stamps are rounded; 0 if to none."""
    for digits in range(FINEST_ROUNDING + 1):
        scaled = times * 10**digits
        if np.abs(scaled - np.round(scaled)).max() < 1e-3:  # what float64 leaves of a decimal
            return 10.0**-digits
    return 0.0


def _fill_times(times: Times, frame_rate: float | None, source: str) -> tuple[Times, list[str]]:
    """`times` without NaN: as the stated frame rate continues them, else `DataError`."""
    known = np.isfinite(times)
    if known.all():
        return times, []
    frames = np.flatnonzero(known)
    count, first = int((~known).sum()), int(np.flatnonzero(~known)[0])
    if frame_rate is None or not frames.size:
        raise DataError(
            f"{source}: {count} of {times.size} time stamps are missing (NaN), the time stamp of "
            f"frame {first} (counted from 0) first; correct them, or state the frame rate "
            "(--frame-rate) by which to fill them in"
        )
    every = np.arange(times.size)
    filled = np.interp(every, frames, times[frames])
    # Interpolation holds the ends; there the frame rate goes on.
    for lost, end in ((every < frames[0], frames[0]), (every > frames[-1], frames[-1])):
        filled[lost] = times[end] + (every[lost] - end) / frame_rate
    return filled, [f"{count} missing time stamps filled in by the frame rate of {frame_rate:g} Hz"]
