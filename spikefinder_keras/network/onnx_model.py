"""The networks as ONNX models, from their layers and weights, for ONNX Runtime and other languages.

The same numbers as Keras' in another arrangement. Two things make it fast:

- The first convolution of convi6, 300 taps on one channel, gives `BLOCK` samples at a time: one
  product with a large matrix instead of many with small ones.
- Channels of zeros are added before a convolution until there are a multiple of `ALIGNED`, as ONNX
  Runtime wants for its fast convolution, which leaves the slow one far behind on few traces.

Layers before the dataset ID run once for all IDs.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .. import __version__
from ..arrays import Array, ArrayLike
from ..files.atomic import check_apart, check_output, check_replaceable, hash_of, whole_file
from .spec import DIRECTIONS, Layer, channels
from .universal import LEVELS, is_universal
from .weights import Arrays, find_weights, read_network

OPSET, IR_VERSION = 18, 8
"""Versions of ONNX' operators and file format: the oldest that have all we need, as the programs
that people have read old ones."""

BLOCK = 16  # samples of the first convolution per product; 8 and 32 were slower on AVX2 and AVX-512

ALIGNED = 4
"""The input of a convolution has a multiple of so many channels (ONNX Runtime's NCHWc kernels)."""

LONG = 64  # a convolution of one channel with so many taps or more is arranged in blocks

NORMALIZATION_EPSILON, RMS_EPSILON = 1e-3, 1e-6
"""Keras' defaults, added to the variance before a division by its root."""

CONVI6_FILE = {
    "input": "calcium at 100 Hz, preprocessed as the Spikefinder competition's",
    "rate": "100 Hz",
    "unit": "arbitrary, between 0 and 1",
    "padding": "put 3000 zeros behind each trace, as the released run of 2017 did",
}
UNIVERSAL_FILE = {
    "input": "four channels at 25 Hz: the two halves of 40 ms in units of the noise and of the "
    "spread, see recordings.universal",
    "rate": "25 Hz",
    "unit": "proportional to expected spikes",
    "padding": f"a whole number of {2**LEVELS} steps",
}
"""What an exported file says of its input and output."""


def export(path: str | Path, weights: str | Path = "described", *, overwrite: bool = False) -> Any:
    """Write the network of some weights, see `weights.find_weights`, as an ONNX file for other
    programs and languages, whole or not at all, and return its `onnx.ModelProto`. A file that this
    program has not written is replaced with `overwrite` alone; else `OutputError` is raised."""
    import onnx

    path, source = check_output(path), find_weights(weights)
    check_apart({"the file of --weights": [source]}, [("MODEL.onnx", path)])
    check_replaceable(path, overwrite=overwrite, option="MODEL.onnx")
    spec, arrays = read_network(source)
    metadata = {
        "software": f"spikefinder-keras {__version__}",
        "weights": str(weights),
        "weights_sha256": hash_of(source),
        **(UNIVERSAL_FILE if is_universal(spec) else CONVI6_FILE),
    }
    model = build_graph(spec, arrays, metadata)
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return model


Shape: TypeAlias = Sequence[str | int]


class Graph:
    """Nodes and constants of a graph that is being written; tensors are known by their names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[Any, tuple[str, Array]] = {}

    def node(self, kind: str, *inputs: str, output: str | None = None, **options: Any) -> str:
        """Add a node and return the name of its output."""
        output = output or f"{kind}_{len(self.nodes)}"
        return self.split(kind, *inputs, outputs=[output], **options)[0]

    def split(self, kind: str, *inputs: str, outputs: list[str], **options: Any) -> list[str]:
        """Add a node with several outputs of these names, and return them."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), outputs, **options))
        return outputs

    def constant(self, array: ArrayLike) -> str:
        """The name of an array; equal ones are kept once."""
        array = np.asarray(array, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        return self.constants.setdefault(key, (f"constant_{len(self.constants)}", array))[0]

    def floats(self, values: ArrayLike) -> str:
        return self.constant(np.asarray(values, np.float32))

    def integers(self, values: ArrayLike) -> str:
        return self.constant(np.asarray(values, np.int64))

    def sizes(self, tensor: str, first: int, end: int) -> str:
        """Lengths of some axes, as a vector."""
        shape = self.node("Shape", tensor)
        return self.node("Slice", shape, self.integers([first]), self.integers([end]))

    def join(self, *vectors: str) -> str:
        return self.node("Concat", *vectors, axis=0)

    def model(
        self, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape], metadata: Mapping[str, Any]
    ) -> Any:
        """The model; inputs and outputs by their names, of float32."""
        from onnx import TensorProto, helper, numpy_helper

        def values(shapes: Mapping[str, Shape]) -> list[Any]:
            return [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in shapes.items()
            ]

        constants = [numpy_helper.from_array(a, name) for name, a in self.constants.values()]
        graph = helper.make_graph(self.nodes, "network", values(inputs), values(outputs), constants)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="spikefinder-keras")
        model.ir_version = IR_VERSION
        texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
        helper.set_model_props(model, texts)
        return model


