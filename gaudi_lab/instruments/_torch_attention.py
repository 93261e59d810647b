"""FusedSDPA where a module calls PyTorch's own `scaled_dot_product_attention`.

That is every module of one's own that does so, `nn.MultiheadAttention`, and diffusers' newer models, whose attention
backends call it. While such a module's forward runs, and in that thread only, the call goes to the kernel if it suits
the kernel; otherwise it is made as before, and why is taken note of.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from gaudi_lab.instruments.attention import attend
from gaudi_lab.instruments.fused_operators.class_layers import (
    Forward,
    Note,
    StandIns,
    class_before,
    layers_of,
)
from gaudi_lab.instruments.fused_operators.place import is_replaced
from gaudi_lab.instruments.fused_operators.renamed_call import call_instead, functions_called, names_read
from gaudi_lab.instruments.handle import Handle, all_or_none
from gaudi_lab.settings import FUSED_SDPA, SdpaOptions

_SDPA = "scaled_dot_product_attention"
_DTYPES = (torch.float32, torch.bfloat16)
# Backends of diffusers that call it. Others bring kernels of their own, which a Gaudi does not have.
_CALLING_BACKENDS = (None, "native", "_native_math")


@dataclass(frozen=True)
class SdpaLayer:
    """Sends the attention of a module's forward to FusedSDPA where a call suits it.

    Attributes
    ----------
    options
        FusedSDPA's own switches.
    """

    options: SdpaOptions
    operator: str = FUSED_SDPA.name

    def around(self, forward: Forward, stand_ins: StandIns) -> Forward:
        """Return a forward during which attention is computed by the kernel."""
        options, note = self.options, stand_ins.note_for(self.operator)

        def call(*args: Any, **kwargs: Any) -> torch.Tensor:
            return _attend_or(F.scaled_dot_product_attention, options, note, args, kwargs)

        # It is a function of PyTorch's Python, inside of which a mode is off.
        heads = call_instead(F.multi_head_attention_forward, _SDPA, call, stand_ins)

        def fused_forward(module: Any, *args: Any, **kwargs: Any) -> Any:
            with _SdpaByKernel(options, note, heads):
                return forward(module, *args, **kwargs)

        return fused_forward


class _SdpaByKernel(TorchFunctionMode):
    def __init__(self, options: SdpaOptions, note: Note, heads: Callable[..., Any]) -> None:
        super().__init__()
        self.options, self.note, self.heads = options, note, heads

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return _attend_or(func, self.options, self.note, args, kwargs or {})
        if func is F.multi_head_attention_forward:
            return self.heads(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class SdpaCall:
    """The arguments of `scaled_dot_product_attention`, by its names."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    attn_mask: torch.Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False


def _attend_or(plain: Callable[..., Any], options: SdpaOptions, note: Note, args: Any, kwargs: Any) -> Any:
    call = SdpaCall(*args, **kwargs)
    reason = refusal(call)
    if reason:
        note(reason)
        return plain(*args, **kwargs)
    return _attend(call, options)


def refusal(call: SdpaCall) -> str:
    """Return why FusedSDPA does not suit a call of `scaled_dot_product_attention`; empty if it does."""
    query, key, value, mask = call.query, call.key, call.value, call.attn_mask
    if query.device.type != "hpu":
        return "the data are not on hpu"
    if query.dtype not in _DTYPES or not query.dtype == key.dtype == value.dtype:
        return "it is for query, key and value of one dtype, float32 or bfloat16"
    if query.dim() not in (3, 4) or not query.dim() == key.dim() == value.dim():
        return "it is for query, key and value of three or four dimensions"
    if query.numel() == 0 or key.numel() == 0 or value.numel() == 0:
        return "there is nothing to attend to, or nothing that does"
    if not query.shape[0] == key.shape[0] == value.shape[0]:
        return "it does not repeat data over the batch"
    if query.dim() == 4 and not _heads_fit(call):
        return "it needs as many heads of query, key and value, or grouped ones with enable_gqa"
    if call.is_causal and mask is not None:
        return "PyTorch refuses a mask together with is_causal"
    if call.is_causal and query.shape[-2] != key.shape[-2]:
        return "causal attention of as many queries as keys is all that was established"
    if mask is not None and not (mask.dtype is torch.bool or mask.dtype.is_floating_point):
        return "the mask is neither boolean nor one to add"
    if mask is not None and mask.requires_grad and torch.is_grad_enabled():
        return "a gradient of the mask is wanted, and the kernel has none"
    return ""


def _heads_fit(call: SdpaCall) -> bool:
    queries, keys = call.query.shape[1], call.key.shape[1]
    if keys != call.value.shape[1]:
        return False
    return queries == keys or (call.enable_gqa and queries % keys == 0)


