"""Recordings in files of arrays: `.npy`, `.npz`, `.mat`, CSV and Zarr, as their libraries write."""

import json
import os
import pickle
import subprocess
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from spikefinder_keras.competition.tables import read_csv
from spikefinder_keras.errors import DataError, SpikefinderError, UsageError
from spikefinder_keras.recordings.formats import read_recording, write_prediction
from spikefinder_keras.recordings.recording import Prediction

zarr = pytest.importorskip("zarr")

FRAMES, NEURONS = 200, 5
TRACES = np.random.default_rng(0).random((NEURONS, FRAMES)).astype(np.float32)
TIMES = 7 + np.arange(FRAMES) / 20


def save_npy(path, traces=TRACES):
    np.save(path, traces)


def save_npz(path, **arrays):
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def save_mat(path, **arrays):
    savemat(path, arrays, appendmat=False, do_compression=True)


def save_mat_7_3(path, **arrays):
    """As MATLAB does: HDF5 behind 512 bytes of its own, with all axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            array = np.atleast_2d(array)
            file[name] = array.T
            kind = {"f4": "single", "f8": "double"}.get(array.dtype.str[1:], array.dtype.name)
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def save_zarr(path, version=3, **arrays):
    group = zarr.open_group(path, mode="w", zarr_format=version)
    for name, array in arrays.items():
        group.create_array(name, data=np.asarray(array))


def save_zarr_2(path, **arrays):
    save_zarr(path, version=2, **arrays)


SAVE = [save_npz, save_mat, save_mat_7_3, save_zarr, save_zarr_2]
any_format = pytest.mark.parametrize("save", SAVE, ids=lambda save: save.__name__[5:])


def refuse(path, message, error=DataError, **stated):
    """Assert that a file is refused in one line which names it."""
    with pytest.raises(SpikefinderError, match=message) as raised:
        read_recording(path, **stated)
    assert raised.type is error
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def assert_traces(recording, expected=TRACES):
    assert recording.fluorescence.dtype == expected.dtype
    np.testing.assert_array_equal(recording.fluorescence, expected.T)


# Files of named arrays


@any_format
def test_every_format(tmp_path, save):
    traces = TRACES.copy()
    traces[1, 3:9] = np.nan
    save(tmp_path / "file", spike_prob=TRACES, dF_traces=traces, frame_rate=30.0)
    recording = read_recording(tmp_path / "file")
    assert_traces(recording, traces)
    assert (recording.unit, recording.frame_rate) == ("dF/F", 30)
    assert recording.names == ("0", "1", "2", "3", "4")
    assert recording.source == str(tmp_path / "file")
    refuse(tmp_path / "file", "spike_prob is deconvolved already", variable="spike_prob")


# What all of them share is tested with .npz, which needs no child process


@pytest.mark.parametrize(
    ("name", "unit"), [("dff", "dF/F"), ("F", "F"), ("traces", None), ("what", None)]
)
def test_names_and_units(tmp_path, name, unit):
    save_npz(tmp_path / "file", **{name: TRACES, "frame_rate": 30.0})
    assert read_recording(tmp_path / "file").unit == unit
    assert read_recording(tmp_path / "file", unit="F").unit == "F"


@any_format
def test_times_tell_frame_rate_and_orientation(tmp_path, save):
    save(tmp_path / "file", dff=TRACES.T, times=TIMES, fs=999.0)
    recording = read_recording(tmp_path / "file")
    assert_traces(recording)
    np.testing.assert_array_equal(recording.times, TIMES)
    assert recording.frame_rate == pytest.approx(20)


def test_statements_against_the_times(tmp_path):
    save_npz(tmp_path / "file", dff=TRACES.T, times=TIMES, fs=999.0)
    refuse(tmp_path / "file", "20 frames per second, not 30", UsageError, frame_rate=30)
    assert_traces(read_recording(tmp_path / "file", orientation="time-neuron"))
    refuse(tmp_path / "file", "5 frames but 200 time stamps", orientation="neuron-time")


@any_format
def test_one_trace(tmp_path, save):
    save(tmp_path / "file", calcium=TRACES[0], Fs=np.int32(25))
    recording = read_recording(tmp_path / "file")
    assert_traces(recording, TRACES[:1])
    assert recording.frame_rate == 25


def test_a_stated_frame_rate(tmp_path):
    save_npz(tmp_path / "file", dff=TRACES, fr=30.0)
    recording = read_recording(tmp_path / "file", frame_rate=15)
    assert recording.frame_rate == 15
    assert recording.notes == (
        "dF/F from dff",
        "the frame rate is 15 Hz as stated, but 30 Hz in the file",
    )
    assert read_recording(tmp_path / "file", frame_rate=30.1).notes == ("dF/F from dff",)


def test_a_variable(tmp_path):
    save_npz(tmp_path / "file", one=TRACES, two=2 * TRACES, fs=30.0)
    refuse(
        tmp_path / "file",
        r"several arrays; name the fluorescence .--variable. of .*two 5x200",
        UsageError,
    )
    assert_traces(read_recording(tmp_path / "file", variable="two"), 2 * TRACES)
    refuse(tmp_path / "file", "no array three; choose from", UsageError, variable="three")


def test_transposed(tmp_path):
    save_npz(tmp_path / "file", dff=TRACES.T, fs=30.0)
    refuse(tmp_path / "file", "200 neurons of 5 frames each; state the orientation .--orientation.")
    assert_traces(read_recording(tmp_path / "file", orientation="time-neuron"))


@pytest.mark.parametrize("name", ["spike_prob", "spks", "S", "C", "denoised"])
def test_processed_traces(tmp_path, name):
    save_npz(tmp_path / "file", **{name: TRACES, "fs": 30.0})
    message = f"{name} is (deconvolved|denoised) already; give the fluorescence or dF/F"
    refuse(tmp_path / "file", message)
    refuse(tmp_path / "file", message, variable=name)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"dff": TRACES}, "does not tell its frame rate; state it in Hz"),
        ({"dff": TRACES, "fs": -1.0}, "fs: a rate of -1.0 Hz is impossible"),
        ({"dff": TRACES, "fs": np.arange(2.0)}, "fs is not one number; give the frame rate in Hz"),
        ({"dff": TRACES, "t": TIMES[:-1]}, "200 frames but 199 time stamps"),
        ({"dff": TRACES, "t": TIMES[::-1]}, "time stamp of frame 1 .* not later than"),
        ({"dff": TRACES, "t": np.where(TIMES > 9, np.nan, TIMES)}, "time stamp of frame 41"),
        (
            {"dff": np.ones((3, 5, 200)), "fs": 30.0},
            r"has shape \(.*\); give neurons x frames|holds no array of traces",
        ),
        ({"text": np.array("abc"), "fs": 30.0}, "holds no array of traces"),
    ],
)
def test_what_cannot_be_a_recording(tmp_path, arrays, message):
    error = UsageError if message.startswith("does not tell") else DataError
    save_npz(tmp_path / "file", **arrays)
    refuse(tmp_path / "file", message, error)


def test_suite2p_arrays(tmp_path):
    cells = np.column_stack([[1, 0, 1, 1, 0], np.ones(5)])
    save_npz(tmp_path / "file", F=2 * TRACES, Fneu=TRACES, iscell=cells, spks=TRACES, fs=30.0)
    recording = read_recording(tmp_path / "file", neuropil=0.5)
    np.testing.assert_allclose(recording.fluorescence.T, 1.5 * TRACES[[0, 2, 3]], rtol=1e-6)
    assert recording.names == ("0", "2", "3")
    assert recording.notes == (
        "F from F, 3 of 5 ROIs",
        "2 of 5 ROIs left out, which iscell calls no cell (--all-rois keeps them)",
        "neuropil subtracted: F - 0.5 Fneu",
    )
    assert len(read_recording(tmp_path / "file", all_rois=True).names) == 5
    refuse(tmp_path / "file", "spks is deconvolved already", variable="spks")
    save_npz(tmp_path / "file", F=TRACES, iscell=cells[:, 0] == 1, fs=30.0)
    recording = read_recording(tmp_path / "file")
    assert recording.names == ("0", "2", "3")
    assert recording.notes[2] == "neuropil not subtracted: there is no Fneu"


# .npy


def test_npy(tmp_path):
    save_npy(tmp_path / "traces.npy")
    recording = read_recording(tmp_path / "traces.npy", frame_rate=30)
    assert_traces(recording)
    assert recording.unit is None


@pytest.mark.parametrize(
    "array", [TRACES[0], np.asfortranarray(TRACES), TRACES.astype(">f8"), TRACES.astype(np.float16)]
)
def test_npy_of_any_layout(tmp_path, array):
    save_npy(tmp_path / "traces.npy", array)
    recording = read_recording(tmp_path / "traces.npy", frame_rate=30)
    np.testing.assert_array_equal(recording.fluorescence, np.atleast_2d(array).T)


def test_npy_of_integers(tmp_path):
    save_npy(tmp_path / "traces.npy", np.arange(10, dtype=np.uint16).reshape(2, 5))
    recording = read_recording(tmp_path / "traces.npy", frame_rate=30)
    assert recording.fluorescence.dtype == np.float32


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 0)), "give neurons x frames"),
        (np.array(3.0), "give neurons x frames"),
        (np.ones((2, 3), complex), "holds complex128 values; give an array of real numbers"),
        (np.array(["a", "b"]), "give an array of real numbers"),
        (np.zeros(3, [("a", float)]), "give an array of real numbers"),
        (np.array([[1, None]]), "it holds Python objects; save an array of numbers"),
        (np.array({"mean": TRACES}), "holds a dict without traces"),
        (np.array({"x": pickle.HIGHEST_PROTOCOL}), "holds a dict without traces"),
    ],
)
def test_npy_of_something_else(tmp_path, array, message):
    np.save(tmp_path / "traces.npy", array, allow_pickle=True)
    refuse(tmp_path / "traces.npy", message, frame_rate=30)


def test_npy_of_suite2p_alone(tmp_path):
    save_npy(tmp_path / "spks.npy")
    refuse(tmp_path / "spks.npy", "spks is deconvolved already", frame_rate=30)
    save_npy(tmp_path / "F.npy")
    recording = read_recording(tmp_path / "F.npy", frame_rate=30)
    assert recording.unit == "F"
    assert "neuropil not subtracted" in recording.notes[0]


def test_npy_of_cascade(tmp_path):
    contents = {"dF_traces": TRACES, "frame_rate": 30.0, "mouse": "m1"}
    np.save(tmp_path / "cascade.npy", contents, allow_pickle=True)
    recording = read_recording(tmp_path / "cascade.npy")
    assert_traces(recording)
    assert (recording.unit, recording.frame_rate) == ("dF/F", 30)


def test_truncated_npy(tmp_path):
    save_npy(tmp_path / "traces.npy")
    whole = (tmp_path / "traces.npy").read_bytes()
    for size in (*range(1, 140, 9), len(whole) // 2, len(whole) - 1):
        (tmp_path / "part.npy").write_bytes(whole[:size])
        with pytest.raises(
            DataError, match=r"is no usable numpy file|not a CSV|unknown kind|UTF-8"
        ):
            read_recording(tmp_path / "part.npy", frame_rate=30)


def header(shape, descr="<f4"):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text = text.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("shape", [(1 << 20, 1 << 30), (1 << 70, 2), (-1, 5), (3, 4)])
def test_declared_sizes_of_npy(tmp_path, shape):
    (tmp_path / "traces.npy").write_bytes(header(shape))
    refuse(tmp_path / "traces.npy", "is no usable numpy file", frame_rate=30)


class Trap:
    """Unpickled, it makes the file of which it has the name."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_a_pickle_with_code(tmp_path):
    for number, trap in enumerate((Trap(tmp_path / "marker"), {"dff": Trap(tmp_path / "marker")})):
        path = tmp_path / f"{number}.npy"
        np.save(path, np.array(trap, object), allow_pickle=True)
        refuse(path, "it holds Python objects|holds a dict without traces", frame_rate=30)
    assert not (tmp_path / "marker").exists()
    np.load(path, allow_pickle=True)  # would have made it
    assert (tmp_path / "marker").exists()


