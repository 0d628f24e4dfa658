"""The layout of named arrays: which of them is fluorescence, time stamps, neuropil and so on.

`.npz`, `.mat`, HDF5, Zarr and pickled dicts only differ in how an array is read. What an array is
tell its shape, its neighbours and its name together; where these leave two readings, the user is
asked. An array of a struct or group has a dotted name, `data.dff`. CaImAn's HDF5 files are named
arrays, too, of one group.
"""

import functools
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from ...errors import DataError, UsageError
from ...files.columns import SHORTEST_PIECES
from ...labels import (
    DECONVOLVED,
    DENOISED,
    NEUROPIL,
    RATES,
    RAW,
    RELATIVE,
    RESIDUALS,
    TRACES,
    name_set,
    names_pieces,
    starts_of,
    time_unit,
)
from ..inputs import as_names, orientation_by, rate_of
from ..objects import orientation_of, times_in
from ..options import ReadOptions
from ..recording import AnyTable, LazyTable, Recording, elementwise
from ..segments import column_of
from .container import ArrayInfo, Container, Info, is_table, plain
from .facts import (
    SECOND,
    UNITS,
    Facts,
    make_recording,
    no_neuropil,
    one_rate,
    only_orientation,
    refuse_processed,
)
from .hdf5 import Hdf5File
from .rois import Kept, Neuropil, accepted, corrected, numbered
from .suite2p import KEYS, folder_starts, neuropil_share, without_bad_frames

# Names by which programs and laboratories call arrays that are no traces, as `plain` makes them

CELLS = name_set("iscell")
COMPONENTS = name_set("idxcomponents")
IDS = name_set("unitid unitids roiid roiids cellid cellids neuronid neuronids")
FRAME_RATES = frozenset(RATES)

PROCESSED = DECONVOLVED | DENOISED | RESIDUALS
"""Names of what is no fluorescence any more."""
HELPERS = (
    (FRAME_RATES | NEUROPIL | CELLS | COMPONENTS | IDS)
    | {*SECOND, *SECOND.values()}
    | name_set(
        """a b b0 w cn sn spatialweights coordinates ain corrimg
    names spiketimes spikeneurons frame frames index id ids f0 bl snr snrcomp rvalues cnnpreds
    stim stimulus x y xy centroid centroids com center centers coords xoff yoff redcell lam g
    animal session height width depth trial trials unit neuron cell cells rois roi neurons
    axis0 axis1 accepted rejected keep baseline background meanimg maxproj refimg framenumber
    framenumbers counter"""
    )
)
"""Other names of arrays that are never taken for fluorescence without being asked for."""
BACKGROUND_NEIGHBOURS = name_set("c a b s yra cn")
"""Beside one of these, `f` is CaImAn's temporal background and no suite2p fluorescence `F`."""
PANDAS = ("block0values", "values")
"""What pandas calls the values of a table and of a series in HDF5 (`format="fixed"`)."""
UP, APART = 10, 20
"""How far arrays of groups above, and of other branches, are; more than any that lies below."""
MOST_LISTED = 12
"""More arrays than this make no readable message."""
ABSENT = "NoneType"
"""How CaImAn writes a value that is not there."""
CAIMAN_TRACES = ("F_dff", "C", "YrA", "R")
CAIMAN_ARRAYS = (*CAIMAN_TRACES, "S", "f", "idx_components")
CAIMAN_RATE = "params/data/fr"


# What there is, and which array is what


