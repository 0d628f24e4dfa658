"""What people really bring: each kind of input is read as it is meant, or refused with the reason.

Every test builds its own files, as the programs and laboratories of public reports write them.
"""

import pickle
import time
import zipfile
from datetime import UTC, datetime

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import savemat

from spikefinder_keras.competition.tables import read_csv, read_pair
from spikefinder_keras.errors import DataError, OutputError, SpikefinderError, UsageError
from spikefinder_keras.recordings.formats import (
    check_prediction_path,
    read_recording,
    write_prediction,
)
from spikefinder_keras.recordings.recording import Prediction

pynwb = pytest.importorskip("pynwb")
zarr = pytest.importorskip("zarr")

NEURONS, FRAMES, RATE = 6, 600, 20.0


def recorded(neurons=NEURONS, frames=FRAMES, seed=0):
    """Raw dF/F and its part without noise, `(neuron, frame)`."""
    rng = np.random.default_rng(seed)
    spikes = rng.random((neurons, frames)) < 0.04
    decay = 0.6 * np.exp(-np.arange(80) / 12)
    clean = np.array([np.convolve(each, decay)[:frames] for each in spikes])
    return clean + rng.normal(0, 0.04, clean.shape), clean


DFF, CLEAN = recorded()
RAW = 300 * (1 + DFF)
NEUROPIL = np.tile(60 * (1 + recorded(1, seed=5)[0]), (NEURONS, 1))
TIMES = np.arange(FRAMES) / RATE


def refused(path, message, error=SpikefinderError, **stated):
    """The one line with which a file is refused."""
    with pytest.raises(error, match=message) as raised:
        read_recording(path, **stated)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def same(recording, expected, tolerance=0.0):
    """Assert that the traces of a recording are those expected, `(neuron, frame)`."""
    np.testing.assert_allclose(recording.fluorescence.T, expected, rtol=0, atol=tolerance)


# No data, no activity


def with_dead_neurons():
    traces = DFF.copy()
    traces[1] = 0
    traces[2] = 731.5
    traces[3, :200] = 0  # found late
    traces[4, 50] = -np.inf
    return traces


def test_dead_neurons(tmp_path):
    np.save(tmp_path / "dff.npy", with_dead_neurons())
    before = (tmp_path / "dff.npy").read_bytes()
    recording = read_recording(tmp_path / "dff.npy", frame_rate=RATE)
    found = recording.fluorescence
    assert np.isnan(found[:, 1:3]).all()
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found[:, 3])), np.arange(200))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found[:, 4])), [50])
    np.testing.assert_array_equal(found[:, [0, 5]], DFF[[0, 5]].T)
    assert [note.split(" ")[0] for note in recording.notes] == ["2", "1", "200"]
    assert "2 of 6 neurons never change" in recording.notes[0]
    assert (tmp_path / "dff.npy").read_bytes() == before


@pytest.mark.parametrize(
    "traces",
    [
        np.random.default_rng(0).poisson(0.2, (3, 900)).astype(float),  # photons
        np.round(recorded(3)[0], 1),
        np.repeat(recorded(3, 60)[0], 10, axis=1),  # each value held
        np.where(recorded(3)[0] > 0.3, recorded(3)[0], 0),
        np.r_[[np.maximum(recorded(1, seed=3)[0][0], 0)] * 3],  # clipped: stands still often
        recorded(3)[1] + 1e-9 * np.arange(3)[:, None],  # without noise nothing can be said
    ],
    ids=["photons", "rounded", "held", "sparse", "clipped", "clean"],
)
def test_honest_repetitions_are_kept(tmp_path, traces):
    np.save(tmp_path / "dff.npy", traces)
    recording = read_recording(tmp_path / "dff.npy", frame_rate=30)
    np.testing.assert_array_equal(recording.fluorescence.T, traces)
    assert recording.notes == ()


@pytest.mark.parametrize(
    ("length", "rate", "lost"), [(10, 5, 0), (11, 5, 11), (30, 30, 0), (31, 30, 31)]
)
def test_how_long_a_run_is(tmp_path, length, rate, lost):
    """Longer than a second and than ten frames."""
    traces = DFF.copy()
    traces[0, 100 : 100 + length] = 0.5
    np.save(tmp_path / "dff.npy", traces)
    found = read_recording(tmp_path / "dff.npy", frame_rate=rate).fluorescence
    assert np.isnan(found).sum() == lost


def suite2p(folder, **settings):
    folder.mkdir(parents=True)
    np.save(folder / "F.npy", (RAW + 0.7 * NEUROPIL).astype("f4"))
    np.save(folder / "Fneu.npy", NEUROPIL.astype("f4"))
    np.save(folder / "spks.npy", np.ones((NEURONS, FRAMES), "f4"))
    np.save(folder / "iscell.npy", np.c_[[1, 0, 1, 1, 0, 1], np.linspace(0, 1, NEURONS)])
    np.save(folder / "ops.npy", {"fs": RATE, "tau": 0.7} | settings, allow_pickle=True)
    return folder


KEPT = [0, 2, 3, 5]


def test_an_roi_without_light_under_live_neuropil(tmp_path):
    plane = suite2p(tmp_path / "plane0")
    raw = np.load(plane / "F.npy")
    raw[2], raw[5, 300:] = 0, 0
    np.save(plane / "F.npy", raw)
    recording = read_recording(plane)
    assert np.isnan(recording.fluorescence[:, 1]).all()
    assert np.isnan(recording.fluorescence[300:, 3]).all()
    assert np.isfinite(recording.fluorescence[:300, 3]).all()
    same(read_recording(plane, all_rois=True), np.where(raw > 0, RAW, np.nan), 1e-3)
    assert (
        "F: 1 of 4 ROIs never changes, so it holds no data: empty rates, no spikes"
        in recording.notes
    )


