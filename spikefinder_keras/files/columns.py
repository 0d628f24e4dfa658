"""What each column of a table is: a neuron, time stamps, a counter, the number of a trial or what
is recorded beside; and whether its rows are neurons, or it is long.

Tables come from CSV files (`csv`) or from memory. Where two readings are possible the table is
refused, with what to change.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array, Table, Times
from ..errors import DataError, UsageError
from ..labels import (
    ORDINARY,
    RATES,
    alternates,
    counts_frames,
    frames_with_holes,
    is_fluorescence,
    is_no_trace,
    is_state,
    isosbestic,
    names_light,
    names_pieces,
    only_rises,
    plain,
    quantities,
    rank_of_quantity,
    restarts,
    scale_of,
    starts_of,
    time_unit,
    unit_of_time,
)
from ..text import counted

if TYPE_CHECKING:  # pandas takes longer to load than most files to be read
    import pandas as pd

SUMMARY = re.compile(
    r"(mean|average|avg|median|sd|std|stdev|stddev|sem|min|max|minimum|maximum|sum|total|count|var"
    r"|variance|mittelwert)(value)?"
)
"""What spreadsheets write before a row, or above a column, that sums up others."""

# Cells

MISSING = ("", "nan", "NaN", "NAN", "NA")
"""Texts of a cell without a sample; the competition's own files leave it empty."""

# `float` would take `1_000` and the digits of all scripts as well.
NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
INFINITE = re.compile(r"\s*[+-]?inf(inity)?\s*", re.ASCII | re.IGNORECASE)
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}:\d{2}(:\d{2})?|(?<!\d)\d+ days?")
_CLOCK = re.compile(r"\s*\d+:\d{1,2}(:\d{1,2})?(\.\d+)?\s*", re.ASCII)

# Headers, compared in lower case and without marks (`plain`)

_COUNTER = re.compile(
    r"frame(s|no|number|nr|id|index)?|index|slice|samples?|rows?|n|nr|no|id|unnamed0|count|counter"
    r"|z|volume|image|bild"
)
UNITS = (
    *("unitid", "unit", "neuron", "neuronid", "cell", "cellid", "roi", "roiid", "component"),
    *("neuronname", "cellname", "roiname", "cellspecimenid", "track", "trackid", "variable"),
)
"""Headers of the column that says which neuron a row of a long table is of."""
_NAMES = re.compile(rf"{'|'.join(UNITS)}|names?|rois|cells|neurons")
"""Headers of a column that names the neurons in rows."""
_IMAGEJ = re.compile(
    r"(area|mean|stddev|mode|min|max|x|y|xm|ym|perim\.?|bx|by|width|height|major|minor|angle|circ\.?"
    r"|feret\w*|intden|median|skew|kurt|%area|rawintden|ar|round|solidity|minthr|maxthr)"
    r"[ _]?(\d+|\(.*\))?",
    re.IGNORECASE,
)
_LAST_NUMBER = re.compile(r"(.*?)(?<!\d)(\d++(?:\.\d++)?)(\D*+)", re.ASCII | re.DOTALL)
NEURON_NUMBER = re.compile(r"\d{1,9}", re.ASCII)

SHORTEST_PIECES = 10
"""If most trials that a column tells are of fewer rows, it tells none, but changes as a signal."""
MOST_COLUMNS = 100
"""A header that only counts to more than these may as well count frames."""
SMOOTHER = 0.3
"""Values that go on along the rows so much more than down the columns, in correlations of
neighbours, have their time there."""

FEWEST_ROWS = 10
"""A column that increases over fewer rows is no counter or time by that alone."""
_SPARSEST = 100
"""Cells of a long table's result for each of its rows; a crafted file would ask for more memory."""
_FEW, _UNEVEN = 0.5, 0.25
"""A neuron of a long table has events and no trace if it has a value in less than this share of
the frames, and more than this one of its intervals is longer than `ORDINARY`: of events by chance a
third is, of frames hardly any."""


