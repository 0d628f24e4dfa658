"""One file from a server or a folder: pooch tries again, and keeps it apart until it is verified.

Here stands what makes a server's answer useless: its length, its time, its content.
"""

import shutil
import time
from functools import partial
from pathlib import Path

from ..errors import DownloadError, reason
from .atomic import check_output_folder, partial_folder
from .regular import open_ordinary

RETRIES = 2
"""After the first request to an address for a file; pooch waits 1 s, then 2 s."""
TIMEOUT = 30.0
"""Seconds without a byte after which an attempt ends."""
DEADLINE = 900.0
"""Seconds for one file, whatever its server does."""
CHUNK = 1 << 16


def fetch(item, silent, count=lambda size: None):
    """Bring one file to its target, whole and verified, from the first source that has it.

    Parameters
    ----------
    item : sources.File
    silent : collections.Counter
        Failed connections of each host; shared by the files of one call.
    count : callable
        Called with the size of each piece received, in bytes.

    Raises
    ------
    DownloadError
        If no source has it, or it cannot be written.
    OutputError
        If its folder cannot be written to.
    """
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")
    check_output_folder(item.target.parent)
    failures = []
    for source in item.sources:
        get = partial(_receive, item, source, silent, count)
        try:
            with partial_folder(item.target) as folder:
                keeper = pooch.create(folder, "", registry={"file": None}, retry_if_failed=RETRIES)
                Path(keeper.fetch("file", downloader=get)).replace(item.target)
            return
        except (DownloadError, RequestException) as error:
            failures.append(f"{source}: {reason(error)}")
        except OSError as error:
            raise DownloadError(
                f"cannot write {item.target}: {reason(error)}; free space or choose another folder"
            ) from error
    raise DownloadError("; ".join(failures))


def _receive(item, source, silent, count, _url, target, _pooch):
    """pooch's downloader: the verified file in `target`; it tries again what requests raises."""
    if isinstance(source, Path):
        try:
            open_ordinary(source).close()
        except OSError as error:
            raise DownloadError(error.strerror) from error
        shutil.copyfile(source, target)
    else:
        _download(item, source, silent, count, target)
    if not item.is_there(Path(target)):
        size, found = Path(target).stat().st_size, item.identity(target)
        raise DownloadError(
            f"not the published file: expected {item.method} {item.expected}, found {found} "
            f"({size} bytes)"
        )


def _download(item, url, silent, count, target):
    import requests
    from urllib3.exceptions import HTTPError

    end = time.monotonic() + DEADLINE
    host = url.partition("://")[2].partition("/")[0]
    if silent[host] > RETRIES:  # else thirty files would each wait for it in vain
        raise DownloadError("no connection to the host")
    headers = {"User-Agent": "spikefinder_keras", "Accept-Encoding": "identity"}
    try:
        answer = requests.get(url, stream=True, timeout=TIMEOUT, headers=headers)
    except ValueError as error:  # no address, or a redirect to none of the web
        raise DownloadError(reason(error)) from error
    except requests.ConnectionError:
        silent[host] += 1
        raise
    with answer, Path(target).open("wb") as file:
        if 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
            raise DownloadError(f"the server answered HTTP {answer.status_code}")
        if answer.status_code != 200:
            raise requests.HTTPError(f"the server answered HTTP {answer.status_code}")
        too_large = DownloadError(f"more than {item.limit} bytes, so not the published file")
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > item.limit):
            raise too_large
        try:
            while chunk := answer.raw.read1(CHUNK):
                file.write(chunk)
                count(len(chunk))
                if file.tell() > item.limit:
                    raise too_large
                if time.monotonic() > end:
                    raise DownloadError(f"it took longer than {DEADLINE:g} s")
        except HTTPError as error:
            raise requests.ConnectionError(reason(error)) from error