# suite2p as it is


def test_settings_of_any_class(tmp_path):
    plane = suite2p(tmp_path / "suite2p" / "plane0", date_proc=datetime.now(UTC), neucoeff=0.5)
    recording = read_recording(tmp_path)
    same(recording, (RAW + 0.2 * NEUROPIL)[KEPT], 1e-3)
    assert recording.frame_rate == RATE
    assert "neuropil subtracted: F - 0.5 Fneu" in recording.notes
    same(read_recording(plane, neuropil=0.7), RAW[KEPT], 1e-3)
    # As suite2p 1.x, whose settings are nested.
    np.save(plane / "settings.npy", {"fs": 10.0, "extraction": {"neuropil_coefficient": 0.6}})
    recording = read_recording(plane)
    same(recording, (RAW + 0.1 * NEUROPIL)[KEPT], 1e-3)
    assert recording.frame_rate == 10


def test_bad_frames_and_folders_of_movies(tmp_path):
    bad = np.zeros(FRAMES, bool)
    bad[[7, 8, 400]] = True
    plane = suite2p(
        tmp_path / "plane0", badframes=bad, frames_per_folder=np.array([250, 0, 350], np.int32)
    )
    recording = read_recording(plane)
    assert np.isnan(recording.fluorescence).all(axis=1).nonzero()[0].tolist() == [7, 8, 400]
    assert recording.segment_starts == (0, 250)
    assert "3 of 600 frames are in badframes: taken as missing" in recording.notes
    assert any("frames_per_folder" in note for note in recording.notes)
    np.save(plane / "ops.npy", {"fs": RATE, "badframes": bad[1:], "frames_per_folder": [9, 9]})
    recording = read_recording(plane)
    assert recording.segment_starts == (0,)
    assert np.isfinite(recording.fluorescence).all()
    assert sum("not used" in note for note in recording.notes) == 2


def predicted(recording, **details):
    rates = np.random.default_rng(1).random(recording.fluorescence.shape).astype(np.float32)
    rates[:, 1] = np.nan
    return Prediction(rates, recording, {"unit": "spikes per second"}, **details)


def test_npy_has_the_rows_of_suite2p(tmp_path):
    planes = [suite2p(tmp_path / f"plane{number}") for number in (0, 1)]
    for source, rows in ((planes[0], NEURONS), (tmp_path, 2 * NEURONS)):
        prediction = predicted(read_recording(source))
        found = np.load(write_prediction(tmp_path / "rates.npy", prediction))
        assert found.shape == (rows, FRAMES)
        np.testing.assert_array_equal(found[[0, 3]], prediction.table.T[[0, 2]])
        assert not found[[1, 2, 4]].any()  # no cells, and a cell without rates
        assert np.isfinite(found).all()


def test_suite2ps_own_files_are_spared(tmp_path):
    plane = suite2p(tmp_path / "plane0")
    prediction = predicted(read_recording(plane))
    for name, message in (
        ("spks.npy", "own deconvolution; replace it with --overwrite"),
        ("F.npy", "own"),
    ):
        with pytest.raises(OutputError, match=message):
            write_prediction(plane / name, prediction)
    assert (np.load(plane / "spks.npy") == 1).all()
    write_prediction(plane / "spks.npy", prediction, overwrite=True)
    write_prediction(plane / "spks.npy", prediction)  # it is ours now
    with pytest.raises(OutputError, match="own"):
        write_prediction(plane / "F.npy", prediction, overwrite=True)


def test_the_recording_itself_is_spared(tmp_path):
    np.save(tmp_path / "dff.npy", DFF)
    with pytest.raises(
        OutputError, match=r"is the recording itself; choose another name \(--out\)"
    ):
        check_prediction_path(tmp_path / "dff.npy", tmp_path / "dff.npy")


# Never a wrong array in silence


def test_the_demo_of_caiman(tmp_path):
    """Its background is called f, and stands beside C."""
    background = 100 + np.cumsum(np.random.default_rng(2).normal(size=(2, FRAMES)), axis=1)
    arrays = {
        "A": np.ones((400, NEURONS)),
        "b": np.ones((400, 2)),
        "sn": np.ones(400),
        "f": background,
    }
    np.savez(tmp_path / "a.npz", C=CLEAN, YrA=DFF - CLEAN, **arrays, idx_components=[0, 3])
    recording = read_recording(tmp_path / "a.npz", frame_rate=RATE)
    same(recording, DFF[[0, 3]], 1e-12)
    assert recording.names == ("0", "3")
    assert recording.notes[0] == "F from C + YrA, 2 of 6 components"
    assert len(read_recording(tmp_path / "a.npz", frame_rate=RATE, all_rois=True).names) == NEURONS
    np.savez(tmp_path / "a.npz", C=CLEAN, **arrays)
    text = refused(tmp_path / "a.npz", "C is denoised already", DataError, frame_rate=RATE)
    assert "f 2x600" in text
    refused(tmp_path / "a.npz", "f is a temporal background", frame_rate=RATE, variable="f")
    np.savez(tmp_path / "a.npz", C=CLEAN, YrA=DFF[:3])
    refused(tmp_path / "a.npz", r"C is \(6, 600\), but YrA is \(3, 600\)", frame_rate=RATE)


