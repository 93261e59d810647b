"""How far a comparison is: one output of a notebook's cell, or a bar in a terminal."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from tqdm import tqdm

from gaudi_lab import bridge, frontend, render
from gaudi_lab.comparison.limits import Limits
from gaudi_lab.comparison.plan import Estimate
from gaudi_lab.comparison.records import Journal, Record
from gaudi_lab.render import units
from gaudi_lab.rendered import Rendered

EVERY = 0.2
"""Seconds between two updates at least."""


@dataclass(frozen=True, repr=False)
class Comparing(Rendered):
    """How far it is.

    Attributes
    ----------
    estimate
        What is going to be done.
    turns
        How many turns it has.
    done
        How many of them are over.
    candidate
        Whose turn it is; empty before the first.
    seconds
        What it took; None while it runs.
    disk
        The most bytes that were on disk meanwhile, known in the end.
    emulated
        Whether the device is emulated on the CPU.
    """

    estimate: Estimate
    turns: int
    done: int = 0
    candidate: str = ""
    seconds: float | None = None
    disk: int = 0
    emulated: bool = False


@render.line.register
def _(comparing: Comparing) -> str:
    over = comparing.seconds is not None
    estimate = replace(comparing.estimate, limits=Limits(), seconds=None, most=None, disk=0)
    told = comparing.estimate.disk or comparing.estimate.limits.disk is not None
    parts = [
        str(estimate).replace("comparing", "compared", 1) if over else str(comparing.estimate),
        f"took {comparing.seconds:.0f} s" if comparing.seconds is not None else "",
        f"{units.size(comparing.disk)} on disk" if comparing.disk and told else "",
        "" if over else f"turn {min(comparing.done + 1, comparing.turns)} of {comparing.turns}",
        "" if over else comparing.candidate,
        render.EMULATED if comparing.emulated else "",
    ]
    return " · ".join(filter(None, parts))


class ComparingProgress:
    """Shows how far a comparison is while it runs.

    Parameters
    ----------
    estimate
        What is going to be done, as far as it is known before the first call.
    better
        Returns the same once the seconds of a call are known.
    turns
        How many turns there are.
    ends
        The kinds of records of which each ends a turn.
    journal
        Tells what happens.
    quiet
        Show nothing.
    """

    def __init__(
        self,
        estimate: Estimate,
        better: Any,
        turns: int,
        ends: tuple[str, ...],
        journal: Journal,
        *,
        quiet: bool,
    ) -> None:
        self._estimate, self._better, self._turns, self._ends = estimate, better, turns, ends
        self._journal, self._quiet = journal, quiet
        self._done, self._candidate, self._known, self._disk = 0, "", False, 0
        self._started = self._shown_at = 0.0
        self._output: Any = None
        self._bar: Any = None

    def __enter__(self) -> ComparingProgress:
        self._started = time.monotonic()
        self._journal.told = self._see
        if not self._quiet and not frontend.in_notebook():
            self._bar = tqdm(total=self._turns, unit="turn", leave=False)
            self._bar.write(str(self._estimate))
        self._show()
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.told = lambda _: None
        if self._bar is not None:
            self._bar.close()
        self._show(seconds=time.monotonic() - self._started)

    def _see(self, record: Record) -> None:
        if record["kind"] == "turn":
            self._candidate = str(record["candidate"])
        if record["kind"] == "warmup" and not self._known:
            self._known, self._estimate = True, self._better(record["call"])
            if self._bar is not None:
                self._bar.write(str(self._estimate))
        if record["kind"] == "end":
            self._disk = record["disk"]
        if record["kind"] in self._ends:
            self._done += 1
            if self._bar is not None:
                self._bar.update(1)
        if self._bar is not None:
            self._bar.set_description_str(self._candidate)
        elif time.monotonic() - self._shown_at > EVERY:
            self._show()

    def _show(self, seconds: float | None = None) -> None:
        if self._quiet or self._bar is not None:
            return
        from IPython.display import display

        self._shown_at = time.monotonic()
        emulated = bridge.identity().emulated
        shown = Comparing(
            self._estimate, self._turns, self._done, self._candidate, seconds, self._disk, emulated
        )
        if self._output is None:
            self._output = display(shown, display_id=True)
        else:
            self._output.update(shown)
