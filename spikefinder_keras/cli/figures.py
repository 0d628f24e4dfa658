"""`figures`: every figure."""

import argparse

from ..console import tell
from ..constants import SPLITS
from .options import Commands, add_command, add_weights, say_to


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "figures",
        run,
        "Draw the network, its kernels, its predictions and its scores.",
    )
    command.add_argument(
        "--out", metavar="DIR", default="figures", help="folder for the files (%(default)s)"
    )
    command.add_argument("--data", metavar="DIR", help="as for submission")
    add_weights(command, "default: published if downloaded, else described")
    command.add_argument(
        "--set",
        type=int,
        dest="number",
        metavar="N",
        help="whose neurons to show (default: the first set of the folder)",
    )
    command.add_argument(
        "--split", choices=SPLITS, default="train", help="which of its two files (%(default)s)"
    )
    command.add_argument(
        "--neurons",
        type=int,
        nargs="+",
        metavar="NEURON",
        help="which of them, from 0; the first also under all dataset IDs (default: 0 2 4)",
    )
    command.add_argument(
        "--window",
        type=float,
        nargs=2,
        default=(1.0, 50.0),
        metavar=("START", "END"),
        help="seconds to show (default: 1 50)",
    )
    command.add_argument(
        "--run", metavar="RUN", dest="training_run", help="draw a training run's curves too"
    )
    command.add_argument(
        "--format",
        nargs="+",
        dest="formats",
        choices=("png", "pdf"),
        default=("png", "pdf"),
        help="of the files (default: both)",
    )


def run(arguments: argparse.Namespace) -> None:
    from ..datasets import check_dataset
    from ..figures.traces import check_window
    from ..files.atomic import check_output_folder

    if arguments.number is not None:
        check_dataset(arguments.number)
    check_window(arguments.window)
    check_output_folder(arguments.out)
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
        progress=not arguments.quiet,
        say=say_to(arguments),
    )
    tell(*files)
