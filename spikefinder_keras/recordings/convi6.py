"""The network of 2017 on somebody's recording: what is chosen before, and its steps on the way.

A recording in the competition's form is predicted as in 2017: no preparation, missing samples are
0, and the network's first samples stay as they are.
"""

import numpy as np

from .. import __version__
from ..datasets import DATASETS, check_dataset
from ..errors import UsageError
from ..network.batches import hold_start
from ..network.predict import Table, as_engine, predict_under
from ..network.weights import find_weights
from .engines import choose_engine
from .quality import AGREEMENT, agreement, judge_neuron
from .segments import LONGEST_BRIDGED, prepare

ALL_DATASETS = tuple(dataset.number for dataset in DATASETS)

ONSET = 20
"""Samples (200 ms) at the start of a trace that tell of the network's padding alone: on the ground
truth, where recordings are short, holding 20 scores better than 10 and as well as 50."""

EXCERPT, SHORTEST, LONGEST = 40, 1_000, 12_000
"""All dataset IDs are compared on the liveliest 1 / 40 of a neuron, 10 s to 2 min of it. Ten cost
six times as much for a sample as one, as what they have in common is computed once; so the
comparison is less than a tenth of a prediction that takes longer than a blink."""


class Convi6:
    """A network of 2017 and the dataset IDs to run it under. Its rates have no unit.

    Parameters
    ----------
    weights : str, Path, convi6_engine.Convi6Engine or keras.Model
        A name (`described`, `released`, `published`), a file, or a loaded network.
    numbers : tuple of int
        Dataset IDs; their rates are averaged.
    engine : "fast" or "keras"
        What computes, see `engines.choose_engine`.
    progress : bool
        Say on the terminal that Keras is loading.

    Raises
    ------
    UsageError, WeightsError, DownloadError
        If the weights cannot be used.
    """

    certainty = AGREEMENT

    def __init__(self, weights, numbers=ALL_DATASETS, engine="fast", progress=False):
        if hasattr(weights, "run") or hasattr(weights, "predict_on_batch"):
            self.network, self.name = as_engine(weights), getattr(weights, "name", "given")
        else:
            self.path = find_weights(weights)
            network, _ = choose_engine(self.path, engine, progress)
            self.network, self.name = as_engine(network), str(weights)
        self.knows_datasets = self.network.datasets > 0
        self.numbers = numbers if self.knows_datasets else numbers[:1]

    @property
    def threads(self):
        """Groups of neurons that may be predicted side by side."""
        return getattr(self.network, "threads", 1)

    def prepare(self, recording, blocks, neurons):
        """The input: for each block a float32 array `(sample, neuron)` at 100 Hz."""
        if recording.unit == "competition":
            return [recording.fluorescence[:, neurons.start : neurons.stop]]
        return prepare(recording, blocks, neurons)

    def run(self, recording, calcium):
        """The output under each dataset ID, see `rates_by_dataset`."""
        faithful = recording.unit == "competition"
        return rates_by_dataset(self.network, calcium, self.numbers, faithful)

    def rates(self, outputs):
        """Mean over the IDs: for each block an array `(sample, neuron)`."""
        tables = zip(*outputs.values(), strict=True)
        return [sum(each) / len(outputs) for each in tables]

    def judge(self, recording, blocks, neurons, calcium, outputs):
        """A `NeuronTrust` for each neuron; all dataset IDs are compared on an excerpt."""
        by_dataset = self._compare(blocks, calcium)
        found = []
        for column, neuron in enumerate(neurons):
            trace = np.concatenate([table[:, column] for table in calcium])
            same = agreement([rates[:, column] for rates in by_dataset])
            found.append(judge_neuron(recording, blocks, neuron, trace, same))
        return found

    def _compare(self, blocks, calcium):
        """Rates `(sample, neuron)` under every ID, of a lively part of the longest block."""
        longest = int(np.argmax([block.samples for block in blocks]))
        excerpt = np.take_along_axis(calcium[longest], liveliest(calcium[longest]), 0)
        numbers = ALL_DATASETS if self.knows_datasets else self.numbers
        return [tables[0] for tables in rates_by_dataset(self.network, [excerpt], numbers).values()]

    def describe(self, recording):
        """What the rates are, as every written file says it: a dict of text and numbers."""
        if len(self.numbers) > 1:
            datasets = f"mean over the dataset IDs {', '.join(map(str, self.numbers))}"
        else:
            (number,) = self.numbers
            chosen = DATASETS[number - 1]
            datasets = f"dataset ID {number} ({chosen.indicator}, {chosen.area}, {chosen.source})"
        if recording.unit == "competition":
            preparation = (
                "none: the traces were taken to be in the competition's form, at 100 Hz; missing "
                "samples counted as 0, as in 2017"
            )
        else:
            preparation = (
                "robust line subtracted, 5th percentile to 0 and 80th to 1, Fourier resampling to "
                f"100 Hz; gaps up to {LONGEST_BRIDGED:g} s interpolated, longer ones left empty"
            )
        software = f"spikefinder-keras {__version__}, the network convi6 of Chenkov and McColgan"
        return {
            "unit": "arbitrary, between 0 and 1",
            "time": "mean over each frame's interval, centred on its time stamp in s",
            "frame_rate": recording.frame_rate,
            "source": recording.source,
            "notes": "; ".join(recording.notes),
            "weights": self.name,
            "dataset": datasets,
            "preprocessing": preparation,
            "engine": self.network.name,
            "software": software,
        }


