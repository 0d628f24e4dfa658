"""Recordings are brought to 100 Hz and rates back to their time stamps, gaps and pauses included.

Where a result is compared with another path to the same number, the tolerance is float32 round-off
of values of about 1 to 10: 1e-6.
"""

import numpy as np
import pytest

from spikefinder_keras.competition.tables import read_set
from spikefinder_keras.errors import DataError
from spikefinder_keras.recordings.convi6 import prepare
from spikefinder_keras.recordings.inputs import as_recording as recording_of
from spikefinder_keras.recordings.pipeline import predict
from spikefinder_keras.recordings.segments import (
    brightness_steps,
    common_jumps,
    gaps,
    no_data,
    samples_in_gaps,
    to_frames,
)
from spikefinder_keras.signals.preprocess import detrend, preprocess, resample, scale
from spikefinder_keras.simulation.indicators import (
    SINGLE_SPIKE,
    STEP_RATE,
    QuickIndicator,
    expose,
    quick_dff,
    spike_influx,
)
from spikefinder_keras.text import counted
from spikefinder_keras.training.neurons import read_ground_truth


def as_recording(traces, *arguments, **options):
    """Tables `(frame, neuron)`, as the tests of this file have them."""
    return recording_of(traces, *arguments, **{"orientation": "time-neuron"} | options)


FLOAT32 = 1e-6


def slow_trace(times):
    """A trace without anything faster than 1 Hz, so that every sampling here shows all of it."""
    return (
        np.sin(2 * np.pi * 0.5 * times)
        + 0.5 * np.cos(2 * np.pi * 0.13 * times)
        + 0.3 * np.sin(2 * np.pi * 0.91 * times + 1)
    )


def noise(frames=600, neurons=1, seed=0):
    return np.random.default_rng(seed).normal(size=(frames, neurons))


def missing(recording):
    return ~np.isfinite(recording.fluorescence)


def prepared(*arguments, **options):
    """Blocks and the network's input of all neurons of `as_recording(*arguments)`."""
    recording = as_recording(*arguments, **options)
    blocks = recording.segments
    return blocks, prepare(recording)


def inner(trace):
    """Without 2 s at the ends, where the Fourier method joins the last frame to the first."""
    return trace[200:-200]


# The competition's own preprocessing


def test_raw_recordings_of_set_5_become_the_competitions(data):
    """Correlation and difference as required; measured are 0.9999997 and 9e-4 at worst."""
    competition, _ = read_set(data, "train", 5)
    truths = read_ground_truth(data / "ground_truth" / "DS16-GCaMP6s-m-V1.h5")
    assert len(truths) == competition.shape[1] == 9
    for neuron, truth in enumerate(truths):
        (calcium,) = prepare(truth.recording)
        theirs = competition[np.isfinite(competition[:, neuron]), neuron]
        assert calcium.shape == (theirs.size, 1)
        assert np.corrcoef(calcium[:, 0], theirs)[0, 1] >= 0.999999
        assert np.abs(calcium[:, 0] - theirs).max() <= 2e-3


@pytest.mark.parametrize("rate", [5, 7.8, 30, 59.1, 100, 200])
def test_a_regular_recording_is_preprocessed_as_a_single_trace(rate):
    values = noise(neurons=2)
    blocks, (calcium,) = prepared(values, rate)
    assert len(blocks) == 1
    assert calcium.dtype == np.float32
    for neuron in range(2):
        expected = preprocess(values[:, neuron], rate)
        assert calcium.shape[0] == blocks[0].samples == expected.size
        np.testing.assert_allclose(calcium[:, neuron], expected, rtol=FLOAT32, atol=FLOAT32)


@pytest.mark.parametrize("gain", [1e-3, 100.0, 1e4])
def test_unit_and_offset_do_not_matter(gain):
    values = noise()
    (_, (plain,)), (_, (other,)) = prepared(values, 30), prepared(gain * values + 7 * gain, 30)
    # The line's iteration stops at 1e-7 standard deviations, a little elsewhere in another unit.
    np.testing.assert_allclose(other, plain, atol=1e-5)


