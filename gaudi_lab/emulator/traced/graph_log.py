"""What a compiled graph consists of, for whoever wants to know: PyTorch's operators, and which of them the device runs.

It costs a trace of the graph, so nobody traces unless somebody listens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from gaudi_lab.emulator.device.device_operators import has_kernel
from gaudi_lab.emulator.kernels import twins


class GraphListener(Protocol):
    """Who is told of compiled graphs."""

    def wants(self) -> bool:
        """Return True to be told."""

    def hear(self, operators: Sequence[tuple[str, bool]]) -> None:
        """Take the names of a graph's operators, without namespace and overload, and whether the device runs each."""


_listeners: list[GraphListener] = []


def listen(listener: GraphListener) -> None:
    """Tell `listener` of every graph from here on."""
    _listeners.append(listener)


def wanted() -> bool:
    """Return True if somebody listens."""
    return any(listener.wants() for listener in _listeners)


def tell(operators: Sequence[Any]) -> None:
    """Tell those who listen of a graph of `operators`."""
    named = [(_name(func), has_kernel(func)) for func in operators]
    for listener in _listeners:
        if listener.wants():
            listener.hear(named)


def forward(graph_module: fx.GraphModule, inputs: Sequence[Any]) -> None:
    """Tell those who listen what the graph computes on `inputs`, host tensors: functional, without writes in place."""
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        made = [
            fake.from_tensor(x.detach(), static_shapes=True) if isinstance(x, torch.Tensor) else x
            for x in inputs
        ]
        functional = torch.func.functionalize(graph_module, remove="mutations")
        traced = make_fx(functional)(*made)
    tell([node.target for node in traced.graph.nodes if isinstance(node.target, torch._ops.OpOverload)])


class Heard(TorchDispatchMode):
    """Notes the operators that run inside, and tells them at the end: for backward, which autograd runs as it comes."""

    def __init__(self) -> None:
        super().__init__()
        self._operators: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if isinstance(func, torch._ops.OpOverload):
            self._operators.append(func)
        return func(*args, **(kwargs or {}))

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        tell(self._operators)


def backward(run: Callable[[], Any]) -> Any:
    """Return what `run` returns, and tell those who listen what it computed."""
    if not wanted():
        return run()
    with Heard():
        return run()


def _name(func: Any) -> str:
    return twins.name_of(func).partition("::")[2]
