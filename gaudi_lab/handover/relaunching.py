"""Replace the kernel process in place, in the order in which nothing can be lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from gaudi_lab.errors import LabError
from gaudi_lab.handover import snapshot, surroundings, verify
from gaudi_lab.handover.companion import Companion
from gaudi_lab.handover.kernel import (
    bystanders,
    kernel_versions,
    live_widgets,
    rest_of_cell,
    shell_settings,
    shell_state,
)
from gaudi_lab.handover.kernel.kernel_versions import Requests
from gaudi_lab.handover.kernel.leaving import Exit
from gaudi_lab.handover.kernel.passage import Passage
from gaudi_lab.handover.rerun import Rerun, find_rerun, remembered

_SHOWN = 6
"""So many names that share objects with one are told."""


@dataclass(frozen=True)
class _Wanted:
    """What the caller asked for."""

    environment: Mapping[str, str | None]
    title: str
    drop: tuple[str, ...]
    rerun: tuple[str, ...]
    companions: tuple[Companion, ...]

    @property
    def variables(self) -> dict[str, str]:
        """All variables of the new process."""
        both = {**os.environ, **self.environment}
        return {name: value for name, value in both.items() if value is not None}

    @property
    def command(self) -> str:
        """The command to start instead, where there is no kernel to replace."""
        return " ".join(
            [*(f"{name}={value}" for name, value in self.environment.items() if value), "jupyter lab"]
        )


def relaunch(
    environment: Mapping[str, str | None],
    *,
    title: str,
    drop: Sequence[str] = (),
    rerun: Sequence[str] = (),
    companions: Sequence[Companion] = (),
) -> None:
    """Replace this kernel's process by a fresh one that has the notebook in it.

    In a cell, the call never returns: what follows it runs in the new process. In a comm message (a click) it returns
    when everything is saved and checked, and the process is replaced when the message has been dealt with.

    Parameters
    ----------
    environment
        Variables of the new process beside those of this one; None takes one away.
    title
        What it is for, as the report shall begin, such as "lazy → eager".
    drop
        Names to give up if they cannot travel; also a thread or process, as it is called in the refusal.
    rerun
        Names to bind anew, by running the cell that bound them.
    companions
        What travels beside the namespace.

    Raises
    ------
    LabError
        It cannot be done here, or something cannot travel. Everything is as it was.
    """
    wanted = _Wanted(dict(environment), title, tuple(drop), tuple(rerun), tuple(companions))
    kernel = kernel_versions.running_kernel(wanted.command)
    identity, request = kernel_versions.request_of(kernel)
    handling = kernel_versions.handles_request(kernel)
    if threading.current_thread() is not threading.main_thread():
        _relaunch_from_subshell(kernel, wanted, request if handling else None)
    elif handling and request["header"]["msg_type"] == "execute_request":
        last_line = rest_of_cell.last_line_run(kernel.shell, request["content"]["code"])
        departure, going = _prepare(kernel, wanted)
        going.identity, going.request, going.last_line = identity, request, last_line
        departure.leave_cell(going, request)
    elif not handling and kernel_versions.main_is_busy(kernel):
        raise _busy()
    else:
        departure, going = _prepare(kernel, wanted)
        departure.leave(going, request if handling else None)


def _relaunch_from_subshell(kernel: Any, wanted: _Wanted, request: dict[str, Any] | None) -> None:
    """Do it on the main thread, and wait: a click in JupyterLab arrives in a thread of its own."""
    asking = request["header"].get("subshell_id") if request else None
    if asking is None:
        raise LabError("The process cannot be replaced from a thread. Ask for it in a cell.")
    if request is None or kernel_versions.main_is_busy(kernel):
        raise _busy()
    done: Future[None] = Future()

    async def prepare() -> None:
        try:
            departure, going = _prepare(kernel, wanted, asking)
            departure.leave(going, request)
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    kernel_versions.run_alone(kernel, prepare)
    done.result()


def _busy() -> LabError:
    return LabError(
        "A cell is running, and the process cannot be replaced in the middle of it. Try again after it."
    )


def _prepare(kernel: Any, wanted: _Wanted, asking: str | None = None) -> tuple[Exit, Passage]:
    """Save everything and check it. Whatever goes wrong, all is as it was."""
    started = time.time()
    requests = kernel_versions.requests_of(kernel)
    with contextlib.ExitStack() as undo, _interruptible():
        requests.keep()
        undo.callback(_let_through, kernel, requests)
        if kernel_versions.busy_subshells(kernel, asking):
            raise LabError("A widget's callback is running, and the process cannot be replaced meanwhile.")
        hidden: dict[str, Any] = {}
        unpack = {}
        for number, companion in enumerate(wanted.companions):
            undo.callback(companion.stay)
            hidden[name := f"companion {number}"] = companion.pack()
            unpack[name] = companion.unpack
        hidden |= shell_state.hidden_state(kernel.shell) | live_widgets.on_screen()
        hidden["surroundings"] = surroundings.gather()
        going = _save(kernel, wanted, hidden, undo)
        going.started, going.unpack = started, unpack
        verify.load_elsewhere(going.snapshot, wanted.variables, live_widgets.on_screen())
        going.state = shell_state.plain_state(kernel.shell)
        going.settings = shell_settings.settings(kernel.shell)
        going.subshells = kernel_versions.subshells(kernel)
        going.session = kernel.session.session
        going.connection_file = kernel.parent.abs_connection_file
        undo.pop_all()  # there is nothing to undo

    def stay() -> None:  # the process could not be replaced; the snapshot is left for whoever wants it
        for companion in reversed(wanted.companions):
            companion.stay()

    return Exit(kernel, requests, wanted.variables, stay), going


def _save(kernel: Any, wanted: _Wanted, hidden: dict[str, Any], undo: contextlib.ExitStack) -> Passage:
    shell = kernel.shell
    own = shell_state.own_names(shell)
    beside = bystanders.running()
    given_up = set(wanted.drop) | set(wanted.rerun)
    unknown = given_up - set(shell.user_ns) - set(hidden) - {x.name for x in beside}
    if unknown:
        raise LabError(f"There is no {' and no '.join(sorted(unknown))} here to give up.")
    again = _cells_to_rerun(shell, wanted.rerun)
    names = given_up - {x.name for x in beside}
    taken = snapshot.take(shell.user_ns, hidden=hidden, drop=names | own)
    undo.callback(shutil.rmtree, taken.path, ignore_errors=True)
    left = {x.name: x.why for x in taken.left} | {x.name: x.why for x in beside if x.name not in given_up}
    outputs = {name for name in left if shell_state.is_output(name)}
    # What nothing in the notebook knows but the screen: it goes on being shown, and does nothing any more.
    widgets = set(left) & set(live_widgets.on_screen())
    if set(left) - outputs - widgets:
        raise _cannot_travel(
            {x.name: x for x in taken.left if x.name not in outputs | widgets},
            {x.name: x.why for x in beside if x.name not in given_up},
        )
    notes = [f"{name} stayed behind, as {left[name]}" for name in sorted(outputs)]
    if widgets:
        told = next(x.why for x in taken.left if x.name in widgets and x.because_of is None)
        notes.append(f"{len(widgets)} of the widgets on screen are a picture now, as {told}")
    notes += [f"{change.where} {change.how}" for change in taken.changed]
    return Passage(
        title=wanted.title,
        started=0.0,
        snapshot=str(taken.path),
        kept=tuple(name for name in taken.names if name not in own),
        dropped=tuple(wanted.drop),
        rerun=again,
        size=taken.bytes,
        notes=notes,
    )


def _cells_to_rerun(shell: Any, names: Sequence[str]) -> list[tuple[tuple[str, ...], str]]:
    """Return the cells that bind these names anew, in the order in which they ran, each with what it is run for.

    Raises
    ------
    LabError
        A cell might not find what it found the first time, or would bind something anew that nobody gave up.
    """
    history = list(shell.history_manager.input_hist_parsed)
    found = [find_rerun(name, shell.user_ns, history, remembered) for name in names]
    for each in found:
        if reason := _why_not_again(each, names, len(history) - 1, shell.user_ns):
            raise LabError(
                f"{each.name} cannot be made again by cell {each.number}, {reason}. The cell is:\n{each.source}\n"
                f"To give {each.name} up, repeat the line with: --drop {each.name}"
            )
    cells = {each.number: each.source for each in found}
    return [(tuple(x.name for x in found if x.number == number), cells[number]) for number in sorted(cells)]


def _why_not_again(cell: Rerun, names: Sequence[str], running: int, namespace: Mapping[str, Any]) -> str:
    """Return why a cell is not run again; empty if it can be."""
    if cell.number == running:
        return "which is running"
    if cell.doubts:
        return f"because {' and '.join(cell.doubts)}"
    others = [name for name in cell.also_binds if name in namespace and name not in names]
    return (
        f"which would bind {', '.join(others)} anew too, and what is bound now would be lost"
        if others
        else ""
    )


def _cannot_travel(left: Mapping[str, snapshot.Left], beside: Mapping[str, str]) -> LabError:
    """Return the refusal: every reason once, and with it the names that share objects with the one that has it."""
    with_it: dict[str, list[str]] = {name: [] for name, x in left.items() if x.because_of is None}
    for name, x in left.items():
        if x.because_of is not None:
            with_it.setdefault(x.because_of, []).append(name)
    lines = []
    for name, others in with_it.items():
        shared = f", which shares objects with {_enumerate(others)}" if others else ""
        lines.append(f"  {name}: {left[name].why if name in left else 'it cannot come along'}{shared}")
    lines += [f"  {name}: {why}" for name, why in beside.items()]
    names = (*left, *beside)
    drops = " ".join(f"--drop {name!r}" if " " in name else f"--drop {name}" for name in names)
    return LabError(
        "The process is not replaced, because this could not come along:\n"
        + "\n".join(lines)
        + f"\nEverything is as it was. To give it up, repeat the line with: {drops}"
    )


def _enumerate(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def _let_through(kernel: Any, requests: Requests) -> None:
    requests.let_through()
    kernel_versions.run_alone(kernel, requests.handle_due)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let an interrupt end what is done here at once, also where a cell awaits something."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
