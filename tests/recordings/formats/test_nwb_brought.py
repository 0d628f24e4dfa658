"""NWB as suite2p, neuroconv, CaImAn and the Allen Institute write it, and all formats alike."""

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from spikefinder_keras.errors import DataError, SpikefinderError, UsageError
from spikefinder_keras.recordings.formats import read_recording, write_prediction
from spikefinder_keras.recordings.recording import Prediction

pynwb = pytest.importorskip("pynwb")
from pynwb import ophys as types  # noqa: E402

NEURONS, FRAMES, RATE = 6, 600, 20.0
RNG = np.random.default_rng(4)
DFF = np.cumsum(RNG.normal(size=(NEURONS, FRAMES)), axis=1) * 0.01 + RNG.normal(
    0, 0.05, (NEURONS, FRAMES)
)
RAW = (300 * (1 + DFF)).astype(np.float32)
NEUROPIL = (60 + RNG.normal(size=(NEURONS, FRAMES))).astype(np.float32)
CELLS = np.array([1, 0, 1, 1, 0, 1])
KEPT = np.flatnonzero(CELLS)
TIMES = np.arange(FRAMES) / RATE + 3


class Builder:
    """An NWB file of imaging with as many planes as are asked for."""

    def __init__(self, columns=(), planes=("",), session="a mouse"):
        self.file = pynwb.NWBFile(session, "id", datetime(2026, 1, 1, tzinfo=UTC))
        device = self.file.create_device("microscope", description="two-photon")
        channel = types.OpticalChannel(name="green", description="green", emission_lambda=510.0)
        self.module = self.file.create_processing_module("ophys", "imaging")
        segmentation = types.ImageSegmentation()
        self.module.add(segmentation)
        self.regions, self.tables = {}, {}
        for plane in planes:
            imaging = self.file.create_imaging_plane(
                name=f"imaging{plane}", optical_channel=channel, description="L2/3", device=device,
                excitation_lambda=920.0, indicator="GCaMP6f", location="V1",
            )  # fmt: skip
            table = segmentation.create_plane_segmentation("ROIs", imaging, name=f"cells{plane}")
            for name in columns:
                table.add_column(name, f"{name} of an ROI")
            for number in range(NEURONS):
                table.add_roi(
                    pixel_mask=[(number, 1, 1.0)],
                    **{n: v[number] for n, v in dict(columns).items()},
                )
            self.tables[plane] = table

    def add(self, container, name, data, plane="", kind=types.Fluorescence, rows=None, **details):
        if container not in self.module.data_interfaces:
            self.module.add(kind(name=container))
        rows = list(range(NEURONS)) if rows is None else rows
        region = self.tables[plane].create_roi_table_region("the ROIs", region=rows)
        timing = {} if {"rate", "timestamps"} & details.keys() else {"rate": RATE}
        self.module[container].add_roi_response_series(
            types.RoiResponseSeries(
                name=name, data=data.T, rois=region, description="of ROIs",
                **{"unit": "n.a."} | timing | details,
            )
        )  # fmt: skip
        return self

    def save(self, path):
        with pynwb.NWBHDF5IO(path, "w") as io:
            io.write(self.file)
        return path


def refused(path, message, error=SpikefinderError, **stated):
    with pytest.raises(error, match=message) as raised:
        read_recording(path, **stated)
    assert "\n" not in str(raised.value)


def same(recording, expected, tolerance=1e-3):
    np.testing.assert_allclose(recording.fluorescence.T, expected, rtol=0, atol=tolerance)


def of_neuroconv(path, planes=("Plane0",)):
    builder = Builder({"Accepted": CELLS, "Rejected": 1 - CELLS}, planes)
    for number, plane in enumerate(planes):
        start = {"rate": RATE, "starting_time": 0.02 * number}
        for name, data in (
            ("RoiResponseSeries", RAW + 0.7 * NEUROPIL + number),
            ("Neuropil", NEUROPIL),
            ("Deconvolved", np.abs(DFF)),
        ):
            builder.add("Fluorescence", f"{name}{plane}", data, plane, **start)
    return builder.save(path)


