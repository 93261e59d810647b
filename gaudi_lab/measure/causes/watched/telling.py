"""What was compiled, for which call, and who is asked and told of it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Protocol

from gaudi_lab import origin
from gaudi_lab.measure.causes import places
from gaudi_lab.measure.causes.cause import Cause, Place
from gaudi_lab.measure.causes.explaining import About
from gaudi_lab.measure.causes.history import History
from gaudi_lab.measure.causes.watched.following import Call

Stop = Callable[[str, Cause], None]
"""Told of a layer and a cause before it compiles; raises to stop that."""


class Observer(Protocol):
    """Told as things compile. Nothing that it does stops a compile; one that raises is told no more."""

    def began(self, layer: str, cause: Cause) -> None:
        """Be told of a layer and a cause before it compiles; compiles may lie within another."""

    def ended(self, layer: str) -> None:
        """Be told that the latest compile of a layer is over, well or not; if none runs, nothing is."""


class Telling:
    """What all sides that something can compile on have in common.

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
    """

    def __init__(self) -> None:
        self.history = History()
        self.running: list[Call] = []
        self.stops: list[Stop] = []
        self.observers: list[Observer] = []

    def ask(self, layer: str, cause: Cause) -> None:
        """Ask whether a layer may compile. Whoever says no raises."""
        for stop in list(self.stops):
            stop(layer, cause)

    def began(self, layer: str, cause: Cause) -> None:
        """Tell that a layer begins to compile."""
        self._tell(lambda observer: observer.began(layer, cause))

    def ended(self, layer: str) -> None:
        """Tell that the latest compile of a layer is over."""
        self._tell(lambda observer: observer.ended(layer))

    def here(self, source: Place | None = None) -> About:
        """Return what belongs to the call that is running, or to the line that runs outside of any."""
        if self.running:
            call = self.running[-1]
            return About(call.name, source=source, call=places.of(call.line))
        here = origin.trace(inspect.currentframe())
        return About(source=source, call=places.of(here.call))

    def _tell(self, tell: Callable[[Observer], None]) -> None:
        for observer in list(self.observers):
            try:
                tell(observer)
            except Exception as error:  # noqa: PERF203 - there is one, and each by itself must not stop a compile
                self.observers.remove(observer)
                warnings.warn(f"Gaudi Lab no longer shows what compiles: {error!r}", stacklevel=2)
