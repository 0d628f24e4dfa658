"""Discrete spikes and trust from rates."""

import numpy as np
import pytest

from spikefinder_keras.recordings.universal import (
    TYPICAL_RATE,
    discrete_spikes,
    expected_score,
    spike_bouts,
)


def test_doubt_spread_over_minutes_is_no_spike():
    assert discrete_spikes(np.full(25 * 600, 0.05), 0.0, 25.0).size == 0


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_bout_gets_its_number_at_its_time(count):
    rates = np.zeros(250)
    rates[100:105] = count * 5.0
    times = discrete_spikes(rates, 10.0, 25.0)
    assert times.size == count
    assert ((times >= 14.0) & (times <= 14.2)).all()
    assert times.mean() == pytest.approx(14.1)


def test_two_events_in_one_stretch_are_two_bouts():
    time = np.arange(100)
    rates = 20 * np.exp(-(((time - 30) / 2.0) ** 2)) + 20 * np.exp(-(((time - 60) / 2.0) ** 2))
    assert len(spike_bouts(rates + 0.3)) >= 2


def test_nan_is_silence():
    assert discrete_spikes(np.full(50, np.nan), 0.0, 25.0).size == 0


def test_trust_is_the_correlation_to_be_expected():
    rng = np.random.default_rng(0)
    rates = rng.gamma(0.2, TYPICAL_RATE / 25 / 0.2, 200_000)
    found = np.corrcoef(rates, rng.poisson(rates))[0, 1]
    assert expected_score(rates) == pytest.approx(found, abs=0.01)
    assert expected_score(10 * rates) == pytest.approx(expected_score(rates))
    assert expected_score(np.full(10, 0.1)) == pytest.approx(0.0)
    assert np.isnan(expected_score(np.zeros(10)))
