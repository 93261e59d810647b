"""What compiling has cost since the watching began, and what ran on the host: `gaudi_lab.why()`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from gaudi_lab.errors import LabError
from gaudi_lab.measure.causes.cause import Place
from gaudi_lab.measure.causes.fallbacks import HostRun
from gaudi_lab.measure.causes.history import CauseCost
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
class Why(Rendered):
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
    """

    costs: tuple[CauseCost, ...] = ()
    emulated: bool = False
    complete: bool = True
    on_host: tuple[HostRun, ...] = ()

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
    def sites(self) -> tuple[SiteCost, ...]:
        """The same by call, the dearest first."""
        found: dict[Place | None, SiteCost] = {}
        for cost in self.costs:
            call = cost.cause.call
            before = found.get(call, SiteCost(call, 0, 0.0))
            found[call] = SiteCost(call, before.count + cost.count, before.seconds + cost.seconds)
        return tuple(sorted(found.values(), key=lambda site: -site.seconds))

    def since(self, earlier: Why) -> Why:
        """Return what has come on top of an earlier answer: the difference of two warm-ups."""
        before = {cost.cause.alike: cost for cost in earlier.costs}
        later = [
            dataclasses.replace(
                cost,
                count=cost.count - before[cost.cause.alike].count,
                seconds=cost.seconds - before[cost.cause.alike].seconds,
                loaded=cost.loaded - before[cost.cause.alike].loaded,
            )
            if cost.cause.alike in before
            else cost
            for cost in self.costs
        ]
        costs = sorted([cost for cost in later if cost.count], key=lambda cost: -cost.seconds)
        ran = {(run.operator, run.source, run.call): run.count for run in earlier.on_host}
        on_host = [
            dataclasses.replace(run, count=run.count - ran.get((run.operator, run.source, run.call), 0))
            for run in self.on_host
        ]
        later_runs = sorted([run for run in on_host if run.count], key=lambda run: -run.count)
        return dataclasses.replace(self, costs=tuple(costs), on_host=tuple(later_runs))

    def to_records(self) -> list[dict[str, Any]]:
        """Return one flat dictionary for each cause, then one for each operator and line that ran on the host.

        The latter are of the kind "fallback". What they took is not known: their seconds are None.
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
            }
            for run in self.on_host
        ]

    def to_json(self) -> str:
        """Return the causes as JSON, with every difference by itself, then what ran on the host, with its operator."""
        told = [dataclasses.asdict(cost) for cost in self.costs]
        told += [dataclasses.asdict(run) for run in self.on_host]
        return json.dumps(told, ensure_ascii=False)

    def to_frame(self) -> Any:
        """Return the causes as a pandas DataFrame.

        Raises
        ------
        LabError
            pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise LabError(
                "A frame needs pandas.", python="pip install pandas", magic="%pip install pandas"
            ) from error
        return pandas.DataFrame(self.to_records())
