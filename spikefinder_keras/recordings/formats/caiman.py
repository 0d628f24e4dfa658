"""CaImAn's HDF5 file: `estimates/F_dff`, or `C + YrA`, and the frame rate `params/data/fr`."""

import numpy as np

from ...errors import DataError
from ...files.child import Unreadable
from .arrays import make_recording, one_number, only_one_array, only_orientation
from .hdf5 import checked

ABSENT = b"NoneType"
"""How CaImAn writes a value that is not there."""


def recognises(file):
    """Whether an open HDF5 file is CaImAn's."""
    return "estimates" in file and "params" in file


def parse_hdf5(file, variable):
    """Child: the arrays of CaImAn's estimates that a recording needs."""
    only_one_array(file.filename, variable)
    estimates = file["estimates"]
    found = {}
    for name in ("F_dff", "C", "YrA", "idx_components"):
        item = estimates.get(name)
        if item is not None and not _absent(item):
            found[name] = checked(item, f"estimates/{name}")
    if "F_dff" not in found and not {"C", "YrA"} <= found.keys():
        if "C" in found:
            raise DataError(
                f"{file.filename} has only the denoised traces C; run detrend_df_f in CaImAn, or "
                "save YrA too"
            )
        raise Unreadable("it has neither estimates/F_dff nor C and YrA; run detrend_df_f in CaImAn")
    for name in ("F_dff",) if "F_dff" in found else ("C", "YrA"):
        if found[name].ndim != 2:
            raise Unreadable(f"estimates/{name} has shape {found[name].shape}; expected two axes")
        yield name, found[name]
    if "idx_components" in found:
        yield "idx_components", found["idx_components"][()]
    rate = file.get("params/data/fr")
    if rate is not None and not _absent(rate):
        yield "rate", checked(rate, "params/data/fr")[()] + np.zeros(1)


def _absent(item):
    return getattr(item, "shape", None) == () and item.dtype.kind in "OS" and item[()] == ABSENT


def recording(path, values, options):
    """The recording of what `parse_hdf5` yielded."""
    only_orientation(path, options.orientation, "neuron-time")
    notes = []
    if "F_dff" in values:
        traces, unit = values["F_dff"], "dF/F"
    else:
        traces, unit = values["C"], "F"
        if traces.shape != values["YrA"].shape:
            raise DataError(
                f"{path}: C is {traces.shape}, but YrA is {values['YrA'].shape}; save CaImAn's "
                "estimates again"
            )
        notes.append("C + YrA: there is no F_dff")
    count = len(traces)
    kept = values.get("idx_components")
    if kept is None or options.all_rois:
        kept = np.arange(count)
    kept = np.atleast_1d(kept)
    if not kept.size:
        raise DataError(f"{path}: idx_components accepts none of {count} components; ask for all")
    if kept.dtype.kind not in "iu" or kept.min() < 0 or kept.max() >= count:
        raise DataError(f"{path}: idx_components does not number the {count} components of F_dff")
    if kept.size < count:
        notes.append(f"{count - kept.size} of {count} components left out, not in idx_components")
        traces = traces[kept]
    if "F_dff" not in values:
        traces = traces + (values["YrA"][kept] if kept.size < count else values["YrA"])
    rate = values.get("rate")
    return make_recording(
        path,
        traces,
        options,
        file_rate=None if rate is None else one_number(path, "params/data/fr", rate),
        orientation="neuron-time",
        names=kept,
        unit=unit,
        notes=notes,
    )
