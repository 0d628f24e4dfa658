"""The tables of docs/open-questions.md, from the committed results of the experiments.

    python benchmarks/open_questions.py

reads `ablations/summary.csv`, `seven_sets/summary.csv`, `tuning/trials.csv`,
`tuning/importance.csv` and `tuning/tuned/summary.csv` beside it, puts them on the page, and draws
the picture above them. What makes these files is said there.
"""

import sys
from pathlib import Path

from accuracy_tables import grid, write_tables

from spikefinder_keras.figures import differences as draw_differences
from spikefinder_keras.figures import save
from spikefinder_keras.training.experiment import read_rows

SEEDS = 5
"""A variant with fewer is not finished, and not on the page."""

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "open-questions.md"
PICTURE = PAGE.parent / "images" / "open-questions.png"


def comparison(path):
    """A table of differences from the first variant; of each variant its last epoch."""
    rows = {row["name"]: row for row in read_rows(path)}  # in the order of epochs
    return differences([row for row in rows.values() if int(row["seeds"]) >= SEEDS])


def by_epoch(path, names):
    """A table of differences at every epoch that was scored, of the first variant that was."""
    rows = {}
    for row in read_rows(path):
        if row["name"] in names:
            rows.setdefault(row["epoch"], row | {"name": f"{row['epoch']} epochs"})
    return differences(rows.values())


def differences(rows):
    lines = [
        [
            row["name"],
            row["seeds"],
            row["neurons"],
            f"{float(row['mean']):.3f}",
            "-" if row["answer"] == "-" else signed(row),
            row["answer"],
        ]
        for row in rows
    ]
    head = ["", "seeds", "neurons", "correlation", "difference (95% interval)", "answer"]
    return grid(head, lines)


def signed(row):
    """`+0.012 (-0.003 to +0.027)`."""
    mean, low, high = (float(row[key]) for key in ("difference", "low", "high"))
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def best_trials(path, count=5):
    """The best trials of a study beside the first, which is the network as described."""
    rows = read_rows(path)
    best = sorted(rows, key=lambda row: -float(row["value"]))[:count]
    columns = [name for name in rows[0] if name not in ("state", "seconds_per_epoch")]
    chosen = [*best, *(row for row in rows[:1] if row not in best)]
    return grid(
        [name.replace("_", " ") for name in columns],
        [[row[name] for name in columns] for row in chosen],
    )


def tables():
    """All tables of the page, a dict of names to text."""
    ablations, tuning = HERE / "ablations" / "summary.csv", HERE / "tuning"
    importance = read_rows(tuning / "importance.csv")
    return {
        "ablations": comparison(ablations),
        "seven": comparison(HERE / "seven_sets" / "summary.csv"),
        "epochs": by_epoch(ablations, ("as described", "200 epochs")),
        "trials": best_trials(tuning / "trials.csv"),
        "importance": grid(
            ["parameter", "importance"],
            [[row["parameter"].replace("_", " "), row["importance"]] for row in importance],
        ),
        "tuned": comparison(tuning / "tuned" / "summary.csv"),
    }


def picture():
    """The differences on seven sets, with their intervals."""
    rows = {row["name"]: row for row in read_rows(HERE / "seven_sets" / "summary.csv")}
    chosen = [row for row in rows.values() if row["answer"] != "-"]
    columns = ([float(row[key]) for row in chosen] for key in ("difference", "low", "high"))
    return draw_differences([row["name"] for row in chosen], *columns)


if __name__ == "__main__":
    save(picture(), PICTURE)
    sys.exit(write_tables(PAGE, tables()))
