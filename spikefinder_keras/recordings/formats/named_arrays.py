"""The layout of named arrays: which of them is fluorescence, time stamps, neuropil and so on.

`.npz`, `.mat`, HDF5, Zarr and pickled dicts only differ in how an array is read. What an array is
tell its shape, its neighbours and its name together; where these leave two readings, the user is
asked. An array of a struct or group has a dotted name, `data.dff`. CaImAn's HDF5 files are named
arrays, too, of one group.
"""

import functools
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...arrays import Array, Numbers, Times
from ...errors import DataError, UsageError
from ..inputs import as_names, orientation_of, rate_of, times_in
from ..lazy import AnyTable, LazyTable, elementwise
from ..options import ReadOptions
from ..recording import Recording, orientation_by
from .container import ArrayInfo, Container, plain
from .hdf5 import Hdf5File
from .rois import Neuropil, accepted, checked_cells, corrected, numbered
from .tables import Facts, make_recording, one_rate, only_orientation

# Names by which programs and laboratories call arrays, as `container.plain` makes them


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


RELATIVE = _names(
    """dftraces fdff dff df dff0 dfof dfof0 dfoverf dfoverf0 deltaf deltaff deltaff0 deltafof
    deltafoverf deltafoverf0 dfftraces tracesdff"""
)
"""Names of dF/F."""

RAW = _names(
    """f fluorescence fcell craw temporalweights fraw rawf ftraces rawtraces rawfluorescence fluo
    fluorescencetraces"""
)
"""Names of fluorescence: of suite2p (F), CNMF-E (C_raw), EXTRACT (temporal_weights) and others."""

TRACES = _names("traces calcium calciumtraces signals")
"""Names of either."""

UNITS: dict[str, str | None] = {
    **dict.fromkeys(RELATIVE, "dF/F"),
    **dict.fromkeys(RAW, "F"),
    **dict.fromkeys(TRACES),
}
"""The unit that a name of traces tells."""

DECONVOLVED = _names(
    """spikeprob spikeprobability spikerates spikes spks s deconvolved events rates sp spikerate
    deconv discretespikes"""
)
DENOISED = _names("c denoised cdec cdenoised denoisedtraces")
RESIDUALS = _names("yra r residuals")
"""Names of what denoising took away; Minian's YrA is the whole trace."""

NEUROPIL = _names("fneu fcellneu neuropil neuropiltraces")
CELLS = _names("iscell")
COMPONENTS = _names("idxcomponents")
IDS = _names("unitid unitids roiid roiids cellid cellids neuronid neuronids")
FRAME_RATES = _names(
    """framerate fs fr fps samplingrate imagingrate samplerate framerates volumerate
    samplingfrequency"""
)

OTHERS = _names(
    """a b b0 w cn sn spatialweights coordinates ain corrimg
    names spiketimes spikeneurons frame frames index id ids f0 bl snr snrcomp rvalues cnnpreds
    stim stimulus x y xy centroid centroids com center centers coords xoff yoff redcell lam g
    animal session height width depth trial trials unit neuron cell cells rois roi neurons
    accepted rejected keep baseline background meanimg maxproj refimg framenumber framenumbers
    counter"""
)
"""Names of arrays that are never taken for fluorescence without being asked for."""

BACKGROUND_NEIGHBOURS = _names("c a b s yra cn")
"""Beside one of these, `f` is CaImAn's temporal background and no suite2p fluorescence `F`."""

_TIME = re.compile("(?:frame)?(?:times?|t|timestamps?)(?:in)?(s|sec|seconds|ms|us|min|minutes)?")

MOST_LISTED = 12
"""More arrays than this make no readable message."""

ABSENT = "NoneType"
"""How CaImAn writes a value that is not there."""

CAIMAN_TRACES = ("F_dff", "C", "YrA", "R")
CAIMAN_RATE = "params/data/fr"


def time_unit(name: str, unit: str | None = None) -> str | None:
    """The unit of time stamps by their name, `ms` of `time_ms`, else `unit`; None for no times."""
    match = _TIME.fullmatch(plain(name))
    if match is None:
        return None
    return match[1] or ("s" if unit is None else unit)


# What there is


