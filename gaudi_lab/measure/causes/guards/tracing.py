"""One run of Dynamo, as plain values: what was traced, in what it differs from before, and where tracing broke off."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from gaudi_lab.measure.causes.cause import Difference
from gaudi_lab.measure.causes.guards.cache_entries import Entry


class SourceLine(NamedTuple):
    """A line as PyTorch names it: the end of the file's path, and a number."""

    file: str
    line: int


@dataclass
class Tracing:
    """One run of Dynamo, from its start to its end.

    Attributes
    ----------
    function, file, line
        The function that is traced.
    differences
        In what it differs from the closest graph there is. Empty if there is none, or nothing differs.
    again
        Whether there were graphs of it before.
    source
        The line that the first difference matters for; None if it is not known.
    breaks
        Where tracing broke off meanwhile, and why.
    broken
        Why the code that is traced was left out by the graph before it; None if it begins at its own beginning.
    limit
        Whether the limit of recompiles is reached: the function runs uncompiled from here on.
    seconds, backend
        How long it took, and how much of it was the backend.
    failed
        What it ended with, if not well.
    entry
        Where Dynamo keeps the graph that was made; None if it makes none.
    """

    function: str = ""
    file: str = ""
    line: int = 0
    differences: tuple[Difference, ...] = ()
    again: bool = False
    source: SourceLine | None = None
    breaks: list[Break] = field(default_factory=list)
    broken: Break | None = None
    limit: bool = False
    seconds: float = 0.0
    backend: float = 0.0
    failed: str = ""
    entry: Entry | None = None


class Break(NamedTuple):
    """Where tracing broke off: the reason in PyTorch's words, and the line."""

    reason: str
    file: str
    line: int


def recompile_limit() -> int:
    """Return how many graphs of one function Dynamo keeps before it gives up."""
    return int(torch._dynamo.config.recompile_limit)  # noqa: SLF001 - it is documented
