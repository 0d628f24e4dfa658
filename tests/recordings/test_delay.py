"""The delay: families, how slowly a recording's transients rise, and the rules that were fitted."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import maximum_filter1d

from spikefinder_keras import predict
from spikefinder_keras.errors import UsageError
from spikefinder_keras.recordings.calibration import (
    UNKNOWN,
    Delay,
    Transients,
    average_transient,
    blurred,
    find_events,
    indicator_family,
)
from spikefinder_keras.recordings.inputs import as_recording
from spikefinder_keras.recordings.options import PredictOptions
from spikefinder_keras.recordings.pipeline import check_options
from spikefinder_keras.recordings.universal import CLOCK_SAMPLES, Universal
from spikefinder_keras.training.calibrate import (
    SHIFTS,
    MeasuredSet,
    best_delay,
    delay_curve,
    fit_delays,
)
from spikefinder_keras.training.neurons import TrainingNeuron


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
        ("XCaMP-R", "mouse", "red"),
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


# How slowly transients rise


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


def transients_of(*neurons):
    found = Transients()
    for trace, rates in neurons:
        found.add([trace], [rates])
    return found


@pytest.mark.parametrize(("samples_up", "rise"), [(4, 0.02), (8, 0.04), (12, 0.06)])
def test_a_rise_by_hand(samples_up, rise):
    """From a quarter to three quarters of a straight rise is half of it; 8 events of 38 count 8."""
    found = transients_of(ramp_events(samples_up))
    assert found.rise() == pytest.approx(rise, abs=1e-6)
    whole = (1 - (0.04 / rise) ** 1.5) * 8 / 38
    assert found.slowness(1e9) == pytest.approx(whole, abs=1e-5)
    # Of a slow rise half of a frame, here of 10 ms, is the frame's.
    seen = 1 - (0.005 / rise) ** 2 if whole > 0 else 1
    assert found.slowness(100.0) == pytest.approx(whole * seen, abs=1e-5)
    assert found.slowness(1.0) == pytest.approx(min(whole, 0.0), abs=1e-5)


def test_what_is_faster_or_slower_than_can_be_seen():
    found = transients_of(ramp_events(2))
    assert found.slowness(1e9) == pytest.approx((1 - (0.04 / 0.015) ** 1.5) * 8 / 38)
    found.shape = np.interp(np.arange(180), [0, 120], [0.0, 1.0])  # a rise of 0.6 s
    assert found.slowness(1e9) == pytest.approx((1 - 0.2**1.5) * 8 / 38)


def test_neurons_count_alike_however_bright_they_are():
    fast, (slow, rates) = ramp_events(4), ramp_events(12)
    both = transients_of(fast, (slow, rates))
    assert transients_of(fast, (1_000 * slow, rates)).rise() == pytest.approx(both.rise())
    assert 0.02 < both.rise() < 0.06
    assert both.events == 16


def test_a_neuron_counts_as_fifty_events_at_most():
    many, few = ramp_events(4, events=100), ramp_events(12, events=50)
    assert transients_of(many, few).rise() == pytest.approx(
        transients_of(ramp_events(4, events=50), few).rise()
    )


def test_without_events_the_delay_is_the_typical_one():
    nothing = transients_of((np.zeros(400), np.zeros(100)))
    assert nothing.slowness(30.0) == 0.0
    assert np.isnan(nothing.rise())
    assert Delay(0.02, 0.03).of(nothing.slowness(30.0)) == 0.02


@pytest.mark.parametrize("off", [-0.25, 0.0, 0.25])
def test_an_event_is_at_the_peak_of_the_parabola(off):
    """A quarter of a step is a sample: the trace's own peak lies at sample 60 of the average."""
    trace, rates = np.zeros(800), np.zeros(200)
    rates[99:102] = 1 - 0.3 * (np.arange(-1, 2) - off) ** 2
    trace[round((100.5 + off) * 4)] = 1.0
    assert find_events(rates) == pytest.approx([100 + off])
    average, events = average_transient([trace], [rates])
    assert events == 1
    assert average.argmax() == 60


