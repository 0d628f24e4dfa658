"""The machine and the person at it: cores, aligned tables, progress, and no library chatter."""

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, TextIO, TypeVar

from .errors import UsageError
from .text import visible_line

if TYPE_CHECKING:
    from tqdm import tqdm

Item = TypeVar("Item")


def text_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Rows of cells as aligned text; the columns numbered in `right` (from 0) align right."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.rjust(width) if k in right else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def tell(*lines: object, file: TextIO | None = None) -> None:
    """Print lines, with what a terminal would obey or cannot show made visible."""
    file = file or sys.stdout
    text = "".join(f"{visible_line(line)}\n" for line in lines)
    encoding = getattr(file, "encoding", None) or "utf-8"
    file.write(text.encode(encoding, "backslashreplace").decode(encoding))


def say_unless(quiet: bool) -> Callable[[str], None]:
    """What shows a line to a person, on the standard error, unless they want quiet."""
    if quiet:
        return lambda line: None
    return lambda line: tell(line, file=sys.stderr)


def tell_table(text: str) -> None:
    """Print the lines of a table as `tell` does."""
    tell(*text.split("\n"))


def bar(
    items: Iterable[Item], what: str, unit: str, progress: bool = True, total: int | None = None
) -> Iterable[Item]:
    """Give `items`, with a progress bar on the standard error that goes away at the end."""
    from tqdm import tqdm

    return tqdm(items, what, total, unit=f" {unit}", disable=not progress, leave=False)


def count_bar(total: int, what: str, unit: str, progress: bool = True) -> "tqdm":
    """A progress bar that its user moves on by `update(count)`; a context manager."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, unit=f" {unit}", disable=not progress, leave=False)


def quiet_libraries() -> None:
    """Let libraries log errors alone, in this process.

    That matplotlib finds no home to write to, or that TensorFlow traces a function anew for traces
    of another length, helps nobody here.
    """
    for name in ("matplotlib", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)


def import_keras(progress: bool = True) -> None:
    """Import Keras and its backend without what they print while loading; it takes seconds.

    If that fails because one is missing, `UsageError` says so; if otherwise, what they printed is
    shown.
    """
    if sys.modules.get("keras"):
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if progress and sys.stderr.isatty():
        print("loading the network library ...", end="\r", file=sys.stderr, flush=True)
    with tempfile.TemporaryFile() as log:
        saved = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            import keras

            if keras.backend.backend() == "tensorflow":
                import tensorflow as tf

                tf.config.list_physical_devices()  # complains at length where there is no GPU
        except (ImportError, ValueError) as error:  # ValueError: an unknown KERAS_BACKEND
            raise UsageError(
                f"Keras or its backend does not load ({error}); "
                '`pip install "spikefinder-keras[tensorflow]"`, or set KERAS_BACKEND to the name '
                "of an installed one"
            ) from error
        except KeyboardInterrupt:
            raise
        except BaseException:
            log.seek(0)
            os.write(saved, log.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
    if progress and sys.stderr.isatty():
        print(" " * 31, end="\r", file=sys.stderr, flush=True)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
