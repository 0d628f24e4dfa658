"""The window in a real browser: what is seen is what is in the files, and no mark is lost."""

import re
import signal
import subprocess
import sys
import threading
from collections import deque
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import numpy as np
import pytest

from spikefinder_keras import predict, score
from spikefinder_keras.competition.tables import write_csv
from spikefinder_keras.recordings.formats import write_prediction
from spikefinder_keras.recordings.marks import Mark, read_marks, write_marks
from spikefinder_keras.recordings.quality import shown_number
from spikefinder_keras.view.source import interval

pytest.importorskip("bokeh", reason="the extra `view` is not installed")

NEURONS, FRAMES, RATE = 12, 12_000, 20.0
SCRIPT = "<script>alert(1)</script>"
NAMES = ("0", SCRIPT, *map(str, range(2, NEURONS)))
WORD = "<img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    traces = rng.normal(0, 0.1, (NEURONS, FRAMES)).astype(np.float32)
    truth = np.zeros((FRAMES, NEURONS))
    for neuron, trace in enumerate(traces):
        for first in rng.integers(0, FRAMES - 60, 20 * (neuron + 1)):
            trace[first : first + 60] += np.exp(-np.arange(60) / 15)
            truth[first, neuron] += 1
    traces[3, 4_000:5_000] = np.nan
    np.save(folder / "a.npy", traces)
    made = predict(folder / "a.npy", RATE, spikes=True)
    made = replace(made, recording=replace(made.recording, names=NAMES))
    write_prediction(folder / "r.zarr", made, folder / "a.npy")
    write_csv(folder / "truth.csv", truth, NAMES)
    return folder, made, truth


def start(*arguments):
    """A server in a process of its own, and its address."""
    command = [
        sys.executable,
        "-m",
        "spikefinder_keras",
        "view",
        "--no-browser",
        *map(str, arguments),
    ]
    run = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in its background deaf to SIGINT.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    return run, run.stdout.readline().strip()


@pytest.fixture
def serve(folder, tmp_path):
    """Starts servers of the rates, with their marks in a file of the test's own."""
    running = []

    def begin(*arguments, marks="m.csv"):
        rates, recording = folder[0] / "r.zarr", folder[0] / "a.npy"
        run, address = start(rates, recording, "--marks", tmp_path / marks, *arguments)
        assert address.startswith("http://127.0.0.1:"), run.stderr.read()
        running.append(run)
        return run, address

    yield begin
    for run in running:
        run.kill()
        run.wait()


MODEL = "Bokeh.documents[0].get_model_by_name"


def opened(new_tab, address, **options):
    """A tab with the window, once the first neuron is drawn."""
    tab = new_tab(**{"viewport": {"width": 1_400, "height": 900}, **options})
    tab.on("dialog", lambda dialog: tab.complaints.append(f"a dialog: {dialog.message}"))
    tab.goto(address)
    tab.wait_for_function("document.querySelector('.neurons')?.dataset.marks == 'ready'")
    wait_drawn(tab, "windows.get_column('neuron').length > 0")
    return tab


def wait_drawn(tab, condition):
    tab.wait_for_function(
        f"""() => {{ const windows = {MODEL}("windows"), rows = {MODEL}("rows"),
        x_range = {MODEL}("x_range"); return {condition} }}"""
    )


def column(tab, name, k=0):
    values = tab.evaluate(f"Array.from({MODEL}('windows').get_column({name!r})[{k}], v => v)")
    return np.array([np.nan if value is None else value for value in values], float)


def choose(tab, neuron):
    tab.evaluate(f"{MODEL}('rows').selected.indices = [{neuron}]")
    wait_drawn(tab, f"windows.get_column('neuron')[0] == {neuron}")


def look(tab, first, last):
    """Show a time, and wait until it is drawn."""
    tab.evaluate(f"{MODEL}('x_range').setv({{start: {first}, end: {last}}})")
    wait_drawn(
        tab,
        f"""windows.get_column('time').length &&
        Math.abs(windows.get_column('time')[0][0] - {first}) <= 1 &&
        Math.abs(windows.get_column('time')[0].at(-1) - {last}) <= 1""",
    )


def cells(tab):
    """The table as it is shown, by the neurons' names."""
    lines = tab.locator(".slick-row").all()
    texts = [line.locator(".slick-cell").all_inner_texts() for line in lines]
    return {each[0]: each[1:] for each in texts}


