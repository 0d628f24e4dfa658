"""Maps from output to spikes per second: fitted, stored, applied, and the spikes made from them."""

import json
import shutil

import h5py
import numpy as np
import pytest

from spikefinder_keras.constants import DATASET_COUNT, SAMPLE_RATE
from spikefinder_keras.errors import DataError, WeightsError
from spikefinder_keras.network.weights import embedded_folder, find_weights
from spikefinder_keras.recordings.calibration import (
    Calibration,
    calibration_path,
    fit_map,
    load_calibration,
    save_calibration,
)
from spikefinder_keras.recordings.fit_calibration import calibrate, calibration_table
from spikefinder_keras.recordings.ground_truth import find_ground_truth, read_ground_truth
from spikefinder_keras.recordings.preparation import find_blocks
from spikefinder_keras.recordings.spikes import spike_times

IDS = range(1, DATASET_COUNT + 1)


@pytest.fixture
def weights(tmp_path):
    """A copy of the embedded weights, without their calibration."""
    path = tmp_path / "mine.weights.h5"
    shutil.copy(find_weights("described"), path)
    return path


def made_calibration():
    rng = np.random.default_rng(0)
    maps = {
        k: (np.sort(rng.random(5)), np.sort(rng.random(5) * 20))
        for k in IDS  # any floats, to see whether they come back to the last digit
    }
    return Calibration(maps, {"GCaMP6s": {"neurons": 3, "bias": 1.1}}, "made up, é")


# The monotone map


def test_it_recovers_the_relation_behind_poisson_counts():
    rng = np.random.default_rng(0)
    output = rng.uniform(0, 3, 200_000)
    counts = rng.poisson(2 * output**2 / 25)  # spikes in 40 ms
    x, y = fit_map(output, counts * 25.0)
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) >= 0).all()
    at = np.linspace(0.2, 2.8, 50)
    truth = 2 * at**2
    # Of 1,000 samples in a bin the mean scatters by sqrt(25 rate / 1000); four times that. Monotony
    # can only lessen it.
    assert (np.abs(np.interp(at, x, y) - truth) <= 4 * np.sqrt(25 * truth / 1000)).all()
    assert np.interp(output, x, y).mean() == pytest.approx(25 * counts.mean(), rel=0.005)


def test_a_falling_relation_becomes_its_mean():
    output = np.linspace(0, 1, 1000)
    x, y = fit_map(output, 5 - 4 * output)
    np.testing.assert_allclose(y, 3.0, rtol=1e-8)  # nine digits are stored
    assert len(x) == 2  # inner points of a flat stretch say nothing


def test_weights_say_how_much_a_sample_counts():
    output = np.repeat([0.0, 1.0], 4)
    rate = np.array([0.0, 0, 0, 4, 8, 8, 8, 0])
    np.testing.assert_array_equal(fit_map(output, rate)[1], [1, 6])
    weight = np.array([1.0, 1, 1, 3, 1, 1, 1, 1])
    np.testing.assert_array_equal(fit_map(output, rate, weight)[1], [2, 6])
    x, y = fit_map(output, rate, 1000 * weight)
    np.testing.assert_array_equal((x, y), ([0, 1], [2, 6]))


def test_constant_output_gives_the_mean_rate():
    rate = np.repeat([0.0, 10.0], 500)
    for order in (rate, rate[::-1]):
        x, y = fit_map(np.full(1000, 0.25), order)
        np.testing.assert_array_equal((x, y), ([0.25], [5.0]))
        assert np.interp([-1, 0.25, 7], x, y).tolist() == [5, 5, 5]
    np.testing.assert_array_equal(fit_map([0.5], [3.0]), ([0.5], [3.0]))


