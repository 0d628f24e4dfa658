"""What was written is read back as it was, from every format; and what is no result is refused."""

import json
from dataclasses import asdict, replace

import h5py
import numpy as np
import pytest

from spikefinder_keras import predict, read_recording
from spikefinder_keras.errors import DataError, SpikefinderError, UsageError
from spikefinder_keras.recordings.formats import write_prediction
from spikefinder_keras.recordings.formats.results import read_result, with_recording
from spikefinder_keras.recordings.recording import LazyTable

RATE, FRAMES = 30.0, 1_500
NAMES = ("a", "<script>alert(1)</script>", "7", "=1+1", "time")
FORMATS = (".csv", ".npy", ".npz", ".mat", ".zarr")


def traces(neurons=5):
    rng = np.random.default_rng(0)
    table = rng.normal(0, 0.1, (neurons, FRAMES))
    for trace in table[:-1]:  # the last neuron never fires, and is full of noise
        for first in rng.integers(0, FRAMES - 60, 20):
            trace[first : first + 60] += np.exp(-np.arange(60) / 15)
    table[2] = 1.0  # no data: empty rates
    return table.astype(np.float32)


@pytest.fixture(scope="module")
def prediction():
    return predict(traces(), RATE, names=NAMES, spikes=True)


def nwb_file(folder, neurons=5):
    path = folder / "a.nwb"
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        table = file.create_group("processing/ophys/ImageSegmentation/Plane")
        table.attrs["neurodata_type"] = "PlaneSegmentation"
        table["id"] = np.arange(neurons) + 10
        made = file.create_group("processing/ophys/DfOverF/Series")
        made.parent.attrs["neurodata_type"] = "DfOverF"
        made.attrs["neurodata_type"] = "RoiResponseSeries"
        made["data"] = traces(neurons).T
        made["rois"] = np.arange(neurons)
        made["rois"].attrs["table"] = table.ref
        made["starting_time"] = 2.0
        made["starting_time"].attrs["rate"] = RATE
    return path


def assert_same(found, made):
    np.testing.assert_array_equal(np.asarray(found.table), np.asarray(made.table))
    np.testing.assert_allclose(found.times, made.times, atol=1e-9)
    assert (found.names, found.recording.frame_rate) == (made.names, RATE)
    assert found.description["weights"] == made.description["weights"]
    for times, expected in zip(found.spike_times, made.spike_times, strict=True):
        np.testing.assert_allclose(times, expected, atol=1e-9)
    assert found.recording.fluorescence.shape == made.table.shape


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("in_memory", [64 << 20, 1_000])
def test_what_was_written_is_read_back(tmp_path, prediction, suffix, in_memory):
    path = write_prediction(tmp_path / f"r{suffix}", prediction)
    found = read_result(path, in_memory=in_memory)
    assert_same(found, prediction)
    stays = suffix in (".npy", ".zarr") and in_memory == 1_000
    assert isinstance(found.table, LazyTable) == stays
    assert found.quality.certainty == prediction.quality.certainty
    assert found.quality.warnings == prediction.quality.warnings
    for neuron, expected in zip(found.quality.neurons, prediction.quality.neurons, strict=True):
        for name, value in asdict(expected).items():
            got = getattr(neuron, name)
            same = (
                value == got if isinstance(value, str) else np.isclose(got, value, equal_nan=True)
            )
            assert same, name


def test_of_uneven_times(tmp_path):
    times = np.arange(FRAMES) / RATE + 5
    times[700:] += 20
    made = predict(traces(), times=times, spikes=True)
    for suffix in FORMATS:
        found = read_result(write_prediction(tmp_path / f"r{suffix}", made))
        np.testing.assert_allclose(found.times, times, atol=1e-6)
        assert len(found.recording.segments) == 2


def test_of_nwb_beside_its_source(tmp_path):
    source = nwb_file(tmp_path)
    made = predict(source, spikes=True)
    path = write_prediction(tmp_path / "r.nwb", made, source)
    found = read_result(path)
    assert_same(found, made)
    np.testing.assert_allclose(found.times[0], 2.0)
    write_prediction(path, made, path)  # a second series beside the first
    with pytest.raises(UsageError, match="several series of rates; name one"):
        read_result(path)
    assert_same(read_result(path, variable="SpikeRates_Series"), made)