def _attend(call: SdpaCall, options: SdpaOptions) -> torch.Tensor:
    states = call.query, call.key, call.value
    headless = call.query.dim() == 3
    if headless:
        states = tuple(x.unsqueeze(1) for x in states)  # type: ignore[assignment]
    query, key, value = states
    mask, sees = call.attn_mask, None
    if mask is not None:
        if headless and mask.dim() == 3:
            mask = mask.unsqueeze(1)
        while mask.dim() < 4:
            mask = mask.unsqueeze(0)
        mask, sees = _finite(mask, query.dtype)
        mask = mask.expand(query.shape[0], mask.shape[1], query.shape[2], key.shape[2])
    if torch.is_grad_enabled() and query.requires_grad:
        options = SdpaOptions(options.recompute)  # the softmax modes are for inference
    output = attend(
        query,
        key,
        value,
        mask,
        options=options,
        is_causal=call.is_causal,
        dropout=call.dropout_p,
        scale=call.scale,
    )
    if sees is not None:
        output = torch.where(sees, output, torch.zeros((), dtype=output.dtype, device=output.device))
    return output.squeeze(1) if headless else output


def _finite(mask: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a mask to add without infinities, and which rows may see anything, (..., queries or 1, 1).

    PyTorch gives zeros for a row that may see nothing. What the kernel gives there, no document says.
    """
    lowest = torch.finfo(dtype).min
    if mask.dtype is torch.bool:
        zero = torch.zeros((), dtype=dtype, device=mask.device)
        return torch.where(mask, zero, lowest), mask.any(-1, keepdim=True)
    sees = (mask != -torch.inf).any(-1, keepdim=True)
    return mask.to(dtype).clamp_min(lowest), sees


def fused(module: nn.Module, options: SdpaOptions, stand_ins: StandIns) -> list[Callable[[], Handle]]:
    """Return one edit for all modules in `module` that call it, if there are any."""
    modules = [part for _, part in places(module)]
    if not modules:
        return []
    layer = SdpaLayer(options)
    return [lambda: all_or_none([functools.partial(stand_ins.put, part, layer) for part in modules])]


def named(module: nn.Module, name: str) -> list[Callable[[], Handle]]:  # noqa: ARG001 - one interface for all
    """Return no edits: these are names of transformers."""
    return []


def static_masks(module: nn.Module) -> list[Callable[[], Handle]]:  # noqa: ARG001
    """Return no edits: masks are passed on as they are."""
    return []


def in_use(module: nn.Module) -> list[str]:
    """Name the attention of the modules in `module` that call it."""
    return [_readable(part) for _, part in places(module)]


def _readable(module: nn.Module) -> str:
    layer = next((layer for layer in layers_of(module) if isinstance(layer, SdpaLayer)), None)
    return "sdpa" if layer is None else str(layer.options)


def places(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules in `module` whose forward calls it, with their paths."""
    fast = {id(part.self_attn) for part in module.modules() if isinstance(part, nn.TransformerEncoderLayer)}
    for path, part in module.named_modules():
        # An encoder layer of PyTorch's decides by itself whether its attention is called at all.
        if not is_replaced(part) and id(part) not in fast and calls_it(part):
            yield path, part


def calls_it(module: nn.Module) -> bool:
    """Whether the forward of a module calls PyTorch's attention, by itself or through a processor of diffusers'."""
    processor: Any = getattr(module, "processor", None)
    if hasattr(processor, "_attention_backend"):
        backend = getattr(processor._attention_backend, "value", processor._attention_backend)  # noqa: SLF001
        return _has_no_stand_in(processor) and backend in _CALLING_BACKENDS
    if isinstance(module, nn.MultiheadAttention):
        return True
    return _class_calls_it(class_before(module))


def _has_no_stand_in(processor: Any) -> bool:
    from gaudi_lab.instruments import _diffusers_attention

    return not _diffusers_attention.stands_in_for(processor)


@functools.lru_cache(maxsize=4096)
def _class_calls_it(kind: type) -> bool:
    """Whether a method of a class, or a function beside it that a method calls, names PyTorch's attention."""
    if kind.__module__.partition(".")[0] == "torch":
        return False
    for base in kind.__mro__:
        if base is nn.Module:
            return False
        for method in vars(base).values():
            if isinstance(method, types.FunctionType) and method.__name__ != "__init__" and _reads_it(method):
                return True
    return False


def _reads_it(method: types.FunctionType) -> bool:
    if _SDPA in names_read(method):
        return True
    here = method.__module__
    beside = [x for x in functions_called(method).values() if x.__module__ == here]
    return any(_SDPA in names_read(function) for function in beside)
