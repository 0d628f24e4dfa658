"""Neurons with known spikes as training `universal` takes them, from the two sources there are."""

from dataclasses import dataclass

import numpy as np

from ..competition.tables import read_set
from ..constants import SAMPLE_RATE
from ..datasets import DATASETS, trace_lengths
from ..recordings.universal_preparation import prepare_neuron, prepare_trace
from ..signals.preprocess import resample
from .neurons import find_ground_truth, read_ground_truth


@dataclass(frozen=True)
class TrainingNeuron:
    """A neuron with known spikes: arrays `(sample,)` at 100 Hz, one of each for each block.

    `group` is its set: neurons that share a delay. `traces` and `scales` come from
    `universal_preparation.prepare_neuron`; `spikes` are counts per sample. `indicator`, `species`
    and `frame_rate` (Hz) are for `recordings.knowledge` alone.
    """

    group: str
    traces: list
    scales: list
    spikes: list
    indicator: str = ""
    species: str = ""
    frame_rate: float = SAMPLE_RATE


def ground_truth_neurons(folder):
    """All neurons of the collection of Rupprecht et al. 2021 in a folder.

    Returns
    -------
    list of TrainingNeuron
        Grouped by set; the two indicators of DS05 apart.
    """
    neurons = {}
    for path in find_ground_truth(folder):
        for truth in read_ground_truth(path):
            group = truth.dataset
            if group == "DS05":
                group = f"{group}-{truth.indicator}"
            own = neurons.setdefault(
                (group, truth.neuron),
                TrainingNeuron(
                    group,
                    *([], [], []),
                    truth.indicator,
                    truth.area.split(", ")[1],
                    truth.recording.frame_rate,
                ),
            )
            segments = truth.recording.segments
            traces, scales = prepare_neuron(truth.recording.fluorescence[:, 0], segments)
            own.traces.extend(trace.astype(np.float32) for trace in traces)
            own.scales.extend([scales] * len(segments))
            own.spikes.extend(spikes.astype(np.float32) for spikes in truth.spikes(segments))
    return list(neurons.values())


def competition_neurons(folder, numbers=(4,)):
    """Training neurons of some sets of the competition, as the group "set 4".

    Their traces come at 100 Hz, which hides their noise, so they are first brought back to about
    the rate at which they were recorded. Sets 5 and 6 are in the collection above, as DS16 and
    DS17: the default leaves them out.
    """
    neurons = []
    for number in numbers:
        calcium, spikes = read_set(folder, "train", number)
        frame_rate = DATASETS[number - 1].frame_rate
        for column, length in enumerate(trace_lengths(calcium)):
            trace = np.nan_to_num(calcium[:length, column])
            known = np.nan_to_num(spikes[:length, column]).clip(0)
            frames = resample(trace, SAMPLE_RATE, frame_rate)
            prepared, scales = prepare_trace(frames, frame_rate)
            prepared = prepared[:length].astype(np.float32)
            known = known[: prepared.size].astype(np.float32)
            neurons.append(TrainingNeuron(f"set {number}", [prepared], [scales], [known]))
    return neurons
