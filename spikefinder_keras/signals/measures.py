"""What a trace is like: its noise, what smoothing leaves of it, how two of them go together."""

from functools import lru_cache

import numpy as np

from ..arrays import Array, ArrayLike, Mask, Numbers, Trace
from ..constants import SAMPLE_RATE

SMOOTHING = 30.0
"""Samples (0.3 s); spread of the Gaussian under which base and spread of a trace are read."""

NOISE_RATE = 30.0
"""Hz; frames are averaged to about this rate before their noise is read, so that what is correlated
from frame to frame at higher rates counts as noise too."""

GAUSSIAN_MEDIAN = 0.6745
"""The median of the size of a Gaussian deviation, in units of its spread."""


def smoothing_of_noise() -> float:
    """What is left of white noise of density 1 under the Gaussian of `SMOOTHING`.

    A Gaussian of spread s passes density n, variance per Hz of sampling rate, with variance
    n^2 / (2 sqrt(pi) s).
    """
    return 1 / np.sqrt(2 * np.sqrt(np.pi) * SMOOTHING / SAMPLE_RATE)


def whole(number: float) -> int:
    """The whole number below, or just above: of 15.9998 Hz, as time stamps in ms have it, a quarter
    of a second is 4 frames as of 16 Hz."""
    return int(number + 0.01)


def noise_density(trace: ArrayLike, frame_rate: float) -> float:
    """White noise of a trace, per square root of Hz.

    Parameters
    ----------
    trace : (frame,)
        Without missing values, in any unit.
    frame_rate
        In Hz.

    Returns
    -------
    median |difference| / (0.6745 sqrt(2 rate)), in units of `trace` per sqrt(Hz), of the frames
    averaged to about 30 Hz; 0 for fewer than three of them.
    """
    trace = np.asarray(trace, np.float64)
    together = max(1, round(frame_rate / NOISE_RATE))
    if trace.size // together < 3:  # a short trace of many frames per second still has a noise
        together = 1
    means = trace[: trace.size // together * together].reshape(-1, together).mean(axis=1)
    if means.size < 3:
        return 0.0
    steps = np.abs(np.diff(means))
    return float(np.median(steps) / (GAUSSIAN_MEDIAN * np.sqrt(2 * frame_rate / together)))


def noise_level(dff: ArrayLike, frame_rate: float) -> float:
    """Noise level of a trace as Cascade has it (Rupprecht et al. 2021, Nat Neurosci 24:1324-1337).

    Parameters
    ----------
    dff : (frame,)
        dF/F as a fraction, NaN where missing.
    frame_rate
        In Hz.

    Returns
    -------
    100 median|diff(dff)| / sqrt(frame_rate), in % Hz^-1/2; NaN for fewer than two values.
    """
    steps = np.abs(np.diff(np.asarray(dff, np.float64)))
    steps = steps[np.isfinite(steps)]
    return float(100 * np.median(steps) / np.sqrt(frame_rate)) if steps.size else float("nan")


def smooth_trace(trace: ArrayLike, width: float = SMOOTHING) -> Trace:
    """A trace `(sample,)` under a Gaussian of `width` samples, its ends reflected."""
    reach = int(3.0 * width + 0.5)
    # As `scipy.ndimage.gaussian_filter1d`, which takes twice as long, and without SciPy, whose
    # import takes longer than most predictions.
    padded = np.pad(np.asarray(trace, np.float64), reach, mode="symmetric")
    length = fast_length(padded.size)
    product = np.fft.rfft(padded, length) * _gaussian_spectrum(width, length)
    return np.fft.irfft(product, length)[2 * reach : padded.size]


@lru_cache(1)
def _gaussian_spectrum(width: float, length: int) -> Array:
    """The transform of the Gaussian of `smooth_trace`, which most neurons of a recording share."""
    reach = int(3.0 * width + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    return np.fft.rfft(kernel / kernel.sum(), length)


def fast_length(samples: int) -> int:
    """The shortest length, of so many samples at least, that has no prime factor but 2, 3 and 5:
    its Fourier transform is fast."""
    shortest = 1 << (samples - 1).bit_length()
    five = 1
    while five < shortest:
        three = five
        while three < shortest:
            twos = max(-(-samples // three) - 1, 0).bit_length()
            shortest = min(shortest, three << twos)
            three *= 3
        five *= 5
    return shortest


def sum_windows(signal: Trace, factor: int) -> Trace:
    """Sums over non-overlapping windows of `factor` samples; an incomplete last one is dropped."""
    whole = len(signal) // factor * factor
    return signal[:whole].reshape(-1, factor).sum(axis=1)


def pearson(x: Trace, y: Trace) -> float:
    """Pearson's correlation of two signals `(window,)`; 0 where one does not vary."""
    # Asked first: what is left of a constant less its mean can be round-off, which correlates.
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def runs(mask: Mask) -> Numbers:
    """Where a mask `(sample,)` is true: `(run, 2)`, the first sample of each run and its end."""
    return np.flatnonzero(np.diff(mask, prepend=False, append=False)).reshape(-1, 2)
