"""Weights files: whose they are, what they hold, and the network they fit.

Read are the 2017 submission's own file and others that Keras 2 wrote of this network, and Keras 3's
`.weights.h5`. All arrays are mapped to one set of names, such as `convolution_1/kernel` and
`forward_lstm/recurrent_kernel`, and checked before any of them reaches a network.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..arrays import Array
from ..constants import DATASET_COUNT
from ..errors import UsageError, WeightsError
from ..files.atomic import open_ordinary
from ..files.downloads import cached_weights, fetch_weights
from ..files.hdf5 import SIGNATURE, Limits, leads_out, walk
from ..files.sandbox import TIME_LIMIT, Unreadable, run, sandboxed
from .convi6 import LSTM_READS, VARIANTS, Architecture, convi6
from .spec import Spec, shapes_of
from .universal import universal

if TYPE_CHECKING:  # the library is imported in the sandbox
    import h5py

Arrays: TypeAlias = dict[str, Array]  # float32 arrays by names such as `convolution_1/kernel`

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

EMBEDDED = {
    "described": "convi6-described.weights.h5",
    "released": "convi6-released.weights.h5",
    "universal": "universal.weights.h5",
}
"""Weights that come with the package, trained by us; their model cards stand beside them. The first
two are of convi6, the last of the network `universal`."""

PUBLISHED = "published"  # the weights of the 2017 submission itself, fetched on request

NAMES = (*EMBEDDED, PUBLISHED)
BEST = "best.weights.h5"
RESULTS = (BEST, EMBEDDED["universal"])
"""Of a training run, in its folder: the best weights of convi6, those of `universal`."""

# How Keras 2 and Keras 3 name the arrays in a file. Keras 2 numbers layers through the whole Python
# process, so the first convolution may be conv1d_9; Keras 3 starts each file at conv1d.
_PATTERNS = tuple(
    (kind, re.compile(pattern + "$"))
    for kind, pattern in (
        ("convolution", r"(?:model_weights/)?conv1d(?:_(\d+))?/.+/(kernel|bias)(?::0)?"),
        ("lstm", r"(?:model_weights/)?bidirectional.*/(forward|backward)_lstm.*/(\w+)(?::0)?"),
        ("normalization", r"(?:model_weights/)?batch_normalization(?:_(\d+))?/.+/(\w+)(?::0)?"),
        ("convolution", r"layers/conv1d(?:_(\d+))?/vars/(\d)"),
        ("lstm", r"layers/bidirectional/(forward|backward)_layer/cell/vars/(\d)"),
        ("normalization", r"layers/batch_normalization(?:_(\d+))?/vars/(\d)"),
        ("rms", r"layers/rms_normalization(?:_(\d+))?/vars/(\d)"),
    )
)
_IN_ORDER = {
    "convolution": ("kernel", "bias"),
    "lstm": ("kernel", "recurrent_kernel", "bias"),
    "normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "rms": ("scale",),
}
_NOT_OURS = ("optimizer", "seed_generator", "top_level_model_weights")


LARGEST_FILE = LARGEST_ARRAYS = 64 << 20
"""Bytes; convi6 has 33 kB of weights, its largest imaginable relative a few MB."""
MOST_DIMENSIONS = 4  # no array of weights has more
CHILD_MEMORY = 256 << 20  # bytes that their reader may take beyond what it has after its imports
_LIMITS = Limits(objects=2_000, depth=12, name=200)
"""Names of weights appear in messages, and Keras' own are short."""


_LARGEST = {3: (4_096, 1_256, 256), 2: (1_256, 1_024), 1: (1_256,)}
"""By the number of its axes the largest shape of an array: 4,096 taps (40 s), 256 channels or units
(four gates of an LSTM), 1,000 datasets beside the channels. A file of kilobytes could ask for a
network that takes hours to build."""


def find_weights(name_or_path: str | Path) -> Path:
    """The file behind a name of `NAMES` or a path. `"published"` is looked for in the per-user
    cache, then in `$SPIKEFINDER_DATA/published`, then fetched. Of a training run's folder it is
    the best weights.

    `UsageError` if it is neither a name, nor an existing file, nor a run's folder with weights;
    `DownloadError` if the published weights are not at hand and cannot be fetched.
    """
    name = str(name_or_path)
    if name in EMBEDDED:
        return embedded_folder() / EMBEDDED[name]
    if name == PUBLISHED:
        mirror = None
        if (data := os.environ.get("SPIKEFINDER_DATA")) and (Path(data) / "published").is_dir():
            mirror = Path(data) / "published"
        return cached_weights(PUBLISHED) or fetch_weights(PUBLISHED, mirror=mirror)
    path = Path(name_or_path)
    for each in (path, *(path / result for result in RESULTS)):
        with suppress(OSError):  # a name too long for a file, or a folder not to be looked into
            if each.is_file():
                return each
    raise UsageError(
        f"there are no weights {name}; name a file, or one of {', '.join(NAMES)}, or the folder of "
        "a training run"
    )


