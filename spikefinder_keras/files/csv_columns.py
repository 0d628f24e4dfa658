"""What each column of a CSV file is: a neuron, time stamps, a counter, or something else."""

import re

import numpy as np

from ..errors import DataError
from .csv_names import UNITS, CsvTable, has_unit, plain, time_scale
from .csv_programs import accepted_by_inscopix, long_table, means_of_imagej

COUNTERS = (
    *("frame", "frames", "frameno", "framenumber", "framenr", "frameid", "frameindex", "index"),
    *("slice", "sample", "samples", "row", "rows", "n", "nr", "no", "id", "unnamed0", "count"),
    *("counter", "z", "volume", "image", "bild"),
)
"""Headers of columns that count rows, in lower case without marks."""

FEWEST_ROWS = 10
"""A column that increases over fewer rows is no counter or time by that alone."""

_COUNT = re.compile(r"\d{1,9}", re.ASCII)
_LABELS = ("label", "labels", "file", "filename")
_NO_TRACE = re.compile(
    r"(stim\w*|(running|wheel|treadmill)?(speed|velocity|position)|running|locomotion|licks?|licking"
    r"|rewards?|pupil\w*|trial(no|nr|number|id|index)?|ttl|trigger|sync|temperature|whisk\w*)\d*"
)
"""Headers, in lower case without marks, of what is recorded beside fluorescence."""


def names_rows(name, column):
    """Whether a first column names the neurons in rows, each with a name of its own."""
    return (
        isinstance(column, list)
        and len(column) > 1
        and (not name or plain(name) in (*UNITS, "name", "names", "rois", "cells", "neurons"))
        and all(isinstance(text, str) and re.match(r"[^\W\d]", text.strip()) for text in column)
        and len(set(column)) == len(column)
    )


def arrange(path, head, columns, all_cells=False):
    """Say what the columns are.

    Parameters
    ----------
    path : str or Path
        Named in errors.
    head : csv_reader._Head
        With `names` and Inscopix's `status`.
    columns : list of float64 arrays `(row,)`, or of text where no cell is a number
    all_cells : bool
        Keep cells that are not accepted.

    Returns
    -------
    CsvTable
    """
    names = head.names
    if len(columns) > 1 and names_rows(names[0], columns[0]):
        values = np.stack(columns[1:])  # a column of the file is a frame
        label = f"the column {names[0]!r}" if names[0] else "the first column"
        return CsvTable(
            [text.strip() for text in columns[0]],
            values,
            notes=[f"neurons are rows, named by {label}"],
            turned=True,
        )
    counted = [str(number) for number in range(len(names))]
    kept, times, notes = [], None, []
    leading = True
    for number, (name, column) in enumerate(zip(names, columns, strict=True)):
        what, stamps = _kind(path, head, number, column, leading, times is None, names == counted)
        if what == "time":
            times = stamps
            if time_scale(name) not in (None, 1.0):
                notes.append(
                    f"the column {name!r} holds time stamps in another unit than s: turned"
                )
            if time_scale(name) is None and not isinstance(column, list):
                label = f"the column {name!r}" if name else "the first column"
                notes.append(f"{label} increases: taken as time stamps in s")
        elif what is not None:
            notes.append(f"the column {name!r} {what}: left out")
        else:
            leading = False
            kept.append(number)
    long = long_table(path, names, columns, kept)
    if long is not None:
        return long
    beside = [k for k in kept if _NO_TRACE.fullmatch(plain(names[k]))]
    if len(beside) < len(kept):
        kept = [k for k in kept if k not in beside]
        notes += [
            f"the column {names[k]!r} is no fluorescence by its name: left out" for k in beside
        ]
    if not kept:
        raise DataError(
            f"{path} has time stamps but no neuron; give each neuron a column of its own"
        )
    _check_names(path, head, [names[k] for k in kept], [columns[k] for k in kept], kept)
    kept, more = means_of_imagej(names, kept)
    notes += more
    kept, more = accepted_by_inscopix(head.status, kept, all_cells)
    return CsvTable(
        [names[k] for k in kept],
        np.stack([columns[k] for k in kept], axis=1),
        times,
        notes + more,
        names == counted and len(kept) == len(names),
    )


