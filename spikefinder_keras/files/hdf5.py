"""HDF5 files of unknown origin: the one walk over their objects, and what is checked of each.

The HDF5 library can be made to read other files, to claim terabytes, to hang and to crash. So files
are opened in the sandbox alone, only by hard links inside them, and before a value is read its
object has been checked. `network.weights` and `recordings.formats` read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from .sandbox import LARGEST_ARRAY, Unreadable, check_size

if TYPE_CHECKING:  # the library is imported in the sandbox
    import h5py

SIGNATURE = b"\x89HDF\r\n\x1a\n"


FILTERS = {
    **{32000: "LZF", 32001: "Blosc", 32004: "LZ4", 32008: "bitshuffle", 32013: "ZFP"},
    **{32015: "Zstandard", 32017: "SZ", 32022: "SZ3", 32026: "Blosc2", 307: "bzip2"},
}
"""Numbers of filters by which values are compressed, and what they are called."""


@dataclass(frozen=True)
class Limits:
    """How large the tree of a file may be before it is refused.

    `objects` is most links in all groups, `depth` most groups around an object, `name` the longest
    name, which then must be printable, too; None where any name will do.
    """

    objects: int
    depth: int
    name: int | None = None


RECORDINGS = Limits(objects=100_000, depth=50)
"""A list of trials can hold thousands of arrays; groups that hold each other have no end."""


def walk(
    file: h5py.Group, limits: Limits, *, skip: Sequence[str] = ()
) -> Iterator[tuple[str, Any]]:
    """Every object below a group by its path in it: a group comes before what it holds.

    A link that is no hard one is not followed: in place of an object there is h5py's `SoftLink`
    or `ExternalLink`. What has a part of `skip` in its path is left out unopened. `Unreadable` is
    raised if the tree is larger than `limits`.
    """
    import h5py

    seen = count(1)

    def enter(group: h5py.Group, path: str, depth: int) -> Iterator[tuple[str, Any]]:
        if depth > limits.depth:
            raise Unreadable(f"its groups are nested deeper than {limits.depth}")
        for name in group:
            if limits.name is not None and (len(name) > limits.name or not name.isprintable()):
                raise Unreadable("a name in it is too long or holds control characters")
            where = f"{path}{name}"
            if any(part in where for part in skip):
                continue
            if next(seen) > limits.objects:
                raise Unreadable(f"it holds more than {limits.objects} objects")
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                yield where, link
                continue
            item = group[name]
            yield where, item
            if isinstance(item, h5py.Group):
                yield from enter(item, f"{where}/", depth + 1)

    yield from enter(file, "", 0)


def leads_out(item: Any) -> str | None:
    """How an object or link of `walk` takes what it has from another file; None if it does not.

    A soft link leads nowhere else in a file without links of another kind.
    """
    import h5py

    if isinstance(item, h5py.Dataset):
        # Two features of the library by which values stand elsewhere.
        if item.is_virtual or item.id.get_create_plist().get_external_count():
            return "takes its values from another file"
        return None
    if isinstance(item, h5py.Group | h5py.Datatype | h5py.SoftLink):
        return None
    return "is a link to another file"


def check_structure(file: h5py.Group) -> None:
    """Raise `Unreadable` if anything in an open file leads out of it, or it never ends."""
    for where, item in walk(file, RECORDINGS):
        if reason := leads_out(item):
            raise Unreadable(f"/{where} {reason}")


def resolve(file: h5py.Group, path: str, *, depth: int = 0) -> Any:
    """The object at `path` in an open file, None if there is none, and `Unreadable` if a link to
    another file lies on the way."""
    import h5py

    item, where = file, ""
    for name in filter(None, path.split("/")):
        link = item.get(name, getlink=True) if isinstance(item, h5py.Group) else None
        if link is None:
            return None
        where = f"{where}/{name}"
        if isinstance(link, h5py.SoftLink):
            if depth > RECORDINGS.depth:
                raise Unreadable(f"{where} is a link that never ends")
            base = "" if link.path.startswith("/") else where.rpartition("/")[0]
            item = resolve(file, f"{base}/{link.path}", depth=depth + 1)
        elif isinstance(link, h5py.HardLink):
            item = item[name]
        else:
            raise Unreadable(f"{where} {leads_out(link)}")
    return item


def check_filters(dataset: h5py.Dataset, where: str) -> None:
    """Raise `Unreadable` if the library has not what decompresses an array."""
    import h5py

    made = dataset.id.get_create_plist()
    for number in range(made.get_nfilters()):
        code = made.get_filter(number)[0]
        if not h5py.h5z.filter_avail(code):
            raise Unreadable(
                f"{where} is compressed by {FILTERS.get(code, 'a filter')} (HDF5 filter {code}), "
                "which is not installed: pip install hdf5plugin, or write the file anew with "
                "h5repack -f GZIP=4"
            )


def checked(
    dataset: Any, where: str, *, largest: int | None = LARGEST_ARRAY, kinds: str = "fiub"
) -> h5py.Dataset:
    """Return `dataset` if it is an array of real numbers of a credible size, else `Unreadable`.

    `largest` in bytes is None for one that is read a few rows at a time; `kinds` are those of
    numpy's types, V of rows of several.
    """
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise Unreadable(f"{where} is no array")
    if reason := leads_out(dataset):
        raise Unreadable(f"{where} {reason}")
    if dataset.dtype.kind not in kinds:
        raise Unreadable(f"{where} holds {dataset.dtype} values, not real numbers")
    check_filters(dataset, where)
    stored = dataset.id.get_storage_size()  # of chunks that were never written nothing
    check_size(where, dataset.shape, dataset.dtype.itemsize, stored, dataset.chunks, largest)
    return dataset