@dataclass(frozen=True)
class Source:
    """The arrays of numbers that a layout chooses from, by the names that users see.

    `inside` is what the container calls each. Attributes that are frame rates are among them, as
    arrays of one number; their values in Hz are `rates`. `orientation` is that of the traces, where
    it is known for certain. `others` are objects that are no arrays, and their class, and `texts`
    what stands in texts.
    """

    path: Path
    arrays: dict[str, ArrayInfo]
    inside: dict[str, str]
    rates: dict[str, float]
    orientation: str | None = None
    others: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def listed(self) -> str:
        return listed(self.arrays) or "nothing of numbers"

    def same_group(self, name: str, kinds: Collection[str]) -> list[str]:
        """Arrays of the same group or struct that have one of some names."""
        group = _group(name)
        return [n for n in self.arrays if _group(n) == group and plain(n) in kinds]

    def beside(self, name: str) -> list[str]:
        """Its own and its neighbours first, then arrays below, then those further up, then all."""
        return sorted(self.arrays, key=functools.partial(self._distance, name))

    def is_apart(self, name: str, other: str) -> bool:
        """Whether another array stands in another branch of groups."""
        return self._distance(name, other) == APART

    def _distance(self, name: str, other: str) -> int:
        group, theirs = _group(name), _group(other)
        if theirs in (group, name):
            return 0
        if not group or theirs.startswith(f"{group}."):
            return 1 + theirs.count(".")
        return UP if not theirs or group.startswith(f"{theirs}.") else APART

    def ids(self, traces: str, orientation: str | None, beside: Sequence[str]) -> str | None:
        """The numbers or names of the neurons: the coordinates of their axis, as xarray has them,
        else an array of a known name."""
        info = self.arrays[traces]
        if orientation:
            axis = 0 if orientation == "neuron-time" else 1
            # Coordinates have the name of their dimension.
            own = f"{_group(traces)}.{(info.dimensions or ())[axis]}".lstrip(".")
            if own in self.arrays and self.arrays[own].size == info.shape[axis]:
                return own
        known = (n for n in beside if plain(n) in IDS)
        return _first(n for n in known if self.arrays[n].size in info.shape)

    def times(self, traces: str, beside: Sequence[str]) -> str | None:
        """The time stamps, if possible as many as there are frames; single numbers are none."""
        shape = self.arrays[traces].shape
        sizes = {n: self.arrays[n].size for n in beside if is_time(n)}
        found = [n for n, size in sizes.items() if size > 1 or set(shape) == {1}]
        return _first(sorted(found, key=lambda n: sizes[n] not in shape))

    def pieces(self, traces: str, beside: Sequence[str]) -> str | None:
        """The numbers of each frame's trial or session."""
        shape = self.arrays[traces].shape
        named = (n for n in beside if names_pieces(_last(n)))
        return _first(n for n in named if self.arrays[n].size == max(shape, default=0) > 1)

    def matches(self, name: str) -> list[str]:
        """The arrays that a user's name may mean: the whole one, else the end: dff of data.dff, or
        of data/dff."""
        if name in self.arrays:
            return [name]
        ends = {f".{name}", f".{name.strip('/').replace('/', '.')}"}
        return [n for n in self.arrays if any(f".{n}".endswith(end) for end in ends)]

    def array(self, name: str, option: str = "--variable") -> str:
        """The array that a user names, else `UsageError`."""
        matches = self.matches(name)
        if not matches and name in {*self.others, *self.texts}:
            raise UsageError(
                f"{self.path} has no array {name} of numbers; number what it says ({option})"
            )
        if len(matches) != 1:
            raise UsageError(
                f"{self.path} has no array {name}; choose from {self.listed} ({option})"
            )
        return matches[0]

    def is_background(self, name: str) -> bool:
        """Whether `f` is CaImAn's temporal background, and no suite2p fluorescence `F`."""
        if _last(name) != "f":
            return False
        dimensions = self.arrays[name].dimensions
        alone = dimensions is not None and orientation_of(dimensions) is None
        return alone or bool(self.same_group(name, BACKGROUND_NEIGHBOURS))

    @functools.cached_property
    def frame_counts(self) -> set[int]:
        """Numbers of frames that time stamps or traces of known names have; may be empty."""
        sizes = {info.size for name, info in self.arrays.items() if is_time(name)}
        known = UNITS.keys() | PROCESSED | NEUROPIL
        tables = [
            info.shape
            for name, info in self.arrays.items()
            if is_table(info.shape) and plain(name) in known and not self.is_background(name)
        ]
        # Stamps of a camera or a wheel are of other lengths than the traces.
        fitting = {size for size in sizes if size > 1 and any(size in s for s in tables)}
        return fitting or {max(shape) for shape in tables}

    def fits(self, name: str) -> bool:
        """Whether an array can be traces by its shape and its neighbours."""
        shape, counts = self.arrays[name].shape, self.frame_counts
        if math.prod(shape) < 2 or (len(shape) > 2 and _axes(shape) > 2):
            return plain(name) in UNITS and len(shape) > 0 and not counts
        # A vector: beside tables a number for each cell.
        sizes = {max(shape)} if _axes(shape) == 1 else set(shape)
        return not counts or bool(sizes & counts)

    @functools.cached_property
    def candidates(self) -> list[str]:
        return [
            name
            for name in self.arrays
            if plain(name) not in HELPERS | PROCESSED
            and not is_time(name)
            and not self.is_background(name)
            and self.fits(name)
        ]

    def fluorescence(self) -> str:
        for name, info in self.arrays.items():
            if plain(name) == "dffmat" and len(info.shape) == 3:
                raise DataError(
                    f"{self.path}: {name} {listed({name: info}).rpartition(' ')[2]} is AQuA's dF/F "
                    "of events, with (1) and without (2) those beside them; save one of the two: "
                    f"squeeze({name}(:,:,2))"
                )
        depths = {n: _group(n).count(".") for n in self.candidates if plain(n) in UNITS}
        near = [n for n in depths if depths[n] == min(depths.values())]
        # dF/F goes before fluorescence: its program has found the baseline already.
        for names in (RELATIVE, RAW, TRACES):
            if found := self._only([n for n in near if plain(n) in names]):
                return found
        for name, info in self.arrays.items():
            if plain(name) == "yra" and info.dimensions is not None:
                return name  # of Minian, whose YrA is the whole trace
        for name in self.arrays:
            if plain(name) in DENOISED and self.residuals(name):
                return name
        unknown = [n for n in self.candidates if plain(n) not in UNITS]
        # A vector beside a table is a number for each neuron more often than a trace.
        tables = [n for n in unknown if _axes(self.arrays[n].shape) == 2]
        if found := self._only(tables or unknown):
            return found
        for name in self.arrays:
            if plain(name) in PROCESSED or self.is_background(name):
                self.refuse_processed(name)
        self._name_others()
        raise DataError(
            f"{self.path} holds no array of traces (it has {self.listed}); save neurons x frames "
            "in it, or name an array (--variable)"
        )

    def _name_others(self) -> None:
        """Raise `DataError` for what may hold the traces, but is no array."""
        for name, kind in self.others.items():
            if kind in ("table", "timetable"):
                into = (
                    "table2array(timetable2table(T))" if kind == "timetable" else "table2array(T)"
                )
                raise DataError(
                    f"{self.path}: {name} is a MATLAB {kind}; save an array of it: "
                    f"{into.replace('T)', f'{name})')}"
                )
            if plain(name) in ("result", "raw", "deltafresult"):
                raise DataError(
                    f"{self.path}: {name} holds Python objects, as FISSA's results do; give what "
                    "its save_to_matlab() writes, or the first row of each cell as .npy"
                )
            if name.rpartition(".")[2] == "table":
                raise DataError(
                    f"{self.path}: {name} is a table of pandas or PyTables; save it with "
                    "format='fixed', or as CSV (to_csv)"
                )

    def _only(self, names: Sequence[str]) -> str | None:
        """The array, None if there is none, `UsageError` if there are several."""
        if len(names) > 1:
            shapes = {self.arrays[name].shape for name in names}
            # As many traces as arrays: one that is named would be one neuron.
            apart = len(shapes) == 1 and _axes(*shapes) == 1
            more = "; for all as neurons, save them as rows of one array" if apart else ""
            raise UsageError(
                f"{self.path} holds several arrays; name the fluorescence (--variable) of "
                f"{listed({name: self.arrays[name] for name in names})}{more}"
            )
        return _first(names)

    def residuals(self, name: str) -> str | None:
        """What is to be added to denoised traces."""
        near = self.same_group(name, RESIDUALS)
        same = [n for n in near if self.arrays[n].shape == self.arrays[name].shape]
        if near and not same:
            raise DataError(
                f"{self.path}: {name} is {self.arrays[name].shape}, but {near[0]} is "
                f"{self.arrays[near[0]].shape}; save both of the same run"
            )
        return _first(same)

    def named(self, variable: str) -> str:
        name = self.array(variable)
        # Denoised traces can be had back with what was taken away.
        if plain(name) in DENOISED and self.residuals(name):
            return name
        if plain(name) in DECONVOLVED | DENOISED or self.is_background(name):
            self.refuse_processed(name)
        return name

    def refuse_processed(self, name: str) -> None:
        """Raise `DataError` for an array that is no fluorescence any more."""
        raw = [n for n in self.arrays if plain(n) in UNITS and not self.is_background(n)]
        raw += [n for n in self.arrays if plain(n) == "yra"]
        use = f"; use {raw[0]}" if raw and raw[0] != name else ""
        background = "a temporal background" if self.is_background(name) else None
        refuse_processed(self.path, name, there=f" (it has {self.listed}{use})", what=background)


