"""While something compiles longer than a second: one line that says what, for how long, and from which cell.

In a notebook it is one output of the cell, which stays and says in the end what it took. In a terminal it is one line
on standard error, and it goes when the compile is over. Where there is neither, nothing is shown; nor is it with
`gaudi_lab.live_line(False)`, or `GAUDI_LAB_LIVE_LINE=0` in the environment.
"""

from __future__ import annotations

import contextvars
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from gaudi_lab import bridge, frontend, render
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.measure.causes.cause import Cause
from gaudi_lab.measure.causes.watching import Watching
from gaudi_lab.rendered import Rendered

AFTER = 1.0
"""Seconds that a compile takes before anything is shown of it."""

EVERY = 0.2
"""Seconds between two updates."""


@dataclass(frozen=True, repr=False)
class LiveCompile(Rendered):
    """What compiles, or has compiled.

    Attributes
    ----------
    layer
        "recipe", "Dynamo" or "HPU graph", as in a `Compile`.
    cause
        Why.
    seconds
        For how long so far, or what it took.
    cell
        The cell that is running; None if it is none.
    over
        Whether it is done.
    shown, all_seconds
        How many were shown in this output, this one included, and what they took.
    emulated
        Whether the device is emulated on the CPU.
    """

    layer: str
    cause: Cause
    seconds: float
    cell: int | None = None
    over: bool = False
    shown: int = 1
    all_seconds: float = 0.0
    emulated: bool = False


_WORDS = {
    "recipe": ("compiling a graph", "compiled a graph"),
    "Dynamo": ("compiling with torch.compile", "compiled with torch.compile"),
    "HPU graph": ("capturing an HPU graph", "captured an HPU graph"),
}


@render.line.register
def _(live: LiveCompile) -> str:
    cause = live.cause
    doing = _WORDS[live.layer][live.over] + (f" for {cause.model}" if cause.model else "")
    where = f"cell {cause.call.cell}" if cause.call is not None and cause.call.cell is not None else ""
    if not where:
        where = f"cell {live.cell}" if live.cell is not None else str(cause.call or "")
    parts = [
        f"{doing}: {cause.text}",
        f"{live.seconds:.1f} s",
        where,
        f"the last of {live.shown} that took longer than a second, {live.all_seconds:.1f} s in all"
        if live.over and live.shown > 1
        else "",
        render.EMULATED if live.emulated else "",
    ]
    return " · ".join(filter(None, parts))


class LineOutput(Protocol):
    """Where the line is seen."""

    def show(self, live: LiveCompile) -> None:
        """Show the line, in place of the one before."""


class NotebookLine:
    """One output of a cell.

    Parameters
    ----------
    context
        That of the cell: it says to the kernel, on any thread, which cell the output belongs to.
    """

    def __init__(self, context: contextvars.Context) -> None:
        self._context = context
        self._output: Any = None

    def show(self, live: LiveCompile) -> None:
        """Show the line; it stays when the compile is over."""
        self._context.copy().run(self._show, live)

    def _show(self, live: LiveCompile) -> None:
        from IPython.display import display

        if self._output is None:
            self._output = display(live, display_id=True)
        else:
            self._output.update(live)


class TerminalLine:
    """One line of a terminal."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._width = 0

    def show(self, live: LiveCompile) -> None:
        """Show the line; it goes when the compile is over."""
        width = max(shutil.get_terminal_size().columns - 1, 1)
        text = "" if live.over else str(live)
        text = text if len(text) <= width else text[: width - 1] + "…"
        self._stream.write("\r" + text + " " * (self._width - len(text)) + ("\r" if live.over else ""))
        self._stream.flush()
        self._width = len(text)


def choose(context: contextvars.Context) -> LineOutput | None:
    """Return where a line can be seen from here; None if nowhere."""
    if frontend.in_notebook():
        return NotebookLine(context)
    stream = sys.stderr
    return TerminalLine(stream) if stream is not None and stream.isatty() else None


@dataclass
class _Compiles:
    layer: str
    cause: Cause
    started: float


class LiveLine:
    """Follows what compiles, and shows what takes long.

    A thread of its own looks at it from time to time, so a compile pays for taking a note and no more.

    Parameters
    ----------
    after, every
        Seconds before something is shown, and between two updates.
    where
        Chooses where it is seen, given the context of the compile.
    """

    def __init__(
        self,
        after: float = AFTER,
        every: float = EVERY,
        where: Callable[[contextvars.Context], LineOutput | None] = choose,
    ) -> None:
        self._after, self._every, self._where = after, every, where
        self._running: list[_Compiles] = []  # the outermost first: that is what one waits for
        self._context = contextvars.copy_context()
        self._shown: LineOutput | None = None
        self._visible = False
        self._cell: int | None = None
        self._count, self._seconds = 0, 0.0
        self._lock = threading.Lock()
        self._wake, self._closed = threading.Event(), threading.Event()
        self._process = os.getpid()
        self._thread: threading.Thread | None = None

    def began(self, layer: str, cause: Cause) -> None:
        """Take note that something begins to compile."""
        if self._process != os.getpid():  # a fork has the notes, and not the thread
            return
        if not self._running:
            self._context = contextvars.copy_context()
        self._running.append(_Compiles(layer, cause, time.monotonic()))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="gaudi-lab-live-line", daemon=True)
            self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    def ended(self, layer: str) -> None:
        """Take note that the latest compile of a layer is over."""
        position = next((n for n, x in reversed(list(enumerate(self._running))) if x.layer == layer), None)
        if position is None or self._process != os.getpid():
            return
        if position > 0:
            del self._running[position:]
            return
        # Under the lock, so that the thread shows nothing of it any more.
        with self._lock:
            over = self._running[0]
            self._running.clear()
            if self._visible:
                self._visible = False
                seconds = time.monotonic() - over.started
                self._seconds += seconds
                self._show(over, seconds, over=True)

    def close(self) -> None:
        """Show nothing any more, and end the thread."""
        self._closed.set()
        self._wake.set()
        if self._running:
            self.ended(self._running[0].layer)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while (pause := self._look()) is not None:
                if self._closed.wait(pause):
                    return
            if self._closed.is_set():
                return

    def _look(self) -> float | None:
        """Show what takes long; return the seconds until there may be something to show. None if nothing compiles."""
        with self._lock:
            try:
                running = self._running[0] if self._running else None
                if running is None:
                    return None
                seconds = time.monotonic() - running.started
                if seconds < self._after:
                    return self._after - seconds
                self._appear()
                self._show(running, seconds, over=False)
            except Exception:  # a line that cannot be shown is not worth a word on a thread
                self._closed.set()
            return self._every

    def _appear(self) -> None:
        if self._visible:
            return
        cell = frontend.running_cell()
        if self._shown is None or cell is None or cell != self._cell:
            self._shown = self._where(self._context)
            self._count, self._seconds = 0, 0.0
        self._cell, self._visible = cell, True
        self._count += 1

    def _show(self, running: _Compiles, seconds: float, *, over: bool) -> None:
        if self._shown is not None:
            emulated = bridge.identity().emulated
            cell = self._cell if frontend.in_notebook() else None
            live = LiveCompile(
                running.layer, running.cause, seconds, cell, over, self._count, self._seconds, emulated
            )
            self._shown.show(live)


def show(watching: Watching) -> Handle:
    """Show what compiles longer than a second, until the handle is removed."""
    line = LiveLine()
    watching.observers.append(line)

    def undo() -> None:
        if line in watching.observers:
            watching.observers.remove(line)
        line.close()

    return Handle(undo)
