"""Replace the kernel process in place, in the order in which nothing can be lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gaudi_lab.handover.companion import Companion


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
    at once, and the process is replaced when the message has been dealt with.

    Parameters
    ----------
    environment
        Variables of the new process beside those of this one; None takes one away.
    title
        What it is for, as the report shall begin, such as "lazy → eager".
    drop
        Names to give up if they cannot travel.
    rerun
        Names to bind anew, by running the cell that bound them.
    companions
        What travels beside the namespace.

    Raises
    ------
    LabError
        It cannot be done here, or something cannot travel. Everything is as it was.
    """
    raise NotImplementedError
