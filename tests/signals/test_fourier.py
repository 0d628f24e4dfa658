"""The fast resampling is the competition's own, whatever the lengths."""

import numpy as np
import pytest

from spikefinder_keras.signals.fourier import fast_resample
from spikefinder_keras.signals.preprocess import resample


@pytest.mark.parametrize("frames", [1, 2, 7, 1_000, 1_001, 8_000])
@pytest.mark.parametrize("rate", [7.8, 29.97, 30.0, 59.1, 100.0, 158.0])
def test_it_equals_the_slow_one(frames, rate):
    trace = np.random.default_rng(0).normal(3, 1, frames)
    np.testing.assert_allclose(
        fast_resample(trace, rate), resample(trace, rate), rtol=0, atol=1e-11
    )


def test_tables_in_single_precision_are_taken_as_they_are():
    trace = np.random.default_rng(0).normal(size=1_001).astype(np.float32)
    np.testing.assert_allclose(fast_resample(trace, 30.0), resample(trace, 30.0), atol=1e-11)
