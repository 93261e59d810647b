"""The workbench goes over into another process: set aside as values, and taken up again from them there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gaudi_lab import frontend
from gaudi_lab.errors import LabError
from gaudi_lab.handover.snapshot import Left
from gaudi_lab.render.states import list_changes
from gaudi_lab.settings import Mode, Settings
from gaudi_lab.workbench import lab
from gaudi_lab.workbench.aside import Aside, ModelAside


class WorkbenchTravels:
    """Carries the workbench of this process over into the next one.

    Parameters
    ----------
    mode
        What to ask for there; by default what is asked for here.
    """

    name = "the workbench"
    unpack = f"{__name__}:unpack"

    def __init__(self, mode: Mode | None = None) -> None:
        self._mode = mode
        self._aside: Aside | None = None

    def trusted(self) -> dict[str, Any]:
        """Return the models with switches on, and their modules."""
        return lab.current().entries.edited()

    def pack(self, given_up: Collection[Any] = ()) -> dict[str, Any]:
        """Take all switches off, and return what is needed to put them on again: an entry a model that travels."""
        self._aside = aside = lab.current().set_aside()
        aside = aside.without(given_up)
        if self._mode is not None:
            aside = aside.in_mode(self._mode)
        shared = {"the workbench": replace(aside, models=())}
        return shared | {f"the switches of {model.name}": model for model in aside.models}

    def stay(self) -> None:
        """Put everything on again, in this process."""
        if self._aside is not None:
            lab.current().take_up(self._aside)


def unpack(packed: dict[str, Any]) -> list[str]:
    """Put on the workbench of this process what came along, and say what is otherwise than before."""
    aside = next((value for value in packed.values() if isinstance(value, Aside)), Aside(Settings()))
    models = tuple(value for value in packed.values() if isinstance(value, ModelAside))
    change = lab.current().take_up(replace(aside, models=models))
    return list_changes(change)


def go_over(
    environment: Mapping[str, str | None],
    title: str,
    *,
    mode: Mode | None = None,
    drop: Sequence[str] = (),
    rerun: Sequence[str] = (),
) -> None:
    """Replace the kernel's process, with the workbench in it; see `gaudi_lab.handover.relaunching.relaunch`.

    Parameters
    ----------
    mode
        What to ask for there; by default what is asked for here.
    """
    from gaudi_lab.handover import relaunching

    relaunching.relaunch(
        environment, title=title, drop=drop, rerun=rerun, companions=(WorkbenchTravels(mode),)
    )


def bring_back(
    path: str | Path | None, names: Collection[str] | None, *, replace_bound: bool = False
) -> list[str]:
    """Bind again what a relaunch has saved, and say what came; see `gaudi_lab.restore`."""
    from gaudi_lab.handover import kept

    shell = frontend.running_shell()
    if shell is None:
        raise LabError("There is no notebook here to bind names in. Start a kernel, and restore there.")
    came = kept.restore(path, names, into=shell.user_ns, replace=replace_bound)
    told = [f"restored {', '.join(came.names) or 'nothing'}", *_reasons(came.left)]
    told += [f"{name} came back differently" for name in came.differs if name in came.names]
    if names is None:
        for packed in came.hidden.values():
            if isinstance(packed, dict) and any(isinstance(value, Aside) for value in packed.values()):
                told += unpack(packed)
    return told


def _reasons(left: Iterable[Left]) -> list[str]:
    """Return why names did not come, those together that have the same reason."""
    named: dict[str, list[str]] = {}
    for each in left:
        own = each.why.startswith(f"{each.name} ")
        named.setdefault(each.why.removeprefix(each.name) if own else each.why, []).append(each.name)
    return [f"{', '.join(names)}{why}" if why.startswith(" ") else why for why, names in named.items()]
