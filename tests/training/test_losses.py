"""The loss against numbers worked out by hand and against the competition's score."""

import keras
import numpy as np
import pytest
from keras import ops

from spikefinder_keras.competition.scoring import score
from spikefinder_keras.training.losses import (
    loss_of,
    pearson_loss,
    pearson_loss_per_trace,
    poisson_loss_per_trace,
)


def column(*values):
    return np.array(values, np.float32)[None, :, None]


def test_by_hand():
    # Sums of four: truth 2, 0, 1; prediction 1, 2, 6. Deviations 1, -1, 0 and -2, -1, 3.
    truth = column(1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0)
    rates = column(1, 0, 0, 0, 0, 0, 2, 0, 1, 2, 1, 2)
    r = (1 * -2 + -1 * -1 + 0 * 3) / np.sqrt(2 * 14)
    assert float(pearson_loss(truth, rates)) == pytest.approx(1 - r, abs=1e-6)  # float32


def test_missing_samples_do_not_count():
    truth = column(1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0)
    rates = column(1, 0, 0, 0, 0, 0, 2, 0, 1, 2, 1, 2)
    padded = np.concatenate([truth, np.full((1, 400, 1), -1.0, np.float32)], axis=1)
    noise = np.random.default_rng(0).normal(size=(1, 400, 1)).astype(np.float32)
    longer = np.concatenate([rates, noise], axis=1)
    assert float(pearson_loss(padded, longer)) == pytest.approx(
        float(pearson_loss(truth, rates)), abs=1e-6
    )


def test_windows_of_the_released_length_begin_one_sample_early():
    """Two samples short of whole windows: 'same' pooling puts one missing sample before them."""
    rng = np.random.default_rng(0)
    truth, rates = rng.poisson(0.5, 42).astype(float), rng.random(42)
    windows = [
        [4 * part.mean() for part in np.split(signal, range(3, 42, 4))] for signal in (truth, rates)
    ]
    assert float(pearson_loss(column(*truth), column(*rates))) == pytest.approx(
        1 - np.corrcoef(*windows)[0, 1], abs=1e-6
    )


def test_agrees_with_the_competitions_score():
    rng = np.random.default_rng(0)
    truth = rng.poisson(0.1, (4_000, 3)).astype(float)
    rates = rng.random((4_000, 3)) + truth
    loss = pearson_loss_per_trace(*(a.T[..., None].astype(np.float32) for a in (truth, rates)))
    # float32 sums over 1,000 windows
    np.testing.assert_allclose(1 - np.asarray(loss), score(truth, rates).values, atol=1e-5)


def test_one_number_for_the_batch_is_the_mean_over_traces():
    rng = np.random.default_rng(1)
    truth, rates = rng.poisson(0.3, (5, 80, 1)).astype(np.float32), rng.random((5, 80, 1))
    each = np.asarray(pearson_loss_per_trace(truth, rates))
    assert each.shape == (5,)
    assert float(pearson_loss(truth, rates)) == pytest.approx(each.mean(), abs=1e-6)


def test_sample_weights_as_in_2017_and_per_trace():
    rng = np.random.default_rng(2)
    truth, rates = (rng.poisson(0.3, (3, 80, 1)).astype(np.float32), rng.random((3, 80, 1)))
    weights = np.array([2.0, 0.5, 1.0], np.float32)
    each = np.asarray(pearson_loss_per_trace(truth, rates))

    def through_keras(loss):
        network = keras.Sequential([keras.Input((None, 1)), keras.layers.Identity()])
        network.compile(loss=loss)
        return network.evaluate(rates, truth, sample_weight=weights, verbose=0)

    assert through_keras(pearson_loss) == pytest.approx(each.mean() * weights.mean(), rel=1e-5)
    assert through_keras(pearson_loss_per_trace) == pytest.approx((each * weights).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("truth", "rates"),
    [
        (np.zeros((1, 40, 1)), np.linspace(0, 1, 40)[None, :, None]),
        (np.eye(1, 40)[..., None], np.full((1, 40, 1), 0.5)),
        (np.full((1, 40, 1), -1.0), np.linspace(0, 1, 40)[None, :, None]),
        (np.zeros((1, 1, 1)), np.zeros((1, 1, 1))),
    ],
    ids=["silent", "constant prediction", "all missing", "one sample"],
)
def test_finite_loss_and_gradient_where_there_is_no_correlation(truth, rates):
    truth, rates = truth.astype(np.float32), rates.astype(np.float32)
    assert float(pearson_loss(truth, rates)) == pytest.approx(1.0)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            variable = tf.convert_to_tensor(rates)
            tape.watch(variable)
            loss = pearson_loss(truth, variable)
        gradient = tape.gradient(loss, variable).numpy()
    else:
        import jax

        gradient = np.asarray(jax.grad(lambda r: pearson_loss(truth, r))(ops.array(rates)))
    np.testing.assert_array_equal(gradient, 0.0)


def test_poisson_by_hand():
    """Sums of four: truth 1, 2 and missing, prediction 0.004, 2 and 40; mean of y - x log y."""
    truth = column(0, 1, 0, 0, 1, 0, 1, 0, -1, -1, -1, -1)
    rates = column(*[0.001] * 4, *[0.5] * 4, *[10] * 4)
    expected = ((0.004 - np.log(0.004 + 1e-6)) + (2 - 2 * np.log(2))) / 2
    assert np.asarray(poisson_loss_per_trace(truth, rates)) == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize("weighting", ["batch", "trace"])
def test_objectives_by_name(weighting):
    rng = np.random.default_rng(4)
    truth, rates = rng.poisson(0.3, (3, 160, 1)).astype(np.float32), rng.random((3, 160, 1))
    each = {
        pool: np.asarray(pearson_loss_per_trace(truth, rates, pool=pool)) for pool in (4, 8, 16)
    }
    wanted = {
        "25 Hz": each[4],
        "12.5 Hz": each[8],
        "6.25 Hz": each[16],
        "mean": (each[4] + each[8] + each[16]) / 3,
        "poisson": np.asarray(poisson_loss_per_trace(truth, rates)),
    }
    for name, values in wanted.items():
        found = np.asarray(loss_of(name, weighting)(truth, rates))
        expected = values.mean() if weighting == "batch" else values
        np.testing.assert_allclose(found, expected, rtol=1e-5)
