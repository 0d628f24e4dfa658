"""What every HDF5 recording is checked for before a value of it is read."""

from ...files.child import Unreadable, check_size

MOST_OBJECTS = 100_000
DEEPEST = 50


def check_structure(file):
    """Raise `Unreadable` if anything in an open HDF5 file leads out of it, or never ends.

    Soft links, which NWB uses, lead nowhere else in a file without external links.
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
                raise Unreadable(f"{where} is a link to another file")
            item = group[name]
            if isinstance(item, h5py.Group):
                groups.append((item, where, depth + 1))
            elif isinstance(item, h5py.Dataset):
                creation = item.id.get_create_plist()
                if item.is_virtual or creation.get_external_count():
                    raise Unreadable(f"{where} takes its values from another file")


def checked(dataset, where):
    """Return `dataset` if it is an array of real numbers of a credible size, else `Unreadable`."""
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise Unreadable(f"{where} is no array")
    if dataset.dtype.kind not in "fiub":
        raise Unreadable(f"{where} holds {dataset.dtype} values, not real numbers")
    stored = dataset.id.get_storage_size()
    check_size(where, dataset.shape, dataset.dtype.itemsize, stored, dataset.chunks)
    return dataset
