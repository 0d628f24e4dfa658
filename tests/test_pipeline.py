"""The command line end to end on simulated data: the submission, and prediction of one file."""

import contextlib
import csv
import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spikefinder_keras import __version__, cli
from spikefinder_keras.competition import submission
from spikefinder_keras.competition.scoring import score
from spikefinder_keras.competition.simulated_data import simulate
from spikefinder_keras.competition.tables import (
    OTHER,
    REAL,
    SIMULATED,
    data_origin,
    read_csv,
    write_csv,
)
from spikefinder_keras.errors import DataError, OutputError

SETS = [("train", n) for n in range(1, 11)] + [("test", n) for n in range(1, 6)]
NAMES = [f"{number}.{split}.spikes.csv" for split, number in SETS]
COLUMNS = ["set", "neurons", "plain", "as published", "convi6 2017", "best other 2017"]
# Round-off of rates below 1 in float32, a few units in the last place: sums are taken in another
# order where other traces, or more zeros behind one, are in the batch.
SAME = 3e-7


def run(*arguments):
    """Exit status, standard output and standard error of the command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


def calcium_path(folder, split, number):
    return folder / f"spikefinder.{split}" / f"{number}.{split}.calcium.csv"


def contents(folder):
    """Of a submission's files, but not what says which run wrote them."""
    paths = (path for path in folder.iterdir() if path.name != "run.json")
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("data") / "simulated data, é")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    import keras

    from spikefinder_keras.network.keras_model import build_network, save_weights

    keras.utils.set_random_seed(1)
    path = tmp_path_factory.mktemp("weights") / "made.weights.h5"
    save_weights(build_network("released"), path)
    return path


@pytest.fixture(scope="module")
def submitted(simulated, weights, tmp_path_factory):
    """The folder of a whole submission, and what it printed."""
    folder = tmp_path_factory.mktemp("submitted") / "rates"
    status, out, err = run("submission", "--data", simulated, "--weights", weights, "--out", folder)
    assert status == 0
    return folder, out, err


@pytest.fixture
def few(simulated, tmp_path):
    """A competition folder of two sets alone, which a test may change."""
    folder = tmp_path / "few"
    for split, number in (("train", 7), ("test", 2)):
        path = calcium_path(folder, split, number)
        path.parent.mkdir(parents=True)
        for kind in ("calcium", "spikes"):
            name = path.name.replace("calcium", kind)
            shutil.copy(calcium_path(simulated, split, number).with_name(name), path.parent)
    return folder


@pytest.fixture
def predict(tmp_path, weights):
    """A function that writes a table, predicts it and gives its rates and the notices."""

    def predict(table, dataset=7, expected_status=0):
        calcium, out = tmp_path / "calcium.csv", tmp_path / "rates.csv"
        write_csv(calcium, table)
        status, _, err = run(
            *("predict", calcium, "--dataset", dataset, "--weights", weights, "--out", out)
        )
        assert status == expected_status
        return (read_csv(out) if status == 0 else None), err

    return predict


# The submission


def test_all_files_in_the_competitions_form(submitted, simulated):
    folder, _, _ = submitted
    assert sorted(contents(folder)) == sorted(NAMES)
    for (split, number), name in zip(SETS, NAMES, strict=True):
        calcium = read_csv(calcium_path(simulated, split, number))
        rows = list(csv.reader((folder / name).read_text().splitlines()))
        assert rows[0] == [str(neuron) for neuron in range(calcium.shape[1])]
        assert len(rows) == 1 + calcium.shape[0]
        assert {len(row) for row in rows} == {calcium.shape[1]}
        # Rates go on to the last row, behind the end of shorter neurons too, as in 2017.
        assert np.isnan(calcium).any()
        values = np.array(rows[1:], float)
        assert values.min() > 0
        assert values.max() < 1


def test_files_have_twelve_significant_digits(submitted):
    folder, _, _ = submitted
    cells = (folder / NAMES[0]).read_text().replace("\n", ",").split(",")[3:-1]
    digits = [len(cell.split("e")[0].replace(".", "").lstrip("0")) for cell in cells]
    assert max(digits) == 12
    # Of random numbers, one in ten ends in 0, which is not written.
    assert np.mean(np.array(digits) == 12) > 0.8


