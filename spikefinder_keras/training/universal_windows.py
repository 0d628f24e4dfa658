"""What a batch of `universal` is cut from: windows of recordings and of the simulation; delays."""

import numpy as np

from ..constants import SAMPLE_RATE
from ..network.universal import CHANNELS
from ..recordings.universal_preparation import STEP, STEPS_PER_SECOND, network_input, prepare_trace
from ..signals.measures import pearson
from ..simulation.spike_trains import simulated_recordings
from .calibrate import network_outputs

DELAYS = np.arange(-12, 19) / SAMPLE_RATE
"""s; the shifts of the spikes among which `align` chooses."""


def draw_window(neuron, delay, steps, rng):
    """A random window of a neuron, longer recordings more often; at its ends it may overhang.

    Parameters
    ----------
    neuron : universal_data.TrainingNeuron
    delay : float
        s by which the trace is read later than the spikes.
    steps : int
    rng : numpy.random.Generator

    Returns
    -------
    float32 array `(step, channel)`, float32 array `(step,)`
        The network's input, and the spikes per step, -1 outside of the recording.
    """
    lengths = np.array([len(trace) for trace in neuron.traces], float)
    k = rng.choice(lengths.size, p=lengths / lengths.sum())
    trace, spikes, samples = neuron.traces[k], neuron.spikes[k], steps * STEP
    inputs = np.zeros((steps, CHANNELS), np.float32)
    truth = np.full(steps, -1.0, np.float32)
    room = len(trace) - samples
    first = int(rng.integers(0, room + 1)) if room > 0 else 0
    offset = 0 if room > 0 else int(rng.integers(0, -room // STEP + 1))
    part = slice(first, min(first + samples, len(trace)))
    count = -(-(part.stop - part.start) // STEP)
    later = np.clip(
        np.arange(part.start, part.stop) + round(delay * SAMPLE_RATE), 0, len(trace) - 1
    )
    count = min(count, steps - offset)
    inputs[offset : offset + count] = network_input(trace[later], neuron.scales[k])[:count]
    known = spikes[part]
    known = known[: known.size // STEP * STEP].reshape(-1, STEP).sum(axis=1)[:count]
    truth[offset : offset + known.size] = known
    return inputs, truth


def simulated_windows(settings, counts):
    """Simulated neurons as windows.

    Parameters
    ----------
    settings : universal.UniversalSettings
    counts : sequence of arrays `(sample,)`
        Recorded spikes per 10 ms, see `simulation.simulated_recordings`.

    Returns
    -------
    float32 array `(neuron, window, step, channel)`, float32 array `(neuron, window, step)`
    """
    steps = settings.windows * settings.window
    seconds = steps / STEPS_PER_SECOND
    # Another stream than the batches', which have [seed, step].
    rng = np.random.default_rng([settings.seed, 2**32 - 1])
    inputs, truth = [], []
    for trace, rate, times in simulated_recordings(
        settings.simulated_neurons, seconds + 1, rng, counts
    ):
        prepared, scales = prepare_trace(trace, rate)
        inputs.append(network_input(prepared, scales)[:steps])
        step = (times * SAMPLE_RATE / STEP).astype(int)
        truth.append(np.bincount(step[step < steps], minlength=steps))
    shape = (-1, settings.windows, settings.window)
    return (
        np.stack(inputs).reshape(*shape, CHANNELS),
        np.stack(truth).reshape(shape).astype(np.float32),
    )


def align(engine, neurons):
    """The delay of each set: the shift of its spikes that correlates best with the prediction.

    Parameters
    ----------
    engine : network.engine.Engine
    neurons : list of universal_data.TrainingNeuron

    Returns
    -------
    dict of str to float
        s for each group; the mean over its neurons decides.
    """
    curves = {}
    for neuron, own in zip(neurons, network_outputs(engine, neurons), strict=True):
        curves.setdefault(neuron.group, []).append(shift_curve(own, neuron.spikes))
    return {
        group: float(DELAYS[np.mean(found, axis=0).argmax()]) for group, found in curves.items()
    }


def shift_curve(rates, spikes):
    """Correlation at 25 Hz for each shift in `DELAYS` of the spikes, float array `(shift,)`.

    `rates` are arrays `(step,)`, `spikes` arrays `(sample,)`, one of each for each block.
    """
    curve = []
    for samples in np.round(DELAYS * SAMPLE_RATE).astype(int):
        x, y = [], []
        for rate, known in zip(rates, spikes, strict=True):
            steps = known.size // STEP
            moved = np.zeros(known.size)
            if samples >= 0:
                moved[samples:] = known[: known.size - samples]
            else:
                moved[:samples] = known[-samples:]
            x.append(moved[: steps * STEP].reshape(-1, STEP).sum(axis=1))
            y.append(rate[:steps])
        curve.append(pearson(np.concatenate(x), np.concatenate(y)))
    return np.array(curve)
