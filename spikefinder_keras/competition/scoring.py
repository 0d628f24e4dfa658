"""The competition's measures, per neuron, and the scores of 2017; numpy and pandas alone.

Both signals are first summed over non-overlapping windows (4 samples: 25 Hz), as by Theis et al.
2016 and Berens et al. 2018, without the samples that are missing in either.
"""

from dataclasses import dataclass

import numpy as np

from ..arrays import Array, ArrayLike, Mask, Rates, Trace, numpy_settings
from ..constants import POOL, SAMPLE_RATE
from ..errors import DataError, UsageError
from ..signals.measures import pearson, sum_windows
from .tables import check_same_shape

MEASURES = ("corr", "rank", "auc", "info")
PROTOCOLS = ("plain", "published")
SUPPORT_POINTS = 10  # per cent from one support point of the fitted function to the next [T16]
CURVATURE_COST = 5e-8
"""Enough to make the problem strictly convex where a support point has few windows."""
LEAST_RATE = 1e-8
"""Spikes per window; under a rate of 0 a single spike would be infinitely unlikely."""
FIRST = 10  # samples that the competition's table left out of minimum and spread
FLOOR = 0.01  # the least rate in the competition's table, in its unit
CLOSEST_POINTS = 1e-3
"""Of support points closer than this, in quarters of the spread, one is enough; they
would make the problem ill-conditioned."""


# What was published

SUBMISSION = "convi6"  # the name of this submission in the tables below

TEST = {
    "MLspike": (0.601, 0.413, 0.400, 0.327, 0.438),
    "convi6": (0.580, 0.396, 0.419, 0.318, 0.455),
    "DeepSpike": (0.596, 0.404, 0.434, 0.319, 0.416),
    "Mineault": (0.585, 0.380, 0.480, 0.293, 0.420),
    "Elephant": (0.580, 0.374, 0.450, 0.288, 0.440),
    "Friedrich, Paninski": (0.589, 0.379, 0.407, 0.309, 0.412),
    "suite2p": (0.537, 0.379, 0.378, 0.285, 0.388),
    "Bolte": (0.549, 0.335, 0.387, 0.253, 0.386),
    "Machado, Paninski": (0.554, 0.366, 0.376, 0.270, 0.330),
    "Ringach": (0.561, 0.299, 0.407, 0.196, 0.349),
    "STM": (0.508, 0.349, 0.350, 0.254, 0.318),
    "oopsi": (0.472, 0.246, 0.264, 0.167, 0.178),
}
"""Published scores of test sets 1 to 5: mean Pearson correlation at 25 Hz over the neurons of each
set, from the per-cell table behind Berens et al. 2018, PLoS Comput Biol 14:e1006157. The
submission's own rates were scored after `published_transform`."""

TRAIN = {
    "MLspike": (0.513, 0.471, 0.475, 0.483, 0.481),
    "convi6": (0.507, 0.448, 0.485, 0.470, 0.465),
    "DeepSpike": (0.510, 0.449, 0.481, 0.473, 0.472),
    "Mineault": (0.553, 0.487, 0.595, 0.549, 0.546),
    "Elephant": (0.520, 0.462, 0.504, 0.494, 0.496),
    "Friedrich, Paninski": (0.500, 0.467, 0.469, 0.464, 0.481),
    "suite2p": (0.455, 0.427, 0.441, 0.419, 0.449),
    "Bolte": (0.555, 0.477, 0.494, 0.574, 0.490),
    "Machado, Paninski": (0.476, 0.407, 0.452, 0.436, 0.374),
    "Ringach": (0.467, 0.360, 0.453, 0.340, 0.369),
    "STM": (0.450, 0.412, 0.419, 0.386, 0.307),
    "oopsi": (0.371, 0.301, 0.318, 0.265, 0.185),
}
"""The same of training sets 1 to 5."""


