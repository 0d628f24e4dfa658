"""HDF5: what is checked before a value is read, and plain files of arrays by their usual names.

Groups are listed two levels deep, as MATLAB 7.3, which is HDF5 too, keeps structs in them. No link
that leads out of a file is ever followed.
"""

import math

import numpy as np

from ...files.sandbox import LARGEST_ARRAY, Unreadable, check_size
from ..lazy import pick
from .arrays import from_named
from .chosen import of_pieces, parse_chosen, rates_among
from .named_arrays import Found
from .pieces import is_table

MOST_OBJECTS = 100_000
DEEPEST = 50
LEVELS = 2
"""Groups or structs around an array."""
MOST_PIECES = 10_000


def recognises(file):
    """Whether an open HDF5 file is one of plain arrays: any may be."""
    return True


def check_structure(file, links=False):
    """Raise `Unreadable` if anything in an open HDF5 file leads out of it, or never ends.

    Soft links, which NWB uses, lead nowhere else in a file without external links. With `links`
    such to other files may be there, and whoever reads must ask `resolve` for every object.
    """
    import h5py

    groups, objects = [(file, "", 0)], 0
    while groups:
        group, path, depth = groups.pop()
        if depth > DEEPEST:
            raise Unreadable(f"its groups are nested deeper than {DEEPEST}")
        for name in group:
            where = f"{path}/{name}"
            objects += 1
            if objects > MOST_OBJECTS:
                raise Unreadable(f"it holds more than {MOST_OBJECTS} objects")
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.SoftLink):
                continue
            if not isinstance(link, h5py.HardLink):
                if links:
                    continue
                raise Unreadable(f"{where} is a link to another file")
            item = group[name]
            if isinstance(item, h5py.Group):
                groups.append((item, where, depth + 1))
            elif isinstance(item, h5py.Dataset) and not links:
                check_own(item, where)


def resolve(file, path, depth=0):
    """The object at `path` in an open file, never outside it; None if there is none.

    Raises
    ------
    Unreadable
        If a link to another file lies on the way.
    """
    import h5py

    item, where = file, ""
    for name in filter(None, path.split("/")):
        link = item.get(name, getlink=True) if isinstance(item, h5py.Group) else None
        if link is None:
            return None
        where = f"{where}/{name}"
        if isinstance(link, h5py.SoftLink):
            if depth > DEEPEST:
                raise Unreadable(f"{where} is a link that never ends")
            base = "" if link.path.startswith("/") else where.rpartition("/")[0]
            item = resolve(file, f"{base}/{link.path}", depth + 1)
        elif isinstance(link, h5py.HardLink):
            item = item[name]
        else:
            raise Unreadable(f"{where} is a link to another file")
    return item


def check_own(dataset, where):
    """Raise `Unreadable` if a dataset takes its values from another file."""
    if dataset.is_virtual or dataset.id.get_create_plist().get_external_count():
        raise Unreadable(f"{where} takes its values from another file")


def checked(dataset, where):
    """Return `dataset` if it is an array of real numbers of a credible size, else `Unreadable`."""
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise Unreadable(f"{where} is no array")
    check_own(dataset, where)
    if dataset.dtype.kind not in "fiub":
        raise Unreadable(f"{where} holds {dataset.dtype} values, not real numbers")
    stored = dataset.id.get_storage_size()
    shape, largest = dataset.shape, None if is_table(dataset.shape) else LARGEST_ARRAY
    check_size(where, shape, dataset.dtype.itemsize, stored, dataset.chunks, largest)
    return dataset


def parse_rows(path, name, axis, numbers):
    """Child: some rows of a table in a file, see `pieces.bring`."""
    import h5py

    with h5py.File(path, "r") as file:
        yield "rows", pick(checked(resolve(file, name), name), axis, np.array(numbers))