@pytest.mark.parametrize(
    "name", ["snr", "roi_ids", "anything", "centroids", "frame", "peak_dff", "F"]
)
def test_a_number_for_each_cell_is_no_trace(tmp_path, name):
    array = np.arange(1.0, NEURONS + 1)
    array = np.c_[array, array] if name == "centroids" else array
    np.savez(tmp_path / "a.npz", C=CLEAN, S=CLEAN, **{name: array})
    refused(tmp_path / "a.npz", "(C|S) is (denoised|deconvolved) already", frame_rate=RATE)
    np.savez(tmp_path / "a.npz", **{name: array}, traces=DFF)
    same(read_recording(tmp_path / "a.npz", frame_rate=RATE), DFF)


def test_a_counter_is_no_trace(tmp_path):
    for name, array in (("values", np.arange(FRAMES)), ("x", TIMES)):
        np.savez(tmp_path / "a.npz", **{name: array})
        refused(tmp_path / "a.npz", "counts up in equal steps|no array of traces", frame_rate=RATE)


def test_only_an_array_of_the_frame_count_is_time(tmp_path):
    np.savez(tmp_path / "a.npz", dff=DFF, t=[1.5, 2.5], fs=RATE)
    recording = read_recording(tmp_path / "a.npz")
    np.testing.assert_array_equal(recording.times, TIMES)
    assert recording.notes == ("dF/F from dff", "2 time stamps do not fit the frames: not used")
    np.savez(tmp_path / "a.npz", dff=DFF, t=[1.5, 2.5], time_ms=1000 * TIMES)
    assert read_recording(tmp_path / "a.npz").frame_rate == pytest.approx(RATE)


def test_what_was_read_and_what_else_there_is(tmp_path):
    np.savez(tmp_path / "a.npz", F=RAW, dFF=DFF, fs=RATE)
    assert read_recording(tmp_path / "a.npz").notes == ("dF/F from dFF (there are also F)",)
    np.savez(tmp_path / "a.npz", dff=DFF, dF_F0=DFF, fs=RATE)
    text = refused(tmp_path / "a.npz", r"\(--variable\) of", UsageError)
    assert "dff 6x600, dF_F0 6x600" in text
    assert "dF/F from dF_F0" in read_recording(tmp_path / "a.npz", variable="dF_F0").notes[0]


def test_arrays_deep_inside_have_to_be_named(tmp_path):
    """As Doric and Femtonics write them: a group for each channel or curve."""
    series = "DataAcquisition/Console/Signals/Series0001"
    with h5py.File(tmp_path / "a.doric", "w") as file:
        for k in range(2):
            file[f"{series}/AIN0{k}/Values"], file[f"{series}/AIN0{k}/Time"] = RAW[k], TIMES
    text = refused(tmp_path / "a.doric", r"deep inside; name the fluorescence", UsageError)
    assert f"{series.replace('/', '.')}.AIN00.Values 600" in text
    for name in ("AIN01.Values", "AIN01/Values", f"/{series}/AIN01/Values"):
        recording = read_recording(tmp_path / "a.doric", variable=name)
        same(recording, RAW[1:2])
        np.testing.assert_array_equal(recording.times, TIMES)
    refused(tmp_path / "a.doric", "has no array AIN02; choose from Data", variable="AIN02")
    with h5py.File(tmp_path / "a.doric", "a") as file:
        file["dff"] = DFF
    same(read_recording(tmp_path / "a.doric", RATE), DFF)
    text = refused(tmp_path / "a.doric", "has no array AIN02", frame_rate=RATE, variable="AIN02")
    assert "choose from dff 6x600 (" in text


# CaImAn


def caiman(path, **estimates):
    with h5py.File(path, "w") as file:
        for name, array in estimates.items():
            file[f"estimates/{name}"] = "NoneType" if array is None else array
        file["params/data/fr"] = RATE
    return path


def test_caiman(tmp_path):
    path = tmp_path / "a.hdf5"
    for residual in ("YrA", "R"):
        arrays = {"YrA": None} | {residual: DFF - CLEAN}
        recording = read_recording(caiman(path, F_dff=None, C=CLEAN, idx_components=None, **arrays))
        same(recording, DFF, 1e-12)
        assert recording.notes[0] == f"F from C + {residual}, 6 of 6 components"
    for rows in (3, 6):
        caiman(
            path, F_dff=DFF[:4], C=CLEAN, YrA=DFF - CLEAN, idx_components=np.array([0, rows - 1])
        )
        refused(path, r"F_dff is \(4, 600\), but C is \(6, 600\)", DataError)
    caiman(path, F_dff=DFF[:2], C=CLEAN[:2], YrA=CLEAN[:2], idx_components=None)
    assert read_recording(path).names == ("0", "1")
    refused(caiman(path, F_dff=None, C=CLEAN, YrA=None), "has only the denoised traces C")
    late = DFF.copy()
    late[4, :400] = 0
    recording = read_recording(caiman(path, F_dff=late, C=late, YrA=0 * late, idx_components=None))
    assert np.isnan(recording.fluorescence[:400, 4]).all()
    assert np.isnan(recording.fluorescence).sum() == 400


# MATLAB


def in_cells(arrays):
    cells = np.empty((1, len(arrays)), object)
    cells[0, :] = arrays
    return cells


