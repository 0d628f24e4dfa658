"""Files of any kind: how they are recognised, and predictions in every format."""

import importlib.util
import json
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

from spikefinder_keras.errors import DataError, OutputError, UsageError
from spikefinder_keras.recordings import formats
from spikefinder_keras.recordings.formats import (
    SUFFIXES,
    check_prediction_path,
    read_recording,
    to_pynapple,
    write_prediction,
)
from spikefinder_keras.recordings.inputs import as_recording
from spikefinder_keras.recordings.recording import Prediction
from spikefinder_keras.text import clean_name, header_cell

DESCRIPTION = {
    "unit": "spikes per second",
    "weights": "described",
    "dataset": 5,
    "preprocessing": "detrended, percentiles 5 and 80, 100 Hz",
    "calibration": None,
    "background": np.float32(0.5),
    "naïve": True,
}
NAMES = ("3", "17", "Zelle ä, „1“")
SPIKES = (np.array([0.5, 1.25]), np.empty(0), np.array([2.0]))


def prediction_of(rates, names=NAMES, spike_times=None, start=12.5, **details):
    frames = len(rates)
    times = start + np.arange(frames) / 30 + np.linspace(0, 1e-3, frames) ** 2
    recording = as_recording(
        np.random.default_rng(1).random(rates.shape), times=times, names=names,
        source="mouse/plane0", notes=("neuropil subtracted",), orientation="time-neuron", **details,
    )  # fmt: skip
    return Prediction(rates, recording, DESCRIPTION, spike_times)


@pytest.fixture
def prediction():
    rates = np.random.default_rng(0).exponential(size=(200, 3)).astype(np.float32)
    rates[3:7, 1] = np.nan
    return prediction_of(rates, spike_times=SPIKES)


def assert_described(description):
    assert description["unit"] == "spikes per second"
    assert description["weights"] == "described"
    assert description["dataset"] == 5
    assert description["preprocessing"] == DESCRIPTION["preprocessing"]
    assert description["calibration"] == "none"
    assert description["source"] == "mouse/plane0"
    assert description["notes"] == "neuropil subtracted"


# Unknown and damaged files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"II*\0\x08\0\0\0" + bytes(100), "is a TIFF image; give the traces"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is of an unknown kind; give one of suite2p's folder"),
        (b"  <!DOCTYPE html><html>404", "is a web page; download the file itself"),
        (b"<html>\n", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "is a pointer of Git LFS"),
        (b"\x93NUMPY", "is no usable numpy file"),
        (b"\x93NUMPY\x01\0\x10\0((((((((((((((((", "is no usable numpy file"),
        (b"\x93NUMPY\x09\0\x10\0((((((((((((((((", "is no usable numpy file"),
        (b"PK\x03\x04", "is no usable numpy file"),
        (b"\x89HDF\r\n\x1a\n", "is damaged, or of a kind not known here"),
        (b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"\x0e\0\0\0" * 9, "is damaged, or"),
        (b"MATLAB 5.0 MAT-file, cut", "is a damaged .mat file"),
        (b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM", "holds no array of traces"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99),
            "is an old Excel workbook; save the sheet",
        ),
        (b"hello", "has a header but no samples"),
        (b"a;b\n1;x\n", r"row 2, column 2 .neuron b. is not a number"),
    ],
)
def test_files_that_are_none(tmp_path, content, message):
    path = tmp_path / "recording"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_recording(path, frame_rate=30)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_files_and_others_that_are_no_recording(tmp_path):
    with pytest.raises(DataError, match=r"no\.npy does not exist"):
        read_recording(tmp_path / "no.npy")
    with pytest.raises(DataError, match=r"neither suite2p's .with F\.npy. nor a Zarr store"):
        read_recording(tmp_path)
    with pytest.raises(DataError, match="File name too long"):
        read_recording(tmp_path / ("x" * 300))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(DataError, match="is no ordinary file"):
            read_recording(tmp_path / "pipe")


def test_the_suffix_does_not_matter(tmp_path):
    np.save(tmp_path / "traces.npy", np.ones((2, 9)))
    (tmp_path / "traces.npy").rename(tmp_path / "traces.csv")
    recording = read_recording(str(tmp_path / "traces.csv"), frame_rate=10)
    assert recording.fluorescence.shape == (9, 2)
    assert recording.source == str(tmp_path / "traces.csv")


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"frame_rate": 0}, "a rate of 0 Hz is impossible"),
        ({"frame_rate": float("nan")}, "a rate of nan Hz"),
        ({}, "does not tell its frame rate; state it in Hz"),
        ({"frame_rate": 1, "unit": "percent"}, "there is no unit 'percent'; choose from dF/F"),
        ({"frame_rate": 1, "orientation": "sideways"}, "orientation 'sideways'"),
        ({"frame_rate": 1, "variable": "dff"}, "one recording only; leave out the variable dff"),
    ],
)
def test_impossible_statements(tmp_path, stated, message):
    np.save(tmp_path / "traces.npy", np.ones((2, 9)))
    with pytest.raises(UsageError, match=message):
        read_recording(tmp_path / "traces.npy", **stated)


