"""Competition sets 7 to 10, as far as the public ground truth of Rupprecht et al. 2021 has them.

    python benchmarks/ground_truth_sets.py GROUND_TRUTH_DIR COMPETITION_DIR OUT_DIR

writes `OUT_DIR/spikefinder.train/` with sets 7 to 10 made from DS09, DS14, DS19 and DS20, every
recording one column, preprocessed as the competition's, and copies the training sets found in
COMPETITION_DIR beside them; `OUT_DIR/neurons.csv` says which columns are of one neuron. These four
sets have no test split, so no test cell is among them. The embedded weights were trained on the
result (see their model cards).

    ... --first 120

takes only the first recording of each neuron, and of it the first two minutes: enough for a
comparison, in a fifth of the time.
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np

from spikefinder_keras.competition.tables import file_name, find_file, find_sets, write_csv
from spikefinder_keras.constants import SAMPLE_RATE
from spikefinder_keras.signals.preprocess import preprocess
from spikefinder_keras.training.experiment import NEURONS
from spikefinder_keras.training.neurons import (
    IN_COMPETITION,
    find_ground_truth,
    read_ground_truth,
)

SETS = (7, 8, 9, 10)


def recordings(path):
    """Neuron, calcium at 100 Hz and spikes per 10 ms of every recording of a ground-truth file."""
    for truth in read_ground_truth(path):
        (block,) = truth.recording.segments
        (spikes,) = truth.spikes([block])
        trace = truth.recording.fluorescence[:, 0].astype(float)
        there = np.isfinite(trace)  # frames of one exact value count as missing
        frames = np.arange(trace.size)
        trace = np.interp(frames, frames[there], trace[there])
        yield truth.neuron, preprocess(trace, block.frame_rate), spikes


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
    parser.add_argument("--first", type=float, metavar="SECONDS", help="of a neuron; all")
    arguments = parser.parse_args(argv)
    folder = arguments.out / "spikefinder.train"
    folder.mkdir(parents=True, exist_ok=True)
    for split, number in find_sets(arguments.competition):
        if split == "train" and number not in SETS:
            for kind in ("calcium", "spikes"):
                source = find_file(arguments.competition, split, number, kind)
                shutil.copyfile(source, folder / source.name)
    lines = ["set,column,neuron"]
    for path in find_ground_truth(arguments.ground_truth):
        number = IN_COMPETITION.get(path.name.partition("-")[0])
        if number not in SETS:
            continue
        found = list(recordings(path))
        if arguments.first:
            end = round(arguments.first * SAMPLE_RATE)
            firsts = {}
            for neuron, trace, known in found:
                firsts.setdefault(neuron, (neuron, trace[:end], known[:end]))
            found = firsts.values()
        neurons, calcium, spikes = zip(*found, strict=True)
        lines += [f"{number},{column},{neuron}" for column, neuron in enumerate(neurons)]
        write_csv(folder / file_name("train", number, "calcium"), table(calcium))
        write_csv(folder / file_name("train", number, "spikes"), table(spikes))
        rate = 100 * sum(s.sum() for s in spikes) / sum(map(len, spikes))
        print(f"set {number}: {len(calcium)} recordings of {path.name}, {rate:.2f} spikes/s")
    (arguments.out / NEURONS).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
