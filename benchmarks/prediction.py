"""Time and memory of the submission, and of the network alone beside `model.predict`.

    python benchmarks/prediction.py [--data DIR]

First the whole process, CSV to CSV, of sets 4 to 6 (with --data) and of a simulated competition of
full size (174 + 32 neurons). Then, in one process, the network alone on the latter's training set:
our batches of like length against `model.predict` on the arrays padded to the longest trace, as the
released run made them, with the stock Keras LSTM and with ours.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from child_process import measure


def whole_process(data, out):
    """Seconds and peak memory (GiB) of `spikefinder-keras submission`."""
    command = [sys.executable, "-m", "spikefinder_keras", "submission", "--quiet"]
    return measure([*command, "--data", data, "--weights", "released", "--out", out])


def network_alone(data, repeats=3):
    """Seconds of prediction alone, some runs in turn; the first of each compiles."""
    import keras
    import numpy as np

    from spikefinder_keras.competition.tables import find_sets, read_set
    from spikefinder_keras.constants import SPLIT_LENGTH
    from spikefinder_keras.network.batches import fill_missing, one_hot, stack
    from spikefinder_keras.network.loading import load_network
    from spikefinder_keras.network.prediction import Table, predict_tables
    from spikefinder_keras.network.recurrent import Bidirectional

    network = load_network("released")
    sets = [(s, n, *read_set(data, s, n)) for s, n in find_sets(data)]
    recordings = [Table(c, n, None, SPLIT_LENGTH[s]) for s, n, c, _ in sets]
    stock = keras.models.clone_model(
        network,
        clone_function=lambda layer: (
            keras.layers.Bidirectional.from_config(layer.get_config())
            if isinstance(layer, Bidirectional)
            else layer.__class__.from_config(layer.get_config())
        ),
    )
    stock.set_weights(network.get_weights())

    def padded(model):
        """`model.predict` on each split as one array."""
        for split in ("train", "test"):
            tables = [(n, fill_missing(c)[0]) for s, n, c, _ in sets if s == split]
            calcium = stack([table for _, table in tables])
            numbers = np.repeat([n for n, _ in tables], [t.shape[1] for _, t in tables])
            ids = one_hot(numbers, calcium.shape[1])
            started = time.perf_counter()
            model.predict([calcium, ids], verbose=0)
            yield time.perf_counter() - started

    def ours():
        started = time.perf_counter()
        predict_tables(network, recordings)
        return time.perf_counter() - started

    ways = {
        "in batches of like length": ours,
        "model.predict, padded, our LSTM": lambda: sum(padded(network)),
        "model.predict, padded, stock LSTM": lambda: sum(padded(stock)),
    }
    seconds = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            seconds[name].append(way())
    return seconds


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with the real sets 4, 5 and 6")
    parser.add_argument("--full", type=Path, help="folder with a full-size competition")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if arguments.data:
            part = folder / "part" / "spikefinder.train"
            part.mkdir(parents=True)
            for number in (4, 5, 6):
                for source in (arguments.data / "spikefinder.train").glob(f"{number}.*"):
                    shutil.copyfile(source, part / source.name)
            print("sets 4 to 6: {:.1f} s, {:.2f} GiB".format(*whole_process(part.parent, folder)))
        full = arguments.full or folder / "full"
        if not arguments.full:
            from spikefinder_keras.competition.simulation import simulate

            simulate(full, "full")
        print("full size: {:.1f} s, {:.2f} GiB".format(*whole_process(full, folder / "out")))
        times = network_alone(full)
    base = min(times["model.predict, padded, our LSTM"])
    for name, seconds in times.items():
        shown = ", ".join(f"{s:.1f}" for s in seconds)
        print(f"{name}: {shown} s; best is {min(seconds) / base:.2f} of padded with our LSTM")


if __name__ == "__main__":
    sys.exit(main())
