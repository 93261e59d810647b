"""FusedSDPA as a diffusers attention processor.

A processor belongs to one attention module, so only modules whose processor we know how to stand in for are
changed; others (adapters with weights of their own, for one) keep theirs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_processor import (
    Attention,
    AttnProcessor,
    AttnProcessor2_0,
    JointAttnProcessor2_0,
)
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor, _get_qkv_projections
from torch import nn

from gaudi_lab.instruments._torch_attention import calls_it
from gaudi_lab.instruments.attention import attend
from gaudi_lab.instruments.fused_operators.class_layers import StandIns
from gaudi_lab.instruments.handle import Handle, all_or_none
from gaudi_lab.settings import SdpaOptions


class _FusedProcessor:
    """What the stand-ins share.

    Parameters
    ----------
    options
        FusedSDPA's own switches.
    """

    def __init__(self, options: SdpaOptions) -> None:
        super().__init__()
        self.options = options

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend through FusedSDPA and put the heads side by side again: (batch, length, channels)."""
        attended = attend(query, key, value, mask, options=self.options)
        return attended.transpose(1, 2).flatten(2).to(query.dtype)


class FusedSDPAProcessor(_FusedProcessor):
    """Stands in for `AttnProcessor2_0`, the processor of Stable Diffusion's UNet and autoencoder."""

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

        states = [*_heads(attn, hidden_states, attn.to_q), *_heads(attn, source, attn.to_k, attn.to_v)]
        _normalise(states, attn.norm_q, attn.norm_k)
        query, key, value = states
        output = _project_out(attn, self.attend(query, key, value, attention_mask))
        if image is not None:
            output = output.transpose(-1, -2).reshape(image)
        if attn.residual_connection:
            output = output + residual
        return output / attn.rescale_output_factor


class FusedJointProcessor(_FusedProcessor):
    """Stands in for `JointAttnProcessor2_0`, the processor of Stable Diffusion 3."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,  # noqa: ARG002 - ignored by the stock one too
        **_: Any,
    ) -> Any:
        """Attend over image and text together, the image first.

        Parameters
        ----------
        attn
            The module this processor belongs to.
        hidden_states, encoder_hidden_states
            Image and text, (batch, length, channels).
        attention_mask
            Not used.

        Returns
        -------
        torch.Tensor or tuple of torch.Tensor
            The new image states, and the text's where they were given.
        """
        streams = [_heads(attn, hidden_states, attn.to_q, attn.to_k, attn.to_v)]
        _normalise(streams[0], attn.norm_q, attn.norm_k)
        if encoder_hidden_states is not None:
            text = _heads(attn, encoder_hidden_states, attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
            _normalise(text, attn.norm_added_q, attn.norm_added_k)
            streams.append(text)
        query, key, value = (torch.cat(parts, dim=2) for parts in zip(*streams, strict=True))
        attended = self.attend(query, key, value)
        length = hidden_states.shape[1]
        image = _project_out(attn, attended[:, :length])
        if encoder_hidden_states is None:
            return image
        rest = attended[:, length:]
        return image, rest if attn.context_pre_only else attn.to_add_out(rest)


class FusedFluxProcessor(_FusedProcessor, FluxAttnProcessor):
    """Stands in for `FluxAttnProcessor`."""

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_rotary_emb: Any = None,
    ) -> Any:
        """Attend over text and image together, the text first.

        Parameters
        ----------
        attn
            The `FluxAttention` this processor belongs to.
        hidden_states, encoder_hidden_states
            Image and text, (batch, length, channels); in Flux's later blocks both come as the first.
        attention_mask
            As `scaled_dot_product_attention` takes it.
        image_rotary_emb
            Cosines and sines of the positions.

        Returns
        -------
        torch.Tensor or tuple of torch.Tensor
            The new image states, and the text's where they were given.
        """
        states = _get_qkv_projections(attn, hidden_states, encoder_hidden_states)
        image, text = (
            [state.unflatten(-1, (-1, attn.head_dim)) for state in group if isinstance(state, torch.Tensor)]
            for group in (states[:3], states[3:])
        )
        _normalise(image, attn.norm_q, attn.norm_k)
        if text:
            _normalise(text, attn.norm_added_q, attn.norm_added_k)
            image = [torch.cat(pair, dim=1) for pair in zip(text, image, strict=True)]
        query, key, value = image
        if image_rotary_emb is not None:
            query = apply_rotary_emb(query, image_rotary_emb, sequence_dim=1)
            key = apply_rotary_emb(key, image_rotary_emb, sequence_dim=1)
        query, key, value = (state.transpose(1, 2) for state in (query, key, value))
        attended = self.attend(query, key, value, attention_mask)
        if encoder_hidden_states is None:
            return attended
        length = encoder_hidden_states.shape[1]
        image_states, text_states = attended[:, length:].contiguous(), attended[:, :length].contiguous()
        return _project_out(attn, image_states), attn.to_add_out(text_states)


# What each known processor is replaced by.
_STAND_INS: dict[type, Callable[[SdpaOptions], Any]] = {
    AttnProcessor: FusedSDPAProcessor,
    AttnProcessor2_0: FusedSDPAProcessor,
    JointAttnProcessor2_0: FusedJointProcessor,
    FluxAttnProcessor: FusedFluxProcessor,
}
_SDPA = (AttnProcessor2_0, JointAttnProcessor2_0, FluxAttnProcessor)


def _heads(attn: Any, states: torch.Tensor, *projections: nn.Module) -> list[torch.Tensor]:
    """Return each projection of `states` as (batch, heads, length, head size)."""
    return [
        projected.view(*projected.shape[:2], attn.heads, -1).transpose(1, 2)
        for projected in (projection(states) for projection in projections)
    ]


def _normalise(stream: list[torch.Tensor], *norms: nn.Module | None) -> None:
    """Apply a norm to query and to key, where the module has one."""
    for position, norm in enumerate(norms):
        if norm is not None:
            stream[position] = norm(stream[position])


def _project_out(attn: Any, states: torch.Tensor) -> torch.Tensor:
    projection, dropout = attn.to_out
    projected: torch.Tensor = dropout(projection(states))
    return projected


def stands_in_for(processor: Any) -> bool:
    """Whether `processor` is one that is replaced, or one that has replaced it."""
    return type(processor) in _STAND_INS or isinstance(processor, _FusedProcessor)


def fused(module: nn.Module, options: SdpaOptions, stand_ins: StandIns) -> list[Callable[[], Handle]]:  # noqa: ARG001
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
    # Those that ask a backend of PyTorch's are named where that is.
    return [_readable(attn.processor) for attn in _attention_modules(module) if not calls_it(attn)]


def places(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the attention modules in `module` whose processor is known, with their paths."""
    known = {id(attn) for attn in _attention_modules(module) if stands_in_for(attn.processor)}
    return (found for found in module.named_modules() if id(found[1]) in known)


def _attention_modules(module: nn.Module) -> list[Any]:
    # Newer models have attention classes of their own, which have this mixin in common.
    return [part for part in module.modules() if isinstance(part, (Attention, AttentionModuleMixin))]


def _use(attn: Any, options: SdpaOptions) -> Handle:
    before = attn.processor
    attn.set_processor(_STAND_INS[type(before)](options))
    return Handle(lambda: attn.set_processor(before))


def _readable(processor: Any) -> str:
    if isinstance(processor, _FusedProcessor):
        return str(processor.options)
    return "sdpa" if isinstance(processor, _SDPA) else type(processor).__name__