@dataclass
class CsvTable:
    """What a CSV file holds: `values` `(row, neuron)`, NaN where a cell is empty, `times` `(row,)`
    in s, and `notes` for the user on what was left out or understood.

    `competition`: the header is that of the competition, 0 to n - 1, and each column is a neuron.
    `turned`: the file has a row for each neuron, named by its first column. `starts` are the rows
    with which a trial or session begins, and `frame_rate` in Hz is a column's, None without one.
    `asks`: the header only counts, and the values say that the neurons may be rows. `frames` are
    the numbers `(row,)` of the frames from 0, where a column counts them.
    """

    names: list[str]
    values: Table
    times: Times | None = None
    notes: list[str] = field(default_factory=list)
    competition: bool = False
    turned: bool = False
    starts: tuple[int, ...] = (0,)
    frame_rate: float | None = None
    asks: bool = False
    frames: Array | None = None


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What is stated of a table.

    If `strict`, infinite values and texts such as `#DIV/0!` are errors and not missing, and nothing
    is left out by its values; `all_cells` keeps those that Inscopix's header does not call
    accepted. `turned` is that its rows are neurons. `rows` such as `LedState=2` are the only ones
    that are read, and `segments` is the name of the column of which each value is a segment.
    """

    strict: bool = True
    all_cells: bool = False
    turned: bool = False
    rows: str | None = None
    segments: str | None = None


def arrange(
    source: str, columns: dict[str, Array], options: TableOptions, *, texts: dict[str, list[str]]
) -> CsvTable:
    """What the columns `(row,)` of a table in memory are, by name; those in `texts` hold text."""
    names = [*columns]
    sheet = Sheet(source, names, "", 2, [])
    values = []
    for number, name in enumerate(names):
        stamps = dates(texts[name]) if name in texts else None
        if name in texts:
            sheet.texts[number] = Role.TEXT if stamps is None else Role.DATES
            sheet.cells[number] = texts[name]
            if number == 0 and stamps is None and names_rows(names, texts[name]):
                sheet.row_names = texts[name]
        values.append(columns[name] if stamps is None else stamps)
    return table_of(sheet, values, options)


class Role(StrEnum):
    """What a column can be beside a neuron, in the words of the notes."""

    TIMES = "holds time stamps"
    DATES = "holds dates"
    LABELS = "holds labels"
    COUNTER = "counts the rows"
    INCREASES = "only increases"
    EMPTY = "is empty"
    TEXT = "holds text"
    PIECES = "says which trial or session a row is of"
    RATE = "holds the frame rate"


@dataclass
class Sheet:
    """A file's header, and its `body`: lines with a comma between cells and a decimal point.

    `first_row` is the number in the file, from 1, of the first of these lines; `status` is
    Inscopix's second header row. `texts` says what columns of text are, of which some keep their
    `cells`, and `row_names` are those of neurons in rows. `headless`: the names are our own.
    `comments` are the numbers in the file of lines that are not in the body.
    """

    path: Path | str
    names: list[str]
    body: str
    first_row: int
    notes: list[str]
    status: list[str] | None = None
    texts: dict[int, Role] = field(default_factory=dict)
    row_names: list[str] | None = None
    cells: dict[int, list[str]] = field(default_factory=dict)
    headless: bool = False
    comments: list[int] = field(default_factory=list)

    @property
    def numbered(self) -> bool:
        """Whether the header is the competition's: 0 to n - 1."""
        return not self.headless and self.counts

    @property
    def counts(self) -> bool:
        return self.names == [str(number) for number in range(len(self.names))]

    def error(self, row: int, what: str) -> DataError:
        """The error on a row, counted from 0; -1 is the header."""
        number = row + self.first_row
        for line in self.comments:
            number += line <= number
        return DataError(f"{self.path}, row {number}{what}")

    def cell_error(self, row: int, column: int, what: str) -> DataError:
        return self.error(
            row,
            f", column {column + 1} (neuron {self.names[column]}) {what}; write a number, or leave "
            "the cell empty",
        )


def dates(texts: list[str]) -> Times | None:
    """Time stamps in s since the first of texts that are dates or times of day; else None."""
    import pandas as pd

    if not all(map(DATE.search, texts)):  # pandas takes the year 2020 or `now` as well
        return None
    if all(map(_CLOCK.fullmatch, texts)):
        clocks = np.array([_clock(text) for text in texts])
        return clocks - clocks[0]
    for convert in (
        lambda: pd.to_datetime(texts, format="ISO8601", utc=True),
        lambda: pd.to_timedelta(texts),
        lambda: pd.to_datetime(texts, format="mixed", utc=True, dayfirst=True),
    ):
        try:
            found = convert()
        except (ValueError, TypeError, OverflowError):
            continue
        if not found.isna().any():
            return np.asarray(np.asarray(found - found[0]) / np.timedelta64(1, "s"), np.float64)
    return None


def _clock(text: str) -> float:
    """s of `0:01.5` or `1:02:03`: where two parts stand they are minutes and seconds, as frames are
    not minutes apart."""
    seconds = 0.0
    for part in text.strip().split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


# Columns


def time_scale(name: str) -> float | None:
    """Seconds in the unit of a header that means time (s where none stands), or None."""
    unit = unit_of_time(name)
    return None if unit is None else scale_of(unit or "s")


