"""DDIM whose every step is the same graph: what depends on the timestep is looked up on the device."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDIMScheduler
from diffusers.schedulers.scheduling_ddim import DDIMSchedulerOutput
from diffusers.utils.torch_utils import randn_tensor

from gaudi_lab.diffusers import stock_config


class GaudiDDIMScheduler(DDIMScheduler):
    """The stock `DDIMScheduler`, computing the same numbers with a graph that serves all steps.

    The stock one reads each timestep back to the host and picks that step's coefficients there. In lazy mode
    this ends the graph in the middle of a step and puts other constants into each. Here both coefficients are
    picked from tables by a tensor. Nothing is remembered from one step to the next, so a generation that was
    interrupted leaves nothing behind, and steps may be taken in any order.

    Source of the formulas: (12) and (16) of https://huggingface.co/papers/2010.02502, in the order in which
    the stock scheduler computes them.
    """

    # Cumulative products of alpha at each timestep and at the one that follows it; on the device last used.
    _tables: tuple[torch.Tensor, torch.Tensor] | None = None

    def set_timesteps(self, num_inference_steps: int, device: str | torch.device | None = None) -> None:
        """Choose the timesteps, and prepare what `step` looks up.

        Parameters
        ----------
        num_inference_steps
            How many denoising steps.
        device
            Where the timesteps shall be.

        Raises
        ------
        ValueError
            For more steps than the model was trained with.
        """
        if num_inference_steps != self.num_inference_steps:
            self._tables = None
        super().set_timesteps(num_inference_steps, device)

    def step(
        self,
        model_output: torch.Tensor,
        timestep: int | torch.Tensor,
        sample: torch.Tensor,
        eta: float = 0.0,
        use_clipped_model_output: bool = False,
        generator: torch.Generator | list[torch.Generator] | None = None,
        variance_noise: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> DDIMSchedulerOutput | tuple[torch.Tensor, torch.Tensor]:
        """Go from one timestep to the next.

        Parameters
        ----------
        model_output
            What the model predicts, of the shape of `sample`.
        timestep
            The present timestep; a tensor on the device of `sample` costs no transfer.
        sample
            The present sample.
        eta
            Weight of the noise that is added, from 0 (DDIM) to 1 (DDPM).
        use_clipped_model_output
            Derive the predicted noise anew from the clipped prediction of the sample.
        generator, variance_noise
            Where added noise comes from, or that noise.
        return_dict
            Whether to return a `DDIMSchedulerOutput` instead of a tuple.

        Returns
        -------
        DDIMSchedulerOutput or tuple
            The sample at the next timestep, and the prediction of the final one.

        Raises
        ------
        ValueError
            Before `set_timesteps`, or with both `generator` and `variance_noise`.
        """
        if self.num_inference_steps is None:
            raise ValueError("Number of inference steps is None. Run: scheduler.set_timesteps(50)")
        if eta > 0 and variance_noise is not None and generator is not None:
            raise ValueError("Noise comes from `generator` or is given as `variance_noise`, not both.")

        alpha, following = self._look_up_alphas(timestep, sample.device)
        beta = 1 - alpha
        original, noise = self._predict(model_output, sample, alpha, beta)
        if self.config.thresholding:
            original = self._threshold_sample(original)
        elif self.config.clip_sample:
            limit = self.config.clip_sample_range
            original = original.clamp(-limit, limit)
        if use_clipped_model_output:
            noise = (sample - alpha**0.5 * original) / beta**0.5

        variance = ((1 - following) / beta) * (1 - alpha / following)
        deviation = eta * variance**0.5
        direction = (1 - following - deviation**2) ** 0.5 * noise
        previous = following**0.5 * original + direction
        if eta > 0:
            if variance_noise is None:
                variance_noise = randn_tensor(
                    model_output.shape,
                    generator=generator,
                    device=model_output.device,
                    dtype=model_output.dtype,
                )
            previous = previous + deviation * variance_noise
        if not return_dict:
            return previous, original
        return DDIMSchedulerOutput(prev_sample=previous, pred_original_sample=original)

    def _predict(
        self, model_output: torch.Tensor, sample: torch.Tensor, alpha: torch.Tensor, beta: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the final sample and the noise that a model's output stands for."""
        kind = self.config.prediction_type
        if kind == "epsilon":
            return (sample - beta**0.5 * model_output) / alpha**0.5, model_output
        if kind == "sample":
            return model_output, (sample - alpha**0.5 * model_output) / beta**0.5
        if kind == "v_prediction":
            return (
                (alpha**0.5) * sample - (beta**0.5) * model_output,
                (alpha**0.5) * model_output + (beta**0.5) * sample,
            )
        raise ValueError(f"prediction_type {kind!r} is none of: epsilon, sample, v_prediction")

    def _look_up_alphas(
        self, timestep: int | torch.Tensor, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the cumulative product of alpha at a timestep and at the following one, as 0-d tensors."""
        index = torch.as_tensor(timestep, device=device).reshape(1)
        # Not `table[index]`: indexing with an integer tensor of one element reads it back to the host.
        at, following = (table.index_select(0, index).reshape(()) for table in self._make_tables(device))
        return at, following

    def _make_tables(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        if self._tables is None or self._tables[0].device != device:
            alphas = self.alphas_cumprod.cpu()
            stride = self.config.num_train_timesteps // self.num_inference_steps
            following = torch.arange(len(alphas)) - stride
            behind = torch.where(
                following >= 0, alphas[following.clamp(min=0)], self.final_alpha_cumprod.cpu()
            )
            self._tables = (alphas.to(device), behind.to(device))
        return self._tables

    def to_json_string(self) -> str:
        """Return the config as the stock scheduler's: it is the same but for how it computes."""
        return stock_config.as_stock(super().to_json_string(), type(self))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the tables out: they are on a device, and made again when needed."""
        return {**vars(self), "_tables": None}