def test_what_is_seen_is_what_is_there(serve, folder, new_tab):
    _, made, _ = folder
    _, address = serve()
    tab = opened(new_tab, address)
    traces, rates = made.recording.traces.T, np.asarray(made.table).T
    times = np.asarray(made.times)
    width = tab.evaluate(f"{MODEL}('neurons_detail').inner_width")
    for neuron in (0, 3, 11):
        choose(tab, neuron)
        for first, last in ((0, times[-1]), (100.0, 130.0)):
            look(tab, first, last)
            inside = (times >= first) & (times <= last)
            for values, time_name, name in (
                (traces[neuron], "time", "trace"),
                (rates[neuron], "rate_time", "rate"),
            ):
                drawn, at = column(tab, name), column(tab, time_name)
                assert len(drawn) <= 2 * width + 100
                # Of each column of pixels the least and the largest, but for what lies within
                # two pixels: at its borders a sample may count to the next.
                edges = np.linspace(first, last, width // 2 + 1)
                for a, b in pairwise(edges):
                    part = values[inside & (times >= a) & (times <= b)]
                    near = drawn[(at >= a - (b - a)) & (at <= b + (b - a))]
                    if not np.isfinite(part).any():
                        continue
                    assert np.nanmin(near) <= np.nanmin(part) + 1e-6
                    assert np.nanmax(near) >= np.nanmax(part) - 1e-6
                known = np.isfinite(drawn)
                assert np.isin(drawn[known].astype(np.float32), values).all()
                if inside.sum() < width:  # near, every frame
                    np.testing.assert_array_equal(
                        drawn[(at >= first) & (at <= last)].astype(np.float32), values[inside]
                    )
        expected = made.spike_times[neuron]
        expected = expected[(expected >= first) & (expected <= last)]
        np.testing.assert_allclose(column(tab, "spikes"), expected)
    tab.keyboard.press("Home")
    shown = cells(tab)
    for neuron in (0, 1, 7):
        quality = made.quality.neurons[neuron]
        assert shown[NAMES[neuron]][1:5] == [
            f"{shown_number(quality.rate)} ({interval(quality)})",
            str(len(made.spike_times[neuron])),
            shown_number(quality.certainty),
            shown_number(quality.noise_level),
        ]


def test_wheel_drag_and_keys(serve, new_tab):
    _, address = serve()
    tab = opened(new_tab, address)

    def view():
        return tab.evaluate(f"[{MODEL}('x_range').start, {MODEL}('x_range').end]")

    whole = view()
    tab.locator(".neurons_detail").scroll_into_view_if_needed()
    box = tab.locator(".neurons_detail").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + 90
    tab.mouse.move(*middle)
    tab.mouse.wheel(0, -500)
    tab.wait_for_function(f"{MODEL}('x_range').end - {MODEL}('x_range').start < {whole[1] * 0.9}")
    before = view()
    tab.mouse.down()
    tab.mouse.move(middle[0] + 100, middle[1], steps=5)
    tab.mouse.up()
    tab.wait_for_function(
        f"{MODEL}('x_range').end - {MODEL}('x_range').start < {before[1] - before[0]} / 2"
    )
    start, _ = view()
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function(f"{MODEL}('x_range').start > {start}")
    wait_drawn(tab, f"windows.get_column('time')[0][0] > {start}")
    tab.keyboard.press("Home")
    wait_drawn(tab, "windows.get_column('time')[0][0] < 1")
    assert view() == whole
    tab.keyboard.press("n")
    wait_drawn(tab, "windows.get_column('neuron')[0] == 1")
    tab.keyboard.press("p")
    wait_drawn(tab, "windows.get_column('neuron')[0] == 0")


def saved(path):
    return {name: (each.mark, each.word) for name, each in read_marks(path).items()}


def wait_saved(tab, path, expected):
    for _ in range(100):
        if path.exists() and saved(path) == expected:
            return
        tab.wait_for_timeout(50)
    assert saved(path) == expected


def test_marks_by_key_outlive_a_killed_server(serve, new_tab, tmp_path):
    run, address = serve()
    tab, path = opened(new_tab, address), tmp_path / "m.csv"
    tab.keyboard.press("g")
    wait_saved(tab, path, {"0": ("good", "")})
    tab.keyboard.press("n")
    wait_drawn(tab, "windows.get_column('neuron')[0] == 1")
    tab.keyboard.press("b")
    tab.keyboard.press("w")
    tab.keyboard.type(f"{WORD} gbnu")  # letters that are keys elsewhere
    tab.keyboard.press("Enter")
    expected = {"0": ("good", ""), SCRIPT: ("bad", f"{WORD} gbnu")}
    wait_saved(tab, path, expected)
    tab.keyboard.press("n")
    wait_drawn(tab, "windows.get_column('neuron')[0] == 2")
    tab.keyboard.press("g")
    tab.keyboard.press("u")
    wait_drawn(tab, "rows.get_column('mark')[1] == 'bad' && rows.get_column('mark')[2] == ''")
    assert cells(tab)[SCRIPT][0] == f"bad, {WORD} gbnu"
    tab.keyboard.press("g")
    wait_saved(tab, path, {**expected, "2": ("good", "")})
    run.send_signal(signal.SIGKILL)
    run.wait()
    tab.complaints = deque(maxlen=0)  # from now on it says that the connection is lost
    assert saved(path) == {**expected, "2": ("good", "")}
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("m")] == ["m.csv"]
    _, address = serve()
    shown = cells(opened(new_tab, address))
    assert (shown["0"][0], shown["2"][0]) == ("good", "good")