def liveliest(calcium):
    """Where each neuron varies most: numbers of samples `(sample of the excerpt, neuron)`.

    Parameters
    ----------
    calcium : array `(sample, neuron)`
        NaN where missing.
    """
    samples, neurons = calcium.shape
    length = min(samples, int(np.clip(samples // EXCERPT, SHORTEST, LONGEST)))
    count = samples // length
    parts = np.nan_to_num(calcium[: count * length]).reshape(count, length, neurons)
    return length * parts.std(axis=1).argmax(axis=0) + np.arange(length)[:, None]


def choose_datasets(dataset=None, indicator=None, area=None):
    """The dataset IDs under which to predict a recording; their rates are averaged.

    Parameters
    ----------
    dataset : int, optional
        One of the ten.
    indicator, area : str, optional
        As in `datasets.DATASETS`, capitals and hyphens aside: "GCaMP6f", "V1". All datasets that
        have them.

    Returns
    -------
    tuple of int
        All ten if nothing is given.

    Raises
    ------
    UsageError
        If there is no such dataset, or if a number and an indicator are given.
    """
    if dataset is not None:
        if indicator or area:
            raise UsageError("give a number (--dataset), or --indicator and --area, not both")
        return (check_dataset(dataset),)
    chosen = tuple(
        each.number
        for each in DATASETS
        if (not indicator or _plain(indicator) == _plain(each.indicator))
        and (not area or _plain(area) == _plain(each.area))
    )
    if not chosen:
        known = sorted({f"{each.indicator} in {each.area}" for each in DATASETS})
        wanted = " in ".join(filter(None, (indicator, area)))
        raise UsageError(
            f"no dataset has {wanted}; there are {', '.join(known)}; leave the choice out for the "
            "mean over all ten"
        )
    return chosen


def _plain(name):
    return "".join(c for c in name.lower() if c.isalnum())


def rates_by_dataset(network, calcium, numbers, faithful=False):
    """The network's output under several dataset IDs.

    The network sees zeros before a trace, without a dataset ID, to which its first samples owe more
    than to the trace: they can exceed everything behind them. The published scores, too, left the
    first ten out (`scoring.published_transform`); here the first `ONSET` get the value of the next.

    Parameters
    ----------
    network : convi6_engine.Convi6Engine or keras.Model
    calcium : sequence of arrays `(sample, neuron)`
        One for each block, at 100 Hz, as from `prepare`.
    numbers : sequence of int
        Dataset IDs.
    faithful : bool
        Leave the first samples as they are.

    Returns
    -------
    dict of int to list of float32 arrays `(sample, neuron)`
        For each ID one array for each block.
    """
    rates = predict_under(network, [Table(table, 1) for table in calcium], numbers)
    if not faithful:
        for table in rates:
            for under_one_id in table:
                hold_start(under_one_id, ONSET)
    return {number: [table[k] for table in rates] for k, number in enumerate(numbers)}
