"""Arrays in `.npy` files, by ordinary calls: rows, layouts, and files that change meanwhile."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikefinder_keras.errors import DataError
from spikefinder_keras.files import npy as npy_arrays
from spikefinder_keras.files.npy import NpyFile


@given(
    st.integers(1, 7),
    st.integers(1, 9),
    st.sampled_from(["<f4", ">f8", "<f2", "|u1", "<i8", "|b1"]),
    st.booleans(),
    st.data(),
)
def test_rows_are_those_of_numpy(tmp_path_factory, count, length, dtype, fortran, data):
    table = np.random.default_rng(0).normal(size=(count, length)) * 9
    table = np.array(table.astype(dtype), order="F" if fortran else "C")
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, table)
    file = NpyFile(path)
    assert (file.shape, file.dtype, file.nbytes) == (table.shape, table.dtype, table.nbytes)
    np.testing.assert_array_equal(file.read(), table)
    for axis in (0, 1):
        numbers = data.draw(st.sets(st.integers(0, table.shape[axis] - 1)))
        numbers = np.array(sorted(numbers), np.int64)
        rows = file.rows(axis, numbers)
        assert rows.dtype == table.dtype
        np.testing.assert_array_equal(rows, table[numbers] if axis == 0 else table[:, numbers].T)


def test_rows_across_the_file_are_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(npy_arrays, "_BLOCK", 100)
    table = np.random.default_rng(0).normal(size=(50, 4))
    np.save(tmp_path / "a.npy", table)
    rows = NpyFile(tmp_path / "a.npy").rows(1, np.array([1, 3]))
    np.testing.assert_array_equal(rows, table[:, [1, 3]].T)


@pytest.mark.parametrize("array", [np.float32(3), np.zeros((0, 4)), np.zeros(5, ">i2")])
def test_what_is_no_table(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    found = NpyFile(tmp_path / "a.npy").read()
    assert found.shape == np.shape(array)
    np.testing.assert_array_equal(found, array)


def test_rows_are_written(tmp_path):
    file = NpyFile.make(tmp_path / "a.npy", (5, 3))
    file.write(3, np.ones((2, 3)))
    file.write(0, np.full((1, 3), 2.0))
    expected = [[2, 2, 2], [0, 0, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1]]
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.float32(expected))
    os.utime(tmp_path / "a.npy", (0, 0))
    np.testing.assert_array_equal(file.read(), expected)


@pytest.mark.parametrize("shape", [(-1, 4), (True, 4), (3, 10**12)])
def test_shapes_that_cannot_be(tmp_path, shape):
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(64))
    with pytest.raises(ValueError, match=r"shape|bytes"):
        NpyFile(tmp_path / "a.npy")


@pytest.mark.parametrize("how", ["shorter", "other", "gone", "no array"])
def test_a_file_that_changes_while_it_is_read(tmp_path, how):
    """Had it been mapped, the system would end the program where it has become shorter."""
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((100, 4_000)))
    file = NpyFile(path)
    if how == "shorter":
        with path.open("r+b") as opened:
            opened.truncate(10_000)
    elif how == "other":
        np.save(path, np.zeros((4_000, 100)))
    elif how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"something else")
    said = "cannot be read" if how == "gone" else "has changed while it was read"
    for read in (file.read, lambda: file.rows(0, np.array([50])), lambda: file.rows(1, np.r_[1])):
        with pytest.raises(DataError, match=said):
            read()


def test_a_full_disk(tmp_path):
    """As above: written through a map, the file would have ended the program."""
    if not shutil.which("unshare"):
        pytest.skip("needs unshare")
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(1, 0.1, (40, 20_000)))
    (tmp_path / "disk").mkdir()
    program = f"{sys.executable} -m spikefinder_keras"
    predict = f"{program} predict a.npy --frame-rate 30 --quiet --out disk/rates.npy"
    command = (
        f"mount -t tmpfs -o size=1m none disk || exit 77; {predict}; s=$?; ls -A disk; exit $s"
    )
    run = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode in (1, 77) and "Traceback" not in run.stderr:
        pytest.skip("this system lets nobody mount a small disk")
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1
    assert "cannot write disk/rates.npy (No space left on device)" in run.stderr


def test_half_of_an_own_file_is_not_read(tmp_path):
    """Its times may change, as it grows; that it has become shorter is a fault all the same."""
    file = NpyFile.make(tmp_path / "a.npy", (4, 3))
    with file.path.open("r+b") as opened:
        opened.truncate(file.path.stat().st_size - 4)
    with pytest.raises(DataError, match="has changed while it was read"):
        file.read()
