"""What a label says of the numbers beside it."""

import numpy as np
import pytest

from spikefinder_keras import labels


@pytest.mark.parametrize(
    ("unit", "seconds"),
    [
        ("s", 1), ("ms", 1e-3), ("Milliseconds", 1e-3), ("µs", 1e-6), ("μs", 1e-6), ("ns", 1e-9),
        ("minutes", 60), ("hours", 3600), ("days", 86400), ("sec.", 1), ("[ms]", 1e-3),
        ("milliseconds since 2024-03-05 10:00:00", 1e-3), ("days since 1900-01-01", 86400),
        ("frames", None), ("", None), ("ms per frame", None), (None, None),
    ],
)  # fmt: skip
def test_units_of_time(unit, seconds):
    assert labels.scale_of(unit) == seconds


@pytest.mark.parametrize(
    ("label", "unit"),
    [
        ("time", ""), ("Time (s)", "s"), ("time_ms", "ms"), ("Time [µs]", "us"), ("t", ""),
        ("times", ""), ("timestampsMs", "ms"), ("frame times", ""), ("Elapsed time [min]", "min"),
        ("Time (days)", "days"), ("seconds", "seconds"), ("timeline", None), ("ROI1", None),
        ("test", None), ("th1", None), ("tvec", ""), ("time_vector (ms)", "ms"), ("taxis", ""),
    ],
)  # fmt: skip
def test_labels_that_are_time(label, unit):
    assert labels.time_unit(label) == unit


@pytest.mark.parametrize(
    ("label", "unit"),
    [
        ("Prof 1 Time(ms)", "ms"), ("Time2 (s)", "s"), ("SystemTimestamp", ""),
        ("ComputerTimestamp", ""), ("Acquisition time", ""), ("cell 1", None), ("downtimes", None),
    ],
)  # fmt: skip
def test_labels_that_mention_time(label, unit):
    assert labels.unit_of_time(label) == unit


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a_dff", "b_dF/F0"], [("a", "dff"), ("b", "dff0")]),
        (["Fneu 3", "C_raw.3", "raw"], [("3", "fneu"), ("3", "craw"), ("", "raw")]),
        (["cell1", "cell1 spikes", "cell2"], [("cell 1", ""), ("cell 1", "spikes"), None]),
        (["c_raw", "c_dff"], [("c", "raw"), ("c", "dff")]),
        (["C_raw", "S"], [("", "craw"), ("", "s")]),
        (["F1", "S1"], [("1", "f"), ("1", "s")]),
        (["c1", "c2"], [None, None]),  # letters of neurons
        (["a1", "c1", "f1"], [None, None, None]),
        (["ROI1 Green", "ROI1_Ch2"], [("roi 1", "green"), ("roi 1", "ch2")]),
        (["green 1", "red", "Ch1"], [None, None, None]),  # which neurons, or only names
        (["a F340", "a F380", "a ratio"], [("a", "340"), ("a", "380"), ("a", "ratio")]),
        (["a_340", "a_380"], [("a", "340"), ("a", "380")]),
        (["ROI 340", "ROI 350", "ROI 1"], [None, None, None]),
    ],
)
def test_quantities(names, found):
    assert labels.quantities(names) == found


def test_columns_beside_fluorescence():
    for label in (
        "Digital1",
        "DI/O-1",
        "Flags",
        "LedState",
        "TTL",
        "stim_2",
        "isosbestic",
        "State",
        "AOut-1",
        "Analog Out",
        *("motion_x", "z_drift", "Shift X (px)", "xoff", "running_speed (cm/s)", "Head velocity"),
        *("motion energy", "Pupil area", "eye_y", "acc_x", "whisking", "odor_2", "air puff", "EMG"),
        *("pos", "vel", "x_pos", "mouse_pos_y", "yaw", "distance (cm)", "Comments"),
        *("Background", "BG 1", "bkgd", "Background ROI"),
    ):
        assert labels.is_no_trace(label), label
    for label in (
        *("roi1", "Mean1", "Analog1", "Region0G", "diver", "dff", "soma", "state_cell_1x"),
        *("AIn-1 - Dem (AOut-1)", "x", "y2", "off", "face cell", "motor1", "ACC", "EMX1"),
    ):
        assert not labels.is_no_trace(label), label
    for label in ("trial", "Session ID", "trial_number", "epoch", "Block"):
        assert labels.names_pieces(label), label
    assert not labels.names_pieces("trialist") and not labels.names_pieces("cell1")
    assert labels.isosbestic(["Region0_415", "Region0_470"]) == [0]
    assert labels.isosbestic(["405", "470"]) == [0]
    assert labels.isosbestic(["cell405", "cell470", "cell471"]) == []


def test_states_and_what_only_rises():
    rng = np.random.default_rng(0)
    trace = rng.normal(size=200)
    states = rng.integers(0, 3, 200).astype(float)
    assert labels.is_state(states) and not labels.is_state(trace)
    assert not labels.is_state(np.zeros(200)), "a dead neuron"
    assert labels.only_rises(np.arange(200.0)) and not labels.only_rises(trace)
    assert labels.alternates(np.arange(200) % 2.0)
    assert not labels.alternates((np.arange(200) // 50) % 2.0)


def test_times_that_start_anew():
    once = np.arange(50) / 10
    assert labels.restarts(np.tile(once, 3)).tolist() == [50, 100]
    assert labels.restarts(once).size == 0
    for bad in (3, 20):  # a single stamp that is wrong, and one that is out of order by little
        times = once.copy()
        times[bad] = 0
        assert labels.restarts(times).size == 0
    assert labels.restarts(np.r_[once, once[::-1]]).size == 0


def test_trials_by_a_column():
    assert labels.starts_of([1, 1, 2, 2, 1]) == (0, 2, 4)
    assert labels.starts_of(["a", "a", "b"]) == (0, 2)
    assert labels.starts_of([1, np.nan, np.nan, 2, np.nan]) == (0, 3)
