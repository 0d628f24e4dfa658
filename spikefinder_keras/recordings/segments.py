"""From a recording to the network's input at 100 Hz, and from its output back to the recording.

frames, NaN where missing -> line and percentiles over the frames that are there
-> a regular grid per block, gaps bridged -> 100 Hz   ... the network ...
-> the mean over each frame's interval, at the recording's own time stamps
"""

from dataclasses import dataclass

import numpy as np

from ..constants import SAMPLE_RATE
from ..errors import DataError, UsageError
from ..signals.preprocess import RATE_TOLERANCE, detrend, fast_resample, resampled_length, scale

LONGEST_BRIDGED = 0.5
"""s; gaps up to it are interpolated, within longer ones the rates are left empty."""

LONGEST_PAUSE = 10.0
"""s; after a longer pause between two time stamps a new block begins."""

IRREGULAR = 0.25
"""Frames; time stamps this close to a regular grid count as regular."""

MOST_GRID_FRAMES = 20
"""A regular grid over irregular time stamps may have so many times as many frames."""


@dataclass(frozen=True)
class Block:
    """A stretch of a recording that the network sees as one trace.

    Attributes
    ----------
    frames : slice
        Of the recording.
    positions : float array `(frame,)`
        Where its frames lie on the regular grid, in grid frames from 0.
    grid_frames : int
    frame_rate : float
        Of the grid, in Hz.
    samples : int
        Length at 100 Hz.
    """

    frames: slice
    positions: np.ndarray
    grid_frames: int
    frame_rate: float
    samples: int


def find_blocks(recording):
    """The blocks of a recording: those it names, cut where time stamps pause for long.

    A recording in the competition's form is one block, as in 2017.

    Returns
    -------
    tuple of Block

    Raises
    ------
    DataError
        If the time stamps of a block are so uneven that no regular grid holds them.
    UsageError
        If a recording in the competition's form is not at 100 Hz.
    """
    if recording.unit == "competition":
        return (_only_block(recording),)
    pauses = np.diff(recording.times) > max(LONGEST_PAUSE, 3 / recording.frame_rate)
    starts = sorted({*recording.block_starts, *(int(k) + 1 for k in np.flatnonzero(pauses))})
    ends = [*starts[1:], len(recording.times)]
    return tuple(_block(recording, *ends_of) for ends_of in zip(starts, ends, strict=True))


def _only_block(recording):
    if abs(recording.frame_rate - SAMPLE_RATE) > RATE_TOLERANCE:
        raise UsageError(
            f"{recording.source} is said to be in the competition's form, which is at "
            f"{SAMPLE_RATE:g} Hz, not {recording.frame_rate:g}; name the --unit of the raw traces"
        )
    count = len(recording.times)
    return Block(slice(0, count), np.arange(count, dtype=float), count, SAMPLE_RATE, count)


def _block(recording, start, end):
    times = recording.times[start:end]
    rate, count = recording.frame_rate, end - start
    positions = np.arange(count, dtype=np.float64)
    if count > 1:
        even = (count - 1) / (times[-1] - times[0])
        if np.abs((times - times[0]) * even - positions).max() <= IRREGULAR:
            rate = even
        else:  # frames are missing, or come unevenly
            grid = round((times[-1] - times[0]) * rate) + 1
            if grid > MOST_GRID_FRAMES * count:
                raise DataError(
                    f"{recording.source}: the time stamps from {times[0]:g} to {times[-1]:g} s are "
                    f"too uneven for {rate:g} frames per second; check that they are in s"
                )
            rate = max(grid - 1, 1) / (times[-1] - times[0])
            positions, count = (times - times[0]) * rate, max(grid, 2)
    samples = resampled_length(count, rate)
    return Block(slice(start, end), positions, count, rate, samples)


def prepare(recording, blocks, neurons):
    """The network's input for some neurons.

    Each neuron's line and percentiles (`preprocess`) come from all of its frames that are there, in
    order; each block is then brought to 100 Hz by itself.

    Parameters
    ----------
    recording : Recording
    blocks : sequence of Block
    neurons : sequence of int

    Returns
    -------
    list of float32 arrays `(sample, neuron)`
        One for each block, at 100 Hz; NaN for a neuron without any value in the block.
    """
    calcium = [np.full((block.samples, len(neurons)), np.nan, np.float32) for block in blocks]
    for column, neuron in enumerate(neurons):
        trace = recording.fluorescence[:, neuron].astype(np.float64)
        there = np.isfinite(trace)
        if not there.any():
            continue
        trace[there] = scale(detrend(trace[there]))
        for table, block in zip(calcium, blocks, strict=True):
            known = there[block.frames]
            if known.any():
                grid = np.arange(block.grid_frames)
                values = np.interp(grid, block.positions[known], trace[block.frames][known])
                table[:, column] = fast_resample(values, block.frame_rate)
    return calcium


def to_frames(rates, recording, blocks, neurons):
    """Rates at 100 Hz as the mean over each frame's interval, centred on its time stamp.

    The integral over time stays the same. Frames inside a gap longer than `LONGEST_BRIDGED` are
    NaN.

    Parameters
    ----------
    rates : sequence of arrays `(sample, neuron)`
        One for each block.
    recording, blocks, neurons
        As for `prepare`.

    Returns
    -------
    float32 array `(frame, neuron)`
    """
    if recording.unit == "competition":  # where samples are frames, and missing ones 0
        return np.asarray(rates[0], np.float32)
    result = np.full((len(recording.times), len(neurons)), np.nan, np.float32)
    for table, block in zip(rates, blocks, strict=True):
        # In samples; half a sample is added because sample k ends at k + 1 in the running integral,
        # so that at 100 Hz each frame gets the sample of its own.
        width = block.samples / block.grid_frames
        centres = np.minimum(block.positions * width + 0.5, block.samples - width / 2)
        edges = np.clip(centres[:, None] + (-width / 2, width / 2), 0, block.samples)
        integral = np.zeros(block.samples + 1)
        known = np.arange(block.samples + 1)
        for column, neuron in enumerate(neurons):
            np.cumsum(table[:, column], out=integral[1:], dtype=np.float64)
            at = np.interp(edges, known, integral)
            result[block.frames, column] = (at[:, 1] - at[:, 0]) / (edges[:, 1] - edges[:, 0])
            result[block.frames, column][_lost(recording, block, neuron)] = np.nan
    return result


def _lost(recording, block, neuron):
    """Frames of a block inside long gaps of a neuron, as a mask `(frame,)`."""
    missing = ~np.isfinite(recording.fluorescence[block.frames, neuron])
    if not missing.any():
        return missing
    seconds = block.positions / block.frame_rate
    return missing & _in_long_gap(seconds, seconds[~missing], block.frame_rate)


def samples_in_gaps(recording, block, neuron):
    """Samples of a block at 100 Hz inside long gaps of a neuron, as a mask `(sample,)`.

    Frames that are missing as NaN and such that have no time stamp either count alike.
    """
    there = np.isfinite(recording.fluorescence[block.frames, neuron])
    seconds = np.arange(block.samples) * (block.grid_frames / block.samples / block.frame_rate)
    return _in_long_gap(seconds, block.positions[there] / block.frame_rate, block.frame_rate)


def _in_long_gap(seconds, known, frame_rate):
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


def gaps(recording, blocks, neuron):
    """Missing frames of a neuron, `(bridged, left empty)`."""
    lost = sum(int(_lost(recording, block, neuron).sum()) for block in blocks)
    missing = int((~np.isfinite(recording.fluorescence[:, neuron])).sum())
    return missing - lost, lost
