"""The recurrent layer: a bidirectional LSTM with Keras 2.0's hard sigmoid, linear in the length.

Hochreiter & Schmidhuber 1997 with forget gate, in the gate order i, f, c, o of Keras, per step

    (i, f, g, o) = x W + h U + b        i, f, o = gate(...), g = tanh(...)
    c <- f c + i g                      h <- o tanh(c)

`keras.layers.LSTM` gives the same numbers, but on TensorFlow its training step grows with the
square of the trace length, because the gradient of the loop adds up arrays as long as the trace at
every step. Here the gradient is written out: going back, only the gradients of h and c pass through
a loop; everything else is computed for many steps at once.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..keras_backend import keras

ops = keras.ops

Tensor: TypeAlias = Any  # a tensor of whichever backend

Tensors: TypeAlias = Sequence[Tensor]

Gate: TypeAlias = Callable[[Tensor], Tensor]

Block: TypeAlias = Callable[..., Any]
"""From states, inputs of some steps and weights to the states after them and outputs of each."""


BLOCK = 256
"""Steps that TensorFlow compiles as one loop; longer sequences run block by block, so that one
compilation serves all lengths."""

WINDOWS, MARGIN = 16, 1024
"""Long sequences are cut into so many windows that run side by side, each after so many steps of
its neighbour: all trained weights at hand forget within them, most within 512."""

ROUNDED = 8
"""States that differ by so many units in the last place are the same."""


@keras.saving.register_keras_serializable("spikefinder_keras")
def hard_sigmoid(x: Tensor) -> Tensor:
    """Keras 2.0's recurrent activation, `clip(0.2 x + 0.5, 0, 1)`.

    Keras 3's function of that name is another one, `relu6(x + 3) / 6`.
    """
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


@keras.saving.register_keras_serializable("spikefinder_keras")
class Bidirectional(keras.layers.Bidirectional):
    """`keras.layers.Bidirectional` over an LSTM with tanh and gates of `SLOPES`, made fast.

    Weights, their order, names and shapes, configuration and result are those of the parent class;
    only the computation differs. In: `(batch, time, feature)`; out: `(batch, time, units)` for
    `merge_mode="sum"`, `(batch, time, 2 units)` for `"concat"`. `ValueError` if `layer` is no LSTM
    with sequences out, has dropout, or keeps its state between batches.
    """

    def __init__(self, layer: keras.layers.LSTM, merge_mode: str = "concat", **kwargs: Any) -> None:
        super().__init__(layer, merge_mode=merge_mode, **kwargs)
        cell = self.forward_layer.cell
        if not (
            isinstance(layer, keras.layers.LSTM)
            and cell.activation is keras.activations.tanh
            and cell.recurrent_activation in SLOPES
            and cell.use_bias
            and layer.return_sequences
            and not (layer.stateful or layer.return_state or layer.go_backwards)
            and not (cell.dropout or cell.recurrent_dropout)
        ):
            raise ValueError(
                "the fast layer is for LSTM(units, activation='tanh', return_sequences=True), its "
                "recurrent_activation hard_sigmoid or sigmoid; use keras.layers.Bidirectional"
            )
        if merge_mode not in ("concat", "sum"):
            raise ValueError(f"merge_mode must be 'concat' or 'sum', not {merge_mode!r}")
        self.supports_masking = False

    def call(
        self,
        sequences: Tensor,
        initial_state: Tensors | None = None,
        mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        if initial_state is not None:
            raise ValueError("the fast layer starts from zeros; use keras.layers.Bidirectional")
        cells = (self.forward_layer.cell, self.backward_layer.cell)
        # Adding zero turns the variables into tensors, which TensorFlow wants for stacking.
        weights = [
            ops.stack([ops.cast(getattr(cell, name), self.compute_dtype) + 0.0 for cell in cells])
            for name in ("kernel", "recurrent_kernel", "bias")
        ]
        run = lstm(cells[0].recurrent_activation)
        x = ops.transpose(sequences, (1, 2, 0))
        x = [x, ops.flip(x, axis=0)]  # (time, feature, batch) of each direction
        if keras.backend.backend() == "tensorflow":
            # It runs two loops side by side on two cores, faster than one over both directions.
            h = [run(x[d][:, None], *(w[d : d + 1] for w in weights))[:, 0] for d in (0, 1)]
        else:
            h = ops.unstack(run(ops.stack(x, axis=1), *weights), axis=1)
        forward, backward = h[0], ops.flip(h[1], axis=0)
        if self.merge_mode == "sum":
            merged = forward + backward
        else:
            merged = ops.concatenate([forward, backward], axis=1)
        return ops.transpose(merged, (2, 0, 1))


@functools.cache
def lstm(gate: Gate) -> Callable[..., Tensor]:
    """The function that runs LSTMs with such gates, one of `SLOPES`, side by side from zero states.

    It takes x `(time, direction, feature, batch)`, kernel `(direction, feature, 4 units)`,
    recurrent kernel `(direction, units, 4 units)` and bias `(direction, 4 units)`, and returns the
    hidden states `(time, direction, units, batch)`: so the innermost axis is a long one.
    """
    forward, backward = (functools.partial(b, gate) for b in (_forward_block, _backward_block))

    @ops.custom_gradient
    def run(x: Tensor, kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor) -> Any:
        # An eager TensorFlow tape would otherwise try to record the loops themselves.
        x, *weights = (ops.stop_gradient(each) for each in (x, kernel, recurrent_kernel, bias))
        _, (h, c) = _in_windows(forward, (x,), weights, outputs=2)

        def gradient(*upstream_gradient: Tensor, upstream: Tensor | None = None) -> Tensors:
            dh = upstream_gradient[0] if upstream is None else upstream
            dh = dh[0] if isinstance(dh, (list, tuple)) else dh
            before = (ops.concatenate([ops.zeros_like(a[:1]), a[:-1]], axis=0) for a in (h, c))
            xs = (x, *before, c, dh)
            sums, (dx,) = _in_windows(backward, xs, weights, outputs=1, reverse=True)
            return dx, *sums

        return h, gradient

    return run


def _in_windows(
    block: Block, xs: Tensors, weights: Tensors, *, outputs: int, reverse: bool = False
) -> tuple[Tensors, Tensors]:
    """Run `block` over all of the time axis (the first) of `xs`, from zero states: what it adds up
    for each of the weights (in reverse alone), and its `outputs`.

    A step waits for the one before, and a few traces leave a processor idle meanwhile. So a long
    time axis is cut into windows that run side by side, as if they were more traces. Each begins
    with the states to which the `MARGIN` steps before it lead from zero. Where these are not what
    its neighbour ends with, states are remembered for longer, and all is run again from those; with
    each time one more window is right for certain.
    """
    length, batch = ops.shape(xs[0])[0], ops.shape(xs[0])[3]
    is_long = length >= WINDOWS * MARGIN
    if not isinstance(is_long, bool):
        is_long = ops.cast(is_long, "int32")
    windows = 1 + (WINDOWS - 1) * is_long
    size = -(-length // (windows * BLOCK)) * BLOCK
    parts = [_fold(x, windows, size) for x in xs]
    # Windows follow one another along the batch: rolled by one, each is where its neighbour is.
    to_next = -batch if reverse else batch
    # The first one has nothing before it; going back it is the last.
    place = ops.arange(windows * batch, dtype="int32") - ((windows - 1) * batch if reverse else 0)
    inner = ops.cast(ops.logical_or(place < 0, place >= batch), xs[0].dtype)
    no_sums = tuple(ops.zeros_like(w) for w in weights) if reverse else ()

    def run(start: Tensors) -> tuple[Tensors, Tensors, Tensors, Tensors]:
        carry = (*start, *no_sums)
        end, ys = _in_blocks(block, carry, parts, weights, outputs=outputs, reverse=reverse)
        passed_on = tuple(inner * ops.roll(state, to_next, axis=2) for state in end[:2])
        return tuple(start), passed_on, tuple(end[2:]), ys

    near = slice(0, MARGIN) if reverse else slice(-MARGIN, None)
    beside = [ops.roll(x[near], to_next, axis=3) for x in parts]
    zero = ops.zeros((*weights[1].shape[:2], windows * batch), dtype=xs[0].dtype)
    start, _ = _in_blocks(block, (zero, zero, *no_sums), beside, weights, reverse=reverse)
    *_, sums, ys = ops.while_loop(
        lambda start, passed_on, *_: ops.logical_not(_alike(start, passed_on)),
        lambda start, passed_on, *_: run(passed_on),
        run([inner * state for state in start[:2]]),
        maximum_iterations=WINDOWS - 1,
    )
    return sums, tuple(_unfold(y, windows, length) for y in ys)


def _alike(some: Tensors, others: Tensors) -> Tensor:
    """Whether states are equal but for rounding."""
    step = ROUNDED * np.finfo(keras.backend.standardize_dtype(some[0].dtype)).eps

    def alike(a: Tensor, b: Tensor) -> Tensor:
        # Of themselves, as far as tanh tells them apart; gradients, in the unit of the largest.
        unit = ops.minimum(1 + ops.abs(b), ops.max(ops.abs(b)))
        return ops.all(ops.abs(a - b) <= step * unit)

    return ops.logical_and(*map(alike, some, others))


def _fold(x: Tensor, windows: Any, size: Any) -> Tensor:
    """From `(time, ..., batch)` to `(size, ..., windows * batch)`, with zeros behind the end."""
    time, directions, features, batch = ops.shape(x)
    x = ops.pad(x, [(0, windows * size - time), (0, 0), (0, 0), (0, 0)])
    x = ops.transpose(ops.reshape(x, (windows, size, directions, features, batch)), (1, 2, 3, 0, 4))
    return ops.reshape(x, (size, directions, features, windows * batch))


def _unfold(x: Tensor, windows: Any, length: Any) -> Tensor:
    """What `_fold` has folded, back to so many steps."""
    size, directions, features, traces = ops.shape(x)
    x = ops.reshape(x, (size, directions, features, windows, traces // windows))
    x = ops.reshape(
        ops.transpose(x, (3, 0, 1, 2, 4)), (-1, directions, features, traces // windows)
    )
    return x[:length]


def _forward_block(gate: Gate, carry: Tensors, xs: Tensors, weights: Tensors) -> Any:
    kernel, recurrent_kernel, bias = weights
    kernels = ops.transpose(ops.concatenate([kernel, recurrent_kernel], axis=1), (0, 2, 1))

    def step(carry: Tensors, now: Tensors) -> tuple[Tensors, Tensors]:
        h, c = carry
        # One product, here and not before the loop: what it takes is in the cache.
        z = ops.matmul(kernels, ops.concatenate([now[0], h], axis=1)) + bias[..., None]
        i, f, g, o = _gates(gate, z)
        c = f * c + i * g
        h = o * ops.tanh(c)
        return (h, c), (h, c)

    return _scan(step, carry, xs)


def _backward_block(gate: Gate, carry: Tensors, xs: Tensors, weights: Tensors) -> Any:
    """From the block's last step to its first; the carry ends with the weights' gradients."""
    x, h_before, c_before, c, dh_out = xs
    kernel, recurrent_kernel, bias = weights
    inputs = ops.concatenate([x, h_before], axis=2)
    kernels = ops.concatenate([kernel, recurrent_kernel], axis=1)
    z = ops.einsum("dfz,tdfb->tdzb", kernels, inputs) + bias[..., None]
    i, f, g, o = _gates(gate, z)
    slope, tanh_c = SLOPES[gate], ops.tanh(c)
    # dz = (dc, dc, dc, dh) times these
    factors = ops.concatenate(
        [g * slope(i), c_before * slope(f), i * (1 - g * g), tanh_c * slope(o)], axis=2
    )
    dc_per_dh = o * (1 - tanh_c * tanh_c)
    features = x.shape[2]

    def step(carry: Tensors, now: Tensors) -> tuple[Tensors, Tensors]:
        dh, dc, by_kernels, by_bias = carry
        factor, dc_per_dh, f, dh_out, inputs = now
        dh = dh + dh_out
        dc = dc + dh * dc_per_dh
        dz = ops.concatenate([dc, dc, dc, dh], axis=1) * factor
        by_kernels = by_kernels + ops.matmul(inputs, ops.transpose(dz, (0, 2, 1)))
        dx, dh = ops.split(ops.matmul(kernels, dz), [features], axis=1)
        return (dh, dc * f, by_kernels, by_bias + dz), (dx,)

    dh, dc, *sums = carry
    start = (dh, dc, ops.zeros_like(kernels), ops.zeros_like(z[0]))
    now = (factors, dc_per_dh, f, dh_out, inputs)
    (dh, dc, by_kernels, by_bias), dx = _scan(step, start, now, reverse=True)
    gradients = (by_kernels[:, :features], by_kernels[:, features:], ops.sum(by_bias, axis=-1))
    added = (total + gradient for total, gradient in zip(sums, gradients, strict=True))
    return (dh, dc, *added), dx


def _gates(gate: Gate, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    i, f, g, o = ops.split(z, 4, axis=-2)
    return gate(i), gate(f), ops.tanh(g), gate(o)


SLOPES = {
    hard_sigmoid: lambda y: 0.2 * ops.cast(ops.logical_and(y > 0.0, y < 1.0), y.dtype),
    keras.activations.sigmoid: lambda y: y * (1.0 - y),
}
"""The gates that the fast layer knows: the slope of each from its value."""


def _scan(step: Callable[..., Any], carry: Tensors, xs: Tensors, *, reverse: bool = False) -> Any:
    """`ops.scan`; on TensorFlow a leaner loop than its."""
    if keras.backend.backend() != "tensorflow":
        return ops.scan(step, carry, xs, reverse=reverse)
    import tensorflow as tf

    length = xs[0].shape[0]
    _, first = step(carry, [x[0] for x in xs])  # for its shapes; the compiler drops it
    xs = [tf.TensorArray(x.dtype, length).unstack(x) for x in xs]
    ys = tuple(tf.TensorArray(y.dtype, length, element_shape=y.shape) for y in first)

    def body(k: Tensor, carry: Tensors, ys: Tensors) -> Any:
        at = length - 1 - k if reverse else k
        after, now = step(carry, [x.read(at) for x in xs])
        # Of `xs` fewer static shapes may be known, such as of gradients.
        carry = tuple(tf.ensure_shape(a, c.shape) for a, c in zip(after, carry, strict=True))
        return k + 1, carry, tuple(y.write(at, n) for y, n in zip(ys, now, strict=True))

    _, carry, ys = tf.while_loop(lambda k, *_: k < length, body, (0, carry, ys))
    return carry, tuple(y.stack() for y in ys)


def _in_blocks(
    block: Block,
    carry: Tensors,
    xs: Tensors,
    weights: Tensors,
    *,
    outputs: int = 0,
    reverse: bool = False,
) -> Any:
    """Carry `block(carry, xs, weights) -> carry, ys` over the time axis (the first) of `xs`, a
    multiple of `BLOCK`; the first `outputs` of `ys` are kept."""
    if keras.backend.backend() != "tensorflow":
        after, ys = block(carry, xs, weights)
        return after, ys[:outputs]
    import tensorflow as tf

    count = tf.shape(xs[0])[0] // BLOCK

    def split(x: Tensor) -> Tensor:
        parts = tf.reshape(x, tf.concat([[count, BLOCK], tf.shape(x)[1:]], 0))
        return tf.ensure_shape(parts, [None, BLOCK, *x.shape[1:]])

    def body(k: Tensor, carry: Tensors, arrays: Tensors) -> Any:
        at = count - 1 - k if reverse else k
        after, ys = _compiled(block)(carry, tuple(x[at] for x in blocks), weights)
        # A program traced for any batch size, which serves here too, forgets the static shapes.
        carry = tuple(tf.ensure_shape(a, c.shape) for a, c in zip(after, carry, strict=True))
        return k + 1, carry, tuple(a.write(at, y) for a, y in zip(arrays, ys, strict=False))

    blocks = tuple(split(x) for x in xs)
    arrays = tuple(tf.TensorArray(xs[0].dtype, count) for _ in range(outputs))
    _, carry, arrays = tf.while_loop(lambda k, *_: k < count, body, (0, carry, arrays))
    return carry, tuple(a.concat() for a in arrays)


@functools.cache
def _compiled(block: Callable[..., Any]) -> Callable[..., Any]:
    """`block` as one XLA program per shape; TensorFlow keeps them between calls."""
    import tensorflow as tf

    return tf.function(block, jit_compile=True)
