"""Tables of Python's own kinds bring their orientation, names and time stamps."""

from datetime import UTC, datetime, timedelta

import h5py
import numpy as np
import pandas as pd
import pytest

from spikefinder_keras.errors import DataError, SpikefinderError, UsageError
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


def test_an_orientation_that_makes_time_stamps_those_of_neurons():
    frame = pd.DataFrame(TRACES.T, index=TIMES, columns=list("abc"))
    with pytest.raises(DataError, match="has 3 frames but 200 time stamps, as it has neurons"):
        as_recording(frame, orientation="neuron-time")
    with pytest.raises(DataError, match=r"or state the other \(--orientation\)"):
        as_recording(TRACES, times=TIMES, orientation="time-neuron")


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
    with pytest.raises(DataError, match="values that are no numbers in the columns 0"):
        as_recording(frame.astype({0: object}).replace({0: {frame.iloc[3, 0]: "x"}}), 20)


def test_columns_of_several_levels():
    """Called as two header rows of a file are."""
    columns = pd.MultiIndex.from_product([["a", "b", "c"], ["dff", "raw"]])
    frame = pd.DataFrame(np.repeat(TRACES, 2, axis=0).T, columns=columns)
    check(as_recording(frame, 20), ["a dff", "b dff", "c dff"])
    frame.index = pd.Index(TIMES, name="time")
    check(as_recording(frame), ["a dff", "b dff", "c dff"])


def test_numbers_that_are_stored_as_objects():
    """As pandas has them after a table with text has been turned."""
    frame = pd.DataFrame(TRACES.T, columns=list("abc")).assign(note="x")
    turned = frame.T.T
    assert set(map(str, turned.dtypes)) == {"object"}
    one = frame.drop(columns="note").astype({"b": object})
    for table in (turned, one, {name: one[name].to_numpy() for name in "abc"}):
        check(as_recording(table, 20), "abc")
    wide = pd.DataFrame(TRACES, columns=[f"frame{k}" for k in range(200)]).astype(object)
    check(as_recording(wide, 20))


def test_columns_without_a_name_beside_some_that_have_one():
    frame = pd.DataFrame(TRACES.T)
    found = as_recording(frame.assign(time=TIMES))
    check(found, "012")
    np.testing.assert_allclose(found.times, TIMES)
    for beside in ({"speed": TRACES[0]}, {"name": "x"}):
        found = as_recording(frame.assign(**beside), 20)
        check(found, "012")
        assert f"the column {next(iter(beside))!r}" in found.notes[0]


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


# Objects of other libraries

SECONDS = np.arange(200) / 20


class OnDevice:
    """As CuPy's array, or torch's that needs a gradient: no copy in silence."""

    shape, dtype, ndim = TRACES.shape, TRACES.dtype, 2

    def __array__(self, *arguments, **options):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")


class Detached:
    """As torch's tensor."""

    def detach(self):
        return self

    def cpu(self):
        return TRACES


class Column:
    """As polars' Series."""

    def __init__(self, name, values):
        self.name, self.values = name, values

    def to_numpy(self):
        return self.values


class Frame:
    """As polars' DataFrame."""

    def __init__(self, columns):
        self.columns = [*columns]
        self.get_columns = lambda: [Column(name, values) for name, values in columns.items()]


def test_arrays_of_other_libraries():
    with pytest.raises(DataError, match=r"cannot be copied from where it is.*x\.get\(\)"):
        as_recording(OnDevice(), 20)
    check(as_recording(Detached(), 20))
    check(as_recording(np.matrix(TRACES), 20))
    check(as_recording((row for row in TRACES), 20))
    check(as_recording(TRACES.astype(object), 20))
    rows = np.empty(3, object)
    rows[:] = list(TRACES)
    check(as_recording(rows, 20))
    with pytest.raises(DataError, match="is no table"):
        as_recording([TRACES[0], TRACES[1][:9]], 20)


def test_tables_of_other_libraries():
    columns = dict(zip("abc", TRACES, strict=True))
    check(as_recording(columns, 20), "abc")
    check(as_recording({"Time (ms)": SECONDS * 1000} | columns), "abc")
    check(as_recording(Frame({"time": SECONDS} | columns)), "abc", orientation="time-neuron")
    records = np.rec.fromarrays([SECONDS, *TRACES], names="time,a,b,c")
    check(as_recording(records), "abc")
    with pytest.raises(DataError, match="different length or kind"):
        as_recording({"a": TRACES[0], "b": TRACES[1][:9]}, 20)


@pytest.mark.parametrize("name, scale", [("Time (s)", 1), ("time_ms", 1e3), ("Time [us]", 1e6)])
def test_the_unit_of_an_index(name, scale):
    index = pd.Index(SECONDS * scale, name=name)
    frame = pd.DataFrame(TRACES.T, columns=list("abc"), index=index)
    check(as_recording(frame), "abc")
    check(as_recording(frame.reset_index()), "abc")
    tidy = frame.reset_index().melt(name, var_name="cell", value_name="dff")
    check(as_recording(tidy), "abc")


