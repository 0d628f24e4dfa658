"""Neurons with known spikes: the public collection of Rupprecht et al. 2021, the competition's
sets, and both as training `universal` takes them.

The collection has one HDF5 file per dataset, named after dataset, indicator, species and area, such
as `DS09-GCaMP6f-m-V1.h5`; in it `neuron_NNN/recording_NNN/` with `dff` (a fraction) and `time` (s)
of the frames and `spike_times` (s). (Nature Neuroscience 24:1324-1337.)
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Times, Trace
from ..competition.tables import read_set
from ..constants import SAMPLE_RATE
from ..datasets import DATASETS, trace_lengths
from ..errors import DataError
from ..files.hdf5 import check_structure, checked
from ..files.sandbox import parse, sandboxed
from ..recordings.inputs import as_recording
from ..recordings.recording import Recording
from ..recordings.segments import Segment
from ..recordings.universal import Scales, prepare_neuron, prepare_trace
from ..signals.preprocess import bin_spikes, resample

IN_COMPETITION = {"DS09": 7, "DS14": 8, "DS16": 5, "DS17": 6, "DS19": 9, "DS20": 10}
"""These datasets, or some of their recordings, are those of a competition set."""

_NAME = re.compile(r"(DS\d+)-(.+?)-(?:\d+-)?(m|zf)-(.+)\.h5")
_SPELLING = {"OGB1": "OGB-1", "jGECO1a": "jRGECO1a"}  # as papers have them, not the files
_ARRAYS = ("dff", "time", "spike_times")


@dataclass(frozen=True)
class GroundTruth:
    """One recording of one neuron, dF/F, with its spike times `(spike,)` in s on the time stamps'
    clock; `competition` is the number of the competition set it is part of, or None."""

    dataset: str
    indicator: str
    area: str
    neuron: str
    recording: Recording
    spike_times: Times
    competition: int | None

    def spikes(self, segments: Sequence[Segment]) -> list[Trace]:
        """True spikes per sample at 100 Hz, one float array `(sample,)` for each segment."""
        times = self.recording.times
        return [
            bin_spikes(self.spike_times - times[segment.frames.start], segment.samples)
            for segment in segments
        ]


@dataclass(frozen=True)
class TrainingNeuron:
    """A neuron with known spikes: traces and counts per sample `(sample,)` at 100 Hz, one of each
    for each segment. Neurons of a `group` share a delay; `indicator`, `species` and `frame_rate`
    (Hz) are for the calibration alone."""

    group: str
    traces: list[Trace] = field(default_factory=list)
    scales: list[Scales] = field(default_factory=list)
    spikes: list[Trace] = field(default_factory=list)
    indicator: str = ""
    species: str = ""
    frame_rate: float = SAMPLE_RATE


def find_ground_truth(folder: str | Path) -> list[Path]:
    """Paths of the collection's files in a folder, sorted; `DataError` if there is none."""
    paths = sorted(path for path in Path(folder).glob("DS*.h5") if _NAME.fullmatch(path.name))
    if not paths:
        raise DataError(
            f"no ground-truth file such as DS09-GCaMP6f-m-V1.h5 in {folder}; fetch them from the "
            "collection of Rupprecht et al. 2021"
        )
    return paths


def read_ground_truth(path: str | Path) -> list[GroundTruth]:
    """Read the recordings of one file of the collection, without frames that have no value at an
    end. `DataError` if it is not named or not made as a file of the collection."""
    match = _NAME.fullmatch(Path(path).name)
    if not match:
        raise DataError(f"{path} is not named as a file of the collection, DS09-GCaMP6f-m-V1.h5")
    dataset, indicator, species, area = match.groups()
    values = parse(parse_groups, path, libraries=["h5py"])
    truths = []
    for number, neuron in enumerate(values["neurons"]):
        dff, times, spikes = (values[f"{name} {number}"] for name in _ARRAYS)
        source = f"{dataset} {neuron}"
        if dff.ndim != 1 or dff.shape != times.shape or spikes.ndim != 1:
            raise DataError(
                f"{source} has dff {dff.shape}, time {times.shape} and spike_times {spikes.shape}; "
                "fetch the collection again"
            )
        there = np.flatnonzero(np.isfinite(dff))
        if not there.size:
            raise DataError(f"{source} has a recording without any value; leave it out")
        inside = slice(there[0], there[-1] + 1)
        truths.append(
            GroundTruth(
                dataset,
                _SPELLING.get(indicator, indicator),
                f"{area}, {'zebrafish' if species == 'zf' else 'mouse'}",
                neuron,
                as_recording(dff[inside], times=times[inside], unit="dF/F", source=source),
                np.array(spikes),
                IN_COMPETITION.get(dataset),
            )
        )
    return truths


@sandboxed
def parse_groups(path: str) -> Iterator[tuple[str, Any]]:
    """The arrays of all recordings, and the neuron that each is of."""
    import h5py

    neurons: list[str] = []
    with h5py.File(path, "r") as file:
        check_structure(file)
        for neuron in sorted(file):
            for name in sorted(file[neuron]):
                for array in _ARRAYS:
                    item = file[neuron][name][array]
                    yield f"{array} {len(neurons)}", checked(item, item.name)
                neurons.append(neuron)
    yield "neurons", neurons


def ground_truth_neurons(folder: str | Path) -> list[TrainingNeuron]:
    """All neurons of the collection in a folder, grouped by set; the two indicators of DS05
    apart."""
    neurons: dict[tuple[str, str], TrainingNeuron] = {}
    for path in find_ground_truth(folder):
        for truth in read_ground_truth(path):
            group = truth.dataset  # what was recorded alike answers alike
            if group == "DS05":
                group = f"{group}-{truth.indicator}"
            neuron = neurons.setdefault(
                (group, truth.neuron),
                TrainingNeuron(
                    group,
                    indicator=truth.indicator,
                    species=truth.area.split(", ")[1],
                    frame_rate=truth.recording.frame_rate,
                ),
            )
            segments = truth.recording.segments
            traces, scales = prepare_neuron(
                truth.recording.traces[:, 0], segments, truth.recording.unit
            )
            neuron.traces.extend(trace.astype(np.float32) for trace in traces)
            neuron.scales.extend([scales] * len(segments))
            neuron.spikes.extend(x.astype(np.float32) for x in truth.spikes(segments))
    return list(neurons.values())


def competition_neurons(folder: str | Path, numbers: Sequence[int] = (4,)) -> list[TrainingNeuron]:
    """Training neurons of some sets of the competition, as the group "set 4". Sets 5 and 6 are in
    the collection above, as DS16 and DS17: the default leaves them out."""
    neurons = []
    for number in numbers:
        calcium, spikes = read_set(folder, "train", number)
        if spikes is None:
            raise DataError(f"set {number} in {folder} has no true spikes; fetch them")
        frame_rate = DATASETS[number - 1].frame_rate
        for column, length in enumerate(trace_lengths(calcium)):
            trace = np.nan_to_num(calcium[:length, column])
            known = np.nan_to_num(spikes[:length, column]).clip(0)
            # At 100 Hz their noise is hidden: back to about the rate at which they were recorded.
            frames = resample(trace, SAMPLE_RATE, frame_rate)
            prepared, scales = prepare_trace(frames, frame_rate)
            prepared = prepared[:length].astype(np.float32)
            known = known[: prepared.size].astype(np.float32)
            neurons.append(TrainingNeuron(f"set {number}", [prepared], [scales], [known]))
    return neurons
