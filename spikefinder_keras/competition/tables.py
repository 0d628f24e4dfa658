"""Read and write the competition's files.

A table is a float64 array `(time, neuron)` as in the CSV files: one row per 10 ms, one column per
neuron, NaN where a neuron has no sample (shorter neurons end in NaN). The files stand in
`spikefinder.train/` and `spikefinder.test/`, or side by side.
"""

import csv
import io
import re
from pathlib import Path

import numpy as np

from ..constants import SPLITS
from ..datasets import DATASETS
from ..errors import DataError
from ..files.sources import is_original
from ..files.whole_files import whole_file

SIMULATED_MARK = "simulated.json"
"""A file in the folder of simulated data, which says how they were made."""

REAL, SIMULATED, OTHER = "the competition's own", "simulated", "of another origin"
"""What `data_origin` tells apart."""

MISSING = ("", "nan", "NaN", "NAN", "NA")
"""Texts of a cell without a sample; the competition's own files leave it empty."""

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
_QUOTED_CELL = re.compile(rb'(?<![^,\n])"([^",\n]*)"(?![^,\n])')


def file_name(split, number, kind):
    """`file_name("train", 4, "calcium")` is `"4.train.calcium.csv"`."""
    return f"{number}.{split}.{kind}.csv"


def find_file(folder, split, number, kind):
    """Path of a competition file in `folder` (see the module's first lines), or None."""
    name = file_name(split, number, kind)
    candidates = (Path(folder) / f"spikefinder.{split}" / name, Path(folder) / name)
    try:
        return next((path for path in candidates if path.is_file()), None)
    except OSError as error:
        raise DataError(f"cannot look for {name} in {folder} ({error.strerror})") from error


def find_sets(folder):
    """The sets of which `folder` holds the calcium: a list of `(split, number)`, training first.

    Raises
    ------
    DataError
        If there is none.
    """
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


def data_origin(folder):
    """Where the data of a folder are from: `REAL`, `SIMULATED` or `OTHER`.

    Real is what has the competition's content, byte for byte, in every file that would be read.
    """
    if (Path(folder) / SIMULATED_MARK).is_file():
        return SIMULATED
    files = [
        find_file(folder, split, number, kind)
        for split, number in find_sets(folder)
        for kind in ("calcium", "spikes")
    ]
    own = all(is_original(path) for path in files if path is not None)
    return REAL if own else OTHER


def read_set(folder, split, number):
    """Read one set.

    Returns
    -------
    calcium : float64 array `(time, neuron)`
    spikes : float64 array `(time, neuron)` or None
        Counts per 10 ms; None where the truth is not in the folder.

    Raises
    ------
    DataError
        If the calcium is missing, a file is malformed or the two tables differ in shape.
    """
    paths = [find_file(folder, split, number, kind) for kind in ("calcium", "spikes")]
    if paths[0] is None:
        raise DataError(f"{file_name(split, number, 'calcium')} is not in {folder}")
    calcium = read_csv(paths[0])
    if paths[1] is None:
        return calcium, None
    spikes = read_csv(paths[1])
    check_same_shape(calcium, spikes, *paths)
    return calcium, spikes


def check_same_shape(first, second, first_name, second_name):
    """Raise `DataError` with both shapes unless the two tables `(time, neuron)` agree in shape."""
    if first.shape != second.shape:
        raise DataError(
            f"{first_name} has {first.shape[0]} rows x {first.shape[1]} neurons, but {second_name} "
            f"has {second.shape[0]} x {second.shape[1]}; give two tables of the same recording"
        )


def read_csv(path):
    """Read a table of the competition's format, strictly.

    Parameters
    ----------
    path : str or Path
        Comma-separated text: a header row that names the neurons (0, 1, ... or other distinct
        names), then one row per sample, with a decimal point, an empty cell for a missing sample.

    Returns
    -------
    float64 array `(time, neuron)`, NaN where a cell is empty.

    Raises
    ------
    DataError
        If the file is missing or empty, has no header, rows of different length, a cell that is no
        finite number, or an encoding or separator other than the above. The message names file, row
        and column, counted from 1.
    """
    return read_table(path)[1]


