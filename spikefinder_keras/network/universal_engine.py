"""`universal` in ONNX Runtime, which starts at once.

Traces are cut into pieces, so that one long trace fills the machine as well as many short ones.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore

import numpy as np

from ..console import cores
from .onnx_model import build_graph
from .universal import LEVELS, reach

LONGEST_PIECE = 8_192
SHORTEST_PIECE = 3_072
"""Steps of a piece with its margins, and without: more leave the cache, fewer are all margins."""

STEPS_AT_ONCE = 16_384
"""Of the pieces of one run, on one core: ONNX Runtime takes two in less time than one after the
other."""


class UniversalEngine:
    """The network `universal`, from its layers and weights; see `convi6_engine`."""

    name = "ONNX Runtime, float32"
    datasets = None

    def __init__(self, layers, arrays, threads=None):
        self.layers, self.arrays = layers, arrays
        self.threads = threads or cores()
        self._session = session(build_graph(layers, arrays))
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
        # Cut on whole lowest steps; a piece gives what the whole would. How long they are does not
        # depend on the machine, so that the last bits do not either.
        count = 2 * -(-steps // (2 * (LONGEST_PIECE - 2 * margin)))
        new = max(SHORTEST_PIECE, unit * -(-steps // (unit * count)))
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
            size = max(1, min(STEPS_AT_ONCE // length, len(rows) // self.threads))
            together = parts.setdefault(length, [[]])
            if len(together[-1]) == size:
                together.append([])
            together[-1].append((t, first))
        parts = [part for together in parts.values() for part in together]
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(predict, parts))
        return rates


def session(model):
    """An `onnxruntime.InferenceSession` of an `onnx.ModelProto`, on one thread of the caller's."""
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
