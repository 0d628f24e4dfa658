"""Simultaneous imaging and electrophysiology: the public collection of Rupprecht et al. 2021.

One HDF5 file per dataset, named after dataset, indicator, species and area, such as
`DS09-GCaMP6f-m-V1.h5`; in it `neuron_NNN/recording_NNN/` with `dff` (a fraction) and `time` (s) of
the frames and `spike_times` (s). (Nature Neuroscience 24:1324-1337.)
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files.hdf5 import check_structure, checked
from ..files.sandbox import parse, sandboxed
from ..recordings.recording import Recording, as_recording
from ..signals.preprocess import bin_spikes

IN_COMPETITION = {"DS09": 7, "DS14": 8, "DS16": 5, "DS17": 6, "DS19": 9, "DS20": 10}
"""Datasets whose recordings, or some of them, are those of a competition set."""

LEFT_OUT = {("DS20", "neuron_008")}

_NAME = re.compile(r"(DS\d+)-(.+?)-(?:\d+-)?(m|zf)-(.+)\.h5")
_SPELLING = {"OGB1": "OGB-1", "jGECO1a": "jRGECO1a"}


@dataclass(frozen=True)
class GroundTruth:
    """One recording of one neuron with its spikes.

    `dataset` is such as `DS09`; `competition` the number of the competition set it is part of, or
    None; `recording` has one neuron, dF/F; `spike_times` `(spike,)` in s on the time stamps' clock.
    """

    dataset: str
    indicator: str
    area: str
    neuron: str
    recording: Recording
    spike_times: np.ndarray
    competition: int | None

    def spikes(self, blocks):
        """True spikes per sample at 100 Hz, one float array `(sample,)` for each block."""
        times = self.recording.times
        return [
            bin_spikes(self.spike_times - times[block.frames.start], block.samples)
            for block in blocks
        ]


def find_ground_truth(folder):
    """Paths of the collection's files in a folder, sorted; `DataError` if there is none."""
    paths = sorted(path for path in Path(folder).glob("DS*.h5") if _NAME.fullmatch(path.name))
    if not paths:
        raise DataError(
            f"no ground-truth file such as DS09-GCaMP6f-m-V1.h5 in {folder}; fetch them from the "
            "collection of Rupprecht et al. 2021"
        )
    return paths


def read_ground_truth(path):
    """Read one file of the collection.

    Returns
    -------
    list of GroundTruth
        One for each recording of each neuron; frames without a value at an end are cut off.

    Raises
    ------
    DataError
        If it is not named or not made as a file of the collection.
    """
    match = _NAME.fullmatch(Path(path).name)
    if not match:
        raise DataError(f"{path} is not named as a file of the collection, DS09-GCaMP6f-m-V1.h5")
    dataset, indicator, species, area = match.groups()
    values = parse(parse_groups, path, libraries=["h5py"])
    truths = []
    for number, neuron in enumerate(values["neurons"]):
        if (dataset, neuron) in LEFT_OUT:
            continue
        arrays = [values[f"{name} {number}"] for name in _ARRAYS]
        recording, spikes = _from_arrays(*arrays, f"{dataset} {neuron}")
        truths.append(
            GroundTruth(
                dataset,
                _SPELLING.get(indicator, indicator),
                f"{area}, {'zebrafish' if species == 'zf' else 'mouse'}",
                neuron,
                recording,
                spikes,
                IN_COMPETITION.get(dataset),
            )
        )
    return truths


_ARRAYS = ("dff", "time", "spike_times")


@sandboxed
def parse_groups(path):
    """The arrays of all recordings, and the neuron that each is of."""
    import h5py

    neurons = []
    with h5py.File(path, "r") as file:
        check_structure(file)
        for neuron in sorted(file):
            for name in sorted(file[neuron]):
                for array in _ARRAYS:
                    item = file[neuron][name][array]
                    yield f"{array} {len(neurons)}", checked(item, item.name)
                neurons.append(neuron)
    yield "neurons", neurons


def _from_arrays(dff, times, spikes, source):
    """Recording, and spike times `(spike,)`, of `neuron_NNN/recording_NNN`."""
    if dff.ndim != 1 or dff.shape != times.shape or spikes.ndim != 1:
        raise DataError(
            f"{source} has dff {dff.shape}, time {times.shape} and spike_times {spikes.shape}; "
            "fetch the collection again"
        )
    there = np.flatnonzero(np.isfinite(dff))
    if not there.size:
        raise DataError(f"{source} has a recording without any value; leave it out")
    inside = slice(there[0], there[-1] + 1)
    recording = as_recording(dff[inside], times=times[inside], unit="dF/F", source=source)
    return recording, np.array(spikes)
