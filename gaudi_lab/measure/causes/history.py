"""All that was compiled since the watching began, equal causes together, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gaudi_lab.measure.causes.cause import Cause

MOST_CAUSES = 500
"""So many different causes are kept; what comes later is counted as one more."""

LATEST = 2000
"""So many compiles are kept one by one, for whoever measures a part of the time."""

OTHERS = Cause("unknown", "causes beyond those that are kept", established=False)


@dataclass(frozen=True)
class Compile:
    """One thing that was compiled.

    Attributes
    ----------
    layer
        "recipe" for a recorded program, "Dynamo" for what torch.compile traced and its backend compiled, "HPU graph"
        for a capture, "no HPU graph" for a call that was refused one: nothing was compiled then.
    cause
        Why.
    seconds
        What it took: for a capture without the recipes compiled meanwhile.
    tracing
        How many of these seconds Dynamo traced; the rest is the backend's.
    loaded
        Whether it was found on disk instead.
    """

    layer: str
    cause: Cause
    seconds: float = 0.0
    tracing: float = 0.0
    loaded: bool = False


@dataclass(frozen=True)
class CauseCost:
    """What one cause has cost so far.

    Attributes
    ----------
    cause
        As it was the last time.
    count
        How often something was compiled for it; `loaded` of these were found on disk.
    seconds
        What that took in all.
    layers
        How often each layer compiled, in the order in which they first did.
    """

    cause: Cause
    count: int = 0
    seconds: float = 0.0
    loaded: int = 0
    layers: Mapping[str, int] = field(default_factory=dict)

    def add(self, compiled: Compile) -> CauseCost:
        """Return the same with one more."""
        return replace(
            self,
            cause=compiled.cause,
            count=self.count + 1,
            seconds=self.seconds + compiled.seconds,
            loaded=self.loaded + compiled.loaded,
            layers={**self.layers, compiled.layer: self.layers.get(compiled.layer, 0) + 1},
        )

    def since(self, earlier: CauseCost) -> CauseCost:
        """Return what has come on top of an earlier state of the same."""
        more = {layer: count - earlier.layers.get(layer, 0) for layer, count in self.layers.items()}
        return replace(
            self,
            count=self.count - earlier.count,
            seconds=self.seconds - earlier.seconds,
            loaded=self.loaded - earlier.loaded,
            layers={layer: count for layer, count in more.items() if count},
        )


@dataclass
class History:
    """Keeps what was compiled.

    Attributes
    ----------
    number
        How many compiles there were so far; `since` takes it.
    tried_by
        What of the workbench's tries something now, such as "compare": all that it compiles is one cause. Empty while
        nothing does.
    """

    number: int = 0
    tried_by: str = ""
    _costs: dict[tuple[object, ...], CauseCost] = field(default_factory=dict)
    _latest: deque[Compile] = field(default_factory=lambda: deque(maxlen=LATEST))

    def add(self, compiled: Compile) -> Compile:
        """Take note of one compile, and return it as it is told."""
        self.number += 1
        self._latest.append(compiled)
        if self.tried_by:
            compiled = replace(compiled, cause=Cause("trial", f"tried by {self.tried_by}"))
        counted = compiled
        if compiled.cause.alike not in self._costs and len(self._costs) >= MOST_CAUSES:
            counted = replace(compiled, cause=OTHERS)
        alike = counted.cause.alike
        self._costs[alike] = self._costs.get(alike, CauseCost(counted.cause)).add(counted)
        return compiled

    def since(self, number: int) -> list[Compile]:
        """Return what was compiled after the first `number`, as far as it is still kept."""
        latest = self.number - number
        return list(self._latest)[-latest:] if latest > 0 else []

    @property
    def costs(self) -> tuple[CauseCost, ...]:
        """Every cause with what it has cost, the dearest first."""
        return tuple(sorted(self._costs.values(), key=lambda cost: -cost.seconds))
