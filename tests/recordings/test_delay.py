"""The delay: families, shifts, and how slowly a recording's transients rise."""

import numpy as np
import pytest

from spikefinder_keras.errors import UsageError
from spikefinder_keras.recordings.calibration import (
    OFFSETS,
    UNKNOWN_SLOWNESS,
    Delay,
    apply_delay,
    indicator_family,
    shifted,
    slowness,
)
from spikefinder_keras.recordings.options import PredictOptions
from spikefinder_keras.recordings.pipeline import check_options
from spikefinder_keras.signals.measures import pearson
from spikefinder_keras.training.calibrate import Case, fit_delay

NOT_SHIFTED = Delay(np.where(OFFSETS == 0, 30.0, 0.0), np.zeros(OFFSETS.size), "no delay")


def score_of(case, delay):
    """Correlation at 25 Hz of one case under a delay."""
    return pearson(case.spikes, apply_delay(case.output, delay.weights(case.slowness)))


@pytest.mark.parametrize("species", ["dragon", "mouse-like", "r at t", "", "-"])
def test_a_species_of_which_nothing_is_known(species):
    message = rf"species {species}; choose from mouse, rat, zebrafish, or leave it out"
    with pytest.raises(UsageError, match=message):
        check_options(PredictOptions(species=species))


@pytest.mark.parametrize("species", ["mouse", "Mus musculus", "Zebrafish", "danio rerio", "rat"])
def test_a_species_by_each_of_its_names(species):
    check_options(PredictOptions(species=species))


@pytest.mark.parametrize(
    ("name", "species", "family"),
    [
        ("OGB-1", None, "dye"),
        ("Cal-520", "zebrafish", "dye"),
        ("jRGECO1a", None, "red"),
        ("R-CaMP1.07", "mouse", "red"),
        ("GCaMP6f", None, "GCaMP"),
        ("GCaMP6f", "zebrafish", "GCaMP, zebrafish"),
        ("jGCaMP7b", "Danio rerio", "GCaMP, zebrafish"),
        ("GCaMP6s", "Mus musculus", "GCaMP, mouse"),
        ("jGCaMP8m", "mouse", "fast GCaMP"),
        ("a new one", None, None),
    ],
)
def test_families(name, species, family):
    assert indicator_family(name, species) == family


def test_shifts_read_later_and_hold_the_ends():
    rates = np.arange(10.0)
    moved = shifted(rates)
    assert moved.shape == (OFFSETS.size, 10)
    np.testing.assert_array_equal(moved[list(OFFSETS).index(1)], [*range(1, 10), 9])
    np.testing.assert_allclose(apply_delay(rates, NOT_SHIFTED.weights()), rates, atol=1e-6)


def test_the_fit_finds_a_delay():
    rng = np.random.default_rng(0)
    cases = []
    for group in "ab":
        truth = rng.poisson(0.1, 2_000).astype(float)
        rates = np.roll(truth, 1) + 0.1 * rng.random(2_000)  # the output answers a step late
        cases.append(Case(group, rates, truth, 0.5))
    delay = fit_delay(cases)
    assert delay.weights().argmax() == list(OFFSETS).index(1)
    for case in cases:
        assert score_of(case, delay) > score_of(case, NOT_SHIFTED) + 0.3


@pytest.mark.parametrize(("rise", "low", "high"), [(0.004, 0.0, 0.35), (0.2, 0.5, 1.0)])
def test_slowness_follows_the_rise(rise, low, high):
    time = np.arange(12_000) / 100.0
    events = np.arange(5.0, 115.0, 4.0)
    since = time[:, None] - events
    after = np.maximum(since, 0)
    shape = (1 - np.exp(-after / rise)) * np.exp(-after / 0.6) * (since > 0)
    rates = np.zeros(3_000)
    rates[(events * 25).astype(int)] = 1.0
    rates = np.convolve(rates, [0.3, 1.0, 0.3], "same")
    assert low <= slowness([shape.sum(axis=1)], [rates], 100.0) <= high


def test_without_events_slowness_is_unknown():
    assert slowness([np.zeros(400)], [np.zeros(100)], 30.0) == UNKNOWN_SLOWNESS
