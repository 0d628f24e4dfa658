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

from ..keras_backend import keras

ops = keras.ops

Tensor: TypeAlias = Any  # a tensor of whichever backend

Tensors: TypeAlias = Sequence[Tensor]

Gate: TypeAlias = Callable[[Tensor], Tensor]


BLOCK = 1024
"""Steps that TensorFlow compiles as one loop; longer sequences run block by block, so that one
compilation serves all lengths."""


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
        x = ops.transpose(sequences, (1, 0, 2))
        x = ops.stack([x, ops.flip(x, axis=0)], axis=1)  # (time, direction, batch, feature)
        if keras.backend.backend() == "tensorflow":
            # It runs two loops side by side on two cores, faster than one over both directions.
            h = [run(x[:, d : d + 1], *(w[d : d + 1] for w in weights)) for d in (0, 1)]
            h = ops.concatenate(h, axis=1)
        else:
            h = run(x, *weights)
        forward, backward = h[:, 0], ops.flip(h[:, 1], axis=0)
        if self.merge_mode == "sum":
            merged = forward + backward
        else:
            merged = ops.concatenate([forward, backward], axis=-1)
        return ops.transpose(merged, (1, 0, 2))


@functools.cache
def lstm(gate: Gate) -> Callable[..., Tensor]:
    """The function that runs LSTMs with such gates, one of `SLOPES`, side by side from zero states.

    It takes x `(time, direction, batch, feature)`, kernel `(direction, feature, 4 units)`,
    recurrent kernel `(direction, units, 4 units)` and bias `(direction, 4 units)`, and returns the
    hidden states `(time, direction, batch, units)`.
    """
    forward, backward = (functools.partial(b, gate) for b in (_forward_block, _backward_block))

    @ops.custom_gradient
    def run(x: Tensor, kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor) -> Any:
        # An eager TensorFlow tape would otherwise try to record the loops themselves.
        x, *weights = (ops.stop_gradient(each) for each in (x, kernel, recurrent_kernel, bias))
        units = recurrent_kernel.shape[1]
        zero = ops.zeros((*ops.shape(x)[1:3], units), dtype=x.dtype)
        _, (h, c) = _in_blocks(forward, (zero, zero), (x,), weights, outputs=2)

        def gradient(*upstream_gradient: Tensor, upstream: Tensor | None = None) -> Tensors:
            dh = upstream_gradient[0] if upstream is None else upstream
            dh = dh[0] if isinstance(dh, (list, tuple)) else dh
            h_before, c_before = (ops.concatenate([zero[None], a[:-1]], axis=0) for a in (h, c))
            start = (zero, zero, *(ops.zeros_like(w) for w in weights))
            xs = (x, h_before, c_before, c, dh)
            carry, (dx,) = _in_blocks(backward, start, xs, weights, outputs=1, reverse=True)
            return dx, *carry[2:]

        return h, gradient

    return run


def _forward_block(gate: Gate, carry: Tensors, xs: Tensors, weights: Tensors) -> Any:
    (x,) = xs
    kernel, recurrent_kernel, bias = weights
    z = ops.matmul(x, kernel) + bias[:, None]

    def step(carry: Tensors, now: Tensors) -> tuple[Tensors, Tensors]:
        h, c = carry
        (z,) = now
        i, f, g, o = _gates(gate, z + ops.matmul(h, recurrent_kernel))
        c = f * c + i * g
        h = o * ops.tanh(c)
        return (h, c), (h, c)

    return _scan(step, carry, (z,))


def _backward_block(gate: Gate, carry: Tensors, xs: Tensors, weights: Tensors) -> Any:
    """From the block's last step to its first; the carry ends with the weights' gradients."""
    x, h_before, c_before, c, dh_out = xs
    kernel, recurrent_kernel, bias = weights
    inputs = ops.concatenate([x, h_before], axis=-1)
    kernels = ops.concatenate([kernel, recurrent_kernel], axis=1)
    i, f, g, o = _gates(gate, ops.matmul(inputs, kernels) + bias[:, None])
    slope, tanh_c = SLOPES[gate], ops.tanh(c)
    # dz = (dc, dc, dc, dh) times these
    factors = ops.concatenate(
        [g * slope(i), c_before * slope(f), i * (1 - g * g), tanh_c * slope(o)], axis=-1
    )
    dc_per_dh = o * (1 - tanh_c * tanh_c)
    transposed = ops.transpose(recurrent_kernel, (0, 2, 1))

    def step(carry: Tensors, now: Tensors) -> tuple[Tensors, Tensors]:
        dh, dc = carry
        factor, dc_per_dh, f, dh_out = now
        dh = dh + dh_out
        dc = dc + dh * dc_per_dh
        dz = ops.concatenate([dc, dc, dc, dh], axis=-1) * factor
        carry = (ops.matmul(dz, transposed), dc * f)
        return carry, (dh, dc)

    (dh, dc, *sums) = carry
    now = (factors, dc_per_dh, f, dh_out)
    (dh, dc), (dhs, dcs) = _scan(step, (dh, dc), now, reverse=True)
    dz = ops.concatenate([dcs, dcs, dcs, dhs], axis=-1) * factors
    by_kernels = ops.einsum("tdbf,tdbz->dfz", inputs, dz)
    features = x.shape[-1]
    gradients = (by_kernels[:, :features], by_kernels[:, features:], ops.sum(dz, axis=(0, 2)))
    added = (total + gradient for total, gradient in zip(sums, gradients, strict=True))
    return (dh, dc, *added), (ops.matmul(dz, ops.transpose(kernel, (0, 2, 1))),)


