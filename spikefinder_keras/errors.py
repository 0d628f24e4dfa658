"""The one family of errors that a user can cause; the command line prints them as one line."""

from .text import shown


class SpikefinderError(Exception):
    """Base of all errors that a user can cause: one line that says what is wrong and what to do.

    Its text may repeat what stands in a file, or what a server said: control characters are shown.
    """

    def __str__(self) -> str:
        return shown(super().__str__())


class DataError(SpikefinderError):
    """A calcium, spike or prediction table is missing, malformed or does not fit the others."""


class WeightsError(SpikefinderError):
    """A weights file is unreadable, or its arrays do not fit the network."""


class DownloadError(SpikefinderError):
    """A file could not be fetched, or what arrived is not the published file."""


class OutputError(SpikefinderError):
    """A result cannot be written where it was asked for."""


class UsageError(SpikefinderError):
    """An argument is outside what is possible, such as dataset number 11."""


class TrainingError(SpikefinderError):
    """Training cannot start, go on or resume."""


def reason(error: BaseException) -> str:
    """What lies at the bottom of an error, in one line."""
    # requests wraps what urllib3 wraps of what the system said: only the last is of use.
    while below := error.__cause__ or error.__context__:
        error = below
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())[:200]
