"""`torch.Stream` and `torch.Event` on the device: PyTorch asks C++ for them, which a Python backend cannot have.

Without this each stream is the default one, an event that is recorded stays as it was, and waiting for it raises.
The emulated device keeps one order of work, so that a stream is a name in it and an event a time on the host's clock.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import torch

from gaudi_lab.emulator.device.acquire import check_index
from gaudi_lab.emulator.lazy.record import tape

_StockEvent = torch.Event
_StockStream = torch.Stream
_numbers = itertools.count(1)
_TYPE: Any = torch._C._autograd.DeviceType.PrivateUse1


class _Stands(type):
    """The type of a class that stands for PyTorch's own: what is one of PyTorch's, or derived from it, is one of it."""

    def __instancecheck__(cls, one: Any) -> bool:
        return isinstance(one, cls.__mro__[1])

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls.__mro__[1])


class DeviceEvent(_StockEvent, metaclass=_Stands):
    """A point in the device's work; made for another device it is PyTorch's own class."""

    _timed: bool
    _at: float | None
    _number: int

    def __new__(cls, device: Any = None, *, enable_timing: bool = False, **kwargs: Any) -> Any:
        """Return an event that is not recorded yet."""
        where = _device(device)
        event: Any = _StockEvent.__new__(
            cls if where.type == "hpu" else _StockEvent, where, enable_timing=enable_timing, **kwargs
        )
        if where.type == "hpu":
            event._timed, event._at, event._number = enable_timing, None, 0
        return event

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what `__new__` took."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The device, with its index once the event was recorded."""
        return torch.device("hpu", 0) if self._number else torch.device("hpu")

    @property
    def event_id(self) -> int:  # type: ignore[override]
        """A number that says which recorded event this is; 0 before."""
        return self._number

    def record(self, stream: Any = None) -> None:  # noqa: ARG002 - the streams share one order
        """Set the event after everything given to the device so far."""
        tape.flush()
        self._at, self._number = time.perf_counter(), next(_numbers)

    def wait(self, stream: Any = None) -> None:
        """Let a stream wait for the event: the streams share one order."""

    def query(self) -> bool:
        """Return True: what came before the event is done."""
        return True

    def synchronize(self) -> None:
        """Wait for the event: `record` has run what came before it."""

    def elapsed_time(self, end_event: Any) -> float:
        """Return the milliseconds between this event and `end_event`.

        Raises
        ------
        ValueError
            One of the two was not recorded, or was made without ``enable_timing=True``.
        """
        if not (self._timed and end_event._timed):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._at is None or end_event._at is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return (end_event._at - self._at) * 1e3


class DeviceStream(_StockStream, metaclass=_Stands):
    """A queue of work for the device; made for another device it is PyTorch's own class."""

    def __new__(cls, device: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Return a new stream, or with ``stream_id`` the one of that number."""
        if "stream_id" in kwargs or args:
            given = () if device is None else (device, *args)
            return _StockStream.__new__(cls if _is_ours(kwargs) else _StockStream, *given, **kwargs)
        where = _device(device)
        if where.type != "hpu":
            return _StockStream.__new__(_StockStream, where, **kwargs)
        return _numbered(next(_numbers), cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what `__new__` took."""

    def record_event(self, event: Any = None) -> Any:
        """Record an event in the stream, and return it."""
        event = DeviceEvent("hpu") if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Any) -> None:
        """Let the stream wait for an event."""

    def wait_stream(self, stream: Any) -> None:
        """Let the stream wait for another one."""

    def query(self) -> bool:
        """Return True if all work of the stream is done."""
        return True

    def synchronize(self) -> None:
        """Wait for the stream: run what is recorded."""
        tape.flush()

    def __enter__(self) -> Any:
        """Use the stream from now on, and return it."""
        _before().append(current())
        choose(self)
        return self

    def __exit__(self, *exc: object) -> None:
        """Use the one from before again."""
        choose(_before().pop())


_of_thread = threading.local()


def current() -> Any:
    """Return the stream that this thread uses."""
    if not hasattr(_of_thread, "current"):
        _of_thread.current = _numbered(0, DeviceStream)
    return _of_thread.current


def choose(stream: Any) -> None:
    """Let this thread use `stream` from now on."""
    _of_thread.current = stream


def _before() -> list[Any]:
    if not hasattr(_of_thread, "before"):
        _of_thread.before = []
    stack: list[Any] = _of_thread.before
    return stack


def _numbered(number: int, cls: Any) -> Any:
    return _StockStream.__new__(cls, stream_id=number, device_index=0, device_type=int(_TYPE))


def _is_ours(kwargs: dict[str, Any]) -> bool:
    return kwargs.get("device_type") == int(_TYPE)


def _device(device: Any) -> torch.device:
    if device is None:
        return torch.device("hpu")
    where = torch.device("hpu", device) if isinstance(device, int) else torch.device(device)
    return torch.device("hpu") if check_index(where).type == "hpu" else where


def register() -> None:
    """Put both classes in the place of PyTorch's."""
    for name, kind in (("Event", DeviceEvent), ("Stream", DeviceStream)):
        # By the name that messages and pickles say.
        kind.__module__, kind.__qualname__, kind.__name__ = "torch", name, name
        setattr(torch, name, kind)
    # No functions of this module: Dynamo takes what stands here for PyTorch's own, and puts it into its graphs.
    functions: Any = torch._C
    functions._accelerator_getStream = lambda index: current()
    functions._accelerator_setStream = lambda stream: choose(stream)
