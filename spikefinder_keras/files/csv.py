"""The one reader of CSV files: the competition's, people's own, and those of other programs.

text -> separator and decimal sign -> header and cells -> what each column is: a neuron, time stamps
or a counter. Where two readings are possible the file is refused, with what to change.
"""

import csv
import io
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from ..arrays import Array, Table, Times
from ..errors import DataError
from ..text import counted, name_of_cell
from .atomic import open_ordinary

# Text. Possessive quantifiers and bounded repeats here and below: a crafted file must not be
# searched anew at each of its characters.

_SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
_HAS_SEPARATOR = re.compile(r".*[,;\t]")
# Excel reads and writes a first line such as `sep=;`. The last line of all is no comment.
_COMMENT = re.compile(r"((?:#|%|//).*|[ \t]*sep=(.)[ \t]*)\n(?=\s*\S)", re.IGNORECASE)
_QUOTED = re.compile(r'(?<![^,\n])"([^",\n]*)"(?![^,\n])')

# Cells

MISSING = ("", "nan", "NaN", "NAN", "NA")
"""Texts of a cell without a sample; the competition's own files leave it empty."""

# Excel in English and German, pandas, R, MATLAB, C on Windows.
_SPREADSHEET = re.compile(
    r"#(DIV/0!|N/A|NV|VALUE!|WERT!|NUM!|ZAHL!|REF!|BEZUG!|NAME\?|NULL!)|n/a|N/A|n\.a\.|null|NULL"
    r"|[Nn]one|<NA>|-nan|-NaN|NaT|--?|missing|-?1\.#(QNAN|IND|INF)"
)
"""What stands in cells where there is no number; missing in own recordings."""

# `float` would take `1_000` and the digits of all scripts as well.
NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
_INFINITE = re.compile(r"\s*[+-]?inf(inity)?\s*", re.ASCII | re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}:\d{2}(:\d{2})?|(?<!\d)\d+ days?")
# ImageJ's labels begin with the name of the movie.
_LABEL = re.compile(r"[^<>]*\.(tiff?|avi|nd2|czi|lif|png)\b.*", re.IGNORECASE)

# Headers, compared in lower case and without marks (`plain`)

SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "sek"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}
"""Length in s of the units of time, as people write them."""

_UNIT = "|".join(sorted(SECONDS, key=len, reverse=True))
_TIME = re.compile(
    rf"(?:frame[ _]?)?(?:times?|t|timestamps?|time[ _]?stamps?|zeit|elapsed(?:[ _]time)?)"
    rf"(?:[ _]*[\[(/]?[ _]*(?:in[ _]+)?({_UNIT})[ _]*[\])]?)?"
    r"|(seconds?|secs?|milliseconds?|ms|minutes?)",
    re.IGNORECASE,
)
_COUNTER = re.compile(
    r"frame(s|no|number|nr|id|index)?|index|slice|samples?|rows?|n|nr|no|id|unnamed0|count|counter"
    r"|z|volume|image|bild"
)
_UNITS = ("unitid", "unit", "neuron", "neuronid", "cell", "cellid", "roi", "roiid", "component")
"""Headers of the column that says which neuron a row of a long table is of."""
_NAMES = re.compile(rf"{'|'.join(_UNITS)}|names?|rois|cells|neurons")
_LABELS = ("label", "labels", "file", "filename")
# What is recorded beside fluorescence.
_NO_TRACE = re.compile(
    r"(stim\w*|(running|wheel|treadmill)?(speed|velocity|position)|running|locomotion|licks?|licking"
    r"|rewards?|pupil\w*|trial(no|nr|number|id|index)?|ttl|trigger|sync|temperature|whisk\w*)\d*"
)
_IMAGEJ = re.compile(
    r"(area|mean|stddev|mode|min|max|x|y|xm|ym|perim\.?|bx|by|width|height|major|minor|angle|circ\.?"
    r"|feret\w*|intden|median|skew|kurt|%area|rawintden|ar|round|solidity|minthr|maxthr)"
    r"[ _]?(\d+|\(.*\))?",
    re.IGNORECASE,
)
_INSCOPIX = {"accepted", "rejected", "undecided"}
_NEURON_NUMBER = re.compile(r"\d{1,9}", re.ASCII)