def parse_hdf5(file, variable, reverse=False):
    """Child: the arrays of a recording in a file without a structure of its own.

    Parameters
    ----------
    file : h5py.File
    variable : str or None
    reverse : bool
        The axes are reversed, as MATLAB's are.
    """
    import h5py

    arrays, items = {}, {}
    _collect(file, "", 0, arrays, items, reverse)
    turned = []

    def read(name):
        item = items[name]
        if isinstance(item, list):
            pieces = [checked(piece, name)[()] for piece in item]
            return [piece.T if reverse else piece for piece in pieces]
        return checked(item, name) if isinstance(item, h5py.Dataset) else np.asarray(item)

    for role, value in parse_chosen(file.filename, arrays, variable, read):
        if reverse and isinstance(value, h5py.Dataset):
            turned.append(role)
        yield role, value
    yield "turned", turned


def recording(path, values, options):
    """The recording of what `parse_hdf5` yielded."""
    return from_named(path, straight(values), options)


def straight(values):
    """`values` with the arrays that a child has left with their axes reversed turned back."""
    for role in values.pop("turned", ()):
        values[role] = values[role].T
    return values


def _collect(group, prefix, depth, arrays, items, reverse):
    """List the arrays below a group: shapes into `arrays`, datasets into `items`."""
    import h5py

    _collect_rates(group, prefix, arrays, items)
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink) or key.startswith("#"):
            continue
        item, name = group[key], f"{prefix}{key}"
        if isinstance(item, h5py.Group):
            if depth < LEVELS and "MATLAB_sparse" not in item.attrs:
                _collect(item, f"{name}.", depth + 1, arrays, items, reverse)
        elif isinstance(item, h5py.Dataset) and item.shape is not None:
            kind = item.attrs.get("MATLAB_class", b"double")
            if "MATLAB_empty" in item.attrs or kind == b"char":
                continue
            if item.dtype.kind in "fiub":
                shape = item.shape[::-1] if reverse else item.shape
                arrays[name] = Found(shape, _dimensions(item))
                items[name] = item
                _collect_rates(item, f"{name}.", arrays, items)
            elif item.dtype == h5py.ref_dtype and item.size <= MOST_PIECES:
                _collect_cells(item, name, arrays, items, reverse)


def _collect_rates(item, prefix, arrays, items):
    for name, value in rates_among(item.attrs, prefix):
        arrays.setdefault(name, Found(()))
        items.setdefault(name, value)


def _collect_cells(item, name, arrays, items, reverse):
    """List a cell array, or what stands in a field of all structs of an array."""
    pieces = [item.file[ref] for ref in item[()].ravel() if ref]
    _collect_pieces(pieces, name, 0, arrays, items, reverse)


def _collect_pieces(pieces, name, depth, arrays, items, reverse):
    """List trials of a recording as one array, else each cell by its number."""
    import h5py

    if pieces and depth < LEVELS and all(isinstance(piece, h5py.Group) for piece in pieces):
        for key in pieces[0]:
            links = [piece.get(key, getlink=True) for piece in pieces]
            if all(isinstance(link, h5py.HardLink) for link in links):
                own = [piece[key] for piece in pieces]
                _collect_pieces(own, f"{name}.{key}", depth + 1, arrays, items, reverse)
        return
    numeric = [p for p in pieces if isinstance(p, h5py.Dataset) and p.dtype.kind in "fiub"]
    if not numeric or len(numeric) != len(pieces):
        return
    shapes = [p.shape[::-1] if reverse else p.shape for p in numeric]
    if all(math.prod(shape) == 1 for shape in shapes):  # a field of an array of structs
        arrays[name] = Found((len(shapes), 1))
        items[name] = np.array([float(p[()].ravel()[0]) for p in numeric])
        return
    whole = of_pieces(shapes)
    if whole:
        arrays[name], items[name] = whole, numeric
    else:
        for number, (shape, piece) in enumerate(zip(shapes, numeric, strict=True), 1):
            arrays[f"{name}{{{number}}}"] = Found(shape)
            items[f"{name}{{{number}}}"] = piece


def _dimensions(item):
    """Names of the dimensions, as netCDF and xarray keep them."""
    try:
        names = [
            dimension.label or (dimension[0].name.rsplit("/", 1)[-1] if len(dimension) else "")
            for dimension in item.dims
        ]
    except (RuntimeError, ValueError, KeyError, OSError):
        return None
    return tuple(names) if all(names) and names else None
