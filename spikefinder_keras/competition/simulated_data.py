"""Write a data set shaped as the competition's from a stated forward model: spikes to calcium.

It is made up, so that the whole package can be tried without a download; results on it say nothing
about real recordings. The model, per neuron:

1. *Spikes.* Bursts start as a Poisson process whose rate fluctuates log-normally, fast and slowly;
   each goes on with a fixed probability per spike; no two spikes within 2 ms. The mean rate per
   set is the published one, neurons differ log-normally.
2. *Calcium.* Every spike adds a difference of two exponentials, rise and decay; heights vary.
3. *Fluorescence.* A Hill curve through the resting calcium and one spike's worth above it, with
   the indicator's affinity and exponent measured in vitro, scaled so that one spike gives the dF/F
   seen in vivo. So GCaMP6 responds supralinearly to bursts, OGB-1 sublinearly, and all saturate.
4. *Recording.* Slow random drift, linear bleaching, averages over frames at the set's own rate,
   Gaussian noise that grows with the square root of brightness, as photon noise does.
5. `preprocess`, as the competition did; spikes counted per 10 ms.

The indicators' values are about those of Chen et al. 2013, Nature 499:295-300 (GCaMP6f and 6s;
half decay times turned into time constants), Akerboom et al. 2012, J Neurosci 32:13819-13840
(GCaMP5k), Dana et al. 2016, eLife 5:e12727 (jRCaMP1a, jRGECO1a), and for OGB-1 Kerr et al. 2005,
PNAS 102:14063-14068, and Hendel et al. 2008, J Neurosci 28:7399-7411. Noise, drift, burstiness and
the spread of neurons and spikes are no measurements: they were chosen so that the traces look, and
tell the spikes, about as recordings with the same indicators do.
"""

import json
from dataclasses import dataclass

import numpy as np

from ..console import bar
from ..constants import SAMPLE_RATE, SPLITS, TEST_DATASETS
from ..datasets import DATASETS, check_dataset
from ..errors import UsageError
from ..files.atomic import check_output_folder, write_text
from ..signals.preprocess import bin_spikes, preprocess
from .tables import SIMULATED_MARK, file_name, write_csv

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

SMALL_SHAPE = (6_000, 3, 4_000)
"""The same of every set of the small size."""

REFRACTORY = 0.002  # s
BURST_INTERVAL = 0.008  # s; mean interval within a burst beyond the refractory time
FAST, SLOW = 0.2, 4.0  # s; time constants of the two fluctuations of the spike rate
FAST_FLUCTUATION = 0.8  # Standard deviation of the logarithm of the spike rate

RESTING_CALCIUM = 50.0  # nM
SPIKE_CALCIUM = 10.0  # nM per spike, on average over neurons
SPREAD_OF_NEURONS = 0.3  # Standard deviation of the logarithm of decay, calcium per spike, noise
SPREAD_OF_RATES = 0.6
SPREAD_OF_SPIKES = 0.5  # The same of the calcium that enters with each spike
MODEL_RATE = 200.0  # Hz; the model runs at the least multiple of the frame rate from here on


@dataclass(frozen=True)
class Indicator:
    """`rise` and `decay` in s, `amplitude` of one spike in dF/F, `affinity` in nM, `hill`."""

    rise: float
    decay: float
    amplitude: float
    affinity: float
    hill: float


INDICATORS = {
    "OGB-1": Indicator(rise=0.01, decay=0.7, amplitude=0.08, affinity=200.0, hill=1.0),
    "GCaMP5k": Indicator(rise=0.06, decay=0.6, amplitude=0.04, affinity=190.0, hill=3.8),
    "GCaMP6f": Indicator(rise=0.02, decay=0.2, amplitude=0.19, affinity=375.0, hill=2.3),
    "GCaMP6s": Indicator(rise=0.07, decay=0.8, amplitude=0.23, affinity=144.0, hill=2.9),
    "jRCaMP1a": Indicator(rise=0.05, decay=1.2, amplitude=0.08, affinity=214.0, hill=0.9),
    "jRGECO1a": Indicator(rise=0.03, decay=0.4, amplitude=0.12, affinity=148.0, hill=1.9),
}


@dataclass(frozen=True)
class Recording:
    """Of a set: `noise` of dF/F in percent per square root of Hz, standard deviation of the `drift`
    in dF/F, probability `burst` that a burst goes on after a spike, standard deviation of the
    `slow` fluctuation of the logarithm of the spike rate."""

    noise: float
    drift: float
    burst: float
    slow: float


