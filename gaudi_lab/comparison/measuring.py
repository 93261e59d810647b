"""One turn of one candidate, whose settings are on: its warm-up, its outputs, its steady calls."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gaudi_lab import bridge, errors
from gaudi_lab.comparison import evidence
from gaudi_lab.comparison.candidates import Candidate
from gaudi_lab.comparison.evidence import Outputs
from gaudi_lab.comparison.plan import Procedure
from gaudi_lab.comparison.records import Journal
from gaudi_lab.comparison.subject import Subject

STEADY_AFTER = 3
"""Calls in a row that compile and capture nothing, after which a candidate is warm."""

_AGAIN = 0.5
"""Seconds after which a candidate that has not been stopped is told so again."""

MOST_CALLS = 30
"""Calls after which it is given up that it will be."""


class TooLong(Exception):
    """A candidate has taken longer than it may."""


class Turn:
    """One turn of one candidate.

    Parameters
    ----------
    subject
        What runs.
    candidate, number
        Whose settings are on, and which turn it is.
    plan
        How it is measured.
    journal
        Where the records go.
    method
        How, for the records.
    clock
        Seconds, as `time.perf_counter` gives them.
    """

    def __init__(
        self,
        subject: Subject,
        candidate: Candidate,
        number: int,
        plan: Procedure,
        journal: Journal,
        method: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._subject = subject
        self._candidate = candidate
        self._plan = plan
        self._journal = journal
        self._clock = clock
        self._common = {"candidate": str(candidate), "turn": number, "method": method}
        self._seconds = 0.0
        self._result: Any = None

    def warm_up(self, *, first: bool) -> None:
        """Call until nothing is compiled any more.

        Parameters
        ----------
        first
            Whether this is the warm-up that the candidate is said to have, and no later one in the same process.
        """
        before = bridge.counters()
        graphs = len(self._subject.graphs())
        spent, warming, calls, steady = 0.0, 0.0, 0, 0
        while steady < STEADY_AFTER and calls < MOST_CALLS:
            counted = self._counted()
            seconds, self._result = self._call()
            calls += 1
            spent += seconds
            moved = self._counted() != counted
            steady = 0 if moved else steady + 1
            if moved or calls == 1:
                warming, warm_calls = spent, calls
            self._seconds = seconds
        cost = bridge.counters().since(before)
        self._journal.add(
            "warmup",
            seconds=warming,
            calls=warm_calls,
            call=self._seconds,
            steady=steady >= STEADY_AFTER,
            compiles=cost.compilations,
            captures=max(len(self._subject.graphs()) - graphs, 0),
            first=first,
            samples=self._subject.samples(self._result),
            ran=self._ran({}),
            **self._common,
        )

    def outputs(self) -> Outputs:
        """Return what the last call has brought, on the host."""
        return evidence.take_apart(self._subject.outputs(self._result))

    def show_evidence(self, reference: Outputs | None, outputs: Outputs) -> bool:
        """Compare outputs with those of the first settings, and return whether they are the same.

        Without a reference these are the first.
        """
        difference, differs = None, False
        if reference is not None:
            difference = evidence.compare(reference, outputs, first_rows=self._plan.varies_batches)
            coarse = evidence.is_coarse(reference) or evidence.is_coarse(outputs)
            differs = not difference.within(self._plan.tolerance_of(self._candidate, coarse=coarse))
        told = None if difference is None else dataclasses.asdict(difference)
        self._journal.add("evidence", difference=told, differs=differs, **self._common)
        return not differs

    def time(self) -> None:
        """Time steady calls. What compiled or captured meanwhile makes them count for nothing."""
        bridge.reset_peak_memory()
        counted, before = self._counted(), bridge.counters()
        number = self._plan.count_calls(self._seconds)
        times = [self._call()[0] for _ in range(number)]
        cost = bridge.counters().since(before)
        memory = bridge.memory()
        compiled, captured = (now - then for now, then in zip(self._counted(), counted, strict=True))
        moved = [
            f"{compiled} compiled" if compiled else "",
            f"{captured} captured" if captured else "",
        ]
        what = " and ".join(filter(None, moved))
        self._journal.add(
            "timed",
            times=times,
            moved=f"{what} while it was timed" if what else "",
            peak=None if memory is None else memory.peak,
            samples=self._subject.samples(self._result),
            ran=self._ran({name: count // number for name, count in cost.fallback_operators.items()}),
            **self._common,
        )

    def _call(self) -> tuple[float, Any]:
        self._subject.rewind()
        bridge.settle()
        started = self._clock()
        result = self._subject.run()
        bridge.settle()
        return self._clock() - started, result

    def _counted(self) -> tuple[int, int]:
        """Return how much was compiled and captured so far."""
        return bridge.counters().compilations, len(self._subject.graphs())

    def _ran(self, fallbacks: dict[str, int]) -> dict[str, Any]:
        ran = dataclasses.replace(self._subject.ran(), fallbacks=tuple(sorted(fallbacks.items())))
        return dataclasses.asdict(ran)


def first_line(error: BaseException) -> str:
    """Return what an error says in one line, with its class."""
    text = str(getattr(error, "why", "") or error).strip()
    name = type(error).__name__
    return f"{name}: {errors.first_line(text)}" if text else name


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Raise `TooLong` if what is inside takes longer.

    It can be stopped between two steps of Python, in the main thread of a system that has timers; elsewhere it ends by
    itself.
    """
    able = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if seconds is None or not able:
        yield
        return

    def stop(*_: Any) -> None:
        raise TooLong(f"took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    # Again and again: raised where Python calls a destructor, the first is only printed.
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
