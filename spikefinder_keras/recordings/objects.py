"""What Python's own objects say of traces: rows, columns, names and time stamps of pandas'
DataFrame, pynapple's TsdFrame, xarray's DataArray, neo's signals, masked arrays and lists; and
which units their time stamps are in.

None of these libraries is imported: an object that is not there cannot be handed over.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from ..arrays import Array, Times
from ..errors import DataError, UsageError
from ..files.columns import NUMBER, TableOptions, arrange, dates, frame_columns
from ..labels import (
    RATES,
    frames_with_holes,
    names_pieces,
    plain,
    scale_of,
    starts_of,
    time_unit,
    unit_of_time,
)
from ..text import counted, one_line
from .options import ORIENTATIONS
from .recording import LazyTable
from .segments import stated_starts

TIME_DIMENSIONS = (
    "time", "times", "t", "timestamp", "timestamps", "frame", "frames", "sample", "samples",
)  # fmt: skip
NEURON_DIMENSIONS = (
    "neuron", "neurons", "unit", "units", "unit_id", "cell", "cells", "cell_id", "roi", "rois",
    "roi_id", "component", "components", "column", "columns",
)  # fmt: skip
"""Names of dimensions, as xarray's programs give them (Minian has unit_id and frame), in lower
case."""


@dataclass(frozen=True)
class Input:
    """Traces, and what the object that holds them says of them: the orientation where it is
    certain, the one that is usual for such an object, the labels of rows and columns, certain time
    stamps in s, `(frame,)`, the frame rate in Hz, frames with which segments begin, and what the
    frames count to, `(frame,)` from 0."""

    values: Array | LazyTable
    orientation: str | None = None
    usual: str | None = None
    labels: tuple[Any, Any] = (None, None)
    times: Times | None = None
    notes: tuple[str, ...] = ()
    frame_rate: float | None = None
    starts: tuple[int, ...] = (0,)
    frames: Array | None = None


def as_input(
    traces: Any,
    source: str,
    column: str | None = None,
    *,
    turned: bool = False,
    variable: str | None = None,
) -> Input:
    """The `Input` of whatever holds traces; `column` names that of a table which says where its
    segments begin, `variable` is what is read of several, and `turned` that its rows are neurons.
    `DataError` if it is no rectangular table of numbers."""
    if hasattr(traces, "collect") and hasattr(
        traces, "collect_schema"
    ):  # a table of polars that is not computed yet
        traces = traces.collect()
    if callable(getattr(traces, "read", None)):
        raise DataError(f"{source} is an open file; give its path")
    if hasattr(traces, "visititems"):  # of HDF5
        names = ", ".join(map(str, list(traces.keys())[:5]))
        raise DataError(f"{source} is a group ({names}); give one of its arrays, or its path")
    # Of these each says something else of itself; who knows most goes first.
    for there, read in (
        # A mask is more than numpy's array knows of itself, and is lost in every conversion.
        (isinstance(traces, np.ma.MaskedArray), _from_masked),
        (hasattr(traces, "data_vars"), _from_dataset),
        (hasattr(traces, "dims") and hasattr(traces, "coords"), _from_xarray),
        (hasattr(traces, "magnitude") and hasattr(traces, "times"), _from_neo),
        (hasattr(traces, "t") and hasattr(traces, "values"), _from_pynapple),
    ):
        if there:
            _no_choice(source, variable)
            return read(traces, source)
    columns = _columns_of(traces)
    options = TableOptions(strict=False, segments=column, turned=turned, rows=variable)
    if columns is None and not hasattr(traces, "columns"):
        _no_choice(source, variable)
    if column is not None and columns is None and not hasattr(traces, "columns"):
        stated_starts(column, 0)  # says that there is no such column
    if columns is not None:
        for name, values in columns.items():
            found = _numbers_of(values) if values.dtype.kind == "O" else None
            columns[name] = values if found is None else found
        texts = {n: [*map(str, v)] for n, v in columns.items() if v.dtype.kind in "OUSMm"}
        numbers = {n: v for n, v in columns.items() if n not in texts}
        return _from_columns(numbers, texts, order=[*columns], source=source, options=options)
    if hasattr(traces, "iloc"):
        return _from_pandas(traces, source, options)
    return Input(_from_list(traces, source))


def _no_choice(source: str, variable: str | None) -> None:
    if variable is not None:
        raise UsageError(f"{source} has nothing to choose from; leave {variable} out (variable)")


def _from_masked(traces: Any, source: str) -> Input:
    values = traces.astype(np.result_type(traces.dtype, np.float32))
    count = np.ma.count_masked(traces)
    notes = (f"{counted(int(count), 'masked value')}: taken as missing",) if count else ()
    return Input(np.ma.filled(values, np.nan), notes=notes)


def _from_pynapple(traces: Any, source: str) -> Input:
    labels = (None, getattr(traces, "columns", None))
    times = np.asarray(traces.t, np.float64)
    # What lies between two epochs was cut out.
    begin = np.ravel(getattr(getattr(traces, "time_support", None), "start", []))
    firsts: Iterable[Any] = ()
    if len(begin) > 1:
        firsts = np.unique(np.searchsorted(times, begin))
    starts = (0, *(int(k) for k in firsts if 0 < k < times.size))
    values = np.asarray(traces.values)
    return Input(values, "time-neuron", labels=labels, times=times, starts=starts)


def _from_neo(traces: Any, source: str) -> Input:
    """neo's signals are time x channel, and know their times with a unit."""
    names = dict(getattr(traces, "array_annotations", {})).get("channel_names")
    values = np.asarray(traces.magnitude)
    return Input(values, "time-neuron", labels=(None, names), times=seconds(traces.times))


