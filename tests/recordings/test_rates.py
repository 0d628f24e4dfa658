"""From the network's output to spikes per second, and to the correlation to be expected."""

import numpy as np
import pytest

from spikefinder_keras.recordings.calibration import (
    FIRST_PEAK,
    TERMS,
    RateMap,
    ScoreMap,
    clearness,
    expected_score,
    output_features,
    score_features,
    signal_share,
)
from spikefinder_keras.recordings.universal import Scales
from spikefinder_keras.signals.measures import smoothing_of_noise
from spikefinder_keras.training.calibrate import fit_rate_map, fit_score_map
from spikefinder_keras.training.neurons import TrainingNeuron


def output(events, rng, steps=5_000):
    rates = np.full(steps, 0.01)
    rates[rng.choice(steps, events, replace=False)] = rng.uniform(5, 15, events)
    return rates


KNOWN = RateMap((0.2, 0.6, 0.1, 0.4, 0.5, -0.2, 0.3, 0.1))


def test_a_map_that_was_fitted_gives_back_the_rates():
    rng = np.random.default_rng(0)
    cases = []
    for k in range(600):
        own = [rng.uniform(0.2, 3) * output(int(np.exp(rng.uniform(2, 7))), rng)]
        cases.append((f"set {k % 6}", own, KNOWN.mean_rate(own)))
    groups, outputs, rates = zip(*cases, strict=True)
    found = fit_rate_map(groups, outputs, rates=rates, source="simulated")
    assert len(found.terms) == TERMS
    assert found.source == "simulated"
    for _, own, rate in cases[:20]:
        assert found.mean_rate(own) == pytest.approx(rate, rel=0.25, abs=0.02)


def test_gain_changes_nothing_and_silence_stays():
    own = output(200, np.random.default_rng(1))
    assert KNOWN.mean_rate([1e6 * own]) == pytest.approx(KNOWN.mean_rate([own]))
    assert KNOWN.mean_rate([np.zeros(100)]) == 0.0


def test_features_of_a_constant_and_of_rare_events():
    found = output_features([np.full(1_000, 2.0)])
    np.testing.assert_allclose(found, [np.log(1.001), 0, np.log(0.01), 0, 0, 0, 0], atol=1e-12)
    rng = np.random.default_rng(2)
    few, many = output_features([output(20, rng)]), output_features([output(1_000, rng)])
    assert few[0] < many[0]
    assert few[1] > many[1]


@pytest.mark.parametrize(("clarity", "share"), [(0.9, 0.0), (1.0, 0.0), (1.4, 0.394), (5.0, 0.952)])
def test_a_recording_fades_out_towards_noise(clarity, share):
    scales = Scales(1.0, 0.0, clarity * smoothing_of_noise())
    assert signal_share(scales.clarity, 600.0) == pytest.approx(share, abs=0.01)


def rarer_count_more(logs, weight):
    """Weights of neurons with such logarithms of rates: over the root of how many others, of which
    each has its own weight, have such a rate."""
    return weight / np.sqrt([weight @ np.exp(-((logs - each) ** 2) / 2) for each in logs])


def fitted_on_random_neurons():
    """A rate map fitted on 40 neurons of four unequal sets, and its parts as the text says them."""
    rng = np.random.default_rng(3)
    groups = [f"set {k}" for k in np.repeat([0, 1, 2, 3], [4, 6, 10, 20])]
    outputs = [[output(int(n), rng)] for n in np.exp(rng.uniform(3, 7, len(groups)))]
    rates = np.exp(rng.normal(1.0, 0.7, len(groups)))
    found = fit_rate_map(groups, outputs, rates=rates)
    weight = np.array([1 / groups.count(group) for group in groups])
    logs = np.log(rates + 0.01)
    weight = rarer_count_more(logs, weight)
    features = np.stack([output_features(each) for each in outputs])
    left = logs - found.terms[0] - features @ found.terms[1:]
    return found, features, left, weight * weight.size / weight.sum()


def test_the_intercept_of_the_map_is_free():
    """So the mean over sets of the logarithms is met, whatever the slopes cost."""
    _, _, left, weight = fitted_on_random_neurons()
    assert weight @ left == pytest.approx(0.0, abs=1e-6)  # sums of 40 numbers of about 1


def test_slopes_of_the_map_cost_as_much_as_sixty_neurons():
    """At the least cost what a slope gains in error is what it costs: 60 times itself."""
    found, features, left, weight = fitted_on_random_neurons()
    spread = features.std(axis=0)
    gain = ((features - features.mean(axis=0)) / spread).T @ (weight * left)
    np.testing.assert_allclose(gain, 60 * np.array(found.terms[1:]) * spread, rtol=1e-5)


def test_the_interval_is_of_sets_left_out():
    """Sets that the output says nothing of, at 1 and at 4 spikes/s: each is a factor of four off
    what the other tells."""
    rng = np.random.default_rng(4)
    outputs = [[output(100, rng)] for _ in range(20)]
    groups, rates = ["a"] * 10 + ["b"] * 10, [1.0] * 10 + [4.0] * 10
    low, high = fit_rate_map(groups, outputs, rates=rates).interval
    assert low == pytest.approx(0.25, rel=0.1)
    assert high == pytest.approx(4.0, rel=0.1)
    assert fit_rate_map(groups[:10], outputs[:10], rates=rates[:10]).interval == (1.0, 1.0)


