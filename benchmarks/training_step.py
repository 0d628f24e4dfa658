"""Seconds per training step of the whole network, batch 5: the fast layer beside the stock one.

    python benchmarks/training_step.py

All in one run: with dropout, the Pearson loss and Adam, as in training; at 12,000 samples also what
the network takes without its LSTM, which no recurrent layer can undercut. The stock layer is
`keras.layers.Bidirectional(keras.layers.LSTM)`, once under TensorFlow with jit_compile, once under
JAX (in a process of its own).
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

BATCH = 5
LONGEST = 71_986


def step_seconds(layer, length, repeats, jit_compile):
    """Median seconds of a training step after the first two, which compile.

    `layer` is "fast", "stock" or "none": then the LSTM's output is a copy of its input.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np

    from spikefinder_keras.network import keras_model as module
    from spikefinder_keras.training.convi6 import Settings, compile_network
    from spikefinder_keras.training.traces import one_hot

    fast = module.Bidirectional
    module.Bidirectional = {
        "fast": fast,
        "stock": keras.layers.Bidirectional,
        "none": lambda lstm, merge_mode, name: lambda x: keras.ops.concatenate([x, x], axis=-1),
    }[layer]
    try:
        network = module.build_network("released")
    finally:
        module.Bidirectional = fast
    compile_network(network, Settings())
    network.jit_compile = jit_compile
    rng = np.random.default_rng(0)
    calcium = rng.normal(size=(BATCH, length, 1)).astype(np.float32)
    spikes = rng.poisson(0.02, (BATCH, length, 1)).astype(np.float32)
    ids = one_hot([1, 2, 3, 4, 5], length)
    seconds = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        network.train_on_batch([calcium, ids], spikes, sample_weight=np.ones(BATCH))
        seconds.append(time.perf_counter() - started)
    return sorted(seconds[2:])[repeats // 2]


def on_jax(*arguments):
    """`step_seconds` in a process with the JAX backend."""
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import training_step as t; "
        "print(json.dumps(t.step_seconds(*json.loads(sys.argv[2]))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, Path(__file__).parent, json.dumps(arguments)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return float(run.stdout.split()[-1])


def main():
    times = {}

    def measure(name, way, *arguments):
        times[name] = way(*arguments)
        print(f"{name}: {times[name]:.3f} s per step", flush=True)

    measure("fast, 12,000 samples", step_seconds, "fast", 12_000, 5, False)
    measure("no LSTM at all, 12,000 samples", step_seconds, "none", 12_000, 5, False)
    measure("stock jit_compile, 12,000 samples", step_seconds, "stock", 12_000, 3, True)
    measure("fast, 36,000 samples", step_seconds, "fast", 36_000, 5, False)
    measure("fast, 72,000 samples", step_seconds, "fast", 72_000, 5, False)
    measure("fast, 71,986 samples", step_seconds, "fast", LONGEST, 5, False)
    measure("stock on JAX, 71,986 samples", on_jax, "stock", LONGEST, 5, True)
    measure("fast on JAX, 71,986 samples", on_jax, "fast", LONGEST, 5, True)
    ratio = times["stock jit_compile, 12,000 samples"] / times["fast, 12,000 samples"]
    print(f"at 12,000 samples {ratio:.1f} times faster than stock with jit_compile")
    ratio = times["fast, 72,000 samples"] / times["fast, 36,000 samples"]
    print(f"twice the length costs {ratio:.2f} times as much")
    ratio = times["stock on JAX, 71,986 samples"] / times["fast, 71,986 samples"]
    print(f"at 71,986 samples {ratio:.2f} times faster than stock on JAX")


if __name__ == "__main__":
    sys.exit(main())