def source_of(container: Container, variable: str | None = None) -> Source:
    """All arrays of numbers in a container; of those deep in it only where a user names one as
    `variable`. It raises `UsageError` if all are so deep, and none is named."""
    source = _source_of(container, container.shallow)
    if source.matches(variable) if variable is not None else source.arrays:
        return source
    deep = _source_of(container, container.objects)
    if variable is not None:
        return deep if deep.matches(variable) or not source.arrays else source
    if deep.arrays:
        raise UsageError(
            f"{container.path} has its arrays deep inside; name the fluorescence (--variable) of "
            f"{deep.listed}"
        )
    return source


def _source_of(container: Container, objects: Mapping[str, Info]) -> Source:
    source = Source(container.path, {}, {}, {})
    for name, info in objects.items():
        shown = name.replace(container.separator, ".")
        if isinstance(info, ArrayInfo):
            # Texts, such as names of neurons, are never chosen.
            if not info.is_numeric:
                kind = str(info.attributes.get("MATLAB_class", ""))
                if info.text is None:
                    source.others[shown] = kind
                else:
                    source.texts[shown] = info.text
                continue
            source.arrays[shown], source.inside[shown] = info, name
        for attribute, value in info.attributes.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if plain(attribute) in FRAME_RATES:
                rate_name = f"{shown}.{attribute}".lstrip(".")
                source.arrays.setdefault(rate_name, ArrayInfo((), "<f8"))
                source.rates.setdefault(rate_name, float(value))
    return source


