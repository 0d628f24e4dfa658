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
