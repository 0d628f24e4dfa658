"""Each open, write, flush to the disk and renaming made to fail in turn, until nothing fails.

What is computed between them is computed once, or stands in for it: thousands of commands are run,
each to its first fault.
"""

import builtins
import errno
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

from spikefinder_keras import __version__
from spikefinder_keras.cli import main
from spikefinder_keras.competition import simulated_data as simulation
from spikefinder_keras.competition.tables import write_csv
from spikefinder_keras.errors import OutputError, SpikefinderError
from spikefinder_keras.figures import learning_curves, save
from spikefinder_keras.files import atomic as whole_files
from spikefinder_keras.files import claims, downloads
from spikefinder_keras.network.weights import find_weights
from spikefinder_keras.recordings import calibration
from spikefinder_keras.training import calibrate, universal
from spikefinder_keras.training import convi6 as training
from spikefinder_keras.training import neurons as ground_truth

CODES = (errno.ENOSPC, errno.EIO, errno.EACCES)
MOST = 600
"""Calls of a command; more would be a loop."""
PAUSES = whole_files.PAUSES


class Faults:
    """Counts what is done to files in a folder, and lets the call number `at` fail."""

    def __init__(self, folder, monkeypatch, reads=False):
        self.folder, self.at, self.code = str(folder), None, errno.EIO
        self.reads = reads
        self.calls, self.kinds = 0, Counter()
        for module, name, writes in (
            (os, "fsync", None),
            (os, "replace", None),
            (os, "rename", None),
            (os, "mkdir", None),
            (os, "chmod", None),
            (os, "open", "flags"),
            (io, "open", "mode"),
            (builtins, "open", "mode"),
            (tempfile, "mkstemp", None),
            (tempfile, "TemporaryFile", None),
            (shutil, "copyfile", None),
            (whole_files, "_exchange", None),
            *(((os, "utime", None), (os, "listdir", None), (os, "scandir", None)) if reads else ()),
        ):
            monkeypatch.setattr(module, name, self.watch(name, getattr(module, name), writes))

    def watch(self, name, original, writes):
        def call(*arguments, **options):
            if self.counts(name, writes, arguments, options):
                self.calls += 1
                self.kinds[name] += 1
                if self.calls == self.at:
                    raise OSError(self.code, os.strerror(self.code), str(arguments[:1]))
            made = original(*arguments, **options)
            return Full(made, self) if self.is_written(name, writes, arguments, options) else made

        return call

    def counts(self, name, writes, arguments, options):
        if name in ("mkstemp", "TemporaryFile"):
            return self.ours(options.get("dir"))
        if name == "fsync":
            return self.ours(str(Path(f"/proc/self/fd/{arguments[0]}").readlink()))
        if writes == "flags":
            written = bool(arguments[1] & (os.O_WRONLY | os.O_RDWR))
            return self.ours(arguments[0]) and (written or self.reads)
        if writes == "mode":
            mode = arguments[1] if len(arguments) > 1 else options.get("mode", "r")
            return self.ours(arguments[0]) and bool(set(mode) & set("wax+"))
        return any(map(self.ours, arguments))

    def is_written(self, name, writes, arguments, options):
        return writes == "mode" and self.counts(name, writes, arguments, options)

    def ours(self, place):
        return isinstance(place, str | os.PathLike) and os.fspath(place).startswith(self.folder)


class Full:
    """A file opened for writing, whose writes count too."""

    def __init__(self, file, faults):
        self._file, self._faults, self._writes = file, faults, 0

    def write(self, data):
        faults = self._faults
        self._writes += 1
        if self._writes > 3:  # a row after another is the same
            return self._file.write(data)
        faults.calls += 1
        faults.kinds["write"] += 1
        if faults.calls == faults.at:
            raise OSError(faults.code, os.strerror(faults.code))
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *reason):
        return self._file.__exit__(*reason)

    def __iter__(self):
        return iter(self._file)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def without_date(name, content):
    """MATLAB's files say in their first 116 bytes when they were written."""
    return content[116:] if content and name.endswith(".mat") else content


def added(name):
    """What makes a file another one, and not a damaged one."""
    return b" " if name.endswith(".json") else b"previous"


