"""Calcium indicators with their physics and a simulated microscope: from spikes to frames.

    spike -> calcium enters, is buffered and pumped out -> the indicator binds it -> light -> frames

Per neuron, with c the free calcium, and of the indicator the shares y that has bound calcium but is
still dark and b that is bright:

    (1 + kappa) dc/dt = influx(t) - gamma (c - rest) - sites d(y + b)/dt
    dy/dt = bind x (1 - y - b) - (bind + fold) y
    db/dt = fold y - off b
    x     = (c / affinity)^hill  off (bind + fold) / (bind fold)
    dF/F  = contrast (b - b_rest) / (1 + contrast b_rest)

*Calcium* is a single pool with a fast endogenous buffer of ratio kappa and linear extrusion
(Helmchen et al. 1996, Biophys J 70:1069-1081; kappa of about 100, gamma of about 1,800 /s and a
rest of 50 nM are those that the simulator NAOMi uses, Song et al. 2021, J Neurosci Methods
358:109173). What binds to the indicator is missing from the pool, so much indicator slows the cell.

*The indicator* binds cooperatively (affinity and Hill exponent measured in vitro) and then folds
into its bright shape: the step that limits GCaMPs with the RS20 peptide (Helassa et al. 2016, Sci
Rep 6:38276) and makes them saturate and slow down (Greenberg et al. 2018, bioRxiv 479055;
Broussard et al. 2025 have the full scheme with both lobes of calmodulin, of which this is the
shortest with the same steps). At rest b / (1 - y - b) = (c / affinity)^hill, whatever the rates. A
dye binds and folds as good as immediately.

`quick_dff` is the same in closed form, for the tables in the competition's form: it takes
milliseconds where the model takes seconds, and has neither a state that saturates nor a slow cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array, Times, Trace

STEP_RATE = 500.0  # Hz; the model's own steps, of 2 ms, implicit in what is fast
RESTING = 50.0  # nM of free calcium
SPIKE_INFLUX = 20_000.0  # nM of calcium, bound or free, that enter with a spike
BUFFER_RATIO = 110.0
EXTRUSION = 1_800.0  # per s
SPIKE_CALCIUM = 10.0  # nM of free calcium above rest after a spike, in `quick_dff`
LEAST_CALCIUM = 1e-3
"""nM; below it the pool would be emptied by the indicator in one step, and then be negative."""

DRIFT_TIME = 20.0
"""s; time constant of the slow drift, about that of a cell that moves in and out of focus."""
DARKEST = 0.05  # least brightness, as a share of that at rest: drift may not turn the light off


@dataclass(frozen=True)
class Indicator:
    """One indicator in one kind of cell; numbers, or arrays `(neuron,)` to simulate many at once.

    `affinity` and `sites`, the calcium that all of the indicator can bind, are in nM, `influx` in
    nM per spike, all rates per s: `bind` (of losing calcium while dark, about that of binding it at
    c = affinity), `fold`, `off` and `extrusion`. `contrast` is largest F / smallest F - 1 as seen
    in the cell, background included.
    """

    affinity: float | Array
    hill: float | Array
    bind: float | Array
    fold: float | Array
    off: float | Array
    contrast: float | Array
    sites: float | Array = 40_000.0
    influx: float | Array = SPIKE_INFLUX
    buffer_ratio: float | Array = BUFFER_RATIO
    extrusion: float | Array = EXTRUSION


# Affinity and Hill exponent as measured in vitro: Chen et al. 2013, Nature 499:295-300 (GCaMP6);
# Akerboom et al. 2012, J Neurosci 32:13819-13840 (GCaMP5k); Dana et al. 2016, eLife 5:e12727 (red
# ones), 2019, Nat Methods 16:649-657 (jGCaMP7f); Zhang et al. 2023, Nature 615:884-891 (jGCaMP8);
# OGB-1 and Cal-520 bind one calcium. The others are solved by least squares so that one spike
# gives the response in `SINGLE_SPIKE`, so they hold the background of the cell too.
INDICATORS = {
    "OGB-1": Indicator(200, 1.0, bind=107, fold=86, off=51, contrast=2.6, sites=230_000),
    "Cal-520": Indicator(320, 1.0, bind=101, fold=69, off=65, contrast=20.1, sites=250_000),
    "GCaMP5k": Indicator(190, 3.8, bind=5.6, fold=3.5, off=3.3, contrast=0.87, sites=35_000),
    "GCaMP6f": Indicator(375, 2.3, bind=73, fold=53, off=8.4, contrast=4.4, sites=43_000),
    "GCaMP6s": Indicator(144, 2.9, bind=13.6, fold=2.7, off=2.1, contrast=7.0, sites=87_000),
    "jGCaMP7f": Indicator(174, 2.3, bind=85, fold=12.1, off=5.6, contrast=3.4, sites=29_000),
    "jGCaMP8f": Indicator(334, 2.1, bind=281, fold=60, off=93, contrast=4.7, sites=28_000),
    "jGCaMP8m": Indicator(108, 1.9, bind=193, fold=132, off=33, contrast=3.0, sites=25_000),
    "jGCaMP8s": Indicator(46, 2.2, bind=53, fold=168, off=6.1, contrast=38.6, sites=22_000),
    "jRGECO1a": Indicator(148, 1.9, bind=100, fold=50, off=4.7, contrast=0.98, sites=40_000),
    "jRCaMP1a": Indicator(214, 0.9, bind=113, fold=51, off=0.74, contrast=12.7, sites=68_000),
}

SINGLE_SPIKE = {
    "OGB-1": (0.08, 0.005, 0.40),
    "Cal-520": (0.20, 0.005, 0.40),
    "GCaMP5k": (0.04, 0.060, 0.400),
    "GCaMP6f": (0.19, 0.020, 0.142),
    "GCaMP6s": (0.23, 0.070, 0.550),
    "jGCaMP7f": (0.30, 0.025, 0.180),
    "jGCaMP8f": (0.40, 0.005, 0.070),
    "jGCaMP8m": (0.55, 0.006, 0.120),
    "jGCaMP8s": (0.65, 0.008, 0.200),
    "jRGECO1a": (0.12, 0.020, 0.250),
    "jRCaMP1a": (0.08, 0.040, 0.900),
}
"""About one spike's amplitude in dF/F, s to half of it, and s from the peak to half of it, in
pyramidal cells of the mouse. The sources above, Kerr et al. 2005, PNAS 102:14063-14068 (OGB-1),
Tada et al. 2014, Eur J Neurosci 39:1720-1728 (Cal-520)."""


@dataclass(frozen=True)
class QuickIndicator:
    """An indicator for `quick_dff`: time constants in s, and `amplitude` of one spike in dF/F."""

    rise: float
    decay: float
    amplitude: float
    affinity: float | Array
    hill: float | Array


# Time constants from the sources above; of OGB-1 also from Hendel et al. 2008, J Neurosci
# 28:7399-7411.
QUICK_INDICATORS = {
    name: QuickIndicator(
        rise, decay, SINGLE_SPIKE[name][0], INDICATORS[name].affinity, INDICATORS[name].hill
    )
    for name, rise, decay in (
        ("OGB-1", 0.01, 0.7),
        ("GCaMP5k", 0.06, 0.6),
        ("GCaMP6f", 0.02, 0.2),
        ("GCaMP6s", 0.07, 0.8),
        ("jRCaMP1a", 0.05, 1.2),
        ("jRGECO1a", 0.03, 0.4),
    )
}
"""The indicators of the competition."""


def spike_influx(
    trains: Sequence[Times], steps: int, spread: float, rng: np.random.Generator
) -> Array:
    """Calcium `(step, neuron)` that enters at `STEP_RATE`, in units of an average spike's, from the
    spike times in s of each neuron; `spread` is that of the logarithm of a spike's calcium."""
    influx = np.zeros((steps, len(trains)))
    for column, times in enumerate(trains):
        # Less half the variance, so that the average spike is 1.
        weights = np.exp(spread * rng.normal(size=times.size) - spread**2 / 2)
        step = np.minimum((times * STEP_RATE).astype(int), steps - 1)
        influx[:, column] = np.bincount(step, weights, minlength=steps)
    return influx


