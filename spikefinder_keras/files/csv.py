"""The one reader of CSV files: the competition's, people's own, and those of other programs.

text -> separator and decimal sign -> header and cells -> what each column is: a neuron, time stamps
or a counter. Where two readings are possible the file is refused, with what to change.
"""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..arrays import Array, Table, Times
from ..errors import DataError
from ..text import name_of_cell
from .regular import open_ordinary

Texts: TypeAlias = list[str | float]
"""A column in which some cell is no number: the texts, NaN where a cell is empty."""
Cells: TypeAlias = Array | Texts
"""A column: float64 `(row,)`, or texts."""

# Text

_COMMENT = (b"#", b"%", b"//")
_SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
# Possessive quantifiers here and below: a crafted file must not be searched anew at each character.
_BLANK_ENDS = re.compile(rb"(?<!,),++(?=\n)")
_QUOTED = re.compile(rb'(?<![^,\n])"([^",\n]*)"(?![^,\n])')

# Cells

MISSING = ("", "nan", "NaN", "NAN", "NA")
"""Texts of a cell without a sample; the competition's own files leave it empty."""

# Excel in English and German, pandas, R, MATLAB, C on Windows.
_SPREADSHEET = re.compile(
    r"#(DIV/0!|N/A|NV|VALUE!|WERT!|NUM!|ZAHL!|REF!|BEZUG!|NAME\?|NULL!)|n/a|N/A|n\.a\.|null|NULL"
    r"|[Nn]one|<NA>|-nan|-NaN|NaT|--?|missing|-?1\.#(QNAN|IND|INF)"
)
"""What stands in cells where there is no number; missing in own recordings."""

NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
_INFINITE = re.compile(r"\s*[+-]?inf(inity)?\s*", re.ASCII | re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}:\d{2}(:\d{2})?|(?<!\d)\d+ days?")
_LABEL = re.compile(r"[^<>]*\.(tiff?|avi|nd2|czi|lif|png)\b.*", re.IGNORECASE)
"""ImageJ's labels begin with the name of the movie."""

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
"""Headers of columns that count rows."""
_UNITS = ("unitid", "unit", "neuron", "neuronid", "cell", "cellid", "roi", "roiid", "component")
"""Headers of the column that says which neuron a row of a long table is of."""
_NAMES = re.compile(rf"{'|'.join(_UNITS)}|names?|rois|cells|neurons")
_LABELS = ("label", "labels", "file", "filename")
_NO_TRACE = re.compile(
    r"(stim\w*|(running|wheel|treadmill)?(speed|velocity|position)|running|locomotion|licks?|licking"
    r"|rewards?|pupil\w*|trial(no|nr|number|id|index)?|ttl|trigger|sync|temperature|whisk\w*)\d*"
)
"""Headers of what is recorded beside fluorescence."""
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
    """What a CSV file holds.

    `values` are `(row, neuron)`, NaN where a cell is empty; `times` are time stamps `(row,)` in s;
    `notes` are lines for the user on what was left out or understood. `competition`: the header is
    that of the competition, 0 to n - 1, and each column is a neuron. `turned`: the file has a row
    for each neuron, named by its first column.
    """

    names: list[str]
    values: Table
    times: Times | None = None
    notes: list[str] = field(default_factory=list)
    competition: bool = False
    turned: bool = False


def read_table(path: Path | str, strict: bool = True, *, all_cells: bool = False) -> CsvTable:
    """Read a CSV file.

    Parameters
    ----------
    path
        A header row that names the neurons, then one row per sample. Commas, semicolons or tabs
        between the cells; a decimal comma where these are no commas; comment lines before it.
    strict
        Infinite values, and texts such as `#DIV/0!`, are errors and not missing.
    all_cells
        Keep the cells that Inscopix's header does not call accepted.

    Raises
    ------
    DataError
        If the file is missing or empty, has no header, rows of different length, a cell that is no
        number, or can be read in two ways. The message names file, row and column, counted from 1.
    """
    sheet = _split(path, _read_text(path))
    if not sheet.body.strip():
        raise DataError(f"{path} has a header but no samples; give one row per sample")
    _trim(sheet)
    if b'"' in sheet.body:
        sheet.body = _QUOTED.sub(rb"\1", sheet.body)
    _check_field_counts(sheet)
    columns = _parse(sheet, strict)
    table = _arrange(sheet, columns, all_cells)
    if strict:
        for number, values in enumerate(columns):
            if not isinstance(values, list) and np.isinf(values).any():
                row = int(np.flatnonzero(np.isinf(values))[0])
                raise sheet.cell_error(row, number, "is infinite")
    table.notes = [*sheet.notes, *table.notes]
    return table


