"""What PyTorch tells of `torch.compile`."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable

from gaudi_lab import bridge, origin
from gaudi_lab.measure.causes import explaining, places
from gaudi_lab.measure.causes.cause import Cause, Place
from gaudi_lab.measure.causes.graph_uses import GraphUses
from gaudi_lab.measure.causes.guards import listening
from gaudi_lab.measure.causes.guards.tracing import SourceLine, Tracing
from gaudi_lab.measure.causes.history import Compile
from gaudi_lab.measure.causes.watched.telling import Telling
from gaudi_lab.on_import import when_loaded


class TracedFunctions:
    """Writes down what Dynamo traces, and for which calls."""

    def __init__(self, telling: Telling, uses: GraphUses) -> None:
        self._telling, self._uses = telling, uses
        self._wait_no_more: Callable[[], None] | None = None
        self._end: Callable[[], None] | None = None
        self._graphs_before = 0

    def watch(self) -> None:
        """Watch Dynamo, from when it is there: the first `torch.compile` may come after a model was attached."""
        if self._end is not None:
            listening.restore()
        elif self._wait_no_more is None:
            self._wait_no_more = when_loaded("torch._dynamo", self._listen)

    def _listen(self) -> None:
        self._end = listening.watch(self._started, self._before, self._after)

    def end(self) -> None:
        """Watch it no more."""
        if self._wait_no_more is not None:
            self._wait_no_more()
            self._wait_no_more = None
        if self._end is not None:
            self._end()
            self._end = None

    def _before(self, tracing: Tracing) -> None:
        if self._telling.stops:
            self._telling.ask("Dynamo", self._cause(tracing))

    def _started(self, tracing: Tracing) -> None:
        self._before(tracing)
        self._graphs_before = bridge.graphs_named()
        if self._telling.observers and tracing.function:
            self._telling.began("Dynamo", self._cause(tracing))

    def _after(self, tracing: Tracing) -> None:
        if not tracing.limit:  # then none had begun
            self._telling.ended("Dynamo")
        if not tracing.function:
            return
        traced = tracing.seconds - tracing.backend
        compiled = Compile("Dynamo", self._cause(tracing), tracing.seconds, tracing=max(traced, 0.0))
        compiled = self._telling.history.add(compiled)
        if tracing.entry is not None and not tracing.failed:
            self._note_use(compiled, tracing)

    def _note_use(self, compiled: Compile, tracing: Tracing) -> None:
        entry = tracing.entry
        assert entry is not None
        graphs = bridge.compiled_since(self._graphs_before)
        name = graphs[0] if len(graphs) == 1 else f"{tracing.function} {entry.compile_id}"

        def hits() -> int | None:
            found = [bridge.hits_of(graph) for graph in graphs]
            return min([x for x in found if x is not None], default=None)

        self._uses.note(name, compiled, hits, entry)

    def _cause(self, tracing: Tracing) -> Cause:
        running = self._telling.running[-1] if self._telling.running else None
        return explaining.tracing(tracing, self._telling.here(_found(tracing.source)), running)


def _found(source: SourceLine | None) -> Place | None:
    """Return the line that PyTorch names by the end of its file; None if that is a library's, or not to be found."""
    if source is None:
        return None
    known = {frame.f_code.co_filename for frame in origin.frames(inspect.currentframe())} | {*linecache.cache}
    file = next((file for file in known if file.endswith(source.file)), None)
    if file is None or origin.is_library(file):
        return None
    return places.at(file, source.line)
