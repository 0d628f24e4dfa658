"""The layout of Neurodata Without Borders: the fluorescence of a `RoiResponseSeries`.

The file is read as the HDF5 that it is, so no link is followed that leads out of it, and no library
of NWB is needed. Which series is which tell the type and the names of it and of its container, and
the ROIs it is of, as suite2p, neuroconv, CaImAn and the Allen Institute write them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

import numpy as np

from ...arrays import Array, Numbers
from ...errors import DataError, UsageError
from ...labels import NEUROPIL, RELATIVE
from ..objects import times_in
from ..options import ReadOptions
from ..recording import AnyTable, LazyTable, Recording, elementwise
from .container import Scalar, plain
from .facts import Facts, make_recording, only_orientation
from .hdf5 import Hdf5File
from .rois import Kept, Neuropil, accepted, corrected, scaled

SERIES = "series "
"""Begins the note that says which series a recording is of."""
PHOTOMETRY = "photometry"
"""What is read as such: a column for each fibre, which sees many cells at once."""
OWN = "Spike rates predicted from fluorescence"
"""Begins the description of the series that are written."""
PROCESSED = re.compile(
    "deconv|denois|neuropil|baseline|spike|background|event|mask|residual|motion|skew"
)
"""Parts of the names, in lower case, of series that are no fluorescence to predict from."""
MOST_GROUPS = 5_000
"""More groups are visited only where they link to one another."""
DEEPEST = 8
"""Groups around a series; the standard has three or four."""
LATEST = 1e11
"""s; beyond it, time stamps can no longer tell frames apart."""
CELLS = ("keep", "iscell", "is_cell", "accepted", "valid_roi")
"""Columns of the ROI table that say which are cells, in lower case; an earlier one goes first."""
COMPANIONS = {"residuals": "residual", "neuropil": "neuropil"}
"""What may have to be added to or subtracted from a series, and how names call it."""
UNKNOWN = ("", "unknown", "none", "n/a", "na", "unspecified")
"""What people write for an indicator or species that they do not state."""
LONGEST_NAME = 100
"""Letters of an indicator or species."""


def recognises(file: Hdf5File) -> bool:
    return is_version_2(file) or "nwb_version" in file.members.get("", ())


def is_version_2(file: Hdf5File) -> bool:
    """Whether an HDF5 file is NWB of the version that is written, too."""
    return "nwb_version" in file.objects[""].attributes


@dataclass(frozen=True)
class Series:
    """A series such as `ophys/DfOverF/RoiResponseSeries`: what it is read as (see `_read_as`), the
    type of its container, empty where that is a folder alone, where it stands in the file, its
    description, and its own type."""

    name: str
    kind: str
    container: str
    path: str = ""
    description: str = ""
    type_name: str = ""

    @property
    def is_processed(self) -> bool:
        """Whether its name, or its container's, says that it is no fluorescence."""
        names = "/".join(self.name.split("/")[1:]).lower()
        around = plain(self.name.rpartition("/")[2]) in NEUROPIL
        return bool(PROCESSED.search(names)) or around or self.description.startswith(OWN)

    @property
    def is_relative(self) -> bool:
        parts = (plain(part) for part in self.name.split("/")[1:])
        return self.container == "DfOverF" or any(part in RELATIVE for part in parts)

    @property
    def where(self) -> str:
        """What its name has besides words for what it is: `plane0` of `NeuropilPlane0`."""
        words = r"roi|response|series|fluorescence|neuropil|traces?|corrected|raw|dff|deconvolved"
        return re.sub(words, "", self.name.rsplit("/", 1)[-1].lower())