# Text -> header and lines of cells. pandas would guess the separator, shift or fill rows of another
# length, join rows at a quotation mark, and name no row: these are looked at before it reads.


@dataclass
class _Sheet:
    """A file's header, and its `body`: lines with a comma between cells and a decimal point.

    `first_row` is the number in the file, from 1, of the first of these lines; `status` is
    Inscopix's second header row, of each column.
    """

    path: Path | str
    names: list[str]
    separator: str
    body: bytes
    first_row: int
    notes: list[str]
    status: list[str] | None = None

    @cached_property
    def competition(self) -> bool:
        """Whether the header is the competition's: 0 to n - 1."""
        return self.names == [str(number) for number in range(len(self.names))]

    def cell_error(self, row: int, column: int, what: str) -> DataError:
        """The error on a cell, row and column counted from 0."""
        return DataError(
            f"{self.path}, row {row + self.first_row}, column {column + 1} "
            f"(neuron {self.names[column]}) {what}; write a number, or leave the cell empty"
        )


def _read_text(path: Path | str) -> bytes:
    """The file's bytes as UTF-8 with `\\n` line ends."""
    try:
        with open_ordinary(path) as file:
            text = file.read()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from error
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):  # Excel's "Unicode text"
        try:
            text = text.decode("utf-16").encode()
        except UnicodeError:
            raise DataError(f"{path} is damaged UTF-16 text; save it as UTF-8") from None
    if b"\0" in text:
        row = text[: text.index(b"\0")].count(b"\n") + 1
        raise DataError(
            f"{path}, row {row}: a NUL byte; this is not a CSV text file, or a damaged one"
        )
    text = text.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not text.strip():
        raise DataError(f"{path} is empty; give a header row and one row per sample")
    return text


def _split(path: Path | str, text: bytes) -> _Sheet:
    """Find header, separator, decimal sign and samples."""
    comments, stated, text = _comments(text)
    notes = []
    first_row = len(comments) + 2
    header, _, body = text.partition(b"\n")
    if comments and _is_row_below(header, comments[-1]):
        header, body = comments.pop().lstrip(b"#%/ "), text  # as numpy.savetxt writes it
        first_row -= 1
    if header.startswith(b"#") and not comments:
        header = header.lstrip(b"# ")
    if comments:
        lines = "one line" if len(comments) == 1 else f"{len(comments)} lines"
        notes.append(f"{lines} of comment before the header left out")
    try:
        line = header.decode()
    except UnicodeDecodeError:
        row = first_row - 1
        raise DataError(f"{path}, row {row}: not UTF-8 text; save it as UTF-8") from None
    separator = stated or _separator(path, line, body)
    try:
        cells = next(csv.reader([line], delimiter=separator))
    except (csv.Error, TypeError) as error:
        raise DataError(f"{path}, row {first_row - 1}: no header of a CSV file ({error})") from None
    except StopIteration:
        cells = []
    names = [name_of_cell(cell.strip()) for cell in cells] or [""]
    sheet = _Sheet(path, names, separator, body, first_row, notes)
    _read_status(sheet)
    _unify_signs(sheet)
    return sheet


def _comments(text: bytes) -> tuple[list[bytes], str | None, bytes]:
    """The lines before the header, the separator if one of them states it, and the other text."""
    comments: list[bytes] = []
    stated = None
    blank = len(text) - len(text.lstrip(b"\n"))
    # Where only one neuron is, a blank line may be its header.
    if blank and re.search(rb"[,;\t]", text[blank:].partition(b"\n")[0]):
        comments, text = [b""] * blank, text[blank:]
    at, last = 0, len(text.rstrip())
    while True:
        end = text.find(b"\n", at)
        line = text[at:end]
        # Excel reads and writes a first line such as `sep=;`.
        states = re.fullmatch(rb"\s*sep=(.)\s*", line, re.IGNORECASE)
        if not (line.startswith(_COMMENT) or states) or not 0 <= end < last:
            return comments, stated, text[at:]
        stated = states[1].decode(errors="replace") if states else stated
        comments.append(line)
        at = end + 1