@pytest.mark.parametrize("plane", ["", "Plane0"])
def test_suite2p_by_neuroconv(tmp_path, plane):
    path = of_neuroconv(tmp_path / "a.nwb", (plane,))
    recording = read_recording(path)
    same(recording, RAW[KEPT])
    assert recording.names == ("0", "2", "3", "5")
    assert recording.notes[-1] == f"neuropil subtracted: F - 0.7 Neuropil{plane}"
    assert any("2 of 6 ROIs left out, which Accepted calls no cell" in n for n in recording.notes)
    same(read_recording(path, all_rois=True), RAW)
    same(read_recording(path, neuropil=0), (RAW + 0.7 * NEUROPIL)[KEPT])
    refused(path, "Deconvolved.* is processed already", DataError, variable=f"Deconvolved{plane}")


def test_every_plane_is_written_beside_its_own(tmp_path):
    path = of_neuroconv(tmp_path / "a.nwb", ("Plane0", "Plane1"))
    refused(path, "several series; name the variable .--variable.: .*Plane0, .*Plane1", UsageError)
    for number in (0, 1, 1):
        recording = read_recording(path, variable=f"RoiResponseSeriesPlane{number}")
        rates = np.full((FRAMES, 4), number, np.float32)
        spikes = tuple(np.array([1.0, 2.0]) for _ in range(4))
        write_prediction(path, Prediction(rates, recording, {}, spikes))
    with pynwb.NWBHDF5IO(path, "r") as file:
        module = file.read().processing["ophys"]
        for name, number in (("Plane0", 0), ("Plane1", 1), ("Plane1_2", 1)):
            series = module["Fluorescence"][f"SpikeRates{name}"]
            assert (series.data[:] == number).all()
            assert series.rois.table.name == f"cells{name[:6]}"
            assert list(series.rois.data[:]) == list(KEPT)
            assert series.starting_time == pytest.approx(0.02 * number)
            assert len(module[f"SpikeRates{name}Spikes"]) == 4
    assert pynwb.validate(path=str(path)) in ([], ([], 0))


def test_caiman(tmp_path):
    clean = np.round(DFF, 1)
    builder = Builder(
        {
            "accepted": np.zeros(6, bool),
            "rejected": np.zeros(6, bool),
            "keep": CELLS.astype(bool),
        },
        session="CaImAn Results",
    )
    builder.add("Fluorescence", "RoiResponseSeries", clean, timestamps=TIMES)
    background = RNG.random((1, FRAMES))
    builder.add(
        "Fluorescence", "Background_Fluorescence_Response", background, rows=[0], timestamps=TIMES
    )
    shutil.copy(builder.save(tmp_path / "a.nwb"), tmp_path / "b.nwb")
    refused(tmp_path / "b.nwb", "denoised already, and its residuals are not there", DataError)
    residuals = {"description": "r", "data": (DFF - clean).T, "timestamps": TIMES, "unit": "NA"}
    builder.module.add(pynwb.TimeSeries(name="residuals", **residuals))
    with pynwb.NWBHDF5IO(tmp_path / "a.nwb", "w") as io:
        io.write(builder.file)
    recording = read_recording(tmp_path / "a.nwb")
    same(recording, DFF[KEPT], 1e-9)
    np.testing.assert_array_equal(recording.times, TIMES)
    assert "ophys/Fluorescence/RoiResponseSeries + ophys/residuals" in recording.notes
    same(read_recording(tmp_path / "a.nwb", all_rois=True), DFF, 1e-9)


def test_the_allen_institute(tmp_path):
    """All series are called traces; their containers say what they are."""
    builder = Builder({"valid_roi": CELLS.astype(bool)})
    for container, data in (
        ("demixed_traces", RAW - 7),
        ("neuropil_trace", NEUROPIL),
        ("corrected_fluorescence", RAW),
        ("event_detection", DFF),
    ):
        builder.add(container, "traces", data)
    recording = read_recording(builder.save(tmp_path / "a.nwb"))
    same(recording, RAW[KEPT])
    assert not any("subtracted" in note for note in recording.notes)
    builder = Builder()
    builder.add("corrected_fluorescence", "traces", RAW)
    builder.add("dff", "traces", DFF, kind=types.DfOverF)
    recording = read_recording(builder.save(tmp_path / "b.nwb"))
    same(recording, DFF, 1e-9)
    assert recording.unit == "dF/F"


