"""Predictions into CSV, `.npy`, `.npz`, `.mat` and Zarr, and what every file says of itself.

suite2p's `spks.npy` is the model of `.npy`. NWB has a module of its own.
"""

import errno
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from ...arrays import Array, Times
from ...competition.tables import write_csv as write_competition_csv
from ...errors import OutputError
from ...files.atomic import MARK, check_output_folder, is_zarr, read_json, whole_file, whole_folder
from ...files.sandbox import require
from ...text import header_cell, shown
from ..recording import NeuronQuality, Prediction
from . import suite2p

EVEN = 1e-3
"""Frames; time stamps this close to those of the frame rate are not written one by one."""
WRITTEN_TIME = "time (s)"
"""The header of the time stamps in CSV."""
RATES = "spike_rates"
"""The name of the rates in files of named arrays."""
STORE_CHUNK = 1 << 20
"""Values of a chunk that is written: whole traces of some neurons, unless they are longer."""


# What every file says of itself


def described(prediction: Prediction) -> dict[str, Any]:
    """The description of a prediction, with where it is from: a dict of text and numbers."""
    recording, description = prediction.recording, {}
    for key, value in prediction.description.items():
        value = value.item() if isinstance(value, np.generic) else value
        value = "none" if value is None else value
        description[str(key)] = value if isinstance(value, str | int | float) else text_of(value)
    description.setdefault("source", recording.source)
    description.setdefault("software", MARK)  # by which a file is known as ours
    if recording.notes:
        description.setdefault("notes", "; ".join(recording.notes))
    return {shown(k): shown(v) if isinstance(v, str) else v for k, v in description.items()}


def text_of(value: Any, *, indent: int | None = 1) -> str:
    def unknown(value: Any) -> Any:
        return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)

    return json.dumps(value, ensure_ascii=False, indent=indent, default=unknown)


def quality_text(prediction: Prediction) -> dict[str, str]:
    """The quality of a prediction as JSON under the name `quality`, if it has any: warnings, what
    its certainty is, and for each number of `NeuronQuality` a list over the neurons, null for
    NaN."""
    quality = prediction.quality
    if len(quality.neurons) != len(prediction.names):
        return {}
    columns = {
        each.name: [_number(getattr(neuron, each.name)) for neuron in quality.neurons]
        for each in fields(NeuronQuality)
        if each.name != "name"
    }
    found = {"certainty": asdict(quality.certainty), "warnings": [*quality.warnings]}
    return {"quality": text_of(found | {"neurons": columns}, indent=None)}


