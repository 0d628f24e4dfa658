"""Experiments: settings x seeds, each run resumable and never repeated, one tidy table of scores.

A file in TOML says what is run:

    folds = 5
    leave_out = [0, 1]              # folds, in turn; by default all
    seeds = [0, 1, 2, 3, 4]
    score_after = [25, 50]          # epochs; by default the last

    [settings]                      # of `settings.Settings`, for all
    epochs = 50

    [variants."as described"]       # the first is the one that others are compared with
    [variants."no dataset ID"]
    id_joins = "nowhere"

Neurons are cut into folds once, by set, and the recordings of a neuron stay together. The run of
seed k leaves out fold k (of those in `leave_out`, from the start again after the last), trains on
the others to the last epoch, and is scored on the neurons left out by the plain correlation at 25
Hz. Nothing is chosen on them; no test set is read.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..arrays import Array, Mask, Numbers
from ..console import count_bar, quiet_libraries
from ..errors import TrainingError, UsageError, reason
from ..files.atomic import check_apart, check_output_folder, is_ours, read_small, write_text
from ..text import clean_name, did_you_mean, header_cell, name_of_cell
from .settings import Settings
from .traces import Traces, read_traces

if TYPE_CHECKING:  # Keras takes seconds to load, and a plan is checked before
    from .convi6 import Run

NEURONS = "neurons.csv"
"""This file of a data folder says `set,column,neuron` of tables that hold several recordings of a
neuron."""

_PLAN = {
    "folds": "a whole number",
    **dict.fromkeys(("seeds", "leave_out", "score_after"), "a list of whole numbers"),
    **dict.fromkeys(("settings", "variants"), "a table"),
}
"""What a plan may hold."""
_NAMES = ("name", "neuron")
"""Columns of text that people write."""
MOST_FOLDS = 1_000  # more than the competition has neurons
RESAMPLES = 10_000  # draws of the bootstrap, which move the ends of an interval by 1% of its width
Row: TypeAlias = dict[str, str]  # a row of a table


@dataclass(frozen=True)
class Plan:
    """What a file asks for: `variants` is a dict of names to dicts of settings."""

    variants: dict[str, dict[str, Any]]
    seeds: tuple[int, ...]
    folds: int
    leave_out: tuple[int, ...]
    score_after: tuple[int, ...]


def read_plan(path: str | Path) -> Plan:
    """Read a plan; `UsageError` if the file is missing or no TOML, or asks for the impossible."""
    try:
        stated = tomllib.loads(read_small(path))
    except RecursionError:
        raise UsageError(f"{path} is nested too deep; give an experiment in TOML") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path} ({reason(error)}); name a plan in TOML") from None
    for name, value in stated.items():
        if name not in _PLAN:
            raise UsageError(f"{path} has unknown {name}{did_you_mean(name, _PLAN)}")
        if not _is_of(value, _PLAN[name]):
            raise UsageError(f"{path}: {name} is to be {_PLAN[name]}; see docs/training.md")
    variants = _variants(stated, path)
    epochs = max(Settings(**changed).epochs for changed in variants.values())
    seeds, folds = tuple(stated.get("seeds", range(5))), stated.get("folds", 5)
    after = tuple(stated.get("score_after", ()))
    if not 2 <= folds <= MOST_FOLDS:
        raise UsageError(f"{path}: at least 2 folds and at most {MOST_FOLDS}")
    leave_out = tuple(stated.get("leave_out", range(folds)))
    if not seeds or any(not 1 <= epoch <= epochs for epoch in after):
        raise UsageError(f"{path}: at least a seed, and score_after within the epochs")
    if not leave_out or any(not 0 <= fold < folds for fold in leave_out):
        raise UsageError(f"{path}: leave_out must name folds from 0 to {folds - 1}")
    if len({_folder_name(name) for name in variants}) < len(variants):
        raise UsageError(f"{path}: two variants whose names differ in marks only")
    return Plan(variants, seeds, folds, leave_out, after)


def _variants(stated: dict[str, Any], path: str | Path) -> dict[str, dict[str, Any]]:
    """The settings of each variant of a plan by its name; `UsageError` if some are impossible."""
    common, named = stated.get("settings", {}), stated.get("variants") or {"as described": {}}
    # Seeds are the plan's, and by default all that is not left out trains.
    names = {field.name for field in fields(Settings)} - {"seed", "validation"}
    for title, changed in (("settings", common), *named.items()):
        if not isinstance(changed, dict):
            raise UsageError(f"{path}: variants.{title} is to be a table; see docs/training.md")
        for name in changed.keys() - names:
            raise UsageError(f"{path}, {title}: unknown {name}{did_you_mean(name, names)}")
    every = {"validation": 0.0, **common}
    variants = {name: {**every, **changed} for name, changed in named.items()}
    try:
        for changed in variants.values():
            Settings(**changed)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return variants


def _is_of(value: object, kind: str) -> bool:
    """Whether a value of TOML is of a kind of `_PLAN`."""
    if kind == "a table":
        return isinstance(value, dict)
    values = value if kind == "a list of whole numbers" else [value]
    return isinstance(values, list) and all(type(each) is int for each in values)


def neurons_of(traces: Traces, data: str | Path) -> Array:
    """The neuron of each trace, as `set/neuron`: by `NEURONS` in the folder, else by column."""
    known = {}
    listing = Path(data) / NEURONS
    if listing.exists():
        for row in read_rows(listing):
            known[int(row["set"]), int(row["column"])] = row["neuron"]
    places = zip(traces.numbers.tolist(), traces.columns.tolist(), strict=True)
    return np.array([f"{place[0]}/{known.get(place, place[1])}" for place in places])


def fold_of(neurons: Array, folds: int) -> Numbers:
    """The fold of each trace, int array; the neurons of a set are dealt out in a fixed order."""
    dealt: dict[str, int] = {}
    # One order for all experiments, or folds of two could not be compared.
    rng, number = np.random.default_rng(0), 0
    for group in sorted({name.split("/")[0] for name in neurons}, key=int):
        of_set = sorted({name for name in neurons if name.split("/")[0] == group})
        for name in rng.permutation(of_set):
            dealt[name], number = number % folds, number + 1
    return np.array([dealt[name] for name in neurons])


def run_experiment(
    path: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    jobs: int = 1,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Carry out what is left of the plan in a file, so many `jobs` at a time, on the training sets
    of a competition folder, and return the rows of `summary.csv`, see `compare`.

    In the folder `out` `scores.csv` and `summary.csv` are written after every run. A run that
    `scores.csv` knows is done, so that a table can be carried on without the folders of its runs.
    """
    plan, out = read_plan(path), Path(out)
    if jobs < 1:
        raise UsageError(f"{jobs} runs at a time are too few (--jobs)")
    check_output_folder(out)
    table, answers = out / "scores.csv", out / "summary.csv"
    check_apart({"the plan": [path]}, [("--out", table), ("--out", answers)])
    for each, columns in ((table, b"epoch,neuron,correlation,name,"), (answers, b"name,epoch,")):
        if each.exists() and not is_ours(each, columns):
            raise TrainingError(f"{each} is of no experiment; name another folder (--out)")
    runs = [(name, seed) for name in plan.variants for seed in plan.seeds]
    rows: dict[tuple[str, str], list[Row]] = {(name, str(seed)): [] for name, seed in runs}
    for row in read_rows(table) if table.exists() else []:
        rows.setdefault((row["name"], row["seed"]), []).append(row)
    tasks = [
        partial(_one_run, name, seed, rows[name, str(seed)], plan=plan, data=str(data), out=out)
        for name, seed in runs
    ]
    summary: list[dict[str, Any]] = []
    with count_bar(len(tasks), "experiment", "run", progress) as shown:
        for found in _results(tasks, jobs):
            rows |= {(row["name"], row["seed"]): found for row in found[:1]}
            together = [row for of_run in rows.values() for row in of_run]
            summary = compare(together)
            write_rows(table, together)
            write_rows(answers, summary)
            shown.update()
    say(f"{len(tasks)} runs; scores.csv and summary.csv are in {out}")
    return summary


