"""What the competition did to a raw trace, so that own recordings look like the training data.

Per trace, in this order: subtract a robust straight line, scale so that the 5th percentile is 0 and
the 80th is 1, resample to 100 Hz (Theis et al. 2016, Neuron 90:471-482). No filter, no clipping, no
z-score.
"""

import math
import operator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array, ArrayLike, Mask, Table, Trace
from ..constants import SAMPLE_RATE
from ..errors import DataError, UsageError

if TYPE_CHECKING:
    from scipy.signal import CZT

BASELINE, TOP = 5, 80
"""Percentiles of the detrended trace that become 0 and 1."""

RATE_TOLERANCE = 0.1
"""Hz; a trace this close to the wanted rate is not resampled."""

SPREADS = np.array([0.5, 1.0, 2.0])
"""Where the three Gaussians start, in standard deviations of the least-squares residual."""

MAX_ITERATIONS = 1_000
CONVERGED = 1e-7  # Change of the line per iteration, in standard deviations of the residual
ROUNDING = 1e-12  # Differences below this share of the largest value are round-off
STEP_FACTOR = 4.0  # By which the longest step, in ordinary ones, grows and shrinks
LEAST_SHARE = -60.0  # Logarithm of a Gaussian's least share
NARROWEST = 1e-12  # Least variance of a Gaussian, as a share of the residual's
VALUES_TOGETHER = 16_384
"""Lines are fitted to traces of so many values together: more leave the cache, and of fewer it is
calling numpy that takes the time."""

LARGEST_VALUE = 1e300  # Twice as much still is a number

LARGEST_OUTPUT = 100_000_000
"""Samples; eleven days at 100 Hz."""

SLOW_FACTOR = 13
"""Transforms of lengths with a larger prime factor are slow: 266,667 samples (80,000 frames at
30 Hz) take twenty times as long as 270,000."""


def preprocess(trace: ArrayLike, frame_rate: float, rate: float = SAMPLE_RATE) -> Trace:
    """Turn a raw trace into the competition's calcium signal.

    Parameters
    ----------
    trace : (frame,)
        Raw fluorescence or dF/F, in any unit: the result does not depend on offset and gain.
    frame_rate
        Rate at which `trace` was recorded, in Hz.
    rate
        Rate of the result, in Hz.

    Returns
    -------
    (sample,)
        The trace at `rate`, mostly between 0 and 1 at rest and above 1 in transients.

    Raises
    ------
    DataError
        If `trace` is not one-dimensional, is empty, or has a value that is no finite number (or is
        beyond 1e300).
    UsageError
        If a rate is no positive finite number, or if the result would have no sample or too many.

    Examples
    --------
    >>> preprocess([5.0, 6.0, 9.0, 5.0, 6.0], frame_rate=50).shape
    (10,)
    """
    trace = check_trace(trace)
    resampled_length(trace.size, frame_rate, rate)  # Fails before the work, not after it
    return resample(scale(detrend(trace)), frame_rate, rate)


def detrend(trace: ArrayLike) -> Trace:
    """Subtract `robust_line` from a trace `(frame,)`: exactly 0 for one that is a straight line.

    Raises `DataError` as `preprocess` does.
    """
    trace = check_trace(trace)
    return trace - robust_line(trace)


def robust_line(trace: ArrayLike) -> Trace:
    """Fit the straight line from which a trace deviates by noise and by transients.

    The residual is modelled by a mixture of three Gaussians of mean 0, so that the wide ones take
    up the transients, which then do not tilt the line. Expectation-maximisation from the
    least-squares line on, over standardised time, until the line rests.

    `(frame,)` in and out. A trace that is a straight line but for round-off is returned as it is.
    Raises `DataError` as `preprocess` does.
    """
    return robust_lines(check_trace(trace)[None])[0]