def _role(
    sheet: Sheet, number: int, values: Array, *, leading: bool, wants_time: bool
) -> Role | None:
    """What a column is, None for a neuron: the first of the rules below that holds decides.

    `leading`: no neuron stands to its left. `wants_time`: nothing there holds time stamps.
    """
    name, several = sheet.names[number], len(sheet.names) > 1
    if several and names_pieces(name):
        return Role.PIECES
    if number in sheet.texts:
        role = sheet.texts[number]
        return Role.TIMES if role is Role.DATES and wants_time else role
    if several and plain(name) in RATES and np.unique(values[np.isfinite(values)]).size == 1:
        return Role.RATE
    scale, steps = time_scale(name), np.diff(values)
    increases = steps.size > 0 and bool((steps > 0).all())
    counts = increases and bool((steps == 1).all())
    is_counter = bool(_COUNTER.fullmatch(plain(name))) or counts_frames(name)
    enough = values.size >= FEWEST_ROWS
    empty = bool(np.isnan(values).all())
    # Only what a name says may start anew, as a trace falls, too.
    anew = enough and (scale is not None or is_counter) and _starts_anew(values)
    strictly = leading and time_unit(name) is not None
    called_time = (
        scale is not None and wants_time and (strictly or (enough and (increases or anew)))
    )
    from_start = counts and enough and values[0] in (0, 1)
    rises = leading and increases
    convinces = rises and enough and several
    rules = (
        # pandas writes an index without a name as `Unnamed: 0`, and Excel's empty columns likewise.
        (name.startswith("Unnamed:") and empty, Role.EMPTY),
        # 0, 1, 2, ... or 1, 2, 3, ... under `t` are frames and no seconds.
        (from_start and unit_of_time(name) == "", Role.COUNTER),
        (called_time, Role.EMPTY if empty else Role.TIMES),
        # Frame numbers may leave some out, but only before the neurons are they surely some.
        (is_counter and (counts or rises), Role.COUNTER),
        (counts_frames(name) and anew and bool((values % 1 == 0).all()), Role.COUNTER),
        # R and pandas write row numbers without a header.
        (leading and counts and (convinces or not name), Role.COUNTER),
        (not name and number == 0 and values.size == 1 and several, Role.COUNTER),
        # No fluorescence only increases.
        (rises and not name, Role.TIMES if wants_time else Role.INCREASES),
        (convinces and (wants_time or sheet.numbered), Role.TIMES),
    )
    return next((role for holds, role in rules if holds), None)


def _starts_anew(values: Array) -> bool:
    return not np.isnan(values).any() and restarts(values).size > 0


def table_of(sheet: Sheet, columns: list[Array], options: TableOptions) -> CsvTable:
    """Say what the columns are."""
    names = sheet.names
    if turned := _neurons_in_rows(sheet, columns, stated=options.turned):
        return turned
    wanted = options.rows
    if wanted is not None and "=" in wanted:
        columns, wanted = _rows_of(sheet, columns, wanted), None
    if wanted is not None:
        known = {*map(plain, names), *(each[1] for each in quantities(names) if each)}
        if plain(wanted) not in known:
            raise _no_variable(sheet, wanted)
    found = _Found()
    for number, values in enumerate(columns):
        wants_time = found.times is None
        role = _role(sheet, number, values, leading=not found.kept, wants_time=wants_time)
        if names[number] == options.segments:
            role = Role.PIECES
        _sort(sheet, number, values, role, found, options.strict)
    if options.segments is not None and options.segments not in names:
        raise UsageError(
            f"{sheet.path} has no column {options.segments} (--segments); it has "
            f"{', '.join(names[:12])}"
        )
    if long := _long_table(sheet, columns, found, wanted, strict=options.strict):
        return long
    beside = _beside(sheet, columns, found, options.strict)
    # Else they are all there is, but for dead neurons.
    if any(k not in beside and (columns[k] != columns[k][0]).any() for k in found.kept):
        found.kept = [k for k in found.kept if k not in beside]
        found.notes += [f"the column {names[k]!r} {why}: left out" for k, why in beside.items()]
    if not found.kept:
        raise DataError(
            f"{sheet.path} has time stamps but no neuron; give each neuron a column of its own"
        )
    if not options.strict:
        found.kept = _best_quantities(sheet, found, wanted)
    _check_names(sheet, {k: columns[k] for k in found.kept})
    starts = _starts(sheet, found, len(columns[0]), sure=options.segments)
    sheet.notes += found.notes
    kept = _accepted_by_inscopix(sheet, _means_of_imagej(sheet, found.kept), options.all_cells)
    values = np.stack([columns[k] for k in kept], axis=1)
    counting = sheet.counts and len(kept) == len(names)
    return CsvTable(
        [names[k] for k in kept],
        values,
        found.times,
        sheet.notes,
        competition=counting and sheet.numbered,
        starts=starts,
        frame_rate=found.rate,
        asks=counting and found.times is None and _goes_on_along_rows(values),
        frames=found.counted,
    )


