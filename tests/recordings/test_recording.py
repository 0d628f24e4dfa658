"""Arrays become a recording, or are refused with what is wrong with them."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikefinder_keras.errors import DataError, OutputError, UsageError
from spikefinder_keras.recordings import write_prediction
from spikefinder_keras.recordings.inputs import as_recording as recording_of
from spikefinder_keras.recordings.options import ORIENTATIONS
from spikefinder_keras.recordings.quality import EXPECTED
from spikefinder_keras.recordings.recording import (
    NO_QUALITY,
    NeuronQuality,
    Prediction,
    Quality,
    Recording,
)


def as_recording(traces, *arguments, **options):
    """Tables `(frame, neuron)`, as the tests of this file have them."""
    return recording_of(traces, *arguments, **{"orientation": "time-neuron"} | options)


def traces(frames=12, neurons=3):
    return np.arange(frames * neurons, dtype=np.float64).reshape(frames, neurons) / 10


def test_an_array_and_its_frame_rate():
    values = traces()
    recording = as_recording(values, 30.0, unit="dF/F", source="mine", notes=["cut"])
    np.testing.assert_array_equal(recording.fluorescence, values)
    np.testing.assert_array_equal(recording.times, np.arange(12) / 30)
    assert recording.frame_rate == 30.0
    assert recording.names == ("0", "1", "2")
    assert (recording.unit, recording.source) == ("dF/F", "mine")
    assert (recording.notes, recording.segment_starts) == (("cut",), (0,))


def test_one_neuron_may_be_a_vector():
    for orientation in (None, *ORIENTATIONS):
        recording = as_recording(np.arange(9.0), 10, orientation=orientation)
        assert recording.fluorescence.shape == (9, 1)
        np.testing.assert_array_equal(recording.fluorescence[:, 0], np.arange(9.0))


def test_whole_numbers_become_floats():
    recording = as_recording(np.arange(9, dtype=np.uint16), 10)
    assert recording.fluorescence.dtype == np.float32


def test_names_are_text():
    assert as_recording(traces(), 10, names=[4, 7, "soma"]).names == ("4", "7", "soma")


@given(
    hnp.arrays(
        hnp.floating_dtypes(sizes=(32, 64), endianness="="),
        st.tuples(st.integers(3, 9), st.integers(1, 3)),
        elements=st.floats(-1e6, 1e6, width=32) | st.just(float("nan")),
    )
)
def test_both_orientations_give_the_same_recording(values):
    before = values.copy()
    straight = as_recording(values, 20)
    turned = as_recording(values.T, 20, orientation="neuron-time")
    np.testing.assert_array_equal(straight.fluorescence, turned.fluorescence)
    for found, trace in zip(straight.fluorescence.T, before.T, strict=True):
        known = trace[np.isfinite(trace)]
        constant = known.size and known.min() == known.max()
        np.testing.assert_array_equal(found, np.full_like(trace, np.nan) if constant else trace)
    np.testing.assert_array_equal(values, before)
    assert straight.fluorescence.dtype == before.dtype
    assert straight.names == turned.names


# Orientation


def test_more_neurons_than_frames_need_a_statement():
    wide = traces(3, 12)
    with pytest.raises(
        DataError,
        match=r"array read as neuron-time would have 12 neurons of 3 frames each; state the "
        r"orientation \(--orientation\), time-neuron or neuron-time",
    ):
        recording_of(wide.T, 30)
    with pytest.raises(DataError, match="read as time-neuron would have 12 neurons of 3 frames"):
        recording_of(wide, 30, usual_orientation="time-neuron")
    assert as_recording(wide, 30, orientation="time-neuron").fluorescence.shape == (3, 12)
    assert as_recording(wide, 30, orientation="neuron-time").fluorescence.shape == (12, 3)


def test_unknown_words():
    with pytest.raises(UsageError, match=r"orientation 'rows'.* choose from time-neuron, neuron-"):
        as_recording(traces(), 30, orientation="rows")
    with pytest.raises(UsageError, match="no unit 'percent'; choose from dF/F, F, competition"):
        as_recording(traces(), 30, unit="percent")


# Values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((5, 2), complex), "holds complex128 values; give an array of real numbers"),
        (np.array([["a"], ["b"]]), "values; give an array of real numbers"),
        (np.array([None, 1.0], object), "holds object values; give an array of real numbers"),
        (np.zeros((5, 2, 2)), r"has shape \(5, 2, 2\); give neurons x frames"),
        (np.zeros((0, 2)), r"has shape \(0, 2\); give neurons x frames"),
        (np.zeros(()), r"has shape \(\); give neurons x frames"),
    ],
)
def test_no_table_of_real_numbers(values, message):
    with pytest.raises(DataError, match=message):
        as_recording(values, 30)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_values(value):
    values = traces()
    values[7, 2] = value
    before = values.copy()
    recording = as_recording(values, 30)
    np.testing.assert_array_equal(values, before)
    before[7, 2] = np.nan
    np.testing.assert_array_equal(recording.fluorescence, before)
    assert recording.notes == ("1 value in 1 of 3 neurons taken as missing: infinite",)
    with pytest.raises(
        DataError, match=r"neuron 2 is infinite in frame 7 \(counted from 0\); mark"
    ):
        as_recording(values, 100, unit="competition")


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "a"]])
def test_names_that_do_not_tell_neurons_apart(names):
    with pytest.raises(
        DataError, match="has 3 neurons and 2 different names; give each neuron its own"
    ):
        as_recording(traces(), 30, names=names)


@pytest.mark.parametrize("starts", [(), (1,), (0, 12), (0, 5, 5), (0, 7, 3)])
def test_impossible_blocks(starts):
    with pytest.raises(DataError, match=re.escape(f"cannot start at the frames {starts} of 12")):
        as_recording(traces(), 30, segment_starts=starts)


# Time


@pytest.mark.parametrize("rate", [0, -30.0, float("nan"), float("inf"), "fast", [30.0, 30.0]])
def test_impossible_frame_rates(rate):
    with pytest.raises(
        UsageError, match=r"a (frame )?rate of .* Hz is impossible; give a positive"
    ):
        as_recording(traces(), rate)


def test_without_a_frame_rate():
    with pytest.raises(
        UsageError, match=r"array does not tell its frame rate; state it in Hz \(--frame-rate\)"
    ):
        as_recording(traces())
    with pytest.raises(UsageError, match="array is one frame long; state its frame rate in Hz"):
        as_recording(traces(1, 1), times=[3.0])
    assert as_recording(traces(1, 1), 30, times=[3.0]).frame_rate == 30


def test_time_stamps_tell_the_frame_rate():
    times = 100 + np.arange(12) / 59.1
    times[5:] += 3.0
    recording = as_recording(traces(), times=times)
    np.testing.assert_array_equal(recording.times, times)
    # Nine digits, so that the round-off of time stamps behind 100 s does not show.
    assert recording.frame_rate == 59.1
    # A stated rate may differ by 1%; the time stamps' is the one that counts.
    assert as_recording(traces(), 59.5, times=times).frame_rate == 59.1
    with pytest.raises(UsageError, match=r"time stamps are 59.1 frames per second, not 60; leave"):
        as_recording(traces(), 60, times=times)
    with pytest.raises(UsageError, match=r"correct the time stamps \(they are in s"):
        as_recording(traces(), 59.1, times=1000 * times)  # ms


@pytest.mark.parametrize(
    ("change", "frame"),
    [((5, 0.0), 5), ((5, 4 / 30), 5)],
)
def test_time_stamps_that_do_not_increase(change, frame):
    times = np.arange(12) / 30
    times[change[0]] = change[1]
    with pytest.raises(DataError, match=f"the time stamp of frame {frame} .* is not later than"):
        as_recording(traces(), times=times)


def test_another_number_of_time_stamps():
    with pytest.raises(DataError, match="array has 12 frames but 11 time stamps; give as many"):
        as_recording(traces(), times=np.arange(11) / 30)


# The result


def test_a_prediction_has_the_time_stamps_and_names_of_its_recording():
    recording = as_recording(traces(), 30, names="abc")
    prediction = Prediction(np.zeros((12, 3), np.float32), recording)
    assert prediction.times is recording.times
    assert prediction.names == ("a", "b", "c")
    assert prediction.spike_times is None
    assert prediction.quality == NO_QUALITY
    assert Recording.__dataclass_params__.frozen


@pytest.mark.parametrize(
    ("shape", "said"), [((1, 1), "1 neuron, 1 frame"), ((9, 2), "2 neurons, 9")]
)
def test_one_is_one(shape, said):
    recording = Recording(np.zeros(shape), np.arange(shape[0]), 30.0, tuple("ab"[: shape[1]]))
    assert said in repr(recording)
    assert said in repr(Prediction(np.zeros(shape, np.float32), recording))


def test_rates_are_turned_as_what_was_given():
    table = np.arange(36, dtype=np.float32).reshape(12, 3)
    recording = as_recording(traces(), 30)
    for orientation, rates in (("time-neuron", table), ("neuron-time", table.T)):
        prediction = Prediction(table, replace(recording, orientation=orientation))
        np.testing.assert_array_equal(prediction.rates, rates)


# What a prediction does


@pytest.fixture
def named():
    recording = as_recording(traces(), 30, names=["a", "<b>", "c"])
    quality = tuple(NeuronQuality(n, 1.0, 0.5, "height", 0.9, 0, 0) for n in recording.names)
    rates = np.arange(36, dtype=np.float32).reshape(12, 3)
    about = {"unit": "a.u.", "weights": "universal"}
    return Prediction(rates, recording, about, quality=Quality(quality, (), EXPECTED))


def test_it_saves_itself_as_it_is_written(named, tmp_path):
    path = named.save(tmp_path / "rates.npz")
    assert path == tmp_path / "rates.npz"
    write_prediction(tmp_path / "same.npz", named)
    assert path.read_bytes() == (tmp_path / "same.npz").read_bytes()
    with pytest.raises(OutputError, match="overwrite"):
        (tmp_path / "mine.csv").write_text("mine")
        named.save(tmp_path / "mine.csv")


def test_it_becomes_a_frame_of_pynapple(named):
    pytest.importorskip("pynapple")
    frame = named.to_pynapple()
    assert list(frame.columns) == list(named.names)
    np.testing.assert_array_equal(frame.values, named.table)


def test_a_notebook_shows_it_as_text(named):
    shown = named._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert repr(named).strip("<>") in shown
    assert "expected r" in shown
    assert Prediction(named.table, named.recording)._repr_html_().count("\n") == 0


def test_it_plots_itself(named):
    import matplotlib.pyplot as plt

    ax = plt.figure().add_subplot()
    assert named.plot(["c", 0], window=(0.1, 0.3), ax=ax) is ax
    labels = [text.get_text() for text in ax.get_yticklabels()][::2]
    plt.close("all")
    assert labels == ["neuron c", "neuron a"]
    with pytest.raises(UsageError, match="no neuron 3; they are numbered 0 to 2"):
        named.plot(3)
