"""The segments of a recording, stretches between pauses, and the way to 100 Hz and back.

frames, NaN where missing -> a regular grid per segment, short gaps bridged -> 100 Hz
... the network ... -> the mean over each frame's interval, at the recording's own time stamps
"""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array, Mask, Rates, Table, Times, Trace
from ..constants import SAMPLE_RATE
from ..errors import DataError, UsageError
from ..signals.measures import GAUSSIAN_MEDIAN, runs, whole
from ..signals.preprocess import RATE_TOLERANCE, fast_resample, resampled_length
from ..text import counted
from .options import Segments

STILL_SECONDS = 1.0
STILL_FRAMES = 10  # a run of one exact value that is longer than both is missing

# CaImAn's OnACID fills a component with zeros until it is found, suite2p a ROI that left the field.
# Eight-bit recordings repeat values too, but all along the trace.
HONEST_REPEATS = 0.002
"""This share of the other steps of a trace may stand still too; above it the trace is rounded, and
repeats its values honestly. At it, eleven equal values in a row come once in 10^27 frames."""

SMOOTH = 0.8
"""A trace has no noise if more than this share of its steps goes on in the direction of the step
before: 1/3 do in white noise, 0.6 in a moving average of it. Without noise nothing can be said of
a run."""

NEURONS_AT_A_TIME = 64  # so many neurons are looked at together, to bound the memory
JUMP = 5.0  # in a frame of a flash the median neuron is off by more than so many robust spreads
NEARLY_ALL = 0.8  # this share of the neurons is "nearly all"
FASTEST_DECAY = 0.05
"""s; time constant of the fastest fall of an indicator: half of jGCaMP8f's in pyramidal cells, as
cells differ (`simulation.indicators.SINGLE_SPIKE`). What is back much sooner shows no calcium."""

STANDING_OUT = 30.0
"""A frame that cannot be calcium is farther than so many noise levels from its neighbours. In 7.5
million frames of 23 sets with known spikes none is, but for dark ones as a recording begins."""

STANDING = 0.1
"""A trace of which a larger share of the steps is 0 was rounded, or cut off below something: the
steps do not show its noise."""
FEWEST_FRAMES = 100  # of fewer the noise is not known well enough to say so
BY_FAR = 0.5  # and is back at less than this share of what the fastest indicator would leave
NOISE_LEFT = 5.0  # what is left is known to so many noise levels
LONGEST_DIP = 0.5  # so many s below all else, as by an overflow, can be bridged
RARELY = (
    0.005  # more of such frames than this share are the trace's nature: photons counted, or spikes
)
STEP_WINDOW, STEP_BIN = 40.0, 0.5
"""s; so long before and after a step of brightness the trace keeps to its level, and the step is
within one bin."""

LOW = 20  # this percentile is the level, between transients
LEVELS_APART = 5.0  # the levels are so many noise levels of a bin apart
TOGETHER_AT_STEP = 0.6
"""This share of the neurons step at once, where there are enough of them: a few may begin to fire
together, as in one recording of a hundred with known spikes, but most do so on a new day alone."""

FEWEST_AT_STEP, MOST_LOOKED_AT = 5, 12
KINDS = ("infinite", "constant", "still", "impossible")


@dataclass(frozen=True)
class MissingCounts:
    """How many values were found to be no data, and in how many neurons, for each of `KINDS`."""

    values: tuple[int, ...] = (0,) * len(KINDS)
    neurons: tuple[int, ...] = (0,) * len(KINDS)

    def __add__(self, other: "MissingCounts") -> "MissingCounts":
        return MissingCounts(
            tuple(a + b for a, b in zip(self.values, other.values, strict=True)),
            tuple(a + b for a, b in zip(self.neurons, other.neurons, strict=True)),
        )

    def notes(self, count: int, what: str = "neuron") -> list[str]:
        """Lines on what was found among `count` neurons; `what` may call one otherwise."""
        among, lines = f"of {counted(count, what)}", []
        infinite, constant, still, impossible = zip(self.values, self.neurons, strict=True)
        if constant[1]:
            never = (
                "never changes, so it holds" if constant[1] == 1 else "never change, so they hold"
            )
            lines.append(f"{constant[1]} {among} {never} no data: empty rates, no spikes")
        for (values, neurons), why in (
            (infinite, "infinite"),
            (still, "runs of one exact value, which no noisy trace has"),
            (impossible, "standing out for a moment as no indicator can"),
        ):
            if values:
                where = f"{counted(values, 'value')} in {neurons} {among}"
                lines.append(f"{where} taken as missing: {why}")
        return lines


