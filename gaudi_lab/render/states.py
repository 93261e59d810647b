"""How the state of the workbench and a change of it are laid out."""

from __future__ import annotations

from collections.abc import Iterable

from gaudi_lab import shapes
from gaudi_lab.render import layout, units
from gaudi_lab.report import CapturedGraph, Change, ModelChange, ModelStatus, Status
from gaudi_lab.settings import Settings


@layout.line.register
def _(status: Status) -> str:
    names = ", ".join(model.name for model in status.models) or "no model attached"
    when = "" if status.loaded else "the bridge loads when it is first needed"
    return layout.join(f"{status.mode} mode", names, str(status.bridge), when)


@layout.text.register
def _(status: Status) -> str:
    lines = [str(status)]
    if status.models:
        rows = [
            (m.name, m.kind, str(m.device or "–"), m.attention or "–", compiled(m), graphs(m))
            for m in status.models
        ]
        heads = ("model", "class", "device", "attention", "compiled", "HPU graphs")
        lines += layout.table(heads, rows, left=set(range(6)))
    return "\n".join([*lines, *facts(status)])


@layout.html.register
def _(status: Status) -> str:
    return layout.rendered(
        "status.html.j2", status=status, facts=facts(status), compiled=compiled, graphs=graphs
    )


def facts(status: Status) -> list[str]:
    """Return the counters and the memory of a status, in sentences without a full stop."""
    if not status.loaded:
        return []
    counted = status.counters
    told = [
        f"{units.count(counted.compilations, 'graph')} compiled so far, "
        f"taking {units.seconds(counted.compile_time)}"
        if counted.compilations
        else "no graphs compiled so far"
    ]
    if counted.cpu_fallbacks:
        names = ", ".join(sorted(counted.fallback_operators))
        told.append(f"{units.count(counted.cpu_fallbacks, 'operator')} ran on the host: {names}")
    if (memory := status.memory) is not None:
        told.append(
            f"device memory {units.size(memory.in_use)} in use, {units.size(memory.peak)} at most, "
            f"of {units.size(memory.limit)}"
        )
    return told


def compiled(model: ModelStatus) -> str:
    """Say whether a model is compiled."""
    return "torch.compile" if model.compiled else "–"


def graphs(model: ModelStatus) -> str:
    """Say which HPU graphs a model has, by input shape."""
    if not model.settings.hpu_graphs:
        return "–"
    return "; ".join(map(_graph, model.graphs)) or "on, none captured yet"


def _graph(graph: CapturedGraph) -> str:
    where = f"{graph.component} " if graph.component else ""
    return f"{where}{shapes.text(graph.shapes)}, {units.count(graph.replays, 'replay')}"


@layout.line.register
def _(change: Change) -> str:
    if not change:
        return layout.join(
            f"{change.after} mode", "nothing to change", layout.EMULATED if change.emulated else ""
        )
    moved = change.before is not change.after
    mode = f"{change.before} → {change.after}" if moved else f"{change.after} mode"
    models = [phrase for model in change.models if (phrase := _model_change(model, change))]
    return layout.join(mode, *models, *change.notes, layout.EMULATED if change.emulated else "")


def _model_change(model: ModelChange, change: Change) -> str:
    if model.after is None:
        return f"{model.name} detached"
    switched = list(_switched(model, model.before or Settings(model.after.mode), model.after, change))
    if model.before is None:
        switched.insert(0, "attached")
    return f"{model.name}: {', '.join(switched)}" if switched else ""


def _switched(model: ModelChange, before: Settings, after: Settings, change: Change) -> Iterable[str]:
    if before.hpu_graphs != after.hpu_graphs:
        yield f"HPU graphs {_on(after.hpu_graphs)}" + (" until lazy mode returns" * model.graphs_wait)
    options = ("fused_sdpa", "recompute", "softmax")
    if any(getattr(before, name) != getattr(after, name) for name in options):
        yield f"{after.sdpa_options} {_on(after.fused_sdpa)}"
    if before.mode is not after.mode and change.before is change.after:
        yield f"torch.compile {_on(after.mode.value == 'compile')}"


def _on(switch: bool) -> str:
    return "on" if switch else "off"
