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

import numpy as np

from ..errors import WeightsError
from .batches import check_rates, hold_start
from .spec import Layer

AT_A_TIME = 131_072
"""Steps that are predicted at a time."""

ONSET = 5
"""Steps (0.2 s) at the start of a trace that tell of the zeros before it, from which calcium seems
to jump: as long as in convi6."""

CHANNELS = 4
"""Of the input: the two halves of a step in each of two scales; see
`recordings.universal_preparation`."""

WIDTH = 32
LEVELS = 4
MIDDLE = 2
ENTRY_TAPS, BLOCK_TAPS, EXIT_TAPS = 9, 5, 5
OUTPUT = "rate"  # The last layer


def universal_layers(width=WIDTH, levels=LEVELS, middle=MIDDLE, channels=CHANNELS):
    """The layers of `universal`, from its input to the rate.

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
    list of Layer
        Input `calcium` `(batch, step, channels)` at 25 Hz, zeros beyond the ends; output `rate`
        `(batch, step, 1)`, positive: expected spikes but for a factor.
    """
    layers = [Layer("calcium", "input", (), {"channels": channels})]

    def add(name, kind, *sources, **options):
        layers.append(Layer(name, kind, sources or (layers[-1].name,), options))

    def convolve(name, taps, activation=None, **options):
        add(name, "convolution", filters=width, taps=taps, activation=activation, **options)

    def block(name):  # x + conv1(GELU(conv5(norm(x))))
        before = layers[-1].name
        add(f"{name}_norm", "rms")
        convolve(f"{name}_wide", BLOCK_TAPS, "gelu")
        convolve(f"{name}_narrow", 1)
        add(f"{name}_add", "add", before, f"{name}_narrow")

    convolve("entry", ENTRY_TAPS)
    for level in range(1, levels + 1):
        block(f"down_{level}")
        convolve(f"halve_{level}", 2, stride=2)
    for n in range(1, middle + 1):
        block(f"middle_{n}")
    for level in range(levels, 0, -1):
        add(f"double_{level}", "repeat")
        convolve(f"mix_{level}", 1)
        add(f"join_{level}", "add", f"mix_{level}", f"down_{level}_add")
        block(f"up_{level}")
    add("exit_norm", "rms")
    add(OUTPUT, "convolution", filters=1, taps=EXIT_TAPS, activation="softplus")
    return layers


def build_universal(width=WIDTH, levels=LEVELS, middle=MIDDLE, channels=CHANNELS):
    """Build the network `universal` in Keras with random weights; see `universal_layers`."""
    from .keras_model import build

    return build(universal_layers(width, levels, middle, channels), "universal")


def are_universal(layers):
    """Whether layers are these rather than those of convi6: their output is called so."""
    return layers[-1].name == OUTPUT


def reach(levels=LEVELS, middle=MIDDLE):
    """Steps on each side that a step's rate can depend on, rounded up to whole lowest steps."""
    steps = ENTRY_TAPS // 2 + EXIT_TAPS // 2
    for level in range(levels):
        steps += (2 * (BLOCK_TAPS // 2) + 1) * 2**level  # down, up, and the halving
    steps += (middle * (BLOCK_TAPS // 2) + 1) * 2**levels
    return -(-steps // 2**levels) * 2**levels


def predict_steps(network, inputs):
    """The network's output for traces of any length.

    Parameters
    ----------
    network : universal_engine.UniversalEngine or keras.Model
    inputs : list of float32 arrays `(step, channel)`

    Returns
    -------
    list of float64 arrays `(step,)`
        Expected spikes per step of 40 ms, but for a factor. Each is the same whatever else is
        predicted with it. The first `ONSET` have the value of the next.
    """
    if getattr(network, "datasets", None) is not None or (
        hasattr(network, "inputs") and network.inputs[0].shape[-1] != CHANNELS
    ):
        raise WeightsError("what stands beside these weights is for the network universal alone")
    unit = 2**LEVELS
    # So many zeros behind the end that more of them make no difference; Keras gets few lengths, as
    # JAX compiles each.
    keras = hasattr(network, "predict_on_batch")
    padded = []
    for x in inputs:
        units = -(-(len(x) + reach()) // unit)
        padded.append(unit * (2 ** int(np.ceil(np.log2(units))) if keras else units))
    results = [None] * len(inputs)
    for length in sorted(set(padded)):
        own = [k for k, value in enumerate(padded) if value == length]
        size = max(1, AT_A_TIME // length)
        for first in range(0, len(own), size):
            part = own[first : first + size]
            batch = np.zeros((len(part), length, CHANNELS), np.float32)
            for row, k in enumerate(part):
                batch[row, : len(inputs[k])] = inputs[k]
            if keras:
                rates = np.asarray(network.predict_on_batch(batch))[..., 0]
            else:
                rates = network.run(batch)
            check_rates(rates)
            for row, k in enumerate(part):
                results[k] = rates[row, : len(inputs[k])].astype(np.float64)
                hold_start(results[k], ONSET)
    return results
