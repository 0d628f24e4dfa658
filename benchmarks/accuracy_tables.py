"""From the rows of `accuracy.py`, one for each neuron and method, to its summary and its tables."""

import re

import numpy as np
from scipy.stats import bootstrap, spearmanr
from unseen_recordings import TRIVIAL, interval

from spikefinder_keras.figures.style import BLUE, GREY, ORANGE, house_style, new_axes
from spikefinder_keras.network.weights import find_weights
from spikefinder_keras.recordings.calibration import (
    SMALLEST,
    SPEED_POWER,
    USUAL_FRAMES,
    USUAL_RISE,
    calibration_path,
    load_calibration,
)
from spikefinder_keras.training.neurons import IN_COMPETITION

UNSEEN = (
    *("DS02", "DS03", "DS04", "DS05-Cal520", "DS05-GCaMP6f"),
    *("DS07", "DS08", "DS18", "DS21", "DS22"),
)
"""Sets that were in no competition set."""

UNIVERSAL, WITH_INDICATOR, WITH_SPECIES = (
    "universal",
    "universal, indicator",
    "universal, indicator and species",
)

STATING = {WITH_INDICATOR: "indicator", WITH_SPECIES: "both"}

SEEN = " (seen by two peers)"

KINDS = (
    ("nothing stated, or an unknown indicator", None, None),
    ("dyes: OGB-1, Cal-520, Cal-590, Fluo-4, Rhod-2, Fura-2", "OGB-1", None),
    ("red: R-CaMP, jRCaMP1a, R-GECO, jRGECO1a", "R-CaMP", None),
    ("GCaMP3 to jGCaMP7, XCaMP, no species", "GCaMP6f", None),
    ("the same, mouse or another mammal", "GCaMP6f", "mouse"),
    ("the same, zebrafish", "GCaMP6f", "zebrafish"),
    ("jGCaMP8, GCaMP6f_u", "jGCaMP8f", None),
)

RECORDINGS = {
    "rise in 20 ms": (0.02, 0.0, 30.0),
    "in 40 ms": (0.04, 0.0, 30.0),
    "in 100 ms": (0.1, 0.0, 30.0),
    "in 40 ms, tonic": (0.04, 1.0, 30.0),
    "in 40 ms, at 7.5 Hz": (0.04, 0.0, 7.5),
    "in 40 ms, at 200 Hz": (0.04, 0.0, 200.0),
}
"""Rise from a quarter to three quarters of the peak (s), seen on many events; persistence, and
frame rate (Hz)."""

MOST_LOST = 0.02  # of the correlation of a set; less is what 5 ms do where transients are sharp
FEWEST = 5  # neurons of a set whose order says something

STRETCHES = (1.0, 1.2, 1.4, 1.6)

BANDS = {"under 0.3": (0, 0.3), "0.3 to 2": (0.3, 2), "2 to 5": (2, 5), "above 5": (5, np.inf)}
"""Neurons by their true rate in spikes/s."""

STATED = {
    UNIVERSAL: "`universal`, nothing known",
    WITH_INDICATOR: "`universal`, indicator stated",
    WITH_SPECIES: "`universal`, indicator and species stated",
    "published": "`published`, mean of ten IDs",
    "described": "`described`, mean of ten IDs",
    TRIVIAL: "rising slope of the calcium",
}


def over_sets(rows, key, chosen=None):
    """Mean over the neurons of a set, then over sets."""
    by_set = groups(rows, "set")
    return float(
        np.mean(
            [
                np.mean([each[key] for each in own])
                for name, own in by_set.items()
                if chosen is None or name in chosen
            ]
        )
    )


def groups(rows, key):
    """A dict of lists of rows."""
    found = {}
    for each in rows:
        found.setdefault(each[key], []).append(each)
    return found


def at_best_delay(rows):
    """Rows with "best": the score at the shift best for their set and method, "delay"."""
    found = []
    for method in groups(rows, "method").values():
        for own in groups(method, "set").values():
            names = [key for key in own[0] if key.startswith("25 Hz, moved by")]
            best = max(names, key=lambda name: np.mean([each[name] for each in own]))
            found += [each | {"best": each[best], "delay": best.split()[-2]} for each in own]
    return found


