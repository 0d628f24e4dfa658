"""Recordings as suite2p, CaImAn and NWB keep them, and predictions back into NWB."""

import collections
import inspect
import io
import logging
import os
import pathlib
import pickle
import shutil
import sys
import types
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from spikefinder_keras import predict
from spikefinder_keras.errors import DataError, OutputError, SpikefinderError, UsageError
from spikefinder_keras.recordings.formats import (
    check_prediction_path,
    nwb,
    nwb_writer,
    pickled,
    read_recording,
    rois,
    write_prediction,
)
from spikefinder_keras.recordings.options import ReadOptions
from spikefinder_keras.recordings.recording import Prediction

pynwb = pytest.importorskip("pynwb")

FRAMES, NEURONS = 200, 5
TRACES = np.random.default_rng(0).random((NEURONS, FRAMES)).astype(np.float32)
NEUROPIL = np.random.default_rng(1).random((NEURONS, FRAMES)).astype(np.float32)


def refuse(path, message, error=DataError, **stated):
    """Assert that a file is refused in one line which names it."""
    with pytest.raises(SpikefinderError, match=message) as raised:
        read_recording(path, **stated)
    assert raised.type is error
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


# suite2p


@pytest.fixture
def plane(tmp_path):
    """A plane folder as suite2p 0.14 writes it."""
    folder = tmp_path / "suite2p" / "plane0"
    folder.mkdir(parents=True)
    np.save(folder / "F.npy", TRACES)
    np.save(folder / "Fneu.npy", NEUROPIL)
    np.save(folder / "spks.npy", TRACES)
    np.save(folder / "iscell.npy", np.column_stack([[1, 0, 1, 1, 0], np.linspace(0, 1, 5)]))
    save_settings(folder / "ops.npy", fs=30.0)
    return folder


def save_settings(path, **settings):
    """As suite2p saves a dict, with values of the kinds that it holds."""
    others = {
        "data_path": [pathlib.Path("/data/mouse"), pathlib.PureWindowsPath("C:\\data")],
        "meanImg": np.ones((4, 4), np.float32),
        "xoff": np.array([1, 2], np.int16),
        "files": np.array(["a.tif", None], object),
        "version": "1.0",
        "run": {"deconvolve": np.bool_(True), "tau": np.float32(1.25), "sets": {1, 2}, "c": 1j},
    }
    np.save(path, others | settings, allow_pickle=True)


def test_suite2p(plane):
    kept = [0, 2, 3]
    for path in (plane, plane.parent, plane.parent.parent):
        recording = read_recording(path)
        np.testing.assert_allclose(
            recording.fluorescence.T, TRACES[kept] - 0.7 * NEUROPIL[kept], atol=1e-6
        )
    assert recording.fluorescence.dtype == np.float32
    assert recording.names == ("0", "2", "3")
    assert (recording.unit, recording.frame_rate) == ("F", 30)
    assert recording.source == str(plane)
    assert recording.notes == (
        "F from F.npy, 3 of 5 ROIs",
        "2 of 5 ROIs left out, which iscell calls no cell (--all-rois keeps them)",
        "neuropil subtracted: F - 0.7 Fneu",
    )


def test_suite2p_with_statements(plane):
    recording = read_recording(plane, frame_rate=15, all_rois=True, neuropil=0, unit="dF/F")
    np.testing.assert_array_equal(recording.fluorescence.T, TRACES)
    assert recording.names == ("0", "1", "2", "3", "4")
    assert (recording.unit, recording.frame_rate) == ("dF/F", 15)
    assert "the frame rate is 15 Hz as stated, but 30 Hz in the file" in recording.notes
    for factor in (-0.1, float("nan"), "0.7", 3):
        with pytest.raises(UsageError, match=f"neuropil factor of {factor}"):
            read_recording(plane, neuropil=factor)
    refuse(plane, "is neuron-time for certain; leave the", UsageError, orientation="time-neuron")
    refuse(plane, "leave out the variable F", UsageError, variable="F")


def test_suite2p_settings_go_first(plane):
    save_settings(plane.parent / "settings.npy", fs=20.0)
    assert read_recording(plane).frame_rate == 20
    save_settings(plane / "settings.npy", fs=np.array([10]))
    assert read_recording(plane).frame_rate == 10


def test_suite2p_files_of_numpy_1(plane):
    """numpy.core became numpy._core, and such pickles must stay readable."""
    content = (plane / "ops.npy").read_bytes()
    core = b"numpy._core" if b"numpy._core" in content else b"numpy.core"
    # The names' lengths stand before them, so the pickle is made anew in text.
    loaded = np.load(plane / "ops.npy", allow_pickle=True)
    header = content[: content.index(b"\n") + 1]
    text = pickle.dumps(loaded, protocol=0)
    for name in (b"numpy.core", b"numpy._core"):
        (plane / "ops.npy").write_bytes(header + text.replace(core, name))
        assert read_recording(plane).frame_rate == 30


