"""Each open, write, flush to the disk and renaming made to fail in turn, until nothing fails."""

import builtins
import errno
import io
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from spikefinder_keras.cli import main
from spikefinder_keras.competition.tables import write_csv
from spikefinder_keras.files import download, sources

CODES = (errno.ENOSPC, errno.EIO, errno.EACCES)
MOST = 400
"""Calls of a command; more would be a loop."""

LONG = pytest.mark.skipif(
    "SPIKEFINDER_FAULTS" not in os.environ, reason="takes many minutes; set SPIKEFINDER_FAULTS=1"
)


class Faults:
    """Counts what is done to files in a folder, and lets the call number `at` fail."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.at, self.code = str(folder), None, errno.EIO
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
            return self.ours(arguments[0]) and bool(arguments[1] & (os.O_WRONLY | os.O_RDWR))
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


def every_fault(folder, command, capsys, prepare, codes=CODES, stable=lambda before, now: None):
    """Run a command until no call is left to fail; the number of calls, by kind."""
    total = 0
    for code in codes:
        for at in range(1, MOST):
            before = prepare()
            with pytest.MonkeyPatch.context() as patch:
                faults = Faults(folder, patch)
                faults.at, faults.code = at, code
                status = main([str(part) for part in command])
            said = capsys.readouterr().err
            if faults.calls < at:
                assert status == 0, said
                break
            total += 1
            now = contents(folder)
            assert not [name for name in now if ".partial-" in name], (at, faults.kinds)
            if status == 0:  # what failed was dispensable
                continue
            assert status == 2
            assert said.count("\n") == 1, said
            assert "fault of the program" not in said, said
            for name, content in before.items():
                stable(name, now.get(name, b"") == content)
        else:
            raise AssertionError("it never ends")
    return total, faults.kinds


def unchanged(name, same):
    assert same, f"{name} was changed"


@pytest.mark.parametrize(
    "suffix",
    [
        "csv",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("npy", "npz", "mat")),
        pytest.param("zarr", marks=[pytest.mark.slow, LONG]),
    ],
)
def test_predict(tmp_path, capsys, suffix):
    source, folder = tmp_path / "a.npy", tmp_path / "out"
    np.save(source, np.random.default_rng(0).normal(1, 0.1, (2, 300)).astype("f4"))
    folder.mkdir()
    out = folder / f"r.{suffix}"
    command = ["predict", source, "--frame-rate", "30", "--quiet", "--overwrite", "--out", out]
    assert main(list(map(str, command))) == 0
    before = contents(folder)
    codes = CODES if suffix == "npz" else CODES[:1]

    def prepare():
        for name, content in before.items():
            (folder / name).write_bytes(content)
        return before

    total, kinds = every_fault(folder, command, capsys, prepare, codes, unchanged)
    assert total >= 4 * len(codes), kinds


@LONG
@pytest.mark.slow
def test_train(tmp_path, capsys):
    """A run that met a fault is resumed to the weights of one that met none."""
    rng = np.random.default_rng(0)
    spikes = rng.poisson(0.05, (300, 4)).astype(float)
    (tmp_path / "data").mkdir()
    write_csv(tmp_path / "data/1.train.spikes.csv", spikes)
    write_csv(tmp_path / "data/1.train.calcium.csv", spikes + rng.normal(size=spikes.shape))
    folder = tmp_path / "runs"
    options = ["--data", tmp_path / "data", "--epochs", "1", "--quiet"]
    total = at = 0
    while True:
        at += 1
        run = folder / str(at)
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(folder, patch)
            faults.at, faults.code = at, CODES[at % 3]
            status = main([str(part) for part in ("train", *options, "--out", run)])
        said = capsys.readouterr().err
        assert not list(folder.rglob(".partial-*")) if folder.exists() else True
        if faults.calls < at:
            assert status == 0
            break
        total += 1
        if status:
            assert status == 2
            assert said.count("\n") == 1, said
            assert "fault of the program" not in said, said
            if (run / "config.json").exists():
                assert main(["train", "--resume", str(run), "--quiet"]) == 0
    assert total >= 15, faults.kinds


def test_download(tmp_path, capsys, monkeypatch):
    name = "1.train.spikes.csv"
    mirror, folder = tmp_path / "mirror", tmp_path / "out"
    mirror.mkdir()
    (mirror / name).write_bytes(b"0\n1\n")
    files = {name: sources.File(mirror / name, "git blob id", "", 0, ()).identity(mirror / name)}
    monkeypatch.setattr(sources, "COMPETITION_FILES", files)
    monkeypatch.setattr(download, "ADVICE", "advice")

    def prepare():
        shutil.rmtree(folder, ignore_errors=True)
        return {}

    command = [
        "download",
        "data",
        "--out",
        folder,
        "--mirror",
        mirror,
        "--quiet",
        "--datasets",
        "1",
    ]
    total, kinds = every_fault(folder, command, capsys, prepare, CODES, unchanged)
    assert total >= 3 * len(CODES), kinds
    assert (folder / "spikefinder.train" / name).read_bytes() == b"0\n1\n"
