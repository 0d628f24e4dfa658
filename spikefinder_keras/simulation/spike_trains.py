"""Synthetic spike trains, and the simulated neurons to train on beside recorded ones.

No indicator with a name is in them: each neuron has its own, drawn over all that is known and
beyond (`indicators.random_indicators`), so that the network learns to read how fast an indicator
answers from the trace itself.
"""

from collections.abc import Sequence

import numpy as np

from ..arrays import Array, Times, Trace
from ..constants import SAMPLE_RATE
from ..signals.measures import smoothing_of_noise
from .indicators import (
    STEP_RATE,
    bright_share,
    expose,
    fluctuation,
    random_indicators,
    spike_influx,
    to_dff,
)

RATES = (0.05, 12.0)
"""Spikes/s; mean rates of synthetic trains, log-uniform: from silent cells to fast interneurons."""

BURSTS = (0.0, 0.5)  # probability that a spike is followed by another of the same burst

FAST, SLOW = 0.2, 4.0
FAST_FLUCTUATION, SLOW_FLUCTUATION = 1.2, 1.5
"""The spike rate fluctuates with these time constants, in s; its logarithm with these spreads at
most."""
REFRACTORY, BURST_INTERVAL = 0.003, 0.008
"""s; least interval between two spikes of a burst, and mean interval beyond it."""
MOST_BURSTS = 3.0  # bursts per 10 ms; a log-normal rate has no upper end, but a neuron has
SPREAD_OF_SPIKES = 0.25  # spread of the logarithm of the calcium that enters with a spike
FRAME_RATES = (7.0, 110.0)  # Hz, log-uniform
CLARITIES = (0.8, 40.0)  # spread of dF/F over the noise that is left under 0.3 s, log-uniform
DRIFTS = (0.0, 0.1, 0.3, 0.6)  # spread of the drift, as a share of that of dF/F
SHORTEST_PIECE = 500
"""Samples (5 s); pieces of recorded trains begin no later than this before their end."""


def bursting_train(log_rate: Array, rate: float, burst: float, rng: np.random.Generator) -> Times:
    """Spike times `(spike,)` in s of a bursting, doubly stochastic train, in order.

    `log_rate` `(sample,)` at 100 Hz is that of bursts, less a constant, `rate` the mean of all
    spikes in spikes/s, `burst` the probability that a spike is followed by another of the same
    burst. The last bursts may go on beyond the last sample.
    """
    starts = np.exp(log_rate)
    starts *= rate * (1 - burst) / SAMPLE_RATE / starts.mean()
    # A Poisson process of bursts, each at a random place in its bin of 10 ms.
    counts = rng.poisson(np.minimum(starts, MOST_BURSTS))
    first = np.repeat(np.arange(starts.size), counts) / SAMPLE_RATE
    found = [first + rng.random(first.size) / SAMPLE_RATE]
    # Generation by generation: each spike of the last one is followed by at most one more.
    while found[-1].size:
        more = found[-1][rng.random(found[-1].size) < burst]
        found.append(more + REFRACTORY + rng.exponential(BURST_INTERVAL, more.size))
    return np.sort(np.concatenate(found))


def synthetic_train(seconds: float, rng: np.random.Generator) -> Times:
    """Spike times `(spike,)` in s of a `bursting_train` with random properties."""
    samples = int(seconds * SAMPLE_RATE)
    rate = np.exp(rng.uniform(*np.log(RATES)))
    burst = rng.uniform(*BURSTS)
    fast = rng.uniform(0, FAST_FLUCTUATION) * fluctuation(samples, FAST * SAMPLE_RATE, rng)
    slow = rng.uniform(0, SLOW_FLUCTUATION) * fluctuation(samples, SLOW * SAMPLE_RATE, rng)
    times = bursting_train(fast + slow, rate, burst, rng)
    return times[times < seconds]


def recorded_train(counts: Sequence[Array], seconds: float, rng: np.random.Generator) -> Times:
    """Spike times `(spike,)` in s of pieces of recorded trains, one after another, which `counts`
    has as spikes per 10 ms `(sample,)`."""
    parts, at = [], 0.0
    while at < seconds:
        train = counts[int(rng.integers(len(counts)))]
        first = int(rng.integers(0, max(1, len(train) - SHORTEST_PIECE)))
        piece = np.round(train[first : first + int((seconds - at) * 100) + 1]).astype(int)
        samples = np.repeat(np.arange(piece.size), piece)
        parts.append(at + (samples + rng.random(samples.size)) / 100)
        at += piece.size / 100
    times = np.sort(np.concatenate(parts))
    return times[times < seconds]


def simulated_recordings(
    count: int, seconds: float, rng: np.random.Generator, counts: Sequence[Array] = ()
) -> list[tuple[Trace, float, Times]]:
    """Neurons of random indicators as a microscope would record them: of each dF/F with noise
    `(frame,)`, the frame rate in Hz, and spike times in s `(spike,)`.

    Half of the neurons fire as recorded ones do if `counts` has spikes per 10 ms of recordings,
    `(sample,)`.
    """
    trains = []
    # Recorded trains have a structure that no generator has; synthetic ones have rates and bursts
    # that no recording has.
    for _ in range(count):
        if counts and rng.random() < 0.5:
            trains.append(recorded_train(counts, seconds, rng))
        else:
            trains.append(synthetic_train(seconds, rng))
    indicators = random_indicators(count, rng)
    influx = spike_influx(trains, int(seconds * STEP_RATE), SPREAD_OF_SPIKES, rng)
    dff = to_dff(bright_share(influx, indicators), indicators)
    neurons = []
    for trace, times in zip(dff.T, trains, strict=True):
        frame_rate = float(np.exp(rng.uniform(*np.log(FRAME_RATES))))
        clarity = np.exp(rng.uniform(*np.log(CLARITIES)))
        # A neuron without a spike has noise all the same; its own spread is round-off.
        spread = trace.std() if times.size else 0.1
        noise = spread / (clarity * smoothing_of_noise())
        drift = spread * rng.choice(DRIFTS)
        neurons.append((expose(trace, frame_rate, noise, drift, rng), frame_rate, times))
    return neurons
