"""The report is one page that needs nothing else and holds for odd recordings too."""

import base64
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pytest

from spikefinder_keras.errors import OutputError, UsageError
from spikefinder_keras.figures.recording_page import (
    COLUMNS,
    EXAMPLES,
    example_traces,
    quality_panels,
    rate_map,
    report,
    write_report,
)
from spikefinder_keras.recordings.inputs import as_recording
from spikefinder_keras.recordings.quality import EXPECTED
from spikefinder_keras.recordings.recording import NeuronQuality, Prediction, Quality

NAN = float("nan")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def make(neurons=4, frames=900, rate=30.0, names=None, warnings=(), **options):
    """A prediction of noise; neuron k has the noise level k + 1 and one stretch of high rate."""
    rng = np.random.default_rng(0)
    rates = rng.random((frames, neurons)).astype(np.float32)
    recording = as_recording(
        rng.normal(size=(frames, neurons)),
        rate,
        names=names,
        orientation="time-neuron",
        source="a <recording> & more",
        **options,
    )
    trust = tuple(
        NeuronQuality(name, k + 1.0, 0.5 + 0.1 * k, "height", 0.9, k, 2 * k)
        for k, name in enumerate(recording.names)
    )
    description = {"unit": "arbitrary, between 0 and 1", "weights": "<i>mine</i>", "notes": ""}
    return Prediction(
        rates, recording, description, None, Quality(trust, tuple(warnings), EXPECTED)
    )


def unknown(prediction, **change):
    neurons = tuple(replace(neuron, **change) for neuron in prediction.quality.neurons)
    return replace(prediction, quality=Quality(neurons, prediction.quality.warnings, EXPECTED))


class Page(HTMLParser):
    """The tags with their attributes, the text, and whether every tag is closed in turn."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def pictures(page):
    """The SVG trees of all images; each must be inside the page."""
    trees = []
    for tag, attributes in page.tags:
        if tag == "img":
            head, data = attributes["src"].split(",", 1)
            assert head == "data:image/svg+xml;base64"
            trees.append(ET.fromstring(base64.b64decode(data, validate=True)))
    return trees


def cells(text):
    """The rows of the table of neurons."""
    table = re.search(r'<div class="scroll"><table>(.*?)</table>', text, re.DOTALL)[1]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("<tr>")[2:]]


def check(prediction):
    page = Page(report(prediction))
    trees = pictures(page)
    assert len(trees) == 3
    assert {tree.tag for tree in trees} == {"{http://www.w3.org/2000/svg}svg"}
    return page


# The page


def test_it_needs_nothing_else():
    text = report(make(warnings=["see http://example.org"]))
    page = Page(text)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "base"})
    for tag, attributes in page.tags:
        assert "href" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        if tag != "img":
            assert "src" not in attributes
    assert "url(" not in text
    assert "@import" not in text
    for tree in pictures(page):
        for element in tree.iter():
            for name, value in element.attrib.items():
                if name.endswith("href"):
                    assert value.startswith(("#", "data:"))


def test_names_and_words_from_outside_are_escaped():
    names = ["<b>bold</b>", "a & b", '"quoted"', "ζ, 7"]
    text = report(make(names=names, warnings=["<script>alert(1)</script>", "x < y"]))
    page = Page(text)
    assert "b" not in {tag for tag, attributes in page.tags if attributes} - {"body"}
    for name in (*names, "<script>alert(1)</script>", "x < y", "<i>mine</i>"):
        assert name in page.text
    assert "Spike rates of a <recording> & more" in page.text
    assert not {"script", "i", "recording"} & {tag for tag, _ in page.tags}
    assert "&lt;b&gt;bold&lt;/b&gt;" in text


def test_every_neuron_stands_in_the_table():
    rows = cells(report(make(30)))
    assert len(rows) == 30
    assert rows[0] == ["0", "1.00", "0.50", "0.90", "0", "0", ""]
    assert rows[9][:6] == ["9", "10.00", "1.40", "0.90", "9", "18"]
    assert rows[9][6] == "noisy, unlike training (height)"


def test_warnings_stand_above_everything_else():
    text = report(make(warnings=["first", "second"]))
    assert '<div class="warn"><ul><li>first</li><li>second</li></ul></div>' in text
    assert text.index('class="warn"') < text.index("<h2>")
    fine = report(make())
    assert "None of the classic mistakes was found" in fine
    assert 'class="warn"' not in fine


def test_what_the_rates_are_stands_in_it():
    page = Page(report(make()))
    assert "4 neurons, 900 frames at 30 Hz (0.5 min)" in page.text
    assert "arbitrary, between 0 and 1" in page.text
    assert "notes" not in page.text  # there are none


def test_the_same_prediction_gives_the_same_page():
    prediction = make()
    first, second = (re.sub(r"base64,[^\"]*", "", report(prediction)) for _ in range(2))
    assert first == second


# Odd recordings


@pytest.mark.parametrize("frames", [1, 2, 3, 2 * COLUMNS + 1])
def test_recordings_of_any_length(frames):
    check(make(1, frames))


@pytest.mark.parametrize("neurons", [1, 2, 250])
def test_recordings_of_any_number_of_neurons(neurons):
    said = "1 neuron," if neurons == 1 else f"{neurons} neurons,"
    assert said in check(make(neurons)).text


def test_an_empty_neuron():
    prediction = make(3)
    prediction.rates[:, 1] = np.nan
    prediction.recording.fluorescence[:, 1] = np.nan
    neurons = list(prediction.quality.neurons)
    neurons[1] = NeuronQuality("1", NAN, NAN, "", NAN, 0, 900)
    prediction = replace(prediction, quality=Quality(tuple(neurons), (), EXPECTED))
    check(prediction)
    assert cells(report(prediction))[1] == ["1", "–", "–", "–", "0", "900", "no signal"]
    labels = [text.get_text() for text in example_traces(prediction).get_yticklabels()]
    assert "neuron 1" not in labels
    assert {"neuron 0", "neuron 2"} <= set(labels)


def test_nothing_but_empty_neurons():
    prediction = make(2)
    prediction.rates[:] = np.nan
    prediction.recording.fluorescence[:] = np.nan
    check(unknown(prediction, noise_level=NAN, distance=NAN, certainty=NAN))


def test_an_unknown_noise_level():
    """As in the competition's form: the examples are then chosen by certainty."""
    prediction = unknown(make(4), noise_level=NAN)
    neurons = [
        replace(n, certainty=a)
        for n, a in zip(prediction.quality.neurons, (0.5, 0.9, 0.7, 0.6), strict=True)
    ]
    prediction = replace(prediction, quality=Quality(tuple(neurons), (), EXPECTED))
    check(prediction)
    labels = [text.get_text() for text in example_traces(prediction).get_yticklabels()][::2]
    assert labels[0] == "neuron 1"
    assert labels[-1] == "neuron 0"


