"""The private names of ipykernel, all of them, and which versions are known to have them.

ipykernel 7 hands each shell request from a thread of its own to the main thread or to a subshell's, one after the
other under a lock; ipykernel 6 has one queue and no subshells. Where they differ, the two are side by side here.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

from gaudi_lab import origin
from gaudi_lab.errors import LabError

KNOWN = (((6, 30), (6, 32)), ((7, 0), (7, 5)))
"""Ranges of versions, the first that is known and the first that is not."""

Frames = list[bytes]
"""A request as it came from the wire, with the identity of who sent it in front."""


def running_kernel(instead: str) -> Any:
    """Return the kernel that this process is.

    Parameters
    ----------
    instead
        The line to run where there is none.

    Raises
    ------
    LabError
        This is no kernel, or not one that can replace itself.
    """
    if sys.platform in ("win32", "emscripten"):
        raise LabError(f"On {sys.platform} a process cannot replace itself.", python=instead)
    ipykernel = sys.modules.get("ipykernel")
    application = getattr(sys.modules.get("ipykernel.kernelapp"), "IPKernelApp", None)
    if ipykernel is None or application is None or not application.initialized():
        raise LabError("There is no notebook kernel here that could be replaced.", python=instead)
    kernel = application.instance().kernel
    version = tuple(ipykernel.version_info[:2])
    if not any(first <= version < last for first, last in KNOWN):
        ranges = " and ".join(f"{a[0]}.{a[1]} to {b[0]}.{b[1] - 1}" for a, b in KNOWN)
        raise LabError(
            f"ipykernel {ipykernel.__version__} is not known to survive a replaced process; {ranges} are.",
            python="pip install 'ipykernel>=7,<7.5'",
        )
    if kernel is None or getattr(kernel.shell, "kernel", None) is not kernel or not _is_ordinary(kernel):
        raise LabError(f"A kernel of the kind {type(kernel).__name__} cannot be replaced.", python=instead)
    return kernel


def _is_ordinary(kernel: Any) -> bool:
    # One that runs in another program's process must not replace that, and a GUI's loop is not ours to stop.
    if getattr(kernel, "eventloop", None) is not None or not kernel.shell_stream:
        return False
    return not has_subshells(kernel) or _parent(kernel) is threading.main_thread()


def _parent(kernel: Any) -> Any:
    # The thread of the main shell; before 7.2 there was no other choice for it.
    return getattr(kernel.shell_channel_thread, "parent_thread", threading.main_thread())


def has_subshells(kernel: Any) -> bool:
    """Whether this is ipykernel 7, with a thread for the shell channel."""
    return getattr(kernel, "shell_channel_thread", None) is not None


def request_of(kernel: Any) -> tuple[list[bytes], dict[str, Any]]:
    """Return the identity of who sent the request that is being handled, and the request."""
    return kernel._parent_ident["shell"], kernel.get_parent("shell")  # noqa: SLF001


def subshells(kernel: Any) -> list[str]:
    """Return the names of the subshells that there are."""
    return kernel.shell_channel_thread.manager.list_subshell() if has_subshells(kernel) else []


def busy_subshells(kernel: Any, asking: str | None) -> list[str]:
    """Return the subshells that are handling something, except for the one that asks."""
    if not has_subshells(kernel):
        return []
    lock_of = kernel.shell_channel_thread.manager.get_subshell_asyncio_lock
    return [name for name in subshells(kernel) if name != asking and lock_of(name).locked()]


def main_is_busy(kernel: Any) -> bool:
    """Whether the main thread is handling a request, or a cell has not ended that awaits something."""
    locked = has_subshells(kernel) and kernel._main_asyncio_lock.locked()  # noqa: SLF001
    return bool(locked or kernel.shell.displayhook.exec_result is not None)


def handles_request(kernel: Any) -> bool:
    """Whether the caller is handling a request of its own, and not one beside a cell that awaits something."""
    cell, handler = type(kernel.shell).run_code.__code__, type(kernel).dispatch_shell.__code__
    for frame in origin.frames(sys._getframe(1)):  # noqa: SLF001 - the public way walks the sources too
        if frame.f_code is cell:  # one that awaits something is a task of its own, which nobody called
            return True
        if frame.f_code is handler:
            return not frame.f_locals.get("concurrent", False)
    return False


def make_subshells(kernel: Any, names: list[str]) -> None:
    """Make subshells of these names, which the front end knows from the process before."""
    if not has_subshells(kernel):
        return
    thread, made = kernel.shell_channel_thread, threading.Event()

    def make() -> None:  # in the thread that the manager demands
        try:
            for name in names:
                with mock.patch("ipykernel.subshell_manager.uuid.uuid4", lambda name=name: name):
                    thread.manager._create_subshell()  # noqa: SLF001
        finally:
            made.set()

    thread.io_loop.add_callback(make)
    made.wait()


def run_alone(kernel: Any, work: Callable[[], Awaitable[None]]) -> None:
    """Have something done on the main thread, while no request is handled there."""
    if not has_subshells(kernel):
        kernel.schedule_dispatch(work)
        return

    async def locked() -> None:
        async with kernel._main_asyncio_lock:  # noqa: SLF001
            await work()

    kernel.io_loop.add_callback(locked)


_ROUTE = (
    "_reply_subshell_id"  # since 7.4: the subshell that last sent something on a comm gets what comes back
)


def route_of(comm: Any) -> dict[str, str | None]:
    """Return where the messages that come by a comm are handled; empty if that is as their sender says."""
    return {_ROUTE: getattr(comm, _ROUTE)} if hasattr(comm, _ROUTE) else {}


def set_route(comm: Any, route: dict[str, str | None]) -> None:
    """Have the messages that come by a comm handled where they were before."""
    vars(comm).update(route)


class Requests:
    """Keeps the requests that arrive, instead of letting the kernel handle them.

    Parameters
    ----------
    kernel
        The kernel. From then on its requests come by this object, which lets them through when it is not keeping.
    """

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.keeping = False
        self.kept: list[tuple[str | None, Frames]] = []
        self._due: list[Frames] = []
        self._handle = kernel.dispatch_shell
        kernel.dispatch_shell = self._dispatch

    def keep(self) -> None:
        """Begin to keep what arrives, and what has arrived and waits."""
        self.keeping = True
        self.kept += [(None, frames) for frames in self._due]
        self._due = []
        queue = getattr(self.kernel, "msg_queue", None)
        if has_subshells(self.kernel) or queue is None:
            return
        self.kernel.shell_stream.on_recv(self._receive, copy=False)
        waiting = []
        while queue.qsize():
            waiting.append(queue.get_nowait())
        for _, dispatch, arguments in waiting:
            if getattr(dispatch, "__name__", "") in ("dispatch_shell", "_dispatch"):
                self._add(None, arguments[0])

    def taken(self) -> list[tuple[str | None, Frames]]:
        """Return what was kept, with the subshell that each request is for."""
        return list(self.kept)

    def let_through(self) -> None:
        """Stop keeping. What is for a subshell goes there at once, the rest is for `handle_due`."""
        self.keeping = False
        kept, self.kept = self.kept, []
        known = set(subshells(self.kernel))
        for subshell, frames in kept:
            if subshell in known:
                thread = self.kernel.shell_channel_thread.manager._cache[subshell]  # noqa: SLF001
                thread.io_loop.add_callback(self.kernel.shell_main, subshell, _messages(frames))
        self._due += [frames for subshell, frames in kept if subshell not in known]

    async def handle_due(self) -> None:
        """Have handled what was kept, until one of these requests makes that it is kept again; in `run_alone`."""
        while self._due:
            await self.handle(self._due.pop(0))

    async def handle(self, frames: Frames) -> None:
        """Have a request handled now; the caller is in `run_alone`."""
        await self._handle(_messages(frames))

    async def _dispatch(self, message: Any, subshell_id: str | None = None, **how: Any) -> None:
        if self.keeping:
            self._add(subshell_id, message)
        elif has_subshells(self.kernel):
            await self._handle(message, subshell_id=subshell_id, **how)
        else:
            await self._handle(message)

    def _receive(self, message: Any) -> None:
        if self.keeping:
            self._add(None, message)
        else:
            self.kernel.schedule_dispatch(self._handle, message)

    def _add(self, subshell: str | None, message: Any) -> None:
        frames = [part.bytes for part in message]
        if frames != [b"stop aborting"]:  # ipykernel's note to itself
            self.kept.append((subshell, frames))


_of_this_process: list[Requests] = []


def requests_of(kernel: Any) -> Requests:
    """Return the one object by which this kernel's requests come."""
    if not _of_this_process:
        _of_this_process.append(Requests(kernel))
    return _of_this_process[0]


