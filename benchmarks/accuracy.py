"""Accuracy on recordings that were not trained on: two folds, every peer, one tidy table.

    python benchmarks/accuracy.py GROUND_TRUTH_DIR --out accuracy [--peers described published]

GROUND_TRUTH_DIR holds the collection of Rupprecht et al. 2021. Its 23 sets are cut into two
folds; a `universal` network is trained on one and scored on the other, and so are the delays and
the map to spikes/s, so that nothing of a scored set is known. Trained networks are kept in
`--runs`, and a run that was interrupted goes on.

A neuron's score: all its recordings one after another, Pearson correlation with the true spikes,
- at 25 Hz: both summed in windows of 40 ms;
- smoothed: both under a Gaussian of 0.2 s, read at 7.7 Hz.
Then the mean over the neurons of a set, then over sets. Neurons without a spike are left out.

The methods: `universal` with nothing known, with the indicator, and with indicator and species
stated; the peers of `unseen_recordings.py`. Of the 23 sets, six were in the competition, so
seen by `described` and `published`: the fair comparison with these is the ten that were not.
Written are `scores.csv`, a row for each neuron, method and measure, and `summary.json`.

The delays that come with the weights rest on all sets, twice as many as those of a fold. So what
stating the indicator and the species gives is scored once more with the delays of all sets but the
scored one, by the same networks. With `--folds` there are more folds than two, so each network
learns from more sets. With `--families` a network is also trained without any set of an
indicator's family, and scored on these.
"""

import argparse
import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from accuracy_tables import (
    UNIVERSAL,
    WITH_INDICATOR,
    WITH_SPECIES,
    families,
    markdown,
    picture,
    stating,
    summarise,
    write_tables,
)
from fast_indicators import table as fast_indicators
from fast_indicators import trained_on_fast
from scipy.ndimage import gaussian_filter1d
from unseen_recordings import predict_set

from spikefinder_keras.network.engine import KerasEngine, load_engine
from spikefinder_keras.network.universal import STEPS_PER_SECOND
from spikefinder_keras.network.weights import find_weights
from spikefinder_keras.recordings.calibration import (
    Timing,
    average_transient,
    blurred,
    clearness,
    signal_share,
)
from spikefinder_keras.recordings.universal import (
    discrete_spikes,
    integral_of,
    prepare_neuron,
)
from spikefinder_keras.signals.measures import pearson
from spikefinder_keras.training.calibrate import (
    SHIFTS as DELAYS,
)
from spikefinder_keras.training.calibrate import (
    fit_calibration,
    fit_delays,
    measure_sets,
    network_outputs,
    outputs_and_curves,
)
from spikefinder_keras.training.neurons import TrainingNeuron, find_ground_truth, read_ground_truth
from spikefinder_keras.training.universal import (
    UniversalSettings,
    train_universal,
)

FOLD_A = (
    *("DS02", "DS03", "DS05-GCaMP6f", "DS07", "DS09", "DS10"),
    *("DS16", "DS19", "DS21", "DS26", "DS31"),
)
"""The other sets are fold B."""

FAMILIES = {
    "OGB-1": ("OGB-1",),
    "Cal520": ("Cal520",),
    "GCaMP5k, GCaMP6s": ("GCaMP5k", "GCaMP6s"),
    "GCaMP6f": ("GCaMP6f",),
    "jGCaMP7f": ("jGCaMP7f",),
    "jGCaMP8m": ("jGCaMP8m",),
    "red": ("R-CaMP", "jRCaMP1a", "jRGECO1a"),
}
"""What a network never saw, if it is trained without."""

SMOOTHING, READ_EVERY = 20, 13  # Samples at 100 Hz
TOLERANCE = 0.1  # s
WIDTHS = (0.04, 0.1, 0.2)  # s; of the spikes of `greedy_spikes`
SHIFTS = range(-20, 21)  # Samples at 100 Hz by which every method's rates are moved


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
            segments = truth.recording.segments
            trace, unit = truth.recording.fluorescence[:, 0], truth.recording.unit
            traces, scales = prepare_neuron(trace, segments, unit)
            self.traces += traces
            self.scales += [scales] * len(segments)
            self.spikes += truth.spikes(segments)

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


