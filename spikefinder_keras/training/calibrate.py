"""Measure delays and the map to spikes/s of `universal` on recordings with known spikes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array, Rates, Trace
from ..network.engine import Engine
from ..network.predict import predict_steps
from ..network.universal import STEP, STEPS_PER_SECOND
from ..recordings.calibration import (
    OFFSETS,
    PRIOR,
    SMALLEST,
    UNKNOWN,
    Calibration,
    Delay,
    RateMap,
    indicator_family,
    output_features,
    shifted,
    slowness,
)
from ..recordings.universal import network_input
from ..signals.measures import sum_windows
from .neurons import TrainingNeuron

COST = 0.001  # of large logits: without it, offsets that no recording needs run off
RIDGE = 20.0
"""The slopes of the rate map cost as much as so many neurons' error, in units of the spread of what
they multiply."""


@dataclass(frozen=True)
class Case:
    """A neuron with known spikes: its set, of which each counts the same, the network's output and
    the true spikes per step, both `(step,)`, and the slowness of its recording."""

    group: str
    output: Rates
    spikes: Trace
    slowness: float


def network_outputs(engine: Engine, neurons: Sequence[TrainingNeuron]) -> list[list[Rates]]:
    """The network's output: for each neuron a list of arrays `(step,)`, one for each segment."""
    inputs = [
        network_input(trace, scales)
        for n in neurons
        for trace, scales in zip(n.traces, n.scales, strict=True)
    ]
    found = iter(predict_steps(engine, inputs))
    return [[next(found) for _ in n.traces] for n in neurons]


def whole_steps(spikes: Sequence[Trace], rates: Sequence[Rates]) -> tuple[Rates, Trace]:
    """Output and true spikes per step, each `(step,)`, of all segments of a neuron together; a step
    that is not whole is left out. `spikes` are arrays `(sample,)`, `rates` arrays `(step,)`."""
    known = [sum_windows(x, STEP) for x in spikes]
    outputs = [rate[: x.size] for rate, x in zip(rates, known, strict=True)]
    return np.concatenate(outputs), np.concatenate(known)


def fit_calibration(engine: Engine, neurons: Sequence[TrainingNeuron]) -> Calibration:
    """Measure it on neurons of dF/F with `indicator`, `species` and `frame_rate`; those without an
    indicator are left out."""
    neurons = [n for n in neurons if n.indicator and any(spikes.any() for spikes in n.spikes)]
    cases, families = [], []
    for neuron, rates in zip(neurons, network_outputs(engine, neurons), strict=True):
        output, known = whole_steps(neuron.spikes, rates)
        slow = slowness(neuron.traces, rates, neuron.frame_rate)
        cases.append(Case(neuron.group, output, known, slow))
        # A family of one species stands for the family as a whole, too.
        names = (indicator_family(neuron.indicator, s) for s in (None, neuron.species))
        families.append({name for name in names if name})
    everything = _groups(cases)
    delays = {UNKNOWN: fit_delay(cases, by_slowness=True, source=f"measured on {everything}")}
    for family in sorted(set().union(*families)):
        of_family = [case for case, names in zip(cases, families, strict=True) if family in names]
        delays[family] = fit_delay(of_family, source=f"measured on {_groups(of_family)}")
    rate_map = fit_rate_map(
        [case.group for case in cases],
        [STEPS_PER_SECOND * case.output for case in cases],
        rates=[STEPS_PER_SECOND * case.spikes.mean() for case in cases],
        source=f"fitted on {everything}",
    )
    return Calibration(delays, rate_map)


def _groups(cases: Sequence[Case]) -> str:
    return ", ".join(sorted({case.group for case in cases}))


def _weights(groups: Sequence[str]) -> Array:
    """1 for each set, shared by its neurons: `(neuron,)`."""
    return np.array([1 / groups.count(group) for group in groups])


def fit_delay(cases: Sequence[Case], *, by_slowness: bool = False, source: str = "") -> Delay:
    """The delay with which recordings with known spikes score best: by the correlation as mean over
    the neurons of a set, then over sets, less a small cost on the logits. `by_slowness` lets it
    depend on how slowly transients rise."""
    from scipy.optimize import minimize

    groups = [case.group for case in cases]
    weight = _weights(groups) / len(set(groups))
    products, grams = [], []
    for case in cases:
        moved = shifted(case.output)
        moved -= moved.mean(axis=1, keepdims=True)
        truth = case.spikes - case.spikes.mean()
        products.append(moved @ truth / max(np.sqrt(truth @ truth), 1e-12))
        grams.append(moved @ moved.T)
    table_of_products, table_of_grams = np.array(products), np.array(grams)
    features = np.array([[1.0, case.slowness] if by_slowness else [1.0] for case in cases])

    def cost(parameters: Array) -> float:
        table = parameters.reshape(features.shape[1], OFFSETS.size)
        logits = features @ table + PRIOR
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        # The correlation of a weighted mean of shifts, from the shifts' own products.
        norm = np.einsum("ij,ijk,ik->i", shares, table_of_grams, shares)
        r = (shares * table_of_products).sum(axis=1) / np.sqrt(np.maximum(norm, 1e-12))
        return float(-(weight * r).sum() + COST * (parameters**2).sum() / OFFSETS.size)

    start = np.zeros(features.shape[1] * OFFSETS.size)
    found = minimize(cost, start, method="L-BFGS-B").x.reshape(-1, OFFSETS.size)
    slopes = found[1] if by_slowness else np.zeros(OFFSETS.size)
    return Delay(found[0], slopes, source)


def fit_rate_map(
    groups: Sequence[str], outputs: Sequence[Rates], *, rates: Sequence[float], source: str = ""
) -> RateMap:
    """The map from output to mean rate, by ridge regression of the logarithms: of each neuron its
    set, of which each weighs the same, the output `(step,)` in spikes/s, and the true mean rate in
    spikes/s."""
    weight = _weights(groups)
    weight *= weight.size / weight.sum()
    features = np.stack([output_features(output) for output in outputs])
    target = np.log(np.array(rates) + SMALLEST)
    # In units of their spread, so that all slopes cost alike.
    middle, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    design = np.column_stack([np.ones(len(features)), (features - middle) / spread])
    penalty = RIDGE * np.eye(design.shape[1])
    penalty[0, 0] = 0.0  # the intercept may be what it is
    found = np.linalg.solve(
        design.T @ (design * weight[:, None]) + penalty, design.T @ (weight * target)
    )
    slopes = found[1:] / spread
    terms = [found[0] - slopes @ middle, *slopes]
    return RateMap(tuple(float(term) for term in terms), source)
