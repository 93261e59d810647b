"""Inductor as the compiler of a recorded program: fused C++ instead of one call for each operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from gaudi_lab.emulator.device.schema import writes
from gaudi_lab.emulator.lazy import recipes, replay
from gaudi_lab.emulator.lazy.compilers import FirstRun, Program, Runner, why_not_twice
from gaudi_lab.emulator.lazy.program import Step
from gaudi_lab.emulator.lazy.recorded_graph import to_fx

NAME = "Inductor"


def compile_program(program: Program, first: FirstRun) -> tuple[Runner, bool] | None:
    """Return the program as C++, and if it was on disk; see `compilers.Compiler`."""
    before = recipes.inductor_hits()
    run = compile_steps(program.steps, program.wanted, first.hosts)
    cached = recipes.disk() is not None and recipes.inductor_hits() > before
    return (run, cached) if program.agrees(run(*first.hosts), first.values) else None


def compile_steps(
    steps: list[Step], wanted: tuple[int, ...], hosts: Sequence[torch.Tensor]
) -> Callable[..., Sequence[torch.Tensor]]:
    """Return a function of the program's inputs, compiled for inputs laid out like `hosts`."""
    from torch._guards import TracingContext, tracing
    from torch._inductor.compile_fx import compile_fx
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    metas = {
        slot: meta for step in steps for slot, meta in zip(replay.slots_of(step), step.metas(), strict=True)
    }
    # With a shape environment of its own the compiled code can be kept on disk. No size is a symbol.
    fake = FakeTensorMode(shape_env=ShapeEnv())
    examples = [fake.from_tensor(host, static_shapes=True) for host in hosts]
    with torch.no_grad(), tracing(TracingContext(fake)):
        compiled: Any = compile_fx(to_fx(steps, wanted), examples)

    def run(*inputs: Any) -> Sequence[torch.Tensor]:
        with torch.no_grad():
            values = compiled(*inputs)
        return [replay.conform(value, metas[slot]) for slot, value in zip(wanted, values, strict=True)]

    return run


def why_not(steps: list[Step], hosts: Sequence[Any]) -> str:
    """Return why Inductor may not have this program, as the end of a sentence; empty if it may.

    A program that writes would be compiled for the way in which its inputs share memory today.
    """
    if reason := why_not_twice(steps, hosts):
        return reason
    writing = next((step for step in steps if step.func is not None and writes(step.func)), None)
    return "" if writing is None else f"{writing.func} writes into its inputs"
