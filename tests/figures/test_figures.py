"""What the figures draw: lines, labels and the data in them; and the command for all of them."""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from spikefinder_keras import figures
from spikefinder_keras.cli import main
from spikefinder_keras.competition import simulated_data as simulation
from spikefinder_keras.competition.tables import file_name, write_csv
from spikefinder_keras.errors import UsageError
from spikefinder_keras.figures import style
from spikefinder_keras.figures.network import boxes, network_diagram
from spikefinder_keras.figures.style import save
from spikefinder_keras.figures.traces import WINDOW, smooth
from spikefinder_keras.network.convi6 import Architecture, convi6

PACKAGE = Path(figures.__file__).parent


@pytest.fixture(autouse=True)
def no_global_change(monkeypatch):
    """No figure function changes the user's style, or needs a window."""
    monkeypatch.delenv("SPIKEFINDER_DATA", raising=False)
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before


def labels(ticks):
    return [tick.get_text() for tick in ticks]


def values(line):
    return np.asarray(line.get_ydata(), float)


def same_shape(drawn, trace):
    """Is what is drawn the trace, but for scale and offset?"""
    there = ~np.isnan(trace)
    assert (np.isnan(drawn) == ~there).all()
    return np.corrcoef(drawn[there], trace[there])[0, 1] > 0.999999


def contains(outer, inner):
    return (outer.min <= inner.min + 1e-6).all() and (outer.max >= inner.max - 1e-6).all()


# Kernels


@pytest.mark.parametrize("taps", [300, 101])
def test_kernels(taps):
    kernel = np.random.default_rng(0).normal(size=(taps, 1, 10))
    ax = figures.kernels(kernel)
    lines = [line for line in ax.lines if line.get_label().startswith("kernel")]
    assert labels(ax.get_yticklabels()) == [str(number) for number in range(1, 11)]
    assert ax.get_xlabel() == "time relative to the predicted sample (s)"
    offsets = ax.get_yticks()
    for number, (line, offset) in enumerate(zip(lines, offsets, strict=True)):
        time = np.asarray(line.get_xdata())
        assert time[[0, -1]] == pytest.approx({300: [-1.49, 1.5], 101: [-0.5, 0.5]}[taps])
        assert values(line) - offset == pytest.approx(kernel[:, 0, number])
    drawn = np.array([values(line) for line in lines])
    assert (drawn[:-1] > drawn[1:]).all()  # no kernel reaches its neighbour


def test_one_kernel():
    ax = figures.kernels(np.ones((3, 1)))
    assert labels(ax.get_yticklabels()) == ["1"]


def test_time_0_of_the_kernels_is_the_predicted_sample():
    import keras

    layer = keras.layers.Conv1D(1, 300, padding="same", use_bias=False)
    layer.build((None, None, 1))
    kernel = np.zeros((300, 1, 1))
    line = figures.kernels(kernel).lines[1]
    kernel[np.argmin(np.abs(np.asarray(line.get_xdata()) - 0.2))] = 1
    layer.kernel.assign(kernel)
    calcium = np.zeros((1, 1000, 1))
    calcium[0, 500] = 1
    # It looks 20 samples ahead, so it answers 20 samples before.
    assert np.argmax(np.asarray(layer(calcium))) == 480


def test_the_published_kernels_are_those_of_the_description(data):
    """The second is the sharp biphasic one, the seventh and ninth are small and step-like."""
    from spikefinder_keras.network.weights import read_weights

    weights = read_weights(data / "published" / "model_convnet_6")
    ax = figures.kernels(weights["convolution_1/kernel"])
    lines = [line for line in ax.lines if line.get_label().startswith("kernel")]
    time = np.asarray(lines[0].get_xdata())
    drawn = np.array([values(line) for line in lines]) - ax.get_yticks()[:, None]
    swings = np.abs(drawn[:, 3:] - drawn[:, :-3]).max(axis=1)  # within 30 ms
    order = np.argsort(-swings)
    assert order[0] + 1 == 2
    assert swings[order[0]] > 1.4 * swings[order[1]]
    sharp = drawn[1, np.abs(time) < 0.1]
    assert sharp.max() > 0.15
    assert sharp.min() < -0.15
    assert set(np.argsort(np.abs(drawn).max(axis=1))[:2] + 1) == {7, 9}
    after, before = ((time > 0.1) & (time < 0.4), (time > -0.4) & (time < -0.1))
    steps = np.abs(drawn[:, after].mean(axis=1) - drawn[:, before].mean(axis=1))
    assert set(np.argsort(-steps)[:2] + 1) == {7, 9}


