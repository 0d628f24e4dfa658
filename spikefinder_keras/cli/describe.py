"""`describe`: the network's layers."""

from ..console import tell_table
from .options import add_command


def add(commands):
    command = add_command(commands, "describe", run, "Print the network's layers.")
    command.add_argument(
        "--variant",
        default="described",
        choices=("described", "released"),
        help="the description's network, or the one the released weights fit (%(default)s)",
    )
    command.add_argument(
        "--weights", metavar="NAME-OR-FILE", help="describe the network of these weights instead"
    )


def run(arguments):
    from ..network.spec import convi6_layers, layer_table

    if not arguments.weights:
        variant = arguments.variant
        tell_table(layer_table(convi6_layers(variant), f"convi6_{variant}"))
        return
    from ..network.universal import are_universal
    from ..network.weights import architecture, find_weights, layers_of, read_weights

    path = find_weights(arguments.weights)
    layers, arrays = layers_of(read_weights(path), path)
    if are_universal(layers):
        name = "universal"
    else:
        name = f"convi6_{architecture(arrays, path)['variant']}"
    tell_table(layer_table(layers, name))
