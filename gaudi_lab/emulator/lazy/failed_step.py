"""Which step of a recorded program raised an error, and which line had recorded it.

A program runs when somebody asks for a value, lines after the operator was called, and that is what a traceback shows.
The operator is told as a note of the error, with the line that was the first to record such a step. Which line recorded
it this time nobody knows: to look at each step would cost more than to record it.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from gaudi_lab import frontend
from gaudi_lab.emulator.lazy import replay
from gaudi_lab.emulator.lazy.departure import name_of
from gaudi_lab.emulator.lazy.program import Step
from gaudi_lab.errors import add_note


def tell(error: BaseException, steps: Sequence[Step]) -> None:
    """Add to an error which of `steps` raised it, if its traceback shows that."""
    step = _find(error.__traceback__, [step for step in steps if step.func is not None])
    if step is not None:
        add_note(error, f"Raised by {name_of(step.func)}.{_place(step)}")


def _find(traceback: TracebackType | None, operators: Sequence[Step]) -> Step | None:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code is replay.interpret.__code__:
            found: Step | None = traceback.tb_frame.f_locals.get("step")
            return found
        if code.co_filename == replay.FILE:
            return operators[traceback.tb_lineno - _FIRST_LINE]
        traceback = traceback.tb_next
    return None


# The line of the first operator: above it is the definition.
_FIRST_LINE = 2


def _place(step: Step) -> str:
    origin = step.origin
    if origin is None or origin.line is None:
        return ""
    line = f" Such a step was first recorded at {frontend.name_line(*origin.line)}"
    inner = origin.inner() if origin.inner is not None else None
    if inner is None:
        return f"{line}."
    kind = type(inner).__name__
    return f"{line}, in {origin.module} ({kind})." if origin.module else f"{line}, in {kind}."