def universal_rates(engine, calibration, neurons):
    """Spikes/s of each method for the neurons of one set, a dict of lists of arrays `(step,)` each,
    and the certainty of each; the set is taken for one recording, whose delay they share."""
    plain = network_outputs(engine, neurons)
    timing = Timing()
    for neuron, outputs in zip(neurons, plain, strict=True):
        timing.add(neuron.traces, outputs)
    first = neurons[0]
    signs = timing.signs(float(np.median([neuron.frame_rate for neuron in neurons])))
    found = [({}, []) for _ in neurons]
    for method, what in stated_of(first).items():
        delay = calibration.delay_of(*what)[0].of(signs)
        for neuron, outputs, (by_method, certainty) in zip(
            neurons, network_outputs(engine, neurons, delay), found, strict=True
        ):
            mean = calibration.rates.mean_rate(outputs)
            mean *= signal_share(neuron.scales[0].clarity, neuron.seconds)
            factor = mean / np.concatenate(outputs).mean()
            by_method[method] = [factor * blurred(out, neuron.frame_rate) for out in outputs]
            transient, _ = average_transient(neuron.traces, outputs)
            clear = clearness(transient, neuron.scales[0].noise)
            certainty.append(calibration.score.expected(outputs, clear))
    return [(by_method, certainty[0]) for by_method, certainty in found]


def windows(samples):
    """Sums `(window,)` over 40 ms of `(sample,)` at 100 Hz."""
    return samples[: samples.size // 4 * 4].reshape(-1, 4).sum(axis=1)


def later(samples, shift):
    """An array `(sample,)` moved to later by `shift` samples; the end it leaves is held."""
    if not shift:
        return samples
    if shift > 0:
        return np.pad(samples, (shift, 0), mode="edge")[: samples.size]
    return np.pad(samples, (0, -shift), mode="edge")[-shift:]


def scores(neuron, samples):
    """Both measures of rates, a list of arrays `(sample,)` at 100 Hz, and the first moved."""
    truth = np.concatenate(neuron.spikes)

    def smooth(x):
        return gaussian_filter1d(np.asarray(x, float), SMOOTHING)[::READ_EVERY]

    known = windows(truth)
    moved = {
        shift: pearson(known, windows(np.concatenate([later(x, shift) for x in samples])))
        for shift in SHIFTS
    }
    return {
        "25 Hz": moved[0],
        "smoothed": pearson(smooth(truth), smooth(np.concatenate(samples))),
        **{moved_by(shift): value for shift, value in moved.items()},
    }


def moved_by(shift):
    """Name of the measure of rates that were moved."""
    return f"25 Hz, moved by {10 * shift} ms"


def greedy_spikes(rate, width):
    """Discrete spikes in the manner of Cascade (Rupprecht et al. 2021), in short.

    The rate is explained by unit spikes, each a Gaussian of `width` s: one by one, where the
    squared error falls most, until none makes it fall.

    Parameters
    ----------
    rate : array `(step,)`
        Expected spikes per step of 40 ms.

    Returns
    -------
    float array `(spike,)`
        In s, increasing.
    """
    reach = int(np.ceil(4 * width * STEPS_PER_SECOND))
    shape = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (width * STEPS_PER_SECOND)) ** 2)
    shape /= shape.sum()
    overlap = np.convolve(shape, shape)  # what one spike takes from its neighbours' gain
    gain = np.convolve(np.pad(rate, reach), shape[::-1], mode="valid")
    least, spikes = shape @ shape / 2, []
    gain = np.pad(gain, 2 * reach, constant_values=-np.inf)
    while gain[best := int(gain.argmax())] > least:
        spikes.append(best - 2 * reach)
        gain[best - 2 * reach : best + 2 * reach + 1] -= overlap
    return (np.sort(spikes) + 0.5) / STEPS_PER_SECOND


