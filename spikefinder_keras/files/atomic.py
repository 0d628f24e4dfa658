"""Atomic writes: a file is written whole or not at all.

A result is written under a temporary name beside its target, flushed to the disk and then renamed,
so that a crash, a full disk or Ctrl-C leaves either the previous file or the new one, never half of
one. What killed processes have left, stale temporaries, is removed at the next writing.
"""

import ctypes
import errno
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import OutputError

# Opening what may be anything

LARGEST_TEXT = 16 << 20
"""Bytes of a file of settings or notes; JSON takes twenty times as much memory at worst."""


def open_ordinary(path: Path | str) -> BufferedReader:
    """A file opened to read its bytes; `OSError` if it is a folder, a pipe or a device."""
    # Without waiting for whoever is to write into a pipe; text as it is on Windows too.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "no ordinary file", str(path))
    return os.fdopen(handle, "rb")


State: TypeAlias = tuple[int, int, int]  # of a file, see `state_of`


def state_of(stat: os.stat_result) -> State:
    """What differs once a file has been changed: its size, and its times of change and of status,
    as the first can be set (`cp -p`, `rsync -t`), but not the second."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def fingerprint(paths: Iterable[Path], root: Path) -> str:
    """A hash of the names, seen from `root`, and the states of some files."""
    about = sorted((os.path.relpath(path, root), *state_of(path.stat())) for path in paths)
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def hash_of(path: Path | str) -> str:
    """sha256 of a file, of which only its content counts."""
    with open_ordinary(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_small(path: Path | str, limit: int = LARGEST_TEXT) -> str:
    """The text of a file of at most `limit` bytes of UTF-8; `OSError` or `ValueError` of others."""
    with open_ordinary(path) as file:
        content = file.read(limit + 1)  # one more tells that it is larger
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit >> 20} MiB", str(path))
    return content.decode()


def read_json(path: Path | str) -> Any:
    """What a small file of JSON holds; `OSError` or `ValueError` if it is none."""
    try:
        return json.loads(read_small(Path(path)))
    except RecursionError:
        raise ValueError("nested too deep") from None


# Whether a place can be written


def check_output(path: Path | str) -> Path:
    """Find out before a long computation whether `path` can be written, creating its folder.

    Raises
    ------
    OutputError
        If `path` is a folder or a device, or if its folder cannot be made or written to.
    """
    path = Path(path)
    _check_ordinary(path)
    check_output_folder(path.parent)
    return path


def check_output_folder(folder: Path | str) -> Path:
    """Do as `check_output` for a folder that will receive several files."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Permissions alone do not tell: a network drive may refuse all the same.
        with tempfile.TemporaryFile(dir=folder):
            pass
        clear_stale(folder)
    except OSError as error:
        raise OutputError(
            f"cannot write to the folder {folder} ({error.strerror}); choose another one"
        ) from error
    return folder


def _check_ordinary(path: Path) -> None:
    try:
        if path.is_dir():
            raise OutputError(
                f"{path} is a folder; name a file in it, such as {path / 'rates.csv'}"
            )
        special = path.exists() and not path.is_file()
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror}); choose another place"
        ) from error
    if special:  # the administrator could rename a table onto /dev/null
        raise OutputError(f"{path} is no ordinary file; choose another place")


# What may be written over: nothing that is read, nothing twice, and of what stands there already
# only what this program has written

AnyPath: TypeAlias = str | os.PathLike[str]

MARK = "spikefinder-keras"
"""It stands in all that this program writes, or beside it: who wrote a file says so."""
UNMARKED = (".csv", ".npy", ".nwb")
"""In the first two it does not stand: where it does, somebody has written of this program. In the
last it stands beside somebody's recording, and what others have added to it."""
_MARKS = (MARK.encode(), MARK.encode("utf-32-le"))  # the second in numpy's arrays of text
_FIELDS = {
    ".html": (f'<meta name="generator" content="{MARK}">'.encode(),),
    ".onnx": (b"\x12" + bytes([len(MARK)]) + MARK.encode(),),  # the field `producer_name`
}
"""Pages and networks of others speak of this program, too: in ours it stands in its own field."""
_SOUGHT = 1 << 20  # bytes at both ends of a file in which it is looked for
ZARR = ("zarr.json", ".zgroup", ".zarray")  # one of them is in the folder of every group or array


