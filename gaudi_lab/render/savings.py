"""How fused operators, their places and what they save are laid out."""

from __future__ import annotations

from gaudi_lab.render import layout, units
from gaudi_lab.report import OperatorPlace, Operators, OperatorUse

_HEADS = ("operator", "ask for", "model", "on", "places", "operator calls", "memory")


@layout.line.register
def _(operators: Operators) -> str:
    have = list(dict.fromkeys(use.label for use in operators.uses if not use.missing))
    on = [f"{use.name} on in {use.model}" for use in operators.uses if use.on]
    return layout.join(f"{units.count(len(have), 'operator')}: {', '.join(have)}", *on, str(operators.bridge))


@layout.text.register
def _(operators: Operators) -> str:
    rows = [_cells(use) for use in operators.uses]
    lines = layout.table(_HEADS, rows, left={0, 1, 2, 3, 4})
    return "\n".join([*lines, *_facts(operators), str(operators.bridge)])


@layout.html.register
def _(operators: Operators) -> str:
    rows = [{"cells": _cells(use), "meaning": use.meaning, "paths": _paths(use)} for use in operators.uses]
    return layout.rendered(
        "operators.html.j2", operators=operators, heads=_HEADS, rows=rows, facts=_facts(operators)
    )


def _cells(use: OperatorUse) -> tuple[str, ...]:
    saving = use.saving
    return (
        use.label,
        use.name,
        use.model or "–",
        "on" if use.on else "–",
        _places(use),
        "{:,} → {:,}".format(*saving.operators) if saving else "–",
        " → ".join(map(units.size, saving.memory)) if saving and saving.memory else "–",
    )


def _places(use: OperatorUse) -> str:
    if not use.places:
        unknown = "not known" if use.not_measured else "none"
        return unknown if use.model and not use.missing else "–"
    good = len(use.established)
    kinds = ", ".join(dict.fromkeys(place.kind for place in use.places))
    return f"{good} of {len(use.places)} {kinds}" if good < len(use.places) else f"{good} {kinds}"


def _paths(use: OperatorUse) -> list[str]:
    return [
        f"{place.path or '(the model)'}{f': {place.reason}' if place.reason else ''}" for place in use.places
    ]


def _facts(operators: Operators) -> list[str]:
    """Return what is missing, not established or not measured, in sentences without a full stop."""
    told: dict[str, None] = {}
    for use in operators.uses:
        model = f"{use.name} in {use.model}" if use.model else use.name
        if use.missing:
            told[f"{use.name}: {use.missing}"] = None
            continue
        for reason in dict.fromkeys(place.reason for place in use.places if place.reason):
            told[f"{model}: {reason}, {_which(use.places, reason)}"] = None
        if use.not_measured:
            names = [x.name for x in operators.uses if _unmeasured(x) == _unmeasured(use)]
            where = f"{', '.join(use.parts_not_measured)} of " if use.parts_not_measured else ""
            told[f"{', '.join(names)} in {where}{use.model}: not measured, {use.not_measured}"] = None
        if use.saving and use.saving.memory is None:
            told[
                "memory is measured in eager mode only: in lazy mode nothing is computed until the call is over"
            ] = None
        for calls in use.plain_calls:
            told[f"{use.model}: {calls}"] = None
    return [*told, *operators.own]


def _unmeasured(use: OperatorUse) -> tuple[str, str, tuple[str, ...]]:
    return use.model, use.not_measured, use.parts_not_measured


def _which(places: tuple[OperatorPlace, ...], reason: str) -> str:
    paths = [place.path for place in places if place.reason == reason]
    return f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else paths[0] or "the model itself"
