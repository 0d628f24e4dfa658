"""A recording of somebody's own, what predicts it, its rates, and how far to trust them.

Everything between the readers, the networks and the writers is one of these, whatever file it is
in. Inside, arrays are `(frame, neuron)`, as everywhere in the package.
"""

import html
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import Array, Numbers, Rates, Table, Times
from ..errors import UsageError
from ..files.atomic import read_small
from ..network.engine import Engine, one_core
from ..text import counted
from .segments import (
    NONE_MISSING,
    MissingCounts,
    Segment,
    find_segments,
    mark_missing,
    only_segment,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Found = TypeVar("Found")

# Tables in memory, or in their file and read some rows at a time: a chunk

GROUP_SAMPLES = 1_000_000  # a core predicts so many at 100 Hz at a time; more gain nothing

CHUNK = 128 << 20
"""A recording is read, predicted and written in chunks of at most so many bytes: more gain nothing,
and would be lost with an interrupted run."""

SHARE = 8  # a chunk is at most such a part of the budget: two of it, its rates, and the work
LEAST, MOST = 64 << 20, 1 << 62  # the least and the largest budget, in bytes
USUAL_MEMORY = 8 << 30  # bytes of a machine that does not say how much it has (Windows)
READ_ON = 4
"""Reading rows that lie between the wanted ones, up to so many times as many, is faster than to
jump from one to the next."""

_SIZE = re.compile(r"(\d+\.?\d*|\.\d+)\s*([kmgt]?)(i?b)?", re.IGNORECASE)
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Rows:
    """Rows of a table in memory, and what the reader of them found to be no data."""

    values: Array
    missing: MissingCounts = NONE_MISSING


Loader: TypeAlias = Callable[[int, Numbers], Rows]
"""Reads the rows with some increasing numbers along an axis (0 or 1): `(number, other axis)`."""


class LazyTable:
    """A table of numbers in a file; `axis` is along which axis of what is loaded the rows lie.

    It has what a reader asks of an array: `shape`, `dtype`, `ndim`, `size`, `T`. Values are read by
    `rows`; indexed as an array, it reads the columns that are asked for.
    """

    ndim = 2

    def __init__(
        self, shape: Sequence[int], dtype: DTypeLike, *, load: Loader, axis: int = 0
    ) -> None:
        rows, columns = shape
        self.shape, self.dtype = (int(rows), int(columns)), np.dtype(dtype)
        self._load, self._axis = load, axis

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def T(self) -> "LazyTable":
        return LazyTable(self.shape[::-1], self.dtype, load=self._load, axis=1 - self._axis)

    def load(self, numbers: Sequence[int] | Numbers) -> Rows:
        """Read the rows of these increasing numbers."""
        return self._load(self._axis, np.asarray(numbers, np.int64))

    def rows(self, numbers: Sequence[int] | Numbers) -> Array:
        """The values of the rows of these increasing numbers."""
        return self.load(numbers).values

    def keep(self, numbers: Numbers) -> "LazyTable":
        """The table of these rows alone, still in its file."""
        kept = np.asarray(numbers, np.int64)

        def load(axis: int, wanted: Numbers) -> Rows:
            if axis == 0:
                return self.load(kept[wanted])
            found = self.T.load(wanted)
            return Rows(found.values[:, kept], found.missing)

        return LazyTable((kept.size, self.shape[1]), self.dtype, load=load)

    def __getitem__(self, key: Any) -> Array:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        numbers = np.arange(self.shape[1])[columns]
        found = self.T.rows(np.atleast_1d(numbers)).T[rows]
        return found if np.ndim(numbers) else found[..., 0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(self.rows(np.arange(self.shape[0])), dtype)


AnyTable: TypeAlias = Table | LazyTable  # in memory or in its file


def elementwise(
    function: Callable[..., Array], *tables: AnyTable, dtype: DTypeLike | None = None
) -> AnyTable:
    """`function(*tables)`, of each value by itself: at once, or when rows are read where a table is
    in its file. All arrays are of one shape; `dtype` is the result's, by default the first
    table's."""
    return by_rows(lambda *rows: Rows(function(*rows)), *tables, dtype=dtype)


def by_rows(
    function: Callable[..., Rows], *tables: AnyTable, dtype: DTypeLike | None = None
) -> AnyTable:
    """As `elementwise`, of a function of whole rows that may find some of them to be no data."""
    if not any(isinstance(table, LazyTable) for table in tables):
        return function(*tables).values

    def load(axis: int, numbers: Numbers) -> Rows:
        loaded = [_load(table.T if axis else table, numbers) for table in tables]
        found = function(*(rows.values for rows in loaded))
        return Rows(found.values, sum((rows.missing for rows in loaded), found.missing))

    return LazyTable(tables[0].shape, dtype or tables[0].dtype, load=load)


def _load(table: AnyTable, numbers: Numbers) -> Rows:
    return table.load(numbers) if isinstance(table, LazyTable) else Rows(table[numbers])


def pick(array: Any, axis: int, numbers: Numbers) -> Array:
    """Rows `(number, other axis)` with increasing numbers, of anything that is indexed as an array
    of two axes: a mapped one, of HDF5 or of Zarr."""
    first, last = int(numbers[0]), int(numbers[-1]) + 1
    where: slice | list[int] = numbers.tolist()
    chosen: slice | Numbers = slice(None)
    if last - first <= READ_ON * numbers.size:
        where, chosen = slice(first, last), numbers - first
    array = getattr(array, "oindex", array)  # Zarr's, which takes lists of numbers
    found = np.asarray(array[where] if axis == 0 else array[:, where])
    return found[chosen] if axis == 0 else found[:, chosen].T


# How much memory a prediction may take


def parse_memory(text: str | None) -> int | None:
    """Bytes of a size such as `2GiB`, `500 MB` or `3g`; None for None. `UsageError` if it is no
    size, or too little to work in."""
    if text is None:
        return None
    match = _SIZE.fullmatch(str(text).strip())
    if match is None:
        raise UsageError(f"--memory {text}? give a size such as 2GiB or 500MB")
    # 2GB are powers of 1,000, 2GiB and 2G of 1,024, as `dd` has it.
    decimal = (match[3] or "").lower() == "b"
    unit = "kmgt".find(match[2].lower()) + 1 if match[2] else 0
    # A number of 400 digits is infinite as a float.
    size = int(min(float(match[1]) * (1_000 if decimal else 1_024) ** unit, MOST))
    if size < LEAST:
        text = str(text) if match[2] else f"{text} (bytes)"
        raise UsageError(f"--memory {text} is too little; give at least {LEAST >> 20}MiB")
    return size


def budget(memory: int | None = None) -> int:
    """Bytes that a prediction may take: as stated, else a quarter of the machine's."""
    return machine_memory() // 4 if memory is None else memory


def machine_memory() -> int:
    """Bytes of memory of this machine, or of the container that we are in."""
    found = []
    with suppress(AttributeError, ValueError, OSError):  # Windows does not say
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    # In a container the machine's memory is not what there is.
    for path in _LIMITS:
        with suppress(OSError, ValueError):
            found.append(int(read_small(path)))
    return min(found, default=USUAL_MEMORY)


def chunk_size(memory: int | None = None) -> int:
    """Bytes of a chunk within a budget in bytes."""
    return min(CHUNK, budget(memory) // SHARE)


def on_each_core(
    work: Callable[[range], Found], count: int, *, samples: int, threads: int
) -> list[Found]:
    """What `work` gives for each group of `count` neurons of so many samples at 100 Hz, in order;
    so many `threads` take a group at a time."""
    most = max(1, GROUP_SAMPLES // samples)
    # As many for each thread, or one works alone in the end.
    rounds = -(-count // (most * threads))
    size = -(-count // (rounds * threads))
    groups = [range(k, min(k + size, count)) for k in range(0, count, size)]

    def alone(group: range) -> Found:
        with one_core() if len(groups) >= threads else nullcontext():
            return work(group)

    pool = ThreadPoolExecutor(threads)
    try:
        return list(pool.map(alone, groups))
    finally:  # an interrupted run does not wait for groups that were not begun
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Recording:
    """Fluorescence traces of neurons recorded together.

    Use `as_recording` to make one from arrays.

    Attributes
    ----------
    fluorescence : (frame, neuron)
        NaN where missing. What stays in its file is marked as missing when it is read (`part`).
    times : (frame,)
        Time stamps in s, strictly increasing.
    frame_rate
        Typical number of frames per second, in Hz.
    names
        One per neuron: the ROI numbers or names of the file, in its order.
    unit
        One of `options.UNITS`, or None where nobody said.
    source
        Where it comes from, for messages and for the description of the result.
    notes
        What the reader did or saw that a user should know (neuropil subtracted, ROIs left out).
    segment_starts
        Frames with which a segment begins for certain; the first is 0.
    orientation
        One of `options.ORIENTATIONS`, of what was given; the rates of a prediction have it too.
    about
        What the file says of `indicator` and `species`, where it does.
    missing
        What was found to be no data when this part of a file was read.
    rate_from
        Where the frame rate is from, for messages.
    offsets
        One per neuron: s after each time stamp at which its frame was taken, of planes scanned one
        after another; empty where all are taken at once. Rates are at the time stamps whatever.
    """

    fluorescence: AnyTable
    times: Times
    frame_rate: float
    names: tuple[str, ...]
    unit: str | None = None
    source: str = "array"
    notes: tuple[str, ...] = ()
    segment_starts: tuple[int, ...] = (0,)
    orientation: str = "time-neuron"
    about: dict[str, str] = field(default_factory=dict)
    missing: MissingCounts = NONE_MISSING
    rate_from: str = ""
    offsets: tuple[float, ...] = ()

    def __repr__(self) -> str:
        frames, neurons = self.fluorescence.shape
        return (
            f"<Recording of {counted(neurons, 'neuron')}, {counted(frames, 'frame')} at "
            f"{self.frame_rate:g} Hz, {self.unit or 'unit not stated'}, from {self.source}>"
        )

    @property
    def traces(self) -> Table:
        """The fluorescence in memory, all of it."""
        return np.asarray(self.fluorescence)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The stretches between pauses; one in the competition's form, as in 2017. Raises what
        `find_segments` and `only_segment` of `segments` do."""
        if self.unit == "competition":
            return only_segment(len(self.times), self.frame_rate, source=self.source)
        return find_segments(
            self.times, self.frame_rate, starts=self.segment_starts, source=self.source
        )

    def part(self, neurons: Sequence[int] | Numbers) -> "Recording":
        """Some neurons alone, by increasing numbers, in memory, what is no data marked as
        missing."""
        missing = self.missing
        traces: Table
        if isinstance(self.fluorescence, LazyTable):
            rows = self.fluorescence.T.load(neurons)
            traces, found = mark_missing(rows.values.T, self.frame_rate, in_place=True)
            missing = rows.missing + found
        elif isinstance(neurons, range):  # a view, without a copy
            traces = self.fluorescence[:, neurons.start : neurons.stop]
        else:
            traces = self.fluorescence[:, neurons]
        part = self._of(neurons, fluorescence=traces, missing=missing)
        # Segments are the whole recording's; finding them once is enough.
        part.__dict__["segments"] = self.segments
        return part

    def only(self, numbers: Numbers) -> "Recording":
        """Some neurons alone, by increasing numbers, still where they are."""
        if isinstance(self.fluorescence, LazyTable):
            return self._of(numbers, fluorescence=self.fluorescence.T.keep(numbers).T)
        return self._of(numbers, fluorescence=self.fluorescence[:, numbers])

    def _of(self, neurons: Sequence[int] | Numbers, **changed: Any) -> "Recording":
        """The same with what there is of each neuron, of these alone."""
        names = tuple(self.names[neuron] for neuron in neurons)
        offsets = tuple(self.offsets[neuron] for neuron in neurons) if self.offsets else ()
        return replace(self, names=names, offsets=offsets, **changed)

    def sample(self, most: int) -> "Recording":
        """At most so many neurons, evenly chosen and always the same, as a `part`."""
        count = len(self.names)
        return self.part(np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)))


@dataclass(frozen=True)
class Certainty:
    """What says how sure a network is of a neuron: a number from 0 to 1.

    `name` heads its column, `words` explain it; below `limit` the neuron is called `verdict`.
    """

    name: str
    words: str
    limit: float
    verdict: str


@dataclass(frozen=True)
class NeuronQuality:
    """How far to trust one neuron's prediction.

    `noise_level` is Cascade's, in % Hz^-1/2 (see `signals.measures.noise_level`): about 1 is very
    good, 3 to 4 decent, above 5 poor; NaN where dF/F is not known. `distance` is that of the
    network's input from what it was trained on: 0 like the median training trace, 1 like the most
    extreme one, in the `feature` farthest off. For `certainty` see `Certainty`; which of the two it
    is, `Quality` says. Of the missing frames so many were `bridged` by interpolation, and of so
    many the rates are `lost`: left empty. `rate` is the mean rate in spikes/s, and in
    `calibration.CENTRAL` of the neurons the true one is between `rate_low` and `rate_high`; NaN of
    rates without a unit.
    """

    name: str
    noise_level: float
    distance: float
    feature: str
    certainty: float
    bridged: int
    lost: int
    rate: float = float("nan")
    rate_low: float = float("nan")
    rate_high: float = float("nan")


@dataclass(frozen=True)
class Quality:
    """How far to trust a prediction: each neuron's numbers, what their `certainty` is, and lines on
    what may be wrong with the recording as a whole."""

    neurons: tuple[NeuronQuality, ...]
    warnings: tuple[str, ...]
    certainty: Certainty


NO_QUALITY = Quality((), (), Certainty("certainty", "certainty", 0.0, "uncertain"))
"""The quality of a prediction of which nothing is known."""


@dataclass(frozen=True)
class Prediction:
    """Spike rates predicted for a recording.

    Attributes
    ----------
    table : float32 (frame, neuron)
        Rates at the recording's own time stamps and in its order of neurons; NaN where there was
        nothing to predict from. In spikes per second of `universal`, without a unit between 0 and 1
        of the networks of 2017. May stay in its file.
    recording
    description
        What the rates are: `unit`, `weights`, `indicator` or `dataset`, `preprocessing`,
        `software` and more; text or numbers, as every written file carries it.
    spike_times
        Discrete spikes of each neuron in s, where asked for.
    quality
        How far to trust the rates, per neuron and as warnings.
    """

    table: AnyTable
    recording: Recording
    description: dict[str, Any] = field(default_factory=dict)
    spike_times: tuple[Times, ...] | None = None
    quality: Quality = NO_QUALITY

    def __repr__(self) -> str:
        frames, neurons = self.table.shape
        unit = self.description.get("unit", "unit not stated")
        weights = self.description.get("weights", "weights not stated")
        of = f"{counted(neurons, 'neuron')}, {counted(frames, 'frame')}"
        return f"<Prediction for {of}, {unit}, weights {weights}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the same, and the table of the neurons' quality."""
        from . import quality_table

        text = f"{self!r}\n\n{quality_table(self.quality)}" if self.quality.neurons else repr(self)
        return f"<pre>{html.escape(text)}</pre>"

    # What other rooms do goes through the doors at which users ask for it, too.
    def plot(
        self,
        neurons: int | str | Sequence[int | str] | None = None,
        window: tuple[float, float] | None = None,
        *,
        ax: "Axes | None" = None,
    ) -> "Axes":
        """Draw trace and rate of some neurons, see `figures.example_traces`."""
        from .. import example_traces

        return example_traces(self, neurons, ax, window=window)

    def view(self) -> Any:
        """Look at every neuron in a notebook, see `view.view_prediction`."""
        from .. import view_prediction

        return view_prediction(self)

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write the rates in the format that the suffix of `path` names; see `write_prediction`,
        which also has the `options`."""
        from .. import write_prediction

        return write_prediction(path, self, **options)

    def to_pynapple(self) -> Any:
        """The rates as a `pynapple.TsdFrame`, see `recordings.to_pynapple`."""
        from . import to_pynapple

        return to_pynapple(self)

    @property
    def rates(self) -> Rates | LazyTable:
        """The rates in the orientation of what was given, as its `(frame, neuron)` or turned."""
        return self.table.T if self.recording.orientation == "neuron-time" else self.table

    @property
    def times(self) -> Times:
        """Time stamps in s, `(frame,)`: the recording's."""
        return self.recording.times

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the neurons: the recording's."""
        return self.recording.names


@dataclass(frozen=True)
class Predicted:
    """What was predicted of some neurons: rates float32 `(frame, neuron)`, each one's spike times
    in s where asked for, and its quality."""

    rates: Rates
    spike_times: list[Times] | None
    quality: list[NeuronQuality]


class Predictor(Protocol):
    """A network with all that is known of a recording's indicator: its weights' name, for
    descriptions, and path (None where a loaded network was given), and what its neurons' certainty
    is."""

    name: str
    path: Path | None
    engine: Engine
    certainty: Certainty

    def predict(self, recording: Recording) -> Predicted:
        """Predict the neurons of a recording in memory, each by itself."""

    def describe(self, recording: Recording) -> dict[str, Any]:
        """What the rates are, as every written file says it: text and numbers."""


NOT_STATED = "not stated"  # of an indicator, in a description


def described_alike(recording: Recording) -> dict[str, Any]:
    """What every predictor says of a recording."""
    return {
        "time": "mean over each frame's interval, centred on its time stamp in s",
        "frame_rate": recording.frame_rate,
        "source": recording.source,
        "notes": "; ".join(recording.notes),
    }