def test_suite2p_without_neuropil_or_cells(plane):
    (plane / "Fneu.npy").unlink()
    recording = read_recording(plane)
    np.testing.assert_array_equal(recording.fluorescence.T, TRACES[[0, 2, 3]])
    assert "neuropil not subtracted: there is no Fneu" in recording.notes
    (plane / "iscell.npy").unlink()
    assert len(read_recording(plane).names) == 5


def test_several_planes(plane):
    """All in one go, in the order of their numbers; a frame that one has not is missing in it."""
    for number in (2, 10):
        shutil.copytree(plane, plane.with_name(f"plane{number}"))
    for name, array in (("F", TRACES), ("Fneu", NEUROPIL)):
        np.save(plane.with_name("plane10") / f"{name}.npy", array[:, 1:])
    recording = read_recording(plane.parent)
    assert recording.names == tuple(f"plane{p}-{roi}" for p in (0, 2, 10) for roi in (0, 2, 3))
    assert recording.fluorescence.shape == (FRAMES, 9)
    first = read_recording(plane)
    assert first.names == ("0", "2", "3")
    np.testing.assert_array_equal(recording.fluorescence[:, :3], first.fluorescence)
    np.testing.assert_array_equal(recording.fluorescence[:, 3:6], first.fluorescence)
    assert np.isnan(recording.fluorescence[-1]).tolist() == [False] * 6 + [True] * 3
    assert "3 planes, neurons named by plane and ROI" in recording.notes
    assert "plane10: 1 frame fewer than the others" in recording.notes
    save_settings(plane / "ops.npy", fs=10.0)
    refuse(plane.parent, "planes of different frame rates .plane0 10 Hz, plane2 30 Hz")


def test_more_rois_than_frames(plane):
    for name in ("F", "Fneu"):
        np.save(plane / f"{name}.npy", np.random.default_rng(3).random((300, 20), np.float32))
    np.save(plane / "iscell.npy", np.ones((300, 2)))
    assert read_recording(plane).fluorescence.shape == (20, 300)
    (plane / "iscell.npy").unlink()
    refuse(plane, "300 neurons of 20 frames each; state the orientation")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("Fneu", NEUROPIL[:, 1:], r"F is \(5, 200\), but Fneu is \(5, 199\)"),
        ("iscell", np.ones((4, 2)), r"F has 5 ROIs, but iscell is \(4, 2\)"),
        (
            "iscell",
            np.zeros((5, 2)),
            "iscell accepts none of the 5 ROIs; classify them, or .*--all-rois",
        ),
        ("F", TRACES[0], r"F has shape \(200,\); give ROIs x frames"),
        ("F", np.ones((0, 9)), r"F has shape \(0, 9\)"),
        ("F", np.array([{}]), "F.npy is no array of numbers"),
        ("F", np.array(["a"]), "F.npy is no array of numbers"),
        ("ops", [None], "it holds Python objects"),
        ("ops", {}, "does not tell its frame rate; state it in Hz"),
        ("ops", {"fs": 0}, "fs: a rate of 0.0 Hz is impossible"),
        ("ops", {"fs": [1, 2]}, "fs is not one number"),
        ("ops", ["fs"], "ops.npy cannot be read: it is an array and no dict"),
    ],
)
def test_contradictory_suite2p_files(plane, name, array, message):
    np.save(plane / f"{name}.npy", array, allow_pickle=True)
    with pytest.raises(SpikefinderError, match=message) as error:
        read_recording(plane)
    assert str(plane) in str(error.value)


def test_truncated_suite2p_files(plane):
    for name, message in (("F", "is no array of numbers"), ("iscell", "is no array of numbers")):
        content = (plane / f"{name}.npy").read_bytes()
        for size in (0, 5, 70, len(content) - 1):
            (plane / f"{name}.npy").write_bytes(content[:size])
            refuse(plane, message)
        (plane / f"{name}.npy").write_bytes(content)
    os.truncate(plane / "ops.npy", 300)
    refuse(plane, "ops.npy cannot be read: it is damaged.*; state the frame rate .--frame-rate. to")
    recording = read_recording(plane, frame_rate=30)
    assert any("not used: " in note and "ops.npy" in note for note in recording.notes)