def every_fault(
    folder, act, capsys, prepare, codes=CODES, after=lambda status, before: None, reads=False
):
    """Do something until no call is left to fail; the number of calls, and the last ones by kind.

    Parameters
    ----------
    folder : Path
        The calls that concern files in it fail.
    act : arguments of the command line, or a function that returns its exit status
    prepare : function
        Called before each; what it returns is given to `after`.
    codes : sequence of int, or of sequences of int
        The error of each round; of several, each call meets the next.
    after : function of exit status and what `prepare` has returned
    reads : bool
        Listing folders, opening files to read and setting times fails too; then it is `after` that
        says what may be left.
    """
    total = 0
    for code in codes:
        for at in range(1, MOST):
            before = prepare()
            with pytest.MonkeyPatch.context() as patch:
                faults = Faults(folder, patch, reads)
                faults.at, faults.code = at, np.ravel(code)[at % np.size(code)].item()
                status = act() if callable(act) else main([str(part) for part in act])
            said = capsys.readouterr().err
            left = [path.name for path in Path(folder).rglob(".partial-*")]
            assert reads or not left, (at, faults.kinds)
            if faults.calls < at:
                assert status == 0, said
                break
            total += 1
            if status:  # else what failed was dispensable
                assert status == 2
                assert said.count("\n") == 1, said
                assert "fault of the program" not in said, said
            after(status, before)
        else:
            raise AssertionError("it never ends")
    return total, faults.kinds


def tried(folder, act, capsys, codes=CODES, least=4, states=2, begun=None):
    """`every_fault`, over files that are there, then over none: a file is whole or as it was.

    Doing it twice makes the same files, so a previous file is recognised by something added to it.
    What `begun` gives by its name may also be in its file as long as not all is done.
    """
    assert (act() if callable(act) else main([str(part) for part in act])) == 0
    whole = contents(folder)
    previous = {
        name: content if ".zarr/" in name else content + added(name)
        for name, content in whole.items()
    }
    for there in (previous, {})[:states]:

        def prepare(there=there):
            shutil.rmtree(folder)
            for name, content in there.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            folder.mkdir(exist_ok=True)
            return there

        def after(status, there):
            now = contents(folder)
            if status:
                assert set(there) <= set(now)
            for name, content in now.items():
                other = [each[name] for each in (there, begun or {}) if name in each]
                allowed = [whole[name], *(other if status else [])]
                same = [without_date(name, each) for each in allowed]
                assert without_date(name, content) in same, f"{name} is neither old nor whole"

        total, kinds = every_fault(folder, act, capsys, prepare, codes, after)
        assert total >= least * len(codes), kinds


@pytest.fixture
def folder(tmp_path, monkeypatch):
    # No library's thread is waited for before a temporary is removed, but Zarr's.
    monkeypatch.setattr(whole_files, "PAUSES", (0.01, 0.01, 0.01))
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def once(monkeypatch, name):
    """Let a function compute what it is first asked for, and give it ever after."""
    module, _, function = name.rpartition(".")
    module = __import__(f"spikefinder_keras.{module}", fromlist=[function])
    original, found = getattr(module, function), []

    def remembered(*arguments, **options):
        if not found:
            result = original(*arguments, **options)
            found.append(list(result) if isinstance(result, Iterator) else result)
        return found[0]

    monkeypatch.setattr(module, function, remembered)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "name",
    [
        "quick",
        *(pytest.param(f"r.{each}", marks=SLOW) for each in ("csv", "npy", "npz", "mat", "zarr")),
        pytest.param("report", marks=SLOW),
    ],
)
def test_predict(tmp_path, folder, capsys, monkeypatch, name):
    source = tmp_path / "a.npy"
    np.save(source, np.random.default_rng(0).normal(1, 0.1, (2, 300)).astype("f4"))
    once(monkeypatch, "recordings.pipeline.predict")
    options = ["--frame-rate", "30", "--quiet", "--overwrite"]
    if name == "report":
        # Bokeh's names of its parts are others each time.
        once(monkeypatch, "view.page.page")
        options, name = [*options, "--report", folder / "r.html", "--spikes"], "r.csv"
    if name == "r.zarr":
        monkeypatch.setattr(whole_files, "PAUSES", PAUSES)
    many = {"codes": CODES[:1], "states": 1} if name in ("quick", "r.zarr") else {}
    name = "r.csv" if name == "quick" else name
    tried(folder, ["predict", source, *options, "--out", folder / name], capsys, **many)


