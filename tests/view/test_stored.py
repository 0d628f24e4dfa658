"""A result that stays in its file shows the same as one in memory; its pyramid is made once."""

import os
import shutil

import numpy as np
import pytest

from spikefinder_keras import predict
from spikefinder_keras.errors import DataError, OutputError
from spikefinder_keras.files.downloads import cache_folder
from spikefinder_keras.recordings.formats import write_prediction
from spikefinder_keras.view import pyramid, source
from spikefinder_keras.view.source import COLUMNS, PredictionSource, StoredSource, open_source

NEURONS, FRAMES, RATE = 7, 6_000, 20.0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    traces = rng.normal(0, 0.1, (NEURONS, FRAMES)).astype(np.float32)
    for trace in traces:
        for first in rng.integers(0, FRAMES - 60, 40):
            trace[first : first + 60] += np.exp(-np.arange(60) / 15)
    traces[1, 1_000:2_000] = np.nan
    traces[2] = 1.0
    np.save(folder / "a.npy", traces)
    for suffix in (".zarr", ".npy"):
        made = predict(folder / "a.npy", RATE, spikes=True)
        write_prediction(folder / f"r{suffix}", made)
    return folder


@pytest.fixture
def few(made, tmp_path, monkeypatch):
    """A copy of it, of which everything stays in its file, and bins that are wider than a frame."""
    shutil.copytree(made, tmp_path / "x")
    monkeypatch.setenv("SPIKEFINDER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(source, "IN_MEMORY", 20_000)
    monkeypatch.setattr(pyramid, "MEANS", 100)
    monkeypatch.setattr(source, "MEANS", 100)
    monkeypatch.setattr(pyramid, "BINS", 500)
    monkeypatch.setattr(pyramid, "AT_A_TIME", 4 * 3 * FRAMES)
    return tmp_path / "x"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".zarr", ".npy"])
def test_it_shows_what_one_in_memory_shows(few, suffix):
    stored = open_source(few / f"r{suffix}", few / "a.npy")
    assert isinstance(stored, StoredSource)
    plain = PredictionSource(stored.prediction)
    for name in ("names", "frame_rate", "frames", "start", "segments", "unit"):
        assert getattr(stored, name) == getattr(plain, name)
    table = stored.table()
    assert {name: str(table[name]) for name in COLUMNS} == {
        name: str(values) for name, values in plain.table().items()
    }
    assert sorted(table["likeness"]) == [*range(NEURONS)]
    np.testing.assert_allclose(stored.overview(100), plain.overview(100), rtol=1e-5)
    for neuron in range(NEURONS):
        np.testing.assert_array_equal(stored.limits(neuron), plain.limits(neuron))
        # Near: the same samples. Far: the least and the largest of each bin.
        for start, end in ((100.0, 130.0), (0.0, 5.0), (290.0, 299.95)):
            one, other = (each.window(neuron, start, end, 1_000) for each in (stored, plain))
            for name, values in one.items():
                np.testing.assert_array_equal(values, other[name], err_msg=name)
        far, whole = stored.window(neuron, 0, 300, 400), plain.window(neuron, 0, 300, 10**6)
        assert len(far["rate"]) <= 500
        np.testing.assert_array_equal(far["spikes"], whole["spikes"])
        for time, name in (("time", "trace"), ("rate_time", "rate")):
            assert (np.diff(far[time]) > 0).all()
            known = np.isfinite(far[name])
            if not known.any():
                assert not np.isfinite(whole[name]).any()
                continue
            assert np.isin(far[name][known], whole[name]).all()  # real samples
            for function in (np.nanmin, np.nanmax):
                assert function(far[name]) == function(whole[name])
            # Each near where it was: within a bin.
            for at, value in zip(far[time][known], far[name][known], strict=True):
                there = whole[time][whole[name] == value]
                assert np.abs(there - at).min() <= FRAMES / 500 / RATE


