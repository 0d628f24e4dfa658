"""`export`: the network as an ONNX file."""

from ..console import tell
from .options import add_command, add_weights


def add(commands):
    command = add_command(
        commands, "export", run, "Write the network as an ONNX file, for other languages."
    )
    command.add_argument("path", metavar="MODEL.onnx", help="file to write")
    add_weights(command, "default: described")


def run(arguments):
    from ..network.engine import export

    export(arguments.path, arguments.weights or "described")
    tell(f"the network is in {arguments.path}; docs/network.md says what goes in and comes out")
