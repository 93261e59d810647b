"""What of a notebook could come along, looked up without writing anything and without taking anything off a model.

And how it is told if something cannot.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gaudi_lab.errors import LabError
from gaudi_lab.handover.kernel import bystanders, live_widgets, shell_state
from gaudi_lab.handover.objects.groups import Tracer, roots_of
from gaudi_lab.handover.objects.landmarks import Landmarks
from gaudi_lab.handover.snapshot import Left, apart, reasons

_SHOWN = 6
"""So many names that share objects with one are told."""


@dataclass(frozen=True)
class Survey:
    """What would become of a notebook.

    Attributes
    ----------
    names
        The names that come along, if `drop` is given up.
    left
        What hinders as it is, and all that shares objects with it.
    drop
        Of those the names that it is enough to give up.
    """

    names: tuple[str, ...]
    left: tuple[Left, ...]
    drop: tuple[str, ...]


def survey(shell: Any, trusted: Mapping[str, Any], without: Collection[str] = ()) -> Survey:
    """Look at every name of a notebook.

    Parameters
    ----------
    shell
        IPython's shell.
    trusted
        Objects that are taken to travel, by any key, and are not looked into: edited models, from which the edits
        would have to be taken off for that.
    without
        Names that are given up.
    """
    stay = {*shell_state.own_names(shell), *without}
    named = [(name, value) for name, value in list(shell.user_ns.items()) if name not in stay]
    shown = [(name, value) for name, value in live_widgets.on_screen().items() if name not in stay]
    roots, marks = roots_of(named, shown), Landmarks(shell.user_ns, trusted)
    tracer = Tracer(roots, marks)
    left = [reason for group in tracer.trace() if group.culprits for reason in reasons(group, tracer)]
    travel = {root.name for root in apart(roots, marks)[0].roots} if left else {root.name for root in roots}
    drop = [root.name for root in roots if root.name not in travel]
    beside = [Left(x.name, x.why, x.name) for x in bystanders.running()]
    return Survey(
        tuple(name for name, _ in named if name not in drop),
        (*left, *beside),
        (*drop, *(x.name for x in beside)),
    )


def refusal(left: Sequence[Left], drop: Collection[str], given_up: Sequence[str] = ()) -> LabError:
    """Return the refusal: every reason once, and with it the names that share objects with the one that has it.

    Parameters
    ----------
    left
        What cannot travel.
    drop
        Names of the notebook that it is enough to give up for the rest to travel.
    given_up
        What was given up already in the line that is to be repeated.
    """
    reasons = {x.name: x.why for x in left if x.because_of is None}
    with_it: dict[str, list[str]] = {name: [] for name in reasons}
    for x in left:
        if x.because_of is not None:
            with_it.setdefault(x.because_of, []).append(x.name)
    lines = []
    for name, others in with_it.items():
        shared = f", which shares objects with {_enumerate(others)}" if others else ""
        lines.append(f"  {name}: {reasons.get(name, 'it cannot come along')}{shared}")
    names = [*given_up, *(x.name for x in left if x.name in drop or x.because_of is None)]
    return LabError(
        "The process is not replaced, because this could not come along:\n"
        + "\n".join(lines)
        + "\nEverything is as it was.",
        **line_that_gives_up(names),
    )


def line_that_gives_up(names: Sequence[str]) -> dict[str, str]:
    """Return the remedies of a `LabError` that names which names it would be enough to give up."""
    words = " ".join(repr(name) if " " in name else name for name in names)
    again = "the same line with"
    return {"python": f"{again} drop={list(names)!r}", "magic": f"{again} --drop {words}"}


def _enumerate(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