NONE_MISSING = MissingCounts()


def no_data(trace: Trace, frame_rate: float) -> dict[str, Mask]:
    """Which values of a trace `(frame,)`, NaN where missing, are no data: masks by those that there
    are of `infinite`, `constant` (every value of it), `still` (runs of one value in a trace that
    otherwise never stands still) and `impossible` (see `_impossible`)."""
    found = {}
    there = np.isfinite(trace)
    if not there.all():
        infinite = np.isinf(trace)
        if infinite.any():
            found["infinite"] = infinite
    values = trace if there.all() else trace[there]
    if not values.size:
        return found
    if values.min() == values.max():
        return found | {"constant": there}
    still = _still(trace, there, frame_rate)
    if still is not None:
        rest = trace[there & ~still]
        if not rest.size or rest.min() == rest.max():
            return found | {"constant": there}
        found["still"] = still
        there = there & ~still
    impossible = _impossible(trace, there, frame_rate)
    if impossible is not None:
        found["impossible"] = impossible
    return found


def _impossible(trace: Trace, there: Mask, frame_rate: float) -> Mask | None:
    """Frames, one or two at a time, that stand out as calcium cannot: it may rise at once, but
    falls no faster than the fastest indicator; nor is calcium what lies far below all else. None if
    there are none."""
    values = trace if there.all() else trace[there]
    if values.size < FEWEST_FRAMES:
        return None
    with np.errstate(over="ignore"):  # of numbers near the largest that there are
        steps = np.diff(values)
    noise = np.median(np.abs(steps)) / (GAUSSIAN_MEDIAN * np.sqrt(2))
    far = STANDING_OUT * noise
    # So it is in nearly every trace. Without noise nothing can be said of a frame.
    if not noise > 0 or (steps.max() <= far and steps.min() >= -far):
        return None
    if np.mean(steps == 0) > STANDING:
        return None
    base = np.percentile(values, 1)  # low, as what is left of a transient is measured from there
    odd = np.zeros(values.size, bool)
    left = BY_FAR * np.exp(-1 / (frame_rate * FASTEST_DECAY))
    steps = np.concatenate([[np.inf], steps])  # before the first frame may have been anything
    for width in (1, 2):
        first = np.flatnonzero((steps[:-width] > far) & (steps[width:] < -far))
        before, after = values[first + width - 1] - base, values[first + width] - base
        first = first[after + NOISE_LEFT * noise < left * before]
        for k in range(width):
            odd[first + k] = True
    for first, last in runs(values < base - far):
        if last - first <= max(2, LONGEST_DIP * frame_rate):
            odd[first:last] = True
    if not 0 < odd.sum() <= max(RARELY * odd.size, 2):
        return None
    found = np.zeros(trace.shape, bool)
    found[there] = odd
    return found


def _still(trace: Trace, there: Mask, frame_rate: float) -> Mask | None:
    with np.errstate(invalid="ignore"):
        same = (trace[1:] == trace[:-1]) & there[1:]
    longest = max(STILL_FRAMES, STILL_SECONDS * frame_rate)
    if np.count_nonzero(same) < longest:
        return None
    starts, ends = runs(same).T  # of the steps that stand still
    long = ends - starts + 1 > longest  # a step more in values than in steps
    if not long.any():
        return None
    # What is left beside the runs says whether this trace repeats its values anyway.
    steps_in_runs = int((ends - starts)[long].sum())
    repeats = np.count_nonzero(same) - steps_in_runs
    steps = np.count_nonzero(there[1:] & there[:-1]) - steps_in_runs
    # Integers of few bits repeat themselves: a run among such is no proof.
    if repeats > HONEST_REPEATS * steps:
        return None
    still = np.zeros(trace.shape, bool)
    for start, end in zip(starts[long], ends[long], strict=True):
        still[start : end + 1] = True
    moves = np.sign(np.diff(trace))[~(still[1:] | still[:-1])]
    turns = moves[1:] * moves[:-1]
    # A denoised trace stands still at its baseline, and that is data.
    if turns.size and np.mean(turns[np.isfinite(turns)] > 0) > SMOOTH:
        return None
    return still


