"""What a number means, which column is a neuron and where a trial begins, as people's files say it.

Every test builds its own files, after situations of public reports.
"""

import pickle
import struct
from importlib.util import find_spec

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import PchipInterpolator
from scipy.io import netcdf_file, savemat

from spikefinder_keras.errors import DataError, SpikefinderError, UsageError
from spikefinder_keras.files.csv import read_table
from spikefinder_keras.recordings.formats import read_recording
from spikefinder_keras.recordings.inputs import as_recording
from spikefinder_keras.recordings.options import PredictOptions, ReadOptions
from spikefinder_keras.recordings.pipeline import Task, predict

NEURONS, FRAMES, RATE = 3, 240, 15.0
RNG = np.random.default_rng(1)
DFF = np.array(
    [np.convolve(RNG.poisson(0.05, FRAMES), np.exp(-np.arange(30) / 8))[:FRAMES] for _ in "abc"]
) + RNG.normal(0, 0.05, (NEURONS, FRAMES))
TIMES = np.arange(FRAMES) / RATE
HALF = FRAMES // 2


def csv(path, columns, **options):
    pd.DataFrame(columns).to_csv(path, index=False, **options)
    return path


def named(traces=DFF, names="abc"):
    return dict(zip(names, traces, strict=True))


def refused(path, message, error=SpikefinderError, **stated):
    with pytest.raises(error, match=message) as raised:
        read_recording(path, **stated)
    assert "\n" not in str(raised.value)


def check(recording, traces=DFF, rate=RATE, starts=(0,), names=None, tolerance=1e-12):
    """Traces, frame rate and segments are those of the plain array, so the rates are, too."""
    np.testing.assert_allclose(recording.fluorescence.T, traces, rtol=0, atol=tolerance)
    assert recording.frame_rate == pytest.approx(rate, rel=1e-5)
    assert recording.segment_starts == starts
    assert names is None or recording.names == tuple(names)
    return recording.notes


# Which column is a neuron


@pytest.mark.parametrize("step", [1, 1 / RATE])
@pytest.mark.parametrize("x, y", [("x{:04d}", "y{:04d}"), ("X{}", "Y{}")])
def test_pairs_of_x_and_y(tmp_path, step, x, y):
    columns = {}
    for k in range(NEURONS):
        columns |= {x.format(k): np.arange(FRAMES) * step, y.format(k): DFF[k]}
    stated = {"frame_rate": RATE} if step == 1 else {}
    recording = read_recording(csv(tmp_path / "a.csv", columns), **stated)
    notes = check(recording, names=[y.format(k) for k in range(NEURONS)])
    assert any(x.format(1) in note and "left out" in note for note in notes)


@pytest.mark.parametrize("header, scale", [("Time{} (s)", 1), ("Prof {} Time(ms)", 1000)])
@pytest.mark.parametrize("offset", [0, 0.002])
def test_a_time_column_for_each_trace(tmp_path, header, scale, offset):
    columns = {}
    for k in range(NEURONS):
        columns |= {header.format(k + 1): (TIMES + k * offset) * scale, f"ROI{k}": DFF[k]}
    notes = check(read_recording(csv(tmp_path / "a.csv", columns)), names=["ROI0", "ROI1", "ROI2"])
    assert sum("is time by its name: left out" in note for note in notes) == 2


def test_rows_that_take_turns_between_lights(tmp_path):
    two = np.zeros((NEURONS, 2 * FRAMES))
    two[:, 1::2] = DFF
    two[:, ::2] = RNG.normal(3, 0.1, DFF.shape)
    lights = np.arange(2 * FRAMES) % 2 + 1
    columns = {"FrameCounter": np.arange(2 * FRAMES), "SystemTimestamp": np.arange(480) / 30}
    columns |= {"LedState": lights, "ComputerTimestamp": np.arange(480) / 30e-3} | named(two)
    path = csv(tmp_path / "a.csv", columns)
    refused(path, r"'LedState' takes turns between 1 and 2.*\(--variable LedState=2\)", DataError)
    notes = check(read_recording(path, variable="LedState=2"), names="abc")
    assert any("240 of 480 rows" in note for note in notes)
    refused(path, "in no row", UsageError, variable="LedState=7")
    refused(path, "holds one recording only", UsageError, variable="dff")


