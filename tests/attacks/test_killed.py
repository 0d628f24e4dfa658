"""kill -9 at any moment: what stood there stays, and what was left goes at the next start."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from spikefinder_keras.errors import OutputError
from spikefinder_keras.files import atomic as whole_files
from spikefinder_keras.files import claims
from spikefinder_keras.files.atomic import partial_folder, whole_file
from spikefinder_keras.recordings import sinks
from spikefinder_keras.recordings.options import PredictOptions, ReadOptions
from spikefinder_keras.recordings.pipeline import Task, predict_file

SLOW = ("training", "prediction", "claims")
KILL = """
import os, signal, sys
from spikefinder_keras.files.atomic import partial_folder, whole_file
with {what}(sys.argv[1]) as made:
    print(made, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(what, path):
    code = KILL.format(what=what)
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert run.returncode == -signal.SIGKILL
    return run.stdout.strip()


@pytest.fixture(autouse=True)
def afresh(monkeypatch):
    """As in a new process."""
    monkeypatch.setattr(whole_files, "_CLEARED", set())


@pytest.mark.parametrize("what", ["whole_file", "partial_folder"])
def test_stale_temporaries_of_a_killed_process_goes_at_the_next_writing(tmp_path, what):
    path = tmp_path / "rates.csv"
    path.write_text("old")
    left = killed(what, path)
    assert Path(left).exists()
    assert path.read_text() == "old"
    with whole_file(tmp_path / "other.csv") as temporary:
        temporary.write_text("new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.csv", "rates.csv"]


def test_what_lives_or_is_not_ours_stays(tmp_path, monkeypatch):
    mine = [tmp_path / ".partial-notes.txt", tmp_path / ".partial-abcdefgh.csv"]
    other = tmp_path / f".partial-00000000-{2**22 + 1}-abcdefgh.csv"  # another computer's
    for path in (*mine, other):
        path.write_text("")
    with whole_file(tmp_path / "a.csv"), partial_folder(tmp_path / "b.csv"):
        monkeypatch.setattr(whole_files, "_CLEARED", set())
        whole_files.clear_stale(tmp_path)
        assert len(list(tmp_path.iterdir())) == 5
    assert other.exists()
    monkeypatch.setattr(whole_files, "_CLEARED", set())
    os.utime(other, (0, time.time() - 80_000))  # less than a day
    whole_files.clear_stale(tmp_path)
    assert other.exists()
    monkeypatch.setattr(whole_files, "_CLEARED", set())
    os.utime(other, (0, time.time() - 90_000))
    whole_files.clear_stale(tmp_path)
    assert not other.exists()
    assert all(path.exists() for path in mine)


@pytest.mark.parametrize("grows", ["rates.npy", "store/0.0"])
def test_what_another_computer_still_writes_stays(grows, tmp_path, monkeypatch):
    """Its folder is older than a day, and what grows in it is of this minute."""
    folder = tmp_path / f".partial-00000000-{2**22 + 1}-abcdefgh"
    file = folder / grows
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    old = time.time() - 90_000
    for path in {file.parent, folder}:
        os.utime(path, (old, old))
    whole_files.clear_stale(tmp_path)
    assert file.exists()
    os.utime(file, (old, old))
    monkeypatch.setattr(whole_files, "_CLEARED", set())
    whole_files.clear_stale(tmp_path)
    assert not folder.exists()


def test_a_link_among_stale_temporaries_is_removed_and_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "kept").write_text("")
    folder = tmp_path / "folder"
    folder.mkdir()
    name = f".partial-{whole_files._system()}-{2**22 + 1}-abcdefgh"
    (folder / name).symlink_to(secret, target_is_directory=True)
    whole_files.clear_stale(folder)
    assert list(folder.iterdir()) == []
    assert (secret / "kept").exists()


def test_a_run_that_wakes_up_never_finishes_what_another_has_half_removed(tmp_path, monkeypatch):
    """It slept while its files reached the disk; the other one was killed while it removed them."""
    out, tables = tmp_path / "rates.zarr", []
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(0).normal(1, 0.1, (3, 300)))
        tables.append(
            Task(tmp_path / f"{name}.npy", ReadOptions(frame_rate=30.0), PredictOptions())
        )
    flush, removed = sinks.flush_folder, []

    def half_removed(folder, **_):
        (chunk,) = Path(folder).glob("store/spike_rates/0.0")
        chunk.unlink()
        removed.append(folder)
        raise KeyboardInterrupt

    def sleep(folder):
        flush(folder)
        for owner in tmp_path.glob(".partial-rates.zarr/claim-*/owner"):
            owner.write_text("")
        with monkeypatch.context() as other, pytest.raises(KeyboardInterrupt):
            other.setattr(claims, "remove_folder", half_removed)
            other.setattr(claims.Claim, "end", lambda self, **_: self._stop())
            other.setattr(sinks, "flush_folder", flush)
            predict_file(tables[1], out)

    monkeypatch.setattr(sinks, "flush_folder", sleep)
    with pytest.raises(OutputError):
        predict_file(tables[0], out)
    assert removed
    assert not out.exists()
    monkeypatch.undo()
    predict_file(tables[1], out)
    assert not list(tmp_path.glob(".partial-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="nothing forks there")
@pytest.mark.parametrize(
    "what", ["download", *(pytest.param(w, marks=pytest.mark.slow) for w in SLOW)]
)
def test_killed_at_any_moment(what):
    """See `kills.py`, which does it any number of times."""
    count = {"download": 8, "claims": 12}.get(what, 20)
    command = [sys.executable, Path(__file__).with_name("kills.py"), what, str(count)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert f"{count} kills" in run.stdout