@dataclass(frozen=True)
class Source:
    """The arrays of numbers that a layout chooses from, by the names that users see.

    Attributes
    ----------
    path
        Named in errors.
    arrays
        Attributes that are frame rates among them, as arrays of one number.
    inside
        What the container calls each.
    rates
        The attributes, in Hz.
    """

    path: Path
    arrays: dict[str, ArrayInfo]
    inside: dict[str, str]
    rates: dict[str, float]


def source_of(container: Container) -> Source:
    """All arrays of numbers in a container, not too deep in it."""
    arrays: dict[str, ArrayInfo] = {}
    inside: dict[str, str] = {}
    rates: dict[str, float] = {}
    for name, info in container.shallow.items():
        shown = name.replace(container.separator, ".")
        if isinstance(info, ArrayInfo):
            if not info.is_numeric:
                continue
            arrays[shown], inside[shown] = info, name
        for attribute, value in info.attributes.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if plain(attribute) in FRAME_RATES:
                rate_name = f"{shown}.{attribute}".lstrip(".")
                arrays.setdefault(rate_name, ArrayInfo((), "<f8"))
                rates.setdefault(rate_name, float(value))
    return Source(container.path, arrays, inside, rates)


def is_caiman(file: Hdf5File) -> bool:
    """Whether an HDF5 file is CaImAn's: `estimates/F_dff`, or `C`, and `params/data/fr`."""
    group = "estimates" in file.groups
    return group and any(name in file.objects for name in ("params", "estimates/C"))


def source_of_caiman(file: Hdf5File, variable: str | None) -> Source:
    """The arrays of CaImAn's estimates that a recording needs.

    Raises
    ------
    DataError
        If there are no traces among them, or denoised ones alone.
    """
    inside = {}
    for name in (*CAIMAN_TRACES, "S", "f", "idx_components"):
        if found := _caiman_array(file, f"estimates/{name}"):
            inside[name] = found
    for name in CAIMAN_TRACES:
        if name in inside and len(file.arrays[inside[name]].shape) != 2:
            shape = file.arrays[inside[name]].shape
            raise _unreadable(file, f"estimates/{name} has shape {shape}; expected two axes")
    if variable is None and not {"F_dff", "C"} & inside.keys():
        raise _unreadable(
            file, "it has neither estimates/F_dff nor C and YrA; run detrend_df_f in CaImAn"
        )
    if "F_dff" not in inside and "C" in inside and not {"YrA", "R"} & inside.keys():
        raise DataError(
            f"{file.path} has only the denoised traces C; run detrend_df_f in CaImAn, or "
            "save YrA too"
        )
    if found := _caiman_array(file, CAIMAN_RATE):
        inside[CAIMAN_RATE] = found
    arrays = {name: file.arrays[where] for name, where in inside.items()}
    return Source(file.path, arrays, inside, {})


def _caiman_array(file: Hdf5File, path: str) -> str | None:
    """What the file calls an array; None if it is not there, or None itself."""
    where = file.find(path)
    if where is None or (where in file.arrays and file.arrays[where].text == ABSENT):
        return None
    if where not in file.arrays:
        raise _unreadable(file, f"{path} is no array")
    if not file.arrays[where].is_numeric:
        values = file.arrays[where].dtype
        raise _unreadable(file, f"{path} holds {values} values, not real numbers")
    return where


def _unreadable(file: Container, reason: str) -> DataError:
    return DataError(f"{file.path} cannot be read: {reason}")


def listed(arrays: Mapping[str, ArrayInfo]) -> str:
    """Names and shapes for a message."""
    names = [f"{name} {'x'.join(map(str, info.shape)) or '1'}" for name, info in arrays.items()]
    more = f" and {len(names) - MOST_LISTED} more" if names[MOST_LISTED:] else ""
    return ", ".join(names[:MOST_LISTED]) + more


# Which array is what


