"""Write files whole or not at all.

A result is written under a temporary name beside its target, flushed to the disk and then renamed,
so that a crash, a full disk or Ctrl-C leaves either the previous file or the new one, never half of
one.
"""

import os
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError

_UMASK_LOCK = threading.Lock()


def check_output(path):
    """Find out before a long computation whether `path` can be written, creating its folder.

    Parameters
    ----------
    path : str or Path
        The file to be written later.

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If `path` is a folder or a device, or if its folder cannot be made or written to.
    """
    path = Path(path)
    _check_replaceable(path)
    check_output_folder(path.parent)
    return path


def check_output_folder(folder):
    """As `check_output`, for a folder that will receive several files."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write to the folder {folder} ({error.strerror}); choose another one"
        ) from error
    return folder


@contextmanager
def whole_file(path):
    """Yield a temporary path beside `path`; on success it becomes `path`, else it is removed.

    Parameters
    ----------
    path : str or Path
        The file to be replaced or made. Its folder must exist.

    Yields
    ------
    Path
        The temporary file, existing and empty, with the suffixes of `path`.

    Raises
    ------
    OutputError
        If writing fails, for example because the disk is full. `path` is then as it was before.
    """
    path = Path(path)
    temporary = None
    _check_replaceable(path)
    try:
        # Some writers choose their format by the suffix, so it stays at the end of the name; cut,
        # because after a dot early in a long name all the rest of it counts as suffixes.
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=".partial-", suffix="".join(path.suffixes)[-64:]
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror or error}); free space or choose another place"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _check_replaceable(path):
    try:
        if path.is_dir():
            raise OutputError(
                f"{path} is a folder; name a file in it, such as {path / 'rates.csv'}"
            )
        special = path.exists() and not path.is_file()
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror}); choose another place"
        ) from error
    if special:  # the administrator could rename a table onto /dev/null
        raise OutputError(f"{path} is no ordinary file; choose another place")


def _umask():
    with _UMASK_LOCK:  # it can only be read by setting it, for the whole process
        mask = os.umask(0)
        os.umask(mask)
    return mask