def _number(value: Any) -> Any:
    """A value as JSON knows it, with six digits: more are shown nowhere."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _spikes_in_a_row(prediction: Prediction) -> dict[str, Array]:
    """Discrete spikes of all neurons, if there are any: `spike_times` in s, one neuron after
    another, and `spike_neurons`, which counts neurons from 0."""
    each = prediction.spike_times
    if each is None:
        return {}
    neurons = np.repeat(np.arange(len(each)), [len(times) for times in each])
    return {"spike_times": np.concatenate([np.empty(0), *each]), "spike_neurons": neurons}


@contextmanager
def sidecar(
    path: Path, prediction: Prediction, *, times: bool = False, rows: Sequence[int] | None = None
) -> Iterator[None]:
    """Write a description beside `path`, `<path>.json`, if the body succeeds.

    It holds the description, frame rate in Hz, names of the neurons, discrete spikes in s and the
    quality; with `times`, also the time of the first frame in s and, unless they are even, of all;
    and the `rows` of the neurons in a file that has others, too.
    """
    contents: dict[str, Any] = {
        "description": described(prediction),
        "frame_rate": float(prediction.recording.frame_rate),
        "names": list(prediction.names),
    }
    if rows is not None:
        contents["rows"] = list(rows)
    if times:
        stamps = np.asarray(prediction.times, np.float64)
        contents["start"] = float(stamps[0])
        if not even(stamps, contents["frame_rate"]):
            contents["times"] = stamps.tolist()
    if prediction.spike_times is not None:
        contents["spike_times"] = [np.asarray(t).tolist() for t in prediction.spike_times]
    # A line per entry: readable, and short where there are thousands of numbers.
    texts = {key: text_of(value, indent=None) for key, value in contents.items()}
    texts["description"] = text_of(contents["description"]).replace("\n", "\n ")
    texts |= quality_text(prediction)
    lines = (f' "{key}": {text}' for key, text in texts.items())
    with whole_file(sidecar_path(path)) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        yield


def even(stamps: Times, frame_rate: float) -> bool:
    """Whether time stamps `(frame,)` in s say no more than the first of them and the frame rate."""
    regular = stamps[0] + np.arange(stamps.size) / frame_rate
    return bool(np.abs(stamps - regular).max() <= EVEN / frame_rate)


def sidecar_path(path: Path | str) -> Path:
    """`rates.csv` is described in `rates.csv.json`."""
    return Path(f"{path}.json")


def is_prediction(path: Path | str) -> bool:
    """Whether a file that `sidecar` has written stands beside `path`."""
    try:
        contents = read_json(sidecar_path(path))
    except OSError as error:  # such as one with a time stamp for each of a million frames
        return error.errno == errno.EFBIG
    except ValueError:
        return False
    return isinstance(contents, dict) and {"description", "frame_rate", "names"} <= contents.keys()


# Formats


def write_csv(path: Path, prediction: Prediction) -> None:
    """Write time stamps in s, then a column of rates per neuron, and a description beside it.

    Missing rates are empty cells. Digits suffice to give back every time stamp and float32 rate.
    What came in the competition's form goes out in it, without time stamps.
    """
    import pandas as pd

    if prediction.recording.unit == "competition":
        with sidecar(path, prediction):
            write_competition_csv(path, prediction.table, prediction.names)
        return
    rates = np.asarray(prediction.table, np.float32)
    frame = pd.DataFrame(rates, columns=[header_cell(name) for name in prediction.names])
    times = [repr(float(time)) for time in prediction.times]
    frame.insert(0, WRITTEN_TIME, times, allow_duplicates=True)
    with sidecar(path, prediction), whole_file(path) as temporary:
        frame.to_csv(
            temporary, index=False, float_format="%.9g", lineterminator="\n", encoding="utf-8"
        )


def write_npy(path: Path, prediction: Prediction, source: Path | str | None = None) -> None:
    """Write float32 `(neuron, frame)`, as suite2p's `spks.npy`, and a description beside it. Where
    `source` is suite2p's, there is a row for each of `F.npy`, zeros for what is no cell."""
    rates, rows = np.asarray(prediction.table, np.float32).T, None
    if source is not None and Path(source).is_dir():
        rates, rows = suite2p.as_spks(rates, prediction.names, source)
    with (
        sidecar(path, prediction, times=True, rows=rows),
        whole_file(path) as temporary,
        temporary.open("wb") as file,
    ):
        np.save(file, np.ascontiguousarray(rates), allow_pickle=False)


def write_npz(path: Path, prediction: Prediction) -> None:
    """Write `spike_rates` `(neuron, frame)`, `times`, `frame_rate`, `names`, `description` and
    `quality` (both JSON), and discrete spikes as `_spikes_in_a_row`."""
    arrays: dict[str, Any] = {
        RATES: np.ascontiguousarray(np.asarray(prediction.table, np.float32).T),
        "times": prediction.times,
        "frame_rate": prediction.recording.frame_rate,
        "names": np.array(prediction.names, dtype=np.str_),
        "description": np.array(text_of(described(prediction))),
        **{name: np.array(text) for name, text in quality_text(prediction).items()},
        **_spikes_in_a_row(prediction),
    }
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def write_mat(path: Path, prediction: Prediction) -> None:
    """Write `spike_rates` (neuron x frame), `times`, `frame_rate`, `names`, `description` and
    `quality` (JSON).

    Names and discrete spikes, `spike_times` in s, are cell arrays with a cell per neuron; the
    description is a struct.
    """
    from scipy.io import savemat

    variables: dict[str, Any] = {
        RATES: np.asarray(prediction.table, np.float32).T,
        "times": np.asarray(prediction.times),
        "frame_rate": float(prediction.recording.frame_rate),
        "names": _cells(prediction.names),
        # Fields of a struct have names of ASCII letters that begin with one.
        "description": {
            re.sub(r"\W", "_", key if key[:1].isalpha() else f"x{key}", flags=re.ASCII): value
            for key, value in described(prediction).items()
        },
        **quality_text(prediction),
    }
    if prediction.spike_times is not None:
        variables["spike_times"] = _cells(np.asarray(t, float) for t in prediction.spike_times)
    try:
        with whole_file(path) as temporary:
            savemat(temporary, variables, appendmat=False, long_field_names=True, oned_as="row")
    except (ValueError, TypeError) as error:  # such as an array of more than 4 GiB
        reason = " ".join(str(error).split())
        raise OutputError(f"cannot write {path} ({reason}); choose .npz or .zarr") from None


