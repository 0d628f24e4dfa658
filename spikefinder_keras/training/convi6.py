"""Train the network: the released run as the default, resumable at every epoch.

The released run: batches of 5 traces, 50 epochs, Adam, the loss `losses.pearson_loss`, sets 1 to 5
weighted 2.5, the last 20% of the traces in stacking order kept for validation. What happens here
differs in one respect alone, which changes nothing but round-off: a batch is padded to 3,000
samples beyond its longest trace, not to the longest of all.
"""

import json
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from ..competition.scoring import score
from ..errors import TrainingError, UsageError
from ..files.atomic import check_output_folder, write_text
from ..files.regular import read_json
from ..keras_backend import keras, own_settings
from ..network.keras_model import build_network, save_weights
from ..network.predict import CalciumTable, predict_tables
from .curves import draw_curves, log_for_tensorboard
from .losses import loss_of
from .runs import load_checkpoint, save_checkpoint
from .settings import Settings
from .traces import Traces, read_traces

_OF_NETWORK = (
    *("filters", "taps", "lstm_units", "dropout", "id_joins", "batch_normalization"),
    *("lstm_joins", "lstm_reads", "gates"),
)
"""Settings that `build_network` takes."""


@dataclass
class Run:
    """A run in progress: its folder, settings, data, network and what it has logged so far."""

    folder: Path
    settings: Settings
    traces: Traces
    network: keras.Model
    history: list = field(default_factory=list)

    @property
    def training(self):
        """Number of traces that train; the others validate. As Keras cuts them."""
        return int(len(self.traces) * (1 - self.settings.validation))

    @property
    def best(self):
        """The epoch with the best validation correlation; without validation the last."""
        scored = [row for row in self.history if np.isfinite(row["validation"])]
        if not scored:
            return len(self.history)
        return max(scored, key=lambda row: row["validation"])["epoch"]


@own_settings()
def train(data, folder, settings=None, progress=False, say=lambda line: None):
    """Start a run and carry it to its end.

    Parameters
    ----------
    data : str or Path
        A competition folder.
    folder : str or Path
        For the run: `config.json`, `log.csv`, `checkpoint.npz`, `best.weights.h5` (by validation),
        `last.weights.h5`, `curves.png`, and `tensorboard/` where TensorFlow is installed.
    settings : Settings, optional
    progress : bool
        Show a bar with the remaining time on the standard error.
    say : callable
        Receives lines of text.

    Returns
    -------
    Run

    Raises
    ------
    DataError, UsageError, OutputError
    TrainingError
        If `folder` already holds a run, if there are too few traces, or if the loss is no number.
    """
    settings = settings or Settings()
    folder = Path(folder)
    if (folder / "config.json").exists():
        raise TrainingError(f"{folder} already holds a run; --resume it, or name another (--out)")
    traces = read_traces(data, settings.few_data_weight, say)
    run = _new_run(folder, settings, traces)
    _write_config(run, {"data": str(Path(data).resolve())})
    return _carry_on(run, progress, say)


def _write_config(run, more):
    check_output_folder(run.folder)
    config = {
        **asdict(run.settings),
        **more,
        "traces": run.traces.fingerprint(),
        "backend": keras.backend.backend(),
    }
    write_text(run.folder / "config.json", json.dumps(config, indent=1) + "\n")


@own_settings()
def fit(traces, folder, settings, watch=lambda run: None):
    """Train on traces that are at hand, or carry on the run in `folder`; for `experiment`.

    Kept are `config.json`, `log.csv` and `checkpoint.npz`; weights and curves are not.

    Parameters
    ----------
    traces : Traces
    folder : str or Path
    settings : Settings
    watch : function of a `Run`
        Called after each epoch, before it counts as done.

    Returns
    -------
    Run

    Raises
    ------
    TrainingError
        If `folder` holds another run, or the loss is no number.
    """
    run = _new_run(Path(folder), settings, traces)
    if (run.folder / "config.json").exists():
        known, config = _read_config(run.folder)
        if known != settings or config.get("traces") != traces.fingerprint():
            raise TrainingError(f"{folder} holds another run; remove it, or name another (--out)")
        _check_backend(run.folder, config.get("backend"))
        _load_checkpoint(run)
    else:
        _write_config(run, {})
    for epoch in range(len(run.history) + 1, settings.epochs + 1):
        _run_epoch(run, epoch)
        watch(run)
        _save_state(run)
    return run


