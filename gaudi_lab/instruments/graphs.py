"""Put a model's forward under HPU graphs and take it out again; refuse the calls of which a replay would lie.

The bridge's `wrap_in_hpu_graph` has no unwrap, does not say which graphs it holds, and frees them only all together.
So the user's module is never wrapped: each graph has a carrier, a module of its own with the same forward, and an
observer around the user's forward chooses the carrier by the bridge's own key rule.

A call is watched while its graph is captured. What the graph could not hold makes it a refused one: from then on such
calls run as without graphs. Calls with an object among their arguments, such as a cache, run plain and watched before
anything is captured, because what happens to the object cannot be taken back.
"""

from __future__ import annotations

import functools
import os
import time
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from gaudi_lab import bridge, origin
from gaudi_lab.bridge_errors import plain_errors
from gaudi_lab.errors import LabError
from gaudi_lab.instruments import call_shapes, nested
from gaudi_lab.instruments.guard import call_arguments, graph_check, graph_refusals
from gaudi_lab.instruments.guard.call_arguments import Copies
from gaudi_lab.instruments.guard.object_state import State, structure
from gaudi_lab.instruments.guard.open_captures import close_capture
from gaudi_lab.instruments.guard.premises import Premises
from gaudi_lab.instruments.guard.watched_call import Verdict, WatchedCall
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.report import GraphRefusal
from gaudi_lab.shapes import Shapes

_SET_HERE = ("forward", "clear_cache", "clear_inputs")

# Arguments that the bridge takes away from the forward and reads itself.
_OF_THE_BRIDGE = frozenset({"bypass_hpu_graphs", "warmup_mode", "cache_tensors_list"})
# What a call fills at its first use is filled at its second, or it is no first use.
_TRIALS = 2
# A graph keeps the cache alive that it was captured with, and `generate` makes a new cache each time.
_GRAPHS_OF_LIKE_OBJECTS = 2
_TRIED_AT_MOST = 4096


@dataclass
class GraphRecord:
    """One captured graph.

    Attributes
    ----------
    shapes
        The inputs it was captured for.
    replays
        How often it has run since, without Python.
    size
        Bytes of device memory that capturing it took; None where that is not known.
    """

    shapes: Shapes
    replays: int = 0
    size: int | None = None


_replays = 0


def replaying() -> bool:
    """Return True while a graph is replayed: inputs are copied into it then, and nothing else is recorded."""
    return _replays > 0


class _replay:  # noqa: N801 - reads as a statement
    __slots__ = ()

    def __enter__(self) -> None:
        global _replays
        _replays += 1

    def __exit__(self, *_: object) -> None:
        global _replays
        _replays -= 1


class CaptureWatcher(Protocol):
    """Who is told of captures."""

    def before_capture(self) -> None:
        """Be told that a graph is about to be captured. Whoever raises stops it."""

    def captured(self, seconds: float, graph: GraphRecord, result: Any) -> None:
        """Be told that it was, what its call took, and what it returns. Whoever keeps the record keeps no graph."""

    def refused(self, reason: GraphRefusal) -> None:
        """Be told why some calls run without a graph."""


watchers: list[CaptureWatcher] = []


class GraphHandle(Handle):
    """HPU graphs of one module."""

    def __init__(self, undo: Callable[[], None], guard: _GuardedForward) -> None:
        super().__init__(undo)
        self._guard = guard

    @property
    def graphs(self) -> tuple[GraphRecord, ...]:
        """The captured graphs, oldest first."""
        return tuple(graph.record for graph in self._guard.graphs.values())

    @property
    def refusals(self) -> tuple[GraphRefusal, ...]:
        """Why some calls run without a graph; each reason once, in the order in which they were met."""
        return tuple(self._guard.refusals.values())

    def free(self) -> None:
        """Let go of the captured graphs and their memory; the next calls capture anew."""
        self._guard.free()