@dataclass
class _Found:
    """What has been found among the columns: those `kept` as neurons, time stamps in s, frame rate
    in Hz, which columns count `frames` or tell the time, what they have `counted`, `pieces`, and
    notes."""

    kept: list[int] = field(default_factory=list)
    times: Times | None = None
    rate: float | None = None
    frames: list[int] = field(default_factory=list)
    counted: Array | None = None
    pieces: dict[int, Array] = field(default_factory=dict)
    anew: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _sort(
    sheet: Sheet, number: int, values: Array, role: Role | None, found: _Found, strict: bool
) -> None:
    """Put a column where it belongs."""
    name = sheet.names[number]
    if role is None:
        found.kept.append(number)
        if not strict and names_light(name) and alternates(values):
            lights = " and ".join(f"{each:g}" for each in np.unique(values[np.isfinite(values)]))
            raise DataError(
                f"{sheet.path}: the column {name!r} takes turns between {lights}, so the rows are "
                f"of different lights; choose those of one (--variable {name}={values[-1]:g})"
            )
        return
    if role is Role.TIMES:
        found.times = _times(sheet, number, values, found.notes)
        found.frames.append(number)
        return
    found.notes.append(f"the column {name!r} {role}: left out")
    if role is Role.PIECES:
        found.pieces[number] = values
    elif role is Role.RATE:
        rate = float(values[np.isfinite(values)][0])
        found.rate = rate if rate > 0 else None
        found.notes[-1] = f"the column {name!r} {role}, {rate:g} Hz"
    elif role is Role.COUNTER:
        found.frames.append(number)
        if _starts_anew(values):
            found.anew += restarts(values).tolist()
        elif found.counted is None:
            found.counted = frames_with_holes(values)
            if found.counted is not None and found.counted[-1] != values.size - 1:
                found.notes[-1] = (
                    f"the column {name!r} counts the frames, of which some are missing"
                )


def _rows_of(sheet: Sheet, columns: list[Array], rows: str) -> list[Array]:
    """The columns in the rows in which one of them has a stated value."""
    name, _, text = rows.rpartition("=")
    if name not in sheet.names or not NUMBER.fullmatch(text):
        raise _no_variable(sheet, rows)
    wanted = columns[sheet.names.index(name)] == float(text)
    if wanted.sum() < 2:
        raise UsageError(f"{sheet.path}: {name} is {text} in no row; name another (--variable)")
    sheet.cells = {
        number: [cell for cell, keep in zip(cells, wanted, strict=True) if keep]
        for number, cells in sheet.cells.items()
    }
    sheet.notes.append(f"the {int(wanted.sum())} of {wanted.size} rows in which {name} is {text}")
    return [values[wanted] for values in columns]


def _no_variable(sheet: Sheet, variable: str) -> UsageError:
    return UsageError(
        f"{sheet.path} holds one recording only; leave out the variable {variable} (--variable), "
        "or choose rows by the value in a column, such as LedState=2"
    )


def goes_along(corner: str) -> bool:
    """Whether the first cell of a table says of the header, not of its column, what stands there:
    times or frame numbers."""
    return unit_of_time(corner) is not None or counts_frames(corner)


def names_rows(header: list[str], texts: list[str]) -> bool:
    """Whether a first column names the neurons in rows, each with a name of its own: by what it is
    called, or by a header of times or frame numbers, of which there are more than neurons."""
    name, *others = header
    along = goes_along(name) and len(others) > len(texts) and all(map(NUMBER.fullmatch, others))
    return (
        len(set(texts)) == len(texts) > 1
        and (not name or along or bool(_NAMES.fullmatch(plain(name))))
        and all(text not in MISSING and re.match(r"[^\W\d]", text.strip()) for text in texts)
    )


def says_of_neurons(name: str, texts: list[str], *, sure: bool) -> bool:
    """Whether a column with text beside those of frames says something of the neurons in the rows:
    what is called a name, or not called at all, stands once. Numbers may stand in it if it is
    `sure` that rows are neurons; else it may be a trace with a slip."""
    called = not name or goes_along(name) or _NAMES.fullmatch(plain(name))
    fine = not called or len(set(texts)) == len(texts)
    return fine and (sure or not any(NUMBER.fullmatch(text) for text in texts))


@dataclass(frozen=True)
class FrameColumns:
    """The `columns` of a table of which each is a frame, time stamps `(frame,)` in s where the
    header holds them, and whether they are `sure` to be no neurons."""

    columns: range
    times: Times | None
    sure: bool