def find_missing(trace: Trace, frame_rate: float) -> tuple[Mask | None, MissingCounts]:
    """The mask `(frame,)` of what is no data in a trace, None if all is, and its counts."""
    found = no_data(trace, frame_rate)
    if not found:
        return None, NONE_MISSING
    counts = MissingCounts(
        tuple(int(found[kind].sum()) if kind in found else 0 for kind in KINDS),
        tuple(int(kind in found) for kind in KINDS),
    )
    return np.logical_or.reduce(list(found.values())), counts


def mark_missing(
    traces: Table, frame_rate: float, *, in_place: bool = False
) -> tuple[Table, MissingCounts]:
    """Set to NaN what is no data in traces `(frame, neuron)`, and count it: in the same array where
    nothing changes or it may be changed (`in_place`) and written to, else in a copy."""
    counts, writable = NONE_MISSING, in_place and traces.flags.writeable
    for first in range(0, traces.shape[1], NEURONS_AT_A_TIME):
        part = np.ascontiguousarray(traces[:, first : first + NEURONS_AT_A_TIME].T)
        for neuron, trace in enumerate(part, first):
            mask, found = find_missing(trace, frame_rate)
            if mask is not None:
                counts += found
                if not writable:
                    traces, writable = np.array(traces), True
                traces[mask, neuron] = np.nan
    return traces, counts


