"""Replace the kernel process in place, in the order in which nothing can be lost."""

from __future__ import annotations

import contextlib
import difflib
import os
import shlex
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
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
from gaudi_lab.handover.kernel.interrupts import interruptible
from gaudi_lab.handover.kernel.kernel_versions import Requests
from gaudi_lab.handover.kernel.leaving import Exit
from gaudi_lab.handover.kernel.passage import CellToRerun, Passage
from gaudi_lab.handover.rerun import Rerun, find_rerun, remembered
from gaudi_lab.handover.survey import line_that_gives_up, refusal, survey


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
            [
                *(f"{name}={shlex.quote(value)}" for name, value in self.environment.items() if value),
                "jupyter lab",
            ]
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
        Names to give up if they cannot travel; also whatever else a refusal calls by a name, such as a thread.
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
    with contextlib.ExitStack() as undo, interruptible(undo):
        requests.keep()
        undo.callback(_let_through, kernel, requests)
        if kernel_versions.busy_subshells(kernel, asking):
            raise LabError("A widget's callback is running, and the process cannot be replaced meanwhile.")
        _require_working_directory()
        plan = _plan(kernel, wanted)
        _look(kernel, wanted, plan)
        hidden: dict[str, Any] = {}
        unpack = {}
        for companion in wanted.companions:
            undo.callback(companion.stay)
            hidden[companion.name] = companion.pack(_objects_given_up(kernel.shell, plan))
            unpack[companion.name] = companion.unpack
        hidden |= shell_state.hidden_state(kernel.shell) | live_widgets.on_screen()
        hidden |= surroundings.gather()
        going = _save(kernel, wanted, plan, hidden, undo)
        going.started, going.unpack = started, unpack
        verify.load_elsewhere(
            going.snapshot,
            wanted.variables,
            live_widgets.on_screen(),
            given_up=wanted.drop,
            companions=[companion.name for companion in wanted.companions],
        )
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


def _require_working_directory() -> None:
    """Refuse where it has been deleted: a kernel that starts there ends at once."""
    try:
        os.getcwd()
    except OSError as error:
        raise LabError(
            f"The new process could not be started in the working directory, which is gone: {error.strerror}. "
            "Everything is as it was.",
            python="os.chdir(os.path.expanduser('~'))",
            magic="%cd ~",
        ) from None


def _objects_given_up(shell: Any, plan: _Plan) -> list[Any]:
    """Return what is bound to the names that are given up, and to no other."""
    named = shell.user_ns
    gone = plan.names | plan.rerun
    kept = {id(named[name]) for name in named.keys() - gone - shell_state.own_names(shell)}
    return [named[name] for name in gone if name in named and id(named[name]) not in kept]


@dataclass(frozen=True)
class _Plan:
    """What is given up, as it was established before anything is touched.

    Attributes
    ----------
    names
        Names of the notebook, and hidden entries, that are given up for good.
    again
        The cells to run again.
    beside
        What runs beside the notebook and ends with the process without anybody having said so, and why it matters.
    """

    names: frozenset[str]
    again: list[CellToRerun]
    beside: dict[str, str]

    @property
    def rerun(self) -> frozenset[str]:
        """The names that are bound anew."""
        return frozenset(name for cell in self.again for name in cell.names)


def _plan(kernel: Any, wanted: _Wanted) -> _Plan:
    """Read what is given up.

    Raises
    ------
    LabError
        It is not there, or its cell cannot be run again.
    """
    shell = kernel.shell
    beside = {x.name: x.why for x in bystanders.running()}
    hidden = {*shell_state.hidden_state(shell), *live_widgets.on_screen(), *surroundings.names()}
    hidden |= {companion.name for companion in wanted.companions}
    given_up = {*wanted.drop, *wanted.rerun}
    known = {*shell.user_ns, *hidden, *beside}
    if unknown := sorted(given_up - known):
        alike = [match for name in unknown for match in difflib.get_close_matches(name, known, 1)]
        guess = f" Is it {' and '.join(alike)}?" if alike else ""
        raise LabError(
            f"There is no {' and no '.join(unknown)} here to give up.{guess} Everything is as it was.",
            python="%who",
        )
    again = _cells_to_rerun(shell, wanted.rerun)
    names = frozenset(wanted.drop) - beside.keys()
    return _Plan(names, again, {name: why for name, why in beside.items() if name not in given_up})


def _look(kernel: Any, wanted: _Wanted, plan: _Plan) -> None:
    """Refuse what is sure not to travel, before a companion takes anything off: what graphs hold would be lost."""
    trusted: dict[str, Any] = {}
    for number, companion in enumerate(wanted.companions):
        trusted |= {f"{number} {name}": thing for name, thing in companion.trusted().items()}
    if trusted:
        found = survey(kernel.shell, trusted, plan.names | plan.rerun)
        shown = live_widgets.on_screen()
        left = [x for x in found.left if x.name not in shown and x.name not in wanted.drop]
        if left:
            raise refusal(left, found.drop, wanted.drop)


def _save(
    kernel: Any, wanted: _Wanted, plan: _Plan, hidden: dict[str, Any], undo: contextlib.ExitStack
) -> Passage:
    shell = kernel.shell
    own = shell_state.own_names(shell)
    taken = snapshot.take(shell.user_ns, hidden=hidden, drop=plan.names, skip=own | plan.rerun)
    undo.callback(shutil.rmtree, taken.path, ignore_errors=True)
    outputs = {x.name: x.why for x in taken.left if shell_state.is_output(x.name)}
    # What nothing in the notebook knows but the screen: it goes on being shown, and does nothing any more.
    widgets = {x.name for x in taken.left} & set(live_widgets.on_screen())
    left = [x for x in taken.left if x.name not in outputs and x.name not in widgets]
    left += [snapshot.Left(name, why, name) for name, why in plan.beside.items()]
    if left:
        raise refusal(left, survey(shell, {}, plan.names | plan.rerun).drop, wanted.drop)
    notes = [f"{name} stayed behind, as {outputs[name]}" for name in sorted(outputs)]
    if widgets:
        told = next(x.why for x in taken.left if x.name in widgets and x.because_of is None)
        notes.append(f"{len(widgets)} of the widgets on screen are a picture now, as {told}")
    notes += [f"{change.where} {change.how}" for change in taken.changed]
    if taken.spare:
        notes.append(f"what was dropped is kept for now: gaudi_lab.restore(names={list(taken.spare)})")
    return Passage(
        title=wanted.title,
        started=0.0,
        snapshot=str(taken.path),
        kept=taken.names,
        dropped=tuple(wanted.drop),
        rerun=plan.again,
        size=taken.bytes,
        notes=notes,
    )


def _cells_to_rerun(shell: Any, names: Sequence[str]) -> list[CellToRerun]:
    """Return the cells that bind these names anew, in the order in which they ran.

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
                f"{each.name} cannot be made again by cell {each.number}, {reason}. The cell is:\n{each.source}\n",
                **line_that_gives_up([each.name]),
            )
    cells = {each.number: each.source for each in found}
    return [
        CellToRerun(number, tuple(x.name for x in found if x.number == number), cells[number])
        for number in sorted(cells)
    ]


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


def _let_through(kernel: Any, requests: Requests) -> None:
    requests.let_through()
    kernel_versions.run_alone(kernel, requests.handle_due)
