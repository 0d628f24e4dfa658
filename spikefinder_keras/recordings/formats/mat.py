"""MATLAB's `.mat`, of version 5 and 7.3 (which is HDF5), such as Cascade's and suite2p's files.

MATLAB users keep neurons in rows, so that is the usual orientation. Structs are looked into two
levels deep, and a cell array with a matrix for each trial is one recording in blocks.
"""

import re
from pathlib import Path

import numpy as np

from ...errors import DataError, OutputError
from ...files.atomic import whole_file
from ...files.sandbox import check_size
from . import hdf5
from .array_names import UNITS, plain
from .arrays import from_named
from .chosen import of_pieces, parse_chosen
from .description import described
from .named_arrays import Found

VERSION_7_3 = b"MATLAB 7.3 MAT-file"
_BYTES = {"double": 8, "single": 4, "logical": 1, "sparse": 8} | {
    f"{sign}int{bits}": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_CONTAINERS = ("struct", "cell")


def is_version_5(start):
    """Whether the first 128 bytes of a file are the header of version 5."""
    return start[124:128] in (b"\x00\x01IM", b"\x01\x00MI")


def recognises(file):
    """Whether an open HDF5 file is MATLAB's."""
    with Path(file.filename).open("rb") as plain_file:
        if plain_file.read(len(VERSION_7_3)) == VERSION_7_3:
            return True
    return any("MATLAB_class" in item.attrs for item in file.values())


def parse_version_5(path, variable):
    """Child: the arrays of a recording in a file of version 5."""
    from scipy.io import loadmat, whosmat

    stored = Path(path).stat().st_size
    listing = {name: (shape, kind) for name, shape, kind in whosmat(path)}
    arrays = {name: Found(shape) for name, (shape, kind) in listing.items() if kind in _BYTES}
    loaded = {}
    containers = [name for name, (_, kind) in listing.items() if kind in _CONTAINERS]
    if any(plain(name) in UNITS for name in arrays) and (variable is None or variable in arrays):
        containers = [name for name in containers if name == "ops"]  # the frame rate of Fall.mat
    for name, value in loadmat(path, variable_names=containers).items() if containers else ():
        if name in containers:
            _collect(value, name, 0, arrays, loaded, stored)

    def read(name):
        if name not in loaded:
            shape, kind = listing[name]
            check_size(name, shape, _BYTES[kind], stored)
            loaded[name] = loadmat(path, variable_names=[name])[name]
        value = loaded[name]
        return value.toarray() if hasattr(value, "toarray") else value

    yield from parse_chosen(path, arrays, variable, read)


def _collect(value, name, depth, arrays, loaded, stored):
    """List what a struct or cell array holds: shapes into `arrays`, values into `loaded`."""
    if not isinstance(value, np.ndarray):
        return
    if value.dtype.names and depth <= hdf5.LEVELS:
        for key in value.dtype.names:
            _collect_pieces(value[key], f"{name}.{key}", depth, arrays, loaded, stored)
    elif value.dtype == object and value.size <= hdf5.MOST_PIECES:
        _collect_pieces(value, name, depth, arrays, loaded, stored)
    elif value.dtype.kind in "fiub" and depth > 0:
        check_size(name, value.shape, value.dtype.itemsize, stored)
        arrays[name], loaded[name] = Found(value.shape), value


def _collect_pieces(cells, name, depth, arrays, loaded, stored):
    """List the cells of a cell array, or what stands in a field of all structs of an array.

    Trials of a recording are one array, so is a number in each; other cells go by their numbers.
    """
    pieces = [piece for piece in np.ravel(cells) if isinstance(piece, np.ndarray)]
    if len(pieces) == 1:
        _collect(pieces[0], name, depth + 1, arrays, loaded, stored)
    elif all(piece.dtype.kind in "fiub" for piece in pieces):
        whole = of_pieces([piece.shape for piece in pieces])
        if pieces and all(piece.size == 1 for piece in pieces):  # as `stat.iscell`
            numbers = np.array([float(piece.flat[0]) for piece in pieces])
            table = sum(size > 1 for size in cells.shape) > 1 and len(pieces) == cells.size
            loaded[name] = numbers.reshape(cells.shape if table else (-1, 1))
            arrays[name] = Found(loaded[name].shape)
        elif whole:
            arrays[name], loaded[name] = whole, pieces
        else:
            for number, piece in enumerate(pieces, 1):
                _collect(piece, f"{name}{{{number}}}", depth + 1, arrays, loaded, stored)
    elif depth <= hdf5.LEVELS and all(piece.dtype.names for piece in pieces):
        structs = [struct for piece in pieces for struct in piece.ravel()]
        for key in pieces[0].dtype.names:
            if all(key in piece.dtype.names for piece in pieces):
                own = np.empty(len(structs), object)
                own[:] = [struct[key] for struct in structs]
                _collect_pieces(own, f"{name}.{key}", depth + 1, arrays, loaded, stored)


def parse_hdf5(file, variable):
    """Child: the arrays of a recording in a file of version 7.3, with their axes reversed."""
    yield from hdf5.parse_hdf5(file, variable, reverse=True)


def recording(path, values, options):
    """The recording of what one of the two children yielded."""
    values = hdf5.straight(values)
    traces = values["traces"]
    if 1 in traces.shape:  # MATLAB knows no array of one axis
        values["traces"] = traces.reshape(-1)
    return from_named(path, values, options)


def write(path, prediction):
    """Write `spike_rates` (neuron x frame), `times`, `frame_rate`, `names`, `description`.

    Names and discrete spikes, `spike_times` in s, are cell arrays with a cell per neuron; the
    description is a struct.
    """
    from scipy.io import savemat

    variables = {
        "spike_rates": np.asarray(prediction.table, np.float32).T,
        "times": np.asarray(prediction.times),
        "frame_rate": float(prediction.recording.frame_rate),
        "names": _cells(prediction.names),
        "description": {
            re.sub(r"\W", "_", f"x{key}" if not key[:1].isalpha() else key, flags=re.ASCII): value
            for key, value in described(prediction).items()
        },
    }
    if prediction.spike_times is not None:
        variables["spike_times"] = _cells(np.asarray(t, float) for t in prediction.spike_times)
    try:
        with whole_file(path) as temporary:
            savemat(
                temporary,
                variables,
                appendmat=False,
                long_field_names=True,
                do_compression=False,
                oned_as="row",
            )
    except (ValueError, TypeError) as error:  # such as an array of more than 4 GiB
        reason = " ".join(str(error).split())
        raise OutputError(f"cannot write {path} ({reason}); choose .npz or .zarr") from None


def _cells(values):
    values = list(values)
    cells = np.empty(len(values), object)
    cells[:] = [None] * len(values)
    for number, value in enumerate(values):
        cells[number] = value
    return cells


def check_kind(path, start):
    """Raise `DataError` for a version of the format that nothing here reads."""
    if start.startswith(b"MATLAB") and not is_version_5(start):
        raise DataError(f"{path} is a damaged .mat file; save it again in MATLAB with -v7")