def common_jumps(traces: Table) -> Mask:
    """Frames in which nearly all neurons are far off at once, `(frame,)`, of traces `(frame,
    neuron)`, NaN where missing, and came or went together: a few may be active at the same time,
    and of fewer than four all may begin so by chance."""
    if traces.shape[1] < 4:
        return np.zeros(len(traces), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # frames or neurons without any value
        off = np.asarray(traces, np.float64) - np.nanmedian(traces, axis=0)
        # The steps show the noise, whatever the signal does: 0.95 of a spread is their median.
        noise = np.nanmedian(np.abs(np.diff(traces, axis=0)), axis=0) / 0.95
        spread = np.maximum(1.48 * np.nanmedian(np.abs(off), axis=0), noise)
        off = off / np.where(spread > 0, spread, np.nan)
        most = NEARLY_ALL * np.isfinite(off).sum(axis=1)
        found = np.zeros(len(traces), bool)
        for way in (off, -off):
            beyond = way > JUMP
            far = (most > 0) & (beyond.sum(axis=1) >= most)
            # Half of it within two frames, as light may come and go in the middle of one.
            came = beyond[2:] & (way[:-2] < way[2:] / 2)
            went = beyond[:-2] & (way[2:] < way[:-2] / 2)
            count = np.maximum(came.sum(axis=1), went.sum(axis=1))
            together = np.concatenate([far[:2], count >= most[2:]])
            for start, stop in runs(far):
                found[start:stop] |= together[start : stop + 2].any()
        return found


LONGEST_BRIDGED = 0.5
"""Gaps up to so many s are interpolated, within longer ones the rates are left empty: a transient
of GCaMP6f lasts about as long, so nothing larger hides in a shorter one."""

SEGMENTS = (
    "give the name of a column, the number of frames of each, or the frames that they begin with, "
    "such as 0,3000 (--segments)"
)
"""What to state of segments, for messages."""
_FRAMES = re.compile(r" *\d{1,12}( *, *\d{1,12})* *", re.ASCII)
LONGEST_PAUSE = 10.0  # after a pause of more s between two time stamps a new segment begins
FRAMES_OF_A_PAUSE = 3  # a pause is longer than so many frames, too: at 0.3 Hz each lasts 3 s
IRREGULAR = 0.25
"""Time stamps within so many frames of a regular grid count as regular: cameras stamp with jitter,
and suite2p or NWB round to ms."""

ROUNDED = 1e-7  # of a rate; so far it is off by stamps in us of ten seconds

MOST_GRID_FRAMES = 20
"""A regular grid over irregular time stamps may have so many times as many frames; more are stamps
in another unit than s."""


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording that the network sees as one trace.

    `positions` `(frame,)` are where its frames lie on a regular grid, in grid frames from 0;
    `frame_rate` is the grid's in Hz, `samples` the length at 100 Hz.
    """

    frames: slice
    positions: Times
    grid_frames: int
    frame_rate: float
    samples: int

    def at_100_hz(self, trace: Trace, there: Mask) -> Trace | None:
        """A neuron's trace in this segment, gaps bridged, at 100 Hz, `(sample,)`; None without any
        value. `trace` and `there`, where it has one, are `(frame,)` of the whole recording."""
        known = there[self.frames]
        if not known.any():
            return None
        grid, values = np.arange(self.grid_frames), trace[self.frames]
        if not known.all() or not np.array_equal(grid, self.positions):
            values = np.interp(grid, self.positions[known], values[known])
        return fast_resample(values, self.frame_rate)


def brightness_steps(traces: Table, frame_rate: float) -> list[int]:
    """The frames at which the brightness of most neurons `(frame, neuron)` steps to another level,
    as where the days of a recording were put one after the other; `frame_rate` is in Hz."""
    together = max(1, whole(frame_rate * STEP_BIN))
    count = len(traces) // together
    window = whole(STEP_WINDOW * frame_rate / together) // 2 * 2
    if window < 8 or count < 2 * window + 4 or traces.shape[1] < FEWEST_AT_STEP:
        return []
    means = np.asarray(traces[: count * together], np.float64)
    means = means.reshape(count, together, -1).mean(axis=1).T
    steps = np.array([_steps(levels, window) for levels in means])
    # The frame of a step may lie on either side of where bins meet.
    near = steps | np.roll(steps, 1, axis=1) | np.roll(steps, -1, axis=1)
    share = near.mean(axis=0)
    found: list[int] = []
    # The clearest first; others so near that their levels are not known are part of it.
    for first, last in sorted(
        runs(share >= TOGETHER_AT_STEP).tolist(), key=lambda run: -share[slice(*run)].max()
    ):
        start = max(first - 1, 0) * together
        part = np.asarray(traces[start : (last + 1) * together], np.float64)
        # Neurons that miss a frame here, or never change, tell nothing of the place.
        part = part[:, np.ptp(part, axis=0) > 0]
        if not part.size:
            continue
        jumps = np.abs(np.diff(part, axis=0)) / np.ptp(part, axis=0)
        at = int(start + 1 + np.median(jumps, axis=1).argmax())
        if all(abs(at - other) > window * together for other in found):
            found.append(at)
    return sorted(found)


def _steps(levels: Trace, window: int) -> Mask:
    """In which bins one neuron steps; `levels` `(bin,)` are its means, `window` is in bins."""
    from scipy.ndimage import percentile_filter

    found = np.zeros(levels.size, bool)
    noise = np.median(np.abs(np.diff(levels))) / (GAUSSIAN_MEDIAN * np.sqrt(2))
    if not noise > 0:  # NaN where frames are missing
        return found
    low = percentile_filter(levels, LOW, window + 1, mode="nearest")
    bins = np.arange(window + 1, levels.size - window - 2)
    change = low[bins + 1 + window // 2] - low[bins - 1 - window // 2]
    # At once: the bins beside it differ by half of it, too.
    before, after = (
        np.median([levels[bins + side * k] for k in range(1, 5)], axis=0) for side in (-1, 1)
    )
    apart = np.abs(change) > LEVELS_APART * noise
    found[bins] = apart & ((after - before) * np.sign(change) > 0.5 * np.abs(change))
    return found


def column_of(segments: Segments | None) -> str | None:
    """The name of a column or array, if that is what a user states of segments."""
    named = isinstance(segments, str) and not _FRAMES.fullmatch(segments)
    return str(segments) if named else None


def stated_starts(segments: Segments, frames: int) -> tuple[int, ...]:
    """Frames with which segments begin by what a user states: `90`, so many frames each, or the
    first frames, `0,3000`. `UsageError` if it is neither."""
    if isinstance(segments, str):
        if column_of(segments):
            raise UsageError(f"there is no column {segments}; {SEGMENTS}")
        found = np.array([int(part) for part in segments.split(",")])
    else:
        found = np.atleast_1d(np.asarray(segments))
        if found.ndim != 1 or found.dtype.kind not in "iu" or not found.size:
            raise UsageError(f"{segments} for segments? {SEGMENTS}")
    each = found.size == 1 and not isinstance(segments, list | tuple)
    if each and found[0] < 1:
        raise UsageError(f"{segments} frames in each segment? {SEGMENTS}")
    stated = range(0, frames, int(found[0])) if each else [int(k) for k in found]
    starts = sorted({0, *stated})
    if starts[0] < 0 or starts[-1] >= frames or (len(starts) > 1 and min(np.diff(starts)) < 2):
        raise UsageError(
            f"segments cannot begin at {', '.join(map(str, stated[:6]))} of {frames} frames; "
            f"{SEGMENTS}"
        )
    return tuple(starts)


def find_segments(
    times: Times, frame_rate: float, *, starts: Sequence[int], source: str
) -> tuple[Segment, ...]:
    """The segments of a recording: those that begin at the frames `starts`, the first included, cut
    where time stamps in s pause for long. `DataError` if those of a segment are so uneven that no
    regular grid holds them."""
    # Where a segment begins for certain, as between trials, no pause is needed.
    longest = max(LONGEST_PAUSE, FRAMES_OF_A_PAUSE / frame_rate)
    pauses = np.flatnonzero(np.diff(times) > longest)
    firsts = sorted({*starts, *(int(k) + 1 for k in pauses)})
    lasts = [*firsts[1:], len(times)]
    return tuple(
        _segment(slice(first, last), times[first:last], frame_rate=frame_rate, source=source)
        for first, last in zip(firsts, lasts, strict=True)
    )


def _segment(frames: slice, times: Times, *, frame_rate: float, source: str) -> Segment:
    rate, count = frame_rate, len(times)
    positions = np.arange(count, dtype=np.float64)
    if count > 1:
        # The grid that meets both ends: a stated rate is a little off, and that adds up.
        even = (count - 1) / (times[-1] - times[0])
        if np.abs((times - times[0]) * even - positions).max() <= IRREGULAR:
            # Stamps are rounded, and then the rate is the stated one.
            rate = rate if abs(even - rate) <= ROUNDED * rate else even
        else:  # frames are missing, or come unevenly
            grid = round((times[-1] - times[0]) * rate) + 1
            if grid > MOST_GRID_FRAMES * count:
                raise DataError(
                    f"{source}: the time stamps from {times[0]:g} to {times[-1]:g} s are "
                    f"too uneven for {rate:g} frames per second; check that they are in s"
                )
            rate = max(grid - 1, 1) / (times[-1] - times[0])
            positions, count = (times - times[0]) * rate, max(grid, 2)
    return Segment(frames, positions, count, float(rate), resampled_length(count, rate))


def only_segment(count: int, frame_rate: float, *, source: str) -> tuple[Segment]:
    """The one segment of a recording in the competition's form, whose frames are samples;
    `UsageError` if it is not at 100 Hz."""
    if abs(frame_rate - SAMPLE_RATE) > RATE_TOLERANCE:
        raise UsageError(
            f"{source} is said to be in the competition's form, which is at "
            f"{SAMPLE_RATE:g} Hz, not {frame_rate:g}; name the --unit of the raw traces"
        )
    return (Segment(slice(0, count), np.arange(count, dtype=float), count, SAMPLE_RATE, count),)


def frame_edges(segment: Segment, offset: float = 0.0) -> Array:
    """Where each frame's interval begins and ends, centred on its time stamp, in samples after the
    segment's beginning: `(frame, 2)`, inside the segment and never empty. Of a neuron whose frames
    were taken `offset` s after the time stamps its rates are at the time stamps then."""
    # Half a sample is added because sample k ends at k + 1 in a running integral, so that at 100 Hz
    # each frame gets the sample of its own.
    width = segment.samples / segment.grid_frames
    centres = segment.positions * width + 0.5 - offset * SAMPLE_RATE
    centres = np.clip(centres, 0.0, segment.samples - width / 2)
    return np.clip(centres[:, None] + (-width / 2, width / 2), 0, segment.samples)


def to_frames(
    rates: Sequence[Rates],
    segments: Sequence[Segment],
    missing: Mask,
    offsets: Sequence[float] = (),
) -> Rates:
    """Rates float32 `(frame, neuron)` as the mean over each frame's interval, of rates at 100 Hz
    `(sample, neuron)` for each segment; see `over_frames`. The integral over time stays the
    same."""

    def integral(segment: int, neuron: int) -> Trace:
        return running_integral(rates[segment][:, neuron])

    return over_frames(integral, segments, missing, offsets)


def over_frames(
    integral: Callable[[int, int], Trace | None],
    segments: Sequence[Segment],
    missing: Mask,
    offsets: Sequence[float] = (),
) -> Rates:
    """Means float32 `(frame, neuron)` over each frame's interval.

    `integral(segment, neuron)` is the running integral of what is meant at each sample, from 0 on,
    `(sample + 1,)`, or None where there is nothing. `missing` `(frame, neuron)` says where the
    recording has no value, `offsets` are as in `Recording`. Frames inside a gap longer than
    `LONGEST_BRIDGED` are NaN.
    """
    result = np.full(missing.shape, np.nan, np.float32)
    for number, segment in enumerate(segments):
        edges = frame_edges(segment)
        for neuron in range(missing.shape[1]):
            found = integral(number, neuron)
            if found is None:
                continue
            if offsets:
                edges = frame_edges(segment, offsets[neuron])
            means = mean_between(found, edges)
            means[frames_in_gaps(segment, missing[:, neuron])] = np.nan
            result[segment.frames, neuron] = means
    return result


def running_integral(values: Trace) -> Trace:
    """The running sum of values `(sample,)`, from 0 on: `(sample + 1,)`."""
    found = np.zeros(len(values) + 1)
    np.cumsum(values, out=found[1:], dtype=np.float64)
    return found


def mean_between(integral: Trace, edges: Array) -> Trace:
    """Means over intervals `(interval, 2)` in samples of what has a running integral
    `(sample + 1,)`, straight from sample to sample."""
    at = np.interp(edges, np.arange(len(integral)), integral)
    return (at[:, 1] - at[:, 0]) / (edges[:, 1] - edges[:, 0])


def frames_in_gaps(segment: Segment, missing: Mask) -> Mask:
    """Frames of a segment inside long gaps of a neuron, `(frame of the segment,)`; `missing`
    `(frame,)` is of the whole recording."""
    lost = missing[segment.frames]
    if not lost.any():
        return lost
    seconds = segment.positions / segment.frame_rate
    return lost & _in_long_gap(seconds, seconds[~lost], segment.frame_rate)


def samples_in_gaps(segment: Segment, missing: Mask) -> Mask:
    """Samples of a segment at 100 Hz inside long gaps of a neuron, `(sample,)`; frames that are
    missing as NaN and such that have no time stamp either count alike."""
    there = ~missing[segment.frames]
    seconds = np.arange(segment.samples) * (
        segment.grid_frames / segment.samples / segment.frame_rate
    )
    known = segment.positions[there] / segment.frame_rate
    return _in_long_gap(seconds, known, segment.frame_rate)


def _in_long_gap(seconds: Times, known: Times, frame_rate: float) -> Mask:
    """Which times lie farther than half a frame from all known ones, in a gap not bridged."""
    if not known.size:
        return np.ones(seconds.shape, bool)
    after = np.searchsorted(known, seconds)
    before = np.where(after > 0, known[np.maximum(after - 1, 0)], -np.inf)
    following = np.where(after < known.size, known[np.minimum(after, known.size - 1)], np.inf)
    nearest = np.minimum(seconds - before, following - seconds)
    # At an end there is one neighbour; what lies farther from it than a bridge is long counts.
    inside = np.isfinite(before) & np.isfinite(following)
    gap = np.where(inside, following - before - 1 / frame_rate, 2 * nearest)
    return (gap > LONGEST_BRIDGED) & (nearest > 0.5 / frame_rate)


def gaps(segments: Sequence[Segment], missing: Mask) -> tuple[int, int]:
    """Missing frames of a neuron, by its mask `(frame,)`: how many are bridged, and how many left
    empty."""
    lost = sum(int(frames_in_gaps(segment, missing).sum()) for segment in segments)
    return int(missing.sum()) - lost, lost
