"""What each column of a CSV file is: a neuron, time stamps, a counter, or something else."""

import re
from dataclasses import dataclass, field

import numpy as np

from ..errors import DataError

SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "sek"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}
"""Length in s of the units of time, as people write them."""

COUNTERS = (
    *("frame", "frames", "frameno", "framenumber", "framenr", "frameid", "frameindex", "index"),
    *("slice", "sample", "samples", "row", "rows", "n", "nr", "no", "id", "unnamed0", "count"),
    *("counter", "z", "volume", "image", "bild"),
)
"""Headers of columns that count rows, in lower case without marks."""

UNITS = ("unitid", "unit", "neuron", "neuronid", "cell", "cellid", "roi", "roiid", "component")
"""Headers of the column that says which neuron a row of a long table is of."""

FEWEST_ROWS = 10
"""A column that increases over fewer rows is no counter or time by that alone."""

_UNIT = "|".join(sorted(SECONDS, key=len, reverse=True))
_TIME = re.compile(
    rf"(?:frame[ _]?)?(?:times?|t|timestamps?|time[ _]?stamps?|zeit|elapsed(?:[ _]time)?)"
    rf"(?:[ _]*[\[(/]?[ _]*(?:in[ _]+)?({_UNIT})[ _]*[\])]?)?"
    r"|(seconds?|secs?|milliseconds?|ms|minutes?)",
    re.IGNORECASE,
)
_IMAGEJ = re.compile(
    r"(area|mean|stddev|mode|min|max|x|y|xm|ym|perim\.?|bx|by|width|height|major|minor|angle|circ\.?"
    r"|feret\w*|intden|median|skew|kurt|%area|rawintden|ar|round|solidity|minthr|maxthr)"
    r"[ _]?(\d+|\(.*\))?",
    re.IGNORECASE,
)
_COUNT = re.compile(r"\d{1,9}", re.ASCII)
_LABELS = ("label", "labels", "file", "filename")


@dataclass
class CsvTable:
    """What a CSV file holds.

    `names` is a list of str; `values` a float64 array `(row, neuron)`, NaN where a cell is empty;
    `times` a float64 array `(row,)` of time stamps in s, or None; `notes` a list of lines for the
    user on what was left out or understood. `competition`: the header is that of the competition,
    0 to n - 1, and no column was anything but a neuron. `turned`: the file has a row for each
    neuron, named by its first column.
    """

    names: list
    values: np.ndarray
    times: np.ndarray | None = None
    notes: list = field(default_factory=list)
    competition: bool = False
    turned: bool = False


def plain(name):
    """A header in lower case without marks."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def time_scale(name):
    """Seconds in the unit of a header that means time (s where none stands), or None."""
    match = _TIME.fullmatch(name.strip().lstrip("# "))
    if not match:
        return None
    return SECONDS.get((match[1] or match[2] or "s").lower(), 1.0)


def names_rows(name, column):
    """Whether a first column names the neurons in rows, each with a name of its own."""
    return (
        isinstance(column, list)
        and len(column) > 1
        and (not name or plain(name) in (*UNITS, "name", "names", "rois", "cells", "neurons"))
        and all(isinstance(text, str) and re.match(r"[^\W\d]", text.strip()) for text in column)
        and len(set(column)) == len(column)
    )


def _has_unit(name):
    match = _TIME.fullmatch(name.strip().lstrip("# "))
    return bool(match and (match[1] or match[2]))


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
    long = _long(path, names, columns, kept)
    if long is not None:
        return long
    if not kept:
        raise DataError(
            f"{path} has time stamps but no neuron; give each neuron a column of its own"
        )
    _check_names(path, head, [names[k] for k in kept], [columns[k] for k in kept], kept)
    kept, more = _imagej(names, kept)
    notes += more
    kept, more = _accepted(head.status, kept, all_cells)
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
    if counts and enough and column[0] in (0, 1) and scale is not None and not _has_unit(name):
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


def _imagej(names, kept):
    """Of ImageJ's measurements of each ROI the means alone."""
    matches = {k: _IMAGEJ.fullmatch(names[k]) for k in kept}
    if not all(matches.values()):
        return kept, []
    kinds = {match[1].lower() for match in matches.values()}
    means = [k for k in kept if matches[k][1].lower() == "mean"]
    if len(kinds) < 2 or not means:
        return kept, []
    others = ", ".join(sorted(kinds - {"mean"}))
    return means, [f"ImageJ's measurements: the means read, {others} left out"]


def _accepted(status, kept, all_cells):
    """Of Inscopix's cells the accepted ones, if anybody has accepted some."""
    if status is None or all_cells:
        return kept, []
    accepted = [k for k in kept if status[k] == "accepted"]
    accepted = accepted or [k for k in kept if status[k] != "rejected"] or kept
    if len(accepted) == len(kept):
        return kept, []
    left = len(kept) - len(accepted)
    return accepted, [
        f"{left} of {len(kept)} cells left out, which Inscopix's header does not call accepted "
        "(--all-rois keeps them)"
    ]


def _long(path, names, columns, kept):
    """A long table (neuron, frame or time, value) with a column per neuron; None for another."""
    from_names = {plain(name): k for k, name in enumerate(names)}
    unit = next((from_names[n] for n in UNITS if n in from_names), None)
    if unit is None or isinstance(columns[unit], list) or len(names) > 5:
        return None
    stamps = [k for k in range(len(names)) if k != unit and time_scale(names[k]) is not None]
    frames = [k for k in range(len(names)) if plain(names[k]) in ("frame", "frames", "sample")]
    axis = (stamps or frames or [None])[0]
    values = [k for k in kept if k not in (unit, *stamps, *frames)]
    if axis is None or len(values) != 1 or isinstance(columns[axis], list):
        return None
    if np.isnan(columns[unit]).any() or np.isnan(columns[axis]).any():
        return None
    units, column = np.unique(columns[unit], return_inverse=True)
    places, row = np.unique(columns[axis], return_inverse=True)
    if len(units) == len(columns[unit]) or len(places) * len(units) > 100 * len(columns[unit]):
        return None
    if len(np.unique(row * len(units) + column)) != len(row):
        raise DataError(
            f"{path}: {names[axis]} repeats within {names[unit]}; give each neuron one value a "
            "frame"
        )
    table = np.full((len(places), len(units)), np.nan)
    table[row, column] = columns[values[0]]
    value = names[values[0]]
    notes = [f"a long table: {len(units)} neurons by {names[unit]}, their {value} by {names[axis]}"]
    if value in ("C", "S"):
        notes.append(f"{value} is what CaImAn and Minian call denoised or deconvolved traces; give "
                     "the raw ones (YrA) if it is that")  # fmt: skip
    times = places * time_scale(names[axis]) if stamps else None
    found = [f"{number:g}" for number in units]
    return CsvTable(found, table, times, notes)


def cell_error(path, row, column, head, what):
    """The `DataError` on a cell, row and column counted from 0."""
    return DataError(
        f"{path}, row {row + head.first_row}, column {column + 1} (neuron {head.names[column]}) "
        f"{what}; write a number, or leave the cell empty"
    )
