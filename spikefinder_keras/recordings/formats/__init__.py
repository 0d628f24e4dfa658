"""Recordings from the files of other programs, and predictions back into them.

Containers list and read named arrays (`hdf5`, `zarr`, `npz`, `mat`, `pickled`); layouts say what
they mean (`named_arrays`, `suite2p`, `nwb`, with `rois`), and end in `facts`, which makes the
recording; `detect` knows which of each a file is. `writers` and `nwb_writer` write.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "detect": [
            "SUFFIXES",
            "check_prediction_path",
            "files_of",
            "read_recording",
            "write_prediction",
        ],
        "writers": ["to_pynapple"],
    },
)