def frame_columns(names: Sequence[str], rows: int, *, named: bool = False) -> FrameColumns | None:
    """The columns of a table of so many `rows` that only count, `frame0, frame1, ...`, or tell the
    time, `0.03 s, 0.07 s, ...`, beside each other and most of all; None where there are none.

    What stands beside them says something of a neuron if each row is one. `named` is that the first
    column names the rows.
    """
    parts = [_numbered(name) for name in names]
    counts = Counter(form for form, _ in parts if form is not None)
    form, count = counts.most_common(1)[0] if counts else (None, 0)
    found = [k for k, part in enumerate(parts) if part[0] == form]
    if form is None or count < FEWEST_ROWS or 2 * count <= len(names):
        return None
    # Two that count are two parts of a recording, or of something else.
    if any(each >= FEWEST_ROWS for _, each in counts.most_common(2)[1:]):
        return None
    columns, numbers = range(found[0], found[-1] + 1), np.array([parts[k][1] for k in found])
    if len(columns) > count or not np.isfinite(numbers).all() or (np.diff(numbers) < 0).any():
        return None
    (before, behind), scale = form, None
    label = before or (names[0] if columns.start else "")  # with the unit, if none is behind
    if behind:
        scale = scale_of(behind)
    elif (numbers % 1 != 0).any():
        scale = time_scale(label) or 1.0
    elif before or named:  # else whole numbers may be those of neurons, in columns as ever
        scale = scale_of(time_unit(label))
    called = not before or unit_of_time(before) is not None
    tells = scale is not None and called and bool((np.diff(numbers) > 0).all())
    counting = counts_frames(before) or time_unit(before) == ""
    # A few may as well be samples of something else.
    sure = tells or (counting and count > rows)
    return FrameColumns(columns, numbers * scale if tells else None, sure)


def _numbered(name: str) -> tuple[tuple[str, str] | None, float]:
    """What stands before and behind the last number of a header, and the number; None and NaN
    without one."""
    if NUMBER.fullmatch(name):
        return ("", ""), float(name)
    if match := _LAST_NUMBER.fullmatch(name):
        return (match[1], match[3]), float(match[2])
    return None, float("nan")


def _neurons_in_rows(sheet: Sheet, columns: list[Array], *, stated: bool) -> CsvTable | None:
    """The table of a file in which columns are frames, but for those that say something of a
    neuron; None for another. `stated` is that rows are neurons."""
    names, named, count = sheet.names, sheet.row_names is not None, len(columns[0])
    frames = frame_columns(names, count, named=named)
    wide = sheet.headless and len(columns) > count
    sure = frames is not None and (frames.sure or stated)
    if not (named or sure or wide):
        return None
    inside = frames.columns if frames else range(int(named), len(names))
    beside = [k for k in range(len(names)) if k not in inside]
    ids, by = _ids(sheet, columns, beside)
    note, times = "neurons are rows", frames.times if frames else None
    if by is not None:
        note += f", named by {_label('' if goes_along(names[by]) else names[by])}"
    if times is not None:
        note += "; the header holds time stamps in s"
    if left := [repr(names[k]) for k in beside if k != by]:
        which = "the column {} is no frame" if len(left) == 1 else "the columns {} are no frames"
        note += f"; {which.format(', '.join(left[:6]) + ' ...' * (len(left) > 6))}: left out"
    sheet.notes.append(note)
    traces = np.stack([columns[k] for k in inside])  # a column is a frame
    return CsvTable(ids, traces, times, notes=sheet.notes, turned=True)


def _ids(sheet: Sheet, columns: list[Array], beside: list[int]) -> tuple[list[str], int | None]:
    """The names of neurons in rows, and the column `beside` their traces that has them, if any."""
    if sheet.row_names is not None:
        return sheet.row_names, 0
    for k in beside:
        found = sheet.cells.get(k) or [f"{each:g}" for each in columns[k]]
        called = plain(sheet.names[k])
        names = _NAMES.fullmatch(called) or _COUNTER.fullmatch(called) or len(beside) == 1
        if names and len(set(found)) == len(found):
            return found, k
    return [str(k) for k in range(len(columns[0]))], None


def _beside(sheet: Sheet, columns: list[Array], found: _Found, strict: bool) -> dict[int, str]:
    """Which of the columns that are left are no fluorescence, and why."""
    names, kept, known = sheet.names, found.kept, {*sheet.names}
    reasons = {k: "is no fluorescence by its name" for k in kept if is_no_trace(names[k])}
    if strict:
        return reasons
    # ImageJ's tables have a mean of each neuron, and more columns of its own.
    if sum(not _IMAGEJ.fullmatch(names[k]) for k in kept) > 1:
        summaries = [k for k in kept if SUMMARY.fullmatch(plain(names[k]))]
        reasons |= dict.fromkeys(summaries, "sums up others by its name")
    control = isosbestic([names[k] for k in kept if k not in reasons])
    others = [k for k in kept if k not in reasons]
    reasons |= {others[k]: "is of the isosbestic light, a control" for k in control}
    for k in kept:
        values, name = columns[k], names[k]
        partner = re.sub("^([xX])", lambda match: chr(ord(match[1]) + 1), name)
        if k in reasons or sheet.numbered:
            continue
        if unit_of_time(name) is not None:
            reasons[k] = "is time by its name"
        elif any(
            np.array_equal(values[:2], columns[j][:2]) and np.array_equal(values, columns[j])
            for j in found.frames
        ):
            reasons[k] = f"repeats {_label(names[found.frames[0]])}"
        elif only_rises(values, FEWEST_ROWS if partner != name and partner in known else None):
            reasons[k] = Role.INCREASES
        elif is_state(values):
            reasons[k] = "has a handful of values, as states have"
    return reasons


