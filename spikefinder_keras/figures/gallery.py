"""All figures of the 2017 description and of its results, from weights and a competition folder.

What `spikefinder-keras figures` does; the notebooks call the same functions one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..competition.submission import default_weights, find_data, predict_sets
from ..competition.tables import REAL, data_origin, find_sets, read_set
from ..console import bar
from ..datasets import check_dataset
from ..errors import UsageError
from ..files.atomic import check_output_folder, check_replaceable
from ..network.convi6 import VARIANTS, Architecture, convi6
from ..network.engine import OnnxEngine, as_engine
from ..network.spec import Spec
from ..network.weights import find_weights, read_network
from .correlations import draw_scores, draw_scores_by_rate
from .network import kernels, network_diagram
from .style import save, sign
from .traces import (
    WINDOW,
    check_neurons,
    check_window,
    default_neurons,
    draw_dataset_ids,
    draw_predictions,
)
from .training import draw_learning_curves, read_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = ("png", "pdf")


def make_figures(  # noqa: PLR0913 - a keyword for each thing that a user may choose
    out: str | Path = "figures",
    data: str | Path | None = None,
    weights: str | Path | None = None,
    *,
    number: int | None = None,
    split: str = "train",
    neurons: Sequence[int] | None = None,
    window: tuple[float, float] = WINDOW,
    run: str | Path | None = None,
    formats: Sequence[str] = FORMATS,
    overwrite: bool = False,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Draw every figure and write it to a folder.

    Parameters
    ----------
    data, weights, progress, say
        As for `competition.submission`.
    number, split : int and "train" or "test"
        The set of the figures of single neurons; by default the first of the folder.
    neurons
        Of that set; by default those of 0, 2 and 4 that it has. The first is the one predicted
        under all dataset IDs.
    window
        Start and end of those figures, in s.
    run
        Folder of a training run, whose learning curves are drawn too; `TrainingError` if it has no
        log.
    formats
        Of `FORMATS`.
    overwrite
        Replace files of these names that this program has not written, too.
    """
    # What is wrong with the choices shows before anything slow happens.
    if number is not None:
        check_dataset(number)
    check_window(window)
    if run is not None:
        read_log(run)
    folder_of_figures = Path(check_output_folder(out))
    weights = weights or default_weights()
    # Not by Keras: these pictures need no training, so they need no TensorFlow.
    spec, arrays = read_network(find_weights(weights))
    network = OnnxEngine.of(spec, arrays)
    as_engine(network)  # which refuses `universal`
    folder, kind = find_data(data, folder_of_figures, progress)
    there = find_sets(folder)
    if number is None:
        split, number = next((each for each in there if each[0] == split), there[0])
    if (split, number) not in there:
        known = ", ".join(" ".join(map(str, each)) for each in there)
        raise UsageError(
            f"there is no {split} set {number} in {folder}; choose --set and --split from {known}"
        )
    origin = data_origin(folder)
    say(f"data:    {origin}, {kind} ({folder})")
    say(f"weights: {weights}")
    calcium, _ = read_set(folder, split, number)
    check_neurons(neurons or (), calcium.shape[1])
    check_window(window, len(calcium))
    sets = list(predict_sets(network, folder, progress))
    chosen = next(each for each in sets if (each.split, each.number) == (split, number))
    neurons = neurons or default_neurons(chosen)

    draw = dict(_diagrams(spec))
    draw["kernels"] = lambda: kernels(arrays["convolution_1/kernel"])
    draw["predictions"] = lambda: draw_predictions(chosen, neurons, window)
    if any(each.spikes is not None for each in sets):
        draw["scores"] = lambda: draw_scores(sets, origin == REAL)
        draw["scores-by-rate"] = lambda: draw_scores_by_rate(sets)
    else:
        say(f"no true spikes in {folder}, so no figures of scores")
    if network.datasets:
        draw["dataset-ids"] = lambda: draw_dataset_ids(network, chosen, neurons[0], window=window)
    else:
        say("this network has no dataset ID, so no figure of it")
    if run is not None:
        draw["learning-curves"] = lambda: draw_learning_curves(run)
    signatures = {"architecture": "", "learning": "", "kernels": f"weights: {weights}"}
    names = [folder_of_figures / f"{name}.{suffix}" for name in draw for suffix in formats]
    for path in names:
        check_replaceable(path, overwrite=overwrite)
    files = []
    for name, function in bar(list(draw.items()), "drawing", "figure", progress):
        ax = function()
        kind = name.partition("-")[0]
        sign(ax, signatures.get(kind, f"weights: {weights}; data: {origin}"))
        for suffix in formats:
            files.append(folder_of_figures / f"{name}.{suffix}")
            save(ax, files[-1])
    return files


def _diagrams(spec: Spec) -> Iterator[tuple[str, Callable[[], Axes]]]:
    """Names of figures, and what draws them: both variants; the network if it is neither."""
    variants = {variant: convi6(Architecture(variant)) for variant in VARIANTS}
    for variant, layers in variants.items():
        yield f"architecture-{variant}", partial(network_diagram, layers, f"convi6_{variant}")
    # Weights do not say where there was dropout.
    own = [layer for layer in spec if layer.kind != "dropout"]
    if own not in [[each for each in ls if each.kind != "dropout"] for ls in variants.values()]:
        yield "architecture-of-weights", partial(network_diagram, spec, "these weights")
