"""The figures of the 2017 description and of its results, from weights and a competition folder.

What `spikefinder-keras figures` does; the notebooks call the same functions one by one. `figures`
and `diagram` draw, here is chosen and computed what.
"""

import csv
from functools import partial
from pathlib import Path

import numpy as np

from ..competition.published import SUBMISSION, TEST, published_score
from ..competition.scoring import score
from ..competition.submission import default_weights, find_data, predict_sets
from ..competition.tables import REAL, data_origin, find_sets
from ..console import bar
from ..constants import SAMPLE_RATE
from ..datasets import DATASETS, check_dataset
from ..errors import TrainingError, UsageError
from ..files.atomic import check_output_folder
from ..files.regular import read_small
from ..network.convi6 import VARIANTS, Architecture, convi6
from ..network.engine import as_engine
from ..network.predict import rates_by_dataset
from .diagram import network_diagram
from .plots import (
    NEURONS,
    WINDOW,
    check_neurons,
    check_window,
    dataset_ids,
    kernels,
    learning_curves,
    predictions,
    scores,
    scores_by_rate,
)
from .style import save, sign

FORMATS = ("png", "pdf")

POOLS = (4, 8, 16, 32)
"""Samples per window of the comparison: 25, 12.5, 6.25 and 3.125 Hz, as in Theis et al. 2016."""


def make_figures(
    out="figures",
    data=None,
    weights=None,
    number=None,
    split="train",
    neurons=None,
    window=WINDOW,
    run=None,
    formats=FORMATS,
    progress=False,
    say=lambda line: None,
):
    """Draw every figure and write it to a folder.

    Parameters
    ----------
    out : str or Path
        The folder.
    data, weights
        As for `competition.submission`.
    number, split : int and "train" or "test"
        The set of the figures of single neurons; by default the first of the folder.
    neurons : sequence of int, optional
        Of that set; by default those of 0, 2 and 4 that it has. The first is the one predicted
        under all dataset IDs.
    window : pair of float
        Start and end of those figures, in s.
    run : str or Path, optional
        Folder of a training run, whose learning curves are drawn too.
    formats : sequence of str
        Of `FORMATS`.
    progress : bool
        Show it on the standard error.
    say : callable
        Receives lines of text: what is used, and what is left out.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    DataError, WeightsError, UsageError, DownloadError, OutputError
    TrainingError
        If there is no log of a run in `run`.
    """
    # What is wrong with the choices shows before anything slow happens.
    if number is not None:
        check_dataset(number)
    check_window(window)
    if run is not None:
        read_log(run)
    out = check_output_folder(out)
    folder, kind = find_data(data, out, progress)
    split, number = _choose(find_sets(folder), split, number, folder)
    weights = weights or default_weights()
    origin = data_origin(folder)
    say(f"data:    {origin}, {kind} ({folder})")
    say(f"weights: {weights}")
    network = as_engine(weights)
    sets = list(predict_sets(network, folder, progress))
    chosen = next(each for each in sets if (each.split, each.number) == (split, number))
    neurons = neurons or _default_neurons(chosen)
    check_neurons(neurons, chosen.calcium.shape[1])
    check_window(window, len(chosen.calcium))

    draw = dict(_diagrams(network))
    draw["kernels"] = lambda: kernels(network.arrays["convolution_1/kernel"])
    draw["predictions"] = lambda: draw_predictions(chosen, neurons, window)
    if any(each.spikes is not None for each in sets):
        draw["scores"] = lambda: draw_scores(sets, origin == REAL)
        draw["scores-by-rate"] = lambda: draw_scores_by_rate(sets)
    else:
        say(f"no true spikes in {folder}, so no figures of scores")
    if network.datasets:
        draw["dataset-ids"] = lambda: draw_dataset_ids(network, chosen, neurons[0], window)
    else:
        say("this network has no dataset ID, so no figure of it")
    if run is not None:
        draw["learning-curves"] = lambda: draw_learning_curves(run)
    signatures = {"architecture": "", "learning": "", "kernels": f"weights: {weights}"}
    files = []
    for name, function in bar(list(draw.items()), "drawing", "figure", progress):
        ax = function()
        kind = name.partition("-")[0]
        sign(ax, signatures.get(kind, f"weights: {weights}; data: {origin}"))
        for suffix in formats:
            files.append(out / f"{name}.{suffix}")
            save(ax, files[-1])
    return files


def draw_predictions(predicted, neurons=None, window=WINDOW, ax=None):
    """`figures.predictions` of a `PredictedSet`, by default those of `NEURONS` it has."""
    neurons = neurons or _default_neurons(predicted)
    tables = (predicted.calcium, predicted.spikes, predicted.rates)
    return predictions(*tables, neurons, window, predicted.title, ax)