# Predictions and dataset IDs


@pytest.fixture(scope="module")
def tables():
    calcium, spikes = simulation.simulate_set(5, 1_200, 3, 900, seed=1)
    rates = np.random.default_rng(2).random(calcium.shape)
    return calcium, spikes, rates


def test_smooth():
    spikes = np.zeros(100)
    spikes[50] = 2
    expected = np.zeros(100)
    expected[45:55] = 20  # spikes/s: two in 100 ms
    assert smooth(spikes) == pytest.approx(expected)
    assert smooth(np.ones(4)) == pytest.approx([40, 40, 40, 40])


def test_predictions(tables):
    calcium, spikes, rates = tables
    ax = figures.predictions(
        calcium, spikes, rates, neurons=(0, 2), window=(1, 11), title="some set"
    )
    assert ax.get_title(loc="left") == "some set"
    assert ax.get_xlabel() == "time (s)"
    names = ["calcium (a.u.)", "true rate (spikes/s)", "predicted rate (a.u.)"]
    assert labels(ax.get_yticklabels()) == [
        *(f"neuron 0: {names[0]}", *names[1:]),
        *(f"neuron 2: {names[0]}", *names[1:]),
    ]
    assert len(ax.lines) == 6
    for number, line in enumerate(ax.lines):
        neuron = (0, 2)[number // 3]
        end = np.flatnonzero(~np.isnan(calcium[:, neuron]))[-1] + 1
        rate = np.where(np.arange(1_200) < end, rates[:, neuron], np.nan)
        traces = (calcium[:, neuron], smooth(spikes[:, neuron]), rate)
        trace = traces[number % 3][100:1_100]
        assert np.asarray(line.get_xdata()) == pytest.approx(np.arange(1.0, 11.0, 0.01))
        assert same_shape(values(line), trace)
        low, high = re.sub("\N{MINUS SIGN}", "-", ax.texts[number].get_text()).split(" to ")
        size = np.ptp(trace[~np.isnan(trace)])
        assert float(low) == pytest.approx(np.nanmin(trace), abs=size / 10)
        assert float(high) == pytest.approx(np.nanmax(trace), abs=size / 10)
    # Every line has its lane.
    for upper, lower in zip(ax.lines, ax.lines[1:], strict=False):
        assert np.nanmin(values(upper)) > np.nanmax(values(lower))


def test_predictions_without_truth_or_samples(tables):
    calcium, _, rates = tables
    calcium = calcium.copy()
    calcium[:, 1] = np.nan
    ax = figures.predictions(calcium, None, rates, neurons=(0, 1))
    assert len(ax.lines) == 4
    assert [text.get_text() for text in ax.texts][2:] == ["no samples", "no samples"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neurons": (0, 3)}, "no neuron 3; choose from 0 to 2"),
        ({"neurons": (-1,)}, "no neuron -1"),
        ({"window": (5, 5)}, "^window 5 5 is empty"),
        ({"window": (-0.5, 5)}, r"^window -0\.5 5 is empty"),
        ({"window": (12, 13)}, "^window 12 13 holds no sample of the 12 s"),
        ({"window": (1, 1.001)}, "holds no sample"),
    ],
)
def test_neurons_and_windows_that_are_not_there(tables, options, message):
    with pytest.raises(UsageError, match=message):
        figures.predictions(*tables, **({"neurons": (0,)} | options))


def test_dataset_ids(tables):
    calcium, _, rates = tables
    names = ["one", "two", "three"]
    ax = figures.dataset_ids(calcium[:900, 0], rates[:900], names, own=1, window=(0, 9))
    assert labels(ax.get_yticklabels()) == ["calcium (a.u.)", "one", "two (its own)", "three"]
    assert ax.get_xlabel() == "time (s)"
    assert "(a.u.)" in ax.get_ylabel()
    for line, trace in zip(ax.lines, [calcium[:900, 0], *rates[:900].T], strict=True):
        assert same_shape(values(line), trace)
    assert [line.get_color() for line in ax.lines[1:]].count(style.ORANGE) == 1


# Scores and learning curves