def paired(rows, first, second, key):
    """Mean over neurons of the difference of two methods, with its interval."""
    scores = [
        {(each["set"], each["neuron"]): each[key] for each in rows if each["method"] == method}
        for method in (first, second)
    ]
    found = np.array([scores[0][name] - scores[1][name] for name in scores[0]])
    low, high = interval(found)
    return [round(float(value), 4) for value in (found.mean(), low, high)]


def rates_and_spikes(rows, way=""):
    """Of one method's rows: errors of mean rates, and how well spikes are found."""
    ratio = np.array([each["rate"] / each["true rate"] for each in rows])
    counts = np.array([each[f"spikes{way}"] / each["true spikes"] for each in rows])
    found, true, matched = (
        sum(each[key] for each in rows) for key in (f"spikes{way}", "true spikes", f"matched{way}")
    )
    return {
        "neurons": len(rows),
        "true rate": round(float(np.median([each["true rate"] for each in rows])), 2),
        "rate / true rate": round(float(np.median(ratio)), 2),
        "error of the rate": round(float(np.median(np.abs(ratio - 1))), 2),
        "rate within a factor of two": round(float(np.mean((ratio > 0.5) & (ratio < 2))), 2),
        "count within a factor of two": round(float(np.mean((counts > 0.5) & (counts < 2))), 2),
        "precision": round(matched / max(found, 1), 2),
        "recall": round(matched / true, 2),
        "missed": true - matched,
    }


