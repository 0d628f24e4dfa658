"""Pad, mask and weigh traces as the released run did, and group them by length.

Tables are `(time, neuron)` as in the files; what the network gets is `(neuron, time, channel)`.
"""

import numpy as np

from ..constants import (
    DATASET_COUNT,
    FEW_DATA_WEIGHT,
    MISSING_SPIKES,
    PADDING_THAT_MATTERS,
    TEST_DATASETS,
)
from ..errors import WeightsError

COST_OF_A_BATCH = 3
"""In traces: the time that a batch takes beyond that of its traces (measured on two cores)."""


def fill_missing(calcium, spikes=None):
    """Missing samples as the released run gave them to the network.

    Parameters
    ----------
    calcium : array `(time, neuron)`
    spikes : array `(time, neuron)`, optional
        Where it is below -1, both count as missing.

    Returns
    -------
    calcium : float32 array `(time, neuron)`
        0 where missing.
    spikes : float32 array `(time, neuron)` or None
        -1 where missing.
    """
    calcium = np.array(calcium, np.float32)
    if spikes is not None:
        spikes = np.array(spikes, np.float32)
        below = spikes < MISSING_SPIKES
        calcium[below] = 0.0
        spikes[below | np.isnan(spikes)] = MISSING_SPIKES
    calcium[np.isnan(calcium)] = 0.0
    return calcium, spikes


def stack(tables, length=None, value=0.0):
    """Pad tables at their end to one length and stack their neurons.

    Parameters
    ----------
    tables : sequence of arrays `(time, neuron)`
    length : int, optional
        Samples; by default the longest table's, as in the released run.
    value : float
        Of the padding: 0 for calcium, -1 for spikes.

    Returns
    -------
    float32 array `(neuron, time, 1)`
    """
    length = max(map(len, tables)) if length is None else length
    stacked = np.full((sum(table.shape[1] for table in tables), length, 1), value, np.float32)
    first = 0
    for table in tables:
        stacked[first : first + table.shape[1], : len(table), 0] = table.T
        first += table.shape[1]
    return stacked


def one_hot(numbers, length, datasets=DATASET_COUNT):
    """The dataset ID, constant over time; dataset numbers 1.. in, `(neuron, time, dataset)` out."""
    rows = np.eye(datasets, dtype=np.float32)[np.asarray(numbers) - 1]
    return np.repeat(rows[:, None], length, axis=1)


def sample_weights(numbers, few_data_weight=FEW_DATA_WEIGHT):
    """Weight of each training trace, mean 1; dataset numbers `(neuron,)` in, floats out.

    Sets 1 to 5 count 2.5 times as much as the others: the competition tested on these.
    """
    weights = np.where(np.asarray(numbers) <= TEST_DATASETS, few_data_weight, 1.0)
    return weights / weights.mean()


def padded_length(samples, longest=None):
    """Samples to which a trace is padded for prediction.

    Parameters
    ----------
    samples : int
        Of the trace.
    longest : int, optional
        Never pad beyond this: the longest trace of the split, to which the released run padded.

    Returns
    -------
    int
        At least `samples`.
    """
    padded = samples + PADDING_THAT_MATTERS
    return padded if longest is None else max(samples, min(padded, longest))


def group_by_length(lengths, size):
    """Put traces into batches so that little is padded.

    Parameters
    ----------
    lengths : sequence of int
        Samples of each trace.
    size : int
        Of a batch, at most.

    Returns
    -------
    list of int arrays
        Indices into `lengths`, longest first. Of all ways to cut that order into batches the one
        that takes least time, if a batch of n traces takes its longest length times n +
        `COST_OF_A_BATCH`.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    cheapest = [(0, 0)]  # cost of the first n traces, and where their last batch begins
    for end in range(1, len(order) + 1):
        cheapest.append(
            min(
                (
                    cheapest[first][0] + lengths[order[first]] * (end - first + COST_OF_A_BATCH),
                    first,
                )
                for first in range(max(0, end - size), end)
            )
        )
    groups, end = [], len(order)
    while end:
        first = cheapest[end][1]
        groups.append(order[first:end])
        end = first
    return groups[::-1]


def hold_start(rates, count):
    """Give the first `count` of rates `(sample, ...)` the value of the next, in place.

    A network sees zeros before a trace, to which its first samples owe more than to the trace.
    """
    rates[:count] = rates[: count + 1][-1:]


def check_rates(rates):
    """Raise `WeightsError` if a network's output is no number, as of weights that are too large."""
    if not np.isfinite(rates).all():
        raise WeightsError(
            "the network's output is no number: its weights are too large; name others (--weights)"
        )
