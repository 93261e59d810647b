"""What came of one setting."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.comparison.noise import middle
from gaudi_lab.comparison.subject import WhatRan
from gaudi_lab.rendered import Rendered

RESIDENT = "resident"
"""In the process that asked, in turn with the others."""

FRESH = "fresh process"
"""In a process of its own, so that its warm-up is a cold one."""

RAY = "Ray"
"""In a worker of Ray of its own, on whatever machine of a cluster: as cold."""

METHODS = {"resident": RESIDENT, "fresh": FRESH, "ray": RAY}
"""The same by the words to ask for them."""


@dataclass(frozen=True)
class OutputDifference:
    """How far outputs lie from those of the first settings.

    Attributes
    ----------
    absolute
        The largest difference of two numbers; infinite where one of them is not a number.
    relative
        The same, in parts of the largest number of that tensor.
    unequal, total
        How many tokens, or other whole numbers and words, are not equal, of how many.
    pixels
        The largest difference of two pixels in steps of 255; None where no pictures come out.
    rows
        How many samples were compared, if not all: batches of different sizes share their first.
    why_not
        Why they cannot be compared; empty if they were.
    """

    absolute: float = 0.0
    relative: float = 0.0
    unequal: int = 0
    total: int = 0
    pixels: int | None = None
    rows: int | None = None
    why_not: str = ""

    def within(self, tolerance: float) -> bool:
        """Whether this is the same result: all tokens equal, all numbers within `tolerance` of the largest."""
        near = (self.pixels or 0) <= max(255 * tolerance, 1)  # rounding alone makes one step
        return not self.why_not and not self.unequal and self.relative <= tolerance and near


@dataclass(frozen=True, repr=False)
class Row(Rendered):
    """One setting, measured. Every time is in seconds.

    Attributes
    ----------
    candidate
        The settings.
    method
        `RESIDENT`, `FRESH` or `RAY`; empty if it was not reached.
    warmups
        What its warm-up took, the first call included, once a fresh process; once in all if resident.
    warmup_calls
        How many calls these were, in the median.
    compiles, captures
        Graphs compiled, and HPU graphs captured, in the first warm-up.
    turns
        The times of its steady calls in each turn, with the number of the turn.
    samples
        How many samples a call is for; None if that is not known.
    peak_memory
        The most bytes of device memory that were in use; None if nobody tells.
    difference
        How far its outputs lie from those of the first; None if there was nothing to compare with.
    differs
        Whether that is farther than is allowed. It was not timed then.
    ran
        What really ran; None if it did not.
    error
        The first line of what it raised, or how its process ended; empty if all went well.
    invalid
        Why its times do not count; empty if they do.
    notes
        What else is worth knowing.
    """

    candidate: Candidate
    method: str = ""
    warmups: tuple[float, ...] = ()
    warmup_calls: int = 0
    compiles: int = 0
    captures: int = 0
    turns: tuple[tuple[int, tuple[float, ...]], ...] = ()
    samples: int | None = None
    peak_memory: int | None = None
    difference: OutputDifference | None = None
    differs: bool = False
    ran: WhatRan | None = None
    error: str = ""
    invalid: str = ""
    notes: tuple[str, ...] = ()

    @property
    def times(self) -> tuple[float, ...]:
        """The times of all its steady calls."""
        return tuple(time for _, times in self.turns for time in times)

    @property
    def rounds(self) -> tuple[tuple[int, float], ...]:
        """The median of the steady calls of each turn, with the number of the turn."""
        return tuple((number, statistics.median(times)) for number, times in self.turns if times)

    @property
    def warmup(self) -> float | None:
        """What its warm-up took, in the median; None if there was none."""
        return statistics.median(self.warmups) if self.warmups else None

    @property
    def cold(self) -> bool:
        """Whether its warm-up found nothing compiled by another."""
        return self.method in (FRESH, RAY)

    @property
    def median(self) -> float | None:
        """The median of its steady calls; None if it has none that count."""
        return statistics.median(self.times) if self.times and self.counts else None

    @property
    def iqr(self) -> float | None:
        """The width of the middle half of its steady calls; None for fewer than two."""
        return middle(self.times) if len(self.times) > 1 and self.counts else None

    @property
    def throughput(self) -> float | None:
        """Samples a second in the steady state; None if samples or times are not known."""
        return self.samples / self.median if self.samples and self.median else None

    @property
    def counts(self) -> bool:
        """Whether it may win: it ran to its end, gave the same results, and nothing compiled while it was timed."""
        return not (self.error or self.invalid or self.differs)
