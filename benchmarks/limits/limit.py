"""One limit and what was measured of it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

AROUND = "call around an HPU graph of {} inputs, over its program"


class Limit(NamedTuple):
    """A limit, and the measurements that it is held against by their median.

    Attributes
    ----------
    what
        What is measured, as people call it.
    most
        The largest value that is allowed.
    unit
        Of the limit and of the values, such as ``"µs"``; empty for a ratio.
    values
        What was measured, once or often.
    note
        What else there is to say, such as why it cannot be met.
    """

    what: str
    most: float
    unit: str
    values: Sequence[float]
    note: str = ""

    @property
    def median(self) -> float:
        """The median of the measurements."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool:
        """Whether the median keeps to the limit."""
        return self.median <= self.most

    def cells(self) -> list[str]:
        """Return the row of the table: what, the limit, the median with the middle half, and whether it is met."""
        ordered = sorted(self.values)
        low, high = ordered[len(ordered) // 4], ordered[-1 - len(ordered) // 4]
        spread = f" ({_number(low)} to {_number(high)})" if len(ordered) > 2 else ""
        told = "met" if self.met else "not met"
        return [
            self.what,
            f"{_number(self.most)} {self.unit}".strip(),
            f"{_number(self.median)} {self.unit}".strip() + spread,
            f"{told}: {self.note}" if self.note else told,
        ]


def _number(x: float) -> str:
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.3g}"


def make_limits_table(limits: Sequence[Limit]) -> str:
    """Return the table in Markdown."""
    rows = [["limit", "at most", "measured", ""], ["---"] * 4, *[x.cells() for x in limits]]
    return "\n".join(["| " + " | ".join(row) + " |" for row in rows])


def as_plain(limit: Limit) -> dict[str, Any]:
    """Return it for JSON, with what follows from it."""
    return {**limit._asdict(), "values": list(limit.values), "median": limit.median, "met": limit.met}


def from_plain(read: dict[str, Any]) -> Limit:
    """Return what `as_plain` made plain."""
    return Limit(*[read[name] for name in Limit._fields])
