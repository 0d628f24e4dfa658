"""Competition sets 7 to 10, as far as the public ground truth of Rupprecht et al. 2021 has them.

    python benchmarks/ground_truth_sets.py GROUND_TRUTH_DIR COMPETITION_DIR OUT_DIR

writes `OUT_DIR/spikefinder.train/` with sets 7 to 10 made from DS09, DS14, DS19 and DS20, every
recording one column, preprocessed as the competition's, and copies the training sets found in
COMPETITION_DIR beside them. These four sets have no test split, so no test cell is among them. The
embedded weights were trained on the result (see their model cards).
"""

import argparse
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np

from spikefinder_keras.datasets import file_name, find_file, find_sets, write_csv
from spikefinder_keras.preprocess import bin_spikes, preprocess

SOURCES = {7: "DS09-", 8: "DS14-", 9: "DS19-", 10: "DS20-"}
LEFT_OUT = {("DS20-", "neuron_008")}
"""To be left out of set 10."""


def recordings(path, prefix):
    """Calcium at 100 Hz and spikes per 10 ms of every recording of a ground-truth file."""
    with h5py.File(path) as file:
        for neuron in sorted(file):
            if (prefix, neuron) in LEFT_OUT:
                continue
            for recording in sorted(file[neuron]):
                group = file[neuron][recording]
                dff, time = group["dff"][()], group["time"][()]
                there = np.isfinite(dff)
                dff, time = dff[there], time[there]
                rate = (len(time) - 1) / (time[-1] - time[0])
                calcium = preprocess(dff, rate)
                spikes = bin_spikes(group["spike_times"][()] - time[0], len(calcium))
                yield calcium, spikes


def table(columns):
    """Columns of different length as one `(time, neuron)` table, NaN at their ends."""
    result = np.full((max(map(len, columns)), len(columns)), np.nan)
    for k, column in enumerate(columns):
        result[: len(column), k] = column
    return result


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("ground_truth", "competition", "out"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args(argv)
    folder = arguments.out / "spikefinder.train"
    folder.mkdir(parents=True, exist_ok=True)
    for split, number in find_sets(arguments.competition):
        if split == "train" and number not in SOURCES:
            for kind in ("calcium", "spikes"):
                source = find_file(arguments.competition, split, number, kind)
                shutil.copyfile(source, folder / source.name)
    for number, prefix in SOURCES.items():
        (path,) = arguments.ground_truth.glob(f"{prefix}*.h5")
        calcium, spikes = zip(*recordings(path, prefix), strict=True)
        write_csv(folder / file_name("train", number, "calcium"), table(calcium))
        write_csv(folder / file_name("train", number, "spikes"), table(spikes))
        rate = 100 * sum(s.sum() for s in spikes) / sum(map(len, spikes))
        print(f"set {number}: {len(calcium)} recordings of {path.name}, {rate:.2f} spikes/s")


if __name__ == "__main__":
    sys.exit(main())