def matches(true, found):
    """How many spikes of two increasing arrays (s) lie within 0.1 s, matched one to one."""
    i = j = matched = 0
    while i < len(true) and j < len(found):
        apart = found[j] - true[i]
        if abs(apart) <= TOLERANCE:
            matched, i, j = matched + 1, i + 1, j + 1
        elif apart < 0:
            j += 1
        else:
            i += 1
    return matched


def detection(neuron, rates):
    """True spikes, and found and matched ones: ours, and in the manner of Cascade."""
    ways = {"": lambda rate: discrete_spikes(rate, 0.0, STEPS_PER_SECOND)}
    for width in WIDTHS:
        ways[greedy(width)] = lambda rate, w=width: greedy_spikes(rate / STEPS_PER_SECOND, w)
    counts = dict.fromkeys(["true spikes", *(f"spikes{w}" for w in ways)], 0)
    counts |= dict.fromkeys([f"matched{w}" for w in ways], 0)
    for known, rate in zip(neuron.spikes, rates, strict=True):
        true = (np.repeat(np.arange(known.size), np.round(known).astype(int)) + 0.5) / 100.0
        counts["true spikes"] += true.size
        for name, way in ways.items():
            found = way(rate)
            counts[f"spikes{name}"] += found.size
            counts[f"matched{name}"] += matches(true, found)
    return counts


def greedy(width):
    """End of the name of the counts of `greedy_spikes`."""
    return f", greedy {1000 * width:g} ms"


def fold(neuron):
    """The fold of a neuron, that of its set."""
    return "fold A" if neuron.group in FOLD_A else "fold B"


def in_turn(neurons, count):
    """What tells the fold of a neuron where the sets, by name, are dealt out to `count` of them."""
    sets = sorted({neuron.group for neuron in neurons})
    return lambda neuron: f"fold {sets.index(neuron.group) % count + 1} of {count}"


def family(neuron):
    """The family of a neuron's indicator."""
    return next(name for name, indicators in FAMILIES.items() if neuron.indicator in indicators)


def trained_without(neurons, part_of, runs, settings):
    """For each part of the neurons, such as a fold: a network trained on all others, its
    calibration, and the neurons of the part, which it never saw."""
    for part in sorted({part_of(neuron) for neuron in neurons}):
        others = [n for n in neurons if part_of(n) != part]
        run = train_universal(
            [n.training() for n in others],
            Path(runs) / f"without {part}, seed {settings.seed}",
            settings,
            progress=True,
            say=print,
        )
        engine = KerasEngine(run.network)
        yield engine, fit_calibration(engine, others), [n for n in neurons if part_of(n) == part]


def universal_rows(parts):
    """A dict for each neuron and method, of what `trained_without` gives."""
    rows = []
    for engine, calibration, scored in parts:
        found = []
        for group in dict.fromkeys(neuron.group for neuron in scored):
            of_set = [neuron for neuron in scored if neuron.group == group]
            found += universal_rates(engine, calibration, of_set)
        for neuron, (by_method, certainty) in zip(scored, found, strict=True):
            for method, rates in by_method.items():
                samples = [
                    np.maximum(np.diff(integral_of(r)[: x.size + 1]), 0)
                    for r, x in zip(rates, neuron.spikes, strict=True)
                ]
                rows.append(
                    row(neuron, method, scores(neuron, samples))
                    | {
                        "true rate": neuron.rate,
                        "rate": (rate := float(np.mean(np.concatenate(rates)))),
                        "low": rate * calibration.rates.interval[0],
                        "high": rate * calibration.rates.interval[1],
                        **(detection(neuron, rates) if method == UNIVERSAL else {}),
                        "certainty": certainty,
                    }
                )
    return rows


def each_left_out(parts, neurons):
    """For each set the correlation at 25 Hz by what is stated, with the delays that are measured on
    all sets but that one, and at its best delay, by the network that never saw it."""
    found = {}
    for engine, calibration, scored in parts:
        sets = measure_sets(neurons, *outputs_and_curves(engine, neurons))
        for own in (each for each in sets if each.name in {n.group for n in scored}):
            delays = fit_delays([each for each in sets if each is not own])
            rules = replace(calibration, delays=delays)
            found[own.name] = {
                method: float(np.interp(rules.delay_of(*what)[0].of(own.signs), DELAYS, own.curve))
                for method, what in stated_of(own).items()
            } | {"best": float(own.curve.max())}
    return found


