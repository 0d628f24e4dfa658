"""What training on the sets at hand reaches: three seeds of each variant, scored on test sets.

    python benchmarks/quality.py DATA RUNS

trains on the training sets in DATA with the default settings (50 epochs), keeps each run in a
folder of RUNS (an interrupted one is resumed), and prints the plain correlation at 25 Hz on every
test set in DATA that has true spikes, for the weights best on the validation traces and the last.
"""

import argparse
import statistics
import sys
from pathlib import Path

from spikefinder_keras.competition.scoring import score
from spikefinder_keras.competition.tables import find_sets, read_set
from spikefinder_keras.constants import SPLIT_LENGTH
from spikefinder_keras.network.convi6 import VARIANTS
from spikefinder_keras.network.keras_model import load_network
from spikefinder_keras.network.predict import CalciumTable, predict_tables
from spikefinder_keras.training.convi6 import Settings, resume, train


def test_score(weights, data):
    """Mean correlation over the neurons of all test sets with true spikes."""
    sets = [(n, *read_set(data, s, n)) for s, n in find_sets(data) if s == "test"]
    sets = [(number, calcium, spikes) for number, calcium, spikes in sets if spikes is not None]
    recordings = [CalciumTable(c, number, None, SPLIT_LENGTH["test"]) for number, c, _ in sets]
    rates = predict_tables(load_network(weights), recordings)
    values = [v for (_, _, s), r in zip(sets, rates, strict=True) for v in score(s, r).values]
    return statistics.mean(values)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    arguments = parser.parse_args(argv)
    for variant in VARIANTS:
        scores = {"best": [], "last": []}
        for seed in (0, 1, 2):
            folder = arguments.runs / f"{variant}-seed-{seed}"
            if (folder / "config.json").exists():
                run = resume(folder, arguments.data)
            else:
                run = train(arguments.data, folder, Settings(variant=variant, seed=seed))
            for kind, values in scores.items():
                values.append(test_score(folder / f"{kind}.weights.h5", arguments.data))
            minutes = sum(row["seconds"] for row in run.history) / 60
            print(
                f"{variant}, seed {seed}: best (epoch {run.best}) {scores['best'][-1]:.3f}, "
                f"last {scores['last'][-1]:.3f}, {minutes:.1f} min",
                flush=True,
            )
        for kind, values in scores.items():
            print(f"{variant}, {kind}: median {statistics.median(values):.3f}")


if __name__ == "__main__":
    sys.exit(main())
