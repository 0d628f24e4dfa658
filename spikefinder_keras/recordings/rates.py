"""From the output of `universal`, right but for a factor, to spikes per second.

The network is trained on correlation, so it says when a neuron fires and how much more often than
at another time. How often in all, a small map says for each neuron:

    log(rate + 0.01) = a + b log(mean output + 0.01) + c log(noise of dF/F)

Rate and output are in spikes/s. The noise belongs in it since the network sees a trace in units of
its noise: the same height is more spikes where the noise is high. Where dF/F is not known, counts
without a baseline, c is 0. Fitted on recordings with known spikes, every set the same.

Noise alone makes the network answer too, a little. So the rates of a recording are multiplied by
the share of its smoothed variance that is not noise (`signal_share`): 0 for noise, whatever its
level.
"""

from dataclasses import dataclass

import numpy as np

SMALLEST = 0.01
"""Spikes/s; added before the logarithm."""

RIDGE = 10.0
"""Of the slopes in units of the standard deviation of what they multiply, in neurons."""


CHANCE = 2.2
"""How far, times 1 / sqrt(seconds), the clarity of noise alone reaches above 1 (in 1 of 100)."""


def signal_share(scales, seconds):
    """The share of a recording's smoothed variance that is surely not noise, 0 to 1.

    Parameters
    ----------
    scales : universal_preparation.Scales
    seconds : float
        Length of the recording: what noise can do by chance depends on it.
    """
    if not scales.clarity > 0:
        return 0.0
    by_chance = 1 + CHANCE / np.sqrt(seconds)
    return float(max(1 - (by_chance / scales.clarity) ** 2, 0.0))


@dataclass(frozen=True)
class RateMap:
    """`with_noise` is (a, b, c), `without` is (a, b); `source` says what they were fitted on."""

    with_noise: tuple
    without: tuple
    source: str = ""

    def mean_rate(self, output, noise=None):
        """Mean spikes/s of a neuron.

        Parameters
        ----------
        output : float
            Mean of the network's output, in spikes/s.
        noise : float, optional
            `Scales.noise` of dF/F as a fraction.
        """
        known = noise is not None and np.isfinite(noise) and noise > 0
        a, b, *c = self.with_noise if known else self.without
        value = a + b * np.log(output + SMALLEST) + (c[0] * np.log(noise) if c else 0.0)
        return float(max(np.exp(value) - SMALLEST, 0.0))

    def factor(self, output, noise=None):
        """By what the output is multiplied; 0 for an output of 0."""
        return self.mean_rate(output, noise) / output if output > 0 else 0.0


def fit_rate_map(cases, source=""):
    """Fit the map.

    Parameters
    ----------
    cases : list of (str, float, float, float)
        For each neuron its set, the mean output in spikes/s, the noise of dF/F, and the true mean
        rate in spikes/s.
    source : str

    Returns
    -------
    RateMap
    """
    groups = [group for group, *_ in cases]
    weight = np.array([1 / groups.count(group) for group in groups])
    weight *= weight.size / weight.sum()
    output, noise, rate = np.array([numbers for _, *numbers in cases]).T
    columns = [np.log(output + SMALLEST), np.log(noise)]
    target = np.log(rate + SMALLEST)
    return RateMap(
        _ridge(np.stack(columns, axis=1), target, weight),
        _ridge(columns[0][:, None], target, weight),
        source,
    )


def _ridge(features, target, weight):
    """Intercept and slopes of weighted ridge regression, a tuple."""
    middle, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    design = np.column_stack([np.ones(len(features)), (features - middle) / spread])
    penalty = RIDGE * np.eye(design.shape[1])
    penalty[0, 0] = 0.0
    found = np.linalg.solve(
        design.T @ (design * weight[:, None]) + penalty, design.T @ (weight * target)
    )
    slopes = found[1:] / spread
    return (float(found[0] - slopes @ middle), *(float(slope) for slope in slopes))
