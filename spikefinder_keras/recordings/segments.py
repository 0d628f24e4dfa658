"""The segments of a recording, stretches between pauses, and the way to 100 Hz and back.

frames, NaN where missing -> a regular grid per segment, short gaps bridged -> 100 Hz
... the network ... -> the mean over each frame's interval, at the recording's own time stamps
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Mask, Rates, Times, Trace
from ..constants import SAMPLE_RATE
from ..errors import DataError, UsageError
from ..signals.preprocess import RATE_TOLERANCE, fast_resample, resampled_length

LONGEST_BRIDGED = 0.5
"""Gaps up to so many s are interpolated, within longer ones the rates are left empty: a transient
of GCaMP6f lasts about as long, so nothing larger hides in a shorter one."""

LONGEST_PAUSE = 10.0  # after a pause of more s between two time stamps a new segment begins
FRAMES_OF_A_PAUSE = 3  # a pause is longer than so many frames, too: at 0.3 Hz each lasts 3 s
IRREGULAR = 0.25
"""Time stamps within so many frames of a regular grid count as regular: cameras stamp with jitter,
and suite2p or NWB round to ms."""

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
        grid = np.arange(self.grid_frames)
        values = np.interp(grid, self.positions[known], trace[self.frames][known])
        return fast_resample(values, self.frame_rate)


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
            rate = even
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


def to_frames(rates: Sequence[Rates], segments: Sequence[Segment], missing: Mask) -> Rates:
    """Rates float32 `(frame, neuron)` as the mean over each frame's interval, centred on its time
    stamp.

    `rates` at 100 Hz are `(sample, neuron)` for each segment, `missing` `(frame, neuron)` says
    where the recording has no value. The integral over time stays the same; frames inside a gap
    longer than `LONGEST_BRIDGED` are NaN.
    """
    result = np.full(missing.shape, np.nan, np.float32)
    for table, segment in zip(rates, segments, strict=True):
        # In samples; half a sample is added because sample k ends at k + 1 in the running integral,
        # so that at 100 Hz each frame gets the sample of its own.
        width = segment.samples / segment.grid_frames
        centres = np.minimum(segment.positions * width + 0.5, segment.samples - width / 2)
        edges = np.clip(centres[:, None] + (-width / 2, width / 2), 0, segment.samples)
        integral = np.zeros(segment.samples + 1)
        known = np.arange(segment.samples + 1)
        for neuron in range(missing.shape[1]):
            np.cumsum(table[:, neuron], out=integral[1:], dtype=np.float64)
            at = np.interp(edges, known, integral)
            found = (at[:, 1] - at[:, 0]) / (edges[:, 1] - edges[:, 0])
            found[frames_in_gaps(segment, missing[:, neuron])] = np.nan
            result[segment.frames, neuron] = found
    return result


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
