"""Conjugate and negative views of `hpu` tensors: the same memory, read with another sign.

PyTorch marks such a tensor with a bit and resolves it above the device, so the memory behind it is never
conjugated and no operator below needs to know. Only what PyTorch lets through reaches us with the bit set:
views, copies, and a few operators whose kernels elsewhere read the bit themselves.
"""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.device import schema
from gaudi_lab.emulator.device.tensor import HpuTensor, dispatch
from gaudi_lab.emulator.operators import transfer

aten = torch.ops.aten


class SignedView(HpuTensor):
    """An `hpu` tensor whose conjugate or negative bit is set; its cell holds the value without."""

    @staticmethod
    def of(tensor: HpuTensor, conjugate: bool, negative: bool) -> HpuTensor:
        """Return `tensor` read with these bits: a view of the same memory."""
        kind = SignedView if conjugate or negative else HpuTensor
        view = kind.over(tensor._cell, tensor.size(), tensor.stride(), tensor.storage_offset(), tensor.dtype)
        if conjugate:
            torch._C._set_conj(view, True)
        if negative:
            torch._C._set_neg(view, True)
        return view

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        """Keep the bits over a view, and resolve them before anything that computes."""
        kwargs = kwargs or {}
        if func is aten._conj.default:
            return conj(func, args, kwargs)
        if func is aten._neg_view.default:
            return neg(func, args, kwargs)
        if func is aten.copy_.default:
            return _copy(args[0], args[1])
        if schema.is_view(func):
            return _view(func, args, kwargs)
        if func in _BITS_DO_NOT_MATTER or torch.Tag.inplace_view in func.tags:
            return HpuTensor.__torch_dispatch__(func, types, args, kwargs)
        return _compute(func, args, kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle the value as it reads."""
        return self.resolve_conj().resolve_neg().__reduce_ex__(protocol)


_BITS_DO_NOT_MATTER = {aten.empty_like.default, aten.set_.source_Tensor, aten.resize_.default}


def conj(func: Any, args: Any, kwargs: dict[str, Any]) -> HpuTensor:
    """Return the conjugate view of a tensor."""
    return SignedView.of(args[0], not args[0].is_conj(), args[0].is_neg())


def neg(func: Any, args: Any, kwargs: dict[str, Any]) -> HpuTensor:
    """Return the negative view of a tensor."""
    return SignedView.of(args[0], args[0].is_conj(), not args[0].is_neg())


def resolve(x: Any) -> Any:
    """Return `x` with its bits worked into its value, if it has any; lists element by element."""
    if isinstance(x, SignedView):
        return _apply_signs(SignedView.of(x, False, False), x.is_conj(), x.is_neg())
    return x.__class__([resolve(y) for y in x]) if x.__class__ in (list, tuple) else x


def _apply_signs(x: Any, conjugate: bool, negative: bool) -> Any:
    if conjugate and x.is_complex():
        x = _run(aten._conj_physical.default, x)
    return _run(aten.neg.default, x) if negative else x


def _run(func: Any, *args: Any, **kwargs: Any) -> Any:
    return dispatch(func, args, kwargs) if isinstance(args[0], HpuTensor) else func(*args, **kwargs)


def _copy(target: torch.Tensor, source: Any) -> torch.Tensor:
    source = resolve(source)
    if isinstance(target, SignedView):
        into = SignedView.of(target, False, False)
        # The sign is the target's, and so is the type that the value must have for a conjugate to mean anything.
        _run(aten.copy_.default, into, _apply_signs(source, target.is_conj(), target.is_neg()))
    else:
        transfer.copy_(aten.copy_.default, (target, source), {})  # the target may be on the host
    return target


def _view(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    source = args[0]
    conjugate, negative = source.is_conj(), source.is_neg()
    if conjugate and func is aten.view_as_real.default:
        raise RuntimeError(
            "view_as_real doesn't work on unresolved conjugated tensors.  To resolve the conjugate tensor so you "
            "can view it as real, use self.resolve_conj(); however, be warned that the resulting tensor will "
            "NOT alias the original."
        )
    if func is aten.view.dtype and (conjugate or negative):
        raise RuntimeError(
            "torch.Tensor.view is not supported for conjugate view tensors when converting to a different dtype."
        )
    out = _run(func, SignedView.of(source, False, False), *args[1:], **kwargs)
    if isinstance(out, (list, tuple)):
        return [SignedView.of(x, conjugate, negative) for x in out]
    return SignedView.of(out, conjugate, negative)


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    plain = [resolve(x) for x in args]
    named = {name: resolve(x) for name, x in kwargs.items()}
    out = dispatch(func, plain, named)
    written = zip(schema.written(func, args, kwargs), schema.written(func, plain, named), strict=True)
    for original, value in written:
        if isinstance(original, SignedView):
            _copy(original, value)
    aliases = schema.returned_aliases(func)
    if len(aliases) == 1 and aliases[0] is not None:
        return aliases[0].of(args, kwargs)
    return out
