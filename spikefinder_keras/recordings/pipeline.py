"""Anybody's own recording in, spike rates on its own time stamps out."""

from pathlib import Path

import numpy as np

from .. import __version__
from ..competition.preprocess import RATE_TOLERANCE
from ..constants import SAMPLE_RATE
from ..datasets import DATASETS, check_dataset
from ..errors import UsageError
from ..network.prediction import Table, predict_tables
from ..terminal import count_bar, import_keras
from .calibration import load_calibration, spike_times
from .preparation import (
    LONGEST_BRIDGED,
    Block,
    find_blocks,
    gaps,
    prepare,
    samples_in_gaps,
    to_frames,
)
from .recording import Prediction, Recording, as_recording
from .trust import NeuronTrust, Trust, agreement, as_dff, distance, noise_level, recording_warnings

ALL_DATASETS = tuple(dataset.number for dataset in DATASETS)

GROUP_SAMPLES = 4_000_000
"""Samples at 100 Hz that are prepared and predicted at a time, to bound the memory."""

ONSET = 20
"""Samples (200 ms) at the start of a trace that tell of the network's padding alone: on the ground
truth, where recordings are short, holding 20 scores better than 10 and as well as 50."""

EXCERPT = 12_000
"""Samples (two minutes) of each neuron on which all dataset IDs are compared."""


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
            raise UsageError("give a dataset number, or an indicator and an area, not both")
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