def draw_scores(sets, real=False, ax=None):
    """`figures.scores` of those of the `PredictedSet`s whose truth is known.

    By the published protocol, `scoring.published_transform`, as the published means beside them.
    Only if the data are `real`, the competition's own, are these the scores of 2017.
    """
    known = [each for each in sets if each.spikes is not None]
    values = [score(each.spikes, each.rates, protocol="published").values for each in known]
    published = {
        name: [_or_nan(published_score(each.split, each.number, name)) for each in known]
        for name in TEST
    }
    title = "Correlation of each neuron, scored as in 2017"
    if not real:
        title = "Correlation on other data than the competition's; 2017: the real recordings"
    labels = [f"{each.split}\n{each.number}" for each in known]
    return scores(labels, values, published, SUBMISSION, title, ax)


def draw_scores_by_rate(sets, ax=None):
    """`figures.scores_by_rate` of those of the `PredictedSet`s whose truth is known, by split."""
    values = {}
    for split, name in (("train", "training sets"), ("test", "test sets")):
        tables = [
            [score(each.spikes, each.rates, downsample=pool).values for pool in POOLS]
            for each in sets
            if each.split == split and each.spikes is not None
        ]
        if tables:
            values[name] = np.concatenate(tables, axis=1).T
    sampling_rates = [SAMPLE_RATE / pool for pool in POOLS]
    return scores_by_rate(sampling_rates, values, "Correlation by sampling rate", ax)


def draw_dataset_ids(network, predicted, neuron=0, window=WINDOW, ax=None):
    """`figures.dataset_ids` of one neuron of a `PredictedSet`.

    Raises
    ------
    UsageError
        If the neuron is not there.
    """
    check_neurons([neuron], predicted.calcium.shape[1])
    trace = predicted.calcium[:, [neuron]]
    rates = rates_by_dataset(network, [trace], as_in_2017=True)
    rates = np.concatenate([table for (table,) in rates.values()], axis=1)
    labels = [f"{each.number}: {each.indicator}, {each.area}" for each in DATASETS]
    title = f"{predicted.title}, neuron {neuron}, under every dataset ID"
    return dataset_ids(trace[:, 0], rates, labels, predicted.number - 1, window, title, ax)


def draw_learning_curves(run, ax=None):
    """`figures.learning_curves` of the training run in a folder; see `read_log`."""
    log = read_log(run)
    title = f"Training run {Path(run).name}"
    return learning_curves(log["epoch"].astype(int), log["loss"], log["validation"], title, ax)


def read_log(run):
    """The log of a training run: a dict of arrays `(epoch,)`, `epoch`, `loss` and `validation`.

    Raises
    ------
    TrainingError
        If the folder `run` holds no readable `log.csv`.
    """
    path = Path(run) / "log.csv"
    try:
        rows = list(csv.DictReader(read_small(path).splitlines()))
        log = {
            name: np.array([float(row[name]) for row in rows])
            for name in ("epoch", "loss", "validation")
        }
    except (FileNotFoundError, NotADirectoryError):
        raise TrainingError(
            f"{path} does not exist; name the folder of a training run (--run)"
        ) from None
    except OSError as error:
        raise TrainingError(f"cannot read {path} ({error.strerror})") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise TrainingError(f"{path} is damaged; name the folder of another run (--run)") from error
    if not rows:
        raise TrainingError(f"{path} is empty; name the folder of another run (--run)")
    return log


def _choose(sets, split, number, folder):
    """The set that was asked for, or the first of its split, or the first."""
    if number is None:
        return next((each for each in sets if each[0] == split), sets[0])
    if (split, number) not in sets:
        there = ", ".join(" ".join(map(str, each)) for each in sets)
        raise UsageError(
            f"there is no {split} set {number} in {folder}; choose --set and --split from {there}"
        )
    return split, number


def _default_neurons(predicted):
    return [neuron for neuron in NEURONS if neuron < predicted.calcium.shape[1]]


def _diagrams(network):
    """Names of figures, and what draws them: both variants; the network if it is neither."""
    variants = {variant: convi6(Architecture(variant)) for variant in VARIANTS}
    for variant, layers in variants.items():
        yield f"architecture-{variant}", partial(network_diagram, layers, f"convi6_{variant}")
    own = [layer for layer in network.spec if layer.kind != "dropout"]
    if own not in [[each for each in ls if each.kind != "dropout"] for ls in variants.values()]:
        yield "architecture-of-weights", partial(network_diagram, network.spec, "these weights")


def _or_nan(value):
    return np.nan if value is None else value
