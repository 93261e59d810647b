"""What of a notebook could come along, looked up without writing anything and without taking anything off a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gaudi_lab.handover.kernel import bystanders, live_widgets, shell_state
from gaudi_lab.handover.objects.groups import Tracer, roots_of
from gaudi_lab.handover.objects.landmarks import Landmarks
from gaudi_lab.handover.snapshot import Left, reasons


@dataclass(frozen=True)
class Survey:
    """What would become of a notebook.

    Attributes
    ----------
    names
        The names that would come along.
    left
        What would not, and why.
    """

    names: tuple[str, ...]
    left: tuple[Left, ...]


def survey(shell: Any, trusted: Mapping[str, Any]) -> Survey:
    """Look at every name of a notebook.

    Parameters
    ----------
    shell
        IPython's shell.
    trusted
        Objects that are taken to travel, by any key, and are not looked into: edited models, from which the edits
        would have to be taken off for that.
    """
    own = shell_state.own_names(shell)
    named = [(name, value) for name, value in list(shell.user_ns.items()) if name not in own]
    tracer = Tracer(roots_of(named, live_widgets.on_screen().items()), Landmarks(shell.user_ns, trusted))
    left = [reason for group in tracer.trace() if group.culprits for reason in reasons(group, tracer)]
    left += [Left(beside.name, beside.why, beside.name) for beside in bystanders.running()]
    stays = {reason.name for reason in left}
    return Survey(tuple(name for name, _ in named if name not in stays), tuple(left))
