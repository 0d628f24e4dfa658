"""Write a data set shaped as the competition's from a stated forward model: spikes to calcium.

It is synthetic, so that the whole package can be tried without a download; results on it say
nothing about real recordings. Per neuron:

1. *Spikes* come in bursts, whose rate fluctuates log-normally, fast and slowly
   (`simulation.spike_trains`). The mean rate per set is the published one.
2. *Calcium and light* are `simulation.indicators.quick_dff`, with the indicator's affinity and
   exponent measured in vitro and the response to one spike seen in vivo.
3. *Recording* is `simulation.indicators.expose`, at the set's own frame rate, and linear bleaching.
4. `preprocess`, as the competition did; spikes counted per 10 ms.

Noise, drift, burstiness and the spread of neurons and spikes are no measurements: they were chosen
so that the traces look, and tell the spikes, about as recordings with the same indicators do.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import Table, Times, Trace
from ..console import bar
from ..constants import SAMPLE_RATE, SPLITS, TEST_DATASETS
from ..datasets import DATASETS, check_dataset
from ..errors import OutputError, UsageError
from ..files.atomic import check_output_folder, write_text
from ..signals.preprocess import bin_spikes, preprocess
from ..simulation.indicators import (
    QUICK_INDICATORS,
    STEP_RATE,
    QuickIndicator,
    expose,
    fluctuation,
    quick_dff,
    spike_influx,
)
from ..simulation.spike_trains import FAST, REFRACTORY, SLOW, bursting_train
from .tables import SIMULATED_MARK, file_name, find_file, write_csv

SIZES = ("small", "full")

FULL_SHAPES = {
    "train": (
        (71_986, 11, 35_993),
        (35_508, 21, 9_682),
        (53_229, 13, 16_802),
        (27_763, 6, 27_763),
        (16_919, 9, 16_919),
        (23_998, 9, 5_998),
        (23_973, 37, 21_715),
        (23_973, 21, 11_986),
        (31_959, 20, 6_486),
        (31_994, 27, 5_507),
    ),
    "test": (
        (71_984, 5, 35_993),
        (77_873, 10, 9_682),
        (55_769, 6, 16_802),
        (33_280, 3, 33_280),
        (16_919, 8, 16_919),
    ),
}
"""Rows, neurons and samples of the shortest neuron of each set of the competition; that of a test
set, which is not published, is taken from the training set."""

SMALL_SHAPE = (6_000, 3, 4_000)  # the same of every set of the small size

FAST_FLUCTUATION = 0.8
"""Spread of the logarithm of the spike rate within a second; the slow one is the set's."""
SPREAD_OF_NEURONS = 0.3  # spread of the logarithm of decay, calcium per spike and noise
SPREAD_OF_RATES = 0.6  # spread of the logarithm of the mean spike rate of neurons
SPREAD_OF_SPIKES = 0.5  # spread of the logarithm of the calcium that enters with each spike
BLEACHING = 3.0  # what is lost by the end at most, as a multiple of the spread of the drift


@dataclass(frozen=True)
class Conditions:
    """How a set was recorded, and how its neurons fire: `noise` of dF/F in percent per square root
    of Hz, spread of the `drift` in dF/F, probability `burst` that a burst goes on after a spike,
    spread of the `slow` fluctuation of the logarithm of the spike rate."""

    noise: float
    drift: float
    burst: float
    slow: float


CONDITIONS = {
    1: Conditions(noise=1.2, drift=0.03, burst=0.25, slow=1.0),
    2: Conditions(noise=1.2, drift=0.03, burst=0.25, slow=1.0),
    3: Conditions(noise=1.5, drift=0.15, burst=0.25, slow=1.0),
    4: Conditions(noise=4.0, drift=0.03, burst=0.35, slow=1.1),
    5: Conditions(noise=0.9, drift=0.3, burst=0.25, slow=0.9),
    6: Conditions(noise=0.35, drift=0.03, burst=0.3, slow=1.3),
    7: Conditions(noise=0.4, drift=0.03, burst=0.25, slow=1.4),
    8: Conditions(noise=0.5, drift=0.05, burst=0.25, slow=1.5),
    9: Conditions(noise=1.0, drift=0.03, burst=0.45, slow=1.5),
    10: Conditions(noise=1.0, drift=0.05, burst=0.5, slow=1.5),
}


