"""The whole of `predict` by size: seconds, memory, its parts, and OASIS on the same traces.

    python -m benchmarks predict [--sizes 5x9000 100x27000 1000x80000] [--json predict.json]

For each size, neurons x frames, raw traces at 30 Hz are simulated (Poisson spikes through a
decaying exponential, noise and a slow drift) into a temporary folder, and `spikefinder-keras
predict` predicts them in a process of its own, with their certainty: `.csv` to `.csv` below 100
neurons, else `.npy` to `.npy`, or Zarr to Zarr with `--store zarr`. Then, on 40 of the
neurons and one core, the milliseconds that each part takes for a neuron.

OASIS (`oasis-deconv`, with its own search for its parameters: `deconvolve(trace)`, and with an L1
penalty, `penalty=1`) deconvolves up to 100 of the same neurons in two processes; its seconds are
those for all neurons. `--scheduler local` adds a line by Dask's workers. Of short recordings the
parts are measured on more neurons, as many of them are prepared at once
(`--sizes 5000x100 --no-oasis`).
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from child_process import add_json, answer, head, keep, line, measure
from scipy.signal import lfilter

FRAME_RATE = 30.0  # Hz
SPIKE_RATE = 0.5  # Hz
DECAY = 0.7  # s
AMPLITUDE, NOISE, DRIFT = 0.2, 0.1, 0.3  # dF/F
AT_A_TIME = 50
FEWEST, VALUES = 40, 200_000  # the parts are measured on so many neurons, or on so many values

PARTS = """
import json, sys, time
from spikefinder_keras.recordings import convi6, pipeline, universal
from spikefinder_keras.recordings.options import PredictOptions, ReadOptions
from spikefinder_keras.recordings.pipeline import Task
from pathlib import Path
path, weights, count, dataset = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
seconds = {}
def timed(name, function):
    def work(*arguments, **options):
        started = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
    return work
reading = ReadOptions(frame_rate=30.0, unit="dF/F", orientation="neuron-time")
prediction = PredictOptions(weights=weights, dataset=dataset or None)
recording, predictor = Task(Path(path), reading, prediction).open()
part = recording.part(range(count))
predictor.engine.threads = 1
convi6.prepare = timed("prepare", convi6.prepare)
universal.prepare_neurons = timed("prepare", universal.prepare_neurons)
predictor.engine.run = timed("network", predictor.engine.run)
timed("rest", pipeline.predict_chunk)(predictor, part, range(count))
seconds["rest"] -= seconds["network"] + seconds["prepare"]
print(json.dumps({name: 1000 * value / count for name, value in seconds.items()}))
"""

OASIS = """
import json, sys, time
import numpy as np
from oasis.functions import deconvolve
path, first, count, penalty = sys.argv[1], *map(int, sys.argv[2:5])
traces = np.array(np.load(path, mmap_mode="r")[first:count:2], np.float64)
deconvolve(traces[0, :3000])
options = {"penalty": 1} if penalty else {}
started = time.perf_counter()
for trace in traces:
    deconvolve(trace, **options)