def test_structs_and_cells(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"data": {"dff": DFF, "fs": RATE}})
    for variable in (None, "data.dff", "dff"):
        recording = read_recording(path, variable=variable)
        same(recording, DFF)
        assert (recording.frame_rate, recording.unit) == (RATE, "dF/F")
    savemat(path, {"mouse": {"day": {"dff": DFF, "fps": RATE}}, "notes": "text"})
    same(read_recording(path), DFF)
    savemat(path, {"dff": in_cells([DFF[:, :100], DFF[:, 100:350], DFF[:, 350:]]), "fs": RATE})
    recording = read_recording(path)
    same(recording, DFF)
    assert recording.segment_starts == (0, 100, 350)
    savemat(path, {"trials": {"dff": in_cells([DFF[:, :100].T, DFF[:, 100:].T])}, "fs": RATE})
    recording = read_recording(path)
    same(recording, DFF)
    assert recording.segment_starts == (0, 100)
    savemat(path, {"dff": in_cells(list(DFF[:, None, :])), "fs": RATE})
    refused(
        path, r"several arrays; name.*dff\{1\} 1x600.*all as neurons, save them as rows", UsageError
    )
    savemat(path, {"a": {"u": DFF, "v": 2 * DFF}, "fs": RATE})
    refused(path, r"several arrays; .*a\.u 6x600, a\.v 6x600$", UsageError)
    savemat(path, {"u": DFF[0], "v": DFF[1, :400], "fs": RATE})
    refused(path, r"several arrays; .*u 1x600, v 1x400$", UsageError)
    savemat(path, {"a": {"text": "x"}, "weights": np.ones((3, 3, 3))})
    refused(path, r"no array of traces \(it has weights 3x3x3\)", DataError)


def test_other_programs_in_matlab(tmp_path):
    path = tmp_path / "a.mat"
    rois = np.zeros((1, NEURONS), dtype=[("iscell", "O"), ("med", "O")])
    rois["iscell"][0, :] = [1, 0, 1, 1, 0, 1]
    rois["med"][0, :] = [np.ones((1, 2))] * NEURONS
    raw = in_cells([RAW + 0.7 * NEUROPIL])
    savemat(path, {"dat": {"Fcell": raw, "FcellNeu": in_cells([NEUROPIL]), "stat": rois}})
    recording = read_recording(path, frame_rate=RATE)
    same(recording, RAW[KEPT], 1e-9)
    assert recording.names == ("0", "2", "3", "5")
    savemat(path, {"output": {"temporal_weights": DFF.T, "spatial_weights": np.ones((4, 4, 6))}})
    same(read_recording(path, frame_rate=RATE), DFF)
    savemat(path, {"neuron": {"C": CLEAN, "C_raw": DFF, "S": CLEAN, "Fs": RATE}})
    recording = read_recording(path)
    same(recording, DFF)
    assert recording.notes == ("F from neuron.C_raw",)
    for cells in (
        np.array([[1, 0, 1, 1, 0, 1]], "u1"),
        np.array([1, 0, 1, 1, 0, 1], bool)[:, None],
    ):
        savemat(path, {"F": RAW, "Fneu": 0 * RAW, "iscell": cells, "fs": RATE})
        same(read_recording(path), RAW[KEPT])
    savemat(path, {"dff": sparse.csc_matrix(np.where(DFF > 0.2, DFF, 0)), "fs": RATE})
    same(read_recording(path), np.where(DFF > 0.2, DFF, 0))
    savemat(path, {"dff": DFF.T, "t": 1000 * TIMES[:, None]})
    refused(path, r"0\.02 frames per second; are these ms\? .*--frame-rate", UsageError)
    savemat(path, {"dff": DFF.T, "t_ms": 1000 * TIMES[:, None]})
    assert read_recording(path).frame_rate == pytest.approx(RATE)
    savemat(path, {"dff": DFF.T, "fs": RATE})
    text = refused(path, "state the orientation .--orientation., time-neuron or neuron-time")
    assert "600 neurons of 6 frames" in text
    same(read_recording(path, orientation="time-neuron"), DFF)


@pytest.mark.parametrize("kind", ["cells of structs", "array of structs"])
def test_a_struct_for_each_trial(tmp_path, kind):
    parts = np.split(DFF, [100, 350], axis=1)
    if kind == "cells of structs":
        trials = in_cells([{"dff": part, "fs": RATE, "name": "x"} for part in parts])
    else:
        trials = np.zeros((1, 3), dtype=[("dff", "O"), ("fs", "O"), ("name", "O")])
        trials[0, :] = [(part, RATE, "x") for part in parts]
    savemat(tmp_path / "a.mat", {"session": trials})
    recording = read_recording(tmp_path / "a.mat")
    same(recording, DFF)
    assert (recording.frame_rate, recording.segment_starts) == (RATE, (0, 100, 350))
    for trial in trials.flat if kind == "cells of structs" else ():
        trial["fs"] += trial["dff"].shape[1]
    if kind == "array of structs":
        trials["fs"][0, 1] = 2 * RATE
    savemat(tmp_path / "a.mat", {"session": trials})
    refused(tmp_path / "a.mat", "session.fs is not one number", DataError)


def test_a_cell_for_each_number(tmp_path):
    """Thousands of them are listed at once, and are no trace of one neuron."""
    numbers = in_cells(list(DFF[:, :500].ravel())).reshape(6, 50, 10)
    savemat(tmp_path / "a.mat", {"traces": numbers, "fs": RATE})
    refused(tmp_path / "a.mat", r"has shape \(6, 50, 10\)", DataError)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for number in range(3_000):
            file[f"part{number // 100}/array{number}"] = np.zeros(3)
        file["dff"] = DFF
    started = time.process_time()
    same(read_recording(tmp_path / "a.h5", frame_rate=RATE), DFF)
    assert time.process_time() - started < 5


def test_structs_in_cells_of_version_7_3(tmp_path):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_dataset("session", (2, 1), h5py.ref_dtype)
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
        for number, part in enumerate((DFF[:, :250], DFF[:, 250:])):
            file[f"#refs#/{number}/dff"] = part.T
            file[f"#refs#/{number}/fs"] = [[RATE]]
            cells[number, 0] = file[f"#refs#/{number}"].ref
    recording = read_recording(path)
    same(recording, DFF)
    assert (recording.frame_rate, recording.segment_starts) == (RATE, (0, 250))


