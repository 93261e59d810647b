"""Subscriptions to what happens on the device.

Up to 1.20 a callback is called when the event happens; since 1.21 events wait until the subscriber fetches them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from gaudi_lab.emulator.device import events
from gaudi_lab.emulator.device.events import Callback, EventId, Params
from gaudi_lab.emulator.process.release import release


class _Dispatcher:
    _instance: Any = None

    @classmethod
    def instance(cls) -> Any:
        """Return the one dispatcher of the process."""
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance


class _Pushing(_Dispatcher):
    """Calls back when an event happens."""

    def subscribe(self, event_id: EventId, callback: Callback) -> Any:
        """Call `callback(timestamp_ns, [(name, value), ...])` at every event, and return the subscription."""
        return events.subscribe(event_id, callback)

    def unsubscribe(self, handle: Any) -> None:
        """End a subscription."""
        events.unsubscribe(handle)


class _Pulling(_Dispatcher):
    """Keeps events until they are fetched."""

    def __init__(self) -> None:
        self._waiting: dict[Any, deque[Params]] = {}

    def subscribe(self, event_id: EventId) -> Any:
        """Let events wait from now on, and return the subscription."""
        queue: deque[Params] = deque()
        handle = events.subscribe(event_id, lambda timestamp, params: queue.append(params))
        self._waiting[handle] = queue
        return handle

    def process(self, handle: Any, callback: Callable[[Params], None]) -> None:
        """Call `callback([(name, value), ...])` for every event that waits, in this thread."""
        queue = self._waiting[handle]
        while queue:
            callback(queue.popleft())

    def unsubscribe(self, handle: Any) -> None:
        """End a subscription; what waits is lost."""
        events.unsubscribe(handle)
        self._waiting.pop(handle, None)


EventDispatcher: Any = _Pulling if release() >= (1, 21) else _Pushing

__all__ = ["EventDispatcher", "EventId"]
