"""The one reader of CSV files: the competition's, people's own, and those of other programs.

text -> separator and decimal sign -> header and cells; what each column is, `columns` says. Where
two readings are possible the file is refused, with what to change.
"""

import csv
import io
import re
from pathlib import Path

import numpy as np

from ..arrays import Array
from ..errors import DataError
from ..labels import plain, scale_of, time_unit
from ..text import counted, name_of_cell
from .atomic import open_ordinary
from .columns import (
    DATE,
    FEWEST_ROWS,
    INFINITE,
    MISSING,
    MOST_COLUMNS,
    NEURON_NUMBER,
    NUMBER,
    SUMMARY,
    CsvTable,
    Role,
    Sheet,
    TableOptions,
    dates,
    frame_columns,
    names_rows,
    says_of_neurons,
    table_of,
)

# Text. Possessive quantifiers and bounded repeats here, below and in `columns`: a crafted file must
# not be searched anew at each of its characters.

_SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
_HAS_SEPARATOR = re.compile(r".*[,;\t]")
# Excel reads and writes a first line such as `sep=;`. The last line of all is no comment.
_COMMENT = re.compile(r"((?:#|%|//).*|[ \t]*sep=(.)[ \t]*)\n(?=\s*\S)", re.IGNORECASE)
_QUOTED = re.compile(r'(?<![^,\n])"([^",\n]*)"(?![^,\n])')
_THOUSANDS = re.compile(r'"([+-]?\d{1,3}(?:,\d{3}){1,6}(?:\.\d{0,20})?)"', re.ASCII)
_UNITS_OF_VALUES = ("", "au", "df", "dff", "dff0", "percent", "v", "mv", "counts", "f", "1", "none")
_BLANKS = "blanks between the cells understood"
_SAVETXT = re.compile(r"\s*[+-]?\d\.\d{18}e[+-]\d{2,3}\s*", re.ASCII)
"""How numpy's savetxt writes numbers, which it does without a header."""

# Excel in English and German, pandas, R, MATLAB, C on Windows.
_SPREADSHEET = re.compile(
    r"#(DIV/0!|N/A|NV|VALUE!|WERT!|NUM!|ZAHL!|REF!|BEZUG!|NAME\?|NULL!)|n/a|N/A|n\.a\.|null|NULL"
    r"|[Nn]one|<NA>|-nan|-NaN|NaT|--?|missing|-?1\.#(QNAN|IND|INF)"
)
"""What stands in cells where there is no number; missing in own recordings."""
# ImageJ's labels begin with the name of the movie.
_LABEL = re.compile(r"[^<>]*\.(tiff?|avi|nd2|czi|lif|png)\b.*", re.IGNORECASE)
_LABELS = ("label", "labels", "file", "filename")
_INSCOPIX = {"accepted", "rejected", "undecided"}


def read_table(
    path: Path | str,
    strict: bool = True,
    *,
    all_cells: bool = False,
    turned: bool = False,
    rows: str | None = None,
    segments: str | None = None,
) -> CsvTable:
    """Read a CSV file: a header row that names the neurons, then one row per sample.

    For the options see `TableOptions`. `DataError` is raised if the file is missing or empty, has
    no header, rows of different length, a cell that is no number, or can be read in two ways; it
    names file, row and column, counted from 1.
    """
    options = TableOptions(
        strict=strict, all_cells=all_cells, turned=turned, rows=rows, segments=segments
    )
    sheet = _split(path, _read_text(path), strict)
    # pandas reads almost every file at once. It would shift or fill rows of another length and name
    # no cell, so what it does not take is read again, cell by cell.
    columns = _numbers_at_once(sheet) or _read_cells(sheet, strict, turned=turned)
    table = table_of(sheet, columns, options)
    for number, values in enumerate(columns if strict else []):
        if np.isinf(values).any():
            raise sheet.cell_error(int(np.isinf(values).argmax()), number, "is infinite")
    return table


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


def _split(path: Path | str, text: str, strict: bool) -> Sheet:
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
    sheet = Sheet(path, [], body, first_row, notes)
    if not strict and (body.startswith("#") or "\n#" in body):
        _leave_out_comments(sheet)
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