@pytest.mark.parametrize("where", ["", "data", "data/dff"])
@pytest.mark.parametrize("format", ["h5", "zarr"])
def test_the_frame_rate_in_an_attribute(tmp_path, where, format):
    path = tmp_path / f"a.{format}"
    if format == "h5":
        with h5py.File(path, "w") as file:
            file["data/dff"], file["data/wheel"] = DFF, np.zeros(7)
            file["data/wheel"].attrs["fs"] = 1000.0
            (file[where] if where else file).attrs["sampling_rate"] = RATE
    else:
        group = zarr.open_group(path, mode="w")
        group.create_array("data/dff", data=DFF)
        group.create_array("data/wheel", data=np.zeros(7)).attrs["fs"] = 1000.0
        (group[where] if where else group).attrs["sampling_rate"] = RATE
    recording = read_recording(path)
    same(recording, DFF)
    assert recording.frame_rate == RATE


def test_structs_of_version_7_3(tmp_path):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["data/dff"] = DFF.T
        file["data/fs"] = [[RATE]]
        cells = file.create_dataset("trials", (2, 1), h5py.ref_dtype)
        for number, part in enumerate((DFF[:, :250], DFF[:, 250:])):
            file[f"#refs#/{number}"] = part.T
            cells[number, 0] = file[f"#refs#/{number}"].ref
        for item in (file["data/dff"], file["data/fs"]):
            item.attrs["MATLAB_class"] = np.bytes_("double")
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
        file["data"].attrs["MATLAB_class"] = np.bytes_("struct")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    recording = read_recording(path)
    same(recording, DFF)
    assert recording.notes == ("dF/F from data.dff",)
    recording = read_recording(path, variable="trials")
    same(recording, DFF)
    assert (recording.frame_rate, recording.segment_starts) == (RATE, (0, 250))


# Zarr of xarray and Minian


def store(path, version=2, **arrays):
    group = zarr.open_group(path, mode="w", zarr_format=version)
    for name, (dimensions, values, *attributes) in arrays.items():
        values = np.asarray(values)
        if version == 2:
            made = group.create_array(name, data=values)
            made.attrs["_ARRAY_DIMENSIONS"] = dimensions
        else:
            made = group.create_array(name, data=values, dimension_names=dimensions)
        made.attrs.update(dict(attributes))
    return path


IDS = [0, 3, 7, 8, 12, 40]
UNITS_AND_FRAMES = {"unit_id": (["unit_id"], IDS), "frame": (["frame"], np.arange(FRAMES))}


@pytest.mark.parametrize("version", [2, 3])
def test_minian(tmp_path, version):
    dims = ["unit_id", "frame"]
    more = {
        "C": (dims, CLEAN),
        "S": (dims, CLEAN),
        "f": (["frame"], np.random.default_rng(3).random(FRAMES)),
    }
    path = store(tmp_path / "a.zarr", version, **more, YrA=(dims, DFF), **UNITS_AND_FRAMES)
    recording = read_recording(path, frame_rate=RATE)
    same(recording, DFF)
    assert recording.names == ("0", "3", "7", "8", "12", "40")
    refused(path, "does not tell its frame rate; state it in Hz .--frame-rate.", UsageError)
    for name, message in (("C", "C is denoised already.*YrA of Minian"), ("S", "deconvolved")):
        path = store(tmp_path / "b.zarr", version, **{name: more[name]}, **UNITS_AND_FRAMES)
        refused(path, message, DataError, frame_rate=RATE)
    refused(store(tmp_path / "c.zarr", version, f=more["f"], **UNITS_AND_FRAMES), "background")


@pytest.mark.parametrize("version", [2, 3])
def test_dimensions_of_xarray(tmp_path, version):
    dims = ["frame", "unit_id"]
    path = store(tmp_path / "a.zarr", version, dff=(dims, DFF.T), **UNITS_AND_FRAMES)
    recording = read_recording(path, frame_rate=RATE)
    same(recording, DFF)
    assert recording.names == ("0", "3", "7", "8", "12", "40")
    times = (["time"], 1000 * TIMES + 50, ("units", "ms"))
    path = store(tmp_path / "b.zarr", version, dff=(["roi", "time"], DFF), time=times)
    recording = read_recording(path)
    assert recording.frame_rate == pytest.approx(RATE)
    assert recording.times[0] == pytest.approx(0.05)


def test_zarr_leads_nowhere(tmp_path):
    secret = store(tmp_path / "secret.zarr", dff=(["roi", "time"], DFF))
    path = store(tmp_path / "a.zarr", other=(["roi", "time"], DFF))
    (path / "dff").symlink_to(secret / "dff", target_is_directory=True)
    refused(path, "dff in it is a link to another file", frame_rate=RATE)


def test_nwb_of_other_kinds_is_named(tmp_path):
    zarr.open_group(tmp_path / "a.nwb.zarr", mode="w").attrs["nwb_version"] = "2.7.0"
    refused(tmp_path / "a.nwb.zarr", "is NWB in Zarr; export it to HDF5", DataError)
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        file["nwb_version"] = "NWB-1.0.6"
        file["processing/pipeline/DfOverF/data"] = DFF
    refused(tmp_path / "a.nwb", "is NWB of version 1", DataError)


# CSV


