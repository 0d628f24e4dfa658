"""From traces to a `Recording`: which axis is time, names, segments, and time stamps in s checked
against the frame rate in Hz. What objects of other libraries say of themselves is read in
`objects`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from ..arrays import Array, ArrayLike, Mask, Times
from ..errors import DataError, UsageError
from ..labels import (
    ORDINARY,
    SECONDS,
    frames_with_holes,
    likely_units,
    looks_like_days,
    restarts,
)
from ..signals.preprocess import check_rate
from ..text import clean_name, counted, one_line
from .objects import Input, as_input, as_times, stamps_of
from .options import ORIENTATIONS, UNITS, Segments
from .recording import AnyTable, LazyTable, Recording, elementwise
from .segments import column_of, mark_missing, stated_starts

RATE_MISMATCH = 0.01
"""A stated frame rate may differ by this share from the one of the time stamps: people write 30 Hz
for a resonant scanner's 29.97 Hz."""

SLOWEST, FASTEST = 0.3, 1000.0
"""Outside these Hz time stamps or frame rate are hardly in s or Hz: of volumes, the slowest
published are at 0.5 Hz; 1 kHz is a line scan."""

FEWEST_STAMPS = 10
"""Time stamps of a segment of its own frame rate; fewer tell none."""

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
    segments: Segments | None = None,
    variable: str | None = None,
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
    segments, variable
        As in `options.ReadOptions`; names of columns are for pandas' and polars' tables.
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
    column = column_of(segments)
    if column is None and variable is None and _is_bare(traces):
        given = Input(traces)
    else:
        turned = orientation == "neuron-time"
        given = as_input(traces, source, column, turned=turned, variable=variable)
    stamps = given.times if times is None else stamps_of(times, source)
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
    if stamps is None and of_frames is not None:
        stamps = as_times(of_frames)
    frame_rate, told = as_rate(frame_rate), as_rate(given.frame_rate)
    rate_from = "as stated" if frame_rate is not None else "of the table"
    if stamps is not None:
        rate_from = "by the time stamps"
    else:
        frame_rate = told if frame_rate is None else frame_rate
        stamps = counted_times(given.frames, frame_rate, labels=of_frames)
    clock = check_times(stamps, frame_rate, frames=frames, neurons=neurons, source=source)
    stamps, frame_rate = clock.times, clock.frame_rate
    differs = other_rate(frame_rate, told, "the table")
    starts = sorted({*_starts(segment_starts, frames), *given.starts, *clock.starts})
    all_notes = [one_line(note) for note in (*notes, *given.notes, *clock.notes, *differs)]
    if segments is not None and column is None:
        starts = list(stated_starts(segments, frames))
        all_notes.append(f"{len(starts)} segments, as stated")
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
        segment_starts=_starts(starts, frames),
        # A single trace has no other way round.
        orientation="time-neuron" if np.ndim(given.values) == 1 else orientation,
        rate_from=rate_from,
    )
    if unit == "competition":
        _check_finite(recording)
    return recording


def counted_times(
    frames: Array | None, frame_rate: float | None, *, labels: Any = None
) -> Times | None:
    """Time stamps in s of frames that are counted, from 0, or by what labels them; None where
    nothing counts them, or nobody knows their rate."""
    if frames is None and labels is not None:
        frames = frames_with_holes(labels)
    return None if frames is None or frame_rate is None else frames / plausible_rate(frame_rate)


def other_rate(frame_rate: float, told: float | None, where: str, how: str = "") -> list[str]:
    """A note where the frame rate in Hz that something tells is another than the one that is used,
    which is known as `how` says; none where nothing tells one."""
    if told is None or abs(frame_rate - check_rate(told)) <= RATE_MISMATCH * frame_rate:
        return []
    return [f"the frame rate is {frame_rate:g} Hz{how}, but {told:g} Hz in {where}"]


def _is_bare(traces: Any) -> TypeGuard[Array | LazyTable]:
    """Whether traces are a table of numbers that says nothing of itself."""
    if isinstance(traces, LazyTable):
        return True
    return type(traces) is np.ndarray and traces.dtype.kind in "fiu"


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


def as_rate(frame_rate: Any) -> Any:
    """A frame rate in Hz, of one that may have a unit of its own."""
    return frame_rate.rescale("Hz").magnitude if hasattr(frame_rate, "rescale") else frame_rate