def read_table(path):
    """As `read_csv`, with the header: a list of names, and the table `(time, neuron)`."""
    text = _read_text(path)
    header, _, body = text.partition(b"\n")
    names = _check_header(path, header)
    # Blank lines at the end are harmless; only with one neuron can they stand for missing samples.
    body = body.rstrip(b"\n") if len(names) > 1 else body.removesuffix(b"\n")
    if not body.strip():
        raise DataError(f"{path} has a header but no samples; give one row per 10 ms")
    body = _QUOTED_CELL.sub(rb"\1", body + b"\n")
    _check_field_counts(path, body, len(names))
    table = _parse(path, body, names)
    if np.isinf(table).any():
        row, column = np.argwhere(np.isinf(table))[0]
        raise _cell_error(path, row, column, names, "is infinite")
    return names, table


def write_csv(path, table, names=None):
    """Write a table in the competition's format, whole or not at all.

    Parameters
    ----------
    path : str or Path
    table : array `(time, neuron)`
        Numbers are written with 12 significant digits, as the competition's files; NaN as an empty
        cell.
    names : sequence of str, optional
        Header; by default 0, 1, ...

    Raises
    ------
    OutputError
        If the file cannot be written; a previous file of that name is then still there.
    """
    import pandas as pd

    frame = pd.DataFrame(np.asarray(table), columns=names)
    with whole_file(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.12g", lineterminator="\n")


def _read_text(path):
    """The file's bytes with `\\n` line ends, after the checks that concern the file as a whole."""
    try:
        text = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from error
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is UTF-16 text; save it as UTF-8")
    if b"\0" in text:
        row = text[: text.index(b"\0")].count(b"\n") + 1
        raise DataError(
            f"{path}, row {row}: a NUL byte; this is not a CSV text file, or a damaged one"
        )
    text = text.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not text.strip():
        raise DataError(f"{path} is empty; give a header row and one row per 10 ms")
    return text


def _check_header(path, header):
    try:
        line = header.decode()
    except UnicodeDecodeError:
        raise DataError(f"{path}, row 1: not UTF-8 text; save it as UTF-8") from None
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if separator in line:
            raise DataError(
                f"{path}, row 1: {name} between the cells; write commas, and a decimal point"
            )
    try:
        names = [name.strip() for name in next(csv.reader([line]))] or [""]
    except csv.Error as error:
        raise DataError(f"{path}, row 1: no header of a CSV file ({error})") from None
    for column, name in enumerate(names, 1):
        if not name:
            raise DataError(
                f"{path}, row 1, column {column}: no name in the header; number the neurons"
            )
        number = _NUMBER.fullmatch(name) or name in (*MISSING, "inf", "-inf")
        if number and not name.isdigit():
            raise DataError(
                f"{path}, row 1, column {column}: {name} is no neuron number; "
                "add the missing header row 0, 1, ..."
            )
        if name in names[: column - 1]:
            raise DataError(
                f"{path}, row 1, column {column}: {name} stands twice; "
                "give every neuron its own name, or add the missing header row 0, 1, ..."
            )
    return names


def _check_field_counts(path, body, columns):
    """Refuse rows of another length; pandas would shift or fill them silently."""
    characters = np.frombuffer(body, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    commas = np.flatnonzero(characters == ord(","))
    fields = np.diff(np.searchsorted(commas, ends), prepend=0) + 1
    wrong = np.flatnonzero(fields != columns)
    if wrong.size:
        row = wrong[0]
        raise DataError(
            f"{path}, row {row + 2}: {fields[row]} cells where the header has {columns}; "
            "give every row one cell per neuron"
        )


def _parse(path, body, names):
    import pandas as pd

    options = {
        "header": None,
        "names": range(len(names)),
        "index_col": False,
        "skip_blank_lines": False,
        "na_values": list(MISSING),
        "keep_default_na": False,
        # A quotation mark left here is an error of its cell, and must not join cells or rows.
        "quoting": csv.QUOTE_NONE,
    }
    lower = body.lower()
    if b"true" not in lower and b"false" not in lower:  # pandas takes these for 1 and 0
        try:
            return pd.read_csv(io.BytesIO(body), dtype=np.float64, **options).to_numpy()
        except (ValueError, OverflowError):  # pandas' parser errors are ValueErrors
            pass
    cells = pd.read_csv(io.BytesIO(body), dtype=str, encoding_errors="replace", **options)
    for row, values in enumerate(cells.itertuples(index=False)):
        for column, value in enumerate(values):
            if isinstance(value, str) and not _NUMBER.fullmatch(value):
                raise _cell_error(path, row, column, names, f"is not a number: {value[:20]!r}")
    raise DataError(f"{path} cannot be read as numbers; write plain decimal numbers")


def _cell_error(path, row, column, names, what):
    return DataError(
        f"{path}, row {row + 2}, column {column + 1} (neuron {names[column]}) {what}; "
        "write a number, or leave the cell empty"
    )
