"""What a compiled graph consists of, for whoever wants to know: PyTorch's operators, and which of them the device runs.

They are noted as a graph runs for the first time, if somebody listens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
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


def heard(run: Callable[[], Any]) -> Any:
    """Return what `run` returns, and tell those who listen which operators it ran."""
    if not wanted():
        return run()
    with _Heard() as mode:
        out = run()
    operators = [
        pair for func in mode.operators if func._schema.name not in _HOSTS_OWN for pair in _named(func)
    ]
    for listener in _listeners:
        if listener.wants():
            listener.hear(operators)
    return out


class _Heard(TorchDispatchMode):
    """Notes the operators that run inside."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not isinstance(func, torch._ops.OpOverload) or func.namespace == "prim":
            return func(*args, **kwargs)
        if func._can_decompose():  # made of others: below autograd it comes whole
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        self.operators.append(func)
        return func(*args, **kwargs)


def _named(func: Any) -> list[tuple[str, bool]]:
    """Return the name of `func` as the device's compiler has it, and whether the device runs it; or of its parts.

    A compiled graph writes nothing in place; what makes a constant fills memory; and random operators, which take a
    seed there, have names of their own.
    """
    name = twins.name_of(func).partition("::")[2].removesuffix("_")
    if name in _PARTS:
        return [(part, True) for part in _PARTS[name]]
    if name.removesuffix("_like").removeprefix("new_") in ("ones", "zeros", "full"):
        return [("full", True)]
    if name.removesuffix("_like") in _RANDOM:
        return [(f"habana_{name.removesuffix('_like')}", True)]
    return [(name, has_kernel(func))]


# What the host computes at once, and a name of the host's own.
_PARTS = {"aminmax": ("amin", "amax"), "_euclidean_dist": ("_cdist_forward",)}
# Checks that a host makes beside what it computes.
_HOSTS_OWN = ("aten::_linalg_check_errors", "aten::_assert_async")
_RANDOM = frozenset(
    (
        "bernoulli",
        "multinomial",
        "native_dropout",
        "poisson",
        "rand",
        "randint",
        "randn",
        "randperm",
        "uniform",
    )
)
