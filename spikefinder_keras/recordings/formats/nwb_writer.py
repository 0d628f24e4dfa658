"""Predictions into NWB, beside the series that they were made from.

NWB has no type for spike rates. As neuroconv does, they become a `RoiResponseSeries` in a container
`Fluorescence`, of the same ROIs as the fluorescence; discrete spikes become a table of `Units`.
They are added as HDF5, so that whatever else the file holds, its version of NWB included, stays as
the program that wrote it knows it. The child process may crash on damaged files and full disks.
"""

import json
import re
import shutil
import uuid
from pathlib import Path

import numpy as np

from ...constants import SAMPLE_RATE
from ...errors import DataError, OutputError, SpikefinderError, UsageError
from ...files.atomic import check_output, partial_folder, whole_file
from ...files.hdf5 import SIGNATURE
from ...files.regular import open_ordinary
from ...files.sandbox import parse
from .description import described, text_of
from .hdf5 import check_structure, resolve
from .nwb import OWN, SERIES, all_series, recognises

NAME = "SpikeRates"
"""Begins the name of a written series; the rest is of the series that it was made from."""
CONTAINER = "processing/ophys/Fluorescence"


def check(path, source, series=None):
    """Find out before a long computation whether a prediction can be written to an NWB file.

    Parameters
    ----------
    path, source : str or Path
    series : str, optional
        The name that the written series shall have.

    Raises
    ------
    DataError
        If `source` is damaged.
    OutputError
        If `source` is no NWB file.
    UsageError
        If the name is taken, or none.
    """
    check_output(path)
    no_source = OutputError(
        f"{path} needs an NWB file as its source, and {source} is none; choose another suffix, "
        "such as .npz"
    )
    try:
        with open_ordinary(source) as file:
            if file.read(len(SIGNATURE)) != SIGNATURE:
                raise no_source
    except OSError:
        raise no_source from None
    found = parse(_parse_target, source, libraries=["h5py"])
    if not found["nwb"]:
        raise no_source
    if series is not None:
        if not series or not re.fullmatch(r"[^/:]+", series):
            raise UsageError(f"{series!r} cannot be the name of a series; leave out / and :")
        if series in found["taken"]:
            raise UsageError(
                f"{source} has a series {series} already; give another name (--series)"
            )


def _parse_target(path):
    """Child: whether an HDF5 file is NWB 2, and the names taken in the container."""
    import h5py

    with h5py.File(path, "r") as file:
        check_structure(file, links=True)
        yield "nwb", recognises(file) and "nwb_version" in file.attrs
        container = resolve(file, CONTAINER)
        yield "taken", list(container) if container is not None else []


def write(path, prediction, source, series=None):
    """Add the rates to a copy of `source`, which then becomes `path`, and may replace `source`.

    The comments of the series hold the description as JSON.
    """
    description = described(prediction)
    with whole_file(path) as temporary, partial_folder(path) as folder:
        shutil.copyfile(source, temporary)
        arrays = {
            "rates": np.asarray(prediction.table, np.float32),
            "times": np.asarray(prediction.times),
        }
        if prediction.spike_times is not None:
            ends = np.cumsum([len(times) for times in prediction.spike_times])
            arrays["spikes"] = np.concatenate([np.empty(0), *prediction.spike_times])
            arrays["spike_ends"] = ends.astype(np.int64)
        for name, array in arrays.items():
            np.save(Path(folder, f"{name}.npy"), array)
        text = {
            "name": series,
            "names": list(prediction.names),
            "notes": list(prediction.recording.notes),
            "unit": str(description.get("unit", "a.u.")),
            "description": f"{OWN}. "
            + "; ".join(f"{key}: {value}" for key, value in description.items()),
            "comments": text_of(description),
        }
        try:
            parse(
                _append,
                temporary,
                folder,
                float(prediction.recording.frame_rate),
                json.dumps(text),
                libraries=["h5py"],
                writes=True,
            )
        except SpikefinderError as error:
            reason = str(error).replace(str(temporary), str(source))
            raise OutputError(f"cannot write {path}: {reason}") from None