def bright_share(influx: Array, indicator: Indicator) -> Array:
    """Solve the model: b `(step, neuron)` at the end of each step, from rest on, of the `influx`
    that `spike_influx` gives."""
    dt = 1 / STEP_RATE
    steps, neurons = influx.shape
    pool = 1 + indicator.buffer_ratio
    entering = influx * (indicator.influx / pool)
    leak = dt * indicator.extrusion / pool
    bind, fold, off = (dt * rate for rate in (indicator.bind, indicator.fold, indicator.off))
    # With this gain `affinity` is the calcium at which as much is bright as empty.
    gain = indicator.off * (1 / indicator.fold + 1 / indicator.bind)
    dark, bright = (np.full(neurons, 1.0) * share for share in at_rest(RESTING, indicator))
    calcium = np.full(neurons, RESTING)
    result = np.empty((steps, neurons))
    for k in range(steps):
        calcium = calcium + entering[k]
        binding = bind * gain * (calcium / indicator.affinity) ** indicator.hill
        # Backward Euler in y and b, so that no step overshoots however fast the rates.
        bound = dark + bright
        own, other = 1 + binding + bind + fold, 1 + off
        start = dark + binding
        dark = (start * other - binding * bright) / (own * other + binding * fold)
        bright = (bright + fold * dark) / other
        calcium = calcium - indicator.sites / pool * (dark + bright - bound)
        calcium = np.maximum((calcium + leak * RESTING) / (1 + leak), LEAST_CALCIUM)
        result[k] = bright
    return result


