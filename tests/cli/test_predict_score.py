"""`predict` and `score` from the command line: default names, what is said, what is spared."""

import importlib.util
import re
import shutil
import subprocess
import sys

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


AS_HELP_SAYS = {
    "--out": "rates.npz",
    "--frame-rate": 30,
    "--indicator": "GCaMP6f",
    "--species": "mouse",
    "--delay": "-12.5",
    "--weights": "universal",
    "--dataset": 5,
    "--area": "V1",
    "--engine": "fast",
    "--spikes": None,
    "--report": "page.html",
    "--orientation": "neuron-time",
    "--unit": "dF/F",
    "--variable": "dff",
    "--segments": 300,
    "--neuropil": 0.5,
    "--all-rois": None,
    "--only": "marks.csv",
    "--memory": "256MiB",
    "--overwrite": None,
    "--quiet": None,
    "--debug": None,
}


@pytest.mark.parametrize("option", AS_HELP_SAYS)
def test_every_option_takes_what_its_help_says(here, capsys, option):
    np.savez("a.npz", dff=DFF)
    (here / "marks.csv").write_text("name,mark,word\n0,good,\n1,bad,\n")
    options = {"--frame-rate": 20} | {option: AS_HELP_SAYS[option]}
    words = [word for pair in options.items() for word in pair if word is not None]
    run(capsys, "predict", "a.npz", *words)


def test_no_option_is_left_out(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    there = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    # Of NWB and Dask, which have tests of their own.
    assert there == {*AS_HELP_SAYS, "--series", "--scheduler"}


@pytest.mark.parametrize(
    ("options", "said"),
    [((), "30 Hz, fs in ops.npy"), (("--frame-rate", 20), "20 Hz, as stated")],
)
def test_the_first_line_says_the_frame_rate_and_where_it_is_from(here, capsys, options, said):
    folder = here / "suite2p" / "plane0"
    folder.mkdir(parents=True)
    traces = DFF.copy()
    traces[1] = 0  # about which there is something to say, too
    np.save(folder / "F.npy", 500 * (1 + traces))
    np.save(folder / "Fneu.npy", np.full(traces.shape, 100.0))
    np.save(folder / "ops.npy", {"fs": 30.0}, allow_pickle=True)
    out = run(capsys, "predict", folder, *options, "--out", "rates.npy")
    lines = out.err.splitlines()
    assert lines[0] == f"plane0: {said}"
    assert any("never change" in line for line in lines[1:])
    quiet = run(capsys, "predict", folder, *options, "--out", "quiet.npy", "--quiet")
    assert quiet.err == ""


def test_mean_rates_stand_in_the_table_and_on_the_page(here, capsys):
    np.save("m1.npy", DFF)
    out = run(capsys, "predict", "m1.npy", "--frame-rate", 20, "--report", "trust.html")
    header = next(line for line in out.out.splitlines() if line.startswith("neuron"))
    assert header.split()[:2] == ["neuron", "spikes/s"]
    assert out.out.rstrip().endswith("how far to trust them is in trust.html")
    page = (here / "trust.html").read_text()
    assert 'class="neurons"' in page
    assert "pip install" not in page + out.err


def test_a_page_without_bokeh_says_what_to_install(here, capsys, monkeypatch):
    from spikefinder_keras.view import page

    monkeypatch.setattr(page, "find_spec", lambda name: None)
    np.save("m1.npy", DFF)
    out = run(capsys, "predict", "m1.npy", "--frame-rate", 20, "--report", "trust.html")
    (line,) = (line for line in out.err.splitlines() if "pip" in line)
    assert line.startswith("trust.html: ")
    assert line.endswith("pip install 'spikefinder-keras[view]'")
    text = (here / "trust.html").read_text()
    assert text.count("pip install") == 1
    assert 'class="neurons"' not in text


# Completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_and_options(capsys, shell):
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", shell])
    assert ended.value.code == 0
    script = capsys.readouterr().out
    for word in ("predict", "submission", "indicator", "report"):
        assert word in script


def test_bash_completes(capsys, here):
    pytest.importorskip("shtab")
    bash = shutil.which("bash") or pytest.skip("there is no bash")
    with pytest.raises(SystemExit):
        main(["--print-completion", "bash"])
    (here / "completion").write_text(capsys.readouterr().out)
    ask = (
        "source completion\n"
        "function=$(complete -p spikefinder-keras | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n"
        "COMP_WORDS=(spikefinder-keras predict --ind); COMP_CWORD=2\n"
        '$function spikefinder-keras --ind predict; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run([bash, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["--indicator"]


def test_completion_is_loaded_when_it_is_asked_for(capsys, monkeypatch):
    code = "import sys; from spikefinder_keras.cli import main; main(['score'])\n"
    code += "print('shtab' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    out = run(capsys, "--print-completion", "bash", status=2)
    assert out.err.count("\n") == 1
    assert 'shtab; install it with: pip install "spikefinder-keras[completion]"' in out.err