def check_apart(
    reads: Mapping[str, Iterable[AnyPath]], writes: Iterable[tuple[str, AnyPath]]
) -> None:
    """Find out, before anything runs, whether a command would destroy what it reads, or write
    something twice.

    `reads` are the paths that it reads, by what a user calls them; `writes` the option and path of
    each file or folder that it makes or replaces. `OutputError` if one that is written is one that
    is read, or holds it, if one lies in a store of Zarr, or if two are the same.
    """
    made: list[tuple[str, Path]] = []
    for option, each in writes:
        path = Path(each)
        place = path.resolve()
        for name, sources in reads.items():
            for source in map(Path, sources):
                if _same(path, source):
                    raise OutputError(f"{path} is {name} itself; choose another name ({option})")
                if source.resolve().is_relative_to(place):
                    raise OutputError(f"{path} holds {name}; choose another name ({option})")
        for parent in place.parents:
            if is_zarr(parent):
                raise OutputError(f"{path} lies in the store {parent}; choose a place ({option})")
        for other, there in made:
            if _same(path, there):
                both = option if option == other else f"{other}, {option}"
                raise OutputError(f"{path} would be written twice ({both}); choose another name")
        made.append((option, path))


def check_replaceable(
    path: AnyPath, *, overwrite: bool, option: str = "--out", begins: bytes = b""
) -> None:
    """Raise `OutputError` if something stands at `path` that this program has not written, unless
    the user says to `overwrite` it. What it writes without a mark is known by how it `begins`."""
    path = Path(path)
    if overwrite or not path.exists() or is_ours(path, begins):
        return
    raise OutputError(
        f"{path} is there, and not by this program; choose another name ({option}), or replace it "
        "(--overwrite)"
    )


def is_ours(path: AnyPath, begins: bytes = b"") -> bool:
    """Whether a file or a Zarr store says that this program has written it; an empty file is
    nobody's."""
    path = Path(path)
    if path.is_dir():
        there = [path / name for name in (".zattrs", *ZARR) if (path / name).is_file()]
        return any(map(is_ours, there)) or not any(path.iterdir())
    try:
        with open_ordinary(path) as file:
            head = file.read(_SOUGHT)
            file.seek(max(file.seek(0, os.SEEK_END) - _SOUGHT, 0))
            tail = file.read(_SOUGHT)
    except OSError:
        return False
    suffix = path.suffix.lower()
    marks = () if suffix in UNMARKED else _FIELDS.get(suffix, _MARKS)
    known = bool(begins) and head.startswith(begins)
    return not head or known or any(mark in part for mark in marks for part in (head, tail))


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr store, or an array or group in one."""
    return any((path / name).is_file() for name in ZARR)


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve() or one.samefile(other)
    except OSError:  # one of them is not there
        return False


# Atomic writes

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where there is no room, on the disk or by a limit."""
LONGEST_SUFFIX = 64
"""Characters; after a dot early in a long name all the rest of it counts as suffixes."""
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""From linux/fcntl.h and linux/fs.h."""
_UMASK_LOCK = threading.Lock()
_PREFIX = ".partial-{}-"


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn an `OSError` in here into the `OutputError` that `path` cannot be written."""
    try:
        yield
    except OSError as error:
        advice = "free space or choose another place"
        if error.errno not in NO_ROOM:
            advice = "choose another place"
        raise OutputError(f"cannot write {path} ({error.strerror or error}); {advice}") from error


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, else it is removed.

    The temporary file exists, is empty and has the suffixes of `path`, whose folder must exist.

    Raises
    ------
    OutputError
        If writing fails, for example because the disk is full. `path` is then as it was before.
    """
    path = Path(path)
    _check_ordinary(path)
    with writing(path):
        clear_stale(path.parent)
        # Some writers choose their format by the suffix, so it stays at the end of the name.
        suffix = "".join(path.suffixes)[-LONGEST_SUFFIX:]
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=_PREFIX.format(process_mark()), suffix=suffix
        )
        temporary = Path(name)
        try:
            os.close(handle)
            yield temporary
            temporary.chmod(0o666 & ~_umask())  # `mkstemp` lets nobody else read it
            _flush(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)  # there no more where all went well


def write_text(path: Path | str, text: str) -> None:
    """Write a file of text in UTF-8, whole or not at all; `OutputError` if it cannot be."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def partial_folder(path: Path | str) -> Iterator[str]:
    """Yield the name of an empty folder beside `path`, which is removed afterwards."""
    parent = Path(path).parent
    clear_stale(parent)
    folder = tempfile.mkdtemp(dir=parent, prefix=_PREFIX.format(process_mark()))
    failed = True
    try:
        yield folder
        failed = False
    finally:
        remove_folder(folder, failed=failed)


@contextmanager
def whole_folder(path: Path | str) -> Iterator[Path]:
    """Yield the name of a folder to be made, which becomes `path` on success as by `whole_file`.

    On Linux the two change places in one step. Elsewhere a kill between two steps, a few
    microseconds, leaves neither.
    """
    path = Path(path)
    with writing(path), partial_folder(path) as folder:
        new = Path(folder, "new")
        yield new
        flush_folder(new)
        replace_folder(new, path)


