"""What the emulated bridge tells of recorded programs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from gaudi_lab import bridge, origin
from gaudi_lab.instruments import graphs
from gaudi_lab.instruments.guard.call_arguments import is_constant
from gaudi_lab.instruments.guard.object_state import State
from gaudi_lab.measure.causes import explaining, places, recorded
from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.causes.explaining import Made
from gaudi_lab.measure.causes.graph_uses import MOST_GRAPHS, GraphUses
from gaudi_lab.measure.causes.history import Compile
from gaudi_lab.measure.causes.watched.captured_graphs import CapturedGraphs
from gaudi_lab.measure.causes.watched.following import MOST_CALLS, Call
from gaudi_lab.measure.causes.watched.telling import Telling

MOST_RECORDED = 64
"""So many calls that are over are kept, for the program that they were recorded in may compile later."""


class RecordedPrograms:
    """Writes down which recorded programs are compiled, and for which calls.

    Parameters
    ----------
    telling, uses
        Where.
    captures
        What a graph is captured for says why what is in it is compiled.
    followed
        Returns the models whose parameters have names.
    """

    def __init__(
        self,
        telling: Telling,
        uses: GraphUses,
        captures: CapturedGraphs,
        followed: WeakKeyDictionary[nn.Module, Any],
    ) -> None:
        self._telling, self._uses, self._captures, self._followed = telling, uses, captures, followed
        self._names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._made_on_host: WeakKeyDictionary[Any, origin.Line] = WeakKeyDictionary()
        self._over: deque[Call] = deque(maxlen=MOST_RECORDED)
        self._made: dict[str, Made] = {}
        # Programs that begin with results of HPU graphs.
        self._of_results: dict[str, None] = {}
        self._waiting: dict[str, Cause] = {}
        self._compiled: dict[str, None] = {}

    def call_is_over(self, call: Call) -> None:
        """Keep a call that is over, for as long as what it recorded may still compile."""
        self._over.append(call)

    def name_tensors(self, values: Iterable[tuple[str, Any]]) -> None:
        """Remember what tensors are called, those inside of objects too: the layers of a cache."""
        for name, value in values:
            if isinstance(value, torch.Tensor):
                if (holder := bridge.holder_of(value)) is not None:
                    self._names[holder] = name
            elif not is_constant(value):
                self.name_tensors(State({name: value}).tensors.items())

    def ran_on_host(self, operator: str, result: Any, line: origin.Line | None) -> None:
        """Remember what an operator has returned that ran on the host: its size depends on values."""
        name = recorded.name_of_result(operator)
        for x in result if isinstance(result, (list, tuple)) else [result]:
            holder = bridge.holder_of(x)
            if holder is None or holder in self._names:
                continue
            self._names[holder] = name
            if line is not None:
                self._made_on_host[holder] = line

    def before(self, departure: Any) -> None:
        """Be told that a program is about to be compiled, and why."""
        if self._captures.capturing is not None:
            self._wait_for(departure.name, self._captures.capturing)
            return
        if graphs.replaying():
            about = self._about(departure, self._telling.running)
            self._wait_for(departure.name, explaining.first_replay(about))
            return
        known = (*self._over, *self._telling.running)
        behind = tuple([call for call in known if call.is_in(departure.recording)])
        made = Made.by(behind)
        about = self._about(departure, behind)
        of_results = any(map(self._captures.is_result, departure.inputs))
        if of_results and departure.kind == "changed" and departure.earlier not in self._of_results:
            # The closest program of the same operators has to do with other things.
            cause = explaining.results_of_a_graph(about)
        else:
            earlier = self._made.get(departure.earlier)
            cause = explaining.program(departure, self._name_holder, about, made, earlier)
        self._telling.ask("recipe", cause)
        self._wait_for(departure.name, cause)
        self._made[departure.name] = made
        if of_results:
            self._of_results[departure.name] = None
        for kept in (self._made, self._of_results):
            if len(kept) > MOST_CALLS:
                del kept[next(iter(kept))]

    def after(self, name: str, seconds: float, loaded: bool) -> None:
        """Be told that it was compiled, what that took, and whether it was found on disk."""
        cause = self._waiting.pop(name, None)
        if cause is None:
            if name in self._compiled:
                # Nothing was recorded anew: the program is the same, and what is a constant in it is not.
                again = explaining.other_constants(self._telling.here())
                self._telling.history.add(Compile("recipe", again, seconds, loaded=loaded))
            return
        self._compiled[name] = None
        if len(self._compiled) > MOST_GRAPHS:
            del self._compiled[next(iter(self._compiled))]
        compiled = Compile("recipe", cause, seconds, loaded=loaded)
        compiled = self._telling.history.add(compiled)
        self._uses.note(name, compiled, lambda: bridge.hits_of(name))
        self._captures.compiled(seconds)
        self._telling.ended("recipe")

    def failed(self) -> None:
        """Be told that a program could not be compiled or run."""
        self._telling.ended("recipe")

    def _wait_for(self, program: str, cause: Cause) -> None:
        self._waiting[program] = cause
        self._telling.began("recipe", cause)

    def _about(self, departure: Any, made: Sequence[Call]) -> explaining.About:
        shown = next((x.origin for x in departure.changes if x.origin is not None), departure.origin)
        line = next((x for change in departure.changes if (x := self._line_on_host(change.holder))), None)
        line = line or (shown.line if shown is not None else None)
        call = places.of(made[-1].line if made else origin.caller())
        model = made[-1].name if made else ""
        if shown is None:
            return explaining.About(model, call=call)
        outer = shown.outer() if shown.outer is not None else None
        if not made and outer is not None:
            model = type(outer).__name__
        return explaining.About(model, shown.module, places.of(line), call, outer is not None)

    def _line_on_host(self, holder: Any) -> origin.Line | None:
        """Return the line that made an input on the host; None for every other input."""
        try:
            return self._made_on_host.get(holder)
        except TypeError:  # nothing, or a value of the host
            return None

    def _name_holder(self, holder: Any) -> str:
        try:
            found = self._names.get(holder)
        except TypeError:  # a value of the host, which nobody passed by name
            return ""
        if found is not None:
            return found
        if self._captures.is_result(holder):
            return "an HPU graph's result"
        for module in list(self._followed):
            for name, value in [*module.named_parameters(), *module.named_buffers()]:
                if bridge.holder_of(value) is holder:
                    return name
        return ""
