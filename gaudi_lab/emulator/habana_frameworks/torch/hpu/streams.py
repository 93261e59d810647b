"""Streams: the emulated device keeps one order of work, so a stream is a name in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gaudi_lab.emulator.lazy.record import tape

from .events import Event


class Stream:
    """A queue of work for the device."""

    def __init__(self, device: Any = None, priority: int = 0, stream_id: int | None = None) -> None:
        self.priority = priority
        self.stream_id = id(self) if stream_id is None else stream_id

    def synchronize(self) -> None:
        """Wait for the stream: run what is recorded."""
        tape.flush()

    def query(self) -> bool:
        """Return True if all work of the stream is done."""
        return True

    def record_event(self, event: Event | None = None) -> Event:
        """Record an event in the stream."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let the stream wait for an event."""

    def wait_stream(self, stream: Stream) -> None:
        """Let the stream wait for another one."""


_default = Stream(stream_id=0)
_current = _default


def default_stream(device: Any = None) -> Stream:
    """Return the device's default stream."""
    return _default


def current_stream(device: Any = None) -> Stream:
    """Return the stream in use."""
    return _current


def set_stream(stream: Stream | None) -> None:
    """Use `stream` from now on."""
    global _current
    _current = stream or _default


@contextmanager
def stream(stream: Stream | None) -> Iterator[Stream]:
    """Use `stream` inside a `with`."""
    before = _current
    set_stream(stream)
    try:
        yield _current
    finally:
        set_stream(before)
