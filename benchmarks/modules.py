"""How many modules a reader of the package goes through: those that a command calls, by a trace.

    python -m benchmarks modules

`predict` of one neuron of a `.npy` file, and `submission` of a simulated competition, each in a
process of its own, from where the command line has been parsed. A module counts when one of its
functions is called, other than by the importing of a module. The ground, on which everything
stands, counts apart: the modules at the top of the package.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from child_process import answer

TRACER = """
import argparse, inspect, json, sys, threading
from pathlib import Path
import spikefinder_keras
from spikefinder_keras.cli import main

ROOT, found = Path(spikefinder_keras.__file__).parent, {}
parse = argparse.ArgumentParser.parse_args

def profile(frame, event, argument):
    code, caller = frame.f_code, frame.f_back
    # Modules and classes have bodies too, which run on import; only functions are optimized.
    if event != "call" or not code.co_flags & inspect.CO_OPTIMIZED:
        return
    path = Path(code.co_filename)
    if ROOT in path.parents and not (caller and caller.f_code.co_name == "<module>"):
        name = path.relative_to(ROOT).as_posix()
        found[name] = found.get(name, 0) + 1

def parse_args(*arguments):
    parsed = parse(*arguments)
    threading.setprofile(profile)
    sys.setprofile(profile)
    return parsed

argparse.ArgumentParser.parse_args = parse_args
status = main(sys.argv[1:])
sys.setprofile(None)
print(json.dumps([status, found]))
"""


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        rng = np.random.default_rng(0)
        np.save(folder / "trace.npy", rng.normal(size=(1, 3_000)).astype(np.float32))
        from spikefinder_keras.competition.simulated_data import simulate

        simulate(folder / "data", "small")
        commands = {
            "predict, one neuron of a .npy": [
                *("predict", folder / "trace.npy", "--frame-rate", 30, "--unit", "dF/F"),
                *("--out", folder / "rates.npy"),
            ],
            "submission": ["submission", "--data", folder / "data", "--out", folder / "out"],
        }
        for name, command in commands.items():
            status, found = answer(TRACER, *command)
            beyond = sorted(module for module in found if "/" in module)
            print(f"{name}: {len(beyond)} modules, and {len(found) - len(beyond)} of the ground")
            for module in beyond:
                print(f"    {module}: {found[module]} calls")
            if status:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