def test_it_does_not_depend_on_the_order_of_samples():
    rng = np.random.default_rng(1)
    output = rng.integers(0, 20, 5000) / 20  # many equal ones
    rate = rng.poisson(output * 3).astype(float)
    order = rng.permutation(5000)
    for one, other in zip(fit_map(output, rate), fit_map(output[order], rate[order]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8)  # nine digits are stored


@pytest.mark.parametrize(("output", "rate"), [([], []), ([1.0, 2.0], [1.0]), ([[1.0]], [[1.0]])])
def test_no_vectors_of_one_length(output, rate):
    with pytest.raises(DataError, match=r"outputs .* and rates .* must be two equal vectors"):
        fit_map(output, rate)


# Its file


def test_save_and_load(weights):
    made = made_calibration()
    path = save_calibration(made, weights)
    assert path == weights.with_name("mine.calibration.json")
    loaded = load_calibration(weights)
    assert (loaded.about, loaded.held_out) == (made.about, made.held_out)
    assert loaded.maps.keys() == made.maps.keys()
    for number in IDS:
        np.testing.assert_array_equal(loaded.maps[number], made.maps[number])
    before = path.read_bytes()
    assert save_calibration(loaded, weights) == path
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["mine.weights.h5", "mine.h5", "mine"])
def test_where_it_is(name, tmp_path):
    (tmp_path / name).write_bytes(b"some weights")
    assert calibration_path(tmp_path / name) == tmp_path / "mine.calibration.json"


@pytest.mark.parametrize("name", ["model_convnet_6", "other name.weights.h5"])
def test_the_published_weights_have_theirs_with_the_package(data, name, tmp_path):
    path = tmp_path / name
    shutil.copy(data / "published" / "model_convnet_6", path)
    assert calibration_path(path) == embedded_folder() / "published.calibration.json"
    assert sorted(load_calibration(path).maps) == list(IDS)


@pytest.mark.parametrize("name", ["described", "released"])
def test_the_embedded_weights_have_theirs(name):
    path = find_weights(name)
    if not calibration_path(path).exists():
        pytest.skip(f"there is no {calibration_path(path).name} in weights/ yet")
    calibration = load_calibration(path)
    assert sorted(calibration.maps) == list(IDS)
    assert "Rupprecht et al. 2021" in calibration.about
    for found in calibration.held_out.values():
        assert found["neurons"] > 0
        assert found["bias"] > 0
        assert found["rate_error"] > 0
        assert found["silent_error"] > 0
        assert found["mean_rate_error"] > 0


def test_weights_without_calibration(weights):
    with pytest.raises(
        WeightsError,
        match=r"has no calibration mine.calibration.json beside it; fit one with "
        r"`spikefinder-keras calibrate --weights .*mine.weights.h5`",
    ):
        load_calibration(weights)


def one_map(output, rate):
    return {"maps": {str(k): {"output": output, "spikes_per_second": rate} for k in IDS}}


ABOUT = {"about": "", "held_out": {}}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[1, 2]",
        "null",
        "\x00",
        {"maps": {}},
        ABOUT,
        one_map([0.0, 1.0], [0.0, 1.0]),  # without the rest
        ABOUT | {"maps": {}},
        ABOUT | {"maps": {"1": one_map([0.0], [1.0])["maps"]["1"]}},
        ABOUT | {"maps": {"one": one_map([0.0], [1.0])["maps"]["1"]}},
        ABOUT | one_map([], []),
        ABOUT | one_map([0.0, 1.0], [0.0]),
        ABOUT | one_map([1.0, 0.0], [0.0, 1.0]),
        ABOUT | one_map([0.0, 0.0], [0.0, 1.0]),
        ABOUT | one_map([0.0, 1.0], [1.0, 0.0]),
        ABOUT | one_map([0.0, 1.0], [-1.0, 0.0]),
        ABOUT | one_map([0.0, float("nan")], [0.0, 1.0]),
        ABOUT | one_map([0.0, 1.0], [0.0, float("inf")]),
        ABOUT | one_map([[0.0], [1.0]], [[0.0], [1.0]]),
        ABOUT | one_map(["a", "b"], [0.0, 1.0]),
        ABOUT | one_map({"a": 1}, [0.0]),
        ABOUT | one_map(0.5, 1.0),
    ],
)
def test_a_damaged_file(content, weights):
    path = calibration_path(weights)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(
        WeightsError,
        match=r"mine.calibration.json is no calibration file .* fit it again with `spikefinder-k",
    ):
        load_calibration(weights)


def test_a_file_cut_anywhere(weights):
    path = save_calibration(made_calibration(), weights)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 101):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"mine.calibration.json is no calibration file"):
            load_calibration(weights)


# Its use


