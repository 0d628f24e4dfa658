"""Shared fixtures. Network tests run on whichever backend `KERAS_BACKEND` names."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session")
def data():
    """The folder of real data; tests that need it are skipped where it is not named."""
    folder = os.environ.get("SPIKEFINDER_DATA")
    if not folder:
        pytest.skip("SPIKEFINDER_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """Keep the tests out of the user's cache, and the user's data out of the tests' defaults."""
    monkeypatch.setenv("SPIKEFINDER_CACHE", str(tmp_path / "cache"))
