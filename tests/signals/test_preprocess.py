import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spikefinder_keras.errors import DataError, UsageError
from spikefinder_keras.signals.preprocess import (
    bin_spikes,
    detrend,
    fast_resample,
    preprocess,
    resample,
    resampled_length,
    robust_line,
    scale,
)

any_trace = arrays(float, st.integers(1, 40), elements=st.floats(-1e300, 1e300))


def transients(frames, rng):
    """Upward transients on an otherwise quiet trace with noise."""
    trace = 0.1 * rng.normal(size=frames)
    for start in rng.choice(frames, frames // 200, replace=False):
        length = min(60, frames - start)
        trace[start : start + length] += 2 * np.exp(-np.arange(length) / 15)
    return trace


def test_robust_line_is_not_tilted_by_transients():
    rng = np.random.default_rng(1)
    line = np.linspace(10.0, 4.0, 4_000)
    trace = transients(line.size, rng) + line
    trace[3_400:3_900] += 3.0
    fitted = robust_line(trace)
    frames = np.arange(line.size)
    least_squares = np.polyval(np.polyfit(frames, trace, 1), frames)
    assert np.abs(fitted - line).max() < 0.1
    assert np.abs(least_squares - line).max() > 1.0
    np.testing.assert_allclose(np.diff(fitted, 2), 0.0, atol=1e-12)


def test_robust_line_of_gaussian_noise_is_near_the_least_squares_line():
    y = np.random.default_rng(2).normal(size=5_000) + np.linspace(0, 3, 5_000)
    frames = np.arange(y.size)
    expected = np.polyval(np.polyfit(frames, y, 1), frames)
    np.testing.assert_allclose(robust_line(y), expected, atol=0.02)


@pytest.mark.parametrize("frames", [1, 2, 3, 100])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_straight_trace_becomes_exactly_zero(frames, slope):
    trace = 1e5 + 0.1 + slope * np.arange(frames)
    np.testing.assert_array_equal(detrend(trace), np.zeros(frames))
    assert not preprocess(trace, 30.0).any()


def test_mostly_silent_trace_stays_finite():
    trace = np.zeros(500)
    trace[[100, 101, 350]] = 1.0, 0.5, 2.0
    np.testing.assert_allclose(robust_line(trace), 0.0, atol=1e-6)
    assert np.isfinite(preprocess(trace, 59.1)).all()


@settings(deadline=None)
@given(any_trace, st.floats(1.0, 500.0))
def test_any_finite_trace_stays_finite(trace, frame_rate):
    before = trace.copy()
    # A few frames at a high rate are less than one sample
    if int(trace.size * 100 / frame_rate + 0.5) >= 1:
        result = preprocess(trace, frame_rate)
        assert result.dtype == np.float64
        assert result.ndim == 1
        assert np.isfinite(result).all()
    np.testing.assert_array_equal(trace, before)


def test_scale_puts_percentiles_at_0_and_1():
    scaled = scale(np.random.default_rng(3).gamma(2.0, size=1_000))
    np.testing.assert_allclose(np.percentile(scaled, [5, 80]), [0.0, 1.0], atol=1e-12)


def test_scale_by_hand():
    # The percentiles of 0..100 are its values: (y - 5) / (80 - 5)
    np.testing.assert_allclose(scale(np.arange(101.0)), (np.arange(101) - 5) / 75)


@pytest.mark.parametrize("trace", [[3.0], [2.0, 2.0, 2.0], [0.0] * 99 + [1.0]])
def test_scale_leaves_a_trace_without_spread_alone(trace):
    np.testing.assert_array_equal(scale(trace), trace)


@pytest.mark.parametrize(
    ("frames", "frame_rate", "samples"),
    [(10_000, 59.105, 16_919), (100, 100.05, 100), (100, 99.8, 100), (5, 7.8, 64), (1, 30.0, 3)],
)
def test_resample_lengths(frames, frame_rate, samples):
    assert resample(np.ones(frames), frame_rate).shape == (samples,)


@pytest.mark.parametrize(("frames", "samples"), [(7, 23), (8, 27), (3, 10)])
def test_lengths_are_rounded(frames, samples):
    """23.33, 26.67 and 10 samples."""
    assert resampled_length(frames, 30.0) == samples


def test_resample_keeps_a_slow_sine():
    seconds = np.arange(400) / 40.0
    sine = np.sin(2 * np.pi * seconds)
    np.testing.assert_allclose(
        resample(sine, 40.0), np.sin(2 * np.pi * np.arange(1_000) / 100.0), atol=1e-9
    )


def test_resample_within_tolerance_returns_a_copy():
    trace = np.arange(5.0)
    result = resample(trace, 100.1)
    np.testing.assert_array_equal(result, trace)
    assert not np.shares_memory(result, trace)


def test_preprocess_does_the_steps_in_order():
    trace = transients(2_000, np.random.default_rng(4)) + np.linspace(3, 5, 2_000)
    expected = resample(scale(detrend(trace)), 50.0)
    np.testing.assert_array_equal(preprocess(trace, 50.0), expected)


def test_preprocess_ignores_offset_gain_and_trend():
    trace = transients(2_000, np.random.default_rng(5))
    other = 250 * trace + np.linspace(900, 700, 2_000)
    np.testing.assert_allclose(preprocess(other, 59.1), preprocess(trace, 59.1), atol=1e-3)


def test_preprocess_takes_float32_lists_and_integers():
    for trace in (np.ones(10, np.float32), [1, 2, 4], np.arange(5) ** 2):
        assert preprocess(trace, 50).dtype == np.float64


@pytest.mark.parametrize("rate", [0, -5.0, np.nan, np.inf, "fast", None])
def test_impossible_rate(rate):
    for function in (preprocess, resample):
        with pytest.raises(UsageError, match=f"rate of {rate} Hz is impossible"):
            function([1.0, 2.0, 4.0], rate)
    with pytest.raises(UsageError, match="is impossible"):
        bin_spikes([0.1], 10, rate=rate)


@pytest.mark.parametrize("frame_rate", [1e-300, 1e-4, 1e6, 1e300])
def test_rate_that_leaves_no_usable_trace(frame_rate):
    with pytest.raises(UsageError, match="check the frame rate"):
        preprocess(np.arange(1_000) % 7, frame_rate)


@pytest.mark.parametrize(
    ("trace", "text"),
    [
        ([1.0, np.nan, 2.0], "value 1 .* is nan"),
        ([np.inf], "value 0 .* is inf"),
        ([], "empty"),
        (3.0, "one dimension"),
        (np.ones((2, 3)), r"shape \(2, 3\)"),
        (["a"], "real numbers"),
        ([1j], "real numbers"),
        ([[1.0], [1.0, 2.0]], "real numbers"),
    ],
)
def test_unusable_trace(trace, text):
    for function in (detrend, robust_line, scale):
        with pytest.raises(DataError, match=text):
            function(trace)
    with pytest.raises(DataError, match=text):
        preprocess(trace, 30.0)


def test_values_beyond_floating_point():
    with pytest.raises(DataError, match="another unit"):
        preprocess([1e308, -1e308, 0.0], 30.0)


def test_bin_spikes_counts():
    times = [0.0, 0.004, 0.0099, 0.05, -0.001, 0.06, 7.0]
    np.testing.assert_array_equal(bin_spikes(times, 6), [3, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(bin_spikes(times, 0), [])
    np.testing.assert_array_equal(bin_spikes([], 3), [0, 0, 0])
    assert bin_spikes(times, 6).dtype == np.float64


def test_spike_on_an_edge_belongs_to_the_later_bin():
    # In floating point 0.29 * 100 is less than 29
    counts = bin_spikes(np.arange(1_000) / 100, 1_000)
    np.testing.assert_array_equal(counts, np.ones(1_000))


def test_unusable_spikes():
    with pytest.raises(DataError, match=r"spike times .* is nan"):
        bin_spikes([0.1, np.nan], 10)
    for samples in (-1, 2.5, "ten"):
        with pytest.raises(UsageError, match="bins are impossible"):
            bin_spikes([0.1], samples)


def test_import_leaves_scipy_signal_for_later():
    code = "import sys, spikefinder_keras.signals.preprocess; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif("SPIKEFINDER_DATA" not in os.environ, reason="SPIKEFINDER_DATA is not set")
def test_raw_recordings_become_the_competitions_set_5():
    """The competition's calcium of set 5 follows from the same neurons' raw recordings."""
    h5py = pytest.importorskip("h5py")
    folder = Path(os.environ["SPIKEFINDER_DATA"])
    raw = folder / "ground_truth" / "DS16-GCaMP6s-m-V1.h5"
    published = folder / "spikefinder.train" / "5.train.calcium.csv"
    for path in (raw, published):
        if not path.exists():
            pytest.skip(f"{path} is missing")
    calcium = np.loadtxt(published, delimiter=",", skiprows=1)
    with h5py.File(raw) as file:
        for neuron, expected in enumerate(calcium.T):
            recording = file[f"neuron_{neuron:03d}/recording_000"]
            time = recording["time"][:]
            frame_rate = (time.size - 1) / (time[-1] - time[0])
            result = preprocess(recording["dff"][:], frame_rate)
            assert result.shape == expected.shape
            assert np.corrcoef(result, expected)[0, 1] >= 0.999999
            assert np.abs(result - expected).max() <= 2e-3


@pytest.mark.parametrize("frames", [1, 2, 3, 10, 11, 100, 101, 1_000])
@pytest.mark.parametrize("frame_rate", [7.8, 25.0, 50.0, 59.1, 100.2, 200.0, 330.0])
def test_resample_is_scipys(frames, frame_rate):
    from scipy import signal

    trace = np.random.default_rng(frames).normal(size=frames)
    samples = int(frames * 100 / frame_rate + 0.5)
    if not samples:
        pytest.skip("no sample is left")
    # The same transforms in the same order, so but for the last bits the same numbers.
    expected = signal.resample(trace, samples)
    np.testing.assert_allclose(resample(trace, frame_rate), expected, rtol=0, atol=1e-14)


# The fast resampling is the competition's own, whatever the lengths


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
