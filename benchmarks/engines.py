"""The engines side by side: samples per second by number of traces and length, start, memory.

    python -m benchmarks engines [--json engines.json]

Each line is a process of its own; they predict in turns, so that a processor that slows down does
so for all of them. For convi6 (`released`): the compiled kernels as `predict` uses them, the
exported graph in ONNX Runtime, our Keras network, and the stock one with
`keras.layers.Bidirectional`, both as `model.predict` on TensorFlow. For `universal` ONNX Runtime as
`predict` uses it. Samples are at 100 Hz. `import` is the time until the engine could predict,
`first` the first prediction, which compiles where there is something to compile; speed is that of
the best of the following ones. At last the machine's own limit: a product of two matrices.
"""

import argparse
import subprocess
import sys

from child_process import add_json, head, keep, line

SHAPES = ((1, 30_000), (32, 30_000), (128, 30_000))
TURN = 0.3
"""Seconds of a turn; whoever needs less predicts several times, and the best counts."""

ENGINES = ("compiled", "onnx", "keras", "stock", "universal")

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
    calcium = rng.standard_normal((traces, samples)).astype(np.float32)
    ids = np.tile(np.eye(10, dtype=np.float32)[[4]], (traces, 1, 1))
    if engine == "compiled":
        from spikefinder_keras.network.engine import load_engine
        network = load_engine("released")
        run = lambda: network.run(calcium, ids)
    elif engine == "onnx":
        from concurrent.futures import ThreadPoolExecutor
        from spikefinder_keras.network.engine import session
        from spikefinder_keras.network.onnx_model import build_graph
        from spikefinder_keras.network.weights import find_weights, layers_of, read_weights
        path = find_weights("released")
        graph = session(build_graph(*layers_of(read_weights(path), path)))
        pool = ThreadPoolExecutor(2)
        # On one core each, the traces dealt out to two threads, five at a time.
        parts = [slice(k, k + 5) for k in range(0, traces, 5)]
        one = lambda part: graph.run(None, {"calcium": calcium[part], "dataset": ids[part]})
        run = lambda: list(pool.map(one, parts))
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
        both = [calcium[..., None], np.repeat(ids, samples, axis=1)]
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


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--repeats", type=int, default=5)
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
    keep(arguments.json, rows, matrix_GFLOPs=peak)
    return 0


if __name__ == "__main__":
    sys.exit(main())
