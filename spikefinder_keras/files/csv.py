"""The one reader of CSV files: the competition's, people's own, and those of other programs.

text -> separator and decimal sign -> header and cells -> what each column is: a neuron, time stamps
or a counter. Where two readings are possible the file is refused, with what to change.
"""

import csv
import io
import re

import numpy as np

from ..errors import DataError
from ..text import name_of_cell
from .csv_cells import MISSING, NUMBER, bad_cells, column_of
from .csv_columns import arrange, cell_error
from .regular import open_ordinary

_COMMENT = (b"#", b"%", b"//")
_SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
_BLANK_ENDS = re.compile(rb"(?<!,),++(?=\n)")
"""Each run of commas is looked at once, as all here is: a crafted file must not take for ever."""


def read_table(path, strict=True, all_cells=False):
    """Read a CSV file.

    Parameters
    ----------
    path : str or Path
        A header row that names the neurons, then one row per sample. Commas, semicolons or tabs
        between the cells; a decimal comma where these are no commas; comment lines before it.
    strict : bool
        Infinite values, and texts such as `#DIV/0!`, are errors and not missing.
    all_cells : bool
        Keep the cells that Inscopix's header does not call accepted.

    Returns
    -------
    csv_columns.CsvTable

    Raises
    ------
    DataError
        If the file is missing or empty, has no header, rows of different length, a cell that is no
        number, or can be read in two ways. The message names file, row and column, counted from 1.
    """
    text, notes = _read_text(path), []
    head = _Head(path, text, notes)
    body = head.body
    if not body.strip():
        raise DataError(f"{path} has a header but no samples; give one row per sample")
    body = _trim(head, body)
    body = head.unquote(body)
    _check_field_counts(path, body, len(head.names), head.first_row)
    columns, more = _parse(path, body, head, strict)
    table = arrange(path, head, columns, all_cells)
    if strict:
        _check_finite(path, columns, head)
    table.notes = [*notes, *more, *table.notes]
    return table


def _read_text(path):
    """The file's bytes as UTF-8 with `\\n` line ends."""
    try:
        with open_ordinary(path) as file:
            text = file.read()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from error
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
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


class _Head:
    """The lines before the samples: comments, names, and what separates the cells.

    Attributes
    ----------
    names : list of str
    status : list of str or None
        Inscopix's second header row: of each column.
    body : bytes
        The lines of samples, with a comma between the cells and a decimal point.
    first_row : int
        Number of the first of them in the file, from 1.
    """

    def __init__(self, path, text, notes):
        self.path, self.status = path, None
        comments, separator = [], None
        blank = len(text) - len(text.lstrip(b"\n"))
        if blank and re.search(rb"[,;\t]", text[blank:].partition(b"\n")[0]):
            comments, text = [b""] * blank, text[blank:]
        at, last = 0, len(text.rstrip())
        while True:
            end = text.find(b"\n", at)
            line = text[at:end]
            stated = re.fullmatch(rb"\s*sep=(.)\s*", line, re.IGNORECASE)
            if not (line.startswith(_COMMENT) or stated) or not 0 <= end < last:
                break
            separator = stated[1].decode(errors="replace") if stated else separator
            comments.append(line)
            at = end + 1
        text = text[at:]
        self.first_row = len(comments) + 2
        header, _, self.body = text.partition(b"\n")
        if comments and self._is_data(header) and self._same_cells(comments[-1], header):
            header, self.body = comments.pop().lstrip(b"#%/ "), text  # as numpy.savetxt writes it
            self.first_row -= 1
        if header.startswith((b"# ", b"#")) and not comments:
            header = header.lstrip(b"# ")
        if comments:
            lines = "one line" if len(comments) == 1 else f"{len(comments)} lines"
            notes.append(f"{lines} of comment before the header left out")
        self._read_header(header, separator)
        self._second_header()
        self._decimal_sign(notes)

    def _is_data(self, line):
        cells = re.split(rb"[,;\t]", line)
        return all(NUMBER.fullmatch(c.decode("latin1").replace(",", ".")) or not c for c in cells)

    def _is_blank_row(self, line):
        return not re.search("[,;\t]", line) and all(map(NUMBER.fullmatch, line.split()))

    def _same_cells(self, comment, line):
        count = [max(each.count(sep) for sep in (b",", b";", b"\t")) for each in (comment, line)]
        return count[0] == count[1]

    def _read_header(self, header, separator):
        try:
            line = header.decode()
        except UnicodeDecodeError:
            row = self.first_row - 1
            raise DataError(f"{self.path}, row {row}: not UTF-8 text; save it as UTF-8") from None
        first = self.body.partition(b"\n")[0].decode("latin1")
        found = [sep for sep in _SEPARATORS if sep in line]
        fitting = [sep for sep in found if line.count(sep) == first.count(sep)]
        fitting += [sep for sep in found if len(_cells(line, sep)) == len(_cells(first, sep))]
        if not (separator or found) and len(first.split()) > 1 and self._is_blank_row(first):
            raise DataError(
                f"{self.path}: its cells are separated by blanks; separate them by commas, "
                "semicolons or tabs"
            )
        self.separator = separator or (fitting or found or [","])[0]
        try:
            cells = next(csv.reader([line], delimiter=self.separator))
            self.names = [name_of_cell(cell.strip()) for cell in cells]
        except (csv.Error, TypeError) as error:
            raise DataError(
                f"{self.path}, row {self.first_row - 1}: no header of a CSV file ({error})"
            ) from None
        except StopIteration:
            self.names = [""]
        self.names = self.names or [""]

    def _second_header(self):
        """Inscopix's: `Time(s)/Cell Status, accepted, rejected, ...`."""
        line, _, rest = self.body.partition(b"\n")
        cells = [c.strip() for c in line.decode("latin1").split(self.separator)]
        known = {"accepted", "rejected", "undecided"}
        if len(cells) == len(self.names) > 1 and {c.lower() for c in cells[1:]} <= known:
            self.names[0] = cells[0].split("/")[0] or self.names[0]
            self.status = [c.lower() for c in cells]
            self.body, self.first_row = rest, self.first_row + 1

    def _decimal_sign(self, notes):
        """Turn decimal commas into points and separators into commas."""
        if self.separator == ",":
            return
        sign = self.separator.encode()
        if b"," in self.body:
            end = rb"\n" + re.escape(sign)
            number = rb"(?:^|[%b])[\t ]{,9}-?\d++%b\d++[\t ]{,9}(?=[%b]|$)"
            with_point = re.search(number % (end, rb"\.", end), self.body)
            with_comma = re.search(number % (end, rb",", end), self.body)
            if with_point and with_comma:
                row = self.first_row + self.body[: with_comma.end()].count(b"\n")
                raise DataError(
                    f"{self.path}, row {row}: decimal commas here and decimal points elsewhere; "
                    "write all numbers alike"
                )
            self.body = self.body.replace(b",", b".")
            notes.append(
                f"{_SEPARATORS.get(self.separator, 'marks')} and decimal commas understood"
            )
        self.body = self.body.replace(sign, b",")

    def unquote(self, body):
        """`body` with the quotation marks around cells left out."""
        if b'"' not in body:
            return body
        return re.sub(rb'(?<![^,\n])"([^",\n]*)"(?![^,\n])', rb"\1", body)


