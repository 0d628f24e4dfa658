"""What a trace is like: its noise, and what smoothing leaves of it."""

import numpy as np

from ..constants import SAMPLE_RATE

SMOOTHING = 30.0
"""Samples (0.3 s); standard deviation of the Gaussian under which base and spread are read."""

NOISE_RATE = 30.0
"""Hz; frames are averaged to about this rate before their noise is read, so that what is correlated
from frame to frame at higher rates counts as noise too."""


def smoothing_of_noise():
    """What is left of white noise of density 1 under the Gaussian of `SMOOTHING`.

    A Gaussian of standard deviation s passes density n, variance per Hz of sampling rate, with
    variance n^2 / (2 sqrt(pi) s).
    """
    return 1 / np.sqrt(2 * np.sqrt(np.pi) * SMOOTHING / SAMPLE_RATE)


def noise_density(trace, frame_rate):
    """White noise of a trace, per square root of Hz.

    Parameters
    ----------
    trace : array `(frame,)`
        Without missing values, in any unit.
    frame_rate : float
        In Hz.

    Returns
    -------
    float
        median |difference| / (0.6745 sqrt(2 rate)), in units of `trace` per sqrt(Hz), of the frames
        averaged to about 30 Hz; 0 for fewer than three of them.
    """
    trace = np.asarray(trace, np.float64)
    together = max(1, round(frame_rate / NOISE_RATE))
    if trace.size // together < 3:
        together = 1
    means = trace[: trace.size // together * together].reshape(-1, together).mean(axis=1)
    if means.size < 3:
        return 0.0
    steps = np.abs(np.diff(means))
    return float(np.median(steps) / (0.6745 * np.sqrt(2 * frame_rate / together)))


def smooth_trace(trace, width=SMOOTHING):
    """A trace `(sample,)` under a Gaussian of `width` samples, its ends reflected."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(np.asarray(trace, np.float64), width, mode="reflect", truncate=3.0)


def noise_level(dff, frame_rate):
    """Cascade's noise level of a trace (Rupprecht et al. 2021, Nature Neuroscience 24:1324-1337).

    Parameters
    ----------
    dff : (frame,)
        dF/F as a fraction, NaN where missing.
    frame_rate
        In Hz.

    Returns
    -------
    float
        100 median|diff(dff)| / sqrt(frame_rate), in % Hz^-1/2; NaN for fewer than two values.
    """
    steps = np.abs(np.diff(np.asarray(dff, np.float64)))
    steps = steps[np.isfinite(steps)]
    return float(100 * np.median(steps) / np.sqrt(frame_rate)) if steps.size else float("nan")


def correlation(x, y):
    """Pearson's, 0 where one does not vary."""
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 0 else 0.0
