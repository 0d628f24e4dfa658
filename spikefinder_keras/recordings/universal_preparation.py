"""From a recording to the input of the network `universal`: per neuron a line, a base, two scales.

frames, NaN where missing -> robust line subtracted -> a regular grid per block, gaps bridged
-> 100 Hz -> base subtracted -> in units of the noise, and of the spread   ... the network ...

The competition's preparation (`preprocess`) puts a trace between two of its own percentiles, which
takes away how far it stands out of its noise. Here both are kept: what is certain (units of noise)
and what is large for this neuron (units of its spread).
"""

from dataclasses import dataclass

import numpy as np

from ..constants import SAMPLE_RATE
from ..network.universal import CHANNELS
from ..signals.measures import noise_density, smooth_trace, smoothing_of_noise
from ..signals.preprocess import fast_resample, resampled_length, robust_line
from .segments import Block

STEP = 4
"""Samples at 100 Hz per step of the network: it works at 25 Hz."""

STEPS_PER_SECOND = SAMPLE_RATE / STEP

BASE = 15
"""Percentile of the smoothed trace that becomes 0."""

NOISE_BAND = 10.0
"""Hz; the noise in this band times `NOISE_UNITS` is the unit of the first scale."""

NOISE_UNITS = 3.0

LINE_POINTS = 2_000
"""Means that the line is fitted to, at least."""

LEAST_NOISE = 1e-3
"""Noise, as a share of the spread, below which a trace counts as having this much."""

LARGEST_INPUT = 100.0
"""Beyond it the scaled traces are clipped: an artefact, not a neuron."""


@dataclass(frozen=True)
class Scales:
    """What a neuron's trace was measured by; in the trace's own unit (dF/F, counts).

    Attributes
    ----------
    noise : float
        Standard deviation of the white noise of a frame, per square root of the frame rate in Hz.
    base : float
        What becomes 0, after the line is subtracted.
    spread : float
        Standard deviation of the trace smoothed by 0.3 s.
    level : float
        Median of the trace before the line was subtracted, for dF/F from counts.
    """

    noise: float
    base: float
    spread: float
    level: float

    @property
    def clarity(self):
        """Spread over the noise that is left after smoothing: about 1 for noise alone."""
        if not self.noise > 0:
            return float("nan")
        return float(self.spread / (self.noise * smoothing_of_noise()))


def line_of(trace):
    """The robust straight line of a trace `(frame,)`, `preprocess.robust_line`, found on averages.

    A line through the means of some frames each is the line through the frames, and is found as
    much faster.
    """
    trace = np.asarray(trace, np.float64)
    together = trace.size // LINE_POINTS
    if together < 2:
        return robust_line(trace)
    count = trace.size // together
    means = trace[: count * together].reshape(count, together).mean(axis=1)
    line = robust_line(means)
    slope = (line[-1] - line[0]) / ((count - 1) * together)
    return line[0] + slope * (np.arange(trace.size) - (together - 1) / 2)


def prepare_neuron(trace, blocks):
    """One neuron's trace at 100 Hz in its own unit, line and base subtracted, and its scales.

    Parameters
    ----------
    trace : array `(frame,)`
        Of the whole recording, NaN where missing.
    blocks : sequence of preparation.Block

    Returns
    -------
    list of float64 arrays `(sample,)`, Scales
        One array for each block, NaN where it has no value at all. `Scales` are NaN for a neuron
        without any value.
    """
    trace = np.asarray(trace, np.float64).copy()
    there = np.isfinite(trace)
    if not there.any():
        empty = [np.full(block.samples, np.nan) for block in blocks]
        return empty, Scales(*[float("nan")] * 4)
    level = float(np.median(trace[there]))
    trace[there] -= line_of(trace[there])
    at_100_hz, noises, weights = [], [], []
    for block in blocks:
        known = there[block.frames]
        if not known.any():
            at_100_hz.append(np.full(block.samples, np.nan))
            continue
        values = trace[block.frames][known]
        grid = np.arange(block.grid_frames)
        at_100_hz.append(
            fast_resample(np.interp(grid, block.positions[known], values), block.frame_rate)
        )
        noises.append(noise_density(values, block.frame_rate))
        weights.append(values.size)
    smoothed = np.concatenate([smooth_trace(x) for x in at_100_hz if np.isfinite(x[:1]).all()])
    base = float(np.percentile(smoothed, BASE))
    noise = float(np.average(noises, weights=weights))
    scales = Scales(noise, base, float(smoothed.std()), level)
    return [x - base for x in at_100_hz], scales


def prepare_trace(trace, frame_rate):
    """As `prepare_neuron` for one block of frames without gaps: `(float64 array, Scales)`."""
    samples = resampled_length(len(trace), frame_rate)
    positions = np.arange(len(trace), dtype=float)
    block = Block(slice(0, len(trace)), positions, len(trace), float(frame_rate), samples)
    (prepared,), scales = prepare_neuron(trace, [block])
    return prepared, scales


def network_input(trace, scales, delay=0.0):
    """A trace as the network gets it.

    Parameters
    ----------
    trace : float array `(sample,)`
        At 100 Hz, base subtracted, from `prepare_neuron`.
    scales : Scales
    delay : float, default 0
        s by which the indicator's answer follows the spikes beyond what the network expects; the
        trace is read so much later.

    Returns
    -------
    float32 array `(step, 4)`
        At 25 Hz; the last step is filled up with the last sample. All 0 for a trace without
        signal, noise included.
    """
    trace = np.asarray(trace, np.float64)
    steps = -(-trace.size // STEP)
    if delay:
        reach = np.arange(steps * STEP) + delay * SAMPLE_RATE
        trace = np.interp(reach, np.arange(trace.size), trace)
    else:
        trace = np.pad(trace, (0, steps * STEP - trace.size), mode="edge")
    halves = trace.reshape(steps, 2, STEP // 2).mean(axis=2)
    noise = max(scales.noise, LEAST_NOISE * scales.spread)
    units = [NOISE_UNITS * noise * np.sqrt(NOISE_BAND), scales.spread]
    if not min(units) > 0:
        return np.zeros((steps, CHANNELS), np.float32)
    scaled = np.concatenate([halves / unit for unit in units], axis=1)
    return np.clip(scaled, -LARGEST_INPUT, LARGEST_INPUT).astype(np.float32)


def to_samples(rates, samples):
    """Rates per step `(step,)`, not negative, as `(sample,)` at 100 Hz.

    The mean over each step stays what it is; between, the running integral is a monotone cubic, so
    that frames that do not coincide with steps see no stairs. What is beyond the steps holds the
    last value.
    """
    from scipy.interpolate import PchipInterpolator

    rates = np.asarray(rates, np.float64)
    missing = max(-(-samples // STEP) - rates.size, 0)
    rates = np.pad(rates, (0, missing), mode="edge")
    integral = np.concatenate([[0.0], np.cumsum(rates)]) * STEP
    edges = np.arange(integral.size) * STEP
    between = PchipInterpolator(edges, integral)(np.arange(samples + 1))
    return np.maximum(np.diff(between), 0.0)
