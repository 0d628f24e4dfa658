"""Text from elsewhere, cleaned at one place before it is shown or written: names in files, names of
files, what a server or a library says.

Terminals obey control characters, right-to-left marks make a line read as another one, half
characters cannot be written at all, and spreadsheets calculate cells that begin as formulas do.
"""

import re

_CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # what terminals obey
    "\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069"  # what turns the direction of reading
    "\u2028\u2029\ufeff\ufff9-\ufffb"  # ends of lines, marks and notes that nobody sees
    "\ud800-\udfff"  # halves of characters; so does Python give bytes that are no UTF-8
    "\ufdd0-\ufdef\ufffe\uffff]"  # what is no character
)
_SPACING = re.compile(r"[\t\n\r]")
LONGEST = 300
"""Characters of a name; more are left out."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def shown(text):
    """`text` with a visible `\\x1b` or `\\u202e` in place of what no terminal or page should get.

    Line ends and tabs stay. Bytes of a file's name that are no UTF-8 become `\\xff`.
    """
    return _CONTROLS.sub(_escaped, str(text))


def visible_line(text):
    """As `shown`, line ends and tabs included."""
    return _SPACING.sub(_escaped, shown(text))


def one_line(text):
    """As `shown`, and all on one line."""
    return " ".join(shown(text).split())


def clean_name(name):
    """A name out of a file as `shown` gives it, on one line, cut where longer than `LONGEST`."""
    name = _SPACING.sub(" ", shown(name))
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def header_cell(name):
    """A name as a cell that no spreadsheet calculates: `'=1+1` of `=1+1`; numbers as they are."""
    name = str(name)
    formula = name.startswith(_FORMULA) and not _NUMBER.fullmatch(name)
    return f"'{name}" if formula or name_of_cell(name) != name else name


def name_of_cell(cell):
    """The name that `header_cell` has made a cell of."""
    return cell[1:] if cell.startswith("'") and header_cell(cell[1:]) == cell else cell


def _escaped(match):
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # as os.fsdecode gives a byte
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
