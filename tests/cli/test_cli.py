"""Every mistake at the command line: exit status 2, one line that says what to do, no file."""

import contextlib
import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import spikefinder_keras
from spikefinder_keras import cli
from spikefinder_keras.cli import main
from spikefinder_keras.competition.scoring import score
from spikefinder_keras.competition.tables import find_sets, read_csv
from spikefinder_keras.errors import SpikefinderError

TRUTH = "0,1,2\n" + "1,0,0\n0,0,1\n" * 4 + "2,0,0\n" * 4 + "0,0,3\n" * 8
RATES = "0,1,2\n" + "0.5,1,0.1\n0.25,0,0.5\n" * 4 + "1,0,0.2\n" * 4 + "0.125,1,0.9\n" * 8
PREDICT = ("predict", "calcium.csv", "--out", "rates.csv", "--dataset")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with some files to be mistaken about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPIKEFINDER_DATA", raising=False)
    for name, text in {
        "calcium.csv": RATES,
        "truth.csv": TRUTH,
        "prediction.csv": RATES,
        "short.csv": "0,1,2\n0,1,2\n",
        "bad.csv": "0,1\n0.5,half\n",
        "bad.weights.h5": "<html>not found</html>",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder").mkdir()
    return tmp_path


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_package(*arguments, **options):
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-m", "spikefinder_keras", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment | options.pop("env", {}),
        **options,
    )


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "arguments are required: COMMAND; see `spikefinder-keras --help`"),
        (("deconvolve",), "invalid choice: 'deconvolve' .*submission.*; see"),
        (("score", "truth.csv"), "PREDICTION.csv; see `spikefinder-keras score --help`"),
        (("score", "truth.csv", "prediction.csv", "--faster"), "unrecognized arguments: --faster"),
        (("score", "a.csv", "b.csv", "--epochs", "2"), "--epochs 2: it is an option of train;"),
        (("score", "truth.csv", "prediction.csv", "--measure", "mse"), "choose from .*corr.*info"),
        (("score", "truth.csv", "prediction.csv", "--protocol", "x"), "choose from .*published"),
        (("score", "truth.csv", "prediction.csv", "--downsample", "0"), "a whole number from 1 on"),
        (("score", "truth.csv", "prediction.csv", "--downsample", "2.5"), "invalid int value"),
        (("score", "truth.csv", "missing.csv"), "missing.csv does not exist"),
        (("score", "truth.csv", "bad.csv"), r"bad.csv, row 2, column 2 \(neuron 1\) is not a nu"),
        (("score", "truth.csv", "short.csv"), "truth.csv has 20 rows x 3 .*short.csv has 1 x 3; g"),
        (("score", "truth.csv", "prediction.csv", "--csv", "folder"), "folder is a folder; name a"),
        (
            ("score", "truth.csv", "prediction.csv", "--csv", "truth.csv/x.csv"),
            "cannot write to the folder truth.csv .*; choose another",
        ),
        (
            ("score", "truth.csv", "prediction.csv", "--csv", "x" * 300),
            "x{300}.*File name too long.*; choose another",
        ),
        ((*PREDICT[:-1], "--indicator", "GCaMP9"), "no dataset has GCaMP9; there are GCaMP5k in"),
        ((*PREDICT[:-1], "--indicator", "GCaMP6s", "--area", "retina"), "has GCaMP6s in retina"),
        (
            (*PREDICT, "1", "--area", "V1"),
            "a number .--dataset., or --indicator and --area, not both",
        ),
        ((*PREDICT, "1", "--frame-rate", "0"), "a rate of 0.0 Hz is impossible; give a posi"),
        ((*PREDICT, "1", "--frame-rate", "nan"), "a rate of nan Hz is impossible; give a po"),
        ((*PREDICT, "1", "--frame-rate", "-3"), "a rate of -3.0 Hz is impossible; give a po"),
        ((*PREDICT, "1", "--report", "folder"), "folder is a folder; name a file in it"),
        (("predict", "calcium.csv", "--out", "x.xls"), "no known suffix; end it in one of .csv"),
        ((*PREDICT, "0"), "dataset 0 does not exist; choose a number from 1 to 10"),
        ((*PREDICT, "11"), "dataset 11 does not exist; choose a number from 1 to 10"),
        ((*PREDICT, "x"), "--dataset: invalid int value: 'x'; see"),
        (("predict", "missing.csv", "--dataset", "1", "--out", "x.csv"), "missing.csv does not"),
        (("predict", "folder", "--dataset", "1", "--out", "x.csv"), "neither suite2p's"),
        (("predict", "bad.csv", "--dataset", "1", "--out", "x.csv"), "bad.csv, row 2, column 2"),
        (("predict", "calcium.csv", "--dataset", "1", "--out", "folder"), "name a file in it"),
        (("predict", "calcium.csv", "--dataset", "1", "--out", "bad.csv/x.csv"), "choose another"),
        ((*PREDICT, "1", "--weights", "bad.weights.h5"), "bad.weights.h5 is no usable weights"),
        ((*PREDICT, "1", "--weights", "folder"), "no weights folder; name a file, or one of descr"),
        ((*PREDICT, "1", "--weights", "best"), "no weights best; name a file, or one of described"),
        (("describe", "--variant", "best"), "choose from .*described.*released"),
        (("describe", "--weights", "best"), "there are no weights best; name a file"),
        (("submission", "--data", "missing"), "no folder missing; name the one that holds"),
        (("submission", "--data", "x" * 300), "x{300}"),
        ((*PREDICT, "1", "--weights", "x" * 300), "x{300}"),
        (("submission", "--data", "folder"), "no competition file .* in folder; name the folder"),
        (("submission", "--out", "truth.csv"), "cannot write to the folder truth.csv .*; choose"),
        (("submission", "--out", "truth.csv/below"), "cannot write to the folder .*; choose anoth"),
        (("simulate", "--size", "huge"), "choose from .*small.*full"),
        (("simulate", "--seed", "-1"), "seed -1 is impossible; give a whole number"),
        (("simulate", "--out", "truth.csv"), "cannot write to the folder truth.csv .*; choose"),
        (("download", "everything"), "choose from .*data.*weights"),
        (
            ("download", "data", "--datasets", "11"),
            "dataset 11 does not exist; choose from 1 to 10",
        ),
        (("download", "data", "--splits", "both"), "choose from .*train.*test"),
        (
            ("download", "data", "--out", "data", "--mirror", "missing"),
            r"missing is neither an http\(s\) address nor a folder; name one",
        ),
        (("download", "weights", "--mirror", "missing"), "nor a folder; name one of the two"),
    ],
    ids=lambda value: " ".join(map(str, value))[:60] if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line_and_leaves_no_file(arguments, message, folder, capsys):
    before = files(folder)
    assert main(list(arguments)) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("spikefinder-keras: ")
    assert output.err.count("\n") == 1
    assert re.search(message, output.err)
    assert files(folder) == before


