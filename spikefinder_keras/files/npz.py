"""Arrays in numpy's `.npz` files, never more bytes of them than they state and ask for.

An `.npz` file is a zip of `.npy` files, stored as they are (`numpy.savez`) or deflated
(`numpy.savez_compressed`).
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array
from .npy import read_header
from .sandbox import Unreadable, check_size, parse, sandboxed

NPY = b"\x93NUMPY"
"""How a `.npy` file begins."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy writes. Of bz2 and lzma, zipfile unpacks a whole block at once, which can be gigabytes
from kilobytes."""


def read_npz(path: Path | str) -> dict[str, Array]:
    """All arrays of numbers in an `.npz` file, parsed in a child process.

    It raises `DataError` if the file is damaged, packed by another method than numpy's, or an array
    in it claims to be larger than its stored bytes can make.
    """
    return parse(_parse, path)


@sandboxed
def _parse(path: str) -> Iterator[tuple[str, Array]]:
    """Every array."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member_header(archive, member) is not None:
                    yield member.filename.removesuffix(".npy"), read_member(archive, member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise Unreadable(f"it is no usable .npz file ({error})") from None


def member_header(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """Shape and dtype of an array of real numbers in an open `.npz` file; None for what is none.

    What is read of a member is bounded by the sizes that are checked here: no more of it is
    unpacked than its header asks for.
    """
    if member.compress_type not in METHODS:
        raise Unreadable(
            f"{member.filename} is compressed by a method that numpy does not write; save it again "
            "with numpy.savez_compressed"
        )
    with archive.open(member) as file:
        if file.read(len(NPY)) != NPY:
            return None
        file.seek(0)
        shape, _, dtype = read_header(file)
        header = file.tell()
    if dtype.kind not in "fiub":
        return None
    check_size(member.filename, shape, dtype.itemsize, member.compress_size)
    # As Python integers: the product of a crafted shape overflows numpy's.
    if header + dtype.itemsize * int(np.prod(shape, dtype=object)) != member.file_size:
        raise Unreadable(f"{member.filename} is shorter or longer than its shape {shape}")
    return shape, dtype


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """The array of a member whose size `member_header` has checked."""
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
