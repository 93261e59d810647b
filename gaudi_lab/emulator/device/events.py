"""What happened on the device, told to whoever subscribed: the bridge's metrics are built on it."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import Any


class EventId(enum.IntEnum):
    """The bridge's events, under the bridge's names."""

    GRAPH_COMPILATION = 0
    MARK_STEP = 1
    PROCESS_EXIT = 2
    DEVICE_ACQUIRED = 3
    CUSTOM_EVENT = 4
    MEMORY_DEFRAGMENTATION = 5
    CPU_FALLBACK = 6
    CACHE_HIT = 7
    CACHE_MISS = 8


Params = list[tuple[str, str]]
Callback = Callable[[int, Params], None]

# A list, by the event's number: an enumeration is hashed in Python.
_subscribers: list[dict[int, Callback]] = [{} for _ in EventId]
_handles = iter(range(1, 2**63))


def subscribe(event: EventId, callback: Callback) -> tuple[EventId, int]:
    """Call `callback(timestamp_ns, params)` at every `event`; params are (name, value) pairs of strings."""
    handle = event, next(_handles)
    _subscribers[event][handle[1]] = callback
    return handle


def unsubscribe(handle: tuple[EventId, int]) -> None:
    """End a subscription; ending it twice is no error."""
    _subscribers[handle[0]].pop(handle[1], None)


def publish(event: EventId, **params: Any) -> None:
    """Tell every subscriber of `event`."""
    listeners = _subscribers[event]
    if listeners:
        now = time.time_ns()
        pairs = [(name, str(value)) for name, value in params.items()]
        for callback in list(listeners.values()):
            callback(now, pairs)