@own_settings()
def resume(folder, data=None, changed=None, progress=False, say=lambda line: None):
    """Carry an interrupted run to its end, as if it had never been interrupted.

    Parameters
    ----------
    folder : str or Path
        The run's.
    data : str or Path, optional
        Where its data are now, if not where they were.
    changed : dict, optional
        Settings that the user names again; they must be the run's.
    progress, say
        As in `train`.

    Returns
    -------
    Run

    Raises
    ------
    TrainingError
        If there is no run in `folder`, its files are damaged, or its settings, data or backend are
        others than those it began with.
    """
    folder = Path(folder)
    settings, config = _read_config(folder)
    try:
        where, fingerprint, backend = (config[key] for key in ("data", "traces", "backend"))
        where = Path(where)
    except (KeyError, TypeError) as error:
        raise TrainingError(f"{folder / 'config.json'} is damaged; start a new run") from error
    for name, value in (changed or {}).items():
        if value != getattr(settings, name):
            raise TrainingError(
                f"the run in {folder} has {name} {getattr(settings, name)}, not {value}; resume it "
                "without that option, or start a new run"
            )
    _check_backend(folder, backend)
    traces = read_traces(data or where, settings.few_data_weight)
    if traces.fingerprint() != fingerprint:
        raise TrainingError(
            f"the data in {data or where} are not those the run began with; name them (--data)"
        )
    run = _new_run(folder, settings, traces)
    _load_checkpoint(run)
    say(f"resuming {folder} after epoch {len(run.history)} of {settings.epochs}")
    return _carry_on(run, progress, say)


def _check_backend(folder, backend):
    """Raise `TrainingError` unless the run began on the backend of this process."""
    if backend != keras.backend.backend():
        raise TrainingError(f"the run in {folder} began on {backend}; set KERAS_BACKEND={backend}")


