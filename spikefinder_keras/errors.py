"""The one family of errors that a user can cause; the command line prints them as one line."""

import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from types import UnionType
from typing import Any, get_args

import lazy_loader

from .text import did_you_mean, one_line, shown


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


_OPTION = re.compile(r"--([a-z][a-z-]*)")


def check_keywords(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `UsageError` for a keyword that a function does not know."""
    known = [*known]
    for name in given:
        if name not in known:
            raise UsageError(f"{function} has no {name}{did_you_mean(name, known)}")


def is_of_kind(value: object, kind: Any) -> bool:
    """Whether a value, as from a file, is of a field's type: an int is a float, a bool is neither,
    and in a tuple are numbers."""
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    kinds = tuple(getattr(each, "__origin__", each) for each in kinds)
    kinds = (*kinds, int) if float in kinds else kinds
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return False
    return not isinstance(value, tuple) or all(type(each) in (int, float) for each in value)


def public(
    room: str, names: dict[str, list[str]], plain: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a room from the public names of its modules.

    Each is loaded when first used, and each function is as users of Python call it, see
    `in_python`, but for the `plain` ones.
    """
    load, listed, every = lazy_loader.attach(room, submod_attrs=names)

    def get(name: str) -> Any:
        value = load(name)
        if inspect.isfunction(value) and name not in plain:
            value = in_python(value)
            value.__module__ = room  # or it could not be pickled, for other processes
            setattr(sys.modules[room], name, value)
        return value

    return get, listed, every


def in_python(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as users of Python call it: whatever is wrong with its arguments is a
    `SpikefinderError`, and names parameters (`frame_rate`), not options (`--frame-rate`)."""
    parameters = inspect.signature(function).parameters
    takes_more = any(each.kind is each.VAR_KEYWORD for each in parameters.values())

    @functools.wraps(function)
    def called(*arguments: Any, **options: Any) -> Any:
        try:
            if not takes_more:
                check_keywords(function.__name__, options, parameters)
            return function(*arguments, **options)
        except SpikefinderError as error:
            text = _OPTION.sub(lambda match: match[1].replace("-", "_"), str(error))
            raise type(error)(text) from error.__cause__
        except (TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
            raise UsageError(
                f"{function.__name__} cannot use these arguments "
                f"({one_line(f'{type(error).__name__}: {error}')[:150]}); it takes "
                f"{', '.join(parameters)}"
            ) from error

    return called
