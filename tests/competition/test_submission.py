"""A submission's folder is of one run, and says of which."""

import json
import shutil

import numpy as np
import pytest

from spikefinder_keras.competition import tables
from spikefinder_keras.competition.submission import RECORD, submission
from spikefinder_keras.competition.tables import write_csv
from spikefinder_keras.errors import OutputError
from spikefinder_keras.network.weights import find_weights


def data(folder, sets):
    rng = np.random.default_rng(0)
    (folder / "spikefinder.train").mkdir(parents=True)
    for number in sets:
        for kind in ("calcium", "spikes"):
            table = rng.poisson(0.1, (400, 2)) + rng.normal(0, 0.1 * (kind == "calcium"), (400, 2))
            write_csv(folder / "spikefinder.train" / f"{number}.train.{kind}.csv", table)
    return folder


def rates_in(folder):
    return {path.name for path in folder.glob("*.spikes.csv")}


def test_a_second_run_replaces_the_first_whole(tmp_path):
    out = tmp_path / "out"
    submission(data(tmp_path / "a", [1, 2]), "described", out)
    record = json.loads((out / RECORD).read_text())
    assert record["weights"] == "described"
    assert record["data"] == str(tmp_path / "a") and len(record["weights_sha256"]) == 64
    assert rates_in(out) == {"1.train.spikes.csv", "2.train.spikes.csv"}
    submission(data(tmp_path / "b", [3]), "released", out)
    assert rates_in(out) == {"3.train.spikes.csv"}
    assert json.loads((out / RECORD).read_text())["weights"] == "released"


def test_rates_of_nobody_known_are_not_mixed(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "7.train.spikes.csv").write_text("0\n1\n")
    with pytest.raises(OutputError, match=r"holds rates of another run, such as 7\.train.*--out"):
        submission(data(tmp_path / "a", [1]), "described", out)
    assert rates_in(out) == {"7.train.spikes.csv"}


@pytest.mark.parametrize("name", ["1.train.spikes.csv", RECORD])
def test_what_somebody_else_has_made_is_not_replaced(name, tmp_path):
    """Rates of the very sets, such as the authors' own, and a file of the record's name."""
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text('{"my": "own"}')
    with pytest.raises(OutputError, match=r"choose another folder \(--out\)"):
        submission(data(tmp_path / "a", [1]), "described", out)
    assert (out / name).read_text() == '{"my": "own"}' and len([*out.iterdir()]) == 1


def test_a_run_that_breaks_off_is_begun_again(tmp_path, monkeypatch):
    out, made = tmp_path / "out", data(tmp_path / "a", [1, 2])
    submission(made, "released", out)
    real = tables.write_csv

    def break_off(path, rates):
        if path.name.startswith("2"):
            raise KeyboardInterrupt
        real(path, rates)

    with monkeypatch.context() as patch:
        patch.setattr("spikefinder_keras.competition.submission.write_csv", break_off)
        with pytest.raises(KeyboardInterrupt):
            submission(made, "described", out)
    assert "weights" not in json.loads((out / RECORD).read_text())
    submission(made, "described", out)
    assert json.loads((out / RECORD).read_text())["weights"] == "described"


def test_the_folder_of_a_training_run(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(find_weights("described"), run / "best.weights.h5")
    (result,) = submission(data(tmp_path / "a", [1]), run, tmp_path / "out")
    (other,) = submission(tmp_path / "a", "described", tmp_path / "other")
    np.testing.assert_array_equal(result.rates, other.rates)


def test_nothing_below_the_folder_of_the_rates_is_touched(tmp_path):
    """The data may lie in it, whose true spikes are called as the rates are."""
    calcium, smaller = data(tmp_path / "data", [4, 5]), data(tmp_path / "smaller", [5])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / RECORD).write_text("{}")
    below = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for folder, weights in ((calcium, "described"), (smaller, "released")):
        submission(folder, weights, tmp_path)
    assert rates_in(tmp_path) == {"5.train.spikes.csv"}
    assert all(path.read_bytes() == content for path, content in below.items())
