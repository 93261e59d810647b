"""Try in a child process what could end this one: C++ that reads where no memory is takes the notebook with it."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
import warnings
from collections.abc import Callable

import torch

_PATIENCE = 60.0
"""Seconds for a check of an example; whatever takes longer is stuck."""


def crash_of(run: Callable[[], object]) -> str:
    """Run something in a copy of this process, and return what ended it: empty if it came through, or raised.

    Returns
    -------
    str
        Such as "SIGSEGV", or that it took too long.
    """
    if not hasattr(os, "fork"):
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the child runs this alone
        child = os.fork()
    if child == 0:
        _run_and_leave(run)
    until = time.monotonic() + _PATIENCE
    try:
        while time.monotonic() < until:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else ""
            time.sleep(0.005)
        return f"a run that took longer than {_PATIENCE:.0f} s"
    finally:
        if not _has_ended(child):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _run_and_leave(run: Callable[[], object]) -> None:
    """Run and end this copy of the process, with nothing of what belongs to the original: no output, no clean-up."""
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        faulthandler.disable()  # what is expected is nobody's news
        torch.set_num_threads(1)  # the threads of the original are not here
        run()
    except BaseException:
        os._exit(1)
    os._exit(0)


def _has_ended(child: int) -> bool:
    try:
        os.kill(child, 0)
        ended, _ = os.waitpid(child, os.WNOHANG)
    except (ProcessLookupError, ChildProcessError):
        return True
    return bool(ended)
