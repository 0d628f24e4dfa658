"""Zarr stores, version 2 or 3: folders that hold an array, or a group of named ones."""

import json
import os
from pathlib import Path

import numpy as np

from ...errors import DataError, OutputError
from ...files.atomic import check_output_folder, whole_folder
from ...files.sandbox import LARGEST_ARRAY, Unreadable, check_size, parse, require
from ..lazy import CHUNK as READ_AT_ONCE
from ..lazy import pick
from .arrays import from_named
from .chosen import parse_chosen, rates_among
from .description import described, spikes_in_a_row, text_of
from .hdf5 import LEVELS
from .named_arrays import Found
from .pieces import bring, is_large, is_table, place

RATES = "spike_rates"
CHUNK = 1 << 20
"""Values of a chunk that is written: whole traces of some neurons, unless they are longer."""

METADATA = ("zarr.json", ".zgroup", ".zarray")

CODECS = {
    *("bytes", "transpose", "sharding_indexed", "crc32c", "adler32", "fletcher32"),
    *("blosc", "zstd", "gzip", "zlib", "bz2", "lzma", "lz4"),
    *("shuffle", "delta", "fixedscaleoffset", "quantize", "bitround", "astype", "packbits"),
}
"""Codecs that turn bytes into numbers and do nothing else; that of pickle runs code."""


_CODEC_KEYS = ("codecs", "index_codecs", "filters", "compressor", "compressors")


def recognises(folder):
    """Whether a folder is a Zarr store."""
    return any((folder / name).is_file() for name in METADATA)


def read(folder, options):
    """Recording of a Zarr array, or of the arrays in a group and the groups in it."""
    require("zarr", "reading Zarr", "zarr")
    values = parse(_parse, folder, options.variable, options.chunk, libraries=["zarr"])
    return from_named(folder, bring(folder, values, parse_rows, "zarr"), options)


def _parse_root(path):
    """Child: the array or group that a store is."""
    import zarr

    check_files(Path(path))
    store = zarr.storage.LocalStore(path, read_only=True)
    # What is in a group is what stands in its folder: consolidated metadata could name others.
    made = {"store": store, "mode": "r"}
    is_group = _is_group(Path(path))
    return zarr.open_group(**made, use_consolidated=False) if is_group else zarr.open_array(**made)


def parse_rows(path, name, axis, numbers):
    """Child: some rows of a table in a store, see `pieces.bring`."""
    root = _parse_root(path)
    yield "rows", pick(root[name] if name else root, axis, np.array(numbers))


def _parse(path, variable, piece=READ_AT_ONCE):
    """Child: the arrays of a recording in a Zarr store."""
    import zarr

    root = _parse_root(path)
    if "nwb_version" in root.attrs:
        raise DataError(
            f"{path} is NWB in Zarr; export it to HDF5 first: hdmf_zarr.NWBZarrIO(...) to "
            "pynwb.NWBHDF5IO(..., 'w').export"
        )
    items = {"array": root} if isinstance(root, zarr.Array) else _arrays(root)
    arrays = {
        name: Found(item.shape, _dimensions(item), item.attrs.get("units"))
        for name, item in items.items()
        if getattr(item.dtype, "kind", "") in "fiub"
    }
    groups = {} if isinstance(root, zarr.Array) else dict(_groups(root, "", 0))
    rates = dict(rates_among(root.attrs))
    for name, item in {**{name: items[name] for name in arrays}, **groups}.items():
        rates |= rates_among(item.attrs, f"{name}.")
    for name, value in rates.items():
        arrays.setdefault(name, Found(()))
        items.setdefault(name, value)

    def read(name):
        item = items[name]
        if isinstance(item, np.ndarray):
            return item
        stored = _stored(Path(path, item.path))
        largest = None if is_table(item.shape) else LARGEST_ARRAY
        check_size(name, item.shape, item.dtype.itemsize, stored, item.chunks, largest)
        if is_large(item.shape, item.dtype.itemsize, piece):
            return place(item.path, item)
        return np.asarray(item[...])

    yield from parse_chosen(path, arrays, variable, read)


def _is_group(folder):
    if (folder / "zarr.json").is_file():
        return json.loads((folder / "zarr.json").read_bytes()).get("node_type") == "group"
    return not (folder / ".zarray").is_file()


