"""What the network `universal` gets: invariant to gain and offset, sure of its noise."""

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from spikefinder_keras.recordings.segments import find_segments, mean_between
from spikefinder_keras.recordings.universal import (
    CHANNELS,
    Scales,
    integral_of,
    lines_of,
    network_input,
    prepare_neuron,
    prepare_trace,
    running_baseline,
)
from spikefinder_keras.signals.measures import noise_density, smooth_trace


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


def test_rates_keep_the_mean_of_each_step():
    steps = np.random.default_rng(0).gamma(0.3, 1.0, 50)
    samples = mean_between(integral_of(steps), np.arange(200)[:, None] + np.arange(2))
    np.testing.assert_allclose(samples.reshape(-1, 4).mean(axis=1), steps, atol=1e-9)
    assert (samples >= 0).all()
    # Over any intervals that meet, the integral is that of the steps.
    edges = np.sort(np.append(np.random.default_rng(1).uniform(0, 200, 60), [0, 200]))
    means = mean_between(integral_of(steps), np.stack([edges[:-1], edges[1:]], axis=1))
    assert np.diff(edges) @ means == pytest.approx(4 * steps.sum())
    np.testing.assert_allclose(
        mean_between(integral_of(np.ones(3)), edges[:1] + np.array([[0, 7.3]])), 1.0
    )


@pytest.mark.parametrize("steps", [1, 2, 3, 50, 5_000])
def test_between_steps_is_the_monotone_cubic_of_scipy(steps):
    """To the bit, also where nothing fires for a while, or hardly anything."""
    rng = np.random.default_rng(steps)
    for share, factor in ((1, 1), (0.5, 1), (0.1, 1e-200), (0, 1)):
        rates = factor * rng.gamma(0.1, 5.0, steps) * (rng.random(steps) < share)
        integral = 4 * np.append(0, np.cumsum(rates))
        curve = PchipInterpolator(4 * np.arange(steps + 1), integral)
        np.testing.assert_array_equal(integral_of(rates), curve(np.arange(4 * steps + 1)))


def test_the_15th_percentile_of_the_smoothed_trace_is_0():
    trace, scales = prepare_trace(trace_of(100.0), 100.0)
    smoothed = smooth_trace(trace)
    assert np.mean(smoothed < 0) == pytest.approx(0.15, abs=1 / smoothed.size)
    assert scales.spread == pytest.approx(smoothed.std())


def test_the_line_found_on_averages_is_that_of_the_frames():
    for frames in (4_000, 6_001, 20_003):
        ramp = 0.5 * np.arange(frames) + 3
        np.testing.assert_allclose(lines_of(ramp[None])[0], ramp, rtol=1e-9)


def test_the_noise_of_segments_counts_by_their_frames():
    rng = np.random.default_rng(2)
    trace = np.concatenate([0.1 * rng.normal(size=900), 0.4 * rng.normal(size=300)])
    segments = find_segments(np.arange(1_200) / 30, 30.0, starts=(0, 900), source="x")
    _, scales = prepare_neuron(trace, segments)
    first, second = noise_density(trace[:900], 30.0), noise_density(trace[900:], 30.0)
    # The line that was subtracted changes each step by less than a thousandth.
    assert scales.noise == pytest.approx(0.75 * first + 0.25 * second, rel=1e-3)
    assert abs(scales.noise / (0.5 * first + 0.5 * second) - 1) > 0.1


def test_noise_density_by_hand():
    """At 60 Hz two frames are averaged, at 44 Hz none: steps 3 and 1 of means, 2 and 1 of frames"""
    frames = [0.0, 2.0, 3.0, 5.0, 4.0, 2.0]
    assert noise_density(frames, 60.0) == pytest.approx(2 / (0.6745 * np.sqrt(2 * 30)))
    assert noise_density(frames, 44.0) == pytest.approx(2 / (0.6745 * np.sqrt(2 * 44)))
    # Three means are the fewest.
    assert noise_density(frames[:4], 60.0) == pytest.approx(2 / (0.6745 * np.sqrt(2 * 60)))


def test_what_the_network_gets_by_hand():
    """Two means of 20 ms, in three times the noise of 10 Hz, then in units of the spread."""
    scales = Scales(noise=0.1, baseline=0.0, spread=2.0)
    found = network_input(np.array([0.0, 2.0, 4.0, 6.0, 8.0]), scales)
    unit = 3 * 0.1 * np.sqrt(10)
    np.testing.assert_allclose(
        found, [[1 / unit, 5 / unit, 0.5, 2.5], [8 / unit, 8 / unit, 4, 4]], rtol=1e-6
    )
    clean = Scales(noise=0.0, baseline=0.0, spread=2.0)
    assert network_input(np.array([0.0, 0.0, 2e-3, 2e-3]), clean)[0, 1] == pytest.approx(
        1 / (3 * np.sqrt(10)), rel=1e-6
    )
    assert network_input(np.full(4, 1e6), scales).tolist() == [[100.0] * 4]


