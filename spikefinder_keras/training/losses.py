"""The training loss: Pearson correlation at 25 Hz, masked where the truth is missing.

    r = sum m (x - mean x)(y - mean y) / sqrt(sum m (x - mean x)^2  sum m (y - mean y)^2)

with x and y the sums of 4 samples of truth and prediction, m = 1 where x >= 0, and means over the
masked samples. Where either has no variance, 2017's loss had no gradient (NaN); here such a trace
has r = 0 and takes no part in the gradient.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from ..constants import POOL
from ..keras_backend import keras

ops = keras.ops

Tensor: TypeAlias = Any  # of whichever backend
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@keras.saving.register_keras_serializable("spikefinder_keras")
def pearson_loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """1 - mean over the batch of r, the released run's loss: one number for the batch, which Keras
    multiplies by the mean of sample weights.

    Both are `(batch, time, 1)`; `y_true` has spikes per sample, -1 where missing.
    """
    return ops.mean(pearson_loss_per_trace(y_true, y_pred))


@keras.saving.register_keras_serializable("spikefinder_keras")
def pearson_loss_per_trace(y_true: Tensor, y_pred: Tensor, pool: int = POOL) -> Tensor:
    """1 - r for each trace, so that a sample weight weighs its own trace: `(batch,)` from what
    `pearson_loss` has. So many samples are summed as `pool` says."""
    x, y = (_pool(ops.convert_to_tensor(signal), pool) for signal in (y_true, y_pred))
    x = ops.cast(x, y.dtype)
    mask = ops.cast(x >= 0, y.dtype)
    count = ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1)
    x, y = (
        mask * (signal - ops.sum(mask * signal, axis=1, keepdims=True) / count) for signal in (x, y)
    )
    product = ops.sum(x * y, axis=(1, 2))
    variances = ops.sum(x * x, axis=(1, 2)) * ops.sum(y * y, axis=(1, 2))
    varies = ops.logical_not(variances <= 0)  # so that NaN stays NaN and is noticed
    # The inner `where` keeps the square root's infinite slope at 0 out of the gradient.
    root = ops.sqrt(ops.where(varies, variances, ops.ones_like(variances)))
    return 1 - ops.where(varies, product / (root + 1e-12), ops.zeros_like(product))


def poisson_loss_per_trace(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Mean over a trace of `y - x log y`, with x and y sums of 4 samples; `(batch,)`: the negative
    log-likelihood of Poisson counts, less what does not depend on the rate. The output is spikes
    per sample; parameters are as in `pearson_loss`."""
    x, y = (_pool(ops.convert_to_tensor(signal)) for signal in (y_true, y_pred))
    x = ops.cast(x, y.dtype)
    mask = ops.cast(x >= 0, y.dtype)
    each = mask * (y - ops.maximum(x, 0) * ops.log(y + 1e-6))
    return ops.sum(each, axis=(1, 2)) / ops.maximum(ops.sum(mask, axis=(1, 2)), 1)


PER_TRACE: dict[str, tuple[Loss, ...]] = {
    "25 Hz": (pearson_loss_per_trace,),
    "12.5 Hz": (functools.partial(pearson_loss_per_trace, pool=8),),
    "6.25 Hz": (functools.partial(pearson_loss_per_trace, pool=16),),
    "poisson": (poisson_loss_per_trace,),
}
PER_TRACE["mean"] = PER_TRACE["25 Hz"] + PER_TRACE["12.5 Hz"] + PER_TRACE["6.25 Hz"]
"""Losses of a trace by the names of `Settings.objective`; of several the mean."""


def loss_of(objective: str, weighting: str) -> Loss:
    """The loss of a run; `settings.Settings` has the names."""
    if objective == "25 Hz":
        return {"batch": pearson_loss, "trace": pearson_loss_per_trace}[weighting]

    def loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
        each = PER_TRACE[objective]
        values = sum(one(y_true, y_pred) for one in each) / len(each)
        return ops.mean(values) if weighting == "batch" else values

    return loss


def _pool(signal: Tensor, pool: int = POOL) -> Tensor:
    """Sums of `pool` samples, `(batch, time / pool, 1)`; a shorter window counts as if filled up.

    'same' padding fills up both ends: the released run's 71,986 samples are two short of whole
    windows, so that there the first window has three samples, and all others begin one sample
    earlier than the competition's.
    """
    return pool * ops.average_pool(
        signal, pool, strides=pool, padding="same", data_format="channels_last"
    )
