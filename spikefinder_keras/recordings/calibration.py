"""From the network's output, which has no unit, to expected spikes per second.

The network was trained on correlation alone, so its output says when and how strongly a neuron
fires relative to itself. A monotone map, fitted on recordings with known spikes, turns it into the
spike rate to be expected. There is one map for each dataset ID, because the ID changes the output's
scale; rates under several IDs are mapped first and averaged then.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..constants import DATASET_COUNT
from ..errors import DataError, WeightsError
from ..files.sources import WEIGHTS
from ..files.whole_files import whole_file

BINS = 200
"""Quantile bins of the output; their means are what the monotone map is fitted to."""

DIGITS = 9
"""Significant digits of a stored map: all that float32 has, because the output of some weights
moves by only a few thousandths."""


@dataclass(frozen=True)
class Calibration:
    """Maps from output to spikes per second.

    Attributes
    ----------
    maps : dict of int to (float array `(knot,)`, float array `(knot,)`)
        For each dataset ID the outputs, increasing, and the spikes per second, not decreasing;
        straight lines between, constant beyond.
    held_out : dict of str to dict
        For each indicator, from maps fitted without the dataset in question: `neurons`,
        `mean_rate_error` (median over neurons of |predicted - true| / true mean rate), `bias`
        (median of predicted / true mean rate), `rate_error` (median over neurons of the mean
        absolute error in bins of 1 s, spikes/s) and `silent_error` (the same for the neuron's true
        mean rate as constant guess).
    about : str
        What the maps were fitted on.
    """

    maps: dict
    held_out: dict = field(default_factory=dict)
    about: str = ""

    def spikes_per_second(self, output, number):
        """Expected spikes per second, shape of `output`, from the output under an ID."""
        return np.interp(output, *self.maps[number])


def fit_map(output, rate, weight=None):
    """Fit the monotone map by isotonic regression over quantile bins.

    Parameters
    ----------
    output : array `(sample,)`
        Of the network.
    rate : array `(sample,)`
        True spikes per second in the same samples.
    weight : array `(sample,)`, optional
        For example so that every neuron counts the same.

    Returns
    -------
    (float array `(knot,)`, float array `(knot,)`)
        Outputs, strictly increasing, and spikes per second, not decreasing.

    Raises
    ------
    DataError
        If there are no samples, or not as many rates as outputs.
    """
    from scipy.optimize import isotonic_regression

    output, rate = np.asarray(output, np.float64), np.asarray(rate, np.float64)
    if output.ndim != 1 or output.shape != rate.shape or not output.size:
        raise DataError(f"outputs {output.shape} and rates {rate.shape} must be two equal vectors")
    weight = np.ones(output.size) if weight is None else np.asarray(weight, np.float64)
    order = np.argsort(output, kind="stable")
    share = np.cumsum(weight[order])
    bins = np.minimum((share / share[-1] * BINS).astype(int), BINS - 1)
    bins = bins[np.searchsorted(output[order], output[order])]  # equal outputs share a bin
    mass = np.bincount(bins, weight[order], BINS)
    filled = mass > 0
    x, y = (
        np.bincount(bins, weight[order] * values[order], BINS)[filled] / mass[filled]
        for values in (output, rate)
    )
    y = isotonic_regression(y, weights=mass[filled]).x
    x, y = (np.array([float(f"{v:.{DIGITS}g}") for v in values]) for values in (x, y))
    # Inner points of flat stretches say nothing, and equal outputs cannot be knots of a map.
    keep = np.ones(x.size, bool)
    keep[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
    keep[1:] &= np.diff(x) > 0
    return x[keep], y[keep]


def calibration_path(weights_path):
    """Where the calibration of a weights file is kept: beside it, or with the package.

    The published weights, whatever the name of the file, have theirs among the embedded weights.
    """
    from ..network.weights import embedded_folder

    path = Path(weights_path)
    if hashlib.sha256(path.read_bytes()).hexdigest() == WEIGHTS["published"][1]:
        return embedded_folder() / "published.calibration.json"
    name = path.name.removesuffix(".h5").removesuffix(".weights")
    return path.with_name(f"{name}.calibration.json")


def load_calibration(weights_path):
    """The calibration of a weights file.

    Raises
    ------
    WeightsError
        If there is none, or if it is damaged.
    """
    path = calibration_path(weights_path)
    if not path.is_file():
        raise WeightsError(
            f"{weights_path} has no calibration {path.name} beside it; fit one with "
            f"`spikefinder-keras calibrate --weights {weights_path}`, or predict without"
        )
    try:
        stored = json.loads(path.read_text())
        maps = {
            int(number): (np.array(m["output"], float), np.array(m["spikes_per_second"], float))
            for number, m in stored["maps"].items()
        }
        if sorted(maps) != list(range(1, DATASET_COUNT + 1)):
            raise ValueError(f"it has no map for each of the {DATASET_COUNT} dataset IDs")
        for x, y in maps.values():
            if not (x.ndim == 1 and x.shape == y.shape and x.size and (np.diff(x) > 0).all()):
                raise ValueError("the knots of a map do not increase")
            if not (np.isfinite([x, y]).all() and (np.diff(y) >= 0).all() and y[0] >= 0):
                raise ValueError("the rates of a map are no increasing rates")
        return Calibration(maps, stored["held_out"], stored["about"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path} is no calibration file ({error}); fit it again with "
            "`spikefinder-keras calibrate`"
        ) from error


def save_calibration(calibration, weights_path):
    """Write a calibration beside its weights file and return its path."""
    path = calibration_path(weights_path)
    maps = {
        str(number): {"output": x.tolist(), "spikes_per_second": y.tolist()}
        for number, (x, y) in sorted(calibration.maps.items())
    }
    stored = {"about": calibration.about, "held_out": calibration.held_out, "maps": maps}
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(stored, indent=1) + "\n")
    return path