class Trap:
    """Unpickled, it makes the folder of which it has the name."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_settings_with_code_do_not_run(plane, tmp_path):
    save_settings(plane / "ops.npy", fs=30.0, trap=Trap(tmp_path / "marker"))
    assert read_recording(plane).frame_rate == 30
    assert not (tmp_path / "marker").exists()
    np.load(plane / "ops.npy", allow_pickle=True)  # would have made it
    assert (tmp_path / "marker").exists()


def test_settings_with_classes_that_nobody_has(plane, monkeypatch):
    """Neither looked up nor imported: what is not needed of them does not matter."""
    module = types.ModuleType("of_a_laboratory")
    module.Setting = type("Setting", (dict,), {"__module__": "of_a_laboratory"})
    monkeypatch.setitem(sys.modules, "of_a_laboratory", module)
    setting = module.Setting(a=1)
    setting.extra = [1, 2]
    save_settings(
        plane / "ops.npy",
        fs=30.0,
        date_proc=datetime(2026, 3, 1, tzinfo=UTC),
        counts=collections.Counter("ab"),
        queue=collections.deque([1]),
        level=logging.Logger("a").level,
        kind=inspect.Parameter.VAR_KEYWORD,
        setting=setting,
        table=pd.DataFrame({"a": [1]}),
    )
    monkeypatch.delitem(sys.modules, "of_a_laboratory")
    assert read_recording(plane).frame_rate == 30


def by_name(module, name, *arguments):
    """A pickle that looks up a name, in the way of protocol 4, and calls it with each text."""
    pushed = [b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name, *arguments)]
    calls = b"".join(text + b"\x85R" for text in pushed[2:])
    return b"\x80\x04" + pushed[0] + pushed[1] + b"\x93" + calls + b"."


ATTACKS = {
    "eval": lambda code, path: b"cbuiltins\neval\n(V" + code.encode() + b"\ntR.",
    "builtins of dtypes": lambda code, path: by_name(
        "numpy.dtypes", "__builtins__.get", "eval", code
    ),
    "dotted dtypes": lambda code, path: by_name("numpy.dtypes", "sys.modules", code),
    "dotted builtins": lambda code, path: by_name("builtins", "print.__self__.eval", code),
    "dotted array": lambda code, path: by_name("numpy", "ndarray.tofile", path),
    "dotted core": lambda code, path: by_name(
        "numpy._core.multiarray", "_reconstruct.__globals__", code
    ),
    "import": lambda code, path: by_name("antigravity", "fly", code),
    "system": lambda code, path: by_name("os", "system", f"touch {path}"),
    "file": lambda code, path: by_name("numpy", "load", "/etc/passwd"),
    "memory": lambda code, path: b"cbuiltins\nbytearray\n(L10000000000000L\ntR.",
    "nesting": lambda code, path: b"(" * 100_000 + b".",
    # {}, then its __builtins__ by the state of a dtype: an attribute walk in two steps
    "state": lambda code, path: (
        b"cnumpy\ndtype\n(V" + code.encode() + b"\ntR(dV__class__\ncbuiltins\neval\nstb."
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", ["ops.npy", "settings.npy"])
def test_pickles_made_to_attack(plane, tmp_path, attack, name):
    marker = tmp_path / "marker"
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    start = (plane / "ops.npy").read_bytes()
    start = start[: start.index(b"\n") + 1]
    (plane / name).write_bytes(start + ATTACKS[attack](code, str(marker)))
    refuse(plane, "it holds Python objects|is damaged|too much memory")
    (plane / "dff.npy").write_bytes((plane / name).read_bytes())  # as of Cascade
    refuse(plane / "dff.npy", "it holds Python objects|is damaged|too much memory")
    assert not marker.exists()


def test_nothing_of_a_pickle_is_imported_or_looked_up():
    """Whatever the pair of names: what it gives is of the module itself, or the empty dict's."""
    unpickler = pickled._Unpickler(io.BytesIO())
    for module, name in [
        ("numpy.dtypes", "Float64DType"),
        ("numpy.dtypes", "__builtins__"),
        ("numpy", "ndarray.tofile"),
        ("numpy", "load"),
        ("builtins", "getattr"),
        ("builtins", "bytearray"),
        ("antigravity", "fly"),
        ("pathlib", "Path"),
    ]:
        assert unpickler.find_class(module, name) is pickled._Inert
    assert "antigravity" not in sys.modules
    for stand_in in pickled._STAND_INS.values():
        assert stand_in is dict or stand_in.__module__ == pickled.__name__


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_numbers_of_pickles(plane, protocol):
    """Read as numpy reads them, in every protocol."""
    rng = np.random.default_rng(0)
    values = {
        "double": rng.random((3, 4)),
        "big": rng.random(5).astype(">f4"),
        "columns": np.asfortranarray(rng.integers(0, 99, (3, 2), np.int16)),
        "flags": np.array([True, False]),
        "empty": np.empty((0, 3), np.uint8),
        "number": np.float32(1.25),
        "whole": np.int64(-7),
        "text": np.array("a"),
        "nested": np.array(2.5),
    }
    start = (plane / "ops.npy").read_bytes()
    start = start[: start.index(b"\n") + 1]
    (plane / "ops.npy").write_bytes(start + pickle.dumps(np.array(values), protocol))
    loaded = pickled.load(plane / "ops.npy")
    assert loaded.pop("text") is None
    del values["text"]
    assert loaded.keys() == values.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(loaded[name], value, strict=True)


