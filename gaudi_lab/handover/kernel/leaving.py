"""The old process: hold back the answer, collect what is asked meanwhile, and become the new process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from gaudi_lab.errors import LabError
from gaudi_lab.handover.kernel import connections, kernel_versions, passage, shell_state, starting
from gaudi_lab.handover.kernel.kernel_versions import HeldBack, Requests
from gaudi_lab.handover.kernel.passage import Passage

_ARRIVING = "gaudi_lab.handover.arriving"
_QUIET = 0.05
"""Seconds without a new request after which all that was under way has arrived."""
_PATIENCE = 3.0
"""Seconds to wait for that, and for what was sent to be gone."""


class Leaving(BaseException):
    """Ends a cell whose rest runs in the next process. No error: nothing may catch it."""


class Exit:
    """The way from one process to the next.

    Parameters
    ----------
    kernel
        The kernel.
    requests
        Keeps what is asked of it, from now on.
    environment
        All variables of the new process.
    stay
        Called if the process cannot be replaced after all.
    """

    def __init__(
        self, kernel: Any, requests: Requests, environment: Mapping[str, str], stay: Callable[[], None]
    ) -> None:
        self.kernel = kernel
        self.requests = requests
        self.environment = environment
        self.stay = stay

    def leave_cell(self, going: Passage, request: dict[str, Any]) -> NoReturn:
        """End the running cell without an answer; when it has ended, become the new process."""
        shell = self.kernel.shell
        before = shell.custom_exceptions, getattr(shell, "CustomTB", None)
        callbacks = _take_off_callbacks(shell)
        held = HeldBack(self.kernel, request["header"]["msg_id"], {"execute_reply", "status idle"})
        shell.set_custom_exc((Leaving,), lambda *_, **__: None)

        async def go() -> None:
            await _wait_for(held.idle)
            error = await self._replace(going)
            held.release()
            shell.custom_exceptions, shell.CustomTB = before
            shell.events.callbacks.update(callbacks)
            self._remain(error, going.identity, request)

        self.kernel.io_loop.add_callback(go)
        raise Leaving

    def leave(self, going: Passage, request: dict[str, Any] | None) -> None:
        """Become the new process when a request that is no cell has been dealt with; at once if there is none."""
        held = HeldBack(self.kernel, request["header"]["msg_id"], set()) if request else None

        async def go() -> None:
            if held is not None:
                await _wait_for(held.idle)
                held.release()
            self._remain(await self._replace(going))

        self.kernel.io_loop.add_callback(go)

    def _remain(
        self, error: LabError, identity: list[bytes] | None = None, request: dict[str, Any] | None = None
    ) -> None:
        async def answer() -> None:
            if request is not None:
                await kernel_versions.answer_with_error(self.kernel, identity or [], request, error)
            self.requests.let_through()
            await self.requests.handle_due()

        self.kernel.log.error("%s", error)
        try:
            self.stay()
        finally:  # whoever waits gets an answer, whatever could not be put back
            kernel_versions.run_alone(self.kernel, answer)

    async def _replace(self, going: Passage) -> LabError:
        """Become the new process; return why not."""
        try:
            with contextlib.ExitStack() as undo:
                await self._become_new(going, undo)
        except Exception as error:  # the kernel would wait for good for what does not come
            why = getattr(error, "strerror", None) or error
            return LabError(
                f"The new process could not be started: {why}. Everything is as it was, and saved too.",
                python=f"gaudi_lab.restore({going.snapshot!r})",
            )

    async def _become_new(self, going: Passage, undo: contextlib.ExitStack) -> NoReturn:
        ports = kernel_versions.ports(self.kernel)
        await _until_quiet(self.requests, ports.values())
        with contextlib.suppress(Exception):  # a history that others have locked is nothing to stay for
            self.kernel.shell.history_manager.writeout_cache()
        sys.stdout.flush()
        sys.stderr.flush()
        going.waiting = self.requests.taken()
        going.connected = {name: len(connections.connections([port]) or [0]) for name, port in ports.items()}
        descriptor = going.write()
        undo.callback(os.close, descriptor)
        for inherited in connections.close_at_exec():
            undo.callback(os.set_inheritable, inherited, True)
        os.set_inheritable(descriptor, True)
        undo.callback(kernel_versions.lead_streams_out())
        # Handed down: no interrupt ends a half-made kernel.
        undo.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.SIG_IGN))
        command = starting.python_command(_ARRIVING, *kernel_arguments(), options=interpreter_options())
        os.execve(sys.executable, command, {**self.environment, passage.VARIABLE: str(descriptor)})


def _take_off_callbacks(shell: Any) -> dict[str, list[Any]]:
    """Keep the notebook's own callbacks from hearing of the end of a cell that goes on elsewhere."""
    before = {event: list(called) for event, called in shell.events.callbacks.items()}
    for event in ("post_execute", "post_run_cell"):
        called = shell.events.callbacks[event]
        called[:] = [function for function in called if not shell_state.is_notebooks(function)]
    return before


async def _wait_for(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.005)


async def _until_quiet(requests: Requests, ports: Any) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        arrived = len(requests.taken())
        await asyncio.sleep(_QUIET)
        open_ones = connections.connections(ports) or []
        if len(requests.taken()) == arrived and not any(x.unsent or x.unread for x in open_ones):
            return


def interpreter_options() -> list[str]:
    """Return the options that this Python was started with."""
    return _split_command()[0]


def kernel_arguments() -> list[str]:
    """Return the arguments that this kernel was started with, without the file of its connection."""
    kept: list[str] = []
    arguments = iter(_split_command()[1])
    for argument in arguments:
        if argument in ("-f", "--f"):
            next(arguments, None)
        elif not argument.startswith(("-f=", "--f=", "--IPKernelApp.connection_file", "--Session.session")):
            kept.append(argument)
    return kept


def _split_command() -> tuple[list[str], list[str]]:
    """Return Python's own options, and the program's arguments."""
    words = sys.orig_argv[1:]
    options: list[str] = []
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word.startswith(("-m", "-c")):
            if len(word) == 2 and words:
                words.pop(0)
            return options, words
        options.append(word)
        if word in ("-W", "-X") and words:
            options.append(words.pop(0))
    return options, words[1:]