def source_of_caiman(file: Hdf5File, variable: str | None) -> Source:
    """The arrays of CaImAn's estimates that a recording needs. It raises `DataError` if there are
    no traces among them, or denoised ones alone."""
    inside: dict[str, str] = {}
    for path in (*(f"estimates/{name}" for name in CAIMAN_ARRAYS), CAIMAN_RATE):
        where = file.find(path)
        if where is None:
            continue
        info = file.arrays.get(where)
        if info is None:
            raise file.unreadable(f"{path} is no array")
        if info.text == ABSENT:
            continue
        if not info.is_numeric:
            raise file.unreadable(f"{path} holds {info.dtype} values, not real numbers")
        inside[path.removeprefix("estimates/")] = where
    arrays = {name: file.arrays[where] for name, where in inside.items()}
    # A vector would be taken for the trace of one neuron.
    for name in [name for name in CAIMAN_TRACES if name in arrays]:
        shape = arrays[name].shape
        if len(shape) != 2:
            raise file.unreadable(f"estimates/{name} has shape {shape}; expected two axes")
    if variable is None and not {"F_dff", "C"} & inside.keys():
        raise file.unreadable(
            "it has neither estimates/F_dff nor C and YrA; run detrend_df_f in CaImAn"
        )
    if "F_dff" not in inside and "C" in inside and not {"YrA", "R"} & inside.keys():
        raise DataError(
            f"{file.path} has only the denoised traces C; run detrend_df_f in CaImAn, or "
            "save YrA too"
        )
    return Source(file.path, arrays, inside, {}, "neuron-time")


def listed(arrays: Mapping[str, ArrayInfo]) -> str:
    names = [f"{name} {'x'.join(map(str, info.shape)) or '1'}" for name, info in arrays.items()]
    more = f" and {len(names) - MOST_LISTED} more" if names[MOST_LISTED:] else ""
    return ", ".join(names[:MOST_LISTED]) + more