def test_gaps_and_constant_traces():
    prediction = make(3)
    prediction.rates[100:400, 0] = np.nan
    prediction.recording.fluorescence[100:400, 0] = np.nan
    prediction.rates[:, 1] = 0.4
    prediction.recording.fluorescence[:, 2] = 1.0
    check(prediction)


def test_a_window_without_any_frame():
    """In the competition's form rates go on behind the end of a neuron."""
    prediction = make(1, 9000)
    prediction.rates[4000:4010, 0] = 1e6
    prediction.recording.fluorescence[3000:6000, 0] = np.nan
    check(prediction)
    prediction.rates[:, 0] = np.nan
    labels = [text.get_text() for text in example_traces(prediction, [0]).get_yticklabels()]
    assert labels == ["neuron 0", "no rates"]


def test_names_that_look_like_formulas():
    prediction = make(3, names=[r"$\bad$", "5 $ or $ 6", "one $"])
    check(prediction)
    labels = [text.get_text() for text in example_traces(prediction).get_yticklabels()]
    assert labels[2] == r"neuron 5 \$ or \$ 6"


# The pictures


def test_examples_are_the_clearest_a_middling_and_the_noisiest_neuron():
    ax = example_traces(make(9))
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels[::2] == ["neuron 0", "neuron 4", "neuron 8"]
    assert all(re.fullmatch(r"\S+ to \S+ a\.u\.", label) for label in labels[1::2])
    assert len(ax.lines) == 2 * EXAMPLES
    chosen = example_traces(make(9), neurons=[7])
    assert next(text.get_text() for text in chosen.get_yticklabels()) == "neuron 7"


def test_examples_show_the_busiest_stretch():
    prediction = make(1, 9000)
    prediction.rates[:, 0] *= 0.01
    prediction.rates[5000:5900, 0] = 1.0
    _, rate = example_traces(prediction).lines
    times, values = rate.get_data()
    assert times[-1] == pytest.approx(60, abs=1 / 30)
    # All of the 900 frames at the top of the lane, which is 0.9 high.
    assert np.sum(np.isclose(values, values.max())) == 900


