"""`train`, `train-universal` and `experiment`: train the networks."""

import argparse
from pathlib import Path
from typing import Any

from ..console import import_keras, say_unless, tell, tell_table, text_table
from ..errors import TrainingError, UsageError
from .options import PROGRAM, Commands, add_command

# Option, type or choices, help; the defaults are `training.Settings`'s, the released run.
_SETTINGS: tuple[tuple[str, Any, str], ...] = (
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


def add(commands: Commands) -> None:
    option = add_command(
        commands,
        "train",
        run_train,
        "Train the network; by default as the released run of 2017 did. "
        "On a GPU that only JAX knows: KERAS_BACKEND=jax spikefinder-keras train ...",
    )
    option("--data", metavar="DIR", help="as for submission")
    option("--out", metavar="RUN", help="folder for the run (default: runs/VARIANT-seed-N)")
    option(
        "--resume",
        metavar="RUN",
        help="carry an interrupted run to its end, or a finished one on (--epochs)",
    )
    option(
        "--weights",
        metavar="NAME-OR-FILE",
        help="to start from, of the same network: released, a run's best.weights.h5 (default: "
        "random ones)",
    )
    option(
        "--check",
        metavar="RUN",
        help="train nothing: say whether that run, on the competition's sets 4 to 6, is as it is "
        "elsewhere (five seeds of the same training)",
    )
    for name, kind, text in _SETTINGS:
        # What is not named is left to `Settings`, or to the run that is resumed.
        choices = {"choices": kind} if isinstance(kind, tuple) else {"type": kind, "metavar": "N"}
        option(f"--{name}", default=argparse.SUPPRESS, help=text, **choices)
    option(
        "--dropout",
        type=float,
        nargs="+",
        metavar="RATE",
        default=argparse.SUPPRESS,
        help="after the first convolutions (default: the variant's)",
    )
    option("--batch-normalization", action="store_true", default=argparse.SUPPRESS, help="off")

    option = add_command(
        commands,
        "train-universal",
        run_universal,
        "Train the network for any recording, on recordings with known spikes and simulated ones; "
        "one recipe, resumed where a run was interrupted. KERAS_BACKEND=jax is faster.",
    )
    option(
        "--ground-truth",
        metavar="DIR",
        required=True,
        help="folder of the HDF5 files of Rupprecht et al. 2021, such as DS09-GCaMP6f-m-V1.h5",
    )
    option("--data", metavar="DIR", help="a competition folder: training set 4 is taken in too")
    option("--out", metavar="RUN", help="folder for the run (default: runs/universal-seed-N)")
    option("--steps", type=int, default=2_400, metavar="N", help="(%(default)s)")
    option("--seed", type=int, default=0, metavar="N", help="(%(default)s)")

    option = add_command(
        commands,
        "experiment",
        run_experiment,
        "Train what a file in TOML asks for, settings x seeds, and score neurons left out; "
        "what was interrupted goes on, what is done is not repeated.",
    )
    option("plan", metavar="FILE.toml", help="see docs/training.md")
    option("--data", metavar="DIR", help="as for submission")
    option("--out", metavar="DIR", help="of runs and tables (default: runs/FILE)")
    option("--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)")


def run_train(arguments: argparse.Namespace) -> None:
    chosen = {name.replace("-", "_") for name, *_ in _SETTINGS} | {"dropout", "batch_normalization"}
    settings = {name: value for name, value in vars(arguments).items() if name in chosen}
    # A run is equal to another by its settings, and a list never equals a tuple.
    if "dropout" in settings:
        settings["dropout"] = tuple(settings["dropout"])
    from ..competition.submission import find_data
    from ..files.atomic import check_output_folder
    from ..network.weights import find_weights
    from ..training import runs
    from ..training.settings import Settings

    progress, say = not arguments.quiet, say_unless(arguments.quiet)
    if arguments.check:
        runs.read_config(Path(arguments.check), "--check")
        import_keras(progress)
        check_run(arguments.check)
        return
    # All that can be wrong with what is asked for, before Keras is loaded.
    if arguments.resume:
        if arguments.weights:
            raise UsageError("a run that is resumed has weights; leave out --weights, or --resume")
        if arguments.out:
            raise UsageError("a run is resumed in its folder; leave out --out, or --resume")
        runs.known_run(Path(arguments.resume), settings)
        if arguments.data:
            find_data(arguments.data)
        import_keras(progress)
        from ..training.convi6 import resume

        run = resume(arguments.resume, arguments.data, settings, progress=progress, say=say)
    else:
        stated = Settings(**settings)
        out = Path(arguments.out or f"runs/{stated.variant}-seed-{stated.seed}")
        runs.check_new(out)
        if arguments.weights:
            find_weights(arguments.weights)
        if arguments.data:
            find_data(arguments.data)
        if arguments.out:
            check_output_folder(out)
        import_keras(progress)
        from ..training.convi6 import train

        data, kind = find_data(arguments.data, out, progress)
        say(f"data: {kind} ({data})")
        run = train(data, out, stated, weights=arguments.weights, progress=progress, say=say)
    tell(f"log, curves and weights are in {run.folder}")
    tell(f"try them: {PROGRAM} submission --weights {run.folder}")


def check_run(folder: str) -> None:
    """Print a run's curves beside the reference's; `TrainingError` if one is outside its band."""
    from ..training.convi6 import check_curves

    points = check_curves(folder)
    rows = [("epoch", "", "this run", "lowest", "highest", "")]
    for point in points:
        value, low, high = (f"{each:.3f}" for each in (point.value, point.low, point.high))
        name = "loss" if point.measure == "loss" else "validation correlation"
        verdict = "inside" if point.inside else "outside"
        rows.append((str(point.epoch), name, value, low, high, verdict))
    tell_table(text_table(rows, right=(0, 2, 3, 4)))
    outside = sum(not point.inside for point in points)
    if outside:
        raise TrainingError(
            f"the run in {folder} is outside the band of the reference runs at {outside} of "
            f"{len(points)} points; compare its config.json, versions and machine with theirs"
        )
    tell("the run is as those of the reference")


def run_universal(arguments: argparse.Namespace) -> None:
    from ..files.atomic import check_output_folder
    from ..training.neurons import find_ground_truth
    from ..training.settings import UniversalSettings

    find_ground_truth(arguments.ground_truth)
    settings = UniversalSettings(steps=arguments.steps, seed=arguments.seed)
    out = Path(arguments.out or f"runs/universal-seed-{arguments.seed}")
    if arguments.out:
        check_output_folder(out)
    import_keras(not arguments.quiet)
    from ..training.universal import train_on_ground_truth

    weights = train_on_ground_truth(
        arguments.ground_truth,
        arguments.data,
        out,
        settings=settings,
        progress=not arguments.quiet,
        say=say_unless(arguments.quiet),
    )
    tell(f"log and weights are in {out}, and what was measured with them beside")
    tell(f"try them: {PROGRAM} predict RECORDING --weights {weights}")


def run_experiment(arguments: argparse.Namespace) -> None:
    from ..competition.submission import find_data
    from ..training.experiment import read_plan, run_experiment

    progress, say = not arguments.quiet, say_unless(arguments.quiet)
    read_plan(arguments.plan)
    if arguments.data:
        find_data(arguments.data)
    import_keras(progress)
    out = Path(arguments.out or f"runs/{Path(arguments.plan).stem}")
    data, kind = find_data(arguments.data, out, progress)
    say(f"data: {kind} ({data})")
    summary = run_experiment(
        arguments.plan, data, out, jobs=arguments.jobs, progress=progress, say=say
    )
    columns = [
        "name", "epoch", "seeds", "neurons", "mean", "difference", "low", "high", "answer"
    ]  # fmt: skip
    rows = [columns, *([str(row[name]) for name in columns] for row in summary)]
    tell_table(text_table(rows, right=range(1, 8)))
    tell(
        "correlation at 25 Hz of neurons left out; difference from the first, with its 95% interval"
    )
