"""The main job: all sets of a competition folder in, the submission's CSV files and scores out."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..arrays import Numbers, Table, numpy_settings
from ..console import bar, cores, text_table
from ..constants import SPLIT_LENGTH, SPLITS
from ..datasets import DATASETS, trace_lengths
from ..errors import DataError, OutputError
from ..files.atomic import check_output_folder, hash_of, read_json, remove_file, write_text
from ..files.downloads import cached_weights, data_cache
from ..network.engine import as_engine
from ..network.predict import CalciumTable, predict_tables
from ..network.weights import PUBLISHED, find_weights
from ..text import counted
from .scoring import Scores, best_published, published_score, score
from .simulated_data import simulate
from .tables import REAL, data_origin, file_name, find_file, find_sets, read_set, write_csv

RECORD = "run.json"
"""Says in the folder of a submission which run wrote it: weights, data, files."""
COLUMNS = (
    "mean correlation with the true spikes at 25 Hz: plain, rescaled as published, and the "
    "published means of 2017"
)
"""Explains `score_table`."""


@dataclass(frozen=True)
class PredictedSet:
    """One set, its true spikes (None where unknown) and its predicted rates, `(time, neuron)`."""

    split: str
    number: int
    calcium: Table
    spikes: Table | None
    rates: Table

    @property
    def title(self) -> str:
        dataset = DATASETS[self.number - 1]
        kind = {"train": "training", "test": "test"}[self.split]
        return f"{kind} set {self.number} ({dataset.indicator}, {dataset.area})"


@dataclass(frozen=True)
class SetResult:
    """One predicted set: where its rates `(time, neuron)` are, their correlations at 25 Hz by the
    two protocols where the truth is known, and how many samples inside traces the data lack."""

    split: str
    number: int
    path: Path
    rates: Table
    plain: Scores | None
    published: Scores | None
    missing: int


@numpy_settings()
def submission(
    data: Path | str | None = None,
    weights: Path | str | None = None,
    out: Path | str = "submission",
    progress: bool = False,
    say: Callable[[str], object] = str,
) -> list[SetResult]:
    """Predict every set of a competition folder and write the files that were submitted.

    Parameters
    ----------
    data
        Folder with `spikefinder.train` and `spikefinder.test`, or some files of them. By default
        `$SPIKEFINDER_DATA`, else the folder of `spikefinder-keras download data`, else simulated
        data, made in `out/simulated`.
    weights
        See `weights.find_weights`. By default `"published"` if downloaded, else `"described"`.
    out
        Folder for `<n>.train.spikes.csv` and `<n>.test.spikes.csv`, and `RECORD`. What an earlier
        run has written there is replaced as a whole.
    progress
        Show it on the standard error.
    say
        Receives lines of text: what is used, and what deserves notice.
    """
    out = check_output_folder(out)
    weights = weights or default_weights()
    file = find_weights(weights)  # before data are simulated
    data, kind = find_data(data, out, progress)
    sets = find_sets(data)
    among = (data, *(data / f"spikefinder.{split}" for split in SPLITS))
    # Calcium of these names is beside them where the spikes of anybody's are the true ones.
    true = any((out / file_name(*each, "calcium")).exists() for each in sets)
    if true or out.resolve() in [folder.resolve() for folder in among]:
        raise OutputError(
            f"in {out} the rates would replace the true spikes, whose files have the same names; "
            "choose another folder (--out)"
        )
    origin = data_origin(data)
    say(f"data:    {origin}, {kind} ({data}, {counted(len(sets), 'set')})")
    say(f"weights: {weights}")
    if origin != REAL:
        say(
            "the scores of 2017 in the table are those of the real recordings, for comparison alone"
        )
    network = as_engine(weights)
    record = {
        "program": f"spikefinder-keras {__version__}",
        "weights": str(weights),
        "weights_sha256": hash_of(file),
        "data": str(data.absolute()),
        "origin": origin,
        "files": [file_name(*each, "spikes") for each in sets],
    }
    earlier = _earlier(out, record)
    # Until all is there nothing says that it is one run's, only which files are by this program.
    listed = sorted({*record["files"], *(path.name for path in earlier)})
    begun = {"program": record["program"], "files": listed}

    # Writing and scoring a set takes about as long as predicting one.
    def finish(each: PredictedSet) -> tuple[SetResult, list[str]]:
        split, number = each.split, each.number
        path = out / file_name(split, number, "spikes")
        if _read_record(out) != begun:
            _write_record(out, begun)
        write_csv(path, each.rates)
        # Not before there is something in their place.
        while earlier:
            if (old := earlier.pop()) != path:
                remove_file(old)
        plain = published = None
        if each.spikes is not None:
            plain = score(each.spikes, each.rates)
            published = score(each.spikes, each.rates, protocol="published")
        missing = int(missing_inside(each.calcium).sum())
        lines = list(notices(each.calcium, f"{split} set {number}"))
        return SetResult(split, number, path, each.rates, plain, published, missing), lines

    results = []
    with ThreadPoolExecutor(1) as pool:  # finishes a set while the next ones are predicted
        for result, lines in pool.map(finish, predict_sets(network, data, progress)):
            results.append(result)
            for line in lines:
                say(line)
    _write_record(out, record)
    return results


def _read_record(out: Path) -> dict[str, Any]:
    """What an earlier run says of itself; nothing if there is none."""
    try:
        return dict(read_json(out / RECORD))
    except (OSError, ValueError, TypeError):
        return {}


def _write_record(out: Path, record: dict[str, Any]) -> None:
    write_text(out / RECORD, json.dumps(record, indent=1) + "\n")


def _earlier(out: Path, record: dict[str, Any]) -> list[Path]:
    """What an earlier run has written and this one does not replace: if it was one of other weights
    or data, all. `OutputError` if there are rates of which nothing says that they are ours."""
    before = _read_record(out)
    listed = before.get("files")
    ours = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
    known = {file_name(split, d.number, "spikes") for split in SPLITS for d in DATASETS}
    there = {name for name in known if (out / name).is_file()}
    if strange := sorted(there - ours):
        raise OutputError(
            f"{out} holds rates of another run, such as {strange[0]}, of which no {RECORD} says "
            "what made them; choose another folder (--out)"
        )
    if (out / RECORD).exists() and "program" not in before:
        raise OutputError(f"{out / RECORD} is not by this program; choose another folder (--out)")
    same = all(before.get(key) == record[key] for key in ("weights_sha256", "data", "origin"))
    gone = there & ours - set(record["files"]) if same else there & ours
    return [out / name for name in gone]


def predict_sets(
    network: Any, folder: Path | str, progress: bool = False
) -> Iterator[PredictedSet]:
    """Read every set of a competition folder, then predict each by an engine or a Keras model,
    padded as the released run did."""
    sets = find_sets(folder)
    # Read before anything is predicted: a damaged last table must not cost the first ones' time.
    with ThreadPoolExecutor(cores()) as pool:
        tables = pool.map(lambda each: read_set(folder, *each), sets)
        pairs = list(bar(tables, "reading", "set", progress, len(sets)))
    for k, (split, number) in enumerate(bar(sets, "predicting", "set", progress)):
        calcium, spikes = pairs[k]
        truth = spikes if split == "train" else None
        # Tables longer than the competition's are padded by themselves.
        longest = SPLIT_LENGTH[split] if len(calcium) <= SPLIT_LENGTH[split] else None
        (rates,) = predict_tables(network, [CalciumTable(calcium, number, truth, longest)])
        yield PredictedSet(split, number, calcium, spikes, rates)


def default_weights() -> str:
    """The published weights if they have been downloaded, else the embedded ones."""
    return PUBLISHED if cached_weights(PUBLISHED) else "described"


def find_data(
    data: Path | str | None = None, out: Path | str = "submission", progress: bool = False
) -> tuple[Path, str]:
    """The competition folder to use, as `submission` describes, and what it is."""
    if data is not None:
        if not Path(data).is_dir():
            raise DataError(
                f"there is no folder {data}; name the one that holds spikefinder.train (--data)"
            )
        return Path(data), "given"
    if from_environment := os.environ.get("SPIKEFINDER_DATA"):
        return find_data(from_environment)[0], "given by SPIKEFINDER_DATA"
    folder = data_cache()
    # One set is enough: a download that was stopped is finished by the next one.
    if any(find_file(folder, "train", dataset.number, "calcium") for dataset in DATASETS):
        return folder, "downloaded"
    return simulate(Path(out) / "simulated", progress=progress), "made for this run"


def missing_inside(calcium: Table) -> Numbers:
    """Count missing samples before each trace's end, `(neuron,)`."""
    inside = np.arange(len(calcium))[:, None] < trace_lengths(calcium)
    return (np.isnan(calcium) & inside).sum(axis=0)