# CaImAn


def caiman(path, **estimates):
    """As CaImAn saves its results; what is None is the text NoneType."""
    arrays = {
        "F_dff": TRACES,
        "C": 2 * TRACES,
        "YrA": NEUROPIL,
        "S": TRACES,
        "idx_components": np.array([0, 3]),
        "A/data": np.ones(3),
        "fr": 30,
    } | estimates
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            where = "params/data/fr" if name == "fr" else f"estimates/{name}"
            file[where] = "NoneType" if array is None else array
        file["params/data/fnames"] = "mouse.tif"
    return path


def test_caiman(tmp_path):
    recording = read_recording(caiman(tmp_path / "a.hdf5"))
    np.testing.assert_array_equal(recording.fluorescence.T, TRACES[[0, 3]])
    assert recording.names == ("0", "3")
    assert (recording.unit, recording.frame_rate) == ("dF/F", 30)
    assert recording.notes == (
        "dF/F from F_dff, 2 of 5 components",
        "3 of 5 components left out, not in idx_components (--all-rois keeps them)",
    )
    assert len(read_recording(tmp_path / "a.hdf5", all_rois=True).names) == 5


def test_caiman_without_dff(tmp_path):
    path = caiman(tmp_path / "a.hdf5", F_dff=None, idx_components=None)
    recording = read_recording(path)
    np.testing.assert_array_equal(recording.fluorescence.T, 2 * TRACES + NEUROPIL)
    assert (recording.unit, recording.notes) == ("F", ("F from C + YrA, 5 of 5 components",))
    recording = read_recording(caiman(path, F_dff=None))
    np.testing.assert_array_equal(recording.fluorescence.T, (2 * TRACES + NEUROPIL)[[0, 3]])


@pytest.mark.parametrize(
    ("estimates", "message"),
    [
        ({"F_dff": None, "YrA": None}, "has only the denoised traces C; run detrend_df_f"),
        ({"F_dff": None, "C": None}, "neither estimates/F_dff nor C and YrA"),
        ({"F_dff": None, "YrA": NEUROPIL[1:]}, r"C is \(5, 200\), but YrA is \(4, 200\)"),
        ({"F_dff": TRACES[0]}, r"estimates/F_dff has shape \(200,\)"),
        ({"F_dff": np.array([b"a"])}, "estimates/F_dff holds .* values, not real numbers"),
        ({"idx_components": np.array([0, 5])}, "does not number the 5 components"),
        ({"idx_components": np.array([-1])}, "does not number the 5 components"),
        ({"idx_components": np.empty(0)}, "idx_components accepts none of the 5 components"),
        ({"fr": None}, "does not tell its frame rate; state it in Hz"),
        ({"fr": -3.0}, "params/data/fr: a rate of -3.0 Hz is impossible"),
        ({"F_dff": TRACES[:3]}, r"F_dff is \(3, 200\), but C is \(5, 200\): it is of an earlier"),
    ],
)
def test_faulty_caiman_files(tmp_path, estimates, message):
    error = UsageError if message.startswith("does not tell") else DataError
    refuse(caiman(tmp_path / "a.hdf5", **estimates), message, error)


# HDF5 made to attack


def external_link(file, folder):
    file["estimates/F_dff"] = h5py.ExternalLink(folder / "secret.hdf5", "estimates/F_dff")


def external_link_elsewhere(file, folder):
    file["estimates/F_dff"] = TRACES
    file["estimates/A/other"] = h5py.ExternalLink(folder / "secret.hdf5", "estimates")


def external_storage(file, folder):
    file.create_dataset("estimates/F_dff", (2, 10), "f4", external=[(folder / "raw", 0, 80)])


def virtual(file, folder):
    layout = h5py.VirtualLayout(TRACES.shape, "f4")
    layout[:] = h5py.VirtualSource(folder / "secret.hdf5", "estimates/F_dff", TRACES.shape)
    file.create_virtual_dataset("estimates/F_dff", layout)


def huge(file, folder):
    file.create_dataset("estimates/F_dff", (1 << 20, 1 << 20), "f4", chunks=(1, 1000))


def hollow(file, folder):
    file.create_dataset("estimates/F_dff", (1 << 10, 1 << 18), "f4", chunks=(1, 1000), fillvalue=1)


def huge_chunks(file, folder):
    file.create_dataset(
        "estimates/F_dff", (5, 10), "f8", chunks=(1 << 14, 1 << 14), maxshape=(None, None)
    )


def deep(file, folder):
    for _ in range(100):
        file = file.create_group("g")