def test_events_too_near_each_other_are_one():
    rates = np.zeros(300)
    rates[[100, 115]] = 1.0, 2.0
    assert find_events(rates).tolist() == [115]
    rates[[115, 116]] = 0.0, 2.0
    assert find_events(rates).tolist() == [100, 116]
    assert find_events(rates[:2]).size == find_events(np.zeros(50)).size == 0


def test_events_are_the_largest_within_reach():
    rates = np.random.default_rng(0).gamma(0.05, 5, 3_000)
    largest = maximum_filter1d(rates, 31, mode="nearest")
    peaks = (rates == largest) & (rates > 4 * rates.mean())
    peaks[[0, -1]] = False
    assert np.rint(find_events(rates)).astype(int).tolist() == np.flatnonzero(peaks).tolist()


def test_a_delay_is_a_line_over_slowness_and_has_an_end():
    assert Delay(0.01, 0.03).of(0.5) == pytest.approx(0.025)
    assert Delay(0.1, 0.1).of(2.0) == 0.15
    assert Delay(-0.1, -0.1).of(2.0) == -0.15


@pytest.mark.parametrize(("frame_rate", "share"), [(1e-9, 0.15), (100.0, 0.075), (500.0, 0.025)])
def test_what_is_uncertain_is_spread_over_the_neighbours(frame_rate, share):
    rates = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 2.0])
    found = blurred(rates, frame_rate)
    np.testing.assert_allclose(found[1:4], [share, 1 - 2 * share, share])
    assert found[5] == pytest.approx(2 * (1 - share))  # the end is held
    np.testing.assert_allclose(blurred(np.ones(9), frame_rate), 1.0)


# The rules, fitted on sets with known spikes


def test_the_best_delay_lies_between_shifts_and_counts_by_how_sharp_it_is():
    delay, weight = best_delay(1 - 100 * (SHIFTS - 0.013) ** 2)
    assert delay == pytest.approx(0.013)
    assert weight == pytest.approx(0.09 / 0.15, rel=0.03)  # 30 ms off cost 0.09 of the correlation
    assert best_delay(1 - 1e-3 * (SHIFTS - 0.013) ** 2)[1] == 0.02
    assert best_delay(1 - 1e3 * (SHIFTS - 0.013) ** 2)[1] == 1.0


@pytest.mark.parametrize("delay", [0.03, 0.07, -0.05])
def test_a_curve_peaks_where_the_spikes_are(delay):
    """The output of four phases, each 10 ms later, of a network that answers so many s late."""
    rng = np.random.default_rng(0)
    spikes = (rng.random(8_000) < 0.01).astype(float)
    late = np.roll(spikes, round(100 * delay))
    phases = [[np.roll(late, -k).reshape(-1, 4).sum(axis=1)] for k in range(4)]
    neuron = TrainingNeuron("a", [np.zeros(8_000)], [], [spikes])
    assert best_delay(delay_curve(neuron, phases))[0] == pytest.approx(delay, abs=0.003)


SETS = [
    MeasuredSet(f"{k}", delay, 1.0, slowness, indicator, species)
    for k, (delay, slowness, indicator, species) in enumerate(
        [
            *((0.00, -0.5, "GCaMP6f", "mouse"), (0.02, 0.5, "GCaMP6s", "mouse")),
            *((0.06, 0.5, "GCaMP6f", "zebrafish"), (0.06, 0.6, "GCaMP6f", "zebrafish")),
            *((-0.03, -0.5, "OGB-1", "mouse"), (0.01, 0.0, "GCaMP7f", "mouse")),
        ]
    )
]


def test_families_differ_from_the_usual_one_and_share_a_slope():
    delays = fit_delays(SETS)
    assert set(delays) == {UNKNOWN, "GCaMP", "dye", "GCaMP, mouse", "GCaMP, zebrafish"}
    assert delays["dye"].typical < delays["GCaMP"].typical
    assert delays["GCaMP, mouse"].typical < delays["GCaMP, zebrafish"].typical
    assert delays["GCaMP"].slope > 0
    assert delays["GCaMP, mouse"].slope == delays["GCaMP, zebrafish"].slope
    assert delays[UNKNOWN].source == "measured on 0, 1, 2, 3, 4, 5"
    assert delays["GCaMP, zebrafish"].source == "measured on 2, 3"


