"""Training: the released run's arithmetic, resumption, and what it refuses."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import keras
import numpy as np
import pytest

from spikefinder_keras.cli import main
from spikefinder_keras.competition.tables import write_csv
from spikefinder_keras.errors import (
    DataError,
    OutputError,
    TrainingError,
    UsageError,
    WeightsError,
)
from spikefinder_keras.files.atomic import hash_of
from spikefinder_keras.network import keras_model as network_module
from spikefinder_keras.network.keras_model import build_network, load_network
from spikefinder_keras.network.weights import read_weights
from spikefinder_keras.training import convi6 as training
from spikefinder_keras.training.convi6 import (
    Settings,
    compile_network,
    log_for_tensorboard,
    resume,
    train,
)
from spikefinder_keras.training.losses import pearson_loss
from spikefinder_keras.training.runs import write_config
from spikefinder_keras.training.traces import Traces, read_traces

RATES = {"epochs": 2, "batch": 2}  # two whole batches of one shape, traced once
KILLS = int(os.environ.get("SPIKEFINDER_KILLS", "10"))


def write_set(folder, number, calcium, spikes=None):
    (folder / "spikefinder.train").mkdir(exist_ok=True, parents=True)
    for kind, table in (("calcium", calcium), ("spikes", spikes)):
        if table is not None:
            write_csv(folder / "spikefinder.train" / f"{number}.train.{kind}.csv", table)


def tables(samples=400, neurons=3, seed=0):
    """Calcium `(time, neuron)` that follows the spikes of the same shape."""
    rng = np.random.default_rng(seed)
    spikes = rng.poisson(0.05, (samples, neurons)).astype(float)
    kernel = np.exp(-np.arange(60) / 20)
    calcium = np.stack([np.convolve(s, kernel)[:samples] for s in spikes.T], axis=1)
    return calcium + 0.1 * rng.normal(size=calcium.shape), spikes


@pytest.fixture
def small(tmp_path):
    """Two sets, 3 + 2 neurons of 400 and 500 samples."""
    write_set(tmp_path / "data", 4, *tables())
    write_set(tmp_path / "data", 9, *tables(500, 2, seed=1))
    return tmp_path / "data"


def loss_and_gradients(network, inputs, truth):
    """The loss of a batch and its gradients by every weight."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = pearson_loss(truth, network(inputs))
        variables = [variable.value for variable in network.trainable_variables]
        return float(loss), [g.numpy() for g in tape.gradient(loss, variables)]
    import jax

    variables = [variable.value for variable in network.trainable_variables]
    others = [variable.value for variable in network.non_trainable_variables]

    def total(variables):
        return pearson_loss(truth, network.stateless_call(variables, others, inputs)[0])

    loss, gradients = jax.value_and_grad(total)(variables)
    return float(loss), [np.asarray(gradient) for gradient in gradients]


def state(network):
    return [np.asarray(variable) for variable in (*network.variables, *network.optimizer.variables)]


def test_defaults_are_the_released_run():
    settings = Settings()
    assert (settings.batch, settings.epochs, settings.validation) == (5, 50, 0.2)
    network = build_network("released")
    compile_network(network, settings)
    adam = network.optimizer.get_config()
    assert {name: adam[name] for name in ("beta_1", "beta_2", "epsilon")} == {
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-8,
    }
    assert adam["learning_rate"] == pytest.approx(1e-3)
    assert (settings.weighting, settings.few_data_weight) == ("batch", 2.5)


def test_139_traces_train_and_35_validate():
    """The competition's 174 traces in stacking order, cut as Keras cuts validation_split=0.2."""
    traces = Traces([np.zeros(1)] * 174, [np.zeros(1)] * 174, None, None, 1, None)
    assert training.Run(None, Settings(), traces, None).training == 139


def test_traces_in_stacking_order_with_the_released_weights(small):
    traces = read_traces(small)
    np.testing.assert_array_equal(traces.numbers, [4, 4, 4, 9, 9])
    np.testing.assert_allclose(traces.weights, np.array([2.5, 2.5, 2.5, 1, 1]) / 1.9)
    assert [len(trace) for trace in traces.calcium] == [400, 400, 400, 500, 500]
    assert traces.longest == 71_986


@pytest.fixture
def float64(monkeypatch):
    """Networks built meanwhile compute in float64, and so do losses."""
    monkeypatch.setattr(network_module, "DTYPE", "float64")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="Keras's tanh on JAX is float32")
