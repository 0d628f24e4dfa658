"""Read the arrays that were chosen, also where a recording comes in pieces, one for each trial."""

from dataclasses import asdict

import numpy as np

from ..inputs import times_in
from .array_names import FRAME_RATES, plain, time_unit
from .named_arrays import Found, choose


def parse_chosen(path, arrays, variable, read):
    """Child: what was chosen, then its arrays.

    Parameters
    ----------
    path, arrays, variable
        As for `choose`.
    read : function
        From a name to the array, or to a list of the pieces of a recording in several trials,
        neurons x frames each.
    """
    choice = choose(path, arrays, variable)
    yield "choice", asdict(choice)
    for role, name in choice.roles.items():
        array = read(name)
        if isinstance(array, list):
            axis = _axis([piece.shape for piece in array])
            lengths = [piece.shape[axis] for piece in array]
            if role == "traces":
                yield "segment_starts", [sum(lengths[:k]) for k in range(len(lengths))]
            array = np.concatenate(array, axis)
        if role == "times" and _only_counts(np.ravel(array[()]), name, arrays[name].unit):
            yield "counter", name
            continue
        if role == "times":
            array = times_in(np.asarray(array[()]), time_unit(name, arrays[name].unit))
        yield role, array


def rates_among(attributes, prefix=""):
    """`(name, float array)` of each attribute of an array, group or file that is a frame rate."""
    for name in attributes:
        if plain(name) in FRAME_RATES:
            number = np.asarray(attributes[name])
            if number.size == 1 and number.dtype.kind in "fiu":
                yield f"{prefix}{name}", number.reshape(()).astype(np.float64)


def _only_counts(values, name, unit):
    """Whether time stamps without a unit count the frames, from 0 or 1."""
    counted = values.size > 2 and values[0] in (0, 1) and bool((np.diff(values) == 1).all())
    return counted and unit is None and time_unit(name, "") == ""


def of_pieces(shapes):
    """A recording in pieces of these shapes, one for each trial, as one array; None if it is none.

    Vectors may be trials of one neuron or a neuron each; nobody can tell.
    """
    if not shapes or any(len(shape) != 2 or min(shape) < 1 for shape in shapes):
        return None
    if len(shapes) == 1:
        return Found(tuple(shapes[0]))
    axis = _axis(shapes)
    across = {shape[1 - axis] for shape in shapes}
    if len(across) != 1 or across == {1}:
        return None
    length, (width,) = sum(shape[axis] for shape in shapes), across
    dimensions = ("frame", "neuron") if axis == 0 else ("neuron", "frame")
    unequal = len({shape[axis] for shape in shapes}) > 1
    shape = (length, width) if axis == 0 else (width, length)
    return Found(shape, dimensions if unequal else None)


def _axis(shapes):
    """The axis of pieces along which time goes on: the one that differs, else the longer one."""
    if len({shape[0] for shape in shapes}) > 1:
        return 0
    if len({shape[1] for shape in shapes}) > 1:
        return 1
    return 0 if shapes[0][0] > shapes[0][1] else 1
