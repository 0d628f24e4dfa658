"""What a label says of the numbers beside it: the unit of times, and what a column is.

Headers of CSV files, names of columns, dimensions and arrays, and attributes such as `units` are
all labels; every container and every kind of Python object asks here.
"""

import functools
import re
from collections.abc import Sequence

import numpy as np

from .arrays import Array, Times

# Units of time

SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "sek", "sekunden"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "usec", "usecs", "micros", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nsecs", "nanos", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("day", "days"), 86400.0),
}
"""Length in s of the units of time, as people write them in lower case; the micro sign is a u."""

_UNIT = "|".join(sorted(SECONDS, key=len, reverse=True))
_CALLED_TIME = re.compile(
    r"(?:frame_?)?(?:times?|t|time_?stamps?|zeit|elapsed(?:_?time)?|t(?:ime)?_?(?:vec|vector|base|axis))"
    r"(?:_?in)?"
    rf"(?:_?({_UNIT}))?"
    r"|(seconds?|secs?|milliseconds?|ms|minutes?)"
)
_WORDS_OF_TIME = {"time", "times", "timestamp", "timestamps", "zeit", "datetime", "clock"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_FIRST_EXCEL, _LAST_EXCEL = 20_000, 80_000  # days since 1900: the years 1954 to 2119
_FIRST_DATENUM, _LAST_DATENUM = 690_000, 780_000  # days since the year 0: 1889 to 2135


@functools.lru_cache(4096)
def plain(label: object) -> str:
    """A label in lower case without marks, the micro sign as u: `timeus` of `Time [µs]`."""
    return re.sub(r"[^a-z0-9]", "", _ascii(label).lower())


def _ascii(label: object) -> str:
    return str(label).replace("µ", "u").replace("μ", "u")


@functools.lru_cache(4096)
def words(label: object) -> list[str]:
    """The words of a label in lower case, and its numbers: `system time 2` of `SystemTime_2`."""
    return [word.lower() for word in _WORD.findall(_ascii(label))]


def scale_of(unit: object) -> float | None:
    """Seconds in a unit of time by its name, also in CF's `milliseconds since 2024-03-05`, or None
    for another."""
    first, *rest = _ascii(unit).strip(" []()").lower().split() or [""]
    return None if rest and rest[0] != "since" else SECONDS.get(first.rstrip("."))


@functools.lru_cache(4096)
def time_unit(label: object) -> str | None:
    """The unit in a label that is a word for time and nothing else, empty where none stands; None
    for another label."""
    marked = re.sub(r"[^a-z0-9]+", "_", _ascii(label).lower()).strip("_")
    match = _CALLED_TIME.fullmatch(marked)
    return match and (match[1] or match[2] or "")


@functools.lru_cache(4096)
def unit_of_time(label: object) -> str | None:
    """As `time_unit`, of a label that mentions time among other words, as `Prof 1 Time(ms)`."""
    unit, found = time_unit(label), words(label)
    if unit is not None or not _WORDS_OF_TIME.intersection(found):
        return unit
    # A number after the unit counts the columns.
    named = [word for word in found if not word.isdigit()]
    return named[-1] if named[-1] in SECONDS else ""


def looks_like_days(times: Times) -> bool:
    """Whether times are days, as Excel and MATLAB's `datenum` count them: `(frame,)`, finite."""
    low, high = times.min(), times.max()
    return bool(
        (low > _FIRST_EXCEL and high < _LAST_EXCEL)
        or (low > _FIRST_DATENUM and high < _LAST_DATENUM)
    )


def likely_units(rate: float, slowest: float, fastest: float) -> list[str]:
    """The units other than s in which time stamps of `rate` frames per unit, in Hz if they were s,
    are between the `slowest` and the `fastest` rate in Hz."""
    units = {name: SECONDS[name] for name in ("ms", "us", "ns", "minutes", "hours", "days")}
    return [name for name, scale in units.items() if slowest <= rate / scale <= fastest]


# What is stored of a neuron, as programs and laboratories call it; names as `plain` makes them


def name_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# Names of dF/F.
RELATIVE = name_set(
    """dftraces fdff dff df dff0 dfof dfof0 dfoverf dfoverf0 deltaf deltaff deltaff0 deltafof
    deltafoverf deltafoverf0 dfftraces tracesdff"""
)
# Names of fluorescence: of suite2p (F), CNMF-E (C_raw), EXTRACT (temporal_weights) and others.
RAW = name_set(
    """f fluorescence fcell craw temporalweights fraw rawf ftraces rawtraces rawfluorescence fluo
    fluorescencetraces"""
)
TRACES = name_set("traces calcium calciumtraces signals")  # of either

DECONVOLVED = name_set(
    """spikeprob spikeprobability spikerates spikes spks s deconvolved events rates sp spikerate
    deconv discretespikes"""
)
DENOISED = name_set("c denoised cdec cdenoised denoisedtraces")
RESIDUALS = name_set("yra r residuals")
"""Names of what denoising took away; Minian's YrA is the whole trace."""
NEUROPIL = name_set("fneu fcellneu neuropil neuropiltraces")

PROCESSED = name_set(
    """smoothed smooth filtered lowpass lowpassfiltered detrended normalized normalised zscore
    zscored"""
)
"""Names of fluorescence that something was done to; what it was made from is better."""
_CHANNELS = name_set("green red ch1 ch2 channel1 channel2 gcamp tdtomato mcherry")
_RATIOMETRIC = name_set("340 350 360 380 385")  # nm; lights of dyes such as Fura-2
_QUANTITIES = (
    *(RELATIVE | {"ratio"}, RAW | {"raw"}, TRACES | _CHANNELS | _RATIOMETRIC | {"", "mean"}),
    *(PROCESSED, DECONVOLVED | DENOISED, RESIDUALS),
    NEUROPIL | name_set("sem std sd stdev stddev"),
)
"""From the best to what is no fluorescence; `raw` and `mean` say so of a column, not of any array,
and a column that is called as the neuron is its trace."""
_RANKS = {name: rank for rank, names in enumerate(_QUANTITIES) for name in names}
_BEHIND = _CHANNELS | _RATIOMETRIC  # before a neuron's name they may say which neurons it is of
_MOST_WORDS = 4  # dF/F0 are so many


def quantities(labels: Sequence[str]) -> list[tuple[str, str] | None]:
    """The neuron and the quantity in each of some labels, such as `cell 0` and `dff` of
    `cell0_dFF`, and an empty quantity where a label is a neuron of others; None where no quantity
    stands at its end or its beginning."""
    others = [x for x in labels if unit_of_time(x) is None and not counts_frames(x)]
    lasts = {word for label in others for word in words(label)[-1:]}
    # A number at the end of some labels may as well be that of the neuron.
    lights = len(lasts) > 1 and lasts <= _RATIOMETRIC | {"ratio"}
    readings = [_quantities_in(words(label), lights=lights) for label in labels]
    known = {each[0][0] for each in readings if each and each[0][0]}

    def best(ways: list[tuple[str, str]]) -> tuple[str, str] | None:
        """`c_raw` is CNMF-E's, but of the neuron c beside others such as `c_dff`."""
        longest = ways[0] if ways else None
        whole = longest is not None and not longest[0]
        return next((way for way in ways if whole and way[0] in known), longest)

    found = [best(ways) for ways in readings]
    named = {each[1] for each in found if each}
    # A letter alone may as well be that of a neuron, unless all have one, and not the same.
    letters = None not in found and len(named) > 1
    found = [each if each and (letters or len(each[1]) > 1) else None for each in found]
    neurons = {each[0] for each in found if each}
    plainly = [" ".join(words(label)) for label in labels]
    return [
        each or ((name, "") if name in neurons else None)
        for each, name in zip(found, plainly, strict=True)
    ]


def _quantities_in(found: list[str], *, lights: bool) -> list[tuple[str, str]]:
    """The neuron and the quantity in the words of a label, in each way to read them, that with most
    words first; `lights` is whether some numbers are wavelengths."""
    readings = []
    for count in range(min(_MOST_WORDS, len(found)), 0, -1):
        for name, rest, before in (
            ("".join(found[-count:]), found[:-count], False),
            ("".join(found[:count]), found[count:], True),
        ):
            if name in _BEHIND and (before or not rest):
                continue
            if name in _RANKS and (lights or name not in _RATIOMETRIC):
                # `F340` and `F380` beside `ratio`.
                short = rest[:-1] if lights and rest[-1:] == ["f"] else rest
                readings.append((" ".join(short), name))
    return readings


def rank_of_quantity(name: str) -> int:
    """How far a quantity is from dF/F: 0 for that, 1 for raw fluorescence, 2 for either, 3 for what
    was made from it."""
    return _RANKS[name]


def is_fluorescence(name: str) -> bool:
    """Whether a quantity is fluorescence, as it was recorded, as dF/F or processed further."""
    return _RANKS[name] <= _RANKS["smoothed"]


# Columns and arrays that are no neuron

RATES = {
    *("framerate", "framerates", "fs", "fr", "fps", "samplingrate", "samplerate", "imagingrate"),
    *("volumerate", "samplingfrequency", "samplefrequency", "frameratehz", "samplingratehz"),
}
"""Labels of frame rates in Hz."""
_PIECES = re.compile(
    r"(trial|session|epoch|block|sweep|run|day|recording|episode|file|repeat)s?"
    r"(no|nr|number|num|id|idx|index|count|counter|name)?"
)
_COUNTS_FRAMES = re.compile(
    r"(frame|sample|image|slice)s?(no|number|nr|num|id|idx|index|count|counter)?|index"
)
_MOVES = r"motion|movement|shift|drift|offset|displacement|position|velocity|accel|gyro"
_NO_TRACE = re.compile(
    # What the animal, a part of it, what it runs on, and the picture do, in whatever unit.
    rf"(((running|wheel|treadmill|ball|head|angular|animal|mouse|eye|stage|vr|[xyz])?"
    rf"(speed|pos|vel|acceleration|{_MOVES})[xyz]?|[xyz](off|acc)|(off|acc)[xyz]"
    r"|distance|angle|yaw|pitch|roll|running|locomotion|motionenergy|jitter|heading"
    r"|headdirection|pupil\w*|eye[xyz]?|face|whisk\w*|lever|joystick)"
    r"(cms?|mms?|ums?|ms|degs?|rads?|px|pixels?)?"
    r"|stim\w*|licks?|licking|rewards?|(air)?puffs?|odou?r\w*|tone|respiration|breath(ing)?"
    r"|heartrate|ecg|emg|eeg|lfp|ttl|trigger|sync|temperature|flags?|states?|leds?|led\w*state"
    r"|digital\w*|di|do|dio|din|dout|gpio|bit|aout|analogout(put)?"
    r"|mouse|animal|subject|animalid|mouseid|subjectid|comments?|notes?|markers?"
    r"|isosbestic\w*|\w*isosbestic|iso|background(roi|mean)?|bkg(nd)?|bkgd|bg)\d*"
)
_LIGHT = re.compile(r"(led\w*|flags?|light\w*|excitation\w*|wavelength\w*|laser\w*)\d*")
_ISOSBESTIC = {"395", "405", "410", "415"}  # nm; at these GCaMP shines alike with and without Ca
_ISOSBESTIC_NM = re.compile(r"(?<![0-9])(395|405|410|415) ?nm\b", re.IGNORECASE)
_SIGNAL = {
    *("465", "470", "473", "475", "480", "488", "490", "500"),
    *("532", "550", "555", "560", "561", "565", "570", "580", "590"),
}
"""nm, of lights by which indicators are excited."""


LONGEST_STEP = 3.0
"""Behind the first frame of a session the second one follows within so many usual intervals."""
ORDINARY = 1.5  # times the median an interval may last; in a longer one frames are missing


def names_pieces(label: object) -> bool:
    """Whether a column of this name says which trial or session a frame is of."""
    return _PIECES.fullmatch(plain(label)) is not None


def counts_frames(label: object) -> bool:
    """Whether a column of this name counts frames, from anew in each trial or not."""
    return _COUNTS_FRAMES.fullmatch(plain(label)) is not None


def is_no_trace(label: object) -> bool:
    """Whether a column of this name is what is recorded beside fluorescence."""
    return _NO_TRACE.fullmatch(plain(label)) is not None


def names_light(label: object) -> bool:
    """Whether a column of this name says which light a frame was taken with."""
    return _LIGHT.fullmatch(plain(label)) is not None


def isosbestic(labels: Sequence[str]) -> list[int]:
    """The places of labels that name an isosbestic wavelength, where all name one in nm and some
    another, such as `Region0_415` beside `Region0_470`; a number alone may count neurons, unless
    nm stands behind it."""
    marked = [k for k, label in enumerate(labels) if _ISOSBESTIC_NM.search(label)]
    if 0 < len(marked) < len(labels):
        return marked
    lights = [set(words(label)) & (_ISOSBESTIC | _SIGNAL) for label in labels]
    control = [k for k, found in enumerate(lights) if found and found <= _ISOSBESTIC]
    return control if all(map(len, lights)) and len(control) < len(labels) else []


FEW_VALUES = 4
"""States, flags and digital lines have so many different values at most; fluorescence, even of
eight bits, has many more."""
FEWEST_FRAMES = 50
"""In fewer rows a trace may have few values, too, or rise by chance."""


def is_state(values: Array) -> bool:
    """Whether a column `(row,)` changes among a handful of values only. One that never changes may
    be a dead neuron."""
    # The first ones decide for nearly every trace.
    first = values[:FEWEST_FRAMES]
    if len({*first[np.isfinite(first)].tolist()}) > FEW_VALUES:
        return False
    known = values[np.isfinite(values)]
    if known.size < FEWEST_FRAMES:
        return False
    return 1 < np.unique(known).size <= FEW_VALUES


def only_rises(values: Array, fewest: int | None = None) -> bool:
    """Whether a column of at least the `fewest` rows increases from row to row, as no trace does
    that has noise."""
    fewest = FEWEST_FRAMES if fewest is None else fewest
    first = values[:fewest]
    if values.size < fewest or not (np.diff(first) > 0).all():
        return False
    return bool((np.diff(values) > 0).all())


def alternates(values: Array) -> bool:
    """Whether a column of states changes so often that they take turns, as lights do."""
    return is_state(values) and float(np.mean(np.diff(values) != 0)) > 0.25


def starts_of(labels: Sequence[object] | Array) -> tuple[int, ...]:
    """Rows with which another trial or session begins, by what stands in its column; 0 first."""
    values = np.asarray(labels)
    if values.dtype.kind == "f":  # cells that were merged are empty but for the first
        known = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(values.size), 0))
        values = values[known]
    changed = np.flatnonzero(values[1:] != values[:-1]) + 1
    return (0, *changed.tolist())