def flush_folder(folder: Path) -> None:
    """Let all files in a folder reach the disk."""
    for file in folder.rglob("*"):
        if file.is_file():
            _flush(file)


def replace_folder(new: Path, path: Path) -> None:
    """Let the folder `new`, flushed, be `path`; what stood there moves there or to `old`."""
    if not path.exists():
        new.rename(path)
    elif not _exchange(new, path):
        old = new.with_name("old")
        path.rename(old)
        try:
            new.rename(path)
        except OSError:
            old.rename(path)
            raise


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system cannot do that."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    paths = _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other)
    if not renameat2(*paths, _RENAME_EXCHANGE):
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM):
        return False  # not on this file system
    raise OSError(number, os.strerror(number), str(other))


def _flush(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _umask() -> int:
    with _UMASK_LOCK:  # it can only be read by setting it, for the whole process
        mask = os.umask(0)
        os.umask(mask)
    return mask


# Removing: what is no longer wanted, and what killed processes have left

PAUSES = (0.3, 0.3, 0.3)
"""Seconds for which the threads of a library that has failed may still write into its folder."""
STALE = 86_400
"""Seconds; nothing is written for a day without growing. Of a folder what changed last counts."""
_PARTIAL = re.compile(r"\.partial-([0-9a-f]{8})-(\d+)-")
_CLEARED: set[tuple[int, int]] = set()
"""Device and number of each folder that has been cleared by this process."""


def remove_folder(folder: Path | str, *, failed: bool = False) -> None:
    """Remove a folder with all that is in it, if it is there.

    What cannot be removed stays, as a stale temporary: it must not undo what is done. Where one of
    a library's threads has `failed`, the others may still write into the folder for a moment, or
    even make it anew.
    """
    for pause in PAUSES if failed else (0,):
        time.sleep(pause)
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            return


def remove_file(path: Path) -> None:
    """Remove a file, if it is there."""
    path.unlink(missing_ok=True)


def remove_files(folder: Path, pattern: str) -> None:
    """Remove the files in a folder, however deep, that have such names."""
    for file in folder.rglob(pattern):
        file.unlink(missing_ok=True)


def keep_newest(folder: Path, pattern: str, count: int) -> None:
    """Remove the files in a folder that have such names, but so many that were changed last."""
    for file in sorted(folder.glob(pattern), key=newest)[:-count]:
        file.unlink(missing_ok=True)


def clear_stale(folder: Path | str) -> None:
    """Remove the stale temporaries of a folder; once for each folder.

    Stale is what a process of this system began that runs no more, and what nobody has touched for
    `STALE` seconds: another computer may be writing to the same folder.
    """
    try:
        state = Path(folder).stat()
        key = state.st_dev, state.st_ino
        if key in _CLEARED:
            return
        _CLEARED.add(key)
        with os.scandir(folder) as entries:
            stale = [Path(entry.path) for entry in entries if _is_stale(entry)]
    except OSError:
        return
    for path in stale:
        with suppress(OSError):  # somebody else's, or just removed by another process of ours
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _is_stale(entry: os.DirEntry[str]) -> bool:
    match = _PARTIAL.match(entry.name)
    if not match:
        return False
    here = runs_here(f"{match[1]}-{match[2]}")
    if here is not None:
        return not here
    # Written elsewhere: in another container, on another computer, before the last boot.
    return time.time() - newest(entry.path) > STALE


def process_mark() -> str:
    """What names this process among all of all computers, for `runs_here`."""
    return f"{_system()}-{os.getpid()}"


def runs_here(mark: str) -> bool | None:
    """Whether the process with a mark runs; None if it is one of another system, of which nobody
    here can say."""
    system, _, process = mark.partition("-")
    if system != _system() or not process.isdecimal() or os.name != "posix":
        return None
    with suppress(OSError, OverflowError):  # somebody else's, or of a number that no process has
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return False
    return True


def newest(path: Path | str) -> float:
    """When a file, or anything in a folder, was last changed, in s; 0 if it is not there."""
    paths = [Path(path)]
    for folder, folders, files in () if Path(path).is_symlink() else os.walk(path):
        paths += [Path(folder, name) for name in (*folders, *files)]
    latest = 0.0
    for each in paths:
        with suppress(OSError):  # renamed meanwhile, as what grows is
            latest = max(latest, each.lstat().st_mtime)
    return latest


@functools.cache
def _system() -> str:
    """A mark of where the numbers of processes are ours: this computer, boot and container."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:8]
