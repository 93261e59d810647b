"""Stable Diffusion in batches of one shape, so that one graph serves them all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback

from gaudi_lab import bridge
from gaudi_lab.diffusers import batches, checks, stock_config
from gaudi_lab.diffusers.batches import Batch
from gaudi_lab.diffusers.denoise import denoise
from gaudi_lab.diffusers.generation_progress import Preview, Progress
from gaudi_lab.diffusers.output import BatchTime, GaudiStableDiffusionPipelineOutput, throughput
from gaudi_lab.diffusers.pipeline_switches import PipelineSwitches, require_lazy
from gaudi_lab.diffusers.prepare import prepare, start_schedule
from gaudi_lab.diffusers.request import GenerationRequest, StepCallback
from gaudi_lab.errors import LabError
from gaudi_lab.gaudi_config import find_gaudi_config
from gaudi_lab.measure.recorder import Recorder
from gaudi_lab.report import CapturedGraph


class GaudiStableDiffusionPipeline(StableDiffusionPipeline):
    """The stock `StableDiffusionPipeline`, generating in batches on `hpu`.

    Takes what the stock pipeline takes, and what optimum-habana's of the same name does.

    Parameters
    ----------
    vae, text_encoder, tokenizer, unet, scheduler, safety_checker, feature_extractor, image_encoder, \
