"""What the network `universal` gets: invariant to gain and offset, sure of its noise."""

import numpy as np
import pytest

from spikefinder_keras.recordings.universal import (
    CHANNELS,
    network_input,
    prepare_trace,
    to_samples,
)
from spikefinder_keras.signals.measures import noise_density


def trace_of(rate, seconds=60.0, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    events = np.exp(-((time[:, None] - np.array([10.0, 25.0, 40.0])) % seconds) / 0.5)
    return events.sum(axis=1) + 0.1 * np.sqrt(rate / 30) * rng.normal(size=time.size)


@pytest.mark.parametrize("rate", [5.0, 7.8, 30.0, 200.0])
def test_noise_does_not_depend_on_the_frame_rate(rate):
    trace, scales = prepare_trace(trace_of(rate), rate)
    assert scales.noise == pytest.approx(0.1 / np.sqrt(30), rel=0.25)
    steps = network_input(trace, scales)
    assert steps.shape == (-(-trace.size // 4), CHANNELS)
    assert steps.dtype == np.float32


def test_gain_and_offset_change_nothing():
    raw = trace_of(30.0)
    inputs = [
        network_input(*prepare_trace(gain * raw + offset, 30.0))
        for gain, offset in ((1.0, 0.0), (100.0, 0.0), (350.0, 4_000.0))
    ]
    for other in inputs[1:]:
        np.testing.assert_allclose(other, inputs[0], atol=2e-4)


def test_noise_alone_has_little_clarity():
    rng = np.random.default_rng(1)
    for rate in (7.8, 30.0, 100.0):
        _, scales = prepare_trace(rng.normal(size=int(rate * 120)), rate)
        assert scales.clarity == pytest.approx(1.0, abs=0.4)


def test_what_has_no_signal_gives_zeros():
    for trace in (np.zeros(300), np.full(300, 7.0), np.linspace(0, 1, 300)):
        steps = network_input(*prepare_trace(trace, 30.0))
        np.testing.assert_array_equal(steps, 0.0)


def test_a_delay_reads_the_trace_later():
    trace, scales = prepare_trace(trace_of(100.0), 100.0)
    now, later = network_input(trace, scales), network_input(trace, scales, delay=0.04)
    np.testing.assert_allclose(later[:-1], now[1:], atol=1e-6)


def test_short_traces_have_noise_0():
    assert noise_density([1.0, 2.0], 30.0) == 0.0


def test_samples_keep_the_mean_of_each_step_and_hold_the_last():
    rates = np.random.default_rng(0).gamma(0.3, 1.0, 50)
    samples = to_samples(rates, 200)
    np.testing.assert_allclose(samples.reshape(-1, 4).mean(axis=1), rates, atol=1e-9)
    assert (samples >= 0).all()
    np.testing.assert_allclose(to_samples(np.array([1.0, 1.0]), 13), 1.0)
