"""CSV tables: one column per neuron, with or without a first column of time stamps."""

from dataclasses import replace

import numpy as np

from ...competition.tables import read_table, write_csv
from ...constants import SAMPLE_RATE
from ...errors import DataError
from ...files.whole_files import whole_file
from .arrays import make_recording, only_one_array
from .description import sidecar

TIME_NAMES = ("time", "time (s)", "times", "t", "timestamp", "timestamps", "timestamp (s)")
"""Headers of a first column that holds time stamps in s, in lower case."""

WRITTEN_TIME = "time (s)"


def read(path, options):
    """Recording of a table `(frame, neuron)`.

    Without time stamps and without a stated frame rate it is a table of the competition, which are
    all of 100 Hz.
    """
    only_one_array(path, options.variable)
    names, table = read_table(path)
    times, unit, file_rate = None, None, None
    if names[0].lstrip("# ").lower() in TIME_NAMES:  # numpy.savetxt puts # before the header
        times, table, names = table[:, 0], table[:, 1:], names[1:]
        if not names:
            raise DataError(f"{path} has time stamps but no neuron; give each neuron a column")
        missing = np.flatnonzero(np.isnan(times))
        if missing.size:
            raise DataError(f"{path}, row {missing[0] + 2}: no time stamp; give one in s")
    elif options.frame_rate is None:
        unit, file_rate = "competition", SAMPLE_RATE
        if options.orientation is None:  # the competition's form says what rows and columns are
            options = replace(options, orientation="time-neuron")
    if options.orientation == "neuron-time":
        names = None  # the header numbers frames
    return make_recording(
        path,
        table,
        options,
        times=times,
        file_rate=file_rate,
        usual_orientation="time-neuron",
        names=names,
        unit=unit,
    )


def write(path, prediction):
    """Write time stamps in s, then a column of rates per neuron, and a description beside it.

    Missing rates are empty cells. Digits suffice to give back every time stamp and float32 rate.
    What came in the competition's form goes out in it, without time stamps.
    """
    import pandas as pd

    if prediction.recording.unit == "competition":
        with sidecar(path, prediction):
            write_csv(path, prediction.rates, prediction.names)
        return
    rates = np.asarray(prediction.rates, np.float32)
    frame = pd.DataFrame(rates, columns=list(prediction.names))
    times = [repr(float(time)) for time in prediction.times]
    frame.insert(0, WRITTEN_TIME, times, allow_duplicates=True)
    with sidecar(path, prediction), whole_file(path) as temporary:
        frame.to_csv(
            temporary, index=False, float_format="%.9g", lineterminator="\n", encoding="utf-8"
        )
