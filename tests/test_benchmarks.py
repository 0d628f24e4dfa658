"""The programs of `benchmarks/` that make what a number rests on, each on something small."""

import csv
import hashlib
import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from spikefinder_keras.competition.simulated_data import simulate_set
from spikefinder_keras.competition.tables import write_csv
from spikefinder_keras.files.downloads import COMPETITION_FILES, WEIGHTS

TREE = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def from_their_folder(monkeypatch):
    monkeypatch.syspath_prepend(TREE / "benchmarks")


def mat_file(path, *recordings):
    """A file as the collection's: a row of cells, each with a struct of one element."""
    cells = np.empty((1, len(recordings)), object)
    for k, recording in enumerate(recordings):
        cells[0, k] = {name: np.asarray(values)[:, None] for name, values in recording.items()}
    savemat(path, {"CAttached": cells})


def test_ground_truth_is_converted(tmp_path):
    convert = importlib.import_module("convert_ground_truth")
    folder = tmp_path / "DS99-GCaMP6f-m-V1"
    folder.mkdir()
    time = np.arange(5) / 10
    first = {"fluo_time": time, "fluo_mean": np.arange(7.0), "events_AP": [3_000.0, np.nan, 500.0]}
    padded = {
        "fluo_time": [0.0, 0.5, np.nan],
        "fluo_mean": [0.25, 0.5, np.nan],
        "events_AP": [np.nan],
    }
    mat_file(folder / "CAttached_b_mini.mat", first, padded)
    mat_file(folder / "CAttached_a_mini.mat", padded)
    mat_file(folder / "CAttached_c_mini.mat", padded)
    (folder / "notes.mat").write_text("no recording")
    command = [str(folder), str(tmp_path / "out"), "--leave-out", "CAttached_c_mini.mat"]
    assert convert.main(command) == 0
    with h5py.File(tmp_path / "out" / "DS99-GCaMP6f-m-V1.h5") as file:
        assert [each.attrs["source"] for each in file.values()] == [
            "CAttached_a_mini.mat",
            "CAttached_b_mini.mat",
        ]
        group = file["neuron_001/recording_000"]
        np.testing.assert_array_equal(group["dff"], np.arange(5, dtype=np.float32))
        np.testing.assert_array_equal(group["time"], time)
        np.testing.assert_array_equal(group["spike_times"], [0.05, 0.3])
        assert group.attrs["frame_rate"] == pytest.approx(10)
        short = file["neuron_001/recording_001"]
        assert (len(short["time"]), len(short["dff"]), len(short["spike_times"])) == (2, 2, 0)


def test_a_folder_without_recordings_is_named(tmp_path):
    convert = importlib.import_module("convert_ground_truth")
    with pytest.raises(SystemExit, match="no file such as CAttached"):
        convert.main([str(tmp_path), str(tmp_path / "out")])


@pytest.fixture
def competition(tmp_path):
    """Two training sets and a test set, of which a rehearsal takes a tenth."""
    for number, split in ((4, "train"), (5, "train"), (4, "test")):
        folder = tmp_path / "data" / f"spikefinder.{split}"
        folder.mkdir(parents=True, exist_ok=True)
        tables = simulate_set(number, 6_000, 3, 5_000, split=split)
        for kind, table in zip(("calcium", "spikes"), tables, strict=True):
            write_csv(folder / f"{number}.{split}.{kind}.csv", table)
    return tmp_path / "data"


@pytest.mark.slow
def test_the_run_of_full_size_at_a_tenth(competition, tmp_path):
    curves = importlib.import_module("reference_curves")
    out = tmp_path / "curves.json"
    command = [str(competition), str(tmp_path / "runs"), "--out", str(out), "--sets", "all"]
    command += ["--share", "0.1", "--epochs", "1", "--seeds", "1"]
    assert curves.main(command) == 0
    result = json.loads(out.read_text())
    for variant in ("described", "released"):
        assert [band["measure"] for band in result["bands"][variant]] == ["loss", "validation"]
        assert result["test"][variant][0]["4"][1] == 0.318  # published
    # What is done is not repeated.
    trained = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("last.weights.h5")}
    assert len(trained) == 2
    before = out.read_bytes()
    assert curves.main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    assert out.read_bytes() == before
    tables = list((tmp_path / "runs" / "data").rglob("*.csv"))
    assert [len(path.read_text().splitlines()) for path in tables] == [601] * 6


def test_a_band_is_of_all_seeds():
    curves = importlib.import_module("reference_curves")
    histories = [[{"loss": 0.5 + k / 100, "validation": 0.4 - k / 100}] for k in range(3)]
    loss, validation = curves.bands(histories, (1,))
    assert loss["values"] == [0.5, 0.51, 0.52]
    assert loss["low"] < 0.5 < 0.52 < loss["high"]
    assert (loss["low"] + loss["high"]) / 2 == pytest.approx(0.51)
    assert (validation["epoch"], validation["measure"]) == (1, "validation")
    assert curves.bands(histories[:1], (1,))[0]["low"] is None


