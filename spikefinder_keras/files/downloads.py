"""Fetch and verify the competition's files and the published weights.

pooch fetches them: it tries again, and keeps a file apart until it is whole. Here stands which
files there are, and what makes a server's answer useless: its status, length, time and content.
"""

import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..constants import DATASET_COUNT, SPLITS
from ..errors import DownloadError, UsageError, reason
from .atomic import check_output_folder, open_ordinary, partial_folder

# Git blob ids: the same blobs stand in both repositories below, whose listings show these ids.
COMPETITION_FILES = {
    "1.train.calcium.csv": "f382c7e786fe7131dd3cff801f4a8e803ca7ad00",
    "1.train.spikes.csv": "60d17de01fab39a862f27acbe93c40afcfd06718",
    "2.train.calcium.csv": "7085247f85bf5248a8bc39fab12149b9a94a915e",
    "2.train.spikes.csv": "5d03255ed00eff66c6318982dca9d3520feee4a9",
    "3.train.calcium.csv": "b20ec6d3f690609e8ae4734946ce88ae175fdc1f",
    "3.train.spikes.csv": "36ddc9451c6a35fa573a02181729b98d01574911",
    "4.train.calcium.csv": "9eaa20bbb310c88dde77637af98ddfc156484848",
    "4.train.spikes.csv": "141baa75a16abc453ad1c6b789d7a0fe87d2b7f8",
    "5.train.calcium.csv": "0a672c62e47c36d24c2f78b6663c4639cbb3c079",
    "5.train.spikes.csv": "b826dbaadd5f2c14d0a4c396dd4ed05d328b5128",
    "6.train.calcium.csv": "70a7e501ebc07a8df42b2a78b89b80c895f76ec0",
    "6.train.spikes.csv": "81d6276ee6fd73e8da4c96464f305f97affaebea",
    "7.train.calcium.csv": "b8b18cf270f2cfa67b31239666e9af29eb3033a1",
    "7.train.spikes.csv": "ab7a73e09614ec70d4cdfe59a2861be77ef4d5dc",
    "8.train.calcium.csv": "99264dbb36b9c1d9d0bfbd11ba2b578c99bc213b",
    "8.train.spikes.csv": "6227b711947aebdf658ac5db3ce78707803feb65",
    "9.train.calcium.csv": "fb80cec00ed4194e74a1e42558f3b289cafd58d3",
    "9.train.spikes.csv": "f2809051f180bb4b4a3103984be1fdf2ff7e7c8a",
    "10.train.calcium.csv": "e946dbe254ad5cb737f9fa823f563c20ebb20550",
    "10.train.spikes.csv": "e4af62cf5e4bdaad1367607e1090ca0be8eefeb3",
    "1.test.calcium.csv": "fe334f51e24ac7dd531126fa46a200db16e5df2c",
    "1.test.spikes.csv": "d730b47e3e3261f5427279f412a9f9b4b231566e",
    "2.test.calcium.csv": "62472f07300efaa40fa3950179cb57b975190e51",
    "2.test.spikes.csv": "6845753a3c0c14573968c52a811918e1d5d5e60e",
    "3.test.calcium.csv": "4563f257b114122ec901fb31cfcd49edd19d7b39",
    "3.test.spikes.csv": "d8d47f7cb36c2838bda2ee1f8a231d40f7f6cec9",
    "4.test.calcium.csv": "b3a3efe5fc054a02d8af7ea2b20cf7e0c589cd44",
    "4.test.spikes.csv": "d86f30c909c3ce5fe33e1d4d83e13baba144eb63",
    "5.test.calcium.csv": "6f0e1be31e44e04ef118162180023f759afecdde",
    "5.test.spikes.csv": "2e5d00d905567905b6a9fb551c97ff50a2f7161b",
}
COMPETITION_ADDRESSES = (
    "https://raw.githubusercontent.com/berenslab/spikefinder_analysis/master/data/raw/truth/{name}",
    "https://raw.githubusercontent.com/patrickmineault/spikefinder_submission/master/"
    "spikefinder.{split}/{name}",
)

