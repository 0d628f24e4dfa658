"""Results read back: what `writers` and `nwb_writer` have written, as the `Prediction` it was.

Rates of `.npy`, Zarr and NWB that are large stay in their file. The recording of such a prediction
has times, names and frame rate; its fluorescence is all missing, as no result holds it.
"""

import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...arrays import Numbers
from ...errors import DataError, UsageError
from ...files.atomic import is_zarr, read_small
from ...files.csv import read_table
from ...files.hdf5 import checked, resolve
from ...files.npy import read_header
from ...files.sandbox import check_size, parse, require, sandboxed
from ...text import clean_name, shown
from ..inputs import as_recording
from ..recording import (
    NO_QUALITY,
    AnyTable,
    Certainty,
    LazyTable,
    NeuronQuality,
    Prediction,
    Quality,
    Recording,
    Rows,
)
from . import hdf5, mat, npz, nwb, zarr
from .container import ArrayInfo, Container, npy_table, open_container, type_name
from .nwb_writer import CONTAINER
from .writers import RATES, sidecar_path

ARRAYS = (RATES, "times", "frame_rate", "spike_times", "spike_neurons")
"""What is read of files of named arrays."""
LARGEST_SIDECAR = 64 << 20
"""Bytes of a description with a time stamp for each of a million frames, and spikes."""


@dataclass
class _Parts:
    """What stands in a result: rates `(neuron, frame)`, and the rest as it was written."""

    rates: AnyTable
    names: Sequence[Any]
    frame_rate: Any
    times: Any = None
    start: Any = 0.0
    description: Mapping[str, Any] = field(default_factory=dict)
    quality: Any = None
    spike_times: Sequence[Any] | None = None


