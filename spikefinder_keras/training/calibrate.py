"""Measure delays and the map to spikes/s of `universal` on recordings with known spikes."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array, Rates, Trace
from ..constants import SAMPLE_RATE
from ..network.engine import Engine
from ..network.predict import predict_steps
from ..network.universal import STEP, STEPS_PER_SECOND
from ..recordings.calibration import (
    CENTRAL,
    SCORES,
    SIGNS,
    SMALLEST,
    UNKNOWN,
    Calibration,
    Delay,
    RateMap,
    ScoreMap,
    Timing,
    average_transient,
    blurred,
    clearness,
    indicator_family,
    output_features,
    score_features,
)
from ..recordings.universal import network_input
from ..signals.measures import pearson, sum_windows
from .neurons import TrainingNeuron

SHIFTS = np.arange(-15, 21) / SAMPLE_RATE  # s; the delays among which a set's best is sought
UNSURE = 0.02
"""s; what is left unknown of a delay, so each set counts with its curve smoothed by so much."""

COST = 30.0
"""What a rule's slopes, and what families differ by, cost: so much of a set's correlation for each
square second, 0.03 for 30 ms."""

RIDGE = 60.0
"""The slopes of the maps cost as much as so many neurons' error, in units of the spread of what
they multiply."""


SPREAD_OF_RATES = 1.0
"""Within so much of the natural logarithm neurons count as many of one rate. Half and twice of it
change the error by 0.014 at most."""

IN_TRAINING = 0.95
"""On sets left out the correlation is so many times what it is on those that are trained on: 0.60
and 0.63 in two folds of 23 sets."""


@dataclass(frozen=True)
class MeasuredSet:
    """A set of recordings with known spikes: its mean `delay_curve` `(shift,)`, its `Timing.signs`
    `(3,)`, and what it is of."""

    name: str
    curve: Array
    signs: Array
    indicator: str
    species: str


def network_outputs(
    engine: Engine, neurons: Sequence[TrainingNeuron], delay: float = 0.0
) -> list[list[Rates]]:
    """The network's output: for each neuron a list of arrays `(step,)`, one for each segment. The
    traces are read `delay` s later."""
    inputs = [
        network_input(trace, scales, delay)
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
    outputs, curves = outputs_and_curves(engine, neurons)
    sets = measure_sets(neurons, outputs, curves)
    delays = fit_delays(sets)
    groups = [neuron.group for neuron in neurons]
    source = f"fitted on {', '.join(sorted(set(groups)))}"
    rates = []
    for neuron, output in zip(neurons, outputs, strict=True):
        _, known = whole_steps(neuron.spikes, output)
        rates.append(STEPS_PER_SECOND * float(known.mean()))
    rate_map = fit_rate_map(groups, outputs, rates=rates, source=source)
    # What a user gets has the delay that is found, not the best one.
    found = {each.name: delays[UNKNOWN].of(each.signs) for each in sets}
    scores = [
        float(np.interp(found[group], SHIFTS, curve))
        for group, curve in zip(groups, curves, strict=True)
    ]
    return Calibration(delays, rate_map, fit_score_map(neurons, outputs, scores, source=source))


def outputs_and_curves(
    engine: Engine, neurons: Sequence[TrainingNeuron]
) -> tuple[list[list[Rates]], list[Array]]:
    """The `network_outputs` without a delay, and the `delay_curve` of each neuron."""
    # A step is four samples: a delay is a whole number of steps and one of four phases.
    phases = [network_outputs(engine, neurons, k / SAMPLE_RATE) for k in range(STEP)]
    curves = [
        delay_curve(neuron, [phase[k] for phase in phases]) for k, neuron in enumerate(neurons)
    ]
    return phases[0], curves


def fit_score_map(
    neurons: Sequence[TrainingNeuron],
    outputs: Sequence[list[Rates]],
    scores: Sequence[float],
    *,
    source: str = "",
) -> ScoreMap:
    """The map to the correlation to be expected, by ridge regression: of each neuron the output
    `(step,)` for each segment, and its correlation with the true spikes in training.

    Its slopes are fitted on what neurons differ by from the mean of their set, as a user chooses
    among those of one recording; what sets differ by gives the intercept alone.
    """
    features = []
    for neuron, output in zip(neurons, outputs, strict=True):
        transient, _ = average_transient(neuron.traces, output)
        clear = clearness(transient, neuron.scales[0].least_noise)
        features.append(score_features(output, clear))
    target = np.arctanh(np.clip(IN_TRAINING * np.array(scores), -SCORES[1], SCORES[1]))
    groups = [neuron.group for neuron in neurons]
    known, weight = np.column_stack([target, features]), _weights(groups)
    apart = known.copy()
    for of_set in np.array(groups) == np.unique(groups)[:, None]:
        apart[of_set] -= known[of_set].mean(axis=0)
    _, (b, c) = _ridge(apart[:, 1:], apart[:, 0], weight)
    a = np.average(known @ [1.0, -b, -c], weights=weight)
    return ScoreMap((float(a), float(b), float(c)), source)


def measure_sets(
    neurons: Sequence[TrainingNeuron], outputs: Sequence[list[Rates]], curves: Sequence[Array]
) -> list[MeasuredSet]:
    """The sets of some neurons, with the output and the `delay_curve` of each."""
    members: dict[str, list[int]] = {}
    for k, neuron in enumerate(neurons):
        members.setdefault(neuron.group, []).append(k)
    found = []
    for name, of_set in members.items():
        timing = Timing()
        for k in of_set:
            timing.add(neurons[k].traces, outputs[k])
        curve = np.mean([curves[k] for k in of_set], axis=0)
        signs = timing.signs(float(np.median([neurons[k].frame_rate for k in of_set])))
        first = neurons[of_set[0]]
        found.append(MeasuredSet(name, curve, signs, first.indicator, first.species))
    return found


def delay_curve(neuron: TrainingNeuron, phases: Sequence[list[Rates]]) -> Array:
    """Correlation at 25 Hz with the true spikes for each delay in `SHIFTS`, `(shift,)`."""
    truth = whole_steps(neuron.spikes, phases[0])[1]
    curve = []
    for samples in np.round(SHIFTS * SAMPLE_RATE).astype(int):
        steps, phase = divmod(int(samples), STEP)
        moved = [_read_later(blurred(rates, neuron.frame_rate), steps) for rates in phases[phase]]
        curve.append(pearson(truth, whole_steps(neuron.spikes, moved)[0]))
    return np.array(curve)


def _read_later(rates: Rates, steps: int) -> Rates:
    """Rates `(step,)` read so many steps later; the ends are held."""
    return rates[np.clip(np.arange(rates.size) + steps, 0, rates.size - 1)]


def fit_delays(sets: Sequence[MeasuredSet]) -> dict[str, Delay]:
    """The delays of families, and of recordings of which nothing is stated: the rule with which the
    sets score best, less what its slopes and the differences of families cost.

    It is fitted three times, since stating more must not cost: with nothing known, with the
    family of the indicator, and with that of indicator and species.
    """
    from scipy.interpolate import CubicSpline
    from scipy.ndimage import gaussian_filter1d
    from scipy.optimize import minimize

    smoothing = UNSURE * SAMPLE_RATE
    smooth = CubicSpline(
        SHIFTS, [gaussian_filter1d(each.curve, smoothing, mode="nearest") for each in sets], axis=1
    )
    everything = ", ".join(sorted(each.name for each in sets))
    known: list[Callable[[MeasuredSet], str | None]] = [
        lambda each: None,
        lambda each: indicator_family(each.indicator),
        lambda each: indicator_family(each.indicator, each.species),
    ]
    delays = {}
    for family_of in known:
        families = [family_of(each) for each in sets]
        # That of most sets is the one that others differ from.
        counts = Counter(families)
        usual = max(counts, key=lambda name: (counts[name], name or ""))
        others = sorted({name for name in families if name and name != usual})
        design = np.array(
            [
                [1.0, *each.signs, *(float(family == name) for name in others)]
                for each, family in zip(sets, families, strict=True)
            ]
        )

        def loss(terms: Array, design: Array = design) -> float:
            at = np.clip(design @ terms, SHIFTS[0], SHIFTS[-1])
            scores = smooth(at)[np.arange(len(sets)), np.arange(len(sets))]
            return float(COST * (terms[1:] ** 2).sum() - scores.sum())

        typical, *terms = minimize(loss, np.zeros(design.shape[1])).x
        slopes, differences = terms[:SIGNS], terms[SIGNS:]
        for name, difference in [(usual, 0.0), *zip(others, differences, strict=True)]:
            of_family = [e.name for e, f in zip(sets, families, strict=True) if f == name]
            source = everything if name is None else ", ".join(sorted(of_family))
            delays[name or UNKNOWN] = Delay(
                float(typical + difference), tuple(map(float, slopes)), f"measured on {source}"
            )
    return delays


def _weights(groups: Sequence[str]) -> Array:
    """1 for each set, shared by its neurons: `(neuron,)`."""
    return np.array([1 / groups.count(group) for group in groups])


def _rarity(log_rates: Array, weight: Array) -> Array:
    """How much more a neuron `(neuron,)` counts since few have its rate, else the many of a usual
    one draw the others to themselves: the root of the inverse of the weights per logarithm of the
    rate. All of the inverse gives very active neurons still more, at the cost of all others."""
    apart = (log_rates[:, None] - log_rates) / SPREAD_OF_RATES
    return 1 / np.sqrt(np.exp(-(apart**2) / 2) @ weight)


def fit_rate_map(
    groups: Sequence[str],
    outputs: Sequence[Sequence[Rates]],
    *,
    rates: Sequence[float],
    source: str = "",
) -> RateMap:
    """The map from output to mean rate, by ridge regression of the logarithms: of each neuron its
    set, of which each weighs the same but for rare rates, the output `(step,)` for each segment,
    and the true mean rate in spikes/s. The interval is that of each set with a map fitted on the
    others."""
    features = np.stack([output_features(output) for output in outputs])
    target, of, weight = np.log(np.array(rates) + SMALLEST), np.array(groups), _weights(groups)

    def fit(among: Array) -> tuple[float, Array]:
        rarity = _rarity(target[among], weight[among])
        return _ridge(features[among], target[among], weight[among] * rarity)

    errors = np.zeros(len(rates))
    for left_out in set(groups) if len(set(groups)) > 1 else ():
        inside = of == left_out
        intercept, slopes = fit(~inside)
        errors[inside] = target[inside] - intercept - features[inside] @ slopes
    tails = [(1 - CENTRAL) / 2, (1 + CENTRAL) / 2]
    low, high = np.quantile(errors, tails, weights=weight, method="inverted_cdf")
    intercept, slopes = fit(np.ones(len(rates), bool))
    interval = float(np.exp(min(low, 0.0))), float(np.exp(max(high, 0.0)))
    return RateMap((intercept, *map(float, slopes)), interval, source)


def _ridge(features: Array, target: Array, weight: Array) -> tuple[float, Array]:
    """Intercept and slopes `(feature,)` of features `(neuron, feature)`; `target` and `weight` are
    `(neuron,)`."""
    weight = weight * (weight.size / weight.sum())
    # In units of their spread, so that all slopes cost alike.
    middle, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    design = np.column_stack([np.ones(len(features)), (features - middle) / spread])
    penalty = RIDGE * np.eye(design.shape[1])
    penalty[0, 0] = 0.0  # the intercept may be what it is
    found = np.linalg.solve(
        design.T @ (design * weight[:, None]) + penalty, design.T @ (weight * target)
    )
    slopes = found[1:] / spread
    return float(found[0] - slopes @ middle), slopes
