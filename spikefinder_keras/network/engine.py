"""What computes a network: ONNX Runtime, which starts at once and needs no Keras, or the Keras
model, to compare with."""

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from threading import Semaphore
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..arrays import Array
from ..console import cores, import_keras
from ..errors import OutputError, UsageError, WeightsError
from ..files.atomic import (
    check_output_folder,
    hash_of,
    keep_newest,
    open_ordinary,
    whole_file,
)
from ..files.downloads import cache_folder
from . import ENGINES
from .onnx_model import build_graph
from .spec import Spec
from .universal import LEVELS, reach
from .weights import LARGEST_FILE, Arrays, find_weights, read_network

KerasModel: TypeAlias = Any  # a `keras.Model`; Keras is not loaded to say so

SAMPLES_TOGETHER = 200_000
"""Traces of convi6 go through ONNX Runtime together up to so many samples, dataset IDs counted: two
of the competition's. Then their tensors stay in the cache, and its LSTM has more to do at a step
(measured on two cores: 1.8 million samples/s one by one, 3.2 by four of 40,000, 2.0 by sixteen).
Ten IDs of a trace of 93,000 take two thirds less memory two by two than all together, and no
longer, though what comes before the ID is computed anew for each two."""

LONG = 500_000
"""Traces of more samples go one at a time, to bound the memory: a sample takes some 700 bytes."""

LONGEST_PIECE = 8_192
SHORTEST_PIECE = 3_072
"""Steps of a piece of `universal` with its margins, and without: more leave the cache, fewer are
all margins."""

STEPS_TOGETHER = 16_384
"""Pieces of `universal` go through ONNX Runtime together up to so many steps: two take less time
than one after the other."""

MOST_KEPT = 32
LARGEST_KEPT = 4 << 20
"""So many graphs are kept, and none of more bytes: those of the embedded weights take 0.3 MB."""


_ONE_CORE: ContextVar[bool] = ContextVar("_ONE_CORE", default=False)


@contextmanager
def one_core() -> Iterator[None]:
    """Within, this thread's networks keep to one core: for threads that are as many as the cores,
    where more of them would only get in one another's way (a tenth of the time on two cores)."""
    token = _ONE_CORE.set(True)
    try:
        yield
    finally:
        _ONE_CORE.reset(token)


class Engine(Protocol):
    """A network that predicts: its name for descriptions, whether it is `universal` and not a
    convi6, the channels of its dataset ID (0 without), and how many cores it keeps busy."""

    name: str
    is_universal: bool
    datasets: int
    threads: int

    def run(self, inputs: Array, ids: Array | None = None) -> Array:
        """Rates `(trace, id, time)` of some traces of one length, each under its dataset IDs; all
        float32.

        `inputs` is `(trace, time, channel)`: of convi6 one channel at 100 Hz; of `universal` four
        at 25 Hz, a whole number of 2 ** LEVELS steps. `ids` `(trace, id, dataset)` is one-hot, and
        left out for a network without dataset ID, which gives one rate for each trace.
        """


