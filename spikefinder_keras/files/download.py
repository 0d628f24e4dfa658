"""Fetch and verify the competition's files and the published weights.

A file is received under the hidden name `.<name>.part` beside its target, verified by its hash, and
only then renamed. What an interruption leaves of it is continued by the next run.
"""

import hashlib
import http.client
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..constants import DATASET_COUNT, SPLITS
from ..errors import DownloadError, UsageError
from .sources import COMPETITION_ADDRESSES, COMPETITION_FILES, WEIGHTS
from .whole_files import check_output_folder

ATTEMPTS = 3
"""Requests to one address for one file, at most."""

PAUSE = 1.0
"""Seconds before the second attempt; twice as long before the third."""

TIMEOUT = 30.0
"""Seconds without a byte after which an attempt ends."""

DATA_LIMIT = 64 * 2**20
"""Bytes; no competition file is as large."""

WEIGHTS_LIMIT = 2**20
"""Bytes; the weights have 83,592."""

LOCK_TIMEOUT = 900
"""Seconds to wait for another process that fetches the same file."""

CHUNK = 2**16

WEB = ("http://", "https://")

ADVICE = "run the command again to continue, or name a mirror or a local folder that has the files"


class _Failed(Exception):
    """One source cannot give the file; the next one may."""


class _TooLarge(_Failed):
    """The source offers more bytes than the file can have."""


class _Retry(_Failed):
    """One attempt failed; another one at the same address may succeed."""


class _Unreachable(_Retry):
    """There was no connection to the host at all."""


@dataclass(frozen=True)
class _Item:
    """One file to be fetched; `sources` are addresses (str) and local files (Path)."""

    target: Path
    method: str
    expected: str
    limit: int
    sources: tuple

    @property
    def part(self):
        return self.target.with_name(f".{self.target.name}.part")

    def matches(self, path):
        return _identity(path, self.method) == self.expected


@dataclass
class _Run:
    """What the parallel downloads of one call share."""

    count: Callable = lambda size: None
    stop: threading.Event = field(default_factory=threading.Event)
    unreachable: set = field(default_factory=set)

    def check(self, pause=0):
        if self.stop.wait(pause):
            raise DownloadError("interrupted")


def fetch_data(folder, datasets=None, splits=SPLITS, mirror=None, workers=4, progress=False):
    """Fetch competition files into the competition's layout, and verify them.

    Files that are already there and right are left alone, without using the network.

    Parameters
    ----------
    folder : str or Path
        Receives `spikefinder.train/<n>.train.calcium.csv` and so on.
    datasets : int or iterable of int, optional
        Numbers from 1 to 10; by default all. Sets 6 to 10 have no test split.
    splits : str or iterable of str
        "train", "test" or both.
    mirror : str or Path, optional
        An http(s) address or a local folder to take the files from instead of the two public
        repositories. The files stand in it side by side, or in `spikefinder.train` and
        `spikefinder.test`.
    workers : int
        Files fetched at the same time.
    progress : bool
        Show the bytes received on stderr.

    Returns
    -------
    list of Path
        The calcium and spikes files, training first.

    Raises
    ------
    DownloadError
        If some files could not be fetched. The others are kept.
    OutputError
        If `folder` cannot be written to.
    UsageError
        If a dataset or split does not exist.

    Examples
    --------
    >>> fetch_data("data", datasets=[4, 5], splits="train")  # doctest: +SKIP
    """
    if workers < 1:
        raise UsageError(f"workers is {workers}; give at least 1")
    items = [
        _Item(
            Path(folder) / f"spikefinder.{split}" / name,
            "git blob id",
            COMPETITION_FILES[name],
            DATA_LIMIT,
            _sources(mirror, COMPETITION_ADDRESSES, name, split),
        )
        for name, split in _choose(datasets, splits)
    ]
    missing = [item for item in items if not item.matches(item.target)]
    for target_folder in {item.target.parent for item in missing}:
        check_output_folder(target_folder)
    if missing:
        from tqdm import tqdm

        with tqdm(desc="spikefinder", unit="B", unit_scale=True, disable=not progress) as bar:
            _fetch_all(missing, workers, _Run(bar.update))
    return [item.target for item in items]


