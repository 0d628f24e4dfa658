"""The indicator model against published single-spike responses and its own limits."""

import numpy as np
import pytest

from spikefinder_keras.signals.measures import noise_density, smoothing_of_noise
from spikefinder_keras.simulation import indicators as model
from spikefinder_keras.simulation import spike_trains
from spikefinder_keras.simulation.indicators import expose
from spikefinder_keras.simulation.spike_trains import (
    bursting_train,
    recorded_train,
    simulated_recordings,
    synthetic_train,
)


def single_spike(indicator, seconds=3.0):
    """The response to one spike at 0.

    Returns
    -------
    (float, float, float)
        Amplitude in dF/F, s from the spike to half of it, s from the peak to half of it.
    """
    influx = np.zeros((round(seconds * model.STEP_RATE), 1))
    influx[0] = 1.0
    trace = model.to_dff(model.bright_share(influx, indicator), indicator)[:, 0]
    trace = np.concatenate([[0.0], trace])
    peak = int(trace.argmax())
    half = trace[peak] / 2
    rise = np.interp(half, trace[: peak + 1], np.arange(peak + 1)) / model.STEP_RATE
    below = np.flatnonzero(trace[peak:] < half)
    fall = below[0] / model.STEP_RATE if below.size else float("inf")
    return float(trace[peak]), float(rise), float(fall)


@pytest.mark.parametrize("name", sorted(model.INDICATORS))
def test_one_spike_answers_as_published(name):
    found = single_spike(model.INDICATORS[name], seconds=4.0)
    np.testing.assert_allclose(found, model.SINGLE_SPIKE[name], rtol=0.25)


def test_at_rest_nothing_changes():
    indicator = model.INDICATORS["GCaMP6f"]
    bright = model.bright_share(np.zeros((2_000, 1)), indicator)
    np.testing.assert_allclose(bright, model.at_rest(model.RESTING, indicator)[1], rtol=1e-9)


def test_in_the_long_run_the_bright_share_is_the_hill_curve():
    indicator = model.INDICATORS["GCaMP6s"]
    dark, bright = model.at_rest(indicator.affinity, indicator)
    assert bright / (1 - dark - bright) == pytest.approx(1.0)
    assert model.at_rest(1e9, indicator)[1] <= 1.0


def test_gcamp_answers_two_spikes_by_more_than_twice_one_and_a_dye_by_less():
    def gain(name):
        influx = np.zeros((1_500, 2))
        influx[0] = 1.0
        influx[2, 1] = 1.0
        trace = model.to_dff(
            model.bright_share(influx, model.INDICATORS[name]), model.INDICATORS[name]
        )
        return trace[:, 1].max() / trace[:, 0].max()

    assert gain("GCaMP6f") > 2.2
    assert gain("OGB-1") < 2.0


def test_many_indicators_at_once_are_as_one_by_one():
    rng = np.random.default_rng(0)
    many = model.random_indicators(3, rng)
    influx = rng.poisson(0.01, (800, 3)).astype(float)
    together = model.bright_share(influx, many)
    for k in range(3):
        one = model.Indicator(**{name: value[k] for name, value in vars(many).items()})
        np.testing.assert_allclose(
            model.bright_share(influx[:, k : k + 1], one)[:, 0], together[:, k], rtol=1e-12
        )
    assert np.isfinite(together).all()
    assert (together >= 0).all()
    assert (together <= 1).all()


def test_frames_are_means_around_their_time():
    ramp = np.arange(5_000.0)
    frames = expose(ramp, 10.0, 0.0, 0.0, np.random.default_rng(0))
    assert frames.size == 100
    np.testing.assert_allclose(np.diff(frames[1:]), 50.0)
    assert frames[1] == pytest.approx(50.0, abs=1.0)


def test_noise_is_as_stated():
    noise = expose(np.zeros(50_000), 50.0, 0.02, 0.0, np.random.default_rng(0))
    assert noise.std() == pytest.approx(0.02 * np.sqrt(50.0), rel=0.03)


def test_a_synthetic_train_is_in_order_and_inside():
    for seed in range(5):
        times = synthetic_train(30.0, np.random.default_rng(seed))
        assert (np.diff(times) >= 0).all()
        assert ((times >= 0) & (times < 30.0)).all()


def test_simulated_recordings_depend_on_the_seed_alone():
    first, second = (simulated_recordings(3, 20.0, np.random.default_rng(4)) for _ in range(2))
    for (trace, rate, times), (again, same_rate, same_times) in zip(first, second, strict=True):
        np.testing.assert_array_equal(trace, again)
        np.testing.assert_array_equal(times, same_times)
        assert rate == same_rate
        assert np.isfinite(trace).all()


