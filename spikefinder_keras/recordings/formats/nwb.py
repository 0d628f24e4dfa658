"""Neurodata Without Borders: fluorescence of a `RoiResponseSeries`, and predictions beside it.

NWB has no type for spike rates. As neuroconv does, they become a `RoiResponseSeries` called
`Deconvolved` in the `Fluorescence` container, of the same ROIs as the fluorescence. Everything runs
in child processes, as the HDF5 library crashes on damaged files and on full disks.
"""

import importlib.util
import shutil
import tempfile
from pathlib import Path

import numpy as np

from ...errors import DataError, OutputError, SpikefinderError, UsageError
from ...files.child import parse, require
from ...files.hdf5_arrays import SIGNATURE
from ...files.whole_files import check_output, whole_file
from .arrays import make_recording, only_orientation
from .description import described, text_of
from .hdf5 import check_structure, checked

SERIES = "series "
"""Begins the note that says which series a recording is of."""
WRITTEN = "Deconvolved"
PROCESSED = ("deconv", "denois", "neuropil", "baseline", "spike", "background")
"""Parts of the names, in lower case, of series that are no fluorescence to predict from."""


def recognises(file):
    """Whether an open HDF5 file is NWB."""
    return "nwb_version" in file.attrs


def libraries():
    """What reading needs, as far as it is installed."""
    return ["pynwb"] if importlib.util.find_spec("pynwb") else []


def parse_hdf5(file, variable):
    """Child: traces, time stamps and ROI numbers of a series."""
    if not libraries():
        return  # which `recording` says
    import pynwb

    with pynwb.NWBHDF5IO(file=file, mode="r", load_namespaces=True) as source:
        series = _choose(file.filename, _all_series(source.read()), variable)
        data = checked(series.data, _name(series))
        yield "name", _name(series)
        yield "container", type(series.parent).__name__
        yield "unit", str(series.unit)
        yield "gain", [float(series.conversion), float(series.offset or 0)]
        yield "rois", _roi_ids(series)
        yield "start", [float(series.starting_time or 0), series.rate and float(series.rate)]
        if series.rate is None:
            yield "times", np.asarray(series.timestamps[:], np.float64)
        yield "traces", data


def _all_series(nwbfile):
    import pynwb

    found = [o for o in nwbfile.objects.values() if isinstance(o, pynwb.ophys.RoiResponseSeries)]
    return {_name(series): series for series in sorted(found, key=_name)}


def _name(series):
    """`ophys/DfOverF/RoiResponseSeries`, its place in the file without `processing`."""
    parts = [series.name]
    while (series := series.parent) is not None and series.parent is not None:
        parts.insert(0, series.name)
    return "/".join(parts)


def _choose(path, series, variable):
    """The series that is named; else the only one of dF/F; else the only one of fluorescence."""
    listed = ", ".join(series) or "none"
    if variable is not None:
        named = [name for name in series if f"/{name}".endswith(f"/{variable}")]
        if len(named) != 1:
            raise UsageError(f"{path} has not one series {variable}; choose from {listed}")
        if _processed(named[0]):
            raise DataError(f"{path}: {variable} is processed already; give the fluorescence")
        return series[named[0]]
    raw = {name: each for name, each in series.items() if not _processed(name)}
    relative = {n: each for n, each in raw.items() if type(each.parent).__name__ == "DfOverF"}
    possible = relative or raw
    if not possible:
        raise DataError(
            f"{path} has no RoiResponseSeries of fluorescence (it has {listed}); extract the traces"
        )
    if len(possible) > 1:
        raise UsageError(f"{path} has several series; name the variable: {', '.join(possible)}")
    return next(iter(possible.values()))


def _processed(name):
    return any(part in name.rsplit("/", 1)[-1].lower() for part in PROCESSED)


def _roi_ids(series):
    """Numbers of the ROIs in their table; their places in the series if these are ambiguous."""
    ids = [int(number) for number in np.asarray(series.rois.table.id[:])[series.rois.data[:]]]
    return ids if len(set(ids)) == len(ids) else list(range(len(ids)))


def recording(path, values, options):
    """The recording of what `parse_hdf5` yielded."""
    require("pynwb", "reading NWB", "nwb")
    traces, rois = values["traces"], values["rois"]
    traces = traces[:, None] if traces.ndim == 1 else traces
    if traces.ndim != 2 or len(rois) not in traces.shape:
        raise DataError(
            f"{path}: {values['name']} has shape {traces.shape}, but {len(rois)} ROIs; correct it"
        )
    notes = [SERIES + values["name"]]
    orientation = "time-neuron" if traces.shape[1] == len(rois) else "neuron-time"
    if orientation == "neuron-time":
        notes.append(f"{values['name']} is ROI x time in the file, against NWB's rule")
    if traces.shape[0] != traces.shape[1]:
        only_orientation(path, options.orientation, orientation)
    gain, offset = values["gain"]
    unit = "dF/F" if values["container"] == "DfOverF" else "F"
    if unit == "dF/F" and values["unit"].lower() in ("%", "percent"):
        gain, offset = gain / 100, offset / 100
        notes.append("dF/F in percent, divided by 100")
    if (gain, offset) != (1, 0):
        dtype = np.result_type(traces.dtype, np.float32).type
        traces = traces * dtype(gain) + dtype(offset)
    start, rate = values["start"]
    times = values.get("times")
    made = make_recording(
        path,
        traces,
        options,
        times=times,
        file_rate=rate,
        orientation=orientation,
        usual_orientation="time-neuron",
        names=rois,
        unit=unit,
        notes=notes,
    )
    if start and times is None:
        made.times[:] += start
    return made


