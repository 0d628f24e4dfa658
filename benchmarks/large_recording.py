"""Time and memory of predicting one large recording from the command line.

    python benchmarks/large_recording.py [--neurons 1000] [--frames 80000]

simulates raw traces at 30 Hz (Poisson spikes through a decaying exponential, plus noise and a slow
drift) as a `.npy` file in a temporary folder, lets `spikefinder-keras predict` predict it in a
process of its own, its trust included, and prints that process's wall time and peak memory.
`--weights described` takes the network of 2017, the mean over its ten dataset IDs. Exits with 1 if
the peak exceeds 2 GiB.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from child_process import measure
from scipy.signal import lfilter

FRAME_RATE = 30.0  # Hz
SPIKE_RATE = 0.5  # Hz
DECAY = 0.7  # s
AMPLITUDE, NOISE, DRIFT = 0.2, 0.1, 0.3  # dF/F
ALLOWED = 2.0  # GiB


def simulate(path, neurons, frames, seed=0):
    """Write dF/F, float32 `(neuron, frame)`, one neuron after the other."""
    rng = np.random.default_rng(seed)
    traces = np.lib.format.open_memmap(path, "w+", np.float32, (neurons, frames))
    drift = DRIFT * np.linspace(0, 1, frames)
    for neuron in range(neurons):
        spikes = rng.poisson(SPIKE_RATE / FRAME_RATE, frames)
        calcium = lfilter([AMPLITUDE], [1, -np.exp(-1 / (DECAY * FRAME_RATE))], spikes)
        traces[neuron] = calcium + drift + NOISE * rng.standard_normal(frames)
    traces.flush()


def predict(path, out, weights):
    """Seconds and peak memory (GiB) of `spikefinder-keras predict`."""
    command = [sys.executable, "-m", "spikefinder_keras", "predict", path, "--quiet"]
    options = ("--frame-rate", str(FRAME_RATE), "--unit", "dF/F")
    return measure([*command, *options, "--weights", weights, "--out", out])


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--neurons", type=int, default=1_000)
    parser.add_argument("--frames", type=int, default=80_000)
    parser.add_argument("--weights", default="universal")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "recording.npy", Path(folder) / "rates.npy"
        simulate(path, arguments.neurons, arguments.frames)
        seconds, memory = predict(path, out, arguments.weights)
        rates = np.load(out, mmap_mode="r")
        if rates.shape != (arguments.neurons, arguments.frames):
            sys.exit(f"the rates have shape {rates.shape}")
    print(
        f"{arguments.neurons:,} neurons x {arguments.frames:,} frames at {FRAME_RATE:g} Hz: "
        f"{seconds:.0f} s, peak {memory:.2f} GiB"
    )
    if memory > ALLOWED:
        print(f"more than the {ALLOWED:g} GiB allowed")
    return int(memory > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
