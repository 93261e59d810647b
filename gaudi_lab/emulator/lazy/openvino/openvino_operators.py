"""Operators that OpenVINO knows under another name: PyTorch's public functions instead of what they are made of."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx
from torch.nn import functional as F

_aten = torch.ops.aten

ENDS_THE_PROCESS = frozenset({"aten::gcd", "aten::gcd_"})
"""Operators with which OpenVINO writes to memory that is not its own: the process ends there, or at a later program."""


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
        elif str(node.target) == "hpu.sdpa_recomp_fwd.default" and _only_first_is_read(node):
            _name_attention(module, node)
        elif node.target is _aten.cat.default:
            _leave_out_empty(node)
    module.graph.eliminate_dead_code()
    module.recompile()


def _only_first_is_read(node: fx.Node) -> bool:
    return all(
        user.target is operator.getitem and (user.args[1] == 0 or not user.users) for user in node.users
    )


def _name_attention(module: fx.GraphModule, node: fx.Node) -> None:
    """Let PyTorch's attention stand for the fused kernel, unless it has more than a mask or the causal rule."""
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    rules = ("valid_seq_len", "sink", "seed")
    if (
        any(given.get(name) is not None for name in rules)
        or list(given.get("window") or []) not in _NO_WINDOW
    ):
        return
    if given.get("is_causal") and given.get("attention_mask") is not None:
        return
    node.target = _attention
    node.args = tuple([given.get(name) for name in ("q", "k", "v", "attention_mask", "scale", "is_causal")])
    node.kwargs = {}
    for user in list(node.users):
        user.replace_all_uses_with(node)
        module.graph.erase_node(user)


_NO_WINDOW: list[Any] = [[], [-1, -1]]


def _leave_out_empty(node: fx.Node) -> None:
    """Leave out tensors of no element and one dimension, which `cat` allows beside any others."""
    given: Any = node.args[0]
    kept = [x for x in given if tuple(x.meta["val"].shape) != (0,)]
    if kept:
        node.args = (kept, *node.args[1:])


def _attention(query: Any, key: Any, value: Any, mask: Any, scale: float, is_causal: bool) -> Any:
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = _spread(key, repeats), _spread(value, repeats)
    hidden = None
    if mask is not None:
        hidden = mask.logical_not() if mask.dtype == torch.bool else mask.float() == -torch.inf
        hidden = hidden.all(-1, keepdim=True)
    out = F.scaled_dot_product_attention(query, key, value, mask, is_causal=is_causal, scale=scale)
    return out if hidden is None else out.masked_fill(hidden, 0.0)


def _spread(x: Any, repeats: int) -> Any:
    batch, heads, length, width = x.shape
    return x.unsqueeze(2).expand(batch, heads, repeats, length, width).reshape(batch, -1, length, width)


def _host_attention(
    query: Any,
    key: Any,
    value: Any,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Any = None,
    scale: float | None = None,
) -> Any:
    return _attention(query, key, value, attn_mask, scale or query.shape[-1] ** -0.5, is_causal)


def _layer_norm(x: Any, shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    return F.layer_norm(x, shape, weight, bias, eps)


def _group_norm(x: Any, weight: Any, bias: Any, n: int, c: int, area: int, groups: int, eps: float) -> Any:
    # OpenVINO has a kernel for float32 only.
    weight, bias = [None if part is None else part.float() for part in (weight, bias)]
    return F.group_norm(x.float(), groups, weight, bias, eps).to(x.dtype)


def _batch_norm(
    x: Any, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, momentum: float, eps: float
) -> Any:
    return F.batch_norm(x, mean, variance, weight, bias, training, momentum, eps)


def _batch_norm_at_rest(
    x: Any, weight: Any, bias: Any, mean: Any, variance: Any, momentum: float, eps: float
) -> Any:
    return F.batch_norm(x, mean, variance, weight, bias, False, momentum, eps)


def _max_pool(
    x: Any, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Any:
    return F.max_pool2d(x, kernel, stride or None, padding, dilation, ceil_mode)


def _safe_softmax(x: Any, dim: int, dtype: Any = None) -> Any:
    # A row that sees nothing is zeros. A later call may have one where the first, which was compared, had none.
    sees_nothing = (x == -torch.inf).all(dim, keepdim=True)
    return torch.softmax(x, dim).masked_fill(sees_nothing, 0.0)


def _cast(x: Any, dtype: Any = None, **_: Any) -> Any:
    return x.clone() if dtype is None else x.to(dtype)


def _copy(x: Any, source: Any, non_blocking: bool = False) -> Any:
    # OpenVINO takes `copy` for the first of its two.
    return _expand(source.to(x.dtype), x.shape)


def _expand(x: Any, size: Any, implicit: bool = False) -> Any:
    # To spread a scalar to no dimensions ends the process.
    return x.expand(size) if size else x.clone()


def _full(size: Any, value: Any, *, dtype: Any = None, **_: Any) -> Any:
    # The tracer that OpenVINO uses has no `full` of a bool.
    kind = torch.bool if dtype is None and isinstance(value, bool) else dtype
    return torch.full(size, int(value) if isinstance(value, bool) else value, dtype=kind)


def _select_scatter(x: Any, source: Any, dim: int, index: int) -> Any:
    dim, index = dim % x.dim(), index % x.shape[dim]
    return _slice_scatter(x, source.unsqueeze(dim), dim, index, index + 1)


def _slice_scatter(
    x: Any, source: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    dim, size = dim % x.dim(), x.shape[dim]
    first, last, _ = slice(start, end, step).indices(size)
    if step != 1:
        rows = torch.arange(first, last, step)
        return x.index_copy(dim, rows, source)
    parts: Sequence[Any] = (x.narrow(dim, 0, first), source, x.narrow(dim, last, size - last))
    return torch.cat([part for part in parts if part.shape[dim]], dim)


_SAME: dict[Any, Callable[..., Any]] = {
    # A function that stands for another may lay its result out otherwise.
    _aten.view.default: lambda x, shape: x.reshape(shape),
    _aten._unsafe_view.default: lambda x, shape: x.reshape(shape),
    _aten._safe_softmax.default: _safe_softmax,
    _aten._softmax.default: lambda x, dim, half_to_float: torch.softmax(x, dim),
    _aten._to_copy.default: _cast,
    _aten.copy.default: _copy,
    _aten.expand.default: _expand,
    _aten.fill.Scalar: lambda x, value: torch.full_like(x, value),
    _aten.full.default: _full,
    _aten.select_scatter.default: _select_scatter,
    _aten.slice_scatter.default: _slice_scatter,
}
_FIRST: dict[Any, Callable[..., Any]] = {
    _aten._scaled_dot_product_flash_attention_for_cpu.default: _host_attention,
    _aten.native_layer_norm.default: _layer_norm,
    _aten.native_group_norm.default: _group_norm,
    _aten.native_batch_norm.default: _batch_norm,
    _aten._native_batch_norm_legit_no_training.default: _batch_norm_at_rest,
    _aten.max_pool2d_with_indices.default: _max_pool,
}
