"""PyTorch's operators that the device computes in its own way, or for which a CPU has no kernel: which is instead.

A twin is an operator of the library `hpu` with the same arguments. It stands in for the other on the device, recorded,
eager and in compiled graphs.
"""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.kernels.library import define

aten = torch.ops.aten

_TWINS = {
    "aten::_add_relu": "add_relu",
    "aten::_fused_dropout": "fused_dropout",
    "aten::_masked_scale": "masked_scale",
    "aten::convolution_overrideable": "convolution_overrideable",
    "aten::convolution_backward_overrideable": "convolution_backward_overrideable",
    "quantized_decomposed::quantize_per_tensor": "quantize_per_tensor",
    "quantized_decomposed::dequantize_per_tensor": "dequantize_per_tensor",
    "quantized_decomposed::quantize_per_channel": "quantize_per_channel",
    "quantized_decomposed::dequantize_per_channel": "dequantize_per_channel",
}


def twin_of(func: torch._ops.OpOverload) -> torch._ops.OpOverload | None:
    """Return the operator that computes instead of `func`; None if `func` itself does."""
    name = _TWINS.get(func._schema.name)
    return getattr(getattr(torch.ops.hpu, name), func._overloadname, None) if name else None


def twin_of_call(target: Any) -> Any:
    """Return what a traced graph is to call instead of `target`, a function or an operator; None for `target`."""
    if isinstance(target, torch._ops.OpOverload):
        return twin_of(target)
    if isinstance(target, torch._ops.OpOverloadPacket):
        name = _TWINS.get(target._qualified_op_name)
    else:
        name = _FUNCTIONS.get(target) if callable(target) else None
    return getattr(torch.ops.hpu, name) if name else None


def name_of(func: torch._ops.OpOverload) -> str:
    """Return the name of `func` without its overload, of a twin that of the operator which it stands in for."""
    name = func._schema.name
    return _ORIGINALS.get(name.removeprefix("hpu::"), name) if name.startswith("hpu::") else name


_ORIGINALS = {twin: original for original, twin in _TWINS.items()}
_FUNCTIONS = {
    torch._add_relu: "add_relu",
    torch._fused_dropout: "fused_dropout",
    torch._masked_scale: "masked_scale",
}


def _add_relu(data: torch.Tensor, other: Any, alpha: float = 1) -> torch.Tensor:
    """Return `relu(data + other * alpha)`, rounding after each step as the device does."""
    scaled = other * alpha
    if not isinstance(other, torch.Tensor):
        scaled = torch.tensor(other, dtype=data.dtype) * alpha
    return torch.relu(data + scaled)


def _fused_dropout(data: torch.Tensor, p: float, generator: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `data / p` where it is kept, with probability `p`, else zero; and what is kept, in uint8."""
    kept = torch.rand(data.shape, generator=generator) < p
    return torch.where(kept, data / p, torch.zeros((), dtype=data.dtype)), kept.to(torch.uint8)


def _fused_dropout_fake(data, p, generator=None):  # type: ignore[no-untyped-def]
    return torch.empty_like(data), data.new_empty(data.shape, dtype=torch.uint8)


def _masked_scale(data: torch.Tensor, mask: torch.Tensor, scale: float) -> torch.Tensor:
    """Return `data * mask * scale`: the gradient of dropout."""
    return data * mask.to(data.dtype) * scale


for _overload, _kind in (("Tensor", "Tensor"), ("Scalar", "Scalar")):
    define(
        f"add_relu.{_overload}(Tensor self, {_kind} other, Scalar alpha=1) -> Tensor", _add_relu, _add_relu
    )
define(
    "fused_dropout(Tensor self, float p, Generator? generator=None) -> (Tensor, Tensor)",
    _fused_dropout,
    _fused_dropout_fake,
    random=True,
)
define("masked_scale(Tensor self, Tensor mask, float scale) -> Tensor", _masked_scale, _masked_scale)
_SHAPE = "SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups"


def _convolution(*args: Any) -> torch.Tensor:
    return aten.convolution.default(*args)


def _convolution_backward(grad: torch.Tensor, data: torch.Tensor, weight: torch.Tensor, *rest: Any) -> Any:
    # Sizes of a bias: the gradient of one is wanted where the mask says so.
    return aten.convolution_backward.default(grad, data, weight, [grad.shape[1]], *rest)


define(
    f"convolution_overrideable(Tensor input, Tensor weight, Tensor? bias, {_SHAPE}) -> Tensor",
    _convolution,
    _convolution,
)
define(
    f"convolution_backward_overrideable(Tensor grad_output, Tensor input, Tensor weight, {_SHAPE}, "
    "bool[3] output_mask) -> (Tensor grad_input, Tensor grad_weight, Tensor grad_bias)",
    _convolution_backward,
    _convolution_backward,
)