# .npz


def test_npz_reads_no_pickles(tmp_path):
    arrays = {"dff": TRACES, "extra": np.array([Trap(tmp_path / "marker")], object)}
    np.savez(tmp_path / "traces.npz", **arrays, fs=30.0)
    assert_traces(read_recording(tmp_path / "traces.npz"))
    refuse(tmp_path / "traces.npz", "no array extra", UsageError, variable="extra")
    assert not (tmp_path / "marker").exists()


def zipped(path, method=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name + ".npy", content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header((1 << 20, 1 << 20)), r"claims 4398046511104 bytes, more than 4 GiB"),
        (header((1 << 10, 1 << 18)), r"claims 1073741824 bytes, but the file holds \d+ of them"),
        (header((1 << 10, 30_000)) + bytes(4 * 30_000 << 10), "bytes, but the file holds"),
        (header((5, 5)), r"dff.npy is shorter or longer than its shape \(5, 5\)"),
        (header((5, 5)) + bytes(101), "is shorter or longer than its shape"),
        (b"nonsense", "holds no array of traces"),
    ],
)
def test_declared_sizes_of_npz(tmp_path, content, message):
    zipped(tmp_path / "traces.npz", dff=content)
    refuse(tmp_path / "traces.npz", message, frame_rate=30)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_npz(tmp_path, method):
    zipped(tmp_path / "traces.npz", method, dff=header((5, 200)) + TRACES.tobytes())
    assert_traces(read_recording(tmp_path / "traces.npz", frame_rate=30))
    whole = (tmp_path / "traces.npz").read_bytes()
    rng = np.random.default_rng(0)
    for number in range(20):  # `make fuzz` tries millions
        damaged = bytearray(whole)
        for place in rng.integers(4, len(whole), 8):
            damaged[place] = rng.integers(256)
        (tmp_path / "damaged.npz").write_bytes(damaged if number % 2 else damaged[: -number * 8])
        try:
            read_recording(tmp_path / "damaged.npz", frame_rate=30)
        except SpikefinderError as error:
            assert "\n" not in str(error)


