"""`score`: rates against true spikes."""

from ..console import tell_table
from ..constants import POOL
from .options import add_command, say_to


def add(commands):
    command = add_command(
        commands, "score", run, "Score predicted rates against true spikes, per neuron."
    )
    command.add_argument("truth", metavar="TRUTH.csv", help="spike counts per 10 ms")
    command.add_argument("prediction", metavar="PREDICTION.csv", help="rates of the same neurons")
    command.add_argument(
        "--measure",
        default="corr",
        choices=("corr", "rank", "auc", "info"),
        help="Pearson or rank correlation, area under the ROC curve, or information gain in bit/s",
    )
    command.add_argument(
        "--downsample",
        type=int,
        default=POOL,
        metavar="N",
        help="samples per window: 4 (default) for 25 Hz, 8, 16, 32 for 12.5, 6.25, 3.125 Hz",
    )
    command.add_argument(
        "--protocol",
        default="plain",
        choices=("plain", "published"),
        help="published: rescale the rates first, as the competition did for this submission",
    )
    command.add_argument("--csv", metavar="OUT.csv", help="also write the values to a file")


def run(arguments):
    from ..competition.scoring import score
    from ..competition.tables import read_pair
    from ..console import text_table
    from ..files.atomic import check_output

    out = arguments.csv and check_output(arguments.csv)
    truth, prediction, names, notes = read_pair(arguments.truth, arguments.prediction)
    for line in notes:
        say_to(arguments)(line)
    scores = score(truth, prediction, arguments.measure, arguments.downsample, arguments.protocol)
    rows = [("neuron", arguments.measure)]
    for name, value, reason in zip(names, scores.values, scores.reasons, strict=True):
        rows.append((name, f"none: {reason}" if reason else f"{value:.4f}"))
    count = len(scores.values) - scores.left_out
    rows.append(("mean", f"{scores.mean:.4f} over {count} neurons" if count else "none"))
    tell_table(text_table(rows))
    if out:
        _write_scores(out, arguments.measure, names, scores.values)


def _write_scores(path, measure, names, values):
    import pandas as pd

    from ..files.atomic import whole_file
    from ..text import clean_name, header_cell

    frame = pd.DataFrame(
        {
            "neuron": [header_cell(clean_name(name)) for name in names],
            "measure": measure,
            "value": values,
        }
    )
    with whole_file(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
