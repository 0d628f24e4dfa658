"""numpy's `.npy`, one array, and `.npz`, named ones; suite2p's `spks.npy` is the model to write."""

import zipfile
from pathlib import Path

import numpy as np

from ...errors import DataError, SpikefinderError
from ...files.child import Unreadable, check_size, parse
from ...files.whole_files import whole_file
from . import pickled
from .arrays import choose, from_named, make_recording, only_one_array, refuse_processed
from .description import described, sidecar, text_of

NPY = b"\x93NUMPY"
ZIP = b"PK\x03\x04"


def read_npy(path, options):
    """Recording of an array `(neuron, frame)`, mapped into memory; or of Cascade's pickled dict."""
    path = Path(path)
    refuse_processed(path, path.stem)
    try:
        with path.open("rb") as file:
            shape, _, dtype = pickled.read_header(file)
    except Exception as error:  # numpy parses the header as Python text, so this can be many
        raise _damaged(path, error) from None
    if dtype.hasobject:
        values = parse(pickled.parse_arrays, path, options.variable)
        return from_named(path, values.pop("chosen"), values, options)
    only_one_array(path, options.variable)
    notes, unit = [], None
    if path.name == "F.npy":  # of suite2p
        unit = "F"
        notes.append("F.npy alone: neuropil not subtracted, all ROIs kept; name its folder instead")
    try:
        traces = np.load(path, mmap_mode="r" if 0 not in shape else None, allow_pickle=False)
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise _damaged(path, error) from None
    return make_recording(path, traces, options, unit=unit, notes=notes)


def read_npz(path, options):
    """Recording of the arrays in an `.npz` file, of which only those needed are read."""
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {m.filename: m for m in archive.infolist()}
            if any(Path(name).name in (".zgroup", ".zarray", "zarr.json") for name in members):
                raise DataError(f"{path} is a zipped Zarr store; unpack it and name its folder")
            shapes = {}
            for name, member in members.items():
                shape = _member_shape(archive, member)
                if shape is not None:
                    shapes[name.removesuffix(".npy")] = shape
            chosen = choose(path, shapes, options.variable)
            values = {}
            for role, name in chosen.items():
                member = members.get(f"{name}.npy") or members[name]
                with archive.open(member) as file:
                    values[role] = np.lib.format.read_array(file, allow_pickle=False)
    except Unreadable as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    except SpikefinderError:
        raise
    except Exception as error:  # of zip, of any of its compressions, or of numpy
        raise _damaged(path, error) from None
    return from_named(path, chosen, values, options)


def _member_shape(archive, member):
    """Shape of an array of real numbers in an `.npz` file; None for what is none."""
    with archive.open(member) as file:
        if not file.peek(len(NPY)).startswith(NPY):
            return None
        shape, _, dtype = pickled.read_header(file)
        header = file.tell()
    if dtype.kind not in "fiub":
        return None
    check_size(member.filename, shape, dtype.itemsize, member.compress_size)
    if header + dtype.itemsize * int(np.prod(shape, dtype=object)) != member.file_size:
        raise ValueError(f"{member.filename} is shorter or longer than its shape {shape}")
    return shape


def _damaged(path, error):
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    return DataError(f"{path} is no usable numpy file ({reason}); save it again")


def write_npy(path, prediction):
    """Write float32 `(neuron, frame)`, as suite2p's `spks.npy`, and a description beside it."""
    rates = np.ascontiguousarray(np.asarray(prediction.rates, np.float32).T)
    with (
        sidecar(path, prediction, times=True),
        whole_file(path) as temporary,
        temporary.open("wb") as file,
    ):
        np.save(file, rates, allow_pickle=False)


def write_npz(path, prediction):
    """Write `spike_rates` `(neuron, frame)`, `times`, `frame_rate`, `names`, `description` (JSON).

    Discrete spikes are `spike_times` in s, all neurons in a row, and `spike_neurons`, which counts
    neurons from 0.
    """
    arrays = {
        "spike_rates": np.ascontiguousarray(np.asarray(prediction.rates, np.float32).T),
        "times": prediction.times,
        "frame_rate": prediction.recording.frame_rate,
        "names": np.array(prediction.names, dtype=np.str_),
        "description": np.array(text_of(described(prediction))),
    }
    if prediction.spike_times is not None:
        counts = [len(times) for times in prediction.spike_times]
        arrays["spike_times"] = np.concatenate([np.empty(0), *prediction.spike_times])
        arrays["spike_neurons"] = np.repeat(np.arange(len(counts)), counts)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