def test_mistakes_are_found_before_the_network_library_loads(folder):
    code = (
        "import sys\n"
        "from spikefinder_keras.cli import main\n"
        "predict = lambda csv, dataset, out: main(\n"
        "    ['predict', csv, '--dataset', dataset, '--out', out])\n"
        "statuses = [\n"
        "    predict('calcium.csv', '11', 'x.csv'),\n"
        "    predict('bad.csv', '1', 'x.csv'),\n"
        "    predict('calcium.csv', '1', 'folder'),\n"
        "    predict('calcium.csv', '1', 'bad.csv/x.csv'),\n"
        "    main(['submission', '--out', 'bad.csv']),\n"
        "    main(['score', 'truth.csv', 'short.csv']),\n"
        "    main(['simulate', '--seed', '-1']),\n"
        "    main(['download', 'data', '--datasets', '0']),\n"
        "]\n"
        "print(*statuses, 'keras' in sys.modules, 'tensorflow' in sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout == "2 2 2 2 2 2 2 2 False False\n"
    assert done.stderr.count("\n") == 8


def test_a_message_of_several_lines_becomes_one(monkeypatch, capsys):
    def fail(arguments):
        raise SpikefinderError("first\n  second")

    monkeypatch.setattr("spikefinder_keras.cli.competition.run_score", fail)
    assert main(["score", "truth.csv", "prediction.csv"]) == 2
    assert capsys.readouterr().err == "spikefinder-keras: first second\n"


def test_what_the_system_refuses_unforeseen(monkeypatch, capsys):
    def fail(arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "somewhere")

    monkeypatch.setattr("spikefinder_keras.cli.competition.run_score", fail)
    assert main(["score", "truth.csv", "prediction.csv"]) == 2
    error = capsys.readouterr().err
    assert error == "spikefinder-keras: Input/output error: somewhere; choose another place\n"


def test_ctrl_c(monkeypatch, capsys):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("spikefinder_keras.cli.competition.run_score", interrupt)
    assert main(["score", "truth.csv", "prediction.csv"]) == 130
    assert capsys.readouterr().err == "spikefinder-keras: interrupted\n"


@pytest.mark.parametrize("error", [ImportError("numpy"), SystemError("error return")])
def test_ctrl_c_that_a_library_makes_another_error_of(error, monkeypatch, capsys):
    """As NumPy and Cython do while they load."""

    def interrupt(arguments):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise error

    # A shell starts what runs in its background deaf to SIGINT.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        monkeypatch.setattr("spikefinder_keras.cli.competition.run_score", interrupt)
        assert main(["score", "truth.csv", "prediction.csv"]) == 130
        assert capsys.readouterr().err == "spikefinder-keras: interrupted\n"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, previous)