def _messages(frames: Frames) -> list[Any]:
    import zmq

    return [zmq.Message(frame) for frame in frames]


class HeldBack:
    """Messages about one request that are not sent.

    Parameters
    ----------
    kernel
        The kernel.
    request
        The request's id.
    kinds
        Which ones: a message's type, or "status" with the state, such as "status idle".

    Attributes
    ----------
    idle
        Set when the request has been dealt with.
    """

    def __init__(self, kernel: Any, request: str, kinds: set[str]) -> None:
        self.session = kernel.session
        self.request = request
        self.kinds = kinds
        self.idle = threading.Event()
        self._send = self.session.send
        self.session.send = self._filtered

    def release(self) -> None:
        """Send everything again."""
        del self.session.send

    def _filtered(
        self, stream: Any, kind: Any, content: Any = None, parent: Any = None, *more: Any, **named: Any
    ) -> Any:
        name = kind if isinstance(kind, str) else kind.get("msg_type", "")
        if name == "status" and content:
            name = f"status {content['execution_state']}"
        about = (parent or {}).get("header", {}).get("msg_id")
        if about == self.request and name in self.kinds:
            sent = {"content": {"status": "ok"}}
        else:
            sent = self._send(stream, kind, content, parent, *more, **named)
        if about == self.request and name == "status idle":
            self.idle.set()
        return sent


