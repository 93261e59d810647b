"""Which of two settings is quicker, if that can be told from the noise."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

FEWEST = 5
"""With fewer times than these there is no telling the noise."""


def middle(times: Sequence[float]) -> float:
    """Return the width of the middle half of two times or more: their interquartile range."""
    lower, _, upper = statistics.quantiles(times, n=4, method="inclusive")
    return upper - lower


def noise(some: Sequence[float], others: Sequence[float], pairs: Sequence[tuple[float, float]] = ()) -> float:
    """Return how large a difference of two medians may be by chance: twice an interquartile range.

    That of the times, the wider of both; or, where they were measured in turn, that of the differences in each turn, if
    it is narrower: what slows the whole machine down slows both of a turn.

    Parameters
    ----------
    some, others
        Seconds a call, of the two.
    pairs
        The median of each in the turns that both have.
    """
    widest = max(middle(some), middle(others))
    if len(pairs) >= FEWEST:
        widest = min(widest, max(middle([b - a for a, b in pairs]), 0.0))
    return 2 * widest


def verdict(
    some: Sequence[float], others: Sequence[float], pairs: Sequence[tuple[float, float]] = ()
) -> str | None:
    """Return whether `others` are "faster" or "slower" than `some`, or "no difference"; None if nobody can tell.

    Parameters
    ----------
    some, others, pairs
        As in `noise`.
    """
    if min(len(some), len(others)) < FEWEST:
        return None
    difference = statistics.median(others) - statistics.median(some)
    if abs(difference) <= noise(some, others, pairs):
        return "no difference"
    return "slower" if difference > 0 else "faster"