def test_ctrl_c_that_somebody_else_handles(monkeypatch):
    """A program that calls `main`, or a shell that starts it with Ctrl-C ignored."""
    seen = []
    previous = signal.signal(signal.SIGINT, lambda *_: seen.append("theirs"))
    try:
        monkeypatch.setattr(
            "spikefinder_keras.cli.competition.run_score",
            lambda arguments: signal.raise_signal(signal.SIGINT),
        )
        assert main(["score", "truth.csv", "prediction.csv"]) == 0
    finally:
        signal.signal(signal.SIGINT, previous)
    assert seen == ["theirs"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_behind_the_output():
    done = subprocess.run(
        f"{sys.executable} -m spikefinder_keras describe > /dev/full",
        **{"shell": True, "capture_output": True, "text": True},
    )
    error = "spikefinder-keras: No space left on device; free space\n"
    assert (done.returncode, done.stderr) == (2, error)


def test_our_own_mistakes_are_one_line_unless_asked_for(monkeypatch, capsys):
    def fail(arguments):
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr("spikefinder_keras.cli.competition.run_score", fail)
    assert main(["score", "truth.csv", "prediction.csv"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("spikefinder-keras: ZeroDivisionError: by zero; this is a fault")
    assert error.count("\n") == 1
    assert "--debug" in error
    with pytest.raises(ZeroDivisionError):
        main(["score", "truth.csv", "prediction.csv", "--debug"])


@pytest.fixture
def scored(tmp_path):
    """A folder with truth and prediction."""
    folder = tmp_path / "scored"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("truth", "rates"):
        table = rng.poisson(0.5, (400, 2))
        np.savetxt(folder / f"{name}.csv", table, "%d", ",", header="0,1", comments="")
    return folder


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(scored, closed):
    command = f"'{sys.executable}' -m spikefinder_keras score truth.csv rates.csv --csv s.csv"
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    done = subprocess.run(
        ["bash", "-c", f"{command} {closed}"], cwd=scored, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert (scored / "s.csv").read_text().count("\n") == 3
    assert sorted(path.name for path in scored.iterdir()) == ["rates.csv", "s.csv", "truth.csv"]


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONWARNINGS": "error"}, {"MPLBACKEND": "abacus"}, {"KERAS_BACKEND": "abacus"}],
    ids=str,
)
def test_odd_environments_do_not_matter(tmp_path, environment):
    np.save(tmp_path / "dff.npy", np.random.default_rng(0).normal(size=(3, 900)))
    out = ["--out", tmp_path / "rates.csv", "--report", tmp_path / "report.html"]
    done = run_package(
        "predict", str(tmp_path / "dff.npy"), "--frame-rate", "30", *map(str, out), env=environment
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.html").exists()


def test_a_missing_network_library():
    done = run_package("train", env={"KERAS_BACKEND": "abacus"})
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "abacus" in done.stderr
    assert 'pip install "spikefinder-keras[tensorflow]"' in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])  # the first write fails at the end, or at once
def test_a_reader_that_has_gone(unbuffered):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "spikefinder_keras", "score", "truth.csv", "prediction.csv"]
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    environment |= {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        command, stdout=write, stderr=subprocess.PIPE, text=True, check=False, env=environment
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "module"),
    [("submission", "competition.submission"), ("figures", "figures.gallery")],
)
def test_weights_are_looked_for_before_data_are_made(
    tmp_path, monkeypatch, capsys, command, module
):
    def made(*_):
        raise AssertionError("data are made")

    monkeypatch.setattr(f"spikefinder_keras.{module}.find_data", made)
    assert cli.main([command, "--weights", "nothing", "--out", str(tmp_path / "out")]) == 2
    assert "there are no weights nothing" in capsys.readouterr().err


# What works


@pytest.mark.parametrize("command", [(), ("submission",), ("predict",), ("score",), ("describe",)])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    output = capsys.readouterr()
    assert " ".join(["usage: spikefinder-keras", *command]) in output.out
    assert output.err == ""


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"spikefinder-keras {spikefinder_keras.__version__}"
    for name in ("Python", "numpy", "onnxruntime", "keras"):
        assert re.search(rf"\b{name} \d+\.\d+", second), name