def test_a_window_is_of_the_recordings_own_time():
    prediction = make(3, 9000, names=["a", "b", "c"])
    ax = example_traces(prediction, ["b", 2], window=(10.0, 20.0))
    assert ax.get_xlim() == (10, 20)
    trace, rate, *_ = ax.lines
    np.testing.assert_array_equal(trace.get_xdata(), prediction.times[300:601])
    heights = prediction.table[300:601, 1].astype(float)
    heights = 0.9 * (heights - heights.min()) / np.ptp(heights) - 1
    np.testing.assert_allclose(rate.get_ydata(), heights, rtol=1e-12)
    assert [text.get_text() for text in ax.get_yticklabels()][::2] == ["neuron b", "neuron c"]
    assert len(example_traces(prediction, "a").lines) == 2
    assert len(example_traces(prediction, -1).lines) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neurons": ["cell_1"]}, "no neuron 'cell_1'; did you mean cell 1"),
        ({"neurons": [0, 3]}, "no neuron 3; they are numbered 0 to 2"),
        ({"window": (50, 60)}, "no frame from 50 to 60 s; the recording lasts from 0 to 29.9667 s"),
        ({"window": (2, 1)}, "no frame from 2 to 1 s"),
    ],
)
def test_what_is_not_there_cannot_be_drawn(options, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        example_traces(make(3, names=["cell 0", "cell 1", "cell 2"]), **options)


def test_calibrated_examples_name_their_unit():
    prediction = make(1)
    prediction.description["unit"] = "spikes per second (expected)"
    labels = [text.get_text() for text in example_traces(prediction).get_yticklabels()]
    assert labels[1].endswith(" spikes/s")


def test_the_map_shows_each_neuron_in_its_own_range():
    frames = 2 * COLUMNS
    prediction = make(3, frames)
    prediction.rates[:, 0] = np.linspace(0, 1, frames)
    prediction.rates[:, 1] = 100 + 50 * np.linspace(1, 0, frames)
    prediction.rates[COLUMNS:, 2] = np.nan
    (image,) = rate_map(prediction).images
    shown = image.get_array()
    assert shown.shape == (3, COLUMNS)
    # Float32 rates around 100, whose last digits are 1e-5 of their range of 50.
    np.testing.assert_allclose(shown[0], np.linspace(0, 1, COLUMNS), atol=1e-5)
    np.testing.assert_allclose(shown[1], np.linspace(1, 0, COLUMNS), atol=1e-5)
    np.testing.assert_array_equal(
        np.ma.getmaskarray(np.ma.masked_invalid(shown[2])), np.arange(COLUMNS) >= COLUMNS // 2
    )


def test_no_hatch_where_nothing_is_missing():
    prediction = make(3, 600)
    assert rate_map(prediction).patch.get_hatch() is None
    assert "hatched" not in report(prediction)
    prediction.table[100:400, 1] = np.nan
    assert rate_map(prediction).patch.get_hatch() == "////"
    assert "hatched is" in report(prediction)


def test_bins_are_wide_enough_to_see():
    values = tuple(
        NeuronQuality(str(k), 0.9 + 1e-4 * k, 0.5, "height", 0.9, 0, 0) for k in range(99)
    )
    panel, *_ = quality_panels(Quality(values, (), EXPECTED)).child_axes
    widths = {round(bar.get_width() / np.ptp(panel.get_xlim()), 3) for bar in panel.patches}
    assert min(widths) > 0.03


def test_it_is_readable_on_a_phone():
    text = report(make(3))
    assert "min-width: 600px" in text
    assert text.count('<div class="wide"><img') == 3
    assert "initial-scale=1" in text


def test_the_map_is_in_minutes_where_it_is_long():
    assert rate_map(make(2, 900)).get_xlabel() == "time (s)"
    long = rate_map(make(2, 12_000))
    assert long.get_xlabel() == "time (min)"
    assert long.get_xlim() == pytest.approx((0, 400 / 60), abs=0.01)


def test_histograms_hold_every_known_neuron():
    trust = make(12).quality
    neurons = (*trust.neurons, NeuronQuality("x", NAN, 0.7, "height", NAN, 0, 0))
    first, second, third = quality_panels(Quality(neurons, (), EXPECTED)).child_axes
    counts = [sum(bar.get_height() for bar in panel.patches) for panel in (first, second, third)]
    assert counts == [12, 13, 12]
    empty = quality_panels(Quality(neurons[-1:], (), EXPECTED)).child_axes
    assert [[text.get_text() for text in panel.texts] for panel in empty] == [
        ["not known"],
        [],
        ["not known"],
    ]


# The file


def test_it_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "how far é.html"
    write_report(path, make())
    before = path.read_bytes()
    assert before.decode("utf-8").startswith("<!DOCTYPE html>")
    assert before.decode("utf-8").endswith("</html>\n")

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as changed:
        changed.setattr("pathlib.Path.write_text", full)
        with pytest.raises(OutputError, match=r"cannot write .*how far é.html \(No space left"):
            write_report(path, make(2))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(OutputError, match=r"is a folder; name a file in it"):
        write_report(tmp_path, make(1))
    with pytest.raises(OutputError, match=r"cannot write .*page.html \(No such file or directory"):
        write_report(tmp_path / "missing" / "page.html", make(1))


def test_the_page_says_what_predicted():
    assert "predicted by the weights &lt;i&gt;mine&lt;/i&gt;" in report(make())