def _from_dataset(traces: Any, source: str) -> Input:
    # Times and trials are coordinates, whether they are called so or not.
    beside = [n for n, a in traces.data_vars.items() if a.ndim == 1]
    traces = traces.set_coords([n for n in beside if time_unit(n) is not None or names_pieces(n)])
    tables = [name for name, array in traces.data_vars.items() if array.ndim in (1, 2, 3)]
    largest = [name for name in tables if traces[name].ndim == max(traces[n].ndim for n in tables)]
    if len(largest) != 1:
        raise UsageError(
            f"{source} holds several arrays ({', '.join(map(str, tables)) or 'none'}); give one, "
            f"such as ds[{str(next(iter(tables), 'dff'))!r}]"
        )
    found = _from_xarray(traces[largest[0]], source)
    return replace(found, notes=(f"traces from {largest[0]}", *found.notes))


def _from_xarray(traces: Any, source: str) -> Input:
    trials = [name for name in traces.dims if names_pieces(name)] if traces.ndim == 3 else []
    if len(trials) == 1:
        return _from_trials(traces, trials[0], source)
    orientation, labels = orientation_of(traces.dims), []
    for name in traces.dims:
        there = name in traces.coords
        labels.append(np.asarray(traces.coords[name].values) if there else None)
    times, along = None, None
    starts: tuple[int, ...] = (0,)
    # Along one dimension there may be several coordinates, as frame numbers and times.
    for name, coordinate in traces.coords.items():
        unit = time_unit(name)
        if coordinate.ndim != 1 or coordinate.dims[0] not in traces.dims:
            continue
        if unit is not None and times is None:
            times = times_in(coordinate.values, coordinate.attrs.get("units") or unit)
            along = traces.dims.index(coordinate.dims[0])
        elif names_pieces(name):
            starts = starts_of(coordinate.values)
    if along is not None and traces.ndim == 2:
        orientation = ORIENTATIONS[along]
    if len(labels) == 1:
        labels, orientation = [labels[0], None], "time-neuron"
    rows, columns, *_ = [*labels, None, None]
    rates = [value for name, value in traces.attrs.items() if plain(name) in RATES]
    return Input(
        np.asarray(traces.values),
        orientation,
        labels=(rows, columns),
        times=times,
        frame_rate=rates[0] if len(rates) == 1 else None,
        starts=starts,
    )


