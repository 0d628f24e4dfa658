"""What is known beside the weights of `universal`: delays of indicators, and the map to spikes/s.

Both are measured on recordings with known spikes with the very weights they are stored beside
(`NAME.knowledge.json`), and say so.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import WeightsError
from ..files.atomic import write_text
from ..files.regular import read_json
from ..network.universal import predict_steps
from ..text import clean_name
from .rates import TERMS, RateMap, fit_rate_map
from .timing import OFFSETS, Timing, fit_timing, indicator_family, slowness
from .universal_preparation import STEP, STEPS_PER_SECOND, network_input

UNKNOWN = "unknown"

LARGEST = 100.0
"""Of what is measured; the exponential of more is no number of spikes."""

FAST = Timing(
    np.where(OFFSETS == 0, 2.0, 0.0),
    np.zeros(OFFSETS.size),
    "not measured: half-rise of 2 to 10 ms (Zhang et al. 2023, Nature 615:884-891), so no delay "
    "beyond that of the simulated indicators",
)
"""The belief for jGCaMP8 and its like, of which there is no recording to measure on."""


@dataclass(frozen=True)
class Knowledge:
    """`beliefs` is a dict of families (and "unknown") to `Timing`, `rates` a `RateMap`."""

    beliefs: dict
    rates: RateMap

    def belief(self, indicator=None, species=None):
        """The belief for a recording, and what it rests on.

        Returns
        -------
        Timing, str
            The second is the family of the stated indicator, or "unknown": none is stated, or it
            is of no known family, or that was not measured.
        """
        if indicator:
            for family in (indicator_family(indicator, species), indicator_family(indicator)):
                if family in self.beliefs:
                    return self.beliefs[family], family
                if family == "fast GCaMP":
                    return FAST, family
        return self.beliefs[UNKNOWN], UNKNOWN


def outputs(network, neurons):
    """The network's output: for each neuron a list of arrays `(step,)`, one for each block."""
    inputs = [
        network_input(trace, scales)
        for n in neurons
        for trace, scales in zip(n.traces, n.scales, strict=True)
    ]
    found = iter(predict_steps(network, inputs))
    return [[next(found) for _ in n.traces] for n in neurons]


def whole_steps(spikes, rates):
    """Output and true spikes per step, each `(step,)`, of all blocks of a neuron together.

    `spikes` are arrays `(sample,)`, `rates` arrays `(step,)`; a step that is not whole is left out.
    """
    known = [x[: x.size // STEP * STEP].reshape(-1, STEP).sum(axis=1) for x in spikes]
    own = [rate[: x.size] for rate, x in zip(rates, known, strict=True)]
    return np.concatenate(own), np.concatenate(known)


def fit_knowledge(network, neurons):
    """Measure it.

    Parameters
    ----------
    network : keras.Model
    neurons : list of universal_data.TrainingNeuron
        dF/F, with `indicator`, `species` and `frame_rate`; those without an indicator are left out.

    Returns
    -------
    Knowledge
    """
    neurons = [n for n in neurons if n.indicator and any(spikes.any() for spikes in n.spikes)]
    cases, rate_cases, families = [], [], []
    for neuron, rates in zip(neurons, outputs(network, neurons), strict=True):
        own, known = whole_steps(neuron.spikes, rates)
        slow = slowness(neuron.traces, rates, neuron.frame_rate)
        cases.append((neuron.group, own, known, slow))
        rate_cases.append((neuron.group, STEPS_PER_SECOND * own, STEPS_PER_SECOND * known.mean()))
        names = (indicator_family(neuron.indicator, s) for s in (None, neuron.species))
        families.append(set(names) - {None})
    everything = ", ".join(sorted({n.group for n in neurons}))
    beliefs = {UNKNOWN: fit_timing(cases, by_slowness=True, source=f"measured on {everything}")}
    for family in sorted(set().union(*families)):
        own = [case for case, names in zip(cases, families, strict=True) if family in names]
        groups = ", ".join(sorted({group for group, *_ in own}))
        beliefs[family] = fit_timing(own, source=f"measured on {groups}")
    return Knowledge(beliefs, fit_rate_map(rate_cases, f"fitted on {everything}"))


def knowledge_path(weights_path):
    """`universal.knowledge.json` stands beside `universal.weights.h5`."""
    path = Path(weights_path)
    name = path.name.removesuffix(".h5").removesuffix(".weights")
    return path.with_name(f"{name}.knowledge.json")


def save_knowledge(knowledge, path):
    """Write it as JSON, whole or not at all."""

    def plain(values):
        return [float(f"{value:.5g}") for value in values]

    stored = {
        "offsets_s": plain(OFFSETS / STEPS_PER_SECOND),
        "timing": {
            name: {
                "logits": plain(belief.logits),
                "slopes": plain(belief.slopes),
                "source": belief.source,
            }
            for name, belief in knowledge.beliefs.items()
        },
        "rates": {
            "terms": plain(knowledge.rates.terms),
            "source": knowledge.rates.source,
        },
    }
    write_text(path, json.dumps(stored, indent=1) + "\n")


def load_knowledge(path):
    """Read what `save_knowledge` wrote; `WeightsError` if it is missing or damaged."""
    try:
        stored = read_json(path)
        beliefs = {
            name: Timing(
                *(np.array(b[k], float) for k in ("logits", "slopes")), clean_name(b["source"])
            )
            for name, b in stored["timing"].items()
        }
        for belief in beliefs.values():
            if belief.logits.shape != OFFSETS.shape or belief.slopes.shape != OFFSETS.shape:
                raise ValueError("a belief has another number of offsets")
            if not (np.abs([belief.logits, belief.slopes]) < LARGEST).all():
                raise ValueError("a belief is no credible number")
        rates = stored["rates"]
        terms = tuple(float(term) for term in rates["terms"])
        if len(terms) != TERMS:
            raise ValueError("the map to spikes/s has another number of terms")
        if not (np.abs(terms) < LARGEST).all():
            raise ValueError("the map to spikes/s is no credible number")
        beliefs[UNKNOWN]
        return Knowledge(beliefs, RateMap(terms, clean_name(rates["source"])))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise WeightsError(
            f"{path} does not hold what belongs to the weights ({error}); fetch or train them again"
        ) from error
