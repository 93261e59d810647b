"""What is remembered of a model that is followed, and of one of its calls."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import TracebackType

from torch import nn

from gaudi_lab import bridge, origin
from gaudi_lab.instruments import call_shapes
from gaudi_lab.measure.causes import signature
from gaudi_lab.measure.causes.cause import Difference
from gaudi_lab.measure.causes.passing import Passing
from gaudi_lab.measure.causes.signature import Signature
from gaudi_lab.shapes import Shape, Shapes

MOST_CALLS = 256
"""So many different calls of a model are remembered, the latest."""


class Followed:
    """What is remembered of one model: its name, the calls that were different, and those that were captured."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.signatures: dict[Signature, None] = {}
        self.captured: list[tuple[Signature, Passing]] = []

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
    passing
        How that was handed over.
    differences
        In what it differs from the closest earlier call: empty for one that is known, None for the first.
    line
        The line that made it.
    """

    def __init__(
        self,
        followed: Followed,
        module: nn.Module,
        now: Signature,
        passing: Passing,
        running: list[Call],
        finished: Callable[[Call], None],
    ) -> None:
        self._running, self._finished = running, finished
        self.followed = followed
        self.name = followed.name
        self._module = weakref.ref(module)
        self.signature = now
        self.passing = passing
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
        self._running.append(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.remove(self)
        self._ended = bridge.recording()
        self._finished(self)
