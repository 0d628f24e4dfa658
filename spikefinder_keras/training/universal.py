"""Train the network `universal`: known spikes and simulated ones, resumable, one recipe.

A batch is four neurons of four windows of 20 s each. They come from sets drawn evenly, a
quarter from the simulation. The loss is one minus the Pearson correlation of a neuron's four
windows together, as the score is.

Sets differ in when the calcium answers, by the indicator but also by how frames were stamped. So
each set has its own delay, found during training as the shift of its spikes that fits the network
best, and the spikes are shifted by it: the network learns shapes, not clocks. Which delay a new
recording has is not the network's business (`recordings.calibration`).
"""

import json
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from ..errors import TrainingError, UsageError
from ..files.atomic import check_output_folder, write_text
from ..files.regular import read_json
from ..keras_backend import keras, own_settings
from ..network.engine import KerasEngine
from ..network.keras_model import build_universal, save_weights
from ..network.universal import CHANNELS, LEVELS
from .runs import load_checkpoint, save_checkpoint
from .universal_windows import align, draw_window, simulated_windows

ops = keras.ops

CHECKPOINT_EVERY = 100  # Steps

LONG_ENOUGH = 2_000
"""Samples (20 s); recorded spike trains longer than this are those that the simulation replays."""


@dataclass(frozen=True)
class UniversalSettings:
    """What a run is made of.

    `windows` of `window` steps (40 ms each) from each of `neurons` neurons make a batch.
    `simulated` is the share of simulated neurons, of whom there are `simulated_neurons`.
    `averaging` is how much of the averaged weights is kept per step. At the shares `align_at` of
    the run the delays of the sets are found anew.
    """

    steps: int = 1_200
    neurons: int = 4
    windows: int = 4
    window: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    averaging: float = 0.995
    simulated: float = 0.25
    simulated_neurons: int = 400
    align_at: tuple = (0.15, 0.3, 0.45, 0.6)
    width: int = 32
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "align_at", tuple(self.align_at))
        limits = {
            "steps": self.steps >= 1,
            "neurons": self.neurons >= 1,
            "windows": self.windows >= 1,
            "window": self.window >= 2**LEVELS and self.window % 2**LEVELS == 0,
            "learning_rate": 0 < self.learning_rate < np.inf,
            "weight_decay": 0 <= self.weight_decay < 1,
            "averaging": 0 <= self.averaging < 1,
            "simulated": 0 <= self.simulated <= 1,
            "simulated_neurons": self.simulated_neurons >= 1,
            "align_at": all(0 < share < 1 for share in self.align_at),
            "width": self.width >= 1,
            "seed": 0 <= self.seed < 2**32,
        }
        for name, fine in limits.items():
            if not fine:
                raise UsageError(f"{name} cannot be {getattr(self, name)}")


@dataclass
class UniversalRun:
    """A run in progress."""

    folder: Path
    settings: UniversalSettings
    neurons: list
    simulated: tuple
    network: keras.Model
    delays: dict = field(default_factory=dict)
    history: list = field(default_factory=list)
    done: int = 0


def universal_loss(settings):
    """The loss for batches of `settings.windows` windows of each neuron, one after another.

    1 - mean over neurons of r, the Pearson correlation over a neuron's steps. `y_true`
    `(row, step, 1)` holds the true spikes per step, -1 where missing. A neuron without spikes, or
    an output that does not vary, has r = 0 and takes no part in the gradient.
    """

    def loss(y_true, y_pred):
        x = ops.reshape(y_true, (-1, settings.windows * settings.window))
        y = ops.reshape(y_pred, (-1, settings.windows * settings.window))
        x = ops.cast(x, y.dtype)
        mask = ops.cast(x >= 0, y.dtype)
        count = ops.maximum(ops.sum(mask, axis=1), 1)

        def centred(signal):
            mean = ops.sum(mask * signal, axis=1) / count
            return mask * (signal - mean[:, None])

        a, b = centred(x), centred(y)
        variances = ops.sum(a * a, axis=1) * ops.sum(b * b, axis=1)
        varies = variances > 0
        root = ops.sqrt(ops.where(varies, variances, 1.0) + 1e-12)
        r = ops.where(varies, ops.sum(a * b, axis=1) / root, 0.0)
        return ops.mean(1 - r)

    return loss


