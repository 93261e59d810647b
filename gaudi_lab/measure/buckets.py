"""Which lengths to pad to: the boundaries that cost least, by dynamic programming over sorted lengths.

A plan with `k` buckets takes some lengths as boundaries, and pads every batch to the next one. It costs what its new
shapes take to compile, plus what is computed for the padding. The best plan for every `k` is found exactly, from
candidates that are lengths that occur and lengths that are compiled already: a boundary between two lengths pads more
than the lower one, and saves nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

MOST_CANDIDATES = 256
"""So many boundaries are looked at; of more lengths than these, evenly chosen ones, with the largest."""

MOST_BUCKETS = 12
"""Plans with up to so many buckets are worked out."""


class Load(NamedTuple):
    """Batches of one size: how many samples each, how long, and how many such batches."""

    rows: int
    length: int
    batches: int = 1


class Plan(NamedTuple):
    """Boundaries, ascending, with what they bring.

    Attributes
    ----------
    buckets
        The lengths to pad to.
    new_shapes
        Sizes that are not compiled yet.
    padding
        Elements computed beyond those that the batches have: tokens, for text.
    """

    buckets: tuple[int, ...]
    new_shapes: int
    padding: int

    def cost(self, a_shape: float, an_element: float) -> float:
        """Return what it costs at these prices."""
        return self.new_shapes * a_shape + self.padding * an_element


def best_plans(
    loads: Sequence[Load],
    known: Collection[tuple[int, int]] = (),
    *,
    a_shape: float = 0.0,
    an_element: float = 1.0,
    most: int = MOST_BUCKETS,
    multiple_of: int = 1,
) -> list[Plan]:
    """Return the plan that costs least for one bucket, for two, and so on.

    Parameters
    ----------
    loads
        The batches.
    known
        Rows and length of what is compiled already.
    a_shape, an_element
        The price of a new shape, and of an element of padding, in one unit. Without prices: least padding.
    most
        The largest number of buckets.
    multiple_of
        What every boundary is a multiple of. A length that is compiled already counts if it is one too.

    Returns
    -------
    list of Plan
        As many as there are boundaries to choose from, at most `most`; empty without loads.
    """
    if not loads:
        return []
    candidates = _candidates(loads, known, multiple_of)
    segments = _segments(sorted(loads, key=lambda load: load.length), frozenset(known), candidates)
    longest = max(load.length for load in loads)
    ends = [j for j, candidate in enumerate(candidates) if candidate >= longest]
    # best[j]: the cheapest plan with so many buckets whose last boundary is candidate j, for all lengths up to it.
    best: list[Plan | None] = [Plan((candidate,), *segments[-1, j]) for j, candidate in enumerate(candidates)]
    found = []
    for _ in range(min(most, len(candidates))):
        finished = [plan for j in ends if (plan := best[j]) is not None]
        if finished:
            found.append(min(finished, key=lambda plan: plan.cost(a_shape, an_element)))
        best = [
            min(
                (
                    Plan((*plan.buckets, candidate), plan.new_shapes + new, plan.padding + padding)
                    for i, plan in enumerate(best[:j])
                    if plan is not None
                    for new, padding in (segments[i, j],)
                ),
                key=lambda plan: plan.cost(a_shape, an_element),
                default=None,
            )
            for j, candidate in enumerate(candidates)
        ]
    return found


def _candidates(loads: Sequence[Load], known: Collection[tuple[int, int]], multiple_of: int) -> list[int]:
    rows = {load.rows for load in loads}
    lengths = {-(-load.length // multiple_of) * multiple_of for load in loads}
    lengths |= {length for count, length in known if count in rows and length % multiple_of == 0}
    ordered = sorted(lengths)
    if len(ordered) <= MOST_CANDIDATES:
        return ordered
    last = len(ordered) - 1
    return [ordered[round(i * last / (MOST_CANDIDATES - 1))] for i in range(MOST_CANDIDATES)]


def _segments(
    loads: list[Load], known: frozenset[tuple[int, int]], candidates: list[int]
) -> dict[tuple[int, int], tuple[int, int]]:
    """Return, for a boundary j and the one before it (-1: none), new shapes and padding of what lies between."""
    between: list[list[Load]] = [[] for _ in candidates]
    position = 0
    for load in loads:
        while candidates[position] < load.length:
            position += 1
        between[position].append(load)
    found = {}
    for j, boundary in enumerate(candidates):
        rows: set[int] = set()
        new = padding = 0
        for i in range(j, -1, -1):
            for load in between[i]:
                padding += load.rows * load.batches * (boundary - load.length)
                if load.rows not in rows:
                    rows.add(load.rows)
                    new += (load.rows, boundary) not in known
            found[i - 1, j] = (new, padding)
    return found
