"""Whole files or none: what stands at the path after every way in which writing can fail."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from spikefinder_keras.errors import OutputError
from spikefinder_keras.files import atomic as whole_files
from spikefinder_keras.files.atomic import (
    check_output,
    check_output_folder,
    remove_folder,
    whole_file,
    whole_folder,
)

OLD, NEW = b"the previous file", b"the new file"
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, where no folder is made")


@pytest.fixture
def target(tmp_path):
    """An existing file, alone in its folder."""
    path = tmp_path / "folder" / "rates.csv"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


def alone(path):
    return [found.name for found in path.parent.iterdir()] == [path.name]


# Found out before computing


def test_check_output_makes_the_folder_and_nothing_else(tmp_path):
    path = tmp_path / "a" / "b" / "rates.csv"
    assert check_output(str(path)) == path
    assert list(path.parent.iterdir()) == []


def test_check_output_leaves_a_previous_file(target):
    assert check_output(target) == target
    assert target.read_bytes() == OLD
    assert alone(target)


def test_check_output_folder(tmp_path):
    assert check_output_folder(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert list((tmp_path / "a" / "b").iterdir()) == []
    assert check_output_folder(tmp_path / "a" / "b").is_dir()


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(OutputError, match=r"is a folder; name a file in it, such as .*rates\.csv"):
        check_output(tmp_path)


@pytest.mark.parametrize("below", [".", "deeper"])
def test_a_file_in_place_of_a_folder(target, below):
    with pytest.raises(OutputError, match=r"rates\.csv.*choose another"):
        check_output(target / below / "new.csv")
    with pytest.raises(OutputError, match=r"cannot write to the folder .*choose another one"):
        check_output_folder(target / below)
    assert target.read_bytes() == OLD


@linux
@pytest.mark.parametrize("path", ["/proc/rates.csv", "/proc/no/such/rates.csv"])
def test_a_folder_that_cannot_be_written_to(path):
    # /proc refuses even the administrator, whom permissions do not bind.
    with pytest.raises(OutputError, match=r"cannot write to the folder /proc.*choose another one"):
        check_output(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do all")
def test_a_read_only_folder(target):
    target.parent.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            check_output(target)
    finally:
        target.parent.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_or_device_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        with pytest.raises(OutputError, match="is no ordinary file; choose another place"):
            check_output(path)
        with pytest.raises(OutputError, match="is no ordinary file"), whole_file(path):
            pytest.fail("the body was reached")
    assert pipe.is_fifo()
    assert Path("/dev/null").is_char_device()


def test_a_name_too_long_for_a_file(tmp_path):
    for write in (check_output, lambda path: whole_file(path).__enter__()):
        with pytest.raises(OutputError, match="File name too long"):
            write(tmp_path / ("x" * 300))
    assert list(tmp_path.iterdir()) == []


# Writing


def test_a_new_file(tmp_path):
    path = tmp_path / "rates.csv"
    with whole_file(str(path)) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.read_bytes() == b""
        temporary.write_bytes(NEW)
        assert not path.exists()
    assert path.read_bytes() == NEW
    assert alone(path)


def test_the_previous_file_stays_until_the_end(target):
    with whole_file(target) as temporary:
        temporary.write_bytes(NEW)
        assert target.read_bytes() == OLD
    assert target.read_bytes() == NEW
    assert alone(target)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_an_error_in_the_body_passes_and_leaves_the_previous_file(target, error):
    with pytest.raises(error, match="mine"), whole_file(target) as temporary:
        temporary.write_bytes(NEW)
        raise error("mine")
    assert target.read_bytes() == OLD
    assert alone(target)


def test_an_error_of_the_system_becomes_ours(target):
    with (
        pytest.raises(OutputError, match=r"cannot write .*rates.csv \(No space left.*free space"),
        whole_file(target) as temporary,
    ):
        temporary.write_bytes(NEW)
        raise OSError(28, "No space left on device")
    assert target.read_bytes() == OLD
    assert alone(target)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_error_of_the_last_steps(target, monkeypatch, step):
    def fail(*arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with (
        pytest.raises(OutputError, match="Input/output error"),
        whole_file(target) as temporary,
    ):
        temporary.write_bytes(NEW)
    assert target.read_bytes() == OLD
    assert alone(target)


def test_the_bytes_are_on_the_disk_before_the_name(target, monkeypatch):
    steps = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (steps.append("fsync"), fsync(handle)))
    monkeypatch.setattr(Path, "replace", lambda *a: (steps.append("replace"), replace(*a)))
    with whole_file(target) as temporary:
        temporary.write_bytes(NEW)
    assert steps == ["fsync", "replace"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_the_previous_file(target):
    code = (
        "import resource, signal, sys\n"
        "from spikefinder_keras.competition.tables import write_csv\n"
        "from spikefinder_keras.errors import OutputError\n"
        "import numpy, pandas\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "write_csv(sys.argv[1] + '.small', numpy.ones((100, 2)))\n"
        "try:\n    write_csv(sys.argv[1], numpy.ones((10_000, 2)))\n"
        "except OutputError as error:\n    print(error)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, target], capture_output=True, text=True, check=False
    )
    assert child.stderr == ""
    assert child.stdout == (
        f"cannot write {target} (File too large); free space or choose another place\n"
    )
    assert target.read_bytes() == OLD
    target.with_name("rates.csv.small").unlink()
    assert alone(target)


def test_a_missing_folder(tmp_path):
    with pytest.raises(OutputError, match="No such file"), whole_file(tmp_path / "no" / "x.csv"):
        pytest.fail("the body was reached")


def test_a_folder_of_that_name(tmp_path):
    with pytest.raises(OutputError, match="is a folder"), whole_file(tmp_path):
        pytest.fail("the body was reached")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with whole_file(tmp_path / "rates.csv") as temporary:
            temporary.write_bytes(NEW)
        assert os.umask(umask) == umask  # reading it has not changed it
    finally:
        os.umask(before)
    assert (tmp_path / "rates.csv").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("name", ["x.weights.h5", "rates.csv", "none", "réponse 1.csv"])
def test_suffixes_are_kept(tmp_path, name):
    with whole_file(tmp_path / name) as temporary:
        assert temporary.suffixes == Path(name).suffixes
        assert temporary.name != name
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_long_names_with_an_early_dot(tmp_path):
    name = "1." + "x" * 240 + ".weights.h5"
    with whole_file(tmp_path / name) as temporary:
        assert temporary.name.endswith(".weights.h5")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_reader_never_sees_a_part(target):
    contents = {bytes([letter]) * 200_000 for letter in b"ab"}
    seen, stop = set(), threading.Event()
    target.write_bytes(min(contents))

    def poll():
        while not stop.is_set():
            seen.add(target.read_bytes())

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        for _ in range(100):
            for content in sorted(contents):
                with whole_file(target) as temporary, temporary.open("wb") as file:
                    for start in range(0, len(content), 50_000):
                        file.write(content[start : start + 50_000])
                        file.flush()
    finally:
        stop.set()
        reader.join()
    assert seen == contents


def test_several_writers_of_one_file(target):
    """The last one wins; none fails, and none leaves its temporary file."""
    failures = []
    umask = os.umask(0o022)
    os.umask(umask)

    def write(content):
        try:
            for _ in range(20):
                with whole_file(target) as temporary:
                    temporary.write_bytes(content)
        except Exception as error:
            failures.append(error)

    contents = [bytes([letter]) * 10_000 for letter in b"abcd"]
    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert os.umask(umask) == umask
    assert target.read_bytes() in contents
    assert alone(target)


# Folders


def folder_with(path, text):
    path.mkdir(parents=True)
    (path / "inner").mkdir()
    (path / "inner" / "file").write_text(text)


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_takes_the_place_of_the_previous_one(tmp_path, monkeypatch, exchanges):
    if not exchanges:
        monkeypatch.setattr(whole_files, "_exchange", lambda *_: False)
    path = tmp_path / "r.zarr"
    for text in ("first", "second"):
        with whole_folder(path) as new:
            folder_with(new, text)
        assert (path / "inner" / "file").read_text() == text
        assert alone(path)


@pytest.mark.skipif(sys.platform != "linux", reason="others cannot")
def test_two_folders_change_places_in_one_step(tmp_path):
    for name in ("one", "other"):
        folder_with(tmp_path / name, name)
    assert whole_files._exchange(tmp_path / "one", tmp_path / "other")
    assert (tmp_path / "one" / "inner" / "file").read_text() == "other"
    assert (tmp_path / "other" / "inner" / "file").read_text() == "one"


def test_a_folder_that_cannot_be_put_leaves_the_previous_one(tmp_path, monkeypatch):
    path = tmp_path / "r.zarr"
    folder_with(path, "first")
    monkeypatch.setattr(whole_files, "_exchange", lambda *_: False)
    rename = Path.rename

    def fail(self, target):
        if self.name == "new":
            raise OSError(5, os.strerror(5))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OutputError, match="Input/output error"), whole_folder(path) as new:
        folder_with(new, "second")
    assert (path / "inner" / "file").read_text() == "first"
    assert alone(path)


def test_a_folder_that_others_still_write_into_is_removed(tmp_path):
    """As when one of a library's threads failed: it and its files go on appearing for a moment."""
    folder = tmp_path / "store"
    folder.mkdir()
    begun, end = threading.Event(), time.monotonic() + 0.2

    def write():
        begun.set()
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                folder.mkdir(exist_ok=True)
                (folder / str(time.monotonic_ns())).write_bytes(b"")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    remove_folder(folder, failed=True)
    for thread in threads:
        thread.join()
    assert not folder.exists()
