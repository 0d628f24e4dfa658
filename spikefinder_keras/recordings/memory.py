"""How much memory a prediction may take, and how much of a recording is read at a time."""

import os
import re
from contextlib import suppress

from ..errors import UsageError
from ..files.regular import read_small

PIECE = 128 << 20
"""Bytes of a recording that are read, predicted and written at a time, at most: more gain nothing,
and would be lost with an interrupted run."""

SHARE = 8
"""A piece is at most such a part of the budget: there are two of it, its rates, and the work."""

LEAST = 64 << 20
"""Bytes; the least budget."""

_SIZE = re.compile(r"([\d.]+)\s*([kmgt]?)(i?b)?", re.IGNORECASE)
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def parse_memory(text):
    """Bytes of a size such as `2GiB`, `500 MB` or `3g`; None for None.

    Raises
    ------
    UsageError
        If it is no size, or too little to work in.
    """
    if text is None:
        return None
    match = _SIZE.fullmatch(str(text).strip())
    try:
        number = float(match[1])
    except (TypeError, ValueError):
        raise UsageError(f"--memory {text}? give a size such as 2GiB or 500MB") from None
    decimal = (match[3] or "").lower() == "b"
    unit = "kmgt".find(match[2].lower()) + 1 if match[2] else 0
    size = int(number * (1_000 if decimal else 1_024) ** unit)
    if size < LEAST:
        raise UsageError(f"--memory {text} is too little; give at least {LEAST >> 20}MiB")
    return size


def budget(memory=None):
    """Bytes that a prediction may take: as stated, else a quarter of the machine's."""
    return machine_memory() // 4 if memory is None else memory


def machine_memory():
    """Bytes of memory of this machine, or of the container that we are in."""
    found = []
    with suppress(AttributeError, ValueError, OSError):  # Windows does not say
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in _LIMITS:
        with suppress(OSError, ValueError):
            found.append(int(read_small(path)))
    return min(found, default=8 << 30)


def piece_size(memory=None):
    """Bytes of a piece within a budget in bytes."""
    return min(PIECE, budget(memory) // SHARE)