def test_columns_that_are_no_neuron(tmp_path):
    columns = {"timestamps": TIMES, "data": DFF[0], "sampling_rate": [RATE, *[""] * (FRAMES - 1)]}
    columns |= {"DI/O-1": np.arange(FRAMES) % 90 < 9, "unnamed state": np.arange(FRAMES) // 100}
    columns["DI/O-1"] = columns["DI/O-1"].astype(int)
    path = csv(tmp_path / "a.csv", columns)
    notes = check(read_recording(path), DFF[:1], names=["data"])
    assert "the column 'sampling_rate' holds the frame rate, 15 Hz" in notes
    assert any("'unnamed state' has a handful of values" in note for note in notes)
    del columns["timestamps"]
    check(read_recording(csv(path, columns)), DFF[:1])
    lights = {"time": TIMES, "Region0_415": DFF[1], "Region0_470": DFF[0]}
    notes = check(read_recording(csv(path, lights)), DFF[:1])
    assert any("Region0_415" in note and "isosbestic" in note for note in notes)
    # A number alone is a neuron's, unless nm stands behind it.
    for name, left in (("415nm", DFF[:1]), ("415", DFF[:2]), ("F 405 nm (V)", DFF[:1])):
        lights = {"time": TIMES, "roi": DFF[0], name: DFF[1]}
        check(read_recording(csv(path, lights)), left)


SPIKES = np.where(RNG.random(DFF.shape) < 0.1, 3.7 * np.abs(DFF), 0.0)


@pytest.mark.parametrize(
    "read, left",
    [
        ("cell{}_dff", ["cell{}_raw"]),
        ("Cell {} dF/F", ["Cell {} F", "Cell {} Fneu"]),
        ("F{}", ["Fneu{}"]),
        ("roi{}", ["roi{}_spikes", "roi{}_neuropil"]),
        ("fluorescence.{}", ["events.{}"]),
        ("cell{}_ratio", ["cell{}_F340", "cell{}_F380"]),
        ("Ch{}", ["Ch{} smoothed"]),
        ("c{}_raw", ["c{}_zscore", "c{}_filtered"]),
    ],
)
@pytest.mark.parametrize("axis", ["file", "table in memory"])
def test_several_quantities_of_each_neuron(tmp_path, read, left, axis):
    columns = {"time": TIMES, **{read.format(k): DFF[k] for k in range(NEURONS)}}
    for count, other in enumerate(left):
        # Of some only: spikes are recorded of few cells.
        columns |= {other.format(k): SPIKES[k] + count for k in range(NEURONS - count)}
    names = [read.format(k) for k in range(NEURONS)]
    if axis == "file":
        notes = check(read_recording(csv(tmp_path / "a.csv", columns)), names=names)
    else:
        notes = check(predict(pd.DataFrame(columns)).recording, names=names)
    (line,) = (note for note in notes if "several quantities of a neuron" in note)
    assert line.endswith("left out")


def test_a_quantity_that_is_stated(tmp_path):
    both = {f"{k}_{name}": values[k] for k in range(NEURONS) for name, values in
            {"dff": SPIKES, "raw": DFF, "deconvolved": SPIKES}.items()}  # fmt: skip
    path = csv(tmp_path / "a.csv", {"time": TIMES} | both)
    check(read_recording(path, variable="raw"), names=[f"{k}_raw" for k in range(NEURONS)])
    refused(path, "holds one recording only", UsageError, variable="df")
    csv(path, {"time": TIMES, "df_1": DFF[0], "dff_1": DFF[1]})
    refused(path, r"df and dff of a neuron; say which is to be read \(--variable\)", UsageError)
    for one, other in (("340", "380"), ("Green", "Red"), ("ch1", "ch2")):
        both = {f"roi{k}_{n}": DFF[k] + (n == other) for k in range(NEURONS) for n in (one, other)}
        csv(path, {"time": TIMES} | both)
        refused(path, r"of a neuron; say which is to be read \(--variable\)", UsageError)
        check(read_recording(path, variable=one), names=[f"roi{k}_{one}" for k in range(NEURONS)])
    for names in (["spikes_1", "spikes_2"], ["C_1", "C_2", "S_1", "S_2"], ["deconvolved"]):
        csv(path, {"time": TIMES, **{name: DFF[k % 3] for k, name in enumerate(names)}})
        refused(path, "is no fluorescence any more; give the fluorescence or dF/F", DataError)


@pytest.mark.parametrize(
    "names", [list("abcf"), ["a1", "a2", "c1", "c2", "f1", "f2", "s1"], ["roi_b", "roi_c", "roi_f"]]
)
def test_letters_of_neurons_are_no_quantities(tmp_path, names):
    traces = DFF[np.arange(len(names)) % NEURONS]
    path = csv(tmp_path / "a.csv", {"time": TIMES} | dict(zip(names, traces, strict=True)))
    check(read_recording(path), traces, names=names)


@pytest.mark.parametrize("cells", ["abc", [7, 8, 12]])
@pytest.mark.parametrize("axis", ["time", "frame"])
@pytest.mark.parametrize(
    "beside", [["raw"], ["x", "y"], ["spikes"], ["Fneu", "mouse"], ["x", "raw", "spikes", "mouse"]]
)
def test_long_tables_of_several_values(tmp_path, cells, axis, beside):
    """Never one trace after another for a neuron."""
    other = {"raw": 100 + SPIKES.ravel(), "spikes": (SPIKES > 0).ravel() * 1, "mouse": "m1"}
    other |= {"Fneu": other["raw"], "x": np.repeat([5.5, 70, 31], FRAMES)}
    other["y"] = other["x"] + 3
    at = TIMES if axis == "time" else np.arange(FRAMES)
    columns = {"cell": np.repeat([*cells], FRAMES), axis: np.tile(at, NEURONS)}
    columns |= {name: other[name] for name in beside} | {"dff": DFF.ravel()}
    stated = {"frame_rate": RATE} if axis == "frame" else {}
    path = csv(tmp_path / "a.csv", columns)
    notes = check(read_recording(path, **stated), names=[*map(str, cells)])
    assert any("their dff by" in note for note in notes)
    del columns["dff"]
    columns |= {"signal a": SPIKES.ravel(), "signal b": DFF.ravel()}
    path = csv(tmp_path / "a.csv", {k: v for k, v in columns.items() if k != "raw"})
    if "Fneu" not in beside and "spikes" not in beside:
        line = r"a long table of signal a and signal b; say which is to be read \(--variable\)"
        refused(path, line, UsageError, **stated)
    check(read_recording(path, variable="signal b", **stated), names=[*map(str, cells)])


def test_no_value_is_chosen_where_tables_are_taken_as_they_are(tmp_path):
    """True spikes are no fluorescence, so nothing there is better than they."""
    columns = {"cell": np.repeat([1, 2, 3], FRAMES), "time": np.tile(TIMES, NEURONS)}
    path = csv(tmp_path / "a.csv", columns | {"dff": DFF.ravel(), "spikes": SPIKES.ravel()})
    assert {"dff", "spikes"} <= {*read_table(path).names}


def test_a_wide_table_with_a_cell(tmp_path):
    whole = np.round(10 * DFF)
    path = csv(tmp_path / "a.csv", {"time": TIMES, "cell": whole[0], "b": DFF[1], "c": DFF[2]})
    check(read_recording(path), [whole[0], *DFF[1:]], names=["cell", "b", "c"])


def test_columns_that_sum_up_others(tmp_path):
    sums = {"Mean": DFF.mean(axis=0), "SEM": DFF.std(axis=0)}
    path = csv(tmp_path / "a.csv", {"time": TIMES} | named() | sums)
    notes = check(read_recording(path), names="abc")
    assert "the column 'SEM' sums up others by its name: left out" in notes
    # ImageJ's table of one ROI has its mean alone.
    csv(path, {"time": TIMES, "Area": 314.5, "Mean": DFF[0], "Min": DFF[0] - 1})
    check(read_recording(path), DFF[:1], names=["Mean"])


def test_spikes_are_no_fluorescence(tmp_path):
    spikes = (SPIKES > 0) * 1.0
    spikes[1] = 0  # a silent one
    np.save(tmp_path / "a.npy", spikes)
    csv(tmp_path / "a.csv", {"time": TIMES} | named(spikes))
    line = "no neuron has more than 4 different values, as spikes and states have"
    for source, stated in ((tmp_path / "a.npy", RATE), (spikes, RATE), (tmp_path / "a.csv", None)):
        with pytest.raises(DataError, match=line):
            predict(source, stated)
    assert predict(np.vstack([spikes, DFF[:1]]), RATE).rates.shape == (NEURONS + 1, FRAMES)
    # Of one that never changes nothing is known, so it is left empty.
    assert predict(np.ones((2, FRAMES)), RATE).rates.shape == (2, FRAMES)


def test_a_dead_neuron_is_still_one(tmp_path):
    recording = read_recording(csv(tmp_path / "a.csv", {"time": TIMES, "a": DFF[0], "b": 0.0}))
    assert recording.names == ("a", "b")


# Trials and sessions


TRIALS = (0, 60, 120, 180)


@pytest.mark.parametrize("name", ["trial", "Session", "trial_id"])
@pytest.mark.parametrize("axis", ["time", "frame", None])
def test_a_column_of_trials(tmp_path, name, axis):
    columns = {name: np.repeat([1, 2, 3, 7], 60)}
    if axis is not None:
        columns[axis] = np.tile(TIMES[:60], 4) if axis == "time" else np.arange(FRAMES) % 60
    columns |= named()
    stated = {} if axis == "time" else {"frame_rate": RATE}
    recording = read_recording(csv(tmp_path / "a.csv", columns), **stated)
    notes = check(recording, starts=TRIALS, names="abc")
    assert (np.diff(recording.times) > 0).all()
    assert any("4 segments" in note for note in notes)


def test_what_changes_all_the_time_is_no_trial(tmp_path):
    columns = {"time": TIMES, "trial": np.arange(FRAMES) % 5} | named()
    check(read_recording(csv(tmp_path / "a.csv", columns)), names="abc")


def test_time_stamps_that_start_anew(tmp_path):
    anew = np.r_[TIMES[:HALF], TIMES[:HALF]]
    path = csv(tmp_path / "a.csv", {"time": anew} | named())
    recording = read_recording(path)
    notes = check(recording, starts=(0, HALF))
    np.testing.assert_allclose(recording.times, TIMES)
    assert any("start anew at 1 frame, 120: 2 segments" in note for note in notes)
    np.savez(tmp_path / "a.npz", dff=DFF, time=anew)
    check(read_recording(tmp_path / "a.npz"), starts=(0, HALF))


def test_segments_as_stated(tmp_path):
    np.save(tmp_path / "a.npy", DFF)
    for segments, starts in (
        ("60", TRIALS), (60, TRIALS), ("0,120", (0, 120)), ("120", (0, 120)), ([120], (0, 120)),
    ):  # fmt: skip
        recording = read_recording(tmp_path / "a.npy", frame_rate=RATE, segments=segments)
        notes = check(recording, starts=starts)
        assert f"{len(starts)} segments, as stated" in notes
    for wrong, message in (("trial", "no column trial"), ("0,9999", "cannot begin"), (1.5, "give")):
        refused(tmp_path / "a.npy", message, UsageError, frame_rate=RATE, segments=wrong)
    columns = {"time": TIMES, "odor": np.repeat([3.5, 1, 3.5, 2], 60)} | named()
    path = csv(tmp_path / "a.csv", columns)
    check(read_recording(path, segments="odor"), starts=TRIALS, names="abc")
    refused(path, "has no column smell", UsageError, segments="smell")
    np.savez(tmp_path / "b.npz", dff=DFF, fs=RATE, odor=columns["odor"])
    check(read_recording(tmp_path / "b.npz", segments="odor"), starts=TRIALS)
    np.savez(tmp_path / "b.npz", dff=DFF, fs=RATE, trial=np.repeat([1, 2, 3, 4], 60))
    check(read_recording(tmp_path / "b.npz"), starts=TRIALS)


def test_segments_are_predicted_each_by_itself():
    whole = predict(DFF, frame_rate=RATE, segments=HALF).table
    for part in (slice(0, HALF), slice(HALF, None)):
        alone = predict(DFF[:, part], frame_rate=RATE).table
        assert whole[part].shape == alone.shape


# Units


@pytest.mark.parametrize(
    "header, scale",
    [("Time (us)", 1e6), ("time [ns]", 1e9), ("time_min", 1 / 60), ("Time (h)", 1 / 3600)],
)
def test_units_of_headers(tmp_path, header, scale):
    path = csv(tmp_path / "a.csv", {header: TIMES * scale} | named())
    check(read_recording(path))


def test_a_row_of_units(tmp_path):
    path = csv(tmp_path / "a.csv", {"time": TIMES * 1000} | named())
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], "ms,dF/F,dF/F,dF/F", *lines[1:]]))
    check(read_recording(path))


