"""Padding, masks and weights of the released run, by hand."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from spikefinder_keras.network.predict import (
    COST_OF_A_BATCH,
    fill_missing,
    group_by_length,
    padded_length,
)
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