FEWEST_ROWS = 10
"""A column that increases over fewer rows is no counter or time by that alone."""
_LONGEST_LONG = 5
"""Columns of a long table at most: neuron, frame, time, value and one that counts its rows."""
_SPARSEST = 100
"""Cells of a long table's result for each of its rows; a crafted file would ask for more memory."""


@dataclass
class CsvTable:
    """What a CSV file holds: `values` `(row, neuron)`, NaN where a cell is empty, `times` `(row,)`
    in s, and `notes` for the user on what was left out or understood.

    `competition`: the header is that of the competition, 0 to n - 1, and each column is a neuron.
    `turned`: the file has a row for each neuron, named by its first column.
    """

    names: list[str]
    values: Table
    times: Times | None = None
    notes: list[str] = field(default_factory=list)
    competition: bool = False
    turned: bool = False


def read_table(path: Path | str, strict: bool = True, *, all_cells: bool = False) -> CsvTable:
    """Read a CSV file: a header row that names the neurons, then one row per sample.

    If `strict`, infinite values and texts such as `#DIV/0!` are errors and not missing; `all_cells`
    keeps those that Inscopix's header does not call accepted. `DataError` is raised if the file is
    missing or empty, has no header, rows of different length, a cell that is no number, or can be
    read in two ways; it names file, row and column, counted from 1.
    """
    sheet = _split(path, _read_text(path))
    # pandas reads almost every file at once. It would shift or fill rows of another length and name
    # no cell, so what it does not take is read again, cell by cell.
    columns = _numbers_at_once(sheet) or _read_cells(sheet, strict)
    table = _arrange(sheet, columns, all_cells)
    for number, values in enumerate(columns if strict else []):
        if np.isinf(values).any():
            raise sheet.cell_error(int(np.isinf(values).argmax()), number, "is infinite")
    return table


# Text -> header and lines of cells


class _Role(StrEnum):
    """What a column can be beside a neuron, in the words of the notes."""

    TIMES = "holds time stamps"
    DATES = "holds dates"
    LABELS = "holds labels"
    COUNTER = "counts the rows"
    INCREASES = "only increases"
    EMPTY = "is empty"


@dataclass
class _Sheet:
    """A file's header, and its `body`: lines with a comma between cells and a decimal point.

    `first_row` is the number in the file, from 1, of the first of these lines; `status` is
    Inscopix's second header row. `texts` says what columns of text are, and `row_names` are those
    of neurons in rows.
    """

    path: Path | str
    names: list[str]
    body: str
    first_row: int
    notes: list[str]
    status: list[str] | None = None
    texts: dict[int, _Role] = field(default_factory=dict)
    row_names: list[str] | None = None

    @property
    def numbered(self) -> bool:
        """Whether the header is the competition's: 0 to n - 1."""
        return self.names == [str(number) for number in range(len(self.names))]

    def error(self, row: int, what: str) -> DataError:
        """The error on a row, counted from 0; -1 is the header."""
        return DataError(f"{self.path}, row {row + self.first_row}{what}")

    def cell_error(self, row: int, column: int, what: str) -> DataError:
        return self.error(
            row,
            f", column {column + 1} (neuron {self.names[column]}) {what}; write a number, or leave "
            "the cell empty",
        )


def _read_text(path: Path | str) -> str:
    """The file's text with `\\n` line ends; bytes that are no UTF-8 are lone surrogates."""
    try:
        with open_ordinary(path) as file:
            content = file.read()
        # Excel's "Unicode text" is UTF-16.
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = content.decode("utf-16") if wide else content.decode(errors="surrogateescape")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from error
    except UnicodeError:
        raise DataError(f"{path} is damaged UTF-16 text; save it as UTF-8") from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    before, nul, _ = text.partition("\0")
    if nul:
        row = before.count("\n") + 1
        raise DataError(
            f"{path}, row {row}: a NUL byte; this is not a CSV text file, or a damaged one"
        )
    if not text.strip():
        raise DataError(f"{path} is empty; give a header row and one row per sample")
    return text


