"""Fetch and verify the competition's files and the published weights.

Where they are and how they are known stands in `sources`, how one comes here in `transfer`.
"""

import os
from collections import Counter
from pathlib import Path

from ..constants import SPLITS
from ..errors import DownloadError
from .downloads import competition_files, weights_file
from .transfer import fetch

ADVICE = "run the command again, or name a --mirror: an address or a local folder with the files"


def fetch_data(folder, datasets=None, splits=SPLITS, mirror=None, progress=False):
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
    """
    from tqdm import tqdm

    items = competition_files(folder, datasets, splits, mirror)
    missing = [item for item in items if not item.is_there()]
    failures, silent = {}, Counter()
    shown = progress and missing
    with tqdm(desc="spikefinder", unit="B", unit_scale=True, disable=not shown) as bar:
        for item in missing:
            try:
                fetch(item, silent, bar.update)
            except DownloadError as error:
                failures[item.target.name] = str(error)
    if failures:
        reasons = [f"{name} ({why})" for name, why in failures.items()]
        listed = ", ".join(reasons[:2] + list(failures)[2:])
        raise DownloadError(f"{len(failures)} of {len(missing)} not fetched: {listed}; {ADVICE}")
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
    item = weights_file(_cache(), name, mirror)
    if not item.is_there():
        try:
            fetch(item, Counter())
        except DownloadError as error:
            raise DownloadError(f"{item.target.name} not fetched: {error}; {ADVICE}") from error
    return item.target


def cached_weights(name="published"):
    """Path of the verified weights in the user's cache, or None; never uses the network.

    Raises
    ------
    UsageError
        If there are no weights of that name.
    """
    item = weights_file(_cache(), name)
    return item.target if item.is_there() else None


def data_cache():
    """The folder in the user's cache where the competition's data go if no other is named."""
    return _cache() / "data"


def _cache():
    from platformdirs import user_cache_dir

    return Path(os.environ.get("SPIKEFINDER_CACHE") or user_cache_dir("spikefinder_keras"))
