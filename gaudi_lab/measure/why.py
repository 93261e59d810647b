"""What compiling has cost since the watching began, what came of it, and what ran on the host: `gaudi_lab.why()`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from gaudi_lab.measure.causes.cause import Place
from gaudi_lab.measure.causes.fallbacks import HostRun
from gaudi_lab.measure.causes.graph_uses import GraphUse, UnusedGraphs, find_unused
from gaudi_lab.measure.causes.history import CauseCost
from gaudi_lab.measure.frames import Framed
from gaudi_lab.rendered import Rendered


@dataclass(frozen=True)
class SiteCost:
    """What compiling has cost at one call.

    Attributes
    ----------
    call
        The line; None for what no line of the user's led to.
    count, seconds
        How often something was compiled there, and what that took.
    """

    call: Place | None
    count: int
    seconds: float


@dataclass(frozen=True, repr=False)
class Why(Framed, Rendered):
    """Every cause of a compile and what it has cost, the dearest first. Every time is in seconds.

    Attributes
    ----------
    costs
        One for each cause.
    emulated
        Whether the device was emulated on the CPU: its times are then not a Gaudi's.
    complete
        Whether all compiles are told. Intel's bridge does not tell of recorded programs one by one.
    on_host
        Which operators ran on the host, the most frequent first. Intel's bridge does not tell from which line, and
        counts from the start of the process.
    graphs
        What was compiled and is still there, each graph with how often it was found again: the latest 500. Intel's
        bridge does not tell of recorded programs, and not how often a graph of torch.compile ran.
    """

    costs: tuple[CauseCost, ...] = ()
    emulated: bool = False
    complete: bool = True
    on_host: tuple[HostRun, ...] = ()
    graphs: tuple[GraphUse, ...] = ()

    @property
    def count(self) -> int:
        """How often something was compiled."""
        return sum(cost.count for cost in self.costs if cost.cause.kind != "refused")

    @property
    def seconds(self) -> float:
        """What that took."""
        return sum(cost.seconds for cost in self.costs)

    @property
    def again(self) -> tuple[CauseCost, ...]:
        """The causes for which something was compiled that was there already in another form."""
        return tuple([cost for cost in self.costs if cost.cause.again])

    @property
    def unused(self) -> tuple[UnusedGraphs, ...]:
        """The graphs that nothing came of so far: never found again, or in the shadow of another, the dearest first."""
        return find_unused(self.graphs)

    @property
    def sites(self) -> tuple[SiteCost, ...]:
        """The same by call, the dearest first."""
        found: dict[Place | None, SiteCost] = {}
        for cost in self.costs:
            call = cost.cause.call
            before = found.get(call, SiteCost(call, 0, 0.0))
            found[call] = SiteCost(call, before.count + cost.count, before.seconds + cost.seconds)
        return tuple(sorted(found.values(), key=lambda site: -site.seconds))

    def since(self, earlier: Why) -> Why:
        """Return what has come on top of an earlier answer: the difference of two warm-ups.

        Of the graphs those are left that are new, were found again, or have come into the shadow of another.
        """
        return dataclasses.replace(
            self,
            costs=_costs_since(self.costs, earlier.costs),
            on_host=_host_runs_since(self.on_host, earlier.on_host),
            graphs=_graphs_since(self.graphs, earlier.graphs),
        )

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat dictionary for each cause, then one for each operator and line that ran on the host.

        Of a cause, `graphs` is how many of those made for it are still there; how often these were found again, how
        many never were, and how many lie in the shadow of another, is None where nobody tells. What ran on the host is
        of the kind "fallback". What that took is not known: its seconds are None.
        """
        return self._records_of_causes() + self._records_of_host()

    def _records_of_causes(self) -> list[dict[str, Any]]:
        return [
            {
                "seconds": cost.seconds,
                "count": cost.count,
                "loaded": cost.loaded,
                "layers": ", ".join(cost.layers),
                "kind": cost.cause.kind,
                "why": cost.cause.text,
                "established": cost.cause.established,
                "model": cost.cause.model,
                "module": cost.cause.module,
                "source": str(cost.cause.source or ""),
                "call": str(cost.cause.call or ""),
                "remedy": cost.cause.remedy,
                **_uses([graph for graph in self.graphs if graph.cause.alike == cost.cause.alike]),
            }
            for cost in self.costs
        ]

    def _records_of_host(self) -> list[dict[str, Any]]:
        return [
            {
                "seconds": None,
                "count": run.count,
                "loaded": 0,
                "layers": "host",
                "kind": "fallback",
                "why": f"{run.operator} ran on the host",
                "established": True,
                "model": "",
                "module": "",
                "source": str(run.source or ""),
                "call": str(run.call or ""),
                "remedy": "",
                **_uses([]),
            }
            for run in self.on_host
        ]

    def to_json(self) -> str:
        """Return all as JSON: the causes with every difference by itself, what ran on the host, and every graph.

        What ran on the host has an "operator", a graph has "hits".
        """
        told = [dataclasses.asdict(cost) for cost in self.costs]
        told += [dataclasses.asdict(run) for run in self.on_host]
        told += [dataclasses.asdict(graph) for graph in self.graphs]
        return json.dumps(told, ensure_ascii=False)


def _uses(graphs: list[GraphUse]) -> dict[str, int | None]:
    """Return how graphs are used, as columns of a table."""
    known = [graph.hits for graph in graphs if graph.hits is not None]
    return {
        "graphs": len(graphs),
        "hits": sum(known) if known else None,
        "never_hit": known.count(0) if known else None,
        "shadowed": sum(bool(graph.shadow) for graph in graphs) if graphs else None,
    }


def _costs_since(now: tuple[CauseCost, ...], earlier: tuple[CauseCost, ...]) -> tuple[CauseCost, ...]:
    before = {cost.cause.alike: cost for cost in earlier}
    later = [cost.since(before[cost.cause.alike]) if cost.cause.alike in before else cost for cost in now]
    return tuple(sorted([cost for cost in later if cost.count], key=lambda cost: -cost.seconds))


def _host_runs_since(now: tuple[HostRun, ...], earlier: tuple[HostRun, ...]) -> tuple[HostRun, ...]:
    ran = {(run.operator, run.source, run.call): run.count for run in earlier}
    later = [
        dataclasses.replace(run, count=run.count - ran.get((run.operator, run.source, run.call), 0))
        for run in now
    ]
    return tuple(sorted([run for run in later if run.count], key=lambda run: -run.count))


def _graphs_since(now: tuple[GraphUse, ...], earlier: tuple[GraphUse, ...]) -> tuple[GraphUse, ...]:
    before = {(graph.layer, graph.name): graph for graph in earlier}
    later = []
    for graph in now:
        known = before.get((graph.layer, graph.name))
        if known is None:
            later.append(graph)
        elif (graph.hits, graph.shadow) != (known.hits, known.shadow):
            hits = graph.hits - known.hits if graph.hits is not None and known.hits is not None else None
            later.append(dataclasses.replace(graph, hits=hits))
    return tuple(later)
