"""kill -9 at any moment: what stood there stays, and what was left goes at the next start."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from spikefinder_keras.files import whole_files
from spikefinder_keras.files.whole_files import partial_folder, whole_file

PROGRAM = (sys.executable, "-m", "spikefinder_keras")
KILL = """
import os, signal, sys
from spikefinder_keras.files.whole_files import partial_folder, whole_file
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
def test_litter_of_a_killed_process_goes_at_the_next_writing(tmp_path, what):
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
        whole_files.clear_litter(tmp_path)
        assert len(list(tmp_path.iterdir())) == 5
    assert other.exists()
    monkeypatch.setattr(whole_files, "_CLEARED", set())
    os.utime(other, (0, time.time() - 90_000))
    whole_files.clear_litter(tmp_path)
    assert not other.exists()
    assert all(path.exists() for path in mine)


def test_a_link_among_the_litter_is_removed_and_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "kept").write_text("")
    folder = tmp_path / "folder"
    folder.mkdir()
    name = f".partial-{whole_files._system()}-{2**22 + 1}-abcdefgh"
    (folder / name).symlink_to(secret, target_is_directory=True)
    whole_files.clear_litter(folder)
    assert list(folder.iterdir()) == []
    assert (secret / "kept").exists()


def kills_in_prediction(folder, count, suffixes=(".csv", ".npy", ".npz", ".mat", ".zarr")):
    """Kill predictions at random moments; the previous file stays or the new one is whole."""
    draw = random.Random(0)
    path = folder / "a.npy"
    np.save(path, np.random.default_rng(0).normal(1, 0.1, (2, 300)).astype("f4"))
    temporary = folder / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary)}
    killed = 0
    out = folder / "out"
    out.mkdir()
    command = [*PROGRAM, "predict", path, "--frame-rate", "30", "--quiet", "--overwrite", "--out"]
    seconds = []
    for suffix in suffixes:
        started = time.monotonic()
        subprocess.run([*command, out / f"r{suffix}"], check=True, env=environment)
        seconds.append(time.monotonic() - started)
    whole = snapshot(out)
    while killed < count:
        target = out / f"r{suffixes[killed % len(suffixes)]}"
        child = subprocess.Popen([*command, target], env=environment, stdout=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.2, 1.1) * min(seconds))
        child.kill()
        killed += child.wait() == -signal.SIGKILL
        now = {name: size for name, size in snapshot(out).items() if ".partial-" not in name}
        assert now == whole
    for suffix in suffixes:
        subprocess.run([*command, out / f"r{suffix}"], check=True, env=environment)
    assert snapshot(out) == whole
    assert list(temporary.iterdir()) == []
    return killed


def snapshot(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.stat().st_size
    return found


def test_killed_in_prediction(tmp_path):
    assert kills_in_prediction(tmp_path, 5) == 5


@pytest.mark.slow
def test_killed_in_prediction_often(tmp_path):
    assert kills_in_prediction(tmp_path, int(os.environ.get("SPIKEFINDER_KILLS", "30"))) >= 30
