"""Train the network `universal`: known spikes and simulated ones, resumable, one recipe.

A batch is four neurons of four windows of 20 s each. Neurons are drawn evenly, a quarter of them
simulated. The loss is one minus the Pearson correlation of a neuron's four windows together, as the
score is; a part of it is of both smoothed, so that the rate is right over half a second where it
cannot be right to the step.

Sets differ in when the calcium answers, by the indicator but also by how frames were stamped. So
each set has its own delay, found during training as the shift of its spikes that fits the network
best, and the spikes are shifted by it: the network learns shapes, not clocks. Which delay a new
recording has is not the network's business (`recordings.calibration`).
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array, Rates, Trace
from ..constants import SAMPLE_RATE
from ..errors import TrainingError
from ..files.atomic import check_output_folder, write_text
from ..keras_backend import keras, own_settings
from ..network.engine import Engine, KerasEngine
from ..network.keras_model import build_universal, save_weights
from ..network.universal import CHANNELS, STEP, STEPS_PER_SECOND
from ..recordings.calibration import calibration_path, save_calibration
from ..recordings.universal import network_input, prepare_trace
from ..signals.measures import pearson, sum_windows
from ..simulation.spike_trains import simulated_recordings
from ..text import counted
from . import calibrate, neurons
from .neurons import TrainingNeuron
from .runs import (
    CHECKPOINT,
    CONFIG,
    Row,
    load_state,
    read_config,
    save_state,
    write_config,
)
from .settings import UniversalSettings
from .traces import fingerprint

ops = keras.ops

CHECKPOINT_EVERY = 100  # the state is kept after so many steps, half a minute
LONG_ENOUGH = 2_000  # the simulation replays recorded spike trains of more samples (20 s)
SMOOTHED = 0.2  # s; spread of the Gaussian under which a part of the loss is taken
DELAYS = np.arange(-12, 19) / SAMPLE_RATE  # s; the shifts of the spikes among which `align` chooses
SIMULATION = 2**32 - 1
"""A part of the seed of the simulation: another stream than those of the batches, which have the
step there."""


@dataclass
class UniversalRun:
    """A run in progress: simulated input `(neuron, window, step, channel)` and spikes `(neuron,
    window, step)`, the sets' delays in s, and how many steps are done."""

    folder: Path
    settings: UniversalSettings
    neurons: list[TrainingNeuron]
    simulated: tuple[Array, ...]
    network: keras.Model
    delays: dict[str, float] = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)
    done: int = 0


def universal_loss(settings: UniversalSettings) -> Callable[[Any, Any], Any]:
    """The loss for batches of `settings.windows` windows of each neuron, one after another: 1 -
    mean over neurons of r, the Pearson correlation over a neuron's steps; the share
    `settings.smoothed` of it is of both under a Gaussian of 0.2 s.

    `y_true` `(row, step, 1)` holds the true spikes per step, -1 where missing. A neuron without
    spikes, or an output that does not vary, has r = 0 and takes no part in the gradient.
    """
    spread = SMOOTHED * STEPS_PER_SECOND
    reach = np.arange(-int(3 * spread), int(3 * spread) + 1)
    kernel = np.exp(-0.5 * (reach / spread) ** 2).astype(np.float32)[:, None, None]

    def one_minus_r(truth: Any, rates: Any, known: Any) -> Any:
        steps = settings.windows * settings.window
        x, y, mask = (ops.reshape(signal, (-1, steps)) for signal in (truth, rates, known))
        count = ops.maximum(ops.sum(mask, axis=1), 1)

        def centred(signal: Any) -> Any:
            mean = ops.sum(mask * signal, axis=1) / count
            return mask * (signal - mean[:, None])

        a, b = centred(x), centred(y)
        variances = ops.sum(a * a, axis=1) * ops.sum(b * b, axis=1)
        varies = variances > 0
        # The inner `where` keeps the square root's infinite slope at 0 out of the gradient.
        root = ops.sqrt(ops.where(varies, variances, 1.0) + 1e-12)
        r = ops.where(varies, ops.sum(a * b, axis=1) / root, 0.0)
        return ops.mean(1 - r)

    def loss(y_true: Any, y_pred: Any) -> Any:
        truth = ops.cast(y_true, y_pred.dtype)
        known = ops.cast(truth >= 0, y_pred.dtype)
        truth, rates = known * truth, known * y_pred
        sharp = one_minus_r(truth, rates, known)
        # A constant factor, so the kernel need not sum to 1.
        truth, rates = (ops.conv(signal, kernel, padding="same") for signal in (truth, rates))
        blunt = one_minus_r(truth, rates, known)
        return (1 - settings.smoothed) * sharp + settings.smoothed * blunt

    return loss


