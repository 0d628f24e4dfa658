"""Simulated neurons to train on beside recorded ones: spike trains, random indicators, microscopes.

No indicator with a name is in them: each neuron has its own, drawn over all that is known and
beyond (`indicator_model.random_indicators`), so that the network learns to read how fast an
indicator answers from the trace itself.
"""

import numpy as np

from ..constants import SAMPLE_RATE
from ..signals.measures import smoothing_of_noise
from .indicators import STEP_RATE, bright_share, expose, random_indicators, to_dff

RATES = (0.05, 12.0)
"""Spikes/s; mean rates of made-up trains, log-uniform: from silent cells to fast interneurons."""

BURSTS = (0.0, 0.5)
"""Probability that a spike is followed by another of the same burst."""

FAST, SLOW = 0.2, 4.0  # s; time constants of the fluctuations of the spike rate
REFRACTORY, BURST_INTERVAL = 0.003, 0.008  # s

SPREAD_OF_SPIKES = 0.25
"""Standard deviation of the logarithm of the calcium that enters with a spike."""

FRAME_RATES = (7.0, 110.0)
"""Hz, log-uniform."""

CLARITIES = (0.8, 40.0)
"""Standard deviation of dF/F over the noise that is left under 0.3 s, log-uniform."""

DRIFTS = (0.0, 0.1, 0.3, 0.6)
"""Of the standard deviation of dF/F."""


def made_up_train(seconds, rng):
    """Spike times `(spike,)` in s of a bursting, doubly stochastic train."""
    from scipy.signal import lfilter

    samples = int(seconds * 100)

    def fluctuation(time_constant):
        keep = np.exp(-1 / (time_constant * 100))
        kicks = np.sqrt(1 - keep**2) * rng.normal(size=samples)
        kicks[:1] = rng.normal()
        return lfilter([1.0], [1.0, -keep], kicks)

    rate = np.exp(rng.uniform(*np.log(RATES)))
    burst = rng.uniform(*BURSTS)
    starts = np.exp(
        rng.uniform(0, 1.2) * fluctuation(FAST) + rng.uniform(0, 1.5) * fluctuation(SLOW)
    )
    starts *= rate * (1 - burst) / 100 / starts.mean()
    found = [(np.repeat(np.arange(samples), rng.poisson(np.minimum(starts, 3))) / SAMPLE_RATE)]
    found[0] = found[0] + rng.random(found[0].size) / 100
    while found[-1].size:
        more = found[-1][rng.random(found[-1].size) < burst]
        found.append(more + REFRACTORY + rng.exponential(BURST_INTERVAL, more.size))
    times = np.sort(np.concatenate(found))
    return times[times < seconds]


def recorded_train(counts, seconds, rng):
    """Spike times `(spike,)` in s of pieces of recorded trains, one after another.

    `counts` are arrays `(sample,)` of spikes per 10 ms.
    """
    parts, at = [], 0.0
    while at < seconds:
        train = counts[rng.integers(len(counts))]
        first = int(rng.integers(0, max(1, len(train) - 500)))
        piece = np.round(train[first : first + int((seconds - at) * 100) + 1]).astype(int)
        samples = np.repeat(np.arange(piece.size), piece)
        parts.append(at + (samples + rng.random(samples.size)) / 100)
        at += piece.size / 100
    times = np.sort(np.concatenate(parts))
    return times[times < seconds]


def simulated_dff(trains, seconds, indicators, rng):
    """dF/F without noise of many neurons.

    Parameters
    ----------
    trains : sequence of arrays `(spike,)`
        In s, one for each neuron.
    seconds : float
    indicators : Indicator
        With arrays `(neuron,)`, or numbers.
    rng : numpy.random.Generator

    Returns
    -------
    float64 array `(step, neuron)`
        At `indicator_model.STEP_RATE`.
    """
    steps = int(seconds * STEP_RATE)
    influx = np.zeros((steps, len(trains)))
    for column, times in enumerate(trains):
        weights = np.exp(SPREAD_OF_SPIKES * rng.normal(size=times.size) - SPREAD_OF_SPIKES**2 / 2)
        step = np.minimum((times * STEP_RATE).astype(int), steps - 1)
        influx[:, column] = np.bincount(step, weights, minlength=steps)
    return to_dff(bright_share(influx, indicators), indicators)


def simulated_recordings(count, seconds, rng, counts=()):
    """Neurons of random indicators as a microscope would record them.

    Parameters
    ----------
    count : int
    seconds : float
    rng : numpy.random.Generator
    counts : sequence of arrays `(sample,)`
        Recorded spikes per 10 ms; half of the neurons fire as these do.

    Returns
    -------
    list of (float64 array `(frame,)`, float, float64 array `(spike,)`)
        dF/F with noise, frame rate in Hz, spike times in s, for each neuron.
    """
    trains = []
    for _ in range(count):
        if counts and rng.random() < 0.5:
            trains.append(recorded_train(counts, seconds, rng))
        else:
            trains.append(made_up_train(seconds, rng))
    dff = simulated_dff(trains, seconds, random_indicators(count, rng), rng)
    neurons = []
    for trace, times in zip(dff.T, trains, strict=True):
        frame_rate = float(np.exp(rng.uniform(*np.log(FRAME_RATES))))
        clarity = np.exp(rng.uniform(*np.log(CLARITIES)))
        spread = trace.std() or 0.1
        noise = spread / (clarity * smoothing_of_noise())
        drift = spread * rng.choice(DRIFTS)
        neurons.append((expose(trace, frame_rate, noise, drift, rng), frame_rate, times))
    return neurons