def test_buttons_mark_all_that_are_chosen(serve, new_tab, tmp_path):
    _, address = serve()
    tab = opened(new_tab, address)
    tab.evaluate(f"{MODEL}('rows').selected.indices = [2, 5]")
    wait_drawn(tab, "windows.get_column('neuron').length == 2")
    tab.click("button[data-mark=bad]")
    wait_saved(tab, tmp_path / "m.csv", {"2": ("bad", ""), "5": ("bad", "")})
    tab.wait_for_function("document.querySelector('button[data-mark=bad]').ariaPressed == 'true'")
    # A word that was begun for these stays theirs when others are chosen.
    tab.fill("input[name=word]", "dim")
    tab.evaluate(f"{MODEL}('rows').selected.indices = [7]")
    wait_saved(tab, tmp_path / "m.csv", {"2": ("bad", "dim"), "5": ("bad", "dim")})


def test_two_windows_see_each_others_marks(serve, new_tab, tmp_path):
    """Of one server at once, of two within seconds."""
    _, address = serve()
    _, other_address = serve()
    one, same, other = (opened(new_tab, each) for each in (address, address, other_address))
    one.keyboard.press("g")
    for tab in (one, same, other):
        wait_drawn(tab, "rows.get_column('mark')[0] == 'good'")
    choose(other, 4)
    other.keyboard.press("b")
    choose(same, 5)
    same.keyboard.press("b")
    for tab in (one, same, other):
        wait_drawn(
            tab, "rows.get_column('mark')[4] == 'bad' && rows.get_column('mark')[5] == 'bad'"
        )
    assert len(saved(tmp_path / "m.csv")) == 3


def test_what_cannot_be_saved_is_said(serve, new_tab, tmp_path):
    _, address = serve()
    tab = opened(new_tab, address)
    (tmp_path / "m.csv").write_text("not,marks\n")
    tab.keyboard.press("g")
    tab.wait_for_function(
        "document.querySelector('.marks output').textContent.includes('is no file of marks')"
    )
    assert (tmp_path / "m.csv").read_text() == "not,marks\n"
    (tmp_path / "m.csv").unlink()
    tab.keyboard.press("g")
    tab.wait_for_function("document.querySelector('.marks output').textContent == ''")
    wait_saved(tab, tmp_path / "m.csv", {"0": ("good", "")})


def test_true_spikes_are_drawn_and_scored(serve, folder, new_tab):
    place, made, truth = folder
    _, address = serve("--truth", place / "truth.csv")
    tab = opened(new_tab, address)
    choose(tab, 5)
    look(tab, 100.0, 160.0)
    at = np.repeat(np.asarray(made.times), truth[:, 5].astype(int))
    np.testing.assert_allclose(column(tab, "truth"), at[(at >= 100) & (at <= 160)])
    expected = score(truth, np.asarray(made.table), downsample=1).values
    for neuron in (0, 5):
        assert cells(tab)[NAMES[neuron]][1] == shown_number(expected[neuron])


