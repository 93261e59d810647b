"""How each result is laid out: its one line, its text, and the template of its HTML."""

from __future__ import annotations

import functools
import itertools
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from gaudi_lab import shapes
from gaudi_lab.modes import Settings
from gaudi_lab.render import units
from gaudi_lab.report import CapturedGraph, Change, ModelChange, ModelStatus, Status
from gaudi_lab.warmup.timeline import Iteration, Timeline

EMULATED = "emulated on CPU"
NO_GAUDI_TIMES = "emulated on CPU, these are not Gaudi times"

_SEPARATOR = " · "


@functools.singledispatch
def line(result: Any) -> str:
    """Return a result as one line."""
    raise TypeError(f"There is no line for a {type(result).__name__}.")


@functools.singledispatch
def text(result: Any) -> str:
    """Return a result as text of as many lines as it needs."""
    return line(result)


@functools.singledispatch
def html(result: Any) -> str:
    """Return a result as HTML that reads without JavaScript, and as a plain table without CSS."""
    return _render("line.html.j2", line=line(result))


# --- warm-up ---


@line.register
def _(iteration: Iteration) -> str:
    what = ", ".join(map(str, iteration.causes)) or "steady"
    compiled = units.count(iteration.compilations, "compile")
    return _join(f"run {iteration.number}", units.seconds(iteration.wall_time), compiled, what)


@line.register
def _(timeline: Timeline) -> str:
    return _join(*summary(timeline), NO_GAUDI_TIMES if timeline.emulated else "")


def summary(timeline: Timeline) -> list[str]:
    """Return what a warm-up comes to, in phrases."""
    if not timeline.iterations:
        return ["nothing was run"]
    phrases = []
    if timeline.interrupted:
        phrases.append(f"interrupted after {units.count(len(timeline.iterations), 'run')}")
    if timeline.warmup_time:
        phrases.append(f"warm-up {units.seconds(timeline.warmup_time)}")
    if timeline.compilations:
        compiled = units.count(timeline.compilations, "graph")
        phrases.append(f"{compiled} compiled in {units.seconds(timeline.compile_time)}")
    to_steady = timeline.iterations_to_steady
    if to_steady is None:
        phrases.append("not steady yet")
    elif to_steady == 0:
        phrases.append("steady from the start")
    else:
        phrases.append(f"steady after {units.count(to_steady, 'run')}")
    if timeline.steady_median is not None:
        runs = units.count(len(timeline.steady), "run")
        median = (
            units.seconds(timeline.steady_median)
            if timeline.steady_spread is None
            else units.spread(timeline.steady_median, timeline.steady_spread)
        )
        phrases.append(f"then {median} ({runs})")
    return phrases


@text.register
def _(timeline: Timeline) -> str:
    rows = [
        (
            stretch.label,
            stretch.wall_time,
            str(stretch.compilations) if stretch.compilations else "–",
            units.seconds(stretch.compile_time) if stretch.compilations else "–",
            ", ".join(map(str, stretch.causes)) or "–",
        )
        for stretch in _stretches(timeline)
    ]
    table = _table(("run", "wall time", "compiled", "compile time", "what was new"), rows, left={4})
    return "\n".join((*([timeline.settings] if timeline.settings else []), *table, str(timeline)))


@html.register
def _(timeline: Timeline) -> str:
    longest = max((i.wall_time for i in timeline.iterations), default=0.0) or 1.0
    bars = [
        {
            "stretch": stretch,
            "compile": 100 * min(stretch.compile_time, stretch.seconds) / longest,
            "run": 100 * max(stretch.seconds - stretch.compile_time, 0.0) / longest,
        }
        for stretch in _stretches(timeline)
    ]
    return _render("timeline.html.j2", timeline=timeline, bars=bars, summary=_join(*summary(timeline)))


@dataclass(frozen=True)
class _Stretch:
    """Iterations that share one row of a table: one, or several steady ones."""

    iterations: tuple[Iteration, ...]

    @property
    def label(self) -> str:
        first, last = self.iterations[0].number, self.iterations[-1].number
        return str(first) if first == last else f"{first}–{last}"

    @property
    def seconds(self) -> float:
        return statistics.median(i.wall_time for i in self.iterations)

    @property
    def wall_time(self) -> str:
        return units.seconds(self.seconds) + (" each" if len(self.iterations) > 1 else "")

    @property
    def compilations(self) -> int:
        return self.iterations[0].compilations

    @property
    def compile_time(self) -> float:
        return self.iterations[0].compile_time

    @property
    def causes(self) -> tuple[Any, ...]:
        return self.iterations[0].causes


_MANY = 12
"""With more iterations than these, steady ones in a row share a row of a table."""

_FEW = 3
"""So many in a row keep a row each even then."""


def _stretches(timeline: Timeline) -> Iterator[_Stretch]:
    fold = len(timeline.iterations) > _MANY
    for steady, group in itertools.groupby(timeline.iterations, key=lambda i: i.steady):
        members = tuple(group)
        if fold and steady and len(members) > _FEW:
            yield _Stretch(members)
        else:
            yield from (_Stretch((member,)) for member in members)


# --- state ---


@line.register
def _(status: Status) -> str:
    names = ", ".join(model.name for model in status.models) or "no model attached"
    when = "" if status.loaded else "the bridge loads when it is first needed"
    return _join(f"{status.mode} mode", names, str(status.bridge), when)


@text.register
def _(status: Status) -> str:
    lines = [str(status)]
    if status.models:
        rows = [
            (m.name, m.kind, str(m.device or "–"), m.attention or "–", compiled(m), graphs(m))
            for m in status.models
        ]
        heads = ("model", "class", "device", "attention", "compiled", "HPU graphs")
        lines += _table(heads, rows, left=set(range(6)))
    return "\n".join([*lines, *facts(status)])


@html.register
def _(status: Status) -> str:
    return _render("status.html.j2", status=status, facts=facts(status), compiled=compiled, graphs=graphs)


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


@line.register
def _(change: Change) -> str:
    if not change:
        return _join(f"{change.after} mode", "nothing to change", EMULATED if change.emulated else "")
    moved = change.before is not change.after
    mode = f"{change.before} → {change.after}" if moved else f"{change.after} mode"
    models = [phrase for model in change.models if (phrase := _model_change(model, change))]
    return _join(mode, *models, *change.notes, EMULATED if change.emulated else "")


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


# --- parts ---


def _join(*phrases: str) -> str:
    return _SEPARATOR.join(filter(None, phrases))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: set[int]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (heads, *rows)
    ]


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gaudi_lab.render"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["seconds"] = units.seconds
    environment.filters["thousands"] = "{:,}".format
    environment.globals["style"] = Markup(
        resources.files("gaudi_lab.render").joinpath("style.css").read_text(encoding="utf-8")
    )
    environment.globals["emulated_badge"] = EMULATED
    return environment


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)