def embedded_folder() -> Path:
    """The folder of the embedded weights and their model cards."""
    package = Path(__file__).parents[1]
    installed = package / "embedded_weights"
    return installed if installed.is_dir() else package.parent / "weights"


def read_weights(path: str | Path) -> Arrays:
    """Read the arrays of a weights file by our names, each checked, but not yet for its shape.
    `WeightsError` if the file is unreadable or holds something else."""
    try:
        stored = read_arrays(path)
    except Unreadable as error:
        raise WeightsError(f"{path} is no usable weights file: {error}") from None
    except OSError as error:
        raise WeightsError(f"cannot read {path} ({error.strerror})") from error
    arrays = {}
    for name, where in _name_map(stored, path).items():
        array = stored[where]
        if array.dtype not in (np.float32, np.float64):
            raise WeightsError(f"{path}: {where} is {array.dtype}; expected float32")
        with np.errstate(over="ignore"):  # a double can become infinite here
            arrays[name] = array.astype(np.float32)
        if not np.isfinite(arrays[name]).all():
            raise WeightsError(f"{path}: {where} holds NaN or infinite values; use another file")
    return arrays


def _name_map(stored: Mapping[str, Array], path: str | Path) -> dict[str, str]:
    """Our names to the file's; refuses what is no weight of this network."""
    found = []
    for where in stored:
        for kind, pattern in _PATTERNS:
            if match := pattern.match(where):
                layer, weight = match.groups()
                found.append((kind, layer, weight, where))
                break
        else:
            raise WeightsError(
                f"{path}: {where} is no array of this network; expected 8 convolutions (conv1d) "
                f"and a bidirectional LSTM, found {len(stored)} arrays"
            )
    names: dict[str, str] = {}
    for kind, layer, weight, where in found:
        if weight.isdecimal():
            order = _IN_ORDER[kind]
            weight = order[int(weight)] if int(weight) < len(order) else weight
        if kind == "lstm":
            name = f"{layer}_lstm/{weight}"
        else:
            numbers = sorted({int(n or 0) for k, n, *_ in found if k == kind})
            name = f"{kind}_{numbers.index(int(layer or 0)) + 1}/{weight}"
        if name in names:
            raise WeightsError(f"{path}: {where} and {names[name]} are both {name}; expected one")
        names[name] = where
    return names


def read_network(path: str | Path) -> tuple[Spec, Arrays]:
    """Read a weights file as `spec_of` gives it."""
    return spec_of(read_weights(path), path)


def spec_of(arrays: Arrays, path: str | Path = "these weights") -> tuple[Spec, Arrays]:
    """The layers of the network that arrays from `read_weights` fit, convi6 or `universal`, and the
    arrays by the names of these layers. `WeightsError`, which names `path`, if they fit none, or
    one that is larger than anybody's."""
    for name, array in arrays.items():
        largest = _LARGEST.get(array.ndim, ())
        if any(size > most for size, most in zip(array.shape, largest, strict=False)):
            raise WeightsError(
                f"{path}: {name} has the shape {array.shape}; no more than {largest} is expected "
                "of a network of this kind"
            )
    if not any(name.startswith("rms_") for name in arrays):  # a layer that convi6 does not have
        return convi6(architecture_of(arrays, path)), arrays
    *_, width = arrays.get("convolution_1/kernel", np.empty(0)).shape or (0,)
    spec = universal(width=max(width, 1))
    # Keras numbers the layers of a kind in a file; the list has names for them.
    names = {}
    for kind in ("convolution", "rms"):
        for number, layer in enumerate([x for x in spec if x.kind == kind], 1):
            names[f"{kind}_{number}"] = layer.name
    named = {}
    for name, array in arrays.items():
        numbered, weight = name.split("/")
        named[f"{names.get(numbered, numbered)}/{weight}"] = array
    found = {name: array.shape for name, array in named.items()}
    if found != shapes_of(spec):
        raise misfit(found, path, shapes_of(spec))
    return spec, named