def test_spikes_per_second():
    calibration = Calibration({3: (np.array([0.0, 1.0]), np.array([2.0, 6.0]))})
    output = np.array([[-1.0, 0.0], [0.25, 2.0]])
    np.testing.assert_allclose(calibration.spikes_per_second(output, 3), [[2, 2], [3, 6]])
    assert np.isnan(calibration.spikes_per_second(np.array([np.nan]), 3)).all()


@pytest.mark.parametrize("seed", range(5))
def test_as_many_spikes_as_expected(seed):
    rng = np.random.default_rng(seed)
    rates = rng.gamma(0.2, 20, 3000)
    found = spike_times(rates, 100.0, SAMPLE_RATE)
    assert found.size == round(rates.sum() / SAMPLE_RATE)
    assert (np.diff(found) > 0).all()
    assert found[0] >= 100.0
    assert found[-1] <= 130.0


def test_spikes_by_hand():
    """0.8 spikes in each of two samples: 0.5 is passed in the first, 1.5 in the second one."""
    np.testing.assert_allclose(spike_times([8, 8, 0, 0], 2.0, 10.0), [2.0625, 2.1875])
    # Ten spikes expected within one sample are ten, evenly spread.
    np.testing.assert_allclose(
        spike_times([0, 1000.0, 0], 0.0, 100.0), 0.01 + (np.arange(10) + 0.5) / 1000
    )


@pytest.mark.parametrize("rates", [[], [0.0], np.zeros(500), np.full(49, 1.0)])
def test_no_spikes_where_fewer_than_half_are_expected(rates):
    assert spike_times(rates, 0.0, SAMPLE_RATE).shape == (0,)


# Ground truth, and the fit on it


def write_ground_truth(path, neurons=2, seconds=40.0, rate=30.0, seed=0):
    """A file in the layout of the collection, and its spike times by neuron."""
    frames, spikes = int(seconds * rate), {}
    with h5py.File(path, "w") as file:
        for neuron in range(neurons):
            rng = np.random.default_rng([seed, neuron])
            times = 5.0 + np.arange(frames) / rate
            spike = np.sort(rng.uniform(5, 5 + seconds, 40))
            since = times[:, None] - spike
            dff = np.where(since > 0, np.exp(-np.maximum(since, 0) / 0.5), 0).sum(axis=1)
            dff = (0.2 * dff + 0.02 * rng.normal(size=frames)).astype(np.float32)
            dff[:4] = np.nan
            group = file.create_group(f"neuron_{neuron:03d}/recording_000")
            group["dff"], group["time"], group["spike_times"] = dff, times, spike
            group.attrs["frame_rate"] = rate
            spikes[f"neuron_{neuron:03d}"] = spike
    return spikes


def test_read_ground_truth(tmp_path):
    path = tmp_path / "DS20-jGECO1a-m-V1.h5"
    spikes = write_ground_truth(path, neurons=9)
    truths = read_ground_truth(path)
    assert [truth.neuron for truth in truths] == [
        f"neuron_{k:03d}" for k in range(8)
    ]  # not the 9th
    truth = truths[3]
    assert (truth.dataset, truth.indicator, truth.area) == ("DS20", "jRGECO1a", "V1, mouse")
    assert truth.competition == 10
    assert truth.recording.fluorescence.shape == (1196, 1)
    assert truth.recording.times[0] == pytest.approx(5 + 4 / 30)
    assert truth.recording.frame_rate == pytest.approx(30)
    np.testing.assert_array_equal(truth.spike_times, spikes["neuron_003"])
    (counts,) = truth.spikes(find_blocks(truth.recording))
    start = truth.recording.times[0]
    inside = spikes["neuron_003"][spikes["neuron_003"] >= start]
    np.testing.assert_array_equal(
        np.flatnonzero(counts), np.unique(((inside - start) * 100).astype(int))
    )


@pytest.mark.parametrize(
    ("name", "indicator", "area"),
    [
        ("DS02-OGB1-2-m-V1.h5", "OGB-1", "V1, mouse"),
        ("DS05-Cal520-zf-pDp.h5", "Cal520", "pDp, zebrafish"),
        ("DS18-R-CaMP-m-CA3.h5", "R-CaMP", "CA3, mouse"),
    ],
)
def test_the_names_of_the_collection(name, indicator, area, tmp_path):
    write_ground_truth(tmp_path / name, neurons=1)
    (truth,) = read_ground_truth(tmp_path / name)
    assert (truth.indicator, truth.area, truth.competition) == (indicator, area, None)


