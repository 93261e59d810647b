"""The new process: a kernel on the same connection, which first finishes what the old one was asked for.

Its `main` is called in place of ipykernel's launcher.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from IPython.core.error import InputRejected

from gaudi_lab.handover import account, kept, snapshot, surroundings
from gaudi_lab.handover.kernel import (
    connections,
    kernel_versions,
    passage,
    rest_of_cell,
    shell_settings,
    shell_state,
)
from gaudi_lab.handover.kernel.interrupts import interruptible
from gaudi_lab.handover.kernel.kernel_versions import HeldBack, Requests
from gaudi_lab.handover.kernel.passage import CellToRerun, Passage

_PATIENCE = 3.0
"""Seconds to wait for the front ends to be connected again."""

_SETTLING = 0.05
"""Seconds from a connection until what it is for has been told."""


def main() -> None:
    """Run the kernel."""
    coming = passage.read()
    from ipykernel.kernelapp import IPKernelApp
    from traitlets.config import Config

    subscriptions = kernel_versions.count_subscriptions()
    config = Config()
    config.Session.session = coming.session
    config.IPKernelApp.connection_file = coming.connection_file
    application = IPKernelApp.instance(config=config)
    application.initialize(sys.argv[1:])
    kernel = application.kernel
    requests = kernel_versions.requests_of(kernel)
    requests.kept = list(coming.waiting)
    start = kernel.start

    def start_and_resume() -> None:
        requests.keep()
        start()
        kernel_versions.make_subshells(kernel, coming.subshells)

        async def resume() -> None:
            await _wait_for_front_ends(kernel, coming.connected, subscriptions)
            await Arrival(kernel, requests, coming).resume()

        kernel_versions.run_alone(kernel, resume)

    kernel.start = start_and_resume
    application.start()


async def _wait_for_front_ends(
    kernel: Any, connected: Mapping[str, int], subscriptions: Callable[[], int] | None
) -> None:
    """Wait until those who were connected are so again: what is sent before that reaches nobody."""
    ports = kernel_versions.ports(kernel)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        back = {name: connections.connections([port]) for name, port in ports.items()}
        if None in back.values() or not back:
            await asyncio.sleep(1.0)
            return
        all_back = all(len(found or ()) >= connected.get(name, 0) for name, found in back.items())
        if all_back and (subscriptions is None or subscriptions() >= connected.get("iopub", 0)):
            break
        await asyncio.sleep(0.005)
    await asyncio.sleep(_SETTLING)


class Incomplete(InputRejected):
    """Something of the notebook has not arrived, so that the rest of the cell does not run."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class Arrival:
    """What is done in the new process until it is as the old one was.

    Parameters
    ----------
    kernel
        The kernel of this process.
    requests
        Keeps what arrives, until the notebook is there.
    coming
        What the old process has handed over.
    """

    def __init__(self, kernel: Any, requests: Requests, coming: Passage) -> None:
        self.kernel = kernel
        self.shell = kernel.shell
        self.requests = requests
        self.coming = coming
        self.missing: list[str] = []
        self.remedies = [f"gaudi_lab.restore({coming.snapshot!r})"]
        self.notes = list(coming.notes)

    async def resume(self) -> None:
        """Bring the notebook back, finish the cell, and deal with what was asked meanwhile."""
        request = self.coming.request
        if request is not None:
            self.kernel.set_parent(self.coming.identity, request, channel="shell")
        try:
            await self._bring_back()
        except Exception as error:
            self.missing.append(f"{type(error).__name__}: {error}")
        if not self.missing:
            kept.arrived(self.coming.snapshot)
            kept.clean_up(keep=self.coming.snapshot)
            kept.remove_at_exit(self.coming.snapshot)
        report = account.remember(self._account())
        self.requests.let_through()
        if request is not None:
            print(report)  # noqa: T201
            await self._finish_cell(request)
        elif self.missing:
            self.kernel.log.error("%s", self._incomplete())
        await self.requests.handle_due()

    async def _bring_back(self) -> None:
        coming, shell = self.coming, self.shell
        shell_state.put_plain_state(shell, coming.state)
        self.notes += shell_settings.put_settings(shell, coming.settings)
        loaded = snapshot.load(coming.snapshot, shell.user_ns)
        self.missing += [x.why for x in loaded.left]
        lost = [x.name for x in loaded.left if x.name in coming.kept]
        self.remedies = [f"gaudi_lab.restore({coming.snapshot!r}, names={lost})"] if lost else []
        self.notes += [f"{name} came back differently" for name in loaded.differs if name in coming.kept]
        if others := len(set(loaded.differs) - set(coming.kept)):
            self.notes.append(f"{others} of what is on screen came back differently")
        shell_state.put_hidden_state(shell, loaded.hidden)
        around = [part.name for part in surroundings.PARTS if part.name in loaded.hidden]
        self.notes += surroundings.put_back({name: loaded.hidden[name] for name in around})
        for cell in coming.rerun:
            if not await self._run_again(cell):
                self.missing.append(
                    f"{', '.join(cell.names)}: cell {cell.number}, which was to bind it anew, raised an error"
                )
                self.remedies.append(f"%rerun {cell.number}")
        for name, function in coming.unpack.items():
            if name in loaded.hidden:
                self.notes += _unpack(function, loaded.hidden[name])

    async def _run_again(self, cell: CellToRerun) -> bool:
        """Run a cell, and return whether it has ended well."""
        transformed = self.shell.transform_cell(cell.source)
        try:
            with contextlib.ExitStack() as undo:
                # Of one that awaits something, an interrupt would end the loop of events, and the kernel with it.
                if not self.shell.should_run_async(cell.source, transformed_cell=transformed):
                    undo.enter_context(interruptible(undo))
                ran = await self.shell.run_cell_async(cell.source, silent=True, transformed_cell=transformed)
                return bool(ran.success)
        except KeyboardInterrupt:
            return False

    async def _finish_cell(self, request: dict[str, Any]) -> None:
        """Run what is left of the cell, as the same request: one answer, one number, one place in the history."""
        shell = self.shell
        content = request["content"]
        counted = content.get("store_history", True) and not content.get("silent", False)
        shell.execution_count = self.coming.state.count - bool(counted)
        held = HeldBack(self.kernel, request["header"]["msg_id"], {"status busy", "execute_input"})
        shell.history_manager.store_inputs = lambda *_, **__: None
        rest = _Rest(shell, self.coming.last_line, self._incomplete() if self.missing else None)
        try:
            await self.requests.handle(kernel_versions.to_frames(self.kernel, self.coming.identity, request))
        finally:
            rest.remove()
            held.release()
            del shell.history_manager.store_inputs

    def _incomplete(self) -> Incomplete:
        run = f" Run: {' and '.join(self.remedies)}" if self.remedies else ""
        return Incomplete(
            f"{'; '.join(self.missing)}. Everything else is there, and the snapshot is kept.{run}"
        )

    def _account(self) -> account.Account:
        coming = self.coming
        return account.Account(
            title=coming.title,
            seconds=time.time() - coming.started,
            kept=coming.kept,
            rerun=tuple(name for cell in coming.rerun for name in cell.names),
            dropped=coming.dropped,
            size=coming.size,
            notes=tuple(self.notes),
            path=Path(coming.snapshot),
        )