def _results(tasks: Sequence[Callable[[], list[Row]]], jobs: int) -> Iterator[list[Row]]:
    """What the tasks return, as they end."""
    if jobs == 1:
        yield from (task() for task in tasks)
        return
    # Anew, not forked: JAX and TensorFlow have threads that a fork would lose.
    with ProcessPoolExecutor(jobs, get_context("spawn"), quiet_libraries) as pool:
        try:
            for done in as_completed(map(pool.submit, tasks)):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _one_run(
    name: str, seed: int, rows: list[Row], *, plan: Plan, data: str, out: Path
) -> list[Row]:
    """The rows of one run, which is begun, carried on, or done already; of it are known `rows`."""
    from .convi6 import fit

    settings = Settings(**plan.variants[name], seed=seed)
    traces = read_traces(data, settings.few_data_weight)
    neurons = neurons_of(traces, data)
    left_out = fold_of(neurons, plan.folds) == plan.leave_out[seed % len(plan.leave_out)]
    after = {*(k for k in plan.score_after if k < settings.epochs), settings.epochs}
    folder = out / _folder_name(name) / f"seed-{seed}"
    about = {
        "name": name,
        **{key: str(value) for key, value in asdict(settings).items()},
        "data": traces.fingerprint()[:16],
    }
    kept = folder / "scores.csv"
    rows = read_rows(kept) if kept.exists() else rows
    # The scores of other settings or data are no part of this table.
    if any(row[key] != value for row in rows for key, value in about.items()):
        raise TrainingError(
            f"{folder} or scores.csv holds another run; remove it, or name another (--out)"
        )

    def watch(run: Run) -> None:
        nonlocal rows
        if len(run.history) in after:
            # A run that was killed between scores and checkpoint does the epoch again.
            rows = [row for row in rows if int(row["epoch"]) != len(run.history)]
            for neuron, r in score_neurons(run, traces, neurons, left_out):
                scored = {"epoch": str(len(run.history)), "neuron": neuron}
                rows.append(scored | {"correlation": f"{r:.6f}"} | about)
            write_rows(kept, rows)

    if {int(row["epoch"]) for row in rows} != after:
        fit(traces.subset(~left_out), folder, settings, watch)
    return [row for row in rows if int(row["epoch"]) in after]


