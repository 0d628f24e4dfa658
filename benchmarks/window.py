"""What a window of `view` costs: seconds to open, milliseconds of a move, memory of the server.

    python -m benchmarks window [--sizes 100x27000 10000x100000] [--moves 100]
                                [--folder DIR] [--json FILE]

For each size, neurons x frames, rates (.zarr) and traces (.npy) of 16 patterns and noise
are written into the folder, by default a temporary one; the larger size takes 5 GB. Then
`view RATES RECORDING` is started twice. The first time makes the pyramid. Of the second counts the
time from the command to the picture of the first neuron in Chromium, which is running already; then
the time in view is moved at random, by a tenth of the recording and by a minute, and neurons are
chosen at random: the milliseconds from each to its picture. Memory is the server's peak.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from child_process import add_json, head, keep, line
from report import browser

from spikefinder_keras.files.npy import NpyFile
from spikefinder_keras.recordings.formats.writers import begin_store, fill_store
from spikefinder_keras.recordings.quality import EXPECTED
from spikefinder_keras.recordings.recording import NeuronQuality, Prediction, Quality, Recording

RATE = 30.0  # Hz
PATTERNS = 16
AT_A_TIME = 4 << 20  # values

MODEL = "Bokeh.documents[0]?.get_model_by_name"
DRAWN = f"({MODEL}('windows')?.get_column('neuron') ?? []).length > 0"

# Milliseconds from a change to the picture of what the server answers.
CHANGE = """
async ([kind, a, b]) => {
  const find = (name) => Bokeh.documents[0].get_model_by_name(name)
  const {change} = find("windows").properties.data
  const picture = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))
  await picture()
  const began = performance.now()
  const answered = new Promise((done) => {
    const once = () => {
      change.disconnect(once)
      done()
    }
    change.connect(once)
  })
  if (kind == "move") find("x_range").setv({start: a, end: b})
  else find("rows").selected.indices = [a]
  await answered
  await picture()
  return performance.now() - began
}
"""


def make(folder, neurons, frames):
    """Write rates and traces of a recording, both of some patterns at random times, and noise."""
    rng = np.random.default_rng(0)
    spikes = (rng.random((PATTERNS, frames)) < 0.01).astype(np.float32)
    fall = np.exp(-np.arange(60) / 15).astype(np.float32)
    calcium = np.stack([np.convolve(each, fall)[:frames] for each in spikes])
    rates = np.stack([np.convolve(each, np.ones(5), "same") for each in spikes]) * 2
    array = begin_store(folder / "rates.zarr", neurons, frames)
    traces = NpyFile.make(folder / "dff.npy", (neurons, frames))
    # Whole chunks of the store.
    together = max(1, AT_A_TIME // frames // array.chunks[0]) * array.chunks[0]
    for first in range(0, neurons, together):
        count = min(together, neurons - first)
        which = rng.integers(0, PATTERNS, count), rng.integers(0, frames, count)
        pairs = list(zip(*which, strict=True))
        noise = rng.standard_normal((2, count, frames), np.float32)
        rolled = [np.stack([np.roll(each[k], by) for k, by in pairs]) for each in (calcium, rates)]
        traces.write(first, rolled[0] + 0.1 * noise[0])
        array[first : first + count] = rolled[1] * (1 + 0.2 * np.abs(noise[1]))
    names = tuple(map(str, range(neurons)))
    quality = [NeuronQuality(n, 1.0, 0.5, "height", 0.5, 0, 0, 3.0, 1.0, 6.0) for n in names]
    nothing = np.broadcast_to(np.float32(0), (frames, neurons))
    recording = Recording(nothing, np.arange(frames) / RATE, RATE, names)
    about = {"unit": "spikes per second (expected)", "weights": "universal"}
    made = Prediction(nothing, recording, about, quality=Quality(tuple(quality), (), EXPECTED))
    fill_store(folder / "rates.zarr", made)


@contextmanager
def server(folder):
    """A server of what is in a folder, and its address."""
    command = [sys.executable, "-m", "spikefinder_keras", "view", "--no-browser"]
    command += [folder / "rates.zarr", folder / "dff.npy", "--quiet"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = run.stdout.readline().strip()
        if not address:
            sys.exit("the window did not open")
        yield run, address
    finally:
        run.kill()
        run.wait()


def peak(process):
    """The largest memory of a process until now, in MB."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1_024 / 1e6


def look(folder, neurons, moves):
    """Seconds, milliseconds and MB of the second window on what is in a folder."""
    rng = np.random.default_rng(1)
    started = time.perf_counter()
    with server(folder) as (run, _):
        first, building = time.perf_counter() - started, peak(run)
    with browser() as opened:
        tab = opened.new_page(viewport={"width": 1920, "height": 1080})
        started = time.perf_counter()
        with server(folder) as (run, address):
            tab.goto(address)
            tab.wait_for_function(DRAWN)
            row = {"first_s": first, "opens_s": time.perf_counter() - started}
            end = tab.evaluate(f"{MODEL}('x_range').end")
            for name, width in (("far", end / 10), ("near", 60.0)):
                starts = rng.uniform(0, end - width, moves + 1)
                found = [tab.evaluate(CHANGE, ["move", a, a + width]) for a in starts][1:]
                row[f"{name}_ms"] = np.percentile(found, [50, 95]).tolist()
            tab.evaluate(CHANGE, ["move", 0, end])
            chosen = rng.permutation(neurons)[: moves + 1].tolist()
            found = [tab.evaluate(CHANGE, ["choose", k, 0]) for k in chosen][1:]
            row["choose_ms"] = np.percentile(found, [50, 95]).tolist()
            return row | {"building_MB": building, "MB": peak(run)}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["100x27000", "10000x100000"])
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where rates and traces are, or are put")
    add_json(parser)
    arguments = parser.parse_args(argv)
    head(
        "neurons x frames", "first time, s", "opens in s", "move by a tenth, ms", "95%",
        "by a minute, ms", "95%", "choose, ms", "95%", "MB, first time", "MB",
    )  # fmt: skip
    rows = []
    for size in arguments.sizes:
        neurons, frames = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(arguments.folder or temporary, size)
            if not folder.exists():
                folder.mkdir(parents=True)
                make(folder, neurons, frames)
                os.sync()  # or the disk would still be busy with it
            row = look(folder, neurons, arguments.moves)
        rows.append({"size": size, **row})
        times = [f"{row[name]:.1f}" for name in ("first_s", "opens_s")]
        moves = [f"{ms:.0f}" for name in ("far", "near", "choose") for ms in row[f"{name}_ms"]]
        memory = [f"{row[name]:.0f}" for name in ("building_MB", "MB")]
        line(f"{neurons:,} x {frames:,}", *times, *moves, *memory)
    keep(arguments.json, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