@SLOW
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EACCES, errno.ESTALE])
def test_claims_and_what_others_have_left(tmp_path, folder, capsys, monkeypatch, code):
    """Nothing that fails makes a store with a hole, nor bars the place to the next run."""
    source, out = tmp_path / "a.npy", folder / "r.zarr"
    np.save(source, np.random.default_rng(0).normal(1, 0.1, (2, 300)).astype("f4"))
    for name in ("choose_predictor", "predict_chunk"):
        once(monkeypatch, f"recordings.pipeline.{name}")
    monkeypatch.setattr(claims, "SIGN", 0.01)
    act = ["predict", source, "--frame-rate", "30", "--quiet", "--out", out]
    act = [str(part) for part in act]
    assert main(act) == 0
    whole = contents(folder)

    def prepare():
        """Two runs of another computer, one silent for long; and a store that is another's."""
        for thread in threading.enumerate():
            # One that is about to end may give a last sign, to a claim of the same number.
            if "_renew" in thread.name:
                thread.join(30)
                assert not thread.is_alive()
        shutil.rmtree(folder)
        left = folder / ".partial-r.zarr"
        for name in ("claim-1", "claim-2", "0123456789abcdef/store", "fedcba9876543210/done"):
            (left / name).mkdir(parents=True)
        for number in (1, 2):
            (left / f"claim-{number}" / "owner").write_text("0123456789abcdef ffffffff-1")
        (left / "0123456789abcdef/run.json").write_text("{}")
        for path in left.rglob("*"):
            os.utime(path, (0, 0))

    def after(status, _):
        if status == 0 or out.exists():
            found = contents(folder)
            assert {name: found[name] for name in whole} == whole
        assert main(act) == 0, capsys.readouterr().err
        capsys.readouterr()
        assert not (folder / ".partial-r.zarr").exists()
        assert contents(out) == {name.removeprefix("r.zarr/"): each for name, each in whole.items()}

    total, kinds = every_fault(folder, act, capsys, prepare, [code], after, reads=True)
    assert total > 60, kinds
    assert {"listdir", "open", "rename", "mkdir"} <= set(kinds)


@pytest.mark.parametrize("suffix", [".npy", ".zarr"])
def test_each_thread_that_does_not_start(tmp_path, folder, capsys, monkeypatch, suffix):
    """As under a limit on processes, which counts threads."""
    source, start, begun = tmp_path / "a.npy", threading.Thread.start, []
    np.save(source, np.random.default_rng(0).normal(1, 0.1, (2, 300)).astype("f4"))
    act = ["predict", source, "--frame-rate", "30", "--quiet", "--out", folder / f"r{suffix}"]
    act = [str(part) for part in act]
    assert main(act) == 0
    shutil.rmtree(folder)

    def start_unless(self):
        if self.name != "zarr_io":  # of its own, which it would miss ever after
            begun.append(self.name)
            if len(begun) == at:
                raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", start_unless)
    for at in range(1, MOST):
        begun.clear()
        status, said = main(act), capsys.readouterr().err
        assert not list(folder.glob(".partial-*")), begun
        if len(begun) < at:
            break
        assert status == 2, begun
        assert said.count("\n") == 1, said
        assert "the system allows no more threads" in said
        assert not (folder / f"r{suffix}").exists()
    assert status == 0
    assert at > 3


def claimed_by(folder, mark, age):
    """A claim of the process with a mark, whose last sign is so many s old."""
    owner = folder / "claim-1" / "owner"
    owner.parent.mkdir(parents=True)
    owner.write_text(f"token {mark}")
    when = owner.stat().st_mtime - age
    for path in (owner, owner.parent):
        os.utime(path, (when, when))
    return owner


@pytest.mark.parametrize(("age", "alive"), [(-9, True), (9, True), (-9e6, False), (9e6, False)])
def test_signs_of_life_that_are_to_come(age, alive, tmp_path):
    """Of a clock that was wrong, a year ahead, and was set right while another computer wrote."""
    folder = tmp_path / ".partial-r.zarr"
    claimed_by(folder, "ffffffff-1", age)
    if alive:
        with pytest.raises(OutputError, match="another computer is writing"):
            claims.claim(folder, tmp_path / "r.zarr")
    else:
        claims.claim(folder, tmp_path / "r.zarr").end()
        assert not folder.exists()


