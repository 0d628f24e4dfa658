"""The network as an ONNX graph, straight from its layers and weights, for ONNX Runtime and others.

The same numbers as Keras' in another arrangement. Two things make it fast:

- The first convolution, 300 taps on one channel, gives `BLOCK` samples at a time: one product with
  a large matrix instead of many with small ones.
- Channels of zeros are added before a convolution until there are a multiple of `ALIGNED`, as ONNX
  Runtime wants for its fast convolution, which leaves the slow one far behind on few traces.

Layers before the dataset ID run once for all IDs.
"""

import numpy as np

from .onnx_lstm import lstm
from .onnx_writer import Graph
from .spec import channels

BLOCK = 16
"""Samples of the first convolution per product."""

ALIGNED = 4
"""Channels that the input of a convolution has a multiple of."""

LONG = 64
"""Taps from which a convolution of one channel is arranged in blocks."""


def build_graph(layers, arrays, metadata=None):
    """Build the ONNX model of a network.

    Parameters
    ----------
    layers : list of layers.Layer
    arrays : dict of str to float32 array
        Their weights, by the names of `layers.shapes_of`.
    metadata : dict of str to str, optional
        Kept in the model.

    Returns
    -------
    onnx.ModelProto
        Input `calcium` `(batch, time)` or `(batch, time, channels)`; where the layers have one also
        `dataset` `(batch, id, channels)`, the one-hot dataset IDs under which to predict each
        trace. Output `rate` `(batch, id, time)`, without IDs `(batch, time)`. All
        float32; batch, id and time are free.
    """
    graph = Graph()
    tensors, width = {}, channels(layers)
    datasets = [layer.options["channels"] for layer in layers if layer.name == "dataset"]
    several = width["calcium"] > 1
    calcium = graph.node("Transpose", "calcium", perm=[2, 1, 0] if several else [1, 0])
    outer = graph.integers([0] if several else [0, 1])
    tensors["calcium"] = graph.node("Unsqueeze", calcium, outer)
    for layer in layers:
        if layer.kind == "input":
            continue
        sources = [tensors[name] for name in layer.sources if name != "dataset"]
        if layer.kind == "concatenate" and "dataset" in layer.sources:
            tensors[layer.name] = _with_dataset(graph, sources[0])
        else:
            tensors[layer.name] = _WRITERS[layer.kind](graph, sources, layer, arrays)
    rate = graph.node("Squeeze", tensors[layers[-1].name], graph.integers([0, 1]))
    rate = graph.node("Transpose", rate, perm=[1, 0])
    if datasets:
        rate = graph.node("Reshape", rate, graph.join(_ids(graph), graph.integers([-1])))
    graph.node("Identity", rate, output="rate")
    inputs = {"calcium": ["batch", "time", *([width["calcium"]] if several else [])]}
    output = ["batch", "time"]
    if datasets:
        inputs["dataset"], output = ["batch", "id", datasets[0]], ["batch", "id", "time"]
    return graph.model(inputs, {"rate": output}, metadata or {})


def _ids(graph):
    """How many traces there are, and under how many IDs each."""
    return graph.node("Slice", graph.shape("dataset"), *map(graph.integers, ([0], [2])))


def _with_dataset(graph, trace):
    """A tensor with the dataset IDs as more channels: `batch` x `id` traces instead of `batch`."""
    time = graph.vector(graph.size(trace, 2))
    one = graph.integers([1])
    each = graph.node("Transpose", "dataset", perm=[2, 0, 1])
    each = graph.node("Unsqueeze", each, graph.integers([0, 2]))  # (1, channel, 1, batch, id)
    each = graph.node("Expand", each, graph.join(one, one, time, one, one))
    trace = graph.node("Unsqueeze", trace, graph.integers([4]))
    ids = graph.node("Slice", graph.shape("dataset"), *map(graph.integers, ([1], [2])))
    trace = graph.node("Expand", trace, graph.join(one, one, one, one, ids))
    x = graph.node("Concat", trace, each, axis=1)
    return graph.node("Reshape", x, graph.integers([0, 0, 0, -1]))


# Layers. Tensors are (1, channel, time, trace): with the traces innermost, time and channel change
# places by copying whole rows, and a convolution over time is one of the first of two axes.


def _convolution(graph, sources, layer, arrays):
    (x,) = sources
    kernel, bias = (arrays[f"{layer.name}/{weight}"] for weight in ("kernel", "bias"))
    stride = layer.options.get("stride", 1)
    if len(kernel) >= LONG and kernel.shape[1] == 1 and stride == 1:
        x = _long_convolution(graph, x, kernel[:, 0], bias)
    else:
        x = _same_convolution(graph, x, kernel, bias, stride)
    return _activate(graph, x, layer.options["activation"])


