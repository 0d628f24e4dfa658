"""Frames that are not there: what counts them, and time stamps that pause, jitter or lack."""

import numpy as np
import pandas as pd
import pytest

from spikefinder_keras import predict, read_recording
from spikefinder_keras.errors import DataError, UsageError
from spikefinder_keras.recordings.inputs import as_recording

FRAMES, RATE = 201, 30.0
TRACES = np.random.default_rng(0).random((3, FRAMES))
TIMES = np.arange(FRAMES) / RATE
KEPT = np.r_[0:20, 30:FRAMES]
TABLE = pd.DataFrame(TRACES.T, columns=[f"cell{k}" for k in range(len(TRACES))])
PAUSE = "the time stamps pause at 1 place, for 0.37 s at most: no frames are there"


def test_rows_that_were_taken_out_of_a_table_leave_a_hole():
    """What pandas' index and a column of frames count is when a frame was, and never in s."""
    for table in (TABLE, TABLE.assign(frame=np.arange(FRAMES)).set_index("frame")):
        kept = table.iloc[KEPT]
        recording = as_recording(kept, RATE)
        np.testing.assert_allclose(recording.times, TIMES[KEPT])
        assert recording.notes[-1] == PAUSE
        with pytest.raises(UsageError, match="does not tell its frame rate"):
            as_recording(kept)
    every_second = as_recording(TABLE.iloc[::2], RATE / 2)
    np.testing.assert_allclose(every_second.times, TIMES[::2])
    assert every_second.notes == ()


@pytest.mark.parametrize("form", ["wide", "long"])
def test_frame_numbers_of_a_file_leave_a_hole(tmp_path, form):
    table = TABLE.assign(frame=np.arange(1, FRAMES + 1)).iloc[KEPT]
    table = table[["frame", *TABLE]]
    if form == "long":
        table = table.melt(id_vars="frame", var_name="neuron", value_name="dff")
    table.to_csv(tmp_path / "a.csv", index=False)
    recording = read_recording(tmp_path / "a.csv", frame_rate=RATE)
    np.testing.assert_allclose(recording.times, TIMES[KEPT])
    assert (recording.rate_from, recording.notes[-1]) == ("as stated", PAUSE)
    # Multiples of one number count nothing else than the rows.
    table["frame"] *= 33
    table.to_csv(tmp_path / "a.csv", index=False)
    np.testing.assert_allclose(
        read_recording(tmp_path / "a.csv", frame_rate=RATE).times, TIMES[KEPT]
    )


def test_time_stamps_that_count():
    stamps = np.arange(FRAMES)
    recording = as_recording(TRACES, RATE, stamps)
    np.testing.assert_allclose(recording.times, TIMES)
    assert recording.notes == (f"the time stamps count frames: {RATE:g} Hz, as stated",)
    assert as_recording(TRACES, times=stamps).notes == (
        "the time stamps are whole numbers in steps of one: taken as s",
    )
    assert as_recording(TRACES, 1, stamps).notes == ()


def test_jitter_does_not_change_the_frame_rate():
    rng = np.random.default_rng(0)
    times = np.arange(3_000) / 30
    for jitter in (rng.choice([0, 1 / 60], 3_000), rng.normal(0, 0.006, 3_000)):
        stamps = np.sort(times + jitter)
        # Of 3,000 intervals the mean is known to 0.3% (11 ms over their root, of 33 ms).
        recording = as_recording(rng.normal(size=(1, 3_000)), 30, stamps)
        assert recording.frame_rate == pytest.approx(30, rel=0.005)
        assert recording.notes == ()


def test_missing_time_stamps_beside_a_pause_are_refused():
    stamps = np.where(np.arange(FRAMES) >= 100, TIMES + 60, TIMES)
    stamps[90:100] = np.nan
    with pytest.raises(DataError, match=r"missing \(NaN\) behind frame 89 .*another time passes"):
        as_recording(TRACES, RATE, stamps)


def test_sessions_of_different_rates_are_named():
    stamps = np.concatenate([np.arange(100) / 30, np.arange(FRAMES - 100) / 20])
    notes = as_recording(TRACES, times=stamps).notes
    assert notes[-1].startswith("the segments are of different frame rates, 30, 20 Hz")


