"""Operators that OpenVINO knows under another name: PyTorch's public functions instead of what they are made of."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.nn import functional as F

_aten = torch.ops.aten


def name_known_operators(module: fx.GraphModule) -> None:
    """Rewrite a program's graph in place, with the same results."""
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        if node.target in _SAME:
            node.target = _SAME[node.target]
        elif node.target in _FIRST and _only_first_is_read(node):
            node.target = _FIRST[node.target]
            for user in list(node.users):
                user.replace_all_uses_with(node)
                module.graph.erase_node(user)
    module.graph.eliminate_dead_code()
    module.recompile()


def _only_first_is_read(node: fx.Node) -> bool:
    return all(
        user.target is operator.getitem and (user.args[1] == 0 or not user.users) for user in node.users
    )


def _layer_norm(x: Any, shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    return F.layer_norm(x, shape, weight, bias, eps)


def _group_norm(x: Any, weight: Any, bias: Any, n: int, c: int, area: int, groups: int, eps: float) -> Any:
    return F.group_norm(x, groups, weight, bias, eps)


def _safe_softmax(x: Any, dim: int, dtype: Any = None) -> Any:
    # A row that sees nothing is zeros. A later call may have one where the first, which was compared, had none.
    sees_nothing = (x == -torch.inf).all(dim, keepdim=True)
    return torch.softmax(x, dim).masked_fill(sees_nothing, 0.0)


def _cast(x: Any, dtype: Any = None, **_: Any) -> Any:
    return x.clone() if dtype is None else x.to(dtype)


_SAME: dict[Any, Callable[..., Any]] = {
    _aten._unsafe_view.default: lambda x, shape: x.reshape(shape),
    _aten._safe_softmax.default: _safe_softmax,
    _aten._softmax.default: lambda x, dim, half_to_float: torch.softmax(x, dim),
    _aten._to_copy.default: _cast,
}
_FIRST: dict[Any, Callable[..., Any]] = {
    _aten.native_layer_norm.default: _layer_norm,
    _aten.native_group_norm.default: _group_norm,
}
