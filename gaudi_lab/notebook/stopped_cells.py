"""Where the cells stopped that did not run to their end, and what of a cell has run."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from gaudi_lab import frontend
from gaudi_lab.instruments.handle import Handle

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# Their source and the line, by their number.
_stopped: dict[int, tuple[str, int]] = {}


def follow(shell: InteractiveShell) -> Handle:
    """Take down from now on in which line of a cell an error or an interrupt ended it."""

    def after_cell(result: Any = None) -> None:
        error, number = getattr(result, "error_in_exec", None), getattr(result, "execution_count", None)
        if error is None or number is None:
            return
        trace = error.__traceback__
        while trace is not None and frontend.cell_number(trace.tb_frame.f_code.co_filename) != number:
            trace = trace.tb_next
        inputs = shell.user_ns["In"]
        if trace is not None and number < len(inputs):  # not everything that runs becomes part of the history
            _stopped[number] = (inputs[number], trace.tb_lineno)

    shell.events.register("post_run_cell", after_cell)
    return Handle(lambda: shell.events.unregister("post_run_cell", after_cell))


def ran(number: int, source: str, running: int | None = None) -> str:
    """Return the statements of a cell that have run to their end.

    Parameters
    ----------
    number, source
        The cell.
    running
        The line that runs now, if the cell does.
    """
    stopped, line = _stopped.get(number, ("", 0))
    end = running if running is not None else line if stopped == source else None
    if end is None:
        return source
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return ""
    starts = [min(part.lineno for part in (x, *getattr(x, "decorator_list", ()))) for x in body]
    first = next((start for x, start in zip(body, starts, strict=True) if (x.end_lineno or 0) >= end), None)
    return source if first is None else "\n".join(source.splitlines()[: first - 1])