def test_folders_and_files_that_are_none(tmp_path):
    for name in ("DS9.txt", "other.h5", "DS01.h5"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"no ground-truth file such as DS09-GCaMP6f-m-V1.h5 in"):
        find_ground_truth(tmp_path)
    with pytest.raises(DataError, match=r"other.h5 is not named as a file of the collection"):
        read_ground_truth(tmp_path / "other.h5")


@pytest.mark.parametrize("fault", ["empty", "html", "no dff", "cut", "nothing but NaN"])
def test_damaged_ground_truth(fault, tmp_path):
    path = tmp_path / "DS09-GCaMP6f-m-V1.h5"
    write_ground_truth(path, neurons=1)
    if fault == "empty":
        path.write_bytes(b"")
    elif fault == "html":
        path.write_bytes(b"<html>Not found</html>")
    elif fault == "cut":
        path.write_bytes(path.read_bytes()[:-3000])
    else:
        with h5py.File(path, "r+") as file:
            dff = file["neuron_000/recording_000/dff"]
            dff[...] = np.nan
            if fault == "no dff":
                del file["neuron_000/recording_000/dff"]
    message = (
        "DS09 neuron_000 has a recording without any value; leave it out"
        if fault == "nothing but NaN"
        else r"DS09-GCaMP6f-m-V1.h5 cannot be read as a file of the collection .* fetch it again"
    )
    with pytest.raises(DataError, match=message):
        read_ground_truth(path)


def test_calibrate(weights, tmp_path):
    folder = tmp_path / "truth"
    folder.mkdir()
    write_ground_truth(folder / "DS09-GCaMP6f-m-V1.h5", neurons=2, seed=1)
    with pytest.raises(DataError, match="truth holds one dataset only; add another, so that each"):
        calibrate(weights, folder)
    write_ground_truth(folder / "DS16-GCaMP6s-m-V1.h5", neurons=1, rate=59.1, seed=2)
    write_ground_truth(folder / "DS04-OGB1-zf-pDp.h5", neurons=1, rate=7.8, seed=3)
    calibration, path = calibrate(weights, folder)
    assert path == tmp_path / "mine.calibration.json"
    loaded = load_calibration(weights)
    assert loaded.about == calibration.about
    assert "fitted on 4 neurons" in loaded.about
    assert "(DS04, DS09, DS16)" in loaded.about
    for number in IDS:
        np.testing.assert_array_equal(loaded.maps[number], calibration.maps[number])
        _, rates = loaded.maps[number]
        # 40 spikes in 40 s, more where the output is high and fewer where it is low.
        assert rates[0] < 1 < rates[-1]
    assert {name: found["neurons"] for name, found in loaded.held_out.items()} == {
        "GCaMP6f": 2,
        "GCaMP6s": 1,
        "OGB-1": 1,
    }
    for found in loaded.held_out.values():
        # All neurons are alike but for the frame rate, so the maps of others fit within a factor.
        assert 0.5 < found["bias"] < 2
        assert found["mean_rate_error"] <= 1
    header, *rows = calibration_table(loaded).splitlines()
    assert header.split()[:2] == ["indicator", "neurons"]
    assert [row.split()[:2] for row in rows] == [["GCaMP6f", "2"], ["GCaMP6s", "1"], ["OGB-1", "1"]]
    assert rows[0].rstrip().endswith("spikes/s")


def test_calibrate_on_neurons_that_never_fire(weights, tmp_path):
    """Their share of error has no meaning, so they are in the maps but not among the errors."""
    folder = tmp_path / "truth"
    folder.mkdir()
    write_ground_truth(folder / "DS09-GCaMP6f-m-V1.h5", neurons=1, seconds=15)
    silent = folder / "DS19-jRCaMP1a-m-V1.h5"
    write_ground_truth(silent, neurons=1, seconds=15)
    with h5py.File(silent, "r+") as file:
        del file["neuron_000/recording_000/spike_times"]
        file["neuron_000/recording_000/spike_times"] = np.zeros(0)
    calibration, _ = calibrate(weights, folder)
    assert list(calibration.held_out) == ["GCaMP6f"]
    assert "fitted on 2 neurons" in calibration.about