def test_the_package_runs_as_a_module():
    done = run_package("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(f"spikefinder-keras {spikefinder_keras.__version__}\nPython 3.")
    assert run_package("deconvolve").returncode == 2


def test_score_prints_a_table(capsys):
    # Windows: 2, 2, 8, 0, 0 and 1.5, 1.5, 4, 0.5, 0.5; 2, 2, 0, 12, 12 and 1.2, 1.2, 0.8, 3.6, 3.6.
    first, third = 18.8 / (43.2 * 8.2) ** 0.5, 32.96 / (139.2 * 7.808) ** 0.5
    assert main(["score", "truth.csv", "prediction.csv"]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines() == [
        "neuron  corr",
        f"0       {first:.4f}",
        "1       none: no spikes",
        f"2       {third:.4f}",
        f"mean    {(first + third) / 2:.4f} over 2 neurons",
    ]
    assert output.err == ""


def test_score_of_neurons_without_any(folder, capsys):
    assert main(["score", "short.csv", "short.csv"]) == 0
    *rows, mean = capsys.readouterr().out.splitlines()[1:]
    assert [row.split(maxsplit=1)[1] for row in rows] == [
        "none: fewer than two windows of 4 samples"
    ] * 3
    assert mean.split() == ["mean", "none"]


@pytest.mark.parametrize("measure", ["corr", "rank", "auc", "info"])
def test_score_writes_a_csv(measure, folder, capsys):
    import pandas as pd

    options = ["--measure", measure, "--downsample", "2", "--protocol", "published"]
    csv = folder / "new folder" / "scores.csv"
    assert main(["score", "truth.csv", "prediction.csv", "--csv", str(csv), *options]) == 0
    table = pd.read_csv(csv)
    assert list(table.columns) == ["neuron", "measure", "value"]
    assert list(table.neuron) == [0, 1, 2]
    assert set(table.measure) == {measure}
    tables = (read_csv(name) for name in ("truth.csv", "prediction.csv"))
    expected = score(*tables, measure, 2, "published").values
    assert table.value.to_numpy() == pytest.approx(expected, abs=0, nan_ok=True)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["neuron", measure]
    assert printed[1].split() == ["0", f"{expected[0]:.4f}"]


def test_a_full_disk_keeps_the_previous_csv(folder, monkeypatch, capsys):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (folder / "scores.csv").write_text("the previous one")
    before = files(folder)
    monkeypatch.setattr(os, "fsync", full)
    command = ["score", "truth.csv", "prediction.csv", "--csv", "scores.csv", "--overwrite"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "cannot write scores.csv (No space left on device); free space" in error
    assert files(folder) == before


def test_simulate_writes_what_submission_reads(folder, capsys):
    assert main(["simulate", "--out", "made up", "--quiet"]) == 0
    output = capsys.readouterr()
    assert output.out == (
        "simulated data are in made up; use them with "
        "`spikefinder-keras submission --data made up`\n"
    )
    assert output.err == ""
    assert len(find_sets(folder / "made up")) == 15


def test_download_from_a_folder(data, folder, capsys):
    options = ["--datasets", "4", "5", "--splits", "train", "--mirror", str(data), "--quiet"]
    assert main(["download", "data", "--out", "data", *options]) == 0
    output = capsys.readouterr()
    assert output == ("4 verified files are in data\n", "")
    assert len(list((folder / "data" / "spikefinder.train").glob("*.csv"))) == 4
    assert main(["download", "weights", "--mirror", str(data / "published")]) == 0
    path = capsys.readouterr().out.removeprefix("the published weights are in ").strip()
    assert Path(path).read_bytes() == (data / "published" / "model_convnet_6").read_bytes()


# What was meant


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "a.npy", "b.npy"], "one recording, or one file of a kind, at a time"),
        (["predit", "a.npy"], "did you mean predict?"),
        (["predict", "a.npy", "--fps", "30"], "did you mean --frame-rate?"),
        (["predict", "a.npy", "--indicater", "GCaMP6f"], "did you mean --indicator?"),
        (["predict", "https://a.org/b.nwb", "--out", "b.csv"], "is an address; download the file"),
        (
            ["predict", "calcium.csv", "--frame-rate", "30", "--out", "a.csv", "--report", "t.pdf"],
            "end its name in .html (--report)",
        ),
        (["export", "m.txt"], "end its name in .onnx"),
        (["predict", "calcium.csv", "--out", "a.csv"], "--unit competition"),
        (
            [
                "predict",
                "calcium.csv",
                "--frame-rate",
                "9",
                "--out",
                "a.csv",
                "--segments",
                "trial",
            ],
            "has no column trial (--segments)",
        ),
    ],
)
def test_what_was_meant_is_asked(arguments, message, folder, capsys):
    before = files(folder)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1
    assert files(folder) == before