def simulate(
    folder: Path | str, size: str = "small", seed: int = 0, progress: bool = False
) -> Path:
    """Write a simulated data set in the competition's layout.

    Ten training sets to `folder/spikefinder.train`, five test sets to `folder/spikefinder.test`,
    calcium and spikes each. Files of these names are replaced, others left alone. The same `seed`,
    from 0 on, gives the same files.

    Parameters
    ----------
    size
        "small": 3 neurons of 40 to 60 s per set, a few MB, seconds. "full": the competition's
        numbers of neurons and samples, about 100 MB, a minute.
    progress
        Show a progress bar on stderr.

    Returns
    -------
    `folder`, made if missing.

    Raises
    ------
    UsageError, OutputError
        If `size` or `seed` is not one of these; if a file cannot be written.
    """
    if size not in SIZES:
        raise UsageError(f"size {size!r} does not exist; choose one of {', '.join(SIZES)}")
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise UsageError(f"seed {seed!r} is impossible; give a whole number from 0 on")
    made = check_output_folder(folder)
    shapes = {"train": DATASETS, "test": DATASETS[:TEST_DATASETS]}
    sets = [(split, dataset.number) for split in SPLITS for dataset in shapes[split]]
    mark = made / SIMULATED_MARK
    if not mark.is_file() and any(find_file(made, *each, "calcium") for each in sets):
        raise OutputError(
            f"{made} holds data that were not simulated, whose files would be replaced; choose "
            "another folder (--out)"
        )
    # First, so that an interrupted run knows its own files again.
    about = {"made by": "spikefinder-keras simulate", "size": size, "seed": int(seed)}
    write_text(mark, json.dumps(about) + "\n")
    for split, number in bar(sets, "simulating", "set", progress):
        shape = FULL_SHAPES[split][number - 1] if size == "full" else SMALL_SHAPE
        calcium, spikes = simulate_set(number, *shape, seed=seed, split=split)
        split_folder = check_output_folder(made / f"spikefinder.{split}")
        write_csv(split_folder / file_name(split, number, "calcium"), calcium)
        write_csv(split_folder / file_name(split, number, "spikes"), spikes)
    return made


def simulate_set(
    dataset: int, rows: int, neurons: int, shortest: int, *, seed: int = 0, split: str = "train"
) -> tuple[Table, Table]:
    """Simulate the neurons of one set: calcium and spikes `(time, neuron)`, NaN behind the end of a
    neuron.

    `dataset`, 1 to 10, gives indicator, rates and noise; the longest neurons have `rows` samples at
    100 Hz. Each neuron of each set and split has its own random numbers. `UsageError` if the
    dataset does not exist, or if the lengths or the number of neurons are impossible.
    """
    dataset = check_dataset(dataset)
    if neurons < 1 or not 1 <= shortest <= rows:
        raise UsageError(
            f"{neurons} neurons of {shortest} to {rows} samples are impossible; give at least one "
            "neuron, and lengths in ascending order"
        )
    key = (dataset, SPLITS.index(split))
    rng = _generator(seed, *key, 0)
    # Half of the neurons have full length; the last one of the others is the shortest.
    lengths = np.full(neurons, rows)
    short = neurons // 2
    lengths[:short] = rng.integers(shortest, rows + 1, size=short)
    lengths[short - 1 : short] = shortest
    lengths = rng.permutation(lengths)
    # Scaled, so that the mean over all samples is the set's, whatever was drawn for few neurons.
    rates = np.exp(SPREAD_OF_RATES * rng.normal(size=neurons))
    rates *= DATASETS[dataset - 1].rate * lengths.sum() / (rates @ lengths)

    calcium, spikes = np.full((2, rows, neurons), np.nan)
    for neuron, (length, rate) in enumerate(zip(lengths, rates, strict=True)):
        rng = _generator(seed, *key, neuron + 1)
        trace = simulate_trace(dataset, length / SAMPLE_RATE, rng, rate)
        calcium[:length, neuron], spikes[:length, neuron] = trace
    return calcium, spikes


