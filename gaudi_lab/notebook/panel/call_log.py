"""The log of calls: what each call of an attached model took, compiled, and met for the first time.

It asks nothing of the device, which would change what it watches: no synchronisation, no copies. So a bar
reaches from one call to the next, and what lazy mode runs after a call is in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from gaudi_lab import bridge, shapes
from gaudi_lab.instruments import call_shapes, calls
from gaudi_lab.instruments.handle import Handle, together
from gaudi_lab.measure.causes.seen import NotedCall, SeenShapes
from gaudi_lab.measure.causes.watching import watching
from gaudi_lab.measure.iterations import make_iteration
from gaudi_lab.measure.timeline import Iteration, Timeline
from gaudi_lab.workbench.model import SwitchedModel

KEPT = 1000
"""How many calls are remembered at least."""


@dataclass(frozen=True)
class LoggedCall:
    """One call of a model.

    Attributes
    ----------
    model
        Whose call, such as "minilm" or "pipe.unet".
    shapes
        The sizes it was called with, as text.
    settings
        The model's switches meanwhile, as text.
    inside
        Seconds in the call itself.
    iteration
        What it took until the next call, or the end of the cell.
    """

    model: str
    shapes: str
    settings: str
    inside: float
    iteration: Iteration


@dataclass
class _Open:
    """A call whose end is not known yet."""

    attached: SwitchedModel
    label: str
    module: Any
    shapes: shapes.Shapes
    settings: str
    started: float
    counted: bridge.Counters
    replays: list[int]
    compiled: int
    inside: float | None = None


class CallLog:
    """Logs the calls of the models it follows, outermost calls only.

    Parameters
    ----------
    clock
        Seconds, as `time.perf_counter` gives them.

    Attributes
    ----------
    paused
        True lets calls pass unlogged.
    seconds
        For each attached model, by component, what was spent in its calls.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.paused = False
        self.seconds: dict[str, dict[str, float]] = {}
        self._clock = clock
        self._calls: list[LoggedCall] = []
        self._total = 0
        self._seen = SeenShapes()
        self._open: _Open | None = None
        self._followed: dict[str, tuple[SwitchedModel, Handle]] = {}

    def follow(self, models: Mapping[str, SwitchedModel]) -> None:
        """Log the calls of exactly these models from now on."""
        for name, (attached, handle) in list(self._followed.items()):
            if models.get(name) is not attached:
                handle.remove()
                del self._followed[name]
                self.seconds.pop(name, None)
        for name, attached in models.items():
            if name not in self._followed:
                watches = [self._watch(attached, part, m) for part, m in attached.components.items()]
                self._followed[name] = (attached, together(watches))

    @property
    def total(self) -> int:
        """How many calls have been logged, forgotten ones included."""
        return self._total

    def since(self, number: int) -> list[LoggedCall]:
        """Return the calls after the `number`-th."""
        # Read from another thread while calls come in: one more may be there than counted.
        latest = self._calls[-(self._total - number + 1) :] if self._total > number else []
        return [call for call in latest if call.iteration.number > number]

    def timeline(self, models: tuple[str, ...] | None = None, latest: int = 40) -> Timeline:
        """Return the latest calls, of some models only, as a warm-up."""
        chosen = [c for c in list(self._calls) if models is None or c.model.partition(".")[0] in models]
        chosen = chosen[-latest:]
        settings = dict.fromkeys(call.settings for call in chosen)
        return Timeline(
            tuple(replace(c.iteration, number=n) for n, c in enumerate(chosen, 1)),
            settings="; ".join(settings),
            emulated=bridge.identity().emulated,
        )

    def running(self) -> tuple[str, str, float] | None:
        """Return the model, the shapes and the seconds so far of a call that has not returned."""
        current = self._open
        if current is None or current.inside is not None:
            return None
        return current.label, shapes.text(current.shapes), self._clock() - current.started

    def close(self) -> None:
        """End the last call's time here: nothing follows it in this cell."""
        self._close(self._clock(), bridge.counters())

    def _close(self, now: float, counted: bridge.Counters) -> None:
        current, self._open = self._open, None
        if current is not None and current.inside is not None:
            self._log(current, now - current.started, counted.since(current.counted))

    def _watch(self, attached: SwitchedModel, part: str, module: Any) -> Handle:
        label = ".".join(filter(None, (attached.name, part)))

        @contextmanager
        def watcher(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[None]:
            current = self._open
            if self.paused or (current is not None and current.inside is None):
                yield
                return
            # The end of the call before and the start of this one are the same moment.
            now, counted = self._clock(), bridge.counters()
            self._close(now, counted)
            sizes = call_shapes.read_shapes(module.forward, args, kwargs)
            settings, replays = str(attached), attached.replays()
            compiled = watching.history.number
            current = self._open = _Open(
                attached, label, module, sizes, settings, now, counted, replays, compiled
            )
            try:
                yield
            except BaseException:
                self._open = None
                raise
            current.inside = self._clock() - current.started
            spent = self.seconds.setdefault(attached.name, {})
            spent[part] = spent.get(part, 0.0) + current.inside

        return calls.watch(module, watcher)

    def _log(self, call: _Open, wall_time: float, cost: bridge.Counters) -> None:
        iteration = make_iteration(
            self._total + 1,
            wall_time,
            cost,
            (call.replays, call.attached.replays()),
            calls=[NotedCall("", call.module, call.shapes)],
            settings=call.settings,
            seen=self._seen,
            compiles=watching.history.since(call.compiled),
        )
        logged = LoggedCall(
            call.label, shapes.text(call.shapes), call.settings, call.inside or 0.0, iteration
        )
        if len(self._calls) >= 2 * KEPT:
            del self._calls[:KEPT]
        self._calls.append(logged)
        self._total += 1
