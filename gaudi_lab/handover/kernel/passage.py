"""What the old process hands to the new one beside the snapshot: who waits for an answer, and what for."""

from __future__ import annotations

import os
import pickle
import tempfile
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gaudi_lab.handover.kernel.shell_settings import ShellSettings
from gaudi_lab.handover.kernel.shell_state import ShellState

VARIABLE = "GAUDI_LAB_HANDOVER"
"""Names the descriptor, in the environment of the new process until it has read it."""


class CellToRerun(NamedTuple):
    """A cell that is run again.

    Attributes
    ----------
    number, source
        The cell: its number in the history, and what is in it.
    names
        What it is run for.
    """

    number: int
    names: tuple[str, ...]
    source: str


@dataclass
class Passage:
    """Everything that is plain.

    Attributes
    ----------
    title, started
        What the relaunch is for, and when it was asked for.
    snapshot
        The folder of the snapshot.
    kept, dropped, size
        What the snapshot has, for the report.
    rerun
        The cells to run again.
    notes
        Lines for the report.
    state, settings
        The shell's own.
    unpack
        For each companion, its name among the hidden entries and the function that takes it.
    identity, request
        The cell that waits for its answer; None if no cell does.
    last_line
        How far the cell has run.
    waiting
        The requests that came meanwhile.
    subshells
        The subshells that the front end knows.
    session, connection_file
        Of the connection.
    connected
        How many connections each channel had.
    """

    title: str
    started: float
    snapshot: str
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    size: int
    state: ShellState = field(default_factory=ShellState)
    settings: ShellSettings = field(default_factory=ShellSettings)
    rerun: list[CellToRerun] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unpack: dict[str, str] = field(default_factory=dict)
    identity: list[bytes] = field(default_factory=list)
    request: dict[str, Any] | None = None
    last_line: int = 0
    waiting: list[tuple[str | None, list[bytes]]] = field(default_factory=list)
    subshells: list[str] = field(default_factory=list)
    session: str = ""
    connection_file: str = ""
    connected: dict[str, int] = field(default_factory=dict)

    def write(self) -> int:
        """Return a descriptor that the new process can read this from. No name leads to it, and it goes with it."""
        with tempfile.TemporaryFile() as file:
            pickle.dump(self, file)
            file.flush()
            descriptor = os.dup(file.fileno())
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.set_inheritable(descriptor, True)
        return descriptor


def read() -> Passage:
    """Return what the process before has handed over, and forget the way to it."""
    with os.fdopen(int(os.environ.pop(VARIABLE)), "rb") as file:
        passage: Passage = pickle.load(file)
    return passage