def simulate_trace(
    dataset: int, duration: float, rng: np.random.Generator, rate: float | None = None
) -> tuple[Trace, Trace]:
    """Simulate one neuron of a dataset for a duration in s: calcium at 100 Hz, after `preprocess`,
    and counts per 10 ms, both `(sample,)`.

    `rate` is the mean in spikes/s, by default the published one of the set. `UsageError` if the
    dataset does not exist, or if the duration or rate is impossible.
    """
    dataset = check_dataset(dataset)
    its = DATASETS[dataset - 1]
    rate = its.rate if rate is None else rate
    if not 1 / its.frame_rate <= duration < np.inf:
        raise UsageError(f"a duration of {duration} s is impossible; give at least one frame's")
    if not 0 <= rate < np.inf:
        raise UsageError(f"a rate of {rate} spikes per s is impossible; give a number from 0 on")
    samples = round(duration * SAMPLE_RATE)
    frames = round(samples / SAMPLE_RATE * its.frame_rate)
    # So close to the set's that it resamples to just these samples
    frame_rate = frames * SAMPLE_RATE / samples
    conditions, indicator = CONDITIONS[dataset], QUICK_INDICATORS[its.indicator]
    times = spike_times(samples, rate, conditions, rng)
    raw = raw_trace(times, frames, frame_rate, indicator, conditions, rng)
    return preprocess(raw, frame_rate), bin_spikes(times, samples)


def spike_times(
    samples: int, rate: float, conditions: Conditions, rng: np.random.Generator
) -> Times:
    """Spike times `(spike,)` in s over `samples` bins of 10 ms."""
    fast, slow = (fluctuation(samples, seconds * SAMPLE_RATE, rng) for seconds in (FAST, SLOW))
    log_rate = FAST_FLUCTUATION * fast + conditions.slow * slow
    times = bursting_train(log_rate, rate, conditions.burst, rng)
    # Bursts may overlap.
    return times[np.diff(times, prepend=-np.inf) >= REFRACTORY]


def raw_trace(
    times: Times,
    frames: int,
    frame_rate: float,
    indicator: QuickIndicator,
    conditions: Conditions,
    rng: np.random.Generator,
) -> Trace:
    """dF/F `(frame,)` of a neuron that spikes at `times` in s."""
    # Here a frame's time is that of its start, not of its middle as under the microscope.
    half = round(STEP_RATE / frame_rate / 2)
    # One step more than the frames last: rounding must not cost the last one.
    steps = half + int(np.ceil(frames / frame_rate * STEP_RATE)) + 1
    decay, spike_calcium, noise = np.exp(SPREAD_OF_NEURONS * rng.normal(size=3))
    inside = times[times < frames / frame_rate]
    influx = spike_influx([inside], steps, SPREAD_OF_SPIKES, rng)[:, 0]
    dff = quick_dff(influx, indicator, decay=decay, spike_calcium=spike_calcium)
    dff -= np.linspace(0, rng.uniform(0, BLEACHING * conditions.drift), steps)
    noise = noise * conditions.noise / 100
    return expose(dff[half:], frame_rate, noise, conditions.drift, rng)[:frames]


def _generator(seed: int, *key: int) -> np.random.Generator:
    """Random numbers that depend on seed and key alone, not on what was drawn before."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
