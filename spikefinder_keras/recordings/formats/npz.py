"""The `.npz` container: a zip of `.npy` files, of which only those needed are unpacked; and one
`.npy` file."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...arrays import Array
from ...errors import DataError
from ...files.atomic import ZARR
from ...files.npy import NpyFile, member_header, read_member
from ...files.sandbox import sandboxed
from .container import ArrayInfo, Jobs, as_json

ZIP = b"PK\x03\x04"

OTHER_ZIPS = {
    "xl/workbook.xml": "an Excel workbook; save the sheet with the traces as CSV",
    "xl/workbook.bin": "an Excel workbook; save the sheet with the traces as CSV",
    "content.xml": "an OpenDocument spreadsheet; save the sheet with the traces as CSV",
    "word/document.xml": "a Word document; save the traces as CSV",
}
"""By a file in it, what a zip is that people bring and that holds no arrays."""
DAMAGED = (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError, RuntimeError)
"""What zipfile and numpy say of damaged files."""


def open_npy(path: Path) -> NpyFile:
    """The array in a `.npy` file, as yet unread; `DataError` if it is none."""
    try:
        return NpyFile(path)
    except Exception as error:  # numpy parses the header as Python text, so this can be many
        raise damaged(path, error) from None


def damaged(path: Path | str, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    return DataError(f"{path} is no usable numpy file ({reason}); save it again")


@sandboxed
def parse_objects(path: str) -> Iterator[tuple[str, Any]]:
    with _opened(path) as archive:
        members = {m.filename: m for m in archive.infolist()}
        # zarr.ZipStore has members without .npy, of which none would be found.
        if any(Path(name).name in ZARR for name in members):
            raise DataError(f"{path} is a zipped Zarr store; unpack it and name its folder")
        for name, what in OTHER_ZIPS.items():
            if name in members:
                raise DataError(f"{path} is {what}")
        arrays = {}
        for name, member in members.items():
            # Headers alone are unpacked here.
            if (header := member_header(archive, member)) is not None:
                arrays[name.removesuffix(".npy")] = ArrayInfo(header[0], header[1].str)
            elif name.endswith(".npy"):
                arrays[name.removesuffix(".npy")] = ArrayInfo((), "object")
        if members and not arrays:
            raise DataError(
                f"{path} is an archive without arrays; unpack it, and name the file with the traces"
            )
        yield "objects", as_json(arrays)


@sandboxed
def parse_arrays(
    path: str, labels: Mapping[str, str], large: Sequence[str]
) -> Iterator[tuple[str, Array]]:
    with _opened(path) as archive:
        members = {m.filename: m for m in archive.infolist()}
        for name in labels:
            member = members.get(f"{name}.npy") or members[name]
            # The header is checked again: no more is unpacked than it asks for.
            if member_header(archive, member) is None:
                raise ValueError(f"{name} is no array any more")
            yield name, read_member(archive, member)


JOBS = Jobs(parse_objects, parse_arrays)


@sandboxed
@contextmanager
def _opened(path: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DAMAGED as error:
        raise damaged(path, error) from None
