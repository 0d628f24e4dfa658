"""Predictions into NWB, beside the series that they were made from.

NWB has no type for spike rates. As neuroconv does, they become a `RoiResponseSeries` in a container
`Fluorescence`, of the same ROIs as the fluorescence; discrete spikes become a table of `Units`.
They are added as HDF5, so that whatever else the file holds, its version of NWB included, stays as
the program that wrote it knows it. The sandbox may crash on damaged files and full disks. Of
suite2p's folders a file is made first, by NWB's own library, that holds their fluorescence.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...arrays import Array, Numbers
from ...constants import SAMPLE_RATE
from ...errors import DataError, OutputError, SpikefinderError, UsageError
from ...files.atomic import check_output, open_ordinary, partial_folder, whole_file
from ...files.hdf5 import SIGNATURE, resolve
from ...files.sandbox import parse, require, sandboxed
from ..recording import CHUNK, NOT_STATED, Prediction
from .hdf5 import Hdf5File, open_file
from .nwb import OWN, SERIES, all_series, data_of, is_version_2, region_of, roi_ids, table_columns
from .pickled import read_pixels
from .suite2p import named_planes, planes_of
from .writers import described, text_of

if TYPE_CHECKING:  # the library is imported in the sandbox
    import h5py

NAME = "SpikeRates"
"""Begins the name of a written series; the rest is of the series that it was made from."""
CONTAINER = "processing/ophys/Fluorescence"
"""Where the series are written to, as neuroconv does."""


def check(path: Path, source: Path | str | None, series: str | None = None) -> None:
    """Find out before a long computation whether a prediction can be written to an NWB file."""
    check_output(path)
    if source is not None and planes_of(source):
        require("pynwb", f"{path}, of a recording that is no NWB file, is written", "nwb")
        _check_name(series)
        list(_pixels(Path(source), ()))  # damaged ones are said now
        return
    target, start = None, b""
    if source is not None:
        with suppress(OSError), open_ordinary(source) as file:
            start = file.read(len(SIGNATURE))
    if source is not None and start == SIGNATURE:
        target = open_file(Path(source), CHUNK)
    # The signature alone would do for any HDF5 file, such as CaImAn's.
    if target is None or not is_version_2(target):
        raise OutputError(
            f"{path} needs an NWB file as its source, and {source} is none; choose another "
            "suffix, such as .npz"
        )
    _check_name(series)
    if series in target.members.get(target.find(CONTAINER) or CONTAINER, ()):
        raise UsageError(f"{source} has a series {series} already; give another name (--series)")


def _check_name(series: str | None) -> None:
    if series is not None and not re.fullmatch(r"[^/:]+", series):
        raise UsageError(f"{series!r} cannot be the name of a series; leave out / and :")


def write(path: Path, prediction: Prediction, source: Path | str, series: str | None) -> None:
    """Add the rates to a copy of `source`, which then becomes `path`, and may replace `source`; or
    to a new file, of suite2p's folder. The comments of the series hold the description as JSON."""
    description = described(prediction)
    listed = "; ".join(f"{key}: {value}" for key, value in description.items())
    text = {
        "name": series,
        "unit": str(description.get("unit", "a.u.")),
        "description": f"{OWN}. {listed}",
        "comments": text_of(description),
        "frame_rate": float(prediction.recording.frame_rate),
    }
    arrays = {"rates": np.asarray(prediction.table, np.float32), "times": prediction.times}
    if (each := prediction.spike_times) is not None:
        arrays["spikes"] = np.concatenate([np.empty(0), *each])
        arrays["spike_ends"] = np.cumsum([len(times) for times in each]).astype(np.int64)
    with whole_file(path) as temporary, partial_folder(path) as folder:
        try:
            if planes_of(source):
                found, rows = _new_file(temporary, prediction, Path(source))
            else:
                shutil.copyfile(source, temporary)
                found, rows = _source(open_file(temporary, CHUNK), prediction)
            text |= found
            # Arrays go by files: what a sandbox is asked for is an argument of a command.
            for name, array in (arrays | {"rows": rows}).items():
                np.save(Path(folder, f"{name}.npy"), array)
            parse(_append, temporary, folder, text, libraries=["h5py"], writes=True)
        except SpikefinderError as error:
            reason = str(error).replace(str(temporary), str(source))
            raise OutputError(f"cannot write {path}: {reason}") from None


