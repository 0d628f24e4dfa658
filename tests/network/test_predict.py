"""Padding, masks and weights of the released run, by hand."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from spikefinder_keras.network.predict import (
    COST_OF_A_BATCH,
    fill_missing,
    group_by_length,
    hold_start,
    padded_length,
)
from spikefinder_keras.network.universal import LEVELS, reach, universal
from spikefinder_keras.training.traces import one_hot, sample_weights, stack

NAN = np.nan


def test_missing_samples():
    calcium = np.array([[1.0, 5.0], [NAN, 6.0], [3.0, 7.0], [NAN, 8.0]])
    spikes = np.array([[0.0, 1.0], [2.0, -2.0], [0.0, -1.0], [NAN, 0.0]])
    before = calcium.copy(), spikes.copy()
    filled, truth = fill_missing(calcium, spikes)
    np.testing.assert_array_equal(filled, [[1, 5], [0, 0], [3, 7], [0, 8]])
    np.testing.assert_array_equal(truth, [[0, 1], [2, -1], [0, -1], [-1, 0]])
    np.testing.assert_array_equal(calcium, before[0])
    np.testing.assert_array_equal(spikes, before[1])
    assert filled.dtype == truth.dtype == np.float32


def test_stack_pads_at_the_end():
    stacked = stack([np.ones((2, 1)), np.full((3, 2), 2.0)], value=-1.0)
    assert stacked.shape == (3, 3, 1)
    np.testing.assert_array_equal(stacked[..., 0], [[1, 1, -1], [2, 2, 2], [2, 2, 2]])
    assert stack([np.ones((2, 1))], length=5).shape == (1, 5, 1)


def test_one_hot():
    ids = one_hot([1, 10], 4)
    assert ids.shape == (2, 4, 10)
    np.testing.assert_array_equal(ids.argmax(-1), [[0] * 4, [9] * 4])
    np.testing.assert_array_equal(ids.sum(-1), 1)


def test_sample_weights_of_the_released_run():
    # Neurons per training set: 60 in sets 1 to 5, 114 in 6 to 10.
    numbers = np.repeat(range(1, 11), [11, 21, 13, 6, 9, 9, 37, 21, 20, 27])
    weights = sample_weights(numbers)
    mean = (60 * 2.5 + 114) / 174
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(weights[:60], 2.5 / mean)
    np.testing.assert_allclose(weights[60:], 1 / mean)


def test_padded_length():
    assert padded_length(1_000) == 4_000
    assert padded_length(1_000, 71_986) == 4_000
    assert padded_length(70_000, 71_986) == 71_986
    assert padded_length(71_986, 71_986) == 71_986
    assert padded_length(80_000, 71_986) == 80_000


def test_groups_are_of_like_length():
    groups = group_by_length([500, 9_000, 100, 9_000, 700], 8)
    assert [list(group) for group in groups] == [[1, 3], [4, 0], [2]]


def test_no_group_is_larger_than_asked_and_none_is_lost():
    groups = group_by_length([10] * 21, 8)
    assert max(map(len, groups)) == 8
    assert sorted(index for group in groups for index in group) == list(range(21))
    assert group_by_length([], 8) == []


def test_groups_are_the_cheapest_of_all():
    """Against every way to cut seven traces into batches."""
    lengths = [70, 64, 40, 38, 20, 8, 7]

    def cost(cuts):
        edges = [0, *cuts, 7]
        return sum(lengths[a] * (b - a + COST_OF_A_BATCH) for a, b in pairwise(edges))

    ways = (cuts for k in range(7) for cuts in combinations(range(1, 7), k))
    found = group_by_length(lengths, 7)
    ends = np.cumsum([len(group) for group in found])[:-1]
    assert cost(ends) == min(map(cost, ways))


def test_the_start_gets_the_value_behind_it():
    rates = np.arange(10.0)
    hold_start(rates, 3)
    np.testing.assert_array_equal(rates, [3, 3, 3, 3, 4, 5, 6, 7, 8, 9])
    short = np.arange(3.0)
    hold_start(short, 3)  # nothing is behind it: the last
    np.testing.assert_array_equal(short, [2, 2, 2])


def test_the_reach_of_universal_is_what_its_layers_see():
    """Both ways from the last layer: each tap, halving and doubling, in steps of 40 ms."""
    far = {}
    for layer in reversed(universal()):
        below = far.get(layer.name, (0, 0))  # steps that are needed, and the rate they are in
        reached, scale = below if layer.name in far else (0, 1)
        if layer.kind == "convolution":
            stride = layer.options.get("stride", 1)
            scale //= stride
            reached += (layer.options["taps"] // 2 if stride == 1 else 1) * scale
        elif layer.kind == "repeat":
            scale *= 2
        for source in layer.sources:
            far[source] = max(far.get(source, (0, scale)), (reached, scale))
    assert far["calcium"][0] <= reach() < far["calcium"][0] + 2 * 2**LEVELS