def cycle(file, folder):
    for name in "abc":
        file[f"estimates/{name}"] = file["estimates"]


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (external_link, "/estimates/F_dff is a link to another file"),
        (external_link_elsewhere, "/estimates/A/other is a link to another file"),
        (external_storage, "/estimates/F_dff takes its values from another file"),
        (virtual, "/estimates/F_dff takes its values from another file"),
        (huge, "claims 4398046511104 bytes, but the file holds"),
        (hollow, "claims 1073741824 bytes, but the file holds 0 of them"),
        (huge_chunks, "estimates/F_dff claims chunks of 2147483648 bytes"),
        (deep, "nested deeper than 50"),
        (cycle, "nested deeper than 50|more than 100000 objects"),
    ],
)
def test_attacks(tmp_path, attack, message):
    caiman(tmp_path / "secret.hdf5")
    (tmp_path / "raw").write_bytes(bytes(range(80)))
    caiman(tmp_path / "a.hdf5")
    with h5py.File(tmp_path / "a.hdf5", "a") as file:
        del file["estimates/F_dff"]
        attack(file, tmp_path)
    refuse(tmp_path / "a.hdf5", message)


def test_truncated_hdf5(tmp_path):
    whole = caiman(tmp_path / "a.hdf5").read_bytes()
    for size in (100, 600, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.hdf5").write_bytes(whole[:size])
        refuse(tmp_path / "a.hdf5", "is damaged, or of a kind not known here")


def test_other_hdf5(tmp_path):
    """Arrays by their usual names, in groups too, and a frame rate as an attribute."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["mouse/dff"] = TRACES
        file["mouse/centroids"] = np.ones((NEURONS, 2))
        file["movie"] = np.ones((3, 4, 4))
        file.attrs["frame_rate"] = 20.0
    recording = read_recording(tmp_path / "a.h5")
    np.testing.assert_array_equal(recording.fluorescence.T, TRACES)
    assert (recording.frame_rate, recording.unit) == (20, "dF/F")
    assert recording.notes == ("dF/F from mouse.dff",)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["movie"] = np.ones((3, 4, 4))
    refuse(tmp_path / "a.h5", r"holds no array of traces \(it has movie 3x4x4\)")


# NWB

IDS = ("10", "11", "12", "13", "14")


def save_nwb(path, series=(("Fluorescence", "RoiResponseSeries", {}),), **timing):
    """An NWB file with the given series, each `(container, name, other arguments)`."""
    timing = timing or {"rate": 30.0}
    nwbfile = pynwb.NWBFile("a mouse", "id", datetime(2020, 1, 1, tzinfo=UTC))
    device = nwbfile.create_device("microscope")
    channel = pynwb.ophys.OpticalChannel(name="green", description="green", emission_lambda=510.0)
    plane = nwbfile.create_imaging_plane(
        name="plane", optical_channel=channel, description="L2/3", device=device,
        excitation_lambda=920.0, indicator="GCaMP6s", location="V1",
    )  # fmt: skip
    ophys = nwbfile.create_processing_module("ophys", "optical physiology")
    segmentation = pynwb.ophys.ImageSegmentation()
    ophys.add(segmentation)
    table = segmentation.create_plane_segmentation("cells", plane, name="PlaneSegmentation")
    for number in range(NEURONS):
        table.add_roi(pixel_mask=[(number, 1, 1.0)], id=10 + number)
    region = table.create_roi_table_region("all", region=list(range(NEURONS)))
    for container, name, details in series:
        if container not in ophys.data_interfaces:
            ophys.add(getattr(pynwb.ophys, container)())
        arguments = {"data": TRACES.T, "unit": "n.a.", "rois": region} | timing | details
        ophys[container].create_roi_response_series(name=name, **arguments)
    with pynwb.NWBHDF5IO(path, "w") as file:
        file.write(nwbfile)
    return path


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """An NWB file; no test changes it."""
    return save_nwb(tmp_path_factory.mktemp("nwb") / "example.nwb", rate=30.0, starting_time=5.0)


@pytest.fixture(scope="module")
def recording(example):
    return read_recording(example)


@pytest.fixture
def prediction(recording):
    rates = np.random.default_rng(2).random((FRAMES, NEURONS)).astype(np.float32)
    rates[4, 2] = np.nan
    return Prediction(rates, recording, {"unit": "spikes per second", "weights": "described"})


def test_nwb(recording, example):
    np.testing.assert_array_equal(recording.fluorescence, TRACES.T)
    assert recording.names == IDS
    assert (recording.unit, recording.frame_rate) == ("F", 30)
    np.testing.assert_allclose(recording.times, 5 + np.arange(FRAMES) / 30)
    assert recording.source == str(example)
    assert recording.notes == (
        "series ophys/Fluorescence/RoiResponseSeries",
        "the file says: indicator GCaMP6s",
    )
    assert recording.about == {"indicator": "GCaMP6s"}
    assert "GCaMP6s, so GCaMP" in predict(recording).description["indicator"]
    stated = predict(recording, indicator="OGB-1").description["indicator"]
    assert "OGB-1, so dye" in stated


def test_nwb_prefers_dff_and_leaves_out_what_is_processed(tmp_path):
    series = [
        ("Fluorescence", "RoiResponseSeries", {}),
        ("Fluorescence", "Neuropil", {}),
        ("Fluorescence", "Deconvolved", {}),
        ("DfOverF", "RoiResponseSeries", {"data": 100 * TRACES.T, "unit": "percent"}),
    ]
    times = np.arange(FRAMES) / 20 + 3
    path = save_nwb(tmp_path / "a.nwb", series, timestamps=times)
    recording = read_recording(path)
    np.testing.assert_allclose(recording.fluorescence, TRACES.T, rtol=1e-6)
    assert recording.unit == "dF/F"
    assert recording.frame_rate == pytest.approx(20)
    np.testing.assert_array_equal(recording.times, times)
    assert recording.notes[2] == "dF/F in percent, divided by 100"


def series_of(*places, kind="RoiResponseSeries"):
    """Series by their names; DfOverF is the type of the containers that are called so."""
    names = [f"ophys/{place}" for place in places]
    return {
        name: nwb.Series(name, kind, name.split("/")[1] if "DfOverF" in name else "")
        for name in names
    }


def test_the_choice_among_series():
    """Without files, as the children take a second each."""
    two = series_of("Fluorescence/A", "Fluorescence/B", "Fluorescence/Denoised")
    dff = series_of("DfOverF/A")
    assert nwb.choose("x.nwb", two | dff, None).name == "ophys/DfOverF/A"
    assert nwb.choose("x.nwb", two | dff, "Fluorescence/A").name == "ophys/Fluorescence/A"
    assert nwb.choose("x.nwb", two, "B").name == "ophys/Fluorescence/B"
    # The container's name counts, as the Allen Institute gives it.
    allen = series_of("demixed/traces", "neuropil_trace/traces", "corrected_fluorescence/traces")
    assert nwb.choose("x.nwb", allen, None).name == "ophys/corrected_fluorescence/traces"
    named = allen | series_of("dff/traces") | series_of("event_detection/traces")
    assert nwb.choose("x.nwb", named, None).name == "ophys/dff/traces"
    for series, variable, error, message in (
        (two, None, UsageError, "several series; name the variable .--variable.: ophys/F.*/A, op"),
        (two, "C", UsageError, "has not one series C; choose from ophys/Fluorescence/A, ophys"),
        (two | dff, "A", UsageError, "has not one series A; choose from"),
        (two, "Denoised", DataError, "Denoised is processed already; give the fluorescence"),
        ({}, None, DataError, r"no RoiResponseSeries of fluorescence \(it has none\)"),
    ):
        with pytest.raises(error, match=message):
            nwb.choose("x.nwb", series, variable)


def test_nwb_with_rois_in_rows_and_a_gain(tmp_path):
    details = {"data": TRACES, "conversion": 2.0, "offset": 1.0}
    path = save_nwb(tmp_path / "a.nwb", [("Fluorescence", "RoiResponseSeries", details)])
    recording = read_recording(path, frame_rate=15)
    np.testing.assert_allclose(recording.fluorescence, 2 * TRACES.T + 1, rtol=1e-6)
    assert recording.frame_rate == 15
    assert "is ROI x time in the file" in recording.notes[2]
    assert "15 Hz as stated, but 30 Hz in the file" in recording.notes[3]


def test_nwb_of_other_shapes(tmp_path):
    details = {"data": TRACES.T[:, :3]}
    path = save_nwb(tmp_path / "a.nwb", [("Fluorescence", "RoiResponseSeries", details)])
    refuse(path, r"has shape \(200, 3\), but 5 ROIs; correct it")


def test_nwb_with_links_to_other_files(tmp_path, example, recording):
    """What leads only to a movie does not matter; the traces themselves must be in the file."""
    path = shutil.copy(example, tmp_path / "a.nwb")
    with h5py.File(path, "a") as file:
        file["acquisition/movie"] = h5py.ExternalLink("movie.h5", "data")
    np.testing.assert_array_equal(read_recording(path).fluorescence, recording.fluorescence)
    rates = Prediction(np.ones((FRAMES, NEURONS), np.float32), read_recording(path))
    written = write_prediction(tmp_path / "b.nwb", rates)
    with h5py.File(written) as file:
        assert file["acquisition"].get("movie", getlink=True).filename == "movie.h5"
        assert "SpikeRates" in file["processing/ophys/Fluorescence"]
    shutil.copy(example, tmp_path / "secret.nwb")
    place = "processing/ophys/Fluorescence/RoiResponseSeries"
    for link in (f"{place}/data", place, "processing", f"{place}/rois"):
        shutil.copy(example, path)
        with h5py.File(path, "a") as file:
            del file[link]
            file[link] = h5py.ExternalLink("secret.nwb", link)
        refuse(path, "is a link to another file|no RoiResponseSeries of fluorescence")
        with h5py.File(path, "a") as file:  # by a detour
            file["detour"] = h5py.ExternalLink("secret.nwb", link)
            del file[link]
            file[link] = h5py.SoftLink("/detour")
        refuse(path, "is a link to another file|no RoiResponseSeries of fluorescence")


def written(path, name="SpikeRates"):
    with pynwb.NWBHDF5IO(path, "r") as file:
        ophys = file.read().processing["ophys"]
        series = ophys["Fluorescence"][name]
        timing = series.rate, series.starting_time, series.timestamps
        assert series.rois.table is ophys["ImageSegmentation"]["PlaneSegmentation"]
        return series.data[:], series.rois.data[:], series.unit, series.comments, timing


def test_a_new_nwb_file(tmp_path, example, prediction):
    before = example.read_bytes()
    path = write_prediction(tmp_path / "rates.nwb", prediction)  # the recording tells its source
    assert example.read_bytes() == before
    data, rois, unit, comments, timing = written(path)
    np.testing.assert_array_equal(data, prediction.table)
    np.testing.assert_array_equal(rois, range(5))
    assert unit == "spikes per second"
    assert '"weights": "described"' in comments
    assert timing == (30, 5, None)
    assert pynwb.validate(path=str(path)) in ([], ([], 0))
    # Again and again, and never taken for fluorescence, whatever its name is.
    write_prediction(path, prediction, path)
    np.testing.assert_array_equal(written(path, "SpikeRates_2")[0], prediction.table)
    write_prediction(path, prediction, path, series="mine")
    np.testing.assert_array_equal(written(path, "mine")[0], prediction.table)
    assert read_recording(path).notes[0] == "series ophys/Fluorescence/RoiResponseSeries"
    with pytest.raises(UsageError, match=r"has a series mine already; give another name .--series"):
        check_prediction_path(tmp_path / "more.nwb", path, series="mine")
    with pytest.raises(UsageError, match="cannot be the name of a series; leave out / and :"):
        check_prediction_path(tmp_path / "more.nwb", path, series="a/b")
    with pytest.raises(UsageError, match=r"only \.nwb has series"):
        check_prediction_path(tmp_path / "more.npz", path, series="mine")


def test_spike_times_in_nwb(tmp_path, prediction):
    spikes = (np.array([5.5, 6.25]), np.empty(0), np.array([7.0]), np.empty(0), np.array([5.1]))
    path = write_prediction(tmp_path / "a.nwb", replace(prediction, spike_times=spikes))
    assert pynwb.validate(path=str(path)) in ([], ([], 0))
    with pynwb.NWBHDF5IO(path, "r") as file:
        units = file.read().processing["ophys"]["SpikeRatesSpikes"]
        for found, expected in zip(units["spike_times"][:], spikes, strict=True):
            np.testing.assert_array_equal(found, expected)
        assert list(units["rois"].data[:]) == [0, 1, 2, 3, 4]


def test_into_the_source_itself(tmp_path, prediction):
    times = np.arange(FRAMES) / 30 + 3
    path = save_nwb(tmp_path / "a.nwb", [("DfOverF", "RoiResponseSeries", {})], timestamps=times)
    found = read_recording(path)
    assert write_prediction(path, Prediction(prediction.table, found), path) == path
    data, *_, timing = written(path)
    np.testing.assert_array_equal(data, prediction.table)
    assert timing[0] is None
    with h5py.File(path) as file:
        found = file["processing/ophys/DfOverF/RoiResponseSeries/data"][()]
    np.testing.assert_array_equal(found, TRACES.T)
    assert [each.name for each in tmp_path.iterdir()] == ["a.nwb"]


def test_nwb_of_other_recordings(tmp_path, example, prediction, plane):
    path = tmp_path / "rates.nwb"
    for source in (plane / "F.npy", tmp_path / "no.nwb", "array", caiman(tmp_path / "c.h5")):
        with pytest.raises(OutputError, match=r"needs an NWB file as its source, and .* is none"):
            write_prediction(path, prediction, source)
    with pytest.raises(OutputError, match="is not what was predicted, which is"):
        write_prediction(path, prediction, plane)
    other = read_recording(plane)
    with pytest.raises(OutputError, match="no series of these 3 ROIs with 200 frames; give the"):
        write_prediction(path, Prediction(np.ones((FRAMES, 3), np.float32), other), example)
    assert not path.exists()


@pytest.mark.parametrize("planes", [1, 2])
def test_an_nwb_file_of_suite2p_alone(tmp_path, plane, planes):
    folder = plane.parent
    rois = len(np.load(plane / "F.npy"))
    stat = [
        {"ypix": np.arange(k + 2), "xpix": np.arange(k + 2) + k, "lam": np.ones(k + 2, "f4")}
        for k in range(rois)
    ]
    np.save(plane / "stat.npy", np.array(stat, object), allow_pickle=True)
    if planes == 2:
        shutil.copytree(plane, folder / "plane7")
    found = read_recording(folder)
    rates = np.random.default_rng(0).random(found.fluorescence.shape, np.float32)
    spikes = tuple(np.arange(k + 1.0) for k in range(len(found.names)))
    description = {"unit": "spikes per second", "indicator": "GCaMP6f, so mouse GCaMP"}
    made = Prediction(rates, found, description, spike_times=spikes)
    path = write_prediction(tmp_path / "rates.nwb", made)
    data, rois, unit, _, timing = written(path)
    np.testing.assert_array_equal(data, rates)
    np.testing.assert_array_equal(rois, range(len(found.names)))
    assert (unit, timing) == ("spikes per second", (found.frame_rate, 0, None))
    assert pynwb.validate(path=str(path)) in ([], ([], 0))
    with pynwb.NWBHDF5IO(path, "r") as file:
        read = file.read()
        ophys = read.processing["ophys"]
        np.testing.assert_array_equal(
            ophys["Fluorescence"]["RoiResponseSeries"].data[:], found.traces.astype(np.float32)
        )
        table = ophys["ImageSegmentation"]["PlaneSegmentation"]
        assert tuple(table["roi_name"][:]) == found.names
        roi = int(found.names[1].rpartition("-")[2])
        mask = [(x, x - roi, 1.0) for x in range(roi, 2 * roi + 2)]
        assert [tuple(pixel) for pixel in table["pixel_mask"][1]] == mask
        np.testing.assert_array_equal(ophys["SpikeRatesSpikes"]["spike_times"][2], spikes[2])
        assert "is not known" in read.session_description
    if planes == 1:  # which tells no pixels then
        (plane / "stat.npy").unlink()
        bare = write_prediction(tmp_path / "bare.nwb", made)
        assert pynwb.validate(path=str(bare)) in ([], ([], 0))
    # It is a recording like others, to which more can be added.
    again = read_recording(path)
    assert again.names == (found.names if planes == 1 else tuple(map(str, range(len(rois)))))
    np.testing.assert_allclose(again.traces, found.traces, rtol=1e-6)
    write_prediction(path, replace(made, recording=again), path)
    np.testing.assert_array_equal(written(path, "SpikeRates_2")[0], rates)


def test_without_nwb_s_library(tmp_path, plane, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(UsageError, match=r"pip install .*\[nwb\]"):
        check_prediction_path(tmp_path / "rates.nwb", plane)


def test_an_error_leaves_the_source(tmp_path, example, prediction, monkeypatch):
    path = shutil.copy(example, tmp_path / "a.nwb")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    free = {"nwb": True, "taken": []}
    monkeypatch.setattr(nwb_writer, "parse", lambda job, *arguments, **limits: free)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .*a\.nwb \(No space left on device\)"):
        write_prediction(path, prediction, path)
    assert path.read_bytes() == example.read_bytes()

    def fail(job, file, *arguments, **limits):
        if job is nwb_writer._append:
            Path(file).write_bytes(b"half")
            raise DataError(f"{file} cannot be read: its parser failed")
        return free

    monkeypatch.setattr(nwb_writer, "parse", fail)
    with pytest.raises(OutputError, match=r"cannot write .*a\.nwb: .*a\.nwb cannot be read"):
        write_prediction(path, prediction, path)
    assert path.read_bytes() == example.read_bytes()
    assert [each.name for each in tmp_path.iterdir()] == ["a.nwb"]


def test_percent_in_nwb_has_its_offset_in_percent_too(tmp_path):
    details = {"data": TRACES.T, "unit": "percent", "conversion": 2.0, "offset": 10.0}
    path = save_nwb(tmp_path / "a.nwb", [("DfOverF", "RoiResponseSeries", details)])
    np.testing.assert_allclose(read_recording(path).fluorescence, 0.02 * TRACES.T + 0.1, rtol=1e-6)


@pytest.mark.parametrize(("length", "gone"), [(10, 0), (11, 11)])
def test_without_a_frame_rate_ten_equal_values_are_the_most(length, gone):
    """Of ROIs with neuropil, in whose difference no value stands still any more."""
    dark = TRACES.copy()
    dark[1, 50 : 50 + length] = 0.0
    around = rois.Neuropil(NEUROPIL, "Fneu", 0.5)
    found, _, notes = rois.corrected("plane0", dark, around, None, ReadOptions(), frame_rate=None)
    assert np.isnan(found).sum() == np.isnan(found[1, 50:61]).sum() == gone
    np.testing.assert_allclose(found[0], TRACES[0] - 0.5 * NEUROPIL[0], rtol=1e-6)
    assert len(notes) == 1 + (gone > 0)
