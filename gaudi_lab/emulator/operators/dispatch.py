"""Where every operator on an `hpu` tensor arrives, and which way it goes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from gaudi_lab.emulator.device import schema
from gaudi_lab.emulator.device.on_the_host import lasting
from gaudi_lab.emulator.device.random import HostGenerator, is_random
from gaudi_lab.emulator.device.tensor import HpuTensor, wrap
from gaudi_lab.emulator.kernels import twins
from gaudi_lab.emulator.lazy.record import tape
from gaudi_lab.emulator.lazy.shape_inference import infer
from gaudi_lab.emulator.operators import (
    collectives,
    conjugate,
    eager,
    fallback,
    host_operands,
    in_place_views,
    rnn,
    transfer,
    whole,
)
from gaudi_lab.emulator.process import mode
from gaudi_lab.emulator.torch_patches import storage

Route = Callable[[Any, Any, dict[str, Any]], Any]

aten = torch.ops.aten

# By the operator's number: PyTorch hashes an operator in Python. `_routed` keeps them, and so their numbers.
_routes: dict[int, Route] = {}
_routed: list[Any] = []


def dispatch(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """Run or record one operator."""
    route = _routes.get(id(func)) or _find_route(func)
    try:
        return route(func, args, {} if kwargs is None else kwargs)
    except infer.OnAnotherDevice:
        taken = host_operands.take(func, args, kwargs or {}) if mode.is_lazy() else None
        if taken is None:
            raise
    return route(func, *taken)


def _find_route(func: Any) -> Route:
    route = _route(func)
    if fallback.is_suspected(func) and not _returns_values(func):
        route = _counted(route)
    if transfer.takes_a_form(func):
        route = transfer.placing(route)
    _routed.append(func)
    _routes[id(func)] = route
    return route


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Record in lazy mode, run in eager mode."""
    return _computing(func)(func, args, kwargs)


