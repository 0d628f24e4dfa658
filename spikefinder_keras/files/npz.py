"""Arrays in numpy's `.npz` files, never more bytes of them than they state and ask for.

An `.npz` file is a zip of `.npy` files. Python's zipfile unpacks as much as a block of bz2 or lzma
makes, which can be gigabytes from kilobytes; here these two are unpacked piece by piece.
"""

import bz2
import copy
import io
import lzma
import struct
import zipfile
import zlib

import numpy as np

from .npy import read_header
from .sandbox import Unreadable, check_size, parse, sandboxed

NPY = b"\x93NUMPY"
LARGEST_DICTIONARY = 256 << 20
"""Bytes that lzma may ask for to look back at; 64 MiB at its highest setting."""
_BLOCK = 1 << 16


def read_npz(path):
    """All arrays of numbers in an `.npz` file, parsed in a child process: a dict.

    Raises
    ------
    DataError
        If it is damaged, or an array in it claims to be larger than its stored bytes can make.
    """
    return parse(_parse, path)


@sandboxed
def _parse(path):
    """Every array."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member_header(archive, member) is not None:
                    yield member.filename.removesuffix(".npy"), read_member(archive, member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise Unreadable(f"it is no usable .npz file ({error})") from None


def member_header(archive, member):
    """Shape and dtype of an array of real numbers in an open `.npz` file; None for what is none.

    What is read of a member is bounded by the sizes that are checked here: no more of it is
    unpacked than its header asks for.
    """
    with open_member(archive, member) as file:
        if not file.peek(len(NPY)).startswith(NPY):
            return None
        shape, _, dtype = read_header(file)
        header = file.tell()
    if dtype.kind not in "fiub":
        return None
    check_size(member.filename, shape, dtype.itemsize, member.compress_size)
    if header + dtype.itemsize * int(np.prod(shape, dtype=object)) != member.file_size:
        raise Unreadable(f"{member.filename} is shorter or longer than its shape {shape}")
    return shape, dtype


def read_member(archive, member):
    """The array of a member whose size `member_header` has checked."""
    with open_member(archive, member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def open_member(archive, member):
    """A member of an open zip file, as a file to read that has `peek` and `tell`."""
    if member.compress_type not in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        return archive.open(member)  # which unpacks no more than is asked for
    stored = copy.copy(member)  # the packed bytes themselves
    stored.compress_type, stored.file_size = zipfile.ZIP_STORED, member.compress_size
    del stored.CRC
    return io.BufferedReader(_Unpacked(archive.open(stored), member), _BLOCK)


class _Unpacked(io.RawIOBase):
    """The bytes of a bz2 or lzma member."""

    def __init__(self, packed, member):
        self._packed, self._member = packed, member
        self._sum = self._count = 0
        if member.compress_type == zipfile.ZIP_BZIP2:
            self._unpacker = bz2.BZ2Decompressor()
        else:
            self._unpacker = _lzma(packed)

    def readable(self):
        return True

    def tell(self):
        return self._count

    def readinto(self, buffer):
        unpacker, data = self._unpacker, b""
        while not (data or unpacker.eof):
            more = self._packed.read(_BLOCK) if unpacker.needs_input else b""
            if unpacker.needs_input and not more:
                break
            try:
                data = unpacker.decompress(more, len(buffer))
            except (OSError, lzma.LZMAError) as error:
                raise zipfile.BadZipFile(f"{self._member.filename}: {error}") from None
        if not data and self._sum != self._member.CRC:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {self._member.filename!r}")
        self._count += len(data)
        self._sum = zlib.crc32(data, self._sum)
        if self._count > self._member.file_size:
            raise zipfile.BadZipFile(f"{self._member.filename} is longer than it says")
        buffer[: len(data)] = data
        return len(data)


def _lzma(packed):
    """Of a zip's member, which begins with two bytes of version and the length of the settings."""
    start = packed.read(4)
    if len(start) < 4:
        raise zipfile.BadZipFile("no settings of lzma")
    settings = packed.read(struct.unpack("<H", start[2:])[0])
    try:
        chosen = lzma._decode_filter_properties(lzma.FILTER_LZMA1, settings)
    except (lzma.LZMAError, ValueError) as error:
        raise zipfile.BadZipFile(f"no settings of lzma ({error})") from None
    if chosen.get("dict_size", 0) > LARGEST_DICTIONARY:
        raise Unreadable(f"lzma asks for a dictionary of {chosen['dict_size']} bytes")
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[chosen])