# Writing


def check(path, source):
    """Find out before a long computation whether a prediction can be written to an NWB file.

    Raises
    ------
    DataError
        If `source` is damaged, or leads to other files.
    OutputError
        If `source` is no NWB file, or has a `Deconvolved` series already.
    UsageError
        If pynwb is not installed.
    """
    require("pynwb", "writing NWB", "nwb")
    check_output(path)
    no_source = OutputError(
        f"{path} needs an NWB file as its source, and {source} is none; choose another suffix, "
        "such as .npz"
    )
    try:
        with Path(source).open("rb") as file:
            if file.read(len(SIGNATURE)) != SIGNATURE:
                raise no_source
    except OSError:
        raise no_source from None
    state = parse(_parse_target, source, libraries=["h5py"])["state"]
    if state == "other":
        raise no_source
    if state == WRITTEN:
        raise OutputError(
            f"{source} has a series {WRITTEN} already; remove it, or choose another suffix"
        )


def _parse_target(path):
    """Child: whether an HDF5 file can take a `Deconvolved` series."""
    import h5py

    with h5py.File(path, "r") as file:
        check_structure(file)
        taken = f"processing/ophys/Fluorescence/{WRITTEN}" in file
        yield "state", "other" if not recognises(file) else WRITTEN if taken else "free"


def write(path, prediction, source):
    """Add the rates to a copy of `source`, which then becomes `path`, and may replace `source`.

    Discrete spikes are left out. The comments of the series hold the description as JSON.
    """
    check(path, source)
    with whole_file(path) as temporary, tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(source, temporary)
        rates = Path(folder, "rates.npy")
        times = Path(folder, "times.npy")
        np.save(rates, np.asarray(prediction.rates, np.float32))
        np.save(times, np.asarray(prediction.times))
        description = described(prediction)
        unit = str(description.get("unit", "a.u."))
        arguments = [str(rates), str(times), float(prediction.recording.frame_rate)]
        try:
            parse(
                _append,
                temporary,
                *arguments,
                list(prediction.names),
                list(prediction.recording.notes),
                unit,
                _sentence(description),
                text_of(description),
                libraries=["pynwb"],
                writes=True,
            )
        except SpikefinderError as error:
            reason = str(error).replace(str(temporary), str(source))
            raise OutputError(f"cannot write {path}: {reason}") from None


def _sentence(description):
    return "Spike rates predicted from fluorescence. " + "; ".join(
        f"{key}: {value}" for key, value in description.items()
    )


def _append(path, rates, times, frame_rate, names, notes, unit, description, comments):
    """Child: add the series to the file itself."""
    import pynwb

    rates, times = np.load(rates, mmap_mode="r"), np.load(times)
    with pynwb.NWBHDF5IO(path, mode="a", load_namespaces=True) as file:
        nwbfile = file.read()
        alike = {
            name: series
            for name, series in _all_series(nwbfile).items()
            if not _processed(name)
            and [str(roi) for roi in _roi_ids(series)] == names
            and len(times) in series.data.shape
        }
        if not alike:
            raise DataError(
                f"{path} has no series of these {len(names)} ROIs with {len(times)} frames; give "
                "the file that the recording was read from"
            )
        # Two planes may number their ROIs alike.
        noted = [series for name, series in alike.items() if SERIES + name in notes]
        source = (noted or list(alike.values()))[0]
        if "ophys" not in nwbfile.processing:
            nwbfile.create_processing_module("ophys", "processed imaging data")
        ophys = nwbfile.processing["ophys"]
        if "Fluorescence" not in ophys.data_interfaces:
            ophys.add(pynwb.ophys.Fluorescence(name="Fluorescence"))
        timing = (
            {"timestamps": times}
            if source.rate is None
            else {"rate": frame_rate, "starting_time": float(times[0])}
        )
        ophys["Fluorescence"].add_roi_response_series(
            pynwb.ophys.RoiResponseSeries(
                name=WRITTEN,
                data=rates,
                rois=source.rois,
                unit=unit,
                description=description,
                comments=comments,
                **timing,
            )
        )
        file.write(nwbfile)
    yield "written", True
