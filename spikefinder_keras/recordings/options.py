"""What a user may state: of a recording (`ReadOptions`), and of its prediction (`PredictOptions`).

The public functions take the fields as keywords, the command line has an option for each, and both
build these two; everything below is handed one of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Number
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import UsageError, is_of_kind
from ..network import ENGINES
from ..text import one_line

USUAL_NEUROPIL = 0.7  # this share is subtracted where nobody states another: suite2p's default
ORIENTATIONS = ("time-neuron", "neuron-time")  # what the rows and columns of an array are
UNITS = ("dF/F", "F", "competition")
"""What the values of a recording are: relative change of fluorescence as a fraction, fluorescence
in the microscope's own unit, or traces in the competition's form (see `signals.preprocess`)."""

Segments: TypeAlias = str | int | Sequence[int]
"""What says where segments begin: the name of a column or array, the number of frames of each, or
the frames with which they begin."""


_KINDS = {str: "a text", int: "a whole number", float: "a number"}
"""What fields of these types are, in words; the others are checked by what uses them."""


def _check_kinds(options: Any) -> None:
    """Raise `UsageError` for a field that is stated as what it cannot be."""
    for each in fields(options):
        kinds = [kind for kind in _KINDS if each.type in (kind, kind | None)]
        # Of these what is made of them says more.
        if not kinds or each.name in ("frame_rate", "neuropil"):
            continue
        value = getattr(options, each.name)
        # numpy's numbers are as good.
        plain = value.item() if getattr(value, "shape", None) == () else value
        if not is_of_kind(plain, each.type):
            found, name = one_line(repr(value))[:40], each.name.replace("_", "-")
            raise UsageError(f"{found} cannot be used; give {_KINDS[kinds[0]]} (--{name})")


def _help(text: str, **metadata: Any) -> dict[str, Any]:
    """What the command line says of a field: help text, `metavar`, `choices`."""
    return {"help": text, **metadata}


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a user may state of a recording.

    Attributes
    ----------
    frame_rate
        In Hz; needed where the file does not tell it. Where it tells another nominal one, the
        stated one is used, with a note.
    orientation
        One of `ORIENTATIONS`: what rows and columns are, where the file leaves it open. By default
        neurons are rows of `.npy`, `.npz`, `.mat` and Zarr, and columns of CSV and NWB.
    unit
        One of `UNITS`; by default what the file tells, or None.
    variable
        Name of the array, or NWB series, where there are several; of a table whose rows take turns
        between lights, those to read, such as `LedState=2`.
    segments
        Where trials or sessions begin, each predicted by itself, where nothing tells: the name of a
        column or array that has another value in each, the number of frames of each, or the frames
        with which they begin.
    neuropil
        Share of the neuropil that is subtracted from fluorescence that has one; by default what
        suite2p's settings say, else `USUAL_NEUROPIL`.
    all_rois
        Keep the ROIs too that suite2p or CaImAn calls no cells.
    only
        A file of marks (`recordings.marks`): only the neurons that it marks good.
    memory
        Bytes that a prediction may take, by default a quarter of the machine's. Traces that are
        large for it stay in the file.
    """

    frame_rate: float | None = field(
        default=None, metadata=_help("where the file does not tell it", metavar="HZ")
    )
    orientation: str | None = field(
        default=None,
        metadata=_help(
            "rows and columns of an array, where neuron-time (CSV: time-neuron) is wrong",
            choices=ORIENTATIONS,
        ),
    )
    unit: str | None = field(default=None, metadata=_help("of the values", choices=UNITS))
    variable: str | None = field(
        default=None, metadata=_help("array or series, where there are more", metavar="NAME")
    )
    segments: Segments | None = field(
        default=None,
        metadata=_help(
            "trials or sessions: the column that tells them, such as trial, the number of frames "
            "of each, such as 90, or the frames they begin with, such as 0,3000",
            metavar="COLUMN|FRAMES",
        ),
    )
    neuropil: float | None = field(
        default=None,
        metadata=_help(
            "of the neuropil that is subtracted (default: as suite2p's settings say, else 0.7)",
            metavar="SHARE",
        ),
    )
    all_rois: bool = field(
        default=False, metadata=_help("also ROIs that their program calls no cells")
    )
    only: str | None = field(
        default=None,
        metadata=_help(
            "neurons marked good in a file of marks, as view writes", metavar="MARKS.csv"
        ),
    )
    memory: int | None = None

    def __post_init__(self) -> None:
        _check_kinds(self)

    def neuropil_share(self, of_file: float | None = None) -> float:
        """Share of the neuropil to subtract: as stated, else as the file tells, else the usual."""
        if self.neuropil is not None:
            return self.neuropil
        return USUAL_NEUROPIL if of_file is None else of_file


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """What a user may state of a prediction.

    Attributes
    ----------
    weights
        A name (`universal`, `described`, `released`, `published`), a file, or a loaded network of
        convi6; by default `universal`, for the competition's form `described`.
    indicator, species
        Such as "GCaMP6f" and "mouse". They tell `universal` how late calcium answers; to convi6 an
        indicator is the choice of dataset IDs that have it. By default what the file says.
    delay
        Of `universal`: ms by which calcium answers later than the network expects, instead of what
        is found; 0 is the answer of simulated indicators to spikes that are stamped right.
    dataset, area
        Of convi6: which of the ten datasets the recording resembles, see `convi6.choose_datasets`.
    spikes
        Also give discrete spike times; of `universal` alone.
    engine
        One of `network.ENGINES`.
    """

    weights: Any = field(
        default=None,
        metadata=_help(
            "universal, described, released (ours), published (of 2017), or a file (default: "
            "universal, for any recording)",
            metavar="NAME-OR-FILE",
        ),
    )
    indicator: str | None = field(
        default=None, metadata=_help("such as GCaMP6f: how late calcium answers", metavar="NAME")
    )
    species: str | None = field(
        default=None, metadata=_help("such as mouse or zebrafish: likewise", metavar="NAME")
    )
    delay: float | None = field(
        default=None,
        metadata=_help(
            "by which calcium answers later than usual, -150 to 150 (default: found, see the "
            "result's timing)",
            metavar="MS",
        ),
    )
    dataset: int | None = field(
        default=None,
        metadata=_help(
            "for the weights of 2017: which of the ten datasets the recording resembles, 1 to 10 "
            "(default: mean over all, or over those of --indicator and --area)",
            metavar="N",
        ),
    )
    area: str | None = field(
        default=None, metadata=_help("likewise: datasets from V1 or retina", metavar="NAME")
    )
    spikes: bool = field(default=False, metadata=_help("write discrete spike times too"))
    engine: str = field(
        default="fast",
        metadata=_help(
            "what computes: what starts at once, or Keras to compare with (%(default)s)",
            choices=ENGINES,
        ),
    )

    def __post_init__(self) -> None:
        _check_kinds(self)
        weights = self.weights
        # Arrays, too: numpy takes longer to load than a command line to be read.
        given = isinstance(weights, Number | Sequence | Mapping) or hasattr(weights, "__array__")
        if given and not isinstance(weights, (str, Path)):
            raise UsageError(
                f"weights are no {type(weights).__name__}; give a name, a file or a loaded network "
                "(--weights)"
            )
