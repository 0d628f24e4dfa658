"""What is kept beside the weights of `universal`."""

import numpy as np
import pytest

from spikefinder_keras.errors import WeightsError
from spikefinder_keras.recordings.calibration import (
    FAST,
    OFFSETS,
    Calibration,
    Delay,
    RateMap,
    load_calibration,
    save_calibration,
)
from spikefinder_keras.training.calibrate import whole_steps

FLAT = np.zeros(OFFSETS.size)
KNOWN = Calibration(
    {
        "unknown": Delay(FLAT + 0.5, FLAT - 0.25, "all"),
        "dye": Delay(FLAT, FLAT, "DS02"),
        "GCaMP": Delay(FLAT, FLAT, "DS09"),
    },
    RateMap((1.0, 0.9, 0.3, -0.5), "all"),
)


def test_the_file_gives_back_what_was_saved(tmp_path):
    path = tmp_path / "universal.calibration.json"
    save_calibration(KNOWN, path)
    found = load_calibration(path)
    assert found.rates == KNOWN.rates
    for name, delay in KNOWN.delays.items():
        np.testing.assert_array_equal(found.delays[name].logits, delay.logits)
        np.testing.assert_array_equal(found.delays[name].slopes, delay.slopes)
        assert found.delays[name].source == delay.source


def test_the_stated_indicator_chooses_the_delay():
    assert KNOWN.delay_of() == (KNOWN.delays["unknown"], "unknown")
    assert KNOWN.delay_of("OGB-1")[1] == "dye"
    # No zebrafish was measured here: GCaMP is the nearest.
    assert KNOWN.delay_of("GCaMP6f", "zebrafish") == (KNOWN.delays["GCaMP"], "GCaMP")
    assert KNOWN.delay_of("jGCaMP8f") == (FAST, "fast GCaMP")
    assert KNOWN.delay_of("jRGECO1a")[1] == "unknown"
    assert KNOWN.delay_of("a new one")[1] == "unknown"


@pytest.mark.parametrize("text", ["", "{}", '{"timing": {}, "rates": {}}'])
def test_a_damaged_file(tmp_path, text):
    path = tmp_path / "universal.calibration.json"
    path.write_text(text)
    with pytest.raises(WeightsError, match="does not hold what belongs to the weights"):
        load_calibration(path)


def test_whole_steps_leave_out_a_part_of_one():
    own, known = whole_steps([np.arange(6.0), np.arange(8.0)], [np.ones(2), np.ones(2)])
    np.testing.assert_array_equal(own, np.ones(3))
    np.testing.assert_array_equal(known, [6, 6, 22])
