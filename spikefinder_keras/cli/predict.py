"""`predict`: spike rates of a recording."""

from pathlib import Path

from ..console import tell, tell_table
from ..errors import OutputError
from ..recordings.engines import ENGINES
from .options import add_command, add_weights, say_to


def add(commands):
    command = add_command(
        commands,
        "predict",
        run,
        "Predict the spike rates of a recording: suite2p's folder, CaImAn's HDF5, NWB, .npy, .npz, "
        ".mat, HDF5, Zarr or CSV. A CSV under the header 0, 1, ... without a time column and "
        "without a frame rate is taken for the competition's form: 100 Hz, preprocessed.",
    )
    command.add_argument("recording", metavar="PATH", help="file or folder of raw dF/F or F")
    command.add_argument(
        "--out",
        metavar="FILE",
        help="file to write; its suffix says how: .csv, .npy (as suite2p's spks.npy), .npz, .mat, "
        ".zarr, .nwb (default: NAME.rates.csv here, if there is none yet)",
    )
    command.add_argument(
        "--series", metavar="NAME", help="of the series that is added to .nwb (default: a free one)"
    )
    command.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a file of the default name, or suite2p's own spks.npy",
    )
    command.add_argument(
        "--frame-rate", type=float, metavar="HZ", help="where the file does not tell it"
    )
    command.add_argument(
        "--indicator", metavar="NAME", help="such as GCaMP6f: how late calcium answers"
    )
    command.add_argument("--species", metavar="NAME", help="such as mouse or zebrafish: likewise")
    add_weights(command, "default: universal, for any recording")
    command.add_argument(
        "--dataset",
        type=int,
        metavar="N",
        help="for the weights of 2017: which of the ten datasets the recording resembles, 1 to 10 "
        "(default: mean over all, or over those of --indicator and --area)",
    )
    command.add_argument("--area", metavar="NAME", help="likewise: datasets from V1 or retina")
    command.add_argument(
        "--engine",
        default=ENGINES[0],
        choices=ENGINES,
        help="what computes: what starts at once, or Keras to compare with (%(default)s)",
    )
    command.add_argument("--spikes", action="store_true", help="write discrete spike times too")
    command.add_argument(
        "--report", metavar="FILE.html", help="write how far to trust the rates, with pictures"
    )
    command.add_argument(
        "--orientation",
        choices=("time-neuron", "neuron-time"),
        help="rows and columns of an array, where neuron-time (CSV: time-neuron) is wrong",
    )
    command.add_argument("--unit", choices=("dF/F", "F", "competition"), help="of the values")
    command.add_argument("--variable", metavar="NAME", help="array or series, where there are more")
    command.add_argument(
        "--neuropil",
        type=float,
        metavar="SHARE",
        help="of the neuropil that is subtracted (default: as suite2p's settings say, else 0.7)",
    )
    command.add_argument(
        "--all-rois", action="store_true", help="also ROIs that their program calls no cells"
    )
    command.add_argument(
        "--memory",
        metavar="SIZE",
        help="to take, such as 2GiB (default: a quarter of the machine's); larger recordings are "
        "predicted piece by piece, and an interrupted run into .zarr goes on where it stopped",
    )
    command.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of Dask, whose workers predict the pieces into .zarr; or local, for workers on each "
        "core of this machine",
    )


def run(arguments):
    from ..files.atomic import check_output
    from ..recordings.choice import check_choice
    from ..recordings.formats import check_prediction_path
    from ..recordings.lazy import parse_memory

    source, say = Path(arguments.recording), say_to(arguments)
    chosen = {
        name: getattr(arguments, name)
        for name in ("weights", "indicator", "dataset", "area", "spikes")
    }
    check_choice(**chosen)
    memory = parse_memory(arguments.memory)
    if arguments.frame_rate is not None:  # before a large file is read
        from ..signals.checks import check_rate

        check_rate(arguments.frame_rate)
    out = Path(arguments.out) if arguments.out else default_path(source, arguments.overwrite)
    check_prediction_path(out, source, arguments.series, arguments.overwrite)
    report = arguments.report and check_output(arguments.report)
    if arguments.scheduler is not None:
        from ..recordings.dask_workers import check_scheduler

        check_scheduler(out)
    from ..recordings.file_to_file import predict_file
    from ..recordings.task import Task

    reading = {name: getattr(arguments, name) for name in _READING} | {"memory": memory}
    choice = chosen | {"species": arguments.species, "engine": arguments.engine}
    prediction = predict_file(
        Task(source, reading, choice),
        out,
        memory,
        arguments.scheduler,
        arguments.series,
        arguments.overwrite,
        say,
        not arguments.quiet,
    )
    recording = prediction.recording
    if recording.unit == "competition":
        from ..competition.submission import notices

        for line in notices(recording.fluorescence, source):
            say(line)
    if report:
        from ..figures.trust_report import write_report

        write_report(report, prediction)
    if not arguments.quiet:
        from ..recordings.trust_words import trust_table

        tell_table(trust_table(prediction.trust))
        about = prediction.description
        told = about.get("dataset") or f"indicator {about['indicator']}"
        tell(f"weights {about['weights']}; {told}")
    frames, neurons = prediction.table.shape
    tell(
        f"spike rates of {neurons} neurons, {frames} frames each, "
        f"{prediction.description['unit']}, are in {out}"
    )
    if arguments.spikes:
        count = sum(len(times) for times in prediction.spike_times)
        tell(f"{count} spike times are in {_SPIKES[out.suffix.lower()].format(out)}")
    if report:
        tell(f"how far to trust them is in {report}")


_READING = ("frame_rate", "orientation", "unit", "variable", "neuropil", "all_rois")
_SPIKES = {
    ".csv": "{}.json, under spike_times",
    ".npy": "{}.json, under spike_times",
    ".npz": "it too, as spike_times and spike_neurons",
    ".mat": "it too, as spike_times",
    ".zarr": "it too, as spike_times and spike_neurons",
    ".nwb": "it too, as a table of units beside the rates",
}


def default_path(source, overwrite=False):
    """`2026.03.01_m1.rates.csv` here of a file; of suite2p's folders with the recording's name.

    Raises
    ------
    OutputError
        If there is such a file already.
    """
    place = source.resolve()
    name = place.name
    if not place.is_dir() or place.suffix == ".zarr":
        name = place.name.removesuffix(place.suffix)
    elif place.name.startswith("plane") or place.name == "combined":
        parents = [p.name for p in place.parents if p.name not in ("", "suite2p")]
        name = "_".join([*parents[:1], place.name])
    elif place.name == "suite2p":
        name = place.parent.name or place.name
    path = Path(f"{name or 'recording'}.rates.csv")
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} is there already; name the file to write (--out), or replace it (--overwrite)"
        )
    return path