def test_the_table_of_scores(submitted, simulated):
    folder, out, err = submitted
    header, *rows = out.splitlines()
    assert re.split("  +", header) == COLUMNS
    for (split, number), name, row in zip(SETS, NAMES, rows, strict=False):
        calcium = calcium_path(simulated, split, number)
        truth = read_csv(calcium.with_name(name))
        assert row.startswith(f"{split} {number} ")
        cells = row.split()
        assert cells[3] == "3"
        for cell, protocol in zip(cells[4:6], ("plain", "published"), strict=True):
            expected = score(truth, read_csv(folder / name), protocol=protocol).mean
            assert float(cell) == pytest.approx(expected, abs=0.00051)  # three decimals printed
    assert rows[3].split()[-3:] == ["0.470", "0.574", "Bolte"]
    assert [row.split()[:3] for row in rows[15:17]] == [
        ["train,", "all", "30"],
        ["test,", "all", "15"],
    ]
    means = [float(row.split()[4]) for row in rows[:10]]
    assert float(rows[15].split()[3]) == pytest.approx(np.mean(means), abs=0.0011)
    assert rows[17:] == [submission.COLUMNS, f"15 files of spike rates are in {folder}"]
    assert f"({simulated}, 15 sets)" in err
    assert "made.weights.h5" in err


def test_a_second_run_gives_the_same_bytes(submitted, simulated, weights):
    folder, out, _ = submitted
    before = contents(folder)
    assert run("submission", "--data", simulated, "--weights", weights, "--out", folder)[1] == out
    assert contents(folder) == before


def test_a_part_of_the_sets_gives_the_same_rates(submitted, few, weights, tmp_path):
    status, out, _ = run(
        "submission", "--data", few, "--weights", weights, "--out", tmp_path / "out"
    )
    assert status == 0
    assert sorted(contents(tmp_path / "out")) == ["2.test.spikes.csv", "7.train.spikes.csv"]
    for name in contents(tmp_path / "out"):
        expected = read_csv(submitted[0] / name)
        np.testing.assert_allclose(read_csv(tmp_path / "out" / name), expected, rtol=0, atol=SAME)
    firsts = [line.split()[0] for line in out.splitlines()[1:]]
    assert firsts == ["train", "test", "train,", "test,", "mean", "2"]


@pytest.mark.parametrize("number", [2, 5])
def test_predict_gives_the_rates_of_the_submission(submitted, simulated, weights, tmp_path, number):
    out = tmp_path / "rates.csv"
    calcium = calcium_path(simulated, "test", number)
    status, text, err = run(
        *("predict", calcium, "--dataset", number, "--weights", weights, "--out", out, "--quiet")
    )
    assert (status, err) == (0, "")
    text = text.removesuffix(f", are in {out}\n")
    assert text == "spike rates of 3 neurons, 6000 frames each, arbitrary, between 0 and 1"
    # Both add 3,000 zeros behind the table.
    expected = read_csv(submitted[0] / f"{number}.test.spikes.csv")
    np.testing.assert_allclose(read_csv(out), expected, rtol=0, atol=SAME)


def test_the_dataset_matters(submitted, simulated, weights, tmp_path):
    out = tmp_path / "rates.csv"
    calcium = calcium_path(simulated, "test", 2)
    run("predict", calcium, "--dataset", 3, "--weights", weights, "--out", out)
    assert np.abs(read_csv(out) - read_csv(submitted[0] / "2.test.spikes.csv")).max() > 1e-3


def test_without_the_truth_there_are_files_but_no_scores(few, weights, tmp_path):
    for path in few.rglob("*.spikes.csv"):
        path.unlink()
    status, out, _ = run(
        "submission", "--data", few, "--weights", weights, "--out", tmp_path / "out"
    )
    assert status == 0
    assert len(contents(tmp_path / "out")) == 2
    _, train, test, columns, last = out.splitlines()
    assert columns == submission.COLUMNS
    assert train.split() == ["train", "7", "GCaMP6f", "3", "-", "-", "-", "-"]
    assert test.split() == ["test", "2", "OGB-1", "3", "-", "-", "0.396", "0.413", "MLspike"]
    assert last.startswith("2 files")


def test_no_neuron_has_a_score(few, weights, tmp_path, recwarn):
    for path in few.rglob("*.spikes.csv"):
        write_csv(path, np.zeros_like(read_csv(path)))
    status, out, _ = run(
        "submission", "--data", few, "--weights", weights, "--out", tmp_path / "out"
    )
    assert status == 0
    assert out.splitlines()[1].split() == ["train", "7", "GCaMP6f", "3", "-", "-", "-", "-"]
    assert out.splitlines()[3].split() == ["train,", "all", "0", "-", "-"]
    assert "6 neurons have no score (no spikes, or no calcium) and are left out" in out
    assert not [warning for warning in recwarn if warning.category is RuntimeWarning]


