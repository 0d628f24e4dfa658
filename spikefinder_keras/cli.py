"""The command `spikefinder-keras`: parse, call, print."""

import argparse
import os
import sys
from pathlib import Path

from . import __version__
from .constants import POOL, SPLITS
from .errors import SpikefinderError, UsageError

PROGRAM = "spikefinder-keras"


def main(argv=None):
    """Run the command line `argv` (by default the process's own) and return its exit status.

    0 after success, 2 after a mistake, which is one line on the standard error, 130 after Ctrl-C.
    """
    try:
        arguments = _parser().parse_args(argv)
        arguments.run(arguments)
        sys.stdout.flush()
    except SpikefinderError as error:
        print(f"{PROGRAM}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, such as `head`, has closed it
        # What is left of it goes nowhere, or Python would complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # what no module foresaw, such as a name of 300 letters
        place = f": {error.filename}" if error.filename else ""
        text = f"{error.strerror or error}{place}; choose another place"
        print(f"{PROGRAM}: {' '.join(text.split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(f"{message}; see `{self.prog} --help`")


def _parser():
    parser = _Parser(
        prog=PROGRAM,
        description="Spike rates from calcium-imaging traces by convi6, the network that came "
        "second in the 2017 Spikefinder competition.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (_submission, _predict, _score, _train, _calibrate, _describe):
        add(commands)
    for add in (_figures, _simulate, _download):
        add(commands)
    return parser


def _command(commands, name, run, text):
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    command.add_argument("--quiet", action="store_true", help="show no progress and no notices")
    return command


def _add_weights(command, default):
    command.add_argument(
        "--weights",
        metavar="NAME-OR-FILE",
        help=f"described, released (both ours), published (the authors'), or a file ({default})",
    )


def _submission(commands):
    command = _command(
        commands,
        "submission",
        _run_submission,
        "Rerun the competition submission: predict every set, write the CSV files, print scores.",
    )
    command.add_argument(
        "--data",
        metavar="DIR",
        help="folder that holds spikefinder.train and spikefinder.test "
        "(default: $SPIKEFINDER_DATA, else what was downloaded, else simulated data)",
    )
    _add_weights(command, "default: published if downloaded, else described")
    command.add_argument(
        "--out", metavar="DIR", default="submission", help="folder for the files (%(default)s)"
    )


def _run_submission(arguments):
    from .files import check_output_folder

    check_output_folder(arguments.out)
    _import_keras(arguments)
    from .competition import score_table, submission

    results = submission(
        arguments.data, arguments.weights, arguments.out, not arguments.quiet, _say(arguments)
    )
    print(score_table(results))
    print(f"{len(results)} files of spike rates are in {Path(arguments.out)}")


def _predict(commands):
    command = _command(
        commands,
        "predict",
        _run_predict,
        "Predict the spike rates of a recording: suite2p's folder, CaImAn's HDF5, NWB, .npy, .npz, "
        ".mat, Zarr or CSV. A CSV without a time column and without a frame rate is taken for the "
        "competition's form: 100 Hz, preprocessed.",
    )
    command.add_argument("recording", metavar="PATH", help="file or folder of raw dF/F or F")
    command.add_argument(
        "--out",
        metavar="FILE",
        help="file to write; its suffix says how: .csv, .npy (as suite2p's spks.npy), .npz, .mat, "
        ".zarr, .nwb (default: NAME.rates.csv here)",
    )
    command.add_argument(
        "--frame-rate", type=float, metavar="HZ", help="where the file does not tell it"
    )
    command.add_argument(
        "--dataset",
        type=int,
        metavar="N",
        help="which of the ten datasets the recording resembles, 1 to 10 (default: mean over all)",
    )
    command.add_argument("--indicator", metavar="NAME", help="or all datasets with it: GCaMP6f")
    command.add_argument("--area", metavar="NAME", help="or all datasets from it: V1, retina")
    _add_weights(command, "default: described")
    command.add_argument(
        "--calibrate", action="store_true", help="give spikes per second instead of unitless rates"
    )
    command.add_argument(
        "--spikes", action="store_true", help="write discrete spike times too; calibrates"
    )
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
        default=0.7,
        metavar="SHARE",
        help="of suite2p's neuropil that is subtracted (%(default)s)",
    )
    command.add_argument(
        "--all-rois", action="store_true", help="also ROIs that suite2p or CaImAn calls no cells"
    )


def _run_predict(arguments):
    from .files import check_output
    from .formats import check_prediction_path, read_recording, write_prediction
    from .own_recordings import choose_datasets

    source, say = Path(arguments.recording), _say(arguments)
    choose_datasets(arguments.dataset, arguments.indicator, arguments.area)
    if arguments.frame_rate is not None:  # before a large file is read
        from .preprocess import check_rate

        check_rate(arguments.frame_rate)
    out = Path(arguments.out or f"{source.resolve().name.split('.')[0]}.rates.csv")
    check_prediction_path(out, source)
    report = arguments.report and check_output(arguments.report)
    recording = read_recording(
        source,
        arguments.frame_rate,
        arguments.orientation,
        arguments.unit,
        arguments.variable,
        arguments.neuropil,
        arguments.all_rois,
    )
    _import_keras(arguments)
    from .own_recordings import predict

    prediction = predict(
        recording,
        dataset=arguments.dataset,
        indicator=arguments.indicator,
        area=arguments.area,
        weights=arguments.weights or "described",
        calibrate=arguments.calibrate or arguments.spikes,
        spikes=arguments.spikes,
        progress=not arguments.quiet,
    )
    write_prediction(out, prediction, source)
    for line in (*recording.notes, *prediction.trust.warnings):
        say(f"{source.name}: {line}")
    if recording.unit == "competition":
        from .competition import notices

        for line in notices(recording.fluorescence, source):
            say(line)
    if report:
        from .report import write_report

        write_report(report, prediction)
    if not arguments.quiet:
        from .trust import trust_table

        print(trust_table(prediction.trust))
        print(f"weights {prediction.description['weights']}; {prediction.description['dataset']}")
    frames, neurons = prediction.rates.shape
    print(
        f"spike rates of {neurons} neurons, {frames} frames each, "
        f"{prediction.description['unit']}, are in {out}"
    )
    if report:
        print(f"how far to trust them is in {report}")


def _calibrate(commands):
    command = _command(
        commands,
        "calibrate",
        _run_calibrate,
        "Fit the map from a network's output to spikes per second, and store it by the weights.",
    )
    _add_weights(command, "default: described")
    command.add_argument(
        "--ground-truth",
        metavar="DIR",
        required=True,
        help="folder of the HDF5 files of Rupprecht et al. 2021, such as DS09-GCaMP6f-m-V1.h5",
    )


def _run_calibrate(arguments):
    from .ground_truth import find_ground_truth

    find_ground_truth(arguments.ground_truth)
    _import_keras(arguments)
    from .fit_calibration import calibrate, calibration_table

    calibration, path = calibrate(
        arguments.weights or "described", arguments.ground_truth, not arguments.quiet
    )
    print(calibration_table(calibration))
    print(f"the calibration is in {path}")


def _score(commands):
    command = _command(
        commands, "score", _run_score, "Score predicted rates against true spikes, per neuron."
    )
    command.add_argument("truth", metavar="TRUTH.csv", help="spike counts per 10 ms")
    command.add_argument("prediction", metavar="PREDICTION.csv", help="rates, same shape")
    command.add_argument(
        "--measure",
        default="corr",
        choices=("corr", "rank", "auc", "info"),
        help="Pearson or rank correlation, area under the ROC curve, or information gain in bit/s",
    )
    command.add_argument(
        "--downsample",
        type=int,
        default=POOL,
        metavar="N",
        help="samples per window: 4 (default) for 25 Hz, 8, 16, 32 for 12.5, 6.25, 3.125 Hz",
    )
    command.add_argument(
        "--protocol",
        default="plain",
        choices=("plain", "published"),
        help="published: rescale the rates first, as the competition did for this submission",
    )
    command.add_argument("--csv", metavar="OUT.csv", help="also write the values to a file")


def _run_score(arguments):
    from .datasets import check_same_shape, read_csv
    from .files import check_output
    from .scoring import score
    from .terminal import text_table

    out = arguments.csv and check_output(arguments.csv)
    truth, prediction = read_csv(arguments.truth), read_csv(arguments.prediction)
    check_same_shape(truth, prediction, arguments.truth, arguments.prediction)
    scores = score(truth, prediction, arguments.measure, arguments.downsample, arguments.protocol)
    rows = [("neuron", arguments.measure)]
    for neuron, (value, reason) in enumerate(zip(scores.values, scores.reasons, strict=True)):
        rows.append((str(neuron), f"none: {reason}" if reason else f"{value:.4f}"))
    count = len(scores.values) - scores.left_out
    rows.append(("mean", f"{scores.mean:.4f} over {count} neurons" if count else "none"))
    print(text_table(rows))
    if out:
        _write_scores(out, arguments.measure, scores.values)


def _write_scores(path, measure, values):
    import pandas as pd

    from .files import whole_file

    frame = pd.DataFrame({"neuron": range(len(values)), "measure": measure, "value": values})
    with whole_file(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


# Option, type or choices, help; the defaults are `training.Settings`'s, the released run.
_SETTINGS = (
    ("variant", ("described", "released"), "the description's network (default) or the released"),
    ("epochs", int, "50"),
    ("batch", int, "traces per step, 5"),
    ("learning-rate", float, "Adam's, 0.001"),
    ("beta-1", float, "Adam's, 0.9"),
    ("beta-2", float, "Adam's, 0.999"),
    ("epsilon", float, "Adam's, 1e-8"),
    ("validation", float, "share of the traces that only validate, the last ones, 0.2"),
    ("weighting", ("batch", "trace"), "by the batch's mean weight (default, as 2017) or per trace"),
    ("few-data-weight", float, "weight of sets 1 to 5 against the others, 2.5"),
    ("id-joins", ("before", "after", "nowhere"), "where the dataset ID joins, seen from the LSTM"),
    ("seed", int, "same seed, same weights, 0"),
)


def _train(commands):
    command = _command(
        commands,
        "train",
        _run_train,
        "Train the network; by default as the released run of 2017 did. "
        "On a GPU that only JAX knows: KERAS_BACKEND=jax spikefinder-keras train ...",
    )
    command.add_argument("--data", metavar="DIR", help="as for submission")
    command.add_argument(
        "--out", metavar="RUN", help="folder for the run (default: runs/VARIANT-seed-N)"
    )
    command.add_argument("--resume", metavar="RUN", help="carry an interrupted run to its end")
    for option, kind, text in _SETTINGS:
        choices = {"choices": kind} if isinstance(kind, tuple) else {"type": kind, "metavar": "N"}
        command.add_argument(f"--{option}", default=argparse.SUPPRESS, help=text, **choices)
    command.add_argument(
        "--dropout",
        type=float,
        nargs="+",
        metavar="RATE",
        default=argparse.SUPPRESS,
        help="after the first convolutions (default: the variant's)",
    )
    command.add_argument(
        "--batch-normalization", action="store_true", default=argparse.SUPPRESS, help="off"
    )


def _run_train(arguments):
    chosen = {name.replace("-", "_") for name, *_ in _SETTINGS} | {"dropout", "batch_normalization"}
    settings = {name: value for name, value in vars(arguments).items() if name in chosen}
    if "dropout" in settings:
        settings["dropout"] = tuple(settings["dropout"])
    _import_keras(arguments)
    from .competition import find_data
    from .training import Settings, resume, train

    progress, say = not arguments.quiet, _say(arguments)
    if arguments.resume:
        run = resume(arguments.resume, arguments.data, settings, progress, say)
    else:
        settings = Settings(**settings)
        out = Path(arguments.out or f"runs/{settings.variant}-seed-{settings.seed}")
        data, kind = find_data(arguments.data, out, progress)
        say(f"data: {kind} ({data})")
        run = train(data, out, settings, progress, say)
    weights = run.folder / "best.weights.h5"
    print(f"log, curves and weights are in {run.folder}")
    print(f"try them: {PROGRAM} submission --weights {weights}")


def _describe(commands):
    command = _command(commands, "describe", _run_describe, "Print the network's layers.")
    command.add_argument(
        "--variant",
        default="described",
        choices=("described", "released"),
        help="the description's network, or the one the released weights fit (%(default)s)",
    )
    command.add_argument(
        "--weights", metavar="NAME-OR-FILE", help="describe the network of these weights instead"
    )


def _run_describe(arguments):
    _import_keras(arguments)
    from .network import build_network, layer_table

    if arguments.weights:
        from .weights import load_network

        network = load_network(arguments.weights)
    else:
        network = build_network(arguments.variant)
    print(layer_table(network))


def _figures(commands):
    command = _command(
        commands,
        "figures",
        _run_figures,
        "Draw the network, its kernels, its predictions and its scores.",
    )
    command.add_argument(
        "--out", metavar="DIR", default="figures", help="folder for the files (%(default)s)"
    )
    command.add_argument("--data", metavar="DIR", help="as for submission")
    _add_weights(command, "default: published if downloaded, else described")
    command.add_argument(
        "--set",
        type=int,
        dest="number",
        metavar="N",
        help="whose neurons to show (default: the first set of the folder)",
    )
    command.add_argument(
        "--split", choices=SPLITS, default="train", help="which of its two files (%(default)s)"
    )
    command.add_argument(
        "--neurons",
        type=int,
        nargs="+",
        metavar="NEURON",
        help="which of them, from 0; the first also under all dataset IDs (default: 0 2 4)",
    )
    command.add_argument(
        "--window",
        type=int,
        nargs=2,
        default=(100, 5000),
        metavar=("START", "STOP"),
        help="samples to show (default: 100 5000)",
    )
    command.add_argument(
        "--run", metavar="RUN", dest="training_run", help="draw a training run's curves too"
    )
    command.add_argument(
        "--format",
        nargs="+",
        dest="formats",
        choices=("png", "pdf"),
        default=("png", "pdf"),
        help="of the files (default: both)",
    )


def _run_figures(arguments):
    from .datasets import check_dataset
    from .figures import check_window
    from .files import check_output_folder

    if arguments.number is not None:
        check_dataset(arguments.number)
    check_window(arguments.window)
    check_output_folder(arguments.out)
    _import_keras(arguments)
    from .gallery import make_figures

    files = make_figures(
        arguments.out,
        arguments.data,
        arguments.weights,
        arguments.number,
        arguments.split,
        arguments.neurons,
        arguments.window,
        arguments.training_run,
        arguments.formats,
        not arguments.quiet,
        _say(arguments),
    )
    print(*files, sep="\n")


def _simulate(commands):
    command = _command(
        commands,
        "simulate",
        _run_simulate,
        "Write a simulated data set in the competition's form, true spikes included.",
    )
    command.add_argument("--out", metavar="DIR", default="simulated", help="folder (%(default)s)")
    command.add_argument(
        "--size",
        default="small",
        choices=("small", "full"),
        help="a minute per trace, or the competition's full size (%(default)s)",
    )
    command.add_argument("--seed", type=int, default=0, help="same seed, same files (%(default)s)")


def _run_simulate(arguments):
    from .simulation import simulate

    folder = simulate(arguments.out, arguments.size, arguments.seed, not arguments.quiet)
    print(f"simulated data are in {folder}; use them with `{PROGRAM} submission --data {folder}`")


def _download(commands):
    command = _command(
        commands,
        "download",
        _run_download,
        "Fetch and verify the competition's data, or the authors' weights.",
    )
    command.add_argument("what", choices=("data", "weights"))
    command.add_argument(
        "--out", metavar="DIR", help="folder for the data (default: the per-user cache)"
    )
    command.add_argument(
        "--datasets", type=int, nargs="+", metavar="N", help="only these sets (default: all)"
    )
    command.add_argument(
        "--splits", nargs="+", choices=SPLITS, default=SPLITS, help="(default: both)"
    )
    command.add_argument("--mirror", metavar="URL-OR-DIR", help="fetch from here instead")


def _run_download(arguments):
    from .download import data_cache, fetch_data, fetch_weights

    if arguments.what == "weights":
        print(f"the published weights are in {fetch_weights(mirror=arguments.mirror)}")
        return
    folder = arguments.out or data_cache()
    files = fetch_data(
        folder,
        arguments.datasets,
        arguments.splits,
        mirror=arguments.mirror,
        progress=not arguments.quiet,
    )
    print(f"{len(files)} verified files are in {folder}")


def _import_keras(arguments):
    from .terminal import import_keras

    import_keras(progress=not arguments.quiet)


def _say(arguments):
    return (lambda line: None) if arguments.quiet else lambda line: print(line, file=sys.stderr)
