"""From the rows of `accuracy.py`, one for each neuron and method, to its summary and its tables."""

import re

import numpy as np
from scipy.stats import bootstrap, spearmanr
from unseen_recordings import TRIVIAL, interval

from spikefinder_keras.constants import SAMPLE_RATE
from spikefinder_keras.network.universal import STEP
from spikefinder_keras.network.weights import find_weights
from spikefinder_keras.recordings.calibration import OFFSETS, calibration_path, load_calibration

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
    """Rank correlation of the expected score with the score, and its interval over neurons."""
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
    return [round(float(value), 2) for value in (spearmanr(expected, score)[0], *limits)]


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
    summary["certainty"] = certainty(own)
    return summary


def markdown(summary, fast):
    """The tables of the pages, a dict of names to text; `fast` are rows of `fast_indicators`."""
    methods = summary["methods"]
    columns = [
        ("25 Hz, unseen ten", "25 Hz, the unseen ten"),
        ("25 Hz, all", "25 Hz, all 16"),
        ("best, unseen ten", "at the best delay, the unseen ten"),
        ("best, all", "at the best delay, all 16"),
        ("smoothed, unseen ten", "smoothed, the unseen ten"),
        ("smoothed, all", "smoothed, all 16"),
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
            ["", "unseen ten", "all 16", "unseen ten, best delays", "all 16, best delays"],
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
                    + ("" if name in UNSEEN or key == "indicator" else SEEN)
                    + (f", {about['indicator']}, {about['species']}" if key == "set" else ""),
                    str(about["neurons"]),
                    *(f"{about[method]:.2f}" for method in methods),
                ]
                for name, about in sorted(summary[f"by {key}"].items())
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
    mean, low, high = summary["certainty"]
    tables["whole"] = grid(
        ["mean rates: median relative error, mean over sets", "rank correlation", "certainty"],
        [
            [
                *(f"{value:.3g}" for value in summary["rates"].values()),
                f"{mean:.2f} ({low:.2f} to {high:.2f})",
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
        steps = [0.0, 1.0] if family == "unknown" else [0.0]
        means, spreads = [], []
        for slow in steps:
            weights = delay.weights(slow)
            mean = weights @ OFFSETS
            means.append(f"{1e3 * mean * STEP / SAMPLE_RATE:.0f}")
            spread = np.sqrt(weights @ (OFFSETS - mean) ** 2)
            spreads.append(f"{1e3 * spread * STEP / SAMPLE_RATE:.0f}")
        source = delay.source if family != "unknown" else "measured on all sixteen sets"
        rows.append([kind, " to ".join(means), " to ".join(spreads), source])
    return grid(["", "delay (ms)", "spread (ms)", "source"], rows)


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
