"""The cell to run again for a name that cannot travel, and whether it would find what it found the first time."""

from __future__ import annotations

import builtins
import io
import types
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gaudi_lab.errors import LabError
from gaudi_lab.handover.bindings import Bindings, bindings_of
from gaudi_lab.handover.objects import functions, reach, refusals
from gaudi_lab.handover.survey import line_that_gives_up

_VALUES = (int, float, complex, bool, str, bytes, type(None), type(...), range)
_WRITERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair, io.FileIO)


@dataclass(frozen=True)
class Rerun:
    """A cell that would bind a name anew.

    Attributes
    ----------
    name
        The name.
    number, source
        The cell: its number in the history, and what is in it.
    reads
        What of the notebook it reads, functions of the notebook followed.
    doubts
        A sentence, without a full stop, for each input that is not established to be what it was.
    also_binds
        Other names that it would bind anew.
    """

    name: str
    number: int
    source: str
    reads: tuple[str, ...]
    doubts: tuple[str, ...]
    also_binds: tuple[str, ...]

    @property
    def is_established(self) -> bool:
        """Whether the cell would read what it read the first time."""
        return not self.doubts


@dataclass
class Remembered:
    """What the tensors were that a cell read, taken down after it has run.

    Only for cells that have bound something which cannot travel.
    """

    _seen: dict[tuple[int, str], tuple[weakref.ref[Any], int]] = field(default_factory=dict)

    def after_cell(self, number: int, source: str, namespace: Mapping[str, Any]) -> None:
        """Take down the tensors that cell `number` read.

        Called after each cell. What is taken down is only right if the cell has not changed them itself after it read
        them; such a change is in the version that is taken down, and the next run would find it.
        """
        told = bindings_of(source)
        if told is None or not any(_cannot_travel(namespace.get(name)) for name in told.binds):
            return
        for name in told.reads:
            value: Any = namespace.get(name)
            if _is_tensor(value):
                self._seen[number, name] = (weakref.ref(value), version_of(value))

    def is_unchanged(self, number: int, name: str, value: Any) -> bool:
        """Return whether a tensor is the one that cell `number` read, and was not written to since."""
        reference, version = self._seen.get((number, name), (None, -1))
        return reference is not None and reference() is value and version_of(value) == version


remembered = Remembered()
"""Of this process."""


def remember_cells(shell: Any) -> Callable[[], None]:
    """Take down, from now on, what each cell of a notebook read; return what ends it."""

    def after_cell(*_: Any) -> None:
        history = shell.history_manager.input_hist_parsed
        remembered.after_cell(len(history) - 1, history[-1], shell.user_ns)

    shell.events.register("post_run_cell", after_cell)
    return lambda: shell.events.unregister("post_run_cell", after_cell)


def find_rerun(
    name: str, namespace: Mapping[str, Any], history: Sequence[str], remembered: Remembered | None = None
) -> Rerun:
    """Return the last cell that bound `name`, and what is known of its inputs.

    Parameters
    ----------
    name
        A name of the notebook.
    namespace
        What is bound now.
    history
        The cells that were run, as IPython's ``In``: the number of a cell is its index.
    remembered
        What was taken down of tensors.

    Raises
    ------
    LabError
        No cell is known to have bound it, or running that cell again would open a file for writing.
    """
    told = [bindings_of(source) for source in history]
    number = max(
        (at for at, cell in enumerate(told) if cell is not None and name in cell.binds), default=None
    )
    if number is None:
        raise LabError(
            f"No cell of this notebook is known to have bound {name}, so none can be run again for it.",
            **line_that_gives_up([name]),
        )
    cell = told[number]
    assert cell is not None
    if cell.opens_for_writing or holds_a_written_file(namespace.get(name)):
        raise LabError(
            f"Cell {number}, which bound {name}, opens a file for writing. To run it again could empty that file.",
            **line_that_gives_up([name]),
        )
    doubts: dict[str, str] = {}
    reads = _inputs(cell, namespace)
    if name in cell.reads:
        doubts[name] = f"the cell reads {name} itself, which it would not find again"
    for read in reads:
        why = None if read == name else _doubt(read, number, namespace, told, remembered)
        if why is not None:
            doubts[read] = why
    return Rerun(
        name=name,
        number=number,
        source=history[number],
        reads=tuple(sorted(reads)),
        doubts=tuple(doubts.values()),
        also_binds=tuple(sorted(cell.binds - {name})),
    )


def holds_a_written_file(value: Any) -> bool:
    """Return whether a file that is open for writing can be reached from `value`."""
    for thing in reach.everything(value):
        if isinstance(thing, _WRITERS) and not thing.closed and thing.writable():
            return True
    return False


def _inputs(cell: Bindings, namespace: Mapping[str, Any]) -> set[str]:
    """Return the names that a cell reads, and those that the functions among them read."""
    found: set[str] = set()
    waiting = {name for name in cell.reads if name in namespace or not hasattr(builtins, name)}
    while waiting:
        name = waiting.pop()
        found.add(name)
        for code in _codes(namespace.get(name)):
            waiting |= {each for each in code.co_names if each in namespace} - found
    return found


def _codes(value: Any) -> list[types.CodeType]:
    """Return the code of a function or class of the notebook, with that of the functions inside."""
    if isinstance(value, types.FunctionType) and value.__module__ == "__main__":
        codes = [value.__code__]
    elif isinstance(value, type) and value.__module__ == "__main__":
        codes = [each.__code__ for each in vars(value).values() if isinstance(each, types.FunctionType)]
    else:
        return []
    for code in codes:
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return codes


def _doubt(
    name: str,
    number: int,
    namespace: Mapping[str, Any],
    told: Sequence[Bindings | None],
    remembered: Remembered | None,
) -> str | None:
    """Return why an input may not be what it was; None if it is established that it is."""
    if name not in namespace:
        return f"{name} is not bound any more"
    later = range(number + 1, len(told))
    again = [at for at in later if (cell := told[at]) is not None and name in cell.binds]
    if again:
        return f"{name} was bound again in cell {again[-1]}"
    unread = [at for at in later if told[at] is None]
    if unread:
        return f"cell {unread[0]} could not be read, and may have bound {name} again"
    value = namespace[name]
    if _is_fixed(value):
        return None
    if _is_tensor(value):
        if remembered is not None and remembered.is_unchanged(number, name, value):
            return None
        return f"{name} is a tensor, and whether it was written to since is not known"
    return f"{name} is a {type(value).__name__}, and whether it has changed since is not known"


def _is_fixed(value: Any) -> bool:
    """Return whether nothing can have changed in a value."""
    if isinstance(value, (tuple, frozenset)):
        return all(map(_is_fixed, value))
    if type(value) in _VALUES or isinstance(value, types.ModuleType):
        return True
    if isinstance(value, types.FunctionType) and value.__module__ == "__main__":
        # What it reads of the notebook is followed; its closure, its defaults and its attributes are its own.
        return not value.__closure__ and not vars(value) and _is_fixed(value.__defaults__ or ())
    return functions.name_in_its_module(value) is not None


def version_of(tensor: Any) -> int:
    """Return how often a tensor was written to, as PyTorch counts it."""
    version: int = tensor._version  # noqa: SLF001 - there is no public name for it
    return version


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "_version") and hasattr(value, "untyped_storage")


def _cannot_travel(value: Any) -> bool:
    try:
        refusals.check(value)
    except refusals.CannotTravel:
        return True
    return isinstance(value, _WRITERS)