def frames_with_holes(labels: Sequence[object] | Array) -> Array | None:
    """What labels that count frames count to, from 0, `(frame,)`: whole numbers that rise by one,
    or by so many as most do, and where frames are missing by a multiple; None for others."""
    numbers = np.asarray(labels)
    if numbers.dtype.kind not in "fiu" or numbers.size < 2 or not np.isfinite(numbers).all():
        return None
    steps = np.diff(numbers.astype(np.float64))
    if not (steps >= 1).all() or (steps % 1 != 0).any():
        return None
    unit = np.gcd.reduce(steps.astype(np.int64))
    counted = np.concatenate([[0.0], np.cumsum(steps)]) / unit
    return counted if np.median(steps) == unit else None


def restarts(times: Times) -> Array:
    """Frames at which time stamps start anew, as a second session's do: they fall back behind the
    middle of what came before, and rise again. Empty where another one falls back otherwise."""
    steps = np.diff(times)
    falls = np.flatnonzero(steps < 0) + 1
    if not falls.size or not (steps > 0).any():
        return falls[:0]
    longest = LONGEST_STEP * np.median(steps[steps > 0])
    edges = np.concatenate([[0], falls, [times.size]])
    for start, end, last in zip(edges[:-2], edges[1:-1], edges[2:], strict=True):
        middle = (times[start] + times[end - 1]) / 2
        # A stamp that is out of order makes pieces of one frame, falls back by little, or comes
        # before one that is where it would have been anyway.
        short = end - start < 2 or last - end < 2
        if short or times[end] > middle or steps[end] > longest:
            return falls[:0]
    return falls