def _arrays(root):
    """The arrays of a store by their dotted names, neighbours one after another."""
    found = dict(root.arrays())
    for prefix, group in _groups(root, "", 0):
        found |= {f"{prefix}.{name}": array for name, array in group.arrays()}
    return found


def _groups(group, prefix, depth):
    if depth < LEVELS:
        for name, inner in group.groups():
            yield f"{prefix}{name}", inner
            yield from _groups(inner, f"{prefix}{name}.", depth + 1)


def _dimensions(array):
    """Names of the dimensions, as xarray writes them; None if there are none."""
    names = array.attrs.get("_ARRAY_DIMENSIONS") or getattr(array.metadata, "dimension_names", None)
    return tuple(map(str, names)) if names and None not in names else None


def _stored(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def check_files(folder):
    """Refuse links, which may lead out of the store, and codecs that do more than decode."""
    metadata = []
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if Path(here, name).is_symlink():
                raise Unreadable(f"{name} in it is a link to another file")
        for name in files:
            if not Path(here, name).is_file():  # a pipe would keep us waiting
                raise Unreadable(f"{name} in it is no ordinary file")
        metadata += [Path(here, name) for name in files if name in (*METADATA, ".zmetadata")]
    for file in metadata:
        for codec in _codecs(json.loads(file.read_bytes())):
            if codec.removeprefix("numcodecs.") not in CODECS:
                raise Unreadable(f"{file.name} asks for the codec {codec}, which is not trusted")


def _codecs(metadata):
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


def check(path):
    """Raise `OutputError` unless `path` can become a Zarr store, or can be replaced by one."""
    require("zarr", "writing Zarr", "zarr")
    check_output_folder(path.parent)
    if path.exists() and not (path.is_dir() and (recognises(path) or not any(path.iterdir()))):
        raise OutputError(f"{path} exists and is no Zarr store; choose another name")


def write(path, prediction):
    """Write a group of `spike_rates` `(neuron, times)` with both coordinates, as xarray reads it.

    Discrete spikes are `spike_times` in s, all neurons in a row, and `spike_neurons`, which counts
    neurons from 0. The rest are attributes.
    """
    with whole_folder(path) as store:
        rates = np.asarray(prediction.table, np.float32).T
        begin(store, *rates.shape)[:] = rates
        fill(store, prediction)


def begin(folder, neurons, frames):
    """Make a store of rates that are all NaN, `(neuron, frame)`; returns their array."""
    import zarr

    # Version 2, which has arrays of text and all metadata in one file as a standard.
    group = zarr.open_group(zarr.storage.LocalStore(folder), mode="w", zarr_format=2)
    shape = (neurons, frames)
    chunks = (min(neurons, max(1, CHUNK // frames)), min(frames, CHUNK))
    return group.create_array(RATES, shape=shape, chunks=chunks, dtype="f4", fill_value=np.nan)


def fill(folder, prediction):
    """Write all of a prediction but the rates into the store that `begin` has made."""
    import zarr

    store = zarr.storage.LocalStore(folder)
    group = zarr.open_group(store, mode="r+", zarr_format=2, use_consolidated=False)
    description = json.loads(text_of(described(prediction)))
    unit = description.get("unit", "a.u.")
    group[RATES].attrs.update({"_ARRAY_DIMENSIONS": ["neuron", "times"], "units": unit})
    arrays = {
        "times": (np.asarray(prediction.times), ["times"], {"units": "s"}),
        "neuron": (np.array(prediction.names, dtype=np.str_), ["neuron"], {}),
    }
    if prediction.spike_times is not None:
        times, neurons = spikes_in_a_row(prediction)
        arrays["spike_times"] = (times, ["spike"], {"unit": "s"})
        arrays["spike_neurons"] = (neurons, ["spike"], {})
    for name, (array, dimensions, attributes) in arrays.items():
        # Or xarray takes the numbers that equal the usual one, 0, for missing.
        fill_value = np.nan if array.dtype.kind == "f" else None
        made = group.create_array(name, data=array, fill_value=fill_value, overwrite=True)
        made.attrs.update({"_ARRAY_DIMENSIONS": dimensions, **attributes})
    group.attrs.update(
        {
            "frame_rate": float(prediction.recording.frame_rate),
            "names": list(prediction.names),
            "description": description,
        }
    )
    zarr.consolidate_metadata(store)
