"""The recipe of `universal`: loss by hand, windows, delays, a run that is killed and resumed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

import spikefinder_keras.training.universal as training
from spikefinder_keras.cli import _parser
from spikefinder_keras.errors import TrainingError, UsageError
from spikefinder_keras.network import predict
from spikefinder_keras.network.engine import KerasEngine
from spikefinder_keras.network.keras_model import build_universal
from spikefinder_keras.network.predict import UNIVERSAL_ONSET as ONSET
from spikefinder_keras.network.predict import predict_steps
from spikefinder_keras.network.weights import find_weights
from spikefinder_keras.recordings.calibration import (
    TERMS,
    calibration_path,
    load_calibration,
    signal_share,
)
from spikefinder_keras.recordings.universal import Scales, prepare_trace
from spikefinder_keras.training.neurons import TrainingNeuron
from spikefinder_keras.training.universal import (
    DELAYS,
    UniversalSettings,
    draw_window,
    shift_curve,
    train_universal,
    universal_loss,
)

TINY = UniversalSettings(
    steps=4, neurons=2, windows=2, window=64, simulated_neurons=3, width=4, align_at=(0.5,)
)


def neuron(group="a", seconds=30.0, seed=0):
    rng = np.random.default_rng(seed)
    spikes = rng.poisson(0.02, int(seconds * 100)).astype(float)
    kernel = np.exp(-np.arange(100) / 30.0)
    trace, scales = prepare_trace(
        np.convolve(spikes, kernel)[: spikes.size] + 0.1 * rng.normal(size=spikes.size), 100.0
    )
    return TrainingNeuron(group, [trace], [scales], [spikes])


def test_loss_by_hand():
    settings = UniversalSettings(windows=2, window=16, smoothed=0.0)
    truth = np.zeros((2, 16, 1), np.float32)
    rates = np.zeros((2, 16, 1), np.float32)
    truth[0, :4, 0] = (1, 0, 2, 0)
    rates[0, :4, 0] = (2, 1, 0, 0)
    truth[1, 8:, 0] = -1.0  # missing
    rates[1, 8:, 0] = 100.0
    x, y = np.zeros(24), np.zeros(24)
    x[:4], y[:4] = (1, 0, 2, 0), (2, 1, 0, 0)
    r = np.corrcoef(x, y)[0, 1]
    assert float(universal_loss(settings)(truth, rates)) == pytest.approx(1 - r, abs=1e-5)


def test_the_smoothed_part_of_the_loss():
    """Of truth and rates that are a step apart; what is missing counts as 0, and not at all."""
    rng = np.random.default_rng(0)
    truth = rng.poisson(0.1, 512).astype(np.float32)
    rates = np.roll(truth, 1)
    truth[500:] = -1.0
    known = truth >= 0
    spread = 0.2 * 25
    r = [np.corrcoef(truth[known], rates[known])[0, 1]]
    smooth = [
        gaussian_filter1d(x * known, spread, mode="constant", truncate=3) for x in (truth, rates)
    ]
    r.append(np.corrcoef(*(x[known] for x in smooth))[0, 1])
    settings = UniversalSettings(windows=1, window=512, smoothed=0.3)
    loss = float(universal_loss(settings)(truth[None, :, None], rates[None, :, None]))
    # The kernel is summed in float32.
    assert loss == pytest.approx(0.7 * (1 - r[0]) + 0.3 * (1 - r[1]), abs=1e-4)


def test_windows_overhang_a_short_recording():
    short = neuron(seconds=2.0)
    for seed in range(5):
        inputs, truth = draw_window(short, 0.0, steps=128, rng=np.random.default_rng(seed))
        known = truth >= 0
        assert known.sum() == 50
        assert truth[known].sum() == short.spikes[0].sum()
        assert not inputs[~known].any()


def test_windows_hold_the_spikes_of_their_place():
    long = neuron()
    whole = long.spikes[0].reshape(-1, 4).sum(axis=1)
    _, truth = draw_window(long, 0.0, steps=64, rng=np.random.default_rng(0))
    assert truth.sum() <= whole.sum()
    assert (truth >= 0).all()


def test_the_shift_that_fits_best_is_the_delay():
    spikes = neuron().spikes[0]
    late = np.roll(spikes, 8).reshape(-1, 4).sum(axis=1)
    curve = shift_curve([late], [spikes])
    assert DELAYS[curve.argmax()] == pytest.approx(0.08)


@pytest.mark.parametrize("at_a_time", [predict.STEPS_AT_A_TIME, 1])
def test_a_prediction_does_not_depend_on_what_else_is_predicted(monkeypatch, at_a_time):
    monkeypatch.setattr(predict, "STEPS_AT_A_TIME", at_a_time)  # 1: more batches
    network = KerasEngine(build_universal(width=4))
    rng = np.random.default_rng(0)
    first, long, second = (rng.normal(size=(n, 4)).astype(np.float32) for n in (40, 700, 40))
    alone = predict_steps(network, [second])[0]
    together = predict_steps(network, [first, long, second])[2]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 3, 5, 6, 40])
def test_the_start_of_a_trace_is_held(steps):
    """There the network sees the zeros before it."""
    network = KerasEngine(build_universal(width=4))
    inputs = np.random.default_rng(0).normal(size=(steps, 4)).astype(np.float32)
    (found,) = predict_steps(network, [inputs])
    assert found.shape == (steps,)
    assert np.ptp(found[: ONSET + 1]) == 0
    assert steps <= ONSET + 1 or np.ptp(found) > 0


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 1)
    neurons = [neuron("a"), neuron("b", seed=1)]
    whole = train_universal(neurons, tmp_path / "whole", TINY)

    class Killed(Exception):
        pass

    save = training._save_state

    def save_and_die(run):
        save(run)
        if run.done == 3:
            raise Killed

    monkeypatch.setattr(training, "_save_state", save_and_die)
    with pytest.raises(Killed):
        train_universal(neurons, tmp_path / "killed", TINY)
    monkeypatch.setattr(training, "_save_state", save)
    lines = []
    resumed = train_universal(neurons, tmp_path / "killed", TINY, say=lines.append)
    assert "after step 3 of 4" in lines[0]
    assert resumed.delays == whole.delays
    for first, second in zip(
        whole.network.get_weights(), resumed.network.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(first, second)
    assert (tmp_path / "killed" / "universal.weights.h5").stat().st_size < 1_000_000
    assert json.loads((tmp_path / "killed" / "delays.json").read_text()) == whole.delays
    assert len((tmp_path / "killed" / "log.csv").read_text().splitlines()) == 5
    other = UniversalSettings(**{**vars(TINY), "seed": 1})
    with pytest.raises(TrainingError, match="seed 0, not 1"):
        train_universal(neurons, tmp_path / "killed", other)


@pytest.mark.parametrize("changed", ["spikes", "traces", "one neuron less", "group"])
def test_a_run_goes_on_with_its_own_recordings_alone(changed, tmp_path, monkeypatch):
    """Whatever others are called."""
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 1)
    neurons = [neuron("a"), neuron("a", seed=1)]
    train_universal(neurons, tmp_path, TINY)
    if changed == "spikes":
        neurons[1].spikes[0] = np.roll(neurons[1].spikes[0], 1)
    elif changed == "traces":
        neurons[1].traces[0] = neurons[1].traces[0] + 1e-9
    elif changed == "group":
        neurons[1] = replace(neurons[1], group="b")
    else:
        del neurons[1]
    with pytest.raises(TrainingError, match="learns from other data; name another folder"):
        train_universal(neurons, tmp_path, TINY)


def test_nothing_to_learn_from(tmp_path):
    silent = neuron()
    silent.spikes[0][:] = 0
    with pytest.raises(TrainingError, match="no neuron has a spike"):
        train_universal([silent], tmp_path, TINY)
    with pytest.raises(UsageError, match="window cannot be 100"):
        UniversalSettings(window=100)


def test_a_run_of_too_few_steps_says_so(tmp_path, monkeypatch):
    """What was measured of rates that follow nothing is no number, and no file of it is left."""
    shipped = load_calibration(calibration_path(find_weights("universal")))
    nothing = replace(shipped, rates=replace(shipped.rates, terms=(np.nan,) * TERMS))
    monkeypatch.setattr(training.neurons, "ground_truth_neurons", lambda folder: [neuron()])
    monkeypatch.setattr(training.calibrate, "fit_calibration", lambda *_: nothing)
    with pytest.raises(TrainingError, match=r"after 4 steps .* no credible number.*--steps"):
        training.train_on_ground_truth(tmp_path, None, tmp_path / "run", settings=TINY)
    assert not list(tmp_path.rglob("*.calibration.json"))


def test_the_commands_defaults_are_the_settings():
    arguments = _parser().parse_args(["train-universal", "--ground-truth", "."])
    assert (arguments.steps, arguments.seed) == (UniversalSettings.steps, UniversalSettings.seed)


@pytest.mark.parametrize("seconds", [30.0, 120.0])
@pytest.mark.parametrize("rate", [7.8, 30.0, 200.0])
def test_noise_of_any_level_has_no_share_of_signal(rate, seconds):
    rng = np.random.default_rng(0)
    shares = []
    for level in (0.001, 1.0, 1_000.0):
        for _ in range(5):
            _, scales = prepare_trace(level * rng.normal(size=int(rate * seconds)), rate)
            shares.append(signal_share(scales.clarity, seconds))
    assert np.mean(shares) < 0.02
    assert signal_share(neuron().scales[0].clarity, 30.0) > 0.5


def test_a_window_reads_the_trace_later_by_the_delay():
    """Of a trace that rises by 0.001 in a sample and is in units of its spread: 0.008 in 80 ms."""
    scales = Scales(noise=1.0, baseline=0.0, spread=1.0)
    ramp = TrainingNeuron("a", [0.001 * np.arange(4_000)], [scales], [np.zeros(4_000)])
    now, later, earlier = (
        draw_window(ramp, delay, steps=64, rng=np.random.default_rng(3))[0]
        for delay in (0.0, 0.08, -0.12)
    )
    np.testing.assert_allclose(later[:, 2:] - now[:, 2:], 0.008, atol=1e-6)
    np.testing.assert_allclose(earlier[:, 2:] - now[:, 2:], -0.012, atol=1e-6)


def test_a_window_holds_the_spikes_of_its_own_samples():
    """Trace and spikes of the sample's number: each step's spikes are those of its two means."""
    scales = Scales(noise=1.0, baseline=0.0, spread=1_000.0)
    count = np.arange(4_000.0)
    numbered = TrainingNeuron("a", [count], [scales], [count])
    for seed in range(4):
        inputs, truth = draw_window(numbered, 0.0, steps=64, rng=np.random.default_rng(seed))
        np.testing.assert_allclose(2_000 * inputs[:, 2:].sum(axis=1), truth, rtol=1e-5)


def test_every_second_of_a_neuron_comes_as_often():
    scales = Scales(noise=1.0, baseline=0.0, spread=1.0)
    traces, spikes = [np.zeros(1_000), np.ones(9_000)], [np.zeros(1_000), np.ones(9_000)]
    two = TrainingNeuron("a", traces, [scales] * 2, spikes)
    rng = np.random.default_rng(0)
    long = [draw_window(two, 0.0, steps=64, rng=rng)[1].max() > 0 for _ in range(1_000)]
    assert np.mean(long) == pytest.approx(0.9, abs=0.03)  # the share of 1,000 scatters by 0.01


def test_each_set_has_the_delay_that_fits_its_neurons_best(monkeypatch):
    """As mean over its neurons, of which one is outnumbered."""
    neurons = [neuron(group, seed=k) for k, group in enumerate("aabbb")]
    shifts = [8, 8, -4, -4, 12]
    outputs = [
        [np.roll(n.spikes[0], shift).reshape(-1, 4).sum(axis=1)]
        for n, shift in zip(neurons, shifts, strict=True)
    ]
    monkeypatch.setattr(training.calibrate, "network_outputs", lambda engine, given: outputs)
    delays = training.align(None, neurons)
    assert delays == {"a": pytest.approx(0.08), "b": pytest.approx(-0.04)}


def run_of(groups, simulated=(), share=0.25):
    settings = replace(TINY, simulated=share, neurons=200)
    neurons = [neuron(group, seconds=10.0, seed=k) for k, group in enumerate(groups)]
    return training.UniversalRun(
        None, settings, neurons, simulated, None, {n.group: 0.0 for n in neurons}
    )


def test_neurons_come_evenly_and_a_quarter_is_simulated():
    """Of 200 neurons in a batch; set b has one of six neurons, the simulation is marked by 7."""
    marked = np.zeros((1, 2, 64, 4), np.float32), np.full((1, 2, 64), 7.0, np.float32)
    run = run_of("aaaaab", marked)
    run.neurons[-1].spikes[0][:] = 1.0  # four in each step, where nobody else has so many
    _, truth = training._batch(run, np.random.default_rng(0))
    rows = truth.reshape(200, -1)
    assert np.mean(rows.min(axis=1) == 7) == pytest.approx(0.25, abs=0.09)  # three of its spreads
    assert np.mean(np.median(rows, axis=1) == 4) == pytest.approx(0.125, abs=0.07)


def test_a_simulated_window_has_the_spikes_of_its_trace():
    """What is simulated is read as a recording is: transients follow the spikes at once."""
    settings = replace(TINY, simulated_neurons=6, windows=4, window=256)
    inputs, spikes = training.simulated_windows(settings, [])
    assert inputs.shape == (6, 4, 256, 4)
    assert spikes.shape == (6, 4, 256)
    found = []
    for trace, truth in zip(inputs.reshape(6, -1, 4), spikes.reshape(6, -1), strict=True):
        shifts = [
            np.corrcoef(np.roll(truth, k), trace[:, 2:].mean(axis=1))[0, 1] for k in range(-3, 9)
        ]
        found.append(int(np.argmax(shifts)) - 3)
    assert 0 <= np.median(found) <= 4
