"""The fuzzers themselves: `make fuzz` runs them, this only sees that each can still begin."""

import subprocess
import sys
from pathlib import Path

CODE = """
import sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import fuzz

for name in fuzz.SEEDS:
    fuzz.plant(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input"
        for seed in fuzz.SEEDS[name]():
            path.write_bytes(seed)
            try:
                fuzz.targets(name)(path)
            except Exception as error:  # as while fuzzing
                print(name, type(error).__name__)
            except fuzz.Planted:
                sys.exit(f"{name}: a seed is in the hole already")
"""


def test_each_hole_can_be_planted_and_is_in_no_seed():
    """A function that moved would leave its hole behind."""
    folder = Path(__file__).parents[1] / "fuzz"
    run = subprocess.run(
        [sys.executable, "-c", CODE, folder], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