# Written files, read with each format's own library


def test_csv(tmp_path, prediction):
    path = write_prediction(tmp_path / "new" / "rates.csv", prediction)
    table = pd.read_csv(path, converters={"time (s)": float})
    assert list(table) == ["time (s)", *NAMES]
    np.testing.assert_array_equal(table["time (s)"], prediction.times)
    np.testing.assert_array_equal(table[list(NAMES)].astype(np.float32), prediction.rates)
    beside = json.loads((tmp_path / "new" / "rates.csv.json").read_text(encoding="utf-8"))
    assert_described(beside["description"])
    assert beside["names"] == list(NAMES)
    assert beside["frame_rate"] == pytest.approx(30, rel=1e-4)
    assert beside["spike_times"] == [[0.5, 1.25], [], [2.0]]


def test_npy_as_of_suite2p(tmp_path, prediction):
    path = write_prediction(tmp_path / "rates.NPY", prediction)
    rates = np.load(path)
    assert rates.dtype == np.float32
    assert rates.flags.c_contiguous
    np.testing.assert_array_equal(rates, prediction.table.T)
    beside = json.loads((tmp_path / "rates.NPY.json").read_text(encoding="utf-8"))
    assert_described(beside["description"])
    assert beside["start"] == prediction.times[0]
    assert "times" not in beside  # they are even, to a thousandth of a frame
    times = prediction.times.copy()
    times[50:] += 0.5
    uneven = replace(prediction, recording=replace(prediction.recording, times=times))
    write_prediction(tmp_path / "rates.NPY", uneven)
    beside = json.loads((tmp_path / "rates.NPY.json").read_text(encoding="utf-8"))
    assert beside["times"] == times.tolist()


def test_npz(tmp_path, prediction):
    path = write_prediction(tmp_path / "rates.npz", prediction)
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["spike_rates"], prediction.rates.T)
        np.testing.assert_array_equal(file["times"], prediction.times)
        assert file["names"].tolist() == list(NAMES)
        assert_described(json.loads(file["description"].item()))
        assert file["frame_rate"] == prediction.recording.frame_rate
        np.testing.assert_array_equal(file["spike_times"], [0.5, 1.25, 2.0])
        np.testing.assert_array_equal(file["spike_neurons"], [0, 0, 2])


def test_mat(tmp_path, prediction):
    path = write_prediction(tmp_path / "rates.mat", prediction)
    file = loadmat(path, simplify_cells=True)
    np.testing.assert_array_equal(file["spike_rates"], prediction.rates.T)
    np.testing.assert_array_equal(file["times"], prediction.times)
    assert file["names"].tolist() == list(NAMES)
    assert file["frame_rate"] == prediction.recording.frame_rate
    assert_described(file["description"])
    assert file["description"]["na_ve"] == 1
    for found, expected in zip(file["spike_times"], SPIKES, strict=True):
        np.testing.assert_array_equal(np.ravel(found), expected)


def test_zarr(tmp_path, prediction):
    import zarr

    for _ in range(2):  # a store of that name is replaced
        path = write_prediction(tmp_path / "rates.zarr", prediction)
        group = zarr.open(path, mode="r")
        np.testing.assert_array_equal(group["spike_rates"][:], prediction.rates.T)
        np.testing.assert_array_equal(group["times"][:], prediction.times)
        assert group.attrs["names"] == list(NAMES)
        assert_described(group.attrs["description"])
        np.testing.assert_array_equal(group["spike_times"][:], [0.5, 1.25, 2.0])
        assert [each.name for each in tmp_path.iterdir()] == ["rates.zarr"]


