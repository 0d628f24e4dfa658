"""Parse files of unknown origin in a process that may hang, crash or run out of memory.

HDF5, `.mat`, pickle and Zarr parsers can be made to do each of these. So a format's own parsing is
a generator function that runs in a child process with a memory and a time limit, and hands back
pairs of a name and a value: arrays through temporary files, which are then mapped into memory
instead of read, everything else as JSON.
"""

import importlib
import importlib.util
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from .. import errors
from ..errors import DataError, UsageError
from ..hdf5_arrays import REFUSED, Unreadable, limit_memory

CHILD_MEMORY = 6 << 30
"""Bytes of address space, with the libraries and the mapped result."""
LARGEST_ARRAY = 4 << 30
"""Bytes; 10,000 neurons at 30 Hz for an hour. Only `.npy` files may hold more."""
SMALL_ARRAY = 64 << 20
"""Bytes; an array below may be stored in as little space as its compression made of it."""
BEST_COMPRESSION = 100
"""A larger array that claims more than this many times its stored bytes is a trap: fluorescence
is noisy, and shrinks to a half or a third."""
TIME_LIMIT = 120.0
"""Seconds; 1,000 neurons x 80,000 frames take a few."""

EMPTY_FILE = 128
"""Bytes of a `.npy` file without a value: its header alone."""

_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from spikefinder_keras.formats.child import main; sys.exit(main(sys.argv[2]))"
)


def parse(job, path, *arguments, time_limit=TIME_LIMIT, memory=CHILD_MEMORY):
    """Run a generator function on a file in a child process, and collect what it yields.

    Parameters
    ----------
    job : function
        Of a module, called as `job(path, *arguments)`. It yields pairs of a name and a value: a
        numpy array, an HDF5 dataset, or what JSON can hold.
    path : str or Path
    arguments
        What JSON can hold.
    time_limit : float
        Seconds.
    memory : int
        Bytes.

    Returns
    -------
    dict
        By name; arrays are mapped from a temporary file, and read-only.

    Raises
    ------
    DataError
        If the job raises `Unreadable` or anything unforeseen, is too slow or dies.
    SpikefinderError
        As the job raises it.
    """
    with tempfile.TemporaryDirectory(prefix="spikefinder-", ignore_cleanup_errors=True) as folder:
        request = {
            "module": job.__module__,
            "job": job.__name__,
            "arguments": [str(Path(path).absolute()), *arguments],
            "folder": folder,
            "memory": memory,
        }
        paths = [str(Path(entry).absolute()) for entry in sys.path]
        command = [sys.executable, "-P", "-W", "ignore", "-c", _CHILD, json.dumps(paths)]
        try:
            child = subprocess.run(
                [*command, json.dumps(request)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=time_limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"{path}: reading it took longer than {time_limit:g} s") from None
        try:
            values = json.loads(Path(folder, "values.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise DataError(
                f"{path} cannot be read: its parser failed, so it is damaged, too large for the "
                "memory, or the temporary folder is full"
            ) from None
        if child.returncode == REFUSED:
            kind, text = values
            raise getattr(errors, kind)(text.replace(str(Path(path).absolute()), str(path)))
        for file in Path(folder).glob("*.npy"):
            empty = file.stat().st_size <= EMPTY_FILE  # and such a one cannot be mapped
            values[file.stem] = np.load(file, None if empty else "r", allow_pickle=False)
        return values


def check_size(what, shape, itemsize, stored, chunks=()):
    """Raise `Unreadable` if an array is too large, or can't be made of its stored bytes."""
    claimed = itemsize * math.prod(shape)
    if claimed > LARGEST_ARRAY:
        raise Unreadable(
            f"{what} claims {claimed} bytes, more than {LARGEST_ARRAY >> 30} GiB; split it, or "
            "save it as .npy"
        )
    if claimed > max(SMALL_ARRAY, BEST_COMPRESSION * stored):
        raise Unreadable(f"{what} claims {claimed} bytes, but the file holds {stored} of them")
    chunk = itemsize * math.prod(chunks or ())
    if chunk > max(SMALL_ARRAY, claimed):
        raise Unreadable(f"{what} claims chunks of {chunk} bytes, more than it has itself")


def main(request):
    """The child: run the job of a JSON request, leave its values in the request's folder."""
    request = json.loads(request)
    folder = Path(request["folder"])
    limit_memory(request["memory"])
    try:
        job = getattr(importlib.import_module(request["module"]), request["job"])
        values = {}
        for name, value in job(*request["arguments"]):
            if isinstance(value, np.ndarray):
                np.save(folder / f"{name}.npy", value, allow_pickle=False)
            elif hasattr(value, "read_direct"):
                _save_dataset(folder / f"{name}.npy", value)
            else:
                values[name] = value
        status, text = 0, json.dumps(values)
    except errors.SpikefinderError as error:
        status, text = REFUSED, json.dumps([type(error).__name__, str(error)])
    except MemoryError:
        status, text = _refusal(request, "needs too much memory; split it, or save it as .npy")
    except Unreadable as error:
        status, text = _refusal(request, f"cannot be read: {error}")
    except Exception as error:  # whatever the library says of a damaged file
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        status, text = _refusal(request, f"is damaged, or of a kind not known here ({reason})")
    (folder / "values.json").write_text(text, encoding="utf-8")
    return status


def _refusal(request, text):
    return REFUSED, json.dumps(["DataError", f"{request['arguments'][0]} {text}"])


def _save_dataset(file, dataset):
    """Copy an HDF5 dataset into a `.npy` file without a copy in memory."""
    dtype = dataset.dtype.newbyteorder("=")
    if not dataset.size:
        np.save(file, np.empty(dataset.shape, dtype))
        return
    mapped = np.lib.format.open_memmap(file, "w+", dtype, dataset.shape or (1,))
    dataset.read_direct(mapped.reshape(dataset.shape))


def require(library, purpose, extra):
    """Raise the `UsageError` that says how to install an optional library, unless it is there."""
    if importlib.util.find_spec(library) is None:
        raise UsageError(
            f'{purpose} needs {library}; install it with: pip install "spikefinder-keras[{extra}]"'
        )