def _gates(gate: Gate, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    i, f, g, o = ops.split(z, 4, axis=-1)
    return gate(i), gate(f), ops.tanh(g), gate(o)


SLOPES = {
    hard_sigmoid: lambda y: 0.2 * ops.cast(ops.logical_and(y > 0.0, y < 1.0), y.dtype),
    keras.activations.sigmoid: lambda y: y * (1.0 - y),
}
"""The gates that the fast layer knows: the slope of each from its value."""


def _scan(step: Callable[..., Any], carry: Tensors, xs: Tensors, *, reverse: bool = False) -> Any:
    """`ops.scan` for a step whose outputs are its carry; on TensorFlow a leaner loop than its."""
    if keras.backend.backend() != "tensorflow":
        return ops.scan(step, carry, xs, reverse=reverse)
    import tensorflow as tf

    length = xs[0].shape[0]
    xs = [tf.TensorArray(x.dtype, length).unstack(x) for x in xs]
    ys = tuple(tf.TensorArray(c.dtype, length, element_shape=c.shape) for c in carry)

    def body(k: Tensor, carry: Tensors, ys: Tensors) -> Any:
        at = length - 1 - k if reverse else k
        carry, now = step(carry, [x.read(at) for x in xs])
        return k + 1, carry, tuple(y.write(at, n) for y, n in zip(ys, now, strict=True))

    _, carry, ys = tf.while_loop(lambda k, *_: k < length, body, (0, carry, ys))
    return carry, tuple(y.stack() for y in ys)


def _in_blocks(
    block: Callable[..., Any],
    carry: Tensors,
    xs: Tensors,
    weights: Tensors,
    *,
    outputs: int,
    reverse: bool = False,
) -> Any:
    """Carry `block(carry, xs, weights) -> carry, ys` over the time axis (the first) of `xs`; `ys`
    has so many `outputs`.

    Zeros fill the last block. Forward they come after all that counts; in reverse they come first,
    where the gradients are still zero and stay so.
    """
    if keras.backend.backend() != "tensorflow":
        return block(carry, xs, weights)
    import tensorflow as tf

    length = tf.shape(xs[0])[0]
    count = (length + BLOCK - 1) // BLOCK

    def split(x: Tensor) -> Tensor:
        padded = tf.pad(x, [(0, count * BLOCK - length)] + [(0, 0)] * (x.shape.rank - 1))
        parts = tf.reshape(padded, tf.concat([[count, BLOCK], tf.shape(x)[1:]], 0))
        return tf.ensure_shape(parts, [None, BLOCK, *x.shape[1:]])

    def body(k: Tensor, carry: Tensors, arrays: Tensors) -> Any:
        at = count - 1 - k if reverse else k
        after, ys = _compiled(block)(carry, tuple(x[at] for x in blocks), weights)
        # A program traced for any batch size, which serves here too, forgets the static shapes.
        carry = tuple(tf.ensure_shape(a, c.shape) for a, c in zip(after, carry, strict=True))
        return k + 1, carry, tuple(a.write(at, y) for a, y in zip(arrays, ys, strict=True))

    blocks = tuple(split(x) for x in xs)
    arrays = tuple(tf.TensorArray(xs[0].dtype, count) for _ in range(outputs))
    _, carry, arrays = tf.while_loop(lambda k, *_: k < count, body, (0, carry, arrays))
    return carry, tuple(a.concat()[:length] for a in arrays)


@functools.cache
def _compiled(block: Callable[..., Any]) -> Callable[..., Any]:
    """`block` as one XLA program per shape; TensorFlow keeps them between calls."""
    import tensorflow as tf

    return tf.function(block, jit_compile=True)
