"""Convert `.mat` files of the collection of Rupprecht et al. 2021 into the HDF5 that is read here.

    python benchmarks/convert_ground_truth.py Cascade/Ground_truth/DS09-GCaMP6f-m-V1 ground_truth

writes `ground_truth/DS09-GCaMP6f-m-V1.h5`: `neuron_NNN/recording_NNN/{dff, time, spike_times}`, a
neuron for each `*_mini.mat` in the order of the names, whose file the attribute `source` names. A
recording is an uninterrupted stretch: dF/F as a fraction, and seconds. The collection counts spike
times in ticks of an electrode at 10 kHz, and pads traces and spikes by NaN, which is dropped here.
Which neurons the collection has corrected or withdrawn is in docs/data.md.
"""

import argparse
import sys
from pathlib import Path

import h5py
import numpy as np
from scipy.io import loadmat

from spikefinder_keras.files.atomic import whole_file

TICKS = 10_000
"""Of a second: the collection's unit of spike times, whatever the electrode's own rate was."""


def recordings(path: Path) -> list[dict[str, np.ndarray]]:
    """The recordings of a file: dF/F `(frame,)`, and times of frames and spikes in s."""
    found = []
    for trial in loadmat(path)["CAttached"].ravel():
        fields = trial[0, 0]
        time = fields["fluo_time"].ravel().astype(float)
        # Some traces are longer than their times.
        dff = fields["fluo_mean"].ravel()[: len(time)]
        spikes = fields["events_AP"].ravel().astype(float)
        there = ~np.isnan(time)
        found.append(
            {
                "dff": dff[there].astype(np.float32),
                "time": time[there],
                "spike_times": np.sort(spikes[~np.isnan(spikes)]) / TICKS,
            }
        )
    return found


def convert(folder: Path, out: Path, leave_out: tuple[str, ...] = ()) -> Path:
    """Write the HDF5 file of a set into a folder; whole or not at all."""
    sources = [each for each in sorted(folder.glob("*_mini.mat")) if each.name not in leave_out]
    if not sources:
        raise SystemExit(f"there is no file such as CAttached_..._mini.mat in {folder}")
    target = out / f"{folder.name}.h5"
    with whole_file(target) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["name"] = folder.name
        for n, source in enumerate(sources):
            neuron = file.create_group(f"neuron_{n:03}")
            neuron.attrs["source"] = source.name
            for m, recording in enumerate(recordings(source)):
                group = neuron.create_group(f"recording_{m:03}")
                for name, values in recording.items():
                    packed = {"compression": "gzip"} if len(values) else {}
                    group.create_dataset(name, data=values, **packed)
                group.attrs["frame_rate"] = 1 / np.median(np.diff(recording["time"]))
    return target


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="of one set, such as DS09-GCaMP6f-m-V1")
    parser.add_argument("out", type=Path, help="receives the HDF5 file")
    parser.add_argument("--leave-out", nargs="+", default=(), metavar="FILE.mat")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(convert(arguments.folder, arguments.out, tuple(arguments.leave_out)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
