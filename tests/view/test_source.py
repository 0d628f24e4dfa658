"""What is looked at is what was predicted, in memory and reduced to what a screen can show."""

import numpy as np
import pytest

from spikefinder_keras.recordings.inputs import as_recording
from spikefinder_keras.recordings.quality import EXPECTED
from spikefinder_keras.recordings.recording import NeuronQuality, Prediction, Quality
from spikefinder_keras.view.source import COLUMNS, PredictionSource, chosen_samples

NAN = float("nan")


@pytest.fixture
def prediction():
    rng = np.random.default_rng(0)
    recording = as_recording(
        rng.normal(size=(3000, 3)), 30.0, names=["a", "b", "c"], orientation="time-neuron"
    )
    quality = (
        NeuronQuality("a", 1.0, 0.5, "height", 0.9, 0, 0, 0.82, 0.35, 1.9),
        NeuronQuality("b", 6.0, 0.5, "height", 0.1, 3, 40, 0.1, 0.0, 0.2),
        NeuronQuality("c", NAN, NAN, "", NAN, 0, 3000, NAN, NAN, NAN),
    )
    return Prediction(
        rng.random((3000, 3)).astype(np.float32),
        recording,
        {"unit": "spikes per second (expected)", "weights": "universal"},
        (np.array([1.0, 50.0]), np.array([]), np.array([99.0])),
        Quality(quality, (), EXPECTED),
    )


def test_the_table_says_what_the_quality_says(prediction):
    table = PredictionSource(prediction).table()
    assert tuple(table) == COLUMNS
    assert table["name"] == ["a", "b", "c"]
    assert table["mean_rate"][:2] == [0.82, 0.1]
    assert table["interval"] == ["0.35 to 1.90", "0.00 to 0.20", ""]
    assert table["spikes"] == [2, 0, 1]
    assert table["remarks"] == [
        "",
        "noisy, uncertain, 3 interpolated, 40 left empty",
        "no signal, 3000 left empty",
    ]


def test_rates_without_a_unit_have_a_mean(prediction):
    plain = Prediction(prediction.table, prediction.recording, {"unit": "arbitrary"})
    source = PredictionSource(plain)
    table = source.table()
    assert source.unit == "a.u."
    np.testing.assert_allclose(table["mean_rate"], plain.table.mean(axis=0, dtype=float))
    assert table["spikes"] == [None] * 3
    assert table["remarks"] == [""] * 3


def test_the_overview_is_the_mean_of_each_bin(prediction):
    prediction.table[600:1200, 1] = np.nan
    found = PredictionSource(prediction).overview(5)
    with np.errstate(invalid="ignore"):
        expected = prediction.table.reshape(5, 600, 3).mean(axis=1, dtype=float).T
    np.testing.assert_allclose(found, expected)


def test_a_pause_has_no_rates():
    times = np.concatenate([np.arange(300) / 30, 100 + np.arange(300) / 30])
    recording = as_recording(np.random.default_rng(0).normal(size=(600, 1)), times=times)
    source = PredictionSource(Prediction(np.ones((600, 1), np.float32), recording, {"unit": ""}))
    assert source.segments == ((0, times[299]), (100, times[-1]))
    found = source.overview(11)[0]
    assert np.isfinite(found).tolist() == [True] + 9 * [False] + [True]


def test_a_window_has_every_sample_where_they_fit(prediction):
    window = PredictionSource(prediction).window(1, 10.0, 20.0, 4000)
    frames = slice(299, 602)
    np.testing.assert_array_equal(window["time"], prediction.times[frames])
    np.testing.assert_array_equal(window["trace"], prediction.recording.traces[frames, 1])
    np.testing.assert_array_equal(window["rate"], prediction.table[frames, 1])
    assert PredictionSource(prediction).window(0, 10.0, 60.0, 9)["spikes"].tolist() == [50.0]


def test_what_is_reduced_keeps_its_peaks_and_gaps():
    rng = np.random.default_rng(0)
    values = rng.normal(size=100_000).astype(np.float32)
    values[40_000:50_000] = np.nan
    values[70_000] = np.nan
    values[[123, 77_777]] = 50, -50
    chosen = chosen_samples(values, 1000)
    assert chosen.size <= 1000
    assert (np.diff(chosen) > 0).all()
    assert {123, 77_777, 40_000, 49_999} <= set(chosen.tolist())
    kept = values[chosen]
    assert np.isnan(kept).sum() == 2
    parts = np.split(values[:40_000], 200)
    for number, part in enumerate(parts[:150]):
        there = chosen[(chosen >= 200 * number - 200) & (chosen < 200 * number + 400)]
        assert np.nanmin(values[there]) <= part.min()
        assert np.nanmax(values[there]) >= part.max()


@pytest.mark.parametrize("sign", [-1, 1])
def test_an_extreme_beside_missing_values_is_drawn(sign):
    """Wherever the gap ends within a stretch, and though the extreme of all is elsewhere."""
    for gap in range(50_000, 50_400, 20):
        values = np.random.default_rng(0).normal(size=100_000)
        values[[7, gap + 5_001]] = 20 * sign, 10 * sign
        values[gap : gap + 5_000] = np.nan
        assert gap + 5_001 in chosen_samples(values, 1000)


@pytest.mark.parametrize("size", [1, 2, 9, 5000])
def test_nothing_but_missing_values(size):
    chosen = chosen_samples(np.full(size, np.nan), 100)
    assert 1 <= chosen.size <= 100