@functools.cache
def _computing(func: Any) -> Route:
    """Return `compute` of one operator."""
    run = eager.runner(func)
    record = tape.record

    def compute_it(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if not mode.is_lazy():
            return run(args, kwargs)
        try:
            return record(func, args, kwargs)
        except infer.BeingTraced:
            now = run
        except infer.NotRecordable as error:
            now = functools.partial(_unrecorded, func, infer.refusal(error))
        # Out here: what the host says of the arguments is the one error, not the second of two.
        return now(args, kwargs)

    return _drawing(compute_it) if is_random(func) else compute_it


def _drawing(route: Route) -> Route:
    """Return the way of an operator that draws random numbers.

    From a generator of the host it does so before it returns: what the host draws next from it, or sets it to, comes
    after that. A generator of the device waits by itself.
    """

    def draw(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        out = route(func, args, kwargs)
        if any(x.__class__ is HostGenerator for x in (*args, *kwargs.values())):
            tape.flush()
        return out

    return draw


def _unrecorded(func: Any, refusal: BaseException | None, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operator that could not be recorded: because of its arguments, with `refusal`, or by its nature."""
    if refusal is None:
        fallback.check(func)
    elif tape.capture is not None:
        raise refusal from None
    return on_host(func, args, kwargs)


def on_host(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operator outside any graph: what it returns depends on values, so no graph can hold it.

    It is also where an operator goes whose arguments do not suit it: the host's message says why.

    Raises
    ------
    RuntimeError
        An HPU graph is being captured: it can hold only what the device itself runs.
    """
    if not mode.is_lazy():
        return in_place_views.refresh(func, eager.run(func, args, kwargs), args, kwargs)
    if tape.capture is not None:
        raise RuntimeError("cpu fallback is not supported during hpu graph capturing")
    with lasting():
        out = in_place_views.refresh(func, eager.run_now(func, args, kwargs), args, kwargs)
    fallback.note(func, out)
    return out


def _counted(route: Route) -> Route:
    """Return the way of an operator that may run on the host, which in eager mode nobody else notices."""

    def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if mode.is_lazy() or _is_tracing():
            return route(func, args, kwargs)
        on_host = fallback.falls_back(func, args, kwargs)
        out = route(func, args, kwargs)
        if on_host:
            fallback.note(func, out)
        return out

    return run


def _is_tracing() -> bool:
    return torch._guards.TracingContext.try_get() is not None


def _viewing(func: Any) -> Route:
    """Return what runs or records a view.

    A view of a tensor that is none of inference mode's own stays an ordinary one there, as on the host.
    """
    compute_it = _computing(func)

    def view(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if torch.is_inference_mode_enabled() and not args[0].is_inference():
            with torch.inference_mode(False):
                return compute_it(func, args, kwargs)
        return compute_it(func, args, kwargs)

    return view


def alias(func: Any, args: Any, kwargs: dict[str, Any]) -> HpuTensor:
    """Return another tensor over the same cell.

    There is nothing to compute, and so nothing to record: `module.to("hpu")` on the device takes an alias of every
    weight, and weights must not hang on a graph that an interrupt may lose.
    """
    tensor: HpuTensor = args[0]
    with torch.inference_mode(torch.is_inference_mode_enabled() and tensor.is_inference()):
        return HpuTensor.over(
            tensor._cell, tensor.size(), tensor.stride(), tensor.storage_offset(), tensor.dtype
        )


def fill(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run or record an operator with `out=`, which may give the tensor another size."""
    if mode.is_lazy():
        return compute(func, args, kwargs)
    return in_place_views.refresh(func, eager.run(func, args, kwargs), args, kwargs)


def value(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operator that returns a Python value."""
    for x in args:
        if isinstance(x, HpuTensor):
            tape.read(x._cell)
    return eager.run_now(func, args, kwargs)


def decompose(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operator made of others. Inference mode hands these over whole; otherwise autograd takes them apart."""
    return func.decompose(*args, **kwargs)


def _whole(func: Any) -> Route:
    """Return what runs or records an operator as one step, where nobody looks at its parts."""
    compute_it = _computing(func)

    def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if not kwargs and whole.is_whole(args):
            return compute_it(func, args, kwargs)
        return func.decompose(*args, **kwargs)

    return run


def _math_attention(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    return stock_attention(*args, **kwargs)


def stock_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Run `scaled_dot_product_attention` as the bridge does: matmul, softmax, matmul. `FusedSDPA` is the fused one."""
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        allowed = attn_mask
        attn_mask = torch.zeros_like(allowed, dtype=query.dtype).masked_fill_(
            allowed.logical_not(), -torch.inf
        )
    return aten._scaled_dot_product_attention_math.default(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )[0]


def _index(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Index by tensors: as on every device, the indices may still lie on the host."""
    tensor, indices, *rest = args
    if not isinstance(tensor, HpuTensor):
        raise RuntimeError(
            "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
        )
    moved = [_copied(x) if isinstance(x, torch.Tensor) and x.device.type == "cpu" else x for x in indices]
    return compute(func, (tensor, moved, *rest), kwargs)


def _take(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Take by an index of 32 bits too, as the device does."""
    tensor, index, *rest = args
    index = index.long() if index.dtype is torch.int32 else index
    return (fill if kwargs else compute)(func, (tensor, index, *rest), kwargs)


def _resize_output_(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    return in_place_views.resize_(aten.resize_.default, args[:2], {})


def _copied(x: torch.Tensor) -> HpuTensor:
    with lasting():
        host = x.detach().clone()
    return wrap(host)


def _fused_cell(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    return rnn.FUSED[func](*args, **kwargs)


def _pack(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    return rnn.pack(func, *args, **kwargs)


def _fresh(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Return what `torch.tensor` has made. A compiler that traces takes a constant in here."""
    if not _is_tracing():
        return args[0]
    return eager.run(func, args, kwargs)


def _share_a_kind(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Tell a module that moves whether a parameter may take another tensor's data and stay the same object."""
    return all(isinstance(x, HpuTensor) for x in args)


_VALUE_TYPES = ("bool", "int", "float", "Scalar", "SymInt", "number")

_SPECIAL: dict[Any, Route] = {
    aten._local_scalar_dense.default: transfer.item,
    aten._to_copy.default: transfer.to_copy,
    aten.copy_.default: transfer.copy_,
    aten.lift_fresh.default: _fresh,
    aten._has_compatible_shallow_copy_type.default: _share_a_kind,
    aten.is_pinned.default: lambda func, args, kwargs: False,
    aten._pin_memory.default: lambda func, args, kwargs: args[0],
    aten.scaled_dot_product_attention.default: _math_attention,
    aten.resize_.default: in_place_views.resize_,
    aten._resize_output_.default: _resize_output_,
    aten.take.default: _take,
    aten.take.out: _take,
    aten.set_.source_Tensor: in_place_views.set_,
    **dict.fromkeys(rnn.FUSED, _fused_cell),
    aten._pack_padded_sequence.default: _pack,
    aten._conj.default: conjugate.conj,
    aten._neg_view.default: conjugate.neg,
    aten.set_.source_Storage: storage.set_storage,
    aten.set_.source_Storage_storage_offset: storage.set_storage,
    aten.index.Tensor: _index,
    aten.index_put.default: _index,
    aten.index_put_.default: _index,
    aten._index_put_impl_.default: _index,
    aten._unsafe_index.Tensor: _index,
    aten.detach.default: alias,
    aten.alias.default: alias,
    aten.detach_.default: lambda func, args, kwargs: args[0],
    aten.record_stream.default: lambda func, args, kwargs: None,
}


def _returns_values(func: Any) -> bool:
    """Return whether an operator returns Python values and no tensors."""
    returns = [str(returned.type) for returned in func._schema.returns]
    return bool(returns) and all(kind in _VALUE_TYPES for kind in returns)


def _route(func: Any) -> Route:
    """Choose the way of an operator, once."""
    if func in _SPECIAL:
        return _SPECIAL[func]
    if func in whole.WHOLE:
        return _whole(func)
    twin = twins.twin_of(func)
    if twin is not None:
        compute_twin = _computing(twin)
        return lambda func, args, kwargs: compute_twin(twin, args, kwargs)
    if func.namespace == "c10d":
        return collectives.run
    if torch.Tag.inplace_view in func.tags:
        return in_place_views.in_place_view
    if _returns_values(func):
        return value
    if func._can_decompose() and not torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CPU"):
        return decompose
    if schema.is_view(func):
        return _viewing(func)
    return fill if any(isinstance(where, str) for where in schema.writes(func)) else _computing(func)
