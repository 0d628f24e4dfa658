"""Each number and each warning is what it says, and good recordings get no warning."""

import dataclasses

import numpy as np
import pytest

from spikefinder_keras.competition.simulated_data import (
    CONDITIONS,
    raw_trace,
    spike_times,
)
from spikefinder_keras.competition.tables import read_set
from spikefinder_keras.constants import SAMPLE_RATE
from spikefinder_keras.recordings.convi6 import prepare
from spikefinder_keras.recordings.inputs import as_recording
from spikefinder_keras.recordings.quality import (
    AGREEMENT,
    EXPECTED,
    FAR,
    FEATURES,
    NOISY,
    SHOWN,
    agreement,
    as_dff,
    distance,
    features,
    quality_table,
    recording_warnings,
    smoothness,
    verdict,
)
from spikefinder_keras.recordings.recording import NeuronQuality, Quality
from spikefinder_keras.recordings.segments import gaps
from spikefinder_keras.signals.measures import noise_level
from spikefinder_keras.signals.preprocess import preprocess
from spikefinder_keras.simulation.indicators import QUICK_INDICATORS
from spikefinder_keras.training.neurons import read_ground_truth

RATE = 30.0
FRAMES = 3000


def raw_dff(neurons=6, frames=FRAMES, rate=RATE, seed=0, noise=True):
    """Simulated dF/F of GCaMP6s, `(frame, neuron)`."""
    recording, columns = CONDITIONS[8], []
    if not noise:
        recording = dataclasses.replace(recording, noise=0.0, drift=0.0)
    samples = int(frames / rate * SAMPLE_RATE)
    for neuron in range(neurons):
        rng = np.random.default_rng([seed, neuron])
        times = spike_times(samples, 0.6, recording, rng)
        columns.append(raw_trace(times, frames, rate, QUICK_INDICATORS["GCaMP6s"], recording, rng))
    return np.stack(columns, axis=1)


def trusts(recording, agreements=1.0):
    """`NeuronQuality` of each neuron as a prediction makes it, without a network."""
    count = recording.fluorescence.shape[1]
    (calcium,) = [recording.fluorescence] if recording.unit == "competition" else prepare(recording)
    found = []
    for neuron in range(count):
        dff = as_dff(recording.fluorescence[:, neuron], recording.unit)
        level = float("nan") if dff is None else noise_level(dff, recording.frame_rate)
        trace, missing = calcium[:, neuron], ~np.isfinite(recording.fluorescence[:, neuron])
        far = distance(trace[np.isfinite(trace)])
        found.append(
            NeuronQuality(str(neuron), level, *far, agreements, *gaps(recording.segments, missing))
        )
    return found


def warnings_of(values, rate=RATE, **options):
    recording = as_recording(values, rate, **{"orientation": "time-neuron"} | options)
    return recording_warnings(recording, trusts(recording))


@pytest.fixture(scope="module")
def good():
    return raw_dff()


@pytest.fixture(scope="module")
def real():
    """The nine raw recordings of set 5 as one: frames, neuron, and their rate in Hz."""
    import os

    if not os.environ.get("SPIKEFINDER_DATA"):
        pytest.skip("SPIKEFINDER_DATA names no folder of real data")
    folder = os.environ["SPIKEFINDER_DATA"]
    truths = read_ground_truth(f"{folder}/ground_truth/DS16-GCaMP6s-m-V1.h5")
    values = np.stack([truth.recording.fluorescence[:, 0] for truth in truths], axis=1)
    return values, truths[0].recording.frame_rate


# Numbers


def test_noise_level_by_hand():
    # Differences 0.01, -0.03, 0.02 and, after the gap, 0.04: their median size is 0.025.
    trace = [0.00, 0.01, -0.02, 0.00, np.nan, 0.10, 0.14]
    assert noise_level(trace, 25.0) == pytest.approx(100 * 0.025 / 5)
    assert np.isnan(noise_level([0.1], 25.0))
    assert np.isnan(noise_level([0.1, np.nan, 0.2], 25.0))


