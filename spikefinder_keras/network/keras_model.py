"""The networks as `keras.Model`: built from their layers, and their weights in and out."""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..arrays import Array
from ..errors import UsageError
from ..files.atomic import check_output, whole_file
from ..keras_backend import DTYPE, keras, own_settings
from .convi6 import Architecture, convi6
from .recurrent import Bidirectional, hard_sigmoid
from .spec import Layer
from .universal import WIDTH, is_universal, universal
from .weights import architecture_of, find_weights, misfit, read_network, read_weights

BYTES_OF_A_NUMBER, BYTES_OF_A_HEADER = 8, 4096
"""A weights file takes at most so much for each number, and for each array beside it."""


def build_network(variant: str = "described", **options: Any) -> keras.Model:
    """Build the convi6 network with random weights, not compiled; the options are the other fields
    of `network.Architecture`, which says what is possible.

    Returns
    -------
    keras.Model
        Inputs `calcium` `(batch, time, 1)`, preprocessed as the competition's at 100 Hz, and
        `dataset` `(batch, time, datasets)`, one-hot and constant over time; output the
        spike rate `(batch, time, 1)`, between 0 and 1 and without a unit: the published loss is
        blind to its scale. Glorot-uniform kernels, orthogonal recurrent kernels, forget-gate biases
        of 1 and all other biases 0, as in Keras 2.0.
    """
    return build(convi6(Architecture(variant, **options)), f"convi6_{variant}")


def build_universal(width: int = WIDTH) -> keras.Model:
    """Build the network `universal` with random weights; its input and output as `universal`'s."""
    return build(universal(width), "universal")


@own_settings()
def build(spec: Sequence[Layer], name: str) -> keras.Model:
    """Build a model from a list of layers, of float32 and with channels last, also where Keras is
    set otherwise."""
    tensors: dict[str, Any] = {}
    inputs = []
    for layer in spec:
        sources = [tensors[source] for source in layer.sources]
        if layer.kind == "input":
            tensor = keras.Input((None, layer.options["channels"]), dtype=DTYPE, name=layer.name)
            inputs.append(tensor)
        else:
            make = _KERAS_LAYERS[layer.kind](name=layer.name, dtype=DTYPE, **layer.options)
            tensor = make(sources if len(sources) > 1 else sources[0])
        tensors[layer.name] = tensor
    return keras.Model(inputs, tensor, name=name)


def _convolution(
    filters: int, taps: int, *, activation: str | None, stride: int = 1, **named: str
) -> keras.Layer:
    shape: dict[str, Any] = {"strides": stride, "padding": "same", "data_format": "channels_last"}
    return keras.layers.Conv1D(filters, taps, activation=activation, **shape, **named)


def _lstm(
    units: int, merge_mode: str, *, name: str, dtype: str, gates: str = "hard_sigmoid"
) -> keras.Layer:
    gate = hard_sigmoid if gates == "hard_sigmoid" else gates
    lstm = keras.layers.LSTM(
        units, return_sequences=True, recurrent_activation=gate, name="lstm", dtype=dtype
    )
    return Bidirectional(lstm, merge_mode=merge_mode, name=name, dtype=dtype)


_KERAS_LAYERS: dict[str, Callable[..., Any]] = {
    "convolution": _convolution,
    "lstm": _lstm,
    "normalization": keras.layers.BatchNormalization,
    "rms": keras.layers.RMSNormalization,
    "repeat": functools.partial(keras.layers.UpSampling1D, 2),
    "activation": keras.layers.Activation,
    "dropout": keras.layers.Dropout,
    "concatenate": keras.layers.Concatenate,
    "add": keras.layers.Add,
}


# Weights


def load_network(name_or_path: str | Path = "described") -> keras.Model:
    """Build the network that fits a weights file, its variant and every size, and load it.

    `WeightsError` if the file is unreadable or fits no network of this kind; more errors, and what
    names there are, see `weights.find_weights`.
    """
    path = find_weights(name_or_path)
    spec, arrays = read_network(path)
    name = "universal" if is_universal(spec) else f"convi6_{architecture_of(arrays, path).variant}"
    network = build(spec, name)
    set_weights(network, arrays, path)
    return network


def load_weights(network: keras.Model, path: str | Path) -> None:
    """Load a file into an existing network. `WeightsError` as by `load_network`, and if the file
    fits another network; `network` is then unchanged."""
    set_weights(network, read_weights(path), path)


def save_weights(network: keras.Model, path: str | Path) -> None:
    """Save a network's weights as Keras 3's `.weights.h5`, whole or not at all.

    `UsageError` if `path` does not end in `.weights.h5`, or the LSTM has gates that the file would
    not tell; `OutputError` if it cannot be written.
    """
    path = Path(check_output(path))
    if not path.name.endswith(".weights.h5"):
        raise UsageError(f"{path} must end in .weights.h5, the name Keras knows the format by")
    if any(
        isinstance(layer, keras.layers.Bidirectional)
        and layer.forward_layer.cell.recurrent_activation is not hard_sigmoid
        for layer in network.layers
    ):
        raise UsageError(f"{path} would not tell the gates of the LSTM; keep the network itself")
    # The same layers in another model, without an optimiser whose state would be saved too.
    bare = keras.Model(network.inputs, network.outputs, name=network.name)
    # On a full disk the HDF5 library crashes the process, so claim the space with a regular file.
    numbers = sum(math.prod(variable.shape) for variable in bare.variables)
    space = BYTES_OF_A_NUMBER * numbers + BYTES_OF_A_HEADER * len(bare.variables)
    with whole_file(path) as temporary:
        temporary.write_bytes(bytes(space))
        bare.save_weights(temporary, overwrite=True)


def set_weights(
    network: keras.Model, arrays: dict[str, Array], path: str | Path = "these weights"
) -> None:
    """Give a network of `build_network` all of `arrays`, or raise `WeightsError` and none."""
    variables = {_short_name(variable): variable for variable in network.weights}
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    found = {name: array.shape for name, array in arrays.items()}
    if expected != found:
        raise misfit(found, path, expected)
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _short_name(variable: Any) -> str:
    """`bidirectional/forward_lstm/lstm_cell/kernel` is `forward_lstm/kernel`."""
    layer, *_, weight = variable.path.removeprefix("bidirectional/").split("/")
    return f"{layer}/{weight}"
