"""Which array of a file is what: fluorescence, its time stamps, frame rate, neuropil and cells.

`.npz`, `.mat`, HDF5, Zarr and pickled dicts only differ in how an array is read. What an array is
tell its shape, its neighbours and its name together; where these leave two readings, the user is
asked. An array of a struct or group has a dotted name, `data.dff`.
"""

import functools
import math
import re
from dataclasses import dataclass, field

from ...errors import DataError, UsageError
from ..inputs import orientation_of
from .array_names import (
    CELLS,
    COMPONENTS,
    DECONVOLVED,
    DENOISED,
    FRAME_RATES,
    IDS,
    NEUROPIL,
    OTHERS,
    RAW,
    RELATIVE,
    RESIDUALS,
    TRACES,
    UNITS,
    plain,
    time_unit,
)


@dataclass(frozen=True)
class Found:
    """An array in a file: its shape, and where it tells these, its dimensions' names and unit."""

    shape: tuple
    dimensions: tuple | None = None
    unit: str | None = None


@dataclass
class Choice:
    """What was chosen.

    Attributes
    ----------
    roles : dict of str to str
        Names in the file under `traces`, and where there are such also `residuals` (to be added),
        `times`, `rate`, `neuropil`, `cells` (1 for cells), `components` (numbers of the cells) and
        `ids` (of the neurons).
    unit : str or None
    orientation : str or None
        Of the traces, where their name or dimensions tell.
    others : tuple of str
        Further arrays that could have been fluorescence.
    """

    roles: dict
    unit: str | None = None
    orientation: str | None = None
    others: list = field(default_factory=list)


def listed(arrays, most=12):
    """Names and shapes for a message."""
    names = [f"{name} {'x'.join(map(str, found.shape)) or '1'}" for name, found in arrays.items()]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if names[most:] else "")


def choose(path, arrays, variable=None):
    """Say which array of a file is fluorescence, time stamps, frame rate and so on.

    Parameters
    ----------
    path : str or Path
        Named in errors.
    arrays : dict of str to Found
        The arrays of real numbers, by name.
    variable : str, optional
        Name of the fluorescence array.

    Returns
    -------
    Choice

    Raises
    ------
    DataError
        If there is no fluorescence, or none but deconvolved or denoised.
    UsageError
        If it is not plain which, or there is no `variable`.
    """
    view = _View(path, arrays)
    traces = view.named(variable) if variable is not None else view.fluorescence()
    unit = UNITS.get(plain(traces))
    roles = {"traces": traces}
    near = view.neighbours(traces)
    shape = arrays[traces].shape
    if plain(traces) in DENOISED:
        roles["residuals"] = view.residuals(traces)
        unit = "F"
    if plain(traces) == "yra":
        unit = "F"
    if unit == "F" or plain(traces) in TRACES:
        same = [n for n in near if plain(n) in NEUROPIL and arrays[n].shape == shape]
        if same and "residuals" not in roles:
            roles["neuropil"] = same[0]
    orientation = orientation_of(arrays[traces].dimensions)
    beside = [name for name in view.beside(traces) if name not in roles.values()]

    def sized(name):
        return math.prod(arrays[name].shape)

    by_role = {
        "cells": [n for n in beside if plain(n) in CELLS],
        "components": [n for n in beside if plain(n) in COMPONENTS],
        "ids": [n for n in beside if plain(n) in IDS and sized(n) in shape],
        # Stamps of the frame count first; single numbers are none.
        "times": sorted(
            [n for n in beside if time_unit(n) and (sized(n) > 1 or max(shape) == 1)],
            key=lambda n: sized(n) not in shape,
        ),
        # What another array has as its attribute is that one's.
        "rate": [
            n
            for n in beside
            if plain(n) in FRAME_RATES and (_group(n) == traces or _group(n) not in arrays)
        ],
    }
    if orientation:  # the coordinates of xarray have the names of the dimensions
        axis = 0 if orientation == "neuron-time" else 1
        own = arrays[traces].dimensions[axis]
        named = [n for n in near if n.rpartition(".")[2] == own and sized(n) == shape[axis]]
        by_role["ids"] = named + by_role["ids"]
    roles |= {role: names[0] for role, names in by_role.items() if names}
    if plain(traces) == "temporalweights":  # of EXTRACT
        orientation = "time-neuron"
    rest = [n for n in view.candidates() if n != traces and plain(n) in UNITS]
    return Choice(roles, unit, orientation, rest)