# Time stamps


def test_jitter_of_a_quarter_frame_counts_as_regular():
    values, rng = noise(), np.random.default_rng(1)
    times = (np.arange(600) + rng.uniform(-0.2, 0.2, 600)) / 30
    times[[0, -1]] = 0, 599 / 30
    blocks, (calcium,) = prepared(values, times=times)
    np.testing.assert_array_equal(blocks[0].positions, np.arange(600))
    assert blocks[0].frame_rate == pytest.approx(30, rel=1e-12)
    np.testing.assert_allclose(calcium, prepared(values, 30)[1][0], rtol=FLOAT32, atol=FLOAT32)


def test_uneven_time_stamps_are_taken_for_what_they_are():
    rng = np.random.default_rng(2)
    times = (np.arange(1800) + rng.uniform(-0.45, 0.45, 1800)) / 30
    blocks, (calcium,) = prepared(slow_trace(times), times=times)
    assert not np.array_equal(blocks[0].positions, np.arange(1800))
    (as_even,) = prepared(slow_trace(times), 30)[1]
    truth = slow_trace(np.linspace(times[0], times[-1], blocks[0].grid_frames))
    truth = resample(scale(detrend(truth)), blocks[0].frame_rate)
    own, taken_as_even = (
        np.abs(inner(c[: len(as_even), 0] - truth[: len(as_even)])).max()
        for c in (calcium, as_even)
    )
    # Between frames h <= 0.063 s apart a straight line misses the curve by h^2 / 8 of its second
    # derivative, 20 at most: 0.01, in units of the scaled trace about half as much.
    assert own < 0.01
    assert taken_as_even > 3 * own


def test_dropped_frames_leave_the_rest_in_its_place():
    times = np.arange(3000) / 30
    kept = np.ones(3000, bool)
    kept[[400, 401, 402, 1500]] = False
    kept[2000:2060] = False
    blocks, (calcium,) = prepared(slow_trace(times[kept]), times=times[kept])
    (full,), (whole,) = prepared(slow_trace(times), 30)
    (block,) = blocks
    assert (block.grid_frames, block.samples) == (3000, full.samples)
    np.testing.assert_allclose(block.positions, np.flatnonzero(kept), atol=1e-6)
    elsewhere = np.ones(len(whole), bool)
    for first, last in ((400, 403), (1500, 1501), (2000, 2060)):
        elsewhere[round((first - 15) / 0.3) : round((last + 15) / 0.3)] = False
    # The percentiles lack 64 of 3000 frames: the scale moves by a few percent, the shape does not.
    a, b = (inner(np.where(elsewhere, x[:, 0], np.nan)) for x in (calcium, whole))
    there = np.isfinite(a)
    assert np.corrcoef(a[there], b[there])[0, 1] > 0.9999
    squeezed = preprocess(slow_trace(times[kept]), 30)[: len(whole)]
    late = slice(round(2100 / 0.3), round(2900 / 0.3))
    assert np.corrcoef(squeezed[late], whole[late, 0])[0, 1] < 0.9


def test_time_stamps_too_uneven_for_any_grid():
    with pytest.raises(DataError, match=r"from 0 to 5 s are too uneven for 1000 frames per second"):
        prepared(np.zeros(4), times=[0, 0.001, 0.002, 5.0])


# Blocks


def test_a_long_pause_begins_a_block():
    times = np.arange(600) / 30
    times[200:] += 9.0
    assert len(as_recording(noise(), times=times).segments) == 1
    times[200:] += 2.0
    times[450:] += 3600.0
    blocks = as_recording(noise(), times=times).segments
    assert [(b.frames.start, b.frames.stop) for b in blocks] == [(0, 200), (200, 450), (450, 600)]
    assert [b.samples for b in blocks] == [667, 833, 500]
    slow = as_recording(
        noise(60), 0.05, times=20.0 * np.arange(60)
    )  # a frame every 20 s is no pause
    assert len(slow.segments) == 1


def test_named_blocks_are_kept_and_pauses_cut_them():
    times = np.arange(600) / 30
    times[300:] += 20.0
    recording = as_recording(noise(), times=times, segment_starts=(0, 100))
    assert [b.frames.start for b in recording.segments] == [0, 100, 300]