def certainty(rows):
    """Rank correlation of the expected score with the score, over all neurons with its interval,
    and within sets of at least `FEWEST`; and the means of both."""
    score = np.array([each["25 Hz"] for each in rows])
    expected = np.nan_to_num([each["certainty"] for each in rows])
    limits = bootstrap(
        (expected, score),
        lambda x, y: spearmanr(x, y)[0],
        paired=True,
        vectorized=False,
        n_resamples=1_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    within = [
        spearmanr([each["certainty"] for each in own], [each["25 Hz"] for each in own])[0]
        for own in groups(rows, "set").values()
        if len(own) >= FEWEST
    ]
    return {
        "across": [round(float(value), 2) for value in (spearmanr(expected, score)[0], *limits)],
        "within": round(float(np.nanmean(within)), 2),
        "mean expected": round(float(expected.mean()), 3),
        "mean true": round(float(score.mean()), 3),
    }


def summarise(rows):
    """Everything that the page states, as a dict."""
    rows = at_best_delay(rows)
    by_method = groups(rows, "method")
    unseen = [each for each in rows if each["set"] in UNSEEN]
    labels = {"all": None, "unseen ten": UNSEEN}
    summary = {
        "methods": {
            method: {
                f"{key}, {label}": round(over_sets(own, key, chosen), 3)
                for key in ("25 Hz", "smoothed", "best")
                for label, chosen in labels.items()
            }
            for method, own in by_method.items()
        },
        "paired": {
            f"{own} - {other}": {
                f"{key}, {label}": paired(of, own, other, key)
                for key in ("25 Hz", "best")
                for label, of in (("unseen ten", unseen), ("all", rows))
            }
            for own in (UNIVERSAL, WITH_INDICATOR)
            for other in by_method
            if not other.startswith(UNIVERSAL)
        },
    }
    for key in ("set", "indicator"):
        summary[f"by {key}"] = {
            name: {
                "neurons": len({(each["set"], each["neuron"]) for each in own}),
                "indicator": own[0]["indicator"],
                "species": own[0]["species"],
                **{
                    method: round(float(np.mean([each["25 Hz"] for each in found])), 3)
                    for method, found in groups(own, "method").items()
                },
            }
            for name, own in groups(rows, key).items()
        }
    own = by_method[UNIVERSAL]
    errors = [
        np.median([abs(each["rate"] / each["true rate"] - 1) for each in of])
        for of in groups(own, "set").values()
    ]
    ways = [key.removeprefix("spikes") for key in own[0] if key.startswith("spikes")]
    summary["rates"] = {
        "median relative error, mean over sets": round(float(np.mean(errors)), 2),
        "rank correlation over neurons": round(
            float(spearmanr(*([each[key] for each in own] for key in ("true rate", "rate")))[0]), 3
        ),
    }
    summary["rates"]["inside the interval"] = round(
        float(np.mean([each["low"] <= each["true rate"] <= each["high"] for each in own])), 2
    )
    summary["spikes"] = {
        name: {way or "bouts": rates_and_spikes(of, way) for way in ways}
        for name, of in [("all", own), *sorted(groups(own, "indicator").items())]
    }
    summary["by rate"] = {
        f"{name} spikes/s": rates_and_spikes(of)
        for name, (low, high) in BANDS.items()
        for of in [[each for each in own if low <= each["true rate"] < high]]
        if of
    }
    summary["stretched"] = [stretched(own, by) for by in STRETCHES]
    summary["certainty"] = certainty(own)
    return summary


def stretched(rows, by):
    """What mean rates would be if the map's logarithms were stretched about the sets' mean."""

    def logs(key, own):
        return np.log(np.array([each[key] for each in own]) + SMALLEST)

    sets = groups(rows, "set")
    middle = np.mean([logs("true rate", own).mean() for own in sets.values()])
    ratios = {
        name: (np.exp(middle + by * (logs("rate", own) - middle)) - SMALLEST)
        / [each["true rate"] for each in own]
        for name, own in sets.items()
    }
    true = np.array([each["true rate"] for own in sets.values() for each in own])
    every = np.concatenate(list(ratios.values()))
    return {
        "by": by,
        "error": round(float(np.mean([np.median(np.abs(x - 1)) for x in ratios.values()])), 2),
        **{
            name: round(float(np.median(every[(low <= true) & (true < high)])), 2)
            for name, (low, high) in BANDS.items()
        },
    }


def stating(by_set):
    """What stating indicator, and species as well, gives against nothing known: of a dict of sets
    to the score of each method."""
    found = {"nothing known": round(float(np.mean([own[UNIVERSAL] for own in by_set.values()])), 4)}
    for method in (WITH_INDICATOR, WITH_SPECIES):
        gains = {name: own[method] - own[UNIVERSAL] for name, own in by_set.items()}
        found[method] = {
            "score": round(float(np.mean([own[method] for own in by_set.values()])), 4),
            "gain": round(float(np.mean(list(gains.values()))), 4),
            "lost": {name: round(x, 3) for name, x in sorted(gains.items()) if x < -MOST_LOST},
            "gained": {name: round(x, 3) for name, x in sorted(gains.items()) if x > MOST_LOST},
        }
    return found


def families(rows, apart, families):
    """The scores of each family of indicators with nothing known, by the networks of the folds and
    by one that never saw the family: rows of either, and a dict of names to indicators."""
    found = {}
    for name, indicators in families.items():
        own = [
            [
                r
                for r in at_best_delay(of)
                if r["method"] == UNIVERSAL and r["indicator"] in indicators
            ]
            for of in (rows, apart)
        ]
        found[name] = {
            "sets": len({each["set"] for each in own[0]}),
            "neurons": len(own[0]),
            **{
                key: [round(over_sets(of, key), 3) for of in own]
                for key in ("25 Hz", "best", "smoothed")
            },
        }
    return found


def markdown(summary, fast):
    """The tables of the pages, a dict of names to text; `fast` are rows of `fast_indicators`."""
    methods = summary["methods"]
    columns = [
        ("25 Hz, unseen ten", "25 Hz, the unseen ten"),
        ("25 Hz, all", "25 Hz, all 23"),
        ("best, unseen ten", "at the best delay, the unseen ten"),
        ("best, all", "at the best delay, all 23"),
        ("smoothed, unseen ten", "smoothed, the unseen ten"),
        ("smoothed, all", "smoothed, all 23"),
    ]
    tables = {
        "scores": grid(
            ["", *(title for _, title in columns)],
            [
                [STATED.get(method, method), *(f"{values[key]:.3f}" for key, _ in columns)]
                for method, values in methods.items()
            ],
        ),
        "paired": grid(
            ["", "unseen ten", "all 23", "unseen ten, best delays", "all 23, best delays"],
            [
                [
                    name,
                    *(
                        interval_text(values[f"{key}, {label}"])
                        for key in ("25 Hz", "best")
                        for label in ("unseen ten", "all")
                    ),
                ]
                for name, values in summary["paired"].items()
            ],
        ),
        "delays": delays(load_calibration(calibration_path(find_weights("universal")))),
        "readme": grid(
            ["", "correlation"],
            [
                [STATED.get(method, method), f"{values['25 Hz, unseen ten']:.2f}"]
                for method, values in methods.items()
            ],
        ),
    }
    names = ["", "neurons", *(STATED.get(method, method) for method in methods)]
    for key in ("set", "indicator"):
        tables[key] = grid(
            names,
            [
                [
                    name
                    + (SEEN if name in IN_COMPETITION else "")
                    + (f", {about['indicator']}, {about['species']}" if key == "set" else ""),
                    str(about["neurons"]),
                    *(f"{about[method]:.2f}" for method in methods),
                ]
                for name, about in sorted(summary[f"by {key}"].items())
            ],
        )
    tables["stating"] = grid(
        [
            "delays measured on",
            *(STATED[method].removeprefix("`universal`, ") for method in (UNIVERSAL, *STATING)),
            *(f"sets that lose, gain more than {MOST_LOST}: {what}" for what in STATING.values()),
        ],
        [
            [name, f"{own['nothing known']:.3f}"]
            + [f"{own[method]['score']:.3f} ({own[method]['gain']:+.3f})" for method in STATING]
            + [f"{named(own[method]['lost'])}; {len(own[method]['gained'])}" for method in STATING]
            for name, own in summary["stating"].items()
        ],
    )
    if "families" in summary:
        tables["families"] = grid(
            ["", "sets", "neurons", "25 Hz", "at the best delay", "smoothed"],
            [
                [name, str(own["sets"]), str(own["neurons"])]
                + [f"{own[key][0]:.2f}, {own[key][1]:.2f}" for key in ("25 Hz", "best", "smoothed")]
                for name, own in summary["families"].items()
            ],
        )
    spikes = summary["spikes"]
    tables["rates"] = grid(
        [
            "",
            "neurons",
            "true rate (spikes/s)",
            "predicted / true",
            "error",
            "within a factor of 2",
            "of all missed spikes",
        ],
        [
            [name, str(of["neurons"])]
            + [f"{of[key]:.2f}" for key in ("true rate", "rate / true rate")]
            + [f"{of[key]:.0%}" for key in ("error of the rate", "rate within a factor of two")]
            + [f"{of['missed'] / spikes['all']['bouts']['missed']:.0%}"]
            for name, of in (
                *((name, ways["bouts"]) for name, ways in spikes.items()),
                *summary["by rate"].items(),
            )
        ],
    )
    tables["stretched"] = grid(
        ["stretched by", "error, mean over sets", *(f"{name}, predicted / true" for name in BANDS)],
        [[f"{value:.2g}" for value in of.values()] for of in summary["stretched"]],
    )
    found, (mean, low, high) = summary["certainty"], summary["certainty"]["across"]
    tables["whole"] = grid(
        [
            "mean rates: median relative error, mean over sets",
            "rank correlation",
            "inside the 80% interval",
            "expected r: rank over all neurons",
            "within sets",
            "mean expected; mean true",
        ],
        [
            [
                *(f"{value:.3g}" for value in summary["rates"].values()),
                f"{mean:.2f} ({low:.2f} to {high:.2f})",
                f"{found['within']:.2f}",
                f"{found['mean expected']:.2f}; {found['mean true']:.2f}",
            ]
        ],
    )
    ways = list(spikes["all"])
    tables["spikes"] = grid(
        ["", *(f"`--spikes`{way}" if way == "bouts" else way.strip(", ") for way in ways)],
        [
            [name]
            + [
                f"{of[way]['count within a factor of two']:.0%}, {of[way]['precision']:.2f}, "
                f"{of[way]['recall']:.2f}"
                for way in ways
            ]
            for name, of in spikes.items()
        ],
    ).replace("`--spikes`bouts", "`--spikes`")
    if fast:
        rates = sorted({row["frame rate"] for row in fast})
        cells = {(row["rise"], row["frame rate"]): row for row in fast}
        tables["fast"] = grid(
            ["rise", *(f"{rate:g} Hz" for rate in rates)],
            [
                line
                for rise in sorted({row["rise"] for row in fast})
                for line in (
                    [f"{rise} ms"]
                    + [f"{cells[rise, r]['r']:.2f}, {cells[rise, r]['late']:+d} ms" for r in rates],
                    ["by a network trained for it; share of that"]
                    + ["{trained for it:.2f}; {ratio:.0%}".format(**cells[rise, r]) for r in rates],
                )
            ],
        )
    return tables


def delays(calibration):
    """The table of the delays that belong to weights, see `recordings.calibration.Calibration`."""
    rows = []
    for kind, indicator, species in KINDS:
        delay, family = calibration.delay_of(indicator, species)
        signs = [
            (1 - (USUAL_RISE / rise) ** SPEED_POWER, tonic, np.log(rate / USUAL_FRAMES))
            for rise, tonic, rate in RECORDINGS.values()
        ]
        source = delay.source if family != "unknown" else "measured on all 23 sets"
        rows.append([kind, *(str(round(1e3 * delay.of(np.array(of)))) for of in signs), source])
    return grid(["delay (ms)", *RECORDINGS, "source"], rows)


DRAWN = {
    WITH_SPECIES: ("o", ORANGE),
    UNIVERSAL: ("o", BLUE),
    "described": ("^", GREY),
    "published": ("v", GREY),
    "OASIS, smoothed": ("s", GREY),
}
"""The methods in the picture, each with its marker and colour."""


@house_style
def picture(summary, path):
    """The score of each set as dots, ours and peers, the best of ours first; a PNG file."""
    sets = sorted(summary["by set"].items(), key=lambda item: -item[1][UNIVERSAL])
    ax = new_axes(7.0, 4.6)
    rows = np.arange(len(sets))[::-1]
    for method, (marker, colour) in DRAWN.items():
        values = [about.get(method, np.nan) for _, about in sets]
        filled = colour if method != WITH_SPECIES else "none"
        ax.plot(
            values,
            rows,
            marker,
            color=colour,
            markerfacecolor=filled,
            label=STATED.get(method, method).replace("`", ""),
        )
    names = [f"{name} ({about['indicator']}, {about['species']})" for name, about in sets]
    ax.set_yticks(rows, names)
    ax.grid(axis="y", color="0.9", linewidth=0.6)
    ax.set_xlim(0, 1)
    ax.set_xlabel("correlation with the true spikes at 25 Hz, on sets that were not trained on")
    # Above, as there is no corner without a dot.
    ax.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2, fontsize=7)
    ax.figure.savefig(path, dpi=150, metadata={"Software": None})


def named(differences):
    """Sets and what they lose, such as `DS12 0.06, DS14 0.04`, or `none`."""
    return ", ".join(f"{name} {abs(x):.2f}" for name, x in differences.items()) or "none"


def interval_text(values):
    """Mean and interval, such as `+0.05 (+0.03 to +0.07)`."""
    mean, low, high = values
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def grid(head, rows):
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_tables(page, tables):
    """Put the tables between `<!-- NAME -->` and `<!-- end -->` on a page that has these lines."""

    def filled(match):
        name = match[1]
        return f"<!-- {name} -->\n\n{tables[name]}\n\n<!-- end -->" if name in tables else match[0]

    text = page.read_text()
    page.write_text(re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", filled, text, flags=re.DOTALL))