class _Rest:
    """Takes away, once, what has run of a cell already, and what is called before a cell begins.

    Parameters
    ----------
    shell
        The shell.
    last_line
        How far the cell has run.
    error
        Raised in place of the rest, if there is one.
    """

    def __init__(self, shell: Any, last_line: int, error: Incomplete | None) -> None:
        self.shell = shell
        self.last_line = last_line
        self.error = error
        self.done = False
        self.callbacks = {
            event: list(shell.events.callbacks[event]) for event in ("pre_execute", "pre_run_cell")
        }
        for event in self.callbacks:
            shell.events.callbacks[event][:] = []
        shell.ast_transformers.insert(0, self)

    def visit(self, tree: ast.Module) -> ast.Module:
        """Return what is left of the cell: IPython's protocol of a transformer."""
        if self.done:
            return tree
        self._put_back()
        if self.error is not None:
            raise self.error
        return rest_of_cell.remaining(tree, self.last_line)

    def remove(self) -> None:
        """Leave the shell as it was."""
        self._put_back()
        self.shell.ast_transformers.remove(self)

    def _put_back(self) -> None:
        if not self.done:
            self.done = True
            self.shell.events.callbacks.update(self.callbacks)


def _unpack(function: str, packed: Any) -> list[str]:
    module, _, name = function.partition(":")
    try:
        return list(getattr(importlib.import_module(module), name)(packed))
    except Exception as error:
        return [f"{name} failed: {type(error).__name__}: {error}"]
