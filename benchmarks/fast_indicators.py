"""`predict` with its default options on simulated indicators that are faster than any in training.

    python benchmarks/fast_indicators.py [--runs FOLDER] [--csv FILE]

Spikes of neurons that fire about once in two seconds, some in short bursts, through the kernel
(1 - exp(-t / rise)) exp(-t / decay), linear, exposed over whole frames, with white noise: a spike's
peak is 8 times the standard deviation of the noise of a frame at 30 Hz. Nothing is stated but the
frame rate. Given for each rise and frame rate
- r: mean over neurons of the correlation with the true spikes, in windows of 40 ms, or of a frame
  where that is longer;
- late: how much later than the spike the rate peaks, in ms: the middle of what is above 70% of the
  peak, in the mean over isolated spikes.
With `--runs`, beside it a network of the same form and recipe that is trained on such indicators
alone (rise of 3 to 10 ms, other neurons), and the ratio of the two r.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve

from spikefinder_keras import predict
from spikefinder_keras.network.weights import find_weights
from spikefinder_keras.recordings.calibration import (
    SIGNS,
    UNKNOWN,
    Calibration,
    Delay,
    calibration_path,
    load_calibration,
    save_calibration,
)
from spikefinder_keras.recordings.universal import prepare_trace
from spikefinder_keras.training.neurons import TrainingNeuron
from spikefinder_keras.training.universal import UniversalSettings, train_universal

KERNELS = {3: 0.1, 5: 0.2, 10: 0.3}
"""Rise in ms, and the decay in s that goes with it."""

FRAME_RATES = (5.0, 7.8, 15.0, 30.0, 60.0, 100.0, 200.0)
NEURONS, SECONDS, FINE = 12, 240.0, 2_000
PEAK, PEAK_OVER_NOISE = 0.3, 8.0
ALONE = 0.7
"""s around a spike without another one, for the peak."""


def spike_times(rng):
    """Times in s of one neuron."""
    single = rng.uniform(2, SECONDS - 2, int(0.3 * SECONDS))
    bursts = rng.choice(single, single.size // 5)
    return np.sort(np.concatenate([single, bursts + 0.015, bursts + 0.04]))


def simulate(times, rise, decay, frame_rate, rng):
    """dF/F `(frame,)` of a neuron with spikes at `times`."""
    t = np.arange(int(6 * decay * FINE)) / FINE
    kernel = (1 - np.exp(-t / rise)) * np.exp(-t / decay)
    counts = np.histogram(times, np.arange(int(SECONDS * FINE) + 1) / FINE)[0]
    calcium = PEAK * fftconvolve(counts, kernel / kernel.max())[: counts.size]
    edges = (np.arange(int(SECONDS * frame_rate) + 1) / frame_rate * FINE).round().astype(int)
    frames = np.add.reduceat(calcium, edges[:-1]) / np.diff(edges)
    noise = PEAK / PEAK_OVER_NOISE * np.sqrt(frame_rate / 30.0)
    return frames + noise * rng.normal(size=frames.size)


def score(times, rates, stamps, frame_rate):
    """Correlation with the spikes, and how late in s the mean response to one peaks.

    `stamps` `(frame,)` are the times in s of the middles of the frames.
    """
    together = max(1, int(0.04 * frame_rate))
    edges = np.append(stamps - 0.5 / frame_rate, stamps[-1] + 0.5 / frame_rate)[::together]
    counts = np.histogram(times, edges)[0]
    found = np.add.reduceat(rates[: counts.size * together], np.arange(counts.size) * together)
    gaps = np.diff(np.concatenate([[-np.inf], times, [np.inf]]))
    alone = times[np.minimum(gaps[:-1], gaps[1:]) > ALONE]
    lags = np.arange(-0.3, 0.3, 0.005)
    mean = np.mean([np.interp(t + lags, stamps, rates) for t in alone], axis=0)
    top = mean > 0.7 * mean.max()
    return float(np.corrcoef(counts, found)[0, 1]), float(lags[top] @ mean[top] / mean[top].sum())


def fast_neurons(count, rng):
    """Neurons to train on, of random fast indicators at random frame rates."""
    neurons = []
    for number in range(count):
        times, rise = spike_times(rng), np.exp(rng.uniform(*np.log([0.003, 0.010])))
        frame_rate = np.exp(rng.uniform(*np.log([7.0, 110.0])))
        trace = simulate(times, rise, rng.uniform(0.1, 0.3), frame_rate, rng)
        prepared, scales = prepare_trace(trace, frame_rate)
        # The prepared trace begins with the middle of the first frame.
        samples = np.arange(prepared.size + 1) / 100.0 + 0.5 / frame_rate - 0.005
        spikes = np.histogram(times, samples)[0].astype(float)
        neurons.append(TrainingNeuron(f"fast {number % 8}", [prepared], [scales], [spikes]))
    return neurons


def trained_on_fast(folder, steps, seed=0):
    """Weights of a network that knows nothing but fast indicators, with no delay."""
    neurons = fast_neurons(200, np.random.default_rng([seed, 1]))
    settings = UniversalSettings(steps=steps, simulated=0.0, seed=seed)
    run = train_universal(neurons, folder, settings, progress=True, say=print)
    path = run.folder / "universal.weights.h5"
    known = load_calibration(calibration_path(find_weights("universal")))
    nothing = {UNKNOWN: Delay(0.0, (0.0,) * SIGNS, "trained for it, so none")}
    save_calibration(Calibration(nothing, known.rates, known.score), calibration_path(path))
    return path


def measure(rise, frame_rate, weights=None, seed=0):
    """`(r, late in s)` for a rise in ms."""
    rng = np.random.default_rng(seed)
    trains = [spike_times(rng) for _ in range(NEURONS)]
    traces = [simulate(t, rise / 1e3, KERNELS[rise], frame_rate, rng) for t in trains]
    stamps = (np.arange(len(traces[0])) + 0.5) / frame_rate
    rates = predict(np.array(traces), times=stamps, weights=weights).rates
    found = [score(t, own, stamps, frame_rate) for t, own in zip(trains, rates, strict=True)]
    return tuple(float(value) for value in np.mean(found, axis=0))


def table(weights=None):
    """Rows of dicts, one for each rise and frame rate; with the r of other `weights` beside it."""
    rows = []
    for rise in KERNELS:
        for rate in FRAME_RATES:
            r, late = measure(rise, rate)
            row = {"rise": rise, "frame rate": rate, "r": round(r, 3), "late": round(1e3 * late)}
            if weights is not None:
                known, _ = measure(rise, rate, weights)
                row |= {"trained for it": round(known, 3), "ratio": round(r / known, 3)}
            rows.append(row)
    return rows


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, help="train a network for it, and keep it there")
    parser.add_argument("--steps", type=int, default=UniversalSettings.steps)
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args(argv)
    weights = arguments.runs and trained_on_fast(arguments.runs, arguments.steps)
    rows = table(weights)
    for row in rows:
        print(", ".join(f"{name} {value:g}" for name, value in row.items()))
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