@pytest.mark.parametrize("rate", [7.5, 30.0])
def test_noise_level_of_known_noise(rate):
    """|difference| of two normal values has the median 0.6745 sqrt(2) sigma."""
    sigma = 0.05
    trace = sigma * np.random.default_rng(0).normal(size=100_000)
    expected = 100 * 0.67449 * np.sqrt(2) * sigma / np.sqrt(rate)
    # The median of 100,000 values scatters by 0.4%; 2% is five times that.
    assert noise_level(trace, rate) == pytest.approx(expected, rel=0.02)


def test_noise_level_hardly_sees_transients():
    quiet = 0.01 * np.random.default_rng(1).normal(size=FRAMES)
    busy = quiet + raw_dff(noise=False)[:, 0]
    # Transients rise in few frames and fall by little in each.
    assert noise_level(busy, RATE) == pytest.approx(noise_level(quiet, RATE), rel=0.2)
    assert np.ptp(busy) > 5 * np.ptp(quiet)


def test_features_by_hand():
    """A square wave of 1 s: half of it 0 and half 2."""
    wave = np.tile(np.repeat([0.0, 2.0], 50), 100)
    found = features(wave)
    assert set(found) == set(FEATURES)
    assert found["height"] == 2.0
    assert found["skewness"] == pytest.approx(0, abs=1e-12)
    # Its autocorrelation falls on a straight line from 1 to -1 at 0.5 s: 0.6 at 0.1 s, 0.2 at 0.2.
    assert found["memory"] == pytest.approx(0.2)
    # One of five changes is of 2, so 4 / 5 over twice the variance of 1; 999 changes, 199 of them.
    assert found["roughness"] == pytest.approx(199 / 999 * 4 / 2)


@pytest.mark.parametrize("trace", [np.ones(500), np.arange(25.0), np.zeros(0)])
def test_traces_too_short_or_constant_have_no_features(trace):
    assert all(np.isnan(value) for value in features(trace).values())
    far, feature = distance(trace)
    assert np.isnan(far)
    assert feature == ""


def test_distance_names_the_feature_farthest_off():
    trace = preprocess(raw_dff(1)[:, 0], RATE)
    far, feature = distance(trace)
    found = features(trace)
    low, middle, high = FEATURES[feature]
    edge = high - middle if found[feature] > middle else middle - low
    assert far == pytest.approx(abs(found[feature] - middle) / edge)
    assert distance(np.random.default_rng(0).normal(size=5000))[1] == "roughness"
    assert distance(np.sin(np.arange(20_000) / 2000))[1] == "memory"


def test_training_traces_are_near(data):
    """`FEATURES` hold the middle 98% of each of four features, so 92% at least of all traces."""
    found = []
    for number in (4, 5, 6):
        calcium, _ = read_set(data, "train", number)
        found += [distance(trace[np.isfinite(trace)])[0] for trace in calcium.T]
    assert len(found) == 24
    # 8% of 24 traces are two; these sets may hold all of the outliers, so five are let pass.
    assert np.sum(np.array(found) <= 1.0) >= 19
    assert max(found) < 2.5


def test_agreement():
    rng = np.random.default_rng(0)
    rates = rng.random((1, 4000))
    assert agreement(np.repeat(rates, 10, axis=0)) == pytest.approx(1)
    # Scale and offset of an ID do not count.
    assert agreement(np.concatenate([rates, 3 * rates + 1])) == pytest.approx(1)
    # Ten independent ones: each makes up a tenth of the variance of the mean, correlation 10^-1/2;
    # over 1,000 pooled samples it scatters by 0.03, the mean over ten by less.
    assert agreement(rng.random((10, 4000))) == pytest.approx(10**-0.5, abs=0.05)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 1 / 3])
def test_agreement_of_constant_rates(value):
    """Also where the mean of equal numbers is another number in floats, as for 0.1."""
    rates = np.full((10, 997), value)
    assert np.isnan(agreement(rates))
    rates[1:] = np.random.default_rng(0).random((9, 997))
    assert np.isnan(agreement(rates))


@pytest.mark.parametrize("samples", [1, 3, 4])
def test_agreement_of_less_than_two_pooled_samples(samples):
    assert np.isnan(agreement(np.random.default_rng(0).random((10, samples))))


