"""Where the competition's files and the published weights are, and the hashes they are known by."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ..constants import DATASET_COUNT, SPLITS
from ..errors import DownloadError, UsageError
from .regular import open_ordinary

# Git blob ids: the same blobs stand in both repositories below.
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


DATA_LIMIT, WEIGHTS_LIMIT = 64 << 20, 1 << 20
"""Bytes; no competition file is as large, and the weights have 83,592."""


@dataclass(frozen=True)
class File:
    """A file to be fetched from the first of `sources` (addresses or local files) that has it."""

    target: Path
    method: str
    expected: str
    limit: int
    sources: tuple

    def is_there(self, path=None):
        """Whether the right content stands at `path`, by default the target."""
        path = Path(path or self.target)
        try:
            credible = path.stat().st_size <= self.limit
        except OSError:
            return False
        return credible and self.identity(path) == self.expected

    def identity(self, path):
        """Git blob id or sha256 of a file; None if it cannot be read."""
        try:
            with open_ordinary(path) as file:
                digest = hashlib.sha256()
                if self.method == "git blob id":
                    size = os.fstat(file.fileno()).st_size
                    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
                return hashlib.file_digest(file, lambda: digest).hexdigest()
        except OSError:
            return None


def competition_files(folder, datasets=None, splits=SPLITS, mirror=None):
    """The chosen files of the competition, in its layout below `folder`: a list of `File`.

    Raises
    ------
    UsageError
        If a dataset or split does not exist, or none is chosen.
    DownloadError
        If the mirror is neither an address nor a folder.
    """
    return [
        File(
            Path(folder) / f"spikefinder.{split}" / name,
            "git blob id",
            COMPETITION_FILES[name],
            DATA_LIMIT,
            _sources(mirror, COMPETITION_ADDRESSES, name, split),
        )
        for name, split in _choose(datasets, splits)
    ]


def is_original(path):
    """Whether a file is one of the competition's, by its name and its content."""
    name = Path(path).name
    if name not in COMPETITION_FILES:
        return False
    return File(Path(path), "git blob id", COMPETITION_FILES[name], DATA_LIMIT, ()).is_there()


def weights_file(folder, name, mirror=None):
    """The `File` of weights, below `folder`; `UsageError` if there are none of that name."""
    if name not in WEIGHTS:
        raise UsageError(f"there are no weights {name!r}; choose from {', '.join(WEIGHTS)}")
    file_name, expected, address = WEIGHTS[name]
    sources = _sources(mirror, (address,), file_name)
    return File(Path(folder) / file_name, "sha256", expected, WEIGHTS_LIMIT, sources)


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
            f"the mirror {mirror} is neither an http(s) address nor a folder; name one of the two "
            "(--mirror)"
        )
    return tuple(Path(mirror) / place for place in places)
