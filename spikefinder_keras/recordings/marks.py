"""A file of marks: which neurons of a recording somebody has called good or bad, and in what words.

It is CSV with the columns `name`, `mark` (good, bad or nothing) and `word`, a line for each neuron
that is marked; a spreadsheet may have saved it, with further columns.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files.atomic import read_small, whole_file
from ..text import clean_name, counted, header_cell, name_of_cell
from .recording import Recording

COLUMNS = ("name", "mark", "word")
GOOD, BAD = "good", "bad"
LINES_SAID = 4  # an error names no more neurons


@dataclass(frozen=True)
class Mark:
    """What was said of a neuron: `GOOD`, `BAD` or nothing, and a word of anybody's choice."""

    mark: str = ""
    word: str = ""


def read_marks(path: Path | str) -> dict[str, Mark]:
    """The marks in a file, by the neurons' names; `DataError` if it is no such file."""
    path = Path(path)
    try:
        lines = read_small(path).removeprefix("\ufeff").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise DataError(f"cannot read the marks in {path} ({reason})") from None
    header = lines[0] if lines else ""
    # As spreadsheets in other countries save it.
    separator = max(",;\t", key=header.count)
    try:
        rows = list(csv.reader(lines, delimiter=separator))
    except csv.Error as error:
        raise DataError(f"{path} is no file of marks ({error})") from None
    names = [cell.strip().lower() for cell in rows[0]] if rows else []
    if not {"name", "mark"} <= {*names}:
        raise DataError(f"{path} is no file of marks; its header is {','.join(COLUMNS)}")
    found = {}
    for number, row in enumerate(rows[1:], 2):
        cells = dict(zip(names, row, strict=False))
        mark = cells.get("mark", "").strip().lower()
        if mark not in (GOOD, BAD, ""):
            raise DataError(f"{path}, row {number}: a mark is {GOOD}, {BAD} or nothing, not {mark}")
        if name := name_of_cell(cells.get("name", "")):
            found[name] = Mark(mark, clean_name(name_of_cell(cells.get("word") or "")))
    return found


def write_marks(path: Path, marks: Mapping[str, Mark]) -> None:
    """Write marks, whole or not at all; `OutputError` if they cannot be."""
    with (
        whole_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, each in marks.items():
            writer.writerow([header_cell(name), each.mark, header_cell(clean_name(each.word))])


def only_good(recording: Recording, path: Path | str) -> Recording:
    """The neurons of a recording that a file marks good; `DataError` if there are none, or the
    marks are of other neurons."""
    good = {name for name, each in read_marks(path).items() if each.mark == GOOD}
    if not good:
        raise DataError(f"{path} marks no neuron good; mark some, or leave it out (--only)")
    if others := sorted(good - {*recording.names}):
        listed = ", ".join(others[:LINES_SAID]) + (", ..." if len(others) > LINES_SAID else "")
        raise DataError(
            f"{path} marks neurons that {recording.source} does not have ({listed}); give the "
            "marks of this recording (--only)"
        )
    numbers = np.array([k for k, name in enumerate(recording.names) if name in good])
    count = counted(len(recording.names), "neuron")
    note = f"{numbers.size} of {count}: those marked good in {Path(path).name}"
    return replace(recording.only(numbers), notes=(*recording.notes, note))
