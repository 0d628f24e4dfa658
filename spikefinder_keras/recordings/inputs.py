"""Tables of Python's own kinds: what their rows, columns, names and time stamps are.

pandas' DataFrame, pynapple's TsdFrame, xarray's DataArray, masked arrays and lists. None of these
libraries is imported: an object that is not there cannot be handed over.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from ..errors import DataError
from ..files.csv import SECONDS
from .lazy import Stored

TIMES = ("time", "times", "t", "timestamp", "timestamps")
TIME_DIMENSIONS = (*TIMES, "frame", "frames", "sample", "samples")
NEURON_DIMENSIONS = (
    *("neuron", "neurons", "unit", "units", "unit_id", "cell", "cells", "cell_id", "roi", "rois"),
    *("roi_id", "component", "components", "column", "columns"),
)
"""Names of dimensions, as xarray's programs give them, in lower case."""


@dataclass(frozen=True)
class Table:
    """An array and what its own kind tells of it.

    Attributes
    ----------
    values : array
    orientation : str or None
        Known for certain.
    usual : str or None
        What its kind has as a rule.
    labels : tuple of array or None
        Of rows and columns.
    times : float array `(frame,)` or None
        Time stamps in s, where it has them for certain.
    notes : tuple of str
    """

    values: np.ndarray
    orientation: str | None = None
    usual: str | None = None
    labels: tuple = (None, None)
    times: np.ndarray | None = None
    notes: tuple = ()


def as_table(traces, source):
    """The `Table` of whatever holds traces.

    Raises
    ------
    DataError
        If it is no rectangular table of numbers.
    """
    if isinstance(traces, np.ma.MaskedArray):
        values = traces.astype(np.result_type(traces.dtype, np.float32))
        return Table(values.filled(np.nan), notes=_masked(np.ma.count_masked(traces)))
    if isinstance(traces, np.ndarray | Stored):
        return Table(traces)
    if hasattr(traces, "dims") and hasattr(traces, "coords"):  # xarray
        return _of_dimensions(traces)
    if hasattr(traces, "t") and hasattr(traces, "values"):  # pynapple
        columns = getattr(traces, "columns", None)
        return Table(
            np.asarray(traces.values),
            "time-neuron",
            labels=(None, columns),
            times=np.asarray(traces.t, np.float64),
        )
    if hasattr(traces, "iloc"):  # pandas
        return _of_pandas(traces, source)
    return Table(_of_list(traces, source))


def _masked(count):
    return (f"{count} masked values: taken as missing",) if count else ()


def _of_dimensions(traces):
    orientation, times, labels = orientation_of(traces.dims), None, []
    for name in traces.dims:
        there = name in traces.coords
        label = np.asarray(traces.coords[name].values) if there else None
        if there and str(name).lower() in TIMES:
            times = times_in(label, traces.coords[name].attrs.get("units"))
        labels.append(label)
    if len(labels) == 1:
        labels, orientation = [labels[0], None], "time-neuron"
    return Table(np.asarray(traces.values), orientation, labels=tuple(labels[:2]), times=times)


def times_in(values, unit=None):
    """Time stamps in s of those in another unit, by its name; without a known one they are in s."""
    values = np.asarray(values)
    scale = SECONDS.get(str(unit).strip().lower(), 1.0) if values.dtype.kind in "fiu" else 1.0
    return seconds(values) * scale


def orientation_of(dimensions):
    """What the names of two dimensions say about rows and columns; None where they say nothing."""
    if dimensions is None or len(dimensions) != 2:
        return None
    is_time, is_neuron = (
        [str(name).lower() in known for name in dimensions]
        for known in (TIME_DIMENSIONS, NEURON_DIMENSIONS)
    )
    if (is_time[0] and not is_time[1]) or (is_neuron[1] and not is_neuron[0]):
        return "time-neuron"
    if (is_time[1] and not is_time[0]) or (is_neuron[0] and not is_neuron[1]):
        return "neuron-time"
    return None


def _of_pandas(traces, source):
    try:
        values = traces.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        columns = [
            str(name)
            for name, kind in zip(getattr(traces, "columns", []), _kinds(traces), strict=False)
            if kind not in "fiub"
        ]
        which = f" in the columns {', '.join(columns[:5])}" if columns else ""
        raise DataError(
            f"{source} is a table with values that are no numbers{which}; leave these out"
        ) from None
    index = traces.index
    named = str(index.name).lower() in TIMES and _kind(index) in "fiuMm"
    times = seconds(index) if named else as_times(index)
    known = None if times is None else "time-neuron"
    columns = getattr(traces, "columns", None)
    if columns is None:  # a Series
        known = "time-neuron"
    elif known is None and as_times(columns) is not None and _kind(columns) in "Mm":
        known = "neuron-time"
    return Table(values, known, "time-neuron", (index, columns), times)


def _kinds(traces):
    return [getattr(kind, "kind", "O") for kind in traces.dtypes]


def _kind(labels):
    return getattr(getattr(labels, "dtype", None), "kind", "O")


def _of_list(traces, source):
    try:
        values = np.asarray(traces)
    except ValueError:
        values = None
    if values is not None and values.dtype == object and isinstance(traces, list | tuple):
        try:
            values = np.array(traces, np.float64)  # None becomes NaN
        except (TypeError, ValueError):
            values = None
    if values is None:
        raise DataError(
            f"{source} is no table: its rows are of different length, or hold no numbers; give "
            "every neuron as many frames, NaN where missing"
        )
    return values


def as_times(labels):
    """Time stamps in s that the labels of an axis are, or None if they only count or name.

    Parameters
    ----------
    labels : array_like or None
        Dates and time differences always are time stamps; numbers if they increase in other steps
        than 1.
    """
    if labels is None or len(labels) < 2:
        return None
    kind = _kind(labels)
    if kind in "Mm":
        return seconds(labels)
    if kind not in "fiu":
        return None
    values = np.asarray(labels, np.float64)
    steps = np.diff(values)
    if not np.isfinite(values).all() or not (steps > 0).all() or (steps == 1).all():
        return None
    return values


def seconds(times):
    """Time stamps as float64 s; dates and time differences count from the first, or from 0.

    Parameters
    ----------
    times : array_like
        Numbers are s already.
    """
    if getattr(times, "tz", None) is not None:  # of pandas
        times = times.tz_convert("UTC").tz_localize(None)
    values = np.asarray(times)
    if values.dtype == object and values.size:
        values = _of_objects(values.ravel())
    if values.dtype.kind == "M":
        known = values[~np.isnat(values)]
        return _from_nanoseconds(values - (known.min() if known.size else values))
    if values.dtype.kind == "m":
        return _from_nanoseconds(values)
    return np.asarray(values, np.float64).ravel()


def _of_objects(values):
    first = values[0]
    if isinstance(first, datetime):
        return np.array([v.timestamp() - first.timestamp() for v in values])
    if isinstance(first, timedelta):
        return np.array([v.total_seconds() for v in values])
    if isinstance(first, date):
        return values.astype("datetime64[D]")
    return values


def _from_nanoseconds(differences):
    result = differences.astype("timedelta64[ns]").astype(np.float64) / 1e9
    result[np.isnat(differences)] = np.nan
    return result.ravel()


def as_names(labels):
    """Names as text; whole numbers without a decimal point."""
    names = []
    for label in labels:
        label = label.item() if isinstance(label, np.generic) else label
        if isinstance(label, bytes):
            label = label.decode(errors="replace")
        whole = isinstance(label, float) and label.is_integer()
        names.append(str(int(label)) if whole else str(label))
    return tuple(names)
