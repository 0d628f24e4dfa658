"""Weights into a Keras network and out of it: all of them, or none."""

import math

from ..errors import UsageError
from ..files.atomic import check_output, whole_file
from ..keras_backend import keras
from .keras_model import build, build_network
from .recurrent import hard_sigmoid
from .universal import are_universal
from .weights import architecture, find_weights, layers_of, misfit, read_weights


def load_network(name_or_path="described", mirror=None):
    """Build the network that fits a weights file, and load it.

    Parameters
    ----------
    name_or_path, mirror
        See `weights.find_weights`. The variant and every size are read from the file.

    Returns
    -------
    keras.Model
        As from `build_network`.

    Raises
    ------
    WeightsError
        If the file is unreadable or fits no network of this kind.
    UsageError, DownloadError
        See `weights.find_weights`.
    """
    path = find_weights(name_or_path, mirror)
    layers, arrays = layers_of(read_weights(path), path)
    if are_universal(layers):
        network = build(layers, "universal")
    else:  # with the name of its variant, and dropout
        network = build_network(**architecture(arrays, path))
    set_weights(network, arrays, path)
    return network


def load_weights(network, path):
    """Load a file into an existing network: all arrays, or none if one does not fit.

    Raises
    ------
    WeightsError
        As `load_network`, and if the file fits another network. `network` is then unchanged.
    """
    set_weights(network, read_weights(path), path)


def save_weights(network, path):
    """Save a network's weights as Keras 3's `.weights.h5`, whole or not at all.

    Raises
    ------
    UsageError
        If `path` does not end in `.weights.h5`, or the LSTM has gates that the file would not tell.
    OutputError
        If it cannot be written.
    """
    path = check_output(path)
    if not path.name.endswith(".weights.h5"):
        raise UsageError(f"{path} must end in .weights.h5, the name Keras knows the format by")
    if any(
        isinstance(layer, keras.layers.Bidirectional)
        and layer.forward_layer.cell.recurrent_activation is not hard_sigmoid
        for layer in network.layers
    ):
        raise UsageError(f"{path} would not tell the gates of the LSTM; keep the network itself")
    # The same layers in a model of their own, without an optimiser whose state would be saved too.
    bare = keras.Model(network.inputs, network.outputs, name=network.name)
    # On a full disk the HDF5 library crashes the process, so claim the space with an ordinary file.
    # Each variable takes at most 8 bytes per number, and its headers less than 4 kB.
    space = sum(8 * math.prod(variable.shape) + 4096 for variable in bare.variables)
    with whole_file(path) as temporary:
        temporary.write_bytes(bytes(space))
        bare.save_weights(temporary, overwrite=True)


def set_weights(network, arrays, path="these weights"):
    """Give a network of `build_network` all of `arrays`, or raise `WeightsError` and none."""
    variables = {_our_name(variable): variable for variable in network.weights}
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    found = {name: array.shape for name, array in arrays.items()}
    if expected != found:
        raise misfit(found, path, expected)
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _our_name(variable):
    """`bidirectional/forward_lstm/lstm_cell/kernel` is `forward_lstm/kernel`."""
    layer, *_, weight = variable.path.removeprefix("bidirectional/").split("/")
    return f"{layer}/{weight}"