def test_trimmed_batches_give_the_same_loss_and_gradients(small, float64):
    """Padding beyond 3,000 samples changes nothing: against the padding of the released run.

    Nor may it shift the loss's windows of four: 71,986 leaves a remainder of two. In float64, so
    that only what the network forgets is left, not round-off; without dropout, as its random masks
    depend on the length.
    """
    traces = read_traces(small)
    keras.utils.set_random_seed(0)
    network = build_network("described", dropout=())
    results = []
    for trim in (True, False):
        inputs, truth, _ = traces.batch(np.array([0, 3, 4]), trim)
        assert inputs[0].shape[1] == (4_098 if trim else 71_986)
        results.append(loss_and_gradients(network, inputs, truth))
    (short, short_gradients), (full, full_gradients) = results
    assert short == pytest.approx(full, abs=1e-10)
    for one, other in zip(short_gradients, full_gradients, strict=True):
        assert np.abs(one - other).max() <= 1e-8 * np.abs(other).max()


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() == "jax", reason="Keras's tanh on JAX is float32")
def test_loss_curve_of_the_stock_layer(small, float64, monkeypatch):
    """Thirty steps from the same start in the same order, without dropout: within 1e-4.

    In float64: an untrained network's rates are almost flat, so that the correlation and Adam's
    first steps magnify float32's round-off to 1e-3 within a few steps, with either layer.
    """
    traces = read_traces(small)
    inputs, truth, weights = traces.batch(np.arange(5))
    curves = []
    for layer in (keras.layers.Bidirectional, network_module.Bidirectional):
        monkeypatch.setattr(network_module, "Bidirectional", layer)
        keras.utils.set_random_seed(0)
        network = build_network("released", dropout=())
        compile_network(network, Settings())
        assert type(network.get_layer("bidirectional")) is layer
        losses = []
        for _ in range(30):
            network.reset_metrics()
            losses.append(network.train_on_batch(inputs, truth, sample_weight=weights))
        curves.append(np.array(losses, float))
    stock, fast = curves
    assert stock[-1] < stock[0] - 0.01  # it has learnt something to disagree about
    assert np.abs(fast - stock).max() <= 1e-4


def test_a_run_leaves_everything_behind(small, tmp_path):
    lines = []
    run = train(small, tmp_path / "run", Settings(**RATES), say=lines.append)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {
        "config.json",
        "log.csv",
        "checkpoint.npz",
        "best.weights.h5",
        "last.weights.h5",
        "curves.png",
    } <= names
    assert not [name for name in names if name.startswith(".partial")]
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert log[0] == "epoch,loss,validation,seconds"
    assert len(log) == 3
    assert json.loads((tmp_path / "run" / "config.json").read_text())["epsilon"] == 1e-8
    assert load_network(tmp_path / "run" / "last.weights.h5").name == "convi6_described"
    assert "trained 2 epochs on 4 traces" in lines[-1]
    assert run.best in (1, 2)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the log needs TensorFlow")
