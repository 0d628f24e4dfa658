"""What the numbers of a `Trust` mean, in words: a verdict on each neuron, and the table of them."""

import numpy as np

from ..console import text_table
from .quality import FAR, NOISY

SHOWN = 20
"""Neurons in the table on the terminal."""

SHOWN_DIGITS = 2
"""Behind the point, in the table and on the page."""


def shown_number(number, none="-"):
    """A number as it is shown, or `none` where it is NaN."""
    return none if np.isnan(number) else f"{number:.{SHOWN_DIGITS}f}"


def verdict(neuron, certainty):
    """What a neuron's numbers mean, as they are shown, in a few words; empty for a good neuron."""
    if np.isnan(neuron.distance):
        return "no signal"
    words = []
    if round(neuron.noise_level, SHOWN_DIGITS) > NOISY:
        words.append("noisy")
    if round(neuron.distance, SHOWN_DIGITS) > FAR:
        words.append(f"unlike training ({neuron.feature})")
    if round(neuron.certainty, SHOWN_DIGITS) < certainty.limit:
        words.append(certainty.verdict)
    return ", ".join(words)


def doubt(neuron, certainty):
    """How little a neuron's rates are to be trusted, to put the worst first: 0 is the limit."""
    if np.isnan(neuron.distance):
        return np.inf
    unsure = 2 - neuron.certainty / certainty.limit
    doubts = (neuron.noise_level / NOISY, neuron.distance / FAR, unsure)
    return float(np.nanmax([0.0, *doubts])) - 1


def trust_table(trust):
    """The neurons of a `Trust` as text, the `SHOWN` worst of them, and what the columns mean."""
    rows = [("neuron", "noise level", "distance", trust.certainty.name, "missing", "")]
    sure = trust.certainty
    worst = sorted(
        trust.neurons,
        key=lambda n: (max(doubt(n, sure), 0.0), n.lost, doubt(n, sure)),
        reverse=True,
    )[:SHOWN]
    shown = trust.neurons if len(trust.neurons) <= SHOWN else worst
    for neuron in shown:
        numbers = (neuron.noise_level, neuron.distance, neuron.certainty)
        rows.append(
            (
                neuron.name,
                *map(shown_number, numbers),
                str(neuron.bridged + neuron.lost),
                verdict(neuron, sure),
            )
        )
    text = text_table(rows, right=(1, 2, 3, 4))
    if len(trust.neurons) > SHOWN:
        rest = len(trust.neurons) - SHOWN
        text += f"\nthe worst {SHOWN} of {len(trust.neurons)}; {rest} more are better"
        text += ", and --report shows them all"
    words = (
        f"noise level in % dF/F per sqrt(Hz), above {NOISY:g} poor; distance from training, above "
        f"{FAR:g} unlike it; {sure.words}, below {sure.limit:g} unsure; missing frames"
    )
    return f"{text}\n{words}"