@dataclass(frozen=True)
class Choice:
    """Names of the arrays that were chosen.

    Attributes
    ----------
    traces
    residuals
        To be added to the traces.
    neuropil, times, rate
    cells
        1 for each ROI that is a cell.
    components
        Numbers of the cells.
    ids
        Of the neurons.
    unit
    orientation
        Of the traces, where their name or dimensions tell.
    others
        Further arrays that could have been fluorescence.
    """

    traces: str
    residuals: str | None = None
    neuropil: str | None = None
    times: str | None = None
    rate: str | None = None
    cells: str | None = None
    components: str | None = None
    ids: str | None = None
    unit: str | None = None
    orientation: str | None = None
    others: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Of all of them."""
        roles = (
            self.traces,
            self.residuals,
            self.neuropil,
            self.times,
            self.rate,
            self.cells,
            self.components,
            self.ids,
        )
        return [name for name in roles if name is not None]


def choose(source: Source, variable: str | None = None) -> Choice:
    """Say which array of a file is fluorescence, time stamps, frame rate and so on.

    Parameters
    ----------
    source
    variable
        Name of the fluorescence array, if it is stated.

    Raises
    ------
    DataError
        If there is no fluorescence, or none but deconvolved or denoised.
    UsageError
        If it is not plain which, or there is no `variable`.
    """
    view = _View(source)
    traces = view.fluorescence() if variable is None else view.named(variable)
    name, info = plain(traces), source.arrays[traces]
    residuals = view.residuals(traces) if name in DENOISED else None
    unit = "F" if residuals or name == "yra" else UNITS.get(name)
    neuropil = None
    if not residuals and (unit == "F" or name in TRACES):
        neuropil = view.neuropil(traces)
    # Names of dimensions come from attributes, which may be another array's.
    orientation = orientation_of(info.dimensions) if len(info.shape) == 2 else None
    beside = [n for n in view.beside(traces) if n not in (traces, residuals, neuropil)]
    ids = [n for n in beside if plain(n) in IDS and view.size(n) in info.shape]
    if orientation:
        ids = view.coordinates(traces, axis=0 if orientation == "neuron-time" else 1) + ids
    return Choice(
        traces,
        residuals=residuals,
        neuropil=neuropil,
        times=view.times(traces, beside),
        rate=view.rate(traces, beside),
        cells=_first(n for n in beside if plain(n) in CELLS),
        components=_first(n for n in beside if plain(n) in COMPONENTS),
        ids=_first(ids),
        unit=unit,
        # EXTRACT writes time x neuron, against MATLAB's habit.
        orientation="time-neuron" if name == "temporalweights" else orientation,
        others=tuple(n for n in view.candidates() if n != traces and plain(n) in UNITS),
    )


def _first(names: Sequence[str] | Iterator[str]) -> str | None:
    return next(iter(names), None)


class _View:
    """A file's arrays, and questions about them."""

    def __init__(self, source: Source) -> None:
        self.path, self.arrays = source.path, source.arrays
        self.listed = listed(source.arrays) or "nothing of numbers"

    def size(self, name: str) -> int:
        return self.arrays[name].size

    def neighbours(self, name: str) -> list[str]:
        """Arrays of the same group or struct."""
        group = _group(name)
        return [other for other in self.arrays if _group(other) == group]

    def beside(self, name: str) -> list[str]:
        """Its own and its neighbours first, then arrays below, then those further up, then all."""
        group = _group(name)

        def distance(other: str) -> int:
            theirs = _group(other)
            if theirs in (group, name):
                return 0
            if theirs.startswith(group):
                return 1 + theirs.count(".")
            return 10 if group.startswith(theirs) else 20

        return sorted(self.arrays, key=distance)

    def neuropil(self, traces: str) -> str | None:
        """The neuropil of the same ROIs."""
        shape = self.arrays[traces].shape
        near = (n for n in self.neighbours(traces) if plain(n) in NEUROPIL)
        return _first(n for n in near if self.arrays[n].shape == shape)

    def coordinates(self, traces: str, *, axis: int) -> list[str]:
        """The coordinates of an axis: xarray's have the name of its dimension."""
        info = self.arrays[traces]
        own = (info.dimensions or ())[axis]
        near = (n for n in self.neighbours(traces) if n.rpartition(".")[2] == own)
        return [n for n in near if self.size(n) == info.shape[axis]]

    def times(self, traces: str, beside: Sequence[str]) -> str | None:
        """The time stamps, if possible as many as there are frames; single numbers are none."""
        shape = self.arrays[traces].shape
        found = [n for n in beside if time_unit(n) and (self.size(n) > 1 or set(shape) == {1})]
        return _first(sorted(found, key=lambda n: self.size(n) not in shape))

    def rate(self, traces: str, beside: Sequence[str]) -> str | None:
        """The frame rate; what another array has as its attribute is that one's."""
        found = (n for n in beside if plain(n) in FRAME_RATES)
        return _first(n for n in found if _group(n) == traces or _group(n) not in self.arrays)

    def is_background(self, name: str) -> bool:
        """Whether `f` is CaImAn's temporal background, and no suite2p fluorescence `F`."""
        if re.split(r"[./]", name)[-1] != "f":
            return False
        names = {plain(n) for n in self.neighbours(name) if n != name}
        dimensions = self.arrays[name].dimensions
        alone = dimensions is not None and orientation_of(dimensions) is None
        return bool(names & BACKGROUND_NEIGHBOURS) or alone

    @functools.cached_property
    def frame_counts(self) -> set[int]:
        """Numbers of frames that time stamps or traces of known names have; may be empty."""
        sizes = {self.size(name) for name in self.arrays if time_unit(name)}
        tables = [info.shape for name, info in self.arrays.items() if self._is_trace_name(name)]
        tables = [shape for shape in tables if len(shape) == 2 and min(shape) > 1]
        fitting = {size for size in sizes if size > 1 and any(size in s for s in tables)}
        return fitting or {max(shape) for shape in tables}

    def _is_trace_name(self, name: str) -> bool:
        known = (UNITS, DECONVOLVED, DENOISED, RESIDUALS, NEUROPIL)
        return any(plain(name) in names for names in known) and not self.is_background(name)

    def fits(self, name: str) -> bool:
        """Whether an array can be traces by its shape and its neighbours."""
        shape = self.arrays[name].shape
        longest = max(shape, default=0)
        if math.prod(shape) < 2 or (len(shape) > 2 and _axes(shape) > 2):
            return plain(name) in UNITS and len(shape) > 0 and not self.frame_counts
        counts = self.frame_counts
        if _axes(shape) == 1:  # a vector: beside tables a number for each cell
            return not counts or longest in counts
        return not counts or any(size in counts for size in shape)

    def candidates(self) -> list[str]:
        """Arrays that can be fluorescence, in the file's order."""
        helpers = (FRAME_RATES, NEUROPIL, CELLS, COMPONENTS, IDS, OTHERS)
        processed = (DECONVOLVED, DENOISED, RESIDUALS)
        return [
            name
            for name in self.arrays
            if not any(plain(name) in names for names in (*helpers, *processed))
            and not time_unit(name)
            and not self.is_background(name)
            and self.fits(name)
        ]

    def fluorescence(self) -> str:
        """The name of the fluorescence."""
        possible = self.candidates()
        chosen = self._known(possible) or self._denoised_with_residuals()
        return chosen or self._unknown(possible) or self._nothing()

    def _known(self, possible: Sequence[str]) -> str | None:
        """The array with a known name, as near the root of the file as there is one."""
        depth = min((_group(n).count(".") for n in possible if plain(n) in UNITS), default=None)
        # dF/F goes before fluorescence: its program has found the baseline already.
        for names in (RELATIVE, RAW, TRACES):
            known = [n for n in possible if plain(n) in names and _group(n).count(".") == depth]
            if len(known) > 1:
                raise self._ask(known)
            if known:
                return known[0]
        return None

    def _denoised_with_residuals(self) -> str | None:
        for name in self.arrays:
            if plain(name) == "yra" and self.arrays[name].dimensions is not None:
                return name  # of Minian, whose YrA is the whole trace
        for name in self.arrays:
            if plain(name) in DENOISED and self._residuals(name):
                return name
        return None

    def _unknown(self, possible: Sequence[str]) -> str | None:
        """The only array of an unknown name, tables before vectors."""
        unknown = [n for n in possible if plain(n) not in UNITS]
        unknown = [n for n in unknown if _axes(self.arrays[n].shape) == 2] or unknown
        if len(unknown) > 1:
            raise self._ask(unknown)
        return _first(unknown)

    def _nothing(self) -> str:
        for name in self.arrays:
            processed = any(plain(name) in names for names in (DECONVOLVED, DENOISED, RESIDUALS))
            if processed or self.is_background(name):
                self.refuse_processed(name)
        raise DataError(
            f"{self.path} holds no array of traces (it has {self.listed}); save neurons x frames "
            "in it, or name an array (--variable)"
        )

    def _ask(self, names: Sequence[str]) -> UsageError:
        return UsageError(
            f"{self.path} holds several arrays; name the fluorescence (--variable) of "
            f"{listed({name: self.arrays[name] for name in names})}"
        )

    def _residuals(self, name: str) -> str | None:
        near = [n for n in self.neighbours(name) if plain(n) in RESIDUALS]
        same = [n for n in near if self.arrays[n].shape == self.arrays[name].shape]
        if near and not same:
            raise DataError(
                f"{self.path}: {name} is {self.arrays[name].shape}, but {near[0]} is "
                f"{self.arrays[near[0]].shape}; save both of the same run"
            )
        return same[0] if same else None

    def residuals(self, name: str) -> str | None:
        """What is to be added to denoised traces, or `DataError`."""
        found = self._residuals(name)
        if found is None:
            self.refuse_processed(name)
        return found

    def named(self, variable: str) -> str:
        """The array that is asked for."""
        matches = [n for n in self.arrays if n == variable]
        matches = matches or [n for n in self.arrays if f".{n}".endswith(f".{variable}")]
        if len(matches) != 1:
            raise UsageError(
                f"{self.path} has no array {variable}; choose from {self.listed} (--variable)"
            )
        name = matches[0]
        if plain(name) in DENOISED and self._residuals(name):
            return name
        if plain(name) in DECONVOLVED or plain(name) in DENOISED or self.is_background(name):
            self.refuse_processed(name)
        return name

    def refuse_processed(self, name: str) -> None:
        """Raise `DataError` for an array that is no fluorescence any more."""
        raw = [n for n in self.arrays if plain(n) in UNITS and not self.is_background(n)]
        raw += [n for n in self.arrays if plain(n) == "yra"]
        use = f"; use {raw[0]}" if raw and raw[0] != name else ""
        background = "a temporal background" if self.is_background(name) else None
        refuse_processed(self.path, name, there=f" (it has {self.listed}{use})", what=background)


