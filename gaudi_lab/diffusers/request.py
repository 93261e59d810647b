"""A generation as its parts need it: what was asked for, the schedule of steps, tensors for all images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from gaudi_lab.diffusers.batches import Batch

StepCallback = Callable[[Any, int, torch.Tensor, dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """What the caller asked for, under the names of the stock pipeline's `__call__`.

    `callback` and `callback_tensors` are what to call after each step, and the names of the tensors it gets.
    """

    prompt: str | list[str] | None
    height: int
    width: int
    num_inference_steps: int
    timesteps: list[int] | None
    sigmas: list[float] | None
    negative_prompt: str | list[str] | None
    num_images_per_prompt: int
    guidance_scale: float
    eta: float
    generator: Any
    latents: torch.Tensor | None
    prompt_embeds: torch.Tensor | None
    negative_prompt_embeds: torch.Tensor | None
    ip_adapter_image: Any
    ip_adapter_image_embeds: list[torch.Tensor] | None
    output_type: str
    callback: StepCallback | None
    callback_tensors: tuple[str, ...]

    @property
    def prompts(self) -> int:
        """How many prompts there are."""
        if self.prompt_embeds is not None:
            return len(self.prompt_embeds)
        return len(self.prompt) if isinstance(self.prompt, list) else 1

    @property
    def total(self) -> int:
        """How many images there are in all."""
        return self.prompts * self.num_images_per_prompt


@dataclass(frozen=True)
class Schedule:
    """The denoising steps, which are the same for every batch.

    Attributes
    ----------
    timesteps
        One value for each step, on the device.
    step_options
        Options of the scheduler's `step`.
    """

    timesteps: torch.Tensor
    step_options: dict[str, Any]


@dataclass
class Tensors:
    """Tensors with one row for each image. Guidance has two groups of rows: without and with the prompt.

    Attributes
    ----------
    latents
        Noise to start from.
    prompt_embeds
        In one group, or two with guidance.
    negative_prompt_embeds
        Those of the first group; None without guidance. Only callbacks see them.
    image_embeds
        For IP-Adapter, one tensor an adapter; grouped like `prompt_embeds`.
    timestep_cond
        Guidance scale as the UNet takes it, for models that were distilled that way.
    step_noise
        Noise that the scheduler adds, one tensor a step.
    """

    latents: torch.Tensor
    prompt_embeds: torch.Tensor
    negative_prompt_embeds: torch.Tensor | None = None
    image_embeds: list[torch.Tensor] | None = None
    timestep_cond: torch.Tensor | None = None
    step_noise: list[torch.Tensor] | None = None

    def take(self, batch: Batch, total: int) -> Tensors:
        """Return the rows of one batch, padded to its size, in memory of their own."""

        def one(tensor: torch.Tensor | None) -> torch.Tensor | None:
            return None if tensor is None else batch.take(tensor, total)

        def each(tensors: list[torch.Tensor] | None) -> list[torch.Tensor] | None:
            return None if tensors is None else [batch.take(tensor, total) for tensor in tensors]

        return Tensors(
            latents=batch.take(self.latents, total),
            prompt_embeds=batch.take(self.prompt_embeds, total),
            negative_prompt_embeds=one(self.negative_prompt_embeds),
            image_embeds=each(self.image_embeds),
            timestep_cond=one(self.timestep_cond),
            step_noise=each(self.step_noise),
        )
