"""How the state of the workbench and a change of it are laid out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from gaudi_lab import shapes
from gaudi_lab.render import layout, units
from gaudi_lab.report import CapturedGraph, Change, ModelChange, ModelStatus, Status
from gaudi_lab.settings import COMPILE, FUSED_SDPA, HPU_GRAPHS, OPERATORS, SWITCHES, Settings, Switch


@layout.line.register
def _(status: Status) -> str:
    names = ", ".join(model.name for model in status.models) or "no model attached"
    when = "" if status.loaded else "the bridge loads when it is first needed"
    return layout.join(f"{status.mode} mode", names, str(status.bridge), when)


@layout.text.register
def _(status: Status) -> str:
    lines = [str(status)]
    if status.models:
        heads = ("model", "class", "device", *SWITCH_HEADS)
        rows = [(m.name, m.kind, m.device or "–", *switch_cells(m)) for m in status.models]
        lines += layout.table(heads, rows, left=set(range(len(heads))))
    return "\n".join([*lines, *facts(status)])


@layout.html.register
def _(status: Status) -> str:
    return layout.rendered(
        "status.html.j2", status=status, facts=facts(status), heads=SWITCH_HEADS, cells=switch_cells
    )


def facts(status: Status) -> list[str]:
    """Return the counters, the memory and what graphs were refused, in sentences without a full stop."""
    if not status.loaded:
        return []
    counted = status.counters
    told = [f"{model.name} {refusal}" for model in status.models for refusal in model.refusals]
    told += [f"{model.name}: {value}" for model in status.models for value in model.uncomputed]
    told += [f"{model.name}: {calls}" for model in status.models for calls in model.plain_calls]
    told += [
        f"{units.count(counted.compilations, 'graph')} compiled by the bridge so far, "
        f"taking {units.seconds(counted.compile_time)}"
        if counted.compilations
        else "no graphs compiled so far"
    ]
    if counted.cpu_fallbacks:
        names = ", ".join(sorted(counted.fallback_operators))
        told.append(f"{units.count(counted.cpu_fallbacks, 'operator')} ran on the host: {names}")
    told += counted.miscompiled
    told += _stepwise(counted.passed_over)
    if (memory := status.memory) is not None:
        told.append(
            f"device memory {units.size(memory.in_use)} in use, {units.size(memory.peak)} at most, "
            f"of {units.size(memory.limit)}"
        )
    return told


def _stepwise(passed_over: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return a sentence for each compiler: how many graphs it does not run, and the reasons, the commonest first."""
    told = []
    for compiler in dict.fromkeys([name for _, name, _ in passed_over]):
        reasons = Counter([reason for _, name, reason in passed_over if name == compiler])
        named = [
            f"{reason} ({number})" if number > 1 else reason
            for reason, number in reasons.most_common(_REASONS)
        ]
        if len(reasons) > _REASONS:
            named.append(f"{units.count(len(reasons) - _REASONS, 'reason')} more")
        graphs = units.count(sum(reasons.values()), "graph")
        runs = "runs" if sum(reasons.values()) == 1 else "run"
        told.append(f"{graphs} {runs} step by step and not by {compiler}: {'; '.join(named)}")
    return told


_REASONS = 3
"""So many reasons of one compiler are told."""

_HEADS = {FUSED_SDPA.name: "attention", COMPILE.name: "compiled"}
_COLUMNS = sorted(SWITCHES, key=lambda switch: switch is HPU_GRAPHS)  # last, as its cells are long
SWITCH_HEADS = [_HEADS.get(switch.name, switch.label) for switch in _COLUMNS]
"""What the switches' columns of a status table are called."""


def switch_cells(model: ModelStatus) -> list[str]:
    """Return what a status table says of each switch of a model: more than on and off, where there is more."""
    return [_switch_cell(switch, model) or "–" for switch in _COLUMNS]


def _switch_cell(switch: Switch, model: ModelStatus) -> str:
    if switch is FUSED_SDPA:
        return model.attention
    if not switch.is_on(model.settings):
        return ""
    if switch is OPERATORS:
        return ", ".join(model.settings.operators)
    if switch is HPU_GRAPHS:
        return _describe_graphs(model.graphs) or "on, none captured yet"
    return switch.describe(model.settings)


_GRAPHS = 4
"""So many graphs of a model are told one by one."""


def _describe_graphs(graphs: Sequence[CapturedGraph]) -> str:
    if len(graphs) <= _GRAPHS:
        return "; ".join(map(_describe_graph, graphs))
    most = max(graphs, key=lambda graph: graph.replays)
    never = [graph for graph in graphs if not graph.replays]
    told = [f"{len(graphs)} graphs{_sizes(graphs)}"]
    told += [f"most replayed: {_describe_graph(most)}"] if most.replays else []
    told += [f"{len(never)} never replayed{_sizes(never)}"] if never else []
    return "; ".join(told)


def _sizes(graphs: Sequence[CapturedGraph]) -> str:
    """Return what graphs hold together, with a comma before it; nothing where that is not known of all."""
    sizes = [graph.size for graph in graphs if graph.size is not None]
    return f", {units.size(sum(sizes))}" if len(sizes) == len(graphs) else ""


def _describe_graph(graph: CapturedGraph) -> str:
    where = f"{graph.component} " if graph.component else ""
    replays = units.count(graph.replays, "replay") if graph.replays else "never replayed"
    size = f", {units.size(graph.size)}" if graph.size is not None else ""
    return f"{where}{shapes.text(graph.shapes)}, {replays}{size}"


@layout.line.register
def _(change: Change) -> str:
    if not change:
        return layout.join(
            f"{change.after} mode", "nothing to change", layout.EMULATED if change.emulated else ""
        )
    moved = change.before is not change.after
    mode = f"{change.before} → {change.after}" if moved else f"{change.after} mode"
    return layout.join(mode, *list_changes(change), layout.EMULATED if change.emulated else "")


def list_changes(change: Change) -> list[str]:
    """Return what a change did beside the mode: a phrase for each model, and its notes."""
    models = [phrase for model in change.models if (phrase := _model_change(model, change))]
    return [*models, *change.notes]


def _model_change(model: ModelChange, change: Change) -> str:
    if model.after is None:
        return f"{model.name} detached"
    switched = list(_list_moves(model, model.before or Settings(model.after.mode), model.after, change))
    if model.before is None:
        switched.insert(0, "attached")
    return f"{model.name}: {', '.join(switched)}" if switched else ""


def _list_moves(model: ModelChange, before: Settings, after: Settings, change: Change) -> Iterable[str]:
    for switch in SWITCHES:
        on = switch.is_on(after)
        if switch is OPERATORS:
            yield from _list_operators(before, after)
            continue
        if on == switch.is_on(before) and switch.chosen(after) == switch.chosen(before):
            continue
        if switch is COMPILE and change.before is not change.after:
            continue  # the mode says so already
        waits = " until lazy mode returns" * (switch is HPU_GRAPHS and model.graphs_wait)
        yield f"{switch.describe(after)} {'on' if on else 'off'}{waits}"


def _list_operators(before: Settings, after: Settings) -> Iterable[str]:
    for name in sorted({*before.operators, *after.operators}):
        if (name in before.operators) != (name in after.operators):
            yield f"{name} {'on' if name in after.operators else 'off'}"