def read_result(
    path: Path | str, *, variable: str | None = None, in_memory: int = 64 << 20
) -> Prediction:
    """The prediction that a file holds.

    Rates of more than `in_memory` bytes stay in the file where its format allows it; `variable` is
    the series of NWB, where there are several.

    Raises
    ------
    DataError
        If the file is missing, damaged, or no result of this program.
    UsageError
        If it holds several series and none is named.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} does not exist")
    suffix = path.suffix.lower()
    if variable is not None and suffix != ".nwb":
        raise UsageError(f"only .nwb has series; {path} has none to call {variable} (--series)")
    try:
        if suffix == ".nwb":
            found = _from_nwb(path, in_memory, variable)
        elif suffix in _READERS:
            found = _READERS[suffix](path, in_memory)
        else:
            raise _no_result(path)
        return _assemble(path, found)
    # Whatever else stands in the places of names and numbers.
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise _no_result(path) from None


def _no_result(path: Path) -> DataError:
    return DataError(f"{path} holds no rates of this program; name a result of predict")


def _assemble(path: Path, found: _Parts) -> Prediction:
    neurons, frames = found.rates.shape
    names = [clean_name(str(name)) for name in found.names]
    times = found.times if found.times is None else np.asarray(found.times, np.float64)
    if times is not None and times.shape != (frames,):
        raise _no_result(path)

    def nothing(axis: int, numbers: Numbers) -> Rows:
        length = frames if axis == 0 else neurons
        return Rows(np.full((numbers.size, length), np.nan, np.float32))

    recording = as_recording(
        LazyTable((neurons, frames), np.float32, load=nothing),
        float(found.frame_rate),
        times,
        orientation="neuron-time",
        names=names,
        source=str(path),
    )
    if times is None:
        recording.times[:] += float(found.start)
    spikes = None
    if found.spike_times is not None:
        spikes = tuple(np.asarray(each, np.float64).ravel() for each in found.spike_times)
        if len(spikes) != neurons:
            raise _no_result(path)
    about = {shown(key): value for key, value in found.description.items()}
    quality = NO_QUALITY if found.quality is None else _quality(found.quality, names)
    return Prediction(found.rates.T, recording, about, spike_times=spikes, quality=quality)


def _quality(stored: Mapping[str, Any], names: Sequence[str]) -> Quality:
    """What `writers.quality_text` has made JSON of."""
    certainty = Certainty(**stored["certainty"])
    columns = stored["neurons"]
    if any(len(column) != len(names) for column in columns.values()):
        raise ValueError
    neurons = []
    for name, *row in zip(names, *columns.values(), strict=True):
        about: dict[str, Any] = {
            key: math.nan if value is None else value
            for key, value in zip(columns, row, strict=True)
        }
        neurons.append(NeuronQuality(name, **about))
    return Quality(tuple(neurons), tuple(map(shown, stored["warnings"])), certainty)


# CSV and .npy, which have a description beside them


def _description(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_small(sidecar_path(path), LARGEST_SIDECAR))
    except (OSError, ValueError, RecursionError):
        raise DataError(
            f"{path} has no description beside it that can be read; keep {sidecar_path(path).name}"
        ) from None
    if not isinstance(found, dict) or "names" not in found:
        raise _no_result(path)
    return found


def _from_csv(path: Path, in_memory: int) -> _Parts:
    about, table = _description(path), read_table(path)
    if len(about["names"]) != table.values.shape[1]:
        raise DataError(
            f"{path} has {table.values.shape[1]} columns of rates, but its description "
            f"{len(about['names'])} neurons; predict again"
        )
    return _described(table.values.T.astype(np.float32), about, table.times)


def _from_npy(path: Path, in_memory: int) -> _Parts:
    about = _description(path)
    file = npz.open_npy(path)
    if len(file.shape) != 2 or file.dtype.kind != "f":
        raise _no_result(path)
    rates = npy_table(file, in_memory)
    if "rows" in about:  # of suite2p: a row for each ROI, most of them no cells
        numbers = np.array(about["rows"], np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(rates):
            raise _no_result(path)
        rates = rates.keep(numbers) if isinstance(rates, LazyTable) else rates[numbers]
    return _described(rates, about, about.get("times"))


def _described(rates: AnyTable, about: Mapping[str, Any], times: Any) -> _Parts:
    return _Parts(
        rates,
        about["names"],
        about["frame_rate"],
        times=times,
        start=about.get("start", 0.0),
        description=about["description"],
        quality=about.get("quality"),
        spike_times=about.get("spike_times"),
    )


# .npz, .mat and Zarr, which hold all of it


def _from_npz(path: Path, in_memory: int) -> _Parts:
    file = open_container(Container, path, npz.JOBS, in_memory)
    return _parts(file, parse(parse_npz, path))


def _from_mat(path: Path, in_memory: int) -> _Parts:
    file = open_container(Container, path, mat.JOBS, in_memory, RATES, [RATES], always_tables=True)
    return _parts(file, parse(parse_mat, path, libraries=("scipy.io",)))


def _from_zarr(path: Path, in_memory: int) -> _Parts:
    if not is_zarr(path):
        raise _no_result(path)
    require("zarr", "reading Zarr", "zarr")
    # All in one run of the sandbox, as somebody waits for a window to open.
    found = parse(parse_zarr, path, in_memory, libraries=zarr.JOBS.libraries)
    shape, dtype = found.pop("shape"), np.dtype(found.pop("dtype"))
    info = ArrayInfo(tuple(map(int, shape)), dtype.str)
    if RATES not in found:
        store = Container(path, {RATES: info}, zarr.JOBS, in_memory, None, separator="/")
        found[RATES] = LazyTable(info.shape, dtype, load=partial(store.rows, RATES))
    return _from_arrays(found)


def _parts(file: Container, texts: Mapping[str, Any]) -> _Parts:
    wanted = {name: name for name in ARRAYS if name in file.arrays}
    wanted = {name: name for name in wanted if file.arrays[name].is_numeric}
    return _from_arrays({**texts, **file.read(wanted)})


def _from_arrays(found: Mapping[str, Any]) -> _Parts:
    """The parts of what stands in a file under these names."""
    rates, spikes = found[RATES], found.get("spike_times")
    if "spike_neurons" in found:
        times, neurons = (np.asarray(found[name]) for name in ("spike_times", "spike_neurons"))
        if np.any(np.diff(neurons) < 0) or neurons.size != times.size:
            raise ValueError
        spikes = np.split(times, np.searchsorted(neurons, np.arange(1, len(rates))))
    quality, description = found.get("quality"), found.get("description", {})
    return _Parts(
        rates,
        found["names"],
        np.ravel(found["frame_rate"])[0],
        times=np.ravel(found["times"]),
        description=json.loads(description) if isinstance(description, str) else description,
        quality=json.loads(quality) if isinstance(quality, str) else None,
        spike_times=spikes,
    )


@sandboxed
def parse_npz(path: str) -> Iterator[tuple[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        for name in ("names", "description", "quality"):
            if f"{name}.npy" not in archive.namelist():
                continue
            member = archive.getinfo(f"{name}.npy")
            with archive.open(member) as file:
                shape, _, dtype = read_header(file)
            if dtype.kind == "U":
                check_size(name, shape, dtype.itemsize, member.compress_size)
                with archive.open(member) as file:
                    yield name, np.lib.format.read_array(file, allow_pickle=False).tolist()


@sandboxed
def parse_mat(path: str) -> Iterator[tuple[str, Any]]:
    from scipy.io import loadmat

    wanted = ["names", "description", "quality", "spike_times"]
    found = loadmat(path, variable_names=wanted)
    # A cell that holds an empty text has no element.
    yield "names", ["".join(map(str, np.ravel(cell)[:1])) for cell in np.ravel(found["names"])]
    if "quality" in found:
        yield "quality", str(np.ravel(found["quality"])[0])
    if "description" in found:
        struct = np.ravel(found["description"])[0]
        values = {key: np.ravel(struct[key])[:1].tolist() for key in struct.dtype.names}
        yield "description", {key: value[0] if value else "" for key, value in values.items()}
    if "spike_times" in found:
        cells = np.ravel(found["spike_times"])
        yield "spike_times", [np.ravel(cell).astype(float).tolist() for cell in cells]


@sandboxed
def parse_zarr(path: str, in_memory: int) -> Iterator[tuple[str, Any]]:
    root = zarr.open_root(path)
    for name in ("names", "description", "quality", "frame_rate"):
        if name in root.attrs:
            yield name, root.attrs[name]
    rates = root[RATES]
    yield "shape", list(rates.shape)
    yield "dtype", type_name(rates.dtype)
    large = [RATES] if rates.dtype.itemsize * rates.size > in_memory else []
    yield from zarr.parse_arrays(path, {name: name for name in ARRAYS if name in root}, large)


# NWB, whose series of ours says so


def _from_nwb(path: Path, in_memory: int, variable: str | None) -> _Parts:
    file = hdf5.open_file(path, in_memory)
    every = nwb.all_series(file) if nwb.is_version_2(file) else {}
    ours = {n: each for n, each in every.items() if each.description.startswith(nwb.OWN)}
    if variable is not None:
        ours = {n: s for n, s in ours.items() if f"/{n}".endswith(f"/{variable}")}
    if not ours:
        named = "" if variable is None else f" {variable}"
        raise DataError(f"{path} has no series{named} of rates; name a result of predict")
    if len(ours) > 1:
        raise UsageError(
            f"{path} has several series of rates; name one (--series): {', '.join(ours)}"
        )
    [(name, series)] = ours.items()
    contents = nwb.Contents(file, {name: series}, series)
    stored, rows = contents.stored(series), contents.rows(series)
    if rows is None:
        raise _no_result(path)
    names = nwb.roi_ids(file, series, rows, contents.array(contents.columns.get("id")))
    start, rate = nwb.clock(contents, [])
    times = contents.array(contents.times)
    texts = parse(parse_nwb, path, series.path, libraries=("h5py",))
    about = json.loads(texts["comments"])
    spikes = None
    if "spike_ends" in texts:
        spikes = np.split(texts["spikes"], texts["spike_ends"].astype(np.int64)[:-1])
    return _Parts(
        stored.T,
        names,
        about.get("frame_rate") if rate is None else rate,
        times=times,
        start=start,
        description=about,
        spike_times=spikes,
    )


@sandboxed
def parse_nwb(path: str, series: str) -> Iterator[tuple[str, Any]]:
    import h5py

    with h5py.File(path, "r") as file:
        comments = resolve(file, series).attrs["comments"]
        yield "comments", comments.decode() if isinstance(comments, bytes) else str(comments)
        # Units are no part of a series; they stand beside the container.
        units = f"{CONTAINER.rpartition('/')[0]}/{series.rpartition('/')[2]}Spikes"
        if resolve(file, f"{units}/spike_times_index") is not None:
            for name, where in (("spikes", "spike_times"), ("spike_ends", "spike_times_index")):
                yield name, checked(resolve(file, f"{units}/{where}"), where)


_READERS = {
    ".csv": _from_csv,
    ".npy": _from_npy,
    ".npz": _from_npz,
    ".mat": _from_mat,
    ".zarr": _from_zarr,
}


# The recording that a result was made from


def with_recording(prediction: Prediction, recording: Recording) -> Prediction:
    """The prediction with the recording that it was made from, its fluorescence included: of as
    many neurons by their places, of more those of the same names. When its frames were taken the
    prediction knows, whose time stamps may have been stated. `DataError` if it is of others, or of
    other frames."""
    rates, names = prediction.recording, prediction.names
    frames = len(rates.times)
    if len(recording.times) != frames:
        raise DataError(
            f"{recording.source} has {len(recording.times)} frames, but {rates.source} {frames}; "
            "name the recording that it was predicted from"
        )
    if not np.array_equal(recording.times, rates.times):
        recording = replace(recording, times=rates.times)
    if len(recording.names) == len(names):  # an array names none, whatever its result calls them
        return replace(prediction, recording=replace(recording, names=names))
    place = {name: k for k, name in enumerate(recording.names)}
    numbers = np.array([place.get(name, -1) for name in names])
    if not np.all(np.diff(numbers, prepend=-1) > 0):
        raise DataError(
            f"{recording.source} has {len(recording.names)} neurons, and not the {len(names)} of "
            f"{rates.source} among them; name the recording that it was predicted from"
        )
    return replace(prediction, recording=recording.only(numbers))
