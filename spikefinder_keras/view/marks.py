"""What a person thinks of neurons: good, bad, or a word, in a file that is whole at every moment.

    name,mark,word
    0,good,
    7,bad,neuropil

A line for each neuron that was marked, in the order of the recording (`recordings.marks`);
`predict --only` takes those marked good.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files.atomic import State, state_of, whole_file
from ..files.npy import NpyFile
from ..recordings.formats.suite2p import named_planes, roi_rows
from ..recordings.marks import GOOD, Mark, read_marks, write_marks
from ..text import clean_name

NOTHING = Mark()


@dataclass
class Marks:
    """The marks of the neurons `names` in the file `path`, which other windows may write to, too.

    With `suite2p`, the folder of a recording, each change also writes what suite2p reads as
    `iscell.npy`, beside `path`: good is 1, bad is 0, what is not marked as suite2p has it.
    """

    path: Path
    names: Sequence[str]
    suite2p: Path | None = None
    listeners: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._marks: dict[str, Mark] = {}
        self._state: State | None = None
        self.refresh()

    def __getitem__(self, name: str) -> Mark:
        return self._marks.get(name, NOTHING)

    def refresh(self) -> None:
        """Take in what others have written since; `DataError` if it is no file of marks."""
        state = self._on_disk()
        if state == self._state:
            return
        self._marks = read_marks(self.path) if state is not None else {}
        self._state = state
        self._tell()

    def set(
        self, names: str | Sequence[str], mark: str | None = None, word: str | None = None
    ) -> None:
        """Mark neurons, at once in the file too; None leaves what is there. `OutputError` if it
        cannot be written: they are not marked then."""
        with _alone(self.path.parent):
            self.refresh()  # another server may have marked others
            marks = dict(self._marks)
            for name in [names] if isinstance(names, str) else names:
                old = self[name]
                said = old.word if word is None else clean_name(word)
                marks[name] = Mark(old.mark if mark is None else mark, said)
            place = {each: k for k, each in enumerate(self.names)}
            # Of neurons that are not here, as of another result of the same recording, too.
            order = sorted(marks, key=lambda each: place.get(each, len(place)))
            marks = {each: marks[each] for each in order if marks[each] != NOTHING}
            write_marks(self.path, marks)
            self._marks, self._state = marks, self._on_disk()
            self._write_cells()
        self._tell()

    def _tell(self) -> None:
        for listener in [*self.listeners]:
            listener()

    def _on_disk(self) -> State | None:
        try:
            return state_of(self.path.stat())
        except FileNotFoundError:
            return None

    def _write_cells(self) -> None:
        """Beside the marks, as suite2p's own file is somebody else's."""
        for plane, prefix in [] if self.suite2p is None else named_planes(self.suite2p):
            own = roi_rows(plane)
            cells = np.stack([np.ones(len(own)), np.ones(len(own))], axis=1)
            with suppress(OSError, ValueError, DataError):  # nobody has classified
                file = NpyFile(plane / "iscell.npy")
                if file.shape == cells.shape:
                    cells = np.array(file.read(), np.float64)
            for roi, row in own.items():
                mark = self[f"{prefix}{roi}"].mark
                if mark:
                    cells[row, 0] = mark == GOOD
            name = f"{plane.name}.iscell.npy" if prefix else "iscell.npy"
            with whole_file(self.path.with_name(f"{self.path.stem}.{name}")) as temporary:
                NpyFile.make(temporary, cells.shape, np.float64).write(0, cells)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other window of this computer change marks in a folder meanwhile, where the system
    can say so."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # drives that know no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