def test_tensorboard_log_has_every_epoch(small, tmp_path):
    from tensorflow import make_ndarray
    from tensorflow.core.util import event_pb2
    from tensorflow.data import TFRecordDataset

    run = train(small, tmp_path / "run", Settings(**RATES))
    found = {}
    for path in (tmp_path / "run" / "tensorboard").iterdir():
        for record in TFRecordDataset(str(path)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                found[value.tag, event.step] = float(make_ndarray(value.tensor))
    for row in run.history:
        assert found["loss", row["epoch"]] == pytest.approx(row["loss"])


@pytest.mark.slow
def test_same_seed_same_weights_and_another_seed_others(small, tmp_path):
    runs = [
        train(small, tmp_path / f"run{k}", Settings(**RATES, seed=seed))
        for k, seed in enumerate((1, 1, 2))
    ]
    for one, other in zip(state(runs[0].network), state(runs[1].network), strict=True):
        np.testing.assert_array_equal(one, other)
    kernels = [run.network.get_layer("convolution_1").get_weights()[0] for run in runs]
    assert not np.array_equal(kernels[0], kernels[2])


class Killed(BaseException):
    """Stands for the process's end."""


@pytest.mark.parametrize("weighting", ["batch", pytest.param("trace", marks=pytest.mark.slow)])
def test_resumed_run_ends_bit_for_bit_as_the_uninterrupted(small, tmp_path, monkeypatch, weighting):
    settings = Settings(epochs=3, batch=3, weighting=weighting)
    whole = train(small, tmp_path / "whole", settings)

    def killed_in_third(run, epoch, shown, original=training._train_epoch):
        if epoch == 3:
            raise Killed
        return original(run, epoch, shown)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training, "_train_epoch", killed_in_third)
        train(small, tmp_path / "cut", settings)
    resumed = resume(tmp_path / "cut")
    for one, other in zip(state(whole.network), state(resumed.network), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("best.weights.h5", "last.weights.h5"):
        one, other = (read_weights(tmp_path / run / name) for run in ("whole", "cut"))
        assert all(np.array_equal(one[weight], other[weight]) for weight in one)
    without_times = [
        [line.rsplit(",", 1)[0] for line in (tmp_path / run / "log.csv").read_text().splitlines()]
        for run in ("whole", "cut")
    ]
    assert without_times[0] == without_times[1]


@pytest.mark.slow
def test_kill_9_ten_times(small, tmp_path):
    """Killed at random moments until it is through, again and again; `attacks/kills.py` kills more.

    Here the network is the real one, in a process of its own.
    """
    draw = random.Random(0)
    command = [sys.executable, "-m", "spikefinder_keras", "train", "--quiet"]
    options = ["--data", str(small), "--epochs", "4", "--batch", "2"]
    whole = tmp_path / "whole"
    subprocess.run([*command, *options, "--out", whole], check=True, stdout=subprocess.DEVNULL)
    expected = read_weights(whole / "last.weights.h5")
    kills = rounds = 0
    while kills < KILLS:
        rounds += 1
        run = tmp_path / f"run{rounds}"
        while True:
            if (run / "config.json").exists():
                arguments = [*command, "--resume", run]
            else:
                arguments = [*command, *options, "--out", run]
            child = subprocess.Popen(
                arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            wait_for_training(child, run, draw)
            if child.poll() is None and kills < KILLS:
                child.send_signal(signal.SIGKILL)
                kills += 1
            _, errors = child.communicate()
            assert child.returncode in (0, -signal.SIGKILL), errors
            if child.returncode == 0:
                break
        found = read_weights(run / "last.weights.h5")
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


def wait_for_training(child, run, draw):
    """Until a random moment after the run has begun: mostly while it trains or writes."""
    while child.poll() is None and not (run / "config.json").exists():
        time.sleep(0.01)
    time.sleep(draw.choice([0.0, draw.uniform(0, 8), draw.uniform(3, 5)]))


@pytest.mark.slow
def test_killed_while_writing_keeps_the_last_whole_epoch(small, tmp_path, monkeypatch):
    """The checkpoint is replaced as one file: a kill before the rename leaves the previous one."""
    settings = Settings(epochs=2, batch=3)
    whole = train(small, tmp_path / "whole", settings)
    original, calls = np.savez, []

    def killed_in_second(file, **arrays):
        calls.append(1)
        if len(calls) == 2:
            file.write(b"half a check")
            raise Killed
        original(file, **arrays)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(np, "savez", killed_in_second)
        train(small, tmp_path / "cut", settings)
    resumed = resume(tmp_path / "cut")
    for one, other in zip(state(whole.network), state(resumed.network), strict=True):
        np.testing.assert_array_equal(one, other)


def test_disk_full_is_one_error_and_the_run_resumes(small, tmp_path, monkeypatch):
    settings = Settings(**RATES)

    def full(descriptor):
        raise OSError(28, os.strerror(28))

    original = training._train_epoch

    def full_after_first(run, epoch, shown):
        if epoch == 2:
            patch.setattr(os, "fsync", full)
        return original(run, epoch, shown)

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="No space left"):
        patch.setattr(training, "_train_epoch", full_after_first)
        train(small, tmp_path / "run", settings)
    assert len(resume(tmp_path / "run").history) == 2


def test_resume_refuses_what_would_be_another_run(small, tmp_path):
    train(small, tmp_path / "run", Settings(**RATES))
    with pytest.raises(TrainingError, match=r"has epochs 2, not 1; .* name more of them"):
        resume(tmp_path / "run", changed={"epochs": 1})
    with pytest.raises(TrainingError, match="has seed 0, not 1; resume it without that option, or"):
        resume(tmp_path / "run", changed={"seed": 1, "epochs": 3})
    write_set(tmp_path / "other", 4, *tables(seed=9))
    with pytest.raises(TrainingError, match="are not those the run began with"):
        resume(tmp_path / "run", data=tmp_path / "other")
    with pytest.raises(TrainingError, match="already holds a run; --resume it"):
        train(small, tmp_path / "run")
    with pytest.raises(TrainingError, match="there is no run in"):
        resume(tmp_path / "nothing")
    config = tmp_path / "run" / "config.json"
    text = config.read_text()
    config.write_text(text.replace(keras.backend.backend(), "torch"))
    with pytest.raises(TrainingError, match="began on torch; set KERAS_BACKEND=torch"):
        resume(tmp_path / "run")
    config.write_text("{")
    with pytest.raises(TrainingError, match=r"config\.json is damaged"):
        resume(tmp_path / "run")
    config.write_text(text)
    checkpoint = tmp_path / "run" / "checkpoint.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5_000])
    with pytest.raises(TrainingError, match=r"checkpoint\.npz is damaged"):
        resume(tmp_path / "run")


@pytest.mark.slow
def test_a_finished_run_is_carried_on_as_if_it_had_been_asked_for_as_many(small, tmp_path):
    whole = train(small, tmp_path / "whole", Settings(epochs=3, batch=3))
    train(small, tmp_path / "longer", Settings(epochs=1, batch=3))
    longer = resume(tmp_path / "longer", changed={"epochs": 3, "batch": 3})
    for one, other in zip(state(whole.network), state(longer.network), strict=True):
        np.testing.assert_array_equal(one, other)
    configs = [
        json.loads((tmp_path / run / "config.json").read_text()) for run in ("whole", "longer")
    ]
    assert configs[0] == configs[1]
    assert resume(tmp_path / "longer").settings.epochs == 3  # whoever resumes it next


@pytest.mark.slow
def test_a_run_that_starts_from_weights(small, tmp_path, monkeypatch):
    first = train(small, tmp_path / "first", Settings(**RATES))
    start = first.folder / "last.weights.h5"
    # A step so small that the weights do not move.
    still = Settings(epochs=1, batch=3, learning_rate=1e-30, seed=7)
    second = train(small, tmp_path / "second", still, weights=start)
    there, here = (read_weights(run.folder / "last.weights.h5") for run in (first, second))
    assert all(np.array_equal(there[name], here[name]) for name in there)
    config = json.loads((second.folder / "config.json").read_text())
    assert config["start"] == {"weights": str(start), "sha256": hash_of(start)}
    with pytest.raises(WeightsError, match="fit"):
        train(small, tmp_path / "third", Settings(variant="released"), weights=start)
    assert not (tmp_path / "third").exists()

    def killed(run, epoch, shown):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training, "_train_epoch", killed)
        train(small, tmp_path / "cut", still, weights=start)
    resumed = read_weights(resume(tmp_path / "cut").folder / "last.weights.h5")
    assert all(np.array_equal(there[name], resumed[name]) for name in there)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training, "_train_epoch", killed)
        train(small, tmp_path / "lost", still, weights=start)
    start.write_bytes(b"another")
    with pytest.raises(TrainingError, match=r"is not what .*lost starts from"):
        resume(tmp_path / "lost")
    assert resume(tmp_path / "cut").history  # needs it no more