def test_time_in_nwb(tmp_path):
    for stamps, message in (
        (
            np.where(np.arange(FRAMES) > 597, np.nan, TIMES),
            r"2 of 600 time stamps are missing \(NaN",
        ),
        (1000 * TIMES, r"are these ms\?"),
    ):
        path = Builder().add("Fluorescence", "F", RAW, timestamps=stamps).save(tmp_path / "a.nwb")
        refused(path, message)
    dropped = np.delete(TIMES, np.arange(100, 140))
    path = Builder().add("Fluorescence", "F", RAW[:, :560], timestamps=dropped)
    assert read_recording(path.save(tmp_path / "b.nwb")).frame_rate == pytest.approx(RATE)
    path = Builder().add("Fluorescence", "F", RAW, rate=RATE).save(tmp_path / "c.nwb")
    with h5py.File(path, "a") as file:
        file["processing/ophys/Fluorescence/F/starting_time"].attrs["rate"] = 0.0
    refused(path, "does not tell its frame rate", UsageError)
    assert read_recording(path, frame_rate=9).frame_rate == 9


def test_regions_gains_and_plain_series(tmp_path):
    rows = [4, 1, 2]
    stored = np.round(1000 * DFF[rows]).astype(np.int16)
    details = {"conversion": 0.001, "offset": 0.5, "rows": rows, "kind": types.DfOverF}
    path = Builder().add("DfOverF", "R", stored, **details).save(tmp_path / "a.nwb")
    recording = read_recording(path)
    same(recording, DFF[rows] + 0.5)
    assert recording.names == ("4", "1", "2")
    builder = Builder()
    builder.module.add(pynwb.TimeSeries(name="dff", data=DFF.T, unit="a", rate=RATE))
    recording = read_recording(builder.save(tmp_path / "b.nwb"))
    same(recording, DFF, 1e-9)
    assert recording.unit == "dF/F"


def test_the_source_stays_readable_for_the_program_that_wrote_it(tmp_path):
    """Nothing but the new objects is touched: its schema and every other object are the same."""
    path = of_neuroconv(tmp_path / "a.nwb")
    recording = read_recording(path)
    written = write_prediction(
        tmp_path / "b.nwb", Prediction(np.ones((FRAMES, 4), np.float32), recording)
    )

    def contents(path):
        found = {}
        with h5py.File(path) as file:
            for name in _names(file):
                item = file[name]
                attributes = {k: str(v) for k, v in item.attrs.items()}
                value = str(item[()])[:200] if isinstance(item, h5py.Dataset) else ""
                found[name] = attributes, value
        return found

    before, after = contents(path), contents(written)
    assert before.items() <= after.items()
    assert {name.split("/")[3] for name in after.keys() - before.keys()} == {"SpikeRatesPlane0"}


def _names(file):
    found = []
    file.visit(found.append)
    return found


# The same recording in every format


def in_every_format(folder):
    """The same ROIs, neuropil and cells through suite2p's folder, NWB, .mat and HDF5."""
    total = RAW + np.float32(0.7) * NEUROPIL
    plane = folder / "suite2p" / "plane0"
    plane.mkdir(parents=True)
    np.save(plane / "F.npy", total)
    np.save(plane / "Fneu.npy", NEUROPIL)
    np.save(plane / "iscell.npy", np.c_[CELLS, np.ones(NEURONS)])
    np.save(plane / "ops.npy", {"fs": RATE}, allow_pickle=True)
    arrays = {"F": total, "Fneu": NEUROPIL, "iscell": np.c_[CELLS, np.ones(NEURONS)]}
    savemat(folder / "Fall.mat", arrays | {"ops": {"fs": RATE}})
    np.savez(folder / "all.npz", **arrays, fs=RATE)
    with h5py.File(folder / "all.h5", "w") as file:
        for name, array in (arrays | {"fs": RATE}).items():
            file[f"mouse/{name}"] = array
    builder = Builder({"iscell": CELLS})
    builder.add("Fluorescence", "Fluorescence", total)
    builder.add("Fluorescence", "Neuropil", NEUROPIL).save(folder / "all.nwb")
    names = ("suite2p", "all.nwb", "Fall.mat", "all.npz", "all.h5")
    return [folder / name for name in names]