def stated_of(recording):
    """What each method states of a neuron or a set."""
    return {
        UNIVERSAL: (),
        WITH_INDICATOR: (recording.indicator,),
        WITH_SPECIES: (recording.indicator, recording.species),
    }


def peer_rows(neurons, peers, folder):
    """The same for the peers, which are what they are; those of a set are kept in `folder`."""
    networks = {name: load_engine(find_weights(name)) for name in peers}
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for group in dict.fromkeys(neuron.group for neuron in neurons):
        kept = folder / f"{group}, {' '.join(peers)}.json"
        if not kept.exists():
            found = []
            for neuron in (n for n in neurons if n.group == group):
                rates, failed = predict_set(neuron.truths, networks)
                rates.pop("truth")
                found += [row(neuron, method, scores(neuron, own)) for method, own in rates.items()]
                if failed:
                    print(f"{group} {neuron.name}: OASIS failed {failed} times", file=sys.stderr)
            kept.write_text(json.dumps(found))
            print(f"{group}: peers", file=sys.stderr, flush=True)
        rows += json.loads(kept.read_text())
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


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ground_truth", type=Path)
    parser.add_argument("--out", type=Path, default=Path("accuracy"))
    parser.add_argument("--runs", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--peers", nargs="*", default=["described", "published"])
    parser.add_argument(
        "--folds",
        type=int,
        metavar="N",
        help="instead of the two of the page, so many; the sets are dealt out by name",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=UniversalSettings.steps)
    parser.add_argument(
        "--simulated", type=float, default=UniversalSettings.simulated, help="share in a batch"
    )
    parser.add_argument("--only-universal", action="store_true", help="without any peer")
    parser.add_argument(
        "--families", action="store_true", help="train without each family of indicators as well"
    )
    parser.add_argument(
        "--markdown", nargs="*", type=Path, default=[], metavar="PAGE", help="put the tables there"
    )
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the score of each set")
    arguments = parser.parse_args(argv)
    neurons = read_neurons(arguments.ground_truth)
    settings = UniversalSettings(
        seed=arguments.seed, steps=arguments.steps, simulated=arguments.simulated
    )
    fold_of = in_turn(neurons, arguments.folds) if arguments.folds else fold
    parts = list(trained_without(neurons, fold_of, arguments.runs, settings))
    rows = universal_rows(parts)
    if not arguments.only_universal:
        rows += peer_rows(neurons, arguments.peers, arguments.runs / "peers")
    summary = summarise(rows)
    left_out = each_left_out(parts, neurons)
    summary["stating"] = {
        f"{arguments.folds or 2} folds": stating(summary["by set"]),
        "all sets but the scored one": stating(left_out),
    }
    summary["best"] = round(float(np.mean([own["best"] for own in left_out.values()])), 3)
    if arguments.families:
        apart = universal_rows(trained_without(neurons, family, arguments.runs, settings))
        summary["families"] = families(rows, apart, FAMILIES)
    fast = trained_on_fast(
        arguments.runs / f"fast-seed-{arguments.seed}", arguments.steps, arguments.seed
    )
    summary["fast indicators"] = fast_indicators(fast)
    arguments.out.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for each in rows for key in each))
    with (arguments.out / "scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    (arguments.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    tables = markdown(summary, summary["fast indicators"])
    (arguments.out / "tables.md").write_text(
        "\n\n".join(f"## {name}\n\n{text}" for name, text in tables.items()) + "\n"
    )
    for page in arguments.markdown:
        write_tables(page, tables)
    if arguments.picture:
        picture(summary, arguments.picture)
    print(
        json.dumps(
            {key: summary[key] for key in ("methods", "stating", "rates", "certainty")}, indent=1
        )
    )


if __name__ == "__main__":
    sys.exit(main())
