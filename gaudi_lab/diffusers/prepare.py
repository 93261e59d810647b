"""Everything that is done once for all images, by the stock pipeline's own methods and in its order."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import retrieve_timesteps
from diffusers.utils.torch_utils import randn_tensor

from gaudi_lab.diffusers.request import Asked, Request, Tensors


def prepare(pipeline: Any, asked: Asked) -> tuple[Request, Tensors]:
    """Encode the prompts, choose the timesteps, and draw the noise.

    Parameters
    ----------
    pipeline
        The Stable Diffusion pipeline.
    asked
        What its caller asked for.

    Returns
    -------
    Request
        What is the same for every batch.
    Tensors
        Rows for all images.
    """
    device = pipeline._execution_device  # noqa: SLF001 - ours, by inheritance
    guided = pipeline.do_classifier_free_guidance
    embeds, negative = _encode(pipeline, asked, device)
    image_embeds = None
    if asked.ip_adapter_image is not None or asked.ip_adapter_image_embeds is not None:
        image_embeds = pipeline.prepare_ip_adapter_image_embeds(
            asked.ip_adapter_image, asked.ip_adapter_image_embeds, device, asked.total, guided
        )
    timesteps = start_schedule(pipeline, asked)
    pipeline._num_timesteps = len(timesteps)  # noqa: SLF001 - read by the stock property
    latents = pipeline.prepare_latents(
        asked.total,
        pipeline.unet.config.in_channels,
        asked.height,
        asked.width,
        embeds.dtype,
        device,
        asked.generator,
        asked.latents,
    )
    options = pipeline.prepare_extra_step_kwargs(asked.generator, asked.eta)
    step_noise = _draw_step_noise(asked, options, latents, len(timesteps))
    request = Request(
        asked.total,
        timesteps,
        asked.generator,
        options,
        asked.output_type,
        asked.callback,
        asked.callback_tensors,
    )
    return request, Tensors(
        latents,
        embeds,
        negative,
        image_embeds,
        _guidance_embedding(pipeline, asked, latents),
        step_noise,
    )


def start_schedule(pipeline: Any, asked: Asked) -> torch.Tensor:
    """Choose the timesteps and put the scheduler at the first, as before each batch.

    Most schedulers remember how far they have come, and what they saw on the way.
    """
    timesteps, _ = retrieve_timesteps(
        pipeline.scheduler,
        None if asked.timesteps or asked.sigmas else asked.num_inference_steps,
        pipeline._execution_device,  # noqa: SLF001 - ours, by inheritance
        asked.timesteps,
        asked.sigmas,
    )
    return timesteps


def _encode(pipeline: Any, asked: Asked, device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return embeddings for the UNet, with those without the prompt first, and the latter alone."""
    lora_scale = (pipeline.cross_attention_kwargs or {}).get("scale")
    embeds, negative = pipeline.encode_prompt(
        asked.prompt,
        device,
        asked.num_images_per_prompt,
        pipeline.do_classifier_free_guidance,
        asked.negative_prompt,
        prompt_embeds=asked.prompt_embeds,
        negative_prompt_embeds=asked.negative_prompt_embeds,
        lora_scale=lora_scale,
        clip_skip=pipeline.clip_skip,
    )
    if not pipeline.do_classifier_free_guidance:
        return embeds, None
    return torch.cat([negative, embeds]), negative


def _draw_step_noise(
    asked: Asked, options: dict[str, Any], latents: torch.Tensor, steps: int
) -> list[torch.Tensor] | None:
    """Draw the noise of DDIM's `eta` for all steps and images, in the order of a single batch of all.

    Drawn batch by batch in each step, the same generator would give other images for another batch size.
    """
    if not (asked.eta > 0 and "eta" in options and "generator" in options):
        return None
    generator = options.pop("generator")
    return [
        randn_tensor(latents.shape, generator=generator, device=latents.device, dtype=latents.dtype)
        for _ in range(steps)
    ]


def _guidance_embedding(pipeline: Any, asked: Asked, latents: torch.Tensor) -> torch.Tensor | None:
    """Return the guidance scale as an input of the UNet, for models that were distilled that way."""
    width = pipeline.unet.config.time_cond_proj_dim
    if width is None:
        return None
    scale = torch.tensor(pipeline.guidance_scale - 1).repeat(asked.total)
    embedding: torch.Tensor = pipeline.get_guidance_scale_embedding(scale, embedding_dim=width)
    return embedding.to(device=latents.device, dtype=latents.dtype)