def csv(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def rows(traces=DFF, times=TIMES, digits=6):
    return [
        [f"{t:.3f}", *(f"{v:.{digits}f}" for v in column)]
        for t, column in zip(times, traces.T, strict=False)
    ]


def table(header="time,a,b,c,d,e,f", times=TIMES):
    return "\n".join([header, *(",".join(row) for row in rows(times=times))]) + "\n"


def test_inscopix(tmp_path):
    names = "".join(f", C{k:02d}" for k in range(NEURONS))
    status = "Time(s)/Cell Status, accepted, rejected, accepted, undecided, accepted, accepted"
    path = tmp_path / "a.csv"
    recording = read_recording(csv(path, table(f" {names}\n{status}")))
    same(recording, DFF[[0, 2, 4, 5]], 1e-6)
    assert recording.names == ("C00", "C02", "C04", "C05")
    np.testing.assert_allclose(recording.times, TIMES)
    assert any("2 of 6 cells left out" in note for note in recording.notes)
    assert len(read_recording(path, all_rois=True).names) == NEURONS
    for header in (f" {names}", f"Time(s){names}", f"Time (ms){names}"):
        recording = read_recording(
            csv(path, table(header, 1000 * TIMES if "ms" in header else TIMES))
        )
        same(recording, DFF, 1e-6)
        assert recording.frame_rate == pytest.approx(RATE, rel=1e-5)


@pytest.mark.parametrize(
    "label", [None, "", "frame", "Frame #", "index", "n", "whatever", "sample_nr"]
)
def test_the_index_of_pandas(tmp_path, label):
    frame = pd.DataFrame(DFF.T, columns=[f"roi{k}" for k in range(NEURONS)])
    frame.to_csv(tmp_path / "a.csv", index_label=label)
    recording = read_recording(tmp_path / "a.csv", frame_rate=RATE)
    same(recording, DFF, 1e-12)
    assert recording.names == tuple(frame.columns)
    assert any("counts the rows: left out" in note for note in recording.notes)
    frame.columns = range(NEURONS)
    frame.to_csv(tmp_path / "a.csv", index_label=label)
    refused(tmp_path / "a.csv", "does not tell its frame rate", UsageError)
    assert read_recording(tmp_path / "a.csv", frame_rate=RATE).unit is None
    np.testing.assert_allclose(read_csv(tmp_path / "a.csv"), DFF.T)


def test_dates_and_time_differences(tmp_path):
    index = pd.Timestamp("2026-03-01 10:00") + pd.to_timedelta(TIMES, unit="s")
    for labels in (index, pd.to_timedelta(TIMES, unit="s")):
        pd.DataFrame(DFF.T, index=labels).to_csv(tmp_path / "a.csv", index_label="when")
        recording = read_recording(tmp_path / "a.csv")
        same(recording, DFF, 1e-12)
        np.testing.assert_allclose(recording.times, TIMES, atol=1e-9)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", ";").replace(".", ","),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(",", "\t").replace(".", ","),
        lambda text: "sep=,\n" + text,
        lambda text: "# exported\n# 20 Hz, mouse 1\n" + text,
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", ",\n"),
        lambda text: "# " + text,
        lambda text: "# mouse 1\n# " + text,
        lambda text: text.replace("time", "Frame Time [s]"),
    ],
)
def test_tables_as_programs_write_them(tmp_path, change):
    for encoding in ("utf-8", "utf-16"):
        recording = read_recording(csv(tmp_path / "a.csv", change(table()), encoding))
        same(recording, DFF, 1e-6)
        assert recording.names == tuple("abcdef")
        assert recording.frame_rate == pytest.approx(RATE)


def test_numbers_of_spreadsheets(tmp_path):
    lines = table().split("\n")
    lines[5] = "0.200,#DIV/0!,n/a,inf,1,1,1"
    recording = read_recording(csv(tmp_path / "a.csv", "\n".join(lines)))
    assert np.isnan(recording.fluorescence[4]).tolist() == [True] * 3 + [False] * 3
    assert np.isnan(recording.fluorescence).sum() == 3
    assert "2 cells such as #DIV/0! taken as missing" in recording.notes
    mixed = "a;b\n" + "\n".join(f"{k},5;{k}.5" for k in range(20))
    refused(csv(tmp_path / "a.csv", mixed), "decimal commas here and decimal points elsewhere")


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("timed", [False, True])
def test_a_header_that_is_data(tmp_path, counts, timed):
    values = np.round(RAW).astype(int) if counts else DFF
    lines = [",".join(map(str, column)) for column in values.T]
    if timed:
        lines = [f"{k * 50}," + line for k, line in enumerate(lines)]
    csv(tmp_path / "a.csv", "\n".join(lines) + "\n")
    refused(tmp_path / "a.csv", "add the (missing )?header row", DataError, frame_rate=RATE)


def test_the_competitions_form_by_its_header_alone(tmp_path):
    path = tmp_path / "a.csv"
    frame = pd.DataFrame(DFF.T)
    frame.to_csv(path, index=False)
    assert read_recording(path).unit == "competition"
    for columns in ("abcdef", range(1, 7), [3, 1, 4, 15, 9, 2]):
        frame.columns = list(columns)
        frame.to_csv(path, index=False)
        refused(path, "does not tell its frame rate", UsageError)
        assert read_recording(path, frame_rate=RATE).names == tuple(map(str, columns))
    frame.columns = range(6)
    frame[0] = TIMES
    frame.to_csv(path, index=False)
    refused(path, r"the first column only increases.*call it time \(s\)", DataError)


