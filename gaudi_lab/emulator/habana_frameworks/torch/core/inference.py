"""Preparing a model for inference.

On hardware this marks weights as constants of the graphs, in lazy mode only. The emulated device reads weights in
place, so there is nothing to gain and nothing to do.
"""

from __future__ import annotations

from typing import Any

import torch


def hpu_set_inference_env(model: torch.nn.Module | None = None) -> None:
    """Prepare the process for inference."""


def hpu_inference_initialize(
    model: torch.nn.Module | None = None,
    mark_only_scales_as_const: bool = False,
    optimizer: Any = None,
    args: Any = None,
) -> None:
    """Mark the weights of `model`, or only its scales, as constants."""


def hpu_teardown_inference_env() -> None:
    """End what `hpu_set_inference_env` began."""


# Older names of the same, to be deprecated.
hpu_set_env = hpu_set_inference_env
hpu_initialize = hpu_inference_initialize
hpu_reset_env = hpu_teardown_inference_env
