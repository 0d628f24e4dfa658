"""A recording through `universal`: what its rates may depend on, and what not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.signal import fftconvolve

from spikefinder_keras import predict
from spikefinder_keras.network.weights import find_weights
from spikefinder_keras.recordings.calibration import calibration_path, load_calibration

SAME = 1e-4  # spikes/s; float32 round-off of the network, times a factor of some hundred


def recording(rate=30.0, seconds=120.0, neurons=3, noise=0.05, seed=0):
    """dF/F `(frame, neuron)` of single spikes and bursts, and their times in s."""
    rng = np.random.default_rng(seed)
    fine = 1_000
    tables, truth = [], []
    for _ in range(neurons):
        times = np.sort(rng.uniform(2, seconds - 3, int(seconds / 4)))
        times = np.sort(np.concatenate([times, times[::5, None].repeat(3, 1).ravel() + 0.04]))
        counts = np.bincount((times * fine).astype(int), minlength=int(seconds * fine))
        t = np.arange(4 * fine) / fine
        kernel = 0.3 * (1 - np.exp(-t / 0.04)) * np.exp(-t / 0.5)
        dff = fftconvolve(counts, kernel)[: counts.size]
        frames = np.arange(int(seconds * rate)) / rate
        tables.append(np.interp(frames, np.arange(counts.size) / fine, dff))
        truth.append(times)
    table = np.stack(tables, axis=1)
    return table + noise * np.sqrt(rate / 30) * rng.normal(size=table.shape), truth


def rates_of(table, rate=30.0, **options):
    return predict(table, rate, orientation="time-neuron", **options).table


@pytest.fixture(scope="module")
def plain():
    table, truth = recording()
    return table, truth, rates_of(table)


def test_rates_follow_the_spikes_in_spikes_per_second(plain):
    table, truth, rates = plain
    for column, times in enumerate(truth):
        counts = np.histogram(times, np.arange(len(table) + 1) / 30)[0]
        seconds = [
            x[: x.size // 30 * 30].reshape(-1, 30).sum(1) for x in (counts, rates[:, column])
        ]
        assert np.corrcoef(*seconds)[0, 1] > 0.8
        assert 0.3 < rates[:, column].mean() / (counts.mean() * 30) < 3


def test_the_default_is_one_pass_of_universal(plain):
    prediction = predict(plain[0], 30.0, orientation="time-neuron")
    assert prediction.description["weights"] == "universal"
    assert prediction.description["unit"] == "spikes per second (expected)"
    assert "dataset" not in prediction.description
    assert all(0 < neuron.certainty < 1 for neuron in prediction.quality.neurons)
    assert prediction.quality.certainty.name == "expected r"


def test_a_neuron_depends_on_the_others_by_the_delay_alone(plain):
    table, _, rates = plain
    delay = predict(table, 30.0, orientation="time-neuron").description["delay_ms"]
    alone = rates_of(table[:, 1:2], delay=delay)[:, 0]
    np.testing.assert_allclose(alone, rates[:, 1], rtol=0, atol=0.05)  # it is said to 0.1 ms
    # Of all neurons, in any order.
    np.testing.assert_allclose(rates_of(table[:, ::-1]), rates[:, ::-1], rtol=0, atol=SAME)


@pytest.mark.parametrize(("gain", "offset"), [(100.0, 0.0), (250.0, 1_000.0), (1e-3, -5.0)])
def test_gain_and_offset_change_nothing(plain, gain, offset):
    table, _, rates = plain
    # The robust line is found by iteration, so it differs by its last steps.
    np.testing.assert_allclose(rates_of(gain * table + offset), rates, rtol=0, atol=0.02)


@pytest.mark.parametrize("unit", ["dF/F", "F"])
def test_the_stated_unit_and_its_gain_change_nothing(plain, unit):
    table, _, rates = plain
    np.testing.assert_allclose(rates_of(30 * table + 90, unit=unit), rates, rtol=0, atol=0.02)


def test_a_straight_drift_changes_little(plain):
    table, _, rates = plain
    drifting = table + np.linspace(0, 2, len(table))[:, None]
    np.testing.assert_allclose(rates_of(drifting), rates, rtol=0, atol=0.02)


@pytest.mark.parametrize("rate", [5.0, 7.8, 15.0, 60.0, 100.0, 200.0])
def test_any_frame_rate_finds_the_same_bursts(rate):
    table, truth = recording(rate, noise=0.03)
    rates = rates_of(table, rate)
    assert (rates >= 0).all()
    for column, times in enumerate(truth):
        edges = np.arange(121)
        counts = np.histogram(times, edges)[0]
        frames = (np.arange(len(rates)) / rate).astype(int)
        found = np.bincount(frames, rates[:, column] / rate, 120)[:120]
        assert np.corrcoef(counts, found)[0, 1] > 0.7
        assert 0.25 < found.sum() / counts.sum() < 4


@pytest.mark.parametrize("level", [1e-3, 0.05, 1.0, 300.0])
@pytest.mark.parametrize(("rate", "seconds"), [(7.8, 60), (30.0, 30), (30.0, 600), (200.0, 60)])
def test_noise_gives_no_rates_and_no_spikes(level, rate, seconds):
    noise = level * np.random.default_rng(1).normal(size=(int(rate * seconds), 6))
    prediction = predict(noise, rate, orientation="time-neuron", spikes=True)
    assert prediction.table.mean() < 0.05
    assert sum(map(len, prediction.spike_times)) == 0


def test_thirty_seconds_suffice():
    table, truth = recording(seconds=30.0)
    rates = rates_of(table)
    assert np.isfinite(rates).all()
    assert 0.2 < rates.mean() / (np.mean([len(t) for t in truth]) / 30) < 5


def test_a_recording_may_begin_in_the_middle_of_a_transient():
    """The network has zeros before a trace: what is high there did not jump."""
    table, truth = recording(neurons=8, seed=4)
    first = []
    for column, times in enumerate(truth):
        bursts = [t for t in times if np.sum((times > t - 0.001) & (times < t + 0.06)) >= 4]
        start = round((bursts[len(bursts) // 2] + 0.2) * 30)
        rates = rates_of(table[start:, [column]])[:, 0]
        first.append(rates[:6].mean() / rates.max())
    assert np.mean(first) < 0.02  # 0.04 if they were not held


def test_spikes_are_where_they_were(plain):
    table, truth, _ = plain
    times = 1_000 + np.arange(len(table)) / 30
    prediction = predict(table, times=times, orientation="time-neuron", spikes=True)
    hits = found = wanted = 0
    for own, known in zip(prediction.spike_times, truth, strict=True):
        assert (np.diff(own) > 0).all()
        near = np.abs(own[:, None] - 1_000 - known[None]).min(axis=1) < 0.1
        hits, found, wanted = hits + near.sum(), found + own.size, wanted + known.size
        assert 0.5 < own.size / known.size < 2
    assert hits / found > 0.7


def test_missing_frames_and_neurons_stay_missing(plain):
    table = plain[0]
    rates = rates_of(table, delay=10.0)
    broken = table.copy()
    broken[:, 1] = np.nan
    broken[1_000:1_200, 0] = np.nan
    prediction = predict(broken, 30.0, orientation="time-neuron", spikes=True, delay=10.0)
    assert np.isnan(prediction.table[:, 1]).all()
    assert prediction.spike_times[1].size == 0
    assert np.isnan(prediction.table[1_010:1_190, 0]).all()
    assert not ((prediction.spike_times[0] > 33.5) & (prediction.spike_times[0] < 39.8)).any()
    np.testing.assert_allclose(prediction.table[:, 2], rates[:, 2], rtol=0, atol=SAME)


def test_an_indicator_moves_the_answer(plain):
    """By the delay that was measured for it, and says so."""
    table, _, rates = plain
    dye = predict(table, 30.0, orientation="time-neuron", indicator="OGB-1")
    fish = predict(table, 30.0, orientation="time-neuron", indicator="GCaMP6f", species="zebrafish")
    assert "OGB-1, so dye" in dye.description["indicator"]
    assert fish.description["delay_ms"] > dye.description["delay_ms"] + 15
    assert "of dye (measured on DS02" in dye.description["timing"]
    odd = predict(table, 30.0, orientation="time-neuron", indicator="abacus")
    assert "of which no delay is known" in odd.description["indicator"]
    np.testing.assert_allclose(odd.table, rates, rtol=0, atol=SAME)


def spikes_and_fluorescence(neurons=6, rate=15.0, seconds=600.0, seed=22):
    """Spikes per frame and raw fluorescence, `(neuron, frame)`: what bleaches loses gain too."""
    rng = np.random.default_rng(seed)
    frames = int(rate * seconds)
    spikes = rng.poisson(0.4 / rate, (neurons, frames)).astype(float)
    kernel = np.exp(-np.arange(0, 4, 1 / rate) / 0.7)
    clean = np.array([np.convolve(each, kernel)[:frames] for each in spikes]) * 0.4
    noise = rng.normal(0, 0.06, clean.shape)
    return spikes, rng.uniform(300, 600, (neurons, 1)) * (1 + clean + noise)


def smoothed_scores(spikes, rates):
    """Mean correlation under a Gaussian of 0.2 s, and the mean rates of thirds of the recording in
    units of the true ones, that of the whole being 1."""
    true, found = (gaussian_filter1d(np.asarray(x, float), 3, axis=1) for x in (spikes, rates))
    r = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(true, found, strict=True)])
    thirds = [np.array_split(x.sum(axis=0), 3) for x in (rates, spikes)]
    ratio = np.array([a.sum() / b.sum() for a, b in zip(*thirds, strict=True)])
    return r, ratio / (np.sum(rates) / np.sum(spikes))


@pytest.mark.parametrize("unit", ["F", None])
@pytest.mark.parametrize(("seconds", "left"), [(60, 0.4), (200, 0.3), (20, 0.5)])
def test_bleaching_takes_nothing_from_the_rates(seconds, left, unit):
    spikes, light = spikes_and_fluorescence()
    flat, _ = smoothed_scores(spikes, predict(light, 15.0, unit=unit).rates)
    time = np.arange(light.shape[1]) / 15
    light = light * (left + (1 - left) * np.exp(-time / seconds))
    r, thirds = smoothed_scores(spikes, predict(light, 15.0, unit=unit).rates)
    assert r > flat - 0.01
    assert ((thirds > 0.9) & (thirds < 1.15)).all()


def test_days_of_other_brightness_become_segments():
    spikes, light = spikes_and_fluorescence()
    flat, _ = smoothed_scores(spikes, predict(light, 15.0).rates)
    light[:, 3_000:6_000] *= 0.6
    light[:, 6_000:] *= 1.3
    prediction = predict(light, 15.0)
    assert prediction.recording.segment_starts == (0, 3_000, 6_000)
    assert "steps at 200.0, 400.0 s, as between days" in prediction.recording.notes[-1]
    r, thirds = smoothed_scores(spikes, prediction.rates)
    assert r > flat - 0.01
    assert ((thirds > 0.9) & (thirds < 1.15)).all()


@pytest.mark.parametrize("value", [1e4, 300.0, -1e4, 40.0])
def test_an_impossible_frame_costs_little(value):
    spikes, light = spikes_and_fluorescence(neurons=1)
    dff = light / np.percentile(light, 20) - 1
    known, _ = smoothed_scores(spikes, predict(dff, 15.0).rates)
    dff[0, 4_000] = value
    prediction = predict(dff, 15.0)
    rates = np.nan_to_num(prediction.rates)
    assert smoothed_scores(spikes, rates)[0] > known - 0.01


def test_both_engines_agree(plain):
    table, _, rates = plain
    keras = rates_of(table, engine="keras")
    np.testing.assert_allclose(keras, rates, rtol=0, atol=SAME)


def test_its_calibration_comes_with_the_weights():
    calibration = load_calibration(calibration_path(find_weights("universal")))
    assert {"unknown", "dye", "red", "GCaMP"} <= set(calibration.delays)
    assert all(delay.source for delay in calibration.delays.values())
