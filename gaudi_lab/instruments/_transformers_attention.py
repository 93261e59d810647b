"""FusedSDPA as a transformers attention function, under names of ours beside the library's own.

Registering adds a name and changes no model. Each combination of options has a name, so that which one a
model uses can be read off its config.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

from gaudi_lab.errors import LabError
from gaudi_lab.instruments.attention import additive, attend
from gaudi_lab.instruments.fused_operators.class_layers import StandIns, forward_of
from gaudi_lab.instruments.fused_operators.renamed_call import names_read
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.settings import SdpaOptions

_STATIC = "gaudi_lab_sdpa"
_FUSED: dict[str, SdpaOptions] = {}

# The functions by name, as the library's modules call them.
_REGISTRY = "ALL_ATTENTION_FUNCTIONS"

# Where a config keeps the name. The public property's setter would also rename every sub-config.
_NAME = "_attn_implementation_internal"


def fused(module: nn.Module, options: SdpaOptions, stand_ins: StandIns) -> list[Callable[[], Handle]]:  # noqa: ARG001
    """Return one edit for each outermost transformers model in `module`."""
    return [functools.partial(_use, model, _fused_name(options)) for model in _models(module)]


def named(module: nn.Module, name: str) -> list[Callable[[], Handle]]:
    """Return one edit for each outermost transformers model in `module`."""
    return [functools.partial(_use, model, name) for model in _models(module)]


def static_masks(module: nn.Module) -> list[Callable[[], Handle]]:
    """Return one edit for each outermost transformers model that leaves masks out by their values."""
    AttentionInterface.register(_STATIC, sdpa_attention_forward)
    AttentionMaskInterface.register(_STATIC, _static_mask)
    return [
        functools.partial(_use_where_possible, model, _STATIC)
        for model in _models(module)
        if model.config._attn_implementation == "sdpa"  # noqa: SLF001 - it has no public name
    ]


def in_use(module: nn.Module) -> list[str]:
    """Name the attention of each outermost transformers model in `module`."""
    return [_readable(model.config._attn_implementation) for model in _models(module)]  # noqa: SLF001


def places(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules in transformers models that look their attention up by the name in the config, with paths."""
    inside = {id(part) for model in _models(module) for part in model.modules()}
    for path, part in module.named_modules():
        if id(part) in inside and _REGISTRY in names_read(forward_of(part)):
            yield path, part


def _models(module: nn.Module) -> list[PreTrainedModel]:
    """Return the transformers models in `module` that are not inside another one."""
    if isinstance(module, PreTrainedModel):
        return [module]
    return [model for child in module.children() for model in _models(child)]


def _use(model: PreTrainedModel, name: str) -> Handle:
    before = {id(config): (config, vars(config).get(_NAME)) for config in _configs(model)}

    def undo() -> None:
        for config, implementation in before.values():
            vars(config)[_NAME] = implementation

    try:
        model.set_attn_implementation(name)
    except ValueError as error:  # as of a model with attention sinks
        undo()
        said = str(error).partition(". ")[0].removesuffix(".")  # advice about its own arguments follows
        raise LabError(
            f"{type(model).__name__} does not let its attention be switched. transformers says: {said}."
        ) from error
    if model.config._attn_implementation != name:  # noqa: SLF001
        undo()
        raise LabError(
            f"{type(model).__name__} does not let its attention be switched: it does not use transformers' "
            "attention interface."
        )
    return Handle(undo)


def _use_where_possible(model: PreTrainedModel, name: str) -> Handle:
    try:
        return _use(model, name)
    except LabError:  # a model from before the attention interface, which makes its masks by itself
        return Handle(lambda: None)


def _configs(model: PreTrainedModel) -> list[Any]:
    found = [part.config for part in model.modules() if isinstance(part, PreTrainedModel)]
    for config in found:  # grows while it is walked: sub-configs may have sub-configs
        found.extend(
            sub
            for key in getattr(config, "sub_configs", {})
            if (sub := getattr(config, key, None)) is not None and not any(sub is known for known in found)
        )
    return found


def _fused_name(options: SdpaOptions) -> str:
    words = ["gaudi_lab_fused_sdpa"]
    if options.recompute is not None:
        words.append("recompute" if options.recompute else "no_recompute")
    if options.softmax is not None:
        words.append(options.softmax)
    name = "_".join(words)
    if name not in _FUSED:
        AttentionInterface.register(name, _attention_function(options))
        AttentionMaskInterface.register(name, _additive_mask)
        _FUSED[name] = options
    return name


def _readable(name: str | None) -> str:
    if name in _FUSED:
        return str(_FUSED[name])
    return "sdpa" if name == _STATIC else name or "eager"


def _attention_function(options: SdpaOptions) -> Callable[..., tuple[torch.Tensor, None]]:
    def fused_sdpa_forward(
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        dropout: float = 0.0,
        scaling: float | None = None,
        is_causal: bool | None = None,
        position_bias: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        if kwargs.get("softcap") is not None:
            raise LabError(
                "FusedSDPA has no soft cap, and this model needs one.",
                python="handle.remove()",
                magic="%gaudi_sdpa off",
            )
        length = query.shape[2]
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        # A single query is the newest one: it may see everything.
        causal = bool(length > 1 and attention_mask is None and causal)
        if causal and key.shape[2] > length:
            # Only a cache allocated in advance is longer than the prompt; what lies behind is empty.
            key, value = key[:, :, :length], value[:, :, :length]
            position_bias = None if position_bias is None else position_bias[..., :length]
        if position_bias is not None:
            attention_mask = _with_bias(position_bias, attention_mask, causal)
        output = attend(
            query,
            key,
            value,
            attention_mask,
            options=options,
            is_causal=causal,
            dropout=dropout,
            scale=scaling,
        )
        return output.transpose(1, 2).contiguous(), None

    return fused_sdpa_forward


def _with_bias(bias: torch.Tensor, mask: torch.Tensor | None, causal: bool) -> torch.Tensor:
    if mask is None and causal:
        mask = torch.ones(bias.shape[-2:], dtype=torch.bool, device=bias.device).tril()[None, None]
    return bias if mask is None else bias + additive(mask, bias.dtype)


def _static_mask(*args: Any, **kwargs: Any) -> torch.Tensor | None:
    # Without a mask from the caller the shapes alone decide, and leaving it out is safe.
    if kwargs.get("attention_mask") is not None:
        kwargs.update(allow_is_causal_skip=False, allow_is_bidirectional_skip=False)
    return sdpa_mask(*args, **kwargs)


def _additive_mask(*args: Any, **kwargs: Any) -> torch.Tensor | None:
    # Converted here, once a forward, and not in each layer.
    mask = _static_mask(*args, **kwargs)
    return None if mask is None else additive(mask, kwargs.get("dtype") or torch.float32)