def test_as_dff():
    trace = np.linspace(90, 190, 101)  # 10th percentile 100
    for unit in ("F", None):
        np.testing.assert_allclose(as_dff(trace, unit), (trace - 100) / 100, atol=1e-12)
    np.testing.assert_array_equal(as_dff(trace, "dF/F"), trace)
    np.testing.assert_array_equal(as_dff(trace / 1000, None), trace / 1000)
    assert as_dff(trace, "competition") is None
    assert as_dff(trace - 200, "F") is None
    assert np.isnan(as_dff(np.full(5, np.nan), "dF/F")).all()


def test_smoothness_of_noise_and_of_what_was_done_to_it():
    noise = np.random.default_rng(0).normal(size=30_000)
    # The share of 30,000 dependent pairs scatters by 0.003.
    assert smoothness(noise) == pytest.approx(1 / 3, abs=0.015)
    for width in (3, 5, 10):
        averaged = np.convolve(noise, np.ones(width) / width, "valid")
        assert smoothness(averaged) == pytest.approx(1 / 2, abs=0.015)
    assert smoothness([0, 1, 2, 1, np.nan, 3, 4, 5]) == pytest.approx(2 / 3)
    assert np.isnan(smoothness(np.ones(100)))
    assert np.isnan(smoothness([1.0, 2.0]))


# Warnings


def test_a_good_recording_has_no_warning(good):
    assert warnings_of(good) == ()
    assert warnings_of(1000 * (1 + good), unit="F") == ()
    assert warnings_of(1000 * (1 + good)) == ()


def test_real_recordings_have_no_warning(real):
    values, rate = real
    assert warnings_of(values, rate, unit="dF/F") == ()


@pytest.mark.parametrize("dataset", ["DS09-GCaMP6f-m-V1", "DS19-jRCaMP1a-m-V1", "DS02-OGB1-2-m-V1"])
def test_other_real_recordings_have_no_warning(data, dataset):
    recordings = [t.recording for t in read_ground_truth(data / "ground_truth" / f"{dataset}.h5")]
    lines = [recording_warnings(each, trusts(each)) for each in recordings[:8]]
    # A single neuron may be odd; a warning is on the typical one.
    assert sum(map(bool, lines)) <= 2


def test_percent_for_fraction(good):
    (line,) = warnings_of(100 * good, unit="dF/F")
    assert "dF/F seems to be in percent" in line


def test_percent_for_fraction_in_real_recordings(data, real):
    values, rate = real
    (line,) = warnings_of(100 * values, rate, unit="dF/F")
    assert "dF/F seems to be in percent" in line
    for truth in read_ground_truth(data / "ground_truth" / "DS09-GCaMP6f-m-V1.h5")[:2]:
        percent = 100 * truth.recording.fluorescence
        assert any("percent" in line for line in warnings_of(percent, 60.1, unit="dF/F"))


def test_noisy_fluorescence_is_not_called_percent():
    dark = 5 + 3 * np.random.default_rng(0).normal(size=(FRAMES, 3))  # F0 near 1 after neuropil
    assert not any("percent" in line for line in warnings_of(dark, unit="F"))


def smoothed(values):
    return np.stack([np.convolve(trace, np.ones(5) / 5, "same") for trace in values.T], axis=1)


def upsampled(values):
    frames = np.arange(0, len(values) - 1, 0.5)
    return np.stack([np.interp(frames, np.arange(len(values)), t) for t in values.T], axis=1)


@pytest.mark.parametrize("change", [smoothed, upsampled])
def test_smoothed_input(change, good):
    assert any("smoothed, denoised or upsampled" in line for line in warnings_of(change(good)))


def test_smoothed_real_input(real):
    values, rate = real
    assert any("smoothed, denoised" in line for line in warnings_of(smoothed(values), rate))


def deconvolved(values):
    return np.where(np.random.default_rng(4).random(values.shape) < 0.05, np.abs(values), 0)


@pytest.mark.parametrize("change", [deconvolved, lambda values: np.repeat(values, 3, axis=0)])
def test_repeated_values(change, good):
    assert any("as they were in the one before" in line for line in warnings_of(change(good)))
    # Half of the values below 0 cut off, and a camera's whole numbers, are fluorescence still.
    noise = np.diff(good, axis=0).std(axis=0) / np.sqrt(2)
    for fine in (np.maximum(good - np.median(good), 0), np.round(good / noise), good):
        assert not any("the one before" in line for line in warnings_of(fine))


