"""Marks are saved at once, whole, and never lost to another window."""

import subprocess
import sys

import numpy as np
import pytest

from spikefinder_keras.errors import DataError, OutputError
from spikefinder_keras.recordings.marks import Mark, read_marks
from spikefinder_keras.view.marks import Marks

NAMES = ("0", "<script>alert(1)</script>", "2", "3")


def test_a_mark_is_in_the_file_at_once(tmp_path):
    marks = Marks(tmp_path / "m.csv", NAMES)
    assert not marks.path.exists()
    marks.set("2", "good")
    marks.set(NAMES[1], word="neuropil?")
    marks.set("0", "bad", "dark")
    assert list(read_marks(marks.path)) == ["0", NAMES[1], "2"]  # in the recording's order
    assert read_marks(marks.path)[NAMES[1]] == Mark("", "neuropil?")
    assert Marks(marks.path, NAMES)["0"] == Mark("bad", "dark")
    marks.set("0", "", "")
    assert list(read_marks(marks.path)) == [NAMES[1], "2"]


def test_two_windows_lose_no_mark(tmp_path):
    """Of two servers, which know nothing of each other; each sees the other's when it looks."""
    one, other = (Marks(tmp_path / "m.csv", NAMES) for _ in range(2))
    told = []
    other.listeners.append(lambda: told.append(other["0"].mark))
    one.set("0", "good")
    other.set("2", "bad")
    one.set("3", "good")
    assert {k: v.mark for k, v in read_marks(one.path).items()} == {
        "0": "good", "2": "bad", "3": "good"
    }  # fmt: skip
    other.refresh()
    assert (other["0"].mark, other["3"].mark) == ("good", "good")
    assert told
    count = len(told)
    other.refresh()
    assert len(told) == count  # nothing has changed


def test_many_at_once_lose_no_mark(tmp_path):
    code = (
        "import sys; from pathlib import Path; from spikefinder_keras.view.marks import Marks\n"
        "for k in range(20): Marks(Path(sys.argv[1]), ()).set(sys.argv[2] + str(k), 'good')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m.csv")]
    running = [subprocess.Popen([*command, who]) for who in "abc"]
    assert [each.wait() for each in running] == [0, 0, 0]
    assert len(read_marks(tmp_path / "m.csv")) == 60


def test_marks_of_other_neurons_stay(tmp_path):
    Marks(tmp_path / "m.csv", ("x",)).set("x", "good")
    Marks(tmp_path / "m.csv", NAMES).set("0", "bad")
    assert list(read_marks(tmp_path / "m.csv")) == ["0", "x"]


def test_a_mark_that_cannot_be_saved_is_not_made(tmp_path, monkeypatch):
    marks = Marks(tmp_path / "m.csv", NAMES)
    marks.set("0", "good")

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        marks.set("0", "bad")
    assert marks["0"].mark == read_marks(marks.path)["0"].mark == "good"


def test_what_is_no_file_of_marks_is_left_alone(tmp_path):
    (tmp_path / "m.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no file of marks"):
        Marks(tmp_path / "m.csv", NAMES)
    marks = Marks(tmp_path / "n.csv", NAMES)
    (tmp_path / "n.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no file of marks"):
        marks.set("0", "good")
    assert (tmp_path / "n.csv").read_text() == "a,b\n1,2\n"


@pytest.mark.parametrize("planes", [1, 2])
def test_suite2p_reads_them(tmp_path, planes):
    """Beside the marks; suite2p's own file is an input, and stays."""
    cells = np.array([[1, 0.9], [0, 0.2], [1, 0.8]])
    folders = [tmp_path / "suite2p" / f"plane{k}" for k in range(planes)]
    for folder in folders:
        folder.mkdir(parents=True)
        np.save(folder / "F.npy", np.ones((3, 10), np.float32))
        np.save(folder / "iscell.npy", cells)
    prefix = "plane1-" if planes == 2 else ""
    marks = Marks(tmp_path / "m.csv", [f"{prefix}{k}" for k in range(3)], tmp_path / "suite2p")
    marks.set(f"{prefix}0", "bad")
    marks.set(f"{prefix}1", "good")
    name = "m.plane1.iscell.npy" if planes == 2 else "m.iscell.npy"
    np.testing.assert_array_equal(np.load(tmp_path / name), [[0, 0.9], [1, 0.2], [1, 0.8]])
    np.testing.assert_array_equal(np.load(folders[-1] / "iscell.npy"), cells)
