"""From the output of `universal`, right but for a factor, to spikes per second.

The network is trained on correlation, so it says when a neuron fires and how much more often than
at another time. How often in all, a small map says for each neuron, from the output alone:

    log(rate + 0.01) = a + b log(mean + 0.01) + c log(busy + 0.001) + d log(kurtosis)

Rate and mean are in spikes/s, `busy` is the share of the time in which the output is high, a
quarter of its peaks or more, and the kurtosis is the output's own (3 for a Gaussian, more for rare
events). How much of the time a neuron is active, and how evenly, says as much about its rate as
the mean, whose factor differs between recordings. Nothing of it depends on the gain, the offset or
the unit of the trace. Fitted on recordings with known spikes, every set the same.

Noise alone makes the network answer too, a little. So the rates of a recording are multiplied by
the share of its smoothed variance that is not noise (`signal_share`): 0 for noise, whatever its
level.
"""

from dataclasses import dataclass

import numpy as np

SMALLEST = 0.01
"""Spikes/s; added before the logarithm."""

PEAK, HIGH, LEAST_BUSY = 99.9, 0.25, 1e-3
"""Percentile of the output that counts as its peaks, the share of it that is high, and what is
added to the time that it is before the logarithm."""

TERMS = 4

RIDGE = 20.0
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


def output_features(output):
    """What the map sees of a neuron's output.

    Parameters
    ----------
    output : array `(step,)`
        In spikes/s, of all its blocks.

    Returns
    -------
    float64 array `(3,)`
        The three logarithms of the map.
    """
    output = np.asarray(output, np.float64)
    mean = output.mean()
    squares = (output - mean) ** 2
    variance = squares.mean()
    busy = np.mean(output > HIGH * np.percentile(output, PEAK))
    kurtosis = squares @ squares / squares.size / variance**2 if variance > 0 else 1.0
    return np.array([np.log(mean + SMALLEST), np.log(busy + LEAST_BUSY), np.log(kurtosis)])


@dataclass(frozen=True)
class RateMap:
    """`terms` is (a, b, c, d); `source` says what they were fitted on."""

    terms: tuple
    source: str = ""

    def mean_rate(self, output):
        """Mean spikes/s of a neuron with an output `(step,)` in spikes/s."""
        a, *slopes = self.terms
        value = a + np.dot(slopes, output_features(output))
        return float(max(np.exp(value) - SMALLEST, 0.0))

    def factor(self, output):
        """By what the output is multiplied; 0 for an output of 0."""
        mean = np.mean(output)
        return self.mean_rate(output) / float(mean) if mean > 0 else 0.0


def fit_rate_map(cases, source=""):
    """Fit the map.

    Parameters
    ----------
    cases : list of (str, array `(step,)`, float)
        For each neuron its set, the output in spikes/s, and the true mean rate in spikes/s.
    source : str

    Returns
    -------
    RateMap
    """
    groups = [group for group, *_ in cases]
    weight = np.array([1 / groups.count(group) for group in groups])
    weight *= weight.size / weight.sum()
    features = np.stack([output_features(output) for _, output, _ in cases])
    target = np.log(np.array([rate for *_, rate in cases]) + SMALLEST)
    return RateMap(_ridge(features, target, weight), source)


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