def test_a_run_whose_rates_do_not_vary_yet_has_the_correlation_0():
    curves = importlib.import_module("reference_curves")
    histories = [[{"loss": 1.0, "validation": value}] for value in (float("nan"), 0.5)]
    _, validation = curves.bands(histories, (1,))
    assert validation["values"] == [0, 0.5]
    assert (validation["low"], validation["high"]) == (-1, 1)


def test_the_reference_curves_are_those_of_their_values():
    curves = importlib.import_module("reference_curves")
    reference = json.loads((TREE / "weights" / "convi6-curves.json").read_text())
    assert reference["seeds"] == 5
    assert reference["bands"].keys() == set(curves.VARIANTS)
    for rows in reference["bands"].values():
        points = [(row["epoch"], row["measure"]) for row in rows]
        assert points == [(k, name) for k in curves.EPOCHS for name in curves.MEASURES]
        histories = [[dict.fromkeys(curves.MEASURES, 0.0)] * curves.EPOCHS[-1] for _ in range(5)]
        for row in rows:
            for history, value in zip(histories, row["values"], strict=True):
                history[row["epoch"] - 1] = {**history[row["epoch"] - 1], row["measure"]: value}
        assert curves.bands(histories, curves.EPOCHS) == rows


def test_a_band_holds_another_seed_as_often_as_it_says():
    curves = importlib.import_module("reference_curves")
    rng = np.random.default_rng(0)
    seeds = rng.normal(size=(4_000, 6))
    inside = [low <= last <= high for *five, last in seeds for low, high in [curves.band(five)]]
    # 5% over six points is 0.8% for one; the standard error of a share of 4,000 is 0.14%.
    assert 1 - np.mean(inside) == pytest.approx(curves.OUTSIDE / 6, abs=0.005)


# The manifest of docs/data.md


@pytest.fixture(scope="module")
def manifest():
    with (TREE / "docs" / "data.csv").open() as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_the_manifest_has_every_download(manifest):
    ids = {
        Path(name).name: row["git blob id"]
        for name, row in manifest.items()
        if name.startswith("spikefinder.")
    }
    assert ids == COMPETITION_FILES
    _, sha256, address = WEIGHTS["published"]
    weights = manifest["published/model_convnet_6"]
    assert weights["sha256"] == sha256
    assert all(part in address for part in weights["source"].replace(": ", "/").split("/"))


def test_the_manifest_is_of_the_files_at_hand(manifest, data):
    there = [path for path in data.rglob("*") if path.is_file()]
    assert there
    for path in there:
        row = manifest[str(path.relative_to(data))]
        content = path.read_bytes()
        assert row["bytes"] == str(len(content))
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
        assert row["git blob id"] == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def test_what_stating_gives_by_hand():
    tables = importlib.import_module("accuracy_tables")
    methods = (tables.UNIVERSAL, tables.WITH_INDICATOR, tables.WITH_SPECIES)
    by_set = {
        "DS1": dict(zip(methods, (0.5, 0.56, 0.5), strict=True)),
        "DS2": dict(zip(methods, (0.6, 0.57, 0.61), strict=True)),
    }
    found = tables.stating(by_set)
    assert found["nothing known"] == 0.55
    assert found[tables.WITH_INDICATOR] == {
        "score": 0.565,
        "gain": 0.015,
        "lost": {"DS2": -0.03},
        "gained": {"DS1": 0.06},
    }
    assert found[tables.WITH_SPECIES]["lost"] == found[tables.WITH_SPECIES]["gained"] == {}


def test_sets_are_dealt_out_by_name():
    accuracy = importlib.import_module("accuracy")
    neurons = [SimpleNamespace(group=name) for name in ("c", "a", "a", "d", "b")]
    fold_of = accuracy.in_turn(neurons, 3)
    found = {neuron.group: fold_of(neuron) for neuron in neurons}
    assert found == {
        "a": "fold 1 of 3", "b": "fold 2 of 3", "c": "fold 3 of 3", "d": "fold 1 of 3"
    }  # fmt: skip


def test_stretched_rates_by_hand():
    """Twice as far from the sets' mean, 1 spike/s, in logarithms: 0.25 becomes 0.0625, 4 is 16."""
    tables = importlib.import_module("accuracy_tables")
    rows = [
        {"set": name, "true rate": true, "rate": rate}
        for name, true, rate in (
            ("a", 0.1, 0.25),
            ("a", 10.0, 4.0),
            ("b", 1.0, 1.0),
            ("c", 3.0, 3.0),
            ("c", 1 / 3, 1 / 3),
        )
    ]
    found = tables.stretched(rows, 2.0)
    assert found["under 0.3"] == pytest.approx(0.6, abs=0.05)
    assert found["0.3 to 2"] == pytest.approx((1 + 1 / 3) / 2, abs=0.03)  # 1, and 1/3 becomes 1/9
    assert found["above 5"] == pytest.approx(1.6, abs=0.05)
    assert tables.stretched(rows, 1.0)["above 5"] == 0.4
