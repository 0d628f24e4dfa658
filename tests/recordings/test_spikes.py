"""Discrete spikes and trust from rates."""

from dataclasses import replace

import numpy as np
import pytest

from spikefinder_keras.recordings.calibration import TYPICAL_RATE, expected_score
from spikefinder_keras.recordings.inputs import as_recording
from spikefinder_keras.recordings.universal import (
    _spike_times,
    discrete_spikes,
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


@pytest.mark.parametrize(
    ("expected", "count"), [(0.38, 0), (0.42, 1), (1.38, 1), (1.42, 2), (4.42, 5)]
)
def test_from_four_tenths_of_a_spike_on_there_is_one_more(expected, count):
    rates = np.zeros(100)
    rates[40:45] = expected * 25 / 5
    assert discrete_spikes(rates, 0.0, 25.0).size == count


@pytest.mark.parametrize(("rate", "bouts"), [(0.24, 0), (0.26, 1)])
def test_a_bout_is_above_a_quarter_of_a_spike_per_second(rate, bouts):
    rates = np.zeros(100)
    rates[20:80] = rate
    assert len(spike_bouts(rates)) == bouts


@pytest.mark.parametrize(("valley", "bouts"), [(2.1, 1), (1.9, 2)])
def test_a_valley_below_a_tenth_of_the_lower_peak_parts_two_bouts(valley, bouts):
    rates = np.array([0, 20.0, valley, 40.0, 0])
    assert len(spike_bouts(rates)) == bouts


def test_spikes_are_the_middles_of_equal_parts_of_a_bout():
    rates = np.zeros(100)
    rates[50:60] = 5.0  # two spikes in 0.4 s from 2 s on
    np.testing.assert_allclose(discrete_spikes(rates, 7.0, 25.0), [9.1, 9.3])


def test_expected_correlation_by_hand():
    """One step of four at 0.6 spikes/s in the mean: x is 0.024 in the mean, its variance 3 x^2."""
    x = 0.6 / 25
    expected = np.sqrt(3 * x**2 / (3 * x**2 + x))
    assert expected_score(np.tile([0, 0, 0, 5.0], 50)) == pytest.approx(expected)


def test_spikes_are_at_the_centres_of_samples():
    """Step 50 holds the samples 200 to 203, whose times are those of their centres: 2.015 s."""
    recording = as_recording(np.ones((1, 400)) * np.arange(400), 100.0)
    shifted = replace(recording, times=recording.times + 7.0)
    rates = np.zeros(100)
    rates[50] = 25.0
    none = np.zeros(400, bool)
    np.testing.assert_allclose(_spike_times(recording, [rates], none), [2.015])
    np.testing.assert_allclose(_spike_times(shifted, [rates], none), [9.015])
    gap = none.copy()
    gap[150:250] = True
    assert _spike_times(recording, [rates], gap).size == 0