def test_denoised_input():
    """Exponentials after sharp rises, without noise, as a deconvolution's calcium."""
    denoised = np.zeros((FRAMES, 4))
    for neuron, trace in enumerate(denoised.T):
        rises = np.random.default_rng(neuron).random(FRAMES) < 0.02
        for frame in range(1, FRAMES):
            trace[frame] = 0.95 * trace[frame - 1] + rises[frame]
    assert any("smoothed, denoised or upsampled" in line for line in warnings_of(denoised))
    noisy = denoised + 0.1 * np.random.default_rng(9).normal(size=denoised.shape)
    assert not any("smoothed" in line for line in warnings_of(noisy))


def test_transposed_array(good):
    lines = warnings_of(good[:40].T, orientation="time-neuron")
    assert any("40 neurons of 6 frames each: is the array transposed" in line for line in lines)
    assert not any("transposed" in line for line in warnings_of(good))


def test_a_frame_rate_ten_times_too_low(good):
    """Then everything is ten times too slow."""
    lines = warnings_of(good, RATE / 10)
    assert any("faster or slower than any in training: is the frame rate 3 Hz" in x for x in lines)


def test_a_frame_rate_ten_times_too_low_for_real_recordings(real):
    values, rate = real
    assert any("faster or slower than any in tr" in line for line in warnings_of(values, rate / 10))


def test_a_frame_rate_ten_times_too_high_is_seldom_noticed(real):
    """Some training traces change as fast, so that there is no such warning to be had."""
    values, rate = real
    assert not any("faster or slower" in line for line in warnings_of(values, 10 * rate))


def test_a_common_signal(good):
    common = np.random.default_rng(5).normal(size=(FRAMES, 1)) * good.std()
    lines = warnings_of(good + 2 * common)
    assert any("the neurons move together (median correlation 0." in line for line in lines)
    assert any("has neuropil been subtracted, and motion been corrected?" in line for line in lines)
    # Two neurons may well fire together.
    assert not any("move together" in line for line in warnings_of((good + 2 * common)[:, :2]))


def test_a_short_recording(good):
    assert any("only 20.0 s in all: too little" in line for line in warnings_of(good[:600]))
    assert not any("too little" in line for line in warnings_of(good[:1000]))


def test_a_raw_recording_as_the_competitions_form(good):
    form = np.stack([preprocess(trace, RATE) for trace in good.T], axis=1)
    assert warnings_of(form, 100, unit="competition") == ()
    form[-500:, 2] = np.nan  # shorter neurons end so
    form[:, 4] = np.nan
    assert warnings_of(form, 100, unit="competition") == ()
    for raw in (1000 * (1 + good), good):
        (line, *_) = warnings_of(raw, 100, unit="competition")
        assert "does not look like the competition's preprocessed form" in line


def test_missing_values_and_empty_neurons_are_counted(good):
    values = good.copy()
    values[100:105, 0] = np.nan
    values[200:260, 1] = np.nan
    assert warnings_of(values) == (
        "missing values: 5 were interpolated, 60 inside longer gaps are left empty",
    )
    values[:, 2], values[:, 3] = np.nan, 1.0
    empty, missing = warnings_of(values)
    assert empty == "2 of 6 neurons have no signal at all: empty, constant or short"
    assert missing.startswith("missing values: 5 were interpolated, 60 inside")


# Words


GOOD = NeuronQuality("7", 1.0, 0.5, "height", 0.95, 0, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"noise_level": 5.1}, "noisy"),
        ({"noise_level": float("nan")}, ""),
        ({"distance": FAR + 0.1, "feature": "memory"}, "unlike training (memory)"),
        ({"certainty": 0.7}, "depends on the dataset ID"),
        ({"certainty": float("nan")}, ""),
        ({"certainty": AGREEMENT.limit - 0.004}, ""),  # it is shown as the limit
        ({"noise_level": NOISY + 0.004, "distance": FAR + 0.004}, ""),
        (
            {"noise_level": 9.0, "distance": 2.0, "certainty": 0.1},
            "noisy, unlike training (height), depends on the dataset ID",
        ),
        ({"noise_level": 9.0, "distance": float("nan")}, "no signal"),
    ],
)
def test_verdict(change, words):
    assert verdict(dataclasses.replace(GOOD, **change), AGREEMENT) == words