def test_a_level_of_trials():
    levels = pd.MultiIndex.from_product([range(4), SECONDS[:50]], names=["trial", "time"])
    frame = pd.DataFrame(TRACES.T, columns=list("abc"), index=levels)
    for stated in ({}, {"frame_rate": 20}):
        recording = as_recording(frame, **stated)
        check(recording, "abc")
        assert recording.segment_starts == (0, 50, 100, 150)
    flat = frame.reset_index().drop(columns=["trial", "time"]).assign(odor=np.arange(200) // 100)
    assert as_recording(flat, 20, segments="odor").segment_starts == (0, 100)
    with pytest.raises(UsageError, match="no column smell"):
        as_recording(TRACES, 20, segments="smell")


def test_arrays_in_cells():
    table = pd.DataFrame({"cell_roi_id": [1, 2, 3], "dff": list(TRACES)}, index=[11, 12, 13])
    check(as_recording(table, 20), ["11", "12", "13"])
    check(as_recording(table["dff"], 20), ["11", "12", "13"])
    with pytest.raises(UsageError, match=r"several columns of arrays.*table\['dff'\]"):
        as_recording(table.assign(f=list(TRACES)), 20)


def test_what_xarray_says_elsewhere():
    xarray = pytest.importorskip("xarray")
    coordinates = {"cell": list("abc"), "time": ("frame", SECONDS * 1000, {"units": "ms"})}
    array = xarray.DataArray(TRACES, dims=("cell", "frame"), coords=coordinates, name="dff")
    check(as_recording(array), "abc", orientation="neuron-time")
    check(as_recording(array.to_dataset()), "abc")
    check(as_recording(xarray.DataArray(TRACES, dims=("cell", "frame"), attrs={"fps": 20.0})))
    with pytest.raises(UsageError, match=r"several arrays.*ds\['dff'\]"):
        as_recording(xarray.Dataset({"dff": array, "raw": array}))
    # Times and trials that nobody has made coordinates.
    variables = {"dff": (("cell", "frame"), TRACES), "time": ("frame", SECONDS)}
    variables["trial"] = ("frame", np.arange(200) // 50)
    recording = as_recording(xarray.Dataset(variables))
    check(recording)
    assert recording.segment_starts == (0, 50, 100, 150)
    trials = TRACES.reshape(3, 4, 50).transpose(1, 0, 2)
    array = xarray.DataArray(
        trials, dims=("trial", "cell", "time"), coords={"time": SECONDS[:50], "cell": list("abc")}
    )
    recording = as_recording(array)
    check(recording, "abc")
    assert recording.segment_starts == (0, 50, 100, 150)


def test_neo_and_quantities():
    neo, quantities = pytest.importorskip("neo"), pytest.importorskip("quantities")
    signal = neo.AnalogSignal(TRACES.T, units="V", sampling_rate=0.02 * quantities.kHz)
    check(as_recording(signal), orientation="time-neuron")
    check(as_recording(TRACES, 20 * quantities.Hz))
    check(as_recording(TRACES, times=SECONDS * 1000 * quantities.ms))


def test_a_table_that_is_not_computed_yet():
    """As polars' LazyFrame."""

    class Lazy:
        def collect_schema(self):
            raise AssertionError

        def collect(self):
            return pd.DataFrame({"time": SECONDS, **dict(zip("abc", TRACES, strict=True))})

    check(as_recording(Lazy()), "abc")


def test_what_holds_arrays(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["dff"] = TRACES
        check(as_recording(file["dff"], 20))
        with pytest.raises(DataError, match=r"is a group \(dff\); give one of its arrays, or its"):
            as_recording(file, 20)
    with (tmp_path / "a.h5").open("rb") as file, pytest.raises(DataError, match="give its path"):
        as_recording(file, 20)


def test_epochs_of_pynapple():
    pynapple = pytest.importorskip("pynapple")
    frame = pynapple.TsdFrame(t=SECONDS, d=TRACES.T)
    epochs = pynapple.IntervalSet([0, 5], [3, 9.97])
    assert as_recording(frame.restrict(epochs)).segment_starts == (0, 61)


def test_times_as_text():
    stamps = [str(pd.Timestamp("2026-03-01") + pd.Timedelta(seconds=s)) for s in SECONDS]
    check(as_recording(TRACES, times=stamps))
    for wrong in (["now"] * 200, [object()] * 200):
        with pytest.raises(DataError, match="the times are no numbers and no dates"):
            as_recording(TRACES, times=wrong)


def test_public_functions_name_parameters(tmp_path):
    """Whatever is handed to them ends as a result or a `SpikefinderError`."""
    import spikefinder_keras as public

    np.save(tmp_path / "a.npy", TRACES)
    for arguments, options, message in (
        ((TRACES,), {"fps": 30}, "predict has no fps; did you mean frame_rate"),
        ((tmp_path / "a.npy",), {"frame_rte": 30}, "has no frame_rte; did you mean frame_rate"),
        ((TRACES,), {}, r"state it in Hz \(frame_rate\)"),
        ((tmp_path / "a.npy",), {}, r"state it in Hz \(frame_rate\)"),
        ((20, TRACES), {}, "the frame rate is an array; give time stamps as times"),
        ((object(), 20), {}, "give"),
        ((TRACES, 20), {"indicator": ["GCaMP6f"]}, r"'GCaMP6f'.* give a text \(indicator\)"),
        ((TRACES, 20), {"delay": "10"}, r"'10' cannot be used; give a number \(delay\)"),
        ((TRACES, 20), {"dataset": 1.5}, r"give a whole number \(dataset\)"),
        ((TRACES, 20), {"memory": "1GB"}, r"give a whole number \(memory\)"),
        ((TRACES, 20), {"weights": 3}, "weights are no int; give a name, a file or"),
    ):
        with pytest.raises(SpikefinderError, match=message) as raised:
            public.predict(*arguments, **options)
        assert "--" not in str(raised.value)
    for function, arguments, options in (
        (public.read_recording, (tmp_path / "a.npy",), {"fs": 30}),
        (public.read_recording, (3,), {}),
        (public.score, (TRACES,), {}),
        (public.write_prediction, (TRACES, tmp_path / "a.csv"), {}),
    ):
        with pytest.raises(SpikefinderError):
            function(*arguments, **options)