RECORDINGS = {
    1: Recording(noise=1.2, drift=0.03, burst=0.25, slow=1.0),
    2: Recording(noise=1.2, drift=0.03, burst=0.25, slow=1.0),
    3: Recording(noise=1.5, drift=0.15, burst=0.25, slow=1.0),
    4: Recording(noise=4.0, drift=0.03, burst=0.35, slow=1.1),
    5: Recording(noise=0.9, drift=0.3, burst=0.25, slow=0.9),
    6: Recording(noise=0.35, drift=0.03, burst=0.3, slow=1.3),
    7: Recording(noise=0.4, drift=0.03, burst=0.25, slow=1.4),
    8: Recording(noise=0.5, drift=0.05, burst=0.25, slow=1.5),
    9: Recording(noise=1.0, drift=0.03, burst=0.45, slow=1.5),
    10: Recording(noise=1.0, drift=0.05, burst=0.5, slow=1.5),
}


def simulate(folder, size="small", seed=0, progress=False):
    """Write a simulated data set in the competition's layout.

    Ten training sets to `folder/spikefinder.train`, five test sets to `folder/spikefinder.test`,
    calcium and spikes each. Files of these names are replaced, others left alone. The same seed
    gives the same files.

    Parameters
    ----------
    folder : str or Path
        Made if missing.
    size : {"small", "full"}
        "small": 3 neurons of 40 to 60 s per set, a few MB, seconds. "full": the competition's
        numbers of neurons and samples, about 100 MB, a minute.
    seed : int, default 0
        From 0 on.
    progress : bool, default False
        Show a progress bar on stderr.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    UsageError
        If `size` or `seed` is not one of these.
    OutputError
        If a file cannot be written.
    """
    if size not in SIZES:
        raise UsageError(f"size {size!r} does not exist; choose one of {', '.join(SIZES)}")
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise UsageError(f"seed {seed!r} is impossible; give a whole number from 0 on")
    folder = check_output_folder(folder)
    shapes = {"train": DATASETS, "test": DATASETS[:TEST_DATASETS]}
    sets = [(split, dataset.number) for split in SPLITS for dataset in shapes[split]]
    for split, number in bar(sets, "simulating", "set", progress):
        shape = FULL_SHAPES[split][number - 1] if size == "full" else SMALL_SHAPE
        calcium, spikes = simulate_set(number, *shape, seed=seed, split=split)
        split_folder = check_output_folder(folder / f"spikefinder.{split}")
        write_csv(split_folder / file_name(split, number, "calcium"), calcium)
        write_csv(split_folder / file_name(split, number, "spikes"), spikes)
    made = {"made by": "spikefinder-keras simulate", "size": size, "seed": int(seed)}
    write_text(folder / SIMULATED_MARK, json.dumps(made) + "\n")
    return folder