@pytest.mark.parametrize("first", [45356.4, 739317.4])
def test_days(tmp_path, first):
    path = csv(tmp_path / "a.csv", {"time": first + TIMES / 86400} | named())
    recording = read_recording(path)
    assert recording.frame_rate == pytest.approx(RATE, rel=1e-4)
    assert any("are days" in note for note in recording.notes)


def test_minutes_and_seconds_of_a_clock(tmp_path):
    stamps = [f"{int(t) // 60}:{t % 60:06.3f}" for t in TIMES]
    path = csv(tmp_path / "a.csv", {"time": stamps} | named())
    assert read_recording(path).frame_rate == pytest.approx(RATE, rel=1e-3)
    stamps = [f"{k // 60:02d}:{k % 60:02d}" for k in range(FRAMES)]
    path = csv(tmp_path / "a.csv", {"time": stamps} | named())
    assert read_recording(path).frame_rate == 1


def netcdf(path, values, attributes, time=None, units=None):
    with h5py.File(path, "w") as file:
        file.attrs["_NCProperties"] = "version=2"
        axis = file.create_dataset("time", data=np.arange(FRAMES) if time is None else time)
        axis.make_scale("time")
        if units:
            axis.attrs["units"] = units
        ids = file.create_dataset("unit_id", data=np.arange(NEURONS))
        ids.make_scale("unit_id")
        data = file.create_dataset("fluorescence", data=values)
        for name, value in attributes.items():
            data.attrs[name] = value
        for k, scale in enumerate((ids, axis)):
            data.dims[k].attach_scale(scale)
    return path


