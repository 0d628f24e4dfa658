"""Accuracy on recordings that were not trained on: two folds, every peer, one tidy table.

    python benchmarks/accuracy.py GROUND_TRUTH_DIR --out accuracy [--peers described published]

GROUND_TRUTH_DIR holds the collection of Rupprecht et al. 2021. Its sixteen sets are cut into two
folds; a `universal` network is trained on one and scored on the other, and so are the delays and
the map to spikes/s, so that nothing of a scored set is known. Trained networks are kept in
`--runs`, and a run that was interrupted goes on.

A neuron's score: all its recordings one after another, Pearson correlation with the true spikes,
- at 25 Hz: both summed in windows of 40 ms;
- smoothed: both under a Gaussian of 0.2 s, read at 7.7 Hz.
Then the mean over the neurons of a set, then over sets. Neurons without a spike are left out.

The methods: `universal` with nothing known, with the indicator, and with indicator and species
stated; the peers of `unseen_recordings.py`. Of the sixteen sets, six were in the competition, so
seen by `described` and `published`: the fair comparison with these is the ten that were not.
Written are `scores.csv`, a row for each neuron, method and measure, and `summary.json`.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d
from unseen_recordings import SMOOTHED, interval, predict_set

from spikefinder_keras.constants import SAMPLE_RATE
from spikefinder_keras.recordings.ground_truth import find_ground_truth, read_ground_truth
from spikefinder_keras.recordings.knowledge import (
    STEPS_PER_SECOND,
    fit_knowledge,
    noise_of_dff,
    outputs,
    whole_steps,
)
from spikefinder_keras.recordings.preparation import find_blocks
from spikefinder_keras.recordings.rates import signal_share
from spikefinder_keras.recordings.timing import apply_timing, correlation, slowness
from spikefinder_keras.recordings.universal_preparation import prepare_neuron, to_samples
from spikefinder_keras.recordings.universal_spikes import discrete_spikes, expected_score
from spikefinder_keras.training.universal import (
    UniversalSettings,
    train_universal,
)
from spikefinder_keras.training.universal_data import TrainingNeuron

FOLD_A = ("DS02", "DS03", "DS05-GCaMP6f", "DS07", "DS09", "DS16", "DS19", "DS21")
"""The other sets are fold B."""

UNSEEN = (
    *("DS02", "DS03", "DS04", "DS05-Cal520", "DS05-GCaMP6f"),
    *("DS07", "DS08", "DS18", "DS21", "DS22"),
)
"""Sets that were in no competition set."""

SMOOTHING, READ_EVERY = 20, 13  # Samples at 100 Hz
TOLERANCE = 0.1  # s

UNIVERSAL, WITH_INDICATOR, WITH_SPECIES = (
    "universal",
    "universal, indicator",
    "universal, indicator and species",
)


class Neuron:
    """A neuron of the collection: prepared traces, spikes, and what is known about it."""

    def __init__(self, truths):
        self.truths = truths
        first = truths[0]
        self.group = f"{first.dataset}-{first.indicator}" if first.dataset == "DS05" else ""
        self.group = self.group or first.dataset
        self.name, self.indicator = first.neuron, first.indicator
        self.species = first.area.split(", ")[1]
        self.frame_rate = float(np.median([t.recording.frame_rate for t in truths]))
        self.traces, self.scales, self.spikes = [], [], []
        for truth in truths:
            blocks = find_blocks(truth.recording)
            traces, scales = prepare_neuron(truth.recording.fluorescence[:, 0], blocks)
            self.traces += traces
            self.scales += [scales] * len(blocks)
            self.spikes += truth.spikes(blocks)

    @property
    def seconds(self):
        return sum(map(len, self.traces)) / 100.0

    @property
    def rate(self):
        return float(sum(spikes.sum() for spikes in self.spikes) / self.seconds)

    def training(self):
        return TrainingNeuron(self.group, self.traces, self.scales, self.spikes)


def read_neurons(folder):
    """All neurons of the collection that have spikes."""
    neurons = []
    for path in find_ground_truth(folder):
        truths = read_ground_truth(path)
        for name in sorted({truth.neuron for truth in truths}):
            neuron = Neuron([truth for truth in truths if truth.neuron == name])
            if any(spikes.any() for spikes in neuron.spikes):
                neurons.append(neuron)
    return neurons


def universal_rates(network, known, neurons):
    """Spikes/s of each method: for each neuron a dict of lists of arrays `(step,)`."""
    found = []
    for neuron, rates in zip(neurons, outputs(network, neurons), strict=True):
        slow = slowness(neuron.traces, rates, neuron.frame_rate)
        own, _ = whole_steps(neuron.spikes, rates)
        factor = known.rates.factor(own.mean() * STEPS_PER_SECOND, noise_of_dff(neuron))
        shares = [
            signal_share(scales, len(trace) / SAMPLE_RATE)
            for scales, trace in zip(neuron.scales, neuron.traces, strict=True)
        ]
        stated = {
            UNIVERSAL: (),
            WITH_INDICATOR: (neuron.indicator,),
            WITH_SPECIES: (neuron.indicator, neuron.species),
        }
        by_method = {}
        for method, what in stated.items():
            weights = known.belief(*what)[0].weights(slow)
            by_method[method] = [
                STEPS_PER_SECOND * factor * share * apply_timing(rate, weights)
                for rate, share in zip(rates, shares, strict=True)
            ]
        found.append(by_method)
    return found


def scores(neuron, samples):
    """Both measures of rates, a list of arrays `(sample,)` at 100 Hz."""
    truth, rates = np.concatenate(neuron.spikes), np.concatenate(samples)

    def windows(x):
        return x[: x.size // 4 * 4].reshape(-1, 4).sum(axis=1)

    def smooth(x):
        return gaussian_filter1d(np.asarray(x, float), SMOOTHING)[::READ_EVERY]

    return {
        "25 Hz": correlation(windows(truth), windows(rates)),
        "smoothed": correlation(smooth(truth), smooth(rates)),
    }


def detection(neuron, rates):
    """True, found and matched spikes, matched one to one within 0.1 s."""
    totals = np.zeros(3, int)
    for known, rate in zip(neuron.spikes, rates, strict=True):
        true = (np.repeat(np.arange(known.size), np.round(known).astype(int)) + 0.5) / 100.0
        found = discrete_spikes(rate, 0.0, STEPS_PER_SECOND)
        i = j = matched = 0
        while i < true.size and j < found.size:
            apart = found[j] - true[i]
            if abs(apart) <= TOLERANCE:
                matched, i, j = matched + 1, i + 1, j + 1
            elif apart < 0:
                j += 1
            else:
                i += 1
        totals += (true.size, found.size, matched)
    return totals.tolist()


def universal_rows(neurons, runs, settings):
    """A dict for each neuron and method, trained and scored in two folds."""
    rows = []
    for fold in "AB":
        trained = [n for n in neurons if (n.group in FOLD_A) == (fold == "A")]
        scored = [n for n in neurons if (n.group in FOLD_A) != (fold == "A")]
        run = train_universal(
            [n.training() for n in trained],
            Path(runs) / f"fold-{fold}-seed-{settings.seed}",
            settings,
            progress=True,
            say=print,
        )
        found = universal_rates(run.network, fit_knowledge(run.network, trained), scored)
        for neuron, by_method in zip(scored, found, strict=True):
            for method, rates in by_method.items():
                samples = [to_samples(r, x.size) for r, x in zip(rates, neuron.spikes, strict=True)]
                true, spikes, matched = detection(neuron, rates)
                together = np.concatenate(rates)
                rows.append(
                    row(neuron, method, scores(neuron, samples))
                    | {
                        "true rate": neuron.rate,
                        "rate": float(np.mean(together)),
                        "true spikes": true,
                        "spikes": spikes,
                        "matched": matched,
                        "trust": expected_score(together / STEPS_PER_SECOND),
                        "noise": noise_of_dff(neuron),
                    }
                )
    return rows


def peer_rows(neurons, peers):
    """The same for the peers, which are what they are."""
    from spikefinder_keras.network.loading import load_network

    networks = {name: load_network(name) for name in peers}
    rows = []
    for neuron in neurons:
        rates, _ = predict_set(neuron.truths, networks)
        rates.pop("truth")
        rows += [row(neuron, method, scores(neuron, own)) for method, own in rates.items()]
    return rows


def row(neuron, method, measures):
    return {
        "set": neuron.group,
        "neuron": neuron.name,
        "indicator": neuron.indicator,
        "species": neuron.species,
        "method": method,
        **measures,
    }


def over_sets(rows, key, chosen=None):
    """Mean over the neurons of a set, then over sets."""
    by_set = {}
    for each in rows:
        if chosen is None or each["set"] in chosen:
            by_set.setdefault(each["set"], []).append(each[key])
    return float(np.mean([np.mean(values) for values in by_set.values()]))


def summarise(rows):
    """Means, paired differences with intervals over neurons, rates, spikes and trust, as a dict."""
    from scipy.stats import bootstrap, spearmanr

    methods = list(dict.fromkeys(each["method"] for each in rows))
    by_method = {m: [each for each in rows if each["method"] == m] for m in methods}
    summary = {"methods": {}, "paired": {}, "sets": {}}
    for method, own in by_method.items():
        summary["methods"][method] = {
            f"{key}, {label}": round(over_sets(own, key, chosen), 4)
            for key in ("25 Hz", "smoothed")
            for label, chosen in (("all", None), ("unseen ten", UNSEEN))
        }
        for each in own:
            summary["sets"].setdefault(each["set"], {}).setdefault(method, []).append(each["25 Hz"])
    summary["sets"] = {
        name: {method: round(float(np.mean(v)), 3) for method, v in found.items()}
        for name, found in summary["sets"].items()
    }
    places = {(each["set"], each["neuron"], each["method"]): each for each in rows}
    for other in methods:
        if other.startswith("universal"):
            continue
        for own in (UNIVERSAL, WITH_INDICATOR):
            found = [
                each["25 Hz"] - places[each["set"], each["neuron"], other]["25 Hz"]
                for each in by_method.get(own, [])
                if each["set"] in UNSEEN
            ]
            if found:
                low, high = interval(np.array(found))
                summary["paired"][f"{own} - {other}, unseen ten, 25 Hz"] = [
                    round(float(v), 4) for v in (np.mean(found), low, high)
                ]
    own = by_method.get(UNIVERSAL, [])
    if own:
        true, rate = (np.array([each[key] for each in own]) for key in ("true rate", "rate"))
        errors = [
            each | {"error": abs(each["rate"] - each["true rate"]) / each["true rate"]}
            for each in own
        ]
        names = {each["set"] for each in own}
        medians = [np.median([e["error"] for e in errors if e["set"] == s]) for s in sorted(names)]
        ratio = np.array([each["spikes"] / each["true spikes"] for each in own])
        found, known, matched = (
            sum(each[key] for each in own) for key in ("spikes", "true spikes", "matched")
        )
        score = np.array([each["25 Hz"] for each in own])
        trust = np.nan_to_num([each["trust"] for each in own])
        limits = bootstrap(
            (trust, score),
            lambda x, y: spearmanr(x, y)[0],
            paired=True,
            vectorized=False,
            n_resamples=1_000,
            rng=np.random.default_rng(0),
        ).confidence_interval
        summary["rates"] = {
            "median relative error, mean over sets": round(float(np.mean(medians)), 3),
            "rank correlation over neurons": round(float(spearmanr(true, rate)[0]), 3),
        }
        summary["spikes"] = {
            "neurons with a count within a factor of two": round(
                float(np.mean((ratio > 0.5) & (ratio < 2))), 3
            ),
            "precision": round(matched / max(found, 1), 3),
            "recall": round(matched / known, 3),
        }
        summary["trust"] = {
            "rank correlation with the score": round(float(spearmanr(trust, score)[0]), 3),
            "interval": [round(float(v), 3) for v in limits],
        }
    return summary


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ground_truth", type=Path)
    parser.add_argument("--out", type=Path, default=Path("accuracy"))
    parser.add_argument("--runs", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--peers", nargs="*", default=["described", "published"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=UniversalSettings.steps)
    parser.add_argument("--only-universal", action="store_true", help=f"without {SMOOTHED} and co")
    arguments = parser.parse_args(argv)
    neurons = read_neurons(arguments.ground_truth)
    settings = UniversalSettings(seed=arguments.seed, steps=arguments.steps)
    rows = universal_rows(neurons, arguments.runs, settings)
    if not arguments.only_universal:
        rows += peer_rows(neurons, arguments.peers)
    arguments.out.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for each in rows for key in each))
    with (arguments.out / "scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    summary = summarise(rows)
    (arguments.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    sys.exit(main())
