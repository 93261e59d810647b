"""FusedSDPA as a diffusers attention processor.

A processor belongs to one attention module, so only modules whose processor we know how to stand in for are
changed; others (adapters with weights of their own, for one) keep theirs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import nn

from gaudi_lab.instruments.attention import attend
from gaudi_lab.instruments.handle import Handle, all_or_none
from gaudi_lab.modes import SdpaOptions


class FusedSDPAProcessor:
    """Stands in for `AttnProcessor2_0`, the processor of Stable Diffusion's UNet and autoencoder.

    Parameters
    ----------
    options
        FusedSDPA's own switches.
    """

    def __init__(self, options: SdpaOptions) -> None:
        self.options = options

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend as `AttnProcessor2_0` does, through FusedSDPA.

        Parameters
        ----------
        attn
            The module this processor belongs to.
        hidden_states
            (batch, length, channels), or an image (batch, channels, height, width).
        encoder_hidden_states
            (batch, length, channels) for cross-attention.
        attention_mask
            As `Attention.prepare_attention_mask` takes it.
        temb
            Time embedding, for modules with a spatial norm.

        Returns
        -------
        torch.Tensor
            The shape of `hidden_states`.
        """
        residual = hidden_states
        if attn.spatial_norm is not None:
            hidden_states = attn.spatial_norm(hidden_states, temb)
        image = hidden_states.shape if hidden_states.ndim == 4 else None
        if image is not None:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        batch = hidden_states.shape[0]
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)

        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        if attention_mask is not None:
            attention_mask = attn.prepare_attention_mask(attention_mask, source.shape[1], batch)
            attention_mask = attention_mask.view(batch, attn.heads, -1, attention_mask.shape[-1])
        if encoder_hidden_states is not None and attn.norm_cross:
            source = attn.norm_encoder_hidden_states(source)

        query, key, value = (
            states.view(batch, -1, attn.heads, states.shape[-1] // attn.heads).transpose(1, 2)
            for states in (attn.to_q(hidden_states), attn.to_k(source), attn.to_v(source))
        )
        if attn.norm_q is not None:
            query = attn.norm_q(query)
        if attn.norm_k is not None:
            key = attn.norm_k(key)

        attended = attend(query, key, value, attention_mask, options=self.options)
        attended = attended.transpose(1, 2).flatten(2).to(query.dtype)
        projection, dropout = attn.to_out
        output = dropout(projection(attended))
        if image is not None:
            output = output.transpose(-1, -2).reshape(image)
        if attn.residual_connection:
            output = output + residual
        return output / attn.rescale_output_factor


# What each known processor is replaced by. Flux, SD3 and others get a line and a class each.
_STAND_INS: dict[type, Callable[[SdpaOptions], Any]] = {
    AttnProcessor: FusedSDPAProcessor,
    AttnProcessor2_0: FusedSDPAProcessor,
}


def fused(module: nn.Module, options: SdpaOptions) -> list[Callable[[], Handle]]:
    """Return one edit for all attention modules in `module` whose processor is known, if there are any."""
    modules = [attn for attn in _attention_modules(module) if type(attn.processor) in _STAND_INS]
    if not modules:
        return []
    return [lambda: all_or_none([functools.partial(_use, attn, options) for attn in modules])]


def named(module: nn.Module, name: str) -> list[Callable[[], Handle]]:  # noqa: ARG001
    """Return no edits: these are names of transformers."""
    return []


def static_masks(module: nn.Module) -> list[Callable[[], Handle]]:  # noqa: ARG001 - one interface for both
    """Return no edits: diffusers passes masks on as they are."""
    return []


def in_use(module: nn.Module) -> list[str]:
    """Name the processors of the attention modules in `module`."""
    return [_readable(attn.processor) for attn in _attention_modules(module)]


def _attention_modules(module: nn.Module) -> list[Attention]:
    return [part for part in module.modules() if isinstance(part, Attention)]


def _use(attn: Attention, options: SdpaOptions) -> Handle:
    before = attn.processor
    attn.set_processor(_STAND_INS[type(before)](options))
    return Handle(lambda: attn.set_processor(before))


def _readable(processor: Any) -> str:
    if isinstance(processor, FusedSDPAProcessor):
        return str(processor.options)
    return "sdpa" if isinstance(processor, AttnProcessor2_0) else type(processor).__name__
