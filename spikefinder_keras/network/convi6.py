"""convi6, the network of Chenkov and McColgan, as its description of 2017 says it.

    calcium ─ conv 1 ─ conv 2 ─┬─ conv 3 ─┬──────────────────┬─ conv 4 ─ ... ─ conv 8 ─ rate
                    dataset ID ┘          └─ bidirectional ──┘
                                               LSTM

The description and the released program disagree on how the LSTM's output joins the trunk: the text
says added, the released weights were trained concatenated. Hence two variants.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..constants import DATASET_COUNT
from ..errors import UsageError
from .spec import Spec

FILTERS = (10, 10, 10, 8, 4, 2, 2, 1)
TAPS = (300, 10, 5, 5, 5, 5, 5, 5)
"""Output channels and kernel lengths of the eight convolutions (description and weights of 2017).
The first, 300 taps or 3 s at 100 Hz, is longer than any transient."""

LSTM_UNITS = 10  # hidden units in each direction

ID_JOINS = ("before", "after", "nowhere")
LSTM_JOINS = ("sum", "concat", "absent")
LSTM_READS = ("output", "input")
GATES = ("hard_sigmoid", "sigmoid")


@dataclass(frozen=True)
class Variant:
    """How the LSTM joins the trunk, and the dropout rates after the first convolutions."""

    lstm_joins: str
    dropout: tuple[float, ...]


VARIANTS = {
    "described": Variant("sum", (0.3, 0.2, 0.1, 0.1, 0.1)),
    "released": Variant("concat", (0.3, 0.2, 0.1, 0.1)),
}
"""`described`: forward and backward states are summed and added to the output of the third
convolution; dropout after the first five. `released`: they are concatenated to it; dropout after
the first four. The rates are the released program's; the description names none."""


@dataclass(frozen=True)
class Architecture:
    """What may differ from the network of 2017; the defaults are the description's. `UsageError` if
    a field is outside of what follows.

    Attributes
    ----------
    variant
        "described" or "released", see `VARIANTS`.
    filters, taps
        Output channels and kernel lengths of the convolutions; at least four, the last of one
        channel. In `described`, the third must have `lstm_units` channels.
    lstm_units
        In each direction.
    dropout
        Rates after the first convolutions; by default the variant's.
    datasets
        Channels of the one-hot dataset ID.
    id_joins
        "before" the third convolution (as published), "after" the LSTM, so before the fourth, or
        "nowhere": where the dataset ID joins the trunk, or that the network has no such input.
    batch_normalization
        Between each convolution and its activation, except the last; the authors found it worse.
    lstm_joins
        "sum", "concat" or "absent": its states are summed and added to the third convolution's
        output, or concatenated to it, or there is no LSTM; by default as the variant says.
    lstm_reads
        "output" of the third convolution, as in the figure of 2017, the program and the weights, or
        its "input", as the text says.
    gates
        "hard_sigmoid", that of Keras 2.0, or "sigmoid", the logistic function. Weights with the
        latter cannot be saved: their file would not tell.
    """

    variant: str = "described"
    filters: Sequence[int] = FILTERS
    taps: Sequence[int] = TAPS
    lstm_units: int = LSTM_UNITS
    dropout: Sequence[float] | None = None
    datasets: int = DATASET_COUNT
    id_joins: str = "before"
    batch_normalization: bool = False
    lstm_joins: str | None = None
    lstm_reads: str = "output"
    gates: str = "hard_sigmoid"

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            known = ", ".join(VARIANTS)
            raise UsageError(f"there is no variant {self.variant!r}; choose from {known}")
        variant = VARIANTS[self.variant]
        dropout = variant.dropout if self.dropout is None else self.dropout
        # A frozen field is set once, here: lists become tuples, None what the variant says.
        object.__setattr__(self, "filters", tuple(self.filters))
        object.__setattr__(self, "taps", tuple(self.taps))
        object.__setattr__(self, "dropout", tuple(dropout))
        object.__setattr__(self, "lstm_joins", self.lstm_joins or variant.lstm_joins)
        for what, chosen, choices in (
            ("the dataset ID cannot join", self.id_joins, ID_JOINS),
            ("no LSTM joins", self.lstm_joins, LSTM_JOINS),
            ("no LSTM reads", self.lstm_reads, LSTM_READS),
            ("no LSTM has gates", self.gates, GATES),
        ):
            if chosen not in choices:
                raise UsageError(f"{what} {chosen!r}; choose {', '.join(choices)}")
        self._check_sizes()

    def _check_sizes(self) -> None:
        filters, taps, units = self.filters, self.taps, self.lstm_units
        if len(filters) != len(taps) or len(filters) < 4 or filters[-1] != 1:
            raise UsageError(
                f"filters {filters} and taps {taps} must be of one length, at least 4, and the "
                "last convolution must have one channel"
            )
        has_id = self.id_joins != "nowhere"
        if min(*filters, *taps, units) < 1 or (has_id and self.datasets < 1):
            raise UsageError("filters, taps, lstm_units and datasets must be at least 1")
        if self.lstm_joins == "sum" and filters[2] != units:
            raise UsageError(
                f"the LSTM's {units} channels cannot be added to the {filters[2]} of the third "
                "convolution; make them equal, or use the variant 'released', which concatenates"
            )


def convi6(architecture: Architecture | None = None) -> Spec:
    """The layers of convi6, from its inputs to the spike rate.

    By default the description's: inputs `calcium` `(batch, time, 1)` and `dataset`
    `(batch, time, 10)`; output `convolution_8` `(batch, time, 1)`, between 0 and 1.
    """
    a = architecture or Architecture()
    net, last = Spec(), len(a.filters)
    dropout = dict(enumerate(a.dropout or (), 1))

    def conv(x: str, n: int) -> str:
        """Convolution `n`, from 1, with what follows it: tanh first, a sigmoid last, else ReLU."""
        activation = {1: "tanh", last: "sigmoid"}.get(n, "relu")
        normalize = a.batch_normalization and n < last
        inside = None if normalize else activation
        x = net.conv(f"convolution_{n}", x, a.filters[n - 1], a.taps[n - 1], inside)
        if normalize:
            x = net.add(f"normalization_{n}", "normalization", x)
            x = net.add(f"activation_{n}", "activation", x, activation=activation)
        return net.add(f"dropout_{n}", "dropout", x, rate=dropout[n]) if dropout.get(n) else x

    def join_dataset(x: str, where: str) -> str:
        return net.concatenate("join_dataset", x, "dataset") if a.id_joins == where else x

    def join_lstm(x: str, read: str) -> str:
        """The states of a bidirectional LSTM that reads one layer, added beside another."""
        if a.lstm_joins == "absent":
            return x
        gates = {} if a.gates == "hard_sigmoid" else {"gates": a.gates}
        merge = {"units": a.lstm_units, "merge_mode": a.lstm_joins}
        states = net.add("bidirectional", "lstm", read, **merge, **gates)
        join = net.sum if a.lstm_joins == "sum" else net.concatenate
        return join("join_lstm", x, states)

    calcium = net.input("calcium", 1)
    if a.id_joins != "nowhere":
        net.input("dataset", a.datasets)
    x = conv(calcium, 1)  # 300 taps
    x = conv(x, 2)
    third_input = join_dataset(x, "before")  # as published
    x = conv(third_input, 3)
    x = join_lstm(x, third_input if a.lstm_reads == "input" else x)
    x = join_dataset(x, "after")
    for n in range(4, last + 1):
        x = conv(x, n)
    return net