def test_nothing_runs_over_from_one_block_to_the_next():
    """Line and percentiles come from all frames, everything later from the block alone."""
    values = noise(600, 2)
    values[250:, 0] += 5.0  # a step exactly between the blocks, which resampling would smear
    recording = as_recording(values, 30, segment_starts=(0, 250))
    blocks = recording.segments
    calcium = prepare(recording)
    for neuron in range(2):
        scaled = scale(detrend(values[:, neuron]))
        for table, part in zip(calcium, (scaled[:250], scaled[250:]), strict=True):
            np.testing.assert_allclose(table[:, neuron], resample(part, 30), atol=1e-5)
    together = resample(scale(detrend(values[:, 0])), 30)[: blocks[0].samples]
    assert np.abs(calcium[0][-20:, 0] - together[-20:]).max() > 0.1

    rates = [np.full((block.samples, 2), k, np.float32) for k, block in enumerate(blocks)]
    back = to_frames(rates, recording.segments, missing(recording))
    np.testing.assert_allclose(back[:250], 0, atol=1e-12)
    np.testing.assert_allclose(back[250:], 1, rtol=FLOAT32)


def test_a_neuron_without_values_in_one_block():
    values = noise(600, 2)
    values[250:, 1] = np.nan
    recording = as_recording(values, 30, segment_starts=(0, 250))
    first, second = prepare(recording)
    assert np.isfinite(first).all()
    assert np.isfinite(second[:, 0]).all()
    assert np.isnan(second[:, 1]).all()
    rates = [np.ones_like(first), np.ones_like(second)]
    back = to_frames(rates, recording.segments, missing(recording))
    assert np.isnan(back[250:, 1]).all()
    assert np.isnan(back).sum() == 350
    assert gaps(recording.segments, missing(recording)[:, 1]) == (0, 350)


# Gaps


def with_gap(start, stop, frames=1000):
    values = noise(frames)
    values[start:stop] = np.nan
    return as_recording(values, 100)


def test_a_short_gap_is_a_straight_line():
    recording = with_gap(300, 349)
    (calcium,) = prepare(recording)
    ends = calcium[[299, 349], 0]
    # Two float32 ends and a float64 line between them.
    np.testing.assert_allclose(
        calcium[299:350, 0], np.linspace(*ends, 51), rtol=FLOAT32, atol=FLOAT32
    )
    values = recording.fluorescence[:, 0]
    there = np.isfinite(values)
    np.testing.assert_allclose(calcium[there, 0], scale(detrend(values[there])), atol=FLOAT32)


def test_short_gaps_are_bridged_and_long_ones_left_empty():
    rates = [np.ones((1000, 1), np.float32)]
    for length, lost in ((1, 0), (49, 0), (52, 52), (400, 400)):
        recording = with_gap(300, 300 + length)
        back = to_frames(rates, recording.segments, missing(recording))[:, 0]
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(back)), 300 + np.arange(lost))
        assert gaps(recording.segments, missing(recording)[:, 0]) == (length - lost, lost)


def test_a_gap_lasts_as_long_as_the_frames_it_lacks():
    """Two frames of 0.2 s are bridged, three are not; at 1 Hz a single one is too long."""
    for rate, length, lost in ((5, 2, 0), (5, 3, 3), (1, 1, 1)):
        values = noise(100)
        values[40 : 40 + length] = np.nan
        recording = as_recording(values, rate)
        assert gaps(recording.segments, missing(recording)[:, 0]) == (length - lost, lost)


