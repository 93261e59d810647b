"""Streams: the emulated device keeps one order of work, so a stream is a name in it."""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.device.acquire import acquire
from gaudi_lab.emulator.lazy.record import tape
from gaudi_lab.emulator.process import mode

from .events import Event

is_lazy_mode = mode.from_environment()


class Stream:
    """A queue of work for the device."""

    def __init__(self, device: Any = None, priority: int = 0, stream_id: int | None = None) -> None:
        self.priority = priority
        self.stream_id = id(self) if stream_id is None else stream_id

    def id(self) -> int:
        """Return the stream's number; the default stream has 0."""
        return self.stream_id

    @property
    def device(self) -> torch.device:
        """The device whose work it orders."""
        return torch.device("hpu", 0)

    @property
    def device_index(self) -> torch.device:
        """The same as `device`, as in the bridge."""
        return self.device

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


class StreamContext:
    """Use a stream inside a `with`; None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream
        self._before = _current

    def __enter__(self) -> Stream:
        """Use it from now on, and return it."""
        self._before = _current
        set_stream(self.stream or _current)
        return _current

    def __exit__(self, *exc: object) -> None:
        """Use the one from before again."""
        set_stream(self._before)


def stream(stream: Stream | None) -> StreamContext:
    """Use `stream` inside a `with`."""
    return StreamContext(stream)


def get_stream_info(stream: Stream) -> tuple[int, int]:
    """Return a number that stands for the stream's queue, and the stream's own number."""
    acquire()
    return id(stream), stream.stream_id


def record_stream(self: torch.Tensor, stream: Stream) -> None:
    """Keep a tensor's memory for the stream's work: what the device's memory does here by itself."""