def _last(name: str) -> str:
    """The last part of a name."""
    return re.split(r"[./]", name)[-1]


def is_time(name: str) -> bool:
    """Whether an array is called time, such as frame_times, t and timestamps_ms."""
    return time_unit(_last(name)) is not None


def _first(names: Iterable[str]) -> str | None:
    return next(iter(names), None)


def _group(name: str) -> str:
    return name.rpartition(".")[0]


def _axes(shape: Sequence[int]) -> int:
    """How many axes are longer than 1."""
    return sum(size > 1 for size in shape)


T = TypeVar("T")


@dataclass(frozen=True)
class Roles(Generic[T]):
    """What arrays are: first their names, then what was read.

    `residuals` are to be added to the traces, `cells` has 1 for each ROI that is one, `components`
    the numbers of those that are, `ids` those of the neurons, and `pieces` of each frame's trial or
    session. `share`, `bad` and `folders` are suite2p's settings (see `suite2p.Settings`).
    """

    traces: T
    residuals: T | None = None
    neuropil: T | None = None
    times: T | None = None
    rate: T | None = None
    cells: T | None = None
    components: T | None = None
    ids: T | None = None
    pieces: T | None = None
    share: T | None = None
    bad: T | None = None
    folders: T | None = None


@dataclass(frozen=True)
class Choice:
    """Which array is what; unit and orientation, where names or dimensions tell them; and the end
    of the note on the traces, which names others that could have been fluorescence."""

    names: Roles[str]
    unit: str | None = None
    orientation: str | None = None
    also: str = ""


def choose(source: Source, variable: str | None = None, segments: str | None = None) -> Choice:
    """Say which array of a file is fluorescence, time stamps, frame rate and so on.

    It raises `DataError` if there is no fluorescence, or none but deconvolved or denoised, and
    `UsageError` if it is not plain which, or there is no `variable`, its stated name.
    """
    traces = source.fluorescence() if variable is None else source.named(variable)
    name, info = plain(traces), source.arrays[traces]
    residuals = neuropil = None
    if name in DENOISED:
        residuals = source.residuals(traces)
        if residuals is None:
            source.refuse_processed(traces)
    # C + YrA is what CaImAn was given: fluorescence, whatever its scale.
    unit = "F" if residuals or name == "yra" or name in SECOND else UNITS.get(name)
    if not residuals and (unit == "F" or name in TRACES):
        near = source.same_group(traces, {SECOND[name]} if name in SECOND else NEUROPIL)
        neuropil = _first(n for n in near if source.arrays[n].shape == info.shape)
    # Names of dimensions come from attributes, which may be another array's.
    orientation = orientation_of(info.dimensions) if len(info.shape) == 2 else None
    beside = [n for n in source.beside(traces) if n not in (traces, residuals, neuropil)]
    rates = (n for n in beside if plain(n) in FRAME_RATES)
    times = source.times(traces, beside)
    if name in PANDAS and times is None:
        for index in (f"{_group(traces)}.{each}" for each in ("axis1", "index")):
            # A range is written as its ends.
            if index in source.arrays and source.arrays[index].size in info.shape:
                kind = str(source.arrays[index].attributes.get("kind"))
                times = index if kind.startswith(("float", "datetime64")) else None
    # What another array has as its attribute is that one's.
    rate = _first(n for n in rates if _group(n) == traces or _group(n) not in source.arrays)
    if times is not None and rate is not None and source.is_apart(traces, times):
        # The clock of the behaviour, say.
        times = times if source.is_apart(traces, rate) else None
    cells = _first(n for n in beside if plain(n) in CELLS)
    settings = {
        key: _first(n for n in beside if cells and _is_setting(n, key))
        for key in ("share", "bad", "folders")
    }
    names = Roles(
        traces,
        residuals,
        neuropil,
        times=times,
        rate=rate,
        cells=cells,
        components=_first(n for n in beside if plain(n) in COMPONENTS),
        ids=source.ids(traces, orientation, beside),
        pieces=(
            source.pieces(traces, beside)
            if segments is None
            else source.array(segments, "--segments")
        ),
        **settings,
    )
    # EXTRACT writes time x neuron, against MATLAB's habit, and so does pandas.
    if name in ("temporalweights", PANDAS[0]):
        orientation = "time-neuron"
    others = ", ".join(n for n in source.candidates if n != traces and plain(n) in UNITS)
    also = f" (there are also {others})" if others else ""
    return Choice(names, unit, source.orientation or orientation, also)


