"""The network `universal`: one for any recording, without a dataset ID.

    two scalings x two halves of a step of 40 ms, at 25 Hz
      |
    entry (9 taps)
      |
    block - - - - - - - - - - - - - - - - - - add - block - rate (5 taps, softplus)
      | half the rate                          | twice the rate
      block - - - - - - - - - - - - - - add - block
        | half                           | twice
        block - - - - - - - - - - add - block
          | half                   | twice
          block - - - - - - add - block
            | half           | twice
            block - block - -

A block is x + conv1(GELU(conv5(norm(x)))), with the root-mean-square norm over channels: so a step
is compared with its neighbours from 40 ms (first level) to 6 s (last). It is a small U-Net
(Ronneberger et al. 2015, MICCAI) in one dimension; everything but the sizes is the common form.
"""

import keras
from keras import layers

from ..recordings.universal_preparation import CHANNELS

WIDTH = 32
LEVELS = 4
MIDDLE = 2
ENTRY_TAPS, BLOCK_TAPS, EXIT_TAPS = 9, 5, 5


def build_universal(width=WIDTH, levels=LEVELS, middle=MIDDLE, channels=CHANNELS):
    """Build the network `universal` with random weights, not compiled.

    Parameters
    ----------
    width : int
        Channels everywhere.
    levels : int
        Halvings of the rate; the number of steps must be a multiple of 2 ** levels.
    middle : int
        Blocks at the lowest rate.
    channels : int
        Of the input.

    Returns
    -------
    keras.Model
        Input `calcium` `(batch, step, channels)` at 25 Hz from `universal_preparation`, zeros
        beyond the ends; output `rate` `(batch, step, 1)`, positive, in expected spikes per step.
    """
    calcium = keras.Input((None, channels), name="calcium")
    x = layers.Conv1D(width, ENTRY_TAPS, padding="same", name="entry")(calcium)
    skips = []
    for level in range(1, levels + 1):
        x = _block(x, width, f"down_{level}")
        skips.append(x)
        x = layers.Conv1D(width, 2, strides=2, name=f"halve_{level}")(x)
    for n in range(1, middle + 1):
        x = _block(x, width, f"middle_{n}")
    for level in range(levels, 0, -1):
        x = layers.UpSampling1D(2, name=f"double_{level}")(x)
        x = layers.Conv1D(width, 1, name=f"mix_{level}")(x)
        x = layers.Add(name=f"join_{level}")([x, skips[level - 1]])
        x = _block(x, width, f"up_{level}")
    x = layers.RMSNormalization(name="exit_norm")(x)
    rate = layers.Conv1D(1, EXIT_TAPS, padding="same", activation="softplus", name="rate")(x)
    return keras.Model(calcium, rate, name="universal")


def _block(x, width, name):
    """x + conv1(GELU(conv5(norm(x)))); `(batch, step, width)` in and out."""
    y = layers.RMSNormalization(name=f"{name}_norm")(x)
    y = layers.Conv1D(width, BLOCK_TAPS, padding="same", activation="gelu", name=f"{name}_wide")(y)
    y = layers.Conv1D(width, 1, name=f"{name}_narrow")(y)
    return layers.Add(name=f"{name}_add")([x, y])