def test_packed_values(tmp_path):
    gaps = DFF.copy()
    gaps[1, 50:53] = np.nan
    packed = np.where(np.isfinite(gaps), np.round(gaps / 0.001), -32768).astype("i2")
    packing = {"scale_factor": [0.001], "add_offset": 2.0, "_FillValue": np.int16(-32768)}
    path = netcdf(tmp_path / "a.nc", packed, packing)
    expected = np.where(np.isfinite(gaps), np.round(gaps / 0.001) * 0.001 + 2, np.nan)
    check(read_recording(path, frame_rate=RATE), expected)
    for name, fill in (
        ("missing_value", -9999.0),
        ("_FillValue", 1e20),
        ("", 9.969209968386869e36),
    ):
        filled = np.where(np.isfinite(gaps), gaps, fill).astype("f4")
        path = netcdf(tmp_path / "b.nc", filled, {name: np.float32(fill)} if name else {})
        check(read_recording(path, frame_rate=RATE), gaps, tolerance=1e-6)


@pytest.mark.parametrize(
    "units, scale",
    [
        ("minutes", 1 / 60), ("nanoseconds", 1e9), ("milliseconds since 2024-03-05 10:00", 1e3),
        ("s", 1),
    ],
)  # fmt: skip
def test_units_of_netcdf(tmp_path, units, scale):
    path = netcdf(tmp_path / "a.nc", DFF, {}, TIMES * scale, units)
    check(read_recording(path))


def test_netcdf_3(tmp_path):
    with netcdf_file(tmp_path / "a.nc", "w") as file:
        for name, size in (("cell", NEURONS), ("time", FRAMES)):
            file.createDimension(name, size)
        time = file.createVariable("time", "d", ("time",))
        time[:], time.units = TIMES * 1000, "ms"
        data = file.createVariable("fluorescence", "d", ("cell", "time"))
        data[:] = DFF
    check(read_recording(tmp_path / "a.nc"))


def test_zarr_as_xarray_packs(tmp_path):
    zarr = pytest.importorskip("zarr")
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    for name, values, dimensions, fill in (
        ("dff", np.where(DFF > 0.8, -1, np.round(DFF * 1000)).astype("i2"), ["cell", "time"], -1),
        ("time", TIMES * 1e3, ["time"], None),
    ):
        array = root.create_array(name, data=values, fill_value=fill)
        array.attrs["_ARRAY_DIMENSIONS"] = dimensions
        array.attrs.update({"scale_factor": 0.001} if name == "dff" else {"units": "ms"})
    expected = np.where(DFF > 0.8, np.nan, np.round(DFF * 1000) * 0.001)
    expected[np.round(DFF * 1000) == -1] = np.nan
    check(read_recording(tmp_path / "a.zarr"), expected)


# Numbers of time stamps


def test_other_numbers_of_time_stamps(tmp_path):
    for count, message in (
        (FRAMES + 2, "--frame-rate"),
        (2 * FRAMES, "twice as many: are they of"),
    ):
        np.savez(tmp_path / "a.npz", dff=DFF, time=np.arange(count) / RATE)
        refused(tmp_path / "a.npz", message, DataError)
        check(read_recording(tmp_path / "a.npz", frame_rate=RATE))
    np.savez(tmp_path / "a.npz", dff=DFF, time=(TIMES * 1e9).astype(np.int64))
    refused(tmp_path / "a.npz", "are these ns?", UsageError)


# Tables of other programs


def test_neurons_in_rows(tmp_path):
    frame = pd.DataFrame(DFF, columns=[f"{t:.6f}" for t in TIMES])
    frame.to_csv(tmp_path / "a.csv")
    check(read_recording(tmp_path / "a.csv"), names="012")
    frame.to_csv(tmp_path / "a.csv", index=False)
    check(read_recording(tmp_path / "a.csv"))
    many = np.tile(DFF, (100, 1)) + RNG.normal(0, 0.02, (300, FRAMES))
    pd.DataFrame(many).to_csv(tmp_path / "a.csv", index=False)
    refused(tmp_path / "a.csv", "go on along the rows.*--orientation", UsageError, frame_rate=RATE)
    stated = {"frame_rate": RATE, "orientation": "neuron-time"}
    check(read_recording(tmp_path / "a.csv", **stated), many)
    many = many[:150]
    pd.DataFrame(many.T).to_csv(tmp_path / "a.csv", index=False)
    check(read_recording(tmp_path / "a.csv", frame_rate=RATE), many)


FRAMES_CALLED = {
    "frame": [f"frame{k}" for k in range(FRAMES)],
    "t": [f"t_{k:04d}" for k in range(FRAMES)],
    "s": [f"{t:.6f}" for t in TIMES],
    "with s": [f"{t:.6f} s" for t in TIMES],
    "with ms": [f"t={1_000 * t:.6f}ms" for t in TIMES],
    "numbers": [*map(str, range(FRAMES))],
    "F": [f"F_{k}" for k in range(FRAMES)],
}


