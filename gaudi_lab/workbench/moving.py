"""Models' switches moved as a whole: instruments and the mode come to where they are planned, or all is put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gaudi_lab import bridge
from gaudi_lab.settings import Settings

if TYPE_CHECKING:
    from gaudi_lab.workbench.model import SwitchedModel


def move(plan: Mapping[SwitchedModel, Settings], was_lazy: bool, lazy: bool | None = None) -> None:
    """Install and remove instruments to reach `plan`, or put everything back and raise.

    Parameters
    ----------
    plan
        The switches of each model that is to have others.
    was_lazy, lazy
        The mode of the process before and after; with None it stays, and no bridge is loaded for it.
    """
    for attached, settings in plan.items():
        attached.require(settings)
    before = {attached: attached.settings for attached in plan}
    was_loaded = bridge.loaded()
    try:
        _install(plan, lazy)
    except BaseException:
        _install(before, was_lazy if was_loaded else None)
        raise


def _install(plan: Mapping[SwitchedModel, Settings], lazy: bool | None) -> None:
    # All that does not exist in the new mode goes before it, all that exists only there comes after.
    for attached, settings in plan.items():
        attached.take_off(settings)
    if lazy is not None:
        bridge.set_lazy(lazy)
    for attached, settings in plan.items():
        attached.put_on(settings)