requires_safety_checker
        As for `StableDiffusionPipeline`.
    use_habana
        Move to `hpu` and generate there. False stays on the CPU.
    use_hpu_graphs
        Capture UNet, text encoder and decoder once per shape and replay them. Needs lazy mode: a process
        that was not told otherwise is brought into it.
    gaudi_config
        A `GaudiConfig`, a local folder with one, or a name on the hub. Its `use_torch_autocast` computes in
        bfloat16 by autocast.
    bf16_full_eval
        Convert the weights to bfloat16. Set by `from_pretrained` for that `torch_dtype`.
    sdp_on_bf16
        Let attention on bfloat16 reduce in bfloat16, where no fused kernel computes it.

    Attributes
    ----------
    preview
        In a notebook, show images as each batch is done. True unless set otherwise.

    Raises
    ------
    LabError
        For options of `hpu` without `use_habana=True`; for HPU graphs in a process that keeps to eager mode.

    Examples
    --------
    >>> pipeline = GaudiStableDiffusionPipeline.from_pretrained(
    ...     model, use_habana=True, use_hpu_graphs=True, gaudi_config="Habana/stable-diffusion"
    ... )
    >>> outputs = pipeline(["a red handwritten seven"], num_images_per_prompt=16, batch_size=4)
    >>> outputs.images, outputs.throughput, outputs.warmup
    """

    def __init__(
        self,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        unet: Any,
        scheduler: Any,
        safety_checker: Any,
        feature_extractor: Any,
        image_encoder: Any = None,
        requires_safety_checker: bool = True,
        use_habana: bool = False,
        use_hpu_graphs: bool = False,
        gaudi_config: Any = None,
        bf16_full_eval: bool = False,
        sdp_on_bf16: bool = False,
    ) -> None:
        super().__init__(
            vae,
            text_encoder,
            tokenizer,
            unet,
            scheduler,
            safety_checker,
            feature_extractor,
            image_encoder,
            requires_safety_checker,
        )
        _check_options(use_habana, use_hpu_graphs=use_hpu_graphs, gaudi_config=gaudi_config)
        self.use_habana = use_habana
        self.gaudi_config = find_gaudi_config(gaudi_config)
        if self.gaudi_config is not None:
            self.gaudi_config.declare_autocast_bf16_fp32_ops()
        self.bf16_full_eval = bf16_full_eval
        self.sdp_on_bf16 = sdp_on_bf16
        self.preview = True
        self.gaudi_switches: PipelineSwitches | None = None
        if use_habana:
            if use_hpu_graphs:
                require_lazy()
            bridge.load()
            # diffusers would also set environment variables for its migration of CUDA code, and let
            # attention reduce in bfloat16 for the rest of the process.
            self.to("hpu", hpu_migration=False)
            self.gaudi_switches = PipelineSwitches(self)
            self.gaudi_switches.hpu_graphs = use_hpu_graphs
        if bf16_full_eval and self.dtype is not torch.bfloat16:
            self.to(torch.bfloat16)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Any:
        """Load a pipeline, from a folder or the hub.

        Parameters
        ----------
        pretrained_model_name_or_path
            As for the stock pipeline.
        **kwargs
            What the stock method takes, and the options of this class.
        """
        dtype = kwargs.get("torch_dtype", kwargs.get("dtype"))
        if dtype == torch.bfloat16:
            kwargs.setdefault("bf16_full_eval", True)
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    def to_json_string(self) -> str:
        """Return the config as the stock pipeline's, so that it can be loaded as either."""
        return stock_config.as_stock(super().to_json_string(), type(self))

    @property
    def use_hpu_graphs(self) -> bool:
        """Whether HPU graphs are asked for. May be set at any time and counts from the next call."""
        return self.gaudi_switches is not None and self.gaudi_switches.hpu_graphs

    @use_hpu_graphs.setter
    def use_hpu_graphs(self, on: bool) -> None:
        if self.gaudi_switches is not None:
            self.gaudi_switches.hpu_graphs = on
        elif on:
            _check_options(False, use_hpu_graphs=True)

    @property
    def captured(self) -> tuple[CapturedGraph, ...]:
        """The captured HPU graphs: which part, for which shapes, how often replayed."""
        return () if self.gaudi_switches is None else self.gaudi_switches.captured()

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        timesteps: list[int] | None = None,
        sigmas: list[float] | None = None,
        guidance_scale: float = 7.5,
        negative_prompt: str | list[str] | None = None,
        num_images_per_prompt: int | None = 1,
        batch_size: int = 1,
        eta: float = 0.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        negative_prompt_embeds: torch.Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: list[torch.Tensor] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        guidance_rescale: float = 0.0,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | PipelineCallback | MultiPipelineCallbacks | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],  # noqa: B006 - as the stock signature
        throughput_warmup_steps: int = 3,
        **kwargs: Any,
    ) -> Any:
        """Generate images.

        With the same seed these are the images of the stock pipeline, whatever the batch size: noise is drawn
        for all images at once, in the stock order. (A scheduler that draws noise of its own in each step,
        other than DDIM's `eta`, does so batch by batch; give it one generator an image.)

        Parameters
        ----------
        prompt, height, width, num_inference_steps, timesteps, sigmas, guidance_scale, negative_prompt, \
num_images_per_prompt, eta, generator, latents, prompt_embeds, negative_prompt_embeds, ip_adapter_image, \
ip_adapter_image_embeds, output_type, cross_attention_kwargs, guidance_rescale, clip_skip
            As for the stock pipeline.
        batch_size
            How many images to make at once. The last batch is padded to it, so that all have one shape.
        return_dict
            Whether to return an object instead of the tuple of images and their safety flags.
        callback_on_step_end, callback_on_step_end_tensor_inputs
            As for the stock pipeline; called for each step of each batch, with the rows of that batch.
        throughput_warmup_steps
            How many batches or, where there are no more than that, denoising steps not to count.
        **kwargs
            None but some of optimum-habana's, at the values with which they ask for nothing.

        Returns
        -------
        GaudiStableDiffusionPipelineOutput or tuple

        Raises
        ------
        LabValueError
            For a keyword that does not exist or is not part of Gaudi Lab, or a generation that would make nothing.
        ValueError
            For inputs that the stock pipeline refuses.
        """
        kwargs = checks.drop_unsupported_keywords(kwargs)
        checks.refuse_unknown_keywords(kwargs, checks.known_keywords(type(self).__call__), "pipeline(...)")
        num_images_per_prompt = 1 if num_images_per_prompt is None else num_images_per_prompt
        num_inference_steps = _count_steps(num_inference_steps, timesteps, sigmas)
        checks.refuse_empty_generation(
            prompt, num_inference_steps, num_images_per_prompt, batch_size, throughput_warmup_steps
        )
        if isinstance(callback_on_step_end, (PipelineCallback, MultiPipelineCallbacks)):
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs
        height, width = self._choose_size(height, width)
        self.check_inputs(
            prompt,
            height,
            width,
            None,
            negative_prompt,
            prompt_embeds,
            negative_prompt_embeds,
            ip_adapter_image,
            ip_adapter_image_embeds,
            callback_on_step_end_tensor_inputs,
        )
        self._guidance_scale = guidance_scale
        self._guidance_rescale = guidance_rescale
        self._clip_skip = clip_skip
        self._cross_attention_kwargs = cross_attention_kwargs
        self._interrupt = False

        request = GenerationRequest(
            prompt=prompt,
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            timesteps=timesteps,
            sigmas=sigmas,
            negative_prompt=negative_prompt,
            num_images_per_prompt=num_images_per_prompt,
            guidance_scale=guidance_scale,
            eta=eta,
            generator=generator,
            latents=latents,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            ip_adapter_image=ip_adapter_image,
            ip_adapter_image_embeds=ip_adapter_image_embeds,
            output_type=output_type,
            callback=callback_on_step_end,
            callback_tensors=tuple(callback_on_step_end_tensor_inputs),
        )
        with self.gaudi_switches.on() if self.gaudi_switches else nullcontext(), self._use_precision():
            outputs = self._generate(request, batch_size, throughput_warmup_steps)
        self.maybe_free_model_hooks()
        return outputs if return_dict else (outputs.images, outputs.nsfw_content_detected)

    def _generate(
        self, request: GenerationRequest, batch_size: int, warmup_steps: int
    ) -> GaudiStableDiffusionPipelineOutput:
        """Make all batches, one after the other."""
        plan = list(batches.split(request.total, batch_size))
        watch = None if self.gaudi_switches is None else self.gaudi_switches.watch()
        preview = Preview(request.total, enabled=self.preview and len(plan) > 1)
        images: list[Any] = []
        flags: list[Any] = []
        times: list[BatchTime] = []
        with (
            Recorder(watch) as recorder,
            Progress(self.progress_bar, len(plan), request.num_inference_steps) as progress,
        ):
            clock = _Clock()
            progress.show_phase("encoding")
            schedule, tensors = prepare(self, request)
            progress.set_steps(len(schedule.timesteps))
            for batch in plan:
                progress.show_phase("denoising", batch.start // batch_size + 1)
                # A callback may have changed it, and the scheduler is at its end.
                self._guidance_scale = request.guidance_scale
                start_schedule(self, request)
                done = len(recorder.timeline.iterations)
                made = denoise(
                    self,
                    request,
                    schedule,
                    batch,
                    tensors.take(batch, request.total),
                    measure_step=recorder.iteration,
                    count_step=progress.count_step,
                )
                progress.show_phase("decoding", batch.start // batch_size + 1)
                pictures, unsafe = self._decode(request, batch, made)
                images.append(pictures)
                flags.append(unsafe)
                steps = tuple(i.wall_time for i in recorder.timeline.iterations[done:])
                times.append(BatchTime(batch.count, clock.lap(), steps))
                preview.add(pictures)
                if self.interrupt:
                    break
        return GaudiStableDiffusionPipelineOutput(
            images=batches.join(images),
            nsfw_content_detected=None if flags[0] is None else batches.join(flags),
            throughput=throughput(times, warmup_steps),
            warmup=recorder.timeline,
        )

    def _decode(
        self, request: GenerationRequest, batch: Batch, latents: torch.Tensor
    ) -> tuple[Any, list[bool] | None]:
        """Turn latents into images of the type asked for, padding left out."""
        if request.output_type == "latent":
            return batch.cut(latents), None
        decoded = self.vae.decode(
            latents / self.vae.config.scaling_factor,
            return_dict=False,
            generator=batch.take_generators(request.generator),
        )[0]
        # A copy: the next batch's replay writes into the decoder's output.
        images = batch.cut(decoded).clone()
        images, unsafe = self.run_safety_checker(images, self._execution_device, latents.dtype)
        shown = [True] * len(images) if unsafe is None else [not flag for flag in unsafe]
        pictures = self.image_processor.postprocess(
            images, output_type=request.output_type, do_denormalize=shown
        )
        return pictures, unsafe

    def _choose_size(self, height: int | None, width: int | None) -> tuple[int, int]:
        """Return the size of images in pixels: as asked, or the UNet's own."""
        if height and width:
            return height, width
        sample = self.unet.config.sample_size
        rows, columns = (sample, sample) if isinstance(sample, int) else sample
        return rows * self.vae_scale_factor, columns * self.vae_scale_factor

    @contextmanager
    def _use_precision(self) -> Iterator[None]:
        """Compute in bfloat16 where that is asked for."""
        allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
        autocast = self.gaudi_config is not None and self.gaudi_config.use_torch_autocast
        if self.sdp_on_bf16:
            torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
        try:
            with torch.autocast("hpu", torch.bfloat16) if autocast else nullcontext():
                yield
        finally:
            torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(allowed)


class _Clock:
    """Tells how long it took since it was asked before, with the device finished."""

    def __init__(self) -> None:
        bridge.settle()
        self._before = time.perf_counter()

    def lap(self) -> float:
        bridge.settle()
        before, self._before = self._before, time.perf_counter()
        return self._before - before


def _check_options(use_habana: bool, **options: Any) -> None:
    """Refuse options of `hpu` for a pipeline on the CPU."""
    for name, value in options.items():
        if value and not use_habana:
            raise LabError(
                f"{name} is for hpu, and use_habana is not set.", python=f"use_habana=True, {name}={value!r}"
            )


def _count_steps(number: int, timesteps: list[int] | None, sigmas: list[float] | None) -> int:
    """Return how many denoising steps are asked for, in whichever way."""
    given = timesteps if timesteps is not None else sigmas
    return number if given is None else len(given)