def hpu_graphs(
    module: nn.Module, *, copies: bool = False, verify: bool = False, **options: Any
) -> GraphHandle:
    """Capture `module.forward` once per input shape and replay it.

    As the bridge does it, a replay writes into the same output tensors each time: clone what you keep, or
    ask for copies.

    A call that a graph cannot hold runs as without graphs, and a warning says once why: if it replaces tensors of a
    cache, sets attributes, reads values or draws random numbers on the host, writes into its arguments. Random numbers
    of the device are no reason, the bridge draws anew in each replay; nor are buffers that are written in place.

    Training and evaluation mode have graphs of their own, told apart by the flag of `module` itself: a part that was
    set by itself since, as by `model.dropout.eval()`, is not seen, which would take a look at every part in each call.

    Parameters
    ----------
    module
        An inference module on `hpu`; edited in place.
    copies
        Return copies of the outputs, for a caller that keeps them from one call to the next.
    verify
        Compare the first replays of each graph with a plain call, and refuse the graph if they differ.
    **options
        Passed to the bridge's `wrap_in_hpu_graph` for each graph, such as `disable_tensor_cache`. `max_graphs` counts
        all graphs of `module`.

    Returns
    -------
    GraphHandle
        Removing it frees the graphs and puts the attributes of `module` back as they were.

    Raises
    ------
    LabError
        In eager mode, or for an option this bridge does not know.
    """
    before = {name: module.__dict__[name] for name in _SET_HERE if name in module.__dict__}
    guard = _GuardedForward(module, copies=copies, verify=verify, options=options)
    _Carrier(guard.original, options)  # says what cannot be before anything is changed
    observed = guard.observer()
    vars(module).update(forward=observed, clear_cache=guard.free, clear_inputs=guard.clear_inputs)

    def undo() -> None:
        guard.bypass = True
        guard.free()
        # If someone wrapped our forward in the meantime, cutting it out would cut theirs out too. It then
        # stays, and only passes calls on to the original.
        if module.__dict__.get("forward") is observed:
            for name in _SET_HERE:
                vars(module).pop(name, None)
            vars(module).update(before)

    return GraphHandle(undo, guard)


class _Carrier:
    """One graph of the bridge: a module with somebody else's forward, wrapped."""

    def __init__(self, forward: Callable[..., Any], options: dict[str, Any]) -> None:
        module = nn.Module()
        vars(module)["forward"] = forward
        bridge.wrap_in_hpu_graph(module, **options)
        self.call: Callable[..., Any] = module.forward
        self.release: Callable[[], Any] = getattr(module, "clear_cache", lambda: None)
        self.clear_inputs: Callable[[], Any] = getattr(module, "clear_inputs", lambda: None)


@dataclass
class _Graph:
    """A captured graph, and what must still hold when it is replayed.

    `premises` is None where nothing must. `family` is what two graphs have in common that differ in which objects they
    were captured with, `written` the tensors that a replay writes besides its results.
    """

    record: GraphRecord
    carrier: _Carrier
    premises: Premises | None
    family: Any
    written: list[torch.Tensor]
    checks: int = 0


@dataclass
class _Tried:
    """What is known of the calls with one key that has no graph: how often one was seen that cannot be captured.

    The key knows objects by their identity, which another object can get later: `objects` tells.
    """

    objects: list[Callable[[], Any]]
    failures: int = 0
    clean: bool = False
    refused: bool = False

    @property
    def valid(self) -> bool:
        return all(ref() is not None for ref in self.objects)


