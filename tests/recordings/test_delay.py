"""The delay: families, shifts, and how slowly a recording's transients rise."""

import json

import numpy as np
import pytest

from spikefinder_keras.errors import UsageError
from spikefinder_keras.network.weights import find_weights
from spikefinder_keras.recordings.calibration import (
    OFFSETS,
    UNKNOWN_SLOWNESS,
    Delay,
    apply_delay,
    average_transient,
    calibration_path,
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


def ramp_events(samples_up=20, events=8):
    """A trace in which each event is a straight rise of so many samples and a slow fall, and rates
    with a peak in the middle of each rise."""
    shape = np.concatenate([np.arange(1, samples_up + 1) / samples_up, np.linspace(1, 0, 181)[1:]])
    trace, rates = np.zeros(400 * events + 400), np.zeros(100 * events + 100)
    for k in range(events):
        at = 200 + 400 * k
        trace[at - samples_up // 2 : at - samples_up // 2 + shape.size] = shape
        rates[at // 4] = 1.0
    return trace, rates


@pytest.mark.parametrize("frame_rate", [8.0, 10.0, 100.0])
def test_slowness_by_hand(frame_rate):
    """From 10 to 90% of 0.2 s are 0.16 s, less 0.05 s of events and 0.8 frames, as squares."""
    trace, rates = ramp_events()
    own = 0.16**2 - 0.05**2 - (0.8 / frame_rate) ** 2
    assert slowness([trace], [rates], frame_rate) == pytest.approx(np.sqrt(own) / 0.2, rel=1e-6)


def test_four_events_say_nothing_and_five_do():
    for events, known in ((4, False), (5, True)):
        trace, rates = ramp_events(events=events)
        assert (slowness([trace], [rates], 100.0) != UNKNOWN_SLOWNESS) == known


@pytest.mark.parametrize("off", [-0.25, 0.0, 0.25])
def test_an_event_is_at_the_peak_of_the_parabola(off):
    """A quarter of a step is a sample: the trace's own peak lies at sample 60 of the average."""
    trace, rates = np.zeros(800), np.zeros(200)
    rates[99:102] = 1 - 0.3 * (np.arange(-1, 2) - off) ** 2
    trace[round((100.5 + off) * 4)] = 1.0
    average, events = average_transient([trace], [rates])
    assert events == 1
    assert average.argmax() == 60


def test_events_too_near_each_other_are_one():
    trace, rates = np.zeros(1_200), np.zeros(300)
    rates[[100, 115]] = 1.0, 2.0
    assert average_transient([trace], [rates])[1] == 1
    rates[[115, 116]] = 0.0, 2.0
    assert average_transient([trace], [rates])[1] == 2


def test_the_offsets_are_those_of_the_calibration_that_comes_along():
    """From two steps earlier to three later; the file says at which s its logits are."""
    stored = json.loads(calibration_path(find_weights("universal")).read_text())
    np.testing.assert_allclose(stored["offsets_s"], OFFSETS / 25)
    assert OFFSETS.tolist() == [-2, -1, 0, 1, 2, 3]
    nothing = Delay(np.zeros(6), np.zeros(6))
    np.testing.assert_allclose(
        np.log(nothing.weights() / nothing.weights()[2]), [-4, -2, 0, -1, -3, -4]
    )


def test_slowness_changes_the_weights_by_the_slopes():
    delay = Delay(np.zeros(6), np.arange(6.0))
    ratio = delay.weights(0.5)[3] / delay.weights(0.5)[2]
    assert ratio == pytest.approx(np.exp(-1 + 0.5))