def _best_quantities(sheet: Sheet, found: _Found, wanted: str | None) -> list[int]:
    """Of the columns that are left one for each neuron, where several quantities of it are there,
    such as dF/F and spikes: the `wanted` one, else that which is nearest to dF/F."""
    kept = found.kept
    every = zip(kept, quantities([sheet.names[k] for k in kept]), strict=True)
    known = {k: each for k, each in every if each}
    if wanted is not None and plain(wanted) not in {name for _, name in known.values()}:
        raise _no_variable(sheet, wanted)

    def rank(name: str) -> int:
        return -1 if wanted is not None and name == plain(wanted) else rank_of_quantity(name)

    best: dict[str, str] = {}
    for neuron, name in known.values():
        if rank(name) < rank(best.setdefault(neuron, name)):
            best[neuron] = name
    for neuron, name in known.values():
        if rank(name) == rank(best[neuron]) and name != best[neuron] and is_fluorescence(name):
            raise UsageError(
                f"{sheet.path} has {best[neuron] or neuron} and {name or neuron} of a neuron; say "
                "which is to be read (--variable)"
            )
    good = {neuron for neuron, name in best.items() if is_fluorescence(name)}
    if known and not good and len(known) == len(kept):
        names = dict.fromkeys(name for _, name in known.values())
        raise DataError(
            f"{sheet.path}: {' and '.join(names)} is no fluorescence any more; give the "
            "fluorescence or dF/F that it was made from"
        )
    left = [k for k, (neuron, name) in known.items() if neuron not in good or name != best[neuron]]
    if not left or not good:
        return kept
    read = dict.fromkeys(best[neuron] or "the trace" for neuron in good)
    out = dict.fromkeys(known[k][1] or "the trace" for k in left)
    found.notes.append(
        f"several quantities of a neuron: {', '.join(read)} read, {', '.join(out)} left out"
    )
    return [k for k in kept if k not in left]


def _starts(sheet: Sheet, found: _Found, rows: int, *, sure: str | None) -> tuple[int, ...]:
    """Rows with which a trial or session begins, by columns that say so."""
    starts = {0, *found.anew}
    for number in found.pieces:
        pieces = starts_of(sheet.cells.get(number, found.pieces[number]))
        if sure is None and len(pieces) > 1 and rows < SHORTEST_PIECES * len(pieces):
            continue
        starts |= {*pieces}
    if len(starts) > 1:
        found.notes.append(f"{len(starts)} segments, by columns that count trials or sessions")
    return tuple(sorted(starts))


def _goes_on_along_rows(values: Table) -> bool:
    """Whether values `(row, column)` of many columns are alike from column to column, as of frames,
    and not from row to row."""
    if min(values.shape) < FEWEST_ROWS or values.shape[1] <= MOST_COLUMNS:
        return False
    part = values[:2_000, :2_000]
    part = part[:, np.isfinite(part).all(axis=0)]
    along = [_neighbours(each) for each in (part, part.T) if each.size]
    return len(along) == 2 and along[1] > along[0] + SMOOTHER


def _neighbours(values: Table) -> float:
    """Median correlation of neighbours down the columns of values `(row, column)`."""
    off = values - values.mean(axis=0)
    power = (off**2).mean(axis=0)
    there = power > 0
    found = (off[1:] * off[:-1]).mean(axis=0)[there] / power[there]
    return float(np.median(found)) if found.size else 0.0


def _times(sheet: Sheet, number: int, values: Times, notes: list[str]) -> Times:
    """Time stamps in s; `DataError` where one is missing or they are none by the header."""
    if number in sheet.texts:
        return values
    if np.isnan(values).any():
        raise sheet.error(int(np.isnan(values).argmax()), ": no time stamp; give one in s")
    if sheet.numbered:
        raise DataError(
            f"{sheet.path}: the first column only increases, as time stamps do, but is called 0 as "
            "a neuron; call it time (s), time (ms) or frame in the header"
        )
    name = sheet.names[number]
    scale = time_scale(name)
    if scale is None:
        notes.append(f"{_label(name)} increases: taken as time stamps in s")
        return values
    if scale != 1:
        notes.append(f"the column {name!r} holds time stamps in another unit than s: turned")
    return values * scale


def _label(name: str) -> str:
    return f"the column {name!r}" if name else "the first column"


