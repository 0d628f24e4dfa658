"""Anybody's own recording in, spike rates on its own time stamps out: the journey of the data.

    open ─ find blocks ─┬─ for each piece, for groups of its neurons ────────────────┬─ put together
                        │ read ─ prepare ─ network ─ rates ─ frames ─ spikes, trust │

Which network, and what it is told of the recording, is chosen before (`choose_network`). A piece is
what is read and written at a time; groups keep the cores busy, each with its own.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..console import count_bar
from ..errors import UsageError
from .choice import choose_network
from .lazy import piece_size
from .missing import Missing
from .quality import Trust, recording_warnings
from .recording import Prediction, Recording, as_recording
from .segments import find_blocks, to_frames
from .sinks import Piece, Table

GROUP_SAMPLES = 1_000_000
"""Samples at 100 Hz that a core prepares and predicts at a time; more gain nothing."""

FEWEST_PIECES = 16
"""Of a recording that workers share, so that none waits long for the last."""


def numpys_own():
    """Numpy's own settings of what to warn of, whatever the user's; each thread needs it anew."""
    return np.errstate(divide="warn", over="warn", invalid="warn", under="ignore")


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
    engine="fast",
    memory=None,
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
    weights : str, Path, convi6_engine.Convi6Engine or keras.Model, optional
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
    engine : "fast" or "keras"
        What computes, see `engines.choose_engine`.
    memory : int, optional
        Bytes to take beside the result; by default a quarter of the machine's.
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
    recording = _read(source, frame_rate, times, orientation, unit, memory, reading)
    network = choose_network(
        recording, weights, indicator, species, dataset, area, spikes, engine, progress
    )
    return predict_into(Table(recording), network, recording, spikes, memory, progress)


def _read(source, frame_rate, times, orientation, unit, memory, reading):
    if isinstance(source, Recording):
        return source
    if isinstance(source, (str, Path)):
        from .formats import read_recording

        if times is not None:
            raise UsageError(f"{source} is a file; time stamps go with an array, or into the file")
        return read_recording(source, frame_rate, orientation, unit, memory=memory, **reading)
    return as_recording(source, frame_rate, times, orientation, unit=unit, **reading)


def predict_into(result, network, recording, spikes=False, memory=None, progress=False, by=None):
    """Predict a recording piece by piece.

    Parameters
    ----------
    result : results.Table, or one of `formats.results`
    network : Universal or Convi6
    recording : Recording
    spikes : bool
    memory : int, optional
        Bytes.
    progress : bool
    by : function, optional
        What predicts the pieces instead of this process; called with them and with a function
        that moves the progress bar on by so many neurons.

    Returns
    -------
    Prediction

    Raises
    ------
    SpikefinderError
    """
    with numpys_own():
        blocks = find_blocks(recording)
        size = neurons_at_a_time(recording, memory)
        if by is not None:
            size = min(size, -(-len(recording.names) // FEWEST_PIECES))
        pieces = result.todo(size)
        count = sum(map(len, pieces))
        with count_bar(count, "predicting", "neuron", progress) as shown:
            if by is not None:
                by(pieces, shown.update)
            else:
                for neurons, part in _read_ahead(recording, pieces):
                    found = predict_piece(network, neurons, part, blocks, spikes, shown.update)
                    result.write(found)
        return _put_together(result, network, recording, blocks, spikes)


def neurons_at_a_time(recording, memory=None):
    """How many neurons make a piece."""
    frames, dtype = len(recording.times), recording.fluorescence.dtype
    return max(1, piece_size(memory) // (frames * max(dtype.itemsize, 4)))


def _read_ahead(recording, pieces):
    """Each piece and what is read of it; the next one is read while the last one is predicted."""
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(recording.part, neurons) for neurons in pieces[:1]]
        for k, neurons in enumerate(pieces):
            part = coming.pop().result()
            coming = [reader.submit(recording.part, each) for each in pieces[k + 1 : k + 2]]
            yield neurons, part


def predict_piece(network, neurons, part, blocks, spikes, update=lambda count: None):
    """The `Piece` of some neurons, groups of them on each core.

    Parameters
    ----------
    network : Universal or Convi6
    neurons : range
        Which they are of the whole recording.
    part : (Recording, missing.Missing)
        Of these neurons, see `Recording.part`.
    blocks : sequence of Block
    spikes : bool
    update : function
        Called with the number of neurons done, from time to time.
    """
    recording, missing = part
    rates = np.empty((len(neurons), len(recording.times)), np.float32)

    def work(group):
        with numpys_own():
            table, times, trust = _predict_group(network, recording, blocks, group, spikes)
            rates[group.start : group.stop] = table.T
        update(len(group))
        return times, trust

    samples = sum(block.samples for block in blocks)
    size = max(1, min(GROUP_SAMPLES // samples, -(-len(neurons) // network.threads)))
    groups = [range(k, min(k + size, len(neurons))) for k in range(0, len(neurons), size)]
    pool = ThreadPoolExecutor(network.threads)
    try:
        found = list(pool.map(work, groups))
    finally:
        pool.shutdown(cancel_futures=True)
    times = [own for times, _ in found for own in times] if spikes else None
    return Piece(neurons, rates, times, [each for _, trust in found for each in trust], missing)


def _predict_group(network, recording, blocks, neurons, spikes):
    """Rates `(frame, neuron)`, spike times or None, and trust of some neurons."""
    calcium = network.prepare(recording, blocks, neurons)
    outputs = network.run(recording, calcium)
    rates = to_frames(network.rates(outputs), recording, blocks, neurons)
    times = network.spikes(recording, blocks, neurons, outputs) if spikes else None
    trust = network.judge(recording, blocks, neurons, calcium, outputs)
    return rates, times, trust


def _put_together(result, network, recording, blocks, spikes):
    pieces, missing = result.pieces(), Missing()
    for piece in pieces:
        missing.add(piece.missing)
    found = missing.notes(len(recording.names))
    recording = replace(recording, notes=(*recording.notes, *found))
    neurons = tuple(neuron for piece in pieces for neuron in piece.trust)
    return Prediction(
        result.rates.T,
        recording,
        network.describe(recording),
        tuple(times for piece in pieces for times in piece.spikes) if spikes else None,
        Trust(neurons, recording_warnings(recording, blocks, neurons), network.certainty),
    )
