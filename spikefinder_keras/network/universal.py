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

from collections.abc import Sequence

from ..constants import SAMPLE_RATE
from .spec import Layer, Spec

STEP = 4  # a step of the network is so many samples at 100 Hz: it works at 25 Hz
STEPS_PER_SECOND = SAMPLE_RATE / STEP

CHANNELS = 4
"""The input has so many channels: the two halves of a step in each of two scales; see
`recordings.universal`."""

WIDTH = 32  # every layer has so many channels; twice as many gained nothing on recordings left out
LEVELS = 4  # the rate is halved so many times: 25 Hz becomes 1.6 Hz, where two blocks see 6 s
MIDDLE = 2  # there are so many blocks at the lowest rate

ENTRY_TAPS, BLOCK_TAPS, EXIT_TAPS = 9, 5, 5

OUTPUT = "rate"  # the name of the last layer, by which a list of layers is known as this network's


def universal(width: int = WIDTH) -> Spec:
    """The layers of `universal`, with `width` channels everywhere, from its input to the rate.

    Input is `calcium` `(batch, step, CHANNELS)` at 25 Hz, a multiple of 2 ** LEVELS steps, zeros
    beyond the ends; output is `rate` `(batch, step, 1)`, positive: expected spikes but for a
    factor.
    """
    net = Spec()

    def block(x: str, name: str) -> str:
        """x + conv1(GELU(conv5(norm(x))))"""
        y = net.add(f"{name}_norm", "rms", x)
        y = net.conv(f"{name}_wide", y, width, BLOCK_TAPS, "gelu")
        y = net.conv(f"{name}_narrow", y, width, 1, None)
        return net.sum(f"{name}_add", x, y)

    x = net.input("calcium", CHANNELS)
    x = net.conv("entry", x, width, ENTRY_TAPS, None)
    beside = {}
    for level in range(1, LEVELS + 1):
        beside[level] = block(x, f"down_{level}")
        x = net.conv(f"halve_{level}", beside[level], width, 2, None, stride=2)
    for n in range(1, MIDDLE + 1):
        x = block(x, f"middle_{n}")
    for level in range(LEVELS, 0, -1):
        x = net.add(f"double_{level}", "repeat", x)
        x = net.conv(f"mix_{level}", x, width, 1, None)
        x = net.sum(f"join_{level}", x, beside[level])
        x = block(x, f"up_{level}")
    x = net.add("exit_norm", "rms", x)
    net.conv(OUTPUT, x, 1, EXIT_TAPS, "softplus")
    return net


def is_universal(spec: Sequence[Layer]) -> bool:
    """Whether layers are this network's rather than convi6's."""
    return spec[-1].name == OUTPUT


def reach() -> int:
    """Steps on each side that a step's rate can depend on, rounded up to whole lowest steps."""
    steps = ENTRY_TAPS // 2 + EXIT_TAPS // 2
    for level in range(LEVELS):
        steps += (2 * (BLOCK_TAPS // 2) + 1) * 2**level  # down, up, and the halving
    steps += (MIDDLE * (BLOCK_TAPS // 2) + 1) * 2**LEVELS
    return -(-steps // 2**LEVELS) * 2**LEVELS
