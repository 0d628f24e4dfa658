"""Bytes in and out, safely: files written whole, files of unknown origin parsed by a process that
has no powers, HDF5 arrays, downloads.

Not here: what a file means; that is known to who reads it.
"""

from ..errors import public

__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "downloads": ["fetch_data", "fetch_weights"],
        "atomic": ["whole_file"],
    },
)