def plausible_rate(frame_rate: float) -> float:
    """A stated frame rate in Hz, or `UsageError` if none is made so."""
    frame_rate = check_rate(frame_rate)
    if not SLOWEST <= frame_rate <= FASTEST:
        raise UsageError(
            f"a frame rate of {frame_rate:g} Hz? are these ms, or seconds for a frame? give frames "
            f"per second (--frame-rate), {SLOWEST:g} to {FASTEST:g} without time stamps"
        )
    return frame_rate


@dataclass(frozen=True)
class Clock:
    """Time stamps in s, `(frame,)`, frame rate in Hz, notes, and the frames at which the stamps
    that were given start anew."""

    times: Times
    frame_rate: float
    notes: Sequence[str] = ()
    starts: tuple[int, ...] = ()


def check_times(
    times: Times | None, frame_rate: float | None, *, frames: int, neurons: int, source: str
) -> Clock:
    """The clock of `frames` frames of `neurons` neurons by what is stated of them; raises as
    `as_recording` does."""
    if times is None:
        if frame_rate is None:
            raise UsageError(
                f"{source} does not tell its frame rate; state it in Hz (--frame-rate)"
            )
        frame_rate = plausible_rate(frame_rate)
        return Clock(np.arange(frames) / frame_rate, frame_rate)
    frame_rate = None if frame_rate is None else check_rate(frame_rate)
    if times.shape != (frames,):
        raise DataError(
            f"{source} has {frames} frames but {times.size} time stamps"
            f"{_of_other_frames(times, frames, neurons)}"
        )
    times, notes = _fill_times(times, frame_rate, source)
    times = _of_counted(times, frame_rate, notes)
    times, starts = _joined(times, notes)
    bad = np.flatnonzero(~(np.diff(times) > 0))
    if bad.size:
        raise DataError(
            f"{source}: the time stamp of frame {int(bad[0]) + 1} (counted from 0) is not later "
            "than the one before; give increasing times in s, or the frame rate alone "
            "(--frame-rate), and where sessions begin (--segments)"
        )
    # One frame has no interval.
    if frames == 1:
        if frame_rate is None:
            raise UsageError(
                f"{source} is one frame long; state its frame rate in Hz (--frame-rate)"
            )
        return Clock(times, frame_rate, notes)
    found = rate_of(times)
    if SLOWEST <= found / SECONDS["days"] <= FASTEST and looks_like_days(times):
        times = (times - times[0]) * SECONDS["days"]
        found = rate_of(times)
        notes.append("the time stamps are days, as Excel or datenum count them: turned into s")
    if frame_rate is None and not SLOWEST <= found <= FASTEST:
        raise UsageError(
            f"{source}: the time stamps are {found:.3g} frames per second; {_asked(found)}? give "
            f"them in s, or state that frame rate (--frame-rate {found:.3g}) if it is true"
        )
    if frame_rate is not None and not _same_rate(times, found, frame_rate):
        raise UsageError(
            f"{source}: the time stamps are {found:.6g} frames per second, not {frame_rate:g}; "
            "leave the frame rate out (--frame-rate), or correct the time stamps (they are in s: "
            f"{_asked(found, frame_rate)}?)"
        )
    return Clock(times, found, [*notes, *_pauses(times, starts)], starts)


def _of_counted(times: Times, frame_rate: float | None, notes: list[str]) -> Times:
    """Time stamps in s, of those that may be whole numbers in steps of one: these count frames,
    unless the frame rate is 1 Hz."""
    frames = frames_with_holes(times)
    if frames is None or times[-1] - times[0] != frames[-1]:
        return times
    if frame_rate is None:
        notes.append("the time stamps are whole numbers in steps of one: taken as s")
    elif not _same_rate(times, 1.0, frame_rate):
        notes.append(f"the time stamps count frames: {frame_rate:g} Hz, as stated")
        return frames / frame_rate
    return times


