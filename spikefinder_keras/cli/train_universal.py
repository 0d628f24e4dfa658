"""`train-universal`: train the network for any recording."""

from pathlib import Path

from ..console import tell
from .options import PROGRAM, add_command, load_keras, say_to


def add(commands):
    command = add_command(
        commands,
        "train-universal",
        run,
        "Train the network for any recording, on recordings with known spikes and simulated ones; "
        "one recipe, resumed where a run was interrupted. KERAS_BACKEND=jax is faster.",
    )
    command.add_argument(
        "--ground-truth",
        metavar="DIR",
        required=True,
        help="folder of the HDF5 files of Rupprecht et al. 2021, such as DS09-GCaMP6f-m-V1.h5",
    )
    command.add_argument(
        "--data", metavar="DIR", help="a competition folder: training set 4 is taken in too"
    )
    command.add_argument(
        "--out", metavar="RUN", help="folder for the run (default: runs/universal-seed-N)"
    )
    command.add_argument("--steps", type=int, default=1_200, metavar="N", help="(%(default)s)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="(%(default)s)")


def run(arguments):
    from ..training.neurons import find_ground_truth

    find_ground_truth(arguments.ground_truth)
    load_keras(arguments)
    from ..training.universal import UniversalSettings, train_on_ground_truth

    out = Path(arguments.out or f"runs/universal-seed-{arguments.seed}")
    settings = UniversalSettings(steps=arguments.steps, seed=arguments.seed)
    weights = train_on_ground_truth(
        arguments.ground_truth,
        arguments.data,
        out,
        settings,
        not arguments.quiet,
        say_to(arguments),
    )
    tell(f"log and weights are in {out}, and what was measured with them beside")
    tell(f"try them: {PROGRAM} predict RECORDING --weights {weights}")
