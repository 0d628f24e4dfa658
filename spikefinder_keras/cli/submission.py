"""`submission`: rerun the competition submission."""

from pathlib import Path

from ..console import tell, tell_table
from .options import add_command, add_weights, say_to


def add(commands):
    command = add_command(
        commands,
        "submission",
        run,
        "Rerun the competition submission: predict every set, write the CSV files, print scores.",
    )
    command.add_argument(
        "--data",
        metavar="DIR",
        help="folder that holds spikefinder.train and spikefinder.test "
        "(default: $SPIKEFINDER_DATA, else what was downloaded, else simulated data)",
    )
    add_weights(command, "default: published if downloaded, else described")
    command.add_argument(
        "--out", metavar="DIR", default="submission", help="folder for the files (%(default)s)"
    )


def run(arguments):
    from ..files.atomic import check_output_folder

    check_output_folder(arguments.out)
    from ..competition.submission import score_table, submission

    results = submission(
        arguments.data, arguments.weights, arguments.out, not arguments.quiet, say_to(arguments)
    )
    tell_table(score_table(results))
    tell(f"{len(results)} files of spike rates are in {Path(arguments.out)}")
