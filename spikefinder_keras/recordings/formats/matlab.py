"""MATLAB's `.mat`, of version 5 and 7.3 (which is HDF5), such as Cascade's and suite2p's files.

MATLAB users keep neurons in rows, so that is the usual orientation.
"""

import re
from pathlib import Path

import numpy as np

from ...errors import DataError, OutputError
from ...files.child import check_size
from ...files.whole_files import whole_file
from .arrays import choose, from_named
from .description import described
from .hdf5 import checked

VERSION_7_3 = b"MATLAB 7.3 MAT-file"
_BYTES = {"double": 8, "single": 4, "logical": 1} | {
    f"{sign}int{bits}": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)
}


def is_version_5(start):
    """Whether the first 128 bytes of a file are the header of version 5."""
    return start[124:128] in (b"\x00\x01IM", b"\x01\x00MI")


def recognises(file):
    """Whether an open HDF5 file is MATLAB's."""
    with Path(file.filename).open("rb") as plain:
        if plain.read(len(VERSION_7_3)) == VERSION_7_3:
            return True
    return any("MATLAB_class" in item.attrs for item in file.values())


def parse_version_5(path, variable):
    """Child: the arrays of a recording in a file of version 5."""
    from scipy.io import loadmat, whosmat

    stored = Path(path).stat().st_size
    listing = {name: (shape, kind) for name, shape, kind in whosmat(path)}
    shapes = {name: shape for name, (shape, kind) in listing.items() if kind in _BYTES}
    chosen = choose(path, shapes, variable)
    for name in chosen.values():
        check_size(name, shapes[name], _BYTES[listing[name][1]], stored)
    loaded = loadmat(path, variable_names=[*chosen.values()])
    if "neuropil" in chosen and "rate" not in chosen and "ops" in listing:
        rate = _field(loadmat(path, variable_names=["ops"])["ops"], "fs")
        if rate is not None:
            chosen["rate"], loaded["ops.fs"] = "ops.fs", rate
    yield "chosen", chosen
    for role, name in chosen.items():
        yield role, loaded[name]


def _field(struct, name):
    if struct.dtype.names and name in struct.dtype.names and struct.size == 1:
        return np.asarray(struct[name].flat[0], np.float64)
    return None


def parse_hdf5(file, variable):
    """Child: the arrays of a recording in a file of version 7.3, with their axes reversed."""
    import h5py

    arrays = {
        name: item
        for name, item in file.items()
        if isinstance(item, h5py.Dataset)
        and item.attrs.get("MATLAB_class", b"double").decode() in _BYTES
        and "MATLAB_empty" not in item.attrs
    }
    shapes = {name: item.shape[::-1] for name, item in arrays.items()}
    chosen = choose(file.filename, shapes, variable)
    if "neuropil" in chosen and "rate" not in chosen and "ops/fs" in file:
        chosen["rate"], arrays["ops.fs"] = "ops.fs", file["ops/fs"]
    yield "chosen", chosen
    yield "reverse_axes", True
    for role, name in chosen.items():
        yield role, checked(arrays[name], name)


def recording(path, values, options):
    """The recording of what one of the two children yielded."""
    chosen = values.pop("chosen")
    for role in chosen:
        array = values[role].T if "reverse_axes" in values else values[role]
        # MATLAB knows no array of one axis.
        values[role] = array.reshape(-1) if role == "traces" and 1 in array.shape else array
    return from_named(path, chosen, values, options)


def write(path, prediction):
    """Write `spike_rates` (neuron x frame), `times`, `frame_rate`, `names`, `description`.

    Names and discrete spikes, `spike_times` in s, are cell arrays with a cell per neuron; the
    description is a struct.
    """
    from scipy.io import savemat

    variables = {
        "spike_rates": np.asarray(prediction.rates, np.float32).T,
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