def _new_file(path: Path, prediction: Prediction, source: Path) -> tuple[dict[str, str], Numbers]:
    """Make an NWB file of a recording that was read from suite2p's folder; returns as `_source`."""
    import pynwb
    from pynwb import ophys

    recording = prediction.recording
    if Path(recording.source).resolve() != source.resolve():
        raise DataError(f"{source} is not what was predicted, which is {recording.source}")
    # suite2p does not know it, and NWB cannot do without.
    changed = planes_of(source)[0].joinpath("F.npy").stat().st_mtime
    file = pynwb.NWBFile(
        session_description=f"{source.name}, as suite2p found it; when the session began is not "
        "known: the time is that of its last file",
        identifier=str(uuid.uuid4()),
        session_start_time=datetime.fromtimestamp(changed, UTC),
    )
    indicator = str(prediction.description.get("indicator", NOT_STATED)).partition(",")[0]
    indicator = "unknown" if indicator == NOT_STATED else indicator
    plane = file.create_imaging_plane(
        name="ImagingPlane",
        optical_channel=ophys.OpticalChannel(
            name="OpticalChannel", description="unknown", emission_lambda=float("nan")
        ),
        description="all planes of the recording" if "-" in recording.names[0] else "unknown",
        device=file.create_device(name="Microscope"),
        excitation_lambda=float("nan"),
        imaging_rate=recording.frame_rate,
        indicator=indicator,
        location="unknown",
    )
    module = file.create_processing_module(name="ophys", description="processed imaging data")
    segmentation = ophys.ImageSegmentation()
    module.add(segmentation)
    table = segmentation.create_plane_segmentation(
        description="suite2p's cells", imaging_plane=plane, name="PlaneSegmentation"
    )
    table.add_column(name="roi_name", description="suite2p's plane and number")
    for number, (name, pixels) in enumerate(_pixels(source, recording.names)):
        number = int(name) if name.isdigit() else number
        table.add_roi(id=number, roi_name=name, pixel_mask=[tuple(each) for each in pixels])
    region = table.create_roi_table_region(
        description="the ROIs", region=list(range(len(recording.names)))
    )
    fluorescence = ophys.Fluorescence()
    module.add(fluorescence)
    regular = len(recording.segments) == 1
    fluorescence.create_roi_response_series(
        name="RoiResponseSeries",
        data=np.asarray(recording.traces, np.float32),
        rois=region,
        unit="a.u.",
        description="; ".join(recording.notes) or "no description",
        timestamps=None if regular else recording.times,
        **({"rate": recording.frame_rate, "starting_time": recording.times[0]} if regular else {}),
    )
    with pynwb.NWBHDF5IO(path, "w") as output:
        output.write(file)
    places = {
        "series": f"{CONTAINER}/RoiResponseSeries",
        "series name": "RoiResponseSeries",
        "table": "processing/ophys/ImageSegmentation/PlaneSegmentation",
    }
    return places, np.arange(len(recording.names))


def _pixels(source: Path, names: Sequence[str]) -> Iterator[tuple[str, Array]]:
    """Names of ROIs with their pixels; one without weight where suite2p's folder tells none, as
    NWB's library takes no empty mask."""
    known: dict[str, Array] = {}
    for plane, prefix in named_planes(source):
        if (plane / "stat.npy").is_file():
            rois = enumerate(read_pixels(plane / "stat.npy"))
            known |= {f"{prefix}{roi}": pixels for roi, pixels in rois}
    for name in names:
        yield name, known.get(name, np.zeros((1, 3)))


def _source(file: Hdf5File, prediction: Prediction) -> tuple[dict[str, str], Numbers]:
    """The series that the rates were made from: the one that the recording notes, else the first
    with these ROIs and as many frames. Its name, where it and its ROI table stand, and the rows of
    that table that the rates are of."""
    names, frames = list(prediction.names), len(prediction.times)
    labels: dict[str, str] = {}
    alike = []
    for series in all_series(file).values():
        region, table = region_of(file, series)
        if region is None or series.is_processed or file.find(f"{series.path}/data") is None:
            continue
        if frames in file.arrays[data_of(file, series)].shape:
            ids = table_columns(file, table).get("id")
            alike.append((series, region, str(table), ids))
            labels |= {region: f"{series.name}/rois"} | ({} if ids is None else {ids: "id"})
    values = file.read(labels)
    found = {}
    for series, region, table, ids in alike:
        rows = np.asarray(values[region], np.int64)
        column = None if ids is None else np.asarray(values[ids])
        # By name, as the recording may have been read without the ROIs that are no cells.
        rois = [str(roi) for roi in roi_ids(file, series, rows, column)]
        order = {roi: k for k, roi in reversed(list(enumerate(rois)))}
        if set(names) <= order.keys():
            text = {"series": series.path, "series name": series.name, "table": table}
            found[series.name] = text, rows[[order[roi] for roi in names]]
    if not found:
        raise DataError(
            f"{file.path} has no series of these {len(names)} ROIs with {frames} "
            "frames; give the file that the recording was read from"
        )
    # Two planes may have the same ROIs and frames; the recording knows which it was.
    noted = [name for name in found if SERIES + name in prediction.recording.notes]
    return found[noted[0]] if noted else next(iter(found.values()))