def _group(name: str) -> str:
    return name.rpartition(".")[0]


def _axes(shape: Sequence[int]) -> int:
    """How many axes are longer than 1."""
    return sum(size > 1 for size in shape)


def refuse_processed(path: Path, name: str, *, there: str = "", what: str | None = None) -> None:
    """Raise `DataError` if `name` says that its array is deconvolved or denoised already.

    `there` says what else the file has; `what` names another reason.
    """
    if what is None:
        kinds: dict[str, Collection[str]] = {
            "deconvolved already": DECONVOLVED,
            "denoised already": DENOISED,
            "only what denoising took away": RESIDUALS,
        }
        what = _first(kind for kind, names in kinds.items() if plain(name) in names)
        if plain(name) in DENOISED:
            there = f" (C + YrA of CaImAn, YrA of Minian){there}"
    if what is not None:
        raise DataError(
            f"{path}: {name} is {what}; give the fluorescence or dF/F it was made from{there}"
        )


# What was chosen, read


@dataclass(frozen=True)
class Arrays:
    """The arrays of a `Choice`.

    `times` are in s, `rate` in Hz; `counter` names an array that is called time but only counts
    frames; `starts` are the frames with which trials begin.
    """

    traces: AnyTable
    residuals: AnyTable | None
    neuropil: AnyTable | None
    times: Times | None
    rate: float | None
    cells: Array | None
    components: Array | None
    ids: Array | None
    counter: str | None
    starts: tuple[int, ...]


