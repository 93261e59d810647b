"""A handle undoes one edit of a user's object, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TypeVar

Self = TypeVar("Self", bound="Handle")


class Handle:
    """Undoes an edit when removed or when its `with` block ends.

    Parameters
    ----------
    undo
        Puts things back. Called at most once.

    Examples
    --------
    >>> with gaudi_lab.fused_sdpa(model):
    ...     model(**batch)
    """

    def __init__(self, undo: Callable[[], object]) -> None:
        self._undo: Callable[[], object] | None = undo

    @property
    def active(self) -> bool:
        """Whether the edit is still in place."""
        return self._undo is not None

    def remove(self) -> None:
        """Undo the edit. A second call does nothing."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()


def together(handles: Iterable[Handle]) -> Handle:
    """Return one handle for several edits; they are undone last first."""
    edits = list(handles)

    def undo() -> None:
        while edits:
            edits.pop().remove()

    return Handle(undo)


def all_or_none(edits: Iterable[Callable[[], Handle]]) -> Handle:
    """Make several edits, or none: if one raises, those already made are undone.

    Parameters
    ----------
    edits
        Functions that each make one edit and return its handle.
    """
    made: list[Handle] = []
    try:
        for edit in edits:
            made.append(edit())  # noqa: PERF401 - what was made must be known if the next one raises
    except BaseException:
        together(made).remove()
        raise
    return together(made)
