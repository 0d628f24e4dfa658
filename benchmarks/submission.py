"""The submission of 2017: the whole process, and the network alone beside `model.predict`.

    python -m benchmarks submission [--data DIR] [--full DIR] [--json submission.json]

First the whole process, CSV to CSV, of sets 4 to 6 (with --data) and of a competition of full size
(174 + 32 neurons; simulated, unless --full names one). Then the network alone on the latter: its
compiled kernels, as `submission` predicts, against `model.predict` of the stock Keras LSTM on
arrays padded to the longest trace, as the run of 2017 made them.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from child_process import add_json, answer, head, keep, line, measure

CHILD = """
import json, os, sys, time
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
way, data = sys.argv[1:3]
import numpy as np
from spikefinder_keras.competition.tables import find_sets, read_set
from spikefinder_keras.constants import SPLIT_LENGTH
from spikefinder_keras.network.predict import fill_missing
from spikefinder_keras.training.traces import one_hot, stack
sets = [(s, n, *read_set(data, s, n)) for s, n in find_sets(data)]
if way == "compiled":
    from spikefinder_keras.network.engine import load_engine
    from spikefinder_keras.network.predict import CalciumTable, predict_tables
    network = load_engine("released")
    tables = [Table(c, n, None, SPLIT_LENGTH[s]) for s, n, c, _ in sets]
    run = lambda: predict_tables(network, tables)
else:
    import keras
    from spikefinder_keras.network.keras_model import load_network
    from spikefinder_keras.network.recurrent import Bidirectional
    network = load_network("released")
    def clone(layer):
        kind = keras.layers.Bidirectional if isinstance(layer, Bidirectional) else type(layer)
        return kind.from_config(layer.get_config())
    stock = keras.models.clone_model(network, clone_function=clone)
    stock.set_weights(network.get_weights())
    arrays = []
    for split in ("train", "test"):
        tables = [(n, fill_missing(c)[0]) for s, n, c, _ in sets if s == split]
        calcium = stack([table for _, table in tables])
        numbers = np.repeat([n for n, _ in tables], [t.shape[1] for _, t in tables])
        arrays.append([calcium, one_hot(numbers, calcium.shape[1])])
    run = lambda: [stock.predict(each, verbose=0) for each in arrays]
seconds = []
for _ in range(int(sys.argv[3])):
    started = time.perf_counter()
    run()
    seconds.append(time.perf_counter() - started)
print(json.dumps(min(seconds)))
"""


def whole_process(data, out):
    """Seconds and peak memory (GiB) of `spikefinder-keras submission`."""
    command = [sys.executable, "-m", "spikefinder_keras", "submission", "--quiet"]
    return measure([*command, "--data", data, "--weights", "released", "--out", out])


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder with the real sets 4, 5 and 6")
    parser.add_argument("--full", type=Path, help="folder with a full-size competition")
    parser.add_argument("--repeats", type=int, default=2)
    add_json(parser)
    arguments = parser.parse_args(argv)
    rows = []

    def add(what, seconds, memory=None):
        rows.append({"what": what, "s": seconds, "peak_GiB": memory})
        line(what, f"{seconds:.1f}", "" if memory is None else f"{memory:.2f}")

    head("what", "s", "peak GiB")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if arguments.data:
            part = folder / "part" / "spikefinder.train"
            part.mkdir(parents=True)
            for number in (4, 5, 6):
                for source in (arguments.data / "spikefinder.train").glob(f"{number}.*"):
                    shutil.copyfile(source, part / source.name)
            add("sets 4 to 6, whole process", *whole_process(part.parent, folder / "few"))
        full = arguments.full or folder / "full"
        if not arguments.full:
            from spikefinder_keras.competition.simulated_data import simulate

            simulate(full, "full")
        add("full size, whole process", *whole_process(full, folder / "out"))
        for way, what in (("compiled", "compiled"), ("stock", "stock Keras, padded")):
            add(
                f"full size, the network alone: {what}", answer(CHILD, way, full, arguments.repeats)
            )
    ratio = rows[-1]["s"] / rows[-2]["s"]
    print(f"\nto stock Keras on padded arrays: {ratio:.1f} times as fast")
    keep(arguments.json, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
