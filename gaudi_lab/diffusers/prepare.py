"""Everything that is done once for all images, by the stock pipeline's own methods and in its order."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import retrieve_timesteps
from diffusers.utils.torch_utils import randn_tensor

from gaudi_lab.diffusers.request import GenerationRequest, Schedule, Tensors


def prepare(pipeline: Any, request: GenerationRequest) -> tuple[Schedule, Tensors]:
    """Encode the prompts, choose the timesteps, and draw the noise.

    Parameters
    ----------
    pipeline
        The Stable Diffusion pipeline.
    request
        What its caller asked for.

    Returns
    -------
    Schedule
        The steps of every batch.
    Tensors
        Rows for all images.
    """
    device = pipeline._execution_device  # noqa: SLF001 - ours, by inheritance
    guided = pipeline.do_classifier_free_guidance
    embeds, negative = _encode(pipeline, request, device)
    image_embeds = None
    if request.ip_adapter_image is not None or request.ip_adapter_image_embeds is not None:
        image_embeds = pipeline.prepare_ip_adapter_image_embeds(
            request.ip_adapter_image, request.ip_adapter_image_embeds, device, request.total, guided
        )
    timesteps = start_schedule(pipeline, request)
    pipeline._num_timesteps = len(timesteps)  # noqa: SLF001 - read by the stock property
    latents = pipeline.prepare_latents(
        request.total,
        pipeline.unet.config.in_channels,
        request.height,
        request.width,
        embeds.dtype,
        device,
        request.generator,
        request.latents,
    )
    options = pipeline.prepare_extra_step_kwargs(request.generator, request.eta)
    step_noise = _draw_step_noise(request, options, latents, len(timesteps))
    return Schedule(timesteps, options), Tensors(
        latents,
        embeds,
        negative,
        image_embeds,
        _embed_guidance(pipeline, request, latents),
        step_noise,
    )


def start_schedule(pipeline: Any, request: GenerationRequest) -> torch.Tensor:
    """Choose the timesteps and put the scheduler at the first, as before each batch.

    Most schedulers remember how far they have come, and what they saw on the way.
    """
    timesteps, _ = retrieve_timesteps(
        pipeline.scheduler,
        None if request.timesteps or request.sigmas else request.num_inference_steps,
        pipeline._execution_device,  # noqa: SLF001 - ours, by inheritance
        request.timesteps,
        request.sigmas,
    )
    return timesteps


def _encode(
    pipeline: Any, request: GenerationRequest, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return embeddings for the UNet, with those without the prompt first, and the latter alone."""
    lora_scale = (pipeline.cross_attention_kwargs or {}).get("scale")
    embeds, negative = pipeline.encode_prompt(
        request.prompt,
        device,
        request.num_images_per_prompt,
        pipeline.do_classifier_free_guidance,
        request.negative_prompt,
        prompt_embeds=request.prompt_embeds,
        negative_prompt_embeds=request.negative_prompt_embeds,
        lora_scale=lora_scale,
        clip_skip=pipeline.clip_skip,
    )
    if not pipeline.do_classifier_free_guidance:
        return embeds, None
    return torch.cat([negative, embeds]), negative


def _draw_step_noise(
    request: GenerationRequest, options: dict[str, Any], latents: torch.Tensor, steps: int
) -> list[torch.Tensor] | None:
    """Draw the noise of DDIM's `eta` for all steps and images, in the order of a single batch of all.

    Drawn batch by batch in each step, the same generator would give other images for another batch size.
    """
    if not (request.eta > 0 and "eta" in options and "generator" in options):
        return None
    generator = options.pop("generator")
    return [
        randn_tensor(latents.shape, generator=generator, device=latents.device, dtype=latents.dtype)
        for _ in range(steps)
    ]


def _embed_guidance(pipeline: Any, request: GenerationRequest, latents: torch.Tensor) -> torch.Tensor | None:
    """Return the guidance scale as an input of the UNet, for models that were distilled that way."""
    width = pipeline.unet.config.time_cond_proj_dim
    if width is None:
        return None
    scale = torch.tensor(pipeline.guidance_scale - 1).repeat(request.total)
    embedding: torch.Tensor = pipeline.get_guidance_scale_embedding(scale, embedding_dim=width)
    return embedding.to(device=latents.device, dtype=latents.dtype)