print(json.dumps(time.perf_counter() - started))
"""


def simulate(folder, neurons, frames, store, seed=0):
    """Write dF/F `(neuron, frame)` as `.npy`, and as `store`; returns the path to predict."""
    rng = np.random.default_rng(seed)
    path = folder / "traces.npy"
    traces = np.lib.format.open_memmap(path, "w+", np.float32, (neurons, frames))
    drift = DRIFT * np.linspace(0, 1, frames)
    for first in range(0, neurons, AT_A_TIME):
        shape = (min(AT_A_TIME, neurons - first), frames)
        spikes = rng.poisson(SPIKE_RATE / FRAME_RATE, shape)
        calcium = lfilter([AMPLITUDE], [1, -np.exp(-1 / (DECAY * FRAME_RATE))], spikes)
        noise = NOISE * rng.standard_normal(shape, np.float32)
        traces[first : first + AT_A_TIME] = calcium + drift + noise
    traces.flush()
    if store == "zarr":
        import zarr

        made = zarr.create_array(
            folder / "traces.zarr", shape=traces.shape, chunks=(AT_A_TIME, frames), dtype="f4"
        )
        for first in range(0, neurons, AT_A_TIME):
            made[first : first + AT_A_TIME] = traces[first : first + AT_A_TIME]
        return folder / "traces.zarr"
    if store == "csv":
        header = ",".join(f"n{k}" for k in range(neurons))
        np.savetxt(folder / "traces.csv", traces.T, "%.6g", ",", header=header, comments="")
        return folder / "traces.csv"
    return path


def oasis(path, neurons, penalty):
    """Seconds for all neurons, in two processes, by some of them."""
    count = min(neurons, 100)
    command = [sys.executable, "-c", OASIS, path]
    both = [
        subprocess.Popen(
            [*map(str, command), str(first), str(count), str(penalty)], stdout=subprocess.PIPE
        )
        for first in range(min(2, count))
    ]
    return max(float(child.communicate()[0]) for child in both) * neurons / count


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["5x9000", "100x27000", "1000x80000"])
    parser.add_argument("--weights", nargs="+", default=["universal"])
    parser.add_argument("--dataset", help="of the weights of 2017, one dataset ID")
    parser.add_argument("--store", choices=("npy", "zarr", "csv"))
    parser.add_argument("--memory", help="as of predict")
    parser.add_argument("--scheduler", help="as of predict")
    parser.add_argument("--no-oasis", action="store_true")
    add_json(parser)
    arguments = parser.parse_args(argv)
    rows = []
    head(
        *("neurons x frames", "weights", "s", "peak GiB", "ms of a neuron on one core: prepare"),
        *("network", "rest", "OASIS s", "with L1 s", "ratio"),
    )
    for size in arguments.sizes:
        neurons, frames = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            store = arguments.store or ("csv" if neurons < 100 else "npy")
            path = simulate(folder, neurons, frames, store)
            found = [None, None]
            if not arguments.no_oasis:
                found = [oasis(folder / "traces.npy", neurons, penalty) for penalty in (0, 1)]
            for weights in arguments.weights:
                row = whole(path, folder / f"rates.{store}", weights, arguments)
                count = min(neurons, max(FEWEST, VALUES // frames))
                chosen = dataset(weights, arguments)
                row |= {"neurons": neurons, "frames": frames, "weights": weights}
                row |= {"ms": answer(PARTS, folder / "traces.npy", weights, count, chosen or 0)}
                row |= {"oasis_s": found[0], "oasis_l1_s": found[1]}
                rows.append(row)
                show(row)
    keep(arguments.json, rows)
    return 0


def whole(path, out, weights, arguments):
    """Seconds and peak memory (GiB) of the command."""
    command = [sys.executable, "-m", "spikefinder_keras", "predict", path, "--quiet"]
    command += ["--frame-rate", FRAME_RATE, "--unit", "dF/F", "--weights", weights, "--out", out]
    # More neurons than frames may be either, for all that the program knows.
    turned = "time-neuron" if path.suffix == ".csv" else "neuron-time"
    options = {"dataset": dataset(weights, arguments), "orientation": turned}
    options |= {name: getattr(arguments, name) for name in ("memory", "scheduler")}
    for name, value in options.items():
        command += [f"--{name}", value] if value else []
    seconds, memory = measure(command)
    return {"s": seconds, "peak_GiB": memory}


def dataset(weights, arguments):
    return None if weights == "universal" else arguments.dataset


def show(row):
    ms, oasis_s = row["ms"], row["oasis_s"]
    line(
        f"{row['neurons']:,} x {row['frames']:,}",
        row["weights"],
        f"{row['s']:.1f}",
        f"{row['peak_GiB']:.2f}",
        *(f"{ms[part]:.{0 if ms[part] >= 10 else 2}f}" for part in ("prepare", "network", "rest")),
        *(("-", "-", "-") if oasis_s is None else (
            f"{oasis_s:.1f}", f"{row['oasis_l1_s']:.1f}", f"{row['s'] / oasis_s:.1f}"
        )),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