@pytest.mark.parametrize("called", FRAMES_CALLED)
@pytest.mark.parametrize(
    "before, behind, names",
    [
        ({}, {}, "012"),
        ({"id": [4, 7, 9]}, {}, "479"),
        ({"id": [4, 7, 9], "x": [1.5, 2.5, 3.5], "y": [7, 8, 9]}, {"area": [9, 8, 9]}, "479"),
        ({"x": [1.5, 2.5, 3.5], "y": [7, 8, 9]}, {}, "012"),
        ({"cell": [*"pqr"], "group": ["wt", "wt", "ko"], "snr": [3, 2, 1]}, {}, "pqr"),
        ({"group": ["wt", "wt", "ko"], "cell": [*"pqr"]}, {"layer": ["2/3", "5", "5"]}, "pqr"),
    ],
)
def test_what_is_said_of_neurons_in_rows_is_no_frame(tmp_path, called, before, behind, names):
    """Where each lies and what it is, beside its trace."""
    traces = dict(zip(FRAMES_CALLED[called], DFF.T, strict=True))
    path = csv(tmp_path / "a.csv", before | traces | behind)
    stated = {} if called in ("s", "with s", "with ms") else {"frame_rate": RATE}
    if called in ("numbers", "F"):
        if "cell" not in [*before][:1]:  # else the first column says that rows are neurons
            refused(path, "--orientation|is not a number: '2/3'", **stated)
        stated["orientation"] = "neuron-time"
    table = pd.read_csv(path)
    found = [read_recording(path, **stated)]
    if before or behind or called not in ("numbers", "s"):
        found.append(as_recording(table, **stated))
    for recording in found:
        notes = check(recording, names=names)
        left = [name for name in before | behind if name not in ("id", "cell")]
        assert all(any(repr(n) in note and "left out" in note for note in notes) for n in left)


def test_columns_that_count_without_being_frames(tmp_path):
    """A dozen samples of something, beside time stamps; two parts of a recording."""
    many = np.tile(DFF, (4, 1)) + RNG.normal(0, 0.01, (12, FRAMES))
    columns = {"time": TIMES} | {f"sample {k}": trace for k, trace in enumerate(many)}
    check(read_recording(csv(tmp_path / "a.csv", columns)), many)
    parts = [f"rest_{k}" for k in range(HALF + 50)] + [f"run_{k}" for k in range(HALF - 50)]
    pd.DataFrame(DFF, columns=parts, index=pd.Index([*"abc"], name="cell")).to_csv(
        tmp_path / "a.csv"
    )
    check(read_recording(tmp_path / "a.csv", frame_rate=RATE), names="abc")


@pytest.mark.parametrize("delimiter", [" ", ",", "\t"])
@pytest.mark.parametrize("turned", [False, True])
def test_what_savetxt_writes(tmp_path, delimiter, turned):
    np.savetxt(tmp_path / "a.txt", DFF.T if turned else DFF, delimiter=delimiter)
    check(read_recording(tmp_path / "a.txt", frame_rate=RATE), names="012")


def test_blanks_below_names(tmp_path):
    pd.DataFrame({"time": TIMES} | named()).to_csv(tmp_path / "a.txt", sep=" ", index=False)
    check(read_recording(tmp_path / "a.txt"), names="abc")


@pytest.mark.parametrize(
    "corner, header, rate",
    [
        ("time (s)", TIMES, None),
        ("time (ms)", np.arange(FRAMES) * 64, None),
        ("Frame", np.arange(FRAMES), 15.625),
        ("", np.arange(FRAMES), 15.625),
    ],
)
def test_a_corner_called_as_the_header_goes_on(tmp_path, corner, header, rate):
    """In a turned table the first cell may be called as what stands to its right, not below it."""
    frame = pd.DataFrame(DFF, columns=header, index=pd.Index(list("abc"), name=corner))
    frame.to_csv(tmp_path / "a.csv")
    found = read_recording(tmp_path / "a.csv", frame_rate=rate)
    notes = check(found, rate=RATE if corner == "time (s)" else 15.625, names="abc")
    assert notes[0].startswith("neurons are rows, named by the first column")
    frame.index = list("abb")
    frame.to_csv(tmp_path / "a.csv", index_label=corner)
    if corner:  # without it what stands twice may be text
        refused(tmp_path / "a.csv", "row 2, column 1 .* is not a number: 'a'", frame_rate=rate)
    # With fewer columns these are neurons, and the texts stand for frames.
    labels = pd.Index([f"image {k}" for k in range(FRAMES)], name=corner or "time")
    pd.DataFrame(DFF.T, index=labels).to_csv(tmp_path / "a.csv")
    refused(tmp_path / "a.csv", "row 2, column 1 .* is not a number: 'image 0'", frame_rate=RATE)


def test_two_header_rows(tmp_path):
    columns = pd.MultiIndex.from_product([["m1"], ["c0", "c1", "c2"]])
    frame = pd.DataFrame(DFF.T, columns=columns)
    frame.to_csv(tmp_path / "a.csv", index=False)
    check(read_recording(tmp_path / "a.csv", frame_rate=RATE), names=["c0", "c1", "c2"])
    frame.columns = pd.MultiIndex.from_tuples([("m1", "c0"), ("m1", "c1"), ("m2", "c0")])
    frame.to_csv(tmp_path / "a.csv", index=False)
    names = ["m1 c0", "m1 c1", "m2 c0"]
    check(read_recording(tmp_path / "a.csv", frame_rate=RATE), names=names)


def test_summary_rows(tmp_path):
    path = csv(tmp_path / "a.csv", {"time": TIMES.round(6)} | named())
    text = path.read_text() + "\n,,,\nMean,0.1,0.2,0.3\nStdDev,1,1,1\n"
    path.write_text(text)
    assert any("summary" in note for note in check(read_recording(path)))


def test_marks_of_thousands(tmp_path):
    values = np.round(DFF * 1000 + 3000, 2)
    for form in ('"{:,.2f}"', "{:,.2f}"):
        separator = "," if form[0] == '"' else ";"
        lines = [separator.join(form.format(v) for v in row) for row in values.T]
        (tmp_path / "a.csv").write_text("\n".join([separator.join("abc"), *lines]) + "\n")
        check(read_recording(tmp_path / "a.csv", frame_rate=RATE), values)
    swapped = [line.translate(str.maketrans(",.", ".,")) for line in lines]
    (tmp_path / "a.csv").write_text("\n".join(["a;b;c", *swapped]) + "\n")
    check(read_recording(tmp_path / "a.csv", frame_rate=RATE), values)


