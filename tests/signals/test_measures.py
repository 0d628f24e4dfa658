"""What a trace is like, by hand."""

import numpy as np
import pytest
from scipy.fft import next_fast_len
from scipy.ndimage import gaussian_filter1d

from spikefinder_keras.signals.measures import (
    fast_length,
    pearson,
    runs,
    smooth_trace,
    smoothing_of_noise,
)


def test_nothing_correlates_with_a_constant():
    """Also where its mean is another number in floats, as that of 997 times 0.1."""
    noise = np.random.default_rng(0).normal(size=997)
    for value in (0.0, 0.1, 1 / 3):
        constant = np.full(997, value)
        assert pearson(noise, constant) == pearson(constant, noise) == 0.0
        assert pearson(constant, constant) == 0.0


def test_correlation_by_hand():
    # Deviations 1, -1, 0 and -2, -1, 3.
    expected = (1 * -2 + -1 * -1) / np.sqrt(2 * 14)
    assert pearson(np.array([2.0, 0, 1]), np.array([1.0, 2, 6])) == pytest.approx(expected)


def test_runs_are_first_and_end():
    mask = np.array([1, 1, 0, 0, 1, 0, 1], bool)
    np.testing.assert_array_equal(runs(mask), [[0, 2], [4, 5], [6, 7]])
    assert runs(np.zeros(3, bool)).shape == (0, 2)


def test_smoothing_leaves_of_noise_what_it_says():
    """Of white noise of density 1, at 100 Hz of spread 10; 3,000 s are 3,000 independent values."""
    noise = 10 * np.random.default_rng(1).normal(size=300_000)
    assert smooth_trace(noise).std() == pytest.approx(smoothing_of_noise(), rel=0.05)


def test_a_length_is_fast_as_scipy_has_it():
    for samples in (*range(1, 700), 266_667, 2**20 + 1, 99_999_999):
        assert fast_length(samples) == next_fast_len(samples, real=True)


def test_smoothing_is_that_of_scipy_whatever_was_smoothed_before():
    for samples in (300, 5_000, 300):
        for width in (10.0, 30.0):
            noise = np.random.default_rng(samples).standard_normal(samples)
            expected = gaussian_filter1d(noise, width, truncate=3.0)
            np.testing.assert_allclose(smooth_trace(noise, width), expected, atol=1e-12)
