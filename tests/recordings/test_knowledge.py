"""What is kept beside the weights of `universal`."""

import numpy as np
import pytest

from spikefinder_keras.errors import WeightsError
from spikefinder_keras.recordings.calibration import (
    FAST,
    Knowledge,
    load_knowledge,
    save_knowledge,
    whole_steps,
)
from spikefinder_keras.recordings.rates import RateMap
from spikefinder_keras.recordings.timing import OFFSETS, Timing

FLAT = np.zeros(OFFSETS.size)
KNOWN = Knowledge(
    {
        "unknown": Timing(FLAT + 0.5, FLAT - 0.25, "all"),
        "dye": Timing(FLAT, FLAT, "DS02"),
        "GCaMP": Timing(FLAT, FLAT, "DS09"),
    },
    RateMap((1.0, 0.9, 0.3, -0.5), "all"),
)


def test_the_file_gives_back_what_was_saved(tmp_path):
    path = tmp_path / "universal.knowledge.json"
    save_knowledge(KNOWN, path)
    found = load_knowledge(path)
    assert found.rates == KNOWN.rates
    for name, belief in KNOWN.beliefs.items():
        np.testing.assert_array_equal(found.beliefs[name].logits, belief.logits)
        np.testing.assert_array_equal(found.beliefs[name].slopes, belief.slopes)
        assert found.beliefs[name].source == belief.source


def test_the_stated_indicator_chooses_the_belief():
    assert KNOWN.belief() == (KNOWN.beliefs["unknown"], "unknown")
    assert KNOWN.belief("OGB-1")[1] == "dye"
    # No zebrafish was measured here: GCaMP is the nearest.
    assert KNOWN.belief("GCaMP6f", "zebrafish") == (KNOWN.beliefs["GCaMP"], "GCaMP")
    assert KNOWN.belief("jGCaMP8f") == (FAST, "fast GCaMP")
    assert KNOWN.belief("jRGECO1a")[1] == "unknown"
    assert KNOWN.belief("a new one")[1] == "unknown"


@pytest.mark.parametrize("text", ["", "{}", '{"timing": {}, "rates": {}}'])
def test_a_damaged_file(tmp_path, text):
    path = tmp_path / "universal.knowledge.json"
    path.write_text(text)
    with pytest.raises(WeightsError, match="does not hold what belongs to the weights"):
        load_knowledge(path)


def test_whole_steps_leave_out_a_part_of_one():
    own, known = whole_steps([np.arange(6.0), np.arange(8.0)], [np.ones(2), np.ones(2)])
    np.testing.assert_array_equal(own, np.ones(3))
    np.testing.assert_array_equal(known, [6, 6, 22])
