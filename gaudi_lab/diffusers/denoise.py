"""The denoising loop of one batch. Every step is the same work on tensors of the same shape."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from gaudi_lab import bridge
from gaudi_lab.diffusers.batches import Batch
from gaudi_lab.diffusers.request import GenerationRequest, Schedule, Tensors


def denoise(
    pipeline: Any,
    request: GenerationRequest,
    schedule: Schedule,
    batch: Batch,
    tensors: Tensors,
    *,
    measure_step: Callable[[], AbstractContextManager[None]],
    count_step: Callable[[], None],
) -> torch.Tensor:
    """Turn the noise of one batch into latents.

    Parameters
    ----------
    pipeline
        The Stable Diffusion pipeline, with guidance and adapter options as its stock properties give them.
    request, schedule, batch, tensors
        What to make; `tensors` are those of the batch.
    measure_step
        Entered around each step.
    count_step
        Called after each step.

    Returns
    -------
    torch.Tensor
        Latents of the batch, padding included.
    """
    for number, timestep in enumerate(_separate(schedule.timesteps)):
        if pipeline.interrupt:
            break
        with measure_step():
            prediction = _predict(pipeline, tensors, timestep)
            tensors.latents = pipeline.scheduler.step(
                prediction,
                timestep,
                tensors.latents,
                **_pick_step_options(schedule, batch, tensors, number),
                return_dict=False,
            )[0]
        if request.callback is not None:
            _call_back(pipeline, request, batch, tensors, number, timestep)
        count_step()
    return tensors.latents


def _separate(timesteps: torch.Tensor) -> list[torch.Tensor]:
    """Return each timestep as a tensor in memory of its own.

    Reading element i within step i would be another graph for each i, and rolling the whole within each
    step another graph for each number of steps. Like this, the graph of a step knows of neither.
    """
    separate = [timestep.clone() for timestep in timesteps]
    bridge.mark_step()
    return separate


def _predict(pipeline: Any, tensors: Tensors, timestep: torch.Tensor) -> torch.Tensor:
    """Predict the noise in a sample, guided by the prompt."""
    guided = pipeline.do_classifier_free_guidance
    latents = torch.cat([tensors.latents] * 2) if guided else tensors.latents
    if hasattr(pipeline.scheduler, "scale_model_input"):
        latents = pipeline.scheduler.scale_model_input(latents, timestep)
    images = tensors.image_embeds
    predicted: torch.Tensor = pipeline.unet(
        latents,
        timestep,
        encoder_hidden_states=tensors.prompt_embeds,
        timestep_cond=tensors.timestep_cond,
        cross_attention_kwargs=pipeline.cross_attention_kwargs,
        added_cond_kwargs=None if images is None else {"image_embeds": images},
        return_dict=False,
    )[0]
    if not guided:
        return predicted
    without, with_prompt = predicted.chunk(2)
    predicted = without + pipeline.guidance_scale * (with_prompt - without)
    if pipeline.guidance_rescale > 0.0:
        predicted = rescale_noise_cfg(predicted, with_prompt, guidance_rescale=pipeline.guidance_rescale)
    return predicted


def _pick_step_options(schedule: Schedule, batch: Batch, tensors: Tensors, number: int) -> dict[str, Any]:
    options = dict(schedule.step_options)
    if tensors.step_noise is not None:
        options["variance_noise"] = tensors.step_noise[number]
    elif "generator" in options:
        options["generator"] = batch.take_generators(options["generator"])
    return options


def _call_back(
    pipeline: Any,
    request: GenerationRequest,
    batch: Batch,
    tensors: Tensors,
    number: int,
    timestep: torch.Tensor,
) -> None:
    """Show a step to the caller, without padding, and take over what the caller changes."""
    assert request.callback is not None
    shown = {name: getattr(tensors, name) for name in request.callback_tensors}
    given = {name: batch.cut(value) if value is not None else None for name, value in shown.items()}
    changed = request.callback(pipeline, number, timestep, dict(given))
    for name in ("latents", "prompt_embeds", "negative_prompt_embeds"):
        if (value := changed.get(name)) is not None and value is not given.get(name):
            setattr(tensors, name, batch.pad(value))
