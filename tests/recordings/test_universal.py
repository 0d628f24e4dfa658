"""A recording through `universal`: what it may depend on, and what not."""

import numpy as np
import pytest

from spikefinder_keras.network.universal import build_universal
from spikefinder_keras.recordings.knowledge import Knowledge
from spikefinder_keras.recordings.preparation import find_blocks
from spikefinder_keras.recordings.rates import RateMap
from spikefinder_keras.recordings.recording import as_recording
from spikefinder_keras.recordings.timing import NOT_SHIFTED
from spikefinder_keras.recordings.universal import predict_neurons

KNOWN = Knowledge({"unknown": NOT_SHIFTED}, RateMap((1.0, 1.0, 0.3), (0.5, 1.0)))


@pytest.fixture(scope="module")
def network():
    return build_universal(width=4)


def traces(rate=30.0, seconds=40.0, neurons=3):
    rng = np.random.default_rng(0)
    time = np.arange(int(seconds * rate)) / rate
    since = time[:, None, None] - rng.uniform(2, seconds - 2, (1, neurons, 8))
    return (np.exp(-since / 0.5) * (since > 0)).sum(axis=2) + 0.1 * rng.normal(
        size=(time.size, neurons)
    )


def predict(network, table, rate=30.0, **about):
    recording = as_recording(table, rate)
    return predict_neurons(network, KNOWN, table, find_blocks(recording), rate, **about)


def test_a_neuron_does_not_depend_on_the_others(network):
    together, alone = predict(network, traces()), predict(network, traces()[:, 1:2])
    np.testing.assert_allclose(together[1].rates[0], alone[0].rates[0], rtol=1e-4, atol=1e-5)


def test_gain_and_offset_change_nothing(network):
    plain, other = predict(network, traces()), predict(network, 250.0 * traces() + 1_000.0)
    for first, second in zip(plain, other, strict=True):
        np.testing.assert_allclose(first.rates[0], second.rates[0], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("rate", [5.0, 7.8, 60.0, 200.0])
def test_any_frame_rate_gives_100_hz(network, rate):
    (found,) = predict(network, traces(rate, neurons=1), rate)
    assert found.rates[0].size == pytest.approx(4_000, abs=20)
    assert (found.rates[0] >= 0).all()


def test_noise_gives_no_rates_and_no_spikes(network):
    noise = np.random.default_rng(1).normal(size=(3_600, 4))
    found = predict(network, noise)
    assert np.mean([n.rates[0].mean() for n in found]) < 0.05
    assert sum(n.spikes[0].size for n in found) == 0


def test_what_is_missing_stays_so(network):
    table = traces()
    table[:, 1] = np.nan
    found = predict(network, table, dff=True)
    assert np.isnan(found[1].rates[0]).all()
    assert found[1].spikes[0].size == 0
    assert np.isfinite(found[0].rates[0]).all()
