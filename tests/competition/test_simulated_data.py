import hashlib

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from spikefinder_keras.competition.simulated_data import (
    CONDITIONS,
    FULL_SHAPES,
    SMALL_SHAPE,
    raw_trace,
    simulate,
    simulate_set,
    simulate_trace,
)
from spikefinder_keras.competition.tables import file_name, read_csv
from spikefinder_keras.constants import SPLIT_LENGTH
from spikefinder_keras.datasets import DATASETS, trace_lengths
from spikefinder_keras.errors import OutputError, UsageError
from spikefinder_keras.simulation.indicators import QUICK_INDICATORS

SETS = [("train", n) for n in range(1, 11)] + [("test", n) for n in range(1, 6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("simulated"), seed=3)


def read(folder, split, number):
    path = folder / f"spikefinder.{split}"
    return [read_csv(path / file_name(split, number, kind)) for kind in ("calcium", "spikes")]


def digests(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*.csv")
    }


def test_files_are_the_competitions(folder):
    expected = {
        f"spikefinder.{split}/{number}.{split}.{kind}.csv"
        for split, number in SETS
        for kind in ("calcium", "spikes")
    }
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {*expected, "simulated.json"}
    assert sum((folder / name).stat().st_size for name in files) < 8_000_000


@pytest.mark.parametrize(("split", "number"), SETS)
def test_tables_are_shaped_as_the_competitions(folder, split, number):
    calcium, spikes = read(folder, split, number)
    rows, neurons, shortest = SMALL_SHAPE
    assert calcium.shape == spikes.shape == (rows, neurons)
    lengths = trace_lengths(calcium)
    assert lengths.max() == rows
    assert lengths.min() == shortest
    behind_the_end = np.arange(rows)[:, None] >= lengths
    np.testing.assert_array_equal(np.isnan(calcium), behind_the_end)
    np.testing.assert_array_equal(np.isnan(spikes), behind_the_end)
    counts = spikes[~behind_the_end]
    np.testing.assert_array_equal(counts, counts.astype(int))
    assert counts.min() == 0


def test_cells_are_written_as_in_the_competition(folder):
    lines = (folder / "spikefinder.train" / "4.train.calcium.csv").read_text().splitlines()
    assert lines[0] == "0,1,2"
    assert len(lines[1].split(",")[0].lstrip("-0.").replace(".", "")) in (11, 12)
    assert "" in lines[-1].split(",")
    spikes = (folder / "spikefinder.train" / "4.train.spikes.csv").read_text()
    assert set(spikes) <= set("0123456789,\n")


def test_same_seed_gives_the_same_files(folder, tmp_path):
    simulate(tmp_path, "small", 3)
    assert digests(tmp_path) == digests(folder)


def test_each_neuron_has_its_own_random_numbers(folder):
    first, _ = simulate_set(7, *SMALL_SHAPE, seed=3)
    np.testing.assert_allclose(read(folder, "train", 7)[0], first, rtol=1e-11)
    for other in (
        simulate_set(7, *SMALL_SHAPE, seed=4)[0],
        simulate_set(7, *SMALL_SHAPE, seed=3, split="test")[0],
        simulate_set(8, *SMALL_SHAPE, seed=3)[0],
    ):
        assert not (other == first).any()
    assert not (first[:, 0] == first[:, 1]).any()


def test_full_size_has_the_competitions_shapes():
    assert {split: max(rows for rows, _, _ in FULL_SHAPES[split]) for split in FULL_SHAPES} == (
        SPLIT_LENGTH
    )
    assert sum(neurons for _, neurons, _ in FULL_SHAPES["train"]) == 174
    assert sum(neurons for _, neurons, _ in FULL_SHAPES["test"]) == 32


@pytest.mark.parametrize("neurons", [1, 2, 9])
def test_lengths_lie_within_the_stated_range(neurons):
    lengths = trace_lengths(simulate_set(6, 900, neurons, 500)[0])
    assert lengths.max() == 900
    assert lengths.min() == (500 if neurons > 1 else 900)


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.number)
def test_mean_rate_is_the_published_one(dataset):
    rng = np.random.default_rng(dataset.number)
    calcium, spikes = simulate_trace(dataset.number, 1_000, rng)
    assert calcium.shape == spikes.shape == (100_000,)
    assert spikes.sum() / 1_000 == pytest.approx(dataset.rate, rel=0.2)


