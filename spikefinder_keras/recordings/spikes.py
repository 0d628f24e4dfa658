"""Discrete spikes from rates in spikes per second."""

import numpy as np

from .preparation import samples_in_gaps


def find_spikes(rates, recording, blocks, neurons):
    """Spike times of each neuron, none in its long gaps.

    Parameters
    ----------
    rates : sequence of arrays `(sample, neuron)`
        One for each block, in spikes per second.
    recording : Recording
    blocks : sequence of Block
    neurons : sequence of int

    Returns
    -------
    list of float64 arrays `(spike,)`
        In s, one for each of the neurons.
    """
    found = []
    for column, neuron in enumerate(neurons):
        parts = []
        for table, block in zip(rates, blocks, strict=True):
            known = np.nan_to_num(table[:, column])
            known[samples_in_gaps(recording, block, neuron)] = 0.0
            start = recording.times[block.frames.start]
            rate = block.samples / block.grid_frames * block.frame_rate
            parts.append(spike_times(known, start, rate))
        found.append(np.concatenate(parts))
    return found


def spike_times(rates, start, rate):
    """Discrete spikes whose number is that to be expected.

    A spike is put wherever the running integral of the rate passes 0.5, 1.5, 2.5, ...; so none is
    made twice, and a burst of n expected spikes gives n.

    Parameters
    ----------
    rates : array `(sample,)`
        Expected spikes per second, not negative; calibrated, or the number means nothing.
    start : float
        Time of the first sample in s.
    rate : float
        Samples per second, in Hz.

    Returns
    -------
    float64 array `(spike,)`
        In s, increasing.
    """
    count = np.concatenate([[0.0], np.cumsum(np.asarray(rates, np.float64) / rate)])
    wanted = np.arange(0.5, count[-1], 1.0)
    return start + np.interp(wanted, count, np.arange(count.size)) / rate
