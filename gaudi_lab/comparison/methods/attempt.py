"""One turn of one candidate in a process in which nothing was compiled before."""

from __future__ import annotations

from collections.abc import Callable

from gaudi_lab import bridge
from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.comparison.evidence import Outputs
from gaudi_lab.comparison.measuring import Turn, first_line
from gaudi_lab.comparison.plan import Procedure
from gaudi_lab.comparison.records import Journal
from gaudi_lab.comparison.subject import Subject


def attempt(
    load: Callable[[], Subject],
    candidate: Candidate,
    number: int,
    plan: Procedure,
    journal: Journal,
    method: str,
    reference: Callable[[], Outputs | None],
) -> Outputs | None:
    """Warm up, compare outputs, and time if they are the same; write down what comes of it.

    Parameters
    ----------
    load
        Brings what runs into this process.
    candidate, number, plan, journal, method
        As in `Turn`.
    reference
        Returns the outputs of the first settings; None if these are the first.

    Returns
    -------
    Outputs or None
        What came out, to compare others with; None if the candidate failed.
    """
    outputs = None
    try:
        bridge.load()
        subject = load()
        turn = Turn(subject, candidate, number, plan, journal, method)
        with subject.put(candidate):
            turn.warm_up(first=True)
            outputs = turn.outputs()
            if turn.show_evidence(reference(), outputs):
                turn.time()
    except Exception as error:
        journal.add("error", candidate=str(candidate), method=method, error=first_line(error))
        return None
    return outputs
