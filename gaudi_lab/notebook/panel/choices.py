"""What can be switched now, what cannot and why not. The same rules as the magics', asked beforehand."""

from __future__ import annotations

from dataclasses import dataclass

from gaudi_lab import bridge
from gaudi_lab.errors import LabError
from gaudi_lab.settings import Mode, Settings, check_mode_change
from gaudi_lab.workbench.model import Attached

_MEANING = {
    Mode.LAZY: "Collects operators into graphs",
    Mode.EAGER: "Runs each operator at once",
    Mode.COMPILE: "Eager, with torch.compile on the models",
}

IN_PLACE = "Switches in place here; a Gaudi needs a fresh process"


@dataclass(frozen=True)
class Choice:
    """One position of a switch.

    Attributes
    ----------
    value
        What to ask the workbench for.
    label
        What it is called.
    on
        Whether it is in effect.
    reason
        Why it cannot be chosen, with the line to run instead; empty if it can.
    note
        What it means to choose it.
    """

    value: str
    label: str
    on: bool
    reason: str = ""
    note: str = ""


def mode_choices(now: Mode, models: list[Attached]) -> list[Choice]:
    """Return the execution modes."""
    return [_mode_choice(now, mode, models) for mode in Mode]


def switches(attached: Attached, now: Mode) -> list[Choice]:
    """Return the switches of one model."""
    settings = attached.settings
    graphs = settings.replace(hpu_graphs=True).problem
    no_attention = (
        ""
        if attached.has_attention
        else f"{attached.name} has no attention that can be switched: FusedSDPA replaces that of transformers "
        "models and of diffusers models built from the Attention class."
    )
    waits = attached.wish.hpu_graphs and not settings.hpu_graphs
    return [
        Choice(
            "hpu_graphs",
            "HPU graphs",
            settings.hpu_graphs,
            reason=_why(graphs),
            note="Come back with lazy mode" if waits else "One per input shape, replayed without Python",
        ),
        Choice(
            "fused_sdpa",
            "FusedSDPA",
            settings.fused_sdpa,
            reason=no_attention,
            note="Attention in one kernel",
        ),
        Choice(
            "compile",
            "torch.compile",
            settings.mode is Mode.COMPILE,
            reason=_why(_problem_of_mode(now, Mode.COMPILE)),
            note="Compiled in place, at the first call of each shape",
        ),
    ]


def sdpa_reason(settings: Settings) -> str:
    """Say why FusedSDPA's own options cannot be set; empty if they can."""
    return "" if settings.fused_sdpa else _why(settings.replace(recompute=True).problem)


def _mode_choice(now: Mode, mode: Mode, models: list[Attached]) -> Choice:
    notes = [_MEANING[mode]]
    reason = ""
    if mode is not now:
        reason = _why(_problem_of_mode(now, mode))
        if not reason and mode.is_lazy != now.is_lazy:
            reason = _frozen(mode)
            notes.append(IN_PLACE)
            notes += _carried(mode, models)
    return Choice(str(mode), str(mode), mode is now, reason, ". ".join(notes) + ".")


def _carried(mode: Mode, models: list[Attached]) -> list[str]:
    """Say what becomes of variables and switches between lazy and eager mode."""
    graphs = [a.name for a in models if a.settings.hpu_graphs]
    waiting = [a.name for a in models if a.wish.hpu_graphs and not a.settings.hpu_graphs]
    compiled = [a.name for a in models if a.settings.mode is Mode.COMPILE]
    carried = ["All variables and other switches stay"]
    if graphs and not mode.is_lazy:
        carried.append(f"HPU graphs of {', '.join(graphs)} go off and come back with lazy mode")
    if waiting and mode.is_lazy:
        carried.append(f"HPU graphs of {', '.join(waiting)} come back")
    if compiled and mode.is_lazy:
        carried.append(f"torch.compile of {', '.join(compiled)} goes off")
    return carried


def _frozen(mode: Mode) -> str:
    """Say why a loaded bridge of Intel's cannot change over; empty where it is not that."""
    if not bridge.keeps_mode():
        return ""
    return (
        "The bridge keeps its mode until the process ends. Restart the kernel, which drops all variables, and "
        f"make this the first cell: %env PT_HPU_LAZY_MODE={int(mode.is_lazy)}"
    )


def _problem_of_mode(now: Mode, mode: Mode) -> LabError | None:
    try:
        check_mode_change(now, mode)
    except LabError as problem:
        return problem
    return None


def _why(problem: LabError | None) -> str:
    return "" if problem is None else problem.for_notebook()
