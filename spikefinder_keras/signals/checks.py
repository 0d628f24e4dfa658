"""Arguments of the preprocessing, checked: what cannot be is an error that says what to give."""

import math
import operator

import numpy as np

from ..arrays import ArrayLike, Trace
from ..errors import DataError, UsageError

LARGEST_OUTPUT = 100_000_000
"""Samples; eleven days at 100 Hz."""


def check_rate(rate: float | str) -> float:
    """Return `rate` in Hz as a float if it is a positive finite number, else `UsageError`."""
    try:
        value = float(rate)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"a rate of {rate} Hz is impossible; give a positive number of Hz")
    return value


def check_count(samples: int) -> int:
    """Return a number of samples as an int if it is possible, else `UsageError`."""
    try:
        # Not `int`, which would cut 2.7 to 2.
        value = operator.index(samples)
    except TypeError:
        value = -1
    if not 0 <= value <= LARGEST_OUTPUT:
        raise UsageError(f"{samples} bins are impossible; give a whole number from 0 on")
    return value


def check_trace(trace: ArrayLike) -> Trace:
    """Return a trace `(frame,)` as float64 if it is one of finite numbers, else `DataError`."""
    trace = check_numbers(trace, "trace")
    if trace.size == 0:
        raise DataError("the trace is empty; give at least one sample")
    return trace


def check_numbers(values: ArrayLike, name: str) -> Trace:
    """Return finite numbers `(value,)` as float64, else `DataError`; `name` says what they are."""
    try:
        numbers = np.asarray(values)
        if np.iscomplexobj(numbers):  # numpy would drop the imaginary part with a warning alone
            raise TypeError
        numbers = numbers.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"the {name} must be an array of real numbers") from error
    if numbers.ndim != 1:
        raise DataError(
            f"the {name} must have one dimension, not shape {numbers.shape}; give one neuron's"
        )
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise DataError(
            f"the {name} must be finite, but value {bad[0]} (counted from 0) is {numbers[bad[0]]}; "
            "cut it off or interpolate it"
        )
    return numbers
