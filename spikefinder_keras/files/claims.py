"""Claims: in a folder where a result grows one run writes at a time, whichever computer it is on.

    FOLDER/claim-1, claim-2, ...   who has claimed it, one after another; the last one has it
           TOKEN/                  all that the run of the last one writes: its place

A claim is a folder that is renamed to the next number, which only one process can do: the name is
taken for good. Its random token is in the path of whatever its run writes. Who takes over renames
that place to its own token, so that a run which was thought dead and wakes up, or a worker that is
late, finds nothing there to write into.
"""

import os
import re
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError
from .atomic import newest, process_mark, read_small, remove_folder, runs_here, write_text, writing

SIGN = 30.0  # a run renews its claim every so many s, whatever it is busy with
SILENT = 600.0
"""s; a claim of another computer is void if nothing in the folder has changed for longer. Twenty
signs in a row are lost by no network drive that is still there."""

_NEW, _GONE = "new-", "gone-"
_CLAIM = re.compile(r"claim-(\d{1,9})")
_HELD: set[str] = set()
"""Tokens of the claims of this process: another run in it is as much another as one elsewhere."""


@dataclass(frozen=True)
class _Holder:
    """Who has the last claim of a folder; `mark` (see `process_mark`) is empty once it has let
    go."""

    number: int
    token: str
    mark: str


class Claim:
    """A folder that this run alone may write in, until it ends or is taken for dead.

    `place` is where it writes: a folder that it makes, or takes over from an earlier run (`left`).
    """

    def __init__(self, folder: Path, number: int, token: str) -> None:
        self.folder, self.place = folder, folder / token
        self._owner, self._holder = folder / f"claim-{number}" / "owner", (number, token)
        self._over = threading.Event()
        _HELD.add(token)
        try:
            threading.Thread(target=self._renew, daemon=True).start()
        except RuntimeError:  # the system allows no more of them
            self.end()
            raise

    def _renew(self) -> None:
        while not self._over.wait(SIGN):
            with suppress(OSError):  # a drive that is away for a moment; silence is what counts
                os.utime(self._owner)

    def _is_ours(self) -> bool:
        last = _holder(self.folder)
        return last is not None and (last.number, last.token) == self._holder

    def check(self) -> None:
        """Raise `OutputError` if another run has taken over."""
        with writing(self.folder):
            ours = self._is_ours()
        if not ours:
            raise OutputError(
                f"another run has taken over {self.folder}, as this one gave no sign for "
                f"{SILENT / 60:g} minutes; wait for that one, or choose another place (--out)"
            )

    def left(self) -> list[Path]:
        """The places of earlier runs into the same folder, to be taken over or removed."""
        mine = (self.place.name, *_numbered(self.folder))
        return [
            path
            for path in sorted(self.folder.iterdir())
            if path.is_dir() and path.name not in mine and not path.name.startswith(_NEW)
        ]

    def take(self, left: Path) -> None:
        """Go on with what an earlier run has left, which becomes the place of this one."""
        left.rename(self.place)

    def remove(self, left: Path) -> None:
        """Remove what an earlier run has left, which may only sleep."""
        # In one step first: half removed under its old name, its run could wake up and finish it.
        gone = self.folder / f"{_GONE}{secrets.token_hex(8)}"
        left.rename(gone)
        remove_folder(gone)

    def release(self) -> None:
        """Leave the place to whoever goes on with it."""
        self._stop()
        # A full disk; then it is left when this process ends.
        with suppress(OSError, OutputError):
            if self._is_ours():
                write_text(self._owner, "")

    def end(self, *, failed: bool = False) -> None:
        """Remove the folder with all that is in it; `failed` is as for `remove_folder`."""
        self._stop()
        # In one step, so that a run that begins just now finds all of it or nothing.
        gone = self.folder.with_name(f".partial-{process_mark()}-{self.place.name}")
        with suppress(OSError):
            if not self._is_ours():
                return
            try:
                self.folder.rename(gone)
            except OSError:  # then one that begins just now may be refused, or have to begin anew
                gone = self.folder
            remove_folder(gone)
            if failed:  # what the threads have made anew under the old name
                remove_folder(self.place, failed=True)
                self.folder.rmdir()

    def _stop(self) -> None:
        self._over.set()
        _HELD.discard(self.place.name)


def claim(folder: Path, what: Path) -> Claim:
    """Claim a folder, made if there is none, in which `what` grows; `OutputError` if another run is
    at it."""
    token = secrets.token_hex(8)
    new = folder / f"{_NEW}{token}"
    with writing(what):
        try:
            while True:
                with suppress(FileNotFoundError):  # the last run has just ended, and took it along
                    number = _enter(new, what)
                    if number:
                        return Claim(folder, number, token)
        except BaseException:
            remove_folder(new)
            with suppress(OSError):  # others are in it
                folder.rmdir()
            raise


def _enter(new: Path, what: Path) -> int:
    """The number of a new claim, a folder that is made; 0 if another one was faster."""
    folder, token = new.parent, new.name.removeprefix(_NEW)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputError(f"{folder} is in the way, which is no folder; remove it")
    folder.mkdir(parents=True, exist_ok=True)
    new.mkdir(exist_ok=True)
    (new / "owner").write_text(f"{token} {process_mark()}")
    # By the clock of the drive, which all computers share.
    now = newest(new)
    last = _holder(folder)
    if last and _is_alive(last, folder, now, but=new):
        raise OutputError(_busy(last, folder, what))
    number = last.number + 1 if last else 1
    try:
        # Refused if another one was faster: a folder with something in it stays.
        new.rename(folder / f"claim-{number}")
    except OSError:
        if (folder / f"claim-{number}").exists():
            return 0
        raise
    return number


def _holder(folder: Path) -> _Holder | None:
    """Who has a folder by its last claim; None if nobody ever had."""
    numbers = _numbered(folder)
    if not numbers:
        return None
    name = max(numbers, key=numbers.__getitem__)
    text = ""
    # One that cannot be read for another reason may be held all the same.
    with suppress(FileNotFoundError, ValueError):
        text = read_small(folder / name / "owner")
    token, _, mark = text.partition(" ")
    return _Holder(numbers[name], token, mark)


def _numbered(folder: Path) -> dict[str, int]:
    """The numbers of the claims of a folder, by their names."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return {}
    return {name: int(m[1]) for name in names if (m := _CLAIM.fullmatch(name))}


def _is_alive(holder: _Holder, folder: Path, now: float, *, but: Path) -> bool:
    if not holder.mark:  # it has let go
        return False
    runs = runs_here(holder.mark)
    if runs is None:  # on another computer
        others = [newest(each) for each in folder.iterdir() if each != but]
        # Nor is a time to come a sign of life: the clock was set back, or was wrong before.
        return any(abs(now - each) < SILENT for each in others)
    own = holder.mark == process_mark()
    return holder.token in _HELD if own else runs


def _busy(holder: _Holder, folder: Path, what: Path) -> str:
    if runs_here(holder.mark) is None:
        return (
            f"another computer is writing {what}; wait for it, or choose another place (a run that "
            f"ended without a word counts as over after {SILENT / 60:g} minutes)"
        )
    process = holder.mark.partition("-")[2]
    return (
        f"process {process} is writing {what}; wait for it, or choose another place (if that "
        f"process is another program, remove {folder})"
    )
