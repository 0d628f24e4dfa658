"""`describe` and `export`: the networks' layers, and a network as an ONNX file."""

import argparse

from ..console import tell, tell_table
from .options import Commands, add_command, add_weights


def add(commands: Commands) -> None:
    command = add_command(commands, "describe", describe, "Print the network's layers.")
    command.add_argument(
        "--variant",
        default="described",
        choices=("described", "released"),
        help="the description's network, or the one the released weights fit (%(default)s)",
    )
    command.add_argument(
        "--weights", metavar="NAME-OR-FILE", help="describe the network of these weights instead"
    )
    command = add_command(
        commands, "export", export, "Write the network as an ONNX file, for other languages."
    )
    command.add_argument("path", metavar="MODEL.onnx", help="file to write")
    add_weights(command, "default: described")


def describe(arguments: argparse.Namespace) -> None:
    from ..network.convi6 import Architecture, convi6
    from ..network.spec import layer_table
    from ..network.universal import is_universal
    from ..network.weights import architecture_of, find_weights, read_weights, spec_of

    if not arguments.weights:
        variant = arguments.variant
        tell_table(layer_table(convi6(Architecture(variant)), f"convi6_{variant}"))
        return
    path = find_weights(arguments.weights)
    spec, arrays = spec_of(read_weights(path), path)
    # Which variant weights are is read from their shapes, whatever their file is called.
    name = "universal" if is_universal(spec) else f"convi6_{architecture_of(arrays, path).variant}"
    tell_table(layer_table(spec, name))


def export(arguments: argparse.Namespace) -> None:
    from ..network.onnx_model import export

    export(arguments.path, arguments.weights or "described")
    tell(f"the network is in {arguments.path}; docs/network.md says what goes in and comes out")
