"""No command writes over what it reads, or over what others have made."""

import shutil

import h5py
import numpy as np
import pytest

from spikefinder_keras import predict
from spikefinder_keras.cli import main
from spikefinder_keras.competition.simulated_data import simulate
from spikefinder_keras.errors import OutputError
from spikefinder_keras.files.atomic import check_apart, is_ours
from spikefinder_keras.network.weights import embedded_folder
from spikefinder_keras.recordings.formats import write_prediction

RATE = ("--frame-rate", "30", "--quiet")


def everything(folder):
    """All files of a folder with their content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def traces(neurons=2, frames=300):
    return np.random.default_rng(0).normal(1, 0.1, (neurons, frames)).astype(np.float32)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("data") / "small", "small")


@pytest.fixture
def here(simulated, tmp_path, monkeypatch):
    """A working folder with recordings, rates, true spikes and weights."""
    monkeypatch.chdir(tmp_path)
    zarr = pytest.importorskip("zarr")
    np.savetxt("dff.csv", traces().T, delimiter=",", header="a,b", comments="")
    shutil.copy("dff.csv", "x.csv.json")
    (tmp_path / "plane0").mkdir()
    for name in ("F", "Fneu"):
        np.save(f"plane0/{name}.npy", traces())
    for name in ("data.zarr", "other.zarr"):
        group = zarr.open_group(name, mode="w")
        group.create_array("dff", data=traces())
        group.create_array("precious", data=np.arange(3.0))
    np.savetxt("truth.csv", np.eye(400, 2), delimiter=",", header="0,1", comments="")
    shutil.copy("truth.csv", "rates.csv")
    shutil.copy("rates.csv", "table.csv")
    shutil.copy(embedded_folder() / "convi6-described.weights.h5", "mine.weights.h5")
    for suffix in ("html", "npz", "mat", "npy", "onnx", "zarr.csv.json"):
        (tmp_path / f"foreign.{suffix}").write_text("years of work")
    with h5py.File("foreign.nwb", "w") as file:
        file["precious"] = 1.0
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "scores.png").write_text("another picture")
    shutil.copytree(simulated, "real")
    (tmp_path / "real" / "simulated.json").unlink()
    return tmp_path


PREDICT = ("predict", "dff.csv", *RATE)
CASES = {
    "the store of the recording": (
        ("predict", "data.zarr/dff", *RATE, "--out", "data.zarr"),
        "data.zarr holds the recording; choose another name (--out)",
    ),
    "inside the store": (
        ("predict", "data.zarr", "--variable", "dff", *RATE, "--out", "data.zarr/rates.zarr"),
        "lies in the store",
    ),
    "inside another store": ((*PREDICT, "--out", "other.zarr/rates.npz"), "lies in the store"),
    "a report over the recording": (
        (*PREDICT, "--out", "r.csv", "--report", "dff.csv"),
        "dff.csv is the recording itself; choose another name (--report)",
    ),
    "a report over a part of the recording": (
        ("predict", "plane0", *RATE, "--out", "r.npz", "--report", "plane0/Fneu.npy"),
        "Fneu.npy is the recording itself; choose another name (--report)",
    ),
    "a report over the rates": (
        (*PREDICT, "--out", "r.csv", "--report", "r.csv"),
        "r.csv would be written twice (--out, --report)",
    ),
    "a report over the description": (
        (*PREDICT, "--out", "r.csv", "--report", "r.csv.json"),
        "r.csv.json would be written twice (--out, --report)",
    ),
    "a description over the recording": (
        ("predict", "x.csv.json", *RATE, "--out", "x.csv"),
        "x.csv.json is the recording itself; choose another name (--out)",
    ),
    "a description over something else": (
        (*PREDICT, "--out", "foreign.zarr.csv"),
        "foreign.zarr.csv.json is there, and not by this program",
    ),
    "rates over weights": (
        (*PREDICT, "--weights", "mine.weights.h5", "--out", "r.npz", "--report", "mine.weights.h5"),
        "mine.weights.h5 is the file of --weights itself; choose another name (--report)",
    ),
    "scores over the truth": (
        ("score", "truth.csv", "rates.csv", "--csv", "truth.csv"),
        "truth.csv is the truth itself; choose another name (--csv)",
    ),
    "scores over the prediction": (
        ("score", "truth.csv", "rates.csv", "--csv", "rates.csv"),
        "rates.csv is the prediction itself",
    ),
    "a model over its weights": (
        ("export", "mine.weights.h5", "--weights", "mine.weights.h5"),
        "mine.weights.h5 is the file of --weights itself; choose another name (MODEL.onnx)",
    ),
    "simulated over real data": (
        ("simulate", "--out", "real", "--quiet"),
        "real holds data that were not simulated",
    ),
    "rates over true spikes": (
        ("submission", "--data", "real", "--out", "real/spikefinder.train", "--quiet"),
        "would replace the true spikes",
    ),
    "rates over the true spikes of other data": (
        ("submission", "--data", "real", "--out", "copy", "--quiet"),
        "would replace the true spikes",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_read_is_not_written_over(case, here, capsys):
    shutil.copytree("real/spikefinder.train", "copy")
    before = everything(here)
    command, message = CASES[case]
    # Nor does --overwrite allow it.
    for further in ((), ("--overwrite",) if command[0] in ("predict", "score", "export") else ()):
        if "not by this program" in message and further:
            continue
        assert main([*command, *further]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert everything(here) == before


def test_a_report_beside_a_result_that_has_no_description(here):
    """Only what is written counts as such."""
    assert main([*PREDICT, "--out", "r.npz", "--report", "r.npz.json"]) == 0


FOREIGN = {
    "table.csv": PREDICT,
    "foreign.npz": PREDICT,
    "foreign.mat": PREDICT,
    "foreign.npy": PREDICT,
    "other.zarr": PREDICT,
    "foreign.html": (*PREDICT, "--out", "r.npz", "--report"),
    "rates.csv": ("score", "truth.csv", "table.csv", "--csv"),
    "foreign.onnx": ("export",),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_others_made_is_replaced_if_asked(name, here, capsys):
    command = [*FOREIGN[name], *(("--out",) if FOREIGN[name] is PREDICT else ()), name]
    before = everything(here)
    assert main(command) == 2
    error = capsys.readouterr().err
    assert f"{name} is there, and not by this program" in error
    assert "--overwrite" in error
    assert everything(here) == before
    assert main([*command, "--overwrite"]) == 0
    assert main(command) == 0, "its own result is replaced without asking"


def test_pictures_of_others(here, capsys):
    pytest.importorskip("matplotlib")
    command = ["figures", "--data", "real", "--out", "pictures", "--format", "png", "--quiet"]
    assert main(command) == 2
    assert "pictures/scores.png is there, and not by this program" in capsys.readouterr().err
    assert [path.name for path in (here / "pictures").iterdir()] == ["scores.png"]
    assert main([*command, "--overwrite"]) == 0
    assert main(command) == 0
    assert all(map(is_ours, (here / "pictures").iterdir()))


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz", ".mat", ".zarr"])
def test_its_own_results_are_known_again(suffix, here):
    """Whatever is in them, spike times included."""
    prediction = predict(np.tile(traces(), (1, 40)), 30.0, spikes=True)
    for _ in range(2):
        write_prediction(f"own{suffix}", prediction)
    (here / f"own{suffix}.json").unlink(missing_ok=True)
    assert is_ours(f"own{suffix}") == (suffix not in (".csv", ".npy"))
    (here / "empty").write_text("")
    assert is_ours("empty")


def test_what_only_speaks_of_it_is_not_its_own(here):
    (here / "notes.csv").write_text('neuron,comment\n1,"rates by spikefinder-keras"\n')
    with pytest.raises(OutputError, match=r"notes\.csv is there, and not by this program"):
        write_prediction("notes.csv", predict(traces(), 30.0))
    (here / "notes.html").write_text("<p>Rates by spikefinder-keras, or another program?</p>")
    (here / "other.onnx").write_bytes(b"\x08\x0a\x12\x05torch\x3a\x20after spikefinder-keras")
    assert not any(map(is_ours, ("notes.html", "other.onnx")))


def test_its_own_networks_and_pages_are_known_again(here):
    for _ in range(2):
        assert main(["export", "own.onnx"]) == 0
        assert main([*PREDICT, "--out", "r.npz", "--report", "own.html"]) == 0


def test_another_recording_with_rates_of_it(here):
    """A copy of a recording that holds rates is its owner's, with all that was added to it."""
    from spikefinder_keras.recordings.formats import check_prediction_path

    for name in ("source.nwb", "other.nwb"):
        with h5py.File(name, "w") as file:
            file.attrs.update(nwb_version="2.7.0", by="spikefinder-keras")
    with pytest.raises(OutputError, match=r"other\.nwb is there"):
        check_prediction_path("other.nwb", "source.nwb")
    check_prediction_path("source.nwb", "source.nwb")


def test_another_nwb_file(here):
    pytest.importorskip("pynwb")
    from spikefinder_keras.recordings.formats import check_prediction_path

    with h5py.File("source.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
    check_prediction_path("source.nwb", "source.nwb")
    check_prediction_path("new.nwb", "source.nwb")
    with pytest.raises(OutputError, match=r"foreign\.nwb is there, and not by this program"):
        check_prediction_path("foreign.nwb", "source.nwb")
    check_prediction_path("foreign.nwb", "source.nwb", overwrite=True)


@pytest.mark.parametrize("kind", ["symlink", "hard link", "other spelling"])
def test_the_same_file_by_another_name(kind, tmp_path):
    path, other = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("")
    if kind == "symlink":
        other.symlink_to(path)
    elif kind == "hard link":
        other.hardlink_to(path)
    else:
        (tmp_path / "c").mkdir()
        other = tmp_path / "c" / ".." / "a.csv"
    with pytest.raises(OutputError, match="is the recording itself"):
        check_apart({"the recording": [path]}, [("--out", other)])
    check_apart({"the recording": [path]}, [("--out", tmp_path / "c.csv")])
