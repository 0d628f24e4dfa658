"""`simulate`: simulated data."""

from ..console import tell
from .options import PROGRAM, add_command


def add(commands):
    command = add_command(
        commands,
        "simulate",
        run,
        "Write a simulated data set in the competition's form, true spikes included.",
    )
    command.add_argument("--out", metavar="DIR", default="simulated", help="folder (%(default)s)")
    command.add_argument(
        "--size",
        default="small",
        choices=("small", "full"),
        help="a minute per trace, or the competition's full size (%(default)s)",
    )
    command.add_argument("--seed", type=int, default=0, help="same seed, same files (%(default)s)")


def run(arguments):
    from ..competition.simulated_data import simulate

    folder = simulate(arguments.out, arguments.size, arguments.seed, not arguments.quiet)
    tell(f"simulated data are in {folder}; use them with `{PROGRAM} submission --data {folder}`")