def build_graph(
    spec: Sequence[Layer], arrays: Arrays, metadata: Mapping[str, Any] | None = None
) -> Any:
    """Build the `onnx.ModelProto` of a network from weights by the names of `spec.shapes_of`.

    Its input is `calcium` `(batch, time)` or `(batch, time, channels)`; where the layers have one
    also `dataset` `(batch, id, channels)`, the one-hot dataset IDs under which to predict each
    trace. Output is `rate` `(batch, id, time)`, without IDs `(batch, time)`. All is float32; batch,
    id and time are free.
    """
    graph, arrays = Graph(), _with_scales_folded(spec, arrays)
    tensors: dict[str, str] = {}
    width = channels(spec)
    datasets = [layer.options["channels"] for layer in spec if layer.name == "dataset"]
    several = width["calcium"] > 1
    calcium = graph.node("Transpose", "calcium", perm=[2, 1, 0] if several else [1, 0])
    outer = graph.integers([0] if several else [0, 1])
    tensors["calcium"] = graph.node("Unsqueeze", calcium, outer)
    for layer in spec:
        if layer.kind == "input":
            continue
        sources = [tensors[name] for name in layer.sources if name != "dataset"]
        if layer.kind == "concatenate" and "dataset" in layer.sources:
            tensors[layer.name] = _with_dataset(graph, sources[0])
        else:
            tensors[layer.name] = _WRITERS[layer.kind](graph, sources, layer, arrays)
    rate = graph.node("Squeeze", tensors[spec[-1].name], graph.integers([0, 1]))
    rate = graph.node("Transpose", rate, perm=[1, 0])
    if datasets:
        each = graph.sizes("dataset", 0, 2)  # traces, and IDs under which to predict each
        rate = graph.node("Reshape", rate, graph.join(each, graph.integers([-1])))
    graph.node("Identity", rate, output="rate")
    inputs: dict[str, Shape] = {"calcium": ["batch", "time", *([width["calcium"]] * several)]}
    output: Shape = ["batch", "time"]
    if datasets:
        inputs["dataset"], output = ["batch", "id", datasets[0]], ["batch", "id", "time"]
    return graph.model(inputs, {"rate": output}, metadata or {})


def _with_dataset(graph: Graph, trace: str) -> str:
    """A tensor with the dataset IDs as more channels: `batch` x `id` traces instead of `batch`."""
    time, one = graph.sizes(trace, 2, 3), graph.integers([1])
    each = graph.node("Transpose", "dataset", perm=[2, 0, 1])
    each = graph.node("Unsqueeze", each, graph.integers([0, 2]))  # (1, channel, 1, batch, id)
    each = graph.node("Expand", each, graph.join(one, one, time, one, one))
    trace = graph.node("Unsqueeze", trace, graph.integers([4]))
    count = graph.sizes("dataset", 1, 2)
    trace = graph.node("Expand", trace, graph.join(one, one, one, one, count))
    x = graph.node("Concat", trace, each, axis=1)
    return graph.node("Reshape", x, graph.integers([0, 0, 0, -1]))


# Layers. Tensors are (1, channel, time, trace): with the traces innermost, time and channel change
# places by copying whole rows, and a convolution over time is one of the first of two axes.


