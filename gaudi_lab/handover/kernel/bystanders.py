"""What runs beside the notebook and ends when its process is replaced: threads, tasks and other processes."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import threading
import types
from pathlib import Path
from typing import Any, NamedTuple

from gaudi_lab import origin

_LIBRARIES = (
    *("IPython", "ipykernel", "zmq", "tornado", "traitlets", "jupyter_client", "comm", "multiprocessing"),
    *("debugpy", "pydevd", "_pydevd_bundle", "tqdm", "anywidget", "watchfiles", "threadpoolctl", "psutil"),
    *("matplotlib", "torch", "habana_frameworks", "gaudi_lab"),
)
"""Whose threads begin anew where they are needed, and hold nothing of the user's."""

_HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Processes that Python starts for itself, and which end when nobody needs them."""


class Bystander(NamedTuple):
    """A thread, a task or a process that would end.

    Attributes
    ----------
    name
        What it is called, such as "thread worker", "task poll" or "process 4711".
    why
        What it is, as a sentence without a full stop.
    """

    name: str
    why: str


def running() -> list[Bystander]:
    """Return the threads, tasks and processes that somebody started and that still run."""
    return [*_threads(), *_tasks(), *_processes()]


def _threads() -> list[Bystander]:
    mine = {threading.main_thread(), threading.current_thread()}
    others = [thread for thread in threading.enumerate() if thread not in mine and not _is_known(thread)]
    return [Bystander(f"thread {x.name}", f"the thread {x.name} is running") for x in others]


def _is_known(thread: threading.Thread) -> bool:
    target = getattr(thread, "_target", None)
    while isinstance(target, functools.partial):
        target = target.func
    home = _home(getattr(target, "__func__", target)) if target is not None else _home(type(thread))
    if home.partition(".")[0] in _LIBRARIES:
        return True
    if isinstance(thread, threading._DummyThread):  # noqa: SLF001 - one of another language, whose code is not Python's
        return True
    return home == "concurrent.futures.thread" and _is_idle(thread)


def _home(of: Any) -> str:
    return str(getattr(of, "__module__", None) or type(of).__module__)


def _is_idle(worker: threading.Thread) -> bool:
    # A worker that waits for work is in its own loop; the call that waits is not Python's.
    frame = sys._current_frames().get(worker.ident or 0)  # noqa: SLF001
    return frame is not None and frame.f_code.co_name == "_worker"


def _tasks() -> list[Bystander]:
    try:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
    except RuntimeError:  # no loop of events runs in this thread
        return []
    coroutines = [task.get_coro() for task in tasks]
    names = sorted(x.__name__ for x in coroutines if isinstance(x, types.CoroutineType) and _is_somebodys(x))
    return [Bystander(f"task {name}", f"the task {name} is running") for name in names]


def _is_somebodys(coroutine: types.CoroutineType[Any, Any, Any]) -> bool:
    return not origin.is_library(coroutine.cr_code.co_filename)


def _processes() -> list[Bystander]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        number = status.parent.name
        if _parent_of(status) == os.getpid():
            command = _command(number)
            if command and not any(helper in command for helper in _HELPERS):
                found.append(
                    Bystander(f"process {number}", f"{command[:60]} is a running process of this notebook")
                )
    return found


def _parent_of(status: Path) -> int | None:
    try:
        fields = status.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:  # it has ended
        return None
    return int(fields[1])


def _command(number: str) -> str:
    """Return the command line of a process; empty if it has ended."""
    try:
        raw = Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()