def _read_config(folder):
    """The settings of the run in a folder, and what else its configuration says, a dict."""
    try:
        config = read_json(folder / "config.json")
        names = [setting.name for setting in fields(Settings)]
        return Settings(**{name: config.pop(name) for name in names}), config
    except FileNotFoundError:
        raise TrainingError(
            f"there is no run in {folder}; name the folder of one (--resume)"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise TrainingError(f"{folder / 'config.json'} is damaged; start a new run") from error


def _new_run(folder, settings, traces):
    keras.utils.set_random_seed(settings.seed)
    network = build_network(
        settings.variant,
        **{name: getattr(settings, name) for name in _OF_NETWORK},
    )
    compile_network(network, settings)
    network.optimizer.build(network.trainable_variables)
    run = Run(folder, settings, traces, network)
    if not run.training:
        raise TrainingError(
            f"{len(traces)} trace is too little for {settings.validation:.0%} validation; "
            "give more (--data), or --validation 0"
        )
    if not any((traces.spikes[i] > 0).any() for i in range(run.training)):
        raise TrainingError("the traces that would train have no spikes; give more data (--data)")
    return run


def compile_network(network, settings):
    """Give a network the released run's optimiser and loss, with what `settings` change of them."""
    network.compile(
        optimizer=keras.optimizers.Adam(
            settings.learning_rate, settings.beta_1, settings.beta_2, settings.epsilon
        ),
        loss=loss_of(settings.objective, settings.weighting),
        # On TensorFlow the recurrent loops compile themselves; all else is faster uncompiled.
        jit_compile=keras.backend.backend() != "tensorflow",
    )


def _carry_on(run, progress, say):
    from tqdm import tqdm

    settings = run.settings
    steps = -(-run.training // settings.batch)
    total, done = settings.epochs * steps, len(run.history) * steps
    with tqdm(
        total=total, initial=done, desc="training", unit=" batches", disable=not progress
    ) as shown:
        for epoch in range(len(run.history) + 1, settings.epochs + 1):
            row = _run_epoch(run, epoch, shown.update)
            _save(run)
            shown.set_postfix_str(f"loss {row['loss']:.3f}, validation {row['validation']:.3f}")
    draw_curves(run)
    best = run.history[run.best - 1]
    say(
        f"trained {settings.epochs} epochs on {run.training} traces; best epoch {run.best}"
        f" (validation correlation {best['validation']:.3f})"
    )
    return run


def _run_epoch(run, epoch, after_batch=lambda: None):
    """Train for an epoch and validate; the row that is added to the history."""
    started = time.perf_counter()
    loss = _train_epoch(run, epoch, after_batch)
    row = {"epoch": epoch, "loss": loss, "validation": _validate(run)}
    run.history.append(row | {"seconds": round(time.perf_counter() - started, 3)})
    return row


def _train_epoch(run, epoch, after_batch):
    """One pass over the shuffled training traces; its mean loss."""
    # The order depends on seed and epoch alone, so that a resumed run shuffles the same.
    order = np.random.default_rng([run.settings.seed, epoch]).permutation(run.training)
    total = 0.0
    for first in range(0, len(order), run.settings.batch):
        inputs, truth, weights = run.traces.batch(order[first : first + run.settings.batch])
        run.network.reset_metrics()  # or the mean over all batches so far would come back
        inputs = inputs[: len(run.network.inputs)]  # without the ID where it joins nowhere
        loss = run.network.train_on_batch(inputs, truth, sample_weight=weights)
        total += float(loss) * len(weights)
        after_batch()
    loss = total / len(order)
    if not all(np.isfinite(weights).all() for weights in (loss, *run.network.get_weights())):
        raise TrainingError(
            f"loss {loss} or weights are no numbers after epoch {epoch}; start a new run with a "
            "lower --learning-rate, and look for huge values in the calcium"
        )
    return loss


def _validate(run):
    """Mean correlation at 25 Hz over the validation traces that have one; NaN if none has."""
    tables, truths = [], []
    for i in range(run.training, len(run.traces)):
        calcium, spikes = run.traces.calcium[i], run.traces.spikes[i]
        number = run.traces.numbers[i]
        tables.append(CalciumTable(calcium[:, None], number, longest=run.traces.longest))
        truths.append(np.where(spikes < 0, np.nan, spikes)[:, None])
    rates = predict_tables(run.network, tables) if tables else []
    values = [score(truth, rate).mean for truth, rate in zip(truths, rates, strict=True)]
    values = [value for value in values if np.isfinite(value)]
    return float(np.mean(values)) if values else float("nan")


def _save(run):
    """Write the state after an epoch; the checkpoint last, as it says that the epoch is done."""
    save_weights(run.network, run.folder / "last.weights.h5")
    if run.best == len(run.history):
        save_weights(run.network, run.folder / "best.weights.h5")
    log_for_tensorboard(run)
    _save_state(run)


def _save_state(run):
    lines = [",".join(run.history[0])]
    lines += [",".join(map(str, row.values())) for row in run.history]
    write_text(run.folder / "log.csv", "\n".join(lines) + "\n")
    save_checkpoint(run.folder / "checkpoint.npz", run.network, {"history": run.history})


def _load_checkpoint(run):
    """Set the run to its last whole epoch; a run killed in its first has none yet and starts."""
    path = run.folder / "checkpoint.npz"
    if path.exists():
        epochs = run.settings.epochs
        about = load_checkpoint(
            path, run.network, lambda about: _check_history(about["history"], epochs)
        )
        run.history = about["history"]


def _check_history(history, epochs):
    """Raise `ValueError` unless it has a row for each epoch that is done, as `_carry_on` adds."""
    kinds = {"epoch": int, "loss": float, "validation": float, "seconds": float}
    numbers = [row["epoch"] for row in history]
    if numbers != list(range(1, len(history) + 1)) or len(history) > epochs:
        raise ValueError("other epochs")
    for row in history:
        if row.keys() != kinds.keys() or not all(type(row[k]) is kinds[k] for k in kinds):
            raise ValueError("other columns")
