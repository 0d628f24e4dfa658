"""The process in which files of unknown origin are parsed: it may fail in any way, we may not."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from spikefinder_keras.errors import DataError, UsageError
from spikefinder_keras.formats.child import parse, require

JOBS = """
import ctypes, os, time
import numpy as np
from spikefinder_keras.errors import UsageError
from spikefinder_keras.hdf5_arrays import Unreadable

def good(path, number):
    yield "number", number + 1
    yield "text", "ä"
    yield "array", np.arange(6).reshape(2, 3)
    yield "empty", np.empty((0, 3))
    yield "one", np.array(3.5)

def hang(path):
    time.sleep(60)
    yield

def crash(path):
    ctypes.string_at(0)
    yield

def leave(path):
    os._exit(0)
    yield

def memory(path):
    yield "array", np.ones(1 << 28)

def raising(path, kind):
    errors = {"usage": UsageError(path + " is misused"), "unreadable": Unreadable("it is odd")}
    raise errors.get(kind) or ValueError("two\\nlines " + "x" * 999)
    yield

def chatter(path):
    print("noise")
    os.write(2, b"noise" * 100_000)
    yield "quiet", True
"""


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "hostile_jobs.py").write_text(JOBS)
    monkeypatch.syspath_prepend(tmp_path / "jobs")
    import hostile_jobs

    yield hostile_jobs
    del sys.modules["hostile_jobs"]


def test_values_come_back(jobs, tmp_path):
    values = parse(jobs.good, tmp_path, 3)
    assert values["number"] == 4
    assert values["text"] == "ä"
    np.testing.assert_array_equal(values["array"], [[0, 1, 2], [3, 4, 5]])
    assert isinstance(values["array"], np.memmap)
    assert values["empty"].shape == (0, 3)
    assert values["one"] == 3.5


@pytest.mark.parametrize(
    ("name", "arguments", "options", "message"),
    [
        ("hang", (), {"time_limit": 0.5}, r"reading it took longer than 0\.5 s"),
        ("crash", (), {}, "its parser failed, so it is damaged"),
        ("leave", (), {}, "its parser failed, so it is damaged"),
        ("memory", (), {"memory": 1 << 30}, "needs too much memory; split it"),
        ("raising", ("unreadable",), {}, "cannot be read: it is odd"),
        ("raising", ("other",), {}, r"kind not known here \(ValueError: two lines x+\)"),
    ],
)
def test_children_that_fail(jobs, name, arguments, options, message):
    start = time.monotonic()
    with pytest.raises(DataError, match=message) as error:
        parse(getattr(jobs, name), "some/file.h5", *arguments, **options)
    assert str(error.value).startswith("some/file.h5")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300
    assert time.monotonic() - start < 20


def test_errors_of_ours_pass(jobs):
    with pytest.raises(UsageError, match=r"^some/file\.h5 is misused$"):
        parse(jobs.raising, Path("some/file.h5"), "usage")


def test_chatter_is_dropped(jobs, capfd):
    assert parse(jobs.chatter, "file") == {"quiet": True}
    assert capfd.readouterr() == ("", "")


def test_no_file_is_left(jobs, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    array = parse(jobs.good, "file", 1)["array"]
    assert list(temporary.iterdir()) == []
    assert array.sum() == 15


def test_require():
    require("numpy", "adding", "maths")
    with pytest.raises(UsageError, match='needs no_such; install it with: pip install "spike'):
        require("no_such", "dreaming", "dream")
