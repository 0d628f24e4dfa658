"""Text from elsewhere, cleaned at one place before it is shown or written: names in files, names of
files, what a server or a library says.

Terminals obey control characters, right-to-left marks make a line read as another one, half
characters cannot be written at all, marks that nobody sees make two names look alike, and
spreadsheets calculate cells that begin as formulas do.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # what terminals obey
    "\u202a-\u202e\u2028\u2029\ufff9-\ufffb"  # what turns the direction of reading, or ends lines
    # What nobody sees: Unicode's Default_Ignorable_Code_Point.
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
    "\ud800-\udfff"  # halves of characters; so does Python give bytes that are no UTF-8
    "\ufdd0-\ufdef\ufffe\uffff]"  # what is no character
)
_SPACING = re.compile(r"[\t\n\r]")
LONGEST = 300
"""Characters of a name; more are left out."""
_FORMULA = re.compile("(^|[;,|\t])('*)(?=[=+@\t\r\uff1d\uff0b\uff0d\uff20-])")
"""Where a spreadsheet may begin to calculate: at a cell's first sign, full-width ones included, or
behind what divides cells in another country's spreadsheets."""
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def shown(text: object) -> str:
    """`text` with a visible `\\x1b` or `\\u202e` in place of what no terminal or page should get.

    Line ends and tabs stay. Bytes of a file's name that are no UTF-8 become `\\xff`.
    """
    return _CONTROLS.sub(_escaped, str(text))


def visible_line(text: object) -> str:
    """Show line ends and tabs as well as what `shown` shows."""
    return _SPACING.sub(_escaped, shown(text))


def one_line(text: object) -> str:
    """Put what `shown` makes of a text on one line."""
    return " ".join(shown(text).split())


def clean_name(name: str) -> str:
    """A name out of a file as `shown` gives it, on one line, cut where longer than `LONGEST`."""
    name = _SPACING.sub(" ", shown(name))
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def header_cell(name: object) -> str:
    """A name as a cell that no spreadsheet calculates: `'=1+1` of `=1+1`; numbers as they are."""
    # A name that looks like such a cell gets one more sign, so that reading gives it back.
    cell = str(name)
    return cell if _NUMBER.fullmatch(cell) else _FORMULA.sub(r"\1'\2", cell)


def name_of_cell(cell: str) -> str:
    """Return the name that `header_cell` has made a cell of."""
    name = _FORMULA.sub(lambda match: match[1] + match[2][1:], cell)
    return name if header_cell(name) == cell else cell


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # as os.fsdecode gives a byte
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def letters(name: object) -> str:
    """A name without capitals, hyphens and spaces: GCaMP-6f, gcamp6f and "GCaMP 6f" are one."""
    return "".join(c for c in str(name).lower() if c.isalnum())


USUAL_WORDS = {
    **dict.fromkeys(
        ("fs", "fps", "fr", "hz", "rate", "framerate", "samplingrate", "samplerate", "frequency"),
        "framerate",
    ),
    **dict.fromkeys(("time", "t", "timestamp", "timestamps"), "times"),
    **dict.fromkeys(("output", "o", "outfile", "save", "to"), "out"),
    **dict.fromkeys(("model", "network"), "weights"),
    **dict.fromkeys(("sensor", "gcamp", "dye"), "indicator"),
    **dict.fromkeys(("key", "array", "series", "channel"), "variable"),
    **dict.fromkeys(("trials", "sessions", "blocks", "epochs"), "segments"),
}
"""What others call what is called otherwise here, by `letters`."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean frame_rate?` of fps, or nothing: the one of some known words that is nearest
    to another."""
    names = {letters(name): name for name in known}
    found = USUAL_WORDS.get(letters(word), "")
    near = [found] if found in names else get_close_matches(letters(word), names, 1)
    return f"; did you mean {names[near[0]]}?" if near else ""


def counted(number: int, what: str) -> str:
    """`1 neuron`, `5 neurons`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
