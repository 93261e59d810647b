"""Times a model on the last input it has seen, with the settings of now and with those before."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from gaudi_lab import bridge
from gaudi_lab.errors import LabError
from gaudi_lab.instruments.guard.graph_check import CHECKS
from gaudi_lab.measure.timeline import spread
from gaudi_lab.settings import Settings
from gaudi_lab.workbench.lab import Lab
from gaudi_lab.workbench.model import SwitchedModel
from gaudi_lab.workbench.subjects import switched

BUDGET = 1.0
"""Seconds after which no further run is started."""

MOST_RUNS = 10
FEWEST_RUNS = 3


@dataclass(frozen=True)
class Timing:
    """How long a model took with some settings; all times in seconds, with the device finished.

    Attributes
    ----------
    settings
        The switches.
    first
        The first run, with whatever it compiled.
    runs
        The runs after it, without those that verify an HPU graph.
    """

    settings: Settings
    first: float
    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the runs after the first."""
        return statistics.median(self.runs)

    @property
    def spread(self) -> float:
        """Half the width of the middle half of these runs."""
        return spread(self.runs)


@dataclass(frozen=True)
class Trial:
    """The settings of now beside those before.

    Attributes
    ----------
    part
        The component that was timed; empty for a module.
    now, before
        The timings; `before` is None if there were no other settings yet, or they cannot be gone back to.
    difference
        The largest difference between any two numbers of the outputs; None with nothing to compare.
    note
        What else is worth knowing.
    """

    part: str
    now: Timing
    before: Timing | None = None
    difference: float | None = None
    note: str = ""


def run(
    workbench: Lab, attached: SwitchedModel, seconds: Mapping[str, float], before: Settings | None
) -> Trial:
    """Time the component of a model that took the most time so far, of those that can be called again.

    Parameters
    ----------
    workbench
        Where the model is attached. Its switches are moved and put back.
    attached
        The model.
    seconds
        What was spent in calls of its components.
    before
        The settings to compare with, if any.

    Raises
    ------
    LabError
        If it has not been called yet, or only with what cannot be given again.
    """
    inputs = attached.last_inputs
    part = max(inputs or attached.components, key=lambda name: seconds.get(name, 0.0))
    if not inputs:
        raise LabError(f"{attached.name} has no input to try: {attached.why_no_inputs(part)}.")
    module, (args, kwargs) = attached.components[part], inputs[part]

    def call() -> Any:
        with torch.no_grad():
            return module(*args, **kwargs)

    note = "In training mode: dropout makes outputs differ" if module.training else ""
    if before is None or before == attached.settings:
        now, _ = _timed(attached.settings, call)
        return Trial(part, now, note=note or "No other settings to compare with yet")
    trouble = "cannot be gone back to here"
    try:
        # Those before go first, so that what is captured and compiled at the end is what is on.
        with switched(workbench, [attached.name], before):
            trouble = "does not run here"
            other, other_output = _timed(before, call)
    except LabError as problem:
        now, _ = _timed(attached.settings, call)
        return Trial(part, now, note=f"{before} {trouble}. {problem.for_notebook()}")
    now, output = _timed(attached.settings, call)
    return Trial(part, now, other, _largest_difference(output, other_output), note)


def _timed(settings: Settings, call: Callable[[], Any]) -> tuple[Timing, list[torch.Tensor]]:
    first, output = _once(call)
    # A graph's next replay writes into the same tensors.
    kept = [tensor.detach().to("cpu", copy=True) for tensor in _tensors(output)]
    if settings.hpu_graphs and settings.verify:
        for _ in range(CHECKS):
            call()
    runs: list[float] = []
    while len(runs) < FEWEST_RUNS or (len(runs) < MOST_RUNS and sum(runs) < BUDGET):
        runs.append(_once(call)[0])
    return Timing(settings, first, tuple(runs)), kept


def _once(call: Callable[[], Any]) -> tuple[float, Any]:
    bridge.settle()
    started = time.perf_counter()
    output = call()
    bridge.settle()
    return time.perf_counter() - started, output


def _tensors(output: Any) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, dict):
        return [tensor for value in output.values() for tensor in _tensors(value)]
    if isinstance(output, (list, tuple)):
        return [tensor for value in output for tensor in _tensors(value)]
    return (
        [tensor for value in vars(output).values() for tensor in _tensors(value)]
        if _is_record(output)
        else []
    )


def _is_record(output: Any) -> bool:
    return hasattr(output, "__dict__") and not isinstance(output, torch.nn.Module)


def _largest_difference(some: list[torch.Tensor], others: list[torch.Tensor]) -> float | None:
    pairs = [(a, b) for a, b in zip(some, others, strict=False) if a.shape == b.shape and a.numel()]
    if not pairs or len(some) != len(others):
        return None
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)
