"""The bidirectional LSTM as ONNX' own operator, which knows the hard sigmoid of 2017."""

import numpy as np

from .spec import DIRECTIONS


def lstm(graph, x, layer, arrays):
    """Hidden states of both directions, summed or one after the other: `(1, unit, time, trace)`.

    Gates are clip(0.2 x + 0.5, 0, 1).
    """
    units = layer.options["units"]
    x = graph.node("Squeeze", x, graph.integers([0]))
    x = graph.node("Transpose", x, perm=[1, 2, 0])  # (time, trace, channel)
    kernel, recurrent, bias = (
        np.stack([_gates(arrays[f"{way}_lstm/{weight}"]).T for way in DIRECTIONS])
        for weight in ("kernel", "recurrent_kernel", "bias")
    )
    bias = np.concatenate([bias, 0 * bias], axis=1)  # ONNX has a second one
    states = graph.node(
        "LSTM",
        x,
        *map(graph.floats, (kernel, recurrent, bias)),
        hidden_size=units,
        direction="bidirectional",
        activations=2 * ["HardSigmoid", "Tanh", "Tanh"],
        activation_alpha=[0.2, 0.2],
        activation_beta=[0.5, 0.5],
    )  # (time, direction, trace, unit)
    # Each direction by itself: turning three axes is much faster than turning four.
    each = [f"{way}_{len(graph.nodes)}" for way in DIRECTIONS]
    graph.node("Split", states, graph.integers([1, 1]), output=each, axis=1)
    each = [graph.node("Squeeze", way, graph.integers([1])) for way in each]
    if layer.options["merge_mode"] == "sum":
        y = graph.node("Add", *each)
    else:
        y = graph.node("Concat", *each, axis=2)
    y = graph.node("Transpose", y, perm=[2, 0, 1])  # (unit, time, trace)
    return graph.node("Unsqueeze", y, graph.integers([0]))


def _gates(array):
    """The last axis from Keras' order of the gates, i f c o, to that of ONNX, i o f c."""
    i, f, c, o = np.split(array, 4, axis=-1)
    return np.concatenate([i, o, f, c], axis=-1)
