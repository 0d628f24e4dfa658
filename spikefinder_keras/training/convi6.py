"""Train convi6: the released run as the default, resumable at every epoch.

The released run: batches of 5 traces, 50 epochs, Adam, the loss `losses.pearson_loss`, sets 1 to 5
weighted 2.5, the last 20% of the traces in stacking order kept for validation. What happens here
differs in one respect alone, which changes nothing but round-off: a batch is padded to 3,000
samples beyond its longest trace, not to the longest of all.

The loop over batches is written out, around `keras.Model.train_on_batch`. `keras.Model.fit` takes
the shape of all batches from the first two of them: with TensorFlow it stops at the first that is
longer (tried with Keras 3.15), so that each would have to be padded to 71,986 samples.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..competition.scoring import Scores, score
from ..errors import OutputError, TrainingError
from ..figures.style import save
from ..figures.training import learning_curves, read_log
from ..files.atomic import hash_of, read_json
from ..keras_backend import keras, own_settings
from ..network.keras_model import build_network, load_weights, save_weights
from ..network.predict import CalciumTable, predict_tables
from ..network.weights import BEST, embedded_folder, find_weights
from ..text import counted
from . import runs
from .losses import loss_of
from .settings import Settings
from .traces import Traces, read_traces

REFERENCE = "convi6-curves.json"
"""Beside the embedded weights: the curves of five seeds of both variants, and their bands, as
`benchmarks/reference_curves.py` made them."""


@dataclass(frozen=True)
class CurvePoint:
    """Loss or validation correlation of a run after an epoch, and the band in which the reference
    runs have it."""

    epoch: int
    measure: str
    value: float
    low: float
    high: float

    @property
    def inside(self) -> bool:
        return self.low <= self.value <= self.high


@dataclass
class Run:
    """A run in progress: its folder, settings, data, network and what it has logged so far."""

    folder: Path
    settings: Settings
    traces: Traces
    network: keras.Model
    history: list[runs.Row] = field(default_factory=list)

    @property
    def training(self) -> int:
        """Number of traces that train; the others validate. As Keras cuts them."""
        return int(len(self.traces) * (1 - self.settings.validation))

    @property
    def best(self) -> int:
        """The epoch with the best validation correlation; without validation the last."""
        scored = [row for row in self.history if np.isfinite(row["validation"])]
        if not scored:
            return len(self.history)
        return max(scored, key=lambda row: row["validation"])["epoch"]


@own_settings()
def train(
    data: str | Path,
    folder: str | Path,
    settings: Settings | None = None,
    *,
    weights: str | Path | None = None,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Run:
    """Start a run on a competition folder and carry it to its end.

    It starts from the `weights` of a name or file, as in `weights.find_weights`, by default from
    random ones.

    `folder` gets `config.json`, `log.csv`, `checkpoint.npz`, `best.weights.h5` (by validation),
    `last.weights.h5`, `curves.png`, and `tensorboard/` where TensorFlow is installed. With
    `progress` a bar stands on the standard error; `say` receives lines of text.

    Raises
    ------
    DataError, OutputError
    WeightsError
        If there are no such weights, or they fit another network than that of `settings`.
    TrainingError
        If `folder` already holds a run, if there are too few traces, or if the loss is no number.
    """
    settings, folder = settings or Settings(), Path(folder)
    runs.check_new(folder)
    start = None if weights is None else find_weights(weights)
    traces = read_traces(data, settings.few_data_weight, say)
    run = _new_run(folder, settings, traces)
    # Whole paths, as a run may be resumed from another folder.
    more: dict[str, Any] = {"data": str(Path(data).resolve()), "traces": traces.fingerprint()}
    if start is not None:
        load_weights(run.network, start)
        more["start"] = {"weights": str(start.resolve()), "sha256": hash_of(start)}
    runs.write_config(folder, asdict(settings), **more)
    return _carry_on(run, progress, say)


@own_settings()
def fit(
    traces: Traces,
    folder: str | Path,
    settings: Settings,
    watch: Callable[[Run], object] = lambda run: None,
) -> Run:
    """Train on traces that are at hand, or carry on the run in `folder`, which gets neither weights
    nor curves. `watch` is called after each epoch, before it counts as done. `TrainingError` if
    `folder` holds another run, or the loss is no number."""
    run = _new_run(Path(folder), settings, traces)
    if (run.folder / runs.CONFIG).exists():
        known, config = runs.known_run(run.folder)
        if known != settings or config.get("traces") != traces.fingerprint():
            raise TrainingError(f"{folder} holds another run; remove it, or name another (--out)")
        runs.check_backend(run.folder, config.get("backend"))
        _load_state(run)
    else:
        runs.write_config(run.folder, asdict(settings), traces=traces.fingerprint())
    for epoch in range(len(run.history) + 1, settings.epochs + 1):
        _run_epoch(run, epoch)
        watch(run)
        runs.save_state(run.folder, run.network, run.history)
    return run


@own_settings()
def resume(
    folder: str | Path,
    data: str | Path | None = None,
    changed: dict[str, Any] | None = None,
    *,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Run:
    """Carry the interrupted run in a folder to its end, as if it had never been interrupted.

    `data` is where its data are now, if not where they were; `changed` are settings that the user
    names again, which must be the run's, but for more `epochs`: a finished run is carried on, as if
    it had been asked for as many.

    Raises
    ------
    TrainingError
        If there is no run in `folder`, its files are damaged, or its settings, data or backend are
        others than those it began with.
    """
    folder = Path(folder)
    settings, config = runs.known_run(folder, changed)
    try:
        where, fingerprint, backend = Path(config["data"]), config["traces"], config["backend"]
    except (KeyError, TypeError) as error:
        raise runs.damaged(folder / runs.CONFIG) from error
    runs.check_backend(folder, backend)
    traces = read_traces(data or where, settings.few_data_weight)
    if traces.fingerprint() != fingerprint:
        raise TrainingError(
            f"the data in {data or where} are not those the run began with; name them (--data)"
        )
    run = _new_run(folder, settings, traces)
    if "start" in config:
        _start_from(run, config["start"])
    _load_state(run)
    runs.set_epochs(folder, settings.epochs)
    say(f"resuming {folder} after epoch {len(run.history)} of {settings.epochs}")
    return _carry_on(run, progress, say)


def check_curves(folder: str | Path) -> list[CurvePoint]:
    """The curves of the run in a folder beside those of the reference runs, by epoch and measure.

    A run may have any seed, backend and machine, and be in progress; an epoch that it has not
    reached is left out.

    Raises
    ------
    TrainingError
        If there is no run in `folder`, if it is no run as the reference's (another setting or other
        data), or has not come to the first epoch of the reference; and if there is no reference.
    """
    folder = Path(folder)
    try:
        reference = read_json(embedded_folder() / REFERENCE)
    except FileNotFoundError as error:
        raise TrainingError(
            f"there are no reference curves ({error.filename}); make them by "
            "benchmarks/reference_curves.py"
        ) from None
    settings, config = runs.known_run(folder)
    variants = reference["bands"]
    if settings.variant not in variants:
        raise TrainingError(f"there is no reference of the variant {settings.variant}")
    for name, value in asdict(Settings(variant=settings.variant, seed=settings.seed)).items():
        if getattr(settings, name) != value:
            raise TrainingError(
                f"the run in {folder} has {name} {getattr(settings, name)}, and those it would be "
                f"compared with {value}; only `train` with its default settings can be checked"
            )
    if "start" in config:
        raise TrainingError(
            f"the run in {folder} did not start from random weights, as those it would be compared "
            "with did"
        )
    if config.get("traces") != reference["traces"]:
        raise TrainingError(
            f"the run in {folder} learnt from other data than those it would be compared with; "
            "train on the competition's sets 4 to 6 alone"
        )
    log = read_log(folder)
    rows = {int(epoch): k for k, epoch in enumerate(log["epoch"])}
    bands = [band for band in variants[settings.variant] if band["epoch"] in rows]
    if not bands:
        first = min(band["epoch"] for band in variants[settings.variant])
        raise TrainingError(f"the run in {folder} has not come to epoch {first}; --resume it")
    return [
        CurvePoint(
            band["epoch"],
            band["measure"],
            # As in the loss, rates that never vary, as of early epochs, have the correlation 0.
            float(np.nan_to_num(log[band["measure"]][rows[band["epoch"]]])),
            band["low"],
            band["high"],
        )
        for band in bands
    ]


def _new_run(folder: Path, settings: Settings, traces: Traces) -> Run:
    # Weights, dropout and everything else that keras draws follow from the seed.
    keras.utils.set_random_seed(settings.seed)
    network = build_network(**settings.of_network())
    # The optimiser's state has to be there before a checkpoint can be put into it.
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


def compile_network(network: keras.Model, settings: Settings) -> None:
    """Give a network the optimiser and the loss of `settings`."""
    network.compile(
        optimizer=keras.optimizers.Adam(
            settings.learning_rate, settings.beta_1, settings.beta_2, settings.epsilon
        ),
        loss=loss_of(settings.objective, settings.weighting),
        # On TensorFlow the recurrent loops compile themselves; all else is faster uncompiled.
        jit_compile=keras.backend.backend() != "tensorflow",
    )


def _carry_on(run: Run, progress: bool, say: Callable[[str], None]) -> Run:
    from tqdm import tqdm

    settings = run.settings
    steps = -(-run.training // settings.batch)
    total, done = settings.epochs * steps, len(run.history) * steps
    with tqdm(
        None, "training", total, initial=done, unit=" batches", disable=not progress
    ) as shown:
        for epoch in range(len(run.history) + 1, settings.epochs + 1):
            row = _run_epoch(run, epoch, shown.update)
            _save(run)
            shown.set_postfix_str(f"loss {row['loss']:.3f}, validation {row['validation']:.3f}")
    epochs, loss, validation = (
        [row[key] for row in run.history] for key in ("epoch", "loss", "validation")
    )
    title = f"{settings.variant}, seed {settings.seed}, {counted(run.training, 'trace')}"
    save(learning_curves(epochs, loss, validation, title), run.folder / "curves.png")
    say(
        f"trained {counted(settings.epochs, 'epoch')} on {counted(run.training, 'trace')}; best "
        f"epoch {run.best} (validation correlation {run.history[run.best - 1]['validation']:.3f})"
    )
    return run


def _run_epoch(run: Run, epoch: int, after_batch: Callable[[], object] = lambda: None) -> runs.Row:
    """Train for an epoch and validate; the row that is added to the history."""
    started = time.perf_counter()
    loss = _train_epoch(run, epoch, after_batch)
    row = {"epoch": epoch, "loss": loss, "validation": _validate(run)}
    run.history.append(row | {"seconds": round(time.perf_counter() - started, 3)})
    return row


def _train_epoch(run: Run, epoch: int, after_batch: Callable[[], object]) -> float:
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
    mean = total / len(order)
    if not all(np.isfinite(weights).all() for weights in (mean, *run.network.get_weights())):
        raise TrainingError(
            f"loss {mean} or weights are no numbers after epoch {epoch}; start a new run with a "
            "lower --learning-rate, and look for huge values in the calcium"
        )
    return mean


def _validate(run: Run) -> float:
    """Mean correlation at 25 Hz over the validation traces that have one; NaN if none has."""
    values = np.array(correlations(run.network, run.traces, range(run.training, len(run.traces))))
    return Scores(values, ()).mean


def correlations(network: keras.Model, traces: Traces, where: Sequence[int]) -> list[float]:
    """Correlation at 25 Hz of a network's rates with the truth of some traces; NaN where none."""
    tables = [
        CalciumTable(traces.calcium[i][:, None], int(traces.numbers[i]), longest=traces.longest)
        for i in where
    ]
    truths = [np.where(traces.spikes[i] < 0, np.nan, traces.spikes[i])[:, None] for i in where]
    rates = predict_tables(network, tables) if tables else []
    return [score(truth, rate).mean for truth, rate in zip(truths, rates, strict=True)]


