"""From a file and a number to a line as people know it: a notebook's cell, or a file."""

from __future__ import annotations

import linecache
import os

from gaudi_lab import frontend, origin
from gaudi_lab.measure.causes.cause import Place


def at(file: str, number: int) -> Place:
    """Return the line `number` of what Python knows as `file`."""
    source = linecache.getline(file, number).strip()
    cell = frontend.cell_number(file)
    return Place("" if cell is not None else os.path.basename(file), number, cell, source)


def of(line: origin.Line | None) -> Place | None:
    """Return a line as people know it; None for none."""
    return at(line.file, line.number) if line is not None else None