def robust_lines(traces: Table) -> Table:
    """The `robust_line` of each trace `(trace, frame)`, finite float64: of each by itself, to the
    bit, but of many short ones in much less time."""
    largest = np.abs(traces).max(axis=1)
    # Squares of larger values would be infinite, so they are taken as shares of the largest.
    if (largest > LARGEST_VALUE).any():
        raise DataError(f"the trace has values beyond {LARGEST_VALUE:g}; give it in another unit")
    lines, (count, frames) = traces.copy(), traces.shape
    if frames <= 2:
        return lines
    time = np.linspace(-1, 1, frames)
    time /= time.std()
    size = max(1, VALUES_TOGETHER // frames)
    for first in range(0, count, size):
        some = np.flatnonzero(largest[first : first + size]) + first
        y = traces[some] / largest[some, None]
        line = y.mean(axis=1)[:, None] + time * (y * time).mean(axis=1)[:, None]
        bent = np.abs(y - line).max(axis=1) > ROUNDING
        some = some[bent]
        if not some.size:
            continue
        lines[some] = _refit_lines(y[bent], time, line[bent]) * largest[some, None]
    return lines


def _refit_lines(y: Table, time: Trace, lines: Table) -> Table:
    """Expectation-maximisation for `robust_lines`; tables `(trace, frame)`, time `(frame,)`.

    Accelerated by SQUAREM, scheme 3 of Varadhan & Roland 2008 (Scand J Stat 35:335-353): from two
    steps, their direction and how it bends, a longer one, kept if it does not lower the likelihood.
    Without it a long trace of little but noise takes thousands of steps.
    """
    count, frames = y.shape
    variance = ((y - lines) ** 2).mean(axis=1)
    slope = (lines[:, -1] - lines[:, 0]) / (time[-1] - time[0])
    # The line's height in the middle and slope, logarithms of the variances and of the shares.
    start = np.zeros((count, 8))
    start[:, 0], start[:, 1] = (lines[:, 0] + lines[:, -1]) / 2, slope
    start[:, 2:5] = np.log(variance[:, None] * SPREADS**2)
    spread = np.sqrt(variance)
    unit = np.ones((count, 8))
    unit[:, :2] = spread[:, None]
    low, high = np.full((count, 8), -np.inf), np.full((count, 8), np.inf)
    # Of numbers one by one, as numpy's logarithms and powers may differ in the last bit.
    low[:, 2:5] = [[math.log(NARROWEST * each)] * 3 for each in variance]
    high[:, 2:5] = [[math.log(each * frames)] * 3 for each in variance]
    low[:, 5:], high[:, 5:] = LEAST_SHARE, 0.0
    narrowest, longest = NARROWEST * variance, np.ones(count)
    found, at = np.empty((count, 8)), np.arange(count)

    def rest(after: Table, before: Table) -> Mask:
        # Two straight lines differ most at an end.
        change = np.abs(after[:, 0] - before[:, 0])
        change += np.abs((after[:, 1] - before[:, 1]) * time[-1])
        return change <= CONVERGED * spread

    for _ in range(MAX_ITERATIONS // 3):
        first, _ = _maximise(y, time, start, narrowest)
        second, likelihood = _maximise(y, time, first, narrowest)
        ready = rest(first, start) | rest(second, first)
        if ready.any():
            found[at[ready]] = second[ready]
            if ready.all():
                return found[:, :1] + found[:, 1:2] * time
            on = ~ready
            at = at[on]
            y, start, first, second = (each[on] for each in (y, start, first, second))
            low, high, unit, spread = (each[on] for each in (low, high, unit, spread))
            narrowest, likelihood, longest = (e[on] for e in (narrowest, likelihood, longest))
        direction = (first - start) / unit
        bend = (second - first) / unit - direction
        length = np.sqrt((direction**2).sum(axis=1) / np.maximum((bend**2).sum(axis=1), 1e-300))
        length = np.minimum(np.maximum(length, 1.0), longest)
        squared = np.array([each**2 for each in length.tolist()])
        longer = start + unit * ((2 * length)[:, None] * direction + squared[:, None] * bend)
        third, likelihood_there = _maximise(y, time, np.clip(longer, low, high), narrowest)
        downhill = likelihood_there < likelihood  # perhaps to another hill
        start = np.where(downhill[:, None], second, third)
        longer_yet = np.where(length == longest, longest * STEP_FACTOR, longest)
        longest = np.where(downhill, np.maximum(longest / STEP_FACTOR, 1.0), longer_yet)
    found[at] = start
    return found[:, :1] + found[:, 1:2] * time


def _maximise(y: Table, time: Trace, parameters: Table, narrowest: Array) -> tuple[Table, Array]:
    """One step of expectation-maximisation from and to the eight numbers of `_refit_lines`.

    `parameters` are `(trace, number)`. Also gives the log-likelihood from where it starts, less a
    constant, `(trace,)`.
    """
    height, slope = parameters[:, :1], parameters[:, 1:2]
    squares = (y - height - slope * time) ** 2
    variance = np.exp(parameters[:, 2:5])
    # Plain sums, no matrix products: those of many threads differ in the last digits between
    # machines, and wait for each other on a busy one.
    # (trace, gaussian, frame), first as logarithm
    posterior = squares[:, None] * (-0.5 / variance)[:, :, None]
    posterior += (parameters[:, 5:] - parameters[:, 2:5] / 2)[:, :, None]
    largest = posterior.max(axis=1)
    posterior -= largest[:, None]
    np.exp(posterior, out=posterior)
    density = posterior.sum(axis=1)
    posterior /= density[:, None]

    mass = posterior.sum(axis=2) + np.finfo(float).tiny
    variance = (posterior * squares[:, None]).sum(axis=2) / mass
    variance = np.maximum(variance, narrowest[:, None])
    weight = (posterior / variance[:, :, None]).sum(axis=1)
    weight /= weight.sum(axis=1)[:, None]
    middle = (weight * time).sum(axis=1)
    from_middle = time - middle[:, None]
    lever = weight * from_middle
    slopes = (lever * y).sum(axis=1) / (lever * from_middle).sum(axis=1)
    heights = (weight * y).sum(axis=1) - slopes * middle
    share = np.maximum(np.log(mass / y.shape[1]), LEAST_SHARE)
    likelihood = (largest + np.log(density)).sum(axis=1)
    return np.column_stack([heights, slopes, np.log(variance), share]), likelihood


def scale(trace: ArrayLike) -> Trace:
    """Move the 5th percentile of a trace `(frame,)` to 0 and the 80th to 1.

    That is (y - p5) / (p80 - p5); unchanged where p80 does not exceed p5 by more than round-off.
    Raises `DataError` as `preprocess` does.
    """
    trace = check_trace(trace)
    low, high = np.percentile(trace, [BASELINE, TOP])
    if high - low <= ROUNDING * np.abs(trace).max():
        return trace.copy()
    return (trace - low) / (high - low)


def resample(trace: ArrayLike, frame_rate: float, rate: float = SAMPLE_RATE) -> Trace:
    """Resample a trace by the Fourier method.

    Parameters
    ----------
    trace : (frame,)
    frame_rate
        Rate of `trace`, in Hz.
    rate
        Rate of the result, in Hz.

    Returns
    -------
    (sample,)
        `int(frames * rate / frame_rate + 0.5)` samples; a copy of `trace` if the two rates differ
        by 0.1 Hz at most.

    Raises
    ------
    DataError, UsageError
        As `preprocess`.
    """
    trace = check_trace(trace)
    samples = resampled_length(trace.size, frame_rate, rate)
    if abs(float(frame_rate) - float(rate)) <= RATE_TOLERANCE:
        return trace.copy()
    # As `scipy.signal.resample`, whose import takes longer than most predictions.
    spectrum = np.fft.rfft(trace)
    kept = min(samples, trace.size)
    resampled = np.zeros(samples // 2 + 1, complex)
    resampled[: kept // 2 + 1] = spectrum[: kept // 2 + 1]
    if kept % 2 == 0 and samples != trace.size:  # what two frequencies share, or one stands for
        resampled[kept // 2] *= 2.0 if samples < trace.size else 0.5
    return np.fft.irfft(resampled, samples) * (samples / trace.size)


def fast_resample(trace: ArrayLike, frame_rate: float) -> Trace:
    """Resample a trace to 100 Hz as `resample` does, equal but for round-off, fast for any length.

    Where the number of samples has a large prime factor, the transform back to them goes over a
    chirp (Bluestein 1970, IEEE Trans. Audio Electroacoust. 18:451-455), prepared once for all
    neurons. Arguments and errors are those of `resample`.
    """
    trace = check_trace(trace)
    samples = resampled_length(trace.size, frame_rate)
    if samples <= trace.size or not _is_slow(samples):  # downwards few frequencies are left
        return resample(trace, frame_rate)
    spectrum = np.conj(np.fft.rfft(trace))
    spectrum[1:] *= 2  # each stands for its negative too
    if trace.size % 2 == 0:
        spectrum[-1] *= 0.5
    return _chirp_transform(spectrum.size, samples)(spectrum).real / trace.size


def _is_slow(length: int) -> bool:
    for factor in (2, 3, 5, 7, 11, SLOW_FACTOR):
        while length % factor == 0:
            length //= factor
    return length > 1


@lru_cache(4)
def _chirp_transform(frequencies: int, samples: int) -> "CZT":
    """The Fourier transform to so many samples of a spectrum that is zero beyond so many."""
    from scipy.signal import CZT

    return CZT(frequencies, samples)


def bin_spikes(times: ArrayLike, samples: int, rate: float = SAMPLE_RATE) -> Trace:
    """Count spikes per bin, as the competition's spike trains do.

    Parameters
    ----------
    times : (spike,)
        Spike times in s from the start of the trace, in any order; those outside are ignored.
    samples
        Number of bins, that is, of samples of the trace.
    rate
        Bins per second, in Hz.

    Returns
    -------
    (sample,)
        Bin k counts the times in [k / rate, (k + 1) / rate): one on an edge is in the later bin.

    Raises
    ------
    DataError
        If a time is not a finite number.
    UsageError
        If `samples` is not a whole number from 0 on, or if `rate` is not a positive finite number.

    Examples
    --------
    >>> bin_spikes([0.004, 0.01, 0.011, 0.5], samples=3)
    array([1., 2., 0.])
    """
    times = check_numbers(times, "spike times")
    rate = check_rate(rate)
    samples = check_count(samples)
    edges = np.arange(samples + 1) / rate
    bins = np.searchsorted(edges, times, side="right") - 1
    inside = (bins >= 0) & (bins < samples)
    return np.bincount(bins[inside], minlength=samples).astype(np.float64)


def resampled_length(frames: int, frame_rate: float, rate: float = SAMPLE_RATE) -> int:
    """How many samples `resample` makes of so many frames; `UsageError` if that is impossible."""
    frame_rate, rate = check_rate(frame_rate), check_rate(rate)
    if abs(frame_rate - rate) <= RATE_TOLERANCE:
        return frames
    samples = frames * (rate / frame_rate) + 0.5
    if not 1 <= samples <= LARGEST_OUTPUT:
        raise UsageError(
            f"{frames} frames at {frame_rate:g} Hz do not make a usable trace at {rate:g} Hz; "
            "check the frame rate"
        )
    return int(samples)


# Arguments, checked: what cannot be is an error that says what to give


def check_rate(rate: float | str) -> float:
    """Return `rate` in Hz as a float if it is a positive finite number, else `UsageError`."""
    try:
        value = float(rate)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(
            f"a rate of {rate} Hz is impossible; give a positive number of Hz (--frame-rate)"
        )
    return value


def check_count(samples: int) -> int:
    """Return a number of samples as an int if it is possible, else `UsageError`."""
    try:
        # Not `int`, which would cut 2.7 to 2.
        value = operator.index(samples)
    except TypeError:
        value = -1
    if not 0 <= value <= LARGEST_OUTPUT:
        raise UsageError(f"{samples} bins are impossible; give a whole number from 0 on")
    return value


def check_trace(trace: ArrayLike) -> Trace:
    """Return a trace `(frame,)` as float64 if it is one of finite numbers, else `DataError`."""
    trace = check_numbers(trace, "trace")
    if trace.size == 0:
        raise DataError("the trace is empty; give at least one sample")
    return trace


def check_numbers(values: ArrayLike, name: str) -> Trace:
    """Return finite numbers `(value,)` as float64, else `DataError`; `name` says what they are."""
    try:
        numbers = np.asarray(values)
        if np.iscomplexobj(numbers):  # numpy would drop the imaginary part with a warning alone
            raise TypeError
        numbers = numbers.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"the {name} must be an array of real numbers") from error
    if numbers.ndim != 1:
        raise DataError(
            f"the {name} must have one dimension, not shape {numbers.shape}; give one neuron's"
        )
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise DataError(
            f"the {name} must be finite, but value {bad[0]} (counted from 0) is {numbers[bad[0]]}; "
            "cut it off or interpolate it"
        )
    return numbers
