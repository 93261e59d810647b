"""What a change asks of each model, worked out before any is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

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


def leave_out_without_attention(plan: dict[SwitchedModel, Settings]) -> list[str]:
    """Take FusedSDPA out of the plan for models that have no attention, unless that leaves none."""
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
