"""The network `universal` on somebody's recording: rates in spikes/s, spike times, their quality.

One pass per neuron, each by itself: nothing depends on the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..arrays import Array, ArrayLike, Mask, Rates, Table, Times, Trace
from ..constants import SAMPLE_RATE
from ..network.engine import load_engine
from ..network.predict import predict_steps
from ..network.universal import CHANNELS, STEP, STEPS_PER_SECOND
from ..network.weights import find_weights
from ..signals.measures import noise_density, runs, smooth_trace, smoothing_of_noise
from ..signals.preprocess import resampled_length, robust_lines, scale
from .calibration import (
    UNKNOWN,
    apply_delay,
    calibration_path,
    load_calibration,
    signal_share,
    slowness,
)
from .options import PredictOptions
from .quality import EXPECTED, neuron_quality
from .recording import Predicted, Recording, described_alike
from .segments import LONGEST_BRIDGED, Segment, samples_in_gaps, to_frames

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


def lines_of(traces: Table) -> Table:
    """The robust straight lines of traces `(neuron, frame)`, `preprocess.robust_lines`, found on
    averages: the line through the means of some frames each is the line through the frames, and is
    found as much faster."""
    frames = traces.shape[1]
    together = frames // LINE_POINTS
    if together < 2:
        return robust_lines(traces)
    count = frames // together
    means = traces[:, : count * together].reshape(-1, count, together).mean(axis=2)
    lines = robust_lines(means)
    slopes = (lines[:, -1] - lines[:, 0]) / ((count - 1) * together)
    return lines[:, :1] + slopes[:, None] * (np.arange(frames) - (together - 1) / 2)


def prepare_neurons(traces: Table, segments: Sequence[Segment]) -> list[tuple[list[Trace], Scales]]:
    """Of each neuron's trace, `(neuron, frame)`, NaN where missing: for each segment a float64
    `(sample,)` at 100 Hz in its own unit, trend and baseline subtracted, and its scales; both NaN
    where there is no value at all."""
    traces = np.array(traces, np.float64, order="C")
    there = np.isfinite(traces)
    levels, counts = np.full(len(traces), np.nan), np.count_nonzero(there, axis=1)
    # Those of equally many values at once, as most are.
    for count in np.unique(counts[counts > 0]):
        alike = np.flatnonzero(counts == count)
        known = np.zeros_like(there)
        known[alike] = there[alike]
        values = traces[known].reshape(alike.size, count)
        levels[alike] = np.median(values, axis=1)
        traces[known] = (values - lines_of(values)).ravel()
    return [
        _prepare_neuron(trace, known, segments=segments, level=float(level))
        for trace, known, level in zip(traces, there, levels, strict=True)
    ]


def _prepare_neuron(
    trace: Trace, there: Mask, *, segments: Sequence[Segment], level: float
) -> tuple[list[Trace], Scales]:
    """The same of one neuron, from whose trace `(frame,)` the line is subtracted."""
    if not there.any():
        return [np.full(segment.samples, np.nan) for segment in segments], NO_SCALES
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


def prepare_neuron(trace: Trace, segments: Sequence[Segment]) -> tuple[list[Trace], Scales]:
    """As `prepare_neurons` for one neuron's trace `(frame,)`."""
    return prepare_neurons(np.asarray(trace)[None], segments)[0]


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
    """Rates per step `(..., step)`, not negative, as `(..., sample)` at 100 Hz.

    The mean over each step stays what it is; between, the running integral is a monotone cubic, so
    that frames that do not coincide with steps see no stairs. What is beyond the steps holds the
    last value.
    """
    from scipy.interpolate import PchipInterpolator

    rates = np.asarray(rates, np.float64)
    steps = max(-(-samples // STEP), rates.shape[-1])
    rates = rates[..., np.minimum(np.arange(steps), rates.shape[-1] - 1)]
    integral = np.zeros((*rates.shape[:-1], steps + 1))
    np.cumsum(rates, axis=-1, out=integral[..., 1:])
    edges = np.arange(steps + 1) * STEP
    between = PchipInterpolator(edges, integral * STEP, axis=-1)(np.arange(samples + 1))
    return np.maximum(np.diff(between), 0.0)


WEIGHTS = "universal"  # the name of the weights that come with the package
HALF_SAMPLE = 0.5 / SAMPLE_RATE  # s by which a sample begins before its time, its centre
FLOOR = 0.25
"""Between bouts the rate is below so many spikes/s, or below `SHARE` of the bout's largest."""

SHARE = 0.1

LEAST = 0.4  # expected spikes of the least bout that is one; below 0.5, as rates are cautious
TYPICAL_RATE = 0.6  # spikes/s; about the median over neurons with known spikes


@dataclass(frozen=True)
class UniversalNeuron:
    """What was found in one neuron, float64 arrays for each segment.

    `traces` `(sample,)` at 100 Hz have trend and baseline subtracted, `rates` `(sample,)` are the
    expected spikes/s there; both are NaN where a segment has no value. `steps` `(step,)` are the
    rates at 25 Hz, as the network gave them, else empty, and `expected` is their `expected_score`.
    """

    traces: list[Trace]
    rates: list[Rates]
    steps: list[Rates]
    expected: float


class Universal:
    """The network, and what is known of the recording's indicator: as stated, else what its file
    says (`about`). With `progress` the terminal says that Keras is loading."""

    certainty = EXPECTED

    def __init__(
        self,
        options: PredictOptions | None = None,
        about: dict[str, str] | None = None,
        *,
        progress: bool = False,
    ) -> None:
        options, about = options or PredictOptions(), about or {}
        self.name = WEIGHTS if options.weights is None else str(options.weights)
        path = find_weights(self.name)
        self.path: Path | None = path
        self.calibration = load_calibration(calibration_path(path))
        self.engine = load_engine(path, engine=options.engine, progress=progress)
        self.spikes = options.spikes
        self.indicator = options.indicator or about.get("indicator")
        species = options.species or about.get("species")
        self.delay, self.family = self.calibration.delay_of(self.indicator, species)

    def predict(self, recording: Recording) -> Predicted:
        """Predict the neurons of a recording in memory, each by itself."""
        segments = recording.segments
        missing = ~np.isfinite(recording.traces)
        prepared = prepare_neurons(recording.traces.T, segments)
        neurons = self._neurons(prepared, recording.frame_rate)
        tables = [
            np.stack(rates, axis=1) for rates in zip(*(n.rates for n in neurons), strict=True)
        ]
        spike_times = None
        if self.spikes:
            spike_times = [
                _spike_times(recording, neuron.steps, missing[:, k])
                for k, neuron in enumerate(neurons)
            ]
        quality = []
        for k, neuron in enumerate(neurons):
            calcium = np.concatenate(neuron.traces)
            calcium = calcium[np.isfinite(calcium)]
            calcium = scale(calcium) if calcium.size else calcium
            quality.append(neuron_quality(recording, k, calcium=calcium, certainty=neuron.expected))
        return Predicted(to_frames(tables, segments, missing), spike_times, quality)

    def _neurons(
        self, prepared: Sequence[tuple[list[Trace], Scales]], frame_rate: float
    ) -> list[UniversalNeuron]:
        """Run the network on all neurons together."""
        inputs = [
            network_input(trace, scales)
            for traces, scales in prepared
            for trace in traces
            if _has_values(trace)
        ]
        outputs = iter(predict_steps(self.engine, inputs))
        neurons = [
            self._neuron(
                traces,
                [next(outputs) if _has_values(trace) else np.empty(0) for trace in traces],
                scales=scales,
                frame_rate=frame_rate,
            )
            for traces, scales in prepared
        ]
        for k, trace in enumerate(neurons[0].traces):
            answered = [neuron for neuron in neurons if neuron.steps[k].size]
            if answered:
                steps = np.stack([neuron.steps[k] for neuron in answered])
                for neuron, rates in zip(answered, to_samples(steps, trace.size), strict=True):
                    neuron.rates[k] = rates
        return neurons

    def _neuron(
        self, traces: list[Trace], outputs: list[Rates], *, scales: Scales, frame_rate: float
    ) -> UniversalNeuron:
        """The answer for one neuron: the network's output at its time, in spikes/s, as steps."""
        rates = [np.full(trace.size, np.nan) for trace in traces]
        steps = [np.empty(0)] * len(traces)
        # Of a trace that never changes the network would see noise of its own making.
        if not scales.spread > 0:  # NaN without any value
            return UniversalNeuron(traces, rates, steps, float("nan"))
        weights = self.delay.weights(slowness(traces, outputs, frame_rate))
        seconds = sum(trace.size for trace in traces if _has_values(trace)) / SAMPLE_RATE
        factor = self.calibration.rates.factor(STEPS_PER_SECOND * np.concatenate(outputs))
        # What noise alone could have made is taken off the rates, so that none come of noise.
        factor *= STEPS_PER_SECOND * signal_share(scales.clarity, seconds)
        for k, output in enumerate(outputs):
            if output.size:
                steps[k] = factor * apply_delay(output, weights)
        return UniversalNeuron(traces, rates, steps, expected_score(np.concatenate(steps)))

    def describe(self, recording: Recording) -> dict[str, Any]:
        """What the rates are, as every written file says it: text and numbers."""
        known = f"{self.indicator}, so {self.family}" if self.indicator else "not stated"
        if self.indicator and self.family == UNKNOWN:
            known = f"{self.indicator}, of which no delay is known"
        return {
            "unit": "spikes per second (expected)",
            **described_alike(recording),
            "weights": self.name,
            "indicator": known,
            "timing": f"delay {self.delay.source}",
            "preprocessing": (
                "robust line subtracted, resampling to 100 Hz, base subtracted, in units of the "
                f"noise and of the spread; gaps up to {LONGEST_BRIDGED:g} s interpolated, longer "
                "ones left empty"
            ),
            "rates": f"map from output to spikes per second {self.calibration.rates.source}",
            "engine": self.engine.name,
            "software": f"spikefinder-keras {__version__}, the network universal",
        }


def _has_values(trace: Trace) -> bool:
    """Whether a segment had any value; `prepare_neuron` gives NaN for the others."""
    return bool(np.isfinite(trace).all())


def _spike_times(recording: Recording, steps: Sequence[Rates], missing: Mask) -> Times:
    """Spike times in s of a neuron, none in its long gaps."""
    parts = []
    for segment, rates in zip(recording.segments, steps, strict=True):
        times = discrete_spikes(rates, -HALF_SAMPLE, STEPS_PER_SECOND)
        at = np.clip((times * SAMPLE_RATE).astype(int), 0, segment.samples - 1)
        times = times[~samples_in_gaps(segment, missing)[at]]
        parts.append(recording.times[segment.frames.start] + times)
    return np.concatenate(parts)


# Discrete spikes. A rate that is spread thinly over minutes is uncertainty, not spikes: its
# integral passes 1 now and then, at times that mean nothing. So spikes are only placed in bouts:
# stretches in which the rate stays above a floor. A bout whose expected number of spikes reaches
# `LEAST` gets it, rounded, at the times where its running integral passes the middle of each spike.
# What is left over is not made up for.


def spike_bouts(rates: ArrayLike, floor: float = FLOOR, share: float = SHARE) -> list[slice]:
    """Stretches of activity in rates `(sample,)` in spikes/s, NaN counting as 0: from the first
    sample above the floor to the last; a bout ends too where the rate falls below `share` of its
    largest value so far, or of its largest one to come."""
    rates = np.nan_to_num(np.asarray(rates, np.float64))
    bouts = []
    for first, last in runs(rates > floor):
        part = rates[first:last]
        before = np.maximum.accumulate(part)
        after = np.maximum.accumulate(part[::-1])[::-1]
        active = part >= share * np.minimum(before, after)
        bouts += [slice(int(first + a), int(first + b)) for a, b in runs(active)]
    return bouts


def discrete_spikes(rates: ArrayLike, start: float, rate: float, *, least: float = LEAST) -> Times:
    """Increasing spike times in s `(spike,)` that a person would call spikes, of rates `(sample,)`
    in spikes/s that begin at `start` s, `rate` of them per second; NaN counts as 0. From n - 1 +
    `least` expected spikes on a bout has n."""
    rates = np.nan_to_num(np.asarray(rates, np.float64))
    times = []
    for bout in spike_bouts(rates):
        mass = np.concatenate([[0.0], np.cumsum(rates[bout])]) / rate
        count = int(np.floor(mass[-1] + 1 - least))
        if count:
            # The middles of `count` equal parts of the bout.
            wanted = (np.arange(count) + 0.5) * mass[-1] / count
            times.append((bout.start + np.interp(wanted, mass, np.arange(mass.size))) / rate)
    return start + np.concatenate(times) if times else np.empty(0)


def expected_score(output: ArrayLike) -> float:
    """The correlation with true spikes at 25 Hz that is to be expected, 0 (a constant output) to 1,
    of an output `(step,)` that is right but for a factor; NaN without any.

    Spikes with Poisson statistics and rates x per step of 40 ms correlate with x by sqrt(var x /
    (var x + mean x)): the more, the more of the rate is in few certain events. Here x is the output
    brought to a mean of `TYPICAL_RATE`, the same for all neurons. With the neuron's own mean rate,
    which is a guess, it orders neurons worse.
    """
    x = np.asarray(output, np.float64)
    x = x[np.isfinite(x)]
    if not x.size or not x.mean() > 0:
        return float("nan")
    x = x * (TYPICAL_RATE * (1 / STEPS_PER_SECOND) / x.mean())
    return float(np.sqrt(x.var() / (x.var() + x.mean())))
