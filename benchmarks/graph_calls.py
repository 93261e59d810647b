"""What lies around an HPU graph's program at each call, in the bridge and in the workbench above it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from habana_frameworks.torch.hpu import wrap_in_hpu_graph
from torch import nn

from gaudi_lab.emulator.device.on_the_host import on_the_host
from gaudi_lab.emulator.lazy.compile import CompiledProgram
from gaudi_lab.instruments.graphs import hpu_graphs

CALLS = 50


class Sum(nn.Module):
    """Adds parameters to its input, one after the other."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.added = nn.ParameterList([nn.Parameter(torch.randn(4, 4)) for _ in range(count)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        for parameter in self.added:
            x = x + parameter
        return x


def table(rounds: int) -> None:
    """Print a row for a graph of few inputs and one of many."""
    print(f"\n{'around a graph, CPU time':<40}{'µs, bridge':>14}{'workbench':>14}{'limit':>8}")
    for inputs in (2, 42):
        for label, fresh in (("same input again", False), ("new input", True)):
            over = around(inputs, fresh, rounds)
            bridge, workbench = map(statistics.median, over)
            limit = 15 + 0.5 * inputs
            print(f"{f'{inputs} inputs, {label}':<40}{bridge:>14.1f}{workbench:>14.1f}{limit:>8.1f}")


def around(inputs: int, fresh: bool, rounds: int) -> tuple[list[float], list[float]]:
    """Return the microseconds over the program itself of calls of the bridge's graph, and of the workbench's."""
    first, second = torch.randn(4, 4, device="hpu"), torch.randn(4, 4, device="hpu")
    wrapped = wrap_in_hpu_graph(Sum(inputs - 1).eval().to("hpu"))
    guarded = Sum(inputs - 1).eval().to("hpu")
    handle = hpu_graphs(guarded)
    programs: list[tuple[CompiledProgram, list[torch.Tensor]]] = []
    run = CompiledProgram.run

    def note(program: CompiledProgram, holders: list[object]) -> object:
        programs.append((program, [holder.host for holder in holders]))  # type: ignore[attr-defined]
        return run(program, holders)

    for model in (wrapped, guarded):
        model(first)
    CompiledProgram.run = note  # type: ignore[method-assign,assignment]
    wrapped(first)
    CompiledProgram.run = run  # type: ignore[method-assign]
    program, hosts = programs[-1]
    by_steps = program.by_steps()
    given = second if fresh else first
    times: dict[str, list[float]] = {"program": [], "bridge": [], "workbench": []}
    for _ in range(rounds * 4):
        with on_the_host(program.dtype):
            times["program"].append(_seconds(lambda: by_steps(*hosts)))
        times["bridge"].append(_seconds(lambda: wrapped.forward(given)))
        times["workbench"].append(_seconds(lambda: guarded.forward(given)))
    handle.remove()
    own = times["program"]
    bridge, workbench = (
        [(a - b) * 1e6 for a, b in zip(times[name], own, strict=True)] for name in ("bridge", "workbench")
    )
    return bridge, workbench


def _seconds(call: Callable[[], object]) -> float:
    started = time.thread_time()
    for _ in range(CALLS):
        call()
    return (time.thread_time() - started) / CALLS
