"""Which operators ran on the host, how often, and from which line."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

from gaudi_lab import origin
from gaudi_lab.measure.causes import places
from gaudi_lab.measure.causes.cause import Place

MOST_LINES = 500
"""So many pairs of an operator and a line are kept; what comes later is counted without its line."""


@dataclass(frozen=True)
class HostRun:
    """One operator that ran on the host, at one line.

    Attributes
    ----------
    operator
        Its name as the bridge gives it, such as "aten.nonzero.default".
    count
        How often.
    source
        The innermost line that belongs to no library; None if it is not known.
    call
        The line outside of all modules that led there; None if it is not known.
    """

    operator: str
    count: int
    source: Place | None = None
    call: Place | None = None


_Key = tuple[str, origin.Line | None, origin.Line | None]


class Fallbacks:
    """Counts what ran on the host while something was watched."""

    def __init__(self) -> None:
        self._counts: dict[_Key, int] = {}

    def note(self, operator: str, *, tried: bool = False) -> origin.Line | None:
        """Take note that an operator runs on the host now, and return the line that it is called from.

        Parameters
        ----------
        operator
            Its name.
        tried
            Whether the workbench only tries something: no line of the user's asks for it then, and it is not counted.
        """
        came_from = origin.trace(inspect.currentframe())
        if tried:
            return came_from.line
        key: _Key = (operator, came_from.line, came_from.call)
        if key not in self._counts and len(self._counts) >= MOST_LINES:
            key = (operator, None, None)
        self._counts[key] = self._counts.get(key, 0) + 1
        return came_from.line

    @property
    def runs(self) -> tuple[HostRun, ...]:
        """What ran on the host, the most frequent first."""
        found = [
            HostRun(operator, count, places.of(line), places.of(call))
            for (operator, line, call), count in self._counts.items()
        ]
        return tuple(sorted(found, key=lambda run: -run.count))

    def clear(self) -> None:
        """Forget everything."""
        self._counts.clear()


def of_counters(operators: Mapping[str, int]) -> tuple[HostRun, ...]:
    """Return what ran on the host where only counters tell of it, by operator: from which line is not known then."""
    return tuple(HostRun(name, count) for name, count in sorted(operators.items(), key=lambda x: -x[1]))