def to_frames(kernel: Any, identity: list[bytes], request: dict[str, Any], **content: Any) -> Frames:
    """Return a request as it would come from the wire, with some of its content replaced."""
    parts = ("header", "parent_header", "metadata", "content")
    message = {part: request[part] for part in parts}
    message["content"] = message["content"] | content
    return kernel.session.serialize(message, ident=identity)


async def answer_with_error(
    kernel: Any, identity: list[bytes], request: dict[str, Any], error: BaseException
) -> None:
    """Answer a cell with an error, and have aborted what waits behind it, as if its code had raised."""
    shell = kernel.shell
    kernel.set_parent(identity, request, channel="shell")
    lines = [f"{type(error).__name__}: {error}"]
    content = {"status": "error", "ename": type(error).__name__, "evalue": str(error), "traceback": lines}
    kernel.session.send(kernel.iopub_socket, "error", content, parent=request, ident=kernel._topic("error"))  # noqa: SLF001
    answer = content | {"execution_count": shell.execution_count - 1, "user_expressions": {}, "payload": []}
    metadata = kernel.finish_metadata(request, kernel.init_metadata(request), answer)
    kernel.session.send(
        reply_stream(kernel), "execute_reply", answer, request, metadata=metadata, ident=identity
    )
    if not request["content"].get("silent") and request["content"].get("stop_on_error", True):
        kernel._abort_queues()  # noqa: SLF001
    kernel._publish_status("idle", "shell", parent=request)  # noqa: SLF001


def reply_stream(kernel: Any) -> Any:
    """Return what a reply from the main thread is sent on."""
    if not has_subshells(kernel):
        return kernel.shell_stream
    return kernel.shell_channel_thread.manager.get_subshell_to_shell_channel_socket(None)


def ports(kernel: Any) -> dict[str, int]:
    """Return the port of each channel; empty where the connection is not by TCP."""
    application = kernel.parent
    if application.transport != "tcp":
        return {}
    return {name: getattr(application, f"{name}_port") for name in ("shell", "iopub", "stdin", "control")}


def lead_streams_out() -> Callable[[], None]:
    """Have the descriptors of the standard streams lead where they did before the kernel began to read them.

    Whoever replaces this process inherits them, and nobody would read what is written there.

    Returns
    -------
    callable
        Undoes it.
    """
    undo = contextlib.ExitStack()
    streams: tuple[Any, ...] = (sys.stdout, sys.stderr)
    for stream in streams:
        outside = getattr(stream, "_original_stdstream_copy", None)
        if outside is not None:
            descriptor = stream._original_stdstream_fd  # noqa: SLF001
            inside = os.dup(descriptor)
            undo.callback(os.close, inside)
            undo.callback(os.dup2, inside, descriptor)
            os.dup2(outside, descriptor)
    return undo.close


def count_subscriptions() -> Callable[[], int] | None:
    """Return a function that says how often somebody has begun to listen; None if this version is not told.

    To be called before the kernel is made.
    """
    from ipykernel.iostream import IOPubThread

    welcome = getattr(IOPubThread, "_send_welcome_message", None)
    if welcome is None:  # before 7.2
        return None
    seen: list[str] = []

    def counted(thread: Any, subscription: str) -> None:
        welcome(thread, subscription)
        seen.append(subscription)

    IOPubThread._send_welcome_message = counted  # noqa: SLF001
    return lambda: len(seen)
