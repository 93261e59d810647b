"""Between cells: when a panel's requests are done, and what ticks while a cell runs.

Requests are done on the main thread. Some front ends send a widget's messages to a thread of their own (ipykernel's
subshells), so a click arrives while a cell runs. Switching a model in the middle of a call would be wrong, so it
waits for the cell.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from gaudi_lab.instruments.handle import Handle

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

Action = Callable[[], None]


class BetweenCells:
    """Knows when cells run, and does actions between them.

    Parameters
    ----------
    shell
        The notebook's; None outside of one, where nothing has to wait.
    on_start, on_end
        Called before and after each cell.

    Attributes
    ----------
    busy
        Whether a cell is running.
    """

    def __init__(self, shell: InteractiveShell | None, on_start: Action, on_end: Action) -> None:
        self.busy = _in_a_cell(shell)
        self._shell = shell
        self._on_start, self._on_end = on_start, on_end
        self._waiting: deque[Action] = deque()

    def follow(self) -> Handle:
        """Take note of cells from now on."""
        if self._shell is None:
            return Handle(lambda: None)
        events = self._shell.events
        events.register("pre_execute", self._started)
        events.register("post_execute", self._ended)

        def undo() -> None:
            events.unregister("pre_execute", self._started)
            events.unregister("post_execute", self._ended)

        return Handle(undo)

    @property
    def waiting(self) -> int:
        """How many actions wait for the cell to end."""
        return len(self._waiting)

    def do(self, action: Action) -> None:
        """Do `action` now if no cell runs, or else when it ends."""
        self._waiting.append(action)
        if threading.current_thread() is threading.main_thread():
            self._do_waiting()
        elif (kernel := getattr(self._shell, "kernel", None)) is not None:
            kernel.io_loop.add_callback(self._do_waiting)

    def _do_waiting(self) -> None:
        while self._waiting and not self.busy:
            self._waiting.popleft()()

    def _started(self) -> None:
        self.busy = True
        self._on_start()

    def _ended(self) -> None:
        self.busy = False
        try:
            self._do_waiting()
        finally:
            self._on_end()


class Ticker:
    """A thread that ticks between `start` and `stop`.

    Parameters
    ----------
    tick
        Called on the thread.
    interval
        Seconds between two ticks.
    """

    def __init__(self, tick: Callable[[], None], interval: float = 0.2) -> None:
        self._tick = tick
        self._interval = interval
        self._ended: threading.Event | None = None

    def start(self) -> None:
        """Tick from now on."""
        self.stop()
        ended = self._ended = threading.Event()
        threading.Thread(target=self._run, args=(ended,), name="gaudi-lab-panel", daemon=True).start()

    def stop(self) -> None:
        """Tick no more."""
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(self._interval):
            self._tick()


def _in_a_cell(shell: InteractiveShell | None) -> bool:
    # IPython holds the running cell's result there, and nothing between cells.
    return shell is not None and shell.displayhook.exec_result is not None