class _View:
    """A file's arrays, and questions about them."""

    def __init__(self, path, arrays):
        self.path, self.arrays = path, arrays
        self.listed = listed(arrays) or "nothing of numbers"

    def neighbours(self, name):
        """Arrays of the same group or struct."""
        group = _group(name)
        return [other for other in self.arrays if _group(other) == group]

    def beside(self, name):
        """Its own and its neighbours first, then arrays below, then those further up, then all."""
        group = _group(name)

        def distance(other):
            theirs = _group(other)
            if theirs in (group, name):
                return 0
            if theirs.startswith(group):
                return 1 + theirs.count(".")
            return 10 if group.startswith(theirs) else 20

        return sorted(self.arrays, key=distance)

    def is_background(self, name):
        """Whether `f` is CaImAn's temporal background, and no suite2p fluorescence `F`."""
        if re.split(r"[./]", name)[-1] != "f":
            return False
        names = {plain(n) for n in self.neighbours(name) if n != name}
        dimensions = self.arrays[name].dimensions
        alone = dimensions is not None and orientation_of(dimensions) is None
        return bool(names & {"c", "a", "b", "s", "yra", "cn"}) or alone

    @functools.cached_property
    def frame_counts(self):
        """Numbers of frames that time stamps or traces of known names have; may be empty."""
        sizes = {math.prod(f.shape) for n, f in self.arrays.items() if time_unit(n)}
        tables = [f.shape for n, f in self.arrays.items() if self._is_trace_name(n)]
        tables = [shape for shape in tables if len(shape) == 2 and min(shape) > 1]
        fitting = {size for size in sizes if size > 1 and any(size in s for s in tables)}
        return fitting or {max(shape) for shape in tables}

    def _is_trace_name(self, name):
        known = (*UNITS, *DECONVOLVED, *DENOISED, *RESIDUALS, *NEUROPIL)
        return plain(name) in known and not self.is_background(name)

    def fits(self, name):
        """Whether an array can be traces by its shape and its neighbours."""
        shape = self.arrays[name].shape
        longest = max(shape, default=0)
        if math.prod(shape) < 2 or (len(shape) > 2 and sum(size > 1 for size in shape) > 2):
            return plain(name) in UNITS and len(shape) > 0 and not self.frame_counts
        counts = self.frame_counts
        if sum(size > 1 for size in shape) == 1:  # a vector: beside tables a number for each cell
            return not counts or longest in counts
        return not counts or any(size in counts for size in shape)

    def candidates(self):
        """Arrays that can be fluorescence, in the file's order."""
        helpers = (*FRAME_RATES, *NEUROPIL, *CELLS, *COMPONENTS, *IDS, *OTHERS)
        processed = (*DECONVOLVED, *DENOISED, *RESIDUALS)
        return [
            name
            for name in self.arrays
            if plain(name) not in (*helpers, *processed)
            and not time_unit(name)
            and not self.is_background(name)
            and self.fits(name)
        ]

    def fluorescence(self):
        """The name of the fluorescence."""
        possible = self.candidates()
        depth = min((_group(n).count(".") for n in possible if plain(n) in UNITS), default=None)
        for names in (RELATIVE, RAW, TRACES):
            known = [n for n in possible if plain(n) in names and _group(n).count(".") == depth]
            if len(known) > 1:
                self._ask(known)
            if known:
                self._refuse_stale(known[0])
                return known[0]
        residual = self._denoised_with_residuals()
        if residual:
            return residual
        unknown = [n for n in possible if plain(n) not in UNITS]
        tables = [n for n in unknown if sum(size > 1 for size in self.arrays[n].shape) == 2]
        unknown = tables or unknown
        if len(unknown) > 1:
            self._ask(unknown)
        if unknown:
            return unknown[0]
        for name in self.arrays:
            if plain(name) in (*DECONVOLVED, *DENOISED, *RESIDUALS) or self.is_background(name):
                self.refuse_processed(name)
        raise DataError(
            f"{self.path} holds no array of traces (it has {self.listed}); save neurons x frames "
            "in it, or name an array (--variable)"
        )

    def _ask(self, names):
        raise UsageError(
            f"{self.path} holds several arrays; name the fluorescence (--variable) of "
            f"{listed({name: self.arrays[name] for name in names})}"
        )

    def _denoised_with_residuals(self):
        for name in self.arrays:
            if plain(name) == "yra" and self.arrays[name].dimensions is not None:
                return name  # of Minian, whose YrA is the whole trace
        for name in self.arrays:
            if plain(name) in DENOISED and self._residuals(name):
                self._refuse_stale(name)
                return name
        return None

    def _residuals(self, name):
        near = [n for n in self.neighbours(name) if plain(n) in RESIDUALS]
        same = [n for n in near if self.arrays[n].shape == self.arrays[name].shape]
        if near and not same:
            raise DataError(
                f"{self.path}: {name} is {self.arrays[name].shape}, but {near[0]} is "
                f"{self.arrays[near[0]].shape}; save both of the same run"
            )
        return same[0] if same else None

    def residuals(self, name):
        """What is to be added to denoised traces."""
        found = self._residuals(name)
        if found is None:
            self.refuse_processed(name)
        return found

    def _refuse_stale(self, name):
        """CaImAn's F_dff is not computed anew where its components change."""
        for other in self.neighbours(name):
            shapes = self.arrays[name].shape, self.arrays[other].shape
            if plain(name) == "fdff" and plain(other) == "c" and shapes[0] != shapes[1]:
                raise DataError(
                    f"{self.path}: {name} is {shapes[0]}, but {other} is {shapes[1]}: it is of an "
                    "earlier choice of components; run detrend_df_f in CaImAn again"
                )

    def named(self, variable):
        """The array that is asked for."""
        matches = [n for n in self.arrays if n == variable]
        matches = matches or [n for n in self.arrays if f".{n}".endswith(f".{variable}")]
        if len(matches) != 1:
            raise UsageError(
                f"{self.path} has no array {variable}; choose from {self.listed} (--variable)"
            )
        name = matches[0]
        if plain(name) in DENOISED and self._residuals(name):
            return name
        if plain(name) in (*DECONVOLVED, *DENOISED) or self.is_background(name):
            self.refuse_processed(name)
        return name

    def refuse_processed(self, name):
        """Raise `DataError` for an array that is no fluorescence any more."""
        raw = [n for n in self.arrays if plain(n) in UNITS and not self.is_background(n)]
        raw += [n for n in self.arrays if plain(n) == "yra"]
        refuse_processed(
            self.path,
            name,
            f" (it has {self.listed}" + (f"; use {raw[0]}" if raw and raw[0] != name else "") + ")",
            "a temporal background" if self.is_background(name) else None,
        )


def _group(name):
    return name.rpartition(".")[0]


def refuse_processed(path, name, there="", what=None):
    """Raise `DataError` if `name` says that its array is deconvolved or denoised already."""
    for names, each in (
        (DECONVOLVED, "deconvolved"),
        (DENOISED, "denoised"),
        (RESIDUALS, "only what denoising took away"),
    ):
        if what is None and plain(name) in names:
            what = f"{each} already" if names is not RESIDUALS else each
            if names is DENOISED:
                there = f" (C + YrA of CaImAn, YrA of Minian){there}"
    if what is not None:
        raise DataError(
            f"{path}: {name} is {what}; give the fluorescence or dF/F it was made from{there}"
        )