# .mat


def test_mat_with_cells_and_structs(tmp_path):
    others = {"cells": np.array(["a", 1.0], object), "ops": {"fs": 12.0}, "text": "x", "empty": []}
    save_mat(tmp_path / "a.mat", dF_traces=TRACES, **others, frame_rate=30.0)
    assert_traces(read_recording(tmp_path / "a.mat"))


def test_fall_mat(tmp_path):
    """suite2p's own file for MATLAB, whose frame rate is in a struct."""
    arrays = {"F": TRACES, "Fneu": 0 * TRACES, "spks": TRACES, "iscell": np.ones((5, 2))}
    ops = {"fs": 12.0, "meanImg": np.ones((9, 9)), "data_path": ["a", "b"]}
    save_mat(tmp_path / "Fall.mat", **arrays, ops=ops, stat=np.array([{"a": 1}], object))
    save_mat_7_3(tmp_path / "Fall 7.3.mat", **arrays)
    with h5py.File(tmp_path / "Fall 7.3.mat", "a") as file:
        file["ops/fs"] = np.array([[12.0]])
    for name in ("Fall.mat", "Fall 7.3.mat"):
        recording = read_recording(tmp_path / name)
        assert_traces(recording)
        assert (recording.frame_rate, recording.unit) == (12, "F")


