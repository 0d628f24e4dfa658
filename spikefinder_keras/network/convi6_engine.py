"""convi6 by compiled kernels: starts at once, without Keras, and keeps all cores busy.

Each trace goes through the network by itself, layer by layer, so that no prediction depends on what
else is predicted. Several do at a time; where there are fewer traces than cores, cores share one.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier, Lock

import numpy as np

from ..console import cores
from .kernels import INSIDE, MOST_OUTPUTS, Convolution, Lstm, compiled, most_beyond
from .spec import DIRECTIONS
from .vector_code import lanes

GRAIN = 256
"""Where cores share a row, each makes a whole number of so many samples, hence of vectors."""

LEAST_SHARE = 8_192
"""Samples for each core that shares a trace; with fewer, to wait for each other costs too much."""

LONG = 500_000
"""Samples; of longer traces fewer run at a time, which then share the cores, to bound the memory: a
sample takes some 300 bytes."""


class Convi6Engine:
    """A network of the kind of convi6 that predicts, from its layers and weights.

    Parameters
    ----------
    layers : list of layers.Layer
    arrays : dict of str to float32 array
        See `weights.read_weights`.
    threads : int, optional
        To run at once; by default as many as there are cores.

    Attributes
    ----------
    datasets : int
        Channels of the dataset ID; 0 for a network without.
    name : str
        For descriptions.
    """

    name = "compiled by LLVM, float32"

    def __init__(self, layers, arrays, threads=None):
        self.layers, self.arrays = layers, arrays
        inputs = {layer.name: layer.options.get("channels", 0) for layer in layers}
        self.datasets = inputs.get("dataset", 0)
        self.threads = threads or cores()
        self._free = Lock()  # groups of neurons may share the engine, which takes all cores

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

        Raises
        ------
        UsageError
            If this system lets no program run what it has compiled.
        """
        traces, time = calcium.shape
        if ids is None:
            ids = np.zeros((traces, 1, 0), np.float32)
        rates = np.empty((traces, ids.shape[1], time), np.float32)
        teams = min(traces, max(1, min(self.threads, self.threads * LONG // time)))
        members = max(1, min(self.threads // teams, time // LEAST_SHARE))

        def work(passage, team, member):
            for trace in range(team, traces, teams):
                passage.run(calcium[trace], ids[trace], rates[trace], member)

        with self._free, ThreadPoolExecutor(teams * members) as pool:
            passages = [_Passage(self.layers, self.arrays, time, members) for _ in range(teams)]
            try:
                jobs = [
                    pool.submit(work, passage, team, member)
                    for team, passage in enumerate(passages)
                    for member in range(members)
                ]
            except RuntimeError:  # no thread to be had
                for passage in passages:
                    passage.barrier.abort()
                raise
            for job in jobs:
                job.result()
        return rates


@dataclass
class _Tensor:
    """A row of memory for each channel, with zeros before and behind its samples.

    Attributes
    ----------
    rows : list of int
        Addresses of their first samples.
    values : float32 array `(channel, time)` or None
        What is in the rows, where they are of one array.
    margins : tuple of float32 arrays `(channel, sample)`
        What is before and behind, to be kept zero.
    has_dataset : bool
        The last row stands for all channels of the dataset ID: it is constant over time.
    varies : bool
        It depends on the dataset ID.
    """

    rows: list
    values: np.ndarray | None = None
    margins: tuple = ()
    has_dataset: bool = False
    varies: bool = False


class _Passage:
    """The way of one trace after another through a network, with the memory for it.

    Parameters
    ----------
    layers, arrays
        See `Convi6Engine`.
    time : int
        Samples of the traces.
    members : int
        Threads that share the work; each calls `run`.
    """

    def __init__(self, layers, arrays, time, members):
        self._arrays, self._time, self._members = arrays, time, members
        self.barrier = Barrier(members)
        longest = max(layer.options.get("taps", 1) for layer in layers)
        self._before = 16 * -(-max(longest, lanes()) // 16)
        self._behind = longest + most_beyond()
        self._memory = []  # what addresses point to
        self._wanted, steps, tensors = {}, {False: [], True: []}, {}
        for layer in layers:
            sources = [tensors[name] for name in layer.sources]
            varies = layer.name == "dataset" or any(source.varies for source in sources)
            self._step = steps[varies].append  # takes a function of a member and an ID
            made = getattr(self, f"_{layer.kind}")(layer, *sources)
            made.varies = varies
            tensors[layer.name] = made
        self._once, self._for_each_id = steps[False], steps[True]
        self._calcium, self._rate = tensors["calcium"].values, made.values
        self._functions = compiled(tuple(self._wanted))

    @np.errstate(all="ignore")  # whatever the user's; what is no number is found in the rates
    def run(self, calcium, ids, rates, member):
        """Write the rates `(id, time)` of a trace under each ID."""

        def read(member, _):
            if member == 0:
                self._calcium[:] = calcium

        def write(row):
            def step(member, _):
                if member == 0:
                    row[:] = self._rate[0]

            return step

        work = [(step, None) for step in (read, *self._once)]
        for id_, row in zip(ids, rates, strict=True):
            work += [(step, id_) for step in (*self._for_each_id, write(row))]
        try:
            for step, id_ in work:
                step(member, id_)
                self.barrier.wait()
        except BaseException:
            self.barrier.abort()
            raise

    # Layers: each makes a tensor, and adds the steps that fill it

    def _tensor(self, channels):
        length = self._before + self._time + self._behind
        stride = 16 * (length // 16 + 1 | 1)  # an odd number of lines, or rows share few places
        array = np.zeros((channels, stride), np.float32)  # in the cache
        first, last = self._before, self._before + self._time
        rows = [array.ctypes.data + 4 * (stride * c + first) for c in range(channels)]
        self._memory.append(array)
        return _Tensor(rows, array[:, first:last], (array[:, :first], array[:, last:]))

    def _alone(self, work):
        """Add a step for one thread."""
        self._step(lambda member, _: work() if member == 0 else None)

    def _input(self, layer):
        if layer.name != "dataset":
            return self._tensor(layer.options["channels"])
        made = self._tensor(1)
        made.values[:], made.has_dataset = 1, True
        return made

    def _concatenate(self, layer, *sources):
        rows = [row for source in sources for row in source.rows]
        return _Tensor(rows, has_dataset=sources[-1].has_dataset)

    def _dropout(self, layer, source):
        return source

    def _add(self, layer, one, other):
        made = self._tensor(len(one.rows))
        self._alone(lambda: np.add(one.values, other.values, out=made.values))
        return made

    def _normalization(self, layer, source):
        gamma, beta, mean, variance = (
            self._arrays[f"{layer.name}/{weight}"][:, None]
            for weight in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / np.sqrt(variance + np.float32(1e-3))  # Keras' default
        made = self._tensor(len(source.rows))

        def work():
            np.multiply(source.values - mean, scale, out=made.values)
            made.values[:] += beta

        self._alone(work)
        return made

    def _activation(self, layer, source):
        made = self._tensor(len(source.rows))
        function = _ACTIVATIONS[layer.options["activation"]]
        self._alone(lambda: function(source.values, out=made.values))
        return made

    def _convolution(self, layer, source):
        kernel, bias = (self._arrays[f"{layer.name}/{weight}"] for weight in ("kernel", "bias"))
        taps, _, filters = kernel.shape
        activation = layer.options["activation"]
        inside = activation if activation in INSIDE else None
        made = self._tensor(filters)
        inputs = _addresses(row - 4 * ((taps - 1) // 2) for row in source.rows)
        for first in range(0, filters, MOST_OUTPUTS):
            part = slice(first, first + MOST_OUTPUTS)
            weights = self._weights(kernel.transpose(1, 0, 2)[..., part], source)
            biases, outputs = bias[part].copy(), _addresses(made.rows[part])
            arrays, numbers = (inputs, weights, biases, outputs), (len(inputs), taps)
            self._call(Convolution(len(outputs), inside), arrays, numbers, made)
        return made if inside == activation else self._activation(layer, made)

    def _weights(self, kernel, source):
        """A kernel whose first axis are the rows; that of the dataset ID changes with the ID."""
        if not source.has_dataset:
            return np.ascontiguousarray(kernel)
        last = len(source.rows) - 1
        weights, of_dataset = kernel[: last + 1].copy(), kernel[last:]

        def step(member, id_):
            if member == 0:
                weights[last] = np.tensordot(id_, of_dataset, 1)

        self._step(step)
        return weights

    def _call(self, kernel, arrays, numbers, made):
        """Add a step in which each thread makes its part of the samples."""
        self._wanted[kernel] = True
        share = GRAIN * -(-self._time // (GRAIN * self._members))
        addresses = [array.ctypes.data for array in arrays]
        self._memory += arrays

        def step(member, _):
            first, end = share * member, min(share * (member + 1), self._time)
            if first < end:
                self._functions[kernel](*addresses, *numbers, first, end)
                if end == self._time:  # whoever wrote behind it
                    made.margins[1][:] = 0

        self._step(step)

    def _lstm(self, layer, source):
        units = layer.options["units"]
        both = self._tensor(2 * units)
        ways = [(way,) for way in DIRECTIONS] if self._members > 1 else [DIRECTIONS]
        jobs = [self._states(layer, source, way, both) for way in ways]
        self._step(lambda member, _: jobs[member]() if member < len(jobs) else None)
        if layer.options["merge_mode"] == "concat":
            return both
        parts = slice(units), slice(units, None)
        return self._add(layer, *(_Tensor(both.rows[part], both.values[part]) for part in parts))

    def _states(self, layer, source, ways, both):
        """A function that makes the states of one direction or, faster than one by one, of both."""
        units, gates = layer.options["units"], layer.options.get("gates", "hard_sigmoid")
        kernel = Lstm(units, gates, ways)
        self._wanted[kernel] = True
        matrices = []
        for way in ways:
            for weight in ("kernel", "recurrent_kernel", "bias"):
                matrix = np.atleast_2d(self._arrays[f"{way}_lstm/{weight}"])
                padding = kernel.gate_lanes() - matrix.shape[1]
                matrix = np.pad(matrix, [(0, 0), (0, padding)])
                matrices.append(self._weights(matrix, source) if weight == "kernel" else matrix)
        first = units * DIRECTIONS.index(ways[0])
        part = slice(first, first + units * len(ways))
        inputs, outputs = _addresses(source.rows), _addresses(both.rows[part])
        weights = _addresses(matrix.ctypes.data for matrix in matrices)
        scratch = np.zeros(kernel.scratch_size() * len(ways), np.float32)
        arrays = (inputs, outputs, weights, scratch)
        self._memory += (*arrays, *matrices)
        addresses = [array.ctypes.data for array in arrays]

        def states():
            self._functions[kernel](*addresses, len(inputs), self._time)
            for margin in both.margins:
                margin[part] = 0

        return states


def _sigmoid(x, out):
    np.exp(-x, out=out)
    out += 1
    np.reciprocal(out, out=out)


_ACTIVATIONS = {
    "tanh": np.tanh,
    "relu": lambda x, out: np.maximum(x, 0, out=out),
    "sigmoid": _sigmoid,
}


def _addresses(numbers):
    return np.array(list(numbers), np.int64)