@pytest.mark.parametrize(
    "options, message",
    [
        (("--resume", "nothing"), "there is no run in nothing; name the folder of one (--resume)"),
        (("--check", "nothing"), "there is no run in nothing; name the folder of one (--check)"),
        (("--epochs", "0"), "epochs cannot be 0"),
        (("--data", "nothing"), "there is no folder nothing"),
        (("--weights", "nothing"), "nothing"),
        (("--resume", "run", "--seed", "3"), "has seed 0, not 3"),
        (("--resume", "run", "--weights", "released"), "leave out --weights, or --resume"),
        (("--resume", "run", "--out", "other"), "leave out --out, or --resume"),
        (("--out", "/proc/run"), "cannot write to the folder /proc/run"),
        (("--out", "run"), "run already holds a run"),
    ],
)
def test_what_is_asked_for_is_checked_before_keras_is_loaded(
    tmp_path, monkeypatch, capsys, options, message
):
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path / "run", asdict(Settings()), data="", traces="")

    def loaded(progress):
        raise AssertionError("Keras is loaded")

    monkeypatch.setattr("spikefinder_keras.cli.training.import_keras", loaded)
    assert main(["train", *options]) == 2
    assert message in capsys.readouterr().err


def test_no_spikes_at_all(tmp_path):
    calcium, spikes = tables()
    write_set(tmp_path, 4, calcium, spikes * 0)
    with pytest.raises(DataError, match="not one spike"):
        read_traces(tmp_path)


