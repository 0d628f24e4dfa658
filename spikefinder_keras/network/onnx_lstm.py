"""The bidirectional LSTM in ONNX, in windows that run side by side; see `onnx_graph`."""

import numpy as np

from .onnx_writer import Graph

SHORTEST = 512
"""Samples of a window, without its margin."""

SIDE_BY_SIDE = 256
"""Windows that the LSTM runs at once, as near as the trace's length allows."""


def lstm(graph, x, layer, arrays, margin):
    """Hidden states of both directions, summed or one after the other."""
    units, merge_mode = layer.options["units"], layer.options["merge_mode"]
    features = arrays["forward_lstm/kernel"].shape[0]
    x = graph.node("Squeeze", x, graph.integers([0]))
    time, traces = graph.size(x, 1), graph.size(x, 2)
    # A channel of ones, whose weights are the biases: one product gives all.
    ones = graph.join(graph.integers([1]), graph.vector(time), graph.vector(traces))
    x = graph.node("Concat", x, graph.node("Expand", graph.floats([1]), ones), axis=0)
    x = graph.node("Transpose", x, perm=[1, 0, 2])  # (time, channel, trace)
    cut = _windows(graph, time, traces, margin)
    x = graph.node("Gather", x, cut.samples, axis=0)  # (step, direction, window, channel, trace)
    x = graph.node("Transpose", x, perm=[0, 1, 3, 2, 4])
    x = graph.node("Reshape", x, graph.integers([0, 2, features + 1, -1]))
    zeros = graph.join(graph.integers([2, units]), graph.vector(graph.size(x, 3)))
    zeros = graph.node("ConstantOfShape", zeros)
    body = _step(graph, units, features, arrays)
    names = [f"{part}_{len(graph.nodes)}" for part in ("h", "c", "states")]
    graph.node("Scan", zeros, zeros, x, output=names, body=body, num_scan_inputs=1)
    windows = graph.join(graph.integers([0, 2, units]), graph.vector(cut.count))
    y = graph.node("Reshape", names[2], graph.join(windows, graph.integers([-1])))
    y = graph.node("Transpose", y, perm=[2, 1, 3, 0, 4])  # (unit, direction, window, step, trace)
    y = graph.node("Reshape", y, graph.join(graph.integers([units, -1]), graph.vector(traces)))
    # (unit, time, trace) of each direction
    states = [graph.node("Gather", y, where, axis=1) for where in (cut.forward, cut.backward)]
    if merge_mode == "sum":
        merged = graph.node("Add", *states)
    else:
        merged = graph.node("Concat", *states, axis=0)
    return graph.node("Unsqueeze", merged, graph.integers([0]))


class _Cut:
    """Where windows begin and which of them each sample is taken from; tensors of integers.

    `count` is a scalar; `samples` `(step, direction, window)` are the samples of each window in the
    order of its steps; `forward` and `backward` `(time,)` say where, in the steps of all windows of
    both directions one after the other, a sample's state stands.
    """

    def __init__(self, count, samples, forward, backward):
        self.count, self.samples = count, samples
        self.forward, self.backward = forward, backward


def _windows(graph, time, traces, margin):
    """Windows of equal length, evenly spread, that overlap by `margin` at least."""

    def do(kind, *values):
        return graph.node(kind, *(graph.integers(v) if isinstance(v, int) else v for v in values))

    def spread(numerator):  # how many windows begin before, by exact integer division
        return do("Div", do("Add", numerator, do("Sub", slack, 1)), slack)

    if margin is None:
        length, count = time, graph.integers(1)
    else:
        wanted = do("Div", do("Mul", time, traces), SIDE_BY_SIDE)
        new = do("Max", wanted, max(SHORTEST, margin))  # samples that each window adds
        length = do("Min", time, do("Add", new, margin))
        more = do("Sub", do("Add", time, new), margin + 1)
        count = do("Max", do("Div", more, new), 1)
    last = do("Sub", count, 1)
    slack = do("Max", do("Sub", time, length), 1)
    numbers = graph.node("Range", graph.integers(0), count, graph.integers(1))
    starts = do("Div", do("Mul", numbers, do("Sub", time, length)), do("Max", last, 1))
    steps = graph.node("Range", graph.integers(0), length, graph.integers(1))
    back = do("Sub", do("Sub", length, 1), steps)
    orders = [graph.node("Unsqueeze", order, graph.integers([1, 2])) for order in (steps, back)]
    samples = do("Add", graph.node("Concat", *orders, axis=1), starts)
    now = graph.node("Range", graph.integers(0), time, graph.integers(1))
    # Forward from the first window that holds a sample, which is warmed up longest; backward
    # from the last.
    after = do("Mul", do("Sub", do("Add", now, 1), length), last)
    first = do("Min", spread(do("Max", after, 0)), last)
    final = do("Sub", spread(do("Mul", do("Add", now, 1), last)), 1)
    final = do("Min", do("Max", final, 0), last)

    def step_of(window):
        return do("Sub", now, graph.node("Gather", starts, window, axis=0))

    forward = do("Add", do("Mul", first, length), step_of(first))
    ahead = do("Mul", do("Add", count, do("Add", final, 1)), length)
    backward = do("Sub", do("Sub", ahead, 1), step_of(final))
    return _Cut(count, samples, forward, backward)


def _step(graph, units, features, arrays):
    """Body of the loop: one step of both directions; states `(direction, unit, window)`.

    Gates in the order i, f, o, g; those of the hard sigmoid, clip(0.2 x + 0.5, 0, 1), have its
    line in their weights.
    """
    from onnx import TensorProto, helper

    body, scale = Graph("step_"), np.repeat([0.2, 0.2, 0.2, 1.0], units).astype(np.float32)

    def gates(name):
        i, f, g, o = np.split(arrays[name], 4, axis=-1)
        return np.concatenate([i, f, o, g], axis=-1) * scale

    directions = ("forward", "backward")
    kernel = [
        np.concatenate([gates(f"{d}_lstm/recurrent_kernel"), gates(f"{d}_lstm/kernel")]).T
        for d in directions
    ]
    shift = np.repeat([0.5, 0.5, 0.5, 0.0], units)
    bias = [(gates(f"{d}_lstm/bias") + shift)[:, None] for d in directions]
    weights = [np.concatenate(each, axis=1) for each in zip(kernel, bias, strict=True)]
    # Constants of the body stand in the graph around it.
    weights, limits = graph.floats(np.stack(weights)), (graph.floats(0), graph.floats(1))

    z = body.node("MatMul", weights, body.node("Concat", "h", "x", axis=1))
    sizes = graph.integers([3 * units, units])
    body.node("Split", z, sizes, output=["sigmoids", "tangents"], axis=1)
    z = body.node("Clip", "sigmoids", *limits)
    body.node("Split", z, graph.integers([units] * 3), output=["i", "f", "o"], axis=1)
    new = body.node("Mul", "i", body.node("Tanh", "tangents"))
    body.node("Add", body.node("Mul", "f", "c"), new, output="c_next")
    body.node("Mul", "o", body.node("Tanh", "c_next"), output="h_next")
    body.node("Identity", "h_next", output="states")

    def value(name, channels):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, (2, channels, "window"))

    inputs = [value("h", units), value("c", units), value("x", features + 1)]
    outputs = [value(name, units) for name in ("h_next", "c_next", "states")]
    return helper.make_graph(body.nodes, "step", inputs, outputs)
