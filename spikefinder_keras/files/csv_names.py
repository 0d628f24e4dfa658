"""Headers of the columns of a CSV file, as people write them, and the table it becomes."""

import re
from dataclasses import dataclass, field

import numpy as np

SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "sek"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}
"""Length in s of the units of time, as people write them."""

UNITS = ("unitid", "unit", "neuron", "neuronid", "cell", "cellid", "roi", "roiid", "component")
"""Headers of the column that says which neuron a row of a long table is of."""

_UNIT = "|".join(sorted(SECONDS, key=len, reverse=True))
_TIME = re.compile(
    rf"(?:frame[ _]?)?(?:times?|t|timestamps?|time[ _]?stamps?|zeit|elapsed(?:[ _]time)?)"
    rf"(?:[ _]*[\[(/]?[ _]*(?:in[ _]+)?({_UNIT})[ _]*[\])]?)?"
    r"|(seconds?|secs?|milliseconds?|ms|minutes?)",
    re.IGNORECASE,
)


@dataclass
class CsvTable:
    """What a CSV file holds.

    `names` is a list of str; `values` a float64 array `(row, neuron)`, NaN where a cell is empty;
    `times` a float64 array `(row,)` of time stamps in s, or None; `notes` a list of lines for the
    user on what was left out or understood. `competition`: the header is that of the competition,
    0 to n - 1, and no column was anything but a neuron. `turned`: the file has a row for each
    neuron, named by its first column.
    """

    names: list
    values: np.ndarray
    times: np.ndarray | None = None
    notes: list = field(default_factory=list)
    competition: bool = False
    turned: bool = False


def plain(name):
    """A header in lower case without marks."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def time_scale(name):
    """Seconds in the unit of a header that means time (s where none stands), or None."""
    match = _TIME.fullmatch(name.strip().lstrip("# "))
    if not match:
        return None
    return SECONDS.get((match[1] or match[2] or "s").lower(), 1.0)


def has_unit(name):
    """Whether a header that means time says in which unit."""
    match = _TIME.fullmatch(name.strip().lstrip("# "))
    return bool(match and (match[1] or match[2]))
