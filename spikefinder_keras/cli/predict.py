"""`predict`: spike rates of a recording."""

import argparse
from pathlib import Path

from ..console import say_unless, tell, tell_table
from ..errors import OutputError
from ..recordings.options import PredictOptions, ReadOptions
from ..text import counted
from .options import Commands, add_command, add_fields, fields_of

WHERE_SPIKES_ARE = {
    ".csv": "{}.json, under spike_times",
    ".npy": "{}.json, under spike_times",
    ".npz": "it too, as spike_times and spike_neurons",
    ".mat": "it too, as spike_times",
    ".zarr": "it too, as spike_times and spike_neurons",
    ".nwb": "it too, as a table of units beside the rates",
}

OTHER_PAGES = (".pdf", ".png", ".jpg", ".svg", ".docx", ".odt", ".xlsx", ".csv", ".md", ".txt")
"""Suffixes of what other programs write as reports."""


def add(commands: Commands) -> None:
    option = add_command(
        commands,
        "predict",
        run,
        "Predict the spike rates of a recording: suite2p's folder, CaImAn's HDF5, NWB, .npy, .npz, "
        ".mat, HDF5, Zarr or CSV. A CSV under the header 0, 1, ... of the competition needs "
        "--unit competition, a network of 2017 (--weights, --dataset), or the frame rate.",
    )
    option("recording", metavar="PATH", help="file or folder of raw dF/F or F")
    option(
        "--out",
        metavar="FILE",
        help="file to write; its suffix says how: .csv, .npy (as suite2p's spks.npy), .npz, .mat, "
        ".zarr, .nwb (default: NAME.rates.csv here, if there is none yet)",
    )
    option(
        "--series", metavar="NAME", help="of the series that is added to .nwb (default: a free one)"
    )
    option(
        "--overwrite",
        action="store_true",
        help="replace a file of the default name, and what this program did not write",
    )
    add_fields(option, ReadOptions, ("frame_rate",))
    add_fields(
        option,
        PredictOptions,
        ("indicator", "species", "delay", "weights", "dataset", "area", "engine", "spikes"),
    )
    option("--report", metavar="FILE.html", help="write how far to trust the rates, with pictures")
    add_fields(option, ReadOptions, ("orientation", "unit", "variable", "segments"))
    add_fields(option, ReadOptions, ("neuropil", "all_rois", "only"))
    option(
        "--memory",
        metavar="SIZE",
        help="to take, such as 2GiB (default: a quarter of the machine's); larger recordings are "
        "predicted piece by piece, and an interrupted run into .zarr goes on where it stopped",
    )
    option(
        "--scheduler",
        metavar="ADDRESS",
        help="of Dask, whose workers predict the pieces into .zarr; or local, for workers on each "
        "core of this machine",
    )


def run(arguments: argparse.Namespace) -> None:
    from ..files.atomic import check_apart, check_output, check_replaceable
    from ..recordings.formats.detect import check_prediction_path, read_from, written
    from ..recordings.pipeline import Task, check_options
    from ..recordings.recording import parse_memory
    from ..signals.preprocess import check_rate

    # Everything that can be wrong with what is asked for, before a large file is read.
    source, say = Path(arguments.recording), say_unless(arguments.quiet)
    prediction = PredictOptions(**fields_of(PredictOptions, arguments))
    check_options(prediction)
    arguments.memory = parse_memory(arguments.memory)
    reading = ReadOptions(**fields_of(ReadOptions, arguments))
    if reading.frame_rate is not None:
        check_rate(reading.frame_rate)
    out = Path(arguments.out) if arguments.out else default_path(source, arguments.overwrite)
    check_prediction_path(out, source, arguments.series, arguments.overwrite)
    report = arguments.report and check_output(arguments.report)
    outputs = [("--out", each) for each in written(out)]
    if report:
        check_apart({"the recording": read_from(source)}, [("--report", report)])
        outputs.append(("--report", report))
    stated = {"the file of --weights": prediction.weights, "the file of --only": reading.only}
    check_apart({n: [p] for n, p in stated.items() if p and Path(p).is_file()}, outputs)
    if report:
        check_replaceable(report, overwrite=arguments.overwrite, option="--report")
        if report.suffix.lower() in OTHER_PAGES:
            raise OutputError(f"{report} would be HTML; end its name in .html (--report)")
    if arguments.scheduler is not None:
        from ..recordings.dask_workers import check_scheduler

        check_scheduler(arguments.scheduler, out)
    from ..recordings.pipeline import predict_file

    made = predict_file(
        Task(source, reading, prediction),
        out,
        scheduler=arguments.scheduler,
        say=say,
        progress=not arguments.quiet,
        series=arguments.series,
        overwrite=arguments.overwrite,
    )
    recording = made.recording
    # Of its form, too, a file may hold what the network of 2017 was not made for.
    if recording.unit == "competition":
        from ..competition.submission import notices

        for line in notices(recording.traces, str(source)):
            say(line)
    if report:
        from ..view.page import write_page

        write_page(report, made, say)
    if not arguments.quiet:
        from ..recordings.quality import quality_table

        tell_table(quality_table(made.quality))
        about = made.description
        chosen = about.get("dataset") or f"indicator {about['indicator']}"
        tell(f"weights {about['weights']}; {chosen}")
    frames, neurons = made.table.shape
    tell(
        f"spike rates of {counted(neurons, 'neuron')}, {counted(frames, 'frame')} each, "
        f"{made.description['unit']}, are in {out}"
    )
    if made.spike_times is not None:
        count = sum(len(times) for times in made.spike_times)
        tell(f"{count} spike times are in {WHERE_SPIKES_ARE[out.suffix.lower()].format(out)}")
    if report:
        tell(f"how far to trust them is in {report}")


def default_path(source: Path, overwrite: bool = False) -> Path:
    """`2026.03.01_m1.rates.csv` here of a file; of suite2p's folders with the recording's name.
    `OutputError` if there is such a file already."""
    place = source.resolve()
    name = place.name
    if not place.is_dir() or place.suffix == ".zarr":
        name = place.name.removesuffix(place.suffix)
    # suite2p calls the planes of every recording alike.
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
