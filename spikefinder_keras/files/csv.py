"""The one reader of CSV files: the competition's, people's own, and those of other programs.

text -> separator and decimal sign -> header and cells -> what each column is: a neuron, time
stamps, a counter, the number of a trial or what is recorded beside. Where two readings are possible
the file is refused, with what to change. Tables in memory go the same way from their columns on.
"""

import csv
import io
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from ..arrays import Array, Table, Times
from ..errors import DataError, UsageError
from ..labels import (
    RATES,
    alternates,
    counts_frames,
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
from ..text import counted, name_of_cell
from .atomic import open_ordinary

# Text. Possessive quantifiers and bounded repeats here and below: a crafted file must not be
# searched anew at each of its characters.

_SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
_HAS_SEPARATOR = re.compile(r".*[,;\t]")
# Excel reads and writes a first line such as `sep=;`. The last line of all is no comment.
_COMMENT = re.compile(r"((?:#|%|//).*|[ \t]*sep=(.)[ \t]*)\n(?=\s*\S)", re.IGNORECASE)
_QUOTED = re.compile(r'(?<![^,\n])"([^",\n]*)"(?![^,\n])')
_THOUSANDS = re.compile(r'"([+-]?\d{1,3}(?:,\d{3}){1,6}(?:\.\d{0,20})?)"', re.ASCII)
_SUMMARY = re.compile(
    r"(mean|average|avg|median|sd|std|stdev|stddev|sem|min|max|minimum|maximum|sum|total|count|var"
    r"|variance|mittelwert)(value)?"
)
"""What spreadsheets write before a row, or above a column, that sums up others."""
_UNITS_OF_VALUES = ("", "au", "df", "dff", "dff0", "percent", "v", "mv", "counts", "f", "1", "none")
_BLANKS = "blanks between the cells understood"
_SAVETXT = re.compile(r"\s*[+-]?\d\.\d{18}e[+-]\d{2,3}\s*", re.ASCII)
"""How numpy's savetxt writes numbers, which it does without a header."""

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
_CLOCK = re.compile(r"\s*\d+:\d{1,2}(:\d{1,2})?(\.\d+)?\s*", re.ASCII)
# ImageJ's labels begin with the name of the movie.
_LABEL = re.compile(r"[^<>]*\.(tiff?|avi|nd2|czi|lif|png)\b.*", re.IGNORECASE)

# Headers, compared in lower case and without marks (`plain`)

_COUNTER = re.compile(
    r"frame(s|no|number|nr|id|index)?|index|slice|samples?|rows?|n|nr|no|id|unnamed0|count|counter"
    r"|z|volume|image|bild"
)
_UNITS = (
    *("unitid", "unit", "neuron", "neuronid", "cell", "cellid", "roi", "roiid", "component"),
    *("neuronname", "cellname", "roiname", "cellspecimenid", "track", "trackid", "variable"),
)
"""Headers of the column that says which neuron a row of a long table is of."""
_NAMES = re.compile(rf"{'|'.join(_UNITS)}|names?|rois|cells|neurons")
_LABELS = ("label", "labels", "file", "filename")
_IMAGEJ = re.compile(
    r"(area|mean|stddev|mode|min|max|x|y|xm|ym|perim\.?|bx|by|width|height|major|minor|angle|circ\.?"
    r"|feret\w*|intden|median|skew|kurt|%area|rawintden|ar|round|solidity|minthr|maxthr)"
    r"[ _]?(\d+|\(.*\))?",
    re.IGNORECASE,
)
_INSCOPIX = {"accepted", "rejected", "undecided"}
_NEURON_NUMBER = re.compile(r"\d{1,9}", re.ASCII)

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


@dataclass
class CsvTable:
    """What a CSV file holds: `values` `(row, neuron)`, NaN where a cell is empty, `times` `(row,)`
    in s, and `notes` for the user on what was left out or understood.

    `competition`: the header is that of the competition, 0 to n - 1, and each column is a neuron.
    `turned`: the file has a row for each neuron, named by its first column. `starts` are the rows
    with which a trial or session begins, and `frame_rate` in Hz is a column's, None without one.
    `asks`: the header only counts, and the values say that the neurons may be rows.
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


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What is stated of a table.

    If `strict`, infinite values and texts such as `#DIV/0!` are errors and not missing, and nothing
    is left out by its values; `all_cells` keeps those that Inscopix's header does not call
    accepted. `rows` such as `LedState=2` are the only ones that are read, and `segments` is the
    name of the column of which each value is a segment.
    """

    strict: bool = True
    all_cells: bool = False
    rows: str | None = None
    segments: str | None = None


def read_table(
    path: Path | str,
    strict: bool = True,
    *,
    all_cells: bool = False,
    rows: str | None = None,
    segments: str | None = None,
) -> CsvTable:
    """Read a CSV file: a header row that names the neurons, then one row per sample.

    For the options see `TableOptions`. `DataError` is raised if the file is missing or empty, has
    no header, rows of different length, a cell that is no number, or can be read in two ways; it
    names file, row and column, counted from 1.
    """
    options = TableOptions(strict=strict, all_cells=all_cells, rows=rows, segments=segments)
    sheet = _split(path, _read_text(path), strict)
    # pandas reads almost every file at once. It would shift or fill rows of another length and name
    # no cell, so what it does not take is read again, cell by cell.
    columns = _numbers_at_once(sheet) or _read_cells(sheet, strict)
    table = _arrange(sheet, columns, options)
    for number, values in enumerate(columns if strict else []):
        if np.isinf(values).any():
            raise sheet.cell_error(int(np.isinf(values).argmax()), number, "is infinite")
    return table


def arrange(
    source: str, columns: dict[str, Array], options: TableOptions, *, texts: dict[str, list[str]]
) -> CsvTable:
    """What the columns `(row,)` of a table in memory are, by name; those in `texts` hold text."""
    names = [*columns]
    sheet = _Sheet(source, names, "", 2, [])
    values = []
    for number, name in enumerate(names):
        stamps = dates(texts[name]) if name in texts else None
        if name in texts:
            sheet.texts[number] = _Role.TEXT if stamps is None else _Role.DATES
            sheet.cells[number] = texts[name]
        values.append(columns[name] if stamps is None else stamps)
    return _arrange(sheet, values, options)


# Text -> header and lines of cells


class _Role(StrEnum):
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
class _Sheet:
    """A file's header, and its `body`: lines with a comma between cells and a decimal point.

    `first_row` is the number in the file, from 1, of the first of these lines; `status` is
    Inscopix's second header row. `texts` says what columns of text are, of which some keep their
    `cells`, and `row_names` are those of neurons in rows. `headless`: the names are our own.
    """

    path: Path | str
    names: list[str]
    body: str
    first_row: int
    notes: list[str]
    status: list[str] | None = None
    texts: dict[int, _Role] = field(default_factory=dict)
    row_names: list[str] | None = None
    cells: dict[int, list[str]] = field(default_factory=dict)
    headless: bool = False

    @property
    def numbered(self) -> bool:
        """Whether the header is the competition's: 0 to n - 1."""
        return not self.headless and self.counts

    @property
    def counts(self) -> bool:
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


def _split(path: Path | str, text: str, strict: bool) -> _Sheet:
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
    if not strict and _by_blanks(header, body):
        header = ",".join(header.split())
        body = "\n".join(",".join(line.split()) for line in body.split("\n"))
        separator = ","
        notes.append(_BLANKS)
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
    if not strict:
        _read_second_header(sheet, separator)
        _leave_out_summary(sheet, separator)
    _unify_signs(sheet, separator)
    if not strict:
        _number_columns(sheet)
    _finish(sheet)
    return sheet


def _finish(sheet: _Sheet) -> None:
    """Take quotation marks and blank lines at the end off; `DataError` if no sample is left."""
    if not sheet.body.strip():
        raise DataError(f"{sheet.path} has a header but no samples; give one row per sample")
    # Blank lines at the end are harmless; only with one neuron can they stand for missing samples.
    alone = len(sheet.names) == 1
    body = (sheet.body.removesuffix("\n") if alone else sheet.body.rstrip("\n")) + "\n"
    if '"' in body:
        body = _THOUSANDS.sub(lambda match: match[1].replace(",", ""), body)
        body = _QUOTED.sub(r"\1", body)
    sheet.body = body


def _cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _by_blanks(header: str, body: str) -> bool:
    """Whether blanks alone divide numbers, as numpy's savetxt has it, below names or without."""
    first = body.partition("\n")[0]
    if _HAS_SEPARATOR.match(header) or _HAS_SEPARATOR.match(first):
        return False
    numbers = (first if first.strip() else header).split()
    same = len(header.split()) == len(numbers) > 1
    return same and all(map(NUMBER.fullmatch, numbers))


def _read_second_header(sheet: _Sheet, separator: str) -> None:
    """Take off a second header of names, or of units, of which the time's counts."""
    line, _, rest = sheet.body.partition("\n")
    cells = [name_of_cell(cell.strip(' "')) for cell in line.split(separator)]
    below = rest.partition("\n")[0].split(separator)
    texts = [cell for cell in cells if cell not in MISSING]
    if (
        not len(cells) == len(sheet.names) == len(below) > 1
        or 2 * len(texts) < len(cells)
        or any(NUMBER.fullmatch(c.replace(",", ".")) or _DATE.search(c) for c in texts)
        or any(_SPREADSHEET.fullmatch(cell) for cell in texts)
        or not any(NUMBER.fullmatch(cell.strip(' "').replace(",", ".")) for cell in below)
    ):
        return
    sheet.body, sheet.first_row = rest, sheet.first_row + 1
    if all(scale_of(c) is not None or plain(c) in _UNITS_OF_VALUES or c == "%" for c in cells):
        sheet.names = [
            f"{name} ({cell})" if scale_of(cell) is not None and time_unit(name) == "" else name
            for name, cell in zip(sheet.names, cells, strict=True)
        ]
        sheet.notes.append("a row of units under the header understood")
        return
    # pandas writes a header row for each level of its columns.
    if len(set(cells)) < len(cells):
        pairs = zip(sheet.names, cells, strict=True)
        cells = [" ".join(filter(None, pair)) for pair in pairs]
    sheet.names = cells
    sheet.notes.append("two header rows understood")


def _leave_out_summary(sheet: _Sheet, separator: str) -> None:
    """Take off the rows at the end that sum up those above."""
    lines = sheet.body.rstrip("\n").split("\n")
    count = len(lines)
    while len(lines) > 1 and (
        not lines[-1].strip(f" \t{separator}")
        or any(_SUMMARY.fullmatch(plain(cell)) for cell in lines[-1].split(separator)[:2])
    ):
        # A last row that is all empty is a missing sample where no summary is below it.
        if not lines[-1].strip(f" \t{separator}") and len(lines) == count:
            return
        lines.pop()
    if len(lines) < count:
        sheet.body = "\n".join(lines) + "\n"
        sheet.notes.append(f"{count - len(lines)} rows of a summary at the end left out")


def _number_columns(sheet: _Sheet) -> None:
    """Give names to the columns of a file that surely has no header: as savetxt writes it, or with
    blanks, or with more columns than rows."""
    cells = sheet.names
    numbers = len(cells) > 1 and all(map(NUMBER.fullmatch, cells))
    if not numbers or all(map(_NEURON_NUMBER.fullmatch, cells)):
        return
    rows = sheet.body.count("\n") + 1
    rises = bool((np.diff([float(cell) for cell in cells]) > 0).all())
    wide = len(cells) > max(rows, MOST_COLUMNS) and not rises
    if wide or all(map(_SAVETXT.fullmatch, cells)) or sheet.notes[-1:] == [_BLANKS]:
        line = ",".join(cells)
        sheet.body = f"{line}\n{sheet.body}"
        sheet.first_row -= 1
        sheet.names, sheet.headless = [str(k) for k in range(len(cells))], True
        sheet.notes.append("no header: the columns numbered from 0")


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
        text = sheet.body
        for decimal, mark in ((",", "."), (".", ",")):
            if _marks_thousands(text, separator, decimal=decimal, mark=mark):
                sheet.body, point = text.replace(mark, ""), None
                sheet.notes.append("marks of thousands understood")
        # One of the two would be a mark of thousands, and nobody can say which.
        if comma and point:
            raise sheet.error(
                sheet.body[: comma.start()].count("\n"),
                ": decimal commas here and decimal points elsewhere; write all numbers alike",
            )
        if "," not in sheet.body:
            sheet.body = sheet.body.replace(separator, ",")
            return
        sheet.body = sheet.body.replace(",", ".")
        marks = _SEPARATORS.get(separator, "marks")
        sheet.notes.append(f"{marks} and decimal commas understood")
    sheet.body = sheet.body.replace(separator, ",")


def _marks_thousands(text: str, separator: str, *, decimal: str, mark: str) -> bool:
    """Whether some cells have both signs, and every `mark` stands before three digits."""
    end = rf"[^\n{re.escape(separator)}]"
    mark, decimal = re.escape(mark), re.escape(decimal)
    both = re.search(rf"(?<!{end})-?\d{{1,3}}(?:{mark}\d{{3}}){{1,6}}{decimal}\d", text)
    bad = re.search(rf"{mark}(?!\d{{3}}(?!\d))", text)
    return both is not None and bad is None


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
            times = None if sheet.row_names else dates(texts)
            if number == 0 and len(sheet.names) > 1 and _names_rows(name, texts):
                sheet.row_names = [each.strip() for each in texts]
            elif plain(name) in _LABELS and _LABEL.fullmatch(texts[row]):
                sheet.texts[number] = _Role.LABELS
            elif times is not None:
                sheet.texts[number], values = _Role.DATES, times
                sheet.cells[number] = texts
            elif not strict and _is_text(texts):
                sheet.texts[number] = _Role.TEXT
                sheet.cells[number] = texts
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


def _is_text(texts: list[str]) -> bool:
    """Whether a column is of words, of which some stand again, and holds no number."""
    return (
        len(texts) >= FEWEST_ROWS
        and 2 * len(set(texts)) <= len(texts)
        and not any(NUMBER.fullmatch(text) for text in texts)
    )


def _names_rows(name: str, texts: list[str]) -> bool:
    """Whether a first column names the neurons in rows, each with a name of its own."""
    return (
        len(set(texts)) == len(texts) > 1
        and (not name or bool(_NAMES.fullmatch(plain(name))))
        and all(text not in MISSING and re.match(r"[^\W\d]", text.strip()) for text in texts)
    )


def dates(texts: list[str]) -> Times | None:
    """Time stamps in s since the first of texts that are dates or times of day; else None."""
    import pandas as pd

    if not all(map(_DATE.search, texts)):  # pandas takes the year 2020 or `now` as well
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
    sheet: _Sheet, number: int, values: Array, *, leading: bool, wants_time: bool
) -> _Role | None:
    """What a column is, None for a neuron: the first of the rules below that holds decides.

    `leading`: no neuron stands to its left. `wants_time`: nothing there holds time stamps.
    """
    name, several = sheet.names[number], len(sheet.names) > 1
    if several and names_pieces(name):
        return _Role.PIECES
    if number in sheet.texts:
        role = sheet.texts[number]
        return _Role.TIMES if role is _Role.DATES and wants_time else role
    if several and plain(name) in RATES and np.unique(values[np.isfinite(values)]).size == 1:
        return _Role.RATE
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
        (name.startswith("Unnamed:") and empty, _Role.EMPTY),
        # 0, 1, 2, ... or 1, 2, 3, ... under `t` are frames and no seconds.
        (from_start and unit_of_time(name) == "", _Role.COUNTER),
        (called_time, _Role.EMPTY if empty else _Role.TIMES),
        # Frame numbers may leave some out, but only before the neurons are they surely some.
        (is_counter and (counts or rises), _Role.COUNTER),
        (counts_frames(name) and anew and bool((values % 1 == 0).all()), _Role.COUNTER),
        # R and pandas write row numbers without a header.
        (leading and counts and (convinces or not name), _Role.COUNTER),
        (not name and number == 0 and values.size == 1 and several, _Role.COUNTER),
        # No fluorescence only increases.
        (rises and not name, _Role.TIMES if wants_time else _Role.INCREASES),
        (convinces and (wants_time or sheet.numbered), _Role.TIMES),
    )
    return next((role for holds, role in rules if holds), None)


