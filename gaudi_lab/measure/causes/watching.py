"""Follows models and the compilers, and writes down what was compiled, for which call, and why.

One for the process, because what is compiled is the process's. It costs nothing while no model is followed. What is
followed is remembered from then on; of what was compiled before, the compilers themselves know it, and its calls and
lines nobody does.
"""

from __future__ import annotations

import inspect
import linecache
import sys
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import nn

from gaudi_lab import bridge, origin
from gaudi_lab.instruments import call_shapes, calls, graphs
from gaudi_lab.instruments.guard.call_arguments import is_constant
from gaudi_lab.instruments.guard.object_state import State
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.measure.causes import explaining, guards, places, signature
from gaudi_lab.measure.causes.cause import Cause, Difference, Place
from gaudi_lab.measure.causes.explaining import Made
from gaudi_lab.measure.causes.fallbacks import Fallbacks
from gaudi_lab.measure.causes.history import Compile, History
from gaudi_lab.measure.causes.signature import Signature
from gaudi_lab.report import GraphRefusal
from gaudi_lab.shapes import Shape, Shapes

MOST_CALLS = 256
"""So many different calls of a model are remembered, the latest."""

MOST_RECORDED = 64
"""So many calls that are over are kept, for the program that they were recorded in may compile later."""

Stop = Callable[[str, Cause], None]
"""Told of a layer and a cause before it compiles; raises to stop that."""


class Observer(Protocol):
    """Told as things compile. Nothing that it does stops a compile; one that raises is told no more."""

    def began(self, layer: str, cause: Cause) -> None:
        """Be told of a layer and a cause before it compiles; compiles may lie within another."""

    def ended(self, layer: str) -> None:
        """Be told that the latest compile of a layer is over, well or not; if none runs, nothing is."""


