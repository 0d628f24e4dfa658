"""`describe`, `export` and `figures`: the networks' layers, a network as an ONNX file, every
figure."""

import argparse
from pathlib import Path

from ..console import say_unless, tell, tell_table
from ..constants import SPLITS
from ..errors import OutputError
from .options import Commands, add_command, add_overwrite, add_weights


def add(commands: Commands) -> None:
    option = add_command(commands, "describe", describe, "Print the network's layers.")
    option(
        "--variant",
        default="described",
        choices=("described", "released"),
        help="the description's network, or the one the released weights fit (%(default)s)",
    )
    option(
        "--weights", metavar="NAME-OR-FILE", help="describe the network of these weights instead"
    )
    option = add_command(
        commands, "export", export, "Write the network as an ONNX file, for other languages."
    )
    option("path", metavar="MODEL.onnx", help="file to write")
    add_weights(option, "default: described", "universal, ")
    add_overwrite(option)
    option = add_command(
        commands, "figures", draw, "Draw the network, its kernels, its predictions and its scores."
    )
    option("--out", metavar="DIR", default="figures", help="folder for the files (%(default)s)")
    option("--data", metavar="DIR", help="as for submission")
    add_weights(option, "default: published if downloaded, else described")
    option(
        "--set",
        type=int,
        dest="number",
        metavar="N",
        help="whose neurons to show (default: the first set of the folder)",
    )
    option("--split", choices=SPLITS, default="train", help="which of its two files (%(default)s)")
    option(
        "--neurons",
        type=int,
        nargs="+",
        metavar="NEURON",
        help="which of them, from 0; the first also under all dataset IDs (default: 0 2 4)",
    )
    option(
        "--window",
        type=float,
        nargs=2,
        default=(1.0, 50.0),
        metavar=("START", "END"),
        help="seconds to show (default: 1 50)",
    )
    option("--run", metavar="RUN", dest="training_run", help="draw a training run's curves too")
    option(
        "--format",
        nargs="+",
        dest="formats",
        choices=("png", "pdf"),
        default=("png", "pdf"),
        help="of the files (default: both)",
    )
    add_overwrite(option)


def describe(arguments: argparse.Namespace) -> None:
    from ..network.convi6 import Architecture, convi6
    from ..network.spec import layer_table
    from ..network.universal import is_universal
    from ..network.weights import architecture_of, find_weights, read_network

    if not arguments.weights:
        variant = arguments.variant
        tell_table(layer_table(convi6(Architecture(variant)), f"convi6_{variant}"))
        return
    path = find_weights(arguments.weights)
    spec, arrays = read_network(path)
    # Which variant weights are is read from their shapes, whatever their file is called.
    name = "universal" if is_universal(spec) else f"convi6_{architecture_of(arrays, path).variant}"
    tell_table(layer_table(spec, name))


def export(arguments: argparse.Namespace) -> None:
    from ..network.onnx_model import export

    # What is there already is refused for what it is.
    if Path(arguments.path).suffix.lower() != ".onnx" and not Path(arguments.path).exists():
        raise OutputError(f"{arguments.path} would be an ONNX file; end its name in .onnx")
    export(arguments.path, arguments.weights or "described", overwrite=arguments.overwrite)
    tell(f"the network is in {arguments.path}; docs/network.md says what goes in and comes out")


def draw(arguments: argparse.Namespace) -> None:
    from ..figures.gallery import make_figures

    files = make_figures(
        arguments.out,
        arguments.data,
        arguments.weights,
        number=arguments.number,
        split=arguments.split,
        neurons=arguments.neurons,
        window=arguments.window,
        run=arguments.training_run,
        formats=arguments.formats,
        overwrite=arguments.overwrite,
        progress=not arguments.quiet,
        say=say_unless(arguments.quiet),
    )
    tell(*files)
