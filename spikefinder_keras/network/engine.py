"""Predict with ONNX Runtime: starts at once, without Keras, and keeps all cores busy.

Traces are cut into pieces where there are few of them, so that one long trace fills the machine as
well as many short ones. That needs weights that forget: `forgotten_after` measures for each weights
file after how many samples they do.
"""

import hashlib
import os
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Semaphore

import numpy as np

from .. import __version__
from ..files.ordinary import open_ordinary
from .onnx_graph import build_graph
from .universal import LEVELS, are_universal, reach
from .weights import find_weights, layers_of, read_weights

WINDOW = 512
MARGINS = range(256, 2_049, 256)
"""Samples after which weights may have forgotten; others are run on whole traces."""

FORGOTTEN = 3e-7
"""A difference of the rates, which lie below 1, that is no more than round-off in float32."""

MEASURED = {
    "7c900ff0a6c2558c83598928e7c3150eb067c5934b18559a242257a43a84c519": 512,  # published
    "c572c0ffe95aa76d99bddb0884b4c24073ba36a9888fe4ff9cf7b0478a0f3e8c": 2560,  # described
    "7cc67edc869488eef957af37a3e2dc09cc5a68013c34697b1a58c53af04287c0": 2560,  # released
}
"""`forgotten_after` of the weights that everybody uses, by the sha256 of their file."""

SAMPLES_AT_ONCE = 160_000
"""Of one run of the graph, on one core: more gain nothing and cost memory."""

UNDER_ALL_IDS = 600_000
"""The same, counted anew under each dataset ID, which bounds the memory."""

STEPS_AT_ONCE = 8_192
"""Of one run of `universal`, on one core; more leave the cache."""

SHORTEST_PIECE = 2_048
"""Samples of a piece without its margins."""


MEASURE = "measure"

CONVI6_FILE = {
    "input": "calcium at 100 Hz, preprocessed as the Spikefinder competition's",
    "rate": "100 Hz",
    "unit": "arbitrary, between 0 and 1",
    "padding": "put 3000 zeros behind each trace, as the released run of 2017 did",
}
UNIVERSAL_FILE = {
    "input": "four channels at 25 Hz: the two halves of 40 ms in units of the noise and of the "
    "spread, see recordings.universal_preparation",
    "rate": "25 Hz",
    "unit": "proportional to expected spikes",
    "padding": f"a whole number of {2**LEVELS} steps",
}
"""What an exported file says of its input and output."""


