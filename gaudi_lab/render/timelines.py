"""How a warm-up is laid out."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gaudi_lab.measure.timeline import Iteration, Timeline
from gaudi_lab.render import layout, units


@layout.line.register
def _(iteration: Iteration) -> str:
    what = ", ".join(map(str, iteration.causes)) or "steady"
    compiled = units.count(iteration.compilations, "compile")
    return layout.join(f"run {iteration.number}", units.seconds(iteration.wall_time), compiled, what)


@layout.line.register
def _(timeline: Timeline) -> str:
    return layout.join(*summary(timeline), layout.NO_GAUDI_TIMES if timeline.emulated else "")


def summary(timeline: Timeline) -> list[str]:
    """Return what a warm-up comes to, in phrases."""
    if not timeline.iterations:
        return ["nothing was run"]
    phrases = []
    if timeline.interrupted:
        phrases.append(f"interrupted after {units.count(len(timeline.iterations), 'run')}")
    if timeline.warmup_time:
        phrases.append(f"warm-up {units.seconds(timeline.warmup_time)}")
    if timeline.compilations:
        compiled = units.count(timeline.compilations, "graph")
        phrases.append(f"{compiled} compiled in {units.seconds(timeline.compile_time)}")
    if timeline.tracing:
        phrases.append(f"{units.seconds(timeline.tracing)} of tracing for torch.compile")
    if share := _share(timeline):
        phrases.append(share)
    to_steady = timeline.iterations_to_steady
    if to_steady is None:
        phrases.append("not steady yet")
    elif to_steady == 0:
        phrases.append("steady from the start")
    else:
        phrases.append(f"steady after {units.count(to_steady, 'run')}")
    if timeline.steady_median is not None:
        runs = units.count(len(timeline.steady), "run")
        median = (
            units.seconds(timeline.steady_median)
            if timeline.steady_spread is None
            else units.spread(timeline.steady_median, timeline.steady_spread)
        )
        phrases.append(f"then {median} ({runs})")
    return phrases


def _share(timeline: Timeline) -> str:
    """Return which part of the time was compiling, and which part of that was for what was there in another form."""
    share = timeline.compiling_share
    if share is None or not timeline.compiling:
        return ""
    again = timeline.compiling_again
    text = f"{share:.0%} compiling"
    return f"{text}, {min(again / timeline.compiling, 1.0):.0%} of that again" if again else text


@layout.text.register
def _(timeline: Timeline) -> str:
    rows = [
        (
            stretch.label,
            stretch.wall_time,
            str(stretch.compilations) if stretch.compilations else "–",
            units.seconds(stretch.compiling) if stretch.compiling else "–",
            ", ".join(map(str, stretch.causes)) or "–",
        )
        for stretch in _stretches(timeline)
    ]
    table = layout.table(("run", "wall time", "compiled", "compile time", "what was new"), rows, left={4})
    lines = [table[0]]
    for line, stretch in zip(table[1:], _stretches(timeline), strict=True):
        lines.append(line)
        if stretch.remedy:
            lines.append(f"{'':{table[0].index('what was new')}}→ {stretch.remedy}")
    return "\n".join((*([timeline.settings] if timeline.settings else []), *lines, str(timeline)))


@layout.html.register
def _(timeline: Timeline) -> str:
    longest = max((i.wall_time for i in timeline.iterations), default=0.0) or 1.0
    bars = [
        {
            "stretch": stretch,
            "compile": 100 * min(stretch.compiling, stretch.seconds) / longest,
            "run": 100 * max(stretch.seconds - stretch.compiling, 0.0) / longest,
        }
        for stretch in _stretches(timeline)
    ]
    return layout.rendered(
        "timeline.html.j2", timeline=timeline, bars=bars, summary=layout.join(*summary(timeline))
    )


@dataclass(frozen=True)
class _Stretch:
    """Iterations that share one row of a table: one, or several steady ones."""

    iterations: tuple[Iteration, ...]

    @property
    def label(self) -> str:
        first, last = self.iterations[0].number, self.iterations[-1].number
        return str(first) if first == last else f"{first}–{last}"

    @property
    def seconds(self) -> float:
        return statistics.median(i.wall_time for i in self.iterations)

    @property
    def wall_time(self) -> str:
        return units.seconds(self.seconds) + (" each" if len(self.iterations) > 1 else "")

    @property
    def compilations(self) -> int:
        return self.iterations[0].compilations

    @property
    def compiling(self) -> float:
        return self.iterations[0].compiling

    @property
    def causes(self) -> tuple[Any, ...]:
        return self.iterations[0].causes

    @property
    def remedy(self) -> str:
        """What to change, of all causes; empty if nothing is known."""
        return "; ".join(dict.fromkeys(cause.remedy for cause in self.causes if cause.remedy))


_MANY = 12
"""With more iterations than these, steady ones in a row share a row of a table."""

_FEW = 3
"""So many in a row keep a row each even then."""


def _stretches(timeline: Timeline) -> Iterator[_Stretch]:
    fold = len(timeline.iterations) > _MANY
    # What runs on the host does so in steady iterations too: those of one row have it alike.
    for (steady, _), group in itertools.groupby(timeline.iterations, key=lambda i: (i.steady, i.causes)):
        members = tuple(group)
        if fold and steady and len(members) > _FEW:
            yield _Stretch(members)
        else:
            yield from (_Stretch((member,)) for member in members)
