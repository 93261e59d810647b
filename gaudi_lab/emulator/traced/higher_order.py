"""Operators that take functions: `flex_attention`, `torch.cond`, `scan` and the rest of PyTorch's.

PyTorch wants a rule of each for every tensor subclass, and for none of them does it look behind a wrapper while
Dynamo traces. Ours is the same for all: run it on the host tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch._C import DispatchKey
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from gaudi_lab.emulator.device.tensor import HpuTensor, wrap
from gaudi_lab.emulator.traced.host_graph import to_host


def register() -> None:
    """Give every operator that has an implementation for any device a rule for `hpu` tensors."""
    import torch._higher_order_ops

    for operator in torch._ops._higher_order_ops.values():
        if DispatchKey.CompositeExplicitAutograd not in operator.py_kernels:
            continue
        operator.py_impl(HpuTensor)(_on_the_host(operator))
        traced = operator.python_key_table.get(FakeTensorMode)
        if traced is not None:
            operator.python_key_table[FakeTensorMode] = _before(operator, traced)


def _on_the_host(operator: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        hosts, host_options = pytree.tree_map(_host, (args, kwargs))
        return pytree.tree_map_only(torch.Tensor, wrap, operator(*hosts, **host_options))

    return run


def _before(operator: Any, traced: Callable[..., Any]) -> Callable[..., Any]:
    """Return PyTorch's own rule for tracing, with ours put before it where there are `hpu` tensors."""
    on_the_host = _on_the_host(operator)

    def run(mode: FakeTensorMode, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, HpuTensor) for x in pytree.tree_leaves((args, kwargs))):
            with mode:
                return on_the_host(*args, **kwargs)
        return traced(mode, *args, **kwargs)

    return run


def _host(x: Any) -> Any:
    if isinstance(x, HpuTensor):
        return x._cell.read()
    if isinstance(x, fx.GraphModule):
        to_host(x)
    return x
