"""Tables of Python's own kinds bring their orientation, names and time stamps."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from spikefinder_keras.errors import DataError
from spikefinder_keras.recordings.inputs import as_recording

TRACES = np.random.default_rng(0).random((3, 200))
TIMES = 5 + np.arange(200) / 20


def check(recording, names=("0", "1", "2"), rate=20, orientation=None):
    np.testing.assert_allclose(recording.fluorescence.T, TRACES)
    assert recording.names == tuple(names)
    assert recording.frame_rate == pytest.approx(rate)
    assert orientation in (None, recording.orientation)


def test_arrays_are_neuron_x_frame_and_tables_frame_x_neuron():
    check(as_recording(TRACES, 20), orientation="neuron-time")
    check(as_recording(TRACES.tolist(), 20), orientation="neuron-time")
    frame = pd.DataFrame(TRACES.T, columns=["a", "b", "c"])
    check(as_recording(frame, 20), "abc", orientation="time-neuron")
    check(as_recording(TRACES.T, times=TIMES), orientation="time-neuron")
    for wrong in (TRACES.T, frame.T):
        with pytest.raises(DataError, match=r"state the orientation \(--orientation\)"):
            as_recording(wrong, 20)
    check(as_recording(TRACES.T, 20, orientation="time-neuron"))
    check(as_recording(frame.T, 20, orientation="neuron-time"), "abc")
    assert as_recording(TRACES[0], 20).fluorescence.shape == (200, 1)


def test_masked_arrays():
    masked = np.ma.masked_less(TRACES, 0.1)
    recording = as_recording(masked, 20)
    np.testing.assert_array_equal(np.isnan(recording.fluorescence.T), TRACES < 0.1)
    assert "masked values: taken as missing" in recording.notes[0]
    recording = as_recording(np.ma.masked_equal(np.arange(20).reshape(2, 10), 3), 20)
    assert np.isnan(recording.fluorescence).sum() == 1


@pytest.mark.parametrize("kind", ["Float64", "Float32", "float32"])
def test_data_frames(kind):
    frame = pd.DataFrame(TRACES.T, columns=[4, 7, 9]).astype(kind)
    frame.iloc[3, 1] = pd.NA if kind[0] == "F" else np.nan
    recording = as_recording(frame, 20)
    assert recording.names == ("4", "7", "9")
    assert np.isnan(recording.fluorescence[3, 1])
    assert np.isnan(recording.fluorescence).sum() == 1


@pytest.mark.parametrize(
    "index",
    [
        TIMES,
        pd.Timestamp("2026-03-01") + pd.to_timedelta(TIMES, unit="s"),
        pd.date_range("2026-03-29", periods=200, freq="50ms", tz="Europe/Berlin"),
        pd.to_timedelta(TIMES, unit="s"),
        pd.Index(np.arange(200) * 0.05, name="time"),
    ],
    ids=["seconds", "dates", "dates of a zone", "differences", "named"],
)
def test_an_index_of_times(index):
    check(as_recording(pd.DataFrame(TRACES.T, index=index)))


def test_an_index_that_counts_is_no_time():
    frame = pd.DataFrame(TRACES.T, index=np.arange(1, 201))
    check(as_recording(frame, 20))
    with pytest.raises(Exception, match="does not tell its frame rate"):
        as_recording(frame)
    with pytest.raises(DataError, match="values that are no numbers in the columns name"):
        as_recording(frame.assign(name="x"), 20)


def test_pynapple():
    pynapple = pytest.importorskip("pynapple")
    frame = pynapple.TsdFrame(t=TIMES, d=TRACES.T, columns=[4, 7, 9])
    recording = as_recording(frame)
    check(recording, "479", orientation="time-neuron")
    np.testing.assert_allclose(recording.times, TIMES)
    assert as_recording(pynapple.Tsd(t=np.arange(200.0), d=TRACES[0])).frame_rate == 1


def test_xarray():
    xarray = pytest.importorskip("xarray")
    coordinates = {"unit_id": [3, 5, 9], "frame": np.arange(200)}
    array = xarray.DataArray(TRACES, dims=("unit_id", "frame"), coords=coordinates)
    check(as_recording(array, 20), "359", orientation="neuron-time")
    check(as_recording(array.T, 20), "359", orientation="time-neuron")
    times = xarray.DataArray(1000 * TIMES, dims="time", attrs={"units": "ms"})
    array = xarray.DataArray(TRACES.T, dims=("time", "roi"), coords={"time": times})
    recording = as_recording(array)
    check(recording, orientation="time-neuron")
    np.testing.assert_allclose(recording.times, TIMES)


def test_lists():
    recording = as_recording([[1.0, None, 2.0, 0.5], [3.0, 1.0, 2.0, 4.0]], 20)
    assert np.isnan(recording.fluorescence).sum() == 1
    with pytest.raises(DataError, match="its rows are of different length"):
        as_recording([[1.0, 2.0], [1.0]], 20)


def test_times_and_names():
    start = datetime(2026, 3, 1, tzinfo=UTC)
    steps = [timedelta(seconds=0.05 * k) for k in range(200)]
    for times in (
        [start + step for step in steps],
        [start.replace(tzinfo=None) + step for step in steps],
        steps,
        np.array(steps, "timedelta64[us]"),
        np.datetime64("2026-03-01") + np.array(steps, "timedelta64[us]"),
        pd.Series(TIMES),
    ):
        check(as_recording(TRACES, times=times))
    for names in (["a", "b", "c"], np.array(["a", "b", "c"]), pd.Index(list("abc"))):
        check(as_recording(TRACES, 20, names=names), "abc")
    check(as_recording(TRACES, 20, names=[1.0, 2.0, 3.0]), "123")
    with pytest.raises(DataError, match="3 neurons and 2 different names; give each neuron"):
        as_recording(TRACES, 20, names=["a", "b"])
