"""Anybody's own recording in, spike rates on its own time stamps out: the journey of the data.

    read ─ find blocks ─┬─ for each group of neurons ──────────────────────────────┬─ put together
                        │ prepare ─ network ─ rates ─ back to frames ─ spikes, trust │

Which network, and what it is told of the recording, is chosen before (`choose_network`).
"""

from pathlib import Path

import numpy as np

from ..errors import UsageError
from ..terminal import count_bar
from .choice import choose_network
from .preparation import find_blocks, to_frames
from .recording import Prediction, Recording, as_recording
from .trust import Trust, recording_warnings

GROUP_SAMPLES = 4_000_000
"""Samples at 100 Hz that are prepared and predicted at a time, to bound the memory."""


@np.errstate(divide="warn", over="warn", invalid="warn", under="ignore")  # whatever the user's
def predict(
    source,
    frame_rate=None,
    times=None,
    *,
    weights=None,
    indicator=None,
    species=None,
    dataset=None,
    area=None,
    spikes=False,
    orientation=None,
    unit=None,
    engine="onnx",
    progress=False,
    **reading,
):
    """Predict the spike rates of a recording of any frame rate.

    Parameters
    ----------
    source : path, array `(neuron, frame)` or `(frame,)`, table `(frame, neuron)`, or Recording
        A file or folder that `formats.read_recording` knows, or raw dF/F or fluorescence, NaN where
        missing; pandas', pynapple's and xarray's tables bring names and time stamps.
    frame_rate : float, optional
        In Hz; for a file that tells it, not needed.
    times : array `(frame,)`, optional
        Time stamps of an array in s, instead of `frame_rate`.
    weights : str, Path, engine.Engine or keras.Model, optional
        `universal`, which gives spikes per second and is the default; or one of convi6
        (`described`, `released`, `published`), a file, or a loaded network of convi6.
    indicator, species : str, optional
        Such as "GCaMP6f" and "mouse". They tell `universal` how late calcium answers; to convi6 an
        indicator is the choice of dataset IDs that have it. By default what the file says.
    dataset, area : optional
        Of convi6: which of the ten datasets the recording resembles, see `convi6.choose_datasets`.
    spikes : bool
        Also give discrete spike times; of `universal` alone.
    orientation, unit
        Of an array, see `recording.as_recording`.
    engine : "onnx" or "keras"
        What computes, see `engines.choose_engine`.
    progress : bool
        Show a bar on the standard error.
    **reading
        For `formats.read_recording`.

    Returns
    -------
    Prediction
        Its `rates` are at the recording's own time stamps and in its orientation, its `table` the
        same as `(frame, neuron)`; its `trust` says how
        far to believe them.

    Raises
    ------
    SpikefinderError
        If the source, the weights or an argument cannot be used; one line says why.
    """
    recording = _read(source, frame_rate, times, orientation, unit, reading)
    network = choose_network(
        recording, weights, indicator, species, dataset, area, spikes, engine, progress
    )
    blocks = find_blocks(recording)
    parts = [
        _predict_group(network, recording, blocks, neurons, spikes)
        for neurons in _groups(recording, blocks, progress)
    ]
    return _put_together(network, recording, blocks, parts)


def _read(source, frame_rate, times, orientation, unit, reading):
    if isinstance(source, Recording):
        return source
    if isinstance(source, (str, Path)):
        from .formats import read_recording

        if times is not None:
            raise UsageError(f"{source} is a file; time stamps go with an array, or into the file")
        return read_recording(source, frame_rate, orientation, unit, **reading)
    return as_recording(source, frame_rate, times, orientation, unit=unit, **reading)


def _groups(recording, blocks, progress):
    """Ranges of neurons that fit into memory together, with a progress bar."""
    count = recording.fluorescence.shape[1]
    size = max(1, GROUP_SAMPLES // sum(block.samples for block in blocks))
    with count_bar(count, "predicting", "neuron", progress) as shown:
        for first in range(0, count, size):
            neurons = range(first, min(first + size, count))
            yield neurons
            shown.update(len(neurons))


def _predict_group(network, recording, blocks, neurons, spikes):
    """Rates `(frame, neuron)`, spike times or None, and trust of some neurons."""
    calcium = network.prepare(recording, blocks, neurons)
    outputs = network.run(recording, calcium)
    rates = to_frames(network.rates(outputs), recording, blocks, neurons)
    times = network.spikes(recording, blocks, neurons, outputs) if spikes else None
    trust = network.judge(recording, blocks, neurons, calcium, outputs)
    return rates, times, trust


def _put_together(network, recording, blocks, parts):
    rates, spikes, trust = zip(*parts, strict=True)
    neurons = [neuron for part in trust for neuron in part]
    return Prediction(
        np.concatenate(rates, axis=1),
        recording,
        network.describe(recording),
        None if None in spikes else tuple(times for part in spikes for times in part),
        Trust(tuple(neurons), recording_warnings(recording, blocks, neurons), network.certainty),
    )
