"""What a panel asks before the notebook goes over into a fresh process: what comes along, and what cannot."""

from __future__ import annotations

from dataclasses import dataclass

from gaudi_lab.settings import Mode

_SHOWN = 6
"""So many names are told; of the others the number."""


@dataclass(frozen=True)
class Question:
    """Whether to go over.

    Attributes
    ----------
    mode
        The mode asked for.
    title
        What it takes.
    keeps
        What comes along.
    left
        What cannot, a sentence each.
    drop
        The names to give up for it.
    go
        The word for yes.
    """

    mode: str
    title: str
    keeps: str
    left: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    go: str = "Go over"


def ask(now: Mode, wanted: Mode) -> Question:
    """Look what a change of the mode would carry over. Nothing is saved, and nothing on the models moves."""
    from IPython.core.getipython import get_ipython

    from gaudi_lab.handover.survey import survey
    from gaudi_lab.workbench import lab

    found = survey(get_ipython(), lab.current().entries.edited())
    return Question(
        str(wanted),
        f"{now} → {wanted} takes a fresh process",
        f"{_count(found.names)} come along: {_enumerate(found.names)}.",
        tuple(f"{left.why}." for left in found.left if left.name in found.drop),
        found.drop,
        f"Go over without {_enumerate(found.drop)}" if found.drop else "Go over",
    )


def _count(names: tuple[str, ...]) -> str:
    return f"{len(names)} names" if len(names) != 1 else "1 name"


def _enumerate(names: tuple[str, ...]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_SHOWN])} and {more} more"