def all_series(file: Hdf5File) -> dict[str, Series]:
    """All series of traces in a file, by name: of ROIs, and time series of dF/F."""
    found: dict[str, Series] = {}
    visits = count(1)

    def visit(group: str, path: str, depth: int, container: str) -> None:
        if next(visits) > MOST_GROUPS:
            raise DataError(f"{file.path} links its groups to one another too often")
        if depth > DEEPEST:
            return
        for key in sorted(file.members.get(group, ())):
            item = _group(file, f"{group}/{key}")
            if item is None:
                continue
            attributes = file.groups[item].attributes
            kind = _as_text(attributes.get("neurodata_type"))
            read_as = _read_as(file, item)
            if read_as:
                name = f"{path}/{key}".lstrip("/")
                description = _as_text(attributes.get("description"))
                found[name] = Series(name, read_as, container, item, description, kind)
            elif kind not in ("PlaneSegmentation", "DynamicTable"):
                visit(item, f"{path}/{key}", depth + 1, kind or container)

    # The names of series in processing, where they belong, are written without it.
    for top in ("processing", "analysis", "acquisition", "scratch"):
        if group := _group(file, top):
            visit(group, "" if top == "processing" else f"/{top}", 0, "")
    return found


def _read_as(file: Hdf5File, group: str) -> str:
    """What a series is read as, by what it has; empty for one that is no table of traces.

    Laboratories have types of their own, which extend those of the standard: what is of ROIs is a
    `RoiResponseSeries`, whatever it is called. CaImAn writes residuals, and others dF/F, as
    `TimeSeries`; of photometry each column is a fibre."""
    attributes = file.groups[group].attributes
    kind, has = _as_text(attributes.get("neurodata_type")), file.members.get(group, ())
    if kind in ("RoiResponseSeries", "TimeSeries"):
        return kind
    if "data" not in has or not kind or not {"timestamps", "starting_time"} & {*has}:
        return ""
    if "rois" in has:
        return "RoiResponseSeries"
    own = _as_text(attributes.get("namespace")) not in ("", "core", "hdmf-common")
    if own and "photometry" in kind.lower():
        return PHOTOMETRY
    return "TimeSeries" if own else ""


def _group(file: Hdf5File, path: str) -> str | None:
    """The name of a group; None if it is none, or in another file as a movie is."""
    try:
        found = file.find(path)
    except DataError:
        return None
    return found if found in file.groups else None


def _as_text(value: Scalar) -> str:
    return "" if value is None else str(value)


def choose(path: Path | str, series: Mapping[str, Series], variable: str | None) -> Series:
    """The series that is named; else the only one of dF/F; else the only one of fluorescence."""
    listed = ", ".join(series) or "none"
    if variable is not None:
        named = [each for name, each in series.items() if f"/{name}".endswith(f"/{variable}")]
        if len(named) != 1:
            raise UsageError(
                f"{path} has not one series {variable}; choose from {listed} (--variable)"
            )
        if named[0].is_processed:
            raise DataError(f"{path}: {variable} is processed already; give the fluorescence")
        return named[0]
    raw = [each for each in series.values() if not each.is_processed]
    of_rois = [each for each in raw if each.kind == "RoiResponseSeries"]
    relative = [each for each in of_rois if each.is_relative]
    # The Allen Institute keeps all steps from the demixed to the corrected traces.
    after_neuropil = [each for each in of_rois if "corrected" in each.name.lower()]
    others = [each for each in raw if each.kind == "TimeSeries" and each.is_relative]
    fibres = [each for each in raw if each.kind == PHOTOMETRY]
    # dF/F goes first: its program has found the baseline already.
    possible = relative or after_neuropil or of_rois or others or fibres
    if not possible:
        raise DataError(
            f"{path} has no RoiResponseSeries of fluorescence (it has {listed}); extract the traces"
        )
    if len(possible) > 1:
        names = ", ".join(each.name for each in possible)
        raise UsageError(f"{path} has several series; name the variable (--variable): {names}")
    return possible[0]


# What belongs to a series