def _same_convolution(graph, x, kernel, bias, stride):
    """'same' padding as TensorFlow's, the smaller half on the left, for whole strides."""
    taps, inputs, _ = kernel.shape
    if over := -inputs % ALIGNED:
        ends = graph.integers([0, 0, 0, 0, 0, over, 0, 0])
        x, kernel = graph.node("Pad", x, ends), np.pad(kernel, [(0, 0), (0, over), (0, 0)])
    weights = graph.floats(kernel.transpose(2, 1, 0)[..., None]), graph.floats(bias)
    around = max(taps - stride, 0)
    pads = [around // 2, 0, around - around // 2, 0]
    return graph.node("Conv", x, *weights, pads=pads, strides=[stride, 1])


def _long_convolution(graph, x, kernel, bias):
    """`(tap, filter)` on one channel: output channel f * BLOCK + k is sample k of a block."""
    taps, filters = kernel.shape
    matrix = np.zeros((filters, BLOCK, 1, taps + BLOCK - 1), np.float32)
    for k in range(BLOCK):
        matrix[:, k, 0, k : k + taps] = kernel.T
    time = graph.size(x, 2)
    # Zeros behind the end to whole blocks; what comes of them is cut off again.
    over = graph.node("Mod", graph.node("Neg", time), graph.integers(BLOCK))
    behind = graph.node("Add", over, graph.integers(taps // 2))
    before = graph.integers([0, 0, (taps - 1) // 2, 0, 0, 0])
    x = graph.node("Pad", x, graph.join(before, graph.vector(behind), graph.integers([0])))
    weights = graph.floats(matrix.reshape(filters * BLOCK, 1, -1, 1))
    bias = graph.floats(np.repeat(bias, BLOCK))
    x = graph.node("Conv", x, weights, bias, strides=[BLOCK, 1])
    traces = graph.vector(graph.size(x, 3))
    x = graph.node("Reshape", x, graph.join(graph.integers([filters, BLOCK, -1]), traces))
    x = graph.node("Transpose", x, perm=[0, 2, 1, 3])
    x = graph.node("Reshape", x, graph.join(graph.integers([1, filters, -1]), traces))
    begin, axis = graph.integers([0]), graph.integers([2])
    return graph.node("Slice", x, begin, graph.vector(time), axis)


_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid", "softplus": "Softplus"}


def _activate(graph, x, activation):
    if activation == "gelu":  # x (1 + erf(x / sqrt 2)) / 2, which ONNX Runtime makes one node
        erf = graph.node("Erf", graph.node("Div", x, graph.floats(2**0.5)))
        x = graph.node("Mul", x, graph.node("Add", erf, graph.floats(1)))
        return graph.node("Mul", x, graph.floats(0.5))
    return x if activation is None else graph.node(_ACTIVATIONS[activation], x)


def _rms(graph, sources, layer, arrays):
    """x scale / sqrt(mean x^2 over channels + 1e-6), Keras' default."""
    (x,) = sources
    axis = graph.integers([1])
    mean = graph.node("ReduceMean", graph.node("Mul", x, x), axis, keepdims=1)
    root = graph.node("Sqrt", graph.node("Add", mean, graph.floats(1e-6)))
    scale = graph.floats(arrays[f"{layer.name}/scale"][None, :, None, None])
    return graph.node("Mul", graph.node("Div", x, root), scale)


def _repeat(graph, sources, *_):
    """Each sample twice."""
    x = graph.node("Unsqueeze", sources[0], graph.integers([3]))
    x = graph.node("Concat", x, x, axis=3)
    shape = graph.node("Shape", sources[0])
    twice = graph.node("Mul", shape, graph.integers([1, 1, 2, 1]))
    return graph.node("Reshape", x, twice)


def _normalization(graph, sources, layer, arrays):
    weights = [arrays[f"{layer.name}/{weight}"] for weight in
               ("gamma", "beta", "moving_mean", "moving_variance")]  # fmt: skip
    return graph.node(
        "BatchNormalization", sources[0], *map(graph.floats, weights), epsilon=1e-3
    )  # Keras' default


_WRITERS = {
    "convolution": _convolution,
    "lstm": lambda graph, sources, layer, arrays: lstm(graph, sources[0], layer, arrays),
    "normalization": _normalization,
    "rms": _rms,
    "repeat": _repeat,
    "activation": lambda graph, sources, layer, _: _activate(
        graph, sources[0], layer.options["activation"]
    ),
    "dropout": lambda graph, sources, *_: sources[0],
    "add": lambda graph, sources, *_: graph.node("Add", *sources),
    "concatenate": lambda graph, sources, *_: graph.node("Concat", *sources, axis=1),
}