def predict(
    source,
    frame_rate=None,
    times=None,
    *,
    dataset=None,
    indicator=None,
    area=None,
    weights="described",
    calibrate=False,
    spikes=False,
    orientation=None,
    unit=None,
    progress=False,
    **reading,
):
    """Predict the spike rates of a recording of any frame rate.

    Parameters
    ----------
    source : path, array `(frame, neuron)` or `(frame,)`, or Recording
        A file or folder that `formats.read_recording` knows, or raw dF/F or fluorescence, NaN where
        missing.
    frame_rate : float, optional
        In Hz; for a file that tells it, not needed.
    times : array `(frame,)`, optional
        Time stamps of an array in s, instead of `frame_rate`.
    dataset, indicator, area : optional
        Which of the ten datasets the recording resembles, see `choose_datasets`.
    weights : str, Path or keras.Model
        A name (`described`, `released`, `published`), a file, or a loaded network.
    calibrate : bool
        Give spikes per second, by the map stored beside the weights, instead of the network's own
        output, which has no unit.
    spikes : bool
        Also give discrete spike times; needs `calibrate`.
    orientation, unit
        Of an array, see `recordings.as_recording`.
    progress : bool
        Show a bar on the standard error.
    **reading
        For `formats.read_recording`.

    Returns
    -------
    Prediction
        Its `rates` are `(frame, neuron)` at the recording's own time stamps, its `trust` says how
        far to believe them.

    Raises
    ------
    SpikefinderError
        If the source, the weights or an argument cannot be used; one line says why.
    """
    numbers = choose_datasets(dataset, indicator, area)
    if spikes and not calibrate:
        raise UsageError("spike times need calibrated rates; ask for the calibration too")
    recording = _as_recording(source, frame_rate, times, orientation, unit, reading)
    # The competition's form is predicted as in 2017: no preparation, and missing samples are 0.
    faithful = recording.unit == "competition"
    blocks = _one_block(recording) if faithful else find_blocks(recording)
    import_keras(progress)
    network, name, calibration = _load(weights, calibrate)
    if not len(network.inputs) > 1:
        numbers = numbers[:1]  # a network without dataset ID
    neurons = recording.fluorescence.shape[1]
    rates = np.empty(recording.fluorescence.shape, np.float32)
    found_spikes, trusts = [], []
    group = max(1, GROUP_SAMPLES // sum(block.samples for block in blocks))
    with count_bar(neurons, "predicting", "neuron", progress) as shown:
        for first in range(0, neurons, group):
            chosen = range(first, min(first + group, neurons))
            part = slice(chosen.start, chosen.stop)
            if faithful:
                calcium = [recording.fluorescence[:, part]]
            else:
                calcium = prepare(recording, blocks, chosen)
            outputs = rates_by_dataset(network, calcium, numbers, faithful)
            mean = _mean(outputs, calibration)
            if faithful:
                rates[:, part] = mean[0]
            else:
                rates[:, part] = to_frames(mean, recording, blocks, chosen)
            if spikes:
                found_spikes += _spikes(mean, recording, blocks, chosen)
            trusts += _trust(recording, blocks, chosen, calcium, network, outputs)
            shown.update(len(chosen))
    return Prediction(
        rates,
        recording,
        _describe(recording, name, numbers, calibration),
        tuple(found_spikes) if spikes else None,
        Trust(tuple(trusts), recording_warnings(recording, blocks, trusts)),
    )


def rates_by_dataset(network, calcium, numbers, faithful=False):
    """The network's output under several dataset IDs.

    The network sees zeros before a trace, without a dataset ID, to which its first samples owe more
    than to the trace: they can exceed everything behind them. The published scores, too, left the
    first ten out (`scoring.published_transform`); here the first `ONSET` get the value of the next.

    Parameters
    ----------
    network : keras.Model
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
    tables = [Table(table, number) for number in numbers for table in calcium]
    rates = predict_tables(network, tables)
    if not faithful:
        for table in rates:
            table[:ONSET] = table[min(ONSET, len(table) - 1)]
    rates = iter(rates)
    return {number: [next(rates) for _ in calcium] for number in numbers}


def _as_recording(source, frame_rate, times, orientation, unit, reading):
    if isinstance(source, Recording):
        return source
    if isinstance(source, (str, Path)):
        from .formats import read_recording

        if times is not None:
            raise UsageError(f"{source} is a file; time stamps go with an array, or into the file")
        return read_recording(source, frame_rate, orientation, unit, **reading)
    return as_recording(source, frame_rate, times, orientation, unit=unit, **reading)


def _load(weights, calibrate):
    """Network, its name for the description, and its calibration where wanted."""
    from ..network.weights import find_weights, load_network

    if hasattr(weights, "predict_on_batch"):
        if calibrate:
            raise UsageError("name the weights or their file; a bare network has no calibration")
        return weights, weights.name, None
    path = find_weights(weights)
    calibration = load_calibration(path) if calibrate else None
    return load_network(path), str(weights), calibration


def _mean(outputs, calibration):
    """Mean over the dataset IDs, of spikes per second if calibrated; a list over blocks."""
    total = None
    for number, tables in outputs.items():
        if calibration:
            tables = [calibration.spikes_per_second(table, number) for table in tables]
        total = tables if total is None else [a + b for a, b in zip(total, tables, strict=True)]
    return [table / len(outputs) for table in total]


def _one_block(recording):
    """A recording in the competition's form as the one block that it is, whatever its times."""
    if abs(recording.frame_rate - SAMPLE_RATE) > RATE_TOLERANCE:
        raise UsageError(
            f"{recording.source} is said to be in the competition's form, which is at "
            f"{SAMPLE_RATE:g} Hz, not {recording.frame_rate:g}; name the unit of the raw traces"
        )
    count = len(recording.times)
    return (Block(slice(0, count), np.arange(count, dtype=float), count, SAMPLE_RATE, count),)


def _spikes(rates, recording, blocks, chosen):
    """Spike times in s of each chosen neuron, none in its long gaps.

    `rates` is a list over blocks of `(sample, neuron)`.
    """
    found = []
    for column, neuron in enumerate(chosen):
        parts = []
        for table, block in zip(rates, blocks, strict=True):
            known = np.nan_to_num(table[:, column])
            known[samples_in_gaps(recording, block, neuron)] = 0.0
            start = recording.times[block.frames.start]
            rate = block.samples / block.grid_frames * block.frame_rate
            parts.append(spike_times(known, start, rate))
        found.append(np.concatenate(parts))
    return found


def _trust(recording, blocks, chosen, calcium, network, outputs):
    """`NeuronTrust` of each neuron of a group, the agreement from an excerpt."""
    longest = int(np.argmax([block.samples for block in blocks]))
    excerpt = [calcium[longest][:EXCERPT]]
    rest = [number for number in ALL_DATASETS if number not in outputs]
    others = rates_by_dataset(network, excerpt, rest if len(network.inputs) > 1 else [])
    by_dataset = [tables[longest][:EXCERPT] for tables in outputs.values()]
    by_dataset += [tables[0] for tables in others.values()]
    found = []
    for column, neuron in enumerate(chosen):
        dff = as_dff(recording.fluorescence[:, neuron], recording.unit)
        level = float("nan") if dff is None else noise_level(dff, recording.frame_rate)
        trace = np.concatenate([table[:, column] for table in calcium])
        far, feature = distance(trace[np.isfinite(trace)])
        same = agreement([rates[:, column] for rates in by_dataset])
        bridged, lost = gaps(recording, blocks, neuron)
        found.append(NeuronTrust(recording.names[neuron], level, far, feature, same, bridged, lost))
    return found


def _describe(recording, weights, numbers, calibration):
    """What the rates are, as every written file says it."""
    if len(numbers) > 1:
        datasets = f"mean over the dataset IDs {', '.join(map(str, numbers))}"
    else:
        (number,) = numbers
        chosen = DATASETS[number - 1]
        datasets = f"dataset ID {number} ({chosen.indicator}, {chosen.area}, {chosen.source})"
    if recording.unit == "competition":
        preparation = (
            "none: the traces were taken to be in the competition's form, at 100 Hz; missing "
            "samples counted as 0, as in 2017"
        )
    else:
        preparation = (
            "robust line subtracted, 5th percentile to 0 and 80th to 1, Fourier resampling to 100 "
            f"Hz; gaps up to {LONGEST_BRIDGED:g} s interpolated, longer ones left empty"
        )
    return {
        "unit": "spikes per second (expected)" if calibration else "arbitrary, between 0 and 1",
        "time": "mean over each frame's interval, centred on its time stamp in s",
        "frame_rate": recording.frame_rate,
        "source": recording.source,
        "notes": "; ".join(recording.notes),
        "weights": weights,
        "dataset": datasets,
        "preprocessing": preparation,
        "calibration": _describe_calibration(calibration, numbers),
        "software": f"spikefinder-keras {__version__}, the network convi6 of Chenkov and McColgan",
    }


def _describe_calibration(calibration, numbers):
    if calibration is None:
        return "not applied"
    indicators = {DATASETS[number - 1].indicator for number in numbers}
    errors = [
        f"{indicator} {100 * found['mean_rate_error']:.0f}%"
        for indicator, found in calibration.held_out.items()
        if indicator in indicators or len(numbers) == len(DATASETS)
    ]
    text = f"applied; {calibration.about}"
    if errors:
        text += "; median error of a neuron's mean rate on datasets not fitted: "
        text += ", ".join(errors)
    return text
