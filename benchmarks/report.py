"""What `predict --report` costs: seconds and bytes of its page, without and with every neuron.

    python -m benchmarks report [--sizes 100x27000 200x27000 1000x10000] [--repeat 5] [--json FILE]

For each size, neurons x frames, a prediction of noise with spikes is put into memory, and its page
is written by processes of their own, in turns without and with the part in which every neuron is
looked at; what counts is the time from the first import that only the page needs to the whole file.
Then Chromium, where there is one, opens it from the disk, zooms to a tenth of the time and moves by
its key forty times: the milliseconds from each to the picture, median and 95th percentile.

    python -m benchmarks report --picture docs/images/neurons.png

draws the README's picture instead: the page of 40 simulated neurons, sorted by likeness.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from child_process import add_json, answer, head, keep, line
from scipy.signal import resample

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))

WRITE = """
import json, os, sys, time
import numpy as np
from spikefinder_keras import predict
from spikefinder_keras.recordings.inputs import as_recording
from spikefinder_keras.recordings.quality import EXPECTED
from spikefinder_keras.recordings.recording import NeuronQuality, Prediction, Quality
path, neurons, frames, every = sys.argv[1], *map(int, sys.argv[2:5])
rng = np.random.default_rng(0)
traces = rng.standard_normal((frames, neurons), np.float32)
rates = rng.gamma(0.1, 5, (frames, neurons)).astype(np.float32)
recording = as_recording(traces, 30.0, orientation="time-neuron")
quality = tuple(
    NeuronQuality(name, 1.0, 0.5, "height", 0.5, 0, 0, 0.5, 0.2, 1.0) for name in recording.names
)
spikes = tuple(np.sort(rng.uniform(0, frames / 30, frames // 60)) for _ in range(neurons))
about = {"unit": "spikes per second (expected)", "weights": "universal"}
made = Prediction(rates, recording, about, spikes, Quality(quality, (), EXPECTED))
predict(traces[:3000, :1], 30.0, orientation="time-neuron")  # after one, its libraries are loaded
started = time.perf_counter()
if every:
    from spikefinder_keras.view.page import write_page as write
else:
    from spikefinder_keras.figures.recording_page import write_report as write
write(path, made)
print(json.dumps([time.perf_counter() - started, os.path.getsize(path)]))
"""

MOVE = """
async () => {
  const picture = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))
  const range = Bokeh.documents[0].get_model_by_name("x_range")
  const length = (range.end - range.start) / 10
  range.setv({start: range.start, end: range.start + length})
  const found = []
  for (let step = 0; step < 40; step++) {
    await picture()
    const began = performance.now()
    range.setv({start: range.start + length / 20, end: range.end + length / 20})
    await picture()
    await picture()
    found.push(performance.now() - began)
  }
  return found
}
"""


@contextmanager
def browser():
    """Chromium, for as long as the context lasts."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()


def look(path):
    """Seconds until a page is ready, and the milliseconds of each move; None without a browser."""
    if not CHROMIUM.is_file():
        return None
    with browser() as opened:
        tab = opened.new_page(viewport={"width": 1920, "height": 1080})
        started = time.perf_counter()
        tab.goto(path.as_uri())
        tab.wait_for_selector(".neurons[data-ready=page]")
        ready = time.perf_counter() - started
        return ready, tab.evaluate(MOVE)


def draw(path):
    """Write the picture of a page, of neurons some of which fire together."""
    from spikefinder_keras import predict
    from spikefinder_keras.competition.simulated_data import simulate_set
    from spikefinder_keras.view import write_page

    seconds, rate, alike = 300, 30, 4
    calcium, _ = simulate_set(8, rows=100 * seconds, neurons=40, shortest=100 * seconds, seed=3)
    # Each with a third of the next in its group, as neurons of an assembly have.
    groups = calcium.reshape(len(calcium), -1, alike)
    mixed = (groups + groups.mean(axis=2, keepdims=True)).reshape(calcium.shape)
    dff = 0.2 * resample(mixed, rate * seconds)
    names = [f"cell {k}" for k in np.random.default_rng(0).permutation(40)]
    order = np.argsort([int(name[5:]) for name in names])
    made = predict(
        dff[:, order], rate, names=np.array(names)[order].tolist(), unit="dF/F",
        orientation="time-neuron", indicator="GCaMP6s", spikes=True,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, browser() as opened:
        page = Path(folder, "page.html")
        write_page(page, made)
        tab = opened.new_page(viewport={"width": 1300, "height": 1000})
        tab.goto(page.as_uri())
        tab.wait_for_selector(".neurons[data-ready=page]")
        tab.locator(".neurons select").select_option(label="likeness")
        tab.locator(".slick-row").nth(1).click()
        tab.locator(".slick-row").nth(2).click(modifiers=["Control"])
        tab.mouse.move(0, 0)
        tab.wait_for_timeout(500)
        tab.locator(".neurons_grid").screenshot(path=path)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["100x27000", "200x27000", "1000x10000"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--picture", type=Path, help="file to draw instead")
    add_json(parser)
    arguments = parser.parse_args(argv)
    if arguments.picture:
        draw(arguments.picture)
        return 0
    head(
        "neurons x frames", "s without", "s with", "more", "MB", "opens in s", "moves in ms", "95%"
    )
    rows = []
    for size in arguments.sizes:
        neurons, frames = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            paths = Path(folder, "without.html"), Path(folder, "with.html")
            found = [
                [answer(WRITE, path, neurons, frames, each) for each, path in enumerate(paths)]
                for _ in range(arguments.repeat)
            ]
            without, every = np.median([[s for s, _ in pair] for pair in found], axis=0)
            row = {"size": size, "without_s": without, "with_s": every, "bytes": found[0][1][1]}
            opened, moves = look(paths[1]) or (np.nan, [np.nan])
            row |= {"opens_s": opened, "moves_ms": np.percentile(moves, [50, 95]).tolist()}
        rows.append(row)
        numbers = without, every, every - without, row["bytes"] / 1e6, opened, *row["moves_ms"]
        line(f"{neurons:,} x {frames:,}", *(f"{number:.2f}" for number in numbers))
    keep(arguments.json, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