def read_recording(container: Container, options: ReadOptions) -> Recording:
    """The recording in a container of named arrays.

    Raises
    ------
    DataError, UsageError
        As `choose`, and if the arrays do not fit each other.
    """
    caiman = isinstance(container, Hdf5File) and is_caiman(container)
    if isinstance(container, Hdf5File) and caiman:
        source = source_of_caiman(container, options.variable)
    else:
        source = source_of(container)
    choice = choose(source, options.variable)
    arrays = _read(container, source, choice)
    if options.variable is None:
        _refuse_stale(source, choice.traces)
    if caiman:
        only_orientation(container.path, options.orientation, "neuron-time")
        choice = replace(choice, orientation="neuron-time")
    _refuse_counter(source.path, choice, arrays.traces)
    orientation = _orientation(choice, arrays, options)
    if choice.residuals or choice.neuropil or choice.cells or choice.components:
        return _of_rois(source.path, choice, arrays, options, orientation)
    return _of_traces(source.path, choice, arrays, options, orientation)


def read_pickled(container: Container, options: ReadOptions) -> Recording:
    """As `read_recording`, of a dict that must have traces of a known name.

    Dicts of parameters have many arrays, any of which could be traces by its shape.
    """
    arrays = source_of(container).arrays
    if options.variable is None and not any(plain(name) in UNITS for name in arrays):
        raise DataError(
            f"{container.path} holds a dict without traces (it has "
            f"{listed(arrays) or 'no arrays'}); give an array, neurons x frames, or name one "
            "(--variable)"
        )
    return read_recording(container, options)