def test_scores():
    of_neurons = [np.array([0.1, 0.5, np.nan]), np.array([0.4]), np.array([np.nan])]
    published = {"best": [0.6, np.nan, np.nan], "ours": [0.3, 0.2, np.nan], "last": [0.1, 0.1, 0.1]}
    ax = figures.scores(
        ["a", "b", "c"], of_neurons, published, highlight="ours", title="some scores"
    )
    assert ax.get_title(loc="left") == "some scores"
    assert labels(ax.get_xticklabels()) == ["a", "b", "c"]
    assert ax.get_ylabel() == "correlation at 25 Hz (no unit)"
    dots, others, ours = ax.lines[:3], ax.lines[3:5], ax.lines[5]
    for line, expected in zip(dots, of_neurons, strict=True):
        np.testing.assert_array_equal(values(line), expected)
    for line, name in zip(others, ("best", "last"), strict=True):
        np.testing.assert_array_equal(values(line), published[name])
    np.testing.assert_array_equal(values(ours), published["ours"])
    (means,) = ax.collections
    drawn = [segment[0, 1] for segment in means.get_segments()[:2]]  # the third set has none
    assert drawn == pytest.approx([0.3, 0.4])
    assert labels(ax.get_legend().get_texts()) == [
        *("a neuron", "mean", "other algorithms, 2017", "ours, 2017")
    ]


def test_scores_alone():
    ax = figures.scores(["a"], [[0.1, 0.2]])
    assert labels(ax.get_legend().get_texts()) == ["a neuron", "mean"]


def test_scores_by_rate():
    train = np.array([[0.1, 0.2], [0.3, 0.6], [np.nan, 0.5]])
    ax = figures.scores_by_rate([25, 3.125], {"train": train, "test": train[:1]})
    assert labels(ax.get_xticklabels()) == ["25", "3.125"]
    assert "(Hz)" in ax.get_xlabel()
    assert len(ax.lines) == 3 + 1 + 1 + 1
    assert values(ax.lines[3]) == pytest.approx([0.2, 0.4])  # without the neuron that lacks one
    assert labels(ax.get_legend().get_texts()) == [
        *("train,\nmean of 2 neurons", "test,\nmean of 1 neuron")
    ]


def test_learning_curves():
    ax = figures.learning_curves([1, 2, 3], [0.9, 0.8, 0.7], [0.1, 0.4, np.nan], "a run")
    (training,) = ax.lines
    _, right = ax.figure.axes
    validation, best = right.lines
    assert ax.get_title(loc="left") == "a run"
    # Each axis says what is drawn on it: the weighted loss is no correlation.
    assert (ax.get_ylabel(), right.get_ylabel()) == (
        "training: weighted mean of 1 - correlation",
        "validation: mean correlation at 25 Hz",
    )
    assert values(training) == pytest.approx([0.9, 0.8, 0.7])
    np.testing.assert_array_equal(values(validation), [0.1, 0.4, np.nan])
    assert (best.get_xdata(), best.get_ydata()) == ([2], [0.4])
    assert labels(ax.get_legend().get_texts())[-1] == "best, epoch 2"
    assert len(figures.learning_curves([1], [0.9], [np.nan]).figure.axes) == 1


def test_differences():
    names = ["better", "worse", "level"]
    ax = figures.differences(
        names, [0.1, -0.1, 0.0], [0.05, -0.2, -0.1], [0.2, -0.05, 0.1], title="x"
    )
    intervals, means = ax.collections
    ends = [segment[:, 0].tolist() for segment in intervals.get_segments()]
    assert ends == [[0.05, 0.2], [-0.2, -0.05], [-0.1, 0.1]]
    assert means.get_offsets()[:, 0].tolist() == [0.1, -0.1, 0.0]
    assert labels(ax.get_yticklabels()) == names
    assert ax.get_ylim() == (2.5, -0.5)  # the first on top
    assert len({tuple(colour) for colour in means.get_facecolors()}) == 3


# The architecture


def diagram_of(layers):
    """The network's figure: its patches and texts by their layers."""
    ax = network_diagram(layers, "a network")
    patches = {patch.get_gid(): patch for patch in ax.patches if patch.get_gid()}
    texts = {text.get_gid(): text for text in ax.texts if text.get_gid()}
    return ax, patches, texts


