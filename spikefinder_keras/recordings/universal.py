"""A recording in, spikes/s at 100 Hz out, by the network `universal`: one pass per neuron.

One neuron is treated by itself: nothing depends on the others. `preparation.to_frames` brings the
rates to the recording's own time stamps.
"""

from dataclasses import dataclass

import numpy as np

from ..constants import SAMPLE_RATE
from ..network.universal import predict_steps
from .knowledge import STEPS_PER_SECOND
from .rates import signal_share
from .timing import apply_timing, slowness
from .universal_preparation import Scales, network_input, prepare_neuron, to_samples
from .universal_spikes import discrete_spikes, expected_score


@dataclass(frozen=True)
class UniversalNeuron:
    """What was found in one neuron.

    Attributes
    ----------
    rates : list of float64 arrays `(sample,)`
        Expected spikes/s at 100 Hz, one for each block; NaN where a block has no value.
    spikes : list of float64 arrays `(spike,)`
        Discrete spikes in s from the start of each block.
    scales : universal_preparation.Scales
    slowness : float
        Of its transients, see `universal_timing.slowness`.
    trust : float
        The correlation at 25 Hz with the true spikes that is to be expected
        (`universal_spikes.expected_score`).
    """

    rates: list
    spikes: list
    scales: Scales
    slowness: float
    trust: float


def predict_neurons(network, knowledge, traces, blocks, frame_rate, **about):
    """Predict some neurons of a recording.

    Parameters
    ----------
    network : keras.Model
        From `universal_network.build_universal`, with its weights.
    knowledge : universal_knowledge.Knowledge
        Of these weights.
    traces : array `(frame, neuron)`
        dF/F or F, NaN where missing.
    blocks : sequence of preparation.Block
    frame_rate : float
        In Hz.
    **about
        `indicator` and `species`, str, as far as known; `dff`, bool, whether the traces are dF/F as
        a fraction: without, the rates are less sure.

    Returns
    -------
    list of UniversalNeuron
    """
    belief, _ = knowledge.belief(about.get("indicator"), about.get("species"))
    prepared = [prepare_neuron(trace, blocks) for trace in np.asarray(traces).T]
    inputs = [
        network_input(block, scales)
        for own, scales in prepared
        for block in own
        if np.isfinite(block).all()
    ]
    found = iter(predict_steps(network, inputs))
    neurons = []
    for own, scales in prepared:
        outputs = [next(found) if np.isfinite(block).all() else None for block in own]
        neurons.append(_neuron(own, outputs, scales, belief, knowledge, frame_rate, about))
    return neurons


def _neuron(traces, outputs, scales, belief, knowledge, frame_rate, about):
    there = [(t, o) for t, o in zip(traces, outputs, strict=True) if o is not None]
    empty = [np.full(t.size, np.nan) for t in traces]
    if not there:
        none = [np.empty(0) for _ in traces]
        return UniversalNeuron(empty, none, scales, float("nan"), float("nan"))
    slow = slowness(*zip(*there, strict=True), frame_rate)
    weights = belief.weights(slow)
    together = np.concatenate([output for _, output in there])
    seconds = sum(trace.size for trace, _ in there) / SAMPLE_RATE
    noise = scales.noise if about.get("dff") else None
    factor = knowledge.rates.factor(STEPS_PER_SECOND * together.mean(), noise)
    factor *= STEPS_PER_SECOND * signal_share(scales, seconds)
    rates, spikes, steps = [], [], []
    for output, nothing in zip(outputs, empty, strict=True):
        if output is None:
            rates.append(nothing)
            spikes.append(np.empty(0))
            continue
        per_second = factor * apply_timing(output, weights)
        steps.append(per_second)
        rates.append(to_samples(per_second, nothing.size))
        spikes.append(discrete_spikes(per_second, 0.0, STEPS_PER_SECOND))
    trust = expected_score(np.concatenate(steps) / STEPS_PER_SECOND)
    return UniversalNeuron(rates, spikes, scales, slow, trust)
