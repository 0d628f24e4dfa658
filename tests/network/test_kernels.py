"""Compiled kernels against the same sums in float64, with vectors of every size."""

import numpy as np
import pytest

from spikefinder_keras.network import kernels, vector_code

BEFORE = BEHIND = 512
SAME = 2e-6  # A hundred products of numbers around 1, added up in float32


@pytest.fixture(params=[(4, 32), (8, 16), (16, 32), (16, 16)], ids="{0[0]} lanes".format)
def sizes(request, monkeypatch):
    """As on ARM, with AVX2, and with AVX-512: LLVM makes do where the processor has less."""
    monkeypatch.setattr(vector_code, "vectors", lambda: request.param)
    kernels.compiled.cache_clear()
    yield request.param
    kernels.compiled.cache_clear()


def rows(channels, samples):
    """Rows with margins, what is in them, and their addresses."""
    array = np.zeros((channels, BEFORE + samples + BEHIND), np.float32)
    first = array.ctypes.data + 4 * BEFORE
    return array, array[:, BEFORE : BEFORE + samples], table(first + array.strides[0] * k
                                                             for k in range(channels))  # fmt: skip


def table(numbers):
    return np.array(list(numbers), np.int64)


def call(kernel, arrays, *numbers):
    kernels.compiled((kernel,))[kernel](*[array.ctypes.data for array in arrays], *numbers)


@pytest.mark.parametrize("outputs", [1, 2, 3, 7, 10])
@pytest.mark.parametrize("activation", ["tanh", "relu", None])
def test_convolution(sizes, outputs, activation):
    rng = np.random.default_rng(outputs)
    channels, taps, samples = 3, 5, 203
    given, _, inputs = rows(channels, samples)
    given[:] = rng.standard_normal(given.shape)  # margins, too
    made, y, addresses = rows(outputs, samples)
    weights = rng.standard_normal((channels, taps, outputs)).astype("f4")
    biases = rng.standard_normal(outputs).astype("f4")
    kernel = kernels.Convolution(outputs, activation)
    call(kernel, (inputs, weights, biases, addresses), channels, taps, 7, samples)

    windows = np.lib.stride_tricks.sliding_window_view(given, taps, axis=1)
    windows = windows[:, BEFORE : BEFORE + samples].astype(float)
    expected = np.einsum("ctk,cko->ot", windows, weights.astype(float)) + biases[:, None]
    if activation == "relu":
        expected = np.maximum(expected, 0)
    elif activation == "tanh":
        expected = np.tanh(expected)
    np.testing.assert_allclose(y[:, 7:], expected[:, 7:], rtol=SAME, atol=SAME)
    assert not y[:, :7].any()
    written = np.flatnonzero(made.any(axis=0))
    assert written[-1] < BEFORE + samples + kernels.most_beyond()


def one_way(x, kernel, recurrent, bias, gate):
    """Hidden states `(time, unit)` of Keras' LSTM in float64."""
    units = len(recurrent)
    h, c, states = np.zeros(units), np.zeros(units), []
    for each in x:
        z = each @ kernel + h @ recurrent + bias[0]
        i, f, o = (gate(z[k * units : (k + 1) * units]) for k in (0, 1, 3))
        c = f * c + i * np.tanh(z[2 * units : 3 * units])
        h = o * np.tanh(c)
        states.append(h)
    return np.array(states)


GATES = {
    "hard_sigmoid": lambda z: np.clip(0.2 * z + 0.5, 0, 1),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}


@pytest.mark.parametrize("units", [1, 5, 10, 16, 21])
@pytest.mark.parametrize("gates", list(GATES))
@pytest.mark.parametrize("ways", [("forward", "backward"), ("forward",), ("backward",)], ids=len)
def test_lstm(sizes, units, gates, ways):
    rng = np.random.default_rng(units)
    channels, samples = 4, 75
    _, x, inputs = rows(channels, samples)
    x[:] = rng.standard_normal(x.shape)
    made, y, outputs = rows(len(ways) * units, samples)
    kernel = kernels.Lstm(units, gates, ways)
    shapes = (channels, 4 * units), (units, 4 * units), (1, 4 * units)
    matrices = [0.5 * rng.standard_normal(shape).astype("f4") for _ in ways for shape in shapes]
    padded = [np.pad(m, [(0, 0), (0, kernel.gate_lanes() - m.shape[1])]) for m in matrices]
    weights = table(each.ctypes.data for each in padded)
    scratch = rng.standard_normal(kernel.scratch_size() * len(ways)).astype("f4")
    call(kernel, (inputs, outputs, weights, scratch), channels, samples)

    for number, way in enumerate(ways):
        step = 1 if way == "forward" else -1
        own = [each.astype(float) for each in matrices[3 * number : 3 * number + 3]]
        expected = one_way(x.T[::step].astype(float), *own, GATES[gates])[::step].T
        found = y[number * units : (number + 1) * units]
        np.testing.assert_allclose(found, expected, rtol=0, atol=SAME)
    written = np.flatnonzero(made.any(axis=0))
    assert written[0] >= BEFORE - vector_code.lanes()
    assert written[-1] < BEFORE + samples + vector_code.lanes()


def test_tanh_is_within_a_few_units_in_the_last_place(sizes):
    x = np.concatenate([np.linspace(-12, 12, 20_001), np.geomspace(1e-30, 1, 2_000)])
    _, given, inputs = rows(1, x.size)
    given[0] = x
    _, y, outputs = rows(1, x.size)
    weights, biases = np.ones((1, 1, 1), "f4"), np.zeros(1, "f4")
    call(kernels.Convolution(1, "tanh"), (inputs, weights, biases, outputs), 1, 1, 0, x.size)
    expected = np.tanh(given[0].astype(float))
    assert (np.abs(y[0] - expected) <= 5 * np.spacing(np.abs(expected).astype("f4"))).all()
    assert np.abs(y).max() <= 1
