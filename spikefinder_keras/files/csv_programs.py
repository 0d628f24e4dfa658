"""What other programs put into tables: ImageJ's measurements, Inscopix's status, long tables."""

import re

import numpy as np

from ..errors import DataError
from .csv_names import UNITS, CsvTable, plain, time_scale

_IMAGEJ = re.compile(
    r"(area|mean|stddev|mode|min|max|x|y|xm|ym|perim\.?|bx|by|width|height|major|minor|angle|circ\.?"
    r"|feret\w*|intden|median|skew|kurt|%area|rawintden|ar|round|solidity|minthr|maxthr)"
    r"[ _]?(\d+|\(.*\))?",
    re.IGNORECASE,
)


def means_of_imagej(names, kept):
    """Of ImageJ's measurements of each ROI the means alone."""
    matches = {k: _IMAGEJ.fullmatch(names[k]) for k in kept}
    if not all(matches.values()):
        return kept, []
    kinds = {match[1].lower() for match in matches.values()}
    means = [k for k in kept if matches[k][1].lower() == "mean"]
    if len(kinds) < 2 or not means:
        return kept, []
    others = ", ".join(sorted(kinds - {"mean"}))
    return means, [f"ImageJ's measurements: the means read, {others} left out"]


def accepted_by_inscopix(status, kept, all_cells):
    """Of Inscopix's cells the accepted ones, if anybody has accepted some."""
    if status is None or all_cells:
        return kept, []
    accepted = [k for k in kept if status[k] == "accepted"]
    accepted = accepted or [k for k in kept if status[k] != "rejected"] or kept
    if len(accepted) == len(kept):
        return kept, []
    left = len(kept) - len(accepted)
    return accepted, [
        f"{left} of {len(kept)} cells left out, which Inscopix's header does not call accepted "
        "(--all-rois keeps them)"
    ]


def long_table(path, names, columns, kept):
    """A long table (neuron, frame or time, value) with a column per neuron; None for another."""
    from_names = {plain(name): k for k, name in enumerate(names)}
    unit = next((from_names[n] for n in UNITS if n in from_names), None)
    if unit is None or isinstance(columns[unit], list) or len(names) > 5:
        return None
    stamps = [k for k in range(len(names)) if k != unit and time_scale(names[k]) is not None]
    frames = [k for k in range(len(names)) if plain(names[k]) in ("frame", "frames", "sample")]
    axis = (stamps or frames or [None])[0]
    values = [k for k in kept if k not in (unit, *stamps, *frames)]
    if axis is None or len(values) != 1 or isinstance(columns[axis], list):
        return None
    if np.isnan(columns[unit]).any() or np.isnan(columns[axis]).any():
        return None
    units, column = np.unique(columns[unit], return_inverse=True)
    places, row = np.unique(columns[axis], return_inverse=True)
    if len(units) == len(columns[unit]) or len(places) * len(units) > 100 * len(columns[unit]):
        return None
    if len(np.unique(row * len(units) + column)) != len(row):
        raise DataError(
            f"{path}: {names[axis]} repeats within {names[unit]}; give each neuron one value a "
            "frame"
        )
    table = np.full((len(places), len(units)), np.nan)
    table[row, column] = columns[values[0]]
    value = names[values[0]]
    notes = [f"a long table: {len(units)} neurons by {names[unit]}, their {value} by {names[axis]}"]
    if value in ("C", "S"):
        notes.append(f"{value} is what CaImAn and Minian call denoised or deconvolved traces; give "
                     "the raw ones (YrA) if it is that")  # fmt: skip
    times = places * time_scale(names[axis]) if stamps else None
    found = [f"{number:g}" for number in units]
    return CsvTable(found, table, times, notes)
