"""CSV tables: one column per neuron, with or without columns of time stamps and counters."""

from dataclasses import replace

import numpy as np

from ...competition.tables import write_csv
from ...constants import SAMPLE_RATE
from ...files.atomic import whole_file
from ...files.csv import read_table
from ...text import header_cell
from .arrays import make_recording, only_one_array
from .description import sidecar

WRITTEN_TIME = "time (s)"


def read(path, options):
    """Recording of a table `(frame, neuron)`.

    Under the header 0 to n - 1, without time stamps and without a stated frame rate it is a table
    of the competition, which are all of 100 Hz.
    """
    only_one_array(path, options.variable)
    table = read_table(path, strict=False, all_cells=options.all_rois)
    names, unit, file_rate = table.names, options.unit, None
    if table.turned and options.orientation == "neuron-time":
        options = replace(options, orientation=None)  # it has been turned already
    turned = options.orientation == "neuron-time"
    one_row = len(table.values) == 1  # which contradicts no orientation
    if unit == "competition" or (
        unit is None and table.competition and options.frame_rate is None and not turned
    ):
        unit, file_rate = "competition", SAMPLE_RATE
    if turned:
        names = None  # the header numbers frames
    return make_recording(
        path,
        table.values,
        options,
        times=None if unit == "competition" else table.times,
        file_rate=file_rate,
        usual_orientation="time-neuron",
        orientation="time-neuron" if table.turned or (one_row and unit == "competition") else None,
        names=names,
        unit=unit,
        notes=table.notes,
    )


def write(path, prediction):
    """Write time stamps in s, then a column of rates per neuron, and a description beside it.

    Missing rates are empty cells. Digits suffice to give back every time stamp and float32 rate.
    What came in the competition's form goes out in it, without time stamps.
    """
    import pandas as pd

    if prediction.recording.unit == "competition":
        with sidecar(path, prediction):
            write_csv(path, prediction.table, prediction.names)
        return
    rates = np.asarray(prediction.table, np.float32)
    frame = pd.DataFrame(rates, columns=[header_cell(name) for name in prediction.names])
    times = [repr(float(time)) for time in prediction.times]
    frame.insert(0, WRITTEN_TIME, times, allow_duplicates=True)
    with sidecar(path, prediction), whole_file(path) as temporary:
        frame.to_csv(
            temporary, index=False, float_format="%.9g", lineterminator="\n", encoding="utf-8"
        )
