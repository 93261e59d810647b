"""Says below the traceback of a cell what an error of the bridge means, wherever in the cell it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gaudi_lab.bridge_errors import plain_words
from gaudi_lab.errors import LabError, chain_of
from gaudi_lab.instruments.handle import Handle

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def follow(shell: InteractiveShell) -> Handle:
    """Explain the bridge's errors after each cell that ends with one."""

    def after_cell(result: Any = None) -> None:
        if (told := _told(getattr(result, "error_in_exec", None))) is not None:
            print(told.for_notebook())  # noqa: T201 - below the traceback

    shell.events.register("post_run_cell", after_cell)
    return Handle(lambda: shell.events.unregister("post_run_cell", after_cell))


def _told(error: BaseException | None) -> LabError | None:
    """Return what an error means; None where it says so itself."""
    chain = [] if error is None else chain_of(error)
    if any(isinstance(each, LabError) for each in chain):
        return None
    return next(filter(None, map(plain_words, chain)), None)
