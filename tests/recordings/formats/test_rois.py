"""What belongs to ROIs: their neuropil, settings, planes, and rows of a result."""

import json

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from spikefinder_keras import predict, read_recording
from spikefinder_keras.cli import main
from spikefinder_keras.errors import DataError

ROIS, FRAMES, RATE = 4, 300, 30.0
RANDOM = np.random.default_rng(0)
F = 1_000 + RANDOM.normal(0, 50, (ROIS, FRAMES))
AROUND = 500 + RANDOM.normal(0, 50, (ROIS, FRAMES))


def nwb(path, **series):
    with h5py.File(path, "w") as file:
        file.attrs.update(nwb_version="2.6.0", neurodata_type="NWBFile", namespace="core")
        module = file.create_group("processing/ophys")
        module.attrs["neurodata_type"] = "ProcessingModule"
        table = module.create_group("ImageSegmentation/PlaneSegmentation")
        table.attrs["neurodata_type"] = "PlaneSegmentation"
        table["id"] = np.arange(ROIS)
        for name, values in series.items():
            group = module.create_group(name.replace("__", "/"))
            group.parent.attrs["neurodata_type"] = "Fluorescence"
            group.attrs["neurodata_type"] = "RoiResponseSeries"
            group["data"], group["starting_time"] = values.T, 0.0
            group["starting_time"].attrs["rate"] = RATE
            group["rois"] = np.arange(ROIS)
            group["rois"].attrs.update(neurodata_type="DynamicTableRegion", table=table.ref)
    return path


@pytest.mark.parametrize(
    ("cells", "around"),
    [
        ("Fluorescence__F", "Neuropil__Fneu"),
        ("Fluorescence__F", "Fluorescence__Fneu"),
        ("Fluorescence__F0", "Neuropil__Neuropil0"),
        ("Fluorescence__cells", "Fluorescence__neuropil"),
        ("Fluorescence__roi_traces_raw", "Fluorescence__neuropil_traces"),
    ],
)
def test_the_only_neuropil_of_the_same_rois_is_subtracted(tmp_path, cells, around):
    recording = read_recording(nwb(tmp_path / "a.nwb", **{cells: F, around: AROUND}))
    np.testing.assert_allclose(recording.fluorescence.T, F - 0.7 * AROUND, rtol=1e-5)


def test_of_two_neuropils_none_is_taken(tmp_path):
    path = nwb(tmp_path / "a.nwb", Fluorescence__F=F, Neuropil__x=AROUND, Neuropil__y=AROUND)
    recording = read_recording(path)
    np.testing.assert_allclose(recording.fluorescence.T, F)
    assert any("there is no neuropil that is surely of these ROIs" in n for n in recording.notes)
    path = nwb(tmp_path / "b.nwb", Fluorescence__F=F)
    assert (
        "there is no neuropil to subtract (--neuropil)" in read_recording(path, neuropil=0.7).notes
    )


def plane(folder, cells, **settings):
    folder.mkdir(parents=True)
    iscell = np.stack([cells, np.full(ROIS, 0.5)], axis=1)
    for name, values in (("F", F), ("Fneu", AROUND), ("iscell", iscell)):
        np.save(folder / f"{name}.npy", values)
    np.save(folder / "ops.npy", {"fs": RATE, **settings})
    return folder


def test_settings_beside_the_planes_belong_to_a_run(tmp_path):
    """suite2p writes them into the folder above, too."""
    folder = plane(tmp_path / "suite2p" / "plane0", np.ones(ROIS))
    np.save(folder.parent / "ops.npy", {"fs": RATE})
    assert main(["predict", str(folder), "--out", str(tmp_path / "rates.zarr"), "--quiet"]) == 0


def test_fall_mat_is_read_with_its_settings(tmp_path):
    bad = np.arange(FRAMES) // 10 == 5
    settings = {"neucoeff": 0.3, "badframes": bad, "frames_per_folder": np.array([100, 200])}
    folder = plane(tmp_path / "plane0", np.ones(ROIS), **settings)
    iscell = np.load(folder / "iscell.npy")
    savemat(
        tmp_path / "Fall.mat",
        {"F": F, "Fneu": AROUND, "iscell": iscell, "ops": {"fs": RATE, **settings}},
    )
    own, fall = read_recording(folder), read_recording(tmp_path / "Fall.mat")
    np.testing.assert_allclose(fall.fluorescence, own.fluorescence, rtol=1e-5)
    assert np.isnan(fall.fluorescence[50:60]).all()
    assert fall.segment_starts == own.segment_starts == (0, 100)


def test_a_plane_without_cells_is_left_out(tmp_path):
    plane(tmp_path / "plane0", np.zeros(ROIS), nplanes=2)
    with pytest.raises(DataError, match="accepts none of the 4 ROIs"):
        read_recording(tmp_path / "plane0")
    plane(tmp_path / "plane1", np.array([1, 0, 1, 0]), nplanes=2)
    recording = read_recording(tmp_path)
    assert recording.names == ("plane1-0", "plane1-2")
    assert "plane0 left out: none of its ROIs is a cell" in recording.notes
    # The file says which of its rows are these neurons.
    result = predict(tmp_path)
    result.save(tmp_path / "rates.npy")
    rates = np.load(tmp_path / "rates.npy")
    rows = json.loads((tmp_path / "rates.npy.json").read_text())["rows"]
    assert (rates.shape, rows) == ((2 * ROIS, FRAMES), [4, 6])
    np.testing.assert_allclose(rates[rows], np.nan_to_num(result.table.T))