class Contents:
    """A series and all that it needs or that could belong to it, read in one run of the sandbox.

    `data`, `times`, `start` (time of the first frame) and `table` (of the ROIs, with `columns` of
    numbers) are where these stand in the file.
    """

    def __init__(self, file: Hdf5File, every: Mapping[str, Series], series: Series) -> None:
        self.file, self.series = file, series
        self.data = data_of(file, series)
        self.times = file.find(f"{series.path}/timestamps")
        self.start = file.find(f"{series.path}/starting_time")
        region, self.table = region_of(file, series)
        self.columns = table_columns(file, self.table)
        self.companions = {r: companions(file, every, series, r) for r in COMPANIONS}
        found = {"timestamps": self.times, "starting_time": self.start, "rois": region}
        labels = {where: f"{series.name}/{name}" for name, where in found.items() if where}
        labels = {self.data: series.name} | labels
        # All that may be asked for, as each run of the sandbox takes a quarter of a second.
        wanted = [name for name in ("id", "rejected", *CELLS) if name in self.columns]
        labels |= {self.columns[name]: name for name in wanted}
        for other in chain(*self.companions.values()):
            labels[data_of(file, other)] = other.name
            theirs = region_of(file, other)[0]
            labels |= {} if theirs is None else {theirs: f"{other.name}/rois"}
        self._values = file.read(labels)

    @property
    def unit_of_times(self) -> str | None:
        return None if self.times is None else self.file.arrays[self.times].unit

    def array(self, name: str | None) -> Array | None:
        return None if name is None or name not in self._values else np.asarray(self._values[name])

    def stored(self, series: Series) -> AnyTable:
        """The traces of a series as they are in the file; a vector is one neuron's."""
        array = self._values[data_of(self.file, series)]
        return array if isinstance(array, LazyTable) or array.ndim != 1 else array[:, None]

    def traces_of(self, series: Series) -> AnyTable:
        """The traces of a companion in the unit that the file states."""
        return scaled(self.stored(series), gain_of(self.file, series))

    def rows(self, series: Series) -> Numbers | None:
        """The rows of the ROI table that a series is of; None where it has no table."""
        values = self.array(region_of(self.file, series)[0])
        return None if values is None else np.ravel(values).astype(np.int64)

    def companion(self, role: str) -> Series | None:
        """The last of the companions; neuropil is that of the same ROIs."""
        every, rows = self.companions[role], self.rows(self.series)
        if role == "residuals":
            return every[-1] if every else None
        same = []
        # Two planes may have neuropil of one shape, of which only one is that of these ROIs.
        for other in every:
            theirs = self.rows(other)
            if rows is None or (theirs is not None and np.array_equal(theirs, rows)):
                same.append(other)
        if same and same[0].where == self.series.where:
            return same[-1]
        # Called otherwise: the only one of these rows of this table.
        same = [other for other in same if region_of(self.file, other)[1] == self.table]
        return same[0] if rows is not None and len(same) == 1 else None

    def cells(self) -> Kept | None:
        """The ROIs of the series that a column of the table calls cells."""
        rows = self.rows(self.series)
        if rows is None:
            return None
        for name in CELLS:
            values = self.array(self.columns.get(name))
            if values is None or not values.shape or not values.size:
                continue
            if rows.max(initial=-1) >= len(values):
                raise unknown_rois(self.file, self.series)
            # iscell of suite2p has its probability beside it.
            values = values.reshape(len(values), -1)[rows, 0]
            rejected = self.array(self.columns.get("rejected"))
            if name == "accepted" and not values.any() and (rejected is None or not rejected.any()):
                continue  # nobody has classified: CaImAn writes both columns all the same
            cells = accepted(self.file.path, values.astype(np.int64), count=len(rows))
            return Kept(cells, self.columns[name].rsplit("/", 1)[-1])
        return None


def companions(
    file: Hdf5File, every: Mapping[str, Series], series: Series, role: str
) -> list[Series]:
    """Series of the same module and shape that may have to be added or subtracted; of neuropil
    those that are called as the series is, where some are."""
    shape = file.arrays[data_of(file, series)].shape
    is_corrected = "corrected" in series.name.lower()
    if series.is_relative or not shape or (role == "neuropil" and is_corrected):
        return []
    found = []
    for name, other in every.items():
        module, _, rest = name.partition("/")
        if module != series.name.partition("/")[0] or other is series:
            continue
        try:  # a series without data here, such as a movie
            data = file.arrays[data_of(file, other)]
        except DataError:
            continue
        is_one = COMPANIONS[role] in rest.lower()
        is_one |= role == "neuropil" and plain(rest.rpartition("/")[2]) in NEUROPIL
        if data.shape == shape and is_one:
            found.append(other)
    near = [other for other in found if other.where == series.where]
    return near if near and role == "neuropil" else found


def data_of(file: Hdf5File, series: Series) -> str:
    """Where the values of a series stand; `DataError` if it has none, or in another file."""
    data = file.find(f"{series.path}/data")
    if data is None or data not in file.arrays:
        raise file.unreadable(f"{series.name}/data is no array")
    return data


