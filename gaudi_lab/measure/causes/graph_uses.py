"""How often each graph was found again, which never was, and which lies in the shadow of another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import CodeType
from typing import NamedTuple, Protocol

from gaudi_lab.measure.causes import remedies
from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.causes.history import Compile

MOST_GRAPHS = 500
"""So many graphs are followed, the latest."""


@dataclass(frozen=True)
class GraphUse:
    """One graph that is there, and how often it ran besides the call that it was made for.

    Attributes
    ----------
    layer
        "recipe", "Dynamo" or "HPU graph", as in a `Compile`.
    name
        What the bridge's counters call it; of an HPU graph its number.
    cause
        What it was made for.
    seconds
        What that took.
    hits
        How often it was found again; None where nobody tells.
    shadow
        The graph that takes the calls that this one was made for, though it is there: this one lies in its shadow.
        Empty if none does, or nobody tells.
    shadow_cause
        What that graph was made for; None if it is not known.
    called_since
        Whether a model was called since it was made. Before that nothing can have found it again.
    """

    layer: str
    name: str
    cause: Cause
    seconds: float
    hits: int | None = None
    shadow: str = ""
    shadow_cause: Cause | None = None
    called_since: bool = True

    @property
    def never_hit(self) -> bool:
        """Whether it is known that it was not found again, though something was called."""
        return self.hits == 0 and self.called_since

    @property
    def remedy(self) -> str:
        """What to change so that it is not made, or is used; empty if nothing general is known, or it is used."""
        if self.shadow:
            differences = self.shadow_cause.differences if self.shadow_cause is not None else ()
            return remedies.for_shadow(differences)
        return self.cause.remedy if self.never_hit else ""


@dataclass(frozen=True)
class UnusedGraphs:
    """Graphs that nothing came of, made for one cause.

    Attributes
    ----------
    cause
        As it was the last time.
    count
        How many.
    seconds
        What making them took.
    why
        "never found again", or which graph takes their calls instead.
    remedy
        What to change; empty if nothing general is known.
    """

    cause: Cause
    count: int
    seconds: float
    why: str
    remedy: str


def find_unused(graphs: Iterable[GraphUse]) -> tuple[UnusedGraphs, ...]:
    """Return the graphs that were never found again or lie in the shadow of another, equal causes together."""
    alike: dict[tuple[object, ...], list[GraphUse]] = {}
    for graph in graphs:
        if graph.never_hit or graph.shadow:
            alike.setdefault((graph.cause.alike, graph.shadow), []).append(graph)
    found = [
        UnusedGraphs(
            group[-1].cause, len(group), sum(x.seconds for x in group), _why(group[-1]), group[-1].remedy
        )
        for group in alike.values()
    ]
    return tuple(sorted(found, key=lambda unused: -unused.seconds))


def _why(graph: GraphUse) -> str:
    if not graph.shadow:
        return "never found again"
    made_for = f" ({graph.shadow_cause.text})" if graph.shadow_cause is not None else ""
    return f"in the shadow of {graph.shadow}, which takes its calls{made_for}"


class KeptEntry(Protocol):
    """A graph that is found by asking several in turn: what a `guards.cache_entries.Entry` has of it."""

    compile_id: str

    @property
    def code(self) -> CodeType | None: ...  # noqa: D102
    @property
    def is_there(self) -> bool: ...  # noqa: D102
    def shadow(self) -> str | None: ...  # noqa: D102


class _Noted(NamedTuple):
    name: str
    compiled: Compile
    hits: Callable[[], int | None]
    entry: KeptEntry | None
    made_at: int


class GraphUses:
    """Follows graphs from when they are made, without keeping them.

    Attributes
    ----------
    calls
        How many calls of followed models have begun.
    """

    def __init__(self) -> None:
        self.calls = 0
        self._noted: deque[_Noted] = deque(maxlen=MOST_GRAPHS)

    def note(
        self, name: str, compiled: Compile, hits: Callable[[], int | None], entry: KeptEntry | None = None
    ) -> None:
        """Take note of a graph, unless the workbench has only tried something with it.

        Parameters
        ----------
        name, compiled
            What it is called, and why it was made.
        hits
            Returns how often it was found again; None once it is gone, or where nobody tells.
        entry
            Where Dynamo keeps it; None for a graph that is found by a key of its own. Such a graph is in no shadow.
        """
        if compiled.cause.kind == "trial":
            return
        if entry is not None:  # after a reset there is a new one in the same place
            for old in [x for x in self._noted if _at(x, entry.code, entry.compile_id)]:
                self._noted.remove(old)
        self._noted.append(_Noted(name, compiled, hits, entry, self.calls))

    def read(self) -> tuple[GraphUse, ...]:
        """Return the graphs that are there, the oldest first."""
        return tuple([use for noted in self._noted if (use := self._use(noted)) is not None])

    def _use(self, noted: _Noted) -> GraphUse | None:
        hits = noted.hits()
        if not noted.entry.is_there if noted.entry is not None else hits is None:
            return None
        shadow, cause = self._shadow(noted.entry) if noted.entry is not None else ("", None)
        compiled = noted.compiled
        return GraphUse(
            compiled.layer,
            noted.name,
            compiled.cause,
            compiled.seconds,
            hits,
            shadow,
            cause,
            called_since=self.calls > noted.made_at,
        )

    def _shadow(self, entry: KeptEntry) -> tuple[str, Cause | None]:
        """Return the name of the graph that takes an entry's calls, and what it was made for."""
        found = entry.shadow()
        if found is None:
            return "", None
        other = next((x for x in self._noted if _at(x, entry.code, found)), None)
        return (found, None) if other is None else (other.name, other.compiled.cause)


def _at(noted: _Noted, code: CodeType | None, compile_id: str) -> bool:
    """Whether this is the graph of a function that Dynamo calls so."""
    entry = noted.entry
    return entry is not None and entry.compile_id == compile_id and entry.code is code
