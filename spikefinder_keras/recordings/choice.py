"""Which network predicts a recording, and what it is told: decided before the data set out."""

from pathlib import Path

from ..errors import UsageError
from ..network.weights import find_weights
from .calibration import knowledge_path
from .convi6 import Convi6, choose_datasets
from .universal import Universal

DEFAULT = "universal"
OF_THE_COMPETITION = "described"
"""For what only the network of 2017 takes: its dataset IDs, and the competition's form."""


def check_choice(weights=None, indicator=None, dataset=None, area=None, spikes=False):
    """Find out, before a recording is read, whether these go together.

    Returns
    -------
    bool
        Whether a network of 2017 is meant, whatever the recording.

    Raises
    ------
    UsageError
        If they don't, or if there is no such dataset.
    """
    universal = weights is not None and is_universal(weights)
    old = dataset is not None or area is not None or (weights is not None and not universal)
    if old and universal:
        raise UsageError(
            "--dataset and --area are for the networks of 2017; leave them out, or name their "
            "--weights, such as described"
        )
    if old:
        choose_datasets(dataset, indicator, area)
        if spikes:
            raise UsageError(
                "the rates of the networks of 2017 have no unit, so there are no spike times "
                "(--spikes) of them; take --weights universal, without --dataset and --area"
            )
    return old


def choose_network(
    recording,
    weights=None,
    indicator=None,
    species=None,
    dataset=None,
    area=None,
    spikes=False,
    engine="fast",
    progress=False,
):
    """The network for a recording, `Universal` or `Convi6`; arguments as for `pipeline.predict`.

    A recording in the competition's form is one for the networks of 2017.

    Raises
    ------
    UsageError, WeightsError, DownloadError
        If the choice is impossible, or the weights cannot be used.
    """
    old = check_choice(weights, indicator, dataset, area, spikes)
    if recording.unit == "competition" and not old:
        if weights is not None:
            raise UsageError(
                f"{recording.source} is in the competition's form, for which --weights universal "
                "is not made; state the --frame-rate of raw traces, or leave --weights out"
            )
        old = check_choice(OF_THE_COMPETITION, indicator, dataset, area, spikes)
    if old:
        numbers = choose_datasets(dataset, indicator, area)
        return Convi6(OF_THE_COMPETITION if weights is None else weights, numbers, engine, progress)
    about = recording.about
    return Universal(
        DEFAULT if weights is None else weights,
        indicator or about.get("indicator"),
        species or about.get("species"),
        engine,
        progress,
    )


def is_universal(weights):
    """Whether weights, by name or file, are of `universal`: its knowledge stands beside them."""
    if not isinstance(weights, (str, Path)):
        return False
    return str(weights) == DEFAULT or knowledge_path(find_weights(weights)).is_file()
