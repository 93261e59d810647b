"""What is going to be done, and about how long that takes."""

from __future__ import annotations

from dataclasses import dataclass

from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.comparison.limits import Limits
from gaudi_lab.rendered import Rendered

ROUNDS = 5
"""Turns in one process, by default."""

FRESH_ROUNDS = 3
"""Processes a setting, by default."""

TOLERANCE = 1e-3
"""How far numbers may be from those of the first settings, in parts of the largest, by default."""

COARSE_TOLERANCE = 3e-2
"""The same for what is computed in a type of 16 bits, whose last digit is a part in 256 or 2048."""

_STARTING = 6.0
"""Seconds a process takes to import torch and the bridge, in the order of magnitude."""

_WARMING = 4
"""Calls that pass at least before a setting is timed."""


@dataclass(frozen=True)
class Procedure:
    """How the candidates are tried.

    Attributes
    ----------
    candidates
        What is tried; the first is the baseline.
    rounds
        How often each has its turn.
    calls
        How many steady calls are timed in each turn; None for as many as fit in half a second, three at least.
    tolerance
        How far outputs may be from the first, in parts of the largest number; None for what the type allows.
    limit
        Seconds that one turn of one candidate may take, its warm-up included but not the start of its process; None
        for any.
    """

    candidates: tuple[Candidate, ...]
    rounds: int = ROUNDS
    calls: int | None = None
    tolerance: float | None = None
    limit: float | None = None

    def tolerance_of(self, candidate: Candidate, *, coarse: bool = False) -> float:
        """Return how far a candidate's outputs may be from the first; `coarse` if either are of a type of 16 bits."""
        if self.tolerance is not None:
            return self.tolerance
        both = self.candidates[0], candidate
        coarse = coarse or any("16" in str(one.values.get("dtype", "")) for one in both)
        return COARSE_TOLERANCE if coarse else TOLERANCE

    @property
    def varies_batches(self) -> bool:
        """Whether batches have several sizes, so that outputs share their first samples only."""
        return len({candidate.values.get("batch_size") for candidate in self.candidates}) > 1

    def count_calls(self, seconds: float) -> int:
        """Return how many steady calls of so many seconds are timed in one turn."""
        if self.calls is not None:
            return self.calls
        return min(max(int(0.5 / seconds) if seconds else 20, 3), 20)


@dataclass(frozen=True, repr=False)
class Estimate(Rendered):
    """What comparing will take.

    Attributes
    ----------
    candidates, rounds
        How many.
    limits
        What it may take.
    fresh
        How many of the candidates have a process of their own in each round.
    call
        Seconds that one call took just now; None if that was not measured.
    seconds
        What it takes at least: what compiles comes on top. None where no call was measured.
    most
        What it takes at most, by the limits; None without one.
    disk
        Bytes on disk meanwhile, for what travels into the fresh processes.
    where
        On which machines, if it is not this process or those of its own.
    """

    candidates: int
    rounds: int
    limits: Limits
    fresh: int
    call: float | None
    seconds: float | None
    most: float | None
    disk: int
    where: str = ""


def estimate(
    plan: Procedure,
    fresh: int,
    call: float | None,
    disk: int,
    rounds_fresh: int,
    limits: Limits | None = None,
) -> Estimate:
    """Return what carrying out a plan takes, of which `fresh` candidates have processes of their own.

    Parameters
    ----------
    plan, fresh, disk, limits
        As in `Estimate`.
    call
        Seconds of one call, as things are now.
    rounds_fresh
        How many processes each of those has.
    """
    resident = len(plan.candidates) - fresh
    turns = (resident * (plan.rounds + 1), fresh * rounds_fresh)
    seconds = None
    if call is not None:
        seconds = sum(turns) * call * (plan.count_calls(call) + _WARMING) + turns[1] * _STARTING
    most = None if plan.limit is None else sum(turns) * plan.limit + turns[1] * _STARTING
    limits = limits or Limits(plan.limit)
    most = min((x for x in (most, limits.seconds) if x is not None), default=None)
    return Estimate(len(plan.candidates), plan.rounds, limits, fresh, call, seconds, most, disk)
