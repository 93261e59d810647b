"""Candidates in turn in this process: A B C, A B C, so that what slows the machine down slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gaudi_lab.comparison.bounds import Bounds
from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.comparison.evidence import Outputs
from gaudi_lab.comparison.limits import Limits
from gaudi_lab.comparison.measuring import Turn, first_line, limited
from gaudi_lab.comparison.plan import Procedure
from gaudi_lab.comparison.records import Journal
from gaudi_lab.comparison.row import RESIDENT
from gaudi_lab.comparison.subject import Subject


def compare_resident(
    subject: Subject,
    candidates: Sequence[Candidate],
    plan: Procedure,
    journal: Journal,
    bounds: Bounds | None = None,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Try candidates in this process, and write down what comes of it.

    First each is warmed up and its outputs are compared with the first's; what gives other results is not timed. Then
    they have their turns. What is in the journal already is not done again.

    Parameters
    ----------
    subject
        What runs.
    candidates
        Those to try here. The first of all is the reference, wherever it is tried.
    plan, journal
        How, and where to.
    bounds
        What it may take.
    clock
        As in `Turn`.

    Raises
    ------
    Stopped
        A limit is reached.
    """
    bounds = bounds or Bounds(Limits(plan.limit))
    reference: Outputs | None = None
    for candidate in candidates:
        # The first of those that run is needed to compare others with, though it is measured already.
        needed = reference is None and any(not _compared(journal, other) for other in candidates)
        if journal.has(candidate, "error") or (_compared(journal, candidate) and not needed):
            continue
        bounds.begin(f"first {candidate}")
        journal.begin(candidate)
        # What is finished stays as it is, whatever becomes of it now.
        written = Journal() if _compared(journal, candidate) else journal
        turn = Turn(subject, candidate, -1, plan, written, RESIDENT, clock)  # before the first turn
        outputs = _prove(turn, subject, candidate, bounds, written, reference)
        reference = outputs if reference is None else reference
    for number in range(plan.rounds):
        for candidate in candidates:
            if journal.out(candidate) or journal.has(candidate, "timed", turn=number):
                continue
            bounds.begin(str(candidate))
            journal.begin(candidate)
            turn = Turn(subject, candidate, number, plan, journal, RESIDENT, clock)
            try:
                with subject.put(candidate), limited(bounds.of_turn()):
                    turn.warm_up(first=False)
                    turn.time()
            except Exception as error:
                bounds.check()  # it may be the end of all that stopped it
                _fail(journal, candidate, error)


def _prove(
    turn: Turn,
    subject: Subject,
    candidate: Candidate,
    bounds: Bounds,
    journal: Journal,
    reference: Outputs | None,
) -> Outputs | None:
    """Warm a candidate up and compare its outputs; return them, None if it fails."""
    try:
        with subject.put(candidate), limited(bounds.of_turn()):
            turn.warm_up(first=True)
            outputs = turn.outputs()
            turn.show_evidence(reference, outputs)
    except Exception as error:
        bounds.check()
        _fail(journal, candidate, error)
        return None
    return outputs


def _compared(journal: Journal, candidate: Candidate) -> bool:
    return journal.has(candidate, "evidence")


def _fail(journal: Journal, candidate: Candidate, error: BaseException) -> None:
    journal.add("error", candidate=str(candidate), method=RESIDENT, error=first_line(error))
