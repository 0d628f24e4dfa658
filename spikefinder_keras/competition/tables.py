"""Read and write the competition's files.

A table is a float64 array `(time, neuron)` as in the CSV files: one row per 10 ms, one column per
neuron, NaN where a neuron has no sample (shorter neurons end in NaN). The files stand in
`spikefinder.train/` and `spikefinder.test/`, or side by side.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..arrays import ArrayLike, Table
from ..constants import SAMPLE_RATE, SPLITS
from ..datasets import DATASETS
from ..errors import DataError
from ..files.atomic import whole_file
from ..files.csv import read_table
from ..files.downloads import is_original
from ..text import header_cell

SIMULATED_MARK = "simulated.json"
"""A file in the folder of simulated data, which says how they were made."""

STEP = 1 / SAMPLE_RATE  # s from row to row
NEAR = 0.01  # of it; time stamps are rounded

ROWS = 4_096  # rows that are written at a time: their text takes a few MB

REAL, SIMULATED, OTHER = "the competition's own", "simulated", "of another origin"
"""What `data_origin` tells apart."""


def file_name(split: str, number: int, kind: str) -> str:
    """Name of a competition file: `"4.train.calcium.csv"` for `"train"`, 4 and `"calcium"`."""
    return f"{number}.{split}.{kind}.csv"


def find_file(folder: Path | str, split: str, number: int, kind: str) -> Path | None:
    """Path of a competition file in `folder` (see the module's first lines), or None."""
    name = file_name(split, number, kind)
    candidates = (Path(folder) / f"spikefinder.{split}" / name, Path(folder) / name)
    try:
        return next((path for path in candidates if path.is_file()), None)
    except OSError as error:
        raise DataError(f"cannot look for {name} in {folder} ({error.strerror})") from error


def find_sets(folder: Path | str) -> list[tuple[str, int]]:
    """The sets `(split, number)` of which `folder` holds the calcium, training first; `DataError`
    if there is none."""
    # Those with calcium alone can be predicted, so they count as well.
    sets = [
        (split, dataset.number)
        for split in SPLITS
        for dataset in DATASETS
        if find_file(folder, split, dataset.number, "calcium")
    ]
    if not sets:
        raise DataError(
            f"no competition file such as spikefinder.train/1.train.calcium.csv in {folder}; "
            "name the folder that holds spikefinder.train, or fetch it with "
            "`spikefinder-keras download data`"
        )
    return sets


def data_origin(folder: Path | str) -> str:
    """Where the data of a folder are from: `REAL`, `SIMULATED` or `OTHER`. Real is what has the
    competition's content, byte for byte, in every file that would be read."""
    if (Path(folder) / SIMULATED_MARK).is_file():
        return SIMULATED
    files = [
        find_file(folder, split, number, kind)
        for split, number in find_sets(folder)
        for kind in ("calcium", "spikes")
    ]
    own = all(is_original(path) for path in files if path is not None)
    return REAL if own else OTHER


def read_set(folder: Path | str, split: str, number: int) -> tuple[Table, Table | None]:
    """Read calcium and spikes `(time, neuron)` of one set, in counts per 10 ms; the spikes are None
    where the truth is not in the folder. `DataError` if the calcium is missing, a file is malformed
    or the two tables differ in shape."""
    calcium_file, spikes_file = (
        find_file(folder, split, number, kind) for kind in ("calcium", "spikes")
    )
    if calcium_file is None:
        raise DataError(f"{file_name(split, number, 'calcium')} is not in {folder}")
    calcium = read_csv(calcium_file)
    if spikes_file is None:
        return calcium, None
    spikes = read_csv(spikes_file)
    check_same_shape(calcium, spikes, calcium_file, spikes_file)
    return calcium, spikes


def check_same_shape(
    first: Table, second: Table, first_name: Path | str, second_name: Path | str
) -> None:
    """Raise `DataError` with both shapes unless the two tables `(time, neuron)` agree in shape."""
    if first.shape != second.shape:
        raise DataError(
            f"{first_name} has {first.shape[0]} rows x {first.shape[1]} neurons, but {second_name} "
            f"has {second.shape[0]} x {second.shape[1]}; give two tables of the same recording"
        )


def read_pair(
    truth: Path | str, prediction: Path | str
) -> tuple[Table, Table, list[str], list[str]]:
    """Read true spikes and predicted rates `(time, neuron)`, in the order of the truth's neurons;
    the neurons' names; notes on what was left out, and on how the neurons were matched. `DataError`
    if the files are not of the same recording."""
    first, second = read_table(truth), read_table(prediction)
    notes = []
    for path, table in ((truth, first), (prediction, second)):
        notes += [f"{path}: {note}" for note in table.notes]
        if table.times is None or table.times.size < 2:
            continue
        step = float(np.median(np.diff(table.times)))
        if abs(step - STEP) > NEAR * STEP:
            notes.append(
                f"{path}: its time stamps are {step:.3g} s apart, but are taken for {STEP:g} s: "
                "bring truth and rates to 100 Hz"
            )
    names, order, rates = first.names, second.names, second.values
    only = sorted(set(names) ^ set(order))
    if only and set(names) & set(order):  # a column was lost, or it is another file
        raise DataError(
            f"{truth} and {prediction} have different neurons ({', '.join(only[:6])} in one "
            "only); give the same columns in both"
        )
    check_same_shape(first.values, rates, truth, prediction)
    # By name where names agree; other programs number neurons from 1, or order them as text.
    if only:
        notes.append(f"{prediction}: neurons matched by their place, as the names are others")
    elif names != order:
        notes.append(f"{prediction}: neurons put into the order of {truth} by their names")
        place = {name: k for k, name in enumerate(order)}
        rates = rates[:, [place[name] for name in names]]
    return first.values, rates, names, notes


def read_csv(path: Path | str) -> Table:
    """Read a table `(time, neuron)` of the competition's format, or another CSV file, strictly.

    Comma-separated text: a header row that names the neurons (0, 1, ... or other distinct names),
    then one row per sample, with a decimal point, an empty cell for a missing sample. Columns of
    time stamps and counters are left out; see `files.csv.read_table` for more, and for errors.
    """
    return read_table(path).values


def write_csv(path: Path | str, table: ArrayLike, names: Sequence[str] | None = None) -> None:
    """Write a table in the competition's format, whole or not at all.

    Numbers of the table `(time, neuron)` are written with 12 significant digits, as the
    competition's files; NaN as an empty cell. The header is 0, 1, ... unless `names` are given.
    `OutputError` if the file cannot be written; a previous one is then still there.
    """
    import pandas as pd

    header = None if names is None else [header_cell(name) for name in names]
    values = np.asarray(table)
    frame = pd.DataFrame(values, columns=header)
    # Python writes a row at once, much faster than pandas; but that knows how to write an empty
    # line, and numbers that are no floats.
    simple = values.ndim == 2 and values.shape[1] > 1 and values.dtype.kind == "f"
    by_pandas = frame.iloc[:0] if simple else frame
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        by_pandas.to_csv(file, index=False, float_format="%.12g", lineterminator="\n")
        if simple:
            row = ",".join(["%.12g"] * values.shape[1]) + "\n"
            for first in range(0, len(values), ROWS):
                lines = [row % tuple(each) for each in values[first : first + ROWS].tolist()]
                file.write("".join(lines).replace("nan", ""))