def _check_names(sheet: Sheet, traces: dict[int, Array]) -> None:
    """Refuse a header without names, with one twice, or that is the first row of samples."""
    header = -1 if sheet.status is None else -2
    first = {name: number for number, name in reversed([*enumerate(sheet.names)])}
    for number in traces:
        name = sheet.names[number]
        is_number = NUMBER.fullmatch(name) or INFINITE.fullmatch(name) or name in MISSING
        if not name:
            what = "no name in the header; number the neurons"
        elif is_number and not NEURON_NUMBER.fullmatch(name):
            what = f"{name} is no neuron number; add the missing header row 0, 1, ..."
        elif first[name] < number:
            what = (
                f"{name} stands twice; give every neuron its own name, or add the missing "
                "header row 0, 1, ..."
            )
        else:
            continue
        raise sheet.error(header, f", column {number + 1}: {what}")
    names = [sheet.names[number] for number in traces]
    count = len(names)
    numbers = [int(name) for name in names if NEURON_NUMBER.fullmatch(name)]
    if len(numbers) < count or numbers in ([*range(count)], [*range(1, count + 1)]):
        return
    # Spike counts without a header: its numbers are among those below them.
    inside = 0
    for each, column in zip(numbers, traces.values(), strict=True):
        known = column[np.isfinite(column)]
        whole = known.size > 2 and (known == known.round()).all()
        inside += bool(whole and known.min() <= each <= known.max())
    if 2 * inside > count:
        raise sheet.error(
            header,
            f": the header {', '.join(names[:4])} ... looks like a row of data; add the header row "
            "0, 1, ... (or names of the neurons)",
        )


# What other programs put into tables


def _means_of_imagej(sheet: Sheet, kept: list[int]) -> list[int]:
    """Keep of ImageJ's measurements of each ROI the means alone."""
    matches = [_IMAGEJ.fullmatch(sheet.names[k]) for k in kept]
    kinds = [match[1].lower() for match in matches if match]
    others = sorted({*kinds} - {"mean"})
    if len(kinds) < len(kept) or "mean" not in kinds or not others:
        return kept
    sheet.notes.append(f"ImageJ's measurements: the means read, {', '.join(others)} left out")
    return [k for k, kind in zip(kept, kinds, strict=True) if kind == "mean"]


def _accepted_by_inscopix(sheet: Sheet, kept: list[int], all_cells: bool) -> list[int]:
    """Keep of Inscopix's cells the accepted ones, if anybody has accepted some."""
    status = sheet.status
    if status is None or all_cells:
        return kept
    accepted = [k for k in kept if status[k] == "accepted"]
    accepted = accepted or [k for k in kept if status[k] != "rejected"] or kept
    if left := len(kept) - len(accepted):
        sheet.notes.append(
            f"{left} of {len(kept)} cells left out, which Inscopix's header does not call accepted "
            "(--all-rois keeps them)"
        )
    return accepted


def _long_table(
    sheet: Sheet, columns: list[Array], found: _Found, wanted: str | None, *, strict: bool
) -> CsvTable | None:
    """A long table (neuron, frame or time, value) with a column per neuron; None for another. Of
    several values, which none has if `strict`, the `wanted` one is taken, or that which surely is
    fluorescence."""
    import pandas as pd

    names = sheet.names
    unit, by_name = _neuron_column(sheet, found)
    stamps = [k for k, name in enumerate(names) if k != unit and unit_of_time(name) is not None]
    frames = [k for k, name in enumerate(names) if counts_frames(name)]
    apart = {unit, *stamps, *frames, *found.pieces, *sheet.texts}
    values = [k for k in found.kept if k not in apart]
    if unit is None or not (stamps or frames) or not values:
        return None
    neurons = sheet.cells.get(unit, columns[unit])
    several = len(values) > 1
    if several:
        if strict or 2 * len({*neurons}) > len(neurons):
            return None
        values = _values_of(sheet, {k: columns[k] for k in values}, neurons, wanted)
    axis, value = (stamps or frames)[0], names[values[0]]
    dated = sheet.texts.get(axis) is Role.DATES
    missing = np.isnan(columns[axis]).any() or (unit not in sheet.cells and np.isnan(neurons).any())
    if missing or (axis in sheet.texts and not dated):
        return None
    long = pd.DataFrame({"neuron": neurons, "at": columns[axis], "value": columns[values[0]]})
    pieces = pd.DataFrame({k: sheet.cells.get(k, cells) for k, cells in found.pieces.items()})
    long["piece"] = _in_order(pieces, long["at"])
    count = long["neuron"].nunique()
    samples = len(long[["piece", "at"]].drop_duplicates()) * count
    sparsest = _SPARSEST if by_name and not several else 1.5
    if count == len(long) or samples > sparsest * len(long):
        return None
    order = list(dict.fromkeys(neurons)) if unit in sheet.cells else None
    try:
        table = long.pivot(index=["piece", "at"], columns="neuron", values="value")
    except ValueError:
        raise DataError(
            f"{sheet.path}: {names[axis]} repeats within {names[unit]}; give each neuron one value "
            "a frame, and a name of its own, with that of its plane or animal in it"
        ) from None
    table = table if order is None else table[order]
    if _holds_events(table):
        raise DataError(
            f"{sheet.path}: the {value} of each {names[unit]} is at few and uneven times, as "
            "events are; give the traces, a value in every frame"
        )
    if len(values) > 1:
        raise UsageError(
            f"{sheet.path} is a long table of {' and '.join(names[k] for k in values)}; say which "
            "is to be read (--variable)"
        )
    sheet.notes.append(
        f"a long table: {counted(count, 'neuron')} by {names[unit]}, their {value} by {names[axis]}"
    )
    if value in ("C", "S"):
        sheet.notes.append(
            f"{value} is what CaImAn and Minian call denoised or deconvolved traces; give the raw "
            "ones (YrA) if it is that"
        )
    scale = 1.0 if dated else time_scale(names[axis]) or 1.0
    at = np.asarray(table.index.get_level_values("at"), np.float64)
    headers = [n if isinstance(n, str) else f"{n:g}" for n in table.columns]
    starts = starts_of(np.asarray(table.index.get_level_values("piece")))
    return CsvTable(
        headers,
        table.to_numpy(),
        at * scale if stamps else None,
        sheet.notes,
        starts=starts,
        frame_rate=found.rate,
        frames=None if stamps else frames_with_holes(at),
    )