def test_the_interval_holds_eight_of_ten():
    """Ten sets of one output and different rates: each is off by its distance from the mean of the
    other nine, of which rare ones count more, and the interval is from the first to the ninth."""
    alike = [output(100, np.random.default_rng(4))]
    rates = np.geomspace(0.1, 10, 10)
    low, high = fit_rate_map(list("abcdefghij"), [alike] * 10, rates=list(rates)).interval
    logs = np.log(rates + 0.01)
    others = [np.delete(logs, k) for k in range(10)]
    means = [np.average(each, weights=rarer_count_more(each, np.ones(9))) for each in others]
    off = np.exp(logs - means)
    assert [low, high] == pytest.approx([off[0], off[8]], rel=1e-6)


def test_the_share_of_signal_by_hand():
    """Chance takes a clarity to 1 + 2.2 / sqrt(100 s) = 1.22; at twice that, 1/4 is noise."""
    assert signal_share(2.44, 100.0) == pytest.approx(0.75)
    assert signal_share(1.23, 100.0) == pytest.approx(1 - (1.22 / 1.23) ** 2)
    assert signal_share(1.21, 100.0) == 0.0
    assert signal_share(float("nan"), 100.0) == 0.0


def test_features_of_the_map_by_hand():
    """150 of 1,000 steps active: busy is what exceeds a quarter of the 99.9th percentile; of the
    peaks the one at step 500 is isolated and prominent. The second segment is as long as a lag."""
    rates = np.zeros(1_000)
    rates[:50] = 40.0
    rates[50:100] = 11.0
    rates[100:150] = 9.0
    rates[500] = 30.0
    found = output_features([rates[:875], rates[875:]])
    assert found[0] == pytest.approx(np.log(0.101 + 0.001))
    deviation = rates - rates.mean()
    variance = np.mean(deviation**2)
    assert found[1] == pytest.approx(np.log(np.mean(deviation**4) / variance**2))
    assert found[2] == pytest.approx(np.log(1 / 40 + 0.01))
    for k, lag in enumerate((1, 5, 25, 125)):
        together = np.mean(deviation[lag:] * deviation[:-lag]) / variance
        assert found[3 + k] == pytest.approx(together)
    assert output_features([rates[:125]])[6] == 0.0


def test_the_map_is_an_exponential_less_what_was_added():
    constant = [np.full(100, 2.0)]
    known = RateMap((0.5, 1.0, *[0.0] * 6))
    assert known.mean_rate(constant) == pytest.approx(np.exp(0.5) * 1.001 - 0.01)
    assert RateMap((-9.0, 1.0, *[0.0] * 6)).mean_rate(constant) == 0.0


# The correlation to be expected


def test_the_expected_correlation_by_hand():
    rates = np.array([0.0, 0.0, 0.0, 4.0])
    x = rates * 0.6 / 25
    assert expected_score(rates) == pytest.approx(np.sqrt(x.var() / (x.var() + x.mean())))
    transient = np.zeros(180)
    transient[FIRST_PEAK] = 3.0
    transient[0] = 100.0  # no peak of this event
    assert clearness(transient, 0.1) == pytest.approx(np.log(3 / (0.1 * np.sqrt(10))))
    assert clearness(None, 0.1) == clearness(-transient, 0.1) == np.log(0.05)
    score = ScoreMap((0.1, 0.5, 0.2))
    value = 0.1 + 0.5 * np.arctanh(expected_score(rates)) + 0.2 * 1.5
    assert score.expected([rates[:2], rates[2:]], 1.5) == pytest.approx(np.tanh(value))
    assert ScoreMap((-9.0, 0.0, 0.0)).expected([rates], 0.0) == 0.0


def test_scores_have_an_end_before_the_inverse_of_tanh_explodes():
    certain = np.zeros(1_000_000)
    certain[5] = 1.0
    assert score_features([certain], 0.0)[0] == pytest.approx(np.arctanh(0.98))
    assert score_features([np.ones(50)], 0.0)[0] == pytest.approx(np.arctanh(0.01))


def test_the_score_is_fitted_on_what_neurons_of_a_set_differ_by():
    """In a set the score rises with certainty, and the set of more certain ones has lower scores:
    a user, who chooses within a recording, needs the first alone."""
    rng = np.random.default_rng(0)
    count, neurons, outputs, certainty = 20, [], [], []
    for group, quiet in (("a", 0.5), ("b", 0.95)):
        for _ in range(count):
            rates = rng.gamma(2, size=500) * (rng.random(500) > quiet)
            scales = [Scales(noise=0.1, baseline=0.0, spread=1.0)]
            neurons.append(TrainingNeuron(group, [np.zeros(2_000)], scales, [np.zeros(2_000)]))
            outputs.append([rates])
            certainty.append(score_features([rates], 0.0)[0])
    x = np.reshape(certainty, (2, count))
    assert x[1].min() > x[0].max()
    apart = x - x.mean(axis=1, keepdims=True)
    target = 0.6 + 0.8 * apart - np.array([[0.0], [0.3]])
    found = fit_score_map(neurons, outputs, list(np.tanh(target).ravel() / 0.95))
    a, b, c = found.terms
    assert b == pytest.approx(0.8 * 2 * count / (2 * count + 60)) and c == 0
    assert a + b * x.mean() == pytest.approx(0.45)