@own_settings()
def train_universal(neurons, folder, settings=None, progress=False, say=lambda line: None):
    """Train, or carry on a run that was interrupted.

    Parameters
    ----------
    neurons : list of TrainingNeuron
    folder : str or Path
        For the run: `config.json`, `log.csv`, `checkpoint.npz`, and at its end
        `universal.weights.h5` and `delays.json`. Where it holds a run of the same settings and
        backend, that one is carried on as if it had never been interrupted.
    settings : UniversalSettings, optional
    progress : bool
        Show a bar on the standard error.
    say : callable
        Receives lines of text.

    Returns
    -------
    UniversalRun
        Its network has the averaged weights.

    Raises
    ------
    TrainingError
        If the folder holds another run, or a damaged one, if there is nothing to learn from, or if
        the loss is no number.
    """
    settings = settings or UniversalSettings()
    neurons = [n for n in neurons if any(spikes.any() for spikes in n.spikes)]
    if not neurons and settings.simulated < 1:
        raise TrainingError("no neuron has a spike to learn from; give more data")
    folder = check_output_folder(folder)
    _check_config(folder, settings)
    run = UniversalRun(folder, settings, neurons, (), _new_network(settings))
    run.delays = {n.group: 0.0 for n in neurons}
    _load_checkpoint(run)
    if settings.simulated and run.done < settings.steps:
        counts = [spikes for n in neurons for spikes in n.spikes if len(spikes) > LONG_ENOUGH]
        run.simulated = simulated_windows(settings, [x for x in counts if x.any()])
    if run.done:
        say(f"resuming {folder} after step {run.done} of {settings.steps}")
    return _carry_on(run, progress, say)


def train_on_ground_truth(
    ground_truth, data, folder, settings=None, progress=False, say=lambda line: None
):
    """Train on everything in a folder of ground truth, and measure what belongs to the weights.

    Parameters
    ----------
    ground_truth : str or Path
        Folder of the files of Rupprecht et al. 2021.
    data : str or Path, optional
        A competition folder, for its training set 4.
    folder, settings, progress, say
        As for `train_universal`.

    Returns
    -------
    Path
        `universal.weights.h5` in `folder`, with `universal.calibration.json` beside it.

    Raises
    ------
    DataError, TrainingError, OutputError
    """
    from ..recordings.calibration import calibration_path, save_calibration
    from .calibrate import fit_calibration
    from .universal_data import competition_neurons, ground_truth_neurons

    folder = check_output_folder(folder)
    say("preparing the recordings")
    known = ground_truth_neurons(ground_truth)
    neurons = known + (competition_neurons(data) if data else [])
    run = train_universal(neurons, folder, settings, progress, say)
    say("measuring delays and rates")
    weights = folder / "universal.weights.h5"
    calibration = fit_calibration(KerasEngine(run.network), known)
    save_calibration(calibration, calibration_path(weights))
    return weights


def _new_network(settings):
    keras.utils.set_random_seed(settings.seed)
    network = build_universal(width=settings.width)
    network.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.steps),
            weight_decay=settings.weight_decay,
            global_clipnorm=1.0,
            use_ema=True,
            ema_momentum=settings.averaging,
        ),
        loss=universal_loss(settings),
        jit_compile=keras.backend.backend() != "tensorflow",
    )
    network.optimizer.build(network.trainable_variables)
    return network


