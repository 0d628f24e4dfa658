"""Neurodata Without Borders: the fluorescence of a `RoiResponseSeries`.

The file is read as the HDF5 that it is, so no link is followed that leads out of it, and no library
of NWB is needed. Which series is which tell the type and the names of it and of its container, and
the ROIs it is of, as suite2p, neuroconv, CaImAn and the Allen Institute write them.
"""

import re
from dataclasses import dataclass, replace

import numpy as np

from ...errors import DataError, UsageError
from ...files.sandbox import Unreadable
from ..lazy import elementwise
from .array_names import RELATIVE, plain
from .arrays import make_recording, only_orientation
from .hdf5 import check_own, checked, resolve
from .nwb_about import about
from .pieces import ROLES
from .rois import accepted, checked_cells, corrected, scaled

SERIES = "series "
"""Begins the note that says which series a recording is of."""
OWN = "Spike rates predicted from fluorescence"
"""Begins the description of the series that are written."""
PROCESSED = (
    *("deconv", "denois", "neuropil", "baseline", "spike", "background", "event", "mask"),
    *("residual", "motion", "skew"),
)
"""Parts of the names, in lower case, of series that are no fluorescence to predict from."""
MOST_GROUPS = 5_000
LATEST = 1e11
"""s; beyond it, time stamps can no longer tell frames apart."""
CELLS = ("keep", "iscell", "is_cell", "accepted", "valid_roi")
"""Columns of the ROI table that say which are cells, in lower case; an earlier one goes first."""


def recognises(file):
    """Whether an open HDF5 file is NWB."""
    return "nwb_version" in file.attrs or "nwb_version" in file


@dataclass
class Series:
    """A series in the file: `ophys/DfOverF/RoiResponseSeries`, its group, its type."""

    name: str
    group: object
    kind: str
    container: str

    @property
    def processed(self):
        """Whether its name, or its container's, says that it is no fluorescence."""
        names = "/".join(self.name.split("/")[1:]).lower()
        description = _text(self.group.attrs.get("description", ""))
        return any(part in names for part in PROCESSED) or description.startswith(OWN)

    @property
    def relative(self):
        """Whether it is dF/F."""
        own = (plain(part) for part in self.name.split("/")[1:])
        return self.container == "DfOverF" or any(part in RELATIVE for part in own)

    @property
    def place(self):
        """What its name has besides words for what it is: `Plane0` of `NeuropilPlane0`."""
        words = r"roi|response|series|fluorescence|neuropil|traces?|corrected|raw|dff|deconvolved"
        return re.sub(words, "", self.name.rsplit("/", 1)[-1].lower())

    def dataset(self, name):
        """One of its datasets, never outside the file; None if there is none."""
        return inside(self.group, name)

    @property
    def rois(self):
        """Rows of the ROI table, and the table's group; None, None where it has none."""
        region = self.dataset("rois")
        if region is None or "table" not in region.attrs:
            return None, None
        rows = np.asarray(checked(region, f"{self.name}/rois")[()], np.int64)
        return rows, self.group.file[region.attrs["table"]]

    def ids(self):
        """Numbers of the ROIs in their table; their places in the series if ambiguous."""
        rows, table = self.rois
        if rows is None:
            return None
        column = inside(table, "id")
        if column is None:
            column = np.arange(rows.max(initial=-1) + 1)
        ids = column[()]
        if rows.size and not 0 <= rows.min() <= rows.max() < len(ids):
            raise Unreadable(f"{self.name} is of ROIs that the table does not have")
        found = [int(number) for number in np.asarray(ids)[rows]]
        return found if len(set(found)) == len(found) else list(range(len(found)))


def inside(group, name):
    """A member of a group, never outside the file; None if there is none.

    Raises
    ------
    Unreadable
        If it is, or takes its values from, another file.
    """
    item = resolve(group.file, f"{group.name}/{name}")
    if hasattr(item, "shape"):
        check_own(item, f"{group.name}/{name}")
    return item


