"""`predict` and `score` from the command line: default names, what is said, what is spared."""

import numpy as np
import pandas as pd
import pytest

from spikefinder_keras.cli import main
from spikefinder_keras.cli.predict import default_path
from spikefinder_keras.errors import OutputError

RNG = np.random.default_rng(0)
DFF = RNG.normal(0, 0.05, (4, 600)) + (RNG.random((4, 600)) < 0.03)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments, status=0):
    assert main([str(argument) for argument in arguments]) == status
    return capsys.readouterr()


def test_default_names(here):
    for name, expected in (
        ("2026.03.01_m1.npy", "2026.03.01_m1.rates.csv"),
        ("2026.03.01_m2.npy", "2026.03.01_m2.rates.csv"),
        ("a/suite2p/plane0", "a_plane0.rates.csv"),
        ("b/suite2p/plane0", "b_plane0.rates.csv"),
        ("b/suite2p", "b.rates.csv"),
        ("x.zarr", "x.rates.csv"),
    ):
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            path.touch()
        else:
            path.mkdir(exist_ok=True)
        assert default_path(path).name == expected
    (here / "b.rates.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"there already; name the file .*--out.*--overwrite"):
        default_path(here / "b" / "suite2p")
    assert default_path(here / "b" / "suite2p", overwrite=True).name == "b.rates.csv"


def test_dead_neurons_spikes_and_the_second_run(here, capsys):
    traces = DFF.copy()
    traces[1], traces[2] = 0, 731.5
    np.save("m1.npy", traces)
    out = run(capsys, "predict", "m1.npy", "--frame-rate", 20, "--spikes")
    assert "2 of 4 neurons never change" in out.err
    assert "spike times are in m1.rates.csv.json, under spike_times" in out.out
    table = pd.read_csv("m1.rates.csv")
    assert table[["1", "2"]].isna().all().all()
    assert table[["0", "3"]].notna().all().all()
    before = (here / "m1.rates.csv").read_bytes()
    out = run(capsys, "predict", "m1.npy", "--frame-rate", 20, status=2)
    assert "m1.rates.csv is there already" in out.err
    assert (here / "m1.rates.csv").read_bytes() == before
    # The tool's own output is scored by the names of its neurons.
    pd.DataFrame((DFF > 0.5).T.astype(int)).iloc[:, ::-1].to_csv("truth.csv")
    out = run(capsys, "score", "truth.csv", "m1.rates.csv")
    rows = [line.split() for line in out.out.splitlines()]
    assert [row[0] for row in rows[1:-1]] == ["3", "2", "1", "0"]
    assert float(rows[1][1]) > 0.3
    assert "counts the rows: left out" in out.err


def test_options_name_what_the_messages_propose(here, capsys):
    np.save("dff.npy", DFF.T)
    out = run(capsys, "predict", "dff.npy", "--frame-rate", 20, status=2)
    assert "--orientation" in out.err
    quiet = ("--dataset", 7, "--quiet", "--out")
    stated = ("--orientation", "time-neuron", "--frame-rate", 20, *quiet)
    run(capsys, "predict", "dff.npy", *stated, "a.npy")
    assert np.load("a.npy").shape == (4, 600)
    out = run(capsys, "predict", "dff.npy", *stated, "dff.npy", status=2)
    assert "is the recording itself" in out.err
    out = run(capsys, "predict", "dff.npy", *stated, "a.npz", "--series", "x", status=2)
    assert "--series" in out.err