def _append(path, folder, frame_rate, text):
    """Child: add the series, and the units, to the file itself."""
    import h5py

    text = json.loads(text)
    arrays = {
        file.stem: np.load(file, mmap_mode="r", allow_pickle=False)
        for file in Path(folder).glob("*.npy")
    }
    with h5py.File(path, "r+") as file:
        source, rows = _source(file, arrays["rates"].shape[0], text)
        container = _container(file)
        name = text["name"] or _free_name(container, source)
        made = _typed(container, name, "RoiResponseSeries")
        made.attrs["description"], made.attrs["comments"] = text["description"], text["comments"]
        data = made.create_dataset("data", data=arrays["rates"])
        data.attrs.update({"unit": text["unit"], "conversion": 1.0, "resolution": -1.0})
        data.attrs.update({"offset": 0.0, "continuity": "instantaneous"})
        _region(made, "rois", source, rows)
        if source.dataset("timestamps") is None:
            start = made.create_dataset("starting_time", data=float(arrays["times"][0]))
            start.attrs.update({"rate": frame_rate, "unit": "seconds"})
        else:
            times = made.create_dataset("timestamps", data=arrays["times"])
            times.attrs.update({"interval": np.int32(1), "unit": "seconds"})
        if "spikes" in arrays:
            _units(container.parent, f"{name}Spikes", arrays, text, source, rows)
    yield "name", name


def _source(file, frames, text):
    """The series that the rates were made from, and the rows of the ROI table they are of."""
    alike = {}
    for name, series in all_series(file).items():
        ids = [str(roi) for roi in series.ids() or ()]
        place = {roi: k for k, roi in reversed(list(enumerate(ids)))}
        data = series.dataset("data") if not series.processed else None
        if data is None or not set(text["names"]) <= place.keys() or frames not in data.shape:
            continue
        alike[name] = series, series.rois[0][[place[roi] for roi in text["names"]]]
    noted = [found for name, found in alike.items() if SERIES + name in text["notes"]]
    found = noted or list(alike.values())
    if not found:
        raise DataError(
            f"{file.filename} has no series of these {len(text['names'])} ROIs with {frames} "
            "frames; give the file that the recording was read from"
        )
    return found[0]


def _free_name(container, source):
    """A name that is not taken: `SpikeRatesPlane0` of `RoiResponseSeriesPlane0`, `..._2`."""
    own = source.name.rsplit("/", 1)[-1]
    rest = re.sub("RoiResponseSeries", "", own)
    return _free(container, f"{NAME}{rest}" if rest != own else f"{NAME}_{own}")


def _free(group, name):
    number, free = 2, name
    while free in group:
        free, number = f"{name}_{number}", number + 1
    return free


def _container(file):
    """The group of the container, made where it is not there."""
    processing = resolve(file, "processing")
    processing = file.create_group("processing") if processing is None else processing
    if "ophys" not in processing:
        module = _typed(processing, "ophys", "ProcessingModule")
        module.attrs["description"] = "processed imaging data"
    module = resolve(file, "processing/ophys")
    for name in ("Fluorescence", NAME):
        if name not in module:
            return _typed(module, name, "Fluorescence")
        found = resolve(file, f"processing/ophys/{name}")
        if hasattr(found, "keys") and found.attrs.get("neurodata_type") == "Fluorescence":
            return found
    raise DataError(f"{file.filename} has no place for a container Fluorescence; rename {NAME}")


def _typed(group, name, kind, namespace="core"):
    """A new group or, with `data`, dataset of a type of NWB."""
    made = group.create_group(name)
    _as_type(made, kind, namespace)
    return made


def _as_type(item, kind, namespace):
    item.attrs.update({"namespace": namespace, "neurodata_type": kind})
    item.attrs["object_id"] = str(uuid.uuid4())


def _region(group, name, source, rows):
    """A reference to rows of the ROI table, of the same type as that of the source."""
    region = source.dataset("rois")
    made = group.create_dataset(name, data=np.asarray(rows, region.dtype))
    _as_type(made, "DynamicTableRegion", region.attrs.get("namespace", "hdmf-common"))
    made.attrs["description"] = region.attrs.get("description", "the ROIs")
    made.attrs["table"] = source.rois[1].ref


def _units(module, name, arrays, text, source, rows):
    """A table of spike times in s, a row for each neuron."""
    import h5py

    hdmf = source.dataset("rois").attrs.get("namespace", "hdmf-common")
    table = _typed(module, _free(module, name), "Units")
    table.attrs["description"] = f"spikes drawn from {name.removesuffix('Spikes')}"
    table.attrs.create("colnames", ["spike_times", "rois"], dtype=h5py.string_dtype())
    ids = table.create_dataset("id", data=np.arange(len(arrays["spike_ends"]), dtype=np.int64))
    _as_type(ids, "ElementIdentifiers", hdmf)
    times = table.create_dataset("spike_times", data=arrays["spikes"])
    _as_type(times, "VectorData", hdmf)
    times.attrs["description"] = "the spike times for each neuron in s"
    times.attrs["resolution"] = 1 / SAMPLE_RATE
    index = table.create_dataset("spike_times_index", data=arrays["spike_ends"].astype(np.uint64))
    _as_type(index, "VectorIndex", hdmf)
    index.attrs["description"] = "where each neuron's spike times end"
    index.attrs["target"] = times.ref
    _region(table, "rois", source, rows)
