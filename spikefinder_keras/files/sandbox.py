"""Parse files of unknown origin in a process that may hang, crash or run out of memory.

HDF5, `.mat`, pickle and Zarr parsers can be made to do each of these, or worse. So a format's own
parsing is a generator function that runs in a child process. Before it opens the file, the child
gives up what parsing does not need (see `confine`). It hands back pairs of a name and a value:
numbers and arrays, all through its standard output, a temporary file without a name, from which
arrays are mapped into memory instead of read.
"""

import errno
import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from io import RawIOBase
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeVar

import numpy as np

from .. import errors
from ..errors import DataError, UsageError
from .confinement import confine, end_with_parent

CHILD_MEMORY = 6 << 30
"""Bytes of address space, with the libraries and the mapped result."""
LARGEST_ARRAY = 4 << 30
"""Bytes; 10,000 neurons at 30 Hz for an hour. Tables that are read in pieces may be larger."""
SMALL_ARRAY = 64 << 20
"""Bytes; an array below may be stored in as little space as its compression made of it."""
BEST_COMPRESSION = 100
"""A larger array that claims more than this many times its stored bytes is a trap: fluorescence
is noisy, and shrinks to a half or a third."""
TIME_LIMIT = 120.0
"""Seconds; 1,000 neurons x 80,000 frames take a few."""
REFUSED = 3
"""Exit status of a child that has said why."""
LONGEST_ARGUMENT = 30_000
"""Characters of a request that are an argument of the child: Windows takes 32,767, Linux four times
as many. A longer one, such as the numbers of many thousand neurons, comes by its standard input."""
_NO_ROOM = (errno.EFBIG, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
LARGEST_ANSWER = 256 << 20
"""Bytes of JSON, all but the arrays."""

# It ends at once: to take the libraries down takes longer than to read a small file.
_CHILD = (
    "import json, os, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from spikefinder_keras.files.sandbox import main; "
    "os._exit(main(sys.argv[2] or sys.stdin.read()))"
)
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""No parser multiplies matrices; the threads for it, one per core, took half of a child's time."""


Job: TypeAlias = Callable[..., Iterable[tuple[str, Any]]]
"""What runs in the child: a generator function that yields names and values."""


class Unreadable(Exception):
    """A file cannot be read or trusted; the message says why, without its name."""


_Job = TypeVar("_Job", bound=Callable[..., Any])


def sandboxed(job: _Job) -> _Job:
    """Mark a function that opens files of unknown origin, and so runs in the sandbox alone.

    It is handed to `parse` or `run`, or called by another of its kind. `tests/test_source.py` finds
    whatever opens such a file, or calls such a function, anywhere else.
    """
    return job


_REFUSALS = {kind.__name__: kind for kind in errors.SpikefinderError.__subclasses__()}
"""What a job may raise but `Unreadable`."""


def parse(job: Job, path: Path | str, *arguments: Any, **limits: Any) -> dict[str, Any]:
    """Run a generator function on a file in a child process, and collect what it yields.

    Arguments are as for `run`. The values are given by name; arrays are mapped from a temporary
    file, and read-only. `DataError` is raised if the job raises `Unreadable` or anything
    unforeseen, is too slow or dies; any other `SpikefinderError` as the job raises it.
    """
    try:
        return run(job, path, *arguments, **limits)
    except Unreadable as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def run(
    job: Job,
    path: Path | str,
    *arguments: Any,
    time_limit: float = TIME_LIMIT,
    memory: int = CHILD_MEMORY,
    libraries: Sequence[str] = (),
    writes: bool = False,
) -> dict[str, Any]:
    """Do as `parse`, but raise what is wrong with the file as `Unreadable`.

    `job` is a function of a module, called as `job(path, *arguments)`; arguments are what JSON can
    hold. It yields pairs of a name and a value: a numpy array, an HDF5 dataset, or what JSON can
    hold. `time_limit` is in s; `memory` are the bytes that the child may take beyond what it has
    after its imports, `libraries` the modules that are imported before it is confined. With
    `writes` the job changes files; then only its other powers are taken from it.
    """
    if Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):
        raise Unreadable("it is no ordinary file")
    request = {
        "module": job.__module__,
        "job": job.__name__,
        "arguments": [str(Path(path).absolute()), *arguments],
        "memory": memory,
        "seconds": time_limit,
        "libraries": list(libraries),
        "writes": writes,
        "parent": os.getpid(),
    }
    paths = list(filter(None, map(_absolute, sys.path)))
    # `-P`: the folder in which the user works must not be searched for modules.
    command = [sys.executable, "-P", "-W", "ignore", "-c", _CHILD, json.dumps(paths)]
    text = json.dumps(request)
    long = len(text) > LONGEST_ARGUMENT
    with tempfile.TemporaryFile(prefix="spikefinder-") as answer:
        try:
            child = subprocess.run(
                [*command, "" if long else text],
                input=text.encode() if long else b"",
                stdout=answer,
                stderr=subprocess.DEVNULL,
                timeout=time_limit,
                check=False,
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,  # so it has no terminal to type into
            )
        except subprocess.TimeoutExpired:
            raise Unreadable(f"reading it took longer than {time_limit:g} s") from None
        try:
            values = _read_answer(answer)
        except Exception:  # as many as there are ways to answer wrongly
            raise Unreadable(
                "its parser failed, so it is damaged, too large for the memory, or the temporary "
                "folder is full or the system's limits (ulimit) are low"
            ) from None
    if child.returncode == REFUSED:
        kind, text = str(values.get("kind")), str(values.get("text"))
        text = text.replace(str(Path(path).absolute()), str(path))
        raise _REFUSALS.get(kind, Unreadable)(text)
    return values