def _is_row_below(line: bytes, comment: bytes) -> bool:
    """Whether a line holds numbers, as many as a comment has cells."""
    cells = re.split(rb"[,;\t]", line)
    if any(
        cell and not NUMBER.fullmatch(cell.decode("latin1").replace(",", ".")) for cell in cells
    ):
        return False
    most = [max(each.count(sep) for sep in (b",", b";", b"\t")) for each in (comment, line)]
    return most[0] == most[1]


def _separator(path: Path | str, header: str, body: bytes) -> str:
    """What stands in the header as often as in the first row."""
    first = body.partition(b"\n")[0].decode("latin1")
    found = [sep for sep in _SEPARATORS if sep in header]
    numbers = first.split()
    no_sign = not found and not re.search("[,;\t]", first)
    if no_sign and len(numbers) > 1 and all(map(NUMBER.fullmatch, numbers)):
        raise DataError(
            f"{path}: its cells are separated by blanks; separate them by commas, semicolons or "
            "tabs"
        )
    fitting = [sep for sep in found if header.count(sep) == first.count(sep)]
    # A name in quotation marks may hold the sign.
    fitting += [sep for sep in found if _count_cells(header, sep) == _count_cells(first, sep)]
    return (fitting or found or [","])[0]


def _count_cells(line: str, separator: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=separator)))
    except (csv.Error, StopIteration):
        return 0


def _read_status(sheet: _Sheet) -> None:
    """Take off Inscopix's second header: `Time(s)/Cell Status, accepted, rejected, ...`."""
    line, _, rest = sheet.body.partition(b"\n")
    cells = [cell.strip() for cell in line.decode("latin1").split(sheet.separator)]
    status = [cell.lower() for cell in cells]
    if len(cells) == len(sheet.names) > 1 and _INSCOPIX.issuperset(status[1:]):
        sheet.names[0] = cells[0].split("/")[0] or sheet.names[0]
        sheet.status, sheet.body, sheet.first_row = status, rest, sheet.first_row + 1


def _unify_signs(sheet: _Sheet) -> None:
    """Turn decimal commas into points and separators into commas."""
    if sheet.separator == ",":
        return
    sign = sheet.separator.encode()
    if b"," in sheet.body:
        end = rb"\n" + re.escape(sign)
        number = rb"(?:^|[%b])[\t ]{,9}-?\d++%b\d++[\t ]{,9}(?=[%b]|$)"
        with_point = re.search(number % (end, rb"\.", end), sheet.body)
        with_comma = re.search(number % (end, rb",", end), sheet.body)
        # One of the two would be a mark of thousands, and nobody can say which.
        if with_point and with_comma:
            row = sheet.first_row + sheet.body[: with_comma.end()].count(b"\n")
            raise DataError(
                f"{sheet.path}, row {row}: decimal commas here and decimal points elsewhere; "
                "write all numbers alike"
            )
        sheet.body = sheet.body.replace(b",", b".")
        marks = _SEPARATORS.get(sheet.separator, "marks")
        sheet.notes.append(f"{marks} and decimal commas understood")
    sheet.body = sheet.body.replace(sign, b",")


def _trim(sheet: _Sheet) -> None:
    """Take off blank lines at the end, and empty columns at the right."""
    body, names = sheet.body, sheet.names
    # Blank lines at the end are harmless; only with one neuron can they stand for missing samples.
    body = (body.rstrip(b"\n") if len(names) > 1 else body.removesuffix(b"\n")) + b"\n"
    if body.count(b",\n") == body.count(b"\n"):  # no row has a value in its last cell
        empty = min(len(match[0]) for match in _BLANK_ENDS.finditer(body))
        surplus = body.partition(b"\n")[0].count(b",") + 1 - len(names)
        while names[-1] == "" and len(names) > 1 and surplus < empty:
            names.pop()
            surplus += 1
        surplus = min(surplus, empty)
        if surplus > 0:
            body = re.sub(rb",{%d}(?=\n)" % surplus, b"", body)
    sheet.body = body