# name: (file name, sha256, address)
WEIGHTS = {
    "published": (
        "model_convnet_6",
        "7c900ff0a6c2558c83598928e7c3150eb067c5934b18559a242257a43a84c519",
        "https://raw.githubusercontent.com/kleskjr/spikefinder-solution/master/src/docker/"
        "model_convnet_6",
    ),
}

WEB = ("http://", "https://")
ADVICE = "run the command again, or name a --mirror: an address or a local folder with the files"

DATA_LIMIT, WEIGHTS_LIMIT = 64 << 20, 1 << 20
"""Bytes; no competition file is as large, and the weights have 83,592."""
RETRIES = 2
"""Requests after the first one to an address for a file; pooch waits 1 s, then 2 s."""
TIMEOUT = 30.0
"""Seconds without a byte after which an attempt ends."""
DEADLINE = 900.0
"""Seconds for one file, whatever its server does."""
MOST_NAMED = 5  # so many of the files that could not be fetched are named
CHUNK = 1 << 16
"""Bytes received at a time."""
WORTH_RETRYING = (408, 429)
"""Statuses below 500 after which a later request may succeed: a time-out, too many requests."""


def fetch_data(
    folder: Path | str,
    datasets: int | Iterable[int] | None = None,
    splits: str | Iterable[str] = SPLITS,
    mirror: Path | str | None = None,
    progress: bool = False,
) -> list[Path]:
    """Fetch competition files into the competition's layout, and verify them.

    Files that are already there and right are left alone, without using the network.

    Parameters
    ----------
    folder
        Receives `spikefinder.train/<n>.train.calcium.csv` and so on.
    datasets
        Numbers from 1 to 10; by default all. Sets 6 to 10 have no test split.
    mirror
        An http(s) address or a local folder with the files, side by side or in `spikefinder.train`
        and `spikefinder.test`, instead of the two public repositories.
    progress
        Show the bytes received on stderr.

    Returns
    -------
    The calcium and spikes files, training first.

    Raises
    ------
    DownloadError
        If some files could not be fetched. The others are kept.
    OutputError
        If `folder` cannot be written to.
    UsageError
        If a dataset or split does not exist.
    """
    from tqdm import tqdm

    files = [
        PublishedFile(
            Path(folder) / f"spikefinder.{split}" / name,
            "git blob id",
            COMPETITION_FILES[name],
            DATA_LIMIT,
            _sources(mirror, COMPETITION_ADDRESSES, name, split),
        )
        for name, split in _choose(datasets, splits)
    ]
    missing = [file for file in files if not file.is_there()]
    failures: dict[str, str] = {}
    silent: Counter[str] = Counter()
    shown = progress and missing
    with tqdm(desc="spikefinder", unit="B", unit_scale=True, disable=not shown) as bar:
        for file in missing:
            try:
                _fetch(file, silent, bar.update)
            except DownloadError as error:
                failures[file.target.name] = str(error)
    if failures:
        # One reason tells what is wrong; thirty, or as many names, would fill the screen.
        reasons = [f"{name} ({why})" for name, why in failures.items()]
        listed = ", ".join(reasons[:1] + list(failures)[1:MOST_NAMED])
        if len(failures) > MOST_NAMED:
            listed += f" and {len(failures) - MOST_NAMED} more"
        raise DownloadError(f"{len(failures)} of {len(missing)} not fetched: {listed}; {ADVICE}")
    return [file.target for file in files]


