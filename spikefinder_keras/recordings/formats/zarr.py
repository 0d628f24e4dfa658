"""The Zarr container, version 2 or 3: a folder that holds an array, or a group of named ones."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...arrays import Array
from ...files.atomic import ZARR, read_small
from ...files.sandbox import LARGEST_ARRAY, Unreadable, check_size, require, sandboxed
from ..recording import pick
from .container import (
    LEVELS,
    ArrayInfo,
    Container,
    GroupInfo,
    Info,
    Jobs,
    Scalar,
    as_json,
    is_table,
    open_container,
    type_name,
)

LARGEST_METADATA = 256 << 20
"""Bytes; consolidated, they are those of all arrays of a store."""
ALONE = "array"
"""What an array is called that is no member of a group."""
CODECS = (
    {"bytes", "transpose", "sharding_indexed", "crc32c", "adler32", "fletcher32"}
    | {"blosc", "zstd", "gzip", "zlib", "bz2", "lzma", "lz4"}
    | {"shuffle", "delta", "fixedscaleoffset", "quantize", "bitround", "astype", "packbits"}
)
"""Codecs that turn bytes into numbers and do nothing else; that of pickle runs code."""
_CODEC_KEYS = ("codecs", "index_codecs", "filters", "compressor", "compressors")


def open_folder(path: Path, chunk: int) -> Container:
    """List the arrays and groups of a store; `UsageError` if Zarr is not installed."""
    require("zarr", "reading Zarr", "zarr")
    return open_container(Container, path, JOBS, chunk, separator="/")


@sandboxed
def parse_objects(path: str) -> Iterator[tuple[str, Any]]:
    import zarr

    root = open_root(path)
    objects: dict[str, Info] = {"": GroupInfo(_attributes(root))}
    if isinstance(root, zarr.Array):
        objects[ALONE] = info(root)
    else:
        objects |= _members(root, "", 0)
    yield "objects", as_json(objects)


@sandboxed
def parse_arrays(
    path: str, labels: Mapping[str, str], large: Sequence[str]
) -> Iterator[tuple[str, Array]]:
    root = open_root(path)
    for name, label in labels.items():
        array = _array(root, name)
        files = Path(path, array.path).rglob("*")
        stored = sum(file.stat().st_size for file in files if file.is_file())
        largest = None if is_table(array.shape) else LARGEST_ARRAY
        check_size(label, array.shape, array.dtype.itemsize, stored, array.chunks, largest)
        if name not in large:
            yield name, np.asarray(array[...])


@sandboxed
def parse_rows(path: str, name: str, axis: int, numbers: list[int]) -> Iterator[tuple[str, Array]]:
    yield "rows", pick(_array(open_root(path), name), axis, np.array(numbers))


JOBS = Jobs(parse_objects, parse_arrays, parse_rows, libraries=("zarr",))


@sandboxed
def open_root(path: str) -> Any:
    import zarr

    check_files(Path(path))
    is_group = not Path(path, ".zarray").is_file()
    if Path(path, "zarr.json").is_file():
        metadata = json.loads(read_small(Path(path, "zarr.json"), LARGEST_METADATA))
        is_group = metadata.get("node_type") == "group"
    store = zarr.storage.LocalStore(path, read_only=True)
    if not is_group:
        return zarr.open_array(store=store, mode="r")
    # What is in a group is what stands in its folder: consolidated metadata could name others.
    return zarr.open_group(store=store, mode="r", use_consolidated=False)


def _array(root: Any, name: str) -> Any:
    import zarr

    return root if isinstance(root, zarr.Array) else root[name]


def _members(group: Any, prefix: str, depth: int) -> dict[str, Info]:
    # By name, as Zarr gives them in the order in which they were opened, which varies.
    arrays, groups = sorted(group.arrays()), sorted(group.groups())
    found: dict[str, Info] = {f"{prefix}{name}": info(array) for name, array in arrays}
    if depth < LEVELS:
        for name, inner in groups:
            found[f"{prefix}{name}"] = GroupInfo(_attributes(inner))
            found |= _members(inner, f"{prefix}{name}/", depth + 1)
    return found


def info(array: Any) -> ArrayInfo:
    unit = array.attrs.get("units")  # as xarray calls it
    attributes, fill = _attributes(array), array.fill_value
    # In version 2 xarray means it by this; 0 is what Zarr writes of itself.
    if "_ARRAY_DIMENSIONS" in array.attrs and isinstance(fill, np.number) and fill != 0:
        attributes.setdefault("_FillValue", fill.item())
    return ArrayInfo(
        tuple(array.shape),
        type_name(array.dtype),
        _dimensions(array),
        unit=None if unit is None else str(unit),
        attributes=attributes,
    )


def _attributes(item: Any) -> dict[str, Scalar]:
    """One number or text each; None for anything else."""
    found: dict[str, Scalar] = {}
    for name, value in item.attrs.items():
        # Attributes that came from netCDF may be lists of one number.
        if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], str):
            value = value[0]
        found[name] = value if isinstance(value, str | int | float | bool) else None
    return found


def _dimensions(array: Any) -> tuple[str, ...] | None:
    """Names of the dimensions, as xarray writes them; None if there are none."""
    names = array.attrs.get("_ARRAY_DIMENSIONS") or getattr(array.metadata, "dimension_names", None)
    return tuple(map(str, names)) if names and None not in names else None


def check_files(folder: Path) -> None:
    """Refuse links, which may lead out of the store, and codecs that do more than decode."""
    metadata = []
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if Path(here, name).is_symlink():
                raise Unreadable(f"{name} in it is a link to another file")
        for name in files:
            if not Path(here, name).is_file():  # a pipe would keep us waiting
                raise Unreadable(f"{name} in it is no ordinary file")
        metadata += [Path(here, name) for name in files if name in (*ZARR, ".zmetadata")]
    for file in metadata:
        for codec in _codecs(json.loads(read_small(file, LARGEST_METADATA))):
            if codec.removeprefix("numcodecs.") not in CODECS:
                raise Unreadable(f"{file.name} asks for the codec {codec}, which is not trusted")


def _codecs(metadata: Any) -> Iterator[str]:
    """Names of all codecs in a metadata document, however deep."""
    if isinstance(metadata, list):
        for item in metadata:
            yield from _codecs(item)
    elif isinstance(metadata, dict):
        for key, value in metadata.items():
            if key in _CODEC_KEYS:
                for codec in value if isinstance(value, list) else [value]:
                    if isinstance(codec, dict):  # either, as the versions differ in what they heed
                        yield from (str(codec[k]) for k in ("id", "name") if k in codec)
                    elif codec is not None:
                        yield str(codec)
            yield from _codecs(value)