@pytest.mark.parametrize("width", [360, 1_920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits(serve, new_tab, width, scheme):
    _, address = serve()
    size = {"width": width, "height": 800}
    tab = opened(new_tab, address, viewport=size, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for place in (".marks", ".neurons_overview, .neurons_grid", ".neurons_detail"):
        box = tab.locator(place).first.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width + 1
        assert box["height"] > 20
    detail = tab.locator(".neurons_detail").bounding_box()
    assert detail["height"] > 150
    assert detail["width"] > 0.8 * width


def test_rates_alone_have_no_lane_for_a_trace(folder, new_tab, tmp_path):
    run, address = start(folder[0] / "r.zarr", "--marks", tmp_path / "m.csv")
    try:
        tab = opened(new_tab, address)
        assert tab.evaluate(f"{MODEL}('windows').get_column('trace')[0].length") == 0
        rates = column(tab, "rate")
        assert np.isin(rates.astype(np.float32), np.asarray(folder[1].table)[:, 0]).all()
        high = tab.locator(".neurons_detail").bounding_box()["height"]
        assert 100 < high < 240
    finally:
        run.kill()
        run.wait()


def test_the_browser_says_what_was_asked_and_nothing_else(serve, new_tab):
    """What it draws would be megabytes of a large result, more than the server takes."""
    _, address = serve()
    tab, sent = new_tab(viewport={"width": 1_400, "height": 900}), []
    tab.on("websocket", lambda each: each.on("framesent", lambda data: sent.append(len(data))))
    tab.goto(address)
    tab.wait_for_function("document.querySelector('.neurons')?.dataset.marks == 'ready'")
    wait_drawn(tab, "windows.get_column('neuron').length > 0")
    look(tab, 100.0, 300.0)
    tab.locator(".neurons select").select_option(label="mean rate")
    choose(tab, 5)
    assert sent
    assert max(sent) < 4_000


def test_ctrl_c_ends_it_with_success(serve):
    run, _ = serve()
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 0  # on a busy machine
    assert run.stdout.read() == ""
    assert re.fullmatch(r"Ctrl-C ends it; marks are kept in \S+\n", run.stderr.read())


ATTACK = """async ([address, port]) => {
  const found = []
  for (const path of ["", "static/js/bokeh.min.js"]) {
    try { found.push((await fetch(address + path)).status) } catch { found.push("refused") }
  }
  const socket = new WebSocket(address.replace("http", "ws") + "ws", ["bokeh", "x"])
  found.push(await new Promise((done) => {
    socket.onopen = () => done("open")
    socket.onerror = () => done("refused")
  }))
  return found
}"""


@pytest.fixture
def elsewhere(tmp_path):
    """A page of another origin on the same computer."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "index.html").write_text("<!DOCTYPE html><link rel=icon href='data:,'>")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "web"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def test_a_page_of_another_origin_gets_nothing(serve, new_tab, elsewhere):
    """Even if it knows the address."""
    _, address = serve()
    tab = new_tab()
    tab.goto(elsewhere)
    found = tab.evaluate(ATTACK, [address, 0])
    tab.complaints.clear()  # the browser says that it was refused
    assert found == ["refused", "refused", "refused"]
    tab.set_content(f"<iframe src='{address}'></iframe>")
    tab.wait_for_timeout(500)
    tab.complaints.clear()
    assert len(tab.frames) == 1 or tab.frames[1].locator(".neurons").count() == 0


def test_a_wrong_token_and_another_host_show_nothing(serve, new_tab):
    _, address = serve()
    tab = new_tab()
    port = address.split(":")[2].split("/")[0]
    for wrong in (
        f"http://127.0.0.1:{port}/",
        address[:-2] + "/",
        address.replace("127.0.0.1", "127.0.0.2"),
    ):
        try:
            answer = tab.goto(wrong)
        except Exception as error:  # nothing listens there
            assert "ERR_CONNECTION_REFUSED" in str(error)
        else:
            assert answer.status == 403
    tab.complaints.clear()


def test_only_the_good_are_predicted_next(serve, folder, new_tab, tmp_path):
    """From the window into `predict --only`."""
    _, address = serve(marks="kept.csv")
    tab = opened(new_tab, address)
    tab.keyboard.press("g")
    choose(tab, 4)
    tab.keyboard.press("g")
    wait_saved(tab, tmp_path / "kept.csv", {"0": ("good", ""), "4": ("good", "")})
    again = predict(folder[0] / "a.npy", RATE, only=str(tmp_path / "kept.csv"))
    assert again.names == ("0", "4")


def test_marks_of_before_are_there(serve, new_tab, tmp_path):
    write_marks(tmp_path / "m.csv", {"0": Mark("bad", "old")})
    _, address = serve()
    tab = opened(new_tab, address)
    assert cells(tab)["0"][0] == "bad, old"
    assert tab.input_value("input[name=word]") == "old"
