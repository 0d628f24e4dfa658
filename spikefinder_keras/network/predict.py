"""Spike rates from calcium: the network applied to tables of traces."""

from dataclasses import dataclass

import numpy as np

from ..constants import DATASET_COUNT
from ..datasets import check_dataset, trace_lengths
from ..errors import DataError, UsageError, WeightsError
from .batches import check_rates, fill_missing, group_by_length, padded_length

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


@np.errstate(divide="warn", over="warn", invalid="warn", under="ignore")  # whatever the user's
def predict_calcium(calcium, dataset, weights="described"):
    """Predict spike rates from calcium traces in the competition's form.

    Parameters
    ----------
    calcium : array `(time, neuron)` or `(time,)`
        At 100 Hz, preprocessed as the competition's data. Missing samples (NaN) count as 0, as in
        the released run.
    dataset : int
        1 to 10; see `datasets.DATASETS` for the indicator and area behind each.
    weights : str, Path, convi6_engine.Convi6Engine or keras.Model
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
    calcium = np.asarray(calcium, float)
    table = calcium[:, None] if calcium.ndim == 1 else calcium
    if table.ndim != 2 or not table.size:
        raise DataError(f"calcium has shape {calcium.shape}; give an array (time, neuron)")
    _check_values(table)
    check_dataset(dataset)
    (rates,) = predict_tables(as_engine(weights), [Table(table, dataset)])
    return rates.reshape(calcium.shape)


def predict_tables(network, tables):
    """Predict all traces of several tables, those of similar length together.

    Each trace is padded to its own `batches.padded_length` at least; in a batch with a longer one
    some zeros more, which do not matter. So no prediction depends on what else is predicted.

    Parameters
    ----------
    network : convi6_engine.Convi6Engine or keras.Model
    tables : sequence of Table

    Returns
    -------
    list of float32 arrays `(time, neuron)`
        One for each table. A neuron without any sample is NaN; all others are finite.

    Raises
    ------
    DataError
        If a table has infinite or absurd values.
    """
    rates = _predict(network, tables, [[table.dataset] for table in tables])
    return [table[0] for table in rates]


def predict_under(network, tables, numbers):
    """As `predict_tables`, but each table under several dataset IDs, `numbers`.

    What comes before the dataset ID in the network is computed once for all of them.

    Returns
    -------
    list of float32 arrays `(id, time, neuron)`
    """
    return _predict(network, tables, [numbers] * len(tables))


def _predict(network, tables, numbers):
    for table in tables:
        _check_values(table.calcium)
    network = as_engine(network)
    if 0 < network.datasets < DATASET_COUNT:
        raise UsageError(
            f"this network knows {network.datasets} datasets, not the competition's {DATASET_COUNT}"
        )
    filled = [fill_missing(r.calcium, r.spikes)[0] for r in tables]
    rates = [
        np.full((len(ids), *values.shape), np.nan, np.float32)
        for ids, values in zip(numbers, filled, strict=True)
    ]
    for padded, traces in _batches(tables):
        calcium = np.zeros((len(traces), padded), np.float32)
        for row, (k, neuron) in enumerate(traces):
            calcium[row, : len(filled[k])] = filled[k][:, neuron]
        ids = None
        if network.datasets:
            ids = np.array([numbers[k] for k, _ in traces]) - 1
            ids = np.eye(network.datasets, dtype=np.float32)[ids]
        predicted = network.run(calcium, ids)
        check_rates(predicted)
        for row, (k, neuron) in enumerate(traces):
            rates[k][:, :, neuron] = predicted[row, :, : len(filled[k])]
    return rates


def as_engine(network):
    """The engine for a name or file of weights or a `keras.Model`; an engine stays itself.

    Raises
    ------
    WeightsError
        If it is of `universal`, which takes other input.
    UsageError, DownloadError
        See `engine.load_engine`.
    """
    engine, name = network, "this network"
    if hasattr(network, "predict_on_batch"):
        engine = KerasEngine(network)
    elif not hasattr(network, "run"):
        from .engine import load_engine

        engine, name = load_engine(network), network
    if engine.datasets is None:
        raise WeightsError(
            f"{name} is of the network universal, which predicts raw recordings alone, with "
            "NAME.knowledge.json beside its file; name weights of 2017, such as described "
            "(--weights)"
        )
    return engine


class KerasEngine:
    """A Keras network with the interface of `convi6_engine.Convi6Engine`, to compare with it."""

    def __init__(self, network):
        self.network, self.arrays = network, None
        self.datasets = network.inputs[1].shape[-1] if len(network.inputs) > 1 else 0
        if network.inputs[0].shape[-1] != 1:
            self.datasets = None
        self.name = "Keras, float32"

    def run(self, calcium, ids=None):
        """See `convi6_engine.Convi6Engine.run`."""
        calcium = calcium[..., None]
        if ids is None:
            return np.asarray(self.network.predict_on_batch([calcium]))[:, None, :, 0]
        rates = []
        for k in range(ids.shape[1]):
            constant = np.repeat(ids[:, k, None], calcium.shape[1], axis=1)
            rates.append(np.asarray(self.network.predict_on_batch([calcium, constant]))[..., 0])
        return np.stack(rates, axis=1)


def _check_values(calcium):
    if (np.abs(calcium) > LARGEST).any():
        raise DataError(
            f"calcium has infinite values, or some beyond {LARGEST:g}; preprocess it as the "
            "competition's, and mark missing samples by NaN"
        )


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