def _split(path: Path | str, text: str) -> _Sheet:
    """Find header, separator, decimal sign and samples."""
    at = len(text) - len(text.lstrip("\n"))
    # Where only one neuron is, a blank line may be its header.
    at = at if _HAS_SEPARATOR.match(text, at) else 0
    comments, separator = [""] * at, ""
    while match := _COMMENT.match(text, at):
        comments.append(match[1])
        separator = match[2] or separator
        at = match.end()
    first_row, notes = len(comments) + 2, []
    header, _, body = text[at:].partition("\n")
    if comments:
        cells, above = (re.split(r"[,;\t]", line) for line in (header, comments[-1]))
        # numpy.savetxt writes the header as a comment, and a row of numbers below it.
        if len(cells) == len(above) and all(not c or NUMBER.fullmatch(c) for c in cells):
            header, body = comments.pop().lstrip("#%/ "), text[at:]
            first_row -= 1
    if comments:
        lines = "one line" if len(comments) == 1 else f"{len(comments)} lines"
        notes.append(f"{lines} of comment before the header left out")
    elif header.startswith("#"):
        header = header.lstrip("# ")
    separator = separator or _separator(path, header, body)
    sheet = _Sheet(path, [], body, first_row, notes)
    try:
        header.encode()
        sheet.names = [name_of_cell(cell.strip()) for cell in _cells(header, separator)] or [""]
    except UnicodeEncodeError:
        raise sheet.error(-1, ": not UTF-8 text; save it as UTF-8") from None
    except (csv.Error, TypeError, ValueError) as error:
        raise sheet.error(-1, f": no header of a CSV file ({error})") from None
    _read_status(sheet, separator)
    _unify_signs(sheet, separator)
    if not sheet.body.strip():
        raise DataError(f"{path} has a header but no samples; give one row per sample")
    # Blank lines at the end are harmless; only with one neuron can they stand for missing samples.
    alone = len(sheet.names) == 1
    body = (sheet.body.removesuffix("\n") if alone else sheet.body.rstrip("\n")) + "\n"
    sheet.body = _QUOTED.sub(r"\1", body) if '"' in body else body
    return sheet


def _cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _separator(path: Path | str, header: str, body: str) -> str:
    """What divides the header into as many cells as the first row."""
    first = body.partition("\n")[0]
    found = [sep for sep in _SEPARATORS if sep in header]
    numbers = first.split()
    no_sign = not found and not _HAS_SEPARATOR.match(first)
    if no_sign and len(numbers) > 1 and all(map(NUMBER.fullmatch, numbers)):
        raise DataError(
            f"{path}: its cells are separated by blanks; separate them by commas, semicolons or "
            "tabs"
        )
    for sep in found:
        try:
            if len(_cells(header, sep)) == len(_cells(first, sep)):
                return sep
        except csv.Error:  # endless cells; reading will name the place
            continue
    return (found or [","])[0]


def _read_status(sheet: _Sheet, separator: str) -> None:
    """Take off Inscopix's second header: `Time(s)/Cell Status, accepted, rejected, ...`."""
    line, _, rest = sheet.body.partition("\n")
    first, *status = [cell.strip() for cell in line.lower().split(separator)]
    if len(status) + 1 == len(sheet.names) > 1 and _INSCOPIX.issuperset(status):
        sheet.names[0] = line.split(separator)[0].strip().split("/")[0] or sheet.names[0]
        sheet.status, sheet.body, sheet.first_row = [first, *status], rest, sheet.first_row + 1


def _unify_signs(sheet: _Sheet, separator: str) -> None:
    """Turn decimal commas into points and separators into commas."""
    if separator == ",":
        return
    if "," in sheet.body:
        end = rf"[^\n{re.escape(separator)}]"
        comma, point = (
            re.search(rf"(?<!{end})[\t ]{{,9}}-?\d++{sign}\d++[\t ]{{,9}}(?!{end})", sheet.body)
            for sign in (",", r"\.")
        )
        # One of the two would be a mark of thousands, and nobody can say which.
        if comma and point:
            raise sheet.error(
                sheet.body[: comma.start()].count("\n"),
                ": decimal commas here and decimal points elsewhere; write all numbers alike",
            )
        sheet.body = sheet.body.replace(",", ".")
        marks = _SEPARATORS.get(separator, "marks")
        sheet.notes.append(f"{marks} and decimal commas understood")
    sheet.body = sheet.body.replace(separator, ",")


