"""True spikes beside the rates: in their places, and scored as `score` does."""

from dataclasses import replace

import numpy as np
import pytest

from spikefinder_keras import score
from spikefinder_keras.competition.tables import write_csv
from spikefinder_keras.errors import DataError
from spikefinder_keras.recordings.inputs import as_recording
from spikefinder_keras.recordings.recording import Prediction
from spikefinder_keras.view.source import PredictionSource
from spikefinder_keras.view.truth import TruthSource, read_truth

NEURONS = 3


def prediction(frame_rate, seconds=60, start=0.0):
    rng = np.random.default_rng(0)
    frames = int(seconds * frame_rate)
    times = start + np.arange(frames) / frame_rate
    recording = as_recording(rng.normal(size=(NEURONS, frames)), frame_rate, times)
    return Prediction(np.abs(rng.normal(size=(frames, NEURONS))).astype("f4"), recording)


def counts(rows, seed=1):
    return np.random.default_rng(seed).poisson(0.02, (rows, NEURONS)).astype(float)


def test_at_100_hz_it_is_what_the_command_says(tmp_path):
    made, truth = prediction(100.0), counts(6_000)
    truth[5_000:, 1] = np.nan  # a neuron that ends early, as in the competition
    write_csv(tmp_path / "t.csv", truth)
    found = read_truth(tmp_path / "t.csv", made)
    np.testing.assert_allclose(found.scores(made), score(truth, np.asarray(made.table)).values)


def test_of_frames_and_of_samples_of_10_ms(tmp_path):
    made = prediction(20.0, start=3.0)
    fine = counts(6_000)
    write_csv(tmp_path / "fine.csv", fine)
    frames = fine.reshape(1_200, 5, NEURONS).sum(axis=1)
    write_csv(tmp_path / "frames.csv", frames)
    found, same = (read_truth(tmp_path / f"{name}.csv", made) for name in ("fine", "frames"))
    np.testing.assert_array_equal(found.counts, frames)
    np.testing.assert_array_equal(same.counts, frames)
    # Slower than 25 Hz: of each frame.
    expected = score(frames, np.asarray(made.table), downsample=1).values
    np.testing.assert_allclose(found.scores(made), expected)
    first = np.flatnonzero(fine[:, 0])[0]
    np.testing.assert_allclose(found.times[0][0], 3.0 - 0.025 + (first + 0.5) / 100)


def test_by_time_stamps_and_names(tmp_path):
    """Of some neurons alone, in another order; a spike in a pause is in no frame."""
    made = prediction(20.0)
    times = np.r_[np.arange(600), np.arange(900, 1_500)] / 20
    names = ["a", "b", "c"]
    recording = as_recording(np.ones((3, 1_200)) * times, 20.0, times, names=names)
    made = replace(made, recording=recording)
    (tmp_path / "t.csv").write_text("time (s),c,a\n0.05,1,0\n30.0,0,5\n35.0,4,0\n50.0,0,2\n")
    found = read_truth(tmp_path / "t.csv", made)
    assert np.nansum(found.counts, axis=0).tolist() == [2, 0, 1]
    assert np.isnan(found.counts[:, 1]).all()
    assert [len(each) for each in found.times] == [7, 0, 5]


@pytest.mark.parametrize(("table", "message"), [
    (np.full((1_200, 3), 0.5), "holds no numbers of spikes"),
    (-counts(1_200), "holds no numbers of spikes"),
    (counts(2_000), "neither 1200 frames nor 6000 samples of 10 ms"),
    (counts(1_200)[:, :2], None),
    (np.hstack([counts(1_200), counts(1_200)]), "has neurons that"),
])  # fmt: skip
def test_a_truth_of_something_else(tmp_path, table, message):
    write_csv(tmp_path / "t.csv", table)
    if message is None:
        read_truth(tmp_path / "t.csv", prediction(20.0))
        return
    with pytest.raises(DataError, match=message):
        read_truth(tmp_path / "t.csv", prediction(20.0))


def test_the_source_has_it_beside_the_rates(tmp_path):
    made, truth = prediction(20.0), counts(1_200)
    write_csv(tmp_path / "t.csv", truth)
    plain = PredictionSource(made)
    source = TruthSource(plain, read_truth(tmp_path / "t.csv", made))
    assert source.names == plain.names
    assert len(source.table()["score"]) == NEURONS
    found = source.window(1, 10.0, 20.0, 500)
    np.testing.assert_array_equal(found["rate"], plain.window(1, 10.0, 20.0, 500)["rate"])
    assert len(found["truth"]) == truth[200:401, 1].sum()
    assert (found["truth"] >= 10).all()
