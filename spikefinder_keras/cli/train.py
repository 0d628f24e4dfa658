"""`train`: train the network."""

import argparse
from pathlib import Path

from ..console import tell
from .options import PROGRAM, add_command, load_keras, say_to

# Option, type or choices, help; the defaults are `training.Settings`'s, the released run.
_SETTINGS = (
    ("variant", ("described", "released"), "the description's network (default) or the released"),
    ("epochs", int, "50"),
    ("batch", int, "traces per step, 5"),
    ("learning-rate", float, "Adam's, 0.001"),
    ("beta-1", float, "Adam's, 0.9"),
    ("beta-2", float, "Adam's, 0.999"),
    ("epsilon", float, "Adam's, 1e-8"),
    ("validation", float, "share of the traces that only validate, the last ones, 0.2"),
    ("weighting", ("batch", "trace"), "by the batch's mean weight (default, as 2017) or per trace"),
    ("few-data-weight", float, "weight of sets 1 to 5 against the others, 2.5"),
    ("id-joins", ("before", "after", "nowhere"), "where the dataset ID joins, seen from the LSTM"),
    ("seed", int, "same seed, same weights, 0"),
)


def add(commands):
    command = add_command(
        commands,
        "train",
        run,
        "Train the network; by default as the released run of 2017 did. "
        "On a GPU that only JAX knows: KERAS_BACKEND=jax spikefinder-keras train ...",
    )
    command.add_argument("--data", metavar="DIR", help="as for submission")
    command.add_argument(
        "--out", metavar="RUN", help="folder for the run (default: runs/VARIANT-seed-N)"
    )
    command.add_argument("--resume", metavar="RUN", help="carry an interrupted run to its end")
    for option, kind, text in _SETTINGS:
        choices = {"choices": kind} if isinstance(kind, tuple) else {"type": kind, "metavar": "N"}
        command.add_argument(f"--{option}", default=argparse.SUPPRESS, help=text, **choices)
    command.add_argument(
        "--dropout",
        type=float,
        nargs="+",
        metavar="RATE",
        default=argparse.SUPPRESS,
        help="after the first convolutions (default: the variant's)",
    )
    command.add_argument(
        "--batch-normalization", action="store_true", default=argparse.SUPPRESS, help="off"
    )


def run(arguments):
    chosen = {name.replace("-", "_") for name, *_ in _SETTINGS} | {"dropout", "batch_normalization"}
    settings = {name: value for name, value in vars(arguments).items() if name in chosen}
    if "dropout" in settings:
        settings["dropout"] = tuple(settings["dropout"])
    load_keras(arguments)
    from ..competition.submission import find_data
    from ..training.convi6 import Settings, resume, train

    progress, say = not arguments.quiet, say_to(arguments)
    if arguments.resume:
        run = resume(arguments.resume, arguments.data, settings, progress, say)
    else:
        settings = Settings(**settings)
        out = Path(arguments.out or f"runs/{settings.variant}-seed-{settings.seed}")
        data, kind = find_data(arguments.data, out, progress)
        say(f"data: {kind} ({data})")
        run = train(data, out, settings, progress, say)
    weights = run.folder / "best.weights.h5"
    tell(f"log, curves and weights are in {run.folder}")
    tell(f"try them: {PROGRAM} submission --weights {weights}")