def _is_setting(name: str, key: str) -> bool:
    """Whether an array is what suite2p's settings call a key of `suite2p.KEYS`."""
    return plain(_last(name)) in {plain(_last(known)) for known in KEYS[key]}


# What was chosen, read


def read_recording(container: Container, options: ReadOptions) -> Recording:
    """The recording in a container of named arrays."""
    caiman = "estimates" in container.groups
    caiman = caiman and bool({"params", "estimates/C"} & container.objects.keys())
    if caiman and isinstance(container, Hdf5File):
        source = source_of_caiman(container, options.variable)
    else:
        source = source_of(container, options.variable)
    column = column_of(options.segments)
    if fissa := _fissa(source, options):
        return _of_fissa(container, source, fissa, options)
    choice = choose(source, options.variable, column)
    values = _read(container, source, choice.names)
    if source.orientation:
        only_orientation(source.path, options.orientation, source.orientation)
    names = choice.names
    if options.variable is None and plain(names.traces) == "fdff":
        _refuse_stale(source, names.traces)
    facts = _facts(source, choice, values, options)
    options = options if column is None else replace(options, segments=None)
    if names.residuals or names.neuropil or names.cells or names.components:
        return _of_rois(source.path, choice, values, options, facts)
    return _of_traces(source.path, choice, values, options, facts)


FISSA = re.compile(r"(?:result\.)?cell(\d+)(?:\.trial(\d+))?")
"""What FISSA calls the rows of a cell and its surroundings in a trial."""
MOST_SURROUNDINGS = 50


def _fissa(source: Source, options: ReadOptions) -> dict[tuple[int, int], str]:
    """FISSA's arrays by cell and trial; empty where there are none, or others are asked for."""
    found = {}
    for name, info in source.arrays.items():
        if match := FISSA.fullmatch(name):
            if len(info.shape) != 2 or not 1 < info.shape[0] <= MOST_SURROUNDINGS:
                return {}
            found[int(match[1]), int(match[2] or 0)] = name
    cells, trials = ({key[k] for key in found} for k in (0, 1))
    whole = len(found) == len(cells) * len(trials)
    return found if whole and options.variable is None else {}


def _of_fissa(
    container: Container,
    source: Source,
    names: Mapping[tuple[int, int], str],
    options: ReadOptions,
) -> Recording:
    """The first row of each cell, which is the cell without its surroundings, trial by trial."""
    read = container.read({source.inside[name]: name for name in names.values()})
    cells, trials = (sorted({key[k] for key in names}) for k in (0, 1))
    rows = [
        [np.asarray(read[source.inside[names[cell, trial]]])[0] for trial in trials]
        for cell in cells
    ]
    lengths = [trial.size for trial in rows[0]]
    if any([trial.size for trial in each] != lengths for each in rows):
        raise DataError(f"{source.path}: the cells of FISSA's result have trials of other lengths")
    facts = Facts(
        orientation="neuron-time",
        unit="F",
        names=[str(cell) for cell in cells],
        notes=[f"FISSA's result, the first row of {len(cells)} cells, {len(trials)} trials"],
        segment_starts=[0, *np.cumsum(lengths)[:-1].tolist()],
    )
    table = np.stack([np.concatenate(each) for each in rows])
    return make_recording(source.path, table, options, facts)


def read_pickled(container: Container, options: ReadOptions) -> Recording:
    """As `read_recording`, of a dict that must have traces of a known name. Dicts of parameters
    have many arrays, any of which could be traces by its shape."""
    arrays = source_of(container, options.variable).arrays
    if options.variable is None and not any(plain(name) in UNITS for name in arrays):
        raise DataError(
            f"{container.path} holds a dict without traces (it has "
            f"{listed(arrays) or 'no arrays'}); give an array, neurons x frames, or name one "
            "(--variable)"
        )
    return read_recording(container, options)