def fetch_weights(name="published", mirror=None):
    """Fetch published weights into the user's cache, and verify them.

    The cache is the system's usual one, or the folder in the environment variable
    `SPIKEFINDER_CACHE`. The network is used only if the file is not there, or damaged.

    Parameters
    ----------
    name : str
        One of `WEIGHTS`.
    mirror : str or Path, optional
        An http(s) address or a local folder that holds the file.

    Returns
    -------
    Path

    Raises
    ------
    DownloadError
        If the weights could not be fetched.
    OutputError
        If the cache cannot be written to.
    UsageError
        If there are no weights of that name.
    """
    item = _weights_item(name, mirror)
    if not item.matches(item.target):
        check_output_folder(item.target.parent)
        _fetch_all([item], 1, _Run())
    return item.target


def cached_weights(name="published"):
    """Path of the verified weights in the user's cache, or None; never uses the network.

    Raises
    ------
    UsageError
        If there are no weights of that name.
    """
    item = _weights_item(name, None)
    return item.target if item.matches(item.target) else None


def data_cache():
    """The folder in the user's cache where the competition's data go if no other is named."""
    return _cache() / "data"


def _choose(datasets, splits):
    """`(file name, split)` of the chosen competition files."""
    numbers = range(1, DATASET_COUNT + 1) if datasets is None else datasets
    numbers = [numbers] if isinstance(numbers, int) else list(numbers)
    splits = [splits] if isinstance(splits, str) else list(splits)
    for number in numbers:
        if number not in range(1, DATASET_COUNT + 1):
            raise UsageError(f"dataset {number} does not exist; choose from 1 to {DATASET_COUNT}")
    for split in splits:
        if split not in SPLITS:
            raise UsageError(f"split {split} does not exist; choose from {', '.join(SPLITS)}")
    parts = ((name, *name.split(".")[:2]) for name in COMPETITION_FILES)
    chosen = [(name, split) for name, n, split in parts if int(n) in numbers and split in splits]
    if not chosen:
        raise UsageError(
            "no competition file is chosen; name at least one dataset and split (sets 6 to 10 have "
            "no test split)"
        )
    return chosen


def _weights_item(name, mirror):
    if name not in WEIGHTS:
        raise UsageError(f"there are no weights {name!r}; choose from {', '.join(WEIGHTS)}")
    file_name, expected, address = WEIGHTS[name]
    sources = _sources(mirror, (address,), file_name)
    return _Item(_cache() / file_name, "sha256", expected, WEIGHTS_LIMIT, sources)


def _cache():
    from platformdirs import user_cache_dir

    return Path(os.environ.get("SPIKEFINDER_CACHE") or user_cache_dir("spikefinder_keras"))


def _sources(mirror, addresses, name, split=None):
    """The addresses (str) or local files (Path) at which to look for a file, in order."""
    if mirror is None:
        return tuple(address.format(name=name, split=split) for address in addresses)
    places = [name] if split is None else [name, f"spikefinder.{split}/{name}"]
    if str(mirror).lower().startswith(WEB):
        return tuple(f"{str(mirror).rstrip('/')}/{place}" for place in places)
    try:
        found = Path(mirror).is_dir()
    except OSError:
        found = False
    if not found:
        raise DownloadError(
            f"the mirror {mirror} is neither an http(s) address nor a folder; name one of the two"
        )
    return tuple(Path(mirror) / place for place in places)


def _fetch_all(items, workers, run):
    failures = {}
    with ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(_fetch, item, run): item.target.name for item in items}
        try:
            for job in as_completed(jobs):
                if isinstance(job.exception(), DownloadError):
                    failures[jobs[job]] = str(job.exception())
                else:
                    job.result()
        except BaseException:  # Ctrl-C above all: the threads stop at their next chunk
            run.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failures:
        names = [item.target.name for item in items if item.target.name in failures]
        reasons = [f"{name} ({failures[name]})" for name in names[:2]]
        listed = ", ".join(reasons + names[2:])
        raise DownloadError(f"{len(failures)} of {len(items)} not fetched: {listed}; {ADVICE}")


def _fetch(item, run):
    """Bring one file to its target, unless another process does so first."""
    try:
        with _locked(item, run):
            if item.matches(item.target):
                return
            if not item.matches(item.part):
                _try_sources(item, run)
            with item.part.open("rb+") as file:
                os.fsync(file.fileno())
            item.part.replace(item.target)
    except (OSError, NotImplementedError) as error:  # the latter: no locks on this file system
        raise DownloadError(
            f"cannot write {item.target}: {_one_line(error)}; free space or choose another folder"
        ) from error


