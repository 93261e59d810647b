"""When an interrupt may end what is done, and when it may not."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def interruptible(undo: contextlib.ExitStack) -> Iterator[None]:
    """Let an interrupt end what is done here at once, also where a cell awaits something.

    Parameters
    ----------
    undo
        Puts everything back if it does not end well. A second interrupt does not stop that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    undo.callback(signal.signal, signal.SIGINT, before)
    try:
        yield
    except BaseException:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise
    signal.signal(signal.SIGINT, before)
