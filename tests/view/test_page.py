"""The page in a real browser, from the disk and without a network: what it shows is what was
predicted, and it answers to mouse and keys."""

import re
from dataclasses import replace

import numpy as np
import pytest

from spikefinder_keras.errors import UsageError
from spikefinder_keras.figures.recording_page import report
from spikefinder_keras.recordings.inputs import as_recording
from spikefinder_keras.recordings.quality import EXPECTED
from spikefinder_keras.recordings.recording import NeuronQuality, Prediction, Quality
from spikefinder_keras.view import page as module
from spikefinder_keras.view.drawing import SORTS, brightness, likeness
from spikefinder_keras.view.page import MISSING, STEPS, in_16_bits, page, write_page
from spikefinder_keras.view.source import PredictionSource

pytest.importorskip("bokeh")

RATE, FRAMES, NEURONS = 30.0, 9_000, 12
SCRIPT = "<script>alert(1)</script>"
SIZES = [(360, 740), (1920, 1080)]
NAN = float("nan")


def make(frames=FRAMES, neurons=NEURONS, names=None, **options):
    """Noise in which neuron 3 has a gap and every third neuron rates of its own kind; two segments
    with a pause between."""
    rng = np.random.default_rng(0)
    traces = rng.normal(size=(frames, neurons)).astype(np.float32)
    rates = rng.gamma(0.2, 5, size=(frames, neurons)).astype(np.float32)
    times = np.arange(frames) / RATE
    times[frames // 3 :] += 20
    if neurons > 3:
        traces[1000:1400, 3] = rates[1000:1400, 3] = np.nan
    recording = as_recording(traces, times=times, names=names, orientation="time-neuron", **options)
    quality = tuple(
        NeuronQuality(
            name, 1 + (7 * k % 5) + 0.125, 0.5, "height", 0.9 - 0.05 * k, 0, 0,
            float(rates[:, k][np.isfinite(rates[:, k])].mean()), 0.125, 2.5,
        )
        for k, name in enumerate(recording.names)
    )  # fmt: skip
    spikes = tuple(np.sort(rng.uniform(0, times[-1], 20 + k)) for k in range(neurons))
    description = {"unit": "spikes per second (expected)", "weights": "universal"}
    return Prediction(rates, recording, description, spikes, Quality(quality, (), EXPECTED))


@pytest.fixture(scope="module")
def prediction():
    return make(names=[SCRIPT, "$$x^2$$", *(f"cell {k}" for k in range(NEURONS - 2))])


@pytest.fixture(scope="module")
def path(prediction, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "trust.html"
    write_page(path, prediction)
    return path


@pytest.fixture
def open_page(new_tab):
    def open_it(path, size=SIZES[1], **options):
        tab = new_tab(viewport=dict(zip(("width", "height"), size, strict=True)), **options)
        tab.context.set_offline(True)
        tab.on("dialog", lambda dialog: tab.complaints.append(dialog.message) or dialog.dismiss())
        tab.on("request", lambda request: request.url.startswith(("file:", "data:", "blob:")) or
               tab.complaints.append(request.url))  # fmt: skip
        tab.goto(path.as_uri())
        tab.wait_for_selector(".neurons[data-ready=page]")
        settle(tab)
        return tab

    return open_it


@pytest.fixture
def tab(open_page, path):
    return open_page(path)


def settle(tab):
    """Wait until what was asked for is drawn."""
    tab.evaluate("() => new Promise((done) => setTimeout(() => requestAnimationFrame(done), 60))")


def of_model(tab, name, code):
    """What JavaScript `code` says of `model`."""
    # NaN and infinite numbers are none of JSON's; playwright hands them on.
    return tab.evaluate(f"(name) => {{ const model = Bokeh.documents[0].get_model_by_name(name); "
                        f"return {code} }}", name)  # fmt: skip


def window(tab):
    """The columns of what is drawn."""
    return of_model(
        tab, "windows",
        "Object.fromEntries(model.columns().map((c) => [c, Array.from(model.get_column(c), "
        "(v) => typeof v == 'number' ? v : Array.from(v))]))",
    )  # fmt: skip


def time_in_view(tab):
    return of_model(tab, "x_range", "[model.start, model.end]")


def chosen(tab):
    return of_model(tab, "rows", "model.selected.indices")


def shown_rows(tab):
    """Neurons of the table as it shows them, by number."""
    return tab.evaluate(
        "() => [...Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name("
        "'neurons_table')).data.index]"
    )


def cells(tab):
    """The text of the table's rows in view."""
    return [
        row.locator(".slick-cell").all_inner_texts()
        for row in tab.locator(".neurons .slick-row").all()
    ]


def choose(tab, neuron):
    of_model(tab, "rows", f"(model.selected.indices = [{neuron}], null)")
    settle(tab)


def middle(tab, place):
    box = tab.locator(f".neurons_{place}").bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + 90)
    return box


# What it shows


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_from_the_disk(open_page, path, size, scheme):
    tab = open_page(path, size, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.evaluate("scrollY") == 0  # the page begins with what is to be known first
    for place in ("detail", "overview"):
        name = f"neurons_{place}"
        width = of_model(tab, name, "model.inner_width")
        assert width > 200
    assert tab.locator(".neurons canvas").count() >= 2


def test_the_table_shows_the_numbers_to_the_last_digit(tab, prediction):
    rows = cells(tab)
    assert len(rows) == NEURONS
    for number in (0, 5, 11):
        rate = np.nanmean(prediction.table[:, number], dtype=np.float64)
        mine = prediction.quality.neurons[number]
        assert rows[number][:5] == [
            prediction.names[number],
            f"{rate:.2f} (0.12 to 2.50)",
            str(20 + number),
            f"{mine.certainty:.2f}",
            f"{mine.noise_level:.2f}",
        ]


@pytest.mark.parametrize("view", [None, (40.0, 45.0), (100.0, 250.0)])
@pytest.mark.parametrize("neuron", [0, 3, 11])
def test_each_column_of_pixels_has_the_least_and_the_largest_value(tab, prediction, neuron, view):
    choose(tab, neuron)
    if view:
        of_model(tab, "x_range", "(model.setv({{start: {}, end: {}}}), null)".format(*view))
        settle(tab)
    pixels = of_model(tab, "neurons_detail", "model.inner_width")
    start, end = time_in_view(tab)
    found, times = window(tab), prediction.times
    inside = (times >= start) & (times <= end)
    column = np.minimum((times - start) / (end - start) * pixels, pixels - 1e-9)
    traces = {"trace": prediction.recording.traces, "rate": prediction.table}
    for name, time in (("trace", "time"), ("rate", "rate_time")):
        values, at = traces[name][:, neuron], np.array(found[time][0])
        drawn = np.array(found[name][0], float)
        seen = (at >= start) & (at <= end)
        drawn_column = np.minimum((at[seen] - start) / (end - start) * pixels, pixels - 1e-9)
        # A border is as far as a float64 knows: samples on it may be in either column.
        at_border = np.abs(column - np.round(column)) < 1e-6
        exact = float(np.ptp(values[np.isfinite(values)]))
        for each in range(0, int(pixels), 7):
            mine = inside & (np.floor(column) == each)
            theirs = drawn[seen][np.floor(drawn_column) == each]
            if at_border[mine].any() or np.isnan(values[mine]).all():
                continue
            assert np.nanmin(theirs) == pytest.approx(np.nanmin(values[mine]), abs=exact / STEPS)
            assert np.nanmax(theirs) == pytest.approx(np.nanmax(values[mine]), abs=exact / STEPS)
    np.testing.assert_array_equal(found["spikes"][0], prediction.spike_times[neuron])


def test_gaps_and_pauses_are_hatched(tab, prediction):
    choose(tab, 3)
    found = of_model(
        tab, "neurons_detail",
        "model.renderers.flatMap(({glyph, data_source}) => glyph.type == 'Quad' ? "
        "[data_source.get_column('start'), data_source.get_column('end')] : [])",
    )  # fmt: skip
    starts, ends = map(np.array, found)
    times = prediction.times
    assert {(times[FRAMES // 3 - 1], times[FRAMES // 3])} < set(zip(starts, ends, strict=True))
    # Two lanes with the gap and the pause each; the gap to a column of pixels.
    assert len(starts) == 4
    np.testing.assert_allclose(starts[[0, 2]], times[1000], atol=1)
    np.testing.assert_allclose(ends[[0, 2]], times[1399], atol=1)


def test_names_are_text(tab):
    assert cells(tab)[0][0] == SCRIPT
    assert tab.locator(".slick-cell script").count() == 0
    heads = "model.renderers.flatMap(({glyph, data_source}) => glyph.type == 'Text' ? "
    heads += "data_source.get_column('text') : [])"
    assert of_model(tab, "neurons_detail", heads)[0].startswith(f"{SCRIPT}: ")
    choose(tab, 1)
    assert of_model(tab, "neurons_detail", heads)[0].startswith("$$x^2$$: ")


# What it does


def test_the_wheel_zooms_in_time_where_the_mouse_is(tab):
    before = time_in_view(tab)
    box = middle(tab, "detail")
    tab.mouse.wheel(0, -600)
    settle(tab)
    after = time_in_view(tab)
    assert before[0] < after[0] < after[1] < before[1]
    for _ in range(12):
        tab.mouse.wheel(0, 600)
    settle(tab)
    assert time_in_view(tab) == pytest.approx(before)
    assert box["width"] > 500


def test_a_box_that_is_drawn_is_zoomed_to(tab):
    box = middle(tab, "detail")
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 120, steps=5)
    tab.mouse.up()
    settle(tab)
    start, end = time_in_view(tab)
    assert 130 < start < 180
    assert 220 < end < 260
    found = window(tab)
    assert min(found["time"][0]) >= start - 1
    assert max(found["time"][0]) <= end + 1


def test_keys(tab):
    middle(tab, "detail")
    assert chosen(tab) == [0]
    for key, expected in (("ArrowDown", 1), ("n", 2), ("ArrowUp", 1), ("p", 0), ("p", 0)):
        tab.keyboard.press(key)
        settle(tab)
        assert chosen(tab) == [expected]
        assert window(tab)["neuron"] == [expected]
    whole = time_in_view(tab)
    tab.keyboard.press("+")
    tab.keyboard.press("ArrowRight")
    settle(tab)
    start, end = time_in_view(tab)
    assert end - start == pytest.approx((whole[1] - whole[0]) / 2)
    assert end == pytest.approx(whole[1])
    tab.keyboard.press("Home")
    settle(tab)
    assert time_in_view(tab) == whole


def test_arrows_move_the_page_where_nobody_looks_at_neurons(tab):
    tab.mouse.move(5, 5)
    tab.keyboard.press("ArrowDown")
    tab.wait_for_function("scrollY > 0")
    assert chosen(tab) == [0]


@pytest.mark.parametrize("by", ["mean_rate", "expected", "likeness", "file"])
def test_sorting(tab, prediction, by):
    tab.locator(".neurons select").select_option(label=dict(SORTS)[by])
    settle(tab)
    source = PredictionSource(prediction)
    expected = {
        "mean_rate": np.argsort(source.table()["mean_rate"])[::-1],
        "expected": np.arange(NEURONS),
        "file": np.arange(NEURONS),
        "likeness": np.argsort(likeness(source.overview(module.MOST_BINS))),
    }[by].tolist()
    assert shown_rows(tab) == expected
    assert [row[0] for row in cells(tab)] == [prediction.names[k] for k in expected]
    # The next by key is the next in this order, and the picture shows the same.
    middle(tab, "detail")
    choose(tab, expected[4])
    tab.keyboard.press("ArrowDown")
    settle(tab)
    assert chosen(tab) == [expected[5]]
    image = of_model(tab, "neurons_overview", "Array.from(model.renderers[0].data_source."
                     "get_column('image')[0])")  # fmt: skip
    levels = brightness(source.overview(module.MOST_BINS))[expected]
    assert image == levels.ravel().tolist()


def test_a_click_on_a_header_sorts_numbers_as_numbers(tab, prediction):
    noise = [neuron.noise_level for neuron in prediction.quality.neurons]
    tab.locator(".slick-header-column", has_text="noise").click()
    settle(tab)
    assert [noise[k] for k in shown_rows(tab)] == sorted(noise)
    tab.locator(".slick-header-column", has_text="neuron").click()
    settle(tab)
    names = [prediction.names[k] for k in shown_rows(tab)]
    assert names[-3:] == ["cell 7", "cell 8", "cell 9"]


def test_filtering(tab, prediction):
    box = tab.locator(".neurons input")
    box.press_sequentially("CELL r>0.6 ")
    settle(tab)
    expected = [k for k, n in enumerate(prediction.quality.neurons) if k > 1 and n.certainty > 0.6]
    assert shown_rows(tab) == expected
    assert box.input_value() == "CELL r>0.6 "  # the table takes no letters away
    assert tab.evaluate("document.activeElement.closest('.neurons') != null")
    box.fill("nothing is called so")
    settle(tab)
    assert shown_rows(tab) == []
    box.fill("")
    settle(tab)
    assert len(shown_rows(tab)) == NEURONS


def test_a_click_chooses(tab):
    tab.locator(".slick-row").nth(4).click()
    settle(tab)
    assert chosen(tab) == [4]
    tab.locator(".slick-row").nth(6).click(modifiers=["Control"])
    settle(tab)
    assert window(tab)["neuron"] == [4, 6]
    frame = tab.locator(".neurons_grid canvas").first.bounding_box()
    tab.mouse.click(frame["x"] + frame["width"] / 2, frame["y"] + 10)
    settle(tab)
    assert chosen(tab) == [0]


def test_a_finger_moves_the_page_up_and_the_time_sideways(open_page, path):
    tab = open_page(path, SIZES[0], has_touch=True, is_mobile=True)
    assert not tab.locator(".neurons .keys").is_visible()  # there are none
    tab.locator(".neurons_detail").scroll_into_view_if_needed()
    before, whole = tab.evaluate("scrollY"), time_in_view(tab)
    swipe(tab, 0, 60)
    assert tab.evaluate("scrollY") < before
    assert time_in_view(tab) == whole
    swipe(tab, -120, 2)
    start, end = time_in_view(tab)
    assert whole[0] < start < end < whole[1]


def swipe(tab, right, down):
    """Move a finger over the chosen neurons, by so many pixels."""
    y = tab.locator(".neurons_detail").bounding_box()["y"] + 150
    devtools = tab.context.new_cdp_session(tab)
    for step in range(11):
        kind = "touchMove" if step else "touchStart"
        point = {"x": 250 + right * step / 10, "y": y + down * step / 10}
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        tab.wait_for_timeout(16)  # as fast as a screen tells of it
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    settle(tab)


def test_it_is_printed_in_light_colours(open_page, path):
    tab = open_page(path, color_scheme="dark")
    filters = "getComputedStyle(document.querySelector('.neurons_turned')).filter"
    assert "invert" in tab.evaluate(filters)
    tab.emulate_media(media="print")
    assert tab.evaluate(filters) == "none"
    assert tab.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


# Any recording


@pytest.mark.parametrize(("frames", "neurons"), [(1, 1), (2, 2), (40, 1), (300, 3)])
def test_small_recordings(open_page, tmp_path, frames, neurons):
    rng = np.random.default_rng(0)
    recording = as_recording(rng.normal(size=(frames, neurons)), RATE, orientation="time-neuron")
    table = rng.random((frames, neurons)).astype(np.float32)
    write_page(
        tmp_path / "page.html", Prediction(table, recording, {"unit": "a.u.", "weights": ""})
    )
    tab = open_page(tmp_path / "page.html")
    assert window(tab)["neuron"] == [0]
    assert len(window(tab)["trace"][0]) == frames
    assert cells(tab)[0][1] == f"{table[:, 0].mean():.2f}"


def test_a_neuron_without_any_value(open_page, tmp_path):
    prediction = make(3000, 5)
    prediction.table[:, 0] = np.nan
    prediction.recording.fluorescence[:, 0] = np.nan
    write_page(tmp_path / "page.html", prediction)
    tab = open_page(tmp_path / "page.html")
    assert chosen(tab) == [0]
    choose(tab, 1)
    assert window(tab)["neuron"] == [1]


def test_large_recordings_are_reduced_and_say_so(open_page, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 12 * 12 * 1000)
    prediction = make()
    write_page(tmp_path / "page.html", prediction)
    tab = open_page(tmp_path / "page.html")
    text = tab.locator(".neurons").inner_text()
    points = int(re.search(r"the least and the largest values of (\d+) stretches", text)[1]) * 2
    assert points < 1000
    choose(tab, 3)
    found = window(tab)
    at = np.searchsorted(prediction.times, np.array(found["time"][0]) - 1e-6)
    drawn, trace = np.array(found["trace"][0]), prediction.recording.traces[:, 3]
    exact = float(np.ptp(trace[np.isfinite(trace)]))
    np.testing.assert_allclose(drawn, trace[at], atol=exact / STEPS)
    assert np.nanmax(drawn) == pytest.approx(np.nanmax(trace), abs=exact / STEPS)
    assert np.nanmin(drawn) == pytest.approx(np.nanmin(trace), abs=exact / STEPS)
    assert np.isnan(drawn).sum() >= 2


def test_its_size_is_bounded():
    prediction = make(2700, 100)
    text = page(prediction)
    data = len(re.search(r'id="neurons_data">(.*?)</script>', text, re.DOTALL)[1])
    # 27,000 frames are ten times as many, Bokeh and pictures are what they are.
    assert 10 * data + (len(text) - data) < 25e6


def test_without_bokeh_it_is_as_before_and_says_how_to_get_more(prediction, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    text = page(prediction)
    line = f'<p class="lead">{module.WITHOUT.replace(chr(39), "&#39;")}</p>\n'
    assert "pip install 'spikefinder-keras[view]'" in module.WITHOUT
    assert text.count(line) == 1
    plain = re.sub(r"base64,[^\"]*", "", report(prediction))
    assert re.sub(r"base64,[^\"]*", "", text.replace(line, "")) == plain


# In a notebook


def test_a_notebook_shows_it_in_a_frame_of_its_own(prediction, new_tab, tmp_path):
    shown = prediction.view()._repr_html_()
    path = tmp_path / "cell.html"
    path.write_text(f"<!DOCTYPE html><meta charset='utf-8'><body>{shown}</body>")
    tab = new_tab(viewport={"width": 1200, "height": 900})
    tab.context.set_offline(True)
    tab.goto(path.as_uri())
    frame = tab.frame_locator("iframe")
    frame.locator(".neurons[data-ready=page]").wait_for()
    frame.locator(".slick-row").nth(2).click()
    assert frame.locator(".slick-row").nth(0).locator(".slick-cell").first.inner_text() == SCRIPT
    # What stands in it, a neuron's name for one, cannot reach the notebook.
    (inside,) = tab.main_frame.child_frames
    assert inside.evaluate("origin") == "null"


def test_a_notebook_without_bokeh_is_told_what_to_install(prediction, monkeypatch):
    from spikefinder_keras.files import sandbox

    monkeypatch.setattr(sandbox.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'bokeh; .*pip install "spikefinder-keras\[view\]"'):
        prediction.view()


# Without a browser


def test_16_bits_are_exact_at_the_ends():
    values = np.array([-2.5, NAN, 0.0, 7.5, 7.5 - 1e-3], np.float32)
    codes, (low, high) = in_16_bits(values)
    assert (low, high) == (-2.5, 7.5)
    assert codes[[0, 1, 3]].tolist() == [MISSING + 1, MISSING, MISSING + 1 + STEPS]
    back = low + (codes.astype(float) - MISSING - 1) * (high - low) / STEPS
    known = codes != MISSING
    np.testing.assert_allclose(back[known], values[known], atol=10 / STEPS)
    assert (in_16_bits(np.full(3, 4.0))[0] == MISSING + 1).all()


def test_neighbours_in_likeness_fire_alike():
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.repeat(np.arange(4), 15))
    rates = rng.normal(size=(4, 200))[kinds] + 0.5 * rng.normal(size=(60, 200))
    rates[:, 50:60] = NAN
    rates[7] = NAN
    places = likeness(rates)
    assert sorted(places) == list(range(60))
    order = np.delete(kinds[np.argsort(places)], places[7])
    assert np.count_nonzero(np.diff(order)) == 3


def test_likeness_of_more_neurons_than_are_clustered(monkeypatch):
    from spikefinder_keras.view import drawing

    monkeypatch.setattr(drawing, "MOST_CLUSTERED", 40)
    rng = np.random.default_rng(1)
    kinds = rng.permutation(np.repeat(np.arange(4), 50))
    rates = rng.normal(size=(4, 200))[kinds] + 0.2 * rng.normal(size=(200, 200))
    places = likeness(rates)
    assert sorted(places) == list(range(200))
    assert np.count_nonzero(np.diff(kinds[np.argsort(places)])) == 3


@pytest.mark.parametrize("count", [1, 2, 3])
def test_likeness_of_few(count):
    assert sorted(likeness(np.full((count, 5), NAN))) == list(range(count))


def test_brightness_is_of_each_neuron():
    rates = np.array([[0, 1, 2], [10, NAN, 30], [5, 5, 5], [NAN] * 3])
    expected = [[0, 127, 254], [0, 255, 254], [0, 0, 0], [255] * 3]
    assert brightness(rates).tolist() == expected


def test_quality_of_another_number_of_neurons_is_none():
    prediction = make(300, 2)
    short = replace(prediction, quality=Quality(prediction.quality.neurons[:1], (), EXPECTED))
    assert PredictionSource(short).table()["remarks"] == ["", ""]