def weight_shapes(variant: str = "described", **options: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of `build_network` with the same arguments, by their names."""
    return shapes_of(convi6(Architecture(variant, **options)))


def architecture_of(
    arrays: Mapping[str, Array], path: str | Path = "these weights"
) -> Architecture:
    """The architecture that arrays from `read_weights` fit. If they fit none, `WeightsError` names
    `path` and lists what is expected and what was found.

    Two ambiguities remain. Where the ID joins after the LSTM, `described` with 2 x `lstm_units` + n
    datasets has the shapes of `released` with n; if n is 0, without ID. The one with fewer datasets
    is returned. And where the third convolution gives as many channels as it takes, the LSTM is
    taken to read what it gives. For the others, build the network and use `load_weights`.
    """
    found = {name: array.shape for name, array in arrays.items()}
    fits = [each for each in _candidates(found) if shapes_of(convi6(each)) == found]
    if fits:
        return min(fits, key=lambda fit: fit.datasets * (fit.id_joins != "nowhere"))
    raise misfit(found, path, *(weight_shapes(variant) for variant in VARIANTS))


def _candidates(found: Shapes) -> Iterator[Architecture]:
    """Architectures with the sizes that the arrays show."""
    kernels: list[tuple[int, ...]] = []
    while len(shape := found.get(f"convolution_{len(kernels) + 1}/kernel", ())) == 3:
        kernels.append(shape)
    recurrent = found.get("forward_lstm/recurrent_kernel", ())
    if len(kernels) < 4 or kernels[-1][2] != 1 or len(recurrent) != 2:
        return
    if 0 in (*recurrent, *(length for kernel in kernels for length in kernel)):
        return
    sizes: dict[str, Any] = {
        "filters": tuple(kernel[2] for kernel in kernels),
        "taps": tuple(kernel[0] for kernel in kernels),
        "lstm_units": recurrent[0],
        "batch_normalization": any(name.startswith("normalization") for name in found),
    }
    for id_joins, lstm_reads in product(("before", "nowhere", "after"), LSTM_READS):
        joins: dict[str, Any] = {"id_joins": id_joins, "lstm_reads": lstm_reads}
        for variant in VARIANTS:
            if VARIANTS[variant].lstm_joins == "sum" and kernels[2][2] != recurrent[0]:
                continue
            # How many datasets there are shows the layer that their ID joins: what it has more.
            one = weight_shapes(variant, **sizes, datasets=1, **joins)
            layer = {"before": 3, "after": 4}.get(id_joins)
            more = kernels[layer - 1][1] - one[f"convolution_{layer}/kernel"][1] if layer else 0
            if more >= 0:
                count = 1 + more if layer else DATASET_COUNT
                yield Architecture(variant, **sizes, datasets=count, **joins)


def misfit(found: Shapes, path: str | Path, *expectations: Shapes) -> WeightsError:
    """The error that lists how `found` differs from the nearest of the expectations."""

    def differences(expected: Shapes) -> list[str]:
        return [
            f"{name}: expected {expected.get(name, 'none')}, found {found.get(name, 'none')}"
            for name in dict.fromkeys([*expected, *found])
            if expected.get(name) != found.get(name)
        ]

    nearest = min(map(differences, expectations), key=len)
    return WeightsError(f"{path} does not fit the network; " + "; ".join(nearest))


# The file, read in the sandbox


def read_arrays(path: Path | str, *, time_limit: float = TIME_LIMIT) -> dict[str, Array]:
    """Read every floating-point dataset of an HDF5 file, by its path in it, but what belongs to
    Keras alone. If the file is anything but plain `Unreadable` is raised, and no object of it has
    been read into this process.
    """
    with open_ordinary(path) as file:
        start = file.read(len(SIGNATURE))
        size = file.seek(0, 2)
    if not size:
        raise Unreadable("the file is empty")
    if start != SIGNATURE:
        raise Unreadable(f"it is not an HDF5 file (it begins with {start!r})")
    if size > LARGEST_FILE:
        raise Unreadable(f"it is larger than {LARGEST_FILE >> 20} MiB")
    limits: Any = {"time_limit": time_limit, "memory": CHILD_MEMORY}
    return run(parse_arrays, path, **limits, libraries=["h5py"])


@sandboxed
def parse_arrays(path: str) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every floating-point dataset."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            datasets = {
                where: _checked_weights(item, where)
                for where, item in walk(file, _LIMITS, skip=_NOT_OURS)
                if not isinstance(item, h5py.Group)
            }
            total = sum(dataset.nbytes for dataset in datasets.values())
            if total > LARGEST_ARRAYS:
                raise Unreadable(f"its arrays claim {total} bytes, more than weights ever have")
            yield from datasets.items()
    except Unreadable:
        raise
    except Exception as error:  # whatever the library says of a damaged file
        raise Unreadable(f"it is damaged ({str(error)[:100]})") from None


def _checked_weights(dataset: Any, where: str) -> h5py.Dataset:
    import h5py

    if isinstance(dataset, h5py.SoftLink | h5py.ExternalLink):
        raise Unreadable(f"{where} is a link to somewhere else")
    if not isinstance(dataset, h5py.Dataset):
        raise Unreadable(f"{where} is neither a group nor an array")
    if reason := leads_out(dataset):
        raise Unreadable(f"{where} {reason}")
    if dataset.dtype.kind != "f":
        raise Unreadable(f"{where} holds {dataset.dtype} where floats belong")
    if dataset.shape is None or dataset.ndim > MOST_DIMENSIONS:
        raise Unreadable(f"{where} has no shape of a network's weights")
    # The library reads whole chunks, which may be larger than the array.
    chunk_bytes = dataset.dtype.itemsize * math.prod(dataset.chunks or ())
    if max(dataset.nbytes, chunk_bytes) > LARGEST_ARRAYS:
        raise Unreadable(f"{where} claims {dataset.nbytes} bytes, more than weights ever have")
    return dataset
