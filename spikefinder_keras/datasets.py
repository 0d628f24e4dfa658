"""The ten datasets behind the network's one-hot input, and how long their traces are."""

from dataclasses import dataclass

import numpy as np

from .arrays import Numbers, Table
from .constants import DATASET_COUNT
from .errors import UsageError


@dataclass(frozen=True)
class Dataset:
    """One of the ten datasets behind the network's one-hot input.

    `frame_rate` is the rate in Hz at which it was recorded (a typical one where cells differ),
    before the competition resampled it to 100 Hz. `rate` is the mean rate of the training neurons
    in spikes per second.
    """

    number: int
    indicator: str
    area: str
    source: str
    frame_rate: float
    rate: float


# Berens et al. 2018, table 1, and the sources named in it; rates counted in the training files.
DATASETS = (
    Dataset(1, "OGB-1", "V1", "Theis et al. 2016", 40.0, 1.85),
    Dataset(2, "OGB-1", "V1", "Theis et al. 2016", 11.0, 1.84),
    Dataset(3, "GCaMP6s", "V1", "Theis et al. 2016", 59.1, 2.58),
    Dataset(4, "OGB-1", "retina", "Theis et al. 2016", 7.8, 4.57),
    Dataset(5, "GCaMP6s", "V1", "Theis et al. 2016", 59.1, 5.79),
    Dataset(6, "GCaMP5k", "V1", "Akerboom et al. 2012", 50.0, 1.57),
    Dataset(7, "GCaMP6f", "V1", "Chen et al. 2013", 60.1, 0.51),
    Dataset(8, "GCaMP6s", "V1", "Chen et al. 2013", 60.1, 0.43),
    Dataset(9, "jRCaMP1a", "V1", "Dana et al. 2016", 15.0, 0.62),
    Dataset(10, "jRGECO1a", "V1", "Dana et al. 2016", 29.7, 1.29),
)


def check_dataset(number: int) -> int:
    """Return `number` if it is one of the ten datasets, else raise `UsageError`."""
    if number not in range(1, DATASET_COUNT + 1):
        raise UsageError(f"dataset {number} does not exist; choose a number from 1 to 10")
    return int(number)


def trace_lengths(table: Table) -> Numbers:
    """Samples up to the last present one of each neuron.

    `(time, neuron)` in, `(neuron,)` out; 0 for a neuron without any.
    """
    present = ~np.isnan(table)
    # From the end: the first sample that is there.
    last = present.shape[0] - np.argmax(present[::-1], axis=0)
    return np.where(present.any(axis=0), last, 0)
