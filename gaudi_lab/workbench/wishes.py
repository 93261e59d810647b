"""What is wished for and what can be had: switches as they were asked for, fitted to mode and models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gaudi_lab import bridge
from gaudi_lab.settings import Mode, Settings

if TYPE_CHECKING:
    from gaudi_lab.workbench.model import Attached


def as_process(wish: Settings) -> Settings:
    """Return `wish` in the mode that the process is really in, should someone else have changed it."""
    lazy = bridge.is_lazy()
    if wish.mode.is_lazy == lazy:
        return wish
    return wish.replace(mode=Mode.LAZY if lazy else Mode.EAGER)


def in_this_process(wish: Settings) -> Settings:
    """Return what of `wish` can be on in the mode that the process is in; HPU graphs wait for lazy mode."""
    wish = as_process(wish)
    return wish.in_mode(wish.mode)


def moved(wish: Settings, switches: Mapping[str, Any]) -> Settings:
    """Return `wish` with some switches moved.

    Raises
    ------
    LabError
        If the switches cannot be on together.
    """
    if switches.get("fused_sdpa") is False:
        switches = {"recompute": None, "softmax": None, **switches}
    wish = wish.replace(**switches)
    # HPU graphs asked for now are refused outside lazy mode; those asked for earlier wait for it.
    (wish if switches.get("hpu_graphs") else wish.in_mode(wish.mode)).check()
    return wish


def without_fused_sdpa(settings: Settings) -> Settings:
    """Return `settings` with FusedSDPA and its options off."""
    return settings.replace(fused_sdpa=False, recompute=None, softmax=None)


def leave_out_without_attention(plan: dict[Attached, Settings]) -> list[str]:
    """Take FusedSDPA out of the plan for models that have no attention, unless that leaves none."""
    asked = [attached for attached, wish in plan.items() if wish.fused_sdpa and not attached.wish.fused_sdpa]
    without = [attached for attached in asked if not attached.has_attention]
    if len(without) == len(asked):
        return []
    for attached in without:
        plan[attached] = without_fused_sdpa(plan[attached])
    return [f"{attached.name} has no attention to switch" for attached in without]


def remarks(changed: Mapping[Attached, Settings]) -> list[str]:
    """Say which switches will have less of an effect than one might think."""
    said = []
    for attached, settings in changed.items():
        if settings.softmax is not None and not attached.computes_in_bfloat16:
            said.append(
                f"softmax {settings.softmax} exists for bfloat16 and {attached.name} is not, "
                "so it takes effect under autocast only"
            )
    return said