def test_clarity_is_spread_over_the_noise_that_smoothing_leaves():
    """A Gaussian of 0.3 s leaves 1 / sqrt(2 sqrt(pi) 0.3) of white noise of density 1."""
    scales = Scales(noise=0.1, baseline=0.0, spread=0.3)
    assert scales.clarity == pytest.approx(3 * np.sqrt(2 * np.sqrt(np.pi) * 0.3))


# The running baseline


@pytest.mark.parametrize("rate", [4.0, 15.0, 100.0])
def test_a_baseline_runs_below_the_transients(rate):
    """Transients of 1 in two fifths of the time, over a level that falls to 40% within 60 s."""
    rng = np.random.default_rng(0)
    time = np.arange(int(300 * rate)) / rate
    level = 0.4 + 0.6 * np.exp(-time / 60)
    active = (time % 5.0 > 3.0).astype(float)
    trace = level * (1 + active) + 0.01 * rng.normal(size=time.size)
    found = running_baseline(trace, rate)
    # A low percentile of the noise is below its middle, and the start has no past.
    assert np.abs(found / level - 1)[int(5 * rate) :].max() < 0.05


def test_a_recording_shorter_than_the_window_has_a_straight_line():
    short, long = trace_of(30.0, seconds=59.0), trace_of(30.0, seconds=61.0)
    bent = 0.5 * np.sin(np.arange(short.size) / short.size * np.pi)
    (found,), _ = prepare_neuron(short + bent, one_segment(short.size))
    assert (
        np.corrcoef(
            smooth_trace(found, 500.0),
            np.interp(np.arange(found.size), np.arange(bent.size) * 100 / 30, bent),
        )[0, 1]
        > 0.9
    )
    drift = np.interp(np.arange(long.size), [0, long.size], [0.0, 3.0])
    (with_drift,), _ = prepare_neuron(long + drift, one_segment(long.size))
    assert np.ptp(smooth_trace(with_drift, 1_000.0)) < 0.2 * 3.0


def one_segment(frames, rate=30.0, starts=(0,)):
    return find_segments(np.arange(frames) / rate, rate, starts=starts, source="x")


def test_raw_fluorescence_is_divided_and_dff_is_not():
    """Half the light, half the gain."""
    steady = trace_of(30.0, seconds=240.0) + 10
    time = np.arange(steady.size) / 30
    light = 0.5 + 0.5 * np.exp(-time / 60)
    raw, _ = prepare_neuron(400 * steady * light, one_segment(steady.size))
    known, scales = prepare_neuron(steady, one_segment(steady.size))
    units = 10 + scales.baseline
    # But at the ends, where the window is cut.
    inside = slice(3_000, -3_000)
    np.testing.assert_allclose(raw[0][inside] * units, known[0][inside], atol=0.012 * units)
    for unit in ("F", None, "dF/F"):
        found, _ = prepare_neuron(400 * steady * light, one_segment(steady.size), unit)
        divided = np.ptp(found[0]) < 1
        assert divided == (unit != "dF/F")


@pytest.mark.parametrize("least", [-5.0, 0.0, 1.5])
def test_nothing_is_divided_by_a_baseline_near_zero(least):
    falling = trace_of(30.0, seconds=240.0)
    falling = falling + np.linspace(10, least, falling.size)
    found, _ = prepare_neuron(falling, one_segment(falling.size), "F")
    assert np.ptp(found[0]) == pytest.approx(np.ptp(trace_of(30.0, seconds=240.0)), rel=0.3)


def test_days_have_baselines_of_their_own_and_trials_one_together():
    first, second = (trace_of(30.0, seconds=120.0, seed=seed) for seed in (0, 1))
    days = np.concatenate([first + 5, 0.5 * second + 2])
    together, _ = prepare_neuron(days, one_segment(days.size, starts=(0, first.size)), "dF/F")
    for part, alone in zip(together, (first, 0.5 * second), strict=True):
        (expected,), _ = prepare_neuron(alone, one_segment(alone.size), "dF/F")
        # The percentile of both days together is what becomes 0.
        assert np.ptp(part - expected) < 1e-6
    trials = np.arange(0, first.size, 300)
    split, _ = prepare_neuron(first, one_segment(first.size, starts=trials), "dF/F")
    (whole,), _ = prepare_neuron(first, one_segment(first.size), "dF/F")
    difference = np.concatenate(split)[: whole.size] - whole
    assert abs(np.median(difference)) < 0.05
    # One baseline for all: but for their ends, trials differ from the whole by one number.
    middles = np.median(difference[: len(trials) * 1000].reshape(len(trials), 1000), axis=1)
    assert np.ptp(middles) < 1e-6  # a baseline for each would make it 0.05
