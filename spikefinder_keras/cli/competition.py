"""`submission`, `score`, `simulate` and `download`: the competition again."""

import argparse
from pathlib import Path

from ..console import say_unless, tell, tell_table
from ..constants import POOL, SPLITS
from ..text import clean_name, counted, header_cell
from .options import PROGRAM, Commands, add_command, add_overwrite, add_weights


def add(commands: Commands) -> None:
    option = add_command(
        commands,
        "submission",
        run_submission,
        "Rerun the competition submission: predict every set, write the CSV files, print scores.",
    )
    option(
        "--data",
        metavar="DIR",
        help="folder that holds spikefinder.train and spikefinder.test "
        "(default: $SPIKEFINDER_DATA, else what was downloaded, else simulated data)",
    )
    add_weights(option, "default: published if downloaded, else described")
    option("--out", metavar="DIR", default="submission", help="folder for the files (%(default)s)")

    option = add_command(
        commands, "score", run_score, "Score predicted rates against true spikes, per neuron."
    )
    option("truth", metavar="TRUTH.csv", help="spike counts per 10 ms")
    option("prediction", metavar="PREDICTION.csv", help="rates of the same neurons")
    option(
        "--measure",
        default="corr",
        choices=("corr", "rank", "auc", "info"),
        help="Pearson or rank correlation, area under the ROC curve, or information gain in bit/s",
    )
    option(
        "--downsample",
        type=int,
        default=POOL,
        metavar="N",
        help="samples per window: 4 (default) for 25 Hz, 8, 16, 32 for 12.5, 6.25, 3.125 Hz",
    )
    option(
        "--protocol",
        default="plain",
        choices=("plain", "published"),
        help="published: rescale the rates first, as the competition did for this submission",
    )
    option("--csv", metavar="OUT.csv", help="also write the values to a file")
    add_overwrite(option)

    option = add_command(
        commands,
        "simulate",
        run_simulate,
        "Write a simulated data set in the competition's form, true spikes included.",
    )
    option("--out", metavar="DIR", default="simulated", help="folder (%(default)s)")
    option(
        "--size",
        default="small",
        choices=("small", "full"),
        help="a minute per trace, or the competition's full size (%(default)s)",
    )
    option("--seed", type=int, default=0, help="same seed, same files (%(default)s)")

    option = add_command(
        commands,
        "download",
        run_download,
        "Fetch and verify the competition's data, or the authors' weights.",
    )
    option("what", choices=("data", "weights"))
    option("--out", metavar="DIR", help="folder for the data (default: the per-user cache)")
    option("--datasets", type=int, nargs="+", metavar="N", help="only these sets (default: all)")
    option("--splits", nargs="+", choices=SPLITS, default=SPLITS, help="(default: both)")
    option(
        "--mirror",
        metavar="URL-OR-DIR",
        help="an address or folder that has the files, side by side or in spikefinder.train and "
        "spikefinder.test, instead of the public ones",
    )


def run_submission(arguments: argparse.Namespace) -> None:
    from ..competition.submission import score_table, submission

    results = submission(
        arguments.data,
        arguments.weights,
        arguments.out,
        not arguments.quiet,
        say_unless(arguments.quiet),
    )
    tell_table(score_table(results))
    count = counted(len(results), "file")
    tell(f"{count} of spike rates {'is' if len(results) == 1 else 'are'} in {Path(arguments.out)}")


def run_score(arguments: argparse.Namespace) -> None:
    import pandas as pd

    from ..competition.scoring import score
    from ..competition.tables import read_pair
    from ..console import text_table
    from ..files.atomic import check_apart, check_output, check_replaceable, whole_file

    out = arguments.csv and check_output(arguments.csv)
    if out:
        reads = {"the truth": [arguments.truth], "the prediction": [arguments.prediction]}
        check_apart(reads, [("--csv", out)])
        head = b"neuron,measure,value\n"
        check_replaceable(out, overwrite=arguments.overwrite, option="--csv", begins=head)
    truth, prediction, names, notes = read_pair(arguments.truth, arguments.prediction)
    for line in notes:
        say_unless(arguments.quiet)(line)
    scores = score(truth, prediction, arguments.measure, arguments.downsample, arguments.protocol)
    rows = [("neuron", arguments.measure)]
    for name, value, reason in zip(names, scores.values, scores.reasons, strict=True):
        rows.append((name, f"none: {reason}" if reason else f"{value:.4f}"))
    count = len(scores.values) - scores.left_out
    mean = f"{scores.mean:.4f} over {counted(count, 'neuron')}" if count else "none"
    rows.append(("mean", mean))
    tell_table(text_table(rows))
    if out:
        neurons = [header_cell(clean_name(name)) for name in names]
        values = {"neuron": neurons, "measure": arguments.measure, "value": scores.values}
        # By pandas, which quotes what a name may hold.
        with whole_file(out) as temporary:
            pd.DataFrame(values).to_csv(temporary, index=False, lineterminator="\n")


def run_simulate(arguments: argparse.Namespace) -> None:
    from ..competition.simulated_data import simulate

    folder = simulate(arguments.out, arguments.size, arguments.seed, not arguments.quiet)
    tell(f"simulated data are in {folder}; use them with `{PROGRAM} submission --data {folder}`")


def run_download(arguments: argparse.Namespace) -> None:
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
    tell(f"{counted(len(files), 'verified file')} are in {folder}")