def _kind(path, head, number, column, leading, want_time, competition):
    """`(what, time stamps)` of a column; `(None, None)` for a neuron."""
    name = head.names[number]
    scale = time_scale(name)
    if name.startswith("Unnamed:") and not isinstance(column, list) and np.isnan(column).all():
        return "is empty", None
    if isinstance(column, list):
        if plain(name) in _LABELS:
            return "holds labels", None
        stamps = _dates(column)
        if stamps is None:
            row = next(k for k, text in enumerate(column) if isinstance(text, str))
            text = column[row]
            raise cell_error(path, row, number, head, f"is not a number: {text[:20]!r}")
        return ("time", stamps) if want_time else ("holds dates", None)
    steps = np.diff(column)
    increasing = column.size > 1 and bool((steps > 0).all())
    counts = increasing and bool((steps == 1).all())
    enough = column.size >= FEWEST_ROWS
    if counts and enough and column[0] in (0, 1) and scale is not None and not has_unit(name):
        return "counts the rows", None
    if scale is not None and want_time and (leading or (increasing and enough)):
        missing = np.flatnonzero(np.isnan(column))
        if missing.size and missing.size == column.size:
            return "is empty", None
        if missing.size:
            raise DataError(
                f"{path}, row {missing[0] + head.first_row}: no time stamp; give one in s"
            )
        return "time", column * scale
    if (plain(name) in COUNTERS or not name) and increasing and leading:
        if counts or plain(name) in COUNTERS:
            return "counts the rows", None
        return ("time", column) if want_time else ("only increases", None)
    if not name and column.size == 1 and number == 0 and len(head.names) > 1:
        return "counts the rows", None
    if plain(name) in COUNTERS and counts:
        return "counts the rows", None
    if leading and increasing and enough and len(head.names) > 1:
        if counts:
            return "counts the rows", None
        if competition:
            raise DataError(
                f"{path}: the first column only increases, as time stamps do, but is called 0 as "
                "a neuron; call it time (s), time (ms) or frame in the header"
            )
        if want_time:
            return "time", column
    return None, None


def _dates(column):
    """Time stamps in s since the first of texts that are dates or times of day; else None."""
    import pandas as pd

    if not all(isinstance(text, str) for text in column):
        return None
    for convert in (
        lambda: pd.to_datetime(column, format="ISO8601", utc=True),
        lambda: pd.to_timedelta(column),
        lambda: pd.to_datetime(column, format="mixed", utc=True, dayfirst=True),
    ):
        try:
            found = convert()
        except (ValueError, TypeError, OverflowError):
            continue
        if not found.isna().any():
            return np.asarray((found - found[0]) / pd.Timedelta(seconds=1), np.float64)
    return None


def _check_names(path, head, names, columns, kept):
    row = head.first_row - 1 - (head.status is not None)
    first = {}
    for number, name in enumerate(head.names):
        first.setdefault(name, number)
    for name, number in zip(names, kept, strict=True):
        column = number + 1
        if not name:
            raise DataError(
                f"{path}, row {row}, column {column}: no name in the header; number the neurons"
            )
        if _is_number(name) and not _COUNT.fullmatch(name):
            raise DataError(
                f"{path}, row {row}, column {column}: {name} is no neuron number; "
                "add the missing header row 0, 1, ..."
            )
        if first[name] < number:
            raise DataError(
                f"{path}, row {row}, column {column}: {name} stands twice; "
                "give every neuron its own name, or add the missing header row 0, 1, ..."
            )
    if all(map(_COUNT.fullmatch, names)) and not _counts_up(names):
        inside = 0
        for name, column in zip(names, columns, strict=True):
            known = column[np.isfinite(column)]
            whole = known.size > 2 and (known == known.round()).all()
            inside += bool(whole and known.min() <= int(name) <= known.max())
        if 2 * inside > len(names):
            raise DataError(
                f"{path}, row {row}: the header {', '.join(names[:4])} ... looks like a row of "
                "data; add the header row 0, 1, ... (or names of the neurons)"
            )


def _is_number(name):
    try:
        float(name)
    except ValueError:
        return name in ("NA",)
    return "_" not in name


def _counts_up(names):
    """Whether a header numbers the neurons, from 0 or 1."""
    return any([int(n) for n in names] == list(range(s, s + len(names))) for s in (0, 1))


def cell_error(path, row, column, head, what):
    """The `DataError` on a cell, row and column counted from 0."""
    return DataError(
        f"{path}, row {row + head.first_row}, column {column + 1} (neuron {head.names[column]}) "
        f"{what}; write a number, or leave the cell empty"
    )