class _GuardedForward:
    """A forward that runs as a graph where that gives what it would give itself, and plain elsewhere."""

    def __init__(self, module: nn.Module, *, copies: bool, verify: bool, options: dict[str, Any]) -> None:
        self.graphs: dict[Hashable, _Graph] = {}
        self.refusals: dict[tuple[str, str], GraphRefusal] = {}
        self.bypass = False
        self.original = module.forward
        self._module = module
        self._copies = copies
        self._checks = graph_check.CHECKS if verify else 0
        self._options = options
        self._limit = options.get("max_graphs")
        self._tried: dict[Hashable, _Tried] = {}
        self._refused_structures: dict[Any, None] = {}

    def observer(self) -> Callable[..., Any]:
        """Return what stands in place of the forward."""

        @functools.wraps(self.original)
        def forward(*args: Any, **kwargs: Any) -> Any:
            if self.bypass:
                return self.original(*args, **kwargs)
            given = kwargs
            if not _OF_THE_BRIDGE.isdisjoint(kwargs):
                given = {name: x for name, x in kwargs.items() if name not in _OF_THE_BRIDGE}
                if kwargs.get("bypass_hpu_graphs"):
                    return self.original(*args, **given)
            key = self._module.training, call_shapes.graph_key(args, given)
            graph = self.graphs.get(key)
            if graph is None:
                return self._without_graph(key, args, given, kwargs)
            if graph.premises is not None:
                broken = graph.premises.broken(lambda: call_shapes.named(self.original, args, given))
                if broken is not None:
                    self._refuse(key, Verdict(broken), args, given)
                    return self.original(*args, **given)
            if graph.checks:
                return self._check(key, graph, args, kwargs, given)
            with plain_errors(), _replay():
                result = graph.carrier.call(*args, **kwargs)
            graph.record.replays += 1
            return graph_check.copies_of(result) if self._copies else result

        return forward

    def free(self) -> None:
        """Let go of every graph. What was refused is tried again."""
        for key in list(self.graphs):
            self._drop(key)
        self._tried.clear()
        self._refused_structures.clear()

    def clear_inputs(self) -> None:
        """Have the bridge let go of inputs that were updated in place and are held as outputs."""
        for graph in self.graphs.values():
            graph.carrier.clear_inputs()

    def _without_graph(
        self, key: Hashable, args: tuple[Any, ...], given: dict[str, Any], kwargs: dict[str, Any]
    ) -> Any:
        """Run a call that has no graph: plain, plain and watched, or captured."""
        tried = self._tried.get(key)
        if tried is not None and not tried.valid:
            del self._tried[key]
            tried = None
        if (tried is not None and tried.refused) or (
            self._limit is not None and len(self.graphs) >= self._limit
        ):
            return self.original(*args, **given)
        call = call_shapes.named(self.original, args, given)
        objects = call_arguments.objects(call)
        if objects and any(structure(x) in self._refused_structures for x in objects.values()):
            return self.original(*args, **given)
        for name, x in objects.items():
            if not _hashable(x):
                refusal = graph_refusals.refuse(graph_refusals.UNHASHABLE, name, detail=type(x).__name__)
                self._refuse(key, Verdict(refusal), args, given)
                return self.original(*args, **given)
        needs_trial = bool(objects) or not self._computes_at_capture or _twice(call_arguments.tensors(call))
        if needs_trial and not (tried is not None and tried.clean):
            watch = WatchedCall(self._module, call)
            result = watch.run(self.original, args, given)
            self._judge(key, watch, args, given)
            return result
        return self._capture(key, args, given, kwargs)

    def _capture(
        self, key: Hashable, args: tuple[Any, ...], given: dict[str, Any], kwargs: dict[str, Any]
    ) -> Any:
        for watcher in watchers:
            watcher.before_capture()
        shapes = call_shapes.read_shapes(self.original, args, given)
        memory = bridge.memory()
        inside_another = bridge.capturing()
        if not inside_another:
            # What made the arguments is a program of its own, as before each replay: with the copies it were another,
            # and the next call would compile once more.
            bridge.mark_step()
        # The tensors of the first call become the graph's inputs, which later calls write into.
        copies = Copies(args, given)
        call = call_shapes.named(self.original, copies.args, copies.kwargs)
        watch = WatchedCall(self._module, call)
        watching: list[WatchedCall] = [watch]

        def run(*args: Any, **kwargs: Any) -> Any:
            # A second time only if the bridge tells two calls apart that have one key here; it captures both.
            return (
                watching.pop().run(self.original, args, kwargs)
                if watching
                else self.original(*args, **kwargs)
            )

        carrier = _Carrier(run, self._options)
        for_the_bridge = {name: x for name, x in kwargs.items() if name in _OF_THE_BRIDGE}
        started = time.perf_counter()
        try:
            with plain_errors():
                result = carrier.call(*copies.args, **copies.kwargs, **for_the_bridge)
        except BaseException as error:
            if not inside_another:
                close_capture(error)
            raise
        if not self._judge(key, watch, args, given):
            if not self._computes_at_capture:
                raise LabError(
                    f"The call before this one could be captured and this one cannot: {watch.verdict()}. Without a "
                    "tensor cache nothing was computed, so what it left on the model is not valid."
                )
            _hand_over(self._module, copies)
            carrier.release()
            return _with_originals(result, copies)
        seconds = time.perf_counter() - started
        now = bridge.memory()
        size = None if memory is None or now is None else max(now.in_use - memory.in_use, 0)
        record = GraphRecord(shapes, size=size)
        for watcher in watchers:
            watcher.captured(seconds, record, result)
        premises = Premises(call)
        family = tuple(map(structure, call_arguments.objects(call).values()))
        self.graphs[key] = _Graph(
            record,
            carrier,
            premises if premises.any else None,
            (family, shapes),
            watch.written,
            self._checks,
        )
        self._tried.pop(key, None)
        if family:
            self._keep_few(self.graphs[key].family)
        return graph_check.copies_of(result) if self._copies else result

    def _check(
        self,
        key: Hashable,
        graph: _Graph,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        given: dict[str, Any],
    ) -> Any:
        """Replay, take that back, and run plain: the plain results count."""
        with plain_errors():
            result, refusal = graph_check.compare(
                lambda: _replayed(graph.carrier.call, args, kwargs),
                lambda: self.original(*args, **given),
                graph.written,
            )
        graph.checks -= 1
        graph.record.replays += 1
        if refusal is not None:
            self._refuse(key, Verdict(refusal), args, given)
        return result

    def _judge(self, key: Hashable, watch: WatchedCall, args: tuple[Any, ...], given: dict[str, Any]) -> bool:
        """Note what a watched call has shown, and return whether it can be captured."""
        verdict = watch.verdict()
        tried = self._tried_of(key, args, given)
        if verdict is None:
            tried.clean = True
            return True
        tried.failures += 1
        tried.clean = False
        if not verdict.first_use or tried.failures >= _TRIALS:
            self._refuse(key, verdict, args, given)
        return False

    def _refuse(self, key: Hashable, verdict: Verdict, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        self._drop(key)
        self._tried_of(key, args, given).refused = True
        if verdict.structure is not None:
            self._refused_structures[verdict.structure] = None
        reason = verdict.refusal
        # One reason has many places: each layer of a cache, each element of a list.
        known_as = reason.code, reason.name.partition(".")[0]
        if known_as not in self.refusals:
            self.refusals[known_as] = reason
            for watcher in watchers:
                watcher.refused(reason)
            origin.warn(f"Gaudi Lab: a call of {type(self._module).__name__} {reason}")

    def _tried_of(self, key: Hashable, args: tuple[Any, ...], given: dict[str, Any]) -> _Tried:
        tried = self._tried.get(key)
        if tried is None or not tried.valid:
            objects = call_arguments.objects(call_shapes.named(self.original, args, given))
            if len(self._tried) >= _TRIED_AT_MOST:
                self._tried.clear()
            for other in [other for other, known in self._tried.items() if not known.valid]:
                del self._tried[other]
            tried = self._tried[key] = _Tried([_reference(x) for x in objects.values()])
        return tried

    def _keep_few(self, family: Any) -> None:
        alike = [key for key, graph in self.graphs.items() if graph.family == family]
        for key in alike[:-_GRAPHS_OF_LIKE_OBJECTS]:
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        graph = self.graphs.pop(key, None)
        if graph is not None:
            graph.carrier.release()

    @property
    def _computes_at_capture(self) -> bool:
        """Whether the results of a capture are there when it ends, and not only after a replay."""
        said = os.environ.get("PT_HPUGRAPH_DISABLE_TENSOR_CACHE", "").lower()
        keeps = said in ("0", "false") or (not said and not self._options.get("disable_tensor_cache"))
        return keeps and not self._options.get("dry_run")


def _replayed(call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _replay():
        return call(*args, **kwargs)


def _hand_over(module: nn.Module, copies: Copies) -> None:
    """Make everything that a captured call has left behind hang on the caller's tensors, and not on their copies."""
    with torch.no_grad():
        copies.give_back()
    for holder, key, value in State({"": module}).places:
        original = copies.original(value)
        if original is not value and not isinstance(holder, tuple):
            holder[key] = original


def _with_originals(result: Any, copies: Copies) -> Any:
    return nested.map_tensors(copies.original, result)


def _twice(tensors: dict[str, torch.Tensor]) -> bool:
    """Whether the caller passes a tensor twice: copies of it would go apart where the call writes into one."""
    return len({id(x) for x in tensors.values()}) < len(tensors)


def _hashable(x: Any) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True


def _reference(x: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(x)
    except TypeError:
        return lambda: x
