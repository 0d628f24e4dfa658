"""What the networks of 2017 are compared on, and what that costs."""

import numpy as np

from spikefinder_keras.recordings.convi6 import EXCERPT, LONGEST, SHORTEST, liveliest


def test_the_excerpt_lies_where_a_neuron_is_liveliest():
    calcium = np.random.default_rng(0).normal(0, 0.1, (100_000, 3)).astype(np.float32)
    calcium[71_000:72_000, 0] += np.linspace(0, 5, 1_000)
    calcium[:200, 1] = 9.0
    calcium[:, 2] = np.nan
    samples = liveliest(calcium)
    assert samples.shape == (100_000 // EXCERPT, 3)
    assert 69_000 < samples[0, 0] <= 71_500 < samples[-1, 0]
    assert samples[0, 1] == 0
    assert (np.diff(samples, axis=0) == 1).all()


def test_the_excerpt_is_a_small_part_within_limits():
    for frames in (10, 500, 30_000, 200_000, 1_000_000):
        samples = liveliest(np.zeros((frames, 1)))
        assert len(samples) == min(frames, np.clip(frames // EXCERPT, SHORTEST, LONGEST))
        assert samples.max() < frames


def test_the_excerpt_is_a_fortieth_from_10_s_to_2_min():
    for frames, length in ((39_000, 1_000), (80_000, 2_000), (400_000, 10_000), (500_000, 12_000)):
        assert len(liveliest(np.zeros((frames, 1)))) == length