@contextmanager
def _locked(item, run):
    from filelock import FileLock, Timeout

    lock = FileLock(item.target.with_name(f".{item.target.name}.lock"))
    for _ in range(LOCK_TIMEOUT):
        run.check()
        try:
            lock.acquire(timeout=1)
            break
        except Timeout:
            continue
    else:
        raise DownloadError(f"another process has held {lock.lock_file} for {LOCK_TIMEOUT} s")
    try:
        yield
    finally:
        lock.release()


def _try_sources(item, run):
    """Leave the verified content in `item.part`."""
    failures = []
    for source in item.sources:
        try:
            return _copy(item, source, run) if isinstance(source, Path) else _get(item, source, run)
        except _Failed as failure:
            failures.append(f"{source}: {failure}")
    raise DownloadError("; ".join(failures))


def _copy(item, source, run):
    try:
        file = source.open("rb")
    except OSError as error:
        raise _Failed(error.strerror) from error
    with file:
        _save(item, "wb", _chunks(file.read, None, run))
    _reject_mismatch(item)


def _get(item, url, run):
    host = url.partition("://")[2].partition("/")[0]
    if host in run.unreachable:
        raise _Failed("no connection to the host")
    for attempt in range(ATTEMPTS):
        run.check(pause=attempt * PAUSE)
        try:
            _receive(item, url, run)
            return
        except _Retry as error:
            failure = error
    if isinstance(failure, _Unreachable):
        run.unreachable.add(host)  # else thirty files would each wait for it in vain
    raise failure


def _receive(item, url, run):
    """One request; it continues what is there of the partial file, if the server can."""
    offset = item.part.stat().st_size if item.part.exists() else 0
    with _open(item, url, offset) as response:
        start = 0
        if response.status == 206:
            start = offset
            if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                item.part.unlink(missing_ok=True)
                raise _Retry("the server answered with another byte range")
        chunks = _chunks(response.read1, response.length, run)
        _save(item, "ab" if start else "wb", chunks, start + (response.length or 0))
    # A wrong partial file spoils what is appended to it, so that deserves a second try.
    _reject_mismatch(item, _Retry if start else _Failed)


def _open(item, url, offset):
    headers = {"User-Agent": "spikefinder_keras"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.build_opener(_WebOnly).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the partial file is not a beginning of the server's
            item.part.unlink(missing_ok=True)
        kind = _Retry if error.code in (408, 416, 429) or error.code >= 500 else _Failed
        raise kind(f"the server answered HTTP {error.code}") from error
    except urllib.error.URLError as error:
        kind = _Unreachable if isinstance(error.reason, OSError) else _Failed
        raise kind(_one_line(error.reason)) from error
    except (http.client.InvalidURL, ValueError) as error:
        raise _Failed(f"no valid address ({_one_line(error)})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Retry(_one_line(error)) from error


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http(s) addresses; urllib's own would also go to ftp."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not newurl.lower().startswith(WEB):
            return None  # and the redirect is reported as an HTTP error
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _chunks(read, expected, run):
    """Yield what `read` gives, up to the end or `expected` bytes."""
    received = 0
    while expected is None or received < expected:
        run.check()
        try:
            chunk = read(CHUNK if expected is None else min(CHUNK, expected - received))
        except (OSError, http.client.HTTPException) as error:
            raise _Retry(_one_line(error)) from error
        if not chunk:
            break
        received += len(chunk)
        run.count(len(chunk))
        yield chunk
    if expected is not None and received < expected:
        raise _Retry(f"the connection ended after {received} of {expected} bytes")


def _save(item, mode, chunks, announced=0):
    """Write or append to the partial file, which stays if the connection ends too early."""
    too_large = _TooLarge(f"more than {item.limit} bytes, so not the published file")
    try:
        if announced > item.limit:
            raise too_large
        with item.part.open(mode) as file:
            for chunk in chunks:
                if file.tell() + len(chunk) > item.limit:
                    raise too_large
                file.write(chunk)
    except (OSError, _TooLarge):
        item.part.unlink(missing_ok=True)
        raise


def _reject_mismatch(item, kind=_Failed):
    """Remove the partial file and raise `kind` unless it is the published file."""
    found = _identity(item.part, item.method)
    if found != item.expected:
        size = item.part.stat().st_size
        item.part.unlink()
        raise kind(
            f"not the published file: expected {item.method} {item.expected}, "
            f"found {found} ({size} bytes)"
        )


def _identity(path, method):
    """Git blob id or sha256 of a file; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            if method == "git blob id":
                size = os.fstat(file.fileno()).st_size
                digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
            return hashlib.file_digest(file, lambda: digest).hexdigest()
    except OSError:
        return None


def _one_line(error):
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())[:200]
