"""Fit the map from output to spikes per second on recordings with known spikes."""

from collections import Counter, defaultdict

import numpy as np

from ..competition.scoring import sum_windows
from ..constants import POOL, SAMPLE_RATE
from ..errors import DataError
from ..files.whole_files import check_output
from ..network.engine import load_engine
from ..network.weights import find_weights
from ..terminal import bar
from .calibration import Calibration, calibration_path, fit_map, save_calibration
from .convi6 import ALL_DATASETS, rates_by_dataset
from .ground_truth import find_ground_truth, read_ground_truth
from .preparation import find_blocks, prepare

AT_A_TIME = 20
"""Recordings that are predicted together."""

SECOND = round(SAMPLE_RATE / POOL)
"""Pooled samples per second."""


class _Sample:
    """One ground-truth recording: outputs `(dataset, sample)` and true spikes/s, at 25 Hz."""

    def __init__(self, truth, outputs, spikes):
        self.dataset, self.indicator = truth.dataset, truth.indicator
        self.neuron = (truth.dataset, truth.indicator, truth.neuron)
        self.outputs = np.stack([_means(output, POOL) for output in outputs])
        self.rate = _means(spikes, POOL) * SAMPLE_RATE


def calibrate(weights, ground_truth, progress=False):
    """Fit and store the calibration of a weights file.

    One map for each dataset ID, on all ground truth there is; the errors to expect come from maps
    fitted without the dataset in question. Every neuron counts the same.

    Parameters
    ----------
    weights : str or Path
        See `weights.find_weights`.
    ground_truth : str or Path
        Folder of the files of `ground_truth`.
    progress : bool
        Show it on the standard error.

    Returns
    -------
    (Calibration, Path)
        What was fitted, and the file it is in (`calibration.calibration_path`).

    Raises
    ------
    DataError, UsageError, WeightsError, DownloadError, OutputError
    """
    path = find_weights(weights)
    paths = find_ground_truth(ground_truth)
    check_output(calibration_path(path))
    network = load_engine(path)
    samples = []
    for file in bar(paths, "predicting", "dataset", progress):
        samples += _samples(network, read_ground_truth(file))
    groups = sorted({(s.dataset, s.indicator) for s in samples})
    if len({dataset for dataset, _ in groups}) < 2:
        raise DataError(
            f"{ground_truth} holds one dataset only; add another, so that each can be left out once"
        )
    errors = defaultdict(list)
    for dataset, indicator in bar(groups, "fitting", "dataset", progress):
        others = Calibration(_fit([s for s in samples if s.dataset != dataset]))
        held_out = [s for s in samples if (s.dataset, s.indicator) == (dataset, indicator)]
        errors[indicator] += _errors(others, held_out)
    calibration = Calibration(
        _fit(samples),
        {indicator: _summary(found) for indicator, found in sorted(errors.items()) if found},
        f"fitted on {len({s.neuron for s in samples})} neurons of the ground truth of Rupprecht et "
        f"al. 2021 ({', '.join(sorted({s.dataset for s in samples}))})",
    )
    return calibration, save_calibration(calibration, path)


def _samples(network, truths):
    samples = []
    for first in range(0, len(truths), AT_A_TIME):
        part = truths[first : first + AT_A_TIME]
        blocks = [find_blocks(truth.recording) for truth in part]
        calcium = [prepare(t.recording, b, [0]) for t, b in zip(part, blocks, strict=True)]
        outputs = rates_by_dataset(
            network, [block for each in calcium for block in each], ALL_DATASETS
        )
        by_block = zip(*outputs.values(), strict=True)
        for truth, own in zip(part, blocks, strict=True):
            for spikes in truth.spikes(own):
                samples.append(_Sample(truth, [table[:, 0] for table in next(by_block)], spikes))
    return samples


def _means(values, count):
    """Means of every `count` values; an incomplete last window is dropped."""
    return sum_windows(np.asarray(values), count) / count


def _fit(samples):
    """A map for each dataset ID, every neuron with the same weight."""
    length = Counter()
    for sample in samples:
        length[sample.neuron] += sample.rate.size
    rate = np.concatenate([s.rate for s in samples])
    weight = np.concatenate([np.full(s.rate.size, 1 / length[s.neuron]) for s in samples])
    return {
        number: fit_map(np.concatenate([s.outputs[k] for s in samples]), rate, weight)
        for k, number in enumerate(ALL_DATASETS)
    }


def _errors(calibration, samples):
    """For each neuron: true and predicted mean rate, error in 1 s bins, that of a constant."""
    by_neuron = defaultdict(lambda: ([], []))
    for sample in samples:
        mapped = [
            calibration.spikes_per_second(output, number)
            for output, number in zip(sample.outputs, ALL_DATASETS, strict=True)
        ]
        for kept, values in zip(
            by_neuron[sample.neuron], (sample.rate, np.mean(mapped, axis=0)), strict=True
        ):
            kept.append(_means(values, SECOND))
    found = []
    for parts in by_neuron.values():
        true, predicted = map(np.concatenate, parts)
        if true.size and true.mean() > 0:
            found.append(
                (
                    true.mean(),
                    predicted.mean(),
                    np.abs(predicted - true).mean(),
                    np.abs(true - true.mean()).mean(),
                )
            )
    return found


def _summary(errors):
    """Medians over neurons, as `Calibration.held_out` has them."""
    true, predicted, error, silent = np.array(errors).T
    numbers = {
        "mean_rate_error": np.median(np.abs(predicted - true) / true),
        "bias": np.median(predicted / true),
        "rate_error": np.median(error),
        "silent_error": np.median(silent),
    }
    return {"neurons": len(errors)} | {name: round(float(v), 3) for name, v in numbers.items()}


def calibration_table(calibration):
    """The held-out errors as text."""
    from ..terminal import text_table

    rows = [
        (
            "indicator",
            "neurons",
            "predicted / true",
            "error of mean rate",
            "error in 1 s",
            "of a constant",
        )
    ]
    for indicator, found in calibration.held_out.items():
        rows.append(
            (
                indicator,
                str(found["neurons"]),
                f"{found['bias']:.2f}",
                f"{100 * found['mean_rate_error']:.0f}%",
                f"{found['rate_error']:.2f} spikes/s",
                f"{found['silent_error']:.2f} spikes/s",
            )
        )
    return text_table(rows, right=(1, 2, 3, 4, 5))
