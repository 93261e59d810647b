"""Timing events of the device."""

from __future__ import annotations

import time
from typing import Any

from gaudi_lab.emulator.lazy.record import tape


class Event:
    """A point in the device's work. The emulated device works on the host, so its clock is the host's."""

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> None:
        self.enable_timing = enable_timing
        self._at: float | None = None

    def record(self, stream: Any = None) -> None:
        """Set the event after everything given to the device so far."""
        tape.flush()
        self._at = time.perf_counter()

    def wait(self, stream: Any = None) -> None:
        """Let a stream wait for the event: the streams of the emulated device share one order."""

    def query(self) -> bool:
        """Return True if the work before the event is done."""
        return True

    def synchronize(self) -> None:
        """Wait for the event."""

    def elapsed_time(self, end_event: Event) -> float:
        """Return the milliseconds between this event and `end_event`.

        Raises
        ------
        RuntimeError
            One of the two was not recorded, or was made without ``enable_timing=True``.
        """
        if not (self.enable_timing and end_event.enable_timing):
            raise RuntimeError("Both events must be created with argument 'enable_timing=True'.")
        if self._at is None or end_event._at is None:
            raise RuntimeError("Both events must be recorded before calculating elapsed time.")
        return (end_event._at - self._at) * 1e3