def test_the_same_recording_in_every_format(tmp_path):
    from spikefinder_keras.recordings.pipeline import predict

    found = {}
    for path in in_every_format(tmp_path):
        prediction = predict(path, dataset=7)
        assert prediction.names == ("0", "2", "3", "5")
        assert prediction.recording.frame_rate == RATE
        assert any(note.startswith("neuropil subtracted") for note in prediction.recording.notes)
        found[path.name] = prediction.table
    reference = found.pop("suite2p")
    assert np.ptp(reference) > 0.01
    for name, rates in found.items():
        np.testing.assert_allclose(rates, reference, rtol=0, atol=1e-6, err_msg=name)


# Real programs


@pytest.fixture
def prediction(tmp_path):
    path = of_neuroconv(tmp_path / "source.nwb")
    spikes = tuple(np.array([1.0, 2.5]) + k for k in range(4))
    rates = RNG.random((FRAMES, 4)).astype(np.float32)
    return Prediction(rates, read_recording(path), {"unit": "spikes per second"}, spikes)


def ours(report):
    return [line for line in report.splitlines() if "SpikeRates" in line]


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("nwbinspector"), reason="it is not installed")
def test_nwbinspector_has_no_message_of_ours(tmp_path, prediction):
    path = write_prediction(tmp_path / "rates.nwb", prediction)
    done = subprocess.run(
        [sys.executable, "-m", "nwbinspector", path], capture_output=True, text=True, check=False
    )
    assert "Report Summary" in done.stdout
    assert ours(done.stdout) == []


def test_pynapple_reads_what_is_written(tmp_path, prediction):
    pynapple = pytest.importorskip("pynapple")
    path = write_prediction(tmp_path / "rates.nwb", prediction)
    found = pynapple.load_file(str(path))
    np.testing.assert_allclose(found["SpikeRatesPlane0"].values, prediction.table)


def test_xarray_opens_a_written_store(tmp_path, prediction):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    path = write_prediction(tmp_path / "rates.zarr", prediction)
    assert (path / ".zmetadata").is_file()
    with xarray.open_zarr(path, consolidated=True) as found:
        assert found.spike_rates.dims == ("neuron", "times")
        assert list(found.neuron.values) == ["0", "2", "3", "5"]
        np.testing.assert_array_equal(found.times, prediction.times)
        one = found.spike_rates.sel(neuron="2").values
        np.testing.assert_array_equal(one, prediction.table[:, 1])
        assert found.spike_neurons.dtype.kind == "i"
        np.testing.assert_array_equal(found.spike_neurons, np.repeat(range(4), 2))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("octave"), reason="it is not installed")
def test_octave_reads_what_is_written(tmp_path, prediction):
    path = write_prediction(tmp_path / "rates.mat", prediction)
    code = f"x = load('{path}'); disp(size(x.spike_rates)); disp(x.names{{2}}); disp(x.frame_rate)"
    done = subprocess.run(
        ["octave", "--no-gui", "-q", "--eval", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["4", "600", "2", "20"]


def test_spikes_reach_every_format(tmp_path, prediction):
    found = loadmat(write_prediction(tmp_path / "a.mat", prediction))["spike_times"]
    assert [each.size for each in found.ravel()] == [2] * 4
    with np.load(write_prediction(tmp_path / "a.npz", prediction)) as file:
        assert file["spike_times"].size == 8
    for suffix in (".csv", ".npy"):
        path = write_prediction(tmp_path / f"a{suffix}", replace(prediction))
        assert '"spike_times"' in path.with_name(f"a{suffix}.json").read_text()