def at_rest(calcium: float, indicator: Indicator) -> tuple[float | Array, float | Array]:
    """The shares y and b in the long run at a constant free `calcium` in nM."""
    bright = (calcium / indicator.affinity) ** indicator.hill
    dark = bright * indicator.off / indicator.fold
    return dark / (1 + dark + bright), bright / (1 + dark + bright)


def to_dff(bright: Array, indicator: Indicator) -> Array:
    """Turn the bright share into dF/F, 0 at rest; same shape."""
    _, rest = at_rest(RESTING, indicator)
    return indicator.contrast * (bright - rest) / (1 + indicator.contrast * rest)


def random_indicators(count: int, rng: np.random.Generator) -> Indicator:
    """Draw indicators as nobody has measured them, with arrays `(count,)` spread over all that is
    known and beyond: half-lives of the bright state from some ms (dyes, jGCaMP8) to 1 s (GCaMP6s),
    cells that clear calcium in 20 to 300 ms."""

    def between(low: float, high: float) -> Array:
        return np.exp(rng.uniform(np.log(low), np.log(high), count))

    return Indicator(
        affinity=between(80, 800),
        hill=rng.uniform(1.0, 3.2, count),
        bind=between(20, 2_000),
        fold=between(5, 1_000),
        off=between(1, 100),
        contrast=between(3, 40),
        sites=between(4_000, 200_000),
        influx=between(5_000, 60_000),
        buffer_ratio=between(50, 250),
        extrusion=between(700, 4_000),
    )


def quick_dff(
    influx: Array, indicator: QuickIndicator, *, decay: float = 1.0, spike_calcium: float = 1.0
) -> Array:
    """dF/F of one neuron in closed form, 0 at rest and saturating.

    Each spike adds a difference of two exponentials of calcium; what the indicator makes of it is
    the Hill curve through rest and one spike's calcium, scaled so that an average spike gives the
    amplitude seen in vivo. So GCaMP6 answers bursts supralinearly, OGB-1 sublinearly. `influx` is a
    column `(step,)` of `spike_influx`; by the factors `decay` and `spike_calcium` the neuron
    differs from the average one.
    """
    from scipy.signal import lfilter

    rise_steps, decay_steps = indicator.rise * STEP_RATE, decay * indicator.decay * STEP_RATE
    # The two exponentials differ most at their peak, which is made 1.
    peak = np.log(decay_steps / rise_steps) * rise_steps * decay_steps / (decay_steps - rise_steps)
    height = np.exp(-peak / decay_steps) - np.exp(-peak / rise_steps)
    slow, fast = (
        lfilter([1.0], [1.0, -np.exp(-1 / steps)], influx) for steps in (decay_steps, rise_steps)
    )
    calcium = SPIKE_CALCIUM * spike_calcium * (slow - fast) / height

    def bound(above_rest: Array) -> Array:
        return 1 / (1 + (indicator.affinity / (RESTING + above_rest)) ** indicator.hill)

    resting, one_spike = bound(np.array([0.0, SPIKE_CALCIUM]))
    return indicator.amplitude * (bound(calcium) - resting) / (one_spike - resting)


def fluctuation(samples: int, time_constant: float, rng: np.random.Generator) -> Array:
    """Ornstein-Uhlenbeck process `(sample,)` of mean 0 and variance 1; `time_constant` in
    samples."""
    from scipy.signal import lfilter

    keep = np.exp(-1 / time_constant)
    kicks = np.sqrt(1 - keep**2) * rng.normal(size=samples)
    kicks[:1] = rng.normal()  # as spread at the start as later
    return lfilter([1.0], [1.0, -keep], kicks)


def expose(
    dff: Trace, frame_rate: float, noise: float, drift: float, rng: np.random.Generator
) -> Trace:
    """One neuron's dF/F `(step,)` at `STEP_RATE` as a microscope records it, `(frame,)` at
    `frame_rate` in Hz: frame k is the mean over a frame's duration around k / `frame_rate` s.

    `noise` is that of photons at rest, in dF/F per sqrt(Hz), and grows with the square root of
    brightness; `drift` is the spread of the slow drift, in dF/F.
    """
    frames = int(len(dff) * frame_rate / STEP_RATE)
    # Differences of the integral: a frame may begin and end between two steps.
    integral = np.concatenate([[0.0], np.cumsum(dff)])
    centre = np.arange(frames) * STEP_RATE / frame_rate
    width = STEP_RATE / frame_rate / 2
    edges = np.clip([centre - width, centre + width], 0, len(dff))
    low, high = np.interp(edges, np.arange(len(dff) + 1), integral)
    seen = (high - low) / (edges[1] - edges[0])
    seen = seen + drift * fluctuation(frames, DRIFT_TIME * frame_rate, rng)
    bright = np.sqrt(np.maximum(1 + seen, DARKEST))
    return seen + noise * np.sqrt(frame_rate) * bright * rng.normal(size=frames)