class OnnxEngine:
    """A network in ONNX Runtime, from its graph, serialised; it runs as many threads at once as
    there are cores.

    No rate depends, to the bit, on what else is predicted or on how many threads there are.
    """

    name = "ONNX Runtime, float32"

    def __init__(self, graph: bytes, threads: int | None = None) -> None:
        self._session = session(graph)
        calcium, *dataset = self._session.get_inputs()
        self.is_universal = len(calcium.shape) == 3
        self.datasets = dataset[0].shape[-1] if dataset else 0
        self.threads = threads or cores()
        # Groups of neurons share the engine; together they take no more than its threads.
        self._free = Semaphore(self.threads)

    @classmethod
    def of(cls, spec: Spec, arrays: Arrays, threads: int | None = None) -> "OnnxEngine":
        """The engine for a network's layers and weights."""
        return cls(_graph(spec, arrays), threads)

    @classmethod
    def load(cls, name_or_path: str | Path = "described") -> "OnnxEngine":
        """The engine for a weights file, see `load_engine`."""
        return cls(_graph_of(find_weights(name_or_path)))

    def run(self, inputs: Array, ids: Array | None = None) -> Array:
        """See `Engine.run`."""
        if self.is_universal:
            return self._run_in_pieces(inputs)
        return self._run_whole(inputs[..., 0], ids)

    def _run_whole(self, calcium: Array, ids: Array | None) -> Array:
        traces, time = calcium.shape
        count = 1 if ids is None else ids.shape[1]
        rates = np.empty((traces, count, time), np.float32)
        ids_together = max(1, min(count, SAMPLES_TOGETHER // time))
        size = max(1, SAMPLES_TOGETHER // (time * ids_together))
        size = min(size, -(-traces // self.threads))  # or a core has nothing to do

        def predict(part: tuple[slice, slice]) -> None:
            feed = {"calcium": calcium[part[0]]} | ({} if ids is None else {"dataset": ids[part]})
            rates[part] = self._predict(feed).reshape(rates[part].shape)

        parts = [
            (slice(first, first + size), slice(number, number + ids_together))
            for first in range(0, traces, size)
            for number in range(0, count, ids_together)
        ]
        self._all(predict, parts, threads=1 if time > LONG else self.threads)
        return rates

    def _run_in_pieces(self, inputs: Array) -> Array:
        """Each trace cut into pieces, so that one long one keeps all cores busy."""
        traces, steps, _ = inputs.shape
        unit, margin = 2**LEVELS, reach()
        # Cut on whole lowest steps; a piece gives what the whole would. How long they are does not
        # depend on the machine, so that the last bits do not either.
        count = 2 * -(-steps // (2 * (LONGEST_PIECE - 2 * margin)))
        new = max(SHORTEST_PIECE, unit * -(-steps // (unit * count)))
        rows = [(t, first) for t in range(traces) for first in range(0, steps, new)]
        rates = np.empty((traces, 1, steps), np.float32)
        length = min(steps, new + 2 * margin)

        def begins(first: int) -> int:
            """Where a piece begins with its margins: all are of one length, so that they go through
            together, and those at the ends see more on one side."""
            return min(max(0, first - margin), steps - length)

        def predict(part: list[tuple[int, int]]) -> None:
            feed = np.stack([inputs[t, begins(f) : begins(f) + length] for t, f in part])
            found = self._predict({"calcium": feed})
            for (t, first), piece in zip(part, found, strict=True):
                end, offset = min(first + new, steps), begins(first)
                rates[t, 0, first:end] = piece[first - offset : end - offset]

        # A few together, but so that each core has something to do.
        size = max(1, min(STEPS_TOGETHER // length, len(rows) // self.threads))
        self._all(predict, [rows[k : k + size] for k in range(0, len(rows), size)])
        return rates

    def _all(self, work: Any, parts: Iterable[Any], threads: int | None = None) -> None:
        if _ONE_CORE.get():
            for part in parts:
                work(part)
            return
        with ThreadPoolExecutor(threads or self.threads) as pool:
            list(pool.map(work, parts))

    def _predict(self, feed: dict[str, Array]) -> Array:
        with self._free:
            return self._session.run(None, feed)[0]


def _graph(spec: Spec, arrays: Arrays) -> bytes:
    # ONNX' LSTM makes numbers of what is none, so it must not come so far.
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise WeightsError("these weights hold NaN or infinite values; use others (--weights)")
    return build_graph(spec, arrays).SerializeToString()


# To read weights in their sandbox and to write their graph, whose library loads slowly, takes half
# of a small prediction. So the graph is kept, under a hash of all that it depends on: the bytes of
# the weights and our source. Whatever is wrong with what is kept, it is built anew.


def _graph_of(weights: Path) -> bytes:
    """The graph of a weights file, as it was kept or else built; errors as of `read_network`."""
    key = _key_of(weights)
    place = cache_folder() / "graphs" / f"{key}.onnx"
    if key and (graph := _kept(place)):
        return graph
    graph = _graph(*read_network(weights))
    # Who trains may have replaced the weights meanwhile.
    if key and key == _key_of(weights) and len(graph) <= LARGEST_KEPT:
        with suppress(OSError, OutputError):
            _keep(place, graph)
    return graph


def _key_of(weights: Path) -> str:
    """What names the graph of a weights file; empty where it cannot be read."""
    try:
        if weights.stat().st_size > LARGEST_FILE:
            return ""
        # This one by its name, as in an archive, where no folder tells, it cannot be read either.
        sources = [Path(__file__), *sorted(Path(__file__).parent.glob("*.py"))]
        hashes = [hash_of(path) for path in (weights, *sources)]
    except OSError:
        return ""
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _kept(place: Path) -> bytes | None:
    """The graph that was kept at a place; None if it is not there, or not whole, or another's."""
    try:
        with open_ordinary(place) as file:
            # Who may write there could put rates of their own making in our mouth.
            if hasattr(os, "getuid") and os.fstat(file.fileno()).st_uid != os.getuid():
                return None
            content = file.read(LARGEST_KEPT + hashlib.sha256().digest_size + 1)
    except OSError:
        return None
    graph = content[hashlib.sha256().digest_size :]
    return graph if content == _sealed(place, graph) else None


def _sealed(place: Path, graph: bytes) -> bytes:
    """A graph behind its hash, into which its name goes, so that none is taken for another."""
    return hashlib.sha256(place.name.encode() + graph).digest() + graph


def _keep(place: Path, graph: bytes) -> None:
    check_output_folder(place.parent)
    with whole_file(place) as temporary:
        temporary.write_bytes(_sealed(place, graph))
    keep_newest(place.parent, "*.onnx", MOST_KEPT)


def session(graph: bytes) -> Any:
    """An `onnxruntime.InferenceSession` of a serialised graph, on one thread of the caller's."""
    # Or importing it leaves a file in the temporary folder, and reports its use to Microsoft.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread for each call: the calls run side by side.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # What is planned for one length is kept for it, a third of all memory, and no other is of it.
    options.enable_mem_pattern = False
    options.log_severity_level = 3  # errors alone
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class KerasEngine:
    """A Keras model as an engine, to compare with."""

    name = "Keras, float32"
    threads = 1  # Keras takes all cores for one batch

    def __init__(self, network: KerasModel) -> None:
        self.network = network
        self.is_universal = network.inputs[0].shape[-1] > 1
        self.datasets = network.inputs[1].shape[-1] if len(network.inputs) > 1 else 0

    def run(self, inputs: Array, ids: Array | None = None) -> Array:
        """See `Engine.run`."""
        if ids is None:
            return np.asarray(self.network.predict_on_batch([inputs]))[:, None, :, 0]
        rates = []
        for k in range(ids.shape[1]):
            constant = np.repeat(ids[:, k, None], inputs.shape[1], axis=1)
            rates.append(np.asarray(self.network.predict_on_batch([inputs, constant]))[..., 0])
        return np.stack(rates, axis=1)


def load_engine(
    name_or_path: str | Path = "described", *, engine: str = "fast", progress: bool = False
) -> Engine:
    """The engine for a weights file or a name, see `weights.find_weights`.

    Parameters
    ----------
    engine
        One of `network.ENGINES`.
    progress
        Say on the terminal that Keras is loading.

    Raises
    ------
    WeightsError
        If the file is unreadable or fits no network of this kind.
    UsageError, DownloadError
        If there is no such engine, or no such weights.
    """
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}? choose from {', '.join(ENGINES)}")
    if engine == "fast":
        return OnnxEngine.load(name_or_path)
    import_keras(progress)
    from .keras_model import load_network

    return KerasEngine(load_network(name_or_path))


def as_engine(network: str | Path | Engine | KerasModel) -> Engine:
    """The engine for a name or file of weights or a `keras.Model`; an engine stays itself.
    `WeightsError` if it is of `universal`, which takes other input; see also `load_engine`."""
    engine: Any = network
    name = "this network"
    if isinstance(network, (str, Path)):
        engine, name = load_engine(network), str(network)
    # Keras is not loaded to find out whether it is a model of its.
    elif "keras" in sys.modules and isinstance(network, sys.modules["keras"].Model):
        engine = KerasEngine(network)
    if engine.is_universal:
        raise WeightsError(
            f"{name} is of the network universal, which predicts raw recordings alone, with "
            "NAME.calibration.json beside its file; name weights of 2017, such as described "
            "(--weights)"
        )
    return engine
