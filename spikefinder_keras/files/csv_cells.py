"""Cells of a CSV file: what is a number, what is none, what may stand in a column of text."""

import re

import numpy as np

from .csv_columns import names_rows

MISSING = ("", "nan", "NaN", "NAN", "NA")
"""Texts of a cell without a sample; the competition's own files leave it empty."""

SPREADSHEET = (
    *("#DIV/0!", "#N/A", "#NV", "#VALUE!", "#WERT!", "#NUM!", "#ZAHL!", "#REF!", "#BEZUG!"),
    *("#NAME?", "#NULL!", "n/a", "N/A", "n.a.", "null", "NULL", "None", "none", "<NA>", "-nan"),
    *("-NaN", "NaT", "-", "--", "missing", "1.#QNAN", "-1.#IND", "1.#INF", "-1.#INF"),
)
"""What spreadsheets and programs write where there is no number; missing in own recordings."""

NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
_INFINITE = ("inf", "+inf", "-inf", "infinity", "-infinity", "+infinity")

_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}:\d{2}(:\d{2})?|(?<!\d)\d+ days?")
_LABEL = re.compile(r"[^<>]*\.(tiff?|avi|nd2|czi|lif|png)\b.*", re.IGNORECASE)
"""ImageJ's labels begin with the name of the movie."""


def column_of(texts, strict, odd):
    """Floats of a column of text, or the texts if they are no numbers."""
    values = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            continue
        if NUMBER.fullmatch(text) or text.strip().lower() in _INFINITE:
            values[row] = float(text)
        elif not strict and text.strip() in SPREADSHEET:
            odd.append(text.strip())
        else:
            return texts
    return values


def bad_cells(columns, names):
    """First cell of each column of text that is neither dates nor labels throughout."""
    bad = []
    for column, values in enumerate(columns):
        if column == 0 and names_rows(names[0], values):
            continue
        if isinstance(values, list):
            rows = [
                row
                for row, text in enumerate(values)
                if isinstance(text, str) and not NUMBER.fullmatch(text)
            ]
            dates = sum(bool(_DATE.search(values[row])) for row in rows)
            if dates < len(values) and not _LABEL.fullmatch(str(values[rows[0]])):
                bad.append((rows[0], column))
    return sorted(bad)