def _read(container: Container, source: Source, choice: Choice) -> Arrays:
    names = [name for name in choice.names if name in source.inside]
    read = container.read({source.inside[name]: _label(source, name) for name in names})
    values: dict[str | None, AnyTable] = {name: read[source.inside[name]] for name in names}

    def small(name: str | None) -> Array | None:
        return np.asarray(values[name]) if name in values else None

    traces = values[choice.traces]
    if container.always_tables and 1 in traces.shape and not isinstance(traces, LazyTable):
        traces = traces.reshape(-1)
    times, counter = small(choice.times), None
    if times is not None and choice.times is not None:
        unit = source.arrays[choice.times].unit
        if _only_counts(np.ravel(times), choice.times, unit):
            times, counter = None, choice.times
        else:
            times = times_in(times, time_unit(choice.times, unit))
    rate = None
    if choice.rate is not None:
        stated = values.get(choice.rate, source.rates.get(choice.rate))
        rate = one_rate(source.path, choice.rate, np.asarray(stated))
    return Arrays(
        traces=_two_axes(traces),
        residuals=_two_axes(values[choice.residuals]) if choice.residuals else None,
        neuropil=_two_axes(values[choice.neuropil]) if choice.neuropil else None,
        times=times,
        rate=rate,
        cells=small(choice.cells),
        components=small(choice.components),
        ids=small(choice.ids),
        counter=counter,
        starts=source.arrays[choice.traces].starts,
    )


def _label(source: Source, name: str) -> str:
    """What messages call an array: as users see it, one of CaImAn's by the way to it."""
    inside = source.inside[name]
    return inside if "/" in inside and "." not in name else name


def _refuse_stale(source: Source, name: str) -> None:
    """CaImAn's F_dff is not computed anew where its components change."""
    shape = source.arrays[name].shape
    for other, info in source.arrays.items():
        same_group = _group(other) == _group(name)
        if plain(name) == "fdff" and plain(other) == "c" and same_group and info.shape != shape:
            raise DataError(
                f"{source.path}: {name} is {shape}, but {other} is {info.shape}: it is of an "
                "earlier choice of components; run detrend_df_f in CaImAn again"
            )


def _only_counts(values: Array, name: str, unit: str | None) -> bool:
    """Whether time stamps without a unit count the frames, from 0 or 1."""
    counted = values.size > 2 and values[0] in (0, 1) and bool((np.diff(values) == 1).all())
    return counted and unit is None and time_unit(name, "") == ""


def _two_axes(array: AnyTable) -> AnyTable:
    """Axes of length 1 too many, as MATLAB and movies have them, left out."""
    if array.ndim > 2 and not isinstance(array, LazyTable):
        kept = [size for size in array.shape if size > 1]
        return array.reshape(kept) if len(kept) == 2 else array
    return array


def _refuse_counter(path: Path, choice: Choice, traces: AnyTable) -> None:
    """Raise `DataError` if a single trace, of no name of fluorescence, only counts up."""
    if choice.unit is None and traces.size == max(traces.shape, default=0) > 2:
        steps = np.diff(np.ravel(np.asarray(traces)))
        if steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-6):  # as float32 rounds them
            raise DataError(
                f"{path}: {choice.traces} counts up in equal steps, as a counter or time stamps "
                "do; name the fluorescence (--variable)"
            )


