"""Put a model's forward under HPU graphs and take it out again, knowing which graphs were captured.

The bridge's `wrap_in_hpu_graph` has no unwrap: it sets `forward`, `clear_cache` and `clear_inputs` on the
instance and keeps the original in a closure. So what was there before is remembered here. Nor does it say
which graphs it holds: an observer around the wrapped forward keeps account by the bridge's own key rule.
"""

from __future__ import annotations

import functools
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from gaudi_lab import bridge
from gaudi_lab.instruments import call_shapes
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.shapes import Shapes

_SET_BY_BRIDGE = ("forward", "clear_cache", "clear_inputs")

CLOSED = (
    "Gaudi Lab: this ended the capture of an HPU graph. The unfinished graph was discarded and the capture is closed: "
    "other cells run as usual, and the next call with these shapes captures anew."
)
STILL_OPEN = (
    "Gaudi Lab: this ended the capture of an HPU graph, and something still holds the unfinished graph, so the capture "
    "is open: no other graph can be captured. Run: import gc; gc.collect(). If that does not help, restart the kernel."
)


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


@contextmanager
def _replay() -> Iterator[None]:
    global _replays
    _replays += 1
    try:
        yield
    finally:
        _replays -= 1


class CaptureWatcher(Protocol):
    """Who is told of captures."""

    def before_capture(self) -> None:
        """Be told that a graph is about to be captured. Whoever raises stops it."""

    def captured(self, seconds: float) -> None:
        """Be told that it was, and what its call took."""


watchers: list[CaptureWatcher] = []


class GraphHandle(Handle):
    """HPU graphs of one module."""

    def __init__(self, undo: Callable[[], None], account: _Account) -> None:
        super().__init__(undo)
        self._account = account

    @property
    def graphs(self) -> tuple[GraphRecord, ...]:
        """The captured graphs, oldest first."""
        return tuple(self._account.graphs.values())

    def free(self) -> None:
        """Let go of the captured graphs and their memory; the next calls capture anew."""
        self._account.free()


def hpu_graphs(module: nn.Module, *, copies: bool = False, **options: Any) -> GraphHandle:
    """Capture `module.forward` once per input shape and replay it.

    As the bridge does it, a replay writes into the same output tensors each time: clone what you keep, or
    ask for copies.

    Parameters
    ----------
    module
        An inference module on `hpu`; edited in place.
    copies
        Return copies of the outputs, for a caller that keeps them from one call to the next.
    **options
        Passed to the bridge's `wrap_in_hpu_graph`, such as `max_graphs` or `disable_tensor_cache`.

    Returns
    -------
    GraphHandle
        Removing it frees the graphs and puts the attributes of `module` back as they were.

    Raises
    ------
    LabError
        In eager mode, or for an option this bridge does not know.
    """
    before = {name: module.__dict__[name] for name in _SET_BY_BRIDGE if name in module.__dict__}
    original = module.forward
    try:
        bridge.wrap_in_hpu_graph(module, **options)
    except BaseException:
        _restore(module, before)
        raise

    account = _Account(module.forward, original, options.get("max_graphs"), copies)
    release = module.__dict__.get("clear_cache")
    observed = account.observer()
    vars(module)["forward"] = observed
    if release is not None:
        account.release = release
        vars(module)["clear_cache"] = account.free

    def undo() -> None:
        account.bypass = True
        account.free()
        # If someone wrapped our forward in the meantime, cutting it out would cut theirs out too. It then
        # stays, and only passes calls on to the original.
        if module.__dict__.get("forward") is observed:
            _restore(module, before)

    return GraphHandle(undo, account)


class _Account:
    """Keeps account of what is captured and replayed through one wrapped forward."""

    def __init__(
        self, wrapped: Callable[..., Any], original: Callable[..., Any], limit: int | None, copies: bool
    ) -> None:
        self.graphs: dict[int, GraphRecord] = {}
        self.bypass = False
        # What the bridge frees its graphs with, where its release has that.
        self.release: Callable[[], Any] | None = None
        self._wrapped = wrapped
        self._original = original
        self._limit = limit
        self._copies = copies

    def observer(self) -> Callable[..., Any]:
        @functools.wraps(self._original)
        def forward(*args: Any, **kwargs: Any) -> Any:
            if self.bypass:
                return self._original(*args, **kwargs)
            if kwargs.get("bypass_hpu_graphs"):
                return self._wrapped(*args, **kwargs)
            # Read before the call: the forward may change the containers it is given.
            key = call_shapes.graph_key(args, kwargs)
            shapes = call_shapes.read_shapes(self._original, args, kwargs)
            memory = None
            if key not in self.graphs:
                for watcher in watchers:
                    watcher.before_capture()
                memory = bridge.memory()
                # The tensors of the first call become the graph's inputs, which later calls write into.
                args, kwargs = tree_map_only(torch.Tensor, torch.clone, (args, kwargs))
            inside_another = bridge.capturing()
            started = time.perf_counter()
            try:
                with bridge.plain_errors(), _replay() if key in self.graphs else nullcontext():
                    result = self._wrapped(*args, **kwargs)
            except BaseException as error:
                if not inside_another:
                    _close_capture(error)
                raise
            self._enter(key, shapes, memory, started)
            return tree_map_only(torch.Tensor, torch.clone, result) if self._copies else result

        return forward

    def free(self) -> None:
        self.graphs.clear()
        if self.release is not None:
            self.release()

    def _enter(self, key: int, shapes: Shapes, memory: bridge.Memory | None, started: float) -> None:
        if key in self.graphs:
            self.graphs[key].replays += 1
        elif self._limit is None or len(self.graphs) < self._limit:
            now = bridge.memory()
            size = None if memory is None or now is None else max(now.in_use - memory.in_use, 0)
            self.graphs[key] = GraphRecord(shapes, size=size)
            for watcher in watchers:
                watcher.captured(time.perf_counter() - started)


def _restore(module: nn.Module, before: dict[str, Any]) -> None:
    for name in _SET_BY_BRIDGE:
        vars(module).pop(name, None)
    vars(module).update(before)


def _close_capture(error: BaseException) -> None:
    """Let go of the graph that `error` left under capture, and note on the error what became of it.

    The bridge has no `finally` there: its capture stays open until the graph object dies, and what keeps that alive is
    the traceback, which a notebook holds on to. Until then every operator goes into the dead graph, and no other graph
    can be captured. So the frames are let go here.

    To be called where the error is handled, only if no capture was open before the call that failed. An error
    outside of a capture, such as one in a replay, is left as it is.
    """
    if not bridge.capturing():
        return
    for link in _chain_of(error):
        traceback.clear_frames(link.__traceback__)
    _note(error, STILL_OPEN if bridge.capturing() else CLOSED)


def _chain_of(error: BaseException) -> list[BaseException]:
    """Return `error` and the errors that it was raised from or while handling: each has frames of its own."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and link not in found:
            found.append(link)
            waiting += [link.__cause__, link.__context__]
    return found


def _note(error: BaseException, line: str) -> None:
    if sys.version_info >= (3, 11):
        error.add_note(line)
    else:
        sys.stderr.write(line + "\n")