def _from_trials(traces: Any, trial: Any, source: str) -> Input:
    """An xarray of trials, one after another."""
    rest = [name for name in traces.dims if name != trial]
    first = _from_xarray(traces.isel({trial: 0}), source)
    if first.orientation is None:
        raise DataError(
            f"{source} has the dimensions {', '.join(map(str, traces.dims))}; call them trial, "
            "neuron and time"
        )
    axis = ORIENTATIONS.index(first.orientation)
    turned = traces.transpose(trial, rest[axis], rest[1 - axis])
    count, frames = turned.shape[:2]
    values = np.asarray(turned.values).reshape(count * frames, -1)
    return replace(
        first,
        values=values,
        orientation="time-neuron",
        labels=(None, first.labels[1 - axis]),
        times=None if first.times is None else np.tile(first.times, count),
        starts=tuple(range(0, count * frames, frames)),
    )


def _columns_of(traces: Any) -> dict[str, Array] | None:
    """The columns of a table by name: of polars, a dict, or numpy's records; None for others."""
    if hasattr(traces, "get_columns"):  # polars'
        return {str(each.name): np.asarray(each.to_numpy()) for each in traces.get_columns()}
    names = getattr(getattr(traces, "dtype", None), "names", None)
    if names and len(names) > 1:
        return {str(name): np.asarray(traces[name]) for name in names}
    if isinstance(traces, dict):
        return {str(name): np.asarray(_on_host(trace, name)) for name, trace in traces.items()}
    return None


def _from_columns(
    numbers: dict[str, Array],
    texts: dict[str, list[str]],
    *,
    order: Sequence[str],
    source: str,
    options: TableOptions,
) -> Input:
    """Columns go the way that those of a CSV file go."""
    shapes = {v.shape for v in numbers.values()} | {(len(v),) for v in texts.values()}
    kinds = {values.dtype.kind for values in numbers.values()}
    if tables := [name for name, values in numbers.items() if values.ndim == 2]:
        raise DataError(
            f"{source} holds tables ({', '.join(tables[:4])}); give one of them, not all together"
        )
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 or not kinds <= set("fiub"):
        raise DataError(
            f"{source} has columns of different length or kind; give each neuron as many frames, "
            "NaN where missing"
        )
    [(rows,)] = shapes
    columns = {
        name: np.asarray(numbers[name], np.float64) if name in numbers else np.full(rows, np.nan)
        for name in order
    }
    table = arrange(source, columns, options, texts=texts)
    if table.turned:
        labels, notes = (table.names, None), tuple(table.notes)
        return Input(table.values.T, "neuron-time", labels=labels, times=table.times, notes=notes)
    return Input(
        table.values,
        None if table.times is None else "time-neuron",
        "time-neuron",
        (None, table.names),
        table.times,
        tuple(table.notes),
        table.frame_rate,
        table.starts,
        table.frames,
    )


def _from_pandas(traces: Any, source: str, options: TableOptions) -> Input:
    columns = getattr(traces, "columns", None)  # a Series has none
    if stacked := _stacked(traces, source):
        return stacked
    index = traces.index
    if columns is not None and _has_names(traces, options.turned):
        named = [
            name is not None and _kind(index.get_level_values(k)) in "fiuO"
            for k, name in enumerate(index.names)
        ]
        # What an index is called says as much as the header of a column.
        if index.nlevels > 1 or (named[0] and unit_of_time(index.name) is not None):
            traces = traces.reset_index()
        found = {_title(name): traces[name] for name in traces.columns}
        read = {name: _numbers_of(values) for name, values in found.items()}
        numbers = {name: values for name, values in read.items() if values is not None}
        texts = {n: [*map(str, values)] for n, values in found.items() if n not in numbers}
        given = _from_columns(numbers, texts, order=[*found], source=source, options=options)
        if given.orientation == "neuron-time":
            return replace(given, labels=(index, None)) if _kind(index) == "O" else given
        if given.times is None and len(index) == len(given.values):
            given = replace(given, times=as_times(index), labels=(index, given.labels[1]))
        return given
    try:
        values = traces.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        text = [] if columns is None else [
            str(name)
            for name, dtype in zip(columns, traces.dtypes, strict=True)
            if getattr(dtype, "kind", "O") not in "fiub"
        ]  # fmt: skip
        which = f" in the columns {', '.join(text[:5])}" if text else ""
        raise DataError(
            f"{source} is a table with values that are no numbers{which}; leave these out"
        ) from None
    unit = time_unit(index.name) if index.name is not None and _kind(index) in "fiuMm" else None
    times = as_times(index) if unit is None else times_in(index, unit)
    certain = None if times is None else "time-neuron"
    if columns is None:
        certain = "time-neuron"
    elif certain is None and as_times(columns) is not None and _kind(columns) in "Mm":
        certain = "neuron-time"
    names = columns
    if columns is None and isinstance(traces.name, str):
        names = [traces.name]
    return Input(values, certain, "time-neuron", (index, names), times)


