"""Accuracy on recordings that the network never saw, beside a trivial baseline and OASIS.

    pip install "spikefinder-keras[benchmark]"
    python benchmarks/unseen_recordings.py GROUND_TRUTH_DIR [--weights described published] [--all]

GROUND_TRUTH_DIR holds the collection of Rupprecht et al. 2021 (`ground_truth.py`). Scored are its
sets that were not in the competition, with --all also those that were: they are marked, because
these weights were trained on their recordings, and left out of all means over sets.

Every recording is treated by itself, the same for all methods. The score of a neuron is the Pearson
correlation with its true spikes, in windows of 40 ms (25 Hz), over all its recordings put one after
another; neurons without a spike are left out. A method that finds nothing at all in a neuron scores
0 there. Printed are means over neurons with 95% bootstrap intervals over neurons.

The methods
- each of the weights: as `spikefinder-keras predict` by default, the mean over the ten dataset IDs;
- trivial: the calcium at 100 Hz as the network gets it, smoothed by a Gaussian of 100 ms, its
  derivative where positive, else 0;
- OASIS (Friedrich et al. 2017, PLoS Comput Biol 13:e1005423; `oasis-deconv`): AR(1) with an L1
  penalty on the raw dF/F at its own frame rate, time constant, noise and baseline estimated by
  itself for each recording; the spikes of a frame spread evenly over the time since the frame
  before, as its model has it;
- OASIS, smoothed: the same at 100 Hz, smoothed by a Gaussian of 50 ms.
The widths of the Gaussians are the best of 50, 100 and 200 ms over all unseen sets, so they favour
the baselines; spreading OASIS's spikes around the frame instead gives it lower scores.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.stats import bootstrap

from spikefinder_keras.competition.scoring import score
from spikefinder_keras.console import text_table
from spikefinder_keras.constants import SAMPLE_RATE
from spikefinder_keras.network.keras_model import load_network
from spikefinder_keras.network.predict import ALL_DATASETS, rates_by_dataset
from spikefinder_keras.recordings.convi6 import prepare
from spikefinder_keras.training.neurons import find_ground_truth, read_ground_truth

TRIVIAL_WIDTH, OASIS_WIDTH = 0.1, 0.05
"""s; standard deviations of the Gaussians for the baselines."""

TRIVIAL, OASIS, SMOOTHED = "trivial", "OASIS", "OASIS, smoothed"


def smooth(trace, width):
    """A trace `(sample,)` at 100 Hz, smoothed by a Gaussian of `width` s."""
    return gaussian_filter1d(np.asarray(trace, float), width * SAMPLE_RATE)


def rising(calcium):
    """The trivial baseline: positive part of the slope of the smoothed calcium `(sample,)`."""
    return np.maximum(np.gradient(smooth(calcium, TRIVIAL_WIDTH)), 0.0)


def oasis(recording, segments):
    """Spikes per sample that OASIS finds.

    Returns
    -------
    list of float arrays `(sample,)`, one for each segment, or None
        At 100 Hz; None if it fails, or if what it gives are not finite numbers.
    """
    try:
        from oasis.functions import deconvolve
    except ImportError:
        sys.exit('OASIS is missing: pip install "spikefinder-keras[benchmark]"')
    found = []
    for segment in segments:
        trace = recording.fluorescence[segment.frames, 0].astype(float)
        there = np.flatnonzero(np.isfinite(trace))  # it knows no missing frames
        trace = np.interp(np.arange(trace.size), there, trace[there])
        try:
            spikes = deconvolve(trace, penalty=1, b_nonneg=False)[1]
        except Exception as error:  # whatever it is, the recording has no result and is counted
            print(f"{recording.source}: OASIS: {error!r}", file=sys.stderr)
            return None
        if not np.isfinite(spikes).all():
            return None
        # Its running sum is known at the frames; those of the first came before the recording.
        frames = segment.positions * segment.samples / segment.grid_frames
        edges = np.arange(segment.samples + 1)
        found.append(np.diff(np.interp(edges, frames, np.cumsum(spikes))))
    return found


def predict_set(truths, networks):
    """All methods on all recordings of a set.

    Parameters
    ----------
    truths : list of GroundTruth
    networks : dict of str to keras.Model

    Returns
    -------
    rates : dict of str to list of float arrays `(sample,)`
        For each method and `"truth"`; one array for each recording, at 100 Hz.
    failed : int
        Recordings without a result of OASIS; its rates there are 0.
    """
    calcium, counts, failed = [], [], 0
    rates = {"truth": [], TRIVIAL: [], OASIS: [], SMOOTHED: []}
    for truth in truths:
        segments = truth.recording.segments
        prepared = prepare(truth.recording)
        calcium += prepared
        counts.append(len(segments))
        rates["truth"].append(np.concatenate(truth.spikes(segments)))
        rates[TRIVIAL].append(np.concatenate([rising(table[:, 0]) for table in prepared]))
        found = oasis(truth.recording, segments)
        failed += found is None
        found = found or [np.zeros(segment.samples) for segment in segments]
        rates[OASIS].append(np.concatenate(found))
        rates[SMOOTHED].append(np.concatenate([smooth(spikes, OASIS_WIDTH) for spikes in found]))
    for name, network in networks.items():
        outputs = rates_by_dataset(network, calcium, ALL_DATASETS)
        means = (np.mean(tables, axis=0)[:, 0] for tables in zip(*outputs.values(), strict=True))
        rates[name] = [np.concatenate([next(means) for _ in range(n)]) for n in counts]
    return rates, failed


def score_neurons(truths, rates):
    """Scores of each method, float array `(neuron,)`, over the neurons that have spikes."""
    scores = {name: [] for name in rates if name != "truth"}
    for neuron in sorted({truth.neuron for truth in truths}):
        own = [k for k, truth in enumerate(truths) if truth.neuron == neuron]
        joined = {name: np.concatenate([rows[k] for k in own]) for name, rows in rates.items()}
        if joined["truth"].any():
            for name, values in scores.items():
                (value,) = score(joined["truth"][:, None], joined[name][:, None]).values
                values.append(np.nan_to_num(value))  # a constant rate
    return {name: np.array(values) for name, values in scores.items()}


def interval(values):
    """95% bootstrap interval of the mean over neurons, `(low, high)`; always the same draws."""
    if len(values) < 2 or not np.ptp(values) > 0:
        return float("nan"), float("nan")
    return bootstrap((values,), np.mean, rng=np.random.default_rng(0)).confidence_interval


def table(groups, names, cell):
    """Text: a row for each group of neurons, a column for each name in `names`."""
    rows = [("", "neurons", *names)]
    for label, scores in groups.items():
        count = len(next(iter(scores.values())))
        rows.append((label, str(count), *(cell(scores, name) for name in names)))
    return text_table(rows, right=range(1, 2 + len(names)))


def show(values, sign=""):
    """Mean and interval, such as `0.41 (0.36 0.47)`."""
    low, high = interval(values)
    return f"{values.mean():{sign}.2f} ({low:{sign}.2f} {high:{sign}.2f})"


def joined(sets):
    """Scores of several sets put together."""
    return {name: np.concatenate([scores[name] for scores in sets]) for name in sets[0]}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ground_truth", type=Path)
    parser.add_argument("--weights", nargs="+", default=["described", "published"])
    parser.add_argument("--all", action="store_true", help="also the competition's sets")
    parser.add_argument("--csv", type=Path, help="write the score of every neuron")
    arguments = parser.parse_args(argv)
    networks = {name: load_network(name) for name in arguments.weights}
    unseen, seen, indicators = {}, {}, {}
    failures = recordings = 0
    for path in find_ground_truth(arguments.ground_truth):
        truths = read_ground_truth(path)
        competition = truths[0].competition
        if competition and not arguments.all:
            continue
        rates, failed = predict_set(truths, networks)
        failures, recordings = failures + failed, recordings + len(truths)
        scores = score_neurons(truths, rates)
        if competition:
            seen[f"{path.stem} (seen: set {competition})"] = scores
        else:
            unseen[path.stem] = scores
            indicators.setdefault(truths[0].indicator, []).append(scores)
        print(f"{path.stem}: {len(truths)} recordings", file=sys.stderr, flush=True)
    groups = {f"{name}, all": joined(sets) for name, sets in sorted(indicators.items())}
    if unseen:
        groups["all unseen"] = joined(list(unseen.values()))
    methods = [*networks, TRIVIAL, OASIS, SMOOTHED]
    print(table(unseen | groups | seen, methods, lambda scores, name: show(scores[name])))
    pairs = [(name, other) for name in networks for other in (TRIVIAL, SMOOTHED)]
    print("\nPaired difference, first minus second:")
    names = {f"{name} - {other}": (name, other) for name, other in pairs}

    def difference(scores, name):
        first, second = names[name]
        return show(scores[first] - scores[second], "+")

    print(table(unseen | groups | seen, names, difference))
    print(f"\nOASIS failed on {failures} of {recordings} recordings; its rate there is 0.")
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("set", *methods))
            for label, scores in (unseen | seen).items():
                for row in zip(*(scores[name] for name in methods), strict=True):
                    writer.writerow((label, *(f"{value:.4f}" for value in row)))


if __name__ == "__main__":
    sys.exit(main())