def test_a_set_without_weight_does_not_move_a_rule():
    off = replace(SETS[0], delay=0.3, weight=0.0)
    with_it, without = fit_delays([*SETS, off]), fit_delays(SETS)
    assert with_it[UNKNOWN].typical == pytest.approx(without[UNKNOWN].typical)


def test_the_shrinkage_by_hand():
    """Two usual sets at 0 and one of a family 40 ms later: 1 of 1.3 of that is left."""
    sets = [
        MeasuredSet("a", 0.0, 1.0, 0.0, "GCaMP6f", "mouse"),
        MeasuredSet("b", 0.0, 1.0, 0.0, "GCaMP6f", "mouse"),
        MeasuredSet("c", 0.04, 1.0, 0.0, "OGB-1", "mouse"),
    ]
    # With intercept m and difference d: 2 m = 0.04 - m - d, and d = (0.04 - m) / 1.3.
    m, d = np.linalg.solve([[3.0, 1.0], [1.0, 1.3]], [0.04, 0.04])
    assert fit_delays(sets)["dye"].typical == pytest.approx(m + d)
    assert fit_delays(sets)["GCaMP"].typical == pytest.approx(m)


# The clock of a recording


def traces(neurons=6, rate=30.0, seconds=60.0, seed=0):
    rng = np.random.default_rng(seed)
    count = int(rate * seconds)
    spikes = rng.poisson(0.3 / rate, (neurons, count)).astype(float)
    time = np.arange(int(3 * rate)) / rate
    kernel = (1 - np.exp(-time / 0.05)) * np.exp(-time / 0.5)
    made = np.array([np.convolve(each, kernel)[:count] for each in spikes])
    return made + 0.03 * rng.normal(size=made.shape)


def test_neurons_of_a_recording_share_a_delay_and_the_result_says_it():
    table = traces()
    prediction = predict(table, 30.0)
    assert "of recordings in general" in prediction.description["timing"]
    assert "events of 6 neurons" in prediction.description["timing"]
    stated = prediction.description["delay_ms"]
    # Stated, the delay that was found gives the same for one neuron alone.
    alone = predict(table[2:3], 30.0, delay=stated)
    # It is said to 0.1 ms.
    np.testing.assert_allclose(alone.rates[0], prediction.rates[2], atol=0.1)
    assert alone.description["timing"] == "delay as stated"
    assert alone.description["delay_ms"] == stated


@pytest.mark.parametrize("delay", [-40.0, 0.0, 13.0, 80.0])
def test_a_stated_delay_moves_the_rates(delay):
    """By as much as it differs, between frames too."""
    table = traces(neurons=1, rate=100.0)
    usual, moved = (predict(table, 100.0, delay=each).rates[0] for each in (0.0, delay))
    lags = np.arange(-12, 13)
    r = [np.corrcoef(usual[20:-20], np.roll(moved, k)[20:-20])[0, 1] for k in lags]
    assert 10 * lags[int(np.argmax(r))] == pytest.approx(delay, abs=5)


@pytest.mark.parametrize("delay", [151.0, -1e9, float("nan"), float("inf")])
def test_an_impossible_delay(delay):
    with pytest.raises(UsageError, match="impossible; give one from -150 to 150"):
        check_options(PredictOptions(delay=delay))


def test_a_delay_is_for_universal_alone():
    for options in ({"weights": "described"}, {"dataset": 3}):
        with pytest.raises(UsageError, match="--delay is for universal alone"):
            check_options(PredictOptions(delay=10.0, **options))


def test_the_sample_is_always_the_same_and_bounded(monkeypatch):
    table = traces(neurons=30, seconds=40.0)
    seen = []
    recording = as_recording(table, 30.0, orientation="neuron-time")
    part = type(recording).part
    monkeypatch.setattr(
        type(recording), "part", lambda self, k: seen.append(list(k)) or part(self, k)
    )
    monkeypatch.setattr(
        "spikefinder_keras.recordings.universal.CLOCK_SAMPLES", 3 * 4_000, raising=True
    )
    clocks = [Universal(PredictOptions(), recording).clock for _ in range(2)]
    assert seen == [[0, 14, 29]] * 2
    assert clocks[0] == clocks[1]
    assert CLOCK_SAMPLES > 3 * 4_000