def test_imagej(tmp_path):
    measures = {" ": np.arange(1, FRAMES + 1)}
    for roi in (1, 2):
        measures |= {f"Area{roi}": 55, f"Mean{roi}": RAW[roi], f"Min{roi}": RAW[roi] - 9}
    pd.DataFrame(measures).to_csv(tmp_path / "Results.csv", index=False)
    recording = read_recording(tmp_path / "Results.csv", frame_rate=RATE)
    same(recording, RAW[[1, 2]], 1e-9)
    assert recording.names == ("Mean1", "Mean2")
    assert "ImageJ's measurements: the means read, area, min left out" in recording.notes
    labels = [f"movie.tif:{k}" for k in range(FRAMES)]
    frame = pd.DataFrame({"Label": labels, "Mean(soma)": RAW[0]})
    frame.to_csv(tmp_path / "Results.csv", index_label=" ")
    same(read_recording(tmp_path / "Results.csv", frame_rate=RATE), RAW[:1], 1e-9)


def test_what_is_recorded_beside_fluorescence(tmp_path):
    frame = pd.DataFrame(DFF.T, columns=list("abcdef"), index=pd.Index(TIMES, name="time"))
    for name in ("stim", "Running speed", "lick_1", "trial", "Pupil diameter"):
        frame.insert(0, name, np.arange(FRAMES) % 7)
    frame.to_csv(tmp_path / "a.csv")
    recording = read_recording(tmp_path / "a.csv")
    same(recording, DFF, 1e-12)
    assert "the column 'Running speed' is no fluorescence by its name: left out" in recording.notes
    assert len(recording.notes) == 5
    frame[["stim"]].to_csv(tmp_path / "a.csv")  # then it is what there is
    assert read_recording(tmp_path / "a.csv").names == ("stim",)


@pytest.mark.parametrize(
    "text, message",
    [
        ("Experiment: m1\nFrame rate,30\n\n" + table(), "remove lines before the header, or begin"),
    ],
)
def test_tables_that_say_what_is_to_be_changed(tmp_path, text, message):
    refused(csv(tmp_path / "a.csv", text), message, DataError)


