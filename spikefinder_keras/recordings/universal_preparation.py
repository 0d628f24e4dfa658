"""From a recording to the input of the network `universal`: per neuron a trend, a baseline and two
scales.

frames, NaN where missing -> robust line subtracted -> a regular grid per segment, gaps bridged
-> 100 Hz -> baseline subtracted -> in units of the noise, and of the spread   ... the network ...

The competition's preparation (`signals.preprocess`) puts a trace between two of its own
percentiles, which takes away how far it stands out of its noise. Here both are kept: what is
certain (units of noise) and what is large for this neuron (units of its spread).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array, Rates, Trace
from ..constants import SAMPLE_RATE
from ..network.universal import CHANNELS
from ..signals.measures import noise_density, smooth_trace, smoothing_of_noise
from ..signals.preprocess import resampled_length, robust_line
from .segments import Segment

STEP = 4  # a step of the network is so many samples at 100 Hz: it works at 25 Hz
STEPS_PER_SECOND = SAMPLE_RATE / STEP

BASELINE = 15
"""This percentile of the smoothed trace becomes 0: of a neuron that fires half of the time it is
still between its transients."""

NOISE_BAND = 10.0
"""The noise in a band of so many Hz times `NOISE_UNITS` is the unit of the first scale."""

NOISE_UNITS = 3.0

LINE_POINTS = 2_000  # the line is fitted to so many means, at least
LEAST_NOISE = 1e-3
"""A trace with less noise than this share of its spread counts as having this much: simulated and
denoised traces have none."""

LARGEST_INPUT = 100.0  # scaled traces are clipped beyond it: an artefact, not a neuron


@dataclass(frozen=True)
class Scales:
    """What a neuron's trace was measured by, in the trace's own unit (dF/F, counts).

    `noise` is the standard deviation of the white noise of a frame, per square root of the frame
    rate in Hz; `baseline` becomes 0, after the line is subtracted; `spread` is the standard
    deviation of the trace smoothed by 0.3 s; `level` its median before the line was subtracted, for
    dF/F from counts.
    """

    noise: float
    baseline: float
    spread: float
    level: float

    @property
    def clarity(self) -> float:
        """Spread over the noise that is left after smoothing: about 1 for noise alone."""
        if not self.noise > 0:
            return float("nan")
        return float(self.spread / (self.noise * smoothing_of_noise()))


NO_SCALES = Scales(noise=np.nan, baseline=np.nan, spread=np.nan, level=np.nan)
"""Those of a neuron without any value."""


def line_of(trace: Trace) -> Trace:
    """The robust straight line of a trace `(frame,)`, `preprocess.robust_line`, found on averages:
    the line through the means of some frames each is the line through the frames, and is found as
    much faster."""
    trace = np.asarray(trace, np.float64)
    together = trace.size // LINE_POINTS
    if together < 2:
        return robust_line(trace)
    count = trace.size // together
    means = trace[: count * together].reshape(count, together).mean(axis=1)
    line = robust_line(means)
    slope = (line[-1] - line[0]) / ((count - 1) * together)
    return line[0] + slope * (np.arange(trace.size) - (together - 1) / 2)


def prepare_neuron(trace: Trace, segments: Sequence[Segment]) -> tuple[list[Trace], Scales]:
    """One neuron's trace `(frame,)`, NaN where missing, for each segment as float64 `(sample,)` at
    100 Hz in its own unit, trend and baseline subtracted, and its scales; both NaN where there is
    no value at all."""
    trace = np.array(trace, np.float64)
    there = np.isfinite(trace)
    if not there.any():
        return [np.full(segment.samples, np.nan) for segment in segments], NO_SCALES
    level = float(np.median(trace[there]))
    trace[there] -= line_of(trace[there])
    at_100_hz, noises, weights = [], [], []
    for segment in segments:
        samples = segment.at_100_hz(trace, there)
        if samples is None:
            at_100_hz.append(np.full(segment.samples, np.nan))
            continue
        at_100_hz.append(samples)
        values = trace[segment.frames][there[segment.frames]]
        noises.append(noise_density(values, segment.frame_rate))
        weights.append(values.size)
    smoothed = np.concatenate([smooth_trace(x) for x in at_100_hz if np.isfinite(x[:1]).all()])
    baseline = float(np.percentile(smoothed, BASELINE))
    noise = float(np.average(noises, weights=weights))
    scales = Scales(noise, baseline, spread=float(smoothed.std()), level=level)
    return [x - baseline for x in at_100_hz], scales


def prepare_trace(trace: Trace, frame_rate: float) -> tuple[Trace, Scales]:
    """As `prepare_neuron` for one segment of frames without gaps."""
    count = len(trace)
    positions, samples = np.arange(count, dtype=float), resampled_length(count, frame_rate)
    segment = Segment(
        slice(0, count), positions, count, frame_rate=float(frame_rate), samples=samples
    )
    (prepared,), scales = prepare_neuron(trace, [segment])
    return prepared, scales


def network_input(trace: Trace, scales: Scales, delay: float = 0.0) -> Array:
    """A trace from `prepare_neuron`, `(sample,)`, as the network gets it: float32 `(step, 4)` at 25
    Hz, the last step filled up with the last sample; all 0 for a trace without signal, noise
    included.

    `delay` are the s by which the indicator's answer follows the spikes beyond what the network
    expects; the trace is read so much later.
    """
    trace = np.asarray(trace, np.float64)
    steps = -(-trace.size // STEP)
    if delay:
        reach = np.arange(steps * STEP) + delay * SAMPLE_RATE
        trace = np.interp(reach, np.arange(trace.size), trace)
    else:
        trace = np.pad(trace, (0, steps * STEP - trace.size), mode="edge")
    # The channels: a step's two means over 20 ms, in units of the noise and of the spread.
    halves = trace.reshape(steps, 2, STEP // 2).mean(axis=2)
    noise = max(scales.noise, LEAST_NOISE * scales.spread)
    units = [NOISE_UNITS * noise * np.sqrt(NOISE_BAND), scales.spread]
    if not min(units) > 0:
        return np.zeros((steps, CHANNELS), np.float32)
    scaled = np.concatenate([halves / unit for unit in units], axis=1)
    return np.clip(scaled, -LARGEST_INPUT, LARGEST_INPUT).astype(np.float32)


def to_samples(rates: Rates, samples: int) -> Rates:
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