def _starts_anew(values: Array) -> bool:
    return not np.isnan(values).any() and restarts(values).size > 0


def _arrange(sheet: _Sheet, columns: list[Array], options: TableOptions) -> CsvTable:
    """Say what the columns are."""
    names = sheet.names
    if turned := _neurons_in_rows(sheet, columns):
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
            role = _Role.PIECES
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
    )


@dataclass
class _Found:
    """What has been found among the columns: those `kept` as neurons, time stamps in s, frame rate
    in Hz, which columns count `frames` or tell the time, `pieces`, and notes."""

    kept: list[int] = field(default_factory=list)
    times: Times | None = None
    rate: float | None = None
    frames: list[int] = field(default_factory=list)
    pieces: dict[int, Array] = field(default_factory=dict)
    anew: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _sort(
    sheet: _Sheet, number: int, values: Array, role: _Role | None, found: _Found, strict: bool
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
    if role is _Role.TIMES:
        found.times = _times(sheet, number, values, found.notes)
        found.frames.append(number)
        return
    found.notes.append(f"the column {name!r} {role}: left out")
    if role is _Role.PIECES:
        found.pieces[number] = values
    elif role is _Role.RATE:
        found.rate = float(values[np.isfinite(values)][0])
        found.notes[-1] = f"the column {name!r} {role}, {found.rate:g} Hz"
    elif role is _Role.COUNTER:
        found.frames.append(number)
        if _starts_anew(values):
            found.anew += restarts(values).tolist()


def _rows_of(sheet: _Sheet, columns: list[Array], rows: str) -> list[Array]:
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


def _no_variable(sheet: _Sheet, variable: str) -> UsageError:
    return UsageError(
        f"{sheet.path} holds one recording only; leave out the variable {variable} (--variable), "
        "or choose rows by the value in a column, such as LedState=2"
    )


def _neurons_in_rows(sheet: _Sheet, columns: list[Array]) -> CsvTable | None:
    """The table of a file in which each column is a frame; None for another."""
    named = sheet.row_names is not None
    # pandas writes an index before the columns.
    first = int(named or not NUMBER.fullmatch(sheet.names[0]))
    header, times = sheet.names[first:], None
    # A header of times: counts of frames, whole numbers, may as well be those of neurons.
    if len(header) >= FEWEST_ROWS and all(map(NUMBER.fullmatch, header)):
        numbers = np.array([float(name) for name in header])
        if (np.diff(numbers) > 0).all() and (numbers % 1 != 0).any():
            times = numbers * (time_scale(sheet.names[0]) or 1.0)
    wide = sheet.headless and len(columns) > len(columns[0])
    if not (named or times is not None or wide):
        return None
    traces = np.stack(columns[first:])  # a column is a frame
    ids = columns[0] if first and times is not None else np.arange(traces.shape[1])
    names = sheet.row_names or [f"{each:g}" for each in ids]
    note = f"neurons are rows, named by {_label(sheet.names[0])}" if first else "neurons are rows"
    sheet.notes.append(note if times is None else f"{note}; the header holds time stamps in s")
    return CsvTable(names, traces, times, notes=sheet.notes, turned=True)


def _beside(sheet: _Sheet, columns: list[Array], found: _Found, strict: bool) -> dict[int, str]:
    """Which of the columns that are left are no fluorescence, and why."""
    names, kept, known = sheet.names, found.kept, {*sheet.names}
    reasons = {k: "is no fluorescence by its name" for k in kept if is_no_trace(names[k])}
    if strict:
        return reasons
    # ImageJ's tables have a mean of each neuron, and more columns of its own.
    if sum(not _IMAGEJ.fullmatch(names[k]) for k in kept) > 1:
        summaries = [k for k in kept if _SUMMARY.fullmatch(plain(names[k]))]
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
            reasons[k] = _Role.INCREASES
        elif is_state(values):
            reasons[k] = "has a handful of values, as states have"
    return reasons


def _best_quantities(sheet: _Sheet, found: _Found, wanted: str | None) -> list[int]:
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
        elif rank(name) == rank(best[neuron]) and name != best[neuron] and is_fluorescence(name):
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


def _starts(sheet: _Sheet, found: _Found, rows: int, *, sure: str | None) -> tuple[int, ...]:
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


def _long_table(
    sheet: _Sheet, columns: list[Array], found: _Found, wanted: str | None, *, strict: bool
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
    dated = sheet.texts.get(axis) is _Role.DATES
    missing = np.isnan(columns[axis]).any() or (unit not in sheet.cells and np.isnan(neurons).any())
    if missing or (axis in sheet.texts and not dated):
        return None
    long = pd.DataFrame({"neuron": neurons, "at": columns[axis], "value": columns[values[0]]})
    # Time may start anew in each trial.
    piece = [sheet.cells.get(k, cells) for k, cells in found.pieces.items()][:1]
    long["piece"] = pd.factorize(np.asarray(piece[0]))[0] if piece else 0
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
            "a frame"
        ) from None
    table = table if order is None else table[order]
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
    times = np.asarray(table.index.get_level_values("at")) * scale if stamps else None
    headers = [n if isinstance(n, str) else f"{n:g}" for n in table.columns]
    starts = starts_of(np.asarray(table.index.get_level_values("piece")))
    return CsvTable(
        headers, table.to_numpy(), times, sheet.notes, starts=starts, frame_rate=found.rate
    )


def _values_of(
    sheet: _Sheet,
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


def _neuron_column(sheet: _Sheet, found: _Found) -> tuple[int | None, bool]:
    """The column that says which neuron a row of a long table is of, and whether its name does."""
    plain_names = {plain(name): k for k, name in enumerate(sheet.names)}
    by_name = next((plain_names[name] for name in _UNITS if name in plain_names), None)
    if by_name is not None:
        return by_name, True
    texts = [
        k
        for k, role in sheet.texts.items()
        if role is _Role.TEXT and k not in found.pieces and len(set(sheet.cells[k])) > 1
    ]
    return (texts[0] if len(texts) == 1 else None), False
