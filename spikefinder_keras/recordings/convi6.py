"""The network of 2017 on somebody's recording, under one or more dataset IDs.

Its rates have no unit. A recording in the competition's form is predicted as in 2017: no
preparation, missing samples are 0, and the network's first samples stay as they are.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..arrays import Numbers, Rates, Table
from ..datasets import DATASETS, check_dataset
from ..errors import UsageError
from ..network.engine import as_engine, load_engine
from ..network.predict import ALL_DATASETS, rates_by_dataset
from ..network.weights import find_weights
from ..signals.preprocess import detrend, scale
from ..text import letters
from .options import PredictOptions
from .quality import AGREEMENT, agreement, neuron_quality
from .recording import Predicted, Recording, described_alike
from .segments import LONGEST_BRIDGED, to_frames

WEIGHTS = "described"
"""The weights for what only the network of 2017 takes: its dataset IDs, the competition's form."""

EXCERPT, SHORTEST, LONGEST = 40, 1_000, 12_000
"""All dataset IDs are compared on the liveliest 1 / 40 of a neuron, 10 s to 2 min of it. Ten cost
six times as much for a sample as one, as what they have in common is computed once; so the
comparison is less than a tenth of a prediction that takes longer than a blink."""


class Convi6:
    """A network of 2017 and the dataset IDs to run it under; their rates are averaged.

    With `as_in_2017` the recordings are in the competition's form; with `progress` the terminal
    says that Keras is loading.
    """

    certainty = AGREEMENT

    def __init__(
        self, options: PredictOptions, *, as_in_2017: bool = False, progress: bool = False
    ) -> None:
        self.as_in_2017 = as_in_2017
        weights = WEIGHTS if options.weights is None else options.weights
        self.path: Path | None = None
        if isinstance(weights, (str, Path)):
            self.path, self.name = find_weights(weights), str(weights)
            loaded = load_engine(self.path, engine=options.engine, progress=progress)
            self.engine = as_engine(loaded)
        else:
            self.engine, self.name = as_engine(weights), getattr(weights, "name", "given")
        numbers = choose_datasets(options.dataset, options.indicator, options.area)
        self.knows_datasets = self.engine.datasets > 0
        # A network without dataset IDs gives the same rates under each: one is enough.
        self.numbers = numbers if self.knows_datasets else numbers[:1]

    def predict(self, recording: Recording) -> Predicted:
        """Predict the neurons of a recording in memory, each by itself."""
        calcium = [recording.traces] if self.as_in_2017 else prepare(recording)
        by_dataset = rates_by_dataset(
            self.engine, calcium, self.numbers, as_in_2017=self.as_in_2017
        )
        tables = zip(*by_dataset.values(), strict=True)
        rates = [sum(each) / len(self.numbers) for each in tables]
        compared = self._compare(calcium)
        quality = []
        for k in range(len(recording.names)):
            trace = np.concatenate([table[:, k] for table in calcium])
            same = agreement([each[:, k] for each in compared])
            quality.append(neuron_quality(recording, k, calcium=trace, certainty=same))
        if self.as_in_2017:  # whose frames are the network's samples
            return Predicted(np.asarray(rates[0], np.float32), None, quality)
        missing = ~np.isfinite(recording.traces)
        table = to_frames(rates, recording.segments, missing, recording.offsets)
        return Predicted(table, None, quality)

    def _compare(self, calcium: Sequence[Table]) -> list[Rates]:
        """Rates `(sample, neuron)` under every ID, of a lively part of the longest segment."""
        longest = max(calcium, key=len)
        excerpt = np.take_along_axis(longest, liveliest(longest), 0)
        # Under every ID, whichever predicts: it is how much the choice could matter.
        numbers = ALL_DATASETS if self.knows_datasets else self.numbers
        return [tables[0] for tables in rates_by_dataset(self.engine, [excerpt], numbers).values()]

    def describe(self, recording: Recording) -> dict[str, Any]:
        """What the rates are, as every written file says it: text and numbers."""
        datasets = f"mean over the dataset IDs {', '.join(map(str, self.numbers))}"
        if len(self.numbers) == 1:
            chosen = DATASETS[self.numbers[0] - 1]
            datasets = (
                f"dataset ID {chosen.number} ({chosen.indicator}, {chosen.area}, {chosen.source})"
            )
        software = f"spikefinder-keras {__version__}, the network convi6 of Chenkov and McColgan"
        preprocessing = (
            "robust line subtracted, 5th percentile to 0 and 80th to 1, Fourier resampling to "
            f"100 Hz; gaps up to {LONGEST_BRIDGED:g} s interpolated, longer ones left empty"
        )
        if self.as_in_2017:
            preprocessing = (
                "none: the traces were taken to be in the competition's form, at 100 Hz; missing "
                "samples counted as 0, as in 2017"
            )
        return {
            "unit": "arbitrary, between 0 and 1",
            **described_alike(recording),
            "weights": self.name,
            "dataset": datasets,
            "preprocessing": preprocessing,
            "engine": self.engine.name,
            "software": software,
        }


def prepare(recording: Recording) -> list[Table]:
    """The network's input for the neurons of a recording in memory: float32 `(sample, neuron)` at
    100 Hz for each segment, NaN for a neuron without any value in it.

    Each neuron's line and percentiles (`signals.preprocess`) come from all of its frames that are
    there, in order; each segment is then brought to 100 Hz by itself.
    """
    count, segments = len(recording.names), recording.segments
    calcium = [np.full((segment.samples, count), np.nan, np.float32) for segment in segments]
    for neuron, values in enumerate(recording.traces.T):
        trace = np.array(values, np.float64)
        there = np.isfinite(trace)
        if not there.any():
            continue
        trace[there] = scale(detrend(trace[there]))
        for table, segment in zip(calcium, segments, strict=True):
            samples = segment.at_100_hz(trace, there)
            if samples is not None:
                table[:, neuron] = samples
    return calcium


def liveliest(calcium: Table) -> Numbers:
    """Where each neuron varies most: numbers of samples `(sample of the excerpt, neuron)` of
    `calcium` `(sample, neuron)`, NaN where missing."""
    samples, neurons = calcium.shape
    length = min(samples, int(np.clip(samples // EXCERPT, SHORTEST, LONGEST)))
    count = samples // length
    # What is left over at the end is less than an excerpt, and takes no part.
    parts = np.nan_to_num(calcium[: count * length]).reshape(count, length, neurons)
    return length * parts.std(axis=1).argmax(axis=0) + np.arange(length)[:, None]


def choose_datasets(
    dataset: int | None = None, indicator: str | None = None, area: str | None = None
) -> tuple[int, ...]:
    """The dataset IDs under which to predict a recording; their rates are averaged.

    Parameters
    ----------
    dataset
        One of the ten.
    indicator, area
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
    # People write GCaMP-6f and gcamp6f for the table's GCaMP6f.
    chosen = tuple(
        each.number
        for each in DATASETS
        if (not indicator or letters(indicator) == letters(each.indicator))
        and (not area or letters(area) == letters(each.area))
    )
    if not chosen:
        known = sorted({f"{each.indicator} in {each.area}" for each in DATASETS})
        wanted = " in ".join(filter(None, (indicator, area)))
        raise UsageError(
            f"no dataset has {wanted}; there are {', '.join(known)}; leave the choice out for the "
            "mean over all ten"
        )
    return chosen