def gain_of(file: Hdf5File, series: Series) -> tuple[float, float]:
    """Factor and offset that turn stored values into those of the unit."""
    attributes = file.arrays[data_of(file, series)].attributes
    numbers = attributes.get("conversion", 1.0), attributes.get("offset", 0.0)
    try:
        if None not in numbers:
            return float(numbers[0] or 0), float(numbers[1] or 0)
    except ValueError:
        pass
    raise file.unreadable(f"the gain of {series.name} is no number")


def region_of(file: Hdf5File, series: Series) -> tuple[str | None, str | None]:
    """Where the rows of the ROI table and that table stand; None, None where there is none."""
    region = file.find(f"{series.path}/rois")
    info = file.arrays.get(region or "")
    if info is None or "table" not in info.attributes:
        return None, None
    table = _as_text(info.attributes["table"])
    return (region, table) if table in file.groups else (None, None)


def table_columns(file: Hdf5File, table: str | None) -> dict[str, str]:
    """Where the columns of an ROI table stand that hold numbers, by name in lower case."""
    if table is None:
        return {}
    keys, arrays = file.members.get(table, ()), file.arrays
    found = {key.lower(): file.find(f"{table}/{key}") or "" for key in keys}
    return {key: n for key, n in found.items() if n in arrays and arrays[n].is_numeric}


def roi_ids(file: Hdf5File, series: Series, rows: Numbers, column: Array | None) -> list[int]:
    """Numbers of the ROIs of a series in their table; their order in it if ambiguous."""
    ids = np.arange(rows.max(initial=-1) + 1) if column is None else np.ravel(column)
    # Rows of the table may have been deleted.
    inside = not rows.size or 0 <= rows.min() <= rows.max() < len(ids)
    if not inside or not np.isfinite(ids).all():
        raise unknown_rois(file, series)
    found = [int(number) for number in ids[rows]]
    return found if len(set(found)) == len(found) else list(range(len(found)))


def unknown_rois(file: Hdf5File, series: Series) -> DataError:
    return file.unreadable(f"{series.name} is of ROIs that the table does not have")


# What the file says of the indicator and the animal: it tells how late calcium answers


def about(file: Hdf5File, table: str | None) -> dict[str, str]:
    """`indicator` of the imaging plane of an ROI table, and `species`, where the file names them.
    An indicator is named only if all planes in question have the same."""
    plane = None if table is None else _group(file, f"{table}/imaging_plane")
    planes: list[str | None] = [plane]
    if plane is None:  # of a series without a table, or one of an older version
        every = _group(file, "general/optophysiology")
        names = () if every is None else file.members.get(every, ())
        planes = [_group(file, f"{every}/{name}") for name in names]
    indicators = {_text(file, f"{each}/indicator") for each in planes if each is not None}
    found = {"species": _text(file, "general/subject/species")}
    if len(indicators) == 1:
        found["indicator"] = indicators.pop()
    return {name: text for name, text in found.items() if text.lower() not in UNKNOWN}


def _text(file: Hdf5File, path: str) -> str:
    """A text of one line; empty if there is none, or it is in another file."""
    try:
        info = file.arrays.get(file.find(path) or "")
    except DataError:
        return ""
    return "" if info is None or info.text is None else " ".join(info.text.split())[:LONGEST_NAME]


# The recording


def read_recording(file: Hdf5File, options: ReadOptions) -> Recording:
    """The recording of a series in an NWB file."""
    if not is_version_2(file):
        raise DataError(
            f"{file.path} is NWB of version 1, which is another format; convert it to NWB 2, "
            "or save its traces as .npy, neurons x frames"
        )
    every = all_series(file)
    series = choose(file.path, every, options.variable)
    contents = Contents(file, every, series)
    # CaImAn's RoiResponseSeries beside its background is what is left after denoising.
    if (
        any("background" in name.lower() for name in every)
        and contents.companion("residuals") is None
        and not series.is_relative
        and series.name.endswith("/RoiResponseSeries")
    ):
        session = file.arrays.get(file.find("session_description") or "")
        if session is not None and "CaImAn" in (session.text or ""):
            raise DataError(
                f"{file.path}: CaImAn's {series.name} is denoised already, and its "
                "residuals are not there; save them too, or give F_dff"
            )
    return _recording(contents, options)