@pytest.mark.parametrize(
    "start, message",
    [
        (b"PAR1" + bytes(40), "is a Parquet file; save it as CSV"),
        (b"ARROW1" + bytes(40), "is a Feather file; save it as CSV"),
        (b"\x1f\x8b\x08" + bytes(40), "is compressed; unpack it first"),
        (b"II*\0" + bytes(40), "is a TIFF image; give the traces"),
        (b"RIFF\x10\x00\x00\x00AVI LIST", "is a movie; give the traces"),
        (b"\0\0\0\x20ftypisom" + bytes(40), "is a movie; give the traces"),
        (b'{"dff": [[1, 2], [3, 4]]}', "is JSON; save the traces as CSV"),
        (b"[[1, 2], [3, 4]]", "is JSON; save the traces as CSV"),
        (b"%PDF-1.7", "is a PDF; give the traces themselves"),
        (b"SQLite format 3\0", "is a database; save the table"),
        (b"TDSm" + bytes(40), "is LabVIEW's TDMS; save the channels"),
        (b"IGOR\nWAVES/D cell0\nBEGIN\n", "is Igor's text; save the waves"),
        (pickle.dumps([1.0] * 40), "is a pickle, which may hold programs"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path, start, message):
    (tmp_path / "a.dat").write_bytes(start)
    refused(tmp_path / "a.dat", message, DataError)


@pytest.mark.parametrize("index", [False, True])
def test_a_long_table(tmp_path, index):
    frame = pd.DataFrame(
        {
            "unit_id": np.repeat(IDS, FRAMES),
            "frame": np.tile(np.arange(FRAMES), NEURONS),
            "dff": DFF.ravel(),
        }
    )
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "a.csv", index=False)
    same(read_recording(tmp_path / "a.csv", frame_rate=RATE), DFF, 1e-12)
    frame.to_csv(tmp_path / "a.csv", index=index)
    recording = read_recording(tmp_path / "a.csv", frame_rate=RATE)
    same(recording, DFF, 1e-12)
    assert recording.names == ("0", "3", "7", "8", "12", "40")
    assert "a long table: 6 neurons by unit_id" in recording.notes[-1]


def test_a_long_table_of_events(tmp_path):
    """As Inscopix writes them beside the traces; frames that were lost, and planes that take turns,
    are no events."""
    rng = np.random.default_rng(0)
    times, cells = np.sort(rng.uniform(0, 100, 300)).round(3), rng.choice(["C0", "C1", "C2"], 300)
    events = pd.DataFrame({"Time (s)": times, "Cell Name": cells, "Value": rng.gamma(2, size=300)})
    events.to_csv(tmp_path / "a.csv", index=False)
    refused(tmp_path / "a.csv", "the Value of each Cell Name is at few and uneven times", DataError)
    count, every = 3 * FRAMES, 1 / (3 * RATE)
    at, values = np.arange(count), DFF[:3].T.ravel()
    planes = pd.DataFrame({"time (s)": at * every, "roi": at % 3, "dff": values})
    for lost in (0, 0.1):
        kept = planes[rng.uniform(size=count) >= lost]
        kept.to_csv(tmp_path / "a.csv", index=False)
        assert read_recording(tmp_path / "a.csv").names == ("0", "1", "2")
    frames = np.flatnonzero(rng.uniform(size=FRAMES) >= 0.4)
    long = pd.DataFrame(DFF[:, frames].T, index=pd.Index(frames / RATE, name="time (s)"))
    long = long.melt(var_name="roi", value_name="dff", ignore_index=False)
    long.to_csv(tmp_path / "a.csv")
    assert read_recording(tmp_path / "a.csv").fluorescence.shape == (frames.size, NEURONS)


@pytest.mark.parametrize("label", ["", "roi", "Cell"])
def test_neurons_in_rows_with_their_names(tmp_path, label):
    names = [f"soma {k}" for k in range(NEURONS)]
    pd.DataFrame(DFF, index=names).to_csv(tmp_path / "a.csv", index_label=label)
    for stated in ({}, {"orientation": "neuron-time"}):
        recording = read_recording(tmp_path / "a.csv", frame_rate=RATE, **stated)
        same(recording, DFF, 1e-12)
        assert recording.names == tuple(names)
    np.testing.assert_allclose(read_csv(tmp_path / "a.csv"), DFF.T)


def test_a_counter_is_no_time(tmp_path):
    """Frames of 1 Hz are very rare, and a column of frame numbers called time is not."""
    path = csv(tmp_path / "a.csv", table(times=np.arange(FRAMES)))
    refused(path, "does not tell its frame rate", UsageError)
    assert read_recording(path, frame_rate=RATE).frame_rate == RATE
    np.savez(tmp_path / "a.npz", dff=DFF, t=np.arange(1, FRAMES + 1))
    refused(tmp_path / "a.npz", "does not tell its frame rate", UsageError)
    recording = read_recording(tmp_path / "a.npz", frame_rate=RATE)
    assert recording.notes[1] == "t counts the frames: not used"
    path = csv(tmp_path / "a.csv", table("time (s),a,b,c,d,e,f", np.arange(FRAMES)))
    assert read_recording(path).frame_rate == 1


def test_workbooks_are_named_for_what_they_are(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as file:
        file.writestr("[Content_Types].xml", "<Types/>")
        file.writestr("xl/workbook.xml", "<workbook/>")
        file.writestr("xl/worksheets/sheet1.xml", "<worksheet/>")
    refused(tmp_path / "a.xlsx", "is an Excel workbook; save the sheet with the traces as CSV")
    with zipfile.ZipFile(tmp_path / "a.ods", "w") as file:
        file.writestr("content.xml", "<office/>")
    refused(tmp_path / "a.ods", "is an OpenDocument spreadsheet; save the sheet")
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as file:
        file.writestr("a.csv", "time,a\n0,1\n")
    refused(tmp_path / "a.csv.zip", "is an archive without arrays; unpack it")


def test_rates_are_scored_by_the_names_of_their_neurons(tmp_path):
    truth, own = tmp_path / "truth.csv", tmp_path / "own.csv"
    frame = pd.DataFrame(CLEAN.T)
    frame.to_csv(truth)
    turned = pd.DataFrame(DFF.T)[[5, 4, 3, 2, 1, 0]]
    turned.insert(0, "time (s)", TIMES)
    turned.to_csv(own, index=False)
    first, second, names, notes = read_pair(truth, own)
    np.testing.assert_allclose(first, CLEAN.T)
    np.testing.assert_allclose(second, DFF.T)
    assert names == [str(k) for k in range(NEURONS)]
    assert any("put into the order of" in note for note in notes)
    pd.DataFrame(DFF.T, columns=list("abcdef")).to_csv(own, index=False)
    np.testing.assert_allclose(read_pair(truth, own)[1], DFF.T)
    assert "matched by their place" in read_pair(truth, own)[3][-1]
    own.write_text(pd.read_csv(own).assign(time=np.arange(FRAMES) / RATE).to_csv(index=False))
    assert any("are taken for 0.01 s" in note for note in read_pair(truth, own)[3])
    pd.DataFrame(DFF.T[:, :4]).to_csv(own, index=False)
    with pytest.raises(DataError, match=r"have different neurons \(4, 5 in one only\)"):
        read_pair(truth, own)
    pd.DataFrame(DFF.T[1:]).to_csv(own, index=False)
    with pytest.raises(DataError, match=r"has 600 rows x 6 neurons, but .* 599 x 6"):
        read_pair(truth, own)


# Time


def test_rounded_time_stamps(tmp_path):
    """The mean of ordinary intervals, not the median of rounded ones."""
    times = np.delete(np.arange(FRAMES + 30) / 30, np.arange(100, 130)).round(2)
    path = csv(tmp_path / "a.csv", table(times=times))
    assert read_recording(path).frame_rate == pytest.approx(30, rel=1e-3)
    assert read_recording(path, frame_rate=30).frame_rate == pytest.approx(30, rel=1e-3)
    np.savez(tmp_path / "a.npz", dff=DFF[:, :8], t=(np.arange(8) / 7.5).round(1))
    read_recording(tmp_path / "a.npz", frame_rate=7.5)
    refused(tmp_path / "a.npz", "not 15", UsageError, frame_rate=15)


@pytest.mark.parametrize(
    "rate, units", [(0.01, "ms"), (0.29, "ms"), (1001, "minutes"), (33000, "minutes or hours")]
)
def test_rates_that_nobody_has(tmp_path, rate, units):
    np.save(tmp_path / "a.npy", DFF)
    refused(tmp_path / "a.npy", r"are these ms.*\(--frame-rate\)", UsageError, frame_rate=rate)
    np.savez(tmp_path / "a.npz", dff=DFF, t=np.arange(FRAMES) / rate)
    refused(tmp_path / "a.npz", rf"are these {units}\?.*\(--frame-rate", UsageError)
    # What the message proposes works.
    assert read_recording(tmp_path / "a.npz", frame_rate=rate).frame_rate == pytest.approx(rate)


def test_missing_time_stamps(tmp_path):
    times = TIMES.copy()
    times[[0, 300, -2, -1]] = np.nan
    np.savez(tmp_path / "a.npz", dff=DFF, t=times)
    refused(
        tmp_path / "a.npz", r"4 of 600 time stamps are missing \(NaN\).*--frame-rate", DataError
    )
    recording = read_recording(tmp_path / "a.npz", frame_rate=RATE)
    np.testing.assert_allclose(recording.times, TIMES, atol=1e-9)
    assert any("4 missing time stamps filled in" in note for note in recording.notes)
