"""What is looked at: a prediction, in memory or in a store, of which only what is in view is read.

Whatever its size, it is asked the same: which neurons there are and what their numbers are
(`table`), all of them at a glance (`overview`), and one neuron between two times (`window`).
"""

from __future__ import annotations

import json
import warnings
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array, Numbers, Rates, Times, Trace
from ..figures.recording_page import mean_rates, unit_of
from ..files.atomic import fingerprint
from ..recordings.formats.detect import files_of, read
from ..recordings.formats.results import read_result, with_recording
from ..recordings.options import ReadOptions
from ..recordings.pipeline import split_at_steps
from ..recordings.quality import shown_number, verdict
from ..recordings.recording import SHARE, Certainty, LazyTable, NeuronQuality, Prediction
from ..signals.measures import runs
from .pyramid import MEANS, Pyramid, open_pyramid, time_edges

COLUMNS = ("name", "mean_rate", "interval", "spikes", "expected", "noise", "remarks")
"""Of `PredictionSource.table`: the mean rate is in the source's unit, its interval text, spikes a
number or None, the rest as `recordings.quality` has it."""

IN_MEMORY = 64 << 20
"""Bytes of rates, or of traces, that are read as a whole where their format allows to leave them in
the file: a window is to take 600 MB at most, of which Python and its libraries have 250."""
NOTHING_STATED = ReadOptions()
KEPT = 64 << 20  # bytes of the traces and rates that were looked at last
FEWEST_POINTS = 8  # of which a reduced trace is drawn, whatever was asked for


@dataclass(frozen=True)
class PredictionSource:
    """A prediction to be looked at, with its recording; both may still be in their files."""

    prediction: Prediction

    @property
    def names(self) -> tuple[str, ...]:
        return self.prediction.names

    @property
    def frame_rate(self) -> float:
        return self.prediction.recording.frame_rate

    @property
    def frames(self) -> int:
        return len(self.times)

    @property
    def start(self) -> float:
        """Time stamp of the first frame in s."""
        return float(self.times[0])

    @cached_property
    def times(self) -> Times:
        """Time stamps in s, `(frame,)`."""
        return np.asarray(self.prediction.times, np.float64)

    @cached_property
    def segments(self) -> tuple[tuple[float, float], ...]:
        """Times of the first and the last frame of each segment in s."""
        found = [self.times[segment.frames] for segment in self.prediction.recording.segments]
        return tuple((float(times[0]), float(times[-1])) for times in found)

    @property
    def unit(self) -> str:
        return unit_of(self.prediction)

    def table(self) -> dict[str, list[Any]]:
        """The columns named `COLUMNS`, a value for each neuron."""
        quality, spikes = self.prediction.quality, self.prediction.spike_times
        neurons = list(quality.neurons)
        if len(neurons) != len(self.names):  # nothing is known of them
            nothing = NeuronQuality("", np.nan, np.nan, "", np.nan, 0, 0)
            neurons = [nothing] * len(self.names)
        return {
            "name": list(self.names),
            "mean_rate": self._mean_rates(neurons),
            "interval": [interval(neuron) for neuron in neurons],
            "spikes": [None] * len(neurons) if spikes is None else [len(each) for each in spikes],
            "expected": [float(neuron.certainty) for neuron in neurons],
            "noise": [float(neuron.noise_level) for neuron in neurons],
            "remarks": [remarks(neuron, quality.certainty) for neuron in neurons],
        }

    def _mean_rates(self, neurons: list[NeuronQuality]) -> list[float]:
        """As the quality has them; of rates without a unit, their means."""
        if any(np.isfinite(neuron.rate) for neuron in neurons):
            return [float(neuron.rate) for neuron in neurons]
        return self._means().tolist()

    def _means(self) -> Rates:
        """The mean of each neuron's rates, `(neuron,)`."""
        return mean_rates(self.prediction.table, np.array([0, self.frames]))[0]

    def part(self, neurons: range) -> PredictionSource:
        """Some neurons alone, read into memory together: in a file they may lie in one piece."""
        made, recording = self.prediction, self.prediction.recording.part(neurons)
        # Each neuron in one piece, as it is looked at by itself.
        traces = np.asfortranarray(recording.traces)
        return PredictionSource(
            replace(
                made,
                table=np.asfortranarray(made.table[:, neurons.start : neurons.stop]),
                recording=replace(recording, fluorescence=traces),
                spike_times=made.spike_times and made.spike_times[neurons.start : neurons.stop],
            )
        )

    def overview(self, bins: int) -> Rates:
        """Mean rates `(neuron, bin)` in bins of one length each; NaN where there are none."""
        return mean_rates(self.prediction.table, time_edges(self.times, bins)).T

    def window(self, neuron: int, start: float, end: float, points: int) -> dict[str, Array]:
        """What a neuron does from `start` to `end` in s, and one sample to either side: `time` and
        `trace`, `rate_time` and `rate`, at most about `points` real samples of each, and `spikes`,
        their times. NaN where nothing is."""
        first = max(0, int(np.searchsorted(self.times, start)) - 1)
        last = int(np.searchsorted(self.times, end, "right")) + 1
        part = slice(first, last)
        times = self.times[part]
        trace, rate = (values[part] for values in self._neuron(neuron))
        drawn, drawn_rate = chosen_samples(trace, points), chosen_samples(rate, points)
        return {
            "time": times[drawn],
            "trace": trace[drawn],
            "rate_time": times[drawn_rate],
            "rate": rate[drawn_rate],
            "spikes": self._spikes(neuron, start, end),
        }

    def _neuron(self, neuron: int) -> tuple[Trace, Trace]:
        """Trace and rate of a neuron, each `(frame,)`."""
        trace = self.prediction.recording.part([neuron]).traces[:, 0]
        return trace, np.asarray(self.prediction.table[:, neuron])

    def limits(self, neuron: int) -> tuple[float, float, float]:
        """Least and largest of a neuron's trace, and the largest of its rates; NaN without any."""
        return limits_of(*self._neuron(neuron))

    def _spikes(self, neuron: int, start: float, end: float) -> Times:
        every = self.prediction.spike_times
        spikes = np.empty(0) if every is None else np.asarray(every[neuron], np.float64)
        return spikes[(spikes >= start) & (spikes <= end)]