def _recording(contents: Contents, options: ReadOptions) -> Recording:
    series, path = contents.series, contents.file.path
    stored = contents.stored(series)
    rows = contents.rows(series)
    ids: list[int] = []
    if rows is not None:
        ids = roi_ids(contents.file, series, rows, contents.array(contents.columns.get("id")))
    elif stored.ndim == 2:
        ids = list(range(min(stored.shape)))
    if stored.ndim != 2 or len(ids) not in stored.shape:
        raise DataError(
            f"{path}: {series.name} has shape {stored.shape}, but {len(ids)} ROIs; correct it"
        )
    turned = stored.shape[1] == len(ids)
    orientation = "time-neuron" if turned else "neuron-time"
    found_about = about(contents.file, contents.table)
    notes = [SERIES + series.name]
    if series.kind == PHOTOMETRY:
        notes.append(f"photometry ({series.type_name}): each column is a fibre, of many cells")
    if found_about:
        notes.append("the file says: " + ", ".join(f"{k} {v}" for k, v in found_about.items()))
    if not turned:
        notes.append(f"{series.name} is ROI x time in the file, against NWB's rule")
    # A square table has no certain orientation.
    if stored.shape[0] != stored.shape[1]:
        only_orientation(path, options.orientation, orientation)
    traces = _fluorescence(contents, stored, notes)
    start, rate = clock(contents, notes)
    cells, neuropil = contents.cells(), Neuropil()
    if around := contents.companion("neuropil"):
        surround, name = contents.traces_of(around), around.name.rsplit("/", 1)[-1]
        neuropil = Neuropil(surround.T if turned else surround, name)
    elif unsure := ", ".join(other.name for other in contents.companions["neuropil"]):
        neuropil = Neuropil(None, f"neuropil that is surely of these ROIs ({unsure})")
    table, rois, of_neuropil = corrected(
        path, traces.T if turned else traces, neuropil, cells, options, frame_rate=rate
    )
    if cells or around:
        notes.append(f"{rois.size} of {len(ids)} ROIs")
    times = contents.array(contents.times)
    facts = Facts(
        times=None if times is None else times_in(times, contents.unit_of_times),
        frame_rate=rate,
        orientation=orientation,
        usual_orientation="time-neuron",
        names=[str(ids[k]) for k in rois],
        unit="dF/F" if series.is_relative else "F",
        notes=[*notes, *of_neuropil],
        start=start,
    )
    made = make_recording(path, table.T if turned else table, options, facts)
    return replace(made, about=found_about)


def _fluorescence(contents: Contents, stored: AnyTable, notes: list[str]) -> AnyTable:
    """The traces in their unit, residuals added."""
    series = contents.series
    factor, offset = gain_of(contents.file, series)
    unit = _as_text(contents.file.arrays[contents.data].attributes.get("unit"))
    # Then 30 stands for 0.3.
    if series.is_relative and unit.lower() in ("%", "percent"):
        factor, offset = factor / 100, offset / 100
        notes.append("dF/F in percent, divided by 100")
    traces = scaled(stored, (factor, offset))
    if residuals := contents.companion("residuals"):
        traces = elementwise(np.add, traces, contents.traces_of(residuals))
        notes.append(f"{series.name} + {residuals.name}")
    return traces


def clock(contents: Contents, notes: list[str]) -> tuple[float, float | None]:
    """Start in s and frame rate in Hz, None where the file has no credible one."""
    value, start, rate = contents.array(contents.start), 0.0, None
    if value is not None and contents.start is not None and value.size == 1:
        start = float(value.reshape(-1)[0])
        stated = contents.file.arrays[contents.start].attributes.get("rate", 0)
        rate = float(stated) if isinstance(stated, int | float) else 0.0
    if not abs(start) < LATEST:
        notes.append(f"the file tells a start at {start:g} s: not used")
        start = 0.0
    # As converters write it that do not know the rate.
    if rate is not None and not rate > 0:
        notes.append(f"the file tells a frame rate of {rate:g} Hz: not used")
        rate = None
    return start, rate