class Followed:
    """What is remembered of one model: its name, the calls that were different, and those that were captured."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.signatures: dict[Signature, None] = {}
        self.captured: list[Signature] = []

    def remember(self, now: Signature) -> tuple[Difference, ...] | None:
        """Take note of a call; return in what it differs from the closest one before. None for the first."""
        if now in self.signatures:
            return ()
        differences = signature.closest(self.signatures, now)
        self.signatures[now] = None
        if len(self.signatures) > MOST_CALLS:
            del self.signatures[next(iter(self.signatures))]
        return differences


class Call:
    """One call of a followed model, while it runs.

    Attributes
    ----------
    name
        The model's name.
    signature
        What it was called with.
    differences
        In what it differs from the closest earlier call: empty for one that is known, None for the first.
    line
        The line that made it.
    """

    def __init__(self, watching: Watching, followed: Followed, module: nn.Module, now: Signature) -> None:
        self._watching = watching
        self.followed = followed
        self.name = followed.name
        self._module = weakref.ref(module)
        self.signature = now
        self.differences = followed.remember(now)
        self.line = origin.caller()
        self._began = bridge.recording()
        self._ended: tuple[int, int] | None = None

    @property
    def module(self) -> nn.Module | None:
        """The model; None once it is gone."""
        return self._module()

    @property
    def positional(self) -> tuple[str, ...]:
        """The names of the arguments that the model's forward takes by position."""
        module = self.module
        return call_shapes.read_positional(module.forward) if module is not None else ()

    @property
    def shapes(self) -> Shapes:
        """The sizes of all tensors, by argument."""
        return tuple(
            [Shape(name, x.size) for name, x in self.signature.values if isinstance(x, signature.TensorFacts)]
        )

    def is_in(self, recording: int) -> bool:
        """Return whether something of this call was recorded in a recording, given its number."""
        first, steps_before = self._began
        last, steps = bridge.recording() if self._ended is None else self._ended
        if recording == last:
            return steps > (steps_before if first == last else 0)
        return first <= recording < last

    def __enter__(self) -> None:
        self._watching.running.append(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watching.running.remove(self)
        self._ended = bridge.recording()
        self._watching.finished(self)


class Watching:
    """The watch over one process.

    Attributes
    ----------
    history
        What was compiled.
    running
        The calls of followed models that are under way, the innermost last.
    stops
        Asked before anything is compiled.
    observers
        Told when that begins and ends.
    fallbacks
        What ran on the host.
    """

    def __init__(self) -> None:
        self.history = History()
        self.running: list[Call] = []
        self.stops: list[Stop] = []
        self.observers: list[Observer] = []
        self.fallbacks = Fallbacks()
        self._followed: WeakKeyDictionary[nn.Module, Followed] = WeakKeyDictionary()
        self._names: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._finished: deque[Call] = deque(maxlen=MOST_RECORDED)
        self._made: dict[str, Made] = {}
        # Which model was captured for a call: one that is made anew in a loop is captured anew.
        self._captured_as: dict[tuple[type, Signature], weakref.ref[nn.Module]] = {}
        self._waiting: dict[str, Cause] = {}
        self._capturing: Cause | None = None
        self._captured_meanwhile = 0.0
        self._holders = 0
        self._undo: list[Callable[[], None]] = []
        self._dynamo: Callable[[], None] | None = None

    def follow(self, name: str, module: nn.Module, note: Callable[[Call], None] | None = None) -> Handle:
        """Follow a model's calls.

        Parameters
        ----------
        name
            What to call it; empty where there is only one.
        module
            The model. It is not kept alive, and computes as before.
        note
            Told of each call before it is made.

        Returns
        -------
        Handle
            Removing it ends this following; what was compiled stays in the history.
        """
        followed = self._followed.setdefault(module, Followed(name))
        followed.name = name or followed.name
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

    def finished(self, call: Call) -> None:
        """Keep a call that is over, for as long as what it recorded may still compile."""
        if self._capturing is not None:  # it was captured, and that did not end well
            self._capturing = None
            self._ended("HPU graph")
        if bridge.is_lazy():
            self._finished.append(call)

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
        self._undo = [
            bridge.watch_programs(self._before_program, self._after_program, lambda: self._ended("recipe")),
            bridge.watch_fallbacks(self.fallbacks.note),
        ]
        graphs.watchers.append(self)
        self._undo.append(lambda: graphs.watchers.remove(self))

        self._watch_dynamo()

    def _watch_dynamo(self) -> None:
        # It may come later than the model was attached: with the first torch.compile.
        if guards.MODULE in sys.modules:
            self._dynamo = guards.watch(self._started_tracing, self._before_tracing, self._after_tracing)

    def _end(self) -> None:
        while self._undo:
            self._undo.pop()()
        if self._dynamo is not None:
            self._dynamo()
            self._dynamo = None

    def _call(
        self,
        followed: Followed,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        note: Callable[[Call], None] | None,
    ) -> Call | _Nothing:
        if self._dynamo is None:
            self._watch_dynamo()
        else:
            guards.restore()
        if torch.compiler.is_compiling():
            return _NOTHING
        if self.running and self.running[-1].module is module:
            # Followed for somebody else too: it is the same call.
            if note is not None:
                note(self.running[-1])
            return _NOTHING
        call = Call(self, followed, module, signature.read(module, args, kwargs))
        if bridge.is_lazy():
            self._name_tensors(call_shapes.read_values(module.forward, args, kwargs))
        if note is not None:
            note(call)
        return call

    def _began(self, layer: str, cause: Cause) -> None:
        self._tell(lambda observer: observer.began(layer, cause))

    def _ended(self, layer: str) -> None:
        self._tell(lambda observer: observer.ended(layer))

    def _tell(self, tell: Callable[[Observer], None]) -> None:
        for observer in list(self.observers):
            try:
                tell(observer)
            except Exception as error:  # noqa: PERF203 - there is one, and each by itself must not stop a compile
                self.observers.remove(observer)
                warnings.warn(f"Gaudi Lab no longer shows what compiles: {error!r}", stacklevel=2)

    def _name_tensors(self, values: Iterable[tuple[str, Any]]) -> None:
        """Remember what tensors are called, those inside of objects too: the layers of a cache."""
        for name, value in values:
            if isinstance(value, torch.Tensor):
                if (holder := bridge.holder_of(value)) is not None:
                    self._names[holder] = name
            elif not is_constant(value):
                self._name_tensors(State({name: value}).tensors.items())

    # What the emulated bridge tells of recorded programs.

    def _before_program(self, departure: Any) -> None:
        if self._capturing is not None:
            # What a graph is captured for says why what is in it is compiled.
            self._wait_for(departure.name, self._capturing)
            return
        if graphs.replaying():
            self._wait_for(departure.name, explaining.first_replay(self._about(departure, self.running)))
            return
        known = (*self._finished, *self.running)
        behind = tuple([call for call in known if call.is_in(departure.recording)])
        made = Made.by(behind)
        cause = explaining.program(
            departure,
            self._name_holder,
            self._about(departure, behind),
            made,
            self._made.get(departure.earlier),
        )
        for stop in list(self.stops):
            stop("recipe", cause)
        self._wait_for(departure.name, cause)
        self._made[departure.name] = made
        if len(self._made) > MOST_CALLS:
            del self._made[next(iter(self._made))]

    def _wait_for(self, program: str, cause: Cause) -> None:
        self._waiting[program] = cause
        self._began("recipe", cause)

    def _after_program(self, name: str, seconds: float, loaded: bool) -> None:
        cause = self._waiting.pop(name, None)
        if cause is not None:
            self.history.add(Compile("recipe", cause, seconds, loaded=loaded))
            self._captured_meanwhile += seconds
            self._ended("recipe")

    def _about(self, departure: Any, made: Sequence[Call]) -> explaining.About:
        shown = next((x.origin for x in departure.changes if x.origin is not None), departure.origin)
        call = _place(made[-1].line if made else origin.caller())
        model = made[-1].name if made else ""
        if shown is None:
            return explaining.About(model, call=call)
        outer = shown.outer() if shown.outer is not None else None
        if not made and outer is not None:
            model = type(outer).__name__
        return explaining.About(model, shown.module, _place(shown.line), call, outer is not None)

    def _name_holder(self, holder: Any) -> str:
        try:
            found = self._names.get(holder)
        except TypeError:  # a value of the host, which nobody passed by name
            return ""
        if found is not None:
            return found
        for module in list(self._followed):
            for name, value in [*module.named_parameters(), *module.named_buffers()]:
                if bridge.holder_of(value) is holder:
                    return name
        return ""

    # What PyTorch tells of torch.compile.

    def _before_tracing(self, tracing: guards.Tracing) -> None:
        for stop in list(self.stops):
            stop("Dynamo", self._cause_of_tracing(tracing))

    def _started_tracing(self, tracing: guards.Tracing) -> None:
        self._before_tracing(tracing)
        if self.observers and tracing.function:
            self._began("Dynamo", self._cause_of_tracing(tracing))

    def _after_tracing(self, tracing: guards.Tracing) -> None:
        if not tracing.limit:  # then none had begun
            self._ended("Dynamo")
        if tracing.function:
            cause = self._cause_of_tracing(tracing)
            traced = tracing.seconds - tracing.backend
            self.history.add(Compile("Dynamo", cause, tracing.seconds, tracing=max(traced, 0.0)))

    def _cause_of_tracing(self, tracing: guards.Tracing) -> Cause:
        running = self.running[-1] if self.running else None
        return explaining.tracing(tracing, self._here(_found(tracing.source)), running)

    def _here(self, source: Place | None = None) -> explaining.About:
        if self.running:
            call = self.running[-1]
            return explaining.About(call.name, source=source, call=_place(call.line))
        here = origin.trace(inspect.currentframe())
        return explaining.About(source=source, call=_place(here.call))

    # What the instrument tells of HPU graphs.

    def before_capture(self) -> None:
        """Be told that a followed model's call is about to be captured."""
        cause = self._cause_of_capture()
        for stop in list(self.stops):
            stop("HPU graph", cause)
        self._capturing, self._captured_meanwhile = cause, 0.0
        self._began("HPU graph", cause)

    def captured(self, seconds: float) -> None:
        """Be told that it was, and what that took."""
        capturing, self._capturing = self._capturing, None
        self._ended("HPU graph")
        if self.running:
            call = self.running[-1]
            cause = capturing or self._cause_of_capture()
            if (module := call.module) is not None:
                self._captured_as[type(module), call.signature] = weakref.ref(module)
                if len(self._captured_as) > MOST_CALLS:
                    del self._captured_as[next(iter(self._captured_as))]
            call.followed.captured.append(call.signature)
            del call.followed.captured[:-MOST_CALLS]
            self.history.add(Compile("HPU graph", cause, max(seconds - self._captured_meanwhile, 0.0)))

    def refused(self, reason: GraphRefusal) -> None:
        """Be told why some calls of a model run without a graph."""
        self.history.add(Compile("no HPU graph", explaining.refusal(reason, self._here())))

    def _cause_of_capture(self) -> Cause:
        differences = None
        if self.running:
            call = self.running[-1]
            differences = signature.closest(call.followed.captured, call.signature)
            if differences is None and (gone := self._captured_by_one_that_is_gone(call)):
                differences = (Difference("model", "object", now=f"is another {gone} object"),)
        return explaining.capture(differences, self._here())

    def _captured_by_one_that_is_gone(self, call: Call) -> str:
        """Return the class of a model, if one before it was captured for the same call and is gone; else nothing."""
        module = call.module
        before = self._captured_as.get((type(module), call.signature))
        return type(module).__name__ if before is not None and before() is None else ""


class _Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: Any) -> None:
        pass


_NOTHING = _Nothing()


def _place(line: origin.Line | None) -> Place | None:
    return places.at(line.file, line.number) if line is not None else None


def _found(source: guards.SourceLine | None) -> Place | None:
    """Return the line that PyTorch names by the end of its file; None if that is a library's, or not to be found."""
    if source is None:
        return None
    known = {frame.f_code.co_filename for frame in origin.frames(inspect.currentframe())} | {*linecache.cache}
    file = next((file for file in known if file.endswith(source.file)), None)
    if file is None or origin.is_library(file):
        return None
    return places.at(file, source.line)


watching = Watching()