def test_table():
    odd = NeuronQuality("a b", float("nan"), float("nan"), "", float("nan"), 3, 4)
    header, first, second, words = quality_table(Quality((GOOD, odd), (), AGREEMENT)).splitlines()
    for word in ("noise level", "distance", "agreement", "missing"):
        assert word in words
    assert header.split() == ["neuron", "noise", "level", "distance", "agreement", "missing"]
    assert first.split() == ["7", "1.00", "0.50", "0.95", "0"]
    assert second.split() == ["a", "b", "-", "-", "-", "7", "no", "signal"]


def test_a_table_of_rates_with_a_unit():
    known = dataclasses.replace(GOOD, rate=0.824, rate_low=0.349, rate_high=1.9)
    header, first, second, words = quality_table(Quality((known, GOOD), (), EXPECTED)).splitlines()
    assert header.split()[:3] == ["neuron", "spikes/s", "noise"]
    assert first.split()[:5] == ["7", "0.82", "(0.35", "to", "1.90)"]
    assert second.split()[:3] == ["7", "-", "1.00"]
    assert words.startswith("mean rate with its 80% interval; ")


def test_a_table_of_many_neurons_has_the_worst():
    neurons = [dataclasses.replace(GOOD, name=f"n{k}") for k in range(SHOWN + 5)]
    bad = {
        "noise_level": 30.0,
        "distance": 4.0,
        "certainty": 0.3,
    }
    for place, (kind, value) in zip((7, SHOWN, SHOWN + 4), bad.items(), strict=True):
        neurons[place] = dataclasses.replace(neurons[place], **{kind: value})
    neurons[11] = dataclasses.replace(neurons[11], distance=float("nan"))
    lines = quality_table(Quality(tuple(neurons), (), AGREEMENT)).splitlines()
    assert len(lines) == 1 + SHOWN + 2
    assert [line.split()[0] for line in lines[1:5]] == ["n11", "n7", "n20", "n24"]
    assert (
        lines[-2]
        == f"the worst {SHOWN} of {SHOWN + 5}; 5 more are better, and --report shows them all"
    )
    few = quality_table(Quality(tuple(neurons[:SHOWN]), (), AGREEMENT)).splitlines()
    assert [line.split()[0] for line in few[1:-1]] == [f"n{k}" for k in range(SHOWN)]


# Warnings that can be believed


