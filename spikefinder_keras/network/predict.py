"""Spike rates from calcium: the networks applied to tables of traces, padded and masked as in 2017.

Tables are `(time, neuron)` as in the files; what a network gets is `(trace, time, channel)`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import Array, ArrayLike, Numbers, Rates, Table, numpy_settings
from ..constants import DATASET_COUNT, MISSING_SPIKES, PADDING_THAT_MATTERS
from ..datasets import DATASETS, check_dataset, trace_lengths
from ..errors import DataError, UsageError, WeightsError
from .engine import Engine, KerasEngine, KerasModel, as_engine
from .universal import CHANNELS, LEVELS, reach

BATCH = 16  # so many traces go at a time. More of them gain no speed on two cores and cost memory

LARGEST_BATCH = 16 * 80_896
"""So many samples go at a time, padding included: as many as the competition's longest traces make.
Batches of longer traces have fewer of them."""

COST_OF_A_BATCH = 3
"""A batch takes the time of so many traces beyond that of its own (measured on two cores)."""

LARGEST = 1e30  # beyond it, sums over a convolution's kernel could leave float32

ALL_DATASETS = tuple(dataset.number for dataset in DATASETS)

ONSET = 20
"""So many samples (200 ms) at the start of a trace show the zeros before it alone: on the ground
truth, where recordings are short, holding 20 scores better than 10 and as well as 50."""

UNIVERSAL_ONSET = 5  # the same for `universal`, in steps of 40 ms: 200 ms, too
STEPS_AT_A_TIME = 131_072  # so many steps of `universal` are predicted at a time


@dataclass(frozen=True)
class CalciumTable:
    """Calcium `(time, neuron)` at 100 Hz, preprocessed as the competition's, and its dataset, 1 to
    10. `spikes`, if there, marks by values below -1 what counts as missing; `longest` are the
    samples beyond which the released run did not pad this table."""

    calcium: Table
    dataset: int
    spikes: Table | None = None
    longest: int | None = None


@numpy_settings()
def predict_calcium(
    calcium: ArrayLike, dataset: int, weights: str | Path | Engine | KerasModel = "described"
) -> Rates:
    """Predict spike rates from calcium traces in the competition's form.

    Parameters
    ----------
    calcium : (time, neuron) or (time,)
        At 100 Hz, preprocessed as the competition's data. Missing samples (NaN) count as 0, as in
        the released run.
    dataset
        1 to 10; see `datasets.DATASETS` for the indicator and area behind each.
    weights
        A name (`described`, `released`, `published`), a file, or a loaded network.

    Returns
    -------
    float32 array of the shape of `calcium`
        Spike rate between 0 and 1, in arbitrary units; NaN for a neuron without any sample.

    Raises
    ------
    DataError
        If `calcium` has another number of dimensions, is empty or has infinite or absurd values.
    UsageError, WeightsError, DownloadError
        See `engine.load_engine`, `datasets.check_dataset`.
    """
    try:
        given = np.asarray(calcium, float)
    except (TypeError, ValueError):
        raise DataError("calcium is no array of numbers (time, neuron)") from None
    table = given[:, None] if given.ndim == 1 else given
    if table.ndim != 2 or not table.size:
        raise DataError(f"calcium has shape {given.shape}; give an array (time, neuron)")
    check_dataset(dataset)
    (rates,) = predict_tables(weights, [CalciumTable(table, dataset)])
    return rates.reshape(given.shape)


def predict_tables(
    network: str | Path | Engine | KerasModel, tables: Sequence[CalciumTable]
) -> list[Rates]:
    """Predict all traces of several tables, those of similar length together: float32 `(time,
    neuron)` for each. A neuron without any sample is NaN, all others are finite.

    Each trace is padded to its own `padded_length` at least; in a batch with a longer one
    some zeros more, which do not matter. So no prediction depends on what else is predicted.
    `DataError` if a table has infinite or absurd values.
    """
    rates = _predict(network, tables, [[table.dataset] for table in tables])
    return [table[0] for table in rates]


def rates_by_dataset(
    network: Engine | KerasModel,
    calcium: Sequence[Table],
    numbers: Sequence[int] = ALL_DATASETS,
    *,
    as_in_2017: bool = False,
) -> dict[int, list[Rates]]:
    """The network's output for segments `(sample, neuron)` at 100 Hz, by dataset ID: for each of
    `numbers` one float32 array for each segment.

    The network sees zeros before a trace, without a dataset ID, to which its first samples owe more
    than to the trace: they can exceed everything behind them. The published scores, too, left the
    first ten out (`scoring.published_transform`); here the first `ONSET` get the value of the next
    unless all shall be `as_in_2017`.
    """
    # What comes before the dataset ID in the network is computed once for all of them.
    tables = [CalciumTable(table, 1) for table in calcium]
    rates = _predict(network, tables, [numbers] * len(tables))
    if not as_in_2017:
        for table in rates:
            for under_one_id in table:
                hold_start(under_one_id, ONSET)
    return {number: [table[k] for table in rates] for k, number in enumerate(numbers)}


def _predict(
    network: str | Path | Engine | KerasModel,
    tables: Sequence[CalciumTable],
    numbers: Sequence[Sequence[int]],
) -> list[Rates]:
    """Rates `(id, time, neuron)` of each table under its own dataset IDs."""
    if any((np.abs(table.calcium) > LARGEST).any() for table in tables):
        raise DataError(
            f"calcium has infinite values, or some beyond {LARGEST:g}; preprocess it as the "
            "competition's, and mark missing samples by NaN"
        )
    engine = as_engine(network)
    if 0 < engine.datasets < DATASET_COUNT:
        raise UsageError(
            f"this network knows {engine.datasets} datasets, not the competition's {DATASET_COUNT}"
        )
    filled = [fill_missing(each.calcium, each.spikes)[0] for each in tables]
    rates = [
        np.full((len(ids), *values.shape), np.nan, np.float32)
        for ids, values in zip(numbers, filled, strict=True)
    ]
    for padded, traces in _batches(tables):
        calcium = np.zeros((len(traces), padded, 1), np.float32)
        for row, (k, neuron) in enumerate(traces):
            calcium[row, : len(filled[k]), 0] = filled[k][:, neuron]
        ids = None
        if engine.datasets:
            chosen = np.array([numbers[k] for k, _ in traces]) - 1
            ids = np.eye(engine.datasets, dtype=np.float32)[chosen]
        predicted = engine.run(calcium, ids)
        check_rates(predicted)
        for row, (k, neuron) in enumerate(traces):
            rates[k][:, :, neuron] = predicted[row, :, : len(filled[k])]
    return rates


def _batches(tables: Sequence[CalciumTable]) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """A padded length and a list of `(table, neuron)`, for each batch."""
    # Tables with different `longest` never share a batch, or one would be padded beyond it.
    for longest in dict.fromkeys(table.longest for table in tables):
        traces: list[tuple[int, int]] = []
        lengths: list[int] = []
        for k, table in enumerate(tables):
            if table.longest == longest:
                there = np.flatnonzero(trace_lengths(table.calcium))
                traces += [(k, int(neuron)) for neuron in there]
                lengths += [padded_length(len(table.calcium), longest)] * len(there)
        size = min(BATCH, max(1, LARGEST_BATCH // max(lengths, default=1)))
        for group in group_by_length(lengths, size):
            yield lengths[group[0]], [traces[index] for index in group]


# Padding and masks of the released run


def fill_missing(calcium: Table, spikes: Table | None = None) -> tuple[Table, Table | None]:
    """Missing samples of tables `(time, neuron)` as the released run gave them to the network: 0 in
    the calcium, -1 in the spikes. Where spikes are below -1, both count as missing."""
    calcium = np.array(calcium, np.float32)
    if spikes is not None:
        spikes = np.array(spikes, np.float32)
        below = spikes < MISSING_SPIKES
        calcium[below] = 0.0
        spikes[below | np.isnan(spikes)] = MISSING_SPIKES
    calcium[np.isnan(calcium)] = 0.0
    return calcium, spikes


def padded_length(samples: int, longest: int | None = None) -> int:
    """Samples to which a trace is padded for prediction, at least `samples` and never beyond
    `longest`, the longest trace of the split, to which the released run padded."""
    padded = samples + PADDING_THAT_MATTERS
    return padded if longest is None else max(samples, min(padded, longest))


def group_by_length(lengths: Sequence[int], size: int) -> list[Numbers]:
    """Put traces into batches of at most `size` so that little is padded: indices into `lengths`,
    longest first.

    Of all ways to cut that order into batches it is the one that takes least time, if a batch of n
    traces takes its longest length times n + `COST_OF_A_BATCH`.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    cheapest = [(0, 0)]  # cost of the first n traces, and where their last batch begins
    for end in range(1, len(order) + 1):
        ways = [
            (cheapest[first][0] + lengths[order[first]] * (end - first + COST_OF_A_BATCH), first)
            for first in range(max(0, end - size), end)
        ]
        cheapest.append(min(ways))
    groups, end = [], len(order)
    while end:
        first = cheapest[end][1]
        groups.append(order[first:end])
        end = first
    return groups[::-1]


