"""Fourier resampling as in 2017, but fast for any length.

`competition.preprocess.resample` transforms back to the wanted number of samples, which is slow
where that has a large prime factor (266,667 samples at 100 Hz of 80,000 frames at 30 Hz take twenty
times as long as 270,000). Here such a transform is a convolution with a chirp, of a length that is
fast (Bluestein 1970, IEEE Trans. Audio Electroacoust. 18:451-455), prepared once for all neurons.
"""

from functools import lru_cache

import numpy as np

from .preprocess import resample, resampled_length

SLOW_FACTOR = 13
"""Lengths with a larger prime factor go over the chirp."""


def fast_resample(trace, frame_rate):
    """As `preprocess.resample` to 100 Hz, equal but for round-off.

    Parameters
    ----------
    trace : float array `(frame,)`
    frame_rate : float
        In Hz.

    Returns
    -------
    float64 array `(sample,)`

    Raises
    ------
    DataError, UsageError
        As `preprocess`.
    """
    samples = resampled_length(trace.size, frame_rate)
    if samples <= trace.size or not _is_slow(samples):  # downwards few frequencies are left
        return resample(trace, frame_rate)
    from scipy import fft

    spectrum = fft.rfft(np.asarray(trace, np.float64))
    spectrum[1:] *= 2  # each stands for its negative too
    if trace.size % 2 == 0:
        spectrum[-1] *= 0.5
    chirp, kernel = _chirp(spectrum.size, samples)
    product = fft.fft(spectrum * chirp[: spectrum.size], kernel.size)
    product *= kernel
    found = fft.ifft(product, overwrite_x=True)[:samples]
    chirp = chirp[:samples]
    return (found.real * chirp.real - found.imag * chirp.imag) / trace.size


def _is_slow(length):
    for factor in (2, 3, 5, 7, 11, SLOW_FACTOR):
        while length % factor == 0:
            length //= factor
    return length > 1


@lru_cache(4)
def _chirp(frequencies, samples):
    """exp(i pi k^2 / samples), and the transform of its conjugate around 0."""
    from scipy import fft

    k = np.arange(max(samples, frequencies))
    chirp = np.exp(1j * np.pi * ((k * k) % (2 * samples)) / samples)
    kernel = np.zeros(fft.next_fast_len(samples + frequencies - 1), complex)
    kernel[:samples] = np.conj(chirp[:samples])
    kernel[kernel.size - frequencies + 1 :] = np.conj(chirp[1:frequencies])[::-1]
    return chirp, fft.fft(kernel)
