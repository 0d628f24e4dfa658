"""What a window shows of a large result from afar: made once, kept beside the result.

`rates.zarr.view/` is a folder of

    about.json  what it was made of: the states of the files of the result, and of the recording
    means.npy   mean rates (neuron, bin), for the map of all neurons
    places.npy  where each neuron stands when they are sorted by likeness
    rates.npy   (neuron, bin, least and largest rate)
    trace.npy   the same of the fluorescence, where the recording was given

It is made anew when one of those files has changed, and stands in the user's cache where the folder
of the result cannot be written to.
"""

import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array, Numbers, Rates, Table, numpy_settings
from ..console import count_bar
from ..errors import OutputError, SpikefinderError
from ..figures.recording_page import mean_rates
from ..files.atomic import MARK, check_output_folder, read_json, whole_folder, write_text
from ..files.downloads import cache_folder
from ..files.npy import NpyFile
from ..recordings.pipeline import read_ahead
from ..recordings.recording import Prediction
from .drawing import likeness

MEANS = 512
"""Bins of the map of all neurons: as wide as it is on most screens, and 5 MB of 10,000 neurons."""
BINS = 2_048
"""Bins of a neuron's least and largest values: as many as a wide screen has columns of pixels."""
AT_A_TIME = 64 << 20
"""Bytes of rates that are read at a time, while as many are being looked at. Each reading starts a
process of its own, which takes half a second; more would take memory that a window leaves to
others."""
SUFFIX = ".view"


@dataclass(frozen=True)
class Pyramid:
    """The bins of a result: `edges` `(bin + 1,)` are the frames with which they begin and end."""

    folder: Path
    edges: Numbers
    has_trace: bool

    def means(self) -> Rates:
        """Mean rates `(neuron, bin)` in `MEANS` bins of one length in time, NaN without any."""
        return NpyFile(self.folder / "means.npy").read()

    def places(self) -> Numbers:
        """Places `(neuron,)` in an order by likeness (`drawing.likeness`)."""
        return NpyFile(self.folder / "places.npy").read().ravel().astype(np.int64)

    def extremes(self, kind: str, neuron: int) -> Table:
        """The least and the largest of the `rates` or the `trace` of a neuron, `(bin, 2)`."""
        row = NpyFile(self.folder / f"{kind}.npy").rows(0, np.array([neuron]))
        return row.reshape(-1, 2)


def open_pyramid(
    prediction: Prediction, result: Path, made_of: dict[str, Any], *, progress: bool = False
) -> Pyramid:
    """The pyramid of a result, made first where there is none of the same. `made_of` is what
    identifies it: `rates`, and `trace`, None where the recording is not given."""
    edges = bin_edges(len(prediction.times))
    for place in _places(result):
        if (found := _read(place, prediction, made_of, edges)) is not None:
            return found
    places = [place for place in _places(result) if _may_write(place)]
    if not places:
        raise OutputError(
            f"what is drawn of {result} can be kept neither beside it nor in {cache_folder()}; "
            "make one of the two writable, or name another cache (SPIKEFINDER_CACHE)"
        )
    with whole_folder(places[0]) as folder:
        folder.mkdir()
        has_trace = made_of["trace"] is not None
        _build(folder, prediction, edges, trace=has_trace, progress=progress)
        write_text(folder / "about.json", json.dumps({"software": MARK, **made_of}))
    return Pyramid(places[0], edges, has_trace)


def bin_edges(frames: int) -> Numbers:
    """The frames with which `BINS` bins begin and end; a frame each where there are fewer."""
    return np.linspace(0, frames, min(BINS, frames) + 1).astype(np.int64)


def _places(result: Path) -> tuple[Path, ...]:
    beside = result.resolve()
    name = hashlib.sha256(str(beside).encode(errors="surrogateescape")).hexdigest()[:32]
    return beside.with_name(beside.name + SUFFIX), cache_folder() / "view" / name


def _may_write(place: Path) -> bool:
    """Whether a pyramid may be made there: nothing else is written over."""
    try:
        check_output_folder(place.parent)
        return not place.exists() or read_json(place / "about.json")["software"] == MARK
    except (OutputError, OSError, ValueError, KeyError, TypeError):
        return False


def _read(
    folder: Path, prediction: Prediction, made_of: dict[str, Any], edges: Numbers
) -> Pyramid | None:
    """The pyramid that stands in a folder; None if there is none, or one of something else."""
    neurons = prediction.table.shape[1]
    shapes = {"means": (neurons, MEANS), "places": (neurons, 1)}
    shapes["rates"] = (neurons, 2 * (len(edges) - 1))
    try:
        about = read_json(folder / "about.json")
        if about["rates"] != made_of["rates"] or made_of["trace"] not in (None, about["trace"]):
            return None
        has_trace = made_of["trace"] is not None
        shapes |= {"trace": shapes["rates"]} if has_trace else {}
        files = {kind: NpyFile(folder / f"{kind}.npy") for kind in shapes}
    except (OSError, ValueError, KeyError, TypeError, SpikefinderError):
        return None
    whole = all(f.shape == shapes[k] and f.dtype == np.float32 for k, f in files.items())
    return Pyramid(folder, edges, has_trace) if whole else None


def _build(
    folder: Path, prediction: Prediction, edges: Numbers, *, trace: bool, progress: bool
) -> None:
    frames, neurons = prediction.table.shape
    bins = len(edges) - 1
    means = NpyFile.make(folder / "means.npy", (neurons, MEANS))
    kinds = ("rates", "trace") if trace else ("rates",)
    files = {kind: NpyFile.make(folder / f"{kind}.npy", (neurons, 2 * bins)) for kind in kinds}
    of_time = time_edges(np.asarray(prediction.times), MEANS)
    together = max(1, AT_A_TIME // (4 * frames))
    parts = [range(k, min(k + together, neurons)) for k in range(0, neurons, together)]

    def read(part: range) -> tuple[Table, Table | None]:
        rates = np.asarray(prediction.table[:, slice(part.start, part.stop)], np.float32)
        traces = prediction.recording.part(part).traces if trace else None
        return rates, traces

    with count_bar(neurons, "a first look", "neuron", progress) as shown, numpy_settings():
        for part, (rates, traces) in read_ahead(read, parts):
            means.write(part.start, mean_rates(rates, of_time).T)
            files["rates"].write(part.start, least_and_largest(rates.T, edges))
            if traces is not None:
                found = least_and_largest(np.asarray(traces, np.float32).T, edges)
                files["trace"].write(part.start, found)
            shown.update(len(part))
    places = likeness(means.read())
    NpyFile.make(folder / "places.npy", (neurons, 1)).write(0, places[:, None])


def time_edges(times: Array, bins: int) -> Numbers:
    """The frames with which bins of one length in time begin and end, `(bin + 1,)`."""
    edges = np.searchsorted(times, np.linspace(times[0], times[-1], bins + 1))
    edges[-1] = len(times)
    return edges


def least_and_largest(values: Table, edges: Numbers) -> Table:
    """Least and largest of values `(neuron, frame)` in bins, none of them empty: NaN where nothing
    is, `(neuron, 2 x bin)`, bin after bin."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [f.reduceat(values, edges[:-1], axis=1) for f in (np.fmin, np.fmax)]
    return np.stack(found, axis=2).reshape(len(values), -1)
