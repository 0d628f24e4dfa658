"""CaImAn's HDF5 file: `estimates/F_dff`, or `C` and what is to be added, and `params/data/fr`."""

import numpy as np

from ...errors import DataError
from ...files.sandbox import Unreadable
from .arrays import from_named, only_orientation
from .chosen import parse_chosen
from .hdf5 import checked
from .named_arrays import Found

ABSENT = b"NoneType"
"""How CaImAn writes a value that is not there."""

TRACES = ("F_dff", "C", "YrA", "R")


def recognises(file):
    """Whether an open HDF5 file is CaImAn's."""
    return "estimates" in file and ("params" in file or "C" in file["estimates"])


def parse_hdf5(file, variable):
    """Child: the arrays of CaImAn's estimates that a recording needs."""
    items = {}
    for name in (*TRACES, "S", "f", "idx_components"):
        item = file["estimates"].get(name)
        if item is not None and not _absent(item):
            items[name] = checked(item, f"estimates/{name}")
    for name in TRACES:
        if name in items and items[name].ndim != 2:
            raise Unreadable(f"estimates/{name} has shape {items[name].shape}; expected two axes")
    if variable is None and not {"F_dff", "C"} & items.keys():
        raise Unreadable("it has neither estimates/F_dff nor C and YrA; run detrend_df_f in CaImAn")
    if "F_dff" not in items and "C" in items and not {"YrA", "R"} & items.keys():
        raise DataError(
            f"{file.filename} has only the denoised traces C; run detrend_df_f in CaImAn, or "
            "save YrA too"
        )
    rate = file.get("params/data/fr")
    if rate is not None and not _absent(rate):
        items["params/data/fr"] = checked(rate, "params/data/fr")[()] + np.zeros(1)
    arrays = {name: Found(item.shape) for name, item in items.items() if name != "params/data/fr"}
    if "params/data/fr" in items:
        arrays["params/data/fr"] = Found((1,))
    yield from parse_chosen(file.filename, arrays, variable, items.__getitem__)


def _absent(item):
    return getattr(item, "shape", None) == () and item.dtype.kind in "OS" and item[()] == ABSENT


def recording(path, values, options):
    """The recording of what `parse_hdf5` yielded."""
    only_orientation(path, options.orientation, "neuron-time")
    values["choice"]["orientation"] = "neuron-time"
    return from_named(path, values, options)