def test_a_run_whose_clock_was_set_back_is_alive(tmp_path):
    """What it has written before is of a time to come, its signs are not."""
    folder = tmp_path / ".partial-r.zarr"
    claimed_by(folder, "ffffffff-1", 20)
    chunk = folder / "token" / "store" / "0.0"
    chunk.parent.mkdir(parents=True)
    chunk.write_text("")
    for path in (chunk, chunk.parent, chunk.parent.parent):
        os.utime(path, (4e9, 4e9))
    with pytest.raises(OutputError, match="another computer is writing"):
        claims.claim(folder, tmp_path / "r.zarr")


def test_an_owner_that_cannot_be_read_may_be_alive(tmp_path, monkeypatch):
    folder, read = tmp_path / ".partial-r.zarr", claims.read_small
    claimed_by(folder, f"{whole_files.process_mark().partition('-')[0]}-{os.getppid()}", 0)

    def fail(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(claims, "read_small", fail)
    with pytest.raises(OutputError, match="Input/output error"):
        claims.claim(folder, tmp_path / "r.zarr")
    assert [path.name for path in folder.iterdir()] == ["claim-1"]
    monkeypatch.setattr(claims, "read_small", read)
    with pytest.raises(OutputError, match=f"process {os.getppid()} is writing"):
        claims.claim(folder, tmp_path / "r.zarr")


@SLOW
@pytest.mark.parametrize("command", ["submission", "simulate", "score", "export", "figure"])
def test_what_else_writes(tmp_path, folder, capsys, monkeypatch, command):
    rng = np.random.default_rng(0)
    spikes = rng.poisson(0.05, (300, 2)).astype(float)
    for kind in ("calcium", "spikes"):
        write_csv(tmp_path / f"4.train.{kind}.csv", spikes)
    begun = None
    if command == "submission":
        record = {"program": f"spikefinder-keras {__version__}", "files": ["4.train.spikes.csv"]}
        begun = {"run.json": (json.dumps(record, indent=1) + "\n").encode()}
        once(monkeypatch, "competition.submission.predict_sets")
        once(monkeypatch, "competition.submission.as_engine")
        act = ["submission", "--data", tmp_path, "--quiet", "--out", folder]
    elif command == "simulate":
        monkeypatch.setattr(simulation, "DATASETS", simulation.DATASETS[:1])
        monkeypatch.setattr(simulation, "TEST_DATASETS", 0)
        once(monkeypatch, "competition.simulated_data.simulate_set")
        act = ["simulate", "--quiet", "--out", folder]
    elif command == "score":
        table = tmp_path / "4.train.spikes.csv"
        act = ["score", table, table, "--csv", folder / "scores.csv"]
    elif command == "export":
        once(monkeypatch, "network.engine.load_engine")
        act = ["export", folder / "a.onnx"]
    else:
        ax = learning_curves([1, 2], [0.5, 0.4], [0.1, 0.2], "a run")

        def act():
            try:
                save(ax, folder / "a.png")
            except SpikefinderError as error:
                print(error, file=sys.stderr)
                return 2
            return 0

    tried(folder, act, capsys, begun=begun)


def small_network(*_arguments, **_options):
    """Of three weights, with all that a large one has to store of its optimiser."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.compile(keras.optimizers.AdamW(1e-2, use_ema=True), "mse", run_eagerly=True)
    network.optimizer.build(network.trainable_variables)
    return network


def steps_of(seed):
    """Inputs and truth of a step for `small_network`."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(4, 2)), rng.normal(size=(4, 1))


def weights_in(run):
    """All that a finished run is compared by: weights, state of the optimiser, calibration."""
    found = {}
    for path in run.rglob("*.h5"):
        with h5py.File(path) as file:
            file.visititems(lambda name, item, path=path: found.update(
                {(path.name, name): item[()].tobytes()} if hasattr(item, "shape") else {}
            ))  # fmt: skip
    with np.load(run / "checkpoint.npz") as file:
        found |= {key: file[key].tobytes() for key in file if key.startswith("variable")}
    return found | {path.name: path.read_bytes() for path in run.rglob("*.calibration.json")}


def trained_on(folder, capsys, start, carry_on):
    """`every_fault` of a training; carried on, it ends with the weights of one without a fault."""
    run, expected = folder / "run", {}

    def prepare():
        shutil.rmtree(folder)
        folder.mkdir()

    def after(status, _):
        if status:
            command = carry_on if (run / "config.json").exists() else start
            again = main([str(part) for part in command])
            assert again == 0, capsys.readouterr().err
            capsys.readouterr()
        assert weights_in(run) == expected

    assert main([str(part) for part in start]) == 0
    expected |= weights_in(run)
    return every_fault(folder, start, capsys, prepare, [CODES], after)


@SLOW
def test_train(tmp_path, folder, capsys, monkeypatch):
    """A run that met a fault is resumed to the weights of one that met none."""

    def epoch_of(run, epoch, shown):
        return float(run.network.train_on_batch(*steps_of(epoch)))

    monkeypatch.setattr(training, "build_network", small_network)
    monkeypatch.setattr(training, "compile_network", lambda network, settings: None)
    monkeypatch.setattr(training, "_train_epoch", epoch_of)
    monkeypatch.setattr(training, "_validate", lambda run: float(len(run.history)))
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: path.write_bytes(b"picture"))
    spikes = np.random.default_rng(0).poisson(0.05, (300, 4)).astype(float)
    (tmp_path / "data").mkdir()
    for kind in ("calcium", "spikes"):
        write_csv(tmp_path / f"data/1.train.{kind}.csv", spikes)
    options = ["--data", tmp_path / "data", "--epochs", "2", "--quiet", "--out", folder / "run"]
    resume = ["train", "--resume", folder / "run", "--quiet"]
    total, kinds = trained_on(folder, capsys, ["train", *options], resume)
    assert total >= 50, kinds