def hold_start(rates: Rates, count: int) -> None:
    """Give the first `count` of rates `(sample, ...)` the value of the next, in place."""
    rates[:count] = rates[: count + 1][-1:]


def check_rates(rates: Rates) -> None:
    """Raise `WeightsError` if a network's output is no number, as of weights that are too large."""
    if not np.isfinite(rates).all():
        raise WeightsError(
            "the network's output is no number: its weights are too large; name others (--weights)"
        )


# The network `universal`


def predict_steps(engine: Engine, inputs: Sequence[Array]) -> list[Rates]:
    """The output of `universal` for traces of any length, float32 `(step, channel)`: expected
    spikes per step of 40 ms, but for a factor, float64 `(step,)`.

    Each is the same whatever else is predicted with it. The first `UNIVERSAL_ONSET` have the value
    of the next. `WeightsError` if the engine is of another network, or gives no numbers.
    """
    if not engine.is_universal:
        raise WeightsError("what stands beside these weights is for the network universal alone")
    # Behind the end stand so many zeros that more of them make no difference.
    units = [-(-(len(x) + reach()) // 2**LEVELS) for x in inputs]
    if isinstance(engine, KerasEngine):  # few lengths, as JAX compiles each
        units = [int(2 ** np.ceil(np.log2(count))) for count in units]
    padded = [2**LEVELS * count for count in units]
    results: list[Rates] = [np.empty(0)] * len(inputs)
    for length in sorted(set(padded)):
        alike = [k for k, value in enumerate(padded) if value == length]
        size = max(1, STEPS_AT_A_TIME // length)
        for first in range(0, len(alike), size):
            part = alike[first : first + size]
            batch = np.zeros((len(part), length, CHANNELS), np.float32)
            for row, k in enumerate(part):
                batch[row, : len(inputs[k])] = inputs[k]
            rates = engine.run(batch)[:, 0]
            check_rates(rates)
            for row, k in enumerate(part):
                results[k] = rates[row, : len(inputs[k])].astype(np.float64)
                hold_start(results[k], UNIVERSAL_ONSET)
    return results