def _text(value):
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def all_series(file):
    """All series of traces in an open file, by name: of ROIs, and time series of dF/F."""
    found, visited = {}, []

    def visit(group, path, depth, container):
        visited.append(path)
        if len(visited) > MOST_GROUPS:
            raise DataError(f"{file.filename} links its groups to one another too often")
        if depth > 8:
            return
        for key in sorted(group):
            try:
                item = resolve(file, f"{group.name}/{key}")
            except Unreadable:
                continue  # a link to another file, such as a movie
            kind = _text(item.attrs.get("neurodata_type", "")) if item is not None else ""
            if kind in ("RoiResponseSeries", "TimeSeries") and hasattr(item, "keys"):
                name = f"{path}/{key}".lstrip("/")
                found[name] = Series(name, item, kind, container)
            elif hasattr(item, "keys") and kind not in ("PlaneSegmentation", "DynamicTable"):
                visit(item, f"{path}/{key}", depth + 1, kind or container)

    for top in ("processing", "analysis", "acquisition", "scratch"):
        try:
            group = resolve(file, top)
        except Unreadable:
            continue
        if hasattr(group, "keys"):
            visit(group, "" if top == "processing" else f"/{top}", 0, "")
    return found


def parse_hdf5(file, variable):
    """Child: traces, time stamps, ROI numbers and what is to be added or subtracted."""
    if "nwb_version" in file and "nwb_version" not in file.attrs:
        raise DataError(
            f"{file.filename} is NWB of version 1, which is another format; convert it to NWB 2, "
            "or save its traces as .npy, neurons x frames"
        )
    every = all_series(file)
    series = choose(file.filename, every, variable)
    data = series.dataset("data")
    yield "name", series.name
    yield "relative", series.relative
    yield "unit", _text(data.attrs.get("unit", "")) if data is not None else ""
    yield "gain", _gain(data)
    yield "rois", series.ids()
    yield "about", about(series)
    start = series.dataset("starting_time")
    if start is not None:
        yield "start", [float(start[()]), float(start.attrs.get("rate", 0))]
    times = series.dataset("timestamps")
    if times is not None:
        yield "times", np.asarray(checked(times, f"{series.name}/timestamps")[()], np.float64)
    for role, other in companions(every, series).items():
        yield f"{role} name", other.name
        yield f"{role} gain", _gain(other.dataset("data"))
        yield role, checked(other.dataset("data"), other.name)
    for name, cells in _cells(series):
        yield "cells name", name
        yield "cells", cells
    yield "traces", checked(data, series.name)


def _gain(data):
    """Factor and offset that turn stored values into those of the unit."""
    attributes = {} if data is None else data.attrs
    return [float(attributes.get("conversion", 1.0)), float(attributes.get("offset", 0.0))]


def choose(path, series, variable):
    """The series that is named; else the only one of dF/F; else the only one of fluorescence."""
    listed = ", ".join(series) or "none"
    if variable is not None:
        named = [name for name in series if f"/{name}".endswith(f"/{variable}")]
        if len(named) != 1:
            raise UsageError(
                f"{path} has not one series {variable}; choose from {listed} (--variable)"
            )
        if series[named[0]].processed:
            raise DataError(f"{path}: {variable} is processed already; give the fluorescence")
        return series[named[0]]
    raw = [each for each in series.values() if not each.processed]
    of_rois = [each for each in raw if each.kind == "RoiResponseSeries"]
    relative = [each for each in of_rois if each.relative]
    corrected_ones = [each for each in of_rois if "corrected" in each.name.lower()]
    plain_ones = [each for each in raw if each.kind == "TimeSeries" and each.relative]
    possible = relative or corrected_ones or of_rois or plain_ones
    if not possible:
        raise DataError(
            f"{path} has no RoiResponseSeries of fluorescence (it has {listed}); extract the traces"
        )
    if len(possible) > 1:
        names = ", ".join(each.name for each in possible)
        raise UsageError(f"{path} has several series; name the variable (--variable): {names}")
    return possible[0]


def companions(every, series):
    """What belongs to a series: `neuropil` to subtract, `residuals` to add, both of its shape."""
    found = {}
    shape = series.dataset("data").shape
    module = series.name.split("/")[0]
    for name, other in every.items():
        data = None
        if name.split("/")[0] != module or other is series:
            continue
        try:
            data = other.dataset("data")
        except Unreadable:
            continue
        if getattr(data, "shape", None) != shape or not shape:
            continue
        words = "/".join(name.split("/")[1:]).lower()
        if "residual" in words and not series.relative:
            found["residuals"] = other
        same_rois = series.rois[0] is None or np.array_equal(other.rois[0], series.rois[0])
        wanted = not series.relative and "corrected" not in series.name.lower()
        near = other.place == series.place
        if "neuropil" in words and wanted and near and same_rois:
            found["neuropil"] = other
    background = any("background" in name.lower() for name in every)
    if (
        background
        and "residuals" not in found
        and not series.relative
        and (series.name.endswith("/RoiResponseSeries") and "CaImAn" in _session(series))
    ):
        raise DataError(
            f"{series.group.file.filename}: CaImAn's {series.name} is denoised already, and its "
            "residuals are not there; save them too, or give F_dff"
        )
    return found


