"""From the network's output to spikes per second."""

import numpy as np
import pytest

from spikefinder_keras.recordings.calibration import (
    TERMS,
    RateMap,
    output_features,
    signal_share,
)
from spikefinder_keras.recordings.universal import Scales
from spikefinder_keras.signals.measures import smoothing_of_noise
from spikefinder_keras.training.calibrate import fit_rate_map


def output(events, rng, steps=5_000):
    rates = np.full(steps, 0.01)
    rates[rng.choice(steps, events, replace=False)] = rng.uniform(5, 15, events)
    return rates


def test_a_map_that_was_fitted_gives_back_a_power_law():
    rng = np.random.default_rng(0)
    known = RateMap((1.2, 0.8, 0.3, -0.2))
    cases = []
    for k in range(600):
        own = rng.uniform(0.2, 3) * output(int(np.exp(rng.uniform(2, 7))), rng)
        cases.append((f"set {k % 6}", own, known.mean_rate(own)))
    groups, outputs, rates = zip(*cases, strict=True)
    found = fit_rate_map(groups, outputs, rates=rates, source="simulated")
    assert len(found.terms) == TERMS
    assert found.source == "simulated"
    for _, own, rate in cases[:20]:
        assert found.mean_rate(own) == pytest.approx(rate, rel=0.15, abs=0.02)


def test_the_factor_brings_the_mean_to_the_map_and_keeps_silence():
    own = output(200, np.random.default_rng(1))
    known = RateMap((0.0, 1.0, 0.2, -0.1))
    assert (known.factor(own) * own).mean() == pytest.approx(known.mean_rate(own))
    assert known.factor(np.zeros(100)) == 0.0


def test_features_of_a_constant_and_of_rare_events():
    mean, busy, kurtosis = output_features(np.full(1_000, 2.0))
    assert np.exp(mean) == pytest.approx(2.01)
    assert np.exp(busy) == pytest.approx(1.001)
    assert kurtosis == 0.0
    rng = np.random.default_rng(2)
    few, many = output_features(output(20, rng)), output_features(output(1_000, rng))
    assert (few[:2] < many[:2]).all()
    assert few[2] > many[2]


@pytest.mark.parametrize(("clarity", "share"), [(0.9, 0.0), (1.0, 0.0), (1.4, 0.394), (5.0, 0.952)])
def test_a_recording_fades_out_towards_noise(clarity, share):
    scales = Scales(1.0, 0.0, clarity * smoothing_of_noise(), 0.0)
    assert signal_share(scales.clarity, 600.0) == pytest.approx(share, abs=0.01)


def fitted_on_random_neurons():
    """A rate map fitted on 40 neurons of four unequal sets, and its parts as the text says them."""
    rng = np.random.default_rng(3)
    groups = [f"set {k}" for k in np.repeat([0, 1, 2, 3], [4, 6, 10, 20])]
    outputs = [output(int(n), rng) for n in np.exp(rng.uniform(3, 7, len(groups)))]
    rates = np.exp(rng.normal(1.0, 0.7, len(groups)))
    found = fit_rate_map(groups, outputs, rates=rates)
    weight = np.array([1 / groups.count(group) for group in groups])
    features = np.stack([output_features(each) for each in outputs])
    left = np.log(rates + 0.01) - found.terms[0] - features @ found.terms[1:]
    return found, features, left, weight * weight.size / weight.sum()


def test_the_intercept_of_the_map_is_free():
    """So the mean over sets of the logarithms is met, whatever the slopes cost."""
    _, _, left, weight = fitted_on_random_neurons()
    assert weight @ left == pytest.approx(0.0, abs=1e-6)  # sums of 40 numbers of about 1


def test_slopes_of_the_map_cost_as_much_as_twenty_neurons():
    """At the least cost what a slope gains in error is what it costs: 20 times itself."""
    found, features, left, weight = fitted_on_random_neurons()
    spread = features.std(axis=0)
    gain = ((features - features.mean(axis=0)) / spread).T @ (weight * left)
    np.testing.assert_allclose(gain, 20 * np.array(found.terms[1:]) * spread, rtol=1e-5)


def test_the_share_of_signal_by_hand():
    """Chance takes a clarity to 1 + 2.2 / sqrt(100 s) = 1.22; at twice that, 1/4 is noise."""
    assert signal_share(2.44, 100.0) == pytest.approx(0.75)
    assert signal_share(1.23, 100.0) == pytest.approx(1 - (1.22 / 1.23) ** 2)
    assert signal_share(1.21, 100.0) == 0.0
    assert signal_share(float("nan"), 100.0) == 0.0


def test_features_of_the_map_by_hand():
    """One step of 1,000 at 40 spikes/s: busy is what exceeds a quarter of the 99.9th percentile."""
    rates = np.zeros(1_000)
    rates[:50] = 40.0
    rates[50:100] = 11.0
    rates[100:150] = 9.0
    mean, busy, kurtosis = output_features(rates)
    assert mean == pytest.approx(np.log(3.0 + 0.01))
    assert busy == pytest.approx(np.log(0.1 + 0.001))
    deviation = rates - 3.0
    assert kurtosis == pytest.approx(np.log(np.mean(deviation**4) / np.mean(deviation**2) ** 2))


def test_the_map_is_an_exponential_less_what_was_added():
    known = RateMap((0.5, 1.0, 0.0, 0.0))
    assert known.mean_rate(np.full(100, 2.0)) == pytest.approx(np.exp(0.5) * 2.01 - 0.01)
    assert RateMap((-9.0, 1.0, 0.0, 0.0)).mean_rate(np.full(100, 2.0)) == 0.0
