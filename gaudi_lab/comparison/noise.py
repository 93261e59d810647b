"""Which of two settings is quicker, if that can be told from the noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

FEWEST = 5
"""With fewer times than these there is no telling the noise."""


def middle(times: Sequence[float]) -> float:
    """Return the width of the middle half of two times or more: their interquartile range."""
    lower, _, upper = statistics.quantiles(times, n=4, method="inclusive")
    return upper - lower


def verdict(
    some: Sequence[float], others: Sequence[float], pairs: Sequence[tuple[float, float]] = ()
) -> str | None:
    """Return whether `others` are "faster" or "slower" than `some`, or "no difference"; None if nobody can tell.

    A difference is told if it is larger than twice an interquartile range. That is the wider one of both; or, where
    they were measured in turn, that of how many times as long the one took as the other in each turn: what slows the
    whole machine down slows both of a turn.

    Parameters
    ----------
    some, others
        Seconds a call, of the two.
    pairs
        The median of each in the turns that both have.
    """
    if min(len(some), len(others)) < FEWEST:
        return None
    difference = statistics.median(others) - statistics.median(some)
    told = abs(difference) > 2 * max(middle(some), middle(others))
    if not told and len(pairs) >= FEWEST:
        times = [math.log(other / one) for one, other in pairs]
        # Both have to say the same of which is quicker.
        told = abs(statistics.median(times)) > 2 * middle(times) and statistics.median(times) * difference > 0
    if not told:
        return "no difference"
    return "slower" if difference > 0 else "faster"
