"""Time stamps of frames in s and the frame rate in Hz, checked against each other."""

import numpy as np

from ..errors import DataError, UsageError
from ..signals.checks import check_rate

RATE_MISMATCH = 0.01
"""A stated frame rate may differ by this share from the one of the time stamps."""

SLOWEST, FASTEST = 0.3, 1000.0
"""Hz; outside it time stamps or frame rate are hardly in s or Hz."""

ORDINARY = 1.5
"""Intervals up to so many times the median are ordinary; behind a longer one frames are missing."""


def plausible_rate(frame_rate):
    """A stated frame rate in Hz, or `UsageError` if none is made so."""
    frame_rate = check_rate(frame_rate)
    if not SLOWEST <= frame_rate <= FASTEST:
        raise UsageError(
            f"a frame rate of {frame_rate:g} Hz? are these ms, or seconds for a frame? give frames "
            f"per second (--frame-rate), {SLOWEST:g} to {FASTEST:g} without time stamps"
        )
    return frame_rate


def check_times(times, frame_rate, frames, source):
    """Time stamps in s, frame rate in Hz, and notes, of what is stated; errors as `as_recording`.

    `frames` is how many there are, `source` is named in errors.
    """
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
    intervals = np.diff(times)
    bad = np.flatnonzero(~(intervals > 0))
    if bad.size:
        raise DataError(
            f"{source}: the time stamp of frame {int(bad[0]) + 1} (counted from 0) is not later "
            "than the one before; give increasing times in s"
        )
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


def rate_of(times):
    """Frames per second by increasing time stamps in s: the mean of their ordinary intervals.

    A median would be that of rounded ones. Intervals with frames missing are left out.
    """
    intervals = np.diff(times)
    even = np.linspace(times[0], times[-1], times.size)
    if np.abs(times - even).max() <= _rounding(times):
        return float(f"{1 / np.mean(intervals):.9g}")
    ordinary = intervals[intervals <= ORDINARY * np.median(intervals)]
    return float(f"{1 / np.mean(ordinary):.9g}")  # beyond it is round-off of the time stamps


def _same_rate(times, found, stated):
    """Whether a stated rate is the time stamps', or differs by what their rounding can explain."""
    if abs(found - stated) <= RATE_MISMATCH * stated:
        return True
    intervals = np.diff(times)
    count = np.count_nonzero(intervals <= ORDINARY * np.median(intervals))
    return abs(1 / found - 1 / stated) * count <= _rounding(times)


def _rounding(times):
    """The power of ten in s, 1 to 1e-6, to which time stamps are rounded; 0 if to none."""
    for digits in range(7):
        scaled = times * 10**digits
        if np.abs(scaled - np.round(scaled)).max() < 1e-3:
            return 10.0**-digits
    return 0.0


def _fill_times(times, frame_rate, source):
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
    for lost, end in ((every < frames[0], frames[0]), (every > frames[-1], frames[-1])):
        filled[lost] = times[end] + (every[lost] - end) / frame_rate
    return filled, [f"{count} missing time stamps filled in by the frame rate of {frame_rate:g} Hz"]