def _read(container: Container, source: Source, names: Roles[str]) -> Roles[AnyTable]:
    chosen: dict[str, str | None] = vars(names)
    # CaImAn's arrays are called by the way to them, all others as users see them.
    labels = {
        source.inside[name]: source.inside[name] if "." not in name else name
        for name in chosen.values()
        if name in source.inside
    }
    read = container.read(labels)
    found: dict[str, AnyTable] = {}
    for role, name in chosen.items():
        if name in source.inside:
            array = read[source.inside[name]]
            # MATLAB and movies have axes of length 1 too many.
            kept = [size for size in array.shape if size > 1]
            if array.ndim > 2 and len(kept) == 2 and not isinstance(array, LazyTable):
                array = array.reshape(kept)
            found[role] = array
        elif name is not None:
            found[role] = np.array(source.rates[name])
    if container.always_tables and 1 in found["traces"].shape:
        found["traces"] = np.asarray(found["traces"]).reshape(-1)
    return Roles(**found)


def _refuse_stale(source: Source, name: str) -> None:
    """CaImAn's F_dff is not computed anew where its components change."""
    shape = source.arrays[name].shape
    for other in source.same_group(name, ("c",)):
        current = source.arrays[other].shape
        if current != shape:
            raise DataError(
                f"{source.path}: {name} is {shape}, but {other} is {current}: it is of an "
                "earlier choice of components; run detrend_df_f in CaImAn again"
            )


def _facts(source: Source, choice: Choice, values: Roles[AnyTable], options: ReadOptions) -> Facts:
    """What the arrays beside the traces say of them, and the unit."""
    names, traces = choice.names, values.traces
    rate = None
    if values.rate is not None:
        rate = one_rate(source.path, str(names.rate), np.asarray(values.rate))
    times, notes = None, []
    if values.times is not None and names.times is not None:
        info = source.arrays[names.times]
        is_date = str(info.attributes.get("kind")).startswith("datetime64")  # pandas'
        stamps, unit = np.asarray(values.times), "ns" if is_date else info.unit
        counted = stamps.size > 2 and stamps.flat[0] in (0, 1)
        counted = counted and bool((np.diff(stamps.ravel()) == 1).all())
        # Numbers of the frames, from 0 or 1, are no times where nothing names a unit.
        if counted and unit is None and time_unit(_last(names.times)) == "":
            notes.append(f"{names.times} counts the frames: not used")
        else:
            times = times_in(stamps, time_unit(_last(names.times)) or unit)
    # A single trace, of no name of fluorescence, that only counts up.
    if choice.unit is None and traces.size == max(traces.shape, default=0) > 2:
        steps = np.diff(np.ravel(np.asarray(traces)))
        if steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-6):  # as float32 rounds them
            raise DataError(
                f"{source.path}: {names.traces} counts up in equal steps, as a counter or time "
                "stamps do; name the fluorescence (--variable)"
            )
    orientation = options.orientation or choice.orientation
    if orientation is None and times is not None:
        orientation = orientation_by(traces.shape, times.size)
    if orientation is None and values.cells is not None and traces.ndim == 2:
        # The axis that has one ROI for each row of `iscell`, if that decides it.
        rows = values.cells.shape
        count = max(rows) if 1 in rows or len(rows) == 1 else rows[0]
        if traces.shape[0] != traces.shape[1] and count in traces.shape:
            orientation = "neuron-time" if count == traces.shape[0] else "time-neuron"
    return Facts(
        times=times,
        frame_rate=rate,
        rate_from=str(names.rate or ""),
        orientation=orientation,
        unit=choice.unit,
        names=_names_of_pandas(source, names.traces, traces.shape),
        notes=notes,
        segment_starts=_starts(source, choice, values, options, notes),
    )


def _names_of_pandas(source: Source, traces: str, shape: tuple[int, ...]) -> Sequence[str] | None:
    names = source.texts.get(f"{_group(traces)}.block0_items", "").split("\n")
    return names if plain(traces) in PANDAS and len(names) == shape[-1] else None