# Cells


def _numbers_at_once(sheet: _Sheet) -> list[Array] | None:
    """The columns `(row,)`, all numbers; None where pandas cannot tell or would guess."""
    import pandas as pd

    body, width = sheet.body, len(sheet.names)
    lower = body.lower()
    if "true" in lower or "false" in lower:  # pandas takes these for 1 and 0
        return None
    # It would fill short rows; a last column without a name may be what spreadsheets leave there.
    if body.count(",") != body.count("\n") * (width - 1) or not sheet.names[-1]:
        return None
    try:
        table = pd.read_csv(
            io.BytesIO(body.encode()),
            header=None,
            dtype=np.float64,
            skip_blank_lines=False,
            keep_default_na=False,
            na_values=list(MISSING),
            # A quotation mark left here is an error of its cell, and must not join cells or rows.
            quoting=csv.QUOTE_NONE,
        )
    except (ValueError, OverflowError):  # pandas' parser errors are ValueErrors
        return None
    return list(table.to_numpy().T) if table.shape[1] == width else None


def _read_cells(sheet: _Sheet, strict: bool) -> list[Array]:
    """The columns `(row,)`, read cell by cell; dates become seconds, other text NaN."""
    columns: list[Array] = []
    odd: list[str] = []
    bad: list[tuple[int, int, str]] = []
    rows = _rows(sheet)
    for number, texts in enumerate(map(list, zip(*rows, strict=True))):
        values, row = _numbers(texts, strict, odd)
        if row is not None:
            name = sheet.names[number]
            times = None if sheet.row_names else _dates(texts)
            if number == 0 and len(sheet.names) > 1 and _names_rows(name, texts):
                sheet.row_names = [each.strip() for each in texts]
            elif plain(name) in _LABELS and _LABEL.fullmatch(texts[row]):
                sheet.texts[number] = _Role.LABELS
            elif times is not None:
                sheet.texts[number], values = _Role.DATES, times
            else:
                bad.append((row, number, texts[row]))
        columns.append(values)
    all_text = len(bad) == len(columns) > 1 and all(row == 0 for row, _, _ in bad)
    if all_text and any(NUMBER.fullmatch(cells[0]) for cells in rows[1:]):
        raise sheet.error(
            0, ": no cell is a number, as in a second header; remove this row, or the one above it"
        )
    if bad:
        row, number, cell = min(bad)
        raise sheet.cell_error(row, number, f"is not a number: {cell[:20]!r}")
    if odd:
        sheet.notes.append(f"{len(odd)} cells such as {odd[0]} taken as missing")
    return columns


def _rows(sheet: _Sheet) -> list[list[str]]:
    """The cells of each row, as many as names."""
    lines, names = sheet.body.removesuffix("\n").split("\n"), sheet.names
    # Spreadsheets end rows in empty cells, with or without the header.
    empty = min(len(line) - len(line.rstrip(",")) for line in lines)
    surplus = lines[0].count(",") + 1 - len(names)
    while empty and names[-1] == "" and len(names) > 1 and surplus < empty:
        names.pop()
        surplus += 1
    cut = max(0, min(surplus, empty))
    rows = [line[: len(line) - cut].split(",") for line in lines]
    counts = [len(cells) for cells in rows]
    wrong = next((row for row, count in enumerate(counts) if count != len(names)), None)
    if wrong is not None:
        what = "give every row one cell per neuron"
        # A title above the header has fewer cells than all rows below it.
        if len(names) < counts[-1] == np.median(counts):
            what = "remove lines before the header, or begin them with #"
        raise sheet.error(
            wrong, f": {counts[wrong]} cells where the header has {len(names)}; {what}"
        )
    return rows


def _numbers(texts: list[str], strict: bool, odd: list[str]) -> tuple[Array, int | None]:
    """Floats of a column, and the first row that holds other text; odd cells are collected."""
    values = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        if NUMBER.fullmatch(text) or _INFINITE.fullmatch(text):
            values[row] = float(text)
        elif not strict and _SPREADSHEET.fullmatch(text.strip()):
            odd.append(text.strip())
        elif text not in MISSING:
            return np.full(len(texts), np.nan), row
    return values, None