def test_of_suite2p_whose_rows_are_rois(tmp_path):
    cells = np.array([[1, 0.9], [0, 0.2], [1, 0.8], [1, 0.7], [0, 0.1]])
    np.save(tmp_path / "F.npy", 100 * (1 + traces()))
    np.save(tmp_path / "Fneu.npy", np.ones((len(NAMES), FRAMES), np.float32))
    np.save(tmp_path / "iscell.npy", cells)
    made = predict(tmp_path, RATE)
    path = write_prediction(tmp_path / "rates.npy", made)
    found = read_result(path)
    assert np.load(path).shape == (5, FRAMES)
    assert found.names == ("0", "2", "3")
    np.testing.assert_array_equal(np.asarray(found.table), np.nan_to_num(np.asarray(made.table)))


def test_of_the_competitions_form(tmp_path):
    table = np.abs(traces()[:2].T)
    np.savetxt(tmp_path / "c.csv", table, delimiter=",", header="0,1", comments="")
    made = predict(tmp_path / "c.csv", unit="competition", weights="described")
    found = read_result(write_prediction(tmp_path / "r.csv", made))
    assert found.recording.frame_rate == 100
    np.testing.assert_allclose(np.asarray(found.table), np.asarray(made.table), rtol=1e-6)


def test_results_without_quality_are_read(tmp_path, prediction):
    """As those of earlier versions."""
    path = write_prediction(tmp_path / "r.csv", prediction)
    beside = tmp_path / "r.csv.json"
    about = json.loads(beside.read_text())
    del about["quality"]
    beside.write_text(json.dumps(about))
    assert read_result(path).quality.neurons == ()


@pytest.mark.parametrize("suffix", [*FORMATS, ".nwb", ".txt", ""])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"a,b\n1,2\n", b"PK\x03\x04zip"])
def test_what_is_no_result(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(SpikefinderError, match=r"a(\.\w+)?\b"):
        read_result(path)


@pytest.mark.parametrize(
    "change",
    [{"names": 5}, {"names": ["a"]}, {"frame_rate": "x"}, {"quality": [1]}, {"quality": {}},
     {"spike_times": [[1.0]]}, {"spike_times": "x"}, {"description": 3}, {"times": ["x"]},
     {"times": [1.0]}],
)  # fmt: skip
def test_descriptions_that_do_not_fit(tmp_path, prediction, change):
    path = write_prediction(tmp_path / "r.npy", prediction)
    beside = tmp_path / "r.npy.json"
    beside.write_text(json.dumps(json.loads(beside.read_text()) | change))
    with pytest.raises(SpikefinderError):
        read_result(path)


def test_with_its_recording(tmp_path, prediction):
    np.savez(tmp_path / "a.npz", dff=traces(), names=np.array(NAMES), fs=RATE)
    path = write_prediction(tmp_path / "r.npz", prediction)
    recording = replace(read_recording(tmp_path / "a.npz"), names=NAMES)
    found = with_recording(read_result(path), recording)
    np.testing.assert_array_equal(found.recording.traces[:, 0], traces()[0])
    # An array names nobody: by their places.
    np.save(tmp_path / "a.npy", traces())
    found = with_recording(read_result(path), read_recording(tmp_path / "a.npy", RATE))
    assert found.names == NAMES
    expected = traces().T
    expected[:, 2] = np.nan  # it never changes, so it is no data
    np.testing.assert_array_equal(found.recording.traces, expected)
    # Of a recording of more neurons those of the same names.
    few = replace(prediction, table=prediction.table[:, [0, 3]])
    few = replace(few, recording=prediction.recording.part([0, 3]), spike_times=None)
    few = replace(few, quality=replace(few.quality, neurons=()))
    path = write_prediction(tmp_path / "few.npz", few)
    found = with_recording(read_result(path), recording)
    np.testing.assert_array_equal(found.recording.traces, traces()[[0, 3]].T)


def test_times_that_were_stated_stay_with_the_rates(tmp_path):
    """The array that they were stated of knows none."""
    times = 1000 + np.arange(1500) / RATE
    times[700:] += 60
    np.save(tmp_path / "a.npy", traces())
    path = write_prediction(tmp_path / "r.npz", predict(traces(), times=times))
    found = with_recording(read_result(path), read_recording(tmp_path / "a.npy", RATE))
    np.testing.assert_allclose(found.recording.times, times, atol=1e-9)
    assert len(found.recording.segments) == 2


def test_recordings_of_others(tmp_path, prediction):
    path = write_prediction(tmp_path / "r.npz", prediction)
    made = read_result(path)
    np.save(tmp_path / "short.npy", traces()[:, :-3])
    np.save(tmp_path / "other.npy", traces(9))
    with pytest.raises(DataError, match=r"1497 frames, but .* 1500; name the recording"):
        with_recording(made, read_recording(tmp_path / "short.npy", RATE))
    with pytest.raises(DataError, match="has 9 neurons, and not the 5 of"):
        with_recording(made, read_recording(tmp_path / "other.npy", RATE))