def cores():
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Engine:
    """A network that predicts, from its layers and weights.

    Parameters
    ----------
    layers : list of layers.Layer
    arrays : dict of str to float32 array
        See `weights.read_weights`.
    margin : int or None, optional
        See `forgotten_after`, which measures it where it is not given.
    threads : int, optional
        Pieces to run at once; by default as many as there are cores.

    Attributes
    ----------
    datasets : int or None
        Channels of the dataset ID; 0 for a network without, None for `universal`.
    margin : int or None
    name : str
        For descriptions.
    """

    name = "ONNX Runtime, float32"
    about = CONVI6_FILE

    def __init__(self, layers, arrays, margin=MEASURE, threads=None):
        self.layers, self.arrays = layers, arrays
        inputs = {layer.name: layer.options.get("channels", 0) for layer in layers}
        self.datasets = inputs.get("dataset", 0)
        self.threads = threads or cores()
        taps = [layer.options["taps"] for layer in layers if layer.kind == "convolution"]
        self.reach = sum(length // 2 for length in taps)
        self.margin = forgotten_after(layers, arrays) if margin == MEASURE else margin
        self._session = _session(build_graph(layers, arrays))
        self._free = Semaphore(self.threads)  # groups of neurons may share the engine

    def run(self, calcium, ids=None):
        """Rates of some traces of one length, each under one or more dataset IDs.

        Parameters
        ----------
        calcium : float32 array `(trace, time)`
        ids : float32 array `(trace, id, dataset)`, optional
            One-hot; left out for a network without dataset ID.

        Returns
        -------
        float32 array `(trace, id, time)`, without dataset ID `(trace, 1, time)`
        """
        traces, time = calcium.shape
        count = 1 if ids is None else ids.shape[1]
        starts, length = self._pieces(traces, time, count)
        rows = [(trace, start) for trace in range(traces) for start in starts]
        size = min(SAMPLES_AT_ONCE // length, UNDER_ALL_IDS // (length * count))
        size = max(1, min(-(-len(rows) // self.threads), size))
        rates = np.empty((traces, count, time), np.float32)
        # A sample is taken from the piece in which it is farthest from the cuts.
        ends = [(a + length + b) // 2 for a, b in pairwise(starts)]
        own = dict(zip(starts, zip([0, *ends], [*ends, time], strict=True), strict=True))

        def predict(part):
            feed = {"calcium": np.stack([calcium[t, s : s + length] for t, s in part])}
            if ids is not None:
                feed["dataset"] = np.ascontiguousarray(ids[[trace for trace, _ in part]])
            with self._free:
                found = self._session.run(None, feed)[0].reshape(len(part), count, length)
            for (trace, start), piece in zip(part, found, strict=True):
                first, last = own[start]
                rates[trace, :, first:last] = piece[:, first - start : last - start]

        parts = [rows[k : k + size] for k in range(0, len(rows), size)]
        _side_by_side(predict, parts, self.threads)
        return rates

    def _pieces(self, traces, time, ids=1):
        """Where pieces of a trace begin, evenly spread, and their common length."""
        if self.margin is None:
            return [0], time
        overlap = 2 * (self.margin + self.reach)
        wanted = -(-self.threads // traces)
        # Not so short that their margins cost more than they do.
        count = max(1, min(wanted, (time - overlap) // max(SHORTEST_PIECE, overlap)))
        # However many traces there are, none is longer than one run takes.
        at_once = max(min(SAMPLES_AT_ONCE, UNDER_ALL_IDS // ids), 4 * overlap)
        count = max(count, -(-(time - overlap) // (at_once - overlap)))
        if count == 1:
            return [0], time
        length = -(-(time - overlap) // count) + overlap
        return [k * (time - length) // (count - 1) for k in range(count)], length


class UniversalEngine:
    """The network `universal`, from its layers and weights; see `Engine`."""

    name = Engine.name
    about = UNIVERSAL_FILE
    datasets = None

    def __init__(self, layers, arrays, threads=None):
        self.layers, self.arrays, self.margin = layers, arrays, None
        self.threads = threads or cores()
        self._session = _session(build_graph(layers, arrays))
        self._free = Semaphore(self.threads)

    def run(self, inputs):
        """Rates of traces of one length.

        Parameters
        ----------
        inputs : float32 array `(trace, step, channel)`
            A whole number of 2 ** LEVELS steps.

        Returns
        -------
        float32 array `(trace, step)`
        """
        traces, steps, _ = inputs.shape
        unit, margin = 2**LEVELS, reach()
        # Cut on whole lowest steps; what a piece gives is what the whole would.
        new = max(unit, STEPS_AT_ONCE - 2 * margin)
        rows = [(t, first) for t in range(traces) for first in range(0, steps, new)]
        rates = np.empty((traces, steps), np.float32)

        def predict(part):
            spans = [
                (max(0, first - margin), min(steps, first + new + margin)) for _, first in part
            ]
            feed = np.stack([inputs[t, a:b] for (t, _), (a, b) in zip(part, spans, strict=True)])
            with self._free:
                found = self._session.run(None, {"calcium": feed})[0]
            for (t, first), (a, _), piece in zip(part, spans, found, strict=True):
                own = slice(first, min(first + new, steps))
                rates[t, own] = piece[own.start - a : own.stop - a]

        parts = {}
        for t, first in rows:
            length = min(steps, first + new + margin) - max(0, first - margin)
            size = max(1, STEPS_AT_ONCE // length)
            together = parts.setdefault(length, [[]])
            if len(together[-1]) == size:
                together.append([])
            together[-1].append((t, first))
        parts = [part for together in parts.values() for part in together]
        _side_by_side(predict, parts, self.threads)
        return rates


def load_engine(name_or_path="described", mirror=None):
    """The engine for a weights file; see `weights.find_weights` for its names.

    Raises
    ------
    WeightsError
        If the file is unreadable or fits no network of this kind.
    UsageError, DownloadError
        See `weights.find_weights`.
    """
    path = find_weights(name_or_path, mirror)
    layers, arrays = layers_of(read_weights(path), path)
    if are_universal(layers):
        return UniversalEngine(layers, arrays)
    return Engine(layers, arrays, MEASURED.get(hash_of(path), MEASURE))


def hash_of(path):
    """sha256 of a weights file."""
    with open_ordinary(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def forgotten_after(layers, arrays):
    """Samples after which it does not matter any more with which state the LSTM began.

    Measured, not proved: a forget gate can stay at 1, so it depends on the weights. Noise, silence,
    transients and steps are predicted whole, and in windows with each of `MARGINS` around; the
    least that makes no difference is doubled, to be safe. None if there is none, or no LSTM.
    """
    if not any(layer.kind == "lstm" for layer in layers):
        return None
    probes, ids = _probes(), None
    (datasets,) = [each.options["channels"] for each in layers if each.name == "dataset"] or [0]
    if datasets:
        ids = np.eye(datasets, dtype=np.float32)[np.arange(len(probes)) % datasets][:, None]
    network = Engine(layers, arrays, None)
    whole = network.run(probes, ids)

    def enough(margin):
        apart = margin + network.reach
        for start in range(WINDOW, probes.shape[1] - WINDOW, WINDOW):
            first = max(0, start - apart)
            cut = network.run(probes[:, first : start + WINDOW + apart], ids)[..., start - first :]
            own = whole[..., start : start + WINDOW]
            if np.abs(cut[..., :WINDOW] - own).max() > FORGOTTEN:
                return False
        return True

    least = bisect_left(MARGINS, True, key=enough)
    return 2 * MARGINS[least] if least < len(MARGINS) else None


def _probes(samples=8_192):
    """Traces `(trace, sample)` in the competition's form that differ in what there is to forget."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((4, samples)) * [[0.3], [1.0], [3.0], [0.05]]
    time = np.arange(samples)
    transients = np.zeros(samples)
    for onset in rng.integers(0, samples, 30):
        transients[onset:] += rng.exponential(4) * np.exp(-(time[onset:] - onset) / 80)
    steps = np.repeat(rng.standard_normal(8) * 3, samples // 8)
    return np.stack([*noise, transients + noise[0], steps, 0 * time, 0 * time + 5]).astype("f4")


def _side_by_side(work, parts, threads):
    if len(parts) == 1:
        work(parts[0])
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, parts))


def _session(model):
    # Or importing it leaves a file in the temporary folder, and reports its use to Microsoft.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread for each piece: the pieces run side by side.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def export(path, weights="described"):
    """Write the network as an ONNX file for other programs and languages.

    Parameters
    ----------
    path : str or Path
        To be written, whole or not at all.
    weights : str or Path
        See `weights.find_weights`.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    OutputError, WeightsError, UsageError, DownloadError
    """
    import onnx

    from ..files.whole_files import check_output, whole_file

    path, source = check_output(path), find_weights(weights)
    engine = load_engine(source)
    metadata = {
        "software": f"spikefinder-keras {__version__}",
        "weights": str(weights),
        "weights_sha256": hash_of(source),
        **engine.about,
    }
    model = build_graph(engine.layers, engine.arrays, metadata)
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return model
