"""What a change asks of each model, worked out before any is touched; and then done as a whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gaudi_lab import bridge
from gaudi_lab.settings import FUSED_SDPA, OPERATORS, Mode, Settings

if TYPE_CHECKING:
    from gaudi_lab.workbench.model import SwitchedModel


def join(attached: SwitchedModel, own: Settings, for_all: Settings) -> Settings:
    """Return the switches of all, with what a model asks for by itself."""
    joined = for_all
    if own.hpu_graphs and not for_all.hpu_graphs:
        joined = joined.replace(hpu_graphs=True, verify=own.verify)
    if own.fused_sdpa and not for_all.fused_sdpa:
        joined = joined.replace(fused_sdpa=True, recompute=own.recompute, softmax=own.softmax)
    if own.mode is Mode.COMPILE and not for_all.mode.is_lazy:
        joined = joined.replace(mode=Mode.COMPILE, dynamic=own.dynamic, backend_options=own.backend_options)
    return joined if attached.has_attention else joined.move(FUSED_SDPA.turn(False))


def leave_out_without_attention(
    plan: dict[SwitchedModel, Settings], switches: Mapping[str, Any]
) -> list[str]:
    """Take FusedSDPA out of the plan for models that have no attention, unless that leaves none."""
    if not switches.get(FUSED_SDPA.name):
        return []
    without = [attached for attached in plan if not attached.has_attention]
    if len(without) == len(plan):
        return []
    for attached in without:
        plan[attached] = plan[attached].move(FUSED_SDPA.turn(False))
    return [f"{attached.name} has no attention to switch" for attached in without]


def leave_out_without_places(plan: dict[SwitchedModel, Settings], asked: Mapping[str, bool]) -> list[str]:
    """Take operators out of the plan for models in which they stand in nowhere, unless that leaves none."""
    notes = []
    for name in [name for name, on in asked.items() if on]:
        refused = {
            x: why for x in plan if name not in x.settings.operators and (why := x.why_not_operator(name))
        }
        if len(refused) < len(plan):
            for attached, why in refused.items():
                plan[attached] = plan[attached].move(OPERATORS.turn_one(name, False))
                notes.append(why.why.rstrip("."))
    return notes


def move(plan: Mapping[SwitchedModel, Settings], was_lazy: bool, lazy: bool | None = None) -> None:
    """Install and remove instruments to reach `plan`, or put everything back and raise."""
    for attached in plan:
        attached.require_on_hpu()
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


def how_switched() -> list[str]:
    """Return what there is to say of a mode that was changed in place."""
    if bridge.loaded() and bridge.identity().emulated:
        return ["switched in place, where a Gaudi needs a fresh process"]
    return []