def test_a_frame_rate_against_the_time_stamps_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", dff=TRACES, frame_rate=RATE / 2, t=TIMES)
    note = f"the frame rate is {RATE:g} Hz, but {RATE / 2:g} Hz in "
    assert read_recording(tmp_path / "a.npz").notes[-1] == note + "frame_rate"
    table = TABLE.assign(time=TIMES, fps=RATE / 2)
    recording = as_recording(table)
    assert (recording.frame_rate, recording.notes[-1]) == (RATE, note + "the table")


def test_a_clock_in_another_group_does_not_go_before_the_own_rate(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["im/dff"], file["im/fs"], file["behaviour/time"] = TRACES, RATE, TIMES / 2
    assert read_recording(tmp_path / "a.h5").frame_rate == RATE
    # `s10` is no part of `s1`.
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["fs"], file["s1/dff"], file["s10/dff"] = RATE, TRACES, TRACES
        file["s10/time"] = TIMES / 2
    assert read_recording(tmp_path / "b.h5", variable="s1/dff").frame_rate == RATE


def test_trials_of_a_long_table_stand_in_order():
    """Rows come in any order, a cell may lack the first trial, and a trial is one of a session."""
    trial = np.repeat([0, 1, 2], FRAMES // 3 + 1)[:FRAMES]
    anew = TIMES - TIMES[np.searchsorted(trial, trial)]
    days = np.where(trial < 2, "tue", "mon")  # in order of time alone
    for session, time in ((trial // 2, TIMES), (trial // 2, anew), (days, TIMES)):
        wide = TABLE.assign(session=session, trial=trial % 2, time=time)
        long = wide.melt(id_vars=["session", "trial", "time"], var_name="cell", value_name="dff")
        gone = (long.cell == "cell0") & (long.session == session[0]) & (long.trial == 0)
        for table in (long[~gone], long.sample(frac=1, random_state=1)):
            recording = as_recording(table)
            place = list(recording.names).index("cell1")
            np.testing.assert_allclose(recording.fluorescence[:, place], TRACES[1], rtol=1e-6)
            np.testing.assert_allclose(recording.times, TIMES, atol=1e-6)


def test_a_recording_takes_no_more_statements():
    recording = as_recording(TRACES, RATE)
    for stated in ({"frame_rate": 15.0}, {"times": TIMES}, {"neuropil": 0.7}, {"variable": "x"}):
        with pytest.raises(UsageError, match=f"knows its {next(iter(stated))}; leave"):
            predict(recording, **stated)


def test_what_is_read_of_a_table_in_memory_is_stated():
    table = pd.DataFrame({"time": TIMES, "cell1_green": TRACES[0], "cell1_red": TRACES[1]})
    with pytest.raises(UsageError, match="green and red of a neuron"):
        as_recording(table)
    np.testing.assert_allclose(
        as_recording(table, variable="red").fluorescence[:, 0], TRACES[1], rtol=1e-6
    )
    for other in (TRACES, np.ma.masked_less(TRACES, 0)):
        with pytest.raises(UsageError, match="nothing to choose from"):
            as_recording(other, RATE, variable="red")


def test_neuropil_that_is_not_there_is_noted(tmp_path):
    np.save(tmp_path / "a.npy", TRACES)
    for neuropil, notes in ((0.7, ("there is no neuropil to subtract (--neuropil)",)), (0, ())):
        recording = read_recording(tmp_path / "a.npy", frame_rate=RATE, neuropil=neuropil)
        assert recording.notes == notes


def test_comments_among_the_rows(tmp_path):
    lines = TABLE.assign(time=TIMES)[["time", *TABLE]].to_csv(index=False).split("\n")
    lines[40:40], lines[-1] = ["# stimulus on"], "# end"
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines))
    recording = read_recording(path)
    np.testing.assert_allclose(recording.fluorescence.T, TRACES, rtol=1e-6)
    assert "2 lines of comment among the rows left out" in recording.notes
    cell = lines[60].split(",")[1]
    path.write_text("\n".join(lines).replace(cell, "oops"))
    with pytest.raises(DataError, match="row 61, column 2"):
        read_recording(path)
