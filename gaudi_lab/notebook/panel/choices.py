"""What can be switched now, what cannot and why not. The same rules as the magics', asked beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gaudi_lab import bridge
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.options import Option
from gaudi_lab.settings import COMPILE, FUSED_SDPA, HPU_GRAPHS, OPERATORS, SWITCHES, Mode, Switch
from gaudi_lab.workbench.model import SwitchedModel

_MEANING = {
    Mode.LAZY: "Collects operators into graphs",
    Mode.EAGER: "Runs each operator at once",
    Mode.COMPILE: "Eager, with torch.compile on the models",
}

NOT_CALLED = "Call the model once: an operator is checked on the model's own inputs"
FRESH_PROCESS = "In a fresh process; you are told first what cannot come along"
IN_PLACE = "Switches in place here; a Gaudi needs a fresh process"

_WORDS: dict[Any, str] = {None: "", True: "on", False: "off"}
"""What a front end sends for a value of an option; other values are words already."""


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


@dataclass(frozen=True)
class OptionChoice:
    """One option of a switch.

    Attributes
    ----------
    name, label
        What to ask the workbench for, and what it is called.
    value
        The word for its present value; empty for the bridge's default.
    words
        The words for the other values.
    default
        What there is as long as nothing is chosen.
    reason, note
        As for a `Choice`.
    """

    name: str
    label: str
    value: str
    words: tuple[str, ...]
    default: str
    reason: str = ""
    note: str = ""


def list_modes(now: Mode, models: list[SwitchedModel]) -> list[Choice]:
    """Return the execution modes."""
    return [_mode_choice(now, mode, models) for mode in Mode]


def list_switches(model: SwitchedModel, now: Mode) -> list[Choice]:
    """Return the switches of one model."""
    return [
        choice
        for switch in SWITCHES
        for choice in (
            _list_operators(model) if switch is OPERATORS else [_switch_choice(switch, model, now)]
        )
    ]


def _switch_choice(switch: Switch, model: SwitchedModel, now: Mode) -> Choice:
    return Choice(
        switch.name,
        switch.label,
        switch.is_on(model.settings),
        reason=model.why_off(switch, now),
        note="Come back with lazy mode" if _waits(switch, model) else switch.meaning,
    )


def _list_operators(model: SwitchedModel) -> list[Choice]:
    """Return the operators that are on, or that this bridge has and that this model may have a place for."""
    return [
        Choice(
            f"{OPERATORS.name}-{use.name}",
            use.label,
            use.on,
            reason="" if use.on or model.was_called else NOT_CALLED,
            note=use.meaning,
        )
        for use in model.operator_uses(measure=False)
        if use.name != FUSED_SDPA.name and (use.on or (use.places and not use.missing))
    ]


def list_options(model: SwitchedModel) -> list[OptionChoice]:
    """Return the options of the switches of one model."""
    return [
        OptionChoice(
            option.field,
            option.label,
            _word(getattr(model.settings, option.field)),
            tuple(map(_word, option.choices)),
            option.default,
            "" if switch.is_on(model.settings) else _why(_problem_of_option(option, model)),
            option.note,
        )
        for switch in SWITCHES
        for option in switch.options
        if option.choices  # names with values are for a line of code
    ]


def read_option(name: str, word: str) -> Any:
    """Return the value of an option that a front end's word means.

    Raises
    ------
    LabValueError
        There is no such word.
    """
    option = next(option for switch in SWITCHES for option in switch.options if option.field == name)
    values = {_word(value): value for value in (None, *option.flags)}
    if word not in values:
        raise LabValueError(
            f"{word!r} is not a value of {option.label}; there are {', '.join(filter(None, values))}."
        )
    return values[word]


def _word(value: Any) -> str:
    return _WORDS[value] if value in _WORDS else str(value)


def _waits(switch: Switch, model: SwitchedModel) -> bool:
    return switch is HPU_GRAPHS and model.requested.hpu_graphs and not model.settings.hpu_graphs


def _problem_of_option(option: Option, model: SwitchedModel) -> LabError | None:
    return model.settings.replace(**{option.field: next(iter(option.flags))}).problem


def _mode_choice(now: Mode, mode: Mode, models: list[SwitchedModel]) -> Choice:
    notes = [_MEANING[mode]]
    if mode.is_lazy != now.is_lazy:
        notes += [
            FRESH_PROCESS if bridge.keeps_mode() else IN_PLACE,
            *_list_what_carries_over(mode, models),
        ]
    return Choice(str(mode), str(mode), mode is now, note=". ".join(notes) + ".")


def _list_what_carries_over(mode: Mode, models: list[SwitchedModel]) -> list[str]:
    """Say what becomes of variables and switches between lazy and eager mode."""
    carried = ["All variables and other switches stay"]
    graphs = [m.name for m in models if HPU_GRAPHS.is_on(m.settings)]
    waiting = [m.name for m in models if _waits(HPU_GRAPHS, m)]
    compiled = [m.name for m in models if COMPILE.is_on(m.settings)]
    if graphs and not mode.is_lazy:
        carried.append(f"HPU graphs of {', '.join(graphs)} go off and come back with lazy mode")
    if waiting and mode.is_lazy:
        carried.append(f"HPU graphs of {', '.join(waiting)} come back")
    if compiled and mode.is_lazy:
        carried.append(f"torch.compile of {', '.join(compiled)} goes off")
    return carried


def _why(problem: LabError | None) -> str:
    return "" if problem is None else problem.for_notebook()