def _in_order(pieces: "pd.DataFrame", at: "pd.Series") -> Array:
    """The number of the trial or session that each row of a long table is of, by the columns that
    tell it: in the order of time or frames, where these go on, else of their own numbers. Rows come
    in any order, and a neuron may lack the first one."""
    if pieces.columns.empty:
        return np.zeros(len(at), int)
    numbered = all(kind.kind in "fiu" for kind in pieces.dtypes)
    # Time may start anew in each trial.
    found = pieces.groupby([*pieces.columns], sort=numbered, dropna=False).ngroup()
    ends = at.groupby(found).agg(["min", "max"]).sort_values("min")
    if (ends["max"].to_numpy()[:-1] < ends["min"].to_numpy()[1:]).all():
        found = found.map(dict(zip(ends.index, range(len(ends)), strict=True)))
    return found.to_numpy()


def _holds_events(table: "pd.DataFrame") -> bool:
    """Whether the columns of a long table's result, indexed by piece and time, are sparse and
    uneven: planes that take turns are sparse, frames that are lost uneven."""
    pieces, at = (np.asarray(table.index.get_level_values(k)) for k in ("piece", "at"))
    sparse, uneven = [], []
    for column in table.to_numpy().T:
        rows = np.flatnonzero(~np.isnan(column))
        steps = np.diff(at[rows])[np.diff(pieces[rows]) == 0]
        if steps.size:
            sparse.append(rows.size / (rows[-1] - rows[0] + 1))
            uneven.append(np.mean(steps > ORDINARY * np.median(steps)))
    return bool(sparse and np.median(sparse) < _FEW and np.median(uneven) > _UNEVEN)


def _values_of(
    sheet: Sheet,
    columns: dict[int, Array],
    neurons: Array | list[str],
    wanted: str | None,
) -> list[int]:
    """Which columns of a long table may be its value: one where that is plain, at least one."""
    import pandas as pd

    names = {k: sheet.names[k] for k in columns}
    if wanted is not None:
        return [k for k in names if plain(names[k]) == plain(wanted)] or [*names]
    # Where a cell is, or which mouse it is of, does not change.
    changes = pd.DataFrame(columns).groupby(np.asarray(neurons)).nunique().max() > 1
    left = [k for k in names if changes[k] and not is_no_trace(names[k])] or [*names]
    every = zip(left, quantities([names[k] for k in left]), strict=True)
    known = {k: each[1] for k, each in every if each and is_fluorescence(each[1])}
    ranks = {k: rank_of_quantity(name) for k, name in known.items()}
    return [k for k in ranks if ranks[k] == min(ranks.values())] or left


def _neuron_column(sheet: Sheet, found: _Found) -> tuple[int | None, bool]:
    """The column that says which neuron a row of a long table is of, and whether its name does."""
    plain_names = {plain(name): k for k, name in enumerate(sheet.names)}
    by_name = next((plain_names[name] for name in UNITS if name in plain_names), None)
    if by_name is not None:
        return by_name, True
    texts = [
        k
        for k, role in sheet.texts.items()
        if role is Role.TEXT and k not in found.pieces and len(set(sheet.cells[k])) > 1
    ]
    return (texts[0] if len(texts) == 1 else None), False
