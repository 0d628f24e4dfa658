"""What is looked at: a prediction, in memory or in a store, of which only what is in view is read.

Whatever its size, it is asked the same: which neurons there are and what their numbers are
(`table`), all of them at a glance (`overview`), and one neuron between two times (`window`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ..arrays import Array, Numbers, Rates, Table, Times, Trace
from ..figures.recording_page import mean_rates, unit_of
from ..recordings.quality import shown_number, verdict
from ..recordings.recording import Certainty, NeuronQuality, Prediction
from ..signals.measures import runs

COLUMNS = ("name", "mean_rate", "interval", "spikes", "expected", "noise", "remarks")
"""Of `Source.table`: the mean rate is in the source's unit, its interval text, spikes a number or
None, the rest as `recordings.quality` has it."""

AT_ONCE = 32  # neurons that are read together, to bound the memory
FEWEST_POINTS = 8  # of which a reduced trace is drawn, whatever was asked for


class Source(Protocol):
    """A recording with its predicted rates, to be looked at."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the neurons."""

    @property
    def frame_rate(self) -> float:
        """In Hz."""

    @property
    def frames(self) -> int:
        """How many there are."""

    @property
    def start(self) -> float:
        """Time stamp of the first frame in s."""

    @property
    def segments(self) -> tuple[tuple[float, float], ...]:
        """Times of the first and the last frame of each segment in s."""

    @property
    def unit(self) -> str:
        """Of the rates."""

    def table(self) -> dict[str, list[Any]]:
        """The columns named `COLUMNS`, a value for each neuron."""

    def overview(self, bins: int) -> Rates:
        """Mean rates `(neuron, bin)` in bins of one length each; NaN where there are none."""

    def window(self, neuron: int, start: float, end: float, points: int) -> dict[str, Array]:
        """What a neuron does from `start` to `end` in s, and one sample to either side: `time` and
        `trace`, `rate_time` and `rate`, at most about `points` real samples of each, and `spikes`,
        their times. NaN where nothing is."""


@dataclass(frozen=True)
class PredictionSource:
    """A `Source` of a prediction, with its recording; both may still be in their files."""

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
        return float(self.times[0])

    @cached_property
    def times(self) -> Times:
        """Time stamps in s, `(frame,)`."""
        return np.asarray(self.prediction.times, np.float64)

    @cached_property
    def segments(self) -> tuple[tuple[float, float], ...]:
        found = [self.times[segment.frames] for segment in self.prediction.recording.segments]
        return tuple((float(times[0]), float(times[-1])) for times in found)

    @property
    def unit(self) -> str:
        return unit_of(self.prediction)

    def table(self) -> dict[str, list[Any]]:
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
        return mean_rates(self.prediction.table, np.array([0, self.frames]))[0].tolist()

    def _neuron(self, neuron: int) -> tuple[Trace, Rates]:
        """All of its trace and its rates. Neighbours are read with it, as in a file they lie in
        one piece."""
        first = neuron // AT_ONCE * AT_ONCE
        if first not in self._read:
            part = range(first, min(first + AT_ONCE, len(self.names)))
            rates = np.asarray(self.prediction.table[:, part.start : part.stop])
            self._read.clear()
            self._read[first] = self.prediction.recording.part(part).traces, rates
        traces, rates = self._read[first]
        return traces[:, neuron - first], rates[:, neuron - first]

    @cached_property
    def _read(self) -> dict[int, tuple[Table, Rates]]:
        """Traces and rates of the neurons that were read last, by the first of them."""
        return {}

    def overview(self, bins: int) -> Rates:
        edges = np.linspace(self.times[0], self.times[-1], bins + 1)
        edges = np.searchsorted(self.times, edges)
        edges[-1] = self.frames
        return mean_rates(self.prediction.table, edges).T

    def window(self, neuron: int, start: float, end: float, points: int) -> dict[str, Array]:
        first = max(0, int(np.searchsorted(self.times, start)) - 1)
        last = int(np.searchsorted(self.times, end, "right")) + 1
        part = slice(first, last)
        times = self.times[part]
        trace, rate = (values[part] for values in self._neuron(neuron))
        drawn, drawn_rate = chosen_samples(trace, points), chosen_samples(rate, points)
        every = self.prediction.spike_times
        spikes = np.empty(0) if every is None else np.asarray(every[neuron], np.float64)
        return {
            "time": times[drawn],
            "trace": trace[drawn],
            "rate_time": times[drawn_rate],
            "rate": rate[drawn_rate],
            "spikes": spikes[(spikes >= start) & (spikes <= end)],
        }


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
    filled = np.where(there, values, np.nanmin(values) if there.any() else 0)
    found = MinMaxDownsampler().downsample(filled.astype(values.dtype), n_out=count)
    found = found[there[found]]
    return np.unique(np.concatenate([found, gaps[:, 0], gaps[:, 1] - 1])).astype(np.int64)
