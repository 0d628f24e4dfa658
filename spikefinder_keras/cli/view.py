"""`view`: a window in the browser on every neuron of a result."""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from threading import Thread

from ..console import say_unless, tell
from ..errors import OutputError
from ..recordings.options import ReadOptions
from .options import Commands, add_command, add_fields, fields_of


def add(commands: Commands) -> None:
    option = add_command(
        commands,
        "view",
        run,
        "Look at every neuron of a result in the browser: rates, trace and spikes over time, and "
        "how far to trust them; mark neurons good or bad by key. A large result is gone through "
        "once, and what is found is kept beside it (RATES.view).",
    )
    option("rates", metavar="RATES", help="what predict has written, of any format and size")
    option(
        "recording",
        nargs="?",
        metavar="RECORDING",
        help="what it was predicted from, to see the traces too",
    )
    option("--truth", metavar="SPIKES.csv", help="true spikes, counts per frame or 10 ms, to score")
    option(
        "--marks",
        metavar="FILE.csv",
        help="where marks are kept, for predict --only (default: RATES.marks.csv)",
    )
    option("--series", metavar="NAME", help="of the rates in .nwb, where there are several")
    option("--no-browser", action="store_true", help="only say the address")
    option("--port", type=int, default=0, metavar="N", help="to serve at (default: a free one)")
    names = ("frame_rate", "orientation", "unit", "variable", "segments", "neuropil", "all_rois")
    add_fields(option, ReadOptions, names)


def run(arguments: argparse.Namespace) -> None:
    from ..files.atomic import check_apart, check_output
    from ..recordings.formats.detect import read_from
    from ..view import require_libraries

    require_libraries("a window")
    rates = Path(arguments.rates)
    recording = Path(arguments.recording) if arguments.recording else None
    truth = Path(arguments.truth) if arguments.truth else None
    marks = Path(arguments.marks or f"{rates}.marks.csv")
    reads = {"the result": [rates], "the truth": [truth] if truth else []}
    reads["the recording"] = read_from(recording) if recording else []
    check_apart(reads, [("--marks", marks)])
    # Bokeh takes half a second to load, in which another process reads the result.
    Thread(target=import_module, args=("spikefinder_keras.view.window",), daemon=True).start()
    from ..view.source import PredictionSource, open_source

    source = open_source(
        rates,
        recording,
        series=arguments.series,
        reading=ReadOptions(**fields_of(ReadOptions, arguments)),
        progress=not arguments.quiet,
    )
    from ..recordings.formats.suite2p import planes_of
    from ..view.marks import Marks
    from ..view.server import serve
    from ..view.truth import TruthSource, read_truth
    from ..view.window import Shown

    try:
        check_output(marks)
    except OutputError as error:
        raise OutputError(f"{error}, for the marks (--marks)") from None
    suite2p = recording if recording is not None and planes_of(recording) else None
    kept = Marks(marks, source.names, suite2p)
    with_truth: PredictionSource | TruthSource = source
    if truth is not None:
        with_truth = TruthSource(source, read_truth(truth, source.prediction))
    shown = Shown(with_truth, kept, rates.name, traces=recording is not None)
    shown.prepare()
    say = say_unless(arguments.quiet)

    def opened(address: str) -> None:
        say(f"Ctrl-C ends it; marks are kept in {marks}")
        tell(address)
        sys.stdout.flush()  # whoever waits for it in a pipe has it
        if not arguments.no_browser and not _open_browser(address):
            say("there is no browser that could be started; open this address in one")

    serve(shown.open, opened, port=arguments.port)


def _open_browser(address: str) -> bool:
    import webbrowser

    return webbrowser.open(address)