def _convolution(graph: Graph, sources: list[str], layer: Layer, arrays: Arrays) -> str:
    kernel, bias = arrays[f"{layer.name}/kernel"], arrays[f"{layer.name}/bias"]
    stride = layer.options.get("stride", 1)
    if len(kernel) >= LONG and kernel.shape[1] == 1 and stride == 1:
        x = _long_convolution(graph, sources[0], kernel[:, 0], bias)
    else:
        x = _same_convolution(graph, sources[0], kernel=kernel, bias=bias, stride=stride)
    return _activate(graph, x, layer.options["activation"])


def _same_convolution(graph: Graph, x: str, *, kernel: Array, bias: Array, stride: int) -> str:
    """'same' padding as TensorFlow's, the smaller half on the left, for whole strides."""
    taps, inputs, _ = kernel.shape
    if over := -inputs % ALIGNED:
        ends = graph.integers([0, 0, 0, 0, 0, over, 0, 0])
        x, kernel = graph.node("Pad", x, ends), np.pad(kernel, [(0, 0), (0, over), (0, 0)])
    weights = graph.floats(kernel.transpose(2, 1, 0)[..., None])
    around = max(taps - stride, 0)
    pads = [around // 2, 0, around - around // 2, 0]
    return graph.node("Conv", x, weights, graph.floats(bias), pads=pads, strides=[stride, 1])


def _long_convolution(graph: Graph, x: str, kernel: Array, bias: Array) -> str:
    """`(tap, filter)` on one channel: output channel f * BLOCK + k is sample k of a block."""
    taps, filters = kernel.shape
    matrix = np.zeros((filters, BLOCK, 1, taps + BLOCK - 1), np.float32)
    for k in range(BLOCK):
        matrix[:, k, 0, k : k + taps] = kernel.T
    time, traces = graph.sizes(x, 2, 3), graph.sizes(x, 3, 4)
    # Zeros behind the end to whole blocks; what comes of them is cut off again.
    over = graph.node("Mod", graph.node("Neg", time), graph.integers([BLOCK]))
    behind = graph.node("Add", over, graph.integers([taps // 2]))
    before = graph.integers([0, 0, (taps - 1) // 2, 0, 0, 0])
    x = graph.node("Pad", x, graph.join(before, behind, graph.integers([0])))
    weights = graph.floats(matrix.reshape(filters * BLOCK, 1, -1, 1))
    x = graph.node("Conv", x, weights, graph.floats(np.repeat(bias, BLOCK)), strides=[BLOCK, 1])
    # (1, filter x sample of the block, block, trace) -> (1, filter, time, trace)
    x = graph.node("Reshape", x, graph.join(graph.integers([filters, BLOCK, -1]), traces))
    x = graph.node("Transpose", x, perm=[0, 2, 1, 3])
    x = graph.node("Reshape", x, graph.join(graph.integers([1, filters, -1]), traces))
    return graph.node("Slice", x, graph.integers([0]), time, graph.integers([2]))


_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid", "softplus": "Softplus"}


def _activate(graph: Graph, x: str, activation: str | None) -> str:
    if activation == "gelu":  # x (1 + erf(x / sqrt 2)) / 2, which ONNX Runtime makes one node
        erf = graph.node("Erf", graph.node("Div", x, graph.floats(2**0.5)))
        x = graph.node("Mul", x, graph.node("Add", erf, graph.floats(1)))
        return graph.node("Mul", x, graph.floats(0.5))
    return x if activation is None else graph.node(_ACTIVATIONS[activation], x)


def _lstm(graph: Graph, sources: list[str], layer: Layer, arrays: Arrays) -> str:
    """Hidden states of both directions, summed or one after the other."""
    # ONNX' operator knows the hard sigmoid of 2017, clip(0.2 x + 0.5, 0, 1).
    slope: dict[str, Any] = {"activation_alpha": [0.2, 0.2], "activation_beta": [0.5, 0.5]}
    gate = "HardSigmoid"
    if layer.options.get("gates") == "sigmoid":
        gate, slope = "Sigmoid", {}
    x = graph.node("Squeeze", sources[0], graph.integers([0]))
    x = graph.node("Transpose", x, perm=[1, 2, 0])  # (time, trace, channel)
    kernel, recurrent, bias = (
        np.stack([_reorder_gates(arrays[f"{way}_lstm/{weight}"]).T for way in DIRECTIONS])
        for weight in ("kernel", "recurrent_kernel", "bias")
    )
    bias = np.concatenate([bias, 0 * bias], axis=1)  # ONNX has a second one
    states = graph.node(
        "LSTM",
        x,
        graph.floats(kernel),
        graph.floats(recurrent),
        graph.floats(bias),
        hidden_size=layer.options["units"],
        direction="bidirectional",
        activations=2 * [gate, "Tanh", "Tanh"],
        **slope,
    )  # (time, direction, trace, unit)
    # Each direction by itself: turning three axes is much faster than turning four.
    names = [f"{way}_{len(graph.nodes)}" for way in DIRECTIONS]
    graph.split("Split", states, graph.integers([1, 1]), outputs=names, axis=1)
    each = [graph.node("Squeeze", name, graph.integers([1])) for name in names]
    summed = layer.options["merge_mode"] == "sum"
    y = graph.node("Add", *each) if summed else graph.node("Concat", *each, axis=2)
    y = graph.node("Transpose", y, perm=[2, 0, 1])  # (unit, time, trace)
    return graph.node("Unsqueeze", y, graph.integers([0]))


def _reorder_gates(array: Array) -> Array:
    """The last axis from Keras' order of the gates, i f c o, to that of ONNX, i o f c."""
    i, f, c, o = np.split(array, 4, axis=-1)
    return np.concatenate([i, o, f, c], axis=-1)


def _rms(graph: Graph, sources: list[str], layer: Layer, arrays: Arrays) -> str:
    """x scale / sqrt(mean x^2 over channels + epsilon)"""
    (x,) = sources
    scale = arrays[f"{layer.name}/scale"]
    # The sum of squares in one pass.
    total = graph.node("ReduceSumSquare", x, graph.integers([1]), keepdims=1)
    mean = graph.node("Mul", total, graph.floats(np.float32(1 / len(scale))))
    root = graph.node("Sqrt", graph.node("Add", mean, graph.floats(RMS_EPSILON)))
    x = graph.node("Div", x, root)
    if (scale == 1).all():
        return x
    return graph.node("Mul", x, graph.floats(scale[None, :, None, None]))


def _with_scales_folded(spec: Sequence[Layer], arrays: Arrays) -> Arrays:
    """The arrays with scales of norms that convolutions alone read as part of their kernels, which
    saves a pass over all channels of each."""
    folded = dict(arrays)
    for norm in spec:
        readers = [layer for layer in spec if norm.name in layer.sources]
        if norm.kind != "rms" or {layer.kind for layer in readers} != {"convolution"}:
            continue
        scale = arrays[f"{norm.name}/scale"]
        for layer in readers:
            folded[f"{layer.name}/kernel"] = arrays[f"{layer.name}/kernel"] * scale[:, None]
        folded[f"{norm.name}/scale"] = np.ones_like(scale)
    return folded


def _repeat(graph: Graph, sources: list[str], layer: Layer, arrays: Arrays) -> str:
    """Each sample twice."""
    # Of all ways to say so ONNX Runtime does this one in the layout of its fast convolution.
    nearest = {"mode": "nearest", "nearest_mode": "floor"}
    nearest["coordinate_transformation_mode"] = "asymmetric"
    scales = graph.floats(np.array([1, 1, 2, 1], np.float32))
    return graph.node("Resize", sources[0], "", scales, **nearest)


def _normalization(graph: Graph, sources: list[str], layer: Layer, arrays: Arrays) -> str:
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    weights = [graph.floats(arrays[f"{layer.name}/{weight}"]) for weight in names]
    return graph.node("BatchNormalization", sources[0], *weights, epsilon=NORMALIZATION_EPSILON)


_WRITERS: dict[str, Callable[[Graph, list[str], Layer, Arrays], str]] = {
    "convolution": _convolution,
    "lstm": _lstm,
    "normalization": _normalization,
    "rms": _rms,
    "repeat": _repeat,
    "activation": lambda graph, sources, layer, arrays: _activate(
        graph, sources[0], layer.options["activation"]
    ),
    "dropout": lambda graph, sources, layer, arrays: sources[0],  # nothing, when predicting
    "add": lambda graph, sources, layer, arrays: graph.node("Add", *sources),
    "concatenate": lambda graph, sources, layer, arrays: graph.node("Concat", *sources, axis=1),
}
