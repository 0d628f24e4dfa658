"""Every neuron to look at, in a browser: one page (`page`) or a window that is served (`server`),
both drawn (`drawing`) from a source of any size (`source`).

Not here: pictures that stand still (`figures`), and what is looked at, which the other rooms make.
"""

from ..errors import public

LIBRARIES = ("bokeh", "tsdownsample")
"""By these neurons are looked at; they are the extra `view`."""


def require_libraries(purpose: str) -> None:
    """Raise the `UsageError` that says how to install them, unless they are there."""
    from ..files.sandbox import require

    for library in LIBRARIES:
        require(library, purpose, "view")


__getattr__, __dir__, __all__ = public(
    __name__,
    {
        "page": ["view_prediction", "write_page"],
        "source": ["PredictionSource"],
    },
)
