"""What an NWB file says of the indicator and the animal: it tells how late calcium answers."""

from ...files.sandbox import Unreadable
from .hdf5 import resolve

LONGEST = 100
"""Letters of a name."""

UNKNOWN = ("", "unknown", "none", "n/a", "na", "unspecified")


def about(series):
    """The indicator of a series' imaging plane and the species, as far as the file names them.

    Parameters
    ----------
    series : nwb.Series

    Returns
    -------
    dict of str to str
        Of `indicator` and `species`; an indicator only if all planes in question name the same.
    """
    file = series.group.file
    _, table = series.rois
    planes = []
    if table is not None:
        planes = [_group(file, f"{table.name}/imaging_plane")]
    if planes in ([], [None]):
        every = _group(file, "general/optophysiology")
        planes = [] if every is None else [_group(file, f"{every.name}/{name}") for name in every]
    indicators = {_text(file, plane, "indicator") for plane in planes if plane is not None}
    found = {"species": _text(file, _group(file, "general/subject"), "species")}
    if len(indicators) == 1:
        found["indicator"] = indicators.pop()
    return {name: text for name, text in found.items() if text.lower() not in UNKNOWN}


def _group(file, path):
    try:
        item = resolve(file, path)
    except Unreadable:  # in another file
        return None
    return item if hasattr(item, "keys") else None


def _text(file, group, name):
    """A text of one line in a group; empty if there is none."""
    if group is None:
        return ""
    try:
        item = resolve(file, f"{group.name}/{name}")
    except Unreadable:
        return ""
    if item is None or getattr(item, "shape", None) != () or item.dtype.kind not in "OS":
        return ""
    value = item[()]
    value = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return " ".join(value.split())[:LONGEST]
