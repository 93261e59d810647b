"""What the instrument tells of HPU graphs: which calls are captured, and which run without a graph."""

from __future__ import annotations

import weakref
from typing import Any

from torch import nn

from gaudi_lab import bridge
from gaudi_lab.instruments import nested
from gaudi_lab.instruments.graphs import GraphRecord
from gaudi_lab.measure.causes import explaining, signature
from gaudi_lab.measure.causes.cause import Cause, Difference
from gaudi_lab.measure.causes.graph_uses import GraphUses
from gaudi_lab.measure.causes.history import Compile
from gaudi_lab.measure.causes.signature import Signature
from gaudi_lab.measure.causes.watched.following import MOST_CALLS, Call
from gaudi_lab.measure.causes.watched.telling import Telling
from gaudi_lab.report import GraphRefusal


class CapturedGraphs:
    """Writes down captures, as a `CaptureWatcher` of the instrument.

    Attributes
    ----------
    capturing
        Why a graph is being captured; None while none is.
    """

    def __init__(self, telling: Telling, uses: GraphUses) -> None:
        self.capturing: Cause | None = None
        self._telling, self._uses = telling, uses
        self._compiled_meanwhile = 0.0
        # Which model was captured for a call: one that is made anew in a loop is captured anew.
        self._captured_as: dict[tuple[type, Signature], weakref.ref[nn.Module]] = {}
        self._results: weakref.WeakSet[Any] = weakref.WeakSet()
        self._count = 0

    def before_capture(self) -> None:
        """Be told that a followed model's call is about to be captured."""
        cause = self._cause()
        self._telling.ask("HPU graph", cause)
        self.capturing, self._compiled_meanwhile = cause, 0.0
        self._telling.began("HPU graph", cause)

    def compiled(self, seconds: float) -> None:
        """Be told what compiling a recorded program took: within a capture that is no part of the capture's time."""
        self._compiled_meanwhile += seconds

    def is_result(self, holder: Any) -> bool:
        """Return whether what holds a tensor is a result of a graph: memory that each replay writes."""
        try:
            return holder in self._results
        except TypeError:  # a value of the host
            return False

    def captured(self, seconds: float, graph: GraphRecord, result: Any) -> None:
        """Be told that it was, and what that took."""
        capturing, self.capturing = self.capturing, None
        self._telling.ended("HPU graph")
        holders = [bridge.holder_of(x) for _, x in nested.find_tensors(result)]
        self._results.update([holder for holder in holders if holder is not None])
        if not self._telling.running:
            return
        call = self._telling.running[-1]
        cause = capturing or self._cause()
        if (module := call.module) is not None:
            self._captured_as[type(module), call.signature] = weakref.ref(module)
            if len(self._captured_as) > MOST_CALLS:
                del self._captured_as[next(iter(self._captured_as))]
        call.followed.captured.append((call.signature, call.passing))
        del call.followed.captured[:-MOST_CALLS]
        compiled = Compile("HPU graph", cause, max(seconds - self._compiled_meanwhile, 0.0))
        compiled = self._telling.history.add(compiled)
        self._count += 1
        known = weakref.ref(graph)
        self._uses.note(
            f"HPU graph {self._count}", compiled, lambda: x.replays if (x := known()) is not None else None
        )

    def refused(self, reason: GraphRefusal) -> None:
        """Be told why some calls of a model run without a graph."""
        cause = explaining.refusal(reason, self._telling.here())
        self._telling.history.add(Compile("no HPU graph", cause))

    def call_is_over(self) -> None:
        """Be told that a call is over: a capture that is still open did not end well."""
        if self.capturing is not None:
            self.capturing = None
            self._telling.ended("HPU graph")

    def _cause(self) -> Cause:
        differences = None
        if self._telling.running:
            call = self._telling.running[-1]
            differences = _from_closest(call)
            if differences is None and (gone := self._captured_by_one_that_is_gone(call)):
                differences = (Difference("model", "object", now=f"is another {gone} object"),)
        return explaining.capture(differences, self._telling.here())

    def _captured_by_one_that_is_gone(self, call: Call) -> str:
        """Return the class of a model, if one before it was captured for the same call and is gone; else nothing."""
        module = call.module
        before = self._captured_as.get((type(module), call.signature))
        return type(module).__name__ if before is not None and before() is None else ""


def _from_closest(call: Call) -> tuple[Difference, ...] | None:
    """Return in what a call differs from the closest one that was captured; None if none was."""
    captured = call.followed.captured
    differences = signature.closest([given for given, _ in captured], call.signature)
    if differences == ():
        alike = [passing for given, passing in captured if given == call.signature]
        differences = () if call.passing in alike else alike[-1].differences(call.passing, call.positional)
    return differences