@SLOW
def test_train_universal(tmp_path, folder, capsys, monkeypatch):
    """Its checkpoints, its weights, its delays and the calibration measured with them."""
    shipped = calibration.load_calibration(calibration.calibration_path(find_weights("universal")))
    neurons = [SimpleNamespace(group="a", traces=[np.ones(9)], spikes=[np.ones(9)])]
    for module, name, stand_in in (
        (ground_truth, "find_ground_truth", lambda folder: []),
        (ground_truth, "ground_truth_neurons", lambda folder: neurons),
        (universal, "_new_network", small_network),
        (universal, "simulated_windows", lambda *_: ()),
        (universal, "_batch", lambda run, rng: steps_of(rng.integers(99))),
        (universal, "align", lambda *_: {"a": 0.0}),
        (calibrate, "fit_calibration", lambda *_: shipped),
    ):
        monkeypatch.setattr(module, name, stand_in)
    monkeypatch.setattr(universal, "CHECKPOINT_EVERY", 1)
    command = ["train-universal", "--ground-truth", tmp_path, "--steps", "2", "--quiet"]
    command += ["--out", folder / "run"]
    total, kinds = trained_on(folder, capsys, command, command)
    assert total >= 30, kinds


@pytest.mark.parametrize("what", ["data", pytest.param("weights", marks=SLOW)])
def test_download(tmp_path, folder, capsys, monkeypatch, what):
    name, weights = "1.train.spikes.csv", "model_convnet_6"
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / name).write_bytes(b"0\n1\n")
    (mirror / weights).write_bytes(b"0\n1\n")
    files = {
        name: downloads.PublishedFile(mirror / name, "git blob id", "", 0).identity(mirror / name)
    }
    known = {"published": (weights, hashlib.sha256(b"0\n1\n").hexdigest(), "")}
    monkeypatch.setattr(downloads, "COMPETITION_FILES", files)
    monkeypatch.setattr(downloads, "WEIGHTS", known)
    monkeypatch.setenv("SPIKEFINDER_CACHE", str(folder))
    command = ["download", what, "--mirror", mirror, "--quiet"]
    if what == "data":
        command += ["--out", folder, "--datasets", "1"]
    tried(folder, command, capsys, least=3)