@pytest.mark.parametrize("at_start", [True, False])
def test_at_an_end_half_as_much_is_bridged(at_start):
    """A gap at an end has one neighbour: what lies farther than 0.25 s from it is left empty."""
    recording = with_gap(0, 40) if at_start else with_gap(960, 1000)
    (calcium,) = prepare(recording)
    assert np.isfinite(calcium).all()
    edge = calcium[40 if at_start else 959, 0]
    np.testing.assert_array_equal(calcium[:40, 0] if at_start else calcium[960:, 0], edge)
    back = to_frames([np.ones((1000, 1))], recording.segments, missing(recording))[:, 0]
    empty = np.flatnonzero(np.isnan(back if at_start else back[::-1]))
    # Frame 15 is at 0.25 s but for round-off.
    np.testing.assert_array_equal(empty[empty != 15], np.arange(15))
    bridged, lost = gaps(recording.segments, missing(recording)[:, 0])
    assert (bridged + lost, lost) == (40, empty.size)


def test_samples_in_gaps_with_and_without_time_stamps():
    """The same stretch as NaN and as frames that are not there at all."""
    values, times = noise(600)[:, 0], np.arange(600) / 30
    gap = np.zeros(600, bool)
    gap[150:210] = True
    for recording in (
        as_recording(np.where(gap, np.nan, values), 30),
        as_recording(values[~gap], times=times[~gap]),
    ):
        (block,) = recording.segments
        inside = np.flatnonzero(samples_in_gaps(block, missing(recording)[:, 0])) / 100
        # From half a frame behind the last frame before, 149/30 s, to half before the next, 7 s.
        assert inside[0] == pytest.approx(149.5 / 30, abs=0.01)
        assert inside[-1] == pytest.approx(209.5 / 30, abs=0.01)
        assert np.diff(inside).max() < 0.011
    (block,) = as_recording(values, 30).segments
    assert not samples_in_gaps(block, missing(as_recording(values, 30))[:, 0]).any()


def test_an_empty_neuron_stays_empty_and_changes_no_other():
    values = noise(600, 3)
    _, (alone,) = prepared(values[:, [0, 2]], 30)
    values[:, 1] = np.nan
    recording = as_recording(values, 30)
    (calcium,) = prepare(recording)
    assert np.isnan(calcium[:, 1]).all()
    np.testing.assert_array_equal(calcium[:, [0, 2]], alone)
    assert gaps(recording.segments, missing(recording)[:, 1]) == (0, 600)
    assert gaps(recording.segments, missing(recording)[:, 0]) == (0, 0)


@pytest.mark.parametrize("frames", [2, 3, 7])
@pytest.mark.parametrize("rate", [5, 30, 100, 200])
def test_very_short_traces_are_finite(frames, rate):
    for values in (noise(frames), np.arange(3.0, 3 + frames)[:, None]):
        _, (calcium,) = prepared(values, rate)
        assert calcium.shape == (max(1, int(frames * 100 / rate + 0.5)), 1)
        assert np.isfinite(calcium).all()
        recording = as_recording(values, rate)
        back = to_frames([calcium], recording.segments, missing(recording))
        assert back.shape == (frames, 1)
        assert np.isfinite(back).all()


def test_the_recording_is_not_changed():
    values = noise(600, 2)
    values[100:150, 0] = np.nan
    before = values.copy()
    recording = as_recording(values, 30)
    to_frames(prepare(recording), recording.segments, missing(recording))
    np.testing.assert_array_equal(values, before)


# Back to the frames


def back(rates, frames, rate):
    times = np.arange(frames) / rate
    recording = as_recording(noise(frames), rate, times=times)
    blocks = recording.segments
    assert blocks[0].samples == len(rates)
    return to_frames([rates[:, None]], recording.segments, missing(recording))[:, 0]


def test_at_100_hz_the_rates_are_the_same():
    rates = np.random.default_rng(3).random(500).astype(np.float32)
    # The mean over one sample is a difference of two sums of up to 500 float64 numbers.
    np.testing.assert_allclose(back(rates, 500, 100), rates, rtol=FLOAT32)


def test_at_50_hz_by_hand():
    """A frame covers half a sample, a whole one and half of the next: 0.5, 1, 0.5 over 2."""
    rates = np.random.default_rng(4).random(1000)
    before, own, after = rates[1:-2:2], rates[2:-1:2], rates[3::2]
    expected = (0.5 * before + own + 0.5 * after) / 2
    np.testing.assert_allclose(back(rates, 500, 50)[1:], expected, rtol=FLOAT32)