def _names_rows(name: str, texts: list[str]) -> bool:
    """Whether a first column names the neurons in rows, each with a name of its own."""
    return (
        len(set(texts)) == len(texts) > 1
        and (not name or bool(_NAMES.fullmatch(plain(name))))
        and all(text not in MISSING and re.match(r"[^\W\d]", text.strip()) for text in texts)
    )


def _dates(texts: list[str]) -> Times | None:
    """Time stamps in s since the first of texts that are dates or times of day; else None."""
    import pandas as pd

    if not all(map(_DATE.search, texts)):  # pandas takes the year 2020 or `now` as well
        return None
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


# Columns


def plain(name: str) -> str:
    """Return a header in lower case without marks."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def time_scale(name: str) -> float | None:
    """Seconds in the unit of a header that means time (s where none stands), or None."""
    unit = _time_unit(name)
    return None if unit is None else SECONDS.get(unit or "s", 1.0)


def _time_unit(name: str) -> str | None:
    """The unit in a header that means time, empty where none stands; None for another header."""
    match = _TIME.fullmatch(name.strip().lstrip("# "))
    return match and (match[1] or match[2] or "").lower()


def _role(
    sheet: _Sheet, number: int, values: Array, *, leading: bool, wants_time: bool
) -> _Role | None:
    """What a column is, None for a neuron: the first of the rules below that holds decides.

    `leading`: no neuron stands to its left. `wants_time`: nothing there holds time stamps.
    """
    if number in sheet.texts:
        role = sheet.texts[number]
        return _Role.TIMES if role is _Role.DATES and wants_time else role
    name, several = sheet.names[number], len(sheet.names) > 1
    scale, steps = time_scale(name), np.diff(values)
    increases = steps.size > 0 and bool((steps > 0).all())
    counts = increases and bool((steps == 1).all())
    is_counter = _COUNTER.fullmatch(plain(name))
    enough = values.size >= FEWEST_ROWS
    empty = bool(np.isnan(values).all())
    called_time = scale is not None and wants_time and (leading or (increases and enough))
    from_start = counts and enough and values[0] in (0, 1)
    rises = leading and increases
    convinces = rises and enough and several
    rules = (
        # pandas writes an index without a name as `Unnamed: 0`, and Excel's empty columns likewise.
        (name.startswith("Unnamed:") and empty, _Role.EMPTY),
        # 0, 1, 2, ... or 1, 2, 3, ... under `t` are frames and no seconds.
        (from_start and _time_unit(name) == "", _Role.COUNTER),
        (called_time, _Role.EMPTY if empty else _Role.TIMES),
        # Frame numbers may leave some out, but only before the neurons are they surely some.
        (is_counter and (counts or rises), _Role.COUNTER),
        # R and pandas write row numbers without a header.
        (leading and counts and (convinces or not name), _Role.COUNTER),
        (not name and number == 0 and values.size == 1 and several, _Role.COUNTER),
        # No fluorescence only increases.
        (rises and not name, _Role.TIMES if wants_time else _Role.INCREASES),
        (convinces and (wants_time or sheet.numbered), _Role.TIMES),
    )
    return next((role for holds, role in rules if holds), None)


def _arrange(sheet: _Sheet, columns: list[Array], all_cells: bool) -> CsvTable:
    """Say what the columns are; `all_cells` keeps those that are not accepted."""
    names = sheet.names
    if sheet.row_names:
        sheet.notes.append(f"neurons are rows, named by {_label(names[0])}")
        # A column is a frame.
        return CsvTable(sheet.row_names, np.stack(columns[1:]), notes=sheet.notes, turned=True)
    kept: list[int] = []
    notes: list[str] = []
    times = None
    for number, (name, values) in enumerate(zip(names, columns, strict=True)):
        role = _role(sheet, number, values, leading=not kept, wants_time=times is None)
        if role is None:
            kept.append(number)
        elif role is _Role.TIMES:
            times = _times(sheet, number, values, notes)
        else:
            notes.append(f"the column {name!r} {role}: left out")
    if long := _long_table(sheet, columns, kept):
        return long
    beside = [k for k in kept if _NO_TRACE.fullmatch(plain(names[k]))]
    if len(beside) < len(kept):  # else they are all there is
        kept = sorted({*kept} - {*beside})
        notes += [
            f"the column {names[k]!r} is no fluorescence by its name: left out" for k in beside
        ]
    if not kept:
        raise DataError(
            f"{sheet.path} has time stamps but no neuron; give each neuron a column of its own"
        )
    _check_names(sheet, {k: columns[k] for k in kept})
    sheet.notes += notes
    kept = _accepted_by_inscopix(sheet, _means_of_imagej(sheet, kept), all_cells)
    values = np.stack([columns[k] for k in kept], axis=1)
    competition = sheet.numbered and len(kept) == len(names)
    return CsvTable([names[k] for k in kept], values, times, sheet.notes, competition)


def _times(sheet: _Sheet, number: int, values: Times, notes: list[str]) -> Times:
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


def _check_names(sheet: _Sheet, traces: dict[int, Array]) -> None:
    """Refuse a header without names, with one twice, or that is the first row of samples."""
    header = -1 if sheet.status is None else -2
    first = {name: number for number, name in reversed([*enumerate(sheet.names)])}
    for number in traces:
        name = sheet.names[number]
        is_number = NUMBER.fullmatch(name) or _INFINITE.fullmatch(name) or name in MISSING
        if not name:
            what = "no name in the header; number the neurons"
        elif is_number and not _NEURON_NUMBER.fullmatch(name):
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
    numbers = [int(name) for name in names if _NEURON_NUMBER.fullmatch(name)]
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


def _means_of_imagej(sheet: _Sheet, kept: list[int]) -> list[int]:
    """Keep of ImageJ's measurements of each ROI the means alone."""
    matches = [_IMAGEJ.fullmatch(sheet.names[k]) for k in kept]
    kinds = [match[1].lower() for match in matches if match]
    others = sorted({*kinds} - {"mean"})
    if len(kinds) < len(kept) or "mean" not in kinds or not others:
        return kept
    sheet.notes.append(f"ImageJ's measurements: the means read, {', '.join(others)} left out")
    return [k for k, kind in zip(kept, kinds, strict=True) if kind == "mean"]


