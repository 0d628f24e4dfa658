"""`describe`: the network's layers."""

from .options import add_command, load_keras


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
    load_keras(arguments)
    from ..network.architecture import build_network, layer_table

    if arguments.weights:
        from ..network.loading import load_network

        network = load_network(arguments.weights)
    else:
        network = build_network(arguments.variant)
    print(layer_table(network))
