"""A recorded program as an FX graph: as it was recorded, or without writes, for compilers that know only values."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import fx

from gaudi_lab.emulator.device.schema import is_view, writes, written
from gaudi_lab.emulator.lazy import replay
from gaudi_lab.emulator.lazy.program import Meta, Slot, Step


class PureGraph(NamedTuple):
    """A program that writes into nothing.

    Attributes
    ----------
    module
        A function of the program's inputs. It returns what the program returns, then what it leaves in those inputs
        that it writes into. What each node returns stands in its `meta`, as a tensor without values named ``val``.
    updated
        The positions of these inputs, in this order.
    """

    module: fx.GraphModule
    updated: tuple[int, ...]


def without_writes(
    steps: list[Step],
    wanted: tuple[int, ...],
    hosts: Sequence[torch.Tensor],
    decomposed: Collection[str] = (),
) -> PureGraph:
    """Return the program with every write as a new value.

    No two inputs may share memory of which one is written into: that they do is not in the graph.

    Parameters
    ----------
    hosts
        Inputs of the right shapes. Nothing is computed with them.
    decomposed
        Operators to take apart, such as ``aten::isin``. What cannot be taken apart stays whole.
    """
    named = {step.func._schema.name for step in steps if step.func is not None}
    if not any(step.func is not None and writes(step.func) for step in steps) and named.isdisjoint(
        decomposed
    ):
        return PureGraph(to_fx(steps, wanted, hosts), ())
    return trace(to_fx(steps, wanted), hosts, decomposed)


def trace(
    run: Callable[..., Sequence[Any]], hosts: Sequence[torch.Tensor], decomposed: Collection[str] = ()
) -> PureGraph:
    """Return what a function of tensors does, without writes; see `without_writes`."""
    from torch._decomp import decomposition_table
    from torch.func import functionalize
    from torch.fx.experimental.proxy_tensor import make_fx

    table = {
        func: way
        for func, way in decomposition_table.items()
        if isinstance(func, torch._ops.OpOverload) and func._schema.name in decomposed
    }
    pure = functionalize(run, remove="mutations")
    with warnings.catch_warnings(), torch.no_grad():
        # Of an `out=` that is given another size: recording has refused those that matter.
        warnings.simplefilter("ignore")
        module: fx.GraphModule = make_fx(pure, decomposition_table=table, tracing_mode="fake")(*hosts)
    return PureGraph(module, _return_what_is_left(module))


def _return_what_is_left(module: fx.GraphModule) -> tuple[int, ...]:
    """Return what is written into placeholders as results; return the positions of these placeholders."""
    nodes = list(module.graph.nodes)
    placeholders = [node for node in nodes if node.op == "placeholder"]
    left: dict[int, fx.Node] = {}
    for node in nodes:
        if node.target is torch.ops.aten.copy_.default and node.args[0] in placeholders:
            left[placeholders.index(node.args[0])] = node.args[1]
            module.graph.erase_node(node)
    output = nodes[-1]
    output.args = ((*output.args[0], *left.values()),)
    module.graph.eliminate_dead_code()
    module.recompile()
    return tuple(left)


def memories(steps: list[Step]) -> dict[int, set[int]]:
    """Return, for each slot, the slots in whose memory it may lie: for what is no view, itself."""
    found: dict[int, set[int]] = {}
    for step in steps:
        if step.func is None:
            found[step.first] = {step.first}
            continue
        operands = replay.slots_in([*step.args, *step.kwargs.values()]) if is_view(step.func) else ()
        lies_in = set[int]().union(*[found[x] for x in operands])
        found.update({slot: lies_in or {slot} for slot in replay.slots_of(step)})
    return found


def written_inputs(steps: list[Step]) -> list[int]:
    """Return the positions of the inputs into which a program may write."""
    lies_in = memories(steps)
    operators = [step for step in steps if step.func is not None]
    into = {
        memory
        for step in operators
        for x in replay.slots_in(written(step.func, step.args, step.kwargs))
        for memory in lies_in[x]
    }
    entered = [step.first for step in steps if step.func is None]
    return [position for position, slot in enumerate(entered) if slot in into]


def keep_written(steps: list[Step], hosts: Sequence[Any]) -> list[Any]:
    """Return a program's inputs, with copies in the place of those into which it may write."""
    kept = list(hosts)
    for position in written_inputs(steps):
        host = hosts[position]
        kept[position] = torch.empty_strided(host.shape, host.stride(), dtype=host.dtype).copy_(host)
    return kept


def to_fx(steps: list[Step], wanted: tuple[int, ...], hosts: Sequence[torch.Tensor] = ()) -> fx.GraphModule:
    """Return the program as an FX graph over the same operators.

    With its inputs, `hosts`, what each node returns stands in its `meta`, as in `PureGraph`.
    """
    entering = iter(hosts)
    graph = fx.Graph()
    nodes: dict[int, fx.Node] = {}

    def argument(x: Any) -> Any:
        if x.__class__ is Slot:
            return nodes[x.number]
        return [argument(y) for y in x] if x.__class__ is list else x

    for step in steps:
        if step.func is None:
            nodes[step.first] = graph.placeholder(f"v{step.first}")
            if hosts:
                nodes[step.first].meta["val"] = next(entering)
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
        node.meta["val"] = torch.empty_strided(
            result.size, result.stride, dtype=result.dtype, device=_NOWHERE
        )
    elif result.__class__ in (list, tuple):
        for position, part in enumerate(result):
            if part is not None:
                _bind(graph, graph.call_function(operator.getitem, (node, position)), part, slots, nodes)


_NOWHERE = torch.device("meta")
