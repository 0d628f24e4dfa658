"""What holds whatever the numbers are: round trips, and neurons that know nothing of each other."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.signal import lfilter

from spikefinder_keras.competition.tables import read_csv, write_csv
from spikefinder_keras.files.npy import read_npz
from spikefinder_keras.network.engine import load_engine
from spikefinder_keras.network.predict import predict_calcium
from spikefinder_keras.recordings.formats import read_recording, write_prediction
from spikefinder_keras.recordings.inputs import as_recording
from spikefinder_keras.recordings.pipeline import predict

FEW = settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NUMBERS = st.floats(-1e6, 1e6, width=32)
SIZES = st.tuples(st.integers(2, 40), st.integers(1, 5))


def tables(dtype=np.float64):
    return arrays.arrays(dtype, SIZES, elements=NUMBERS)


@settings(FEW, max_examples=60)
@given(tables(), st.data())
def test_csv_comes_back(tmp_path, table, data):
    holes = data.draw(arrays.arrays(bool, table.shape))
    holes[0] = False  # a row of empty cells at the end is none
    table = np.where(holes, np.nan, table)
    table[-1, 0] = 1.0
    write_csv(tmp_path / "a.csv", table)
    np.testing.assert_allclose(read_csv(tmp_path / "a.csv"), table, rtol=1e-11)


@FEW
@given(
    st.dictionaries(
        st.text("abcdefgh_", min_size=1, max_size=8),
        arrays.arrays(
            st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
            arrays.array_shapes(min_dims=0, max_dims=3, min_side=0),
        ),
        min_size=1,
    ),
    st.booleans(),
)
def test_npz_comes_back(tmp_path, values, packed):
    (np.savez_compressed if packed else np.savez)(tmp_path / "a.npz", **values)
    found = read_npz(tmp_path / "a.npz")
    assert found.keys() == values.keys()
    for name, value in values.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.slow
@FEW
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 4]), st.integers(60, 200))
def test_recordings_in_every_format_are_the_same(tmp_path, seed, neurons, frames):
    import zarr

    rng = np.random.default_rng(seed)
    traces = rng.normal(1, 0.1, (neurons, frames)).astype(np.float32)
    np.save(tmp_path / "a.npy", traces)
    np.savez(tmp_path / "b.npz", dff=traces)
    zarr.open_group(tmp_path / "c.zarr", mode="w").create_array("dff", data=traces)
    header = ",".join(f"n{k}" for k in range(neurons))
    np.savetxt(tmp_path / "d.csv", traces.T, "%.9g", ",", header=header, comments="")
    for name in ("a.npy", "b.npz", "c.zarr", "d.csv"):
        found = read_recording(tmp_path / name, frame_rate=30, orientation=None)
        np.testing.assert_array_equal(found.fluorescence.astype(np.float32), traces.T)


@settings(FEW, max_examples=5)
@given(st.integers(0, 2**32 - 1))
def test_weights_come_back(tmp_path, seed):
    import keras

    from spikefinder_keras.network.keras_model import build_network, load_network, save_weights

    keras.utils.set_random_seed(seed)
    network = build_network()
    save_weights(network, tmp_path / "a.weights.h5")
    found = load_network(tmp_path / "a.weights.h5")
    for one, other in zip(network.weights, found.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module", params=["universal", "described"])
def rates(request):
    """Rates `(frame, neuron)` of traces `(frame, neuron)`, as of 2017 or at 30 Hz.

    The delay is stated, as neurons share the one that is found, and nothing else: see
    `test_neurons_share_a_delay_and_nothing_else`.
    """
    if request.param == "described":
        engine = load_engine("described")
        return lambda traces: predict_calcium(traces, 4, engine)
    return lambda traces: (
        predict(as_recording(traces.T, 30, orientation="neuron-time"), delay=20).table
    )


def some(seed, frames=300, neurons=4):
    """Traces of which some are clear, and none of universal's rates is 0 throughout."""
    rng = np.random.default_rng(seed)
    spikes = rng.poisson(0.03, (frames, neurons))
    spikes[30::90] += 2  # as of 300 frames with no event at all there is no rate
    calcium = lfilter([1], [1, -0.95], spikes, axis=0)
    return rng.normal(1 + calcium * rng.uniform(0.5, 2, neurons), rng.uniform(0.05, 0.3, neurons))


@FEW
@given(st.integers(0, 2**32 - 1), st.permutations(range(4)))
def test_neurons_in_another_order(rates, seed, order):
    traces = some(seed)
    np.testing.assert_array_equal(rates(traces[:, order]), rates(traces)[:, order])


@pytest.mark.slow
@FEW
@given(st.integers(0, 2**32 - 1))
def test_one_by_one_is_as_all_at_once(rates, seed):
    """Within 3e-7, float32 round-off below 1: sums over a batch are taken in another order."""
    traces = some(seed)
    single = np.concatenate([rates(traces[:, k : k + 1]) for k in range(4)], axis=1)
    np.testing.assert_allclose(single, rates(traces), rtol=0, atol=3e-7)


@FEW
@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.integers(0, 299), st.integers(1, 300))
def test_what_one_lacks_changes_no_other(rates, seed, neuron, start, count):
    traces = some(seed)
    holed = traces.copy()
    holed[start : start + count, neuron] = np.nan
    others = [k for k in range(4) if k != neuron]
    found = rates(traces)[:, others]
    assert found.any(axis=0).all()
    np.testing.assert_array_equal(rates(holed)[:, others], found)


@FEW
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_what_is_given_is_not_changed(rates, seed, holes):
    traces = some(seed)
    if holes:
        traces[40:45, 1] = traces[100:, 2] = traces[:, 3] = np.nan
    kept = traces.copy()
    traces.flags.writeable = False
    rates(traces)
    np.testing.assert_array_equal(traces, kept)


@FEW
@given(st.integers(0, 2**32 - 1), st.sampled_from([".csv", ".npz", ".zarr"]))
def test_predictions_come_back(tmp_path, seed, suffix):
    import zarr

    prediction = predict(as_recording(some(seed).T, 30))
    path = write_prediction(tmp_path / f"r{suffix}", prediction)
    if suffix == ".csv":
        found = np.loadtxt(path, delimiter=",", skiprows=1)[:, 1:].T
    elif suffix == ".npz":
        found = read_npz_of(path)
    else:
        found = zarr.open(path)["spike_rates"][...]
    np.testing.assert_array_equal(found.astype(np.float32), np.float32(prediction.table).T)


def read_npz_of(path):
    with np.load(path, allow_pickle=False) as file:
        return file["spike_rates"]