def _save(run: Run) -> None:
    """Write all that there is after an epoch; the checkpoint last, as it says that it is done."""
    save_weights(run.network, run.folder / "last.weights.h5")
    # Chosen by validation as in 2017; the last ones are kept beside.
    if run.best == len(run.history):
        save_weights(run.network, run.folder / BEST)
    log_for_tensorboard(run)
    runs.save_state(run.folder, run.network, run.history)


def log_for_tensorboard(run: Run) -> None:
    """Add the last epoch to a TensorBoard log, where TensorFlow is there to write one."""
    try:
        import tensorflow as tf
    except ImportError:
        return
    row, folder = run.history[-1], run.folder / "tensorboard"
    try:
        writer = tf.summary.create_file_writer(str(folder))
        with writer.as_default(step=row["epoch"]):
            for name in ("loss", "validation", "seconds"):
                tf.summary.scalar(name, row[name])
        writer.close()
    except tf.errors.OpError as error:
        # The reason stands between the names of the operations that failed.
        reason = error.message.rpartition("}}")[2].partition("[Op")[0].strip()
        raise OutputError(
            f"cannot write to {folder} ({reason}); free space, or move it away"
        ) from error


def _start_from(run: Run, start: dict[str, str]) -> None:
    """Load the weights that a run starts from; one that has a checkpoint needs them no more."""
    if (run.folder / runs.CHECKPOINT).exists():
        return
    path = Path(start["weights"])
    if not path.is_file() or hash_of(path) != start["sha256"]:
        raise TrainingError(f"{path} is not what {run.folder} starts from; start a new run")
    load_weights(run.network, path)


def _load_state(run: Run) -> None:
    """Set the run to its last whole epoch; a run killed in its first has none yet and starts."""
    kinds = {"epoch": int, "loss": float, "validation": float, "seconds": float}

    def check(about: dict[str, Any]) -> None:
        """Raise `ValueError` unless there is a row for each epoch that is done."""
        numbers = [row["epoch"] for row in about["history"]]
        if numbers != list(range(1, len(numbers) + 1)) or len(numbers) > run.settings.epochs:
            raise ValueError("other epochs")
        for row in about["history"]:
            if row.keys() != kinds.keys() or not all(type(row[k]) is kinds[k] for k in kinds):
                raise ValueError("other columns")

    about = runs.load_state(run.folder, run.network, check)
    run.history = about["history"] if about else []
