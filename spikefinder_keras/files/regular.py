"""Open what may be anything: ordinary files alone, and of small ones no more than they may have.

A pipe keeps who opens it waiting, a device has no end, and both can stand where a file is expected.
"""

import errno
import json
import os
import stat
from pathlib import Path

LARGEST_TEXT = 16 << 20
"""Bytes of a file of settings or notes; JSON takes twenty times as much memory at worst."""


def open_ordinary(path):
    """A file opened to read its bytes; `OSError` if it is a folder, a pipe or a device."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "no ordinary file", str(path))
    return os.fdopen(handle, "rb")


def state_of(stat):
    """Of an `os.stat_result`, what differs once a file has been changed."""
    return stat.st_size, stat.st_mtime_ns


def read_small(path, limit=LARGEST_TEXT):
    """The text of a file of at most `limit` bytes of UTF-8; `OSError` or `ValueError` of others."""
    with open_ordinary(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit >> 20} MiB", str(path))
    return content.decode()


def read_json(path):
    """What a small file of JSON holds; `OSError` or `ValueError` if it is none."""
    try:
        return json.loads(read_small(Path(path)))
    except RecursionError:
        raise ValueError("nested too deep") from None