def test_at_200_hz_every_sample_comes_twice():
    """Frame 2k lies within sample k; frame 2k + 1 half in it, half in the next one."""
    rates = np.random.default_rng(5).random(500)
    frames = back(rates, 1000, 200)
    np.testing.assert_allclose(frames[::2], rates, rtol=FLOAT32)
    np.testing.assert_allclose(frames[1:-1:2], (rates[:-1] + rates[1:]) / 2, rtol=FLOAT32)


@pytest.mark.parametrize("rate", [0.7, 5, 7.8, 30, 59.1, 100, 143.0, 200])
def test_the_integral_stays_the_same(rate):
    """Apart from half a frame at the ends, so the rates are 0 there."""
    frames = round(60 * rate)
    samples = frames if rate == 100 else int(frames * 100 / rate + 0.5)
    rates = np.random.default_rng(6).random(samples)
    rates[:200] = rates[-200:] = 0
    own_width = samples / frames  # samples per frame: 100 / rate but for rounding to whole samples
    assert back(rates, frames, rate).sum() * own_width == pytest.approx(rates.sum(), rel=FLOAT32)


def test_far_above_100_hz_no_frame_is_lost():
    """The last frames lie behind the middle of the last sample, and still get it."""
    rates = np.random.default_rng(7).random(300)
    frames = back(rates, 3000, 1000)
    assert np.isfinite(frames).all()
    np.testing.assert_allclose(frames[-4:], rates[-1], rtol=FLOAT32)


def test_a_gap_of_exactly_half_a_second_is_bridged():
    """Two frames of 4 Hz, without any round-off; at an end one of them, a quarter of a second."""
    for first, last in ((40, 42), (0, 1), (99, 100)):
        values = noise(100)
        values[first:last] = np.nan
        recording = as_recording(values, 4.0)
        count = last - first
        assert gaps(recording.segments, missing(recording)[:, 0]) == (count, 0)


def test_a_pause_of_slow_frames_is_longer_than_three():
    """At 0.1 Hz three frames last 30 s, longer than the 10 s that are a pause elsewhere."""
    for pause, count in ((29.0, 1), (31.0, 2)):
        times = 10.0 * np.arange(60)
        times[30:] += pause - 10.0
        assert len(as_recording(noise(60), 0.1, times=times).segments) == count


@pytest.mark.parametrize(("off", "regular"), [(0.24, True), (0.26, False)])
def test_a_quarter_of_a_frame_off_is_regular(off, regular):
    times = np.arange(100) / 30
    times[50] += off / 30
    (segment,) = as_recording(noise(100), 30, times=times).segments
    assert np.array_equal(segment.positions, np.arange(100)) == regular


@pytest.mark.parametrize(("neurons_off", "found"), [(8, True), (7, False)])
@pytest.mark.parametrize("way", [1, -1])
def test_a_jump_is_one_of_nearly_all_neurons(neurons_off, found, way):
    """Of ten: four in five of them, whichever way, and by five spreads."""
    values = noise(500, 10)
    values[100, :neurons_off] = way * 12.0
    assert common_jumps(values)[100] == found
    values[100, :neurons_off] = way * 4.0
    assert not common_jumps(values)[100]
    values[100] = way * 12.0
    assert common_jumps(values[:, :4]).tolist() == [False] * 100 + [True] + [False] * 399
    assert not common_jumps(values[:, :3]).any()
    assert not common_jumps(values[:, :2]).any()


def test_a_jump_comes_or_goes_at_once():
    """Light of any length; of what only goes on at the same time, as calcium does, none is one."""
    values = noise(500, 5)
    for onset, height in ((0, 12.0), (200, -12.0), (300, 12.0), (490, 12.0)):
        lit = values.copy()
        lit[onset : onset + 30] += height
        assert np.flatnonzero(common_jumps(lit)).tolist() == list(
            range(onset, min(onset + 30, 500))
        )
        ramp = values.copy()  # in the middle of a frame
        ramp[onset : onset + 30] += height
        if onset:
            ramp[onset] -= height / 2
            assert common_jumps(ramp)[onset + 1 : onset + 30].all()
    active = values.copy()
    for neuron in range(5):
        onset = 200 + 6 * neuron
        active[onset:, neuron] += 30.0 * np.exp(-np.arange(500 - onset) / 40)
    assert (active[230] - values[230] > 12).all()
    assert not common_jumps(active).any()