@own_settings()
def train_universal(
    neurons: Sequence[TrainingNeuron],
    folder: str | Path,
    settings: UniversalSettings | None = None,
    *,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> UniversalRun:
    """Train, or carry on the run of the same settings and backend in `folder` as if it had never
    been interrupted. At its end there are `universal.weights.h5`, with the averaged weights, and
    `delays.json`.

    `TrainingError` if the folder holds another run, or a damaged one, if there is nothing to learn
    from, or if the loss is no number.
    """
    settings = settings or UniversalSettings()
    known = [n for n in neurons if any(spikes.any() for spikes in n.spikes)]
    if not known and settings.simulated < 1:
        raise TrainingError("no neuron has a spike to learn from; give more data")
    path = Path(check_output_folder(folder))
    arrays = (each for n in known for each in (np.array(n.group), *n.traces, *n.spikes))
    _check_config(path, settings, fingerprint(arrays))
    run = UniversalRun(path, settings, known, (), _new_network(settings))
    run.delays = {n.group: 0.0 for n in known}
    _load_state(run)
    if settings.simulated and run.done < settings.steps:
        # Shorter ones would be replayed over and over.
        counts = [spikes for n in known for spikes in n.spikes if len(spikes) > LONG_ENOUGH]
        run.simulated = simulated_windows(settings, [x for x in counts if x.any()])
    if run.done:
        say(f"resuming {path} after step {run.done} of {settings.steps}")
    return _carry_on(run, progress, say)


def train_on_ground_truth(
    ground_truth: str | Path,
    data: str | Path | None,
    folder: str | Path,
    *,
    settings: UniversalSettings | None = None,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Train on everything in a folder of the files of Rupprecht et al. 2021, and on set 4 of a
    competition folder `data`, and measure what belongs to the weights.

    Returned is `universal.weights.h5` in `folder`, with `universal.calibration.json` beside it. All
    else is as for `train_universal`; `TrainingError` also if too little was learned to measure
    that.
    """
    path = Path(check_output_folder(folder))
    say("preparing the recordings")
    known = neurons.ground_truth_neurons(ground_truth)
    every = known + (neurons.competition_neurons(data) if data else [])
    run = train_universal(every, path, settings, progress=progress, say=say)
    say("measuring delays and rates")
    weights = path / "universal.weights.h5"
    calibration = calibrate.fit_calibration(KerasEngine(run.network), known)
    try:
        save_calibration(calibration, calibration_path(weights))
    except ValueError as error:
        raise TrainingError(
            f"after {counted(run.done, 'step')} the rates do not follow the spikes ({error}), and "
            f"nobody could use {weights}; train anew, for longer (--steps) or on more data"
        ) from error
    return weights


def _new_network(settings: UniversalSettings) -> keras.Model:
    keras.utils.set_random_seed(settings.seed)
    network = build_universal(width=settings.width)
    network.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.steps),
            weight_decay=settings.weight_decay,
            # The correlation of an output that hardly varies has a gradient without bounds.
            global_clipnorm=1.0,
            # The weights are the average over the run, so that no checkpoint has to be chosen.
            use_ema=True,
            ema_momentum=settings.averaging,
        ),
        loss=universal_loss(settings),
        jit_compile=keras.backend.backend() != "tensorflow",
    )
    network.optimizer.build(network.trainable_variables)
    return network


def _carry_on(run: UniversalRun, progress: bool, say: Callable[[str], None]) -> UniversalRun:
    from tqdm import tqdm

    settings = run.settings
    align_at = {int(share * settings.steps) for share in settings.align_at}
    started, total = time.perf_counter(), 0.0
    with tqdm(None, "training", settings.steps, initial=run.done, disable=not progress) as shown:
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
                _save_state(run)
    # The average over the run takes the place of the last weights.
    run.network.optimizer.finalize_variable_values(run.network.trainable_variables)
    if run.neurons:
        run.delays = align(KerasEngine(run.network), run.neurons)
    save_weights(run.network, run.folder / "universal.weights.h5")
    write_text(run.folder / "delays.json", json.dumps(run.delays, indent=1) + "\n")
    say(f"trained {counted(settings.steps, 'step')} on {counted(len(run.neurons), 'neuron')}")
    return run


def _check_config(folder: Path, settings: UniversalSettings, data: str) -> None:
    wanted = asdict(settings) | {"align_at": list(settings.align_at), "data": data}
    if not (folder / CONFIG).exists():
        write_config(folder, wanted)
        return
    found = read_config(folder)
    if found.get("data") != data:
        raise TrainingError(f"the run in {folder} learns from other data; name another folder")
    for name, value in (wanted | {"backend": keras.backend.backend()}).items():
        if found.get(name) != value:
            raise TrainingError(
                f"the run in {folder} has {name} {found.get(name)}, not {value}; name "
                "another folder, or the same settings"
            )


def _save_state(run: UniversalRun) -> None:
    save_state(run.folder, run.network, run.history, delays=run.delays, done=run.done)


def _load_state(run: UniversalRun) -> None:
    """Set the run to its last checkpoint, if it has one."""
    path = run.folder / CHECKPOINT

    def check(about: dict[str, Any]) -> None:
        """Raise `ValueError` unless this is what `_save_state` writes of this run."""
        if set(about["delays"]) != set(run.delays):
            raise TrainingError(f"{path} was trained on other sets; name another folder")
        for row in about["history"]:
            if row.keys() != {"step", "loss", "seconds"}:
                raise ValueError("another history")
        if type(about["done"]) is not int or not 0 < about["done"] <= run.settings.steps:
            raise ValueError("other steps")
        if not all(type(delay) is float for delay in about["delays"].values()):
            raise ValueError("other delays")

    about = load_state(run.folder, run.network, check)
    if about:
        run.delays, run.history, run.done = about["delays"], about["history"], about["done"]


# What a batch is cut from: windows of recordings and of the simulation


def _batch(run: UniversalRun, rng: np.random.Generator) -> tuple[Array, Array]:
    """Inputs `(row, step, channel)` and what `universal_loss` has as `y_true`."""
    settings = run.settings
    rows = settings.neurons * settings.windows
    inputs = np.zeros((rows, settings.window, CHANNELS), np.float32)
    truth = np.full((rows, settings.window, 1), -1.0, np.float32)
    for first in range(0, rows, settings.windows):
        part = slice(first, first + settings.windows)
        if run.simulated and (not run.neurons or rng.random() < settings.simulated):
            k = rng.integers(len(run.simulated[0]))
            inputs[part], truth[part, :, 0] = run.simulated[0][k], run.simulated[1][k]
            continue
        # Neurons evenly, not sets: that scores better on sets that are left out (docs/accuracy.md).
        neuron = run.neurons[rng.integers(len(run.neurons))]
        for row in range(part.start, part.stop):
            inputs[row], truth[row, :, 0] = draw_window(
                neuron, run.delays[neuron.group], steps=settings.window, rng=rng
            )
    return inputs, truth


def draw_window(
    neuron: TrainingNeuron, delay: float, *, steps: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """A random window of a neuron, which may overhang its ends: the network's input float32 `(step,
    channel)`, and the spikes per step `(step,)`, -1 outside of the recording. The trace is read
    `delay` s later than the spikes."""
    # By length, so that every second of a neuron comes as often.
    lengths = np.array([len(trace) for trace in neuron.traces], float)
    k = rng.choice(lengths.size, p=lengths / lengths.sum())
    trace, spikes, samples = neuron.traces[k], neuron.spikes[k], steps * STEP
    inputs = np.zeros((steps, CHANNELS), np.float32)
    truth = np.full(steps, -1.0, np.float32)
    room = len(trace) - samples
    first = int(rng.integers(0, room + 1)) if room > 0 else 0
    offset = 0 if room > 0 else int(rng.integers(0, -room // STEP + 1))
    part = slice(first, min(first + samples, len(trace)))
    later = np.arange(part.start, part.stop) + round(delay * SAMPLE_RATE)
    later = later.clip(0, len(trace) - 1)
    count = min(-(-(part.stop - part.start) // STEP), steps - offset)
    inputs[offset : offset + count] = network_input(trace[later], neuron.scales[k])[:count]
    known = sum_windows(spikes[part], STEP)[:count]
    truth[offset : offset + known.size] = known
    return inputs, truth


def simulated_windows(settings: UniversalSettings, counts: Sequence[Trace]) -> tuple[Array, ...]:
    """Simulated neurons as windows: float32 `(neuron, window, step, channel)` and spikes `(neuron,
    window, step)`. `counts` are recorded spikes per 10 ms `(sample,)`, see
    `spike_trains.simulated_recordings`."""
    steps = settings.windows * settings.window
    rng = np.random.default_rng([settings.seed, SIMULATION])
    inputs, truth = [], []
    for trace, rate, times in simulated_recordings(
        settings.simulated_neurons, steps / STEPS_PER_SECOND + 1, rng, counts
    ):
        prepared, scales = prepare_trace(trace, rate)
        inputs.append(network_input(prepared, scales)[:steps])
        step = (times * SAMPLE_RATE / STEP).astype(int)
        truth.append(np.bincount(step[step < steps], minlength=steps))
    shape = (-1, settings.windows, settings.window)
    spikes = np.array(truth, np.float32).reshape(shape)
    return np.stack(inputs).reshape(*shape, CHANNELS), spikes


# The delay of each set


def align(engine: Engine, neurons: Sequence[TrainingNeuron]) -> dict[str, float]:
    """The delay of each set in s: the shift of its spikes that correlates best with the prediction,
    as mean over its neurons."""
    curves: dict[str, list[Array]] = {}
    for neuron, rates in zip(neurons, calibrate.network_outputs(engine, neurons), strict=True):
        curves.setdefault(neuron.group, []).append(shift_curve(rates, neuron.spikes))
    return {
        group: float(DELAYS[np.mean(found, axis=0).argmax()]) for group, found in curves.items()
    }


def shift_curve(rates: Sequence[Rates], spikes: Sequence[Trace]) -> Array:
    """Correlation at 25 Hz for each shift in `DELAYS` of the spikes, `(shift,)`; `rates` `(step,)`
    and `spikes` `(sample,)` are one of each for each segment."""
    curve = []
    for samples in np.round(DELAYS * SAMPLE_RATE).astype(int):
        before, behind = max(samples, 0), max(-samples, 0)  # zeros at the end that is left
        padded = [np.pad(known.astype(float), (before, behind)) for known in spikes]
        moved = [x[behind:][: known.size] for x, known in zip(padded, spikes, strict=True)]
        output, truth = calibrate.whole_steps(moved, rates)
        curve.append(pearson(truth, output))
    return np.array(curve)
