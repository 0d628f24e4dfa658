"""Train both variants with several seeds, and write the band of their curves; resumed if run again.

    python benchmarks/reference_curves.py DATA RUNS --out weights/convi6-curves.json

trains `described` and `released` (50 epochs, as `spikefinder-keras train` does) with the seeds 0 to
4 on the competition's sets 4 to 6, and writes loss and validation correlation after 10, 25 and 50
epochs: what each seed has, and the band in which a run of any other seed lies, by which
`spikefinder-keras train --check RUN` tells. Ten runs take half an hour on two cores.

The run of 2017 in full size, on a GPU, from all ten sets (`spikefinder-keras download data`):

    KERAS_BACKEND=jax python benchmarks/reference_curves.py DATA RUNS --sets all --seeds 1 \
        --out full-size.json

writes the same curves of 139 traces that train and 35 that validate, and the scores of the last
weights on every test set beside the published ones. `--share 0.1 --epochs 5` is the rehearsal of
either on a processor: the first tenth of every table.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from spikefinder_keras.competition.scoring import published_score, score
from spikefinder_keras.competition.submission import predict_sets
from spikefinder_keras.competition.tables import file_name, find_sets, read_set, write_csv
from spikefinder_keras.files.atomic import write_text
from spikefinder_keras.network.engine import as_engine
from spikefinder_keras.training import runs
from spikefinder_keras.training.convi6 import Run, resume, train
from spikefinder_keras.training.settings import Settings

VARIANTS = ("described", "released")
EPOCHS = (10, 25, 50)
MEASURES = ("loss", "validation")
SETS = (4, 5, 6)

OUTSIDE = 0.05
"""Share of honest runs that the band wrongly calls others: at most so many have any of the six
points outside (Bonferroni), if seeds scatter as a normal distribution does."""


def chosen_folder(data: Path, out: Path, sets: tuple[int, ...] | None, share: float) -> Path:
    """A competition folder of some sets of another, of every table its first `share`."""
    there = [each for each in find_sets(data) if sets is None or each[1] in sets]
    for split, number in there:
        folder = out / f"spikefinder.{split}"
        folder.mkdir(parents=True, exist_ok=True)
        for kind, table in zip(("calcium", "spikes"), read_set(data, split, number), strict=True):
            if table is not None:
                rows = round(share * len(table))
                write_csv(folder / file_name(split, number, kind), table[:rows])
    return out


def trained(data: Path, folder: Path, settings: Settings) -> Run:
    """The run of these settings in a folder, begun, carried on or finished before."""
    if (folder / runs.CONFIG).exists():
        return resume(folder, data, progress=True, say=print)
    return train(data, folder, settings, progress=True, say=print)


def band(values: list[float], points: int = len(EPOCHS) * len(MEASURES)) -> tuple[float, float]:
    """Where one more value lies if it is as these, with `points` looked at: Student's prediction
    interval. The least and the greatest of five would leave out a sixth in one of three cases."""
    n = len(values)
    wide = student.ppf(1 - OUTSIDE / points / 2, n - 1) * np.sqrt(1 + 1 / n)
    middle, spread = np.mean(values), np.std(values, ddof=1)
    return float(middle - wide * spread), float(middle + wide * spread)


def bands(histories: list[list[runs.Row]], epochs: tuple[int, ...]) -> list[dict]:
    """Values of all seeds and their band, by epoch and measure; of one seed there is no band."""
    rows = []
    for epoch in epochs:
        for measure in MEASURES:
            # As in the loss, rates that never vary, as of early epochs, have the correlation 0.
            values = [float(np.nan_to_num(history[epoch - 1][measure])) for history in histories]
            low, high = band(values) if len(values) > 1 else (None, None)
            if low is not None and high is not None and measure == "validation":
                low, high = max(low, -1.0), min(high, 1.0)  # no correlation is outside
            rows.append(
                {"epoch": epoch, "measure": measure, "low": low, "high": high, "values": values}
            )
    return rows


def test_scores(data: Path, weights: Path) -> dict[str, list[float | None]]:
    """Correlation at 25 Hz on the test sets that have a truth: plain, and published for 2017's."""
    scores = {}
    for each in predict_sets(as_engine(weights), data):
        if each.split == "test" and each.spikes is not None:
            ours = score(each.spikes, each.rates).mean
            scores[str(each.number)] = [ours, published_score("test", each.number)]
    return scores


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, default=Path("curves.json"))
    parser.add_argument("--seeds", type=int, default=5, metavar="N")
    parser.add_argument("--epochs", type=int, default=50, metavar="N")
    parser.add_argument("--sets", choices=("4-6", "all"), default="4-6")
    parser.add_argument("--share", type=float, default=1.0, help="of every table")
    arguments = parser.parse_args(argv)
    data = arguments.data
    sets = SETS if arguments.sets == "4-6" else None
    others = sets and any(number not in sets for _, number in find_sets(data))
    if others or arguments.share < 1:
        data = chosen_folder(data, arguments.runs / "data", sets, arguments.share)
    epochs = tuple(epoch for epoch in EPOCHS if epoch <= arguments.epochs) or (arguments.epochs,)
    result: dict = {"traces": None, "seeds": arguments.seeds, "bands": {}, "test": {}}
    for variant in VARIANTS:
        finished = []
        for seed in range(arguments.seeds):
            settings = Settings(variant=variant, seed=seed, epochs=arguments.epochs)
            finished.append(trained(data, arguments.runs / f"{variant}-seed-{seed}", settings))
        result["traces"] = finished[0].traces.fingerprint()
        result["bands"][variant] = bands([run.history for run in finished], epochs)
        result["test"][variant] = [
            test_scores(data, run.folder / "last.weights.h5") for run in finished
        ]
    write_text(arguments.out, json.dumps(result, indent=1) + "\n")
    print(f"written {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