def test_truncated_mat(tmp_path):
    save_mat(tmp_path / "a.mat", dF_traces=TRACES, fs=30.0)
    whole = (tmp_path / "a.mat").read_bytes()
    for size in (60, 200, len(whole) // 2):
        (tmp_path / "a.mat").write_bytes(whole[:size])
        refuse(tmp_path / "a.mat", "damaged|holds no array of traces")


def test_declared_sizes_of_mat(tmp_path):
    savemat(tmp_path / "a.mat", {"dff": np.ones((2, 3))})
    content = (tmp_path / "a.mat").read_bytes()
    shape = np.array([2, 3], "<i4").tobytes()
    assert content.count(shape) == 1
    for rows, columns, message in (
        (1 << 14, 1 << 20, "more than 4 GiB"),
        (1 << 12, 1 << 14, "hold"),
    ):
        large = np.array([rows, columns], "<i4").tobytes()
        (tmp_path / "a.mat").write_bytes(content.replace(shape, large))
        refuse(tmp_path / "a.mat", message)


# CSV


@pytest.mark.parametrize("header", ["time", "Time (s)", "t", "TIMESTAMPS", "# time"])
def test_csv_with_time_stamps(tmp_path, header):
    table = pd.DataFrame(TRACES.T, columns=["3", "7", "ä", "b c", "9"])
    table.insert(0, header, TIMES)
    table.to_csv(tmp_path / "a.csv", index=False)
    recording = read_recording(tmp_path / "a.csv")
    np.testing.assert_array_equal(recording.fluorescence.astype(np.float32), TRACES.T)
    np.testing.assert_array_equal(recording.times, TIMES)
    assert recording.names == ("3", "7", "ä", "b c", "9")
    assert (recording.unit, recording.frame_rate) == (None, pytest.approx(20))


def test_csv_of_the_competition(tmp_path):
    pd.DataFrame(TRACES.T).to_csv(tmp_path / "a.csv", index=False)
    recording = read_recording(tmp_path / "a.csv")
    assert (recording.unit, recording.frame_rate) == ("competition", 100)
    recording = read_recording(tmp_path / "a.csv", frame_rate=30, unit="dF/F")
    assert (recording.unit, recording.frame_rate) == ("dF/F", 30)


def test_the_competitions_form_goes_out_as_it_came_in(tmp_path):
    pd.DataFrame(TRACES.T).to_csv(tmp_path / "a.csv", index=False)
    recording = read_recording(tmp_path / "a.csv")
    rates = TRACES.T.astype(np.float32)
    write_prediction(tmp_path / "b.csv", Prediction(rates, recording, {"unit": "arbitrary"}))
    np.testing.assert_array_equal(read_csv(tmp_path / "b.csv").astype(np.float32), rates)
    described = json.loads((tmp_path / "b.csv.json").read_text())
    assert described["description"]["unit"] == "arbitrary"
    refuse(tmp_path / "b.csv", "holds predicted spike rates already")


def test_csv_with_neurons_in_rows(tmp_path):
    pd.DataFrame(TRACES).to_csv(tmp_path / "a.csv", index=False)
    refuse(tmp_path / "a.csv", "200 neurons of 5 frames each; state the orientation", frame_rate=9)
    refuse(tmp_path / "a.csv", "200 neurons of 5 frames each; state the orientation")
    recording = read_recording(tmp_path / "a.csv", frame_rate=9, orientation="neuron-time")
    np.testing.assert_array_equal(recording.fluorescence.astype(np.float32), TRACES.T)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time\n1\n2\n", "has time stamps but no neuron"),
        ("time,0\n1,2\n,3\n", "row 3: no time stamp; give one in s"),
        ("time,0\n2,2\n1,3\n", "time stamp of frame 1 .* not later"),
        ("time,0\n1,2\n2,3,4\n", "row 3: 3 cells where the header has 2"),
        ("time,0\n1,x\n", r"row 2, column 2 .neuron 0. is not a number: 'x'"),
        ("time,0,0\n1,2,3\n", "0 stands twice"),
        ("0.5,0.25\n1,2\n", "is no neuron number; add the missing header row"),
    ],
)
def test_faulty_csv(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    refuse(tmp_path / "a.csv", message)


# Zarr


def test_a_zarr_array_and_attributes(tmp_path):
    for version in (2, 3):
        path = tmp_path / f"{version}.zarr"
        array = zarr.create_array(path, data=TRACES, zarr_format=version, chunks=(2, 50))
        array.attrs["frame_rate"] = 30
        recording = read_recording(path)
        assert_traces(recording)
        assert recording.frame_rate == 30


def test_a_zarr_codec_with_code(tmp_path):
    from numcodecs import Pickle

    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("dff", data=TRACES, filters=[Pickle()], compressors=None)
    (chunk,) = [
        file for file in (path / "dff").rglob("*") if file.name not in (".zarray", ".zattrs")
    ]
    chunk.write_bytes(pickle.dumps(Trap(tmp_path / "marker")))
    refuse(path, "asks for the codec pickle, which is not trusted", frame_rate=30)
    assert not (tmp_path / "marker").exists()


def test_declared_sizes_of_zarr(tmp_path):
    for shape, chunks, message in (
        ((1 << 20, 1 << 20), (1, 1 << 10), "but the file holds"),
        ((1 << 10, 1 << 18), (1, 1 << 10), "but the file holds"),
        ((10, 10), (1 << 16, 1 << 18), "dff claims chunks of 68719476736 bytes"),
    ):
        group = zarr.open_group(tmp_path / "a.zarr", mode="w")
        group.create_array("dff", shape=shape, chunks=chunks, dtype="f4")
        refuse(tmp_path / "a.zarr", message, frame_rate=30)


def test_damaged_zarr(tmp_path):
    path = tmp_path / "a.zarr"
    save_zarr(path, dff=TRACES)
    (path / "dff" / "zarr.json").write_text("{")
    refuse(path, "is damaged", frame_rate=30)
    (path / "zarr.json").write_text("[]")
    refuse(path, "is damaged", frame_rate=30)


def test_zipped_zarr(tmp_path):
    save_zarr(tmp_path / "a.zarr", dff=TRACES)
    with zipfile.ZipFile(tmp_path / "b.zarr", "w") as archive:
        for file in (tmp_path / "a.zarr").rglob("*"):
            archive.write(file, file.relative_to(tmp_path / "a.zarr"))
    refuse(tmp_path / "b.zarr", "is a zipped Zarr store; unpack it")


def test_no_heavy_library_loads_for_npy(tmp_path):
    save_npy(tmp_path / "traces.npy")
    code = (
        "import sys; from spikefinder_keras.recordings.formats import read_recording\n"
        "read_recording(sys.argv[1], frame_rate=30)\n"
        "print({'h5py', 'scipy', 'pandas', 'zarr', 'pynwb', 'pynapple'} & sys.modules.keys())\n"
    )
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "traces.npy"],
        capture_output=True, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("set()\n", "")
