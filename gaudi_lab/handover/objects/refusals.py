"""What cannot travel, in plain words: objects that are tied to the process that made them."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable
from typing import Any


class CannotTravel(Exception):
    """An object that has to stay.

    Parameters
    ----------
    words
        What it is or why, as it follows the way to it: "is a lock", "cannot be pickled: ...".
    """

    def __init__(self, words: str) -> None:
        self.words = words
        super().__init__(words)


def of_error(error: Exception) -> CannotTravel:
    """Return the refusal of an object whose own way of pickling fails."""
    text = " ".join(str(error).split()) or type(error).__name__
    return CannotTravel(f"cannot be pickled: {text}")


def check(thing: Any) -> None:
    """Refuse an object of a kind that cannot travel.

    Raises
    ------
    CannotTravel
        It is of one.
    """
    words = words_for(type(thing))
    if words is not None:
        raise CannotTravel(words(thing))


def words_for(kind: type) -> Callable[[Any], str] | None:
    """Return what says of an object of `kind` that it cannot travel; None if it may be able to."""
    for known, words in _OF_PYTHON.items():
        if issubclass(kind, known):
            return words
    for (module, name), words in _OF_MODULES.items():
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type) and issubclass(kind, found):
            return words
    return None


def _are(words: str) -> Callable[[Any], str]:
    return lambda _: f"is {words}"


def _generator(thing: Any) -> str:
    return "is a running generator" if thing.gi_frame is not None else "is a finished generator"


def _thread(thing: threading.Thread) -> str:
    return f"is a {'running' if thing.is_alive() else 'finished'} thread"


_OF_PYTHON: dict[type, Callable[[Any], str]] = {
    types.GeneratorType: _generator,
    types.CoroutineType: _are("a coroutine"),
    types.AsyncGeneratorType: _are("an asynchronous generator"),
    types.FrameType: _are("a frame of a call"),
    types.TracebackType: _are("a traceback, which holds frames of calls"),
    memoryview: _are("a memoryview"),
    type(threading.Lock()): _are("a lock"),
    type(threading.RLock()): _are("a lock"),
    threading.Condition: _are("a condition, which holds a lock"),
    threading.Semaphore: _are("a semaphore, which holds a lock"),
    threading.Event: _are("an event between threads, which holds a lock"),
    threading.Barrier: _are("a barrier, which holds a lock"),
    threading.Thread: _thread,
    threading.local: _are("data of one thread"),
}

# Looked up when they are needed: a module that is not loaded has no objects.
_OF_MODULES: dict[tuple[str, str], Callable[[Any], str]] = {
    ("socket", "socket"): _are("a socket"),
    ("subprocess", "Popen"): _are("a child process"),
    ("multiprocessing.process", "BaseProcess"): _are("a child process"),
    ("multiprocessing.pool", "Pool"): _are("a pool of processes or threads"),
    ("multiprocessing.managers", "BaseManager"): _are("a manager with a process of its own"),
    ("multiprocessing.queues", "Queue"): _are("a queue between processes"),
    ("multiprocessing.queues", "SimpleQueue"): _are("a queue between processes"),
    ("multiprocessing.synchronize", "SemLock"): _are("a lock between processes"),
    ("multiprocessing.connection", "_ConnectionBase"): _are("a connection to a process"),
    ("multiprocessing.shared_memory", "SharedMemory"): _are("memory that is shared with other processes"),
    ("concurrent.futures", "Executor"): _are("a pool of processes or threads"),
    ("concurrent.futures", "Future"): _are("a result that is waited for"),
    ("asyncio", "AbstractEventLoop"): _are("an event loop"),
    ("asyncio", "Future"): _are("a task of an event loop"),
    ("queue", "Queue"): _are("a queue between threads, which holds a lock"),
    ("selectors", "BaseSelector"): _are("a selector of open files"),
    ("sqlite3", "Connection"): _are("a connection to a database"),
    ("sqlite3", "Cursor"): _are("a cursor of a database connection"),
    ("mmap", "mmap"): _are("a file that is mapped into memory"),
    ("ssl", "SSLContext"): _are("a context of encrypted connections"),
    ("tempfile", "TemporaryDirectory"): _are("a temporary folder, which goes with this process"),
    ("torch.utils.data.dataloader", "_BaseDataLoaderIter"): _are("an iterator in the middle of a DataLoader"),
    ("torch.jit", "ScriptModule"): _are("a ScriptModule, which only torch.jit.save can write"),
    ("torch.cuda", "Stream"): _are("a stream of a device"),
    ("_ctypes", "CFuncPtr"): _are("a function of a C library"),
}