def test_pynapple(prediction):
    pynapple = pytest.importorskip("pynapple")
    frame = to_pynapple(prediction)
    assert isinstance(frame, pynapple.TsdFrame)
    np.testing.assert_array_equal(frame.values, prediction.rates)
    np.testing.assert_allclose(frame.t, prediction.times, rtol=0, atol=1e-9)
    assert list(frame.columns) == list(NAMES)
    numbered = to_pynapple(prediction_of(prediction.rates, ("3", "17", "4")))
    assert list(numbered.columns) == [3, 17, 4]


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s != ".nwb"])
def test_one_neuron_one_frame_no_spikes(tmp_path, suffix):
    rates = np.ones((1, 1), np.float32)
    recording = as_recording(rates, frame_rate=30, names=["a"])
    path = write_prediction(tmp_path / f"rates{suffix}", Prediction(rates, recording))
    assert path.exists()


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s != ".nwb"])
def test_predictions_are_no_recordings(tmp_path, prediction, suffix):
    path = write_prediction(tmp_path / f"any{suffix}", prediction)
    with pytest.raises(DataError, match="already; give the fluorescence"):
        read_recording(path, frame_rate=30)


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(names.map(lambda n: n.strip()), min_size=1, max_size=4, unique=True),
    st.integers(1, 6),
    st.data(),
)
def test_any_names_and_rates_come_back(tmp_path_factory, names, frames, data):
    value = st.floats(0, 1e6, width=32) | st.just(np.nan)
    values = data.draw(st.lists(value, min_size=frames * len(names), max_size=frames * len(names)))
    rates = np.array(values, np.float32).reshape(frames, len(names))
    start = data.draw(st.floats(0, 2e9))
    folder = tmp_path_factory.mktemp("any")
    times = start + np.arange(frames, dtype=float)
    recording = as_recording(
        rates, frame_rate=1, times=times, names=names, orientation="time-neuron"
    )
    prediction = Prediction(rates, recording, DESCRIPTION)

    with np.load(write_prediction(folder / "rates.npz", prediction)) as file:
        np.testing.assert_array_equal(file["spike_rates"].T, rates)
        np.testing.assert_array_equal(file["times"], times)
        assert file["names"].tolist() == list(map(clean_name, names))
    table = pd.read_csv(
        write_prediction(folder / "rates.csv", prediction),
        header=None,
        skip_blank_lines=False,
        keep_default_na=False,
        na_values={k: [""] for k in range(1, len(names) + 1)},
        dtype=object,
    )
    cells = [header_cell(clean_name(name)) for name in names]
    assert [str(name) for name in table.iloc[0, 1:].fillna("")] == cells
    np.testing.assert_array_equal(table.iloc[1:, 0].astype(float), times)
    np.testing.assert_array_equal(table.iloc[1:, 1:].astype(np.float32), rates)


# Refused outputs


def test_unknown_suffixes(tmp_path, prediction):
    for name in ("rates", "rates.tif", "rates.npy.gz"):
        with pytest.raises(OutputError, match=r"no known suffix; end it in one of \.csv, \.npy"):
            check_prediction_path(tmp_path / name)
        with pytest.raises(OutputError, match="no known suffix"):
            write_prediction(tmp_path / name, prediction)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s != ".nwb"])
def test_places_that_cannot_be_written_to(tmp_path, prediction, suffix):
    (tmp_path / "file").write_text("mine")
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"folder{suffix}" / "mine").touch()
    for path in (tmp_path / "file" / f"rates{suffix}", tmp_path / f"folder{suffix}"):
        with pytest.raises(OutputError, match=r"cannot write to the folder|is a folder|no Zarr"):
            check_prediction_path(path)
        with pytest.raises(OutputError):
            write_prediction(path, prediction)
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / f"folder{suffix}" / "mine").exists()


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s != ".nwb"])
def test_an_error_leaves_the_previous_file(tmp_path, prediction, suffix, monkeypatch):
    path = write_prediction(tmp_path / f"rates{suffix}", prediction)
    there = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    if suffix == ".zarr":
        import zarr

        monkeypatch.setattr(zarr.Group, "create_array", full)
    else:
        monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .* \(No space left on device\)"):
        write_prediction(path, prediction_of(np.zeros((9, 3), np.float32)))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == there


def test_a_table_too_large_for_mat(tmp_path, prediction, monkeypatch):
    def savemat(*arguments, **options):
        raise ValueError("Matrix too large to save\nwith this format")

    monkeypatch.setattr("scipy.io.savemat", savemat)
    with pytest.raises(OutputError, match=r"too large to save with this format\); choose \.npz"):
        write_prediction(tmp_path / "rates.mat", prediction)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("library", "action"),
    [
        ("zarr", lambda path, p: check_prediction_path(path / "rates.zarr")),
        ("zarr", lambda path, p: read_recording(path / "store")),
        ("pynapple", lambda path, p: to_pynapple(p)),
    ],
)
def test_missing_libraries(tmp_path, prediction, library, action, monkeypatch):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "zarr.json").write_text("{}")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == library else find(name)
    )
    message = rf'needs {library}; install it with: pip install "spikefinder-keras\[{library}\]"$'
    with pytest.raises(UsageError, match=message):
        action(tmp_path, prediction)


def test_public_functions_are_documented():
    for name in formats.__all__:
        value = getattr(formats, name)
        assert value.__doc__