def test_small_sets_keep_the_published_rates(folder):
    for split, number in SETS:
        rate = 100 * np.nanmean(read(folder, split, number)[1])
        assert rate == pytest.approx(DATASETS[number - 1].rate, rel=0.5)


@pytest.mark.parametrize("number", range(1, 11))
def test_calcium_follows_spikes(number):
    calcium, spikes = simulate_trace(number, 200, np.random.default_rng(number))
    lags = np.arange(-50, 51)  # Samples; positive where calcium comes after the spikes
    correlation = [np.corrcoef(np.roll(calcium, -lag), spikes)[0, 1] for lag in lags]
    assert lags[np.argmax(correlation)] > 0
    assert max(correlation) > 0.1
    # On the scale of 0.1 s the slope tells the spikes clearly, but far from perfectly.
    slope, rate = gaussian_filter1d(calcium, 10, order=1), gaussian_filter1d(spikes, 10)
    correlation = [np.corrcoef(np.roll(slope, -lag), rate)[0, 1] for lag in lags]
    assert abs(lags[np.argmax(correlation)]) <= 15
    assert 0.15 < max(correlation) < 0.95


@pytest.mark.parametrize("number", range(1, 11))
def test_calcium_is_scaled_as_the_competitions(number):
    calcium, _ = simulate_trace(number, 200, np.random.default_rng(20))
    # Resampling moves the percentiles a little
    np.testing.assert_allclose(np.percentile(calcium, [5, 80]), [0.0, 1.0], atol=0.15)


def test_spikes_come_in_bursts_but_respect_the_refractory_time():
    _, spikes = simulate_trace(5, 500, np.random.default_rng(0))
    per_second = spikes.reshape(500, 100).sum(axis=1)
    assert per_second.var() / per_second.mean() > 2
    assert spikes.max() <= 5


def test_one_spike_gives_the_indicators_amplitude():
    class Mean:
        """Random numbers without randomness: the average neuron, no noise, no drift."""

        def normal(self, size=None):
            return np.zeros(size or ())

        def uniform(self, low, high):
            return 0.0

    for number, dataset in enumerate(DATASETS, 1):
        indicator = QUICK_INDICATORS[dataset.indicator]
        trace = raw_trace(np.array([1.0]), 2_000, 500.0, indicator, CONDITIONS[number], Mean())
        np.testing.assert_allclose(trace[:500], 0.0, atol=1e-12)
        # Spikes differ log-normally, so the typical one is below the average one
        assert 0.7 * indicator.amplitude < trace.max() < indicator.amplitude
        assert trace[-1] < 0.2 * trace.max()


def test_silent_neuron():
    calcium, spikes = simulate_trace(4, 30, np.random.default_rng(0), rate=0)
    assert not spikes.any()
    assert np.isfinite(calcium).all()


def test_progress_is_shown_on_stderr(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("spikefinder_keras.competition.simulated_data.SMALL_SHAPE", (200, 2, 100))
    assert simulate(str(tmp_path), progress=True) == tmp_path
    shown = capsys.readouterr()
    assert "/15 [" in shown.err
    assert shown.out == ""
    simulate(tmp_path)
    assert capsys.readouterr().err == ""


def test_other_files_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("spikefinder_keras.competition.simulated_data.SMALL_SHAPE", (200, 2, 100))
    other = tmp_path / "spikefinder.train" / "notes.txt"
    other.parent.mkdir()
    other.write_text("mine")
    simulate(tmp_path)
    assert other.read_text() == "mine"


def test_unusable_arguments(tmp_path):
    with pytest.raises(UsageError, match=r"'huge' does not exist; choose one of small, full"):
        simulate(tmp_path / "new", size="huge")
    for seed in (-1, 0.5, "a"):
        with pytest.raises(UsageError, match="seed"):
            simulate(tmp_path / "new", seed=seed)
    assert not (tmp_path / "new").exists()
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="dataset 11"):
        simulate_trace(11, 10, rng)
    for duration in (0, -1, np.nan, np.inf):
        with pytest.raises(UsageError, match="duration"):
            simulate_trace(1, duration, rng)
    with pytest.raises(UsageError, match="spikes per s"):
        simulate_trace(1, 10, rng, rate=-1)
    with pytest.raises(UsageError, match="lengths"):
        simulate_set(1, 100, 2, 200)


def test_folder_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OutputError, match="choose another"):
        simulate(file)
    (tmp_path / "spikefinder.train").write_text("")
    with pytest.raises(OutputError, match="choose another"):
        simulate(tmp_path)