def _leave_out_comments(sheet: Sheet) -> None:
    """Take off lines of comment among the rows."""
    lines = sheet.body.split("\n")
    # Excel's errors begin like it, too.
    found = {k for k, line in enumerate(lines) if line[:1] == "#" and not _SPREADSHEET.match(line)}
    sheet.comments = [k + sheet.first_row for k in sorted(found)]
    sheet.body = "\n".join(line for k, line in enumerate(lines) if k not in found)
    if found:
        sheet.notes.append(f"{counted(len(found), 'line')} of comment among the rows left out")


def _finish(sheet: Sheet) -> None:
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


def _read_second_header(sheet: Sheet, separator: str) -> None:
    """Take off a second header of names, or of units, of which the time's counts."""
    line, _, rest = sheet.body.partition("\n")
    cells = [name_of_cell(cell.strip(' "')) for cell in line.split(separator)]
    below = rest.partition("\n")[0].split(separator)
    texts = [cell for cell in cells if cell not in MISSING]
    if (
        not len(cells) == len(sheet.names) == len(below) > 1
        or 2 * len(texts) < len(cells)
        or any(NUMBER.fullmatch(c.replace(",", ".")) or DATE.search(c) for c in texts)
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


def _leave_out_summary(sheet: Sheet, separator: str) -> None:
    """Take off the rows at the end that sum up those above."""
    lines = sheet.body.rstrip("\n").split("\n")
    count = len(lines)
    while len(lines) > 1 and (
        not lines[-1].strip(f" \t{separator}")
        or any(SUMMARY.fullmatch(plain(cell)) for cell in lines[-1].split(separator)[:2])
    ):
        # A last row that is all empty is a missing sample where no summary is below it.
        if not lines[-1].strip(f" \t{separator}") and len(lines) == count:
            return
        lines.pop()
    if len(lines) < count:
        sheet.body = "\n".join(lines) + "\n"
        sheet.notes.append(f"{counted(count - len(lines), 'row')} of a summary at the end left out")


def _number_columns(sheet: Sheet) -> None:
    """Give names to the columns of a file that surely has no header: as savetxt writes it, or with
    blanks, or with more columns than rows."""
    cells = sheet.names
    numbers = len(cells) > 1 and all(map(NUMBER.fullmatch, cells))
    if not numbers or all(map(NEURON_NUMBER.fullmatch, cells)):
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


def _read_status(sheet: Sheet, separator: str) -> None:
    """Take off Inscopix's second header: `Time(s)/Cell Status, accepted, rejected, ...`."""
    line, _, rest = sheet.body.partition("\n")
    first, *status = [cell.strip() for cell in line.lower().split(separator)]
    if len(status) + 1 == len(sheet.names) > 1 and _INSCOPIX.issuperset(status):
        sheet.names[0] = line.split(separator)[0].strip().split("/")[0] or sheet.names[0]
        sheet.status, sheet.body, sheet.first_row = [first, *status], rest, sheet.first_row + 1


def _unify_signs(sheet: Sheet, separator: str) -> None:
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


def _numbers_at_once(sheet: Sheet) -> list[Array] | None:
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


def _read_cells(sheet: Sheet, strict: bool, *, turned: bool) -> list[Array]:
    """The columns `(row,)`, read cell by cell; dates become seconds, other text NaN."""
    columns: list[Array] = []
    odd: list[str] = []
    bad: list[tuple[int, int, str]] = []
    rows = _rows(sheet)
    frames = frame_columns(sheet.names, len(rows))
    beside = {*range(len(sheet.names))}.difference(frames.columns) if frames else set()
    sure = turned or (frames is not None and frames.sure)
    for number, texts in enumerate(map(list, zip(*rows, strict=True))):
        values, row = _numbers(texts, strict, odd)
        if row is not None:
            name = sheet.names[number]
            times = None if sheet.row_names else dates(texts)
            if number == 0 and len(sheet.names) > 1 and names_rows(sheet.names, texts):
                sheet.row_names, sure = [each.strip() for each in texts], True
            elif plain(name) in _LABELS and _LABEL.fullmatch(texts[row]):
                sheet.texts[number] = Role.LABELS
            elif times is not None:
                sheet.texts[number], values = Role.DATES, times
                sheet.cells[number] = texts
            elif not strict and (
                _is_text(texts) or (number in beside and says_of_neurons(name, texts, sure=sure))
            ):
                sheet.texts[number] = Role.TEXT
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
        sheet.notes.append(f"{counted(len(odd), 'cell')} such as {odd[0]} taken as missing")
    return columns


def _rows(sheet: Sheet) -> list[list[str]]:
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
        if NUMBER.fullmatch(text) or INFINITE.fullmatch(text):
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
