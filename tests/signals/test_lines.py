"""What is done for many traces at once is, to the bit, what is done for each by itself."""

import numpy as np
import pytest

from spikefinder_keras.errors import DataError
from spikefinder_keras.recordings.segments import Segment
from spikefinder_keras.recordings.universal import prepare_neuron, prepare_neurons
from spikefinder_keras.signals.preprocess import robust_line, robust_lines


def traces(count, frames):
    rng = np.random.default_rng(frames)
    made = rng.normal(1, 0.1, (count, frames)) + np.linspace(0, 0.3, frames)
    made += rng.poisson(0.05, made.shape) * rng.exponential(1, made.shape)
    made[0], made[1], made[2] = 0, 5, np.linspace(1, 2, frames)
    made[3], made[4] = np.round(3 * made[3]), 1e250 * made[4]
    return made


@pytest.mark.parametrize("frames", [1, 2, 3, 8, 100, 129, 3_001, 20_000])
def test_lines(frames):
    """Beside ones that rest at once, that are no noise at all, and that are longer than a block."""
    table = traces(12, frames)
    lines = robust_lines(table)
    for trace, line in zip(table, lines, strict=True):
        assert line.tobytes() == robust_line(trace).tobytes()
    assert robust_lines(table[:0]).shape == (0, frames)


def test_one_trace_beyond_all_numbers():
    table = traces(12, 100)
    table[7, 3] = 1e301
    with pytest.raises(DataError, match="beyond 1e\\+300"):
        robust_lines(table)


def test_neurons_with_gaps_of_any_length():
    table, rng = traces(30, 240), np.random.default_rng(1)
    table[4] = 2.0
    for trace in table[5:20]:
        trace[rng.integers(0, 240, rng.integers(1, 90))] = np.nan
    table[20], table[21, :120] = np.nan, np.nan
    segments = [
        Segment(slice(120 * k, 120 * k + 120), np.arange(120.0), 120, 30.0, 400) for k in (0, 1)
    ]
    before = table.tobytes()
    together = prepare_neurons(table, segments)
    assert table.tobytes() == before
    for trace, (found, scales) in zip(table, together, strict=True):
        alone, alone_scales = prepare_neuron(trace, segments)
        assert repr(scales) == repr(alone_scales)
        assert [x.tobytes() for x in found] == [x.tobytes() for x in alone]
