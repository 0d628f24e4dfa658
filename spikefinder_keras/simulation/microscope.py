"""A simulated microscope: from one neuron's dF/F to frames with noise and drift."""

import numpy as np

from ..arrays import Array, Trace
from .indicators import STEP_RATE

DRIFT_TIME = 20.0
"""s; time constant of the slow drift, about that of a cell that moves in and out of focus."""
DARKEST = 0.05
"""Least brightness, as a share of that at rest: drift may not turn the light off."""


def fluctuation(samples: int, time_constant: float, rng: np.random.Generator) -> Array:
    """Ornstein-Uhlenbeck process of mean 0 and variance 1; `time_constant` in samples.

    `(sample,)`.
    """
    from scipy.signal import lfilter

    keep = np.exp(-1 / time_constant)
    kicks = np.sqrt(1 - keep**2) * rng.normal(size=samples)
    kicks[:1] = rng.normal()  # as spread at the start as later
    return lfilter([1.0], [1.0, -keep], kicks)


def expose(
    dff: Trace, frame_rate: float, noise: float, drift: float, rng: np.random.Generator
) -> Trace:
    """One neuron's dF/F as a microscope records it.

    Parameters
    ----------
    dff : (step,)
        At `STEP_RATE`.
    frame_rate
        In Hz, at most `STEP_RATE`.
    noise
        Photon noise at rest, in dF/F per sqrt(Hz); it grows with the square root of brightness.
    drift
        Spread of the slow drift, in dF/F.

    Returns
    -------
    (frame,)
        Frame k is the mean over a frame's duration around k / `frame_rate` s.
    """
    frames = int(len(dff) * frame_rate / STEP_RATE)
    # Differences of the integral: a frame may begin and end between two steps.
    integral = np.concatenate([[0.0], np.cumsum(dff)])
    centre = np.arange(frames) * STEP_RATE / frame_rate
    width = STEP_RATE / frame_rate / 2
    edges = np.clip([centre - width, centre + width], 0, len(dff))
    low, high = np.interp(edges, np.arange(len(dff) + 1), integral)
    seen = (high - low) / (edges[1] - edges[0])
    seen = seen + drift * fluctuation(frames, DRIFT_TIME * frame_rate, rng)
    bright = np.sqrt(np.maximum(1 + seen, DARKEST))
    return seen + noise * np.sqrt(frame_rate) * bright * rng.normal(size=frames)