@pytest.mark.parametrize("neuron", ["cell", "Soma"])
def test_tidy_tables(tmp_path, neuron):
    frame = pd.DataFrame({"Time (s)": TIMES} | named(names=["z", "y", "x"]))
    tidy = frame.melt("Time (s)", var_name=neuron, value_name="dff").assign(animal="m1")
    tidy.to_csv(tmp_path / "a.csv", index=False)
    check(read_recording(tmp_path / "a.csv"), names="zyx")


def test_octave(tmp_path):
    text = ["# Created by Octave 8.4.0, <user@host>", "# name: dff", "# type: matrix"]
    text += [f"# rows: {NEURONS}", f"# columns: {FRAMES}"]
    text += [" " + " ".join(f"{v:.17g}" for v in row) for row in DFF]
    text += ["", "", "# name: fs", "# type: scalar", "15", "", ""]
    (tmp_path / "a.mat").write_text("\n".join(text))
    check(read_recording(tmp_path / "a.mat"))
    with h5py.File(tmp_path / "b.mat", "w") as file:
        for name, value in (("dff", DFF.T), ("fs", RATE)):
            group = file.create_group(name)
            group.attrs["OCTAVE_NEW_FORMAT"] = np.uint8(1)
            group["value"] = value
    check(read_recording(tmp_path / "b.mat"))


# MATLAB's objects


def opaque(name, kind):
    """A variable of a class, as MATLAB writes it into version 5."""

    def element(code, data):
        return struct.pack("<II", code, len(data)) + data + b"\0" * (-len(data) % 8)

    pointers = element(5, struct.pack("<ii", 6, 1)) + element(1, b"")
    inner = element(6, struct.pack("<II", 13, 0)) + pointers
    inner += element(6, struct.pack("<6I", 0xDD000000, 2, 1, 1, 1, 1))
    names = element(1, name) + element(1, b"MCOS") + element(1, kind)
    return element(14, element(6, struct.pack("<II", 17, 0)) + names + element(14, inner))


def test_objects_of_matlab(tmp_path):
    savemat(tmp_path / "a.mat", {"dff": DFF, "fs": RATE})
    content = (tmp_path / "a.mat").read_bytes()
    added = opaque(b"when", b"datetime") + opaque(b"mouse", b"string")
    (tmp_path / "a.mat").write_bytes(content[:128] + added + content[128:])
    check(read_recording(tmp_path / "a.mat"))
    (tmp_path / "a.mat").write_bytes(content[:128] + opaque(b"T", b"table"))
    refused(tmp_path / "a.mat", r"T is a MATLAB table; save .* table2array\(T\)", DataError)


@pytest.mark.parametrize("kind", ["table", "timetable"])
def test_objects_of_matlab_7_3(tmp_path, kind):
    with h5py.File(tmp_path / "a.mat", "w") as file:
        pointer = file.create_dataset("TT", data=np.array([[0xDD000000, 2, 1, 1, 1, 1]], "u4"))
        pointer.attrs["MATLAB_class"] = np.bytes_(kind)
        pointer.attrs["MATLAB_object_decode"] = np.int32(3)
    refused(tmp_path / "a.mat", f"TT is a MATLAB {kind}", DataError, frame_rate=RATE)


def test_fissa_and_aqua(tmp_path):
    def around(k, part=slice(None)):
        return np.vstack([DFF[k], *[RNG.normal(size=FRAMES) for _ in range(4)]])[:, part]

    parts = {"trial0": slice(0, HALF), "trial1": slice(HALF, None)}
    cells = {f"cell{k}": {t: around(k, p) for t, p in parts.items()} for k in range(NEURONS)}
    savemat(tmp_path / "a.mat", {"result": cells, "raw": cells})
    notes = check(read_recording(tmp_path / "a.mat", frame_rate=RATE), starts=(0, HALF))
    assert "FISSA's result" in notes[0]
    np.savez(tmp_path / "a.npz", **{f"cell{k}": around(k) for k in range(NEURONS)})
    check(read_recording(tmp_path / "a.npz", frame_rate=RATE))
    objects = np.empty((2, 1), object)
    objects[0, 0] = objects[1, 0] = around(0)
    np.savez(tmp_path / "a.npz", result=objects, raw=objects)
    refused(tmp_path / "a.npz", "as FISSA's results do", DataError)
    events = {"dffMat": np.stack([DFF, DFF], 2), "fts": {"loc": np.arange(3.0)}}
    savemat(tmp_path / "a.mat", {"res": events})
    refused(tmp_path / "a.mat", "res.dffMat 3x240x2 is AQuA's", DataError)


# suite2p


def folder(path, planes=1, fs=RATE, **more):
    for plane in range(planes):
        here = path / (f"plane{plane}" if planes else "combined")
        here.mkdir(parents=True)
        for name, values in {"F": DFF + 5, "Fneu": DFF * 0 + RNG.random(DFF.shape), **more}.items():
            np.save(here / f"{name}.npy", values)
        np.save(here / "iscell.npy", np.array([[1, 0.9], [0, 0.1], [1, 0.8]]))
        settings = {"fs": fs, "neucoeff": 0.7, "nplanes": planes}
        np.save(here / "ops.npy", np.array(settings, object), allow_pickle=True)
    return path


