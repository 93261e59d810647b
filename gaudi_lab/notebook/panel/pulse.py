"""Does something a few times a second while a cell keeps the main thread busy."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Pulse:
    """A thread that beats between `start` and `stop`.

    Parameters
    ----------
    beat
        Called on the thread.
    interval
        Seconds between beats.
    """

    def __init__(self, beat: Callable[[], None], interval: float = 0.2) -> None:
        self._beat = beat
        self._interval = interval
        self._ended: threading.Event | None = None

    def start(self) -> None:
        """Beat from now on."""
        self.stop()
        ended = self._ended = threading.Event()
        threading.Thread(target=self._run, args=(ended,), name="gaudi-lab-panel", daemon=True).start()

    def stop(self) -> None:
        """Beat no more."""
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(self._interval):
            self._beat()