def test_signal_of_slow_recordings_is_no_mistake(data):
    """Real recordings as a microscope of 2 or 5 Hz would have seen them."""
    for name in ("DS09-GCaMP6f-m-V1.h5", "DS16-GCaMP6s-m-V1.h5"):
        for rate in (2, 5):
            traces = []
            for truth in read_ground_truth(data / "ground_truth" / name)[:9]:
                trace = truth.recording.fluorescence[:, 0]
                step = round(truth.recording.frame_rate / rate)
                traces.append(trace[: len(trace) // step * step].reshape(-1, step).mean(axis=1))
            shortest = min(map(len, traces))
            values = np.stack([trace[:shortest] for trace in traces], axis=1)
            lines = warnings_of(5 * values, rate, unit="dF/F")  # a strong indicator
            assert not [line for line in lines if "percent" in line or "smoothed" in line], lines
            assert any("percent" in line for line in warnings_of(300 * values, rate, unit="dF/F"))


def test_no_training_trace_is_unlike_training(data):
    for number in (4, 5, 6):
        calcium, _ = read_set(data, "train", number)
        for trace in calcium.T:
            far, feature = distance(trace[np.isfinite(trace)])
            assert far <= FAR, (number, feature)
    for name in ("DS09-GCaMP6f-m-V1", "DS14-GCaMP6s-m-V1"):
        for truth in read_ground_truth(data / "ground_truth" / f"{name}.h5"):
            trace = np.concatenate([t[:, 0] for t in prepare(truth.recording)])
            assert distance(trace[np.isfinite(trace)])[0] <= FAR


@pytest.mark.parametrize("height", [8.0, -0.9])
def test_flashes_and_dark_frames_are_no_neuropil(good, height):
    values = 1 + good
    frames = np.random.default_rng(0).choice(len(values), 120, replace=False)
    values[frames] += height
    lines = warnings_of(values)
    (jumps,) = [line for line in lines if "nearly all neurons jump at once" in line]
    assert 100 <= int(jumps.split()[1]) <= 120
    assert not any("move together" in line for line in lines)
    # Neuropil is still called so.
    common = np.cumsum(np.random.default_rng(1).normal(size=len(values)))[:, None]
    lines = warnings_of(1 + good + 0.05 * common)
    assert any("move together" in line for line in lines)
    assert not any("jump" in line for line in lines)


def walk_of_steps(correlation, neurons=5, frames=8_000):
    """Traces whose frame-to-frame changes correlate so with the next: with the share
    1/2 + asin(correlation) / pi they go on in one direction."""
    rng = np.random.default_rng(3)
    steps = rng.normal(size=(frames, neurons))
    for k in range(1, frames):
        steps[k] = correlation * steps[k - 1] + np.sqrt(1 - correlation**2) * steps[k]
    return np.cumsum(steps, axis=0)


@pytest.mark.parametrize(
    ("rate", "share", "smooth"),
    [(30, 0.43, False), (30, 0.47, True), (5, 0.68, False), (5, 0.72, True), (11.9, 0.47, False)],
)
def test_how_smooth_a_trace_may_be(rate, share, smooth):
    """0.45 of the changes, of recordings slower than 12 Hz 0.7; 8,000 of them scatter by 0.006."""
    traces = walk_of_steps(np.sin(np.pi * (share - 0.5)))
    assert np.median([smoothness(trace) for trace in traces.T]) == pytest.approx(share, abs=0.015)
    assert any("smoothed" in line for line in warnings_of(traces, rate, unit="dF/F")) == smooth


@pytest.mark.parametrize(("level", "line"), [(19.0, False), (21.0, True)])
def test_percent_is_a_noise_level_above_20(level, line):
    """The median step of Gaussian noise is 0.6745 sqrt(2) of its spread."""
    noise = np.random.default_rng(4).normal(size=(FRAMES, 5))
    trace = noise * level / 100 * np.sqrt(RATE) / (0.67449 * np.sqrt(2))
    assert any("percent" in text for text in warnings_of(trace, unit="dF/F")) == line


@pytest.mark.parametrize(("height", "line"), [(9.0, False), (11.0, True)])
def test_percent_of_slow_recordings_must_be_high_too(height, line):
    rng = np.random.default_rng(5)
    values = rng.normal(size=(1_000, 5))
    values[rng.random((1_000, 5)) < 0.05] += height
    values *= height / np.median(np.percentile(values, 99, axis=0) - np.median(values, axis=0))
    assert any("percent" in text for text in warnings_of(values, 2.0, unit="dF/F")) == line


@pytest.mark.parametrize(("share", "line"), [(0.45, False), (0.55, True)])
def test_neurons_move_together_above_a_half(share, line):
    rng = np.random.default_rng(6)
    common = rng.normal(size=(FRAMES, 1))
    values = np.sqrt(share) * common + np.sqrt(1 - share) * rng.normal(size=(FRAMES, 6))
    assert any("move together" in text for text in warnings_of(values, unit="dF/F")) == line


@pytest.mark.parametrize(("seconds", "line"), [(29, True), (31, False)])
def test_thirty_seconds_are_enough(seconds, line, good):
    short = good[: int(seconds * RATE)]
    assert any("too little" in text for text in warnings_of(short)) == line


def test_a_high_baseline_is_fluorescence():
    """Where nobody says what it is: with a tenth percentile above a half."""
    trace = np.linspace(0, 1, 101)
    for low, relative in ((0.35, True), (0.45, False)):
        found = as_dff(trace + low, None)
        assert np.array_equal(found, trace + low) == relative


def test_limits_of_the_verdicts():
    """Those that the text below the table states."""
    assert (NOISY, FAR, AGREEMENT.limit, EXPECTED.limit) == (5.0, 1.05, 0.8, 0.3)
    assert verdict(dataclasses.replace(GOOD, certainty=0.29), EXPECTED) == "uncertain"