def _has_names(traces: Any, turned: bool) -> bool:
    """Whether some columns of pandas' table are called by text, each by its own, and not more than
    there are rows, as frames may be, unless what they are called or hold tells them apart."""
    names = [_title(name) for name in traces.columns]
    texts = any(isinstance(name, str) for name in traces.columns) or traces.columns.nlevels > 1
    if not texts or len(set(names)) < len(names):
        return False
    frames = frame_columns(names, len(traces))
    tells = frames is not None and (frames.sure or turned)
    if tells or len(names) <= len(traces):
        return True
    return any(_numbers_of(traces[name]) is None for name in traces.columns)


def _title(name: Any) -> str:
    """What a column of pandas' table is called; of several levels as two header rows of a file."""
    return " ".join(filter(None, map(str, name))) if isinstance(name, tuple) else str(name)


def _numbers_of(values: Any) -> Array | None:
    """A column of a table as numbers, which may be stored as objects; None for dates and text."""
    if getattr(values.dtype, "kind", "O") not in "fiubO":
        return None
    try:
        if not hasattr(values, "to_numpy"):
            return np.asarray(values, np.float64)
        found: Array = values.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        return None
    return found


def _stacked(traces: Any, source: str) -> Input | None:
    """Arrays in the cells of pandas' tables, a trace for each neuron, as the Allen Institute has
    them; None for others."""
    frame = traces.to_frame() if getattr(traces, "columns", None) is None else traces
    found = [
        name
        for name in frame.columns
        if len(frame) and frame[name].dtype == object and np.ndim(frame[name].iloc[0]) == 1
    ]
    if len(found) > 1:
        raise UsageError(
            f"{source} has several columns of arrays ({', '.join(map(str, found))}); give one, "
            f"such as table[{found[0]!r}]"
        )
    if not found:
        return None
    return Input(
        _from_list(list(frame[found[0]]), source), "neuron-time", labels=(frame.index, None)
    )


def _on_host(traces: Any, source: str) -> Any:
    """An array that numpy can read, of one that may be on a device or hold gradients."""
    try:
        for step in ("detach", "cpu"):  # torch's
            if hasattr(traces, step):
                traces = getattr(traces, step)()
        found = np.asarray(traces)
    except ValueError:  # rows of different length
        raise
    except Exception as error:  # each library has its own
        raise DataError(
            f"{source} cannot be copied from where it is ({one_line(error)[:120]}); give a numpy "
            "array of it: x.get(), x.detach().cpu().numpy()"
        ) from None
    # Short floats of machine learning are no types of numpy's.
    named = found.dtype.kind == "V" and "float" in found.dtype.name
    return found.astype(np.float32) if named else found


