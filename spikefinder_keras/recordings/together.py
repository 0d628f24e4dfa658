"""What neurons recorded together have in common that is no activity of theirs."""

import warnings

import numpy as np

JUMP = 5.0
"""Robust standard deviations that the median neuron is off in a frame of a flash, or a dark one."""

MOST = 0.8
"""Share of the neurons that are "nearly all"."""


def common_jumps(traces):
    """Frames in which nearly all neurons are far off at once, as a mask `(frame,)`.

    Parameters
    ----------
    traces : array `(frame, neuron)`
        NaN where missing. Fewer than three neurons tell nothing.
    """
    none = np.zeros(len(traces), bool)
    if traces.shape[1] < 3:
        return none
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # frames or neurons without any value
        off = np.asarray(traces, np.float64) - np.nanmedian(traces, axis=0)
        # The steps tell the noise, whatever the signal does; 0.95 of them is a deviation of it.
        noise = np.nanmedian(np.abs(np.diff(traces, axis=0)), axis=0) / 0.95
        spread = np.maximum(1.48 * np.nanmedian(np.abs(off), axis=0), noise)
        off = off / np.where(spread > 0, spread, np.nan)
        most = MOST * np.isfinite(off).sum(axis=1)
        far = [(way * off > JUMP).sum(axis=1) for way in (1, -1)]
        return (most > 0) & (np.maximum(*far) >= most)


def median_correlation(traces):
    """Median correlation between the neurons of `(frame, neuron)`; NaN for fewer than three."""
    traces = np.asarray(traces, np.float64)
    traces = traces[:, np.isfinite(traces).mean(axis=0) > 0.9]
    traces = traces[np.isfinite(traces).all(axis=1)]
    if len(traces):
        traces = traces[:, np.ptp(traces, axis=0) > 0]
    if min(traces.shape) < 3:
        return float("nan")
    correlations = np.corrcoef(traces.T)
    return float(np.median(correlations[np.triu_indices(len(correlations), 1)]))