def simulate_set(dataset, rows, neurons, shortest, seed=0, split="train"):
    """Simulate the neurons of one set.

    Parameters
    ----------
    dataset : int
        Number of the competition's dataset, 1 to 10, that gives indicator, rates and noise.
    rows : int
        Samples, at 100 Hz, of the longest neurons.
    neurons : int
    shortest : int
        Samples of the shortest neuron.
    seed : int, default 0
        From 0 on; each neuron of each set and split has its own random numbers.
    split : {"train", "test"}, default "train"

    Returns
    -------
    calcium, spikes : ndarray, shape (time, neuron)
        NaN behind the end of a neuron.

    Raises
    ------
    UsageError
        If the dataset does not exist, or if the lengths or the number of neurons are impossible.
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
    rates = np.exp(SPREAD_OF_RATES * rng.normal(size=neurons))
    rates *= DATASETS[dataset - 1].rate * lengths.sum() / (rates @ lengths)

    calcium, spikes = np.full((2, rows, neurons), np.nan)
    for neuron, (length, rate) in enumerate(zip(lengths, rates, strict=True)):
        rng = _generator(seed, *key, neuron + 1)
        trace = simulate_trace(dataset, length / SAMPLE_RATE, rng, rate)
        calcium[:length, neuron], spikes[:length, neuron] = trace
    return calcium, spikes


def simulate_trace(dataset, duration, rng, rate=None):
    """Simulate one neuron by the model above.

    Parameters
    ----------
    dataset : int
        Number of the competition's dataset, 1 to 10, that gives indicator, frame rate and noise.
    duration : float
        In s.
    rng : numpy.random.Generator
    rate : float, optional
        Mean rate in spikes per s; by default the published one of the set.

    Returns
    -------
    calcium : ndarray, shape (sample,)
        At 100 Hz, after `preprocess`.
    spikes : ndarray, shape (sample,)
        Counts per 10 ms.

    Raises
    ------
    UsageError
        If the dataset does not exist, or if the duration or rate is impossible.
    """
    dataset = DATASETS[check_dataset(dataset) - 1]
    rate = dataset.rate if rate is None else rate
    if not 1 / dataset.frame_rate <= duration < np.inf:
        raise UsageError(f"a duration of {duration} s is impossible; give at least one frame's")
    if not 0 <= rate < np.inf:
        raise UsageError(f"a rate of {rate} spikes per s is impossible; give a number from 0 on")
    samples = round(duration * SAMPLE_RATE)
    frames = round(samples / SAMPLE_RATE * dataset.frame_rate)
    # So close to the set's that it resamples to just these samples
    frame_rate = frames * SAMPLE_RATE / samples
    recording = RECORDINGS[dataset.number]
    times = _spike_times(samples, rate, recording, rng)
    raw = _fluorescence(times, frames, frame_rate, INDICATORS[dataset.indicator], recording, rng)
    return preprocess(raw, frame_rate), bin_spikes(times, samples)


def _spike_times(samples, rate, recording, rng):
    """Spike times in s of a doubly stochastic train of bursts over `samples` bins of 10 ms."""
    fast, slow = (_fluctuation(samples, seconds * SAMPLE_RATE, rng) for seconds in (FAST, SLOW))
    bursts = np.exp(FAST_FLUCTUATION * fast + recording.slow * slow)
    bursts *= rate * (1 - recording.burst) / SAMPLE_RATE / bursts.mean()
    starts = np.repeat(np.arange(samples), rng.poisson(bursts))
    starts = (starts + rng.random(starts.size)) / SAMPLE_RATE

    sizes = rng.geometric(1 - recording.burst, size=starts.size)
    intervals = REFRACTORY + rng.exponential(BURST_INTERVAL, size=sizes.sum())
    firsts = np.cumsum(sizes) - sizes
    since_first = np.cumsum(intervals)
    since_first -= np.repeat(since_first[firsts], sizes)
    times = np.sort(np.repeat(starts, sizes) + since_first)
    return times[np.diff(times, prepend=-np.inf) >= REFRACTORY]


def _fluorescence(times, frames, frame_rate, indicator, recording, rng):
    """Raw dF/F per frame, shape (frame,), of a neuron that spikes at `times` in s."""
    steps = int(np.ceil(MODEL_RATE / frame_rate))
    model_rate = frame_rate * steps
    decay, spike_calcium, noise = np.exp(SPREAD_OF_NEURONS * rng.normal(size=3))

    entering = np.exp(SPREAD_OF_SPIKES * rng.normal(size=times.size) - SPREAD_OF_SPIKES**2 / 2)
    step = (times * model_rate).astype(int)
    inside = step < frames * steps
    entering = np.bincount(step[inside], entering[inside], minlength=frames * steps)
    calcium = _kernel(entering, indicator.rise * model_rate, decay * indicator.decay * model_rate)
    calcium = _hill_curve(calcium, spike_calcium * SPIKE_CALCIUM, indicator)
    # A frame sees the average over its duration, and its time is that of its start.
    brightness = 1 + calcium.reshape(frames, steps).mean(axis=1)

    drift = recording.drift * _fluctuation(frames, 20.0 * frame_rate, rng)
    bleaching = np.linspace(0, -rng.uniform(0, 3 * recording.drift), frames)
    brightness = np.maximum(brightness + drift + bleaching, 0.1)
    noise *= recording.noise / 100 * np.sqrt(frame_rate)
    return brightness - 1 + noise * np.sqrt(brightness) * rng.normal(size=frames)


def _kernel(entering, rise, decay):
    """Calcium: what enters, filtered with exp(-t / decay) - exp(-t / rise), of peak 1."""
    from scipy.signal import lfilter

    peak = np.log(decay / rise) * rise * decay / (decay - rise)
    height = np.exp(-peak / decay) - np.exp(-peak / rise)
    slow, fast = (lfilter([1.0], [1.0, -np.exp(-1 / steps)], entering) for steps in (decay, rise))
    return (slow - fast) / height


def _hill_curve(calcium, spike_calcium, indicator):
    """dF/F, 0 at rest and saturating, for calcium in units of an average spike's; same shape.

    It is scaled by the average spike, so that a neuron with more calcium per spike is brighter.
    """

    def bound(concentration):
        return 1 / (1 + (indicator.affinity / concentration) ** indicator.hill)

    resting, one_spike = bound(RESTING_CALCIUM), bound(RESTING_CALCIUM + SPIKE_CALCIUM)
    response = bound(RESTING_CALCIUM + spike_calcium * calcium) - resting
    return indicator.amplitude * response / (one_spike - resting)


def _fluctuation(samples, time_constant, rng):
    """Ornstein-Uhlenbeck process of mean 0 and variance 1, shape (sample,)."""
    from scipy.signal import lfilter

    keep = np.exp(-1 / time_constant)
    kicks = np.sqrt(1 - keep**2) * rng.normal(size=samples)
    kicks[:1] = rng.normal()
    return lfilter([1.0], [1.0, -keep], kicks)


def _generator(seed, *key):
    """Random numbers that depend on seed and key alone, not on what was drawn before."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
