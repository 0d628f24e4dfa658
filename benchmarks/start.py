"""How long a small prediction takes from its start, beside importing TensorFlow, and what it loads.

    python -m benchmarks start [--repeat 5] [--json FILE]

`spikefinder-keras predict` of a CSV of 3 neurons x 300 frames, in a process of its own: at first
with an empty cache, then in turns with `import tensorflow` and a Python that does nothing. Seconds
are medians. Then the imports of such a run that take longest themselves, by library, as
`python -X importtime` has them.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from child_process import add_json, head, keep, line, measure

TENSORFLOW = "import os; os.dup2(os.open(os.devnull, 1), 2); import tensorflow"
"""Without what it says while it loads."""

SHOWN = 8  # so many libraries take nearly all of the time


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=5)
    add_json(parser)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPIKEFINDER_CACHE"] = str(Path(folder, "cache"))
        path = Path(folder, "small.csv")
        traces = np.random.default_rng(0).normal(1, 0.1, (300, 3))
        np.savetxt(path, traces, "%.4f", ",", header="a,b,c", comments="")
        predict = ["-m", "spikefinder_keras", "predict", path, "--frame-rate", 30, "--quiet"]
        predict += ["--out", Path(folder, "rates.csv")]
        commands = {
            "predict, first": predict,
            "predict": predict,
            "import tensorflow": ["-c", TENSORFLOW],
            "python": ["-c", ""],
        }
        first, *others = commands
        found = {first: [measure([sys.executable, *predict])]}
        for _ in range(arguments.repeat):
            for name in others:
                found.setdefault(name, []).append(measure([sys.executable, *commands[name]]))
        libraries = imports(predict)
    medians = {name: np.median(each, axis=0).tolist() for name, each in found.items()}
    head("", "s", "peak GiB", "share of importing TensorFlow")
    for name, (seconds, memory) in medians.items():
        share = seconds / medians["import tensorflow"][0]
        line(name, f"{seconds:.2f}", f"{memory:.2f}", f"{share:.2f}")
    print()
    head("library", "ms of its imports")
    for name, ms in libraries:
        line(name, f"{ms:.0f}")
    keep(arguments.json, medians, imports=libraries)
    return 0


def imports(command):
    """The libraries of which a Python's own imports take longest, with their ms."""
    command = [sys.executable, "-X", "importtime", *map(str, command)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    spent = Counter()
    for text in done.stderr.splitlines():
        cells = text.removeprefix("import time:").split("|")
        if len(cells) == 3 and cells[0].strip().isdecimal():
            name = cells[2].strip().partition(".")[0]
            known = "Python's own" if name in sys.stdlib_module_names else name
            spent[known] += int(cells[0]) / 1_000
    return spent.most_common(SHOWN)


if __name__ == "__main__":
    sys.exit(main())