def fetch_weights(name: str = "published", mirror: Path | str | None = None) -> Path:
    """Fetch published weights into the user's cache, and verify them.

    The cache is the system's usual one, or the folder in the environment variable
    `SPIKEFINDER_CACHE`; the network is used only if the file is not there, or damaged. `mirror` is
    an http(s) address or a local folder that holds the file.

    Raises
    ------
    DownloadError
        If they could not be fetched.
    OutputError
        If the cache cannot be written to.
    UsageError
        If there are none of that name.
    """
    file = _weights_file(name, mirror)
    if not file.is_there():
        try:
            _fetch(file, Counter())
        except DownloadError as error:
            raise DownloadError(f"{file.target.name} not fetched: {error}; {ADVICE}") from error
    return file.target


def cached_weights(name: str = "published") -> Path | None:
    """Path of the verified weights in the user's cache, or None, without using the network.

    Raises `UsageError` if there are none of that name.
    """
    file = _weights_file(name)
    return file.target if file.is_there() else None


def data_cache() -> Path:
    """The folder in the user's cache where the competition's data go if no other is named."""
    return cache_folder() / "data"


def is_original(path: Path | str) -> bool:
    """Whether a file is one of the competition's, by its name and its content."""
    path = Path(path)
    expected = COMPETITION_FILES.get(path.name, "")
    return PublishedFile(path, "git blob id", expected, DATA_LIMIT).is_there()


@dataclass(frozen=True)
class PublishedFile:
    """A file of at most `limit` bytes that is to stand at `target`; `expected` is its hash by a
    `method`, "git blob id" or "sha256". Sources are addresses or local files; the first that has it
    wins."""

    target: Path
    method: str
    expected: str
    limit: int
    sources: tuple[str, ...] = ()

    def is_there(self, path: Path | None = None) -> bool:
        """Whether the right content stands at `path`, by default the target."""
        path = path or self.target
        try:
            # A file of another size need not be hashed, and hashing 100 GB would take minutes.
            credible = path.stat().st_size <= self.limit
        except OSError:
            return False
        return credible and self.identity(path) == self.expected

    def identity(self, path: Path) -> str | None:
        """Hash of a file; None if it cannot be read."""
        try:
            with open_ordinary(path) as file:
                digest = hashlib.sha256()
                if self.method == "git blob id":
                    # Git hashes the kind and the size of an object before its content.
                    size = os.fstat(file.fileno()).st_size
                    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
                return hashlib.file_digest(file, lambda: digest).hexdigest()
        except OSError:
            return None


def cache_folder() -> Path:
    from platformdirs import user_cache_dir

    return Path(os.environ.get("SPIKEFINDER_CACHE") or user_cache_dir("spikefinder_keras"))


def _weights_file(name: str, mirror: Path | str | None = None) -> PublishedFile:
    if name not in WEIGHTS:
        raise UsageError(f"there are no weights {name!r}; choose from {', '.join(WEIGHTS)}")
    file_name, expected, address = WEIGHTS[name]
    sources = _sources(mirror, (address,), file_name)
    return PublishedFile(cache_folder() / file_name, "sha256", expected, WEIGHTS_LIMIT, sources)


def _choose(
    datasets: int | Iterable[int] | None, splits: str | Iterable[str]
) -> list[tuple[str, str]]:
    """`(file name, split)` of the chosen competition files."""
    everything = range(1, DATASET_COUNT + 1)
    datasets = everything if datasets is None else datasets
    numbers = list(datasets) if isinstance(datasets, Iterable) else [datasets]
    splits = [splits] if isinstance(splits, str) else list(splits)
    for number in numbers:
        if number not in everything:
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


def _sources(
    mirror: Path | str | None, addresses: Iterable[str], name: str, split: str | None = None
) -> tuple[str, ...]:
    """The addresses or local files at which to look for a file, in order."""
    if mirror is None:
        return tuple(address.format(name=name, split=split) for address in addresses)
    names = [name] if split is None else [name, f"spikefinder.{split}/{name}"]
    if str(mirror).lower().startswith(WEB):
        return tuple(f"{str(mirror).rstrip('/')}/{each}" for each in names)
    # Of a name longer than the system allows, `isdir` says no.
    if not os.path.isdir(mirror):  # noqa: PTH112
        raise DownloadError(
            f"the mirror {mirror} is neither an http(s) address nor a folder; name one of the two "
            "(--mirror)"
        )
    # Nothing is asked twice of a folder: what is not there does not come.
    return tuple(str(Path(mirror, each)) for each in names if Path(mirror, each).exists())