def _session(series):
    value = inside(series.group.file, "session_description")
    return _text(value[()]) if value is not None and value.shape == () else ""


def _cells(series):
    """The column that says which ROIs are cells, one number for each of the series: at most one."""
    rows, table = series.rois
    if rows is None:
        return
    columns = {key.lower(): key for key in table}
    for name in CELLS:
        column = inside(table, columns[name]) if name in columns else None
        if column is None or column.dtype.kind not in "fiub" or not column.shape:
            continue
        values = np.asarray(checked(column, columns[name])[()])[rows]
        values = values if values.ndim == 1 else values[:, 0]
        rejected = inside(table, columns["rejected"]) if "rejected" in columns else None
        if (
            name == "accepted"
            and not values.any()
            and (rejected is None or not np.asarray(rejected[()]).any())
        ):
            continue  # nobody has classified
        yield columns[name], values.astype(np.int64)
        return


def recording(path, values, options):
    """The recording of what `parse_hdf5` yielded."""
    for role in set(ROLES) & values.keys():
        if values[role].ndim == 1:
            values[role] = values[role][:, None]
    traces, rois, name = values["traces"], values["rois"], values["name"]
    rois = list(range(min(traces.shape))) if rois is None and traces.ndim == 2 else rois
    if traces.ndim != 2 or len(rois) not in traces.shape:
        raise DataError(
            f"{path}: {name} has shape {traces.shape}, but {len(rois or ())} ROIs; correct it"
        )
    notes, told = [SERIES + name], values["about"]
    if told:
        notes.append("the file says: " + ", ".join(f"{k} {v}" for k, v in told.items()))
    orientation = "time-neuron" if traces.shape[1] == len(rois) else "neuron-time"
    if orientation == "neuron-time":
        notes.append(f"{name} is ROI x time in the file, against NWB's rule")
    if traces.shape[0] != traces.shape[1]:
        only_orientation(path, options.orientation, orientation)
    unit = "dF/F" if values["relative"] else "F"
    gain, offset = values["gain"]
    if unit == "dF/F" and values["unit"].lower() in ("%", "percent"):
        gain, offset = gain / 100, offset / 100
        notes.append("dF/F in percent, divided by 100")
    traces = scaled(traces, (gain, offset))
    if "residuals" in values:
        residuals = scaled(values["residuals"], values["residuals gain"])
        traces = elementwise(np.add, traces, residuals)
        notes.append(f"{name} + {values['residuals name']}")
    start, rate = values.get("start", (0.0, None))
    if not abs(start) < LATEST:
        notes.append(f"the file tells a start at {start:g} s: not used")
        start = 0.0
    if rate is not None and not rate > 0:
        notes.append(f"the file tells a frame rate of {rate:g} Hz: not used")
        rate = None
    turned = orientation == "time-neuron"
    table = traces.T if turned else traces
    kept, left_out = checked_cells(
        path,
        accepted(path, values["cells"], len(rois)) if "cells" in values else None,
        len(rois),
        values.get("cells name", "the ROI table"),
        "ROIs",
        options.all_rois,
    )
    if (neuropil := values.get("neuropil")) is not None:
        neuropil = scaled(neuropil, values["neuropil gain"])
        neuropil = neuropil.T if turned else neuropil
    table, more = corrected(
        path, table, neuropil, options.neuropil_share(), kept, options.frame_rate or rate,
        values.get("neuropil name", "").rsplit("/", 1)[-1],
    )  # fmt: skip
    if "cells" in values or neuropil is not None:
        notes.append(f"{kept.size} of {len(rois)} ROIs")
    made = make_recording(
        path,
        table.T if turned else table,
        options,
        times=values.get("times"),
        file_rate=rate,
        orientation=orientation,
        usual_orientation="time-neuron",
        names=[str(rois[k]) for k in kept],
        unit=unit,
        notes=[*notes, *left_out, *more],
    )
    if start and "times" not in values:
        made.times[:] += start
    return replace(made, about=told)