def test_the_second_channel(tmp_path):
    second, around = DFF[::-1] + 9, RNG.random(DFF.shape)
    path = folder(tmp_path / "suite2p", F_chan2=second, Fneu_chan2=around)
    recording = read_recording(path, variable="F_chan2")
    check(recording, (second - 0.7 * around)[[0, 2]], names="02")
    assert recording.rate_from == "fs in ops.npy"
    assert any("--variable F_chan2" in note for note in read_recording(path).notes)
    refused(path, "holds one recording only", UsageError, variable="F_chan3")
    alone = read_recording(path / "plane0" / "F_chan2.npy", frame_rate=RATE)
    assert "F_chan2.npy alone: neuropil not subtracted" in alone.notes[0]
    for name in ("Fneu", "Fneu_chan2"):
        refused(path / "plane0" / f"{name}.npy", "is the neuropil around", frame_rate=RATE)
    named_arrays = {"F": DFF + 5, "Fneu": around, "F_chan2": second, "Fneu_chan2": around}
    savemat(tmp_path / "Fall.mat", {**named_arrays, "iscell": np.eye(3)[:, :2] + 1, "fs": RATE})
    recording = read_recording(tmp_path / "Fall.mat", variable="F_chan2", all_rois=True)
    check(recording, second - 0.7 * around)
    assert read_recording(tmp_path / "Fall.mat", all_rois=True).notes[0].startswith("F from F,")


def test_combined_alone_and_planes_of_a_volume(tmp_path):
    path = folder(tmp_path / "a" / "suite2p")
    (path / "plane0").rename(path / "combined")
    assert read_recording(path).names == ("0", "2")
    path = folder(tmp_path / "b" / "suite2p", planes=4)
    together = read_recording(path)
    assert any("scanned one after another, the last 0.05 s" in note for note in together.notes)
    assert together.times[0] == 0
    assert together.offsets == pytest.approx(np.repeat(np.arange(4) / (4 * RATE), 2))
    assert together.part([1, 6]).offsets == pytest.approx([0, 3 / (4 * RATE)])
    assert together.only(np.array([1, 6])).offsets == together.part([1, 6]).offsets
    assert read_recording(path / "plane3").times[0] == pytest.approx(3 / (4 * RATE))
    # The whole volume was scanned before, and nobody knows which neuron is where.
    (tmp_path / "c").mkdir()
    (path / "plane2").rename(tmp_path / "c" / "combined")
    notes = read_recording(tmp_path / "c").notes
    assert any("4 planes were scanned one after another" in note for note in notes)


@pytest.mark.parametrize("options", [{"spikes": True, "delay": 20.0}, {"dataset": 5}])
def test_planes_of_a_volume_are_predicted_at_one_another_s_time_stamps(tmp_path, options):
    rate, planes = 4.0, 5
    path = folder(tmp_path / "suite2p", planes=planes, fs=rate)
    rng = np.random.default_rng(5)
    spikes = np.sort(rng.uniform(0, 120, 30))
    for plane in range(planes):
        at = np.arange(480) / rate + plane / (rate * planes)
        since = at[:, None] - spikes
        trace = np.where(since > 0, np.exp(-np.maximum(since, 0)), 0).sum(axis=1)
        traces = 400 + 200 * trace + rng.normal(0, 6, (3, trace.size))
        np.save(path / f"plane{plane}" / "F.npy", traces.astype(np.float32))
        np.save(path / f"plane{plane}" / "Fneu.npy", traces * 0)
    together = predict(path, **options)
    last = predict(path / f"plane{planes - 1}", **options)
    # Each neuron's rates are those of its plane alone at other times, most of a frame away.
    moved = PchipInterpolator(last.times, last.table[:, 0])(together.times.clip(last.times[0]))
    rates = together.table[:, -2]
    alike = [np.corrcoef(rates, each)[0, 1] for each in (moved, last.table[:, 0])]
    assert alike[0] > 0.97 > alike[1] + 0.1
    if last.spike_times:
        assert together.spike_times[-2] == pytest.approx(last.spike_times[0], abs=0.05)


def test_the_default_frame_rate_of_suite2p_is_said(tmp_path):
    path = folder(tmp_path / "suite2p", fs=10)
    assert any("10 Hz, which is suite2p's default" in note for note in read_recording(path).notes)
    lines = []
    Task(path, ReadOptions(), PredictOptions()).open(lines.append)
    assert "suite2p: 10 Hz, fs in ops.npy" in lines


# HDF5


@pytest.mark.parametrize(
    ("code", "name"),
    [
        # Of a number that nobody has registered there is none anywhere.
        (32222, "a filter"),
        pytest.param(
            32015,
            "Zstandard",
            marks=pytest.mark.skipif(find_spec("hdf5plugin") is not None, reason="it is there"),
        ),
    ],
)
def test_a_filter_that_is_not_there(tmp_path, code, name):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        space = h5py.h5s.create_simple(DFF.shape)
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk(DFF.shape)
        made.set_filter(code, h5py.h5z.FLAG_OPTIONAL, (3,))
        h5py.h5d.create(file.id, b"dff", h5py.h5t.IEEE_F64LE, space, made)
    refused(tmp_path / "a.h5", rf"{name} \(HDF5 filter {code}\).*hdf5plugin", frame_rate=RATE)


def test_a_filter_of_hdf5plugin(tmp_path):
    hdf5plugin = pytest.importorskip("hdf5plugin")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("dff", data=DFF, chunks=True, compression=hdf5plugin.Zstd())
    check(read_recording(tmp_path / "a.h5", frame_rate=RATE))


def test_a_file_that_is_open_elsewhere(tmp_path, monkeypatch):
    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["dff"] = DFF
    with h5py.File(tmp_path / "a.h5", "r+"):
        refused(tmp_path / "a.h5", "another program has it open for writing", frame_rate=RATE)


def nwb(path, kind, namespace, *, rois=False, times=TIMES, unit="seconds"):
    with h5py.File(path, "w") as file:
        file.attrs.update(nwb_version="2.7.0", neurodata_type="NWBFile", namespace="core")
        module = file.create_group("processing/ophys")
        module.attrs.update(neurodata_type="ProcessingModule", namespace="core")
        series = module.create_group("traces")
        series.attrs.update(neurodata_type=kind, namespace=namespace)
        series["data"] = DFF.T
        series["data"].attrs["unit"] = "a.u."
        series["timestamps"] = times
        series["timestamps"].attrs["unit"] = unit
        if rois:
            table = module.create_group("table")
            table.attrs.update(neurodata_type="PlaneSegmentation", namespace="core")
            table["id"] = np.arange(NEURONS)
            series["rois"] = np.arange(NEURONS)
            series["rois"].attrs["table"] = table.ref
    return path


