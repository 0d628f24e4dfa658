"""numpy's `.npy`, one array, and `.npz`, named ones; suite2p's `spks.npy` is the model to write."""

import zipfile
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...files.atomic import whole_file
from ...files.npy import NpyFile
from ...files.npz import member_shape, read_member
from ...files.sandbox import parse
from . import pickled, suite2p
from .array_names import UNITS, plain
from .arrays import from_named, make_recording, only_one_array
from .chosen import parse_chosen
from .description import described, sidecar, spikes_in_a_row, text_of
from .named_arrays import Found, refuse_processed
from .pieces import table_of

ZIP = b"PK\x03\x04"
_OFFICE = {
    "xl/workbook.xml": "an Excel workbook; save the sheet with the traces as CSV",
    "xl/workbook.bin": "an Excel workbook; save the sheet with the traces as CSV",
    "content.xml": "an OpenDocument spreadsheet; save the sheet with the traces as CSV",
    "word/document.xml": "a Word document; save the traces as CSV",
}


def read_npy(path, options):
    """Recording of an array `(neuron, frame)`; or of Cascade's pickled dict."""
    path = Path(path)
    refuse_processed(path, path.stem)
    try:
        file = NpyFile(path)
    except Exception as error:  # numpy parses the header as Python text, so this can be many
        raise _damaged(path, error) from None
    if file.dtype.hasobject:
        return from_named(path, parse(pickled.parse_arrays, path, options.variable), options)
    only_one_array(path, options.variable)
    notes, unit = [], UNITS.get(plain(path.stem)) if path.stem != "f" else None
    if path.name == "F.npy":  # of suite2p
        notes.append("F.npy alone: neuropil not subtracted, all ROIs kept; name its folder instead")
    traces = table_of(file, options.chunk)
    return make_recording(path, traces, options, unit=unit, notes=notes)


def read_npz(path, options):
    """Recording of the arrays in an `.npz` file, of which only those needed are read."""
    return from_named(path, parse(_parse_npz, path, options.variable), options)


def _parse_npz(path, variable):
    """Child: the arrays of a recording in a zip of `.npy` files."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {m.filename: m for m in archive.infolist()}
            _refuse_other_zips(path, members)
            arrays = {}
            for name, member in members.items():
                shape = member_shape(archive, member)
                if shape is not None:
                    arrays[name.removesuffix(".npy")] = Found(shape)

            def read(name):
                return read_member(archive, members.get(f"{name}.npy") or members[name])

            yield from parse_chosen(path, arrays, variable, read)
    except (
        zipfile.BadZipFile,
        ValueError,
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise _damaged(path, error) from None


def _refuse_other_zips(path, members):
    if any(Path(name).name in (".zgroup", ".zarray", "zarr.json") for name in members):
        raise DataError(f"{path} is a zipped Zarr store; unpack it and name its folder")
    for name, what in _OFFICE.items():
        if name in members:
            raise DataError(f"{path} is {what}")


def _damaged(path, error):
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    return DataError(f"{path} is no usable numpy file ({reason}); save it again")


def write_npy(path, prediction, source=None):
    """Write float32 `(neuron, frame)`, as suite2p's `spks.npy`, and a description beside it.

    Where `source` is suite2p's, there is a row for each of `F.npy`, zeros for what is no cell.
    """
    rates = suite2p.as_spks(np.asarray(prediction.table, np.float32).T, prediction.names, source)
    with (
        sidecar(path, prediction, times=True),
        whole_file(path) as temporary,
        temporary.open("wb") as file,
    ):
        np.save(file, np.ascontiguousarray(rates), allow_pickle=False)


def write_npz(path, prediction):
    """Write `spike_rates` `(neuron, frame)`, `times`, `frame_rate`, `names`, `description` (JSON).

    Discrete spikes are `spike_times` in s, all neurons in a row, and `spike_neurons`, which counts
    neurons from 0.
    """
    arrays = {
        "spike_rates": np.ascontiguousarray(np.asarray(prediction.table, np.float32).T),
        "times": prediction.times,
        "frame_rate": prediction.recording.frame_rate,
        "names": np.array(prediction.names, dtype=np.str_),
        "description": np.array(text_of(described(prediction))),
    }
    if prediction.spike_times is not None:
        arrays["spike_times"], arrays["spike_neurons"] = spikes_in_a_row(prediction)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