def _check_field_counts(sheet: _Sheet) -> None:
    """Refuse rows of another length; pandas would shift or fill them silently."""
    characters = np.frombuffer(sheet.body, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    commas = np.flatnonzero(characters == ord(","))
    fields = np.diff(np.searchsorted(commas, ends), prepend=0) + 1
    expected = len(sheet.names)
    wrong = np.flatnonzero(fields != expected)
    if wrong.size:
        what = "give every row one cell per neuron"
        # A title above the header has fewer cells than all rows below it.
        if expected < fields[-1] == np.median(fields):
            what = "remove lines before the header, or begin them with #"
        raise DataError(
            f"{sheet.path}, row {wrong[0] + sheet.first_row}: {fields[wrong[0]]} cells where the "
            f"header has {expected}; {what}"
        )


# Cells


def _parse(sheet: _Sheet, strict: bool) -> list[Cells]:
    """The columns: float64 arrays `(row,)`, or texts where no cell is a number."""
    import pandas as pd

    def read(dtype: type, errors: str = "strict") -> pd.DataFrame:
        return pd.read_csv(
            io.BytesIO(sheet.body),
            header=None,
            names=range(len(sheet.names)),
            index_col=False,
            dtype=dtype,
            skip_blank_lines=False,
            keep_default_na=False,
            na_values=list(MISSING),
            # A quotation mark left here is an error of its cell, and must not join cells or rows.
            quoting=csv.QUOTE_NONE,
            encoding_errors=errors,
        )

    lower = sheet.body.lower()
    if b"true" not in lower and b"false" not in lower:  # pandas takes these for 1 and 0
        try:
            return list(read(np.float64).to_numpy().T)
        except (ValueError, OverflowError):  # pandas' parser errors are ValueErrors
            pass
    cells = read(str, "replace")
    odd: list[str] = []
    columns = [_numbers(cells[number].tolist(), strict, odd) for number in range(len(sheet.names))]
    _check_texts(sheet, columns)
    if odd:
        sheet.notes.append(f"{len(odd)} cells such as {odd[0]} taken as missing")
    return columns


def _numbers(texts: Texts, strict: bool, odd: list[str]) -> Cells:
    """Floats of a column of text, or the texts if they are no numbers; odd cells are collected."""
    values = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            continue
        if NUMBER.fullmatch(text) or _INFINITE.fullmatch(text):
            values[row] = float(text)
        elif not strict and _SPREADSHEET.fullmatch(text.strip()):
            odd.append(text.strip())
        else:
            return texts
    return values


def _check_texts(sheet: _Sheet, columns: list[Cells]) -> None:
    """Refuse a column of text that is neither dates nor labels nor names throughout."""
    bad = []
    for number, values in enumerate(columns):
        if not isinstance(values, list) or (number == 0 and _names_rows(sheet.names[0], values)):
            continue
        rows = [
            (row, text)
            for row, text in enumerate(values)
            if isinstance(text, str) and not NUMBER.fullmatch(text)
        ]
        dates = sum(bool(_DATE.search(text)) for _, text in rows)
        if dates < len(values) and not _LABEL.fullmatch(rows[0][1]):
            bad.append((rows[0][0], number, rows[0][1]))
    numbers_below = isinstance(columns[0], list) and any(
        isinstance(text, str) and NUMBER.fullmatch(text) for text in columns[0][1:]
    )
    if numbers_below and len(bad) == len(columns) > 1 and all(row == 0 for row, _, _ in bad):
        raise DataError(
            f"{sheet.path}, row {sheet.first_row}: no cell is a number, as in a second header; "
            "remove this row, or the one above it"
        )
    if bad:
        row, number, text = min(bad)
        raise sheet.cell_error(row, number, f"is not a number: {text[:20]!r}")


# Columns


def plain(name: str) -> str:
    """Return a header in lower case without marks."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def time_scale(name: str) -> float | None:
    """Seconds in the unit of a header that means time (s where none stands), or None."""
    match = _TIME.fullmatch(name.strip().lstrip("# "))
    if not match:
        return None
    return SECONDS.get((match[1] or match[2] or "s").lower(), 1.0)


def _no_unit(name: str) -> bool:
    """Whether a header means time, but does not say in which unit."""
    match = _TIME.fullmatch(name.strip().lstrip("# "))
    return match is not None and not (match[1] or match[2])


def _is_counter(name: str) -> bool:
    return bool(_COUNTER.fullmatch(plain(name)))


class _Column:
    """A column as the rules below look at it.

    `leading`: no neuron stands to its left. `wants_time`: nothing there holds time stamps.
    """

    def __init__(
        self, sheet: _Sheet, number: int, cells: Cells, *, leading: bool, wants_time: bool
    ) -> None:
        self.sheet, self.number, self.cells = sheet, number, cells
        self.leading, self.wants_time = leading, wants_time
        self.name = sheet.names[number]
        self.scale = time_scale(self.name)
        self.is_text = isinstance(cells, list)
        self.values = np.empty(0) if isinstance(cells, list) else cells
        steps = np.diff(self.values)
        self.increases = steps.size > 0 and bool((steps > 0).all())
        self.counts = self.increases and bool((steps == 1).all())
        self.enough = self.values.size >= FEWEST_ROWS
        self.several = len(sheet.names) > 1
        self.convinces = self.enough and self.several
        self.empty = not self.is_text and bool(np.isnan(self.values).all())
        self.called_time = self.scale is not None and (
            self.leading or (self.increases and self.enough)
        )

    def times(self) -> Times:
        """Time stamps in s; `DataError` where one is missing or they are none by their header."""
        if self.is_text:
            return self.dates()
        path = self.sheet.path
        missing = np.flatnonzero(np.isnan(self.values))
        if missing.size:
            row = missing[0] + self.sheet.first_row
            raise DataError(f"{path}, row {row}: no time stamp; give one in s")
        if self.sheet.competition:
            raise DataError(
                f"{path}: the first column only increases, as time stamps do, but is called 0 as "
                "a neuron; call it time (s), time (ms) or frame in the header"
            )
        return self.values * (self.scale or 1.0)

    def dates(self) -> Times:
        """Time stamps in s since the first of texts; `DataError` if they are none."""
        texts = [text for text in self.cells if isinstance(text, str)]
        times = _dates(texts) if len(texts) == len(self.cells) else None
        if times is None:
            row = next(k for k, text in enumerate(self.cells) if isinstance(text, str))
            raise self.sheet.cell_error(row, self.number, f"is not a number: {texts[0][:20]!r}")
        return times


@dataclass(frozen=True)
class _Rule:
    """What a column is for which something holds: time stamps, or left out for a reason."""

    holds: Callable[[_Column], bool]
    left_out: str | None = None


_COUNTS = "counts the rows"
_RULES = (
    # pandas writes an index without a name as `Unnamed: 0`, and Excel's empty columns likewise.
    _Rule(lambda c: c.name.startswith("Unnamed:") and c.empty, "is empty"),
    _Rule(lambda c: c.is_text and plain(c.name) in _LABELS, "holds labels"),
    # All other text must be dates or times of day.
    _Rule(lambda c: c.is_text and c.wants_time),
    _Rule(lambda c: c.is_text and c.dates().size > 0, "holds dates"),
    # 0, 1, 2, ... or 1, 2, 3, ... under `t` are frames and no seconds.
    _Rule(lambda c: c.counts and c.enough and c.values[0] in (0, 1) and _no_unit(c.name), _COUNTS),
    _Rule(lambda c: c.called_time and c.wants_time and c.empty, "is empty"),
    _Rule(lambda c: c.called_time and c.wants_time),
    # Frame numbers may leave some out, but only before the neurons are they surely some.
    _Rule(lambda c: c.counts and _is_counter(c.name), _COUNTS),
    _Rule(lambda c: c.leading and c.increases and _is_counter(c.name), _COUNTS),
    # R and pandas write row numbers without a header.
    _Rule(lambda c: c.leading and c.counts and (c.convinces or not c.name), _COUNTS),
    _Rule(lambda c: not c.name and c.number == 0 and c.values.size == 1 and c.several, _COUNTS),
    # No fluorescence only increases.
    _Rule(lambda c: c.leading and c.increases and not c.name and c.wants_time),
    _Rule(lambda c: c.leading and c.increases and not c.name, "only increases"),
    _Rule(
        lambda c: (
            c.leading and c.increases and c.convinces and (c.wants_time or c.sheet.competition)
        )
    ),
)
"""What a column can be beside a neuron: the first rule that holds decides."""


def _arrange(sheet: _Sheet, columns: list[Cells], all_cells: bool) -> CsvTable:
    """Say what the columns are; `all_cells` keeps those that are not accepted."""
    names = sheet.names
    if len(columns) > 1 and _names_rows(names[0], columns[0]):
        return CsvTable(
            [str(text).strip() for text in columns[0]],
            np.stack([np.asarray(column) for column in columns[1:]]),  # a column is a frame
            notes=[f"neurons are rows, named by {_label(names[0])}"],
            turned=True,
        )
    kept, times, notes = _neurons(sheet, columns)
    long = _long_table(sheet, columns, kept)
    if long is not None:
        return long
    beside = [k for k in kept if _NO_TRACE.fullmatch(plain(names[k]))]
    if len(beside) < len(kept):  # else they are all there is
        kept = [k for k in kept if k not in set(beside)]
        notes += [
            f"the column {names[k]!r} is no fluorescence by its name: left out" for k in beside
        ]
    if not kept:
        raise DataError(
            f"{sheet.path} has time stamps but no neuron; give each neuron a column of its own"
        )
    traces = {k: np.asarray(columns[k], np.float64) for k in kept}
    _check_names(sheet, traces)
    kept, more = _means_of_imagej(names, kept)
    kept, most = _accepted_by_inscopix(sheet.status, kept, all_cells)
    return CsvTable(
        [names[k] for k in kept],
        np.stack([traces[k] for k in kept], axis=1),
        times,
        [*notes, *more, *most],
        sheet.competition and len(kept) == len(names),
    )


def _neurons(sheet: _Sheet, columns: list[Cells]) -> tuple[list[int], Times | None, list[str]]:
    """Numbers of the columns that are neurons by the rules, time stamps and notes."""
    kept: list[int] = []
    times, notes = None, []
    for number, (name, cells) in enumerate(zip(sheet.names, columns, strict=True)):
        column = _Column(sheet, number, cells, leading=not kept, wants_time=times is None)
        rule = next((rule for rule in _RULES if rule.holds(column)), None)
        if rule is None:
            kept.append(number)
        elif rule.left_out:
            notes.append(f"the column {name!r} {rule.left_out}: left out")
        else:
            times = column.times()
            if column.scale not in (None, 1.0):
                notes.append(
                    f"the column {name!r} holds time stamps in another unit than s: turned"
                )
            if column.scale is None and not isinstance(cells, list):
                notes.append(f"{_label(name)} increases: taken as time stamps in s")
    return kept, times, notes


def _label(name: str) -> str:
    return f"the column {name!r}" if name else "the first column"


def _names_rows(name: str, column: Cells) -> bool:
    """Whether a first column names the neurons in rows, each with a name of its own."""
    return (
        isinstance(column, list)
        and len(column) > 1
        and (not name or bool(_NAMES.fullmatch(plain(name))))
        and all(isinstance(text, str) and re.match(r"[^\W\d]", text.strip()) for text in column)
        and len(set(column)) == len(column)
    )


def _dates(texts: list[str]) -> Times | None:
    """Time stamps in s since the first of texts that are dates or times of day; else None."""
    import pandas as pd

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
            stamps = np.asarray(found.values)
            return np.asarray((stamps - stamps[0]) / np.timedelta64(1, "s"), np.float64)
    return None


def _check_names(sheet: _Sheet, traces: dict[int, Array]) -> None:
    """Refuse a header without names, with one twice, or that is the first row of samples."""
    row = sheet.first_row - 1 - (sheet.status is not None)
    first: dict[str, int] = {}
    for number, name in enumerate(sheet.names):
        first.setdefault(name, number)
    for number in traces:
        name = sheet.names[number]
        cell = f"{sheet.path}, row {row}, column {number + 1}"
        if not name:
            raise DataError(f"{cell}: no name in the header; number the neurons")
        if _is_number(name) and not _NEURON_NUMBER.fullmatch(name):
            raise DataError(
                f"{cell}: {name} is no neuron number; add the missing header row 0, 1, ..."
            )
        if first[name] < number:
            raise DataError(
                f"{cell}: {name} stands twice; give every neuron its own name, or add the missing "
                "header row 0, 1, ..."
            )
    names = [sheet.names[number] for number in traces]
    if all(map(_NEURON_NUMBER.fullmatch, names)) and not _counts_up(names):
        # Spike counts without a header: its numbers are among those below them.
        inside = 0
        for name, column in zip(names, traces.values(), strict=True):
            known = column[np.isfinite(column)]
            whole = known.size > 2 and (known == known.round()).all()
            inside += bool(whole and known.min() <= int(name) <= known.max())
        if 2 * inside > len(names):
            raise DataError(
                f"{sheet.path}, row {row}: the header {', '.join(names[:4])} ... looks like a row "
                "of data; add the header row 0, 1, ... (or names of the neurons)"
            )


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return name == "NA"
    return "_" not in name


def _counts_up(names: list[str]) -> bool:
    """Whether a header numbers the neurons, from 0 or 1."""
    return any([int(n) for n in names] == list(range(s, s + len(names))) for s in (0, 1))


# What other programs put into tables


def _means_of_imagej(names: list[str], kept: list[int]) -> tuple[list[int], list[str]]:
    """Keep of ImageJ's measurements of each ROI the means alone."""
    matches = [_IMAGEJ.fullmatch(names[k]) for k in kept]
    kinds = [match[1].lower() for match in matches if match]
    means = [k for k, kind in zip(kept, kinds, strict=False) if kind == "mean"]
    if len(kinds) < len(kept) or len(set(kinds)) < 2 or not means:
        return kept, []
    others = ", ".join(sorted({*kinds} - {"mean"}))
    return means, [f"ImageJ's measurements: the means read, {others} left out"]


def _accepted_by_inscopix(
    status: list[str] | None, kept: list[int], all_cells: bool
) -> tuple[list[int], list[str]]:
    """Keep of Inscopix's cells the accepted ones, if anybody has accepted some."""
    if status is None or all_cells:
        return kept, []
    accepted = [k for k in kept if status[k] == "accepted"]
    accepted = accepted or [k for k in kept if status[k] != "rejected"] or kept
    left = len(kept) - len(accepted)
    if not left:
        return kept, []
    return accepted, [
        f"{left} of {len(kept)} cells left out, which Inscopix's header does not call accepted "
        "(--all-rois keeps them)"
    ]


def _long_table(sheet: _Sheet, columns: list[Cells], kept: list[int]) -> CsvTable | None:
    """A long table (neuron, frame or time, value) with a column per neuron; None for another."""
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
    axis = (stamps or frames)[0]
    neuron_of, place_of = columns[unit], columns[axis]
    if isinstance(neuron_of, list) or isinstance(place_of, list):
        return None
    if np.isnan(neuron_of).any() or np.isnan(place_of).any():
        return None
    neurons, column = np.unique(neuron_of, return_inverse=True)
    places, row = np.unique(place_of, return_inverse=True)
    rows = len(neuron_of)
    if len(neurons) == rows or len(places) * len(neurons) > _SPARSEST * rows:
        return None
    if len(np.unique(row * len(neurons) + column)) != rows:
        raise DataError(
            f"{sheet.path}: {names[axis]} repeats within {names[unit]}; give each neuron one value "
            "a frame"
        )
    table = np.full((len(places), len(neurons)), np.nan)
    table[row, column] = columns[values[0]]
    value = names[values[0]]
    count = len(neurons)
    notes = [f"a long table: {count} neurons by {names[unit]}, their {value} by {names[axis]}"]
    if value in ("C", "S"):
        notes.append(
            f"{value} is what CaImAn and Minian call denoised or deconvolved traces; give the raw "
            "ones (YrA) if it is that"
        )
    times = places * (time_scale(names[axis]) or 1.0) if stamps else None
    return CsvTable([f"{number:g}" for number in neurons], table, times, notes)
