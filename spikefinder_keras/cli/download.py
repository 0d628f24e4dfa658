"""`download`: fetch data and weights."""

from ..console import tell
from ..constants import SPLITS
from .options import add_command


def add(commands):
    command = add_command(
        commands,
        "download",
        run,
        "Fetch and verify the competition's data, or the authors' weights.",
    )
    command.add_argument("what", choices=("data", "weights"))
    command.add_argument(
        "--out", metavar="DIR", help="folder for the data (default: the per-user cache)"
    )
    command.add_argument(
        "--datasets", type=int, nargs="+", metavar="N", help="only these sets (default: all)"
    )
    command.add_argument(
        "--splits", nargs="+", choices=SPLITS, default=SPLITS, help="(default: both)"
    )
    command.add_argument("--mirror", metavar="URL-OR-DIR", help="fetch from here instead")


def run(arguments):
    from ..files.downloads import data_cache, fetch_data, fetch_weights

    if arguments.what == "weights":
        tell(f"the published weights are in {fetch_weights(mirror=arguments.mirror)}")
        return
    folder = arguments.out or data_cache()
    files = fetch_data(
        folder,
        arguments.datasets,
        arguments.splits,
        mirror=arguments.mirror,
        progress=not arguments.quiet,
    )
    tell(f"{len(files)} verified files are in {folder}")