NETWORKS = {
    "described": {},
    "released": {"variant": "released"},
    "normalized": {"variant": "released", "batch_normalization": True},
    "ID after": {"id_joins": "after"},
    "no ID": {"id_joins": "nowhere", "dropout": ()},
    "other sizes": {"variant": "released", "filters": (3, 4, 5, 6, 1), "taps": (40, 7, 5, 3, 3)},
}


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_every_layer_is_in_one_box(options):
    from spikefinder_keras.network.keras_model import build_network

    layers = convi6(Architecture(**options))
    network = build_network(**options)
    drawn = boxes(layers)
    in_boxes = [name for box in drawn for name in box.layers]
    assert sorted(in_boxes) == sorted(layer.name for layer in network.layers)
    ax, patches, texts = diagram_of(layers)
    assert set(patches) == set(texts) == {box.name for box in drawn}
    for layer in network.layers:
        kind = type(layer).__name__
        (box,) = (box for box in drawn if layer.name in box.layers)
        text = texts[box.name].get_text()
        if kind == "Conv1D":
            assert text.startswith(f"Convolution {layer.filters} x {layer.kernel_size[0]}, ")
            assert ("dropout" in text) == (layer.name.replace("convolution", "dropout") in in_boxes)
        if kind == "Dropout":
            assert f"dropout {layer.rate}" in text
    arrows = [each for each in ax.texts if getattr(each, "arrow_patch", None)]
    assert len(arrows) == sum(len(box.sources) for box in drawn)

    # Every text fits its box, and no box touches another.
    ax.figure.canvas.draw()
    extents = {name: patch.get_window_extent() for name, patch in patches.items()}
    for name, text in texts.items():
        assert contains(extents[name], text.get_window_extent())
    names = list(extents)
    for k, name in enumerate(names):
        assert not any(extents[name].overlaps(extents[other]) for other in names[:k])
        assert contains(ax.figure.bbox, extents[name])


def test_the_architecture_of_the_description():
    ax, patches, texts = diagram_of(convi6(Architecture("described")))
    text = {name: each.get_text() for name, each in texts.items()}
    assert text["convolution_1"] == "Convolution 10 x 300, tanh, dropout 0.3"
    assert text["convolution_8"] == "Convolution 1 x 5, sigmoid"
    assert text["calcium"] == "input: calcium"
    assert text["dataset"] == "input: dataset ID, one-hot, 10 channels"
    assert text["output"] == "output: spike rate"
    assert text["bidirectional"] == "Bidirectional LSTM x 10, directions summed"
    assert text["join_lstm"] == "add: 10 + 10 channels"
    assert "7,357 parameters" in ax.get_title(loc="left")
    order = sorted(patches, key=lambda name: -texts[name].get_position()[1])
    beside = {name for name in patches if texts[name].get_position()[0] > 3}
    assert beside == {"dataset", "bidirectional"}
    assert [name for name in order if name not in beside] == [
        *("calcium", "convolution_1", "convolution_2", "join_dataset", "convolution_3"),
        *("join_lstm", *(f"convolution_{n}" for n in range(4, 9)), "output"),
    ]
    _, y = texts["bidirectional"].get_position()
    assert texts["join_lstm"].get_position()[1] < y < texts["convolution_3"].get_position()[1]
    assert texts["dataset"].get_position()[1] == texts["join_dataset"].get_position()[1]


def test_the_released_lstm_is_concatenated():
    _, _, texts = diagram_of(convi6(Architecture("released")))
    assert texts["join_lstm"].get_text() == "concatenate: 10 + 20 channels"


# All of them


def test_axes_given_are_axes_returned(tables):
    axes = style.new_axes(5, 3)
    assert figures.kernels(np.eye(4), ax=axes) is axes
    assert figures.predictions(*tables, neurons=(0,), ax=axes) is axes


def test_the_users_style_does_not_show():
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30}):
        ax = figures.learning_curves([1, 2], [0.9, 0.8])
    assert ax.get_facecolor() == (1, 1, 1, 1)
    assert ax.xaxis.label.get_size() == 8


