"""One table of what conforms, for people and for logs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    what, mode
        The suite, and the mode it ran in.
    passed, total
        Cases.
    note
        What else there is to say.
    """

    what: str
    mode: str
    passed: int
    total: int
    note: str = ""


@dataclass
class Results:
    """Everything that was found, told on stderr as it comes: a run that ends early has lost nothing.

    Attributes
    ----------
    rows
        The table's lines.
    complaints
        What known_failures.toml did not expect.
    """

    rows: list[Row] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def add(self, row: Row, complaints: Sequence[str] = ()) -> None:
        """Take in one line and what is wrong with it."""
        self.rows.append(row)
        self.complaints += complaints
        print("\n    ".join(["  ".join(_cells(row)), *complaints]), file=sys.stderr, flush=True)


def text(rows: Iterable[Row]) -> str:
    """Return `rows` as aligned text."""
    header = ("suite", "mode", "passed", "total", "%", "")
    lines = [header, *[_cells(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join([
            cell.rjust(width) if 2 <= i <= 4 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]).rstrip()
        for line in lines
    )  # fmt: skip


def _cells(row: Row) -> tuple[str, ...]:
    # Rounded down: 100.0 means all of them.
    share = f"{int(1000 * row.passed / row.total) / 10:.1f}" if row.total else "-"
    return row.what, row.mode, str(row.passed), str(row.total), share, row.note