def _absolute(entry: str) -> str | None:
    """A folder to import from; None for the working one if that is gone."""
    try:
        return str(Path(entry).absolute())
    except OSError:
        return None


# The answer: arrays one after another, then JSON that says where they are, then its length.

_ALIGNMENT = 64
_LENGTH = 8


def _read_answer(file: IO[bytes]) -> dict[str, Any]:
    """The values in a child's answer, none of it trusted, as the child may have been taken."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _LENGTH))
    length = int.from_bytes(file.read(), "little")
    end = size - _LENGTH - length
    if not 0 <= length <= LARGEST_ANSWER or end < 0:
        raise ValueError("no whole answer")
    file.seek(end)
    answer = json.loads(file.read(length))
    values = dict(answer["values"])
    # Mapped once, as each map takes one of the few files that may be open.
    mapped = np.memmap(file, np.uint8, "r", 0, (end,)) if end else np.empty(0, np.uint8)
    for name, (dtype, shape, offset) in answer["arrays"].items():
        dtype, shape = np.dtype(dtype), tuple(map(int, shape))
        if dtype.kind not in "fiub" or min((0, offset, *shape)) < 0:
            raise ValueError("no array of numbers")
        length = dtype.itemsize * math.prod(shape)
        if offset + length > end:
            raise ValueError("an array beyond the end")
        values[name] = mapped[offset : offset + length].view(dtype).reshape(shape)
    return values


def _write_answer(file: RawIOBase, pairs: Iterable[tuple[str, Any]]) -> None:
    """Write pairs of a name and a value as `_read_answer` reads them."""
    values: dict[str, Any] = {}
    arrays: dict[str, tuple[str, tuple[int, ...], int]] = {}
    end = 0
    for name, value in pairs:
        if not hasattr(value, "dtype"):
            values[name] = value
            continue
        dtype, shape = value.dtype.newbyteorder("="), value.shape
        arrays[name] = (dtype.str, shape, end)
        if math.prod(shape):
            place = np.memmap(file, dtype, "r+", end, shape or (1,)).reshape(shape)
            if hasattr(value, "read_direct"):  # an HDF5 dataset, without a copy in memory
                value.read_direct(place)
            else:
                place[...] = value
        end += -(-dtype.itemsize * math.prod(shape) // _ALIGNMENT) * _ALIGNMENT
    text = json.dumps({"values": values, "arrays": arrays}).encode()
    file.seek(max(end, file.seek(0, os.SEEK_END)))
    file.write(text + len(text).to_bytes(_LENGTH, "little"))


def main(text_of_request: str) -> int:
    """Run the job of a JSON request, as the child, and leave its values in the standard output."""
    request = json.loads(text_of_request)
    end_with_parent(request["parent"])
    # What else is printed goes nowhere.
    answer = os.fdopen(os.dup(1), "r+b", buffering=0)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        for library in request["libraries"]:
            importlib.import_module(library)
        job = getattr(importlib.import_module(request["module"]), request["job"])
        confine(request["memory"], request["seconds"], writes=request["writes"])
        _write_answer(answer, job(*request["arguments"]))
        return 0
    except errors.SpikefinderError as error:
        kind, text = type(error).__name__, str(error)
    except MemoryError:
        kind, text = "Unreadable", "it needs too much memory; split it, or save it as .npy"
    except Unreadable as error:
        kind, text = "Unreadable", str(error)
    except Exception as error:  # whatever the library says of a damaged file
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        kind, text = "Unreadable", f"it is damaged, or of a kind not known here ({reason})"
        if isinstance(error, BlockingIOError) or "unable to lock file" in reason:
            text = "another program has it open for writing; close it there"
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            text = f"there is no room for its values ({error.strerror}); see the temporary folder"
    _write_answer(answer, [("kind", kind), ("text", text)])
    return REFUSED


def check_size(
    what: str,
    shape: Sequence[int],
    itemsize: int,
    stored: int,
    chunks: Sequence[int] | None = (),
    largest: int | None = LARGEST_ARRAY,
) -> None:
    """Raise `Unreadable` if an array is too large, or can't be made of its stored bytes.

    `largest` is None for one that is read in pieces.
    """
    claimed = itemsize * math.prod(shape)
    if largest is not None and claimed > largest:
        raise Unreadable(
            f"{what} claims {claimed} bytes, more than {largest >> 30} GiB; split it, or "
            "save it as .npy"
        )
    if claimed > max(SMALL_ARRAY, BEST_COMPRESSION * stored):
        raise Unreadable(f"{what} claims {claimed} bytes, but the file holds {stored} of them")
    chunk = itemsize * math.prod(chunks or ())
    if chunk > max(SMALL_ARRAY, claimed):
        raise Unreadable(f"{what} claims chunks of {chunk} bytes, more than it has itself")


def require(library: str, purpose: str, extra: str) -> None:
    """Raise the `UsageError` that says how to install an optional library, unless it is there."""
    if importlib.util.find_spec(library) is None:
        raise UsageError(
            f'{purpose} needs {library}; install it with: pip install "spikefinder-keras[{extra}]"'
        )
