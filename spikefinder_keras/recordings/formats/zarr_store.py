"""Zarr stores, version 2 or 3: folders that hold an array, or a group of named ones."""

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...errors import OutputError
from ...files.child import Unreadable, check_size, parse, require
from ...files.whole_files import check_output_folder
from .arrays import FRAME_RATES, choose, from_named
from .description import described, text_of

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
    """Recording of a Zarr array, or of the arrays in the first level of a group."""
    require("zarr", "reading Zarr", "zarr")
    values = parse(_parse, folder, options.variable, libraries=["zarr"])
    return from_named(folder, values.pop("chosen"), values, options)


def _parse(path, variable):
    """Child: the arrays of a recording in a Zarr store."""
    import zarr

    _check_codecs(Path(path))
    root = zarr.open(zarr.storage.LocalStore(path, read_only=True), mode="r")
    arrays = {"array": root} if isinstance(root, zarr.Array) else dict(root.arrays())
    numeric = {n: a for n, a in arrays.items() if getattr(a.dtype, "kind", "") in "fiub"}
    attributes = {name.lower(): name for name in root.attrs}
    chosen = choose(path, {name: array.shape for name, array in numeric.items()}, variable)
    rates = [attributes[name] for name in FRAME_RATES if name in attributes]
    if rates and "rate" not in chosen:
        chosen["rate"] = rates[0]
        yield "rate", np.asarray(root.attrs[rates[0]])
    yield "chosen", chosen
    for role, name in chosen.items():
        if name in numeric:
            array = numeric[name]
            stored = _stored(Path(path) / name if len(arrays) > 1 else Path(path))
            check_size(name, array.shape, array.dtype.itemsize, stored, array.chunks)
            yield role, np.asarray(array[...])


def _stored(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _check_codecs(folder):
    for file in [f for name in (*METADATA, ".zmetadata") for f in folder.rglob(name)]:
        for codec in _codecs(json.loads(file.read_text())):
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
                    name = codec.get("id", codec.get("name")) if isinstance(codec, dict) else codec
                    if name is not None:
                        yield str(name)
            yield from _codecs(value)


def check(path):
    """Raise `OutputError` unless `path` can become a Zarr store, or can be replaced by one."""
    require("zarr", "writing Zarr", "zarr")
    check_output_folder(path.parent)
    if path.exists() and not (path.is_dir() and (recognises(path) or not any(path.iterdir()))):
        raise OutputError(f"{path} exists and is no Zarr store; choose another name")


def write(path, prediction):
    """Write a group of `spike_rates` (neuron x frame) and `times`, the rest as its attributes.

    Discrete spikes are `spike_times` in s, all neurons in a row, and `spike_neurons`, which counts
    neurons from 0.
    """
    import zarr

    check(path)
    rates = np.asarray(prediction.rates, np.float32).T
    arrays = {"spike_rates": rates, "times": np.asarray(prediction.times)}
    if prediction.spike_times is not None:
        counts = [len(times) for times in prediction.spike_times]
        arrays["spike_times"] = np.concatenate([np.empty(0), *prediction.spike_times])
        arrays["spike_neurons"] = np.repeat(np.arange(len(counts)), counts)
    with _whole_folder(path) as temporary:
        group = zarr.open_group(zarr.storage.LocalStore(temporary), mode="w")
        for name, array in arrays.items():
            group.create_array(name, data=array)
        group.attrs.update(
            {
                "frame_rate": float(prediction.recording.frame_rate),
                "names": list(prediction.names),
                "axes": {"spike_rates": ["neuron", "frame"], "times": ["frame"]},
                "description": json.loads(text_of(described(prediction))),
            }
        )


@contextmanager
def _whole_folder(path):
    """As `files.whole_file`, for a folder; a previous one goes only when the new one is whole."""
    path = Path(path)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as folder:
            new, old = Path(folder, "new"), Path(folder, "old")
            yield new
            if path.exists():
                path.rename(old)
            try:
                new.rename(path)
            except OSError:
                if old.exists():
                    old.rename(path)
                raise
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror or error}); free space or choose another place"
        ) from error