def test_no_window_and_no_network_library():
    code = (
        "import sys, numpy as np\n"
        "from spikefinder_keras import figures\n"
        "figures.kernels(np.eye(4)).figure.canvas.draw()\n"
        "print([name in sys.modules for name in ('matplotlib.pyplot', 'keras', 'tensorflow')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert done.stdout == "[False, False, False]\n"


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_save(suffix, start, tmp_path):
    for name in ("first", "second"):
        save(figures.kernels(np.eye(4)), tmp_path / f"{name}.{suffix}")
    first, second = ((tmp_path / f"{n}.{suffix}").read_bytes() for n in ("first", "second"))
    assert first.startswith(start)
    assert first == second
    assert b"CreationDate" not in first
    assert len(list(tmp_path.iterdir())) == 2


# The command


@pytest.fixture(scope="module")
def competition(tmp_path_factory):
    """A folder with two small sets, one of them without its truth."""
    folder = tmp_path_factory.mktemp("competition")
    for split, number in (("train", 5), ("test", 4)):
        calcium, spikes = simulation.simulate_set(number, 1_500, 3, 1_200, split=split)
        write_csv(folder / file_name(split, number, "calcium"), calcium)
        if split == "train":
            write_csv(folder / file_name(split, number, "spikes"), spikes)
    return folder


NAMES = (
    *("architecture-described", "architecture-released", "kernels", "predictions"),
    *("scores", "scores-by-rate", "dataset-ids"),
)


def test_the_command_makes_them_all(competition, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "log.csv").write_text("epoch,loss,validation,seconds\n1,0.9,0.1,2\n2,0.8,nan,2\n")
    out = tmp_path / "figures"
    command = ["figures", "--data", str(competition), "--out", str(out), "--run", str(run)]
    assert main([*command, "--weights", "described"]) == 0
    printed = capsys.readouterr()
    names = [
        f"{name}.{suffix}" for name in (*NAMES, "learning-curves") for suffix in ("png", "pdf")
    ]
    assert printed.out.splitlines() == [str(out / name) for name in names]
    assert {path.name for path in out.iterdir()} == set(names)
    assert "weights: described" in printed.err
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        assert not pyplot.get_fignums()


def test_the_command_takes_other_networks_sets_and_windows(competition, tmp_path, capsys):
    from spikefinder_keras.network.keras_model import build_network, save_weights

    sizes = {"filters": (3, 4, 5, 6, 1), "taps": (40, 7, 5, 3, 3)}
    weights = tmp_path / "other.weights.h5"
    save_weights(build_network("released", **sizes, id_joins="nowhere"), weights)
    (tmp_path / "data").mkdir()
    for path in competition.glob("4.test*"):
        (tmp_path / "data" / path.name).write_bytes(path.read_bytes())
    out = tmp_path / "figures"
    command = ["figures", "--data", str(tmp_path / "data"), "--out", str(out), "--weights"]
    command += [str(weights), "--set", "4", "--split", "test", "--neurons", "1"]
    assert main([*command, "--window", "0", "0.99", "--format", "png"]) == 0
    printed = capsys.readouterr()
    names = (*NAMES[:2], "architecture-of-weights", *NAMES[2:4])
    assert printed.out.splitlines() == [str(out / f"{name}.png") for name in names]
    assert "no true spikes in" in printed.err
    assert "this network has no dataset ID" in printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "11"), "dataset 11 does not exist"),
        (
            ("--set", "6"),
            "there is no train set 6 in .*; choose --set and --split from train 5, test 4",
        ),
        (("--set", "5", "--split", "test"), "there is no test set 5"),
        (("--split", "both"), "choose from .*train.*test"),
        (("--neurons", "0", "3"), "there is no neuron 3; choose from 0 to 2"),
        (("--neurons", "-1"), "there is no neuron -1"),
        (("--window", "500", "100"), "--window 500 100 is empty; give two rising times in s"),
        (("--window", "50", "90"), "holds no sample of the 15 s that there are; choose another"),
        (("--window", "5"), "expected 2 arguments"),
        (("--run", "nowhere"), "nowhere/log.csv does not exist; name the folder of a training run"),
        (("--run", "damaged"), "damaged/log.csv is damaged; name the folder of another run"),
        (("--run", "empty"), "empty/log.csv is empty; name the folder of another run"),
        (("--format", "gif"), "choose from .*png.*pdf"),
        (("--weights", "best"), "there are no weights best"),
        (("--data", "nowhere"), "there is no folder nowhere"),
        (("--out", "file"), "cannot write to the folder file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line(arguments, message, competition, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "damaged": "epoch,loss\n1,much\n",
        "empty": "epoch,loss,validation\n",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.csv").write_text(text)
    (tmp_path / "file").write_text("")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert main(["figures", "--quiet", "--data", str(competition), *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert re.search(message, printed.err)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_commands_defaults_are_the_functions():
    from spikefinder_keras.cli import _parser
    from spikefinder_keras.figures.gallery import FORMATS

    arguments = _parser().parse_args(["figures"])
    assert arguments.window == WINDOW
    assert set(arguments.formats) == set(FORMATS)


def test_scores_of_the_published_weights_meet_the_published(data):
    from spikefinder_keras.figures.gallery import draw_scores, predict_sets
    from spikefinder_keras.network.keras_model import load_network

    network = load_network(data / "published" / "model_convnet_6")
    sets = list(predict_sets(network, data / "spikefinder.test"))
    ax = draw_scores(sets)
    (means,) = ax.collections
    assert means.get_segments()[0][0, 1] == pytest.approx(0.318, abs=6e-4)