def _starts(
    source: Source,
    choice: Choice,
    values: Roles[AnyTable],
    options: ReadOptions,
    notes: list[str],
) -> tuple[int, ...]:
    """Frames with which trials or sessions begin: those of the cells that the traces were put
    together from, or where the numbers in an array change."""
    starts = source.arrays[choice.names.traces].starts
    if values.pieces is None or len(starts) > 1:
        return starts
    labels = np.ravel(np.asarray(values.pieces))
    if labels.size not in values.traces.shape:
        raise DataError(
            f"{source.path}: {choice.names.pieces} has {labels.size} values, not one for each "
            "frame; name another (--segments)"
        )
    found = starts_of(labels)
    # What changes all the time is no number of a trial.
    if column_of(options.segments) is None and labels.size < SHORTEST_PIECES * len(found):
        return starts
    if len(found) > 1:
        notes.append(f"{len(found)} segments, where {choice.names.pieces} changes")
    return found


def _of_traces(
    path: Path, choice: Choice, values: Roles[AnyTable], options: ReadOptions, facts: Facts
) -> Recording:
    """The recording of traces of which nothing is said by ROI."""
    note = f"{choice.unit or 'traces'} from {choice.names.traces}{choice.also}"
    if len(facts.segment_starts) > 1:
        note += f", {len(facts.segment_starts)} trials, each a segment of its own"
    # The name of an array without one says nothing.
    notes = [note] if choice.names.traces != "array" else []
    facts = replace(facts, notes=[*notes, *facts.notes, *no_neuropil(options)])
    shape = values.traces.shape
    if values.ids is not None and len(shape) == 2:
        ids = np.ravel(np.asarray(values.ids))
        count = shape[1] if facts.orientation == "time-neuron" else shape[0]
        if ids.size == count == len(np.unique(ids)):
            facts = replace(facts, names=as_names(ids))
    return make_recording(path, values.traces, options, facts)


def _of_rois(
    path: Path, choice: Choice, values: Roles[AnyTable], options: ReadOptions, facts: Facts
) -> Recording:
    """The recording of ROIs, of which some may be no cells or have neuropil."""
    names, traces, around = choice.names, values.traces, values.neuropil
    title = names.traces
    if traces.ndim != 2 or not traces.size:
        raise DataError(f"{path}: {title} has shape {traces.shape}; give ROIs x frames")
    turned = facts.orientation == "time-neuron"
    if values.residuals is not None:
        traces = elementwise(np.add, traces, values.residuals)
        title = f"{title} + {names.residuals}"
    if turned:
        traces, around = traces.T, None if around is None else around.T
    count, kind = len(traces), "components" if names.residuals or names.components else "ROIs"
    what, numbers = str(names.cells or names.components), None
    if values.cells is not None and not options.all_rois:
        numbers = accepted(path, np.asarray(values.cells), count=count, what=what)
    elif values.components is not None:
        numbers = numbered(path, np.asarray(values.components), count=count, what=what)
    rate = facts.frame_rate
    # How long a run of one value may be depends on its length in s.
    if not (options.frame_rate or rate) and facts.times is not None:
        rate = rate_of(np.ravel(facts.times))
    settings: list[str] = []
    share, bad, folders = (
        None if each is None else np.ravel(np.asarray(each))
        for each in (values.share, values.bad, values.folders)
    )
    neuropil = Neuropil(
        around,
        names.neuropil or ("Fneu" if names.cells else ""),
        neuropil_share(share, options, settings),
    )
    cells = None if numbers is None else Kept(numbers, what, kind)
    table, kept, more = corrected(path, traces, neuropil, cells, options, frame_rate=rate)
    starts = facts.segment_starts
    if folders is not None and len(starts) == 1:
        starts = folder_starts(folders, table.shape[1], settings)
    table = without_bad_frames(table, bad, settings)
    first = f"{choice.unit or 'traces'} from {title}, {kept.size} of {count} {kind}"
    facts = replace(
        facts,
        orientation=facts.orientation or ("neuron-time" if names.cells else None),
        names=[str(number) for number in kept],
        notes=[first + choice.also, *facts.notes, *more, *settings],
        segment_starts=starts,
    )
    return make_recording(path, table.T if turned else table, options, facts)