def notices(calcium: Table, name: str) -> Iterator[str]:
    """What a user should know of a table `(time, neuron)` before trusting its rates; lines."""
    missing = missing_inside(calcium)
    if samples := int(missing.sum()):
        are = "is" if samples == 1 else "are"
        neurons = counted(int(np.count_nonzero(missing)), "neuron")
        yield (
            f"{name}: {counted(samples, 'sample')} {are} missing inside the traces of {neurons}; "
            "they counted as 0, as in 2017"
        )
    for neuron in np.flatnonzero(trace_lengths(calcium) == 0):
        yield f"{name}: neuron {neuron} has no calcium at all; its rates are left empty"


def score_table(results: list[SetResult]) -> str:
    """The scores of `submission` as text, beside the published ones."""
    rows = [("set", "", "neurons", "plain", "as published", "convi6 2017", "best other 2017")]
    for result in results:
        best = best_published(result.split, result.number)
        rows.append(
            (
                f"{result.split} {result.number}",
                DATASETS[result.number - 1].indicator,
                str(result.rates.shape[1]),
                _mean(result.plain),
                _mean(result.published),
                _number(published_score(result.split, result.number)),
                f"{best[0]:.3f} {best[1]}" if best else "-",
            )
        )
    for split in dict.fromkeys(result.split for result in results):
        # Over all neurons, not over sets: large sets count more.
        plain = _pooled([r.plain for r in results if r.split == split])
        published = _pooled([r.published for r in results if r.split == split])
        if plain:
            count = len(plain.values) - plain.left_out
            rows.append((f"{split}, all", "", str(count), _mean(plain), _mean(published), "", ""))
    text = text_table(rows, right=(2, 3, 4, 5)) + "\n" + COLUMNS
    left_out = sum(result.plain.left_out for result in results if result.plain is not None)
    if left_out:
        have, are = ("has", "is") if left_out == 1 else ("have", "are")
        why = f"{have} no score (no spikes, or no calcium) and {are} left out"
        text += f"\n{counted(left_out, 'neuron')} {why}"
    return text


def _pooled(scores: list[Scores | None]) -> Scores | None:
    """The scores of several sets as of one; None where no set has any."""
    known = [each.values for each in scores if each is not None]
    return Scores(np.concatenate(known), ()) if known else None


def _mean(scores: Scores | None) -> str:
    return _number(None if scores is None else scores.mean)


def _number(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.3f}"