def score_neurons(
    run: Run, traces: Traces, neurons: Array, chosen: Mask
) -> list[tuple[str, float]]:
    """`(neuron, correlation)` of each neuron that has spikes, of the traces chosen by a mask
    `(trace,)`: the mean over its recordings. A rate that never varies has the correlation 0, as in
    the loss."""
    from .convi6 import correlations

    found: dict[str, list[float]] = {}
    where = np.flatnonzero(chosen).tolist()
    for i, r in zip(where, correlations(run.network, traces, where), strict=True):
        if (traces.spikes[i] > 0).any():
            found.setdefault(str(neurons[i]), []).append(np.nan_to_num(r))
    return [(name, float(np.mean(each))) for name, each in found.items()]


def compare(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each variant and epoch against the first variant at its last epoch, on the same neurons.

    A row has `name`, `epoch`, `seeds`, `neurons`, `mean` correlation; `difference`, `low` and
    `high`: mean paired difference with its 95% interval, by a bootstrap over seeds and, within a
    seed, over neurons; `answer`: "better", "worse" or "too small to tell".
    """
    cells: dict[tuple[str, int], dict[tuple[str, str], float]] = {}
    for row in rows:
        key = row["name"], int(row["epoch"])
        cells.setdefault(key, {})[row["seed"], row["neuron"]] = float(row["correlation"])
    reference = cells[max(key for key in cells if key[0] == rows[0]["name"])] if rows else {}
    summary = []
    for (name, epoch), cell in cells.items():
        by_seed: dict[str, list[float]] = {}
        for (seed, neuron), value in cell.items():
            if (seed, neuron) in reference:
                by_seed.setdefault(seed, []).append(value - reference[seed, neuron])
        groups = [np.array(values) for values in by_seed.values()]
        low, high = interval(groups)
        difference = np.concatenate(groups).mean() if groups else np.nan
        answer = "better" if low > 0 else "worse" if high < 0 else "too small to tell"
        neurons = len({neuron for _, neuron in cell})
        about = {"name": name, "epoch": epoch, "seeds": len(groups), "neurons": neurons}
        mean = np.mean([*cell.values()])
        numbers = {"mean": mean, "difference": difference, "low": low, "high": high}
        about |= {key: f"{value:.4f}" for key, value in numbers.items()}
        summary.append(about | {"answer": "-" if cell is reference else answer})
    return summary


def interval(groups: Sequence[Array]) -> tuple[float, float]:
    """95% interval of the mean of arrays `(value,)`: both they and their values are resampled."""
    if not groups:
        return np.nan, np.nan
    rng = np.random.default_rng(0)  # the same interval whenever it is asked for
    sizes = np.array([group.size for group in groups])
    values = np.array([np.pad(group, (0, sizes.max() - group.size)) for group in groups])
    chosen = rng.integers(len(groups), size=(RESAMPLES, len(groups)))
    within = (rng.random((*chosen.shape, sizes.max())) * sizes[chosen][..., None]).astype(int)
    counts = np.arange(sizes.max()) < sizes[chosen][..., None]
    drawn = values[chosen[..., None], within] * counts
    low, high = np.quantile(drawn.sum((1, 2)) / counts.sum((1, 2)), [0.025, 0.975])
    return low, high


def read_rows(path: str | Path) -> list[Row]:
    """A table as a list of dicts of text."""
    rows = list(csv.DictReader(io.StringIO(read_small(path))))
    return [row | {key: name_of_cell(row[key]) for key in _NAMES if row.get(key)} for row in rows]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write dicts with the same keys as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0] if rows else (), lineterminator="\n")
    writer.writeheader()
    for row in rows:  # names are people's own; all else is ours
        named = {key: header_cell(clean_name(row[key])) for key in _NAMES if key in row}
        writer.writerow(row | named)
    write_text(path, text.getvalue())


def _folder_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