def _from_list(traces: Any, source: str) -> Array:
    traces = list(traces) if hasattr(traces, "__next__") else traces  # a generator
    try:
        values = np.asarray(_on_host(traces, source))
    except ValueError:
        values = None
    # Numbers among other objects are no trace, but for what a list holds as missing.
    if (
        values is not None
        and values.dtype == object
        and values.ndim
        and (isinstance(traces, list | tuple) or any(map(np.ndim, values)))
    ):
        try:
            rows = [_on_host(row, source) for row in values.tolist()]
            values = np.array(rows, np.float64)  # None becomes NaN
        except (TypeError, ValueError):
            values = None
    if values is None:
        raise DataError(
            f"{source} is no table: its rows are of different length, or hold no numbers; give "
            "every neuron as many frames, NaN where missing"
        )
    return values


def orientation_of(dimensions: Sequence[Any] | None) -> str | None:
    """What the names of two dimensions say about rows and columns; None where they say nothing."""
    if dimensions is None or len(dimensions) != 2:
        return None
    is_time, is_neuron = (
        [str(name).lower() in known for name in dimensions]
        for known in (TIME_DIMENSIONS, NEURON_DIMENSIONS)
    )
    # One name that is known decides: the other may be anything, such as "x".
    if (is_time[0] and not is_time[1]) or (is_neuron[1] and not is_neuron[0]):
        return "time-neuron"
    if (is_time[1] and not is_time[0]) or (is_neuron[0] and not is_neuron[1]):
        return "neuron-time"
    return None


# Time stamps


def _kind(labels: Any) -> str:
    return getattr(getattr(labels, "dtype", None), "kind", "O")


def as_times(labels: Any) -> Times | None:
    """Time stamps in s that the labels of an axis are, or None if they only count or name: dates
    and time differences always are time stamps, numbers if they increase in other steps than 1."""
    if labels is None or len(labels) < 2:
        return None
    kind = _kind(labels)
    if kind in "Mm":
        return seconds(labels)
    if kind not in "fiu":
        return None
    values = np.asarray(labels, np.float64)
    # Labels in equal steps of whole numbers count frames, whatever they are called.
    if not np.isfinite(values).all() or not (np.diff(values) > 0).all():
        return None
    return None if frames_with_holes(values) is not None else values


def times_in(values: Any, unit: str | None = None) -> Times:
    """Time stamps in s of those in another unit, by its name; without a known one they are in s."""
    if _kind(values) not in "fiu":
        return seconds(values)
    return seconds(values) * (scale_of(unit or "s") or 1.0)


def seconds(times: Any) -> Times:
    """Time stamps as float64 s: numbers as they are, or in their own unit where they have one;
    dates and time differences in s since the first of them, or since 0."""
    if hasattr(times, "magnitude") and hasattr(times, "units"):  # quantities' and pint's
        unit = str(getattr(times, "dimensionality", times.units))
        scale = scale_of(unit) or scale_of(str(times.units)) or 1.0
        return np.ravel(np.asarray(times.magnitude, np.float64)) * scale
    values = times if hasattr(times, "tz") else np.ravel(times)  # pandas' dates know their zone
    if _kind(values) not in "OMm":
        return np.asarray(values, np.float64)
    import pandas as pd

    found = pd.Series(values)
    first = found.iloc[0] if len(found) else None
    if isinstance(first, timedelta):
        found = pd.to_timedelta(found)
    elif isinstance(first, date):
        found = pd.to_datetime(found, utc=True)
    if found.dtype.kind == "M":
        found = found - found.min()
    if found.dtype.kind == "m":
        return found.dt.total_seconds().to_numpy(np.float64)
    return found.to_numpy(np.float64)


def stamps_of(times: Any, source: str) -> Times:
    """Time stamps in s of what a user gives; `DataError` if they are none."""
    try:
        if not hasattr(times, "tz") and np.asarray(times).dtype.kind in "UST":
            texts = [str(each) for each in np.ravel(times)]
            stamps = dates(texts)
            if stamps is None and all(map(NUMBER.fullmatch, texts)):
                stamps = np.array(texts, np.float64)
        else:
            stamps = seconds(times if _kind(times) != "O" or hasattr(times, "iloc") else [*times])
    except Exception:  # whatever object stands for times
        stamps = None
    if stamps is None:
        raise DataError(f"{source}: the times are no numbers and no dates; give them in s (times)")
    return stamps
