"""The names by which programs and laboratories call arrays, in lower case without marks.

`plain` makes a name so: `dff` of `data.dF_F`.
"""

import re

RELATIVE = (
    *("dftraces", "fdff", "dff", "df", "dff0", "dfof", "dfof0", "dfoverf", "dfoverf0", "deltaf"),
    *("deltaff", "deltaff0", "deltafof", "deltafoverf", "deltafoverf0", "dfftraces", "tracesdff"),
)
RAW = (
    *("f", "fluorescence", "fcell", "craw", "temporalweights", "fraw", "rawf", "ftraces"),
    *("rawtraces", "rawfluorescence", "fluo", "fluorescencetraces"),
)
TRACES = ("traces", "calcium", "calciumtraces", "signals")
KNOWN = (*((name, "dF/F") for name in RELATIVE), *((name, "F") for name in RAW))
UNITS = {**dict(KNOWN), **dict.fromkeys(TRACES)}
"""Names of fluorescence, in lower case without marks, and the unit of each."""

DECONVOLVED = (
    *("spikeprob", "spikeprobability", "spikerates", "spikes", "spks", "s", "deconvolved"),
    *("events", "rates", "sp", "spikerate", "deconv", "discretespikes"),
)
DENOISED = ("c", "denoised", "cdec", "cdenoised", "denoisedtraces")
RESIDUALS = ("yra", "r", "residuals")
NEUROPIL = ("fneu", "fcellneu", "neuropil", "neuropiltraces")
CELLS = ("iscell",)
COMPONENTS = ("idxcomponents",)
IDS = ("unitid", "unitids", "roiid", "roiids", "cellid", "cellids", "neuronid", "neuronids")
_TIME = re.compile("(?:frame)?(?:times?|t|timestamps?)(?:in)?(s|sec|seconds|ms|us|min|minutes)?")
FRAME_RATES = (
    *("framerate", "fs", "fr", "fps", "samplingrate", "imagingrate", "samplerate", "framerates"),
    *("volumerate", "samplingfrequency"),
)
SPATIAL = ("a", "b", "b0", "w", "cn", "sn", "spatialweights", "coordinates", "ain", "corrimg")
OTHERS = (
    *SPATIAL,
    *("names", "spiketimes", "spikeneurons", "frame", "frames", "index", "id", "ids", "f0", "bl"),
    *("snr", "snrcomp", "rvalues", "cnnpreds", "stim", "stimulus", "x", "y", "xy", "centroid"),
    *("centroids", "com", "center", "centers", "coords", "xoff", "yoff", "redcell", "lam", "g"),
    *("animal", "session", "height", "width", "depth", "trial", "trials", "unit", "neuron", "cell"),
    *("cells", "rois", "roi", "neurons", "accepted", "rejected", "keep", "baseline", "background"),
    *("meanimg", "maxproj", "refimg", "framenumber", "framenumbers", "counter"),
)
"""Never taken for fluorescence without being asked for."""


def plain(name):
    """The last part of a dotted name, in lower case without marks: `dff` of `data.dF_F`."""
    last = re.split(r"[./]", re.sub(r"\{\d+\}$", "", name))[-1]
    return re.sub(r"[^a-z0-9]", "", last.lower())


def time_unit(name, unit=None):
    """The unit of time stamps by their name, `ms` of `time_ms`, else `unit`; None for no times."""
    match = _TIME.fullmatch(plain(name))
    return match and (match[1] or ("s" if unit is None else unit))