def _fetch(file: PublishedFile, silent: Counter[str], count: Callable[[int], object] = int) -> None:
    """Put a file at its target, whole and verified, from the first source that has it.

    `silent` counts the failed connections of each host, for all files of one call; `count` is
    called with the size of each piece received.
    """
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")  # else it names each file that it fetches
    check_output_folder(file.target.parent)
    registry: dict[str, None] = {"file": None}  # no hash: pooch knows no git blob ids
    failures = []
    for source in file.sources:
        try:
            with partial_folder(file.target) as folder:
                keeper = pooch.create(
                    folder, "", registry=registry, urls={"file": source}, retry_if_failed=RETRIES
                )
                receive = partial(_receive, file, silent, count)
                Path(keeper.fetch("file", downloader=receive)).replace(file.target)
            return
        except (DownloadError, RequestException) as error:
            failures.append(f"{source}: {reason(error)}")
        except OSError as error:
            raise DownloadError(
                f"cannot write {file.target}: {reason(error)}; free space or choose another folder"
            ) from error
    raise DownloadError("; ".join(failures) or "the mirror does not have it")


def _receive(
    file: PublishedFile,
    silent: Counter[str],
    count: Callable[[int], object],
    source: str,
    target: str,
    _pooch: object,
) -> None:
    """Copy the published file, and nothing else, from a source to `target`; pooch calls it with the
    last three."""
    received = Path(target)
    if source.lower().startswith(WEB):
        _download(source, received, file.limit, silent, count)
    else:
        try:
            open_ordinary(source).close()  # a pipe would never end
        except OSError as error:
            raise DownloadError(error.strerror) from error
        shutil.copyfile(source, received)
    if not file.is_there(received):
        raise DownloadError(
            f"not the published file: expected {file.method} {file.expected}, found "
            f"{file.identity(received)} ({received.stat().st_size} bytes)"
        )


def _download(
    url: str, target: Path, limit: int, silent: Counter[str], count: Callable[[int], object]
) -> None:
    import requests
    from urllib3.exceptions import HTTPError

    end = time.monotonic() + DEADLINE
    host = url.partition("://")[2].partition("/")[0]
    if silent[host] > RETRIES:  # else thirty files would each wait for it in vain
        raise DownloadError("no connection to the host")
    # Without compression, so that bytes are counted as they come.
    headers = {"User-Agent": "spikefinder_keras", "Accept-Encoding": "identity"}
    try:
        answer = requests.get(url, stream=True, timeout=TIMEOUT, headers=headers)
    except ValueError as error:  # no address, or a redirect to none of the web
        raise DownloadError(reason(error)) from error
    except requests.ConnectionError:
        silent[host] += 1
        raise
    too_large = DownloadError(f"more than {limit} bytes, so not the published file")
    with answer, target.open("wb") as file:
        status = answer.status_code
        if status != 200:
            in_vain = 400 <= status < 500 and status not in WORTH_RETRYING
            # pooch tries again after errors of requests.
            kind = DownloadError if in_vain else requests.HTTPError
            raise kind(f"the server answered HTTP {status}")
        # A server may announce anything, also a number longer than Python converts.
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > limit):
            raise too_large
        try:
            # `read1` returns what has come by now: a server that drips meets the deadline.
            while chunk := answer.raw.read1(CHUNK):
                file.write(chunk)
                count(len(chunk))
                if file.tell() > limit:
                    raise too_large
                if time.monotonic() > end:
                    raise DownloadError(f"it took longer than {DEADLINE:g} s")
        except HTTPError as error:
            raise requests.ConnectionError(reason(error)) from error
