"""Read the floating-point arrays of an HDF5 file of unknown origin.

The HDF5 library can be made to read other files, to claim terabytes, to hang and to crash. So the
file is opened in a child process, which accepts plain contiguous or chunked floats reached by hard
links alone.
"""

from .regular import open_ordinary
from .sandbox import TIME_LIMIT, Unreadable, run

SIGNATURE = b"\x89HDF\r\n\x1a\n"
LARGEST_FILE = 64 << 20
"""Bytes; convi6 has 33 kB of weights, the largest imaginable relative of it a few MB."""
LARGEST_ARRAYS = 64 << 20
"""Bytes, all arrays together, as declared in the file."""
MOST_OBJECTS = 2_000
DEEPEST = 12
LONGEST_NAME = 200
CHILD_MEMORY = 256 << 20
"""Bytes that the child may take beyond what it has after its imports."""


def read_arrays(path, skip=(), time_limit=TIME_LIMIT):
    """Read every floating-point dataset of an HDF5 file.

    Parameters
    ----------
    path : str or Path
    skip : sequence of str
        Objects whose path contains one of these are left out unread.
    time_limit : float
        Seconds.

    Returns
    -------
    dict of str to numpy array
        By their path in the file.

    Raises
    ------
    Unreadable
        If the file is anything but plain; no object of it has then been read into this process.
    OSError
        If the file cannot be opened.
    """
    with open_ordinary(path) as file:
        start = file.read(len(SIGNATURE))
        size = file.seek(0, 2)
    if not size:
        raise Unreadable("the file is empty")
    if start != SIGNATURE:
        raise Unreadable(f"it is not an HDF5 file (it begins with {start!r})")
    if size > LARGEST_FILE:
        raise Unreadable(f"it is larger than {LARGEST_FILE >> 20} MiB")
    return run(
        parse_arrays,
        path,
        list(skip),
        time_limit=time_limit,
        memory=CHILD_MEMORY,
        libraries=["h5py"],
    )


def parse_arrays(path, skip):
    """Child: every floating-point dataset."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            datasets = {}
            _collect(file, "", skip, datasets, [])
            total = sum(dataset.nbytes for dataset in datasets.values())
            if total > LARGEST_ARRAYS:
                raise Unreadable(f"its arrays claim {total} bytes, more than weights ever have")
            yield from datasets.items()
    except Unreadable:
        raise
    except Exception as error:  # whatever the library says of a damaged file
        raise Unreadable(f"it is damaged ({str(error)[:100]})") from None


def _collect(group, path, skip, found, seen):
    """Put the float datasets below `group` into `found`, opening no object before its checks."""
    import h5py

    if path.count("/") > DEEPEST:
        raise Unreadable(f"its groups are nested deeper than {DEEPEST}")
    for name in group:
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise Unreadable("a name in it is too long or holds control characters")
        where = f"{path}{name}"
        if any(part in where for part in skip):
            continue
        seen.append(where)
        if len(seen) > MOST_OBJECTS:
            raise Unreadable(f"it holds more than {MOST_OBJECTS} objects")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise Unreadable(f"{where} is a link to somewhere else")
        item = group[name]
        if isinstance(item, h5py.Group):
            _collect(item, where + "/", skip, found, seen)
        elif isinstance(item, h5py.Dataset):
            found[where] = _checked(item, where)
        else:
            raise Unreadable(f"{where} is neither a group nor an array")


def _checked(dataset, where):
    creation = dataset.id.get_create_plist()
    if dataset.is_virtual or creation.get_external_count():
        raise Unreadable(f"{where} takes its values from another file")
    if dataset.dtype.kind != "f":
        raise Unreadable(f"{where} holds {dataset.dtype} where floats belong")
    if dataset.shape is None or dataset.ndim > 4:
        raise Unreadable(f"{where} has no shape of a network's weights")
    chunk_bytes = dataset.dtype.itemsize
    for length in dataset.chunks or ():
        chunk_bytes *= length
    if max(dataset.nbytes, chunk_bytes) > LARGEST_ARRAYS:
        raise Unreadable(f"{where} claims {dataset.nbytes} bytes, more than weights ever have")
    return dataset