def test_files_side_by_side_are_found(few, submitted, weights, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in few.rglob("*.csv"):
        path.rename(flat / path.name)
    assert (
        run("submission", "--data", flat, "--weights", weights, "--out", tmp_path / "out")[0] == 0
    )
    rates = read_csv(tmp_path / "out" / "2.test.spikes.csv")
    expected = read_csv(submitted[0] / "2.test.spikes.csv")
    np.testing.assert_allclose(rates, expected, rtol=0, atol=SAME)


@pytest.mark.parametrize("below", ["", "spikefinder.train", "spikefinder.test/../spikefinder.test"])
def test_the_true_spikes_are_never_overwritten(few, weights, below):
    before = {path: path.read_bytes() for path in few.rglob("*.*.csv")}
    status, out, err = run("submission", "--data", few, "--weights", weights, "--out", few / below)
    assert (status, out) == (2, "")
    assert re.search("the rates would replace the true spikes, .*; choose another folder", err)
    assert {path: path.read_bytes() for path in few.rglob("*.*.csv")} == before


def test_tables_of_different_shape(few, weights, tmp_path):
    path = few / "spikefinder.test" / "2.test.spikes.csv"
    write_csv(path, read_csv(path)[:-1])
    status, _, err = run(
        "submission", "--data", few, "--weights", weights, "--out", tmp_path / "out"
    )
    assert status == 2
    message = (
        r"2\.test\.calcium\.csv has 6000 rows x 3 neurons, but .*2\.test\.spikes\.csv has 5999"
    )
    assert re.search(message, err)
    assert contents(tmp_path / "out") == {}


def full_disk(descriptor):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_keeps_the_previous_files(few, weights, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("2.test.spikes.csv", "7.train.spikes.csv"):
        (out / name).write_text("the previous one")
    # As a run of the same sets that broke off says of itself.
    begun = {"program": f"spikefinder-keras {__version__}", "files": sorted(contents(out))}
    (out / "run.json").write_text(json.dumps(begun))
    before = contents(out)
    monkeypatch.setattr(os, "fsync", full_disk)
    options = ("--weights", weights, "--quiet", "--out")
    status, text, err = run("submission", "--data", few, *options, out)
    assert (status, text) == (2, "")
    expected = (
        "spikefinder-keras: cannot write .*7.train.spikes.csv .No space left on device.; free"
    )
    assert re.match(expected, err)
    assert err.count("\n") == 1
    assert contents(out) == before
    calcium = calcium_path(few, "test", 2)
    status, text, err = run(
        *("predict", calcium, "--dataset", 2, "--overwrite", *options, out / "2.test.spikes.csv")
    )
    assert (status, text) == (2, "")
    assert "2.test.spikes.csv (No space left on device); free space" in err
    assert contents(out) == before


def test_ctrl_c_while_writing_keeps_the_previous_file(few, weights, tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    out = tmp_path / "rates.csv"
    out.write_text("the previous one")
    monkeypatch.setattr(os, "fsync", interrupt)
    calcium = calcium_path(few, "test", 2)
    status, text, err = run(
        *("predict", calcium, "--dataset", 2, "--weights", weights, "--quiet", "--overwrite"),
        *("--out", out),
    )
    assert (status, text, err) == (130, "", "spikefinder-keras: interrupted\n")
    assert out.read_text() == "the previous one"
    assert not list(tmp_path.glob(".partial-*"))


def test_quiet_prints_nothing_on_the_standard_error(few, weights, tmp_path):
    # In a process of its own, because the libraries below write past Python's sys.stderr.
    path = calcium_path(few, "train", 7)
    table = read_csv(path)
    table[100:103, 1] = np.nan
    table[:, 2] = np.nan
    write_csv(path, table)
    command = (sys.executable, "-m", "spikefinder_keras", "submission", "--data", few)
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    done = subprocess.run(
        [*command, "--weights", weights, "--out", tmp_path / "out", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 files of spike rates" in done.stdout


# Unusual traces


@pytest.fixture
def traces(simulated):
    """Calcium of three neurons, the second of which ends early."""
    table = read_csv(calcium_path(simulated, "train", 7))[:2000]
    table[1500:, 1] = np.nan
    return table


def test_a_neuron_without_calcium_leaves_the_others_as_they_are(traces, predict):
    expected, err = predict(traces)
    assert "no calcium" not in err
    rates, err = predict(np.insert(traces, 1, np.nan, axis=1))
    assert "calcium.csv: neuron 1 has no calcium at all; its rates are left empty" in err
    assert np.isnan(rates[:, 1]).all()
    np.testing.assert_array_equal(rates[:, [0, 2, 3]], expected)


def test_a_submission_leaves_such_a_neuron_out(few, weights, tmp_path):
    path = calcium_path(few, "test", 2)
    table = read_csv(path)
    table[:, 1] = np.nan
    write_csv(path, table)
    status, out, err = run(
        "submission", "--data", few, "--weights", weights, "--out", tmp_path / "out"
    )
    assert status == 0
    assert "test set 2: neuron 1 has no calcium at all; its rates are left empty" in err
    assert "1 neuron has no score" in out
    rates = read_csv(tmp_path / "out" / "2.test.spikes.csv")
    np.testing.assert_array_equal(np.isnan(rates).all(axis=0), [False, True, False])
    np.testing.assert_array_equal(np.isnan(rates).any(axis=0), [False, True, False])


def test_only_neurons_without_calcium(traces, predict):
    rates, err = predict(np.full_like(traces, np.nan))
    assert np.isnan(rates).all()
    assert rates.shape == traces.shape
    assert err.count("no calcium at all") == 3


def test_missing_samples_count_as_0_and_are_told(traces, predict):
    zeros, gaps = traces.copy(), traces.copy()
    zeros[250::500] *= 0
    gaps[250::500] = np.nan  # four in each trace; the second ends before the last of them
    expected, err = predict(zeros)
    assert "missing" not in err
    rates, err = predict(gaps)
    assert "11 samples are missing inside the traces of 3 neurons; they counted as 0" in err
    assert np.isfinite(rates).all()
    np.testing.assert_array_equal(rates, expected)


@pytest.mark.parametrize("value", [0.0, 1.0, -5.0, 1e20])
def test_constant_traces(value, predict):
    rates, _ = predict(np.full((1000, 2), value))
    assert np.isfinite(rates).all()
    assert rates.shape == (1000, 2)


def test_traces_of_one_sample(traces, predict):
    rates, _ = predict(traces[:1])
    assert np.isfinite(rates).all()
    assert rates.shape == (1, 3)
    traces[1:, 1] = np.nan
    rates, err = predict(traces)
    assert np.isfinite(rates).all()
    assert "missing" not in err


def test_neurons_do_not_depend_on_their_order_or_company(traces, predict):
    rates, _ = predict(traces)
    turned, _ = predict(traces[:, ::-1])
    alone, _ = predict(traces[:, 1:2])
    np.testing.assert_allclose(turned[:, ::-1], rates, rtol=0, atol=SAME)
    np.testing.assert_allclose(alone, rates[:, 1:2], rtol=0, atol=SAME)


@pytest.mark.parametrize("value", [1e31, 1e39, -1e300])
def test_absurd_values(traces, predict, value):
    traces[7, 1] = value
    _, err = predict(traces, expected_status=2)
    assert re.search(r"calcium has infinite values, or some beyond 1e\+30; preprocess it", err)


# The functions behind the commands


def test_predict_as_a_function(traces, predict, weights):
    import spikefinder_keras
    from spikefinder_keras.network.keras_model import load_network

    expected, _ = predict(traces)
    before = traces.copy()
    for network in (weights, str(weights), load_network(weights)):
        rates = spikefinder_keras.predict_calcium(traces, 7, network)
        assert rates.dtype == np.float32
        # The file has twelve digits of a float32.
        np.testing.assert_allclose(rates, expected, rtol=1e-7, atol=SAME)
    np.testing.assert_array_equal(traces, before)
    one = spikefinder_keras.predict_calcium(traces[:, 0], 7, network)
    np.testing.assert_allclose(one, expected[:, 0], rtol=0, atol=SAME)


@pytest.mark.parametrize(
    ("calcium", "message"),
    [
        (np.zeros((2, 3, 4)), r"calcium has shape \(2, 3, 4\); give an array \(time, neuron\)"),
        (np.zeros(()), r"calcium has shape \(\); give"),
        (np.zeros((0, 3)), r"calcium has shape \(0, 3\); give"),
        (np.array([0.0, np.inf]), "calcium has infinite values.* mark missing samples by NaN"),
    ],
)
def test_impossible_calcium(calcium, message):
    from spikefinder_keras.network.predict import predict_calcium

    with pytest.raises(DataError, match=message):
        predict_calcium(calcium, 1, "no such weights")


def test_submission_as_a_function(few, weights, tmp_path):
    from spikefinder_keras.competition.submission import submission

    lines = []
    results = submission(few, weights, tmp_path / "out", say=lines.append)
    assert [(result.split, result.number) for result in results] == [("train", 7), ("test", 2)]
    assert lines == [
        f"data:    of another origin, given ({few}, 2 sets)",
        f"weights: {weights}",
        "the scores of 2017 in the table are those of the real recordings, for comparison alone",
    ]
    for result in results:
        assert result.path == tmp_path / "out" / f"{result.number}.{result.split}.spikes.csv"
        # Twelve digits in the file, float32 here.
        np.testing.assert_allclose(read_csv(result.path), result.rates, rtol=1e-7)
        assert result.missing == 0
        assert len(result.plain.values) == len(result.published.values) == 3
    with pytest.raises(OutputError, match="choose another"):
        submission(few, weights, few)


def test_the_data_are_found_in_this_order(few, simulated, tmp_path, monkeypatch):
    from spikefinder_keras.competition.submission import find_data
    from spikefinder_keras.files.downloads import data_cache

    monkeypatch.setenv("SPIKEFINDER_DATA", str(few))
    assert find_data(simulated) == (simulated, "given")
    assert find_data() == (few, "given by SPIKEFINDER_DATA")
    monkeypatch.delenv("SPIKEFINDER_DATA")
    made = tmp_path / "out" / "simulated"
    assert find_data(out=tmp_path / "out") == (made, "made for this run")
    assert len(list(made.rglob("*.csv"))) == 30
    shutil.copytree(few, data_cache())
    assert find_data() == (data_cache(), "downloaded")
    monkeypatch.setenv("SPIKEFINDER_DATA", str(tmp_path / "missing"))
    with pytest.raises(DataError, match=r"no folder .*missing; name the one that holds"):
        find_data()


def test_data_are_told_apart_by_their_content(data, simulated, few, tmp_path):
    assert data_origin(simulated) == SIMULATED
    assert data_origin(few) == OTHER
    assert data_origin(data) == REAL
    changed = tmp_path / "spikefinder.train" / "4.train.calcium.csv"
    changed.parent.mkdir()
    content = (data / "spikefinder.train" / changed.name).read_bytes()
    changed.write_bytes(content)
    assert data_origin(tmp_path) == REAL
    changed.write_bytes(content[:-2] + b"9\n")
    assert data_origin(tmp_path) == OTHER


# The network and the default run


@pytest.mark.parametrize(
    ("variant", "count", "join"),
    [("described", "7,357", "Add"), ("released", "8,157", "Concatenate")],
)
def test_describe(variant, count, join):
    status, out, _ = run("describe", "--variant", variant)
    assert status == 0
    *_, last = out.splitlines()
    assert last == f"convi6_{variant}: {count} parameters"
    assert re.search(f"join_lstm +{join} ", out)


def test_describe_weights(weights):
    status, out, _ = run("describe", "--weights", weights)
    assert status == 0
    assert out.splitlines()[-1] == "convi6_released: 8,157 parameters"


def test_describe_universal():
    status, out, _ = run("describe", "--weights", "universal")
    assert status == 0
    assert re.search(r"entry +Conv1D 32 x 9", out)
    assert out.splitlines()[-1] == "universal: 76,321 parameters"


def test_the_default_run_needs_nothing(tmp_path, monkeypatch):
    embedded = Path(cli.__file__).parents[2] / "weights" / "convi6-described.weights.h5"
    if not embedded.exists():
        pytest.skip(f"there is no {embedded.name} in weights/ yet")
    monkeypatch.delenv("SPIKEFINDER_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    status, out, err = run("submission")
    assert status == 0
    assert "data:    simulated, made for this run (submission/simulated, 15 sets)" in err
    assert "weights: described" in err
    assert {path.name for path in Path("submission").glob("*.csv")} == set(NAMES)
    train, test = (float(line.split()[3]) for line in out.splitlines()[16:18])
    # Trained weights find spikes in simulated calcium; random ones score about 0.
    assert min(train, test) > 0.2
