"""Spike rates from calcium: the network applied to tables of traces."""

from dataclasses import dataclass

import numpy as np

from ..constants import DATASET_COUNT
from ..datasets import check_dataset, trace_lengths
from ..errors import DataError, UsageError
from .batches import fill_missing, group_by_length, one_hot, padded_length

BATCH = 16
"""Traces at a time. More of them at once gain no speed on two cores and cost memory."""

LARGEST_BATCH = 16 * 80_896
"""Samples at a time, padding included: as many as the competition's longest traces make. Batches of
longer traces have fewer of them."""

LARGEST = 1e30
"""Beyond it, sums over a convolution's kernel could leave float32."""


@dataclass(frozen=True)
class Table:
    """What `predict_tables` needs to know of one table.

    `calcium` is `(time, neuron)` at 100 Hz, preprocessed as the competition's, NaN where missing;
    `dataset` is 1 to 10; `spikes`, if there, marks by values below -1 what counts as missing.
    `longest` is the length in samples beyond which the released run did not pad this table.
    """

    calcium: np.ndarray
    dataset: int
    spikes: np.ndarray | None = None
    longest: int | None = None


def predict_calcium(calcium, dataset, weights="described"):
    """Predict spike rates from calcium traces in the competition's form.

    Parameters
    ----------
    calcium : array `(time, neuron)` or `(time,)`
        At 100 Hz, preprocessed as the competition's data. Missing samples (NaN) count as 0, as in
        the released run.
    dataset : int
        1 to 10; see `datasets.DATASETS` for the indicator and area behind each.
    weights : str, Path or keras.Model
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
        See `loading.load_network`, `datasets.check_dataset`.
    """
    calcium = np.asarray(calcium, float)
    table = calcium[:, None] if calcium.ndim == 1 else calcium
    if table.ndim != 2 or not table.size:
        raise DataError(f"calcium has shape {calcium.shape}; give an array (time, neuron)")
    _check_values(table)
    check_dataset(dataset)
    if not hasattr(weights, "predict_on_batch"):
        from .loading import load_network

        weights = load_network(weights)
    (rates,) = predict_tables(weights, [Table(table, dataset)])
    return rates.reshape(calcium.shape)


def predict_tables(network, tables, progress=None):
    """Predict all traces of several tables, those of similar length together.

    Each trace is padded to its own `batches.padded_length` at least; in a batch with a longer one
    some zeros more, which do not matter. So no prediction depends on what else is predicted.

    Parameters
    ----------
    network : keras.Model
        From `architecture.build_network` or `loading.load_network`.
    tables : sequence of Table
    progress : callable, optional
        Called after each batch with the number of samples done, then `total` samples.

    Returns
    -------
    list of float32 arrays `(time, neuron)`
        One for each table. A neuron without any sample is NaN; all others are finite.

    Raises
    ------
    DataError
        If a table has infinite or absurd values.
    """
    for table in tables:
        _check_values(table.calcium)
    datasets = _dataset_channels(network)
    filled = [fill_missing(r.calcium, r.spikes)[0] for r in tables]
    rates = [np.full(values.shape, np.nan, np.float32) for values in filled]
    batches = _batches(tables)
    total, done = sum(padded * len(traces) for padded, traces in batches), 0
    for padded, traces in batches:
        calcium = np.zeros((len(traces), padded, 1), np.float32)
        for row, (k, neuron) in enumerate(traces):
            calcium[row, : len(filled[k]), 0] = filled[k][:, neuron]
        inputs = [calcium]
        if datasets:
            inputs.append(one_hot([tables[k].dataset for k, _ in traces], padded, datasets))
        predicted = np.asarray(network.predict_on_batch(inputs))
        for row, (k, neuron) in enumerate(traces):
            rates[k][:, neuron] = predicted[row, : len(filled[k]), 0]
        done += padded * len(traces)
        if progress:
            progress(done, total)
    return rates


def _check_values(calcium):
    if (np.abs(calcium) > LARGEST).any():
        raise DataError(
            f"calcium has infinite values, or some beyond {LARGEST:g}; preprocess it as the "
            "competition's, and mark missing samples by NaN"
        )


def _dataset_channels(network):
    """Channels of the network's dataset input; 0 if it has none."""
    channels = network.inputs[1].shape[-1] if len(network.inputs) > 1 else 0
    if channels and channels < DATASET_COUNT:
        raise UsageError(
            f"this network knows {channels} datasets, not the competition's {DATASET_COUNT}"
        )
    return channels


def _batches(tables):
    """Pairs of a padded length and a list of `(table, neuron)`.

    Recordings with different `longest` never share a batch, or one would be padded beyond it.
    """
    batches = []
    for longest in dict.fromkeys(table.longest for table in tables):
        traces, lengths = [], []
        for k, table in enumerate(tables):
            if table.longest == longest:
                length = padded_length(len(table.calcium), longest)
                there = np.flatnonzero(trace_lengths(table.calcium))
                traces += [(k, neuron) for neuron in there]
                lengths += [length] * len(there)
        size = min(BATCH, max(1, LARGEST_BATCH // max(lengths, default=1)))
        for group in group_by_length(lengths, size):
            batches.append((lengths[group[0]], [traces[index] for index in group]))
    return batches
