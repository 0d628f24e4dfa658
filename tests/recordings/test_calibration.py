"""What is kept beside the weights of `universal`."""

import json

import numpy as np
import pytest

from spikefinder_keras.errors import WeightsError
from spikefinder_keras.recordings.calibration import (
    TERMS,
    Calibration,
    Delay,
    RateMap,
    ScoreMap,
    load_calibration,
    save_calibration,
)
from spikefinder_keras.training.calibrate import whole_steps

KNOWN = Calibration(
    {
        "unknown": Delay(0.01, (0.03, 0.02, -0.01), "all"),
        "dye": Delay(-0.01, (0.03, 0.02, -0.01), "DS02"),
        "GCaMP": Delay(0.012, (0.03, 0.02, -0.01), "DS09"),
    },
    RateMap(tuple(np.arange(TERMS) / 10), (0.4, 2.5), "all"),
    ScoreMap((0.1, 0.5, 0.2), "all"),
)


def test_the_file_gives_back_what_was_saved(tmp_path):
    path = tmp_path / "universal.calibration.json"
    save_calibration(KNOWN, path)
    assert load_calibration(path) == KNOWN


def test_the_stated_indicator_chooses_the_delay():
    assert KNOWN.delay_of() == (KNOWN.delays["unknown"], "unknown")
    assert KNOWN.delay_of("OGB-1")[1] == "dye"
    # No zebrafish was measured here: GCaMP is the nearest.
    assert KNOWN.delay_of("GCaMP6f", "zebrafish") == (KNOWN.delays["GCaMP"], "GCaMP")
    assert KNOWN.delay_of("jRGECO1a")[1] == "unknown"
    assert KNOWN.delay_of("a new one")[1] == "unknown"


@pytest.mark.parametrize("text", ["", "{}", '{"timing": {}, "rates": {}}'])
def test_a_damaged_file(tmp_path, text):
    path = tmp_path / "universal.calibration.json"
    path.write_text(text)
    with pytest.raises(WeightsError, match="does not hold what belongs to the weights"):
        load_calibration(path)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("timing", "unknown", {"typical_s": 0.15, "slopes_s": [0.0] * 3, "source": ""}),
        ("timing", "unknown", {"typical_s": 0.0, "slopes_s": [0, 0, float("nan")], "source": ""}),
        ("timing", "unknown", {"typical_s": 0.0, "slopes_s": [0.0] * 2, "source": ""}),
        ("rates", "terms", [0.0] * (TERMS - 1)),
        ("rates", "terms", [100.0] * TERMS),
        ("rates", "interval", [1.1, 2.0]),
        ("rates", "interval", [0.5, float("inf")]),
        ("score", "terms", [0.0, 100.0, 0.0]),
        ("score", "terms", [0.0, 1.0]),
    ],
)
def test_numbers_that_cannot_be(tmp_path, part, key, value):
    path = tmp_path / "universal.calibration.json"
    save_calibration(KNOWN, path)
    stored = json.loads(path.read_text())
    stored[part][key] = value
    path.write_text(json.dumps(stored))
    with pytest.raises(WeightsError, match="does not hold what belongs to the weights"):
        load_calibration(path)


def test_whole_steps_leave_out_a_part_of_one():
    own, known = whole_steps([np.arange(6.0), np.arange(8.0)], [np.ones(2), np.ones(2)])
    np.testing.assert_array_equal(own, np.ones(3))
    np.testing.assert_array_equal(known, [6, 6, 22])
