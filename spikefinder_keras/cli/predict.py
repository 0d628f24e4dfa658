"""`predict`: spike rates of a recording."""

from pathlib import Path

from .options import add_command, add_weights, say_to


def add(commands):
    command = add_command(
        commands,
        "predict",
        run,
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
    add_weights(command, "default: described")
    command.add_argument(
        "--engine",
        default="onnx",
        choices=("onnx", "keras"),
        help="what computes: ONNX Runtime, which starts at once, or Keras (%(default)s)",
    )
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


def run(arguments):
    from ..files.whole_files import check_output
    from ..recordings.convi6 import choose_datasets
    from ..recordings.formats import check_prediction_path, read_recording, write_prediction

    source, say = Path(arguments.recording), say_to(arguments)
    choose_datasets(arguments.dataset, arguments.indicator, arguments.area)
    if arguments.frame_rate is not None:  # before a large file is read
        from ..competition.checks import check_rate

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
    from ..recordings.pipeline import predict

    prediction = predict(
        recording,
        dataset=arguments.dataset,
        indicator=arguments.indicator,
        area=arguments.area,
        weights=arguments.weights or "described",
        calibrate=arguments.calibrate or arguments.spikes,
        spikes=arguments.spikes,
        engine=arguments.engine,
        progress=not arguments.quiet,
    )
    write_prediction(out, prediction, source)
    for line in (*recording.notes, *prediction.trust.warnings):
        say(f"{source.name}: {line}")
    if recording.unit == "competition":
        from ..competition.submission import notices

        for line in notices(recording.fluorescence, source):
            say(line)
    if report:
        from ..figures.trust_report import write_report

        write_report(report, prediction)
    if not arguments.quiet:
        from ..recordings.trust import trust_table

        print(trust_table(prediction.trust))
        print(f"weights {prediction.description['weights']}; {prediction.description['dataset']}")
    frames, neurons = prediction.rates.shape
    print(
        f"spike rates of {neurons} neurons, {frames} frames each, "
        f"{prediction.description['unit']}, are in {out}"
    )
    if report:
        print(f"how far to trust them is in {report}")
