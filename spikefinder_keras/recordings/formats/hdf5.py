"""The HDF5 container: all objects of a file by their paths, none of them outside it.

MATLAB's version 7.3 is HDF5 with the axes reversed, and with cell arrays and arrays of structs as
references to what they hold. netCDF and xarray name dimensions.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...arrays import Array
from ...errors import DataError
from ...files.hdf5 import RECORDINGS, checked, leads_out, resolve, walk
from ...files.sandbox import LARGEST_ARRAY, sandboxed
from ...labels import time_unit
from ..recording import pick
from .container import (
    LEVELS,
    MOST_PIECES,
    ArrayInfo,
    Cells,
    Container,
    GroupInfo,
    Info,
    Jobs,
    Scalar,
    as_json,
    assemble,
    is_table,
    open_container,
    type_name,
)

if TYPE_CHECKING:  # the library is imported in the sandbox
    import h5py

MATLAB_7_3 = b"MATLAB 7.3 MAT-file"
"""Begins the user's block of MATLAB's files."""
LONGEST_TEXT = 1_000
"""Characters of a text that are handed on; NWB keeps whole schemas as texts."""
_PLAIN_TEXT = 1 << 16
"""Bytes of a fixed-length text that is read; the library has no such limit."""


@dataclass(frozen=True)
class Hdf5File(Container):
    """An HDF5 file; names are paths without the first slash.

    `links` are soft links, by where they stand; `outside` is how things lead out of the file, by
    where they stand. They are never followed.
    """

    links: dict[str, str] = field(default_factory=dict)
    outside: dict[str, str] = field(default_factory=dict)

    @property
    def shallow(self) -> dict[str, Info]:
        def depth(name: str, info: Info) -> int:
            """How many groups stand around an array, or hold one in a group."""
            if isinstance(info, ArrayInfo):
                return 0 if info.assembled else name.count("/")
            return name.count("/") + bool(name)

        return {name: info for name, info in self.objects.items() if depth(name, info) <= LEVELS}

    @cached_property
    def members(self) -> dict[str, list[str]]:
        """The names in each group, links included."""
        found: dict[str, list[str]] = {}
        for where in (*self.objects, *self.links, *self.outside):
            if where:
                group, _, name = where.rpartition("/")
                found.setdefault(group, []).append(name)
        return found

    def find(self, path: str, *, depth: int = 0) -> str | None:
        """The name of the object at a path, over soft links; None if there is none. It raises
        `DataError` if the way there, or its values, lie in another file."""
        where = ""
        for part in filter(None, path.split("/")):
            base, where = where, f"{where}/{part}".lstrip("/")
            # A link on the way counts as much as one at the end.
            if where in self.outside:
                raise self.leads_out(where)
            if where in self.links:
                if depth > RECORDINGS.depth:
                    raise self.unreadable(f"/{where} is a link that never ends")
                target = self.links[where]
                base = "" if target.startswith("/") else base
                found = self.find(f"{base}/{target}", depth=depth + 1)
                if found is None:
                    return None
                where = found
            elif where not in self.objects:
                return None
        return where

    def leads_out(self, where: str) -> DataError:
        return self.unreadable(f"/{where} {self.outside[where]}")


def open_file(path: Path, chunk: int) -> Hdf5File:
    """List the objects of an HDF5 file; `DataError` if it is damaged or never ends."""
    return open_container(Hdf5File, path, _JOBS, chunk, separator="/")


@sandboxed
def parse_objects(path: str) -> Iterator[tuple[str, Any]]:
    import h5py

    with h5py.File(path, "r") as file:
        listing = _listing(path, file)
        yield "objects", as_json(listing.objects)
        yield "links", listing.links
        yield "outside", listing.outside
        yield "reverses", listing.reverse
        yield "always_tables", listing.reverse


@sandboxed
def parse_arrays(
    path: str, labels: Mapping[str, str], large: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    import h5py

    with h5py.File(path, "r") as file:
        assembled: _Listing | None = None
        for name, label in labels.items():
            item = resolve(file, name)
            if isinstance(item, h5py.Dataset) and not _holds_references(item):
                largest = None if is_table(item.shape or ()) else LARGEST_ARRAY
                item = checked(item, label, largest=largest)
                if name not in large:
                    yield name, item
                continue
            if assembled is None:  # cells have no names of their own: they are found as before
                assembled = _listing(path, file)
            yield name, _value(assembled.values[name], label, assembled.reverse)


@sandboxed
def parse_rows(path: str, name: str, axis: int, numbers: list[int]) -> Iterator[tuple[str, Array]]:
    import h5py

    with h5py.File(path, "r") as file:
        table = checked(resolve(file, name), f"/{name}", largest=None)
        yield "rows", pick(table, axis, np.array(numbers))


# It brings further decompression, and has to be imported before a file is opened.
_PLUGIN = () if find_spec("hdf5plugin") is None else ("hdf5plugin",)
_JOBS = Jobs(parse_objects, parse_arrays, parse_rows, libraries=("h5py", *_PLUGIN))


@sandboxed
def _listing(path: str, file: h5py.File) -> _Listing:
    with Path(path).open("rb") as plain:
        matlab = plain.read(len(MATLAB_7_3)) == MATLAB_7_3
    # Octave and libraries write the attributes, but not always the user's block.
    top = (file[name] for name in file if _is_hard(file, name))
    signs = {"MATLAB_class", "OCTAVE_NEW_FORMAT"}
    listing = _Listing(file, reverse=matlab or any(not signs.isdisjoint(i.attrs) for i in top))
    for where, item in walk(file, RECORDINGS):
        listing.add(where, item)
    return listing


def _is_hard(group: h5py.Group, name: str) -> bool:
    import h5py

    return isinstance(group.get(name, getlink=True), h5py.HardLink)


class _Listing(Cells):
    """What is found in a file; pieces are datasets."""

    def __init__(self, file: h5py.File, *, reverse: bool) -> None:
        super().__init__()
        self.reverse = reverse
        self.objects[""] = GroupInfo(_attributes(file))
        self.links: dict[str, str] = {}
        self.outside: dict[str, str] = {}
        self._hidden: tuple[str, ...] = ()

    def add(self, where: str, item: Any) -> None:
        import h5py

        if reason := leads_out(item):
            self.outside[where] = reason
            return
        # MATLAB keeps what cells refer to in #refs#, and sparse arrays as groups of their parts.
        if where.startswith(self._hidden) or where.rpartition("/")[2].startswith("#"):
            if isinstance(item, h5py.Group):
                self._hidden += (f"{where}/",)
            return
        if isinstance(item, h5py.SoftLink):
            self.links[where] = item.path
        elif isinstance(item, h5py.Group):
            if "MATLAB_sparse" in item.attrs:
                self._hidden += (f"{where}/",)
            else:
                self.objects[where] = GroupInfo(_attributes(item))
        elif isinstance(item, h5py.Dataset) and item.shape is not None:
            self._add_dataset(where, item)

    def _add_dataset(self, where: str, item: h5py.Dataset) -> None:
        import h5py

        attributes = _attributes(item)
        # An empty array is stored as its shape, a text as numbers.
        if "MATLAB_empty" in attributes or attributes.get("MATLAB_class") == "char":
            return
        # Pointers to an object, such as a table, which stands elsewhere.
        if "MATLAB_object_decode" in attributes:
            self.objects[where] = ArrayInfo(item.shape, "object", attributes=attributes)
            return
        if _holds_references(item):
            if item.size <= MOST_PIECES and where.count("/") <= LEVELS:
                pieces = [item.file[reference] for reference in item[()].ravel() if reference]
                self._add_pieces(pieces, where, depth=0)
            return
        group, _, name = where.rpartition("/")
        if name == "table" and item.ndim == 1 and "index" in (item.dtype.names or ()):
            self._add_rows(group, item, attributes)
            return
        if name == "block0_items":
            text = "\n".join(_texts(item))
            self.objects[where] = ArrayInfo(item.shape, "object", text=text)
            return
        if made := _column(name, item, attributes):
            self.keep(f"{group}/{made[0]}", *made[1:])
            return
        single = item.shape == () and h5py.check_string_dtype(item.dtype) is not None
        self.objects[where] = ArrayInfo(
            self._shape(item),
            type_name(item.dtype),
            _dimensions(item, attributes),
            unit=_unit(attributes),
            attributes=attributes,
            text=_as_text(item[()]) if single and item.dtype.itemsize <= _PLAIN_TEXT else None,
        )

    def _add_rows(self, group: str, item: h5py.Dataset, attributes: Mapping[str, Scalar]) -> None:
        """List pandas' table of rows (`format="table"`) as if it were one of blocks ("fixed"):
        floats are a block, all others, and times, a column each."""
        values, names = [], []
        for kind in item.dtype.names:
            dtype = item.dtype[kind]
            if dtype.base.kind not in "fiub" or len(dtype.shape) > 1:
                continue
            if kind == "index":
                index = {"kind": attributes.get("index_kind")}
                info = ArrayInfo(item.shape, dtype.str, attributes=index)
                self.keep(f"{group}/axis1", info, partial(_field, item, kind, None))
                continue
            for place, name in enumerate(_pickled_texts(item, f"{kind}_kind")):
                if dtype.base.kind == "f" and (dtype.shape or time_unit(name) is None):
                    values.append((kind, place))
                    names.append(name)
                elif math.prod(dtype.shape) > place:
                    read = partial(_field, item, kind, place if dtype.shape else None)
                    self.keep(f"{group}/{name}", ArrayInfo(item.shape, dtype.base.str), read)
        if values:
            text = "\n".join(names)
            self.objects[f"{group}/block0_items"] = ArrayInfo((len(names),), "object", text=text)
            info = ArrayInfo((*item.shape, len(values)), "<f8")
            self.keep(f"{group}/block0_values", info, partial(_block, item, values))

    def _shape(self, item: h5py.Dataset) -> tuple[int, ...]:
        return item.shape[::-1] if self.reverse else item.shape

    def _add_pieces(self, pieces: list[Any], name: str, *, depth: int) -> None:
        """List a cell array, or what stands in a field of all structs of an array."""
        import h5py

        if pieces and depth < LEVELS and all(isinstance(piece, h5py.Group) for piece in pieces):
            for key in pieces[0]:
                if all(_is_hard(piece, key) for piece in pieces):
                    inner = [piece[key] for piece in pieces]
                    self._add_pieces(inner, f"{name}/{key}", depth=depth + 1)
            return
        inside = all(isinstance(p, h5py.Dataset) and leads_out(p) is None for p in pieces)
        # Cells of different kinds are no trials.
        if inside and all(piece.dtype.kind in "fiub" for piece in pieces):
            self.add_cells(name, pieces, [self._shape(piece) for piece in pieces])


def _value(item: Any, label: str, reverse: bool) -> Any:
    """The values of what is put together, with the axes in the order of the file."""
    import h5py

    if isinstance(item, h5py.Dataset):
        return checked(item, label)
    if isinstance(item, partial):
        return item(label)
    if isinstance(item, list):
        # Turned before they are joined: which axis is time is said of them as they are listed.
        pieces = [checked(piece, label)[()] for piece in item]
        item = assemble([piece.T for piece in pieces] if reverse else pieces)
    return item.T if reverse else item


def _holds_references(item: h5py.Dataset) -> bool:
    import h5py

    # Types that are equal otherwise: texts are objects to numpy, too.
    return h5py.check_ref_dtype(item.dtype) is h5py.Reference


def _unit(attributes: Mapping[str, Scalar]) -> str | None:
    found = attributes.get("units", attributes.get("unit"))  # netCDF's, and NWB's
    return found if isinstance(found, str) else None


def _as_text(value: bytes | str) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    return text[:LONGEST_TEXT]


def _attributes(item: Any) -> dict[str, Scalar]:
    return {name: _attribute(item, name) for name in item.attrs}


def _attribute(item: Any, name: str) -> Scalar:
    """One number or text; for a reference the path of what it refers to; None for all else."""
    import h5py

    try:
        shape = item.attrs.get_id(name).shape
        value = item.attrs[name] if math.prod(shape) == 1 else None
    except (OSError, TypeError, ValueError, KeyError, RuntimeError):  # h5py has no word for it
        return None
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        value = value.reshape(())[()]
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return value.item() if value.dtype.itemsize <= 8 else float(value)
    if isinstance(value, h5py.Reference) and value and not shape:
        path = h5py.h5r.get_name(value, item.file.id)
        return None if path is None else path.decode(errors="replace").lstrip("/")
    return _as_text(value) if isinstance(value, bytes | str) else None


def _dimensions(item: h5py.Dataset, attributes: Mapping[str, Scalar]) -> tuple[str, ...] | None:
    """Names of the dimensions, as netCDF and xarray keep them."""
    if not {"DIMENSION_LIST", "DIMENSION_LABELS"} & attributes.keys():
        return None
    try:
        names = [
            dimension.label or (dimension[0].name.rsplit("/", 1)[-1] if len(dimension) else "")
            for dimension in item.dims
        ]
    except (RuntimeError, ValueError, KeyError, OSError):
        return None
    return tuple(names) if all(names) and names else None


# What pandas writes: blocks of columns of one type and their names, or rows of several types


def _texts(item: h5py.Dataset) -> list[str]:
    """Names of columns, as plain bytes."""
    if item.dtype.kind != "S" or item.ndim != 1 or item.nbytes > _PLAIN_TEXT:
        return []
    return [text.decode(errors="replace") for text in item[()]]


def _pickled_texts(item: h5py.Dataset, attribute: str) -> list[str]:
    """The texts in a pickled list, of which nothing is run."""
    value = item.attrs.get(attribute)
    try:
        found = list(pickletools.genops(bytes(value))) if isinstance(value, bytes) else []
    except (ValueError, IndexError):
        return []
    return [text for code, text, _ in found if "UNICODE" in code.name and isinstance(text, str)]


def _column(
    name: str, item: h5py.Dataset, attributes: Mapping[str, Scalar]
) -> tuple[str, ArrayInfo, partial[Array]] | None:
    """A column that stands beside the block of traces: its name, and how it is read. It is a level
    of an index of several, as different values and which of them each frame has, or of other
    numbers than the traces, such as those of the trial."""
    import h5py

    match = re.fullmatch(r"axis1_level(\d+)|(block[1-9]\d*)_values", name)
    if match is None:
        return None
    other = f"axis1_label{match[1]}" if match[1] else f"{match[2]}_items"
    beside = item.parent[other] if _is_hard(item.parent, other) else None
    if not isinstance(beside, h5py.Dataset) or beside.ndim != 1 or not item.size:
        return None
    if match[1]:
        info = ArrayInfo(beside.shape, item.dtype.str)
        return str(attributes.get("name")), info, partial(_level, item, beside)
    names = _texts(beside)
    if item.ndim != 2 or item.shape[1] != len(names) or len(names) != 1:
        return None
    return names[0], ArrayInfo(item.shape[:1], item.dtype.str), partial(_only_column, item)


def _level(values: h5py.Dataset, which: h5py.Dataset, label: str) -> Array:
    return checked(values, label)[()].take(checked(which, label)[()], mode="clip")


def _only_column(item: h5py.Dataset, label: str) -> Array:
    return checked(item, label)[:, 0]


def _field(item: h5py.Dataset, name: str, place: int | None, label: str) -> Array:
    """A field of rows, or a place in a field of several numbers."""
    values = checked(item, label, kinds="V")[name]
    return values if place is None else values[:, place]


def _block(item: h5py.Dataset, columns: Sequence[tuple[str, int]], label: str) -> Array:
    """Columns of rows, by field and place in it, as a table `(row, column)`."""
    # Each field once: it may hold a thousand columns.
    fields = {name: _field(item, name, None, label) for name, _ in columns}
    found = [np.reshape(fields[name], (len(item), -1))[:, place] for name, place in columns]
    return np.stack(found, axis=1).astype(np.float64)