def _cells(line, separator):
    try:
        return next(csv.reader([line], delimiter=separator))
    except (csv.Error, StopIteration):
        return []


def _trim(head, body):
    """`body` without blank lines at its end, and without empty columns at its right."""
    # Blank lines at the end are harmless; only with one neuron can they stand for missing samples.
    body = body.rstrip(b"\n") if len(head.names) > 1 else body.removesuffix(b"\n")
    body += b"\n"
    if body.count(b",\n") == body.count(b"\n"):  # no row has a value in its last cell
        empty = min(len(match[0]) for match in _BLANK_ENDS.finditer(body))
        fields = body.partition(b"\n")[0].count(b",") + 1
        surplus = fields - len(head.names)
        while head.names and head.names[-1] == "" and len(head.names) > 1 and surplus < empty:
            head.names.pop()
            surplus += 1
        surplus = min(max(surplus, 0), empty)
        if surplus:
            body = re.sub(rb",{%d}(?=\n)" % surplus, b"", body)
    return body


def _check_field_counts(path, body, columns, first_row):
    """Refuse rows of another length; pandas would shift or fill them silently."""
    characters = np.frombuffer(body, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    commas = np.flatnonzero(characters == ord(","))
    fields = np.diff(np.searchsorted(commas, ends), prepend=0) + 1
    wrong = np.flatnonzero(fields != columns)
    if wrong.size:
        row = wrong[0]
        what = "give every row one cell per neuron"
        if columns < fields[-1] == np.median(fields):
            what = "remove lines before the header, or begin them with #"
        raise DataError(
            f"{path}, row {row + first_row}: {fields[row]} cells where the header has {columns}; "
            f"{what}"
        )


def _parse(path, body, head, strict):
    """The columns: float64 arrays, or lists of text where no cell is a number; and notes."""
    import pandas as pd

    options = {
        "header": None,
        "names": range(len(head.names)),
        "index_col": False,
        "skip_blank_lines": False,
        "keep_default_na": False,
        # A quotation mark left here is an error of its cell, and must not join cells or rows.
        "quoting": csv.QUOTE_NONE,
    }
    lower = body.lower()
    if b"true" not in lower and b"false" not in lower:  # pandas takes these for 1 and 0
        try:
            table = pd.read_csv(
                io.BytesIO(body), dtype=np.float64, na_values=list(MISSING), **options
            )
            return list(table.to_numpy().T), []
        except (ValueError, OverflowError):  # pandas' parser errors are ValueErrors
            pass
    cells = pd.read_csv(
        io.BytesIO(body),
        dtype=str,
        na_values=list(MISSING),
        encoding_errors="replace",
        **options,
    )
    columns, notes, odd = [], [], []
    for number in range(len(head.names)):
        texts = cells[number].tolist()
        columns.append(column_of(texts, strict, odd))
    bad = bad_cells(columns, head.names)
    below = [text for text in columns[0][1:] if isinstance(text, str) and NUMBER.fullmatch(text)]
    if below and len(bad) == len(columns) > 1 and {row for row, _ in bad} == {0}:
        raise DataError(
            f"{path}, row {head.first_row}: no cell is a number, as in a second header; remove "
            "this row, or the one above it"
        )
    for row, column in bad:
        text = columns[column][row]
        raise cell_error(path, row, column, head, f"is not a number: {text[:20]!r}")
    if odd:
        notes.append(f"{len(odd)} cells such as {odd[0]} taken as missing")
    return columns, notes


def _check_finite(path, columns, head):
    for column, values in enumerate(columns):
        if not isinstance(values, list) and np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(values))[0])
            raise cell_error(path, row, column, head, "is infinite")