def test_it_is_made_once_and_anew_after_a_change(few):
    def state(path):
        return (path / "about.json").stat().st_ino

    place = few / "r.npy.view"
    open_source(few / "r.npy")
    first = state(place)
    assert not (place / "trace.npy").exists()
    open_source(few / "r.npy")
    assert state(place) == first
    open_source(few / "r.npy", few / "a.npy")  # now the traces, too
    second = state(place)
    assert second != first
    open_source(few / "r.npy")  # of which nothing is lost without the recording
    assert state(place) == second
    assert (place / "trace.npy").exists()
    os.utime(few / "a.npy")
    open_source(few / "r.npy")
    assert state(place) == second
    open_source(few / "r.npy", few / "a.npy")
    third = state(place)
    assert third != second
    os.utime(few / "r.npy")
    open_source(few / "r.npy", few / "a.npy")
    assert state(place) != third
    assert sorted(path.name for path in few.iterdir()) == [
        "a.npy", "r.npy", "r.npy.json", "r.npy.view", "r.zarr"
    ]  # fmt: skip


@pytest.mark.parametrize("damage", ["short", "no json", "other shape", "missing"])
def test_a_damaged_one_is_made_anew(few, damage):
    place = few / "r.npy.view"
    before = open_source(few / "r.npy").overview(100)
    if damage == "short":
        (place / "means.npy").write_bytes((place / "means.npy").read_bytes()[:-7])
    elif damage == "no json":
        (place / "about.json").write_text("[" * 100_000)
    elif damage == "other shape":
        np.save(place / "rates.npy", np.zeros((3, 3), np.float32))
    else:
        (place / "places.npy").unlink()
    if damage == "no json":  # whose it is nobody knows: it stays
        after = open_source(few / "r.npy")
        assert after.pyramid.folder.is_relative_to(cache_folder())
    np.testing.assert_array_equal(open_source(few / "r.npy").overview(100), before)


def test_what_stands_in_its_place_is_left_alone(few):
    place = few / "r.npy.view"
    place.mkdir()
    (place / "mine.txt").write_text("mine")
    found = open_source(few / "r.npy")
    assert found.pyramid.folder.is_relative_to(cache_folder())
    assert [path.name for path in place.iterdir()] == ["mine.txt"]
    first = (found.pyramid.folder / "about.json").stat().st_ino
    assert (open_source(few / "r.npy").pyramid.folder / "about.json").stat().st_ino == first


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write everywhere")
def test_where_the_folder_cannot_be_written(few):
    few.chmod(0o555)
    try:
        assert open_source(few / "r.npy").pyramid.folder.is_relative_to(cache_folder())
    finally:
        few.chmod(0o755)


def test_a_pyramid_that_can_be_kept_nowhere(few, monkeypatch):
    monkeypatch.setattr(pyramid, "_may_write", lambda place: False)
    with pytest.raises(OutputError, match=r"neither beside it nor in .*SPIKEFINDER_CACHE"):
        open_source(few / "r.npy")


def test_small_results_need_none(made, monkeypatch):
    found = open_source(made / "r.npy", made / "a.npy")
    assert type(found) is PredictionSource
    assert not (made / "r.npy.view").exists()


def test_another_recording_is_refused(few):
    np.save(few / "b.npy", np.load(few / "a.npy")[:, :-5])
    with pytest.raises(DataError, match="5995 frames"):
        open_source(few / "r.npy", few / "b.npy")


def test_what_was_looked_at_is_kept_and_bounded(few, monkeypatch):
    stored = open_source(few / "r.npy", few / "a.npy")
    read = []
    monkeypatch.setattr(
        PredictionSource, "_neuron",
        lambda self, neuron: (read.append(neuron), (np.zeros(FRAMES), np.zeros(FRAMES)))[1],
    )  # fmt: skip
    monkeypatch.setattr(source, "KEPT", 3 * 2 * 8 * FRAMES)
    for neuron in (0, 1, 0, 2, 0, 3, 0, 1):
        stored.window(neuron, 10.0, 20.0, 1_000)
    assert read == [0, 1, 2, 3, 1]
    assert len(stored.kept) == 3
