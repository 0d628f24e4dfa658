"""Calcium indicators with their physics: from spikes to the fluorescence of one neuron.

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

*Light* is read per frame with photon noise, slow drift and bleaching.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

STEP_RATE = 500.0
"""Hz; the model's own steps, of 2 ms, implicit in what is fast."""

RESTING = 50.0  # nM
SPIKE_INFLUX = 20_000.0  # nM of calcium, bound or free, that enter with a spike
BUFFER_RATIO = 110.0
EXTRUSION = 1_800.0  # Per s


@dataclass(frozen=True)
class Indicator:
    """One indicator in one kind of cell; numbers, or arrays `(neuron,)` to simulate many at once.

    Attributes
    ----------
    affinity : nM
    hill : exponent
    bind, fold, off : per s
        Rates of losing calcium while dark (of binding it at c = affinity, about), of becoming
        bright, and of losing brightness.
    contrast : largest F / smallest F - 1
        As seen in the cell, background included.
    sites : nM
        Calcium that all of the indicator can bind.
    influx : nM per spike
    buffer_ratio : kappa
    extrusion : gamma, per s
    """

    affinity: float
    hill: float
    bind: float
    fold: float
    off: float
    contrast: float
    sites: float = 40_000.0
    influx: float = SPIKE_INFLUX
    buffer_ratio: float = BUFFER_RATIO
    extrusion: float = EXTRUSION


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
"""Amplitude in dF/F, half-rise and half-decay in s of one spike in pyramidal cells of the mouse,
about: the sources above, Kerr et al. 2005, PNAS 102:14063-14068 (OGB-1), Tada et al. 2014, Eur J
Neurosci 39:1720-1728 (Cal-520)."""


def bright_share(influx, indicator):
    """Solve the model.

    Parameters
    ----------
    influx : array `(step, neuron)`
        Calcium that enters in each step of `1 / STEP_RATE` s, in units of a spike's.
    indicator : Indicator
        Its attributes numbers or arrays `(neuron,)`.

    Returns
    -------
    float64 array `(step, neuron)`
        b at the end of each step, from rest on.
    """
    dt = 1 / STEP_RATE
    steps, neurons = influx.shape
    pool = 1 + indicator.buffer_ratio
    entering = influx * (indicator.influx / pool)
    leak = dt * indicator.extrusion / pool
    bind, fold, off = (dt * rate for rate in (indicator.bind, indicator.fold, indicator.off))
    gain = _gain(indicator)
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
        calcium = np.maximum((calcium + leak * RESTING) / (1 + leak), 1e-3)
        result[k] = bright
    return result


def _gain(indicator):
    """What makes `affinity` the calcium at which as much is bright as empty."""
    return indicator.off * (1 / indicator.fold + 1 / indicator.bind)


def at_rest(calcium, indicator):
    """The shares y and b in the long run at a constant free `calcium` in nM."""
    bright = (calcium / indicator.affinity) ** indicator.hill
    dark = bright * indicator.off / indicator.fold
    return dark / (1 + dark + bright), bright / (1 + dark + bright)


def to_dff(bright, indicator):
    """dF/F, 0 at rest, from the bright share; same shape."""
    _, rest = at_rest(RESTING, indicator)
    return indicator.contrast * (bright - rest) / (1 + indicator.contrast * rest)


def random_indicators(count, rng):
    """Indicators as nobody has measured them, spread over all that is known and beyond.

    Returns
    -------
    Indicator
        With arrays `(count,)`: affinities of 50 to 800 nM, exponents of 1 to 3.2, half-lives of the
        bright state from some ms (dyes, jGCaMP8) to 1 s (GCaMP6s), cells that clear calcium in 20
        to 300 ms.
    """

    def between(low, high):
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


def scaled(indicator, **factors):
    """An indicator with some attributes multiplied, for the spread between neurons."""
    names = {field.name for field in fields(indicator)}
    unknown = set(factors) - names
    if unknown:
        raise TypeError(f"an indicator has no {', '.join(sorted(unknown))}")
    return replace(
        indicator, **{name: getattr(indicator, name) * by for name, by in factors.items()}
    )


def expose(dff, frame_rate, noise, drift, rng):
    """One neuron's dF/F as a microscope records it.

    Parameters
    ----------
    dff : array `(step,)`
        At `STEP_RATE`.
    frame_rate : float
        In Hz, at most `STEP_RATE`.
    noise : float
        Photon noise at rest, in dF/F per sqrt(Hz); it grows with the square root of brightness.
    drift : float
        Standard deviation of the slow drift (time constant 20 s), in dF/F.
    rng : numpy.random.Generator

    Returns
    -------
    float64 array `(frame,)`
        Frame k is the mean over a frame's duration around k / `frame_rate` s.
    """
    frames = int(len(dff) * frame_rate / STEP_RATE)
    integral = np.concatenate([[0.0], np.cumsum(dff)])
    centre = np.arange(frames) * STEP_RATE / frame_rate
    width = STEP_RATE / frame_rate / 2
    edges = np.clip([centre - width, centre + width], 0, len(dff))
    low, high = np.interp(edges, np.arange(len(dff) + 1), integral)
    seen = (high - low) / (edges[1] - edges[0])
    keep = np.exp(-1 / (20.0 * frame_rate))
    from scipy.signal import lfilter

    kicks = rng.normal(size=frames) * np.sqrt(1 - keep**2)
    kicks[:1] = rng.normal()
    seen = seen + drift * lfilter([1.0], [1.0, -keep], kicks)
    bright = np.sqrt(np.maximum(1 + seen, 0.05))
    return seen + noise * np.sqrt(frame_rate) * bright * rng.normal(size=frames)