def _cells(values: Iterable[Any]) -> Array:
    values = list(values)
    cells = np.empty(len(values), object)
    for number, value in enumerate(values):  # at once, numpy would make a table of equal lengths
        cells[number] = value
    return cells


# Zarr


def check_store(path: Path) -> None:
    """Raise `OutputError` unless `path` can become a Zarr store, or can be replaced by one."""
    require("zarr", "writing Zarr", "zarr")
    check_output_folder(path.parent)
    if path.exists() and not (path.is_dir() and (is_zarr(path) or not any(path.iterdir()))):
        raise OutputError(f"{path} exists and is no Zarr store; choose another name")


def write_store(path: Path, prediction: Prediction) -> None:
    """Write a group of `spike_rates` `(neuron, times)` with both coordinates, as xarray reads it.
    Discrete spikes are as `_spikes_in_a_row`. The rest are attributes."""
    with whole_folder(path) as store:
        rates = np.asarray(prediction.table, np.float32).T
        begin_store(store, *rates.shape)[:] = rates
        fill_store(store, prediction)


def begin_store(folder: Path, neurons: int, frames: int) -> Any:
    """Make a store of rates that are all NaN, `(neuron, frame)`; returns their array."""
    import zarr

    # Version 2, which has arrays of text and all metadata in one file as a standard.
    group = zarr.open_group(zarr.storage.LocalStore(folder), mode="w", zarr_format=2)
    shape = (neurons, frames)
    chunks = (min(neurons, max(1, STORE_CHUNK // frames)), min(frames, STORE_CHUNK))
    return group.create_array(RATES, shape=shape, chunks=chunks, dtype="f4", fill_value=np.nan)


def fill_store(folder: Path, prediction: Prediction) -> None:
    """Write all of a prediction but the rates into the store that `begin_store` has made."""
    import zarr

    store = zarr.storage.LocalStore(folder)
    group = zarr.open_group(store, mode="r+", zarr_format=2, use_consolidated=False)
    description = json.loads(text_of(described(prediction)))
    unit = description.get("unit", "a.u.")
    group[RATES].attrs.update({"_ARRAY_DIMENSIONS": ["neuron", "times"], "units": unit})
    arrays = {
        "times": np.asarray(prediction.times),
        "neuron": np.array(prediction.names, dtype=np.str_),
        **_spikes_in_a_row(prediction),
    }
    attributes = {"times": {"units": "s"}, "spike_times": {"unit": "s"}}
    for name, array in arrays.items():
        # Or xarray takes the numbers that equal the usual one, 0, for missing.
        fill_value = np.nan if array.dtype.kind == "f" else None
        made = group.create_array(name, data=array, fill_value=fill_value, overwrite=True)
        # The first two are coordinates.
        dimension = "spike" if name.startswith("spike") else name
        made.attrs.update({"_ARRAY_DIMENSIONS": [dimension], **attributes.get(name, {})})
    group.attrs["frame_rate"] = float(prediction.recording.frame_rate)
    group.attrs.update({"names": list(prediction.names), "description": description})
    group.attrs.update(quality_text(prediction))
    zarr.consolidate_metadata(store)


WRITERS: dict[str, Callable[[Path, Prediction], None]] = {
    ".csv": write_csv,
    ".npy": write_npy,
    ".npz": write_npz,
    ".mat": write_mat,
    ".zarr": write_store,
}
"""By the suffix of the path; `.nwb`, which needs a source, is `nwb_writer`'s."""


def to_pynapple(prediction: Prediction) -> Any:
    """Spike rates as a `pynapple.TsdFrame` `(frame, neuron)`, time stamps in s; its columns are the
    names of the neurons, as numbers where all of them are. `UsageError` if pynapple is not
    installed."""
    require("pynapple", "a TsdFrame", "pynapple")
    import pynapple

    names: list[Any] = list(prediction.names)
    if all(name.isascii() and name.isdigit() for name in names):
        names = [int(name) for name in names]
    return pynapple.TsdFrame(
        t=np.asarray(prediction.times), d=np.asarray(prediction.table), columns=names
    )