@dataclass(frozen=True)
class Scores:
    """Values `(neuron,)`, NaN where there is none, and for each neuron why ("" where there is)."""

    values: Trace
    reasons: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Mean over the neurons that have a value; NaN if none has."""
        there = self.values[~np.isnan(self.values)]
        return float(there.mean()) if there.size else float("nan")

    @property
    def left_out(self) -> int:
        """Number of neurons without a value."""
        return int(np.isnan(self.values).sum())


@numpy_settings()
def score(
    truth: ArrayLike,
    prediction: ArrayLike,
    measure: str = "corr",
    downsample: int = POOL,
    protocol: str = "plain",
) -> Scores:
    """Score predicted rates against true spikes, neuron by neuron.

    Parameters
    ----------
    truth : (time, neuron)
        Spikes per sample of 10 ms; NaN where missing.
    prediction : (time, neuron)
        Rates, in any unit; NaN where missing.
    measure
        "corr", "rank", "auc" or "info": Pearson correlation; Spearman rank correlation; area under
        the ROC curve for windows with against those without spikes; `information_gain` in bit/s.
    downsample
        Samples per window: 4 for 25 Hz, 8, 16, 32 for 12.5, 6.25, 3.125 Hz.
    protocol
        "plain", or "published", which first applies `published_transform`, as the competition's
        table did for this submission.

    Raises
    ------
    DataError
        If the tables differ in shape, or hold infinite values.
    UsageError
        If an argument is outside the above.
    """
    truth, prediction = np.asarray(truth, float), np.asarray(prediction, float)
    for table, name in ((truth, "the truth"), (prediction, "the prediction")):
        if table.ndim != 2:
            raise DataError(f"{name} has shape {table.shape}; give a table (time, neuron)")
        if np.isinf(table).any():
            raise DataError(f"{name} has infinite values; mark missing samples by NaN")
    check_same_shape(truth, prediction, "the truth", "the prediction")
    if measure not in MEASURES:
        raise UsageError(f"there is no measure {measure}; choose from {', '.join(MEASURES)}")
    if protocol not in PROTOCOLS:
        raise UsageError(f"there is no protocol {protocol}; choose from {', '.join(PROTOCOLS)}")
    if not isinstance(downsample, (int, np.integer)) or downsample < 1:
        raise UsageError(f"cannot downsample by {downsample}; give a whole number from 1 on")
    pairs = [
        _score_trace(x, y, measure, int(downsample), protocol)
        for x, y in zip(truth.T, prediction.T, strict=True)
    ]
    return Scores(np.array([value for value, _ in pairs]), tuple(reason for _, reason in pairs))


def _score_trace(
    truth: Trace, prediction: Rates, measure: str, factor: int, protocol: str
) -> tuple[float, str]:
    """The score of a neuron and "", or NaN and why there is none."""
    if protocol == "published":
        prediction = published_transform(prediction)
    there = ~(np.isnan(truth) | np.isnan(prediction))
    spikes, rates = (sum_windows(signal[there], factor) for signal in (truth, prediction))
    # Nothing correlates with what does not vary; the reason is for the table.
    if len(spikes) < 2:
        return np.nan, f"fewer than two windows of {factor} samples"
    if np.ptp(spikes) == 0:
        return np.nan, "no spikes" if not spikes.any() else "the true rate is constant"
    if np.ptp(rates) == 0:
        return np.nan, "the prediction is constant"
    if measure == "corr":
        return pearson(spikes, rates), ""
    if measure == "rank":
        return pearson(_ranks(spikes), _ranks(rates)), ""
    if measure == "auc":
        if spikes.all():
            return np.nan, "spikes in every window"
        return _auc(spikes > 0, rates), ""
    return information_gain(spikes, rates, SAMPLE_RATE / factor), ""


def published_transform(prediction: Rates) -> Rates:
    """What the competition's table did to this submission's rates `(time,)` before scoring them:
    `(p - min p[10:]) / std p[10:] + 0.01`, then 0.01 where negative; NaN is left alone."""
    body = prediction[FIRST:][~np.isnan(prediction[FIRST:])]
    if not body.size or body.std() == 0:
        return prediction
    scaled = (prediction - body.min()) / body.std() + FLOOR
    return np.where(scaled < 0, FLOOR, scaled)


def _ranks(values: Trace) -> Trace:
    import pandas as pd

    return pd.Series(values).rank().to_numpy()


def _auc(positive: Mask, values: Rates) -> float:
    """Mann-Whitney: the chance that a window with spikes has the higher value; ties count half."""
    count = positive.sum()
    rank_sum = _ranks(values)[positive].sum()
    return float((rank_sum - count * (count + 1) / 2) / (count * (len(values) - count)))


def information_gain(spikes: Trace, rates: Rates, rate: float) -> float:
    """Information that a prediction gives on the spike counts, in bit/s (Theis et al. 2016).

    The prediction is first mapped by the monotone piecewise-linear function under which the counts
    are most likely as Poisson counts; the gain is the log-likelihood then reached, minus that of
    the mean count. `spikes` are counts `(window,)`, `rates` a prediction in any unit, of which
    negative values count as 0, and `rate` is in windows per second (Hz).
    """
    rates = np.maximum(rates, 0.0)
    if np.ptp(rates) == 0:
        return 0.0
    # The cost on the curvature depends on the unit. In this one, about that of the competition's
    # table, it is slight.
    rates = rates / rates.std() * POOL
    points = _support(rates)
    # A piecewise-linear function with values y at the points is this times y.
    basis = np.stack([np.interp(rates, points, row) for row in np.eye(len(points))], axis=1)
    expected = basis @ _fit_monotone(spikes, basis, points)
    mean = spikes.mean()
    # The factorials of the counts stand in both log-likelihoods.
    gain = np.mean(_poisson(spikes, expected) - _poisson(spikes, mean))
    return float(gain * rate / np.log(2))


def _poisson(counts: Trace, expected: Trace | float) -> Trace:
    """Log-likelihood of Poisson counts, without the factorials."""
    return counts * np.log(np.maximum(expected, LEAST_RATE)) - expected


def _support(rates: Rates) -> Array:
    """Support points: 0, percentiles of the values that are not almost 0, and the maximum; of those
    that coincide, as with a prediction of few levels, one."""
    body = rates[rates > np.ptp(rates) / 100] if rates.sum() > 0 else rates
    steps = range(SUPPORT_POINTS, 100, SUPPORT_POINTS)
    points = [0.0]
    for point in (*np.percentile(body, steps), body.max()):
        if point > points[-1] + CLOSEST_POINTS:
            points.append(point)
    return np.array(points)


def _fit_monotone(spikes: Trace, basis: Array, points: Array) -> Array:
    """Heights `(point,)`, rising and not negative, of the most likely function: a convex problem,
    as in Theis et al. 2016 with a small cost on the curvature."""
    from scipy.optimize import minimize

    slopes = np.diff(np.eye(len(points)), axis=0) / np.diff(points)[:, None]
    curvature = np.diff(slopes, axis=0) / ((points[2:] - points[:-2]) / 2)[:, None]
    # Solved for the steps from point to point, of which rising asks only that none be negative.
    heights = np.tri(len(points))
    # Started halfway between the mean and the proportional function; from the latter the solver
    # can go astray.
    mean = spikes.mean()
    start = np.diff(points, prepend=0.0) * mean / (basis @ points).mean()
    start[0] = mean
    start /= 2
    basis, curvature = basis @ heights, curvature @ heights

    def cost(steps: Array) -> tuple[float, Array]:
        expected = basis @ steps + LEAST_RATE
        bend = curvature @ steps
        value = float(np.mean(expected - spikes * np.log(expected)) + CURVATURE_COST * bend @ bend)
        gradient = basis.T @ (1 - spikes / expected) / len(spikes)
        return value, gradient + 2 * CURVATURE_COST * curvature.T @ bend

    bounds, options = [(0, None)] * len(points), {"ftol": 1e-12, "maxiter": 1000}
    result = minimize(cost, start, jac=True, method="SLSQP", bounds=bounds, options=options)
    return heights @ result.x


def published_score(split: str, number: int, algorithm: str = SUBMISSION) -> float | None:
    """Mean correlation of an algorithm on a set, or None where none was published."""
    scores = (TEST if split == "test" else TRAIN)[algorithm]
    return scores[number - 1] if number <= len(scores) else None


def best_published(split: str, number: int) -> tuple[float, str] | None:
    """The best of the other algorithms on a set, as `(score, algorithm)`, or None."""
    others = [(published_score(split, number, name), name) for name in TEST if name != SUBMISSION]
    return max(((value, name) for value, name in others if value is not None), default=None)