def _accepted_by_inscopix(sheet: _Sheet, kept: list[int], all_cells: bool) -> list[int]:
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


def _long_table(sheet: _Sheet, columns: list[Array], kept: list[int]) -> CsvTable | None:
    """A long table (neuron, frame or time, value) with a column per neuron; None for another."""
    import pandas as pd

    names = sheet.names
    by_name = {plain(name): k for k, name in enumerate(names)}
    unit = next((by_name[name] for name in _UNITS if name in by_name), None)
    if unit is None or len(names) > _LONGEST_LONG:
        return None
    stamps = [k for k, name in enumerate(names) if k != unit and time_scale(name) is not None]
    frames = [k for k, name in enumerate(names) if plain(name) in ("frame", "frames", "sample")]
    values = [k for k in kept if k not in (unit, *stamps, *frames)]
    if not (stamps or frames) or len(values) != 1:
        return None
    axis, value = (stamps or frames)[0], names[values[0]]
    if {unit, axis} & sheet.texts.keys() or np.isnan([columns[unit], columns[axis]]).any():
        return None
    long = pd.DataFrame({"neuron": columns[unit], "at": columns[axis], "value": columns[values[0]]})
    count = long["neuron"].nunique()
    if count == len(long) or long["at"].nunique() * count > _SPARSEST * len(long):
        return None
    try:
        table = long.pivot(index="at", columns="neuron", values="value")
    except ValueError:
        raise DataError(
            f"{sheet.path}: {names[axis]} repeats within {names[unit]}; give each neuron one value "
            "a frame"
        ) from None
    sheet.notes.append(
        f"a long table: {counted(count, 'neuron')} by {names[unit]}, their {value} by {names[axis]}"
    )
    if value in ("C", "S"):
        sheet.notes.append(
            f"{value} is what CaImAn and Minian call denoised or deconvolved traces; give the raw "
            "ones (YrA) if it is that"
        )
    times = np.asarray(table.index) * (time_scale(names[axis]) or 1.0) if stamps else None
    return CsvTable([f"{n:g}" for n in table.columns], table.to_numpy(), times, sheet.notes)
