"""The network `universal` on somebody's recording: rates in spikes/s, spike times, their quality.

One pass per neuron, each by itself: nothing depends on the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..arrays import Array, ArrayLike, Mask, Rates, Table, Times, Trace, numpy_settings
from ..constants import SAMPLE_RATE
from ..network.engine import load_engine
from ..network.predict import predict_steps
from ..network.universal import CHANNELS, STEP, STEPS_PER_SECOND
from ..network.weights import find_weights
from ..signals.measures import (
    SMOOTHING,
    noise_density,
    runs,
    smooth_trace,
    smoothing_of_noise,
    whole,
)
from ..signals.preprocess import resampled_length, robust_lines, scale
from ..text import counted
from .calibration import (
    UNKNOWN,
    Timing,
    average_transient,
    blurred,
    calibration_path,
    clearness,
    load_calibration,
    signal_share,
)
from .options import PredictOptions
from .quality import EXPECTED, is_raw, neuron_quality
from .recording import NOT_STATED, Predicted, Recording, described_alike, on_each_core
from .segments import (
    LONGEST_BRIDGED,
    Segment,
    over_frames,
    running_integral,
    samples_in_gaps,
)

BASELINE = 15
"""This percentile of the smoothed trace becomes 0: of a neuron that fires half of the time it is
still between its transients."""

NOISE_BAND = 10.0
"""The noise in a band of so many Hz times `NOISE_UNITS` is the unit of the first scale."""

NOISE_UNITS = 3.0

WINDOW = 60.0
"""s; over so many the baseline runs. Half of it takes from cells that fire tonically, and twice as
many follow bleaching within a minute less well."""

WINDOW_SMOOTHING = 8.0  # s; spread of the Gaussian that takes the corners off a running percentile
PASSES = 3  # each finds half of what the one before has missed where the baseline falls
BASELINE_STEP = 0.25  # s; it is found on means over so many, as smoothing leaves nothing faster
NEAR_ZERO = 0.2
"""Raw fluorescence is divided by a baseline that nowhere falls below this share of its largest:
below, what was subtracted from it (an offset, neuropil) weighs as much as the light."""

CHANGES = 1.1
"""It is subtracted where its largest is less than so many times its least: then the gain hardly
changes, and neither gain nor offset of the recording matter."""

LINE_POINTS = 2_000  # the line is fitted to so many means, at least
LEAST_NOISE = 1e-3
"""A trace with less noise than this share of its spread counts as having this much: simulated and
denoised traces have none."""

LARGEST_INPUT = 100.0  # scaled traces are clipped beyond it: an artefact, not a neuron


@dataclass(frozen=True)
class Scales:
    """What a neuron's trace was measured by, in the trace's own unit, or as a share of its baseline
    where it was divided by that.

    `noise` is the standard deviation of the white noise of a frame, per square root of the frame
    rate in Hz; `baseline` becomes 0, after the trend is gone; `spread` is the standard deviation of
    the trace smoothed by 0.3 s.
    """

    noise: float
    baseline: float
    spread: float

    @property
    def least_noise(self) -> float:
        """The noise, or what counts as such of a trace that has none."""
        return max(self.noise, LEAST_NOISE * self.spread)

    @property
    def clarity(self) -> float:
        """Spread over the noise that is left after smoothing: about 1 for noise alone."""
        if not self.noise > 0:
            return float("nan")
        return float(self.spread / (self.noise * smoothing_of_noise()))


NO_SCALES = Scales(noise=np.nan, baseline=np.nan, spread=np.nan)
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


def running_baseline(trace: Trace, frame_rate: float) -> Trace:
    """The baseline of a trace `(frame,)` without missing values, frame by frame: a low percentile
    over `WINDOW` of the smoothed trace, itself smoothed. `frame_rate` is in Hz."""
    from scipy.ndimage import gaussian_filter1d, percentile_filter

    together = max(1, whole(frame_rate * BASELINE_STEP))
    count, rate = len(trace) // together, frame_rate / together
    means = trace[: count * together].reshape(count, together).mean(axis=1)
    smoothed = gaussian_filter1d(means, SMOOTHING / SAMPLE_RATE * rate, mode="nearest")
    baseline = np.zeros(count)
    # Again, as of a baseline that falls within the window the percentile is that of its end.
    for _ in range(PASSES):
        # Reflected, so that at an end it is the percentile of what is there.
        low = percentile_filter(
            smoothed - baseline, BASELINE, size=whole(WINDOW * rate) | 1, mode="reflect"
        )
        baseline += gaussian_filter1d(low, WINDOW_SMOOTHING * rate, mode="nearest")
    centres = (np.arange(count) + 0.5) * together - 0.5
    return np.interp(np.arange(len(trace)), centres, baseline)


def _trends(traces: Table, frame_rate: float) -> Table:
    """The trends of traces `(neuron, frame)` without missing values: the straight line, and what
    is left of a running baseline if they are longer than its window."""
    lines = lines_of(traces)
    if traces.shape[1] < whole(WINDOW * frame_rate):
        return lines
    # A line first, as what runs does not follow a steep one at the ends.
    return lines + [running_baseline(trace, frame_rate) for trace in traces - lines]


def _may_divide(trend: Trace) -> bool:
    """Whether raw fluorescence loses or gains brightness along a trend `(frame,)`, and nowhere
    nearly all of it."""
    lowest, highest = np.nanmin(trend), np.nanmax(trend)
    return bool(lowest > 0 and NEAR_ZERO * highest <= lowest and CHANGES * lowest <= highest)


def _stretches(segments: Sequence[Segment]) -> list[tuple[slice, float]]:
    """The frames that have a trend of their own, and their frame rate in Hz: a segment longer than
    `WINDOW`, and shorter ones, such as trials, together with their neighbours."""
    stretches: list[tuple[slice, float]] = []
    together = False
    for segment in segments:
        short = segment.samples < WINDOW * SAMPLE_RATE
        if short and together:
            (frames, rate) = stretches[-1]
            stretches[-1] = slice(frames.start, segment.frames.stop), rate
        else:
            stretches.append((segment.frames, segment.frame_rate))
        together = short
    return stretches


def prepare_neurons(
    traces: Table, segments: Sequence[Segment], unit: str | None = None
) -> list[tuple[list[Trace], Scales]]:
    """Of each neuron's trace, `(neuron, frame)`, NaN where missing: for each segment a float64
    `(sample,)` at 100 Hz, trend and baseline subtracted, and its scales; both NaN where there is no
    value at all. `unit` is that of `Recording`."""
    traces = np.array(traces, np.float64, order="C")
    there, trends = np.isfinite(traces), np.full(traces.shape, np.nan)
    for frames, frame_rate in _stretches(segments):
        part, known = traces[:, frames], there[:, frames]
        counts = np.count_nonzero(known, axis=1)
        # Those of equally many values at once, as most are.
        for count in np.unique(counts[counts > 0]):
            alike = (counts == count)[:, None] & known
            found = _trends(part[alike].reshape(-1, count), frame_rate)
            trends[:, frames][alike] = found.ravel()
    for trace, trend, known in zip(traces, trends, there, strict=True):
        divided = known.any() and _may_divide(trend) and is_raw(trace, unit)
        trace -= trend
        if divided:
            trace /= trend
    return [
        _prepare_neuron(trace, known, segments) for trace, known in zip(traces, there, strict=True)
    ]


def _prepare_neuron(
    trace: Trace, there: Mask, segments: Sequence[Segment]
) -> tuple[list[Trace], Scales]:
    """The same of one neuron, from whose trace `(frame,)` the trend is gone."""
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
    scales = Scales(noise, baseline, spread=float(smoothed.std()))
    return [x - baseline for x in at_100_hz], scales


def prepare_neuron(
    trace: Trace, segments: Sequence[Segment], unit: str | None = None
) -> tuple[list[Trace], Scales]:
    """As `prepare_neurons` for one neuron's trace `(frame,)`."""
    return prepare_neurons(np.asarray(trace)[None], segments, unit)[0]


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
    # Added as slices, as numpy's mean over so short an axis takes five times as long.
    samples = trace.reshape(steps, 2, STEP // 2)
    halves = sum(samples[..., k] for k in range(STEP // 2)) / (STEP // 2)
    units = [NOISE_UNITS * scales.least_noise * np.sqrt(NOISE_BAND), scales.spread]
    if not min(units) > 0:
        return np.zeros((steps, CHANNELS), np.float32)
    scaled = np.concatenate([halves / unit for unit in units], axis=1)
    return np.clip(scaled, -LARGEST_INPUT, LARGEST_INPUT).astype(np.float32)


def integral_of(steps: Rates) -> Trace:
    """The running integral of rates per step `(step,)`, not negative, at each sample, from 0 on:
    `(4 step + 1,)`.

    The mean over each step stays what it is; between, it is a monotone cubic, so that frames that
    do not coincide with steps see no stairs.
    """
    integral = running_integral(steps)
    slopes = np.diff(integral)
    tangents = np.repeat(slopes[:1], len(integral))
    if len(slopes) > 1:
        # As Fritsch & Butland 1984 (SIAM J Sci Stat Comput 5:300-304), of whom `scipy` has it for
        # points anywhere, six times as slow: harmonic means of the slopes, 0 beside one of 0.
        with np.errstate(divide="ignore"):
            tangents[1:-1] = 1 / ((3 / slopes[:-1] + 3 / slopes[1:]) / 6)
        tangents[[0, -1]] = np.maximum((3 * slopes[[0, -1]] - slopes[[1, -2]]) / 2, 0)
    third = tangents[:-1] + tangents[1:] - 2 * slopes
    second = slopes - tangents[:-1] - third

    def at(share: float, k: slice = slice(None)) -> Trace:
        """The curve at a share of each step."""
        start, first = integral[:-1][k], tangents[:-1][k] * share
        return STEP * (start + first + second[k] * share**2 + third[k] * share**3)

    curve = np.empty(len(steps) * STEP + 1)
    for sample in range(STEP):
        curve[sample:-1:STEP] = at(sample / STEP)
    curve[-1:] = at(1.0, slice(-1, None))
    return curve


WEIGHTS = "universal"  # the name of the weights that come with the package
HALF_SAMPLE = 0.5 / SAMPLE_RATE  # s by which a sample begins before its time, its centre
FLOOR = 0.25
"""Between bouts the rate is below so many spikes/s, or below `SHARE` of the bout's largest."""

SHARE = 0.1

LEAST = 0.4  # expected spikes of the least bout that is one; below 0.5, as rates are cautious


CLOCK_NEURONS, CLOCK_SAMPLES = 100, 2_000_000
"""The delay of a recording is found on so many of its neurons at most, and on so many samples at
100 Hz of them together, unless a single one has more: beyond it changes by less than 5 ms."""


@dataclass(frozen=True)
class UniversalNeuron:
    """What was found in one neuron, float64 arrays for each segment.

    `traces` `(sample,)` at 100 Hz have trend and baseline subtracted, and are NaN where a segment
    has no value. `steps` `(step,)` are the expected spikes/s at 25 Hz, as the network gave them,
    else empty. `mean` is the mean rate in spikes/s and `expected` the correlation with the true
    spikes to be expected, both NaN without a signal.
    """

    traces: list[Trace]
    steps: list[Rates]
    mean: float = float("nan")
    expected: float = float("nan")


@dataclass(frozen=True)
class Clock:
    """When calcium answers in a recording: its `delay` in s, and `words` on where that is from."""

    delay: float
    words: str


class Universal:
    """The network, and when calcium answers in a recording: as stated, else as its indicator, which
    is stated or the file tells, and its own transients say. With `progress` the terminal says that
    Keras is loading."""

    certainty = EXPECTED

    def __init__(
        self, options: PredictOptions, recording: Recording, *, progress: bool = False
    ) -> None:
        self.name = WEIGHTS if options.weights is None else str(options.weights)
        path = find_weights(self.name)
        self.path: Path | None = path
        self.calibration = load_calibration(calibration_path(path))
        self.engine = load_engine(path, engine=options.engine, progress=progress)
        self.spikes = options.spikes
        self.indicator = options.indicator or recording.about.get("indicator")
        species = options.species or recording.about.get("species")
        self.rule, self.family = self.calibration.delay_of(self.indicator, species)
        if options.delay is None:
            self.clock = self._find_clock(recording)
        else:
            self.clock = Clock(options.delay / 1_000, "as stated")

    def _find_clock(self, recording: Recording) -> Clock:
        """Find the delay of a recording on a sample of its neurons, always the same ones."""
        timing = Timing()
        samples = sum(segment.samples for segment in recording.segments)
        part = recording.sample(int(np.clip(CLOCK_SAMPLES // samples, 1, CLOCK_NEURONS)))
        count = len(part.names)

        def work(group: range) -> list[tuple[list[Trace], list[Rates]]]:
            with numpy_settings():
                own = part.traces[:, group.start : group.stop].T
                prepared = prepare_neurons(own, recording.segments, recording.unit)
                return list(zip(*self._outputs(prepared, delay=0.0), strict=True))

        with numpy_settings():
            for found in on_each_core(work, count, samples=samples, threads=self.engine.threads):
                for traces, outputs in found:
                    timing.add(traces, outputs)
        kind = "of recordings in general" if self.family == UNKNOWN else f"of {self.family}"
        words = f"{kind} ({self.rule.source})"
        if timing.events:
            words += (
                f", and a rise in {1_000 * timing.rise():.0f} ms, seen in "
                f"{counted(timing.events, 'event')} of {counted(count, 'neuron')} with a "
                f"persistence of {timing.persistence():.2f}"
            )
        return Clock(self.rule.of(timing.signs(recording.frame_rate)), words)

    def _outputs(
        self, prepared: Sequence[tuple[list[Trace], Scales]], *, delay: float
    ) -> tuple[list[list[Trace]], list[list[Rates]]]:
        """Traces and the network's output of neurons, of each for each segment: an array `(step,)`,
        empty where it has no value."""
        inputs = [
            network_input(trace, scales, delay)
            for traces, scales in prepared
            for trace in traces
            if _has_values(trace)
        ]
        found = iter(predict_steps(self.engine, inputs))
        every = [traces for traces, _ in prepared]
        return every, [
            [next(found) if _has_values(trace) else np.empty(0) for trace in traces]
            for traces in every
        ]

    def predict(self, recording: Recording) -> Predicted:
        """Predict the neurons of a recording in memory, each by itself."""
        segments = recording.segments
        missing = ~np.isfinite(recording.traces)
        prepared = prepare_neurons(recording.traces.T, segments, recording.unit)
        neurons = self._neurons(prepared, recording.frame_rate)
        spike_times = None
        if self.spikes:
            spike_times = [
                _spike_times(recording, neuron.steps, missing[:, k])
                for k, neuron in enumerate(neurons)
            ]
            # Of the plane's own clock; the rates are moved alike.
            if recording.offsets:
                spike_times = [
                    times + offset
                    for times, offset in zip(spike_times, recording.offsets, strict=True)
                ]
        quality = []
        for k, neuron in enumerate(neurons):
            calcium = np.concatenate(neuron.traces)
            calcium = calcium[np.isfinite(calcium)]
            calcium = scale(calcium) if calcium.size else calcium
            found = neuron_quality(recording, k, calcium=calcium, certainty=neuron.expected)
            low, high = (factor * neuron.mean for factor in self.calibration.rates.interval)
            quality.append(replace(found, rate=neuron.mean, rate_low=low, rate_high=high))

        def integral(segment: int, neuron: int) -> Trace | None:
            steps = neurons[neuron].steps[segment]
            return integral_of(steps) if steps.size else None

        table = over_frames(integral, segments, missing, recording.offsets)
        # Round-off of the cubic may be below 0; NaN stays.
        return Predicted(np.maximum(table, 0.0), spike_times, quality)

    def _neurons(
        self, prepared: Sequence[tuple[list[Trace], Scales]], frame_rate: float
    ) -> list[UniversalNeuron]:
        """Run the network on all neurons together."""
        every, outputs = self._outputs(prepared, delay=self.clock.delay)
        return [
            self._neuron(traces, output, scales=scales, frame_rate=frame_rate)
            for traces, output, (_, scales) in zip(every, outputs, prepared, strict=True)
        ]

    def _neuron(
        self, traces: list[Trace], outputs: list[Rates], *, scales: Scales, frame_rate: float
    ) -> UniversalNeuron:
        """The answer for one neuron: the network's output in spikes/s, as steps."""
        steps = [np.empty(0)] * len(traces)
        # Of a trace that never changes the network would see noise of its own making.
        if not scales.spread > 0:  # NaN without any value
            return UniversalNeuron(traces, steps)
        seconds = sum(trace.size for trace in traces if _has_values(trace)) / SAMPLE_RATE
        there = [output for output in outputs if output.size]
        # What noise alone could have made is taken off the rates, so that none come of noise.
        mean = self.calibration.rates.mean_rate(there) * signal_share(scales.clarity, seconds)
        found = float(np.concatenate(there).mean())
        factor = mean / found if found > 0 else 0.0
        for k, output in enumerate(outputs):
            if output.size:
                steps[k] = factor * blurred(output, frame_rate)
        if not mean > 0:
            return UniversalNeuron(traces, steps, mean)
        transient, _ = average_transient(traces, outputs)
        score = self.calibration.score.expected(there, clearness(transient, scales.least_noise))
        return UniversalNeuron(traces, steps, mean, score)

    def describe(self, recording: Recording) -> dict[str, Any]:
        """What the rates are, as every written file says it: text and numbers."""
        indicator = NOT_STATED
        if self.indicator:
            indicator = f"{self.indicator}, so {self.family}"
            if self.family == UNKNOWN:
                indicator = f"{self.indicator}, of which no delay is known"
        return {
            "unit": "spikes per second (expected)",
            **described_alike(recording),
            "weights": self.name,
            "indicator": indicator,
            "delay_ms": round(1_000 * self.clock.delay, 1),
            "timing": f"delay {self.clock.words}",
            "preprocessing": (
                f"running baseline over {WINDOW:g} s subtracted (raw fluorescence divided by it, "
                "but where it is near zero; of shorter recordings a straight line), resampling to "
                "100 Hz, in units of the noise and of the spread; gaps up to "
                f"{LONGEST_BRIDGED:g} s interpolated, longer ones left empty"
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