def _carry_on(run, progress, say):
    from tqdm import tqdm

    settings = run.settings
    align_at = {int(share * settings.steps) for share in settings.align_at}
    started, total = time.perf_counter(), 0.0
    with tqdm(
        total=settings.steps, initial=run.done, desc="training", disable=not progress
    ) as shown:
        for step in range(run.done, settings.steps):
            if step in align_at and run.neurons:
                run.delays = align(KerasEngine(run.network), run.neurons)
            # Only seed and step decide what is drawn, so that a resumed run draws the same.
            rng = np.random.default_rng([settings.seed, step])
            run.network.reset_metrics()  # or the mean over all batches so far would come back
            total += float(run.network.train_on_batch(*_batch(run, rng)))
            shown.update()
            if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == settings.steps:
                loss = total / (step + 1 - run.done)
                if not np.isfinite(loss):
                    raise TrainingError(f"the loss is {loss} at step {step + 1}; start a new run")
                seconds = round(time.perf_counter() - started, 3)
                run.history.append({"step": step + 1, "loss": loss, "seconds": seconds})
                run.done, total, started = step + 1, 0.0, time.perf_counter()
                _save_checkpoint(run)
    run.network.optimizer.finalize_variable_values(run.network.trainable_variables)
    if run.neurons:
        run.delays = align(KerasEngine(run.network), run.neurons)
    _save_result(run)
    say(f"trained {settings.steps} steps on {len(run.neurons)} neurons")
    return run


def _batch(run, rng):
    """Inputs `(row, step, channel)` and what `universal_loss` has as `y_true`."""
    settings = run.settings
    rows = settings.neurons * settings.windows
    inputs = np.zeros((rows, settings.window, CHANNELS), np.float32)
    truth = np.full((rows, settings.window, 1), -1.0, np.float32)
    groups = sorted(run.delays)
    by_group = {group: [n for n in run.neurons if n.group == group] for group in groups}
    for first in range(0, rows, settings.windows):
        own = slice(first, first + settings.windows)
        if run.simulated and (not groups or rng.random() < settings.simulated):
            k = rng.integers(len(run.simulated[0]))
            inputs[own], truth[own, :, 0] = run.simulated[0][k], run.simulated[1][k]
            continue
        group = groups[rng.integers(len(groups))]
        neuron = by_group[group][rng.integers(len(by_group[group]))]
        for row in range(own.start, own.stop):
            window = draw_window(neuron, run.delays[group], settings.window, rng)
            inputs[row], truth[row, :, 0] = window
    return inputs, truth


def _check_config(folder, settings):
    path = folder / "config.json"
    config = {**asdict(settings), "backend": keras.backend.backend()}
    config["align_at"] = list(settings.align_at)
    if not path.exists():
        write_text(path, json.dumps(config, indent=1) + "\n")
        return
    try:
        found = read_json(path)
        found.keys()
    except (OSError, ValueError, AttributeError) as error:
        raise TrainingError(f"{path} is damaged; start a new run") from error
    for name in (*(f.name for f in fields(UniversalSettings)), "backend"):
        if found.get(name) != config[name]:
            raise TrainingError(
                f"the run in {folder} has {name} {found.get(name)}, not {config[name]}; name "
                "another folder, or the same settings"
            )


def _save_checkpoint(run):
    lines = ["step,loss,seconds"]
    lines += [",".join(map(str, row.values())) for row in run.history]
    write_text(run.folder / "log.csv", "\n".join(lines) + "\n")
    about = {"history": run.history, "delays": run.delays, "done": run.done}
    save_checkpoint(run.folder / "checkpoint.npz", run.network, about)


def _load_checkpoint(run):
    path = run.folder / "checkpoint.npz"
    if not path.exists():
        return

    def check(about):
        if set(about["delays"]) != set(run.delays):
            raise TrainingError(f"{path} was trained on other sets; name another folder")
        for row in about["history"]:
            if row.keys() != {"step", "loss", "seconds"}:
                raise ValueError("another history")
        if type(about["done"]) is not int or not 0 < about["done"] <= run.settings.steps:
            raise ValueError("other steps")
        if not all(type(delay) is float for delay in about["delays"].values()):
            raise ValueError("other delays")

    about = load_checkpoint(path, run.network, check)
    run.delays, run.history, run.done = about["delays"], about["history"], about["done"]


def _save_result(run):
    save_weights(run.network, run.folder / "universal.weights.h5")
    write_text(run.folder / "delays.json", json.dumps(run.delays, indent=1) + "\n")
