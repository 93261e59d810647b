"""What the panel shows, as plain data that can be sent: numbers and sentences, no objects."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from gaudi_lab import bridge, render, shapes
from gaudi_lab.instruments import attention
from gaudi_lab.notebook.panel import choices
from gaudi_lab.notebook.panel.call_log import LoggedCall
from gaudi_lab.notebook.panel.trial import Timing, Trial
from gaudi_lab.render import units
from gaudi_lab.report import Status
from gaudi_lab.workbench import export
from gaudi_lab.workbench.lab import Lab
from gaudi_lab.workbench.model import SwitchedModel

Data = dict[str, Any]


def badge() -> Data:
    """Return which bridge this is."""
    identity = bridge.identity()
    return {"emulated": identity.emulated, "text": str(identity)}


def status(workbench: Lab, names: tuple[str, ...] | None) -> Status:
    """Return the workbench's own status, of some models only."""
    whole = workbench.status()
    return replace(whole, models=tuple(m for m in whole.models if names is None or m.name in names))


def settings(workbench: Lab, names: tuple[str, ...] | None) -> Data:
    """Return the switches: what changes only when someone changes it.

    Parameters
    ----------
    workbench
        The workbench.
    names
        The models to show; None for all.
    """
    everyone = list(workbench.models.values())
    shown = [a for a in everyone if names is None or a.name in names]
    mode = workbench.mode
    return {
        "mode": str(mode),
        "modes": [asdict(choice) for choice in choices.list_modes(mode, everyone)],
        "models": [_model(attached, workbench) for attached in shown],
        "export": [asdict(code) for code in export.settings_as_code(mode, shown)],
    }


def live(workbench: Lab, names: tuple[str, ...] | None) -> Data:
    """Return what changes while models run: counters, memory, captured graphs."""
    counted, memory = bridge.counters(), bridge.memory()
    fallbacks = ", ".join(f"{name} {count}×" for name, count in sorted(counted.fallback_operators.items()))
    return {
        "counters": [
            _counter("Compiles", str(counted.compilations), f"taking {units.seconds(counted.compile_time)}"),
            _counter("CPU fallbacks", str(counted.cpu_fallbacks), fallbacks or "none"),
            _counter(
                "Device memory",
                units.size(memory.in_use) if memory else "–",
                f"{units.size(memory.peak)} at most, of {units.size(memory.limit)}"
                if memory
                else "not in use yet",
            ),
        ],
        "graphs": {
            name: [
                {
                    "part": graph.component,
                    "shapes": shapes.text(graph.shapes),
                    "replays": graph.replays,
                    "size": "–" if graph.size is None else units.size(graph.size),
                }
                for graph in attached.captured()
            ]
            for name, attached in list(workbench.models.items())
            if names is None or name in names
        },
    }


def call(logged: LoggedCall) -> Data:
    """Return one call. Times in seconds for the bars, as text for people."""
    iteration = logged.iteration
    compiling = min(iteration.compiling, iteration.wall_time)
    return {
        "n": iteration.number,
        "model": logged.model,
        "steady": iteration.steady,
        "compile": compiling,
        "inside": max(min(logged.inside, iteration.wall_time) - compiling, 0.0),
        "wall": iteration.wall_time,
        "shapes": logged.shapes,
        "settings": logged.settings,
        "causes": ", ".join(map(str, iteration.causes)),
        "remedy": "; ".join(dict.fromkeys(cause.remedy for cause in iteration.causes if cause.remedy)),
        "times": _times(logged),
    }


def trial(result: Trial) -> Data:
    """Return a trial."""
    rows = [("Now", result.now)] + ([("Before", result.before)] if result.before else [])
    return {
        "part": result.part,
        "rows": [_timing(label, timing) for label, timing in rows],
        "difference": _number(result.difference),
        "note": result.note,
        "caution": render.NO_GAUDI_TIMES if bridge.identity().emulated else "",
    }


def _model(attached: SwitchedModel, workbench: Lab) -> Data:
    status = attached.status()
    return {
        "name": attached.name,
        "kind": status.kind,
        "weights": f"{status.parameters:,} weights",
        "switches": [asdict(choice) for choice in choices.list_switches(attached, workbench.mode)],
        "options": [asdict(choice) for choice in choices.list_options(attached)],
        "attention": [
            {"part": part, "kind": type(module).__name__, "text": used}
            for part, module in attached.components.items()
            if (used := attention.in_use(module))
        ],
        "hpu_graphs": attached.settings.hpu_graphs,
    }


def _counter(name: str, value: str, detail: str) -> Data:
    return {"name": name, "value": value, "detail": detail}


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1e}" if value else "0"


def _times(logged: LoggedCall) -> str:
    iteration = logged.iteration
    parts = [units.seconds(iteration.wall_time)]
    if iteration.compilations:
        compiled = units.count(iteration.compilations, "compile")
        parts.append(f"{compiled} in {units.seconds(iteration.compiling)}")
    parts.append(f"{units.seconds(logged.inside)} in the call")
    return ", ".join(parts)


def _timing(label: str, timing: Timing) -> Data:
    return {
        "label": label,
        "settings": str(timing.settings),
        "first": units.seconds(timing.first),
        "after": f"{units.spread(timing.median, timing.spread)} ({units.count(len(timing.runs), 'run')})",
        "median": timing.median,
    }
