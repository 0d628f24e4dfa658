"""Training traces: what of a competition folder trains, and its batches."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import Array, ArrayLike, Mask, Numbers, Table, Trace
from ..competition.tables import find_sets, read_set
from ..constants import DATASET_COUNT, FEW_DATA_WEIGHT, POOL, SPLIT_LENGTH, TEST_DATASETS
from ..datasets import trace_lengths
from ..errors import DataError
from ..network.predict import fill_missing, padded_length

LENGTH_STEP = 2048
"""Batches are padded to multiples of so many samples (and a remainder that keeps the loss's windows
where the released run had them), so that JAX compiles few different lengths."""


def fingerprint(arrays: Iterable[Array]) -> str:
    """A hash of all that a run learns from, by which it knows its data when it is resumed."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Traces:
    """Training traces in stacking order, each as long as its samples: calcium and spikes float32
    `(time,)`; by trace the number of its dataset, its column in the table and its weight (mean 1);
    `longest` are the samples beyond which no batch is padded."""

    calcium: list[Trace]
    spikes: list[Trace]
    numbers: Numbers
    weights: Array
    longest: int
    columns: Numbers

    def __len__(self) -> int:
        return len(self.calcium)

    def batch(self, indices: Numbers, trim: bool = True) -> tuple[list[Array], Array, Array]:
        """Inputs `[calcium, dataset]`, truth and weights of the traces at `indices`: `(trace, time,
        1)`, `(trace, time, 10)`, `(trace, time, 1)` and `(trace,)`. With `trim`, `time` is no
        longer than what influences the result; without, it is `longest`."""
        length = self.longest
        if trim:
            needed = padded_length(max(len(self.calcium[i]) for i in indices))
            steps = -(-needed // LENGTH_STEP)
            # 'same' pooling starts its windows where the remainder of the length says.
            length = min(steps * LENGTH_STEP + self.longest % POOL, self.longest)
        calcium = stack([self.calcium[i][:, None] for i in indices], length)
        truth = stack([self.spikes[i][:, None] for i in indices], length, -1.0)
        dataset = one_hot(self.numbers[indices], length)
        return [calcium, dataset], truth, self.weights[indices].astype(np.float32)

    def subset(self, chosen: Mask) -> "Traces":
        """The traces at `chosen`, a bool array `(trace,)`; their weights have the mean 1 again."""
        where = np.flatnonzero(chosen)
        weights = self.weights[where]
        return Traces(
            [self.calcium[i] for i in where],
            [self.spikes[i] for i in where],
            self.numbers[where],
            weights / weights.mean(),
            self.longest,
            self.columns[where],
        )

    def fingerprint(self) -> str:
        """A hash of all samples, by which a resumed run knows its data."""
        return fingerprint([self.numbers, *self.calcium, *self.spikes])


def read_traces(
    folder: str | Path,
    few_data_weight: float = FEW_DATA_WEIGHT,
    say: Callable[[str], None] = lambda line: None,
) -> Traces:
    """All training traces of a competition folder that have spikes to learn from; `say` receives a
    line for whatever is left out, such as sets without true spikes. `DataError` if no trace is
    left."""
    calcium: list[Trace] = []
    spikes: list[Trace] = []
    numbers: list[int] = []
    columns: list[int] = []
    for split, number in find_sets(folder):
        if split != "train":
            continue
        table, truth = read_set(folder, split, number)
        if truth is None:
            say(f"set {number}: no true spikes in {folder}; left out")
            continue
        lengths = np.stack([trace_lengths(table), trace_lengths(truth)])
        for neuron in np.flatnonzero(lengths.min(axis=0) == 0):
            say(f"set {number}: neuron {neuron} has no samples; left out")
        table, known = fill_missing(table, truth)
        truth = np.asarray(known)
        # Copies, or every trace would keep its whole table in memory.
        for neuron in np.flatnonzero(lengths.min(axis=0)):
            calcium.append(table[: lengths[:, neuron].max(), neuron].copy())
            spikes.append(truth[: lengths[:, neuron].max(), neuron].copy())
            numbers.append(number)
            columns.append(int(neuron))
    if not calcium:
        raise DataError(f"no trace with true spikes in {folder}; training needs *.train.spikes.csv")
    if not any((trace > 0).any() for trace in spikes):
        raise DataError(f"not one spike in {folder}; there is nothing to learn from")
    of_sets = np.array(numbers)
    longest = max(max(map(len, calcium)), SPLIT_LENGTH["train"])
    weights = sample_weights(of_sets, few_data_weight)
    return Traces(calcium, spikes, of_sets, weights, longest, columns=np.array(columns))


def stack(tables: Sequence[Table], length: int | None = None, value: float = 0.0) -> Array:
    """Pad tables `(time, neuron)` at their end to `length` samples, by default the longest table's,
    as in the released run, and stack their neurons: float32 `(neuron, time, 1)`. The padding is 0
    for calcium, -1 for spikes."""
    length = max(map(len, tables)) if length is None else length
    stacked = np.full((sum(table.shape[1] for table in tables), length, 1), value, np.float32)
    first = 0
    for table in tables:
        stacked[first : first + table.shape[1], : len(table), 0] = table.T
        first += table.shape[1]
    return stacked


def one_hot(numbers: ArrayLike, length: int, datasets: int = DATASET_COUNT) -> Array:
    """The dataset ID, constant over time; dataset numbers 1.. in, `(neuron, time, dataset)` out."""
    rows = np.eye(datasets, dtype=np.float32)[np.asarray(numbers) - 1]
    return np.repeat(rows[:, None], length, axis=1)


def sample_weights(numbers: ArrayLike, few_data_weight: float = FEW_DATA_WEIGHT) -> Array:
    """Weight of each training trace `(neuron,)`, mean 1, by dataset numbers: sets 1 to 5 count 2.5
    times as much as the others, as the competition tested on these."""
    weights = np.where(np.asarray(numbers) <= TEST_DATASETS, few_data_weight, 1.0)
    return weights / weights.mean()