def _pauses(times: Times, starts: Sequence[int]) -> list[str]:
    """Notes on where no frames are between time stamps, and on segments of other frame rates."""
    pieces = [piece for piece in np.split(times, starts) if piece.size >= FEWEST_STAMPS]
    rates = [rate_of(piece) for piece in pieces] if len(starts) else []
    notes = []
    if rates and max(rates) > (1 + RATE_MISMATCH) * min(rates):
        each = ", ".join(dict.fromkeys(f"{rate:.3g}" for rate in rates))
        notes.append(f"the segments are of different frame rates, {each} Hz: read at their mean")
    steps = np.concatenate([np.zeros(0), *map(np.diff, pieces)])
    long = steps[~_is_usual(steps) & (steps > np.median(steps))] if steps.size else steps
    if long.size:
        notes.append(
            f"the time stamps pause at {counted(long.size, 'place')}, for {long.max():.2g} s at "
            "most: no frames are there"
        )
    return notes


def _asked(found: float, stated: float | None = None) -> str:
    """A question for the likely units of time stamps of so many frames per unit."""
    near = (0.5 * stated, 2 * stated) if stated else (SLOWEST, FASTEST)
    return f"are these {' or '.join(likely_units(found, *near)[:2]) or 'ms'}"


def _of_other_frames(times: Times, frames: int, neurons: int) -> str:
    """What may be wrong with time stamps of another number than the frames."""
    if times.size == neurons:
        return ", as it has neurons; leave the orientation out, or state the other (--orientation)"
    ways = "; give as many, or the frame rate instead of them (--frame-rate)"
    # Of a volume each plane has a frame, and its stamp.
    if frames and times.size > frames and times.size % frames == 0:
        count = times.size // frames
        word = {2: "twice", 3: "three times"}.get(count, f"{count} times")
        return f"{ways}; {word} as many: are they of {count} planes or channels?"
    return ways


def _joined(times: Times, notes: list[str]) -> tuple[Times, tuple[int, ...]]:
    """Time stamps that start anew as if one session had followed the other at once, and the frames
    at which they do."""
    starts = restarts(times)
    if not starts.size:
        return times, ()
    steps = np.diff(times)
    every = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    shifts = np.zeros(times.size)
    shifts[starts] = times[starts - 1] + every - times[starts]
    notes.append(
        f"the time stamps start anew at {counted(starts.size, 'frame')}, {_listed(starts)}: "
        f"{starts.size + 1} segments, whose times follow one another"
    )
    return times + np.cumsum(shifts), tuple(int(k) for k in starts)


def _listed(numbers: Array) -> str:
    return ", ".join(map(str, numbers[:5])) + (", ..." if numbers.size > 5 else "")


def rate_of(times: Times) -> float:
    """Frames per second by increasing time stamps in s: the mean of their ordinary intervals, as a
    median would be that of rounded ones; intervals with frames missing are left out."""
    intervals = np.diff(times)
    even = np.linspace(times[0], times[-1], times.size)
    if np.abs(times - even).max() > _rounding(times):
        intervals = intervals[_is_usual(intervals)]
    return float(f"{1 / np.mean(intervals):.9g}")  # beyond it is round-off of the time stamps


def _is_usual(intervals: Times) -> Mask:
    """Which intervals of time stamps are of one frame: those near the median on both sides, as far
    as they jitter, so that what is left is not biased."""
    off = np.abs(intervals - np.median(intervals))
    # Half a frame, as float32 rounds it, or five standard deviations by the median of all.
    far = max((ORDINARY - 1) * np.median(intervals) * 1.001, 5 * 1.48 * np.median(off))
    return off <= far


def _same_rate(times: Times, found: float, stated: float) -> bool:
    """Whether a stated rate is the time stamps', or differs by what their rounding can explain."""
    if abs(found - stated) <= RATE_MISMATCH * stated:
        return True
    intervals = np.diff(times)
    count = np.count_nonzero(_is_usual(intervals))
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
    # Where a pause lies among them nobody knows.
    steps, spans = np.diff(frames), np.diff(times[frames]) * frame_rate
    unlike = (steps > 1) & (np.abs(spans - steps) > 0.5 + RATE_MISMATCH * steps)
    if unlike.any():
        last = int(frames[unlike.argmax()])
        raise DataError(
            f"{source}: time stamps are missing (NaN) behind frame {last} (counted from 0), where "
            "another time passes than their frames take; correct them"
        )
    # Interpolation holds the ends; there the frame rate goes on.
    for lost, end in ((every < frames[0], frames[0]), (every > frames[-1], frames[-1])):
        filled[lost] = times[end] + (every[lost] - end) / frame_rate
    return filled, [f"{count} missing time stamps filled in by the frame rate of {frame_rate:g} Hz"]
