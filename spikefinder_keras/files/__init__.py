"""Bytes in and out, safely: files written whole, files of unknown origin parsed by a process that
has no powers, HDF5 arrays, downloads.

Not here: what a file means; that is known to who reads it.
"""
