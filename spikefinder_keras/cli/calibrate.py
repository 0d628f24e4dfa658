"""`calibrate`: fit the map to spikes per second."""

from .options import add_command, add_weights


def add(commands):
    command = add_command(
        commands,
        "calibrate",
        run,
        "Fit the map from a network's output to spikes per second, and store it by the weights.",
    )
    add_weights(command, "default: described")
    command.add_argument(
        "--ground-truth",
        metavar="DIR",
        required=True,
        help="folder of the HDF5 files of Rupprecht et al. 2021, such as DS09-GCaMP6f-m-V1.h5",
    )


def run(arguments):
    from ..recordings.ground_truth import find_ground_truth

    find_ground_truth(arguments.ground_truth)
    from ..recordings.fit_calibration import calibrate, calibration_table

    calibration, path = calibrate(
        arguments.weights or "described", arguments.ground_truth, not arguments.quiet
    )
    print(calibration_table(calibration))
    print(f"the calibration is in {path}")