@dataclass(frozen=True)
class StoredSource(PredictionSource):
    """A source of what is too large for the memory: from afar of its pyramid, from near of its
    file, of which the traces that were looked at last are kept."""

    pyramid: Pyramid
    kept: OrderedDict[int, tuple[Trace, Trace]] = field(default_factory=OrderedDict)

    def _means(self) -> Rates:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # neurons without any rate
            return np.nanmean(self.pyramid.means(), axis=1)

    def table(self) -> dict[str, list[Any]]:
        return {**super().table(), "likeness": self.pyramid.places().tolist()}

    def overview(self, bins: int) -> Rates:
        means = self.pyramid.means()
        if bins >= MEANS:
            return means
        return mean_rates(means.T, np.linspace(0, MEANS, bins + 1).astype(np.int64)).T

    def window(self, neuron: int, start: float, end: float, points: int) -> dict[str, Array]:
        edges, times = self.pyramid.edges, self.times
        first, last = np.searchsorted(times, start), np.searchsorted(times, end, "right")
        # A bin to either side.
        first, last = np.searchsorted(edges, first) - 1, np.searchsorted(edges, last) + 1
        part = slice(max(int(first), 0), int(last))
        # From so far away the bins are finer than what is drawn.
        if 2 * (part.stop - part.start) < points or np.diff(edges[:2]) == 1:
            return super().window(neuron, start, end, points)
        quarter = np.diff(edges) // 4
        at = np.stack([edges[:-1] + quarter, edges[1:] - 1 - quarter], axis=1)[part].ravel()
        found = {}
        for kind, name in (("rates", "rate"), ("trace", "trace")):
            values = np.full(len(at), np.nan, np.float32)
            if kind == "rates" or self.pyramid.has_trace:
                values = self.pyramid.extremes(kind, neuron)[part].ravel()
            drawn = chosen_samples(values, points)
            found[name] = times[at[drawn]], values[drawn]
        return {
            "time": found["trace"][0],
            "trace": found["trace"][1],
            "rate_time": found["rate"][0],
            "rate": found["rate"][1],
            "spikes": self._spikes(neuron, start, end),
        }

    def limits(self, neuron: int) -> tuple[float, float, float]:
        nothing = np.full(1, np.nan)
        trace = self.pyramid.extremes("trace", neuron) if self.pyramid.has_trace else nothing
        return limits_of(trace, self.pyramid.extremes("rates", neuron))

    def _neuron(self, neuron: int) -> tuple[Trace, Trace]:
        """Reading a trace takes half a second where a process of its own has to parse the file;
        all that follows on it takes milliseconds."""
        if neuron not in self.kept:
            self.kept[neuron] = super()._neuron(neuron)
        self.kept.move_to_end(neuron)
        size = sum(values.nbytes for values in self.kept[neuron])
        while len(self.kept) > max(1, KEPT // size):
            self.kept.popitem(last=False)
        return self.kept[neuron]


def open_source(
    result: Path,
    recording: Path | None = None,
    *,
    series: str | None = None,
    reading: ReadOptions = NOTHING_STATED,
    progress: bool = False,
) -> PredictionSource:
    """The source of a result of `predict`, with the recording that it was made from where that is
    given, and read as `reading` states.

    A result too large for the memory gets a pyramid (`pyramid`). `DataError` if it is no result, or
    the recording is of other neurons or frames; what reading a recording raises.
    """
    made = read_result(result, variable=series, in_memory=IN_MEMORY)
    if recording is not None:
        # The rates know it, whatever the file of the recording knows.
        rate = reading.frame_rate or made.recording.frame_rate
        reading = replace(reading, frame_rate=rate, memory=SHARE * IN_MEMORY)
        made = with_recording(made, split_at_steps(read(recording, reading)))
    lazy = isinstance(made.table, LazyTable)
    if recording is None and not lazy:
        return PredictionSource(made)
    if not lazy and not isinstance(made.recording.fluorescence, LazyTable):
        return PredictionSource(made)
    of_trace = None
    if recording is not None:
        stated = json.dumps({k: str(v) for k, v in vars(reading).items()})
        of_trace = [str(recording.absolute()), fingerprint(files_of(recording), recording), stated]
    made_of = {"rates": fingerprint(files_of(result), result), "trace": of_trace}
    return StoredSource(made, open_pyramid(made, result, made_of, progress=progress))


def limits_of(trace: Array, rates: Array) -> tuple[float, float, float]:
    """Least and largest of a trace, and the largest of rates; NaN without any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing but NaN
        return float(np.nanmin(trace)), float(np.nanmax(trace)), float(np.nanmax(rates))


def interval(neuron: NeuronQuality) -> str:
    """The interval of a neuron's mean rate, such as `0.35 to 1.90`, or nothing."""
    if np.isnan(neuron.rate):
        return ""
    return f"{shown_number(neuron.rate_low)} to {shown_number(neuron.rate_high)}"


def remarks(neuron: NeuronQuality, certainty: Certainty) -> str:
    """What a neuron's numbers mean and which frames are missing, in a few words; empty for one of
    which nothing is to be said, or nothing known."""
    words = [verdict(neuron, certainty)] if neuron.name else []
    words += [f"{neuron.bridged} interpolated"] if neuron.bridged else []
    words += [f"{neuron.lost} left empty"] if neuron.lost else []
    return ", ".join(filter(None, words))


def chosen_samples(values: Trace, points: int) -> Numbers:
    """Which samples of `(sample,)` to draw, about `points` at most: the least and the largest of
    stretches of one length, and both ends of each longer stretch without values."""
    if len(values) <= max(points, FEWEST_POINTS):
        return np.arange(len(values))
    from tsdownsample import MinMaxDownsampler

    there = np.isfinite(values)
    gaps = np.empty((0, 2), int)
    if not there.all():
        gaps = runs(~there)
        gaps = gaps[np.diff(gaps)[:, 0] > 2 * len(values) / points]  # what a pixel could not show
    count = max((points - 2 * len(gaps)) // 2 * 2, FEWEST_POINTS)
    # What is missing must be neither the least nor the largest of a stretch.
    fillings = (0.0,) if there.all() else (np.inf, -np.inf)
    filled = [np.where(there, values, filling) for filling in fillings]
    found = np.concatenate([MinMaxDownsampler().downsample(x, n_out=count) for x in filled])
    found = found[there[found]]
    return np.unique(np.concatenate([found, gaps[:, 0], gaps[:, 1] - 1])).astype(np.int64)
