"""Shows in a notebook what an evaluation is doing, and in the end what it did."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from transformers import Trainer
from transformers.utils import notebook

from gaudi_lab import render, shapes
from gaudi_lab.measure.timeline import Timeline
from gaudi_lab.rendered import Rendered
from gaudi_lab.shapes import Shapes

_OFTEN = 0.2
"""Seconds between two updates while nothing new happens."""


@dataclass(frozen=True, repr=False)
class Phase(Rendered):
    """What is going on.

    Attributes
    ----------
    batch
        1 for the first.
    batches
        How many there are; None where that is not known.
    graph
        Number of the graph that is being compiled; None if none is expected.
    new
        The shapes, if they are new.
    emulated
        Whether the device is emulated on the CPU.
    """

    batch: int
    batches: int | None
    graph: int | None = None
    new: Shapes = ()
    emulated: bool = False


@render.line.register
def _(phase: Phase) -> str:
    doing = [f"compiling graph {phase.graph}"] if phase.graph is not None else []
    if phase.new:
        doing.append(f"new shape {shapes.text(phase.new)}")
    where = f"batch {phase.batch}" + (f" of {phase.batches}" if phase.batches is not None else "")
    return " · ".join(filter(None, [where, ", ".join(doing), render.EMULATED if phase.emulated else ""]))


class Display:
    """One output of a notebook cell: the phase while it runs, then the timeline."""

    def __init__(self) -> None:
        self._output: Any = None
        self._shown_at = 0.0

    def show_batch(self, phase: Phase) -> None:
        """Show `phase`, unless something as plain was shown just now."""
        plain = phase.graph is None and not phase.new
        if plain and time.monotonic() - self._shown_at < _OFTEN:
            return
        self._show(phase)

    def show_timeline(self, timeline: Timeline) -> None:
        """Leave the timeline in the output."""
        self._show(timeline)

    def _show(self, result: Any) -> None:
        from IPython.display import display

        self._shown_at = time.monotonic()
        if self._output is None:
            self._output = display(result, display_id=True)
        else:
            self._output.update(result)


class TrainingProgress(notebook.NotebookProgressCallback):
    """transformers' own progress while training, and nothing outside: `Display` is there.

    Its `on_evaluate` takes runtime and throughput out of the metrics that `evaluate` then returns.
    """

    def on_prediction_step(self, *args: Any, **kwargs: Any) -> None:
        """Pass on what happens while training."""
        if self.training_tracker is not None:
            super().on_prediction_step(*args, **kwargs)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Pass on what happens while training."""
        if self.training_tracker is not None:
            super().on_evaluate(args, state, control, metrics=dict(metrics or {}), **kwargs)


def leave_evaluations_out(trainer: Trainer) -> None:
    """Replace transformers' notebook progress, if `trainer` has it, by the one that leaves evaluations to us."""
    if trainer.pop_callback(notebook.NotebookProgressCallback) is not None:
        trainer.add_callback(TrainingProgress)