@pytest.mark.parametrize(("repeats", "found"), [(3, True), (8, False)])
def test_a_run_is_no_proof_in_a_trace_that_repeats_its_values(repeats, found):
    """Of 2,000 steps four may stand still beside the run."""
    trace = noise(2_001)[:, 0]
    trace[500:540] = 0.25
    for k in range(repeats):
        trace[1_000 + 20 * k] = trace[1_001 + 20 * k]
    assert ("still" in no_data(trace, 30.0)) == found


# Frames that cannot be calcium


def seen(frame_rate, indicator="jGCaMP8f", signal_to_noise=100.0, seconds=120.0, seed=0):
    """dF/F `(frame,)` of a neuron that fires single spikes and bursts, as a microscope sees it: one
    spike's peak is so many noise levels of a frame."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(1, seconds - 1, int(seconds)))
    bursts = [at + 0.005 * np.arange(10) for at in times[::10]]
    every = np.sort(np.concatenate([times, *bursts]))
    influx = spike_influx([every], int(seconds * STEP_RATE), 0.3, rng)[:, 0]
    rise, decay = SINGLE_SPIKE[indicator][1:]
    quick = QuickIndicator(rise, decay / np.log(2), 1.0, 300.0, 2.0)
    dff = quick_dff(influx, quick)
    noise = 1 / signal_to_noise / np.sqrt(frame_rate)
    return expose(dff, frame_rate, noise, 0.0, rng)


@pytest.mark.parametrize("frame_rate", [5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 100.0, 200.0])
@pytest.mark.parametrize("indicator", ["jGCaMP8f", "jGCaMP8m", "GCaMP6s"])
def test_transients_of_fast_indicators_stay(frame_rate, indicator):
    """The first frames of a transient are what the network reads the time of spikes from."""
    trace = seen(frame_rate, indicator)
    assert trace.max() > 30 * np.median(np.abs(np.diff(trace)))
    assert no_data(trace, frame_rate) == {}


# At low frame rates a frame of 10 dF/F might be a burst of the fastest indicator.
@pytest.mark.parametrize(
    ("frame_rate", "size"),
    [(rate, size) for rate in (30.0, 100.0) for size in (10.0, 1e4, -10.0, -65_536.0)]
    + [(rate, size) for rate in (7.5, 15.0) for size in (100.0, 1e4, -10.0)],
)
@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("at", [0, 417])
def test_a_frame_that_cannot_be_calcium_is_missing(frame_rate, size, frames, at):
    rng = np.random.default_rng(1)
    trace = seen(frame_rate, "GCaMP6f", signal_to_noise=10.0) + rng.normal(0, 0.02, 1)
    broken = trace.copy()
    broken[at : at + frames] += size
    found = no_data(broken, frame_rate)
    assert list(found) == ["impossible"]
    assert np.flatnonzero(found["impossible"]).tolist() == list(range(at, at + frames))
    recording = as_recording(broken, frame_rate)
    assert np.isnan(recording.traces[at : at + frames]).all()
    note = (
        f"{counted(frames, 'value')} in 1 of 1 neuron taken as missing: standing out for a moment"
    )
    assert any(note in line for line in recording.notes)


def test_an_impossible_frame_costs_nothing():
    """Of the rates: 0.75 of their correlation, before it was taken as missing."""
    trace = seen(30.0, "GCaMP6f", signal_to_noise=10.0)
    broken = trace.copy()
    broken[1_000] = 1e4
    rates, others = (predict(each, 30.0).table[:, 0] for each in (trace, broken))
    assert np.corrcoef(rates, others)[0, 1] > 0.99


def test_an_overflow_is_missing():
    """16-bit numbers that begin anew at their lowest while a transient is at its highest."""
    dff = seen(30.0, "GCaMP6f", signal_to_noise=20.0)
    counts = np.round(5_000 + dff * 27_767 / np.quantile(dff, 0.998))
    assert (counts > 32_767).sum() > 5
    overflown = np.where(counts > 32_767, counts - 65_536, counts).astype(np.int16)
    found = no_data(overflown.astype(float), 30.0)["impossible"]
    wrapped = counts > 32_767
    assert found[wrapped].all()
    # One or two frames between them stand out as much.
    beside = np.convolve(wrapped, np.ones(5), "same") > 0
    assert not found[~beside].any()


@pytest.mark.parametrize("kind", ["photons", "spikes", "no noise", "cut off"])
def test_what_is_a_trace_s_nature_is_no_fault(kind):
    rng = np.random.default_rng(0)
    trace = rng.poisson(0.05, 3_000) + rng.normal(0, 1e-3, 3_000)
    if kind == "spikes":
        trace = np.where(rng.random(3_000) < 0.05, rng.exponential(1.0, 3_000), 0.0)
    elif kind == "cut off":  # as of a sparse matrix: what is small is 0
        trace = seen(20.0, "GCaMP6f", signal_to_noise=15.0)
        trace = np.where(trace > 0.3, trace, 0.0)
    elif kind == "no noise":
        trace = np.exp(-np.arange(3_000) % 100 / 10)
    assert "impossible" not in no_data(trace, 30.0)


# Steps of brightness


def neurons_of(seed, rate, seconds=400.0, neurons=8):
    """Raw fluorescence `(frame, neuron)` of neurons that fire now and then."""
    rng = np.random.default_rng(seed)
    frames = int(rate * seconds)
    spikes = rng.poisson(0.2 / rate, (neurons, frames)).astype(float)
    kernel = np.exp(-np.arange(0, 3, 1 / rate) / 0.6)
    clean = np.array([np.convolve(each, kernel)[:frames] for each in spikes]) * 0.3
    noise = rng.normal(0, 0.05 * np.sqrt(rate / 15), clean.shape)
    return (rng.uniform(300, 600, (neurons, 1)) * (1 + clean + noise)).T


@pytest.mark.parametrize("rate", [4.0, 15.0, 60.0])
@pytest.mark.parametrize("factor", [0.6, 0.75, 1.4, 2.0])
def test_a_step_of_brightness_is_found_to_the_frame(rate, factor):
    table = neurons_of(int(rate), rate)
    assert brightness_steps(table, rate) == []
    at = len(table) // 2 + 7
    table[at:] *= factor
    assert brightness_steps(table, rate) == [at]


def test_what_begins_to_fire_is_no_step():
    """Two of eight neurons, and four of them, go to another level."""
    table = neurons_of(0, 15.0)
    for active in (2, 4):
        table[3_000:, :active] += 300
        assert brightness_steps(table, 15.0) == []


def test_bleaching_and_common_responses_are_no_steps():
    table = neurons_of(1, 15.0)
    time = np.arange(len(table)) / 15
    assert brightness_steps(table * (0.3 + 0.7 * np.exp(-time / 60))[:, None], 15.0) == []
    response = (time % 60 > 40) * 300.0  # all answer for 20 s
    assert brightness_steps(table + response[:, None], 15.0) == []


def test_few_neurons_and_short_recordings_have_no_steps_to_be_found():
    table = neurons_of(2, 15.0)
    table[3_000:] *= 2
    assert brightness_steps(table, 15.0) == [3_000]
    assert brightness_steps(table[:, :4], 15.0) == []
    assert brightness_steps(table[2_500:3_500], 15.0) == []
    table[:, :6] = np.nan
    assert brightness_steps(table, 15.0) == []


def test_a_step_is_found_beside_neurons_that_miss_frames():
    traces = 100 + np.random.default_rng(1).normal(size=(6_000, 8))
    traces[3_017:] += 30
    for frames, neuron in ((slice(None), 3), (slice(3_010, 3_012), 2)):
        lacking = traces.copy()
        lacking[frames, neuron] = np.nan
        assert brightness_steps(lacking, 30.0) == [3_017]