def _orientation(choice: Choice, arrays: Arrays, options: ReadOptions) -> str | None:
    """As stated, as names tell it, as time stamps, as a number for each ROI; else None."""
    shape = arrays.traces.shape
    found = options.orientation or choice.orientation
    if found is None and arrays.times is not None:
        found = orientation_by(shape, arrays.times.size)
    if found is None and arrays.cells is not None and len(shape) == 2 and len(set(shape)) == 2:
        cells = arrays.cells
        count = max(cells.shape) if 1 in cells.shape or cells.ndim == 1 else len(cells)
        found = {shape[0]: "neuron-time", shape[1]: "time-neuron"}.get(count)
    return found


def _of_traces(
    path: Path, choice: Choice, arrays: Arrays, options: ReadOptions, orientation: str | None
) -> Recording:
    """The recording of traces of which nothing is said by ROI."""
    note = f"{choice.unit or 'traces'} from {choice.traces}{_also(choice)}"
    if len(arrays.starts) > 1:
        note += f", {len(arrays.starts)} trials, each a segment of its own"
    # The name of an array without one says nothing.
    notes = [note] if choice.traces != "array" else []
    facts = Facts(
        times=arrays.times,
        frame_rate=arrays.rate,
        orientation=orientation,
        unit=choice.unit,
        names=_ids(arrays.ids, arrays.traces.shape, orientation),
        notes=[*notes, *_counter(arrays)],
        segment_starts=arrays.starts,
    )
    return make_recording(path, arrays.traces, options, facts)


def _of_rois(
    path: Path, choice: Choice, arrays: Arrays, options: ReadOptions, orientation: str | None
) -> Recording:
    """The recording of ROIs, of which some may be no cells or have neuropil."""
    traces, name = arrays.traces, choice.traces
    if traces.ndim != 2 or not traces.size:
        raise DataError(f"{path}: {name} has shape {traces.shape}; give ROIs x frames")
    turned = orientation == "time-neuron"
    traces = traces.T if turned else traces
    if arrays.residuals is not None:
        residuals = arrays.residuals.T if turned else arrays.residuals
        traces = elementwise(np.add, traces, residuals)
        name = f"{name} + {choice.residuals}"
    kind = "components" if choice.residuals or choice.components else "ROIs"
    kept, left_out = checked_cells(
        path,
        _kept(path, choice, arrays, options, len(traces)),
        count=len(traces),
        what=choice.cells or choice.components or "",
        kind=kind,
        all_rois=options.all_rois,
    )
    times = arrays.times
    known = options.frame_rate or arrays.rate
    neuropil = arrays.neuropil.T if turned and arrays.neuropil is not None else arrays.neuropil
    table, more = corrected(
        path,
        traces,
        Neuropil(
            neuropil,
            options.neuropil_share(),
            choice.neuropil or ("Fneu" if choice.cells else ""),
        ),
        kept=kept,
        frame_rate=known or (rate_of(np.ravel(times)) if times is not None else None),
    )
    first = f"{choice.unit or 'traces'} from {name}, {kept.size} of {len(traces)} {kind}"
    facts = Facts(
        times=times,
        frame_rate=arrays.rate,
        orientation=orientation or ("neuron-time" if choice.cells else None),
        unit=choice.unit,
        names=[str(number) for number in kept],
        notes=[first + _also(choice), *_counter(arrays), *left_out, *more],
        segment_starts=arrays.starts,
    )
    return make_recording(path, table.T if turned else table, options, facts)


def _kept(
    path: Path, choice: Choice, arrays: Arrays, options: ReadOptions, count: int
) -> Numbers | None:
    """Numbers of the ROIs that are cells; None where nothing is said of it."""
    if arrays.cells is not None and not options.all_rois:
        return accepted(path, arrays.cells, count=count, what=str(choice.cells))
    if arrays.components is not None:
        what = str(choice.cells or choice.components)
        return numbered(path, arrays.components, count=count, what=what)
    return None


def _also(choice: Choice) -> str:
    return f" (there are also {', '.join(choice.others)})" if choice.others else ""


def _counter(arrays: Arrays) -> list[str]:
    return [f"{arrays.counter} counts the frames: not used"] if arrays.counter else []


def _ids(
    ids: Array | None, shape: Sequence[int], orientation: str | None
) -> tuple[str, ...] | None:
    """Names from an array of numbers, if it has one for each neuron."""
    if ids is None or len(shape) != 2:
        return None
    count = shape[1] if orientation == "time-neuron" else shape[0]
    ids = np.ravel(ids)
    return as_names(ids) if ids.size == count == len(np.unique(ids)) else None
