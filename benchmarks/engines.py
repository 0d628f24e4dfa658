"""The engines side by side: samples per second by number of traces and length, start, memory.

    python -m benchmarks engines [--json engines.json] [--picture docs/images/engines.png]

Each line is a process of its own; they predict in turns, so that a processor that slows down does
so for all of them. For convi6 (`released`): ONNX Runtime as `predict` uses it, our Keras network,
and the stock one with `keras.layers.Bidirectional`, both as `model.predict` on TensorFlow. For
`universal` ONNX Runtime as `predict` uses it. Samples are at 100 Hz. `import` is the time until the
engine could predict, `first` the first prediction, which compiles where there is something to
compile; speed is that of the best of the following ones. At last the machine's own limit: a product
of two matrices.
"""

import argparse
import subprocess
import sys

from child_process import add_json, head, keep, line

SHAPES = ((1, 30_000), (32, 30_000), (128, 30_000))
TURN = 0.3
"""Seconds of a turn; whoever needs less predicts several times, and the best counts."""

ENGINES = ("onnx", "keras", "stock", "universal")

CHILD = """
import os, resource, sys, time
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
engine, traces, samples = sys.argv[1], *map(int, sys.argv[2:4])
started = time.perf_counter()
import numpy as np
rng = np.random.default_rng(0)
if engine == "universal":
    from spikefinder_keras.network.engine import load_engine
    network = load_engine("universal")
    inputs = rng.standard_normal((traces, samples // 64 * 16, 4)).astype(np.float32)
    run = lambda: network.run(inputs)
else:
    calcium = rng.standard_normal((traces, samples, 1)).astype(np.float32)
    ids = np.tile(np.eye(10, dtype=np.float32)[[4]], (traces, 1, 1))
    if engine == "onnx":
        from spikefinder_keras.network.engine import load_engine
        network = load_engine("released")
        run = lambda: network.run(calcium, ids)
    else:
        from spikefinder_keras.network.keras_model import load_network
        from spikefinder_keras.network.recurrent import Bidirectional
        import keras
        network = load_network("released")
        if engine == "stock":
            def clone(layer):
                stock = isinstance(layer, Bidirectional)
                kind = keras.layers.Bidirectional if stock else type(layer)
                return kind.from_config(layer.get_config())
            stock = keras.models.clone_model(network, clone_function=clone)
            stock.set_weights(network.get_weights())
            network = stock
        both = [calcium, np.repeat(ids, samples, axis=1)]
        run = lambda: network.predict(both, verbose=0)
print(time.perf_counter() - started, flush=True)
while turn := sys.stdin.readline():
    until, seconds = time.perf_counter() + float(turn), []
    while not seconds or time.perf_counter() < until:
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    print(min(seconds), flush=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def in_turns(engines, traces, samples, repeats):
    """One row for each engine; each predicts once, then all of them `repeats` times in turns."""
    children, started = {}, {}
    for engine in engines:
        command = [sys.executable, "-c", CHILD, engine, str(traces), str(samples)]
        children[engine] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        started[engine] = float(children[engine].stdout.readline())
    seconds = {engine: [] for engine in engines}
    for turn in range(repeats + 1):
        for engine, child in children.items():
            child.stdin.write(f"{TURN if turn else 0}\n")
            seconds[engine].append(float(child.stdout.readline()))
    rows = []
    for engine, child in children.items():
        memory = float(child.communicate()[0])
        best = min(seconds[engine][1:])
        row = {"engine": engine, "traces": traces, "samples": samples, "peak_MB": memory}
        row |= {"import_s": started[engine], "first_s": seconds[engine][0], "best_s": best}
        rows.append(row | {"samples_per_s": traces * samples / best})
    return rows


def matrix_product():
    """GFLOP/s of a float32 product of two matrices 2,000 x 2,000."""
    import time

    import numpy as np

    a = np.ones((2_000, 2_000), np.float32)
    a @ a
    started = time.perf_counter()
    for _ in range(5):
        a @ a
    return 5 * 2 * 2_000**3 / (time.perf_counter() - started) / 1e9


def picture(rows, path):
    """Bars of the samples per second of each engine, by number of traces."""
    import numpy as np

    from spikefinder_keras.figures import save
    from spikefinder_keras.figures.style import new_axes

    ax = new_axes(5.5, 2.6)
    counts = sorted({row["traces"] for row in rows})
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    for k, engine in enumerate(engines):
        speeds = {
            row["traces"]: row["samples_per_s"] / 1e6 for row in rows if row["engine"] == engine
        }
        where = np.arange(len(counts)) + (k - (len(engines) - 1) / 2) * 0.8 / len(engines)
        ax.bar(where, [speeds.get(n, 0) for n in counts], 0.8 / len(engines), label=engine)
    ax.set_xticks(range(len(counts)), [f"{n} trace{'s' if n > 1 else ''}" for n in counts])
    ax.set_ylabel("million samples per second")
    ax.legend(ncols=len(engines), loc="lower center", bbox_to_anchor=(0.5, 1))
    save(ax, path)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--picture", metavar="FILE.png", help="of the speeds, as bars")
    add_json(parser)
    arguments = parser.parse_args(argv)
    rows = []
    head("engine", "traces x samples", "M samples/s", "to stock", "import s", "first s", "peak MB")
    for traces, samples in SHAPES:
        found = in_turns(arguments.engines, traces, samples, arguments.repeats)
        stock = {row["engine"]: row["samples_per_s"] for row in found}.get("stock")
        for row in found:
            ratio = f"{row['samples_per_s'] / stock:.1f}" if stock else "-"
            line(
                row["engine"],
                f"{traces} x {samples:,}",
                f"{row['samples_per_s'] / 1e6:.3f}",
                ratio,
                f"{row['import_s']:.2f}",
                f"{row['first_s']:.2f}",
                f"{row['peak_MB']:.0f}",
            )
            rows.append(row)
    peak = matrix_product()
    print(f"\nthe machine's matrix product: {peak:.0f} GFLOP/s")
    if arguments.picture:
        picture(rows, arguments.picture)
    keep(arguments.json, rows, matrix_GFLOPs=peak)
    return 0


if __name__ == "__main__":
    sys.exit(main())