@sandboxed
def _append(path: str, folder: str, text: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    import h5py

    arrays = {
        file.stem: np.load(file, mmap_mode="r", allow_pickle=False)
        for file in Path(folder).glob("*.npy")
    }
    with h5py.File(path, "r+") as file:
        source = resolve(file, text["series"])
        container = _container(file)
        # `SpikeRatesPlane0` of `RoiResponseSeriesPlane0`, `SpikeRates_F` of `F`.
        own = text["series name"].rsplit("/", 1)[-1]
        rest = own.replace("RoiResponseSeries", "") if "RoiResponseSeries" in own else f"_{own}"
        name = text["name"] or _free(container, f"{NAME}{rest}")
        made = _group(container, name, "RoiResponseSeries", text["description"])
        made.attrs["comments"] = text["comments"]
        data = made.create_dataset("data", data=arrays["rates"])
        data.attrs.update({"unit": text["unit"], "conversion": 1.0, "resolution": -1.0})
        data.attrs.update({"offset": 0.0, "continuity": "instantaneous"})
        region, table = resolve(file, f"{source.name}/rois"), resolve(file, text["table"])
        _region(made, region, table, arrays["rows"])
        # Time is told as the source tells it.
        if resolve(file, f"{source.name}/timestamps") is None:
            start = made.create_dataset("starting_time", data=float(arrays["times"][0]))
            start.attrs.update({"rate": text["frame_rate"], "unit": "seconds"})
        else:
            times = made.create_dataset("timestamps", data=arrays["times"])
            times.attrs.update({"interval": np.int32(1), "unit": "seconds"})
        # Units are no part of a series; they stand beside the container.
        if "spikes" in arrays:
            units = _units(container.parent, f"{name}Spikes", arrays, region)
            _region(units, region, table, arrays["rows"])
    yield "name", name


def _free(group: h5py.Group, name: str) -> str:
    """A name that is not taken."""
    number, free = 2, name
    while free in group:
        free, number = f"{name}_{number}", number + 1
    return free


def _container(file: h5py.File) -> h5py.Group:
    """The group of the container, made where it is not there."""
    import h5py

    processing = resolve(file, "processing")
    processing = file.create_group("processing") if processing is None else processing
    if "ophys" not in processing:  # the series stands in another module
        _group(processing, "ophys", "ProcessingModule", "processed imaging data")
    module = resolve(file, "processing/ophys")
    for name in (CONTAINER.rsplit("/", 1)[-1], NAME):
        if name not in module:
            return _group(module, name, "Fluorescence")
        found = resolve(file, f"processing/ophys/{name}")
        if isinstance(found, h5py.Group) and found.attrs.get("neurodata_type") == "Fluorescence":
            return found
    raise DataError(f"{file.filename} has no place for a container Fluorescence; rename {NAME}")


def _group(group: h5py.Group, name: str, kind: str, description: str | None = None) -> h5py.Group:
    made = group.create_group(name)
    _as_type(made, kind, "core", description)
    return made


def _as_type(
    item: h5py.Group | h5py.Dataset, kind: str, namespace: str, description: str | None = None
) -> None:
    item.attrs.update({"namespace": namespace, "neurodata_type": kind})
    item.attrs["object_id"] = str(uuid.uuid4())
    if description is not None:
        item.attrs["description"] = description


def _region(group: h5py.Group, like: h5py.Dataset, table: h5py.Group, rows: Numbers) -> None:
    """A reference to rows of the ROI table, of the same type as that of the source."""
    made = group.create_dataset("rois", data=np.asarray(rows, like.dtype))
    description = like.attrs.get("description", "the ROIs")
    _as_type(made, "DynamicTableRegion", like.attrs.get("namespace", "hdmf-common"), description)
    made.attrs["table"] = table.ref


def _units(
    module: h5py.Group, name: str, arrays: Mapping[str, Array], like: h5py.Dataset
) -> h5py.Group:
    """A table of spike times in s, a row for each neuron."""
    import h5py

    hdmf = like.attrs.get("namespace", "hdmf-common")
    description = f"spikes drawn from {name.removesuffix('Spikes')}"
    table = _group(module, _free(module, name), "Units", description)
    # HDF5 has no type for numpy's own text.
    table.attrs.create("colnames", ["spike_times", "rois"], dtype=h5py.string_dtype())
    ids = table.create_dataset("id", data=np.arange(len(arrays["spike_ends"]), dtype=np.int64))
    _as_type(ids, "ElementIdentifiers", hdmf)
    times = table.create_dataset("spike_times", data=arrays["spikes"])
    _as_type(times, "VectorData", hdmf, "the spike times for each neuron in s")
    times.attrs["resolution"] = 1 / SAMPLE_RATE
    index = table.create_dataset("spike_times_index", data=arrays["spike_ends"].astype(np.uint64))
    _as_type(index, "VectorIndex", hdmf, "where each neuron's spike times end")
    index.attrs["target"] = times.ref
    return table
