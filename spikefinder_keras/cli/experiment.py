"""`experiment`: train a table of settings x seeds and compare them."""

from pathlib import Path

from ..console import tell, tell_table, text_table
from .options import add_command, load_keras, say_to


def add(commands):
    command = add_command(
        commands,
        "experiment",
        run,
        "Train what a file in TOML asks for, settings x seeds, and score neurons left out; "
        "what was interrupted goes on, what is done is not repeated.",
    )
    command.add_argument("plan", metavar="FILE.toml", help="see docs/training.md")
    command.add_argument("--data", metavar="DIR", help="as for submission")
    command.add_argument("--out", metavar="DIR", help="of runs and tables (default: runs/FILE)")
    command.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)"
    )


def run(arguments):
    load_keras(arguments)
    from ..competition.submission import find_data
    from ..training.experiment import run_experiment

    progress, say = not arguments.quiet, say_to(arguments)
    out = Path(arguments.out or f"runs/{Path(arguments.plan).stem}")
    data, kind = find_data(arguments.data, out, progress)
    say(f"data: {kind} ({data})")
    summary = run_experiment(arguments.plan, data, out, arguments.jobs, progress, say)
    columns = (
        "name",
        "epoch",
        "seeds",
        "neurons",
        "mean",
        "difference",
        "low",
        "high",
        "answer",
    )
    rows = [columns, *([str(row[name]) for name in columns] for row in summary)]
    tell_table(text_table(rows, right=range(1, 8)))
    tell(
        "correlation at 25 Hz of neurons left out; difference from the first, with its 95% interval"
    )
