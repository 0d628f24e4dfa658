"""A file of marks, and the neurons that are left of a recording by it."""

import numpy as np
import pytest

from spikefinder_keras import predict, read_recording
from spikefinder_keras.cli import main
from spikefinder_keras.errors import DataError
from spikefinder_keras.recordings.marks import Mark, read_marks, write_marks
from spikefinder_keras.recordings.options import PredictOptions, ReadOptions
from spikefinder_keras.recordings.pipeline import Task

MARKS = {
    "0": Mark("good"),
    "=1+1": Mark("bad", "a, b; c"),
    "<script>alert(1)</script>": Mark("good", '"quoted"'),
    "naïve\ttab": Mark("", "+1"),
}


def test_marks_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "marks.csv"
    write_marks(path, MARKS)
    assert path.read_bytes().startswith(b"name,mark,word\n0,good,\n")
    assert read_marks(path) == MARKS


@pytest.mark.parametrize("text", [
    "\ufeffName;Mark;Word;more\r\n0;GOOD;x;1\r\n1;bad;;\r\n", "name\tmark\n0\tgood \n1\tbad\n",
])  # fmt: skip
def test_as_spreadsheets_save_them(tmp_path, text):
    path = tmp_path / "marks.csv"
    path.write_bytes(text.encode())
    assert {name: each.mark for name, each in read_marks(path).items()} == {"0": "good", "1": "bad"}


@pytest.mark.parametrize(("text", "message"), [
    ("", "is no file of marks; its header is name,mark,word"),
    ("a,b\n1,2\n", "is no file of marks"),
    ("name,mark\n0,fine\n", "row 2: a mark is good, bad or nothing, not fine"),
    ("name,mark\n0,bad\n", "marks no neuron good"),
    ("name,mark\n0,good\nx,good\ny,good\n", r"does not have \(x, y\); give the marks of this"),
])  # fmt: skip
def test_what_is_wrong_is_said(tmp_path, text, message):
    path = tmp_path / "marks.csv"
    path.write_text(text)
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(3, 400)))
    with pytest.raises(DataError, match=message):
        read_recording(tmp_path / "a.npy", 30.0, only=str(path))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_files_that_are_no_text(tmp_path, content):
    path = tmp_path / "marks.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read the marks in .*marks\.csv"):
        read_marks(path)


@pytest.mark.parametrize("memory", [None, 1_000])
def test_only_good_neurons_are_predicted(tmp_path, memory):
    """As they are predicted among the others; in memory, and where they stay in the file."""
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(0, 0.1, (5, 900)).astype("f4"))
    write_marks(tmp_path / "m.csv", {"1": Mark("good"), "2": Mark("bad"), "4": Mark("good", "x")})
    stated = {"only": str(tmp_path / "m.csv"), "memory": memory, "delay": 0}
    made = predict(tmp_path / "a.npy", 30.0, **stated)
    assert made.names == ("1", "4")
    assert "2 of 5 neurons: those marked good in m.csv" in made.recording.notes
    every = predict(tmp_path / "a.npy", 30.0, delay=0)
    np.testing.assert_array_equal(np.asarray(made.table), np.asarray(every.table)[:, [1, 4]])


def test_the_command_takes_them_and_writes_nowhere_over_them(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(0, 0.1, (5, 900)).astype("f4"))
    marks = tmp_path / "m.csv"
    write_marks(marks, {"3": Mark("good")})
    command = ["predict", str(tmp_path / "a.npy"), "--frame-rate", "30", "--only", str(marks)]
    assert main([*command, "--out", str(marks), "--overwrite"]) == 2
    assert "the file of --only itself" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "r.csv"), "--quiet"]) == 0
    assert (tmp_path / "r.csv").read_text().startswith("time (s),3\n")


def test_other_marks_in_the_same_file_are_another_run(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(0, 0.1, (5, 900)).astype("f4"))
    marks, found = tmp_path / "m.csv", []
    for name in ("3", "4"):
        write_marks(marks, {name: Mark("good")})
        reading = ReadOptions(frame_rate=30.0, only=str(marks))
        task = Task(tmp_path / "a.npy", reading, PredictOptions())
        assert Task.from_text(task.as_text()).reading == reading
        found.append(task.identity(*task.open()))
    assert found[0] != found[1]
