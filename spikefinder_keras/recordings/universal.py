"""The network `universal` on somebody's recording: what is known before, and its steps on the way.

One pass per neuron, each by itself: nothing depends on the others. Rates are in spikes/s.
"""

from dataclasses import dataclass

import numpy as np

from .. import __version__
from ..constants import SAMPLE_RATE
from ..network.universal import predict_steps
from ..network.weights import find_weights
from ..signals.preprocess import scale
from .calibration import knowledge_path, load_knowledge
from .engines import choose_engine
from .quality import EXPECTED, judge_neuron
from .rates import signal_share
from .segments import LONGEST_BRIDGED, samples_in_gaps
from .spikes import discrete_spikes, expected_score
from .timing import apply_timing, slowness
from .universal_preparation import (
    STEPS_PER_SECOND,
    Scales,
    network_input,
    prepare_neuron,
    to_samples,
)

HALF_SAMPLE = 0.5 / SAMPLE_RATE
"""s; a sample at 100 Hz is centred on its time, and begins so much earlier."""


@dataclass(frozen=True)
class UniversalNeuron:
    """What was found in one neuron.

    Attributes
    ----------
    traces : list of float64 arrays `(sample,)`
        At 100 Hz, line and base subtracted, one for each block; NaN where a block has no value.
    rates : list of float64 arrays `(sample,)`
        Expected spikes/s at 100 Hz, one for each block; NaN where a block has no value.
    steps : list of float64 arrays `(step,)`
        The same at 25 Hz, as the network gave them; empty where a block has no value.
    scales : universal_preparation.Scales
    slowness : float
        Of its transients, see `timing.slowness`.
    expected : float
        The correlation at 25 Hz with the true spikes that is to be expected
        (`spikes.expected_score`).
    """

    traces: list
    rates: list
    steps: list
    scales: Scales
    slowness: float
    expected: float


class Universal:
    """The network, and what is known of the recording's indicator.

    Parameters
    ----------
    weights : str or Path
        A name or a file, with what belongs to it beside (`knowledge`).
    indicator, species : str, optional
        Such as "GCaMP6f" and "zebrafish", as far as known: they tell how late calcium answers.
    engine : "fast" or "keras"
    progress : bool
        Say on the terminal that Keras is loading.

    Raises
    ------
    UsageError, WeightsError
        If the weights cannot be used.
    """

    certainty = EXPECTED

    def __init__(
        self, weights="universal", indicator=None, species=None, engine="fast", progress=False
    ):
        self.path = find_weights(weights)
        self.knowledge = load_knowledge(knowledge_path(self.path))
        self.network, self.engine = choose_engine(self.path, engine, progress)
        self.name, self.indicator, self.species = str(weights), indicator, species
        self.belief, self.family = self.knowledge.belief(indicator, species)

    @property
    def threads(self):
        """Groups of neurons that may be predicted side by side."""
        return getattr(self.network, "threads", 1)

    def prepare(self, recording, blocks, neurons):
        """Each neuron's trace and scales, see `universal_preparation.prepare_neuron`."""
        return [prepare_neuron(recording.fluorescence[:, n], blocks) for n in neurons]

    def run(self, recording, prepared):
        """A `UniversalNeuron` of each."""
        inputs = [
            network_input(block, scales)
            for own, scales in prepared
            for block in own
            if np.isfinite(block).all()
        ]
        found = iter(predict_steps(self.network, inputs))
        neurons = []
        for own, scales in prepared:
            outputs = [next(found) if np.isfinite(block).all() else None for block in own]
            neurons.append(self._neuron(recording, own, outputs, scales))
        return neurons

    def _neuron(self, recording, traces, outputs, scales):
        there = [(t, o) for t, o in zip(traces, outputs, strict=True) if o is not None]
        empty = [np.full(t.size, np.nan) for t in traces]
        nothing = not there or not scales.spread > 0
        if nothing:
            none = [np.empty(0) for _ in traces]
            return UniversalNeuron(traces, empty, none, scales, float("nan"), float("nan"))
        slow = slowness(*zip(*there, strict=True), recording.frame_rate)
        weights = self.belief.weights(slow)
        together = np.concatenate([output for _, output in there])
        seconds = sum(trace.size for trace, _ in there) / SAMPLE_RATE
        factor = self.knowledge.rates.factor(STEPS_PER_SECOND * together)
        factor *= STEPS_PER_SECOND * signal_share(scales, seconds)
        rates, steps = [], []
        for output, missing in zip(outputs, empty, strict=True):
            if output is None:
                rates.append(missing)
                steps.append(np.empty(0))
                continue
            steps.append(factor * apply_timing(output, weights))
            rates.append(to_samples(steps[-1], missing.size))
        expected = expected_score(np.concatenate(steps))
        return UniversalNeuron(traces, rates, steps, scales, slow, expected)

    def rates(self, outputs):
        """For each block an array `(sample, neuron)` at 100 Hz, in spikes/s."""
        return [np.stack(block, axis=1) for block in zip(*(n.rates for n in outputs), strict=True)]

    def spikes(self, recording, blocks, neurons, outputs):
        """Spike times in s of each neuron, none in its long gaps."""
        found = []
        for neuron, own in zip(neurons, outputs, strict=True):
            parts = []
            for block, steps in zip(blocks, own.steps, strict=True):
                times = discrete_spikes(steps, -HALF_SAMPLE, STEPS_PER_SECOND)
                lost = samples_in_gaps(recording, block, neuron)
                at = np.clip((times * SAMPLE_RATE).astype(int), 0, block.samples - 1)
                parts.append(recording.times[block.frames.start] + times[~lost[at]])
            found.append(np.concatenate(parts))
        return found

    def judge(self, recording, blocks, neurons, prepared, outputs):
        """A `NeuronTrust` for each neuron."""
        found = []
        for neuron, own in zip(neurons, outputs, strict=True):
            trace = np.concatenate(own.traces)
            trace = trace[np.isfinite(trace)]
            trace = scale(trace) if trace.size else trace
            found.append(judge_neuron(recording, blocks, neuron, trace, own.expected))
        return found

    def describe(self, recording):
        """What the rates are, as every written file says it: a dict of text and numbers."""
        known = f"{self.indicator}, so {self.family}" if self.indicator else "not stated"
        if self.indicator and self.family == "unknown":
            known = f"{self.indicator}, of which no delay is known"
        map_ = self.knowledge.rates
        return {
            "unit": "spikes per second (expected)",
            "time": "mean over each frame's interval, centred on its time stamp in s",
            "frame_rate": recording.frame_rate,
            "source": recording.source,
            "notes": "; ".join(recording.notes),
            "weights": self.name,
            "indicator": known,
            "timing": f"delay believed as {self.belief.source}",
            "preprocessing": (
                "robust line subtracted, resampling to 100 Hz, base subtracted, in units of the "
                f"noise and of the spread; gaps up to {LONGEST_BRIDGED:g} s interpolated, longer "
                "ones left empty"
            ),
            "rates": f"map from output to spikes per second {map_.source}",
            "engine": self.engine,
            "software": f"spikefinder-keras {__version__}, the network universal",
        }