def test_calcium_without_spikes(tmp_path, small):
    write_set(tmp_path / "bare", 4, tables()[0])
    with pytest.raises(DataError, match="training needs"):
        read_traces(tmp_path / "bare")
    write_set(small, 7, tables()[0])
    lines = []
    assert len(read_traces(small, say=lines.append)) == 5
    assert "set 7: no true spikes" in lines[0]


def test_nan_everywhere_and_in_one_neuron(tmp_path, small):
    calcium, spikes = tables()
    write_set(tmp_path / "nan", 4, calcium * np.nan, spikes)
    with pytest.raises(DataError, match="no trace with true spikes"):
        read_traces(tmp_path / "nan")
    calcium[:, 1] = np.nan
    write_set(small, 4, calcium, spikes)
    lines = []
    assert len(read_traces(small, say=lines.append)) == 4
    assert lines == ["set 4: neuron 1 has no samples; left out"]


def test_one_neuron(tmp_path):
    write_set(tmp_path / "data", 4, *tables(neurons=1))
    with pytest.raises(TrainingError, match="1 trace is too little for 20% validation"):
        train(tmp_path / "data", tmp_path / "run")
    run = train(tmp_path / "data", tmp_path / "run", Settings(epochs=1, validation=0))
    assert run.best == 1
    assert np.isnan(run.history[0]["validation"])


def test_silent_traces_among_others_leave_finite_weights(small, tmp_path):
    calcium, spikes = tables()
    spikes[:, :2] = 0
    calcium[:, 2] = 0.5
    write_set(small, 4, calcium, spikes)
    run = train(small, tmp_path / "run", Settings(epochs=2, batch=1))
    assert all(np.isfinite(weight).all() for weight in run.network.get_weights())


def test_a_loss_that_is_no_number_stops_the_run(small, tmp_path):
    with pytest.raises(TrainingError, match="no numbers after epoch"):
        train(small, tmp_path / "run", Settings(epochs=20, batch=2, learning_rate=1e38))
    weights = tmp_path / "run" / "last.weights.h5"
    if weights.exists():
        assert all(np.isfinite(array).all() for array in read_weights(weights).values())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("epochs", 0),
        ("batch", 0),
        ("learning_rate", -1.0),
        ("learning_rate", float("nan")),
        ("validation", 1.0),
        ("weighting", "none"),
        ("dropout", (1.0,)),
        ("seed", -1),
    ],
)
def test_impossible_settings(setting, value):
    with pytest.raises(UsageError, match=f"{setting} cannot be"):
        Settings(**{setting: value})


