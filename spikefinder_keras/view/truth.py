"""True spikes beside the predicted rates: where they are, and how well the rates go with them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array, Table, Times
from ..competition.scoring import score
from ..constants import POOL, SAMPLE_RATE
from ..errors import DataError
from ..files.columns import CsvTable
from ..files.csv import read_table
from ..recordings.recording import Prediction
from .source import PredictionSource

AT_A_TIME = 100  # neurons that are scored together
LONGEST_REST = 1.0
"""s by which a truth of 100 Hz may be shorter or longer than the recording: its last frame."""


@dataclass(frozen=True)
class Truth:
    """True spikes: `counts` `(frame, neuron)` in the frames of a prediction, NaN where nobody
    looked, and the times of each neuron's spikes in s."""

    counts: Table
    times: tuple[Times, ...]

    def scores(self, prediction: Prediction) -> list[float]:
        """Correlation with the rates of each neuron at 25 Hz, or at the frame rate where that is
        lower; NaN where there is none. At 100 Hz it is what `score` says."""
        together = max(1, round(prediction.recording.frame_rate / SAMPLE_RATE * POOL))
        found: list[float] = []
        for first in range(0, len(prediction.names), AT_A_TIME):
            part = slice(first, min(first + AT_A_TIME, len(prediction.names)))
            known, rates = self.counts[:, part], np.asarray(prediction.table[:, part], float)
            found += score(known, rates, downsample=together).values.tolist()
        return found


def read_truth(path: Path, prediction: Prediction) -> Truth:
    """True spikes of the neurons of a prediction from a CSV of counts, a column for each neuron.

    A row is a frame of the recording, a sample of 10 ms as in the competition, or what its time
    stamps say. Neurons are matched by their names, or where none is known, by their places.

    Raises
    ------
    DataError
        If the file is malformed, holds other things than counts, or is of another recording.
    """
    table = read_table(path)
    given = table.values
    known = given[np.isfinite(given)]
    if known.size and (known.min() < 0 or (known != known.round()).any()):
        raise DataError(f"{path} holds no numbers of spikes; give whole numbers per row (--truth)")
    stamps = _stamps(path, table, prediction)
    place = _places(path, table, prediction)
    # The frame in whose interval a sample lies; what lies in a pause is in none.
    times = np.asarray(prediction.times, np.float64)
    edges = (times[1:] + times[:-1]) / 2
    at = np.searchsorted(edges, stamps)
    inside = np.abs(times[at] - stamps) <= 0.5 / prediction.recording.frame_rate + 1e-9
    counts = np.full((len(times), len(prediction.names)), np.nan)
    spikes = [np.empty(0)] * len(prediction.names)
    for column, neuron in place.items():
        values = given[:, column]
        there = np.isfinite(values)
        sums, seen = (
            np.bincount(at[there & inside], weights, len(times))
            for weights in (values[there & inside], None)
        )
        counts[:, neuron] = np.where(seen > 0, sums, np.nan)
        spikes[neuron] = np.repeat(stamps[there], values[there].astype(int))
    return Truth(counts, tuple(spikes))


def _stamps(path: Path, table: CsvTable, prediction: Prediction) -> Times:
    """Time stamps of the rows of a truth in s."""
    rows, times = len(table.values), np.asarray(prediction.times, np.float64)
    if table.times is not None:
        return table.times
    if rows == len(times):
        return times
    lasts = times[-1] - times[0] + 1 / prediction.recording.frame_rate
    if abs(rows / SAMPLE_RATE - lasts) > LONGEST_REST:
        raise DataError(
            f"{path} has {rows} rows, neither {len(times)} frames nor {lasts * SAMPLE_RATE:.0f} "
            "samples of 10 ms; give a column of time stamps, or the truth of this recording"
        )
    # The first sample begins with the first frame, whose time stamp is its middle.
    begin = times[0] - 0.5 / prediction.recording.frame_rate
    return begin + (np.arange(rows) + 0.5) / SAMPLE_RATE


def _places(path: Path, table: CsvTable, prediction: Prediction) -> dict[int, int]:
    """The neuron of each column."""
    numbers = {name: k for k, name in enumerate(prediction.names)}
    found = {c: numbers[name] for c, name in enumerate(table.names) if name in numbers}
    if not found and len(table.names) == len(numbers):
        return {k: k for k in range(len(numbers))}
    if not found or len(found) < len(table.names):
        raise DataError(
            f"{path} has neurons that {prediction.recording.source} does not have; give the truth "
            "of this recording (--truth)"
        )
    return found


@dataclass(frozen=True)
class TruthSource:
    """A source with true spikes beside it: `truth` in what is in view, and in the table `score`."""

    source: PredictionSource
    truth: Truth

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    @cached_property
    def scores(self) -> list[float]:
        return self.truth.scores(self.source.prediction)

    def table(self) -> dict[str, list[Any]]:
        return {**self.source.table(), "score": self.scores}

    def window(self, neuron: int, start: float, end: float, points: int) -> dict[str, Array]:
        times = self.truth.times[neuron]
        found = self.source.window(neuron, start, end, points)
        return {**found, "truth": times[(times >= start) & (times <= end)]}