def test_nwb_by_what_a_series_has(tmp_path):
    path = nwb(tmp_path / "a.nwb", "MyDenoisedlessSeries", "ndx-lab", rois=True)
    check(read_recording(path))
    path = nwb(tmp_path / "a.nwb", "FiberPhotometryResponseSeries", "ndx-fiber-photometry")
    assert any("photometry" in note for note in check(read_recording(path)))
    path = nwb(tmp_path / "a.nwb", "ElectricalSeries", "core")
    refused(path, "has no RoiResponseSeries of fluorescence", DataError)


def test_units_and_restarts_in_nwb(tmp_path):
    path = nwb(tmp_path / "a.nwb", "RoiResponseSeries", "core", rois=True, times=TIMES * 1000,
               unit="milliseconds")  # fmt: skip
    check(read_recording(path))
    anew = np.r_[TIMES[:HALF], TIMES[:HALF]]
    path = nwb(tmp_path / "a.nwb", "RoiResponseSeries", "core", rois=True, times=anew)
    check(read_recording(path), starts=(0, HALF))


# What is no file of traces


def test_addresses_and_folders(tmp_path):
    for address in ("https://dandiarchive.org/a.nwb", "s3://bucket/a.nwb"):
        refused(address, "is an address; download the file", DataError)
    np.save(tmp_path / "dff.npy", DFF)
    refused(tmp_path, "name the file, such as dff.npy", DataError)


def test_the_competitions_header_is_asked_about(tmp_path):
    path = tmp_path / "a.csv"
    pd.DataFrame(DFF.T).to_csv(path, index=False)
    with pytest.raises(UsageError, match=r"state --unit competition .* or the --frame-rate"):
        predict(path)
    with pytest.raises(UsageError, match="state --unit competition"):
        Task(path, ReadOptions(), PredictOptions()).open()
    with pytest.raises(UsageError, match="state --unit competition"):
        predict(read_recording(path))
    assert predict(read_recording(path, unit="competition")).recording.unit == "competition"
    for stated in ({"unit": "competition"}, {"dataset": 3}, {"weights": "described"}):
        assert predict(path, **stated).recording.unit == "competition"


@pytest.mark.parametrize("index", ["float", "integer", "datetime64[ns]"])
def test_pandas_in_hdf5(tmp_path, index):
    stamps = {"float": TIMES, "integer": np.arange(FRAMES)}.get(index, (TIMES * 1e9).astype("i8"))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("df")
        group.attrs["pandas_type"] = "frame"
        group["axis0"] = group["block0_items"] = np.array([b"a", b"b", b"c"])
        group["axis1"] = stamps
        group["axis1"].attrs["kind"] = index
        group["block0_values"] = DFF.T
    stated = {"frame_rate": RATE} if index == "integer" else {}
    check(read_recording(tmp_path / "a.h5", **stated), names="abc")


@pytest.mark.parametrize("index", ["float", "datetime64[ns]"])
@pytest.mark.parametrize("columns", ["in blocks", "by themselves"])
def test_tables_of_rows_of_pandas_in_hdf5(tmp_path, index, columns):
    """As `to_hdf(format="table")` writes them, with and without `data_columns`."""

    def pickled(*texts):
        return pickle.dumps(list(texts), protocol=0)

    kinds = {"a": "f8", "b": "f8", "c": "f8", "trial": "i8"}
    fields = [("index", "f8" if index == "float" else "i8")]
    if columns == "in blocks":
        fields += [("values_block_0", "f8", (3,)), ("values_block_1", "i8", (1,))]
    else:
        fields += kinds.items()
    rows = np.zeros(FRAMES, fields)
    trial = np.arange(FRAMES) // HALF
    rows["index"] = TIMES if index == "float" else TIMES * 1e9
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["df/table"] = rows
        if columns == "in blocks":
            rows["values_block_0"], rows["values_block_1"] = DFF.T, trial[:, None]
            names = {"values_block_0": "abc", "values_block_1": ["trial"]}
        else:
            for name, values in zip("abc", DFF, strict=True):
                rows[name] = values
            rows["trial"], names = trial, {name: [name] for name in kinds}
        file["df/table"][...] = rows
        file["df/table"].attrs["index_kind"] = index.encode()
        for name, texts in names.items():
            file["df/table"].attrs[f"{name}_kind"] = np.bytes_(pickled(*texts))
    recording = read_recording(tmp_path / "a.h5")
    check(recording, names="abc", starts=(0, HALF))


@pytest.mark.parametrize("kept", ["in a column", "in the index"])
def test_trials_of_pandas_in_hdf5(tmp_path, kept):
    trial = np.arange(FRAMES) // HALF
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("df")
        group["block0_items"] = np.array([b"a", b"b", b"c"])
        group["block0_values"] = DFF.T
        if kept == "in a column":
            group["axis1"] = TIMES
            group["axis1"].attrs["kind"] = "float"
            group["block1_items"], group["block1_values"] = np.array([b"trial"]), trial[:, None]
        else:
            levels = {"trial": (np.arange(2) + 5, trial), "time": (TIMES, np.arange(FRAMES))}
            for k, (name, (values, which)) in enumerate(levels.items()):
                group[f"axis1_level{k}"], group[f"axis1_label{k}"] = values, which.astype("i2")
                group[f"axis1_level{k}"].attrs["name"] = np.bytes_(name)
    check(read_recording(tmp_path / "a.h5"), names="abc", starts=(0, HALF))


def test_a_series_of_pandas_in_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("dff")
        group["index"], group["values"] = TIMES, DFF[0]
        group["index"].attrs["kind"] = "float"
    check(read_recording(tmp_path / "a.h5"), DFF[:1])


def test_other_tables_of_rows_in_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("df")["table"] = np.zeros(FRAMES, [("t", "f8"), ("y", "f8", (3,))])
    refused(tmp_path / "a.h5", "df.table is a table of pandas or PyTables; save it with", DataError)
