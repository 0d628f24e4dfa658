"""Open what may be anything: ordinary files alone, and of small ones no more than they may have.

A pipe keeps who opens it waiting, a device has no end, and both can stand where a file is expected.
"""

import errno
import json
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

LARGEST_TEXT = 16 << 20
"""Bytes of a file of settings or notes; JSON takes twenty times as much memory at worst."""


def open_ordinary(path: Path | str) -> BufferedReader:
    """A file opened to read its bytes; `OSError` if it is a folder, a pipe or a device."""
    # Without waiting for whoever is to write into a pipe; text as it is on Windows too.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "no ordinary file", str(path))
    return os.fdopen(handle, "rb")


def state_of(stat: os.stat_result) -> tuple[int, int]:
    """Size and time of a file: what differs once it has been changed."""
    return stat.st_size, stat.st_mtime_ns


def read_small(path: Path | str, limit: int = LARGEST_TEXT) -> str:
    """The text of a file of at most `limit` bytes of UTF-8; `OSError` or `ValueError` of others."""
    with open_ordinary(path) as file:
        content = file.read(limit + 1)  # one more tells that it is larger
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit >> 20} MiB", str(path))
    return content.decode()


def read_json(path: Path | str) -> Any:
    """What a small file of JSON holds; `OSError` or `ValueError` if it is none."""
    try:
        return json.loads(read_small(Path(path)))
    except RecursionError:
        raise ValueError("nested too deep") from None
