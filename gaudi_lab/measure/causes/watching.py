"""Follows models and the compilers, and writes down what was compiled, for which call, and why.

One for the process, because what is compiled is the process's. It costs nothing while no model is followed. What is
followed is remembered from then on; of what was compiled before, the compilers themselves know it, and its calls and
lines nobody does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.instruments import call_shapes, calls, graphs
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.measure.causes import explaining, signature
from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.causes.fallbacks import Fallbacks
from gaudi_lab.measure.causes.graph_uses import GraphUses
from gaudi_lab.measure.causes.passing import Passing
from gaudi_lab.measure.causes.watched.captured_graphs import CapturedGraphs
from gaudi_lab.measure.causes.watched.following import Call, Followed
from gaudi_lab.measure.causes.watched.recorded_programs import RecordedPrograms
from gaudi_lab.measure.causes.watched.telling import Telling
from gaudi_lab.measure.causes.watched.traced_functions import TracedFunctions


class Watching(Telling):
    """The watch over one process.

    Attributes
    ----------
    history, running, stops, observers
        As for every `Telling`.
    fallbacks
        What ran on the host.
    uses
        How often each graph was found again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fallbacks = Fallbacks()
        self.uses = GraphUses()
        self._followed: WeakKeyDictionary[nn.Module, Followed] = WeakKeyDictionary()
        self._captures = CapturedGraphs(self, self.uses)
        self._programs = RecordedPrograms(self, self.uses, self._captures, self._followed)
        self._traced = TracedFunctions(self, self.uses)
        self._holders = 0
        self._undo: list[Callable[[], None]] = []

    def follow(
        self,
        name: str,
        module: nn.Module,
        note: Callable[[Call], None] | None = None,
        *,
        rename: bool = False,
    ) -> Handle:
        """Follow a model's calls.

        Parameters
        ----------
        name
            What to call it, if it has no name yet; empty where there is only one.
        module
            The model. It is not kept alive, and computes as before.
        note
            Told of each call before it is made.
        rename
            Call it so even if it has another name.

        Returns
        -------
        Handle
            Removing it ends this following; what was compiled stays in the history.
        """
        followed = self._followed.setdefault(module, Followed(name))
        if rename or not followed.name:
            followed.name = name
        held = self.hold()

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return self._call(followed, module, args, kwargs, note)

        watch = calls.watch(module, before)

        def undo() -> None:
            watch.remove()
            held.remove()

        return Handle(undo)

    def hold(self) -> Handle:
        """Watch the compilers, whether a model is followed or not, until the handle is removed."""
        if self._holders == 0:
            self._start()
        self._holders += 1

        def undo() -> None:
            self._holders -= 1
            if self._holders == 0:
                self._end()

        return Handle(undo)

    def watch_dynamo(self) -> None:
        """Watch Dynamo too from now on, if the compilers are watched.

        In lazy mode nobody does, unless somebody asks: there is no `torch.compile` for the device there.
        """
        if not self._undo:
            return
        if self._traced.end not in self._undo:
            self._undo.append(self._traced.end)
        self._traced.watch()

    @contextmanager
    def tried_by(self, what: str) -> Iterator[None]:
        """Let what is compiled meanwhile be one cause: the workbench tries something, and no call of the user's did it.

        Parameters
        ----------
        what
            Which function of `gaudi_lab` tries.
        """
        before = self.history.tried_by
        self.history.tried_by = before or what
        try:
            yield
        finally:
            self.history.tried_by = before

    def memory_of(self, module: nn.Module) -> Followed | None:
        """Return what is remembered of a model; None if it was never followed."""
        return self._followed.get(module)

    def likely(self, made: Iterable[object]) -> tuple[Cause, ...]:
        """Return what may have made something compile, where only calls are known: what is new in them."""
        causes = [
            explaining.call(x.differences, explaining.About(x.name))
            for x in made
            if isinstance(x, Call) and x.differences
        ]
        return tuple({cause.alike: cause for cause in causes}.values())

    def _start(self) -> None:
        programs = self._programs
        graphs.watchers.append(self._captures)
        self._undo = [
            bridge.watch_programs(programs.before, programs.after, programs.failed),
            bridge.watch_fallbacks(self._ran_on_host),
            lambda: graphs.watchers.remove(self._captures),
        ]
        if not bridge.is_lazy():
            self.watch_dynamo()

    def _end(self) -> None:
        while self._undo:
            self._undo.pop()()

    def _call(
        self,
        followed: Followed,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        note: Callable[[Call], None] | None,
    ) -> Call | _Nothing:
        lazy = bridge.is_lazy()
        if not lazy:
            self.watch_dynamo()
        if torch.compiler.is_compiling():
            return _NOTHING
        if self.running and self.running[-1].module is module:
            # Followed for somebody else too: it is the same call.
            if note is not None:
                note(self.running[-1])
            return _NOTHING
        self.uses.calls += not self.running
        values = call_shapes.read_values(module.forward, args, kwargs, most=signature.MOST_VALUES)
        now, passed = signature.read(module, values), Passing(len(args), tuple(kwargs))
        call = Call(followed, module, now, passed, self.running, self._finished)
        if lazy:
            self._programs.name_tensors(values)
        if note is not None:
            note(call)
        return call

    def _ran_on_host(self, operator: str, result: Any) -> None:
        line = self.fallbacks.note(operator, tried=bool(self.history.tried_by))
        if bridge.is_lazy():
            self._programs.ran_on_host(operator, result, line)

    def _finished(self, call: Call) -> None:
        self._captures.call_is_over()
        self._programs.call_is_over(call)


class _Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: Any) -> None:
        pass


_NOTHING = _Nothing()

watching = Watching()
