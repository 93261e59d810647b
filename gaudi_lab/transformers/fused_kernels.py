"""What a `GaudiConfig` asks training to do by the bridge's fused kernels: AdamW, and clipping gradients."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers import TrainingArguments

from gaudi_lab import bridge
from gaudi_lab.errors import LabError

_ADAMW = ("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused", "adamw_torch_xla")
"""What FusedAdamW stands in for: the same optimizer, made otherwise."""


def choose_adamw(args: TrainingArguments) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Return the bridge's AdamW and its options, as transformers takes an optimizer.

    Raises
    ------
    LabError
        If the bridge has none.
    """
    kernel = _find_kernel(bridge.fused_adamw, "use_fused_adam")

    class TrainerFusedAdamW(kernel):  # type: ignore[misc, valid-type]
        # The bridge's own fails for a group without parameters, and transformers may make one.
        def __init__(self, params: Any, **options: Any) -> None:
            super().__init__([group for group in params if group["params"]], **options)

    options = {
        "lr": args.learning_rate,
        "betas": (args.adam_beta1, args.adam_beta2),
        "eps": args.adam_epsilon,
    }
    return TrainerFusedAdamW, options


def clip_by_kernel(accelerator: Any) -> None:
    """Have an accelerator clip gradients by the bridge's kernel.

    Raises
    ------
    LabError
        If the bridge has none.
    """
    kernel = _find_kernel(bridge.fused_clip_norm, "use_fused_clip_norm")
    # One for each limit: it may hold the limit on the device.
    clips = functools.cache(lambda limit: kernel([], limit))
    stock = accelerator.clip_grad_norm_

    def clip_grad_norm_(parameters: Any, max_norm: float, norm_type: float = 2) -> Any:
        if norm_type != 2 or math.isinf(max_norm):
            return stock(parameters, max_norm, norm_type)
        return clips(max_norm).clip_norm(list(parameters))

    accelerator.clip_grad_norm_ = clip_grad_norm_


def find_ignored(trainer: Any) -> Iterator[str]:
    """Say which of the fused kernels asked for a training will not use, and which arguments they make ineffective."""
    config, args = trainer.gaudi_config, trainer.args
    if not args.use_habana:
        for name in ("use_fused_adam", "use_fused_clip_norm"):
            if getattr(config, name):
                yield f"{name}=True is for hpu, and this training is on the CPU: it has no effect."
        return
    if config.use_fused_adam:
        if given := _name_given_optimizer(trainer):
            yield f"use_fused_adam=True has no effect: the trainer was given {given}."
        elif (named := str(getattr(args.optim, "value", args.optim))) not in _ADAMW:
            yield (
                f'use_fused_adam=True trains with FusedAdamW and not with optim="{named}". For that write '
                "GaudiConfig(use_fused_adam=False)."
            )
        elif args.optim_args:
            yield f"use_fused_adam=True trains with FusedAdamW, which does not take {args.optim_args!r}."
    if config.use_fused_clip_norm and trainer.shards:
        yield "use_fused_clip_norm=True has no effect: weights in shards are clipped by what shards them."


def _name_given_optimizer(trainer: Any) -> str:
    """Name the optimizer that a trainer was given; empty if it was given none."""
    if trainer.optimizer_cls_and_kwargs is not None:
        return str(trainer.optimizer_cls_and_kwargs[0].__name__)
    # accelerate wraps it once training begins.
    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    made_here = optimizer is None or isinstance(optimizer, bridge.fused_adamw())
    return "" if made_here else type(optimizer).__name__


def _find_kernel(find: Callable[[], Any], switch: str) -> Any:
    try:
        return find()
    except (ImportError, AttributeError) as error:
        raise LabError(
            f"{switch}=True asks for a kernel that bridge {bridge.identity().version} does not have: {error}.",
            python=f"GaudiConfig({switch}=False)",
        ) from error