FITTED = {
    "OGB-1": (0.0805, 0.0050, 0.400),
    "Cal-520": (0.2011, 0.0050, 0.386),
    "GCaMP5k": (0.0404, 0.0592, 0.352),
    "GCaMP6f": (0.1904, 0.0200, 0.142),
    "GCaMP6s": (0.2276, 0.0655, 0.588),
    "jGCaMP7f": (0.3010, 0.0249, 0.222),
    "jGCaMP8f": (0.4016, 0.0050, 0.076),
    "jGCaMP8m": (0.5541, 0.0061, 0.130),
    "jGCaMP8s": (0.5671, 0.0080, 0.180),
    "jRGECO1a": (0.1200, 0.0200, 0.250),
    "jRCaMP1a": (0.0796, 0.0401, 0.880),
}
"""What the least squares left of `SINGLE_SPIKE`."""


@pytest.mark.parametrize("name", sorted(model.INDICATORS))
def test_one_spike_answers_as_it_was_fitted(name):
    """1% of round-off in the numbers of the table, and a step of 2 ms in the fall."""
    found = single_spike(model.INDICATORS[name], seconds=4.0)
    np.testing.assert_allclose(found, FITTED[name], rtol=0.01)


def test_an_average_spike_brings_the_calcium_of_one():
    """However wide they scatter; the mean of 100,000 of spread 0.53 has an error of 0.2%."""
    times = np.sort(np.random.default_rng(0).uniform(0, 100, 100_000))
    influx = model.spike_influx([times], 50_000, 0.5, np.random.default_rng(1))
    assert influx.sum() / times.size == pytest.approx(1.0, abs=0.01)
    np.testing.assert_array_equal(
        model.spike_influx([np.array([0.0, 0.003, 9.0])], 4, 0.0, np.random.default_rng(1))[:, 0],
        [1, 1, 0, 1],
    )


def test_noise_grows_with_the_square_root_of_brightness():
    """At dF/F 3 the light is four times that at rest; below rest it never goes out."""
    for level, share in ((0.0, 1.0), (3.0, 2.0), (-2.0, np.sqrt(0.05))):
        seen = expose(np.full(50_000, level), 50.0, 0.02, 0.0, np.random.default_rng(0))
        assert seen.std() == pytest.approx(share * 0.02 * np.sqrt(50.0), rel=0.03)


def test_the_drift_has_its_spread_and_twenty_seconds():
    drift = expose(np.zeros(50_000), 10.0, 0.0, 0.3, np.random.default_rng(0))
    known = model.fluctuation(1_000, 200.0, np.random.default_rng(0))
    np.testing.assert_allclose(drift, 0.3 * known)


def test_a_fluctuation_forgets_within_its_time_constant():
    """400,000 samples of time constant 20 are 10,000 independent ones: 1% of each number."""
    x = model.fluctuation(400_000, 20.0, np.random.default_rng(0))
    assert x.var() == pytest.approx(1.0, abs=0.03)
    assert np.mean(x[20:] * x[:-20]) == pytest.approx(np.exp(-1), abs=0.03)
    starts = [model.fluctuation(1, 20.0, np.random.default_rng(k))[0] for k in range(2_000)]
    assert np.std(starts) == pytest.approx(1.0, abs=0.05)


def test_spikes_of_a_burst_are_3_ms_apart_and_8_more_in_the_mean():
    """Bursts are 20 s apart; half of all spikes have a follower."""
    times = bursting_train(np.zeros(2_000_000), 0.1, 0.5, np.random.default_rng(0))
    assert times.size == pytest.approx(2_000, rel=0.1)
    intervals = np.diff(times)
    within = intervals[intervals < 0.08]
    assert within.size / times.size == pytest.approx(0.5, abs=0.04)
    assert within.min() >= 0.003
    assert within.mean() == pytest.approx(0.011, abs=0.001)


def test_a_recorded_train_is_replayed_at_its_pace():
    counts = np.zeros(3_000)
    counts[::100] = 2.0  # two spikes at each whole second
    times = recorded_train([counts], 60.0, np.random.default_rng(0))
    assert times.size == pytest.approx(120, abs=10)  # pieces begin anywhere in a second
    assert ((times >= 0) & (times < 60.0)).all()
    assert (np.diff(times) >= 0).all()


@pytest.mark.parametrize("seed", [1, 2, 6])
def test_a_neuron_without_a_spike_has_noise_all_the_same(seed, monkeypatch):
    """Its dF/F at rest is 0 but for round-off, so its spread counts as 0.1; a quarter of that is
    left of noise of clarity 4."""
    for name, value in (("CLARITIES", (4.0, 4.0)), ("DRIFTS", (0.0,)), ("RATES", (1e-9, 1e-9))):
        monkeypatch.setattr(spike_trains, name, value)
    ((trace, rate, times),) = simulated_recordings(1, 300.0, np.random.default_rng(seed))
    assert times.size == 0
    assert noise_density(trace, rate) == pytest.approx(0.1 / 4 / smoothing_of_noise(), rel=0.1)
