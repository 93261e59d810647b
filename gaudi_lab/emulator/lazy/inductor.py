"""Inductor as the compiler of a recorded program: fused C++ instead of one call for each operator."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from gaudi_lab.emulator.device.random import is_random
from gaudi_lab.emulator.device.schema import updated_statistics, writes
from gaudi_lab.emulator.lazy import recipes, replay
from gaudi_lab.emulator.lazy.compilers import Program, Runner
from gaudi_lab.emulator.lazy.program import Meta, Slot, Step

NAME = "Inductor"


def compile_program(
    program: Program, holders: Sequence[Any], hosts: Sequence[torch.Tensor], values: Sequence[torch.Tensor]
) -> tuple[Runner, bool] | None:
    """Return the program as C++, and if it was on disk; see `compilers.Compiler`."""
    before = recipes.inductor_hits()
    run = compile_steps(program.steps, program.wanted, hosts)
    cached = recipes.disk() is not None and recipes.inductor_hits() > before
    return (run, cached) if program.agrees(run(*hosts), values) else None


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
    """Return why no compiler but replay may have this program, as the end of a sentence; empty if it may.

    Random numbers would come from another stream than in eager mode, and a program that writes into its inputs
    would be compiled for the way in which they share memory today. So what may be compiled can be run twice, and
    the two runs compared.
    """
    if any(not isinstance(host, torch.Tensor) for host in hosts):
        return "it has a generator among its inputs"
    for step in steps:
        if step.wider:
            return f"{step.func} is computed in a wider dtype"
        if step.func is not None and is_random(step.func):
            return f"{step.func} draws random numbers"
        if step.func is not None and _writes(step):
            return f"{step.func} writes into its inputs"
    return ""


def _writes(step: Step) -> bool:
    return bool(writes(step.func) or updated_statistics(step.func, step.args, step.kwargs))


def to_fx(steps: list[Step], wanted: tuple[int, ...]) -> fx.GraphModule:
    """Return the program as an FX graph over the same operators."""
    graph = fx.Graph()
    nodes: dict[int, fx.Node] = {}

    def argument(x: Any) -> Any:
        if x.__class__ is Slot:
            return nodes[x.number]
        return [argument(y) for y in x] if x.__class__ is list else x

    for step in steps:
        if step.func is None:
            nodes[step.first] = graph.placeholder(f"v{step.first}")
            continue
        node = graph.call_function(
            step.func,
            tuple([argument(x) for x in step.args]),
            {k: argument(x) for k, x in step.kwargs.items()},
        )
        _bind(graph, node, step.result, iter(replay.slots_of(step)), nodes)
    graph.output(tuple([nodes[slot] for slot in wanted]))
    return fx.GraphModule(torch.nn.Module(), graph)


def _bind(graph: fx.Graph, node: fx.Node, result: Any, slots: Any, nodes: dict[int, fx.Node]) -> None:
    if result.__class__ is Meta:
        nodes[next(slots)] = node
    elif result.__class__ in (list, tuple):
        for position, part in enumerate(result):
            if part is not None:
                _bind(graph, graph.call_function(operator.getitem, (node, position)), part, slots, nodes)