def test_command_line(small, tmp_path, capsys):
    run = str(tmp_path / "run")
    arguments = ["train", "--data", str(small), "--out", run, "--epochs", "1", "--batch", "2"]
    assert main(arguments) == 0
    assert f"submission --weights {run}" in capsys.readouterr().out
    assert main(["train", "--resume", run, "--batch", "3"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("spikefinder-keras: the run in")
    assert main(["train", "--data", str(small), "--epochs", "0"]) == 2
    assert main(["train", "--resume", run, "--dropout", "0.1", "0.1"]) == 2
    assert main(["train", "--resume", run, "--epochs", "2"]) == 0


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the log needs TensorFlow")
def test_a_log_that_cannot_be_written(tmp_path):
    (tmp_path / "tensorboard").write_text("")
    run = training.Run(tmp_path, Settings(), None, None, [{"epoch": 1, "loss": 0.5}])
    with pytest.raises(OutputError, match=r"cannot write to .*tensorboard \(Not a directory\)"):
        log_for_tensorboard(run)


@pytest.mark.parametrize("name", ["best.weights.h5", "log.csv", "universal.weights.h5"])
def test_a_run_begins_among_no_files_of_others(name, tmp_path):
    (tmp_path / name).write_text("years of work")
    with pytest.raises(TrainingError, match=rf"{name} is there, and of no run; name another"):
        write_config(tmp_path, {"seed": 0})
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (tmp_path / name).rename(tmp_path / "notes.txt")
    write_config(tmp_path, {"seed": 0})


# Against the reference curves

BANDS = [
    {"epoch": epoch, "measure": measure, "low": low, "high": low + 0.1, "values": []}
    for epoch, losses in ((1, 0.8), (2, 0.7))
    for measure, low in (("loss", losses), ("validation", 0.5))
]


@pytest.fixture
def reference(tmp_path, monkeypatch):
    """Reference curves after one and two epochs, of traces known by `abc`."""
    folder = tmp_path / "weights"
    folder.mkdir()
    curves = {"traces": "abc", "bands": {"described": BANDS, "released": BANDS}}
    (folder / training.REFERENCE).write_text(json.dumps(curves))
    monkeypatch.setattr(training, "embedded_folder", lambda: folder)
    return folder


def finished(folder, *rows, traces="abc", **settings):
    """A run of these settings that has logged rows of loss and validation correlation."""
    folder.mkdir(parents=True)
    write_config(folder, asdict(Settings(**settings)), data="data", traces=traces)
    lines = [f"{k},{loss},{validation},1" for k, (loss, validation) in enumerate(rows, 1)]
    (folder / "log.csv").write_text("\n".join(["epoch,loss,validation,seconds", *lines]) + "\n")
    return folder


def test_a_run_that_did_not_start_from_random_weights(reference, tmp_path):
    run = finished(tmp_path / "run", (0.85, 0.5))
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "start": {}}))
    with pytest.raises(TrainingError, match="did not start from random weights"):
        training.check_curves(run)


@pytest.mark.parametrize("variant", ["described", "released"])
def test_a_run_of_any_seed_is_checked(reference, tmp_path, capsys, variant):
    run = finished(tmp_path / "run", (0.85, 0.5), (0.75, 0.6), variant=variant, seed=7)
    points = training.check_curves(run)
    assert [(each.epoch, each.measure, each.value) for each in points] == [
        *((1, "loss", 0.85), (1, "validation", 0.5)),
        *((2, "loss", 0.75), (2, "validation", 0.6)),
    ]
    assert all(each.inside for each in points)
    assert main(["train", "--check", str(run)]) == 0
    output = capsys.readouterr().out
    assert output.count("inside") == 4
    assert "as those of the reference" in output


@pytest.mark.parametrize("value", [(0.91, 0.55), (0.79, 0.55), (0.85, 0.49), (float("nan"), 0.55)])
def test_a_run_outside_is_an_exit_status(reference, tmp_path, capsys, value):
    run = finished(tmp_path / "run", value)
    assert main(["train", "--check", str(run)]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("outside") == 1
    assert "outside the band of the reference runs at 1 of 2 points" in captured.err


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"epochs": 60}, "has epochs 60, and those it would be compared with 50"),
        ({"learning_rate": 0.1}, "has learning_rate 0.1"),
        ({"traces": "xyz"}, "learnt from other data"),
        ({"rows": ()}, "is empty"),
    ],
)
def test_a_run_that_cannot_be_compared(reference, tmp_path, run, message):
    rows = run.pop("rows", ((0.85, 0.55),))
    with pytest.raises(TrainingError, match=message):
        training.check_curves(finished(tmp_path / "run", *rows, **run))


def test_a_run_too_short_to_be_checked(reference, tmp_path):
    curves = json.loads((reference / training.REFERENCE).read_text())
    late = [band | {"epoch": band["epoch"] + 9} for band in BANDS]
    curves["bands"]["described"] = late
    (reference / training.REFERENCE).write_text(json.dumps(curves))
    with pytest.raises(TrainingError, match="has not come to epoch 10; --resume it"):
        training.check_curves(finished(tmp_path / "run", (0.85, 0.55)))


def test_without_reference_curves_it_says_what_makes_them(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "embedded_folder", lambda: tmp_path)
    with pytest.raises(TrainingError, match="make them by benchmarks/reference_curves"):
        training.check_curves(finished(tmp_path / "run", (0.85, 0.55)))


def test_no_run_to_check(reference, tmp_path):
    with pytest.raises(TrainingError, match="there is no run in"):
        training.check_curves(tmp_path / "nothing")
